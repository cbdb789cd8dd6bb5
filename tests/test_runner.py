"""The test runner: its counts, classes that die or hang, and limits on what tests write."""

import contextlib
import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from tests import __main__ as runner
from tests import disk, lab
from tests.support import MARK, ROOT, LeakCheckedTestCase, marked, wait_for


class Samples:
    """Classes of tests that end in every way; unittest does not find them inside this class."""

    class Plain(unittest.TestCase):
        def test_passes(self):
            pass

        def test_fails(self):
            self.fail()

        def test_is_skipped(self):
            self.skipTest('no')

        @unittest.expectedFailure
        def test_fails_as_expected(self):
            self.fail()

        @unittest.expectedFailure
        def test_passes_unexpectedly(self):
            pass

    class Subtests(unittest.TestCase):
        def test_skips_many(self):
            for number in range(5):
                with self.subTest(number=number):
                    self.skipTest('no')

        def test_skips_some(self):
            for number in range(5):
                with self.subTest(number=number):
                    if number:
                        self.skipTest('no')

        def test_fails_many(self):
            for number in range(5):
                with self.subTest(number=number):
                    self.fail()

        def test_passes(self):
            with self.subTest(number=1):
                pass

    class NotSetUp(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            raise RuntimeError('no')

        test_one = test_two = test_three = lambda self: None

    class SkippedAsAWhole(NotSetUp):
        @classmethod
        def setUpClass(cls):
            raise unittest.SkipTest('no')

    class NotTakenDown(unittest.TestCase):
        @classmethod
        def tearDownClass(cls):
            raise RuntimeError('no')

        test_one = test_two = lambda self: None

    class TearDownFails(unittest.TestCase):
        def tearDown(self):
            self.fail()

        def test_fails_twice(self):
            self.fail()

        def test_passes(self):
            pass


class Counts(unittest.TestCase):
    """The last line: each test counts once, and no number is negative."""

    def counts(self, *kinds):
        load = unittest.defaultTestLoader.loadTestsFromTestCase
        tests = [test for kind in kinds for test in load(kind)]
        text_runner = unittest.TextTestRunner(stream=io.StringIO(), resultclass=runner.Result)
        result = text_runner.run(unittest.TestSuite(tests))
        return result.counts([test.id() for test in tests])

    def test_each_way_to_end(self):
        for kind, counts in (
                (Samples.Plain, (2, 2, 1)), (Samples.Subtests, (2, 1, 1)),
                (Samples.NotSetUp, (0, 3, 0)), (Samples.SkippedAsAWhole, (0, 0, 3)),
                (Samples.NotTakenDown, (2, 1, 0)), (Samples.TearDownFails, (0, 2, 0))):
            with self.subTest(kind=kind.__name__):
                self.assertEqual(self.counts(kind), counts)

    def test_classes_do_not_change_what_others_count(self):
        kinds = Samples.NotSetUp, Samples.Subtests, Samples.SkippedAsAWhole, Samples.Plain
        self.assertEqual(self.counts(*kinds), (4, 6, 5))


class Classes(LeakCheckedTestCase):
    """A class in its own process, simulated by a shell."""

    def run_script(self, script, timeout=60.0, size=3):
        """Run a class of so many tests; return (counts, the printed output)."""
        with mock.patch.dict(os.environ, {MARK: self.mark}):
            run = runner.ClassRun('tests.test_x.Played.', size,
                                  command=['sh', '-c', script], timeout=timeout)
        self.assertTrue(wait_for(run.has_ended, 90))
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            counts = run.report()
        return counts, printed.getvalue()

    def test_one_that_is_well_is_a_line_and_its_skipped_tests(self):
        counts, printed = self.run_script(
            'echo noise; echo "skipped: x: no"; echo 2 passed, 0 failed, 1 skipped')
        self.assertEqual(counts, (2, 0, 1))
        self.assertRegex(printed, r'^tests.test_x.Played. +2 passed +\d+\.\d s\nskipped: x: no\n$')

    def test_one_that_dies_fails_with_its_name(self):
        for script in ('exit 1', 'exit 0', 'kill -KILL $$', 'echo partial; kill -SEGV $$'):
            with self.subTest(script=script):
                counts, printed = self.run_script(script)
                self.assertEqual(counts, (0, 3, 0))
                self.assertIn('tests.test_x.Played. did not report its results', printed)

    def test_one_that_hangs_fails_and_is_ended_with_all_that_it_started(self):
        script = 'trap "" TERM USR1; setsid sleep 9941 & (sleep 9942 &); exec sleep 9943'
        counts, printed = self.run_script(script, 0.5)
        self.assertEqual(counts, (0, 3, 0))
        self.assertIn('not over after 0.5 s', printed)
        self.assertEqual(marked(self.mark), {})

    def test_one_that_leaves_a_process_fails_and_the_process_is_ended(self):
        counts, printed = self.run_script(
            'setsid env -i sleep 9944 & echo 3 passed, 0 failed, 0 skipped')
        self.assertEqual(counts, (3, 1, 0))
        self.assertIn('left a process, which was killed: sleep 9944', printed)

    def test_an_interrupt_ends_it_with_all_that_it_started(self):
        for signum in (signal.SIGINT, signal.SIGTERM):
            script = 'setsid sleep 9945 & sleep 9946; :'
            popen = subprocess.Popen(
                [sys.executable, '-m', 'tests.supervise', '60', 'sh', '-c', script], cwd=ROOT,
                env=dict(os.environ, **{MARK: self.mark}), stdout=subprocess.DEVNULL)
            wanted = {'sleep 9945', 'sleep 9946'}
            self.assertTrue(wait_for(lambda: wanted <= set(marked(self.mark).values())))
            popen.send_signal(signum)
            self.assertEqual(popen.wait(60), 1)
            self.assertEqual(marked(self.mark), {})


class Bounds(unittest.TestCase):
    """Limits on what the tests write."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix='lwt-test.')
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name

    def test_no_file_grows_beyond_the_limit(self):
        path = os.path.join(self.scratch, 'file')
        code = ('from tests import disk; import os, resource; disk.limit_files(); '
                'os.truncate(os.open(%r, os.O_WRONLY | os.O_CREAT), disk.FILE_LIMIT + 1)' % path)
        done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, stderr=subprocess.PIPE)
        self.assertIn(b'File too large', done.stderr)
        self.assertLessEqual(resource.getrlimit(resource.RLIMIT_FSIZE)[0], disk.FILE_LIMIT)

    def test_the_size_of_all_files_is_looked_at(self):
        os.makedirs(os.path.join(self.scratch, 'a', 'b'))
        budget = disk.Budget((self.scratch, os.path.join(self.scratch, 'gone')), 300000, 0.0)
        self.assertEqual(budget.problem(), '')
        with open(os.path.join(self.scratch, 'a', 'b', 'file'), 'wb') as file:
            file.write(os.urandom(400000))
        self.assertIn('the tests have written', budget.problem())

    def test_a_full_disk_of_a_host_is_small_and_never_the_one_of_this_machine(self):
        if lab.why_not_root_lab():
            self.skipTest('namespaces: ' + lab.why_not_root_lab())
        with lab.Lab(1) as one, mock.patch.dict(os.environ, HOME=self.scratch):
            one.full_disk('h1')
            printed = one.inside('h1', 'sh', '-c', 'echo "$HOME"; ls')
            self.assertEqual(printed.split(), [lab.ROOT_HOME, 'filler'])
        self.assertEqual(os.listdir(self.scratch), [])


if __name__ == '__main__':
    unittest.main()
