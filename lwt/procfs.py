"""What Linux tells of processes in /proc, and the subreaper; elsewhere there is nothing, and the callers do with less.

MARKER names the variable that every child of lwt carries in its environment, and so does what it starts, whatever session it
moves to: that is how what escaped from a killed group is found.
"""

import contextlib
import os
import time
from typing import NamedTuple

MARKER = 'LWT_ID'
PR_SET_CHILD_SUBREAPER = 36     # prctl(2), since Linux 3.4
CLOCK_BOOTTIME = 7              # clock_gettime(2); the time module has the name since 3.7
DEAD = (b'Z', b'X')


class Process(NamedTuple):
    """One process, as proc(5) has it.  started: clock ticks since boot.  marker: the value of MARKER, b'' where unknown."""

    pid: int
    parent: int
    group: int
    state: bytes
    started: int
    marker: bytes


def processes():
    """{pid: Process} of all that can be seen; None where there is no /proc."""
    if not os.path.exists('/proc/self/stat'):
        return None
    found = map(_process, filter(str.isdigit, os.listdir('/proc')))
    return {process.pid: process for process in found if process is not None}


def _process(pid):
    try:
        with open('/proc/%s/stat' % pid, 'rb') as file:
            fields = file.read().rpartition(b') ')[2].split()       # a name may hold anything, even ") "
        return Process(int(pid), int(fields[1]), int(fields[2]), fields[0], int(fields[19]), _marker(pid))
    except (OSError, IndexError):
        return None


def _marker(pid):
    wanted = MARKER.encode() + b'='
    try:
        with open('/proc/%s/environ' % pid, 'rb') as file:
            return next((entry[len(wanted):] for entry in file.read().split(b'\0') if entry.startswith(wanted)), b'')
    except OSError:             # another user's
        return b''


def members(seen, leader, marker):
    """Pids of what lives of a command, its leader not counted: its group, and what carries its marker."""
    return [process.pid for process in seen.values() if process.pid != leader and process.state not in DEAD
            and (process.group == leader or process.marker == marker)]


def strays(seen, own, leaders, marker):
    """Pids of living children of `own` that are no leaders and carry no marker that begins with `marker`.

    They were orphaned and came to us as their subreaper, and have emptied their environment.
    """
    return [process.pid for process in seen.values() if process.parent == own and process.pid not in leaders
            and process.state not in DEAD and not process.marker.startswith(marker)]


def strays_of(seen, own, leader, leaders, marker):
    """The strays that can only come from this leader: all other leaders that live began later than they did."""
    if leader not in seen:
        return []
    others = [seen[pid].started for pid in leaders if pid != leader and pid in seen]
    return [pid for pid in strays(seen, own, leaders, marker) if seen[pid].started >= seen[leader].started
            and not any(started <= seen[pid].started for started in others)]


def cpu_times():
    """(ticks in which a processor had nothing to do, all ticks) since the start of the system; None where nobody can say."""
    try:
        with open('/proc/stat', 'rb') as file:
            times = [int(word) for word in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    return sum(times[3:5]), sum(times)


def ticks():
    """Clock ticks since boot, now."""
    return int(time.clock_gettime(CLOCK_BOOTTIME) * os.sysconf('SC_CLK_TCK'))


def adopt_orphans(wanted):
    """Make this process the parent of its orphaned descendants, or let go of that; False where that cannot be done."""
    try:
        import ctypes           # here, for it takes long, and some Pythons have none
        return ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1 if wanted else 0, 0, 0, 0) == 0
    except (ImportError, OSError, AttributeError):
        return False


def children(own):
    """Pids of the children of this process, zombies included; none where the system does not tell."""
    with contextlib.suppress(OSError):
        with open('/proc/self/task/%d/children' % own, 'rb') as file:
            return [int(pid) for pid in file.read().split()]
    return []
