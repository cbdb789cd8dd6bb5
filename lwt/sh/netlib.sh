# What reduce.sh and chain.sh share: at which port a netcat listens.
# port_of PID: the port at which a process listens.
port_of() {
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    # shellcheck disable=SC2012  # there are no odd names
    for inode in $(ls -l "/proc/$1/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p'); do
      port=$(sed -n "s/^ *[0-9]*: [0-9A-F]*:\([0-9A-F]\{4\}\) [0-9A-F]*:0000 0A .* $inode .*/\1/p" /proc/net/tcp /proc/net/tcp6 \
        2>/dev/null)
      [ -z "$port" ] || { say $((0x$port)); return; }
    done
    nap
  done
  return 1
}
