"""Sweeps: tasks without a folder, limits of failures, tasks that wait for others by name, results
together, requests about many tasks.
"""

import contextlib
import csv
import io
import json
import os
import pty
import sqlite3
import subprocess
import sys
import tempfile
import unittest

from lwt.errors import UsageError
from lwt.remote import script_checks
from lwt.tasks import additions, model, predecessors, queue
from lwt.tasks.store import Store
from lwt.workspace import database
from lwt.workspace.hostlist import Host
from tests.support import ROOT, ProgramTestCase

HOST = Host('h')
DESC = model.Desc('true', retries=0)
# What older schemas had instead.
OLD_BATCH = '''CREATE TABLE batch (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL,
    input TEXT NOT NULL, desc TEXT NOT NULL);'''
OLD_INDEXES = '''
CREATE INDEX task_by_state ON task (state, host);
CREATE INDEX task_by_outcome ON task (state, outcome);
CREATE INDEX task_by_batch ON task (batch, state);
'''
NEW_INDEXES = ('task_by_condition', 'task_of_batch', 'task_by_end', 'task_doomed')
DIE_BEFORE_COMMIT = '''
import os, sys
from lwt import cli
from lwt.tasks import store
add = store.Store.add
def die(*arguments):
    add(*arguments)
    os._exit(9)
store.Store.add = die
cli.main(sys.argv[1:])
'''


class Inputs(unittest.TestCase):
    """Where the paths of --input go."""

    PLACES = (('a.txt', 'a.txt'), ('data/a.txt', 'data/a.txt'), ('./data//a', 'data/a'),
              ('data/', 'data'), ('/etc/passwd', 'passwd'), ('../x/y', 'y'), ('x/../y', 'y'),
              ('/etc/./ssl/x', 'ssl/x'), ('-x', '-x'), ('a\nb', 'a\nb'), ('\udcff', '\udcff'),
              ('.', os.path.basename(os.getcwd())))

    def test_a_relative_path_keeps_its_place(self):
        for path, place in self.PLACES:
            with self.subTest(path=path):
                self.assertEqual([one.place for one in additions.inputs_of([path])], [place])

    def test_two_inputs_never_share_a_place(self):
        for paths in (('/a/x', '/b/x'), ('x', '/b/x'), ('d', 'd/x'), ('d/x', 'd'), ('../x', 'x')):
            with self.subTest(paths=paths):
                self.assertRaises(UsageError, additions.inputs_of, paths)
        self.assertEqual(len(additions.inputs_of(['a/x', 'b/x', 'a/x', 'ab', 'a.b'])), 4)
        self.assertRaises(UsageError, additions.inputs_of, ['/'])

    def test_a_command_that_names_no_input_is_remarked_upon(self):
        inputs = {'data': os.path.join(ROOT, 'tests'), 'a/x.sh': os.path.join(ROOT, 'Makefile')}
        for command, is_fine in (('./go.sh', False), ('python3 train.py', False),
                                 ('python3 data/support.py', True), ('python3 data/no.py', False),
                                 ('sh a/x.sh', True), ('a/x.sh', True), ('sh a', True),
                                 ('python3 ./data/support.py', True), ('ls', True)):
            with self.subTest(command=command):
                found = list(script_checks.check(script_checks.Commands(
                    {'exec': (command, 'command')}, None, inputs)))
                self.assertEqual(not found, is_fine, found)
                self.assertTrue(is_fine or 'is not an --input' in found[0])

    def test_the_first_word_of_a_command_names_its_tasks(self):
        for command, name in (('./train.py --x', 'train.py'), ('/usr/bin/env sh', 'env'),
                              ('$x y', 'x'), ('"a b"', 'a'), ('{ x; }', 'command'),
                              ('é-y', 'y'), ('.x', 'x')):
            with self.subTest(command=command):
                self.assertEqual(additions.name_of_command(command), name)
                model.check_name(name)


