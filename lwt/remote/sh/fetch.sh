# Send what one task has produced, however much that is: a tar stream on standard output, and on
# standard error what is to be known about it.
#
# It is run under the guard, in the host's home.  $1 KEY $2 the name of its input $3 d_fetch: a path
# in the task's directory, or nothing: then everything that is new or different
#
# On standard error: "absent" where there is nothing, else what `send` of sendlib.sh says.
key=$1
if ! cd .lwt/t 2>/dev/null || [ ! -d "${key:?}" ]; then say absent >&2; exit 0; fi
make_readable "$key"
fifo=$key/fetch.$$
mkfifo "$fifo" 2>/dev/null
want "$key" "$2" "$3"
send "$fifo"
rm -f "$fifo"
