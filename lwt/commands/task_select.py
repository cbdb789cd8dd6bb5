"""The tasks that a subcommand of lwt task is about: ids, ranges of ids, and filters."""

from __future__ import generator_stop

from lwt.commands.task_view import summary
from lwt.errors import UsageError
from lwt.tasks import model, queue
from lwt.tasks.task_lists import NumberSet, TaskList


def split_words(texts):
    """Return the words of option values such as 'a,b c'."""
    return [word for text in texts for word in text.replace(',', ' ').split()]


def is_filtered(parsed):
    """Return whether the command line has filters."""
    return any((parsed.state, parsed.name, parsed.host, parsed.finished))


def selected(command, words):
    """Return the TaskList of the tasks that ids and ranges (all if there are none) and the filters
    select.
    """
    parsed = command.parsed
    if not words:
        return _filtered(command)
    found = queue.find(command.store, words)
    if not is_filtered(parsed):
        return found
    return found.of_numbers(NumberSet(_filtered(command).numbers))


def _filtered(command):
    """Return the TaskList of the tasks that pass the filters of the command line."""
    parsed = command.parsed
    states, names, hosts = map(split_words, (parsed.state, parsed.name, parsed.host))
    for state in states:
        if state not in model.STATES + model.OUTCOMES:
            raise UsageError('--state %s: no such state' % state,
                             'the states are: ' + ' '.join(model.STATES + model.OUTCOMES))
    if parsed.finished:
        states = [state for state in states or ['done'] if state in model.OUTCOMES + ('done',)]
        if not states:
            return TaskList(command.store)
    return command.store.chosen([state for state in states if state in model.STATES],
                                [state for state in states if state in model.OUTCOMES], names,
                                hosts)


def is_broad(command, words):
    """Return whether more is selected than the tasks whose ids are given one by one."""
    return (command.parsed.all or is_filtered(command.parsed)
            or any(map(queue.is_range, ','.join(words).split(','))))


def for_request(command, words, verb):
    """Return the TaskList of the tasks to kill, suspend, resume, retry or remove (verb).

    Of ranges and filters, tasks to which the request does not apply are left out, with a message.
    """
    parsed = command.parsed
    if not (words or parsed.all or is_filtered(parsed)):
        raise UsageError('lwt task %s: missing task id' % verb,
                         'give ids, ranges such as 1-15, --state, --name, --host or --all')
    if words and parsed.all:
        raise UsageError('lwt task %s: --all and ids exclude each other' % verb)
    found = selected(command, words)
    if not found:
        command.say('no such tasks')
    if not is_broad(command, words) or verb == 'rm':
        return found
    states = split_words(parsed.state)
    fitting, left = found.divided(lambda task: _fits(task, verb, states))
    if left:
        command.say('%d task%s left out, because %s does not apply: %s' % (
            len(left), 's' * (len(left) > 1), verb, summary(left.counts())))
    return fitting


def _fits(task, verb, states):
    """Return whether a request applies to a task.  states: those that the user named."""
    if (task.state, verb) not in model.TRANSITIONS:
        return False
    is_waiting = task.state == 'held' and bool(task.after) and task.reason != 'suspended'
    if verb == 'suspend':
        return task.state != 'held' or is_waiting
    if verb == 'resume' and is_waiting:
        return False                    # it would start without waiting for the others
    # A success is repeated only if the user asks for it.
    return verb != 'retry' or task.outcome != 'success' or 'success' in states or 'done' in states
