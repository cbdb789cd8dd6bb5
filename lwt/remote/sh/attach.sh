# Connect the standard streams of this session with what reduce.sh runs in another one.
#
# $1 its directory, called after its LWT_ID: should its guard have to end it, this is ended as well.
# A process shows the
#    environment with which it was started; so what may wait for ever, for the other end of a FIFO,
#    is started with it.
dir=$1
LWT_ID=${dir##*/lwt.}
export LWT_ID
[ -p "$dir/out" ] || refuse "$dir: gone"
if [ -p "$dir/in" ]; then
  # Dash gives what runs in the background /dev/null, whatever "<&0" asks for.
  exec 6<&0
  /bin/sh -c 'exec cat >"$1"' sh "$dir/in" <&6 2>/dev/null &
  exec 6<&-
fi
# Who was killed was so by that guard, and nobody may listen: a word could wait for ever in a
# connection that is cut off.
/bin/sh -c 'exec cat <"$1"' sh "$dir/out" || {
  trap - EXIT
  exit 1
}
