"""Reducers: send the lines of partitions to hosts, run commands there, and fetch the results.

One attempt handles one partition on one host.  A session under the guard runs sh/reduce.sh.  The
bytes go both ways through a second child: an ssh that is attached to the session, or a netcat.  The
attempt is good if every command exited with 0, the session reported its end, and the counts of both
sides agree (see ledger).

If the host or the connection fails, the same bytes are sent to another host.  Until then they are
stored in unnamed files, which vanish with lwt.  The caller gets all results, or an error that names
the partition and the host.

A reduce is one round of partitions, or two: the first round runs `map` or reads files of the hosts,
and its results are then split into the partitions of the second.  The module partition decides
which partition a line belongs to.
"""

from __future__ import generator_stop

import hmac
import os
from typing import Callable, NamedTuple, Optional

from lwt import netcat
from lwt.errors import HostError, LocalError, os_error_text
from lwt.flow import AwaitEnd, Sleep, check_input
from lwt.proc import Command, Result
from lwt.reduce.ledger import Control, Count, Feed, Piece, discrepancy, most_back
from lwt.remote import call, events, exit_status, login, netcat_hosts, scripts
from lwt.selectors_loop import PipeSource, Sink

FRAME_SIZE = 1 << 20            # bytes of a netcat frame: each frame costs the host a process
BLOCK = 1 << 18                 # bytes that are split at once
LONG = (4, 16, 64, 256)         # numbers of blocks of one long line after which its key is searched
STRANGERS_TIME = 15.0           # seconds for a listener that gave up to report the next port
ASK_EVERY = 0.1
NO_SPACE = 'set TMPDIR to a directory with free space'    # a hint
HOST_STEPS = ('sort',)          # commands that fail because of the host, not of the user


class Steps(NamedTuple):
    """What is done to a partition.

    commands: (name, text for sh) of one or two commands.
    pattern: files on the host that are read instead of the partition.
    keeps_lines: only the order of lines changes, so as many lines and bytes come back as were sent.
    """

    commands: tuple = ()
    pattern: str = ''
    keeps_lines: bool = False


class ReducePlan(NamedTuple):
    """How partitions are processed.

    connect: a netcat.Program of this machine; None: use ssh.
    scratch: the directory for temporary files on hosts, or ''.
    complain(host, data): gets what commands print on standard error.
    say(text): gets a message for each further attempt.
    """

    session: call.Session
    connect: Optional[netcat.Program] = None
    scratch: str = ''
    timeout: float = 0.0
    complain: Callable = lambda host, data: None
    say: Callable = lambda text: None


class ReduceProgress:
    """The progress of a round: bytes to send, bytes sent, bytes that came back; partitions done.

    keeps_lines: as many bytes come back as were sent.
    """

    def __init__(self, expected, partitions, keeps_lines=False):
        self.expected = expected
        self.partitions = partitions
        self.keeps_lines = keeps_lines
        self.sent = self.returned = self.done = 0


class Framing(PipeSource):
    """The source of a netcat: the sender's token, then a Feed in frames, and its end after all
    results are back.

    The Feed begins when the Proof has the listener's token.  A half-closed connection would mark
    the end as well, but most listening netcats end when they see one.
    stall: seconds in which a byte must arrive after the host has reported that it sent everything.
    """

    def __init__(self, feed, control, proof, token, stall):
        self._feed = feed
        self._control = control
        self.proof = proof
        self._ready = [token.encode() + b'\n']
        self._stall = stall
        self._child = None
        self._is_due = self._over = False
        feed.wake = lambda: self.wake()
        control.wake = lambda: self.wake()
        self.wake = lambda: None

    def follow(self, child):
        """Have a Child, the netcat, ended if expected data does not arrive.

        Before data is expected, the netcat may be silent for as long as the commands on the host
        take.
        """
        self._child = child
        self._look()

    def _look(self):
        is_due = ('sum', 'out') in self._control.told
        if is_due and not self._is_due and self._child is not None:
            self._is_due = True
            self._child.expect(self._stall)

    @property
    def has_all(self):
        """Whether all results have come back."""
        return self._over and self._control.has_returned(self.proof.results.came.bytes)

    def read(self, _size):
        """Return the next bytes; None if there are none yet, b'' at the end."""
        if self._ready:
            return self._ready.pop()
        if not self.proof.started:
            return None
        self._look()
        if self._over:
            return b'' if self.has_all else None
        data = self._feed.read(FRAME_SIZE)
        if data is None:
            return None
        self._over = not data
        return b'%d\n' % len(data) + data

    def close(self):
        """Close the Feed."""
        self._feed.close()
        self._control.wake = lambda: None


