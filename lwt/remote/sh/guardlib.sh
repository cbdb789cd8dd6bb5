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
#   watcher          reads the lifeline, and ends the command
#   timer            a sleep(1), which tells when the lease or the timeout is over. Not needed where
#                    `read` has a timeout, as in bash and busybox
#
# Most commands end before the first heartbeat. So this file is all that they need, and it starts as
# few processes as it can. Everything else is in endlib.sh, which load_later defines.
#
# Before the watcher ends the command, it signals this shell: USR1 for the lease, USR2 for the
# timeout, ALRM for end-of-file. The end line then has a word after the exit code: lease, timeout or
# closed.
#
# The command itself may bring a host to its limit of processes. dash and busybox end a shell that
# cannot fork, and run its EXIT trap. A second failed fork in that trap would end it too. So that
# trap ends the command with builtins alone.
#
# $grace, $lease, $timeout, $id, $nonce, $input and $staged are set by the script that uses these
# functions. If that script has a process of its own that sends TTIN to this shell when the lease is
# over, $idler is its number.
exec 3<&0 4>&2 </dev/null 2>/dev/null   # the shell's own "Killed" is not output of the command
main=$$ command_text=$command command='' can_fork='' why='' again='' code=''
watcher='' reader='' timer='' is_stuck='' beat='' is_late='' idler='' is_bash='' has_timed_read=''
# shellcheck disable=SC3028  # for bash alone; the first version whose read takes fractions
case ${BASH_VERSION-} in
  [4-9]* | [1-9][0-9]*) is_bash=1 has_timed_read=1 ;;
  *)
    # shellcheck disable=SC3045  # dash has no -t and says 2. The others are at end-of-file
    read -r -t 1 _
    [ $? -ne 1 ] || has_timed_read=1
    ;;
esac
for setsid in /usr/bin/setsid /bin/setsid ''; do
  [ ! -x "$setsid" ] || break
done

# load_later: define the functions of endlib.sh.
load_later() {
  case $lwt_later in '') return ;; esac
  lwt_decode "$lwt_later"
  lwt_later=''
  eval "$lwt_text"
}

# end_line: print how the command ended, on both streams.
end_line() {
  printf '\036%s end %s%s\n' "$nonce" "$code" "${why:+ $why}"
  printf '\036%s end %s%s\n' "$nonce" "$code" "${why:+ $why}" >&4
}

# uptime: set $up to whole seconds, from a clock that nobody can set if the host has one.
uptime() {
  { read -r up _ </proc/uptime; } 2>/dev/null || up=$(date +%s)
  up=${up%.*}
}

# start_command ARGUMENT...: start the command. Its process number is also that of its group.
start_command() {
  (
    exec <"$input" 2>&4 3<&- 4>&-
    set -- "$setsid" "$id" "$command_text" sh "$@"
    restore_environment
    # shellcheck disable=SC2030  # only the command gets it
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

# start_timer: start the timer for the first span. It is a child of this shell, which can end it
# together with the watcher.
start_timer() {
  PATH=$PATH:/usr/bin:/bin sleep "$span" >/dev/null 3<&- 4>&- &
  timer=$!
}

# timed_read: read a line of the lifeline, for at most $span seconds.
timed_read() {
  if [ -z "$is_bash" ]; then
    uptime
    case $span in *.*) span=$((${span%.*} + 1)) ;; esac       # old shells take whole seconds
  fi
  began=$up
  # shellcheck disable=SC3045
  read -r -t "$span" _ <&3
}

# watch: wait for the first heartbeat, end-of-file, or the end of the first span. Afterwards,
# endlib.sh goes on.
watch() {
  exec >/dev/null 4>&-
  trap '' TERM HUP INT
  trap 'load_later; watch_on timer' USR1
  case $has_timed_read in
    1) timed_read ;;                    # it ignores TTIN, and looks at the lease itself
    *)
      trap 'load_later; watch_on timer' TTIN
      read -r _ <&3
      ;;
  esac
  first=$?
  load_later
  watch_on "$first"
}

# await_command: set $code to the command's exit code. A signal to this shell interrupts the wait,
# also the CHLD of the timer.
await_command() {
  again=1
  while [ -n "$again" ]; do
    again=''
    if [ -n "$timer" ] && [ -z "$is_stuck" ] && kill -0 "$command" &&
      ! kill -0 "$timer"; then
      timer=''
      kill -USR1 "$watcher"
    fi
    [ -z "$is_late" ] || kill -TTIN "$watcher"
    is_late=''
    [ -z "$is_stuck" ] || { load_later; keep_time; }
    wait "$command"
    await_code=$?
    # If a signal comes after dash has reaped the command, dash no longer knows its exit code.
    if [ -z "$code" ] || [ "$await_code" -ne 127 ]; then code=$await_code; fi
  done
}

# start_clock: set when the command must end, and start the timer.
start_clock() {
  span=$lease up=0 end=0
  if [ "$timeout" -ne 0 ]; then
    uptime
    end=$((up + timeout))
    [ "$timeout" -ge "${lease%.*}" ] || span=$timeout
  fi
  [ -n "$has_timed_read" ] || { [ -n "$idler" ] && [ "$span" = "$lease" ]; } || start_timer
}

# start_watcher: start the watcher of the command, which was just started.
start_watcher() {
  trap '' USR1 USR2 ALRM TTIN           # they must not end a watcher that has just begun
  watch &
  watcher=$!
  trap 'why=lease again=1' USR1
  trap 'why=timeout again=1' USR2
  trap 'why=closed again=1' ALRM
  trap 'is_late=1 again=1' TTIN
  if [ -z "$has_timed_read" ]; then
    trap 'again=1' CHLD
    trap 'is_stuck=1 beat=1 again=1' TTOU
  fi
}

# dismiss_watcher: end the watcher and the timer, because the command has ended. VTALRM ends a
# watcher that has no reader yet, at any time. In the others it is a trap, which ends the reader.
dismiss_watcher() {
  case $why:$has_timed_read$is_stuck in
    :?*) kill -KILL "$watcher" $timer ;;
    :) kill -VTALRM "$watcher"; [ -z "$timer" ] || kill -KILL "$timer" ;;
    *) wait "$watcher" ;;
  esac
}
