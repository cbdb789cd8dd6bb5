"""What is stored about hosts: their health, last samples, probes, and how operations on them ended.

This module has all the SQL about hosts.
"""

import json

from lwt.hosts import health, sample
from lwt.workspace.database import Database


class History(Database):
    """The database of a workspace, and the queries about its hosts.  Use as a context manager."""

    def health(self):
        """Return {name: Health} of the hosts that ever failed or were excluded."""
        with self._errors():
            rows = self._db.execute('SELECT %s FROM health'
                                    % ', '.join(health.Health._fields)).fetchall()
        return {row[0]: _health(row) for row in rows}

    def change_health(self, name, change):
        """Replace the Health of a host by change(health); returns the new one."""
        with self.together():
            return self._change_health(name, change)

    def _change_health(self, name, change):
        fields = health.Health._fields
        row = self._db.execute('SELECT %s FROM health WHERE host = ?' % ', '.join(fields),
                               (name,)).fetchone()
        before = _health(row) if row else health.Health(name)
        after = change(before)
        if after != before:
            self._db.execute('INSERT OR REPLACE INTO health VALUES (%s)'
                             % ', '.join('?' * len(fields)), after)
        return after

    def add_endings(self, endings, told, change):
        """Record how operations ended and what hosts reported.

        endings: [(host, kind, reason)] of operations.
        told: [(host, Sample or None, problem)], with the reason why the host takes no task, or ''.
        change(health, kind, reason): returns the new Health.
        """
        now = self._clock()
        with self.together():
            for name, kind, reason in endings:
                self._change_health(
                    name, lambda before, kind=kind, reason=reason: change(before, kind, reason))
                self._add_up('ending', (name, int(now // 3600), kind), (1,))
            for name, taken, problem in told:
                self._keep_sample(name, now, taken, problem)

    def _keep_sample(self, name, now, taken, problem):
        if taken is not None:
            self._db.execute('INSERT OR REPLACE INTO sample VALUES (?, ?, ?, ?)',
                             (name, now, json.dumps(sample.to_json(taken)), problem))
            for user, cpu, memory in _uses(taken):
                self._add_up('usage', (name, int(now // 3600), user), (1, cpu, memory))
        elif not self._db.execute('UPDATE sample SET problem = ? WHERE host = ?',
                                  (problem, name)).rowcount:
            self._db.execute('INSERT INTO sample VALUES (?, ?, NULL, ?)', (name, now, problem))

    def _add_up(self, table, key, numbers):
        """Add numbers to the counts of a key's row."""
        columns = {'ending': (('host', 'hour', 'kind'), ('count',)),
                   'usage': (('host', 'hour', 'user'), ('count', 'cpu', 'memory'))}[table]
        changed = self._db.execute('UPDATE %s SET %s WHERE %s' % (
            table, ', '.join('%s = %s + ?' % (name, name) for name in columns[1]),
            ' AND '.join('%s = ?' % name for name in columns[0])), numbers + key)
        if not changed.rowcount:
            self._db.execute('INSERT INTO %s VALUES (%s)'
                             % (table, ', '.join('?' * len(key + numbers))), key + numbers)

    def samples(self):
        """Return {host: (time, Sample or None, problem)}, the last report of each host."""
        with self._errors():
            rows = self._db.execute('SELECT host, time, told, problem FROM sample').fetchall()
        return {host: (when, told and sample.from_json(json.loads(told)), problem)
                for host, when, told, problem in rows}

    def add_probes(self, told):
        """Record the results of probes: [(host, a dict that json can write)]."""
        with self.together():
            self._db.executemany('INSERT OR REPLACE INTO probe VALUES (?, ?, ?)',
                                 [(name, self._clock(), json.dumps(values))
                                  for name, values in told])

    def probes(self, name=None):
        """Return [(host, time, dict)] of all recorded probes, the oldest first; name: only of this
        host.
        """
        with self._errors():
            rows = self._db.execute(
                'SELECT host, time, told FROM probe WHERE ? IS NULL OR host = ? ORDER BY time',
                (name, name)).fetchall()
        return [(host, when, json.loads(told)) for host, when, told in rows]

    def endings(self):
        """Return [(host, kind, count)] of all recorded operations."""
        with self._errors():
            return self._db.execute(
                'SELECT host, kind, sum(count) FROM ending GROUP BY host, kind').fetchall()

    def endings_by_hour(self):
        """Return [(host, hour since 1970, kind, count)] of all recorded operations."""
        with self._errors():
            return self._db.execute('SELECT host, hour, kind, count FROM ending').fetchall()

    def usage(self):
        """Return [(host, user, samples, mean cpu, mean memory)] of all recorded samples.

        The user '' stands for all users together.
        """
        with self._errors():
            return self._db.execute(
                'SELECT host, user, sum(count), sum(cpu) / sum(count), sum(memory) / sum(count) '
                'FROM usage GROUP BY host, user').fetchall()

    def last_ends(self, host, since):
        """Return the health.TaskEnds of a host, the last one first.

        They are those of attempts that began after `since`, back to the last success on the host.
        """
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
        """Return how attempts ended on other hosts.

        numbers: tasks.  names: names of tasks.  since: the earliest start of attempts.
        Returns ({number: set of ends} of the tasks with these numbers, {(name, end, code): count}
        of all tasks with these names whose attempts began after `since`).
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

    def failed_attempts(self):
        """Return [(task number, attempt number, host, end time, end, code, reason)] of the attempts
        that did not succeed.
        """
        with self._errors():
            return self._db.execute('SELECT task, number, host, ended, "end", code, reason '
                                    'FROM attempt '
                                    "WHERE \"end\" NOT IN ('success', 'withdrawn')").fetchall()

    def forget_hosts(self, before):
        """Forget probes, endings and usage from before a time (seconds since 1970)."""
        hour = before // 3600
        if self._rows(
                'SELECT 1 FROM probe WHERE time < ? UNION SELECT 1 FROM ending WHERE hour < ? '
                'UNION '
            'SELECT 1 FROM usage WHERE hour < ? LIMIT 1', (before, hour, hour)):
            with self.together():
                self._db.execute('DELETE FROM probe WHERE time < ?', (before,))
                for table in ('ending', 'usage'):
                    self._db.execute('DELETE FROM %s WHERE hour < ?' % table, (hour,))


def _health(row):
    """Return the Health of a row.  Databases of earlier versions have the state "well"."""
    found = health.Health(*row)
    return found._replace(state='ok') if found.state == 'well' else found


def _uses(taken):
    """Yield (user, cpu, memory) of a Sample; user '' for all users together."""
    if taken.cpu is not None:
        yield '', taken.cpu, (taken.memory or 0) - (taken.free_memory or 0)
    for use in taken.users:
        yield use.user, use.cpu, use.memory
