"""One call: a script or a command on one host, as a flow that returns a verdict.

sshd drops a login if too many are in progress.  Such a login is retried after a random delay, so
that not all retry at the same time.  This is safe because the verdict proves that nothing ran.  The
caller decides what to do after any other failure.
"""

from __future__ import generator_stop

import functools
import os
from typing import Callable, NamedTuple, Optional

from lwt import ssh
from lwt.errors import EXIT_FAILED
from lwt.flow import Gate, Sleep, check_input
from lwt.remote import events, exit_status, host_limits, scripts
from lwt.workspace import config
from lwt.workspace.hostlist import Host

LOGIN_ATTEMPTS = 7
LOGIN_DELAY = 0.5       # seconds; doubled for each attempt, then multiplied by 0.5 to 1.5
LONGEST_DELAY = 8.0     # seconds, before that multiplication


class Session(NamedTuple):
    """The context of calls: the effective settings, how hosts are reached, and a source of nonces.

    nonce: a function that returns a new random word.
    sockets: the directory for sockets of kept connections, or ''.
    gates: {name of a host: its flow.Gate for logins}.
    heard: a list to which each call appends (name of the host, Verdict), or None.
    host, gate: the host that this Session is for, and its gate; see at().
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
            control_path=ssh.kept_socket(self.sockets, self.transport.way, host.name),
            persist=settings.persist,
            silence=settings.hello_timeout or self.transport.silence))

    def limits(self, timeout=0.0, stall=0.0):
        """The scripts.Deadlines of a call.  timeout, stall: seconds; 0: no limit."""
        settings = self.settings
        return scripts.Deadlines(settings.connect_timeout + settings.hello_timeout, timeout, stall,
                                 settings.lease, settings.grace)


class Answer(NamedTuple):
    """A verdict and the output of the script."""

    verdict: exit_status.Verdict
    stdout: bytes
    stderr: bytes

    @property
    def lines(self):
        lines = self.stdout.decode('utf-8', 'replace').split('\n', host_limits.ANSWER_LINES)
        return lines[:host_limits.ANSWER_LINES] if lines[-1] else lines[:-1]


class Collector:
    """Keeps the payload of both streams.

    If one stream sends more than `most` bytes, is_full is set and no more is accepted.  Of standard
    error, only the first `complaints` bytes are kept.
    """

    def __init__(self, most=host_limits.ANSWER, complaints=host_limits.COMPLAINTS):
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
    """Splits the output of a host into lines, and calls take(line) with each line as bytes.

    problem: the budget that the host exceeded, after which no more lines are taken; else ''.
    """

    def __init__(self, take):
        self._take = take
        self._partial = b''
        self._left = host_limits.TOLD
        self._lines_left = host_limits.TOLD_LINES
        self.problem = ''

    def count(self, data):
        """Count bytes against the budget; also for bytes that are not passed to feed()."""
        self._left -= len(data)
        self._lines_left -= data.count(b'\n')
        if self._left < 0:
            self.problem = host_limits.passed(host_limits.TOLD)
        elif self._lines_left < 0:
            self.problem = host_limits.passed(host_limits.TOLD_LINES, 'lines')

    def feed(self, data):
        """Take bytes of the output."""
        self.count(data)
        if self.problem:
            return
        *lines, self._partial = (self._partial + data).split(b'\n')
        self._partial = self._partial[:host_limits.LINE]
        for line in lines:
            self._take(line)


@functools.lru_cache(maxsize=1)
def too_much(limit):
    """The Verdict on a host that printed more than `limit` KiB."""
    return exit_status.Verdict('failed', EXIT_FAILED,
                               'more than %s of output' % config.size_text(limit), is_cut=True)


def call(session, make, on_payload, about='command', on_result=lambda result: None, unwanted=None):
    """Flow: run the Command that make(frame) returns on a host; returns the Verdict.

    session: the Session of the host (see Session.at).  on_payload(stream, data) gets the output.
    about: the name of the call in the log.  on_result(result) is called with the Result of each
    attempt.  unwanted: the Verdict if the command was stopped because on_payload returned True, or
    None.
    """
    def log_in():
        frame = scripts.Framed(session.nonce(), on_payload)
        command = make(frame)
        if session.gate is not None:
            command = command._replace(gate=session.gate)
        was_shared = is_shared(session)
        result = yield command
        check_input(result)
        on_result(result)
        frame.finish()
        verdict = exit_status.judge(result, frame, is_shared=was_shared or is_shared(session))
        if unwanted is not None and result.status == 'unwanted':
            verdict = unwanted
        events.note('%s: %s after %.2f s' % (about, verdict.reason or 'ok', result.elapsed),
                    command.label)
        return verdict

    return (yield from logging_in(session, log_in))


def is_shared(session):
    """Whether another ssh keeps the connection that a call over this session would use."""
    path = session.transport.control_path
    return bool(path) and os.path.exists(path)


def logging_in(session, log_in):
    """Flow: run the flow log_in() until sshd does not drop it, at most LOGIN_ATTEMPTS times.

    Returns the last Verdict, which is appended to session.heard unless the host is local.
    """
    for attempt in range(LOGIN_ATTEMPTS):
        verdict = yield from log_in()
        if attempt + 1 == LOGIN_ATTEMPTS or not exit_status.was_dropped(verdict):
            if session.heard is not None and not session.host.is_local:
                session.heard.append((session.host.name, verdict))
            return verdict
        if session.gate is not None:
            session.gate.narrow()
        import random                   # here, because it is slow to import and rarely needed
        yield Sleep(min(LONGEST_DELAY, LOGIN_DELAY * 2 ** attempt) * random.uniform(0.5, 1.5))


def script(session, host, name, arguments, stdin_path='', stall=0.0, timeout=0.0,
           most=host_limits.ANSWER):
    """Flow: run a script of scripts.SHORT_SCRIPTS; returns an Answer.  most: maximum bytes of its
    output on each stream.
    """
    session = session.at(host)
    output = Collector(most)
    limits = session.limits(timeout, stall)
    verdict = yield from call(
        session, lambda frame: scripts.plain(session.transport, host, name, arguments, frame,
                                             limits, stdin_path), output,
        name)
    if output.is_full:
        verdict = exit_status.Verdict('failed', 1, host_limits.passed(most))
    return Answer(verdict, bytes(output.stdout), bytes(output.stderr))


def command(session, host, text, arguments, on_payload, timeout=0.0, stall=0.0,
            payload=scripts.Payload(),
            on_held=lambda: None, unwanted=None):
    """Flow: run a command, or a long script of lwt, under the guard; returns the Verdict.

    on_held() is called if the command has ended, but a process that it left behind keeps its output
    open.  unwanted: the Verdict if the command is stopped because on_payload returns True, or None.
    """
    session = session.at(host)
    limits = session.limits(timeout, stall)

    def look_at(result):
        # With the option persist, the ssh that keeps the connection may keep the pipes open too.
        if result.status == 'over' or result.incomplete and not session.transport.persist:
            on_held()

    return (yield from call(
        session, lambda frame: scripts.guarded(session.transport, host, text, arguments, frame,
                                               limits, payload), on_payload,
        on_result=look_at, unwanted=unwanted))
