"""Processes: exit statuses of children, limits on their number, /proc, and the subreaper.

/proc and the subreaper exist on Linux.  On other systems, functions that need them return None, an
empty result or False.

MARKER is the name of a variable in the environment of every child of lwt.  The processes that a
child starts inherit it, in whatever session they are.  So lwt finds processes that escaped from a
killed group.
"""

import contextlib
import os
import resource
import time
from typing import NamedTuple

MARKER = 'LWT_ID'
PR_SET_CHILD_SUBREAPER = 36     # prctl(2), since Linux 3.4
CLOCK_BOOTTIME = 7              # clock_gettime(2); the time module has the name since 3.7
DEAD = (b'Z', b'X')
SPARE_PROCESSES = 8         # processes that most_at_once leaves to others


class Process(NamedTuple):
    """One process, as in proc(5).  started: clock ticks since boot.

    marker: the first two parts of the value of MARKER; b'' if unknown.  The guard of a command adds
    a third part.
    """

    pid: int
    parent: int
    group: int
    state: bytes
    started: int
    marker: bytes


def names():
    """{pid: program name} of all visible processes; {} without a /proc."""
    found = {}
    for pid in filter(str.isdigit, _names('/proc')):
        name = _text('/proc/%s/comm' % pid).strip()
        if name:
            found[int(pid)] = name
    return found


def processes():
    """{pid: Process} of all visible processes; None without a /proc."""
    if not os.path.exists('/proc/self/stat'):
        return None
    found = map(_process, filter(str.isdigit, os.listdir('/proc')))
    return {process.pid: process for process in found if process is not None}


def _process(pid):
    try:
        with open('/proc/%s/stat' % pid, 'rb') as file:
            # A program name may contain anything, even ") ".
            fields = file.read().rpartition(b') ')[2].split()
        return Process(int(pid), int(fields[1]), int(fields[2]), fields[0], int(fields[19]),
                       _marker(pid))
    except (OSError, IndexError):
        return None


def _marker(pid):
    wanted = MARKER.encode() + b'='
    try:
        with open('/proc/%s/environ' % pid, 'rb') as file:
            value = next((entry[len(wanted):]
                          for entry in file.read().split(b'\0') if entry.startswith(wanted)), b'')
            return b'.'.join(value.split(b'.', 2)[:2])
    except OSError:             # a process of another user
        return b''


def transferred(pid):
    """The total number of bytes that a process has read and written; None if unknown.

    This counts files, pipes and sockets (rchar and wchar of proc(5)).
    """
    try:
        with open('/proc/%d/io' % pid, 'rb') as file:
            numbers = dict(line.split(b': ') for line in file.read().splitlines())
        return int(numbers[b'rchar']) + int(numbers[b'wchar'])
    except (OSError, KeyError, ValueError):
        return None


def free_processes(uid, limit):
    """The number of further processes that may be started; None if no limit is known.

    uid: the user.  limit: RLIMIT_NPROC, or None; the kernel does not apply it to root.
    """
    rooms = _cgroup_rooms()
    if limit is not None and uid != 0:
        rooms.append(limit - _count_threads(uid))
    return max(0, min(rooms)) if rooms else None


