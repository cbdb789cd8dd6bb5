# Connect the standard streams of this session with what reduce.sh runs in another one.
#
# $1 its directory, called after its LWT_ID: should its guard have to end it, this is ended as well
dir=$1
LWT_ID=${dir##*/lwt.}
export LWT_ID
[ -p "$dir/out" ] || refuse "$dir: gone"
if [ -p "$dir/in" ]; then
  exec 6<&0                             # dash gives what runs in the background /dev/null, whatever "<&0" asks for
  cat <&6 >"$dir/in" 2>/dev/null &
  exec 6<&-
fi
# Who was killed was so by that guard, and nobody may listen: a word could wait for ever in a connection that is cut off.
cat <"$dir/out" || {
  trap - EXIT
  exit 1
}
