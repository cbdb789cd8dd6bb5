# The part of the guard that most commands do not need: go on after the first heartbeat, and end the
# command. guard.sh loads it in the shell that needs it. lib.sh and proclib.sh precede it.
#
# After the first heartbeat, a shell whose `read` has no timeout needs one more process:
#
#   reader  turns the lifeline into signals to the watcher: USR1 for a heartbeat, USR2 for
#           end-of-file
#
# The watcher then starts a timer after each heartbeat.

# unguarded: the main shell could not start the watcher, so end the command.
unguarded() {
  trap '' EXIT
  find_command
  kill_rest
  kill -KILL "-$command" "$command"
  [ -z "$timer" ] || kill -KILL "$timer"
  [ -z "$watcher" ] || kill -KILL "$watcher"
  code=137 why=limit
  end_line
  [ ! -d "$staged" ] || exec rm -rf "$staged"   # exec, because a fork may fail
}

# find_command: tell find_rest where to begin, and that the processes in this session do not belong
# to the command.
#
# The parent of the command is the main shell, as long as that lives. If it lives and a process with
# another parent has the number of the command, the command and its group have ended. Then this
# process and its session must not be signalled. The parent of this shell is read last, because the
# main shell may die meanwhile.
find_command() {
  command_start='' command_parent=$main
  ! read_stat "$command" || command_start=$stat_start command_parent=$stat_parent
  if read_stat self; then
    rest_guard=$main rest_spared=$stat_session
    [ "$command_parent" = "$main" ] || [ "$stat_parent" != "$main" ] || command=''
  fi
  rest_root=$command
}

# is_command_number: whether no other process has the command's number by now. While a process of
# its group lives, the number is not given to another process.
is_command_number() {
  [ -n "$command" ] || return 1
  ! read_stat "$command" || [ "$stat_start" = "$command_start" ]
}

# signal_command NAME: signal the command's group. Without setsid, that is the group of the guard.
signal_command() {
  if [ -z "$setsid" ]; then kill "-$1" 0
  elif is_command_number; then kill "-$1" "-$command" "$command"; fi
}

