"""A chain without hosts: which host sends to which, as the hosts report that they are ready, and
the Cargo.
"""

import hashlib
import os
import tempfile
import unittest

from lwt import netcat
from lwt.copy import chain, manifest
from lwt.copy.common import Terms
from lwt.copy.progress import CopyProgress

NETCAT = b'address 10.0.0.1\nprogram nc\nusage: nc [-46]\n-N Shutdown the network socket\n'


class Orders(unittest.TestCase):
    """The order of the hosts."""

    def setUp(self):
        self.now = 0.0

    def chain(self, rates):
        file = tempfile.NamedTemporaryFile()
        self.addCleanup(file.close)
        file.write(b'x' * 100)
        file.flush()
        wanted = manifest.survey([file.name])
        return chain.Chain(wanted, 'there', Terms(), CopyProgress(), list(rates),
                           {name: rate for name, rate in rates.items() if rate},
                           clock=lambda: self.now)

    @staticmethod
    def ready(shared, name, addresses=None):
        member = chain.ChainMember(shared, name, addresses)
        member('stdout', NETCAT + b'ready\n')
        return member

    def feeders(self, shared):
        return [(one.name, one.feeder and one.feeder.name) for one in shared.members]

    def test_they_join_as_they_are_ready(self):
        shared = self.chain({'h1': None, 'h2': None, 'h3': None})
        for name in ('h2', 'h3', 'h1'):
            self.ready(shared, name)
        self.assertEqual(self.feeders(shared), [('h2', None), ('h3', 'h2'), ('h1', 'h3')])

    def test_a_slow_one_waits_for_the_faster_ones_but_not_for_ever(self):
        shared = self.chain({'slow': 10.0, 'h2': 100.0, 'h3': 90.0, 'new': None})
        self.ready(shared, 'slow')
        self.ready(shared, 'h3')
        self.ready(shared, 'new')
        self.assertEqual(self.feeders(shared), [('h3', None), ('new', 'h3')])
        self.now = chain.PATIENCE
        shared.admit()
        self.assertEqual(self.feeders(shared), [('h3', None), ('new', 'h3'), ('slow', 'new')])

    def test_a_host_that_fails_or_has_it_is_waited_for_no_longer(self):
        shared = self.chain({'slow': 10.0, 'h2': 100.0, 'h3': 100.0})
        gone, _slow = chain.ChainMember(shared, 'h2'), self.ready(shared, 'slow')
        shared.left(gone)
        self.assertEqual(self.feeders(shared), [])
        chain.ChainMember(shared, 'h3')('stdout', b'same\n')
        self.assertEqual(self.feeders(shared), [('slow', None)])

    def test_one_that_gets_on_keeps_its_feeder_alive(self):
        shared = self.chain({'h1': None, 'h2': None})
        first, second = self.ready(shared, 'h1'), self.ready(shared, 'h2')
        for line in (b'have 10\n', b'have 10\n', b'have 20\n'):
            second('stdout', line)
        first.close()
        self.assertEqual([first.read(99), first.read(99), first.read(99)],
                         [b'beat\n', b'beat\n', None])


    def orders(self, member):
        """Return the orders that wait for a member, as lists of words, without the master's data.
        """
        member.close()
        return [words for words in iter(lambda: (member.read(99) or b'').split(), [])]

    def linked(self, addresses):
        """Return (sender, receiver) of a chain whose receiver was ordered to listen, and the words
        of that order.
        """
        shared = self.chain({'h1': None, 'h2': None})
        first = self.ready(shared, 'h1')
        second = self.ready(shared, 'h2', addresses)
        (order,) = self.orders(second)
        self.assertEqual((order[0], second.feeder), (b'listen', first))
        self.orders(first)
        return first, second, order

    def test_SR_2_both_ends_are_told_the_same_two_tokens_and_each_link_has_its_own(self):
        """SR-2: the two ends of a link know two tokens that no other link has."""
        first, second, order = self.linked(('10.0.0.2',))
        seen = set()
        for at in range(netcat.LISTENERS):
            second('stdout', b'listen 0 5000\n')
            (feed,) = self.orders(first)
            self.assertEqual((feed[:2], feed[2:4], feed[-2:]),
                             ([b'feed', b'0'], order[1:3], [b'10.0.0.2', b'5000']))
            self.assertRegex(b' '.join(order[1:3]), rb'^[0-9a-f]{32} [0-9a-f]{32}$')
            seen.update(order[1:3])
            second('stdout', b'failed 0 stranger\n')
            if at + 1 < netcat.LISTENERS:
                (order,) = self.orders(second)
        # Then the master sends to it.
        self.assertEqual((len(seen), second.feeder), (2 * netcat.LISTENERS, None))
        self.assertFalse(first.is_suspect)

    def test_SR_13_one_listen_for_each_order(self):
        """SR-13: a member that prints `listen` repeatedly gets one connection for each order."""
        first, second, _order = self.linked(('10.0.0.2',))
        for port in range(2000, 2150):
            second('stdout', b'listen 0 %d\n' % port)
        self.assertEqual(len(self.orders(first)), 1)
        for _number in range(150):
            second('stdout', b'got 0\nlisten 0 2000\nfailed 0 stranger\n')
        self.assertLessEqual(len(self.orders(first)), netcat.LISTENERS - 1)
        first('stdout', b'listen 0 2000\ngot 0\n')  # the first one never had an order to listen
        self.assertEqual((self.orders(first), self.orders(second)), ([], []))

    def test_SR_13_who_fed_a_member_is_who_sent_it_something(self):
        """SR-13: the host that is named when wrong bytes arrived; it then sends to no other host.
        """
        for lines, fed_by in ((b'listen 0 5000\ngot 100\n', ['h1']),
                              (b'listen 0 5000\ngot 50\n', ['h1']),
                              (b'listen 0 5000\nfailed 0 stranger\n', []), (b'got 100\n', []),
                              (b'listen 0 22\ngot 100\n', [])):
            with self.subTest(lines=lines):
                first, second, _order = self.linked(('10.0.0.2',))
                second('stdout', lines)
                self.assertEqual(second.fed_by, fed_by)
                self.assertEqual(first.fed_by, [])
        first._chain.suspect(['h1'])
        self.assertFalse(first.can_feed)

    def test_SR_13_others_connect_to_the_address_that_ssh_knows(self):
        """SR-13: others connect to the address at which ssh reaches a member, not to an address
        that the member names.
        """
        for addresses, wanted in ((('192.0.2.7',), b'192.0.2.7'),
                                  (('192.0.2.7', '10.0.0.1'), b'10.0.0.1'),
                                  (('h2.example.org',), b'h2.example.org')):
            first, second, _order = self.linked(addresses)
            second('stdout', b'address 192.0.2.99\nlisten 0 5000\n')
            self.assertEqual([words[-2:] for words in self.orders(first)], [[wanted, b'5000']])

    def test_SR_13_a_port_that_cannot_be_is_not_taken(self):
        """SR-13: the port must be a number that the kernel gives to a listener."""
        for rest in (b'0 22', b'0 70000', b'0 -5', b'0 5000 x', b'0', b'-1 5000', b'0 5e3',
                     b'0 ::1', b'200 5000'):
            first, second, _order = self.linked(('10.0.0.2',))
            second('stdout', b'listen ' + rest + b'\n')
            self.assertEqual(self.orders(first), [], rest)

    def test_SR_13_a_member_that_cannot_be_reached_is_fed_by_the_master(self):
        """SR-13: a member whose name is neither an address nor a host name takes no part in links.
        """
        shared = self.chain({'h1': None, 'h2': None})
        self.ready(shared, 'h1')
        self.ready(shared, 'h2', ())
        self.assertEqual(self.feeders(shared), [('h1', None), ('h2', None)])


class Cargoes(unittest.TestCase):
    """The data that a chain passes on."""

    def test_it_is_the_same_from_every_place_on(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in ('a', 'b'):
                with open(os.path.join(directory, name), 'w') as file:
                    file.write(name * 3000)
            for paths in ([os.path.join(directory, 'a')], [directory]):
                cargo = chain.cargo(manifest.survey(paths))
                whole = b''.join(cargo.chunks(0))
                self.assertEqual((len(whole), hashlib.sha256(whole).hexdigest()),
                                 (cargo.size, cargo.words[0]))
                for at in (1, 700, cargo.size):
                    self.assertEqual(b''.join(cargo.chunks(at)), whole[at:])


if __name__ == '__main__':
    unittest.main()
