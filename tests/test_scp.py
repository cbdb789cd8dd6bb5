"""scp: its command lines, and the paths that are safe in them."""

import unittest

from lwt import scp, ssh
from lwt.errors import UsageError
from lwt.workspace.hostlist import Host

TRANSPORT = ssh.Transport('/usr/bin/ssh', '/usr/bin/scp', '/usr/bin', config='/c')
LOCAL = Host('localhost', 'local')


def after_dashes(words):
    return words[words.index('--') + 1:]


class Puts(unittest.TestCase):
    """Copies to a host."""

    def test_sources_and_then_the_directory_stand_behind_two_dashes(self):
        words = scp.upload_argv(TRANSPORT, Host('h'), ('/a b', '/c:d'), 'w/x')
        self.assertEqual(after_dashes(words), ('/a b', '/c:d', 'h:w/x/'))

    def test_the_options_are_sshs_own_after_a_log_level_without_chatter(self):
        words = scp.upload_argv(TRANSPORT, Host('h'), ('/a',), 'w')
        self.assertEqual(words[:6], ('/usr/bin/scp', '-r', '-p', '-q', '-o', 'LogLevel=ERROR'))
        self.assertEqual(words[6:words.index('--')], ssh.options(TRANSPORT))

    def test_the_protocol_is_an_option(self):
        for protocol in (scp.SFTP, scp.LEGACY):
            with self.subTest(protocol=protocol):
                for words in (scp.upload_argv(TRANSPORT, Host('h'), ('/a',), 'w', 0, protocol),
                              scp.download_argv(TRANSPORT, Host('h'), ('a',), '/d', 0, protocol)):
                    self.assertEqual(words[3:4], protocol)

    def test_over_sftp_any_directory_is_literal(self):
        words = scp.upload_argv(TRANSPORT, Host('h'), ('/a',), "/a b/'*", 0, scp.SFTP)
        self.assertEqual(after_dashes(words), ('/a', "h:/a b/'*/"))

    def test_C_8_a_directory_that_is_not_plain_is_refused(self):
        for directory in ('a b', '', '-x', '~/x', 'a;b', '$x', "a'b", 'a\nb', 'w\n', '*', 'a:b',
                          '\xe9'):
            with self.subTest(directory=directory):
                self.assertRaises(UsageError, scp.upload_argv, TRANSPORT, Host('h'), ('/a',),
                                  directory)

    def test_plain_paths_are_taken(self):
        for directory in ('w', '/w/x', './.lwt/put-1', 'a+b_C.9'):
            with self.subTest(directory=directory):
                self.assertTrue(scp.is_plain(directory))

    def test_a_limit_is_given_only_where_there_is_one(self):
        for limit, expected in ((0, ()), (800, ('-l', '800'))):
            with self.subTest(limit=limit):
                words = scp.upload_argv(TRANSPORT, Host('h'), ('/a',), 'w', limit)
                self.assertEqual(words[6 + len(ssh.options(TRANSPORT)):words.index('--')], expected)


class Gets(unittest.TestCase):
    """Copies from a host."""

    def test_every_odd_character_of_a_path_is_taken_literally(self):
        for path, word in (('/a/b.c', 'h:/a/b.c'), ('a b', r'h:a\ b'), ('*?[x]', r'h:\*\?\[x\]'),
                           ("it's", r"h:it\'s"),
                           ('$(x);`y`', r'h:\$\(x\)\;\`y\`'), ('a\\b', r'h:a\\b'),
                           ('\xe9', 'h:\\\xe9'), ('a:b', r'h:a\:b')):
            with self.subTest(path=path):
                self.assertEqual(
                    after_dashes(scp.download_argv(TRANSPORT, Host('h'), (path,), '/d')),
                                 (word, '/d/'))

    def test_H_12_an_ipv6_address_is_in_brackets(self):
        for name, address in (('::1', '[::1]'), ('[::1]', '[::1]'), ('u@::1', 'u@[::1]'),
                              ('u@h', 'u@h'), ('h', 'h'),
                              ('fe80::1%eth0', '[fe80::1%eth0]')):
            with self.subTest(name=name):
                self.assertEqual(
                    after_dashes(scp.download_argv(TRANSPORT, Host(name), ('x',), '/d'))[0],
                                 address + ':x')
                self.assertEqual(
                    after_dashes(scp.upload_argv(TRANSPORT, Host(name), ('/x',), 'd'))[1],
                                 address + ':d/')


class Batches(unittest.TestCase):
    """sftp with commands on its standard input."""

    def test_sftp_is_beside_scp_and_reads_its_input(self):
        words = scp.batch_argv(TRANSPORT, Host('u@::1'))
        self.assertEqual(words[0], '/usr/bin/sftp')
        self.assertEqual(words[-4:], ('-b', '-', '--', 'u@[::1]'))

    def test_a_word_is_quoted_and_a_newline_is_refused(self):
        for path, word in (('a b', '"a b"'), ('a"b', r'"a\"b"'), ('a\\b', r'"a\\b"'),
                           ("*'", '"*\'"')):
            with self.subTest(path=path):
                self.assertEqual(scp.batch_word(path), word)
        self.assertRaises(UsageError, scp.batch_word, 'a\nb')

    def test_in_a_pattern_a_newline_matches_any_character(self):
        for path, word in (("it's new\nline", r"it\'s\ new?line"), ('a?*[b]\\', r'a\?\*\[b\]\\')):
            with self.subTest(path=path):
                self.assertEqual(scp.batch_pattern(path), word)

    def test_in_a_pattern_only_its_own_characters_are_not_literal(self):
        words = scp.download_argv(TRANSPORT, Host('h'), ('a b/*?[x].$',), '/d', is_pattern=True)
        self.assertEqual(after_dashes(words), (r'h:a\ b/*?[x].\$', '/d/'))


class ThisMachine(unittest.TestCase):
    """cp replaces scp, without ssh."""

    def test_cp_is_called_with_two_dashes_and_literal_paths(self):
        bare = ssh.Transport('', '')
        self.assertEqual(scp.upload_argv(bare, LOCAL, ('/a b', '/c'), 'w'),
                         ('cp', '-RLp', '--', '/a b', '/c', 'w/'))
        self.assertEqual(scp.download_argv(bare, LOCAL, ('-a *',), '/d'),
                         ('cp', '-RLp', '--', '-a *', '/d/'))

    def test_C_13_a_missing_scp_is_an_error_for_any_other_host(self):
        bare = ssh.Transport('/usr/bin/ssh', '', '/a')
        for copy in (scp.upload_argv, scp.download_argv):
            with self.subTest(copy=copy.__name__):
                with self.assertRaises(UsageError) as caught:
                    copy(bare, Host('h'), ('/a',), 'w')
                self.assertEqual(caught.exception.message, 'scp not found in PATH=/a')


if __name__ == '__main__':
    unittest.main()
