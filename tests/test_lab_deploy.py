"""deploy on real hosts, and a queue that runs on one of them."""

import json
import os
import shutil
import unittest

from lwt.commands import deploy
from lwt.remote.exit_status import Verdict
from lwt.workspace.hostlist import Host
from tests.support import ROOT, wait_for
from tests.test_lab_hosts import LabTestCase
from tests.test_pythons import pythons

OLD_PYTHON = '#!/bin/sh\ncase $1 in -c) echo 3.5.2 ;; *) exit 1 ;; esac\n'


class Judging(unittest.TestCase):
    """How a host's answer is interpreted."""

    DIGEST = {'sha256': 'ab', 'cksum': '12'}

    def judge(self, *lines):
        found = deploy._judge(Host('h1'), Verdict('ok', 0, '1 file copied'), self.DIGEST, lines)
        return found.verdict.kind, found.python, found.version

    def test_answers(self):
        self.assertEqual(self.judge('digest sha256 ab', 'runs /usr/bin/python3 3.6.1 lwt 0.1.0'),
                         ('ok', '/usr/bin/python3', '3.6.1'))
        self.assertEqual(self.judge('digest cksum 12', 'none'), ('ok', '', 'none'))
        self.assertEqual(self.judge('digest sha256 ab', 'old /usr/bin/python3 3.5.2'),
                         ('ok', '', 'only 3.5.2'))
        self.assertEqual(self.judge('digest sha256 ab', 'old \x1b[2J 3.5\x07'),
                         ('ok', '', 'only 3.5?'))
        for lines in (('digest sha256 cd', 'runs /p 3.8.0'), ('digest cksum 13', 'none'),
                      ('digest md5 x',), (), ('digest',)):
            self.assertEqual(self.judge(*lines)[0], 'failed', lines)


class Deploying(LabTestCase):
    """What arrives on a host, and what is reported about it."""

    hosts = 4

    def test_the_zipapp_and_the_tools_come_to_the_homes(self):
        self.make_workspace([('h1', 'lab', '~'), ('h2', 'lab', '~/deep/er'), ('h3', 'lab', '~'),
                             ('h4', 'lab', '~')])
        self.write('tools/check.sh', 'echo tool\n', 0o755)
        self.lab.black_hole('h3')
        self.lab.refuse('h4')
        done = self.lwt('deploy', '-a', '-t', '4')
        self.assertEqual(done.code, 3)
        self.assertRegex(done.out, r'\nh1 +yes +3\.\d+\.\d+ /\S+ +2 files copied\nh2 +yes')
        self.assertIn('lwt: h3: unreachable (connection timed out)', done.err)
        self.assertIn('lwt: h4: unreachable (connection refused)', done.err)
        self.assertEqual(os.stat(self.lab.path('h2', 'home', 'deep', 'er')).st_mode & 0o777, 0o700)
        done = self.lwt('exec', '-w', 'h1,h2', '--',
                        'python3 lwt.pyz --version && ./lwt.pyz hosts -w a,b --fold; '
                        'tools/check.sh')
        self.assertEqual(done.out.count('tool\n'), 2, done)
        self.assertEqual(done.out.count('[') + done.out.count('a-b'), 0, done)
        done = self.lwt('deploy', '-w', 'h1', '--json')
        told = json.loads(done.out)
        self.assertEqual((told['class'], told['reason'], told['host']),
                         ('ok', '0 files copied, 2 unchanged', 'h1'))

    def test_a_host_whose_python_is_too_old_is_named_and_served_all_the_same(self):
        self.make_lab_workspace(['h4', 'h2'])
        fake = self.write('python', OLD_PYTHON, 0o755)
        shutil.copy(fake, self.lab.path('h4', 'tmp', 'python'))
        for name in os.listdir('/usr/bin'):
            real = os.path.realpath(os.path.join('/usr/bin', name))
            if name.startswith('python') and real.startswith('/usr/bin/python') and '-' not in name:
                self.lab.inside('h4', 'mount', '--bind', '/tmp/python', real)
        done = self.lwt('deploy', '-a')
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.out, r'\nh4 +no +only 3\.5\.2 +\d file')
        self.assertRegex(done.out, r'\nh2 +yes ')
        self.assertIn('lwt: 1 host has no Python 3.6.1 or later', done.err)

    def test_what_is_damaged_is_replaced(self):
        self.make_lab_workspace(['h2'])
        self.lwt('deploy', '-a')
        with open(self.lab.path('h2', 'home', 'lwt.pyz'), 'r+b') as file:
            file.write(b'X')
        self.assertIn('1 file copied', self.lwt('deploy', '-a').out)
        self.assertIn('yes', self.lwt('deploy', '-a').out)


class FromAHost(LabTestCase):
    """A host with a deployed lwt can be a master."""

    hosts = 3

    def oldest(self):
        """Return (environment, command) of the oldest installed Python, as it is called on a host,
        where our home is hidden.
        """
        python = pythons()[min(pythons())]
        prefix = '/proc/%d/root' % os.getpid()
        top = os.path.dirname(os.path.dirname(os.path.realpath(python)))
        return 'LD_LIBRARY_PATH=%s%s/lib %s%s' % (prefix, top, prefix, os.path.realpath(python))

    def test_a_queue_runs_from_a_copied_folder_onto_two_other_hosts(self):
        self.make_lab_workspace(['h2', 'h3'])
        shutil.copytree(os.path.join(ROOT, 'lwt'), self.path('lwt'),
                        ignore=shutil.ignore_patterns('__pycache__'))
        self.describe('sweep', 'exec : echo "$LWT_ARG on $(hostname)" > out\nd_fetch : out\n')
        done = self.lwt('put', '-w', 'h1', 'lwt', 'host.list', 'lwt.conf', 'description', '.')
        self.assertEqual(done.code, 0, done)
        lwt = ('export LWT_SSH_CONFIG=%s; lwt() { %s -m lwt "$@"; }; '
               % (self.lab.ssh_config, self.oldest()))
        done = self.lwt('exec', '-w', 'h1', '--', lwt + (
            'lwt task add sweep --array 1-6 && lwt task run && cat task.finish/*/result/out'))
        self.assertEqual(done.code, 0, done)
        found = sorted(line for line in done.out.splitlines() if ' on ' in line)
        self.assertEqual([line[0] for line in found], list('123456'), done)
        self.assertEqual({line.split()[-1] for line in found} - {'h2', 'h3'}, set(), done)
        self.assertTrue(wait_for(lambda: self.gone('h1')))

    def test_a_queue_runs_from_the_zipapp_that_was_deployed(self):
        self.make_lab_workspace(['h1'])
        self.assertEqual(self.lwt('deploy', '-a').code, 0)
        script = ('export LWT_SSH_CONFIG=%s; python3 lwt.pyz init ws && cd ws && '
                  'printf "h2\\tlab\\t~\\nh3\\tlab\\t~\\n" >host.list && '
                  'python3 ../lwt.pyz task add sample --array 1-4 && python3 ../lwt.pyz task run '
                  '&& python3 ../lwt.pyz deploy -a')
        done = self.lwt('exec', '-w', 'h1', '--', script % self.lab.ssh_config)
        self.assertEqual(done.code, 0, done)
        self.assertIn('lwt: 4 success', done.err)
        self.assertRegex(done.out, r'\nh3 +yes')
        with open(self.lab.path('h1', 'home', 'lwt.pyz'),
                  'rb') as one, open(self.lab.path('h3', 'home', 'lwt.pyz'), 'rb') as two:
            self.assertEqual(one.read(), two.read())


if __name__ == '__main__':
    unittest.main()
