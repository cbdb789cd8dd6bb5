"""Where tasks are kept: SQLite, one transaction a step, the intent before the effect.  The only SQL of the package.

journal_mode TRUNCATE and synchronous EXTRA: what is committed survives kill -9 and a power cut (a WAL does not work on network
file systems, and a DELETE journal may lose the last commit with the directory's entry).  Every change of a task's state
states the one it expects: of two passes, or a pass and a user, only one can make it.

What the tasks of one `add` have in common is a batch: name, input and desc.  So ten thousand of them are told by one row, and
what is waiting is looked at by batches, not by tasks.

Errors of the file are LocalErrors: nothing was done.
"""

import contextlib
import functools
import json
import os
import re
import shutil
import sys
import time
from typing import NamedTuple

from lwt.errors import BusyError, LocalError
from lwt.hosts import health, sample
from lwt.tasks import model
from lwt.workspace import files

try:
    import sqlite3
except ImportError:         # a Python that was built without it; all but tasks works with that
    sqlite3 = None

SCHEMA = 2
BUSY_TIMEOUT = 10.0     # seconds that a short transaction waits for another; heartbeats of a run wait meanwhile
PATIENCE = 60.0         # the same for a command that has nothing else to do
LONGEST_KEEP = 30       # days for which a leftover may be kept, unless `keep` is larger
NEVER = 1e12            # when a leftover is due that stays until its task is removed or retried
MOST_NAMES = 500        # hosts in one query: SQLite before 3.32 takes 999 parameters
BESIDE = ('-journal', '-wal', '-shm')   # what SQLite keeps beside a database while it is written to
UNFINISHED = 600.0      # seconds after which a database that was being created has been given up
WAY_OUT = 'lwt doctor --fix keeps a copy, and saves what can be read'
# The inputs that `add` makes in task/; it does so only when there is a database.
INPUT = re.compile(r'(\.part-)?[A-Za-z0-9_][A-Za-z0-9_.+-]*\.[0-9a-f]{12}')

