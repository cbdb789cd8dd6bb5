# Connect the standard streams of this session to what reduce.sh runs in another session.
#
# $1  the directory of reduce.sh. Its name ends with the LWT_ID of reduce.sh. If the guard of
#     reduce.sh kills the processes with that LWT_ID, it kills this script's processes too. /proc
#     shows the environment with which a process was started. So each process that may wait for ever
#     for the other end of a FIFO is started with that LWT_ID
dir=$1
LWT_ID=${dir##*/lwt.}
export LWT_ID
[ -p "$dir/out" ] || refuse "$dir: gone"
if [ -p "$dir/in" ]; then
  # dash gives background processes /dev/null as input, even with "<&0".
  exec 6<&0
  /bin/sh -c 'exec cat >"$1"' sh "$dir/in" <&6 2>/dev/null &
  exec 6<&-
fi
# If cat was killed, that guard killed it, and nobody may be reading: output could wait for ever in
# a connection that is cut off.
/bin/sh -c 'exec cat <"$1"' sh "$dir/out" || {
  trap - EXIT
  exit 1
}