class Proof(Sink):
    """The output of a netcat, a sink: the listener's token, which is compared as a whole, then
    Results.

    started: whether the token has arrived.  Any other bytes end the netcat at once.
    """

    def __init__(self, token, results):
        self._line = token.encode() + b'\n'
        self._came = b''
        self.results = results
        self.started = False

    def feed(self, stream, data):
        """Take bytes; returns true to stop the netcat."""
        if stream != 'stdout':
            return None
        if self.started:
            return self.results.feed(stream, data)
        self._came += data
        line, rest = self._came[:len(self._line)], self._came[len(self._line):]
        if len(line) < len(self._line):
            return None
        self._came = b''
        self.started = hmac.compare_digest(line, self._line)
        return self.results.feed(stream, rest) if self.started else True


class Results(Sink):
    """The results of a partition, in a file.

    most(): maximum number of bytes that may have arrived so far, or None for any number.
    is_over: whether more arrived.
    """

    def __init__(self, file, tally):
        self._tally = tally
        self.most = lambda: None
        self.file = file
        self.came = Count()
        self.error = None
        self.is_over = False

    def feed(self, stream, data):
        """Take bytes; returns true if there is no room for them."""
        if stream != 'stdout':
            return None
        most = self.most()
        if most is not None and self.came.bytes + len(data) > most:
            self.is_over = True
            return True
        self.came.add(data)
        self._tally.returned += len(data)
        try:
            while data:
                data = data[self.file.write(data):]
        except OSError as error:        # in a sink it would end the loop; the flow raises it
            self.error = error
        return self.error is not None

    def forget(self):
        """Discard everything, because another attempt begins."""
        self._tally.returned -= self.came.bytes
        self.file.seek(0)
        self.file.truncate()
        self.came = Count()
        self.is_over = False

    @property
    def piece(self):
        """Return everything that arrived, as a Piece."""
        return Piece(self.file.fileno(), 0, self.came.bytes)

    def chunks(self):
        """Yield everything that arrived, as chunks of bytes."""
        self.file.seek(0)
        return iter(lambda: self.file.read(BLOCK), b'')


# -- one attempt -----------------------------------------------------------------------------------


def _attempt(plan, host, steps, feed, results):
    """Flow: process the data of a Feed on a host.

    steps: the Steps.  feed: a Feed.  results: a Results.
    Returns (Verdict, whether to try another host).
    """
    limit = plan.session.settings.output_limit * 1024
    results.most = lambda: most_back(steps, feed, limit)
    try:
        with (yield from login.connected(plan.session, host)) as session:
            return (yield from _in_session(plan, session, host, steps, feed, results))
    except HostError as error:
        return error.verdict, True


def _in_session(plan, session, host, steps, feed, results):
    """Flow: as _attempt, after login.  Raises HostError."""
    offered = ()
    if plan.connect is not None:
        offered = (yield from netcat_hosts.end(session, host)).listening
    tokens = tuple(netcat_hosts.tokens() for _ in range(netcat.LISTENERS)) if offered else ()
    control = Control(session.nonce(), lambda data: plan.complain(host, data), tokens)
    child = yield _control(plan, session, host, steps, control, offered)
    if isinstance(child, Result):
        return _judged(exit_status.judge(child, control.frame), control,
                       'it ended before it was ready')
    try:
        carry = _through_netcat if plan.connect is not None else _through_ssh
        told = yield from carry(plan, session, host, control, child, feed, results)
        if results.is_over:
            return exit_status.Verdict('failed', 1,
                                       'more came back than may (see output_limit)'), True
        result = yield AwaitEnd(child)
    finally:
        if child.result is None:
            child.kill()
    control.frame.finish()
    if results.error is not None:
        raise LocalError(os_error_text('results of reduce', results.error),
                         NO_SPACE)
    sent = None if steps.pattern else feed.sent
    problem = discrepancy(control, sent, results.came, steps.keeps_lines)
    return _judged(exit_status.judge(result, control.frame), control, problem, told)


