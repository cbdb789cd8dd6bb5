# Give up a copy that scp was making: remove the temporary directory (the part) that put.sh made for
# it.
#
# It creates nothing, because the disk may be full.
# $1  home
# $2  the path that put.sh named for scp: "new" in the part, or a link to it
# $3  the mark
enter_home "$1" || refuse "$home_problem"
cd -P "$2" 2>/dev/null || exit 0
part=${PWD%/new}
[ "${part##*/}" = ".lwt-put.$3" ] || refuse "$PWD: not the part of a copy"
[ ! -L "$2" ] || rm -f "$2"
cd / && rm -rf "$part"
