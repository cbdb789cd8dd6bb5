"""The scripts of lwt/remote/sh/ in every shell of this machine: dash, bash and busybox sh."""

import contextlib
import functools
import hashlib
import itertools
import os
import random
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from types import SimpleNamespace
from unittest import mock

from lwt import procfs, ssh
from lwt.copy import tarstream
from lwt.flow import running
from lwt.remote import scripts
from lwt.tasks import model, requests
from lwt.workspace.hostlist import Host
from tests.support import ALL_STEPS, MARK, LeakCheckedTestCase, marked, wait_for

SHELLS = [words for words in (('dash',), ('bash',), ('busybox', 'sh')) if shutil.which(words[0])]
CONTROL = scripts.with_arguments(scripts.script_text(*scripts.SHORT_SCRIPTS['control']), ('60',))


# A process that looks as if it were about to execute another program: it has no environment and no
# command line, from the time when it makes the file "hidden" until shortly after the end of its
# parent.
BETWEEN_PROGRAMS = '''
import ctypes, os, struct, time
libc = ctypes.CDLL(None, use_errno=True)
libc.sbrk.restype = ctypes.c_void_p
with open("/proc/self/stat") as file:
    fields = file.read().rpartition(") ")[2].split()
code, end_code, stack = map(int, fields[23:26])
data, end_data, heap, words, end_words, env, end_env = map(int, fields[42:49])
def show(end_words, end_env):
    layout = struct.pack("=11QQII", code, end_code, data, end_data, heap, libc.sbrk(0), stack,
                         words, end_words, env, end_env, 0, 0, 0xffffffff)
    if libc.prctl(35, 14, layout, len(layout), 0):      # PR_SET_MM, PR_SET_MM_MAP
        open("refused", "w").close()
parent = os.getppid()
show(words, env)
open("hidden", "w").close()
while os.getppid() == parent:
    time.sleep(0.01)
time.sleep(0.6)
show(end_words, end_env)
time.sleep(60)
'''

def path_without(scratch, *absent):
    """Make a PATH in a directory, with all programs except these."""
    tools = tempfile.mkdtemp(dir=scratch)
    for folder in os.environ['PATH'].split(':'):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if name not in absent and not os.path.lexists(os.path.join(tools, name)):
                os.symlink(os.path.join(folder, name), os.path.join(tools, name))
    return tools


def changed_runner(change):
    """A context in which the runner of tasks is change(text of sh/run.sh and its libraries)."""
    def changed(*names, text=scripts.script_text):
        return change(text(*names)) if names[-1] == 'run' else text(*names)
    return mock.patch.object(scripts, 'script_text', side_effect=changed)


def become(uid):
    """Become this user from now on, if this process runs as root."""
    if not os.getuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


def in_each_shell(test):
    """Call test(self, shell, home) for each shell, with a new home and new words."""
    @functools.wraps(test)
    def each(self):
        for number, shell in enumerate(SHELLS):
            with self.subTest(shell=' '.join(shell)):
                home = os.path.join(self.scratch, 'home%d' % number)
                os.mkdir(home)
                self.choose_words()
                test(self, shell, home)
    return each


class ShellTestCase(LeakCheckedTestCase):
    """Runs scripts as a host would, in a home of its own, for each shell."""

    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory(prefix='lwt-test.')
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.choose_words()

    def choose_words(self):
        """Set the nonce and the key.

        They are new for each shell, because scripts end every process on this machine that carries
        these words: other tests run at the same time, and a guard may still look for processes when
        its command has ended.
        """
        self.nonce = secrets.token_hex(16)
        self.key = secrets.token_hex(16) + '.1'
        self.frame = scripts.Framed(self.nonce, lambda _stream, _data: None)

    def asked(self, size, digest, home='~'):
        """Return the line, bytes, that precedes a request to sh/control.sh with a stream of that
        size.
        """
        return scripts.request(self.frame, (home, 'aa' * 16, '5', '1', '0', '0', str(size), digest,
                                            '0', '-'))

    def start(self, shell, home, script, stdin=subprocess.DEVNULL, variables=None, **options):
        """Start a script (bytes), in a session of its own as under sshd; `sh` is the same shell in
        it.

        variables: further variables of its environment. options: further ones for Popen.
        """
        bin_dir = os.path.join(home, 'bin')
        if not os.path.isdir(bin_dir):
            os.mkdir(bin_dir)
            with open(os.path.join(bin_dir, 'sh'), 'w') as file:
                file.write('#!/bin/sh\nexec %s "$@"\n' % ' '.join(shell))
            os.chmod(os.path.join(bin_dir, 'sh'), 0o755)
        env = {'PATH': bin_dir + ':' + os.environ['PATH'], 'HOME': home, MARK: self.mark,
               'TMPDIR': self.scratch}
        env.update(variables or {})
        program = shutil.which(shell[0]) or shell[0]
        return subprocess.Popen((program,) + shell[1:] + ('-c', os.fsdecode(script)), stdin=stdin,
                                stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, cwd=home, env=env, start_new_session=True,
                                **options)

    def start_opened(self, shell, home, script, variables=None, **options):
        """Start a script that reads its nonce first, and send it; its standard input is a pipe."""
        popen = self.start(shell, home, script, subprocess.PIPE, variables, **options)
        popen.stdin.write(scripts.opening(self.frame))
        popen.stdin.flush()
        return popen

    def run_script(self, shell, home, name, *words, stdin=b''):
        """Run a short script; return (code in the frame or its failure, lines, stderr payload)."""
        script = scripts.with_arguments(scripts.script_text(*scripts.SHORT_SCRIPTS[name]), words)
        popen = self.start_opened(shell, home, script)
        out, err = popen.communicate(stdin, 60)
        return self.parse(out, err)

    def parse(self, out, err):
        got = {'stdout': b'', 'stderr': b''}
        frame = scripts.Framed(
            self.nonce, lambda stream, data: got.__setitem__(stream, got[stream] + data))
        frame.feed('stdout', out)
        frame.feed('stderr', err)
        frame.finish()
        self.assertTrue(frame.started, (out, err))
        end = frame.failure if frame.code is None else frame.code
        return end, got['stdout'].decode().splitlines(), got['stderr'].decode()

    def guarded(self, command, *arguments, grace='0.5', lease='60', timeout='0', script=b'',
                data=b''):
        words = ((grace, lease, '~', str(len(script)), str(len(data)), '5', timeout, command)
                 + arguments)
        names = scripts.STAGING_GUARD if script or data else scripts.GUARD
        return scripts.with_arguments(scripts.script_text(*names), words)


