"""Host lists and selections: what is accepted, what is refused, and the error messages."""

import time
import unittest

from lwt.errors import UsageError
from lwt.workspace import hostlist
from lwt.workspace.hostlist import Host, Selection
from tests.support import ProgramTestCase


class Lists(unittest.TestCase):
    """The text of a host list."""

    def error(self, text):
        with self.assertRaises(UsageError) as caught:
            hostlist.parse(text, 'L')
        return caught.exception

    def test_columns_become_fields_in_the_order_of_the_list(self):
        self.assertEqual(hostlist.parse('b\tx\t~\na\ty\t/w dir\tslots=2\tnote=a=b\n', 'L'),
                         [Host('b', 'x', '~'),
                          Host('a', 'y', '/w dir', (('slots', '2'), ('note', 'a=b')))])

    def test_H_1_a_list_without_hosts_is_refused(self):
        for text in ('', '\n\n', '# only\n  # comments\n', '\ufeff', ' \t \n'):
            with self.subTest(text=text):
                self.assertEqual(self.error(text).message, 'no hosts in L')

    def test_H_3_two_columns_or_spaces_name_the_line_and_the_tab(self):
        for text, found in (('h\tc\t~\n\nh2\tc\n', '2 columns'), ('# x\n\nh c ~\n', '1 column')):
            with self.subTest(text=text):
                error = self.error(text)
                self.assertTrue(error.message.startswith('L:3: '), error.message)
                self.assertTrue(error.message.endswith('found ' + found), error.message)
                self.assertIn('TAB', error.hint)

    def test_H_3_a_fourth_column_must_be_key_and_value(self):
        for column in ('x', '=x', 'a b=c', '-a=b'):
            with self.subTest(column=column):
                self.assertIn('L:1: expected key=value',
                              self.error('h\tc\t~\t%s\n' % column).message)

    def test_H_4_crlf_a_bom_trailing_blanks_and_a_missing_last_newline_are_accepted(self):
        plain = [Host('h', 'c', '~'), Host('i', 'c', '~')]
        for text in ('h\tc\t~\r\ni\tc\t~\r\n', '\ufeffh\tc\t~\ni\tc\t~\n',
                     'h\tc\t~ \t \ni \t c\t~\t\n', 'h\tc\t~\ni\tc\t~'):
            with self.subTest(text=text):
                self.assertEqual(hostlist.parse(text, 'L'), plain)

    def test_H_5_the_same_line_twice_is_one_host_another_home_is_an_error(self):
        self.assertEqual(hostlist.parse('h\tc\t~\nh\tc\t~\n', 'L'), [Host('h', 'c', '~')])
        for second in ('h\tc\t~/w', 'h\td\t~', 'h\tc\t~\tslots=2'):
            with self.subTest(second=second):
                self.assertIn('L:2: h is listed twice, with different columns',
                              self.error('h\tc\t~\n%s\n' % second).message)

    def test_H_6_a_name_that_could_be_an_option_or_a_shells_word_is_refused(self):
        for name in ('-oProxyCommand=touch x', '-h', 'a;b', 'a b', '../x', '.x', 'a/b', 'a' * 256,
                     'a\0b', 'a\x1b[2J', '$x',
                     'a\xe9', 'a\u202eb', '`x`', 'a=b', 'user@-oX', 'user@'):
            with self.subTest(name=name):
                message = self.error('ok\tc\t~\n%s\tc\t~\n' % name).message
                self.assertTrue(message.startswith('L:2: bad host name '), message)
                self.assertTrue(message.isprintable(), message)
                self.assertLess(len(message), 100)

    def test_H_7_a_home_that_is_not_the_users_own_is_refused(self):
        for home in ('/', '//', '~x', '~nosuch/w', '../w', '~/../w', '/a/..', 'a\x01b', 'a\x7f'):
            with self.subTest(home=home):
                self.assertIn('L:1: bad HOME', self.error('h\tc\t%s\tk=v\n' % home).message)
        self.assertIn('HOME is empty', self.error('h\tc\t\tk=v\n').message)

    def test_H_7_homes_with_spaces_and_quotes_and_relative_ones_work(self):
        for home in ('~', '~/w', 'w', 'w/x', '/data/w', 'a b', "it's", '"$x"', 'a..b', '\xe9'):
            with self.subTest(home=home):
                self.assertEqual(hostlist.parse('h\tc\t%s\n' % home, 'L')[0].home, home)

    def test_a_category_is_one_plain_word(self):
        for category in ('', 'a b', '-a', '.a', 'a/b', 'a;b', '\xe9'):
            with self.subTest(category=category):
                self.assertIn('L:1: bad category', self.error('h\t%s\t~\n' % category).message)

    def test_H_11_ten_thousand_hosts_are_read_at_once(self):
        text = ''.join('host%d.example.org\tc\t~\n' % number for number in range(10000))
        start = time.process_time()
        self.assertEqual(len(hostlist.parse(text, 'L')), 10000)
        self.assertLess(time.process_time() - start, 2.0)

    def test_H_12_addresses_users_aliases_and_capitals_are_names(self):
        for name in ('::1', 'fe80::1%eth0', 'user@host', 'user@::1', 'a.b-c_d', 'Node7',
                     '10.0.0.1', 'a' * 255):
            with self.subTest(name=name):
                self.assertEqual(hostlist.parse('%s\tc\t~\n' % name, 'L')[0].name, name)


