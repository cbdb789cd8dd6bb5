# The launcher "direct" of control.sh: a task is a process of the host.
submitted=''
start() { start_process; }
report() { report_process; }
suspend() { suspend_process; }
resume() { resume_process; }
begin_cancel() { cancel_process; }
begin_purge() { purge_process; }
operate() { await_cancels; }
is_same_boot() { [ "$id" = "$boot" ]; }
is_stopped() { :; }
end_left() { end_left_processes "$@"; }

over() {
  for key in $under_way; do
    ! has_ended "$key" || return 0
    [ -e "$tasks/$key/fate" ] || return 0
  done
  return 1
}
