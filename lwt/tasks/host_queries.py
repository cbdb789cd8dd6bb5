"""What tasks have on hosts: the SQL that reads it."""

from typing import NamedTuple

from lwt.hosts.history import History
from lwt.tasks import model

NEVER = 1e12            # due time of a leftover that stays until its task is removed or retried
# These begin with the condition of the index of waiting tasks, or with that of the indexes of all
# other tasks; SQLite uses such an index only if a query repeats its condition literally.
WAITS = "task.state = 'new'"
OTHER = "task.state <> 'new'"
# On a host:
BUSY = OTHER + " AND task.state IN (%s)" % ', '.join(map(repr, model.ASKED))


class Leftover(NamedTuple):
    """A directory on a host that a visit removes.  verb: a request of sh/control.sh."""

    key: str
    host: str
    home: str
    category: str
    verb: str


class HostQueries(History):
    """What tasks have on the hosts of a workspace, besides the history of these hosts."""

    def started_times(self):
        """When each task that is on a host was started, in seconds since 1970."""
        return [row[0] for row in self._rows(
            'SELECT started FROM task WHERE %s AND started IS NOT NULL' % BUSY)]

    def busy_hosts(self):
        """(name, home, category) of every host that holds a task or a leftover that is due."""
        return self._rows('SELECT host, home, category FROM task WHERE %s UNION '
                          'SELECT host, home, category FROM leftover WHERE due <= ?' % BUSY,
                          (self._clock(),))

    def leftovers(self, name):
        """The Leftovers on a host that are due."""
        rows = self._rows(
            'SELECT key, host, home, category, verb FROM leftover WHERE host = ? AND due <= ?',
            (name, self._clock()))
        return [Leftover(*row) for row in rows]

    def expected_on_hosts(self):
        """The keys and inputs that may lie on hosts: those of tasks, copies and leftovers.

        Not by host, because several hosts may share one home, as on NFS.
        """
        rows = self._rows('SELECT key FROM leftover UNION SELECT input FROM copy')
        return {row[0] for row in rows} | self.keys_on_hosts()

    def keys_on_hosts(self):
        """The keys of all tasks that are on hosts."""
        return {'%s.%d' % row
                for row in self._rows('SELECT uuid, attempt FROM task WHERE ' + BUSY)}

    def all_hosts(self):
        """(name, home, category) of every host that may hold a task, a leftover or an input."""
        return self._rows(
            'SELECT host, home, category FROM task WHERE %s UNION '
            'SELECT host, home, category FROM leftover UNION '
            'SELECT host, home, category FROM copy' % BUSY)

    def copies(self, host):
        """The inputs that are on a host, in its home."""
        return {row[0] for row in self._rows('SELECT input FROM copy WHERE host = ? AND home = ?',
                                             (host.name, host.home))}

    def copied_inputs(self):
        """The inputs that are on any host."""
        return [row[0] for row in self._rows('SELECT DISTINCT input FROM copy')]

    def kept(self, task):
        """The directories of a task that stay on hosts until the task is removed or retried.

        Returns [(attempt, host, home)].
        """
        rows = self._rows(
            'SELECT key, host, home FROM leftover WHERE key > ? AND key < ? AND due >= ?',
            key_bounds(task.uuid) + (NEVER,))
        return sorted((int(key.rpartition('.')[2]), host, home) for key, host, home in rows)

    def hosts_that_keep(self, chosen):
        """The names of the hosts that keep directories of a TaskList of tasks; see kept."""
        found = {}
        for key, host in self._rows('SELECT key, host FROM leftover WHERE due >= ?', (NEVER,)):
            found.setdefault(key.partition('.')[0], set()).add(host)
        return {host for task in chosen for host in found.get(task.uuid, ())} if found else set()


def key_bounds(word):
    """The lower and upper bound of the keys of a task's attempts, which are UUID.NUMBER.

    word: the uuid.
    """
    return word + '.', word + '/'
