"""The tasks in the database: one transaction for each step, committed before its effect.  The only
SQL about tasks.

Every change of a task's state names the state that it expects.  Of two passes, or a pass and a
user, only one can make it.

Tasks that were added together form a batch, which holds their name, input and desc.  So ten
thousand tasks that wait are one row to the scheduler.
"""

import contextlib
import functools
import json
import os
from typing import NamedTuple

from lwt.hosts.history import History
from lwt.tasks import model

LONGEST_KEEP = 30       # days for which a leftover may be kept, unless `keep` is larger
NEVER = 1e12            # when a leftover is due that stays until its task is removed or retried
MOST_NAMES = 500        # hosts in one query: SQLite before 3.32 takes 999 parameters

_OF_BATCH = {'name': 'batch.name', 'input': 'batch.input', 'desc': 'batch.desc'}
_COLUMNS = ', '.join(_OF_BATCH.get(name, 'task."%s"' % name) for name in model.Task._fields)
_BUSY = ', '.join(repr(state) for state in model.ASKED)        # somewhere on a host
_GOING = ', '.join(repr(state)
                   for state in model.STATES if state not in ('held', 'suspended', 'done'))


class Leftover(NamedTuple):
    """What lies on a host and is to be removed: verb is a request of sh/control.sh."""

    key: str
    host: str
    home: str
    category: str
    verb: str


class Group(NamedTuple):
    """Waiting tasks that are alike: of one batch, and with the same hosts to avoid.  first: the
    number of the oldest.
    """

    batch: int
    avoid: str
    count: int
    first: int
    name: str
    input: str
    desc: model.Desc


class Account(NamedTuple):
    """What the attempts of one name, or on one host, came to: key says which.  wall, cpu: seconds,
    None where no host told; received: bytes that came home.
    """

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


