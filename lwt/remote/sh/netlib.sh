# Functions of reduce.sh and chain.sh: find the port on which a netcat listens, and check whether
# the process that connects knows the token.
#
# has_ports: whether this system shows on which port a process listens. (No portable tool does.)
has_ports() { [ -r /proc/net/tcp ] && [ -r /proc/self/stat ]; }

# port_of PID: print the port on which a process listens; wait until it does.
port_of() {
  looks=200
  while [ "$((looks -= 1))" -gt 0 ] && [ -e "/proc/$1/exe" ]; do
    # shellcheck disable=SC2012  # there are no odd names
    for inode in $(ls -l "/proc/$1/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p'); do
      # A table that changes while it is read may contain the same line twice.
      port=$(sed -n "s/^ *[0-9]*: [0-9A-F]*:\([0-9A-F]\{4\}\) [0-9A-F]*:0000 0A .* $inode .*/\1/p" \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null | head -n 1)
      [ -z "$port" ] || { say $((0x$port)); return; }
    done
    nap
  done
  return 1
}

# is_taken PORT: whether anything is connected to this port of this host.
is_taken() {
  grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") [0-9A-F]*:[0-9A-F]* 0[1-9] " /proc/net/tcp ||
    grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") [0-9A-F]*:[0-9A-F]* 0[1-9] " /proc/net/tcp6
} 2>/dev/null

# has_token TOKEN: whether standard input begins with this line. It reads no byte more: the rest is
# data for other processes, and a stranger who sends without end fills no memory.
has_token() { [ "$(dd bs=1 count=33)" = "$1" ]; } 2>/dev/null
