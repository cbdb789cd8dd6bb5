"""put and get of unusual trees: links, odd names, modes, files that change or have no size, parts
that cannot be copied.
"""

import os
import shutil
import tempfile
import unittest

from lwt.copy import manifest
from lwt.errors import UsageError
from tests.support import ProgramTestCase, tree_of
from tests.test_copy import CopyTestCase, write

LIMIT = 1 << 20             # maximum bytes of a file without a size, as in sh/get.sh
STRANGE = ('new\nline', 'back\\slash', 'both\\\n', '\\n', ' blanks ', '-x', 'a-b', '\udcff', '$(x)')


class TreeTestCase(CopyTestCase):
    """Copies to and from hosts of every kind."""

    def back(self):
        """Return a new directory for fetched files."""
        return tempfile.mkdtemp(dir=self.scratch)

    def with_tool(self, name, text):
        """Replace a tool of the host by a script."""
        tools = tempfile.mkdtemp(dir=self.scratch)
        write(os.path.join(tools, name), ('#!/bin/sh\n' + text).encode(), 0o755)
        self.search = tools + ':' + os.environ['PATH']


class FilesThatChange(TreeTestCase):
    """FR-13: a file that changes while it is read."""

    def test_FR_13_a_file_that_grows_or_shrinks_is_named(self):
        tar = shutil.which('tar')
        for when, change in (('after', 'echo more >> "$HOME/log"'),
                             ('before', 'echo more >> "$HOME/log"'),
                             ('before', ': > "$HOME/log"'), ('after', ': > "$HOME/log"')):
            with self.subTest(when=when, change=change):
                first, last = (change, '') if when == 'before' else ('', change)
                self.with_tool('tar', '%s\n%s "$@"\ncode=$?\n%s\nexit $code\n' % (first, tar, last))
                for paths in (['log'], ['log', 'other']):
                    write(self.at_home('log'), b'x' * 1000)
                    write(self.at_home('other'), b'other')
                    back = self.back()
                    verdict = self.get(paths, back)
                    is_snapshot = (when, change) == ('before', 'echo more >> "$HOME/log"')
                    if is_snapshot:             # it was read as a whole, and has not changed since
                        self.assert_ok(verdict)
                        continue
                    self.assertEqual(verdict.kind, 'failed')
                    self.assertRegex(verdict.reason,
                                     '^%s/log: changed while it was read' % self.home)
                    self.assertEqual(sorted(tree_of(back)), paths[1:])

    def test_FR_13_what_tar_says_of_a_file_that_changes_is_told_in_our_words(self):
        for said in ('file changed as we read it', 'File shrank by 5 bytes; padding with zeros',
                     'short read'):
            with self.subTest(said=said):
                self.with_tool('tar', 'echo "tar: .$HOME/log: %s" >&2\n%s "$@"\nexit 1\n'
                               % (said, shutil.which('tar')))
                write(self.at_home('log'), b'x')
                self.assertEqual(self.get(['log'], self.back()).reason,
                                 self.at_home('log') + ': changed while it was read')


