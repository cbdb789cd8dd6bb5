# The guard on a host: it runs one command and sees to it that nothing of it outlives the master's interest.
#
# Standard input is the lifeline: a newline is a heartbeat; end-of-file, or no heartbeat for the lease, means that the master
# is gone, has given up or is cut off.  Then, and when its time is over, the command's group gets TERM and CONT and, after the grace, KILL, and so does what
# left the group but still carries LWT_ID in its environment.  Killing ssh alone would leave the command running.
#
# Who is who: this shell ($$) waits for signals; the runner, a subshell, waits for the command and prints the frame's end; the
# reader, another, turns what comes over the lifeline into signals: USR1 heartbeat, USR2 end, ALRM the command is over.
#
# $1 nonce  $2 grace, s  $3 lease, s  $4 home  $5 bytes of a script  $6 bytes of input for the command  $7 stall, s
# $8 whole seconds for the command, 0: no limit    $9 the command, for sh -c (with a script, only its name)    then its arguments
nonce=$1 grace=$2 lease=$3 home=$4 script_bytes=$5 input_bytes=$6 stall=$7 timeout=$8 command=$9
shift 9
printf '\036%s begin\n' "$nonce"
printf '\036%s begin\n' "$nonce" >&2

fail() {
  printf '\036%s fail %s\n' "$nonce" "$1"
  exit 1
}

enter_home "$home" || fail "$home_problem"

find_scratch
staged=$scratch/lwt.$nonce              # a command may make it as well, and need not remove it
input=/dev/null
if [ $((script_bytes + input_bytes)) -gt 0 ]; then
  mask=$(umask)
  umask 077
  trap 'rm -rf "$staged"; exit 143' TERM HUP
  mkdir "$staged" || fail "$staged: cannot be made"
  if ! { receive "$staged/both" $((script_bytes + input_bytes)) "$stall" && arrived "$staged/both" $((script_bytes + input_bytes)); }
  then
    rm -rf "$staged"
    fail "input for the command did not arrive"
  fi
  input=$staged/input
  if ! { head -c "$script_bytes" "$staged/both" >"$staged/script" && chmod 700 "$staged/script" &&
    tail -c +$((script_bytes + 1)) "$staged/both" >"$input"; }; then
    rm -rf "$staged"
    fail "$staged: cannot be written"
  fi
  rm -f "$staged/both"
  umask "$mask"
  if [ "$script_bytes" -gt 0 ]; then
    # shellcheck disable=SC2016  # for the inner shell
    set -- "$staged/script" "$@" && command='"$@"'
    if [ ! -x "$1" ]; then              # nothing may be executed in this file system
      read -r first <"$1"
      case $first in '#!'*) first=${first#??} ;; *) first=/bin/sh ;; esac
      # shellcheck disable=SC2086  # an interpreter and its argument
      set -- $first "$@"
    fi
  fi
fi
exec 3<&0 4>&2 </dev/null

# uptime: whole seconds by a clock that nobody sets, where there is one.
uptime() {
  { read -r up _ </proc/uptime; } 2>/dev/null || up=$(date +%s)
  up=${up%.*}
}

# alone: is nobody else left in the group?  (Where there is no /proc, nobody can say.)
alone() {
  [ -r /proc/self/stat ] || return 1
  for alone_dir in /proc/[0-9]*; do
    case $alone_dir in "/proc/$$" | "/proc/$PPID") continue ;; esac
    { IFS= read -r alone_line <"$alone_dir/stat"; } 2>/dev/null || continue
    # shellcheck disable=SC2086  # to be split into fields
    set -- ${alone_line##*") "}
    [ "$3" != "$own_group" ] || [ "$1" = Z ] || [ "$1" = X ] || return 1
  done
}

timer='' reader='' beat='' over=''
die() {
  trap '' TERM HUP INT USR1 USR2 ALRM
  # shellcheck disable=SC2086  # either may be empty
  kill -KILL $timer $reader
  own_group=$(group $$)
  kill -TERM 0
  kill -CONT 0
  uptime
  end=$((up + ${grace%.*}0 / 10 + 1))
  until alone || [ "$up" -ge "$end" ]; do
    nap
    uptime
  done
  sweep "$nonce"
  [ ! -d "$staged" ] || rm -rf "$staged"
  kill -KILL 0
}
# shellcheck disable=SC2086
leave() {
  over=1
  kill -KILL $timer $reader
}
# Handlers, not ignored signals: what is ignored now would be ignored by the command as well.
trap die USR2
trap leave ALRM
trap 'beat=1' USR1
trap : TERM HUP INT

(
  trap : TERM HUP INT
  # The shell's own "Killed" is not the command's output; dash redirects before it forks, hence the inner subshell.
  exec 2>/dev/null
  (
    exec <"$input" 2>&4 3<&- 4>&-
    set -- "$nonce" "$command" sh "$@"
    restore_environment
    LWT_ID=$1
    export LWT_ID
    shift
    exec /bin/sh -c -- "$@"
  )
  code=$?
  [ ! -d "$staged" ] || rm -rf "$staged"
  printf '\036%s end %s\n' "$nonce" "$code"
  printf '\036%s end %s\n' "$nonce" "$code" >&4
  kill -ALRM $$
) &

PATH=$PATH:/usr/bin:/bin                # the guard needs sleep; the command keeps the PATH that it was given
exec >/dev/null 2>&1 4>&-
trap '' TERM HUP INT
(
  trap - USR1 USR2 ALRM
  while read -r _ <&3; do kill -USR1 $$ || exit; done
  while kill -USR2 $$; do sleep 1; done # again, should the first one have come between two commands
) &
reader=$!
exec 3<&-
[ "$timeout" -eq 0 ] || { uptime && end=$((up + timeout)); }
while [ -z "$over" ]; do
  beat='' span=$lease
  if [ "$timeout" -ne 0 ]; then
    uptime
    [ "$up" -lt "$end" ] || die
    [ $((end - up)) -ge "${lease%.*}" ] || span=$((end - up))
  fi
  sleep "$span" &
  timer=$!
  [ -z "$over" ] || break               # it came before there was a number to kill
  wait "$timer"
  [ -n "$beat$over" ] || die
  kill -KILL "$timer"
done
leave
exit 0                                  # what there was to kill may be gone already
