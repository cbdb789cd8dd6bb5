# Run the jobs of `lwt multi` on a host, one after another, over one login. Each job runs under the
# guard (see guardlib.sh), so the lifeline and the lease protect it like a single command.
#
# $1  grace in seconds
# $2  lease in seconds
# $3  a quarter of the lease, for sleep
#
# Standard input is a series of requests. A request is a line of words for sh, which ends with " .",
# and perhaps a tar stream. An empty line is a heartbeat. After a heartbeat failed to come for the
# lease, and at end-of-file, the job is ended, its files are removed, and the script exits.
#
# The words of a request:
#   $1  the nonce of the answer's frame
#   $2  the mark of the job
#   $3  what to do:
#         look   print the number of processors
#         take   unpack the tar stream in the directory
#         run    the same, then run the command there
#         send   send the files as a tar stream, then do the same as "clean"; standard error gets
#                "missing NUMBER" for each file that does not exist, counted from 1
#         clean  remove the files of the last command
#   $4  the directory; it is created if it does not exist
#   $5  bytes of the tar stream
#   $6  the files in the tar stream, or the files to send; a list of words for sh
#   $7  the files to remove before the next command runs, or when this script ends; a list like $6
#   $8  timeout of the command in whole seconds, 0: no limit
#   $9  the command, for sh -c
#   ${10}  assignments for sh, of lwt_v_NAME for each variable NAME of the job
#   ${11}  the names of these variables
#   ${12}  bytes of the command's standard input, which follow the tar stream
newline='
' lwt_later=''
grace=$1 lease=$2 step=$3 staged='' input=/dev/null hearer='' doing='' has_begun=''
part='' stored='' garbage='' login_directory=$PWD has_cleaned='' is_over=''

# -- requests --------------------------------------------------------------------------------------

# next_request: set $words to the next request; false at end-of-file. A request that was cut off at
# its start or end is not interpreted.
next_request() {
  while IFS= read -r words <&3; do
    note_beat
    case $words in
      '') ;;
      \'*' .') return 0 ;;
      *) return 1 ;;
    esac
  done
  return 1
}

# -- the lease -------------------------------------------------------------------------------------

# note_beat: tell the idler that the master lives. Start an idler if there is none.
note_beat() {
  kill -USR1 "$idler" && return
  idle & idler=$!
}

# idle: the idler, which sends TTIN to the main shell if no heartbeat is noted for the lease. It
# counts quarters of the lease.
idle() {
  exec >/dev/null 3<&- 4>&-
  trap '' TERM HUP INT TTIN
  trap 'idle_steps=0' USR1
  trap 'trap "" EXIT; kill -KILL "$idle_timer"; exit' VTALRM
  trap idle_by_clock EXIT
  idle_steps=0
  while kill -0 "$main"; do
    sleep "$step" &
    idle_timer=$!
    # A signal interrupts the wait. The sleep goes on.
    while wait "$idle_timer"; [ $? -gt 128 ]; do :; done
    idle_steps=$((idle_steps + 1))
    [ "$idle_steps" -le 4 ] || kill -TTIN "$main"
  done
  trap '' EXIT
}

# idle_by_clock: the idler can start no process; the job may have used up their limit. Read the
# clock in a loop, until a heartbeat is noted or the lease is over.
idle_by_clock() {
  trap 'exit 0' VTALRM
  idle_steps=1
  [ -r /proc/uptime ] || kill -TTIN "$main"
  uptime
  idle_end=$((up + ${lease%.*} + 1))
  while [ "$idle_steps" -ne 0 ] && [ "$up" -lt "$idle_end" ]; do uptime; done
  [ "$idle_steps" -eq 0 ] || kill -TTIN "$main"
}

# silent: no heartbeat was noted for the lease. That matters only if this shell would have noted it.
silent() {
  case $doing in
    work) note_beat ;;
    send)
      doing=hear
      hear & hearer=$!
      note_beat
      ;;
    *) exit 143 ;;
  esac
}

# hear: note heartbeats while the main shell sends files for a long time.
hear() { while read -r _ <&3; do kill -USR1 "$idler"; done; }

# close_down: remove the files of the last job, and end what this script has started.
close_down() {
  trap '' TERM HUP INT PIPE EXIT
  clean_up "$garbage"
  [ -z "$part" ] || rm -rf "$part"
  [ -z "$has_cleaned" ] || [ -z "$is_over" ] || leave_directory
  [ -z "$hearer" ] || kill -KILL "$hearer"
  kill -VTALRM "$idler"
  kill -TERM 0                          # an unfinished transfer
}

