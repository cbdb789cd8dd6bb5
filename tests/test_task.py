"""Tasks: the desc file, the automaton, ids, and what is sent to a host."""

import shlex
import unittest
from itertools import product

from lwt.errors import UsageError
from lwt.tasks import model
from lwt.tasks.model import Desc, EVENTS, IMPOSSIBLE, REFUSED, SETTLE, STATES, TRANSITIONS

DESC = Desc('true')
TASK = model.Task(7, 'ab' * 16, 'crawl', 'crawl.1', None, DESC, 'launching', '', 2, '', 'h', '~',
                  '', '', '', None, '', 0,
                  0.0, None, None)


class Descriptions(unittest.TestCase):
    """The text of a desc file."""

    def error(self, text):
        with self.assertRaises(UsageError) as caught:
            model.parse_desc(text, 'D', 1)
        return caught.exception

    def test_every_key_is_read(self):
        text = (
            '# a comment\n\nexec : sh run.sh a:b\nkill: killall x\nd_fetch : ./out//dir/\ntimeout '
            ': 2h\nretries : 3\n'
            'retry_on : lost, timeout\nslots : 2\npriority : -5\ncategory : x\nhosts : a b\n'
            'memory : 2G\ndisk : 500M\n---\nexec : free text\n')
        self.assertEqual(model.parse_desc(text, 'D', 1), Desc(
            'sh run.sh a:b', 'killall x', 'out/dir', 7200.0, 3, ('lost', 'timeout'), 2, -5, 'x',
            'a b', 2 << 20, 500 << 10))

    def test_what_is_not_said_has_its_default(self):
        for text in ('exec:true', '\ufeffexec : true\r\n---\r\n', '  exec  :  true  \n'):
            with self.subTest(text=text):
                self.assertEqual(model.parse_desc(text, 'D', 4), Desc('true', retries=4))

    def test_D_2_an_exec_line_that_is_missing_empty_or_twice_is_refused(self):
        for text, message in (('', 'D: no exec line'), ('# exec : x\n', 'D: no exec line'),
                              ('---\nexec : x\n', 'D: no exec line'),
                              ('exec :\n', 'D:1: exec: empty command'),
                              ('\nexec : a\nexec : a\n', 'D:3: duplicate key exec')):
            with self.subTest(text=text):
                self.assertEqual(self.error(text).message, message)

    def test_D_2_an_unknown_key_is_refused_with_the_nearest(self):
        error = self.error('exec : a\nexecs : b\n')
        self.assertEqual(error.message, "D:2: unknown key 'execs'")
        self.assertEqual(error.hint, 'did you mean exec?')

    def test_D_2_the_word_kill_in_a_comment_is_no_kill_line(self):
        self.assertEqual(model.parse_desc('# kill : x\nexec : a # kill : y\n', 'D', 1),
                         Desc('a # kill : y'))

    def test_a_line_without_a_colon_or_with_a_nul_is_refused(self):
        for text in ('exec\n', 'exec : a\0b\n'):
            with self.subTest(text=text):
                self.assertEqual(self.error(text).message, 'D:1: expected key : value')

    def test_D_3_a_d_fetch_that_leads_out_or_is_a_pattern_is_refused(self):
        for path in ('..', '../..', 'a/../b', '/etc', '//', '*', 'a?', 'a[b]'):
            with self.subTest(path=path):
                self.assertIn('D:2: d_fetch: ',
                              self.error('exec : a\nd_fetch : %s\n' % path).message)

    def test_values_that_are_none_are_refused_with_key_and_line(self):
        for key, values in (('timeout', ('', 'x', '-1', 'inf')), ('retries', ('-1', 'x', '')),
                            ('slots', ('0', '-1', '')),
                            ('retry_on', ('', 'always', 'lost success')),
                            ('priority', ('', '1.5', '1' * 7)),
                            ('kill', ('',)), ('memory', ('', '-1', '1X', 'G')),
                            ('disk', ('1.5.2', 'all'))):
            for value in values:
                with self.subTest(key=key, value=value):
                    self.assertTrue(self.error(
                        'exec : a\n%s : %s\n' % (key, value)).message.startswith('D:2: %s: ' % key))


