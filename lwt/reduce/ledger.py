"""The ledger of a partition: counts what is sent and what comes back, on both sides, and compares.

An attempt is accepted only if all of this agrees:

    the lines, bytes and cksum that were sent, and those that the host received
    the lines, bytes and cksum that the host sent back, and those that came back
"""

import os

from lwt import netcat
from lwt.copy import manifest
from lwt.errors import printable_text
from lwt.remote import call, host_limits, scripts
from lwt.selectors_loop import PipeSource, Sink
from lwt.workspace.config import bounded

READ_SIZE = 1 << 16


class Count:
    """The lines, bytes and cksum of a stream."""

    def __init__(self):
        self._lines = 0
        self._sum = manifest.Cksum()

    def add(self, data):
        """Count these bytes."""
        self._lines += data.count(b'\n')
        self._sum.update(data)

    @property
    def lines(self):
        return self._lines

    @property
    def bytes(self):
        return self._sum.length

    @property
    def told(self):
        """(lines, cksum, bytes), as sh/reduce.sh reports them."""
        return self._lines, self._sum.value, self._sum.length


class Piece:
    """A range of a file, which may still grow.  A Feed of it always ends with a newline."""

    def __init__(self, fd, start=0, end=0, complete=True):
        self.fd = fd
        self.start = start
        self.end = end
        self.complete = complete
        self.on_growth = lambda: None

    def __len__(self):
        return self.end - self.start

    def append(self, data):
        """Append data to the file."""
        while data:
            data = data[os.pwrite(self.fd, data, self.end):]
        self.end = os.lseek(self.fd, 0, os.SEEK_END)
        self.on_growth()

    def close(self):
        """Mark the piece as complete."""
        self.complete = True
        self.on_growth()


class Feed(PipeSource):
    """The source of an attempt: reads a Piece from its beginning and counts it."""

    def __init__(self, piece, tally):
        self._piece = piece
        self._tally = tally
        self._at = piece.start
        self._last = b'\n'
        self.sent = Count()
        self.wake = lambda: None
        piece.on_growth = lambda: self.wake()

    def read(self, size=READ_SIZE):
        """Return the next bytes; None if there are none yet, b'' at the end."""
        size = min(size, self._piece.end - self._at)
        data = os.pread(self._piece.fd, size, self._at) if size else b''
        self._at += len(data)
        if not data and not self._piece.complete:
            self._piece.on_growth = lambda: self.wake()
            return None
        if not data and self._last != b'\n':
            data = b'\n'
        self._last = data[-1:] or self._last
        self.sent.add(data)
        self._tally.sent += len(data)
        return data

    def close(self):
        """Stop waiting for growth of the piece."""
        self._piece.on_growth = lambda: None


class Control(Sink):
    """The sink for the output of sh/reduce.sh.

    started: whether the script is ready, or listens.
    tokens: the tokens of each requested listener.
    ports: their ports; None for an invalid port.  Further listeners are ignored.
    """

    def __init__(self, nonce, complain, tokens=()):
        self.frame = scripts.Framed(nonce, self._take)
        self._complain = complain
        self._complained = 0
        self._lines = call.Lines(self._hear)
        self.directory = ''
        self.tokens = tokens
        self.ports = []
        self.refused = ''
        self.codes = {}
        self.told = {}                  # (what, 'in' or 'out') -> numbers
        self.wake = lambda: None

    started = property(lambda self: bool(self.directory or self.ports))
    ended = property(lambda self: self.frame.ended)

    def feed(self, stream, data):
        """Take bytes; returns True if a command failed, to stop the host."""
        return self.frame.feed(stream, data)

    def _take(self, stream, data):
        if stream == 'stderr':
            self._complain(data[:max(0, host_limits.COMMAND_COMPLAINTS - self._complained)])
            self._complained += len(data)
            return None
        self._lines.feed(data)
        if self._lines.problem:
            self.refused = self._lines.problem
            return True
        self.wake()
        return bool(self.failure)

    def _hear(self, line):
        word, *rest = line.decode('utf-8', 'replace').split(' ')
        if word == 'ready':
            directory = ' '.join(rest)
            if (directory.startswith('/') and directory.isprintable()
                and len(directory.encode()) <= host_limits.NAME):
                self.directory = directory
            else:
                self.refused = 'it told no directory: ' + printable_text(directory)
        elif word == 'listen' and len(self.ports) < len(self.tokens):
            self.ports.append(netcat.offered_port(rest))
        elif word == 'refused':
            self.refused = printable_text(' '.join(rest))
        elif word == 'code' and len(rest) == 2 and len(self.codes) < host_limits.COMMANDS:
            self.codes[printable_text(rest[0])] = bounded(rest[1], 0, 255)
        elif word in ('lines', 'sum') and rest and rest[0] in ('in', 'out'):
            self.told[word, rest[0]] = tuple(bounded(part, 0, 1 << 62)
                                             for part in rest[1:4] if part)

    @property
    def failure(self):
        """Return (name of the command that failed, its code), or None."""
        return next(((name, code) for name, code in self.codes.items() if code != 0), None)

    def count(self, way):
        """Return the reported (lines, cksum, bytes) for 'in' or 'out', without missing values."""
        return self.told.get(('lines', way), ()) + self.told.get(('sum', way), ())

    def has_returned(self, size):
        """Return whether as many bytes have come back as the host reports that it sent."""
        return self.told.get(('sum', 'out'), (None,))[-1] == size


def discrepancy(control, sent, came, keeps_lines):
    """Return a text about counts that do not agree, or ''.

    sent, came: the Counts of this side; sent is None if nothing was sent.
    keeps_lines: as many lines and bytes must come back as were sent.
    """
    for what, here, there in (('what was sent', sent, control.count('in')),
                              ('what came back', came, control.count('out'))):
        if here is not None and here.told != there:
            lines = there[0] if there else 0
            return ('%s differs: %d lines on this machine, %s on the host'
                    % (what, here.lines, lines))
    if keeps_lines and (sent.lines, sent.bytes) != (came.lines, came.bytes):
        return '%d lines were sorted, and %d came back' % (sent.lines, came.lines)
    return ''


def most_back(steps, feed, limit):
    """Return the largest number of bytes that may have come back so far; None: any number.

    Sorting adds no bytes.  Other commands may print more than was sent, up to `limit` bytes; 0: no
    limit.
    """
    if steps.keeps_lines and not steps.pattern:
        return feed.sent.bytes
    return max(limit, feed.sent.bytes) if limit else None
