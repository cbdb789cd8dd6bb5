"""Writes the input of a process into a pipe, without blocking.

Bytes come from memory, from a PipeSource, or from a DirectSource, which lets the kernel move them.
"""

import fcntl
import os
import sys

from lwt.selectors_loop import READ_SIZE, PipeSource, chunk_size

NEW_PIPE = 4096             # bytes that fit into a new pipe at once, on every system
WIDE_PIPE = 1 << 20         # bytes; /proc/sys/fs/pipe-max-size allows this much by default
F_SETPIPE_SZ = 1031         # <linux/fcntl.h>; the module fcntl has it since Python 3.10


class DirectSource(PipeSource):
    """A PipeSource that moves its bytes into the pipe itself, without lwt reading them."""

    def send(self, fd):
        """Move bytes into a pipe without blocking; returns their number, 0 at the end.

        Raises BlockingIOError if the pipe is full, BrokenPipeError if nothing reads it, and another
        OSError if the source cannot be read.
        """
        raise NotImplementedError


def widen(fd, size):
    """Let a pipe hold up to `size` bytes, at most WIDE_PIPE, if the system allows it.

    pipe(7), Linux 2.6.35: F_SETPIPE_SZ; a user without privileges may only have so much in total.
    """
    if size > READ_SIZE and sys.platform == 'linux':
        try:
            fcntl.fcntl(fd, F_SETPIPE_SZ, min(size, WIDE_PIPE))
        except OSError:
            pass


class PipeWriter:
    """Writes into a pipe without blocking: `data`, then all of `source`.

    At the end it closes the pipe, or, if heartbeat is not 0, writes a newline every `heartbeat`
    seconds until it is closed.

    loop: a Loop.  timers: the Timers for the heartbeats.  fd: the writing end of a new pipe, which
    this object then owns.  data: bytes.  source: a PipeSource or None.  rate: limit in bytes per
    second; 0: no limit.  on_unreadable: called when the source raised an OSError, which is then in
    `error`.
    """

    def __init__(self, loop, timers, fd, data, source, rate, heartbeat, on_unreadable):
        self._loop = loop
        self._timers = timers
        self._fd = fd                   # -1: closed
        self._pending = memoryview(data)
        self._source = source
        self._rate = rate
        self._chunk = chunk_size(rate)
        self._heartbeat = heartbeat
        self._on_unreadable = on_unreadable
        self._is_waiting = False        # whether the source returned None
        self.error = None               # the OSError of the source
        self.moved_at = loop.time()     # when a byte was last written

    def start(self):
        """Begin to write."""
        os.set_blocking(self._fd, False)
        if not self._rate:
            is_direct = isinstance(self._source, DirectSource)
            widen(self._fd, WIDE_PIPE if is_direct else len(self._pending))
        if self._source is not None or self._rate or len(self._pending) > NEW_PIPE:
            self._loop.add_writer(self._fd, self._write)
        else:
            self._write_whole()

    def ask_again(self):
        """Read the source again if it returned None before."""
        if self._is_waiting:
            self._is_waiting = False
            self._resume()

    def close(self):
        """Close the pipe and the source; drop the bytes that are not written yet."""
        self._close_source()
        if self._fd != -1:
            self._loop.remove(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _write_whole(self):
        """Write all pending bytes, which certainly fit into a new pipe."""
        try:
            if self._pending:
                os.write(self._fd, self._pending)
        except OSError:                 # EPIPE, as in _write
            self.close()
            return
        self._pending = b''
        self.moved_at = self._loop.time()
        self._end()

    def _write(self):
        if not self._pending and isinstance(self._source, DirectSource):
            self._send()
            return
        if not self._pending and self._source is not None and not self._fill():
            return
        if not self._pending:
            self._end()
            return
        try:
            count = os.write(self._fd, self._pending[:self._chunk] if self._rate else self._pending)
        except BlockingIOError:
            return
        # EPIPE: the child closed its input; its exit code says whether that is an error.
        except OSError:
            self.close()
            return
        self._pending = self._pending[count:]
        self.moved_at = self._loop.time()
        if self._rate:
            self._loop.remove(self._fd)
            self._loop.call_later(count / self._rate, self._resume)

    def _send(self):
        """Let a DirectSource move bytes into the pipe."""
        try:
            count = self._source.send(self._fd)
        except BlockingIOError:
            return
        except BrokenPipeError:         # as in _write
            self.close()
            return
        except OSError as error:
            self._give_up(error)
            return
        self.moved_at = self._loop.time()
        if not count:
            self._close_source()
            self._end()

    def _give_up(self, error):
        """The source cannot be read."""
        self.error = error
        self.close()
        self._on_unreadable()

    def _fill(self):
        """Read bytes from the source; returns False if it has none now or cannot be read."""
        try:
            data = self._source.read(READ_SIZE)
        except OSError as error:
            self._give_up(error)
            return False
        if data is None:
            self._is_waiting = True
            self._source.wake = self.ask_again
            self._loop.remove(self._fd)
            return False
        self._pending = memoryview(data)
        if not data:
            self._close_source()
        return True

    def _resume(self):
        if self._fd != -1:
            self._loop.remove(self._fd)         # it may be watched already
            self._loop.add_writer(self._fd, self._write)

    def _end(self):
        """Everything is written."""
        if self._heartbeat:
            self._loop.remove(self._fd)
            self._timers.call_later(self._heartbeat, self._beat)
        else:
            self.close()

    def _beat(self):
        if self._fd == -1:
            return
        try:
            os.write(self._fd, b'\n')
        except BlockingIOError:         # a full pipe holds enough heartbeats
            pass
        except OSError:
            self.close()
            return
        self._timers.call_later(self._heartbeat, self._beat)

    def _close_source(self):
        if self._source is not None:
            self._source.close()
            self._source = None
