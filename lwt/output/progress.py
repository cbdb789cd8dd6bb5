"""The progress of a run: its state, rate and estimated time left, and the line that shows them."""

import os
import time
from typing import Callable, NamedTuple, Optional

from lwt.errors import printable_text
from lwt.output import units, writer

BAR_WIDTH = 20                  # characters between the brackets of a bar
SHORTEST = 0.4                  # seconds after which a rate means something
STEP = 0.5                      # seconds between two updates of a line on a terminal


class Progress(NamedTuple):
    """The progress of a run: `12 of 40 done, 4 running, 2 failed, 1.5/s, ETA 18.7 s`.

    done, total: number of items, or of bytes; total is None if it is unknown.  elapsed: seconds
    since the run began.  counts: further (number, word) pairs; zeros are not shown.  before: number
    of items that were done when the run began.  word: text after the numbers.  show: formats a
    number of items or bytes.
    """

    done: float
    total: Optional[float]
    elapsed: float
    counts: tuple = ()
    before: float = 0
    word: str = ' done'
    show: Callable = str

    @classmethod
    def of_bytes(cls, moved, expected, elapsed):
        """The progress of a transfer: `2.0 MB of 9.0 MB, 1.0 MB/s, ETA 7.0 s`."""
        return cls(moved, expected, elapsed, word='', show=units.size)

    @property
    def rate(self):
        """Items or bytes per second; 0.0 as long as it is unknown."""
        done = self.done - self.before
        return done / self.elapsed if done > 0 and self.elapsed > SHORTEST else 0.0

    @property
    def seconds_left(self):
        """The estimated time left in seconds, at this rate; None if it is unknown."""
        if not self.rate or self.total is None:
            return None
        return max(0, self.total - self.done) / self.rate

    def text(self):
        """The numbers, the rate and the estimated time left."""
        of_total = '' if self.total is None else ' of ' + self.show(self.total)
        parts = [self.show(self.done) + of_total + self.word]
        parts += ['%d %s' % (number, word) for number, word in self.counts if number]
        return ', '.join(parts + self.pace())

    def pace(self):
        """The rate and the estimated time left, as a list of texts, as far as they are known."""
        parts = []
        if self.rate >= 0.1:
            rate = '%.1f' % self.rate if self.show is str else self.show(self.rate)
            parts.append(rate + '/s')
        if self.seconds_left:
            parts.append('ETA ' + units.duration(self.seconds_left))
        return parts

    def bar(self):
        """A bar with the percentage; empty if the total is unknown."""
        if not self.total:
            return ''
        fraction = min(1.0, self.done / self.total)
        return '[%s] %3d%%  ' % (('#' * int(BAR_WIDTH * fraction)).ljust(BAR_WIDTH, '-'),
                                 int(100 * fraction))


class ProgressLine:
    """A progress line on standard error.  On a terminal it is overwritten; elsewhere, a new line is
    printed from time to time.

    wanted: whether to show anything.  every: seconds between two lines if standard error is not a
    terminal.
    """

    def __init__(self, wanted, every=10.0, clock=time.monotonic):
        self.is_wanted = wanted
        self._is_tty = os.isatty(2)
        self._every = every
        self._clock = clock
        self._next = 0.0
        self._width = 0                 # characters of the visible line
        self._text = ''                 # text of the line
        self._is_free = True            # whether the cursor is at the beginning of a line
        self._timer = None              # shows the next progress

    def show(self, text):
        """Replace the line; elsewhere than on a terminal, print another one if it is due."""
        if self.is_wanted and self._is_tty:
            self._text = text
            self.come_back()
        elif self.is_wanted and self._clock() >= self._next:
            self._next = self._clock() + self._every
            writer.put_error(writer.message(text))

    def follow(self, loop, report, wait=0.0):
        """Show the progress every STEP seconds until end(), if it is wanted.

        report(): returns a Progress, which gets a bar on a terminal, or a text.  wait: seconds
        until it is shown for the first time.
        """
        def look():
            progress = report()
            if isinstance(progress, Progress):
                progress = (progress.bar() if self._is_tty else '') + progress.text()
            self.show(progress)
            self._timer = loop.call_later(STEP, look)

        if self.is_wanted and wait:
            self._timer = loop.call_later(wait, look)
        elif self.is_wanted:
            look()

    def come_back(self):
        """Show the line again, unless it would overwrite an unfinished line of output."""
        if self._text and self._is_free:
            # One column stays free, and another is for the ellipsis of a line that is cut.
            text = printable_text(self._text, writer.columns() - 2)
            writer.put_error('\r' + text.ljust(self._width))
            self._width = len(text)

    def note(self, data):
        """Called after bytes were written to the terminal of the line."""
        if data:
            self._is_free = data.endswith(b'\n')

    def clear(self):
        """Remove the line before other output is printed."""
        if self._width:
            writer.put_error('\r' + ' ' * self._width + '\r')
            self._width = 0

    def end(self):
        """Remove the line permanently."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.clear()
        self._text = ''


def stopping_text(count, noun):
    """The message for an interrupted run that still waits for `count` hosts or jobs (noun)."""
    plural = 's' if count > 1 else ''
    return 'stopping %d %s%s; ^C again kills at once' % (count, noun, plural)
