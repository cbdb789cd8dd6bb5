# Receive a file from the master or from another host, and pass it on to the next host while it
# arrives.
#
# $1-$4  as for putlib.sh
# $5     bytes
# $6     sha256
# $7     mode, or "tar": the file is a tar stream and is unpacked
# $8     modification time, as touch -t reads it, in UTC
# $9     seconds without data before a link between hosts counts as broken
# ${10}  shell code that reports which netcat the host has (see netcat.py)
#
# The script prints that report and "ready", or "same" if the host has the file already. Then it
# reads commands, one a line:
#   data N                   N bytes follow this line
#   listen SENDER LISTENER ARGV...
#                            receive the missing bytes with a netcat, from a sender that knows the
#                            tokens (see netcat.py). The script prints "listen HAVE PORT" and at the
#                            end "got HAVE", or "failed HAVE stranger" or "failed HAVE nobody" if no
#                            such sender connected
#   feed AT SENDER LISTENER ARGV...
#                            send the bytes from AT on, those that have arrived and those that will,
#                            to a netcat
#   beat                     a host that receives from this one makes progress, even if nothing
#                            arrives on this one: see watch in putlib.sh
#   finish                   verify the file and move it into place; the script prints "placed"
# Meanwhile it prints "have N" each second. At the end of its input, the script ends, and with it
# all processes that it has started.
size=$5 wanted=$6 mode=$7 stamp=$8 silence=$9
[ "$kind" = sha256 ] || refuse "no sha256sum there"
[ "$mode" != tar ] || command -v tar >/dev/null 2>&1 || refuse "$no_tar"
# is_same: whether the host has that file, under its own name, and this user owns it, so that its
# mode and time can be set.
is_same() {
  [ "$mode" != tar ] && [ -f "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] &&
    [ "$(digest <"$1")" = "sha256 $wanted" ] &&
    chmod "$mode" "$1" && TZ=UTC0 touch -t "$stamp" "$1"
}
if is_same "$directory/$name" 2>/dev/null; then
  say same
  exit 0
fi
file=$part/old/it
{ true >"$file" && mkfifo "$part/more"; } || refuse "$directory/: no room left"
exec 9<>"$part/more"
at_exit() {
  kill -TERM 0
  # For `summed`: a shell that was just forked may lose that signal.
  say end >&9
  cd / && rm -rf "${part:?}"
}

# have: set $have to the number of bytes that have arrived.
have() { have=$(wc -c <"$file") && have=$((have)); }

# summed: print the part of the file that has arrived, once for each line "more", so that little
# remains to be hashed when the file is complete.
summed() {
  while read -r word <&9; do
    cat
    [ "$word" = more ] || return
  done
}
# openssl is several times as fast as sha256sum if the processor supports it.
case $(openssl dgst -sha256 -r </dev/null 2>/dev/null) in
  e3b0c442*) digest() { openssl dgst -sha256 -r | sed 's/^/sha256 /; s/ [*].*//'; } ;;
esac
summed <"$file" | digest >"$part/sum" 9<&- &
summer=$!

# take SENDER LISTENER ARGV...: receive the missing bytes from a sender that sends the token SENDER.
# It ends when nothing comes for a while.
take() {
  take_sender=$1 take_listener=$2
  shift 2
  have
  rm -f "$part/net" "$part/answer" "$part/nobody"
  mkfifo "$part/net" "$part/answer" || { say "failed $have nobody"; return; }
  exec 8<>"$part/answer"                # the netcat of a listener ends at the end of its input
  "$@" <&8 >"$part/net" 9<&- &
  netcat=$!
  exec 7<"$part/net"
  if ! port=$(port_of "$netcat"); then
    kill -KILL "$netcat"
    say "failed $have nobody"
    return
  fi
  take_watch "$netcat" "$port" 7<&- 8<&- &
  dog=$!
  say "listen $have $port"
  take_end=failed
  if has_token "$take_sender" <&7; then
    take_end=got
    say "$take_listener" >&8
    head -c $((size - have)) <&7 >>"$file" 8<&- 9<&-
  fi
  exec 7<&-
  kill -KILL "$dog" "$netcat"
  have
  [ "$have" -le "$size" ] || refuse "checksum mismatch after transfer"
  if [ "$take_end" = got ]; then say "got $have"
  elif [ -e "$part/nobody" ]; then say "failed $have nobody"
  else say "failed $have stranger"; fi
} 2>/dev/null

