# How results are sent: which files of a task are new, and the stream.  Used by control.sh and fetch.sh, in ~/.lwt/t.

# make_readable KEY...: let this user read what the tasks have made, even where they have forbidden
# it: root could read it anyway.
make_readable() {
  find "$@" -type d ! -perm -700 -exec chmod u+rwx {} \; \
    -o -type f ! -perm -400 -exec chmod u+r {} \; 2>/dev/null
}

# new_files INPUT KEY/work...: those files that are not in the input, or newer than it.  Where a name cannot be in a list (a newline,
# a backslash), all of that task's directory is named instead.  (No line of a name is a slash and no more.)
new_files() {
  reference=../i/$1
  shift
  {
    find "$reference/work" ! -type d 2>/dev/null
    say /
    find "$@" ! -type d
    [ ! -e "$reference/staged" ] || { say /; find "$@" ! -type d -newer "$reference/staged"; }
  } | LC_ALL=C reference=$reference awk '
    BEGIN { skip = length(ENVIRON["reference"]) + 6 }
    { path = $0 }
    path == "/" { part++; next }
    !part { known["." substr(path, skip)] = 1; next }
    {
      if (path !~ /^[0-9a-f]+\.[0-9]+\/work\//) { all[key] = 1; next }
      key = substr(path, 1, index(path, "/") - 1)
      if (index(path, "\\")) { all[key] = 1; next }
      rest = "." substr(path, length(key) + 6)
      if ((part == 2 || !(rest in known)) && !(path in seen)) { seen[path] = 1; files[++count] = path; of[count] = key }
    }
    END {
      for (i = 1; i <= count; i++) if (!(of[i] in all)) print files[i]
      for (key in all) print key "/work"
    }'
}

# send LIST FIFO: the files of a list, as a tar stream on standard output, and on standard error "tar CODE" and "digest KIND VALUE"
# (left out where there is no such FIFO); any other line there is a complaint of tar.  It writes no file, for the disk may be full.
send() {
  if [ -p "$2" ]; then
    { find_digest <"$2" && say "digest $digest" >&2; } &
    send_hasher=$!
    send_tar "$1" | tee "$2"
    wait "$send_hasher"
  else
    send_tar "$1"
  fi
}

# send_tar LIST: a few names are arguments.  Not every tar takes a list of many (busybox may not); then all of their tasks go.
send_tar() {
  if [ "${#1}" -gt 60000 ] && tar -cf /dev/null -T /dev/null 2>/dev/null; then
    say "$1" | tar -cf - -T -
  else
    [ "${#1}" -le 60000 ] || set -- "$(say "$1" | sed 's,\(/work\)/.*,\1,' | sort -u)"
    set -f
    IFS='
'
    # shellcheck disable=SC2086  # to be split at newlines
    tar -cf - $1
  fi
  say "tar $?" >&2
}
