"""The log: what -v and --log write, and how the file is kept."""

import json
import logging
import os
import subprocess
import sys
import threading
import unittest

from lwt.output import log
from lwt.remote import events
from tests.support import LeakCheckedTestCase, ProgramTestCase, wait_for

LOCAL = [('localhost', 'local', '~')]


class Told(ProgramTestCase):
    """The contents of the lines."""

    def setUp(self):
        super().setUp()
        self.make_workspace(LOCAL)
        self.lwt('task', 'add', 'sample')

    def test_every_line_of_v_has_host_task_and_attempt(self):
        done = self.lwt('task', 'run', '-v')
        self.assertRegex(done.err,
                         r'lwt: \d\d:\d\d:\d\d host=localhost task=000001 attempt=1 launching on '
                         r'localhost\n')
        self.assertRegex(done.err,
                         r'lwt: \d\d:\d\d:\d\d host=localhost task=- attempt=- control: ok after '
                         r'\d+\.\d\d s\n')
        done = self.lwt('exec', '-v', '-a', '--', 'exit 3')
        self.assertRegex(done.err, 'host=localhost task=- attempt=- command: exit code 3')

    def test_a_file_is_written_in_words_or_in_json(self):
        self.assertEqual(self.lwt('task', 'run', '--log', 'run.log').code, 0)
        self.assertRegex(self.read('run.log'),
                         r'(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d host=localhost task=000001 '
                         r'attempt=1 success')
        self.assertEqual(os.stat(self.path('run.log')).st_mode & 0o777, 0o600)
        self.lwt('task', 'add', 'sample')
        done = self.lwt('--set', 'log_format=json', 'task', 'run',
                        env=dict(self.env, LWT_LOG='json.log'))
        self.assertEqual(done.code, 0, done)
        told = [json.loads(line) for line in self.read('json.log').splitlines()]
        self.assertIn(('localhost', '000002', 1, 'success on localhost'),
                      [(line['host'], line['task'], line['attempt'], line['text'])
                       for line in told])
        self.assertNotIn('host=', done.err)

    def test_jobs_of_multi_are_told_by_their_numbers(self):
        done = self.lwt('multi', '-v', '--retries', '1', stdin=b'true\nexit 3\n')
        self.assertRegex(done.err, r'host=localhost task=1 attempt=1 ok after \d')
        self.assertRegex(done.err, r'host=localhost task=2 attempt=2 exit code 3 after \d')

    def test_without_being_asked_nothing_is_told_and_logging_is_not_loaded(self):
        code = ('import sys; from lwt.cli import main; main(["exec", "-a", "--", "true"]); assert '
                '"logging" not in sys.modules')
        done = subprocess.run([sys.executable, '-c', code], env=self.env, cwd=self.scratch,
                              stderr=subprocess.PIPE)
        self.assertEqual((done.returncode, done.stderr), (0, b''))

    def test_a_file_that_cannot_be_written_and_a_format_that_is_none(self):
        done = self.lwt('exec', '-a', '--log', 'no/such', '--', 'true')
        self.assertEqual((done.code, done.err),
                         (0, 'lwt: the log cannot be written: no/such: No such file or '
                             'directory\n'))
        self.assert_refused(self.lwt('exec', '-a', '--log-format', 'xml', '--', 'true'), 2,
                            '--log-format', 'text or json')
        self.lwt('exec', '-a', '--log', '/dev/full', '--', 'true')


class Kept(LeakCheckedTestCase):
    """The handlers alone."""

    def setUp(self):
        super().setUp()
        self.logger = logging.getLogger('lwt')
        self.addCleanup(self.logger.setLevel, self.logger.level)
        self.addCleanup(setattr, self.logger, 'propagate', self.logger.propagate)

    def start(self, *arguments):
        """Collect messages until finish() is called."""
        log.start(*arguments)

    def finish(self):
        for handler in list(self.logger.handlers):
            self.logger.removeHandler(handler)
            handler.close()

    def test_a_file_that_is_large_is_begun_anew_and_a_few_are_kept(self):
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'x.log')
            for number in range(log.KEPT + 3):
                with open(path, 'w') as file:
                    file.write('%d\n' % number + ' ' * log.MAX_BYTES)
                self.start(False, path, False)
                events.note('after %d' % number, 'h1')
                self.finish()
                with open(path) as file:
                    self.assertIn('host=h1 task=- attempt=- after %d' % number, file.read())
            self.assertEqual(sorted(os.listdir(folder)),
                             ['x.log'] + ['x.log.%d' % n for n in range(1, log.KEPT + 1)])
            with open(path + '.1') as file:
                self.assertEqual(file.readline(), '%d\n' % (log.KEPT + 2))

    def test_a_file_that_another_moved_away_is_opened_anew(self):
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'x.log')
            self.start(False, path, False)
            os.rename(path, path + '.1')
            events.note('one\nline\x1b[2J')
            self.finish()
            with open(path) as file:
                self.assertRegex(file.read(), r'^\S+ host=- task=- attempt=- one\?line\?\[2J\n$')

    def test_a_reader_of_standard_error_that_is_slow_keeps_nobody_waiting(self):
        reading, writing = os.pipe()
        kept = os.dup(2)
        os.dup2(writing, 2)
        try:
            self.start(True, '', False)
            for _ in range(5000):
                events.note('x' * 100)
            reader = _Reader(reading)
            self.finish()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(writing)
        self.assertTrue(wait_for(lambda: not reader.is_alive()))
        os.close(reading)
        self.assertEqual(reader.lines, 5000)


class _Reader(threading.Thread):
    """Counts the lines of a pipe to its end."""

    def __init__(self, fd):
        super().__init__()
        self._fd = fd
        self.lines = 0
        self.start()

    def run(self):
        while True:
            data = os.read(self._fd, 1 << 16)
            if not data:
                return
            self.lines += data.count(b'\n')


if __name__ == '__main__':
    unittest.main()
