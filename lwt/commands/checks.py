"""The local checks of lwt doctor: state, locks, workspace, this machine.

They yield Findings and change nothing.  A Finding that can be fixed holds the function that does
it.  No check removes results.  A file is removed only if no running process uses it, which the
locks show.
"""

from __future__ import generator_stop

import os
import platform
import re
import shutil
import time
from typing import Callable, NamedTuple

from lwt import netcat, procfs
from lwt.errors import BusyError, LocalError, LwtError, printable_text
from lwt.output import units
from lwt.proc import Command
from lwt.tasks import model, queue
from lwt.workspace import database

LITTLE_ROOM = 100 << 20         # bytes free in the workspace, below which doctor warns
ASK_TIME = 10.0                 # time limit in seconds for a program to print its version
NETWORK = re.compile(r'nfs\d?|cifs|smb3?|smbfs|9p|afs|ceph|lustre|glusterfs|fuse\..*|fuse|ncpfs')
FLEETING = {'overlay': 'may be lost when the container is removed',
            'tmpfs': 'lost when this machine reboots'}


class Finding(NamedTuple):
    """The result of a check.

    status: 'ok', 'warn' or 'FAIL'.
    what: the thing that was checked.
    hint: what to do, or ''.
    mend: a function that fixes the problem and returns a text about its action, or None.
    more: further (key, value) pairs for --json.
    """

    status: str
    what: str
    text: str
    hint: str = ''
    mend: Callable = None
    more: tuple = ()


# -- the state -------------------------------------------------------------------------------------


def state(workspace):
    """Check that state.db is intact and of this version."""
    path = workspace.database
    if not os.path.lexists(path):
        lost = database.why_lost(path)
        if lost:
            yield Finding('FAIL', 'state.db', 'missing, but ' + lost,
                          'restore it, or run lwt doctor --fix, which finds the tasks on hosts',
                          lambda: _begin_anew(path))
        else:
            yield Finding('ok', 'state.db', 'not created yet: no task was added')
        return
    try:
        told = database.examine(path)
    except BusyError:
        yield Finding('warn', 'state.db', 'in use by another lwt process', 'try again')
        return
    except LwtError as error:
        yield Finding('FAIL', 'state.db', error.message,
                      error.hint or 'check that the file is readable and writable')
        return
    if told.problems:
        hint = ('lwt doctor --fix keeps a copy, saves all readable rows and finds the tasks on '
                'hosts')
        yield Finding('FAIL', 'state.db', 'damaged: ' + told.problems[0],
                      hint, lambda: _rescue(path))
    elif told.schema not in database.READABLE:
        yield Finding('FAIL', 'state.db',
                      'written by another version of lwt (schema %d, expected %d)'
                      % (told.schema, database.SCHEMA), 'use the version that wrote it')
    else:
        yield Finding('ok', 'state.db', 'intact, schema %d, %d tasks%s' % (
            told.schema, told.tasks,
            '; an interrupted transaction was rolled back' if told.journal else ''))


def _rescue(path):
    users = _users(path)
    if users:
        raise BusyError('in use by process %d' % users[0], 'end this process first')
    kept = _kept(path)
    rows, is_whole = database.rescue(path, kept)
    return ('created a new file with %d rows%s; the damaged file is %s'
            % (rows, '' if is_whole else ' (some were lost)', kept))


def _begin_anew(path):
    database.begin_anew(path, _kept(path))
    return 'created a new file without tasks'


def _kept(path):
    return '%s.damaged-%s' % (path, time.strftime('%Y%m%d-%H%M%S'))


def _users(path):
    """Return the ids of the other processes that have a file open, as far as /proc shows them."""
    found = []
    for pid in procfs.processes() or ():
        try:
            links = ['/proc/%d/fd/%s' % (pid, fd) for fd in os.listdir('/proc/%d/fd' % pid)]
            if (pid != os.getpid()
                and any(os.path.realpath(path) == os.path.realpath(link) for link in links)):
                found.append(pid)
        except OSError:
            continue
    return found


