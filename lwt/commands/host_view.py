"""Tables and lines about hosts, their health and load."""

import math
import os
import time

from lwt.hosts import cluster, health, health_log, probe
from lwt.output import tables, units, writer
from lwt.remote import exit_status

# The state of a host as users see it, by health.Health.state.
STATES = {'ok': 'ok', 'doubtful': 'failing', 'out': 'quarantined', 'held': 'excluded'}
BUSY = 0.9                  # share of its cpu or memory in use from which a host counts as busy
MAX_CLOCK = 60              # seconds; a clock with a larger difference is shown in colour

# The columns of tables (see tables.table): (title, format of the numbers, or None for text).
MONITOR_COLUMNS = (
    ('HOST', None), ('CPU %', '%d'), ('OWN %', '%d'), ('CORES', '%d'), ('LOAD', '%.1f'),
    ('MEM GB', '%.1f'), ('FREE GB', '%.1f'), ('DISK GB', '%.1f'), ('TASKS', '%d'),
    ('TOP USER', None))
PROBE_COLUMNS = (
    ('HOST', None), ('HELLO s', '%.2f'), ('PUT MB/s', '%.2f'), ('GET MB/s', '%.2f'),
    ('CORES', '%d'), ('FREE GB', '%.1f'), ('DISK GB', '%.1f'), ('CLOCK s', '%d'),
    ('PYTHON', None), ('NETCAT', None))


def painter(is_bad, is_busy, environ):
    """Return paint(row, line) for tables.table: red if is_bad(row), yellow if is_busy(row)."""
    def paint(row, line):
        return writer.coloured(line, 'red', environ) if is_bad(row) else (
            writer.coloured(line, 'yellow', environ) if is_busy(row) else line)
    return paint


def gigabytes(kib):
    """Return KiB as GB, or None."""
    return None if kib is None else kib * 1024 / 1e9


def megabytes(number):
    """Return bytes as MB, or None."""
    return None if number is None else number / 1e6


def monitor_table(looks, environ):
    """Return the lines of `lwt monitor`, the busiest host first.

    Hosts without an answer come last, with the reason.
    """
    rows = [_monitor_row(look) for look in sorted(looks, key=_by_cpu)]
    failed = {look.host for look in looks if look.load is None}
    busy = {look.host for look in looks if look.load and _is_busy(look.load)}
    return _with_reasons(MONITOR_COLUMNS, rows, painter(
        lambda row: row[0] in failed, lambda row: row[0] in busy, environ)) + _clusters(looks)


def _by_cpu(look):
    return (look.load is None, -(look.load.cpu or 0) if look.load else 0, look.host)


def _is_busy(load):
    return (load.cpu or 0) >= BUSY * 100 * load.cores or (
        load.memory and load.free_memory is not None
        and load.free_memory <= (1 - BUSY) * load.memory)


def _monitor_row(look):
    if look.load is None:
        return look.host, look.verdict.reason
    load = look.load
    user = load.users[0] if load.users else None
    most = '%s %d%%' % (user.user, user.cpu) if user and user.cpu else ''
    return (look.host, load.cpu, load.own_cpu, load.cores, load.load, gigabytes(load.memory),
            gigabytes(load.free_memory),
            gigabytes(load.free_disk), load.tasks,
            most + ('; invalid value: ' + load.nonsense[0] if load.nonsense else ''))


def _with_reasons(columns, rows, paint):
    """Return a table in which a row of two is a host and the reason why it has no values."""
    whole = [row for row in rows if len(row) > 2]
    title = columns[0][0]
    width = max([len(row[0]) for row in rows] + [len(title)])
    lines = tables.table(((title.ljust(width), None),) + columns[1:], whole, paint)
    return (lines
            + [paint(row, '%s  %s' % (row[0].ljust(width), row[1]))
               for row in rows if len(row) == 2])


def probe_table(found, environ):
    """Return the lines of `lwt probe`: hosts that passed, the fastest to answer first, then the
    others.

    The others have a reason instead of values.
    """
    rows = [_probe_row(one) if one.verdict.ok else (one.host, one.verdict.reason)
            for one in sorted(found, key=lambda one: (not one.verdict.ok, one.hello or 0))]
    late = {one.host for one in found if abs(one.clock or 0) > MAX_CLOCK}
    return _with_reasons(PROBE_COLUMNS, rows, painter(
        lambda row: len(row) == 2, lambda row: row[0] in late, environ)) + _clusters(found)


def _clusters(found):
    """Return a line for each login node of a cluster.  found: load.Looks or probe.Probeds."""
    return sorted('%s: %s' % (one.host, one.slurm.text) for one in found if one.slurm)


