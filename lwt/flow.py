"""Flows: workflows written as generators, `result = yield Command(...)`, run with at most `fanout`
children alive.

A flow yields a Command (or a Later, which makes one when a slot is free), a Sleep, an AwaitEnd or a
Turn.  A Command takes a slot while its child lives, and the flow gets its Result.  For a Command
with `beside`, the flow gets the Child as soon as the Child has begun (or the Result if it never
begins); the flow ends the Child before it returns.  The return value of a flow is its report.
Flows never print.  A test drives a flow with flow.send(result) and needs no process.

The rules:

  depth first   Steps of started flows go before the first step of new ones.  Otherwise a thousand
                hosts would be surveyed before the first one gets its task.
  cancel        Cancelled is thrown into each flow once, at its next request.  The Commands that
                the flow yields after that are its clean-up, and they are run.  A running child is
                stopped, and its flow gets the Result with status 'cancelled'.
  no slot lost  If a child cannot be started for lack of processes, memory or descriptors, its
                request is kept and tried again.

This module does not know what a Command does.  Callbacks are used only below this module.
"""

from __future__ import generator_stop

import contextlib
import errno
import os
import signal
from collections import deque
from typing import Callable, NamedTuple

from lwt.errors import Cancelled, Interrupted, LocalError, LwtError
from lwt.guard import Guard
from lwt.proc import Child, Command, Result, unreadable
from lwt.selectors_loop import Loop

RETRY_LONGEST = 60.0            # seconds between two attempts of retry()
PROCESSORS = os.cpu_count() or 1    # maximum number of parallel children with is_local
# Errors of starting a child that may not occur in a later attempt.
TRANSIENT = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
TELL_STOPPING = 1.0             # seconds from an interrupt to the message about running children
RESPAWN_DELAY = (0.1, 5.0)      # seconds: first and longest wait for a free process or descriptor


class Sleep(NamedTuple):
    """Wait for a number of seconds without holding a slot."""

    seconds: float


class AwaitEnd(NamedTuple):
    """Wait for the end of a Child in the background without a slot; the flow gets its Result."""

    child: object


class Turn(NamedTuple):
    """Wait until a Child that runs beside the flow has answered a request.  Its sink then has
    `answered` set and calls on_answer().  The flow gets None, or the Result if the Child has ended.
    """

    child: object


class Later(NamedTuple):
    """A Command that is made when a slot is free: make() returns it."""

    make: Callable


class Gate:
    """A limit on logins in progress: at most `limit` children with this gate log in at a time.

    A child logs in from its start until it has begun (sink.started) or ended.  Waiting requests
    hold no slot and do not delay requests of other gates.
    """

    def __init__(self, limit):
        self.limit = limit
        self.inside = 0
        self.waiting = deque()

    def narrow(self):
        """Lower the limit by one, to at least 1, because sshd dropped a login."""
        self.limit = max(1, self.limit - 1)

    def admit(self):
        """Remove and return the requests that may start now.  They wait again if the gate is full
        when they get a slot.
        """
        room = max(0, self.limit - self.inside)
        return [self.waiting.popleft() for _ in range(min(room, len(self.waiting)))]


class _Started:
    """A flow that runs: its generator, the function that gets its report, and whether Cancelled was
    thrown into it.
    """

    __slots__ = ('generator', 'on_done', 'told')

    def __init__(self, generator, on_done):
        self.generator = generator
        self.on_done = on_done
        self.told = False


