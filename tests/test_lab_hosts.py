"""exec, put, get and tasks on real hosts: sshd in network namespaces, with faults."""

import hashlib
import json
import os
import random
import signal
import subprocess
import threading
import time
import unittest

from tests import lab
from tests.lab_cases import HostsTestCase
from tests.support import wait_for

HOSTS = 5
COUNTING_RUN = '''\
echo started >> "$HOME/starts.$LWT_TASK"
sleep 0.$((LWT_ARG % 5))
mkdir -p output
echo "result of $LWT_ARG" > output/result.txt
touch run.finish
'''


class LabTestCase(HostsTestCase):
    """Hosts in network namespaces, for root."""

    hosts = HOSTS

    @classmethod
    def why_not(cls):
        reason = lab.why_not_root_lab()
        return reason and 'namespaces: ' + reason

    @classmethod
    def make_lab(cls):
        return lab.Lab(cls.hosts)

    def setUp(self):
        super().setUp()
        self.env['LWT_SSH_CONFIG'] = self.lab.ssh_config
        self.names = list(self.lab.names)

    def tearDown(self):
        for name in self.names:
            self.lab.heal(name)
        left = {name: self.lab.commands(name) for name in self.names if not self.gone(name)}
        super().tearDown()
        self.assertEqual(left, {}, 'processes left on hosts')

    def gone(self, name):
        """Return whether no process of lwt is left on a host, after a while."""
        return wait_for(lambda: not self.lab.commands(name))

    def make_lab_workspace(self, names=None, **options):
        self.make_workspace([(name, 'lab', '~') for name in names or self.names], **options)


class CleanHomesTestCase(LabTestCase):
    """The homes of the hosts are empty after each test."""

    hosts = 3

    def tearDown(self):
        super().tearDown()
        for name in self.names:
            for entry in os.listdir(self.lab.home(name)):
                if not entry.startswith('.ssh'):
                    self.lab.inside(name, 'rm', '-rf', './' + entry)

    def there(self, name):
        """Return the files in the home of a host."""
        return sorted(os.listdir(self.lab.home(name)))


