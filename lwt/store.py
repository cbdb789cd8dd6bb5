"""Where tasks are kept: SQLite, one transaction a step, the intent before the effect.  The only SQL of the package.

journal_mode TRUNCATE and synchronous EXTRA: what is committed survives kill -9 and a power cut (a WAL does not work on network
file systems, and a DELETE journal may lose the last commit with the directory's entry).  Every change of a task's state
states the one it expects: of two passes, or a pass and a user, only one can make it.

Errors of the file are LocalErrors: nothing was done.
"""

import contextlib
import json
import os
import sys
import time
import uuid
from typing import NamedTuple

from lwt import health, sample, task as tasks
from lwt.errors import BusyError, LocalError

try:
    import sqlite3
except ImportError:         # a Python that was built without it; all but tasks works with that
    sqlite3 = None

SCHEMA = 2
BUSY_TIMEOUT = 10.0     # seconds that a short transaction waits for another

_TABLES = '''
CREATE TABLE task (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, name TEXT NOT NULL, input TEXT NOT NULL, arg TEXT,
    desc TEXT NOT NULL, priority INTEGER NOT NULL, state TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT '',
    attempt INTEGER NOT NULL DEFAULT 1, "end" TEXT NOT NULL DEFAULT '', host TEXT NOT NULL DEFAULT '',
    home TEXT NOT NULL DEFAULT '', category TEXT NOT NULL DEFAULT '', boot TEXT NOT NULL DEFAULT '',
    host_id TEXT NOT NULL DEFAULT '', code INTEGER, reason TEXT NOT NULL DEFAULT '', failures INTEGER NOT NULL DEFAULT 0,
    added REAL NOT NULL, started REAL, ended REAL);
CREATE INDEX task_by_state ON task (state, priority DESC, id);
CREATE INDEX task_by_input ON task (input);
CREATE TABLE attempt (
    task INTEGER NOT NULL REFERENCES task (id), number INTEGER NOT NULL, host TEXT NOT NULL, ended REAL NOT NULL,
    "end" TEXT NOT NULL, code INTEGER, reason TEXT NOT NULL, PRIMARY KEY (task, number, host, ended));
CREATE TABLE leftover (
    key TEXT NOT NULL, host TEXT NOT NULL, home TEXT NOT NULL, category TEXT NOT NULL, verb TEXT NOT NULL,
    due REAL NOT NULL, PRIMARY KEY (key, host));
CREATE TABLE event (task INTEGER NOT NULL REFERENCES task (id), time REAL NOT NULL, text TEXT NOT NULL);
CREATE INDEX event_by_task ON event (task);
CREATE TABLE health (
    host TEXT PRIMARY KEY, state TEXT NOT NULL, failures INTEGER NOT NULL, goods INTEGER NOT NULL, penalty REAL NOT NULL,
    kind TEXT NOT NULL, reason TEXT NOT NULL, since REAL NOT NULL, failed REAL NOT NULL, retry REAL NOT NULL);
CREATE TABLE sample (host TEXT PRIMARY KEY, time REAL NOT NULL, told TEXT, problem TEXT NOT NULL);
CREATE TABLE probe (host TEXT NOT NULL, time REAL NOT NULL, told TEXT NOT NULL, PRIMARY KEY (host, time));
CREATE TABLE ending (
    host TEXT NOT NULL, hour INTEGER NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (host, hour, kind));
CREATE TABLE usage (
    host TEXT NOT NULL, hour INTEGER NOT NULL, user TEXT NOT NULL, count INTEGER NOT NULL, cpu REAL NOT NULL,
    memory REAL NOT NULL, PRIMARY KEY (host, hour, user));
'''

_COLUMNS = ', '.join('"%s"' % name for name in tasks.Task._fields)


class Leftover(NamedTuple):
    """What lies on a host and is to be removed: verb is a request of sh/control.sh, due when it may be made."""

    key: str
    host: str
    home: str
    category: str
    verb: str


