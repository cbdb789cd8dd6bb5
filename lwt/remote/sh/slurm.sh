# The launcher "slurm" of control.sh: a task is a job of Slurm. This host is a login node, which
# shares its home with the nodes that run the jobs. BOOT of these tasks is "slurm". (Tasks with
# another BOOT were placed before the host list named this launcher; they are processes.)
#
# A job runs run.sh, as a process would, so ln decides once whether the task runs, and a file name
# records its end. Slurm is asked only what these files cannot tell: whether a job waits, and why a
# job ended without a record. It is asked about all jobs at once.
#
# In the directory of a task:
#   sbatch           sent with it: options for sbatch, separated by tabs
#   job              "NAME INDEX COUNT": written before sbatch is called, so that a job whose number
#                    did not arrive is found by its name, lwt-KEY.COUNT. KEY is that of the first
#                    task of the call, and INDEX the place of this one among its tasks. COUNT
#                    is the number of calls for this task
#   fate             as in tasklib.sh; instead of BOOT: slurm.JOB.RESTARTS.NAME. (A controller that
#                    crashes may give the number of a job to another one.)
#   signalled.CODE   its command ended so after the job got a signal; Slurm knows why
#
# In jobs.* beside the tasks, for the requests of one channel:
#   seen             the answer of squeue and, in its first line, its time
#   pause            until when sbatch is not called again
#
# slurm_problem    why Slurm does not answer, or does not accept a job now; else empty

# Seconds: how old the answer of squeue may be; the limit of a command of Slurm; from a job that is
# not accepted to the next try.
slurm_age=10 slurm_limit=20 slurm_pause=10
ours="$ours job sbatch"

is_job() { [ "$id" = slurm ]; }
is_same_boot() { is_job || [ "$id" = "$boot" ]; }
is_stopped() { ! is_job; }

start() { if is_job; then start_job; else start_process; fi; }
suspend() { if is_job; then suspend_job; else suspend_process; fi; }
resume() { if is_job; then resume_job; else resume_process; fi; }
begin_cancel() { if is_job; then cancel_job; else cancel_process; fi; }
begin_purge() {
  if [ -s "$tasks/$key/job" ]; then id=slurm; cancel_job; to_tasks; else purge_process; fi
}

# Slurm ends what a job leaves running.
end_left() { looked="$looked$key "; }

# over: as in control.sh, but a job that has not begun has no fate.
over() {
  for key in $under_way; do
    ! has_ended "$key" || return 0
  done
  return 1
}

# -- asking Slurm ----------------------------------------------------------------------------------

# find_uptime: set $up to whole seconds.
find_uptime() {
  { read -r up _ </proc/uptime; } 2>/dev/null || up=$(date +%s)
  up=${up%.*}
}

# own_directory: set $own to the directory of this channel for what Slurm says; false if it cannot
# be made.
own_directory() {
  own=$tasks/jobs.$mine
  [ -d "$own" ] || mkdir "$own" 2>/dev/null || { slurm_problem='no room left'; return 1; }
}