class TheGuardOnAHost(ShellTestCase):
    """sh/guard.sh."""

    slow = True

    def beat_until_it_ends(self, popen):
        began = time.monotonic()
        while popen.poll() is None and time.monotonic() < began + 60:
            with contextlib.suppress(BrokenPipeError):
                popen.stdin.write(b'\n')
                popen.stdin.flush()
            time.sleep(0.6)

    @in_each_shell
    def test_output_and_code_come_through_and_nothing_is_left(self, shell, home):
        popen = self.start_opened(
            shell, home, self.guarded('echo "$1"; pwd; echo err >&2; exit 9', "a 'b'\nc\n"))
        out, err = popen.stdout.read(), popen.stderr.read()
        popen.stdin.close()
        popen.stdout.close()
        popen.stderr.close()
        popen.wait(30)
        self.assertEqual(self.parse(out, err), (9, ["a 'b'", 'c', '', home], 'err\n'))
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    @in_each_shell
    def test_end_of_file_kills_all_of_the_zoo(self, shell, home):
        zoo = ('trap "" TERM; setsid sleep 9941 & (sleep 9942 &); sleep 9943 & nohup sleep 9944 & '
               'kill -STOP $$; sleep 9945')
        popen = self.start_opened(shell, home, self.guarded(zoo))
        self.assertTrue(wait_for(
            lambda: sum('sleep 994' in words for words in marked(self.mark).values()) >= 4))
        popen.communicate(timeout=30)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    @in_each_shell
    def test_a_lifeline_that_is_cut_at_once_leaves_nothing(self, shell, home):
        popens = []
        for _each in range(25):
            popen = self.start_opened(shell, home, self.guarded('echo output'))
            popens.append(popen)
            time.sleep(random.random() * 0.01)
            for pipe in (popen.stdin, popen.stdout, popen.stderr):
                pipe.close()
        for popen in popens:
            popen.wait(120)
        # Each of these guards searches all processes, which is slow on a busy machine.
        self.assertTrue(wait_for(lambda: not marked(self.mark), 120), marked(self.mark))

    @in_each_shell
    def test_a_lease_without_heartbeats_ends_it_and_heartbeats_keep_it(self, shell, home):
        popen = self.start_opened(shell, home, self.guarded('sleep 4; echo kept', lease='2'))
        self.beat_until_it_ends(popen)
        self.assertIn(b'kept', popen.stdout.read())
        popen.communicate(timeout=30)
        popen = self.start_opened(shell, home, self.guarded('sleep 9951', lease='1'))
        self.assertTrue(wait_for(lambda: popen.poll() is not None))
        popen.communicate(timeout=30)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    @in_each_shell
    def test_N_6_the_time_is_over_on_the_host_as_well_whatever_the_heartbeats(self, shell, home):
        zoo = 'trap "" TERM; setsid sleep 9952 & sleep 9953'
        popen = self.start_opened(shell, home, self.guarded(zoo, timeout='2'))
        began = time.monotonic()
        self.beat_until_it_ends(popen)
        self.assertGreaterEqual(time.monotonic() - began, 1)
        popen.communicate(timeout=30)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    @in_each_shell
    def test_a_process_that_got_the_number_of_the_command_is_not_signalled(self, shell, home):
        with subprocess.Popen(['sleep', '9954'], start_new_session=True) as other:
            end = ('\nsetsid=1 main=$$ command=%d\n'
                   '(find_command; find_rest; signal_command KILL\n'
                   'printf %%s "$command$rest_known")\nexit\n' % other.pid)
            popen = self.start(shell, home, scripts.guard_parts(scripts.GUARD).later + end)
            out, _err = popen.communicate(timeout=30)
            is_alive = other.poll() is None
            other.kill()
        self.assertEqual((out, is_alive), (b' ', True))

    @in_each_shell
    def test_a_script_and_input_are_staged_and_removed(self, shell, home):
        script, data = b'#!/bin/sh\necho "$# $1"; exec wc -c\n', b'x' * 200000
        popen = self.start_opened(shell, home,
                                  self.guarded('name', 'a b', script=script, data=data))
        popen.stdin.write(script + data)
        popen.stdin.flush()
        out, err = popen.stdout.read(), popen.stderr.read()
        popen.communicate(timeout=30)
        self.assertEqual(self.parse(out, err)[:2], (0, ['1 a b', '200000']))
        self.assertEqual([name for name in os.listdir(self.scratch) if name.startswith('lwt.')], [])

    @in_each_shell
    def test_SR_11_no_process_shows_the_nonce(self, shell, home):
        """SR-11: it is neither in arguments nor in environments; the mark is."""
        command = ('for file in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do cat "$file" 2>&1; '
                   'done; ')
        for options in ({}, {'script': b'#!/bin/sh\nsh -c "$1"\n'}):
            with self.subTest(options=options):
                words = ('name', command) if options else (command,)
                popen = self.start_opened(shell, home, self.guarded(*words, **options))
                popen.stdin.write(options.get('script', b''))
                popen.stdin.flush()
                out = popen.stdout.read()
                popen.communicate(timeout=30)
                payload = b''.join(out.split(b'\036')[2:-1]) or out
                self.assertIn(self.frame.mark.encode(), payload)
                self.assertEqual(out.count(self.nonce.encode()), 2)      # the begin and the end

    @in_each_shell
    def test_SR_11_a_short_script_does_not_show_it_either(self, shell, home):
        """SR-11: a probe that waits for its file."""
        script = scripts.script_text(*scripts.SHORT_SCRIPTS['probe'])
        words = ('~', '10', '20', 'true')
        popen = self.start_opened(shell, home, scripts.with_arguments(script, words))
        self.assertEqual(popen.stdout.readline(), b'\036%s begin\n' % self.nonce.encode())
        self.assertEqual(popen.stdout.readline(), b'ready\n')
        shown = [path for pid in marked(self.mark) for path in ('cmdline', 'environ')
                 if self.nonce in self.text_of_process(pid, path)]
        popen.communicate(timeout=30)
        self.assertEqual(shown, [])

    def text_of_process(self, pid, name):
        """Return a file of /proc/PID, or '' if the process has ended."""
        try:
            with open('/proc/%d/%s' % (pid, name), errors='replace') as file:
                return file.read()
        except OSError:
            return ''

    @in_each_shell
    def test_SR_11_without_the_first_line_nothing_is_run(self, shell, home):
        """SR-11: another program, such as a login shell's startup file, has read it."""
        for line in (b'', b'\n', b'lwt\n', b'lwt %s\n' % self.nonce.encode(), b'#!/bin/sh a b\n'):
            with self.subTest(line=line):
                popen = self.start(shell, home, self.guarded('echo ran >>ran'), subprocess.PIPE)
                self.assertEqual(popen.communicate(line, 30)[0], b'')
                self.assertEqual(popen.returncode, 1)
        self.assertFalse(os.path.exists(os.path.join(home, 'ran')))

    @in_each_shell
    def test_SR_12_the_directory_for_input_is_new_and_has_no_name_that_can_be_known(self, shell,
                                                                                    home):
        """SR-12: the mark is in no argument; an existing directory is not used."""
        script = b'#!/bin/sh\nls -ld "$TMPDIR"/lwt.*\n'
        for is_there in (False, True):
            with self.subTest(is_there=is_there):
                path = os.path.join(self.scratch, 'lwt.' + self.frame.mark)
                if is_there:
                    os.mkdir(path, 0o777)
                text = self.guarded('name', script=script)
                self.assertNotIn(self.frame.mark.encode(), text)
                popen = self.start_opened(shell, home, text)
                popen.stdin.write(script)
                popen.stdin.flush()
                out, err = popen.stdout.read(), popen.stderr.read()
                popen.communicate(timeout=30)
                end, lines, _err = self.parse(out, err)
                if is_there:
                    self.assertEqual((end, lines), (path + ': cannot be made', []))
                else:
                    self.assertEqual((end, len(lines), lines[0][:10]), (0, 1, 'drwx------'))
                self.assertEqual(os.path.exists(path), is_there)
        os.rmdir(path)

    @in_each_shell
    def test_input_that_is_cut_runs_nothing(self, shell, home):
        popen = self.start_opened(shell, home, self.guarded('echo ran', data=b'x' * 1000))
        out, err = popen.communicate(b'only this', 30)
        end, lines, _err = self.parse(out, err)
        self.assertEqual((end, lines), ('input for the command did not arrive', []))

    @in_each_shell
    def test_a_home_that_cannot_be_is_named(self, shell, home):
        words = ('1', '60', '/dev/null/such', '0', '0', '5', '0', 'echo ran')
        popen = self.start_opened(
            shell, home, scripts.with_arguments(scripts.script_text(*scripts.GUARD), words))
        out, err = popen.communicate(timeout=30)
        self.assertEqual(self.parse(out, err)[:2],
                         ('home /dev/null/such: cannot be created (Not a directory)', []))


