"""Run the tests: python3 -m tests [-v] [-j N] [--again] [NAME…].

Each class runs in its own process (tests/supervise.py), N of them in parallel, because most tests
wait for something. A NAME is a part of a test's id. With names but without -j, or with -j 1, the
tests run in this process. The last line is "N passed, N failed, N skipped".

--again is for a run as another user, on a machine where a whole run has passed: it leaves out the
classes for which the user makes no difference (any_user). -v also prints which tests took longest.
LWT_TEST_TIMES is a file to which the seconds, the processor seconds and the id of each test and
class are added.
"""

import argparse
import collections
import faulthandler
import functools
import importlib
import os
import pkgutil
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import lwt
from tests import disk, lab, supervise
from tests.lab_cases import HostsTestCase
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
        self.times.append((test.id(), time.monotonic(), cpu_seconds()))

    def stopTest(self, test):
        name, began, cpu = self.times.pop()
        self.times.append((name, time.monotonic() - began, cpu_seconds() - cpu))
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


def cpu_seconds():
    """Return the processor time of this process and of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2])
               for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


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


def use_signals():
    """Set the actions of signals."""
    # A shell starts background processes with the first two signals ignored, and nohup with the
    # third. lwt keeps a signal ignored that was ignored when it started.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Treat TERM as an interrupt, so that the started processes end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def run_here(tests, verbose):
    """Run tests in this process; return (passed, failed, skipped)."""
    use_signals()
    faulthandler.register(signal.SIGUSR1, all_threads=True)     # see `end` of tests/supervise.py
    planned = {test.id() for test in tests}
    result = unittest.TextTestRunner(verbosity=2 if verbose else 1,
                                     resultclass=Result).run(unittest.TestSuite(tests))
    for test, reason in result.skipped:
        print('skipped: %s: %s' % (test.id(), reason))
    slowest = sorted(result.times, key=lambda item: -item[1])
    for name, seconds, cpu in slowest[:20] if verbose else []:
        print('%6.1f s, %5.1f s of cpu  %s' % (seconds, cpu, name))
    if 'LWT_TEST_TIMES' in os.environ:
        with open(os.environ['LWT_TEST_TIMES'], 'a') as file:
            file.writelines('%.2f\t%.2f\t%s\n' % (seconds, cpu, name)
                            for name, seconds, cpu in slowest)
    return result.counts(planned)


def run_class(tests):
    """Run tests in this process and print their last line; return an exit code."""
    return last_line(run_here(tests, False))


def last_line(counts):
    """Print the last line of a run; return its exit code."""
    passed, failed, skipped = counts
    print('%d passed, %d failed, %d skipped' % counts)
    return 0 if passed + skipped and not failed else 1


class ClassRun:
    """A class of tests that runs in its own process.

    run(): runs the tests in that process, and returns its exit code. It is called in a fork of this
    process, which has imported all tests, or replaced by a command in the tests of this class.
    """

    def __init__(self, name, size, run=None, command=None, timeout=CLASS_TIMEOUT):
        self.name = name
        self._size = size
        self._began = time.monotonic()
        self._output = tempfile.TemporaryFile()

        def start():
            if command:
                return subprocess.Popen(command, start_new_session=True)
            return supervise.Forked(run, start_new_session=True)

        self._process = supervise.Forked(lambda: supervise.supervise(name, start, timeout),
                                         self._output)

    def has_ended(self):
        return self._process.poll() is not None

    def end(self):
        """End the process and all processes that it started."""
        self._process.terminate()
        self._process.wait()

    def report(self):
        """Print the result; return (passed, failed, skipped)."""
        self._output.seek(0)
        text = self._output.read().decode('utf-8', 'replace')
        self._output.close()
        found = LAST_LINE.findall(text)
        passed, failed, skipped = map(int, found[-1]) if found else (0, self._size, 0)
        if self._process.returncode and not failed:
            failed = 1                  # all of its tests passed, but it did not end
        seconds = time.monotonic() - self._began
        failures = ', %d failed' % failed if failed else ''
        print('%-50s %3d passed%s %7.1f s' % (self.name, passed, failures, seconds))
        for line in text.splitlines():
            if failed or line.startswith('skipped: '):
                print(line)
        if not found:
            code = self._process.returncode
            print('%s did not report its results (exit code %d)' % (self.name, code))
        sys.stdout.flush()
        return passed, failed, skipped


def prepare(tests):
    """Do here what the processes of the classes would each have to do: import lwt, and find out
    what this machine allows.
    """
    for module in pkgutil.walk_packages(lwt.__path__, 'lwt.'):
        if not module.name.endswith('__main__'):
            importlib.import_module(module.name)
    for kind in {type(test) for test in tests}:
        if issubclass(kind, HostsTestCase):
            kind.why_not()


def run_classes(tests, at_once, scratch):
    """Run the classes of tests in parallel, and report each.

    Returns (passed, failed, skipped).
    """
    classes = collections.defaultdict(list)
    for test in tests:
        classes[tests_class(test)[0]].append(test)
    prepare(tests)
    waiting, running, total = longest_first(tests), [], (0, 0, 0)
    budget = disk.Budget(scratch)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                found = classes[waiting[0]]
                running.append(ClassRun(waiting.pop(0), len(found),
                                        functools.partial(run_class, found)))
            time.sleep(0.05)
            problem = budget.problem()
            if problem:
                stopped = [run.name for run in running]
                print('%s; stopped: %s' % (problem, ' '.join(stopped)))
                missing = sum(len(classes[name]) for name in waiting + stopped)
                return total[0], total[1] + missing, total[2]
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
    use_signals()
    parser = argparse.ArgumentParser(prog='python3 -m tests', description=__doc__.split('\n')[0])
    parser.add_argument('-v', dest='verbose', action='store_true')
    parser.add_argument('-j', dest='at_once', type=int)
    parser.add_argument('--again', action='store_true')
    parser.add_argument('names', nargs='*')
    options = parser.parse_args(argv)
    disk.limit_files()
    lab.SshdLab.key_exchange = lab.QUICK_KEY_EXCHANGE
    # Without bytecode every lwt that a test starts would compile its modules again.
    os.environ.pop('PYTHONDONTWRITEBYTECODE', None)
    wanted = [test for test in find(options.names)
              if not (options.again and getattr(test, 'any_user', False))]
    at_once = options.at_once or (1 if options.names else AT_ONCE)
    if at_once == 1:
        return last_line(run_here(wanted, options.verbose))
    scratch = disk.make_scratch(os.environ)
    try:
        return last_line(run_classes(wanted, at_once, scratch))
    finally:
        disk.remove_scratch(scratch)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
