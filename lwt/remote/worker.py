"""A worker: one session on a host in which sh/worker.sh runs job after job.

It differs from a channel in three ways: each job runs under the guard, so the lifeline gets
heartbeats as long as the worker exists; the output of jobs may wait for its reader; and a request
may carry a stream of any size.
"""

from __future__ import generator_stop

import itertools
import math
from typing import Callable, NamedTuple

from lwt.errors import Cancelled
from lwt.flow import AwaitEnd, Turn
from lwt.proc import Result
from lwt.remote import exit_status, scripts
from lwt.remote.call import is_shared, logging_in
from lwt.remote.channel import RequestLine


class WorkerRequest(NamedTuple):
    """What a worker does.  See sh/worker.sh for the meaning of the fields.

    stream: a function that returns an iterator over the bytes of the tar stream; size: their
    number.  names, garbage: paths.  timeout: seconds, 0: no limit.  variables: {name: value}.
    input: the standard input of the command.
    """

    action: str
    directory: bytes = b'~'
    stream: Callable = tuple
    size: int = 0
    names: tuple = ()
    garbage: tuple = ()
    timeout: float = 0.0
    command: bytes = b''
    variables: dict = {}
    input: bytes = b''

    def line(self, frame):
        """The line of the request, bytes.  frame: the scripts.Framed that reads the answer."""
        assignments = b' '.join(b'lwt_v_' + name + b'=' + scripts.shell_quote(value)
                                for name, value in self.variables.items())
        # The host waits longer than the master, because the master can report why.
        timeout = math.ceil(self.timeout) + 1 if self.timeout else 0
        words = (frame.nonce, frame.mark, self.action, self.directory, b'%d' % self.size,
                 _list(self.names), _list(self.garbage), b'%d' % timeout, self.command, assignments,
                 b' '.join(self.variables), b'%d' % len(self.input))
        line = b' '.join(map(scripts.shell_quote, words))
        return line.replace(b'\n', b'\'"$newline"\'') + b' .\n'


def _list(words):
    return b' '.join(map(scripts.shell_quote, words))


class _WorkerLine(RequestLine):
    """The local end of a worker.

    It sends a heartbeat every `interval` seconds, between requests and while a job runs, but never
    within a request.
    """

    def __init__(self, loop, interval):
        super().__init__()
        self._loop = loop
        self._interval = interval
        self._chunks = iter(())
        self._is_beat_due = False
        self._timer = None
        self._output = None             # the Sink of the current answer

    def ask(self, frame, chunks, output):
        """Send a request.  chunks: an iterator of bytes.  output: the Sink of the answer."""
        self._frame = frame
        self._output = output
        self._chunks = chunks
        self.wake()

    @property
    def full(self):
        return self._output.full

    @property
    def room(self):
        return self._output.room

    @room.setter
    def room(self, callback):
        self._output.room = callback

    def read(self, _size):
        """The bytes to send now; None if there are none."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval, self._beat)
        chunk = next(self._chunks, b'')
        if chunk:
            return chunk
        is_due, self._is_beat_due = self._is_beat_due, False
        return b'\n' if is_due else None

    def close(self):
        """The input of the worker is closed."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self):
        self._is_beat_due = True
        self._timer = self._loop.call_later(self._interval, self._beat)
        self.wake()


class Worker:
    """Requests to sh/worker.sh on a host, one at a time.

    It logs in when the first request needs it, and again if the script has ended.
    loop: of the run.  session: a call.Session.
    """

    def __init__(self, loop, session, host):
        self._loop = loop
        self._session = session.at(host)
        self._host = host
        self._line = None
        self._child = None
        self._is_late = False           # whether the timeout of the last request is over

    def ask(self, request, output):
        """Flow: send one request and read its answer; returns the Verdict.

        output: a Sink.  After the timeout of the request the worker is ended, and with it the job.
        """
        def attempt():
            is_first = self._child is None or self._child.result is not None
            frame = scripts.Framed(self._session.nonce(), output.feed, not is_first)
            was_shared = is_shared(self._session)
            result = yield from self._turn(request, frame, output, is_first)
            frame.finish()
            verdict = exit_status.judge(result or Result(None, 'exited'), frame, is_first,
                                        was_shared or is_shared(self._session))
            if frame.cause == 'timeout' or self._is_late and frame.cause in ('', 'closed'):
                return exit_status.Verdict('timeout', exit_status.TIMED_OUT,
                                           'timed out after %g s' % request.timeout)
            return verdict

        return (yield from logging_in(self._session, attempt))

    def hang_up(self):
        """Let the worker end.  It removes its files first."""
        if self._child is not None:
            self._child.hang_up()

    def ending(self):
        """Flow: let the worker end, and wait for that."""
        if self._child is not None and self._child.result is None:
            self._child.hang_up()
            yield AwaitEnd(self._child)

    def stop_late(self):
        """End the worker and its job, because it took too long."""
        if self._child is not None:
            self._is_late = True
            self._child.stop('timeout')

    def _turn(self, request, frame, output, is_first):
        """Flow: send a request and wait for its answer; returns the Result of the script if it has
        ended, else None.
        """
        chunks = itertools.chain((request.line(frame),), request.stream(), (request.input,))
        self._is_late = False
        if not is_first:
            self._line.ask(frame, chunks, output)
        else:
            result = yield from self._log_in(frame, chunks, output)
            if result is not None:
                return result
        child, timer = self._child, None
        if request.timeout:
            timer = self._loop.call_later(request.timeout, self.stop_late)
        try:
            return (yield Turn(child))
        except Cancelled:
            self._line.on_answer = lambda: None     # wait for its end, not for its answer
            return (yield AwaitEnd(child))
        finally:
            if timer is not None:
                timer.cancel()

    def _log_in(self, frame, chunks, output):
        """Flow: start the script with its first request; returns its Result if it ends before it
        begins, else None.
        """
        session = self._session
        limits = session.limits()
        self._line = _WorkerLine(self._loop, limits.lease / scripts.HEARTBEATS_PER_LEASE)
        self._line.ask(frame, chunks, output)
        self._child = None
        command = scripts.worker(session.transport, self._host, self._line, limits)
        began = yield command._replace(gate=session.gate, beside='slot')
        if isinstance(began, Result):
            return began
        self._child = began
        return None
