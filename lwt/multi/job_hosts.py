"""The hosts on which `lwt multi` runs jobs: their logins, their slots and their workers.

Each host has one login, which its workers share; each busy slot has a worker (remote/worker.py).

    closed    not logged in; a login is being made, or waits until the host has rested
    open      jobs may start
    out       it gets no more jobs, because it kept failing

A host that fails gets no jobs for a while and is then tried again.  After TRIES failures in a row
it is out.  A failure that cannot go away by itself (a refused login, an unknown name) counts as
TRIES.  A host that answers, but cannot store the files of TRIES jobs in a row, is out too.
"""

from __future__ import generator_stop

import contextlib
import os
from typing import Callable, NamedTuple

from lwt.errors import Cancelled, HostError, LocalError, LwtError, os_error_text
from lwt.flow import Sleep
from lwt.multi import job_files
from lwt.multi.job import Ended, job_variables
from lwt.remote import call, login
from lwt.remote.exit_status import TIMED_OUT, UNREACHABLE, Verdict
from lwt.remote.scripts import shell_quote
from lwt.remote.worker import Worker, WorkerRequest
from lwt.selectors_loop import Sink

TRIES = 3                       # failures in a row after which a host is out
REST = (1.0, 4.0, 16.0)         # seconds before a host is tried again, by its failures in a row
LASTING = ('auth', 'hostkey', 'dns')    # kinds of failures that do not go away by themselves
UNKNOWN = 'unreachable (name not known)'        # the reason for a host whose name is wrong
WAIT_FOR_FILE = 0.05            # seconds between two checks whether a file has been sent


class HostOptions(NamedTuple):
    """How jobs run on hosts.

    files: a job_files.FileOptions.
    slots_for: a function of (number of processors) that returns the number of slots of a host.
    variables: {name: value} for all jobs, as bytes.
    nice: niceness of jobs.  timeout: seconds; 0: no limit.
    """

    files: job_files.FileOptions
    slots_for: Callable
    variables: dict
    nice: int = 0
    timeout: float = 0.0


class _Collected(Sink):
    """Keeps what an answer contains, up to a limit."""

    def __init__(self):
        self._collector = call.Collector()

    def feed(self, stream, data):
        return self._collector(stream, data)

    @property
    def stdout(self):
        """What came on standard output."""
        return bytes(self._collector.stdout)


