"""One call: a script or a command on one host, as a flow that ends with a verdict.

A login that sshd dropped because too many knock at once is tried again, after a while that is never
the same for all; for the frame tells for certain that nothing ran.  Everything else is the caller's
to judge.
"""

from __future__ import generator_stop

import functools
import os
import random
from typing import Callable, NamedTuple, Optional

from lwt import ssh
from lwt.errors import EXIT_FAILED
from lwt.flow import Gate, Sleep, check_input
from lwt.remote import budgets, events, scripts, verdicts
from lwt.workspace import config
from lwt.workspace.hostlist import Host

LOGIN_ATTEMPTS = 7
LOGIN_DELAY = 0.5       # seconds; doubled each time, times 0.5 to 1.5
LONGEST_DELAY = 8.0


class Session(NamedTuple):
    """What a call needs to know: the settings in force, how hosts are reached, and where nonces
    come from.

    sockets: the directory for those of connections, or ''.  gates: {name of a host: its flow.Gate},
    for logins.  heard: where how each operation ended is noted, as (name of a host, Verdict), or
    None.  host, gate: those of the host that a Session is for; see at().
    """

    settings: config.Settings
    transport: ssh.Transport
    nonce: Callable = lambda: os.urandom(16).hex()
    sockets: str = ''
    gates: Optional[dict] = None
    heard: Optional[list] = None
    host: Optional[Host] = None
    gate: Optional[Gate] = None

    def at(self, host):
        """The Session for one host: it has the host's gate and, if connections are kept, its own
        socket.
        """
        if self.host is not None:
            return self
        session = self._replace(host=host, gate=self.gates.get(host.name) if self.gates else None)
        if host.is_local or self.transport.control_path:
            return session
        settings = self.settings
        if not (settings.persist and self.sockets):
            return session
        return session._replace(transport=self.transport._replace(
            control_path=ssh.kept_socket(self.sockets, self.transport.config, host.name),
            persist=settings.persist,
            silence=settings.hello_timeout or self.transport.silence))

    def limits(self, timeout=0.0, stall=0.0):
        """The deadlines of a call."""
        settings = self.settings
        return scripts.Deadlines(settings.connect_timeout + settings.hello_timeout, timeout, stall,
                                 settings.lease, settings.grace)


class Answer(NamedTuple):
    """A verdict and what the script said."""

    verdict: verdicts.Verdict
    stdout: bytes
    stderr: bytes

    @property
    def lines(self):
        lines = self.stdout.decode('utf-8', 'replace').split('\n', budgets.ANSWER_LINES)
        return lines[:budgets.ANSWER_LINES] if lines[-1] else lines[:-1]


class Collector:
    """Keeps the payload of both streams, up to `most` bytes each; then it wants no more, and is
    full.

    Of standard error only the first `complaints` bytes are kept.
    """

    def __init__(self, most=budgets.ANSWER, complaints=budgets.COMPLAINTS):
        self._most = most
        self._complaints = min(most, complaints)
        self._came = {'stdout': 0, 'stderr': 0}
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.is_full = False

    def __call__(self, stream, data):
        kept, most = getattr(self, stream), self._complaints if stream == 'stderr' else self._most
        self._came[stream] += len(data)
        self.is_full = self.is_full or self._came[stream] > self._most
        kept += data[:max(0, most - len(kept))]
        return self.is_full


class Lines:
    """Cuts what a host tells into lines.  take(line) hears each, as bytes.

    problem: why no more is taken, '' before that.
    """

    def __init__(self, take):
        self._take = take
        self._partial = b''
        self._left = budgets.TOLD
        self._lines_left = budgets.TOLD_LINES
        self.problem = ''

    def count(self, data):
        """Count bytes that the host has told in another way."""
        self._left -= len(data)
        self._lines_left -= data.count(b'\n')
        if self._left < 0:
            self.problem = budgets.passed(budgets.TOLD)
        elif self._lines_left < 0:
            self.problem = budgets.passed(budgets.TOLD_LINES, 'lines')

    def feed(self, data):
        """Take bytes."""
        self.count(data)
        if self.problem:
            return
        *lines, self._partial = (self._partial + data).split(b'\n')
        self._partial = self._partial[:budgets.LINE]
        for line in lines:
            self._take(line)


