"""The local guard: it ends the children of lwt if lwt itself is killed with kill -9.

The guard is a small shell process (sh/watch.sh).  It reads the list of running process groups from
a pipe.  When lwt is killed, the pipe closes, and the guard kills these process groups.

A process that left its group (setsid, a daemon) is found by the marker in its environment.  Where
lwt is a subreaper (Linux), the process is also found as an orphan that became a child of lwt.
"""

import contextlib
import os
import pkgutil
import signal
from typing import Callable, NamedTuple, Optional

from lwt import proc, procfs
from lwt.proc import Command
from lwt.workspace.config import plain_seconds

MARKER = procfs.MARKER.encode()
# Seconds that the guard waits before KILL, in addition to grace: a child may itself be a guard, and
# needs time to end its processes.
GUARD_EXTRA = 1.0
KILL_ROUNDS = 10            # escaped processes may fork while they are being killed
REAP_EVERY = 1.0            # seconds between two searches for dead orphans
# Seconds until the guard is told about a child that it could also find by its marker.  Most
# children end sooner.
TELL_AFTER = 0.02


class _Escaped(NamedTuple):
    """An order to signal the processes that left the group of a leader.

    on_done: called when none of them is found any more, or after KILL_ROUNDS; or None.
    """

    leader: int
    marker: str
    signums: tuple
    on_done: Optional[Callable]