# -- locks -----------------------------------------------------------------------------------------


def locks(workspace):
    """Check the holders of locks.

    The kernel frees the locks of processes that ended, so none is stale; but a holder may be
    stopped.
    """
    folder, held = workspace.path('.lwt', 'lock'), 0
    seen = procfs.processes() or {}
    for name in sorted(_names(folder)):
        if workspace.lock(name).is_free():
            continue
        held += 1
        pid, age = workspace.lock(name).holder() or (0, 0.0)
        if age < 0:
            age = procfs.age(seen[pid]) if pid in seen else 0.0
        text = 'held by process %d for %s' % (pid, units.duration(age))
        if pid in seen and seen[pid].state == b'T':
            yield Finding('FAIL', 'lock ' + name, text + ', which is stopped',
                          'continue it with: kill -CONT %d' % pid)
        else:
            yield Finding('ok', 'lock ' + name, text)
    if not held:
        yield Finding('ok', 'locks', 'none held')


def _names(folder):
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


# -- the workspace ---------------------------------------------------------------------------------


def workspace_files(workspace):
    """Check the host lists, and the disk of the workspace."""
    yield from _lists(workspace)
    for names in ((), ('.lwt',), ('task',), ('task.finish',)):
        path = workspace.path(*names)
        if os.path.lexists(path) and not os.access(path, os.W_OK | os.X_OK):
            yield Finding('FAIL', 'workspace', '%s: not writable' % path,
                          'check its owner and mode')
    usage = shutil.disk_usage(workspace.root)
    kind = kind_of(os.path.realpath(workspace.root), _mounts())
    status = 'warn' if usage.free < LITTLE_ROOM else 'ok'
    yield Finding(status, 'disk', '%s free of %s%s'
                  % (units.size(usage.free), units.size(usage.total), kind and ', ' + kind),
                  'results stay on their hosts until there is space' if status == 'warn' else '')
    if NETWORK.fullmatch(kind):
        yield Finding('warn', 'file system', '%s: locks and SQLite are not reliable on it' % kind,
                      'use a workspace on a local disk, from one machine only')
    elif kind in FLEETING:
        yield Finding('warn', 'file system', '%s: %s' % (kind, FLEETING[kind]),
                      'use a workspace on a local disk')


def _lists(workspace):
    try:
        candidates = {host.name for host in workspace.candidates()}
        gone = [host.name for host in workspace.available() if host.name not in candidates]
    except LwtError as error:
        yield Finding('FAIL', 'host list', error.message, error.hint)
        return
    if gone:
        yield Finding('warn', 'host list', 'in host.list.available, but not in host.list: '
                      + ' '.join(gone), 'lwt probe')
    else:
        yield Finding('ok', 'host list',
                      '%d candidates, %d available' % (len(candidates), len(workspace.available())))


def _mounts():
    try:
        with open('/proc/self/mounts', encoding='utf-8', errors='surrogateescape') as file:
            return file.read()
    except OSError:
        return ''


def kind_of(path, mounts):
    """Return the type of the file system of a path, or ''; mounts: the text of /proc/self/mounts.
    """
    found = ('', '')
    for line in mounts.splitlines():
        words = line.split(' ')
        if len(words) > 2:
            where = re.sub(r'\\([0-7]{3})', lambda match: chr(int(match.group(1), 8)),
                           words[1]).rstrip('/')
            if (path == where or path.startswith(where + '/')) and len(where) >= len(found[0]):
                found = (where, words[2])
    return found[1]


# -- files in the workspace ------------------------------------------------------------------------


def lying(workspace, store):
    """Check the files in the workspace: unfinished ones, missing inputs, and files not of lwt."""
    found = 0
    for finding in _lying(workspace, store):
        found += 1
        yield finding
    if not found:
        yield Finding('ok', 'files', 'every open task has its input, no unfinished files')


