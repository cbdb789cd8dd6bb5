"""A sample: what a host reports about its load (see sh/samplelib.sh).  Pure.

Hosts are not trusted with numbers: each must be a whole number within bounds, and any other value
is listed as nonsense.
"""

from typing import NamedTuple, Optional

from lwt.errors import printable
from lwt.remote import host_limits
from lwt.workspace.config import bounded


class Use(NamedTuple):
    """What one user uses on a host: cpu in percent of a core, resident memory in KiB, processes."""

    user: str
    cpu: int
    memory: int
    processes: int


class Sample(NamedTuple):
    """What a host reported; None for a value that is missing or invalid.

    load: the mean number of processes ready to run in the last minute.
    memory, free_memory: KiB.  free_disk, space: KiB free and in total on the file system of the
        home.
    tasks: tasks that run on it, of any master.
    cpu, own_cpu: cpu usage in percent, 100 per core, of all users and of the login user.
    users: the users with the highest usage.
    nonsense: invalid values, as reported.
    machine: identifies a machine with several names; '' if unknown.
    """

    cores: Optional[int] = None
    load: Optional[float] = None
    memory: Optional[int] = None
    free_memory: Optional[int] = None
    free_disk: Optional[int] = None
    tasks: Optional[int] = None
    cpu: Optional[int] = None
    own_cpu: Optional[int] = None
    users: tuple = ()
    nonsense: tuple = ()
    machine: str = ''
    space: Optional[int] = None


def parse(lines):
    """Return the Sample of the lines that begin with "sample", "user" or "machine"; others are
    skipped.
    """
    told, users, nonsense, machine = {}, [], [], ''
    for line in lines:
        word, _space, rest = line.partition(' ')
        if word == 'sample':
            for part in rest.split(' '):
                key, _equals, text = part.partition('=')
                number = (bounded(text, int(key == 'cores'), host_limits.LOAD[key])
                          if key in host_limits.LOAD else None)
                if number is not None:
                    told[key] = number
                elif len(nonsense) < host_limits.LOAD_NONSENSE:
                    nonsense.append(printable(part, 30))
        elif word == 'user' and len(users) < host_limits.LOAD_USERS:
            use = _use(rest.split(' '))
            users += [use] if use else []
            nonsense += ([] if use or len(nonsense) >= host_limits.LOAD_NONSENSE
                         else [printable(line, 30)])
        elif word == 'machine' and rest.isprintable():
            machine = rest[:host_limits.MACHINE]
    load = told.get('load')
    return Sample(told.get('cores'), None if load is None else load / 100, told.get('memory'),
                  told.get('free'),
                  told.get('disk'), told.get('tasks'), told.get('cpu'), told.get('me'),
                  tuple(users), tuple(nonsense),
                  machine, told.get('space'))


def _use(words):
    """Return the Use that these words report, or None if they are invalid."""
    if len(words) != 4 or not 0 < len(words[0]) <= 32 or not words[0].isprintable():
        return None
    numbers = [bounded(text, 0, most)
               for text, most in zip(words[1:],
                                     (host_limits.LOAD['cpu'], host_limits.KIB, 10 ** 7))]
    return None if None in numbers else Use(words[0], *numbers)


def at(host, sample):
    """Return the Sample of a host, with a machine of its own for a further home on this machine.

    Several homes on this machine, listed on purpose as hosts of the category local, count as
    different machines.
    """
    is_further = host.is_local and host.home != '~' and sample.machine
    return sample._replace(machine='%s %s' % (sample.machine, host.home)) if is_further else sample


def to_json(sample):
    """Return a Sample as a dict that json can write."""
    return dict(sample._asdict(), users=[dict(use._asdict()) for use in sample.users],
                nonsense=list(sample.nonsense))


def from_json(told):
    """Return the Sample of a dict from to_json."""
    return Sample(**dict(told, users=tuple(Use(**use) for use in told['users']),
                         nonsense=tuple(told['nonsense'])))
