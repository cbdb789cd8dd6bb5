"""Capacity: how many tasks a host has room for, and why it takes none.  Pure.

A limit comes from the line of the host in host.list, else from the section of its category in
lwt.conf, else from the option.  Most limits have one value for the day and one for the night.  Cpu
usage is counted as in ps and top: 100 is one core.
"""

from typing import NamedTuple

from lwt.workspace import config
from lwt.workspace.config import bounded


JOBS = 200                      # default number of jobs in the queue of a cluster
NOT_ASKED = 'not asked yet'


class FreeSlots(NamedTuple):
    """The slots of a host.

    slots: the number of slots, free or not.  reasons: why it takes no task at all now.
    """

    slots: int
    reasons: tuple = ()


def setting(key, host, settings):
    """The value of a limit for a host."""
    own = dict(host.extra).get(key)
    if own is not None:
        return config.host_value(key, own, '%s: %s' % (host.name, key))
    return settings.categories.get(host.category, {}).get(key, getattr(settings, key))


def is_night(night, hour):
    """Return True if an hour is within the night; night: its first and its last hour."""
    first, last = night
    return first <= hour <= last if first <= last else hour >= first or hour <= last


def room(host, sample, settings, hour):
    """The FreeSlots of a host with this Sample, at an hour of the day."""
    time = 'night' if is_night(setting('night', host, settings), hour) else 'day'
    slots = bounded(host.get('slots'), 0, 10000)
    if slots is None:
        default = JOBS if host.is_slurm else sample.cores or 1
        slots = setting('max_dtask_' + time, host, settings) or default
    reasons = [] if slots else ['slots=0 in host.list']
    for key, used, whose in (('max_cpu_', sample.cpu, 'cpu usage'),
                             ('max_cpu_me_', sample.own_cpu, 'your cpu usage')):
        # The cpu and memory of a login node do not matter to jobs.
        most = 0 if host.is_slurm else setting(key + time, host, settings)
        if most and used is None:
            reasons.append('%s unknown (%s%s is %d%%)' % (whose, key, time, most))
        elif most and used > most:
            reasons.append('%s %d%% is above %s%s (%d%%)' % (whose, used, key, time, most))
    for key, free, what in (('min_memory', sample.free_memory, 'memory'),
                            ('min_disk', sample.free_disk, 'disk space')):
        least = 0 if host.is_slurm and what == 'memory' else setting(key, host, settings)
        if least and free is None:
            reasons.append('free %s unknown (%s is %d MB)' % (what, key, least))
        elif least and free < least * 1000:
            reasons.append('free %s %d MB is below %s (%d MB)' % (what, free // 1000, key, least))
    return FreeSlots(slots, tuple(reasons))


def watches_cpu(host, settings):
    """Return True if a limit needs the cpu usage, which takes time to measure."""
    return not host.is_slurm and any(setting(key, host, settings) for key in config.HOST_KEYS
                                     if key.startswith('max_cpu'))


def demand(host, desc):
    """The desc of a task as far as it concerns a host itself: on a login node, a task is one job,
    and Slurm counts its cpus and memory.
    """
    return desc._replace(slots=1, memory=0) if host.is_slurm else desc


def needed_slots(desc, slots):
    """The slots that a task takes on a host.  A task that wants more than all takes all of them."""
    return min(desc.slots, max(1, slots))


def mismatch(host, desc):
    """Why the desc of a task excludes the host, or ''."""
    named = desc.hosts.replace(',', ' ').split()
    if desc.category not in ('', host.category):
        return 'category is %s, the task requires %s' % (host.category, desc.category)
    is_named = not named or host.name in named
    return '' if is_named else 'not among the hosts of the task: %s' % ' '.join(named)


def never(host, sample, desc, settings):
    """(kind, why) a task of this desc can never run on a host, or None.

    sample: the Sample of the host, or None if it sent none.  Only reasons that do not change by
    themselves count.
    """
    reason = mismatch(host, desc)
    if reason:
        return 'mismatch', reason
    if bounded(host.get('slots'), 0, 10000) == 0:
        return 'slots', 'slots=0 in host.list'
    if sample is None:
        return None
    desc = demand(host, desc)
    for kind, wanted, there in (('memory', desc.memory, sample.memory),
                                ('disk', desc.disk, sample.space)):
        if there and wanted > there:                # 0: unknown
            return kind, '%s: %s in total, the task needs %s' % (kind, human(there), human(wanted))
    for key, there in (('min_memory', sample.memory), ('min_disk', sample.space)):
        is_on_nodes = host.is_slurm and key == 'min_memory'
        least = 0 if is_on_nodes else setting(key, host, settings) * 1000
        if there and least > there:
            return 'limit', '%s is %s, but the total is %s' % (key, human(least), human(there))
    return None


def human(kib):
    """A number of KiB with a unit."""
    value = float(kib)
    for unit in ('KB', 'MB', 'GB', 'TB'):
        if value < 1000 or unit == 'TB':
            return '%.0f %s' % (value, unit) if unit == 'KB' else '%.1f %s' % (value, unit)
        value /= 1024
    return ''


def accepts(host, desc):
    """Return True if the desc of a task allows the host."""
    return not mismatch(host, desc)


def better_place(host, avoided, others, refuse):
    """The name of a host that can run a task that failed on this host, or ''.

    avoided: the names of hosts on which the task failed.  If this host is not one of them, the
    result is ''.
    others: all hosts that may get tasks.
    refuse(other): why a host does not take the task, or ''.
    """
    if host.name not in avoided:
        return ''
    return next((other.name for other in others
                 if other.name not in avoided and refuse(other) in ('', NOT_ASKED)), '')


def refusal(host, health, told, used, desc, settings, hour):
    """The first of the refusals, or ''."""
    return next(iter(refusals(host, health, told, used, desc, settings, hour)), '')


def refusals(host, health, told, used, desc, settings, hour):
    """All reasons why a host does not take a task of this desc now; [] if it takes it.

    health: its health.Health, or None.  told: (time, Sample or None, problem) as it last reported,
    or None.  used: the slots that are in use.
    """
    found = [mismatch(host, desc)]
    if health is not None and not health.takes_tasks:
        state = 'excluded' if health.state == 'held' else 'quarantined'
        found.append('%s: %s' % (state, health.reason))
    sample = told[1] if told is not None and not told[2] else None
    if sample is None:
        # An idle host that can take no task anyway is not asked for its load.
        unknown = NOT_ASKED if told is None else told[2] or 'no load report yet'
        found += [] if any(found) else [unknown]
        return [reason for reason in found if reason]
    slots, reasons = room(host, sample, settings, hour)
    found += reasons
    desc = demand(host, desc)
    needed = needed_slots(desc, slots)
    if slots and needed > slots - used:
        found.append('%d of its %d slots %s taken, the task needs %d'
                     % (used, slots, 'is' if used == 1 else 'are', needed))
    for wanted, free, what in ((desc.memory, sample.free_memory, 'memory'),
                               (desc.disk, sample.free_disk, 'disk')):
        if free is not None and wanted > free:
            found.append('free %s: %s, the task needs %s' % (what, human(free), human(wanted)))
    return [reason for reason in found if reason]
