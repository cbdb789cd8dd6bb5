# Handle all requests of a master for the tasks on a host, one after another, over one login. Each
# request is one round trip. It contains, in this order: removals, inputs, launches and cancels, a
# look at the state of all tasks, an optional wait until a task ends, and the results of the tasks
# that have ended. The master sends the next request after it has read the answer to the last one.
#
# $1  lease in seconds: the script ends if it hears nothing from its master for so long
#
# Standard input, for each request:
#   a line of words for sh, which sets $1 to ${11}
#   a line "VERB KEY BOOT INPUT /D_FETCH" for each action
#   a line "end"
#   the tar stream
#
# $1     the nonce of the answer's frame
# $2     home
# $3     a random word: the id of the host if it has none yet
# $4     stall in seconds
# $5     grace in seconds
# $6     wait in seconds
# $7     KiB of results that may be sent with the answer: limit for one task and for all together
# $8     bytes of the tar stream
# $9     its digest
# ${10}  seconds for which the host measures its cpu usage (see samplelib.sh), or - for no sample
# ${11}  maximum number of the launched tasks that are active at a time, or - for no limit
#
#   clean     remove everything of the task except the record that it ran
#   purge     end whatever still runs of it, then act as clean
#   forget    remove what clean kept
#   drop      remove the input KEY, which no task needs any more
#   launch    start the task unless its fate is decided; refused if the host was rebooted since
#             BOOT. If no slot becomes free within the wait, the task must not run
#   cancel    the task must not run. If it has not begun, ln decides that, even if the task has not
#             arrived yet. If it has begun, it is ended: its own kill command, TERM, and KILL after
#             the grace
#   withdraw  as cancel, but a task that has begun continues
#   suspend   stop the task; if it has not begun, it must not run
#   resume    continue the task
#   poll      report the state; if the task has ended, its results are sent
#   look      report the state
#
# The stream contains i/INPUT/work, the directory that tasks share, and t/KEY, the other files of
# each task. t/KEY/work is included if it must not be copied from the shared one. The shared
# directory stays on the host, for later tasks and to tell what is new in results. The removals come
# first, because they may make room for the rest.

# to_tasks: change to the directory of all tasks. A task may have locked that directory or the one
# above it.
to_tasks() {
  cd "$tasks" 2>/dev/null && return
  regain "$base"
  regain "$tasks"
  cd "$tasks" || exit 1
}

# enter KEY: change to the directory of a task; false if it does not exist.
enter() {
  regain "$tasks/$1"
  cd "$tasks/$1" 2>/dev/null && return
  to_tasks
  regain "$1"
  cd "$tasks/$1" 2>/dev/null || return
}