# die SIGNAL: end the command. SIGNAL tells the main shell why.
die() {
  trap '' TERM HUP INT USR1 USR2 ALRM TTIN VTALRM
  kill "-$1" "$main"
  leave
  end_first_timer
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
  is_command_number && kill -0 "-$command" || return
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

# watch_on STATUS: what the watcher does after its first read, which returned STATUS, or was
# interrupted by the main shell because the timer has ended (STATUS is "timer").
watch_on() {
  PATH=$PATH:/usr/bin:/bin              # the command keeps the PATH that it got
  no_timer=$! over=''
  [ -n "$is_bash" ] || can_fork=1
  if [ "$1" = timer ]; then time_is_up; fi
  if [ -n "$has_timed_read" ]; then
    note_read "$1"
    watch_by_read
  fi
  [ "$1" -eq 0 ] || die ALRM
  trap '' TTIN
  find_watcher
  trap leave VTALRM
  trap 'beat=1' USR1
  trap 'die ALRM' USR2
  trap stuck EXIT
  read_lifeline &
  reader=$! no_timer=$!
  end_first_timer
  watch_by_timer
  trap '' EXIT
  leave
}

# span_until_end: set $span to the time until the lease or the command's time is over.
span_until_end() {
  span=$lease
  if [ "$timeout" -ne 0 ]; then
    uptime
    [ "$up" -lt "$end" ] || die USR2
    [ $((end - up)) -ge "${lease%.*}" ] || span=$((end - up))
  fi
}

# time_is_up: no heartbeat came within $span.
time_is_up() {
  if [ "$timeout" -ne 0 ]; then
    uptime
    [ "$up" -lt "$end" ] || die USR2
  fi
  die USR1
}

# watch_by_read: end the command when its lease or its time is over. The main shell kills this one
# when the command has ended. No process is needed for that. At the limit of processes, bash would
# try for 15 seconds to start one.
watch_by_read() {
  while :; do
    span_until_end
    timed_read
    note_read "$?"
  done
}

# note_read STATUS: act on the status of a read with a timeout. bash tells whether the time is over;
# in other shells, the clock does.
note_read() {
  [ "$1" -ne 0 ] || return
  if [ "$1" -eq 1 ]; then
    [ -z "$is_bash" ] || die ALRM
    uptime
    [ $((up - began)) -ge "${span%.*}" ] || die ALRM
  fi
  time_is_up
}

# watch_by_timer: as watch_by_read, but with a timer and the signals of the reader.
watch_by_timer() {
  while [ -z "$over" ]; do
    beat=''
    span_until_end
    sleep "$span" 3<&- &
    if [ -z "$over" ]; then
      wait "$!"
      end_timer
      [ -n "$beat$over" ] || time_is_up
    fi
  done
}

# stuck: the watcher could not start the reader or a timer. So it reads the lifeline itself, and the
# main shell reads the clock in a loop until the command must end.
#
# It runs in an EXIT trap. In an EXIT trap, dash sets $? to the code of the exit after each signal
# trap that returns.
stuck() {
  can_fork=''
  trap time_is_up USR1
  trap 'exit 0' VTALRM
  [ -z "$reader" ] || kill -KILL "$reader"
  kill -TTOU "$main"
  end_first_timer
  while read -r _ <&3; do kill -TTOU "$main"; done
  die ALRM
}

# keep_time: the watcher is stuck. Read the clock until the command has ended, or is being ended.
# $beat is set for each heartbeat.
keep_time() {
  timer='' last=0
  # Without a clock, the command must end now.
  [ -r /proc/uptime ] || kill -USR1 "$watcher"
  while [ -z "$why" ] && read_stat "$command"; do
    read -r up _ </proc/uptime
    up=${up%.*}
    case $beat in 1) beat='' last=$up ;; esac
    if [ $((up - last)) -gt "${lease%.*}" ] ||
      { [ "$timeout" -ne 0 ] && [ "$up" -ge "$end" ]; }; then
      kill -USR1 "$watcher"
    fi
  done
}

# leave: the command has ended. The reader must be gone before another process may read from the
# lifeline.
leave() {
  over=1
  end_timer
  [ -n "$reader" ] || return 0
  kill -KILL "$reader"
  await_child "$reader"
  reader=''
}

# await_child PID: wait until a child has ended; returns its exit code. A signal may interrupt one
# wait.
await_child() {
  while wait "$1"; await_status=$?; [ "$await_status" -gt 128 ] && kill -0 "$1"; do :; done
  return "$await_status"
}

# end_timer: end the watcher's own timer. It uses no variable that is set after the timer has
# started, because a trap may run at once.
end_timer() { [ "$!" = "$no_timer" ] || kill -KILL "$!"; }

# end_first_timer: end the timer that is a child of the main shell.
end_first_timer() {
  if [ -n "$timer" ] && is_own "$timer"; then kill -KILL "$timer"; fi
  timer=''
}

# is_own PID: whether a process is in the session of this shell. Without /proc, it is assumed to be.
is_own() {
  read_stat self || return 0
  set -- "$1" "$stat_session"
  read_stat "$1" && [ "$stat_session" = "$2" ]
}

# find_watcher: set $watcher to the number of this shell.
find_watcher() {
  if read_stat self; then
    # shellcheck disable=SC2086  # to be split into fields
    set -- $stat_text
    watcher=$1
  else
    # shellcheck disable=SC2016  # for the inner shell
    watcher=$(exec /bin/sh -c 'echo "$PPID"')
  fi
}

# read_lifeline: signal to the watcher what comes over the lifeline.
read_lifeline() {
  trap '' TERM HUP INT
  while read -r _ <&3; do kill -USR1 "$watcher" || exit; done
  # A signal that comes right before a wait does not interrupt it, so the signal is repeated.
  # Builtins do that if sleep cannot be started.
  trap 'for _ in 1 2 3 4 5 6 7 8 9 10; do kill -USR2 "$watcher"; done' EXIT
  while kill -USR2 "$watcher"; do nap; done
  trap '' EXIT
}
