"""What lwt multi prints about a run: messages, progress and summary; not the output of the jobs."""

import collections
import signal

from lwt.commands import exit_codes
from lwt.errors import printable_text
from lwt.multi.job import FAILURES
from lwt.output import units, writer
from lwt.output.progress import STEP, Progress, ProgressLine, stopping_text

MESSAGES_SHOWN = 10             # failures that get a message of their own
REASONS = 8                     # reasons of failures in the summary
MAX_COMMAND = 60                # characters of a command in a message
ALREADY_DONE = 'already done (job log)'


class MultiReport:
    """Prints the messages and the progress of a run.  out: the writer.Output of the run."""

    def __init__(self, run, plan, source, records, env):
        self._run = run
        self._source = source
        self._records = records
        self._env = env
        self._is_wanted = plan.arguments.progress and not plan.arguments.dry_run
        self._reasons = collections.Counter()
        self._shown = 0                 # failures that may have a message
        self._began = run.loop.time()
        self._executor = None           # set by begin()
        self.out = writer.Output(run)
        self.out.trust()
        self._line = ProgressLine(self._is_wanted)
        self.out.share_terminal(self._line)

    def begin(self, executor):
        """Prepare the output of a run.  executor: its executor.Executor."""
        self._executor = executor
        self._run.loop.on_signal(signal.SIGUSR1, lambda _signum: self._list_running())
        self._run.on_quit(self._list_running)
        self._run.on_stopping(
            lambda _count: self.out.say(stopping_text(self._run.pool.running, 'job')))
        self._line.follow(self._run.loop, self._progress, STEP)

    def job_done(self, ended):
        """Report a finished job.  ended: its job.JobResult."""
        if ended.kind in FAILURES:
            reason = 'timed out' if ended.kind == 'timeout' else ended.reason
            self._reasons[reason] += 1
            self._tell_failure(ended, reason)
        if ended.is_cut:
            self.out.say('job %d: %s: %s' % (ended.job.number, exit_codes.OUTPUT_HELD,
                                             printable_text(ended.command, MAX_COMMAND)))

    def job_lost(self, ended):
        """Report that a job whose fate is unknown is run again.  ended: its JobResult."""
        self.out.say('job %d: %s: %s; running it again (retry %d)' % (
            ended.job.number, ended.host, ended.reason, ended.attempts))

    def _tell_failure(self, ended, reason):
        is_new = self._reasons[reason] == 1 and len(self._reasons) <= REASONS
        if self._shown < MESSAGES_SHOWN or is_new or self._env.verbose:
            attempts = ' (%d attempts)' % ended.attempts if ended.attempts > 1 else ''
            self.out.say('job %d: %s%s: %s' % (ended.job.number, ended.reason, attempts,
                                               printable_text(ended.command, MAX_COMMAND)))
        self._shown += 1

    def stopping(self):
        """End the progress line, because no more jobs are started."""
        self._line.end()

    def all_done(self):
        """End the progress line, because no job is running or waiting any more."""
        self._line.end()

    def end(self, why):
        """Print the end of the run.  why: 'interrupted', 'halted', or '' if all jobs were run."""
        bad = self._source.bad
        for number, problem in bad[:MESSAGES_SHOWN]:
            self.out.say('job %d: %s' % (number, problem))
        failed, total = self._failed(), self._done()
        if self._executor.lost_hosts:
            self.out.say('no host is left; not run: %s' % self._not_started())
        if why:
            self.out.say('%s: %d done%s, %d stopped, %s not started' % (
                why, total, ' (%d failed)' % failed if failed else '',
                self._executor.counts['stopped'], self._not_started()))
        elif self._is_wanted:
            self.out.say(', '.join(self._closing()))
        elif failed and total > 1 and not self._env.quiet:
            self.out.say('%d of %d failed%s' % (failed, total, self._reasons_text()))
        self._run.loop.run()            # the messages may wait for a slow reader

    def _closing(self):
        """Yield the parts of the closing line of --progress."""
        elapsed = self._run.loop.time() - self._began
        yield '%d done in %s' % (self._done(), units.duration(elapsed))
        if self._skipped():
            yield '%d %s' % (self._skipped(), ALREADY_DONE)
        if self._failed():
            yield '%d failed%s' % (self._failed(), self._reasons_text())

    def _reasons_text(self):
        common = sorted(self._reasons.items(), key=lambda item: (-item[1], item[0]))[:REASONS]
        reasons = ['%d %s' % (count, reason) for reason, count in common]
        reasons += ['…'] * (len(self._reasons) > REASONS)
        return ': ' + ', '.join(reasons) if reasons else ''

    def _not_started(self):
        """Return the number of jobs that were not started; 'the rest' if the length of the input is
        unknown.
        """
        left = self._executor.not_run
        if left is None:
            return 'the rest'
        return '%d' % (left + self._executor.counts['not run'])

    def _failed(self):
        return self._executor.failed + len(self._source.bad)

    def _done(self):
        return self._failed() + self._executor.counts['ok']

    def _skipped(self):
        return 0 if self._records is None else self._records.skipped

    def _progress(self):
        total = self._source.total()
        counts = ((len(self._executor.running), 'running'), (self._failed(), 'failed'),
                  (self._skipped(), ALREADY_DONE))
        return Progress(self._done(), total and total - self._skipped(),
                        self._run.loop.time() - self._began, counts)

    def _list_running(self):
        running = list(self._executor.running.values())
        now = self._run.loop.time()
        self.out.say(self._progress().text())
        for job, began in running:
            self.out.say('job %d: running for %s: %s' % (
                job.number, units.duration(now - began), printable_text(job.text(1), MAX_COMMAND)))
