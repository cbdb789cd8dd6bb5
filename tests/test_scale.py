"""Many tasks: what they cost in memory, and that no query about some reads all of them."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import tracemalloc
import unittest

from lwt.commands.task_view import table_parts
from lwt.errors import UsageError
from lwt.hosts import health
from lwt.tasks import model, queue, scheduler, values
from lwt.tasks.queries import MOST_COUNTED
from lwt.tasks.store import Store
from lwt.tasks.task_lists import NumberSet, TaskList, runs
from lwt.workspace import database
from lwt.workspace.hostlist import Host
from tests.support import ROOT

HOST = Host('h')
DESC = model.Desc('true', retries=0)
MANY = 8000
MEMORY = 3 << 20                # bytes that Python may allocate; a list of MANY Tasks takes 8 MB
# Adds tasks, and kills itself after so many of them.
KILLED = '''
import os, signal, sys
from lwt.tasks import model
from lwt.tasks.store import Store
from lwt.tasks.values import Values
def make():
    for number in range(60000):
        if number == 50000:
            os.kill(os.getpid(), signal.SIGKILL)
        yield str(number)
with Store(sys.argv[1]) as store:
    store.add('killed', 'i', model.Desc('true'), Values(make, 60000))
'''


class Sets(unittest.TestCase):
    """Numbers of tasks."""

    def test_a_number_set_is_a_set(self):
        chance = random.Random(5)
        for most in (10, 9000, 10 ** 11):
            known, found = set(), NumberSet()
            for _time in range(2000):
                number = chance.randrange(most)
                name = chance.choice(('add', 'add', 'discard'))
                getattr(known, name)(number)
                getattr(found, name)(number)
            self.assertEqual(list(found), sorted(known))
            self.assertEqual((len(found), found == known), (len(known), True))
            self.assertEqual(all(number in found for number in known), True)
            self.assertEqual(found - NumberSet([1]), known - {1})

    def test_a_number_set_of_ranges(self):
        for first, last in ((1, 1), (1, 5000), (4096, 8191), (4090, 20000)):
            with self.subTest(first=first, last=last):
                found = NumberSet(range(first, last + 1))
                found |= NumberSet(range(last, last + 5))
                self.assertEqual(list(found), list(range(first, last + 5)))
                self.assertEqual(len(found), last - first + 5)

    def test_runs_of_consecutive_numbers(self):
        for numbers, expected in (((), []), ((0,), [(0, 0)]), ((1, 2, 3), [(1, 3)]),
                                  ((1, 3, 4, 9), [(1, 1), (3, 4), (9, 9)]),
                                  ((3, 2, 1), [(3, 3), (2, 2), (1, 1)])):
            self.assertEqual(list(runs(numbers)), expected)


class Stored(unittest.TestCase):
    """A database of tasks."""

    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.path = os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), 'state.db')
        self.store = stack.enter_context(Store(self.path))

    def add(self, count, name='many'):
        return self.store.add(name, name + '.i', DESC, values.of_array('1-%d' % count))

    def place(self, *numbers_of_group):
        """Place the oldest tasks of each waiting group; returns them."""
        return self.store.place(HOST, 'b', 'i', list(zip(self.store.waiting(), numbers_of_group)))

    def finish(self, task, end='success'):
        task = self.store.advance(task, 'exited', 'ended', end=end, ended=2.0)
        return self.store.settle(task, 'fetched', end, 0, '')


class Memory(Stored):
    """The memory of what commands do with many tasks."""

    def test_it_does_not_grow_with_their_number(self):
        self.add(MANY)
        numbers = NumberSet(self.store.open_numbers())
        for what, do in (
                ('add', lambda: self.add(MANY)),
                ('select', lambda: self.store.chosen(('new',), names=('many',))),
                ('ids', lambda: queue.find(self.store, ['1-%d' % MANY, '5'])),
                ('show', lambda: sum(map(len, table_parts(self.store.chosen(), {}, 9.0)))),
                ('count', lambda: self.store.counts_of(numbers)),
                ('wait', lambda: self.store.is_any_waiting(numbers, self.store.waiting())),
                ('pass', lambda: scheduler.targets(self.store, [HOST], {}, 9.0, health.Rules()))):
            with self.subTest(what=what):
                tracemalloc.start()
                do()
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                self.assertLess(peak, MEMORY)

    def test_values_are_made_when_they_are_read(self):
        for found in (values.of_array('1-200000'), values.of_params(['a=1-400', 'b=1-500'])):
            tracemalloc.start()
            self.assertEqual((len(found), sum(1 for _value in found)), (200000, 200000))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            self.assertLess(peak, MEMORY)

    def test_numbers_that_overlap_are_one_value_each(self):
        found = values.of_array('5-9,1-7,007,7')
        for _time in range(2):
            self.assertEqual(list(found), '5 6 7 8 9 1 2 3 4 007'.split())
        self.assertEqual(len(found), 10)


class _Recorder:
    """Passes statements on to a database, and records their plans."""

    def __init__(self, connection):
        self._connection = connection
        self.plans = []                 # (statement, its steps)

    def execute(self, sql, parameters=()):
        """Execute a statement."""
        if sql.startswith(('SELECT', 'WITH', 'UPDATE', 'DELETE')):
            plan = self._connection.execute('EXPLAIN QUERY PLAN ' + sql, parameters)
            self.plans.append((sql, [row[-1] for row in plan]))
        return self._connection.execute(sql, parameters)

    def __getattr__(self, name):
        return getattr(self._connection, name)


class Plans(Stored):
    """How SQLite finds tasks."""

    def test_no_query_of_a_pass_or_about_some_tasks_reads_all(self):
        self.add(30)
        self.finish(self.place(2)[0])
        recorder = self.store._db = _Recorder(self.store._db)
        store, some = self.store, NumberSet(range(5, 25))
        scheduler.targets(store, [HOST], {}, 9.0, health.Rules())
        for do in (store.waiting, store.active, store.going_count, store.is_any_placed,
                   store.busy_hosts, store.all_hosts, store.keys_on_hosts, store.started_times,
                   store.doomed, store.open_numbers, store.counts, lambda: store.forget(30),
                   lambda: store.on_hosts(('h', 'g')), lambda: store.get(3),
                   lambda: store.chosen(('new',), names=('many',)), lambda: store.last_of_name('x'),
                   lambda: store.chosen(('running', 'done')), lambda: store.chosen((), ('lost',)),
                   lambda: store.chosen(('held',), ('failed',), ('many',), ('h',)),
                   lambda: store.counts_of(some), lambda: store.counts_of_name('many', 20),
                   lambda: store.with_outcomes(some, ('failed',)),
                   lambda: store.reasons(('held', 'suspended')),
                   lambda: store.reasons(('held',), some),
                   lambda: store.is_any_waiting(some, store.waiting()),
                   lambda: store.input_is_wanted('many.i', True), lambda: store.past(store.get(2)),
                   lambda: store.batches(TaskList(store, some)),
                   lambda: queue.find(store, ['0000']),
                   lambda: store.add('next', 'i', DESC, [None], 'many:20'),
                   lambda: store.remove_waiting([3, 4]), lambda: self.place(2)):
            with contextlib.suppress(UsageError):
                do()
        self.assertGreater(len(recorder.plans), 50)
        for sql, steps in recorder.plans:
            with self.subTest(sql=sql):         # a scan of an index is none of the table
                self.assertEqual([step for step in steps if 'INDEX' not in step
                                  and re.match('SCAN (TABLE )?task( |$)', step)], [])


class Groups(Stored):
    """Tasks that wait."""

    def test_they_are_counted_or_estimated(self):
        self.add(5, 'few')
        self.add(MOST_COUNTED + 50)
        self.assertEqual([(group.name, group.count, group.first) for group in self.store.waiting()],
                         [('few', 5, 1), ('many', MOST_COUNTED + 50, 6)])
        self.place(2, 20)
        self.store.remove_waiting(range(1000, 1010))
        few, many = self.store.waiting()
        self.assertEqual((few.count, few.first, many.first), (3, 3, 26))
        self.assertGreaterEqual(many.count, MOST_COUNTED + 20)

    def test_those_that_avoid_different_hosts_are_apart(self):
        self.add(4)
        self.add(3, 'other')
        self.store._db.execute("UPDATE task SET avoid = 'h1' WHERE id IN (2, 3, 6)")
        self.store._db.execute("UPDATE task SET avoid = 'h1 h2' WHERE id = 4")
        self.assertEqual([(group.name, group.avoid, group.count, group.first)
                          for group in self.store.waiting()],
                         [('many', '', 1, 1), ('many', 'h1', 2, 2), ('many', 'h1 h2', 1, 4),
                          ('other', '', 2, 5), ('other', 'h1', 1, 6)])

    def test_no_task_waits(self):
        self.assertEqual(self.store.waiting(), [])
        self.assertEqual(self.store.counts(), {})


class Removal(Stored):
    """Tasks that were never sent to a host are removed together."""

    def test_only_those(self):
        self.add(6)
        placed, = self.place(1)
        self.store.unplace(placed, 'no answer', was_sent=True)
        self.place(1)
        self.assertEqual(list(self.store.remove_waiting([1, 2, 3, 5])), [2, 3, 5])
        self.assertEqual([(task.id, task.state) for task in self.store.all()],
                         [(1, 'launching'), (4, 'new'), (6, 'new')])

    def test_none_while_another_task_waits_for_one(self):
        self.add(2)
        self.store.add('last', 'i', DESC, [None], 'many:2')
        self.assertEqual(list(self.store.remove_waiting([1])), [])
        self.assertEqual(len(self.store.all()), 3)


class Killed(Stored):
    """An addition of many tasks is whole or not at all."""

    def test_when_its_process_is_killed_in_the_middle(self):
        self.add(3)
        env = dict(os.environ, PYTHONPATH=ROOT)
        done = subprocess.Popen([sys.executable, '-c', KILLED, self.path], env=env)
        self.assertEqual(done.wait(60), -signal.SIGKILL)
        self.assertGreater(os.path.getsize(self.path + '-journal'), 0)
        self.assertEqual([task.id for task in self.store.all()], [1, 2, 3])
        self.assertEqual(database.examine(self.path).problems, ())
        self.assertEqual(self.add(2), range(4, 6))


class Ids(Stored):
    """Ids that users type."""

    def test_they_mean_the_same_as_if_all_numbers_were_known(self):
        numbers = [1, 2, 12, 13, 120, 999999, 1000000, 1200000, 12000007, 123456789012]
        self.add(len(numbers))
        for old, number in reversed(list(enumerate(numbers, 1))):
            self.store._db.execute('UPDATE task SET id = ? WHERE id = ?', (number, old))
        for word in ('1', '12', '012', '0', '00', '0000', '000012', '00012', '13', '99', '1000000',
                     '12000', '120000', '1234', '7', '999999', '0000001', '123456789012', 'x', '²'):
            with self.subTest(word=word):
                self.assertEqual(_meaning(lambda: model.match_ids(word, numbers)),
                                 _meaning(lambda: model.match_ids(
                                     word, queue._candidates(word, self.store))))


def _meaning(find):
    """What an id means, or that it is an error."""
    try:
        return find()
    except UsageError as error:
        return error.message


class Tables(Stored):
    """The list of tasks."""

    def test_a_long_one_comes_in_parts_whose_columns_get_wider(self):
        self.add(1001)
        self.store.add('with-a-longer-name', 'i', DESC, [None])
        parts = list(table_parts(self.store.chosen(), {}, 9.0))
        self.assertEqual([len(part) for part in parts], [1001, 2])
        self.assertEqual(parts[0][0], 'ID      NAME       STATE  TRY  HOST  TIME  REASON')
        self.assertEqual(parts[1], ['001001  many 1001           new      1  -     -',
                                    '001002  with-a-longer-name  new      1  -     -'])

    def test_an_empty_one_has_titles(self):
        self.assertEqual([len(part) for part in table_parts(self.store.chosen(), {}, 9.0)], [1])
