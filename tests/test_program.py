"""lwt as a user runs it, on this machine: wrong use, bad files, closed streams, and what must work
nevertheless.
"""

import contextlib
import os
import pty
import shlex
import signal
import socket
import stat
import subprocess
import time
import unittest

from lwt.cli import COMMANDS
from tests import lab
from tests.support import Done, ProgramTestCase, catches, marked, wait_for

LOCAL = [('localhost', 'local', '~')]


class WrongUse(ProgramTestCase):
    """Wrong words and options: one clear line, exit code 2, nothing done."""

    def test_C_1_no_command_or_a_misspelt_one(self):
        done = self.lwt()
        self.assert_refused(done, 2, 'usage: lwt', 'no command')
        self.assert_refused(self.lwt('exce', '-w', 'h', '--', 'true'), 2, 'unknown command exce',
                            'did you mean exec?')
        self.assert_refused(self.lwt('hepl'), 2, 'unknown command hepl')

    def test_help_and_version_are_no_errors(self):
        of_commands = [(name, '--help') for name, *_ in COMMANDS]
        for words in [('--help',), ('help',), ('--version',), ('multi', '-h')] + of_commands:
            with self.subTest(words=words):
                done = self.lwt(*words, env=dict(self.env, COLUMNS='80'))
                self.assertEqual((done.code, done.err), (0, ''))
                self.assertIn('lwt', done.out)
                self.assertEqual([line for line in done.out.splitlines() if len(line) > 80], [])
                if len(words) == 2:
                    self.assertIn('\nexamples:\n  ', done.out)
                    self.assertRegex(done.out.partition('examples:')[2], r'\blwt %s\b' % words[0])

    def test_C_2_options_that_are_wrong_are_named(self):
        for words, said in (
                (('exec', '--josn', '-w', 'h', 'x'), ['--josn', 'did you mean --json?']),
                (('exec', '-w'), ['-w']),
                (('multi', '-j', 'x'), ['-j', "'x'"]),
                (('multi', '-j', '1x'), ['-j', "'1x'"]),
                (('multi', '-j', 'x'), ['-j', "'x'"]),
                (('multi', '-j'), ['-j']),
                (('exec', '-w', 'h', '-f', '-1', 'x'), ['-f', "'-1'"]),
                (('exec', '-w', 'h', '--set', 'fanuot=3', 'x'), ['fanuot', 'did you mean fanout?']),
                (('exec', '-w', 'h', '--set', 'fanout', 'x'), ['KEY=VALUE'])):
            with self.subTest(words=words):
                self.assert_refused(self.lwt(*words), 2, *said)

    def test_C_2_a_number_beyond_all_limits_is_capped_and_said(self):
        done = self.lwt('multi', '-j', '1e9', stdin=b'echo ran\n')
        self.assertEqual((done.code, done.out), (0, 'ran\n'))
        self.assertIn('-j 1000000000: capped to ', done.err)

    def test_C_3_times_that_are_none(self):
        for text in ('nan', 'inf', '-1', '1d2', '', '1e', '0x10'):
            with self.subTest(text=text):
                self.assert_refused(self.lwt('multi', '-u', text), 2, '-u')

    def test_C_4_an_empty_command(self):
        for words in ((), ('--', ''), ('--', '  \t ')):
            with self.subTest(words=words):
                self.assert_refused(self.lwt('exec', '-w', 'h', *words), 2, 'empty command')

    def test_C_5_a_nul_byte_in_a_line_is_named_and_the_others_run(self):
        done = self.lwt('multi', stdin=b'echo one\necho \0two\necho three\n')
        self.assert_refused(done, 2, 'job 2: command contains a NUL byte')
        self.assertEqual(sorted(done.out.split()), ['one', 'three'])

    def test_C_6_bytes_that_are_no_text_come_through_in_the_c_locale(self):
        self.make_workspace(LOCAL)
        env = dict(self.env, LANG='C', LC_ALL='C')
        popen = subprocess.Popen([self.python.encode(), b'-S', b'-m', b'lwt', b'exec', b'-a', b'--',
                                  b"printf '\xff\xe9\n'"],
                                 stdout=subprocess.PIPE, cwd=self.scratch, env=env)
        self.assertEqual(popen.communicate(timeout=60)[0], b'\xff\xe9\n')

    def test_C_7_a_command_that_is_too_long_says_the_way_out(self):
        self.make_workspace(LOCAL)
        command = ': ' + 'x' * 130000
        self.assert_refused(self.lwt('exec', '-a', '--', command), 2, 'too long', 'hint:',
                            '--script')
        script = self.write('long.sh', command[:130000] * 2 + '\necho ran "$1"\n')
        done = self.lwt('exec', '-a', '--script', script, '--', 'with args')
        self.assertEqual((done.code, done.out), (0, 'ran with args\n'))

    def test_C_14_ids_that_are_unknown_ambiguous_or_none(self):
        self.make_workspace(LOCAL)
        self.lwt('task', 'add', 'sample', 'sample')
        self.assert_refused(self.lwt('task', 'show', '../x'), 2, 'bad task id')
        self.assert_refused(self.lwt('task', 'kill', '99'), 2, 'no task 99')
        self.assert_refused(self.lwt('task', 'kill', '0'), 2, 'ambiguous', '000001 000002')
        self.assert_refused(self.lwt('task', 'kill'), 2, 'missing task id')
        self.assert_refused(self.lwt('task', 'frob'), 2, 'unknown subcommand frob')
        self.assert_refused(self.lwt('task', 'add', 'sample', '--each', 'x', '--array', '1-2'), 2,
                            '--each and --array exclude each other')
        self.assertIn('2 new', self.lwt('task', 'show').err)

    def test_no_selection_is_an_error_and_an_unknown_category_too(self):
        self.make_workspace(LOCAL)
        self.assert_refused(self.lwt('exec', '--', 'true'), 2, 'no hosts selected', '-w HOSTS')
        self.assert_refused(self.lwt('exec', '-g', 'nosuch', '--', 'true'), 2, 'nosuch')
        self.assert_refused(self.lwt('exec', '-a', '-x', 'localhost', '--', 'true'), 2,
                            'no hosts selected')