def _lying(workspace, store):
    left = [os.path.relpath(path, workspace.root) for path in queue.half_done(workspace, store)]
    damaged = [name for name in sorted(os.listdir(workspace.path('.lwt')))
               if '.damaged-' in name and not name.endswith('-journal')]
    if left and damaged:
        yield Finding('warn', 'files',
                      'files of no known task, perhaps of tasks lost with .lwt/%s: %s'
                      % (damaged[-1], some(left)),
                      'the next pass removes unneeded inputs and keeps results as attempt.*')
    elif left:
        yield Finding('FAIL', 'files', 'unfinished, left by killed processes: ' + some(left),
                      'run lwt doctor --fix, or wait for the next pass',
                      lambda: _swept(workspace, store))
    for name, numbers in sorted(store.open_inputs().items()):
        if not workspace.has_input(name):
            yield Finding('FAIL', 'files', 'the input of %s is missing: %s' % (
                some([model.format_id(number) for number in numbers]), name),
                'waiting tasks cannot start: kill them with lwt task kill and add them again')
    wanted = store.inputs() | {os.path.basename(path) for path in left}
    odd = [name for name in sorted(os.listdir(workspace.path('task'))) if name not in wanted]
    if odd:
        yield Finding('warn', 'files', 'task/ is for inputs only; not created by lwt: ' + some(odd),
                      'lwt does not touch these files')


def _swept(workspace, store):
    problems = queue.sweep(workspace, store)
    if problems:
        raise LocalError(some(problems))
    return 'finished, moved aside or removed'


def some(words):
    """Return the first few of many words as text."""
    return ' '.join(words[:5]) + (' and %d more' % (len(words) - 5) if words[5:] else '')


# -- this machine ----------------------------------------------------------------------------------


def machine(session, needs_ssh):
    """Flow: check the programs and limits of this machine; returns Findings.

    needs_ssh: at least one host is another machine.
    """
    transport, found = session.transport, []
    for name, path in (('ssh', transport.ssh), ('scp', transport.scp)):
        if not path:
            found.append(Finding('FAIL' if needs_ssh and name == 'ssh' else 'warn', name,
                                 'not found in PATH=' + transport.path,
                                 'install the OpenSSH client, or set PATH'))
        else:
            said = (yield from _say((path, '-V'), transport.env)) if name == 'ssh' else ''
            found.append(Finding('ok', name, path + (': ' + said if said else '')))
    odd = [part or '(empty)'
           for part in transport.path.split(os.pathsep) if not part.startswith('/')]
    if odd:
        found.append(
            Finding('warn', 'PATH', 'contains relative directories: ' + ' '.join(odd),
                    'the programs that run then depend on the current directory'))
    told = yield Command(('/bin/sh', '-c', netcat.PROBE), timeout=ASK_TIME)
    program = netcat.parse(told.stdout.decode('utf-8', 'replace'))[1]
    found.append(Finding('ok', 'netcat', '%s: %s' % (' '.join(program.words), program.dialect))
                 if program else Finding(
        'warn', 'netcat', 'none', 'needed only by put --chain and reduce --transport nc'))
    if not session.sockets:
        found.append(
            Finding('warn', 'sockets',
                    'connections cannot be shared: no directory for their sockets',
                    'each step logs in separately; check XDG_RUNTIME_DIR and /tmp'))
    return found + [
        Finding('ok', 'Python',
                '%s, SQLite %s' % (platform.python_version(), database.sqlite_version())),
        _limits()]


def _limits():
    most = procfs.max_children()
    return Finding('ok' if most >= 32 else 'warn', 'limits',
                   'up to %d child processes at once' % most,
                   '' if most >= 32 else 'raise the limit on open files: ulimit -n')


def _say(argv, env):
    """Flow: return the first line that a program prints."""
    result = yield Command(argv, env=env, timeout=ASK_TIME)
    lines = (result.stdout + result.stderr).decode('utf-8', 'replace').splitlines()
    return printable_text(lines[0], 60) if lines else ''
