"""What the environment of a host may contain, and a home or a TMPDIR that does not exist: in every
shell, and with a real sshd.
"""

import os
import stat
import subprocess
import unittest

from lwt.remote import scripts
from tests.support import MARK, marked, wait_for
from tests.test_exec_on_hosts import AcceptingTestCase
from tests.test_lab_hosts import LabTestCase
from tests.test_shells import ShellTestCase, in_each_shell

# Names that the scripts use, and variables that change what shells and tools do.
HOSTILE = {
    'secret': 'of the user', 'nonce': 'a', 'home': '/nowhere', 'command': 'false', 'grace': 'x',
    'line': "it's\nexport list=1",
    'list': 'x' * 100, 'name': '$(touch boom)', 'requests': '`touch boom`', 'input': '"',
    'staged': '/', 'lwt_saved': 'PATH',
    'CDPATH': '/tmp:/', 'TMOUT': '1', 'GREP_OPTIONS': '-v', 'TAR_OPTIONS': '--no-such-option',
    'POSIXLY_CORRECT': '1',
    '_POSIX2_VERSION': '199209', 'BLOCK_SIZE': '1', 'LC_ALL': 'no_SUCH',
    'LC_NUMERIC': 'de_DE.UTF-8', 'ENV': '/no/such',
    'GLOBIGNORE': '*', 'BASH_ENV': '/no/such', 'QUOTING_STYLE': 'c', 'COLUMNS': '5',
    'd_home': '/other'}
# Variables that a shell sets by itself, and those of lwt.
OF_SHELLS = ('PWD', 'OLDPWD', 'SHLVL', '_', 'LWT_ID', 'SHELLOPTS', 'lwt_saved')
BASH_FUNCTIONS = {'BASH_FUNC_%s%%%%' % name: '() {  echo function %s\n}' % name
                  for name in ('cd', 'kill', 'printf_', 'read', 'test', 'mkdir', 'sleep', 'module',
                               'declare')}


def environment_of(data):
    """Return {name: value} from the output of `env -0`."""
    entries = (entry.partition(b'=') for entry in data.split(b'\0') if entry)
    return {name.decode(): value.decode() for name, _equals, value in entries}


class OfACommand(ShellTestCase):
    """sh/guard.sh in a hostile environment."""

    def run_guarded(self, shell, home, command, variables):
        """Run a command under the guard, with a lifeline but no heartbeats; return (its end,
        standard output).
        """
        popen = self.start_opened(shell, home, self.guarded(command), variables)
        out, err = popen.stdout.read(), popen.stderr.read()
        popen.communicate(timeout=30)
        got = {'stdout': b'', 'stderr': b''}
        frame = scripts.Framed(
            self.nonce, lambda stream, data: got.__setitem__(stream, got[stream] + data))
        frame.feed('stdout', out)
        frame.feed('stderr', err)
        frame.finish()
        return frame.code if frame.failure is None else frame.failure, got['stdout']

    @in_each_shell
    def test_a_command_gets_the_environment_as_it_was(self, shell, home):
        end, out = self.run_guarded(shell, home, 'env -0', HOSTILE)
        self.assertEqual(end, 0)
        found = {name: value
                 for name, value in environment_of(out).items() if name not in OF_SHELLS}
        expected = dict(HOSTILE, HOME=home, TMPDIR=self.scratch, **{MARK: self.mark})
        del expected['lwt_saved']
        path = found.pop('PATH')
        self.assertTrue(path.endswith(os.environ['PATH']), path)
        self.assertEqual(found, expected)
        self.assertFalse(os.path.exists(os.path.join(home, 'boom')))

    @in_each_shell
    def test_a_time_limit_for_reading_is_not_taken_for_the_end_of_the_lifeline(self, shell, home):
        self.assertEqual(self.run_guarded(shell, home, 'sleep 3; echo kept', {'TMOUT': '1'}),
                         (0, b'kept\n'))

    @in_each_shell
    def test_options_and_an_empty_path_change_nothing(self, shell, home):
        options = 'allexport:errexit:noglob:noclobber:nounset:pipefail:verbose:xtrace'
        for variables in ({'SHELLOPTS': options}, {'PATH': ''}, {'PATH': '/no/such'},
                          {'IFS': 'e/'}):
            with self.subTest(variables=variables):
                self.assertEqual(self.run_guarded(
                    shell, home, 'false; echo "$-" >/dev/null; printf ran', variables), (0, b'ran'))

    def test_functions_of_bash_change_nothing_and_are_there_for_the_command(self):
        home = os.path.join(self.scratch, 'home')
        os.mkdir(home)
        link = os.path.join(self.scratch, 'sh')
        os.symlink('/bin/bash', link)
        # /bin/sh may be another shell, which drops variables with invalid names; so the first two
        # parts are tested alone.
        script = (scripts.source('environment', 'lib')
                  + 'cd /; pwd; restore_environment; exec bash -c "module; cd"')
        for shell in (('bash',), (link,)):
            with self.subTest(shell=shell):
                popen = self.start(shell, home, script, variables=BASH_FUNCTIONS)
                out, err = popen.communicate(timeout=30)
                self.assertEqual((out, err), (b'/\nfunction module\nfunction cd\n', b''))
                end, out = self.run_guarded(shell, home, 'cd /; pwd', BASH_FUNCTIONS)
                self.assertEqual((end, out), (0, b'/\n'))

    @in_each_shell
    def test_a_password_is_in_no_environment(self, shell, home):
        sudo = os.path.join(home, 'bin', 'sudo')
        os.mkdir(os.path.dirname(sudo))
        for name, text in (
                ('sudo',
                 '#!/bin/sh\nenv >>"$HOME/seen"\nread -r given\necho "got $given" '
                 '>>"$HOME/given"\nexit 1\n'),
            ('sh', '#!/bin/sh\nexec %s "$@"\n' % ' '.join(shell))):
            with open(os.path.join(home, 'bin', name), 'w') as file:
                file.write(text)
            os.chmod(file.name, 0o755)
        guard = scripts.script_text(*scripts.GUARD)
        words = '~', guard, 'yes', '1', '60', '~', '0', '0', '5', '0', 'true'
        script = scripts.with_arguments(scripts.script_text(*scripts.SUDO), words)
        popen = self.start_opened(shell, home, script,
                                  {'secret': 'old', 'said': 'old', 'guard': 'old'})
        popen.communicate(b'open sesame\n' * 2, 30)
        with open(os.path.join(home, 'given')) as file:
            self.assertEqual(file.read(), 'got open sesame\n')
        with open(os.path.join(home, 'seen')) as file:
            self.assertNotIn('sesame', file.read())