class FilesWithoutSize(TreeTestCase):
    """FR-14: files of /proc and /sys, whose size the system does not report."""

    def test_FR_14_their_content_comes(self):
        long_name = '/proc/' + './' * 60 + 'version'
        write(self.at_home('empty'))
        write(self.at_home('page'), b'x' * 4096)

        def come():
            with open('/proc/version', 'rb') as file:
                version = file.read()
            for paths, names in ((['/proc/version'], ['version']), ([long_name], ['version']),
                                 (['/proc/version', '/proc/cpuinfo', home + '/empty',
                                   home + '/page'],
                                  ['cpuinfo', 'empty', 'page', 'version'])):
                back = self.back()
                self.assert_ok(self.get(paths, back),
                               '%d file%s copied' % (len(names), 's' * (len(names) > 1)))
                came = tree_of(back)
                self.assertEqual(sorted(came), names)
                self.assertEqual(came['version'], version)
                self.assertNotEqual(came.get('cpuinfo', b'x'), b'')
        home = self.home
        self.in_each(come)

    def test_FR_14_trees_of_them_come(self):
        def come():
            back = self.back()
            self.assert_ok(self.get(['/proc/sys/kernel/random'], back))
            came = tree_of(os.path.join(back, 'random'))
            with open('/proc/sys/kernel/random/boot_id', 'rb') as file:
                self.assertEqual(came['boot_id'], file.read())
            self.assertEqual(len(came['uuid']), 37)
            pages = '/sys/kernel/mm/transparent_hugepage/khugepaged'
            if os.path.isdir(pages):
                self.assert_ok(self.get([pages], back))
                with open(pages + '/defrag', 'rb') as file:
                    self.assertEqual(tree_of(back)['khugepaged/defrag'], file.read())
        self.in_each(come)

    @unittest.skipUnless(os.path.exists('/proc/kallsyms'), 'no /proc/kallsyms')
    def test_FR_14_there_is_a_limit(self):
        with open('/proc/kallsyms', 'rb') as file:
            if len(file.read()) <= LIMIT:
                self.skipTest('/proc/kallsyms is small here')
        back = self.back()
        verdict = self.get(['/proc/kallsyms', '/proc/version'], back)
        self.assertIn('/proc/kallsyms: more than 1048576 bytes', verdict.reason)
        self.assertEqual(sorted(tree_of(back)), ['version'])


class PartsThatCannotCome(TreeTestCase):
    """FR-16, UR-20: parts that cannot be copied are named, and everything else is copied."""

    def as_nobody(self):
        """Run the host's commands as a user who may not read everything."""
        if os.getuid() == 0:
            if not shutil.which('setpriv'):
                self.skipTest('root may read everything, and there is no setpriv')
            self.shell = 'setpriv --reuid=65534 --regid=65534 --clear-groups ' + self.shell
            os.chmod(self.scratch, 0o711)
            os.chmod(self.home, 0o755)

    def test_FR_16_permission_denied_is_said_with_the_path(self):
        write(self.at_home('d', 'in', 'f'), b'x')
        write(self.at_home('shut', 'sub', 'f'), b'x')
        write(self.at_home('file', 'f'), b'x')
        write(self.at_home('top'), b'x')
        os.chmod(self.at_home('shut', 'sub'), 0)
        os.chmod(self.at_home('file', 'f'), 0)
        os.chmod(self.at_home('top'), 0)
        self.addCleanup(os.chmod, self.at_home('shut', 'sub'), 0o700)
        self.as_nobody()
        back = self.back()
        verdict = self.get(['d', 'shut', 'file', 'top'], back)
        self.assertEqual(verdict.reason, '; '.join(
            '%s: permission denied' % self.at_home(name) for name in ('shut/sub', 'file/f', 'top')))
        self.assertEqual(tree_of(back), {'d': None, 'd/in': None, 'd/in/f': b'x'})

    def test_UR_20_what_differs_here_is_named_and_the_rest_is_fetched(self):
        for name in ('a', 'b', 'c', 'd/e'):
            write(self.at_home(name), b'new ' + name.encode())

        def fetched():
            self.home, self.host = home, host
            back = self.back()
            write(os.path.join(back, 'b'), b'mine')
            write(os.path.join(back, 'd', 'mine'), b'mine')
            write(os.path.join(back, 'c'), b'new c')
            verdict = self.get(['*'], back)
            self.assertEqual((verdict.kind, verdict.code), ('failed', 1))
            self.assertEqual(verdict.reason, '; '.join(
                '%s: is there already, and differs; --force replaces it' % os.path.join(back, name)
                for name in 'bd'))
            self.assertEqual(tree_of(back), {'a': b'new a', 'b': b'mine', 'c': b'new c', 'd': None,
                                             'd/mine': b'mine'})
            self.assert_ok(self.get(['*'], back, replace=True), '2 files copied, 2 unchanged')
            self.assert_nothing_left()
        home, host = self.home, self.host
        self.in_each(fetched)

    def test_UR_20_odd_names_are_fetched_wherever_they_stand(self):
        def fetched():
            for name in STRANGE:
                write(self.at_home(name), b'top')
                write(self.at_home('dir ' + name, name, name), b'deep')
            back = self.back()
            self.assert_ok(self.get(['*'], back), '%d files copied' % (2 * len(STRANGE)))
            self.assertEqual(tree_of(back), tree_of(self.home))
            self.assert_ok(self.get(['*'], back, replace=True),
                           '0 files copied, %d unchanged' % (2 * len(STRANGE)))
        self.in_each(fetched)


