"""Files that lwt cannot read, and unrelated files in task/ and task.finish/: a clear message, and
the work continues.
"""

import contextlib
import os
import pty
import subprocess
import tty
import unittest

from tests import lab
from tests.support import ProgramTestCase, wait_for

# Reading the beginning of this file fails with EIO, for any user, although it is a regular file.
BROKEN = '/proc/self/mem'


class Unreadable(ProgramTestCase):
    """A disk error while lwt reads a file that the user named."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')])

    def test_it_is_named_and_no_bug(self):
        for words in (('exec', '-a', '--script', BROKEN),
                      ('exec', '-a', '--stdin', BROKEN, '--', 'cat'),
                      ('exec', '-w', '^' + BROKEN, '--', 'true'), ('hosts', '-w', '^' + BROKEN),
                      ('multi', '::::', BROKEN),
                      ('multi', 'echo', '{}', '::::', BROKEN),
                      ('multi', 'echo {1} {2}', '::::', BROKEN, ':::', 'a'),
                      ('multi', '--joblog', BROKEN, '--resume', 'true'), ('put', '-a', BROKEN, 'x'),
                      ('reduce', '-a', '-i', BROKEN), ('task', 'add', 'sample', '--each', BROKEN)):
            with self.subTest(words=words):
                done = self.lwt(*words)
                self.assert_refused(done, 74, BROKEN, 'Input/output error')
                self.assertEqual(done.out, '')

    def test_what_is_no_file_is_the_users_mistake(self):
        for words in (('exec', '-a', '--script', '/'), ('exec', '-a', '--stdin', '/', '--', 'cat'),
                      ('hosts', '-w', '^/'),
                      ('multi', '::::', '/'), ('multi', 'echo {1} {2}', '::::', '/', ':::', 'a'),
                      ('reduce', '-a', '-i', '/'),
                      ('task', 'add', 'sample', '--each', '/'), ('put', '-a', 'nosuch', 'x')):
            with self.subTest(words=words):
                self.assert_refused(self.lwt(*words), 2)

    def test_jobs_that_were_read_before_are_run_and_waited_for(self):
        theirs, ours = pty.openpty()
        tty.setraw(ours)
        popen = self.start('multi', '-j1', stdin=theirs)
        os.close(theirs)
        os.write(ours, b'sleep 1; echo first >>ran\necho second >>ran\n')
        self.assertTrue(wait_for(lambda: os.path.exists(self.path('ran'))))
        os.close(ours)                  # reading from the other end fails with EIO now
        _out, err = popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 74, err)
        self.assertIn(b'lwt: standard input: Input/output error', err)
        self.assertEqual(self.read('ran'), 'first\nsecond\n')

    def test_a_file_that_cannot_be_opened_when_it_is_sent_is_not_a_program_that_cannot_be_run(self):
        program = ('from lwt.flow import running\nfrom lwt.proc import Command\n'
                   'def one(c):\n    return (yield c)\n'
                   'with running(1, 1) as run:\n'
                   '    print(run.report(one(Command(("cat",), stdin_path="gone")))[1:5])\n')
        done = subprocess.run([self.python, '-c', program], env=self.env, cwd=self.scratch,
                              stdout=subprocess.PIPE, timeout=60)
        self.assertEqual(done.stdout,
                         b"('unreadable', 2, b'', b'gone: No such file or directory')\n")

    def test_a_file_without_a_size_is_read_by_reduce(self):
        with open('/proc/self/status') as file:
            count = len(file.readlines())
        done = self.lwt('reduce', '-a', '-i', '/proc/self/status')
        self.assertEqual((done.code, len(done.out.splitlines())), (0, count), done)


class OddNames(ProgramTestCase):
    """Unexpected files in task/ and task.finish/."""

    NAMES = [os.fsencode(name) for name in (
        '.attempt.x', '.attempt.', '.attempt.1', '.attempt.1.x', '.attempt.%s.1' % ('9' * 30),
        '.part-', '.part-a\nb', '.part-..',
        '.part-' + 'x' * 248 + '~', 'a\nb.0123456789ab', '-rf', '*', ' ', 'desc', 'x' * 255)] + [
        b'.part-\xff\xfe', b'\xff.0123456789ab', b'.attempt.\xff.1']

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')])
        self.folders = [os.fsencode(self.path(name)) for name in ('task', 'task.finish')]

    def put_in(self, make):
        for folder in self.folders:
            for name in self.NAMES:
                make(os.path.join(folder, name))

    def check(self):
        """Run a task from start to end; all unexpected files exist afterwards."""
        before = [sorted(os.listdir(folder)) for folder in self.folders]
        self.describe('fails', 'exec : echo said; false\n')
        self.assertEqual(self.lwt('task', 'add', 'fails').code, 0)
        number = str(self.lwt('task', 'show', '--json').out.count('\n'))
        for words, code in (
                (('update',), 0), (('run',), 1), (('show',), 0), (('show', number), 0),
                (('retry', number), 0), (('run',), 1),
                (('log', number), 0), (('rm', '--results', number), 0), (('update',), 0)):
            done = self.lwt('task', *words)
            self.assertEqual(done.code, code, (words, done))
            self.assertNotIn('Traceback', done.err)
        for words in (('doctor',), ('doctor', '--fix'), ('report', '-o', 'r.html'), ('stat',)):
            done = self.lwt(*words)
            self.assertEqual(done.code, 0, (words, done))
        self.assertEqual([sorted(os.listdir(folder)) for folder in self.folders], before)

    def test_files(self):
        self.put_in(lambda path: open(path, 'w').close())
        self.check()

    def test_directories(self):
        self.put_in(os.mkdir)
        self.check()

    def test_fifos(self):
        self.put_in(os.mkfifo)
        self.check()

    def test_links_that_lead_nowhere(self):
        self.put_in(lambda path: os.symlink('nowhere', path))
        self.check()

    def test_what_cannot_be_removed_keeps_no_task_waiting(self):
        if os.getuid() == 0 and lab.why_not_mount():
            self.skipTest('mounts: ' + lab.why_not_mount())
        self.lwt('task', 'add', 'sample')
        with self.held(self.path('task', 'old.0123456789ab')), self.held(
                self.path('task.finish', '.part-localhost2')):
            done = self.lwt('task', 'run')
            self.assertEqual(done.code, 0, done)
            self.assertIn('old.0123456789ab', done.err)
            self.assertIn('1 success', done.err)

    @contextlib.contextmanager
    def held(self, path):
        """Return a directory that cannot be removed: a mount point for root, unreadable for other
        users.
        """
        os.makedirs(os.path.join(path, 'below'))
        if os.getuid() == 0:
            subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', path], check=True)
        else:
            os.chmod(path, 0)
        try:
            yield
        finally:
            if os.getuid() == 0:
                subprocess.run(['umount', path], check=True)
            else:
                os.chmod(path, 0o700)


if __name__ == '__main__':
    unittest.main()
