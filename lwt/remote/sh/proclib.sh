# Finding and killing what a command has started.  The host may be at its limit of processes because
# of that command, so all of it can be done by builtins alone.  They read byte by byte, which takes
# seconds where a thousand processes live; so another process reads while one can be started.  bash
# needs none, and would try for 15 seconds to start it.
#
# A process of the command is one that
#
#   - descends from it, by the parents in /proc, or is in a session of such a process;
#   - is an orphan that came to the guard;
#   - has LWT_ID in its environment (find_marked).
#
# The first two need no look at environments, which a process can overwrite or hide.  They are
# looked for before the first signal: when a parent dies, its children get another one, and the
# descent cannot be seen any more.
#
# can_fork      not empty: a process may be started.  Where it cannot, dash and busybox end this
#               shell, or the one of a $(...);
#               so it is empty meanwhile, for an EXIT trap that goes on
# rest_known    what was found: words PID:START; the start time tells a process from a later one
#               with its number
# rest_root     the command's number, which is that of its session as well where it has one of its
#               own
# rest_guard    whose children are the command's, unless they are in the session $rest_spared
# rest_alive    numbers of those that were found and live
# rest_table    words PID:START:PARENT:SESSION:GROUP of others that live
rest_known=' ' rest_root='' rest_guard='' rest_spared='' rest_alive='' rest_news=' '

# list_processes: set $rest_table to all that live.
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
# grep prints the path before each line; the fields follow the name, which may hold anything but is
# too short to hold them all.
stat_to_word='s|^/proc/\([0-9]*\)/stat:.*) [^ZX] \([0-9]*\) \([0-9]*\) \([0-9]*\) '\
'\([-0-9]* \)\{15\}\([0-9]*\) .*|\1:\6:\2:\4:\3|p'

# split_entry WORD: set rest_pid, rest_word, stat_parent and stat_session from a word of rest_table.
split_entry() {
  rest_pid=${1%%:*} stat_session=${1%:*}
  stat_parent=${stat_session%:*} stat_session=${stat_session##*:}
  rest_word=${stat_parent%:*} stat_parent=${stat_parent##*:}
}

# find_rest: look for the command's processes; add them to rest_known, and set rest_alive.  True if
# there are new ones.
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

# is_root: is the process that was read the command, or in its session?  (Asked the first time only:
# its number may be given to another process when all of these are gone.)
is_root() { [ "$rest_pid" = "$rest_root" ] || [ "$stat_session" = "$rest_root" ]; }

# know PIDS: add processes to rest_known, with what descends from them.
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

# found_rest: the process that was read is one.
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

# follow_rest: of those in the table, find those whose parent or session was found; true if there
# were any.
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

# kill_rest: kill the command's processes.  They are stopped first, so that none of them starts
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
# environments.  (A shell that reads skips NUL, so to builtins the entries come as one line.)
find_marked() {
  marked='' marked_files=''
  if [ -n "$can_fork" ]; then
    can_fork=''
    marked_files=$(unset LWT_ID; marked_files "$1"; say end)     # what looks is not looked for
  fi
  case $marked_files in
    *end)                               # else it was ended because it could start no process
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
