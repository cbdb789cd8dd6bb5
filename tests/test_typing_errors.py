"""Typing errors in host.list, lwt.conf and variables: each is an error or a warning with file and
line.
"""

import unittest

from lwt.workspace import config
from tests.support import ProgramTestCase


class Program(ProgramTestCase):
    """lwt's messages about them."""

    def setUp(self):
        super().setUp()
        self.make_workspace()

    def hosts(self, lines, *words, **options):
        self.write('host.list', lines)
        return self.lwt(*(words or ('hosts', '-a')), **options)

    def test_UR_22_a_value_of_host_list_that_cannot_be_read(self):
        """UR-22: slots=two is an error with file and line."""
        for column in ('slots=two', 'slots=-1', 'slots=', 'slots=1.5', 'slots=99999',
                       'max_dtask_day=x',
                       'night=25-3', 'min_disk=-5'):
            for words in (('hosts', '-a'), ('exec', '-a', '--', 'true'), ('task', 'update'),
                          ('probe',)):
                with self.subTest(column=column, words=words):
                    done = self.hosts('# x\nh1\tlocal\t~\t%s\n' % column, *words)
                    self.assert_refused(done, 2, 'host.list:2: ', column.partition('=')[0])

    def test_UR_22_a_key_that_is_nearly_known(self):
        """UR-22: slot=2 and max_cpu_dya=5 cause a warning; a column of the user's own does not."""
        for column, near in (('slot=2', 'slots'), ('solts=2', 'slots'),
                             ('max_cpu_dya=5', 'max_cpu_day'),
                             ('min_dsik=5', 'min_disk')):
            with self.subTest(column=column):
                done = self.hosts('h1\tlocal\t~\t%s\n' % column)
                self.assertEqual((done.code, done.out), (0, 'h1\n'), done)
                self.assertIn('host.list:1: %s: unknown key; did you mean %s?' % (column, near),
                              done.err)
        done = self.hosts('h1\tlocal\t~\tfanout=3\n')
        self.assertIn('host.list:1: fanout=3: has no effect in host.list; set it in lwt.conf',
                      done.err)
        done = self.hosts('h1\tlocal\t~\tport=80\tnote=x\tgpu=a100\tslots=2\n')
        self.assertEqual((done.code, done.out, done.err), (0, 'h1\n', ''))

    def test_UR_22_a_host_that_is_listed_twice(self):
        """UR-22: the second line is named, once; with another home it is an error."""
        done = self.hosts('h1\tlocal\t~\nh2\tlocal\t~\nh1\tlocal\t~\n', 'exec', '-a', '-N', '--',
                          'echo x')
        self.assertEqual((done.code, done.out), (0, 'x\nx\n'), done)
        self.assertEqual(done.err.count('host.list:3: h1 is listed twice'), 1, done)
        done = self.hosts('h1\tlocal\t~\nh1\tlocal\t~\n', '-q', 'hosts', '-a')
        self.assertEqual((done.code, done.err), (0, ''), done)
        done = self.hosts('[::1]\tc\t~\n::1\tc\t~\n')
        self.assertIn('host.list:2: ::1 is listed twice', done.err)
        done = self.hosts('h1\tlocal\t~\nh1\tlocal\t~/x\n')
        self.assert_refused(done, 2, 'host.list:2: h1 is listed twice, with different columns')

    def test_UR_22_a_pass_of_cron_is_silent_about_warnings(self):
        """UR-22: otherwise cron would send a mail every few minutes."""
        done = self.hosts('h1\tlocal\t~\nh1\tlocal\t~\n', 'task', 'update', '--cron',
                          env=dict(self.env, LWT_FANOOT='3'))
        self.assertEqual((done.code, done.err), (0, ''), done)

    def test_UR_22_a_variable_that_is_no_option(self):
        """UR-22: LWT_FANOOT=3 causes a warning, with the nearest name."""
        done = self.lwt('exec', '-a', '--', 'true',
                        env=dict(self.env, LWT_FANOOT='3', LWT_NOSUCHTHING='x'))
        self.assertEqual(done.code, 0, done)
        self.assertIn('lwt: LWT_FANOOT: no such option; did you mean LWT_FANOUT?', done.err)
        self.assertIn('lwt: LWT_NOSUCHTHING: no such option\n', done.err)
        known = {name: '1' for name in config.VARIABLES if name != 'LWT_WORKSPACE'}
        done = self.lwt('exec', '-a', '--', 'true',
                        env=dict(self.env, LWT_TEST_X='1', LWTX='1', **known))
        self.assertEqual((done.code, done.err), (0, ''), done)

    def test_UR_22_lwt_conf_names_the_line(self):
        """UR-22: unknown sections and keys, unreadable values, duplicates."""
        for text, said in (('[lwt]\n\nfanoot = 3\n', 'lwt.conf:3: fanoot: unknown option'),
                           ('[lwt]\nfanout : many\n', "lwt.conf:2: fanout: 'many'"),
                           ('[lwt]\nfanout = -3\n', 'lwt.conf:2: fanout'),
                           ('# x\n[ltw]\n', 'lwt.conf:2: unknown section'),
                           ('[lwt]\nFanout = x\n', 'lwt.conf:2: fanout'),
                           ('fanout = 3\n', 'lwt.conf'),
                           ('[lwt]\n[category local]\nfanout = 3\n',
                            'lwt.conf:3: [category local] fanout'),
                           ('[lwt]\nfanout = 1\nfanout = 2\n', 'line  3'),
                           ('[lwt]\nretries = 1e99\n', 'too large'),
                           ('[lwt]\nprobe_size = 1e12\n', 'too large')):
            with self.subTest(text=text):
                self.write('lwt.conf', text)
                self.assert_refused(self.lwt('exec', '-a', '--', 'true'), 2, said)

    def test_UR_22_a_category_without_hosts(self):
        """UR-22: [category NAME] for which host.list has no host."""
        self.write('lwt.conf', '[lwt]\n[category plba]\nmin_disk = 5\n')
        done = self.lwt('exec', '-a', '--', 'true')
        self.assertEqual(done.code, 0, done)
        self.assertIn('[category plba]: host.list has no host of this category', done.err)

    def test_UR_22_absurd_numbers_are_refused(self):
        """UR-22: for every option, and nothing ends in a traceback."""
        for key in ('fanout', 'retries', 'keep', 'logins', 'probe_size', 'max_dtask_day',
                    'quarantine_after'):
            for value in ('1e99', '1e13', '-1', '0x10', '9' * 20):
                with self.subTest(key=key, value=value):
                    done = self.lwt('exec', '-a', '--set', '%s=%s' % (key, value), '--', 'true')
                    self.assert_refused(done, 2, '--set ' + key)


if __name__ == '__main__':
    unittest.main()
