# Receive a copy in one login: into a temporary directory beside the target, from which it is
# verified and moved into place by rename.
#
# $1  home
# $2  target
# $3  the name of a single file or directory, '.' for the contents of a directory, '' for several
# $4  stall in seconds
# $5  how the content comes: "tar", or "scp" (then place.sh finishes the copy)
#
# It prints these lines, and then reads from standard input what follows the colon (each NAME as
# namelib.sh writes it):
#   "manifest"    "BYTES", and BYTES bytes, one line for each file or directory:
#                 "d MODE - - - NAME/" for a directory,
#                 "f MODE MTIME STAMP SHA256 NAME/" for a file (STAMP: MTIME as for touch -t, in
#                 UTC), "l - - - - NAME//TARGET/" for a symbolic link.
#                 NAME is ./it or ./it/... for a single file or directory
#   "need NAME"   nothing: a name of the manifest that is missing or differs
#   "all"         nothing: everything is needed; there is no manifest then
#   "set F D"     nothing: F files and D directories have the same content and get another mode or
#                 time
#   "go KIND"     "COUNT DIGEST" of the names that come (KIND: sha256 or cksum; `contents` of
#                 copylib.sh), and a tar stream, unless scp copies them
#   "into PATH"   nothing: the path that scp must copy to
#
# A host without tar refuses with $no_tar of copylib.sh, unless scp copies.

# compare: request the manifest, and report which of its names are needed: those that are missing or
# differ.
compare() {
  say manifest
  read -r bytes || refuse "the copy was cut off"
  case $bytes in '' | *[!0-9]*) refuse "the copy was cut off" ;; esac
  head -c "$bytes" >"$part/manifest" || no_room
  true >"$part/busy" || no_room
  # A file is in the lists only if it is a file on this host that we can read. So all lists have the
  # same number of lines.
  while IFS=' ' read -r type mode mtime stamp sum file; do
    decode "${file%/}"
    own=1
    [ -O "$decoded" ] || own=0
    case $type in
      d)
        # The directory itself is not part of its contents.
        [ "$name$decoded" != ../it ] || continue
        if [ -d "$decoded" ]; then
          { printf '%s\0' "$decoded" >&5 && say "- $mode - - $own $file" >&6; } || no_room
        else say "need ${file%/}"; fi
        ;;
      f)
        if is_plain; then
          { printf '%s\0' "$decoded" >&3 && say "$sum $mode $mtime $stamp $own $file" >&4; } ||
            no_room
        else say "need ${file%/}"; fi
        ;;
      l) is_link || say "need ${file%%//*}" ;;
    esac
  done <"$part/manifest" 3>"$part/files" 4>"$part/file_lines" \
    5>"$part/folders" 6>"$part/folder_lines" ||
    no_room
  # shellcheck disable=SC2086,SC2094  # a command and its arguments; it is not written to
  { [ ! -s "$part/files" ] || xargs -0 $summer <"$part/files"; } 2>/dev/null |
    sed -n "$sum_pattern" >"$part/sums"
  if [ -s "$part/folders" ]; then
    sed 's/.*/-/' "$part/folder_lines" >>"$part/sums" || no_room
    cat "$part/folder_lines" >>"$part/file_lines" || no_room
    cat "$part/folders" >>"$part/files" || no_room
  fi
  # shellcheck disable=SC2094  # it is not written to
  [ ! -s "$part/files" ] || tell_modes <"$part/files" >"$part/modes"
  true >>"$part/modes" || no_room
  # shellcheck disable=SC2046  # "NUMBER file_lines NUMBER modes NUMBER sums"
  set -- $(cd "$part" && wc -l file_lines modes sums)
  lines=$1 modes=$3 sums=$5
  [ "$modes" -eq "$lines" ] || sed 's/.*/- -/' "$part/file_lines" >"$part/modes" || no_room
  [ "$sums" -eq "$lines" ] || sed 's/.*/?/' "$part/file_lines" >"$part/sums" || no_room
  paste -d ' ' "$part/sums" "$part/modes" "$part/file_lines" | differences
  [ "$(tail -n 1 "$part/changes" 2>/dev/null)" = end ] || no_room
  rm -f "$part/busy"
}

# is_plain: whether $decoded is a readable file. (A link in the target's place does not count,
# because it is replaced.)
is_plain() {
  { [ -f "$decoded" ] && [ -r "$decoded" ]; } || return
  if [ "$decoded" = ./it ]; then [ ! -L "$directory/$name" ]
  else [ ! -L "$decoded" ]; fi
}

# is_link: whether the symbolic link of the line $file exists with the same target.
is_link() {
  decode "${file%%//*}"
  [ "$decoded" != ./it ] || decoded=$directory/$name
  [ -L "$decoded" ] || return
  is=$(readlink "$decoded" && echo .) || return
  file=${file%/}
  encode "${is%??}"
  [ "$encoded" = "${file#*//}" ]
}

# tell_modes: print "MODE MTIME" of each file. Standard input contains their names, each followed by
# a NUL.
tell_modes() {
  if stat -c %a . >/dev/null 2>&1; then xargs -0 stat -L -c '%a %Y'
  elif stat -f %Lp . >/dev/null 2>&1; then xargs -0 stat -L -f '%Lp %m'
  fi 2>/dev/null
}

# differences: compare. The input lines have "SUM MODE MTIME" of the existing file, then the wanted
# "SUM MODE MTIME STAMP OWN NAME/". Print the names that are needed. Write the files that get
# another mode or time into the file "changes": "MODE STAMP NAME/", and "end" after the last one.
differences() {
  changes=$part/changes awk '
    {
      name = $0
      for (i = 1; i <= 8; i++) name = substr(name, index(name, " ") + 1)
      if ($1 != $4) print "need " substr(name, 1, length(name) - 1)
      else if ($2 != "-" && ($2 != $5 || ($6 != "-" && $3 != $6))) {
        if ($8 == 1) {
          print $5, $7, name >ENVIRON["changes"]
          if ($6 == "-") directories++; else files++
        } else if ($1 != "-") print "need " substr(name, 1, length(name) - 1)
      }
    }
    END {
      print "end" >ENVIRON["changes"]
      if (files + directories) print "set", files + 0, directories + 0
    }'
}

by_scp=''
[ "$5" != scp ] || by_scp=1
[ -n "$by_scp" ] || command -v tar >/dev/null 2>&1 || refuse "$no_tar"
names_at=$directory
if [ "$kind" != sha256 ] || { [ -n "$name" ] && [ ! -e "$directory/$name" ]; }; then say all
else
  name_it
  cd "$names_at" || exit 1
  compare
fi
say "go $kind"
read -r count expected || refuse "the copy was cut off"
if [ "$count" != 0 ] && [ -n "$by_scp" ]; then
  find_plain_path "$part/new"
  # The part stays for place.sh. Without "owner", a later copy removes it when it is a day old.
  rm -f "$part/owner" "$part/manifest"
  at_exit() { kill -KILL "$watcher" 2>/dev/null; }
  say "into $plain_path"
else
  if [ "$count" != 0 ]; then
    problem=$(unpack "$part/new" 2>&1) || refuse "not unpacked in $directory/: ${problem%%
*}"
    verify "$count" "$expected"
    place_all
  fi
  change_modes
fi
