"""lwt exec: what runs on which host, and how the output is shown; with a lying ssh, a fake sudo,
and on lab hosts.
"""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import time
import unittest

from lwt.commands import exec, exit_codes
from lwt.errors import UsageError
from lwt.remote.exit_status import Verdict
from lwt.workspace.hostlist import Host
from tests.support import ProgramTestCase, marked, wait_for
from tests.test_lab_hosts import LabTestCase

SUDO = '''\
#!/bin/sh
echo "$*" >>"$HOME/sudo.argv"
while :; do
  case $1 in
    -S) shift ;;
    -n) [ -e "$HOME/free" ] || { echo "sudo: a password is required" >&2; exit 1; }; shift ;;
    -p) shift 2 ;;
    *) shift; break ;;
  esac
done
if [ ! -e "$HOME/free" ]; then
  IFS= read -r given
  if [ "$given" != "open sesame" ]; then
    echo "Sorry, try again." >&2
    echo "sudo: 1 incorrect password attempt" >&2
    exit 1
  fi
fi
exec env HOME=/ SUDO_USER=me "$@"
'''


class Substitution(unittest.TestCase):
    """%h, %n, %{column}."""

    HOST = Host('h[1]', 'plab', '~', (('port', '80'), ('note', "it's")))

    def at(self, text, is_template):
        return exec.RemoteCommand(text, (), is_template).at(self.HOST, 7)[0]

    def test_FR_26_a_command_is_untouched_without_subst(self):
        """FR-26: %h, %n and %{column} keep their meaning for the command."""
        for text in ('echo %h %n', "stat -c '%n %s'", 'stat -c %n /etc/passwd', '%{port}',
                     'date +%h',
                     'RANK=%n x', 'git log --format=%h', '100%%', "printf '%n%%'"):
            with self.subTest(text=text):
                self.assertEqual(self.at(text, False), text)

    def test_FR_26_with_subst_they_are_replaced_anywhere(self):
        """FR-26: --subst replaces them at any position."""
        for text, expected in (
                ('a%h/%n', "a'h[1]'/7"), ('100%%', '100%'), ('%%h', '%h'), ('%d', '%d'),
                ('%{port}', '80'), ('%{note}', "'it'\"'\"'s'"), ('%{nosuch}', '%{nosuch}'),
                ('%{category} %{home}', "plab '~'"), ('RANK=%n HOST=%h x', "RANK=7 HOST='h[1]' x")):
            with self.subTest(text=text):
                self.assertEqual(self.at(text, True), expected)

    def test_FR_26_arguments_of_a_script_are_words_already(self):
        """FR-26: in the arguments of --script as well, without quotes."""
        words = ('%h', '%{note}', 'a %h')
        for is_template, expected in ((True, ('h[1]', "it's", 'a h[1]')), (False, words)):
            command = exec.RemoteCommand('script', words, is_template)
            self.assertEqual(command.at(self.HOST, 0), ('script', expected))

    def test_a_column_that_only_some_hosts_have_is_an_error(self):
        command = exec.RemoteCommand('echo %{port}', (), True)
        exec._check_columns(command, [self.HOST])
        exec._check_columns(command, [Host('h2')])
        with self.assertRaisesRegex(UsageError, 'h2 has no such column'):
            exec._check_columns(command, [self.HOST, Host('h2')])
        exec._check_columns(command._replace(is_template=False), [self.HOST, Host('h2')])