class JobHost:
    """One host.

    name: as in the job log.  slots: number of jobs that may run on it at a time, 0 while unknown.
    active: number of jobs on it.  state: 'closed', 'open' or 'out'.  is_here: it is this machine.
    """

    def __init__(self, loop, session, ssh_login, options):
        self._loop = loop
        self._session = session.at(ssh_login.host)
        self._shared = None             # the Session of all workers
        self._options = options
        self._files = options.files
        self._fixed_slots = ssh_login.slots
        self._home = os.fsencode(ssh_login.host.home)
        self._logins = contextlib.ExitStack()
        self._keeper = None             # the worker that owns the files of several jobs
        self._idle = []                 # workers without a job
        self._busy = {}                 # number of a job -> its worker
        self._sent = set()              # (directory, path) of the files of several jobs
        self._in_use = set()            # (directory, path) of what running jobs will remove
        self._is_sending = False        # whether the keeper is sending one of them
        self.host = ssh_login.host
        self.name = ssh_login.host.name
        self.is_here = ssh_login.host.is_local
        self.slots = 0
        self.active = 0
        self.state = 'closed'
        self.failures = 0               # in a row
        self.is_unknown = False         # its name is wrong
        self.refused = set()            # numbers of jobs that it refused, since the last success

    @property
    def has_room(self):
        """Whether a job may start on it now."""
        return self.state == 'open' and self.active < self.slots

    # -- logging in --------------------------------------------------------------------------------

    def opening(self):
        """Flow: log in, ask for the number of processors, send the base files; returns a Verdict.
        """
        if self.is_here:
            self.slots = self._fixed_slots or self._options.slots_for(processors())
            return Verdict('ok', 0)
        yield from self.closing()
        try:
            held = yield from login.connected(self._session, self.host)
        except HostError as error:
            return error.verdict
        # Only the login says how healthy the host is.
        self._shared = self._logins.enter_context(held)._replace(heard=None)
        first = self._new_worker()
        output = _Collected()
        verdict = yield from first.ask(WorkerRequest('look'), output)
        if not verdict.ok:
            return verdict
        text = output.stdout.strip()
        self.slots = self._fixed_slots or self._options.slots_for(
            int(text) if text.isdigit() and len(text) < 6 else 1)
        if self._files.is_shared or self._files.base:
            self._keeper = first
        if self._files.base:
            return (yield from self._send(self._files.base, self._base_directory()))
        if self._keeper is None:
            self._idle.append(first)
        return verdict

    def closing(self):
        """Flow: let all workers end, and log out."""
        workers = self._idle + [self._keeper] * (self._keeper is not None)
        self._idle, self._keeper, self._sent = [], None, set()
        for worker in workers:
            worker.hang_up()
        for worker in workers:
            yield from worker.ending()
        self.log_out()

    def log_out(self):
        """End the shared connection at once."""
        self._logins.close()

    def failed(self, verdict):
        """Note a failure of the host."""
        self.is_unknown = verdict.reason == UNKNOWN and not self.slots     # never seen
        self.failures = TRIES if verdict.kind in LASTING else self.failures + 1
        self.state = 'out' if self.failures >= TRIES else 'closed'

    def _new_worker(self):
        return Worker(self._loop, self._shared, self.host)

    # -- files of several jobs ---------------------------------------------------------------------

    def _base_directory(self):
        workdir = self._files.workdir
        return self._home if workdir is None else workdir.fill((), 0, 0, os.fsencode(self.name))

    def _send(self, places, directory):
        """Flow: send files that stay until the end of the run; returns a Verdict."""
        cargo = job_files.Shipment(places)
        request = WorkerRequest('take', directory, cargo.stream, cargo.size, cargo.names,
                                cargo.names if self._files.is_cleaned else ())
        verdict = yield from self._keeper.ask(request, _Collected())
        if cargo.problem:
            return Verdict('failed', 1, cargo.problem, 'no')
        return verdict

    def _send_shared(self, plan):
        """Flow: send the files of a job that have not been sent yet; returns a Verdict."""
        verdict = Verdict('ok', 0)
        for one in plan.sent:
            path = plan.directory, one.remote
            while self._is_sending and path not in self._sent:
                yield Sleep(WAIT_FOR_FILE)
            if path in self._sent:
                continue
            self._is_sending = True
            try:
                verdict = yield from self._send((one,), plan.directory)
            finally:
                self._is_sending = False
            if not verdict.ok:
                break
            self._sent.add(path)
        return verdict

    # -- jobs --------------------------------------------------------------------------------------

    def directory_here(self, job, slot):
        """The working directory of a job on this machine; None for the current one."""
        return job_files.directory_here(self._files, job, slot)

    def running(self, job, slot, text, output):
        """Flow: run a job; returns a job.Ended."""
        try:
            plan = job_files.plan(self._files, job, slot, self.name, self._home)
            cargo = job_files.Shipment(() if self._files.is_shared else plan.sent)
        except LwtError as error:
            return Ended('failed', error.message, 1)
        if self._files.is_shared:
            verdict = yield from self._send_shared(plan)
            if not verdict.ok:
                return _ended(verdict)
        worker = self._idle.pop() if self._idle else self._new_worker()
        self._busy[job.number] = worker
        claimed = ()
        if self._files.is_cleaned and not self._files.is_shared:
            claimed = [(plan.directory, one.remote) for one in plan.sent]
        while self._in_use.intersection(claimed):   # another job would remove our files
            yield Sleep(WAIT_FOR_FILE)
        self._in_use.update(claimed)
        try:
            ended = yield from self._run(worker, plan, cargo, self._request(job, slot, text, plan),
                                         output)
        finally:
            self._in_use.difference_update(claimed)
            del self._busy[job.number]
        self._idle.append(worker)
        return ended

    def stop_late(self, number):
        """End a job, because it took too long."""
        if number in self._busy:
            self._busy[number].stop_late()

    def _request(self, job, slot, text, plan):
        """The WorkerRequest for a job, without its files."""
        name = os.fsencode(self.name)
        variables = dict(self._options.variables)
        variables.update(job_variables(job.number, slot, name))
        variables[b'LWT_HOST'] = name
        if self._options.nice:
            text = b'exec nice -n %d /bin/sh -c -- %s' % (self._options.nice, shell_quote(text))
        garbage = ()
        if self._files.is_cleaned:
            garbage = tuple(one.remote for one in plan.fetched)
            if not self._files.is_shared:
                garbage = tuple(one.remote for one in plan.sent) + garbage
            if plan.is_own_directory:
                garbage = (b'../' + plan.directory.rpartition(b'/')[2],)
        return WorkerRequest('run', plan.directory, garbage=garbage, command=text,
                             timeout=self._options.timeout, variables=variables, input=job.data)

    def _run(self, worker, plan, cargo, request, output):
        """Flow: run a job with its files; returns a job.Ended."""
        request = request._replace(stream=cargo.stream, size=cargo.size, names=cargo.names)
        verdict = yield from worker.ask(request, output)
        if cargo.problem:
            return Ended('failed', cargo.problem, 1)
        ended = _ended(verdict)._replace(sent=cargo.content)
        if ended.kind in ('ok', 'failed') and verdict.ran == 'yes':
            if plan.fetched:
                ended = yield from self._fetch(worker, plan, ended)
            elif request.garbage:
                yield from worker.ask(WorkerRequest('clean'), _Collected())
        return ended

    def _fetch(self, worker, plan, ended):
        """Flow: fetch the files of a job, after which the host removes its files; returns its
        Ended.

        A missing file is a failure, unless the job has failed already.
        """
        arrival, size = None, 0
        try:
            arrival = job_files.Arrival(plan.fetched)
            request = WorkerRequest('send', plan.directory, names=tuple(
                one.remote for one in plan.fetched))
            verdict = yield from worker.ask(request, arrival)
            problem = arrival.problem or arrival.missing()
            if not problem and verdict.ok:
                problem, size = yield from arrival.accept()
            elif not problem:
                problem = 'files not returned: %s' % (arrival.complaint or verdict.reason)
        except OSError as error:        # of this machine
            problem = os_error_text(error.filename or '.', error)
        except LocalError as error:
            problem = error.message
        finally:
            if arrival is not None:
                arrival.discard()
        ended = ended._replace(received=size)
        if problem and ended.kind == 'ok':
            return ended._replace(kind='failed', reason=problem, code=1)
        return ended


