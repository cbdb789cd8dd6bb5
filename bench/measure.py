"""Time commands side by side: the best of several rounds. Each round runs every command once."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from tests import lab

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LWT = '%s -m lwt' % sys.executable


class Peer(NamedTuple):
    """A program to compare with: the programs that it needs (the first one names it), the shell
    command, and the bar.

    bar: it must take at least this many times lwt's time; 0 for no bar. needed: the programs, if
    `programs` is only a name for the table.
    """

    programs: str
    command: str
    bar: float = 0.0
    needed: str = ''

    @property
    def name(self):
        """The name in the table."""
        return self.programs if self.needed else self.programs.split()[0]

    @property
    def missing(self):
        """The needed programs that are not installed."""
        return [program for program in (self.needed or self.programs).split()
                if shutil.which(program) is None]


class Used(NamedTuple):
    """What a command used: wall seconds, cpu seconds, and the largest resident size of one of its
    processes in MB.
    """

    wall: float
    cpu: float
    memory: float


def environment(**more):
    """Return the environment of every measurement. lwt is compiled beforehand into a directory of
    its own, as an installed lwt is.
    """
    env = dict(os.environ, PYTHONPATH=ROOT,
               PYTHONPYCACHEPREFIX=tempfile.gettempdir() + '/lwt-bench.pyc', **more)
    env.pop('PYTHONDONTWRITEBYTECODE', None)
    return env


def use_of(command, env):
    """Run a shell command once; return what it Used, or None if it failed. A failure is printed."""
    began = time.monotonic()
    popen = subprocess.Popen(['bash', '-c', command], env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
    with popen.stderr:
        errors = popen.stderr.read()
    _pid, status, usage = os.wait4(popen.pid, 0)
    popen.returncode = status
    if status:
        print('  failed: %s\n%s' % (command[:200], errors.decode('utf-8', 'replace')[:500]),
              file=sys.stderr)
        return None
    return Used(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def compare(title, ours, peers, rounds, env):
    """Time our command and each Peer's. Print a line for each: seconds, the ratio to our time, and
    the bar.
    """
    print(title)
    present = []
    for peer in peers:
        if peer.missing:
            print('  %-14s not installed: %s' % (peer.name, ' '.join(peer.missing)))
        else:
            present.append(peer)
    times = [[] for _ in range(len(present) + 1)]
    for _round in range(rounds):
        for place, command in enumerate([ours] + [peer.command for peer in present]):
            used = use_of(command, env)
            times[place].append(used.wall if used else float('inf'))
    mine = min(times[0])
    print('  %-14s %8.3f s' % ('lwt', mine))
    for peer, theirs in zip(present, map(min, times[1:])):
        verdict = ('' if not peer.bar
                   else '   bar %.2f %s'
                   % (peer.bar, 'met' if theirs / mine >= peer.bar else 'MISSED'))
        print('  %-14s %8.3f s   %6.2f x lwt%s' % (peer.name, theirs, theirs / mine, verdict))


def report(title, value, unit, bar, met):
    """Print one number that has a bar of its own."""
    print('%s\n  %-14s %8.3f %s   bar %s %s'
          % (title, 'lwt', value, unit, bar, 'met' if met else 'MISSED'))


def has_lab():
    """Return whether lab hosts can be made on this machine; print the reason if not."""
    reason = lab.why_not_root_lab()
    if reason:
        print('work on hosts is left out: ' + reason)
    return not reason


def children_cpu():
    """Return the cpu seconds of all children that were waited for so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
