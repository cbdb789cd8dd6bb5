# Receive a copy, in one login: into a directory beside the target, verified, and moved into place by rename.
#
# $1 home  $2 target  $3 what a single thing is called, '' where there are several  $4 stall, s
#
# What it says, and what is then sent to its standard input:
#   "manifest"    "BYTES", and so many bytes: a line for each directory "d NAME" and file "- SHA256  NAME" (x for -: it can be
#                 executed).  NAME is ./it or ./it/... of a single thing; one with a newline or a backslash is left out.
#   "need NAME"   nothing: of the manifest, what is not here or not the same
#   "all"         nothing: all of it is needed; there is no manifest then
#   "go KIND"     "COUNT DIGEST" of the names that come (KIND: sha256 or cksum; `contents` of copylib.sh), and a tar stream
# compare: ask for the manifest; which of its names are needed: those that are not here, or are not the same.
compare() {
  say manifest
  read -r bytes || refuse "the copy was cut off"
  case $bytes in '' | *[!0-9]*) refuse "the copy was cut off" ;; esac
  head -c "$bytes" >"$part/manifest" || refuse "$directory/: no room left"
  true >"$part/busy" || refuse "$directory/: no room left"
  while IFS= read -r line; do
    file=${line#??} && file=${file#*  }
    case $line in
      d*) [ -d "$file" ] || say "need $file" ;;
      x*) [ -f "$file" ] && [ -x "$file" ] && say "$file" >&3 ;;
      *) [ -f "$file" ] && [ ! -x "$file" ] && say "$file" >&3 ;;
    esac
  done <"$part/manifest" 3>"$part/present"
  # shellcheck disable=SC2086  # a command and its arguments
  sed 's/[^A-Za-z0-9_./-]/\\&/g' "$part/present" | xargs $summer >"$part/actual" 2>/dev/null
  # What is there only once is wanted and not there.  (Not comm: busybox may have none.)
  sed -n 's/^[x-] //p' "$part/manifest" >"$part/wanted" || refuse "$directory/: no room left"
  sort "$part/wanted" "$part/actual" "$part/actual" >"$part/sorted" || refuse "$directory/: no room left"
  uniq -u "$part/sorted" | sed 's/^[^ ]*  /need /'
  rm -f "$part/busy"
}

if [ "$kind" != sha256 ] || { [ -n "$name" ] && [ ! -e "$directory/$name" ]; }; then say all
elif [ -n "$name" ]; then
  ln -s "$directory/$name" "$part/old/it" || refuse "$directory/: no room left"
  cd "$part/old" || exit 1
  compare
else compare; fi
say "go $kind"
read -r count expected || refuse "the copy was cut off"
[ "$count" != 0 ] || exit 0
problem=$(unpack "$part/new" 2>&1) || refuse "not unpacked in $directory/: ${problem%%
*}"
true >"$part/busy" || refuse "$directory/: no room left"
cd "$part/new" || exit 1
if [ "$count" = 1 ] && [ -f it ]; then set -- it; else set -- .; fi
[ "$(contents "$1")" = "$expected" ] || refuse "what arrived is not what was sent"
place_all
