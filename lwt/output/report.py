"""The HTML report about hosts, queue and failures.  Pure: it is given ReportData and returns text.

The page needs no script and no network, and says so to the browser.  Everything that a host, a task
or a file brought in is escaped.  It is made for any number of tasks: what would be too many marks
is counted in slots of time instead, and what would be too many rows ends with how many are left
out.
"""

import collections
import html
import itertools
import time
from typing import NamedTuple

from lwt.errors import printable_text
from lwt.output import units
from lwt.output.report_style import STYLE
from lwt.workspace import nodeset

SLOTS = 240             # of time, in a chart that counts
MARKS = 150             # tasks of a host that are drawn one by one; beyond, they are counted
LANES = 12              # of tasks at the same time, in a timeline that draws them
ROWS = 60               # of a table
HEALTH_HOURS = 72
MAX_TEXT = 1000         # characters of a reason or a name
GOOD, BAD = 'success', 'bad'
STATES = (('success', 'ok'), ('failed', 'bad'), ('timeout', 'bad'), ('lost', 'bad'),
          ('killed', 'warn'))


class Span(NamedTuple):
    """What ran: an attempt of a task on a host.  start, end: seconds since 1970; end is None while
    it runs.
    """

    host: str
    start: float
    end: float
    outcome: str
    label: str


class HostFacts(NamedTuple):
    """A host.  state: a word; reason: why, or ''.  hours: {hours since 1970: (operations that went
    well, that failed)}.
    """

    name: str
    category: str
    state: str
    reason: str
    hours: dict


class FailedAttempt(NamedTuple):
    """An attempt that did not go well."""

    task: str
    name: str
    host: str
    outcome: str
    reason: str
    when: float


class ReportData(NamedTuple):
    """All that a page tells.  counts: {state or outcome: tasks}; open: is a count's key of tasks
    that are not done.
    """

    title: str
    version: str
    now: float
    counts: dict
    open_states: tuple
    spans: list
    hosts: list
    failures: list


def page(facts):
    """The page, as text."""
    parts = [_head(facts), _tiles(facts), _queue(facts)]
    if facts.spans:
        parts += [_rates(facts), _timeline(facts)]
    parts += [_hosts(facts), _failures(facts)]
    return '<!DOCTYPE html>\n' + '\n'.join(parts) + '\n</main>\n</body>\n</html>\n'


def text(value):
    """Any text, safe between tags and in attributes: escaped, cut, and without what cannot be seen.
    """
    return html.escape(printable_text(str(value), MAX_TEXT))


def _when(seconds):
    return time.strftime('%Y-%m-%d %H:%M', time.localtime(seconds))


def _head(facts):
    return ('<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src '
            '\'unsafe-inline\'">\n'
            '<title>lwt: %s</title>\n<style>%s</style>\n</head>\n<body>\n'
            '<header><h1>%s</h1>\n<p>%s · lwt %s</p></header>\n<main>' % (
                text(facts.title), STYLE, text(facts.title), _when(facts.now), text(facts.version)))


def _section(title, *parts):
    return '<section>\n<h2>%s</h2>\n%s\n</section>' % (title, '\n'.join(parts))


def _kind(outcome):
    """The colour of an outcome or state."""
    return dict(STATES).get(outcome, 'run')


# -- numbers ---------------------------------------------------------------------------------------


def _done(facts):
    return [span for span in facts.spans if span.end is not None]


