# What a host is good for: one login.  The file comes first, so that its time is that of the line
# and of nothing else.
#
# $1 home $2 bytes of the file that comes on standard input $3 seconds without a byte before it
# gives up $4 what tells which netcat there is (see netcat.py); it comes last
#
#   "ready"               it begins
#   "put"                 the file is here
#   "get BYTES"           the file comes back: so many bytes, and after them a line "got"
#   "sample KEY=NUMBER…"  see samplelib.sh
#   "clock SECONDS"       since 1970
#   "boot ID"  "python VERSION PATH"      what it has of these
enter_home "$1" || refuse "$home_problem"
umask 077
[ -w . ] || refuse "home $1: cannot be written"
file=$PWD/.lwt-probe.$mark
at_exit() { rm -f "$file"; }
for old in .lwt-probe.*; do
  # Of a probe that was killed.
  [ ! -e "$old" ] || find "$old" -prune -mtime +1 -exec rm -f {} +
done
say ready
{ receive "$file" "$2" "$3" && arrived "$file" "$2"; } ||
  refuse "home $1: no room left, or the line was cut"
say put
say "get $2"
cat "$file"
say got
rm -f "$file"
take_sample 0
say "clock $(date +%s)"
find_boot
say "boot $boot"
for name in python3 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 \
  python3.7 python3.6 python; do
  python=$(command -v "$name" 2>/dev/null) || continue
  version=$(
    "$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null </dev/null
  ) || continue
  say "python $version $python"
  break
done
(eval "$4")
