"""The scheduler: which hosts a pass visits, and how often.

A pass visits, at the same time, every host that holds something of ours and, while tasks wait,
every available host that may take one.  Tasks are placed as hosts answer, and no host waits for
another.  `run` repeats this, each host at its own pace, until no task is open.  Large transfers run
beside the visits.
"""

from __future__ import generator_stop

import functools
import os

from lwt import procfs
from lwt.errors import LwtError
from lwt.flow import Sleep
from lwt.hosts import clocks
from lwt.hosts.capacity import accepts
from lwt.remote.login import learn_gates
from lwt.tasks import admission, model
from lwt.tasks.large_transfers import carry
from lwt.tasks.unrunnable import Prospects
from lwt.tasks.visit import Target, stay, visit
from lwt.workspace.hostlist import Host

PACE_LOCAL = (0.1, 1.0)         # seconds between two visits: while things happen, and at most
PACE_REMOTE = (0.5, 5.0)
# Seconds between two tries of a large transfer: doubled after each failure, and at most.
CARRY_AGAIN = (2.0, 120.0)
PACE_SICK = (2.0, 60.0)         # after a visit that failed
PATIENCE = 3.0                  # seconds that a login may take when no task is open any more
REMARK_AFTER = 5.0              # seconds in which no task is on a host although some wait
# Maximum number of hosts that may each keep a waiting child process.  Such a process holds no slot
# of the fanout, but three descriptors.
MOST_WAITING = 250


def targets(store, listed, ill, now, rules, may_place=True, only=None):
    """Return the Targets of a pass at a time.

    listed: the available hosts.  ill: {name: Health}.  rules: health.Rules.
    may_place: whether hosts may get new tasks.  only: the name of the only host to consider.

    A host that is not due to be asked again is left out.  A quarantined host is asked but gets no
    tasks.
    """
    by_name = {host.name: host for host in listed}
    waiting = [group.desc for group in store.waiting()] if may_place else []
    homes = {}
    for name, home, category in store.busy_hosts():
        homes.setdefault(name, []).append(_as_listed(by_name.get(name), Host(name, category, home)))
    found = []
    for name in dict.fromkeys(list(by_name) + list(homes)) if only is None else [only]:
        host = by_name.get(name)
        place = host if host is not None and any(accepts(host, desc) for desc in waiting) else None
        used = homes.get(name, [])
        if name in ill and may_place:
            if not ill[name].is_due(now, bool(used), rules):
                continue
            used = used or [place] * (place is not None)
            place = place if ill[name].takes_tasks else None
        if place is not None and place not in used:
            used = used + [place]
        if used:
            found.append(Target(name, tuple(used), place, tuple(listed)))
    return found


def _as_listed(listed, host):
    """Return the line of the host list if it has the same home, otherwise the host as given."""
    return listed if listed is not None and listed.home == host.home else host


def unplaceable(store, listed):
    """Return the queries.Groups of tasks that no available host accepts, whatever its load."""
    return [group for group in store.waiting()
            if not any(accepts(host, group.desc) for host in listed)]


class _LargeTransfers:
    """The large transfers in progress.

    One flow transfers one input or result.  An input goes to no more hosts at once than tasks need
    it.  A failed transfer is tried again after a delay, which grows with each failure.

    after(item, report): called when a transfer has ended.
    """

    def __init__(self, run, context, after):
        self._pool = run.pool
        self._context = context
        self._after = after
        self._items = []
        # (name, host) -> (number of failures, time of the next try)
        self._failed = {}

    def context(self):
        """Return the Context of visits whose large transfers use this object."""
        return self._context._replace(wake=self._pool.wake, carry=self.start,
                                      is_carried=self.is_carried)

    def is_carried(self, name):
        """Return whether an input or result is being transferred."""
        return any(item.name == name for item in self._items)

    def start(self, item):
        """Start a requests.LargeTransfer.

        Does nothing if it is in progress or not due, or if enough copies of an input are in
        progress.
        """
        alike = [other for other in self._items if other.name == item.name]
        most = item.of.count if item.kind == 'input' else 1
        _times, due = self._failed.get((item.name, item.host), (0, 0))
        is_due = clocks.is_due(due, self._context.clock(), CARRY_AGAIN[1])
        if is_due and len(alike) < most and item.host not in [other.host for other in self._items]:
            self._items.append(item)
            self._pool.add(carry(self._context, item), lambda report: self._ended(item, report))

    def _ended(self, item, report):
        self._items.remove(item)
        if isinstance(report, LwtError) or report.problem:
            times = self._failed.get((item.name, item.host), (0, 0))[0] + 1
            delay = min(CARRY_AGAIN[1], CARRY_AGAIN[0] * 2 ** times)
            self._failed[item.name, item.host] = times, self._context.clock() + delay
        else:
            self._failed.pop((item.name, item.host), None)
        self._after(item, report)
        self._pool.wake()


