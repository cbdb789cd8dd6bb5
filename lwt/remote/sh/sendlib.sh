# How results are sent: what is to come of each task, and the stream.  Used by control.sh and
# fetch.sh, in ~/.lwt/t.
#
# Of a task comes the tree that d_fetch names or, without d_fetch, whatever in its directory is new
# or different from its input. Besides comes what symbolic links in that lead to, as far as it lies
# in the task's directory: the master resolves them.  Where there is no d_fetch, the names of this
# second kind are written KEY/./work/NAME.
#
# A list holds a path in each line, as namelib.sh writes them.  A function that prints a list with a
# path that is not written as it is prints a line "/" first.
trees='' works='' basics='' is_encoded='' tools='' one_by_one=''

# want KEY INPUT D_FETCH: the results of this task are to be sent.
want() {
  for name in cancel run.stdout run.stderr; do
    [ ! -e "$1/$name" ] || basics=$basics$1/$name$newline
  done
  if [ -z "$3" ]; then
    [ ! -d "$1/work" ] || works="$works$2 $1$newline"
  elif [ -e "$1/work/$3" ] || [ -L "$1/work/$3" ]; then trees=$trees$1/work/$3$newline
  fi
}

# make_readable KEY...: let this user read what the tasks have made, even where they have forbidden
# it: root could read it anyway.
make_readable() {
  find "$@" -type d ! -perm -700 -exec chmod u+rwx {} \; \
    -o -type f ! -perm -400 -exec chmod u+r {} \; 2>/dev/null
}

# send FIFO: what was wanted, as a tar stream on standard output, and on standard error "tar CODE"
# and "digest KIND VALUE" (left out where there is no such FIFO); any other line there is a
# complaint of tar.  It writes no file, for the disk may be full.
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
# without what is in them.
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

# find_tools: set $tools to a word that says which options those of this host know: how changes are
# told (see list_changed), and whether tar takes directories one by one.
find_tools() {
  if find . -prune -cnewer . >/dev/null 2>&1; then tools='find'
  elif stat -c %z . >/dev/null 2>&1; then tools='stat'
  else tools=content; fi
  ! tar --no-recursion -cf /dev/null . 2>/dev/null || one_by_one=--no-recursion
}

# gather_new: set $single.
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

# take_found: take the mark from the list $found.
take_found() {
  case $found in
    "/$newline"*)
      is_encoded=1
      found=${found#"/$newline"}
      ;;
  esac
}

# is_odd KEY: is there anything but files and directories in what is wanted of it?
is_odd() { case $newline$odd in *"$newline$1/"*) ;; *) false ;; esac; }

# leads_through_link TREE: is any directory on the way to it a symbolic link?
leads_through_link() {
  case $1 in */work/*/*) ;; *) return 1 ;; esac
  way=${1%/*}
  while [ "${way%/*}" != "${way%%/*}" ]; do
    [ ! -L "$way" ] || return 0
    way=${way%/*}
  done
  return 1
}

# list_links DIRECTORY...: two lines for each symbolic link there, its path and its target.
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

# is_strange DIRECTORY...: has the path or the target of any link there a newline or a backslash?
# (GNU find only.)
is_strange() {
  strange="*[$newline$backslash$backslash]*"
  [ -n "$(find "$@" -type l '(' -path "$strange" -o -lname "$strange" ')' \
    -print -quit 2>/dev/null)" ]
}

# What awk needs to follow links.  target: {link: its text}.  resolve(path) gives the real path, ""
# where it leads out of the task's directory, and notes the links on the way in passed.  add(path)
# makes it a root; covered(path): is it in one?
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

# closure KEY TREE: a list of what a tree is and of what its links lead to, so that nothing in it is
# in another thing in it.
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

# existing: of a list on standard input, what is there.
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
# which began as copies of $input, of the directories that lead there, and of what links in it lead
# to.
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

# list_new: print that list.  It is "//" and no more if a path has a newline or a backslash and
# $is_encoded is not set, "/" and no more if there are new links and $with_links is not set.
list_new() {
  {
    set --
    [ ! -d "../i/$input/work" ] || set -- "../i/$input/work"
    for key in $keys; do set -- "$@" "$key/work"; done
    # At first, what is neither a file nor a directory is there twice.
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

# find_names PATH... [CONDITIONS]: a list of what find finds: without directories, where tar cannot
# take one by itself.
find_names() {
  [ -n "$one_by_one" ] || set -- "$@" ! -type d
  # shellcheck disable=SC2016  # for the inner shell
  if [ -n "$is_encoded" ]; then find "$@" -exec sh -c "$naming"'print_names "$@"' sh {} +
  else find "$@"; fi
}

# list_changed: a list of what in the directories of the tasks $keys is not as it was when they
# began, as far as its name is not new.  Whatever a task does to a file or to its place sets the
# time of its last change of status, and no task can set that back. So what changed after "cancel"
# was written is different (see run.sh), and so is what seems to be older than the input: the clock
# was set back.
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

# changed_by_find KEY...: where find knows -cnewer (GNU, BSD).
changed_by_find() {
  count=$#
  for key; do set -- "$@" "$key/work"; done
  shift "$count"
  if [ -e "../i/$input/staged" ]; then set -- "$@" '(' ! -cnewer "../i/$input/staged"
  else set -- "$@" '(' -links 0; fi
  for work; do
    case $work in */work) set -- "$@" -o -path "$work*" -cnewer "${work%work}cancel" ;; esac
  done
  # It may be another find now.
  find_names "$@" ')' || for key in $keys; do changed_by_content "$key"; done
}

# changed_by_stat KEY...: where there is `stat -c` (busybox).
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

# changed_by_content KEY: anywhere else.  Where names may be strange, all counts as changed.
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

# signatures: of all that is in this directory, a line or two each.  (Hard links are no difference:
# cp makes files of them.)
signatures() {
  find . -exec ls -ldn {} + | sed 's/^\([^ ]* *\)[0-9]* */\1/'
  for sum in sha256sum md5sum cksum; do
    command -v "$sum" >/dev/null || continue
    find . -type f -exec "$sum" {} +
    return
  done
}

# send_tars: what was gathered, as one tar archive or several.
send_tars() {
  send_code=0
  send_tar "$whole" || send_code=$?
  send_tar "$single" $one_by_one || send_code=$?
  say "tar $send_code" >&2
}

# send_tar LIST [OPTION]: what is in a list.
send_tar() {
  send_list=$1
  shift
  case $send_list in *[!"$newline"]*) ;; *) return 0 ;; esac
  if [ -n "$is_encoded" ]; then
    # GNU tar would read escapes in names.
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
