# A task on a host: the files of its directory, and how its fate is decided. Used by control.sh and,
# on the host, by run.sh.
#
# ~/.lwt/t/KEY/        KEY is the task's random name and the attempt; it exists once the input is
#                      complete
#   work/              the task's own directory; command, kill and settings are beside it
#   cancel             staged with the task, so that a cancel needs no disk block; its time is that
#                      of the end of staging
#   fate               made once, by ln: "run PID START BOOT GROUP" or "cancel"; the first decides
#   why.timeout, why.killed   the reason, made before the first signal to end the task
#   usage              resource usage: uptime at its start and end, and the output of `times`
#   exit.CODE          the end, recorded by a rename, which needs no disk block; also exit.timeout
#                      and exit.killed
# Cleaning leaves fate and exit.* behind, so a late launch finds its fate decided and does nothing.
# ~/.lwt/t/bell.*      FIFOs of channels that wait; a runner writes to them when it begins and ends

# decide CANDIDATE: make it the fate; true if it is the fate now. (An NFS replay may report "exists"
# to the winner.)
decide() {
  ln "$1" fate 2>/dev/null || cmp -s "$1" fate
}

# regain DIRECTORY: restore the permissions of a directory of lwt, which a task may have removed.
# Root does not need them; other users need them to record the end, to read the state and to remove
# the directory.
regain() {
  { [ -r "$1" ] && [ -w "$1" ] && [ -x "$1" ]; } || [ ! -d "$1" ] || chmod u+rwx "$1"
} 2>/dev/null

# ended: set $ended to the recorded end; false if there is none.
ended() {
  for ended in exit.*; do
    [ -e "$ended" ] && ended=${ended#exit.} && return
  done
  ended=''
  return 1
}

# why_ended CODE: print what to record: the code or, if the task was ended, the reason.
why_ended() {
  if [ -e why.timeout ]; then say timeout
  elif [ -e why.killed ]; then say killed
  else say "$1"; fi
}
