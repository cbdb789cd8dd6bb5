"""Options of the user's ssh_config that break a scripted session, tested with a real sshd."""

import os
import shutil
import subprocess
import unittest
from unittest import mock

from lwt import scp, ssh
from lwt.workspace import ssh_config
from lwt.workspace.hostlist import Host
from tests.lab_cases import LoopbackTestCase
from tests.support import ProgramTestCase

# Lines of ssh_config that break a command that ssh runs for a script, or change its output.
BREAKING = (
    'RemoteCommand bash -l', 'RemoteCommand none', 'RequestTTY yes', 'RequestTTY force',
    'SessionType none', 'SessionType subsystem', 'StdinNull yes', 'ForkAfterAuthentication yes',
    'PermitLocalCommand yes\nLocalCommand echo noise; echo noise >&2', 'EscapeChar a',
    'VisualHostKey yes', 'LogLevel QUIET', 'LogLevel DEBUG3', 'LogVerbose *:*:*',
    'ControlMaster ask', 'ControlMaster autoask', 'ControlMaster yes',
    'ControlMaster auto\nControlPath {scratch}/own-%C\nControlPersist yes',
    'Tunnel yes', 'TunnelDevice any:any\nTunnel point-to-point',
    'ForwardX11 yes\nForwardX11Trusted yes',
    'ForwardAgent yes', 'ExitOnForwardFailure yes\nDynamicForward 127.0.0.1:1',
    'ExitOnForwardFailure yes\nLocalForward 127.0.0.1:1 127.0.0.1:2\nGatewayPorts yes',
    'ExitOnForwardFailure yes\nRemoteForward 1 127.0.0.1:2',
    'SendEnv *', 'SetEnv LC_ALL=de_DE.UTF-8 X=1',
    'AddKeysToAgent ask', 'AddKeysToAgent confirm', 'BatchMode no', 'StrictHostKeyChecking ask',
    'ConnectionAttempts 5', 'NumberOfPasswordPrompts 9', 'UpdateHostKeys ask',
    'ServerAliveInterval 1',
    'ConnectTimeout 1', 'TCPKeepAlive no', 'HashKnownHosts yes', 'CanonicalizeHostname yes',
    'Compression yes', 'IgnoreUnknown UseKeychain\nUseKeychain yes',
    'IgnoreUnknown NoSuch*,Foo\nNoSuchOption yes\nFoo bar\nRemoteCommand bash\nStdinNull yes',
)

# A stand-in for an old ssh: it supports neither the options of NEWER nor -o options in other forms.
OLD_SSH = r'''#!/bin/sh
ignored=,
for word do
  case $word in
    IgnoreUnknown=*) ignored=,${word#*=}, ;;
    UpdateHostKeys=* | AddKeysToAgent=* | RemoteCommand=* | LogVerbose=* | SessionType=* | \
      StdinNull=* | ForkAfterAuthentication=*)
      case $ignored in *,"${word%%=*}",*) continue ;; esac
      echo "command-line: line 0: Bad configuration option: ${word%%=*}" >&2
      exit 255 ;;
  esac
done
exec REAL "$@"
'''


