"""Queries about tasks: the SQL that reads them.  `store` has the SQL that changes them.

Tasks that were added together form a batch, which holds their name, input and desc.  So ten
thousand waiting tasks are one row to the scheduler.
"""

import functools
import json
from typing import NamedTuple, Optional

from lwt.hosts.history import History
from lwt.tasks import model

NEVER = 1e12            # due time of a leftover that stays until its task is removed or retried
MOST_NAMES = 500        # hosts in one query: SQLite before 3.32 takes 999 parameters

_OF_BATCH = {'name': 'batch.name', 'input': 'batch.input', 'desc': 'batch.desc',
             'split': 'batch.split'}
_COLUMNS = ', '.join(_OF_BATCH.get(name, 'task."%s"' % name) for name in model.Task._fields)
_BUSY = ', '.join(repr(state) for state in model.ASKED)        # on a host
_GOING = ', '.join(repr(state)
                   for state in model.STATES if state not in ('held', 'suspended', 'done'))


class Leftover(NamedTuple):
    """A directory on a host that a visit removes.  verb: a request of sh/control.sh."""

    key: str
    host: str
    home: str
    category: str
    verb: str


class Group(NamedTuple):
    """Waiting tasks of one batch that avoid the same hosts.  first: the number of the oldest."""

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