class Guard:
    """The guard process, which outlives a kill -9 of lwt and ends the children of lwt.

    It is started before the first child.  It reads a line for each child that begins or ends.
    Where there is /proc, it finds the processes that lwt left behind by their marker.  Therefore
    lwt delays these lines, writes several at once, and writes none for a child that has ended by
    then.  This class also finds processes that escaped from the group of a child.
    """

    def __init__(self, loop, grace=5.0):
        self._loop = loop
        self._grace = grace
        self._groups = set()
        self._news = {}                 # pgid -> b'+' or b'-', not yet sent to the process
        self._telling = None            # the Timer that sends them
        self._patience = TELL_AFTER if os.path.exists('/proc/self/environ') else 0
        self._popen = None
        self._pipe = -1                 # lwt's end of its standard input
        self._unsent = b''
        self._marker = os.urandom(8).hex()
        self._serial = 0
        # The env of the last Command, and its differences from lwt's environment.
        self._env, self._changes = None, []
        self._own_marker = os.environb.get(MARKER)
        self._is_subreaper = False
        self._seen = None               # the last procfs.Snapshot
        self._seen_at = 0.0             # the loop's time when it was taken
        self._orders = []               # _Escaped, executed in the next turn
        self._dying = {}                # leader that is being killed -> the tick of its start
        self._killed = []               # (first tick, last tick) of leaders that were killed

    def environment(self, command):
        """(marker, changes) for a new child.  changes: how its environment differs from lwt's (see
        differences).
        """
        self._serial += 1
        marker = '%s.%d' % (self._marker, self._serial)
        if command.env is not self._env:        # consecutive children mostly have the same env
            self._env = command.env
            self._changes = [] if command.env is None else differences(command.env)
        changes = self._changes
        if command.variables:
            changes = (changes
                       + [(name, value, os.environb.get(name))
                          for name, value in command.variables.items()])
        return marker, changes + [(MARKER, marker.encode(), self._own_marker)]

    def start(self):
        """Start the guard process if it does not run yet.  Raises OSError.

        It must run before the first child starts, because lwt may be killed just after that.
        """
        if self._popen is None:
            self._loop.on_signal(signal.SIGCHLD, lambda _signum: self._look_around())
            self._spawn()

    def add(self, pgid):
        """Put a process group under guard."""
        self._groups.add(pgid)
        self._note(pgid, b'+', self._patience)

    def _note(self, pgid, change, patience):
        if self._news.pop(pgid, change) == change:      # else + and - cancel each other
            self._news[pgid] = change
        if self._telling is not None and (not patience or not self._news):
            self._telling.cancel()
            self._telling = None
        if self._news and self._telling is None:
            self._telling = self._loop.call_later(patience, self._tell)

    def _tell(self):
        news, self._news, self._telling = self._news, {}, None
        if self._popen is not None:
            self._send(b''.join(b'%s %d\n' % (change, pgid) for pgid, change in news.items()))

    def remove(self, pgid):
        """Remove a process group that has ended from the guard's list."""
        self._groups.discard(pgid)
        if pgid in self._dying:
            self._killed.append((self._dying.pop(pgid), procfs.ticks()))
        self._note(pgid, b'-', self._patience if self._groups else 0)

    def close(self):
        """End the guard process; if its list is not empty, it first kills these process groups."""
        if self._is_subreaper:
            self._kill_strays()
            self.reap_strays()
            procfs.adopt_orphans(False)
        if self._popen is not None:
            if not self._groups:
                self._send(b'bye 0\n')
            self._let_go()

    def _let_go(self):
        os.close(self._pipe)
        self._popen.wait()              # its exit status does not matter
        self._popen = None

    def _spawn(self):
        script = pkgutil.get_data('lwt.remote', 'sh/watch.sh').decode()
        # Without the marker, by which a search would find the guard, and without variables that
        # change the behaviour of a shell (TMOUT).
        env = {name: value for name, value in os.environ.items()
               if name == 'PATH' or name.startswith('LWT_') and name != procfs.MARKER}
        argv = '/bin/sh', '-c', script, 'lwt-guard', plain_seconds(self._grace
                                                                   + GUARD_EXTRA), self._marker
        theirs, self._pipe = os.pipe()
        null = None
        try:
            null = os.open(os.devnull, os.O_RDWR)
            self._popen = proc.start_process(Command(argv), differences(env), (null, null, theirs))
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(theirs)
            if null is not None:
                os.close(null)
        os.set_blocking(self._pipe, False)
        self._unsent = b''
        self._news = {}
        self._send(b''.join(b'+ %d\n' % pgid for pgid in sorted(self._groups)))

    def _send(self, line):
        self._unsent += line
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._pipe, self._unsent):]
        except BlockingIOError:         # the guard is slow; the rest is sent with the next line
            pass
        except BrokenPipeError:
            self._replace()

    def _look_around(self):
        """A child has died: replace the guard if it was the guard, and reap orphans."""
        if self._popen is not None and procfs.exit_of(self._popen) is not None:
            self._replace()
        if self._is_subreaper and self._loop.time() - self._reaped_at > REAP_EVERY:
            self._reaped_at = self._loop.time()
            self.reap_strays()

    def _replace(self):
        """The guard was killed: start a new one, which gets the whole list."""
        self._let_go()
        with contextlib.suppress(OSError):
            self._spawn()

    # -- processes that escaped from a group -------------------------------------------------------

    def adopt_orphans(self):
        """Make lwt a subreaper: it becomes the parent of orphaned descendants, and finds them even
        if their environment is empty.
        """
        self._is_subreaper = procfs.adopt_orphans(True)
        self._reaped_at = self._loop.time()

    def has_left(self, leader, marker, since):
        """Whether other processes of a leader's command are alive; True without a /proc.

        since: the loop's time of the leader's death.
        """
        seen = self._look(since)
        return (seen is None
                or bool(seen.members(leader, marker.encode()) or self._strays_of(seen, leader)))

    def terminate_escaped(self, leader, marker):
        """Send TERM and CONT, in the next turn, to the processes of a leader's command that are
        outside its group.
        """
        self._enqueue(_Escaped(leader, marker, (signal.SIGTERM, signal.SIGCONT), None))

    def kill_escaped(self, leader, marker, on_done):
        """Kill, in the next turn, the processes of a leader's command that are outside its group;
        then call on_done().
        """
        self._enqueue(_Escaped(leader, marker, (signal.SIGKILL,), on_done))

    def _enqueue(self, order):
        # Reading all processes takes longer than ending a command, so one snapshot serves all
        # commands that are ended in this turn.
        self._orders.append(order)
        if len(self._orders) == 1:
            self._loop.call_soon(self._signal_all)

    def _signal_all(self):
        orders, self._orders = self._orders, []
        left = orders
        for _round in range(KILL_ROUNDS):       # processes may fork while they are being killed
            seen = self._look(self._loop.time()) if left else None
            if seen is None:
                break
            left = [order
                    for order in left if self._signal(seen, order) and order.on_done is not None]
        for order in orders:
            if order.on_done is not None:
                order.on_done()

    def _signal(self, seen, order):
        """Send the signals of an _Escaped; returns whether any process was found for them."""
        leader = order.leader
        if leader in seen:
            self._dying[leader] = seen[leader].started
        pids = [pid
                for pid in seen.members(leader, order.marker.encode()) if seen[pid].group != leader]
        pids += self._strays_of(seen, leader)
        for signum in order.signums:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signum)
        return bool(pids)

    def _strays_of(self, seen, leader):
        if not self._is_subreaper:
            return []
        return seen.strays_of(os.getpid(), leader, self._leaders(), self._marker.encode())

    def _leaders(self):
        return self._groups | {self._popen.pid} if self._popen is not None else self._groups

    def _look(self, since):
        """A procfs.Snapshot that was taken after `since`; None without a /proc."""
        if self._seen is None or self._seen_at <= since:
            self._seen, self._seen_at = procfs.snapshot(), self._loop.time()
        return self._seen

    def _kill_strays(self):
        """Kill the strays that started while a command ran that was later killed; for the end."""
        seen = self._look(self._loop.time()) if self._killed else None
        if seen is None:
            return
        for pid in seen.strays(os.getpid(), self._leaders(), self._marker.encode()):
            if any(first <= seen[pid].started <= last for first, last in self._killed):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def reap_strays(self):
        """Reap the dead orphans that became children of lwt."""
        for pid in procfs.children(os.getpid()):
            if pid not in self._leaders():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def differences(env):
    """How env differs from lwt's own environment.

    Returns a list of (name, value in env, value in lwt's environment); the values are bytes, or
    None if the variable is not set.
    """
    own = os.environb
    wanted = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    return [(name, wanted.get(name), own.get(name)) for name in own.keys() | wanted.keys()
            if wanted.get(name) != own.get(name)]