@functools.lru_cache(maxsize=1)
def too_much(limit):
    """The Verdict on a host that printed more than `limit` KiB."""
    return verdicts.Verdict('failed', EXIT_FAILED,
                            'more than %s of output' % config.size_text(limit), is_cut=True)


def call(session, make, on_payload, about='command', on_result=lambda result: None, unwanted=None):
    """Flow: run the Command of make(frame) on a host; returns the Verdict.  on_payload(stream,
    data) gets the output.

    session: that of the host (see Session.at).  about: what the log calls it.  on_result(result)
    hears how each login went. unwanted: the Verdict on a command that was ended because on_payload
    returned True, or None.
    """
    def log_in():
        frame = scripts.Framed(session.nonce(), on_payload)
        command = make(frame)._replace(gate=session.gate)
        was_shared = is_shared(session)
        result = yield command
        check_input(result)
        on_result(result)
        frame.finish()
        verdict = verdicts.judge(result, frame, is_shared=was_shared or is_shared(session))
        if unwanted is not None and result.status == 'unwanted':
            verdict = unwanted
        events.note('%s: %s after %.2f s' % (about, verdict.reason or 'ok', result.elapsed),
                    command.label)
        return verdict

    return (yield from logging_in(session, log_in))


def is_shared(session):
    """Does another ssh keep the connection that a call over this session would use?"""
    path = session.transport.control_path
    return bool(path) and os.path.exists(path)


def logging_in(session, log_in):
    """Flow: run the flow log_in() until sshd does not drop it, a few times; returns the last
    Verdict, which is noted.
    """
    for attempt in range(LOGIN_ATTEMPTS):
        verdict = yield from log_in()
        if attempt + 1 == LOGIN_ATTEMPTS or not verdicts.was_dropped(verdict):
            if session.heard is not None and not session.host.is_local:
                session.heard.append((session.host.name, verdict))
            return verdict
        if session.gate is not None:
            session.gate.narrow()
        yield Sleep(min(LONGEST_DELAY, LOGIN_DELAY * 2 ** attempt) * random.uniform(0.5, 1.5))


def script(session, host, name, arguments, stdin_path='', stall=0.0, timeout=0.0,
           most=budgets.ANSWER):
    """Flow: run a short script of ours; returns an Answer.  most: bytes that it may say on each
    stream.
    """
    session = session.at(host)
    output = Collector(most)
    limits = session.limits(timeout, stall)
    verdict = yield from call(
        session, lambda frame: scripts.plain(session.transport, host, name, arguments, frame,
                                             limits, stdin_path), output,
        name)
    if output.is_full:
        verdict = verdicts.Verdict('failed', 1, budgets.passed(most))
    return Answer(verdict, bytes(output.stdout), bytes(output.stderr))


def command(session, host, text, arguments, on_payload, timeout=0.0, stall=0.0,
            payload=scripts.Payload(),
            on_held=lambda: None, unwanted=None):
    """Flow: run a command, or a long script of ours, under the guard; returns the Verdict.

    on_held() is called when the command has ended, but a process that it left behind holds its
    output. unwanted: the Verdict on a command that is ended because on_payload returns True, or
    None.
    """
    session = session.at(host)
    limits = session.limits(timeout, stall)

    def look_at(result):
        # An ssh that has left a connection behind (option persist) may have left it its streams as
        # well.
        if result.status == 'over' or result.incomplete and not session.transport.persist:
            on_held()

    return (yield from call(
        session, lambda frame: scripts.guarded(session.transport, host, text, arguments, frame,
                                               limits, payload), on_payload,
        on_result=look_at, unwanted=unwanted))
