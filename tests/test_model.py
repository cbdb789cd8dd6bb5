"""All possible histories of one task: the search finds no violation, and finds rules that are
broken on purpose.
"""

import unittest

from lwt.tasks import model
from tests import model as automaton


class Search(unittest.TestCase):
    """The automaton of lwt/tasks/model.py on an unreliable world."""

    any_user = True

    slow = True                         # so that it is started first

    def check(self, rules):
        found = automaton.search(rules)
        self.assertEqual(found.problem, '', found.trace)
        self.assertIsNone(found.stuck)
        self.assertGreater(found.worlds, 1000)

    def test_crashes_lost_late_and_repeated_messages_and_a_user(self):
        self.check(automaton.Rules(wishes=1))

    def test_and_a_host_that_starts_anew(self):
        self.check(automaton.Rules(wishes=0, power=True))


class Broken(unittest.TestCase):
    """Broken rules: without them, a search that finds nothing would prove nothing."""

    any_user = True

    def broken(self, problem, **rules):
        found = automaton.search(automaton.Rules(**rules))
        self.assertIn(problem, found.problem)
        self.assertTrue(found.trace)

    def test_cleaning_that_forgets_that_it_ran(self):
        self.broken('is said not to have run, and has', tombstones=False)

    def test_a_runner_that_does_not_look(self):
        self.broken('started twice', claims=False)

    def test_a_withdrawal_that_ends_what_has_begun(self):
        self.broken('is said to be killed, and nobody wished it', spares=False, wishes=0)

    def test_requests_that_do_not_know_the_hosts_start(self):
        self.broken('started twice', knows_boot=False, power=True, wishes=0)

    def test_each_step_of_the_automaton_that_matters(self):
        for pair, end, problem in (
                (('launching', 'absent'), 'new', 'placed twice'),
                (('launching', 'stuck'), 'new', 'placed twice'),
                (('running', 'exited'), model.SETTLE, 'without its results'),
                (('launching', 'running'), model.SETTLE, 'is settled, and runs'),
                (('running', 'running'), model.SETTLE, 'is settled, and runs')):
            with self.subTest(pair=pair):
                self.broken(problem, table=self.table(pair, end), wishes=0)

    def test_a_state_that_nothing_leads_out_of(self):
        found = automaton.search(
            automaton.Rules(table=self.table(('running', 'exited'), 'running'), wishes=0))
        self.assertEqual((found.problem, found.stuck is None), ('', False))

    @staticmethod
    def table(pair, end):
        """Return the automaton with one other transition."""
        assert model.TRANSITIONS[pair] != end
        return {**model.TRANSITIONS, pair: end}


if __name__ == '__main__':
    unittest.main()
