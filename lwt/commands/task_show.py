"""lwt task show: the state of tasks."""

from __future__ import generator_stop

import io
import time

from lwt.commands.task_select import is_filtered, selected
from lwt.commands.task_view import as_json, details, shown_path, summary, table_parts
from lwt.output import tables, writer
from lwt.tasks import model, queue, results

PIECE = 1 << 16             # characters of CSV that are printed at once


def show(command, words):
    """Print a table of tasks, or the details of some."""
    parsed = command.parsed
    if parsed.count and not words and not is_filtered(parsed):
        _show_counts(command.store.counts(), parsed.json)
        return 0
    chosen = selected(command, words)
    if parsed.count:
        _show_counts(chosen.counts(), parsed.json)
    elif parsed.csv:
        _show_csv(command.workspace, chosen)
    elif parsed.json:
        for task in chosen:
            writer.put_bytes(writer.json_line(as_json(command.workspace, command.store, task)))
    elif words and not any(map(queue.is_range, ','.join(words).split(','))):
        _show_details(command, chosen)
    else:
        for lines in table_parts(chosen, command.env.environ, time.time(), parsed.finished):
            writer.put_line('\n'.join(lines))
        none = ('no such tasks' if is_filtered(parsed)
                else 'no tasks; add one with: lwt task add NAME')
        command.say(summary(chosen.counts()) or none)
    return 0


def _show_details(command, chosen):
    for number, task in enumerate(chosen):
        if number:
            writer.put_line()
        for line in details(command.workspace, command.store, task, command.env.environ,
                            time.time()):
            writer.put_line(line)


CSV = ('id', 'name', 'parameters', 'outcome', 'code', 'host', 'wall', 'cpu', 'path')


def _show_csv(workspace, chosen):
    """Print tasks as comma-separated values (RFC 4180, but lines end with LF)."""
    import csv                          # here, because few commands need it
    lines = io.StringIO()
    rows = csv.writer(lines, lineterminator='\n')
    rows.writerow(CSV)
    for task in chosen:
        path = results.directory(workspace, task) if task.state == 'done' and task.host else ''
        rows.writerow((model.format_id(task.id), task.name, task.arg or '',
                       task.outcome or task.state, task.code, task.host,
                       _seconds(task.wall), _seconds(task.cpu), path and shown_path(path)))
        if lines.tell() > PIECE:
            writer.put_bytes(writer.encoded(lines.getvalue()))
            lines.seek(0)
            lines.truncate()
    writer.put_bytes(writer.encoded(lines.getvalue()))


def _seconds(number):
    return '' if number is None else '%.2f' % number


def _show_counts(counts, as_object):
    """Print {state or outcome: number of tasks} as a table or one JSON object."""
    if as_object:
        writer.put_bytes(writer.json_line(counts))
        return
    words = [word for word in model.OUTCOMES + model.STATES if counts.get(word)]
    for line in tables.table(('STATE', 'TASKS'), [(word, counts[word]) for word in words]
                             + [('all', sum(counts.values()))]):
        writer.put_line(line)
