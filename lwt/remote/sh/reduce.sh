# Run one partition: data comes in, goes through one or two commands, and their output goes back.
# Both directions are counted.
#
# It runs under the guard, in the host's home. The guard removes the directory that it makes.
#
# $1  how the data comes and goes: "attach" (attach.sh in another session) or "listen" (netcat)
# $2  a pattern: files on this host that are read instead of incoming data; or ''
# $3  name of the first command
# $4  text of the first command, or '': none
# $5  name of the second command
# $6  text of the second command, or '': none
# $7  seconds in which a process that connects must send the token
#     then, for "listen", the command line of netcat
#
# Standard input: for "listen", the tokens of the listeners (see netcat.py), "SENDER LISTENER" for
# each, all on one line.
#
# It prints:
#   "refused REASON"
#   "ready DIR"        with "attach"
#   "listen PORT"      with "listen"; again if a stranger connected first. If strangers connected
#                      to all listeners, "ready DIR" follows: the data comes and goes as with
#                      "attach"
#   "code NAME N"      exit code of each command
#   "lines in N", "sum in CRC BYTES", "lines out N", "sum out CRC BYTES"
mode=$1 pattern=$2 first_name=$3 first=$4 second_name=$5 second=$6 patience=$7 tokens='' netcat=''
shift 7
IFS= read -r tokens
exec </dev/null
find_scratch
dir=$scratch/lwt.$LWT_ID
exec 4>&1
# fail REASON: refuse, and end all processes that were started. The guard is in the same group and
# ignores TERM.
fail() {
  say "refused $*"
  trap '' TERM
  kill -TERM 0
  exit 1
}

# is_own DIRECTORY: whether only this user can access it. The guard has made it if something came on
# standard input.
is_own() { [ -n "$(find "$1" -prune -type d -user "$(id -u)" -perm 700)" ]; }

command -v cksum >/dev/null 2>&1 || fail "there is no cksum"
mask=$(umask)
umask 077
problem=$( { mkdir "$dir" || is_own "$dir"; } 2>&1 && cd "$dir" &&
  mkfifo in out in.lines in.sum out.lines out.sum go net.in net.out 2>&1) ||
  fail "${dir%/*}: ${problem##*: }"
umask "$mask"

# each COMMAND: run COMMAND with the name of each file that the pattern matches.
each() {
  each_do=$1
  expand "$pattern"
  pattern=$expanded
  IFS=''
  # shellcheck disable=SC2086  # to be expanded, and not split
  set -- $pattern
  unset IFS
  for file; do "$each_do" "$file"; done
}
look_at() { { [ -f "$1" ] && [ -r "$1" ]; } || fail "$1: no such file, or not to be read"; }
# whole FILE: print its lines. A newline is added to the last one if it lacks one, so that it is not
# joined with the first line of the next file.
whole() {
  cat "$1"
  [ ! -s "$1" ] || [ "$(tail -c 1 "$1" | wc -l)" -eq 1 ] || say ''
}
if [ -n "$pattern" ]; then
  each look_at
  rm -f "$dir/in"                       # no data comes
fi

# count NAME: copy standard input to standard output, and print how much that was.
count() {
  { say "lines $1" "$(wc -l <"$dir/$1.lines")" >&4; } &
  { say "sum $1" "$(cksum <"$dir/$1.sum")" >&4; } &
  tee "$dir/$1.lines" "$dir/$1.sum"
  wait
}

# step NAME TEXT: run a command and print its exit code. Input that the command does not read is
# read here, because it must be counted.
step() {
  step_code=0
  (
    set -- "$dir" "$2" "$1"
    [ "$3" = sort ] || restore_environment      # sort is ours
    LWT_SCRATCH=$1
    export LWT_SCRATCH
    exec /bin/sh -c "$2"
  ) 4>&- || step_code=$?
  say "code $1 $step_code" >&4
  cat >/dev/null
}
steps() {
  if [ -n "$second" ]; then step "$first_name" "$first" | step "$second_name" "$second"
  elif [ -n "$first" ]; then step "$first_name" "$first"
  else cat; fi
}

if [ -n "$pattern" ]; then each whole | steps | count out >"$dir/out" &
else count in <"$dir/in" | steps | count out >"$dir/out" & fi
pipeline=$!

# listen ARGV...: listen until a process sends the token of a listener; no other process gets a
# byte. Each listener waits longer than the one before, by the same time: the master may still be
# waiting for the answer of a stranger at the port of the one before.
listen() {
  has_ports || fail "the port of a netcat cannot be found without /proc; use --transport ssh"
  listen_time=0
  while [ -n "$tokens" ]; do
    listen_time=$((listen_time + patience))
    sender=${tokens%% *} tokens=${tokens#* }
    listener=${tokens%% *}
    case $tokens in *" "*) tokens=${tokens#* } ;; *) tokens='' ;; esac
    { read -r _ <"$dir/go" && say "$listener" &&
      exec cat <"$dir/out"; } >"$dir/net.in" 2>/dev/null &
    feeder=$!
    "$@" <"$dir/net.in" >"$dir/net.out" 2>/dev/null 4>&- &
    netcat=$!
    exec 7<"$dir/net.out"
    port=$(port_of "$netcat") || fail "the port of its netcat ($1) cannot be found"
    listen_watch "$netcat" "$listen_time" >/dev/null 2>&1 7<&- &
    dog=$!
    say "listen $port"
    if has_token "$sender" <&7; then
      kill -KILL "$dog"
      say >"$dir/go"
      return
    fi
    exec 7<&-
    kill -KILL "$dog" "$netcat" "$feeder"
  done 2>/dev/null
  netcat=''
}

# listen_watch PID SECONDS: end a netcat after SECONDS.
listen_watch() {
  watch_left=$2
  while [ "$watch_left" -gt 0 ] && sleep 1; do watch_left=$((watch_left - 1)); done
  kill -KILL "$1"
}

# unframe: copy the data of chunks, "BYTES" and BYTES bytes each, until "0".
unframe() {
  while read -r bytes && [ "$bytes" -gt 0 ]; do head -c "$bytes" || break; done 2>/dev/null
}

[ "$mode" = attach ] || listen "$@"
if [ -z "$netcat" ]; then say "ready $dir"
elif [ -z "$pattern" ]; then unframe <&7 >"$dir/in"; fi
wait "$pipeline"
# netcat must not end before the master has all data: what it still has to send might be lost.
[ -z "$netcat" ] || wait "$netcat"