# split REQUEST: set $verb, $key, $id, $input and $wanted from a request line.
split() {
  verb=${1%% *} rest=${1#* }
  key=${rest%% *} rest=${rest#* }
  id=${rest%% *} rest=${rest#* }
  input=${rest%% *} wanted=${rest#* /}
  case $key in '' | .* | */*) refuse "bad key $key" ;; esac
  [ "$verb" = drop ] || case $key in *[!0-9a-f.]*) refuse "bad key $key" ;; esac
}

# can_detach: whether a task can get a process group of its own.
can_detach() { command -v setsid || command -v perl || command -v python3; } >/dev/null 2>&1

# export_environment: export the variables that restore_environment restores, for what gets the
# clean environment of this shell.
export_environment() {
  lwt_v_d_home=${base%/.lwt} lwt_v_d_working=$PWD/work
  for lwt_name in d_home d_working; do
    case " $lwt_saved " in *" $lwt_name "*) ;; *) lwt_saved="$lwt_saved $lwt_name" ;; esac
  done
  export lwt_saved lwt_functions lwt_function_names
  # shellcheck disable=SC2163  # it is the name that is expanded
  for lwt_name in $lwt_saved; do export "lwt_v_$lwt_name"; done
  # If the host is the master, this is the marker of this call, and the task is no part of the call.
  unset LWT_ID
}

# detached COMMAND...: run COMMAND in a session of its own, with the first tool that the host has
# for that.
detached() {
  export_environment
  if command -v setsid >/dev/null 2>&1; then exec setsid "$@"
  elif command -v perl >/dev/null 2>&1; then
    exec perl -MPOSIX -e 'POSIX::setsid(); exec @ARGV or exit 127' "$@"
  elif command -v python3 >/dev/null 2>&1; then
    exec python3 -c 'import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])' "$@"
  else exec nohup "$@"; fi
}

# -- the state of a task ---------------------------------------------------------------------------

# has_run: whether the task of this directory has begun, even if its fate was removed.
has_run() { [ -e run.stdout ]; }

# report_process: set $state of the task in this directory: waiting, running PID, exited CODE,
# cancelled, died or rebooted.
report_process() {
  if ended; then state="exited $ended"; return; fi
  [ -e fate ] || { state=waiting; ! has_run || state=died; return; }
  fate='' pid='' start='' fate_boot='' group=''
  # shellcheck disable=SC2094  # the two are different files
  read -r fate pid start fate_boot group <fate
  case $fate in
    cancel) state=cancelled ;;
    run)
      state=died
      if [ "$fate_boot" != "$boot" ]; then state=rebooted
      elif has_start "$pid" "$start"; then state="running $pid"; fi
      # The task may have ended between the two checks.
      case $state in running*) ;; *) ! ended || state="exited $ended" ;; esac
      ;;
    *) state=died ;;
  esac
}

# usage: set $used to the resource usage of the task of this directory, as far as it is known:
# uptime at its start and end, user and system time, and how many processes it left, if any.
usage() {
  begun='' over='' user='' system='' left=''
  { read -r begun over; read -r _; read -r user system; } 2>/dev/null <usage
  # shellcheck disable=SC2094  # a name and a file
  { [ ! -e left ] || read -r left <left; } 2>/dev/null
  used="${begun:--} ${over:--} ${user:--} ${system:--}${left:+ $left}"
}

# -- what tasks leave running ----------------------------------------------------------------------

# end_left_processes REQUEST...: end the processes that tasks left running after their command ended
# by itself, because results must not change while they are sent. The file "left" records how many
# processes there were.
end_left_processes() {
  over_keys='' recent='' lowest='' highest='' is_long=''
  { read -r up _ </proc/uptime; } 2>/dev/null || up=$(date +%s)
  for line; do
    split "$line"
    case $verb in clean | purge | forget | drop | look) continue ;; esac
    { enter "$key" && ended && [ ! -e left ]; } 2>/dev/null || continue
    case $ended in *[!0-9]*) continue ;; esac       # timeout or killed: nothing was left running
    over_keys="$over_keys $key"
    note_age
  done
  looked="$looked$over_keys "
  to_tasks
  [ -n "$over_keys" ] || return 0
  find_left 2>/dev/null
  enders=''
  for key in $left_keys; do
    (cd "$key" && end_rest) </dev/null >/dev/null 2>&1 &
    enders="$enders $!"
  done
  # shellcheck disable=SC2086  # numbers
  [ -z "$enders" ] || { busy; wait $enders; }
}

# note_age: add the task of this directory to $recent if it ended so recently that no other
# processes can have its group's number. Set $is_long if so much time has passed that process
# numbers may have wrapped around. Extend the range from $lowest to $highest by the runner's number.
note_age() {
  pid='' group=''
  { read -r _ pid _ _ group _ <fate; } 2>/dev/null
  case $pid$group in '' | *[!0-9]*) is_long=1; return ;; esac
  # A runner that is a child of this shell is in its group until it is waited for.
  wait "$pid" 2>/dev/null
  [ "$pid" -gt "${lowest:-$pid}" ] || lowest=$pid
  [ "$pid" -lt "${highest:-$pid}" ] || highest=$pid
  usage
  case ${begun%.*}:${over%.*} in
    *[!0-9:]* | *:*:* | :* | *:) is_long=1 ;;
    *)
      [ $((${over%.*} - ${begun%.*})) -lt 10 ] || is_long=1
      if [ $((${up%.*} - ${over%.*})) -gt 10 ]; then is_long=1
      elif [ "$group" -gt 1 ]; then recent="$recent $group:$pid:$key"; fi
      ;;
  esac
}

# find_left: set $left_keys to those of $over_keys that still have processes, in their group or
# anywhere with their marker. Only processes that are younger than the tasks are checked: those
# with higher numbers, or all if the numbers may have wrapped around.
find_left() {
  left_keys=''
  for found in $recent; do
    pid=${found#*:} pid=${pid%%:*} tries=20
    lives "${found%%:*}" || continue
    # The runner is about to end.
    while find_start "$pid" && [ -n "$stat_start" ] && [ "$tries" -gt 0 ]; do
      tries=$((tries - 1))
      nap
    done
    ! lives "${found%%:*}" || left_keys="$left_keys ${found##*:}"
  done
  cd /proc || return
  { read -r _ _ _ _ last <loadavg && [ "$last" -ge "$highest" ]; } || is_long=1
  list_since
  environments=''
  for number in $numbers; do
    [ -n "$is_long" ] || { [ "$number" -ge "$lowest" ] && [ "$number" -le "$last" ]; } || continue
    environments="$environments $number/environ"
  done
  if [ -n "$environments" ]; then
    # shellcheck disable=SC2086  # paths
    await_programs $environments
    # shellcheck disable=SC2086
    match_left $environments
  fi
  to_tasks
}

# list_since: set $numbers to a pattern that matches the numbers from $lowest to $last and a few
# others, or all numbers if $is_long is set.
list_since() {
  numbers='[0-9]*' common=$lowest
  [ -z "$is_long" ] && [ ${#lowest} -eq ${#last} ] && [ "$lowest" -lt "$last" ] || return
  while [ -n "$common" ] && [ "${last#"$common"}" = "$last" ]; do common=${common%?}; done
  set -- "${lowest#"$common"}" "${last#"$common"}"
  numbers="${common}[${1%"${1#?}"}-${2%"${2#?}"}]*"
}

# match_left ENVIRONMENT...: add to $left_keys the tasks whose marker is in these files.
match_left() {
  patterns=''
  for key in $over_keys; do patterns="$patterns -e LWT_ID=$key"; done
  # shellcheck disable=SC2086  # words
  found=$(grep -lszx $patterns -- "$@")
  for file in $found; do
    for key in $over_keys; do
      case " $left_keys " in *" $key "*) continue ;; esac
      ! grep -qszx -e "LWT_ID=$key" -- "$file" || left_keys="$left_keys $key"
    done
  done
}

# end_rest: end the processes that the task of this directory left running.
end_rest() {
  group=''
  case $recent in *":$key"*) read -r _ _ _ _ group _ <fate ;; esac
  # shellcheck disable=SC2046  # to be split
  set -- $(marked "LWT_ID=$key")
  [ $# -gt 0 ] || set -- 1
  say "$#" >left
  tries=$((grace < 10 ? grace * 20 : 200))
  signal_rest TERM
  signal_rest CONT
  while [ "$tries" -gt 0 ] && is_left; do
    tries=$((tries - 1))
    busy
    nap
  done
  signal_rest KILL
  kill_marked "LWT_ID=$key"
}

# signal_rest NAME: signal the processes that a task left running.
# is_left: whether any of them exists.
signal_rest() {
  [ -z "$group" ] || kill "-$1" "-$group"
  # shellcheck disable=SC2046  # to be split
  kill "-$1" $(marked "LWT_ID=$key")
}
is_left() { { [ -n "$group" ] && lives "$group"; } || [ -n "$(marked "LWT_ID=$key")" ]; }

# lives GROUP: whether a process group contains a process that is not a zombie. Some hosts reap
# zombies late.
lives() {
  kill -0 "-$1" && { [ ! -r /proc/self/stat ] || grep -qs ") [^ZX] [0-9]* $1 " /proc/[0-9]*/stat; }
}

# -- removals --------------------------------------------------------------------------------------

# The files of a task, so that one process can remove those of many tasks.
ours='work cancel command kill run.sh settings run.stdout run.stderr usage left'

# remnants: set $found to a name in this directory that clean must remove, or '' if there is none.
# With an argument, also remove them.
remnants() {
  set -- "$1"
  for name in * .[!.]* ..?*; do
    case $name in
      fate | exit.*) ;;
      *) { [ ! -e "$name" ] && [ ! -L "$name" ]; } || set -- "$@" "./$name" ;;
    esac
  done
  found=${2-}
  [ -z "$1" ] || { shift; rm -rf "$@" 2>/dev/null; }
}

# settle: decide the fate of the task of this directory if it is still open, and add the files that
# clean removes to $doomed.
settle() {
  if [ ! -e fate ]; then
    # shellcheck disable=SC2094  # a word and a file
    [ -e cancel ] || say cancel >cancel
    decide cancel
  fi 2>/dev/null
  for name in $ours; do doomed="$doomed $key/$name"; done
}

# clean: remove the remaining files of the task of this directory, and report the result.
clean() {
  remnants ''
  [ -z "$found" ] || { remnants remove; remnants ''; }
  [ -z "$found" ] || { chmod -R u+rwx ./* .[!.]* ..?* 2>/dev/null; remnants remove; remnants ''; }
  if [ -z "$found" ]; then say "task $key clean cleaned"
  else say "task $key clean failed $found cannot be removed"; fi
}

# removed PATH: remove a directory of lwt if it still exists, and report the result.
removed() {
  [ ! -e "$1" ] || { chmod -R u+rwx "$1" && rm -rf "$1"; } 2>/dev/null
  if [ -e "$1" ]; then say "task $key $verb failed $key cannot be removed"
  else say "task $key $verb cleaned"; fi
}

# -- inputs ----------------------------------------------------------------------------------------

# unpack: take the stream and move the inputs in it into place, complete or not at all. Set
# $problem.
unpack() {
  problem="no room left"
  mkdir "$part" "$part/new" 2>/dev/null && true >"$part/problems" && true >"$part/began" || return
  problem="the input did not arrive (no room left, or the connection was cut)"
  take_stream || return
  # Without a digest of the expected kind, only the size can be compared.
  digest=''
  find_digest <"$part/stream"
  # Check the size only if the digest does not match.
  if [ "${digest%% *}" != "${expected%% *}" ] || [ "$digest" != "$expected" ]; then
    arrived "$part/stream" "$bytes" || return
    problem="the input is not what was sent"
    [ "${digest%% *}" != "${expected%% *}" ] || return
  fi
  unpack_stream 2>"$part/problems" || {
    read -r problem <"$part/problems"
    problem="the input cannot be unpacked: $problem"
    return
  }
  problem="no room left"
  cd "$part/new" || return
  set --
  for name in i/*; do
    { [ -d "$name" ] && [ ! -e "$base/$name" ]; } || continue
    true >"$name/staged" || return
    set -- "$@" "$name"
  done
  if [ $# -gt 0 ]; then
    touch -r "$part/began" i/*/staged 2>/dev/null
    outdate "$1/staged" 2>/dev/null || return
    mv "$@" "$base/i/" 2>/dev/null
  fi
  for name; do [ -e "$base/$name" ] || return; done
  problem=''
}

# unpack_stream: unpack a tar archive or, on a host without tar, run the script that makes the
# files. The modes are those that were sent, for root and for other users. (Without root, busybox
# tar applies the umask in spite of -p.) It is called with a redirection, which does not affect this
# shell.
unpack_stream() (
  umask 022
  first=''
  [ -z "$no_tar" ] || IFS= read -r first <"$part/stream"
  case $first in
    '#!/bin/sh') cd "$part/new" && exec sh "$part/stream" ;;
    *) exec tar -xpof "$part/stream" -C "$part/new" ;;
  esac
)

