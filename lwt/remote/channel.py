"""A channel: one login over which a script on a host answers request after request.

The first request logs in.  The script runs until the channel is closed.  Each request is a line and
its data on the standard input of the script.  The answer has a frame of its own, and the end of
that frame is the end of the answer.  If the script has ended meanwhile, the next request logs in
again.  If the script ends during a request, the caller decides what to do.

A script that gets no request within the lease ends, because its connection may be broken.  So no
request is sent to a script that may be about to end.
"""

from __future__ import generator_stop

import time

from lwt.flow import Turn
from lwt.proc import Result
from lwt.remote import events, exit_status, scripts
from lwt.remote.call import is_shared, logging_in
from lwt.selectors_loop import PipeSource, Sink


class Channel:
    """Requests to a script on a host; use as a context manager.

    session: a call.Session.  name: a script of scripts.SHORT_SCRIPTS that answers many requests.
    holds_slot: whether the script holds a slot as long as it runs, or only during the login.
    """

    def __init__(self, session, host, name, holds_slot):
        self._session = session.at(host)
        self._host = host
        self._name = name
        self._beside = 'slot' if holds_slot else 'background'
        self._line = None
        self._child = None
        self._answered_at = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        if self._child is not None:
            if self._line.answered:
                self._child.hang_up()
            else:
                self._child.kill()      # hang_up() would let it finish the request

    def ask(self, arguments, data, on_payload, stall):
        """Flow: send one request and read its answer; returns the Verdict.

        arguments: words for the script.  data: bytes that follow them on its standard input.
        on_payload(stream, data) gets the answer.  stall: maximum seconds without a byte moved.
        """
        def attempt():
            frame, began = scripts.Framed(self._session.nonce(), on_payload), time.monotonic()
            is_first, was_shared = not self._is_there(), is_shared(self._session)
            result = yield from self._turn(frame, scripts.request(frame, arguments) + data, stall,
                                           is_first)
            frame.finish()
            verdict = exit_status.judge(result or Result(None, 'exited'), frame, is_first,
                                        was_shared or is_shared(self._session))
            events.note('%s: %s after %.2f s' % (self._name, verdict.reason or 'ok',
                                                 time.monotonic() - began), self._host.name)
            return verdict

        return (yield from logging_in(self._session, attempt))

    def _turn(self, frame, data, stall, is_first):
        """Flow: send one request and wait for its answer; returns the Result of the script if it
        has ended, else None.
        """
        if not is_first:
            self._line.ask(frame, data)
            self._child.expect(stall)
        else:
            result = yield from self._log_in(frame, data, stall)
            if result is not None:
                return result
        result = yield Turn(self._child)
        if result is None:
            self._child.expect(0)
            self._answered_at = time.monotonic()
        return result

    def _is_there(self):
        """Whether the script still runs and can take another request.  Hangs up if its lease may
        end soon.
        """
        if self._child is None or self._child.result is not None:
            return False
        if time.monotonic() - self._answered_at < self._session.settings.lease / 2:
            return True
        self._child.hang_up()
        return False

    def _log_in(self, frame, data, stall):
        """Flow: start the script with its first request; returns its Result if it ends before it
        begins, else None.
        """
        self._line, self._child = _Line(frame, data), None
        session = self._session
        command = scripts.channel(session.transport, self._host, self._name, self._line,
                                  session.limits(stall=stall))
        began = yield command._replace(source=self._line, gate=session.gate, beside=self._beside)
        if isinstance(began, Result):
            return began
        self._child = began
        if not self._host.is_local:
            events.note('logged in', self._host.name)
        return None


class RequestLine(PipeSource, Sink):
    """The local end of a session that answers requests: the source of the script's input and the
    sink of its output (see proc.Command).  Base class.
    """

    def __init__(self):
        self.on_answer = lambda: None
        self.wake = lambda: None
        self._frame = None

    @property
    def started(self):
        """Whether the script has printed the begin line of the current answer."""
        return self._frame.started

    @property
    def answered(self):
        """Whether the answer to the current request is complete."""
        return self._frame.ended

    @property
    def nonce(self):
        """The nonce of the frame of the current answer."""
        return self._frame.nonce

    def feed(self, stream, data):
        """Take output of the script; returns true if no more is wanted."""
        was_answered = self.answered
        is_unwanted = self._frame.feed(stream, data)
        if self.answered and not was_answered:
            self.on_answer()
        return is_unwanted


class _Line(RequestLine):
    """The local end of a channel."""

    def __init__(self, frame, data):
        super().__init__()
        self.ask(frame, data)

    def ask(self, frame, data):
        """Send a request, bytes.  frame: the scripts.Framed that reads the answer."""
        self._frame = frame
        self._unsent = data
        self.wake()

    def read(self, _size):
        """The bytes to send now; None if there are none before the next request."""
        unsent, self._unsent = self._unsent, None
        return unsent
