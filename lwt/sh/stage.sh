# Take the input of tasks, a tar stream on standard input, and put each where it can be launched: complete or not at all.
#
# $1 home  $2 bytes of the stream  $3 its digest  $4 stall, s; then, for each task, its KEY: a directory of the stream
home=$1 bytes=$2 expected=$3 stall=$4
shift 4
umask 077
enter_home "$home" || refuse "home $home: no such directory"
cd .lwt/t || refuse "home $home: .lwt/t cannot be entered"
part=$(pwd -P)/part.$lwt_nonce
for old in part.*; do                   # of a stage that was killed so that it could not clean up
  [ -z "$(find "$old" -prune -mtime +1 2>/dev/null)" ] || rm -rf "./$old"
done
at_exit() { cd / && rm -rf "${part:?}"; }     # first, for a signal may come in the middle of the mkdir
mkdir "$part" 2>/dev/null || refuse "home $home: no room left"
cd "$part" || exit 1
exec 2>problems
receive stream "$bytes" "$stall" || refuse "the input did not arrive (no room left, or the connection was cut)"
actual=$(digest <stream)
[ "${actual%% *}" != "${expected%% *}" ] || [ "$actual" = "$expected" ] || refuse "the input is not what was sent"
mkdir new || refuse "no room left"
tar -xf stream -C new || refuse "the input cannot be unpacked: $(head -n 1 problems)"
rm -f stream

for key; do
  case $key in
    '' | *[!0-9a-f.]* | .*) refuse "bad key $key" ;;
  esac
  cd "$part/new/$key" 2>/dev/null || refuse "the input of $key is missing"
  # What is new later is told by this list and by the time of `staged`; so let the file system's clock tick once.
  (cd work && find . ! -type d) | LC_ALL=C sort >manifest || refuse "no room left"
  : >staged
  : >tick
  while [ -z "$(find tick -newer staged)" ]; do
    sleep 0.01 2>/dev/null || sleep 1
    : >tick
  done
  rm -f tick
  [ -e "../../../$key" ] || mv "$part/new/$key" "$part/.." || refuse "no room left"
  cd "$part" || exit 1
  if [ -e "../$key/fate" ]; then say "task $key stage decided"; else say "task $key stage staged"; fi
done
