"""Keys: the key of a line, the arguments of sort, and the partition of a line.

A partition is a range of keys, and the ranges follow each other in the order of sort.  So the
results of the partitions, one after the other, are the result of `sort | reduce` on all lines,
whatever the reducer prints, and no merge is needed.  The bounds are taken from samples of all parts
of the input.  Equal keys are always in one partition.

Only if keys are ordered by the rules of a language (LC_ALL=de_DE) does lwt not know the order: then
a hash of the key decides, and sort has to merge.

The way to split lines was chosen by measurement: a bisection of each whole line against the bounds,
in a list of lines, takes 0.15 us.  On two cores, neither awk with pipes nor several processes are
faster.  It works for keys at the beginning of lines, if no bound has a byte that sorts before a
blank; other keys are extracted first.

This module knows nothing of hosts or processes.
"""

import os
import re
from bisect import bisect_right
from typing import NamedTuple

SAMPLES = 400                   # places of the input to look at, for each partition
MOST_SAMPLES = 20000
SAMPLE_BYTES = 1 << 12          # bytes to read at each place; LONG_SAMPLE_BYTES if lines are long
LONG_SAMPLE_BYTES = 1 << 18
LINES_A_SAMPLE = 4
ENOUGH = 20                     # minimum number of sampled lines for each partition
SMALL = 1 << 20                 # an input of at most this many bytes is read completely
BYTE_ORDER = ('', 'C', 'POSIX')
NUMBER = re.compile(rb'[ \t]*(-?[0-9]*\.?[0-9]*)')
NUMERIC = b'0123456789.- '


class SortOrder(NamedTuple):
    """How lines are sorted: by which column (from 1), by number or by bytes, and by which rules.

    delimiter: one byte, or b'' for blanks, as in sort: a column begins with the blanks before it.
    collate: the name of a locale; '' for the order of bytes.
    """

    column: int = 1
    delimiter: bytes = b''
    numeric: bool = False
    reverse: bool = False
    collate: str = ''

    @property
    def is_by_bytes(self):
        """Whether keys are ordered by their bytes or numbers.  (C.UTF-8 orders by bytes.)"""
        return self.numeric or self.has_plain_rules

    @property
    def has_plain_rules(self):
        """Whether bytes are compared without the rules of a language, for any keys."""
        return self.collate.partition('.')[0] in BYTE_ORDER

    def sort_words(self, memory=''):
        """Return the arguments of sort for this order.  memory: the value of -S, or ''."""
        words = ['-k%d,%d' % (self.column, self.column)]
        words += ['-t', os.fsdecode(self.delimiter)] if self.delimiter else []
        words += ['-n'] * self.numeric + ['-r'] * self.reverse
        return words + (['-S', memory] if memory else [])

    @property
    def variables(self):
        """Return {variable: value}, the environment in which sort uses this order."""
        if self.has_plain_rules:
            return {'LC_ALL': 'C'}
        return {'LC_ALL': '', 'LC_COLLATE': self.collate, 'LC_CTYPE': self.collate,
                'LC_NUMERIC': 'C'}

    @property
    def is_whole(self):
        """Whether keys are the beginnings of lines, so that whole lines can be compared."""
        return self.column == 1 and not self.delimiter and not self.numeric


def collation(environ):
    """Return the name of the locale whose rules sort would use in this environment."""
    return environ.get('LC_ALL') or environ.get('LC_COLLATE') or environ.get('LANG') or ''


def _column(order):
    """Return a pattern whose group 1 is the key of any line, or None."""
    skipped = order.column - 1
    if order.delimiter:
        other = b'[^%s]*' % re.escape(order.delimiter)
        return re.compile(rb'(?s)(?:(?:%s%s){%d}(%s))?'
                          % (other, re.escape(order.delimiter), skipped, other))
    return re.compile(rb'(?s)(?:(?:[ \t]*[^ \t]+(?![^ \t])){%d}([ \t]*[^ \t]*))?' % skipped)


def _number(key):
    """Return the number that sort -n finds in a key."""
    text = NUMBER.match(key)[1]
    return float(text) if text.strip(b'-.') else 0.0


