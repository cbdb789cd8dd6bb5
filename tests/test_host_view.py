"""The tables of hosts: titles with units, alignment and colours."""

import unittest
from unittest import mock

from lwt.commands import host_view, stat
from lwt.hosts.load import Look
from lwt.hosts.probe import Probed
from lwt.hosts.sample import Sample, Use
from lwt.remote.exit_status import Verdict

OK = Verdict('ok', 0)
DOWN = Verdict('refused', 255, 'unreachable (connection refused)', 'no')
LOAD = Sample(cores=16, load=12.25, memory=64 * 1024 ** 2, free_memory=2 * 1024 ** 2,
              free_disk=1500000, tasks=3, cpu=1201, own_cpu=7, users=(Use('ann', 1100, 0, 2),))
IDLE = Sample(cores=2, load=0.0, memory=1024 ** 2, free_memory=None, free_disk=10 ** 8, tasks=0,
              cpu=0, own_cpu=0)


class Tables(unittest.TestCase):
    """What `lwt monitor`, `lwt probe` and `lwt stat` print."""

    def test_the_load_of_hosts_has_units_and_numbers_to_the_right(self):
        looks = [Look('idle-host', OK, IDLE), Look('h1', OK, LOAD), Look('h2', DOWN)]
        self.assertEqual(host_view.monitor_table(looks, {}), [
            'HOST       CPU %  OWN %  CORES  LOAD  MEM GB  FREE GB  DISK GB  TASKS  TOP USER',
            'h1          1201      7     16  12.2    68.7      2.1      1.5      3  ann 1100%',
            'idle-host      0      0      2   0.0     1.1        -    102.4      0',
            'h2         unreachable (connection refused)'])

    def test_a_probe_has_units_and_numbers_to_the_right(self):
        found = [Probed('slow', OK, 1.5, 12345, 1e6, -3, load=IDLE, netcat=('openbsd', 'nc')),
                 Probed('h2', DOWN),
                 Probed('fast', OK, 0.25, 1.2e8, 98765432.0, 0, load=LOAD,
                        python=('3.11.2', '/usr/bin/python3'))]
        self.assertEqual(host_view.probe_table(found, {}), [
            'HOST  HELLO s  PUT MB/s  GET MB/s  CORES  FREE GB  DISK GB  CLOCK s  PYTHON  NETCAT',
            'fast     0.25    120.00     98.77     16      2.1      1.5        0  3.11.2  none',
            'slow     1.50      0.01      1.00      2        -    102.4       -3  none    openbsd',
            'h2    unreachable (connection refused)'])

    def test_the_statistics_of_hosts_have_units_and_numbers_to_the_right(self):
        rows = [('h1', host_view.STATES['ok'], 99.5, 200, 1, 12, 340, 2, 0.25, 12345, None),
                ('h22', host_view.STATES['out'], None, 0, 0, None, None, None, None, None, None)]
        self.assertEqual(stat.host_table(rows, {}), [
            'HOST  STATE        UP %  OPS  FAILED  CPU %  MEAN CPU %  TASKS  HELLO s  PUT MB/s  '
            'GET MB/s',
            'h1    ok           99.5  200       1     12         340      2     0.25     12.35'
            '         -',
            'h22   quarantined     -    0       0      -           -      -        -         -'
            '         -'])

    def test_colours_are_for_a_terminal_that_wants_them(self):
        looks = [Look('h1', OK, LOAD), Look('h2', DOWN)]
        with mock.patch('os.isatty', return_value=True):
            lines = host_view.monitor_table(looks, {})
            self.assertEqual(lines[2], '\033[31mh2    unreachable (connection refused)\033[0m')
            self.assertTrue(lines[1].startswith('\033[33mh1 '), lines)
            for environ in ({'NO_COLOR': '1'}, {'TERM': 'dumb'}):
                self.assertNotIn('\033', ''.join(host_view.monitor_table(looks, environ)))
        self.assertNotIn('\033', ''.join(host_view.monitor_table(looks, {})))


if __name__ == '__main__':
    unittest.main()
