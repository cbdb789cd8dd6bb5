"""Changes of tasks in the database: one transaction for each step, committed before its effect.

This module, `queries` and `host_queries` have all the SQL about tasks.

Every change of a task's state names the state that it expects.  If two passes, or a pass and a
user, change a task at the same time, only one of them succeeds.
"""

import contextlib
import json
import os
from array import array

from lwt.tasks import model, predecessors
from lwt.tasks.host_queries import NEVER, key_bounds
from lwt.tasks.queries import TaskQueries, parts

LONGEST_KEEP = 30       # days for which a leftover may be kept, unless `keep` is larger
KEYS_AT_ONCE = 1000     # tasks whose random words are read from the system at once


class Store(TaskQueries):
    """The database of a workspace: its tasks, and the history of its hosts.  Use as a context
    manager.
    """

    def add(self, name, input_name, desc, args, after='', master='', addition=None, kind=None):
        """Add a task for each of args (None: no argument), all or none; returns the range of their
        numbers.

        args: a sequence, which may make its values as they are read.
        after: what they wait for, as in Task.after.  master: the prefix of their keys.
        addition: the number of the first task that is added together with these; None: the first of
            these.
        kind: the model.Kind of the tasks.
        """
        now, kind = self._clock(), kind or model.Kind()
        with self.together():
            first = self._db.execute(
                "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = "
                "'task'").fetchone()[0]
            batch = self._db.execute(
                'INSERT INTO batch (name, input, desc, split, source, addition, max_fails) '
                'VALUES (?, ?, ?, ?, ?, ?, ?)',
                (name, input_name, json.dumps(desc._asdict()), kind.split, kind.source,
                 addition or first, kind.max_fails)).lastrowid
            waits = self._still_waits(after)
            state, reason = ('held' if waits else 'new'), predecessors.reason(waits)
            numbers = range(first, first + len(args))
            # From a generator: a list of a million rows would take 400 MB.
            self._db.executemany(
                'INSERT INTO task (id, uuid, batch, arg, state, reason, added, after) VALUES (?, '
                '?, ?, ?, ?, ?, ?, ?)',
                ((number, key, batch, arg, state, reason, now, waits)
                 for number, key, arg in zip(numbers, _new_keys(master), args)))
        return numbers

    def _still_waits(self, after):
        """Return the words of `after` that stand for tasks without success, as ' 1 2 ', or ''."""
        left = [word for word in after.split() if not self._has_succeeded(word)]
        return ' %s ' % ' '.join(left) if left else ''

    def _has_succeeded(self, word):
        """Return whether the tasks of a word of `after` have succeeded."""
        for first, last in predecessors.parsed(word):
            if last is None:
                return self._outcome(first) == 'success'
            of_name = 'batch IN (SELECT id FROM batch WHERE name = ?) AND id <= ?'
            # While tasks of this name are open, an index finds one of them at once.
            query = 'SELECT 1 FROM task WHERE %s AND %%s LIMIT 1' % of_name
            return not any(self._rows(query % rest, (first, last)) for rest in (
                "state = 'new'", "state <> 'new' AND state < 'done'",
                "state <> 'new' AND state > 'done'",
                "state <> 'new' AND state = 'done' AND outcome <> 'success'"))

    def place(self, host, boot, host_id, picks):
        """Place waiting tasks on a host: the oldest `count` of each (Group, count).

        Returns them, in state launching.
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
        """Apply the transition for this event, unless it ends the attempt.

        changes: columns to set.  Returns the changed task, or None if another process changed it
            meanwhile.
        """
        state = model.step(task.state, event)
        assert state != model.SETTLE
        with self.together():
            return self._change(task, event, state, text, **changes)

    def settle(self, task, event, end, code, reason, leave='', keep_days=0, received=0):
        """End the attempt: the task is done, new again or held.

        leave: what happens to its directory on the host: '' if there is none; 'clean' or 'purge'
        (verbs of sh/control.sh) if a visit removes it; 'keep' if it holds results that could not be
        fetched, until the task is removed or retried.  keep_days: after a success, the time until
        kept directories of earlier attempts are removed.  received: bytes of its results.

        Returns the task as it is now, or None if another process changed it meanwhile.
        """
        assert model.step(task.state, event) == model.SETTLE
        with self.together():
            now = self._clock()
            past = self.past(task, end, reason)
            state, failures, held = model.conclude(end, task, past)
            limit = self._limit(task.id)
            if state == 'new' and _is_reached(limit):
                state, held = 'held', _limit_text(limit)
            changes = dict(failures=failures, end=end, code=code, reason=held or reason, outcome='')
            if state == 'done':
                changes.update(outcome=end, ended=task.ended or now, after='')
            else:
                changes.update(_NOWHERE, attempt=task.attempt + 1, avoid=' '.join(past.hosts))
            changed = self._change(task, event, state,
                                   _settled_text(task, end, code, reason, state, held), **changes)
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
                if limit and end in model.RETRYABLE:
                    self._count_failure(task.id)
            return changed

    def _after_done(self, task, outcome):
        """Release the tasks that waited for this one, or record why they stay held."""
        for after in self._all_after():
            if not predecessors.concern(after, task):
                continue
            held = "state = 'held' AND after <> '' AND after = ?"
            if outcome != 'success':
                self._db.execute(
                    'UPDATE task SET reason = ? WHERE %s AND reason = ?' % held,
                    ('after %s, which did not succeed (%s)' % (model.format_id(task.id), outcome),
                     after, predecessors.reason(after)))
                continue
            left = self._still_waits(after)
            if left != after:
                self._db.execute(
                    "UPDATE task SET state = ?, reason = ?, after = ? "
                    "WHERE %s AND reason <> 'suspended'" % held,
                    ('held' if left else 'new', predecessors.reason(left), left, after))
                # Those that are suspended stay so; their user must resume them too.
                self._db.execute('UPDATE task SET after = ? WHERE ' + held, (left, after))

    def _all_after(self):
        """Yield each different value of `after` of held tasks; fast for any number of tasks."""
        after = ''
        while True:
            after = self._rows("SELECT min(after) FROM task WHERE state = 'held' AND after <> '' "
                               'AND after > ?', (after,))[0][0]
            if after is None:
                return
            yield after

    def _limit(self, number):
        """Return (addition, --max-fails, failures so far) of a task; None without this limit."""
        rows = self._rows('SELECT addition, max_fails FROM batch WHERE max_fails AND id = '
                          '(SELECT batch FROM task WHERE id = ?)', (number,))
        if not rows:
            return None
        fails = self._rows('SELECT sum(fails) FROM batch WHERE addition = ?', rows[0][:1])
        return rows[0] + fails[0]

    def _count_failure(self, number):
        """Count a failure of a task, and hold the rest of its addition if it was one too many."""
        self._db.execute('UPDATE batch SET fails = fails + 1 WHERE id = '
                         '(SELECT batch FROM task WHERE id = ?)', (number,))
        self._hold_rest(number)

    def _hold_rest(self, number):
        """Hold what waits of the addition of a task, if too many tasks of the addition failed."""
        limit = self._limit(number)
        if not _is_reached(limit):
            return
        waiting = ("state = 'new' AND batch IN (SELECT id FROM batch WHERE addition = %d)"
                   % limit[0])
        self._db.execute("INSERT INTO event SELECT id, ?, ? FROM task WHERE " + waiting,
                         (self._clock(), 'held: ' + _limit_text(limit)))
        self._db.execute("UPDATE task SET state = 'held', reason = ? WHERE " + waiting,
                         (_limit_text(limit),))

    def forgive(self, task):
        """Count the failures of an addition from 0 again, because a user resumed this task."""
        limit = self._limit(task.id)
        if limit:
            with self.together():
                self._db.execute('UPDATE batch SET fails = 0 WHERE addition = ?', limit[:1])

    def _release(self, word, due):
        """Make the kept directories of a task due for removal at a time.  word: its uuid."""
        self._db.execute('UPDATE leftover SET due = ? WHERE key > ? AND key < ? AND due >= ?',
                         (due,) + key_bounds(word) + (NEVER,))

    def unplace(self, task, reason, was_sent):
        """Take a task off its host and queue it again, because it certainly has not started.

        was_sent: its directory may be on the host; a visit removes it.
        """
        changes = dict(_NOWHERE, reason=reason, attempt=task.attempt + was_sent)
        with self.together():
            changed = self._change(task, 'unplaced', 'new',
                                   'not started on %s: %s' % (task.host, reason), **changes)
            if changed is not None:
                self._hold_rest(task.id)
                if was_sent:
                    self._leave(task, 'clean', 0)
            return changed

    def retry(self, task):
        """Queue a finished task for one more attempt.

        Returns it, or None if another process changed it meanwhile.
        """
        with self.together():
            queued = self.advance(task, 'retry', 'retry requested', attempt=task.attempt + 1,
                                  failures=0, outcome='', end='',
                                  code=None, reason='', ended=None, avoid='', wall=None, cpu=None,
                                  **_NOWHERE)
            if queued is not None:
                self._release(task.uuid, 0)
            return queued

    def renew(self, batch, input_name, desc, numbers):
        """Give tasks of a batch a new input and desc, as a batch of their own."""
        with self.together():
            new = self._db.execute(
                'INSERT INTO batch (name, input, desc, split, source, addition, max_fails) '
                'SELECT name, ?, ?, split, source, addition, max_fails FROM batch WHERE id = ?',
                (input_name, json.dumps(desc._asdict()), batch)).lastrowid
            self._db.executemany('UPDATE task SET batch = ? WHERE id = ?',
                                 ((new, number) for number in numbers))

    def doom(self, task, with_results):
        """Record that a task is removed as soon as it is done.

        with_results: remove its results as well.
        """
        with self.together():
            self._db.execute('UPDATE task SET doomed = ? WHERE id = ?', (1 + with_results, task.id))

    def remove(self, number):
        """Remove a task; the next visits remove what is kept of it on hosts."""
        with self.together():
            for word, in self._rows('SELECT uuid FROM task WHERE id = ?', (number,)):
                self._release(word, 0)
            for table, column in (('event', 'task'), ('attempt', 'task'), ('task', 'id')):
                self._db.execute('DELETE FROM %s WHERE %s = ?' % (table, column), (number,))

    def remove_waiting(self, numbers):
        """Remove those of the tasks with these numbers that wait and were never sent to a host.

        Returns the array of their numbers.  This is many times faster than to kill and remove each
        of them.  It does nothing while tasks wait for others: they need to know how these ended.
        """
        removed = array('q')
        with self.together():
            if next(self._all_after(), None) is not None:
                return removed
            for where, parameters in parts(numbers):
                where = ("id IN (SELECT id FROM task WHERE %s AND state IN ('new', 'held') "
                         "AND attempt = 1)" % where)
                removed += self._numbers(where, parameters)
                self._db.execute('DELETE FROM event WHERE task IN (SELECT id FROM task WHERE %s)'
                                 % where, parameters)
                self._db.execute('DELETE FROM task WHERE ' + where, parameters)
        return removed

    def sent(self, inputs, host):
        """Record that these inputs are on a host, or on their way to it."""
        with self.together():
            self._db.executemany('INSERT OR REPLACE INTO copy VALUES (?, ?, ?, ?)',
                                 [(name, host.name, host.home, host.category) for name in inputs])
            self._db.executemany('DELETE FROM leftover WHERE key = ? AND host = ? AND home = ?',
                                 [(name, host.name, host.home) for name in inputs])

    def missing(self, name, host):
        """Record that an input is not on a host."""
        with self.together():
            self._db.execute('DELETE FROM copy WHERE input = ? AND host = ? AND home = ?',
                             (name, host.name, host.home))

    def drop_input(self, name):
        """Have the copies of an input removed from all hosts: no task needs it."""
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
        """Place a waiting task on the host where it was found.

        Returns it, or None if another process changed it meanwhile.
        """
        with self.together():
            return self._change(task, 'place', 'launching', 'found on ' + host.name, host=host.name,
                                home=host.home,
                                category=host.category, boot=boot, host_id=host_id, end='',
                                reason='', started=self._clock())

    def adopt_unknown(self, key, host, boot, host_id):
        """Turn a directory of ours that was found on a host into a task, so that its results are
        fetched.
        """
        name, _dot, attempt = key.partition('.')
        with self.together():
            if self._rows("SELECT 1 FROM task WHERE uuid = ? AND attempt = ? AND state <> 'done'",
                          (name, int(attempt))):
                return          # another process was faster
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
        """Record that a Leftover was removed.

        'clean' and 'purge' leave a tombstone, so that a late launch finds it; it is removed after
        keep_days.
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
        """Remove tasks and records of hosts that are older than keep_days; results stay.

        A task stays as long as results of it are kept on a host: it is needed to remove or retry
        them.
        """
        self._correct_times(keep_days)
        before = self._clock() - keep_days * 86400
        old = ("(SELECT id FROM task WHERE ended < ? AND state = 'done' AND uuid NOT IN "
               "(SELECT substr(key, 1, instr(key, '.') - 1) FROM leftover WHERE due >= ?))")
        if self._rows('SELECT 1 FROM task WHERE id IN %s LIMIT 1' % old, (before, NEVER)):
            with self.together():
                for table, column in (('event', 'task'), ('attempt', 'task'), ('task', 'id')):
                    self._db.execute('DELETE FROM %s WHERE %s IN %s' % (table, column, old),
                                     (before, NEVER))
            self._forget_batches()
        self.forget_hosts(before)

    def _forget_batches(self):
        """Remove batches without tasks."""
        # To check the foreign key, SQLite would read all tasks for each batch: an index that leaves
        # out tasks does not do.
        self._db.execute('PRAGMA foreign_keys = OFF')
        try:
            with self.together():
                self._db.execute(
                    "DELETE FROM batch WHERE NOT EXISTS (SELECT 1 FROM task WHERE state = 'new' "
                    "AND task.batch = batch.id) AND NOT EXISTS (SELECT 1 FROM task "
                    "WHERE state <> 'new' AND task.batch = batch.id)")
        finally:
            self._db.execute('PRAGMA foreign_keys = ON')

    def _correct_times(self, keep_days):
        """Set stored times that lie in the future to now, or their rows would stay for years.

        Hourly counts and probes are dropped instead.
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
        """Set columns unless another process has changed the task; to be called within a
        transaction.

        Returns the changed task, or None.
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


def _new_keys(master):
    """Yield random words for the keys of tasks; each begins with the name of the master."""
    while True:
        words = os.urandom(16 * KEYS_AT_ONCE).hex()
        for at in range(len(master), len(words), 32):
            yield master + words[at:at + 32 - len(master)]


_NOWHERE = dict(dict.fromkeys(('host', 'home', 'category', 'boot', 'host_id'), ''), started=None)


def _settled_text(task, end, code, reason, state, held):
    text = model.end_text(task, end, code, reason)
    return text + {'new': ', will be retried', 'held': ', held: ' + held}.get(state, '')


def _is_reached(limit):
    """Return whether as many tasks failed as --max-fails allows; limit: from Store._limit."""
    return limit is not None and limit[2] >= limit[1]


def _limit_text(limit):
    return '%d task%s of this addition failed (--max-fails %d)' % (
        limit[2], 's' * (limit[2] > 1), limit[1])
