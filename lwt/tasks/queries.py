"""Queries about tasks: the SQL that reads them.  `store` has the SQL that changes them.

Tasks that were added together form a batch, which holds their name, input and desc.  So ten
thousand waiting tasks are one row to the scheduler.
"""

import functools
import json
from array import array
from typing import NamedTuple, Optional

from lwt.tasks import model
from lwt.tasks.host_queries import BUSY, HostQueries, OTHER, WAITS
from lwt.tasks.task_lists import TaskList, runs

MOST_NAMES = 500        # names or numbers in one query: SQLite before 3.32 takes 999 parameters
MOST_COUNTED = 10000    # waiting tasks of a Group that are counted; the rest is estimated
SHORTEST_RUN = 8        # consecutive numbers that a query names by the first and the last

_OF_BATCH = {'name': 'batch.name', 'input': 'batch.input', 'desc': 'batch.desc',
             'split': 'batch.split'}
_COLUMNS = ', '.join(_OF_BATCH.get(name, 'task."%s"' % name) for name in model.Task._fields)
_DONE = OTHER + " AND task.state = 'done'"
_OPEN = OTHER + " AND task.state IN (%s)" % ', '.join(
    repr(state) for state in model.STATES if state not in ('new', 'done'))
_GOING = OTHER + " AND task.state IN (%s)" % ', '.join(
    repr(state) for state in model.STATES if state not in ('new', 'held', 'suspended', 'done'))
_CONDITION = "CASE state WHEN 'done' THEN outcome ELSE state END"
_OF_NAME = 'task.batch IN (SELECT id FROM batch WHERE name = ?)'
_OF_INPUT = 'task.batch IN (SELECT id FROM batch WHERE input = ?)'
# The batches that have waiting tasks, then the sets of hosts that these avoid.  Each step finds the
# next value in the index, so the number of tasks does not matter.
_GROUPS = '''
WITH RECURSIVE waiting (batch) AS (
    SELECT min(batch) FROM task INDEXED BY task_waiting WHERE state = 'new'
    UNION ALL
    SELECT (SELECT min(batch) FROM task INDEXED BY task_waiting
            WHERE state = 'new' AND batch > waiting.batch)
    FROM waiting WHERE waiting.batch IS NOT NULL),
part (batch, avoid) AS (
    SELECT batch, (SELECT min(avoid) FROM task INDEXED BY task_waiting
                   WHERE state = 'new' AND batch = waiting.batch)
    FROM waiting WHERE batch IS NOT NULL
    UNION ALL
    SELECT batch, (SELECT min(avoid) FROM task INDEXED BY task_waiting
                   WHERE state = 'new' AND batch = part.batch AND avoid > part.avoid)
    FROM part WHERE part.avoid IS NOT NULL)
SELECT part.batch, part.avoid,
    (SELECT count(*) FROM (SELECT 1 FROM task INDEXED BY task_waiting
     WHERE state = 'new' AND batch = part.batch AND avoid = part.avoid LIMIT %d)),
    (SELECT min(id) FROM task INDEXED BY task_waiting
     WHERE state = 'new' AND batch = part.batch AND avoid = part.avoid) AS first,
    (SELECT max(id) FROM task INDEXED BY task_waiting
     WHERE state = 'new' AND batch = part.batch AND avoid = part.avoid),
    name, input, desc
FROM part JOIN batch ON batch.id = part.batch WHERE part.avoid IS NOT NULL ORDER BY first
''' % MOST_COUNTED


class Group(NamedTuple):
    """Waiting tasks of one batch that avoid the same hosts.

    count: how many; above MOST_COUNTED an estimate, which is never too small.  first: the number of
    the oldest.
    """

    batch: int
    avoid: str
    count: int
    first: int
    name: str
    input: str
    desc: model.Desc


class Account(NamedTuple):
    """The sum of the attempts of tasks of one name, or on one host, which is `key`.

    wall, cpu: seconds; None if no host reported them.  received: bytes of results.
    """

    key: str
    tasks: int
    attempts: int
    success: int
    failed: int
    killed: int
    lost: int
    timeout: int
    wall: Optional[float]
    cpu: Optional[float]
    received: int


