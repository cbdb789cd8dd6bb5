"""How many arguments each job gets: one, several, or as many as fit on its command line.

Pure: it is given records and returns arguments.
"""

import collections
from typing import NamedTuple


class Packing(NamedTuple):
    """The arguments of one job.

    most: maximum number of records; 0: no maximum.
    length: maximum bytes of a command; 0: no maximum.
    is_spread: when the input ends, share the arguments of the last job among all slots.
    is_inserted: whether jobs get their arguments; if not, these are only counted (-N 0).
    """

    most: int = 1
    length: int = 0
    is_spread: bool = False
    is_inserted: bool = True

    @property
    def is_countable(self):
        """Whether the number of jobs follows from the number of records."""
        return bool(self.most) and not self.length and not self.is_spread


class Packer:
    """Collects records until a job has its arguments.  A record is a tuple of arguments."""

    def __init__(self, packing, place, slots):
        """place: the template.Template.  slots: number of slots."""
        self._packing = packing
        self._place = place
        self._slots = slots
        self._records = collections.deque()
        self._fitting = 0               # number of first records that fit into the next job
        self._arguments = 0             # number of their arguments
        self._length = place.length()   # bytes of the command with them
        self._ready = collections.deque()       # arguments of jobs that the end has made
        self._ended = False

    @property
    def is_empty(self):
        """Whether no record is left."""
        return not self._records and not self._ready

    @property
    def jobs_left(self):
        """The number of jobs that the records make, if they are countable and ended."""
        most = self._packing.most or 1
        return len(self._ready) + -(-len(self._records) // most)

    def add(self, record):
        """Add a record."""
        self._records.append(record)

    def end(self):
        """There are no more records."""
        self._ended = True

    def take(self):
        """Return the arguments of the next job; None if more records are needed first."""
        if self._ready:
            return self._ready.popleft()
        if not self._is_complete():
            return None
        batch = [self._records.popleft() for _ in range(self._fitting)]
        self._fitting, self._arguments, self._length = 0, 0, self._place.length()
        size = len(batch)
        if self._packing.is_spread and self._ended and not self._records:
            size = -(-len(batch) // self._slots)
        self._ready.extend(self._joined(batch[at:at + size]) for at in range(0, len(batch), size))
        return self._ready.popleft()

    def _joined(self, records):
        return sum(records, ()) if self._packing.is_inserted else ()

    def _is_complete(self):
        """Return whether the next job has all its records."""
        while self._fitting < len(self._records):
            if not self._fits(self._records[self._fitting]):
                return True
            self._fitting += 1
        is_full = self._packing.most and self._fitting == self._packing.most
        return self._fitting > 0 if self._ended else is_full and not self._packing.is_spread

    def _fits(self, record):
        """Count a record, if it fits into the next job.  The first one always does."""
        packing = self._packing
        if packing.most and self._fitting >= packing.most:
            return False
        length, place = self._length, self._arguments
        if packing.length:
            for argument in record:
                length += self._place.length(argument, place)
                place += 1
            if self._fitting and length > packing.length:
                return False
        self._length, self._arguments = length, place
        return True
