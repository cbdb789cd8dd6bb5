# The frame of an answer: a begin and an end line on both streams, which say who spoke and who
# failed.

# frame NONCE: begin; the end comes with that of this shell.
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
  # Nobody listens any more; a handler, for an ignored signal would be inherited.
  trap 'exit 141' PIPE
}

# at_exit: a script may put its own clean-up here; a signal that comes now does not stop it half
# way.
at_exit() { :; }

# refuse REASON: the script cannot do what it was asked; nothing was done.
refuse() {
  printf '\036%s fail %s\n' "$lwt_nonce" "$*"
  exit 1
}
