"""Run the tests: python3 -m tests [-v] [-j N] [NAME…]. The last line is "N passed, N failed, N
skipped".

Each class runs in its own process (tests/supervise.py), N of them in parallel, because most tests
wait for something. A NAME is a part of a test's id. With names, or with -j 1, the tests run in this
process. -v also prints which tests took longest.
"""

import argparse
import collections
import faulthandler
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from tests import disk, lab
from tests.support import ROOT, LeakCheckedTestCase

AT_ONCE = 6
CLASS_TIMEOUT = 900.0           # seconds; the slowest class takes about 140
LAST_LINE = re.compile(r'^(\d+) passed, (\d+) failed, (\d+) skipped$', re.M)


class Result(unittest.TextTestResult):
    """Records how each test ended, by its id. A subtest that fails makes its test fail."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ends = {'passed': set(), 'failed': set(), 'skipped': set(), 'subtests skipped': set()}
        self.times = []                 # (name, seconds)

    def startTest(self, test):
        super().startTest(test)
        self.times.append((test.id(), time.monotonic()))

    def stopTest(self, test):
        name, began = self.times.pop()
        self.times.append((name, time.monotonic() - began))
        super().stopTest(test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.ends['passed'].add(test.id())

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.ends['passed'].add(test.id())

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.ends['failed'].add(test.id())

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        whole = getattr(test, 'test_case', None)        # only a subtest has one
        self.ends['subtests skipped' if whole else 'skipped'].add((whole or test).id())

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.ends['failed'].add(test.id())

    def addError(self, test, err):
        super().addError(test, err)
        self.ends['failed'].add(test.id())

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        self.ends['failed' if err else 'passed'].add(test.id())

    def counts(self, planned):
        """Return (passed, failed, skipped) of the tests with the ids `planned`; each counts once.

        A test that did not begin counts like the setUpClass or setUpModule that prevented it, or as
        failed. A tearDownClass that fails counts as one more failure.
        """
        found = collections.Counter(map(self.end_of, planned))
        found['failed'] += sum(1 for name in self.ends['failed'] if name.startswith('tearDown'))
        return found['passed'], found['failed'], found['skipped']

    def end_of(self, name):
        """Return how a test ended: passed, failed or skipped."""
        for kind in ('failed', 'skipped', 'passed'):
            if name in self.ends[kind]:
                return kind
        if name in self.ends['subtests skipped']:
            return 'skipped'
        is_skipped = any(is_before(fixture, name) for fixture in self.ends['skipped'])
        return 'skipped' if is_skipped else 'failed'


def is_before(fixture, name):
    """Return whether a fixture belongs to the class or module of the test of this name.

    fixture: "setUpClass (tests.test_x.Class)" or "setUpModule (tests.test_x)".
    """
    where = fixture.partition('(')[2].rstrip(')')
    return fixture.startswith('setUp') and name.startswith(where + '.')


def cases(suite):
    """Yield the tests of a suite, one by one."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from cases(item)
        else:
            yield item


def longest_first(tests):
    """Return the names of the classes of tests: first those marked as slow, then those with
    processes, then by number of tests.
    """
    sizes = collections.Counter(tests_class(test) for test in tests)
    return [name
            for name, _slow, _processes in sorted(sizes, key=lambda kind: (kind[1:], sizes[kind]),
                                                  reverse=True)]


def tests_class(test):
    """Return (name, whether it is marked as slow, whether it has processes) of a test's class."""
    return (test.id().rsplit('.', 1)[0] + '.', getattr(test, 'slow', False),
            isinstance(test, LeakCheckedTestCase))


def run_here(tests, verbose):
    """Run tests in this process; return (passed, failed, skipped)."""
    # Treat TERM as an interrupt, so that the started processes end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    faulthandler.register(signal.SIGUSR1, all_threads=True)     # see `end` of tests/supervise.py
    planned = {test.id() for test in tests}
    result = unittest.TextTestRunner(verbosity=2 if verbose else 1,
                                     resultclass=Result).run(unittest.TestSuite(tests))
    for test, reason in result.skipped:
        print('skipped: %s: %s' % (test.id(), reason))
    if verbose:
        for name, seconds in sorted(result.times, key=lambda item: -item[1])[:20]:
            print('%6.1f s  %s' % (seconds, name))
    return result.counts(planned)


