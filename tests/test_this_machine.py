"""Faults of this machine while tasks run: its disk, its clock, a reboot, and many processes at the
same time.
"""

import concurrent.futures
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
import unittest

from lwt.tasks import model
from lwt.tasks.store import Store
from tests import crashing, lab
from tests.support import ALL_STEPS, ProgramTestCase, marked, wait_for
from tests.test_crashes import CrashLoop

CLOCK = '''\
import os, time
real, mono, start = time.time, time.monotonic, time.monotonic()
after, jump = map(float, os.environ['TEST_CLOCK'].split())
time.time = lambda: real() + (jump if mono() - start >= after else 0)
'''
TELLS = ('echo "$LWT_TASK.$LWT_ATTEMPT" >>"$d_home/starts"\nmkdir output && echo '
         '"$LWT_TASK.$LWT_ATTEMPT" >output/id\n')


class FullDisk(CrashLoop):
    """There is no room at one step of fetching a result, and afterwards, until there is."""

    def full_at(self, is_step, more=0):
        """Run out of room at the first step that is_step(name), or so many later; then check, and
        run with room again.
        """
        self.lwt('task', 'add', 'count')
        steps = self.run_in(self.fresh(), 'task run').steps
        at = next(number for number, name in enumerate(steps, 1) if is_step(name)) + more
        root = self.fresh()
        ended = self.run_in(root, 'task run', crashing.Plan(at, 'ENOSPC', True))
        self.assertEqual(ended.code, 74, ended)
        self.assertTrue('No space left' in ended.output or 'disk is full' in ended.output, ended)
        tasks_there = os.path.join(root, 'home', '.lwt', 't')
        kept = [os.path.exists(os.path.join(tasks_there, key, 'work', 'output', 'id'))
                for key in os.listdir(tasks_there)]
        self.assertEqual(kept, [True], ended)
        self.assertEqual(self.settle(root, ended), {1: 'success'})

    def test_F_1_no_room_for_the_directory_of_a_result(self):
        self.full_at(lambda name: name.startswith('mkdir') and 'task.finish/.part-' in name)

    def test_F_2_no_room_for_a_file_of_a_result(self):
        self.full_at(lambda name: name.startswith('open') and name.endswith('/result/id'))

    def test_F_3_no_room_when_a_result_is_synced(self):
        self.full_at(lambda name: name.startswith('fsync'))

    def test_F_4_no_room_for_its_name(self):
        self.full_at(lambda name: name.startswith('rename') and 'task.finish' in name)

    def test_F_5_no_room_for_the_file_with_its_code(self):
        self.full_at(lambda name: name.startswith('open') and name.endswith('/run.code'))

    def test_F_6_no_room_in_the_database_when_it_is_home(self):
        self.full_at(lambda name: name.startswith('rename') and 'task.finish' in name, 4)


