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

KEEP_WAITING = 5.0      # seconds after which successes are written
LOOK_AGAIN = 1.0        # seconds after which the database is read again


class HealthLog:
    """Collects how the hosts of one run answered.

    heard: the list of session.heard.
    history: an open History.
    """

    def __init__(self, history, settings, heard, clock=time.time):
        self._history = history
        self.rules = health.rules(settings)
        self._heard = heard
        self._clock = clock
        self._told = {}                 # host -> (host, Sample or None, problem)
        self._known = {}
        self._machines = None           # {host: identity of its machine}, read when needed
        self._looked = self._written = -1e9

    def note(self, name, taken, problem=''):
        """Keep the Sample of a host, or None and the reason why it takes no task."""
        self._told[name] = (name, taken, problem)
        if taken is not None and self._machines is not None:
            self._machines[name] = taken.machine

    def twins(self, name):
        """The other names of the machine of a host, as far as hosts reported their identity."""
        if self._machines is None:
            self._machines = machines(self._history)
            self._machines.update((host, taken.machine) for host, taken,
                                  _problem in self._told.values() if taken)
        mine = self._machines.get(name)
        return [other for other,
                machine in self._machines.items() if mine and machine == mine and other != name]

    def look(self):
        """{name: Health} of the hosts that ever failed or were excluded."""
        self.settle()
        if not 0 <= self._clock() - self._looked < LOOK_AGAIN:
            self._known = self._history.health()
            self._looked = self._clock()
        return self._known

    def watch_tasks(self, name):
        """Quarantine a host if tasks fail because of it; returns the reason, or ''.

        Called after tasks have ended on the host.
        """
        known, now = self._history.health().get(name, health.Health(name)), self._clock()
        if not known.takes_tasks:
            return ''
        # A time in the future was stored while the clock was wrong.
        since = max(known.since if known.since <= now else 0.0, now - health.TASKS_WINDOW)
        ends = health.own_failures(self._history.last_ends(name, since))
        if len({one.task for one in ends}) < health.FEWEST_TASKS:
            return ''
        # Successes before these tasks were added may be of another version of the program.
        added = min(one.added for one in ends)
        since = max(since, added) if added <= now else since
        own, alike = self._history.ends_elsewhere(
            name, {one.task for one in ends}, {one.name for one in ends}, since)
        found = health.suspicion(ends, own, alike)
        if found is None:
            return ''
        in_a_row, good, bad = found
        reason = ('%d different tasks in a row failed on this host; on other hosts %d of %d '
                  'attempts succeeded' % (in_a_row, good, good + bad))
        self._history.change_health(
            name, lambda before: health.suspect(before, reason, now, self.rules, random.random()))
        self._looked = -1e9
        return reason

    def settle(self):
        """Write failures, and the successes of hosts with failures, at once; the rest later."""
        urgent = any(health.counts(verdict) != 'ok' or self._is_unwell(name)
                     for name, verdict in self._heard)
        if urgent or not 0 <= self._clock() - self._written < KEEP_WAITING:
            self.flush()

    def _is_unwell(self, name):
        return name in self._known and self._known[name].state in ('doubtful', 'out')

    def flush(self):
        """Write everything."""
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
    """{host: identity of its machine} of the hosts that reported it last."""
    return {host: taken.machine for host,
            (_when, taken, _problem) in history.samples().items() if taken and taken.machine}


def twins(found):
    """Sorted lists of the names of each machine with several names; found: {host: machine}."""
    by_machine = {}
    for host, machine in found.items():
        if machine:
            by_machine.setdefault(machine, []).append(host)
    return sorted(sorted(names) for names in by_machine.values() if names[1:])


def _endings(heard):
    """Yield (host, kind, reason): the failures of each host, or one success."""
    by_host = {}
    for name, verdict in heard:
        kind = health.counts(verdict)
        if kind:
            by_host.setdefault(name,
                               []).append((name, kind, '' if kind == 'ok' else verdict.reason))
    for found in by_host.values():
        yield from [ending for ending in found if ending[1] != 'ok'] or found[:1]


def record(workspace, settings, heard, told, say):
    """Record how hosts answered, for a command that does not open the database otherwise.

    heard: [(host, Verdict)].
    told: [(host, Sample or None, problem)].
    say(text): prints why the database cannot be written.

    If all is well and there is no database yet, nothing is recorded.
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
            say('host failures were not recorded: %s' % error.message)


def resting(workspace, names, settings):
    """The hosts that get no work: excluded, or quarantined and not yet due for a retry."""
    if not os.path.exists(workspace.database):
        return set()
    try:
        with History(workspace.database) as history:
            known, now = history.health(), time.time()
    except LwtError:
        return set()            # without the database, all hosts are used
    rules = health.rules(settings)
    return {name for name in names if name in known and not known[name].takes_tasks
            and not known[name].is_due(now, False, rules)}


def rates(workspace, names):
    """{name: bytes per second} from the last probe of each host: the slower direction."""
    found = {}
    try:
        with History(workspace.database) as history:
            for name in names:
                for _host, _when, told in history.probes(name)[-1:]:
                    if told['put'] and told['get']:
                        found[name] = min(told['put'], told['get'])
    except LwtError:
        pass                    # without the database, no rate is known
    return found
