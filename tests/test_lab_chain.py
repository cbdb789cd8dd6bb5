"""put --chain on real hosts: each host receives from another one, and the loss of one in the middle
does not cost any other host the file.
"""

import contextlib
import os
import shutil
import signal
import unittest

from tests import squatter
from tests.support import SETTLE, wait_for
from tests.test_lab_hosts import LabTestCase


class ChainTestCase(LabTestCase):
    """A file that is put to hosts under the name `there`."""

    size = 3000000

    def setUp(self):
        super().setUp()
        self.data = os.urandom(self.size)
        self.write('big', self.data)

    def tearDown(self):
        for name in self.names:
            self.lab.inside(name, 'rm', '-rf', 'there')
        super().tearDown()

    def sent(self):
        """Return the bytes that the master itself has sent to hosts."""
        with open('/sys/class/net/%s/statistics/tx_bytes' % self.lab._bridge) as file:
            return int(file.read())


class Chains(ChainTestCase):
    """One file to five hosts. Their links are slow, so that faults can occur during the copy."""

    slow = True

    hosts = 5
    size = 12000000

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
            self.assertTrue(wait_for(lambda: not self.left_on(name)), self.left_on(name))

    def left_on(self, name):
        """Return the processes and the temporary files of lwt on a host."""
        return list(self.lab.commands(name).values()) + [
            entry for entry in os.listdir(self.lab.home(name)) if entry.startswith('.lwt')]

    def under_way(self, *words):
        """Start a chain, and wait until the third host has a part of the file."""
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
        # A large file to several hosts is chained automatically.
        done = self.lwt('put', '-w', 'h[1-5]', 'big', 'there')
        self.assertEqual((done.code, done.err), (0, ''))
        self.assertEqual([name for name in self.names if not self.has_it(name)], [])
        self.assertLess(self.sent() - before, 2 * len(self.data))
        self.assert_nothing_half(*self.names)
        done = self.lwt('-v', 'put', '-w', 'h[1-5]', '--chain', 'big', 'there')
        self.assertIn('5 of 5 hosts: 0 files copied, 5 unchanged', done.err)

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
        self.assertEqual([name for name in self.names if self.has_it(name)],
                         ['h1', 'h2', 'h4', 'h5'])
        self.assert_nothing_half(*self.names)

    def test_hosts_that_cannot_reach_each_other_are_fed_from_here(self):
        for name in self.names:
            master = self.lab.address(name)[0].rpartition('.')[0] + '.1'
            self.lab.inside(name, 'iptables', '-w', '-I', 'INPUT', '!', '-s', master, '-p', 'tcp',
                            '--syn', '-j', 'REJECT')
        done = self.lwt('put', '-w', 'h1,h2,h3', '--chain', 'big', 'there', timeout=90)
        self.assertEqual((done.code, done.err), (0, ''))
        self.assertEqual([name for name in self.names if self.has_it(name)], ['h1', 'h2', 'h3'])

    def test_an_end_by_any_signal_leaves_nothing(self):
        self.limit_links('2000')
        for signum, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
            with self.subTest(signum=signum):
                popen = self.under_way()
                popen.send_signal(signum)
                popen.communicate(timeout=SETTLE)
                self.assertEqual(popen.returncode, code)
                self.assert_nothing_half(*self.names)
                # The first hosts of the chain may be done already.
                for name in self.names:
                    if os.path.exists(os.path.join(self.lab.home(name), 'there')):
                        self.assertTrue(self.has_it(name), name)
                        self.lab.inside(name, 'rm', 'there')

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
        self.assertEqual([name for name in self.names if self.has_it(name)],
                         ['h1', 'h2', 'h4', 'h5'], err)
        self.assertTrue(wait_for(lambda: self.gone('h3')), self.lab.commands('h3'))
        self.assert_nothing_half(*self.names)

    def test_what_a_chain_cannot_do_is_refused(self):
        for words, said in ((('-w', 'h1', '--star'), 'exclude each other'),
                            (('-w', 'h1', '--per-host'), 'exclude each other')):
            self.assert_refused(self.lwt('put', '--chain', *words, 'big', '/tmp/'), 2, said)


class Liars(ChainTestCase):
    """A member passes on other bytes than it received."""

    hosts = 4
    # 4 seconds: all hosts are ready before the first one has the file.
    slowly = '-w', 'h[1-4]', '--chain', '--limit', '6000'

    def setUp(self):
        super().setUp()
        for name in self.names:
            # h1 is the first, and sends to another host.
            script = squatter.SLOW_TO_TELL if name != 'h1' else squatter.CORRUPTING
            there = squatter.replace_netcat(self.lab, name, script, seconds=(int(name[1:]) - 1) / 4)
            self.addCleanup(squatter.undo_netcat, self.lab, name, there)

    def assert_all_have(self, *names):
        for name in self.names:
            root = os.path.join(self.lab.home(name), 'there')
            for path in [os.path.join(root, one) for one in names] or [root]:
                with open(path, 'rb') as file:
                    self.assertTrue(file.read() == self.data, path)
            self.assertEqual([one for one in os.listdir(self.lab.home(name))
                              if one.startswith('.lwt')], [], name)

    def test_SR_13_a_member_that_hands_on_other_bytes_costs_nobody_the_file(self):
        """SR-13: the master sends the file to all hosts that received from it, directly or
        indirectly.
        """
        done = self.lwt('put', *self.slowly, 'big', 'there', timeout=90)
        self.assertEqual((done.code, done.out), (0, ''), done)
        self.assert_all_have()
        lines = done.err.splitlines()
        self.assertIn(
            'lwt: h2: checksum mismatch after transfer (fed by h1): copied again, from this '
            'machine', lines)
        self.assertEqual([line for line in lines if 'copied again' not in line], [])
        self.assertEqual([line for line in lines if line.startswith('lwt: h1:')], [])

    def test_SR_13_so_it_is_with_a_directory(self):
        """SR-13: the same with a tar stream, which is unpacked only if its digest is correct."""
        os.mkdir(self.path('tree'))
        os.link(self.path('big'), self.path('tree', 'one'))
        done = self.lwt('-v', 'put', *self.slowly, 'tree', 'there', timeout=90)
        self.assertEqual(done.code, 0, done)
        self.assertIn('h2: checksum mismatch after transfer (fed by h1)', done.err)
        self.assertIn('4 of 4 hosts: 4 files copied', done.err)
        self.assert_all_have('one')


