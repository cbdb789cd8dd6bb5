"""The database of a workspace, .lwt/state.db: one SQLite file, its tables, and their recovery after
damage.

With journal_mode TRUNCATE and synchronous EXTRA, committed data survives kill -9 and a power cut.
A WAL does not work on network file systems, and a DELETE journal may lose the last commit if the
directory entry is lost.

tasks/queries.py, tasks/host_queries.py and tasks/store.py have the SQL about tasks,
hosts/history.py that about hosts.
Errors of the file are LocalErrors: nothing was done.
"""

import contextlib
import os
import re
import shutil
import sys
import time
from typing import NamedTuple

from lwt.errors import BusyError, LocalError, os_error_text
from lwt.workspace import files

try:
    import sqlite3
except ImportError:         # a Python without sqlite3; everything but tasks works
    sqlite3 = None

SCHEMA = 4
READABLE = (2, 3, SCHEMA)   # schemas that this version reads; it converts the older ones
# Seconds that a short transaction waits for another one; heartbeats are delayed meanwhile.
BUSY_TIMEOUT = 10.0
PATIENCE = 60.0         # the same for a command that does nothing else meanwhile
BESIDE = ('-journal', '-wal', '-shm')   # suffixes of the files of SQLite beside the database
UNFINISHED = 600.0      # seconds after which a database under construction counts as abandoned
WAY_OUT = 'lwt doctor --fix keeps a copy and saves all readable rows'
# The names of inputs that `task add` creates in task/; it does so only if there is a database.
INPUT = re.compile(r'(\.part-)?[A-Za-z0-9_][A-Za-z0-9_.+-]*\.[0-9a-f]{12}')

# A waiting task is in one index only, so that a million of them are added quickly.  The indexes of
# all other tasks are used only by queries with the condition state <> 'new'.
_TABLES = '''
CREATE TABLE batch (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, input TEXT NOT NULL,
    desc TEXT NOT NULL,
    split TEXT NOT NULL DEFAULT '', source TEXT NOT NULL DEFAULT '',
    addition INTEGER NOT NULL DEFAULT 0,
    max_fails INTEGER NOT NULL DEFAULT 0, fails INTEGER NOT NULL DEFAULT 0);
CREATE TABLE task (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL,
    batch INTEGER NOT NULL REFERENCES batch (id), arg TEXT,
    state TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL DEFAULT 1,
    "end" TEXT NOT NULL DEFAULT '',
    host TEXT NOT NULL DEFAULT '', home TEXT NOT NULL DEFAULT '', category TEXT NOT NULL DEFAULT '',
    boot TEXT NOT NULL DEFAULT '', host_id TEXT NOT NULL DEFAULT '', code INTEGER,
    reason TEXT NOT NULL DEFAULT '',
    failures INTEGER NOT NULL DEFAULT 0, added REAL NOT NULL, started REAL, ended REAL,
    avoid TEXT NOT NULL DEFAULT '',
    after TEXT NOT NULL DEFAULT '', wall REAL, cpu REAL, doomed INTEGER NOT NULL DEFAULT 0);
CREATE INDEX task_waiting ON task (batch, avoid, id) WHERE state = 'new';
CREATE INDEX task_after ON task (after) WHERE state = 'held' AND after <> '';
CREATE INDEX task_by_condition ON task (state, outcome, host) WHERE state <> 'new';
CREATE INDEX task_of_batch ON task (batch, state, outcome) WHERE state <> 'new';
CREATE INDEX task_by_end ON task (ended) WHERE ended IS NOT NULL;
CREATE INDEX task_doomed ON task (doomed) WHERE doomed <> 0;
CREATE TABLE attempt (
    task INTEGER NOT NULL REFERENCES task (id), number INTEGER NOT NULL, host TEXT NOT NULL,
    started REAL, ended REAL NOT NULL,
    "end" TEXT NOT NULL, code INTEGER, reason TEXT NOT NULL, wall REAL, cpu REAL,
    received INTEGER NOT NULL,
    PRIMARY KEY (task, number, host, ended));
CREATE INDEX attempt_by_host ON attempt (host, ended);
CREATE TABLE leftover (
    key TEXT NOT NULL, host TEXT NOT NULL, home TEXT NOT NULL, category TEXT NOT NULL,
    verb TEXT NOT NULL,
    due REAL NOT NULL, PRIMARY KEY (key, host, home));
CREATE TABLE copy (
    input TEXT NOT NULL, host TEXT NOT NULL, home TEXT NOT NULL, category TEXT NOT NULL,
    PRIMARY KEY (input, host, home));
CREATE TABLE event (task INTEGER NOT NULL REFERENCES task (id), time REAL NOT NULL,
    text TEXT NOT NULL);
CREATE INDEX event_by_task ON event (task);
CREATE TABLE health (
    host TEXT PRIMARY KEY, state TEXT NOT NULL, failures INTEGER NOT NULL, goods INTEGER NOT NULL,
    penalty REAL NOT NULL,
    kind TEXT NOT NULL, reason TEXT NOT NULL, since REAL NOT NULL, failed REAL NOT NULL,
    retry REAL NOT NULL);
CREATE TABLE sample (host TEXT PRIMARY KEY, time REAL NOT NULL, told TEXT, problem TEXT NOT NULL);
CREATE TABLE probe (host TEXT NOT NULL, time REAL NOT NULL, told TEXT NOT NULL, PRIMARY KEY (host,
    time));
CREATE TABLE ending (
    host TEXT NOT NULL, hour INTEGER NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (host, hour, kind));
CREATE TABLE usage (
    host TEXT NOT NULL, hour INTEGER NOT NULL, user TEXT NOT NULL, count INTEGER NOT NULL,
    cpu REAL NOT NULL,
    memory REAL NOT NULL, PRIMARY KEY (host, hour, user));
'''

