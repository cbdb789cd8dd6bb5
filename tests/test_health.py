"""The health of hosts: every step of the automaton, and the effect of failures in a row and of
flapping. No process, no clock.
"""

import os
import tempfile
import unittest

from lwt.hosts import health
from lwt.hosts.health import Health, Rules
from lwt.hosts.history import History
from lwt.remote.exit_status import Verdict

RULES = Rules(after=3, good=2, wait=10.0, longest=100.0)


def after(kinds, begun=Health('h'), every=0.0, rules=RULES):
    """Return the Health after operations that ended so, `every` seconds apart from 1000 on; and the
    time of the last one.
    """
    found, now = begun, 1000.0
    for number, kind in enumerate(kinds.split()):
        now = 1000.0 + number * every
        found = health.observe(found, kind, 'why ' + kind, now, rules, 0.5)
    return found, now


class Steps(unittest.TestCase):
    """The automaton."""

    def test_every_state_knows_every_event(self):
        self.assertEqual(set(health.STEPS),
                         {(state, event) for state in health.STATES for event in health.EVENTS})

    def test_what_operations_in_a_row_come_to(self):
        for kinds, state, failures, goods in (
                ('ok', 'ok', 0, 0), ('refused', 'doubtful', 1, 0),
                ('refused timeout', 'doubtful', 2, 0),
                ('refused ok', 'ok', 0, 0), ('timeout timeout timeout', 'out', 3, 0),
                ('lost lost lost lost', 'out', 4, 0),
                ('dns dns dns ok', 'out', 3, 1), ('dns dns dns ok lost ok', 'out', 4, 1),
                ('dns dns dns ok ok', 'ok', 0, 0),
                ('auth', 'out', 1, 0), ('hostkey', 'out', 1, 0), ('hostkey ok ok', 'ok', 0, 0),
                ('refused auth', 'out', 2, 0)):
            with self.subTest(kinds=kinds):
                found, _now = after(kinds)
                self.assertEqual((found.state, found.failures, found.goods),
                                 (state, failures, goods))

    def test_the_reason_and_the_time_are_kept(self):
        found, now = after('refused refused timeout', every=5.0)
        self.assertEqual((found.kind, found.reason, found.since, found.failed),
                         ('timeout', 'why timeout', now, now))

    def test_a_retry_is_due_later_each_time_and_never_at_the_same_time_for_all(self):
        waits = []
        for count in range(1, 7):
            found, now = after(' '.join(['refused'] * count))
            waits.append(found.retry - now)
        self.assertEqual(waits, [10.0, 20.0, 40.0, 80.0, 100.0, 100.0])
        self.assertEqual([health.observe(Health('h'), 'lost', '', 0.0, RULES, die).retry
                          for die in (0.0, 1.0)], [7.5, 12.5])

    def test_what_no_waiting_cures_is_tried_again_as_late_as_can_be(self):
        for kind in health.NEEDS_A_PERSON:
            self.assertEqual(after(kind)[0].retry, 1100.0)

    def test_tasks_that_end_badly_are_the_fault_of_a_host_where_they_end_well_elsewhere(self):
        for in_a_row, good, bad, is_suspect in ((2, 99, 0, False), (3, 2, 0, True),
                                                (3, 1, 0, False), (4, 1, 0, True),
                                                (9, 0, 0, False), (9, 0, 9, False),
                                                (3, 50, 50, False), (6, 50, 50, True),
                                                (3, 50, 10, True), (3, 50, 25, False)):
            with self.subTest(in_a_row=in_a_row, good=good, bad=bad):
                self.assertEqual(health.is_suspect(in_a_row, good, bad), is_suspect)

    def suspicion(self, ends, elsewhere, own=()):
        """Return health.suspicion of ends on a host, written as 'TASK END CODE' with ? for an open
        task.
        """
        found = []
        for text in ends:
            task, end, code = text.strip('?').split()
            found.append(health.TaskEnd(int(task), 'sim', end, int(code), '', text.endswith('?'),
                                        0.0))
        alike = {('sim',) + key: times for key, times in elsewhere.items()}
        return health.suspicion(health.own_failures(found), dict(own), alike)

    def test_UR_10_what_does_not_count_against_a_host(self):
        """UR-10: timeouts and kills of tasks, and failures that other hosts have too."""
        well = {('success', 0): 50}
        three = ['1 failed 4', '2 failed 4', '3 failed 4']
        self.assertEqual(self.suspicion(three, well), (3, 50, 0))
        for what, ends, own in (
                ('time-outs', ['1 timeout 124', '2 timeout 124', '3 timeout 124'], {}),
                ('kills', ['1 killed 143', '2 killed 143', '3 killed 143'], {}),
                ('withdrawn', ['1 withdrawn 0', '2 withdrawn 0', '3 withdrawn 0'], {}),
                ('failed elsewhere as well', three, {3: {'failed'}}),
                ('lost elsewhere', three, {1: {'lost', 'success'}}),
                ('still to be tried elsewhere', [text + '?' for text in three], {}),
                ('the same task again', ['1 failed 4', '1 failed 4', '1 failed 4'], {})):
            with self.subTest(what=what):
                self.assertIsNone(self.suspicion(ends, well, own))
        self.assertEqual(self.suspicion(three, well, {1: {'success'}, 2: {'killed'}}), (3, 50, 0))

    def test_UR_10_a_failure_that_is_seen_on_other_hosts_takes_more(self):
        """UR-10: tasks that fail in the same way everywhere do not count against a host. A host on
        which far more of them fail is blamed in the end.
        """
        for count, alike, is_suspect in (
                (3, {('success', 0): 50, ('failed', 4): 1}, False),
                (4, {('success', 0): 50, ('failed', 4): 1}, False),
                (5, {('success', 0): 50, ('failed', 4): 1}, True),
                (8, {('success', 0): 50, ('failed', 4): 25}, False),
                (3, {('success', 0): 50, ('failed', 9): 1}, True), (30, {('failed', 4): 9}, False)):
            with self.subTest(count=count, alike=alike):
                found = self.suspicion(['%d failed 4' % number for number in range(count)], alike)
                self.assertEqual(found is not None, is_suspect)

    def test_UR_10_many_tasks_that_fail_before_any_is_tried_elsewhere_count(self):
        """UR-10: otherwise a broken host could take a whole queue before the others are free."""
        well = {('success', 0): 50}
        for count, is_suspect in ((health.MOST_PENDING, False), (health.MOST_PENDING + 1, True)):
            found = self.suspicion(['%d failed 4?' % number for number in range(count)], well)
            self.assertEqual(found is not None, is_suspect)

    def test_a_suspect_comes_back_by_good_answers_after_its_time_and_stays_longer_next_time(self):
        found = health.suspect(Health('h'), 'why', 1000.0, RULES, 0.5)
        self.assertEqual((found.state, found.kind, found.reason, found.retry),
                         ('out', health.TASKS, 'why', 1080.0))
        early = health.observe(found, 'ok', '', 1070.0, RULES, 0.5)
        self.assertEqual(early, found)
        back = health.observe(health.observe(found, 'ok', '', 1081.0, RULES, 0.5), 'ok', '', 1092.0,
                              RULES, 0.5)
        self.assertEqual((back.state, back.since), ('ok', 1092.0))
        again = health.suspect(back, 'why', 1100.0, RULES._replace(longest=1e9), 0.5)
        self.assertGreater(again.retry - 1100.0, found.retry - 1000.0)
        self.assertEqual(health.suspect(Health('h', 'held', reason='mine'), 'why', 0.0, RULES,
                                        0.5).reason, 'mine')
        self.assertEqual(health.release(found, 1001.0), Health('h', since=1001.0))

    def test_a_suspect_stays_one_while_it_cannot_be_reached(self):
        """Successful answers after a connection failure do not bring it back before its time is
        over.
        """
        suspect = health.suspect(Health('h'), 'why', 1000.0, RULES, 0.5)
        for kind in ('lost', 'timeout', 'auth'):
            with self.subTest(kind=kind):
                found = health.observe(suspect, kind, 'gone', 1001.0, RULES, 0.5)
                self.assertEqual((found.kind, found.reason, found.failures),
                                 (health.TASKS, 'why', 1))
                self.assertGreaterEqual(found.retry, suspect.retry)
                for now in (1002.0, 1003.0, 1004.0):
                    found = health.observe(found, 'ok', '', now, RULES, 0.5)
                self.assertEqual(found.state, 'out')
        late = health.observe(suspect, 'lost', 'gone', suspect.retry + 1, RULES, 0.5)
        self.assertEqual((late.kind, late.reason), ('lost', 'gone'))

    def test_N_10_a_host_that_flaps_settles_in_quarantine_and_an_occasional_failure_is_forgiven(
            self):
        flapping = ' '.join(['lost ok'] * 20)
        states = [after(flapping[:end], every=3.0)[0].state for end in range(7, len(flapping), 8)]
        self.assertIn('out', states)
        found, _now = after('lost ok lost ok lost ok lost ok ok lost', every=3.0)
        self.assertEqual(found.state, 'out')
        seldom, _now = after(flapping, every=1000.0)
        self.assertEqual(seldom.state, 'ok')

    def test_what_a_person_says_stands_until_a_person_takes_it_back(self):
        held = health.hold(Health('h'), 'new disk', 5.0)
        self.assertEqual((held.state, held.reason, held.since), ('held', 'new disk', 5.0))
        for kinds in ('ok ok ok', 'lost lost lost lost', 'hostkey'):
            self.assertEqual(after(kinds, held)[0], held)
        self.assertEqual(health.release(held, 9.0), Health('h', since=9.0))
        self.assertEqual(health.release(after('lost lost lost')[0], 9.0), Health('h', since=9.0))

    def test_when_a_host_is_asked_again(self):
        found, now = after('lost ' * 5)
        self.assertEqual([after('lost')[0].is_due(1000 + later, True) for later in (4.9, 5)],
                         [False, True])
        for later, is_busy, due in ((0, False, False), (59, True, False), (60, True, True),
                                    (99, False, False),
                                    (100, False, True)):
            with self.subTest(later=later, is_busy=is_busy):
                self.assertIs(found.is_due(now + later, is_busy), due)
        held = health.hold(found, '', now)
        self.assertEqual((held.is_due(now + 1e6, False), held.is_due(now, True)), (False, True))
        self.assertEqual([one.takes_tasks for one in (Health('h'), after('lost')[0], found, held)],
                         [True, True, False, False])

    def test_what_of_a_host_counts_and_as_what(self):
        for verdict, kind in (
                (Verdict('ok', 0), 'ok'), (Verdict('failed', 7, 'exit code 7'), 'ok'),
                (Verdict('sudo', 1), 'ok'),
                (Verdict('failed', 1, 'home ~: no such directory', 'no'), 'ok'),
                (Verdict('failed', 127, 'cannot run', 'no'), ''),
                (Verdict('refused', 255, ran='no'), 'refused'),
                (Verdict('timeout', 255, ran='maybe'), 'timeout'),
                (Verdict('timeout', 124, 'timed out after 3 s'), 'ok'),
                (Verdict('timeout', 124, 'stalled: no byte'), 'timeout'),
                (Verdict('lost', 255, ran='maybe'), 'lost'),
                (Verdict('hostkey', 255, ran='no'), 'hostkey'),
                (Verdict('killed', 130), '')):
            with self.subTest(verdict=verdict):
                self.assertEqual(health.counts(verdict), kind)


class Stored(unittest.TestCase):
    """The health of hosts in the database."""

    def test_a_database_of_an_earlier_version_is_read(self):
        with tempfile.TemporaryDirectory() as folder, \
                History(os.path.join(folder, 'state.db')) as history:
            history.change_health('h', lambda before: before._replace(state='well', reason='x'))
            self.assertEqual(history.health(), {'h': Health('h', 'ok', reason='x')})
            history.change_health('h', lambda before: health.observe(
                before, 'refused', 'y', 1.0, RULES, 0.5))
            self.assertEqual(history.health()['h'].state, 'doubtful')


if __name__ == '__main__':
    unittest.main()
