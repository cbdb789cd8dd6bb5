"""child_jobs: long work on this machine in a child, while the loop continues."""

import os
import time
import unittest
from unittest import mock

from lwt.copy import child_jobs
from lwt.errors import Cancelled, LocalError, UsageError
from lwt.flow import PROCESSORS, Sleep, running
from lwt.proc import Command
from lwt.selectors_loop import Sink
from tests import jobs
from tests.test_connections import EngineTestCase

LARGE = child_jobs.SMALL + 1


class Jobs(EngineTestCase):
    """Jobs in the real pool, with real children."""

    def setUp(self):
        super().setUp()
        child_jobs._Disk.is_slow = False

    def run_flows(self, flows, fanout=1):
        """Return the values of flows, in the order in which they end; raise the first error."""
        with running(fanout, 1.0) as run:
            self.pool = run.pool
            return run.reports(flows)

    def do(self, job, argument, size):
        """Return the value of one job."""
        return self.run_flows([child_jobs.do(job, argument, size)])[0]

    def test_what_is_small_is_done_at_once_and_what_is_large_in_a_child(self):
        value = ['é\udc80', {'a': [1, None, 2.5]}]
        for size, is_here in ((0, True), (child_jobs.SMALL, True), (LARGE, False)):
            with self.subTest(size=size):
                pid, back = self.do(jobs.process, value, size)
                self.assertEqual(back, value)
                self.assertEqual(pid == os.getpid(), is_here)

    def test_after_a_small_job_that_took_long_every_job_gets_a_child_until_one_is_quick(self):
        for seconds, size, is_here in ((child_jobs.SLOW * 2, 0, True),
                                       (child_jobs.SLOW * 2, 0, False), (0, LARGE, False),
                                       (0, 0, False), (0, 0, True)):
            with self.subTest(seconds=seconds, size=size):
                self.assertEqual(self.do(jobs.nap, seconds, size) == os.getpid(), is_here)

    def test_errors_are_the_same_in_a_child(self):
        for size in (0, LARGE):
            child_jobs._Disk.is_slow = False
            for kind, error, words in (('usage', UsageError, 'bad'), ('local', LocalError, 'disk')):
                with self.subTest(size=size, kind=kind), self.assertRaises(error) as caught:
                    self.do(jobs.fail, kind, size)
                self.assertEqual(caught.exception.message, words)
                self.assertTrue(caught.exception.hint)
            with self.assertRaises(FileNotFoundError) as caught:
                list(child_jobs.do(jobs.fail, 'os', 0))
            self.assertEqual(caught.exception.filename, '/x')

    def test_a_child_that_dies_has_crashed_with_its_last_words(self):
        for kind, word in (('exit', 'exited 7'), ('bug', 'ValueError: no such value'),
                           ('signal', 'signaled 9')):
            with self.subTest(kind=kind), self.assertRaises(child_jobs.Crashed) as caught:
                self.do(jobs.fail, kind, LARGE)
            self.assertIn(word, caught.exception.message)
        with mock.patch('sys.executable', '/nowhere'), self.assertRaises(LocalError) as caught:
            self.do(jobs.nap, 0, LARGE)
        self.assertNotIsInstance(caught.exception, child_jobs.Crashed)

    def test_SR_7_what_would_end_a_child_does_not_end_lwt(self):
        for kind, word in (('bug', 'ValueError: no such value'), ('deep', 'RecursionError'),
                           ('memory', 'MemoryError')):
            with self.subTest(kind=kind), self.assertRaises(child_jobs.Crashed) as caught:
                self.do(jobs.fail, kind, 0)
            self.assertIn(word, caught.exception.message)

    def test_no_slot_is_needed_and_no_more_run_than_there_are_processors(self):
        count = 2 * PROCESSORS + 1
        running, seen = set(), []

        def counted(number):
            def flow():
                began = time.monotonic()
                running.add(number)
                yield from child_jobs.do(jobs.nap, 0.3, LARGE)
                running.discard(number)
                seen.append(time.monotonic() - began)
            return flow()

        def holder():
            child = yield Command(('/bin/sh', '-c', 'echo; exec sleep 60'), beside='slot',
                                  sink=Begun())
            while running or not seen:
                yield Sleep(0.05)
            child.kill()

        began = time.monotonic()
        self.run_flows([holder()] + [counted(number) for number in range(count)], fanout=1)
        self.assertEqual(len(seen), count)
        self.assertGreaterEqual(time.monotonic() - began, 0.3 * (count // PROCESSORS))

    def test_heartbeats_go_on_while_a_job_takes_long(self):
        beats = os.path.join(self.scratch, 'beats')
        script = 'read -r _; while read -r _; do echo beat >>%s; done' % beats

        def heart():
            yield Command(('/bin/sh', '-c', script), lifeline=0.1, stdin=b'\n', timeout=30,
                          grace=0.1,
                          label='heart')

        def worker():
            yield from child_jobs.do(jobs.nap, 2, LARGE)
            with open(beats) as file:
                self.count = len(file.readlines())
            self.pool.stop('heart', 'over')

        self.run_flows([heart(), worker()])
        self.assertGreaterEqual(self.count, 8)

    def test_a_run_that_is_stopped_ends_the_child(self):
        def worker():
            with self.assertRaises(Cancelled):
                yield from child_jobs.do(jobs.nap, 600, LARGE)
            return 'stopped'

        def stopper():
            yield Sleep(0.5)
            self.pool.cancel()
            try:
                yield Sleep(1)
            except Cancelled:
                return 'told'

        self.assertEqual(sorted(self.run_flows([worker(), stopper()])), ['stopped', 'told'])


class Begun(Sink):
    """A sink that counts as begun with the first byte."""

    started = False

    def feed(self, _stream, _data):
        self.started = True


if __name__ == '__main__':
    unittest.main()
