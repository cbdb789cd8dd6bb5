"""Admission: how many logins to idle hosts may be in progress.  Pure.

A login takes cpu time on this machine, and if many run at once, none is quick.  So after each LOOK
seconds, two more logins may begin for each processor that was idle.  If all processors were busy,
one login for each processor may begin every STEP seconds.

If the hosts that are connected will soon finish all open tasks at the current pace, more hosts
help little.  Then one login may begin for each processor that was idle, and none if all were busy.
"""

import collections

WIDTH = 2               # logins for each idle processor
LOOK = 0.1              # seconds between two looks at the load of the processors
WINDOW = 1.0            # seconds over which the pace is measured
SOON = 10.0             # all open tasks end soon if they end within so many seconds
STEP = 0.5              # seconds after which logins may begin even if all processors are busy


class Admission:
    """Decides which logins may begin.

    clock(): returns seconds.
    cpu_times(): returns (ticks in which a processor was idle, all ticks), or None if unknown.
    open_count(): returns the number of tasks that are neither done, held nor suspended.
    """

    def __init__(self, clock, cpu_times, processors, open_count):
        self._clock = clock
        self._cpu_times = cpu_times
        self._open_count = open_count
        self._counts = collections.deque()      # (time, number of open tasks) during WINDOW
        self._processors = processors
        self._room = WIDTH * processors
        self._looked = self._grown = clock()
        self._times = cpu_times()
        self._admitted = set()

    def admits(self, name):
        """Return whether the login to a host may begin now.  If not, ask again after LOOK seconds.
        """
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
        """Return the fraction of ticks since the last look in which processors were idle."""
        before, self._times = self._times, self._cpu_times()
        if before is None or self._times is None:
            return 1.0
        return (self._times[0] - before[0]) / max(1, self._times[1] - before[1])
