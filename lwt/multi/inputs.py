"""The source of jobs: lines that are read through the loop, or combinations of arguments.

Input is read only as jobs are started, so memory use does not grow with it, and the lines of a slow
input are run as they arrive.
"""

import collections
import os
import stat
from typing import NamedTuple, Optional, Pattern

from lwt.multi.job import Job
from lwt.multi.packing import Packer, Packing
from lwt.multi.sources import READ_SIZE, Source, combined, count, wrapped
from lwt.multi.template import Template
from lwt.workspace import files

MAX_LINE = 131071               # bytes of one argument, execve(2)


class Style(NamedTuple):
    """How input is read.

    separator: ends a line.  dos: remove a carriage return at the end of a line.
    slots: number of slots.
    whole: read all input before the first job, so that the number of jobs is known.
    tag: give jobs their arguments as a label.  label: a Template for the label, or None.
    columns: a compiled pattern between the arguments of one line, or None.
    trim: 'l', 'r' or 'lr': remove white space around arguments; '' to keep it.
    end: a value that ends a source, or None.  skips_empty: leave out blank values.
    is_shuffled: run the jobs in random order.
    is_linked: pair all sources, repeating the values of the shorter ones.
    packing: how many arguments each job gets.
    """

    separator: bytes
    dos: bool = False
    slots: int = 1
    whole: bool = False
    tag: bool = False
    label: Optional[Template] = None
    columns: Optional[Pattern] = None
    trim: str = ''
    end: Optional[bytes] = None
    skips_empty: bool = False
    is_shuffled: bool = False
    is_linked: bool = False
    packing: Packing = Packing()

    def text(self, data):
        """Return the first bytes of an input without a byte order mark; with -0, input is not text
        and has none.
        """
        return data if self.separator == b'\0' else files.without_bom(data)

    def cleaned(self, lines):
        """Return (the values that lines of a source are, whether they end it)."""
        if self.dos:
            lines = [line[:-1] if line.endswith(b'\r') else line for line in lines]
        is_end = self.end is not None and self.end in lines
        if is_end:
            lines = lines[:lines.index(self.end)]
        if self.skips_empty:
            lines = [line for line in lines if line.strip()]
        return lines, is_end

    def record(self, values):
        """Return the arguments that values of the sources are, as a tuple."""
        if self.columns is not None:
            values = [column or b'' for value in values for column in self.columns.split(value)]
        if self.trim == 'lr':
            values = [value.strip() for value in values]
        elif self.trim:
            values = [value.lstrip() if self.trim == 'l' else value.rstrip() for value in values]
        return tuple(values)


class LineReader:
    """Reads lines from a descriptor through the loop.

    Unless style.whole is set, it stores no more lines than one read(2) returns.
    """

    def __init__(self, loop, source, style, longest, on_lines):
        """source: a sources.Source with an open file.
        longest: maximum bytes of a line, 0 for no limit; longer lines are not stored completely.
        on_lines: called when there are new lines, or at the end.
        """
        self._fd = source.fd
        self._name = source.name
        self._loop = loop
        self._style = style
        self._whole = style.whole or style.is_shuffled
        self._longest = longest
        self._on_lines = on_lines
        self._partial = []
        self._reading = False
        self._lines = collections.deque()
        self._ended = False
        self._bytes_read = 0
        self._lines_read = 0
        self._is_first = True           # no line is complete yet
        self.problem = None             # the LwtError that ended the input early
        if source.begun:
            self._is_first = False      # its first line was a header
            self._take_in(source.begun)

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
        self._take_in(data)
        if self._ended or self._lines and not self._whole:
            self._rest()
            self._on_lines()

    def _take_in(self, data):
        """Add the lines that the next bytes complete; b'' is the end."""
        pieces = data.split(self._style.separator)
        if len(pieces) > 1 or not data:
            self._partial.append(pieces[0])
            pieces[0] = b''.join(self._partial)
            self._partial = [pieces.pop()] if data else []
            self._add(pieces if data or pieces[0] else [])
        elif not self._longest or sum(map(len, self._partial)) <= self._longest:
            self._partial.append(data)  # the rest of a line that is too long is not needed
        self._ended = self._ended or not data
        self._bytes_read += len(data)
        self._lines_read += len(pieces)
        if self._ended and self._style.is_shuffled:
            self._lines = collections.deque(shuffled(self._lines))

    def _add(self, lines):
        if lines and self._is_first:
            self._is_first = False
            lines[0] = self._style.text(lines[0])
        lines, self._ended = self._style.cleaned(lines)
        self._lines.extend(lines)


