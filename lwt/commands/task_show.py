"""lwt task show and log: the state of tasks, and their output."""

from __future__ import generator_stop

import os
import time

from lwt.commands.task_view import as_json, count, details, summary, table
from lwt.errors import HostError, UsageError
from lwt.output import tables, writer
from lwt.remote import call
from lwt.tasks import model, queue, results
from lwt.workspace import files
from lwt.workspace.hostlist import Host

START_POLL = 0.2            # seconds between two checks whether a followed task has started

_LOG = 'cd "./.lwt/t/$1" && cat run.stdout && cat run.stderr >&2'
_FOLLOW = '''cd "./.lwt/t/$1" || exit
tail -c +1 -f run.stdout & out=$!
tail -c +1 -f run.stderr >&2 & err=$!
while [ ! -e "$(echo exit.*)" ] && [ -e run.stdout ]; do sleep 0.2 2>/dev/null || sleep 1; done
sleep 1
kill "$out" "$err"'''


def show(command, words):
    """Print a table of tasks, or the details of some."""
    parsed = command.parsed
    filters = [split_words(texts) for texts in (parsed.state, parsed.name, parsed.host)]
    is_filtered = any(filters) or parsed.finished
    if parsed.count and not words and not is_filtered:
        _show_counts(command.store.counts(), parsed.json)
        return 0
    chosen = _filtered(command, *filters) if is_filtered or not words else ()
    if words:
        through = {task.id for task in chosen}
        chosen = [task for task in queue.find(command.store, words)
                  if task.id in through or not is_filtered]
    counts = count(task.outcome or task.state for task in chosen)
    if parsed.count:
        _show_counts(counts, parsed.json)
    elif parsed.json:
        for task in chosen:
            writer.put_bytes(writer.json_line(as_json(command.workspace, command.store, task)))
    elif words:
        _show_details(command, chosen)
    else:
        for line in table(chosen, command.env.environ, time.time(), parsed.finished):
            writer.put_line(line)
        none = 'no such tasks' if is_filtered else 'no tasks; add one with: lwt task add NAME'
        command.say(summary(counts) or none)
    return 0


def split_words(texts):
    """Return the words of option values such as 'a,b c'."""
    return [word for text in texts for word in text.replace(',', ' ').split()]


def _filtered(command, states, names, hosts):
    """Return the tasks that pass the filters of the command line."""
    for state in states:
        if state not in model.STATES + model.OUTCOMES:
            raise UsageError('--state %s: no such state' % state,
                             'the states are: ' + ' '.join(model.STATES + model.OUTCOMES))
    if command.parsed.finished:
        states = [state for state in states or ['done'] if state in model.OUTCOMES + ('done',)]
        if not states:
            return []
    return command.store.chosen([state for state in states if state in model.STATES],
                                [state for state in states if state in model.OUTCOMES], names,
                                hosts)


def _show_details(command, chosen):
    for number, task in enumerate(chosen):
        if number:
            writer.put_line()
        for line in details(command.workspace, command.store, task, command.env.environ,
                            time.time()):
            writer.put_line(line)


def _show_counts(counts, as_object):
    """Print {state or outcome: number of tasks} as a table or one JSON object."""
    if as_object:
        writer.put_bytes(writer.json_line(counts))
        return
    words = [word for word in model.OUTCOMES + model.STATES if counts.get(word)]
    for line in tables.table(('STATE', 'TASKS'), [(word, counts[word]) for word in words]
                             + [('all', sum(counts.values()))]):
        writer.put_line(line)


def log(command, words):
    """Print the output of a task: from its results or, while it is on a host, from that host."""
    if len(words) != 1:
        raise UsageError('lwt task log: expected one task id')
    task = queue.find(command.store, words)[0]
    while True:
        if task.state not in ('new', 'held', 'launching', 'withdrawing', 'done'):
            return _log_from_host(command, task)
        if task.state == 'done' or not command.parsed.follow:
            folders = results.directory(command.workspace, task), _last_attempt(command, task)
            return _log_from_files(command, task, next(filter(os.path.isdir, folders), None))
        time.sleep(START_POLL)
        task = command.store.get(task.id) or task._replace(state='done')


def _log_from_files(command, task, folder):
    """Print the fetched output of a task.  folder: the directory of its files, or None."""
    if folder is None:
        command.say('%s: no output (%s)' % (task.label, task.outcome or task.state))
        return 0
    for name, stream in (('run.stdout', 1), ('run.stderr', 2)):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with files.local_errors(path), open(path, 'rb') as file:
                writer.put_pieces(iter(lambda file=file: file.read(1 << 16), b''), stream)
    return 0


def _last_attempt(command, task):
    """Return the directory for the results of the previous attempt."""
    return results.attempt_directory(command.workspace, task._replace(attempt=task.attempt - 1))


def _log_from_host(command, task):
    """Print the output of a task that is on a host."""
    host = Host(task.host, task.category, task.home)
    session = command.env.session(command.settings, [host])
    with command.running() as the_run:
        out = writer.Output(the_run)
        verdict = the_run.report(call.command(
            session, host, _FOLLOW if command.parsed.follow else _LOG, (task.key,),
            lambda stream, data: out.stream(stream).write(data) or out.stream(stream).is_lost))
        out.check()
    if not verdict.ok and not writer.losses():
        raise HostError(task.host, verdict)
    return 0
