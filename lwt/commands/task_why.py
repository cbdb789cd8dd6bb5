"""lwt task why: why a task has not started."""

from __future__ import generator_stop

import os
import time

from lwt.commands.task_view import condition, printable, summary
from lwt.errors import UsageError
from lwt.hosts import capacity, health_log
from lwt.output import tables, writer
from lwt.tasks import model, predecessors, queue
from lwt.workspace import nodeset


def why(command, words):
    """Print what a task waits for; if it waits for a host, why each host does not take it."""
    if len(words) != 1:
        raise UsageError('lwt task why: expected one task id')
    found, now = queue.find(command.store, words), time.time()
    if len(found) != 1:
        raise UsageError('lwt task why: expected one task id')
    task = found[0]
    for line in _lines(command.store, task, now):
        writer.put_line('%s: %s' % (task.label, printable(line)))
    if task.state == 'new':
        rows = host_rows(command.workspace, command.store, command.settings, task, now)
        for line in tables.table(('HOSTS', 'REASON'), folded(rows)):
            writer.put_line(line)
    return 0


def _lines(store, task, now):
    """Yield what a task waits for, one line for each reason."""
    number = model.format_id(task.id)
    if task.state == 'done':
        yield 'not waiting: ' + _finished(task)
    elif task.state == 'new':
        reason = model.reason_text(task)
        yield 'waiting for a host' + (' (%s)' % reason if reason else '')
    elif task.state == 'held':
        if not task.after or task.reason == 'suspended':
            yield 'held: %s; to release it: lwt task resume %s' % (task.reason, number)
        for first, last in predecessors.parsed(task.after):
            yield 'waiting for ' + (_predecessor(store, first, now) if last is None
                                    else _predecessors(store, first, last))
    elif task.state == 'suspended':
        yield 'suspended on %s; to continue it: lwt task resume %s' % (task.host, number)
    else:
        yield 'not waiting: ' + condition(task, now)


def _finished(task):
    """Return how a task finished: finished on h1 (failed, exit code 1)."""
    reason = model.reason_text(task)
    word = '' if task.outcome == 'timeout' else task.outcome        # the reason contains that word
    return 'finished%s (%s)' % (' on ' + task.host if task.host else '',
                                ', '.join(filter(None, (word, reason))))


def _predecessor(store, number, now):
    """Return a text about a task that another one waits for: 000034 (running on h2, 40 s)."""
    shown, task = model.format_id(number), store.get(number)
    if task is None:
        return shown + ' (removed from the queue)'
    if task.state != 'done':
        return '%s (%s)' % (shown, condition(task, now))
    ended = task.outcome + (' on ' + task.host if task.host else '')
    return '%s (%s), which must succeed first; to retry it: lwt task retry %s' % (
        shown, ', '.join(filter(None, (ended, model.reason_text(task)))), shown)


def _predecessors(store, name, last):
    """Return a text about the tasks of a name that another one waits for: all sweep (98 success, 2
    running); last: the number of the last of them.
    """
    counts = store.counts_of_name(name, last)
    failed = sum(counts.get(outcome, 0) for outcome in model.OUTCOMES if outcome != 'success')
    return 'all tasks %s (%s)%s' % (
        name, summary(counts) or 'removed from the queue',
        ', which must succeed first; to retry those that failed: lwt task retry --name %s' % name
        if failed else '')


def folded(rows):
    """Return one row for each reason of rows (host, reason), with a node set of its hosts."""
    names = {}
    for name, reason in rows:
        names.setdefault(reason, []).append(name)
    return [(nodeset.fold(found), reason) for reason, found in names.items()]


def host_rows(workspace, store, settings, task, now):
    """Return [(host, why it does not take a new task now)] of all candidates and available hosts.
    """
    health, samples = store.health(), store.samples()
    hour = time.localtime(now).tm_hour
    available = {host.name: host for host in workspace.available()}
    candidates = workspace.candidates()
    twins = _other_names(store, set(available) | {host.name for host in candidates})

    def refuse(host, used=0):
        return capacity.refusals(host, health.get(host.name), samples.get(host.name), used,
                                 task.desc, settings, hour)

    rows = [(host.name, _reason(workspace, store, task, host, available, twins, refuse))
            for host in available.values()]
    return rows + [(host.name, 'not in host.list.available: it did not pass the last probe')
                   for host in candidates if host.name not in available]


def _reason(workspace, store, task, host, available, twins, refuse):
    """Return why an available host does not take a new task now.

    available: {name: Host}.  twins: {name: the other names of its machine}.
    refuse(host, used): returns the reasons of a host with `used` slots in use.
    """
    others = twins.get(host.name, [])
    there = [capacity.demand(host, other.desc) for name in [host.name] + others
             for other in store.on_host(name) if other.state != 'fetching']
    used = sum(capacity.needed_slots(desc, desc.slots) for desc in there)
    reasons = refuse(host, used)
    if reasons:
        if others:
            reasons = reasons + ['%s are one machine, whose slots are counted once'
                                 % nodeset.fold(sorted(others + [host.name]))]
        return '; '.join(reasons)
    better = capacity.better_place(host, task.avoid.split(), available.values(),
                                   lambda other: next(iter(refuse(other)), ''))
    if better:
        return 'the task failed on it before, and %s may take it' % better
    if os.path.exists(workspace.path('.lwt', 'tmp', 'carry.' + host.name, task.input)):
        return 'its input is being sent to the host'
    return 'has room; takes the task on the next pass'


def _other_names(store, listed):
    """Return {name: the other names of its machine} of listed hosts that have any."""
    machines = {name: machine for name, machine in health_log.machines(store).items()
                if name in listed}
    return {name: [other for other in names if other != name]
            for names in health_log.twins(machines) for name in names}
