# Finding and killing what a command has started, by builtins alone: the host may be at its limit of processes.
#
# A process of the command is one that
#
#   - descends from it, by the parents in /proc, or is in a session of such a process;
#   - is an orphan that came to the guard, where the guard is a subreaper;
#   - has LWT_ID in its environment (marked, sweep_by_builtins).
#
# The first two need no look at environments, which a process can overwrite or hide.  They are looked for before the first
# signal: when a parent dies, its children get another one, and the descent cannot be seen any more.
#
# rest_known    what was found: words PID:START; the start time tells a process from a later one with its number
# rest_root     the command's number, which is that of its session as well where it has one of its own
# rest_guard    whose children are the command's, unless they are in the session $rest_spared or among $rest_own
# rest_alive    numbers of those that were found and live
rest_known=' ' rest_root='' rest_guard='' rest_spared='' rest_own=' ' rest_alive=''

# read_stat PID: set stat_state, stat_parent, stat_group, stat_session and stat_start; false if it is gone or a zombie.
# The name of a process may hold anything, a newline as well.
read_stat() {
  stat_text=''
  while IFS= read -r stat_line || [ -n "$stat_line" ]; do
    stat_text="$stat_text $stat_line"
  done <"/proc/$1/stat"
  # shellcheck disable=SC2086  # to be split into fields
  set -- ${stat_text##*") "}
  [ $# -gt 19 ] || return 1
  case $1 in Z | X) return 1 ;; esac
  stat_state=$1 stat_parent=$2 stat_group=$3 stat_session=$4 stat_start=${20}
} 2>/dev/null

# find_rest: look for the command's processes; add them to rest_known, and set rest_alive.  True if there are new ones.
find_rest() {
  rest_table='' rest_alive=' ' rest_sessions=' ' rest_is_new=1
  for rest_path in /proc/[0-9]*; do
    rest_pid=${rest_path#/proc/}
    case $rest_own in *" $rest_pid "*) continue ;; esac
    read_stat "$rest_pid" || continue
    [ "$stat_session" != "$rest_spared" ] || continue
    rest_word=$rest_pid:$stat_start
    case $rest_known in
      *" $rest_word "*) found_rest ;;
      *)
        if [ "$stat_parent" = "$rest_guard" ] || { [ "$rest_known" = ' ' ] && is_root; }; then found_rest
        else rest_table="$rest_table $rest_word:$stat_parent:$stat_session"; fi
        ;;
    esac
  done
  while follow_rest; do :; done
  rest_known="$rest_known${rest_news# }"
  rest_news=' '
  return "$rest_is_new"
}
rest_news=' '

# is_root: is the process that was read the command, or in its session?  (Asked the first time only: its number may be given
# to another process when all of these are gone.)
is_root() { [ "$rest_pid" = "$rest_root" ] || [ "$stat_session" = "$rest_root" ]; }

# know PIDS: add processes to rest_known, with what descends from them.
know() {
  for rest_pid in $1; do
    read_stat "$rest_pid" || continue
    [ "$stat_session" != "$rest_spared" ] || continue
    case $rest_own in *" $rest_pid "*) continue ;; esac
    rest_known="$rest_known$rest_pid:$stat_start "
  done
  find_rest
}

# found_rest: the process that was read is one.
found_rest() {
  rest_alive="$rest_alive$rest_pid "
  case $rest_sessions in *" $stat_session "*) ;; *) rest_sessions="$rest_sessions$stat_session " ;; esac
  case $rest_known in
    *" $rest_word "*) ;;
    *) rest_news="$rest_news$rest_word " rest_is_new=0 ;;
  esac
}

# follow_rest: of those in the table, find those whose parent or session was found; true if there were any.
follow_rest() {
  rest_more=1 rest_next=''
  for rest_entry in $rest_table; do
    rest_pid=${rest_entry%%:*} rest_word=${rest_entry%:*:*} stat_session=${rest_entry##*:}
    stat_parent=${rest_entry%:*} stat_parent=${stat_parent##*:}
    case "$rest_alive:$rest_sessions" in
      *" $stat_parent "*:* | *:*" $stat_session "*) found_rest; rest_more=0 ;;
      *) rest_next="$rest_next $rest_entry" ;;
    esac
  done
  rest_table=$rest_next
  return "$rest_more"
}

# kill_rest: kill the command's processes.  They are stopped first, so that none of them starts another one meanwhile.
kill_rest() {
  kill_round=0
  while [ "$((kill_round += 1))" -le 10 ]; do
    find_rest
    kill_more=1
    while [ -n "$kill_more" ]; do
      # shellcheck disable=SC2086  # numbers
      kill -STOP $rest_alive
      find_rest || kill_more=''
    done
    [ "$rest_alive" != ' ' ] || return 0
    # shellcheck disable=SC2086
    kill -KILL $rest_alive
  done
} 2>/dev/null

# find_marked ID: set $marked to the processes with LWT_ID=ID in their environments, by builtins.  Slow: the shell reads byte
# by byte.  (It skips NUL, so the entries of an environment come as one line.)
find_marked() {
  marked=''
  for marked_path in /proc/[0-9]*; do
    [ -r "$marked_path/environ" ] || continue
    while IFS= read -r marked_line || [ -n "$marked_line" ]; do
      case $marked_line in *"LWT_ID=$1"*) marked="$marked ${marked_path#/proc/}" ;; esac
    done <"$marked_path/environ"
  done
} 2>/dev/null

# sweep_by_builtins ID: kill these.
sweep_by_builtins() {
  for sweep_round in 1 2 3; do
    find_marked "$1"
    [ -n "$marked" ] || break
    # shellcheck disable=SC2086  # numbers
    kill -KILL $marked
  done
} 2>/dev/null
