"""The local executor: runs jobs from an endless input, a limited number at a time.

A job is started when a slot is free, the reader of the output keeps up, and --delay, --load and
--memfree allow it.  The output of a job goes to a CommandOutput (output/ordering.py), its result to
the records: job log, results, counts.

The executor knows nothing of options or templates: a job has a function that returns its command.
"""

from __future__ import generator_stop

import collections
import errno
import heapq
import os
import signal
import time
from typing import Callable, NamedTuple, Optional

from lwt.errors import LwtError
from lwt.flow import Later, Sleep
from lwt.multi import direct
from lwt.proc import Command
from lwt.remote import events

BACKOFF = (0.5, 30.0)           # seconds: before the first retry, and the longest wait
LOOK_AGAIN = 1.0                # seconds between two checks of load and free memory
SAMPLE = 1001                   # maximum number of run times of successful jobs for the median
SHORTEST = 0.01                 # seconds between two checks of the ages of jobs
# Finished jobs whose output waits for its turn; if there are more, no new job is started.
MOST_WAITING = 4096
ENOUGH = 3                      # successful jobs that the median needs
# Kinds of failure; lost: the exit status is unknown.
FAILURES = ('failed', 'timeout', 'lost')


class Job(NamedTuple):
    """A command to run.

    text: a function that returns the command line as bytes for a slot number.
    label: printed before each line of output (--tag).
    data: bytes for its standard input; source: a function that returns a PipeSource for what
        follows them, or None.
    """

    number: int
    text: Callable
    label: bytes = b''
    data: bytes = b''
    source: Optional[Callable] = None


class Halt(NamedTuple):
    """When to stop early.

    when: 'now' (kill running jobs), 'soon' (let them finish) or 'never'.
    outcome: 'fail', 'success' or 'done'.
    count: the number of jobs with that outcome; is_percent: count is a percentage of all jobs.
    """

    when: str = 'never'
    outcome: str = 'fail'
    count: float = 0.0
    is_percent: bool = False


class ExecutorOptions(NamedTuple):
    """How to run jobs.  Times are in seconds, 0 means no limit.

    jobs: number of parallel jobs.
    median_percent: timeout in percent of the median run time of successful jobs.
    load: start no job at this load.
    memfree: start no job while less memory is free, in bytes.
    """

    jobs: int
    timeout: float = 0.0
    median_percent: float = 0.0
    grace: float = 5.0
    retries: int = 0
    halt: Halt = Halt()
    delay: float = 0.0
    load: float = 0.0
    memfree: int = 0
    nice: int = 0


class JobResult(NamedTuple):
    """How a job ended.

    kind: 'ok', one of FAILURES, 'stopped' (by an interrupt or --halt) or 'requeued' (killed because
        memory was short).
    code, signum: as in the job log; -1 if lwt killed the job.
    started: seconds since 1970.  runtime: seconds.  received: bytes of standard output.
    is_cut: a background process still held the output.
    """

    job: Job
    command: bytes
    kind: str
    code: int
    signum: int
    reason: str
    started: float
    runtime: float
    received: int
    attempts: int
    is_cut: bool = False


class _Trial(NamedTuple):
    """An attempt at a job.  number: from 1.  ended: the result of the previous attempt, or None."""

    job: Job
    output: object
    number: int = 1
    ended: Optional[JobResult] = None


def own_output(_job, output):
    """The Sink of a job whose output is only printed: its CommandOutput."""
    return output