# take_stream: receive the stream. A small stream was sent as a whole, so it needs no watch process
# of its own.
take_stream() {
  if [ "$bytes" -gt 262144 ]; then receive "$part/stream" "$bytes" "$stall"; return; fi
  idle
  head -c "$bytes" >"$part/stream" 2>/dev/null
  busy
}

# outdate FILE: wait until a file that is made now is newer than FILE. The times show what is new in
# a task.
outdate() {
  true >tick || return
  while [ -z "$(find tick -newer "$1")" ]; do
    sleep 0.01 2>/dev/null || sleep 1
    true >tick || return
  done
  rm -f tick
}

# assemble: make sure that the task $key in the stream has its input, and add it to $whole. Set
# $problem. If the task has no d_fetch, so that its changes are found by time, add it to $stamped.
assemble() {
  [ ! -d "$tasks/$key" ] || return 0
  [ -d "$part/new/t/$key" ] ||
    { problem=${refusal:+unstaged $refusal} problem=${problem:-absent}; return; }
  if [ -z "$wanted" ] || [ ! -d "$part/new/t/$key/work" ]; then
    [ -d "$base/i/$input/work" ] || { problem=noinput; return; }
  fi
  if [ ! -d "$part/new/t/$key/work" ]; then
    problem="unstaged $(cp -RPp "$base/i/$input/work" "$part/new/t/$key/work" 2>&1)" || return
  fi
  [ -n "$wanted" ] || stamped="$stamped $key"
  problem='' whole="$whole $key"
}