# answer: do what a request wants, and print the frame. Only the first one has a begin line: each
# other begins where the one before ended.
answer() {
  nonce=$1 mark=$2 action=$3 directory=$4 stored=''
  shift 4
  if [ -z "$has_begun" ]; then
    printf '\036%s begin\n' "$nonce"
    printf '\036%s begin\n' "$nonce" >&4
    has_begun=1
  fi
  doing=work
  case $action:$garbage in
    *:) ;;
    run:* | clean:*)
      clean_up "$garbage"
      note_beat
      ;;
  esac
  if [ "$action" = clean ]; then
    finish_answer 0
    return
  fi
  # shellcheck disable=SC2031  # that is right
  id=${LWT_ID:+$LWT_ID.}$mark
  cd "$login_directory" || fail "$login_directory: cannot be entered"
  enter_home "$directory" || fail "${home_problem#home }"
  garbage="$garbage $3"
  case $action in
    look) count_processors ;;
    take) take "$1" "$2" "$3" ;;
    run)
      if [ "$1" -gt 0 ] && [ "$8" -gt 0 ]; then store $(($1 + $8)); fi
      take "$1" "$2" "$3"
      timeout=$4
      take_input "$8"
      run_job "$5" "$6" "$7"
      return
      ;;
    send)
      send_files "$2"
      code=$?
      clean_up "$garbage"
      finish_answer "$code"
      return
      ;;
    *) fail "unknown request" ;;
  esac
  finish_answer "$?"
}

# finish_answer CODE: print the end of the frame of an answer that is not a job's.
finish_answer() {
  code=$1 why='' doing=''
  if [ -n "$hearer" ]; then
    kill -KILL "$hearer"
    await_child "$hearer"
    hearer=''
  fi
  note_beat
  end_line
}

# fail REASON: report that the job was not run. What follows of the input cannot be interpreted.
fail() {
  printf '\036%s fail %s\n' "$nonce" "$1"
  exit 1
}

# fail_with REASON: the same, with the message of the program that failed. There is none if the disk
# is full.
fail_with() {
  complaint=''
  read -r complaint <"$errors"
  fail "$1 (${complaint:-disk full?})"
}

# count_processors: print their number.
count_processors() {
  getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null ||
    grep -c '^processor' /proc/cpuinfo || say 1
}

# -- files -----------------------------------------------------------------------------------------

# take BYTES NAMES GARBAGE: unpack a tar stream in this directory. Each file appears complete or not
# at all, unless it will be removed because GARBAGE begins with NAMES.
take() {
  [ "$1" -gt 0 ] || return 0
  take_target=''
  case $2 in "'/"* | *" '/"*) ;; *) case "$3 " in "$2 "*) take_target=. ;; esac ;; esac
  if [ -n "$take_target" ]; then
    errors=.lwt-multi.$mark.errors
    garbage="$garbage '$errors'"
  else
    [ -d "$part" ] || make_part
    take_target=$part errors=$part/.errors
  fi
  [ -n "$stored" ] || begin_transfer "$1"
  # In the background, because a signal interrupts only "wait".
  if [ -n "$stored" ]; then head -c "$1" "$stored"; else read_bytes "$1"; fi | {
    tar -xof - -C "$take_target" 2>"$errors"
    take_code=$?
    while read -r _; do :; done         # some tars leave the end of the stream
    exit "$take_code"
  } &
  await_child "$!" || fail_with "the files cannot be unpacked"
  doing=work
  [ "$take_target" != . ] || return 0
  eval "set -- $2"
  for name; do
    place "$name" || fail_with "$name: cannot be moved into place"
  done
}

# begin_transfer BYTES: prepare for bytes that will come over the lifeline. They are a sign that the
# master lives, so a long transfer is received in pieces. But some tools, as that of busybox, read
# more than they are asked for. A transfer to them is not ended by the lease.
begin_transfer() {
  doing='' piece=1048576
  if [ "$1" -gt "$piece" ] &&
    [ "$(printf ab | { head -c 1 >/dev/null; read -r rest; say "$rest"; })" != b ]; then
    doing=work piece=$1
  fi
}

# read_bytes BYTES: copy bytes of the lifeline to standard output, in pieces that take a small part
# of the lease.
read_bytes() {
  left=$1
  while [ "$left" -gt "$piece" ]; do
    uptime
    began=$up
    head -c "$piece" <&3
    kill -USR1 "$idler"
    left=$((left - piece))
    uptime
    [ $((up - began)) -gt $((${lease%.*} / 16)) ] || piece=$((piece * 2))
  done
  exec head -c "$left" <&3
}

# take_input BYTES: receive the standard input of the job.
take_input() {
  input=/dev/null
  [ "$1" -gt 0 ] || return 0
  [ -d "$part" ] || make_part
  input=$part/.input errors=$part/.errors
  if [ -n "$stored" ]; then tail -c "$1" "$stored" >"$input" 2>"$errors"
  else receive_file "$1" "$input"; fi || fail_with "the input of the job cannot be stored"
  arrived "$input" "$1" || fail_with "the input of the job did not arrive"
  stored=''
}

