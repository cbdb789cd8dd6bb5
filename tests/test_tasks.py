"""The queue on this machine: descriptions, adding, the life of tasks, kill -9 at every moment,
parallel use.
"""

import collections
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import unittest

from lwt.tasks import model
from lwt.tasks.store import Store
from tests.support import ProgramTestCase, marked, wait_for

LOCAL = [('localhost', 'local', '~')]
# A task that reports when it has begun, and ends when it is told to, on machines of any speed.
WAITS = 'exec : touch ~/begun; until [ -e ~/go ]; do sleep 0.1; done; echo done\n'


def umask():
    """Return the umask of this process."""
    found = os.umask(0)
    os.umask(found)
    return found


class TaskTestCase(ProgramTestCase):
    """A workspace whose only host is this machine."""

    def setUp(self):
        super().setUp()
        self.make_workspace(LOCAL, grace='1')

    def add(self, *words):
        done = self.lwt('task', 'add', *words)
        self.assertEqual(done.code, 0, done)
        return done.out.split()

    def shown(self, *words):
        """Return tasks as task show --json prints them."""
        return [json.loads(line)
                for line in self.lwt('task', 'show', '--json', *words).out.splitlines()]

    def queued_nothing(self):
        self.assertEqual(self.shown(), [])
        self.assertEqual(os.listdir(self.path('task')), [])


