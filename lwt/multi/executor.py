"""The executor: runs jobs from an endless input, a limited number at a time, on this machine or on
hosts (see job_hosts).

A job is started when a slot is free, the reader of the output keeps up, and --delay, --load and
--memfree allow it.  The output of a job goes to a CommandOutput (output/ordering.py), its result to
the records: job log, results, counts.

The executor knows nothing of options or templates: a job has a function that returns its command.
"""

from __future__ import generator_stop

import collections
import heapq
import os
import time
from typing import NamedTuple, Optional

from lwt.errors import Cancelled, LwtError
from lwt.flow import Later, Sleep
from lwt.multi import no_shell
from lwt.multi.job import FAILURES, Job, JobResult, job_variables, kind_of, log_codes
from lwt.proc import Command
from lwt.remote import events

BACKOFF = (0.5, 30.0)           # seconds: before the first retry, and the longest wait
LOOK_AGAIN = 1.0                # seconds between two checks of load and free memory
SAMPLE = 1001                   # maximum number of run times of successful jobs for the median
SHORTEST = 0.01                 # seconds between two checks of the ages of jobs
# Finished jobs whose output waits for its turn; if there are more, no new job is started.
MOST_WAITING = 4096
ENOUGH = 3                      # successful jobs that the median needs
MOST_MOVES = 10                 # how often hosts may fail to start a job before it has failed


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


class _Trial(NamedTuple):
    """An attempt at a job.

    number: from 1.  ended: the result of the previous attempt, or None.
    host: the job_hosts.JobHost for it, or that of the previous attempt; None without hosts.
    moves: how often a host could not start it.  refused: the hosts that could not take it.
    """

    job: Job
    output: object
    number: int = 1
    ended: Optional[JobResult] = None
    host: object = None
    moves: int = 0
    refused: frozenset = frozenset()


def own_output(_job, output):
    """The Sink of a job whose output is only printed: its CommandOutput."""
    return output


