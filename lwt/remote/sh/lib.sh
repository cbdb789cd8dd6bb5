# Functions that several scripts use. POSIX sh, tested with dash, bash and busybox.
#
# Assumptions, numbered:
#   1. /bin/sh is a POSIX shell, and the host has printf, head -c, find, sed, ln, mv, rm, mkdir, wc
#      and tar.
#   2. A no-pty ssh session is a session leader, so "kill 0" reaches the command and nothing else.
#   3. All three shells have a builtin kill that accepts the group form "kill -TERM -PGID".
#   4. Without /proc, processes that left their group are not searched for; everything else works.
#   5. A file whose creation may fail is made with true, not with ":". If a redirection of ":"
#      fails, a POSIX shell exits.

# restore_environment: restore the original environment for what the user runs. It may change any
# variable, so values that are needed after it must be in positional parameters.
restore_environment() {
  unset IFS LC_ALL
  for lwt_name in $lwt_saved; do
    eval "$lwt_name=\$lwt_v_$lwt_name; export $lwt_name; unset lwt_v_$lwt_name"
  done
  unset lwt_saved
  if [ -n "$lwt_function_names" ]; then
    eval "$lwt_functions"
    for lwt_name in $lwt_function_names; do
      # shellcheck disable=SC2163,SC3045  # for bash alone; it is the name that is expanded
      case $lwt_name in declare | -* | lwt_*) ;; *) export -f "$lwt_name" ;; esac
    done
  fi
  unset lwt_functions lwt_function_names
}

# -- directories -----------------------------------------------------------------------------------

# say LINE...: print one line of the answer. Not echo, because dash's echo interprets backslashes.
say() { printf '%s\n' "$*"; }

# expand PATH: set $expanded to PATH with ~ and ~USER at its start replaced by the home directory.
# An unknown USER is left as it is.
expand() {
  expanded=$1
  case $1 in
    [~]) expanded=${HOME:-$PWD} ;;
    [~]/*) expanded=${HOME:-$PWD}/${1#??} ;;
    [~][A-Za-z_]*)
      expand_user=${1%%/*}
      case ${expand_user#?} in *[${lwt_not% }A-Za-z0-9_.-]*) return ;; esac
      eval "expand_home=$expand_user"    # the name is safe, and the shell knows the homes of users
      # shellcheck disable=SC2154  # eval sets it
      [ "$expand_home" = "$expand_user" ] || expanded=$expand_home${1#"$expand_user"}
      ;;
  esac
}

# find_home HOME: set $home_path to the directory where lwt works. ~ and relative paths refer to the
# login directory.
find_home() {
  expand "$1"
  case $expanded in
    /*) home_path=$expanded ;;
    *) home_path=${HOME:-$PWD}/$expanded ;;
  esac
}

# enter_home HOME: change to that directory, and create it if it does not exist. If that fails, set
# $home_problem to an error message.
enter_home() {
  find_home "$1"
  cd "$home_path" 2>/dev/null && return
  if [ -d "$home_path" ]; then home_problem="home $1: cannot be entered (Permission denied)"
  elif [ -e "$home_path" ]; then home_problem="home $1: not a directory"
  elif [ -L "$home_path" ]; then home_problem="home $1: a link that leads nowhere"
  elif home_problem=$( (umask 077 && mkdir -p "$home_path") 2>&1) &&
    cd "$home_path" 2>/dev/null; then return
  else home_problem="home $1: cannot be created (${home_problem##*: })"; fi
  return 1
}

# find_scratch: set $scratch to a directory for temporary files: the one that the user of lwt asked
# for, or the first usable one of TMPDIR, /tmp, /var/tmp and the working directory.
find_scratch() {
  scratch=${LWT_TMPDIR-}
  [ -z "$scratch" ] || return 0
  for scratch in "${TMPDIR:-/tmp}" /tmp /var/tmp "$PWD"; do
    case $scratch in /*) ;; *) continue ;; esac
    if [ -d "$scratch" ] && [ -w "$scratch" ] && [ -x "$scratch" ]; then return; fi
  done
}

# read_opening: read the first line of standard input, "lwt NONCE MARK", and set $nonce and $mark.
#
# The nonce is secret. printf, which prints it, is a builtin, so no other user can read it in the
# list of processes. If something else has consumed that line, the script exits, because nothing may
# run.
read_opening() {
  IFS=' ' read -r opening nonce mark
  [ "$opening" = lwt ] && [ -n "$mark" ] || exit 1
}

# nap: wait for a short time.
nap() { sleep 0.05 2>/dev/null || sleep 1; }

# find_boot: set $boot to a value that differs after each boot of the host.
find_boot() {
  { read -r boot <"${LWT_TEST_BOOT_ID:-/proc/sys/kernel/random/boot_id}"; } 2>/dev/null ||
    boot=$(sysctl -n kern.bootsessionuuid 2>/dev/null ||
      sysctl -n kern.boottime 2>/dev/null | tr -dc 0-9)
}

# read_stat PID: set $stat_parent, $stat_group, $stat_session and $stat_start; false if the process
# has ended or is a zombie. The name of a process may contain anything, including a newline.
read_stat() {
  stat_text=''
  while IFS= read -r stat_line || [ -n "$stat_line" ]; do
    stat_text="$stat_text $stat_line"
  done <"/proc/$1/stat"
  # shellcheck disable=SC2086  # to be split into fields
  set -- ${stat_text##*") "}
  [ $# -gt 19 ] || return 1
  case $1 in Z | X) return 1 ;; esac
  stat_parent=$2 stat_group=$3 stat_session=$4 stat_start=${20}
} 2>/dev/null

# find_start PID: set $stat_start to the start time of a process (its number may be reused) and
# $stat_group to its process group, or both to nothing if it does not live. Needs no fork where
# /proc exists.
find_start() {
  stat_start='' stat_group=''
  if [ -r /proc/self/stat ]; then
    read_stat "$1"
    return
  fi
  stat_start=$(ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' _)
  stat_group=$(ps -o pgid= -p "$1" 2>/dev/null | tr -d ' ')
}

# has_start PID START: whether the process that started at that time still lives.
has_start() {
  find_start "$1"
  [ -n "$stat_start" ] && [ "$stat_start" = "$2" ]
}

# kill_marked ENTRY: kill all processes whose environment contains this entry. They are stopped
# first, so that none of them starts another one meanwhile.
kill_marked() {
  kill_last='' kill_round=0
  while [ "$((kill_round += 1))" -le 20 ]; do
    find_marked "$1"
    [ -n "$marked" ] || break
    # shellcheck disable=SC2086  # numbers
    if [ "$marked" = "$kill_last" ]; then kill -KILL $marked
    else kill -STOP $marked; fi
    kill_last=$marked
  done
  # shellcheck disable=SC2086
  [ -z "$marked" ] || kill -KILL $marked        # new ones keep appearing; none must stay stopped
} 2>/dev/null

# find_marked ENTRY: set $marked to the numbers of these processes. proclib.sh replaces this by a
# version that needs no other process.
find_marked() { marked=$(marked "$1"); }

# marked ENTRY: print the numbers of the processes whose environment contains this entry.
marked() { marked_files "$1" | tr -dc '0-9\n'; }

# marked_files ENTRY: print the paths of these environments. A process that is executing another
# program has no environment yet, so if nothing is found, this looks again.
marked_files() {
  marked_paths=$(look_for_marked "$1")
  if [ -z "$marked_paths" ]; then
    await_programs /proc/[0-9]*/environ
    marked_paths=$(look_for_marked "$1")
  fi
  [ -z "$marked_paths" ] || say "$marked_paths"
}

