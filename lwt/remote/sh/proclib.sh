# Find and kill the processes that a command has started. The command may have brought the host to
# its limit of processes, so builtins alone can do all of it. They read byte by byte, which takes
# seconds with a thousand processes, so another process reads while one can be started. bash needs
# none, and would try for 15 seconds to start one.
#
# A process belongs to the command if it
#
#   - descends from the command, by the parents in /proc, or is in a session of such a process;
#   - is an orphan that was reparented to the guard;
#   - has LWT_ID in its environment (find_marked).
#
# The first two do not depend on environments, which a process can overwrite or hide. These
# processes are found before the first signal is sent: when a parent dies, its children get another
# parent, and their descent can no longer be seen.
#
# can_fork      not empty: a process may be started. A failed fork ends dash and busybox, or the
#               shell of a $(...). So it is empty during a fork, for an EXIT trap that continues
# rest_known    the processes that were found: words PID:START. The start time tells a process from
#               a later one with the same number
# rest_root     the command's number; also the number of its session if it has one of its own
# rest_guard    the process whose children belong to the command, unless they are in the session
#               $rest_spared
# rest_alive    numbers of the processes that were found and live rest_table    words
# PID:START:PARENT:SESSION:GROUP of other live processes
rest_known=' ' rest_root='' rest_guard='' rest_spared='' rest_alive='' rest_news=' '

# list_processes: set $rest_table to all live processes.
list_processes() {
  rest_table=''
  if [ -n "$can_fork" ]; then
    can_fork=''
    rest_table=$(grep '' /proc/[0-9]*/stat | sed -n "$stat_to_word")
  fi
  if [ -n "$rest_table" ]; then
    can_fork=1
    return
  fi
  for rest_path in /proc/[0-9]*; do
    rest_pid=${rest_path#/proc/}
    ! read_stat "$rest_pid" ||
      rest_table="$rest_table $rest_pid:$stat_start:$stat_parent:$stat_session:$stat_group"
  done
} 2>/dev/null
# grep prints the path before each line. The fields follow the process name, which may contain
# anything but is too short to contain all fields.
stat_to_word='s|^/proc/\([0-9]*\)/stat:.*) [^ZX] \([0-9]*\) \([0-9]*\) \([0-9]*\) '\
'\([-0-9]* \)\{15\}\([0-9]*\) .*|\1:\6:\2:\4:\3|p'

# split_entry WORD: set $rest_pid, $rest_word, $stat_parent and $stat_session from a word of
# $rest_table.
split_entry() {
  rest_pid=${1%%:*} stat_session=${1%:*}
  stat_parent=${stat_session%:*} stat_session=${stat_session##*:}
  rest_word=${stat_parent%:*} stat_parent=${stat_parent##*:}
}

# find_rest: search for the command's processes, add them to $rest_known, and set $rest_alive. True
# if there are new ones.
find_rest() {
  list_processes
  rest_others='' rest_alive=' ' rest_sessions=' ' rest_is_new=1
  for rest_entry in $rest_table; do
    split_entry "$rest_entry"
    [ "$stat_session" != "$rest_spared" ] || continue
    case $rest_known in
      *" $rest_word "*) found_rest ;;
      *)
        if [ "$stat_parent" = "$rest_guard" ] || { [ "$rest_known" = ' ' ] && is_root; }; then
          found_rest
        else rest_others="$rest_others $rest_entry"; fi
        ;;
    esac
  done
  rest_table=$rest_others
  while follow_rest; do :; done
  rest_known="$rest_known${rest_news# }"
  rest_news=' '
  return "$rest_is_new"
}

# is_root: whether the current process is the command, or in its session. It is called only the
# first time, because the number may belong to another process after all of these are gone.
is_root() { [ "$rest_pid" = "$rest_root" ] || [ "$stat_session" = "$rest_root" ]; }

# know PIDS: add processes and their descendants to $rest_known.
know() {
  know_last=$rest_known
  for rest_pid in $1; do
    read_stat "$rest_pid" || continue
    [ "$stat_session" != "$rest_spared" ] || continue
    case $rest_known in
      *" $rest_pid:$stat_start "*) ;;
      *) rest_known="$rest_known$rest_pid:$stat_start " ;;
    esac
  done
  [ "$rest_known" = "$know_last" ] || find_rest
}

# found_rest: add the current process to the command's processes.
found_rest() {
  rest_alive="$rest_alive$rest_pid "
  case $rest_sessions in
    *" $stat_session "*) ;;
    *) rest_sessions="$rest_sessions$stat_session " ;;
  esac
  case $rest_known in
    *" $rest_word "*) ;;
    *) rest_news="$rest_news$rest_word " rest_is_new=0 ;;
  esac
}

# follow_rest: find those in $rest_table whose parent or session was found; true if there are any.
follow_rest() {
  rest_more=1 rest_others=''
  for rest_entry in $rest_table; do
    split_entry "$rest_entry"
    case "$rest_alive:$rest_sessions" in
      *" $stat_parent "*:* | *:*" $stat_session "*) found_rest; rest_more=0 ;;
      *) rest_others="$rest_others $rest_entry" ;;
    esac
  done
  rest_table=$rest_others
  return "$rest_more"
}

# kill_rest: kill the command's processes. They are stopped first, so that none of them starts
# another one meanwhile.
kill_rest() {
  kill_round=0
  while [ "$((kill_round += 1))" -le 10 ]; do
    find_rest
    [ "$rest_alive" != ' ' ] || return 0
    kill_more=1
    while [ -n "$kill_more" ]; do
      # shellcheck disable=SC2086  # numbers
      kill -STOP $rest_alive
      find_rest || kill_more=''
    done
    # shellcheck disable=SC2086
    kill -KILL $rest_alive
  done
} 2>/dev/null

# find_marked ENTRY: set $marked to the numbers of the processes with this entry in their
# environments. (read skips NUL, so builtins see all entries as one line.)
find_marked() {
  marked='' marked_files=''
  if [ -n "$can_fork" ]; then
    can_fork=''
    marked_files=$(unset LWT_ID; marked_files "$1"; say end)     # the searcher must not be found
  fi
  case $marked_files in
    *end)                               # else it ended because it could start no process
      can_fork=1
      for marked_path in ${marked_files%end}; do
        marked_path=${marked_path#/proc/}
        marked="$marked ${marked_path%/environ}"
      done
      return
      ;;
  esac
  for marked_path in /proc/[0-9]*; do
    [ -r "$marked_path/environ" ] || continue
    while IFS= read -r marked_line || [ -n "$marked_line" ]; do
      case $marked_line in
        *"$1"[0-9]*) ;;                 # a later attempt
        *"$1"*) marked="$marked ${marked_path#/proc/}" ;;
      esac
    done <"$marked_path/environ"
  done
} 2>/dev/null
