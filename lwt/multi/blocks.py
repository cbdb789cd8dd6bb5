"""Jobs that each read a part of the data from their standard input: --pipe and --pipepart.

--pipe reads standard input and cuts it into blocks at the ends of records.  It holds one block for
each running job and one that is being read; when all slots are busy, it reads no further.
--pipepart cuts a file into ranges and reads only where one may end.  The kernel moves the bytes of
a range from the file into the pipe of the job (sendfile(2)).

A retried job gets the same data again.
"""

import collections
import errno
import os
import stat
from typing import Callable, NamedTuple, Optional

from lwt.errors import UsageError
from lwt.multi.job import Job
from lwt.multi.records import RecordMarks
from lwt.multi.template import Template
from lwt.pipes import DirectSource, widen
from lwt.selectors_loop import PipeSource
from lwt.workspace import files

SEND_SIZE = 1 << 20             # maximum bytes of one sendfile(2)
WINDOW = 131072                 # bytes that are read at once to find the end of a record


class BlockStyle(NamedTuple):
    """How data is divided among jobs.

    size: bytes of a block; if negative, so many blocks for each slot (--pipepart).
    header: a function of (data, whether it is all) that returns the length of the header, or None
        if more data is needed.  The header is repeated for each job.
    is_shared: only as many jobs as slots are started, and share the blocks (--round-robin).
    label: a Template for the label before lines of output, or None.
    is_file: --pipepart.
    """

    size: int = 1 << 20
    marks: RecordMarks = RecordMarks()
    header: Optional[Callable] = None
    is_shared: bool = False
    label: Optional[Template] = None
    slots: int = 1
    is_file: bool = False


class _Blocks:
    """The source of jobs with data, with the interface of inputs.Input.  Base class."""

    problem = None
    holds_data = False

    def __init__(self, style, place):
        """place: a template.Template without arguments."""
        self._style = style
        self._place = place
        self._count = 0
        self.was_done = lambda number, texts: False
        self.more = lambda: None
        self.bad = []

    def _job(self, data, source=None):
        """Return the next Job."""
        self._count += 1
        number, place, style = self._count, self._place, self._style
        total = self.total() or 0 if place.has_total else 0
        label = style.label
        if label is not None:
            label = label.fill((), number, 0, total, style.slots) + b'\t'
        return Job(number, lambda slot: place.fill((), number, slot, total, style.slots),
                   label or b'', data, source)

    def left(self):
        """Return the number of jobs left; None if unknown."""
        return None

    def total(self):
        """Return the number of all jobs; None if unknown."""
        left = self.left()
        return None if left is None else self._count + left


class PipeBlocks(_Blocks):
    """Cuts standard input into blocks."""

    holds_data = True

    def __init__(self, run, style, place, fd=0):
        super().__init__(style, place)
        self._loop = run.loop
        self._fd = fd
        self._header = b'' if style.header is None else None
        self._buffer = bytearray(style.size)
        self._filled = 0                # bytes of the buffer that are data
        self._blocks = collections.deque()
        self._reading = False
        self._ended = False
        self._shares = []               # _Shares of jobs that wait for a block
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            widen(fd, style.size)

    def take(self):
        """Return the next Job; None if its block is not complete yet, or there is no more data."""
        if self._style.is_shared and self._count == self._style.slots:
            return None
        block = self.take_block()
        if block is None:
            return None
        if self._style.is_shared:
            return self._job(block, lambda: _Share(self))
        return self._job(block)

    def take_block(self):
        """Return the next block; None if it is not complete yet, or there is no more data."""
        block = self._blocks.popleft() if self._blocks else None
        if not self._blocks and not self._ended and not self._reading:
            self._reading = True
            self._loop.add_reader(self._fd, self._read)
        return block

    def wait(self, share):
        """Wake a _Share when there is a block, or at the end."""
        self._shares.append(share)

    @property
    def is_over(self):
        """Whether there are no more blocks."""
        return self._ended and not self._blocks

    def has_ended(self):
        """Return whether there are no more jobs."""
        return self.is_over or self._style.is_shared and self._count == self._style.slots

    def left(self):
        """Return the number of jobs left; None if unknown."""
        return len(self._blocks) if self._ended else None

    def close(self):
        """Stop reading."""
        self._ended = True
        self._blocks.clear()
        self._rest()
        self._wake()

    def _rest(self):
        if self._reading:
            self._reading = False
            self._loop.remove(self._fd)

    def _read(self):
        try:
            count = os.readv(self._fd, [memoryview(self._buffer)[self._filled:]])
        except BlockingIOError:
            return
        except OSError as error:
            self.problem = files.read_error('standard input', error)
            count = 0
        self._filled += count
        self._ended = not count
        if self._ended or self._filled == len(self._buffer):
            self._cut()
        if self._ended or self._blocks:
            self._rest()
            self._wake()
            self.more()

    def _cut(self):
        """Make blocks of the data that was read, and a buffer for more."""
        data, at = memoryview(self._buffer), 0
        if self._header is None:
            length = self._style.header(bytes(data[:self._filled]), self._ended)
            if length is not None:
                at, self._header = length, bytes(data[:length])
        while self._header is not None and at < self._filled:
            end = self._end(at)
            if end == at:
                break
            self._blocks.append(self._block(data[at:end]))
            at = end
        if not self._ended:
            rest = data[at:self._filled]
            self._filled = len(rest)
            # The buffer has room for a block, and for a longer record until it ends.
            size = self._style.size
            self._buffer = bytearray(size if len(rest) < size else 2 * len(rest))
            self._buffer[:len(rest)] = rest

    def _end(self, start):
        """Return where the block that begins at `start` ends; `start` if more data is needed."""
        marks, stop = self._style.marks, self._filled
        if marks.is_anywhere:
            end = start + self._style.size
            return end if end <= stop else stop if self._ended else start
        if marks.is_counted:
            return marks.counted_end(self._buffer, start, stop, self._ended)
        return stop if self._ended else marks.last_end(self._buffer, start, stop)

    def _block(self, data):
        if self._style.marks.is_removed:
            data = self._style.marks.without_marks(bytes(data))
        return self._header + bytes(data) if self._header else data

    def _wake(self):
        shares, self._shares = self._shares, []
        for share in shares:
            share.wake()


