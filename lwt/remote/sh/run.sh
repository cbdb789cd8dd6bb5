# The runner: it is staged with the task and started detached by a launch. It runs the task's
# command at most once.
#
# It is the leader of the task's process group. The task's standard streams are files. A file name
# records how the command ended. The runner's working directory is the task's directory. It starts
# as few processes as it can, because many tasks are short.
trap '' HUP
# After lwt was killed, its local guard lists processes and then sends TERM. A process in that list
# may have become this runner meanwhile.
trap : TERM
umask 077
# In a job of Slurm, the number of the job replaces the boot id in the fate (see slurm.sh).
job=${lwt_job-} is_signalled=''
unset lwt_job
[ -z "$job" ] || trap 'is_signalled=1' TERM

# ring: tell the waiting processes that the state of this task has changed. (Opening a FIFO for
# reading and writing never blocks.)
ring() {
  for bell in ../bell.*; do
    [ ! -p "$bell" ] || say r 1<>"$bell"
  done
} 2>/dev/null

# now: set $up to seconds, from a clock that nobody can set if the host has one.
now() {
  { read -r up _ </proc/uptime; } 2>/dev/null || up=$(date +%s)
}

# goes_on: whether the command, or anything that it started, still runs.
goes_on() { [ ! -e usage ] || [ -n "$(unset LWT_ID; marked "LWT_ID=$1")" ]; }

# regain_all: regain access to this directory and lwt's directories above it, from the top, because
# each is reached through the one above.
here=$PWD
regain_all() {
  regain "${here%/*/*}"
  regain "${here%/*}"
  regain "$here"
}

# is_later: whether the clock has advanced since the task's input was copied. Not every shell
# compares more than whole seconds.
is_later() {
  # shellcheck disable=SC3013  # where test has no -nt, find answers
  if [ "$told" = stat ]; then [ "$(stat -c %y "$candidate")" != "$(stat -c %y cancel)" ]
  else [ "$candidate" -nt cancel ] ||
    { [ "$tries" -gt 3 ] && [ -n "$(find "$candidate" -newer cancel)" ]; }; fi
} 2>/dev/null

# expire: no process can be started to wait for the timeout, or to end the task, perhaps because the
# task has used up the limit of processes. dash and busybox end a shell that cannot fork. So this is
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
boot=${job:-$boot}
# If the disk is full, the task certainly did not start.
say "run $$ $start $boot $group" >"$candidate" || exit 71
# The time of a change shows whether the task made it (see list_changed in sendlib.sh).
{ read -r _ told <cancel; } 2>/dev/null
until [ "${told:-content}" = content ] || is_later || [ "$tries" -gt 50 ]; do
  tries=$((tries + 1))
  # The clock of a file system advances every few milliseconds.
  [ "$tries" -le 3 ] || sleep 0.005 2>/dev/null || sleep 1
  say >>"$candidate" || exit 71         # this sets its time
done
# Another runner, or a cancel, was first.
decide "$candidate" || { rm -f "$candidate"; exit 0; }
ring
. ./settings
now
begun=$up

# The timeout: record the reason, send TERM to the group, then KILL. This runner survives the TERM,
# so that it can record the end. The watcher sleeps in steps, so that the time for which the task is
# suspended counts as one step at most.
if [ "$task_timeout" != 0 ]; then
  trap 'is_late=1' USR2
  (
    over='' can_fork=1 late=$((${begun%.*} + ${task_timeout%.*}))
    trap expire EXIT
    trap 'over=1; kill -KILL "$clock"' USR1   # not TERM, which is ignored
    trap '' TERM
    for step in $task_clock; do
      sleep "$step" &
      clock=$!
      [ -z "$over" ] || kill -KILL "$clock"   # the signal may have come before $clock was set
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
  # -P: by its name alone, because other tasks may have locked the directories above it.
  cd -P work || exit 70
  umask 022
  restore_environment
  exec sh ../command >../run.stdout 2>../run.stderr </dev/null
) &
task=$!
while :; do
  wait "$task"
  code=$?
  kill -0 "$task" 2>/dev/null || break  # else a signal to this runner ended the wait
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
record=exit.$end
# A job that got a signal was perhaps ended by Slurm, which knows why.
if [ -n "$job" ] && [ "$end" = "$code" ] && [ "$code" -ne 0 ] &&
  { [ -n "$is_signalled" ] || [ "$code" -gt 128 ]; }; then record=signalled.$code; fi
trap 'true >"$record"' EXIT            # if mv cannot be started
mv "$candidate" "$record"
trap '' EXIT
ring