class FetchedLinks(TreeTestCase):
    """FR-23: symbolic links on the host."""

    def make(self):
        write(self.at_home('d', 'f'), b'x')
        write(self.at_home('other', 'g'), b'y')
        os.symlink('f', self.at_home('d', 'in'))
        os.symlink('../other', self.at_home('d', 'out'))
        write(self.at_home('e', 'f'), b'x')
        os.symlink('user@host.123', self.at_home('e', '.#x'))
        write(self.at_home('loop', 'in', 'f'), b'x')
        os.symlink('..', self.at_home('loop', 'in', 'up'))
        os.symlink('self', self.at_home('self'))

    def test_FR_23_links_are_followed_or_named(self):
        def fetched():
            self.make()
            back = self.back()
            self.assert_ok(self.get(['d'], back), '3 files copied')
            self.assertEqual(tree_of(back),
                             {'d': None, 'd/f': b'x', 'd/in': b'x', 'd/out': None, 'd/out/g': b'y'})
            verdict = self.get(['e', 'loop', 'self', 'other'], back)
            self.assertEqual(verdict.kind, 'failed')
            self.assertIn('%s: dangling link (to user@host.123)' % self.at_home('e', '.#x'),
                          verdict.reason)
            self.assertIn('%s: a link that leads back to a directory above'
                          % self.at_home('loop', 'in', 'up'), verdict.reason)
            self.assertIn('%s: dangling link (to self)' % self.at_home('self'), verdict.reason)
            self.assertEqual(sorted(os.listdir(back)), ['d', 'other'])
        self.in_each(fetched)

    def test_FR_23_links_are_kept(self):
        def fetched():
            self.make()
            back = self.back()
            self.assert_ok(self.get(['d', 'e', 'loop', 'other', 'self'], back, links='keep'))
            self.assertEqual(tree_of(back), tree_of(self.home))
            os.symlink('/etc/passwd', self.at_home('e', 'absolute'))
            verdict = self.get(['e', 'd'], self.back(), links='keep')
            self.assertIn('absolute', verdict.reason)
            self.assertIn('leads out', verdict.reason)
        self.in_each(fetched)

    def test_FR_23_links_are_left_out(self):
        def fetched():
            self.make()
            back = self.back()
            self.assert_ok(self.get(['d', 'e', 'loop', 'other', 'self'], back, links='skip'),
                           '4 files copied')
            self.assertEqual(tree_of(back),
                             {name: content for name, content in tree_of(self.home).items()
                              if not isinstance(content, tuple)})
        self.in_each(fetched)