class TaskCase(ShellTestCase):
    """Sends requests about one task to sh/control.sh and sh/fetch.sh."""

    INPUT = 'folder'

    def ready(self, shell, home, command, kill='', timeout=0):
        """Pack a task, whose directory contains `input`: the stream of its launch."""
        folder = os.path.join(self.scratch, 'task', self.INPUT)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, 'input'), 'w') as file:
            file.write('input\n')
        desc = model.Desc(exec=command, kill=kill, timeout=timeout)
        number = self.key.partition('.')[0]
        task = model.Task(1, number, 'name', self.INPUT, None, desc, 'launching', '',
                          1, '', 'host', '~', '',
                          self.boot(shell, home), '', None, '', 0, 0.0, None, None)
        workspace = SimpleNamespace(path=lambda *names: os.path.join(self.scratch, *names))
        inputs = requests.Inputs(frozenset([self.INPUT]))
        with running(1, 1.0) as run:
            self.errand = run.report(requests.pack(
                workspace, [task], [], [task], inputs, 1, lambda _task: False, self.scratch))

    def control(self, shell, home, data=b'end\n', size=0, digest='-'):
        """Make one call; return (code in the frame or its failure, lines)."""
        popen = self.start(shell, home, CONTROL, subprocess.PIPE)
        end, lines, _err = self.parse(*popen.communicate(self.asked(size, digest) + data, 60))
        return end, lines

    def ask(self, shell, home, verb, boot='-'):
        """Make one request; return its answer. A launch sends the task with it."""
        if verb == 'launch' and boot == '-':
            end, lines = self.control(shell, home, self.errand.data, self.errand.size,
                                      self.errand.digest)
        else:
            stream = self.errand.data[-self.errand.size:] if verb == 'launch' else b''
            request = ('%s %s %s %s /\nend\n'
                       % (verb, self.key, self.boot(shell, home) if boot == '-' else boot,
                          self.INPUT))
            end, lines = self.control(shell, home, request.encode() + stream, len(stream),
                                      self.errand.digest if stream else '-')
        self.assertEqual(end, 0)
        answers = [line.split(' ')[3:] for line in lines if line.startswith('task %s ' % self.key)]
        self.assertEqual(len(answers), 1, lines)
        return ' '.join(answers[0][:2])         # without the resource usage

    def boot(self, shell, home):
        return self.control(shell, home)[1][0].split()[1]

    def until_ended(self, shell, home):
        return wait_for(lambda: self.ask(shell, home, 'poll').startswith('exited')
                        and self.ask(shell, home, 'poll'))

    def fetch(self, shell, home, wanted, variables=None):
        script = scripts.with_arguments(scripts.script_text(*scripts.LONG_SCRIPTS['fetch']),
                                        (self.key, self.INPUT, wanted))
        popen = self.start(shell, home, script, variables=variables)
        out, err = popen.communicate(timeout=30)
        path = os.path.join(self.scratch, 'fetched.tar')
        with open(path, 'wb') as file:
            file.write(out)
        return path, err.decode()

    def unpacked(self, path):
        target = tempfile.mkdtemp(dir=self.scratch)
        self.assertTrue(tarstream.is_complete(path))
        tarstream.unpack(path, target, lambda name, _is_directory: name)
        return {os.path.relpath(os.path.join(root, name), os.path.join(target, self.key))
                for root, _dirs, names in os.walk(target) for name in names}


