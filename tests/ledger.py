"""The ledger of a workspace: accounts for every task, on the master and on its hosts.

It is used after crashes, when lwt reports that nothing is left to do. The tasks are those of
`describe`: each records its start and its attempt in a file of its host's home, and makes a result
that identifies it.
"""

import collections
import fcntl
import os
import re
import sqlite3
from typing import NamedTuple

from lwt.tasks import model, results
from lwt.tasks.store import Store
from lwt.workspace.layout import Workspace

DESC = 'exec : sh run.sh\nd_fetch : output\nretries : 1\nretry_on : lost failed\n'
RUN = '''\
echo "$LWT_TASK.$LWT_ATTEMPT" >>"$d_home/starts"
mkdir output && echo "$LWT_TASK.$LWT_ATTEMPT" >output/id
'''
STARTED = {'success': (1,), 'failed': (1,), 'timeout': (1,), 'killed': (0, 1), 'lost': (0, 1),
           'withdrawn': (0,)}


class Entry(NamedTuple):
    """The history of one task. ends: how its attempts ended, in order, the last one is the task's
    outcome; starts: how often each attempt was started; problems: the inconsistencies.
    """

    number: int
    outcome: str
    ends: tuple
    starts: tuple
    problems: tuple

    def __str__(self):
        return '%s  %-8s  started %s%s' % (
            model.format_id(self.number), self.outcome or 'open',
            ' '.join('%s:%d' % pair for pair in zip(self.ends, self.starts)) or 'never',
            ''.join('  ' + problem for problem in self.problems))


def entries(root, starts_files):
    """Return the Entries of all tasks of a workspace. starts_files: the files in which the tasks
    recorded their starts.
    """
    starts = _starts(starts_files)
    with Store(os.path.join(root, '.lwt', 'state.db')) as store:
        return [_entry(Workspace(root), store, task, starts) for task in store.all()]


def _starts(paths):
    """Return counts of 'ID.ATTEMPT', one for each start on any host."""
    found = collections.Counter()
    for path in paths:
        if os.path.exists(path):
            with open(path) as file:
                found.update(file.read().split())
    return found


def _entry(workspace, store, task, starts):
    ends = {row[0]: row[4] for row in store.attempts(task.id)}
    if task.state == 'done':
        ends.setdefault(task.attempt, task.outcome)
    counts = {number: starts['%s.%d' % (model.format_id(task.id), number)]
              for number in range(1, task.attempt + 1)}
    problems = [] if task.state == 'done' else ['it is %s' % task.state]
    for number, count in counts.items():
        if count not in STARTED.get(ends.get(number), (0,)):
            problems.append('attempt %d, %s, was started %d times'
                            % (number, ends.get(number, 'open'), count))
    for number, end in sorted(ends.items()):
        if end in ('success', 'failed'):
            problems += _wrong_result(workspace, task, number)
    return Entry(task.id, task.outcome, tuple(ends.get(number, '?') for number in counts),
                 tuple(counts.values()),
                 tuple(problems))


def _wrong_result(workspace, task, number):
    where = results.directory(workspace, task)
    if number != task.attempt:
        where = os.path.join(where, 'attempt.%d' % number)
    try:
        with open(os.path.join(where, 'result', 'id')) as file:
            text = file.read()
        for name in ('run.stdout', 'run.stderr', 'run.code'):
            os.stat(os.path.join(where, name))
    except OSError as error:
        return ['no result of attempt %d (%s)' % (number, error)]
    return ([] if text == '%s.%d\n' % (model.format_id(task.id), number)
            else ['the result of attempt %d is %r' % (number, text)])


def remains(root, homes):
    """Return a line for everything that should be gone: files on the master and on hosts, state,
    and locks that are held.

    homes: {host: its home, as a path of this machine}.
    """
    found = []
    with Store(os.path.join(root, '.lwt', 'state.db')) as store:
        known = {os.path.basename(results.directory(Workspace(root), task)) for task in store.all()}
        wanted = {task.input
                  for task in store.all() if store.input_is_wanted(task.input, even_failed=True)}
        copied = {task.input for task in store.all() if store.input_is_wanted(task.input)}
    found += (_unexpected(root, 'task', wanted) + _unexpected(root, 'task.finish', known)
              + _unexpected(root, '.lwt/tmp', ()))
    with sqlite3.connect(os.path.join(root, '.lwt', 'state.db')) as db:
        found += ['state.db: %s' % row
                  for row in db.execute('PRAGMA integrity_check') if row != ('ok',)]
        found += ['to be removed on %s: %s %s' % row for row in
                  db.execute("SELECT host, verb, key FROM leftover WHERE verb <> 'forget'")]
    db.close()
    for host, home in homes.items():
        found += ['%s: %s' % (host, name) for name in _on_host(home, copied)]
    for name in os.listdir(os.path.join(root, '.lwt', 'lock')):
        with open(os.path.join(root, '.lwt', 'lock', name)) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append('locked: ' + name)
    return found


def _unexpected(root, folder, expected):
    return ['%s/%s' % (folder, name)
            for name in sorted(set(os.listdir(os.path.join(root, folder))) - set(expected))]


def _on_host(home, inputs):
    base = os.path.join(home, '.lwt')
    if not os.path.isdir(base):
        return []
    found = _unexpected(home, '.lwt', ('host-id', 'i', 't')) + _unexpected(base, 'i', inputs)
    for key in os.listdir(os.path.join(base, 't')):
        is_task = re.fullmatch(r'[0-9a-f]{32}\.\d+', key)
        names = os.listdir(os.path.join(base, 't', key)) if is_task else ['']
        found += ['t/%s/%s' % (key, name)
                  for name in names if name != 'fate' and not name.startswith('exit.')]
    return found
