"""lwt task kill, suspend, resume, retry and rm.

The request is recorded first.  Hosts that can be reached apply it at once, the others on the next
pass.
"""

from __future__ import generator_stop

import os
import sys
import time

from lwt.commands import task_select
from lwt.commands.task_monitor import Monitor
from lwt.commands.task_view import condition, shown_path, summary
from lwt.errors import EXIT_FAILED, UsageError
from lwt.output import writer
from lwt.tasks import additions, model, queue, results, scheduler

MOST_SHOWN = 10         # tasks that have a line of their own


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
    if command.parsed.fresh:
        return _retry_fresh(command, words)
    found = task_select.for_request(command, words, 'retry')
    for batch, (source, tasks) in _batches(command, found):
        changed = additions.changed(command.workspace, source[0], source[1], source[2])
        if changed:
            command.say('%s: %s since it was added; the old copy is used; --fresh takes the new one'
                        % (_several(tasks), changed))
    return _record(command, found, 'retry', ())


def _batches(command, found):
    """Return (batch, ((name, input, source), finished tasks)) of the tasks to retry."""
    finished = command.store.with_outcomes(found.numbers, model.OUTCOMES)
    return command.store.batches(finished).items()


def _several(tasks):
    """Return the label of the first of some tasks, with the number of the others."""
    return tasks[0].label + (' and %d more' % (len(tasks) - 1) if len(tasks) > 1 else '')


def _retry_fresh(command, words):
    """Queue finished tasks again, with a new copy of their folder or inputs."""
    found, code, queued = task_select.for_request(command, words, 'retry'), 0, _Changed()
    others = found.divided(lambda task: task.state == 'done')[1]
    for batch, (source, tasks) in _batches(command, found):
        try:
            queued.update(additions.retry_fresh(
                command.workspace, command.store, (batch, source[0], source[2]), tasks,
                command.settings.retries, command.say))
        except UsageError as error:
            _say_refused(_several(tasks), error)
            code = EXIT_FAILED
    for task in others:
        writer.say('%s: only finished tasks can be retried; it is %s' % (task.label, task.state))
        code = EXIT_FAILED
    _say_done(command, queued, 'retry')
    return code


def _request(command, words, verb, pending_states):
    """Record a request for tasks, and apply it.

    pending_states: the states of tasks whose host has not applied it yet.
    """
    return _record(command, task_select.for_request(command, words, verb), verb, pending_states)


def _record(command, found, verb, pending_states):
    """Record a request for Tasks, and apply it; arguments as for _request."""
    code, pending, applied = 0, [], _Changed()
    for task, changed, problem in queue.wish_all(command.workspace, command.store, found, verb):
        if problem is not None:
            _say_refused(task.label, problem)
            code = EXIT_FAILED
        elif changed.state in pending_states:
            pending.append(changed.id)
        else:
            applied.add(changed)
    _say_done(command, applied, verb)
    _apply(command, verb, pending_states, pending)
    return code


def _say_refused(label, problem):
    writer.say('%s: %s%s' % (label, problem.message,
                             ' (%s)' % problem.hint if problem.hint else ''))


class _Changed:
    """Tasks after a request: the first of them, and the number in each state."""

    def __init__(self, tasks=()):
        self.first = []
        self.counts = {}                # state or outcome -> number of tasks
        self.update(tasks)

    def add(self, task):
        """Count one more Task."""
        word = task.outcome or task.state
        self.counts[word] = self.counts.get(word, 0) + 1
        self.first += [task] * (len(self.first) < MOST_SHOWN)

    def update(self, tasks):
        """Count more Tasks."""
        for task in tasks:
            self.add(task)


def _say_done(command, changed, verb):
    """Print the state of each task after a request or, for many tasks, the numbers of them.

    changed: a _Changed.
    """
    total = sum(changed.counts.values())
    if total > MOST_SHOWN:
        command.say('%s: %d tasks: %s' % (verb, total, summary(changed.counts)))
        return
    for task in changed.first:
        text = 'waiting for a host' if task.state == 'new' else condition(task, time.time())
        command.say('%s: %s' % (task.label, text))


def _apply(command, verb, pending_states, numbers, names=()):
    """Visit the hosts of tasks, and other hosts, to apply a request; then print the result.

    pending_states: as in _request.  numbers: of the tasks.  names: of other hosts to visit.
    """
    names = {task.host for task in command.store.some(numbers)} | set(names)
    if not names:
        return
    listed, session = command.listed()
    with Monitor(command.workspace, command.store, command.say) as monitor:
        with command.running() as run:
            reports = scheduler.one_pass(run, command.context(session, monitor), listed, only=names)
    busy = {report.name for report in reports if report.busy}
    left = [task for task in command.store.some(numbers) if task.id not in monitor.finished]
    waiting = {}
    for task in left:
        if task.state in pending_states:
            waiting.setdefault(task.host, []).append(task)
    for host, tasks in waiting.items():
        command.say('%s: %s pending on %s (%s)' % (
            _several(tasks), verb, host,
            'already being handled by another lwt process' if host in busy
            else 'the next pass continues'))
    _say_done(command, _Changed(task for task in left if task.state not in pending_states), verb)


def remove(command, words):
    """Remove tasks from the queue; running ones are killed first."""
    found = task_select.for_request(command, words, 'rm')
    if task_select.is_broad(command, words) and not command.parsed.yes:
        if not _confirm(command, found):
            return 0
    names, left, kept = command.store.hosts_that_keep(found), [], _Changed()
    for task, is_removed in queue.remove(command.workspace, command.store, found,
                                         command.parsed.results):
        if not is_removed:
            left.append(task.id)
        elif os.path.isdir(results.directory(command.workspace, task)):
            kept.add(task)
    for task in kept.first:
        command.say('%s: removed; its results remain in %s'
                    % (task.label, shown_path(results.directory(command.workspace, task))))
    more = sum(kept.counts.values()) - len(kept.first)
    if more:
        command.say('%d more tasks removed; their results remain in %s'
                    % (more, shown_path(command.workspace.path('task.finish'))))
    _apply(command, 'rm', model.STATES, sorted(left), names)
    return 0


def _confirm(command, found):
    """Ask whether to remove these tasks; returns the answer.

    Raises UsageError if there is nobody to ask.
    """
    if not found:
        return False
    text = 'remove %d task%s (%s)%s' % (
        len(found), 's' * (len(found) > 1), summary(found.counts()),
        ' and their results' if command.parsed.results else '')
    if not (os.isatty(0) and os.isatty(2)):
        raise UsageError('lwt task rm: no terminal to ask whether to ' + text,
                         'add --yes to remove them without a question')
    writer.put_error('lwt: %s? [y/N] ' % text)
    if sys.stdin.readline().strip().lower() in ('y', 'yes'):
        return True
    command.say('nothing was removed')
    return False
