# Report what a home contains. Changes nothing.
#
# $1  home
#
#   "no home"           it does not exist, and can be created
#   "boot ID"  "id HOST-ID"  "kib N" (of .lwt)  "sample KEY=NUMBER..." (see samplelib.sh)
#   "task KEY KIND"     waiting, begun, ended; trace: only the files that clean keeps are left
#   "input NAME"
#   "process PID KEY"   it carries the marker of a task
find_home "$1"
if [ ! -e "$home_path" ] && [ ! -L "$home_path" ]; then
  parent=$home_path
  while [ ! -e "${parent:-/}" ]; do parent=${parent%/*}; done
  parent=${parent:-/}
  [ -d "$parent" ] || refuse "home $1: cannot be created ($parent: not a directory)"
  { [ -w "$parent" ] && [ -x "$parent" ]; } ||
    refuse "home $1: cannot be created ($parent: cannot be written)"
  say "no home"
  exit 0
fi
enter_home "$1" || refuse "$home_problem"
[ -w . ] || refuse "home $1: cannot be written"
[ ! -L .lwt ] || refuse "home $1: .lwt is a link"
[ ! -e .lwt ] || [ -O .lwt ] || refuse "home $1: .lwt belongs to somebody else"
find_boot
say "boot $boot"
[ ! -s .lwt/host-id ] || { read -r id <.lwt/host-id; say "id $id"; }
take_sample 0
kib=$(du -sk .lwt 2>/dev/null)
say "kib ${kib%%[!0-9]*}"

for path in .lwt/t/*; do
  key=${path##*/}
  case $key in part.* | bell.* | pipe.* | jobs.* | '*') continue ;; esac
  kind=waiting is_bare=1
  for name in "$path"/*; do
    case ${name##*/} in
      fate)
        read -r word _ <"$name"
        { [ "$word" != run ] || [ "$kind" = ended ]; } || kind=begun
        ;;
      exit.*) kind=ended ;;
      '*') ;;
      *) is_bare='' ;;
    esac
  done
  [ -z "$is_bare" ] || kind=trace
  say "task $key $kind"
done

for path in .lwt/i/*; do
  [ ! -e "$path" ] || say "input ${path##*/}"
done

grep -ls LWT_ID= /proc/[0-9]*/environ 2>/dev/null | while IFS= read -r file; do
  pid=${file#/proc/}
  tr '\0' '\n' <"$file" 2>/dev/null |
    sed -n "s/^LWT_ID=\([0-9a-f]*\.[0-9]*\)\$/process ${pid%%/*} \1/p"
done