class ExecOnHosts(LabTestCase):
    """exec, put and get."""

    slow = True

    def test_output_is_labelled_and_codes_are_the_commands(self):
        done = self.lwt('exec', '-w', ','.join(self.names), '--',
                        'hostname; [ $(hostname) != h2 ] || exit 7')
        self.assertEqual(sorted(done.out.splitlines()),
                         ['%s: %s' % (name, name) for name in self.names])
        self.assertEqual(done.code, 1)
        self.assertEqual(done.err, 'lwt: h2: exit code 7\n')

    def test_the_largest_code_is_the_exit_code_when_asked(self):
        self.assertEqual(self.lwt('exec', '-S', '-w', 'h1,h2', '--', 'exit 42').code, 42)

    def test_a_code_255_of_the_command_is_not_ssh(self):
        done = self.lwt('exec', '-w', 'h1', '--', 'exit 255')
        self.assertEqual((done.code, done.err), (1, 'lwt: h1: exit code 255\n'))

    def test_one_black_hole_and_one_refusing_host_are_named_and_the_others_served(self):
        self.lab.black_hole('h2')
        self.lab.refuse('h3')
        done = self.lwt('exec', '-t', '4', '-w', ','.join(self.names), '--', 'echo here')
        self.assertEqual(sorted(done.out.splitlines()), ['h1: here', 'h4: here', 'h5: here'])
        self.assertEqual(done.code, 3)
        self.assertEqual(done.err.splitlines(), [
            'lwt: h3: unreachable (connection refused)',
            'lwt: h2: unreachable (connection timed out)',
            'lwt: 2 of 5 hosts failed: h3 (connection refused), h2 (connection timed out)'])

    def test_a_time_out_leaves_nothing_on_the_hosts(self):
        command = 'trap "" TERM; setsid sleep 8801 & (sleep 8802 &); sleep 8803'
        done = self.lwt('exec', '-u', '5', '--grace', '1', '-w', 'h1,h2', '--', command)
        self.assertEqual(done.code, 3, done)
        self.assertEqual(sorted(done.err.splitlines()), [
            'lwt: 2 of 2 hosts failed: h[1-2] (timed out after 5 s)',
            'lwt: h1: timed out after 5 s', 'lwt: h2: timed out after 5 s'])
        self.assertTrue(self.gone('h1') and self.gone('h2'), self.lab.commands('h1'))

    def test_an_interrupt_leaves_nothing_on_the_hosts(self):
        for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            with self.subTest(signum=signum):
                popen = self._start_sleep()
                popen.send_signal(signum)
                _out, err = popen.communicate(timeout=30)
                self.assertEqual(popen.returncode, code, err)
                self.assertNotIn(b'Traceback', err)
                self.assertTrue(self.gone('h1') and self.gone('h2'), self.lab.commands('h1'))

    def test_kill_9_of_lwt_leaves_nothing_on_the_hosts(self):
        popen = self._start_sleep()
        popen.kill()
        popen.communicate(timeout=30)
        self.assertTrue(self.gone('h1') and self.gone('h2'), self.lab.commands('h1'))

    def _start_sleep(self):
        popen = self.start('exec', '--grace', '1', '-w', 'h1,h2', '--',
                           'setsid sleep 8804 & sleep 8805')
        self.assertTrue(
            wait_for(lambda: all(len(self.lab.commands(name)) > 3 for name in ('h1', 'h2'))))
        return popen

    def test_a_host_that_is_cut_off_ends_the_command_when_its_lease_is_over(self):
        popen = self.start('exec', '--grace', '1', '--lease', '2', '-w', 'h1', '--', 'sleep 8806')
        self.assertTrue(wait_for(lambda: 'sleep 8806' in self.lab.commands('h1').values()))
        self.lab.black_hole('h1')
        self.assertTrue(wait_for(lambda: 'sleep 8806' not in self.lab.commands('h1').values()))
        popen.kill()
        popen.communicate()

    def test_killed_sshd_is_a_lost_connection(self):
        popen = self.start('exec', '--grace', '1', '-w', 'h4', '--', 'echo begun; sleep 8807')
        self.assertTrue(wait_for(lambda: 'sleep 8807' in self.lab.commands('h4').values()))
        self.lab.kill_sessions('h4')
        out, err = popen.communicate(timeout=30)
        self.assertEqual((popen.returncode, out), (3, b'begun\n'), err)
        self.assertIn(b'lwt: h4: connection lost', err)

    def test_N_4_a_bad_line_changes_no_byte(self):
        for host, spoil in (('h1', lambda: self.lab.loss('h1', '0.15')),
                            ('h2', lambda: self.lab.rate('h2', '64'))):
            with self.subTest(host=host):
                data = os.urandom(30000)
                self.write('data', data)
                spoil()
                done = self.lwt('put', '-w', host, 'data', '/tmp/there')
                self.assertEqual((done.code, done.err), (0, ''), done)
                done = self.lwt('exec', '-w', host, '--', 'sha256sum </tmp/there; exit 5',
                                timeout=90)
                self.assertEqual((done.code, done.out.split()),
                                 (1, [hashlib.sha256(data).hexdigest(), '-']), done)
                done = self.lwt('get', '-w', host, '/tmp/there', 'out')
                self.assertEqual((done.code, done.err), (0, ''), done)
                with open(self.path('out', 'd.' + host, 'there'), 'rb') as file:
                    self.assertEqual(file.read(), data)
                self.lab.heal(host)
                self.lwt('exec', '-w', host, '--', 'rm /tmp/there')

    def test_N_10_a_host_that_comes_and_goes_runs_nothing_twice(self):
        over = threading.Event()

        def flap():
            while not over.wait(1.5):
                self.lab.black_hole('h3')
                over.wait(1.5)
                self.lab.heal('h3')
        thread = threading.Thread(target=flap)
        thread.start()
        ended = []
        try:
            for number in range(6):
                command = 'echo %d >>/tmp/starts; sleep 0.7; echo %d >>/tmp/ends' % (number, number)
                done = self.lwt('exec', '-t', '2', '--hello-timeout', '2', '-u', '4', '--lease',
                                '3', '--grace', '0.5',
                                '--retries', '3', '-w', 'h3', '--', command)
                self.assertIn(done.code, (0, 3), done)
                ended += [str(number)] if done.code == 0 else []
        finally:
            over.set()
            thread.join()
            self.lab.heal('h3')
        done = self.lwt('exec', '-w', 'h3', '--',
                        'cat /tmp/starts; echo; cat /tmp/ends; rm -f /tmp/starts /tmp/ends')
        starts, ends = (part.split() for part in (done.out + '\n').split('\n\n')[:2])
        self.assertEqual(len(set(starts)), len(starts))
        self.assertLessEqual(set(ended), set(ends))
        self.assertTrue(ends)

    def test_put_and_get_bring_everything_there_and_back(self):
        self.write("src/a file'$x.txt", b'\0\1\2' * 1000)
        self.write('src/deep/er/b.sh', 'echo b\n', 0o755)
        done = self.lwt('put', '-w', 'h1,h2', 'src', "odd dir'; touch x;/..")
        self.assertEqual(done.code, 3 if done.code == 3 else 1, done)
        self.assertIn('no such directory', done.err)
        done = self.lwt('put', '-w', 'h1,h2', 'src', "/tmp/new name $(touch x) é")
        self.assertEqual((done.code, done.err), (0, ''))
        done = self.lwt('get', '-w', 'h1,h2', '/tmp/new*', 'out')
        self.assertEqual((done.code, done.err), (0, ''))
        for name in ('h1', 'h2'):
            back = os.path.join('out', 'd.' + name, 'new name $(touch x) é')
            self.assertEqual(self.read(back, 'deep/er/b.sh'), 'echo b\n')
            self.assertTrue(os.access(self.path(back, 'deep/er/b.sh'), os.X_OK))
            with open(self.path(back, "a file'$x.txt"), 'rb') as file:
                self.assertEqual(file.read(), b'\0\1\2' * 1000)
        self.assertEqual(sorted(os.listdir(self.path('out'))), ['d.h1', 'd.h2'])
        self.lwt('exec', '-w', 'h1,h2', '--', 'rm -rf /tmp/new*')
        self.assertEqual(os.listdir(self.lab.home('h1')), [])

    def test_put_per_host_gives_each_its_own(self):
        for name in ('h1', 'h2'):
            self.write('local/%s/config' % name, 'for ' + name)
        self.assertEqual(self.lwt('put', '-w', 'h1,h2', '--per-host', 'local', '/tmp').code, 0)
        self.assertEqual(sorted(self.lwt('exec', '-w', 'h1,h2', '--',
                                         'cat /tmp/config; rm /tmp/config').out.splitlines()),
                         ['h1: for h1', 'h2: for h2'])

    def test_a_full_disk_is_named_and_the_target_does_not_appear(self):
        self.write('big', b'x' * 300000)
        self.lab.full_disk('h5')
        try:
            done = self.lwt('put', '-w', 'h5,h1', 'big', 'target')
            self.assertEqual(done.code, 1, done)
            self.assertIn('lwt: h5: ', done.err)
            self.assertEqual(self.lab.inside('h5', 'ls', '-A').split(), ['filler'])
            self.assertTrue(os.path.exists(os.path.join(self.lab.home('h1'), 'target')))
        finally:
            self.lab.umount_home('h5')
            os.unlink(os.path.join(self.lab.home('h1'), 'target'))


