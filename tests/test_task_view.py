"""Messages about hosts at the end of a run."""

import unittest

from lwt.commands.task_monitor import Troubles

ENDLESS = 'answer too long (more than 4194304 bytes)'


class WhatHindersHosts(unittest.TestCase):
    """Troubles: the last lines of a run, and its exit code."""

    def ended(self, *heard):
        """Return (the last lines, the exit code) of a run with these messages."""
        troubles = Troubles(lambda text: None)
        for words in heard:
            troubles.hear(*words)
        return list(troubles.lines()), troubles.exit_code()

    def test_hosts_with_the_same_reason_share_a_line_and_are_no_failure(self):
        self.assertEqual(self.ended(('h1', 'down'), ('h2', 'down'), ('h3', 'off')),
                         (['2 hosts still unavailable: h[1-2]: down',
                           '1 host still unavailable: h3: off'], 0))

    def test_each_host_that_passed_a_budget_has_a_line_and_the_run_fails(self):
        self.assertEqual(self.ended(('h1', ENDLESS, True), ('h2', ENDLESS, True), ('h3', 'down')),
                         (['h1: not trusted: ' + ENDLESS, 'h2: not trusted: ' + ENDLESS,
                           '1 host still unavailable: h3: down'], 3))

    def test_what_it_did_is_not_forgotten_when_it_falls_silent(self):
        self.assertEqual(self.ended(('h1', ENDLESS, True), ('h1', 'down')),
                         (['h1: not trusted: ' + ENDLESS], 3))

    def test_a_proper_answer_makes_up_for_it(self):
        self.assertEqual(self.ended(('h1', ENDLESS, True), ('h1', '')), ([], 0))
        self.assertEqual(self.ended(('h1', ENDLESS, True), ('h1', ''), ('h1', 'down')),
                         (['1 host still unavailable: h1: down'], 0))

    def test_hosts_of_which_something_else_is_said_are_left_out(self):
        troubles = Troubles(lambda text: None)
        troubles.hear('h1', 'down')
        self.assertEqual(list(troubles.lines(told={'h1'})), [])


if __name__ == '__main__':
    unittest.main()
