"""A soak test: five hundred tasks on thirty lab hosts with faults, while lwt is killed every few
seconds; then the ledger.

    python3 -m tests.soak [SECONDS [TASKS [HOSTS]]]         default: ten minutes, 500 and 30
    make soak SECONDS=120

It needs root. A seed determines the faults: black holes, broken connections, lost packets, reboots,
full disks. A user adds, kills, suspends and resumes tasks. Every pass is killed with kill -9. When
the time is over, the faults end, and lwt has to finish everything. Then every task is checked: how
often each attempt was started, how it ended, whether the master has its result and it is correct,
and what is left anywhere. The exit code is 0 if all of that is correct.
"""

import collections
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from tests import lab, ledger
from tests.support import ROOT

DESC = 'exec : sh run.sh\nd_fetch : output\nretries : 50\nretry_on : lost\n'
RUN = '''\
echo "$LWT_TASK.$LWT_ATTEMPT" >>/tmp/starts
sleep $((LWT_ARG % 15 + 3))
until mkdir -p output && echo "$LWT_TASK.$LWT_ATTEMPT" >output/id; do sleep 1; done 2>/dev/null
[ $((LWT_ARG % 7)) -ne 0 ] ||
  until head -c 300000 /dev/zero >output/large; do sleep 1; done 2>/dev/null
[ $((LWT_ARG % 50)) -ne 0 ] || exit 3
'''
OPTIONS = dict(connect_timeout='3', hello_timeout='4', stall='15', grace='1', lease='10',
               fanout='40', quarantine_wait='2',
               quarantine_longest='10', max_dtask_day='2', max_dtask_night='2', min_disk='4')
DISK_MIB = 24           # of a host's home
ROUNDS = 40             # maximum number of passes at the end, without faults
ADDS = 20               # the tasks are added in so many parts


class SoakLab(lab.Lab):
    """Hosts whose homes are small disks of their own."""

    def _configure(self):
        super()._configure()
        for name in self.names:
            subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=%dm' % DISK_MIB, 'tmpfs',
                            self.home(name)], check=True)

    def down(self):
        for name in self.names:
            subprocess.run(['umount', '-l', self.home(name)], stderr=subprocess.DEVNULL)
        super().down()

    def fill(self, name):
        """Fill the disk of a host."""
        try:
            with open(os.path.join(self.home(name), 'filler'), 'wb', buffering=0) as file:
                for _ in range(DISK_MIB):               # no more than fits on that disk
                    file.write(bytes(1 << 20))
        except OSError:
            pass

    def reboot(self, name):
        """Kill all processes of a host at once and give it another boot id; its sshd listens again.
        """
        for pid in self.pids(name):
            if pid != self.listeners[name]:
                lab._kill(pid)
        self.new_boot_id(name)

    def heal(self, name):
        super().heal(name)
        filler = os.path.join(self.home(name), 'filler')
        if os.path.exists(filler):
            os.unlink(filler)


class Weather(threading.Thread):
    """Causes a fault on a host about three times a second, and heals it some seconds later."""

    def __init__(self, hosts, rng):
        super().__init__()
        self._lab = hosts
        self._rng = rng
        self._over = threading.Event()
        self.counts = collections.Counter()
        self._sick = {}                 # host -> when it is healed

    def run(self):
        while not self._over.wait(self._rng.uniform(0.1, 0.6)):
            now = time.monotonic()
            for name in [name for name, until in self._sick.items() if until < now]:
                self._lab.heal(name)
                del self._sick[name]
            name = self._rng.choice(self._lab.names)
            if name not in self._sick and len(self._sick) < len(self._lab.names) // 2:
                self._spoil(name, now)
        for name in self._sick:
            self._lab.heal(name)

    def _spoil(self, name, now):
        kind = self._rng.choice(
            ('black hole', 'reset', 'reset', 'loss', 'refusal', 'new start', 'full disk'))
        self.counts[kind] += 1
        act = {'black hole': self._lab.black_hole, 'reset': self._lab.kill_sessions,
               'refusal': self._lab.refuse,
               'loss': lambda host: self._lab.loss(host, '0.1'), 'new start': self._lab.reboot,
               'full disk': self._lab.fill}
        act[kind](name)
        self._sick[name] = now + self._rng.uniform(1, 12)

    def clear(self):
        """Heal all hosts, and end."""
        self._over.set()
        self.join()