class ATaskOnAHost(TaskCase):
    """sh/control.sh, sh/run.sh and sh/fetch.sh: the protocol."""

    slow = True

    @in_each_shell
    def test_the_whole_life(self, shell, home):
        self.assertEqual(self.ask(shell, home, 'poll'), 'absent')
        self.ready(shell, home,
                   'mkdir out; echo new > out/new; echo said; echo cried >&2; pwd; exit 3')
        self.assertIn(self.ask(shell, home, 'launch').split()[0], ('running', 'exited'))
        self.assertEqual(self.until_ended(shell, home), 'exited 3')
        self.assertEqual(self.ask(shell, home, 'launch'), 'exited 3')
        path, told = self.fetch(shell, home, '')
        self.assertIn('tar 0\n', told)
        self.assertIn('digest sha256 ' + tarstream.sha256(path) + '\n', told)
        self.assertEqual(self.unpacked(path),
                         {'cancel', 'run.stdout', 'run.stderr', 'work/out/new'})
        path, told = self.fetch(shell, home, 'out')
        self.assertEqual(self.unpacked(path),
                         {'cancel', 'run.stdout', 'run.stderr', 'work/out/new'})
        self.assertEqual(self.unpacked(self.fetch(shell, home, 'nothing')[0]),
                         {'cancel', 'run.stdout', 'run.stderr'})
        self.assertEqual(self.ask(shell, home, 'clean'), 'cleaned')
        self.assertEqual(sorted(os.listdir(os.path.join(home, '.lwt/t', self.key))),
                         ['exit.3', 'fate'])
        self.assertEqual(self.ask(shell, home, 'launch'), 'exited 3')
        self.assertEqual(self.ask(shell, home, 'forget'), 'cleaned')
        self.assertEqual(os.listdir(os.path.join(home, '.lwt/t')), [])

    @in_each_shell
    def test_an_input_that_the_task_changes_is_new_and_one_that_it_leaves_is_not(self, shell, home):
        self.ready(shell, home, 'echo more >> input; cp -p input kept; touch -d 2001-01-01 kept')
        self.ask(shell, home, 'launch')
        self.until_ended(shell, home)
        self.assertEqual(self.unpacked(self.fetch(shell, home, '')[0]),
                         {'cancel', 'run.stdout', 'run.stderr', 'work/input', 'work/kept'})

    @in_each_shell
    def test_a_name_with_a_newline_is_fetched(self, shell, home):
        self.ready(shell, home, 'echo x > "a\nb"')
        self.ask(shell, home, 'launch')
        self.until_ended(shell, home)
        self.assertIn('work/a\nb', self.unpacked(self.fetch(shell, home, '')[0]))

    @in_each_shell
    def test_R_14_launches_at_once_start_it_once(self, shell, home):
        self.ready(shell, home, 'echo started >> ../../../../starts; sleep 0.3')
        launches = [self.start(shell, home, CONTROL, subprocess.PIPE) for _ in range(6)]
        for launch in launches:
            launch.stdin.write(self.asked(self.errand.size, self.errand.digest) + self.errand.data)
            launch.stdin.close()
            launch.stdin = None
        for launch in launches:
            launch.communicate(timeout=30)
        self.until_ended(shell, home)
        with open(os.path.join(home, 'starts')) as file:
            self.assertEqual(file.read(), 'started\n')

    @in_each_shell
    def test_R_13_a_runner_stopped_before_its_fate_never_runs_once_cancelled(self, shell, home):
        with changed_runner(lambda text: 'kill -STOP $$\n' + text):
            self.ready(shell, home, 'echo started > ../../../../starts')
        launch = self.start(shell, home, CONTROL, subprocess.PIPE)
        launch.stdin.write(self.asked(self.errand.size, self.errand.digest) + self.errand.data)
        launch.stdin.close()
        launch.stdin = None
        seen = wait_for(lambda: [pid for pid, words in marked(self.mark).items()
                                 if words.endswith('./run.sh')
                                 and procfs.processes()[pid].state == b'T'])
        self.assertTrue(seen, marked(self.mark))
        self.assertEqual(self.ask(shell, home, 'cancel'), 'cancelled')
        os.kill(seen[0], signal.SIGCONT)
        launch.communicate(timeout=30)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))
        self.assertEqual(self.ask(shell, home, 'poll'), 'cancelled')
        self.assertFalse(os.path.exists(os.path.join(home, 'starts')))

    @in_each_shell
    def test_X_1_a_runner_that_gets_a_term_as_soon_as_its_fate_is_decided_runs(self, shell, home):
        decided = 'decide "$candidate" ||'
        self.assertEqual(scripts.script_text('run').count(decided), 1)
        with changed_runner(
                lambda text: text.replace(decided, 'decide "$candidate" && kill -TERM $$ ||')):
            self.ready(shell, home, 'echo said')
        self.assertIn(self.ask(shell, home, 'launch').split()[0], ('running', 'exited'))
        self.assertEqual(self.until_ended(shell, home), 'exited 0')

    @in_each_shell
    def test_D_9_a_task_that_removes_its_fate_has_run_and_does_not_run_again(self, shell, home):
        self.ready(shell, home, 'echo started >> ../../../../starts; rm ../fate; sleep 9965')
        self.ask(shell, home, 'launch')
        self.assertEqual(wait_for(lambda: self.ask(shell, home, 'poll') == 'died'), True)
        self.assertEqual(self.ask(shell, home, 'launch'), 'died')
        self.ask(shell, home, 'cancel')
        self.assertEqual(wait_for(lambda: self.ask(shell, home, 'poll') == 'exited killed'), True)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))
        with open(os.path.join(home, 'starts')) as file:
            self.assertEqual(file.read(), 'started\n')

    @in_each_shell
    def test_a_purge_ends_what_runs_and_what_has_left_it_and_leaves_a_trace(self, shell, home):
        self.ready(shell, home, 'setsid sleep 9966 & trap "" TERM; sleep 9967')
        self.assertEqual(self.ask(shell, home, 'launch').split()[0], 'running')
        self.assertEqual(self.ask(shell, home, 'purge'), 'cleaned')
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))
        self.assertEqual(sorted(os.listdir(os.path.join(home, '.lwt/t', self.key))),
                         ['exit.killed', 'fate'])
        self.assertEqual(self.ask(shell, home, 'launch'), 'exited killed')

    def ready_between_programs(self, shell, home, rest):
        """Pack a task that starts such a process in a session of its own, and then runs the rest.
        """
        with open(os.path.join(self.scratch, 'between.py'), 'w') as file:
            file.write(BETWEEN_PROGRAMS)
        self.ready(shell, home,
                   'setsid %s %s/between.py & until [ -e hidden ]; do sleep 0.05; done; '
                   '[ ! -e refused ] || exit 9; %s' % (sys.executable, self.scratch, rest))

    @in_each_shell
    def test_what_begins_another_program_when_its_task_ends_is_ended(self, shell, home):
        self.ready_between_programs(shell, home, 'exit 0')
        self.ask(shell, home, 'launch')
        end = self.until_ended(shell, home)
        if end == 'exited 9':
            self.skipTest('no process here can change where its environment is')
        self.assertEqual(end, 'exited 0')
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))
        with open(os.path.join(home, '.lwt/t', self.key, 'left')) as file:
            self.assertEqual(file.read(), '1\n')

    @in_each_shell
    def test_what_begins_another_program_when_its_task_is_purged_is_ended(self, shell, home):
        self.ready_between_programs(shell, home, 'sleep 9965')
        self.ask(shell, home, 'launch')
        work = os.path.join(home, '.lwt/t', self.key, 'work')
        self.assertTrue(wait_for(lambda: os.path.exists(os.path.join(work, 'hidden'))))
        if os.path.exists(os.path.join(work, 'refused')):
            self.skipTest('no process here can change where its environment is')
        self.assertEqual(self.ask(shell, home, 'purge'), 'cleaned')
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    def open_talk(self, shell, home, *requests, place='~'):
        """Start a script that answers several requests, and send each; its input stays open."""
        popen = self.start(shell, home, CONTROL, subprocess.PIPE)
        for request in requests:
            popen.stdin.write(self.asked(0, '-', place) + request.encode() + b'\nend\n')
        popen.stdin.flush()
        return popen

    @in_each_shell
    def test_results_come_whole_from_a_host_without_a_tool_for_digests(self, shell, home):
        self.ready(shell, home, 'head -c 500000 /dev/zero > out')
        self.ask(shell, home, 'launch')
        self.until_ended(shell, home)
        tools = path_without(self.scratch, 'sha256sum', 'shasum', 'cksum', 'sh')
        path, told = self.fetch(shell, home, 'out', {'PATH': '%s/bin:%s' % (home, tools)})
        self.assertIn('tar 0\n', told)          # busybox may have its own sha256sum
        self.assertIn('work/out', self.unpacked(path))

    @in_each_shell
    def test_a_chain_says_that_a_file_is_there_only_if_it_gets_its_mode(self, shell, home):
        content = b'content'
        digest = hashlib.sha256(content).hexdigest()
        for name in ('own', 'target'):
            with open(os.path.join(home, name), 'wb') as file:
                file.write(content)
            os.chmod(os.path.join(home, name), 0o644)
        os.symlink('target', os.path.join(home, 'link'))
        for name, is_same in (('own', True), ('link', False)):
            _end, lines, _err = self.run_script(
                shell, home, 'chain', '~', name, name, '5', str(len(content)), digest, '600',
                '202001010000.00', '5', ':')
            self.assertEqual('same' in lines, is_same, lines)
        modes = {name: os.stat(os.path.join(home, name)).st_mode & 0o777
                 for name in ('own', 'target')}
        self.assertEqual(modes, {'own': 0o600, 'target': 0o644})

    @in_each_shell
    def test_an_answer_about_what_has_ended_waits_for_no_further_request(self, shell, home):
        self.ready(shell, home, 'true')
        self.ask(shell, home, 'launch')
        self.until_ended(shell, home)
        popen = self.open_talk(shell, home, 'poll %s - %s /' % (self.key, self.INPUT))
        with popen.stdout, popen.stderr:
            told = b''
            while b' end 0' not in told:
                self.assertTrue(select.select([popen.stdout], [], [], 30)[0], told)
                told += os.read(popen.stdout.fileno(), 4096)
            popen.stdin.close()
            popen.wait(60)

    @in_each_shell
    def test_X_1_what_is_left_of_a_talk_that_was_killed_meanwhile_is_removed(self, shell, home):
        killed = self.open_talk(shell, home, 'poll %s - - /' % self.key)
        self.assertTrue(wait_for(lambda: len(self.fifos(home)) == 2), self.fifos(home))
        other = self.open_talk(shell, home, 'poll %s - - /' % self.key)
        self.assertTrue(wait_for(lambda: len(self.fifos(home)) == 4), self.fifos(home))
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        self.assertEqual(self.parse(*other.communicate(timeout=60))[0], 0)
        self.assertEqual(self.fifos(home), [])
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    @in_each_shell
    def test_files_of_the_user_in_a_home_that_is_refused_stay(self, shell, home):
        refused = os.path.join(home, 'refused')
        os.mkdir(refused)
        os.symlink('elsewhere', os.path.join(refused, '.lwt'))
        long_ago = time.time() - 10 * 86400
        names = ['bell.txt', 'part.1.csv', 'pipe.line']
        for name in names:
            path = os.path.join(refused, name)
            open(path, 'w').close()
            os.utime(path, (long_ago, long_ago))
        popen = self.open_talk(shell, home, 'poll %s - - /' % self.key)
        self.assertTrue(wait_for(lambda: len(self.fifos(home)) == 2), self.fifos(home))
        request = b'poll %s - - /\nend\n' % self.key.encode()
        popen.communicate(self.asked(0, '-', refused) + request, 60)
        self.assertEqual(self.fifos(home), [])
        self.assertEqual(sorted(os.listdir(refused)), ['.lwt'] + names)

    def fifos(self, home):
        """Return the FIFOs of the channels to a home."""
        folder = os.path.join(home, '.lwt', 't')
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return [name for name in names if name.startswith(('bell.', 'pipe.'))]

    @in_each_shell
    def test_doctor_tells_what_lies_in_a_home_and_changes_nothing(self, shell, home):
        def told():
            end, lines, _err = self.run_script(shell, home, 'doctor', '~')
            self.assertEqual(end, 0)
            return [line for line in lines
                    if line.startswith(('task', 'input', 'id')) or line.endswith(' ' + self.key)]

        self.assertEqual(told(), [])
        self.assertFalse(os.path.exists(os.path.join(home, '.lwt')))
        self.ready(shell, home, 'echo x > out')
        self.ask(shell, home, 'launch')
        self.until_ended(shell, home)
        lines = told()
        self.assertEqual(lines[1:], ['task %s ended' % self.key, 'input ' + self.INPUT])
        self.ask(shell, home, 'clean')
        self.assertEqual(told()[1:], ['task %s trace' % self.key, 'input ' + self.INPUT])

    @in_each_shell
    def test_a_cancel_or_a_withdrawal_before_the_launch_means_never(self, shell, home):
        for verb in 'cancel', 'withdraw':
            with self.subTest(verb=verb):
                there = os.path.join(home, verb)
                os.mkdir(there)
                self.ready(shell, there, 'echo started > ../../../../starts')
                self.assertEqual(self.ask(shell, there, verb), 'cancelled')
                self.assertEqual(self.ask(shell, there, 'launch'), 'cancelled')
                self.assertFalse(os.path.exists(os.path.join(there, 'starts')))

    @in_each_shell
    def test_a_cancel_of_a_running_one_ends_all_of_it(self, shell, home):
        self.ready(shell, home, 'setsid sleep 9961 & trap "" TERM; sleep 9962')
        self.assertEqual(self.ask(shell, home, 'launch').split()[0], 'running')
        self.assertTrue(wait_for(
            lambda: sum('sleep 996' in words for words in marked(self.mark).values()) >= 2))
        self.assertEqual(self.ask(shell, home, 'cancel'), 'exited killed')
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    @in_each_shell
    def test_X_3_what_has_begun_goes_on_when_it_is_withdrawn(self, shell, home):
        self.ready(shell, home, 'while [ ! -e stop ]; do sleep 0.1; done; exit 5')
        self.ask(shell, home, 'launch')
        self.assertEqual(self.ask(shell, home, 'withdraw').split()[0], 'running')
        with open(os.path.join(home, '.lwt/t', self.key, 'work/stop'), 'w'):
            pass
        self.assertEqual(self.until_ended(shell, home), 'exited 5')

    @in_each_shell
    def test_its_own_kill_command_goes_first(self, shell, home):
        self.ready(shell, home, 'while [ ! -e stop ]; do sleep 0.1; done; exit 5',
                   kill='touch stop\n')
        self.ask(shell, home, 'launch')
        self.assertEqual(self.ask(shell, home, 'cancel'), 'exited killed')
        self.assertTrue(os.path.exists(os.path.join(home, '.lwt/t', self.key, 'work/stop')))

    @in_each_shell
    def test_a_time_out_is_recorded_whatever_the_code(self, shell, home):
        self.ready(shell, home, 'trap "exit 0" TERM; sleep 9963 & wait', timeout=0.5)
        self.ask(shell, home, 'launch')
        self.assertEqual(self.until_ended(shell, home), 'exited timeout')
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    @in_each_shell
    def test_no_clock_is_left_of_a_task_that_ends_in_time(self, shell, home):
        self.ready(shell, home, 'true', timeout=3000)
        self.ask(shell, home, 'launch')
        self.assertEqual(self.until_ended(shell, home), 'exited 0')
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    @in_each_shell
    def test_R_11_a_task_that_is_killed_by_another_hand_has_died(self, shell, home):
        self.ready(shell, home, 'sleep 9964')
        pid = int(self.ask(shell, home, 'launch').split()[1])
        os.killpg(pid, signal.SIGKILL)
        self.assertTrue(wait_for(lambda: self.ask(shell, home, 'poll') == 'died'))

    @in_each_shell
    def test_R_10_a_launch_of_before_a_reboot_is_refused(self, shell, home):
        self.ready(shell, home, 'true')
        self.assertEqual(self.ask(shell, home, 'launch', boot='another'), 'rebooted')
        self.assertFalse(os.path.exists(os.path.join(home, '.lwt/t', self.key, 'fate')))

    @in_each_shell
    def test_R_10_a_cancel_after_a_new_start_never_says_that_it_had_not_run(self, shell, home):
        self.ready(shell, home, 'true')
        for _ in range(2):
            self.assertEqual(self.ask(shell, home, 'cancel', boot='another'), 'rebooted')
        self.assertEqual(self.ask(shell, home, 'launch'), 'cancelled')

    @in_each_shell
    def test_an_input_that_is_cut_or_changed_leaves_nothing(self, shell, home):
        self.ready(shell, home, 'echo started > ../../../../starts')
        data, size = self.errand.data, self.errand.size
        for sent, digest, said in ((data[:-10], self.errand.digest, 'did not arrive'),
                                   (data, 'sha256 0', 'not what was sent')):
            end, lines = self.control(shell, home, sent, size, digest)
            self.assertEqual((end, [said in line for line in lines if line.startswith('stage ')]),
                             (0, [True]), lines)
            self.assertEqual([os.listdir(os.path.join(home, '.lwt', name)) for name in 'it'],
                             [[], []])
        self.assertFalse(os.path.exists(os.path.join(home, 'starts')))

    @in_each_shell
    def test_S_4_a_key_that_is_no_key_is_refused(self, shell, home):
        for key in ('', '..', '../..', '.', '/tmp', 'x y', '*'):
            end, _lines = self.control(shell, home, ('forget %s - - /\nend\n' % key).encode())
            self.assertIn(end, ('bad key %s' % key, 'bad key %s' % key.split(' ')[0]))