# last_error FILE CODE: set $words to what a command of Slurm said about its failure: the last line,
# and in brackets the first one.
last_error() {
  words='' first=''
  while IFS= read -r error || [ -n "$error" ]; do
    case $error in *Try*--help* | '') continue ;; esac
    words=${error#*error: }
    words=${words#Batch job submission failed: }
    first=${first:-$words}
  done <"$1"
  [ "$first" = "$words" ] || words="$words ($first)"
  [ -n "$words" ] || words="exit code $2"
  [ "$2" != 124 ] || words="no answer within $slurm_limit s"
}

# see_jobs AGE: make sure that the jobs are known as they were at most AGE seconds ago. False if
# Slurm does not answer.
see_jobs() {
  find_uptime
  [ -z "$seen_at" ] || [ $((up - seen_at)) -gt "$1" ] || return 0
  [ -z "$slurm_silent" ] || return 1
  own_directory || return
  if [ -z "$seen_at" ]; then
    { read -r seen_at _ <"$own/seen"; } 2>/dev/null
    if [ -n "$seen_at" ] && [ $((up - seen_at)) -le "$1" ]; then note_jobs; return; fi
  fi
  ask_squeue
}

# ask_squeue: ask about all jobs, also those that ended some minutes ago. False if Slurm does not
# answer.
ask_squeue() {
  seen_at=$up slurm_user=${slurm_user:-$(id -u)}
  if { say "$seen_at" && bounded squeue -h -r -t all -u "$slurm_user" -O "$job_format"; } \
    >"$own/new" 2>"$own/problem"; then
    mv "$own/new" "$own/seen" && note_jobs && return
    words='no room left'
  else last_error "$own/problem" $?; fi
  slurm_silent=1 slurm_problem=$words seen_at=''
  say "trouble Slurm: $words"
  return 1
}
job_format=Name:80,ArrayTaskID:12,JobID:14,ArrayJobID:14,State:16,RestartCnt:8,Reason:80

# note_jobs: set the variables below from the file "seen". N is a number that differs for each call.
#   slurm_of_N_KEY_COUNT_INDEX   the jobs of this name: words ID:STATE
#   slurm_why_N_...              the reason why the last of them waits
#   slurm_id_N_JOB               "NAME STATE RESTARTS ID" of the job with this number
# ID is what the commands of Slurm accept for it: JOB or ARRAY_INDEX.
note_jobs() {
  noted=$((noted + 1))
  while read -r seen_name seen_index seen_job seen_array seen_state seen_restarts seen_why; do
    note_job
  done <"$own/seen"
}

note_job() {
  case $seen_name in lwt-*) ;; *) return ;; esac
  case $seen_job:$seen_array:$seen_restarts:$seen_state in
    *[!0-9A-Z_:]* | :* | *::* | *:) return ;;
  esac
  seen_id=${seen_array}_$seen_index
  if [ "$seen_index" = N/A ]; then seen_index=0 seen_id=$seen_job; fi
  find_variable "$seen_name" "$seen_index"
  eval "slurm_of_$variable=\"\${slurm_of_$variable-} \$seen_id:\$seen_state\"
    slurm_why_$variable=\$seen_why
    slurm_id_${noted}_$seen_job=\"\$seen_name \$seen_state \$seen_restarts \$seen_id\""
}

# find_variable NAME INDEX: set $variable to the end of the names of variables about these jobs.
find_variable() {
  variable=${noted}_${1#lwt-}
  variable=${variable%%.*}_${variable#*.}
  variable=${variable%%.*}_${variable#*.}_$2
  case $variable in *[!0-9a-f_]*) variable=${noted}_none ;; esac
}

# find_job: set $name, $index and $count from the file "job" of this directory; false if it does not
# exist.
find_job() {
  name='' index='' count=0
  { read -r name index count _ <job; } 2>/dev/null
  case $name in lwt-*) ;; *) name='' ;; esac
  case $count in '' | *[!0-9]*) count=0 ;; esac
  [ -n "$name" ]
}

# find_queued: set $live to the ids of the jobs of $name that have not ended, $live_state to the
# state of the last of them and $why to its reason, $past to the state of the last one that has
# ended.
find_queued() {
  find_variable "$name" "$index"
  eval "queued=\${slurm_of_$variable-} why=\${slurm_why_$variable-}"
  live='' live_state='' past=''
  for entry in $queued; do
    if has_left "${entry#*:}"; then past=${entry#*:}
    else live="$live ${entry%%:*}" live_state=${entry#*:}; fi
  done
}

# has_left STATE: whether a job of this state has ended for good.
has_left() {
  case $1 in
    COMPLETED | CANCELLED* | FAILED | TIMEOUT | NODE_FAIL | PREEMPTED | BOOT_FAIL | DEADLINE) ;;
    OUT_OF_ME* | REVOKED | LAUNCH_FAILED | RECONFIG_FAIL) ;;
    *) return 1 ;;
  esac
}

# look_again: make the host see what other nodes have written in this directory.
look_again() {
  { true >look && rm -f look; } 2>/dev/null
}

# -- the state of a task ---------------------------------------------------------------------------

# report: see control.sh. More states: queued, and "refused REASON" if its job ended before the task
# began. $state is empty if the state is not the one that was asked for, but will be.
report() {
  report_process
  is_job || return 0
  live='' live_state='' past='' job_id='' job_state='' restarts=''
  case $state in
    waiting) report_queued ;;
    rebooted | died) [ ! -e fate ] || report_begun ;;
  esac
}

