"""Runs with tasks that no host can ever take: the missing thing is reported once, and the run ends.
"""

import os
import shutil
import signal
import unittest

from tests.support import ProgramTestCase


class Runs(ProgramTestCase):
    """lwt task run and wait."""

    slow = True

    def setUp(self):
        super().setUp()
        self.use_fake_ssh()

    def run_with(self, hosts, *words, desc='exec : true\n'):
        """Queue two tasks with these hosts, and run; return the Done."""
        self.make_workspace(hosts)
        self.describe('sim', desc)
        self.lwt('-q', 'task', 'add', 'sim', '--array', '1-2')
        return self.lwt('task', *(words or ('run',)), timeout=50)

    NEVER = (           # hosts, desc, message, remedy
        ('homes that cannot be made', [('h1', 'x', '/proc/none/w'), ('h2', 'x', '/proc/none/w')],
         '',
         'h[1-2]: ', 'create that directory, or change HOME in host.list'),
        ('names that nobody knows', [('dns-1', 'x', '~'), ('dns-2', 'x', '~')], '',
         'dns-[1-2]: unreachable (name not known)',
         'correct the names in host.list'),
        ('logins that are refused', [('auth-1', 'x', '~')], '', 'auth-1: ',
         'ssh auth-1 logs in without a password'),
        ('host keys', [('key-1', 'x', '~')], '', 'key-1: ', 'log in once with ssh key-1'),
        ('memory', [('h1', 'x', '~'), ('h2', 'x', '~')], 'memory : 900T\n', 'h[1-2]: memory: ',
         '--memory'),
        ('disk', [('h1', 'x', '~')], 'disk : 900T\n', 'h1: disk: ', '--disk'),
        ('slots', [('h1', 'x', '~', 'slots=0')], '', 'h1: slots=0', 'set slots in host.list'),
        ('a limit', [('h1', 'x', '~', 'min_memory=99999999')], '', 'h1: min_memory is ',
         'lwt.conf or host.list'),
        ('different reasons', [('dns-1', 'x', '~'), ('h1', 'x', '/proc/none/w')], '',
         'dns-1: unreachable (name not known)', 'correct the names'))

    def test_UR_1_a_run_ends_where_no_host_can_ever_take_a_task(self):
        """UR-1: it reports what is missing, for which tasks, with the remedy; also with --progress.
        """
        for what, hosts, desc, said, remedy in self.NEVER:
            for words in (('run',), ('run', '--progress'), ('wait', '2')):
                with self.subTest(what=what, words=words):
                    done = self.run_with(hosts, *words, desc='exec : true\n' + desc)
                    self.assertEqual(done.code, 1, done)
                    lines = [line
                             for line in done.err.splitlines() if 'no host can take it' in line]
                    self.assertEqual(len(lines), 1, done)
                    label = '000002 sim 2' if words[0] == 'wait' else '000001 sim 1 and 1 more'
                    self.assertIn('lwt: %s: no host can take it: ' % label, lines[0])
                    self.assertIn(said, lines[0])
                    self.assertIn('lwt: hint: ', done.err)
                    self.assertIn(remedy, done.err)
                    self.clean_up()

    def clean_up(self):
        """Remove the workspace."""
        for name in ('.lwt', 'description', 'task', 'task.finish', 'host.list'):
            path = self.path(name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def test_UR_1_a_category_that_no_host_has(self):
        """UR-1: the run ends with 1, and the message says what to change."""
        done = self.run_with([('h1', 'x', '~')], desc='exec : true\ncategory : moon\n')
        self.assert_refused(done, 1,
                            '000001 sim 1 and 1 more: no available host matches (category moon',
                            'hint: change category')

    def test_UR_1_hosts_that_a_person_has_put_out(self):
        """UR-1: the remedy is lwt hosts --back."""
        self.make_workspace([('h1', 'x', '~'), ('h2', 'x', '~')])
        for name in ('h1', 'h2'):
            self.lwt('hosts', '--out', name, 'new disk')
        self.describe('sim', 'exec : true\n')
        self.lwt('task', 'add', 'sim')
        done = self.lwt('task', 'run')
        self.assert_refused(done, 1, 'h[1-2]: excluded: new disk',
                            'hint: include the host again: lwt hosts --back h1')
        self.lwt('hosts', '--back', 'h2')
        self.assertEqual(self.lwt('task', 'run').code, 0)

    def test_UR_1_hosts_that_did_not_pass_the_probe(self):
        """UR-1: if only candidates could take it, the remedy is another probe."""
        self.make_workspace([('h1', 'x', '~'), ('h2', 'y', '~')])
        self.write('host.list.available', 'h1\tx\t~\n')
        self.describe('sim', 'exec : true\ncategory : y\n')
        self.lwt('task', 'add', 'sim')
        self.assert_refused(self.lwt('task', 'run'), 1,
                            'did not pass the last probe: h2; test again with lwt probe')

    def test_UR_1_other_tasks_are_run_first(self):
        """UR-1: tasks that can run do so, and the others are named at the end."""
        self.make_workspace([('h1', 'x', '~'), ('dns-1', 'y', '~')])
        self.describe('good', 'exec : sleep 0.5\n')
        self.describe('bad', 'exec : true\ncategory : y\n')
        self.lwt('task', 'add', 'bad', 'good')
        done = self.lwt('task', 'run')
        self.assert_refused(done, 1,
                            '000001 bad: no host can take it: h1: category is x, the task '
                            'requires y; '
                            'dns-1: unreachable (name not known)', '1 success, 1 new')

    def test_UR_1_a_run_waits_for_what_changes_by_itself(self):
        """UR-1: a host that is down may come back; --progress reports that tasks wait."""
        for words in (('run',), ('run', '--progress')):
            with self.subTest(words=words):
                self.make_workspace([('down-1', 'x', '~'), ('dns-1', 'x', '~')])
                self.describe('sim', 'exec : true\n')
                self.lwt('task', 'add', 'sim')
                popen = self.start('task', *words)
                said = b''
                while b'waiting, no host takes it now' not in said:
                    line = popen.stderr.readline()
                    self.assertTrue(line, said)
                    said += line
                self.assertIsNone(popen.poll())
                popen.send_signal(signal.SIGINT)
                popen.communicate(timeout=30)
                self.assertEqual(popen.returncode, 130)
                self.assertIn(b'down-1: unreachable (connection refused)', said)
                self.clean_up()

    def test_UR_1_a_run_is_over_as_soon_as_the_hosts_can_be_used(self):
        """UR-1: after the remedy, the same tasks run."""
        done = self.run_with([('h1', 'x', '/proc/none/w')])
        self.assertEqual(done.code, 1, done)
        self.make_workspace([('h1', 'x', '~')])
        self.assertEqual(self.lwt('task', 'run').code, 0)

    def test_UR_1_add_warns_of_what_no_host_of_the_list_can_take(self):
        """UR-1: a category, hosts and sizes; the tasks are queued all the same."""
        self.make_workspace([('h1', 'x', '~'), ('h2', 'y', '~')])
        self.describe('sim', 'exec : true\n')
        self.assertEqual(self.lwt('task', 'add', 'sim', '--memory', '900T').err,
                         'lwt: 1 task added\n')     # not known yet
        self.lwt('task', 'update')
        for words, said in ((('--category', 'moon'),
                             'sim: no host of category moon; host.list has: x y'),
                            (('--hosts', 'h8,h9'), 'sim: hosts not in host.list: h8 h9'),
                            (('--hosts', 'h1,h9'),
                             'sim: hosts not in host.list: h9'),
                            (('--memory', '900T'), 'sim: no host can take it: h[1-2]: memory: '),
                            (('--disk', '900T', '--category', 'y'), 'h2: disk: '), ((), '')):
            with self.subTest(words=words):
                done = self.lwt('task', 'add', 'sim', *words)
                self.assertEqual((done.code, len(done.out.split())), (0, 1), done)
                self.assertIn(said, done.err)
                self.assertEqual(bool(said), done.err != 'lwt: 1 task added\n', done)
        self.write('host.list', 'nonsense\n')
        self.assertEqual(self.lwt('task', 'add', 'sim').code, 0)


if __name__ == '__main__':
    unittest.main()