class Values(unittest.TestCase):
    """Attributes of a Host."""

    def test_only_the_category_local_is_this_machine(self):
        self.assertTrue(Host('localhost', 'local').is_local)
        self.assertFalse(Host('localhost', 'x').is_local)
        self.assertFalse(Host('local').is_local)

    def test_an_extra_column_is_found_by_its_key(self):
        host = Host('h', extra=(('slots', '4'),))
        self.assertEqual((host.get('slots'), host.get('other'), host.get('other', 'x')),
                         ('4', '', 'x'))

    def test_text_in_an_error_is_quoted_escaped_and_cut(self):
        for text, shown in (('a', "'a'"), ('\xe9', "'\xe9'"), ('\x1b[m', "'\\x1b[m'"),
                            ('\u202e', "'\\u202e'"),
                            ('x' * 100, "'" + 'x' * 59 + '\u2026')):
            with self.subTest(text=text):
                self.assertEqual(hostlist.printable(text), shown)


class Selections(unittest.TestCase):
    """The hosts that -w, -g, -a and -x select."""

    A, B, C = Host('a', 'x', '~/a'), Host('b', 'y', '~/b'), Host('c', 'x', '~/c')

    def names(self, **said):
        said = {key: (value,) if isinstance(value, str) else value for key, value in said.items()}
        return [host.name
                for host in hostlist.select(Selection(**said),
                                            [self.A, self.B, self.C], lambda: [self.A, self.C],
                                            {'F': 'b\nz # not c\n'}.__getitem__)]

    def test_nodes_of_a_cluster(self):
        nodes = {'slurm': {'n1'}, 'slurm:p': {'a', 'n1', 'n2'}}.__getitem__

        def chosen(candidates=(), **said):
            return hostlist.select(Selection(**said), candidates, lambda: candidates, nodes=nodes)

        for said, wanted in (({'hosts': ('@slurm:p',)}, 'a n1 n2'), ({'hosts': ('@slurm',)}, 'n1'),
                             ({'hosts': ('@slurm:p,!n2',)}, 'a n1'),
                             ({'hosts': ('z,@slurm:p',), 'exclude': ('@slurm',)}, 'a n2 z'),
                             ({'hosts': ('@slurm:p,-@slurm',)}, 'a n2'),
                             ({'categories': ('slurm:p',)}, 'a n1 n2')):
            with self.subTest(said):
                self.assertEqual([host.name for host in chosen(**said)], wanted.split())
        listed = chosen([self.A], hosts=('@slurm:p',))
        self.assertEqual(listed, [self.A, Host('n1'), Host('n2')])
        own = Host('h', 'slurm')
        self.assertEqual(chosen([own], hosts=('@slurm',)), [own])
        with self.assertRaisesRegex(UsageError, 'slurm:p'):
            hostlist.select(Selection(('@slurm:p',)), [], list)

    def test_each_way_to_name_hosts(self):
        for said, expected in (({'hosts': 'b,a'}, 'a b'), ({'hosts': ' a , ,b, '}, 'a b'),
                               ({'hosts': 'a,a'}, 'a'),
                               ({'hosts': 'z,a'}, 'a z'), ({'categories': 'x'}, 'a c'),
                               ({'everything': True}, 'a c'),
                               ({'everything': True, 'exclude': 'a'}, 'c'),
                               ({'hosts': 'b', 'categories': 'x'}, 'a b c'),
                               ({'hosts': 'c,b', 'exclude': 'b,nosuch'}, 'c'),
                               ({'hosts': ('a,z', 'b!b', 'c')}, 'a c z'),
                               ({'hosts': '@x,h[9-10]'}, 'a c h9 h10'), ({'hosts': '@*'}, 'a c'),
                               ({'hosts': '?'}, 'a c'),
                               ({'hosts': 'a,b,c&^F'}, 'b'), ({'hosts': '^F', 'exclude': '^F'}, ''),
                               ({'hosts': 'z[1-3]', 'exclude': 'z[2-9]'}, 'z1'),
                               ({'everything': True, 'exclude': '@x'}, ''),
                               ({'categories': '@x,x'}, 'a c'), ({'categories': '*'}, 'a c'),
                               ({'categories': ('x', 'x!x')}, 'a c'), ({'hosts': ''}, ''),
                               ({'hosts': ' , '}, ''),
                               ({'categories': ''}, '')):
            with self.subTest(said=said):
                self.assertEqual(self.names(**said), expected.split())

    def test_a_listed_host_keeps_its_line_any_other_name_is_sshs(self):
        self.assertEqual(hostlist.select(Selection(('b,z',)), [self.B], None), [self.B, Host('z')])

    def test_no_selection_and_unknown_categories_are_errors(self):
        for said in ({}, {'exclude': 'a'}, {'categories': 'y'}, {'categories': 'nosuch'},
                     {'hosts': '@y'},
                     {'everything': True, 'exclude': '@y'}):
            with self.subTest(said=said):
                self.assertRaises(UsageError, self.names, **said)

    def test_H_6_and_S_2_a_name_that_could_be_an_option_or_a_shells_word_is_refused(self):
        for said in ({'hosts': '-oProxyCommand=x'}, {'hosts': '-b'}, {'hosts': '-[1-2]'},
                     {'everything': True, 'exclude': '-a'},
                     {'hosts': 'u@-o[1-2]'}, {'hosts': 'a;[1-2]'}, {'hosts': 'x$(y)[1-2]'},
                     {'hosts': 'a b'}):
            with self.subTest(said=said):
                self.assertRaises(UsageError, self.names, **said)


