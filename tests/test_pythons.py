"""The same demo, and a task on a real host, with four Pythons; `make pythons` tests all of them."""

import glob
import os
import random
import re
import shutil
import subprocess
import sys
import unittest

from tests import lab
from tests.support import ALL_STEPS, ProgramTestCase, wait_for

NEWEST = 13
TASK = 'exec : echo "$LWT_HOST" > out\nd_fetch : out\n'


def pythons():
    """Return {(3, minor): path} of the interpreters from 3.6 to 3.13: on PATH, in a pyenv, or this
    one.
    """
    found = {}
    places = (os.environ.get('PATH', '').split(os.pathsep)
              + glob.glob(os.path.expanduser('~/.pyenv/versions/*/bin')))
    for minor in range(6, NEWEST + 1):
        for place in places:
            path = os.path.join(place, 'python3.%d' % minor)
            if os.access(path, os.X_OK) and _is_version(path, minor):
                found[3, minor] = path
                break
    found.setdefault(sys.version_info[:2], sys.executable)
    return found


def _is_version(path, minor):
    done = subprocess.run([path, '--version'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode == 0 and re.match(rb'Python 3\.%d\.' % minor, done.stdout) is not None


class EveryPython(ProgramTestCase):
    """The first steps of users."""

    slow = True                         # so that it is started first

    def each(self):
        """Yield (version, path) of three interpreters, or of all with ALL_STEPS.

        Missing interpreters are skipped by name.
        """
        found = pythons()
        between = random.sample(range(7, NEWEST), NEWEST - 7 if ALL_STEPS else 1)
        for minor in [6] + sorted(between) + [NEWEST]:
            with self.subTest(python='3.%d' % minor):
                if (3, minor) not in found:
                    self.skipTest('Python 3.%d is not installed' % minor)
                self.python = found[3, minor]
                yield '3.%d' % minor

    def test_the_demo_runs_and_leaves_nothing(self):
        for version in self.each():
            done = self.lwt('demo', env=dict(self.env, TMPDIR=self.scratch))
            self.assertEqual(done.code, 0, (version, done))
            self.assertIn('lwt: 12 success', done.err)
            self.assertIn('r = 4.00    0.693', done.out)
            self.assertEqual(os.listdir(self.scratch), ['home'])

    def test_a_task_goes_through_a_real_host(self):
        reason = lab.why_not_sshd()
        if reason:
            self.skipTest(reason)
        with lab.LoopbackLab(1) as one:
            self.env['LWT_SSH_CONFIG'] = one.ssh_config
            self.make_workspace([('h1', 'lab', one.home('h1'))])
            self.describe('one', TASK)
            for version in self.each():
                self.assertEqual(self.lwt('task', 'add', 'one').code, 0, version)
                done = self.lwt('task', 'run')
                self.assertEqual(done.code, 0, (version, done))
                self.assertEqual(self.read(self.results()[-1], 'result', 'out'), 'h1\n')
                done = self.lwt('exec', '-u', '8', '--grace', '0.5', '-a', '--',
                                'echo begun; sleep 9991')
                self.assertEqual((done.code, done.out), (3, 'begun\n'), (version, done))
            self.assertTrue(wait_for(lambda: not lab.descendants(one.listeners['h1'])))

    def test_a_copied_folder_and_a_zipapp_run_without_installing(self):
        shutil.copytree(os.path.join(os.path.dirname(__file__), os.pardir, 'lwt'),
                        self.path('copied', 'lwt'),
                        ignore=shutil.ignore_patterns('__pycache__'))
        env = dict(self.env)
        del env['PYTHONPATH']
        subprocess.run(
            [sys.executable, '-m', 'zipapp', self.path('copied'), '-m', 'lwt.__main__:run', '-o',
             self.path('lwt.pyz')], check=True)
        for version in self.each():
            done = subprocess.run(
                [self.python, '-I', '-S', '-c', 'import sys; sys.path.insert(0, "."); '
                 'from lwt.cli import main; sys.exit(main(["multi"]))'], cwd=self.path('copied'),
                input=b'echo here', stdout=subprocess.PIPE, env=env, timeout=60)
            self.assertEqual((done.returncode, done.stdout), (0, b'here\n'), version)
            done = subprocess.run([self.python, self.path('lwt.pyz'), 'multi'], cwd=self.scratch,
                                  input=b'echo zipped',
                                  stdout=subprocess.PIPE, env=env, timeout=60)
            self.assertEqual((done.returncode, done.stdout), (0, b'zipped\n'), version)


if __name__ == '__main__':
    unittest.main()
