"""A sample: what a host reports about its load (see sh/samplelib.sh).  Pure.

A host is not trusted with numbers: each is a whole one within bounds or it is none, and what was
none is named.
"""

from typing import NamedTuple, Optional

from lwt.errors import printable
from lwt.remote import budgets
from lwt.workspace.config import bounded


class Use(NamedTuple):
    """What one user has of a host: cpu in percent of a core, resident memory in KiB, processes."""

    user: str
    cpu: int
    memory: int
    processes: int


class Sample(NamedTuple):
    """What a host told; None where it told nothing, or nonsense.

    load: the processes that want to run, the mean of a minute.  memory, free_memory: KiB.
    free_disk: KiB in the home. tasks: those that run there, of whatever master.  cpu, own_cpu:
    percent, 100 for each core in use, by all and by the user that we are there.  users: those that
    use most.  nonsense: what could not be taken, as it was told. space: KiB of the file system of
    the home. machine: the same for all names of one machine, '' where that is not known.
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
    """The Sample of the lines that begin with "sample" or "user"; others are passed over."""
    told, users, nonsense, machine = {}, [], [], ''
    for line in lines:
        word, _space, rest = line.partition(' ')
        if word == 'sample':
            for part in rest.split(' '):
                key, _equals, text = part.partition('=')
                number = (bounded(text, int(key == 'cores'), budgets.LOAD[key])
                          if key in budgets.LOAD else None)
                if number is not None:
                    told[key] = number
                elif len(nonsense) < budgets.LOAD_NONSENSE:
                    nonsense.append(printable(part, 30))
        elif word == 'user' and len(users) < budgets.LOAD_USERS:
            use = _use(rest.split(' '))
            users += [use] if use else []
            nonsense += ([] if use or len(nonsense) >= budgets.LOAD_NONSENSE
                         else [printable(line, 30)])
        elif word == 'machine' and rest.isprintable():
            machine = rest[:budgets.MACHINE]
    load = told.get('load')
    return Sample(told.get('cores'), None if load is None else load / 100, told.get('memory'),
                  told.get('free'),
                  told.get('disk'), told.get('tasks'), told.get('cpu'), told.get('me'),
                  tuple(users), tuple(nonsense),
                  machine, told.get('space'))


def _use(words):
    """The Use that these words tell, or None."""
    if len(words) != 4 or not 0 < len(words[0]) <= 32 or not words[0].isprintable():
        return None
    numbers = [bounded(text, 0, most)
               for text, most in zip(words[1:], (budgets.LOAD['cpu'], budgets.KIB, 10 ** 7))]
    return None if None in numbers else Use(words[0], *numbers)


def at(host, sample):
    """The Sample that a host told.  Several homes on this machine that are listed on purpose, as
    hosts of the category local, are taken for different machines."""
    is_further = host.is_local and host.home != '~' and sample.machine
    return sample._replace(machine='%s %s' % (sample.machine, host.home)) if is_further else sample


def to_json(sample):
    """A Sample as a dict that json can write."""
    return dict(sample._asdict(), users=[dict(use._asdict()) for use in sample.users],
                nonsense=list(sample.nonsense))


def from_json(told):
    """The Sample of such a dict."""
    return Sample(**dict(told, users=tuple(Use(**use) for use in told['users']),
                         nonsense=tuple(told['nonsense'])))
