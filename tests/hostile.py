"""A test run with hostile hosts: python3 -m tests.hostile [SECONDS [TASKS]].

First it runs all tests of attacks (SR-1, SR-2, ...). Then, for five minutes or SECONDS, lwt runs
300 tasks on twenty hosts. Five of these hosts are hostile, each in another way every ten seconds.
Then every task is checked: each attempt was started at most once on the honest hosts, memory, disk
and output kept their limits, and the honest tasks succeeded. Exits with 0 if all of that holds.
"""

import collections
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time

from lwt.workspace import nodeset
from tests import disk, hostile_host, lab
from tests.support import ROOT
from tests.test_hostile_hosts import MOST_DISK, MOST_MEMORY, SETTINGS, UNSAFE, HostileLab, memory_of

HONEST, HOSTILE = 15, 5
CHANGE_EVERY = 10.0
DESC = 'exec : sh run.sh\nd_fetch : output\nretries : 20\nretry_on : lost\n'
# Chosen so that 300 of them take about five minutes on the honest hosts.
RUN = ('echo "$LWT_TASK.$LWT_ATTEMPT" >>"$d_home/starts"\nsleep $((LWT_ARG % 7 * 5 + 2))\n'
       'mkdir output && echo "$LWT_TASK" >output/id\n')
AFTERWARDS = 600                # seconds that the run may take after the test's time


class TrialLab(HostileLab):
    """Fifteen honest hosts and five hostile ones."""

    def __init__(self):
        lab.LoopbackLab.__init__(self, HONEST + HOSTILE)
        self.hostile = dict(zip(self.names[HONEST:], hostile_host.WAYS))


def change_ways(hosts, is_over):
    """Change again and again the way in which each hostile host is hostile."""
    rng = random.Random(14)
    while not is_over.wait(CHANGE_EVERY):
        for name in hosts.hostile:
            hosts.become(name, rng.choice(sorted(hostile_host.WAYS)))


class Trial:
    """One run of lwt with its tasks, and the observations about it."""

    def __init__(self, hosts, root):
        self._hosts = hosts
        self._root = root
        self._env = dict(os.environ, PYTHONPATH=ROOT, HOME=root, LWT_SSH_CONFIG=hosts.ssh_config,
                         TMPDIR=os.path.join(root, 'tmp'))
        self.problems = []

    def lwt(self, *words):
        """Run lwt to its end; return its standard output."""
        return subprocess.run([sys.executable, '-m', 'lwt', *words], cwd=self._root, env=self._env,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, check=True).stdout.decode()

    def prepare(self, tasks):
        """Make the workspace."""
        os.mkdir(os.path.join(self._root, 'tmp'))
        self.lwt('init', '.')
        self._write('host.list', ''.join('%s\tlab\t%s\n' % (name, self._hosts.home(name))
                                         for name in self._hosts.names))
        self._write('lwt.conf',
                    '[lwt]\n' + ''.join('%s = %s\n' % item for item in SETTINGS.items()))
        os.makedirs(os.path.join(self._root, 'description', 't'))
        self._write('description/t/desc', DESC)
        self._write('description/t/run.sh', RUN)
        self.lwt('task', 'add', 't', '--array', '1-%d' % tasks)

    def _write(self, name, text):
        with open(os.path.join(self._root, name), 'w') as file:
            file.write(text)

    def check(self, holds, text):
        """Note a problem unless something holds."""
        if not holds:
            self.problems.append(text)

    def run(self, seconds):
        """Run the tasks to their end, and check the limits meanwhile."""
        code, said = self._run_once(time.monotonic() + seconds + AFTERWARDS)
        self.check(code == 3, 'task run ended with %s: %s' % (code, said[-2000:]))
        named = re.findall('^lwt: (.*): not trusted: ', said, re.M)
        for hosts in re.findall('^lwt: [0-9]+ hosts? still unavailable: (.*?): ', said, re.M):
            named += nodeset.expand(hosts)
        for name in self._hosts.hostile:
            self.check(named.count(name) == 1,
                       '%s is named %d times in the end' % (name, named.count(name)))
        return code, said

    def _run_once(self, latest):
        path = os.path.join(self._root, 'said')
        with open(path, 'wb') as said:
            popen = subprocess.Popen([sys.executable, '-m', 'lwt', 'task', 'run'], cwd=self._root,
                                     env=self._env,
                                     stdin=subprocess.DEVNULL, stdout=said,
                                     stderr=subprocess.STDOUT)
            most_disk, most_memory = 0, 0
            while popen.poll() is None:
                time.sleep(0.2)
                most_disk = max(most_disk, disk.size_of(self._root))
                most_memory = max(most_memory, memory_of(popen.pid))
                if time.monotonic() > latest:
                    self.problems.append('task run did not end')
                    popen.kill()
                    latest = float('inf')
        with open(path, errors='replace') as file:
            text = file.read()
        self.check(most_memory < MOST_MEMORY, 'memory: %d KiB' % most_memory)
        self.check(most_disk < MOST_DISK, 'disk: %d bytes' % most_disk)
        self.check('Traceback' not in text and not UNSAFE.findall(text.replace('\n', '')),
                   'printed: %r' % text[-2000:])
        return popen.returncode, text

    def account(self, tasks):
        """Compare the starts on honest hosts with what lwt reports; return the number of tasks for
        each outcome.
        """
        starts = collections.Counter()
        for name in self._hosts.names[:HONEST]:
            path = os.path.join(self._hosts.home(name), 'starts')
            if os.path.exists(path):
                with open(path) as file:
                    starts.update(file.read().split())
        self.check(starts and max(starts.values()) == 1,
                   'started twice: %s' % [key for key in starts if starts[key] > 1])
        shown = [json.loads(line) for line in self.lwt('task', 'show', '--json').splitlines()]
        self.check(len(shown) == tasks, '%d tasks are known' % len(shown))
        honest = [task for task in shown if task['host'] not in self._hosts.hostile]
        bad = [task['id'] for task in honest if task['outcome'] != 'success']
        self.check(not bad, 'no success on an honest host: %s' % bad)
        return collections.Counter(
            '%s%s' % ('hostile host: ' if task['host'] in self._hosts.hostile else '',
                      task['outcome'] or task['state']) for task in shown)


def main(argv):
    """Run everything; return an exit code."""
    seconds, tasks = (list(map(int, argv)) + [300, 300][len(argv):])[:2]
    reason = lab.why_not_sshd()
    if reason:
        print('no trial: ' + reason)
        return 1
    tests = subprocess.run([sys.executable, '-m', 'tests', 'SR_', 'HostileHosts'], cwd=ROOT)
    with tempfile.TemporaryDirectory(prefix='lwt-hostile.') as root, TrialLab() as hosts:
        trial, is_over = Trial(hosts, root), threading.Event()
        trial.prepare(tasks)
        changing = threading.Thread(target=change_ways, args=(hosts, is_over))
        changing.start()
        try:
            code, said = trial.run(seconds)
        finally:
            is_over.set()
            changing.join()
        print(said[-4000:])
        print('task run: exit code %s; %s' % (code, dict(trial.account(tasks))))
    for problem in trial.problems:
        print('problem: ' + problem)
    return 1 if trial.problems or tests.returncode else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