class StoreTestCase(unittest.TestCase):
    """A database without a program."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix='lwt-test.')
        self.addCleanup(scratch.cleanup)
        self.path = os.path.join(scratch.name, 'state.db')
        self.opened = contextlib.ExitStack()
        self.addCleanup(self.opened.close)
        self.store = self.opened.enter_context(Store(self.path))

    def add(self, name, count, after='', **kind):
        return self.store.add(name, 'input', DESC, list(map(str, range(count))), after,
                              kind=model.Kind(**kind))

    def end(self, number, outcome):
        """Place a task, and end it."""
        group = next(group for group in self.store.waiting() if group.first == number)
        task, = self.store.place(HOST, 'b', 'i', [(group, 1)])
        task = self.store.advance(task, 'exited', '', end=outcome, code=int(outcome != 'success'))
        return self.store.settle(task, 'fetched', outcome, task.code, '')

    def states(self):
        return [task.outcome or task.state for task in self.store.all()]


class MaxFails(StoreTestCase):
    """--max-fails."""

    def test_the_rest_of_the_addition_is_held_and_no_other(self):
        self.add('one', 5, max_fails=2)
        self.add('two', 1)
        self.end(1, 'failed')
        self.end(2, 'success')
        self.assertEqual(self.states()[2:], ['new'] * 4)
        self.end(3, 'timeout')
        self.assertEqual(self.states()[3:], ['held', 'held', 'new'])
        self.assertEqual(self.store.get(4).reason, '2 tasks of this addition failed (--max-fails '
                                                   '2)')
        self.assertIn('held: 2 tasks of this addition failed', self.store.history(4)[-1][1])

    def test_several_folders_of_one_addition_count_together(self):
        first = self.add('one', 2, max_fails=1)
        self.store.add('two', 'input', DESC, [None], '', '', first[0], model.Kind(max_fails=1))
        self.end(1, 'lost')
        self.assertEqual(self.states(), ['lost', 'held', 'held'])

    def test_a_task_that_comes_back_from_its_host_is_held_too(self):
        self.add('one', 2, max_fails=1)
        group, = self.store.waiting()
        first, second = self.store.place(HOST, 'b', 'i', [(group, 2)])
        failed = self.store.advance(first, 'exited', '', end='failed', code=1)
        self.store.settle(failed, 'fetched', 'failed', 1, '')
        self.store.unplace(second, 'no room', False)
        self.assertEqual(self.states(), ['failed', 'held'])

    def test_after_a_resume_as_many_may_fail_again(self):
        self.add('one', 4, max_fails=1)
        self.end(1, 'failed')
        for number in (2, 3, 4):
            queue._resume(None, self.store, self.store.get(number))
        self.end(2, 'success')
        self.assertEqual(self.states(), ['failed', 'success', 'new', 'new'])
        self.end(3, 'failed')
        self.assertEqual(self.states()[3], 'held')


class After(StoreTestCase):
    """--after with ids and names."""

    def test_a_name_means_all_its_tasks_of_now(self):
        self.add('sweep', 2)
        self.add('merge', 1, queue.find_after(self.store, ['sweep']))
        self.add('sweep', 1)
        self.assertEqual(self.store.get(3).reason, 'after sweep')
        self.end(1, 'success')
        self.assertEqual(self.store.get(3).state, 'held')
        self.end(2, 'success')
        self.assertEqual((self.store.get(3).state, self.store.get(3).after), ('new', ''))

    def test_a_failure_is_the_reason_until_its_retry_succeeds(self):
        self.add('sweep', 2)
        self.add('merge', 2, queue.find_after(self.store, ['sweep']))
        self.end(1, 'failed')
        self.assertEqual(self.store.get(3).reason, 'after 000001, which did not succeed (failed)')
        self.end(2, 'success')
        self.assertEqual(self.states()[2:], ['held', 'held'])
        self.store.retry(self.store.get(1))
        self.end(1, 'success')
        self.assertEqual(self.states()[2:], ['new', 'new'])

    def test_ids_and_names_together_and_one_that_is_suspended(self):
        self.add('a', 2)
        self.add('b', 1)
        after = queue.find_after(self.store, ['b', '1', '000001'])
        self.assertEqual(predecessors.shown(after), ['b', '000001'])
        self.add('c', 2, after)
        queue._suspend(None, self.store, self.store.get(5))
        self.end(1, 'success')
        self.assertEqual(self.store.get(4).reason, 'after b')
        self.end(3, 'success')
        self.assertEqual(self.states(), ['success', 'new', 'success', 'new', 'held'])
        self.assertEqual((self.store.get(5).reason, self.store.get(5).after), ('suspended', ''))

    def test_what_has_succeeded_is_not_waited_for_and_a_name_may_look_like_an_id(self):
        self.add('7', 1)
        self.end(1, 'success')
        self.add('x', 1, queue.find_after(self.store, ['7']))
        self.assertEqual(self.store.get(2).state, 'new')
        self.assertRaises(UsageError, queue.find_after, self.store, ['8'])
        self.assertRaises(UsageError, queue.find_after, self.store, ['sweep'])


class Ids(StoreTestCase):
    """UR-4: ids and ranges on the command line."""

    def test_UR_4_ranges_and_lists(self):
        self.add('x', 12)
        self.store.remove(5)
        for words, numbers in ((['1-3'], [1, 2, 3]), (['4-6,2'], [4, 6, 2]), (['1,1', '1'], [1]),
                               (['000010-99'], [10, 11, 12]), (['12', '1-2'], [12, 1, 2])):
            with self.subTest(words=words):
                self.assertEqual([task.id for task in queue.find(self.store, words)], numbers)
        for word in ('13-20', '3-1', '5-5', '1-', '1--2', '1,', 'a-b'):
            with self.subTest(word=word):
                self.assertRaises(UsageError, queue.find, self.store, [word])


class Conversion(unittest.TestCase):
    """A database of an older schema."""

    def test_it_is_converted_or_rescued_and_keeps_its_tasks(self):
        for schema, rescue in ((2, False), (2, True), (3, False), (3, True)):
            with self.subTest(schema=schema, rescue=rescue), \
                    tempfile.TemporaryDirectory() as scratch:
                path = os.path.join(scratch, 'state.db')
                self.make_old(path, schema)
                if rescue:
                    self.assertEqual(database.rescue(path, path + '.kept')[1], True)
                self.assertEqual(database.examine(path).tasks, 1)
                with Store(path) as store:
                    task = store.get(1)
                    self.assertEqual((task.name, task.arg, task.split), ('old', 'v', ''))
                    store.add('new', 'i', DESC, [None], kind=model.Kind(max_fails=1))
                self.assertEqual(database.examine(path).schema, database.SCHEMA)
                self.assertEqual(self.schema_of(path), self.schema_of_a_new_one(scratch))

    def schema_of(self, path):
        with contextlib.closing(sqlite3.connect(path)) as db:
            return sorted(row[0] for row in db.execute('SELECT name FROM sqlite_master'))

    def schema_of_a_new_one(self, scratch):
        path = os.path.join(scratch, 'new.db')
        with Store(path, anew=True):
            return self.schema_of(path)

    def make_old(self, path, schema):
        tables, new = database._TABLES, NEW_INDEXES
        if schema == 2:
            batch = tables[tables.index('CREATE TABLE batch'):tables.index('CREATE TABLE task (')]
            tables, new = tables.replace(batch, OLD_BATCH), new + ('task_after',)
        starts = tuple('CREATE INDEX %s ON' % name for name in new)
        tables = '\n'.join(line for line in tables.split('\n') if not line.startswith(starts))
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.executescript(tables + OLD_INDEXES + 'PRAGMA user_version = %d' % schema)
            db.execute('INSERT INTO batch (id, name, input, desc) VALUES (1, ?, ?, ?)',
                       ('old', 'i', json.dumps(DESC._asdict())))
            db.execute("INSERT INTO task (uuid, batch, arg, state, added) "
                       "VALUES ('a', 1, 'v', 'new', 1)")
            db.commit()


class Program(ProgramTestCase):
    """The whole of it, on this machine."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')])

    def add(self, *words, **options):
        done = self.lwt('task', 'add', *words, **options)
        self.assertEqual(done.code, 0, done)
        return done

    def test_UR_5_UR_7_a_sweep_without_a_folder(self):
        self.write('go.sh', '#!/bin/sh\necho "lr $1"; echo "$seed"; [ "$seed" != 3 ]\n', 0o755)
        done = self.add('--input', 'go.sh', '--name', 'sweep', '--param', 'lr=0.1,x y',
                        '--param', 'seed=2-3', '--', './go.sh', '{lr}')
        self.assertEqual((done.out.split(), done.err),
                         (['000001', '000002', '000003', '000004'], 'lwt: 4 tasks added\n'))
        self.assertEqual(self.lwt('task', 'run').code, 1)
        done = self.lwt('task', 'log', '--name', 'sweep', '--tag')
        self.assertEqual(done.out, '0.1\t2\tlr 0.1\n0.1\t2\t2\n0.1\t3\tlr 0.1\n0.1\t3\t3\n'
                                   'x y\t2\tlr x y\nx y\t2\t2\nx y\t3\tlr x y\nx y\t3\t3\n')
        rows = list(csv.DictReader(io.StringIO(self.lwt('task', 'show', '--csv').out)))
        self.assertEqual([(row['id'], row['name'], row['parameters'], row['outcome'], row['code'],
                           row['host']) for row in rows],
                         [('000001', 'sweep', 'lr=0.1 seed=2', 'success', '0', 'localhost'),
                          ('000002', 'sweep', 'lr=0.1 seed=3', 'failed', '1', 'localhost'),
                          ('000003', 'sweep', "lr='x y' seed=2", 'success', '0', 'localhost'),
                          ('000004', 'sweep', "lr='x y' seed=3", 'failed', '1', 'localhost')])
        self.assertEqual(self.read(rows[2]['path'], 'run.stdout'), 'lr x y\n2\n')
        self.assertRegex(rows[0]['wall'] + ' ' + rows[0]['cpu'], r'^\d+\.\d\d \d+\.\d\d$')
        self.assertIn('000002  sweep lr=0.1 seed=3 ', self.lwt('task', 'show').out)
        told = json.loads(self.lwt('task', 'show', '--json', '3').out)
        self.assertEqual(told['parameters'], {'lr': 'x y', 'seed': '2'})

    def test_inputs_of_any_name_arrive_in_their_places(self):
        os.makedirs(self.path('in', 'a', 'sub'))
        os.makedirs(self.path('in', 'b'))
        names = ['in/a/same', 'in/b/same', 'in/-x', 'in/new\nline', 'in/sp ace']
        for name in names:
            self.write(name, name.replace('\n', ' ') + '\n')
        with open(os.fsencode(self.path('in')) + b'/\xff', 'wb') as file:
            file.write(b'ff\n')
        self.write('in/a/sub/deep', 'deep\n')
        os.symlink('sub/deep', self.path('in', 'a', 'link'))
        done = self.add(
            '--input', 'in/a', '--input', 'in/b/same', '--input', 'in/./-x', '--input',
            'in/new\nline', '--input', os.fsdecode(b'in/\xff'), '--input',
            self.path('in', 'sp ace'), '--fetch', 'out', '--',
            "mkdir out; cat in/a/same in/a/link in/b/same ./-x 'in/new\nline' in/[!a-z]* 'sp ace' "
            '> out/all')
        self.assertEqual(done.err, 'lwt: 1 task added\n')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.read(self.results()[0], 'result', 'all'),
                         'in/a/same\ndeep\nin/b/same\nin/-x\nin/new line\nff\nin/sp ace\n')

    def test_what_is_wrong_is_one_error_and_adds_nothing(self):
        os.mkfifo(self.path('fifo'))
        os.mkdir(self.path('dir'))
        os.symlink('/etc', self.path('dir', 'out'))
        cases = (
            (('--',), 'missing command'), (('sample', '--', 'x'), 'both a name (sample) and'),
            (('sample', '--name', 'x'), '--name requires a command after --'),
            (('--input', 'nosuch', '--', 'x'), 'nosuch'),
            (('--input', 'fifo', '--', 'x'), 'neither a file nor a directory'),
            (('--input', 'dir', '--', 'x'), 'leads out'),
            (('--input', '.', '--', 'x'), 'contains the queue'),
            (('--array', '1', '--param', 'a=1', '--', 'x'), 'exclude each other'),
            (('--array', '1-2', '--', 'x {2}'), 'unknown placeholder'),
            (('--max-fails', '0', '--', 'x'), '--max-fails'))
        for words, said in cases:
            with self.subTest(words=words):
                done = self.lwt('task', 'add', *words)
                self.assert_refused(done, 2, said)
                self.assertEqual(done.out, '')
        self.assertEqual(self.lwt('task', 'show', '--json').out, '')
        self.assertEqual(os.listdir(self.path('task')), [])

    def test_UR_23_each_reads_standard_input_and_pipes(self):
        done = self.add('--each', '-', '--colsep', ',', '--', 'echo {2} {1}', stdin=b'a,b\nc,d\n')
        self.assertEqual(len(done.out.split()), 2)
        command = '"$0" -S -m lwt task add --each <(printf "x\\ny z\\n") -- echo {}'
        done = subprocess.run(['bash', '-c', command, sys.executable], cwd=self.scratch,
                              env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual((done.returncode, done.stderr), (0, b'lwt: 2 tasks added\n'))
        self.lwt('task', 'run')
        self.assertEqual(self.lwt('task', 'log', '--finished').out, 'b a\nd c\nx\ny z\n')

    def test_an_addition_that_is_killed_adds_nothing(self):
        done = subprocess.run([sys.executable, '-S', '-c', DIE_BEFORE_COMMIT, 'task', 'add',
                               '--array', '1-1000', '--', 'true'], cwd=self.scratch,
                              env=dict(self.env, PYTHONPATH=ROOT))
        self.assertEqual(done.returncode, 9)
        self.assertEqual(len(os.listdir(self.path('task'))), 1)
        self.assertEqual(self.lwt('task', 'show', '--json').out, '')
        self.lwt('task', 'update')
        self.assertEqual(os.listdir(self.path('task')), [])

    def test_UR_3_retry_names_what_has_changed_and_fresh_takes_it(self):
        self.describe('one', 'exec : sh go\n', go='echo old; exit 1\n')
        self.write('script', 'echo old; exit 1\n')
        self.add('one', '--timeout', '60')
        self.add('--input', 'script', '--', 'sh', 'script')
        self.lwt('task', 'run')
        done = self.lwt('task', 'retry', '1-2')
        self.assertNotIn('changed', done.err)
        self.lwt('task', 'run')
        self.describe('one', 'exec : sh go\n', go='echo new\n')
        self.write('script', 'echo new\n')
        done = self.lwt('task', 'retry', '1')
        self.assertEqual(done.err.splitlines(), [
            'lwt: 000001 one: description/one has changed since it was added; the old copy is '
            'used; --fresh takes the new one', 'lwt: 000001 one: waiting for a host'])
        self.lwt('task', 'run')
        done = self.lwt('task', 'retry', '--state', 'failed', '--fresh')
        self.assertEqual(done.code, 0, done)
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.lwt('task', 'log', '1,2').out, 'new\nnew\n')
        self.assertEqual(json.loads(self.lwt('task', 'show', '--json', '1').out)['desc']['timeout'],
                         60.0)
        self.assertEqual(os.listdir(self.path('task')), [])

    def test_UR_4_requests_about_many_tasks(self):
        self.add('--name', 'a', '--array', '1-12', '--', '[ {} -gt 1 ]')
        self.add('--name', 'b', '--', 'true')
        self.assertIn('12 tasks: 12 held', self.lwt('task', 'suspend', '--name', 'a').err)
        self.lwt('task', 'kill', '11-12')
        done = self.lwt('task', 'cancel', '1-13')
        self.assertIn('2 tasks left out, because kill does not apply: 2 killed', done.err)
        self.lwt('task', 'retry', '1-2')
        self.lwt('task', 'run')
        done = self.lwt('task', 'retry', '--name', 'a', '--state', 'success,failed')
        self.assertEqual(done.err.count('waiting for a host'), 2, done)
        self.lwt('task', 'run')
        done = self.lwt('task', 'retry', '--name', 'a')
        self.assertIn('1 task left out, because retry does not apply: 1 success', done.err)
        self.add('--name', 'c', '--after', 'a', '--', 'true')
        self.assertIn('resume does not apply', self.lwt('task', 'resume', '--name', 'c').err)
        for verb in ('kill', 'rm'):
            self.assert_refused(self.lwt('task', verb), 2, 'missing task id')
        self.assert_refused(self.lwt('task', 'rm', '--all', '1'), 2, 'exclude each other')
        self.assert_refused(self.lwt('task', 'kill', '--state', 'nosuch'), 2, 'no such state')

    def test_UR_4_rm_asks_before_it_removes_what_was_not_named(self):
        self.add('--array', '1-4', '--', 'true')
        self.assert_refused(self.lwt('task', 'rm', '1-4'), 2, 'remove 4 tasks (4 new)', '--yes')
        for answer, left in ((b'\n', 4), (b'y\n', 0)):
            ours, theirs = pty.openpty()
            os.write(ours, answer)
            popen = self.start('task', 'rm', '--state', 'new', stdin=theirs, stderr=theirs)
            popen.communicate(timeout=60)
            os.close(theirs)
            os.close(ours)
            self.assertEqual(popen.returncode, 0)
            self.assertEqual(self.lwt('task', 'ls', '--json').out.count('\n'), left)
        self.add('--array', '1-4', '--', 'true')
        self.assertEqual(self.lwt('task', 'rm', '5').code, 0)
        self.assertEqual(self.lwt('task', 'rm', '--all', '--yes').code, 0)
        self.assertEqual(self.lwt('task', 'list', '--json').out, '')


if __name__ == '__main__':
    unittest.main()
