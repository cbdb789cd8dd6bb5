"""All output of lwt.  Only this module and cli print.

Results go to standard output, messages of lwt to standard error.  While a loop runs, both go
through a Writer, which never blocks the loop.  If the reader of the output is slow, the Writer
pauses the pool, so that the children are read more slowly too.  On a terminal, control characters
from hosts are made visible, so that a host cannot drive the terminal; everywhere else, bytes are
not changed.
"""

import codecs
import collections
import contextlib
import errno
import fcntl
import os
import re
import select
import stat

from lwt.errors import Interrupted, LocalError, os_error_text

HIGH_WATER = 1 << 20
LOW_WATER = 1 << 18
CHUNK = 1 << 18
F_SETPIPE_SZ = 1031             # fcntl(2); the module has the name since Python 3.10
MANY_SOURCES = 64               # iterators that wait for a slow reader before the pool is paused
SIGPIPE = 13

# Characters that could drive or deceive a terminal: C0 except tab and newline, DEL, C1, bytes of C1
# that are not UTF-8, characters that change the direction of text, and characters without width.
_UNSAFE = ('[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e'
           '\u2060-\u206f\ufeff\ufff9-\ufffb\udc80-\udc9f]')
_HARMLESS = str.maketrans('', '', '\t\n')      # not printable, but safe on a terminal
_COLOURS = {'red': 31, 'green': 32, 'yellow': 33, 'dim': 2, 'bold': 1}
_OWN_COLOUR = re.compile('(\033\\[(?:%s|0)m)' % '|'.join(map(str, _COLOURS.values())))
MAX_MESSAGE = 4000              # characters of a message of lwt


def sanitised(data, decode=lambda data: data.decode('utf-8', 'surrogateescape')):
    """Bytes that are safe on a terminal: each unsafe byte is replaced by the text \\xNN.

    decode: with an incremental decoder, data may end in the middle of a character.
    """
    text = decode(data)
    # The pattern takes long to compile, and is rarely needed.
    if not text.translate(_HARMLESS).isprintable():
        text = re.sub(_UNSAFE, lambda match: ''.join('\\x%02x' % byte
                                                     for byte in encoded(match.group())), text)
    return encoded(text)


def encoded(text):
    """Text as UTF-8, independent of the locale; restores bytes that surrogateescape has decoded."""
    return text.encode('utf-8', 'surrogateescape')


# -- losses: output that could not be written ------------------------------------------------------

STREAMS = {1: 'standard output', 2: 'standard error'}
_closed = set()                 # streams of STREAMS that were closed when lwt was started
# Name of a stream or file -> its LocalError, in the order in which they failed.
_losses = {}


def begin(closed=()):
    """Forget all losses.  closed: which of the standard streams 1 and 2 were closed when lwt was
    started.
    """
    _losses.clear()
    _closed.clear()
    _closed.update(closed)


def note_loss(name, error):
    """Note that output could not be written.  The run continues, and lwt exits with 74 at the end.

    name: the stream or file.  error: an OSError or a LocalError.
    """
    if not isinstance(error, LocalError):
        error = LocalError(os_error_text(name, error))
    _losses.setdefault(name, error)


def losses():
    """The losses, as a list with one LocalError per stream or file."""
    return list(_losses.values())


def is_lost(name):
    """Whether output to this stream or file was lost."""
    return name in _losses


def _write_some(stream, fd, data):
    """Write to a standard stream.  Returns the number of bytes that were written or dropped.

    stream: 1 or 2.  fd: a descriptor for it.  If a write fails, this is noted as a loss, and these
    and all further data are dropped.  Raises BlockingIOError; Interrupted if the reader of a pipe
    is gone.
    """
    name = STREAMS[stream]
    if name in _losses:
        return len(data)
    if stream in _closed:
        note_loss(name, LocalError(name + ': closed'))
        return len(data)
    try:
        return os.write(fd, data)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise Interrupted(SIGPIPE)
        note_loss(name, error)
        return len(data)