class LockedDirectories(TaskCase):
    """A task removes the permissions of the directories that it shares with others. Root would not
    notice.
    """

    UID = 65533

    def setUp(self):
        super().setUp()
        os.chmod(self.scratch, 0o711)

    def start(self, shell, home, *rest, **options):
        if not os.getuid():
            os.chown(home, self.UID, self.UID)
        return super().start(shell, home, *rest, preexec_fn=lambda: become(self.UID), **options)

    @in_each_shell
    def test_D_9_a_task_begins_though_another_one_locks_the_directories_above_it(self, shell, home):
        begins = "trap '' HUP\n"
        self.assertEqual(scripts.script_text('run').count(begins), 1)
        with changed_runner(
                lambda text: text.replace(begins, begins + 'chmod 000 ../..; chmod 000 ..\n')):
            self.ready(shell, home, 'echo x > out; exit 3')
        self.ask(shell, home, 'launch')
        self.assertEqual(self.until_ended(shell, home), 'exited 3')

    @in_each_shell
    def test_D_9_a_talk_that_goes_on_finds_a_task_below_a_locked_directory(self, shell, home):
        self.ready(shell, home, 'true')
        self.ask(shell, home, 'launch')
        self.until_ended(shell, home)
        request = 'look %s %s %s /\nend\n' % (self.key, self.boot(shell, home), self.INPUT)
        talk = self.start(shell, home, CONTROL, subprocess.PIPE)
        answer = b''
        for number in (1, 2):
            talk.stdin.write(self.asked(0, '-') + request.encode())
            talk.stdin.flush()
            while answer.count(b'task %s state' % self.key.encode()) < number:
                data = os.read(talk.stdout.fileno(), 65536)
                self.assertTrue(data, answer)
                answer += data
            for name in ('t', ''):
                os.chmod(os.path.join(home, '.lwt', name), 0)
        talk.communicate(timeout=60)
        self.assertEqual(answer.count(b'state exited 0'), 2, answer)