class Automaton(unittest.TestCase):
    """Every pair of a state and an event is decided exactly once."""

    HOST_SAYS = {'exited', 'cancelled', 'died', 'rebooted', 'absent', 'running'}
    # A second copy of the rules: the permitted events in each state.
    MEETS = {
        'new': {'place', 'kill', 'suspend'},
        'held': {'resume', 'kill', 'suspend'},
        'launching': HOST_SAYS | {'waiting', 'queued', 'stuck', 'unplaced', 'refused', 'kill',
                                  'suspend'},
        'withdrawing': HOST_SAYS | {'waiting', 'queued', 'kill', 'suspend'},
        'running': HOST_SAYS | {'kill', 'suspend'},
        'suspending': HOST_SAYS | {'waiting', 'queued', 'suspended', 'kill', 'resume'},
        'suspended': HOST_SAYS | {'queued', 'suspended', 'kill', 'resume'},
        'resuming': HOST_SAYS | {'waiting', 'queued', 'kill', 'suspend'},
        'killing': HOST_SAYS | {'waiting', 'queued', 'kill'},
        'fetching': {'fetched', 'absent'},
        'done': {'retry'},
    }

    def test_each_pair_is_in_exactly_one_table(self):
        for pair in product(STATES, EVENTS):
            with self.subTest(pair=pair):
                self.assertEqual((pair in TRANSITIONS) + (pair in REFUSED) + (pair in IMPOSSIBLE),
                                 1)
        self.assertEqual(set(TRANSITIONS) | REFUSED | IMPOSSIBLE, set(product(STATES, EVENTS)))

    def test_each_state_meets_the_events_that_the_protocol_allows(self):
        self.assertEqual(set(self.MEETS), set(STATES))
        for state, events in self.MEETS.items():
            with self.subTest(state=state):
                self.assertEqual({event for known, event in TRANSITIONS if known == state}, events)

    def test_every_transition_leads_to_a_state_or_to_the_end_of_the_attempt(self):
        self.assertEqual(set(TRANSITIONS.values()) - set(STATES), {SETTLE})

    def test_every_state_is_reached_from_new(self):
        reached, fresh = set(), {'new'}
        while fresh:
            reached |= fresh
            ends = {end for (state, _event), end in TRANSITIONS.items() if state in fresh}
            fresh = (ends - {SETTLE} | ({'new', 'done'} if SETTLE in ends else set())) - reached
        self.assertEqual(reached, set(STATES))

    def test_done_is_left_by_nothing_but_the_users_wish(self):
        self.assertEqual([pair for pair in TRANSITIONS if pair[0] == 'done'], [('done', 'retry')])

    def test_a_task_never_starts_a_second_time_by_an_answer(self):
        launching = {pair for pair, end in TRANSITIONS.items()
                     if end == 'launching'} - {('new', 'place')}
        # Its job is in the queue of a batch system, so it has not begun.
        launching.discard(('resuming', 'queued'))
        self.assertEqual({state for state, _event in launching}, {'launching'})

    def test_a_kill_that_was_wished_is_never_forgotten(self):
        ends = {end for (state, _event), end in TRANSITIONS.items() if state == 'killing'}
        self.assertEqual(ends, {'killing', 'fetching', SETTLE})

    def test_a_step_follows_the_table_refuses_and_reports_a_bug(self):
        for pair in product(STATES, EVENTS):
            with self.subTest(pair=pair):
                if pair in TRANSITIONS:
                    self.assertEqual(model.step(*pair), TRANSITIONS[pair])
                else:
                    self.assertRaises(UsageError if pair in REFUSED else AssertionError, model.step,
                                      *pair)