# -- launches and cancels --------------------------------------------------------------------------

# launch: start the task of this directory unless its fate is decided. Set $refused.
launch() {
  refused=''
  { [ ! -e fate ] && ! has_run && ! ended; } || return
  is_same_boot || { refused=rebooted; return; }
  start
}

# What a launcher does is in direct.sh, for tasks that are processes, and in slurm.sh:
#
# start      start the task of this directory
# report     set $state, see report_process, and $cause to the reason of the state if it is known
# suspend, resume, begin_cancel, begin_purge    as the verbs; cancels may continue until operate
# operate    finish what these functions have begun
# is_same_boot    whether the host has not been rebooted since the task was placed
# is_stopped      whether the task, which is running, was stopped by suspend
# end_left   see end_left_processes
# over       whether any of the tasks in $under_way has ended or vanished

start_process() {
  detached sh ./run.sh </dev/null >/dev/null 2>&1 3>&- 4>&- &
  launched="$launched $key"
}

cancel_process() {
  cancel </dev/null >/dev/null 2>&1 &
  cancels="$cancels $!"
}

purge_process() {
  { cancel; kill_marked "LWT_ID=$key"; } </dev/null >/dev/null 2>&1 &
  cancels="$cancels $!"
}

await_cancels() {
  # shellcheck disable=SC2086  # numbers
  [ -z "$cancels" ] || wait $cancels
  cancels=''
}