class Program(ProgramTestCase):
    """lwt hosts, and the options that select hosts."""

    def hosts(self, *words, stdin=b''):
        done = self.lwt('hosts', *words, stdin=stdin)
        self.assertEqual((done.code, done.err), (0, ''), done)
        return done.out

    def test_a_set_is_printed_one_a_line_folded_or_counted(self):
        for words, out in ((('-w', 'h[08-11]!h[9,10]'), 'h08\nh09\nh11\n'),
                           (('-w', 'r2n1,r1n[1-2],r2n2', '--fold'), 'r[1-2]n[1-2]\n'),
                           (('-w', 'h[1-20/2]', '--count'), '10\n'),
                           (('-w', 'h1', '-w', 'h2', '-x', 'h1', '-x', 'h3'), 'h2\n'),
                           (('-w', 'a&b', '--count'), '0\n'), (('-w', 'a&b', '--fold'), '\n'),
                           (('-w', 'a&b'), '')):
            with self.subTest(words=words):
                self.assertEqual(self.hosts(*words), out)

    def test_files_and_standard_input_name_hosts(self):
        self.write('up', '# those that are up\nh[1-3]\n\nx # one more\n')
        for words, out in ((('-w', '^up'), 'h[1-3],x'), (('-w', 'h[2-9]&^up'), 'h[2-3]'),
                           (('-w', 'h[1-9]', '-x', '^up'), 'h[4-9]'), (('-w', '-'), 'a,b[1-2]'),
                           (('-w', 'c,^-'), 'a,b[1-2],c')):
            with self.subTest(words=words):
                self.assertEqual(self.hosts(*words, '--fold', stdin=b'b1\nb2\na\n'), out + '\n')

    def test_categories_are_those_of_the_available_hosts(self):
        listed = [('h%d' % number, 'c%d' % (number % 2), '~') for number in range(1, 6)]
        self.make_workspace(listed + [('localhost', 'local', '~')])
        for words, out in (((), 'h[1-5],localhost'), (('-w', '@c1'), 'h[1,3,5]'),
                           (('-g', 'c[0-1]'), 'h[1-5]'),
                           (('-g', 'c*'), 'h[1-5]'), (('-a', '-x', '@c1'), 'h[2,4],localhost'),
                           (('-w', '@*!h*'), 'localhost'), (('-w', 'h?&h[4-9],z'), 'h[4-5],z')):
            with self.subTest(words=words):
                self.assertEqual(self.hosts(*words, '--fold'), out + '\n')
        self.write('host.list.available', 'h1\tc1\t~\n')
        self.assertEqual(self.hosts('-w', '@c1,h2'), 'h1\nh2\n')
        self.assertEqual(self.lwt('exec', '-w', 'h*,@local', '-x', 'h[1-9]', '--', 'true').code, 2)
        self.assert_refused(self.lwt('hosts', '-g', 'c0'), 2, "'@c0': no host of this category")

    def test_what_is_wrong_is_named_and_nothing_is_done(self):
        for words, said in ((('-w', 'h[2-1]'), "bad range '2-1'"), (('-w', 'h[1-3'), 'brackets'),
                            (('-w', '^none'), 'none: No such'),
                            (('-w', '@c'), 'no workspace'),
                            (('-w', 'h[0-1000000000]'), 'more than 1000000 hosts'),
                            (('-w', '-'), "bad host name '-oX'"), (('-w', 'a', '-x', '-o'), '-x')):
            with self.subTest(words=words):
                self.assert_refused(self.lwt('hosts', *words, stdin=b'-oX\n'), 2, said)
        self.assert_refused(self.lwt('exec', '-w', 'a!a', '--', 'true'), 2, 'no hosts selected')


if __name__ == '__main__':
    unittest.main()
