# Run one command under the guard (see guardlib.sh). begin.sh precedes this file, and stage.sh too
# if there is a script or input.
#
# $1  grace in seconds
# $2  lease in seconds
# $3  home
# $4  bytes of a script
# $5  bytes of input for the command
# $6  stall in seconds
# $7  timeout of the command in whole seconds, 0: no limit
# $8  the command, for sh -c (with a script, only its name)
#     then its arguments
trap 'again=1' TERM HUP INT             # handlers: the command would inherit ignored signals
start_clock
start_command "$@"
trap 'load_later; unguarded' EXIT
start_watcher
exec 3<&-
await_command
trap '' EXIT
end_line
dismiss_watcher
# exec, because the command may have used up the limit of processes.
[ ! -d "$staged" ] || exec rm -rf "$staged"
exit 0