# store BYTES: store the tar stream and the input of a job in one file. The tool that reads the one
# from the lifeline might take bytes of the other (see begin_transfer).
store() {
  [ -d "$part" ] || make_part
  errors=$part/.errors
  receive_file "$1" "$part/.stored" || fail_with "the files cannot be stored"
  stored=$part/.stored
}

# receive_file BYTES FILE: store bytes that come over the lifeline.
receive_file() {
  begin_transfer "$1"
  read_bytes "$1" >"$2" 2>"$errors" &
  await_child "$!" || return
  doing=work
}

# make_part: make a directory beside the files of the jobs, for files that are not complete yet.
make_part() {
  part=$PWD/.lwt-multi.$mark
  complaint=$( (umask 077 && mkdir "$part") 2>&1) || fail "$PWD: cannot be written ($complaint)"
}

# place NAME: move a file or directory from $part to its name. Another job may just have removed the
# directory, because it was empty.
place() {
  case $1 in */*) place_parent=${1%/*} ;; *) place_parent=. ;; esac
  place_source=$part/$1 place_tries=3
  while [ "$((place_tries -= 1))" -ge 0 ]; do
    [ -d "${place_parent:-/}" ] || mkdir -p -- "$place_parent" 2>"$errors"
    if [ ! -d "$1" ]; then mv -f -- "$place_source" "$1" 2>"$errors" && return
    elif [ -d "$place_source" ] && [ ! -L "$place_source" ]; then
      cp -Rp "$place_source/." "$1/" 2>"$errors" && rm -rf "$place_source" && return
    else return 1; fi
  done
  return 1
}

# send_files NAMES: send files and directories as a tar stream.
send_files() {
  eval "set -- $1"
  send_number=0
  for name; do
    shift
    send_number=$((send_number + 1))
    if [ -e "$name" ] || [ -L "$name" ]; then set -- "$@" "$name"
    else say "missing $send_number" >&4; fi
  done
  [ $# -gt 0 ] || return 0
  send_option=''
  # GNU tar would interpret escapes in names.
  case $* in
    *\\*) ! tar --no-unquote --version >/dev/null 2>&1 || send_option=--no-unquote ;;
  esac
  doing=send
  tar $send_option -cf - -- "$@" 2>&4 &
  await_child "$!"
}

# clean_up NAMES: remove the files of the last job, and the directories that are then empty.
clean_up() {
  eval "set -- $1"
  garbage=''
  [ $# -gt 0 ] || return 0
  rm -rf -- "$@" 2>/dev/null
  has_cleaned=1
  for name; do
    case $name in */../* | ../*) ;; */*) remove_empty "${name%/*}" ;; esac
  done
}

# remove_empty PATH: remove a directory and those above it, as long as they are empty.
remove_empty() {
  set -- "$1/"
  while case $1 in ?*/*) ;; *) false ;; esac do
    set -- "${1%/*}"
    rmdir -- "$1" 2>/dev/null || return 0
  done
}

# leave_directory: remove the working directory of the jobs if it is empty, but not the home. It is
# not done before the end of the run: other jobs may be in that directory.
leave_directory() {
  left=${HOME:-$login_directory}
  cd "${left%/}/" || return
  # shellcheck disable=SC2164
  case $OLDPWD in
    "${left%/}" | "$PWD") ;;
    "${left%/}"/*) remove_empty "${OLDPWD#"${left%/}/"}" ;;
    *) remove_empty "$OLDPWD" ;;
  esac
}

# -- jobs ------------------------------------------------------------------------------------------

# run_job COMMAND ASSIGNMENTS NAMES: run a job under the guard.
run_job() {
  command_text=$1 command='' can_fork='' why='' again='' code=''
  watcher='' reader='' timer='' is_stuck='' beat='' is_late=''
  eval "$2"
  for name in $3; do
    case " $lwt_saved " in *" $name "*) ;; *) lwt_saved="$lwt_saved $name" ;; esac
  done
  trap 'again=1' TERM HUP INT
  trap - USR1 USR2 ALRM                 # the job would inherit ignored signals
  start_clock
  start_command
  trap 'unguarded; close_down' EXIT
  start_watcher
  await_command
  dismiss_watcher
  await_child "$watcher"                  # it must not read the next request
  trap close_down EXIT
  await_requests
  doing=''
  end_line
  note_beat
  case $why in lease | limit) exit 1 ;; esac
  [ -z "$why" ] || [ -n "$setsid" ] || exit 1
}

# await_requests: set how signals are handled while no job runs.
await_requests() {
  trap - CHLD TTOU
  trap silent TTIN
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  trap '' USR1 USR2 ALRM
}

trap : PIPE                             # handlers: the jobs would inherit ignored signals
trap close_down EXIT
await_requests
idle & idler=$!
while next_request; do
  eval "set -- $words"
  answer "$@"
done
is_over=1
