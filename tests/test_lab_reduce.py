"""reduce on real hosts, over ssh and netcat, with faults: the output is that of sort, or does not
exist.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
import unittest

from tests import squatter
from tests.support import wait_for
from tests.test_lab_hosts import LabTestCase

WAYS = ('ssh', 'nc')
NETCATS = ('nc.openbsd', 'nc.traditional', 'ncat', 'busybox')


def local_pipeline(text, command='cat', *words):
    """Return the output of sort and a command for text, on this machine."""
    env = dict(os.environ, LC_ALL='C')
    done = subprocess.run(['sort'] + list(words or ['-k1,1']), input=text, env=env,
                          stdout=subprocess.PIPE, check=True)
    return subprocess.run(['sh', '-c', command], input=done.stdout, env=env, stdout=subprocess.PIPE,
                          check=True).stdout


class ReduceOnHosts(LabTestCase):
    """The base class: an input, and assertions about an output."""

    hosts = 3

    def setUp(self):
        super().setUp()
        rng = random.Random(5)
        self.text = b''.join(b'%d %d\n' % (rng.randint(1, 3000), rng.getrandbits(30))
                             for _ in range(20000))
        self.write('in', self.text)
        self.env['LC_ALL'] = 'C'

    def reduce(self, *words, **options):
        return self.lwt('reduce', *words, **options)

    def content(self, name='out'):
        with open(self.path(name), 'rb') as file:
            return file.read()

    def start_slow(self, *words):
        """Start a reduce with slow reducers, and wait until they run on all hosts."""
        popen = self.start('reduce', '-i', 'in', '-o', 'out', '-r', 'sleep 7; cat', *words)
        self.assertTrue(wait_for(
            lambda: all('sleep 7' in str(self.lab.commands(name)) for name in ('h1', 'h2'))),
                        self.lab.commands('h1'))
        return popen

    def assert_nothing_left(self):
        """Assert that no temporary file and no output exist. Every test asserts that no process is
        left.
        """
        for name in self.names:
            self.assertTrue(wait_for(lambda: not self.scratch_on(name)), self.scratch_on(name))
            self.assertTrue(self.gone(name), self.lab.commands(name))
        self.assertEqual([name for name in os.listdir(self.scratch)
                          if name.startswith('.part') or name == 'out'], [])

    def scratch_on(self, name):
        listed = self.lab.inside(name, 'ls', '-a', '/tmp')
        listed = listed.decode() if isinstance(listed, bytes) else str(listed)
        return [entry for entry in listed.split() if entry.startswith('lwt.')]


class Answers(ReduceOnHosts):
    """The output without faults."""

    def test_it_is_what_sort_makes_of_it_by_both_ways(self):
        for way in WAYS:
            for words, sorting in (((), ()), (('-c', '2'), ('-k2,2',)),
                                   (('--numeric', '--reverse'), ('-k1,1', '-n', '-r'))):
                with self.subTest(way=way, words=words):
                    done = self.reduce('-m', 'h1 h1 h2', '-i', 'in', '-o', 'out', '--transport',
                                       way, *words)
                    self.assertEqual((done.code, done.out, done.err), (0, '', ''))
                    self.assertEqual(self.content(), local_pipeline(self.text, 'cat', *sorting))

    def test_a_word_count_is_the_one_of_the_local_pipeline(self):
        count = "cut -d' ' -f1 | uniq -c"
        done = self.reduce('-w', 'h1,h2,h3', '-r', count, stdin=self.text)
        self.assertEqual((done.code, done.err), (0, ''))
        self.assertEqual(done.out.encode(), local_pipeline(self.text, count))

    def test_odd_inputs(self):
        for way in WAYS:
            for text in (b'', b'\n', b'no newline', b'\n\nb\n\na', b'a\0b\nc\0\n\0\n',
                         b'k 1\nk 2\nk 0\n' * 50,
                         b'\xff\xfe\n\x80\n'):
                with self.subTest(way=way, text=text[:20]):
                    self.write('odd', text)
                    done = self.reduce('-w', 'h1,h2,h3', '-i', 'odd', '-o', 'out', '--transport',
                                       way)
                    self.assertEqual((done.code, done.err), (0, ''))
                    self.assertEqual(self.content(), local_pipeline(text))

    def test_a_line_of_fifty_megabytes(self):
        text = b'z\n' + b'x' * 50000000 + b'\na\n'
        self.write('long', text)
        done = self.reduce('-w', 'h1,h2', '-i', 'long', '-o', 'out')
        self.assertEqual((done.code, done.err), (0, ''))
        self.assertEqual(self.content(), b'a\n' + text[2:-2] + b'z\n')

    def test_map_runs_before_lines_are_parted(self):
        done = self.reduce('-w', 'h1,h2', '--map', "tr ' ' '\\n'", '-r', 'uniq -c',
                           stdin=b'a b a\nc a b\n')
        self.assertEqual((done.code, done.out.split()), (0, ['3', 'a', '2', 'b', '1', 'c']))

    def test_files_that_lie_on_the_hosts(self):
        for number, name in enumerate(('h1', 'h2')):
            self.lab.inside(name, 'sh', '-c',
                            'mkdir -p /tmp/logs; cd /tmp/logs; printf "x %d\\ny" >"a b.log"; echo '
                            'z >c.log'
                            % number)
        done = self.reduce('-w', 'h1,h2', '--input-on-hosts', '/tmp/logs/*.log', '--transport',
                           'nc')
        self.assertEqual((done.code, done.out), (0, 'x 0\nx 1\ny\ny\nz\nz\n'))
        done = self.reduce('-w', 'h1,h3', '--input-on-hosts', '/tmp/logs/*.log', '-o', 'out')
        self.assert_refused(done, 1, 'h3', 'its files', '/tmp/logs/*.log')
        self.assert_nothing_left()

    def test_every_netcat_with_every_other(self):
        missing = [name for name in NETCATS if shutil.which(name) is None]
        if missing:
            self.skipTest('not installed: %s' % ' '.join(missing))
        there = os.path.realpath(shutil.which('nc'))
        for on_host in NETCATS:
            self.lab.inside('h1', 'mount', '--bind', os.path.realpath(shutil.which(on_host)), there)
            try:
                runs = [(here, self.start_with(here)) for here in NETCATS]
                for here, popen in runs:
                    with self.subTest(here=here, there=on_host):
                        _out, err = popen.communicate(timeout=60)
                        self.assertEqual((popen.returncode, err), (0, b''))
                        self.assertEqual(self.content(here), local_pipeline(self.text))
                        os.unlink(self.path(here))
            finally:
                self.lab.inside('h1', 'umount', there)

    def start_with(self, netcat):
        """Start a reduce that finds a certain netcat on this machine; its output has the same name.
        """
        directory = self.path('bin.' + netcat)
        if not os.path.isdir(directory):
            os.mkdir(directory)
            os.symlink(shutil.which(netcat), os.path.join(directory, 'nc'))
        env = dict(self.env, PATH=directory + ':' + self.env['PATH'])
        return self.start('reduce', '-m', 'h1 h1', '-i', 'in', '-o', netcat, '--transport', 'nc',
                          env=env)


class Faults(ReduceOnHosts):
    """Either all output is correct, or there is none, the host and the partition are named, and
    nothing is left.
    """

    slow = True

    def test_a_netcat_that_does_not_listen_is_named_and_nothing_waits_for_it(self):
        there = os.path.realpath(shutil.which('nc'))
        text = '#!/bin/sh\ncase $* in -h*) echo "OpenBSD netcat" ;; esac\nexit 1\n'
        self.lab.inside('h1', 'sh', '-c',
                        'printf %s "$0" >/tmp/nc; chmod 755 /tmp/nc && mount --bind /tmp/nc "$1"',
                        text, there)
        try:
            done = self.reduce('-w', 'h1', '-i', 'in', '-o', 'out', '--transport', 'nc')
        finally:
            self.lab.inside('h1', 'sh', '-c', 'umount "$0" && rm /tmp/nc', there)
        self.assert_refused(done, 1, 'h1: partition 1: the port of its netcat (nc) cannot be found')
        self.assert_nothing_left()

    def test_a_host_that_refuses_and_one_that_is_silent_are_replaced(self):
        self.lab.refuse('h2')
        self.lab.black_hole('h3')
        done = self.reduce('-w', 'h1,h2,h3', '--connect-timeout', '2', '-i', 'in', '-o', 'out')
        self.assertEqual((done.code, self.content()), (0, local_pipeline(self.text)), done)
        self.assertIn('partition 2: h2: unreachable (connection refused); it goes to', done.err)
        self.assertIn('partition 3: h3: unreachable', done.err)

    def test_without_another_host_there_is_no_output(self):
        self.lab.refuse('h2')
        done = self.reduce('-w', 'h2', '-i', 'in', '-o', 'out')
        self.assert_refused(done, 3, 'h2: partition 1: unreachable (connection refused)')
        self.assert_nothing_left()

    def test_a_reducer_that_fails_is_named_with_its_host_and_partition(self):
        for way in WAYS:
            with self.subTest(way=way):
                done = self.reduce('-w', 'h1', '-r', 'cat; echo no >&2; exit 7', '-i', 'in', '-o',
                                   'out', '--transport', way)
                self.assert_refused(done, 1, 'h1: partition 1: reduce: exit code 7', 'h1: no')
                self.assert_nothing_left()

    def test_a_host_killed_in_the_middle_is_replaced(self):
        for way in WAYS:
            with self.subTest(way=way):
                popen = self.start_slow('-w', 'h1,h2', '--transport', way)
                self.lab.kill_sessions('h2')
                _out, err = popen.communicate(timeout=60)
                self.assertEqual(popen.returncode, 0, err)
                self.assertIn(b'partition 2: h2: connection lost', err)
                self.assertEqual(self.content(), local_pipeline(self.text))
                os.unlink(self.path('out'))
                self.assert_nothing_left()

    def test_a_host_that_is_cut_off_in_the_middle_is_replaced_and_cleans_up_by_itself(self):
        for way in WAYS:
            with self.subTest(way=way):
                popen = self.start_slow('-w', 'h1,h2', '--transport', way, '--stall', '4',
                                        '--lease', '4')
                self.lab.black_hole('h2')
                _out, err = popen.communicate(timeout=60)
                self.assertEqual(popen.returncode, 0, err)
                self.assertIn(b'partition 2: h2: connection lost; it goes to h1', err)
                self.assertEqual(self.content(), local_pipeline(self.text))
                os.unlink(self.path('out'))
                self.assertTrue(wait_for(lambda: self.gone('h2')), self.lab.commands('h2'))
                self.assert_nothing_left()
                self.lab.heal('h2')

    def test_a_full_tmp_on_a_host_is_named_and_another_host_does_it(self):
        self.write('big', b''.join(b'%d\n' % number for number in range(300000)))
        self.lab.inside('h2', 'mount', '-t', 'tmpfs', '-o', 'size=100k', 'tmpfs', '/tmp')
        try:
            done = self.reduce('-w', 'h1,h2', '-S', '100K', '-i', 'big', '-o', 'out')
        finally:
            self.lab.inside('h2', 'umount', '/tmp')
        self.assertEqual((done.code, self.content()), (0, local_pipeline(self.content('big'))),
                         done)
        self.assertIn('h2: sort: ', done.err)
        self.assertIn('partition 2: h2: sort: exit code 2; it goes to h1', done.err)

    def test_an_end_by_any_signal_leaves_nothing(self):
        for way in WAYS:
            for signum, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
                with self.subTest(way=way, signum=signum):
                    popen = self.start_slow('-w', 'h1,h2', '--transport', way)
                    popen.send_signal(signum)
                    _out, err = popen.communicate(timeout=30)
                    self.assertEqual(popen.returncode, code, err)
                    self.assert_nothing_left()

    def test_Y_6_two_at_once_on_the_same_hosts_do_not_mix(self):
        self.write('other', b''.join(b'other %d\n' % number for number in range(20000, 0, -1)))
        runs = [(name, self.start('reduce', '-m', 'h1 h1 h2', '-i', name, '-o', 'out.' + name,
                                  '--transport', 'nc'))
                for name in ('in', 'other')]
        for name, popen in runs:
            _out, err = popen.communicate(timeout=60)
            self.assertEqual((popen.returncode, err), (0, b''))
            self.assertEqual(self.content('out.' + name), local_pipeline(self.content(name)))


class Strangers(ReduceOnHosts):
    """Strangers at the port of a listener. The master's own netcat waits until they have connected.
    """

    slow = True

    hosts = 1

    def setUp(self):
        super().setUp()
        os.mkdir(self.path('bin'))
        # before its first connection, it reports the address and waits
        self.write('bin/nc',
                   '#!/bin/sh\ncase $* in -h*) exec %s "$@" ;; esac\nif mkdir %s/first '
                   '2>/dev/null; then\n'
                   'echo "$@" >%s/told.part; mv %s/told.part %s/told\nwhile [ ! -e %s/go '
                   ']; do sleep 0.05; done\nfi\n'
                   'exec %s "$@"\n'
                   % ((shutil.which('nc'),) + (self.scratch,) * 5 + (shutil.which('nc'),)), 0o755)
        self.env['PATH'] = self.path('bin') + ':' + self.env['PATH']

    def waiting(self):
        """Return (Popen of a reduce, address, port) when its listener waits."""
        popen = self.start('reduce', '-w', 'h1', '-i', 'in', '-o', 'out', '--transport', 'nc')
        self.assertTrue(wait_for(lambda: os.path.exists(self.path('told'))))
        *_options, address, port = self.read('told').split()
        return popen, address, int(port)

    def assert_right(self, popen):
        self.write('go', '')
        _out, err = popen.communicate(timeout=60)
        self.assertEqual((popen.returncode, err), (0, b''))
        self.assertEqual(self.content(), local_pipeline(self.text))

    def test_S_15_one_who_sends_another_token_gets_nothing_and_spoils_nothing(self):
        popen, address, port = self.waiting()
        with socket.create_connection((address, port), timeout=20) as stranger:
            stranger.sendall(b'0' * 32 + b'\n5\nlies\n0\n')
            self.assertEqual(self.all_of(stranger), b'')
        self.assert_right(popen)

    def test_S_16_one_who_says_nothing_is_given_up(self):
        popen, address, port = self.waiting()
        with socket.create_connection((address, port), timeout=20) as stranger:
            began = time.monotonic()
            self.assertEqual(self.all_of(stranger), b'')
            self.assertLess(time.monotonic() - began, 20)
        self.assert_right(popen)

    def test_S_18_a_listener_has_one_address_and_dies_with_the_job(self):
        popen, address, port = self.waiting()
        listening = str(self.lab.inside('h1', 'ss', '-Hltn'))
        self.assertIn('%s:%d' % (address, port), listening)
        self.assertNotIn('0.0.0.0:%d' % port, listening)
        popen.kill()
        popen.communicate()
        self.assertTrue(wait_for(lambda: self.cannot_connect(address, port)))
        self.write('go', '')
        self.assert_nothing_left()

    def test_SR_3_a_stranger_who_takes_the_port_is_sent_no_data_and_holds_up_nothing(self):
        """SR-3: before the master connects, a silent or lying stranger takes the port of a
        listener.
        """
        for text, times in (('', 0), ('0' * 32 + '\n', 1), ('y' * 1000, 20000)):
            with self.subTest(text=text[:8]):
                popen, address, port = self.waiting()
                self.addCleanup(popen.kill)
                self.assertEqual(squatter.spoil(address, port), b'')
                with squatter.squatting(self.lab.namespace('h1'), address, port,
                                        self.path('stolen'), text, times):
                    self.assert_right(popen)
                with open(self.path('stolen'), 'rb') as file:
                    self.assertRegex(file.read(100), rb'^([0-9a-f]{32}\n)?\Z')
                for name in ('told', 'go', 'out', 'first'):
                    path = self.path(name)
                    (os.rmdir if os.path.isdir(path) else os.unlink)(path)

    def test_SR_3_strangers_at_every_listener_end_with_ssh(self):
        """SR-3: a stranger connects first to each listener; the job then ends as with --transport
        ssh.
        """
        text = squatter.SPOILING.format(real=shutil.which('nc'), directory=self.scratch,
                                        wrong='0' * 32)
        self.write('bin/nc', text, 0o755)
        done = self.reduce('-w', 'h1', '-i', 'in', '-o', 'out', '--transport', 'nc', '--stall',
                           '12')
        self.assertEqual((done.code, done.err), (0, ''))
        self.assertEqual(self.content(), local_pipeline(self.text))
        self.assertEqual(len(self.read('spoiled').splitlines()), 3)
        self.assert_nothing_left_but_output()

    def test_SR_3_a_host_whose_ports_are_closed_is_reached_by_ssh(self):
        """SR-3: no connection by netcat is possible; every wait for one ends."""
        for verdict in ('REJECT', 'DROP'):
            with self.subTest(verdict=verdict):
                self.lab.inside('h1', 'iptables', '-w', '-I', 'INPUT', '-p', 'tcp', '--syn', '!',
                                '--dport', '22', '-j', verdict)
                done = self.reduce('-w', 'h1', '-i', 'in', '-o', 'out', '--transport', 'nc',
                                   '--stall', '6')
                self.lab.heal('h1')
                self.assertEqual((done.code, done.err), (0, ''))
                self.assertEqual(self.content(), local_pipeline(self.text))

    def assert_nothing_left_but_output(self):
        os.unlink(self.path('out'))
        self.assert_nothing_left()

    @staticmethod
    def all_of(stranger):
        """Return everything that a stranger is sent."""
        try:
            return b''.join(iter(lambda: stranger.recv(100), b''))
        except ConnectionResetError:
            return b''

    @staticmethod
    def cannot_connect(address, port):
        try:
            socket.create_connection((address, port), timeout=5).close()
        except OSError:
            return True
        return False


if __name__ == '__main__':
    unittest.main()
