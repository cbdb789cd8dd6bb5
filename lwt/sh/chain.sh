# Take a file, from the master or from another host, and hand it on to the next one while it still comes.
#
# $1-$4 as for putlib.sh  $5 bytes  $6 sha256  $7 mode  $8 time of change, as touch -t has it, UTC  $9 seconds of a link's silence
#
# It says what netcat there is (see netcat.py) and "ready", or "same" where the file is there already; and is told, line by line:
#   data N                   so many bytes come behind this line
#   listen ARGV...           take what is missing from a netcat: it says "listen HAVE PORT TOKEN" and in the end "got HAVE"
#   feed AT TOKEN ARGV...    hand on what there is and what will come, from AT on, to a netcat
#   finish                   verify it and move it into place: it says "placed"
# Meanwhile it says "have N", each second.  The end of its input is its own end, and that of all that it has started.
size=$5 wanted=$6 mode=$7 stamp=$8 silence=$9
[ "$kind" = sha256 ] || refuse "no sha256sum there"
if [ -n "$name" ] && [ -f "$directory/$name" ] && [ "$(digest <"$directory/$name")" = "sha256 $wanted" ]; then
  say same
  exit 0
fi
file=$part/old/it
{ : >"$file" && mkfifo "$part/net" "$part/hold"; } || refuse "$directory/: no room left"
exec 8<>"$part/hold"
at_exit() {
  kill -TERM 0
  cd / && rm -rf "${part:?}"
}

have() { wc -c <"$file" | tr -d ' '; }

# take ARGV...: what is missing, from who sends the token; not longer than something comes.
take() {
  take_have=$(have)
  token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  "$@" <&8 >"$part/net" 2>/dev/null &
  netcat=$!
  exec 7<"$part/net"
  if ! port=$(port_of "$netcat"); then
    kill -KILL "$netcat"
    say "got $take_have"
    return
  fi
  take_watch "$netcat" 7<&- &
  dog=$!
  say "listen $take_have $port $token"
  if IFS= read -r word <&7 && [ "$word" = "$token" ]; then head -c $((size - take_have)) <&7 >>"$file"; fi
  exec 7<&-
  kill -KILL "$dog" "$netcat"
  say "got $(have)"
} 2>/dev/null

# take_watch PID: end a netcat through which nothing has come for a while.
take_watch() {
  watch_quiet=0 watch_last=$(have)
  while sleep 1; do
    watch_now=$(have)
    if [ "$watch_now" -gt "$watch_last" ]; then
      say "have $watch_now"
      watch_quiet=0 watch_last=$watch_now
    else watch_quiet=$((watch_quiet + 1)); fi
    [ "$watch_quiet" -lt "$silence" ] || kill -KILL "$1"
  done
} 2>/dev/null

# hand_on AT TOKEN: what there is from AT on, and what will come, as it comes.
hand_on() {
  say "$2"
  on_pipe=$part/old/on.$2
  mkfifo "$on_pipe" || return
  tail -c +$(($1 + 1)) -f "$file" >"$on_pipe" &
  on_tail=$!
  beat "$on_tail" >/dev/null &
  head -c $((size - $1)) <"$on_pipe"
  kill -KILL "$on_tail"
}

# beat PID: show the watch of putlib.sh, which ends what is cut off, that there is something going on.
beat() { while sleep 5 && kill -0 "$1"; do say >>"$part/old/beat"; done; }

# feed AT TOKEN ARGV...
feed() {
  feed_at=$1 feed_token=$2
  shift 2
  hand_on "$feed_at" "$feed_token" | "$@" >/dev/null
} 2>/dev/null

finish() {
  [ "$(digest <"$file")" = "sha256 $wanted" ] || refuse "what arrived is not what was sent"
  chmod "$mode" "$file" || refuse "$directory/$name: its mode cannot be set"
  TZ=UTC0 touch -t "$stamp" "$file" 2>/dev/null
  { cd "$part/new" && ln "$file" it; } || refuse "$directory/$name: cannot be placed"
  place ./it "$name"                    # the file has a second name as long as others are fed from it
  say placed
}

(eval "${10}") 8<&-
say ready
exec 6<&0 </dev/null
while read -r word rest <&6; do
  # shellcheck disable=SC2086  # words of a command
  case $word in
    data) head -c "$rest" <&6 >>"$file" || refuse "$directory/: no room left" ;;
    listen) take $rest 6<&- & ;;
    feed) feed $rest 6<&- 8<&- & ;;
    finish) finish ;;
  esac
done
