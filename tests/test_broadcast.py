"""A chain without any host: who feeds whom, as the hosts say that they are ready, and what a Cargo is."""

import hashlib
import os
import tempfile
import unittest

from lwt import broadcast, manifest, transfer

NETCAT = b'address 10.0.0.1\nprogram nc\nusage: nc [-46]\n-N Shutdown the network socket\n'


class Orders(unittest.TestCase):
    """The order in which hosts stand."""

    def setUp(self):
        self.now = 0.0

    def chain(self, rates):
        file = tempfile.NamedTemporaryFile()
        self.addCleanup(file.close)
        file.write(b'x' * 100)
        file.flush()
        wanted = manifest.survey([file.name])
        return broadcast.Chain(wanted, 'there', transfer.Terms(), transfer.Tally(), list(rates),
                               {name: rate for name, rate in rates.items() if rate}, clock=lambda: self.now)

    @staticmethod
    def ready(chain, name):
        member = broadcast.Member(chain, name)
        member('stdout', NETCAT + b'ready\n')
        return member

    def feeders(self, chain):
        return [(one.name, one.feeder and one.feeder.name) for one in chain.members]

    def test_they_join_as_they_are_ready(self):
        chain = self.chain({'h1': None, 'h2': None, 'h3': None})
        for name in ('h2', 'h3', 'h1'):
            self.ready(chain, name)
        self.assertEqual(self.feeders(chain), [('h2', None), ('h3', 'h2'), ('h1', 'h3')])

    def test_a_slow_one_waits_for_the_faster_ones_but_not_for_ever(self):
        chain = self.chain({'slow': 10.0, 'h2': 100.0, 'h3': 90.0, 'new': None})
        self.ready(chain, 'slow')
        self.ready(chain, 'h3')
        self.ready(chain, 'new')
        self.assertEqual(self.feeders(chain), [('h3', None), ('new', 'h3')])
        self.now = broadcast.PATIENCE
        chain.admit()
        self.assertEqual(self.feeders(chain), [('h3', None), ('new', 'h3'), ('slow', 'new')])

    def test_a_host_that_fails_or_has_it_is_waited_for_no_longer(self):
        chain = self.chain({'slow': 10.0, 'h2': 100.0, 'h3': 100.0})
        gone, _slow = broadcast.Member(chain, 'h2'), self.ready(chain, 'slow')
        chain.left(gone)
        self.assertEqual(self.feeders(chain), [])
        broadcast.Member(chain, 'h3')('stdout', b'same\n')
        self.assertEqual(self.feeders(chain), [('slow', None)])

    def test_one_that_gets_on_keeps_its_feeder_alive(self):
        chain = self.chain({'h1': None, 'h2': None})
        first, second = self.ready(chain, 'h1'), self.ready(chain, 'h2')
        for line in (b'have 10\n', b'have 10\n', b'have 20\n'):
            second('stdout', line)
        first.close()
        self.assertEqual([first.read(99), first.read(99), first.read(99)], [b'beat\n', b'beat\n', None])


class Cargoes(unittest.TestCase):
    """What goes along."""

    def test_it_is_the_same_from_every_place_on(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in ('a', 'b'):
                with open(os.path.join(directory, name), 'w') as file:
                    file.write(name * 3000)
            for paths in ([os.path.join(directory, 'a')], [directory]):
                cargo = broadcast.cargo(manifest.survey(paths))
                whole = b''.join(cargo.chunks(0))
                self.assertEqual((len(whole), hashlib.sha256(whole).hexdigest()), (cargo.size, cargo.words[0]))
                for at in (1, 700, cargo.size):
                    self.assertEqual(b''.join(cargo.chunks(at)), whole[at:])


if __name__ == '__main__':
    unittest.main()