def one_pass(run, context, listed, only=None):
    """Do one pass; returns the Reports of its visits.

    only: names of hosts to visit, without giving them new tasks.
    """
    reports = []

    def after(item, report):
        reports.append(report)
        if item.kind == 'input' and not isinstance(report, LwtError) and not report.problem:
            visit_all(find(True, item.host.name))

    def find(may_place, name=None):
        return targets(context.store, listed, context.health_log.look(), context.clock(),
                       context.health_log.rules, may_place, name)

    def visit_all(found):
        for target in found:
            run.pool.add(visit(context, target), reports.append)

    context = _LargeTransfers(run, context, after).context()
    learn_gates(run, context.session, listed)
    visit_all([target for target in find(only is None) if only is None or target.name in only])
    run.run()
    context.health_log.flush()
    return _sound(reports)


def until_done(run, context, listed, numbers=None, prospects=None):
    """Visit hosts until no task is in progress or can ever be placed; returns each host's last
    Report.

    numbers: only the tasks with these numbers count.
    prospects: a Prospects, which then knows why tasks cannot be placed.
    """
    prospects = prospects or Prospects(context.store, context.health_log, context.session.settings,
                                       listed,
                                       context.clock)
    reports, failures = [], []
    context = _LargeTransfers(run,
                              context, lambda _item, report: failures.extend(
                                  [report] * isinstance(report, LwtError))).context()
    learn_gates(run, context.session, listed)
    names = dict.fromkeys([host.name for host in listed]
                          + [name for name, _home, _category in context.store.busy_hosts()])
    server = _Server(run.pool, context, listed, len(names) <= MOST_WAITING, numbers, prospects)
    for name in names:
        run.pool.add(server.serve(name), reports.append)
    run.pool.add(server.remark(), lambda _report: None)
    run.run()
    context.health_log.flush()
    return _sound([report for report in reports + failures if report is not None])