class Store(History):
    """The state of a workspace: its tasks, and the history of its hosts.  Use as a context manager.
    """

    # -- reading -----------------------------------------------------------------------------------

    def _tasks(self, where='1', parameters=()):
        rows = self._rows('SELECT %s FROM task JOIN batch ON batch.id = task.batch WHERE %s'
                          % (_COLUMNS, where), parameters)
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
        """The tasks that are in one of these states or have one of these outcomes, of these names,
        on these hosts.
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
        """The tasks that are somewhere between placed and done on a host."""
        return self.on_hosts((name,))

    def on_hosts(self, names):
        """The same, on any of these hosts."""
        return [task for at in range(0, len(names), MOST_NAMES)
                for task in self.chosen(states=model.ASKED, hosts=names[at:at + MOST_NAMES])]

    def waiting(self):
        """The Groups of new tasks, the oldest first."""
        rows = self._rows(
            "SELECT t.*, name, input, desc FROM (SELECT batch, avoid, count(*), min(id) AS first "
            "FROM task "
            "INDEXED BY task_waiting WHERE state = 'new' GROUP BY batch, avoid) AS t "
            'JOIN batch ON batch.id = t.batch ORDER BY first')
        return [Group(*row[:6], desc=_desc(row[6])) for row in rows]

    def active(self):
        """{name: the number of its tasks that are on hosts}."""
        return dict(
            self._rows('SELECT batch.name, count(*) FROM task JOIN batch ON batch.id = task.batch '
                       'WHERE task.state IN (%s) GROUP BY 1' % _BUSY))

    def counts(self):
        """{state or, of those done, outcome: number of tasks}."""
        return dict(self._rows(
            "SELECT CASE state WHEN 'done' THEN outcome ELSE state END, count(*) FROM task "
            'GROUP BY state, outcome'))

    def going_count(self):
        """The number of tasks that are neither done nor waiting for somebody."""
        return self._rows('SELECT count(*) FROM task WHERE state IN (%s)' % _GOING)[0][0]

    def going(self, numbers):
        """Those of a set of numbers whose tasks are neither done nor waiting for somebody."""
        return numbers.intersection(
            row[0] for row in self._rows('SELECT id FROM task WHERE state IN (%s)' % _GOING))

    def open_numbers(self):
        """The numbers of the tasks that are not done."""
        return [row[0]
                for row in self._rows("SELECT id FROM task WHERE state <> 'done' ORDER BY id")]

    def outcomes(self, numbers):
        """The outcomes of tasks, '' for one that is not done; those that are forgotten are left
        out.
        """
        known = dict(self._rows('SELECT id, outcome FROM task'))
        return [known[number] for number in numbers if number in known]

    def busy_hosts(self):
        """(name, home, category) of every host on which a task is, or something is to be removed
        now.
        """
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
        """(time, text) of all that happened to a task."""
        return self._rows('SELECT time, text FROM event WHERE task = ? ORDER BY rowid', (number,))

    def attempts(self, number):
        """(number, host, started, ended, end, code, reason, wall, cpu, received) of a task's
        attempts that are over.
        """
        return self._rows(
            'SELECT number, host, started, ended, "end", code, reason, wall, cpu, received FROM '
            'attempt '
            'WHERE task = ? ORDER BY number, ended', (number,))

    def accounts(self, by):
        """The Accounts of all attempts that are remembered, by 'name' or by 'host'; those that did
        not start left out.
        """
        ends = ', '.join('sum("end" = %r)' % outcome for outcome in model.OUTCOMES)
        return [Account(*row) for row in self._rows(
            'SELECT %s, count(DISTINCT attempt.task), count(*), %s, sum(attempt.wall), '
            'sum(attempt.cpu), sum(attempt.received) '
            'FROM attempt JOIN task ON task.id = attempt.task JOIN batch ON batch.id = task.batch '
            "WHERE attempt.\"end\" <> 'withdrawn' GROUP BY 1 ORDER BY 1"
            % ({'name': 'batch.name', 'host': 'attempt.host'}[by],
               ends.replace('"end"', 'attempt."end"')))]

    def input_is_wanted(self, name, even_failed=False):
        """Is there a task of this input that is not done?  even_failed: or done but no success, so
        that it may be retried.
        """
        states = "state <> 'done'" + " OR outcome <> 'success'" * even_failed
        return bool(
            self._rows(
                'SELECT 1 FROM task JOIN batch ON batch.id = task.batch WHERE input = ? AND (%s) '
                'LIMIT 1' % states,
                (name,)))

    def inputs(self):
        """The inputs of all tasks that are remembered."""
        return {row[0] for row in self._rows('SELECT input FROM batch')}

    def open_inputs(self):
        """{input: the numbers of the tasks of it that wait, or may have to be placed again}."""
        found = {}
        for name, number in self._rows(
                'SELECT input, task.id FROM task JOIN batch ON batch.id = task.batch WHERE state '
                'IN '
            "('new', 'held', 'launching', 'withdrawing') ORDER BY "
            "task.id"):
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
        return {'%s.%d' % row
                for row in self._rows('SELECT uuid, attempt FROM task WHERE state IN (%s)' % _BUSY)}

    def all_hosts(self):
        """(name, home, category) of every host on which something of ours may lie."""
        return self._rows(
            'SELECT host, home, category FROM task WHERE state IN (%s) UNION SELECT host, home, '
            'category '
            'FROM leftover UNION SELECT host, home, category FROM copy' % _BUSY)

    def of_key(self, key):
        """(the Task that a key is of, how the attempt that it is of ended); None, '' where that is
        not known.
        """
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
        """The values (None for none) of the tasks of a name."""
        return {row[0]
                for row in self._rows(
                        'SELECT arg FROM task JOIN batch ON batch.id = task.batch WHERE name = ?',
                        (name,))}

    # -- writing -----------------------------------------------------------------------------------

    def add(self, name, input_name, desc, args, after=(), master=''):
        """Add a task for each value of args (None for none); returns their numbers.  All of them,
        or none.

        after: the numbers of tasks that they wait for.  master: what their keys begin with.
        """
        now = self._clock()
        with self.together():
            batch = self._db.execute('INSERT INTO batch (name, input, desc) VALUES (?, ?, ?)',
                                     (name, input_name, json.dumps(desc._asdict()))).lastrowid
            waits = ''.join(' %d' % number
                            for number in after if self._outcome(number) != 'success')
            state, reason = ('held', after_text(waits.split())) if waits else ('new', '')
            first = self._db.execute(
                "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = "
                "'task'").fetchone()[0]
            numbers = range(first, first + len(args))
            self._db.executemany(
                'INSERT INTO task (id, uuid, batch, arg, state, reason, added, after) VALUES (?, '
                '?, ?, ?, ?, ?, ?, ?)',
                [(number, master + os.urandom(16).hex()[len(master):], batch, arg, state, reason,
                  now, waits and waits + ' ')
                 for number, arg in zip(numbers, args)])
            self._db.executemany('INSERT INTO event VALUES (?, ?, ?)',
                                 [(number, now, 'added') for number in numbers])
        return list(numbers)

    def _outcome(self, number):
        rows = self._rows('SELECT outcome FROM task WHERE id = ?', (number,))
        return rows[0][0] if rows else 'success'

    def place(self, host, boot, host_id, picks):
        """Give waiting tasks to a host: the oldest `count` of each (Group, count); returns them,
        launching.
        """
        placed, now = [], self._clock()
        with self.together():
            for group, count in picks:
                waiting = self._tasks(
                    "task.state = 'new' AND task.batch = ? AND task.avoid = ? ORDER BY task.id "
                    "LIMIT ?",
                    (group.batch, group.avoid, count))
                placed += [self._change(task, 'place', 'launching', 'placed on %s' % host.name,
                                        host=host.name, home=host.home,
                                        category=host.category, boot=boot, host_id=host_id, end='',
                                        reason='', started=now)
                           for task in waiting]
        return placed

    def advance(self, task, event, text, **changes):
        """Make the step that the automaton has for this event, which must not lead to the end of
        the attempt.

        Returns the task as it is now, or None when somebody else changed it meanwhile.  changes:
        columns.
        """
        state = model.step(task.state, event)
        assert state != model.SETTLE
        with self.together():
            return self._change(task, event, state, text, **changes)

    def settle(self, task, event, end, code, reason, leave='', keep_days=0, received=0):
        """End the attempt: the task is done, new again or held.

        leave: what becomes of its directory on its host: '' if there is none, 'clean' or 'purge'
        (verbs of sh/control.sh) if a visit is to remove it, 'keep' if it holds results that could
        not be fetched.  It is kept until the task is removed or retried; after a success, what
        earlier attempts keep goes in keep_days.  received: bytes of its results.  Returns the task
        as it is now, or None when somebody else changed it.
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
            changed = self._change(task, event, state,
                                   _settled_text(task, end, reason, state, held), **changes)
            if changed is not None and task.host:
                self._db.execute(
                    'INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)', (
                        task.id, task.attempt, task.host, task.started, now, end, code, reason,
                        task.wall, task.cpu, received))
                if leave:
                    self._leave(task, 'clean' if leave == 'keep' else leave,
                                NEVER if leave == 'keep' else 0)
                if end == 'success':
                    self._release(task.uuid, now + keep_days * 86400)
            if changed is not None and state == 'done':
                self._after_done(task, end)
            return changed

    def past(self, task, end='', reason=''):
        """The tasks.Past of a task; end, reason: how the attempt that is not recorded yet ended, if
        there is one.
        """
        rows = self._rows('SELECT host, "end", reason FROM attempt WHERE task = ? ORDER BY ended',
                          (task.id,))
        rows += [(task.host, end, reason)] * bool(task.host and end)
        bad = [(host, how) for host, how, why in rows
               if how not in ('success', 'killed') and (how != 'withdrawn' or why)]
        return model.Past(tuple(dict.fromkeys(host for host, _how in bad)),
                          sum(how == 'withdrawn' for _host, how in bad))

    def _after_done(self, task, outcome):
        """Let those go on that waited for this task, or say why they do not."""
        mark = ' %d ' % task.id
        for number, after, reason in self._rows(
                "SELECT id, after, reason FROM task WHERE state = 'held' AND after LIKE ?",
            ('%' + mark + '%',)):
            if outcome == 'success':
                left = after.replace(mark, ' ').strip()
                is_suspended = reason == 'suspended'        # by its user: it waits for him too
                self._db.execute('UPDATE task SET after = ?, state = ?, reason = ? WHERE id = ?',
                                 (left and ' %s ' % left, 'held' if left or is_suspended else 'new',
                                  reason if is_suspended else after_text(left.split()), number))
            else:
                self._db.execute('UPDATE task SET reason = ? WHERE id = ?',
                                 ('after %s, which was no success (%s)'
                                  % (model.format_id(task.id), outcome), number))

    def _release(self, word, due):
        """Have what is kept on hosts of a task's attempts removed from some time on.  word: the
        task's uuid.
        """
        self._db.execute('UPDATE leftover SET due = ? WHERE key > ? AND key < ? AND due >= ?',
                         (due,) + _keys(word) + (NEVER,))

    def kept(self, task):
        """[(attempt, host, home)] of the directories of a task that stay on hosts until it is
        removed or retried.
        """
        rows = self._rows(
            'SELECT key, host, home FROM leftover WHERE key > ? AND key < ? AND due >= ?',
            _keys(task.uuid) + (NEVER,))
        return sorted((int(key.rpartition('.')[2]), host, home) for key, host, home in rows)

    def unplace(self, task, reason, was_sent):
        """Take a task that certainly has not started from its host; what was sent of it is to be
        removed.
        """
        changes = dict(_NOWHERE, reason=reason, attempt=task.attempt + was_sent)
        with self.together():
            changed = self._change(task, 'unplaced', 'new',
                                   'not taken by %s: %s' % (task.host, reason), **changes)
            if changed is not None and was_sent:
                self._leave(task, 'clean', 0)
            return changed

    def retry(self, task):
        """Queue a task that is done again, as one more attempt.  Returns it, or None when somebody
        else changed it.
        """
        with self.together():
            queued = self.advance(task, 'retry', 'to be tried again', attempt=task.attempt + 1,
                                  failures=0, outcome='', end='',
                                  code=None, reason='', ended=None, avoid='', wall=None, cpu=None,
                                  **_NOWHERE)
            if queued is not None:
                self._release(task.uuid, 0)
            return queued

    def doom(self, task, with_results):
        """Write down that a task is to be forgotten as soon as it is done; with_results: and what
        came home of it removed.
        """
        with self.together():
            self._db.execute('UPDATE task SET doomed = ? WHERE id = ?', (1 + with_results, task.id))

    def doomed(self, number=None):
        """[(Task, with_results)] of those that are done, and are to be forgotten; number: of one.
        """
        which, parameters = ('1', ()) if number is None else ('id = ?', (number,))
        rows = self._rows("SELECT id, doomed FROM task WHERE doomed AND state = 'done' AND "
                          + which, parameters)
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
            self._db.execute('DELETE FROM copy WHERE input = ? AND host = ? AND home = ?',
                             (name, host.name, host.home))

    def drop_input(self, name):
        """Nobody needs this input any more: its copies on hosts are to be removed."""
        with self.together():
            self._db.execute(
                "INSERT OR REPLACE INTO leftover SELECT input, host, home, category, 'drop', 0 "
                "FROM copy "
                'WHERE input = ?', (name,))
            self._db.execute('DELETE FROM copy WHERE input = ?', (name,))

    def leave(self, left):
        """Have a Leftover removed by the next visit to its host."""
        with self.together():
            self._db.execute('INSERT OR REPLACE INTO leftover VALUES (?, ?, ?, ?, ?, 0)', left)

    def adopt(self, task, host, boot, host_id):
        """A task that waits was found on a host: it is looked after there.  Returns it, or None."""
        with self.together():
            return self._change(task, 'place', 'launching', 'found on ' + host.name, host=host.name,
                                home=host.home,
                                category=host.category, boot=boot, host_id=host_id, end='',
                                reason='', started=self._clock())

    def adopt_unknown(self, key, host, boot, host_id):
        """What was found on a host, and is of ours, becomes a task, so that its results come home.
        """
        name, _dot, attempt = key.partition('.')
        with self.together():
            if self._rows("SELECT 1 FROM task WHERE uuid = ? AND attempt = ? AND state <> 'done'",
                          (name, int(attempt))):
                return          # somebody else was faster
            number = self.add('found', 'found.' + key,
                              model.Desc('# found on ' + host.name, retries=0), [None])[0]
            self._db.execute(
                'UPDATE task SET uuid = ?, attempt = ?, state = ?, host = ?, home = ?, category = '
                '?, boot = ?, '
                'host_id = ?, started = ? WHERE id = ?',
                (name, int(attempt), 'running', host.name, host.home,
                 host.category, boot, host_id,
                 self._clock(), number))

    def cleaned(self, leftover, keep_days):
        """It was removed; what clean keeps, so that a late launch finds it, is to be forgotten
        after keep_days.
        """
        where = (leftover.key, leftover.host, leftover.home)
        with self.together():
            if leftover.verb in ('clean', 'purge'):
                self._db.execute(
                    'UPDATE leftover SET verb = ?, due = ? WHERE key = ? AND host = ? AND home = ?',
                    ('forget', self._clock() + keep_days * 86400) + where)
            else:
                self._db.execute('DELETE FROM leftover WHERE key = ? AND host = ? AND home = ?',
                                 where)

    def forget(self, keep_days):
        """Forget tasks that have been done, and what is known of hosts, for more than keep_days;
        results stay where they are.

        A task of which results are kept on a host is remembered: only so can it be removed or
        retried.
        """
        self._correct_times(keep_days)
        before = self._clock() - keep_days * 86400
        old = ("(SELECT id FROM task WHERE state = 'done' AND coalesce(ended, added) < ? AND uuid "
               "NOT IN "
               "(SELECT substr(key, 1, instr(key, '.') - 1) FROM leftover WHERE due >= ?))")
        if self._rows('SELECT 1 FROM task WHERE id IN %s LIMIT 1' % old, (before, NEVER)):
            with self.together():
                for table, column in (('event', 'task'), ('attempt', 'task'), ('task', 'id')):
                    self._db.execute('DELETE FROM %s WHERE %s IN %s' % (table, column, old),
                                     (before, NEVER))
                self._db.execute('DELETE FROM batch WHERE id NOT IN (SELECT batch FROM task)')
        self.forget_hosts(before)

    def _correct_times(self, keep_days):
        """Let what was stored while the clock was ahead count as of now, or it would stay for
        years.

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

    def _leave(self, task, verb, due):
        self._db.execute('INSERT OR REPLACE INTO leftover VALUES (?, ?, ?, ?, ?, ?)',
                         (task.key, task.host, task.home, task.category, verb, due))

    def _change(self, task, event, state, text, **changes):
        """Set columns, if the task is still as we know it; within a transaction.  Returns it as it
        is then, or None.
        """
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


def _keys(word):
    """The bounds between which the keys of a task's attempts lie: they are its uuid, a dot and a
    number.
    """
    return word + '.', word + '/'


_NOWHERE = dict(dict.fromkeys(('host', 'home', 'category', 'boot', 'host_id'), ''), started=None)


def _settled_text(task, end, reason, state, held):
    text = ('%s%s%s'
            % (end, ' on ' + task.host if task.host else '', ': ' + reason if reason else ''))
    return text + {'new': '; to be tried again', 'held': '; held: ' + held}.get(state, '')


def after_text(words):
    return 'after ' + ' '.join(model.format_id(int(word)) for word in words) if words else ''


@functools.lru_cache(maxsize=256)
def _desc(text):
    values = json.loads(text)
    return model.Desc(**dict(values, retry_on=tuple(values['retry_on'])))


def _task(row):
    task = model.Task(*row)
    return task._replace(desc=_desc(task.desc))