class Pool:
    """Runs flows on a loop, with at most `fanout` children at a time."""

    def __init__(self, loop, guard, fanout):
        self.loop = loop
        self._guard = guard
        self._fanout = fanout
        self._fresh = deque()           # first requests of flows
        self._live = deque()            # later requests
        self._local = deque()           # requests with is_local
        self._locals = 0                # number of children with is_local
        self._children = {}             # Child -> None, in order of start
        self._at_gate = {}              # Child -> its Gate, while the child logs in
        self._gates = set()             # Gates at which requests had to wait
        self._sleeping = {}             # _Started -> Timer
        self._beside = set()            # Children that run beside their flows
        # Child of _beside -> the _Started that waits for its end, or for its answer.
        self._joining = {}
        self._cancelled = False
        self._on_cancel = lambda: None
        self._on_resume = lambda: None
        self._paused = False
        self._respawn_delay = RESPAWN_DELAY[0]
        self._respawn_timer = None
        self._stopping_timer = None

    @property
    def fanout(self):
        """The maximum number of children alive that hold a slot."""
        return self._fanout

    @property
    def running(self):
        """The number of children alive that hold a slot."""
        return len(self._children) - self._locals

    @property
    def ages(self):
        """(label, seconds since its start) of each child alive, the oldest first."""
        return [(child.command.label, child.age) for child in self._children]

    def add(self, generator, on_done):
        """Run a flow; on_done(report) gets its return value, or the LwtError that ended it."""
        self.loop.call_soon(self._advance, _Started(generator, on_done), self._fresh, None)

    def cancel(self):
        """Start no new flows, stop all children, throw Cancelled into every flow.  A second call
        kills the children at once.
        """
        children = list(self._children)
        if self._cancelled:
            for child in children:
                child.kill()
            return
        self._cancelled = True
        self._on_cancel()
        for child in children:
            child.stop('cancelled')
        self.wake()
        waiting = list(self._live) + list(self._fresh) + list(self._local)
        for gate in self._gates:
            waiting += gate.waiting
            gate.waiting.clear()
        self._live.clear()
        self._fresh.clear()
        self._local.clear()
        waiting = [started for started, _request in waiting] + list(self._joining.values())
        self._joining.clear()
        for started in waiting:
            self.loop.call_soon(self._tell, started)

    def watch_stopping(self, callback):
        """Call callback(number of labels) if children still run TELL_STOPPING seconds from now."""
        if self._children:
            self._stopping_timer = self.loop.call_later(
                TELL_STOPPING,
                lambda: callback(len({child.command.label for child in self._children})))

    def wake(self):
        """End every Sleep now, because the event that the flows wait for has occurred."""
        # Clear the table at once: wake() may be called again before the flows continue.
        sleeping, self._sleeping = self._sleeping, {}
        for started, timer in sleeping.items():
            timer.cancel()
            self.loop.call_soon(self._wake, started)

    def on_cancel(self, callback):
        """Call callback() when the run is cancelled, so that its owner stops adding flows."""
        self._on_cancel = callback

    @property
    def is_paused(self):
        """Whether reading is paused because the reader of lwt's output is slow."""
        return self._paused

    def stop(self, label, cause):
        """End the child with this label; its Result's status will be cause."""
        for child in self._children:
            if child.command.label == label:
                child.stop(cause)

    def pause(self):
        """Stop reading the output of all children, because the reader of lwt's output is slow."""
        self._paused = True
        for child in self._children:
            child.pause()

    def resume(self):
        """Read the output of the children again."""
        self._paused = False
        for child in self._children:
            child.resume()
        self._on_resume()

    def on_resume(self, callback):
        """Call callback() when the reader of lwt's output has caught up."""
        self._on_resume = callback

    def _tell(self, started):
        started.told = True
        self._advance(started, self._live, Cancelled())

    def _wake(self, started):
        self._sleeping.pop(started, None)
        self._advance(started, self._live, None)

    def _advance(self, started, queue, value):
        if self._cancelled and not started.told and value is None:
            started.told, value = True, Cancelled()
        try:
            if isinstance(value, BaseException):
                request = started.generator.throw(value)
            else:
                request = started.generator.send(value)
        except StopIteration as stop:
            started.on_done(stop.value)
            return
        # Only this flow has failed; the others continue.  Any other exception is a bug.
        except LwtError as error:
            started.on_done(error)
            return
        self._accept(started, queue, request)

    def _accept(self, started, queue, request):
        if self._cancelled and not started.told:
            self.loop.call_soon(self._tell, started)
        elif isinstance(request, Sleep):
            self._sleeping[started] = self.loop.call_later(request.seconds, self._wake, started)
        elif isinstance(request, (AwaitEnd, Turn)):
            self._join(started, request.child, isinstance(request, Turn))
        elif isinstance(request, (Command, Later)):
            (self._local if isinstance(request, Command) and request.is_local
             else queue).append((started, request))
            self._pump()
        else:
            raise TypeError('a flow yielded %r (is a "yield from" missing?)' % (request,))

    def _join(self, started, child, for_answer):
        """Let a flow wait for the end of a child beside it.  for_answer: or for its answer, if that
        comes first.
        """
        if child.result is not None:
            self.loop.call_soon(self._advance, started, self._live, child.result)
            return
        self._joining[child] = started
        if for_answer:
            child.command.sink.on_answer = lambda: self.loop.call_soon(self._answered, child)
            if child.command.sink.answered:
                child.command.sink.on_answer()

    def _pump(self):
        while self._local and self._locals < PROCESSORS and self._respawn_timer is None:
            started, command = self._local.popleft()
            if not self._spawn(started, command):
                self._local.appendleft((started, command))
        while ((self._live or self._fresh) and self.running < self._fanout
               and self._respawn_timer is None):
            queue = self._live or self._fresh
            started, command = queue.popleft()
            if isinstance(command, Later):
                command = command.make()
            gate = command.gate
            if gate is not None and gate.inside >= gate.limit:
                self._gates.add(gate)
                gate.waiting.append((started, command))
            elif not self._spawn(started, command):
                queue.appendleft((started, command))

    def _spawn(self, started, command):
        """Start a child; returns False if the machine cannot start one now and a retry is due."""
        child = Child(self.loop, self._guard,
                      command, lambda result: self._reaped(child, started, result),
                      (lambda: self._begun(child, started, command))
                      if command.gate or command.beside else None)
        try:
            child.start()
        except OSError as error:
            # lwt's own descriptors (EMFILE) become free only when a child of lwt ends, so without
            # children a retry is useless.
            if error.errno in TRANSIENT and (self._children or error.errno != errno.EMFILE):
                self._respawn_timer = self.loop.call_later(self._respawn_delay, self._respawn)
                self._respawn_delay = min(2 * self._respawn_delay, RESPAWN_DELAY[1])
                return False
            # Not at once: the generator may be running, and must not be entered again.
            self.loop.call_soon(self._advance, started, self._live, unspawnable(command, error))
            if command.gate is not None:
                self._live.extend(command.gate.admit())
            return True
        self._respawn_delay = RESPAWN_DELAY[0]
        self._children[child] = None
        self._locals += child.command.is_local
        if command.gate is not None:
            command.gate.inside += 1
            self._at_gate[child] = command.gate
        if self._paused:
            child.pause()
        tied = command.tied
        if tied is not None and tied.result is not None and not tied.result.ok:
            child.stop('over')
        return True

    def _respawn(self):
        self._respawn_timer = None
        self._pump()

    def _begun(self, child, started, command):
        """A child has begun: its login is over, and its flow continues if it has `beside`."""
        self._pass_gate(child)
        if command.beside == 'background':
            del self._children[child]
        if command.beside:
            self._beside.add(child)
            self._advance(started, self._live, child)
        self._pump()

    def _answered(self, child):
        started = self._joining.pop(child, None)
        if started is not None:         # else the flow got the child's Result or Cancelled
            self._advance(started, self._live, None)

    def _reaped(self, child, started, result):
        self._pass_gate(child)
        if child in self._children:
            del self._children[child]
            self._locals -= child.command.is_local
        if self._stopping_timer is not None and not self._children:
            self._stopping_timer.cancel()
        if child in self._beside:                       # its flow has already continued
            self._beside.discard(child)
            self._end_beside(child, result)
        else:
            # Before _pump(): the next step of this flow may then start first.
            self._advance(started, self._live, result)
        self._pump()

    def _end_beside(self, child, result):
        for other in list(self._children):
            if other.command.tied is child and not result.ok:
                other.stop('over')
        started = self._joining.pop(child, None)
        if started is not None:
            self._advance(started, self._live, result)

    def _pass_gate(self, child):
        gate = self._at_gate.pop(child, None)
        if gate is not None:
            gate.inside -= 1
            self._live.extend(gate.admit())


