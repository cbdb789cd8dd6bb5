"""--ssh-config and --ssh-option: they reach ssh, scp, sftp and `ssh -G`, in every command that logs
in.
"""

import os
import unittest

from lwt import scp, ssh
from lwt.errors import UsageError
from lwt.workspace import config
from lwt.workspace.hostlist import Host
from tests.lab_cases import LoopbackTestCase
from tests.support import ProgramTestCase

TRANSPORT = ssh.Transport('/bin/ssh', '/bin/scp', config='/c', given=('Port=22', 'User me'))


class CommandLines(unittest.TestCase):
    """Pure: the options are in every command line, after those that lwt needs."""

    def test_every_program_gets_them(self):
        host = Host('h')
        for words in (ssh.argv(TRANSPORT, host, 'x'), ssh.query_argv(TRANSPORT) + ('h',),
                      ssh.master_argv(TRANSPORT, host),
                      scp.upload_argv(TRANSPORT, host, ['/a'], 'b'),
                      scp.download_argv(TRANSPORT, host, ['a'], '/b'),
                      scp.batch_argv(TRANSPORT, host)):
            with self.subTest(program=words[0]):
                at = words.index('Port=22')
                self.assertEqual(words[at - 1:at + 3], ('-o', 'Port=22', '-o', 'User me'))
                self.assertLess(words.index('BatchMode=yes'), at)
                self.assertLess(at, words.index('--'))
                self.assertEqual(words[words.index('-F') + 1], '/c')

    def test_a_kept_connection_is_only_for_the_same_options(self):
        paths = {ssh.kept_socket('/d', transport.way, 'h') for transport in (
            TRANSPORT, TRANSPORT._replace(given=()), TRANSPORT._replace(given=('Port=23',)),
            TRANSPORT._replace(config=''))}
        self.assertEqual(len(paths), 4)

    def test_what_lwt_sets_itself_is_refused(self):
        for option in ('BatchMode=no', 'batchmode no', 'ControlPath=x', 'LogLevel=DEBUG',
                       'ConnectTimeout=3', 'IgnoreUnknown=*', 'SessionType=none',
                       'ForwardAgent=yes'):
            with self.subTest(option=option), self.assertRaises(UsageError):
                ssh.check_given(('Port=1', option))
        ssh.check_given(('Port=1', 'ProxyCommand nc %h %p', 'IdentityFile=~/k'))


class Values(ProgramTestCase):
    """Where they come from."""

    def load(self, text='', environ=(), said=()):
        path = self.write('lwt.conf', '[lwt]\n' + text)
        return config.load(path, dict(environ), said)

    def test_sources_are_joined_and_the_first_of_a_key_counts(self):
        settings = self.load('ssh_option = Port=1\n  User=a\n', {'LWT_SSH_OPTION': 'Port=2'},
                             [('ssh_option', 'Port=3\nPort=4', '--ssh-option')])
        self.assertEqual(settings.ssh_option, ('Port=3', 'Port=4', 'Port=2', 'Port=1', 'User=a'))
        self.assertEqual(self.load().ssh_option, ())

    def test_a_relative_file_is_that_of_the_current_directory(self):
        settings = self.load(said=[('ssh_config', 'c', '--ssh-config')])
        self.assertEqual(settings.ssh_config, os.path.abspath('c'))
        self.assertEqual(self.load('ssh_config = c\n').ssh_config, self.path('c'))
        self.assertEqual(self.load(said=[('ssh_config', 'none', '')]).ssh_config, 'none')

    def test_mistakes(self):
        for words, said in ((('--ssh-option', 'Port'), 'expected KEY=VALUE'),
                            (('--ssh-option', '=1'), 'expected KEY=VALUE'),
                            (('--ssh-option', 'BatchMode=no'), 'lwt sets this option itself'),
                            (('--ssh-config', 'missing'), 'no such file')):
            with self.subTest(words=words):
                self.assert_refused(self.lwt('exec', '-w', 'h', *words, '--', 'true'), 2, said)

    def test_a_pass_of_cron_has_them(self):
        self.make_workspace()
        self.write('crontab', '#!/bin/sh\ncase $1 in -l) cat "$HOME/tab";; *) cat >"$HOME/tab";; '
                   'esac\n', 0o755)
        self.write('home/tab', '')
        self.write('c', '')
        self.env.update(PATH=self.scratch + ':' + self.env['PATH'], LWT_SSH_OPTION='User=a')
        done = self.lwt('cron', 'install', '--ssh-config', 'c', '--ssh-option', 'Port=7')
        self.assertEqual(done.code, 0, done)
        self.assertIn('--ssh-config %s --ssh-option Port=7 --ssh-option User=a' % self.path('c'),
                      self.read('home', 'tab'))


class OnHosts(LoopbackTestCase):
    """A host whose port is only in --ssh-option."""

    hosts = 2

    def setUp(self):
        super().setUp()
        with open(self.lab.ssh_config) as file:
            lines = [line for line in file if 'Port' not in line]
        port = self.lab.address('h1')[1]
        with open(self.lab.path('known_hosts')) as file:
            key = file.read().split()[1:3]
        self.write('known', '[127.0.0.1]:%d %s\n' % (port, ' '.join(key)))
        self.write('config', ''.join(lines).replace(self.lab.path('known_hosts'),
                                                    self.path('known')))
        self.options = ('--ssh-config', 'config', '--ssh-option', 'Port=%d' % port)
        self.make_workspace([('h1', 'lab', self.lab.home('h1')), ('h2', 'lab', self.path('h2'))])

    def test_each_command_that_logs_in(self):
        self.write('data', 'b\na\n')
        self.describe('t', 'exec : echo ran\n')
        self.lwt('task', 'add', 't')
        for words in (('exec', '-w', 'h1', '--', 'true'), ('probe',), ('monitor', '-w', 'h1'),
                      ('put', '-w', 'h1', 'data', 'to'), ('get', '-w', 'h1', 'to', 'back'),
                      ('put', '-w', 'h1', '--transport', 'scp', 'data', 'too'),
                      ('put', '-w', 'h1,h2', '--chain', 'data', 'chained'),
                      ('reduce', '-w', 'h1', '-i', 'data', '-o', 'sorted'), ('task', 'run'),
                      ('doctor',), ('deploy', '-w', 'h1')):
            with self.subTest(words=words):
                done = self.lwt(*words[:1] + self.options + words[1:])
                self.assertEqual(done.code, 0, done)
        self.assertEqual(self.read('sorted'), 'a\nb\n')
        self.assertEqual(self.read('back', 'd.h1', 'to'), 'b\na\n')
        done = self.lwt('exec', '-w', 'h1', '--ssh-config', 'config', '--', 'true')
        self.assertEqual(done.code, 3, done)


if __name__ == '__main__':
    unittest.main()
