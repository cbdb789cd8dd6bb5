"""What lwt exec prints about a run: messages, progress and summary; not the output of the hosts."""

import signal

from lwt.commands import exit_codes
from lwt.output import units, writer
from lwt.output.progress import Progress, ProgressLine
from lwt.remote.exit_status import Verdict
from lwt.workspace import files

MESSAGES_SHOWN = 20         # failures that get a message of their own; the summary has all
NOT_STARTED = Verdict(exit_codes.SKIPPED, 255, 'not started', 'no')


class ExecReport:
    """Prints the messages and the progress of a run.

    verdicts: {Host: Verdict} of the hosts that are done.  out: the writer.Output of the run.
    """

    def __init__(self, run, plan, verbose):
        self._run = run
        self._output = plan.output
        self._hosts = plan.hosts
        self._failed_to = plan.arguments.failed_to
        self._total = len(plan.hosts)
        self._verbose = verbose
        self._failed = 0
        self._shown = 0                 # failures that have a message
        self._began = run.loop.time()
        self.verdicts = {}
        self.out = writer.Output(run)
        self._line = ProgressLine(plan.arguments.progress)
        self.out.share_terminal(self._line)

    def begin(self):
        """Prepare the output of the run."""
        self._run.loop.on_signal(signal.SIGUSR1, lambda _signum: self._list_running())
        self._line.follow(self._run.loop, self._progress)

    def host_done(self, host, verdict, warning, is_stopped):
        """Report the Verdict of a host.  is_stopped: the run was stopped early."""
        self.verdicts[host] = verdict
        self._output.done(host, verdict, warning)
        self._failed += not verdict.ok
        # Many hosts are killed when the run is stopped; the summary has them.
        is_only_in_summary = is_stopped and verdict.kind == 'killed' and self._total > 1
        if self._output.says_failures and not is_only_in_summary:
            self._tell(host, verdict)
        if warning:
            self.out.say('%s: %s' % (host.name, warning))

    def _tell(self, host, verdict):
        if verdict.ok:
            if self._verbose:
                self.out.say('%s: ok' % host.name)
        elif verdict.kind != exit_codes.SKIPPED:
            if self._shown < MESSAGES_SHOWN:
                self.out.say('%s: %s' % (host.name, verdict.reason))
                self._shown += 1
            elif self._failed == self._shown + 1:
                self.out.say('further failures are listed at the end')

    def all_done(self, skipped):
        """End the progress.  skipped: the hosts that were not started."""
        for host in skipped:
            self.verdicts[host] = NOT_STARTED
            self._output.done(host, NOT_STARTED, '')
        self._line.end()

    def end(self, error):
        """Print the end of the run.  error: the LwtError of this machine that ended a flow, or
        None.
        """
        self._line.end()
        self._write_failed()
        self._output.end()
        self.out.check()
        if error is not None and error.hint:
            self.out.say('hint: ' + error.hint)
        if self._total > 1 and self._output.says_failures:
            verdicts = {host.name: verdict for host, verdict in self.verdicts.items()}
            for line in exit_codes.summary(verdicts, self._shown):
                writer.say(line)

    def _write_failed(self):
        """Write the file of --failed-to: the hosts that failed or were not started."""
        if self._failed_to is not None:
            names = [host.name for host in self._hosts
                     if host not in self.verdicts or not self.verdicts[host].ok]
            files.write_target(self._failed_to, ''.join(name + '\n' for name in names))

    def _progress(self):
        counts = (self._run.pool.running, 'running'), (self._failed, 'failed')
        return Progress(len(self.verdicts), self._total, self._run.loop.time() - self._began,
                        counts)

    def _list_running(self):
        self.out.say(self._progress().text())
        for name, age in self._run.pool.ages:
            self.out.say('%s: running for %s' % (name, units.duration(age)))
