# Send the results of one task, of any size, as a tar stream on standard output, with information
# about the stream on standard error.
#
# It runs under the guard, in the home of the host.
#
# $1  KEY
# $2  the name of its input
# $3  d_fetch: a path in the task's directory, or nothing: everything that is new or different
# $4  how the results are sent: "tar", or "scp": a tree of links is laid out in KEY/fetch for scp to
#     copy
#
# On standard error: "absent" if there is nothing, else what `send` of sendlib.sh prints. On
# standard output with scp: "link NAME//TARGET" for each symbolic link, because scp cannot copy
# links.

# lay_out DIRECTORY: lay out the wanted files as a tree of directories and of links to the files:
# under "own" or, for files that are sent only because links lead to them, under "beside".
lay_out() {
  layout=$1
  gather
  rm -rf "$layout"
  { mkdir "$layout" "$layout/own" "$layout/beside" && list_all | lay_out_all; } || exit 1
}

# list_all: print a list of all that was gathered, including the contents of trees.
list_all() {
  printf '%s' "$whole" | while IFS= read -r line; do
    decode "$line"
    # shellcheck disable=SC2016  # for the inner shell
    find "$decoded" -exec sh -c "$naming"'print_names "$@"' sh {} +
  done
  printf '%s' "$single"
}

# lay_out_all: lay out the list on standard input.
lay_out_all() {
  while IFS= read -r line; do
    decode "$line"
    source=$PWD/$decoded
    case $decoded in
      */./*) place=$layout/beside/${decoded%%/./*}/${decoded#*/./} ;;
      *) place=$layout/own/$decoded ;;
    esac
    if [ -L "$source" ]; then
      encode "$(readlink "$source")"
      say "link $line//$encoded"
    elif [ -d "$source" ]; then mkdir -p "$place"
    elif [ ! -r "$source" ]; then say "$line: cannot be read" >&2
    elif [ -f "$source" ]; then mkdir -p "${place%/*}" && ln -s "$source" "$place"
    else say "$line: neither a file nor a directory" >&2; fi || return 1
  done
}

key=$1
if ! cd .lwt/t 2>/dev/null || [ ! -d "${key:?}" ]; then say absent >&2; exit 0; fi
make_readable "$key"
want "$key" "$2" "$3"
if [ "$4" = scp ]; then
  lay_out "$key/fetch"
  exit
fi
fifo=$key/fetch.$$
mkfifo "$fifo" 2>/dev/null
send "$fifo"
rm -f "$fifo"
