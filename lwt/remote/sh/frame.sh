# The frame of an answer: a begin and an end line on both streams, with the nonce, and the exit code
# or the reason of a failure.

# frame NONCE: print the begin lines. The end lines are printed when this shell exits.
frame() {
  lwt_nonce=$1
  printf '\036%s begin\n' "$lwt_nonce"
  printf '\036%s begin\n' "$lwt_nonce" >&2
  # shellcheck disable=SC2154  # lwt_code is set in the trap itself
  trap 'lwt_code=$?
    trap "" HUP TERM PIPE
    at_exit
    printf "\036%s end %s\n" "$lwt_nonce" "$lwt_code"
    printf "\036%s end %s\n" "$lwt_nonce" "$lwt_code" >&2' EXIT
  trap 'exit 129' HUP
  trap 'exit 143' TERM
  # Nobody reads the output any more. This is a handler, because an ignored signal would be
  # inherited.
  trap 'exit 141' PIPE
}

# at_exit: a script may replace this by its own clean-up. A signal that comes now does not interrupt
# it.
at_exit() { :; }

# refuse REASON: report that the script cannot do what was requested, and that nothing was done.
refuse() {
  printf '\036%s fail %s\n' "$lwt_nonce" "$*"
  exit 1
}