class Executor:
    """One run of jobs.

    source: an inputs.Input.  ordering: an ordering.Ordering.
    environ: the environment of the commands.
    on_end: called with the JobResult of each job.
    sink_of: a function of (job, output) that returns the Sink for the process of a job.
    """

    def __init__(self, run, plan, ordering, environ, source, on_end,
                 sink_of=own_output):
        self._run = run
        self._plan = plan
        self._ordering = ordering
        ordering.on_full = self.more
        self._source = source
        self._on_end = on_end
        self._sink_of = sink_of
        self._programs = direct.Programs(environ)
        self._slots = list(range(1, plan.jobs + 1))
        self._active = 0                # jobs that run or wait in the pool
        self._again = collections.deque()       # _Trials to start again, before new jobs
        self._next = None               # a job that waits for --delay, --load or --memfree
        self._looking = None            # the timer for the next check of these
        self._last_start = None
        self._resting = 0               # jobs that wait before another attempt
        self.on_over = lambda: None     # called when no job is running or waiting
        self._age_timer = None
        self._memory_timer = None
        self._runtimes = collections.deque(maxlen=SAMPLE)
        self.running = collections.OrderedDict()        # CommandOutput -> (Job, time of its start)
        self.counts = collections.Counter()     # kind -> jobs
        # Number of jobs that were left at close(); None if unknown.
        self.not_run = 0
        self.halted = False
        self.closed = False             # no more jobs are started

    # -- starting jobs -----------------------------------------------------------------------------

    def more(self):
        """Start as many jobs as there is room for."""
        while self._has_room() and self._looking is None:
            if not self._again and self._next is None and not self.closed:
                self._next = self._source.take()
            if not self._again and self._next is None:
                break
            wait = self._gate()
            if wait:
                self._looking = self._run.loop.call_later(wait, self._look_again)
                break
            self._admit()
        is_waiting = self._active or self._resting or self._again or self._next is not None
        if not is_waiting and (self.closed or self._source.has_ended()):
            self.on_over()

    def _has_room(self):
        if self._run.pool.is_paused:
            return False
        if self._again and all(output.full for output in self.running):
            # All running jobs wait for their turn to print, and it may be the turn of this one.
            return True
        # A job that rests before another attempt may hold a block of data.
        held = self._resting if self._source.holds_data else 0
        return (self._active + held < self._plan.jobs
                and (bool(self._again) or self._ordering.backlog < MOST_WAITING))

    def _admit(self):
        if self._again:
            trial = self._again.popleft()
        else:
            trial = _Trial(self._next, self._ordering.begin(self._next.label))
            self._next = None
        self._active += 1
        self._last_start = self._run.loop.time()
        self._run.pool.add(self._attempt(trial), lambda report: self._report(trial, report))

    def close(self):
        """Start no more jobs.  For jobs that wait for another attempt, the last result counts."""
        if self.closed:
            return
        self.closed = True
        left = self._source.left()
        self.not_run = None if left is None else left + (self._next is not None)
        self._source.close()
        self._next = None
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        again, self._again = self._again, collections.deque()
        for trial in again:
            self._end(trial, _final(trial.ended))

    def _look_again(self):
        self._looking = None
        self.more()

    def _gate(self):
        """Seconds until --delay, --load and --memfree are checked again; 0 if a job may start."""
        plan = self._plan
        if plan.delay and self._last_start is not None:
            wait = self._last_start + plan.delay - self._run.loop.time()
            if wait > 0:
                return wait
        if plan.load and os.getloadavg()[0] >= plan.load:
            return LOOK_AGAIN
        if plan.memfree:
            free = free_memory()
            return LOOK_AGAIN if free is not None and free < plan.memfree else 0
        return 0

    def _watch_memory(self):
        """While jobs run, check free memory.

        If it is short, the youngest job is killed and run again later, because it has done the
        least work.
        """
        if self._plan.memfree and self._memory_timer is None:
            self._memory_timer = self._run.loop.call_later(LOOK_AGAIN, self._check_memory)

    def _check_memory(self):
        self._memory_timer = None
        free = free_memory()
        if free is not None and free < self._plan.memfree / 2 and len(self.running) > 1:
            self._run.pool.stop(next(reversed(self.running.values()))[0].number, 'memory')
        if self.running:
            self._watch_memory()

    # -- a job -------------------------------------------------------------------------------------

    def _attempt(self, trial):
        """Flow: one attempt of a job; returns a JobResult."""
        started = time.time()
        made = []
        result = yield Later(lambda: self._command(trial, made))
        if result.status == 'unspawnable' and result.command.executable is not None:
            # The file cannot be executed directly; the shell can run it or report why not.
            result = yield result.command._replace(executable=None, argv=self._shell(made[0][1]))
        slot, text, began = made[0]
        if slot <= self._plan.jobs:
            heapq.heappush(self._slots, slot)
        self.running.pop(trial.output, None)
        kind, reason = _kind(result, self._run.loop.time() - began)
        code, signum = _log_codes(result)
        events.note('%s after %.2f s' % (reason or kind, result.elapsed), 'localhost',
                    trial.job.number, trial.number)
        return JobResult(trial.job, text, kind, code, signum, reason, started, result.elapsed,
                         trial.output.received, trial.number,
                         result.incomplete)

    def _command(self, trial, made):
        """The Command of an attempt.  made: a list that gets (slot, command line, start time)."""
        # There is one slot more than jobs: see _has_room.
        slot = heapq.heappop(self._slots) if self._slots else self._plan.jobs + 1
        text = trial.job.text(slot)
        began = self._run.loop.time()
        made.append((slot, text, began))
        if trial.number > 1 or trial.ended is not None:
            trial.output.forget()
        self.running[trial.output] = trial.job, began
        self._watch_ages()
        self._watch_memory()
        number, place = b'%d' % trial.job.number, b'%d' % slot
        variables = {b'LWT_SEQ': number, b'PARALLEL_SEQ': number, b'LWT_SLOT': place,
                     b'PARALLEL_JOBSLOT': place}
        found = None if self._plan.nice else self._programs.without_shell(text)
        path, argv = found or (None, self._shell(text))
        return Command(argv, executable=path, variables=variables, timeout=self._plan.timeout,
                       grace=self._plan.grace, stdin=trial.job.data,
                       source=trial.job.source and trial.job.source(),
                       sink=self._sink_of(trial.job, trial.output), label=trial.job.number)

    def _shell(self, text):
        return ((('nice', '-n', str(self._plan.nice)) if self._plan.nice else ())
                + ('/bin/sh', '-c', '--', text))

    def _report(self, trial, report):
        self._active -= 1
        if isinstance(report, LwtError):            # cancelled before it was started
            self.counts['not run'] += 1
            self._ordering.done(trial.output)
        elif self.closed:
            self._end(trial, _final(report))
        elif report.kind == 'requeued':
            self._again.append(trial._replace(ended=report))
        elif report.kind in ('failed', 'timeout') and trial.number <= self._plan.retries:
            trial = trial._replace(number=trial.number + 1, ended=report)
            self._resting += 1
            self._run.pool.add(
                _pause(backoff(trial.number - 1)), lambda _slept: self._try_again(trial))
        else:
            self._end(trial, report)
        self.more()

    def _try_again(self, trial):
        self._resting -= 1
        if self.closed:
            self._end(trial, _final(trial.ended))
        else:
            self._again.append(trial)
        self.more()

    def _end(self, trial, ended):
        self._ordering.done(trial.output)
        self.counts[ended.kind] += 1
        if ended.kind == 'ok':
            self._runtimes.append(ended.runtime)
            self._watch_ages()
        self._on_end(ended)
        if not self.closed and self._is_over(self._plan.halt):
            self.halted = True
            self.close()
            if self._plan.halt.when == 'now':
                self._run.pool.cancel()

    def _is_over(self, halt):
        if halt.when == 'never':
            return False
        counts = {'fail': self.failed, 'success': self.counts['ok'],
                  'done': self.failed + self.counts['ok']}
        count = counts[halt.outcome]
        return count >= (halt.count * self._source.total() / 100 if halt.is_percent else halt.count)

    @property
    def failed(self):
        """The number of jobs that failed."""
        return sum(self.counts[kind] for kind in FAILURES)

    # -- run times ---------------------------------------------------------------------------------

    @property
    def median(self):
        """The median run time of successful jobs in seconds; None if there are too few."""
        return (sorted(self._runtimes)[len(self._runtimes) // 2] if len(self._runtimes) >= ENOUGH
                else None)

    def _watch_ages(self):
        """Check the ages of jobs when the oldest one reaches the limit."""
        if (self._plan.median_percent and self._age_timer is None and self.running
            and len(self._runtimes) >= ENOUGH):
            limit = self._age_limit()
            left = [limit - age for _number, age in self._run.pool.ages if age < limit]
            self._age_timer = self._run.loop.call_later(max(SHORTEST, min(left, default=limit)),
                                                        self._check_ages)

    def _age_limit(self):
        return self.median * self._plan.median_percent / 100

    def _check_ages(self):
        self._age_timer = None
        limit = self._age_limit()
        for number, age in self._run.pool.ages:
            if age >= limit:
                self._run.pool.stop(number, 'timeout')
        self._watch_ages()


def _final(ended):
    """The result of a job that will not be run again, though it was requeued."""
    return ended._replace(kind='stopped') if ended.kind == 'requeued' else ended


def _pause(seconds):
    """Flow: wait."""
    yield Sleep(seconds)


def backoff(attempt):
    """Seconds to wait after failed attempt number `attempt` (from 1): doubling, with jitter."""
    import random                       # imported here because it takes long and few commands fail
    return min(BACKOFF[1], BACKOFF[0] * 2 ** (attempt - 1)) * random.uniform(0.75, 1.25)


def _kind(result, age):
    """(kind, reason) of a Result.  age: seconds since the start."""
    if result.status == 'exited':
        return ('failed', 'exit code %d' % result.code) if result.code else ('ok', '')
    if result.status == 'signaled':
        return 'failed', 'ended by signal %d' % result.code
    if result.status == 'timeout':
        return 'timeout', 'timed out after %.3g s' % (result.command.timeout or age)
    if result.status == 'unspawnable':
        return 'failed', 'cannot be run (%s)' % result.stderr.decode('utf-8', 'replace')
    if result.status == 'unknown':
        return 'lost', 'exit status unknown'
    return (('requeued', 'made room for others') if result.status == 'memory'
            else ('stopped', 'interrupted'))


def _log_codes(result):
    """Return (exit code, signal) for the job log.

    The code is -1 if lwt killed the job or the exit status is unknown, and 126 or 127 if the
    command could not be run.
    """
    if result.status == 'exited':
        return result.code, 0
    if result.status == 'signaled':
        return 0, result.code
    if result.status == 'unspawnable':
        return 127 if result.code == errno.ENOENT else 126, 0
    if result.status == 'unknown':
        return -1, 0
    return -1, signal.SIGTERM


def free_memory():
    """Return the bytes of memory available without swapping; None if the system does not report it.
    """
    try:
        with open('/proc/meminfo', 'rb') as file:
            fields = dict(line.split(b':', 1) for line in file)
        return int(fields[b'MemAvailable'].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