class CommandLine(ProgramTestCase):
    """Which words are the command, and which are options of lwt."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('h1', 'local', '~')])

    def test_FR_24_words_before_the_dashes_are_an_error(self):
        """FR-24: the shell has expanded -w h[1-2] to -w h1 h2."""
        for words in (('-w', 'h1', 'h2', '--', 'hostname'),
                      ('-w', 'h1', 'h2', 'h3', '-b', '--', 'x'),
                      ('h1', '--', 'hostname'), ('-a', '-x', 'h1', 'h2', '--', 'x'),
                      ('-w', 'h1', '--script', 'x', 'word', '--', 'y'), ('-g', 'a', 'b', '--')):
            with self.subTest(words=words):
                done = self.lwt('exec', *words)
                self.assert_refused(done, 2, 'unexpected word', 'before --', "-w 'h[1-9]'")
                self.assertEqual(done.out, '')
        for command in ('probe', 'monitor', 'hosts', 'deploy', 'doctor'):
            with self.subTest(command=command):
                done = self.lwt(command, '-w', 'h1', 'h2')
                self.assert_refused(done, 2, 'unexpected word h2', "-w 'h[1-9]'")

    def test_UR_11_an_option_of_the_command_gets_the_hint_to_put_dashes(self):
        """UR-11: without --, an error about an option-like word of the command says where to put
        --.
        """
        for words, said in (
                ('-w h1 -b uname -sr', '-- uname -sr'), ('-w h1 ls -la', '-- ls -la'),
                ('-w h1 ls -al', '-- ls -al'), ('-w h1 df -h', '-- df -h'),
                ('-w h1 ls -a', '-- ls -a'),
                ('-w h1 git log --oneline', '-- git log --oneline'),
                ('-g local ls -a /', '-- ls -a /')):
            with self.subTest(words=words):
                done = self.lwt('exec', *words.split())
                self.assert_refused(done, 2, 'hint: put -- before the command: ' + said)
                self.assertEqual(done.out, '')

    def test_UR_11_options_of_lwt_may_still_follow_the_command(self):
        """UR-11: options after the command still work without --."""
        for words in ('-w h1 echo x', 'echo x -w h1', 'echo -w h1 x -N', '-w h1 -- echo x',
                      'echo x -a'):
            with self.subTest(words=words):
                done = self.lwt('exec', *words.split())
                self.assertEqual((done.code, done.out, done.err), (0, 'x\n', ''), done)
        done = self.lwt('exec', '-w', 'h1', '-z', 'echo')
        self.assert_refused(done, 2, 'unknown option -z')
        self.assertNotIn('put --', done.err)
        done = self.lwt('exec', '--help', 'x')
        self.assertEqual(done.code, 0)

    def test_FR_26_as_a_user_runs_it(self):
        """FR-26: stat -c %n prints the name of the file."""
        for words, out in ((('--', 'stat', '-c', '%n', '/etc/passwd'), '/etc/passwd\n'),
                           (('--subst', '--', 'echo %n%h'), '0h1\n')):
            done = self.lwt('exec', '-w', 'h1', *words)
            self.assertEqual((done.code, done.out), (0, out), done)


class Summary(unittest.TestCase):
    """The last lines of output."""

    def summary(self, verdicts, shown):
        return list(exit_codes.summary(verdicts, shown))

    def test_failed_hosts_are_folded_by_reason(self):
        verdicts = {'h%d' % number: Verdict('timeout', 255, 'unreachable (no answer in 9 s)')
                    for number in range(1, 6)}
        verdicts.update(a=Verdict('ok', 0), b=Verdict('failed', 1, 'exit code 1'),
                        c=Verdict('skipped', 255, 'not started', 'no'))
        self.assertEqual(self.summary(verdicts, 6), [
            '6 of 8 hosts failed: h[1-5] (no answer in 9 s), b (exit code 1)',
            '1 of 8 hosts not started: c'])

    def test_a_single_failure_that_has_a_message_is_not_repeated(self):
        verdicts = {'a': Verdict('ok', 0), 'b': Verdict('killed', 130, 'interrupted')}
        self.assertEqual(self.summary(verdicts, 1), [])
        self.assertEqual(self.summary(verdicts, 0), ['1 of 2 hosts failed: b (interrupted)'])
        self.assertEqual(self.summary({'a': Verdict('ok', 0)}, 0), [])

    def test_hosts_with_rare_reasons_are_one_group(self):
        verdicts = {'h%d' % code: Verdict('failed', code, 'exit code %d' % code)
                    for code in range(1, 13)}
        [line] = self.summary(verdicts, 12)
        self.assertTrue(line.startswith('12 of 12 hosts failed: h1 (exit code 1), h2 (exit'), line)
        self.assertTrue(line.endswith('h8 (exit code 8), h[9-12] (other reasons)'), line)


def peak_memory(pid):
    """Return the largest resident size of a process so far, in KiB."""
    with open('/proc/%d/status' % pid) as file:
        return next(int(line.split()[1]) for line in file if line.startswith('VmHWM'))


class ManyHosts(ProgramTestCase):
    """With an ssh stub that runs the command, and lies as the host's name says."""

    def setUp(self):
        super().setUp()
        self.use_fake_ssh()

    def exec(self, *words, **options):
        return self.lwt('exec', '--grace', '0.5', *words, **options)

    def calls(self, host):
        return len(self.read('fake', 'calls.' + host).splitlines())

    def test_equal_output_is_gathered_and_hosts_without_output_are_only_in_messages(self):
        done = self.exec('--subst', '-b', '-w', 'h[1-3],down-[1-2]', '--',
                         'echo same; [ %n != 2 ] || { echo other; exit 4; }')
        rule = '-' * 15 + '\n'
        self.assertIn(rule + 'h[2-3] (2)\n' + rule + 'same\n', done.out)
        self.assertIn(rule + 'h1: exit code 4\n' + rule + 'same\nother\n', done.out)
        self.assertNotIn('down-', done.out)
        self.assertIn('lwt: down-1: unreachable (connection refused)\n', done.err)
        self.assertEqual(done.code, 3)

    def test_differences_are_from_the_largest_group(self):
        done = self.exec('--subst', '--diff', '-w', 'h[1-4]', '--',
                         'echo a; [ %h != h3 ] || echo b')
        self.assertEqual(done.out, '--- h[1-2,4]\n+++ h3\n@@ -1 +1,2 @@\n a\n+b\n')

    def test_each_host_has_its_files_and_the_failed_have_a_list(self):
        self.write('o/h2', 'of an earlier run')
        done = self.exec('--subst', '-w', 'h1,down-2,h2', '--outdir', 'o', '--errdir', 'e',
                         '--failed-to', 'bad', '--',
                         'echo out; echo err >&2; [ %h = h1 ]')
        self.assertEqual(done.code, 3)
        self.assertEqual([self.read('o', name) for name in ('h1', 'h2', 'down-2')],
                         ['out\n', 'out\n', ''])
        self.assertEqual(self.read('e', 'h1'), 'err\n')
        self.assertEqual(sorted(self.read('bad').split()), ['down-2', 'h2'])
        done = self.exec('--subst', '-w', '^bad', '--', 'echo %h')
        self.assertEqual(done.out, 'h2: h2\n')

    def test_a_list_that_cannot_be_written_is_said_before_anything_runs(self):
        for path in ('.', 'no/such/place'):
            self.assert_refused(self.exec('--failed-to', path, '-w', 'h1', '--', 'true'), 2,
                                '--failed-to')
        self.assertFalse(os.path.exists(self.path('fake', 'calls.h1')))

    def test_a_failure_ends_the_rest(self):
        began = time.monotonic()
        done = self.exec('--subst', '--fail-fast', '-f', '2', '-w', 'h[1-5]', '--',
                         '[ %h = h1 ] && exit 3; sleep 9871')
        self.assertLess(time.monotonic() - began, 60)
        self.assertEqual(done.code, 1, done)
        self.assertEqual(done.err.splitlines()[-2:], [
            'lwt: 2 of 5 hosts failed: h1 (exit code 3), '
            'h2 (cancelled because another host failed)',
            'lwt: 3 of 5 hosts not started: h[3-5]'])

    def test_a_bad_batch_is_the_last_one(self):
        done = self.exec('--subst', '--fail-fast', '--batch', '2', '-w', 'h[1-5]', '--',
                         'echo ran; [ %h != h3 ]')
        self.assertEqual(sorted(done.out.split()[::2]), ['h1:', 'h2:', 'h3:', 'h4:'])
        self.assertEqual(done.err,
                         'lwt: h3: exit code 1\nlwt: 1 of 5 hosts not started: h5\n')
        done = self.exec('--subst', '--batch', '2', '-w', 'h[1-5]', '--', 'echo ran; [ %h != h3 ]')
        self.assertEqual(len(done.out.splitlines()), 5)

    def test_a_batch_waits_for_the_one_before(self):
        done = self.exec('--subst', '--batch', '2', '-w', 'h[1-4]', '--',
                         'case %h in h1) sleep 0.5 ;; esac; echo ran')
        self.assertLess(done.out.index('h1:'), done.out.index('h3:'))

    def test_a_few_are_picked(self):
        done = self.exec('--pick', '3', '-w', 'h[1-9]', '--', 'echo x')
        self.assertEqual(len(set(done.out.splitlines())), 3)

    def test_only_where_nothing_ran_it_is_tried_again(self):
        self.exec('--retries', '1', '-w', 'down-1,auth-1,h1', '--', 'exit 1')
        self.assertEqual([self.calls(name) for name in ('down-1', 'auth-1', 'h1')], [2, 1, 1])

    def test_of_many_failures_twenty_are_told_and_all_are_summed_up(self):
        done = self.exec('-w', 'h[1-50]', '--', 'exit 2')
        lines = done.err.splitlines()
        self.assertLess(len(lines), 24)
        self.assertEqual(lines[-1], 'lwt: 50 of 50 hosts failed: h[1-50] (exit code 2)')

    def test_json_tells_of_every_host(self):
        done = self.exec('--json', '--fail-fast', '-f', '1', '-w', 'h[1-3]', '--', 'exit 3')
        found = {entry['host']: entry['class'] for entry in map(json.loads, done.out.splitlines())}
        self.assertEqual(found, {'h1': 'failed', 'h2': 'skipped', 'h3': 'skipped'})

    def test_silence_is_ended_and_output_is_not(self):
        command = '[ %h = h1 ] && sleep 9872; for i in 1 2 3 4 5; do echo $i; sleep 0.4; done'
        done = self.exec('--idle', '3', '--subst', '-w', 'h[1-2]', '--', command)
        self.assertEqual(done.code, 3, done)
        self.assertEqual(done.err, 'lwt: h1: stalled: no data for 3 s\n')
        self.assertEqual(len(done.out.splitlines()), 5)

    def test_USR1_tells_what_runs(self):
        popen = self.start('exec', '--subst', '-w', 'h[1-2]', '--',
                           'echo begun; [ %h = h1 ] || sleep 9873')
        self.assertEqual({popen.stdout.readline() for _ in range(2)},
                         {b'h1: begun\n', b'h2: begun\n'})
        popen.send_signal(signal.SIGUSR1)
        self.assertRegex(popen.stderr.readline(), rb'lwt: \d of 2 done, \d running')
        self.assertTrue(any(re.match(rb'lwt: h2: running for ', popen.stderr.readline())
                            for _ in range(2)))
        popen.send_signal(signal.SIGTERM)
        popen.communicate(timeout=30)
        self.assertEqual(popen.returncode, 143)

    def test_what_waits_for_a_slow_reader_does_not_wait_in_memory(self):
        go = self.path('go')
        command = ('if [ %%n = 0 ]; then while [ ! -e %s ]; do sleep 0.1; done; else seq 6000000; '
                   'fi' % go)
        for option, size in (('-k', 70888896), ('-b', 46888896), ('--json', 52888896)):
            with self.subTest(option=option):
                popen = self.start('exec', '-w', 'h1,h2', option, '--subst', '--', command,
                                   stderr=subprocess.DEVNULL)
                self.assertTrue(wait_for(lambda: 'seq 6000000' in marked(self.mark).values()))
                self.assertTrue(
                    wait_for(lambda: 'seq 6000000' not in marked(self.mark).values(), 120))
                open(go, 'w').close()
                first = popen.stdout.read(1)
                time.sleep(0.5)  # output that is not written in pieces would all be in memory now
                peak = peak_memory(popen.pid)
                rest = len(first) + sum(map(len, iter(lambda: popen.stdout.read(1 << 16), b'')))
                popen.stdout.close()
                self.assertEqual(popen.wait(60), 0)
                self.assertGreaterEqual(rest, size)
                self.assertLess(peak, 36 << 10)
                os.unlink(go)

    def test_an_interrupt_says_what_it_waits_for_and_a_second_one_kills(self):
        popen = self.start('exec', '--grace', '60', '-w', 'h[1-2]', '--',
                           'trap "" TERM; echo begun; while :; do sleep 9870; done')
        self.assertEqual({popen.stdout.readline() for _ in range(2)},
                         {b'h1: begun\n', b'h2: begun\n'})
        popen.send_signal(signal.SIGINT)
        self.assertEqual(popen.stderr.readline(),
                         b'lwt: stopping 2 hosts; ^C again kills at once\n')
        popen.send_signal(signal.SIGINT)
        _out, err = popen.communicate(timeout=30)
        self.assertEqual((popen.returncode, err.splitlines()[-1]),
                         (130, b'lwt: 2 of 2 hosts failed: h[1-2] (interrupted)'))

    def test_an_interrupt_that_works_at_once_says_nothing_of_it(self):
        popen = self.start('exec', '-w', 'h[1-2]', '--', 'echo begun; exec sleep 9870')
        self.assertEqual({popen.stdout.readline() for _ in range(2)},
                         {b'h1: begun\n', b'h2: begun\n'})
        popen.send_signal(signal.SIGINT)
        _out, err = popen.communicate(timeout=30)
        self.assertEqual((popen.returncode, err),
                         (130, b'lwt: 2 of 2 hosts failed: h[1-2] (interrupted)\n'))

    def test_R_9_and_FR_3_what_a_command_leaves_behind_does_not_hold_it_up_and_is_told(self):
        began = time.monotonic()
        done = self.exec('-w', 'h1', '--', 'sleep 40 & echo done')
        self.assertEqual((done.code, done.out), (0, 'done\n'), done)
        self.assertIn('lwt: h1: ' + exit_codes.OUTPUT_HELD, done.err)
        self.assertLess(time.monotonic() - began, 30)
        for pid, words in marked(self.mark).items():
            if words == 'sleep 40':
                os.kill(pid, signal.SIGKILL)


