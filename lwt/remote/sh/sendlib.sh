# Send results: find which files of each task are sent, and send them as a stream. Used by
# control.sh and fetch.sh, in ~/.lwt/t.
#
# With d_fetch, the tree that it names is sent. Without d_fetch, everything in the task's directory
# that is new or different from its input is sent. If symbolic links in these files lead to other
# files in the task's directory, those are sent too; the master resolves the links. Without d_fetch,
# the names of these other files are written KEY/./work/NAME.
#
# A list has one path a line, as namelib.sh writes it. If namelib.sh changed a path of a list, the
# function that prints the list prints a line "/" first.
trees='' works='' basics='' is_encoded='' tools='' one_by_one=''

# want KEY INPUT D_FETCH: add the results of this task to what is sent.
want() {
  for name in cancel run.stdout run.stderr; do
    [ ! -e "$1/$name" ] || basics=$basics$1/$name$newline
  done
  if [ -z "$3" ]; then
    [ ! -d "$1/work" ] || works="$works$2 $1$newline"
  elif [ -e "$1/work/$3" ] || [ -L "$1/work/$3" ]; then trees=$trees$1/work/$3$newline
  fi
}

# make_readable KEY...: let this user read what the tasks have made, even if they removed the
# permission. (Root could read it anyway.)
make_readable() {
  find "$@" -type d ! -perm -700 -exec chmod u+rwx {} \; \
    -o -type f ! -perm -400 -exec chmod u+r {} \; 2>/dev/null
}

# send FIFO: send the wanted results as a tar stream on standard output. On standard error, print
# "tar CODE" and "digest KIND VALUE" (left out if the FIFO does not exist); any other line is an
# error message of tar. It writes no file, because the disk may be full.
send() {
  gather
  if [ -p "$1" ]; then
    { if find_digest; then say "digest $digest" >&2; else cat >/dev/null; fi; } <"$1" &
    send_hasher=$!
    send_tars | tee "$1"
    wait "$send_hasher"
  else
    send_tars
  fi
}