def _control(plan, session, host, steps, control, listening):
    """Return the Command of a session of sh/reduce.sh."""
    names = [word for command in steps.commands for word in command]
    words = ['listen' if listening else 'attach', steps.pattern] + names + [''] * (4 - len(names))
    words += [str(netcat.patience(_stall(session)))] + list(listening)
    limits = session.limits(plan.timeout)
    tokens = ' '.join(word for pair in control.tokens for word in pair).encode()
    payload = scripts.Payload(scratch=plan.scratch, input=tokens + b'\n' if tokens else b'')
    script = scripts.script_text(*scripts.LONG_SCRIPTS['reduce'])
    command = scripts.guarded(session.transport, host, script, words, control.frame, limits,
                              payload)
    return command._replace(sink=control, gate=session.gate, beside='background')


def _judged(verdict, control, problem, carried=None):
    """Return (Verdict, whether to try another host) for an attempt whose session ended with a
    verdict.
    """
    if control.refused:
        return exit_status.Verdict('failed', 1, control.refused), True
    if control.failure:
        name, code = control.failure
        return exit_status.Verdict('failed', code or 1,
                                   '%s: exit code %s' % (name, code)), name in HOST_STEPS
    if verdict.ok and problem and carried is not None and not carried.ok:
        return carried, True
    if verdict.ok and problem:
        return exit_status.Verdict('failed', 1, problem), True
    may_retry = verdict.kind not in ('ok', 'killed') and verdict.code != exit_status.TIMED_OUT
    return verdict, may_retry


def _through_ssh(plan, session, host, control, child, feed, results):
    """Flow: transfer the bytes through an ssh; returns its Verdict."""
    frame = scripts.Framed(session.nonce(), results.feed)
    command = scripts.plain(session.transport, host, 'attach', (control.directory,), frame,
                            session.limits())
    result = yield command._replace(source=feed, gate=session.gate, tied=child)
    check_input(result)
    frame.finish()
    return exit_status.judge(result, frame)


def _stall(session):
    """Return the seconds after which the other end of a connection is given up."""
    return session.settings.stall or session.settings.lease


def _through_netcat(plan, session, host, control, child, feed, results):
    """Flow: transfer the bytes through a netcat, or through ssh if strangers came to each listener.

    Returns None, or the Verdict of ssh.  Raises HostError if the host must be given up.
    """
    address = yield from netcat_hosts.address(session, host)
    patience = netcat.patience(_stall(session))
    for number, tokens in enumerate(control.tokens):
        port = yield from _listening(control, child, number, patience)
        if port is None:
            break
        proof = Proof(tokens.listener, results)
        framing = Framing(feed, control, proof, tokens.sender, _stall(session))
        link = yield Command(
            plan.connect.connect(address, port), source=framing, sink=proof, hello=patience,
            tied=child, beside='slot', grace=session.settings.grace, label=host.name)
        if isinstance(link, Result):    # it ended without a proof
            check_input(link)
            continue
        framing.follow(link)
        check_input((yield AwaitEnd(link)))
        if not framing.has_all:
            yield from _end_of(session, host, child)
        return None
    if child.result is None and not control.directory:
        yield from _listening(control, child, len(control.tokens), patience)
    if control.directory:
        events.note('no connection by netcat: ssh is used', host.name)
        return (yield from _through_ssh(plan, session, host, control, child, feed, results))
    yield from _end_of(session, host, child)
    return None


def _listening(control, child, number, patience):
    """Flow: return the port of a listener as soon as the host reports it; None if there will be
    none.

    patience: the value that sh/reduce.sh got; before this listener the host may wait `number` times
        as long.
    """
    for _look in range(round((number * patience + STRANGERS_TIME) / ASK_EVERY)):
        if len(control.ports) > number:
            return control.ports[number]
        if control.directory or child.result is not None:
            return None
        yield Sleep(ASK_EVERY)
    return None


