# The beginning of guard.sh, which tells its arguments: what it says first, and where the command
# runs.
read_opening
# On lwt's own machine this shell has a LWT_ID, by which lwt kills what it started, should this
# guard be too slow or be killed.
id=${LWT_ID:+$LWT_ID.}$mark
grace=$1 lease=$2 home=$3 script_bytes=$4 input_bytes=$5 stall=$6 timeout=$7 command=$8
shift 8
printf '\036%s begin\n' "$nonce"
printf '\036%s begin\n' "$nonce" >&2

fail() {
  printf '\036%s fail %s\n' "$nonce" "$1"
  exit 1
}

enter_home "$home" || fail "$home_problem"

find_scratch
staged=$scratch/lwt.$id                 # a command may make it as well, and need not remove it
input=/dev/null
