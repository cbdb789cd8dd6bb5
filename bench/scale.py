"""The cost of a host and of a task, with up to a thousand hosts and a million tasks.

The hosts are first those of the lab, then a stub for ssh that runs everything on this machine. So
the cpu time and the memory of lwt itself are given beside the wall time.
"""

import contextlib
import json
import os
import sqlite3
import subprocess
import tempfile
import time
from typing import NamedTuple

from bench.measure import LWT, ROOT, has_lab, report
from lwt.tasks import model
from lwt.tasks.store import Store
from tests import lab
from tests.support import FAKE

LAB_HOSTS = (10, 40)
STUB_HOSTS = (10, 100, 1000)
TASKS = (1000, 100000, 1000000)
FINISHED = 100000
SHORT, SLOTS, COMMITS = 300, 4, 100
FANOUT = 32
ADDED, COUNTED, PASS, MEMORY = 20.0, 1.0, 2.0, 200.0
# What one lwt process used: its wall and cpu seconds, and its memory in MB, without its children.
OWN = '''
import json, resource, sys, time
began = time.monotonic()
from lwt import cli
code = cli.main(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_SELF)
with open(sys.argv[1], 'w') as file:
    cpu = used.ru_utime + used.ru_stime
    json.dump([time.monotonic() - began, cpu, used.ru_maxrss / 1024], file)
sys.exit(code)
'''


class Own(NamedTuple):
    """Seconds of wall and cpu time and MB of memory of one lwt process."""

    wall: float
    cpu: float
    memory: float


def measure(rounds, env):
    """Print the costs of hosts and tasks."""
    with tempfile.TemporaryDirectory(prefix='lwt-bench.') as scratch:
        env = dict(env, LWT_WORKSPACE=os.path.join(scratch, 'ws'))
        stub = dict(env, PATH='%s:%s' % (FAKE, env['PATH']),
                    FAKE_ROOT=os.path.join(scratch, 'fake'))
        _measure_tasks(scratch, rounds, stub)
        _measure_finished(scratch, rounds, stub)
        _measure_short(scratch, rounds, stub)
        for count in LAB_HOSTS if has_lab() else ():
            with lab.Lab(count) as hosts:
                lab_env = dict(env, LWT_SSH_CONFIG=hosts.ssh_config)
                _measure_hosts('lab hosts', hosts.names, scratch, rounds, lab_env)
        for count in STUB_HOSTS:
            names = ['n%d' % number for number in range(1, count + 1)]
            _measure_hosts('stub hosts', names, scratch, rounds, stub)


