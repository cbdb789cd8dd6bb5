"""Long work on this machine, in child processes, so that the loop is never blocked.

Hashing, unpacking, packing and syncing wait for the disk of this machine.  Done by lwt itself they
would delay everything else: past the lease, guards on other hosts would end their commands for want
of a heartbeat.  So the loop only ever does a small piece of such work.

A job is a function of the package that takes one argument and returns one value, both as JSON has
them.  do() runs it at once if it is small, and in a Python of its own otherwise.  Where a small job
took long, the disk is slow: every job gets a Python of its own, until a small one is quick there.

The child is an ordinary Command (see proc): it is ended with lwt, by the guard, whatever happens.
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

SMALL = 1 << 18                 # bytes: a job of so much is done by lwt itself
SLOW = 0.5                      # seconds: a small job that takes longer shows that the disk is slow
ANSWER_LIMIT = 1 << 26          # bytes of JSON

# What a child may be asked for: name, module, function.
JOBS = {}

# -I: neither the environment nor the current directory tells Python where to look for modules.
PROGRAM = ('import sys; sys.path.insert(0, sys.argv[1]); from lwt.copy.local_work import main; '
           'sys.exit(main(sys.argv[2]))')


class Crashed(LocalError):
    """A job ended without an answer: killed, or by an error that nobody expected.

    Where it worked on what a host sent, that may be the reason.
    """


class _Disk:
    """What was seen of this machine's disk in this process."""

    is_slow = False


def job(function):
    """Decorator: the function may be run by do(), in a child."""
    JOBS[function.__name__] = function.__module__, function.__name__
    return function


def do(function, argument, size):
    """Flow: run a @job function; returns its value, or raises what it raises (LwtError, OSError),
    or Crashed.

    argument: what JSON can hold.  size: bytes that it reads or writes, as far as that is known; of
    a stream that a host sent, tarstream.work().
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
    """Run a job in this process; what would end a child must not end lwt."""
    try:
        return function(argument)
    except (LwtError, OSError):
        raise
    except Exception as error:
        raise Crashed('%s on this machine ended with %s: %s'
                      % (function.__name__, type(error).__name__, error))


def remove(path):
    """Flow: remove what is at a path, if anything, however much that is."""
    if os.path.lexists(path):
        yield from do(remove_tree, path, SMALL + 1)


@job
def remove_tree(path):
    """The work of remove."""
    files.remove_tree(path)


def _command(function, argument):
    """The Command that runs a job.  Its process has what lwt was imported from as its only source.
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
    """What the child does: run the job NAME on the argument that stands on standard input."""
    module, argument = json.loads(sys.stdin.buffer.read().decode())
    importlib.import_module(module)
    if JOBS.get(name, ('',))[0] != module:
        return 2
    began = time.monotonic()
    answer = _answer(getattr(sys.modules[module], name), argument)
    sys.stdout.write(json.dumps([time.monotonic() - began, answer]))
    return 0