# What each schema has and the one before has not.
_CONVERSIONS = {3: '''
ALTER TABLE batch ADD COLUMN split TEXT NOT NULL DEFAULT '';
ALTER TABLE batch ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE batch ADD COLUMN addition INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN max_fails INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN fails INTEGER NOT NULL DEFAULT 0;
CREATE INDEX task_after ON task (after) WHERE state = 'held' AND after <> '';
''', 4: '''
DROP INDEX IF EXISTS task_by_state;
DROP INDEX IF EXISTS task_by_outcome;
DROP INDEX IF EXISTS task_by_batch;
CREATE INDEX task_by_condition ON task (state, outcome, host) WHERE state <> 'new';
CREATE INDEX task_of_batch ON task (batch, state, outcome) WHERE state <> 'new';
CREATE INDEX task_by_end ON task (ended) WHERE ended IS NOT NULL;
CREATE INDEX task_doomed ON task (doomed) WHERE doomed <> 0;
'''}


class Examined(NamedTuple):
    """The result of an examination of state.db.

    schema: its version, or 0.  tasks: number of tasks.  journal: bytes of a journal that a dead
    writer left.  problems: one line each.
    """

    schema: int
    tasks: int
    journal: int
    problems: tuple


class Database:
    """The database of a workspace.  Use as a context manager.

    path: the database; it is created if it does not exist.  clock: a function that returns seconds
    since 1970.  anew: create it even if an earlier one was lost (see why_lost).  patience: seconds
    that a transaction waits for another one.
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
            # SQLite treats an empty file as a new database, and removes the journal beside it.
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
        """Create the database under another name first, so that a crash leaves no partial one."""
        lost = '' if self._anew else why_lost(self._path)
        if lost:
            raise LocalError('%s: missing, but %s' % (self._path, lost),
                             'restore it, or run lwt doctor --fix, which finds the tasks on hosts')
        _discard_unfinished(self._path)
        part = '%s.new-%s' % (self._path, os.urandom(8).hex())
        try:
            os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with contextlib.closing(_connect(part, BUSY_TIMEOUT)) as db:
                db.execute('BEGIN')
                _execute_all(db, _TABLES)
                db.execute('COMMIT')
            _publish(part, self._path)
        finally:
            for end in ('',) + BESIDE:
                with contextlib.suppress(OSError):
                    os.unlink(part + end)

    def _set_up(self):
        if self._version() == 0:
            raise LocalError('%s: damaged (no tables)' % self._path, WAY_OUT)
        if self._version() not in READABLE:
            raise LocalError('%s: written by another version of lwt (schema %d, expected %d)'
                             % (self._path, self._version(), SCHEMA))
        missing = _missing_bytes(self._db, self._path)
        if missing:
            raise LocalError('%s: damaged (%d bytes are missing)' % (self._path, missing), WAY_OUT)
        if self._version() != SCHEMA:
            self._convert()
        self._db.execute('PRAGMA foreign_keys = ON')

    def _convert(self):
        """Convert a database of an older schema: all of it, or nothing."""
        with self.together():       # another process may have been faster
            for schema in range(self._version() + 1, SCHEMA + 1):
                _execute_all(self._db, _CONVERSIONS[schema])

    def _version(self):
        return self._db.execute('PRAGMA user_version').fetchone()[0]

    def _errors(self):
        return _errors(self._path)

    @contextlib.contextmanager
    def together(self):
        """Make all writes in this `with` one transaction: all are stored, or none."""
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
                # It may have been rolled back already.
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute('ROLLBACK')
                raise
            finally:
                self._depth = 0

    def _rows(self, sql, parameters=()):
        with self._errors():
            return self._db.execute(sql, parameters).fetchall()


def _execute_all(db, statements):
    """Execute statements, and set the version of the schema."""
    for statement in statements.split(';'):
        db.execute(statement)
    db.execute('PRAGMA user_version = %d' % SCHEMA)


def _connect(path, patience):
    """A connection to an existing database; its commits survive a power cut."""
    db = sqlite3.connect(path, timeout=patience, isolation_level=None)
    try:
        db.execute('PRAGMA journal_mode = TRUNCATE').fetchall()
        db.execute('PRAGMA synchronous = EXTRA')
    except BaseException:
        db.close()
        raise
    return db


def _missing_bytes(db, path):
    """The number of bytes that were cut from the end of a database; SQLite counts a partial page as
    a page.

    The two sizes are compared in a transaction, whose lock prevents writes meanwhile.
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
    """Give a new database its name, unless another process created one; never replaces one."""
    try:
        os.link(part, path)
    except FileExistsError:
        return
    except OSError:                 # a file system without hard links
        if not os.path.lexists(path):
            os.rename(part, path)
    files.sync_dir(os.path.dirname(path) or '.')


