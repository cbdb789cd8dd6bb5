# The guard as root, by sudo.  The password comes over the lifeline, ahead of everything else, and
# goes to sudo by a pipe: it is never an argument, in the environment or in a file.
#
# It comes twice: this shell takes the first line and tries it, so that a wrong one is told from a
# command that fails; the second is for sudo itself, which inherits the lifeline, or not, where it
# asks for none.  So a line with the mark follows, and behind that all that the guard reads.
#
# $1 home  $2 the guard's text  $3 not empty: a password comes    $4... the guard's arguments
read_opening
home=$1 guard=$2 secret=$3 grace=$4 lease=$5
shift 6
PATH=$PATH:/usr/local/bin:/usr/bin:/bin

refuse() {
  printf '\036%s begin\n' "$nonce" >&2
  printf '\036%s begin\n\036%s fail %s\n' "$nonce" "$nonce" "$1"
  exit 1
}

enter_home "$home" || refuse "$home_problem"
sudo=$(command -v sudo) || refuse 'sudo: not found'
if [ -n "$secret" ]; then
  IFS= read -r secret
  said=$(printf '%s\n' "$secret" | "$sudo" -S -p '' -- /bin/sh -c : 2>&1)
else
  said=$("$sudo" -n -- /bin/sh -c : 2>&1 </dev/null)
fi || case $said in
  *'ncorrect password'* | *'ry again'* | *'no password was provided'*)
    refuse 'sudo: wrong password'
    ;;
  *) refuse "sudo: $(say "$said" | sed -n '$s/^sudo: //;$p')" ;;
esac
set -- "$mark" "$grace" "$lease" "$PWD" "$@"           # root has another home
# shellcheck disable=SC2016  # for the shell of root
guard='while IFS= read -r line && [ "$line" != "$1" ]; do :; done
shift
'$guard
set -- -- /bin/sh -c "$guard" lwt "$@"
if [ -n "$secret" ]; then set -- -S -p '' "$@"; else set -- -n "$@"; fi
set -- "$sudo" "$@"
unset secret
restore_environment
exec "$@"
