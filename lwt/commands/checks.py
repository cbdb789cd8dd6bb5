"""The local checks of lwt doctor: state, locks, workspace, this machine.  They yield Findings and
change nothing.

What can be mended has a function for that in its Finding.  What came home is never removed, and
what is removed belongs to nobody who lives: the locks tell.
"""

from __future__ import generator_stop

import os
import platform
import re
import shutil
import time
from typing import Callable, NamedTuple

from lwt import netcat, proc, procfs
from lwt.errors import BusyError, LocalError, LwtError, printable_text
from lwt.output import units
from lwt.proc import Command
from lwt.tasks import model, queue
from lwt.workspace import database

LITTLE_ROOM = 100 << 20         # bytes free in the workspace, below which it is told
ASK_TIME = 10.0                 # seconds that a program may take to say its version
NETWORK = re.compile(r'nfs\d?|cifs|smb3?|smbfs|9p|afs|ceph|lustre|glusterfs|fuse\..*|fuse|ncpfs')
FLEETING = {'overlay': 'it may be gone with its container',
            'tmpfs': 'it is gone when this machine is started anew'}


class Finding(NamedTuple):
    """What a check came to.  status: 'ok', 'warn' or 'FAIL'.  what: that was looked at.  hint: the
    way out, or ''.

    mend: a function that mends it and returns what it did, or None.  more: further (key, value)
    pairs for programs.
    """

    status: str
    what: str
    text: str
    hint: str = ''
    mend: Callable = None
    more: tuple = ()


# -- the state -------------------------------------------------------------------------------------


def state(workspace):
    """state.db: is it sound, and of this version?"""
    path = workspace.database
    if not os.path.lexists(path):
        lost = database.why_lost(path)
        if lost:
            yield Finding('FAIL', 'state.db', 'missing, but ' + lost,
                          'put it back; or lwt doctor --fix, which finds what is on hosts',
                          lambda: _begin_anew(path))
        else:
            yield Finding('ok', 'state.db', 'none yet: nothing was queued')
        return
    try:
        told = database.examine(path)
    except BusyError:
        yield Finding('warn', 'state.db', 'another lwt is writing all the time', 'try again')
        return
    except LwtError as error:
        yield Finding('FAIL', 'state.db', error.message,
                      error.hint or 'see that it can be read and written')
        return
    if told.problems:
        hint = ('lwt doctor --fix keeps a copy and saves what can be read; '
                'what is on hosts is found there')
        yield Finding('FAIL', 'state.db', 'damaged: ' + told.problems[0],
                      hint, lambda: _rescue(path))
    elif told.schema != database.SCHEMA:
        yield Finding('FAIL', 'state.db',
                      'written by another version of lwt (schema %d, this one knows %d)'
                      % (told.schema, database.SCHEMA), 'use the lwt that wrote it')
    else:
        yield Finding('ok', 'state.db', 'sound, schema %d, %d tasks%s' % (
            told.schema, told.tasks,
            '; what a writer left half done is undone' if told.journal else ''))


def _rescue(path):
    users = _users(path)
    if users:
        raise BusyError('process %d has it open' % users[0], 'end it first')
    kept = _kept(path)
    rows, is_whole = database.rescue(path, kept)
    return ('made anew with %d rows%s; the damaged one is %s'
            % (rows, '' if is_whole else ', not all', kept))


def _begin_anew(path):
    database.begin_anew(path, _kept(path))
    return 'made anew, without tasks'


def _kept(path):
    return '%s.damaged-%s' % (path, time.strftime('%Y%m%d-%H%M%S'))


def _users(path):
    """The numbers of the other processes that have a file open, as far as the system tells."""
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
    """Who holds locks.  The kernel frees them, so that there is nothing to unlock; but their holder
    may be stopped.
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
                          'let it go on: kill -CONT %d' % pid)
        else:
            yield Finding('ok', 'lock ' + name, text)
    if not held:
        yield Finding('ok', 'locks',
                      'none is held; those of the dead are free, so there is nothing to unlock')


def _names(folder):
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


# -- the workspace ---------------------------------------------------------------------------------


def workspace_files(workspace):
    """The lists of hosts, and the disk that all lies on."""
    yield from _lists(workspace)
    for names in ((), ('.lwt',), ('task',), ('task.finish',)):
        path = workspace.path(*names)
        if os.path.lexists(path) and not os.access(path, os.W_OK | os.X_OK):
            yield Finding('FAIL', 'workspace', '%s: cannot be written' % path,
                          'see to its owner and mode')
    usage = shutil.disk_usage(workspace.root)
    kind = kind_of(os.path.realpath(workspace.root), _mounts())
    status = 'warn' if usage.free < LITTLE_ROOM else 'ok'
    yield Finding(status, 'disk', '%s free of %s%s'
                  % (units.size(usage.free), units.size(usage.total), kind and ', ' + kind),
                  'results stay on their hosts until there is room' if status == 'warn' else '')
    if NETWORK.fullmatch(kind):
        yield Finding('warn', 'file system', '%s: locks and SQLite cannot be trusted there' % kind,
                      'use a workspace on a disk of this machine, and one machine only')
    elif kind in FLEETING:
        yield Finding('warn', 'file system', '%s: %s' % (kind, FLEETING[kind]),
                      'use a workspace on a disk')


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
    """The kind of the file system that a path lies on, '' where the mounts (as in
    /proc/self/mounts) do not tell.
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


