"""Several names of one machine in host.list: its slots are counted once."""

import json
import re
import unittest

from lwt.hosts import health_log, sample
from lwt.workspace.hostlist import Host
from tests import lab
from tests.support import ProgramTestCase

# Prints how many tasks run at the same time, including itself.
COUNTING = 'exec : touch {0}/$LWT_TASK; sleep 0.5; ls {0} | wc -l; sleep 0.5; rm {0}/$LWT_TASK\n'


class Names(unittest.TestCase):
    """What identifies a machine."""

    def test_FR_35_what_a_host_tells_is_taken_within_bounds(self):
        """FR-35: one line of text, cut, or nothing."""
        for line, machine in (('machine a b', 'a b'), ('machine ' + 'x' * 900, 'x' * 400),
                              ('machine \\x1b[m', '\\x1b[m'), ('machine a\x1bb', ''),
                              ('sample cores=2', '')):
            self.assertEqual(sample.parse([line]).machine, machine)
        old = {key: value for key,
               value in sample.to_json(sample.Sample()).items() if key != 'machine'}
        self.assertEqual(sample.from_json(old), sample.Sample())        # from an earlier version

    def test_FR_35_homes_on_this_machine_that_are_listed_on_purpose_are_different_machines(self):
        """FR-35: hosts of the category local with different homes."""
        told = sample.Sample(machine='m')
        for host, machine in ((Host('a', 'local', '~'), 'm'), (Host('b', 'local', '~/b'), 'm ~/b'),
                              (Host('c', 'x', '~/c'), 'm')):
            self.assertEqual(sample.at(host, told).machine, machine)
        self.assertEqual(sample.at(Host('b', 'local', '~/b'), sample.Sample()).machine, '')

    def test_FR_35_names_are_grouped_by_machine(self):
        """FR-35: a host that did not report its identity has no twin."""
        self.assertEqual(health_log.twins({'b': 'm', 'a': 'm', 'c': 'n', 'd': '', 'e': ''}),
                         [['a', 'b']])


class Tasks(ProgramTestCase):
    """Tasks on a machine with several names."""

    def most_at_once(self, count):
        """Run tasks; return the maximum number that ran at the same time."""
        self.write('running/.keep', '')
        self.describe('many', COUNTING.format(self.path('running')))
        self.lwt('task', 'add', 'many', '--array', '1-%d' % count)
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 0, done)
        printed = [self.lwt('task', 'log', str(number)).out for number in range(1, count + 1)]
        return max(map(int, printed))

    def test_FR_35_two_names_of_this_machine_share_its_slots(self):
        """FR-35: hosts of the category local with one home; probe and `task why` say so."""
        self.make_workspace([(name, 'local', '~', 'slots=2') for name in ('a', 'b', 'c')])
        done = self.lwt('probe')
        self.assertIn('lwt: a b c: same machine; slots are counted once', done.err)
        self.assertEqual(self.most_at_once(8), 2)
        self.describe('slow', 'exec : sleep 60\n')
        self.lwt('task', 'add', 'slow', '--array', '1-3')
        self.lwt('task', 'update')
        done = self.lwt('task', 'why', '11')
        self.assertRegex(done.out,
                         '(?m)^a,b,c +2 of its 2 slots are taken, .*; a,b,c are one machine, '
                         'whose slots are counted once$')
        self.lwt('task', 'kill', '9', '10', '11')

    def test_FR_35_homes_of_their_own_have_slots_of_their_own(self):
        """FR-35: on this machine, hosts with different homes count as different."""
        for name in ('a', 'b'):
            self.write('home/%s/.keep' % name, '')
        self.make_workspace([(name, 'local', '~/' + name, 'slots=2') for name in ('a', 'b')])
        self.assertNotIn('same machine', self.lwt('probe').err)
        self.assertEqual(self.most_at_once(8), 4)

    def test_FR_35_two_names_of_a_host_are_recognised(self):
        """FR-35: an alias in ssh_config, with a home of its own; other hosts are not affected."""
        reason = lab.why_not_sshd()
        if reason:
            self.skipTest(reason)
        with lab.LoopbackLab(2) as two:
            with open(two.ssh_config) as file:
                self.write('config', re.sub('Host h1\n', 'Host h1 alias\n', file.read()))
            for name in ('one', 'other'):
                self.write(name + '/.keep', '')
            self.env['LWT_SSH_CONFIG'] = self.path('config')
            self.make_workspace([('h1', 'x', self.path('one'), 'slots=2'),
                                 ('alias', 'x', self.path('other'), 'slots=2'),
                                 ('h2', 'y', self.path('one'), 'slots=2')])
            done = self.lwt('probe')
            self.assertEqual([line for line in done.err.splitlines() if 'same machine' in line],
                             ['lwt: alias h1: same machine; slots are counted once'], done)
            told = [json.loads(line) for line in self.lwt('probe', '--json').out.splitlines()]
            self.assertEqual(len({one['load']['machine'] for one in told}), 2)
            self.describe('many', COUNTING.format(self.path('running')))
            self.write('running/.keep', '')
            self.lwt('task', 'add', 'many', '--array', '1-8', '--category', 'x')
            done = self.lwt('task', 'run')
            self.assertEqual(done.code, 0, done)
            printed = [self.lwt('task', 'log', str(number)).out for number in range(1, 9)]
            self.assertEqual(max(map(int, printed)), 2)


if __name__ == '__main__':
    unittest.main()
