# The local guard: it kills lwt's children when lwt is killed by -9.
#
# Standard input is a pipe that only lwt holds open: "+ PGID" and "- PGID" say which process groups
# are alive, "bye" that all is well.  End-of-file without it means that lwt is gone, in whatever
# way; what is still on the list, and all that carries lwt's marker in its environment, then gets
# TERM and CONT and, after the grace, KILL.  It runs in a session of its own, so that what kills
# lwt's group does not kill its guard.
#
# $1  grace, seconds  $2  the beginning of the value of LWT_ID in lwt's children
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

# signal NAME: to all groups and to all that is marked; true if there was anything.
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
