"""A channel: one login over which a script on a host answers request after request.

The first request logs in.  The script is on the host as long as the talk lasts, and each request is
a line and its data on its standard input; the answer comes in a frame of its own, and the end of
that frame is the end of the answer.  Where the script has ended meanwhile, the next request logs in
anew; a request that was under way then is the caller's to judge.

A script that has not been asked for a lease ends by itself: for all it knows, it is cut off.  So
nothing is asked of one that may be about to.
"""

from __future__ import generator_stop

import time

from lwt.flow import Turn
from lwt.proc import Result
from lwt.remote import events, scripts, verdicts
from lwt.remote.call import is_shared, logging_in
from lwt.selectors_loop import PipeSource, Sink


class Channel:
    """Requests to a script on a host; use as a context manager.

    session: a call.Session.  name: of scripts.SHORT_SCRIPTS, one that answers many.  holds_slot:
    does the script hold a slot as long as it is there?  Else it holds one while the login is under
    way.
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
                self._child.kill()      # it would first do what it was asked

    def ask(self, arguments, data, on_payload, stall):
        """Flow: ask once, with the arguments of the script and what follows them on its standard
        input; returns the Verdict.

        on_payload(stream, data) gets the answer.  stall: seconds in which a byte has to move.
        """
        def attempt():
            frame, began = scripts.Framed(self._session.nonce(), on_payload), time.monotonic()
            is_first, was_shared = not self._is_there(), is_shared(self._session)
            result = yield from self._turn(frame, scripts.request(frame, arguments) + data, stall,
                                           is_first)
            frame.finish()
            verdict = verdicts.judge(result or Result(None, 'exited'), frame, is_first,
                                     was_shared or is_shared(self._session))
            events.note('%s: %s after %.2f s' % (self._name, verdict.reason or 'ok',
                                                 time.monotonic() - began), self._host.name)
            return verdict

        return (yield from logging_in(self._session, attempt))

    def _turn(self, frame, data, stall, is_first):
        """Flow: one request and its answer; returns the Result of the script if it has ended, else
        None.
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
        """May the script be asked once more?"""
        if self._child is None or self._child.result is not None:
            return False
        if time.monotonic() - self._answered_at < self._session.settings.lease / 2:
            return True
        self._child.hang_up()
        return False

    def _log_in(self, frame, data, stall):
        """Flow: start the script with a first request; returns its Result if it has not begun, else
        None.
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


class _Line(PipeSource, Sink):
    """This machine's end of a channel: the source of the script's input and the sink of its output
    (see proc.Command).
    """

    def __init__(self, frame, data):
        self.on_answer = lambda: None
        self.wake = lambda: None
        self.ask(frame, data)

    def ask(self, frame, data):
        """Send a request; frame is to take the answer."""
        self._frame = frame
        self._unsent = data
        self.wake()

    @property
    def started(self):
        """Has the script said that it is there?"""
        return self._frame.started

    @property
    def answered(self):
        """Has it said all that it has to say to the request?"""
        return self._frame.ended

    @property
    def nonce(self):
        """That of the frame of the answer."""
        return self._frame.nonce

    def read(self, _size):
        """What is to be sent now; None when there is nothing before the next request."""
        unsent, self._unsent = self._unsent, None
        return unsent

    def feed(self, stream, data):
        """Take what the script says; true when no more is wanted."""
        was_answered = self.answered
        is_unwanted = self._frame.feed(stream, data)
        if self.answered and not was_answered:
            self.on_answer()
        return is_unwanted
