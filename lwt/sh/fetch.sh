# Send what a task has produced: a tar stream on standard output, and on standard error what is to be known about it.
#
# It is run under the guard, in the host's home, and writes no file, for the disk may be full.
# $1 KEY  $2 d_fetch: a path in the task's directory, or nothing: then everything that is new
#
# On standard error: "absent"; or "missing" when d_fetch is not there (the rest is sent); "tar CODE", "digest KIND VALUE"
# (left out where no pipe can be made); any other line is a complaint of tar.
key=$1 wanted=$2
cd ".lwt/t/${key:?}" 2>/dev/null || { say absent >&2; exit 0; }

# new_files: those of work/ that are not in the manifest, or are newer than it.  A name with a newline cannot be in a list:
# then all of work/ is sent.
new_files() {
  if [ -n "$(find work -name '*
*' | head -n 1)" ]; then
    say work
  else
    {
      (cd work && find . ! -type d) | LC_ALL=C sort | LC_ALL=C comm -23 - manifest
      (cd work && find . ! -type d -newer ../staged)
    } | LC_ALL=C sort -u | sed 's,^\./,work/,'
  fi
}

list=cancel
for name in run.stdout run.stderr; do
  if [ -e "$name" ]; then list="$list
$name"; fi
done
if [ -z "$wanted" ]; then list="$list
$(new_files)"
elif [ -e "work/$wanted" ] || [ -L "work/$wanted" ]; then list="$list
work/$wanted"
else say missing >&2; fi

# send: the stream.  Not every tar takes a list of names (busybox may not); then they are its arguments, or all of work/ goes.
send() {
  if tar -cf /dev/null -T /dev/null 2>/dev/null; then
    printf '%s\n' "$list" | sed '/^$/d' | tar -cf - -T -
  else
    [ "${#list}" -lt 60000 ] || list='cancel
run.stdout
run.stderr
work'
    set -f
    IFS='
'
    # shellcheck disable=SC2086  # to be split at newlines
    tar -cf - $list
  fi
  say "tar $?" >&2
}
pipe=fetch.$$
if mkfifo "$pipe" 2>/dev/null; then
  { say "digest $(digest <"$pipe")" >&2; } &
  hasher=$!
  send | tee "$pipe"
  wait "$hasher"
  rm -f "$pipe"
else
  send
fi