class Combinations:
    """The combinations of the values of several sources, with the interface of a LineReader."""

    problem = None

    def __init__(self, sources, style):
        """sources: sources.Sources; files are open."""
        values, linked = [source.all(style) for source in sources], [source.linked
                                                                     for source in sources]
        if style.is_linked:
            linked = [place > 0 for place in range(len(values))]
            values = wrapped(values)
        self._left = count(values, linked)
        self._records = combined(values, linked)
        if style.is_shuffled:
            self._records = iter(shuffled(self._records))
        self.has_ended = False

    def take(self):
        """Return the next values; None if there are no more."""
        found = None if self.has_ended else next(self._records, None)
        self.has_ended = found is None
        self._left -= found is not None
        return found

    def left(self):
        """Return the number of combinations left."""
        return max(0, self._left)

    def close(self):
        """Return no more."""
        self.has_ended = True


def shuffled(items):
    """Return items as a list in random order."""
    import random                       # here because it takes long and is rarely needed
    items = list(items)
    random.shuffle(items)
    return items


class Input:
    """The source of jobs: lines, or the combinations of several sources of arguments.

    was_done: a function of (number, commands) that returns whether an earlier run has done this
        job.
    more: called when there are new jobs, or at the end of the input.
    bad: (number, problem) of lines that cannot be run.
    holds_data: whether jobs hold data for their standard input in memory.
    """

    holds_data = False

    def __init__(self, run, style, place, sources):
        """place: a template.Template, or None if the input is command lines.
        sources: sources.Sources; none: standard input.
        """
        self._place = place
        self._style = style
        self._count = 0
        self._packer = None
        if style.packing != Packing():
            self._packer = Packer(style.packing, place, style.slots)
        self.was_done = lambda number, texts: False
        self.more = lambda: None
        self.bad = []
        sources = [source.opened(run.at_exit) for source in sources or [Source(path='-')]]
        self._is_lines = len(sources) == 1 and sources[0].path is not None
        if self._is_lines:
            self._records = LineReader(run.loop, sources[0], style, 0 if place else MAX_LINE,
                                       lambda: self.more())
        else:
            self._records = Combinations(sources, style)

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
        return self._records.has_ended and (self._packer is None or self._packer.is_empty)

    def left(self):
        """Return the number of jobs left, estimated if necessary; None if unknown."""
        left = self._records.left()
        if left is None or self._packer is None:
            return left
        if not self._style.packing.is_countable:
            return self._packer.jobs_left if self._records.has_ended else None
        return -(-left // self._style.packing.most) + self._packer.jobs_left

    def total(self):
        """Return the number of all jobs, estimated if necessary; None if unknown."""
        left = self.left()
        return None if left is None else self._count + left

    @property
    def problem(self):
        """The LwtError that ended the input early, or None."""
        return self._records.problem

    def close(self):
        """Stop reading."""
        self._records.close()

    def _next(self):
        """Return the arguments of the next job; None if there are none yet, or no more."""
        if self._packer is None:
            return self._record()
        while True:
            arguments = self._packer.take()
            if arguments is not None:
                return arguments
            record = self._record()
            if record is not None:
                self._packer.add(record)
            elif self._records.has_ended and not self._packer.is_empty:
                self._packer.end()
            else:
                return None

    def _record(self):
        """Return the arguments of the next line or combination; None as for _next."""
        values = self._records.take()
        if values is None:
            return None
        return self._style.record((values,) if self._is_lines else values)

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
        return Job(number, fill if has_slot else lambda _slot: text,
                   self._label(arguments, number, text), arguments=arguments)

    def _label(self, arguments, number, text):
        """Return what goes before each line of output of a job."""
        style = self._style
        if style.label is not None:
            total = self.total() or 0 if style.label.has_total else 0
            return style.label.fill(arguments, number, 0, total, style.slots) + b'\t'
        if style.tag:
            return (text if self._place is None else b' '.join(arguments)) + b'\t'
        return b''

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