def _own(scratch, env, *words):
    """Run lwt; return the Own that it used."""
    path = os.path.join(scratch, 'own')
    code = subprocess.call(LWT.split()[:1] + ['-c', OWN, path] + list(words), env=env, cwd=ROOT,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    with open(path) as file:
        used = Own(*json.load(file))
    if code:
        print('  exit code %d: lwt %s' % (code, ' '.join(words)))
    return used


def _best(rounds, scratch, env, *words):
    return min((_own(scratch, env, *words) for _round in range(rounds)), key=lambda own: own.wall)


def _workspace(scratch, names, env, slots, category='bench'):
    subprocess.call(['rm', '-rf', env['LWT_WORKSPACE'], os.path.join(scratch, 'fake')])
    os.mkdir(os.path.join(scratch, 'fake'))
    subprocess.check_call(LWT.split() + ['-q', 'init', env['LWT_WORKSPACE']], env=env)
    with open(os.path.join(env['LWT_WORKSPACE'], 'host.list'), 'w') as file:
        file.writelines('%s\t%s\t~\tslots=%d\n' % (name, category, slots) for name in names)


def _row(title, own, count=0):
    each = '  %9.3f ms each' % (own.wall * 1000 / count) if count else ''
    print('  %-34s %8.2f s  %8.2f s cpu  %6.0f MB%s'
          % (title, own.wall, own.cpu, own.memory, each))


# -- tasks -----------------------------------------------------------------------------------------

def _measure_tasks(scratch, rounds, env):
    rows, added, most = {}, {}, 0.0
    for count in TASKS:
        print('%d tasks that wait, 2 stub hosts of 2 slots' % count)
        added[count] = min((_added(scratch, env, count) for _round in range(rounds)),
                           key=lambda own: own.wall)
        _row('task add --array', added[count], count)
        size = os.path.getsize(os.path.join(env['LWT_WORKSPACE'], '.lwt', 'state.db'))
        print('  %-34s %8d bytes each' % ('state.db', size // count))
        _own(scratch, env, 'task', 'update')            # launches four of them
        try:
            rows[count] = _measure_waiting(scratch, rounds, env, count)
        finally:
            _own(scratch, env, 'task', 'kill', '--all')
        most = max([most, added[count].memory] + [own.memory for own in rows[count].values()])
    found, first = rows[count], rows[TASKS[0]]
    wall = added[count].wall
    report('add %d tasks' % count, wall, 's', '%.0f or less' % ADDED, wall <= ADDED)
    wall = found['task show --count'].wall
    report('count them', wall, 's', '%.0f or less' % COUNTED, wall <= COUNTED)
    ratio = found['task update'].wall / first['task update'].wall
    report('a pass, beside one with %d tasks' % TASKS[0], ratio, 'x', '%.1f or less' % PASS,
           ratio <= PASS)
    report('memory of lwt in all of this', most, 'MB', '%.0f or less' % MEMORY, most <= MEMORY)


def _added(scratch, env, count):
    _workspace(scratch, ['n1', 'n2'], env, 2)
    return _own(scratch, env, 'task', 'add', '--array', '1-%d' % count, '--', 'sleep 1000')


def _measure_waiting(scratch, rounds, env, count):
    """Measure commands while tasks wait, four of which run; return {command: Own}."""
    rows = {}
    for words in ('task show --count', 'task update', 'task why %d' % (count // 2),
                  'task show 100-199', 'report'):
        rows[words] = _best(rounds, scratch, env, *words.split())
        _row(words, rows[words])
    for words in ('task show', 'task rm --state new --yes'):
        rows[words] = _own(scratch, env, *words.split())
        _row(words, rows[words], count)
    return rows


def _measure_finished(scratch, rounds, env):
    """Measure commands after tasks have ended; their rows are written without running them."""
    print('%d tasks that have succeeded' % FINISHED)
    _added(scratch, env, FINISHED)
    path = os.path.join(env['LWT_WORKSPACE'], '.lwt', 'state.db')
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE task SET state = 'done', outcome = 'success', code = 0, "
                         "host = 'n1', started = added, ended = added + 1")
        database.execute("INSERT INTO attempt SELECT id, 1, host, started, ended, outcome, 0, '', "
                         '1.0, 1.0, 100 FROM task')
    print('  %-34s %8d bytes each' % ('state.db', os.path.getsize(path) // FINISHED))
    for words in ('task show --count', 'task update', 'stat --tasks', 'report'):
        _row(words, _best(rounds, scratch, env, *words.split()))


def _measure_short(scratch, rounds, env):
    """Measure the run of tasks that do nothing, and the commits that most of it waits for."""
    print('%d tasks that do nothing, on this machine with %d slots' % (SHORT, SLOTS))
    _workspace(scratch, ['localhost'], env, SLOTS, 'local')
    found = []
    for _round in range(rounds):
        _own(scratch, env, 'task', 'add', '--array', '1-%d' % SHORT, '--', 'true')
        found.append(_own(scratch, env, 'task', 'run'))
    _row('task run', min(found, key=lambda own: own.wall), SHORT)
    with Store(os.path.join(scratch, 'commits.db')) as store:
        number, = store.add('x', 'x', model.Desc('true'), [None])
        began = time.monotonic()
        for _time in range(COMMITS):
            store.doom(store.get(number), False)
    print('  %-34s %8.2f ms each'
          % ('commits to state.db', (time.monotonic() - began) * 1000 / COMMITS))


# -- hosts -----------------------------------------------------------------------------------------

def _measure_hosts(kind, names, scratch, rounds, env):
    """Measure a command on all hosts, and passes that launch a task on each and fetch its result.
    """
    count = len(names)
    print('%d %s, fanout %d' % (count, kind, FANOUT))
    rounds = 1 if count > 100 else rounds
    _workspace(scratch, names, env, 1)
    _row('exec', _best(rounds, scratch, env, 'exec', '-f', str(FANOUT), '-a', '--', 'true'), count)
    launched, fetched = [], []
    for _round in range(rounds):
        _own(scratch, env, 'task', 'add', '--array', '1-%d' % count, '--', 'true')
        launched.append(_own(scratch, env, 'task', 'update', '-f', str(FANOUT)))
        fetched.append(_own(scratch, env, 'task', 'update', '-f', str(FANOUT)))
    for title, found in (('task update, launches a task each', launched),
                         ('task update, fetches each result', fetched)):
        _row(title, min(found, key=lambda own: own.wall), count)
