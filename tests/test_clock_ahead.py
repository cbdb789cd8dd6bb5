"""The clock of this machine was ahead for a while: nothing waits for years because of that."""

import os
import sqlite3
import time
import unittest

from lwt.hosts import clocks, health
from lwt.hosts.health import Health, Rules
from lwt.tasks.store import Store
from tests.support import ProgramTestCase

YEAR = 365 * 86400.0
RULES = Rules(after=3, good=2, wait=10.0, longest=100.0)


class Times(unittest.TestCase):
    """Stored times are compared in one place."""

    def test_SR_16_a_time_beyond_the_longest_delay_is_due(self):
        """SR-16: due times before, within and beyond the longest delay."""
        for due, is_due in ((900, True), (1000, True), (1001, False), (1100, False), (1101, True)):
            self.assertIs(clocks.is_due(due, 1000.0, 100.0), is_due, due)

    def test_SR_16_a_host_that_failed_while_the_clock_was_ahead_is_asked_again(self):
        """SR-16: every kind of failure, one to six times, seen a year ahead."""
        for kind in ('refused', 'lost', 'auth', health.TASKS):
            found = Health('h')
            for _each in range(6):
                if kind == health.TASKS:
                    found = health.suspect(found, 'why', 1000 + YEAR, RULES, 1.0)
                else:
                    found = health.observe(found, kind, 'why', 1000 + YEAR, RULES, 1.0)
                for is_busy in (False, True):
                    self.assertTrue(found.is_due(1000.0, is_busy, RULES), found)
                self.assertFalse(found.is_due(1000.0 + YEAR, False, RULES), found)

    def test_SR_16_a_host_blamed_while_the_clock_was_ahead_comes_back_by_good_answers(self):
        """SR-16: quarantine for failing tasks: successful answers count only after its time."""
        found = health.suspect(Health('h'), 'why', 1000 + YEAR, RULES, 1.0)
        for now in (1000.0, 1020.0):
            found = health.observe(found, 'ok', '', now, RULES, 1.0)
        self.assertEqual(found.state, 'ok')

    def test_SR_16_a_good_answer_while_the_clock_was_ahead_delays_nothing(self):
        """SR-16: the retry that follows a successful answer is a year ahead."""
        found = Health('h', 'out', kind='refused', failed=900.0, retry=950.0)
        found = health.observe(found, 'ok', '', 1000 + YEAR, RULES, 1.0)
        self.assertTrue(found.is_due(1000.0, False, RULES), found)


