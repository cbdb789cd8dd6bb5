"""Tables and lines about tasks."""

import os
import time

from lwt.errors import printable_text
from lwt.output import tables, units, writer
from lwt.tasks import model, placeholders, predecessors, results

TAIL_LINES = 5          # of each output stream of a task, in its details
TAIL_BYTES = 8192       # bytes to read for them
PART = 1000             # tasks in a part of a table
INDENT = 10             # columns of the field names in the details of a task
COLOURS = {'success': 'green', 'failed': 'red', 'lost': 'red', 'timeout': 'red', 'killed': 'yellow',
           'held': 'yellow'}


# -- tables ----------------------------------------------------------------------------------------


def table_parts(chosen, environ, now, with_cpu=False):
    """Yield the lines of a table of tasks, PART tasks at a time, so that a long one needs little
    memory and its beginning is soon there.  A part may have wider columns than the one before.

    chosen: a TaskList.  Other arguments as for table.
    """
    widths = {}
    for at in range(0, max(1, len(chosen)), PART):
        lines = table(list(chosen[at:at + PART]), environ, now, with_cpu, widths)
        if at == 0 or lines[1:]:
            yield lines[at > 0:]


def table(chosen, environ, now, with_cpu=False, widths=None):
    """Return tasks as the lines of a table.

    now: seconds since 1970, for the elapsed time of running tasks.  with_cpu: add their cpu time.
    widths: see tables.table.
    """
    def paint(row, text):
        return writer.coloured(text, COLOURS[row[2]], environ) if row[2] in COLOURS else text

    header = ('ID', 'NAME', 'STATE', 'TRY', 'HOST', 'TIME') + ('CPU',) * with_cpu + ('REASON',)
    rows = [(model.format_id(task.id), task.title, task.outcome or task.state, task.attempt,
             task.host or '-', units.duration(elapsed(task, now)))
            + (units.duration(task.cpu),) * with_cpu + (model.reason_text(task),)
            for task in chosen]
    return tables.table(header, rows, paint, widths)


def elapsed(task, now):
    """Return the seconds that a task has run so far or, if it ended, in total; None if unknown."""
    is_over = task.ended is not None
    if not is_over and task.state not in model.ASKED:
        return None                     # the known times are those of an earlier attempt
    if task.wall is not None:
        return task.wall
    if task.started is None:
        return None
    seconds = (task.ended if is_over else now) - task.started
    return seconds if seconds >= 0 else None


def whole_duration(seconds):
    """Return seconds as text without decimals: 40 s, 3 min 5 s."""
    return '%d s' % seconds if round(seconds) < 60 else units.duration(seconds)


ACCOUNT = ('TASKS', 'TRIES', 'OK', 'FAILED', 'KILLED', 'LOST', 'TIMEOUT', 'WALL', 'CPU', 'BYTES')


def accounts_table(title, accounts):
    """Return queries.Accounts as the lines of a table."""
    return tables.table((title,) + ACCOUNT, [
        account[:-3] + (units.duration(account.wall), units.duration(account.cpu),
                        units.size(account.received))
        for account in accounts])


def count(conditions):
    """Return {state or outcome: number of tasks} of the states or outcomes of tasks."""
    counts = {}
    for word in conditions:
        counts[word] = counts.get(word, 0) + 1
    return counts


def summary(counts):
    """Return counts as words: 12 success, 1 failed, 3 running."""
    return ', '.join('%d %s' % (counts[word], word)
                     for word in model.OUTCOMES + model.STATES if counts.get(word))


# -- one task --------------------------------------------------------------------------------------


def condition(task, now):
    """Return the state of a task or how it ended: running on h2, 40 s; failed on h1 (exit code 1).
    """
    if task.state == 'done':
        text = model.end_text(task, task.outcome, task.code, task.reason)
    else:
        text = task.state + (' on ' + task.host if task.host else '')
        reason = model.reason_text(task)
        text += ' (%s)' % reason if reason else ''
    seconds = elapsed(task, now)
    shown = units.duration if task.state == 'done' else whole_duration
    return text + (', ' + shown(seconds) if seconds is not None else '')


def shown_path(path):
    """Return a path that a user can paste: relative if it is below the current directory."""
    try:
        relative = os.path.relpath(path)
    except OSError:                     # the current directory was removed
        return path
    return path if relative.startswith('..') else relative