class Run:
    """A loop, a guard and a pool, and their reactions to signals.  Use as a context manager; run()
    raises Interrupted after a signal.
    """

    def __init__(self, fanout, grace, adopt=False):
        self.loop = Loop()
        self._adopt = adopt
        self._guard = Guard(self.loop, grace)
        self.pool = Pool(self.loop, self._guard, fanout)
        self._at_exit = []
        self._on_quit = lambda: None
        self._on_stopping = lambda count: None
        self._signum = 0

    def __enter__(self):
        self.loop.__enter__()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            self.loop.on_signal(signum, self.interrupt)
        if self._adopt:
            self._guard.adopt_orphans()
        return self

    def __exit__(self, *exc):
        # After a bug, children may still run; the guard has them on its list and ends them.
        self._guard.close()
        self.loop.__exit__(*exc)
        for callback in self._at_exit:
            callback()

    def at_exit(self, callback):
        """Call callback() at the end of the `with`."""
        self._at_exit.append(callback)

    def on_quit(self, callback):
        """Call callback() before QUIT kills all children, so that it can report what runs."""
        self._on_quit = callback

    def on_stopping(self, callback):
        """Call callback(number of labels) if children still run a while after the first INT."""
        self._on_stopping = callback

    def interrupt(self, signum):
        """Stop the run: with grace for INT, TERM and HUP; at once for a second signal or QUIT."""
        is_first = not self._signum
        self._signum = self._signum or signum
        if signum == signal.SIGQUIT:
            self._on_quit()
        self.pool.cancel()
        if is_first and signum == signal.SIGINT:
            self.pool.watch_stopping(self._on_stopping)
        if signum == signal.SIGQUIT:
            self.pool.cancel()

    def run(self):
        """Run until every flow is done.  Raises Interrupted after a signal."""
        self.loop.run()
        if self._signum:
            raise Interrupted(self._signum)

    def reports(self, generators):
        """Run flows to their end; returns their reports in the order in which the flows ended.

        Raises the first LwtError that ended one of them, after all are done.
        """
        reports = []
        for generator in generators:
            self.pool.add(generator, reports.append)
        self.run()
        for report in reports:
            if isinstance(report, LwtError):
                raise report
        return reports

    def report(self, generator):
        """Run one flow to its end; returns its report or raises the LwtError that ended it."""
        return self.reports([generator])[0]


