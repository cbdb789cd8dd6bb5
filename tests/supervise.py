"""Run a class of tests: python3 -m tests.supervise SECONDS COMMAND ARG…

It ends a command that runs longer than SECONDS, and always ends all processes that the command
started and left: as a subreaper it is the parent of every orphan. Its exit code is that of the
command, or 1 if anything had to be ended.

The runner of the tests does the same with a function instead of a command: a fork of a process
that has imported all tests begins sooner than a new Python.
"""

import atexit
import contextlib
import ctypes
import gc
import os
import random
import resource
import signal
import subprocess
import sys
import time
import traceback

from tests.lab import descendants

PR_SET_CHILD_SUBREAPER = 36     # prctl(2)
GRACE = 30.0                    # seconds from TERM to KILL: a class may have to take down a lab
SETTLE = 10.0                   # seconds for processes to end by themselves after the class
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """This process was asked to end."""


def stop(signum, _frame):
    raise Stopped(signum)


class Forked:
    """A function in a process of its own, with the methods of subprocess.Popen that are used here.

    function(): returns the exit code.  output: a file for both streams, or None to share those of
    this process.
    """

    def __init__(self, function, output=None, start_new_session=False):
        self.returncode = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _run_in_child(function, output, start_new_session)

    def poll(self):
        if self.returncode is None:
            self._take(*os.waitpid(self.pid, os.WNOHANG))
        return self.returncode

    def wait(self):
        if self.returncode is None:
            self._take(*os.waitpid(self.pid, 0))
        return self.returncode

    def _take(self, pid, status):
        if pid:
            self.returncode = (-os.WTERMSIG(status) if os.WIFSIGNALED(status)
                               else os.WEXITSTATUS(status))

    def send_signal(self, signum):
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self):
        self.send_signal(signal.SIGTERM)


def _run_in_child(function, output, start_new_session):
    """Run a function in the new process as if it were a program of its own; never returns."""
    code = 1
    try:
        atexit._clear()                 # the functions of the parent are not those of this process
        if start_new_session:
            os.setsid()
        if output is not None:
            null = os.open(os.devnull, os.O_RDONLY)
            for fd, target in ((null, 0), (output.fileno(), 1), (output.fileno(), 2)):
                os.dup2(fd, target)
            os.closerange(3, 1024)      # files of other classes
        if hasattr(gc, 'freeze'):       # Python 3.7: what the parent has made is not copied
            gc.freeze()
        random.seed()                   # Python 3.6 has the same random numbers in every fork
        code = function()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def adopt_orphans():
    """Become the parent of the class's orphans. Without prctl(2), orphans are not found."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (AttributeError, OSError):
        pass


def wait_for(popen, seconds):
    """Wait for the class and reap orphans meanwhile; return whether the class is over."""
    began = time.monotonic()
    while popen.poll() is None:
        took = time.monotonic() - began
        if took > seconds:
            return False
        reap(popen)
        time.sleep(min(0.1, 0.01 + took / 20))
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


def note_times(name, began):
    """Add the seconds and the processor seconds of a class, with all that it started, to the file
    LWT_TEST_TIMES.
    """
    if 'LWT_TEST_TIMES' in os.environ:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        with open(os.environ['LWT_TEST_TIMES'], 'a') as file:
            file.write('%.2f\t%.2f\t%s\n' % (time.monotonic() - began,
                                             used.ru_utime + used.ru_stime, name))


def supervise(name, start, seconds):
    """Run a class; return an exit code.

    start(): starts it, in a session of its own, so that an interrupt from the terminal reaches it
    once, through this process; returns a Popen or a Forked.
    """
    adopt_orphans()
    for signum in SIGNALS:
        signal.signal(signum, stop)
    began = time.monotonic()
    popen = start()
    is_over, patience = False, 0.0
    try:
        is_over = wait_for(popen, seconds)
        patience = SETTLE
        if not is_over:
            print('not over after %g s: ended' % seconds, flush=True)
    except Stopped:
        pass
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    end(popen, min(GRACE, seconds))
    left = kill_the_rest(popen, patience if is_over else 0.0)
    for words in left:
        print('left a process, which was killed: %s' % words, flush=True)
    note_times(name, began)
    return popen.returncode if is_over and not left else 1


def main(argv):
    """Run a command; return an exit code."""
    return supervise(argv[-1], lambda: subprocess.Popen(argv[1:], start_new_session=True),
                     float(argv[0]))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
