"""What a login node reports about its cluster (see sh/clusterlib.sh).  Pure."""

from typing import NamedTuple, Optional

from lwt.errors import printable_text
from lwt.workspace.config import bounded

MOST = 10 ** 9              # the largest number that is accepted
# Seconds in which a host may be silent while it asks Slurm twice: slurm_limit in clusterlib.sh.
PATIENCE = 25.0


class Cluster(NamedTuple):
    """The state of a partition of Slurm: numbers of nodes, idle nodes, cpus, free cpus (of nodes
    that take jobs) and pending jobs of all users.

    problem: why it is not known, or ''; then the numbers are None.
    """

    partition: str = ''
    nodes: Optional[int] = None
    idle_nodes: Optional[int] = None
    cpus: Optional[int] = None
    free_cpus: Optional[int] = None
    pending_jobs: Optional[int] = None
    problem: str = ''

    @property
    def text(self):
        """It as words for a table."""
        if self.problem:
            return 'Slurm: ' + self.problem
        return 'Slurm partition %s: %d node%s (%d idle), %d of %d cpus free, %d pending job%s' % (
            self.partition, self.nodes, 's' * (self.nodes != 1), self.idle_nodes, self.free_cpus,
            self.cpus, self.pending_jobs, 's' * (self.pending_jobs != 1))


def script(host, name):
    """The script of scripts.SHORT_SCRIPTS to use in place of "sample" or "probe"."""
    return 'slurm-' + name if host.is_slurm else name


def words(host):
    """The arguments that this script has in addition."""
    return [host.get('partition')] if host.is_slurm else []


def patience(host):
    """Seconds that this script may take in addition."""
    return PATIENCE if host.is_slurm else 0.0


def parse(host, lines):
    """The Cluster in the lines that a host sent; None for a host without a cluster."""
    if not host.is_slurm:
        return None
    for line in lines:
        word, _space, rest = line.partition(' ')
        if word == 'slurm!':
            return Cluster(problem=printable_text(rest) or 'unknown')
        if word == 'slurm':
            found = _read(rest.split(' '))
            return found or Cluster(problem='invalid value: ' + printable_text(rest, 60))
    return Cluster(problem='not reported')


def _read(fields):
    """The Cluster in these words, or None if they are invalid."""
    numbers = [bounded(text, 0, MOST) for text in fields[1:]]
    if len(numbers) != 5 or None in numbers or not fields[0]:
        return None
    return Cluster(printable_text(fields[0]), *numbers)


def to_json(found):
    """{'slurm': a Cluster as a dict}, or {} for None."""
    return {} if found is None else {'slurm': dict(found._asdict())}