@contextlib.contextmanager
def running(fanout, grace, adopt=False):
    """A Run that ends with the `with`.  adopt: become a subreaper, to find escaped processes."""
    with Run(fanout, grace, adopt) as run:
        yield run


def unspawnable(command, error):
    """The Result of a Command that could not be spawned."""
    if command.stdin_path and error.filename == command.stdin_path:
        return unreadable(command, error)
    is_cwd = command.cwd is not None and error.filename == command.cwd
    text = '%s: %s' % (command.cwd if is_cwd else os.fsdecode(command.argv[0]), error.strerror)
    return Result(command, 'unspawnable', error.errno or 0, stderr=os.fsencode(text))


def check_input(result):
    """Raise LocalError if the input of a Command could not be read."""
    if result.status == 'unreadable':
        raise LocalError(os.fsdecode(result.stderr))


def must(command):
    """Flow: run command, return its Result; raise LwtError unless it exited with 0."""
    result = yield command
    if not result.ok:
        raise LwtError('%s: %s %d' % (command.label or command.argv[0], result.status, result.code))
    return result


def retry(make, is_worth_it, attempts=3, delay=1.0):
    """Flow: run the flow make() until is_worth_it(report) is false, at most `attempts` times.

    delay: seconds before the second attempt; doubled for each further one, and varied by up to a
    quarter, so that not all flows retry at the same time.  Returns the last report.
    """
    for attempt in range(attempts):
        report = yield from make()
        if attempt + 1 == attempts or not is_worth_it(report):
            return report
        import random                   # here, because it is slow to import and rarely needed
        yield Sleep(min(RETRY_LONGEST, delay * 2 ** attempt) * random.uniform(0.75, 1.25))
    raise ValueError('attempts must be 1 or more')