class _Share(PipeSource):
    """The blocks of one of several jobs that share the data."""

    def __init__(self, blocks):
        self._blocks = blocks
        self._is_closed = False

    def read(self, size):
        """The next block, of any size; None if there is none yet; b'' at the end."""
        block = self._blocks.take_block()
        if block is not None:
            return block
        if self._blocks.is_over:
            return b''
        self._blocks.wait(self)
        return None

    def wake(self):
        """Called when there is a block; replaced by the PipeWriter."""

    def close(self):
        """Nothing is held."""


class FileBlocks(_Blocks):
    """Cuts a file into ranges."""

    def __init__(self, run, style, place, source):
        """source: the sources.Source of the file.  Raises UsageError if it is no regular file."""
        super().__init__(style, place)
        source = source.opened(run.at_exit)
        info = os.fstat(source.fd)
        if not stat.S_ISREG(info.st_mode):
            raise UsageError('%s: --pipepart needs a regular file' % source.name,
                             'use --pipe < FILE')
        self._fd = source.fd
        self._name = source.name
        self._length = info.st_size
        self._at = 0                    # where the next range begins
        self._header = self._read_header()
        size = style.size
        if size < 0:
            size = 1 + self._length // (style.slots * -size)
        self._size = size

    def take(self):
        """Return the next Job; None if there is no more data."""
        if self.has_ended():
            return None
        start, end = self._at, self._end_of(self._at)
        self._at = end
        return self._job(self._header, lambda: FileRange(self._fd, self._name, start, end))

    def has_ended(self):
        """Return whether there are no more jobs."""
        return self._at >= self._length

    def left(self):
        """Return the number of jobs left, estimated from the size of the file."""
        return max(0, -(-(self._length - self._at) // self._size))

    def close(self):
        """Return no more."""
        self._length = self._at

    def _end_of(self, start):
        """Return where the range that begins at `start` ends: with the first record that ends at
        least `size` bytes after it.
        """
        marks, at = self._style.marks, start + self._size
        if at >= self._length or marks.is_anywhere:
            return min(at, self._length)
        data, base = b'', at
        while base + len(data) < self._length:
            more = self._pread(base + len(data))
            data += more
            end = marks.next_end(data, -1)
            if end >= 0:
                return base + end
            if not more:
                break
            # A mark may lie across two windows.
            keep = max(0, len(marks.end) + len(marks.start) - 1)
            base += max(0, len(data) - keep)
            data = data[len(data) - keep:] if keep else b''
        return self._length

    def _read_header(self):
        if self._style.header is None:
            return b''
        data, is_all = b'', False
        while True:
            more = self._pread(len(data))
            data, is_all = data + more, not more
            length = self._style.header(data, is_all)
            if length is not None:
                self._at = length
                return data[:length]

    def _pread(self, at):
        try:
            return os.pread(self._fd, WINDOW, at)
        except OSError as error:
            raise files.read_error(self._name, error)


class FileRange(DirectSource):
    """A range of a file, for the standard input of a job.  The file stays open."""

    # Whether sendfile(2) can be used; some file systems do not have it.
    _can_send = hasattr(os, 'sendfile')

    def __init__(self, fd, name, start, end):
        self._fd = fd
        self._name = name
        self._at = start
        self._end = end

    def send(self, fd):
        """Move bytes into a pipe without blocking; returns their number, 0 at the end."""
        if self._at == self._end:
            return 0
        size = min(SEND_SIZE, self._end - self._at)
        count = self._send_by_kernel(fd, size) if FileRange._can_send else None
        if count is None:
            data = os.pread(self._fd, min(size, WINDOW), self._at)
            count = os.write(fd, data) if data else 0
        if not count:
            raise OSError(errno.EIO, 'the file has become shorter', self._name)
        self._at += count
        return count

    def _send_by_kernel(self, fd, size):
        """Return the number of bytes that sendfile(2) has moved; None if it cannot be used."""
        try:
            return os.sendfile(fd, self._fd, self._at, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            FileRange._can_send = False
            return None

    def read(self, size):
        """Not used: PipeWriter calls send()."""
        raise NotImplementedError

    def close(self):
        """Nothing is held."""
