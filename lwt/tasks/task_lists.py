"""Large numbers of tasks in little memory: sets of their numbers, and tasks that are read from the
database only when they are needed.

A master may have a million tasks.  Each takes about a kilobyte as a Task, but eight bytes in a
TaskList, and a bit in a NumberSet.
"""

import collections.abc
from array import array

from lwt.errors import UsageError
from lwt.tasks import model

PIECE = 500             # tasks of a TaskList that are read at once
_BLOCK = 4096           # numbers in a block of a NumberSet


class NumberSet(collections.abc.MutableSet):
    """A set of numbers of tasks.  They are not negative and, mostly, close to each other."""

    def __init__(self, numbers=()):
        self._blocks = {}               # first number // _BLOCK -> a bit for each number
        self._count = 0
        for first, last in runs(numbers):
            self._add_run(first, last)

    def _add_run(self, first, last):
        while first <= last:
            is_whole = first % _BLOCK == 0 and last - first >= _BLOCK - 1
            if is_whole and first // _BLOCK not in self._blocks:
                self._blocks[first // _BLOCK] = bytearray(b'\xff' * (_BLOCK // 8))
                self._count += _BLOCK
                first += _BLOCK
            else:
                self.add(first)
                first += 1

    def add(self, value):
        """Add a number."""
        block = self._blocks.setdefault(value // _BLOCK, bytearray(_BLOCK // 8))
        place, bit = value % _BLOCK // 8, 1 << value % 8
        if not block[place] & bit:
            block[place] |= bit
            self._count += 1

    def discard(self, value):
        """Remove a number, if it is in the set."""
        if value in self:
            self._blocks[value // _BLOCK][value % _BLOCK // 8] &= ~(1 << value % 8)
            self._count -= 1

    def __contains__(self, value):
        block = self._blocks.get(value // _BLOCK)
        return block is not None and bool(block[value % _BLOCK // 8] & 1 << value % 8)

    def __iter__(self):
        """Yield the numbers in ascending order."""
        for first in sorted(self._blocks):
            for place, byte in enumerate(self._blocks[first]):
                if byte:
                    start = first * _BLOCK + place * 8
                    yield from (start + bit for bit in range(8) if byte & 1 << bit)

    def __len__(self):
        return self._count


def runs(numbers):
    """Yield (first, last) of each run of consecutive numbers."""
    first = last = None
    for number in numbers:
        if last is not None and number == last + 1:
            last = number
            continue
        if last is not None:
            yield first, last
        first = last = number
    if last is not None:
        yield first, last


class TaskList(collections.abc.Sequence):
    """Tasks that were selected in the database.  Only their numbers are in memory.

    The tasks are read while they are iterated over, so they are as they are at that time, and tasks
    that were removed meanwhile are left out.  A part, such as [10:20], is a TaskList too; to read
    one task, such as [0], raises UsageError if it was removed.

    store: a queries.TaskQueries.  numbers: an array of the numbers of the tasks.
    """

    def __init__(self, store, numbers=()):
        self._store = store
        self.numbers = numbers if isinstance(numbers, array) else array('q', numbers)

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return TaskList(self._store, self.numbers[index])
        task = self._store.get(self.numbers[index])
        if task is None:
            raise UsageError('no task %s' % model.format_id(self.numbers[index]),
                             'another lwt process has removed it')
        return task

    def __iter__(self):
        for at in range(0, len(self.numbers), PIECE):
            yield from self._store.some(self.numbers[at:at + PIECE])

    def counts(self):
        """Return {state, or outcome of tasks that are done: number of tasks}."""
        return self._store.counts_of(self.numbers)

    def of_numbers(self, numbers):
        """Return the TaskList of those tasks whose numbers are in a set."""
        return TaskList(self._store, array('q', (number for number in self.numbers
                                                  if number in numbers)))

    def divided(self, is_wanted):
        """Return the TaskLists of those tasks for which is_wanted(task) is true, and of the rest.
        """
        wanted, rest = array('q'), array('q')
        for task in self:
            (wanted if is_wanted(task) else rest).append(task.id)
        return TaskList(self._store, wanted), TaskList(self._store, rest)