def max_children():
    """The largest number of children, three pipes each, that the limit on open files allows.

    The soft limit is first raised to the hard limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 100000 if soft == resource.RLIM_INFINITY else max(1, (soft - 32) // 4)


def most_at_once():
    """The default for the number of children alive at once: the largest number that the limits on
    open files and processes allow if each child starts one more process.
    """
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    free = free_processes(os.getuid(), None if limit == resource.RLIM_INFINITY else limit)
    if free is None:
        return max_children()
    return max(1, min(max_children(), (free - SPARE_PROCESSES) // 2))


def _count_threads(uid):
    """The number of threads of a user, because RLIMIT_NPROC limits threads."""
    count = 0
    for pid in filter(str.isdigit, _names('/proc')):
        with contextlib.suppress(OSError):
            if os.stat('/proc/' + pid).st_uid == uid:
                count += len(_names('/proc/%s/task' % pid))
    return count


def _cgroup_rooms():
    """The numbers of processes that pids.max still allows, in the control groups of this process
    and in those above them; a list.
    """
    rooms = []
    for line in _text('/proc/self/cgroup').splitlines():
        _number, controllers, path = (line.split(':', 2) + ['', ''])[:3]
        if controllers and 'pids' not in controllers.split(','):
            continue
        base = '/sys/fs/cgroup/pids' if controllers else '/sys/fs/cgroup'
        while True:
            most = _text(base + path + '/pids.max').strip()
            used = _text(base + path + '/pids.current').strip()
            if most.isdigit() and used.isdigit():
                rooms.append(int(most) - int(used))
            if path in ('', '/'):
                break
            path = os.path.dirname(path)
    return rooms


def _text(path):
    try:
        with open(path) as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ''


def _names(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


class Snapshot:
    """All processes at one time, indexed by group, marker and parent.

    The indexes matter because many children may be killed at once, with a lookup for each.
    """

    def __init__(self, processes_by_pid):
        self._processes = processes_by_pid
        self._groups = {}
        self._markers = {}
        self._children = {}
        for process in processes_by_pid.values():
            if process.state not in DEAD:
                self._groups.setdefault(process.group, []).append(process.pid)
                self._markers.setdefault(process.marker, []).append(process.pid)
                self._children.setdefault(process.parent, []).append(process.pid)

    def __contains__(self, pid):
        return pid in self._processes

    def __getitem__(self, pid):
        return self._processes[pid]

    def members(self, leader, marker):
        """The living processes of a command without its leader: those in its group, and those with
        its marker.
        """
        found = dict.fromkeys(self._groups.get(leader, []) + self._markers.get(marker, []))
        return [pid for pid in found if pid != leader]

    def strays(self, own, leaders, marker):
        """The living children of `own` that are not leaders and carry no marker beginning with
        `marker`.

        They were orphaned, came to `own` as their subreaper, and have emptied their environment.
        """
        return [pid for pid in self._children.get(own, ())
                if pid not in leaders and not self._processes[pid].marker.startswith(marker)]

    def strays_of(self, own, leader, leaders, marker):
        """The strays that only this leader can have left, because all other leaders started later.
        """
        found = self.strays(own, leaders, marker) if leader in self else []
        if not found:
            return []
        others = [self[pid].started for pid in leaders if pid != leader and pid in self]
        earliest = min(others, default=float('inf'))
        return [pid for pid in found if self[leader].started <= self[pid].started < earliest]


def snapshot():
    """A Snapshot of the current processes; None without a /proc."""
    found = processes()
    return None if found is None else Snapshot(found)


def cpu_times():
    """(idle ticks of all processors, all their ticks) since boot; None if unknown."""
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
    """Make this process a subreaper, the parent of its orphaned descendants; or undo that if wanted
    is false.  Returns False if the system cannot do it.
    """
    try:
        import ctypes           # here, because it is slow to import, and some Pythons lack it
        return ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1 if wanted else 0, 0, 0, 0) == 0
    except (ImportError, OSError, AttributeError):
        return False


def children(own):
    """Pids of the children of this process, including zombies; [] if the system cannot list them.
    """
    with contextlib.suppress(OSError):
        with open('/proc/self/task/%d/children' % own, 'rb') as file:
            return [int(pid) for pid in file.read().split()]
    return []


def age(process):
    """Seconds since a Process was started; changes of the wall clock have no effect."""
    return max(0.0, time.monotonic() - process.started / os.sysconf('SC_CLK_TCK'))


class Exit(NamedTuple):
    """How a child ended.  status: 'exited', 'signaled' or 'unknown'; code: the exit code or the
    signal.
    """

    status: str
    code: int


UNKNOWN = Exit('unknown', 0)


def exit_of(popen):
    """The Exit of a child of this process (a Popen), or None while it lives.

    The child stays a zombie if the system can report its end without reaping it (macOS before
    Python 3.13 cannot).  So its process and group ids are not given to another process.

    A library, a signal handler or a thread of the program that embeds lwt may have reaped the child
    with waitpid(-1).  Then the exit status is lost; Popen.poll() and wait() would report 0.
    """
    try:
        if hasattr(os, 'waitid'):
            info = os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if info is None:
                return None
            return Exit('exited' if info.si_code == os.CLD_EXITED else 'signaled', info.si_status)
        pid, status = os.waitpid(popen.pid, os.WNOHANG)
    except ChildProcessError:
        return UNKNOWN
    if not pid:
        return None
    if os.WIFSIGNALED(status):
        return Exit('signaled', os.WTERMSIG(status))
    return Exit('exited', os.WEXITSTATUS(status))


def reap(popen, end):
    """Remove the zombie of a child.  end: the Exit that exit_of() returned for it."""
    if end is not UNKNOWN:
        try:
            os.waitpid(popen.pid, 0)
        except ChildProcessError:       # already reaped, by the embedding program or by exit_of()
            pass
    # With a returncode, Popen does not ask for the status again.
    popen.returncode = -end.code if end.status == 'signaled' else end.code
