# The local guard: it kills lwt's children after kill -9 of lwt.
#
# Standard input is a pipe that only lwt holds open. "+ PGID" and "- PGID" tell which process groups
# are alive. "bye" means that lwt ends normally. End-of-file without "bye" means that lwt is gone,
# for whatever reason. The groups that are still on the list, and all processes with lwt's marker in
# their environment, then get TERM and CONT and, after the grace, KILL. The guard runs in a session
# of its own, so that a signal to lwt's group does not kill it.
#
# $1  grace in seconds
# $2  the beginning of the value of LWT_ID in lwt's children
trap '' INT TERM HUP QUIT
cd /
PATH=${PATH:+$PATH:}/usr/bin:/bin
groups=' ' bye=
while read -r op group; do
  case $op in
    +) groups="$groups$group " ;;
    -) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
    bye) bye=1 ;;
  esac
done
[ -z "$bye" ] || exit 0

# signal NAME: signal all groups and all marked processes; true if there were any.
signal() {
  signal_found=1
  for signal_group in $groups; do kill "-$1" "-$signal_group" && signal_found=0; done
  # shellcheck disable=SC2013  # words, for these paths have no blanks
  for signal_pid in $(grep -l "LWT_ID=$marker" /proc/[0-9]*/environ); do
    signal_pid=${signal_pid#/proc/}
    kill "-$1" "${signal_pid%/environ}" && signal_found=0
  done
  return "$signal_found"
} 2>/dev/null

marker=$2
signal TERM || { sleep 1; signal TERM; } || exit 0      # a child may have been about to begin
signal CONT
sleep "$1"
for _ in 1 2 3; do signal KILL || break; done