class RealSshd(LoopbackTestCase):
    """lwt with ssh configurations made for a person at a terminal."""

    def configure(self, lines):
        """Write a configuration whose host h1 has these lines; use it from now on."""
        with open(self.lab.ssh_config) as file:
            text = file.read()
        lines = lines.format(scratch=self.scratch)
        # The system's other names for the host, so that some steps ask ssh -G (see `logins`).
        text = text.replace('Host h1\n', 'Host h1 h2 h3\n')
        self.write('config', text + ''.join('    %s\n' % line for line in lines.split('\n')))
        self.env['LWT_SSH_CONFIG'] = self.path('config')

    def test_FR_20_commands_run_whatever_the_configuration_says(self):
        """FR-20: options of ssh_config that break a scripted session are overridden."""
        for lines in BREAKING:
            with self.subTest(lines=lines):
                self.configure(lines)
                done = self.lwt('exec', '-w', 'h1', '--stdin', '-', '--', 'cat; echo "$X" end',
                                stdin=b'~.abc\n')
                self.assertEqual((done.code, done.out, done.err), (0, '~.abc\n end\n', ''), done)

    def test_FR_20_copies_and_shared_logins_work_as_well(self):
        """FR-20: put and get, kept connections, and calls of ssh -G."""
        self.write('data', 'content\n')
        for lines in ('RemoteCommand bash -l\nRequestTTY force', 'SessionType none\nStdinNull yes',
                      'SessionType subsystem\nForkAfterAuthentication yes',
                      'ControlMaster ask\nPermitLocalCommand yes\nLocalCommand echo noise'):
            with self.subTest(lines=lines):
                self.configure(lines)
                target = self.path('there')
                many = ('-w', 'h[1-3]', '--set', 'logins=1', '-N', '-k')
                for words, out in (
                        (('put', '-w', 'h1', 'data', target), ''),
                        (('get', '-w', 'h1', '--force', target, 'out'), ''),
                        (('exec', '-w', 'h1', '--set', 'persist=2', '--', 'echo kept'), 'kept\n'),
                        (('exec',) + many + ('--', 'echo x'), 'x\nx\nx\n')):
                    done = self.lwt(*words)
                    self.assertEqual((done.code, done.out), (0, out), done)
                self.assertEqual(self.read('out', 'd.h1', 'there'), 'content\n')

    def test_FR_20_a_login_for_several_steps_works(self):
        """FR-20: reduce logs in once for several steps, as a master of shared connections."""
        self.configure('RemoteCommand bash -l\nStdinNull yes\nSessionType none\nRequestTTY force')
        done = self.lwt('reduce', '-w', 'h1', stdin=b'b\na\n')
        self.assertEqual((done.code, done.out), (0, 'a\nb\n'), done)

    def test_FR_20_scp_is_given_options_that_it_accepts(self):
        """FR-20: scp copies under each of these configurations."""
        with open(self.lab.path('h1', 'sshd_config')) as file:
            self.assertIn('Subsystem sftp', file.read())
        self.write('data', 'content\n')
        os.mkdir(self.path('to'))
        for lines in BREAKING[:17]:
            with self.subTest(lines=lines):
                self.configure(lines)
                config = self.path('config')
                transport = ssh.Transport(shutil.which('ssh'), shutil.which('scp'), config=config,
                                          ignored=ssh_config.ignored(config))
                argv = scp.upload_argv(transport, Host('h1'), (self.path('data'),), self.path('to'))
                done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, env=self.env)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertEqual(self.read('to', 'data'), 'content\n')
                os.unlink(self.path('to', 'data'))

    def test_FR_20_an_old_ssh_is_told_to_pass_over_what_it_does_not_know(self):
        """FR-20: an ssh without the newer options works; so do the user's own IgnoreUnknown."""
        self.write('bin/ssh', OLD_SSH.replace('REAL', shutil.which('ssh')), 0o755)
        self.env['PATH'] = self.path('bin') + ':' + self.env['PATH']
        self.configure('IgnoreUnknown NoSuch\nNoSuch yes')
        for words in (('exec', '-w', 'h1'), ('exec', '-w', 'h1', '--set', 'persist=2'),
                      ('exec', '-w', 'h[1-2]', '-N', '--set', 'logins=1')):
            done = self.lwt(*words, '--', 'echo ran')
            self.assertEqual((done.code, set(done.out.split()), done.err), (0, {'ran'}, ''), done)

    def test_FR_20_a_typing_error_is_still_reported(self):
        """FR-20: IgnoreUnknown does not hide a wrong word in the configuration."""
        self.configure('Hostnam x')
        done = self.lwt('exec', '-w', 'h1', '--', 'echo ran')
        self.assertEqual((done.code, done.out), (3, ''), done)


class IgnoreUnknown(ProgramTestCase):
    """The patterns for IgnoreUnknown in the user's files."""

    def test_FR_20_patterns_are_found_where_ssh_finds_them(self):
        """FR-20: in the file, in what it includes, in quotes, with "=", and once each."""
        self.write('b.conf', 'ignoreunknown=E\n')
        path = self.write('a.conf', 'Host x\n  IgnoreUnknown A,B*\n# IgnoreUnknown C\n'
                          'Include %s %s\nINCLUDE "%s"\nIgnoreUnknown "D,A"\n'
                          % (self.path('b.c*'), self.path('none'), self.path('a.conf')))
        self.assertEqual(ssh_config.ignored(path), ('A', 'B*', 'E', 'D'))

    def test_FR_20_no_file_is_no_pattern(self):
        """FR-20: "none", a missing file and a directory have no patterns."""
        for config in ('none', self.path('missing'), self.scratch):
            self.assertEqual(ssh_config.ignored(config), ())

    def test_FR_20_the_users_own_file_is_read_where_no_other_is_named(self):
        """FR-20: without -F, ssh reads ~/.ssh/config and the system's file."""
        self.write('home/.ssh/config', 'IgnoreUnknown One\nInclude sub/*\n')
        self.write('home/.ssh/sub/x', 'IgnoreUnknown Two\n')
        system = self.write('system', 'IgnoreUnknown Three\n')
        with mock.patch.object(ssh_config, '_home', lambda: self.home), \
                mock.patch.object(ssh_config, 'SYSTEM_FILE', system):
            self.assertEqual(ssh_config.ignored(''), ('One', 'Two', 'Three'))


if __name__ == '__main__':
    unittest.main()
