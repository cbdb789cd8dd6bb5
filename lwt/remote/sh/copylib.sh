# What put.sh, chain.sh and get.sh share: how the contents of files are compared.
export LC_ALL=C                         # names are bytes
# For find: -L where symbolic links are followed, else nothing.
follow=-L
if command -v sha256sum >/dev/null 2>&1; then kind=sha256 summer=sha256sum
elif command -v shasum >/dev/null 2>&1; then kind=sha256 summer='shasum -a 256'
elif command -v cksum >/dev/null 2>&1; then kind=cksum summer=cksum
else kind=none; fi
# What of a line of that is kept: the digest or, where it is cksum, the number and the size.  Names
# are left out: no tool prints odd ones as another does.
if [ "$kind" = sha256 ]; then sum_pattern='s/^\\\{0,1\}\([0-9a-f]\{64\}\) .*/\1/p'
else sum_pattern='s/^\([0-9]* [0-9]*\) .*/\1/p'; fi

# contents PATH...: one digest for all files in these trees: that of a single file, or that of the
# sorted digests of all.
contents() {
  if [ $# = 1 ] && [ -f "$1" ]; then digest <"$1"
  else sums "$@" | sort | digest; fi
}

# sums PATH...: the digest of each file in these trees, a line each.
sums() {
  # shellcheck disable=SC2086  # a command and its arguments, or nothing
  find $follow "$@" -type f -exec $summer {} + | sed -n "$sum_pattern"
}

# ticking: say "tick" every 10 seconds on standard error, so that a long silence is no stall.
# $ticker is to be ended by KILL; a sleep of it is over a second later.
ticking() {
  (
    cd / && while sleep 1 2>/dev/null; do
      ticks=$((${ticks:-0} + 1))
      [ $((ticks % 10)) -gt 0 ] || say tick >&2
    done
  ) >/dev/null &
  ticker=$!
}
