"""reduce without any other machine: its options, its ledger, this machine as a host, and the
supported netcats.
"""

import os
import random
import shutil
import subprocess
import tempfile
import types
import unittest
from unittest import mock

from lwt import netcat
from lwt.commands import reduce
from lwt.commands.options import Env
from lwt.copy import manifest
from lwt.errors import UsageError
from lwt.reduce import ledger, partition, reducers
from lwt.remote import netcat_hosts
from tests.support import ProgramTestCase


class OnThisMachine(ProgramTestCase):
    """The host localhost, and what is refused."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')])

    def test_it_sorts_and_reduces(self):
        for way in ('ssh', 'nc'):
            with self.subTest(way=way):
                done = self.lwt('reduce', '-m', 'localhost localhost', '-r', 'uniq -c',
                                '--transport', way,
                                stdin=b'b\na\nb\nc\nb')
                self.assertEqual((done.code, done.out.split(), done.err),
                                 (0, ['1', 'a', '3', 'b', '1', 'c'], ''))

    def test_the_input_may_be_nothing_and_the_output_a_device_or_a_link(self):
        self.assertEqual(
            self.lwt('reduce', '-w', 'localhost', '-i', '/dev/null', '-o', '/dev/null').code, 0)
        self.write('real', 'old\n', mode=0o640)
        os.symlink('real', self.path('link'))
        self.assertEqual(self.lwt('reduce', '-w', 'localhost', '-o', 'link', stdin=b'b\na\n').code,
                         0)
        self.assertEqual((self.read('real'), os.stat(self.path('real')).st_mode & 0o777),
                         ('a\nb\n', 0o640))
        self.assertTrue(os.path.islink(self.path('link')))

    def test_its_own_input_may_be_its_output(self):
        self.write('data', 'b\na\n')
        self.assertEqual(self.lwt('reduce', '-w', 'localhost', '-i', 'data', '-o', 'data').code, 0)
        self.assertEqual(self.read('data'), 'a\nb\n')

    def test_wrong_use_is_refused_and_nothing_done(self):
        for words, said in (
                (('-w', 'localhost', '-c', '0'), '-c 0'),
                (('-w', 'localhost', '-m', 'x'), 'cannot be used with'),
                (('-w', 'localhost', '--delimiter', 'ab'), 'one character'),
                (('-w', 'localhost', '-S', 'much'), 'expected a size'),
                (('-w', 'localhost', '-o', 'no/out'), 'no such directory'),
                (('-w', 'localhost', '-i', 'none'), 'none: No such file'),
                (('-w', 'localhost', '-i', '.'), 'a directory'),
                (('-w', 'localhost', 'word'), 'unexpected word word'),
                (('-m', ' '), 'no hosts in it'), (('-m', 'h1 -oProxyCommand=x'), 'bad host name')):
            with self.subTest(words=words):
                self.assert_refused(self.lwt('reduce', *words), 2, said)

    def test_without_a_netcat_it_says_so(self):
        os.mkdir(self.path('bin'))
        for name in ('sh', 'sort', 'env', 'ssh'):
            os.symlink(shutil.which(name), self.path('bin', name))
        env = dict(self.env, PATH=self.path('bin'))
        self.assert_refused(self.lwt('reduce', '-w', 'localhost', '--transport', 'nc', env=env), 2,
                            'no netcat found',
                            '--transport ssh')

    def test_a_key_that_only_the_rules_of_a_language_order_is_merged_by_sort(self):
        # The locale does not exist: then sort compares bytes, on the master and on hosts alike.
        env = dict(self.env, LC_ALL='xx_XX.UTF-8')
        done = self.lwt('reduce', '-m', 'localhost localhost', stdin=b'c 1\nb 1\na 1\nb 0\n',
                        env=env)
        self.assertEqual((done.code, done.out), (0, 'a 1\nb 0\nb 1\nc 1\n'), done)


class Hosts(unittest.TestCase):
    """Which hosts are selected."""

    env = Env({}, None, (), False, False)

    def names(self, br_hosts='/nonexistent', **said):
        nothing = {'named': None, 'hosts': [], 'categories': [], 'everything': False, 'exclude': []}
        parsed = types.SimpleNamespace(**dict(nothing, **said))
        return [host.name for host in reduce._hosts(parsed, self.env, None, br_hosts)]

    def test_a_host_that_is_named_twice_is_two(self):
        self.assertEqual(self.names(named='h1 h1 h2'), ['h1', 'h1', 'h2'])
        self.assertEqual(self.names(named='h[1-3] h1', exclude=['h2']), ['h1', 'h3', 'h1'])
        self.assertEqual(self.names(hosts=['h[2-3],h2']), ['h2', 'h3'])

    def test_the_file_of_bashreduce_counts_when_nothing_else_names_hosts(self):
        with tempfile.NamedTemporaryFile('w') as file:
            file.write('h1 h2\nh2  # twice\n\n')
            file.flush()
            self.assertEqual(self.names(file.name), ['h1', 'h2', 'h2'])
            self.assertEqual(self.names(file.name, hosts=['h5']), ['h5'])
        self.assertRaises(UsageError, self.names)


class Parting(unittest.TestCase):
    """Lines are split into partitions, a few bytes at a time."""

    def parted(self, order, *texts):
        """Return what each of three partitions gets from several inputs."""
        files, pieces = [tempfile.TemporaryFile() for _number in range(len(texts) + 3)], []
        for file in files:
            self.addCleanup(file.close)
        for file, text in zip(files, texts):
            file.write(text)
            file.flush()
            pieces.append(ledger.Piece(file.fileno(), 0, len(text)))
        parts = [ledger.Piece(file.fileno(), complete=False) for file in files[len(texts):]]
        splitter = partition.splitter(order, [(piece.fd, 0, piece.end) for piece in pieces], 3)
        list(reducers.part(pieces, splitter, parts))
        return splitter, [os.pread(part.fd, part.end, 0) for part in parts]

    def test_long_lines_go_where_short_ones_of_their_key_go(self):
        rng = random.Random(3)
        lines = [b'%d %d %s' % (rng.randint(0, 9), rng.randint(0, 9),
                                b'x' * rng.choice((0, 1, 30, 70, 200, 3000)))
                 for _ in range(200)]
        text = b'\n'.join(lines)
        with mock.patch.object(reducers, 'BLOCK', 16):
            for order in (partition.SortOrder(), partition.SortOrder(2), partition.SortOrder(3),
                          partition.SortOrder(1, collate='de_DE'),
                          partition.SortOrder(2, numeric=True, reverse=True)):
                for first in (text, text + b'\n'):
                    with self.subTest(order=order, ended=first[-1:]):
                        splitter, parts = self.parted(order, first, text)
                        self.assertEqual(parts, splitter.split(2 * (text + b'\n')))


class Progress(unittest.TestCase):
    """Progress messages."""

    def test_what_is_left_counts_both_ways_where_as_much_comes_back(self):
        tally = reducers.ReduceProgress(1000000, 2, keeps_lines=True)
        tally.sent = tally.returned = 500000
        self.assertEqual(reduce.progress_text('reduce', tally, 2.0),
                         'reduce 0/2: 500.0 kB of 1.0 MB sent, 500.0 kB back, 500.0 kB/s, ETA '
                         '2.0 s')
        tally.sent = 1000000
        self.assertIn(', 750.0 kB/s, ETA 0.7 s', reduce.progress_text('reduce', tally, 2.0))
        tally.keeps_lines = False
        self.assertTrue(reduce.progress_text('reduce', tally, 2.0).endswith(' back, 500.0 kB/s'))


class Ledger(unittest.TestCase):
    """What was sent, arrived, was sent back and arrived."""

    def told(self, sent, came, lines='lines', skip=''):
        control = ledger.Control('n', print)
        for way, data in (('in', sent), ('out', came)):
            for line in (b'lines %s %d' % (way.encode(), data.count(b'\n')),
                         b'sum %s %d %d' % (way.encode(), manifest.cksum([data]), len(data))):
                if line.decode().split(' ', 2)[:2] != skip.split():
                    control._take('stdout', line + b'\n')
        return control

    def count(self, data):
        count = ledger.Count()
        count.add(data)
        return count

    def test_S_17_a_stream_that_was_cut_or_changed_on_the_way_does_not_agree(self):
        sent, came = b'b\na\n', b'a\nb\n'
        told = self.told(sent, came)
        self.assertEqual(ledger.discrepancy(told, self.count(sent), self.count(came), True), '')
        for here, back in ((b'b\n', came), (b'b\nA\n', came), (sent, b'a\n'), (sent, b'a\nB\n'),
                           (sent, b'')):
            self.assertNotEqual(
                ledger.discrepancy(told, self.count(here), self.count(back), True), '')
        for skip in ('lines in', 'sum in', 'lines out', 'sum out'):
            told = self.told(sent, came, skip=skip)
            self.assertNotEqual(
                ledger.discrepancy(told, self.count(sent), self.count(came), False), '')
        told = self.told(sent, b'a\n')
        self.assertIn('lines were sorted',
                      ledger.discrepancy(told, self.count(sent), self.count(b'a\n'), True))

    def test_the_sum_is_that_of_cksum(self):
        for data in (b'', b'a', b'x' * 300, bytes(range(256)) * 5):
            done = subprocess.run(['cksum'], input=data, stdout=subprocess.PIPE, check=True)
            self.assertEqual(manifest.cksum([data[:7], data[7:]]), int(done.stdout.split()[0]))

    def test_what_a_host_says_wrongly_is_not_believed(self):
        control = ledger.Control('n', print, [netcat_hosts.tokens()] * 4)
        for line in (b'listen 99999', b'listen 80', b'listen 5000 abc', b'listen', b'code sort x',
                     b'sum in -1 y', b'lines', b'', b'\xff\xfe'):
            control._take('stdout', line + b'\n')
        self.assertEqual(control.ports, [None] * 4)
        self.assertEqual(control.failure, ('sort', None))


class Proofs(unittest.TestCase):
    """What a netcat of the master accepts as the answer of its listener."""

    def test_SR_3_nothing_is_sent_or_taken_before_the_whole_token_came(self):
        """SR-3: a stranger at the port of a listener is sent the sender's token and no data."""
        tokens = netcat_hosts.tokens()
        answer = tokens.listener.encode() + b'\n'
        for came, is_over, is_proved in ((b'', None, False), (answer[:-1], None, False),
                                         (answer + b'data', None, True),
                                         (answer[:-1] + b' ', True, False),
                                         (tokens.sender.encode() + b'\n', True, False),
                                         (b'x' * 100000, True, False),
                                         (b'x' + answer, True, False)):
            with self.subTest(came=came[:40]), tempfile.TemporaryFile(buffering=0) as file:
                file.write(b'secret')
                tally = reducers.ReduceProgress(6, 1)
                feed = ledger.Feed(ledger.Piece(file.fileno(), 0, 6), tally)
                with tempfile.TemporaryFile(buffering=0) as kept:
                    proof = reducers.Proof(tokens.listener, reducers.Results(kept, tally))
                    framing = reducers.Framing(feed, ledger.Control('n', print, [tokens]), proof,
                                               tokens.sender, 1.0)
                    self.assertEqual(framing.read(99), tokens.sender.encode() + b'\n')
                    self.assertIsNone(framing.read(99))
                    over = [proof.feed('stdout', came[at:at + 7]) for at in range(0, len(came), 7)]
                    self.assertEqual((True in over, proof.started), (bool(is_over), is_proved))
                    self.assertEqual(framing.read(99), b'6\nsecret' if is_proved else None)
                    self.assertEqual(proof.results.came.bytes, 4 if is_proved else 0)


