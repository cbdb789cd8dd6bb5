"""Paths as users write them: ~ and ~USER, in options, lwt.conf, host.list and on hosts."""

import os
import pwd
import subprocess
import unittest

from lwt.remote import scripts
from tests.support import ProgramTestCase
from tests.test_shells import SHELLS

ME = pwd.getpwuid(os.getuid())


class Here(ProgramTestCase):
    """Paths on this machine."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('h1', 'local', '~')])

    def test_FR_29_options_with_paths_expand_a_home(self):
        """FR-29: --option=~/x, and ~/x in quotes, are in the home; ~USER too."""
        self.write('home/script', 'echo x\n')
        self.write('home/input', 'a\n')
        self.write('home/hosts', 'h1\n')
        mine = '~%s/%s' % (ME.pw_name, os.path.relpath(self.home, ME.pw_dir))
        for home in ('~', mine):
            for words, out in ((('exec', '-w', 'h1', '--script=%s/script'), 'x\n'),
                               (('exec', '-w', 'h1', '--stdin=%s/input', '--', 'cat'), 'a\n'),
                               (('exec', '-w', '^%s/hosts', '--outdir=%s/o', '--errdir=%s/e',
                                 '--failed-to=%s/f',
                                 '--', 'echo x'), 'x\n'),
                               (('multi', '--joblog=+%s/log', '--results=%s/r', 'echo', '::::',
                                 '%s/input'), 'a\n'),
                               (('reduce', '-w', 'h1', '--input=%s/input', '--output=%s/sorted'),
                                ''),
                               (('report', '-o', '%s/page.html'), ''),
                               (('get', '-w', 'h1', 'input', '%s/got'), ''),
                               (('put', '-w', 'h1', '%s/input', 'input2'), ''),
                               (('-C', '%s/../', 'stat'), None),
                               (('-C', '%s/../', 'hosts', '-a'), 'h1\n')):
                words = [word.replace('%s', home) for word in words]
                with self.subTest(words=words):
                    done = self.lwt(*words)
                    self.assertEqual((done.code, done.out), (0, done.out if out is None else out),
                                     done)
            for name in ('o/h1', 'e/h1', 'f', 'log', 'r', 'sorted', 'page.html', 'got', 'input2'):
                self.assertTrue(os.path.exists(os.path.join(self.home, name)), name)
                subprocess.run(['rm', '-r', os.path.join(self.home, name)], check=True)
        self.assertEqual([name for name in os.listdir(self.scratch) if name.startswith('~')], [])

    def test_FR_29_a_task_gets_its_values_from_the_home(self):
        """FR-29: --each=~/values."""
        self.write('home/values', 'a\nb\n')
        self.describe('one', 'exec : true\n')
        done = self.lwt('task', 'add', 'one', '--each=~/values')
        self.assertEqual((done.code, len(done.out.split())), (0, 2), done)

    def test_FR_29_a_new_workspace_may_be_named_by_a_home(self):
        """FR-29: init, -C and LWT_WORKSPACE."""
        self.assertEqual(self.lwt('init', '~/w').code, 0)
        self.assertTrue(os.path.isfile(os.path.join(self.home, 'w', 'lwt.conf')))
        for words, variables in ((('-C', '~/w'), {}), ((), {'LWT_WORKSPACE': '~/w'})):
            done = self.lwt(*words, 'hosts', '-a', env=dict(self.env, **variables))
            self.assertEqual((done.code, done.out), (0, 'localhost\n'), done)

    def test_FR_29_a_file_whose_name_begins_with_a_tilde_is_that_file(self):
        """FR-29: an existing file takes precedence, and an unknown user is left as it is."""
        self.write('~', 'h1\n')
        self.write('~nosuchuser', 'h1\n')
        for name in ('~', '~nosuchuser'):
            self.assertEqual(self.lwt('hosts', '-w', '^' + name).out, 'h1\n')

    def test_FR_29_paths_in_lwt_conf(self):
        """FR-29: ~ is expanded; a relative path is relative to lwt.conf, wherever lwt is run."""
        os.makedirs(self.path('sub', 'dir'))
        for value, found in (('~/events', ('home', 'events')), ('events', ('events',)),
                             ('sub/events', ('sub', 'events')),
                             (self.path('abs'), ('abs',))):
            with self.subTest(value=value):
                self.write('lwt.conf', '[lwt]\nlog = %s\n' % value)
                done = self.lwt('exec', '-w', 'h1', '--', 'true', cwd=self.path('sub', 'dir'))
                self.assertEqual((done.code, done.err), (0, ''), done)
                self.assertIn('command: ok', self.read(*found))
        self.write('lwt.conf', '[lwt]\nssh_config = ssh.conf\n')
        done = self.lwt('exec', '-w', 'h1,h2', '--', 'true', cwd=self.path('sub', 'dir'))
        self.assert_refused(done, 2, 'ssh_config: %s: no such file' % self.path('ssh.conf'))

    def test_FR_29_variables_and_set_are_relative_to_the_current_directory(self):
        """FR-29: as for any other program."""
        os.mkdir(self.path('sub'))
        for words, variables in (((), {'LWT_LOG': 'events'}), (('--set', 'log=events'), {}),
                                 (('--log', 'events'), {})):
            self.lwt('exec', '-w', 'h1', *words, '--', 'true', cwd=self.path('sub'),
                     env=dict(self.env, **variables))
            os.unlink(self.path('sub', 'events'))
        self.lwt('exec', '-w', 'h1', '--log=~/events', '--', 'true')
        os.unlink(self.path('home', 'events'))


class OnHosts(ProgramTestCase):
    """Paths on hosts."""

    def test_FR_29_the_scripts_expand_homes(self):
        """FR-29: ~, ~USER and words that only look like them, in every shell."""
        script = (scripts.source('environment', 'lib')
                  + '\nfor path do expand "$path"; say "$expanded"; done\n')
        paths = ['~', '~/a b', '~%s' % ME.pw_name, "~%s/a b*'$(x)" % ME.pw_name, '~nosuch',
                 '~nosuch/x', '~$(touch x)/y',
                 '~a;b', '~+', '~-', '~1', 'x/~', 'a~', '', '/abs', './~%s' % ME.pw_name]
        home = self.home
        expected = [home, home + '/a b', ME.pw_dir, ME.pw_dir + "/a b*'$(x)"] + paths[4:]
        for shell in SHELLS:
            done = subprocess.run(shell + ('-c', script, 'sh') + tuple(paths), env=dict(self.env),
                                  cwd=self.scratch,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual((done.stdout.decode().split('\n')[:-1], done.stderr), (expected, b''),
                             shell)
        self.assertFalse(os.path.exists(self.path('x')))

    def test_FR_29_copies_to_and_from_the_home_of_a_user(self):
        """FR-29: put … '~user/dir' and get '~user/dir/file'."""
        self.make_workspace([('h1', 'local', '~')])
        self.write('data', 'content\n')
        os.mkdir(self.path('to'))
        there = '~%s/%s' % (ME.pw_name, os.path.relpath(self.path('to'), ME.pw_dir))
        for words in (('put', '-w', 'h1', 'data', there),
                      ('put', '-w', 'h1', 'data', there + '/new'),
                      ('get', '-w', 'h1', there + '/d*', there + '/new', 'got')):
            done = self.lwt(*words)
            self.assertEqual(done.code, 0, done)
        for names in (('to', 'data'), ('to', 'new'), ('got', 'd.h1', 'data'),
                      ('got', 'd.h1', 'new')):
            self.assertEqual(self.read(*names), 'content\n')
        done = self.lwt('reduce', '-w', 'h1', '--input-on-hosts', there + '/d*')
        self.assertEqual((done.code, done.out), (0, 'content\n'), done)
        done = self.lwt('reduce', '-w', 'h1', '-t', there, '--map', 'echo $TMPDIR', stdin=b'x\n')
        self.assertEqual(done.out, os.path.join(ME.pw_dir, there.partition('/')[2]) + '\n', done)
        done = self.lwt('put', '-w', 'h1', 'data', '~nosuchuser/x')
        self.assertEqual(done.code, 1, done)

    def test_FR_29_the_home_of_a_host_may_be_that_of_its_user(self):
        """FR-29: HOME ~USER is the home of that user."""
        self.make_workspace([('h1', 'local', '~' + ME.pw_name)])
        done = self.lwt('exec', '-a', '--', 'pwd -P')
        self.assertEqual((done.code, done.out), (0, os.path.realpath(ME.pw_dir) + '\n'), done)
        for name, home, is_refused in (('you@h', '~you/w', False), ('you@h', '~me/w', True),
                                       ('h', '~you', True)):
            self.write('host.list', '%s\tc\t%s\n' % (name, home))
            done = self.lwt('hosts', '-w', '@c')
            self.assertEqual(done.code, 2 if is_refused else 0, done)
            self.assertEqual('bad HOME' in done.err, is_refused, done)

    def test_FR_29_a_path_in_a_script_of_ours_is_one_word(self):
        """FR-29: only the name of a user stays outside of the quotes."""
        for path, word in (('/a b', b"'/a b'"), ('~', b'~'), ('~/a b', b"~/'a b'"),
                           ('~me/x', b"~me/'x'"),
                           ('~$(x)/y', b"'~$(x)/y'"), ("~/it's", b"~/'it'\\''s'"), ('~me', b'~me')):
            self.assertEqual(scripts.quoted_path(path), word)


if __name__ == '__main__':
    unittest.main()