class TaskQueries(HostQueries):
    """What is known about the tasks of a workspace, besides what is about hosts."""

    def _tasks(self, where='1', parameters=()):
        rows = self._rows('SELECT %s FROM task JOIN batch ON batch.id = task.batch WHERE %s'
                          % (_COLUMNS, where), parameters)
        return [_task(row) for row in rows]

    def _numbers(self, where='1', parameters=()):
        """The numbers of tasks, in an array in ascending order."""
        with self._errors():
            found = array('q', (row[0] for row in self._db.execute(
                'SELECT task.id FROM task WHERE ' + where, parameters)))
        return found

    def all(self):
        """Every task, in the order of adding."""
        return self._tasks('1 ORDER BY task.id')

    def get(self, number):
        """One task, or None if it was removed."""
        return next(iter(self._tasks('task.id = ?', (number,))), None)

    def some(self, numbers):
        """The tasks with these numbers, in this order; removed ones are left out."""
        found = {}
        for at in range(0, len(numbers), MOST_NAMES):
            part = numbers[at:at + MOST_NAMES]
            found.update((task.id, task) for task in self._tasks(
                'task.id IN (%s)' % ', '.join('?' * len(part)), part))
        return [found[number] for number in numbers if number in found]

    def batches(self, chosen):
        """{batch: ((name, input, source), the TaskList of its tasks)} of a TaskList."""
        found = {}
        for where, parameters in parts(chosen.numbers):
            for number, batch in self._rows('SELECT id, batch FROM task WHERE %s ORDER BY id'
                                            % where, parameters):
                found.setdefault(batch, array('q')).append(number)
        return {batch: (self._rows('SELECT name, input, source FROM batch WHERE id = ?',
                                   (batch,))[0], TaskList(self, numbers))
                for batch, numbers in found.items()}

    def last_of_name(self, name):
        """The number of the newest task of a name, or None."""
        found = [self._rows('SELECT max(id) FROM task WHERE %s AND %s' % (part, _OF_NAME),
                            (name,))[0][0] for part in (WAITS, OTHER)]
        return max((number for number in found if number is not None), default=None)

    def numbers_between(self, first, last, most=-1):
        """The numbers of tasks from `first` to `last`, in an array; most: only so many, if not -1.
        """
        return self._numbers('id BETWEEN ? AND ? ORDER BY id LIMIT ?', (first, last, most))

    def chosen(self, states=(), outcomes=(), names=(), hosts=()):
        """The TaskList of tasks in one of these states or with one of these outcomes that have one
        of these names and are on one of these hosts.  An empty argument selects all.
        """
        where, parameters = '', []
        for column, values in (('task.batch IN (SELECT id FROM batch WHERE name IN (%s))', names),
                               ('task.host IN (%s)', hosts)):
            if values:
                where += ' AND ' + column % ', '.join('?' * len(values))
                parameters += list(values)
        found = array('q')
        for condition in _conditions(states, outcomes, names, hosts):
            found += self._numbers(condition + where, parameters)
        return TaskList(self, array('q', sorted(found)))

    def on_host(self, name):
        """The tasks that were placed on a host and are not settled."""
        return self.on_hosts((name,))

    def on_hosts(self, names):
        """The tasks that were placed on one of these hosts and are not settled."""
        found = []
        for at in range(0, len(names), MOST_NAMES):
            part = tuple(names[at:at + MOST_NAMES])
            found += self._tasks("%s AND task.outcome = '' AND task.host IN (%s) ORDER BY task.id"
                                 % (BUSY, ', '.join('?' * len(part))), part)
        return found

    def waiting(self):
        """The Groups of new tasks, the oldest first."""
        groups = []
        for batch, avoid, count, first, last, name, input_name, desc in self._rows(_GROUPS):
            count = count if count < MOST_COUNTED else last - first + 1
            groups.append(Group(batch, avoid, count, first, name, input_name, _desc(desc)))
        return groups

    def waiting_of(self, groups):
        """The TaskList of the waiting tasks of the batches of Groups."""
        found = array('q')
        for batch in {group.batch for group in groups}:
            found += self._numbers(WAITS + ' AND batch = ?', (batch,))
        return TaskList(self, array('q', sorted(found)))

    def active(self):
        """{name: the number of its tasks that are on hosts}."""
        return dict(
            self._rows('SELECT batch.name, count(*) FROM task JOIN batch ON batch.id = task.batch '
                       'WHERE %s GROUP BY 1' % BUSY))

    def counts(self):
        """{state, or outcome of tasks that are done: number of tasks}."""
        return _sums(self._rows(
            "SELECT 'new', count(*) FROM task INDEXED BY task_waiting WHERE %s UNION ALL "
            'SELECT %s, count(*) FROM task WHERE %s GROUP BY state, outcome'
            % (WAITS, _CONDITION, OTHER)))

    def counts_of(self, numbers):
        """The same for the tasks with these numbers."""
        rows = []
        for where, parameters in parts(numbers):
            rows += self._rows('SELECT %s, count(*) FROM task WHERE %s GROUP BY 1'
                               % (_CONDITION, where), parameters)
        return _sums(rows)

    def counts_of_name(self, name, last):
        """The same for the tasks of a name, up to the number `last`."""
        return _sums(row for part in (WAITS, OTHER) for row in self._rows(
            'SELECT %s, count(*) FROM task WHERE %s AND %s AND id <= ? GROUP BY 1'
            % (_CONDITION, part, _OF_NAME), (name, last)))

    def with_outcomes(self, numbers, outcomes):
        """The TaskList of those of the tasks with these numbers that have one of these outcomes.
        """
        found, words = array('q'), ', '.join('?' * len(outcomes))
        for where, parameters in parts(numbers):
            found += self._numbers('%s AND state = \'done\' AND outcome IN (%s)' % (where, words),
                                   tuple(parameters) + tuple(outcomes))
        return TaskList(self, array('q', sorted(found)))

    def started(self):
        """The TaskList of the tasks that are on a host, or that ended on one."""
        return TaskList(self, self._numbers(
            "%s AND host <> '' AND started IS NOT NULL ORDER BY id" % OTHER))

    def reasons(self, states, numbers=None):
        """[(state, host, reason, number of tasks, number of the first)] of tasks in these states.

        Suspended tasks are listed one by one.  numbers: only the tasks with these numbers.
        """
        found, words = {}, ', '.join('?' * len(states))
        for where, parameters in [('1', ())] if numbers is None else parts(numbers):
            for row in self._rows(
                    "SELECT state, host, reason, CASE state WHEN 'suspended' THEN id END, "
                    'count(*), min(id) FROM task WHERE %s AND %s AND state IN (%s) '
                    'GROUP BY 1, 2, 3, 4' % (where, OTHER, words), parameters + states):
                before = found.get(row[:4], (0, row[5]))
                found[row[:4]] = before[0] + row[4], min(before[1], row[5])
        return sorted((key[:3] + sums for key, sums in found.items()), key=lambda row: row[4])

    def going_count(self):
        """The number of tasks that are neither done, held nor suspended; see Group.count."""
        return (self._rows('SELECT count(*) FROM task WHERE ' + _GOING)[0][0]
                + sum(group.count for group in self.waiting()))

    def is_any_placed(self, numbers=None):
        """Return whether a task is on a host, not suspended and not done.

        numbers: only tasks with these numbers count.
        """
        if numbers is None:
            return bool(self._rows('SELECT 1 FROM task WHERE %s LIMIT 1' % _GOING))
        return any(number in numbers for number in self._numbers(_GOING))

    def is_any_waiting(self, numbers, groups):
        """Return whether a task with one of these numbers waits in the batch of one of the Groups.
        """
        batches = {group.batch for group in groups}
        if len(numbers) > sum(group.count for group in groups):
            return any(number in numbers for batch in batches
                       for number in self._numbers(WAITS + ' AND batch = ?', (batch,)))
        return any(row[0] in batches for where, parameters in parts(numbers)
                   for row in self._rows('SELECT DISTINCT batch FROM task WHERE %s AND %s'
                                         % (where, WAITS), parameters))

    def open_numbers(self):
        """The numbers of the tasks that are not done, in an array."""
        return self._numbers(WAITS) + self._numbers(_OPEN)

    def history(self, number):
        """(time, text) of each event of a task.

        Its addition has no row: a million tasks would need a million of them.
        """
        events = self._rows('SELECT time, text FROM event WHERE task = ? ORDER BY rowid', (number,))
        if 'added' not in [text for _time, text in events]:
            events = self._rows("SELECT added, 'added' FROM task WHERE id = ?", (number,)) + events
        return events

    def attempts(self, number):
        """(number, host, started, ended, end, code, reason, wall, cpu, received) of a task's
        attempts that are over.
        """
        return self._rows(
            'SELECT number, host, started, ended, "end", code, reason, wall, cpu, received '
            'FROM attempt WHERE task = ? ORDER BY number, ended', (number,))

    def accounts(self, by):
        """The Accounts of all recorded attempts that started.  by: 'name' or 'host'."""
        ends = ', '.join('sum("end" = %r)' % outcome for outcome in model.OUTCOMES)
        return [Account(*row) for row in self._rows(
            'SELECT %s, count(DISTINCT attempt.task), count(*), %s, sum(attempt.wall), '
            'sum(attempt.cpu), sum(attempt.received) '
            'FROM attempt JOIN task ON task.id = attempt.task JOIN batch ON batch.id = task.batch '
            "WHERE attempt.\"end\" <> 'withdrawn' GROUP BY 1 ORDER BY 1"
            % ({'name': 'batch.name', 'host': 'attempt.host'}[by],
               ends.replace('"end"', 'attempt."end"')))]

    def input_is_wanted(self, name, even_failed=False):
        """Return whether a task needs this input.

        even_failed: a task that is done without success needs it too, because it may be retried.
        """
        # While tasks are open, an index finds one of them at once.
        conditions = [WAITS, OTHER + " AND state < 'done'", OTHER + " AND state > 'done'"]
        conditions += [_DONE + " AND outcome <> 'success'"] * even_failed
        return any(self._rows('SELECT 1 FROM task WHERE %s AND %s LIMIT 1'
                              % (condition, _OF_INPUT), (name,)) for condition in conditions)

    def inputs(self):
        """The inputs of all tasks."""
        return {row[0] for row in self._rows('SELECT input FROM batch')}

    def open_inputs(self):
        """{input: the numbers of its tasks that wait, or may have to be placed again}."""
        found = {}
        for name, number in self._rows(
                'SELECT input, task.id FROM task JOIN batch ON batch.id = task.batch '
                "WHERE state IN ('new', 'held', 'launching', 'withdrawing') ORDER BY task.id"):
            found.setdefault(name, []).append(number)
        return found

    def of_key(self, key):
        """(Task, end of the attempt) that a key belongs to; (None, '') if not known."""
        name, _dot, number = key.partition('.')
        task = next(iter(self._tasks('task.uuid = ?', (name,))), None)
        ends = self._rows(
            'SELECT "end" FROM attempt WHERE task = ? AND number = ? ORDER BY ended DESC LIMIT 1',
            (task.id, number)) if task is not None else []
        return task, ends[0][0] if ends else ''

    def known_values(self, name):
        """The arguments of the tasks of a name; None for a task without one."""
        return {row[0]
                for row in self._rows(
                        'SELECT arg FROM task JOIN batch ON batch.id = task.batch WHERE name = ?',
                        (name,))}

    def _outcome(self, number):
        rows = self._rows('SELECT outcome FROM task WHERE id = ?', (number,))
        return rows[0][0] if rows else ''

    def past(self, task, end='', reason=''):
        """The model.Past of a task.

        end, reason: how the attempt ended that is not recorded yet; '' if all are.
        """
        rows = self._rows('SELECT host, "end", reason FROM attempt WHERE task = ? ORDER BY ended',
                          (task.id,))
        rows += [(task.host, end, reason)] * bool(task.host and end)
        bad = [(host, how) for host, how, why in rows
               if how not in ('success', 'killed') and (how != 'withdrawn' or why)]
        return model.Past(tuple(dict.fromkeys(host for host, _how in bad)),
                          sum(how == 'withdrawn' for _host, how in bad))

    def doomed(self, number=None):
        """[(Task, with_results)] of the tasks that are done and must be forgotten.

        number: only this one.
        """
        which, parameters = (('doomed <> 0', ()) if number is None
                             else ('id = ? AND doomed', (number,)))
        rows = self._rows("SELECT id, doomed FROM task WHERE state = 'done' AND " + which,
                          parameters)
        return [(self.get(found), kind == 2) for found, kind in rows]


