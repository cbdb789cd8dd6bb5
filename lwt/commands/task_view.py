"""Tables and lines about tasks, and their progress line."""

import os
import time

from lwt.errors import EXIT_UNREACHABLE, printable_text
from lwt.output import tables, units, writer
from lwt.output.progress import Progress
from lwt.tasks import model, results
from lwt.workspace import nodeset

MOST_VALUE = 60         # characters of a value in a table; JSON has all of it
COLOURS = {'success': 'green', 'failed': 'red', 'lost': 'red', 'timeout': 'red', 'killed': 'yellow',
           'held': 'yellow'}


def table(chosen, environ, with_use=False):
    """Tasks as the lines of a table; with_use: and what they took, as far as their hosts told."""
    def paint(row, text):
        return writer.coloured(text, COLOURS[row[2]], environ) if row[2] in COLOURS else text

    header = 'ID', 'NAME', 'STATE', 'TRY', 'HOST', 'CODE', 'TIME'
    use = ('WALL', 'CPU') if with_use else ()
    rows = [(model.format_id(task.id),
             task.name if task.arg is None else '%s %s' % (task.name, _cut(task.arg)),
             task.outcome or task.state, task.attempt, task.host or '-', task.code, _span(task))
            + ((_seconds(task.wall), _seconds(task.cpu)) if with_use else ()) + (task.reason,)
            for task in chosen]
    return tables.table(header + use + ('REASON',), rows, paint)


def _cut(text):
    return text if len(text) <= MOST_VALUE else text[:MOST_VALUE - 1] + '…'


def _span(task):
    if task.wall is not None:
        return units.duration(task.wall)
    return (units.duration(task.ended - task.started)
            if task.ended and task.started and task.ended >= task.started else '-')


def _seconds(value):
    return '-' if value is None else '%.2f' % value


def as_json(workspace, store, task):
    """A task as a dict for programs."""
    attempts = [
        dict(zip(('attempt', 'host', 'started', 'ended', 'end', 'code', 'reason', 'wall', 'cpu',
                  'received'), row))
        for row in store.attempts(task.id)]
    return {'id': model.format_id(task.id), 'name': task.name, 'arg': task.arg, 'state': task.state,
            'outcome': task.outcome,
            'attempt': task.attempt, 'host': task.host, 'code': task.code, 'reason': task.reason,
            'added': task.added,
            'started': task.started, 'ended': task.ended, 'wall': task.wall, 'cpu': task.cpu,
            'attempts': attempts,
            'after': [model.format_id(int(number)) for number in task.after.split()],
            'desc': task.desc._asdict(),
            'result': results.directory(workspace, task) if task.state == 'done' else None,
            'kept': [{'attempt': attempt, 'host': host, 'path': _kept_path(task, attempt, home)}
                     for attempt, host, home in store.kept(task)]}


def _kept_path(task, attempt, home):
    """The directory of an attempt on its host, relative to the login directory or absolute."""
    return '%s/.lwt/t/%s' % (home.rstrip('/'), task._replace(attempt=attempt).key)


def details(workspace, store, task, environ):
    """All about one task, as lines."""
    yield from table([task], environ, True)
    yield 'exec : ' + printable_text(task.desc.exec, 400)
    where = results.directory(workspace, task)
    if os.path.isdir(where):
        yield 'result : ' + where
    for attempt, host, home in store.kept(task):
        yield ('kept : %s:%s (results that could not be fetched; removed by lwt task rm or retry)'
               % (host, _kept_path(task, attempt, home)))
    attempts = store.attempts(task.id)
    if attempts:
        rows = [(number, host, end, code, _seconds(wall), _seconds(cpu), received, reason)
                for number, host, _began, _end, end, code, reason, wall, cpu, received in attempts]
        yield from tables.table(
            ('ATTEMPT', 'HOST', 'END', 'CODE', 'WALL', 'CPU', 'BYTES', 'REASON'), rows)
    for when, text in store.history(task.id):
        yield '%s  %s' % (time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(when)),
                          printable_text(text, 400))


ACCOUNT = ('TASKS', 'TRIES', 'OK', 'FAILED', 'KILLED', 'LOST', 'TIMEOUT', 'WALL', 'CPU', 'BYTES')


def accounts_table(title, accounts):
    """store.Accounts as the lines of a table."""
    return tables.table((title,) + ACCOUNT, [
        account[:-3] + (units.duration(account.wall), units.duration(account.cpu),
                        units.size(account.received))
        for account in accounts])


def summary(counts):
    """Counts as words: 12 success, 1 failed, 3 running."""
    return ', '.join('%d %s' % (counts[word], word)
                     for word in model.OUTCOMES + model.STATES if counts.get(word))


def progress_text(counts, done_before, elapsed):
    """The progress of the queue, as text.

    counts: {state or outcome: number of tasks}.  done_before: how many tasks were done when the run
    began, `elapsed` seconds ago.
    """
    done = sum(counts.get(outcome, 0) for outcome in model.OUTCOMES)
    by_state = [(counts.get(state, 0), state) for state in model.STATES]
    failed = done - counts.get('success', 0)
    return Progress(done, sum(counts.values()), elapsed, (*by_state, (failed, 'failed')),
                    before=done_before).text()


class Troubles:
    """What hinders hosts: told once, and again only when it changes."""

    def __init__(self, say):
        self._say = say
        self._known = {}
        self._over_budget = {}          # name -> the reason, of hosts that passed a budget

    def hear(self, name, reason, is_over_budget=False):
        """Hear why a host could not be visited, or '' where it could; is_over_budget: as a Verdict
        has it.
        """
        if is_over_budget:
            self._over_budget[name] = reason
        elif not reason:
            self._over_budget.pop(name, None)
        if reason != self._known.get(name, ''):
            self._say('%s: %s' % (name, reason or 'it answers again'))
        self._known[name] = reason

    def exit_code(self):
        """3 if a host passed a budget and has given no proper answer since, else 0."""
        return EXIT_UNREACHABLE if self._over_budget else 0

    def lines(self, told=()):
        """What hinders hosts still, a line for each reason, and for each host that passed a budget.

        told: names of hosts to leave out.
        """
        for name, reason in self._over_budget.items():
            yield '%s: not to be trusted: %s' % (name, reason)
        by_reason = {}
        for name, reason in self._known.items():
            if reason and name not in told and name not in self._over_budget:
                by_reason.setdefault(reason, []).append(name)
        for reason, names in sorted(by_reason.items()):
            yield ('%d host%s still: %s: %s'
                   % (len(names), 's' * (len(names) > 1), nodeset.fold(names), reason))


class Teller:
    """Tells how a run goes: by a line of progress, or by a line for each thing that happens.  Use
    as a context manager.
    """

    def __init__(self, store, say, progress):
        self._store = store
        self._say = say
        self._progress = progress       # a ProgressLine, or None

    def __enter__(self):
        self._started = time.monotonic()
        self._done_before = sum(self._store.counts().get(outcome, 0) for outcome in model.OUTCOMES)
        return self

    def __exit__(self, *_exc):
        if self._progress is not None:
            self._progress.clear()

    def remark(self, text):
        """Hear of something that people are to know, with a line of progress as well."""
        if self._progress is not None:
            self._progress.clear()
        self._say(text)

    def tell(self, text):
        """Hear of something that happened."""
        if self._progress is None:
            self._say(text)
        else:
            elapsed = time.monotonic() - self._started
            self._progress.show(progress_text(self._store.counts(), self._done_before, elapsed))
