"""Options: how values are read, which source takes precedence, and the error messages."""

import os
import tempfile
import unittest

from lwt.errors import UsageError
from lwt.workspace import config

GUIDE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'docs', 'guide',
                     'hosts-and-options.md')


class Values(unittest.TestCase):
    """What each reader accepts and refuses."""

    ACCEPTED = (
        (config.seconds, '90', 90.0), (config.seconds, '1.5', 1.5), (config.seconds, '.5', 0.5),
        (config.seconds, '90s', 90.0),
        (config.seconds, '5m', 300.0), (config.seconds, '2h', 7200.0),
        (config.seconds, '1d', 86400.0),
        (config.seconds, ' 0 ', 0.0), (config.count, '0', 0), (config.count, '12', 12),
        (config.count, '1e6', 1000000),
        (config.positive, '1', 1), (config.positive, '1e3', 1000), (config.hours, '23-8', (23, 8)),
        (config.hours, '0-23', (0, 23)), (config.hours, ' 9-17 ', (9, 17)),
        (config.word, ' as it is ', ' as it is '),
    )
    REFUSED = (
        (config.seconds, ('', 's', '-1', 'nan', 'inf', '1d2', '1e2', '5 m', '5M', '1.', '+1', '1,5',
                          '\u0661', '9' * 400)),
        (config.count, ('', '-1', '1.5', 'x', '1e', 'e5', '1 0', '\u0662', '\xb2', '1' * 13)),
        (config.positive, ('', '0', '-1', 'x', '0e5')),
        (config.hours, ('', '23', '24-8', '8-24', '-1-8', '8-', '8:00-9:00')),
    )

    def test_values_as_a_user_writes_them_are_read(self):
        for read, text, value in self.ACCEPTED:
            with self.subTest(read=read.__name__, text=text):
                self.assertEqual(read(text), value)

    def test_C_2_and_C_3_what_is_no_value_is_refused(self):
        for read, texts in self.REFUSED:
            for text in texts:
                with self.subTest(read=read.__name__, text=text):
                    self.assertRaises(ValueError, read, text)


