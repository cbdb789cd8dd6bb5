"""Where records end in a stream of bytes, for --pipe and --pipepart.

By default a record is a line.  `end` is the text that ends a record, `start` the text that begins
the next one; with both, a record ends where one follows the other.  With neither, records may end
anywhere.  With is_regexp, both are regular expressions.

Pure: bytes in, positions out.
"""

import re
from typing import NamedTuple


class RecordMarks(NamedTuple):
    """How the end of a record is found.

    is_removed: leave out these texts.
    most: number of records per block; 0: as many as fit.
    lines: number of marks that make a record; usually 1.
    """

    end: bytes = b'\n'
    start: bytes = b''
    is_regexp: bool = False
    is_removed: bool = False
    most: int = 0
    lines: int = 1

    @property
    def is_anywhere(self):
        """Whether records may end anywhere."""
        return not self.end and not self.start

    @property
    def is_counted(self):
        """Whether the number of marks decides where a block ends."""
        return self.most > 0 or self.lines > 1

    def next_end(self, data, after):
        """Return the first position after `after` where a record ends; -1 without one."""
        if self.is_regexp:
            for match in self._pattern().finditer(data, max(0, after)):
                if match.end() > after:
                    return match.end()
            return -1
        place = data.find(self.end + self.start, max(0, after + (not self.end)))
        return -1 if place < 0 else place + len(self.end)

    def last_end(self, data, start, stop):
        """Return the last position in data[start:stop] where a record ends; `start` without one."""
        if self.is_regexp:
            ends = [match.end() for match in self._pattern().finditer(data, start, stop)]
            return ends[-1] if ends else start
        place = data.rfind(self.end + self.start, start + (not self.end), stop)
        return start if place < 0 else place + len(self.end)

    def counted_end(self, data, start, stop, is_last):
        """Return the position in data[start:stop] where a block of counted records ends; `start`
        if more data is needed.  is_last: no more data follows.
        """
        step = self.lines * (self.most or 1)
        found, at, count = start, start, 0
        while True:
            at = self.next_end(data, at)
            if at < 0 or at > stop:
                break
            count += 1
            if count % step == 0:
                found = at
                if self.most:
                    return found
        return stop if is_last and found == start else found

    def without_marks(self, data):
        """Return data without the texts that end and begin records."""
        end, start = ((self.end, self.start) if self.is_regexp
                      else (re.escape(self.end), re.escape(self.start)))
        if end or start:
            data = re.sub(b'(?:' + end + b')(?:' + start + b')', b'', data)
            data = re.sub(rb'\A(?:' + start + b')', b'', data)
            data = re.sub(b'(?:' + end + rb')\Z', b'', data)
        return data

    def _pattern(self):
        return re.compile(b'(?:' + self.end + b')(?=' + self.start + b')')