# report_queued: as report, for a task without a fate.
report_queued() {
  case $verb in launch | suspend | resume) ;; *) return 0 ;; esac
  find_job || [ "$verb" != resume ] || return 0
  state=queued
  case "$submitted " in *" $key "*) cause='waiting in Slurm'; return ;; esac
  cause=${slurm_problem:+not accepted by Slurm: $slurm_problem}
  [ -n "$name" ] || return 0
  see_jobs "$slurm_age" || { cause="Slurm does not answer: $slurm_problem"; return 0; }
  find_queued
  [ -n "$live$past" ] || ! see_jobs 0 || find_queued
  if [ -n "$live" ]; then report_waiting; return; fi
  [ -n "$past" ] || return 0
  look_again
  report_process
  case $state in
    waiting) report_unbegun ;;
    rebooted | died) report_begun ;;
  esac
}

# report_waiting: the job is in the queue.
report_waiting() {
  cause='waiting in Slurm'
  case $live_state:$why in
    RUNNING:*) cause='starting in Slurm' ;;
    *:None | *:) ;;
    *) cause="waiting in Slurm ($why)" ;;
  esac
  case $live_state:$why in
    *:JobHeldUser | *:JobHeldAdmin)     # the latter if root held it
      case $verb in
        suspend) state=suspended cause='' ;;
        resume) state='' cause='' ;;
      esac
      ;;
  esac
}

# report_unbegun: the job ended, with the state $past, and the task has not begun.
report_unbegun() {
  decide cancel || { report_process; return; }
  state=cancelled
  case $past:$verb in
    CANCELLED*:launch)
      ln cancel exit.killed 2>/dev/null
      state='exited killed' cause='cancelled in Slurm'
      ;;
    *:launch) state="refused the job ended before the task began (Slurm: $past)" ;;
  esac
}

# report_begun: as report, for a task whose fate says that it runs in a job.
report_begun() {
  read_fate || return 0
  state="running $job"
  case "$submitted " in *" $key "*) return ;; esac
  see_jobs "$slurm_age" || return 0
  find_begun
  if [ -z "$job_state" ]; then
    see_jobs 0 || return 0
    find_begun
    [ -n "$job_state" ] || ask_accounting
  fi
  if [ -n "$restarts" ] && [ "$restarts" -gt "$began_after" ]; then
    state=died cause='requeued by Slurm after it had begun'
    # It would find its fate decided and do nothing.
    has_left "$job_state" || bounded scancel "$job_id" 2>/dev/null
  elif [ -z "$job_state" ] || has_left "$job_state"; then
    look_again
    if ended; then state="exited $ended"; else conclude; fi
  else report_running; fi
}

# read_fate: set $job, $began_after (its number of restarts) and $job_name from the fate of this
# directory; false if it has another form.
read_fate() {
  read -r _ _ _ fate_boot _ <fate
  job=${fate_boot#slurm.}
  began_after=${job#*.}
  job=${job%%.*} job_name=${began_after#*.} began_after=${began_after%%.*}
  case $fate_boot:$job$began_after in
    slurm.*:*[!0-9]* | slurm.*:) return 1 ;;
    slurm.*.*.*) ;;
    *) return 1 ;;
  esac
}

# find_begun: set $job_state, $restarts and $job_id of the job with the number $job and the name
# $job_name.
find_begun() {
  # shellcheck disable=SC2154  # eval sets it
  eval "entry=\${slurm_id_${noted}_$job-}"
  [ "${entry%% *}" = "$job_name" ] || entry=''
  entry=${entry#* } job_id=${entry##* }
  job_state=${entry%% *} restarts=${entry#* }
  restarts=${restarts%% *}
}

# report_running: the job runs, or is stopped.
report_running() {
  case $verb:$job_state in
    suspend:SUSPENDED | suspend:STOPPED) state=suspended ;;
    resume:SUSPENDED | resume:STOPPED) state='' ;;
  esac
}

