"""Prospects: which waiting tasks no host can ever run unless something changes.

A run waits for things that change by themselves: a busy host, the time of day, a host that is
down, a host that is quarantined because of tasks.  It does not wait for an unknown host name, a
refused login, an unusable home, a host that a user has excluded, or more memory than hosts have.
"""

from typing import NamedTuple

from lwt.hosts import capacity
from lwt.hosts.health import NEEDS_A_PERSON
from lwt.workspace import nodeset

UNREACHABLE = ('dns',) + NEEDS_A_PERSON     # kinds of failure that do not go away by themselves
SAMPLES_AGE = 1.0               # seconds for which samples in the database are reused
PASSING = ('no room left',)     # problems of a home that may go away


class Refusal(NamedTuple):
    """Why a host can never take a task.

    kind: mismatch, held, home, slots, memory, disk, limit, or the kind of the failure to reach it.
    """

    kind: str
    reason: str


class Prospects:
    """What is known of hosts in one run.  listed: the hosts that may get tasks."""

    def __init__(self, store, health_log, settings, listed, clock):
        self._store = store
        self._health_log = health_log
        self._settings = settings
        self._listed = listed
        self._clock = clock
        self._answered = set()
        self._failed = {}               # name -> Refusal, from its last visit
        self._samples = {}
        self._sampled_at = -1e9

    def answered(self, name):
        """Record that a host answers: if it stops answering later, the cause may go away."""
        self._answered.add(name)
        self._failed.pop(name, None)

    def visited(self, name, report):
        """Record how a visit ended."""
        kind = report.kind
        if not report.problem or report.busy:
            self._failed.pop(name, None)
        elif kind == 'failed' and not any(word in report.problem for word in PASSING):
            self._failed[name] = Refusal('home', report.problem)
        elif kind in UNREACHABLE and name not in self._answered:
            self._failed[name] = Refusal(kind, report.problem)
        else:
            self._failed.pop(name, None)

    def refusal(self, host, desc):
        """Return the Refusal of a host for tasks of this desc, or None if it may take one at some
        time.
        """
        found = capacity.never(host, self._sample(host.name), desc, self._settings)
        if found:
            return Refusal(*found)
        health = self._health_log.look().get(host.name)
        if health is not None and health.state == 'held':
            return Refusal('held', 'excluded: %s' % health.reason)
        is_new = host.name not in self._answered and host.name not in self._failed
        if health is not None and is_new and not health.takes_tasks and health.kind in UNREACHABLE:
            return Refusal(health.kind, health.reason)      # the next attempt comes later
        return self._failed.get(host.name)

    def _sample(self, name):
        if not 0 <= self._clock() - self._sampled_at < SAMPLES_AGE:
            self._samples = self._store.samples()
            self._sampled_at = self._clock()
        return self._samples.get(name, (0, None, ''))[1]

    def refusals(self, desc):
        """Return [(Refusal, names)] of all listed hosts, or None if one may take a task of this
        desc.
        """
        found = {}
        for host in self._listed:
            refusal = self.refusal(host, desc)
            if refusal is None:
                return None
            found.setdefault(refusal, []).append(host.name)
        return list(found.items())

    def stuck(self):
        """Return the queries.Groups of waiting tasks that no listed host can ever take."""
        return [group for group in self._store.waiting()
                if self.refusals(group.desc) is not None]

    def is_over(self, numbers=None):
        """Whether no task is in progress and no waiting task can ever run.

        numbers: only the tasks with these numbers.
        """
        if self._store.is_any_placed(numbers):
            return False                # to check each host costs more
        waiting = self._store.waiting()
        hopeful = [group for group in waiting if self.refusals(group.desc) is None]
        return not hopeful or (numbers is not None
                               and not self._store.is_any_waiting(numbers, hopeful))


HINTS = {
    'mismatch': 'change category or hosts of the task, or host.list',
    'dns': 'correct the names in host.list, or set HostName in ssh_config',
    'auth': 'make sure that ssh HOST logs in without a password; then: lwt hosts --back HOST',
    'hostkey': 'check the host key and log in once with ssh HOST; then: lwt hosts --back HOST',
    'home': 'create that directory, or change HOME in host.list',
    'held': 'include the host again: lwt hosts --back HOST',
    'slots': 'set slots in host.list',
    'memory': 'remove the task (lwt task rm ID) and add it with a smaller --memory',
    'disk': 'remove the task (lwt task rm ID) and add it with a smaller --disk',
    'limit': 'change the limit in lwt.conf or host.list',
}


def complaint(desc, hosts, samples, settings):
    """Return in one line why no host of host.list can ever take tasks of this desc, or ''.

    samples: {name: (time, Sample or None, problem)}, the last report of each host.
    """
    named = desc.hosts.replace(',', ' ').split()
    unknown = [name for name in named if name not in {host.name for host in hosts}]
    if unknown:
        return 'hosts not in host.list: %s' % ' '.join(unknown)
    categories = sorted({host.category for host in hosts})
    if desc.category and desc.category not in categories:
        return 'no host of category %s; host.list has: %s' % (
            desc.category, ' '.join(categories))
    found = {}
    for host in hosts:
        refusal = capacity.never(host, samples.get(host.name, (0, None, ''))[1], desc, settings)
        if refusal is None:
            return ''
        found.setdefault(Refusal(*refusal), []).append(host.name)
    return 'no host can take it: ' + reason_text(found.items())


def reason_text(refusals):
    """Return refusals, as Prospects.refusals gives them, in one line."""
    return '; '.join('%s: %s' % (nodeset.fold(names), refusal.reason) for refusal,
                     names in refusals)


def hints(refusals):
    """Yield hints for refusals; HOST stands for the first host of each."""
    for refusal, names in refusals:
        if refusal.kind in HINTS:
            yield HINTS[refusal.kind].replace('HOST', names[0])
