"""An ssh stub that lies, and a faulty network: each failure gets its class, and tasks are
completed.
"""

import concurrent.futures
import time
import unittest
import uuid

from lwt.remote import exit_status
from lwt.tasks import scheduler
from tests import lab, ledger
from tests.fault_proxy import FaultProxy
from tests.support import MARK, ProgramTestCase, marked, wait_for


class LyingSsh(ProgramTestCase):
    """tests/fake/ssh is first in PATH; the host's name determines how it lies."""

    slow = True                         # so that it is started first

    def setUp(self):
        super().setUp()
        self.use_fake_ssh()

    def test_N_1_each_way_not_to_be_reached_is_said_in_one_line(self):
        said = {('down-1', 'refused'): 'unreachable (connection refused)',
                ('dns-1', 'dns'): 'unreachable (name not known)',
                ('key-1', 'hostkey'): 'host key verification failed (host key not known)',
                ('auth-1', 'auth'): 'login refused (permission denied (publickey))',
                ('hang-1', 'timeout'): 'unreachable (no answer in 6 s)'}
        names = ','.join(host for host, _kind in said)
        done = self.lwt('exec', '-t', '3', '--hello-timeout', '3', '--grace', '0.5', '-w',
                        names + ',fine', '--', 'echo ran')
        self.assertEqual((done.code, done.out), (3, 'fine: ran\n'), done)
        lines = ['lwt: %s: %s' % (host, reason) for (host, _kind), reason in said.items()]
        told = done.err.splitlines()
        summary = [line for line in told if line.startswith('lwt: 5 of 6 hosts failed: ')]
        self.assertEqual(len(summary), 1, done.err)
        for (host, _kind), reason in said.items():
            reason = reason.replace('unreachable (', '', 1)
            self.assertIn('%s (%s' % (host, reason), summary[0])
        lines += summary + ['lwt: hint: ' + exit_status.hint('hostkey', 'key-1'),
                            'lwt: hint: ' + exit_status.hint('auth', 'auth-1')]
        self.assertEqual(sorted(told), sorted(lines))

    def test_R_1_a_login_shell_that_says_no_is_quoted(self):
        done = self.lwt('exec', '-w', 'nologin-1', '--', 'echo ran')
        self.assertEqual((done.code, done.out), (3, ''))
        self.assertEqual(done.err,
                         'lwt: nologin-1: no answer from the login shell (exit code 1: '
                         'This account is currently not available.)\n')

    def test_R_2_a_host_that_runs_something_else_is_no_success(self):
        done = self.lwt('exec', '-w', 'forced-1', '--', 'echo ran')
        self.assertEqual((done.code, done.out), (3, ''))
        self.assertIn(
            'lwt: forced-1: no answer from the login shell (exit code 0: Only backups '
            'here.)', done.err)

    def test_R_1_noise_of_a_login_shell_is_no_output(self):
        done = self.lwt('exec', '-w', 'noise-1', '--', 'echo ran')
        self.assertEqual((done.code, done.out, done.err), (0, 'ran\n', ''))

    def test_N_7_a_login_that_is_dropped_twice_works_the_third_time(self):
        done = self.lwt('exec', '-w', 'drop-1', '--', 'echo ran')
        self.assertEqual((done.code, done.out, done.err), (0, 'ran\n', ''))

    def test_N_12_one_of_seventy_that_says_nothing_holds_up_nobody(self):
        done = self.lwt('exec', '-t', '3', '--hello-timeout', '3', '--grace', '0.5', '-w',
                        'h[1-69],hang-1',
                        '--subst', '--', 'echo %h')
        self.assertEqual((done.code, len(done.out.splitlines())), (3, 69), done)
        self.assertEqual(done.err, 'lwt: hang-1: unreachable (no answer in 6 s)\n')

    def test_N_12_a_run_that_has_nothing_more_to_do_leaves_a_host_that_says_nothing(self):
        self.make_workspace([('fine', 'fake', '~'), ('hang-1', 'fake', '~')], grace='0.5')
        self.describe('small', 'exec : true\n')
        self.lwt('task', 'add', 'small', '--array', '1-9')
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 0, done)
        said = 'hang-1: unreachable (no answer in 3 s, no task needs it)'
        self.assertEqual([line for line in done.err.splitlines() if 'hang-1' in line],
                         ['lwt: ' + said, 'lwt: 1 host still unavailable: ' + said])
        # It does not count against the host.
        self.assertEqual(self.lwt('hosts', '-a').out, 'fine\nhang-1\n')

    def test_N_12_hosts_that_were_not_needed_are_not_called_unreachable(self):
        self.make_workspace([('h%d' % number, 'fake', '~') for number in range(1, 31)], grace='0.5')
        self.describe('long', 'exec : sleep 9986\n')
        self.lwt('task', 'add', 'long')
        popen = self.start('task', 'run')
        self.assertTrue(wait_for(lambda: 'running' in self.lwt('task', 'show').out))
        time.sleep(scheduler.PATIENCE + 1)
        self.lwt('task', 'suspend', '1')        # another lwt changes the task during the run
        _out, err = popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 1, err)
        self.assertIn(b'000001 long: suspended on', err)
        self.assertNotIn(b'unreachable', err)
        self.lwt('task', 'kill', '1')

    def test_X_3_tasks_come_through_lost_and_doubled_replies_and_start_once(self):
        for host in ('lost-1', 'twice-1', 'late-1'):
            with self.subTest(host=host):
                self.make_workspace([(host, 'fake', '~')], grace='1', lease='2')
                self.describe('count',
                              'exec : echo $LWT_TASK >> ../../../../starts; echo x > out\nd_fetch '
                              ': out\n')
                numbers = self.lwt('task', 'add', 'count', '--array', '1-2').out.split()
                done = self.lwt('task', 'run', timeout=120)
                self.assertEqual(done.code, 0, done)
                self.assertEqual(sorted(self.read('fake', host, 'starts').split()), numbers)
                for number in numbers:
                    where = next(where for where in self.results() if where.endswith(number))
                    self.assertEqual(self.read(where, 'result', 'out'), 'x\n')

    def test_X_3_each_request_of_a_visit_is_lost_late_or_carried_out_twice(self):
        names = ['nth-%s-%d' % (kind, number) for kind in ('lost', 'late', 'twice')
                 for number in range(1, 5)]
        self.make_workspace([(name, 'fake', '~', 'slots=1') for name in names], grace='1',
                            lease='2', quarantine_wait='1',
                            quarantine_longest='2')
        self.describe('count', ledger.DESC, run_sh=ledger.RUN)
        for name in names:
            self.lwt('task', 'add', 'count', 'count', '--hosts', name)
        done = self.lwt('task', 'run', timeout=120)
        self.assertEqual(done.code, 0, done)
        found = ledger.entries(self.scratch, [self.path('fake', name, 'starts') for name in names])
        self.assertEqual(
            [str(entry) for entry in found if entry.problems or entry.outcome != 'success'], [])
        self.assertEqual(len(found), 2 * len(names))
        for name in names:              # each of them had its fault
            self.assertGreaterEqual(len(self.read('fake', 'requests.' + name).split()),
                                    int(name[-1]), name)