class TaskCase(ProgramTestCase):
    """A workspace whose only host is this machine."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')], grace='1')

    def shown(self, *words, **options):
        return [json.loads(line)
                for line in self.lwt('task', 'show', '--json', *words, **options).out.splitlines()]

    def starts(self):
        return self.read('home', 'starts').split()

    def kill_all(self):
        """Kill all processes that the test started, at the same time."""
        for pid in marked(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def at_once(self, function, values):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return list(pool.map(function, values))


class Disk(TaskCase):
    """File systems that are small, separate, or not writable for us."""

    def mounted(self, folder, options):
        """Mount a separate file system on a directory of the workspace; for root."""
        if lab.why_not_mount():
            self.skipTest('mounting: ' + lab.why_not_mount())
        path = self.path(folder)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', path], check=True)
        self.addCleanup(subprocess.run, ['umount', '-l', path])
        return path

    def run_out_of(self, folder, options, fill):
        """Fetch a result of 200 kB to a file system without room; return the messages. fill(path)
        fills it.
        """
        self.describe('big', 'exec : sh run.sh\nd_fetch : output\n',
                      run_sh=TELLS + 'head -c 200000 /dev/zero >output/big\n')
        self.lwt('task', 'add', 'big')
        path = self.mounted(folder, options)
        fill(path)
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 74, done)
        for name in os.listdir(path):
            if name.startswith('filler'):
                os.unlink(os.path.join(path, name))
        subprocess.run(['mount', '-o', 'remount,size=4m,nr_inodes=1000', path], check=True)
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(os.path.getsize(os.path.join(self.results()[0], 'result', 'big')), 200000)
        self.assertEqual(self.starts(), ['000001.1'])
        return done.err

    def test_F_16_a_disk_that_has_no_room_for_the_last_bytes_is_noticed(self):
        def fill(path):
            with open(os.path.join(path, 'filler'), 'wb', buffering=0) as file:
                file.write(bytes((1 << 20) - 200000))       # all but the last few pages would fit
        self.assertIn('No space left on device', self.run_out_of('task.finish', 'size=1m', fill))

    def test_F_11_no_inodes_here(self):
        def fill(path):
            for number in range(30):
                try:
                    open(os.path.join(path, 'filler.%d' % number), 'w').close()
                except OSError:
                    return
        self.assertIn('No space left on device',
                      self.run_out_of('task.finish', 'size=4m,nr_inodes=16', fill))

    def test_F_11_no_inodes_on_a_host(self):
        self.describe('count', 'exec : sh run.sh\nd_fetch : output\n', run_sh=TELLS)
        self.lwt('task', 'add', 'count')
        home = self.mounted('home', 'size=64m,nr_inodes=8')
        done = self.lwt('task', 'update')
        self.assertNotIn('Traceback', done.err)
        self.assertRegex(done.err, 'no room|No space')
        subprocess.run(['mount', '-o', 'remount,nr_inodes=1000', home], check=True)
        self.lwt('hosts', '--back', 'localhost')
        self.assertTrue(wait_for(lambda: self.lwt('task', 'run').code == 0), self.shown())
        self.assertEqual(len(self.starts()), 1)

    def test_F_14_results_on_another_file_system(self):
        self.mounted('task.finish', 'size=4m')
        self.describe('flaky',
                      'exec : sh run.sh\nretries : 1\nretry_on : failed\nd_fetch : output\n',
                      run_sh=TELLS + '[ "$LWT_ATTEMPT" -gt 1 ]\n')
        self.lwt('task', 'add', 'flaky')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        where = self.results()[0]
        self.assertEqual(self.read(where, 'result', 'id'), '000001.2\n')
        self.assertEqual(self.read(where, 'attempt.1', 'result', 'id'), '000001.1\n')
        self.assertEqual(len(self.results()), 1)

    def test_F_9_a_limit_on_the_size_of_files(self):
        self.describe('big', 'exec : sh run.sh\nd_fetch : output\n',
                      run_sh=TELLS + 'head -c 900000 /dev/zero >output/big\n')
        self.lwt('task', 'add', 'big')
        self.lwt('task', 'update')
        self.assertTrue(wait_for(
            lambda: any(name.startswith('exit.') for _root, _dirs, names in os.walk(self.home)
                        for name in names)))
        popen = subprocess.Popen(['sh', '-c', 'ulimit -f 1000 && exec "$@"', 'sh', self.python,
                                  '-S', '-m', 'lwt', 'task',
                                  'update'], cwd=self.scratch, env=self.env,
                                 stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        err = popen.communicate(timeout=60)[1].decode()
        self.assertEqual(popen.returncode, 74, err)
        self.assertIn('File too large', err)
        self.assertNotIn('Traceback', err)
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(os.path.getsize(os.path.join(self.results()[0], 'result', 'big')), 900000)
        self.assertEqual(self.starts(), ['000001.1'])

    def test_F_8_a_log_that_cannot_be_written_keeps_nobody_from_working(self):
        self.lwt('task', 'add', 'sample')
        # A directory has the name that the file should have.
        os.mkdir(self.path('log'))
        done = self.lwt('--set', 'log=' + self.path('log'), 'task', 'run')
        self.assertEqual(done.code, 0, done)
        self.assertIn('the log cannot be written: %s: Is a directory' % self.path('log'), done.err)
        self.assertEqual([task['outcome'] for task in self.shown()], ['success'])


class Clock(TaskCase):
    """A wall clock that jumps, and time zones."""

    def jumping(self, after, jump):
        """Return the environment for a clock that jumps by so many seconds, some seconds after
        lwt's start.
        """
        self.write('clock/sitecustomize.py', CLOCK)
        return dict(self.env, PYTHONPATH=self.path('clock') + ':' + self.env['PYTHONPATH'],
                    TEST_CLOCK='%g %g' % (after, jump))

    def test_T_1_a_clock_that_is_set_while_tasks_run_ends_none_of_them(self):
        self.describe('slow', 'exec : sh run.sh\nd_fetch : output\ntimeout : 60\n',
                      run_sh='sleep 1\n' + TELLS)
        for number, jump in enumerate((-86400, 365 * 86400), 1):
            self.lwt('task', 'add', 'slow')
            done = self.lwt('task', 'run', env=self.jumping(0.6, jump))
            self.assertEqual(done.code, 0, done)
            task = self.shown(str(number))[0]
            self.assertEqual((task['outcome'], task['attempt']), ('success', 1))
            self.assertLess(task['wall'], 30)
            self.assertNotRegex(self.lwt('task', 'show').out, r'-\d')
            self.assertNotRegex(self.lwt('stat', '--tasks').out, r'-\d')
        self.assertEqual(sorted(self.starts()), ['000001.1', '000002.1'])

    def test_T_2_the_time_zone_of_a_command_changes_no_name_and_no_number(self):
        self.lwt('task', 'add', 'sample', env=dict(self.env, TZ='America/New_York'))
        self.assertEqual(self.lwt('task', 'run', env=dict(self.env, TZ='Asia/Tokyo')).code, 0)
        seen = [self.shown(env=dict(self.env, **zone))
                for zone in ({}, {'TZ': 'Nowhere/Special'}, {'TZ': 'Europe/Berlin'})]
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(seen[0], seen[2])
        task = seen[0][0]
        self.assertEqual(os.path.basename(task['result']),
                         'sample.%s.000001'
                         % time.strftime('%Y%m%d-%H%M%S', time.gmtime(task['added'])))
        self.assertTrue(os.path.isdir(os.path.join(task['result'], 'result')))
        self.assertLessEqual(task['added'], task['started'])

    def test_T_3_ids_go_on_and_results_stay_apart_when_the_clock_goes_back(self):
        before = self.lwt('task', 'add', 'sample').out.split()
        after = self.lwt('task', 'add', 'sample', 'sample', env=self.jumping(0, -86400)).out.split()
        self.assertEqual(before + after, ['000001', '000002', '000003'])
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual([task['id'] for task in self.shown()], before + after)
        self.assertEqual(len({task['result'] for task in self.shown()}), 3)


class NewStart(TaskCase):
    """This machine was rebooted while a task ran on it."""

    def test_X_6_what_was_known_of_processes_before_a_new_start_counts_for_nothing(self):
        self.describe('slow', 'exec : sh run.sh\nd_fetch : output\n',
                      run_sh=TELLS + '[ "$LWT_ATTEMPT" -gt 1 ] || sleep 9983\n')
        self.lwt('task', 'add', 'slow')
        popen = self.start('task', 'run')
        self.assertTrue(
            wait_for(lambda: any('sleep 9983' in words for words in marked(self.mark).values())))
        popen.kill()
        popen.communicate()
        self.kill_all()
        bystander = subprocess.Popen(['sleep', '9984'], start_new_session=True)
        key = os.path.join(self.path('home', '.lwt', 't'), next(
            name for name in os.listdir(self.path('home', '.lwt', 't'))
            if not name.startswith(('part', 'bell', 'pipe'))))
        words = self.read(key, 'fate').split()
        # Its number belongs to another process now.
        with open(os.path.join(key, 'fate'), 'w') as file:
            file.write('run %d %s %s %d\n' % (bystander.pid, words[2], words[3], bystander.pid))
        boot = dict(self.env,
                    LWT_TEST_BOOT_ID=self.write('boot', '00000000-0000-4000-8000-000000000001\n'))
        done = self.lwt('task', 'run', env=boot)
        is_alive = bystander.poll() is None
        bystander.kill()
        bystander.wait()
        self.assertEqual((done.code, is_alive), (0, True), done)
        task = self.shown()[0]
        self.assertEqual([attempt['end'] for attempt in task['attempts']], ['lost', 'success'])
        self.assertEqual(task['attempts'][0]['reason'], 'the host rebooted')
        self.assertEqual(self.starts(), ['000001.1', '000001.2'])


class ManyHands(TaskCase):
    """Users, passes and ends of tasks at the same time."""

    def test_Y_2_what_is_asked_for_during_a_run_is_neither_lost_nor_kept_waiting(self):
        self.write('host.list', 'localhost\tlocal\t~\tslots=4\n')
        self.describe('short', 'exec : sh run.sh\nd_fetch : output\nretries : 0\n',
                      run_sh='sleep 0.1\n' + TELLS)
        first = self.lwt('task', 'add', 'short', '--array', '1-10').out.split()
        popen = self.start('task', 'run')
        added, refused = list(first), []

        def do(number):
            verb = ('add', 'kill', 'suspend', 'show', 'resume')[number % 5]
            words = ((verb, 'short') if verb == 'add' else (verb,) if verb == 'show'
                     else (verb, first[number % 10]))
            done = self.lwt('task', *words, timeout=30)
            self.assertNotIn('Traceback', done.err)
            self.assertIn(done.code, (0, 1, 75), done)
            if verb == 'add':
                added.extend(done.out.split())
            return verb, done
        self.at_once(do, range(60))
        self.lwt('task', 'resume', *first)
        popen.communicate(timeout=60)
        self.assertIn(self.lwt('task', 'run').code, (0, 1, 3))
        shown = {task['id']: task for task in self.shown()}
        self.assertEqual(sorted(shown), sorted(added))
        self.assertEqual({task['state'] for task in shown.values()}, {'done'}, refused)
        self.assertLessEqual({task['outcome'] for task in shown.values()}, {'success', 'killed'})
        self.assertEqual(len(set(self.starts())), len(self.starts()))
        for task in shown.values():
            self.assertEqual(task['outcome'] == 'success',
                             os.path.exists(os.path.join(task['result'], 'result', 'id')), task)

    def test_Y_7_a_task_that_ends_while_it_is_cancelled_has_one_end(self):
        count = 200 if ALL_STEPS else 60
        self.write('host.list', 'localhost\tlocal\t~\tslots=%d\n' % count)
        self.describe('ends', 'exec : sleep $LWT_ARG\nretries : 0\n')
        self.write('times',
                   ''.join('%.3f\n' % (0.3 + 1.2 * number / count) for number in range(count)))
        ids = self.lwt('task', 'add', 'ends', '--each', 'times').out.split()
        self.lwt('task', 'update')
        self.assertEqual(self.lwt('task', 'kill', *ids).code in (0, 1), True)
        self.lwt('task', 'run')
        outcomes = {task['id']: (task['outcome'], task['code']) for task in self.shown()}
        self.assertLessEqual(set(outcomes.values()), {('success', 0), ('killed', 143)})
        for where in self.results():
            outcome, code = outcomes[where.rpartition('.')[2]]
            self.assertEqual(self.read(where, 'run.code'), '%d\n' % code)
        ends = [sorted(set(os.listdir(self.path('home', '.lwt', 't', key))) - {'fate'})
                for key in os.listdir(self.path('home', '.lwt', 't'))]
        self.assertEqual({len(names) for names in ends}, {1}, ends)
        self.assertEqual(sorted(names[0] for names in ends),
                         sorted('exit.0' if outcome == 'success' else 'exit.killed'
                                for outcome, _code in outcomes.values()))

    def test_Y_8_a_directory_that_a_user_removes_while_its_task_runs_is_told_and_not_run_again(
            self):
        self.describe('slow', 'exec : sh run.sh\nretries : 0\n', run_sh=TELLS + 'sleep 9985\n')
        self.lwt('task', 'add', 'slow')
        self.lwt('task', 'update')
        self.assertTrue(
            wait_for(lambda: any('sleep 9985' in words for words in marked(self.mark).values())))
        base = self.path('home', '.lwt', 't')
        for key in os.listdir(base):
            shutil.rmtree(os.path.join(base, key))
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 3, done)
        self.assertIn('its directory on the host is gone', done.err)
        self.assertEqual([(task['outcome'], task['attempt']) for task in self.shown()],
                         [('lost', 1)])
        self.assertEqual(self.starts(), ['000001.1'])
        self.kill_all()


class Commits(ProgramTestCase):
    """kill -9 while the database is written."""

    def test_X_5_a_kill_in_the_middle_of_a_commit_leaves_the_state_of_before_or_after(self):
        path, rng, adds, kills, longest = self.path('state.db'), random.Random(5), 0, 0, 0.03
        with Store(path):
            pass
        while kills < (500 if ALL_STEPS else 150) or adds <= 20 and kills < 5000:
            pid = os.fork()
            if not pid:
                self._write_for_ever(path)
            time.sleep(rng.uniform(0.0, longest))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            before, adds, kills = adds, self._checked(path, adds), kills + 1
            # On a busy machine it may take long until a write is in progress.
            longest = min(1.0, longest * 1.1) if adds == before else max(0.03, longest / 1.1)
        self.assertGreater(adds, 20)

    @staticmethod
    def _write_for_ever(path):
        try:
            with Store(path) as store:
                while True:
                    numbers = store.add('name', 'input', model.Desc('true'), [None] * 3)
                    for number in numbers:
                        store.settle(store.get(number), 'kill', 'killed', None, '')
        finally:
            os._exit(1)

    def _checked(self, path, before):
        """Return the number of adds in the database: complete ones, and none of the earlier ones
        missing.
        """
        with sqlite3.connect(path) as db:
            self.assertEqual(db.execute('PRAGMA integrity_check').fetchall(), [('ok',)])
            tasks_there = db.execute('SELECT count(*) FROM task').fetchone()[0]
            batches = db.execute('SELECT count(*) FROM batch').fetchone()[0]
            ended = db.execute("SELECT count(*) FROM task WHERE state = 'done'").fetchone()[0]
            settled = db.execute('SELECT count(*) FROM event').fetchone()[0]
        db.close()
        self.assertEqual((tasks_there, ended), (3 * batches, settled))
        self.assertGreaterEqual(batches, before)
        return batches


if __name__ == '__main__':
    unittest.main()