class JobHosts:
    """All hosts of a run.  It chooses the host of each job, and logs in to hosts in time.

    run: a flow.Run.  hosts: JobHosts in the order of the user.
    on_change: called when jobs may start, or when the last host is out.
    tell(text): prints a message.
    """

    def __init__(self, run, hosts, tell):
        self._run = run
        self._hosts = hosts
        self._tell = tell
        self._timers = set()
        self._room = run.pool.fanout    # children that further hosts may have
        self._is_closed = False
        self.on_change = lambda: None

    def start(self):
        """Log in to all hosts."""
        for host in self._hosts:
            self._open(host)

    def has_room_for(self, refused):
        """Whether a job may start now.  refused: the hosts that could not take it."""
        return any(host.has_room for host in self.others(refused) or self._hosts)

    def others(self, refused):
        """Return the hosts on which a job may start, now or later, without these hosts."""
        return [host for host in self._hosts if host.state != 'out' and host not in refused]

    @property
    def slots(self):
        """The number of slots of all hosts that take jobs now."""
        return sum(host.slots for host in self._hosts if host.state == 'open')

    @property
    def are_open(self):
        """Whether any host takes jobs now."""
        return any(host.state == 'open' for host in self._hosts)

    @property
    def are_out(self):
        """Whether no job can ever start."""
        return all(host.state == 'out' for host in self._hosts)

    @property
    def unknown(self):
        """The names of all hosts if all are wrong, else none."""
        is_all = all(host.is_unknown for host in self._hosts)
        return [host.name for host in self._hosts] if is_all else []

    def take(self, avoided=None, refused=frozenset()):
        """Return the host for a job: the one with the smallest share of busy slots.

        avoided: a host that is only chosen if no other has room, or None.  refused: hosts that are
        only chosen if there is no other.  If no host has room, the job exceeds the slots of one
        (see Executor._has_room).
        """
        others = [host for host in self.others(refused) if host.state == 'open']
        chosen = min(others or [host for host in self._hosts if host.state == 'open'],
                     key=lambda host: (not host.has_room, host is avoided,
                                       host.active / host.slots))
        chosen.active += 1
        return chosen

    def give(self, host, report):
        """Note that a job on a host has ended.  report: a JobResult, or an LwtError."""
        host.active -= 1
        kind = getattr(report, 'kind', 'stopped')
        if kind in ('ok', 'failed', 'timeout'):
            host.failures = 0
            host.refused.clear()
        elif kind == 'refused':
            host.refused.add(report.job.number)
            if len(host.refused) >= TRIES and host.state != 'out':
                self._give_up(host, report.reason)
        elif kind in ('not run', 'lost') and host.state == 'open' and not host.is_here:
            self._failed(host, Verdict('lost', UNREACHABLE, report.reason))
        if host.state == 'closed' and not host.active and not self._is_closed:
            self._rest(host)

    def stop_late(self, number):
        """End a job, because it took too long."""
        for host in self._hosts:
            host.stop_late(number)

    def close(self):
        """The run is over: let the workers remove their files and end, and log out."""
        if self._is_closed:
            return
        self._is_closed = True
        for timer in self._timers:
            timer.cancel()
        for host in self._hosts:
            self._close(host)

    def log_out(self):
        """End all shared connections at once."""
        for host in self._hosts:
            host.log_out()

    def _close(self, host):
        self._run.pool.add(host.closing(), lambda _report: host.log_out())

    def _open(self, host):
        self._run.pool.add(host.opening(), lambda report: self._opened(host, report))

    def _opened(self, host, report):
        if self._is_closed or isinstance(report, Cancelled):
            self._close(host)
            return
        if isinstance(report, LwtError):
            report = Verdict('failed', 1, report.message, 'no')
        if report.ok:
            host.state = 'open'
            # Each worker is a child of lwt, and the login and the keeper of a host are two more.
            host.slots = min(host.slots, max(1, self._room - 2))
            self._room -= host.slots + 2
        else:
            self._failed(host, report)
            if host.state == 'closed':
                self._rest(host)
        self.on_change()

    def _failed(self, host, verdict):
        """Note a failure of a host, and report it if the host is out."""
        self._room += host.slots + 2 if host.state == 'open' else 0
        host.failed(verdict)
        if host.state == 'out':
            self._give_up(host, verdict.reason)

    def _give_up(self, host, reason):
        host.state = 'out'
        if not self.unknown:
            self._tell('%s: %s; it gets no more jobs' % (host.name, reason))
        self._run.loop.call_soon(self.on_change)

    def _rest(self, host):
        """Log in to a host again after a while."""
        def again():
            self._timers.discard(timer)
            self._open(host)
        timer = self._run.loop.call_later(REST[max(1, host.failures) - 1], again)
        self._timers.add(timer)


def _ended(verdict):
    """The job.Ended for a Verdict."""
    if verdict.ok:
        return Ended('ok')
    if verdict.kind == 'killed':
        return Ended('stopped', verdict.reason, -1)
    if verdict.ran == 'no':
        kind = 'refused' if verdict.kind == 'failed' else 'not run'
        return Ended(kind, verdict.reason, verdict.code)
    if verdict.kind == 'timeout' and verdict.code == TIMED_OUT:
        return Ended('timeout', verdict.reason, -1)
    if verdict.kind == 'failed':
        return Ended('failed', verdict.reason, verdict.code)
    return Ended('lost', verdict.reason, verdict.code)


def processors():
    """Return the number of processors of this machine that lwt may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