class Scratch(ShellTestCase):
    """The directory for temporary files on a host."""

    @in_each_shell
    def test_FR_33_a_TMPDIR_that_cannot_be_used_is_passed_over(self, shell, home):
        """FR-33: another directory is used, and nothing is left in it."""
        script = b'#!/bin/sh\necho "$# $1 $TMPDIR"; cat\n'
        plain = os.path.join(self.scratch, 'plain')
        open(plain, 'w').close()
        for tmpdir in ('/no/such', plain, 'relative', '', plain + '/x'):
            with self.subTest(tmpdir=tmpdir):
                popen = self.start_opened(
                    shell, home, self.guarded('name', 'a b', script=script, data=b'data\n'),
                    {'TMPDIR': tmpdir})
                popen.stdin.write(script + b'data\n')
                popen.stdin.flush()
                out, err = popen.stdout.read(), popen.stderr.read()
                popen.communicate(timeout=30)
                self.assertEqual(self.parse(out, err)[:2], (0, ['1 a b ' + tmpdir, 'data']))
        self.assertEqual([name for folder in ('/tmp', '/var/tmp', home)
                          for name in os.listdir(folder) if self.frame.mark in name], [])


class Homes(ShellTestCase):
    """A missing home is made by every script that needs one."""

    SCRIPTS = {
        'control': (), 'sample': ('0',), 'probe': ('0', '5', 'true'), 'put': ('x', 'x', '5'),
        'deploy': ()}

    def enter(self, shell, home, path, umask=0o022):
        """Enter a home with the guard; return (its end, lines)."""
        words = ('1', '60', path, '0', '0', '5', '0', 'pwd')
        script = (b'umask %o\n' % umask
                  + scripts.with_arguments(scripts.script_text(*scripts.GUARD), words))
        popen = self.start_opened(shell, home, script)
        out, err = popen.stdout.read(), popen.stderr.read()
        popen.communicate(timeout=30)
        return self.parse(out, err)[:2]

    @in_each_shell
    def test_UR_2_a_home_is_made_whatever_the_umask(self, shell, home):
        """UR-2: as by mkdir -p, but accessible to its owner only."""
        for number, (path, umask) in enumerate(
                (('~/a/b c', 0), ('rel/x', 0o077), (home + '/abs', 0o777), ('~/-n', 0o022))):
            with self.subTest(path=path, umask=umask):
                full = path.replace('~', home) if path[0] in '~/' else os.path.join(home, path)
                self.assertEqual(self.enter(shell, home, path, umask), (0, [full]))
                self.assertEqual(stat.S_IMODE(os.stat(full).st_mode), 0o700)
                self.assertEqual(self.enter(shell, home, path, umask), (0, [full]))

    @in_each_shell
    def test_UR_2_each_script_makes_it(self, shell, home):
        for name, words in self.SCRIPTS.items():
            with self.subTest(name=name):
                path = os.path.join(home, 'new', name)
                if name == 'control':
                    line = scripts.request(
                        self.frame, (path, 'aa' * 16, '5', '1', '0', '0', '0', '-', '0', '-'))
                    script = scripts.with_arguments(
                        scripts.script_text(*scripts.SHORT_SCRIPTS['control']), ('60',))
                    popen = self.start(shell, home, script, subprocess.PIPE)
                    popen.communicate(line + b'end\n', 30)
                elif name == 'deploy':
                    self.assertEqual(self.run_script(shell, home, name, 'prepare', path)[0], 0)
                else:
                    self.run_script(shell, home, name, path, *words)
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700)

    @in_each_shell
    def test_UR_2_doctor_makes_none_and_tells(self, shell, home):
        path = os.path.join(home, 'new', 'home')
        self.assertEqual(self.run_script(shell, home, 'doctor', path)[:2], (0, ['no home']))
        self.assertFalse(os.path.lexists(path))
        self.assertEqual(self.run_script(shell, home, 'doctor', '/dev/null/x')[0],
                         'home /dev/null/x: cannot be created (/dev/null: not a directory)')

    @in_each_shell
    def test_UR_2_what_cannot_be_made_says_why(self, shell, home):
        plain, dangling, shut = (os.path.join(home, name) for name in ('plain', 'dangling', 'shut'))
        open(plain, 'w').close()
        os.symlink('nowhere', dangling)
        os.mkdir(shut, 0o500)
        cases = [(plain, 'not a directory'), (plain + '/x', 'cannot be created (Not a directory)'),
                 (dangling, 'a link that leads nowhere')]
        if os.getuid() != 0:            # root may write anywhere
            os.mkdir(os.path.join(home, 'closed'), 0)
            cases += [(shut + '/x/y', 'cannot be created (Permission denied)'),
                      (os.path.join(home, 'closed'), 'cannot be entered (Permission denied)')]
        for path, reason in cases:
            with self.subTest(path=path):
                self.assertEqual(self.enter(shell, home, path),
                                 ('home %s: %s' % (path, reason), []))


