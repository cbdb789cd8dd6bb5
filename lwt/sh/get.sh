# Send files and directories: what comes, and a tar stream.
#
# It is run under the guard, in the host's home, and writes no file, for the disk may be full.
# $1 what the master has already: identities, separated by blanks    $2... paths, in which * ? [ ] are expanded; ~ and relative ones are as everywhere.  Links are followed.
#
# On standard output: "path FILES BYTES PATH" for each path, PATH being absolute, or "same PATH" for what is not sent because
# the master has it; "send"; and the stream.
# On standard error, when it is sent: "tar CODE", "digest KIND VALUE" of all files (`contents` of copylib.sh); or "refused REASON"
# instead of what is to follow; now and then "tick"; any other line is a complaint.
fail() { say "refused $*" >&2; exit 1; }

# measure PATH: "FILES BYTES"
measure() {
  find -L "$1" -type f -exec wc -c {} + | {
    files=0 bytes=0
    while read -r size file; do
      # GNU's wc quotes odd names; "total" is none, and a name may go on in a line of its own.
      case $file in /* | \'*) files=$((files + 1)) bytes=$((bytes + size)) ;; esac
    done
    say "$files $bytes"
  }
}

# identity PATH: one digest of the names and contents of a file or directory.
identity() (
  cd "${1%/*}/" && { contents "./${1##*/}"; find -L "./${1##*/}" | sort; } | digest
)

have=$1
shift
count=$#
while [ "$count" -gt 0 ]; do
  expand "$1"
  pattern=$expanded count=$((count - 1))
  shift
  case $pattern in /*) ;; *) pattern=$PWD/$pattern ;; esac
  IFS=''
  # shellcheck disable=SC2086  # to be expanded, and not split
  for path in $pattern; do
    [ -e "$path" ] || fail "$path: no such file"
    # tar drops what stands before "..", so that the names would not be those that are announced.
    case $path in */../*) path=$(cd "${path%/*}/" && pwd -P)/${path##*/} ;; esac
    set -- "$@" "${path%/}"
  done
  unset IFS
done
for path; do
  shift
  case $path in '' | *'
'*) fail "it cannot be fetched: a name with a newline, or /" ;; esac
  problem=$(find -L "$path" ! -type f ! -type d 2>&1)
  [ -z "$problem" ] || fail "$path: holds what is neither a file nor a directory: ${problem%%
*}"
  if [ -n "$have" ]; then
    case " $have " in *" $(identity "$path") "*) say "same $path"; continue ;; esac
  fi
  set -- "$@" "$path"
  say "path $(measure "$path") $path"
done
say send
[ $# -gt 0 ] || exit 0
tar -chf - "$@"
say "tar $?" >&2
ticking
say "digest $(contents "$@")" >&2
kill -KILL "$ticker"
