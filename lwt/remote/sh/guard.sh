# The guard on a host: run one command, and end all its processes if the master is gone or no longer
# needs it.
#
# Standard input is the lifeline: a newline is a heartbeat. End-of-file means that the master has
# given up or is gone. No heartbeat for the lease means that the master is cut off. In these cases,
# and when the command's time is over, the command's process group gets TERM and CONT. It gets KILL
# when it has ended or after the grace. KILL also goes to every process that left the group and can
# still be found (see proclib.sh). Killing ssh alone would leave the command running.
#
# Processes:
#   this shell ($$)  starts the others, waits for the command and prints the end of the frame
#   command          in a session of its own where the host has setsid(1), so that its group can be
#                    killed at once
#   watcher          checks the lease and the timeout, and ends the command
#   reader           turns the lifeline into signals to the watcher: USR1 for a heartbeat, USR2 for
#                    end-of-file
#
# Before the watcher ends the command, it signals this shell: USR1 for the lease, USR2 for the
# timeout, ALRM for end-of-file. The end line then has a word after the exit code: lease, timeout or
# closed.
#
# The command itself may bring a host to its limit of processes. dash and busybox end a shell that
# cannot fork, and run its EXIT trap. A second failed fork in that trap would end it too. So that
# trap ends the command with builtins alone.
#
# begin.sh precedes this file, and stage.sh too if there is a script or input.
#
# $1  grace in seconds
# $2  lease in seconds
# $3  home
# $4  bytes of a script
# $5  bytes of input for the command
# $6  stall in seconds
# $7  timeout of the command in whole seconds, 0: no limit
# $8  the command, for sh -c (with a script, only its name)
#     then its arguments
exec 3<&0 4>&2 </dev/null 2>/dev/null   # the shell's own "Killed" is not output of the command
main=$$ command_text=$command command='' can_fork='' why='' again='' code=''
watcher='' reader='' is_bash=''
# shellcheck disable=SC3028  # for bash alone; the first version whose read takes fractions
case ${BASH_VERSION-} in [4-9]* | [1-9][0-9]*) is_bash=1 ;; esac
for setsid in /usr/bin/setsid /bin/setsid ''; do
  [ ! -x "$setsid" ] || break
done

# -- the main shell --------------------------------------------------------------------------------

# end_line: print how the command ended, on both streams.
end_line() {
  printf '\036%s end %s%s\n' "$nonce" "$code" "${why:+ $why}"
  printf '\036%s end %s%s\n' "$nonce" "$code" "${why:+ $why}" >&4
}

# unguarded: this shell could not start the watcher or the reader, so end the command.
unguarded() {
  trap '' EXIT
  find_command
  kill_rest
  kill -KILL "-$command" "$command"
  kill -ALRM "$watcher"
  code=137 why=limit
  end_line
  [ ! -d "$staged" ] || exec rm -rf "$staged"   # exec, because a fork may fail
}

# find_command: tell find_rest where to begin, and that the processes in this session do not belong
# to the command.
find_command() {
  rest_root=$command
  ! read_stat self || rest_guard=$main rest_spared=$stat_session
}

# start_command ARGUMENT...: start the command. Its process number is also that of its group.
start_command() {
  (
    exec <"$input" 2>&4 3<&- 4>&-
    set -- "$setsid" "$id" "$command_text" sh "$@"
    restore_environment
    LWT_ID=$2
    export LWT_ID
    if [ -n "$1" ]; then
      lwt_name=$1
      shift 2
      exec "$lwt_name" /bin/sh -c -- "$@"
    fi
    shift 2
    exec /bin/sh -c -- "$@"
  ) &
  command=$!
}

# await_command: set $code to the command's exit code. A signal to this shell interrupts the wait.
await_command() {
  again=1
  while [ -n "$again" ]; do
    again=''
    wait "$command"
    await_code=$?
    # If a signal comes after dash has reaped the command, dash no longer knows its exit code.
    if [ -z "$code" ] || [ "$await_code" -ne 127 ]; then code=$await_code; fi
  done
}

# -- the watcher -----------------------------------------------------------------------------------

# uptime: set $up to whole seconds, from a clock that nobody can set if the host has one.
uptime() {
  { read -r up _ </proc/uptime; } 2>/dev/null || up=$(date +%s)
  up=${up%.*}
}

# is_command_there: whether the command runs or has not been reaped.
is_command_there() {
  if [ -e /proc/self/stat ]; then [ -e "/proc/$command" ]; else kill -0 "$command"; fi
}

# signal_command NAME: signal the command's group. Without setsid, that is the group of the guard.
signal_command() {
  if [ -n "$setsid" ]; then kill "-$1" "-$command" "$command"
  else kill "-$1" 0; fi
}

# die SIGNAL: end the command. SIGNAL tells the main shell why.
die() {
  trap '' TERM HUP INT USR1 USR2 ALRM
  kill "-$1" "$main"
  end_timer
  find_command
  trap finish EXIT
  # The search would miss a process that the command starts meanwhile. After the TERM, such a
  # process would have lost its parent.
  [ -z "$setsid" ] || signal_command STOP
  find_rest
  find_marked "LWT_ID=$id"
  know "$marked"
  signal_command TERM
  signal_command CONT
  uptime
  end=$((up + ${grace%.*}0 / 10 + 1))
  while is_group_there && [ "$up" -lt "$end" ]; do
    pause || break
    uptime
  done
  finish
  trap '' EXIT
  exit 0
}

# pause: wait for a short time; false if that is not possible.
pause() {
  if [ -n "$is_bash" ]; then nap_of_bash
  elif [ -n "$can_fork" ]; then
    can_fork=''
    nap
    can_fork=1
  else false; fi
}

