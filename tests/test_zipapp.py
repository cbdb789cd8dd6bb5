"""lwt without pip: the zipapp, a copied directory, and installations that lack something; and with
pip.
"""

import glob
import os
import shutil
import stat
import subprocess
import sys
import unittest

import lwt
from tests.support import ROOT, ProgramTestCase
from tests.test_pythons import pythons

CODE = "import sys; from lwt.commands import zipapp; sys.stdout.buffer.write(zipapp.build())"


class Zipapp(ProgramTestCase):
    """One file that runs anywhere, and is reproducible."""

    def setUp(self):
        super().setUp()
        del self.env['PYTHONPATH']
        self.copy = self.path('copied')
        shutil.copytree(os.path.join(ROOT, 'lwt'), os.path.join(self.copy, 'lwt'),
                        ignore=shutil.ignore_patterns('__pycache__'))

    def make(self, python=sys.executable, folder=ROOT):
        """Return the zipapp of a directory, as bytes."""
        return subprocess.run([python, '-c', CODE], cwd=folder, env=self.env,
                              stdout=subprocess.PIPE, check=True).stdout

    def run_zip(self, *argv, stdin=b'', python=(sys.executable,), env=None):
        done = subprocess.run(python + argv, cwd=self.scratch, env=self.env if env is None else env,
                              input=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def write_zip(self):
        return self.write('lwt.pyz', self.make(), 0o755)

    def test_the_same_sources_give_the_same_bytes(self):
        wanted = self.make()
        for root, _dirs, names in os.walk(self.copy):
            for name in names:
                os.utime(os.path.join(root, name), (1000000000, 1000000000))
                os.chmod(os.path.join(root, name), 0o600)
        self.write('copied/lwt/left.orig', 'an editor was here')
        umask = os.umask(0o077)
        self.addCleanup(os.umask, umask)
        self.assertEqual(self.make(folder=self.copy), wanted, 'path, times, modes')
        for version, python in pythons().items():
            self.assertEqual(self.make(python), wanted, version)

    def test_make_zipapp_is_that_and_a_zipapp_makes_itself(self):
        path = self.write_zip()
        shutil.copy(os.path.join(ROOT, 'Makefile'), self.copy)
        subprocess.run(['make', '-s', 'zipapp', 'PYTHON=' + sys.executable], cwd=self.copy,
                       env=self.env, check=True,
                       stdout=subprocess.DEVNULL)
        with open(path, 'rb') as file, open(os.path.join(self.copy, 'lwt.pyz'), 'rb') as made:
            data = file.read()
            self.assertEqual(made.read(), data)
        code = 'import sys; sys.path.insert(0, sys.argv[1])\n' + CODE
        inside = subprocess.run([sys.executable, '-c', code, path], env=self.env, cwd=self.scratch,
                                stdout=subprocess.PIPE,
                                check=True).stdout
        self.assertEqual(inside, data)
        code, out, _err = self.run_zip(path, '--version', python=())
        self.assertEqual((code, out[:4]), (0, 'lwt '))

    def test_it_runs_alone_read_only_and_with_nothing_in_the_environment(self):
        folder = self.path('there')
        os.mkdir(folder)
        shutil.move(self.write_zip(), folder)
        os.chmod(folder, 0o555)
        path = os.path.join(folder, 'lwt.pyz')
        bare = {'PATH': os.environ['PATH']}
        for options in ((), ('-I', '-S', '-E')):
            python = (sys.executable,) + options
            self.assertEqual(self.run_zip(path, 'multi', stdin=b'echo zipped', python=python,
                                          env=bare), (0, 'zipped\n', ''))
            code, out, err = self.run_zip(path, 'hosts', '-w', 'h[1-3]', '--fold', python=python,
                                          env={})
            self.assertEqual((code, out, err), (0, 'h[1-3]\n', ''))
        self.assertEqual(os.listdir(folder), ['lwt.pyz'])

    def test_its_scripts_are_read_from_inside(self):
        path = self.write_zip()
        self.write('ws/lwt.conf', '')
        self.write('ws/host.list', 'localhost\tlocal\t~\n')
        done = self.run_zip(path, '-C', 'ws', 'exec', '-a', '--', 'echo "in $PWD"')
        self.assertEqual(done, (0, 'in %s\n' % self.home, ''))
        self.assertEqual(self.run_zip(path, 'demo')[0], 0)

    def test_a_folder_given_to_python_is_the_same_program(self):
        for words in ((os.path.join(self.copy, 'lwt'),), ('copied/lwt/',),
                      ('-I', '-S', os.path.join(self.copy, 'lwt'))):
            with self.subTest(words=words):
                self.assertEqual(self.run_zip(*words, 'multi', stdin=b'echo here')[:2],
                                 (0, 'here\n'))
        done = subprocess.run([sys.executable, '-m', 'lwt', 'multi'], cwd=self.copy,
                              input=b'echo here', stdout=subprocess.PIPE,
                              env=self.env)
        self.assertEqual((done.returncode, done.stdout), (0, b'here\n'))

    def test_a_python_that_is_too_old_is_told_so(self):
        path = self.write_zip()
        code = 'import sys, runpy\nsys.version_info = (3, 5, 2)\nrunpy.run_path(%r)' % path
        done = self.run_zip('-c', code)
        self.assertEqual(done[0], 1)
        self.assertIn('lwt: needs Python 3.6.1 or later', done[2])


class WithoutSqlite(ProgramTestCase):
    """A Python without sqlite3: everything except tasks works."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')])
        self.write('lacking/sqlite3.py', 'raise ImportError("No module named _sqlite3")\n')
        self.env['PYTHONPATH'] = self.path('lacking') + os.pathsep + ROOT

    def test_everything_but_tasks_works(self):
        self.assertEqual(self.lwt('exec', '-a', '--', 'echo ran').out, 'ran\n')
        self.assertEqual(self.lwt('multi', stdin=b'echo ran').out, 'ran\n')
        self.assertEqual(self.lwt('hosts').out, 'localhost\n')
        self.write('a', 'content')
        self.assertEqual(self.lwt('put', '-a', 'a', 'b').code, 0)
        self.assertEqual(self.lwt('get', '-a', 'b', 'out').code, 0)
        self.assertEqual(self.read('out', 'd.localhost', 'b'), 'content')
        self.assertEqual(self.lwt('deploy', '-a').code, 0)

    def test_tasks_say_what_is_missing(self):
        for words in (('task', 'show'), ('task', 'add', 'sample'), ('demo',)):
            self.assert_refused(self.lwt(*words), 74, 'has no sqlite3',
                                'hint: run lwt with another Python')
        self.assertEqual(self.lwt('task', '--help').code, 0)


@unittest.skipIf(shutil.which('make') is None, 'make is not installed')
class WithMake(ProgramTestCase):
    """make install and make uninstall."""

    FILES = {'bin/lwt': 0o755, 'share/man/man1/lwt.1': 0o644,
             'share/bash-completion/completions/lwt': 0o644,
             'share/zsh/site-functions/_lwt': 0o644,
             'share/fish/vendor_completions.d/lwt.fish': 0o644}

    def make(self, *words, umask=0o022):
        done = subprocess.run(['make', '-s', '-C', ROOT, 'PYTHON=' + sys.executable] + list(words),
                              env=self.env, preexec_fn=lambda: os.umask(umask),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout.decode())
        return done.stdout.decode()

    def found(self, top):
        """Return {path below top: mode} of the installed files."""
        return {os.path.relpath(os.path.join(folder, name), top):
                stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)
                for folder, _folders, names in os.walk(top) for name in names}

    def test_it_installs_readable_files_and_removes_them(self):
        top = self.path('a prefix')
        self.assertIn('hint: add %s/bin to PATH' % top,
                      self.make('install', 'PREFIX=' + top, umask=0o077))
        self.assertEqual(self.found(top), self.FILES)
        for folder, _folders, _names in os.walk(top):
            self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o755, folder)
        env = {name: self.env[name] for name in self.env if name != 'PYTHONPATH'}
        done = subprocess.run([os.path.join(top, 'bin', 'lwt'), '--version'], env=env,
                              cwd=self.scratch, stdout=subprocess.PIPE)
        self.assertEqual((done.returncode, done.stdout.decode()),
                         (0, 'lwt %s\n' % lwt.__version__))
        self.make('uninstall', 'PREFIX=' + top)
        self.assertEqual(self.found(top), {})

    def test_DESTDIR_comes_before_the_prefix(self):
        self.make('install', 'DESTDIR=' + self.path('dest'), 'PREFIX=/usr')
        self.assertEqual(self.found(self.path('dest', 'usr')), self.FILES)


class WithPip(ProgramTestCase):
    """pip install . in a fresh environment."""

    slow = True

    def test_pip_installs_a_command_that_needs_nothing_else(self):
        shutil.copytree(ROOT, self.path('source'),
                        ignore=shutil.ignore_patterns('.git', '__pycache__', 'build', '*.egg-info'))
        python = self.path('venv', 'bin', 'python')
        try:
            # With the pip of this Python: to install another takes longer than the test.
            subprocess.run([sys.executable, '-m', 'venv', '--without-pip',
                            '--system-site-packages', self.path('venv')], check=True,
                           stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        except subprocess.CalledProcessError:
            self.skipTest('this Python cannot make a venv')
        env = dict(os.environ, PYTHONPATH='')
        done = subprocess.run([python, '-m', 'pip', 'install', '-q', '.'], cwd=self.path('source'),
                              env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode and b'No module named pip' in done.stdout:
            self.skipTest('this Python has no pip')
        if (done.returncode and b'setuptools' in done.stdout
            and b'No matching distribution' in done.stdout):
            self.skipTest('setuptools cannot be had: no package index is reached')
        self.assertEqual(done.returncode, 0, done.stdout.decode())
        done = subprocess.run([self.path('venv', 'bin', 'lwt'), 'exec', '-w', 'localhost', '--set',
                               'connect_timeout=0', '--json',
                               '--', 'true'], cwd=self.scratch, env=self.env,
                              stdout=subprocess.PIPE)
        # Whatever this machine's sshd answers: the scripts of the package were found.
        self.assertIn(b'"host": "localhost"', done.stdout)
        metadata, = glob.glob(
            self.path('venv', 'lib', 'python*', 'site-packages', 'lwt-*.dist-info', 'METADATA'))
        with open(metadata, encoding='utf-8') as file:
            self.assertNotIn('Requires-Dist', file.read())


if __name__ == '__main__':
    unittest.main()
