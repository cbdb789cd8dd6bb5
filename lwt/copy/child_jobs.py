"""Long work on this machine, in child processes, so that the loop is never blocked.

Hashing, unpacking, packing and syncing wait for the disk of this machine.  In the process of lwt
they would delay everything else: past the lease, guards on other hosts would kill their commands
because of missing heartbeats.  So the loop itself does only small jobs.

A job is a function of the package that takes one argument and returns one value, both JSON values.
do() runs a small job at once, and a larger one in a new Python process.  If a small job takes long,
the disk is slow: then every job gets a process of its own, until a small one is quick there.

The child is an ordinary Command (see proc): it ends with lwt in any case, by the guard.
"""

from __future__ import generator_stop

import importlib
import json
import os
import sys
import time

import lwt
from lwt import errors
from lwt.errors import Cancelled, LocalError, LwtError
from lwt.proc import Command
from lwt.workspace import files

SMALL = 1 << 18                 # bytes: lwt itself does a job of this size
SLOW = 0.5                      # seconds: if a small job takes longer, the disk is slow
ANSWER_LIMIT = 1 << 26          # bytes of JSON

# The jobs that a child may run: name -> module, function.
JOBS = {}

# -I: Python ignores the environment and the current directory when it looks for modules.
PROGRAM = ('import sys; sys.path.insert(0, sys.argv[1]); from lwt.copy.child_jobs import main; '
           'sys.exit(main(sys.argv[2]))')


class Crashed(LocalError):
    """A job ended without an answer: killed, or by an unexpected error.

    If it processed data from a host, that data may be the reason.
    """


class _Disk:
    """What this process knows about this machine's disk."""

    is_slow = False


def job(function):
    """Decorator: do() may run the function in a child."""
    if JOBS.get(function.__name__, (function.__module__,))[0] != function.__module__:
        raise ValueError('two jobs are called %s' % function.__name__)
    JOBS[function.__name__] = function.__module__, function.__name__
    return function


def do(function, argument, size):
    """Flow: run a @job function; returns its value.

    Raises what the function raises (LwtError, OSError), or Crashed.
    argument: a JSON value.
    size: bytes that it reads or writes, as far as known; for a stream from a host,
        tarstream.work().
    """
    is_small = size <= SMALL
    if is_small and not _Disk.is_slow:
        began = time.monotonic()
        value = _at_once(function, argument)
        _Disk.is_slow = time.monotonic() - began > SLOW
        return value
    result = yield _command(function, argument)
    if result.status == 'cancelled':
        raise Cancelled()
    if result.status == 'exited' and not result.code and not result.truncated:
        took, answer = json.loads(result.stdout.decode())
        if is_small:
            _Disk.is_slow = took > SLOW
        return _value(answer)
    text = result.stderr.decode('utf-8', 'replace').strip().rpartition('\n')[2]
    kind = Crashed if result.status in ('exited', 'signaled') else LocalError
    raise kind('%s on this machine ended with %s %d%s' % (
        function.__name__, result.status, result.code, ': ' + text if text else ''))


def _at_once(function, argument):
    """Run a job in this process; an error that would end a child must not end lwt."""
    try:
        return function(argument)
    except (LwtError, OSError):
        raise
    except Exception as error:
        raise Crashed('%s on this machine ended with %s: %s'
                      % (function.__name__, type(error).__name__, error))


def remove(path):
    """Flow: remove a file or a directory of any size, if it exists."""
    if os.path.lexists(path):
        yield from do(remove_tree, path, SMALL + 1)


@job
def remove_tree(path):
    """Job of remove."""
    files.remove_tree(path)


def _command(function, argument):
    """Return the Command that runs a job; its process imports modules only from where lwt was
    imported.
    """
    path = os.path.dirname(os.path.dirname(os.path.abspath(lwt.__file__)))
    argv = sys.executable, '-I', '-S', '-c', PROGRAM, path, function.__name__
    text = json.dumps([JOBS[function.__name__][0], argument])
    return Command(argv, stdin=text.encode(), limit=ANSWER_LIMIT, is_local=True, label='localhost')


def _value(answer):
    kind, *rest = answer
    if kind == 'value':
        return rest[0]
    if kind == 'os':
        raise OSError(*rest)
    raise getattr(errors, kind)(*rest)


def _answer(function, argument):
    try:
        return ['value', function(argument)]
    except LwtError as error:
        kind = (type(error).__name__ if type(error) in (errors.UsageError, LocalError)
                else 'LwtError')
        return [kind, error.message, error.hint]
    except OSError as error:
        return ['os', error.errno, error.strerror or str(error), error.filename]


def main(name):
    """Run the job NAME on the argument on standard input; called in the child.  Returns an exit
    code.
    """
    module, argument = json.loads(sys.stdin.buffer.read().decode())
    importlib.import_module(module)
    if JOBS.get(name, ('',))[0] != module:
        return 2
    began = time.monotonic()
    answer = _answer(getattr(sys.modules[module], name), argument)
    sys.stdout.write(json.dumps([time.monotonic() - began, answer]))
    return 0
