# The end of the script of a channel: answer the requests that come on standard input. $1 is the
# lease; see control.sh.
lease=${1%.*} lwt_watch='' home='' tasks='' mine='' bell=''
umask 077
trap '' USR1 USR2                       # they must not kill a watch process that has just begun
trap leave EXIT
trap 'exit 143' TERM
trap 'exit 129' HUP
watch ''

# Each request runs in a subshell, so its directory, its variables and its traps end with it. If one
# is refused, the rest of it may still be on the way, so the input that follows cannot be
# interpreted.
while take_request; do
  eval "set -- $words"
  if [ "$2" != "$home" ] || [ ! -d "$tasks" ]; then
    go_out
    come_in "$2" "$3"
    watch 1
    hear_watch
  fi
  busy
  (
    trap - USR1 USR2
    frame "$1"
    shift
    answer "$@"
  ) || break
  idle
done