def _tiles(facts):
    total = sum(facts.counts.values())
    done = total - sum(facts.counts.get(state, 0) for state in facts.open_states)
    well, ended = facts.counts.get(GOOD, 0), _done(facts)
    last_hour = sum(1 for span in ended if span.end > facts.now - 3600)
    times = sorted(span.end - span.start for span in ended)
    tiles = [('tasks', total), ('done', '%d %%' % (100 * done // total) if total else '–'),
             ('went well', '%d %%' % (100 * well // done) if done else '–'),
             ('ended in the last hour', last_hour),
             ('median time', units.duration(times[len(times) // 2]) if times else '–'),
             ('time left', units.duration(_left(facts, total - done, ended))
              if ended and total > done else '–')]
    return '<dl class="tiles">%s</dl>' % ''.join(
        '<div><dt>%s</dt><dd>%s</dd></div>' % (name, text(value)) for name, value in tiles)


def _left(facts, waiting, ended):
    """Seconds until all is done, at the pace of the last attempts that ended."""
    last = sorted(span.end for span in ended)[-200:]
    return waiting * (facts.now - last[0]) / len(last)


def _queue(facts):
    total = sum(facts.counts.values())
    if not total:
        return _section('Queue', '<p>No tasks. <code>lwt task add NAME</code> adds one.</p>')
    order = [name for name, _kind_of in STATES] + list(facts.open_states)
    present = [(name, facts.counts[name]) for name in order if facts.counts.get(name)]
    bar = ''.join('<i class="%s" style="flex-grow:%d" title="%s"></i>'
                  % (_fill(name), count, text('%d %s' % (count, name)))
                  for name, count in present)
    legend = ''.join('<li><i class="%s"></i>%s <b>%d</b></li>' % (_fill(name), text(name), count)
                     for name, count in present)
    return _section('Queue', '<div class="bar">%s</div><ul class="legend">%s</ul>' % (bar, legend))


def _fill(name):
    return 'wait' if name in ('new', 'held') else _kind(name)


# -- charts over time ------------------------------------------------------------------------------


def _range(facts):
    """(from, to) of all spans, in seconds since 1970; a minute at least."""
    start = min(span.start for span in facts.spans)
    end = max(span.end or facts.now for span in facts.spans)
    return start, max(end, start + 60)


def _svg(width, height, marks):
    return ('<svg viewBox="0 0 %d %d" preserveAspectRatio="none" height="%d" role="img">%s</svg>'
            % (width, height, height, ''.join(marks)))


def _rect(x, y, width, height, kind, title=''):
    return '<rect x="%.5g" y="%.5g" width="%.5g" height="%.5g" class="%s"%s' % (
        x, y, width, height, kind, '><title>%s</title></rect>' % text(title) if title else '/>')


def _axis(start, end):
    """The times under a chart."""
    form = '%H:%M:%S' if end - start < 600 else '%H:%M' if end - start < 86400 else '%Y-%m-%d'
    ticks = [start, (start + end) / 2, end] if form != '%Y-%m-%d' else [start, end]
    return '<p class="axis">%s</p>' % ''.join(
        '<span>%s</span>' % time.strftime(form, time.localtime(tick)) for tick in ticks)


def _rates(facts):
    """How many attempts ended when: stacked, well below and not well above."""
    start, end = _range(facts)
    slots = SLOTS // 4
    counted = collections.Counter()
    for span in _done(facts):
        counted[min(slots - 1, int((span.end - start) / (end - start) * slots)),
                _kind(span.outcome)] += 1
    tops = [sum(counted[slot, kind] for kind in ('ok', 'warn', 'bad')) for slot in range(slots)]
    scale, marks = 80 / max(tops + [1]), []
    for slot in range(slots):
        y = 80.0
        for kind in ('ok', 'warn', 'bad'):
            height = counted[slot, kind] * scale
            y -= height
            if height:
                marks.append(_rect(slot, y, 0.9, height, kind))
    each = (end - start) / slots
    return _section('Rate', '<p>Tasks that ended, in steps of %s; at most %d in one.</p>'
                    % (units.duration(each), max(tops)),
                    '<div class="chart">%s%s</div>' % (_svg(slots, 80, marks), _axis(start, end)))


def _timeline(facts):
    """What ran where and when: a strip for each host."""
    start, end = _range(facts)
    by_host = collections.defaultdict(list)
    for span in facts.spans:
        by_host[span.host].append(span)
    busiest = sorted(by_host, key=lambda name: -len(by_host[name]))[:ROWS]
    strips = []
    for name in nodeset.ordered(busiest):
        spans = sorted(by_host[name], key=lambda span: span.start)
        draw = _drawn if len(spans) <= MARKS else _counted
        strips.append('<div class="strip"><h3>%s <small>%d</small></h3>%s</div>' % (
            text(name), len(spans), draw(spans, start, end, facts.now)))
    return _section('Timeline', *strips, _axis(start, end),
                    _more(len(by_host) - len(busiest), 'hosts with fewer tasks'))


def _drawn(spans, start, end, now):
    """Each task as a mark, those at the same time in lanes."""
    lanes, marks, scale = [], [], 1000 / (end - start)
    for span in spans:
        lane = next((number for number, free in enumerate(lanes) if free <= span.start), len(lanes))
        lanes[lane:lane + 1] = [span.end or now]
        took = (span.end or now) - span.start
        marks.append(
            (lane % LANES, (span.start - start) * scale, max(1.5, took * scale), span, took))
    height = max(8, 24 // min(LANES, len(lanes))) * min(LANES, len(lanes))
    each = height / min(LANES, len(lanes))
    return _svg(1000, height,
                [_rect(min(x, 998.5), lane * each, width, each - 1, _kind(span.outcome),
                       '%s: %s, %s' % (
                    span.label, span.outcome, units.duration(took)))
                 for lane, x, width, span, took in marks])


def _counted(spans, start, end, now):
    """How many tasks ran in each slot of time, by how they ended."""
    steps = {kind: [0] * (SLOTS + 1) for kind in ('bad', 'warn', 'ok', 'run')}
    for span in spans:
        first, last = (min(SLOTS - 1, int((when - start) / (end - start) * SLOTS))
                       for when in (span.start, span.end or now))
        steps[_kind(span.outcome)][first] += 1
        steps[_kind(span.outcome)][last + 1] -= 1
    levels = [(kind, list(itertools.accumulate(counts))) for kind, counts in steps.items()]
    most = max(sum(counts[slot] for _kind_of, counts in levels) for slot in range(SLOTS))
    marks, tops = [], [32.0] * SLOTS
    for kind, counts in levels:
        for slot in range(SLOTS):
            if counts[slot]:
                tops[slot] -= counts[slot] * 32 / most
                marks.append(_rect(slot, tops[slot], 1, counts[slot] * 32 / most, kind))
    return _svg(SLOTS, 32, marks)


# -- tables ----------------------------------------------------------------------------------------


def _table(heads, rows):
    """A table; cells are HTML.  On a narrow screen each row becomes a block, with the heads before
    its cells.
    """
    body = ''.join('<tr>%s</tr>' % ''.join('<td data-head="%s"><div>%s</div></td>' % cell
                                           for cell in zip(heads, row))
                   for row in rows)
    return '<table><thead><tr>%s</tr></thead><tbody>%s</tbody></table>' % (
        ''.join('<th>%s</th>' % head for head in heads), body)


def _more(count, what):
    return '<p>… and %d %s.</p>' % (count, what) if count > 0 else ''


def _hosts(facts):
    if not facts.hosts:
        return _section('Hosts', '<p>No hosts in host.list.</p>')
    ends = collections.defaultdict(collections.Counter)
    for span in facts.spans:
        ends[span.host]['now' if span.end is None else 'ok' if span.outcome == GOOD else 'bad'] += 1
    last = int(facts.now // 3600)
    rows = [('<b>%s</b> <small>%s</small>' % (text(host.name), text(host.category)), _state(host),
             ends[host.name]['now'],
             ends[host.name]['ok'], ends[host.name]['bad'], _health(host.hours, last))
            for host in facts.hosts[:ROWS]]
    legend = ('<p>Health: a bar for each of the last %d hours, red by the share of logins and '
              'copies '
              'that failed.</p>')
    return _section('Hosts', legend % HEALTH_HOURS,
                    _table(('host', 'state', 'running', 'succeeded', 'failed', 'health'), rows),
                    _more(len(facts.hosts) - ROWS, 'hosts'))


def _mark(kind, word):
    """A word with its colour before it."""
    return '<span class="mark"><i class="%s"></i>%s</span>' % (kind, text(word))


def _state(host):
    kind = {'ok': 'ok', 'out': 'bad'}.get(host.state, 'warn')
    reason = ' <small>%s</small>' % text(host.reason) if host.reason else ''
    return _mark(kind, host.state) + reason


def _health(hours, last):
    """The last hours of a host, as a strip."""
    if not any(hours.get(last - back) for back in range(HEALTH_HOURS)):
        return '<small>nothing known</small>'
    marks = []
    for back in range(HEALTH_HOURS):
        well, failed = hours.get(last - back, (0, 0))
        share = failed / (well + failed) if well + failed else 0
        x = HEALTH_HOURS - 1 - back
        if share < 1 and well:
            marks.append(_rect(x, 16 * share, 0.9, 16 * (1 - share), 'ok'))
        if share:
            marks.append(_rect(x, 0, 0.9, 16 * share, 'bad'))
    return '<span class="health">%s</span>' % _svg(HEALTH_HOURS, 16, marks)


def _failures(facts):
    if not facts.failures:
        return _section('Failures', '<p>None.</p>')
    groups = collections.defaultdict(list)
    for failure in facts.failures:
        groups[failure.outcome, failure.name, failure.reason].append(failure)
    largest = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = [(_mark(_kind(outcome), outcome), len(found), text(name), text(reason or '–'),
             text(_short(nodeset.fold({failure.host for failure in found if failure.host}), 200)
                  or '–'),
             text(_short(' '.join(failure.task for failure in found[:3]), 60)
                  + (' …' if len(found) > 3 else '')),
             _when(max(failure.when for failure in found)))
            for (outcome, name, reason), found in largest[:ROWS]]
    return _section('Failures',
                    _table(('end', 'attempts', 'task', 'reason', 'hosts', 'ids', 'last'), rows),
                    _more(len(largest) - ROWS, 'kinds of failures'))


def _short(value, limit):
    return value if len(value) <= limit else value[:limit] + '…'