class Keys:
    """Finds the keys of lines."""

    def __init__(self, order):
        self._order = order
        self._find = _column(order).match

    def of(self, lines, block=None):
        """Return the keys of lines, in their order.

        block: the bytes that contain the lines, for a faster way.
        """
        order = self._order
        keys = self._quickly(lines, block) if block is not None else None
        if keys is None:
            keys = [self._find(line)[1] or b'' for line in lines]
        if not order.numeric:
            return keys
        if not b''.join(keys).translate(None, NUMERIC):
            try:
                return list(map(float, keys))
            except ValueError:          # an empty key, or 1-2
                pass
        return list(map(_number, keys))

    def complete(self, head):
        """Return the key of a line that begins with `head`, or None if more of the line may belong
        to it.
        """
        found = self._find(head)
        return self.of([head])[0] if found[1] is not None and found.end() < len(head) else None

    def _quickly(self, lines, block):
        """Return the keys if a simple split of the lines finds them; otherwise None."""
        at, delimiter = self._order.column, self._order.delimiter
        try:
            if delimiter:
                return [line.split(delimiter, at)[at - 1] for line in lines]
            if b'\t' in block or b'  ' in block or b'\n ' in block or block[:1] == b' ':
                return None
            if at == 1:
                return [line.split(b' ', 1)[0] for line in lines]
            return [b' ' + line.split(b' ', at)[at - 1] for line in lines]
        except IndexError:              # a line with fewer columns
            return None


def bounds(order, inputs, count):
    """Return the bounds between `count` partitions: count - 1 sorted keys.

    inputs: (descriptor, start, end) of regular files, in bytes.
    """
    places = min(MOST_SAMPLES, SAMPLES * count)
    lines = _samples(inputs, places, SAMPLE_BYTES)
    if len(lines) < ENOUGH * count:
        lines = _samples(inputs, places // 8, LONG_SAMPLE_BYTES)
    keys = sorted(Keys(order).of(lines))
    keys = keys or [0.0 if order.numeric else b'']
    found = [keys[len(keys) * number // count] for number in range(1, count)]
    return [_shortened(key) for key in found] if order.is_whole else found


def _shortened(bound):
    """Return a bound without bytes that could make a whole line sort differently from its key."""
    return re.match(rb'[ \t]*[\x21-\xff]*', bound)[0]


def _samples(inputs, places, size):
    """Return lines from all parts of the inputs."""
    total = sum(end - start for _fd, start, end in inputs)
    found = []
    for fd, start, end in inputs:
        if total <= SMALL:
            found += os.pread(fd, end - start, start).split(b'\n')
            continue
        step = max(1, total // places)
        for at in range(start, end, step):
            found += os.pread(fd, min(size, end - at), at).split(b'\n')[1:-1][:LINES_A_SAMPLE]
    return found


class Splitter:
    """Splits lines among `count` partitions, which are numbered in the order of their results."""

    def __init__(self, order, bounds_or_none, count):
        self._order = order
        self._bounds = bounds_or_none
        self._count = count
        self._keys = Keys(order)

    def split(self, block):
        """Return the lines of a block for each partition, as a list of bytes.  block: complete
        lines.
        """
        lines = block.split(b'\n')
        lines.pop()                     # the empty rest after the last newline
        parts = [[] for _ in range(self._count)]
        add = [part.append for part in (reversed(parts) if self._order.reverse else parts)]
        if self._bounds is None:
            for line, key in zip(lines, self._keys.of(lines, block)):
                add[hash(key) % self._count](line)
        elif self._order.is_whole:
            edges = self._bounds
            for line in lines:
                add[bisect_right(edges, line)](line)
        else:
            edges = self._bounds
            for line, key in zip(lines, self._keys.of(lines, block)):
                add[bisect_right(edges, key)](line)
        for part in parts:
            if part:
                part.append(b'')        # for a newline after the last line
        return list(map(b'\n'.join, parts))


    def whose(self, head):
        """Return the number, from 0, of the partition of a line that begins with `head`.

        None if more of the line is needed to decide.
        """
        order, edges = self._order, self._bounds
        if order.is_whole and edges is not None:
            if len(head) <= max(map(len, edges), default=0):
                return None
            number = bisect_right(edges, head)
        else:
            key = self._keys.complete(head)
            if key is None:
                return None
            number = hash(key) % self._count if edges is None else bisect_right(edges, key)
        return self._count - 1 - number if order.reverse else number


def splitter(order, inputs, count):
    """Return the Splitter for inputs: (descriptor, start, end) of regular files."""
    return Splitter(order, bounds(order, inputs, count) if order.is_by_bytes else None, count)
