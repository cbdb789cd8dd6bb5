"""The source of jobs: lines that are read through the loop, or combinations of arguments.

Input is read only as jobs are started, so memory use does not grow with it, and the lines of a slow
input are run as they arrive.
"""

import collections
import os
import stat
from typing import NamedTuple

from lwt.multi import template
from lwt.multi.executor import Job
from lwt.workspace import files

READ_SIZE = 65536
MAX_LINE = 131071               # bytes of one argument, execve(2)


class Style(NamedTuple):
    """How input is read.

    separator: ends a line.  dos: remove a carriage return at the end of a line.
    tag: give jobs a label.  slots: number of slots.
    whole: read all input before the first job, so that the number of jobs is known.
    """

    separator: bytes
    dos: bool
    tag: bool
    slots: int = 1
    whole: bool = False


class LineReader:
    """Reads lines from a descriptor through the loop.

    Unless style.whole is set, it stores no more lines than one read(2) returns.
    """

    def __init__(self, loop, source, style, longest, on_lines):
        """source: (fd, name for messages).
        longest: maximum bytes of a line, 0 for no limit; longer lines are not stored completely.
        on_lines: called when there are new lines, or at the end.
        """
        self._fd, self._name = source
        self._loop = loop
        self._separator = style.separator
        self._whole = style.whole
        self._longest = longest
        self._on_lines = on_lines
        self._partial = []
        self._reading = False
        self._lines = collections.deque()
        self._ended = False
        self._bytes_read = 0
        self._lines_read = 0
        self.problem = None             # the LwtError that ended the input early

    @property
    def has_ended(self):
        """Whether there are no more lines."""
        return self._ended and not self._lines

    def left(self):
        """Return the number of lines left, estimated for a file from its size; None if unknown."""
        if self._ended:
            return len(self._lines)
        info = os.fstat(self._fd)
        if not stat.S_ISREG(info.st_mode) or not self._lines_read:
            return None
        return (len(self._lines)
                + max(0, info.st_size - self._bytes_read) * self._lines_read // self._bytes_read)

    def take(self):
        """Return the next line without its separator; None if there is none yet, or no more."""
        is_wanting = not self._ended and (self._whole or not self._lines)
        if is_wanting and not self._reading:
            self._reading = True
            self._loop.add_reader(self._fd, self._read)
        return self._lines.popleft() if self._lines and not (is_wanting and self._whole) else None

    def close(self):
        """Stop reading."""
        self._ended = True
        self._lines.clear()
        self._rest()

    def _rest(self):
        if self._reading:
            self._reading = False
            self._loop.remove(self._fd)

    def _read(self):
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self.problem = files.read_error(self._name, error)
            self._ended = True          # complete lines are run; a truncated last line is not
            self._rest()
            self._on_lines()
            return
        pieces = data.split(self._separator)
        if len(pieces) > 1 or not data:
            self._partial.append(pieces[0])
            pieces[0] = b''.join(self._partial)
            self._partial = [pieces.pop()] if data else []
            self._lines.extend(pieces if data or pieces[0] else ())
        elif not self._longest or sum(map(len, self._partial)) <= self._longest:
            self._partial.append(data)  # the rest of a line that is too long is not needed
        self._ended = not data
        self._bytes_read += len(data)
        self._lines_read += len(pieces)
        if self._ended or self._lines and not self._whole:
            self._rest()
            self._on_lines()


class Input:
    """The source of jobs: lines, or the combinations of several sources of arguments.

    was_done: a function of (number, commands) that returns whether an earlier run has done this
        job.
    more: called when there are new jobs, or at the end of the input.
    bad: (number, problem) of lines that cannot be run.
    """

    def __init__(self, run, style, place, sources):
        self._place = place
        self._style = style
        self._count = 0
        self._combined = None
        self._reader = None
        self._ended = False
        self._is_first = True           # the next line is the first one
        self.was_done = lambda number, texts: False
        self.more = lambda: None
        self.bad = []
        if not sources or len(sources) == 1 and sources[0].path is not None:
            path = files.user_path(sources[0].path) if sources else ''
            fd_and_name = (self._open(run, path), path) if sources else (0, 'standard input')
            self._reader = LineReader(run.loop, fd_and_name, style,
                                      0 if place else MAX_LINE, lambda: self.more())
        else:
            values, linked = [self._values(source) for source in sources], [source.linked
                                                                            for source in sources]
            self._combined = template.combined(values, linked)
            self._total = template.count(values, linked)

    def _open(self, run, path):
        if path == '-':
            return 0
        try:
            fd = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise files.read_error(path, error)
        run.at_exit(lambda: os.close(fd))
        return fd

    def _values(self, source):
        if source.path is None:
            return [os.fsencode(word) for word in source.words]
        path = files.user_path(source.path)
        try:
            with open(0 if path == '-' else path, 'rb', closefd=path != '-') as file:
                lines = file.read().split(self._style.separator)
        except OSError as error:
            raise files.read_error(path, error)
        lines[0] = self._without_bom(lines[0])
        return lines if lines[-1] else lines[:-1]

    def _without_bom(self, line):
        """Return the first line without a byte order mark; with -0, input is not text and has none.
        """
        return line if self._style.separator == b'\0' else files.without_bom(line)

    def take(self):
        """Return the next Job; None if there is none yet, or no more."""
        while True:
            arguments = self._next()
            if arguments is None:
                return None
            job = self._job(arguments)
            if job is not None:
                return job

    def has_ended(self):
        """Return whether there are no more jobs."""
        return self._ended if self._reader is None else self._reader.has_ended

    def left(self):
        """Return the number of jobs left, estimated if necessary; None if unknown."""
        return max(0, self._total - self._count) if self._reader is None else self._reader.left()

    def total(self):
        """Return the number of all jobs, estimated if necessary; None if unknown."""
        left = self.left()
        return None if left is None else self._count + left

    @property
    def problem(self):
        """The LwtError that ended the input early, or None."""
        return None if self._reader is None else self._reader.problem

    def close(self):
        """Stop reading."""
        self._ended = True
        if self._reader is not None:
            self._reader.close()

    def _next(self):
        if self._reader is None:
            found = None if self._ended else next(self._combined, None)
            self._ended = found is None
            return found
        line = self._reader.take()
        if line is not None and self._is_first:
            line, self._is_first = self._without_bom(line), False
        if line is not None and self._style.dos and line.endswith(b'\r'):
            line = line[:-1]
        return None if line is None else (line,)

    def _job(self, arguments):
        if self._place is None and not arguments[0].strip():
            return None                 # a blank line is not a command; arguments may be empty
        self._count += 1
        number, place = self._count, self._place
        fill = self._filling(arguments, number)
        text = fill(1)
        problem = (place.problem(arguments) if place is not None else '') or _problem(text)
        if problem:
            self.bad.append((number, problem))
            return None
        has_slot = place is not None and place.has_slot
        # With {%}, the job log may have the command with any slot number.
        texts = map(fill, range(1, self._style.slots + 1)) if has_slot else (text,)
        if self.was_done(number, texts):
            return None
        label = ((text if place is None else b' '.join(arguments)) + b'\t' if self._style.tag
                 else b'')
        return Job(number, fill if has_slot else lambda _slot: text, label)

    def _filling(self, arguments, number):
        """Return a function that returns the command of a job for a slot number."""
        place, slots = self._place, self._style.slots
        if place is None:
            return lambda _slot: b' '.join(arguments)
        total = self.total() or 0 if place.has_total else 0
        return lambda slot: place.fill(arguments, number, slot, total, slots)


def _problem(text):
    if b'\0' in text:
        return 'command contains a NUL byte'
    if len(text) > MAX_LINE:
        return 'command too long (limit %d bytes)' % MAX_LINE
    return ''


