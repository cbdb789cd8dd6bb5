# Take a file, from the master or from another host, and hand it on to the next one while it still comes.
#
# $1-$4 as for putlib.sh  $5 bytes  $6 sha256  $7 mode, or "tar": it is a tar stream, to be unpacked
# $8 time of change, as touch -t has it, UTC  $9 seconds of a link's silence  ${10} what tells which netcat there is
#
# It says that (see netcat.py) and "ready", or "same" where the file is there already; and is told, line by line:
#   data N                   so many bytes come behind this line
#   listen ARGV...           take what is missing from a netcat: it says "listen HAVE PORT TOKEN" and in the end "got HAVE"
#   feed AT TOKEN ARGV...    hand on what there is and what will come, from AT on, to a netcat
#   beat                     who is fed by it gets on, even if nothing comes here: see watch in putlib.sh
#   finish                   verify it and move it into place: it says "placed"
# Meanwhile it says "have N", each second.  The end of its input is its own end, and that of all that it has started.
size=$5 wanted=$6 mode=$7 stamp=$8 silence=$9
[ "$kind" = sha256 ] || refuse "no sha256sum there"
if [ "$mode" != tar ] && [ -f "$directory/$name" ] && [ "$(digest <"$directory/$name")" = "sha256 $wanted" ]; then
  chmod "$mode" "$directory/$name" && TZ=UTC0 touch -t "$stamp" "$directory/$name" 2>/dev/null
  say same
  exit 0
fi
file=$part/old/it
{ true >"$file" && mkfifo "$part/net" "$part/hold" "$part/more"; } || refuse "$directory/: no room left"
exec 8<>"$part/hold" 9<>"$part/more"
at_exit() {
  kill -TERM 0
  cd / && rm -rf "${part:?}"
}

# have: $have is how much there is.
have() { have=$(wc -c <"$file") && have=$((have)); }

# summed: the digest of the file, taken a line of "more" at a time, so that little is left to do when it is whole.
summed() {
  while read -r word <&9; do
    cat
    [ "$word" = more ] || return
  done
}
# openssl is several times as fast as sha256sum, where the processor helps.
case $(openssl dgst -sha256 -r </dev/null 2>/dev/null) in
  e3b0c442*) digest() { openssl dgst -sha256 -r | sed 's/^/sha256 /; s/ [*].*//'; } ;;
esac
summed <"$file" 8<&- | digest >"$part/sum" 8<&- 9<&- &
summer=$!

# take ARGV...: what is missing, from who sends the token; not longer than something comes.
take() {
  have
  token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  "$@" <&8 >"$part/net" 2>/dev/null 9<&- &
  netcat=$!
  exec 7<"$part/net"
  if ! port=$(port_of "$netcat"); then
    kill -KILL "$netcat"
    say "got $have"
    return
  fi
  take_watch "$netcat" 7<&- 8<&- &
  dog=$!
  say "listen $have $port $token"
  if IFS= read -r word <&7 && [ "$word" = "$token" ]; then head -c $((size - have)) <&7 >>"$file" 8<&- 9<&-; fi
  exec 7<&-
  kill -KILL "$dog" "$netcat"
  have
  [ "$have" -le "$size" ] || refuse "what arrived is not what was sent"
  say "got $have"
} 2>/dev/null

# take_watch PID: end a netcat through which nothing has come for a while, or that does not end when all has come.
take_watch() {
  watch_quiet=0
  while watch_last=$have && sleep 1; do
    have
    if [ "$have" -gt "$watch_last" ]; then
      say "have $have"
      say more >&9
      watch_quiet=0
    else watch_quiet=$((watch_quiet + 1)); fi
    { [ "$watch_quiet" -lt "$silence" ] && [ "$have" -lt "$size" ]; } || kill -KILL "$1"
  done
} 2>/dev/null

# feed AT TOKEN ARGV...: hand on what there is from AT on, and what will come, as it comes; who has it all ends the connection.
feed() {
  feed_at=$1 feed_token=$2
  shift 2
  { say "$feed_token" && tail -c +$((feed_at + 1)) -f "$file"; } | "$@" >/dev/null
} 2>/dev/null

finish() {
  say whole >&9
  wait "$summer"
  [ "$(cat "$part/sum")" = "sha256 $wanted" ] || refuse "what arrived is not what was sent"
  cd "$part/new" || exit 1
  if [ "$mode" = tar ]; then
    true >"$part/busy"
    problem=$(unpack . <"$file" 2>&1 8<&- 9<&-) || refuse "not unpacked in $directory/: ${problem%%
*}"
  else
    chmod "$mode" "$file" || refuse "$directory/$name: its mode cannot be set"
    TZ=UTC0 touch -t "$stamp" "$file" 2>/dev/null
    ln "$file" it || refuse "$directory/$name: cannot be placed"
  fi
  place_all                             # the file has a second name as long as others are fed from it
  rm -f "$part/busy"
  say placed
}

# Without a netcat whose port can be found, the master sends the file by ssh.
! has_ports || (eval "${10}") 8<&- 9<&-
say ready
exec 6<&0 </dev/null
while read -r word rest <&6; do
  # shellcheck disable=SC2086  # words of a command
  case $word in
    data)
      head -c "$rest" <&6 >>"$file" || refuse "$directory/: no room left"
      say more >&9
      ;;
    listen) take $rest 6<&- & ;;
    feed) feed $rest 6<&- 8<&- 9<&- & ;;
    beat) say >>"$part/old/beat" ;;
    finish) finish ;;
  esac
done
