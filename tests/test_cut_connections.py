"""Connections that are cut after every 64th byte of the server's stream: nothing runs twice."""

import collections
import concurrent.futures
import contextlib
import json
import os
import random
import unittest

from tests import lab
from tests.fault_proxy import CutProxy
from tests.support import ALL_STEPS, ProgramTestCase, wait_for

STEP = 64                       # bytes between two cuts
# One of so many cuts is tested, for commands with one login and for those with several.
STRIDE, LONG_STRIDE = (1, 1) if ALL_STEPS else (4, 40)
NEVER = 1 << 40
# So many in one workspace: all its hosts are this machine, which has to log in to itself.
MOST_HOSTS = 100

ALIAS = '''\
Host {name}
    HostName 127.0.0.1
    Port {port}
    HostKeyAlias cut
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
'''

# Records each command that sshd starts, by the home in its text, and runs it.
FORCED = ('command="echo \\"$SSH_ORIGINAL_COMMAND\\" | grep -o \'homes/[a-z0-9]*\' | head -n 1 '
          '>>{log}; exec /bin/sh -c \\"$SSH_ORIGINAL_COMMAND\\"" ')


def some_cuts(longest, stride):
    """Return [(kind, after)]: cuts after every STEP bytes of a stream, or one of so many of them.

    They always include one at the beginning, one within the first line of sshd, and one after the
    whole stream.
    """
    places = list(range(STEP, longest + STEP, STEP))[random.randrange(stride)::stride]
    return [(kind, after) for after in [0, STEP // 4] + places + [longest + STEP]
            for kind in ('close', 'reset')]


class CutConnections(ProgramTestCase):
    """One sshd behind a proxy with a port for each cut; each port is a host with its own home."""

    slow = True

    def setUp(self):
        if lab.why_not_sshd():
            self.skipTest(lab.why_not_sshd())
        super().setUp()
        self._stack = contextlib.ExitStack()
        self.addCleanup(self._stack.close)
        self.lab = self._stack.enter_context(lab.LoopbackLab(1))
        with open(self.lab.path('user_key.pub'), 'r+') as file:
            key = file.read()
            file.seek(0)
            file.write(FORCED.format(log=self.path('starts')) + key)
        with open(self.lab.path('host_key.pub')) as file:
            self.known = self.write('known', 'cut ' + ' '.join(file.read().split()[:2]) + '\n')

    def tearDown(self):
        self._stack.close()             # before the descriptors are counted
        super().tearDown()

    def proxy(self, cuts):
        """Start a CutProxy; its ports become the hosts of the workspace, in the order of cuts."""
        proxy = self._stack.enter_context(CutProxy(self.lab.address('h1')[1], cuts))
        names = ['%s%d' % cut for cut in cuts]
        self.write('ssh_config', ''.join(
            ALIAS.format(name=name, port=port, key=self.lab.path('user_key'), known=self.known)
            for name, port in zip(names, proxy.ports)))
        for name in names:
            os.makedirs(self.path('homes', name))
        self.make_workspace([(name, 'cut', self.path('homes', name)) for name in names],
                            ssh_config=self.path('ssh_config'), connect_timeout=20,
                            quarantine_wait=1,
                            quarantine_longest=2)
        return proxy

    def cuts(self, stride, *words):
        """Return cuts of a command's connection. A first run without any cut shows its length."""
        proxy = self.proxy([('close', NEVER)])
        done = self.lwt(*words)
        self.assertEqual(done.code, 0, done)
        self.wait_for_sessions()
        longest = max(max(counts) for counts in proxy.counts.values())
        return some_cuts(longest, stride)

    def wait_for_sessions(self):
        """Wait until sshd serves no session, so that nothing starts later."""
        self.assertTrue(wait_for(lambda: not lab.children(self.lab.listeners['h1']), 30))

    def count_lines(self, *names):
        return len(self.read(*names).splitlines()) if os.path.exists(self.path(*names)) else 0

    def test_an_exec_runs_once_or_is_not_said_to_have_run(self):
        words = ('exec', '-a', '--json', '--', 'echo ran >>ran; echo output')
        cuts = self.cuts(STRIDE, *words)
        self.proxy(cuts)
        done = self.lwt(*words, timeout=300)
        self.wait_for_sessions()
        classes = collections.Counter()
        for line in done.out.splitlines():
            said = json.loads(line)
            ran = self.count_lines('homes', said['host'], 'ran')
            with self.subTest(said=said):
                self.assertLessEqual(ran, 1)
                if said['class'] == 'ok':
                    self.assertEqual((ran, said['stdout']), (1, 'output\n'))
                elif said['class'] != 'lost':
                    self.assertEqual(ran, 0)
            classes[said['class'], ran] += 1
        self.assertEqual(sum(classes.values()), len(cuts))
        self.assertEqual(done.code, 3)
        self.assertTrue(classes['lost', 1] and classes['ok', 1] and classes['refused', 0], classes)
        self.assertEqual({kind for kind, _ran in classes}, {'lost', 'ok', 'refused'}, done.err)

    def test_a_put_is_done_once_and_a_target_is_complete_or_not_there(self):
        self.write('data', 'content\n')
        words = ('put', '-a', 'data', 'copy')
        cuts = self.cuts(STRIDE, *words)
        os.unlink(self.path('starts'))
        self.proxy(cuts)
        done = self.lwt('-v', *words, timeout=300)
        self.wait_for_sessions()
        starts = collections.Counter(self.read('starts').split())
        for name in ['%s%d' % cut for cut in cuts]:
            said = [line for line in done.err.splitlines() if line.startswith('lwt: %s: ' % name)]
            found = os.listdir(self.path('homes', name))
            with self.subTest(said=said):
                self.assertLessEqual(starts['homes/' + name], 1)
                self.assertIn(found, ([], ['copy']))
                if 'copied' in said[-1]:
                    self.assertEqual(self.read('homes', name, 'copy'), 'content\n')
                elif 'unreachable' in said[-1]:
                    self.assertEqual((starts['homes/' + name], found), (0, []))

    def test_a_task_starts_once_on_whatever_host(self):
        cuts, top = some_cuts(8192, LONG_STRIDE), self.scratch
        for at in range(0, len(cuts), MOST_HOSTS):
            self.scratch = os.path.join(top, 'from%d' % at)
            os.mkdir(self.scratch)
            self.check_tasks(cuts[at:at + MOST_HOSTS])

    def check_tasks(self, cuts):
        """Run as many tasks as there are cuts, on one host each, and check them."""
        self.describe('t', 'exec : echo $LWT_TASK >>%s; echo output >result\nretries : 0\n'
                           % self.path('started'))
        proxy = self.proxy(cuts)
        self.assertEqual(self.lwt('task', 'add', 't', '--array', '1-%d' % (len(cuts))).code, 0)
        for _pass in range(2):
            self.lwt('task', 'update', timeout=300)
        proxy.heal()
        done = self.lwt('task', 'run', timeout=300)
        self.assertEqual(done.code, 0, done)
        started = collections.Counter(self.read('started').split())
        self.assertEqual({count for count in started.values()}, {1})
        self.assertEqual(len(started), len(cuts))
        self.assertEqual(len([path for path in self.results()
                              if os.path.exists(os.path.join(path, 'result', 'result'))]),
                         len(cuts))

    def test_a_reduce_runs_its_command_once_on_a_host(self):
        self.write('lines', 'b\na\n')
        words = ('-i', 'lines', '-r', 'echo ran >>ran; cat', '-o', 'out')
        cuts = self.cuts(LONG_STRIDE, 'reduce', '-a', *words)
        self.proxy(cuts)

        def run(cut):
            name = '%s%d' % cut
            done = self.lwt('reduce', '-w', name, *words[:-1], 'out.' + name, timeout=120)
            return name, done

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            ended = list(pool.map(run, cuts))
        self.wait_for_sessions()
        for name, done in ended:
            ran = self.count_lines('homes', name, 'ran')
            with self.subTest(name=name, ran=ran, said=done.err):
                self.assertLessEqual(ran, 1)
                if done.code == 0:
                    self.assertEqual((ran, self.read('out.' + name)), (1, 'a\nb\n'))
                else:
                    self.assertFalse(os.path.exists(self.path('out.' + name)))
                    if 'unreachable' in done.err:
                        self.assertEqual(ran, 0)
        self.assertEqual({done.code for _name, done in ended} - {0, 3}, {1} & {
            done.code for _name, done in ended})


if __name__ == '__main__':
    unittest.main()