class ClassRun:
    """A class of tests that runs in its own process."""

    def __init__(self, name, size, command=None, timeout=CLASS_TIMEOUT):
        self.name = name
        self._size = size
        self._began = time.monotonic()
        self._output = tempfile.TemporaryFile()
        python = [sys.executable, '-S', '-m']   # without site, whose import is slow
        command = command or python + ['tests', '-j', '1', name]
        self._popen = subprocess.Popen(
            python + ['tests.supervise', '%g' % timeout] + command, cwd=ROOT,
            stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT)

    def has_ended(self):
        return self._popen.poll() is not None

    def end(self):
        """End the process and all processes that it started."""
        self._popen.terminate()
        self._popen.wait()

    def report(self):
        """Print the result; return (passed, failed, skipped)."""
        self._output.seek(0)
        text = self._output.read().decode('utf-8', 'replace')
        self._output.close()
        found = LAST_LINE.findall(text)
        passed, failed, skipped = map(int, found[-1]) if found else (0, self._size, 0)
        if self._popen.returncode and not failed:
            failed = 1                  # all of its tests passed, but it did not end
        seconds = time.monotonic() - self._began
        failures = ', %d failed' % failed if failed else ''
        print('%-50s %3d passed%s %7.1f s' % (self.name, passed, failures, seconds))
        for line in text.splitlines():
            if failed or line.startswith('skipped: '):
                print(line)
        if not found:
            code = self._popen.returncode
            print('%s did not report its results (exit code %d)' % (self.name, code))
        sys.stdout.flush()
        return passed, failed, skipped


def run_classes(tests, at_once, scratch):
    """Run the classes of tests in parallel, and report each.

    Returns (passed, failed, skipped).
    """
    sizes = collections.Counter(tests_class(test)[0] for test in tests)
    waiting, running, total = longest_first(tests), [], (0, 0, 0)
    budget = disk.Budget(scratch)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                name = waiting.pop(0)
                running.append(ClassRun(name, sizes[name]))
            time.sleep(0.1)
            problem = budget.problem()
            if problem:
                stopped = [run.name for run in running]
                print('%s; stopped: %s' % (problem, ' '.join(stopped)))
                return total[0], total[1] + sum(sizes[name] for name in waiting + stopped), total[2]
            for run in [run for run in running if run.has_ended()]:
                running.remove(run)
                total = tuple(map(sum, zip(total, run.report())))
    finally:
        for run in running:
            run.end()
    return total


def find(names):
    """Return the tests whose ids contain one of these names, or all tests without names."""
    loader = unittest.defaultTestLoader
    modules = [re.match(r'tests\.test_\w+(?=\.)', name) for name in names]
    if names and all(modules):          # importing all of them takes a second
        suites = loader.loadTestsFromNames(sorted({match.group() for match in modules}))
    else:
        suites = loader.discover(os.path.join(ROOT, 'tests'), top_level_dir=ROOT)
    found = cases(suites)
    return [test for test in found if not names or any(name in test.id() + '.' for name in names)]


def main(argv):
    """Run all tests, or those named; return an exit code."""
    # A shell starts background processes with the first two signals ignored, and nohup with the
    # last. lwt keeps a signal ignored that was ignored when it started.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    parser = argparse.ArgumentParser(prog='python3 -m tests', description=__doc__.split('\n')[0])
    parser.add_argument('-v', dest='verbose', action='store_true')
    parser.add_argument('-j', dest='at_once', type=int, default=AT_ONCE)
    parser.add_argument('names', nargs='*')
    options = parser.parse_args(argv)
    disk.limit_files()
    lab.SshdLab.key_exchange = lab.QUICK_KEY_EXCHANGE
    # Without bytecode every lwt that a test starts would compile its modules again.
    os.environ.pop('PYTHONDONTWRITEBYTECODE', None)
    wanted = find(options.names)
    if options.names or options.at_once == 1:
        passed, failed, skipped = run_here(wanted, options.verbose)
    else:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        scratch = disk.make_scratch(os.environ)
        try:
            passed, failed, skipped = run_classes(wanted, options.at_once, scratch)
        finally:
            disk.remove_scratch(scratch)
    print('%d passed, %d failed, %d skipped' % (passed, failed, skipped))
    return 0 if passed + skipped and not failed else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
