# Functions of put.sh and chain.sh: find where a copy goes, make a temporary directory (the part)
# beside that place, and move what arrives from there into place.
#
# $1  home
# $2  target
# $3  the name of a single file or directory, '.' for the contents of a directory, '' for several
# $4  stall in seconds
home=$1 target=$2 name=$3 stall=$4 watcher=''
umask 077
[ "$kind" != none ] || refuse "$no_digest"
enter_home "$home" || refuse "$home_problem"
expand "$target"
target=$expanded
case $target in /*) ;; *) target=$PWD/$target ;; esac
if [ -d "$target" ]; then directory=$target
elif [ -z "$name" ] || [ "$target" != "${target%/}" ]; then refuse "$target: no such directory"
else directory=${target%/*}/ name=${target##*/}; fi
[ -d "$directory" ] || refuse "${directory%/}: no such directory"
cd -P "$directory" 2>/dev/null || refuse "$directory: cannot be entered"
directory=${PWD%/}
[ -w . ] || refuse "$PWD: cannot be written"
part=$directory/.lwt-put.$mark

# is_left DIRECTORY: whether it belongs to a copy of ours that was killed before it could clean up.
# (Hosts may share their homes. Other users may write to this directory, and a FIFO of theirs would
# block for ever.)
is_left() {
  { [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ]; } || return
  left_boot=''
  [ ! -f "$1/owner" ] || { read -r left_pid left_start left_boot <"$1/owner"; } 2>/dev/null
  if [ -n "$left_boot" ] && [ "$left_boot" = "$boot" ]; then ! has_start "$left_pid" "$left_start"
  else [ -n "$(find "$1" -prune -mtime +1 2>/dev/null)" ]; fi
}

find_boot
for old in .lwt-put.*; do
  ! is_left "$old" || rm -rf "./$old"
done

at_exit() {
  # shellcheck disable=SC2086  # it may be empty
  kill -KILL $watcher 2>/dev/null
  cd / && rm -rf "${part:?}"
}
mkdir "$part" "$part/new" "$part/old" 2>/dev/null || refuse "$PWD: no room left"
find_start $$
say "$$ $stat_start $boot" >"$part/owner" || refuse "$PWD: no room left"

# watch: end everything when nothing has come for $stall seconds. While files are compared ("busy"),
# print "tick" instead.
watch() {
  watch_time=0 watch_quiet=0 watch_last='' watch_step=$((${stall%.*} / 4 + 1))
  cd / || return                        # its sleep may outlive the rest by one second
  while sleep 1 3>&- && kill -0 $$; do
    watch_time=$((watch_time + 1))
    if [ -e "$part/busy" ]; then
      [ $((watch_time % 10)) -gt 0 ] || say tick >&3
    elif [ $((watch_time % watch_step)) -eq 0 ]; then
      # shellcheck disable=SC2012  # it is only compared
      watch_now=$(ls -lnR "$part" | digest)
      watch_quiet=$((watch_quiet + watch_step))
      [ "$watch_now" = "$watch_last" ] || watch_quiet=0
      watch_last=$watch_now
      [ "$watch_quiet" -lt "${stall%.*}" ] || kill -TERM 0
    fi
  done
}
watch 3>&1 >/dev/null 2>&1 &
watcher=$!

# is_directory PATH: whether it is a directory, and not a link to one.
is_directory() { [ -d "$1" ] && [ ! -L "$1" ]; }

# merge FROM TO: merge a directory into an existing one. Directories that exist in both are merged;
# everything else is renamed.
merge() (
  cd "$1" || exit
  for entry in * .[!.]* ..?*; do
    { [ -e "$entry" ] || [ -L "$entry" ]; } || continue
    if is_directory "$entry"; then
      if [ -d "$2/$entry" ]; then
        merge "./$entry" "$2/$entry" || exit
        rmdir "./$entry"
      elif [ -e "$2/$entry" ]; then clash "$2/$entry"; fi
    elif is_directory "$2/$entry"; then clash "$2/$entry"
    elif [ -d "$2/$entry" ] && [ ! -L "$entry" ]; then clash "$2/$entry"; fi
  done
  # shellcheck disable=SC2016  # for the inner shell
  find . ! -name . -prune -exec sh -c 'mv -f "$@" "$0"' "$2/" {} +
)

clash() { say "$1: a directory and a file cannot replace each other" >&2; exit 1; }

# place FROM NAME: move what arrived to its target. A directory or a link is renamed under its own
# name, into the target's directory. So, if a directory or a link to one exists or appears there, it
# does not end up inside that directory.
place() {
  if is_directory "$1" && [ ! -e "$directory/$2" ] && [ ! -L "$directory/$2" ]; then
    [ "$1" = "./$2" ] || mv "$1" "./$2" || exit 1
    mv "./$2" "$directory/" 2>/dev/null && return
    set -- "./$2" "$2"
  fi
  if is_directory "$1"; then
    [ -d "$directory/$2" ] || clash "$directory/$2"
    merge "$1" "$directory/$2" || exit 1
  elif is_directory "$directory/$2" || { [ -d "$directory/$2" ] && [ ! -L "$1" ]; }; then
    clash "$directory/$2"
  elif [ -L "$1" ]; then
    [ "$1" = "./$2" ] || mv "$1" "./$2" || exit 1
    mv -f "./$2" "$directory/" || exit 1
  else mv -f "$1" "$directory/$2" || exit 1; fi
}

# unpack DIRECTORY: unpack a tar stream, with the modes in it. The umask is 0, because without root
# busybox tar applies it in spite of -p. Nobody else can enter the directory above. Call it in a
# subshell.
unpack() {
  umask 0
  exec tar -xpof - -C "$1"
}

# place_all: move everything in this directory to its target.
place_all() {
  for entry in * .[!.]* ..?*; do
    { [ ! -e "$entry" ] && [ ! -L "$entry" ]; } || place "./$entry" "${name:-$entry}"
  done
}
