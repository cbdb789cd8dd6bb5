# Functions of put.sh, chain.sh and get.sh that compare the contents of files.
export LC_ALL=C                         # names are bytes
no_tar='there is no tar on this host'
# Option of find: -L to follow symbolic links, or nothing.
follow=-L
if command -v sha256sum >/dev/null 2>&1; then kind=sha256 summer=sha256sum
elif command -v shasum >/dev/null 2>&1; then kind=sha256 summer='shasum -a 256'
elif command -v cksum >/dev/null 2>&1; then kind=cksum summer=cksum
else kind=none; fi
# The part of a line of $summer that is kept: the digest or, with cksum, the number and the size.
# Names are left out, because each tool prints odd names differently.
if [ "$kind" = sha256 ]; then sum_pattern='s/^\\\{0,1\}\([0-9a-f]\{64\}\) .*/\1/p'
else sum_pattern='s/^\([0-9]* [0-9]*\) .*/\1/p'; fi

# contents PATH...: print one digest for all files in these trees: the digest of a single file, or
# the digest of the sorted digests of all files.
contents() {
  if [ $# = 1 ] && [ -f "$1" ]; then digest <"$1"
  else sums "$@" | sort | digest; fi
}

# sums PATH...: print the digest of each file in these trees, one a line.
sums() {
  # shellcheck disable=SC2086  # a command and its arguments, or nothing
  find $follow "$@" -type f -exec $summer {} + | sed -n "$sum_pattern"
}

# ticking: print "tick" on standard error every 10 seconds, so that a long silence is not taken for
# a stall. End $ticker with KILL; its sleep ends within one second.
ticking() {
  (
    cd / && while sleep 1 2>/dev/null; do
      ticks=$((${ticks:-0} + 1))
      [ $((ticks % 10)) -gt 0 ] || say tick >&2
    done
  ) >/dev/null &
  ticker=$!
}