class PutLinks(TreeTestCase):
    """FR-23: symbolic links on this machine."""

    def setUp(self):
        super().setUp()
        self.tree = self.path('from', 'tree')
        write(os.path.join(self.tree, 'd', 'f'), b'x')
        os.symlink('d', os.path.join(self.tree, 'in'))
        write(self.path('from', 'other', 'g'), b'y')
        os.symlink('../other', os.path.join(self.tree, 'out'))

    def test_FR_23_what_cannot_be_followed_is_named_as_a_link(self):
        for target, said in (('user@host.123', "dangling link (to 'user@host.123')"),
                             ('.#x', "looping link (to '.#x')"),
                             ('..', 'a link that leads back to a directory above')):
            with self.subTest(target=target):
                link = os.path.join(self.tree, '.#x')
                os.symlink(target, link)
                with self.assertRaises(UsageError) as caught:
                    manifest.survey([self.tree])
                self.assertIn(".#x': " + said, caught.exception.message)
                self.assertIn('--links keep', caught.exception.hint)
                os.unlink(link)

    def test_FR_23_links_are_followed_kept_or_left_out(self):
        def put():
            self.assert_ok(self.put([self.tree], 'follow'), '3 files copied')
            self.assertEqual(tree_of(self.at_home('follow')), {
                'd': None, 'd/f': b'x', 'in': None, 'in/f': b'x', 'out': None, 'out/g': b'y'})
            os.symlink('nosuch\n\\/', os.path.join(self.tree, 'odd\n'))
            self.assert_ok(self.put([self.tree], 'keep', links='keep'), '4 files copied')
            self.assertEqual(tree_of(self.at_home('keep')), tree_of(self.tree))
            self.assert_ok(self.put([os.path.join(self.tree, '.')], 'keep', links='keep'),
                           '0 files copied, 4 unchanged')
            self.assert_ok(self.put([self.tree], 'skip', links='skip'),
                           '1 file copied, 3 symbolic links left out')
            self.assertEqual(tree_of(self.at_home('skip')), {'d': None, 'd/f': b'x'})
            os.unlink(os.path.join(self.tree, 'odd\n'))
            self.assert_nothing_left()
        self.in_each(put)

    def test_FR_23_a_link_replaces_a_link_or_a_file_and_no_directory(self):
        link = os.path.join(self.tree, 'in')

        def put():
            os.makedirs(self.at_home('other'))
            os.symlink('other', self.at_home('in'))
            self.assert_ok(self.put([link], 'in2', links='keep'))
            self.assert_ok(self.put([link, self.tree], '.', links='keep'))
            self.assertEqual(os.readlink(self.at_home('in')), 'd')
            self.assertEqual(os.listdir(self.at_home('other')), [])
            os.unlink(self.at_home('in'))
            write(self.at_home('in'), b'a file')
            self.assert_ok(self.put([link, self.tree], '.', links='keep'))
            self.assertEqual(os.readlink(self.at_home('in')), 'd')
            os.unlink(self.at_home('in'))
            os.makedirs(self.at_home('in'))
            self.assertIn('cannot replace each other',
                          self.put([link, self.tree], '.', links='keep').reason)
        self.in_each(put)


class PutLikeCp(TreeTestCase):
    """FR-21: . and .. as for `cp -r`."""

    def test_FR_21_the_contents_of_a_directory(self):
        write(self.path('from', 'src', 'f'), b'x')
        write(self.path('from', 'src', '.hidden', 'g'), b'y')
        os.makedirs(self.path('from', 'src', 'sub'))
        write(self.path('from', 'single'), b'z')
        inside = {'f': b'x', '.hidden': None, '.hidden/g': b'y', 'sub': None}

        def put():
            self.addCleanup(os.chdir, os.getcwd())
            os.chdir(self.path('from', 'src'))
            for source in ('.', './', self.path('from', 'src', '.'), '../src/.', 'sub/..',
                           './sub/../.'):
                with self.subTest(source=source):
                    self.assert_ok(self.put([source], 'new'), '2 files copied')
                    self.assertEqual(tree_of(self.at_home('new')), inside)
                    self.assert_ok(self.put([source], 'new'), '0 files copied, 2 unchanged')
                    write(self.at_home('new', 'more'), b'more')
                    os.unlink(self.at_home('new', 'f'))
                    self.assert_ok(self.put([source], 'new'), '1 file copied, 1 unchanged')
                    self.assertEqual(tree_of(self.at_home('new')), dict(inside, more=b'more'))
                    shutil.rmtree(self.at_home('new'))
            os.makedirs(self.at_home('into'))
            self.assert_ok(self.put(['.', '../single'], 'into'), '3 files copied')
            self.assertEqual(tree_of(self.at_home('into')), dict(inside, single=b'z'))
            self.assert_ok(self.put(['../src/'], 'into'), '2 files copied')
            self.assertEqual(tree_of(self.at_home('into', 'src')), inside)
            self.assert_ok(self.put(['.'], '.'), '2 files copied')
            self.assertEqual({name: tree_of(self.home)[name] for name in inside}, inside)
            os.chdir('/')
            self.assert_nothing_left()
        self.in_each(put)
        with self.assertRaises(UsageError):
            manifest.survey([self.path('from', 'single', '.')])


