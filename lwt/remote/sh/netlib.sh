# What reduce.sh and chain.sh share: at which port a netcat listens, and whether who connects to it
# knows the token.
# has_ports: does this system tell at which port a process listens?  (No portable tool does.)
has_ports() { [ -r /proc/net/tcp ] && [ -r /proc/self/stat ]; }

# port_of PID: the port at which a process listens, or soon will.
port_of() {
  looks=200
  while [ "$((looks -= 1))" -gt 0 ] && [ -e "/proc/$1/exe" ]; do
    # shellcheck disable=SC2012  # there are no odd names
    for inode in $(ls -l "/proc/$1/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p'); do
      # A table that changes while it is read may have the same line twice.
      port=$(sed -n "s/^ *[0-9]*: [0-9A-F]*:\([0-9A-F]\{4\}\) [0-9A-F]*:0000 0A .* $inode .*/\1/p" \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null | head -n 1)
      [ -z "$port" ] || { say $((0x$port)); return; }
    done
    nap
  done
  return 1
}

# is_taken PORT: is anybody connected to this port of this host?
is_taken() {
  grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") [0-9A-F]*:[0-9A-F]* 0[1-9] " /proc/net/tcp ||
    grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") [0-9A-F]*:[0-9A-F]* 0[1-9] " /proc/net/tcp6
} 2>/dev/null

# has_token TOKEN: does standard input begin with this line?  It takes no byte more: the rest is
# data for others, and a stranger who sends without an end fills no memory.
has_token() { [ "$(dd bs=1 count=33)" = "$1" ]; } 2>/dev/null