class OverSshd(AcceptingTestCase):
    """The same with lwt itself, and a real sshd that sets the environment."""

    VARIABLES = {name: value for name, value in HOSTILE.items() if not set(value) & set('"\'\n`$')}

    def test_commands_copies_and_tasks_work_in_a_hostile_environment(self):
        home = self.path('on-host', 'home')
        self.make_workspace([('h1', 'lab', home)])
        self.set_variables(**self.VARIABLES)
        done = self.lwt('exec', '-a', '--', 'printf "%s|" "$secret" "$CDPATH" "$POSIXLY_CORRECT"')
        self.assertEqual((done.code, done.out), (0, 'of the user|/tmp:/|1|'), done)
        self.write('src/a b', 'x' * 1000)
        self.assertEqual(self.lwt('put', '-a', 'src', 'copied').code, 0)
        self.assertEqual(self.lwt('put', '-a', 'src', '.').code, 0)
        done = self.lwt('get', '-a', 'copied', 'out')
        self.assertEqual((done.code, self.read('out', 'd.h1', 'copied', 'a b')), (0, 'x' * 1000),
                         done)
        self.assertEqual(self.lwt('probe').code, 0)
        self.assertEqual(self.lwt('monitor').code, 0)
        self.describe('t', 'exec : echo "$secret $d_home" >told; cat in\nd_fetch : told\n---\n',
                      **{'in': 'input\n'})
        self.lwt('task', 'add', 't')
        done = self.lwt('task', 'run', timeout=120)
        self.assertEqual(done.code, 0, done)
        self.assertEqual(self.read(self.results()[0], 'result', 'told'), 'of the user %s\n' % home)
        self.assertEqual(self.lwt('task', 'log', '1').out, 'input\n')
        self.write('lines', 'b 2\na 1\nc 3\n')
        done = self.lwt('reduce', '-a', '-i', 'lines', '-o', 'sorted', '-r', 'sed "s/$/ $secret/"')
        self.assertEqual((done.code, self.read('sorted').splitlines()[0]), (0, 'a 1 of the user'),
                         done)

    def test_FR_33_scripts_input_and_reduce_do_without_the_TMPDIR(self):
        """FR-33: TMPDIR names a directory that does not exist; a directory given with -t has no
        fallback.
        """
        self.set_variables(TMPDIR='/no/such/directory')
        script = self.write('script', '#!/bin/sh\nwc -l\n')
        lines = self.write('lines', 'b\na\n')
        done = self.lwt('exec', '-w', 'h1', '--script', script, '--stdin', lines)
        self.assertEqual((done.code, done.out.strip()), (0, '2'), done)
        done = self.lwt('reduce', '-w', 'h1', '-i', lines)
        self.assertEqual((done.code, done.out), (0, 'a\nb\n'), done)
        done = self.lwt('reduce', '-w', 'h1', '-i', lines, '-t', '/no/such/other')
        self.assertEqual((done.code, done.out), (1, ''), done)
        self.assertIn('/no/such/other', done.err)

    def test_UR_2_every_command_makes_the_home(self):
        """UR-2: every command makes it if it is the first that needs it."""
        self.write('data', 'data\n')
        commands = ('exec -a -- true', 'put -a data x', 'get -a /etc/hostname out --force',
                    'monitor', 'deploy -a',
                    'reduce -a -i data', 'task update', 'probe')
        for number, command in enumerate(commands):
            with self.subTest(command=command):
                home = self.path('homes', str(number), 'h')
                self.make_workspace([('h1', 'lab', home)])
                if command == 'task update':
                    self.lwt('task', 'add', 'sample')
                done = self.lwt(*command.split())
                self.assertEqual(done.code, 0, done)
                self.assertEqual(stat.S_IMODE(os.stat(home).st_mode), 0o700)
        self.assertEqual(self.lwt('task', 'run').code, 0)