class Copies(ProgramTestCase):
    """put and get: what is refused before any host is contacted."""

    slow = True

    def setUp(self):
        super().setUp()
        self.make_workspace([('nosuch.invalid', 'far', '~')])

    def test_C_8_sources_that_cannot_be_put(self):
        os.mkfifo(self.path('fifo'))
        os.symlink('loop', self.path('loop'))
        os.mkdir(self.path('around'))
        os.symlink('..', self.path('around', 'back'))
        server = socket.socket(socket.AF_UNIX)
        server.bind(self.path('socket'))
        server.close()
        self.write('fine', 'x')
        for local, said in (('missing', 'No such file'), ('fifo', 'neither a file'),
                            ('socket', 'neither a file'),
                            ('/dev/null', 'neither a file'), ('loop', 'symbolic links'),
                            ('around', 'leads back')):
            with self.subTest(local=local):
                done = self.lwt('put', '-a', 'fine', local, '/tmp')
                self.assert_refused(done, 2, said)
                self.assertNotIn('nosuch.invalid', done.err)
        self.assert_refused(self.lwt('put', '-a', 'fine'), 2, 'where to')
        self.assert_refused(self.lwt('put', '-a', '-x', 'nosuch.invalid', 'fine', '/tmp'), 2,
                            'no hosts selected')

    def test_C_8_odd_local_names_are_files_like_others(self):
        self.write('host.list', 'localhost\tlocal\t~\n')
        for name in ('c:x', '-x', "it's $HOME; `id`", 'é\nnewline'):
            self.write(name, 'content of ' + name)
            os.makedirs(self.path('home', 'into'), exist_ok=True)
            done = self.lwt('put', '-a', '--', name, 'into')
            self.assertEqual(done.code, 0, done)
            self.assertEqual(self.read('home', 'into', name), 'content of ' + name)

    def test_C_9_local_targets_that_cannot_take_what_is_fetched(self):
        self.write('file', 'x')
        for words, said in ((('x', 'file'), 'not a directory'),
                            (('x', 'file/deeper'), 'not a directory')):
            with self.subTest(words=words):
                done = self.lwt('get', '-a', *words)
                self.assert_refused(done, 2, said)
                self.assertNotIn('unreachable', done.err)
        self.write('host.list', 'localhost\tlocal\t~\n')
        self.write('home/there', 'new')
        self.write('out/d.localhost/there', 'old')
        self.assert_refused(self.lwt('get', '-a', 'there', 'out'), 1,
                            'is there already, and differs')
        self.assertEqual(self.read('out/d.localhost/there'), 'old')
        self.write('home/there', 'old')
        # An identical file is not overwritten.
        self.assertEqual(self.lwt('get', '-a', 'there', 'out').code, 0)

    def test_C_9_force_replaces(self):
        self.write('host.list', 'localhost\tlocal\t~\n')
        self.write('home/there', 'new')
        self.write('out/d.localhost/there', 'old')
        self.assertEqual(self.lwt('get', '-a', '--force', 'there', 'out').code, 0)
        self.assertEqual(self.read('out/d.localhost/there'), 'new')

    def test_what_is_not_on_the_host_is_said_and_nothing_appears(self):
        self.write('host.list', 'localhost\tlocal\t~\n')
        done = self.lwt('get', '-a', 'nothing*', 'out')
        self.assertEqual(done.code, 1, done)
        self.assertIn('no such file', done.err)
        self.assertFalse(os.path.exists(self.path('out')))

    def test_a_directory_is_merged_and_a_file_never_replaces_one(self):
        self.write('host.list', 'localhost\tlocal\t~\n')
        self.write('tree/new', 'new')
        self.write('tree/both', 'new')
        self.write('home/tree/both', 'old')
        self.write('home/tree/old', 'old')
        self.assertEqual(self.lwt('put', '-a', 'tree', '~').code, 0)
        self.assertEqual([self.read('home/tree', name) for name in ('new', 'both', 'old')],
                         ['new', 'new', 'old'])
        self.write('other/tree', 'a file')
        done = self.lwt('put', '-a', 'other/tree', '~')
        self.assertEqual(done.code, 1, done)
        self.assertIn('cannot replace', done.err)
        self.assertEqual(sorted(os.listdir(self.path('home'))), ['tree'])

    def test_G_4_term_in_the_middle_of_a_get_leaves_the_old_or_the_new_and_never_half(self):
        def make(what):
            for name in range(60):
                self.write('home/data/%d' % name, what)

        self.make_workspace(LOCAL)
        self.write('home/data/number', '0')
        make('old')
        began, wholes = time.monotonic(), set()
        self.assertEqual(self.lwt('get', '-a', 'data', 'here').code, 0)
        delay = (time.monotonic() - began) / 2
        for round_ in range(1, 26):
            make(str(round_))
            popen = self.start_fork('get', '-a', '--force', 'data', 'here')
            time.sleep(delay)
            popen.terminate()
            _out, err = popen.communicate(timeout=30)
            self.assertIn(popen.returncode, (0, 143, -15), err)  # -15: before handlers were set
            got = self.path('here', 'd.localhost', 'data')
            if os.path.exists(got):
                said = {self.read(got, name) for name in os.listdir(got) if name != 'number'}
                self.assertEqual((len(said), len(os.listdir(got))), (1, 61))
                wholes |= said
            # It stays near the time that a get takes, which differs on a busy machine.
            delay *= 1.2 if popen.returncode else 0.8
        self.assertGreater(len(wholes - {'old'}), 1)      # some came in time
        self.assertEqual(os.listdir(self.path('here', 'd.localhost')), ['data'])