class Strangers(ChainTestCase):
    """Another user of a host connects to a listener first, or takes its port."""

    hosts = 2
    netcats = ('nc.openbsd', 'nc.traditional', 'ncat', 'busybox')

    @contextlib.contextmanager
    def netcats_replaced(self, text, **words):
        with contextlib.ExitStack() as stack:
            for name in self.names:
                there = squatter.replace_netcat(self.lab, name, text, **words)
                stack.callback(squatter.undo_netcat, self.lab, name, there)
            yield

    def put(self, *options):
        return self.start('put', '-w', 'h1,h2', '--chain', *options, 'big', 'there')

    def assert_right(self, popen):
        _out, err = popen.communicate(timeout=90)
        self.assertEqual((popen.returncode, err), (0, b''))
        for name in self.names:
            with open(os.path.join(self.lab.home(name), 'there'), 'rb') as file:
                self.assertTrue(file.read() == self.data, name)
            os.unlink(os.path.join(self.lab.home(name), 'there'))

    def told(self):
        """Return (name of the sender, address and port to which it is about to connect), or None.
        """
        for name in self.names:
            path = self.lab.path(name, 'tmp', 'told')
            if os.path.exists(path):
                with open(path) as file:
                    *_options, address, port = file.read().split()
                return name, address, int(port)
        return None

    def test_SR_2_a_stranger_who_takes_the_port_is_sent_no_data(self):
        """SR-2: another user of the host takes the port of a listener before the sender connects.
        """
        for text, times in (('', 0), ('0' * 32 + '\n', 1), ('y' * 1000, 20000)):
            with self.subTest(text=text[:8]), self.netcats_replaced(squatter.WAITING):
                self.take_port(text, times)

    def take_port(self, text, times):
        popen = self.put('--limit', '6000')     # the sender connects before it has the whole file
        self.addCleanup(popen.kill)
        self.assertTrue(wait_for(self.told))
        feeder, address, port = self.told()
        (name,) = (name for name in self.names if self.lab.address(name)[0] == address)
        self.assertEqual(squatter.spoil(address, port), b'')
        with squatter.squatting(self.lab.namespace(name), address, port, self.path('stolen'), text,
                                times):
            open(self.lab.path(feeder, 'tmp', 'go'), 'w').close()
            self.assert_right(popen)
        with open(self.path('stolen'), 'rb') as file:
            stolen = file.read()
        self.assertRegex(stolen[:100], rb'^([0-9a-f]{32}\n)?\Z')
        self.assertTrue(stolen or text, 'nobody came to the port')

    def test_SR_2_strangers_at_every_listener_end_with_ssh(self):
        """SR-2: a stranger connects first to each listener; after a few ports the master sends the
        file through ssh.
        """
        with self.netcats_replaced(squatter.SPOILING, wrong='0' * 32):
            # If a host is ready only when the other one has the whole file, it does not listen.
            for _ in range(5):
                self.assert_right(self.put())
                paths = [self.lab.path(name, 'tmp', 'spoiled') for name in self.names]
                told = ''.join(self.read(path) for path in paths if os.path.exists(path))
                if told:
                    break
        self.assertEqual(told, 3 * 'once\n')

    def test_SR_2_every_netcat_proves_itself_to_every_other(self):
        """SR-2: the tokens pass in both directions between all netcats that lwt supports, and
        netcat transfers the file.
        """
        missing = [name for name in self.netcats if shutil.which(name) is None]
        if missing:
            self.skipTest('not installed: %s' % ' '.join(missing))
        there = os.path.realpath(shutil.which('nc'))
        for at, first in enumerate(self.netcats):
            for second in self.netcats[at:]:
                with self.subTest(first=first, second=second):
                    for name, program in zip(self.names, (first, second)):
                        self.lab.inside(name, 'mount', '--bind',
                                        os.path.realpath(shutil.which(program)), there)
                    try:
                        # If a host is ready only when the other one has the whole file, the master
                        # sends it.
                        self.assertTrue(
                            any(self.sent_by_a_put() < 1.7 * len(self.data) for _ in range(5)))
                    finally:
                        for name in self.names:
                            self.lab.inside(name, 'umount', there)

    def sent_by_a_put(self):
        before = self.sent()
        self.assert_right(self.put())
        return self.sent() - before


if __name__ == '__main__':
    unittest.main()