# harden: sync the fates of the launched tasks, so that a power cut does not lose the record of what
# ran. Nothing waits for it, because a launch from before the power cut is refused.
harden() {
  set --
  for key in $launched; do set -- "$@" "$key/fate" "$key"; done
  [ $# -eq 0 ] || ( sync "$@" || sync ) </dev/null >/dev/null 2>&1 &
}

# has_place: whether there is a free slot for the task of this directory, or the task has its fate
# already. Waits for a slot.
has_place() {
  while [ "$places" != - ] && [ ! -e fate ]; do
    taken=0
    for other in $launches; do
      [ -e "$tasks/$other/fate" ] || case " $launched " in *" $other "*) ;; *) continue ;; esac
      has_ended "$other" || taken=$((taken + 1))
    done
    [ "$taken" -ge "$places" ] || return 0
    [ "$ticks" -lt $((wait * 20)) ] || return 1
    ring
  done
}

# has_ended KEY: whether the task has begun and ended, or removed its own directory.
has_ended() {
  [ -d "$tasks/$1" ] || return 0
  for name in "$tasks/$1"/exit.*; do [ ! -e "$name" ] || return 0; done
  return 1
}

# signal_all NAME: signal all processes of a task: its group, and those that left it.
signal_all() {
  kill "-$1" "-$group"
  # shellcheck disable=SC2046  # to be split
  kill "-$1" $(marked "LWT_ID=$key")
} 2>/dev/null

suspend_process() {
  has_run || decide cancel
  report_process
  case $state in running*) signal_all STOP; state=suspended ;; esac
}

resume_process() {
  report_process
  case $state in running*) signal_all CONT ;; esac
}

# cancel: decide that the task must not run, whether or not it has arrived. End it if it runs,
# unless it is only withdrawn.
cancel() {
  enter "$key" || { mkdir "$tasks/$key" && cd "$tasks/$key"; } 2>/dev/null || return
  # A cancel that was killed may have left the directory empty.
  # shellcheck disable=SC2094
  [ -e fate ] || [ -e cancel ] || say cancel >cancel 2>/dev/null || return
  has_run || decide cancel
  report_process
  case $verb:$state in
    # If only the fate is missing, the runner may still live.
    *:died) ln cancel why.killed 2>/dev/null; kill_marked "LWT_ID=$key" ;;
    withdraw:*) ;;
    *:running*)
      ln fate why.killed 2>/dev/null
      end_group
      # This fails if the runner has recorded an end.
      mv "c.$pid" exit.killed 2>/dev/null
      ;;
  esac
}

# end_group: end the task of this directory. Its runner is $pid, in the group $group.
end_group() {
  kill -CONT "-$group" 2>/dev/null
  if [ -s kill ]; then
    ( . ./settings; cd work && restore_environment && exec sh ../kill ) >/dev/null 2>&1 </dev/null &
    await_end
    kill -KILL "$!" 2>/dev/null         # not TERM: see receive_watch in lib.sh
  fi
  ! ended || return 0
  kill -TERM "-$group" 2>/dev/null
  kill -CONT "-$group" 2>/dev/null
  await_end
  kill -KILL "-$group" 2>/dev/null
  kill_marked "LWT_ID=$key"
}

# await_end: wait until the runner has recorded the end, but not longer than the grace.
await_end() {
  tries=$((grace * 20 + 20))
  while [ "$tries" -gt 0 ] && ! ended; do
    tries=$((tries - 1))
    busy
    nap
  done
}

