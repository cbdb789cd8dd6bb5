# A part of guard.sh, for a command with a script or input: receive them over the lifeline, before
# the heartbeats.
mask=$(umask)
umask 077
trap 'rm -rf "$staged"; exit 143' TERM HUP
mkdir "$staged" || fail "$staged: cannot be made"
if ! { receive "$staged/both" $((script_bytes + input_bytes)) "$stall" &&
  arrived "$staged/both" $((script_bytes + input_bytes)); }
then
  rm -rf "$staged"
  fail "input for the command did not arrive"
fi
input=$staged/input
if ! { head -c "$script_bytes" "$staged/both" >"$staged/script" && chmod 700 "$staged/script" &&
  tail -c +$((script_bytes + 1)) "$staged/both" >"$input"; }; then
  rm -rf "$staged"
  fail "$staged: cannot be written"
fi
rm -f "$staged/both"
umask "$mask"
if [ "$script_bytes" -gt 0 ]; then
  # shellcheck disable=SC2016  # for the inner shell
  set -- "$staged/script" "$@" && command='"$@"'
  if [ ! -x "$1" ]; then              # execution is forbidden in this file system
    read -r first <"$1"
    case $first in "#${lwt_not% }"*) first=${first#??} ;; *) first=/bin/sh ;; esac
    # shellcheck disable=SC2086  # an interpreter and its argument
    set -- $first "$@"
  fi
fi
