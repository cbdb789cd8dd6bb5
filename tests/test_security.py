"""Security and unusual hosts: what a name, a configuration, a host or a home can do to exec, put
and get.
"""

import contextlib
import os
import pty
import subprocess
import unittest

from lwt.remote import exit_status
from tests import lab
from tests.lab_cases import LoopbackTestCase
from tests.support import ProgramTestCase, wait_for


class Names(ProgramTestCase):
    """A host or path given by the user is never an option, and never a word of a shell."""

    def test_S_1_a_host_that_could_be_an_option_runs_nothing(self):
        for name in ('-oProxyCommand=touch owned', '-F/dev/stdin', 'x@-oProxyCommand=touch owned'):
            for words in (('exec', '-w', name, '--', 'true'),
                          ('put', '-w', name, '/etc/hostname', 'x'),
                          ('get', '-w', name, '/etc/hostname', 'out'),
                          ('exec', '-w', '^list', '--', 'true')):
                with self.subTest(name=name, words=words):
                    self.write('list', name + '\n')
                    self.assert_refused(self.lwt(*words), 2)
                    self.assertEqual(sorted(os.listdir(self.scratch)), ['home', 'list'])

    def test_S_2_a_host_with_words_for_a_shell_is_refused_though_a_proxy_command_would_take_it(
            self):
        self.write('config', 'Host *\n  ProxyCommand sh -c "echo %h"\n')
        env = dict(self.env, LWT_SSH_CONFIG=self.path('config'))
        for name in ('a;touch owned', 'a`touch owned`', 'a$(touch owned)', 'a|b', 'a b', "a'b",
                     'a"b', 'a\\b', 'a<b'):
            with self.subTest(name=name):
                self.write('list', name + '\n')
                self.assert_refused(self.lwt('exec', '-w', '^list', '--', 'true', env=env), 2)
                self.assertFalse(os.path.exists(self.path('owned')))

    def test_S_28_ssh_is_looked_for_once_and_called_by_its_whole_name(self):
        self.write('bin/ssh', '#!/bin/sh\necho "$0" >"%s"\nexit 255\n' % self.path('called'), 0o755)
        self.lwt('exec', '-w', 'h1', '--', 'true',
                 env=dict(self.env, PATH='bin:' + self.env['PATH']))
        self.assertEqual(self.read('called'), self.path('bin', 'ssh') + '\n')