def _probe_row(one):
    return (one.host, one.hello, megabytes(one.put), megabytes(one.get), one.load.cores,
            gigabytes(one.load.free_memory), gigabytes(one.load.free_disk), one.clock,
            one.python[0] if one.python else 'none', one.netcat[0] if one.netcat else 'none')


def ago(then, now):
    """Return the time since `then` in words."""
    return ('%s ago'
            % units.duration(math.floor(max(0.0, now - then)) if now - then > 60
                              else max(0.0, now - then)))


def health_lines(found, now, numbers=health.Rules()):
    """Yield the lines of `lwt hosts --why` about a Health."""
    yield ('%s: %s%s'
           % (found.host, STATES[found.state],
              ' since %s' % clock_time(found.since) if found.since else ''))
    if found.state == 'held':
        yield '  reason: %s' % found.reason
        yield '  take it back with: lwt hosts --back %s' % found.host
    elif found.failed:
        yield '  last failure: %s, %s: %s' % (ago(found.failed, now), found.kind, found.reason)
    if found.state in ('doubtful', 'out'):
        yield '  consecutive failures: %d; recent failures: %.1f; consecutive successes: %d' % (
            found.failures, health.faded(found, now), found.goods)
        yield '  next attempt: %s' % (
            'now' if found.is_due(now, False, numbers) else
            'in %s, at %s' % (units.duration(found.retry - now), clock_time(found.retry)))
        hint = (_TASKS_HINT % found.host if found.kind == health.TASKS
                else exit_status.hint(found.kind, found.host))
        if hint:
            yield '  hint: ' + hint


_TASKS_HINT = 'fix the host, then take it back with: lwt hosts --back %s'


def clock_time(seconds):
    """Return a time of day, with the date if it is not today."""
    then = time.localtime(seconds)
    is_today = then[:3] == time.localtime()[:3]
    return time.strftime('%H:%M:%S' if is_today else '%Y-%m-%d %H:%M', then)


def sample_line(told, now):
    """Return the last sample of a host in words.  told: (time, Sample or None, problem)."""
    when, load, problem = told
    if load is None:
        return 'last visit: %s: %s' % (ago(when, now), problem)
    text = ('last sample: %s: cpu %s%% of %s%%, your cpu %s%%, load %s, memory %s of %s GB free, '
            'disk %s GB free, %s tasks%s')
    return text % (
        ago(when, now), _word(load.cpu), _word(load.cores and 100 * load.cores),
        _word(load.own_cpu), _word(load.load),
        _word(gigabytes(load.free_memory)), _word(gigabytes(load.memory)),
        _word(gigabytes(load.free_disk)), _word(load.tasks),
        '; since then: ' + problem if problem else '')


def _word(value):
    return '?' if value is None else '%.1f' % value if isinstance(value, float) else str(value)


def probe_line(when, told, now):
    """Return a recorded probe in words."""
    if told['class'] != 'ok':
        return 'last probe: %s: %s' % (ago(when, now), told['reason'])
    return 'last probe: %s: hello %.2f s, put %.2f MB/s, get %.2f MB/s, clock %+d s' % (
        ago(when, now), told['hello'], megabytes(told['put']), megabytes(told['get']),
        told['clock'] or 0)


def put_screen(lines, is_watched):
    """Print lines.  is_watched: on a terminal, clear the screen first."""
    if is_watched and os.isatty(1):
        writer.clear_screen()
        writer.put_line('\n'.join(lines))
    else:
        for line in lines:
            writer.put_line(line)


def repeat(one_round, every):
    """Call one_round() every `every` seconds until output is lost; every: None for one round.

    Returns the exit code of the last round.
    """
    while True:
        began = time.monotonic()
        code = one_round()
        if every is None or writer.losses():
            return code
        time.sleep(max(0.0, every - (time.monotonic() - began)))


def look_json(look):
    """Return a load.Look as a dict for JSON."""
    return dict({'host': look.host, 'class': look.verdict.kind, 'reason': look.verdict.reason},
                **(probe.sample.to_json(look.load) if look.load else {}),
                **cluster.to_json(look.slurm))


def twin_lines(store, listed, found=()):
    """Yield a line for each set of listed hosts that are one machine.

    found: probe.Probed, which may be newer than the samples in the store.
    """
    machines = health_log.machines(store)
    machines.update((one.host, one.load.machine) for one in found if one.load.machine)
    for names in health_log.twins({name: machines[name] for name in machines if name in listed}):
        yield '%s: same machine; slots are counted once' % ' '.join(names)
