"""The HTML report about hosts, queue and failures.  Pure: page() turns ReportData into text.

The page needs no script and no network, and its policy forbids both.  All text from hosts, tasks
and files is escaped.  The page works for any number of tasks: too many marks are replaced by counts
per slot of time, and too many rows by a line with their number.
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

SLOTS = 240             # slots of time in a chart of counts
MARKS = 150             # maximum number of tasks of a host that are drawn one by one
LANES = 12              # maximum number of lanes in a timeline of single tasks
ROWS = 60               # maximum number of rows of a table
EXAMPLES = 3            # number of attempts shown for each kind of failure
HEALTH_HOURS = 72       # hours in the health strip of a host
MAX_TEXT = 1000         # maximum characters of a reason or a name
RATE_HEIGHT = 80        # pixels
STRIP_HEIGHT = 32       # pixels
LEAST_HEIGHT = 3.0      # minimum pixels of a part of a stacked bar, so that it is visible
GOOD = 'success'
# Outcomes in the order of the legend, and the class of each in the style sheet.  The classes differ
# in colour and in pattern.
STATES = (('success', 'ok'), ('failed', 'failed'), ('timeout', 'timeout'), ('lost', 'lost'),
          ('killed', 'killed'))
# The parts of a stacked bar, from the bottom to the top.
STACK = ('ok', 'run', 'killed', 'timeout', 'lost', 'failed')
# The patterns of outcomes: horizontal stripes, because charts are stretched horizontally.
PATTERNS = '<svg class="patterns" aria-hidden="true"><defs>%s</defs></svg>' % ''.join(
    '<pattern id="%s" width="8" height="%d" patternUnits="userSpaceOnUse">'
    '<rect width="8" height="%d" class="%s-back"/><rect width="8" height="%g" class="stripe"/>'
    '</pattern>' % (name, height, height, name, stripe)
    for name, height, stripe in (('timeout', 4, 1.5), ('lost', 6, 3), ('killed', 8, 2)))


class Span(NamedTuple):
    """An attempt of a task on a host.

    start, end: seconds since 1970; end is None while it runs.
    """

    host: str
    start: float
    end: float
    outcome: str
    label: str


class HostFacts(NamedTuple):
    """A host.

    state: a word.  reason: the reason for the state, or ''.
    hours: {hours since 1970: (successful operations, failed operations)}.
    """

    name: str
    category: str
    state: str
    reason: str
    hours: dict


class FailedAttempt(NamedTuple):
    """An attempt that did not succeed.

    arg: the value or parameters of the task, or ''.
    stderr: the last line of its standard error, or ''.
    path: the path of its results, or ''.
    has_recovered: whether a later attempt of the task succeeded.
    """

    task: str
    name: str
    host: str
    outcome: str
    reason: str
    when: float
    arg: str = ''
    stderr: str = ''
    path: str = ''
    has_recovered: bool = False


class ReportData(NamedTuple):
    """The data of a page.

    counts: {state or outcome: number of tasks}.
    open_states: the keys of counts for tasks that are not done.
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
    parts += [_hosts(facts), _failures(facts), _recovered(facts)]
    return '<!DOCTYPE html>\n' + '\n'.join(filter(None, parts)) + '\n</main>\n</body>\n</html>\n'


