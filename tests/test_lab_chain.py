"""put --chain on real hosts: each is fed by another one, and whoever is lost in the middle costs nobody else the file."""

import os
import signal
import unittest

from tests.support import wait_for
from tests.test_lab_hosts import LabTestCase


class Chains(LabTestCase):
    """One file to five hosts, whose links are slow enough that something can happen meanwhile."""

    hosts = 5

    def setUp(self):
        super().setUp()
        self.data = os.urandom(12000000)
        self.write('big', self.data)

    def tearDown(self):
        for name in self.names:
            self.lab.inside(name, 'rm', '-rf', 'there')
        super().tearDown()

    def limit_links(self, kbit='40000'):
        for name in self.names:
            self.lab.rate(name, kbit)

    def has_it(self, name):
        path = os.path.join(self.lab.home(name), 'there')
        if not os.path.exists(path):
            return False
        with open(path, 'rb') as file:
            return file.read() == self.data

    def assert_nothing_half(self, *names):
        for name in names:
            self.assertTrue(self.gone(name), self.lab.commands(name))
            left = [entry for entry in os.listdir(self.lab.home(name)) if entry.startswith('.lwt')]
            self.assertEqual(left, [], name)

    def under_way(self, *words):
        """Start a chain, and wait until the third host has some of it."""
        popen = self.start('put', '-w', 'h[1-5]', '--chain', 'big', 'there', *words)
        self.assertTrue(wait_for(lambda: self.some_of_it('h3')))
        return popen

    def some_of_it(self, name):
        for root, _dirs, names in os.walk(self.lab.home(name)):
            if 'it' in names and os.path.getsize(os.path.join(root, 'it')) > 100000:
                return True
        return False

    def test_all_have_it_and_the_master_sent_it_once(self):
        before = self.sent()
        done = self.lwt('put', '-w', 'h[1-5]', 'big', 'there')           # large, and several hosts: by itself
        self.assertEqual((done.code, done.err), (0, ''))
        self.assertEqual([name for name in self.names if not self.has_it(name)], [])
        self.assertLess(self.sent() - before, 2 * len(self.data))
        self.assert_nothing_half(*self.names)
        done = self.lwt('-v', 'put', '-w', 'h[1-5]', '--chain', 'big', 'there')
        self.assertIn('5 of 5 hosts: 0 files copied, 5 unchanged', done.err)

    def sent(self):
        """Bytes that the master itself has sent to hosts."""
        with open('/sys/class/net/%s/statistics/tx_bytes' % self.lab._bridge) as file:
            return int(file.read())

    def test_hosts_that_refuse_or_are_silent_are_named_and_the_others_have_it(self):
        self.lab.refuse('h1')
        self.lab.black_hole('h4')
        done = self.lwt('put', '-t', '4', '-w', 'h[1-5]', '--chain', 'big', 'there')
        self.assert_refused(done, 3, 'h1: unreachable (connection refused)', 'h4: unreachable')
        self.assertEqual([name for name in self.names if self.has_it(name)], ['h2', 'h3', 'h5'])

    def test_a_host_that_dies_in_the_middle_is_cut_out(self):
        self.limit_links()
        popen = self.under_way()
        self.lab.kill_sessions('h3')
        _out, err = popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 3, err)
        self.assertIn(b'h3: connection lost', err)
        self.assertEqual([name for name in self.names if self.has_it(name)], ['h1', 'h2', 'h4', 'h5'])
        self.assert_nothing_half(*self.names)

    def test_hosts_that_cannot_reach_each_other_are_fed_from_here(self):
        for name in self.names:
            master = self.lab.address(name)[0].rpartition('.')[0] + '.1'
            self.lab.inside(name, 'iptables', '-w', '-I', 'INPUT', '!', '-s', master, '-p', 'tcp', '--syn', '-j', 'REJECT')
        done = self.lwt('put', '-w', 'h1,h2,h3', '--chain', 'big', 'there', timeout=90)
        self.assertEqual((done.code, done.err), (0, ''))
        self.assertEqual([name for name in self.names if self.has_it(name)], ['h1', 'h2', 'h3'])

    def test_an_end_by_any_signal_leaves_nothing(self):
        self.limit_links('8000')
        for signum, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
            with self.subTest(signum=signum):
                popen = self.under_way()
                popen.send_signal(signum)
                popen.communicate(timeout=30)
                self.assertEqual(popen.returncode, code)
                self.assert_nothing_half(*self.names)
                self.assertEqual([name for name in self.names if self.has_it(name)], [])

    def test_directories_go_along_too_and_a_limit_holds(self):
        os.makedirs(self.path('tree', 'empty'))
        self.write('tree/a b', 'x' * 50000)
        self.write('tree/run', '#!/bin/sh\n', mode=0o755)
        before = self.sent()
        done = self.lwt('-v', 'put', '-w', 'h[1-5]', '--chain', '--limit', '800', 'tree', 'there')
        self.assertEqual(done.code, 0, done)
        self.assertIn('5 of 5 hosts: 10 files copied', done.err)
        self.assertLess(self.sent() - before, 400000)
        for name in self.names:
            there = os.path.join(self.lab.home(name), 'there')
            self.assertEqual(sorted(os.listdir(there)), ['a b', 'empty', 'run'])
            self.assertEqual(os.path.getsize(os.path.join(there, 'a b')), 50000)
            self.assertTrue(os.access(os.path.join(there, 'run'), os.X_OK))
        self.write('two', 'x')
        done = self.lwt('put', '-w', 'h1,h2', '--chain', 'tree', 'two', '.')
        self.assertEqual((done.code, done.err), (0, ''))
        self.lab.inside('h2', 'sh', '-c', 'test -f two && test -f tree/run && rm -r two tree')
        self.lab.inside('h1', 'rm', '-r', 'two', 'tree')
        self.assert_nothing_half(*self.names)

    def test_a_host_that_is_cut_off_in_the_middle_is_told_and_cleans_up_by_itself(self):
        self.limit_links()
        popen = self.under_way('--stall', '12')
        self.lab.black_hole('h3')
        _out, err = popen.communicate(timeout=90)
        self.assertEqual(popen.returncode, 3, err)
        self.assertIn(b'h3: connection lost', err)
        self.assertEqual([name for name in self.names if self.has_it(name)], ['h1', 'h2', 'h4', 'h5'], err)
        self.assertTrue(wait_for(lambda: self.gone('h3')), self.lab.commands('h3'))
        self.assert_nothing_half(*self.names)

    def test_what_a_chain_cannot_do_is_refused(self):
        for words, said in ((('-w', 'h1', '--star'), 'exclude each other'), (('-w', 'h1', '--per-host'), 'exclude each other')):
            self.assert_refused(self.lwt('put', '--chain', *words, 'big', '/tmp/'), 2, said)


if __name__ == '__main__':
    unittest.main()