class _Server:
    """Visits hosts until no task is open any more.

    A host whose login has not succeeded by then is not waited for.
    """

    def __init__(self, pool, context, listed, is_roomy, numbers, prospects):
        self._pool = pool
        self._admission = admission.Admission(context.clock, procfs.cpu_times, os.cpu_count() or 1,
                                              context.store.going_count)
        self._answered = set()          # the names of hosts that have answered
        # Name -> start time of the login, for hosts that have not answered.
        self._knocking = {}
        self._given_up = set()          # those whose login was ended
        self._serving = set()           # the names of hosts that are being served
        self._ended = False             # whether no task was open at some time
        self._failed = False            # whether this machine had an error
        self._context = context._replace(trouble=functools.partial(self._hear, context))
        self._store = context.store
        self._listed = listed
        self._is_roomy = is_roomy       # may every host keep a connection and a waiting child?
        self._prospects = prospects
        self._is_over = lambda: self._failed or prospects.is_over(numbers)

    def _find(self, name):
        """Return the Target of a host, or None if there is no reason to visit it."""
        ill = self._context.health_log.look()
        found = targets(self._store, self._listed, ill, self._context.clock(),
                        self._context.health_log.rules, True, name)
        return found[0]._replace(rivals=len(self._answered)) if found else None

    def _hear(self, context, name, reason, is_over_budget=False):
        context.trouble(name, reason, is_over_budget)
        if not reason:
            self._answered.add(name)
            self._prospects.answered(name)
            self._knocking.pop(name, None)

    def _enter(self, target):
        """Flow: wait until the login to a host may begin.

        There is no delay for a host that holds something of ours, or that needs no login.
        """
        is_idle = not self._store.on_host(target.name) and not self._store.leftovers(target.name)
        while (is_idle and not target.homes[0].is_local and not self._ended
               and not self._admission.admits(target.name)):
            yield Sleep(admission.LOOK)

    def _stay(self, target):
        """Flow: visit a host for as long as there is something to do on it; returns the Report."""
        name = target.name

        def find():
            found = self._find(name)
            if found is None:           # there is no reason to log in any more
                self._knocking.pop(name, None)
            elif name not in self._answered:
                self._knocking.setdefault(name, self._pool.loop.time())
            return found

        try:
            report = yield from stay(self._context, target, find, self._is_over, self._is_roomy)
        finally:
            self._knocking.pop(name, None)
        if name in self._given_up:
            self._context.trouble(name, 'unreachable (no answer in %g s, no task needs it)'
                                  % PATIENCE)
        return report

    def _end(self):
        """Wake waiting flows, because no task is open any more."""
        if not self._ended:
            self._ended = True
            self._pool.add(self._give_up(), lambda _report: None)
        self._context.wake()

    def _give_up(self):
        """Flow: end each login that takes longer than PATIENCE, unless tasks are on the host."""
        while self._knocking:
            now = self._pool.loop.time()
            for name, since in self._knocking.items():
                if now - since >= PATIENCE and not self._store.on_host(name):
                    self._given_up.add(name)
                    self._pool.stop(name, 'cancelled')
            yield Sleep(admission.LOOK)

    def remark(self):
        """Flow: call tick() every second, and report tasks that wait although no task is on a host,
        once for each name.
        """
        busy_at, said = self._pool.loop.time(), set()
        while self._serving:
            yield Sleep(1.0)
            self._context.tick()
            now = self._pool.loop.time()
            if self._store.busy_hosts():
                busy_at = now
            elif now - busy_at >= REMARK_AFTER:
                waiting = {group.name: group.first for group in reversed(self._store.waiting())
                           if not self._context.is_carried(group.input)}
                for name in sorted(set(waiting) - said, key=waiting.get):
                    task = self._store.get(waiting[name])
                    if task is not None:
                        self._context.remark(
                            '%s: waiting, no host takes it now (lwt task why %s)'
                            % (task.label, model.format_id(task.id)))
                said.update(waiting)

    def serve(self, name):
        """Flow: visit one host again and again, less often while nothing happens; returns the last
        Report.
        """
        self._serving.add(name)
        try:
            return (yield from self._serve(name))
        except LwtError:
            self._failed = True         # visits to other hosts would fail too
            self._end()
            raise
        finally:
            self._serving.discard(name)
            if not self._serving:
                self._pool.wake()

    def _serve(self, name):
        report, pace = None, None
        while True:
            target = self._find(name)
            if target is None and self._is_over():
                return report
            if target is not None:
                yield from self._enter(target)
                report = yield from self._stay(target)
                self._prospects.visited(name, report)
                if self._is_over():
                    self._end()
                    if report.problem or not self._store.leftovers(name):
                        return report   # leftovers can wait for another pass
            bounds = _pace(target, report)
            is_calm = report is not None and not report.changes
            pace = min(bounds[1], max(bounds[0], pace * 1.5)) if pace and is_calm else bounds[0]
            yield Sleep(pace)


def _pace(target, report):
    if report is not None and report.problem:
        return PACE_SICK
    is_local = target is not None and all(host.is_local for host in target.homes)
    return PACE_LOCAL if is_local or target is None else PACE_REMOTE


def _sound(reports):
    for report in reports:
        if isinstance(report, LwtError):
            raise report
    return reports