class User:
    """Adds tasks, and kills, suspends and resumes some of them."""

    def __init__(self, lwt, total, rng):
        self._lwt = lwt
        self._left = total
        self._part = -(-total // ADDS)
        self._total = total
        self._rng = rng
        self.killed = set()

    @property
    def added(self):
        return self._total - self._left

    def act(self, share):
        """Act once. share: how much of the time is over, from 0 to 1."""
        if self._left and share * ADDS * 1.5 >= self.added // self._part:
            first, count = self.added + 1, min(self._part, self._left)
            if self._lwt('task', 'add', 'soak', '--array',
                         '%d-%d' % (first, first + count - 1)) == 0:
                self._left -= count
        elif self.added:
            number, verb = self._rng.randrange(1, self.added + 1), self._rng.choice(
                ('suspend', 'resume', 'resume', 'kill'))
            self.killed.update([number] if verb == 'kill' else [])
            self._lwt('-q', 'task', verb, '%06d' % number)


class Soak:
    """The workspace, and the runs of lwt in it."""

    def __init__(self, hosts, root, rng):
        self._lab = hosts
        self.root = root
        self._rng = rng
        self._env = dict(os.environ, PYTHONPATH=ROOT, LWT_SSH_CONFIG=hosts.ssh_config)
        self.kills = self.passes = 0
        self.said = collections.Counter()

    def make(self):
        """Make the workspace."""
        self.lwt('init', '.')
        for name, text in (
                ('host.list', ''.join('%s\tlab\t~\n' % name for name in self._lab.names)),
            ('lwt.conf',
                    '[lwt]\n' + ''.join('%s = %s\n' % item for item in OPTIONS.items())),
            ('description/soak/desc', DESC), ('description/soak/run.sh', RUN)):
            os.makedirs(os.path.dirname(os.path.join(self.root, name)), exist_ok=True)
            with open(os.path.join(self.root, name), 'w') as file:
                file.write(text)

    def start(self, *words):
        return subprocess.Popen((sys.executable, '-m', 'lwt') + words, cwd=self.root, env=self._env,
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def _heard(self, err):
        for line in err.decode('utf-8', 'replace').splitlines():
            if 'Traceback' in line or 'bug' in line or ('unexpected answer' in line):
                print(err.decode('utf-8', 'replace')[-3000:], flush=True)
                self.said['bug'] += 1
                break

    def lwt(self, *words, timeout=120):
        """Run lwt; return its exit code."""
        popen = self.start(*words)
        try:
            err = popen.communicate(timeout=timeout)[1]
        except subprocess.TimeoutExpired:
            popen.kill()
            err = popen.communicate()[1]
        self._heard(err)
        if popen.returncode == 2:
            raise RuntimeError(err.decode('utf-8', 'replace'))
        return popen.returncode

    def one_pass(self):
        """Run a pass, or `task run`, and kill it after a few seconds unless it has ended before."""
        popen = self.start('-q', 'task', self._rng.choice(('update', 'run', 'run')))
        try:
            err = popen.communicate(timeout=self._rng.uniform(0.5, 6))[1]
        except subprocess.TimeoutExpired:
            popen.kill()
            err = popen.communicate()[1]
            self.kills += 1
        self.passes += 1
        self._heard(err)

    def homes(self):
        return {name: self._lab.home(name) for name in self._lab.names}

    def finish(self, numbers):
        """Without faults: run until no task is open and nothing is left. Held tasks are resumed."""
        for name in self._lab.names:
            self.lwt('hosts', '--back', name)
        for _round in range(ROUNDS):
            self.lwt('-q', 'task', 'resume', *numbers)
            self.lwt('-q', 'task', 'run')
            if all(not entry.problems for entry in self.entries()) and not self.remains()[0]:
                return

    def remains(self):
        """Return (what should be gone, what interrupted calls left on hosts). The next call to a
        host removes the latter or, after a reboot, the first call after a day.
        """
        found = ledger.remains(self.root, self.homes())
        cut = [line for line in found
               if any(': t/' + name in line for name in ('part.', 'bell.', 'pipe.'))]
        return [line for line in found if line not in cut], cut

    def entries(self):
        return ledger.entries(self.root,
                              [self._lab.path(name, 'tmp', 'starts') for name in self._lab.names])


def wrong(entries, user):
    """Return the tasks with an unexpected outcome."""
    found = []
    for entry in entries:
        expected = ({'failed' if entry.number % 50 == 0 else 'success'}
                    | ({'killed'} if entry.number in user.killed else set()))
        if entry.outcome not in expected:
            found.append('%06d: %s, not %s'
                         % (entry.number, entry.outcome or 'open', ' or '.join(sorted(expected))))
    return found


def report(soak, weather, user, began):
    """Print the ledger; return the number of problems."""
    entries = soak.entries()
    for entry in entries:
        print(entry)
    problems = ['%06d: %s' % (entry.number, problem) for entry in entries
                for problem in entry.problems]
    left, cut = soak.remains()
    problems += wrong(entries, user) + left + ['a bug was told'] * soak.said['bug']
    if len(entries) != user.added:
        problems.append('%d tasks were added, %d are there' % (user.added, len(entries)))
    ends = collections.Counter(end for entry in entries for end in entry.ends)
    print('\n%d tasks: %s'
          % (len(entries), ', '.join('%d %s' % (count, outcome or 'open') for outcome, count in
                                     collections.Counter(
                                                         entry.outcome
                                                         for entry in entries).most_common())))
    print('%d attempts: %s' % (
        sum(ends.values()), ', '.join('%d %s' % (count, end) for end, count in ends.most_common())))
    print('%d starts, none of an attempt twice' % sum(sum(entry.starts) for entry in entries)
          if not problems else
          'NOT RIGHT:\n  ' + '\n  '.join(problems))
    print('on hosts %d remnants of calls that were cut off wait for the next call' % len(cut))
    print('%d passes, %d of them killed; weather: %s; %.0f s' % (
        soak.passes, soak.kills,
        ', '.join('%d %s' % (count, kind) for kind, count in weather.counts.most_common()),
        time.monotonic() - began))
    return len(problems)


def main(argv):
    """Run the test; return an exit code."""
    seconds, total, count = [int(word) for word in argv] + [600, 500, 30][len(argv):]
    reason = lab.why_not_root_lab()
    if reason:
        print('the soak needs namespaces: ' + reason, file=sys.stderr)
        return 2
    rng, root, began = random.Random(6), tempfile.mkdtemp(prefix='lwt-soak.'), time.monotonic()
    try:
        with SoakLab(count) as hosts:
            soak, weather = Soak(hosts, root, rng), Weather(hosts, random.Random(7))
            soak.make()
            user = User(soak.lwt, total, rng)
            weather.start()
            try:
                while time.monotonic() - began < seconds or user.added < total:
                    user.act((time.monotonic() - began) / seconds)
                    soak.one_pass()
            finally:
                weather.clear()
            soak.finish(['%06d' % number for number in range(1, user.added + 1)])
            return 1 if report(soak, weather, user, began) else 0
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