class TasksOnHosts(LabTestCase):
    """The whole life of tasks, with faults."""

    slow = True                         # so that it is started first

    def tearDown(self):
        super().tearDown()
        for name in self.names:
            for entry in os.listdir(self.lab.home(name)):
                if entry.startswith('starts.'):
                    os.unlink(os.path.join(self.lab.home(name), entry))

    def starts(self, number):
        """Return how often a task was started, on any host."""
        count = 0
        for name in self.names:
            path = os.path.join(self.lab.home(name), 'starts.%06d' % number)
            if os.path.exists(path):
                with open(path) as file:
                    count += len(file.readlines())
        return count

    def test_a_folder_of_the_older_system_runs_unchanged(self):
        self.make_lab_workspace(self.names[:3])
        self.describe('sample',
                      'exec : run.sh\nkill : kill.sh\nd_fetch : output\n---\nfree : text\n',
                      run_sh='#!/bin/sh\nsleep 0.2\nmkdir -p output\necho $d_home $d_working > '
                             'output/where\n'
                             'touch run.finish\n', kill_sh='#!/bin/sh\ntrue\n')
        done = self.lwt('task', 'add', 'sample', 'sample', 'sample')
        self.assertEqual(done.out.split(), ['000001', '000002', '000003'])
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 0, done)
        for folder in self.results():
            with open(os.path.join(folder, 'result', 'where')) as file:
                home, working = file.read().split()
            self.assertTrue(working.startswith(home + '/'), working)
            with open(os.path.join(folder, 'run.code')) as file:
                self.assertEqual(file.read(), '0\n')
        self.assertEqual(len(self.results()), 3)

    def test_a_host_where_a_task_ended_badly_is_better_than_none(self):
        self.make_lab_workspace(['h1', 'h2'])
        self.lwt('hosts', '--out', 'h2', 'new', 'disk')
        self.describe('bad', 'exec : hostname; exit 3\nretry_on : failed\n')
        self.lwt('task', 'add', 'bad')
        done = self.lwt('task', 'run', timeout=90)
        self.assertEqual(done.code, 1, done)
        self.assertEqual([self.read(folder, 'run.stdout') for folder in self.results()], ['h1\n'],
                         done)
        self.lwt('hosts', '--back', 'h2')
        self.lwt('task', 'add', 'bad')
        self.assertEqual(self.lwt('task', 'run', timeout=90).code, 1)
        attempts = json.loads(self.lwt('task', 'show', '--json', '2').out)['attempts']
        self.assertEqual(sorted(attempt['host'] for attempt in attempts), ['h1', 'h2'])

    def test_a_disk_here_that_fills_up_ends_the_run_whatever_other_hosts_do(self):
        small = self.path('small')
        os.mkdir(small)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m,mode=700', 'tmpfs', small],
                       check=True)
        try:
            self.assertEqual(self.lwt('init', 'small').code, 0)
            self.write('small/host.list',
                       ''.join('%s\tlab\t~\tslots=2\n' % name for name in self.names[:3]))
            self.write('small/description/big/desc',
                       'exec : head -c 300000 /dev/urandom > r\nd_fetch : r\n')
            self.write('small/description/long/desc', 'exec : sleep 5\n')
            self.lwt('-C', 'small', 'task', 'add', 'long')
            self.lwt('-C', 'small', 'task', 'add', 'big', '--array', '1-9')
            done = self.lwt('-C', 'small', 'task', 'run', timeout=120)
            self.assertEqual(done.code, 74, done)
            self.assertRegex(done.err, 'No space left on device|disk is full')
        finally:
            subprocess.run(['umount', small], check=True)

    def test_thirty_kills_of_the_pass_lose_no_result_and_start_nothing_twice(self):
        self.make_lab_workspace()
        self.describe('count', 'exec : sh run.sh\nd_fetch : output\n', run_sh=COUNTING_RUN)
        self.assertEqual(len(self.lwt('task', 'add', 'count', '--array', '1-30').out.split()), 30)
        rng = random.Random(30)
        for _ in range(30):
            # Each event is a line; a pass without hosts to visit has none.
            popen = self.start('-v', 'task', 'update')
            for _event in range(rng.randrange(50)):
                popen.stderr.readline()
            popen.kill()
            popen.communicate()
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 0, done)
        self.assertEqual(len(self.results()), 30)
        for number in range(1, 31):
            self.assertEqual(self.starts(number), 1, 'task %d' % number)
        texts = set()
        for folder in self.results():
            with open(os.path.join(folder, 'result', 'result.txt')) as file:
                texts.add(file.read())
        self.assertEqual(texts, {'result of %d\n' % number for number in range(1, 31)})
        self.assertEqual(
            [name for name in os.listdir(self.path('task.finish')) if name.startswith('.')], [])
        self.assertEqual(os.listdir(self.path('task')), [])
        self.assertEqual(os.listdir(self.path('.lwt', 'tmp')), [])

    def test_a_reboot_makes_the_attempt_lost_and_it_is_tried_again(self):
        self.make_lab_workspace(['h1'], retries='1')
        self.describe('long',
                      'exec : [ $LWT_ATTEMPT = 2 ] || sleep 300; mkdir output; echo $LWT_ATTEMPT > '
                      'output/n\n'
                      'd_fetch : output\n')
        self.lwt('task', 'add', 'long')
        self.lwt('task', 'update')
        self.assertTrue(wait_for(lambda: 'sleep 300' in self.lab.commands('h1').values()))
        for pid in self.lab.commands('h1'):
            os.kill(pid, signal.SIGKILL)
        self.lab.new_boot_id('h1')
        try:
            done = self.lwt('task', 'run')
        finally:
            self.lab.inside('h1', 'umount', '/proc/sys/kernel/random/boot_id')
        self.assertEqual(done.code, 0, done)
        self.assertIn('attempt 1: lost on h1 (the host rebooted), will be retried', done.err)
        with open(os.path.join(self.results()[0], 'result', 'n')) as file:
            self.assertEqual(file.read(), '2\n')
        self.assertTrue(os.path.isdir(os.path.join(self.results()[0], 'attempt.1')))

    def test_H_8_a_host_that_leaves_the_list_still_has_its_task_looked_after(self):
        self.make_lab_workspace(['h1'])
        self.describe('slow', 'exec : sleep 1; echo done\n')
        self.lwt('task', 'add', 'slow')
        self.lwt('task', 'update')
        self.write('host.list', 'h2\tlab\t~\n')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        with open(os.path.join(self.results()[0], 'run.stdout')) as file:
            self.assertEqual(file.read(), 'done\n')

    def test_a_black_hole_and_a_refusing_host_do_not_stop_the_others(self):
        self.make_lab_workspace(connect_timeout='4')
        self.lab.black_hole('h2')
        self.lab.refuse('h3')
        self.describe('quick', 'exec : hostname\n')
        self.lwt('task', 'add', 'quick', '--array', '1-9')
        done = self.lwt('task', 'run', timeout=90)
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.err,
                         r'lwt: h2: unreachable \((connection timed out|'
                         r'no answer in \d+ s, no task needs it)\)')
        self.assertIn('lwt: h3: unreachable (connection refused)', done.err)
        self.assertEqual(len(self.results()), 9)

    def test_a_run_that_is_over_does_not_wait_for_a_sick_host(self):
        self.make_lab_workspace(connect_timeout='3')
        self.lab.refuse('h3')
        self.describe('quick', 'exec : sleep 4\n')
        self.lwt('task', 'add', 'quick', '--array', '1-4')
        began = time.monotonic()
        self.assertEqual(self.lwt('task', 'run', timeout=90).code, 0)
        self.assertLess(time.monotonic() - began, 30)

    def test_kill_ends_the_task_on_its_host_and_brings_home_what_there_is(self):
        self.make_lab_workspace(['h1'], grace='1')
        self.describe('long', 'exec : echo begun; setsid sleep 8811 & sleep 8812\n')
        self.lwt('task', 'add', 'long')
        self.lwt('task', 'update')
        self.assertTrue(wait_for(lambda: 'sleep 8811' in self.lab.commands('h1').values()))
        done = self.lwt('task', 'kill', '1')
        self.assertEqual(done.code, 0, done)
        self.assertTrue(self.gone('h1'), self.lab.commands('h1'))
        self.assertIn('killed', self.lwt('task', 'show').out)
        with open(os.path.join(self.results()[0], 'run.stdout')) as file:
            self.assertEqual(file.read(), 'begun\n')

    def test_a_full_home_takes_no_task_and_the_others_do(self):
        self.make_lab_workspace(['h4', 'h5'])
        self.lab.full_disk('h4')
        self.describe('quick', 'exec : hostname\n')
        self.lwt('task', 'add', 'quick', '--array', '1-4')
        try:
            done = self.lwt('task', 'run', timeout=90)
        finally:
            self.lab.umount_home('h4')
        self.assertEqual(done.code, 0, done)
        self.assertIn('h4: home ~: ', done.err)
        for folder in self.results():
            with open(os.path.join(folder, 'run.stdout')) as file:
                self.assertEqual(file.read(), 'h5\n')


if __name__ == '__main__':
    unittest.main()