class SpoiledNetwork(ProgramTestCase):
    """A real sshd behind a relay that damages the connection."""

    def setUp(self):
        super().setUp()
        reason = lab.why_not_sshd()
        if reason:
            self.skipTest(reason)

    def spoiled(self, fault, after, value=1.0):
        """Run a command through the relay; it produces output until the connection is cut. Return a
        Done.
        """
        with lab.LoopbackLab(1) as one, FaultProxy(one.address('h1')[1], fault, after,
                                                   value) as proxy:
            with open(one.ssh_config) as file:
                config = file.read().replace('Port %d' % one.address('h1')[1],
                                             'HostKeyAlias h1\n    Port %d' % proxy.port)
            with open(one.path('known_hosts')) as file:
                known = 'h1 ' + file.read().split(' ', 1)[1]
            with open(one.path('known_hosts'), 'w') as file:
                file.write(known)
            with open(one.ssh_config, 'w') as file:
                file.write(config)
            mark = uuid.uuid4().hex     # unique, because other tests run in parallel
            env = dict(self.env, LWT_SSH_CONFIG=one.ssh_config, **{MARK: mark})
            done = self.lwt('exec', '-t', '3', '--hello-timeout', '3', '--grace', '0.5', '-u', '9',
                            '-w', 'h1', '--',
                            'for i in 1 2 3 4 5 6 7 8; do head -c 20000 /dev/zero; sleep 0.1; done',
                            env=env)
            self.assertTrue(wait_for(lambda: not marked(mark)), marked(mark))
            return done

    def test_without_a_fault_the_relay_changes_nothing(self):
        done = self.spoiled('', 0)
        self.assertEqual((done.code, len(done.out), done.err), (0, 160000, ''))

    def test_N_2_each_fault_before_the_login_and_in_the_middle_has_its_class(self):
        cases = (
            ('reset', 10, 'unreachable'), ('close', 10, 'unreachable'),
            ('black_hole', 10, 'unreachable (connection timed out)'),
            ('reset', 60000, 'connection lost'), ('close', 60000, 'connection lost'),
            ('black_hole', 60000, 'timed out after 9 s'))
        # Most of the time is spent waiting for another login.
        with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
            ends = list(pool.map(lambda case: self.spoiled(*case[:2]), cases))
        for (fault, after, said), done in zip(cases, ends):
            with self.subTest(fault=fault, after=after):
                self.assertEqual(done.code, 3, done)
                self.assertIn('lwt: h1: ' + said, done.err)

    def test_N_11_a_byte_that_was_changed_on_the_way_is_never_taken_for_output(self):
        # Not every message of ssh proves that the login had not yet happened.
        for after, said in ((60000, 'connection lost'), (100, '(unreachable|connection lost)')):
            with self.subTest(after=after):
                done = self.spoiled('flip', after)
                self.assertEqual(done.code, 3, done)
                self.assertRegex(done.err, 'lwt: h1: ' + said)
                self.assertEqual(set(done.out) - {'\0'}, set())

    def test_a_stall_and_a_slow_line_lose_nothing(self):
        for fault, value in (('stall', 0.05), ('throttle', 400000.0)):
            with self.subTest(fault=fault):
                done = self.spoiled(fault, 60000, value)
                self.assertEqual((done.code, len(done.out), done.err), (0, 160000, ''))


if __name__ == '__main__':
    unittest.main()
