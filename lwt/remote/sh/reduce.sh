# One partition: data comes, goes through one or two commands, and what they print goes back; both
# ways it is counted.
#
# It is run under the guard, in the host's home; the guard removes the directory that it makes. $1
# how the data comes and goes: "attach" (by attach.sh, in another session) or "listen" (by a netcat)
# $2 a pattern: the files here that are read, in place of data that comes; or '' $3 name, $4 text of
# the first command $5 name, $6 text of the second; a text may be '': none $7 seconds for whoever
# connects to prove that he knows the token; then, for "listen", the netcat's command line
#
# Standard input: for "listen", the tokens of the listeners (see netcat.py), "SENDER LISTENER" for
# each, all in one line. It says: "refused REASON"; "ready DIR", or "listen PORT" (again, if a
# stranger came first), or "ready DIR" in the end, if strangers came to all listeners: then the data
# comes and goes as for "attach"; "code NAME N" of each command; "lines in N", "sum in CRC BYTES",
# "lines out N", "sum out CRC BYTES".
mode=$1 pattern=$2 first_name=$3 first=$4 second_name=$5 second=$6 patience=$7 tokens='' netcat=''
shift 7
IFS= read -r tokens
exec </dev/null
find_scratch
dir=$scratch/lwt.$LWT_ID
exec 4>&1
# fail REASON: and nothing that was begun here is left; the guard, in the same group, does not mind.
fail() {
  say "refused $*"
  trap '' TERM
  kill -TERM 0
  exit 1
}

# is_own DIRECTORY: is it ours alone?  The guard has made it when something came on standard input.
is_own() { [ -n "$(find "$1" -prune -type d -user "$(id -u)" -perm 700)" ]; }

command -v cksum >/dev/null 2>&1 || fail "there is no cksum"
mask=$(umask)
umask 077
problem=$( { mkdir "$dir" || is_own "$dir"; } 2>&1 && cd "$dir" &&
  mkfifo in out in.lines in.sum out.lines out.sum go net.in net.out 2>&1) ||
  fail "${dir%/*}: ${problem##*: }"
umask "$mask"

# each COMMAND: run it with the names of the files that the pattern means.
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
# whole FILE: its lines; the last one is ended, or it would be joined with the next file's first.
whole() {
  cat "$1"
  [ ! -s "$1" ] || [ "$(tail -c 1 "$1" | wc -l)" -eq 1 ] || say ''
}
if [ -n "$pattern" ]; then
  each look_at
  rm -f "$dir/in"                       # nothing comes
fi

# count NAME: pass standard input on, and say how much that was.
count() {
  { say "lines $1" "$(wc -l <"$dir/$1.lines")" >&4; } &
  { say "sum $1" "$(cksum <"$dir/$1.sum")" >&4; } &
  tee "$dir/$1.lines" "$dir/$1.sum"
  wait
}

# step NAME TEXT: run a command, and say its code; what it does not want to read is read, for it has
# to be counted.
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

# listen ARGV...: until somebody sends the token of a listener; nobody else is sent a byte.  The
# second listener waits twice as long and so on: the master may still wait for the answer of a
# stranger at the port of the one before.
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

# listen_watch PID SECONDS: end a netcat after so long.
listen_watch() {
  watch_left=$2
  while [ "$watch_left" -gt 0 ] && sleep 1; do watch_left=$((watch_left - 1)); done
  kill -KILL "$1"
}

# unframe: of "BYTES", so many bytes, and so on, "0", the bytes.
unframe() {
  while read -r bytes && [ "$bytes" -gt 0 ]; do head -c "$bytes" || break; done 2>/dev/null
}

[ "$mode" = attach ] || listen "$@"
if [ -z "$netcat" ]; then say "ready $dir"
elif [ -z "$pattern" ]; then unframe <&7 >"$dir/in"; fi
wait "$pipeline"
# It must not end before the master has all: what it would still have to send might be lost.
[ -z "$netcat" ] || wait "$netcat"