# take_watch PID PORT: end a netcat that has received nothing for a while, or that does not end
# after all bytes have arrived.
take_watch() {
  watch_quiet=0
  while watch_last=$have && sleep 1; do
    have
    if [ "$have" -gt "$watch_last" ]; then
      say "have $have"
      say more >&9
      watch_quiet=0
    else watch_quiet=$((watch_quiet + 1)); fi
    { [ "$watch_quiet" -lt "$silence" ] && [ "$have" -lt "$size" ]; } && continue
    is_taken "$2" || true >"$part/nobody"
    kill -KILL "$1"
  done
} 2>/dev/null

# feed NUMBER AT SENDER LISTENER ARGV...: send the bytes from AT on, and those that arrive later, to
# a receiver that answers with the token LISTENER. The receiver ends the connection when it has all
# bytes.
feed() {
  feed_to=$part/to.$1 feed_from=$part/from.$1 feed_at=$2 feed_sender=$3 feed_listener=$4
  shift 4
  mkfifo "$feed_to" "$feed_from" || return
  "$@" <"$feed_to" >"$feed_from" &
  feed_netcat=$!
  # A netcat that cannot connect has ended before anything is sent to it.
  trap '' PIPE
  exec 7>"$feed_to" 5<"$feed_from"
  rm -f "$feed_to" "$feed_from"
  feed_watch "$feed_netcat" 5<&- 7>&- &
  feed_dog=$!
  say "$feed_sender" >&7
  if ! has_token "$feed_listener" <&5; then
    kill -KILL "$feed_dog" "$feed_netcat"
    return
  fi
  kill -KILL "$feed_dog"
  trap - PIPE
  exec tail -c +$((feed_at + 1)) -f "$file" >&7 7>&-
} 2>/dev/null

# feed_watch PID: end a netcat if the other end does not answer for a while.
feed_watch() {
  feed_left=$silence
  while [ "$feed_left" -gt 0 ] && sleep 1; do feed_left=$((feed_left - 1)); done
  kill -KILL "$1"
}

finish() {
  say whole >&9
  wait "$summer"
  [ "$(cat "$part/sum")" = "sha256 $wanted" ] || refuse "checksum mismatch after transfer"
  cd "$part/new" || exit 1
  if [ "$mode" = tar ]; then
    true >"$part/busy"
    problem=$(unpack . <"$file" 2>&1 9<&-) || refuse "not unpacked in $directory/: ${problem%%
*}"
  else
    chmod "$mode" "$file" || refuse "$directory/$name: its mode cannot be set"
    TZ=UTC0 touch -t "$stamp" "$file" 2>/dev/null
    ln "$file" it || refuse "$directory/$name: cannot be placed"
  fi
  # The file keeps its second name as long as other hosts receive from it.
  place_all
  rm -f "$part/busy"
  say placed
}

# Without a netcat whose port can be found, the master sends the file by ssh.
! has_ports || (eval "${10}") 9<&-
say ready
feeds=0
exec 6<&0 </dev/null
while read -r word rest <&6; do
  # shellcheck disable=SC2086  # words of a command
  case $word in
    data)
      head -c "$rest" <&6 >>"$file" || refuse "$directory/: no room left"
      say more >&9
      ;;
    listen) take $rest 6<&- & ;;
    feed)
      feeds=$((feeds + 1))
      feed "$feeds" $rest 6<&- 9<&- &
      ;;
    beat) say >>"$part/old/beat" ;;
    finish) finish ;;
  esac
done