class Stored(ProgramTestCase):
    """Times in state.db that are a year ahead."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', self.home)])
        self.assertEqual(self.lwt('task', 'add', 'sample').code, 0)

    def rows(self, sql):
        database = sqlite3.connect(self.path('.lwt', 'state.db'))
        try:
            return database.execute(sql).fetchall()
        finally:
            database.close()

    def test_SR_16_a_host_in_quarantine_for_a_year_is_used(self):
        """SR-16: health.retry, failed and since are a year ahead."""
        ahead = time.time() + YEAR
        self.change_state(
            "INSERT INTO health VALUES ('localhost', 'out', 3, 0, 3, 'refused', 'why', %r, %r, %r)"
            % (ahead, ahead, ahead + 15)
        )
        done = self.lwt('hosts', '--why', 'localhost')
        self.assertIn('next attempt: now', done.out)
        done = self.lwt('exec', '-a', '--', 'echo ran')
        self.assertEqual((done.code, done.out), (0, 'ran\n'), done)

    def test_SR_16_what_is_kept_for_days_is_kept_no_longer(self):
        """SR-16: tasks, records on hosts, probes and statistics from a year ahead are removed."""
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertTrue(os.listdir(os.path.join(self.home, '.lwt', 't')))
        self.change_state(
            'UPDATE task SET ended = ended + %r' % YEAR,
            'UPDATE leftover SET due = due + %r' % YEAR,
            'UPDATE sample SET time = time + %r' % YEAR,
            "INSERT INTO probe VALUES ('localhost', %r, '{}')" % (time.time() + YEAR),
            "INSERT INTO ending VALUES ('localhost', %d, 'ok', 1)" % ((time.time() + YEAR) // 3600),
            "INSERT INTO usage VALUES ('localhost', %d, '', 1, 0, 0)"
            % ((time.time() + YEAR) // 3600),
        )
        self.assertEqual(self.lwt('task', 'update').code, 0)
        now = time.time() + 1
        for table, column, most in (
            ('task', 'ended', now),
            ('leftover', 'due', now + 7 * 86400),
            ('sample', 'time', now),
            ('probe', 'time', now),
            ('ending', 'hour', now // 3600),
            ('usage', 'hour', now // 3600),
        ):
            with self.subTest(table=table):
                found = self.rows('SELECT max(%s) FROM %s' % (column, table))[0][0]
                self.assertLessEqual(found or 0, most)
        self.assertEqual(self.lwt('--set', 'keep=0', 'task', 'update').code, 0)
        self.assertEqual(self.lwt('--set', 'keep=0', 'task', 'update').code, 0)
        self.assertEqual(self.lwt('task', 'show', '--json').out, '')
        self.assertEqual(os.listdir(os.path.join(self.home, '.lwt', 't')), [])

    def test_SR_16_a_task_that_started_in_the_future_reserves_nothing(self):
        """SR-16: task.started is a year ahead; its memory is not reserved for a year."""
        self.describe('one', 'exec : true\nmemory : 1\n')
        with Store(self.path('.lwt', 'state.db')) as store:
            from lwt.hosts.capacity import FreeSlots
            from lwt.hosts.sample import Sample
            from lwt.tasks.placement import SlotsLeft

            task = store.all()[0]
            task = task._replace(desc=task.desc._replace(memory=10), started=1000 + YEAR)
            load = Sample(free_memory=15)
            for now, has_room in ((1000.0, True), (1000.0 + YEAR, False), (1014.0 + YEAR, False)):
                left = SlotsLeft(FreeSlots(4), load, [task], now, 0)
                self.assertIs(left.has(task.desc), has_room, now)

    def test_SR_16_attempts_in_the_future_blame_no_host(self):
        """SR-16: attempts from a year ahead do not count as recent."""
        with Store(self.path('.lwt', 'state.db')) as store:
            now = time.time()
            for number, started in ((1, now + YEAR), (2, now - 1)):
                store._db.execute(
                    "INSERT INTO attempt VALUES (1, ?, 'h1', ?, ?, 'failed', 1, '', 1, 1, 0)",
                    (number, started, started + 1),
                )
            self.assertEqual(len(store.last_ends('h1', now - 3600)), 1)
            self.assertEqual(
                store.ends_elsewhere('h2', {1}, {'sample'}, now - 3600)[1],
                {('sample', 'failed', 1): 1},
            )

    def test_SR_16_the_last_pass_in_the_future_is_said(self):
        """SR-16: the time of cron.log is a year ahead."""
        self.write('bin/crontab', '#!/bin/sh\ncat "$0.table" 2>/dev/null\n', 0o755)
        self.env['PATH'] = self.path('bin') + ':' + self.env['PATH']
        self.write('.lwt/cron.log', '')
        os.utime(self.path('.lwt', 'cron.log'), (time.time() + YEAR,) * 2)
        self.write('bin/crontab.table', '*/5 * * * * x # lwt cron %s\n' % self.scratch)
        done = self.lwt('cron', 'show')
        self.assertIn('is in the future', done.err)

    def test_SR_16_a_lock_that_was_taken_in_the_future_has_an_age(self):
        """SR-16: the clock went back after a pass took its lock; its process has an age."""
        from lwt.commands import cron_log
        from lwt.workspace.layout import Workspace

        place = Workspace(self.scratch)
        lock = place.lock('host.h1')
        self.assertTrue(lock.take())
        try:
            os.utime(self.path('.lwt', 'lock', 'host.h1'), (time.time() + YEAR,) * 2)
            self.assertEqual(len(list(cron_log.overdue(place, ['h1'], 0.001))), 1)
            self.assertEqual(list(cron_log.overdue(place, ['h1'], 1e6)), [])
        finally:
            lock.release()


if __name__ == '__main__':
    unittest.main()
