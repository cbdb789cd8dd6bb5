"""Jobs that the tests of child_jobs run."""

import os
import signal
import time

from lwt.copy.child_jobs import job
from lwt.errors import LocalError, UsageError


@job
def process(argument):
    """Return [the number of the process, argument]."""
    return [os.getpid(), argument]


@job
def nap(seconds):
    """Take a long time."""
    time.sleep(seconds)
    return os.getpid()


@job
def fail(kind):
    """Raise an error of a kind."""
    if kind == 'exit':
        os._exit(7)
    if kind == 'bug':
        raise ValueError('no such value')
    if kind == 'signal':
        os.kill(os.getpid(), signal.SIGKILL)
    if kind in ('deep', 'memory'):
        raise {'deep': RecursionError, 'memory': MemoryError}[kind]()
    raise {'usage': UsageError('bad', 'do this'), 'local': LocalError('disk', 'make room'),
           'os': FileNotFoundError(2, 'No such file', '/x')}[kind]