def _end_of(session, host, child):
    """Flow: wait for the end of a session without a connection.  Raises HostError after the stall.
    """
    for _look in range(round(_stall(session) / ASK_EVERY)):
        if child.result is not None:
            return
        yield Sleep(ASK_EVERY)
    lost = exit_status.Verdict('lost', exit_status.UNREACHABLE, 'connection by netcat lost',
                               'maybe')
    raise HostError(host.name, lost)


# -- one partition ---------------------------------------------------------------------------------


class PartitionJob(NamedTuple):
    """A partition to process.

    name: for messages.  hosts: the hosts that may process it, in order of preference.
    piece: its lines; None if they are already on the host.
    """

    name: str
    hosts: tuple
    piece: Optional[Piece]


def partition(plan, steps, job, results, tally, bad):
    """Flow: do a PartitionJob on one host after the other until one succeeds, and fill its Results.

    tally: a ReduceProgress.
    bad: a set of hosts that failed, which are skipped in further attempts; this flow adds to it.
    Returns (host, Verdict) of the last attempt.
    """
    failed = None
    for host in job.hosts:
        if failed is not None and host in bad:
            continue
        if failed is not None:
            plan.say('%s: %s: %s; it goes to %s'
                     % (job.name, failed[0].name, failed[1].reason, host.name))
            results.forget()
        feed = Feed(job.piece if job.piece is not None else Piece(-1), tally)
        verdict, may_retry = yield from _attempt(plan, host, steps, feed, results)
        if verdict.ok or not may_retry:
            tally.done += verdict.ok
            return host, verdict
        bad.add(host)
        failed = host, verdict
        tally.sent -= feed.sent.bytes
    return failed


def part(pieces, splitter, parts):
    """Flow: split the lines of pieces among parts.  Raises LocalError if they cannot be read."""
    try:
        yield from _part(pieces, splitter, parts)
    except OSError as error:
        raise unreadable(error)


def unreadable(error):
    """Return the LocalError for an OSError while the input is read."""
    return LocalError(os_error_text('input of reduce', error))


def _part(pieces, splitter, parts):
    """Flow: split the lines of pieces among parts, a block at a time.

    Of a long line, only the part up to its key is in memory.
    """
    for piece in pieces:
        # rest: the unfinished last line.  known: the partition that already gets parts of that
        # line.
        rest, known = [], None
        for at in range(piece.start, piece.end, BLOCK):
            data = os.pread(piece.fd, min(BLOCK, piece.end - at), at)
            if known is not None:
                end, newline, data = data.partition(b'\n')
                _append((parts[known],), (end + newline,))
                known = None if newline else known
            whole, newline, last = data.rpartition(b'\n')
            if newline:
                _append(parts, splitter.split(b''.join(rest) + whole + newline))
                rest = []
            rest += [last] if last else []
            if len(rest) in LONG:
                known = splitter.whose(b''.join(rest))
                if known is not None:
                    _append((parts[known],), (b''.join(rest),))
                    rest = []
            yield Sleep(0)
        if rest:
            _append(parts, splitter.split(b''.join(rest) + b'\n'))
        elif known is not None:
            _append((parts[known],), (b'\n',))
    for one in parts:
        one.close()


def _append(parts, texts):
    try:
        for one, text in zip(parts, texts):
            if text:
                one.append(text)
    except OSError as error:
        raise LocalError(os_error_text('partitions of reduce', error),
                         NO_SPACE)


def cut(piece, count):
    """Return `count` Pieces of about the same size, cut after newlines."""
    edges = [piece.start]
    for number in range(1, count):
        edges.append(
            max(edges[-1],
                _after_newline(piece, piece.start + (piece.end - piece.start) * number // count)))
    edges.append(piece.end)
    return [Piece(piece.fd, start, end) for start, end in zip(edges, edges[1:])]


def _after_newline(piece, at):
    """Return the offset after the first newline at or after an offset of a Piece."""
    while at < piece.end:
        data = os.pread(piece.fd, min(BLOCK, piece.end - at), at)
        found = data.find(b'\n')
        if found >= 0:
            return at + found + 1
        at += len(data)
    return piece.end
