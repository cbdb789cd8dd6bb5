"""lwt task log: the output of tasks."""

from __future__ import generator_stop

import os
import time

from lwt.commands.task_select import selected
from lwt.commands.task_view import count, summary
from lwt.errors import EXIT_UNREACHABLE, HostError, UsageError
from lwt.output import writer
from lwt.remote import call
from lwt.tasks import model, placeholders, results
from lwt.workspace import files
from lwt.workspace.hostlist import Host

START_POLL = 0.2            # seconds between two checks whether a followed task has started
WITHOUT_OUTPUT = ('new', 'held', 'launching', 'withdrawing')

_LOG = 'cd "./.lwt/t/$1" && cat run.stdout && cat run.stderr >&2'
_FOLLOW = '''cd "./.lwt/t/$1" || exit
tail -c +1 -f run.stdout & out=$!
tail -c +1 -f run.stderr >&2 & err=$!
while [ ! -e "$(echo exit.*)" ] && [ -e run.stdout ]; do sleep 0.2 2>/dev/null || sleep 1; done
sleep 1
kill "$out" "$err"'''


def log(command, words):
    """Print the output of tasks: from their results or, while they are on a host, from that host.
    """
    found = selected(command, words)
    if words and len(found) == 1:
        return _log_one(command, found[0])
    if command.parsed.follow:
        raise UsageError('lwt task log -f: expected one task id')
    code, silent = 0, []
    for task in found:
        try:
            if not _log_task(command, task):
                silent.append(task.outcome or task.state)
        except HostError as error:      # the output of the others is no less useful
            writer.say('%s: %s' % (task.label, error.message))
            code = EXIT_UNREACHABLE
    if silent:
        command.say('no output of %d task%s: %s' % (len(silent), 's' * (len(silent) > 1),
                                                    summary(count(silent))))
    elif not found:
        command.say('no such tasks')
    return code


def _log_one(command, task):
    while command.parsed.follow and task.state in WITHOUT_OUTPUT:
        time.sleep(START_POLL)
        task = command.store.get(task.id) or task._replace(state='done')
    if not _log_task(command, task):
        command.say('%s: no output (%s)' % (task.label, task.outcome or task.state))
    return 0


def _log_task(command, task):
    """Print the output of a task; returns whether there is any.  Raises HostError."""
    if task.state not in WITHOUT_OUTPUT + ('done',):
        _log_from_host(command, task)
        return True
    folders = results.directory(command.workspace, task), _last_attempt(command, task)
    folder = next(filter(os.path.isdir, folders), None)
    if folder is not None:
        _log_from_files(command, task, folder)
    return folder is not None


class _Tagger:
    """Puts the values of a task, or its id, before each line of one stream if --tag is given."""

    def __init__(self, command, task):
        text = model.format_id(task.id) if task.arg is None else placeholders.tag(task.arg,
                                                                                  task.split)
        self._tag = writer.encoded(text + '\t') if command.parsed.tag else b''
        self._is_at_start = True

    def tagged(self, data):
        """Return the next piece of the stream, with the tags."""
        if not (self._tag and data):
            return data
        head = self._tag if self._is_at_start else b''
        self._is_at_start = data.endswith(b'\n')
        body = data[:-1] if self._is_at_start else data
        return (head + body.replace(b'\n', b'\n' + self._tag)
                + (b'\n' if self._is_at_start else b''))

    def rest(self):
        """Return the end of a last line that has none."""
        return b'' if self._is_at_start or not self._tag else b'\n'


def _log_from_files(command, task, folder):
    """Print the fetched output of a task.  folder: the directory of its files."""
    for name, stream in (('run.stdout', 1), ('run.stderr', 2)):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with files.local_errors(path), open(path, 'rb') as file:
                writer.put_pieces(_pieces(file, _Tagger(command, task)), stream)


def _pieces(file, tagger):
    for data in iter(lambda: file.read(1 << 16), b''):
        yield tagger.tagged(data)
    yield tagger.rest()


def _last_attempt(command, task):
    """Return the directory for the results of the previous attempt."""
    return results.attempt_directory(command.workspace, task._replace(attempt=task.attempt - 1))


def _log_from_host(command, task):
    """Print the output of a task that is on a host."""
    host = Host(task.host, task.category, task.home)
    session = command.env.session(command.settings, [host])
    taggers = {'stdout': _Tagger(command, task), 'stderr': _Tagger(command, task)}
    with command.running() as the_run:
        out = writer.Output(the_run)

        def sink(stream, data):
            out.stream(stream).write(taggers[stream].tagged(data))
            return out.stream(stream).is_lost

        verdict = the_run.report(call.command(
            session, host, _FOLLOW if command.parsed.follow else _LOG, (task.key,), sink))
        for stream, tagger in taggers.items():
            out.stream(stream).write(tagger.rest())
        out.check()
    if not verdict.ok and not writer.losses():
        raise HostError(task.host, verdict)
