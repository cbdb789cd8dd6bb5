"""Run the tests: python3 -m tests [-v] [-j N] [NAME…].  Ends with a line "N passed, N failed, N skipped".

Each class runs in a process of its own, N of them at once: most tests wait for something.  A NAME is a part of a test's
id; with names, or with -j 1, all that is asked for runs in this process.  -v also tells which tests took longest.
"""

import argparse
import collections
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time
import unittest

from tests.support import ROOT, LeakCheckedTestCase

AT_ONCE = 4
LAST_LINE = re.compile(r'^(\d+) passed, (\d+) failed, (\d+) skipped\n\Z', re.M)


class Result(unittest.TextTestResult):
    """Counts the tests that passed; a subtest that failed makes its test one that failed."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.bad = set()
        self.started = 0
        self.times = []                 # (name, seconds)

    def startTest(self, test):
        super().startTest(test)
        self.started += 1
        self.times.append((test.id(), time.monotonic()))

    def stopTest(self, test):
        name, began = self.times.pop()
        self.times.append((name, time.monotonic() - began))
        super().stopTest(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.bad.add(test.id())

    def addError(self, test, err):
        super().addError(test, err)
        self.bad.add(test.id())

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.bad.add(test.id())

    def counts(self):
        """(passed, failed, skipped).  What failed before a test began (a class that cannot be set up) was not started."""
        not_started = sum(1 for name in self.bad if name.startswith(('setUpClass', 'tearDownClass', 'setUpModule')))
        skipped_classes = sum(1 for test, _reason in self.skipped if not isinstance(test, unittest.TestCase))
        failed, skipped = len(self.bad), len(self.skipped)
        return self.started - (failed - not_started) - (skipped - skipped_classes), failed, skipped


def cases(suite):
    """The tests of a suite, one by one."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from cases(item)
        else:
            yield item


def longest_first(tests):
    """The names of the classes of tests; those that say so (slow), then those with processes, then by number of tests."""
    sizes = collections.Counter(tests_class(test) for test in tests)
    return [name for name, _slow, _processes in sorted(sizes, key=lambda kind: (kind[1:], sizes[kind]), reverse=True)]


def tests_class(test):
    """(name, does it say that it is slow, has it processes) of a test's class."""
    return (test.id().rsplit('.', 1)[0] + '.', getattr(test, 'slow', False),
            isinstance(test, LeakCheckedTestCase))


def run_here(tests, verbose):
    """Run tests in this process; returns (passed, failed, skipped)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)       # as an interrupt: what was started is to be ended
    result = unittest.TextTestRunner(verbosity=2 if verbose else 1, resultclass=Result).run(unittest.TestSuite(tests))
    for test, reason in result.skipped:
        print('skipped: %s: %s' % (test.id(), reason))
    if verbose:
        for name, seconds in sorted(result.times, key=lambda item: -item[1])[:20]:
            print('%6.1f s  %s' % (seconds, name))
    return result.counts()


def run_class(name):
    """Run one class in a process of its own; returns (name, seconds, its output, (passed, failed, skipped))."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, '-m', 'tests', '-j', '1', name], cwd=ROOT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode('utf-8', 'replace')
    found = LAST_LINE.search(text)
    counts = tuple(map(int, found.groups())) if found else (0, 1, 0)
    return name, time.monotonic() - began, text, counts


def run_classes(names, at_once):
    """Run classes, some at once, and tell how each went; returns (passed, failed, skipped)."""
    total = (0, 0, 0)
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run_class, name) for name in names]):
            name, seconds, text, counts = done.result()
            total = tuple(map(sum, zip(total, counts)))
            print('%-50s %3d passed%s %7.1f s' % (name, counts[0], ', %d failed' % counts[1] if counts[1] else '', seconds))
            print(text if counts[1] else ''.join(line + '\n' for line in text.splitlines() if line.startswith('skipped: ')),
                  end='', flush=True)
    return total


def main(argv):
    """Run all tests, or those named; returns an exit code."""
    # A shell starts what runs in the background with the first two ignored, and nohup with the last, and lwt keeps ignored what
    # was so when it started.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    parser = argparse.ArgumentParser(prog='python3 -m tests', description=__doc__.split('\n')[0])
    parser.add_argument('-v', dest='verbose', action='store_true')
    parser.add_argument('-j', dest='at_once', type=int, default=AT_ONCE)
    parser.add_argument('names', nargs='*')
    options = parser.parse_args(argv)
    found = list(cases(unittest.defaultTestLoader.discover(os.path.join(ROOT, 'tests'), top_level_dir=ROOT)))
    wanted = [test for test in found if not options.names or any(name in test.id() + '.' for name in options.names)]
    if options.names or options.at_once == 1:
        passed, failed, skipped = run_here(wanted, options.verbose)
    else:
        passed, failed, skipped = run_classes(longest_first(wanted), options.at_once)
    print('%d passed, %d failed, %d skipped' % (passed, failed, skipped))
    return 0 if passed and not failed else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