# conclude: record the end of a task whose job ended with the state $job_state, and no record of the
# task's own.
conclude() {
  cause="Slurm: $job_state"
  [ -n "$job_state" ] || cause="its job left Slurm without reporting a status"
  for code in signalled.*; do code=${code#signalled.}; done
  case $job_state:$code in
    TIMEOUT:* | DEADLINE:*) end=timeout ;;
    CANCELLED*) end=killed cause='cancelled in Slurm' ;;
    # Slurm ends a job by KILL or TERM; here it does not say so any more.
    NODE_FAIL:* | PREEMPTED:* | BOOT_FAIL:* | REVOKED:* | :137 | :143) end='' ;;
    *) end=$code ;;
  esac
  [ ! -e why.timeout ] || end=timeout
  [ ! -e why.killed ] || end=killed cause=''
  state=died
  case $end in '' | '*') return 0 ;; esac
  case $job_state:$end in COMPLETED:* | FAILED:* | :*[0-9]*) cause='' ;; esac
  for name in signalled.* c.[0-9]*; do
    [ ! -e "$name" ] || mv "$name" "exit.$end" 2>/dev/null
  done
  ended || true >"exit.$end"
  ! ended || state="exited $ended"
}

# ask_accounting: set $job_state for the job $job, which squeue does not know any more. One call
# asks about all such jobs of the request.
ask_accounting() {
  if [ -z "$asked" ]; then
    asked=1 gone=''
    IFS=$newline
    set -f
    for each in $requests; do
      unset IFS
      split "$each"
      ! { cd "$tasks/$key" && [ -e fate ] && ! ended; } 2>/dev/null || note_gone
    done
    unset IFS
    set +f
    split "$line"
    cd "$tasks/$key" || exit 1
    # shellcheck disable=SC2086  # numbers
    accounted=$(bounded sacct -n -P -X -o JobIDRaw,JobName,State -j "${gone#,}" 2>/dev/null)
    accounted=$newline$accounted$newline
    read_fate
  fi
  job_state=''
  case $accounted in
    *"$newline$job|$job_name|"*)
      job_state=${accounted#*"$newline$job|$job_name|"}
      job_state=${job_state%%[!A-Z_]*}
      ;;
  esac
}

# note_gone: add the job of this directory to $gone if squeue does not know it.
note_gone() {
  read_fate || return 0
  find_begun
  [ -n "$job_state" ] || gone="$gone,$job"
}

# -- launches --------------------------------------------------------------------------------------

# start_job: submit the task of this directory, unless its job is in the queue or may be.
start_job() {
  if find_job; then
    see_jobs "$slurm_age" || return 0
    find_queued
    [ -n "$live$past" ] || { see_jobs 0 || return 0; find_queued; }
    [ -z "$live$past" ] || return 0
  fi
  to_submit="$to_submit $key"
}

# submit: submit the tasks of $to_submit: those with the same options by one call.
submit() {
  is_paused && return
  most=100000 failures=0
  while [ -n "$to_submit" ] && [ "$failures" -lt 4 ]; do
    # shellcheck disable=SC2086  # keys
    choose_alike $to_submit
    # shellcheck disable=SC2086
    submit_together $chosen
  done
}

# is_paused: whether Slurm did not accept a job a short time ago.
is_paused() {
  [ -n "$to_submit" ] && own_directory || return 0
  { read -r until words <"$own/pause"; } 2>/dev/null || return 1
  find_uptime
  [ "$up" -lt "$until" ] || return 1
  slurm_problem=$words
  say "trouble Slurm: $words"
}

# choose_alike KEY...: set $chosen to the first of these tasks, and to those with the same options,
# at most $most; and $to_submit to the others. Set $options.
choose_alike() {
  chosen='' to_submit='' size=0 options=''
  { IFS= read -r options <"$tasks/$1/sbatch"; } 2>/dev/null
  for key; do
    other=''
    IFS= read -r other <"$tasks/$key/sbatch"
    if [ "$other" = "$options" ] && [ "$size" -lt "$most" ]; then
      chosen="$chosen $key" size=$((size + 1))
    else to_submit="$to_submit $key"; fi
  done 2>/dev/null
}