def text(value):
    """Any text for use between tags and in attributes: escaped, cut, without invisible characters.
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
            '%s\n<header><h1>%s</h1>\n<p>%s %s · lwt %s</p></header>\n<main>' % (
                text(facts.title), STYLE, PATTERNS, text(facts.title), _when(facts.now),
                _zone(facts.now), text(facts.version)))


def _zone(seconds):
    """The time zone of this machine at a time: UTC+01:00 (CET)."""
    local = time.localtime(seconds)
    sign, minutes = '+-'[local.tm_gmtoff < 0], abs(local.tm_gmtoff) // 60
    offset = 'UTC%s%02d:%02d' % (sign, minutes // 60, minutes % 60) if minutes else 'UTC'
    return offset if local.tm_zone == offset else '%s (%s)' % (offset, text(local.tm_zone))


def _section(title, *parts):
    return '<section>\n<h2>%s</h2>\n%s\n</section>' % (title, '\n'.join(parts))


def _kind(outcome):
    """The class of an outcome or state in the style sheet."""
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
             ('succeeded', '%d %%' % (100 * well // done) if done else '–'),
             ('ended in the last hour', last_hour),
             ('median time', units.duration(times[len(times) // 2]) if times else '–'),
             ('time left', units.duration(_left(facts, total - done, ended))
              if ended and total > done else '–')]
    return '<dl class="tiles">%s</dl>' % ''.join(
        '<div><dt>%s</dt><dd>%s</dd></div>' % (name, text(value)) for name, value in tiles)


def _left(facts, waiting, ended):
    """Seconds until all tasks are done, at the rate of the last attempts."""
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
    return _section('Queue', '<div class="bar">%s</div>%s' % (bar, _legend(present)))


def _legend(present):
    """The legend of outcomes; present: (name, number) pairs, or (name, None)."""
    return '<ul class="legend">%s</ul>' % ''.join(
        '<li><i class="%s"></i>%s%s</li>' % (
            _fill(name), text(name), '' if count is None else ' <b>%d</b>' % count)
        for name, count in present)


def _legend_of(spans):
    """The legend of a chart of Spans."""
    found = {span.outcome for span in spans if span.end is not None}
    names = [name for name, _class in STATES if name in found]
    names += ['running'] * any(span.end is None for span in spans)
    return _legend([(name, None) for name in names])


def _fill(name):
    return 'wait' if name in ('new', 'held') else _kind(name)


# -- charts over time ------------------------------------------------------------------------------


def _range(facts):
    """(from, to) of all Spans, in seconds since 1970; at least a minute."""
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
    """The time axis under a chart, with the time zone."""
    form = '%H:%M:%S' if end - start < 600 else '%H:%M' if end - start < 86400 else '%Y-%m-%d'
    ticks = [start, (start + end) / 2, end] if form != '%Y-%m-%d' else [start, end]
    return '<p class="axis">%s</p><p class="zone">time: %s</p>' % (''.join(
        '<span>%s</span>' % time.strftime(form, time.localtime(tick)) for tick in ticks),
        _zone(end))


def _plot(most, unit, svg):
    """A chart with its vertical axis: 0 to most, in a unit."""
    return ('<p class="unit">%s</p><div class="plot"><p class="scale"><span>%d</span>'
            '<span>0</span></p>%s</div>' % (unit, most, svg))


def _stacked(x, width, counts, scale, bottom):
    """The marks of one stacked bar; counts: {class: number}; scale: pixels per task.

    A part that would be too low to see gets LEAST_HEIGHT; the highest part is lowered by as much.
    """
    heights = {kind: counts[kind] * scale for kind in STACK if counts.get(kind)}
    whole = sum(heights.values())
    heights = {kind: max(height, LEAST_HEIGHT) for kind, height in heights.items()}
    if heights:
        highest = max(heights, key=heights.get)
        excess = sum(heights.values()) - max(whole, LEAST_HEIGHT)
        heights[highest] = max(LEAST_HEIGHT, heights[highest] - excess)
    marks = []
    for kind, height in heights.items():
        bottom -= height
        title = '%d %s' % (counts[kind], _word(kind))
        marks.append(_rect(x, max(0.0, bottom), width, height, kind, title))
    return marks


def _word(kind):
    """The outcome of a class of the style sheet."""
    return {'ok': 'success', 'run': 'running'}.get(kind, kind)


def _rates(facts):
    """The chart of attempts that ended in each slot of time, stacked by outcome."""
    start, end = _range(facts)
    slots = SLOTS // 4
    counted = [collections.Counter() for _slot in range(slots)]
    for span in _done(facts):
        slot = min(slots - 1, int((span.end - start) / (end - start) * slots))
        counted[slot][_kind(span.outcome)] += 1
    most = max(sum(counts.values()) for counts in counted) or 1
    marks = [mark for slot, counts in enumerate(counted)
             for mark in _stacked(slot, 0.9, counts, RATE_HEIGHT / most, RATE_HEIGHT)]
    unit = 'attempts that ended per %s' % units.duration((end - start) / slots)
    return _section('Rate', '<div class="chart">%s%s</div>' % (
        _plot(most, unit, _svg(slots, RATE_HEIGHT, marks)), _axis(start, end)),
        _legend_of(_done(facts)))


def _timeline(facts):
    """A strip for each host, with the attempts that ran on it over time."""
    start, end = _range(facts)
    by_host = collections.defaultdict(list)
    for span in facts.spans:
        by_host[span.host].append(span)
    busiest = sorted(by_host, key=lambda name: -len(by_host[name]))[:ROWS]
    strips = []
    for name in nodeset.ordered(busiest):
        spans = sorted(by_host[name], key=lambda span: span.start)
        is_counted = len(spans) > MARKS
        draw = _counted if is_counted else _drawn
        about = '%d attempt%s%s' % (len(spans), 's' * (len(spans) > 1), ', at most %d at a time'
                                    % _most_at_once(spans, facts.now) if is_counted else '')
        strips.append('<div class="strip"><h3>%s <small>%s</small></h3>%s</div>' % (
            text(name), about, draw(spans, start, end, facts.now)))
    return _section('Timeline', *strips, _axis(start, end), _legend_of(facts.spans),
                    _more(len(by_host) - len(busiest), 'hosts with fewer tasks'))


def _most_at_once(spans, now):
    """The maximum number of Spans at the same time."""
    changes = sorted([(span.start, 1) for span in spans]
                     + [(span.end or now, -1) for span in spans])
    return max(itertools.accumulate(change for _when_at, change in changes))


def _drawn(spans, start, end, now):
    """Each attempt as a mark; attempts at the same time are in different lanes."""
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
    """The number of attempts that ran in each slot of time, stacked by outcome."""
    steps = {kind: [0] * (SLOTS + 1) for kind in STACK}
    for span in spans:
        first, last = (min(SLOTS - 1, int((when - start) / (end - start) * SLOTS))
                       for when in (span.start, span.end or now))
        steps[_kind(span.outcome)][first] += 1
        steps[_kind(span.outcome)][last + 1] -= 1
    levels = {kind: list(itertools.accumulate(counts)) for kind, counts in steps.items()}
    most = max(sum(counts[slot] for counts in levels.values()) for slot in range(SLOTS))
    marks = [mark for slot in range(SLOTS)
             for mark in _stacked(slot, 1, {kind: counts[slot] for kind, counts in levels.items()},
                                  STRIP_HEIGHT / most, STRIP_HEIGHT)]
    return _svg(SLOTS, STRIP_HEIGHT, marks)


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
    bad = [host for host in facts.hosts if _has_failures(host, ends[host.name], last)]
    rows = [('<b>%s</b> <small>%s</small>' % (text(host.name), text(host.category)), _state(host),
             ends[host.name]['now'], ends[host.name]['ok'], ends[host.name]['bad'],
             _health(host.hours, last)) for host in bad[:ROWS]]
    legend = '<p>Health: a bar for each of the last %d hours; red: share of failed logins and ' \
             'copies.</p>' % HEALTH_HOURS
    table = _table(('host', 'state', 'running', 'succeeded', 'failed', 'health'), rows)
    parts = [legend, table, _more(len(bad) - ROWS, 'hosts')] if bad else []
    good = sorted(host.name for host in facts.hosts if host not in bad)
    if good:
        parts.append('<p class="quiet">%d host%s without failures: %s</p>' % (
            len(good), 's' * (len(good) > 1), text(nodeset.fold(good))))
    return _section('Hosts', *parts)


def _has_failures(host, ends, last):
    """Return True if a host needs a row: it is not ok, or something failed on it."""
    failed = any(host.hours.get(last - back, (0, 0))[1] for back in range(HEALTH_HOURS))
    return host.state != 'ok' or bool(ends['bad']) or failed


def _mark(kind, word):
    """A word with its colour before it."""
    return '<span class="mark"><i class="%s"></i>%s</span>' % (kind, text(word))


def _state(host):
    kind = {'ok': 'ok', 'quarantined': 'bad', 'excluded': 'bad'}.get(host.state, 'warn')
    reason = ' <small>%s</small>' % text(host.reason) if host.reason else ''
    return _mark(kind, host.state) + reason


def _health(hours, last):
    """A strip with the last HEALTH_HOURS hours of a host."""
    if not any(hours.get(last - back) for back in range(HEALTH_HOURS)):
        return '<small>no data</small>'
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
    """The failures of tasks that have not succeeded."""
    found = [failure for failure in facts.failures if not failure.has_recovered]
    return _section('Failures', *(_groups(found) if found else ['<p>None.</p>']))


def _recovered(facts):
    """The failed attempts of tasks that succeeded in a later attempt."""
    found = [failure for failure in facts.failures if failure.has_recovered]
    return _section('Failed attempts of tasks that succeeded later', *_groups(found)) \
        if found else ''


def _groups(failures):
    """A table of failures, with one row for each combination of outcome, task and reason."""
    groups = collections.defaultdict(list)
    for failure in failures:
        groups[failure.outcome, failure.name, failure.reason].append(failure)
    largest = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = [(_mark(_kind(outcome), outcome), len(found), text(name), text(reason or '–'),
             text(_short(nodeset.fold({failure.host for failure in found if failure.host}), 200)
                  or '–'),
             ''.join(map(_example, found[:EXAMPLES]))
             + ('… and %d more' % (len(found) - EXAMPLES) if found[EXAMPLES:] else ''),
             _when(max(failure.when for failure in found)))
            for (outcome, name, reason), found in largest[:ROWS]]
    heads = 'end', 'attempts', 'task', 'reason', 'hosts', 'examples', 'last'
    return _table(heads, rows), _more(len(largest) - ROWS, 'kinds of failures')


def _example(failure):
    """One attempt: id, value, last line of standard error and path of the results."""
    parts = ['<b>%s</b> %s' % (text(failure.task), text(_short(failure.arg, 200)))]
    parts += ['<code>%s</code>' % text(_short(failure.stderr, 200))] * bool(failure.stderr)
    parts += ['<small>%s</small>' % text(failure.path)] * bool(failure.path)
    return '<p>%s</p>' % '<br>'.join(parts)


def _short(value, limit):
    return value if len(value) <= limit else value[:limit] + '…'