def as_json(workspace, store, task):
    """Return a task as a dict for JSON."""
    attempts = [
        dict(zip(('attempt', 'host', 'started', 'ended', 'end', 'code', 'reason', 'wall', 'cpu',
                  'received'), row))
        for row in store.attempts(task.id)]
    return {'id': model.format_id(task.id), 'name': task.name, 'arg': task.arg,
            'parameters': placeholders.named(task.arg, task.split), 'state': task.state,
            'outcome': task.outcome,
            'attempt': task.attempt, 'host': task.host, 'code': task.code, 'reason': task.reason,
            'added': task.added,
            'started': task.started, 'ended': task.ended, 'wall': task.wall, 'cpu': task.cpu,
            'attempts': attempts,
            'after': predecessors.shown(task.after),
            'desc': task.desc._asdict(),
            'result': results.directory(workspace, task) if task.state == 'done' else None,
            'kept': [{'attempt': attempt, 'host': host, 'path': _host_path(task, attempt, home)}
                     for attempt, host, home in store.kept(task)]}


def _host_path(task, attempt, home):
    """Return the directory of an attempt on its host, relative to the login directory or absolute.
    """
    return '%s/.lwt/t/%s' % (home.rstrip('/'), task._replace(attempt=attempt).key)


def details(workspace, store, task, environ, now):
    """Yield all details of one task, as lines that fit the terminal."""
    width = writer.columns()
    first = wrapped(printable('%s: %s' % (task.label, condition(task, now))), width)
    colour = COLOURS.get(task.outcome or task.state)
    for line in first:
        yield writer.coloured(line, colour, environ) if colour else line
    yield from _field('command', task.desc.exec, width)
    if task.arg is not None:
        yield from _field('value', task.arg, width)
    if task.after:
        yield from _field('after', ' '.join(predecessors.shown(task.after)), width)
    if task.cpu is not None:
        yield from _field('cpu time', units.duration(task.cpu), width)
    for attempt, host, home in store.kept(task):
        yield from _field('kept', '%s:%s (not fetched; lwt task rm or retry removes it)'
                          % (host, _host_path(task, attempt, home)), width)
    yield from _outputs(workspace, task, width)
    yield from _attempts(store, task, width)
    for when, text in store.history(task.id):
        yield from wrapped(printable(text), width, _date(when) + '  ', ' ' * 21)


def _date(when):
    return time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(when))


def printable(text, limit=tables.MAX_CELL):
    """Return text that may come from a host as one line."""
    return printable_text(writer.encoded(text), limit)


def wrapped(text, width, first='', others=''):
    """Return text as lines of at most `width` columns; only longer words exceed it.

    first, others: the beginning of the first and of the other lines.
    """
    import textwrap                     # slow to import, and few commands need it
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=others,
                         break_long_words=False, break_on_hyphens=False) or [first.rstrip()]


def _field(name, text, width):
    return wrapped(printable(text), width, name.ljust(INDENT), ' ' * INDENT)


def _outputs(workspace, task, width):
    """Yield lines about the places of the results and the output of a task, with the end of its
    output.
    """
    where = results.directory(workspace, task)
    if os.path.isdir(os.path.join(where, 'result')):
        yield from _field('results', shown_path(os.path.join(where, 'result')), width)
    for name in ('stdout', 'stderr'):
        path = os.path.join(where, 'run.' + name)
        if os.path.isfile(path):
            lines = last_lines(path, TAIL_LINES)
            yield from _field(name, shown_path(path) + ('' if lines else ' (empty)'), width)
            for line in lines:
                yield '  | ' + printable(line, width - 5)
        elif task.state in model.ASKED and task.host:
            yield from _field(name, '%s:%s/run.%s' % (
                task.host, _host_path(task, task.attempt, task.home), name), width)
    if task.state in model.ASKED and task.host:
        yield from _field('output', 'lwt task log -f %s' % model.format_id(task.id), width)


def last_lines(path, most):
    """Return the last lines of a file that are not empty, as text; [] if it cannot be read.

    most: maximum number of lines.
    """
    try:
        with open(path, 'rb') as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            data = file.read(TAIL_BYTES)
    except OSError:
        return []
    lines = [line for line in data.decode('utf-8', 'surrogateescape').splitlines() if line.strip()]
    return lines[-most:]


def _attempts(store, task, width):
    """Yield the finished attempts of a task as a table, each reason below its attempt."""
    attempts = store.attempts(task.id)
    rows = [(number, host, end, code, units.duration(wall), units.duration(cpu),
             units.size(received or 0))
            for number, host, _began, _end, end, code, _reason, wall, cpu, received in attempts]
    if not rows:
        return
    lines = tables.table(('ATTEMPT', 'HOST', 'END', 'CODE', 'TIME', 'CPU', 'RECEIVED'), rows)
    yield lines[0]
    for line, attempt in zip(lines[1:], attempts):
        yield line
        if attempt[6]:
            yield from wrapped(printable(attempt[6]), width, ' ' * INDENT, ' ' * INDENT)
