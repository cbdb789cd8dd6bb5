"""lwt task update, run and wait: passes over the hosts until nothing is left to do."""

from __future__ import generator_stop

import itertools
import os
import time

from lwt.commands import cron_log
from lwt.commands.task_monitor import Monitor, failure_lines
from lwt.commands.task_select import is_filtered, selected
from lwt.commands.task_view import summary
from lwt.errors import (
    BusyError, EXIT_FAILED, EXIT_UNREACHABLE, Interrupted, UsageError)
from lwt.hosts.capacity import accepts
from lwt.hosts.health import NEEDS_A_PERSON
from lwt.output import writer
from lwt.output.progress import ProgressLine
from lwt.remote import events
from lwt.tasks import model, queue, scheduler, unrunnable
from lwt.tasks.task_lists import NumberSet
from lwt.tasks.unrunnable import Prospects
from lwt.workspace import nodeset

MOST_SHOWN = 10         # tasks, or inputs of tasks, in a list of messages

# The text about a task that waits for its user, or for its host to apply a request.
_WAITING = {'killing': 'kill pending on {host}', 'suspending': 'suspend pending on {host}',
            'resuming': 'resume pending on {host}', 'held': 'held: {reason}',
            'suspended': 'suspended on {host}; to continue it: lwt task resume {id}'}


def update(command, words):
    """Do one pass; returns the exit code."""
    _expect_no_words('update', words)
    _clear_up(command)
    listed, session = command.listed()
    events.note('pass begins')
    with _monitor(command) as monitor, command.running() as run_:
        reports = scheduler.one_pass(run_, command.context(session, monitor), listed)
    events.note('pass ends: %d hosts, %d changes'
                % (len(reports), sum(report.changes for report in reports)))
    for text in cron_log.overdue(command.workspace,
                                 [report.name for report in reports if report.busy],
                                 command.settings.overdue):
        writer.say(text)
    if reports and all(report.busy for report in reports):
        if command.parsed.cron:
            return 0
        raise BusyError('another pass is visiting all hosts', 'try again later')
    _say_unplaceable(command, listed)
    if command.parsed.cron:
        for report in reports:          # cron mails these lines to the user
            if report.kind in NEEDS_A_PERSON:
                writer.say('%s: %s' % (report.name, report.problem))
        return 0
    return EXIT_UNREACHABLE if any(report.problem for report in reports) else 0


def run(command, words):
    """Do passes until all tasks are done; returns the exit code."""
    _expect_no_words('run', words)
    _clear_up(command)
    numbers = NumberSet(command.store.open_numbers())
    finished, code = _work(command, None)
    numbers |= finished
    _say_failures(command, numbers)
    counts = command.store.counts_of(numbers)
    command.say(summary(counts) or 'no open tasks')
    return _exit_code(counts, code)


def wait(command, words):
    """Do passes until these tasks, or all, are done or held; returns the exit code."""
    is_some = words or is_filtered(command.parsed)
    numbers = NumberSet(selected(command, words).numbers if is_some
                        else command.store.open_numbers())
    finished, code = _work(command, numbers if is_some else None)
    if finished:
        _say_failures(command, finished)
    numbers |= finished
    return _exit_code(command.store.counts_of(numbers), code)


def _clear_up(command):
    """Before passes: remove old tasks from the database, and what a killed lwt left behind."""
    command.store.forget(command.settings.keep)
    for problem in queue.sweep(command.workspace, command.store):
        command.say('%s (see lwt doctor)' % problem)


def _monitor(command, numbers=None):
    """Return the Monitor of a run: with a progress line on a terminal, or if the user wants one."""
    is_silent = command.env.quiet or command.parsed.cron
    is_wanted = not is_silent and (os.isatty(2) or command.parsed.progress)
    progress = ProgressLine(True) if is_wanted else None
    return Monitor(command.workspace, command.store, command.say, progress, numbers)