# await_programs ENVIRONMENT...: wait, at most one second, until those of these processes that are
# executing another program have begun it. Until then they have neither an environment nor a command
# line. A kernel thread has neither as well, but it has no program at all.
await_programs() {
  programs_tries=20
  while [ "$programs_tries" -gt 0 ]; do
    programs_tries=$((programs_tries - 1)) programs_blank=''
    # shellcheck disable=SC2013  # words, for these paths have no blanks
    for programs_path in $(grep -Ls '' -- "$@"); do
      [ -e "${programs_path%environ}exe" ] || continue
      grep -qs '' -- "${programs_path%environ}cmdline" ||
        programs_blank="$programs_blank $programs_path"
    done
    [ -n "$programs_blank" ] || break
    # shellcheck disable=SC2086  # these paths
    set -- $programs_blank
    nap
  done
}

# look_for_marked ENTRY: as marked_files, but without the second look. Uses one grep for all
# processes if grep supports that.
look_for_marked() {
  if printf 'a\0b\0' | grep -qzx b; then
    grep -lszx "$1" /proc/[0-9]*/environ
  else
    for marked_file in /proc/[0-9]*/environ; do
      [ -r "$marked_file" ] && tr '\0' '\n' <"$marked_file" | grep -qx "$1" && say "$marked_file"
    done
  fi
}

# receive FILE BYTES STALL: read BYTES bytes from standard input into FILE, an absolute path. Reads
# fewer if the input ends or no bytes come for STALL seconds.
#
# Do not call it with redirections: dash keeps a copy of the descriptors that they replace, the
# watch process would inherit it, and a caller that waits for the end of that stream would wait one
# second longer.
receive() {
  { true >"$1"; } 2>/dev/null || return 1
  # dash gives background processes /dev/null as input, even with "<&0".
  exec 6<&0
  head -c "$2" <&6 >>"$1" 2>/dev/null &
  receive_head=$!
  exec 6<&-
  ( cd / && receive_watch "$1" "$3" "$receive_head" ) </dev/null >/dev/null 2>&1 3<&- 4>&- &
  wait "$receive_head"
}

# arrived FILE BYTES: whether all bytes have arrived.
arrived() { [ "$(wc -c <"$1")" -eq "$2" ]; }

# receive_watch FILE STALL PID: end PID if FILE has not grown for STALL seconds. It is never
# signalled, because a bash that was just forked would still run the EXIT trap of its parent. It
# ends by itself, at most one second after PID.
receive_watch() {
  receive_size=-1 receive_quiet=0
  while kill -0 "$3"; do
    sleep 1
    receive_last=$receive_size
    receive_size=$(wc -c <"$1") || return
    if [ "$receive_size" -eq "$receive_last" ]; then receive_quiet=$((receive_quiet + 1))
    else receive_quiet=0; fi
    [ "$receive_quiet" -lt "${2%.*}" ] || kill "$3"
  done
}

# digest: print the digest of standard input, "sha256 HEX" or "cksum NUMBER", whichever the host
# has.
digest() {
  find_digest
  say "$digest"
}

no_digest='there is none of sha256sum, shasum and cksum'

# find_digest: set $digest to the digest of standard input; false if the host has no tool for it.
find_digest() {
  if command -v sha256sum >/dev/null 2>&1; then set -- sha256 "$(sha256sum)"
  elif command -v shasum >/dev/null 2>&1; then set -- sha256 "$(shasum -a 256)"
  elif command -v cksum >/dev/null 2>&1; then set -- cksum "$(cksum)"
  else return 1; fi
  digest="$1 ${2%% *}"
}