# submit_together KEY...: submit one job, or one array.
submit_together() {
  slurm_problem=''
  note_intent "$@" || { slurm_problem='no room left' failures=9; return; }
  call_sbatch "$@"
  answer=''
  { read -r answer <"$own/answer"; } 2>/dev/null
  answer=${answer%%;*}
  case $code:$answer in 0:*[!0-9]* | 0:) code=1 ;; esac
  if [ "$code" -eq 0 ]; then note_submitted "$@"; return; fi
  last_error "$own/problem" "$code"
  case $words in
    *'Invalid job array'*)
      [ $# -gt 1 ] || { reject "$@"; return; }
      find_array_limit "$#"
      ;;
    *temporar* | *limit* | *'not available now'* | *'not available (down'*)
      # Smaller arrays may fit.
      [ $# -gt 1 ] || failures=9
      most=$((($# + 3) / 4))
      ;;
    *contact* | *imed\ out* | *no\ answer* | *onnect* | *esponding* | *munge*) failures=9 ;;
    *uthentication* | *ontroller* | *nterrupted* | *ero\ Bytes* | exit\ code*) failures=9 ;;
    *) reject "$@"; return ;;
  esac
  slurm_problem=$words failures=$((failures + 1)) to_submit="$* $to_submit"
  [ "$failures" -lt 4 ] || pause
}

# pause: do not call sbatch for a while.
pause() {
  find_uptime
  say "trouble Slurm: $slurm_problem"
  say "$((up + slurm_pause)) $slurm_problem" >"$own/pause" 2>/dev/null
}

# find_array_limit SIZE: set $most to the largest size of an array, which is less than SIZE.
find_array_limit() {
  found=$(bounded scontrol show config 2>/dev/null | sed -n 's/^MaxArraySize *= *//p')
  case $found in
    '' | *[!0-9]*) most=$(($1 / 2)) ;;
    *) most=$found ;;
  esac
  [ "$most" -lt "$1" ] || most=$(($1 / 2))
  [ "$most" -gt 0 ] || most=1
}

# note_intent KEY...: write the files "job" of these tasks, and set $name.
note_intent() {
  name='' index=0
  for key; do
    { read -r _ _ count _ <"$tasks/$key/job"; } 2>/dev/null || count=0
    count=$((count + 1))
    [ -n "$name" ] || new=lwt-$key.$count
    name=$new
    say "$name $index $count" >"$tasks/$key/job" || return
    index=$((index + 1))
  done 2>/dev/null
}

# call_sbatch KEY...: its answer is in the file "answer" of $own; its exit code is $code. sbatch
# waits for minutes while Slurm has too many jobs; it is ended as soon as it says so.
call_sbatch() {
  code=1 array=''
  [ $# -eq 1 ] || array=--array=0-$(($# - 1))
  { job_script "$@" >"$own/script" && true >"$own/problem" && true >"$own/code"; } 2>/dev/null ||
    return
  (
    export_environment
    unset SLURM_ARRAY_TASK_ID SLURM_RESTART_COUNT
    IFS='	'
    set -f
    # shellcheck disable=SC2086  # words
    set -- $options
    unset IFS
    bounded sbatch --parsable --output=/dev/null --error=/dev/null "$@" \
      --job-name="$name" --comment="lwt ${name#lwt-}" ${array:+"$array"}
    say $? >"$own/code"
  ) <"$own/script" >"$own/answer" 2>"$own/problem" 3>&- 4>&- &
  caller=$!
  until [ -s "$own/code" ]; do
    nap
    last_error "$own/problem" 1
    case $words in *'sleeping and retrying'*) end_caller ;; esac
  done
  wait "$caller"
  read -r code <"$own/code"
}

# end_caller: end the sbatch that $caller waits for.
end_caller() {
  # shellcheck disable=SC2046  # numbers
  kill -TERM $(grep -l "^PPid:	$caller\$" /proc/[0-9]*/status | tr -dc '0-9\n')
} 2>/dev/null

# job_script KEY...: print the script of the job.
job_script() {
  say '#!/bin/sh'
  say "set -- $*"
  # shellcheck disable=SC2016  # the job expands it
  say 'shift "${SLURM_ARRAY_TASK_ID:-0}"'
  say "cd '$(say "$tasks" | sed "s/'/'\\\\''/g")' || exit 71"
  # shellcheck disable=SC2016
  say 'cd -P "$1" || exit 71
lwt_job=slurm.$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}.'"$name"' lwt_v_d_working=$PWD/work
export lwt_job lwt_v_d_working
exec sh ./run.sh </dev/null >/dev/null 2>&1'
}