class Homes(ProgramTestCase):
    """Homes and directories that cannot be used, on a host whose ssh is a stub."""

    def setUp(self):
        super().setUp()
        self.use_fake_ssh()
        self.write('data', 'content\n')

    def need_mount(self):
        if lab.why_not_mount():
            self.skipTest('mounting: ' + lab.why_not_mount())

    @contextlib.contextmanager
    def mounted(self, options):
        os.mkdir(self.path('small'))
        subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', self.path('small')],
                       check=True)
        try:
            yield self.path('small')
        finally:
            subprocess.run(['umount', self.path('small')], check=True)

    def test_R_3_a_home_that_cannot_be_is_named(self):
        self.make_workspace([('h1', 'fake', '/dev/null/such/home')])
        for words in (('exec', '-a', '--', 'echo ran'), ('put', '-a', 'data', 'x'),
                      ('get', '-a', 'x', 'out')):
            with self.subTest(words=words):
                done = self.lwt(*words)
                self.assertEqual((done.code, done.out), (1, ''), done)
                self.assertIn('h1: home /dev/null/such/home: cannot be created (Not a directory)',
                              done.err)

    def test_R_3_a_place_that_cannot_be_written_or_has_no_room_is_named(self):
        self.need_mount()
        for options, said in (('ro', 'cannot be written'), ('nr_inodes=3', 'no room left')):
            with self.subTest(options=options), self.mounted(options) as small:
                done = self.lwt('put', '-w', 'h1', 'data', small + '/x')
                self.assertEqual(done.code, 1, done)
                self.assertIn(said, done.err)
                self.assertEqual(os.listdir(small), [])
            os.rmdir(small)

    def test_R_3_a_script_runs_where_nothing_may_be_executed(self):
        self.write('script', '#!/bin/sh -u\necho "ran $1"; case $- in *u*) echo strict ;; esac\n')
        self.write('plain', 'echo "ran $1"\n')
        self.need_mount()
        with self.mounted('noexec') as small:
            for script, out in (('script', 'ran a b\nstrict\n'), ('plain', 'ran a b\n')):
                with self.subTest(script=script):
                    done = self.lwt('exec', '-w', 'h1', '--script', script, '--', 'a b',
                                    env=dict(self.env, TMPDIR=small))
                    self.assertEqual((done.code, done.out), (0, out), done)
            self.assertEqual(os.listdir(small), [])

    def test_R_6_a_clock_that_is_wrong_or_set_meanwhile_changes_no_deadline(self):
        self.write('bin/date', '#!/bin/sh\necho $(($$ % 2 * 4000000000))\n', 0o755)
        self.env['PATH'] = self.path('bin') + ':' + self.env['PATH']
        done = self.lwt('exec', '-w', 'h1', '-u', '30', '--', 'sleep 2; echo done')
        self.assertEqual((done.code, done.out), (0, 'done\n'), done)
        done = self.lwt('exec', '-w', 'h1', '-u', '4', '--grace', '0.5', '--', 'sleep 8821')
        self.assertEqual((done.code, done.err), (3, 'lwt: h1: timed out after 4 s\n'))
        self.assertEqual(self.lwt('put', '-w', 'h1', 'data', 'there').code, 0)

    def test_S_19_what_is_staged_on_a_host_is_for_nobody_else(self):
        os.mkdir(self.path('tmp'))
        self.write('script', 'stat -c "%a" "$(dirname "$0")" "$0"; ls "$(dirname "$0")"; umask\n')
        done = self.lwt('exec', '-w', 'h1', '--script', 'script', '--stdin', 'data',
                        env=dict(self.env, TMPDIR=self.path('tmp')),
                        preexec_fn=lambda: os.umask(0o022))
        self.assertEqual(done.out, '700\n700\ninput\nscript\n0022\n', done)
        self.assertEqual(os.listdir(self.path('tmp')), [])

    def test_X_4_kill_9_of_lwt_and_of_its_guard_leaves_the_lifeline(self):
        popen = self.start('exec', '--grace', '0.5', '-w', 'h1', '--',
                           'echo begun; setsid sleep 8822 & sleep 8823')
        self.assertEqual(popen.stdout.readline(), b'begun\n')
        guards = subprocess.run(['pgrep', '-P', str(popen.pid), '-f', 'lwt-guard'],
                                stdout=subprocess.PIPE).stdout.split()
        self.assertEqual(len(guards), 1)
        for pid in [int(guards[0]), popen.pid]:
            os.kill(pid, 9)
        popen.communicate(timeout=30)       # tearDown checks that nothing is left


