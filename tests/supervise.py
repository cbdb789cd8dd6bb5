"""Run a class of tests: python3 -m tests.supervise SECONDS COMMAND ARG…

It ends a command that runs longer than SECONDS, and always ends all processes that the command
started and left: as a subreaper it is the parent of every orphan. Its exit code is that of the
command, or 1 if anything had to be ended.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

from tests.lab import descendants

PR_SET_CHILD_SUBREAPER = 36     # prctl(2)
GRACE = 30.0                    # seconds from TERM to KILL: a class may have to take down a lab
SETTLE = 10.0                   # seconds for processes to end by themselves after the class


class Stopped(Exception):
    """This process was asked to end."""


def stop(signum, _frame):
    raise Stopped(signum)


def adopt_orphans():
    """Become the parent of the class's orphans. Without prctl(2), orphans are not found."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (AttributeError, OSError):
        pass


def wait_for(popen, seconds):
    """Wait for the class and reap orphans meanwhile; return whether the class is over."""
    end = time.monotonic() + seconds
    while popen.poll() is None:
        if time.monotonic() > end:
            return False
        reap(popen)
        time.sleep(0.1)
    return True


def reap(popen):
    """Reap the orphans that have ended, but not the class itself, which popen reaps."""
    try:
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid == popen.pid:
                return
            os.waitpid(ended.si_pid, os.WNOHANG)
    except ChildProcessError:
        pass


def end(popen, grace):
    """End a class that is not over.

    On USR1 it prints its stack, on TERM it takes down its labs.
    """
    steps = ((signal.SIGUSR1, 1.0), (signal.SIGTERM, grace), (signal.SIGKILL, GRACE))
    for signum, seconds in steps:
        if popen.poll() is None:
            popen.send_signal(signum)
            wait_for(popen, seconds)


def kill_the_rest(popen, patience):
    """Kill the processes that are left after so many seconds; return their command lines."""
    left = {}
    until = time.monotonic() + patience
    while True:
        reap(popen)
        pids = [pid for pid in descendants(os.getpid()) if is_alive(pid)]
        if not pids:
            return sorted(left.values())
        if time.monotonic() > until + GRACE:
            return sorted(left.values())        # KILL does not end these
        if time.monotonic() > until:
            for pid in pids:
                left[pid] = command_line(pid) or left.get(pid, 'process %d' % pid)
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
        time.sleep(0.1)


def is_alive(pid):
    """Return whether a process lives. A zombie does not."""
    try:
        with open('/proc/%d/stat' % pid) as file:
            return file.read().rpartition(') ')[2][:1] not in ('Z', 'X', '')
    except OSError:
        return False


def command_line(pid):
    """Return the command line of a process, '' if it has ended or is executing another program."""
    try:
        with open('/proc/%d/cmdline' % pid, 'rb') as file:
            return file.read().replace(b'\0', b' ').decode('utf-8', 'replace').strip()
    except OSError:
        return ''


def main(argv):
    """Run a class; return an exit code."""
    seconds, command = float(argv[0]), argv[1:]
    adopt_orphans()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, stop)
    # A session of its own, so that an interrupt from the terminal reaches it once, through this
    # process.
    popen = subprocess.Popen(command, start_new_session=True)
    is_over, patience = False, 0.0
    try:
        is_over = wait_for(popen, seconds)
        patience = SETTLE
        if not is_over:
            print('not over after %g s: ended' % seconds, flush=True)
    except Stopped:
        pass
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    end(popen, min(GRACE, seconds))
    left = kill_the_rest(popen, patience if is_over else 0.0)
    for words in left:
        print('left a process, which was killed: %s' % words, flush=True)
    return popen.returncode if is_over and not left else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
