"""Files that lwt writes for its user: never through a link of another user, and not readable by
others.
"""

import os
import stat
import unittest

from tests.support import ProgramTestCase

STRANGER = 54321


class Output(ProgramTestCase):
    """Output files and directories of commands."""

    def setUp(self):
        super().setUp()
        self.use_fake_ssh()
        self.write('data', 'b\na\n')
        os.mkdir(self.path('shared'))
        os.chmod(self.path('shared'), 0o1777)

    def commands(self, path):
        """Return (words, standard input) of commands that write to a path."""
        return [
            (('multi', '--joblog', path), b'true\n'),
            (('multi', '--results', path), b'true\n'),
            (('multi', '--log', path), b'true\n'),
            (('exec', '-w', 'h1', '--outdir', path, '--', 'true'), b''),
            (('exec', '-w', 'h1', '--errdir', path, '--', 'true'), b''),
            (('exec', '-w', 'h1', '--failed-to', path, '--', 'true'), b''),
            (('get', '-w', 'h1', self.path('data'), path), b''),
            (('reduce', '-w', 'h1', '-i', self.path('data'), '-o', path), b''),
        ]

    @unittest.skipIf(os.geteuid(), 'makes files of another user, which only root can')
    def test_SR_20_nothing_is_written_through_a_link_of_another_user(self):
        """SR-20: the target is a link, or is behind one, in a sticky directory."""
        os.mkdir(self.path('victim'))
        for name, leads_to, target in (
            ('file', 'victim/file', 'file'),
            ('folder', 'victim', 'folder'),
            ('way', 'victim', 'way/new'),
        ):
            os.symlink(self.path(leads_to), self.path('shared', name))
            os.lchown(self.path('shared', name), STRANGER, STRANGER)
            for words, stdin in self.commands(self.path('shared', target)):
                with self.subTest(words=words):
                    done = self.lwt(*words, stdin=stdin)
                    self.assert_refused(done, 2, 'is a symbolic link that belongs to %d' % STRANGER)
                    self.assertEqual(os.listdir(self.path('victim')), [])

    @unittest.skipIf(os.geteuid(), 'makes files of another user, which only root can')
    def test_SR_20_a_get_writes_through_no_link_in_place_of_the_directory_of_a_host(self):
        """SR-20: get … /tmp, and /tmp/d.HOST is a link of another user."""
        os.mkdir(self.path('victim'))
        os.symlink(self.path('victim'), self.path('shared', 'd.h1'))
        os.lchown(self.path('shared', 'd.h1'), STRANGER, STRANGER)
        done = self.lwt('get', '-w', 'h1', self.path('data'), self.path('shared'))
        self.assert_refused(done, 2, 'd.h1 is a symbolic link')
        self.assertEqual(os.listdir(self.path('victim')), [])

    def test_SR_20_links_of_the_user_are_followed(self):
        """SR-20: the user's own link in a sticky directory is followed to its target."""
        os.symlink(self.path('mine'), self.path('shared', 'mine'))
        done = self.lwt('multi', '--joblog', self.path('shared', 'mine'), stdin=b'true\n')
        self.assertEqual(done.code, 0, done)
        self.assertIn('true', self.read('mine'))
        done = self.lwt('multi', '--joblog', '/dev/stdout', stdin=b'true\n')
        self.assertEqual(done.code, 0, done)

    def test_SR_21_nobody_else_can_read_what_is_new(self):
        """SR-21: --joblog, --results, --log, --outdir, --errdir and --failed-to with umask 022."""
        options = {'preexec_fn': lambda: os.umask(0o022)}
        for number, (words, stdin) in enumerate(self.commands('PATH')[:6]):
            path = self.path('new%d' % number, 'deep')
            if '--results' not in words and '--outdir' not in words and '--errdir' not in words:
                path = self.path('new%d' % number)
            with self.subTest(words=words):
                words = tuple(path if word == 'PATH' else word for word in words)
                done = self.lwt(*words, stdin=stdin, **options)
                self.assertEqual(done.code, 0, done)
                top = self.path('new%d' % number)
                for root, dirs, names in os.walk(top):
                    self.assertEqual(stat.S_IMODE(os.stat(root).st_mode), 0o700, root)
                    for name in names:
                        full = os.path.join(root, name)
                        self.assertEqual(stat.S_IMODE(os.stat(full).st_mode), 0o600, full)
                if os.path.isfile(top):
                    self.assertEqual(stat.S_IMODE(os.stat(top).st_mode), 0o600)

    def test_SR_21_the_mode_of_what_is_there_stays(self):
        """SR-21: files and directories that exist keep their modes."""
        self.write('log', '', 0o644)
        os.mkdir(self.path('results'), 0o755)
        os.chmod(self.path('results'), 0o755)
        done = self.lwt('multi', '--joblog', 'log', '--results', 'results', stdin=b'true\n')
        self.assertEqual(done.code, 0, done)
        self.assertEqual(stat.S_IMODE(os.stat(self.path('log')).st_mode), 0o644)
        self.assertEqual(stat.S_IMODE(os.stat(self.path('results')).st_mode), 0o755)


if __name__ == '__main__':
    unittest.main()
