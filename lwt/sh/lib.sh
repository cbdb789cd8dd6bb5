# What several scripts use.  POSIX sh; tried in dash, bash and busybox.  It defines functions and does nothing.
#
# Assumptions, numbered:
#   1. /bin/sh is a POSIX shell; printf, head -c, find, sed, ln, mv, rm, mkdir, wc and tar are there.
#   2. A no-pty ssh session is a session leader, so that "kill 0" reaches the command and no more.
#   3. The group form of kill that all three shells know is the builtin "kill -TERM -PGID".
#   4. Without /proc there is no search for processes that left their group; all else works.
#   5. A file that may not come into being is made by true, not by ":", with which a POSIX shell would end there and then.
unset CDPATH

# say LINE...: one line of answer.  Not echo: it interprets backslashes in dash.
say() { printf '%s\n' "$*"; }

# enter_home HOME: change to the directory where lwt works; ~ and relative paths are the login directory's.
enter_home() {
  case $1 in
    /*) set -- "$1" ;;
    [~]) set -- "$HOME" ;;
    [~]/*) set -- "$HOME/${1#??}" ;;
    *) set -- "$HOME/$1" ;;
  esac
  cd "$1" 2>/dev/null || return 1
}

# nap: a short wait.
nap() { sleep 0.05 2>/dev/null || sleep 1; }

# find_boot: set $boot to what is another after each start of the host's system.
find_boot() {
  { read -r boot <"${LWT_TEST_BOOT_ID:-/proc/sys/kernel/random/boot_id}"; } 2>/dev/null ||
    boot=$(sysctl -n kern.bootsessionuuid 2>/dev/null || sysctl -n kern.boottime 2>/dev/null | tr -dc 0-9)
}

# stat_field PID N: field N of /proc/PID/stat, counted after the name, which may hold anything.
stat_field() {
  { IFS= read -r stat_line <"/proc/$1/stat"; } 2>/dev/null || return 1
  stat_n=$2
  # shellcheck disable=SC2086  # to be split into fields
  set -- ${stat_line##*") "}
  case $1 in Z | X) return 1 ;; esac
  shift $((stat_n - 1))
  printf %s "$1"
}

# started PID: when it started (against reuse of its number), nothing if it does not live.
started() {
  if [ -r /proc/self/stat ]; then stat_field "$1" 20
  else ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' _; fi
}

# group PID: its process group.
group() {
  if [ -r /proc/self/stat ]; then stat_field "$1" 3
  else ps -o pgid= -p "$1" | tr -d ' '; fi
}

# sweep ID: kill whatever carries LWT_ID=ID in its environment, wherever it hides.
sweep() {
  for sweep_round in 1 2 3; do
    sweep_found=$(marked "LWT_ID=$1")
    [ -n "$sweep_found" ] || break
    # shellcheck disable=SC2086  # to be split
    kill -KILL $sweep_found
  done
} 2>/dev/null

# marked ENTRY: the numbers of the processes whose environment has this entry; one look at all of them, where grep can.
marked() {
  if printf 'a\0b\0' | grep -qzx b; then
    grep -lszx "$1" /proc/[0-9]*/environ
  else
    for marked_file in /proc/[0-9]*/environ; do
      [ -r "$marked_file" ] && tr '\0' '\n' <"$marked_file" | grep -qx "$1" && say "$marked_file"
    done
  fi | tr -dc '0-9\n'
}

# receive FILE BYTES STALL: take so many bytes from standard input; fewer, where there are no more or none come for STALL seconds.
# FILE is an absolute path.
#
# It is not to be called with redirections: dash keeps a copy of what they replace, the watch would inherit it, and the call that
# waits for the end of that stream would last a second longer.
receive() {
  { true >"$1"; } 2>/dev/null || return 1
  exec 6<&0                             # dash gives what runs in the background /dev/null, whatever "<&0" asks for
  head -c "$2" <&6 >>"$1" 2>/dev/null &
  receive_head=$!
  exec 6<&-
  ( cd / && receive_watch "$1" "$3" "$receive_head" ) </dev/null >/dev/null 2>&1 3<&- 4>&- &
  wait "$receive_head"
}

# arrived FILE BYTES: are all of them there?
arrived() { [ "$(wc -c <"$1")" -eq "$2" ]; }

# receive_watch FILE STALL PID: end PID when FILE has not grown for STALL seconds.  It is never signalled: a bash that has
# just been forked would still run the EXIT trap of its parent.  It ends by itself, a second after PID at the latest.
receive_watch() {
  receive_size=-1 receive_quiet=0
  while kill -0 "$3"; do
    sleep 1
    receive_last=$receive_size
    receive_size=$(wc -c <"$1") || return
    if [ "$receive_size" -eq "$receive_last" ]; then receive_quiet=$((receive_quiet + 1)); else receive_quiet=0; fi
    [ "$receive_quiet" -lt "${2%.*}" ] || kill "$3"
  done
}

# digest: say that of standard input, "sha256 HEX" or "cksum NUMBER", whichever the host has.
digest() {
  find_digest
  say "$digest"
}

# find_digest: set $digest to it.
find_digest() {
  if command -v sha256sum >/dev/null 2>&1; then set -- sha256 "$(sha256sum)"
  elif command -v shasum >/dev/null 2>&1; then set -- sha256 "$(shasum -a 256)"
  else set -- cksum "$(cksum)"; fi
  digest="$1 ${2%% *}"
}