class Targets(ProgramTestCase):
    """Outputs that a user names: files, devices, FIFOs and descriptors."""

    def setUp(self):
        super().setUp()
        self.make_workspace(LOCAL)
        self.write('in', 'b\na\n')

    COMMANDS = {'reduce': ('reduce', '-a', '-i', 'in', '-o'), 'report': ('-q', 'report', '-o'),
                'exec': ('exec', '-a', '--failed-to')}

    SHELLS = ('"$@" /dev/stdout $end | cat', '"$@" /dev/stdout $end >file; cat file',
              '"$@" /dev/fd/3 $end 3>&1 >/dev/null | cat', '"$@" /proc/self/fd/1 $end | cat',
              'echo old >file; "$@" /dev/stdout $end >>file; tail -n +2 file',
              'ln -sf /dev/stdout link; "$@" link $end | cat',
              '"$@" >(cat >file) $end >/dev/null; until [ -s file ]; do sleep 0.1; done; cat file')

    def argv(self, name, path):
        return self.COMMANDS[name] + (path,) + (('--', 'exit 1') if name == 'exec' else ())

    def test_C_16_a_device_is_written_to_and_never_replaced(self):
        os.symlink('/dev/null', self.path('null'))
        for path in ('null',) + (('/dev/null',) if os.getuid() else ()):  # a user cannot harm /dev
            for name in self.COMMANDS:
                with self.subTest(name=name, path=path):
                    done = self.lwt(*self.argv(name, path))
                    self.assertEqual(done.code, 1 if name == 'exec' else 0, done)
                    self.assertTrue(os.path.islink(self.path('null')), os.listdir(self.scratch))
        self.assertEqual(self.lwt(*self.argv('reduce', '/dev/null')).code, 0)
        left = [name for name in os.listdir(self.scratch) if name.startswith('.part')]
        self.assertEqual(left, [])

    def test_C_16_a_descriptor_is_what_it_leads_to(self):
        wanted = {'reduce': b'a\nb\n', 'report': b'<!DOCTYPE html>', 'exec': b'localhost\n'}
        for name in self.COMMANDS:
            for shell in self.SHELLS:
                with self.subTest(name=name, shell=shell):
                    end = ' -- "exit 1"' if name == 'exec' else ''
                    argv = ('bash', '-c', 'rm -f file\n' + shell.replace(' $end', end), 'bash',
                            self.python, '-S', '-m', 'lwt') + self.COMMANDS[name]
                    done = subprocess.run(argv, cwd=self.scratch, env=self.env, timeout=60,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    found = done.stdout[:len(wanted[name])]
                    self.assertEqual(found.lower(), wanted[name].lower(), done.stderr)

    def test_C_16_a_fifo_is_written_to_once_somebody_reads_it_and_waiting_can_be_interrupted(self):
        os.mkfifo(self.path('fifo'))
        for name in self.COMMANDS:
            with self.subTest(name=name):
                reader = subprocess.Popen(['cat', self.path('fifo')], stdout=subprocess.PIPE,
                                          env=self.env)
                self.lwt(*self.argv(name, 'fifo'))
                self.assertNotEqual(reader.communicate(timeout=30)[0], b'')
        popen = self.start(*self.argv('reduce', 'fifo'))
        self.assertTrue(wait_for(lambda: catches(popen.pid, signal.SIGTERM)))
        popen.send_signal(signal.SIGTERM)
        _out, err = popen.communicate(timeout=30)
        self.assertEqual(popen.returncode, 143, err)
        self.assertTrue(stat.S_ISFIFO(os.stat(self.path('fifo')).st_mode))

    def test_C_16_what_cannot_be_written_is_refused_before_anything_is_done(self):
        os.mkdir(self.path('directory'))
        paths = ['directory', 'no/such/place', 'in/place']
        if not lab.why_modes_do_not_hold():
            os.mkdir(self.path('locked'), 0o500)
            os.mkfifo(self.path('fifo'), 0o400)
            paths += ['locked/file', 'fifo']
        for path in paths:
            for name in ('reduce', 'exec'):
                with self.subTest(name=name, path=path):
                    self.assert_refused(self.lwt(*self.argv(name, path)), 2, path.split('/')[0])


class Streams(ProgramTestCase):
    """Standard streams that are full, closed or gone."""

    slow = True

    def setUp(self):
        super().setUp()
        self.make_workspace(LOCAL)

    def test_C_10_a_full_standard_output(self):
        for words in (('multi',), ('exec', '-a', '--', 'echo x'), ('hosts',), ('task', 'show')):
            with self.subTest(words=words), open('/dev/full', 'wb') as full:
                done = self.lwt(*words, stdin=b'echo x\n', stdout=full)
                self.assert_refused(done, 74,
                                    'lwt: disk full: standard output (No space left on device)')

    def test_C_11_a_reader_that_goes_away(self):
        for words in ('multi', 'exec -a -- yes y'):
            with self.subTest(words=words):
                shell = ('yes "echo y" | %s -S -m lwt %s | head -n 1; exit ${PIPESTATUS[1]}'
                         % (self.python, words))
                done = subprocess.run(['bash', '-c', shell], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, env=self.env,
                                      cwd=self.scratch, timeout=60)
                self.assertEqual((done.returncode, done.stdout), (141, b'y\n'), done.stderr)
                self.assertNotIn(b'Traceback', done.stderr)
                self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    def shell(self, words):
        """Run lwt from a shell, for redirections; return a Done."""
        done = subprocess.run(['sh', '-c', '%s -S -m lwt %s' % (self.python, words)], env=self.env,
                              cwd=self.scratch,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def test_C_12_closed_standard_streams(self):
        for closed in ('<&-', '>&-', '2>&-', '<&- >&- 2>&-'):
            for words, prints in (('exec -a -- true', False), ('task show', True),
                                  ('task add sample', True), ('hosts', True)):
                with self.subTest(closed=closed, words=words):
                    done = self.shell('%s %s' % (words, closed))
                    self.assertEqual(done.code, 74 if prints and ' >' in ' ' + closed else 0, done)
        self.assertEqual(len(self.lwt('task', 'show', '--json').out.splitlines()), 4)

    def test_FR_5_a_closed_or_full_standard_output_is_an_error_of_all_that_print(self):
        """FR-5: output that cannot be written is an error, after all the work is done."""
        self.lwt('task', 'add', 'sample')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        for words in ('exec -a -- echo x', 'exec -a -b -- echo x', 'exec -a -k -- echo x',
                      'exec -a --json -- echo x', 'hosts',
                      'hosts --why localhost', 'multi "echo {}" ::: x', 'multi -k --tag echo ::: x',
                      'multi --lb echo ::: x', 'multi --dry-run echo ::: x', 'task show',
                      'task show --json',
                      'task show 1', 'task log 1', 'task add sample', 'monitor', 'probe --json',
                      'stat', 'report',
                      'doctor', 'deploy -a', '--help', '--version', 'put --help'):
            with self.subTest(words=words):
                done = self.shell(words + ' >&-')
                self.assert_refused(done, 74, 'lwt: standard output: closed')
            for path, mode, said in (
                    ('/dev/full', 'wb', 'lwt: disk full: standard output'),
                    (self.path('description/sample/desc'), 'rb', 'lwt: standard output: closed')):
                with self.subTest(words=words, path=path), open(path, mode) as target:
                    done = self.lwt(*shlex.split(words), stdout=target)
                    self.assert_refused(done, 74, said)
        self.assertGreater(len(self.lwt('task', 'show', '--json').out.splitlines()), 2)
        self.assertTrue(os.path.exists(self.path('host.list.available')))

    def test_FR_5_what_prints_nothing_needs_no_standard_output(self):
        """FR-5: a command without output loses none."""
        for words in ('exec -a -- true', 'multi true ::: x', 'put -a lwt.conf copied', 'task run'):
            with self.subTest(words=words):
                self.assertEqual(self.shell(words + ' >&-').code, 0)

    def test_FR_6_all_the_work_is_done_though_standard_error_takes_nothing(self):
        """FR-6: a stream that is full or closed does not end a run, which then exits with 74."""
        multi = "multi %s 'echo {} >>ran; echo said >&2; false' ::: 1 2 3 4 5"
        execs = "exec -w localhost,h1.invalid %s -f1 -- 'echo x >>$HOME/ran; echo said >&2; false'"
        for words, count in ((multi % '-j1', 5), (multi % '-j2 -k', 5), (multi % '--tag --lb', 5),
                             (execs % '', 1),
                             (execs % '-k', 1), ('-v ' + multi % '-j1', 5)):
            for target in ('full', 'closed', 'both'):
                with self.subTest(words=words, target=target), open('/dev/full', 'wb') as full:
                    streams = dict(stderr=full, **{'stdout': full} if target == 'both' else {})
                    done = (self.shell(words + ' 2>&-') if target == 'closed'
                            else self.lwt(*shlex.split(words), **streams))
                    self.assertEqual(done.code, 74, done)
                    path = self.path('ran') if 'multi' in words else os.path.join(self.home, 'ran')
                    self.assertEqual(len(self.read(path).splitlines()), count)
                    os.unlink(path)

    def test_FR_6_files_of_hosts_that_cannot_be_written_end_no_run(self):
        """FR-6: the file of one host is on a full disk; the command runs, and the other file is
        written.
        """
        os.mkdir(self.path('out'))
        os.symlink('/dev/full', self.path('out', 'localhost'))
        done = self.lwt('exec', '-a', '--errdir', 'err', '--outdir', 'out', '--',
                        'echo a; sleep 0.1; echo b >&2; echo c >ran')
        self.assertEqual((done.code, done.out), (74, 'a\n'), done)
        self.assertIn('lwt: out/localhost: ', done.err)
        self.assertEqual((self.read('err', 'localhost'), self.read('home', 'ran')), ('b\n', 'c\n'))

    def test_C_13_programs_that_are_not_installed(self):
        env = dict(self.env, PATH='/nonexistent')
        for words in (('exec', '-w', 'h1', '--', 'true'), ('put', '-w', 'h1', 'lwt.conf', '/tmp'),
                      ('get', '-w', 'h1', 'x', 'out')):
            with self.subTest(words=words):
                self.assert_refused(self.lwt(*words, env=env), 2,
                                    'ssh not found in PATH=/nonexistent')
        self.assertEqual(self.lwt('exec', '-a', '--', ':', env=env).code, 0)

    def test_C_15_no_home_and_no_current_directory(self):
        env = dict(self.env)
        del env['HOME']
        self.assertEqual(self.lwt('multi', stdin=b'true\n', env=env).code, 0)
        os.mkdir(self.path('gone'))
        popen = subprocess.Popen(['sh', '-c', 'rmdir ../gone; exec %s -S -m lwt hosts'
                                  % self.python], cwd=self.path('gone'),
                                 env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _out, err = popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 74, err)
        self.assertIn(b'current directory', err)

    def test_C_15_a_home_that_is_missing_or_relative_is_no_obstacle_on_this_machine(self):
        os.mkdir(self.path('there'))
        os.chmod(self.path('there'), 0o755)
        for home in ('/no/such/home', 'there', '/etc/passwd', '/proc/self', None):
            env = {name: value for name, value in self.env.items() if name != 'HOME'}
            env.update({} if home is None else {'HOME': home})
            with self.subTest(home=home):
                self.write('host.list', 'localhost\tlocal\t%s\n' % self.path('there'))
                done = self.lwt('exec', '-a', '--', 'pwd; echo "$HOME"', env=env)
                self.assertEqual((done.code, done.out.split()[:1]), (0, [self.path('there')]), done)
                self.assertTrue(done.out.split()[1].startswith('/'), done)
                done = self.lwt('demo', env=env)
                self.assertEqual(done.code, 0, done)
        self.write('host.list', 'localhost\tlocal\t~\n')
        done = self.lwt('exec', '-a', '--', 'pwd', env=dict(self.env, HOME='there'))
        self.assertEqual((done.code, done.out), (0, self.path('there') + '\n'), done)

    def test_C_15_a_home_that_cannot_be_written(self):
        self.write('host.list', 'localhost\tlocal\t/proc/self\n')
        self.lwt('task', 'add', 'sample')
        done = self.lwt('task', 'update')
        self.assert_refused(done, 3, 'localhost: home /proc/self: cannot be written')
        self.assertIn('1 new', self.lwt('task', 'show').err)

    def test_S_13_terminal_escapes_of_a_host_do_not_reach_a_terminal(self):
        master, slave = pty.openpty()
        try:
            popen = self.start('exec', '-a', '--', r"printf '\033]0;owned\007plain\n'",
                               stdout=slave)
            popen.communicate(timeout=60)
            seen = os.read(master, 4096)
        finally:
            os.close(master)
            os.close(slave)
        self.assertEqual(seen, b'\\x1b]0;owned\\x07plain\r\n')


    def test_colours_reach_a_terminal_and_nothing_else(self):
        self.lwt('task', 'add', 'sample')
        self.lwt('task', 'kill', '1')
        self.assertNotIn('\033', self.lwt('task', 'show').out)
        for env, expected in (({'TERM': 'xterm'}, True), ({'TERM': 'xterm', 'NO_COLOR': '1'},
                                                          False), ({'TERM': 'dumb'}, False)):
            with self.subTest(env=env):
                master, slave = pty.openpty()
                try:
                    self.start('task', 'show', stdout=slave,
                               env=dict(self.env, **env)).communicate(timeout=60)
                    seen = os.read(master, 4096)
                finally:
                    os.close(master)
                    os.close(slave)
                self.assertEqual(b'\033[33m000001' in seen, expected, seen)


class HostLists(ProgramTestCase):
    """host.list, good and bad."""

    def hosts(self, text):
        self.write('host.list', text)
        return self.lwt('hosts')

    def setUp(self):
        super().setUp()
        self.make_workspace(LOCAL)

    def test_H_1_missing_empty_or_only_comments(self):
        for text in ('', '\n\n', '# nothing\n   # here\n'):
            with self.subTest(text=text):
                self.assert_refused(self.hosts(text), 2, 'no hosts in ', 'host.list')
        os.unlink(self.path('host.list'))
        self.assert_refused(self.lwt('hosts'), 2, 'host.list: No such file')

    def test_H_2_what_is_no_file_is_refused_fast(self):
        path = self.path('host.list')

        def huge():
            with open(path, 'w') as file:
                file.truncate(1 << 26)          # sparse
        for name, make in (('directory', lambda: os.mkdir(path)), ('fifo', lambda: os.mkfifo(path)),
                           ('huge', huge), ('device', lambda: os.symlink('/dev/zero', path))):
            with self.subTest(name=name):
                subprocess.run(['rm', '-rf', path], check=True)
                make()
                self.assert_refused(self.lwt('hosts', timeout=20), 2, 'host.list')

    def test_H_3_wrong_columns_are_named_with_their_line(self):
        for line, said in (('h1\tcat', 'found 2 columns'), ('h1 cat ~', 'TAB'),
                           ('h1\tcat\t~\tnonsense', 'key=value')):
            with self.subTest(line=line):
                self.assert_refused(self.hosts('good\tcat\t~\n%s\n' % line), 2, 'host.list:2', said)

    def test_H_4_carriage_returns_a_bom_and_no_last_newline_are_taken(self):
        done = self.hosts('\ufeffh1\tcat\t~\r\n\r\n# x\r\nh2\tcat\t~  \t')
        self.assertEqual((done.code, done.out), (0, 'h1\nh2\n'))

    def test_H_5_the_same_name_twice(self):
        self.assertEqual(self.hosts('h1\tcat\t~\nh1\tcat\t~\n').out, 'h1\n')
        self.assert_refused(self.hosts('h1\tcat\t~\nh1\tcat\t/other\n'), 2, 'host.list:2', 'h1')

    def test_H_6_names_that_could_be_something_else(self):
        for name in ('-oProxyCommand=touch owned', 'a;b', 'a b', '../x', 'x' * 300, 'a\0b',
                     '.hidden', '$(id)', "a'b"):
            with self.subTest(name=name):
                if '\0' not in name:
                    self.write('host.list', 'localhost\tlocal\t~\n')
                    self.assert_refused(self.lwt('exec', '-w', name, '--', 'true'), 2,
                                        'bad host name')
                self.assert_refused(self.hosts('%s\tcat\t~\n' % name), 2, 'host.list:1')
        self.write('host.list', b'h\xff\tcat\t~\n')
        self.assert_refused(self.lwt('hosts'), 2, 'host.list:1', 'not UTF-8')
        self.assertNotIn('owned', os.listdir(self.scratch))

    def test_H_7_homes_that_are_none(self):
        for home, said in (('/', 'bad HOME'), ('', 'TAB'), ('~other', 'bad HOME'),
                           ('a/../../b', 'bad HOME')):
            with self.subTest(home=home):
                self.assert_refused(self.hosts('h1\tcat\t%s\n' % home), 2, 'host.list:1', said)

    def test_H_7_homes_relative_and_with_odd_characters_work(self):
        for home in ('deep/er', '~/deep/er', "with space 'n quote $x"):
            with self.subTest(home=home):
                path = self.path('home', home.replace('~/', ''))
                os.makedirs(path, exist_ok=True)
                self.write('host.list', 'localhost\tlocal\t%s\n' % home)
                self.assertEqual(self.lwt('exec', '-a', '--', 'pwd').out, path + '\n')

    def test_H_8_a_host_that_left_the_list_is_looked_after(self):
        self.describe('slow', 'exec : sleep 1; echo x > out\nd_fetch : out\n')
        self.lwt('task', 'add', 'slow')
        self.lwt('task', 'update')
        self.write('host.list', 'other.invalid\tfar\t~\n')
        done = self.lwt('task', 'run', '-t', '1')
        self.assertEqual(done.code, 0, done)
        with open(os.path.join(self.results()[0], 'result', 'out')) as file:
            self.assertEqual(file.read(), 'x\n')


class ExecHere(ProgramTestCase):
    """exec on this machine, with the same scripts as on any host."""

    ZOO = 'trap "" TERM; setsid sleep 9961 & (sleep 9962 &); sleep 9963'

    def setUp(self):
        super().setUp()
        self.make_workspace(LOCAL)

    def test_a_time_out_an_interrupt_and_kill_9_leave_nothing_not_even_what_left_the_group(self):
        for signum, code in ((None, 3), (signal.SIGINT, 130), (signal.SIGKILL, -9)):
            with self.subTest(signum=signum):
                limit = () if signum else ('-u', '4')
                popen = self.start('exec', '-a', '--grace', '0.5', *limit, '--', self.ZOO)
                self.assertTrue(wait_for(
                    lambda: sum('sleep 996' in words for words in marked(self.mark).values()) >= 3))
                if signum:
                    popen.send_signal(signum)
                _out, err = popen.communicate(timeout=30)
                self.assertEqual(popen.returncode, code, err)
                self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    def test_a_guard_that_is_killed_while_it_ends_a_command_leaves_nothing(self):
        popen = self.start('exec', '-a', '--grace', '2', '--',
                           'trap "" TERM; sleep 9968; sleep 9969')
        self.assertTrue(wait_for(
            lambda: any(words.startswith('sleep 996') for words in marked(self.mark).values())))
        guards = [pid for pid, words in marked(self.mark).items() if 'lwt_later' in words]
        self.assertGreater(len(guards), 1)
        popen.send_signal(signal.SIGTERM)
        for pid in guards:
            with contextlib.suppress(ProcessLookupError):       # a subshell that has ended
                os.kill(pid, signal.SIGKILL)
        _out, err = popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 143, err)
        self.assertTrue(wait_for(lambda: not marked(self.mark), 20), marked(self.mark))

    def test_a_guard_that_is_stopped_leaves_nothing_either(self):
        popen = self.start('exec', '-a', '--grace', '0.5', '-u', '4', '--',
                           'sleep 9966; sleep 9967')
        self.assertTrue(wait_for(
            lambda: any(words.startswith('sleep 996') for words in marked(self.mark).values())))
        guards = [pid for pid, words in marked(self.mark).items() if 'lwt_later' in words]
        self.assertGreater(len(guards), 1)
        for pid in guards:
            with contextlib.suppress(ProcessLookupError):       # a subshell that has ended
                os.kill(pid, signal.SIGSTOP)
        _out, err = popen.communicate(timeout=60)
        self.assertEqual((popen.returncode, err), (3, b'lwt: localhost: timed out after 4 s\n'))
        self.assertTrue(wait_for(lambda: not marked(self.mark), 20), marked(self.mark))

    def test_a_command_that_ends_at_term_does_not_take_the_whole_grace(self):
        popen = self.start('exec', '-a', '--grace', '60', '-u', '3', '--',
                           'sleep 9964 & sleep 9965')
        _out, err = popen.communicate(timeout=30)
        self.assertEqual((popen.returncode, err), (3, b'lwt: localhost: timed out after 3 s\n'))

    def test_a_command_has_the_umask_of_whoever_runs_lwt(self):
        for words, stdin in ((('exec', '-a', '--', 'umask'), b''), (('multi',), b'umask\n')):
            with self.subTest(words=words):
                done = self.lwt(*words, stdin=stdin, preexec_fn=lambda: os.umask(0o027))
                self.assertEqual(done.out.strip().lstrip('0'), '27')

    def test_what_a_command_is_given_and_how_its_output_is_shown(self):
        self.assertEqual(self.lwt('exec', '-a', '--stdin', '-', '--', 'wc -c',
                                  stdin=b'x' * 100000).out.strip(), '100000')
        done = self.lwt('exec', '-a', '-b', '--', 'echo same; exit 4')
        self.assertEqual((done.code, done.out),
                         (1, '-' * 15 + '\nlocalhost: exit code 4\n' + '-' * 15 + '\nsame\n'))
        self.assertIn('"class": "failed", "code": 4',
                      self.lwt('exec', '-a', '--json', '--', 'exit 4').out)
        self.assertIn('lwt: localhost: ok\n', self.lwt('exec', '-a', '-v', '--', 'true').err)


if __name__ == '__main__':
    unittest.main()
