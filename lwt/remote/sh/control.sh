# Everything that a master asks of the tasks on a host: one request after the other, over one login.
# Each is one round trip: removals, inputs, launches and cancels, a look at all that is there, if
# wanted a wait until something ends, and the results of what has ended.  The next one comes when
# the answer to the last one has been read.
#
# $1 lease, s: a host that does not hear of its master for so long lets it go Standard input: for
# each request a line of words for sh, which sets $1 to ${11}; a line "VERB KEY BOOT INPUT /D_FETCH"
# for each thing that is asked; a line "end"; the stream.
#
# $1 the nonce of the answer's frame $2 home $3 a random word, the host's id if it has none yet $4
# stall, s $5 grace, s $6 wait, s $7 KiB of results that may be sent along, of one task and of all
# $8 bytes of a tar stream $9 its digest ${10} seconds that the host watches its cpu (see
# samplelib.sh), or - where nobody asks for its load ${11} how many of those that are to be launched
# may be under way at the same time, or - for all
#
#   clean     remove what it has here, but keep what tells that it ran
#   purge     end whatever still runs of it first
#   forget    remove what clean kept
#   drop      remove the input KEY, which no task needs any more
#   launch    start it, unless its fate is decided; refused if the host was started anew since
#             BOOT.  If no place becomes free
#             for it within the wait, it must not run
#   cancel    it must not run: decided by ln if it has not begun, even if it is not here yet; else
#             ended: its own kill command,
#             TERM, KILL after the grace
#   withdraw  it must not run, as for cancel, but a task that has begun goes on
#   suspend   stop it; if it has not begun, it must not run
#   resume    let it go on
#   poll      how is it?  If it has ended, its results are sent
#   look      how is it?
#
# In the stream: i/INPUT/work, the folder that tasks share, and t/KEY, what each of them has
# besides, with t/KEY/work if it is not to be copied from the one that is shared.  What is shared
# stays here, for tasks that come later, and to tell what is new in results.  The removals come
# first: they may be what makes room for the rest.

# to_tasks: change to where the tasks are.  One of them may have locked it, or what is above it.
to_tasks() {
  cd "$tasks" 2>/dev/null && return
  regain "$base"
  regain "$tasks"
  cd "$tasks" || exit 1
}

# enter KEY: change to the directory of a task; false if there is none.
enter() {
  regain "$tasks/$1"
  cd "$tasks/$1" 2>/dev/null && return
  to_tasks
  regain "$1"
  cd "$tasks/$1" 2>/dev/null || return
}