class PutModes(TreeTestCase):
    """FR-22, UR-20: unchanged files are not sent again, and get the mode and time that they have on
    this machine.
    """

    def test_FR_22_modes_and_times_are_updated_without_content(self):
        def put():
            root = tempfile.mkdtemp(dir=self.scratch)
            key = write(os.path.join(root, 'key'), b'secret')
            self.assert_ok(self.put([key], 'p'), '1 file copied')
            os.chmod(key, 0o600)
            self.assert_ok(self.put([key], 'p'), '0 files copied, 1 with another mode or time')
            self.assertEqual((os.stat(self.at_home('p')).st_mode & 0o777, self.tally.moved),
                             (0o600, 0))
            os.utime(key, (1, 981173106))
            self.assert_ok(self.put([key], 'p'), '0 files copied, 1 with another mode or time')
            self.assertEqual(os.stat(self.at_home('p')).st_mtime, 981173106)
            self.assert_ok(self.put([key], 'p'), '0 files copied, 1 unchanged')
            for name in STRANGE:
                write(os.path.join(root, 'tree', name, name), b'x')
            self.assert_ok(self.put([os.path.join(root, 'tree')], '.'),
                           '%d files copied' % len(STRANGE))
            for name in STRANGE:
                os.chmod(os.path.join(root, 'tree', name, name), 0o750)
            os.chmod(os.path.join(root, 'tree', STRANGE[0]), 0o711)     # no usual umask makes this
            write(os.path.join(root, 'tree', 'new'), b'x', 0o640)
            self.assert_ok(self.put([os.path.join(root, 'tree')], '.'),
                           '1 file copied, %d with another mode or time' % (len(STRANGE) + 1))
            modes = [[os.lstat(os.path.join(where, name)).st_mode
                      for where, dirs, names in sorted(os.walk(top))
                      for name in sorted(dirs + names)]
                     for top in (os.path.join(root, 'tree'), self.at_home('tree'))]
            self.assertEqual(*modes)
        self.in_each(put)

    def test_UR_20_odd_names_that_are_the_same_are_not_sent_again(self):
        def put():
            root = tempfile.mkdtemp(dir=self.scratch)
            for name in STRANGE:
                write(os.path.join(root, 'tree', name), b'x')
            for _ in range(2):
                verdict = self.put([os.path.join(root, 'tree')], '.')
            self.assert_ok(verdict, '0 files copied, %d unchanged' % len(STRANGE))
            self.assertEqual(self.tally.moved, 0)
        self.in_each(put)


class AsAProgram(ProgramTestCase):
    """The output for the user."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')])

    def test_UR_20_a_get_of_which_something_differs_exits_with_1(self):
        for name in ('a', 'b'):
            self.write('home/' + name, 'new')
        self.write('out/d.localhost/a', 'mine')
        done = self.lwt('get', '-a', 'a', 'b', 'out')
        self.assertEqual((done.code, done.err), (
            1, 'lwt: localhost: %s: is there already, and differs; --force replaces it\n'
            % self.path('out', 'd.localhost', 'a')))
        self.assertEqual(self.read('out', 'd.localhost', 'b'), 'new')

    def test_FR_23_the_option_for_links(self):
        self.write('tree/f', 'x')
        os.symlink('nosuch', self.path('tree', '.#f'))
        self.assert_refused(self.lwt('put', '-a', 'tree', '.'), 2, '.#f', 'dangling link',
                            '--links keep')
        self.assertEqual(self.lwt('put', '-a', '--links', 'keep', 'tree', '.').code, 0)
        self.assertEqual(os.readlink(os.path.join(self.home, 'tree', '.#f')), 'nosuch')
        self.assert_refused(self.lwt('get', '-a', 'tree', 'out'), 1, '.#f', 'dangling link')
        self.assertEqual(self.lwt('get', '-a', '--links', 'skip', 'tree', 'out').code, 0)
        self.assertEqual(os.listdir(self.path('out', 'd.localhost', 'tree')), ['f'])
        self.assert_refused(self.lwt('get', '-a', '--links', 'what', 'tree', 'out'), 2, '--links')


if __name__ == '__main__':
    unittest.main()
