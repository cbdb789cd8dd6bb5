"""The health log: how the operations of one run ended on each host, counted and written to the
database.

Every operation on a host notes its end in session.heard (see call.logging_in).  The log takes these
notes and writes many of them in one transaction: failures at once, the rest at the end.  A failure
outweighs the successes before it in the same transaction, so that a visit which logs in and then
breaks off counts as a failure.

The database decides: another lwt may count at the same time, and a user may exclude a host or take
it back meanwhile.
"""

import os
import random
import time

from lwt.errors import LwtError
from lwt.hosts import health
from lwt.hosts.history import History

KEEP_WAITING = 5.0      # seconds that good news may wait to be written
LOOK_AGAIN = 1.0        # seconds that what was read is good for


class HealthLog:
    """What one run hears about its hosts.  heard: the list of session.heard.  history: an open
    History.
    """

    def __init__(self, history, settings, heard, clock=time.time):
        self._history = history
        self.rules = health.rules(settings)
        self._heard = heard
        self._clock = clock
        self._told = {}                 # host -> (host, Sample or None, problem)
        self._known = {}
        self._machines = None           # {host: what identifies its machine}, once it is asked for
        self._looked = self._written = -1e9

    def note(self, name, taken, problem=''):
        """Keep what a host told of itself: a Sample, or None and why it takes no task."""
        self._told[name] = (name, taken, problem)
        if taken is not None and self._machines is not None:
            self._machines[name] = taken.machine

    def twins(self, name):
        """The other names of the machine that a host is, as far as hosts told who they are."""
        if self._machines is None:
            self._machines = machines(self._history)
            self._machines.update((host, taken.machine) for host, taken,
                                  _problem in self._told.values() if taken)
        mine = self._machines.get(name)
        return [other for other,
                machine in self._machines.items() if mine and machine == mine and other != name]

    def look(self):
        """{name: Health} of the hosts that anything was ever held against."""
        self.settle()
        if not 0 <= self._clock() - self._looked < LOOK_AGAIN:
            self._known = self._history.health()
            self._looked = self._clock()
        return self._known

    def watch_tasks(self, name):
        """After tasks have ended on a host: put it into quarantine if it is its fault that they end
        badly; returns why, or ''.
        """
        known, now = self._history.health().get(name, health.Health(name)), self._clock()
        if not known.takes_tasks:
            return ''
        # A time in the future was stored while the clock was wrong, and says nothing.
        since = max(known.since if known.since <= now else 0.0, now - health.TASKS_WINDOW)
        ends = health.own_failures(self._history.last_ends(name, since))
        if len({one.task for one in ends}) < health.FEWEST_TASKS:
            return ''
        # What ended well before these tasks were added was another version of them.
        added = min(one.added for one in ends)
        since = max(since, added) if added <= now else since
        own, alike = self._history.ends_elsewhere(
            name, {one.task for one in ends}, {one.name for one in ends}, since)
        found = health.suspicion(ends, own, alike)
        if found is None:
            return ''
        in_a_row, good, bad = found
        reason = ('%d different tasks in a row ended badly there, and elsewhere %d of %d were '
                  'successes'
                  % (in_a_row, good, good + bad))
        self._history.change_health(
            name, lambda before: health.suspect(before, reason, now, self.rules, random.random()))
        self._looked = -1e9
        return reason

    def settle(self):
        """Write what cannot wait: a failure, or the answer of a host that has to make up for some.
        """
        urgent = any(health.counts(verdict) != 'ok' or self._is_unwell(name)
                     for name, verdict in self._heard)
        if urgent or not 0 <= self._clock() - self._written < KEEP_WAITING:
            self.flush()

    def _is_unwell(self, name):
        return name in self._known and self._known[name].state in ('doubtful', 'out')

    def flush(self):
        """Write all of it."""
        self._written = self._clock()
        endings, told = list(_endings(self._heard)), list(self._told.values())
        del self._heard[:]
        self._told.clear()
        if endings or told:
            self._history.add_endings(endings, told, self._change)
            self._looked = -1e9

    def _change(self, before, kind, reason):
        return health.observe(before, kind, reason, self._clock(), self.rules, random.random())


def machines(history):
    """{host: what identifies its machine} of the hosts that told it last."""
    return {host: taken.machine for host,
            (_when, taken, _problem) in history.samples().items() if taken and taken.machine}


def twins(found):
    """Sorted lists of the names of one machine, where it has several; found: {host: machine}."""
    by_machine = {}
    for host, machine in found.items():
        if machine:
            by_machine.setdefault(machine, []).append(host)
    return sorted(sorted(names) for names in by_machine.values() if names[1:])


def _endings(heard):
    """(host, kind, reason) of what was heard: of each host its failures, or that it answered."""
    by_host = {}
    for name, verdict in heard:
        kind = health.counts(verdict)
        if kind:
            by_host.setdefault(name,
                               []).append((name, kind, '' if kind == 'ok' else verdict.reason))
    for found in by_host.values():
        yield from [ending for ending in found if ending[1] != 'ok'] or found[:1]


def record(workspace, settings, heard, told, say):
    """Count what a command heard that does not open the database otherwise.  say(text) hears why it
    cannot be written.

    told: [(host, Sample or None, problem)].  Where all is well and no state is kept yet, there is
    nothing to keep.
    """
    is_fine = all(health.counts(verdict) in ('', 'ok') for _name, verdict in heard)
    if not told and (not heard or (is_fine and not os.path.exists(workspace.database))):
        return
    try:
        workspace.prepare()
        with History(workspace.database) as history:
            log = HealthLog(history, settings, heard)
            for name, taken, problem in told:
                log.note(name, taken, problem)
            log.flush()
    except LwtError as error:
        if told or not is_fine:
            say('how the hosts were is not remembered: %s' % error.message)


def resting(workspace, names, settings):
    """Those of these hosts that get no work: put out, or in quarantine and not to be asked again
    yet.
    """
    if not os.path.exists(workspace.database):
        return set()
    try:
        with History(workspace.database) as history:
            known, now = history.health(), time.time()
    except LwtError:
        return set()            # a state that cannot be read keeps nobody from a host
    rules = health.rules(settings)
    return {name for name in names if name in known and not known[name].takes_tasks
            and not known[name].is_due(now, False, rules)}


def rates(workspace, names):
    """{name: bytes a second} of those of these hosts whose last probe told: the slower of its two
    ways.
    """
    found = {}
    try:
        with History(workspace.database) as history:
            for name in names:
                for _host, _when, told in history.probes(name)[-1:]:
                    if told['put'] and told['get']:
                        found[name] = min(told['put'], told['get'])
    except LwtError:
        pass                    # a state that cannot be read keeps nobody from a copy
    return found
