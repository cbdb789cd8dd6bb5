"""What `lwt task run`, `show ID` and `why` print."""

import fcntl
import os
import pty
import re
import struct
import termios
import time
import unittest

from lwt.commands import task_monitor, task_view, task_why
from lwt.commands.task_monitor import Estimate, TaskTally
from lwt.hosts import capacity
from lwt.hosts.health import Health
from lwt.hosts.sample import Sample
from lwt.tasks import model
from lwt.tasks.model import Desc
from lwt.workspace import config
from lwt.workspace.hostlist import Host
from tests.support import ProgramTestCase
from tests.test_task import TASK

LOCAL = [('localhost', 'local', '~')]


class EndsInWords(unittest.TestCase):
    """How messages name a task and its end."""

    ENDS = (                # outcome, code, reason; the reason in words; the end in words
        ('success', 0, '', '', 'success on h'),
        ('success', 0, '2 processes left running were ended',
         '2 processes left running were ended',
         'success on h (2 processes left running were ended)'),
        ('failed', 3, '', 'exit code 3', 'failed on h (exit code 3)'),
        ('failed', 3, 'result incomplete: x', 'exit code 3; result incomplete: x',
         'failed on h (exit code 3; result incomplete: x)'),
        ('failed', 0, 'result incomplete: x', 'result incomplete: x',
         'failed on h (result incomplete: x)'),
        ('timeout', 124, '', 'timeout after 30 s', 'timeout after 30 s on h'),
        ('lost', None, 'the host rebooted', 'the host rebooted', 'lost on h (the host rebooted)'),
        ('killed', None, '', '', 'killed on h'))

    def test_each_end_has_its_reason(self):
        for outcome, code, reason, in_words, end in self.ENDS:
            with self.subTest(outcome=outcome, code=code, reason=reason):
                task = TASK._replace(state='done', outcome=outcome, code=code, reason=reason,
                                     desc=Desc('true', timeout=30.0))
                self.assertEqual(model.reason_text(task), in_words)
                self.assertEqual(model.end_text(task, outcome, code, reason), end)

    def test_a_task_that_is_queued_again_shows_why(self):
        task = TASK._replace(state='new', end='failed', code=1, host='')
        self.assertEqual(model.reason_text(task), 'previous attempt: exit code 1')

    def test_the_label_has_the_value_on_one_line(self):
        for arg, label in ((None, '000007 crawl'), ('7', '000007 crawl 7'),
                           ('a: b\nc', '000007 crawl a: b?c'),
                           ('x' * 61, '000007 crawl ' + 'x' * 59 + '…')):
            self.assertEqual(TASK._replace(arg=arg).label, label)


class Estimates(unittest.TestCase):
    """The progress line and its ETA."""

    def estimate(self, *seconds):
        found = Estimate(100.0)
        for one in seconds:
            found.add(one)
        return found

    def test_there_is_no_estimate_where_none_can_be_made(self):
        self.assertIsNone(self.estimate().left(TaskTally(0, 0, 5, (1.0, 2.0))), 'no task ended yet')
        self.assertIsNone(self.estimate(10.0).left(TaskTally(1, 0, 5, ())), 'no host takes one')
        self.assertIsNone(self.estimate(10.0).left(TaskTally(1, 0, 0, (11.0, 50.0))),
                          'all have run for longer than those that ended')

    def test_it_follows_from_the_running_times_and_the_slots(self):
        # 10 s each; 8 wait, 2 have 4 s and 6 s left, on 2 slots: (80 + 10) / 2
        self.assertEqual(self.estimate(8.0, 12.0).left(TaskTally(2, 0, 8, (6.0, 4.0))), 45.0)
        self.assertEqual(self.estimate(10.0).left(TaskTally(9, 0, 0, (6.0, 1.0))), 9.0)

    def test_a_slot_that_is_free_for_a_moment_changes_it_little(self):
        estimate = self.estimate(10.0)
        before = estimate.left(TaskTally(2, 0, 10, (0.0,) * 10))
        after = estimate.left(TaskTally(3, 0, 10, (0.0,) * 9))
        self.assertLess(abs(after - before), 0.2 * before)

    def test_the_line_has_counts_rate_and_estimate(self):
        self.assertEqual(self.estimate(10.0).text(TaskTally(4, 1, 8, (6.0, 4.0)), 140.0),
                         '4/14 done, 2 running, 1 failed, 6/min, ETA 45 s')
        self.assertEqual(self.estimate().text(TaskTally(0, 0, 3, (1.0,)), 101.0),
                         '0/4 done, 1 running')

    def test_rates_have_a_unit_that_suits_them(self):
        self.assertEqual([task_monitor.rate(value) for value in (3.25, 0.5, 1 / 120)],
                         ['3.2/s', '30/min', '30.0/h'])