def _discard_unfinished(path):
    """Remove databases whose creation was interrupted, but not those that another lwt creates now.
    """
    folder, name = os.path.split(path)
    for other in os.listdir(folder or '.'):
        full = os.path.join(folder, other)
        with contextlib.suppress(OSError):
            age = abs(time.time() - os.stat(full).st_mtime)
            if other.startswith(name + '.new-') and age > UNFINISHED:
                os.unlink(full)


def why_lost(path):
    """Why a missing database must have existed before, or ''.

    A new database would not have the tasks whose inputs exist, and passes would remove the inputs.
    And SQLite would apply the journal of the lost database to the new one.
    """
    lost = _trace_of(path)
    # Another lwt may have created the database, and inputs, after the caller found it missing.
    return '' if os.path.lexists(path) else lost


def _trace_of(path):
    """Evidence of a lost database at a path, as text, or ''."""
    for end in BESIDE:
        if os.path.exists(path + end) and os.path.getsize(path + end):
            return '%s exists' % os.path.basename(path + end)
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(path))), 'task')
    inputs = sorted(filter(INPUT.fullmatch, os.listdir(folder))) if os.path.isdir(folder) else []
    return 'inputs of tasks exist: task/%s' % inputs[0] if inputs else ''


def begin_anew(path, kept):
    """Create a database in place of a lost one; the files beside the lost one are kept.

    A note is written to `kept`.  It tells doctor that inputs of tasks may have no row.
    """
    with _errors(path):
        with open(kept, 'w') as file:
            file.write('state.db was missing; a new one was made\n')
        for end in BESIDE:
            if os.path.exists(path + end):
                os.rename(path + end, kept + end)
        with Database(path, anew=True):
            pass