class TaskQueries(History):
    """What is known about the tasks of a workspace, besides the history of its hosts."""

    def _tasks(self, where='1', parameters=()):
        rows = self._rows('SELECT %s FROM task JOIN batch ON batch.id = task.batch WHERE %s'
                          % (_COLUMNS, where), parameters)
        return [_task(row) for row in rows]

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

    def batches(self, tasks):
        """{batch: ((name, input, source), its tasks)} of tasks."""
        found = {}
        of_task = dict(self._rows('SELECT id, batch FROM task'))
        for task in tasks:
            found.setdefault(of_task[task.id], []).append(task)
        return {batch: (self._rows('SELECT name, input, source FROM batch WHERE id = ?',
                                   (batch,))[0], some) for batch, some in found.items()}

    def last_of_name(self, name):
        """The number of the newest task of a name, or None."""
        return self._rows('SELECT max(id) FROM task WHERE batch IN '
                          '(SELECT id FROM batch WHERE name = ?)', (name,))[0][0]

    def numbers(self):
        """The numbers of all tasks."""
        return [row[0] for row in self._rows('SELECT id FROM task ORDER BY id')]

    def chosen(self, states=(), outcomes=(), names=(), hosts=()):
        """The tasks in one of these states or with one of these outcomes that have one of these
        names and are on one of these hosts.  An empty argument selects all.
        """
        where, parameters = ['1'], []
        kinds = [('state', states), ('outcome', outcomes)]
        said = ['task.%s IN (%s)' % (column, ', '.join('?' * len(values)))
                for column, values in kinds if values]
        if said:
            where.append('(%s)' % ' OR '.join(said))
            parameters += list(states) + list(outcomes)
        for column, values in (('batch.name', names), ('task.host', hosts)):
            if values:
                where.append('%s IN (%s)' % (column, ', '.join('?' * len(values))))
                parameters += list(values)
        return self._tasks(' AND '.join(where) + ' ORDER BY task.id', parameters)

    def on_host(self, name):
        """The tasks that were placed on a host and are not settled."""
        return self.on_hosts((name,))

    def on_hosts(self, names):
        """The tasks that were placed on one of these hosts and are not settled."""
        return [task for at in range(0, len(names), MOST_NAMES)
                for task in self.chosen(states=model.ASKED, hosts=names[at:at + MOST_NAMES])]

    def waiting(self):
        """The Groups of new tasks, the oldest first."""
        rows = self._rows(
            'SELECT t.*, name, input, desc FROM (SELECT batch, avoid, count(*), min(id) AS first '
            "FROM task INDEXED BY task_waiting WHERE state = 'new' GROUP BY batch, avoid) AS t "
            'JOIN batch ON batch.id = t.batch ORDER BY first')
        return [Group(*row[:6], desc=_desc(row[6])) for row in rows]

    def active(self):
        """{name: the number of its tasks that are on hosts}."""
        return dict(
            self._rows('SELECT batch.name, count(*) FROM task JOIN batch ON batch.id = task.batch '
                       'WHERE task.state IN (%s) GROUP BY 1' % _BUSY))

    def counts(self):
        """{state, or outcome of tasks that are done: number of tasks}."""
        return dict(self._rows(
            "SELECT CASE state WHEN 'done' THEN outcome ELSE state END, count(*) FROM task "
            'GROUP BY state, outcome'))

    def counts_of_name(self, name, last):
        """The same for the tasks of a name, up to the number `last`."""
        return dict(self._rows(
            "SELECT CASE state WHEN 'done' THEN outcome ELSE state END, count(*) FROM task "
            'WHERE batch IN (SELECT id FROM batch WHERE name = ?) AND id <= ? '
            'GROUP BY state, outcome', (name, last)))

    def started_times(self):
        """When each task that is on a host was started, in seconds since 1970."""
        return [row[0] for row in self._rows(
            'SELECT started FROM task WHERE state IN (%s) AND started IS NOT NULL' % _BUSY)]

    def going_count(self):
        """The number of tasks that are neither done, held nor suspended."""
        return self._rows('SELECT count(*) FROM task WHERE state IN (%s)' % _GOING)[0][0]

    def going(self, numbers):
        """Those of a set of numbers whose tasks are neither done, held nor suspended."""
        return numbers.intersection(
            row[0] for row in self._rows('SELECT id FROM task WHERE state IN (%s)' % _GOING))

    def open_numbers(self):
        """The numbers of the tasks that are not done."""
        return [row[0]
                for row in self._rows("SELECT id FROM task WHERE state <> 'done' ORDER BY id")]

    def conditions(self, numbers):
        """{number: state or, if it is done, outcome} of tasks; removed ones are left out."""
        known = dict(self._rows(
            "SELECT id, CASE state WHEN 'done' THEN outcome ELSE state END FROM task"))
        return {number: known[number] for number in numbers if number in known}

    def busy_hosts(self):
        """(name, home, category) of every host that holds a task or a leftover that is due."""
        return self._rows('SELECT host, home, category FROM task WHERE state IN (%s) UNION '
                          'SELECT host, home, category FROM leftover WHERE due <= ?' % _BUSY,
                          (self._clock(),))

    def leftovers(self, name):
        """The Leftovers on a host that are due."""
        rows = self._rows(
            'SELECT key, host, home, category, verb FROM leftover WHERE host = ? AND due <= ?',
            (name, self._clock()))
        return [Leftover(*row) for row in rows]

    def history(self, number):
        """(time, text) of each event of a task."""
        return self._rows('SELECT time, text FROM event WHERE task = ? ORDER BY rowid', (number,))

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
        states = ["state < 'done'", "state > 'done'"]
        states += ["state = 'done' AND outcome <> 'success'"] * even_failed
        return any(self._rows('SELECT 1 FROM task WHERE batch IN (SELECT id FROM batch WHERE '
                              'input = ?) AND %s LIMIT 1' % state, (name,)) for state in states)

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

    def expected_on_hosts(self):
        """The keys and inputs that may lie on hosts: those of tasks, copies and leftovers.

        Not by host, because several hosts may share one home, as on NFS.
        """
        rows = self._rows('SELECT key FROM leftover UNION SELECT input FROM copy')
        return {row[0] for row in rows} | self.keys_on_hosts()

    def keys_on_hosts(self):
        """The keys of all tasks that are on hosts."""
        return {'%s.%d' % row
                for row in self._rows('SELECT uuid, attempt FROM task WHERE state IN (%s)' % _BUSY)}

    def all_hosts(self):
        """(name, home, category) of every host that may hold a task, a leftover or an input."""
        return self._rows(
            'SELECT host, home, category FROM task WHERE state IN (%s) UNION '
            'SELECT host, home, category FROM leftover UNION '
            'SELECT host, home, category FROM copy' % _BUSY)

    def of_key(self, key):
        """(Task, end of the attempt) that a key belongs to; (None, '') if not known."""
        name, _dot, number = key.partition('.')
        task = next(iter(self._tasks('task.uuid = ?', (name,))), None)
        ends = self._rows(
            'SELECT "end" FROM attempt WHERE task = ? AND number = ? ORDER BY ended DESC LIMIT 1',
            (task.id, number)) if task is not None else []
        return task, ends[0][0] if ends else ''

    def copies(self, host):
        """The inputs that are on a host, in its home."""
        return {row[0] for row in self._rows('SELECT input FROM copy WHERE host = ? AND home = ?',
                                             (host.name, host.home))}

    def copied_inputs(self):
        """The inputs that are on any host."""
        return [row[0] for row in self._rows('SELECT DISTINCT input FROM copy')]

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

    def kept(self, task):
        """The directories of a task that stay on hosts until the task is removed or retried.

        Returns [(attempt, host, home)].
        """
        rows = self._rows(
            'SELECT key, host, home FROM leftover WHERE key > ? AND key < ? AND due >= ?',
            key_bounds(task.uuid) + (NEVER,))
        return sorted((int(key.rpartition('.')[2]), host, home) for key, host, home in rows)

    def doomed(self, number=None):
        """[(Task, with_results)] of the tasks that are done and must be forgotten.

        number: only this one.
        """
        which, parameters = ('1', ()) if number is None else ('id = ?', (number,))
        rows = self._rows("SELECT id, doomed FROM task WHERE doomed AND state = 'done' AND "
                          + which, parameters)
        return [(self.get(found), kind == 2) for found, kind in rows]


def key_bounds(word):
    """The lower and upper bound of the keys of a task's attempts, which are UUID.NUMBER.

    word: the uuid.
    """
    return word + '.', word + '/'


@functools.lru_cache(maxsize=256)
def _desc(text):
    values = json.loads(text)
    return model.Desc(**dict(values, retry_on=tuple(values['retry_on'])))


def _task(row):
    task = model.Task(*row)
    return task._replace(desc=_desc(task.desc))