class Ends(unittest.TestCase):
    """How an attempt ended, and what follows."""

    ENDINGS = (
        (('exited', '0', 'running'), ('success', 0)), (('exited', '3', 'running'), ('failed', 3)),
        (('exited', '0', 'killing'), ('success', 0)),
        (('exited', 'timeout', 'running'), ('timeout', 124)),
        (('exited', 'killed', 'killing'), ('killed', 143)),
        (('exited', 'nonsense', 'running'), ('failed', 1)),
        (('exited', '', 'running'), ('failed', 1)), (('exited', '\xb2', 'running'), ('failed', 1)),
        (('died', '', 'running'), ('lost', None)), (('rebooted', '', 'launching'), ('lost', None)),
        (('absent', '', 'running'), ('lost', None)),
        (('cancelled', '', 'withdrawing'), ('withdrawn', None)),
        (('cancelled', '', 'launching'), ('lost', None)),
        (('cancelled', '', 'killing'), ('killed', None)),
        (('absent', '', 'killing'), ('killed', None)), (('kill', '', 'new'), ('killed', None)),
    )
    CONCLUSIONS = (
        ('success', 0, DESC, ('done', 0)), ('failed', 0, DESC, ('done', 0)),
        ('killed', 0, DESC, ('done', 0)),
        ('timeout', 0, DESC, ('done', 0)), ('lost', 0, DESC, ('new', 1)),
        ('lost', 1, DESC, ('done', 1)),
        ('lost', 0, DESC._replace(retries=0), ('done', 0)), ('withdrawn', 9, DESC, ('new', 9)),
        ('failed', 1, DESC._replace(retries=2, retry_on=('failed',)), ('new', 2)),
        ('lost', 0, DESC._replace(retry_on=('failed',)), ('done', 0)),
        ('timeout', 0, DESC._replace(retry_on=('failed', 'timeout')), ('new', 1)),
    )

    def test_R_11_each_answer_of_a_host_is_one_kind_of_end(self):
        for arguments, expected in self.ENDINGS:
            with self.subTest(arguments=arguments):
                self.assertEqual(model.ending(*arguments), expected)

    def test_a_code_that_no_process_can_have_does_not_reach_the_records(self):
        end, code = model.ending('exited', '9' * 30, 'running')
        self.assertEqual(end, 'failed')
        self.assertLess(code, 1 << 31)

    def test_another_attempt_follows_as_far_as_retries_allow(self):
        for end, failures, desc, expected in self.CONCLUSIONS:
            with self.subTest(end=end, failures=failures, desc=desc):
                past = model.Past((), int(end == 'withdrawn'))
                self.assertEqual(model.conclude(end, TASK._replace(failures=failures, desc=desc),
                                                past)[:2], expected)

    def test_a_task_that_ends_badly_on_several_hosts_is_held_with_the_reason(self):
        stubborn = TASK._replace(desc=DESC._replace(retries=9, retry_on=('failed',)))
        self.assertEqual(model.conclude('failed', stubborn, model.Past(('h1', 'h2')))[0], 'new')
        self.assertEqual(model.conclude('failed', stubborn, model.Past(('h1', 'h2', 'h3'))),
                         ('held', 1, 'failed on 3 hosts: h1 h2 h3'))
        self.assertEqual(model.conclude('withdrawn', stubborn, model.Past(('h1',), 5))[::2],
                         ('held', 'could not be started 5 times'))

    def test_what_is_withdrawn_while_it_is_to_be_suspended_is_held(self):
        self.assertEqual(
            model.conclude('withdrawn', TASK._replace(state='suspending'), model.Past((), 1)),
            ('held', 0, 'suspended'))


