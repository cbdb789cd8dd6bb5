"""The door: how many hosts are logged in to at once, of those where nothing is to be looked after yet.  Pure.

A login takes cpu here, and of many at once none is quick.  So at each look two more may begin for each processor that had
nothing to do, and, if all were busy, one for each every STEP.  Before all hosts are there, those that are may have done all that
waits.
"""

WIDTH = 2               # logins for each processor that has nothing to do
LOOK = 0.1              # seconds between two looks at what the processors do
STEP = 0.5              # seconds after which some may begin, however busy the processors are


class Door:
    """Says who may begin.

    clock() gives seconds; cpu_times() gives (ticks in which a processor was idle, all ticks), or None where nobody can say.
    """

    def __init__(self, clock, cpu_times, processors):
        self._clock = clock
        self._cpu_times = cpu_times
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
        room = int(WIDTH * self._processors * self._idle())
        if not room and not 0 <= now - self._grown < STEP:
            room = self._processors
        if room:
            self._room, self._grown = room, now
        self._looked = now

    def _idle(self):
        """The part of all ticks since the last look in which a processor was idle."""
        before, self._times = self._times, self._cpu_times()
        if before is None or self._times is None:
            return 1.0
        return (self._times[0] - before[0]) / max(1, self._times[1] - before[1])