# gather: set $whole to a list of files and trees, and $single to a list of files and directories
# without their contents.
gather() {
  IFS=$newline
  set -f
  odd=''
  set --
  for tree in $trees; do
    { [ -f "$tree" ] && [ ! -L "$tree" ]; } || set -- "$@" "$tree"
  done
  [ $# -eq 0 ] || odd=$(find "$@" ! -type f ! -type d 2>/dev/null)
  whole=$basics single=''
  for tree in $trees; do
    key=${tree%%/*}
    encode "$tree"
    if is_odd "$key" || leads_through_link "$tree"; then
      found=$(closure "$key" "$encoded")
      take_found
    else
      found=$encoded
      [ "$found" = "$tree" ] || is_encoded=1
    fi
    [ -z "$found" ] || whole=$whole$found$newline
  done
  [ -z "$works" ] || gather_new
  set +f
  unset IFS
}

# find_tools: find out what this host's tools can do: set $tools to how changes are found (see
# list_changed), and $one_by_one to the option of tar that takes directories without their contents.
find_tools() {
  if find . -prune -cnewer . >/dev/null 2>&1; then tools='find'
  elif stat -c %z . >/dev/null 2>&1; then tools='stat'
  else tools=content; fi
  ! tar --no-recursion -cf /dev/null . 2>/dev/null || one_by_one=--no-recursion
}

# gather_new: add to $single what is new or different in the tasks $works.
gather_new() {
  [ -n "$tools" ] || find_tools
  inputs=$newline
  for line in $works; do
    case $inputs in *"$newline${line% *}$newline"*) ;; *) inputs=$inputs${line% *}$newline ;; esac
  done
  for input in $inputs; do
    keys=''
    for line in $works; do [ "${line% *}" != "$input" ] || keys=$keys${line#* }$newline; done
    find_new
    [ -z "$found" ] || single=$single$found$newline
  done
}

# take_found: remove the line "/" from the list $found, and set $is_encoded if it was there.
take_found() {
  case $found in
    "/$newline"*)
      is_encoded=1
      found=${found#"/$newline"}
      ;;
  esac
}

# is_odd KEY: whether the trees that are wanted of the task contain anything but files and
# directories.
is_odd() { case $newline$odd in *"$newline$1/"*) ;; *) false ;; esac; }

# leads_through_link TREE: whether a directory on the way to it is a symbolic link.
leads_through_link() {
  case $1 in */work/*/*) ;; *) return 1 ;; esac
  way=${1%/*}
  while [ "${way%/*}" != "${way%%/*}" ]; do
    [ ! -L "$way" ] || return 0
    way=${way%/*}
  done
  return 1
}

# list_links DIRECTORY...: print two lines for each symbolic link in the directories, its path and
# its target.
list_links() {
  if find /dev/null -prune -printf '' 2>/dev/null && ! is_strange "$@"; then
    find "$@" -type l -printf '%p\n%l\n'
  else
    # shellcheck disable=SC2016  # for the inner shell
    find "$@" -type l -exec sh -c "$naming"'
      for link; do
        if target=$(readlink "$link" && echo .); then :
        else target=$(ls -ld "$link" && echo .) && target=${target#*" $link -> "}; fi
        print_names "$link" "${target%??}"
      done' sh {} +
  fi 2>/dev/null
}

# is_strange DIRECTORY...: whether the path or the target of any link in them contains a newline or
# a backslash. (GNU find only.)
is_strange() {
  strange="*[$newline$backslash$backslash]*"
  [ -n "$(find "$@" -type l '(' -path "$strange" -o -lname "$strange" ')' \
    -print -quit 2>/dev/null)" ]
}

# awk functions that follow links. target: {link: its text}. resolve(path) returns the real path, or
# "" if it leads out of the task's directory, and adds the links on the way to passed. add(path)
# makes path a root. covered(path) is true if path is in a root.
follow='
  function resolve(path,   key, todo, at, name, i, hops, text) {
    key = path
    sub(/\/.*/, "", key)
    todo = path
    at = ""
    while (todo != "") {
      i = index(todo, "/")
      name = i ? substr(todo, 1, i - 1) : todo
      todo = i ? substr(todo, i + 1) : ""
      if (name == "" || name == ".") continue
      if (name == "..") {
        if (!sub("/[^/]*$", "", at)) return ""
        continue
      }
      at = at == "" ? name : at "/" name
      if (!(at in target)) continue
      if (++hops > 40) return ""
      passed[at] = 1
      text = target[at]
      if (substr(text, 1, 1) == "/") {
        i = index(text "/", "/.lwt/t/" key "/work/")
        if (!i) return ""
        text = substr(text, i + 8)
        at = ""
      } else sub("/[^/]*$", "", at)
      todo = text "/" todo
    }
    return index(at "/", key "/work/") == 1 ? at : ""
  }
  function covered(path) {
    do if (path in roots) return 1; while (sub("/[^/]*$", "", path))
    return 0
  }
  function add(path) {
    if (path == "" || covered(path)) return
    roots[path] = 1
    queue[++queued] = path
  }
  function note(link, text,   path) {
    target[link] = text
    path = link
    while (sub("/[^/]*$", "", path)) holds[path] = 1
  }
  function close_queue(   i, link) {
    for (i = 1; i <= queued; i++)
      if (queue[i] in holds)
        for (link in target) if (index(link, queue[i] "/") == 1) add(resolve(link))
  }'

# closure KEY TREE: print a list of a tree and of everything that its links lead to. No path of the
# list is inside another one.
closure() {
  list_links "$1/work" | tree=$2 LC_ALL=C awk "$follow"'
    NR % 2 { link = $0; next }
    { note(link, $0) }
    END {
      add(resolve(ENVIRON["tree"]))
      close_queue()
      for (i = 1; i <= queued; i++) {
        path = queue[i]
        if (!sub("/[^/]*$", "", path) || !covered(path)) print queue[i]
      }
      for (link in passed) if (!covered(link)) print link
    }' | existing
}

# existing: print those paths of a list on standard input that exist.
existing() {
  existing=''
  while IFS= read -r line; do
    decode "$line"
    { [ ! -e "$decoded" ] && [ ! -L "$decoded" ]; } || existing=$existing$line$newline
  done
  case $existing in *"$backslash"*) say / ;; esac
  printf %s "$existing"
}