class RealSsh(LoopbackTestCase):
    """The effects of a user's ssh configuration, and of wrong keys: with a real sshd."""

    def setUp(self):
        super().setUp()
        with open(self.lab.ssh_config) as file:
            self.config = file.read()

    def exec(self, config, *words, **options):
        self.write('config', config)
        env = dict(self.env, LWT_SSH_CONFIG=self.path('config'), **options)
        return self.lwt('exec', '-w', 'h1', *words, env=env)

    def test_S_21_a_host_key_that_is_new_or_another_is_named_and_nothing_is_learnt(self):
        with open(self.lab.path('known_hosts')) as file:
            line = file.read()
        other = ' '.join(line.split()[:2]) + ' AAAAC3NzaC1lZDI1NTE5AAAAI' + 'A' * 43 + '\n'
        for known, said in (('', 'host key not known'), (other, 'host key changed')):
            with self.subTest(said=said):
                self.write('known', known)
                done = self.exec(self.config.replace(self.lab.path('known_hosts'),
                                                     self.path('known')), '--', 'echo ran')
                self.assertEqual((done.code, done.out, done.err),
                                 (3, '', 'lwt: h1: host key verification failed (%s)\n'
                                  'lwt: hint: %s\n' % (said, exit_status.hint('hostkey', 'h1'))))
                self.assertEqual(self.read('known'), known)

    def test_S_22_nobody_is_asked_for_anything(self):
        with open(self.lab.path('h1', 'sshd_config')) as file:
            self.assertIn('PasswordAuthentication no', file.read())
        self.write('config', self.config.replace('user_key', 'host_key') +
                   '    PreferredAuthentications publickey,password,keyboard-interactive\n    '
                   'BatchMode no\n')
        self.write('ask', '#!/bin/sh\ntouch "%s"\n' % self.path('asked'), 0o755)
        env = dict(self.env, LWT_SSH_CONFIG=self.path('config'), SSH_ASKPASS=self.path('ask'),
                   DISPLAY=':0')
        pid, terminal = pty.fork()
        if not pid:
            os.chdir(self.scratch)
            os.execve(self.python, (self.python, '-m', 'lwt', 'exec', '-w', 'h1', '--', 'true'),
                      env)
        said = b''
        with contextlib.suppress(OSError):      # EIO: no process has it open any more
            while True:
                said += os.read(terminal, 1000)
        os.close(terminal)
        code = os.WEXITSTATUS(os.waitpid(pid, 0)[1])
        self.assertEqual(
            (code, said.decode().splitlines()),
            (3, ['lwt: h1: login refused (permission denied (publickey))',
                 'lwt: hint: ' + exit_status.hint('auth', 'h1')]))
        self.assertFalse(os.path.exists(self.path('asked')))

    def test_S_23_nothing_is_forwarded_and_no_command_of_the_configuration_is_run(self):
        more = ['ForwardAgent yes', 'ForwardX11 yes', 'PermitLocalCommand yes',
                'LocalCommand touch "%s"' % self.path('owned'),
                'LocalForward 127.0.0.1:1 127.0.0.1:2', 'ExitOnForwardFailure yes',
                'RequestTTY force', 'ControlMaster auto',
                'ControlPath "%s"' % self.path('control'), 'ControlPersist 60', 'EscapeChar ~']
        agent = subprocess.Popen(['ssh-agent', '-D', '-a', self.path('agent')], env=self.env,
                                 stdout=subprocess.DEVNULL)
        try:
            self.assertTrue(wait_for(lambda: os.path.exists(self.path('agent'))))
            done = self.exec(self.config + ''.join('    %s\n' % line for line in more), '--',
                             'echo "${SSH_AUTH_SOCK-none} ${DISPLAY-none}"; tty',
                             SSH_AUTH_SOCK=self.path('agent'), DISPLAY=':0')
        finally:
            agent.terminate()
            agent.wait()
        self.assertEqual((done.out, done.code), ('none none\nnot a tty\n', 1), done)
        self.assertEqual([name for name in ('owned', 'control') if os.path.exists(self.path(name))],
                         [])

    def test_S_27_no_variable_of_ours_goes_to_the_host(self):
        ours = dict(LC_ALL='C.UTF-8', LC_SECRET='x')
        done = self.exec(self.config + '    SendEnv LANG LC_*\n', '--', 'env', **ours)
        plain = subprocess.run(['ssh', '-F', self.path('config'), 'h1', 'env'],
                               env=dict(self.env, **ours),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertIn(b'LC_SECRET=x', plain.stdout)
        self.assertEqual([line for line in done.out.splitlines()
                          if line.startswith(('LC_SECRET', 'LC_ALL'))], [])

    def test_R_4_a_host_without_sftp_takes_and_gives_files(self):
        with open(self.lab.path('h1', 'sshd_config')) as file:
            text = file.read()
        config = self.write('sshd_config',
                            text.replace('Subsystem sftp internal-sftp\n', '').replace(
                                'PidFile ', 'PidFile %s #' % self.path('pid')))
        port = str(self.lab.address('h1')[1])
        free, reservation = lab.reserve_port()
        with open(config) as file:
            text = file.read().replace('Port ' + port, 'Port %d' % free)
        self.write('sshd_config', text)
        daemon = subprocess.Popen([lab.SSHD, '-D', '-f', config], env=self.env,
                                  stderr=subprocess.DEVNULL)
        try:
            self.assertTrue(wait_for(lambda: os.path.exists(self.path('pid'))))
            with open(self.lab.path('known_hosts')) as file:
                self.write('known', file.read().replace(':' + port, ':%d' % free))
            self.write('config', self.config.replace('Port ' + port, 'Port %d' % free).replace(
                self.lab.path('known_hosts'), self.path('known')))
            self.write('data', b'\0\1\2' * 1000)
            env = dict(self.env, LWT_SSH_CONFIG=self.path('config'))
            for words in (('put', '-w', 'h1', 'data', self.path('there')),
                          ('get', '-w', 'h1', self.path('there'), 'out')):
                done = self.lwt(*words, env=env)
                self.assertEqual((done.code, done.err), (0, ''), done)
            with open(self.path('out', 'd.h1', 'there'), 'rb') as file:
                self.assertEqual(file.read(), b'\0\1\2' * 1000)
        finally:
            daemon.terminate()
            daemon.wait()
            reservation.close()


if __name__ == '__main__':
    unittest.main()
