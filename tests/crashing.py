"""Kill lwt at its n-th step, or make that step fail. The product has no hook for this: the
functions with an effect are wrapped from outside.

A step is an action that changes something: a transaction is committed, a name is made or removed in
the file system, a file is synced or opened for writing, a process is started. lwt runs as always,
in its own process. At step N it is killed, or the step fails with an error of the machine, once or
from then on.

To look at one case by hand (the steps are printed on standard error):

    python3 -m tests.crashing 17 kill -- task run
    python3 -m tests.crashing 17 ENOSPC -- task run         # also EIO, EMFILE; with a + appended,
                                                            # from then on
"""

import builtins
import contextlib
import errno
import importlib
import os
import signal
import sqlite3
import sys
import time
from typing import NamedTuple

from lwt import cli, proc
from lwt.workspace import database

# Import it once, so that no run has to: each run is a fork of this process.
importlib.import_module('lwt.commands.task')
FAULTS = ('kill', 'ENOSPC', 'EIO', 'EMFILE')
_SQLITE = {'ENOSPC': 'database or disk is full', 'EIO': 'disk I/O error',
           'EMFILE': 'unable to open database file'}
_NAMES = ('rename', 'replace', 'mkdir', 'rmdir', 'unlink', 'link', 'symlink', 'fsync')


class Plan(NamedTuple):
    """What happens at step `at` (0: nothing): 'kill', or the name of an errno. for_ever: also at
    every later step.
    """

    at: int = 0
    fault: str = 'kill'
    for_ever: bool = False


class Ended(NamedTuple):
    """How a run ended. code: the exit code as a shell reports it, None if the run hung. steps: the
    names of the steps that it reached.
    """

    code: int
    steps: list
    output: str

    def __str__(self):
        return 'code %s after %s\n%s' % (self.code, self.steps[-3:], self.output)


class _Steps:
    """Counts steps, writes each to the trace, and carries out the plan. Used only after the fork.
    """

    def __init__(self, plan, trace):
        self._plan = plan
        self._trace = trace
        self._write = os.write
        self._count = 0

    def __call__(self, name, make_error=None):
        """Count a step that is about to happen. make_error(name of an errno): the error with which
        it fails.
        """
        plan = self._plan
        self._count += 1
        self._write(self._trace, os.fsencode(name.replace('\n', '?')) + b'\n')
        if not plan.at or not (self._count == plan.at or (plan.for_ever and self._count > plan.at)):
            return
        if plan.fault == 'kill':
            os.kill(os.getpid(), signal.SIGKILL)
        raise (make_error or _os_error)(plan.fault)

    def install(self):
        """Wrap all functions that are steps."""
        for name in _NAMES:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        proc.start_process = self._wrapped('spawn', proc.start_process)
        os.open, builtins.open = self._opening(os.open), self._opening(builtins.open)
        database.Database.together = self._committing(database.Database.together)

    def _wrapped(self, name, function):
        def stepping(*args, **options):
            if name != 'mkdir' or not os.path.lexists(args[0]):     # else it changes nothing
                self('%s %s' % (name, ' '.join(arg for arg in args if isinstance(arg, str))))
            return function(*args, **options)
        return stepping

    def _opening(self, function):
        def stepping(path, *args, **options):
            how = args[0] if args else options.get('mode', options.get('flags', 'r'))
            writes = (how & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(how, int)
                      else set(how) & set('wax+'))
            is_file = (isinstance(path, (str, bytes))
                       and not os.fsdecode(path).startswith((os.devnull, '/proc/')))
            if is_file and (writes or self._plan.fault == 'EMFILE'):
                self('open %s' % path)
            return function(path, *args, **options)
        return stepping

    def _committing(self, together):
        @contextlib.contextmanager
        def stepping(which):
            is_outermost = not which._depth
            with together(which):
                yield
                if is_outermost:
                    self('commit', lambda fault: sqlite3.OperationalError(_SQLITE[fault]))
        return stepping


def _os_error(fault):
    number = getattr(errno, fault)
    return OSError(number, os.strerror(number))


def run(argv, environ, directory, plan=Plan(), timeout=180.0):
    """Run lwt with a plan in a directory, and wait for its end; return an Ended. timeout: seconds,
    after which the run counts as hung.
    """
    trace, output = os.path.join(directory, '.trace'), os.path.join(directory, '.output')
    pid = os.fork()
    if not pid:
        code = 99
        try:
            code = _in_child(argv, environ, directory, plan, trace, output)
        finally:
            os._exit(code)
    code = _await(pid, timeout)
    with open(trace, encoding='utf-8', errors='replace') as steps, open(output, encoding='utf-8',
                                                                        errors='replace') as said:
        return Ended(code, steps.read().splitlines(), said.read())


def _in_child(argv, environ, directory, plan, trace, output):
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environ)
    null, said = os.open(os.devnull,
                         os.O_RDONLY), os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for fd, target in ((null, 0), (said, 1), (said, 2)):
        os.dup2(fd, target)
    os.closerange(3, 256)               # the descriptors that the tests have open are not lwt's
    fd = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    _Steps(plan, fd).install()
    code = cli.main(argv, os.environ)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


def _await(pid, timeout):
    """Return the exit code of a child as a shell reports it, or None if it had to be killed after
    timeout seconds.
    """
    end = time.monotonic() + timeout
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.005)


def main(argv):
    """The command; returns an exit code."""
    if (len(argv) < 4 or not argv[0].isdigit() or argv[1].rstrip('+') not in FAULTS
        or argv[2] != '--'):
        print(__doc__, file=sys.stderr)
        return 2
    trace = os.dup(2)
    _Steps(Plan(int(argv[0]), argv[1].rstrip('+'), argv[1].endswith('+')), trace).install()
    return cli.main(argv[3:])


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