# facts: report the host's boot id, its id and, if requested, its load.
facts() {
  read -r host_id <../host-id
  say "facts $boot $host_id$no_tar"
  [ "$watched" = - ] || {
    cd ../.. && take_sample "$watched"
    to_tasks
  }
}

# -- waiting ---------------------------------------------------------------------------------------

# listen: discard earlier events, and start to receive those that follow: a task has begun or ended,
# or a second has passed.
listen() {
  ticks=0 rung=''
  [ -p "$bell" ] || return 0
  say . >&4
  while [ "$rung" != . ] && read -r rung <&4; do :; done
}

# ring: wait for the next event.
ring() {
  busy
  if [ -p "$bell" ]; then
    read -r rung <&4
    case $rung in
      t) ticks=$((ticks + 20)) ;;
      x) exit 1 ;;
    esac
  else
    nap
    ticks=$((ticks + 1))
  fi
}

# decided: whether the fate of all launched tasks is decided.
decided() {
  for key in $launched; do
    [ -e "$tasks/$key/fate" ] || [ ! -d "$tasks/$key" ] || return 1
  done
}

# lasting: whether any of the tasks in $under_way has not ended.
lasting() {
  for key in $under_way; do
    has_ended "$key" || return 0
  done
  return 1
}

# -- results ---------------------------------------------------------------------------------------

# choose: set $sent to the ended tasks whose results are small enough, and report the size of the
# others.
choose() {
  # Without tar this script can send none; scp fetches them.
  [ -z "$no_tar" ] || limit=-1
  room=$limit sent=''
  # shellcheck disable=SC2086  # keys
  sizes=$(du -sk $done_keys 2>/dev/null)
  for key in $done_keys; do
    size=${sizes%"	$key"*} size=${size##*
}
    case $size in '' | *[!0-9]*) size=0 ;; esac
    if [ "$size" -gt "$limit" ]; then say "task $key size $size"
    elif [ "$size" -le "$room" ]; then
      room=$((room - size)) sent="$sent $key"
    fi
  done
}

# -- the steps of a request, in order --------------------------------------------------------------

# answer ARGUMENT...: read the stream of one request, and answer the request.
answer() {
  stall=${3%.*} grace=${4%.*} wait=$5 limit=$6 bytes=$7 expected=$8 watched=$9 places=${10}
  [ -z "$unfit" ] || refuse "home $home: $unfit"
  IFS='
'
  set -f
  # shellcheck disable=SC2086  # lines
  set -- $requests
  set +f
  unset IFS
  make_room "$@"
  problem=''
  [ "$bytes" -eq 0 ] || unpack
  refusal=$problem
  [ -z "$refusal" ] || say "stage $refusal"
  to_tasks
  facts
  stage "$@"
  act "$@"
  [ "$wait" -eq 0 ] || await "$@"
  tell "$@"
  if [ "$limit" -gt 0 ] && [ -n "$done_keys" ]; then send_results; fi
}

# make_room REQUEST...: do the removals.
make_room() {
  cancels=''
  for line; do
    split "$line"
    [ "$verb" != purge ] || begin_purge
  done
  operate
  doomed=''
  [ ! -e "$part" ] || doomed=" part.$mine"
  for line; do
    split "$line"
    case $verb in
      clean | purge) ! enter "$key" || settle ;;
      forget) doomed="$doomed $key" ;;
      drop) doomed="$doomed ../i/$key" ;;
    esac
  done
  # shellcheck disable=SC2086  # names
  [ -z "$doomed" ] || (set -f && cd "$tasks" && rm -rf $doomed) 2>/dev/null
  for line; do
    split "$line"
    case $verb in
      clean | purge) if enter "$key"; then clean; else say "task $key clean cleaned"; fi ;;
      forget) removed "$tasks/$key" ;;
      drop) removed "$base/i/$key" ;;
    esac
  done
}

# not_launched: report why the task $key cannot be launched.
not_launched() {
  say "task $key state $problem"
  unstaged="$unstaged$key "
}

# stage REQUEST...: move the tasks that are launched into place, complete or not at all.
stage() {
  unstaged=' ' whole='' launches='' stamped=''
  for line; do
    split "$line"
    [ "$verb" = launch ] || continue
    launches="$launches $key" problem=''
    assemble
    [ -z "$problem" ] || not_launched
  done
  # The time of the file "cancel" separates the input from later changes (see list_changed in
  # sendlib.sh). The file exists already and has its disk block.
  for key in $stamped; do say "cancel $tools" 1<>"$part/new/t/$key/cancel"; done 2>/dev/null
  # shellcheck disable=SC2086  # keys
  [ -z "$whole" ] || (cd "$part/new/t" && mv $whole "$tasks/") 2>/dev/null
}