class Descriptions(TaskTestCase):
    """What is refused when a task is added; then nothing is queued."""

    def test_D_1_names_and_folders_that_are_none(self):
        os.mkdir(self.path('description', 'empty'))
        os.makedirs(self.path('description', 'odd', 'desc'))
        for name, said in (('empty', 'desc: No such file'), ('nosuch', 'no such folder'),
                           ('../../etc', 'bad task name'),
                           ('a/b', 'bad task name'), ('a\nb', 'bad task name'),
                           ('x' * 300, 'bad task name'),
                           ('odd', 'not a regular file'), ('.', 'bad task name')):
            with self.subTest(name=name):
                self.assert_refused(self.lwt('task', 'add', 'sample', name), 2, said)
        self.queued_nothing()

    def test_D_2_desc_files_that_are_wrong(self):
        for desc, said in (('kill : x\n', 'no exec line'),
                           ('exec : a\nexec : b\n', 'desc:2: duplicate key exec'),
                           ('execs : a\n', 'desc:1: unknown key'),
                           ('# kill the exec\nexec : a\nnonsense\n', 'desc:3'),
                           ('exec :\n', 'exec: empty command'),
                           ('exec : a\ntimeout : soon\n', 'desc:2: timeout'),
                           ('---\nexec : below\n', 'no exec line')):
            with self.subTest(desc=desc):
                self.describe('bad', desc)
                self.assert_refused(self.lwt('task', 'add', 'bad'), 2, said)
        self.queued_nothing()

    def test_D_3_d_fetch_that_leads_out_is_refused(self):
        for path in ('../..', '/etc', 'a/../../b', 'out*'):
            with self.subTest(path=path):
                self.describe('bad', 'exec : a\nd_fetch : %s\n' % path)
                self.assert_refused(self.lwt('task', 'add', 'bad'), 2, 'd_fetch')
        self.queued_nothing()

    def test_D_3_d_fetch_that_is_not_there_at_the_end_is_no_success_and_is_kept_on_the_host(self):
        self.describe('none', 'exec : echo ran; echo x > other\nd_fetch : out\n')
        self.add('none')
        self.assertEqual(self.lwt('task', 'run').code, 1)
        task = self.shown()[0]
        self.assertEqual((task['outcome'], task['reason']),
                         ('failed', 'result incomplete: d_fetch: out: not found'))
        kept = os.listdir(self.path('home', '.lwt', 't'))[0]
        self.assertEqual(self.read('home', '.lwt', 't', kept, 'work', 'other'), 'x\n')
        self.assertEqual(self.read(self.results()[0], 'run.stdout'), 'ran\n')

    def test_D_4_commands_of_all_kinds_end_with_a_code(self):
        cases = {'plain': ('prog a:b "c d"', '#!/bin/sh\necho "$@"\n', 0, 'a:b c d\n'),
                 'dotted': ('./prog', '#!/bin/sh\necho dotted\n', 0, 'dotted\n'),
                 'nointerp': ('./prog', '#!/no/such/interpreter\n', 126, ''),
                 'crlf': ('./prog', '#!/bin/sh\r\necho x\r\n', 126, ''),
                 'missing': ('./other', 'x', 127, ''),
                 'noshebang': ('prog', 'echo plain\n', 0, 'plain\n')}
        for name, (command, text, _code, _out) in cases.items():
            self.describe(name, 'exec : %s\n' % command, prog=text)
        self.add(*cases)
        self.lwt('task', 'run')
        for task in self.shown():
            _command, _text, code, out = cases[task['name']]
            with self.subTest(name=task['name']):
                self.assertEqual(task['state'], 'done')
                self.assertIn(task['code'], (code, 127 if code == 126 else code))
                self.assertEqual(self.read(task['result'], 'run.stdout'), out)

    def test_D_5_input_of_odd_kinds(self):
        bad = {'fifo': lambda path: os.mkfifo(path), 'socket': self._bind,
               'outside': lambda path: os.symlink('/etc', path),
               'above': lambda path: os.symlink('../../..', path)}
        for name, make in bad.items():
            with self.subTest(name=name):
                self.describe(name, 'exec : true\n')
                make(self.path('description', name, 'odd'))
                self.assert_refused(self.lwt('task', 'add', name), 2, 'odd')
        self.queued_nothing()

    def _bind(self, path):
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.close()

    def test_D_5_links_empty_files_and_odd_names_go_there_and_back(self):
        self.describe('fine', 'exec : cat real "a\nb"; ls -l link; cp -R . ../../../../seen\n')
        folder = self.path('description', 'fine')
        self.write('description/fine/desc', 'exec : sh go\n')
        self.write('description/fine/go',
                   'cat real link "a\nb"; [ -s empty ] || echo empty; readlink dangling\n')
        self.write('description/fine/real', 'real\n')
        self.write('description/fine/a\nb', 'newline\n')
        self.write('description/fine/empty', '')
        os.link(os.path.join(folder, 'real'), os.path.join(folder, 'hard'))
        os.symlink('real', os.path.join(folder, 'link'))
        os.symlink('nothing', os.path.join(folder, 'dangling'))
        os.symlink('loop', os.path.join(folder, 'loop'))
        self.add('fine')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.read(self.results()[0], 'run.stdout'),
                         'real\nreal\nnewline\nempty\nnothing\n')

    def test_D_6_fifty_at_once_have_fifty_ids(self):
        started = [self.start_fork('task', 'add', 'sample') for _ in range(50)]
        ended = [popen.communicate(timeout=120) for popen in started]
        self.assertEqual(sorted(out.decode().strip() for out, _err in ended),
                         [model.format_id(number) for number in range(1, 51)],
                         [err for _out, err in ended])

    def test_D_7_what_is_edited_after_adding_changes_nothing(self):
        self.describe('one', 'exec : cat file\n', file='old\n')
        self.add('one')
        self.describe('one', 'exec : echo new\n', file='new\n')
        self.lwt('task', 'run')
        self.assertEqual(self.read(self.results()[0], 'run.stdout'), 'old\n')

    def test_D_10_a_task_that_ends_at_once_is_home_by_the_second_pass(self):
        self.describe('quick', 'exec : exit 3\n')
        self.add('quick')
        self.lwt('task', 'update')
        self.lwt('task', 'update')
        self.assertEqual([(task['state'], task['code']) for task in self.shown()], [('done', 3)])
        self.assertEqual(self.read(self.results()[0], 'run.code'), '3\n')


