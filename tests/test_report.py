"""The report: what is on the page, and how it looks in a real browser."""

import os
import random
import re
import unittest
from html.parser import HTMLParser

from lwt.output import report
from tests import browser
from tests.support import ProgramTestCase

NOW = 1700000000.0
EVIL = '<script>alert(1)</script>"\'&\x1b[31m\u202e\udc80' + 'a-word-without-an-end' * 10
OUTCOMES = ('success',) * 8 + ('failed', 'lost', 'timeout', 'killed')
OPEN = ('new', 'launching', 'running', 'fetching')
EMPTY = report.ReportData('sweep', '0.1.0', NOW, {}, OPEN, [], [], [])


def many(tasks, hosts):
    """Return facts of so many tasks on so many hosts, one with a long name, some with hostile
    words.
    """
    die = random.Random(tasks)
    names = (['h%d' % number for number in range(1, hosts)]
             + ['host-of-a-far-department.with-a-long.name.example.org'])
    spans, failures, counts = [], [], {'new': tasks // 20, 'running': 0}
    for number in range(tasks):
        start = NOW - 80000 + 79000 * number / tasks
        outcome = die.choice(OUTCOMES) if number % 50 else 'running'
        host, end = die.choice(names), start + die.expovariate(1 / 300)
        spans.append(report.Span(host, start, None if outcome == 'running' else end, outcome,
                                 '%06d sweep' % number))
        counts[outcome] = counts.get(outcome, 0) + 1
        if outcome in ('failed', 'lost', 'timeout', 'killed'):
            reason = EVIL if outcome == 'killed' else 'exit code %d' % die.randrange(100)
            failures.append(
                report.FailedAttempt('%06d' % number, 'sweep', host, outcome, reason, end))
    hours = {int(NOW // 3600) - back: (back, back % 7) for back in range(40)}
    rows = [report.HostFacts(name, 'lab', 'quarantined' if number % 5 == 4 else 'ok',
                             EVIL if number == 4 else '',
                             hours if number % 3 else {}) for number, name in enumerate(names)]
    return report.ReportData(EVIL, '0.1.0', NOW, counts, OPEN, spans, rows, failures)


class Balanced(HTMLParser):
    """Fails on tags that are not closed in order; collects text and attributes."""

    VOID = ('meta', 'br', 'rect')

    def __init__(self, page):
        super().__init__()
        self.open, self.words, self.values, self.tags = [], [], [], set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.values += [value for _name, value in attrs if value]
        if tag not in self.VOID or tag == 'rect':
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.values += [value for _name, value in attrs if value]

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        self.words.append(data)


class Page(unittest.TestCase):
    """The text of the page."""

    def test_everything_that_came_from_elsewhere_is_escaped(self):
        page = report.page(many(400, 6))
        parsed = Balanced(page)
        self.assertEqual(parsed.open, [])
        self.assertNotIn('script', parsed.tags)
        self.assertEqual(re.findall('[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\ud800-\udfff]', page), [])
        self.assertIn('<script>alert(1)</script>"\'&?[31m??', ''.join(parsed.words))
        page.encode('utf-8')

    def test_it_needs_nothing_from_elsewhere(self):
        page = report.page(many(60, 3))
        self.assertNotRegex(page, r'(?i)\b(src=|href=|url\((?!#)|@import|https?:)')
        self.assertIn("default-src 'none'", page)

    def test_no_task_and_ten_thousand(self):
        empty = report.page(EMPTY)
        self.assertIn('lwt task add NAME', empty)
        self.assertNotIn('Timeline', empty)
        page = report.page(many(10000, 100))
        self.assertLess(len(page), 1500000)
        self.assertIn('… and 40 hosts with fewer tasks.', page)
        self.assertIn('… and 40 hosts.', page)
        self.assertIn('<dt>tasks</dt><dd>10500</dd>', page)
        Balanced(page)

    def test_marks_add_up(self):
        spans = [report.Span('h1', NOW - 100 + second, NOW - 90 + second, outcome, 'x')
                 for second, outcome in ((0, 'success'), (5, 'failed'), (20, 'running'),
                                         (80, 'success'))]
        drawn = report._drawn(spans, NOW - 100, NOW, NOW)
        self.assertEqual(drawn.count('<rect'), 4)
        self.assertEqual(len(set(re.findall(r' y="([\d.]+)"', drawn))), 2,
                         'those at the same time are in two lanes')
        self.assertIn('<title>x: failed, 10.0 s</title>', drawn)
        counted = report._counted(spans, NOW - 100, NOW, NOW)
        heights = {}
        for x, height in re.findall(r'<rect x="([\d.]+)" .*? height="([\d.]+)" class', counted):
            heights[x] = heights.get(x, 0) + float(height)
        self.assertEqual(max(heights.values()), 32, 'the most at the same time fill it')
        self.assertEqual(min(heights.values()), 16)

    def test_few_failures_among_many_successes_are_visible(self):
        for good, bad in ((111, {'failed': 4}), (9990, {'failed': 1, 'lost': 1, 'killed': 8}),
                          (0, {'failed': 3}), (3, {})):
            with self.subTest(good=good, bad=bad):
                counts = dict(bad, ok=good)
                scale = report.RATE_HEIGHT / sum(counts.values())
                marks = report._stacked(0, 1, counts, scale, report.RATE_HEIGHT)
                heights = {kind: float(height) for height, kind in re.findall(
                    r'height="([\d.]+)" class="(\w+)"', ''.join(marks))}
                self.assertEqual(set(heights), {kind for kind, count in counts.items() if count})
                self.assertGreaterEqual(min(heights.values()), report.LEAST_HEIGHT)
                self.assertAlmostEqual(sum(heights.values()), report.RATE_HEIGHT, places=2)

    def test_outcomes_differ_by_more_than_colour(self):
        page = report.page(many(400, 6))
        kinds = [report._kind(outcome) for outcome, _class in report.STATES]
        self.assertEqual(len(set(kinds)), len(kinds))
        for kind in ('timeout', 'lost', 'killed'):
            self.assertIn('<pattern id="%s"' % kind, page)
            self.assertIn('rect.%s { fill: url(#%s); }' % (kind, kind), page)
            self.assertIn('i.%s { background: repeating-linear-gradient(' % kind, page)
            self.assertIn('<li><i class="%s"></i>%s</li>' % (kind, kind), page)

    def test_the_axes_have_units_and_the_time_zone(self):
        page = report.page(many(400, 6))
        is_there = re.search(r'<p class="unit">attempts that ended per \d+ min', page) is not None
        self.assertTrue(is_there)
        self.assertEqual(page.count('<p class="zone">time: %s</p>' % report._zone(NOW)), 2)
        self.assertIn('1 attempt<', report.page(EMPTY._replace(
            spans=[report.Span('h1', NOW - 9, NOW, 'success', 'x')], counts={'success': 1})))

    def test_failures_have_examples_and_tasks_that_recovered_are_apart(self):
        lasting = report.FailedAttempt('000001', 'a', 'h1', 'failed', 'exit code 2', NOW,
                                       'seed=<7>', 'ValueError: <bad>', '/ws/task.finish/a.1')
        passing = lasting._replace(task='000002', has_recovered=True)
        page = report.page(EMPTY._replace(failures=[lasting] * 5 + [passing]))
        failures, recovered = page.split('<h2>Failed attempts of tasks that succeeded later</h2>')
        self.assertIn('<b>000001</b> seed=&lt;7&gt;<br><code>ValueError: &lt;bad&gt;</code>'
                      '<br><small>/ws/task.finish/a.1</small>', failures)
        self.assertEqual(failures.count('<b>000001</b>'), report.EXAMPLES)
        self.assertIn('… and 2 more', failures)
        self.assertNotIn('000002', failures)
        self.assertIn('<b>000002</b>', recovered)

    def test_hosts_without_failures_share_a_line(self):
        hosts = [report.HostFacts('h%d' % number, 'lab', 'ok', '', {}) for number in range(1, 9)]
        hour = int(NOW // 3600)
        hosts[2] = hosts[2]._replace(hours={hour: (5, 1)})
        hosts[4] = hosts[4]._replace(state='excluded', reason='new disk')
        spans = [report.Span('h7', NOW - 9, NOW, 'lost', 'x')]
        page = report.page(EMPTY._replace(hosts=hosts, spans=spans, counts={'lost': 1}))
        self.assertIn('<p class="quiet">5 hosts without failures: h[1-2,4,6,8]</p>', page)
        for name in ('h3', 'h5', 'h7'):
            self.assertIn('<b>%s</b> <small>lab</small>' % name, page)

    def test_times_at_one_moment_and_hosts_without_history(self):
        spans = [report.Span('h1', NOW, NOW, 'success', 'x')]
        facts = EMPTY._replace(spans=spans, counts={'success': 1},
                               hosts=[report.HostFacts('h1', 'lab', 'not available', '', {})])
        self.assertIn('no data', report.page(facts))


class Command(ProgramTestCase):
    """lwt report."""

    def test_a_page_of_a_real_queue(self):
        self.make_workspace([('localhost', 'local', '~')])
        self.describe('mixed', 'exec : sh -c "exit $LWT_ARG"\nretries : 0\n')
        done = self.lwt('report', '-o', 'empty.html')
        self.assertEqual(done.code, 0, done)
        self.lwt('task', 'add', 'mixed', '--array', '0-2')
        self.assertEqual(self.lwt('task', 'run').code, 1)
        page = self.lwt('report').out
        for words in ('<dt>tasks</dt><dd>3</dd>', 'exit code 2', 'localhost', 'success <b>1</b>'):
            self.assertIn(words, page)
        self.describe('loud', 'exec : echo first >&2; echo "bad $LWT_ARG" >&2; '
                              '[ $LWT_ATTEMPT = 2 ] && [ $LWT_ARG = 1 ]\nretries : 1\n'
                              'retry_on : failed\n')
        self.lwt('task', 'add', 'loud', '--array', '1-2')
        self.assertEqual(self.lwt('task', 'run').code, 1)
        page = self.lwt('report').out
        failures, recovered = page.split('<h2>Failed attempts of tasks that succeeded later</h2>')
        kept = next(where for where in self.results() if where.endswith('000005'))
        where = os.path.realpath(self.path(kept))
        self.assertIn('<b>000005</b> 2<br><code>bad 2</code><br><small>%s</small>' % where,
                      failures)
        self.assertIn('<code>bad 2</code><br><small>%s/attempt.1</small>' % where, failures)
        self.assertIn('<b>000004</b> 1<br><code>bad 1</code>', recovered)
        self.assertEqual(self.lwt('report', '-q', '-o', 'r.html').err, '')
        self.assertEqual(Balanced(self.read('r.html')).open, [])

    def test_wrong_use(self):
        self.assert_refused(self.lwt('report'), 2, 'no workspace')
        self.make_workspace([('localhost', 'local', '~')])
        self.assert_refused(self.lwt('report', 'r.html'), 2, 'unexpected word r.html', '-o')
        self.assert_refused(self.lwt('report', '-o', 'no/r.html'), 74, 'no')


class InABrowser(ProgramTestCase):
    """Pages at three widths, and the browser's findings."""

    any_user = True

    slow = True
    WIDTHS = (360, 768, 1280)

    def setUp(self):
        super().setUp()
        if browser.program() is None:
            self.skipTest('not installed: chromium')

    def look(self, frames, dark=False):
        """Check pages, (facts, width) of each; return the browser's findings at the last one."""
        frames = [(report.page(facts), width) for facts, width in frames]
        for (_page, width), found in zip(frames, browser.look(self.scratch, frames, dark)):
            with self.subTest(width=width):
                self.assertEqual(found['found'], [])
                self.assertEqual(found['scripts'], 0)
        return found

    def test_nothing_stands_out_and_no_text_is_cut(self):
        found = self.look([(many(300, 7), width) for width in self.WIDTHS])
        self.assertEqual(found['heads'], ['Queue', 'Rate', 'Timeline', 'Hosts', 'Failures'])
        self.assertGreater(found['texts'], 80)
        self.assertGreater(found['rects'], 300)

    def test_ten_thousand_tasks_on_a_phone_and_none(self):
        crowded = many(10000, 100)
        found = self.look([(crowded, 360), (crowded, 1280), (EMPTY, 360)])
        self.assertEqual(found['heads'], ['Queue', 'Hosts', 'Failures'])

    def test_light_and_dark_and_on_paper(self):
        frames = [(many(60, 3), 768)]
        self.assertEqual(self.look(frames)['back'], 'rgb(255, 255, 255)')
        self.assertEqual(self.look(frames, dark=True)['back'], 'rgb(20, 23, 27)')
        browser.on_paper(self.scratch, report.page(many(300, 7)), self.path('r.pdf'))
        with open(self.path('r.pdf'), 'rb') as file:
            self.assertTrue(file.read().startswith(b'%PDF'))

    def test_the_pictures_show_something(self):
        page = report.page(many(300, 7))
        for width in (self.WIDTHS[0], self.WIDTHS[-1]):
            with self.subTest(width=width):
                path = self.path('%d.png' % width)
                browser.picture(self.scratch, page, width, 2000, path)
                with open(path, 'rb') as file:
                    self.assertTrue(file.read().startswith(b'\x89PNG'))
                self.assertGreater(os.path.getsize(path), 20000, 'a picture of nothing is small')

    def test_the_browser_finds_what_is_wrong(self):
        style = ('<style>.a { width: 2000px } .b { width: 40px; overflow: hidden; white-space: '
                 'nowrap }</style>')
        page = style + '<div class="a">wide</div><div class="b">this text is cut</div>'
        found = browser.look(self.scratch, [(page, 360)])[0]['found']
        self.assertTrue(any('stands out' in text for text in found), found)
        self.assertTrue(any('is cut' in text for text in found), found)


if __name__ == '__main__':
    unittest.main()
