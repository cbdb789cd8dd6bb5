"""Keys: what the key of a line is, how sort is called, and which partition a line belongs to.

A partition is a range of keys, and the ranges follow each other in the order of sort: so what the
partitions give, one after the other, is what `sort | reduce` of all the lines would have given,
whatever the reducer prints, and nothing has to be merged. The bounds are taken from samples of all
parts of the input.  Equal keys are always in one partition.

Only where keys are ordered by the rules of a language (LC_ALL=de_DE) is the order not ours to know:
there a hash of the key decides, and sort has to merge.

How the lines are parted was chosen by measuring: a bisection of each whole line against the bounds,
in a list of lines, takes 0.15 us, of which no way by awk and pipes or by several processes leaves
anything on two cores.  It holds for keys that are the beginnings of lines, if no bound has a byte
that sorts before a blank; other keys are cut out first.

It knows nothing of hosts or processes.
"""

import os
import re
from bisect import bisect_right
from typing import NamedTuple

SAMPLES = 400                   # places of the input that are looked at, for each partition
MOST_SAMPLES = 20000
SAMPLE_BYTES = 1 << 12          # that are read at each, and where lines are longer than that
LONG_SAMPLE_BYTES = 1 << 18
LINES_A_SAMPLE = 4
ENOUGH = 20                     # lines for each partition
SMALL = 1 << 20                 # bytes of an input that is looked at as a whole
BYTE_ORDER = ('', 'C', 'POSIX')
NUMBER = re.compile(rb'[ \t]*(-?[0-9]*\.?[0-9]*)')
NUMERIC = b'0123456789.- '


class SortOrder(NamedTuple):
    """How lines are sorted: by which column (from 1), by number or by bytes, and by whose rules.

    delimiter: one byte, or b'' for blanks, as sort has it: a column begins with the blanks before
    it.  collate: the name of a locale; '' where bytes decide.
    """

    column: int = 1
    delimiter: bytes = b''
    numeric: bool = False
    reverse: bool = False
    collate: str = ''

    @property
    def is_by_bytes(self):
        """Is the order of keys that of their bytes or numbers?  (That of C.UTF-8 is.)"""
        return self.numeric or self.has_plain_rules

    @property
    def has_plain_rules(self):
        """Are bytes compared by no language's rules, whatever the keys are?"""
        return self.collate.partition('.')[0] in BYTE_ORDER

    def sort_words(self, memory=''):
        """The words of sort that bring lines into this order."""
        words = ['-k%d,%d' % (self.column, self.column)]
        words += ['-t', os.fsdecode(self.delimiter)] if self.delimiter else []
        words += ['-n'] * self.numeric + ['-r'] * self.reverse
        return words + (['-S', memory] if memory else [])

    @property
    def variables(self):
        """{variable: value} under which sort keeps to it."""
        if self.has_plain_rules:
            return {'LC_ALL': 'C'}
        return {'LC_ALL': '', 'LC_COLLATE': self.collate, 'LC_CTYPE': self.collate,
                'LC_NUMERIC': 'C'}

    @property
    def is_whole(self):
        """Are keys the beginnings of lines, so that whole lines can be compared?"""
        return self.column == 1 and not self.delimiter and not self.numeric


def collation(environ):
    """The name of the locale whose rules sort would go by in this environment."""
    return environ.get('LC_ALL') or environ.get('LC_COLLATE') or environ.get('LANG') or ''


def _column(order):
    """A pattern whose group 1 is the key of any line, or None."""
    skipped = order.column - 1
    if order.delimiter:
        other = b'[^%s]*' % re.escape(order.delimiter)
        return re.compile(rb'(?s)(?:(?:%s%s){%d}(%s))?'
                          % (other, re.escape(order.delimiter), skipped, other))
    return re.compile(rb'(?s)(?:(?:[ \t]*[^ \t]+(?![^ \t])){%d}([ \t]*[^ \t]*))?' % skipped)


def _number(key):
    """The number that sort -n sees in a key."""
    text = NUMBER.match(key)[1]
    return float(text) if text.strip(b'-.') else 0.0


class Keys:
    """Gives the keys of lines."""

    def __init__(self, order):
        self._order = order
        self._find = _column(order).match

    def of(self, lines, block=None):
        """The keys of lines, in their order.  block: the bytes that the lines are made of, for a
        quick look at them.
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
            except ValueError:          # an empty one, or 1-2
                pass
        return list(map(_number, keys))

    def complete(self, head):
        """The key of a line that begins so, or None where it may go on."""
        found = self._find(head)
        return self.of([head])[0] if found[1] is not None and found.end() < len(head) else None

    def _quickly(self, lines, block):
        """The keys, where the block is such that a plain split finds them; else None."""
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
    """The bounds between `count` partitions: sorted keys, one less than there are partitions.

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
    """A bound without what could make a whole line sort otherwise than its key does."""
    return re.match(rb'[ \t]*[\x21-\xff]*', bound)[0]


def _samples(inputs, places, size):
    """Lines from all parts of the inputs."""
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
    """Parts lines among `count` partitions, numbered in the order in which what they give is to
    follow each other.
    """

    def __init__(self, order, bounds_or_none, count):
        self._order = order
        self._bounds = bounds_or_none
        self._count = count
        self._keys = Keys(order)

    def split(self, block):
        """What each partition gets of a block of whole lines, as a list of bytes."""
        lines = block.split(b'\n')
        lines.pop()                     # what follows the last newline: nothing
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
                part.append(b'')        # a newline after the last one
        return list(map(b'\n'.join, parts))


    def whose(self, head):
        """The number, from 0, of the partition of a line that begins so, or None where that cannot
        be told yet.
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
    """The Splitter for inputs: (descriptor, start, end) of regular files."""
    return Splitter(order, bounds(order, inputs, count) if order.is_by_bytes else None, count)
