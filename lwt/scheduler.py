"""Passes: which hosts are visited, and how often.

A pass visits, at the same time, every host on which there is something, and, while tasks wait, every available host that may
take one; tasks are placed as hosts answer, and no host waits for another.  `run` goes on like that, each host at its own pace,
until no task is open.
"""

from __future__ import generator_stop

from lwt.capacity import accepts
from lwt.connection import learn_gates
from lwt.errors import LwtError
from lwt.flow import Sleep
from lwt.hosts import Host
from lwt.visit import Target, visit

PACE_LOCAL = (0.1, 1.0)         # seconds between two visits: while things happen, and at most
PACE_REMOTE = (0.5, 5.0)
PACE_SICK = (2.0, 60.0)         # after a visit that failed


def targets(store, listed, ill, now, may_place=True):
    """The Targets of a pass at a time.  listed: the available hosts; may_place: whether they may be given new tasks.

    ill: {name: Health}; a host that is not due to be asked again is left out, and one in quarantine is asked but given nothing.
    """
    by_name = {host.name: host for host in listed}
    waiting = [task.desc for task in store.waiting()] if may_place else []
    homes = {}
    for name, home, category in store.busy_hosts():
        homes.setdefault(name, []).append(_as_listed(by_name.get(name), Host(name, category, home)))
    found = []
    for name in dict.fromkeys(list(by_name) + list(homes)):
        host = by_name.get(name)
        place = host if host is not None and any(accepts(host, desc) for desc in waiting) else None
        used = homes.get(name, [])
        if name in ill and may_place:
            if not ill[name].is_due(now, bool(used)):
                continue
            used = used or [place] * (place is not None)
            place = place if ill[name].takes_tasks else None
        if place is not None and place not in used:
            used = used + [place]
        if used:
            found.append(Target(name, tuple(used), place))
    return found


def _as_listed(listed, host):
    """The line of the host list, if it is about the same home."""
    return listed if listed is not None and listed.home == host.home else host


def unplaceable(store, listed):
    """The waiting tasks that no available host may take, whatever the weather."""
    return [task for task in store.waiting() if not any(accepts(host, task.desc) for host in listed)]


def one_pass(run, context, listed, only=None):
    """One pass; returns the Reports of its visits.  only: names of hosts to look after, without giving them new tasks."""
    reports = []
    learn_gates(run, context.session, listed)
    for target in targets(context.store, listed, context.weather.look(), context.clock(), may_place=only is None):
        if only is None or target.name in only:
            run.pool.add(visit(context, target), reports.append)
    run.run()
    context.weather.flush()
    return _sound(reports)


def until_done(run, context, listed):
    """Visit until no task is open that can be placed; returns the last Report of each host."""
    reports = []
    learn_gates(run, context.session, listed)
    names = dict.fromkeys([host.name for host in listed] + [name for name, _home, _category in context.store.busy_hosts()])
    for name in names:
        run.pool.add(_serve(context, name, listed, run.pool.wake), reports.append)
    run.run()
    context.weather.flush()
    return _sound([report for report in reports if report is not None])


def _serve(context, name, listed, wake):
    """Flow: visit one host again and again, more slowly while nothing happens there.  wake() ends the sleep of all others."""
    report, pace = None, None
    while True:
        found = targets(context.store, listed, context.weather.look(), context.clock())
        target = next((target for target in found if target.name == name), None)
        if target is None and not _is_anything_open(context.store, listed):
            return report
        if target is not None:
            report = yield from visit(context, target)
            if not _is_anything_open(context.store, listed):
                wake()
                if report.problem:
                    return report       # only leftovers there, and they can wait
        bounds = _pace(target, report)
        calm = report is not None and not report.changes
        pace = min(bounds[1], max(bounds[0], pace * 1.5)) if pace and calm else bounds[0]
        yield Sleep(pace)


def _pace(target, report):
    if report is not None and report.problem:
        return PACE_SICK
    is_local = target is not None and all(host.is_local for host in target.homes)
    return PACE_LOCAL if is_local or target is None else PACE_REMOTE


def _is_anything_open(store, listed):
    return store.open_count() > len(unplaceable(store, listed))


def _sound(reports):
    for report in reports:
        if isinstance(report, LwtError):
            raise report
    return reports
