# Run the guard as root with sudo. The password comes over the lifeline, before everything else, and
# goes to sudo through a pipe. It is never an argument, in the environment or in a file.
#
# It comes twice. This shell reads the first line and tests it, so that a wrong password is
# distinguished from a command that fails. The second line is for sudo itself, which inherits the
# lifeline. If sudo asks for no password, it does not read that line. So a line with the mark
# follows, and after it everything that the guard reads.
#
# $1  home
# $2  the text of the guard
# $3  not empty: a password comes
# $4... the arguments of the guard
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
