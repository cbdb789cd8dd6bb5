"""How many hosts lwt logs in to at the same time: Admission, with a clock and processors of the
test.
"""

import unittest

from lwt.tasks import admission


class Machine:
    """A clock, two processors with a given number of busy ones, and a queue that finishes a given
    number of tasks each second.
    """

    def __init__(self, busy=0.0, open_=1000, pace=0.0):
        self.now, self.idle, self.busy, self.open, self.pace = 100.0, 0.0, busy, open_, pace

    def clock(self):
        """Seconds."""
        return self.now

    def cpu_times(self):
        """Return (idle, all), in ticks of 10 ms."""
        return self.idle, 200 * self.now

    def wait(self, seconds):
        """Let time pass."""
        self.now += seconds
        self.idle += 100 * seconds * (2 - self.busy)
        self.open = max(0, self.open - seconds * self.pace)

    def open_count(self):
        """Return the number of open tasks."""
        return self.open


def admitted(machine, seconds, hosts=1000):
    """Return how many logins begin within so many seconds, when every host asks repeatedly."""
    gate = admission.Admission(machine.clock, machine.cpu_times, 2, machine.open_count)
    begun = set()
    for _turn in range(int(seconds * 100) + 1):
        begun |= {number for number in range(hosts) if number not in begun and gate.admits(number)}
        machine.wait(0.01)
    return len(begun)


class Logins(unittest.TestCase):
    """Tables of logins that are admitted."""

    def test_as_many_begin_as_the_processors_have_time_for(self):
        for busy, seconds, least, most in (
                (0, 0, 4, 4), (2, 0, 4, 4),             # at first: two for each processor
                (0, 1, 28, 44),                         # idle: four at each check
                (1, 1, 12, 24),                         # one is busy: two at each check
                (2, 1, 6, 8), (2, 10, 40, 46)):  # both are busy: one for each, every half second
            with self.subTest(busy=busy, seconds=seconds):
                self.assertTrue(least <= admitted(Machine(busy), seconds) <= most,
                                admitted(Machine(busy), seconds))

    def test_where_all_is_done_soon_more_hosts_are_of_little_use(self):
        for busy, pace, seconds, least, most in (
                (2, 200, 2, 4, 4),                      # 1,000 tasks in 5 s: no more than the first
                (2, 20, 2, 8, 12),                      # in 50 s: one for each, every half second
                # With idle processors: two at each check.
                (0, 200, 1, 16, 24),
                (0.9, 200, 1, 8, 16)):                  # one of them is: one at each
            with self.subTest(busy=busy, pace=pace):
                found = admitted(Machine(busy, 1000, pace), seconds)
                self.assertTrue(least <= found <= most, found)

    def test_who_was_admitted_stays_so_and_takes_no_more_room(self):
        machine = Machine(2)
        gate = admission.Admission(machine.clock, machine.cpu_times, 2, machine.open_count)
        self.assertEqual([gate.admits(name) for name in 'aabbccddee'], [True] * 8 + [False] * 2)

    def test_a_clock_that_is_set_back_keeps_nobody_out(self):
        machine = Machine(2)
        gate = admission.Admission(machine.clock, machine.cpu_times, 1, machine.open_count)
        self.assertEqual([gate.admits(name) for name in 'abc'], [True, True, False])
        machine.now -= 50
        self.assertTrue(gate.admits('c'))

    def test_where_nobody_tells_what_the_processors_do_they_count_as_idle(self):
        machine = Machine()
        gate = admission.Admission(machine.clock, lambda: None, 1, machine.open_count)
        self.assertEqual([gate.admits(name) for name in 'abc'], [True, True, False])
        machine.wait(0.2)
        self.assertEqual([gate.admits(name) for name in 'cde'], [True, True, False])


if __name__ == '__main__':
    unittest.main()