class Life(TaskTestCase):
    """The environment of tasks, and their outcomes."""

    def test_the_environment_and_the_value(self):
        self.describe('env',
                      'exec : echo {} $LWT_ARG $LWT_TASK $LWT_ATTEMPT $LWT_HOST $PWD $d_working '
                      '$d_home\n')
        self.write('values', 'one two\n\n$(touch owned)\n')
        self.assertEqual(self.add('env', '--each', 'values'), ['000001', '000002'])
        self.lwt('task', 'run')
        words = self.read(self.results()[0], 'run.stdout').split()
        self.assertEqual(words[:7], ['one', 'two', 'one', 'two', '000001', '1', 'localhost'])
        self.assertEqual(words[7], words[8])
        self.assertEqual(words[9], self.home)
        self.assertTrue(self.read(self.results()[1], 'run.stdout').startswith('$(touch owned) '))

    def test_of_what_is_added_together_all_is_there_or_nothing(self):
        self.describe('one', 'exec : true\n')
        self.describe('two', 'exec : true\n')
        self.assertEqual(self.add('one', 'two', 'one', '--array', '1-2'),
                         ['%06d' % number for number in range(1, 7)])
        self.assertEqual([task['name'] for task in self.shown()],
                         ['one', 'one', 'two', 'two', 'one', 'one'])
        self.assertIn('lwt: no such tasks', self.lwt('task', 'show', '--state', 'running').err)
        self.assertEqual(self.add('one', 'two', 'two', '--array', '2-3', '--unless-exists'),
                         ['000007', '000008'])
        before = sorted(os.listdir(self.path('task')))
        done = self.lwt('task', 'add', 'one', 'nothing')
        self.assertEqual((done.code, done.out), (2, ''))
        self.assertEqual((len(self.shown()), sorted(os.listdir(self.path('task')))), (8, before))

    def test_an_input_that_one_task_needs_is_its_own_and_one_that_several_need_is_shared(self):
        self.describe('own', 'exec : cat input > output; echo more >> input\nd_fetch : output\n',
                      input='mine\n')
        self.describe('shared', 'exec : cat input > output\nd_fetch : output\n', input='ours\n')
        self.add('own')
        self.add('shared', '--array', '1-3')
        self.lwt('task', 'run')
        self.assertEqual(
            [self.read('task.finish', name, 'result', 'output') for name in self.results()],
            ['mine\n'] + ['ours\n'] * 3)
        self.assertNotIn('own.', ' '.join(os.listdir(self.path('home', '.lwt', 'i'))))
        self.describe('again',
                      'exec : cat input > output; [ -e ~/ready ] || { touch ~/ready; exit 1; '
                      '}\nd_fetch : output\n'
                      'retries : 1\nretry_on : failed\n', input='twice\n')
        self.add('again')
        self.lwt('task', 'run')
        self.assertEqual((self.shown()[-1]['outcome'], self.shown()[-1]['attempt']), ('success', 2))

    def test_everything_new_is_fetched_where_nothing_is_named(self):
        self.describe('new', 'exec : sh go\n', go='mkdir d; echo n > d/new; echo c >> changed\n',
                      same='same', changed='c\n')
        self.add('new')
        self.lwt('task', 'run')
        result = os.path.join(self.results()[0], 'result')
        found = sorted(os.path.relpath(os.path.join(root, name), result)
                       for root, _d, names in os.walk(result) for name in names)
        self.assertEqual(found, ['changed', 'd/new'])
        for path in (result, os.path.join(result, 'changed')):
            folder = self.path('description', 'new', os.path.relpath(path, result))
            self.assertEqual(os.stat(path).st_mode & 0o777,
                             os.stat(folder).st_mode & 0o755 & ~umask())

    def test_a_failure_is_tried_again_if_asked_and_earlier_results_are_kept(self):
        self.describe('flaky',
                      'exec : echo try $LWT_ATTEMPT > out; [ $LWT_ATTEMPT = 3 ]\nretries : '
                      '2\nretry_on : failed\n')
        self.add('flaky')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        where = self.results()[0]
        self.assertEqual(self.read(where, 'result', 'out'), 'try 3\n')
        self.assertEqual(self.read(where, 'attempt.1', 'result', 'out'), 'try 1\n')
        self.assertEqual(self.read(where, 'attempt.2', 'run.code'), '1\n')
        self.assertEqual(os.listdir(self.path('task')), [])

    def test_what_tasks_took_is_accounted_for_by_name_and_by_host(self):
        self.describe('flaky',
                      'exec : head -c 1000 /dev/zero > out; [ $LWT_ATTEMPT = 2 ]\nretry_on : '
                      'failed\n')
        self.describe('bad', 'exec : exit 3\n')
        self.add('flaky', 'bad', 'bad')
        self.lwt('task', 'run')
        found = [json.loads(line)
                 for line in self.lwt('stat', '--tasks', '--json').out.splitlines()]
        keys = ('tasks', 'attempts', 'success', 'failed', 'killed', 'lost', 'timeout')
        self.assertEqual([(told['kind'], told.get('name'), told.get('host'))
                          + tuple(map(told.get, keys)) for told in found], [
            ('tasks by name', 'bad', None, 2, 2, 0, 2, 0, 0, 0),
            ('tasks by name', 'flaky', None, 1, 2, 1, 1, 0, 0, 0),
            ('tasks by host', None, 'localhost', 3, 4, 1, 3, 0, 0, 0)])
        self.assertTrue(found[1]['wall'] is not None and found[1]['received'] >= 2000, found)
        table = self.lwt('stat', '--tasks').out
        self.assertRegex(table,
                         r'NAME +TASKS +TRIES +OK +FAILED +KILLED +LOST +TIMEOUT +WALL +CPU '
                         r'+BYTES\nbad +2 +2 +0 +2')

    def test_a_time_out_is_an_outcome_of_its_own(self):
        self.describe('slow', 'exec : echo begun; sleep 9981\ntimeout : 2\n')
        self.add('slow')
        self.assertEqual(self.lwt('task', 'run').code, 3)
        self.assertEqual([(task['outcome'], task['code']) for task in self.shown()],
                         [('timeout', 124)])
        self.assertEqual(self.read(self.results()[0], 'run.stdout'), 'begun\n')

    def test_kill_in_each_state(self):
        self.describe('slow', 'exec : sleep 9982\n')
        self.add('slow', 'slow')
        self.lwt('task', 'kill', '1')
        self.assertEqual([task['outcome'] for task in self.shown('1')], ['killed'])
        self.lwt('task', 'update')
        self.assertTrue(
            wait_for(lambda: any('sleep 9982' in words for words in marked(self.mark).values())))
        self.assertEqual(self.lwt('task', 'kill', '2').code, 0)
        self.assertEqual([task['outcome'] for task in self.shown('2')], ['killed'])
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))
        done = self.lwt('task', 'kill', '2')
        self.assertEqual((done.code, '000002 slow: already done' in done.err), (1, True))

    def test_log_shows_what_it_printed_here_and_there(self):
        self.describe('talks', 'exec : echo out; echo err >&2; sleep 1\n')
        self.add('talks')
        self.assertEqual(self.lwt('task', 'log', '1').out, '')
        self.lwt('task', 'update')
        self.assertTrue(wait_for(lambda: self.lwt('task', 'log', '1').out == 'out\n'))
        self.lwt('task', 'run')
        done = self.lwt('task', 'log', '1')
        self.assertEqual((done.out, done.err), ('out\n', 'err\n'))

    def test_log_of_a_second_attempt_is_not_that_of_the_first(self):
        self.describe('twice',
                      'exec : echo try $LWT_ATTEMPT; [ $LWT_ATTEMPT = 2 ] && sleep 9985\nretry_on '
                      ': failed\n')
        self.add('twice')
        self.assertTrue(wait_for(lambda: self.lwt('task', 'update').code == 0 and
                                 any('sleep 9985' in words
                                     for words in marked(self.mark).values())))
        self.assertEqual(self.lwt('task', 'log', '1').out, 'try 2\n')
        self.lwt('task', 'kill', '1')

    def test_priority_goes_first_and_slots_are_kept(self):
        self.write('host.list', 'localhost\tlocal\t~\tslots=1\n')
        self.describe('order', 'exec : echo $LWT_ARG >> ../../../../order\n')
        self.add('order', '--array', '1-2')
        self.add('order', '--array', '3-3', '--priority', '5')
        self.lwt('task', 'run')
        self.assertEqual(self.read('home', 'order'), '3\n1\n2\n')

    def test_a_task_that_no_host_may_take_is_said_and_does_not_hold_up_the_run(self):
        self.describe('far', 'exec : true\ncategory : moon\n')
        self.add('far', 'sample')
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 1)
        self.assertIn('000001 far: no available host matches (category moon, hosts any)',
                      done.err)
        self.assertEqual([task['state'] for task in self.shown()], ['new', 'done'])

    def test_a_task_for_which_nobody_has_room_is_said(self):
        total = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 10
        self.describe('huge', 'exec : true\nmemory : %d\n' % (total - 1))       # more than is free
        self.add('huge', 'huge')
        popen = self.start('task', 'run')
        self.assertEqual(popen.stderr.readline(),
                         b'lwt: 000001 huge: waiting, no host takes it now (lwt task why 000001)\n')
        popen.send_signal(signal.SIGINT)
        _out, err = popen.communicate(timeout=30)
        self.assertEqual((popen.returncode, err),
                         (130, b'lwt: interrupted; started tasks keep running, and the next lwt '
                               b'task run or update continues\n'))
        self.assertRegex(self.lwt('task', 'why', '1').out,
                         r'(?m)^localhost  free memory: .* [GT]B, the task needs [0-9.]+ [GT]B$')

    def test_wait_ends_with_its_tasks_and_tells_of_them_only(self):
        self.describe('bad', 'exec : exit 3\n')
        self.describe('far', 'exec : true\ncategory : moon\n')
        self.describe('huge', 'exec : true\nmemory : 900T\n')
        self.add('sample')
        self.lwt('task', 'run')
        self.add('bad', 'far', 'huge')
        done = self.lwt('task', 'wait', '1')
        self.assertEqual((done.code, done.out, done.err), (0, '', ''),
                         'others wait, and have nothing to do with it')
        done = self.lwt('task', 'wait', '3', '1')
        self.assertEqual(done.code, 1)
        self.assertIn('000003 far: no available host matches (category moon, hosts any)',
                      done.err)
        self.assertNotIn('huge', done.err)
        self.assertEqual(self.lwt('task', 'wait', '2').code, 1)
        self.assertEqual(self.lwt('task', 'wait', '1').code, 0)

    def test_a_run_ends_where_all_that_is_left_waits_for_somebody(self):
        self.describe('slow', 'exec : sleep 9983\n')
        self.add('slow', 'sample')
        self.lwt('task', 'suspend', '2')
        self.lwt('task', 'update')
        self.assertTrue(
            wait_for(lambda: any('sleep 9983' in words for words in marked(self.mark).values())))
        self.lwt('task', 'suspend', '1')
        self.assertTrue(wait_for(lambda: self.lwt('task', 'update').code == 0
                                 and self.shown('1')[0]['state'] == 'suspended'))
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 1)
        self.assertIn('000001 slow: suspended on localhost; to continue it: lwt task resume 000001',
                      done.err)
        self.assertIn('000002 sample: held: suspended', done.err)
        self.assertEqual(self.lwt('task', 'kill', '1', '2').code, 0)

    def test_what_waits_for_others_can_be_suspended_too(self):
        self.add('sample')
        self.add('sample', '--after', '1')
        self.assertEqual(self.lwt('task', 'suspend', '2').code, 0)
        done = self.lwt('task', 'suspend', '2')
        self.assertEqual((done.code, 'already held' in done.err), (1, True))
        self.assertEqual(self.lwt('task', 'resume', '2').code, 0)
        self.assertEqual([(task['state'], task['reason']) for task in self.shown('2')],
                         [('held', 'after 000001')])
        self.lwt('task', 'suspend', '2')
        self.lwt('task', 'run')
        self.assertEqual([(task['state'], task['reason']) for task in self.shown()],
                         [('done', ''), ('held', 'suspended')])
        self.lwt('task', 'resume', '2')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual([task['outcome'] for task in self.shown()], ['success'] * 2)

    def test_an_input_that_was_removed_holds_its_tasks_and_nobody_else(self):
        self.add('sample', '--array', '1-2')
        gone = os.listdir(self.path('task'))[0]
        os.rename(self.path('task', gone), self.path('kept'))
        self.add('sample')
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 1, done)
        self.assertIn(
            '000001 sample 1 and 1 more: held: its input task/%s is gone; restore it and resume '
            'the task, or kill it' % gone, done.err)
        self.assertEqual([task['outcome'] or task['state'] for task in self.shown()],
                         ['held', 'held', 'success'])
        os.rename(self.path('kept'), self.path('task', gone))
        self.lwt('task', 'resume', '1', '2')
        self.assertEqual(self.lwt('task', 'run').code, 0)

    def test_a_command_whose_runner_was_killed_is_ended_before_the_task_is_lost(self):
        self.describe('slow', 'exec : sleep 9984\nretries : 0\n')
        self.add('slow')
        self.lwt('task', 'update')
        self.assertTrue(
            wait_for(lambda: any('sleep 9984' in words for words in marked(self.mark).values())))
        key = next(name
                   for name in os.listdir(self.path('home', '.lwt', 't')) if name.endswith('.1'))
        os.kill(int(self.read('home', '.lwt', 't', key, 'fate').split()[1]), signal.SIGKILL)
        self.assertTrue(any('sleep 9984' in words for words in marked(self.mark).values()))
        self.assertEqual(self.lwt('task', 'run').code, 3)
        self.assertEqual([task['outcome'] for task in self.shown()], ['lost'])
        self.assertFalse(any('sleep 9984' in words for words in marked(self.mark).values()))

    def test_the_filters_of_show_hold_for_ids_and_counts(self):
        self.describe('bad', 'exec : exit 3\n')
        self.add('bad', 'sample')
        self.lwt('task', 'run')
        self.add('sample', '--array', '7-7')
        self.assertEqual([task['id'] for task in self.shown('1', '2', '3', '--name', 'sample')],
                         ['000002', '000003'])
        self.assertEqual(self.shown('--finished', '--state', 'new'), [])
        self.assertEqual(self.lwt('task', 'show', '--finished', '--count').out.split()[2:6],
                         ['success', '1', 'failed', '1'])
        self.assertEqual(self.lwt('task', 'show', '--finished', '--state', 'failed',
                                  '--count').out.split()[2:4], ['failed', '1'])
        self.assertIn('no such tasks', self.lwt('task', 'show', '--finished', '--state', 'new').err)
        self.assertEqual(self.lwt('task', '--name', 'update', 'show').code, 0, 'a value is no verb')

    def test_a_value_that_no_environment_takes_is_refused_and_a_long_one_is_cut_in_the_table_only(
            self):
        self.write('values', 'x' * 120001 + '\n')
        done = self.lwt('task', 'add', 'sample', '--each', self.path('values'))
        self.assertEqual((done.code, 'value too long (120001 bytes)' in done.err), (2, True), done)
        self.queued_nothing()
        self.describe('long', 'exec : printf %s "$LWT_ARG" | wc -c\n')
        self.write('values', 'x' * 120000 + '\n')
        self.add('long', '--each', self.path('values'))
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.read(self.results()[0], 'run.stdout').strip(), '120000')
        self.assertIn(' long %s… ' % ('x' * 59), self.lwt('task', 'show').out)

    def test_an_interrupted_run_leaves_the_tasks_running(self):
        self.describe('slow', WAITS)
        self.add('slow')
        popen = self.start('task', 'run')
        self.assertTrue(wait_for(lambda: os.path.exists(self.path('home', 'begun'))))
        popen.send_signal(signal.SIGINT)
        _out, err = popen.communicate(timeout=30)
        self.assertEqual(popen.returncode, 130, err)
        self.assertIn(b'started tasks keep running', err)
        self.write('home/go', '')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.read(self.results()[0], 'run.stdout'), 'done\n')

    def test_a_run_that_is_killed_leaves_the_tasks_running(self):
        self.describe('slow', WAITS)
        self.add('slow')
        popen = self.start('task', 'run')
        self.assertTrue(wait_for(lambda: os.path.exists(self.path('home', 'begun'))))
        popen.kill()
        popen.communicate()
        self.assertTrue(
            wait_for(lambda: not any('lwt-guard' in words for words in marked(self.mark).values())))
        self.write('home/go', '')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.read(self.results()[0], 'run.stdout'), 'done\n')
        self.assertEqual([(task['outcome'], task['attempt']) for task in self.shown()],
                         [('success', 1)])