# note_submitted KEY...: the job $answer has these tasks.
note_submitted() {
  rm -f "$own/pause"
  index=0
  for key; do
    submitted="$submitted $key"
    [ $# -gt 1 ] || index=N/A
    [ ! -e "$own/seen" ] || say "$name $index $answer $answer PENDING 0 Submitted" >>"$own/seen"
    index=$((${index%N/A} + 1))
  done 2>/dev/null
}

# reject KEY...: Slurm never accepts these tasks; they must not run.
reject() {
  problem="rejected Slurm: $words"
  for key; do
    if cd "$tasks/$key" 2>/dev/null && decide cancel; then not_launched; fi
  done
  to_tasks
}

# -- cancels, suspensions --------------------------------------------------------------------------

# cancel_job: as cancel in control.sh; operate calls scancel.
cancel_job() {
  enter "$key" || { mkdir "$tasks/$key" && cd "$tasks/$key"; } 2>/dev/null || return 0
  # shellcheck disable=SC2094
  [ -e fate ] || [ -e cancel ] || say cancel >cancel 2>/dev/null || return 0
  has_run || decide cancel
  report
  case $verb:$state in
    *:cancelled)
      ! { find_job && see_jobs "$slurm_age"; } || { find_queued; to_cancel="$to_cancel $live"; }
      ;;
    withdraw:*) ;;
    *:running*)
      ln fate why.killed 2>/dev/null
      [ -z "$job_id" ] || to_cancel="$to_cancel $job_id" ending="$ending $key"
      ;;
  esac
}

suspend_job() {
  report
  case $state in
    queued)
      if [ -n "$live" ]; then to_hold="$to_hold $live"
      elif [ -z "$slurm_silent" ]; then has_run || decide cancel; fi
      ;;
    running*) [ "$job_state" != RUNNING ] || to_suspend="$to_suspend $job_id" ;;
  esac
}

resume_job() {
  report
  [ -z "$state" ] || return 0
  if [ -n "$live" ]; then to_release="$to_release $live"
  elif [ "$job_state" = SUSPENDED ]; then to_resume="$to_resume $job_id"
  else to_continue="$to_continue $job_id"; fi
}

# operate: submit, cancel, suspend and resume the jobs, each by one call.
operate() {
  await_cancels
  [ -z "$to_submit" ] || submit
  [ -z "$to_cancel$to_hold$to_release$to_suspend$to_resume$to_continue" ] || {
    own_directory || return 0
    operate_jobs >/dev/null 2>"$own/problem"
    await_ends
    seen_at=''
    rm -f "$own/seen"
  }
  to_submit='' to_cancel='' to_hold='' to_release='' to_suspend='' to_resume='' to_continue=''
}

operate_jobs() {
  # shellcheck disable=SC2086  # ids
  [ -z "$to_cancel" ] || bounded scancel $to_cancel
  # Only operators of the cluster may suspend jobs; others may stop the processes of their own.
  # shellcheck disable=SC2086
  [ -z "$to_suspend" ] || bounded scontrol suspend "$(listed $to_suspend)" ||
    bounded scancel --full --signal=STOP $to_suspend
  # shellcheck disable=SC2086
  [ -z "$to_resume" ] || bounded scontrol resume "$(listed $to_resume)"
  # shellcheck disable=SC2086
  [ -z "$to_continue" ] || bounded scancel --full --signal=CONT $to_continue
  # shellcheck disable=SC2086
  [ -z "$to_hold" ] || bounded scontrol hold "$(listed $to_hold)"
  # shellcheck disable=SC2086
  [ -z "$to_release" ] || bounded scontrol release "$(listed $to_release)"
}

# listed ID...: print ids as scontrol reads them.
listed() (
  IFS=,
  say "$*"
)

# await_ends: wait until the cancelled tasks have recorded their ends, but not longer than the
# grace.
await_ends() {
  listen
  while [ -n "$ending" ] && [ "$ticks" -lt $((grace * 20 + 20)) ]; do
    left=''
    for key in $ending; do has_ended "$key" || left="$left $key"; done
    ending=$left
    [ -z "$ending" ] || ring
  done
  ending=''
}

seen_at='' slurm_silent='' slurm_problem='' slurm_user='' noted=0 asked='' accounted=''
to_submit='' to_cancel='' to_hold='' to_release='' to_suspend='' to_resume='' to_continue=''
submitted='' ending='' live='' live_state='' job_id='' job_state='' restarts=''
