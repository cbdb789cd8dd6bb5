"""Admission: how many idle hosts are logged in to at once.  Pure.

A login takes cpu here, and of many at once none is quick.  So at each look two more may begin for
each processor that had nothing to do, and, if all were busy, one for each every STEP.  Where the
hosts that are there will soon have done all that is open, at the pace at which tasks ended just
now, more hosts would help little: then it is one for each processor that had nothing to do, and
none if all were busy.
"""

import collections

WIDTH = 2               # logins for each processor that has nothing to do
LOOK = 0.1              # seconds between two looks at what the processors do
WINDOW = 1.0            # seconds over which the pace is taken
SOON = 10.0             # seconds to the end of all that is open, at that pace
STEP = 0.5              # seconds after which some may begin, however busy the processors are


class Admission:
    """Says who may begin.

    clock() gives seconds; cpu_times() gives (ticks in which a processor was idle, all ticks), or
    None where nobody can say. open_count() gives the number of tasks that are not over.
    """

    def __init__(self, clock, cpu_times, processors, open_count):
        self._clock = clock
        self._cpu_times = cpu_times
        self._open_count = open_count
        self._counts = collections.deque()      # (when, how many were open), of the last WINDOW
        self._processors = processors
        self._room = WIDTH * processors
        self._looked = self._grown = clock()
        self._times = cpu_times()
        self._admitted = set()

    def admits(self, name):
        """May the login begin now?  If not, it is to ask again after LOOK."""
        if name in self._admitted:
            return True
        self._grow()
        if self._room < 1:
            return False
        self._room -= 1
        self._admitted.add(name)
        return True

    def _grow(self):
        now = self._clock()
        if 0 <= now - self._looked < LOOK:
            return
        ends_soon = self._ends_soon(now)
        room = int((1 if ends_soon else WIDTH) * self._processors * self._idle())
        if not (room or ends_soon) and not 0 <= now - self._grown < STEP:
            room = self._processors
        if room:
            self._room, self._grown = room, now
        self._looked = now

    def _ends_soon(self, now):
        left = self._open_count()
        self._counts.append((now, left))
        while not 0 <= now - self._counts[0][0] <= WINDOW:
            self._counts.popleft()
        since, before = self._counts[0]
        return left * (now - since) < SOON * (before - left)

    def _idle(self):
        """The part of all ticks since the last look in which a processor was idle."""
        before, self._times = self._times, self._cpu_times()
        if before is None or self._times is None:
            return 1.0
        return (self._times[0] - before[0]) / max(1, self._times[1] - before[1])