def _work(command, numbers):
    """Do passes until nothing is left to do, for all tasks or for those with these numbers.

    Returns the numbers of the tasks that this run finished, and an exit code: 3 if a host cannot be
    trusted, 1 if no host can ever take a waiting task, else 0.
    """
    listed, session = command.listed()
    try:
        with _monitor(command, numbers) as monitor, command.running() as run_:
            context = command.context(session, monitor)
            hopes = Prospects(command.store, context.health_log, command.settings, listed,
                              time.time)
            scheduler.until_done(run_, context, listed, numbers, hopes)
    except Interrupted:
        command.say('interrupted; started tasks keep running, and the next lwt task run or update '
                    'continues')
        raise
    stuck, told = _say_stuck(command, hopes, numbers)
    for line in monitor.troubles.lines(told):
        command.say(line)
    _say_waiting(command, numbers)
    return monitor.finished, monitor.troubles.exit_code() or (EXIT_FAILED if stuck else 0)


def _exit_code(counts, code):
    """Return the exit code of a run.

    counts: {state or outcome: number} of its tasks.  code: the one that _work returned.
    """
    found = set(counts)
    if found & {'lost', 'timeout'}:
        return EXIT_UNREACHABLE
    return code or (EXIT_FAILED if found - {'success'} else 0)


def _say_failures(command, numbers):
    """Print the kinds of failures of tasks with these numbers, with -q too."""
    for line in failure_lines(command.workspace, command.store, numbers):
        writer.say(line)


def _by_input(store, groups, numbers=None):
    """Yield (label, Task) for each input of waiting Groups; the label has the number of tasks.

    numbers: only the tasks with these numbers.
    """
    by_input = {}
    for group in groups:
        by_input.setdefault(group.input, []).append(group)
    for same in by_input.values():
        found = store.waiting_of(same)
        found = found if numbers is None else found.of_numbers(numbers)
        for task in found[:1]:
            yield task.label + _and_more(len(found) - 1), task


def _and_more(count):
    return ' and %d more' % count if count else ''


def _mismatch(label, desc):
    return '%s: no available host matches (category %s, hosts %s)' % (
        label, desc.category or 'any', desc.hosts or 'any')


def _say_unplaceable(command, listed):
    """Print the tasks that no available host may run, and those that wait for a user."""
    found = _by_input(command.store, scheduler.unplaceable(command.store, listed))
    for label, task in itertools.islice(found, MOST_SHOWN):
        writer.say(_mismatch(label, task.desc))
    _say_waiting(command)


def _say_stuck(command, hopes, numbers=None):
    """Print the tasks that no host can ever run, with hints.  numbers: only these tasks.

    Returns whether there are any, and the names of the hosts that the messages explain.
    """
    is_any, hints, told = False, {}, set()
    found = _by_input(command.store, hopes.stuck(), numbers)
    for label, task in itertools.islice(found, MOST_SHOWN):
        is_any = True
        refusals = hopes.refusals(task.desc) or []
        if not all(refusal.kind == 'mismatch' for refusal, _names in refusals):
            writer.say('%s: no host can take it: %s' % (label, unrunnable.reason_text(refusals)))
            told.update(name for _refusal, names in refusals for name in names)
            hints.update(dict.fromkeys(unrunnable.hints(refusals)))
            continue
        writer.say(_mismatch(label, task.desc))
        others = [host.name for host in command.workspace.candidates() if accepts(host, task.desc)]
        hints['did not pass the last probe: %s; test again with lwt probe' % nodeset.fold(others)
              if others else unrunnable.HINTS['mismatch']] = None
    for hint in hints:
        writer.say('hint: ' + hint)
    return is_any, told


def _say_waiting(command, numbers=None):
    """Print the tasks that wait for a user, or for a host to apply a request.  numbers: only these.
    """
    reasons = command.store.reasons(tuple(_WAITING), numbers)
    for state, host, reason, count, first in reasons[:MOST_SHOWN]:
        task = command.store.get(first)
        if task is not None:
            text = _WAITING[state].format(host=host, reason=reason, id=model.format_id(first))
            command.say('%s%s: %s' % (task.label, _and_more(count - 1), text))
    left = sum(row[3] for row in reasons[MOST_SHOWN:])
    if left:
        command.say('%d more tasks wait (lwt task show --state %s)' % (left, ','.join(_WAITING)))


def _expect_no_words(verb, words):
    if words:
        raise UsageError('lwt task %s: unexpected word %s' % (verb, words[0]))
