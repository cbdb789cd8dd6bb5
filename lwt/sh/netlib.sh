# What reduce.sh and chain.sh share: at which port a netcat listens.
# has_ports: does this system tell at which port a process listens?  (No portable tool does.)
has_ports() { [ -r /proc/net/tcp ] && [ -r /proc/self/stat ]; }

# port_of PID: the port at which a process listens, or soon will.
port_of() {
  looks=200
  while [ "$((looks -= 1))" -gt 0 ] && [ -e "/proc/$1/exe" ]; do
    # shellcheck disable=SC2012  # there are no odd names
    for inode in $(ls -l "/proc/$1/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p'); do
      # A table that changes while it is read may have the same line twice.
      port=$(sed -n "s/^ *[0-9]*: [0-9A-F]*:\([0-9A-F]\{4\}\) [0-9A-F]*:0000 0A .* $inode .*/\1/p" /proc/net/tcp /proc/net/tcp6 \
        2>/dev/null | head -n 1)
      [ -z "$port" ] || { say $((0x$port)); return; }
    done
    nap
  done
  return 1
}
