# The beginning of guard.sh, which describes the arguments: print the begin of the frame, and enter
# the directory where the command runs.
read_opening
# On lwt's own machine this shell already has an LWT_ID. lwt kills processes by it if this guard is
# too slow or was killed.
id=${LWT_ID:+$LWT_ID.}$mark
grace=$1 lease=$2 home=$3 script_bytes=$4 input_bytes=$5 stall=$6 timeout=$7 command=$8
shift 8
printf '\036%s begin\n' "$nonce"
printf '\036%s begin\n' "$nonce" >&2

fail() {
  printf '\036%s fail %s\n' "$nonce" "$1"
  exit 1
}

case $home in
  [~]) cd "${HOME:-$PWD}" ;;
  /*) cd "$home" ;;
  *) false ;;
esac 2>/dev/null || {
  lwt_load_early
  enter_home "$home" || fail "$home_problem"
}

find_scratch
staged=$scratch/lwt.$id                 # a command may make it too, and need not remove it
input=/dev/null
