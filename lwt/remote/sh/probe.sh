# Test a host in one login. The transfer of a file comes first, so that its time measures the
# connection and nothing else.
#
# $1  home
# $2  bytes of the file that comes on standard input
# $3  stall: seconds without a byte until it gives up
# $4  shell code that reports which netcat the host has (see netcat.py); its output comes last
#
#   "ready"               it begins
#   "put"                 the file has arrived
#   "get BYTES"           the file is sent back: BYTES bytes, and after them a line "got"
#   "sample KEY=NUMBER…"  see samplelib.sh
#   "clock SECONDS"       since 1970
#   "boot ID"  "python VERSION PATH"      those of these that the host has
enter_home "$1" || refuse "$home_problem"
umask 077
[ -w . ] || refuse "home $1: cannot be written"
file=$PWD/.lwt-probe.$mark
at_exit() { rm -f "$file"; }
for old in .lwt-probe.*; do
  # Left by a probe that was killed.
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