class AsRoot(ProgramTestCase):
    """--sudo, with a sudo that accepts one password."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')])
        self.write('bin/sudo', SUDO, 0o755)
        self.env['PATH'] = self.path('bin') + ':' + self.env['PATH']

    def sudo(self, password, *words):
        """Run it without a terminal."""
        popen = self.start('exec', '-a', '--grace', '0.5', '--json', '--sudo', *words,
                           stdin=subprocess.PIPE,
                           start_new_session=True)
        out, err = popen.communicate(password, timeout=60)
        return json.loads(out.decode()) if out else err.decode()

    def test_S_24_the_password_is_tried_then_used_and_stands_nowhere(self):
        done = self.sudo(b'open sesame\n', '--', 'echo $SUDO_USER; pwd; cat; exit 3')
        self.assertEqual((done['code'], done['stdout']), (3, 'me\n%s\n' % self.home))
        self.assertNotIn('sesame', self.read('home', 'sudo.argv'))

    def test_a_wrong_one_has_a_class_of_its_own(self):
        done = self.sudo(b'wrong\n', '--', 'echo ran')
        self.assertEqual((done['class'], done['reason'], done['stdout']),
                         ('sudo', 'sudo: wrong password', ''))

    def test_none_is_asked_for_where_none_is_needed(self):
        self.assertEqual(self.sudo(b'\n', '--', 'echo ran')['reason'],
                         'sudo: a password is required')
        self.write('home/free', '')
        self.assertEqual(self.sudo(b'\n', '--', 'echo ran; cat')['stdout'], 'ran\n')
        self.assertEqual(self.sudo(b'not asked for\n', '--', 'echo ran; cat')['stdout'], 'ran\n')

    def test_on_a_terminal_it_is_asked_for_once_and_not_shown(self):
        pid, terminal = pty.fork()
        if not pid:
            os.chdir(self.scratch)
            os.execve(self.python, (self.python, '-m', 'lwt', 'exec', '-a', '--sudo', '--',
                                    'echo $SUDO_USER'), self.env)
        said = b''
        while not said.endswith(b': '):
            said += os.read(terminal, 1000)
        os.write(terminal, b'open sesame\n')
        with contextlib.suppress(OSError):      # EIO: no process has it open any more
            while True:
                said += os.read(terminal, 1000)
        os.close(terminal)
        self.assertEqual(os.waitpid(pid, 0)[1], 0, said)
        self.assertIn(b'me\r\n', said)
        self.assertNotIn(b'sesame', said)

    def test_a_script_and_its_input_go_behind_it(self):
        script, data = self.write('script', 'echo $1; cat\n'), self.write('data', 'data\n')
        done = self.sudo(b'open sesame\n', '--script', script, '--stdin', data, '--', 'arg')
        self.assertEqual(done['stdout'], 'arg\ndata\n')

    def test_a_time_out_leaves_nothing(self):
        done = self.sudo(b'open sesame\n', '-u', '3', '--', 'setsid sleep 9874 & sleep 9875')
        self.assertEqual(done['class'], 'timeout')
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))


class EightHosts(LabTestCase):
    """Nothing is left on eight hosts."""

    hosts = 8
    slow = True
    ZOO = 'trap "" TERM; setsid sleep 8811 & (sleep 8812 &); sleep 8813'

    def begin(self, *words):
        popen = self.start('exec', '--grace', '1', *words, '-w', 'h[1-8]', '--', self.ZOO)
        self.assertTrue(wait_for(
            lambda: all('sleep 8813' in self.lab.commands(name).values() for name in self.names)))
        return popen

    def test_G_1_nothing_is_left_after_a_time_out_an_interrupt_or_a_kill(self):
        for words, signum, code in ((('-u', '15'), 0, 3), ((), signal.SIGINT, 130),
                                    ((), signal.SIGKILL, -9)):
            with self.subTest(words=words, signum=signum):
                popen = self.begin(*words)
                if signum:
                    popen.send_signal(signum)
                _out, err = popen.communicate(timeout=60)
                self.assertEqual(popen.returncode, code, err)
                self.assertTrue(all(self.gone(name) for name in self.names))

    def test_N_6_cut_off_hosts_end_it_when_its_time_is_over(self):
        popen = self.begin('-u', '15')
        for name in self.names[:3]:
            self.lab.black_hole(name)
        self.assertTrue(
            wait_for(lambda: not any(self.lab.commands(name) for name in self.names[:3])))
        popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 3)


if __name__ == '__main__':
    unittest.main()
