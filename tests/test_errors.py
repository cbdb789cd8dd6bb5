"""Messages for errors of this machine: a full disk is named, with the path."""

import errno
import os
import sqlite3
import unittest
from unittest import mock

from lwt import cli
from lwt.errors import LocalError, os_error_text
from lwt.workspace import database, files
from tests.support import ProgramTestCase

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), '/work/x')
SAID = 'disk full: /work/x (No space left on device)'


class FullDisks(unittest.TestCase):
    """The messages when a disk or a quota is full."""

    def test_the_disk_and_the_path_are_named(self):
        quota = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        other = OSError(errno.EROFS, os.strerror(errno.EROFS))
        for error, text in ((FULL, SAID), (other, '/work/x: Read-only file system'),
                            (quota, 'disk quota exceeded: /work/x (%s)' % quota.strerror)):
            with self.subTest(error=error):
                self.assertEqual(os_error_text('/work/x', error), text)

    def test_an_error_that_nobody_expected_is_named_too(self):
        said = []
        with mock.patch('lwt.commands.init.main', side_effect=FULL), \
                mock.patch('lwt.output.writer.say', said.append):
            self.assertEqual(cli.main(['init'], {}), 74)
        self.assertEqual(said, [SAID])

    def test_files_and_the_database_say_so(self):
        with self.assertRaises(LocalError) as caught, files.local_errors('/work/x'):
            raise FULL
        self.assertEqual(caught.exception.message, SAID)
        path = '/work/.lwt/state.db'
        with self.assertRaises(LocalError) as caught, database.Database(path)._errors():
            raise sqlite3.OperationalError('database or disk is full')
        self.assertEqual(caught.exception.message,
                         'disk full: %s (database or disk is full)' % path)


class Interrupts(ProgramTestCase):
    """The messages after ^C."""

    def interrupted(self, command):
        """Return the standard error of an exec that gets INT when the command has begun."""
        popen = self.start('exec', '-w', 'localhost', '--grace', '3', '--', command)
        self.assertEqual(popen.stdout.readline(), b'ready\n')
        popen.send_signal(2)
        _out, err = popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 130, err)
        return err.decode()

    def test_a_command_that_ignores_TERM_is_announced(self):
        self.make_workspace([('localhost', 'local', '~')])
        self.assertIn('lwt: stopping 1 host; ^C again kills at once\n',
                      self.interrupted('trap "" TERM; echo ready; sleep 971'))


if __name__ == '__main__':
    unittest.main()