# find_new: set $found to a list of what is new or different in the directories of the tasks $keys,
# which began as copies of $input. The list includes the directories that lead to these files, and
# what links in them lead to.
find_new() {
  with_links=$is_encoded
  found=$(list_new)
  case $found in
    //*) is_encoded=1 with_links=1 ;;
    /*) with_links=1 ;;
    *) return ;;
  esac
  found=$(list_new)
}

# list_new: print that list. Print only "//" if a path has a newline or a backslash and $is_encoded
# is not set. Print only "/" if anything new or different is neither a file nor a directory, so that
# it may be a link, and $with_links is not set.
list_new() {
  {
    set --
    [ ! -d "../i/$input/work" ] || set -- "../i/$input/work"
    for key in $keys; do set -- "$@" "$key/work"; done
    # Without $with_links, whatever is neither a file nor a directory is printed twice in a row.
    if [ -n "$with_links" ]; then find_names "$@"
    elif [ -n "$one_by_one" ]; then find "$@" -print ! -type f ! -type d -print
    else find "$@" ! -type d -print ! -type f -print; fi
    say /
    list_changed
    say /
    case $1 in ../*) shift ;; esac
    [ -z "$with_links" ] || list_links "$@"
  } | skip=$((${#input} + 11)) is_encoded=$is_encoded LC_ALL=C awk "$follow"'
    part < 3 && $0 == "/" { part = part < 2 ? 2 : 3; next }
    !part && /^\.\.\/i\// { known[substr($0, ENVIRON["skip"])] = 1; next }
    !part { part = 1 }
    part == 1 {
      if (ENVIRON["is_encoded"] == "" &&
        ($0 !~ /^[0-9a-f]+\.[0-9]+\/work/ || index($0, "\\"))) { answer = "//"; exit }
      if (count && all[count] == $0) { special[$0] = 1; next }
      all[++count] = $0
      if (!(substr($0, index($0, "/") + 5) in known)) fresh[$0] = 1
      next
    }
    part == 2 { fresh[$0] = 1; next }
    link == "" { link = $0; next }
    { note(link, $0); link = "" }
    END {
      for (path in special) if (answer == "" && path in fresh) answer = "/"
      if (answer != "") { print answer; exit }
      for (link in target) if (link in fresh) {
        path = resolve(link)
        if (path != "" && index(link, path "/") != 1) add(path)
      }
      close_queue()
      for (i = 1; i <= count; i++) {
        path = all[i]
        if (path in fresh) do taken[path] = 1; while (sub("/[^/]*$", "", path) && path ~ /\//)
      }
      for (i = 1; i <= count; i++) if (all[i] in taken) print all[i]
      for (i = 1; i <= count; i++) if (!(all[i] in taken) &&
        (all[i] in passed || covered(all[i]))) {
        sub(/\//, "/./", all[i])
        print all[i]
      }
    }'
}

# find_names PATH... [CONDITIONS]: print a list of what find finds, without directories if tar
# cannot take a directory without its contents.
find_names() {
  [ -n "$one_by_one" ] || set -- "$@" ! -type d
  # shellcheck disable=SC2016  # for the inner shell
  if [ -n "$is_encoded" ]; then find "$@" -exec sh -c "$naming"'print_names "$@"' sh {} +
  else find "$@"; fi
}

# list_changed: print a list of what in the directories of the tasks $keys has changed since they
# began. (New names may be missing.) Whatever a task does to a file or to its place sets the time of
# the last status change, and no task can set that time back. So a file is different if it changed
# after "cancel" was written (see run.sh). It also counts as different if it seems older than the
# input, because the clock was set back.
list_changed() {
  by_find='' by_stat='' by_content=''
  for key in $keys; do
    told=''
    { IFS=' ' read -r _ told <"$key/cancel"; } 2>/dev/null
    case $told in
      find) by_find=$by_find$key$newline ;;
      stat) by_stat=$by_stat$key$newline ;;
      *) by_content=$by_content$key$newline ;;
    esac
  done
  # shellcheck disable=SC2086  # lines
  [ -z "$by_find" ] || changed_by_find $by_find
  # shellcheck disable=SC2086
  [ -z "$by_stat" ] || changed_by_stat $by_stat
  for key in $by_content; do changed_by_content "$key"; done
} 2>/dev/null

# changed_by_find KEY...: for a find that supports -cnewer (GNU, BSD).
changed_by_find() {
  count=$#
  for key; do set -- "$@" "$key/work"; done
  shift "$count"
  if [ -e "../i/$input/staged" ]; then set -- "$@" '(' ! -cnewer "../i/$input/staged"
  else set -- "$@" '(' -links 0; fi
  for work; do
    case $work in */work) set -- "$@" -o -path "$work*" -cnewer "${work%work}cancel" ;; esac
  done
  # The host may have another find now.
  find_names "$@" ')' || for key in $keys; do changed_by_content "$key"; done
}