_TABLES = '''
CREATE TABLE batch (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, input TEXT NOT NULL, desc TEXT NOT NULL);
CREATE TABLE task (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL, batch INTEGER NOT NULL REFERENCES batch (id), arg TEXT,
    state TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL DEFAULT 1, "end" TEXT NOT NULL DEFAULT '',
    host TEXT NOT NULL DEFAULT '', home TEXT NOT NULL DEFAULT '', category TEXT NOT NULL DEFAULT '',
    boot TEXT NOT NULL DEFAULT '', host_id TEXT NOT NULL DEFAULT '', code INTEGER, reason TEXT NOT NULL DEFAULT '',
    failures INTEGER NOT NULL DEFAULT 0, added REAL NOT NULL, started REAL, ended REAL, avoid TEXT NOT NULL DEFAULT '',
    after TEXT NOT NULL DEFAULT '', wall REAL, cpu REAL, doomed INTEGER NOT NULL DEFAULT 0);
CREATE INDEX task_by_state ON task (state, host);
CREATE INDEX task_by_outcome ON task (state, outcome);
CREATE INDEX task_by_batch ON task (batch, state);
CREATE INDEX task_waiting ON task (batch, avoid, id) WHERE state = 'new';
CREATE TABLE attempt (
    task INTEGER NOT NULL REFERENCES task (id), number INTEGER NOT NULL, host TEXT NOT NULL, started REAL, ended REAL NOT NULL,
    "end" TEXT NOT NULL, code INTEGER, reason TEXT NOT NULL, wall REAL, cpu REAL, received INTEGER NOT NULL,
    PRIMARY KEY (task, number, host, ended));
CREATE INDEX attempt_by_host ON attempt (host, ended);
CREATE TABLE leftover (
    key TEXT NOT NULL, host TEXT NOT NULL, home TEXT NOT NULL, category TEXT NOT NULL, verb TEXT NOT NULL,
    due REAL NOT NULL, PRIMARY KEY (key, host, home));
CREATE TABLE copy (
    input TEXT NOT NULL, host TEXT NOT NULL, home TEXT NOT NULL, category TEXT NOT NULL, PRIMARY KEY (input, host, home));
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

_OF_BATCH = {'name': 'batch.name', 'input': 'batch.input', 'desc': 'batch.desc'}
_COLUMNS = ', '.join(_OF_BATCH.get(name, 'task."%s"' % name) for name in model.Task._fields)
_BUSY = ', '.join(repr(state) for state in model.ASKED)        # somewhere on a host
_GOING = ', '.join(repr(state) for state in model.STATES if state not in ('held', 'suspended', 'done'))


class Leftover(NamedTuple):
    """What lies on a host and is to be removed: verb is a request of sh/control.sh."""

    key: str
    host: str
    home: str
    category: str
    verb: str


class Group(NamedTuple):
    """Waiting tasks that are alike: of one batch, and with the same hosts to avoid.  first: the number of the oldest."""

    batch: int
    avoid: str
    count: int
    first: int
    name: str
    input: str
    desc: model.Desc


class Account(NamedTuple):
    """What the attempts of one name, or on one host, came to: key says which.  wall, cpu: seconds, None where no host told;
    received: bytes that came home."""

    key: str
    tasks: int
    attempts: int
    success: int
    failed: int
    killed: int
    lost: int
    timeout: int
    wall: float
    cpu: float
    received: int


class Examined(NamedTuple):
    """What state.db is found to be.  schema: its version, 0 if it has none.  journal: the bytes that a writer left there who
    died.  problems: what is wrong with it, a line each."""

    schema: int
    tasks: int
    journal: int
    problems: tuple


class Store:
    """The state of a workspace.  Use as a context manager.

    clock: a function giving seconds since 1970.  path: the database; it is created if it does not
    exist.  anew: create it even if there was one before (see why_lost).  patience: seconds that a
    transaction waits for another.
    """

    def __init__(self, path, clock=time.time, anew=False, patience=BUSY_TIMEOUT):
        self._path = path
        self._patience = patience
        self._clock = clock
        self._anew = anew
        self._depth = 0

    def __enter__(self):
        require_sqlite()
        with self._errors():
            if not os.path.lexists(self._path):
                self._create()
            os.close(os.open(self._path, os.O_RDWR | os.O_CLOEXEC))
            # SQLite takes an empty file for a new database, and removes the journal beside it.
            if not os.path.getsize(self._path):
                raise LocalError('%s: damaged (0 bytes)' % self._path, WAY_OUT)
            self._db = _connect(self._path, self._patience)
            try:
                self._set_up()
            except BaseException:
                self._db.close()
                raise
        return self

    def __exit__(self, *_exc):
        self._db.close()

    def _create(self):
        """Make the database under another name first, so that a crash leaves no half of one."""
        lost = '' if self._anew else why_lost(self._path)
        if lost:
            raise LocalError('%s: missing, but %s' % (self._path, lost),
                             'put it back; or lwt doctor --fix, which finds what is on hosts')
        _discard_unfinished(self._path)
        part = '%s.new-%s' % (self._path, os.urandom(8).hex())
        try:
            os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with contextlib.closing(_connect(part, BUSY_TIMEOUT)) as db:
                db.execute('BEGIN')
                for statement in _TABLES.split(';'):
                    db.execute(statement)
                db.execute('PRAGMA user_version = %d' % SCHEMA)
                db.execute('COMMIT')
            _publish(part, self._path)
        finally:
            for end in ('',) + BESIDE:
                with contextlib.suppress(OSError):
                    os.unlink(part + end)

    def _set_up(self):
        if self._version() == 0:
            raise LocalError('%s: damaged (no tables)' % self._path, WAY_OUT)
        if self._version() != SCHEMA:
            raise LocalError('%s: written by another version of lwt (schema %d, this one knows %d)'
                             % (self._path, self._version(), SCHEMA))
        missing = _missing_bytes(self._db, self._path)
        if missing:
            raise LocalError('%s: damaged (%d bytes are missing)' % (self._path, missing), WAY_OUT)
        self._db.execute('PRAGMA foreign_keys = ON')

    def _version(self):
        return self._db.execute('PRAGMA user_version').fetchone()[0]

    def _errors(self):
        return _errors(self._path)

    @contextlib.contextmanager
    def together(self):
        """All that is written in this `with` is one transaction: it is all there afterwards, or nothing of it."""
        if self._depth:
            yield
            return
        with self._errors():
            self._db.execute('BEGIN IMMEDIATE')
            self._depth = 1
            try:
                yield
                self._db.execute('COMMIT')
            except BaseException:
                with contextlib.suppress(sqlite3.Error):        # it may have been rolled back already
                    self._db.execute('ROLLBACK')
                raise
            finally:
                self._depth = 0

    # -- reading ------------------------------------------------------------------------------------------------------

    def _rows(self, sql, parameters=()):
        with self._errors():
            return self._db.execute(sql, parameters).fetchall()

    def _tasks(self, where='1', parameters=()):
        rows = self._rows('SELECT %s FROM task JOIN batch ON batch.id = task.batch WHERE %s' % (_COLUMNS, where), parameters)
        return [_task(row) for row in rows]

    def all(self):
        """Every task, in the order of adding."""
        return self._tasks('1 ORDER BY task.id')

    def get(self, number):
        """One task, or None where it is forgotten."""
        return next(iter(self._tasks('task.id = ?', (number,))), None)

    def numbers(self):
        """The numbers of all tasks."""
        return [row[0] for row in self._rows('SELECT id FROM task ORDER BY id')]

    def chosen(self, states=(), outcomes=(), names=(), hosts=()):
        """The tasks that are in one of these states or have one of these outcomes, of these names, on these hosts."""
        where, parameters = ['1'], []
        kinds = [('state', states), ('outcome', outcomes)]
        said = ['task.%s IN (%s)' % (column, ', '.join('?' * len(values))) for column, values in kinds if values]
        if said:
            where.append('(%s)' % ' OR '.join(said))
            parameters += list(states) + list(outcomes)
        for column, values in (('batch.name', names), ('task.host', hosts)):
            if values:
                where.append('%s IN (%s)' % (column, ', '.join('?' * len(values))))
                parameters += list(values)
        return self._tasks(' AND '.join(where) + ' ORDER BY task.id', parameters)

    def on_host(self, name):
        """The tasks that are somewhere between placed and done on a host."""
        return self.on_hosts((name,))

    def on_hosts(self, names):
        """The same, on any of these hosts."""
        return [task for at in range(0, len(names), MOST_NAMES)
                for task in self.chosen(states=model.ASKED, hosts=names[at:at + MOST_NAMES])]

    def waiting(self):
        """The Groups of new tasks, the oldest first."""
        rows = self._rows("SELECT t.*, name, input, desc FROM (SELECT batch, avoid, count(*), min(id) AS first FROM task "
                          "INDEXED BY task_waiting WHERE state = 'new' GROUP BY batch, avoid) AS t "
                          'JOIN batch ON batch.id = t.batch ORDER BY first')
        return [Group(*row[:6], desc=_desc(row[6])) for row in rows]

    def active(self):
        """{name: the number of its tasks that are on hosts}."""
        return dict(self._rows('SELECT batch.name, count(*) FROM task JOIN batch ON batch.id = task.batch '
                               'WHERE task.state IN (%s) GROUP BY 1' % _BUSY))

    def counts(self):
        """{state or, of those done, outcome: number of tasks}."""
        return dict(self._rows("SELECT CASE state WHEN 'done' THEN outcome ELSE state END, count(*) FROM task "
                               'GROUP BY state, outcome'))

    def going_count(self):
        """The number of tasks that are neither done nor waiting for somebody."""
        return self._rows('SELECT count(*) FROM task WHERE state IN (%s)' % _GOING)[0][0]

    def going(self, numbers):
        """Those of a set of numbers whose tasks are neither done nor waiting for somebody."""
        return numbers.intersection(row[0] for row in self._rows('SELECT id FROM task WHERE state IN (%s)' % _GOING))

    def open_numbers(self):
        """The numbers of the tasks that are not done."""
        return [row[0] for row in self._rows("SELECT id FROM task WHERE state <> 'done' ORDER BY id")]

    def outcomes(self, numbers):
        """The outcomes of tasks, '' for one that is not done; those that are forgotten are left out."""
        known = dict(self._rows('SELECT id, outcome FROM task'))
        return [known[number] for number in numbers if number in known]

    def busy_hosts(self):
        """(name, home, category) of every host on which a task is, or something is to be removed now."""
        return self._rows('SELECT host, home, category FROM task WHERE state IN (%s) UNION '
                          'SELECT host, home, category FROM leftover WHERE due <= ?' % _BUSY, (self._clock(),))

    def leftovers(self, name):
        """The Leftovers on a host that are due."""
        rows = self._rows('SELECT key, host, home, category, verb FROM leftover WHERE host = ? AND due <= ?',
                          (name, self._clock()))
        return [Leftover(*row) for row in rows]

    def history(self, number):
        """(time, text) of all that happened to a task."""
        return self._rows('SELECT time, text FROM event WHERE task = ? ORDER BY rowid', (number,))

    def attempts(self, number):
        """(number, host, started, ended, end, code, reason, wall, cpu, received) of a task's attempts that are over."""
        return self._rows('SELECT number, host, started, ended, "end", code, reason, wall, cpu, received FROM attempt '
                          'WHERE task = ? ORDER BY number, ended', (number,))

    def last_ends(self, host, since):
        """The health.TaskEnds of a host, the last one first: of its attempts that began after a
        time, up to the last success there."""
        ends = []
        for number, name, end, code, reason, state, added in self._rows(
                'SELECT attempt.task, batch.name, attempt."end", attempt.code, attempt.reason, '
                'task.state, task.added FROM attempt JOIN task ON task.id = attempt.task '
                'JOIN batch ON batch.id = task.batch WHERE attempt.host = ? '
                'AND attempt.started BETWEEN ? AND ? '
                'ORDER BY attempt.ended DESC LIMIT 50', (host, since, self._clock())):
            if end == 'success':
                break
            ends.append(health.TaskEnd(number, name, end, code, reason, state != 'done', added))
        return ends

    def ends_elsewhere(self, host, numbers, names, since):
        """What became of tasks on other hosts.

        Returns ({number: set of ends} of these tasks, {(name, end, code): how often} of all tasks
        of these names whose attempts began after a time).
        """
        own = {}
        for number, end in self._rows(
                'SELECT task, "end" FROM attempt WHERE host <> ? AND task IN (%s) '
                "AND (\"end\" <> 'withdrawn' OR reason <> '')" % ', '.join('?' * len(numbers)),
                (host,) + tuple(numbers)):
            own.setdefault(number, set()).add(end)
        rows = self._rows(
            'SELECT batch.name, attempt."end", attempt.code, count(*) FROM attempt '
            'JOIN task ON task.id = attempt.task JOIN batch ON batch.id = task.batch '
            'WHERE attempt.host <> ? AND attempt.started BETWEEN ? AND ? '
            "AND attempt.\"end\" NOT IN ('killed', 'withdrawn', 'timeout') "
            'AND batch.name IN (%s) GROUP BY 1, 2, 3' % ', '.join('?' * len(names)),
            (host, since, self._clock()) + tuple(names))
        return own, {(name, end, code): times for name, end, code, times in rows}

    def accounts(self, by):
        """The Accounts of all attempts that are remembered, by 'name' or by 'host'; those that did not start left out."""
        ends = ', '.join('sum("end" = %r)' % outcome for outcome in model.OUTCOMES)
        return [Account(*row) for row in self._rows(
            'SELECT %s, count(DISTINCT attempt.task), count(*), %s, sum(attempt.wall), sum(attempt.cpu), sum(attempt.received) '
            'FROM attempt JOIN task ON task.id = attempt.task JOIN batch ON batch.id = task.batch '
            "WHERE attempt.\"end\" <> 'withdrawn' GROUP BY 1 ORDER BY 1"
            % ({'name': 'batch.name', 'host': 'attempt.host'}[by], ends.replace('"end"', 'attempt."end"')))]

    def input_is_wanted(self, name, even_failed=False):
        """Is there a task of this input that is not done?  even_failed: or done but no success, so that it may be retried."""
        states = "state <> 'done'" + " OR outcome <> 'success'" * even_failed
        return bool(self._rows('SELECT 1 FROM task JOIN batch ON batch.id = task.batch WHERE input = ? AND (%s) LIMIT 1' % states,
                               (name,)))

    def inputs(self):
        """The inputs of all tasks that are remembered."""
        return {row[0] for row in self._rows('SELECT input FROM batch')}

    def open_inputs(self):
        """{input: the numbers of the tasks of it that wait, or may have to be placed again}."""
        found = {}
        for name, number in self._rows('SELECT input, task.id FROM task JOIN batch ON batch.id = task.batch WHERE state IN '
                                       "('new', 'held', 'launching', 'withdrawing') ORDER BY task.id"):
            found.setdefault(name, []).append(number)
        return found

    def expected_on_hosts(self):
        """The keys and inputs that may lie on hosts: of tasks, and what is to be removed in time.

        Not of one host: several may have one home, as on NFS.
        """
        rows = self._rows('SELECT key FROM leftover UNION SELECT input FROM copy')
        return {row[0] for row in rows} | self.keys_on_hosts()

    def keys_on_hosts(self):
        """The keys of all tasks that are on hosts."""
        return {'%s.%d' % row for row in self._rows('SELECT uuid, attempt FROM task WHERE state IN (%s)' % _BUSY)}

    def all_hosts(self):
        """(name, home, category) of every host on which something of ours may lie."""
        return self._rows('SELECT host, home, category FROM task WHERE state IN (%s) UNION SELECT host, home, category '
                          'FROM leftover UNION SELECT host, home, category FROM copy' % _BUSY)

    def of_key(self, key):
        """(the Task that a key is of, how the attempt that it is of ended); None, '' where that is not known."""
        name, _dot, number = key.partition('.')
        task = next(iter(self._tasks('task.uuid = ?', (name,))), None)
        ends = self._rows('SELECT "end" FROM attempt WHERE task = ? AND number = ? ORDER BY ended DESC LIMIT 1',
                          (task.id, number)) if task is not None else []
        return task, ends[0][0] if ends else ''

    def copies(self, host):
        """The inputs that are on a host, in its home."""
        return {row[0] for row in self._rows('SELECT input FROM copy WHERE host = ? AND home = ?', (host.name, host.home))}

    def copied_inputs(self):
        """The inputs that are on any host."""
        return [row[0] for row in self._rows('SELECT DISTINCT input FROM copy')]

    def known_values(self, name):
        """The values (None for none) of the tasks of a name."""
        return {row[0] for row in self._rows('SELECT arg FROM task JOIN batch ON batch.id = task.batch WHERE name = ?', (name,))}

    # -- writing ------------------------------------------------------------------------------------------------------

    def add(self, name, input_name, desc, args, after=(), master=''):
        """Add a task for each value of args (None for none); returns their numbers.  All of them, or none.

        after: the numbers of tasks that they wait for.  master: what their keys begin with.
        """
        now = self._clock()
        with self.together():
            batch = self._db.execute('INSERT INTO batch (name, input, desc) VALUES (?, ?, ?)',
                                     (name, input_name, json.dumps(desc._asdict()))).lastrowid
            waits = ''.join(' %d' % number for number in after if self._outcome(number) != 'success')
            state, reason = ('held', after_text(waits.split())) if waits else ('new', '')
            first = self._db.execute("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'task'").fetchone()[0]
            numbers = range(first, first + len(args))
            self._db.executemany(
                'INSERT INTO task (id, uuid, batch, arg, state, reason, added, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
                [(number, master + os.urandom(16).hex()[len(master):], batch, arg, state, reason, now, waits and waits + ' ')
                 for number, arg in zip(numbers, args)])
            self._db.executemany('INSERT INTO event VALUES (?, ?, ?)', [(number, now, 'added') for number in numbers])
        return list(numbers)

    def _outcome(self, number):
        rows = self._rows('SELECT outcome FROM task WHERE id = ?', (number,))
        return rows[0][0] if rows else 'success'

    def place(self, host, boot, host_id, picks):
        """Give waiting tasks to a host: the oldest `count` of each (Group, count); returns them, launching."""
        placed, now = [], self._clock()
        with self.together():
            for group, count in picks:
                waiting = self._tasks("task.state = 'new' AND task.batch = ? AND task.avoid = ? ORDER BY task.id LIMIT ?",
                                      (group.batch, group.avoid, count))
                placed += [self._change(task, 'place', 'launching', 'placed on %s' % host.name, host=host.name, home=host.home,
                                        category=host.category, boot=boot, host_id=host_id, end='', reason='', started=now)
                           for task in waiting]
        return placed

    def advance(self, task, event, text, **changes):
        """Make the step that the automaton has for this event, which must not lead to the end of the attempt.

        Returns the task as it is now, or None when somebody else changed it meanwhile.  changes: columns.
        """
        state = model.step(task.state, event)
        assert state != model.SETTLE
        with self.together():
            return self._change(task, event, state, text, **changes)

    def settle(self, task, event, end, code, reason, leave='', keep_days=0, received=0):
        """End the attempt: the task is done, new again or held.

        leave: what becomes of its directory on its host: '' if there is none, 'clean' or 'purge' (verbs of sh/control.sh) if a
        visit is to remove it, 'keep' if it holds results that could not be fetched.  It is kept until the task is removed or
        retried; after a success, what earlier attempts keep goes in keep_days.  received: bytes of its results.  Returns the
        task as it is now, or None when somebody else changed it.
        """
        assert model.step(task.state, event) == model.SETTLE
        with self.together():
            now = self._clock()
            past = self.past(task, end, reason)
            state, failures, held = model.conclude(end, task, past)
            changes = dict(failures=failures, end=end, code=code, reason=held or reason, outcome='')
            if state == 'done':
                changes.update(outcome=end, ended=task.ended or now, after='')
            else:
                changes.update(_NOWHERE, attempt=task.attempt + 1, avoid=' '.join(past.hosts))
            changed = self._change(task, event, state, _settled_text(task, end, reason, state, held), **changes)
            if changed is not None and task.host:
                self._db.execute('INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)', (
                    task.id, task.attempt, task.host, task.started, now, end, code, reason, task.wall, task.cpu, received))
                if leave:
                    self._leave(task, 'clean' if leave == 'keep' else leave, NEVER if leave == 'keep' else 0)
                if end == 'success':
                    self._release(task.uuid, now + keep_days * 86400)
            if changed is not None and state == 'done':
                self._after_done(task, end)
            return changed

    def past(self, task, end='', reason=''):
        """The tasks.Past of a task; end, reason: how the attempt that is not recorded yet ended, if there is one."""
        rows = self._rows('SELECT host, "end", reason FROM attempt WHERE task = ? ORDER BY ended', (task.id,))
        rows += [(task.host, end, reason)] * bool(task.host and end)
        bad = [(host, how) for host, how, why in rows if how not in ('success', 'killed') and (how != 'withdrawn' or why)]
        return model.Past(tuple(dict.fromkeys(host for host, _how in bad)), sum(how == 'withdrawn' for _host, how in bad))

    def _after_done(self, task, outcome):
        """Let those go on that waited for this task, or say why they do not."""
        mark = ' %d ' % task.id
        for number, after, reason in self._rows("SELECT id, after, reason FROM task WHERE state = 'held' AND after LIKE ?",
                                                ('%' + mark + '%',)):
            if outcome == 'success':
                left = after.replace(mark, ' ').strip()
                is_suspended = reason == 'suspended'        # by its user: it waits for him too
                self._db.execute('UPDATE task SET after = ?, state = ?, reason = ? WHERE id = ?',
                                 (left and ' %s ' % left, 'held' if left or is_suspended else 'new',
                                  reason if is_suspended else after_text(left.split()), number))
            else:
                self._db.execute('UPDATE task SET reason = ? WHERE id = ?',
                                 ('after %s, which was no success (%s)' % (model.format_id(task.id), outcome), number))

    def _release(self, word, due):
        """Have what is kept on hosts of a task's attempts removed from some time on.  word: the task's uuid."""
        self._db.execute('UPDATE leftover SET due = ? WHERE key > ? AND key < ? AND due >= ?', (due,) + _keys(word) + (NEVER,))

    def kept(self, task):
        """[(attempt, host, home)] of the directories of a task that stay on hosts until it is removed or retried."""
        rows = self._rows('SELECT key, host, home FROM leftover WHERE key > ? AND key < ? AND due >= ?',
                          _keys(task.uuid) + (NEVER,))
        return sorted((int(key.rpartition('.')[2]), host, home) for key, host, home in rows)

    def unplace(self, task, reason, was_sent):
        """Take a task that certainly has not started from its host; what was sent of it is to be removed."""
        changes = dict(_NOWHERE, reason=reason, attempt=task.attempt + was_sent)
        with self.together():
            changed = self._change(task, 'unplaced', 'new', 'not taken by %s: %s' % (task.host, reason), **changes)
            if changed is not None and was_sent:
                self._leave(task, 'clean', 0)
            return changed

    def retry(self, task):
        """Queue a task that is done again, as one more attempt.  Returns it, or None when somebody else changed it."""
        with self.together():
            queued = self.advance(task, 'retry', 'to be tried again', attempt=task.attempt + 1, failures=0, outcome='', end='',
                                  code=None, reason='', ended=None, avoid='', wall=None, cpu=None, **_NOWHERE)
            if queued is not None:
                self._release(task.uuid, 0)
            return queued

    def doom(self, task, with_results):
        """Write down that a task is to be forgotten as soon as it is done; with_results: and what came home of it removed."""
        with self.together():
            self._db.execute('UPDATE task SET doomed = ? WHERE id = ?', (1 + with_results, task.id))

    def doomed(self, number=None):
        """[(Task, with_results)] of those that are done, and are to be forgotten; number: of one."""
        which, parameters = ('1', ()) if number is None else ('id = ?', (number,))
        rows = self._rows("SELECT id, doomed FROM task WHERE doomed AND state = 'done' AND " + which, parameters)
        return [(self.get(found), kind == 2) for found, kind in rows]

    def remove(self, number):
        """Forget a task; what is kept of it on hosts is to be removed."""
        with self.together():
            for word, in self._rows('SELECT uuid FROM task WHERE id = ?', (number,)):
                self._release(word, 0)
            for table, column in (('event', 'task'), ('attempt', 'task'), ('task', 'id')):
                self._db.execute('DELETE FROM %s WHERE %s = ?' % (table, column), (number,))

    def sent(self, inputs, host):
        """These inputs are on their way to a host, or there."""
        with self.together():
            self._db.executemany('INSERT OR REPLACE INTO copy VALUES (?, ?, ?, ?)',
                                 [(name, host.name, host.home, host.category) for name in inputs])
            self._db.executemany('DELETE FROM leftover WHERE key = ? AND host = ? AND home = ?',
                                 [(name, host.name, host.home) for name in inputs])

    def missing(self, name, host):
        """An input is not on a host, whatever we thought."""
        with self.together():
            self._db.execute('DELETE FROM copy WHERE input = ? AND host = ? AND home = ?', (name, host.name, host.home))

    def drop_input(self, name):
        """Nobody needs this input any more: its copies on hosts are to be removed."""
        with self.together():
            self._db.execute("INSERT OR REPLACE INTO leftover SELECT input, host, home, category, 'drop', 0 FROM copy "
                             'WHERE input = ?', (name,))
            self._db.execute('DELETE FROM copy WHERE input = ?', (name,))

    def leave(self, left):
        """Have a Leftover removed by the next visit to its host."""
        with self.together():
            self._db.execute('INSERT OR REPLACE INTO leftover VALUES (?, ?, ?, ?, ?, 0)', left)

    def adopt(self, task, host, boot, host_id):
        """A task that waits was found on a host: it is looked after there.  Returns it, or None."""
        with self.together():
            return self._change(task, 'place', 'launching', 'found on ' + host.name, host=host.name, home=host.home,
                                category=host.category, boot=boot, host_id=host_id, end='', reason='', started=self._clock())

    def adopt_unknown(self, key, host, boot, host_id):
        """What was found on a host, and is of ours, becomes a task, so that its results come home."""
        name, _dot, attempt = key.partition('.')
        with self.together():
            if self._rows("SELECT 1 FROM task WHERE uuid = ? AND attempt = ? AND state <> 'done'", (name, int(attempt))):
                return          # somebody else was faster
            number = self.add('found', 'found.' + key, model.Desc('# found on ' + host.name, retries=0), [None])[0]
            self._db.execute('UPDATE task SET uuid = ?, attempt = ?, state = ?, host = ?, home = ?, category = ?, boot = ?, '
                             'host_id = ?, started = ? WHERE id = ?', (name, int(attempt), 'running', host.name, host.home,
                                                                      host.category, boot, host_id, self._clock(), number))

    def cleaned(self, leftover, keep_days):
        """It was removed; what clean keeps, so that a late launch finds it, is to be forgotten after keep_days."""
        where = (leftover.key, leftover.host, leftover.home)
        with self.together():
            if leftover.verb in ('clean', 'purge'):
                self._db.execute('UPDATE leftover SET verb = ?, due = ? WHERE key = ? AND host = ? AND home = ?',
                                 ('forget', self._clock() + keep_days * 86400) + where)
            else:
                self._db.execute('DELETE FROM leftover WHERE key = ? AND host = ? AND home = ?', where)

    def forget(self, keep_days):
        """Forget tasks that have been done, and weather that is past, for more than keep_days; results stay where they are.

        A task of which results are kept on a host is remembered: only so can it be removed or retried.
        """
        self._correct_times(keep_days)
        before = self._clock() - keep_days * 86400
        old = ("(SELECT id FROM task WHERE state = 'done' AND coalesce(ended, added) < ? AND uuid NOT IN "
               "(SELECT substr(key, 1, instr(key, '.') - 1) FROM leftover WHERE due >= ?))")
        if self._rows('SELECT 1 FROM task WHERE id IN %s LIMIT 1' % old, (before, NEVER)):
            with self.together():
                for table, column in (('event', 'task'), ('attempt', 'task'), ('task', 'id')):
                    self._db.execute('DELETE FROM %s WHERE %s IN %s' % (table, column, old), (before, NEVER))
                self._db.execute('DELETE FROM batch WHERE id NOT IN (SELECT batch FROM task)')
        hour = before // 3600
        if self._rows('SELECT 1 FROM probe WHERE time < ? UNION SELECT 1 FROM ending WHERE hour < ? UNION '
                      'SELECT 1 FROM usage WHERE hour < ? LIMIT 1', (before, hour, hour)):
            with self.together():
                self._db.execute('DELETE FROM probe WHERE time < ?', (before,))
                for table in ('ending', 'usage'):
                    self._db.execute('DELETE FROM %s WHERE hour < ?' % table, (hour,))

    def _correct_times(self, keep_days):
        """Let what was stored while the clock was ahead count as of now, or it would stay for years.

        What is counted by the hour, and probes, are dropped.
        """
        now = self._clock()
        hour = now // 3600 + 1
        latest_due = now + max(keep_days, LONGEST_KEEP) * 86400     # `keep` may have been larger
        ahead = [('task', 'ended', now), ('leftover', 'due', latest_due),
                 ('attempt', 'ended', now), ('probe', 'time', now), ('sample', 'time', now),
                 ('ending', 'hour', hour), ('usage', 'hour', hour)]
        found = [(table, column, most) for table, column, most in ahead if self._rows(
            'SELECT 1 FROM %s WHERE %s > ? AND %s < ? LIMIT 1' % (table, column, column),
            (most, NEVER))]
        with self.together() if found else contextlib.suppress():
            for table, column, most in found:
                change = 'DELETE FROM %s' % table if table in ('probe', 'ending', 'usage') \
                    else 'UPDATE %s SET %s = %r' % (table, column, now)
                self._db.execute('%s WHERE %s > ? AND %s < ?' % (change, column, column),
                                 (most, NEVER))

    # -- hosts --------------------------------------------------------------------------------------------------------

    def health(self):
        """{name: Health} of the hosts that anything was ever held against."""
        with self._errors():
            rows = self._db.execute('SELECT %s FROM health' % ', '.join(health.Health._fields)).fetchall()
        return {row[0]: health.Health(*row) for row in rows}

    def change_health(self, name, change):
        """Replace the Health of a host by change(health); returns the new one."""
        with self.together():
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
        with self.together():
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
        with self.together():
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

    def _change(self, task, event, state, text, **changes):
        """Set columns, if the task is still as we know it; within a transaction.  Returns it as it is then, or None."""
        assert (task.state, event) in model.TRANSITIONS
        columns = dict(changes, state=state)
        cursor = self._db.execute(
            'UPDATE task SET %s WHERE id = ? AND state = ? AND attempt = ? AND host = ?'
            % ', '.join('"%s" = ?' % name for name in columns),
            tuple(columns.values()) + (task.id, task.state, task.attempt, task.host))
        if cursor.rowcount != 1:
            return None
        if text:
            self._db.execute('INSERT INTO event VALUES (?, ?, ?)', (task.id, self._clock(), text))
        return task._replace(**columns)


def _connect(path, patience):
    """A connection to a database that exists; what it commits survives a power cut."""
    db = sqlite3.connect(path, timeout=patience, isolation_level=None)
    try:
        db.execute('PRAGMA journal_mode = TRUNCATE').fetchall()
        db.execute('PRAGMA synchronous = EXTRA')
    except BaseException:
        db.close()
        raise
    return db


def _missing_bytes(db, path):
    """How many bytes were cut from the end of a database; SQLite takes part of a page for a page.

    Only a reader's lock makes the two numbers comparable: nobody writes meanwhile.
    """
    db.execute('BEGIN')
    try:
        pages = db.execute('PRAGMA page_count').fetchone()[0]
        page_size = db.execute('PRAGMA page_size').fetchone()[0]
        db.execute('PRAGMA user_version').fetchone()
        return max(0, pages * page_size - os.path.getsize(path))
    finally:
        db.execute('ROLLBACK')


def _publish(part, path):
    """Give a new database its name, unless somebody else was faster; never replaces one."""
    try:
        os.link(part, path)
    except FileExistsError:
        return
    except OSError:                 # a file system without hard links
        if not os.path.lexists(path):
            os.rename(part, path)
    files.sync_dir(os.path.dirname(path) or '.')


def _discard_unfinished(path):
    """Remove databases whose creation was cut off; not one that another lwt creates just now."""
    folder, name = os.path.split(path)
    for other in os.listdir(folder or '.'):
        full = os.path.join(folder, other)
        with contextlib.suppress(OSError):
            age = abs(time.time() - os.stat(full).st_mtime)
            if other.startswith(name + '.new-') and age > UNFINISHED:
                os.unlink(full)


def why_lost(path):
    """Why there must have been a database at a path where none is, or ''.

    A new one would not know the tasks whose inputs are there, and passes would remove these.  And
    SQLite would apply the journal of the lost one to a new one.
    """
    lost = _trace_of(path)
    # Another lwt may have made it, and inputs of its tasks, since somebody looked for it.
    return '' if os.path.lexists(path) else lost


def _trace_of(path):
    """What a database has left at a path, or ''."""
    for end in BESIDE:
        if os.path.exists(path + end) and os.path.getsize(path + end):
            return '%s is there' % os.path.basename(path + end)
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(path))), 'task')
    inputs = sorted(filter(INPUT.fullmatch, os.listdir(folder))) if os.path.isdir(folder) else []
    return 'there are inputs of tasks: task/%s' % inputs[0] if inputs else ''


def begin_anew(path, kept):
    """Make a database in place of one that is lost; what it left beside it is kept.

    A note is left at `kept`, by which doctor knows that inputs of tasks may be without a row.
    """
    with _errors(path):
        with open(kept, 'w') as file:
            file.write('state.db was missing; a new one was made\n')
        for end in BESIDE:
            if os.path.exists(path + end):
                os.rename(path + end, kept + end)
        with Store(path, anew=True):
            pass


@contextlib.contextmanager
def _errors(path):
    """Turn what goes wrong with a database into an LwtError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if 'locked' in str(error) or 'busy' in str(error):
            raise BusyError('%s: another lwt is writing' % path, 'try again')
        raise LocalError('%s: %s' % (path, error), 'lwt doctor tells more')
    except sqlite3.DatabaseError as error:
        raise LocalError('%s: %s' % (path, error), 'it is damaged: ' + WAY_OUT)
    except IsADirectoryError:
        raise LocalError('%s: a directory, not a database' % path,
                         'move it away; lwt doctor --fix then finds what is on hosts')
    except OSError as error:
        raise LocalError('%s: %s' % (path, error.strerror))


def require_sqlite():
    """Raise LocalError unless this Python has SQLite."""
    if sqlite3 is None:
        raise LocalError('this Python (%s) has no sqlite3, which tasks need' % sys.executable,
                         'run lwt with another Python; all but tasks works with this one')


def sqlite_version():
    """The version of SQLite, 'none' where this Python has none."""
    return sqlite3.sqlite_version if sqlite3 else 'none'


def examine(path):
    """The Examined of a database that is there.  Raises BusyError, and LocalError when it cannot be read at all."""
    require_sqlite()
    journal = os.path.getsize(path + '-journal') if os.path.exists(path + '-journal') else 0
    with _errors(path):
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        if not os.path.getsize(path):
            return Examined(0, 0, journal, ('0 bytes',))
    with _errors(path), contextlib.closing(
            sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)) as db:
        try:
            schema = db.execute('PRAGMA user_version').fetchone()[0]
            problems = ['no tables'] if schema == 0 else []
            if _missing_bytes(db, path):
                problems.append('%d bytes are missing' % _missing_bytes(db, path))
            problems += [row[0] for row in db.execute('PRAGMA integrity_check(5)') if row[0] != 'ok']
            problems += ['%s: a row without its %s' % (row[0], row[2]) for row in db.execute('PRAGMA foreign_key_check')][:5]
            count = db.execute('SELECT count(*) FROM task').fetchone()[0] if schema == SCHEMA else 0
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            return Examined(0, 0, journal, (str(error),))
    return Examined(schema, count, journal, tuple(problem.replace('\n', ' ') for problem in problems))


def rescue(path, kept):
    """Make a damaged database anew, of all that can be read of it; the damaged one is kept at another path, with its journal.

    Returns (the number of rows, whether all of every table could be read).  Nobody else may have it open.
    """
    new = path + '.new'
    with _errors(path):
        for end in ('',) + BESIDE:
            if os.path.exists(path + end):
                shutil.copy2(path + end, kept + end)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new + end)
        with Store(new, anew=True) as store, contextlib.closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as old:
            store._db.execute('PRAGMA foreign_keys = OFF')
            saved = [_save_table(old, store._db, table) for table in re.findall(r'CREATE TABLE (\w+)', _TABLES)]
            for table in ('attempt', 'event'):      # what is left of a task that is lost
                store._db.execute('DELETE FROM %s WHERE task NOT IN (SELECT id FROM task)' % table)
            store._db.execute('DELETE FROM task WHERE batch NOT IN (SELECT id FROM batch)')
        for end in BESIDE:              # those of the old one are not about the new one
            for name in (new + end, path + end):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)
        os.replace(new, path)
        files.sync_dir(os.path.dirname(path))
    return sum(rows for rows, _is_whole in saved), all(is_whole for _rows, is_whole in saved)


def _save_table(old, new, table):
    """Copy what can be read of a table, from its beginning and, where that breaks off, from its end."""
    before = new.total_changes
    for order in ('', 'ORDER BY rowid', 'ORDER BY rowid DESC'):
        try:
            new.execute('BEGIN')
            for row in old.execute('SELECT * FROM %s %s' % (table, order)):
                new.execute('INSERT OR IGNORE INTO %s VALUES (%s)' % (table, ', '.join('?' * len(row))), row)
            return new.total_changes - before, order == ''
        except sqlite3.DatabaseError:
            continue
        finally:
            new.execute('COMMIT')
    return new.total_changes - before, False


def _keys(word):
    """The bounds between which the keys of a task's attempts lie: they are its uuid, a dot and a number."""
    return word + '.', word + '/'


_NOWHERE = dict(dict.fromkeys(('host', 'home', 'category', 'boot', 'host_id'), ''), started=None)


def _settled_text(task, end, reason, state, held):
    text = '%s%s%s' % (end, ' on ' + task.host if task.host else '', ': ' + reason if reason else '')
    return text + {'new': '; to be tried again', 'held': '; held: ' + held}.get(state, '')


def after_text(words):
    return 'after ' + ' '.join(model.format_id(int(word)) for word in words) if words else ''


@functools.lru_cache(maxsize=256)
def _desc(text):
    values = json.loads(text)
    return model.Desc(**dict(values, retry_on=tuple(values['retry_on'])))


def _uses(taken):
    """(user, cpu, memory) of a Sample; user '' for all together."""
    if taken.cpu is not None:
        yield '', taken.cpu, (taken.memory or 0) - (taken.free_memory or 0)
    for use in taken.users:
        yield use.user, use.cpu, use.memory


def _task(row):
    task = model.Task(*row)
    return task._replace(desc=_desc(task.desc))
