"""What hosts hold: list it without changes, sort it by owner, and return it to the queue.

    known     an open task, or something scheduled for removal: the queue handles it
    home      its results are on this machine, or there are none: it is removed
    waiting   a waiting task of ours was found on the host (state.db is older than the host):
              the task continues on that host
    unknown   ours, but no task of state.db (state.db was lost): it becomes a task "found", so that
              its results are fetched
    missing   an open task has no directory: the next visit finds that, and the task is lost

The owner is known from the name alone, which begins with the name of its master.  Directories of
other masters are counted and never touched.  This module removes nothing itself: it commits a
leftover or a task, and the next visit acts on it, under the lock of the host.
"""

from __future__ import generator_stop

import re
from typing import NamedTuple

from lwt.hosts import sample
from lwt.remote import call, exit_status, host_limits
from lwt.tasks import launchers
from lwt.tasks.model import KEY, format_id
from lwt.tasks.host_queries import Leftover
from lwt.workspace.config import bounded
from lwt.workspace.hostlist import Host

INPUT = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}')
BEGUN = ('begun', 'ended')      # there may be results


class Seen(NamedTuple):
    """What a host reported.

    tasks: {key: kind}, as sh/doctor.sh prints them.
    processes: {key: number of processes with this key}.
    kib: the size of .lwt.
    has_home: whether the home exists.
    """

    host: Host
    verdict: exit_status.Verdict
    boot: str = ''
    host_id: str = ''
    kib: int = 0
    load: sample.Sample = sample.Sample()
    tasks: dict = {}
    inputs: tuple = ()
    processes: dict = {}
    has_home: bool = True


class Strange(NamedTuple):
    """Something on a host that should not be there, or that is missing.

    kind: as above, 'process' or 'input'.  name: a key or an input.
    """

    kind: str
    name: str
    task: object = None


class Known(NamedTuple):
    """Names that may be on hosts.

    open: the keys of tasks on hosts.
    all: the keys and inputs that may be on hosts, with those scheduled for removal.
    """

    open: frozenset
    all: frozenset


class Judgement(NamedTuple):
    """The numbers of open tasks, traces, leftovers and things of other masters on a host.

    strange: a tuple of Strange.
    """

    open: int
    traces: int
    leftovers: int
    others: int
    strange: tuple


def look(session, host):
    """Flow: list what a home holds; returns a Seen."""
    answer = yield from call.script(session, host, 'doctor', [host.home],
                                    stall=session.settings.stall, most=host_limits.LEFTOVERS)
    if not answer.verdict.ok:
        return Seen(host, exit_status.with_complaint(answer.verdict, answer.stderr))
    return parse(host, answer.verdict, answer.lines)


def parse(host, verdict, lines):
    """Parse the output of sh/doctor.sh; returns a Seen."""
    told, tasks, inputs, processes = {}, {}, [], {}
    for line in lines:
        words = line.split(' ')
        if words[0] == 'task' and len(words) == 3 and KEY.fullmatch(words[1]):
            tasks[words[1]] = words[2]
        elif words[0] == 'input' and len(words) == 2 and INPUT.fullmatch(words[1]):
            inputs.append(words[1])
        elif words[0] == 'process' and len(words) == 3 and KEY.fullmatch(words[2]):
            processes[words[2]] = processes.get(words[2], 0) + 1
        elif len(words) == 2:
            told[words[0]] = words[1][:host_limits.ID]
    return Seen(host, verdict, told.get('boot', ''), told.get('id', ''),
                bounded(told.get('kib', ''), 0, 1 << 50) or 0,
                sample.parse(lines), tasks, tuple(inputs), processes, 'no' not in told)


def known(store):
    """Return the Known of now.

    Ask before and after a look, because things appear and disappear meanwhile.
    """
    return Known(frozenset(store.keys_on_hosts()), frozenset(store.expected_on_hosts()))


def other_views(looks):
    """Return the Seen of homes that another host of these looks shares, as their ids show (NFS).

    The contents of such a home are handled from the first host only.
    """
    found, ids = [], set()
    for seen in looks:
        if seen.host_id and seen.host_id in ids:
            found.append(seen)
        ids.add(seen.host_id)
    return found