@contextlib.contextmanager
def _errors(path):
    """Turn errors of a database into LwtErrors."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if 'locked' in str(error) or 'busy' in str(error):
            raise BusyError('%s: in use by another lwt process' % path, 'try again')
        if 'disk is full' in str(error):
            raise LocalError('disk full: %s (%s)' % (path, error))
        raise LocalError('%s: %s' % (path, error), 'run lwt doctor')
    except sqlite3.DatabaseError as error:
        raise LocalError('%s: %s' % (path, error), 'the file is damaged: ' + WAY_OUT)
    except IsADirectoryError:
        raise LocalError('%s: a directory, not a database' % path,
                         'move it away; lwt doctor --fix then finds the tasks on hosts')
    except OSError as error:
        raise LocalError(os_error_text(path, error))


def require_sqlite():
    """Raise LocalError unless this Python has SQLite."""
    if sqlite3 is None:
        raise LocalError('this Python (%s) has no sqlite3, which tasks need' % sys.executable,
                         'run lwt with another Python; all but tasks works with this one')


def sqlite_version():
    """The version of SQLite; 'none' if this Python has none."""
    return sqlite3.sqlite_version if sqlite3 else 'none'


def examine(path):
    """The Examined of an existing database.  Raises BusyError, or LocalError if it cannot be read
    at all.
    """
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
            problems += [row[0]
                         for row in db.execute('PRAGMA integrity_check(5)') if row[0] != 'ok']
            problems += ['%s: a row without its %s' % (row[0], row[2])
                         for row in db.execute('PRAGMA foreign_key_check')][:5]
            count = (db.execute('SELECT count(*) FROM task').fetchone()[0]
                     if schema in READABLE else 0)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            return Examined(0, 0, journal, (str(error),))
    return Examined(schema, count, journal,
                    tuple(problem.replace('\n', ' ') for problem in problems))


def rescue(path, kept):
    """Replace a damaged database by a new one with all rows that can be read.  A copy of the
    damaged one is kept at another path, with its journal.

    Returns (number of rows, whether every table could be read completely).  No other process may
    have the database open.
    """
    new = path + '.new'
    with _errors(path):
        for end in ('',) + BESIDE:
            if os.path.exists(path + end):
                shutil.copy2(path + end, kept + end)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new + end)
        with Database(new, anew=True) as fresh, contextlib.closing(
                sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as old:
            fresh._db.execute('PRAGMA foreign_keys = OFF')
            saved = [_save_table(old, fresh._db, table)
                     for table in re.findall(r'CREATE TABLE (\w+)', _TABLES)]
            for table in ('attempt', 'event'):      # remove rows of tasks that are lost
                fresh._db.execute('DELETE FROM %s WHERE task NOT IN (SELECT id FROM task)' % table)
            fresh._db.execute('DELETE FROM task WHERE batch NOT IN (SELECT id FROM batch)')
        for end in BESIDE:              # the files of the old database do not fit the new one
            for name in (new + end, path + end):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)
        os.replace(new, path)
        files.sync_dir(os.path.dirname(path))
    return sum(rows for rows, _is_whole in saved), all(is_whole for _rows, is_whole in saved)


def _save_table(old, new, table):
    """Copy the readable rows of a table, from its beginning and, if that fails, from its end.

    Returns (number of rows, whether all could be read).
    """
    before = new.total_changes
    for order in ('', 'ORDER BY rowid', 'ORDER BY rowid DESC'):
        try:
            new.execute('BEGIN')
            rows = old.execute('SELECT * FROM %s %s' % (table, order))
            # An older database lacks some columns.
            names = ', '.join('"%s"' % column[0] for column in rows.description)
            for row in rows:
                new.execute('INSERT OR IGNORE INTO %s (%s) VALUES (%s)'
                            % (table, names, ', '.join('?' * len(row))), row)
            return new.total_changes - before, order == ''
        except sqlite3.DatabaseError:
            continue
        finally:
            new.execute('COMMIT')
    return new.total_changes - before, False