class Store:
    """The state of a workspace.  Use as a context manager.

    clock: a function giving seconds since 1970.  path: the database; it is made when it is not there.
    """

    def __init__(self, path, clock=time.time):
        self._path = path
        self._clock = clock

    def __enter__(self):
        if sqlite3 is None:
            raise LocalError('this Python (%s) has no sqlite3, which tasks need' % sys.executable,
                             'run lwt with another Python; all but tasks works with this one')
        with self._errors():
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT, isolation_level=None)
            try:
                self._set_up()
            except BaseException:
                self._db.close()
                raise
        return self

    def __exit__(self, *_exc):
        self._db.close()

    def _set_up(self):
        self._db.execute('PRAGMA journal_mode = TRUNCATE').fetchall()
        self._db.execute('PRAGMA synchronous = EXTRA')
        self._db.execute('PRAGMA foreign_keys = ON')
        if self._version() == 0:
            with self._transaction():
                if self._version() == 0:            # nobody was faster
                    for statement in _TABLES.split(';'):
                        self._db.execute(statement)
                    self._db.execute('PRAGMA user_version = %d' % SCHEMA)
        if self._version() != SCHEMA:
            raise LocalError('%s: written by another version of lwt (schema %d, this one knows %d)'
                             % (self._path, self._version(), SCHEMA))

    def _version(self):
        return self._db.execute('PRAGMA user_version').fetchone()[0]

    @contextlib.contextmanager
    def _errors(self):
        try:
            yield
        except sqlite3.OperationalError as error:
            if 'locked' in str(error) or 'busy' in str(error):
                raise BusyError('%s: another lwt is writing' % self._path, 'try again')
            raise LocalError('%s: %s' % (self._path, error))
        except sqlite3.DatabaseError as error:
            raise LocalError('%s: %s' % (self._path, error), 'it may be damaged; keep a copy before you do anything')
        except OSError as error:
            raise LocalError('%s: %s' % (self._path, error.strerror))

    @contextlib.contextmanager
    def _transaction(self):
        with self._errors():
            self._db.execute('BEGIN IMMEDIATE')
            try:
                yield
            except BaseException:
                self._db.execute('ROLLBACK')
                raise
            self._db.execute('COMMIT')

    # -- reading ------------------------------------------------------------------------------------------------------

    def _tasks(self, where='1', parameters=()):
        with self._errors():
            rows = self._db.execute('SELECT %s FROM task WHERE %s' % (_COLUMNS, where), parameters).fetchall()
        return [_task(row) for row in rows]

    def all(self):
        """Every task, in the order of adding."""
        return self._tasks('1 ORDER BY id')

    def get(self, number):
        """One task."""
        return self._tasks('id = ?', (number,))[0]

    def numbers(self):
        """The numbers of all tasks."""
        with self._errors():
            return [row[0] for row in self._db.execute('SELECT id FROM task ORDER BY id')]

    def on_host(self, name):
        """The tasks that are somewhere between placed and done on a host."""
        return self._tasks("host = ? AND state NOT IN ('new', 'done') ORDER BY id", (name,))

    def waiting(self):
        """The new tasks, in the order in which they are to be placed."""
        return self._tasks("state = 'new' ORDER BY priority DESC, id")

    def counts(self):
        """{state or, of those done, outcome: number of tasks}."""
        with self._errors():
            return dict(self._db.execute(
                "SELECT CASE state WHEN 'done' THEN outcome ELSE state END, count(*) FROM task GROUP BY 1").fetchall())

    def open_count(self):
        """The number of tasks that are not done."""
        with self._errors():
            return self._db.execute("SELECT count(*) FROM task WHERE state <> 'done'").fetchone()[0]

    def busy_hosts(self):
        """(name, home, category) of every host on which a task is, or something is to be removed now."""
        with self._errors():
            return self._db.execute(
                "SELECT host, home, category FROM task WHERE state NOT IN ('new', 'done') UNION "
                'SELECT host, home, category FROM leftover WHERE due <= ?', (self._clock(),)).fetchall()

    def leftovers(self, name):
        """The Leftovers on a host that are due."""
        with self._errors():
            rows = self._db.execute('SELECT key, host, home, category, verb FROM leftover WHERE host = ? AND due <= ?',
                                    (name, self._clock())).fetchall()
        return [Leftover(*row) for row in rows]

    def history(self, number):
        """(time, text) of all that happened to a task."""
        with self._errors():
            return self._db.execute('SELECT time, text FROM event WHERE task = ? ORDER BY rowid', (number,)).fetchall()

    def attempts(self, number):
        """(number, host, ended, end, code, reason) of a task's attempts that are over."""
        with self._errors():
            return self._db.execute('SELECT number, host, ended, "end", code, reason FROM attempt WHERE task = ? '
                                    'ORDER BY number, ended', (number,)).fetchall()

    def input_is_open(self, name):
        """Is there a task that is not done and has this input?"""
        with self._errors():
            return bool(self._db.execute("SELECT 1 FROM task WHERE input = ? AND state <> 'done' LIMIT 1",
                                         (name,)).fetchone())

    # -- writing ------------------------------------------------------------------------------------------------------

    def add(self, name, input_name, desc, args):
        """Add a task for each value of args (None for none); returns their numbers.  All of them, or none."""
        now, numbers = self._clock(), []
        text = json.dumps(desc._asdict())
        with self._transaction():
            for arg in args:
                cursor = self._db.execute(
                    'INSERT INTO task (uuid, name, input, arg, desc, priority, state, added) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
                    (uuid.uuid4().hex, name, input_name, arg, text, desc.priority, 'new', now))
                numbers.append(cursor.lastrowid)
                self._note(cursor.lastrowid, 'added')
        return numbers

    def place(self, host, boot, host_id, slots, needs, accepts):
        """Give waiting tasks to a host, by priority and age, while its free slots last; returns them, placed.

        needs(task) says how many slots it takes there, accepts(task) whether the host may have it at all.
        """
        placed = []
        with self._transaction():
            for task in self.waiting():
                if slots < 1:
                    break
                if needs(task) <= slots and accepts(task):
                    slots -= needs(task)
                    placed.append(self._change(task, 'place', 'placed', 'placed on %s' % host.name, host=host.name,
                                               home=host.home, category=host.category, boot=boot, host_id=host_id,
                                               end='', reason=''))
        return placed

    def advance(self, task, event, text, **changes):
        """Make the step that the automaton has for this event, which must not lead to the end of the attempt.

        Returns the task as it is now, or None when somebody else changed it meanwhile.  changes: columns.
        """
        state = tasks.step(task.state, event)
        assert state != tasks.SETTLE
        with self._transaction():
            return self._change(task, event, state, text, **changes)

    def settle(self, task, event, end, code, reason, leave='', leave_days=0):
        """End the attempt: the task is done, or new again; what lies on its host becomes a Leftover for the verb `leave`.

        leave_days: how long it stays there first.  Returns the task as it is now, or None when somebody else changed it.
        """
        assert tasks.step(task.state, event) == tasks.SETTLE
        state, failures = tasks.conclude(end, task.failures, task.desc)
        is_done = state == 'done'
        anew = {} if is_done else dict.fromkeys(('host', 'home', 'category', 'boot', 'host_id'), '')
        if not is_done:
            anew.update(started=None, attempt=task.attempt + 1)
        text = '%s%s%s' % (end, ' on ' + task.host if task.host else '', ': ' + reason if reason else '')
        with self._transaction():
            changed = self._change(
                task, event, state, text + ('' if is_done else '; to be tried again'), failures=failures, end=end, code=code,
                reason=reason, outcome=end if is_done else '', ended=(task.ended or self._clock()) if is_done else None,
                **anew)
            if changed is not None and task.host:
                self._db.execute('INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?)',
                                 (task.id, task.attempt, task.host, self._clock(), end, code, reason))
                if leave:
                    self._leave(task, leave, self._clock() + leave_days * 86400 if leave_days else 0)
            return changed

    def unplace(self, task, reason):
        """Take a placed task, which cannot have started, from its host; what it may have there is to be removed."""
        with self._transaction():
            changed = self._change(task, 'unplaced', 'new', 'not staged on %s: %s' % (task.host, reason), host='', home='',
                                   category='', boot='', host_id='', reason=reason)
            if changed is not None:
                self._leave(task, 'unstage', 0)
            return changed

    def cleaned(self, leftover, keep_days):
        """It was removed; what clean keeps, so that a late launch finds it, is to be forgotten after keep_days."""
        with self._transaction():
            if leftover.verb == 'clean':
                self._db.execute('UPDATE leftover SET verb = ?, due = ? WHERE key = ? AND host = ?',
                                 ('forget', self._clock() + keep_days * 86400, leftover.key, leftover.host))
            else:
                self._db.execute('DELETE FROM leftover WHERE key = ? AND host = ?', (leftover.key, leftover.host))

    def forget(self, keep_days):
        """Forget tasks that have been done, and weather that is past, for more than keep_days; results stay where they are."""
        before = self._clock() - keep_days * 86400
        with self._transaction():
            old = "(SELECT id FROM task WHERE state = 'done' AND coalesce(ended, added) < ?)"
            for table, column in (('event', 'task'), ('attempt', 'task'), ('task', 'id')):
                self._db.execute('DELETE FROM %s WHERE %s IN %s' % (table, column, old), (before,))
            self._db.execute('DELETE FROM probe WHERE time < ?', (before,))
            for table in ('ending', 'usage'):
                self._db.execute('DELETE FROM %s WHERE hour < ?' % table, (before // 3600,))

    # -- hosts --------------------------------------------------------------------------------------------------------

    def health(self):
        """{name: Health} of the hosts that anything was ever held against."""
        with self._errors():
            rows = self._db.execute('SELECT %s FROM health' % ', '.join(health.Health._fields)).fetchall()
        return {row[0]: health.Health(*row) for row in rows}

    def change_health(self, name, change):
        """Replace the Health of a host by change(health); returns the new one."""
        with self._transaction():
            return self._change_health(name, change)

    def _change_health(self, name, change):
        fields = health.Health._fields
        row = self._db.execute('SELECT %s FROM health WHERE host = ?' % ', '.join(fields), (name,)).fetchone()
        before = health.Health(*row) if row else health.Health(name)
        after = change(before)
        if after != before:
            self._db.execute('INSERT OR REPLACE INTO health VALUES (%s)' % ', '.join('?' * len(fields)), after)
        return after

    def take_weather(self, endings, told, change):
        """Keep what was heard of hosts.

        endings: [(host, kind, reason)] of operations, change(health, kind, reason) gives what each comes to.
        told: [(host, Sample or None, problem)]: what each said of itself, or why it takes no task whatever it says.
        """
        now = self._clock()
        with self._transaction():
            for name, kind, reason in endings:
                self._change_health(name, lambda before, kind=kind, reason=reason: change(before, kind, reason))
                self._add_up('ending', (name, int(now // 3600), kind), (1,))
            for name, taken, problem in told:
                self._keep_sample(name, now, taken, problem)

    def _keep_sample(self, name, now, taken, problem):
        if taken is not None:
            self._db.execute('INSERT OR REPLACE INTO sample VALUES (?, ?, ?, ?)',
                             (name, now, json.dumps(sample.to_json(taken)), problem))
            for user, cpu, memory in _uses(taken):
                self._add_up('usage', (name, int(now // 3600), user), (1, cpu, memory))
        elif not self._db.execute('UPDATE sample SET problem = ? WHERE host = ?', (problem, name)).rowcount:
            self._db.execute('INSERT INTO sample VALUES (?, ?, NULL, ?)', (name, now, problem))

    def _add_up(self, table, key, numbers):
        """Add numbers to those that the row of a key has."""
        columns = {'ending': (('host', 'hour', 'kind'), ('count',)),
                   'usage': (('host', 'hour', 'user'), ('count', 'cpu', 'memory'))}[table]
        changed = self._db.execute('UPDATE %s SET %s WHERE %s' % (
            table, ', '.join('%s = %s + ?' % (name, name) for name in columns[1]),
            ' AND '.join('%s = ?' % name for name in columns[0])), numbers + key)
        if not changed.rowcount:
            self._db.execute('INSERT INTO %s VALUES (%s)' % (table, ', '.join('?' * len(key + numbers))), key + numbers)

    def samples(self):
        """{host: (time, Sample or None, problem)}: what each host told last."""
        with self._errors():
            rows = self._db.execute('SELECT host, time, told, problem FROM sample').fetchall()
        return {host: (when, told and sample.from_json(json.loads(told)), problem) for host, when, told, problem in rows}

    def add_probes(self, told):
        """Keep the results of probes: [(host, a dict that json can write)]."""
        with self._transaction():
            self._db.executemany('INSERT OR REPLACE INTO probe VALUES (?, ?, ?)',
                                 [(name, self._clock(), json.dumps(values)) for name, values in told])

    def probes(self, name=None):
        """[(host, time, dict)] of all probes that are remembered, the oldest first; name: of one host."""
        with self._errors():
            rows = self._db.execute('SELECT host, time, told FROM probe WHERE ? IS NULL OR host = ? ORDER BY time',
                                    (name, name)).fetchall()
        return [(host, when, json.loads(told)) for host, when, told in rows]

    def endings(self):
        """[(host, kind, count)] of all operations that are remembered."""
        with self._errors():
            return self._db.execute('SELECT host, kind, sum(count) FROM ending GROUP BY host, kind').fetchall()

    def failed_attempts(self):
        """[(task's number, host, when it ended, how, code, reason)] of the attempts that were no success."""
        with self._errors():
            return self._db.execute('SELECT task, host, ended, "end", code, reason FROM attempt '
                                    "WHERE \"end\" NOT IN ('success', 'withdrawn')").fetchall()

    def endings_by_hour(self):
        """[(host, hour since 1970, kind, count)] of the same."""
        with self._errors():
            return self._db.execute('SELECT host, hour, kind, count FROM ending').fetchall()

    def usage(self):
        """[(host, user, samples, mean cpu, mean memory)] of all samples that are remembered; user '' is all of them."""
        with self._errors():
            return self._db.execute('SELECT host, user, sum(count), sum(cpu) / sum(count), sum(memory) / sum(count) '
                                    'FROM usage GROUP BY host, user').fetchall()

    def _leave(self, task, verb, due):
        self._db.execute('INSERT OR REPLACE INTO leftover VALUES (?, ?, ?, ?, ?, ?)',
                         (task.key, task.host, task.home, task.category, verb, due))

    def _note(self, number, text):
        self._db.execute('INSERT INTO event VALUES (?, ?, ?)', (number, self._clock(), text))

    def _change(self, task, event, state, text, **changes):
        """Set columns, if the task is still as we know it; within a transaction.  Returns it anew, or None."""
        assert (task.state, event) in tasks.TRANSITIONS
        columns = dict(changes, state=state)
        cursor = self._db.execute(
            'UPDATE task SET %s WHERE id = ? AND state = ? AND attempt = ? AND host = ?'
            % ', '.join('"%s" = ?' % name for name in columns),
            tuple(columns.values()) + (task.id, task.state, task.attempt, task.host))
        if cursor.rowcount != 1:
            return None
        if text:
            self._note(task.id, text)
        return self.get(task.id)


def _uses(taken):
    """(user, cpu, memory) of a Sample; user '' for all together."""
    if taken.cpu is not None:
        yield '', taken.cpu, (taken.memory or 0) - (taken.free_memory or 0)
    for use in taken.users:
        yield use.user, use.cpu, use.memory


def _task(row):
    task = tasks.Task(*row)
    values = json.loads(task.desc)
    return task._replace(desc=tasks.Desc(**dict(values, retry_on=tuple(values['retry_on']))))