def _conditions(states, outcomes, names, hosts):
    """Return conditions that together select what TaskQueries.chosen says; none overlaps another,
    and for each there is an index.
    """
    if not (states or outcomes):
        if hosts:
            return [OTHER]             # a waiting task has no host
        return [WAITS, OTHER] if names else ['1']
    found = [WAITS] if 'new' in states else []
    rest = [state for state in states if state != 'new']
    found += ['%s AND task.state IN (%s)' % (OTHER, ', '.join(map(repr, rest)))] * bool(rest)
    if outcomes and 'done' not in states:
        found.append('%s AND task.outcome IN (%s)' % (_DONE, ', '.join(map(repr, outcomes))))
    return found


def parts(numbers):
    """Yield (condition, its parameters) that together select the tasks with these numbers."""
    single = []
    for first, last in runs(numbers):
        if last - first >= SHORTEST_RUN:
            yield 'id BETWEEN ? AND ?', (first, last)
            continue
        single += range(first, last + 1)
        if len(single) > MOST_NAMES:
            yield _one_of(single)
            single = []
    if single:
        yield _one_of(single)


def _one_of(numbers):
    return 'id IN (%s)' % ', '.join('?' * len(numbers)), tuple(numbers)


def _sums(rows):
    """Return {word: sum of the numbers} of rows (word, number), without zeros."""
    found = {}
    for word, number in rows:
        if number:
            found[word] = found.get(word, 0) + number
    return found


@functools.lru_cache(maxsize=256)
def _desc(text):
    values = json.loads(text)
    return model.Desc(**dict(values, retry_on=tuple(values['retry_on'])))


def _task(row):
    task = model.Task(*row)
    return task._replace(desc=_desc(task.desc))
