"""The notation of lwt multi -S."""

import unittest

from lwt.errors import UsageError
from lwt.multi import logins


def told(found):
    """Return logins as (name, slots)."""
    return [(login.host.name, login.slots) for login in found]


class Logins(unittest.TestCase):
    """Tables."""

    def test_a_value_is_hosts_with_or_without_slots(self):
        for text, expected in (
                ('h1', [('h1', None)]),
                ('4/h1,8/me@h2', [('h1', 4), ('me@h2', 8)]),
                (':', [(':', None)]),
                ('2/:, h1 ,', [(':', 2), ('h1', None)]),
                ('[fe80::1%eth0]', [('fe80::1%eth0', None)])):
            with self.subTest(text=text):
                self.assertEqual(told(logins.parse(text)), expected)

    def test_this_machine_is_local(self):
        self.assertTrue(logins.parse(':')[0].host.is_local)
        self.assertFalse(logins.parse('localhost')[0].host.is_local)

    def test_bad_values_are_refused(self):
        for text, said in (('0/h1', 'expected N/HOST'), ('x/h1', 'expected N/HOST'),
                           ('4097/h1', 'expected N/HOST'), ('4/', 'expected N/HOST'),
                           ('h[1-2]', 'sets of hosts'), ('-h1', 'bad host name'),
                           ('h1:22', 'cannot contain a port'),
                           ('ssh -p 22 h1', 'a command for ssh'), ('@web/h1', 'host groups'),
                           ('4//usr/bin/myssh h1', 'a command for ssh')):
            with self.subTest(text=text):
                with self.assertRaises(UsageError) as caught:
                    logins.parse(text)
                self.assertIn(said, caught.exception.message)

    def test_a_file_has_comments_and_empty_lines(self):
        found = logins.parse_file('# all\n\n4/h1\n  h2, h3\n', 'list')
        self.assertEqual(told(found), [('h1', 4), ('h2', None), ('h3', None)])
        with self.assertRaisesRegex(UsageError, r'list:2: .*expected N/HOST'):
            logins.parse_file('h1\nbad/h2\n', 'list')

    def test_a_host_that_is_named_twice_has_the_slots_of_both(self):
        found = logins.merged(logins.parse('2/h1,h2,3/h1,4/h2'))
        self.assertEqual(told(found), [('h1', 5), ('h2', None)])
        with self.assertRaises(UsageError):
            logins.merged([])