# act REQUEST...: launch, cancel, suspend and resume tasks, and wait until it is decided for each
# whether it runs.
act() {
  launched='' cancels=''
  listen
  for line; do
    split "$line"
    case $verb in
      launch)
        case $unstaged in *" $key "*) continue ;; esac
        problem="unstaged no room left" refused=''
        if enter "$key"; then
          if has_place; then launch
          elif ! has_run && decide cancel; then refused=crowded; fi
          problem=$refused
        fi
        [ -z "$problem" ] || not_launched
        ;;
      suspend | resume) ! enter "$key" || "$verb" ;;
      cancel | withdraw) begin_cancel ;;
      clean | purge | forget | drop | poll | look) ;;
      *) refuse "unknown verb $verb" ;;
    esac
    to_tasks
  done
  operate
  listen
  while [ "$ticks" -lt 100 ] && ! decided; do ring; done
  harden
}

# await REQUEST...: wait until a task ends, at most $wait seconds.
await() {
  under_way=''
  for line; do
    split "$line"
    case $verb$unstaged in launch*" $key "*) continue ;; esac
    case $verb in poll | launch | resume) under_way="$under_way $key" ;; esac
  done
  listen
  while [ -n "$under_way" ] && [ "$ticks" -lt $((wait * 20)) ] && ! over; do ring; done
  # Tasks of the same kind often end together: report them in one answer.
  ! lasting || nap
}

# tell REQUEST...: report the state of each task.
tell() {
  looked=''
  end_left "$@"
  done_keys='' polled=''
  for line; do
    split "$line"
    case $verb in clean | purge | forget | drop) continue ;; esac
    case $unstaged in *" $key "*) continue ;; esac
    cause=''
    if enter "$key"; then
      report
      case $verb:$state in
        look:*) ;;
        *:exited*)
          case $looked in
            *" $key "*) ;;
            *)                          # it ended after end_left was called
              end_left "$line"
              split "$line"
              cd "$tasks/$key" || exit 1
              ;;
          esac
          ;;
      esac
      # After a reboot, the host may have lost the record that the task ran, so that a cancel found
      # nothing to end.
      [ "$state" != cancelled ] || is_same_boot || state=rebooted
      case $verb:$state in
        suspend:running*) ! is_stopped || state=suspended ;;
        look:*) ;;
        *:exited* | *:died | *:rebooted)
          done_keys="$done_keys $key" polled="$polled$line
"
          ;;
      esac
      case $state in
        exited*) usage && state="$state $used" ;;
        # The runner was killed, but not the command. The task may be started on another host.
        died) [ ! -e fate ] || kill_marked "LWT_ID=$key" ;;
      esac
    else
      state=absent
      # It was there, so it removed itself.
      case "$launched$submitted " in *" $key "*) state=died ;; esac
    fi
    [ -z "$cause" ] || say "task $key why $cause"
    [ -z "$state" ] || say "task $key state $state"
  done
  to_tasks
}

# send_results: send the results of ended tasks, as far as they are small.
send_results() {
  busy
  # shellcheck disable=SC2086  # keys
  make_readable $done_keys
  choose
  [ -n "$sent" ] || return 0
  say "stream$sent"
  IFS=$newline
  for line in $polled; do
    split "$line"
    case "$sent " in *" $key "*) want "$key" "$input" "$wanted" ;; esac
  done
  unset IFS
  send "$pipe"
}

# -- the channel -----------------------------------------------------------------------------------

# take_request: set $words and $requests to the lines of a request.
take_request() {
  IFS= read -r words || return
  requests=''
  while IFS= read -r line; do
    [ "$line" != end ] || return 0
    requests="$requests$line
"
  done
  return 1
}

