"""The log of lwt: a line per event, on standard error (-v) and in a file (option log).

Each line has time, host, task and attempt: as words KEY=VALUE, or with log_format json as one JSON
object.  A large file is rotated: FILE.1 is the youngest of the old files.  Several lwt processes
may write to one file.
"""

import contextlib
import fcntl
import json
import logging
import logging.handlers
import os
import sys
import time

from lwt.errors import os_error_text, printable_text
from lwt.output import writer
from lwt.workspace import files

MAX_BYTES = 1 << 20
KEPT = 4                    # old files
FIELDS = ('host', 'task', 'attempt')


def start(verbose, path, as_json):
    """Log events from now on.  verbose: print them on standard error.  path: the log file, or ''.

    If the file cannot be written, a message says so and lwt continues without it.
    """
    logger = logging.getLogger('lwt')
    if logger.handlers:
        return
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if verbose:
        logger.addHandler(_formatted(_Shown(), _Words('lwt: ', '%H:%M:%S')))
    if path:
        try:
            _rotate(path)
            handler = _formatted(_File(path, encoding='utf-8'),
                                 _Json() if as_json else _Words('', '%Y-%m-%dT%H:%M:%S'))
            logger.addHandler(handler)
        except OSError as error:
            writer.say('the log cannot be written: ' + os_error_text(path, error))


def _formatted(handler, formatter):
    handler.setFormatter(formatter)
    return handler


def _rotate(path):
    """Rename a large file to FILE.1, and FILE.1 to FILE.2 and so on, under a lock."""
    fd = files.open_private(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        info = os.fstat(fd)
        if info.st_size < MAX_BYTES or not os.path.samestat(info, os.stat(path)):
            return
        for number in range(KEPT, 0, -1):
            older = path if number == 1 else '%s.%d' % (path, number - 1)
            with contextlib.suppress(FileNotFoundError):
                os.replace(older, '%s.%d' % (path, number))
    finally:
        os.close(fd)


class _Quiet:
    """A handler that prints one message if it cannot write, and not a traceback per event."""

    said = False

    def handleError(self, record):
        if not self.said:
            self.said = True
            writer.say('the log cannot be written: %s' % sys.exc_info()[1])


class _File(_Quiet, logging.handlers.WatchedFileHandler):
    """The log file, with mode 0600; opened again after another lwt has renamed it."""

    def _open(self):
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK
        return open(files.open_private(self.baseFilename, flags), 'a', encoding='utf-8',
                    errors='backslashreplace')


class _Shown(_Quiet, logging.Handler):
    """Standard error.  If it is a pipe with a slow reader, lwt does not wait before it exits."""

    def __init__(self):
        super().__init__()
        self._fd = writer.reopened_pipe(2)
        self._waiting = b''

    def emit(self, record):
        data = writer.encoded(self.format(record) + '\n')
        if self._fd is None:
            writer.put_error(writer.over_progress(writer.sanitised(data)) if os.isatty(2) else data)
        else:
            self._waiting += data
            with contextlib.suppress(OSError):
                self._waiting = self._waiting[os.write(self._fd, self._waiting):]

    def close(self):
        """Write the rest; this may wait for the reader."""
        writer.put_error(self._waiting)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        super().close()


class _Words(logging.Formatter):
    """Lines of words: TIME host=H task=T attempt=N TEXT."""

    def __init__(self, before, times):
        super().__init__()
        self._before = before
        self._times = times

    def format(self, record):
        """A record as one line."""
        fields = ' '.join('%s=%s' % (name, getattr(record, name, '') or '-') for name in FIELDS)
        when = time.strftime(self._times, time.localtime(record.created))
        return '%s%s %s %s' % (self._before, when, fields,
                               printable_text(record.getMessage(), 1000))


class _Json(logging.Formatter):
    """One JSON object per line; missing fields are null."""

    def format(self, record):
        """A record as one line."""
        fields = {name: getattr(record, name, '') or None for name in FIELDS}
        return json.dumps(dict(fields, time=round(record.created, 3), pid=record.process,
                               text=record.getMessage()))
