"""lwt task kill, suspend, resume, retry and rm.

The request is recorded first.  Hosts that can be reached apply it at once, the others on the next
pass.
"""

from __future__ import generator_stop

import os
import time

from lwt.commands.task_monitor import Monitor
from lwt.commands.task_view import condition, shown_path
from lwt.errors import EXIT_FAILED, UsageError
from lwt.output import writer
from lwt.tasks import model, queue, results, scheduler


def kill(command, words):
    """Kill tasks."""
    return _request(command, words, 'kill', ('killing',))


def suspend(command, words):
    """Stop running tasks, and hold waiting ones."""
    return _request(command, words, 'suspend', ('suspending',))


def resume(command, words):
    """Continue suspended tasks, and release held ones."""
    return _request(command, words, 'resume', ('resuming',))


def retry(command, words):
    """Queue finished tasks again."""
    return _request(command, words, 'retry', ())


def _request(command, words, verb, pending_states):
    """Record a request for tasks, and apply it.

    pending_states: the states of tasks whose host has not applied it yet.
    """
    if not words:
        raise UsageError('lwt task %s: missing task id' % verb)
    code, pending = 0, []
    for task in queue.find(command.store, words):
        try:
            task = queue.wish(command.workspace, command.store, task, verb)
        except UsageError as error:
            writer.say('%s: %s%s' % (task.label, error.message,
                                     ' (%s)' % error.hint if error.hint else ''))
            code = EXIT_FAILED
            continue
        if task.state in pending_states:
            pending.append(task.id)
        else:
            text = 'waiting for a host' if task.state == 'new' else condition(task, time.time())
            command.say('%s: %s' % (task.label, text))
    _apply(command, verb, pending_states, pending)
    return code


def _apply(command, verb, pending_states, numbers, names=()):
    """Visit the hosts of tasks, and other hosts, to apply a request; then print the result.

    pending_states: as in _request.  numbers: of the tasks.  names: of other hosts to visit.
    """
    names = {command.store.get(number).host for number in numbers} | set(names)
    if not names:
        return
    listed, session = command.listed()
    with Monitor(command.workspace, command.store, command.say) as monitor:
        with command.running() as run:
            reports = scheduler.one_pass(run, command.context(session, monitor), listed, only=names)
    busy = {report.name for report in reports if report.busy}
    for number in numbers:
        task = command.store.get(number)
        if task is None or number in monitor.finished:
            continue
        if task.state in pending_states:
            command.say('%s: %s pending on %s (%s)' % (
                task.label, verb, task.host,
                'already being handled by another lwt process' if task.host in busy
                else 'the next pass continues'))
        else:
            command.say('%s: %s' % (task.label, condition(task, time.time())))


def remove(command, words):
    """Remove tasks from the queue; running ones are killed first."""
    if not words:
        raise UsageError('lwt task rm: missing task id')
    pending, names = [], set()
    for task in queue.find(command.store, words):
        names |= {host for _attempt, host, _home in command.store.kept(task)}
        left = queue.remove(command.workspace, command.store, task, command.parsed.results)
        where = results.directory(command.workspace, task)
        if left is not None:
            pending.append(left.id)
        elif os.path.isdir(where):
            command.say('%s: removed; its results remain in %s' % (task.label, shown_path(where)))
    _apply(command, 'rm', model.STATES, pending, names)
    return 0