# come_in HOME NEW-ID: enter the directory of the tasks, create it if necessary, and set what all
# requests use. Set $unfit to the reason if that fails.
come_in() {
  home=$1
  if ! enter_home "$home"; then
    unfit=${home_problem#"home $home: "}
    return
  fi
  unfit=".lwt is a link" && [ ! -L .lwt ] || return 0
  for each in .lwt .lwt/t .lwt/i; do regain "$each"; done
  { [ -d .lwt/t ] && [ -d .lwt/i ]; } || mkdir -p .lwt/t .lwt/i 2>/dev/null
  unfit="cannot be written" && [ -w .lwt/t ] || return 0
  unfit=".lwt belongs to somebody else" && [ -O .lwt ] || return 0
  if [ ! -s .lwt/host-id ]; then
    say "$2" >".lwt/id.$$" && ln ".lwt/id.$$" .lwt/host-id 2>/dev/null
    unfit="no room left"
    [ -s .lwt/host-id ] || { rm -f ".lwt/id.$$"; return 0; }
  fi
  # This includes files of a script that was killed in the lines above.
  for left in .lwt/id.*; do [ ! -e "$left" ] || rm -f "$left"; done
  unfit=".lwt/t cannot be entered" && cd -P .lwt/t || return 0
  unfit='' tasks=$PWD base=${PWD%/t}
  find_tools
  no_tar=''
  command -v tar >/dev/null 2>&1 || no_tar=' no-tar'
  find_boot
  { read -r node </proc/sys/kernel/hostname; } 2>/dev/null || node=$(uname -n)
  find_start $$
  mine=$boot.$$.$stat_start.$node
  part=$tasks/part.$mine bell=$tasks/bell.$mine pipe=$tasks/pipe.$mine
  tidy
  { mkfifo "$bell" "$pipe" && exec 4<>"$bell"; } 2>/dev/null
}

# tidy: remove the files of channels that were killed before they could clean up. (Hosts may share
# their homes.) It is called at the end of a channel too, because a channel that was ending when
# this one began may have been killed since.
tidy() {
  for left in part.* bell.* pipe.* jobs.*; do
    [ -e "$left" ] || continue
    owner=${left#*.}
    if [ "${owner%%.*}" = "$boot" ]; then
      owner=${owner#*.}
      process=${owner#*.}
      has_start "${owner%%.*}" "${process%%.*}" || rm -rf "./$left"
    elif [ "$node" = "${owner#*.*.*.}" ]; then
      rm -rf "./$left"                  # from before this host was rebooted
    else
      [ -z "$(find "$left" -prune -mtime +1 2>/dev/null)" ] || rm -rf "./$left"
    fi
  done
}

# go_out: remove the files of this channel.
go_out() {
  [ -n "$mine" ] || return 0
  rm -rf "$tasks/part.$mine" "$tasks/bell.$mine" "$tasks/pipe.$mine" \
    "$tasks/jobs.$mine"
  (cd "$tasks" && tidy)
  mine=''
}

# leave: the channel ends.
leave() {
  trap '' HUP TERM                      # a signal must not interrupt this
  unwatch
  go_out
}

# busy, idle: tell the watch process whether this script is busy or waits for its master.
busy() { kill -USR1 "$lwt_watch"; } 2>/dev/null
idle() { kill -USR2 "$lwt_watch"; } 2>/dev/null

# unwatch: end the watch process. Without the wait, some shells would print that it was killed.
unwatch() {
  [ -z "$lwt_watch" ] || { kill -KILL "$lwt_watch"; wait "$lwt_watch"; } 2>/dev/null
}

# watch BUSY: start a background process that reports each second to this script, and that ends this
# script if the network is cut off: sshd would notice that only after hours. Signals tell it when
# the script is busy (USR1), and when it waits for its master (USR2). If both arrive at the same
# time, USR2 counts, in whatever order they were sent; so a busy script repeats USR1.
watch() {
  unwatch
  (
    busy=$1 quiet=0 all=$$
    ! can_detach || all=0               # then this process group contains nothing else
    trap - EXIT TERM HUP
    trap 'busy=1' USR1
    trap "busy='' quiet=0" USR2
    [ ! -p "$bell" ] || say r >&4
    cd /
    while kill -0 $$; do
      sleep 1 4>&- &
      wait "$!"
      while [ $? -gt 128 ] && kill -0 "$!"; do wait "$!"; done    # a signal interrupted the wait
      [ ! -p "$bell" ] || say t >&4
      [ -n "$busy" ] || quiet=$((quiet + 1))
      [ "$quiet" -lt "$lease" ] || kill -TERM $$
      [ "$quiet" -lt $((lease + 5)) ] || kill -KILL "$all"
    done
    # No process would send the time to a request that is still in progress.
    [ ! -p "$bell" ] || say x >&4
  ) >/dev/null 2>&1 &
  lwt_watch=$!
}

# hear_watch: wait until the watch process has set its traps. It would miss a signal that comes
# before that, and consider the script busy for ever.
hear_watch() {
  [ ! -p "$bell" ] || while read -r rung <&4 && [ "$rung" != r ]; do :; done
}