class Precedence(unittest.TestCase):
    """default < lwt.conf < environment < overrides; later overrides take precedence."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, 'lwt.conf')

    def conf(self, text):
        with open(self.path, 'w', encoding='utf-8') as file:
            file.write(text)
        return self.path

    def error(self, environ=None, overrides=()):
        with self.assertRaises(UsageError) as caught:
            config.load(self.path, environ or {}, overrides)
        return caught.exception

    def test_each_place_wins_over_the_one_before(self):
        path = self.conf('[lwt]\nfanout = 2\n')
        flags = (('fanout', '4', '--set'), ('fanout', '5', '-f'))
        for expected, arguments in ((32, (None, {}, ())), (2, (path, {}, ())),
                                    (3, (path, {'LWT_FANOUT': '3'}, ())),
                                    (4, (path, {'LWT_FANOUT': '3'}, flags[:1])),
                                    (5, (path, {'LWT_FANOUT': '3'}, flags))):
            with self.subTest(expected=expected):
                self.assertEqual(config.load(*arguments).fanout, expected)

    def test_an_absent_file_and_an_empty_variable_say_nothing(self):
        self.assertEqual(config.load(self.path, {'LWT_FANOUT': '', 'LWT_OTHER': 'x'}, ()),
                         config.load(None, {}, ()))

    def test_an_unknown_key_is_an_error_with_the_nearest_name(self):
        self.conf('[lwt]\nfannout = 2\n')
        error = self.error()
        self.assertIn(self.path, error.message)
        self.assertIn('fannout', error.message)
        self.assertEqual(error.hint, 'did you mean fanout?')

    def test_an_error_names_the_place_the_text_and_what_was_expected(self):
        self.conf('')
        for environ, overrides, place in (({'LWT_GRACE': 'soon'}, (), 'LWT_GRACE'),
                                          ({}, (('grace', 'soon', '--grace'),), '--grace')):
            with self.subTest(place=place):
                message = self.error(environ, overrides).message
                self.assertTrue(message.startswith(place + ': '), message)
                self.assertIn("'soon'", message)
                self.assertIn('expected seconds', message)

    def test_a_file_that_is_none_is_refused_in_one_line(self):
        for text in ('fanout = 2\n', '[other]\nfanout = 2\n', '[lwt]\nfanout\n',
                     '[lwt]\nfanout=1\nfanout=2\n',
                     '[DEFAULT]\nfanout = 2\n'):
            with self.subTest(text=text):
                self.conf(text)
                message = self.error().message
                self.assertIn(self.path, message)
                self.assertNotIn('\n', message)

    def test_a_file_that_is_not_utf_8_is_refused(self):
        with open(self.path, 'wb') as file:
            file.write(b'[lwt]\n# \xff\n')
        self.assertIn(self.path, self.error().message)

    def test_a_percent_sign_means_itself(self):
        self.assertEqual(config.load(self.conf('[lwt]\nssh_config = /a/%h\n'), {}, ()).ssh_config,
                         '/a/%h')

    def test_the_template_with_every_comment_sign_removed_says_the_defaults(self):
        lines = config.template().split('\n')
        given = [line[1:] if line.startswith('#') and not line.startswith('# ') else line
                 for line in lines]
        self.assertNotEqual(given, lines)
        self.assertEqual(config.load(self.conf('\n'.join(given)), {}, ()),
                         config.load(None, {}, ()))
        self.assertEqual(config.load(self.conf(config.template()), {}, ()),
                         config.load(None, {}, ()))


class Assignments(unittest.TestCase):
    """--set KEY=VALUE."""

    def test_key_and_value_are_split_at_the_first_equals_sign(self):
        for text, key, value in (('a=b', 'a', 'b'), (' a = b ', 'a', 'b'), ('a=', 'a', ''),
                                 ('a=b=c', 'a', 'b=c')):
            with self.subTest(text=text):
                self.assertEqual(config.assignment(text), (key, value, '--set ' + key))

    def test_one_without_an_equals_sign_is_refused(self):
        self.assertRaises(UsageError, config.assignment, 'fanout')


class Table(unittest.TestCase):
    """The table of options itself."""

    def test_the_template_explains_each_option_with_unit_and_default(self):
        blocks = config.template().split('\n\n')[1:]
        self.assertEqual(len(blocks), len(config.OPTIONS))
        for option, block in zip(config.OPTIONS, blocks):
            with self.subTest(option=option.key):
                help_line, unit_line, option_line = block.rstrip('\n').split('\n')
                self.assertLessEqual(len(help_line), 100)
                self.assertTrue(help_line.startswith('# ') and help_line.endswith('.'), help_line)
                self.assertEqual(unit_line, '# Unit: %s.  Default: %s.' % (
                    config.UNITS[option.metavar], option.default or 'none'))
                self.assertEqual(option_line, '#%s = %s' % (option.key, option.default))

    def test_the_guide_lists_all_options(self):
        with open(GUIDE, encoding='utf-8') as file:
            rows = [line.split(' | ') for line in file if line.startswith('| `')]
        listed = {row[0].strip('|` '): row[1:] for row in rows if len(row) == 5}
        self.assertEqual(list(listed), [option.key for option in config.OPTIONS])
        for option in config.OPTIONS:
            with self.subTest(option=option.key):
                flags = ', '.join('`%s`' % flag for flag in option.flags)
                self.assertEqual(listed[option.key], [
                    option.default or '(none)', '`LWT_%s`' % option.key.upper(), flags,
                    option.help + ' |\n'])

    def test_no_key_and_no_flag_is_there_twice(self):
        flags = [flag for option in config.OPTIONS for flag in option.flags]
        self.assertEqual(len(flags), len(set(flags)))
        self.assertEqual(len(config.OPTIONS), len(config.BY_KEY))


if __name__ == '__main__':
    unittest.main()