def without_files(judgement):
    """Return a Judgement on a home that another host handles, with what only this host shows.

    That is missing tasks of this host, and processes.
    """
    strange = tuple(one for one in judgement.strange if one.kind in ('missing', 'process'))
    return judgement._replace(strange=strange)


def at_home(store, looks):
    """Return {key: the Hosts on which its processes may run}.

    A host counts if it has the directory of the task, or if the task was placed on it.  Two hosts
    may be one machine, and then each sees the other's processes.
    """
    found = {}
    for seen in looks:
        for key in set(seen.tasks) | set(seen.processes):
            task = store.of_key(key)[0]
            if key in seen.tasks or task is not None and task.host == seen.host.name:
                found.setdefault(key, set()).add(seen.host)
    return found


def judge(store, master, seen, before, homes):
    """Return the Judgement on a Seen.

    master: the name of our master.
    before: the Known from before the look.
    homes: the result of at_home.
    """
    def is_ours(name):
        return ('.%s.' % master in name) if name in seen.inputs else name.startswith(master)

    now = known(store)
    may_be, open_keys = before.all | now.all, before.open | now.open
    here = [task for task in store.on_host(seen.host.name) if task.home == seen.host.home]
    strange = [_of_directory(store, key, kind)
               for key, kind in sorted(seen.tasks.items()) if is_ours(key) and key not in may_be]
    strange += [Strange('input', name) for name in seen.inputs
                if is_ours(name) and name not in may_be and not store.input_is_wanted(name)]
    strange += [Strange('missing', task.key, task) for task in here
                if task.key in before.all and task.key not in seen.tasks
                and task.state not in ('launching', 'withdrawing')]
    named = {item.name for item in strange}
    strange += [Strange('process', key, store.of_key(key)[0]) for key in sorted(seen.processes)
                if is_ours(key) and key not in open_keys | named
                and seen.host in homes.get(key, (seen.host,))]
    others = sum(not is_ours(name) and name not in may_be
                 for name in list(seen.tasks) + list(seen.inputs))
    traces = sum(kind == 'trace' and is_ours(key) for key, kind in seen.tasks.items())
    return Judgement(len(here), traces, len(store.leftovers(seen.host.name)), others,
                     tuple(strange))


def _of_directory(store, key, kind):
    """Return the Strange of a directory that is not expected."""
    task, end = store.of_key(key)
    if task is not None and task.state == 'new' and task.key == key:
        return Strange('waiting', key, task)
    is_home = kind not in BEGUN or end not in ('', 'lost', 'withdrawn')
    return Strange('home' if is_home else 'unknown', key, task)


def hand_over(store, seen, strange):
    """Commit what the next visit does about a Strange."""
    host, name = seen.host, strange.name
    if strange.kind == 'waiting':
        store.sent([strange.task.input], host)
        store.adopt(strange.task, host, launchers.boot(host, seen.boot), seen.host_id)
    elif strange.kind == 'unknown':
        store.adopt_unknown(name, host, launchers.boot(host, seen.boot), seen.host_id)
    elif strange.kind != 'missing':
        store.leave(Leftover(name, host.name, host.home, host.category,
                             'drop' if strange.kind == 'input' else 'purge'))


# kind: the text about several of them, and what --fix did about them.
WORDS = {'home': ('directories of finished tasks: %s', 'removed'),
         'input': ('inputs that no task needs: %s', 'removed'),
         'process': ('processes of finished tasks: %s', 'ended'),
         'waiting': ('on this host, although waiting for a host: %s', 'continued on this host'),
         'unknown': ('directories of unknown tasks: %s', 'added as tasks named "found"'),
         'missing': ('open tasks without a directory: %s', 'lost, retried as retries allow')}


def label(strange):
    """Return how lists name a Strange: the id and name of its task, else its own name."""
    if strange.task is None:
        return strange.name
    return '%s %s' % (format_id(strange.task.id), strange.task.name)
