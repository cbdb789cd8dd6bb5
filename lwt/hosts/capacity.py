"""Capacity: how many tasks a host has room for, and why it takes none.  Pure.

A limit is what the host's own line in the host list says, else what the section of its category in
lwt.conf says, else the option.  Each limit has a value by day and one by night.  Cpu counts as ps
and top have it: 100 is one core.
"""

from typing import NamedTuple

from lwt.workspace import config
from lwt.workspace.config import bounded


NOT_ASKED = 'not asked yet'


class FreeSlots(NamedTuple):
    """slots: the task places of a host, those that are taken among them.  reasons: why it takes no
    task now, whatever task.
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
    """Is it night at this hour?  night: the first and the last hour, which counts."""
    first, last = night
    return first <= hour <= last if first <= last else hour >= first or hour <= last


def room(host, sample, settings, hour):
    """The FreeSlots of a host that told a Sample, at an hour of the day."""
    time = 'night' if is_night(setting('night', host, settings), hour) else 'day'
    slots = bounded(host.get('slots'), 0, 10000)
    if slots is None:
        slots = setting('max_dtask_' + time, host, settings) or sample.cores or 1
    reasons = [] if slots else ['slots=0 in its line of the host list']
    for key, used, whose in (('max_cpu_', sample.cpu, 'cpu in use'),
                             ('max_cpu_me_', sample.own_cpu, 'cpu in use by you')):
        most = setting(key + time, host, settings)
        if most and used is None:
            reasons.append('%s is not known, and %s%s is %d%%' % (whose, key, time, most))
        elif most and used > most:
            reasons.append('%s: %d%%, more than %s%s: %d%%' % (whose, used, key, time, most))
    for key, free, what in (('min_memory', sample.free_memory, 'memory'),
                            ('min_disk', sample.free_disk, 'disk')):
        least = setting(key, host, settings)
        if least and free is None:
            reasons.append('free %s is not known, and %s is %d MB' % (what, key, least))
        elif least and free < least * 1000:
            reasons.append('free %s: %d MB, less than %s: %d MB' % (what, free // 1000, key, least))
    return FreeSlots(slots, tuple(reasons))


def watches_cpu(host, settings):
    """Does any limit ask how much cpu is in use?  To measure that takes a moment."""
    return any(setting(key, host, settings)
               for key in config.HOST_KEYS if key.startswith('max_cpu'))


def needed_slots(desc, slots):
    """How many of a host's slots a task takes: one that wants more than there are takes all of
    them.
    """
    return min(desc.slots, max(1, slots))


def mismatch(host, desc):
    """Why a task of this desc may never run on the host, or ''."""
    named = desc.hosts.replace(',', ' ').split()
    if desc.category not in ('', host.category):
        return 'its category is %s, the task wants %s' % (host.category, desc.category)
    return 'the task wants one of: %s' % ' '.join(named) if named and host.name not in named else ''


def never(host, sample, desc, settings):
    """(kind, why) a task of this desc can never run on a host that told a Sample, or None.

    sample: None where it told none.  What changes without anybody's doing is no reason.
    """
    reason = mismatch(host, desc)
    if reason:
        return 'mismatch', reason
    if bounded(host.get('slots'), 0, 10000) == 0:
        return 'slots', 'slots=0 in its line of the host list'
    if sample is None:
        return None
    for kind, wanted, there in (('memory', desc.memory, sample.memory),
                                ('disk', desc.disk, sample.space)):
        if there and wanted > there:                # 0: the host could not tell
            return kind, '%s: %s in all, the task needs %s' % (kind, human(there), human(wanted))
    for key, there in (('min_memory', sample.memory), ('min_disk', sample.space)):
        least = setting(key, host, settings) * 1000
        if there and least > there:
            return 'limit', '%s is %s, and it has %s in all' % (key, human(least), human(there))
    return None


def human(kib):
    """KiB for people."""
    value = float(kib)
    for unit in ('KB', 'MB', 'GB', 'TB'):
        if value < 1000 or unit == 'TB':
            return '%.0f %s' % (value, unit) if unit == 'KB' else '%.1f %s' % (value, unit)
        value /= 1024
    return ''


def accepts(host, desc):
    """May a task of this desc run on the host at all?"""
    return not mismatch(host, desc)


def better_place(host, avoided, others, refuse):
    """The name of another host for a task that ended badly on some, if this one is among them; ''
    where there is none.

    avoided: the names of those.  others: all that may get tasks.  refuse(other): why it takes it
    neither now nor soon, or ''.
    """
    if host.name not in avoided:
        return ''
    return next((other.name for other in others
                 if other.name not in avoided and refuse(other) in ('', NOT_ASKED)), '')


def refusal(host, health, told, used, desc, settings, hour):
    """Why a host does not take a task of this desc now, or ''.

    health: its health.Health, or None.  told: (time, Sample or None, problem) as it was last heard
    of, or None. used: the slots that tasks take there already.
    """
    never = mismatch(host, desc)
    if never:
        return never
    if health is not None and not health.takes_tasks:
        return ('%s: %s'
                % ('put out by hand' if health.state == 'held' else 'in quarantine', health.reason))
    if told is None:
        return NOT_ASKED
    _when, sample, problem = told
    if problem or sample is None:
        return problem or 'it has told nothing of itself yet'
    slots, reasons = room(host, sample, settings, hour)
    if reasons:
        return '; '.join(reasons)
    needed = needed_slots(desc, slots)
    if needed > slots - used:
        return ('%d of its %d slots %s taken, the task needs %d'
                % (used, slots, 'is' if used == 1 else 'are', needed))
    for wanted, free, what in ((desc.memory, sample.free_memory, 'memory'),
                               (desc.disk, sample.free_disk, 'disk')):
        if free is not None and wanted > free:
            return 'free %s: %d KiB, the task needs %d' % (what, free, wanted)
    return ''
