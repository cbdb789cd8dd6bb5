"""A state.db that is empty, truncated, missing or something else: nothing is removed, and doctor
helps.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import unittest
from unittest import mock

from lwt.workspace import database
from tests.support import ROOT, ProgramTestCase

COMMANDS = (
    ('task', 'show'),
    ('task', 'update'),
    ('task', 'run'),
    ('task', 'add', 'sample'),
    ('stat',),
    ('report',),
)
DIE_BEFORE_LINK = '''
import os
from lwt.tasks import store
from lwt.workspace import database
database._publish = lambda part, path: os._exit(9)
with store.Store(%r):
    pass
'''


class StateFile(ProgramTestCase):
    """One task is queued, then something happens to the database."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')])
        done = self.lwt('task', 'add', 'sample')
        self.assertEqual(done.code, 0, done)
        self.path_of_state = self.path('.lwt', 'state.db')
        self.inputs = os.listdir(self.path('task'))
        shutil.copy(self.path_of_state, self.path('good'))

    def assert_refused_by_all(self, *words):
        before = self.content()
        for argv in COMMANDS + (('doctor',),):
            with self.subTest(argv=argv):
                done = self.lwt(*argv)
                if argv == ('doctor',):
                    self.assertEqual(done.code, 1, done)
                    self.assertRegex(done.out, '(?m)^FAIL   state.db')
                else:
                    self.assert_refused(done, 74, 'state.db: ', 'doctor --fix', *words)
                self.assertEqual(os.listdir(self.path('task')), self.inputs)
        self.assertEqual(self.content(), before)

    def content(self):
        """Return {name: content} of the database and the files beside it."""
        found = {}
        for name in sorted(os.listdir(self.path('.lwt'))):
            path = self.path('.lwt', name)
            if name.startswith('state.db'):
                found[name] = os.listdir(path) if os.path.isdir(path) else open_and_read(path)
        return found

    def assert_fixed(self, tasks):
        done = self.lwt('doctor', '--fix')
        self.assertRegex(done.out, '(?m)^fixed  state.db')
        self.assertEqual(os.listdir(self.path('task')), self.inputs)
        self.assertEqual(self.lwt('task', 'show', '--json').out.count('\n'), tasks)

    def cut(self, size):
        os.truncate(self.path_of_state, size)

    def test_SR_17_an_empty_database_is_damaged(self):
        """SR-17: state.db of 0 bytes, as after a crash or a full disk."""
        self.cut(0)
        self.assert_refused_by_all('damaged (0 bytes)')
        self.assert_fixed(0)

    def test_SR_17_the_journal_beside_an_empty_database_is_kept(self):
        """SR-17: state.db of 0 bytes, with the journal of a transaction in progress."""
        self.cut(0)
        self.write('.lwt/state.db-journal', b'\xd9\xd5\x05\xf9\x20\xa1\x63\xd7' + b'x' * 1000)
        self.assert_refused_by_all('damaged (0 bytes)')
        self.assert_fixed(0)
        kept = [name for name in os.listdir(self.path('.lwt')) if 'damaged' in name]
        self.assertEqual(len(kept), 2, kept)

    def test_SR_17_a_database_without_version_or_tables_is_damaged(self):
        """SR-17: user_version 0, with tables and without."""
        with sqlite3.connect(self.path_of_state) as db:
            db.execute('PRAGMA user_version = 0')
        db.close()
        self.assert_refused_by_all('damaged (no tables)')
        self.assert_fixed(1)
        os.unlink(self.path_of_state)
        with sqlite3.connect(self.path_of_state) as db:
            db.execute('CREATE TABLE x (y)')
        db.close()
        self.assert_refused_by_all('damaged (no tables)')
        self.assert_fixed(0)

    def test_SR_17_a_database_that_was_cut_is_damaged(self):
        """SR-17: the end of state.db is missing."""
        whole = os.path.getsize(self.path('good'))
        for size in (1, 50, 100, 511, 4096, 4097, whole - 4096, whole - 1):
            with self.subTest(size=size):
                shutil.copy(self.path('good'), self.path_of_state)
                self.cut(size)
                done = self.lwt('task', 'update')
                self.assert_refused(done, 74, 'state.db: ', 'doctor --fix')
                self.assertEqual(os.listdir(self.path('task')), self.inputs)
                self.assertEqual(self.lwt('doctor').code, 1)
                done = self.lwt('doctor', '--fix')
                self.assertRegex(done.out, '(?m)^fixed  state.db')

    def test_SR_17_a_directory_in_its_place_is_left_alone(self):
        """SR-17: state.db is a directory."""
        os.unlink(self.path_of_state)
        os.mkdir(self.path_of_state)
        self.assert_refused_by_all('a directory, not a database')
        self.assertRegex(self.lwt('doctor', '--fix').out, '(?m)^FAIL   state.db .* a directory')

    def test_SR_17_a_database_that_was_removed_while_tasks_are_open_is_missed(self):
        """SR-17: state.db does not exist, but the inputs of its tasks do."""
        os.unlink(self.path_of_state)
        self.assert_refused_by_all('missing, but inputs of tasks exist')
        self.assertFalse(os.path.exists(self.path_of_state))
        self.assert_fixed(0)

    def test_SR_17_journals_without_their_database_are_not_applied_to_a_new_one(self):
        """SR-17: state.db-journal, -wal or -shm exists, but state.db does not."""
        os.unlink(self.path_of_state)
        shutil.rmtree(self.path('task', self.inputs.pop()))
        for end in ('-journal', '-wal', '-shm'):
            with self.subTest(end=end):
                self.write('.lwt/state.db' + end, b'x' * 100)
                self.assert_refused_by_all('missing, but state.db%s exists' % end)
                self.assert_fixed(0)
                self.assertFalse(
                    os.path.exists(self.path_of_state + end)
                    and os.path.getsize(self.path_of_state + end)
                )
                os.unlink(self.path_of_state)

    def test_SR_17_a_crash_while_it_is_created_leaves_no_database(self):
        """SR-17: lwt is killed before the new database has its name; the next lwt creates it."""
        os.unlink(self.path_of_state)
        shutil.rmtree(self.path('task', self.inputs.pop()))
        done = subprocess.run(
            [sys.executable, '-c', DIE_BEFORE_LINK % self.path_of_state], cwd=ROOT
        )
        self.assertEqual(done.returncode, 9)
        part = [name for name in os.listdir(self.path('.lwt')) if '.new-' in name]
        self.assertTrue(part)
        self.assertFalse(os.path.exists(self.path_of_state))
        for name in part:
            os.utime(self.path('.lwt', name), (0, 0))
        self.assertEqual(self.lwt('task', 'add', 'sample').code, 0)
        self.assertEqual([name for name in os.listdir(self.path('.lwt')) if '.new-' in name], [])

    def test_SR_17_a_database_that_appears_when_it_was_looked_for_is_not_lost(self):
        """SR-17: another lwt makes it, and the input of a task, between two steps of this one."""
        os.unlink(self.path_of_state)
        self.assertIn(self.inputs[0], database.why_lost(self.path_of_state))

        def appears(_path):
            shutil.copy(self.path('good'), self.path_of_state)
            return self.inputs

        with mock.patch.object(database.os, 'listdir', appears):
            self.assertEqual(database.why_lost(self.path_of_state), '')

    def test_SR_17_many_that_create_it_at_once_get_one_database(self):
        """SR-17: several lwt processes begin with the first task of a workspace."""
        os.unlink(self.path_of_state)
        shutil.rmtree(self.path('task', self.inputs.pop()))
        started = [self.start('task', 'add', 'sample') for _each in range(6)]
        for popen in started:
            out, err = popen.communicate(timeout=60)
            self.assertEqual((popen.returncode, err), (0, b'lwt: 1 task added\n'), out)
        self.assertEqual(self.lwt('task', 'show', '--json').out.count('\n'), 6)


def open_and_read(path):
    with open(path, 'rb') as file:
        return file.read()


if __name__ == '__main__':
    unittest.main()