# -- what lies in the workspace --------------------------------------------------------------------


def lying(workspace, store):
    """What lies in the workspace: what was left half done, tasks without their input, what is none
    of lwt.
    """
    found = 0
    for finding in _lying(workspace, store):
        found += 1
        yield finding
    if not found:
        yield Finding('ok', 'files', 'every open task has its input, and nothing is half done')


def _lying(workspace, store):
    left = [os.path.relpath(path, workspace.root) for path in queue.half_done(workspace, store)]
    damaged = [name for name in sorted(os.listdir(workspace.path('.lwt')))
               if '.damaged-' in name and not name.endswith('-journal')]
    if left and damaged:
        yield Finding('warn', 'files',
                      'of no task that is known; perhaps of those that were lost with .lwt/%s: %s'
                      % (
                          damaged[-1], some(left)),
                      'the next pass removes inputs that nobody needs; results are kept as '
                      'attempt.*')
    elif left:
        yield Finding('FAIL', 'files', 'left by programs that were killed: ' + some(left),
                      'lwt doctor --fix, or the next pass',
                      lambda: _swept(workspace, store))
    for name, numbers in sorted(store.open_inputs().items()):
        if not workspace.has_input(name):
            yield Finding('FAIL', 'files', 'the input of %s is missing: %s' % (
                some([model.format_id(number) for number in numbers]), name),
                'those that wait cannot start: lwt task kill them, and add them again')
    wanted = store.inputs() | {os.path.basename(path) for path in left}
    odd = [name for name in sorted(os.listdir(workspace.path('task'))) if name not in wanted]
    if odd:
        yield Finding('warn', 'files', 'task/ is for inputs only; nothing of lwt: ' + some(odd),
                      'what you put there is left alone')


def _swept(workspace, store):
    problems = queue.sweep(workspace, store)
    if problems:
        raise LocalError(some(problems))
    return 'finished, put aside or removed'


def some(words):
    """The first few of many words."""
    return ' '.join(words[:5]) + (' and %d more' % (len(words) - 5) if words[5:] else '')


# -- this machine ----------------------------------------------------------------------------------


def machine(session, needs_ssh):
    """Flow: the programs and limits of this machine; returns Findings.  needs_ssh: is any host
    another machine?
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
            Finding('warn', 'PATH', 'has directories that are not absolute: ' + ' '.join(odd),
                    'what is run then depends on where you are; lwt finds ssh once'))
    told = yield Command(('/bin/sh', '-c', netcat.PROBE), timeout=ASK_TIME)
    program = netcat.parse(told.stdout.decode('utf-8', 'replace'))[1]
    found.append(Finding('ok', 'netcat', '%s: %s' % (' '.join(program.words), program.dialect))
                 if program else Finding(
        'warn', 'netcat', 'none', 'only put --chain and reduce --transport nc need one'))
    if not session.sockets:
        found.append(
            Finding('warn', 'sockets',
                    'connections cannot be shared: there is no directory for their sockets',
                    'each step logs in by itself; see to XDG_RUNTIME_DIR, or /tmp'))
    return found + [
        Finding('ok', 'Python',
                '%s, SQLite %s' % (platform.python_version(), database.sqlite_version())),
        _limits()]


def _limits():
    most = proc.max_children()
    return Finding('ok' if most >= 32 else 'warn', 'limits', 'room for %d children at once' % most,
                   '' if most >= 32 else 'raise the limit on open files: ulimit -n')


def _say(argv, env):
    """Flow: the first line that a program says."""
    result = yield Command(argv, env=env, timeout=ASK_TIME)
    lines = (result.stdout + result.stderr).decode('utf-8', 'replace').splitlines()
    return printable_text(lines[0], 60) if lines else ''