class Netcats(unittest.TestCase):
    """Dialects, by the netcat's own help texts."""

    HELP = {
        'openbsd': 'OpenBSD netcat (Debian patchlevel 1.219-1)\nusage: nc [-46CDdFhklNnrStUuvZz]\n'
                   '\t-N\t\tShutdown the network socket after EOF\n',
        'traditional': '[v1.10-47]\nconnect to somewhere:\tnc [-options] hostname port[s] '
                       '[ports]\n\t-q secs\t\tquit after EOF\n',
        'ncat': 'Ncat 7.93 ( https://nmap.org/ncat )\nUsage: ncat [options] [hostname] [port]\n',
        'busybox': 'BusyBox v1.35.0 (Debian) multi-call binary.\n\nUsage: nc [-l] [-p PORT] '
                   '[IPADDR PORT]\n'}

    def test_each_is_known_and_closes_in_its_own_way(self):
        closing = {'openbsd': ('-N',), 'traditional': ('-q', '0'), 'ncat': (), 'busybox': ()}
        for dialect, text in self.HELP.items():
            address, program = netcat.parse('address 10.0.0.1\nprogram nc\n' + text)
            self.assertEqual((address, program.dialect, program.closes),
                             ('10.0.0.1', dialect, closing[dialect]))
            self.assertEqual(program.connect('h', 5), ('nc',) + closing[dialect] + ('h', '5'))

    def test_an_older_openbsd_and_apples_have_no_such_option(self):
        self.assertEqual(netcat.recognised('nc', 'usage: nc [-46]\n -q secs quit\n').closes,
                         ('-q', '0'))
        self.assertEqual(
            netcat.recognised('nc', 'usage: nc [-46]\n -N num  number of probes\n').closes, ())

    def test_what_is_unknown_is_passed_over(self):
        text = 'address ::1\nprogram nc\nwhat?\nprogram ncat\n' + self.HELP['ncat']
        self.assertEqual(netcat.parse(text)[1].words, ('ncat',))
        self.assertEqual(netcat.parse('address ::1\n'), ('::1', None))

    def test_SR_13_an_address_that_is_none_is_not_taken(self):
        """SR-13: a host's report of its address is a numeric address or ignored."""
        for text in ('$(id)', '-e', '1.2.3.4 -e sh', '*', '10.0.0.1;id', 'fe80::1%a b', 'h1', '',
                     '1' * 5000):
            self.assertEqual(netcat.parse('address %s\n' % text)[0], '127.0.0.1')
        self.assertEqual(netcat.parse('address fe80::1%eth0\n')[0], 'fe80::1%eth0')
        for text, is_good in (('h1.example.org', True), ('-e', False), ('a b', False),
                              ('a;b', False), ('*', False)):
            self.assertEqual(netcat.is_name(text), is_good)

    def test_the_ones_that_are_installed(self):
        for name, dialect in (('nc.openbsd', 'openbsd'), ('nc.traditional', 'traditional'),
                              ('ncat', 'ncat')):
            if shutil.which(name):
                done = subprocess.run([name, '-h'], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                self.assertEqual(netcat.recognised(name, done.stdout.decode()).dialect, dialect)


if __name__ == '__main__':
    unittest.main()
