# A task on a host: what its directory holds and how its fate is decided.  Used by control.sh and,
# on the host, by run.sh.
#
# ~/.lwt/t/KEY/        KEY is the task's random name and the attempt; it exists once the input is
#                      complete
#   work/              the task's own directory; command, kill and settings beside it are what runs
#   cancel             staged with it, so that a cancel needs no disk block; its time is that of
#                      the end of staging
#   fate               made once, by ln: "run PID START BOOT GROUP" or "cancel": whoever wins
#                      decides
#   why.timeout, why.killed   who ends it says so before the first signal
#   usage              what it took: uptime at its start and end, and what the shell's `times` says
#   exit.CODE          the end, recorded by a rename, which needs no disk block; exit.timeout,
#                      exit.killed
# Cleaning leaves fate and exit.* behind: a launch that comes late finds its fate decided and does
# nothing.
# ~/.lwt/t/bell.*      FIFOs of those that wait for an end; whoever ends rings them.

# decide CANDIDATE: make it the fate; true if it is now (an NFS replay may say "exists" to the
# winner).
decide() {
  ln "$1" fate 2>/dev/null || cmp -s "$1" fate
}

# regain DIRECTORY: a task may have taken away the permissions of its own directories.  Root does
# not notice; other users need them to record the end, to look at it and to remove it.
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

# why_ended CODE: what to record: the code, or the reason for which it was ended, whatever its code.
why_ended() {
  if [ -e why.timeout ]; then say timeout
  elif [ -e why.killed ]; then say killed
  else say "$1"; fi
}
