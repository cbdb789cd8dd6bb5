"""Placement: which of the waiting tasks a host gets in one call.

`fairness` says in which order tasks are offered.  Placement takes a task if the host accepts it and
has room for it, if the task has not failed on this host while another host could run it, and if its
input is on the host or small enough to be sent in the call.
"""

import math
import time

from lwt.hosts.capacity import accepts, better_place, demand, needed_slots, refusal
from lwt.tasks import requests, results
from lwt.tasks.fairness import picks

MOST_AT_ONCE = 500      # new tasks in one call
# Seconds after its start in which a task's memory and disk count as taken, because the host's
# report of its load does not show them yet.
RESERVED = 15.0


class Placement:
    """Chooses new tasks for one host.

    context: a visit.Context.  target: the visit.Target.  left: the SlotsLeft of the host.  has_tar:
    see visit_answers.HostReport.
    """

    def __init__(self, context, target, host, left, has_tar):
        self._context = context
        self._store = context.store
        self._target = target
        self._host = host
        self._left = left
        self._has_tar = has_tar
        self._loads = requests.Loads(context.workspace, requests.BULKY << 10)
        self._told = []
        self.copies = self._store.copies(host)      # the inputs that are on the host

    def choose(self, groups):
        """Choose among queries.Groups that wait.

        Returns ([(Group, number of its tasks)], messages about tasks that are held).
        """
        return picks(groups, self._store.active(), self._take), self._told

    def _take(self, group):
        """Whether the host gets one more task of this group."""
        desc = demand(self._host, group.desc)
        if (self._left.is_over or not accepts(self._host, group.desc) or self._is_avoided(group)
            or not self._left.has(desc)):
            return False
        if not self._context.workspace.has_input(group.input):
            self._hold(group,
                       'its input task/%s is gone; restore it and resume the task, or kill it'
                       % group.input)
            return False
        if group.input not in self.copies and not (self._has_tar
                                                   and self._loads.take(group.input)):
            if not self._has_tar or self._loads.is_bulky(group.input):
                self._context.carry(requests.LargeTransfer('input', group.input, self._host, group,
                                                           not self._has_tar))
            return False
        self._left.take(desc)
        return True

    def _hold(self, group, reason):
        """Hold all waiting tasks of the group's input until the user acts."""
        with self._store.together():
            for task in self._store.chosen(('new',), names=(group.name,)):
                if (task.input == group.input
                    and self._store.advance(task, 'suspend', 'held: ' + reason, reason=reason)):
                    results.tell(task, '%s: held: %s' % (task.label, reason), self._told)

    def _is_avoided(self, group):
        """Whether this task has failed on the host, while another host can run it now or soon."""
        hour = time.localtime(self._context.clock()).tm_hour

        def refuse(other):
            known = self._context.health_log.look().get(other.name)
            return refusal(other, known, self._store.samples().get(other.name), 0, group.desc,
                           self._context.session.settings, hour)

        return better_place(self._host, group.avoid.split(), self._target.others, refuse) != ''


class SlotsLeft:
    """The slots, memory and disk of a host that are left while it gets tasks.

    has: its capacity.FreeSlots.  load: a sample.Sample; a value that it lacks is not limited.
    there: the Tasks on the host.  now: seconds since 1970.
    more: tasks beyond its slots, which may wait on the host for a free slot.
    """

    def __init__(self, has, load, there, now, more):
        self._all = 0 if has.reasons else has.slots
        self._slots = self._all - slots_of(there, self._all)
        # Only tasks of one slot may wait on the host.
        self._more = more if all(task.desc.slots == 1 for task in there) else 0
        self._memory = math.inf if load.free_memory is None else load.free_memory
        self._disk = math.inf if load.free_disk is None else load.free_disk
        self._count = 0
        for task in there:
            if task.started and abs(now - task.started) < RESERVED:
                self._reserve(task.desc)

    @property
    def is_over(self):
        """Whether there is room for no task at all."""
        return self._slots + self._more < 1 or self._count >= MOST_AT_ONCE

    def has(self, desc):
        """Whether there is room for one more task of this desc."""
        slots = self._slots + self._more * (desc.slots == 1)
        return (slots >= needed_slots(desc, self._all) and self._all > 0
                and desc.memory <= self._memory
                and desc.disk <= self._disk)

    def take(self, desc):
        """Count one more task of this desc."""
        self._count += 1
        self._more = self._more if desc.slots == 1 else 0
        self._slots -= needed_slots(desc, self._all)
        self._reserve(desc)

    def _reserve(self, desc):
        self._memory -= desc.memory
        self._disk -= desc.disk


def slots_of(there, slots):
    """Return the number of slots that these Tasks take on a host with `slots` slots."""
    return sum(needed_slots(task.desc, slots) for task in there if task.state != 'fetching')