# changed_by_stat KEY...: for hosts with `stat -c` (busybox).
changed_by_stat() {
  {
    for key; do TZ=UTC0 stat -c '%y %n' "$key/cancel"; done
    TZ=UTC0 stat -c '%y %n' "../i/$input/staged"
    say /
    for key; do TZ=UTC0 find "$key/work" -exec stat -c '%z %n' {} +; done
  } | is_encoded=$is_encoded LC_ALL=C awk '
    function written(text,   done, i) {
      if (ENVIRON["is_encoded"] == "") return text
      while (i = index(text, "\\")) {
        done = done substr(text, 1, i) "\\"
        text = substr(text, i + 1)
      }
      return done text
    }
    function tell() {
      if (time "" > since[substr(path, 1, index(path, "/work") - 1)] || time "" <= begun) print path
    }
    $0 == "/" { part = 1; next }
    / \+0000 / && /^[0-9]+-[0-9]+-[0-9]+ [0-9:.]+ / {
      if (path != "") tell()
      i = index($0, " +0000 ")
      time = substr($0, 1, i - 1)
      path = written(substr($0, i + 7))
      if (part) next
      sub(/\/[a-z]*$/, "", path)
      if (path ~ /^\.\./) begun = time
      else since[path] = time
      path = ""
      next
    }
    { path = path "\\n" written($0) }
    END { if (path != "") tell() }'
}

# changed_by_content KEY: for all other hosts. If names may be strange, everything counts as
# changed.
changed_by_content() {
  if [ -n "$is_encoded" ]; then
    find_names "$1/work"
    return
  fi
  {
    (cd "../i/$input/work" && signatures)
    say /
    (cd "$1/work" && signatures)
  } | work=$1/work LC_ALL=C awk '
    $0 == "/" { part = 1; next }
    !index($0, " ./") { next }
    !part { known[$0] = 1; next }
    !($0 in known) {
      path = substr($0, index($0, " ./") + 2)
      if (/^l/) sub(/ -> .*/, "", path)
      print ENVIRON["work"] path
    }'
}

# signatures: print one or two lines for everything in this directory. (The number of hard links is
# left out, because cp turns hard links into separate files.)
signatures() {
  find . -exec ls -ldn {} + | sed 's/^\([^ ]* *\)[0-9]* */\1/'
  for sum in sha256sum md5sum cksum; do
    command -v "$sum" >/dev/null || continue
    find . -type f -exec "$sum" {} +
    return
  done
}

# send_tars: send the gathered files as one or several tar archives.
send_tars() {
  send_code=0
  send_tar "$whole" || send_code=$?
  send_tar "$single" $one_by_one || send_code=$?
  say "tar $send_code" >&2
}

# send_tar LIST [OPTION]: send the files of a list.
send_tar() {
  send_list=$1
  shift
  case $send_list in *[!"$newline"]*) ;; *) return 0 ;; esac
  if [ -n "$is_encoded" ]; then
    # GNU tar would interpret escapes in names.
    ! tar --no-unquote -cf /dev/null . 2>/dev/null || set -- --no-unquote "$@"
    printf %s "$send_list" | while IFS= read -r line; do
      decode "$line"
      printf '%s\0' "$decoded"
    done | xargs -0 tar "$@" -cf -
  elif [ "${#send_list}" -gt 60000 ]; then
    printf %s "$send_list" | tr '\n' '\0' | xargs -0 tar "$@" -cf -
  else
    set -f
    IFS=$newline
    # shellcheck disable=SC2086  # to be split at newlines
    tar "$@" -cf - $send_list
  fi
}