@unittest.skipUnless(shutil.which('bash'),
                     'bash, which can say before which line a script is, is not installed')
class ATalkThatIsKilled(TaskCase):
    """X-1: kill -9 of all of sh/control.sh before each of its lines; the same request comes again
    afterwards.
    """

    slow = True
    STRIDE = 1 if ALL_STEPS else 60
    NOTE = 'unset BASH_ENV\nset -T\ntrap \'echo "$LINENO" >>"$LWT_LINES"\' DEBUG\n'
    KILL = 'unset BASH_ENV\nset -T\ntrap \'[ "$LINENO" != "$LWT_LINE" ] || kill -KILL 0\' DEBUG\n'
    BASH = ('bash',)

    def setUp(self):
        super().setUp()
        self.lines = os.path.join(self.scratch, 'lines')
        self.hook = os.path.join(self.scratch, 'hook')
        self.homes = 0

    def hooked(self, hook, verb, prepare, line=''):
        """Run a hook before each line of one request, in a new home; return the home."""
        with open(self.hook, 'w') as file:
            file.write(hook)
        self.homes += 1
        home = os.path.join(self.scratch, 'home%d' % self.homes)
        os.mkdir(home)
        for each in prepare:
            self.ask(self.BASH, home, each)
            if each == 'launch':
                self.until_ended(self.BASH, home)
        stream = self.errand.data if verb == 'launch' else b'%s %s %s %s /\nend\n' % tuple(map(
            str.encode, (verb, self.key, self.boot(self.BASH, home), self.INPUT)))
        size, digest = (self.errand.size, self.errand.digest) if verb == 'launch' else (0, '-')
        variables = {'BASH_ENV': self.hook, 'LWT_LINES': self.lines, 'LWT_LINE': line}
        talk = self.start(self.BASH, home, CONTROL, subprocess.PIPE, variables)
        talk.communicate(self.asked(size, digest) + stream, 60)
        # Some lines are not always reached.
        self.assertIn(talk.returncode, (-signal.SIGKILL, 0) if line else (0,))
        return home

    def killed(self, verb, prepare, answers, kept, starts):
        """Kill a request before each line; the second time it must be answered, and leave the
        expected files.

        kept: files of the task's directory; starts: how often its command has begun in the end.
        """
        self.ready(self.BASH, self.scratch, 'echo started >>"$d_home/starts"')
        self.hooked(self.NOTE, verb, prepare)
        with open(self.lines) as file:
            lines = sorted(set(map(int, file)))
        os.unlink(self.lines)
        self.assertGreater(len(lines), 50)
        for line in lines[random.randrange(self.STRIDE)::self.STRIDE]:
            with self.subTest(line=CONTROL.decode().splitlines()[line - 1]):
                home = self.hooked(self.KILL, verb, prepare, str(line))
                self.assertIn(self.ask(self.BASH, home, verb).split()[0], answers)
                if verb == 'launch':
                    self.until_ended(self.BASH, home)
                tasks_dir = os.path.join(home, '.lwt', 't')
                there = {name: sorted(os.listdir(os.path.join(tasks_dir, name)))
                         for name in os.listdir(tasks_dir)}
                self.assertEqual(sorted(there), [self.key] if kept else [])
                self.assertLessEqual(set(kept), set(there.get(self.key, ())))
                if kept:
                    self.assertEqual(self.ask(self.BASH, home, 'launch'),
                                     'exited 0' if starts else 'cancelled')
                record = os.path.join(home, 'starts')
                if os.path.exists(record):
                    with open(record) as file:
                        self.assertEqual(file.read(), starts * 'started\n')
                else:
                    self.assertEqual(starts, 0)
                shutil.rmtree(home)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    def test_X_1_a_launch(self):
        self.killed('launch', (), ('running', 'exited'), ('exit.0', 'fate'), 1)

    def test_X_1_a_cancel_of_what_is_not_there_yet(self):
        self.killed('cancel', (), ('cancelled',), ('cancel', 'fate'), 0)

    def test_X_1_a_removal(self):
        self.killed('clean', ('launch',), ('cleaned',), ('exit.0', 'fate'), 1)

    def test_X_1_the_removal_of_what_tells_that_it_ran(self):
        self.killed('forget', ('launch', 'clean'), ('cleaned',), (), 1)


