# The runner: it is staged with the task, started detached by a launch, and runs the task's command
# at most once.
#
# It is the leader of the task's process group; the task's standard streams are files.  The
# command's end is the name of a file.  Its working directory is the task's directory.  It starts as
# few processes as it can: many tasks are short.
trap '' HUP
# The local guard of a killed lwt lists processes, then sends TERM.  One of them may have become
# this runner in between.
trap : TERM
umask 077

# ring: tell those that wait that something has happened here.  (Opened to read as well, a FIFO
# never blocks.)
ring() {
  for bell in ../bell.*; do
    [ ! -p "$bell" ] || say r 1<>"$bell"
  done
} 2>/dev/null

# now: seconds of a clock that nobody sets, where there is one.
now() {
  { read -r up _ </proc/uptime; } 2>/dev/null || up=$(date +%s)
}

# goes_on: is the command still there, or anything that it started?
goes_on() { [ ! -e usage ] || [ -n "$(unset LWT_ID; marked "LWT_ID=$1")" ]; }

# regain_all: regain this directory and those of lwt above it, from the top: each can only be
# reached through the one above.
here=$PWD
regain_all() {
  regain "${here%/*/*}"
  regain "${here%/*}"
  regain "$here"
}

# is_later: has the clock moved on since the task's input was copied?  Not every shell compares more
# than seconds.
is_later() {
  # shellcheck disable=SC3013  # where test has no -nt, find answers
  if [ "$told" = stat ]; then [ "$(stat -c %y "$candidate")" != "$(stat -c %y cancel)" ]
  else [ "$candidate" -nt cancel ] ||
    { [ "$tries" -gt 3 ] && [ -n "$(find "$candidate" -newer cancel)" ]; }; fi
} 2>/dev/null

# expire: no process can be started to wait for the end of the time, or to end the task: perhaps it
# is the task that has taken all places.  dash and busybox end a shell that cannot fork, so this is
# a trap, and uses builtins until the task is dead.
expire() {
  trap '' EXIT
  can_fork=''
  until [ -n "$over" ] || [ ! -r /proc/uptime ] ||
    { now && [ "${up%.*}" -gt "$late" ]; }; do :; done
  [ -z "$over" ] || exit 0
  kill -USR2 $$
  kill_marked "LWT_ID=$LWT_ID"
  mv "$candidate" exit.timeout
  ring
  kill -KILL 0
}

candidate=c.$$ told='' tries=0 is_late='' can_fork=''
find_start $$
start=$stat_start group=$stat_group
find_boot
# Disk full: never started, and that is certain.
say "run $$ $start $boot $group" >"$candidate" || exit 71
# What the task changes is told from its input by the time of the change (see list_changed in
# sendlib.sh).
{ read -r _ told <cancel; } 2>/dev/null
until [ "${told:-content}" = content ] || is_later || [ "$tries" -gt 50 ]; do
  tries=$((tries + 1))
  # The clock of a file system moves on every few milliseconds.
  [ "$tries" -le 3 ] || sleep 0.005 2>/dev/null || sleep 1
  say >>"$candidate" || exit 71         # its time is a later one now
done
# Another runner, or a cancel, was first.
decide "$candidate" || { rm -f "$candidate"; exit 0; }
ring
. ./settings
now
begun=$up

# The time-out: the reason first, then TERM to the group, then KILL; this runner survives the TERM
# to record the end.  The clock goes in steps, so that the time for which the task is stopped counts
# for one step at most.
if [ "$task_timeout" != 0 ]; then
  trap 'is_late=1' USR2
  (
    over='' can_fork=1 late=$((${begun%.*} + ${task_timeout%.*}))
    trap expire EXIT
    trap 'over=1; kill -KILL "$clock"' USR1   # a TERM would be ignored
    trap '' TERM
    for step in $task_clock; do
      sleep "$step" &
      clock=$!
      [ -z "$over" ] || kill -KILL "$clock"   # the signal may have come before there was a number
      wait "$clock"
      [ -z "$over" ] || exit 0
    done
    regain_all
    ln fate why.timeout
    kill -TERM 0
    kill -CONT 0
    nap
    while [ "$task_grace" -gt 0 ] && goes_on "$LWT_ID"; do
      sleep 1
      task_grace=$((task_grace - 1))
    done
    kill_marked "LWT_ID=$LWT_ID"
    regain_all
    mv "$candidate" exit.timeout
    ring
    kill -KILL 0
  ) >/dev/null 2>&1 </dev/null &
  watcher=$!
fi

(
  trap - HUP
  # -P: by its name alone, as other tasks may have locked what is above it.
  cd -P work || exit 70
  umask 022
  restore_environment
  exec sh ../command >../run.stdout 2>../run.stderr </dev/null
) &
task=$!
while :; do
  wait "$task"
  code=$?
  kill -0 "$task" 2>/dev/null || break  # else it was a signal to this runner that ended the wait
done
now
regain_all
{ say "$begun $up"; times; } >usage 2>/dev/null
end=$code
[ ! -e why.timeout ] && [ ! -e why.killed ] || end=$(why_ended "$code")
[ -z "$is_late" ] || end=timeout
if [ -n "${watcher-}" ]; then
  [ "$end" = timeout ] || kill -USR1 "$watcher"
  wait "$watcher"                       # what runs after the end is recorded was left by the task
fi
trap 'true >"exit.$end"' EXIT          # where mv cannot be started
mv "$candidate" "exit.$end"
trap '' EXIT
ring