class Writer:
    """Writes to a descriptor under a loop: at once if possible, else when the descriptor is ready.

    The pool is paused while more than HIGH_WATER bytes wait for a slow reader.  A pipe is opened
    again, because O_NONBLOCK on the original would change it for other processes that share it.
    Other descriptors are written when they are ready, PIPE_BUF bytes at a time; this never blocks.
    """

    def __init__(self, run, fd):
        self._run = run
        self._stream = fd
        self.is_tty = os.isatty(fd)
        # A character may arrive in pieces.
        self._decode = codecs.getincrementaldecoder('utf-8')('surrogateescape').decode
        mode = os.fstat(fd).st_mode
        # Writing to regular files and devices such as /dev/null never blocks.
        self._is_file = stat.S_ISREG(mode) or stat.S_ISCHR(mode) and not self.is_tty
        own = reopened_pipe(fd)
        self._fd = fd if own is None else own
        self._most = select.PIPE_BUF if own is None and not self._is_file else CHUNK
        if own is not None:
            run.at_exit(lambda: os.close(own))
        self._waiting = bytearray()
        # Iterators of bytes, to be written after _waiting.
        self._sources = collections.deque()
        self._held = False
        self._watched = False
        # A ProgressLine on the same terminal, which is cleared before other output is written.
        self.progress = None
        self.is_trusted = False         # the output may contain control characters for a terminal
        self.error = None               # Interrupted, if the reader of a pipe is gone

    @property
    def is_lost(self):
        """Whether all further data are dropped."""
        return self.error is not None or is_lost(STREAMS[self._stream])

    def write(self, data):
        """Write bytes, at once or later."""
        if not data or self.is_lost:
            return
        if self._sources:
            self._sources.append(iter((data,)))
        else:
            self._take(data)
        self._watch()

    def write_from(self, chunks):
        """Write the bytes of an iterator, which is read no faster than its bytes can be written."""
        if not self.is_lost:
            self._sources.append(chunks)
            self._watch()

    def _watch(self):
        if not self._watched and (self._waiting or self._sources):
            self._watched = True
            self._run.loop.add_writer(self._fd, self._flush)
        if ((len(self._waiting) > HIGH_WATER or len(self._sources) > MANY_SOURCES)
            and not self._held):
            self._held = True
            self._run.pool.pause()

    def _flush(self):
        if self.progress is not None:
            self.progress.clear()
        while self._sources and len(self._waiting) < self._most:
            chunk = next(self._sources[0], None)
            if chunk is None:
                self._sources.popleft()
            else:
                self._take(chunk)
        self._flush_some()
        if not self._waiting and not self._sources:
            self._run.loop.remove(self._fd)
            self._watched = False
            if self.progress is not None:
                self.progress.come_back()
        if self._held and len(self._waiting) < LOW_WATER and len(self._sources) < MANY_SOURCES:
            self._held = False
            self._run.pool.resume()

    def _take(self, data):
        """Take the next bytes to write.  Bytes that can be written now are not copied first."""
        if self.is_tty and not self.is_trusted:
            data = sanitised(data, self._decode)
        if not self._waiting and self._most == CHUNK:
            data = data[self._written(data):]
        self._waiting += data

    def _flush_some(self):
        if self._waiting:
            chunk = self._waiting[:self._most]
            count = self._written(chunk)
            if self.progress is not None:
                self.progress.note(chunk[:count])
            del self._waiting[:count]

    def _written(self, data):
        """Write data; returns the number of bytes that were written or dropped."""
        count = 0
        try:
            count = _write_some(self._stream, self._fd, data)
        except BlockingIOError:
            pass
        except Interrupted as error:
            self.error = error
            self._run.pool.cancel()
        if self.is_lost:
            self._waiting.clear()
            self._sources.clear()
            count = len(data)
        return count