class Envelopes(ShellTestCase):
    """The command line that a login shell gets."""

    LOGIN_SHELLS = [words for words in (('dash',), ('bash',), ('busybox', 'sh'), ('tcsh',),
                                        ('fish',)) if shutil.which(words[0])]

    def test_S_3_any_bytes_come_through_any_login_shell(self):
        data = bytes(byte for byte in range(1, 256)) + b"\n\n !! $HOME `id` 'x' \\ \n"
        script = scripts.with_arguments('printf %s "$1"', (data,))
        for shell in self.LOGIN_SHELLS:
            with self.subTest(shell=shell[0]):
                done = subprocess.run(shell + ('-c', scripts.envelope(script)),
                                      stdout=subprocess.PIPE, timeout=30,
                                      env={'PATH': os.environ['PATH'], 'HOME': self.scratch})
                self.assertEqual(done.stdout, data)

    def test_S_3_a_guard_comes_through_any_login_shell(self):
        plain, odd = 'a  b" $HOME `id` * ; & # ~ %', "it's !! \\ \\\\ \n \t \xe9"
        limits = scripts.Deadlines(grace=0.5)
        for shell, argument, home in itertools.product(self.LOGIN_SHELLS, (plain, odd),
                                                       ('~', 'x y')):
            with self.subTest(shell=shell[0], argument=argument, home=home):
                command = scripts.guarded(ssh.Transport('ssh', 'scp'), Host('h', home=home),
                                          'pwd; printf %s "$1"', (argument,), self.frame, limits)
                with subprocess.Popen(shell + ('-c', command.argv[-1]), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env={'PATH': os.environ['PATH'], 'HOME': self.scratch},
                                      cwd=self.scratch, start_new_session=True) as popen:
                    popen.stdin.write(scripts.opening(self.frame))
                    popen.stdin.flush()
                    got = self.parse(popen.stdout.read(), popen.stderr.read())
                path = os.path.join(self.scratch, home) if home != '~' else self.scratch
                self.assertEqual(got, (0, (path + '\n' + argument).splitlines(), ''))


if __name__ == '__main__':
    unittest.main()