class Crashes(TaskTestCase):
    """kill -9 of all processes of lwt, at moments that advance through a pass."""

    def test_X_1_a_pass_killed_at_any_moment_starts_nothing_twice_and_loses_nothing(self):
        self.describe('count',
                      'exec : echo $LWT_TASK >> ../../../../starts; mkdir output; echo $LWT_TASK > '
                      'output/id\n'
                      'd_fetch : output\n')
        self.add('count', '--array', '1-12')
        for step in range(60):
            popen = self.start('task', 'update')
            try:
                popen.wait(0.08 + 0.012 * step)
            except subprocess.TimeoutExpired:
                popen.kill()
            popen.communicate()
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 0, (done, self.lwt('task', 'show', '--json').out))
        self.assertEqual(sorted(self.read('home', 'starts').split()),
                         [model.format_id(n) for n in range(1, 13)])
        self.assertEqual([self.read(where, 'result', 'id').strip() for where in self.results()],
                         [model.format_id(n) for n in range(1, 13)])
        self.assertEqual(os.listdir(self.path('task')), [])
        self.assertEqual(os.listdir(self.path('.lwt', 'tmp')), [])
        self.assertEqual(sorted(os.listdir(self.path('home', '.lwt'))), ['host-id', 'i', 't'])
        self.assertEqual(os.listdir(self.path('home', '.lwt', 'i')), [])
        traces = collections.defaultdict(dict)      # uuid -> {attempt: files that are kept}
        for key in os.listdir(self.path('home', '.lwt', 't')):
            uuid, _dot, attempt = key.partition('.')
            traces[uuid][int(attempt)] = sorted(os.listdir(self.path('home', '.lwt', 't', key)))
        self.assertEqual(len(traces), 12)
        # Each attempt but the last was withdrawn, or killed before its command began.
        for kept in traces.values():
            self.assertEqual(kept, {attempt: ['exit.0', 'fate'] if attempt == max(kept)
                                    else ['fate'] for attempt in kept})

    def test_Y_1_twenty_passes_at_once_do_no_harm(self):
        self.describe('count', 'exec : echo $LWT_TASK >> ../../../../starts\n')
        self.add('count', '--array', '1-4')
        passes = [self.start_fork('task', 'update') for _ in range(20)]
        codes = []
        for popen in passes:
            _out, err = popen.communicate(timeout=60)
            codes.append(popen.returncode)
            self.assertNotIn(b'Traceback', err)
        self.assertLessEqual(set(codes), {0, 75})
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(sorted(self.read('home', 'starts').split()),
                         [model.format_id(n) for n in range(1, 5)])

    def test_Y_1_a_busy_host_is_said_and_cron_is_silent(self):
        self.describe('one', 'exec : true\n')
        self.add('one')
        os.makedirs(self.path('.lwt', 'lock'), exist_ok=True)
        holder = subprocess.Popen(['flock', self.path('.lwt', 'lock', 'host.localhost'), 'sh', '-c',
                                   'echo held; exec cat'],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(holder.stdout.readline(), b'held\n')
        self.assert_refused(self.lwt('task', 'update'), 75, 'another pass is visiting all hosts')
        done = self.lwt('task', 'update', '--cron')
        self.assertEqual((done.code, done.out, done.err), (0, '', ''))
        holder.communicate()


class StateFile(TaskTestCase):
    """F-7: a state.db that cannot be used."""

    def test_F_7_files_that_are_no_database_of_ours(self):
        self.add('sample')
        path = self.path('.lwt', 'state.db')
        shutil.copy(path, self.path('good'))
        newer = self.path('newer')
        shutil.copy(path, newer)
        with sqlite3.connect(newer) as db:
            db.execute('PRAGMA user_version = 99')
        db.close()
        for name, data, said in (('garbage', b'x' * 10000, 'not a database'),
                                 ('newer', None, 'another version of lwt')):
            with self.subTest(name=name):
                if data is None:
                    shutil.copy(newer, path)
                else:
                    self.write('.lwt/state.db', data)
                for words in (('task', 'show'), ('task', 'update'), ('task', 'add', 'sample')):
                    self.assert_refused(self.lwt(*words), 74, 'state.db', said)
        shutil.copy(self.path('good'), path)
        self.assertEqual(len(self.shown()), 1)

    def test_of_two_changes_that_expect_the_same_state_one_is_made(self):
        self.add('sample')
        with Store(self.path('.lwt', 'state.db')) as one, Store(
                self.path('.lwt', 'state.db')) as two:
            seen_by_one, seen_by_two = one.get(1), two.get(1)
            self.assertIsNotNone(one.settle(seen_by_one, 'kill', 'killed', None, ''))
            self.assertIsNone(two.settle(seen_by_two, 'kill', 'killed', None, ''))


if __name__ == '__main__':
    unittest.main()
