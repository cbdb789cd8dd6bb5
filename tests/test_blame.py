"""Which host is quarantined for tasks that fail on it; the hosts are this machine."""

import unittest

from tests.support import ProgramTestCase


class Tasks(ProgramTestCase):
    """Four hosts that are this machine, each with its own home."""

    def setUp(self):
        super().setUp()
        lines = []
        for number in range(1, 5):
            self.write('home/h%d/.keep' % number, '')
            lines.append(('h%d' % number, 'local', '~/h%d' % number, 'slots=2'))
        self.make_workspace(lines, grace='1')

    def run_tasks(self, desc, *values, code=1):
        self.describe('sim', desc)
        done = self.lwt('task', 'add', 'sim', *values)
        self.assertEqual(done.code, 0, done)
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, code, done)
        return done.err

    def test_UR_10_tasks_that_fail_on_every_host_blame_none(self):
        """UR-10: an array that fails everywhere, after one of the same name that succeeded."""
        self.run_tasks('exec : true\n', '--array', '1-12', code=0)
        err = self.run_tasks('exec : exit 3\n', '--array', '1-15')
        self.assertNotIn('quarantine', err)
        self.assertEqual(self.lwt('hosts', '-a').out.split(), ['h1', 'h2', 'h3', 'h4'])

    def test_UR_10_values_that_fail_wherever_they_are_tried_blame_no_host(self):
        """UR-10: with retries, each of the tasks fails on other hosts too."""
        err = self.run_tasks('exec : sleep 0.1; [ {} -gt 9 ]\nretry_on : failed\n', '--array',
                             '1-40')
        self.assertNotIn('quarantine', err)

    def test_UR_10_time_outs_and_kills_blame_no_host(self):
        """UR-10: tasks that exceed their timeout on one host, while others succeed on other hosts.
        """
        self.run_tasks('exec : sleep 0.1\n', '--array', '1-8', code=0)
        self.describe('slow', 'exec : sleep 60\ntimeout : 0.3\n')
        self.describe('quick', 'exec : true\n')
        self.lwt('task', 'add', 'slow', '--array', '1-6', '--hosts', 'h4')
        self.lwt('task', 'add', 'slow', '--array', '1-6', '--hosts', 'h1', '--timeout', '0',
                 '--exec', 'true')
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 3, done)
        self.assertNotIn('quarantine', done.err)

    def test_UR_10_a_host_on_which_tasks_fail_that_end_well_elsewhere_is_blamed(self):
        """UR-10: failures that do not repeat on other hosts still count, with retries and without.
        """
        for number, (more, code) in enumerate((('retry_on : failed\n', 0), ('retries : 0\n', 1))):
            with self.subTest(more=more):
                self.lwt('hosts', '--back', 'h4')
                name = 'sim%d' % number
                self.describe(name, 'exec : sleep 0.1; [ $LWT_HOST != h4 ]\n' + more)
                self.lwt('task', 'add', name, '--array', '1-60')
                done = self.lwt('task', 'run')
                self.assertEqual(done.code, code, done)
                self.assertRegex(done.err,
                                 'h4: .*: [0-9]+ different tasks in a row failed on this host')


if __name__ == '__main__':
    unittest.main()