class Ids(unittest.TestCase):
    """Names and ids, as users type them."""

    NUMBERS = (1, 10, 11, 123456, 1234567)

    def test_C_14_an_id_means_itself_else_all_that_it_begins(self):
        for text, expected in (('1', [1]), ('000001', [1]), ('00001', [1, 10, 11]), ('01', [1]),
                               ('00011', [11]),
                               ('0000', [1, 10, 11]), ('12', [123456, 1234567]),
                               ('123456', [123456]), ('1234567', [1234567]), ('9', []),
                               ('000009', []), ('10', [10])):
            with self.subTest(text=text):
                self.assertEqual(model.match_ids(text, self.NUMBERS), expected)

    def test_C_14_what_is_no_id_is_refused(self):
        for text in ('', '../x', 'a', '-1', '1 ', '\xb2', '1' * 13):
            with self.subTest(text=text):
                self.assertRaises(UsageError, model.match_ids, text, self.NUMBERS)

    def test_ids_are_short_and_sort_in_the_order_of_adding(self):
        self.assertEqual([model.format_id(number) for number in (1, 999999, 1000000)],
                         ['000001', '999999', '1000000'])

    def test_D_1_a_name_that_is_no_folders_is_refused(self):
        for name in ('', '../../etc', 'a/b', 'a\n', '.', '..', '.x', '-x', 'a b', 'a' * 101, 'a\0',
                     '\xe9'):
            with self.subTest(name=name):
                self.assertRaises(UsageError, model.check_name, name)

    def test_plain_names_are_taken(self):
        for name in ('a', 'A1', '_x', 'a.b+c-d', 'a' * 100):
            with self.subTest(name=name):
                self.assertIsNone(model.check_name(name))


class Given(unittest.TestCase):
    """What a host gets for a task."""

    def test_a_first_word_that_names_a_file_means_that_file(self):
        for command, arg, expected in (('run.sh a', None, './run.sh a'),
                                       ('./run.sh a', None, './run.sh a'),
                                       ('sh run.sh', None, 'sh run.sh'),
                                       ('run.sh', None, './run.sh'),
                                       ('run.sh; true', None, 'run.sh; true'),
                                       ('/bin/run.sh', None, '/bin/run.sh')):
            with self.subTest(command=command):
                self.assertEqual(model.command_text(command, arg, {'run.sh', 'desc'}),
                                 expected + '\n')

    def test_a_value_is_one_word_whatever_is_in_it(self):
        for arg in ('1', 'a b', "it's", '$(x)', ';', '', '\xe9', '{}'):
            with self.subTest(arg=arg):
                self.assertEqual(shlex.split(model.command_text('x {} y{}', arg, ())),
                                 ['x', arg, 'y' + arg])

    def test_braces_are_left_alone_where_there_is_no_value(self):
        self.assertEqual(model.command_text('awk {}', None, ()), 'awk {}\n')

    def test_the_settings_tell_the_limits_and_the_environment(self):
        given = TASK._replace(arg="a 'b'", desc=DESC._replace(timeout=90.0))
        self.assertEqual(shlex.split(model.settings_text(given, 5)), [
            'task_timeout=90', 'task_grace=5', 'task_clock=' + ' '.join(['5'] * 18), 'export',
            'LWT_ID=' + 'ab' * 16 + '.2',
            'export', 'LWT_TASK=000007',
            'export', 'LWT_ATTEMPT=2', 'export', 'LWT_HOST=h', 'export', "LWT_ARG=a 'b'"])

    def test_there_is_no_value_in_the_environment_of_a_task_without_one(self):
        self.assertNotIn('LWT_ARG', model.settings_text(TASK, 5))

    def test_the_steps_of_a_time_out_make_up_the_whole_of_it(self):
        for timeout in (0.0, 0.5, 1.0, 7.25, 19.9, 20.0, 21.0, 90.0, 3600.0, 86401.5):
            with self.subTest(timeout=timeout):
                steps = model.clock_steps(timeout)
                self.assertAlmostEqual(sum(steps), timeout)
                self.assertLessEqual(len(steps), 20)
                self.assertTrue(all(step > 0 for step in steps))

    def test_a_long_time_out_is_a_plain_number(self):
        text = model.settings_text(TASK._replace(desc=DESC._replace(timeout=12 * 86400.0 + 1)), 5)
        self.assertIn('task_timeout=1036801\n', text)

    def test_two_attempts_never_share_a_directory(self):
        self.assertNotEqual(TASK.key, TASK._replace(attempt=3).key)


if __name__ == '__main__':
    unittest.main()