class Executor:
    """One run of jobs.

    source: an inputs.Input.  ordering: an ordering.Ordering.
    environ: the environment of the commands.
    on_end: called with the JobResult of each job.
    sink_of: a function of (job, output) that returns the Sink for the process of a job.
    hosts: a job_hosts.JobHosts, or None to run all jobs on this machine.
    """

    def __init__(self, run, plan, ordering, environ, source, on_end,
                 sink_of=own_output, hosts=None):
        self._run = run
        self._plan = plan
        self._ordering = ordering
        ordering.on_full = self.more
        self._source = source
        self._on_end = on_end
        self._sink_of = sink_of
        self._programs = no_shell.Programs(environ)
        self._hosts = hosts
        self._slots = []                # numbers of free slots, as a heap
        self._highest_slot = 0
        self._active = 0                # jobs that run or wait in the pool
        self._again = collections.deque()       # _Trials to start again, before new jobs
        self._next = None               # a job that waits for --delay, --load or --memfree
        self._looking = None            # the timer for the next check of these
        self._last_start = None
        self._resting = 0               # jobs that wait before another attempt
        self.on_over = lambda: None     # called when no job is running or waiting
        self.on_lost = lambda result: None      # called before a job of unknown fate is run again
        self._age_timer = None
        self._memory_timer = None
        self._runtimes = collections.deque(maxlen=SAMPLE)
        self.running = collections.OrderedDict()        # CommandOutput -> (Job, time of its start)
        self.counts = collections.Counter()     # kind -> jobs
        # Number of jobs that were left at close(); None if unknown.
        self.not_run = 0
        self.halted = False
        self.lost_hosts = False         # no host can run the rest
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
        if (self._again and self.running and all(output.full for output in self.running)
            and (self._hosts is None or self._hosts.are_open)):
            # All running jobs wait for their turn to print, and it may be the turn of this one.
            return True
        return self._has_slot() and (bool(self._again) or self._ordering.backlog < MOST_WAITING)

    def _has_slot(self):
        # A job that rests before another attempt may hold a block of data.
        held = self._resting if self._source.holds_data else 0
        if self._hosts is None:
            return self._active + held < self._plan.jobs
        refused = self._again[0].refused if self._again else frozenset()
        return (self._hosts.has_room_for(refused)
                and (not held or self._active + held < self._hosts.slots))

    def _admit(self):
        if self._again:
            trial = self._again.popleft()
        else:
            trial = _Trial(self._next, self._ordering.begin(self._next.label))
            self._next = None
        if self._hosts is not None:
            trial = trial._replace(host=self._hosts.take(trial.host, trial.refused))
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
            self._give_up(trial)

    def _give_up(self, trial):
        """End a trial that will not be started: the result of the last attempt counts."""
        if trial.ended is not None:
            self._end(trial, _final(trial.ended))
        else:
            self.counts['not run'] += 1
            self._ordering.done(trial.output)

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
        if trial.host is not None and not trial.host.is_here:
            return (yield from self._attempt_on_host(trial))
        started = time.time()
        made = []
        result = yield Later(lambda: self._command(trial, made))
        if result.status == 'unspawnable' and result.command.executable is not None:
            # The file cannot be executed directly; the shell can run it or report why not.
            result = yield result.command._replace(executable=None, argv=self._shell(made[0][1]))
        slot, text, began = made[0]
        heapq.heappush(self._slots, slot)
        self.running.pop(trial.output, None)
        kind, reason = kind_of(result, self._run.loop.time() - began)
        code, signum = log_codes(result)
        events.note('%s after %.2f s' % (reason or kind, result.elapsed), 'localhost',
                    trial.job.number, trial.number)
        return JobResult(trial.job, text, kind, code, signum, reason, started, result.elapsed,
                         trial.output.received, trial.number,
                         result.incomplete)

    def _command(self, trial, made):
        """The Command of an attempt.  made: a list that gets (slot, command line, start time)."""
        slot, text = self._begin(trial)
        made.append((slot, text, self._run.loop.time()))
        self._watch_memory()
        variables = job_variables(trial.job.number, slot)
        found = None if self._plan.nice else self._programs.without_shell(text)
        path, argv = found or (None, self._shell(text))
        directory = None if trial.host is None else trial.host.directory_here(trial.job, slot)
        return Command(argv, executable=path, cwd=directory, variables=variables,
                       timeout=self._plan.timeout, grace=self._plan.grace, stdin=trial.job.data,
                       source=trial.job.source and trial.job.source(),
                       sink=self._sink_of(trial.job, trial.output), label=trial.job.number)

    def _begin(self, trial):
        """Note that a job begins; returns (slot, command line)."""
        if not self._slots:
            self._highest_slot += 1
            self._slots.append(self._highest_slot)
        slot = heapq.heappop(self._slots)
        if trial.number > 1 or trial.ended is not None or trial.moves:
            trial.output.forget()
        self.running[trial.output] = trial.job, self._run.loop.time()
        self._watch_ages()
        return slot, trial.job.text(slot)

    def _attempt_on_host(self, trial):
        """Flow: one attempt of a job on a host; returns a JobResult."""
        started, began = time.time(), self._run.loop.time()
        slot, text = self._begin(trial)
        try:
            ended = yield from trial.host.running(
                trial.job, slot, text, self._sink_of(trial.job, trial.output))
        finally:
            heapq.heappush(self._slots, slot)
            self.running.pop(trial.output, None)
        runtime = self._run.loop.time() - began
        if ended.kind == 'timeout':
            limit = self._plan.timeout or runtime
            ended = ended._replace(reason='timed out after %.3g s' % limit)
        events.note('%s after %.2f s' % (ended.reason or ended.kind, runtime), trial.host.name,
                    trial.job.number, trial.number)
        return JobResult(trial.job, text, ended.kind, ended.code, 0, ended.reason, started, runtime,
                         trial.output.received + ended.received, trial.number,
                         host=trial.host.name, sent=ended.sent)

    def _shell(self, text):
        return ((('nice', '-n', str(self._plan.nice)) if self._plan.nice else ())
                + ('/bin/sh', '-c', '--', text))

    def _report(self, trial, report):
        self._active -= 1
        if self._hosts is not None:
            self._hosts.give(trial.host, report)
        if isinstance(report, Cancelled):           # before it was started
            self.counts['not run'] += 1
            self._ordering.done(trial.output)
        elif isinstance(report, LwtError):          # of this machine
            raise report
        elif report.kind in ('not run', 'refused'):
            self._move(trial, report)
        elif self.closed:
            self._end(trial, _final(report))
        elif report.kind == 'requeued':
            self._again.append(trial._replace(ended=report))
        elif self._is_worth_retrying(report) and trial.number <= self._plan.retries:
            if report.kind == 'lost':
                self.on_lost(report)
            trial = trial._replace(number=trial.number + 1, ended=report)
            self._resting += 1
            self._run.pool.add(
                _pause(backoff(trial.number - 1)), lambda _slept: self._try_again(trial))
        else:
            self._end(trial, report)
        self.more()

    def _is_worth_retrying(self, report):
        # On this machine, a lost job is one whose exit status another program has taken.
        return report.kind in ('failed', 'timeout') or report.kind == 'lost' and self._hosts

    def _move(self, trial, report):
        """Start a job elsewhere, because its host could not start it."""
        refused = trial.refused
        if report.kind == 'refused':
            refused = refused.union((trial.host,))
        trial = trial._replace(moves=trial.moves + 1, refused=refused)
        is_hopeless = report.kind == 'refused' and not self._hosts.others(refused)
        if self.closed:
            self._give_up(trial)
        elif is_hopeless or trial.moves >= MOST_MOVES:
            self._end(trial, report._replace(kind='failed'))
        else:
            self._again.append(trial)

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
            left = [limit - age for _number, age in self._ages() if age < limit]
            self._age_timer = self._run.loop.call_later(max(SHORTEST, min(left, default=limit)),
                                                        self._check_ages)

    def _age_limit(self):
        return self.median * self._plan.median_percent / 100

    def _ages(self):
        """Return (number of the job, seconds since its start) of all running jobs."""
        if self._hosts is None:
            return self._run.pool.ages  # without the time in which they were paused
        now = self._run.loop.time()
        return [(job.number, now - began) for job, began in self.running.values()]

    def _stop_late(self, number):
        self._run.pool.stop(number, 'timeout')
        if self._hosts is not None:
            self._hosts.stop_late(number)

    def _check_ages(self):
        self._age_timer = None
        limit = self._age_limit()
        for number, age in self._ages():
            if age >= limit:
                self._stop_late(number)
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


def free_memory():
    """Return the bytes of memory available without swapping; None if the system does not report it.
    """
    try:
        with open('/proc/meminfo', 'rb') as file:
            fields = dict(line.split(b':', 1) for line in file)
        return int(fields[b'MemAvailable'].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