# nap_of_bash: wait for a short time without a process: nothing is ever sent to or received from
# that socket.
nap_of_bash() {
  # shellcheck disable=SC3025,SC3045  # for bash alone
  read -r -t 0.05 _ </dev/udp/127.0.0.1/9
  [ $? -gt 128 ] || nap
} 2>/dev/null

# is_group_there: whether a process of the command's group lives. (Some hosts reap zombies late.)
is_group_there() {
  [ -n "$setsid" ] || return 0
  kill -0 "-$command" || return
  [ -e /proc/self/stat ] || return 0
  list_processes
  case "$rest_table " in *":$command"[[:space:]]*) return 0 ;; esac
  return 1
}

# finish: kill the remaining processes. Those that are found by descent come first, because that
# needs no new process.
finish() {
  [ -e /proc/self/stat ] || [ -z "$setsid" ] || signal_command KILL
  kill_rest
  kill_marked "LWT_ID=$id"
  [ ! -d "$staged" ] || rm -rf "$staged"
  [ -n "$setsid" ] || signal_command KILL
}

# stuck: the watcher cannot start its timer, so it reads the clock in a loop until it must end.
#
# It runs in an EXIT trap. In an EXIT trap, dash sets $? to the code of the exit after each signal
# trap. So a condition may be false at any time, and that must do no harm.
stuck() {
  can_fork=''
  case $has_clock in '') die USR1 ;; esac
  until [ -n "$over" ]; do
    # shellcheck disable=SC3045  # dash has no -t, and goes on at once
    if read -r -t 1 _ <&3; then beat=1; fi
    read -r up _ </proc/uptime
    up=${up%.*}
    case $beat in 1) beat='' last=$up ;; esac
    case $((up - last > ${lease%.*} ? 1 : timeout > 0 && up >= end ? 2 : 0)) in
      1) die USR1 ;;
      2) die USR2 ;;
    esac
  done
} 2>/dev/null

# leave: the command has ended.
leave() {
  over=1
  end_timer
}

# end_timer: end the timer. It uses no variable, because a trap may run right after the timer
# started.
end_timer() { [ "$!" = "$no_timer" ] || kill -KILL "$!"; }

# watch: end the command when its lease or its time is over.
watch() {
  exec >/dev/null 4>&-
  PATH=$PATH:/usr/bin:/bin              # the command keeps the PATH that it got
  no_timer=$! beat='' over='' last=0 end=0 has_clock=''
  [ ! -r /proc/uptime ] || has_clock=1
  [ -n "$is_bash" ] || can_fork=1
  trap '' TERM HUP INT
  uptime
  last=$up end=$((up + timeout))
  trap 'die ALRM' USR2
  trap leave ALRM
  trap 'beat=1' USR1
  trap stuck EXIT
  is_command_there || over=1
  while [ -z "$over" ]; do
    beat='' span=$lease
    if [ "$timeout" -ne 0 ]; then
      uptime
      [ "$up" -lt "$end" ] || die USR2
      [ $((end - up)) -ge "${lease%.*}" ] || span=$((end - up))
    fi
    await_beat
    [ -n "$beat$over" ] || time_is_up
    uptime
    last=$up
  done
  trap '' EXIT
  leave
}

# await_beat: wait for a heartbeat, at most $span seconds. bash needs no process for that, and no
# reader. At the limit of processes, bash would try for 15 seconds to start one.
await_beat() {
  if [ -n "$is_bash" ]; then
    # shellcheck disable=SC3045  # for bash alone
    read -r -t "$span" _ <&3
    case $? in
      0) beat=1 ;;
      1) die ALRM ;;
    esac
    return
  fi
  sleep "$span" 3<&- &
  [ -z "$over" ] || return
  wait "$!"
  end_timer
}

# time_is_up: no heartbeat came while the timer ran.
time_is_up() {
  uptime
  if [ "$timeout" -ne 0 ] && [ "$up" -ge "$end" ]; then die USR2; fi
  die USR1
}

# read_lifeline: signal to the watcher what comes over the lifeline.
read_lifeline() {
  exec >/dev/null 4>&-
  trap '' TERM HUP INT
  while read -r _ <&3; do kill -USR1 "$watcher" || exit; done
  # A signal that comes right before a wait does not interrupt it, so the signal is repeated.
  # Builtins do that if sleep cannot be started.
  trap 'for _ in 1 2 3 4 5 6 7 8 9 10; do kill -USR2 "$watcher"; done' EXIT
  while kill -USR2 "$watcher"; do nap; done
  trap '' EXIT
}

# -- main program ----------------------------------------------------------------------------------

trap 'again=1' TERM HUP INT             # handlers: the command would inherit ignored signals
start_command "$@"
trap unguarded EXIT
trap '' USR1 USR2 ALRM                  # they must not kill a watcher that has just begun
watch &
watcher=$!
trap 'why=lease again=1' USR1
trap 'why=timeout again=1' USR2
trap 'why=closed again=1; kill -KILL "$reader"' ALRM
if [ -z "$is_bash" ]; then
  read_lifeline &
  reader=$!
fi
exec 3<&-
await_command
trap '' EXIT
end_line
case $reader:$why in
  :) kill -KILL "$watcher" ;;           # bash: there is no timer to end
  :*) ;;
  *) kill -ALRM "$watcher"; kill -KILL "$reader" ;;
esac
wait "$watcher"
# exec, because the command may have used up the limit of processes.
[ ! -d "$staged" ] || exec rm -rf "$staged"
exit 0