# split REQUEST: set what it consists of.
split() {
  verb=${1%% *} rest=${1#* }
  key=${rest%% *} rest=${rest#* }
  id=${rest%% *} rest=${rest#* }
  input=${rest%% *} wanted=${rest#* /}
  case $key in '' | .* | */*) refuse "bad key $key" ;; esac
  [ "$verb" = drop ] || case $key in *[!0-9a-f.]*) refuse "bad key $key" ;; esac
}

# can_detach: may a task be in a process group of its own?
can_detach() { command -v setsid || command -v perl || command -v python3; } >/dev/null 2>&1

# detached COMMAND...: run it in a session of its own, by whatever the host has.  It has a clean
# environment, as this shell has, and is told what restore_environment is to bring back.
detached() {
  lwt_v_d_home=${base%/.lwt} lwt_v_d_working=$PWD/work
  for lwt_name in d_home d_working; do
    case " $lwt_saved " in *" $lwt_name "*) ;; *) lwt_saved="$lwt_saved $lwt_name" ;; esac
  done
  export lwt_saved lwt_functions lwt_function_names
  # shellcheck disable=SC2163  # it is the name that is expanded
  for lwt_name in $lwt_saved; do export "lwt_v_$lwt_name"; done
  # The marker of this call, where the host is the master: the task is none of it.
  unset LWT_ID
  if command -v setsid >/dev/null 2>&1; then exec setsid "$@"
  elif command -v perl >/dev/null 2>&1; then
    exec perl -MPOSIX -e 'POSIX::setsid(); exec @ARGV or exit 127' "$@"
  elif command -v python3 >/dev/null 2>&1; then
    exec python3 -c 'import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])' "$@"
  else exec nohup "$@"; fi
}

# -- how it is -------------------------------------------------------------------------------------

# has_run: did the task of this directory begin, whoever has removed its fate?
has_run() { [ -e run.stdout ]; }

# report: set $state, of the task in this directory: waiting, running PID, exited CODE, cancelled,
# died, rebooted.
report() {
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
      # It may have ended between the two looks.
      case $state in running*) ;; *) ! ended || state="exited $ended" ;; esac
      ;;
    *) state=died ;;
  esac
}

# usage: set $used to what the task of this directory took, as far as it is known: uptimes, user and
# system time, and how many processes it left, if any.
usage() {
  begun='' over='' user='' system='' left=''
  { read -r begun over; read -r _; read -r user system; } 2>/dev/null <usage
  # shellcheck disable=SC2094  # a name and a file
  { [ ! -e left ] || read -r left <left; } 2>/dev/null
  used="${begun:--} ${over:--} ${user:--} ${system:--}${left:+ $left}"
}

# -- what tasks leave running ----------------------------------------------------------------------

# end_left REQUEST...: of tasks whose command has ended by itself, end what it left running: results
# must not change while they are sent.  The file "left" tells how many processes that were.
end_left() {
  over_keys='' recent='' lowest='' highest='' is_long=''
  { read -r up _ </proc/uptime; } 2>/dev/null || up=$(date +%s)
  for line; do
    split "$line"
    case $verb in clean | purge | forget | drop | look) continue ;; esac
    { enter "$key" && ended && [ ! -e left ]; } 2>/dev/null || continue
    case $ended in *[!0-9]*) continue ;; esac       # who ended it has ended all of it
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

# note_age: of the task of this directory: did it end so recently that its group is still its own
# (see $recent), did it take so long that numbers of processes may have begun anew?
note_age() {
  pid='' group=''
  { read -r _ pid _ _ group _ <fate; } 2>/dev/null
  case $pid$group in '' | *[!0-9]*) is_long=1; return ;; esac
  # Where it is a child of this shell, it is in its group until then.
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

# find_left: set $left_keys to those of $over_keys of which something still runs, in its group or
# anywhere with its marker.  Only processes that are younger than the tasks are looked at, by their
# numbers, unless these may have begun anew since.
find_left() {
  left_keys=''
  for found in $recent; do
    pid=${found#*:} pid=${pid%%:*} tries=20
    lives "${found%%:*}" || continue
    # Its runner is about to end.
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

# list_since: set $numbers to a pattern of the numbers from $lowest to $last, and a few others; of
# all, where $is_long says so.
list_since() {
  numbers='[0-9]*' common=$lowest
  [ -z "$is_long" ] && [ ${#lowest} -eq ${#last} ] && [ "$lowest" -lt "$last" ] || return
  while [ -n "$common" ] && [ "${last#"$common"}" = "$last" ]; do common=${common%?}; done
  set -- "${lowest#"$common"}" "${last#"$common"}"
  numbers="${common}[${1%"${1#?}"}-${2%"${2#?}"}]*"
}

# match_left ENVIRONMENT...: add to $left_keys.
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

# end_rest: end what the task of this directory left running.
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

# signal_rest NAME: signal what a task left.  is_left: is there anything?
signal_rest() {
  [ -z "$group" ] || kill "-$1" "-$group"
  # shellcheck disable=SC2046  # to be split
  kill "-$1" $(marked "LWT_ID=$key")
}
is_left() { { [ -n "$group" ] && lives "$group"; } || [ -n "$(marked "LWT_ID=$key")" ]; }

# lives GROUP: is there a process in it that is more than a zombie?  (Some hosts take their time to
# reap them.)
lives() {
  kill -0 "-$1" && { [ ! -r /proc/self/stat ] || grep -qs ") [^ZX] [0-9]* $1 " /proc/[0-9]*/stat; }
}

# -- removals --------------------------------------------------------------------------------------

# What there is of every task, so that one process removes it of many.
ours='work cancel command kill run.sh settings run.stdout run.stderr usage left'

# remnants: set $found to a name here that clean is to remove, '' for none; with an argument, remove
# them.
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

# settle: the fate of the task of this directory is decided from now on; what it is to lose goes
# into $doomed.
settle() {
  if [ ! -e fate ]; then
    # shellcheck disable=SC2094  # a word and a file
    [ -e cancel ] || say cancel >cancel
    decide cancel
  fi 2>/dev/null
  for name in $ours; do doomed="$doomed $key/$name"; done
}

# clean: say what became of the rest of the task of this directory, if there was any.
clean() {
  remnants ''
  [ -z "$found" ] || { remnants remove; remnants ''; }
  [ -z "$found" ] || { chmod -R u+rwx ./* .[!.]* ..?* 2>/dev/null; remnants remove; remnants ''; }
  if [ -z "$found" ]; then say "task $key clean cleaned"
  else say "task $key clean failed $found cannot be removed"; fi
}

# removed PATH: see to it that a directory of ours is not there any more, and say so.
removed() {
  [ ! -e "$1" ] || { chmod -R u+rwx "$1" && rm -rf "$1"; } 2>/dev/null
  if [ -e "$1" ]; then say "task $key $verb failed $key cannot be removed"
  else say "task $key $verb cleaned"; fi
}

# -- inputs ----------------------------------------------------------------------------------------

# unpack: take the stream, and put the inputs in it into their place: complete or not at all.  Sets
# $problem.
unpack() {
  problem="no room left"
  mkdir "$part" "$part/new" 2>/dev/null && true >"$part/problems" && true >"$part/began" || return
  problem="the input did not arrive (no room left, or the connection was cut)"
  take_stream || return
  # Of a host that cannot tell, the size is all there is to compare.
  digest=''
  find_digest <"$part/stream"
  # Only then is it worth a look.
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

# unpack_stream: a tar archive or, for a host without tar, a script that makes the files.  The modes
# are those that were sent, for root and for others.  (Without root a busybox tar applies the umask
# in spite of -p.)  To be called with a redirection, which makes no difference to this shell.
unpack_stream() (
  umask 022
  first=''
  [ -z "$no_tar" ] || IFS= read -r first <"$part/stream"
  case $first in
    '#!/bin/sh') cd "$part/new" && exec sh "$part/stream" ;;
    *) exec tar -xpof "$part/stream" -C "$part/new" ;;
  esac
)

# take_stream: what is small is on its way as a whole, and needs no watch of its own.
take_stream() {
  if [ "$bytes" -gt 262144 ]; then receive "$part/stream" "$bytes" "$stall"; return; fi
  idle
  head -c "$bytes" >"$part/stream" 2>/dev/null
  busy
}

# outdate FILE: wait until what is made now is newer than FILE: what is new in a task is told by
# that.
outdate() {
  true >tick || return
  while [ -z "$(find tick -newer "$1")" ]; do
    sleep 0.01 2>/dev/null || sleep 1
    true >tick || return
  done
  rm -f tick
}

# assemble: see to it that what was sent of the task $key has its input, and note it in $whole.
# Sets $problem and $stamped.
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

# launch: start the task of this directory, unless it is decided.  Sets $refused.
launch() {
  refused=''
  { [ ! -e fate ] && ! has_run && ! ended; } || return
  [ "$id" = "$boot" ] || { refused=rebooted; return; }
  detached sh ./run.sh </dev/null >/dev/null 2>&1 3>&- 4>&- &
  launched="$launched $key"
}

# harden: a power cut must not forget what has run.  Nothing waits for that: a launch of before the
# cut is refused.
harden() {
  set --
  for key in $launched; do set -- "$@" "$key/fate" "$key"; done
  [ $# -eq 0 ] || ( sync "$@" || sync ) </dev/null >/dev/null 2>&1 &
}

# has_place: is there a place for the task of this directory, or is it running already?  Waits for
# one.
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

# has_ended KEY: did it begin and end, or remove itself?
has_ended() {
  [ -d "$tasks/$1" ] || return 0
  for name in "$tasks/$1"/exit.*; do [ ! -e "$name" ] || return 0; done
  return 1
}

# signal_all NAME: signal all of a task: its group and what has left it.
signal_all() {
  kill "-$1" "-$group"
  # shellcheck disable=SC2046  # to be split
  kill "-$1" $(marked "LWT_ID=$key")
} 2>/dev/null

suspend() {
  has_run || decide cancel
  report
  case $state in running*) signal_all STOP; state=suspended ;; esac
}

resume() {
  report
  case $state in running*) signal_all CONT ;; esac
}

# cancel: decide that the task must not run, whether or not it is here yet; end it if it runs,
# unless it is only withdrawn.
cancel() {
  enter "$key" || { mkdir "$tasks/$key" && cd "$tasks/$key"; } 2>/dev/null || return
  # A cancel that was killed may have left the directory empty.
  # shellcheck disable=SC2094
  [ -e fate ] || [ -e cancel ] || say cancel >cancel 2>/dev/null || return
  has_run || decide cancel
  report
  case $verb:$state in
    # If only the fate is gone, its runner may live.
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

# end_group: end the task of this directory, whose runner is $pid in the group $group.
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

# await_end: until the runner has recorded the end, at most the grace.
await_end() {
  tries=$((grace * 20 + 20))
  while [ "$tries" -gt 0 ] && ! ended; do
    tries=$((tries - 1))
    busy
    nap
  done
}

# facts: who the host is, its boot id and ours, and how loaded it is.
facts() {
  read -r host_id <../host-id
  say "facts $boot $host_id$no_tar"
  [ "$watched" = - ] || {
    cd ../.. && take_sample "$watched"
    to_tasks
  }
}

# -- waiting ---------------------------------------------------------------------------------------

# listen: from now on, hear when something happens to a task, and each second: forget what was told
# before.
listen() {
  ticks=0 rung=''
  [ -p "$bell" ] || return 0
  say . >&4
  while [ "$rung" != . ] && read -r rung <&4; do :; done
}

# ring: wait for the next of these.
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

# decided: is it settled for all that were launched whether they run?
decided() {
  for key in $launched; do
    [ -e "$tasks/$key/fate" ] || [ ! -d "$tasks/$key" ] || return 1
  done
}

# over: has any ended of those that are under way, or vanished?
over() {
  for key in $under_way; do
    ! has_ended "$key" || return 0
    [ -e "$tasks/$key/fate" ] || return 0
  done
  return 1
}

# lasting: is any of them still under way?
lasting() {
  for key in $under_way; do
    has_ended "$key" || return 0
  done
  return 1
}

# -- results ---------------------------------------------------------------------------------------

# choose: of the tasks that have ended, set $sent to those whose results are small enough; say the
# size of the others.
choose() {
  # Without tar none can be sent here; scp fetches them.
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

# -- a request, in this order ----------------------------------------------------------------------

# answer ARGUMENT...: take one request and answer it.
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

# make_room REQUEST...: remove what is to be removed.
make_room() {
  purges=''
  for line; do
    split "$line"
    [ "$verb" != purge ] || {
      { cancel; kill_marked "LWT_ID=$key"; } </dev/null >/dev/null 2>&1 &
      purges="$purges $!"
    }
  done
  # shellcheck disable=SC2086  # numbers
  [ -z "$purges" ] || wait $purges
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

# not_launched: say why the task $key cannot be launched.
not_launched() {
  say "task $key state $problem"
  unstaged="$unstaged$key "
}

# stage REQUEST...: put the tasks that are to be launched into their places, complete or not at all.
stage() {
  unstaged=' ' whole='' launches='' stamped=''
  for line; do
    split "$line"
    [ "$verb" = launch ] || continue
    launches="$launches $key" problem=''
    assemble
    [ -z "$problem" ] || not_launched
  done
  # What changes from now on is told from the input by its time (see list_changed in sendlib.sh).  A
  # file is written that is there already, and has its block on the disk.
  for key in $stamped; do say "cancel $tools" 1<>"$part/new/t/$key/cancel"; done 2>/dev/null
  # shellcheck disable=SC2086  # keys
  [ -z "$whole" ] || (cd "$part/new/t" && mv $whole "$tasks/") 2>/dev/null
}

# act REQUEST...: launch and cancel, stop and let go on; until it is settled for each whether it
# runs.
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
      cancel | withdraw)
        cancel </dev/null >/dev/null 2>&1 &
        cancels="$cancels $!"
        ;;
      clean | purge | forget | drop | poll | look) ;;
      *) refuse "unknown verb $verb" ;;
    esac
    to_tasks
  done
  # shellcheck disable=SC2086  # numbers
  [ -z "$cancels" ] || wait $cancels
  listen
  while [ "$ticks" -lt 100 ] && ! decided; do ring; done
  harden
}

# await REQUEST...: until something ends, at most $wait seconds.
await() {
  under_way=''
  for line; do
    split "$line"
    case $verb$unstaged in launch*" $key "*) continue ;; esac
    case $verb in poll | launch | resume) under_way="$under_way $key" ;; esac
  done
  listen
  while [ -n "$under_way" ] && [ "$ticks" -lt $((wait * 20)) ] && ! over; do ring; done
  # Where one ends, others of its kind often do: one answer for all of them.
  ! lasting || nap
}

# tell REQUEST...: say how each task is.
tell() {
  looked=''
  end_left "$@"
  done_keys='' polled=''
  for line; do
    split "$line"
    case $verb in clean | purge | forget | drop) continue ;; esac
    case $unstaged in *" $key "*) continue ;; esac
    if enter "$key"; then
      report
      case $verb:$state in
        look:*) ;;
        *:exited*)
          case $looked in
            *" $key "*) ;;
            *)                          # it has ended meanwhile
              end_left "$line"
              split "$line"
              cd "$tasks/$key" || exit 1
              ;;
          esac
          ;;
      esac
      # Where the host was started anew, it may have forgotten that the task had run, and a cancel
      # have found nothing.
      [ "$state" != cancelled ] || [ "$id" = "$boot" ] || state=rebooted
      case $verb:$state in
        suspend:running*) state=suspended ;;
        look:*) ;;
        *:exited* | *:died | *:rebooted)
          done_keys="$done_keys $key" polled="$polled$line
"
          ;;
      esac
      case $state in
        exited*) usage && state="$state $used" ;;
        # Its runner was killed, not its command.  The task may be started elsewhere.
        died) [ ! -e fate ] || kill_marked "LWT_ID=$key" ;;
      esac
    else
      state=absent
      case "$launched " in *" $key "*) state=died ;; esac     # it was there: it removed itself
    fi
    say "task $key state $state"
  done
  to_tasks
}

# send_results: of what has ended, as far as it is small.
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

# -- the talk --------------------------------------------------------------------------------------

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

# come_in HOME NEW-ID: go to where the tasks are, which is made if need be, and set what all
# requests use.  Sets $unfit if it cannot.
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
  # Also those of a script that was killed in the lines above.
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

# tidy: remove what is left of a talk that was killed so that it could not clean up.  (Homes may be
# shared between hosts.) It is done on the way out as well: a talk that was ending while this one
# came in may have been killed since.
tidy() {
  for left in part.* bell.* pipe.*; do
    [ -e "$left" ] || continue
    owner=${left#*.}
    if [ "${owner%%.*}" = "$boot" ]; then
      owner=${owner#*.}
      process=${owner#*.}
      has_start "${owner%%.*}" "${process%%.*}" || rm -rf "./$left"
    elif [ "$node" = "${owner#*.*.*.}" ]; then
      rm -rf "./$left"                  # of before this host was started anew
    else
      [ -z "$(find "$left" -prune -mtime +1 2>/dev/null)" ] || rm -rf "./$left"
    fi
  done
}

# go_out: take away what is there for the talk alone.
go_out() {
  [ -n "$mine" ] || return 0
  rm -rf "$tasks/part.$mine" "$tasks/bell.$mine" "$tasks/pipe.$mine"
  (cd "$tasks" && tidy)
  mine=''
}

# leave: the talk is over.
leave() {
  trap '' HUP TERM                      # a signal that comes now does not stop it half way
  unwatch
  go_out
}

# busy, idle: tell the watch.
busy() { kill -USR1 "$lwt_watch"; } 2>/dev/null
idle() { kill -USR2 "$lwt_watch"; } 2>/dev/null

# unwatch: end the watch; some shells would say that it was killed, if they were not asked.
unwatch() {
  [ -z "$lwt_watch" ] || { kill -KILL "$lwt_watch"; wait "$lwt_watch"; } 2>/dev/null
}

# watch BUSY: in the background, tell the talk when a second is over, and see that it is not here
# for ever, should the network be cut off: sshd would not notice for hours.  Signals tell when it is
# busy (USR1), and when it waits for its master (USR2).  Of two that come at once it is the second
# that counts, whatever their order; so whoever is busy says so again.
watch() {
  unwatch
  (
    busy=$1 quiet=0 all=$$
    ! can_detach || all=0               # nobody else is in this process group then
    trap - EXIT TERM HUP
    trap 'busy=1' USR1
    trap "busy='' quiet=0" USR2
    [ ! -p "$bell" ] || say r >&4
    cd /
    while kill -0 $$; do
      sleep 1 4>&- &
      wait "$!"
      while [ $? -gt 128 ] && kill -0 "$!"; do wait "$!"; done    # a signal came meanwhile
      [ ! -p "$bell" ] || say t >&4
      [ -n "$busy" ] || quiet=$((quiet + 1))
      [ "$quiet" -lt "$lease" ] || kill -TERM $$
      [ "$quiet" -lt $((lease + 5)) ] || kill -KILL "$all"
    done
    # A request that is under way has nobody any more who would tell it the time.
    [ ! -p "$bell" ] || say x >&4
  ) >/dev/null 2>&1 &
  lwt_watch=$!
}

# hear_watch: wait until it is there: it would not hear a signal that comes before, and believe for
# ever that the talk is busy.
hear_watch() {
  [ ! -p "$bell" ] || while read -r rung <&4 && [ "$rung" != r ]; do :; done
}

lease=${1%.*} lwt_watch='' home='' tasks='' mine='' bell=''
umask 077
trap '' USR1 USR2                       # a watch that has just begun must not die of them
trap leave EXIT
trap 'exit 143' TERM
trap 'exit 129' HUP
watch ''

# Each request in a shell of its own: its directory, its variables and its traps go with it.  Where
# one was refused, the rest of it may still be under way, and nothing more can be understood.
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