class WithoutProc(LabTestCase):
    """Systems without /proc."""

    hosts = 2

    def setUp(self):
        super().setUp()
        for name in self.names:
            self.lab.inside(name, 'mount', '-t', 'tmpfs', 'tmpfs', '/proc')
        self.write('lines', ''.join('%d\n' % (number * 7919 % 1000) for number in range(1000)))
        self.expected = ''.join('%d\n' % number for number in sorted(range(1000), key=str))

    def tearDown(self):
        for name in self.names:
            self.lab.inside(name, 'umount', '/proc')
        super().tearDown()

    def test_reduce_works_by_ssh_and_says_why_it_does_not_by_netcat(self):
        done = self.lwt('reduce', '-w', 'h1,h2', '-i', 'lines')
        self.assertEqual((done.code, done.out), (0, self.expected), done)
        done = self.lwt('reduce', '-w', 'h1,h2', '-i', 'lines', '--transport', 'nc')
        self.assertEqual((done.code, done.out), (1, ''), done)
        self.assertIn('the port of a netcat cannot be found without /proc; use --transport ssh',
                      done.err)

    def test_reduce_works_where_this_machine_has_none(self):
        for locale in ('C', 'no_SUCH'):         # by bytes, and merged by sort
            for target in ([], ['-o', 'sorted']):
                with self.subTest(locale=locale, target=target):
                    words = [self.python, '-S', '-m', 'lwt', 'reduce', '-w', 'h1,h2', '-i',
                             'lines'] + target
                    done = subprocess.run(
                        ['unshare', '--mount', 'sh', '-c',
                         'mount -t tmpfs tmpfs /proc && exec "$@"', 'sh'] + words,
                        env=dict(self.env, LC_ALL=locale), cwd=self.scratch,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
                    out = self.read('sorted') if target else done.stdout.decode()
                    self.assertEqual((done.returncode, out), (0, self.expected), done.stderr)

    def test_a_chain_goes_by_ssh_instead(self):
        self.write('big', os.urandom(1 << 20))
        done = self.lwt('put', '-v', '-w', 'h1,h2', '--chain', 'big', 'big')
        self.assertEqual(done.code, 0, done)
        for name in self.names:
            with open(os.path.join(self.lab.home(name), 'big'),
                      'rb') as copied, open(self.path('big'), 'rb') as sent:
                self.assertEqual(copied.read(), sent.read())

    def test_a_command_that_takes_too_long_is_ended(self):
        done = self.lwt('exec', '--grace', '0.5', '-w', 'h1,h2', '-u', '2', '--',
                        'sleep 9961 & sleep 9962')
        self.assertEqual(done.code, 3, done)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))


if __name__ == '__main__':
    unittest.main()