class Reasons(unittest.TestCase):
    """lwt task why."""

    def test_all_reasons_of_a_host_are_given_with_sizes_for_people(self):
        found = capacity.refusals(
            Host('h', 'd'), Health('h', 'out', reason='refused'),
            (0.0, Sample(cores=2, memory=8 << 20, free_memory=3 << 20, free_disk=9 << 20), ''), 2,
            Desc('x', category='c', memory=4 << 20), config.load(None, {}, ()), 12)
        self.assertEqual(found, ['category is d, the task requires c', 'quarantined: refused',
                                 '2 of its 2 slots are taken, the task needs 1',
                                 'free memory: 3.0 GB, the task needs 4.0 GB'])

    def test_hosts_with_the_same_reason_share_a_row(self):
        self.assertEqual(task_why.folded([('h1', 'a'), ('h2', 'b'), ('h3', 'a'), ('h4', 'a')]),
                         [('h[1,3-4]', 'a'), ('h2', 'b')])


class Printed(ProgramTestCase):
    """The program, with this machine as its only host."""

    def setUp(self):
        super().setUp()
        self.make_workspace(LOCAL)
        self.describe('sweep', 'exec : echo value {}; echo step {} >&2; echo "bad value" >&2; '
                               '[ {} -lt 3 ]\n')
        self.describe('good', 'exec : true\n')

    def on_terminal(self, *words, columns=80):
        """Return what lwt prints on a terminal, standard output and standard error."""
        ours, theirs = pty.openpty()
        try:
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
            popen = self.start(*words, stdout=theirs, stderr=theirs)
            os.close(theirs)
            seen = b''
            while True:
                try:
                    data = os.read(ours, 65536)
                except OSError:         # EIO: no process has the other side open
                    break
                if not data:
                    break
                seen += data
            popen.communicate(timeout=60)
        finally:
            os.close(ours)
        return seen.decode()

    def test_a_run_prints_a_line_for_each_task_and_one_for_each_kind_of_failure(self):
        self.lwt('task', 'add', 'sweep', '--array', '1-4')
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 1, done)
        lines = sorted(re.sub(r'[\d.]+ s$', 'TIME', re.sub(r'\.\d{8}-\d{6}\.', '.DATE.', line))
                       for line in done.err.splitlines())
        self.assertEqual(lines, [
            'lwt: 000001 sweep 1: success on localhost, TIME',
            'lwt: 000002 sweep 2: success on localhost, TIME',
            'lwt: 000003 sweep 3: failed on localhost (exit code 1); output in '
            'task.finish/sweep.DATE.000003',
            'lwt: 000004 sweep 4: failed on localhost (exit code 1); output in '
            'task.finish/sweep.DATE.000004',
            'lwt: 2 success, 2 failed',
            'lwt: 2 tasks failed: exit code 1: bad value (lwt task show 000003)'])
        self.assertTrue(done.err.endswith(
            'lwt: 2 tasks failed: exit code 1: bad value (lwt task show 000003)\n'
            'lwt: 2 success, 2 failed\n'), done)

    def test_the_counts_are_those_of_the_run(self):
        self.lwt('task', 'add', 'sweep', '--array', '3-4')
        self.lwt('task', 'run')
        self.lwt('task', 'add', 'good')
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 0, done)
        self.assertEqual(done.err.splitlines()[-1], 'lwt: 1 success')
        self.assertNotIn('failed', done.err)
        self.assertEqual(self.lwt('task', 'run').err, 'lwt: no open tasks\n')

    def test_steps_are_printed_with_v_only(self):
        for words, expected in ((('-v',), True), ((), False)):
            self.lwt('task', 'add', 'good')
            done = self.lwt(*words, 'task', 'run')
            self.assertEqual('launching on localhost' in done.err, expected, done)

    def test_q_leaves_the_kinds_of_failures(self):
        self.lwt('task', 'add', 'good')
        self.assertEqual(self.lwt('-q', 'task', 'run').err, '')
        self.lwt('task', 'add', 'good')
        self.lwt('task', 'add', 'sweep', '--array', '3-3')
        self.assertEqual(self.lwt('-q', 'task', 'run').err,
                         'lwt: 1 task failed: exit code 1: bad value (lwt task show 000003)\n')

    def test_an_attempt_that_is_followed_by_another_is_told(self):
        self.describe('flaky', 'exec : [ $LWT_ATTEMPT = 2 ]\nretries : 1\nretry_on : failed\n')
        self.lwt('task', 'add', 'flaky')
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 0, done)
        self.assertIn('lwt: 000001 flaky: attempt 1: failed on localhost (exit code 1), will be '
                      'retried\n', done.err)

    def test_a_terminal_has_a_progress_line_and_the_failures(self):
        self.lwt('task', 'add', 'sweep', '--array', '4-4')
        self.lwt('task', 'run')
        self.lwt('task', 'add', 'sweep', '--array', '1-3')
        seen = self.on_terminal('task', 'run')
        self.assertNotIn('launching', seen)
        self.assertNotIn('success on', seen)
        self.assertIn('lwt: 000004 sweep 3: failed on localhost (exit code 1); output in', seen)
        shown = re.findall(r'\r(\d)/(\d) done, ', seen)
        self.assertTrue(shown, seen)
        self.assertEqual({total for _done, total in shown}, {'3'}, 'of this run')
        progress = [part for part in re.split(r'[\r\n]+', seen) if ' done, ' in part]
        self.assertLessEqual(max(map(len, progress)), 80)
        # At the end, the line is removed.
        self.assertTrue(seen.endswith('\r\nlwt: 2 success, 1 failed\r\n'), repr(seen))

    def test_details_fit_the_terminal_and_break_no_word(self):
        words = ['word%d' % number for number in range(60)]
        self.describe('long', 'exec : echo %s >&2; echo first; exit 5\n' % ' '.join(words))
        self.lwt('task', 'add', 'long')
        self.lwt('task', 'run')
        seen = self.on_terminal('task', 'show', '1', columns=60)
        lines = re.sub('\033\\[[0-9]*m', '', seen).split('\r\n')
        self.assertLessEqual(max(len(line) for line in lines if 'task.finish/' not in line), 60)
        for word in words:
            self.assertIn(word, re.split(r'[\s;]+', seen))
        self.assertRegex(lines[0], r'^000001 long: failed on localhost \(exit code 5\), [\d.]+ s$')
        name = os.path.basename(self.results()[0])
        self.assertIn('stdout    task.finish/%s/run.stdout' % name, lines)
        self.assertEqual(lines[lines.index('stdout    task.finish/%s/run.stdout' % name) + 1],
                         '  | first')
        self.assertIn('stderr    task.finish/%s/run.stderr' % name, lines)

    def test_why_names_the_task_that_is_waited_for(self):
        self.describe('slow', 'exec : sleep 9979\n')
        self.lwt('task', 'add', 'slow')
        self.lwt('task', 'update')
        self.lwt('task', 'add', 'good', '--after', '1')
        self.assertRegex(self.lwt('task', 'why', '2').out,
                         r'^000002 good: waiting for 000001 \(running on localhost, \d+ s\)\n$')
        self.assertRegex(self.lwt('task', 'why', '1').out,
                         r'^000001 slow: not waiting: running on localhost, \d+ s\n$')
        self.assertRegex(self.lwt('task', 'show').out,
                         r'000001  slow  running +1  localhost  [\d.]')
        self.lwt('task', 'kill', '1')
        self.assertIn('000002 good: waiting for 000001 (killed on localhost), which must succeed '
                      'first; to retry it: lwt task retry 000001',
                      self.lwt('task', 'why', '2').out)

    def test_why_of_a_finished_task_and_of_one_that_can_start(self):
        self.lwt('task', 'add', 'sweep', '--array', '3-3')
        self.lwt('task', 'run')
        self.assertEqual(self.lwt('task', 'why', '1').out,
                         '000001 sweep 3: not waiting: finished on localhost (failed, exit code '
                         '1)\n')
        self.lwt('task', 'add', 'good')
        self.assertEqual(self.lwt('task', 'why', '2').out.splitlines(), [
            '000002 good: waiting for a host', 'HOSTS      REASON',
            'localhost  has room; takes the task on the next pass'])

    def test_a_missing_subcommand_names_them(self):
        self.assert_refused(self.lwt('task'), 2, 'lwt: lwt task: missing subcommand (add, update, ')


class Elapsed(unittest.TestCase):
    """The time column."""

    def test_it_is_the_time_so_far_of_a_task_that_runs(self):
        now = time.time()
        running = TASK._replace(state='running', started=now - 40)
        self.assertAlmostEqual(task_view.elapsed(running, now), 40)
        self.assertIsNone(task_view.elapsed(running._replace(state='new', started=None), now))
        done = running._replace(state='done', ended=now - 10)
        self.assertAlmostEqual(task_view.elapsed(done, now), 30)
        self.assertEqual(task_view.elapsed(done._replace(wall=29.5), now), 29.5)
        self.assertIsNone(task_view.elapsed(running._replace(started=now + 9), now),
                          'the clock was set back')


if __name__ == '__main__':
    unittest.main()
