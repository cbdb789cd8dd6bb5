# Finish a copy that scp made into the temporary directory (the part) of a put: verify it, and move
# it into place by rename.
#
# $1-$4  as for put.sh
# $5     the mark of that put
# $6     the number of names that were copied
# $7     the digest of their contents
# $8     the digest of the names, which scp may have changed
left=$directory/.lwt-put.$5
case $5 in '' | *[!0-9a-f]*) refuse "a bad mark" ;; esac
{ [ -d "$left" ] && [ ! -L "$left" ] && [ -O "$left" ]; } || refuse "$left: no such directory"
if [ -f "$left/link" ]; then
  read -r link <"$left/link"
  case ${link##*/} in ".lwt-put.$5") [ ! -L "$link" ] || rm -f "$link" ;; esac
fi
{ rmdir "$part/new" "$part/old" && mv "$left/new" "$left/old" "$part/"; } || no_room
[ ! -e "$left/changes" ] || mv "$left/changes" "$part/" || no_room
rm -rf "$left"
# scp -p may have copied these modes too; a tar stream never contains them.
find "$part/new" '(' -perm -4000 -o -perm -2000 ')' -exec chmod ug-s {} +
verify "$6" "$7"
[ "$(find . | sort | digest)" = "$8" ] || refuse "names differ after the transfer"
place_all
names_at=$directory
[ -z "$name" ] || names_at=$part/old
change_modes