def reopened_pipe(fd):
    """A new non-blocking descriptor for the pipe fd; None if fd is not a pipe, or on failure."""
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        return None
    try:
        own = os.open('/proc/self/fd/%d' % fd, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        fcntl.fcntl(own, F_SETPIPE_SZ, CHUNK)       # its reader is woken less often
    return own


class Output:
    """Standard output and standard error of a run."""

    def __init__(self, run):
        self.out = Writer(run, 1)
        self.err = Writer(run, 2)

    def stream(self, name):
        """The Writer for 'stdout' or 'stderr'."""
        return self.out if name == 'stdout' else self.err

    def say(self, text):
        """Print a message of lwt on standard error."""
        self.err.write(message(text))

    def share_terminal(self, progress):
        """Clear a ProgressLine before output is written to its terminal, and restore it afterwards.
        """
        for writer in (self.out, self.err):
            if writer.is_tty:
                writer.progress = progress

    def trust(self):
        """Allow control characters, because the output comes from the user's own programs on this
        machine.
        """
        for writer in (self.out, self.err):
            writer.is_trusted = True

    def check(self):
        """Raise Interrupted if the reader of a pipe is gone."""
        for writer in (self.out, self.err):
            if writer.error is not None:
                raise writer.error


# -- outside a loop --------------------------------------------------------------------------------


def put_line(text=''):
    """Print a line of lwt's own results; it may have colours and quote text from hosts."""
    text += '\n'
    _put(_cleaned(text) if os.isatty(1) else encoded(text))


def _cleaned(text):
    """Text as bytes that are safe on a terminal; only the control sequences of lwt's colours stay.
    """
    parts = _OWN_COLOUR.split(text)
    return b''.join(encoded(part) if number % 2 else sanitised(encoded(part))
                    for number, part in enumerate(parts))


def clear_screen():
    """Clear the terminal on standard output."""
    _put(b'\033[H\033[J')


def put_bytes(data, stream=1):
    """Print bytes, which may come from a host.  stream: 1 standard output, 2 standard error."""
    _put(sanitised(data) if os.isatty(stream) else data, stream)


def put_pieces(pieces, stream=1):
    """Print bytes in pieces; a piece may end in the middle of a character."""
    decode = codecs.getincrementaldecoder('utf-8')('surrogateescape').decode
    is_tty = os.isatty(stream)
    for piece in pieces:
        _put(sanitised(piece, decode) if is_tty else piece, stream)
    if is_tty:
        _put(sanitised(b'', lambda data: decode(data, True)), stream)


def _put(data, stream=1):
    view = memoryview(data)
    while view:
        view = view[_write_some(stream, stream, view):]


def json_line(value):
    """A value as one line of JSON, as bytes."""
    import json                         # here, because few commands need it
    return json.dumps(value).encode() + b'\n'


def say(text):
    """Print a message of lwt on standard error.  A full disk is noted as a loss, a closed
    descriptor is not.
    """
    if 2 not in _closed:
        with contextlib.suppress(Interrupted, BlockingIOError):
            _put(message(text), 2)


def message(text):
    """A message of lwt as bytes: one line, cut, and harmless to a terminal that shows it later."""
    text = text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + '…'
    return sanitised(encoded('lwt: %s\n' % text))


def put_error(data):
    """Print bytes or text on standard error and ignore failures, for example for a progress line.
    """
    with contextlib.suppress(OSError):
        os.write(2, data if isinstance(data, bytes) else encoded(data))


def over_progress(data):
    """Bytes for a terminal, after the control sequence that clears a progress line."""
    return b'\r\033[K' + data


def coloured(text, colour, environ):
    """text in a colour if standard output is a terminal and NO_COLOR is not set."""
    if not os.isatty(1) or environ.get('NO_COLOR') or environ.get('TERM') == 'dumb':
        return text
    return '\033[%dm%s\033[0m' % (_COLOURS[colour], text)


def columns():
    """The width of the terminal on standard error; 80 if there is none."""
    try:
        return os.get_terminal_size(2).columns or 80
    except OSError:
        return 80
