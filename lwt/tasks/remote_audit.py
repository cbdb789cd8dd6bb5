"""What lies on hosts: looked at without changes, sorted by owner, and returned to the queue.

    known     an open task is there, or it is to be removed in time: the queue sees to it
    home      its results are here already, or there are none: it is removed
    waiting   a task of ours that waits was found there (the state is older than the host): it is
              looked after there
    unknown   of ours, and nobody knows it (the state was lost): it becomes a task "found", so that
              its results come home
    missing   an open task is not there: the next visit finds that out, and makes it lost

Whose it is is told by its name alone, which begins with that of its master: what another master
made is counted, and never touched.  Nothing is removed here: what is to be is committed as a
leftover or a task, and the next visit does it, under its lock.
"""

from __future__ import generator_stop

import re
from typing import NamedTuple

from lwt.hosts import sample
from lwt.remote import budgets, call, verdicts
from lwt.tasks.model import KEY, format_id
from lwt.tasks.queries import Leftover
from lwt.workspace.config import bounded
from lwt.workspace.hostlist import Host

INPUT = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}')
BEGUN = ('begun', 'ended')      # there may be results


class Seen(NamedTuple):
    """What a host told.

    tasks: {key: kind}, as sh/doctor.sh has them.  processes: {key: how many carry it}.  kib: of
    .lwt. has_home: is the home there?
    """

    host: Host
    verdict: verdicts.Verdict
    boot: str = ''
    host_id: str = ''
    kib: int = 0
    load: sample.Sample = sample.Sample()
    tasks: dict = {}
    inputs: tuple = ()
    processes: dict = {}
    has_home: bool = True


class Strange(NamedTuple):
    """What should not be so on a host.  kind: as above, 'process' or 'input'; name: a key or an
    input.
    """

    kind: str
    name: str
    task: object = None


class Known(NamedTuple):
    """The keys of the tasks that are on any host; and what may lie on hosts: keys and inputs, with
    those that are to be removed in time."""

    open: frozenset
    all: frozenset


class Judgement(NamedTuple):
    """What is on a host: of open tasks, traces, what is to be removed in time, of other masters;
    and what should not be so.
    """

    open: int
    traces: int
    leftovers: int
    others: int
    strange: tuple


def look(session, host):
    """Flow: look at a home; returns a Seen."""
    answer = yield from call.script(session, host, 'doctor', [host.home],
                                    stall=session.settings.stall, most=budgets.LEFTOVERS)
    if not answer.verdict.ok:
        return Seen(host, verdicts.with_complaint(answer.verdict, answer.stderr))
    return parse(host, answer.verdict, answer.lines)


def parse(host, verdict, lines):
    """The Seen of what sh/doctor.sh printed."""
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
            told[words[0]] = words[1][:budgets.ID]
    return Seen(host, verdict, told.get('boot', ''), told.get('id', ''),
                bounded(told.get('kib', ''), 0, 1 << 50) or 0,
                sample.parse(lines), tasks, tuple(inputs), processes, 'no' not in told)


def known(store):
    """The Known of now: to be asked before and after a look, for things come and go meanwhile."""
    return Known(frozenset(store.keys_on_hosts()), frozenset(store.expected_on_hosts()))


def other_views(looks):
    """The Seen of homes that another host of these looks has as well, as its id tells (NFS).

    What lies in such a home is looked after from the first host only.
    """
    found, ids = [], set()
    for seen in looks:
        if seen.host_id and seen.host_id in ids:
            found.append(seen)
        ids.add(seen.host_id)
    return found


def without_files(judgement):
    """A Judgement on a home that is looked after from another host: what is only seen from here.

    That is tasks of this host that are missing, and processes.
    """
    strange = tuple(one for one in judgement.strange if one.kind in ('missing', 'process'))
    return judgement._replace(strange=strange)


def at_home(store, looks):
    """{key: the Hosts where processes of it belong}: its directory is there, or it was placed
    there.

    Two hosts may be one machine, and see each other's processes.
    """
    found = {}
    for seen in looks:
        for key in set(seen.tasks) | set(seen.processes):
            task = store.of_key(key)[0]
            if key in seen.tasks or task is not None and task.host == seen.host.name:
                found.setdefault(key, set()).add(seen.host)
    return found


def judge(store, master, seen, before, homes):
    """The Judgement on what was seen.

    master: the name of ours.  before: the Known of before the look.  homes: what at_home gives.
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
    """The Strange of a directory that nobody expects."""
    task, end = store.of_key(key)
    if task is not None and task.state == 'new' and task.key == key:
        return Strange('waiting', key, task)
    is_home = kind not in BEGUN or end not in ('', 'lost', 'withdrawn')
    return Strange('home' if is_home else 'unknown', key, task)


def hand_over(store, seen, strange):
    """Commit what the next visit is to do about a Strange."""
    host, name = seen.host, strange.name
    if strange.kind == 'waiting':
        store.sent([strange.task.input], host)
        store.adopt(strange.task, host, seen.boot, seen.host_id)
    elif strange.kind == 'unknown':
        store.adopt_unknown(name, host, seen.boot, seen.host_id)
    elif strange.kind != 'missing':
        store.leave(Leftover(name, host.name, host.home, host.category,
                             'drop' if strange.kind == 'input' else 'purge'))


# kind: how several of it are told; what --fix has done about them in the end.
WORDS = {'home': ('directories of finished tasks: %s', 'removed'),
         'input': ('inputs that no task needs: %s', 'removed'),
         'process': ('processes of finished tasks: %s', 'ended'),
         'waiting': ('on this host, although waiting for a host: %s', 'continued on this host'),
         'unknown': ('directories of unknown tasks: %s', 'added as tasks named "found"'),
         'missing': ('open tasks without a directory: %s', 'lost, retried as retries allow')}


def label(strange):
    """How lists call a Strange: the id and name of its task, else its own name."""
    if strange.task is None:
        return strange.name
    return '%s %s' % (format_id(strange.task.id), strange.task.name)
