# Functions of put.sh and place.sh that handle a copy which has arrived in $part/new.
no_room() { refuse "$directory/: no room left"; }

# name_it: give a single file or directory the name that it has in the manifest, ./it. Set $names_at
# to the directory that names are relative to.
name_it() {
  names_at=$directory
  [ -n "$name" ] || return 0
  names_at=$part/old
  ln -s "$directory/$name" "$names_at/it" || no_room
}

# find_plain_path PATH: set $plain_path to PATH. If PATH has characters that a shell or scp would
# interpret, set it to a link that leads to PATH.
find_plain_path() {
  plain_path=$1
  case $plain_path in *[!A-Za-z0-9_./+-]*) ;; *) return ;; esac
  for plain_path in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
    case $plain_path in *[!A-Za-z0-9_./+-]*) continue ;; /*) ;; *) continue ;; esac
    plain_path=$plain_path/.lwt-put.$mark
    ln -s "$1" "$plain_path" 2>/dev/null || continue
    say "$plain_path" >"$part/link" || no_room
    return
  done
  refuse "$1: scp cannot copy to this path, and there is no directory for a link to it"
}

# verify COUNT DIGEST: refuse if what arrived is not what was sent. Afterwards the working directory
# is $part/new.
verify() {
  true >"$part/busy" || no_room
  cd "$part/new" || exit 1
  follow=''
  if [ "$1" = 1 ] && [ -f it ] && [ ! -L it ]; then arrived_at=it; else arrived_at=.; fi
  [ "$(contents "$arrived_at")" = "$2" ] || refuse "checksum mismatch after transfer"
}

# change_modes: set the mode and time of files and directories whose contents are the same. put.sh
# has listed them in the file "changes" ("MODE STAMP NAME/", and "end").
change_modes() {
  [ -s "$part/changes" ] || return 0
  cd "$names_at" || return
  while IFS=' ' read -r mode time file && [ "$mode" != end ]; do
    decode "${file%/}"
    { chmod "$mode" "$decoded" &&
      { [ "$time" = - ] || TZ=UTC0 touch -t "$time" "$decoded"; }; } 2>/dev/null ||
      refuse "$directory/: the mode and time of $file cannot be set"
  done <"$part/changes"
}
