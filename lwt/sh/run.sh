# The runner: it is staged with the task, started detached by a launch, and runs the task's command at most once.
#
# It is the leader of the task's process group; the task's standard streams are files.  The command's end is the name of a
# file.  Its working directory is the task's directory.
trap '' HUP
umask 077
candidate=c.$$
say "run $$ $(started $$) $(boot) $(group $$)" >"$candidate" || exit 71    # disk full: never started, and that is certain
decide "$candidate" || { rm -f "$candidate"; exit 0; }                     # another runner, or a cancel, was first
sync fate . 2>/dev/null || sync                                            # a power cut must not forget that it ran
d_home=$(cd ../../.. && pwd) d_working=$(pwd)/work
export d_home d_working
. ./settings

# The time-out: the reason first, then TERM to the group, then KILL; this runner survives the TERM to record the end.
if [ "$task_timeout" != 0 ]; then
  (
    over=''
    trap 'over=1; kill -KILL "$clock"' USR1   # a TERM would be ignored
    trap '' TERM
    sleep "$task_timeout" &
    clock=$!
    [ -z "$over" ] || kill -KILL "$clock"     # the signal may have come before there was a number
    wait "$clock"
    [ -z "$over" ] || exit 0
    ln fate why.timeout
    kill -TERM 0
    kill -CONT 0
    sleep "$task_grace"
    sweep "$LWT_ID"
    mv "$candidate" exit.timeout
    kill -KILL 0
  ) >/dev/null 2>&1 </dev/null &
  watcher=$!
fi

trap : TERM
(
  trap - HUP
  cd work || exit 70
  umask 022
  exec sh ../command >../run.stdout 2>../run.stderr </dev/null
) &
task=$!
while :; do
  wait "$task"
  code=$?
  kill -0 "$task" 2>/dev/null || break  # else it was a signal to this runner that ended the wait
done
end=$(why_ended "$code")
if [ "$end" = timeout ]; then wait "$watcher"; fi
mv "$candidate" "exit.$end"
if [ -n "${watcher-}" ]; then kill -USR1 "$watcher"; fi
