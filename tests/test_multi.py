"""lwt multi as its users run it: input, templates, output, records and faults; and nothing is left
behind.
"""

import json
import os
import pty
import random
import resource
import signal
import subprocess
import time
import unittest

from lwt.commands import exit_codes
from tests import lab
from tests.support import ProgramTestCase, marked, wait_for

ODD_NAME = 'My brother\'s 12" *** record (costs $$$).jpg'


class Multi(ProgramTestCase):
    """lwt multi: lines, exit codes and timeouts."""

    def test_L_1_all_lines_run_though_children_read_their_input(self):
        lines = b''.join(b'cat; echo %d\n' % number for number in range(400))
        done = self.lwt('multi', '-j', '20', stdin=lines)
        self.assertEqual(sorted(map(int, done.out.split())), list(range(400)))

    def test_L_2_blank_lines_are_none_and_the_last_newline_may_be_missing(self):
        self.assertEqual(self.lwt('multi', '-j', '1', stdin=b'\n  \necho a\n\necho b').out,
                         'a\nb\n')

    def test_L_4_a_slow_input_starts_at_once(self):
        popen = self.start('multi', stdin=subprocess.PIPE)
        popen.stdin.write(b'echo first\n')
        popen.stdin.flush()
        self.assertEqual(popen.stdout.readline(), b'first\n')
        popen.communicate(b'true\n', 30)
        self.assertEqual(popen.returncode, 0)

    def test_L_5_an_input_that_is_empty_or_closed(self):
        for stdin in ('</dev/null', '<&-'):
            with self.subTest(stdin=stdin):
                done = subprocess.run(['sh', '-c', '%s -S -m lwt multi %s' % (self.python, stdin)],
                                      env=self.env,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      cwd=self.scratch, timeout=60)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b'', b''))

    def test_L_5_an_input_from_a_terminal_is_told(self):
        ours, theirs = pty.openpty()
        popen = self.start('multi', stdin=theirs)
        os.close(theirs)
        os.write(ours, b'echo a\n\x04')
        out, err = popen.communicate(timeout=30)
        os.close(ours)
        self.assertEqual((popen.returncode, out), (0, b'a\n'))
        self.assertIn(b'reading command lines from the terminal', err)

    def test_L_6_codes_are_told_by_line(self):
        done = self.lwt('multi', '-j', '1',
                        stdin=b'exit 0\nkill -9 $$\nexec nosuch-command\nkill -9 0\necho after\n')
        self.assertEqual(done.code, 1)
        self.assertEqual(done.out, 'after\n')
        for said in ('job 2: ended by signal 9', 'job 3: exit code 127',
                     'job 4: ended by signal 9'):
            self.assertIn(said, done.err)

    def test_L_7_all_time_out_and_are_told(self):
        done = self.lwt('multi', '-j', '8', '-u', '0.3', '--grace', '0.3',
                        stdin=b'sleep 9971 & sleep 9972\n' * 8)
        self.assertEqual(done.code, 3)
        self.assertEqual(done.err.count('timed out after 0.3 s'), 8)

    def test_output_is_not_mixed_and_streams_are_apart(self):
        line = 'for i in 1 2 3; do echo {n}; echo e{n} >&2; sleep 0.0{n}; done\n'
        done = self.lwt('multi', '-j', '5',
                        stdin=''.join(line.format(n=n) for n in range(1, 6)).encode())
        groups = [done.out.split()[at:at + 3] for at in range(0, 15, 3)]
        self.assertEqual(sorted(groups), [[str(n)] * 3 for n in range(1, 6)])
        self.assertEqual(sorted(done.err.split()),
                         sorted('e%d' % n for n in range(1, 6) for _ in range(3)))

    def test_a_large_output_comes_whole(self):
        done = self.start('multi', stdin=subprocess.PIPE)
        out, _err = done.communicate(b'head -c 20000000 /dev/zero\n', 60)
        self.assertEqual(len(out), 20000000)

    def test_G_1_an_interrupt_ends_all_and_a_kill_leaves_nothing(self):
        for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGQUIT, 131),
                             (signal.SIGKILL, -9)):
            with self.subTest(signum=signum):
                popen = self.start('multi', '-j', '4', '--grace', '0.5', stdin=subprocess.PIPE)
                popen.stdin.write(b'trap "" TERM; sleep 9973 & sleep 9974\n' * 8)
                popen.stdin.flush()
                self.assertTrue(wait_for(lambda: sum(words.startswith('sleep 997')
                                                     for words in marked(self.mark).values()) == 8))
                popen.send_signal(signum)
                _out, err = popen.communicate(timeout=30)
                self.assertEqual(popen.returncode, code, err)
                self.assertNotIn(b'Traceback', err)
                self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    def test_an_idle_wait_for_a_hundred_children_uses_no_cpu_tick(self):
        popen = self.start('multi', '-j', '100', stdin=subprocess.PIPE)
        popen.stdin.write(b'exec sleep 9\n' * 100)
        popen.stdin.close()
        popen.stdin = None
        self.assertTrue(wait_for(
            lambda: sum(words == 'sleep 9' for words in marked(self.mark).values()) == 100))
        time.sleep(0.5)
        before = self._ticks(popen.pid)
        time.sleep(3)
        after = self._ticks(popen.pid)
        popen.terminate()
        popen.communicate(timeout=30)
        self.assertEqual(after - before, 0)

    def _ticks(self, pid):
        with open('/proc/%d/stat' % pid) as file:
            fields = file.read().rpartition(') ')[2].split()
        return int(fields[11]) + int(fields[12])

    def test_few_descriptors_are_enough(self):
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        done = self.lwt('multi', '-j', '50', stdin=b'echo x\n' * 200, preexec_fn=few)
        self.assertEqual((done.code, done.out.count('x')), (0, 200), done)


class Templates(ProgramTestCase):
    """Arguments from words, files and standard input."""

    def out(self, *argv, **options):
        done = self.lwt('multi', *argv, **options)
        self.assertEqual((done.code, done.err), (0, ''), done)
        return done.out

    def test_any_name_is_one_word_also_when_it_is_used_twice(self):
        for template in ('printf "%s\\n" {} {}',
                         'for x in {} {}; do printf "%s\\n" "$x"; done | cat'):
            with self.subTest(template=template):
                self.assertEqual(self.out(template, stdin=(ODD_NAME + '\n').encode()),
                                 (ODD_NAME + '\n') * 2)

    def test_words_that_are_no_template_in_one_word_keep_their_options(self):
        self.assertEqual(self.out('-j', '1', 'echo', '-k', '{}', ':::', 'a'), '-k a\n')
        self.assertEqual(self.out('echo {}', '-j', '1', ':::', 'a', '-k'), 'a\n-k\n')
        self.assertEqual(self.out('-j', '1', '--', 'echo', '-u', '{}', ':::', 'a'), '-u a\n')

    def test_a_template_without_a_place_gets_the_argument_at_its_end(self):
        self.assertEqual(self.out('-k', 'echo', ':::', 'a b', 'c'), 'a b\nc\n')

    def test_sources_are_multiplied_and_linked(self):
        self.write('list', 'x\ny\n')
        self.assertEqual(self.out('-k', 'echo {1}{2}{3}', ':::', 'a', 'b', '::::', 'list', ':::+',
                                  '1', '2', '3'),
                         'ax1\nay2\nbx1\nby2\n')

    def test_commands_as_arguments_and_arguments_separated_by_nul(self):
        self.assertEqual(self.out('-k', ':::', 'echo a; echo b', 'echo c'), 'a\nb\nc\n')
        self.assertEqual(self.out('-k', '-0', 'printf "%s."', stdin=b'a\nb\0c\0'), 'a\nb.c.')

    def test_variables_and_numbers(self):
        said = self.out('-k', '-j', '1',
                        'echo {#} {%} {} $LWT_SEQ $LWT_SLOT $PARALLEL_SEQ $PARALLEL_JOBSLOT', ':::',
                        'a', 'b')
        self.assertEqual(said, '1 1 a 1 1 1 1\n2 1 b 2 1 2 1\n')

    def test_slots_are_those_of_j(self):
        said = self.out('-j', '3', 'sleep 0.05; echo {%}', ':::', *map(str, range(12)))
        self.assertEqual(set(said.split()), {'1', '2', '3'})

    def test_what_is_wrong_with_the_words_is_said(self):
        self.write('list', 'x\n')
        for argv, said in ((('echo {3}', ':::', 'a'), '{3}: there is only 1 argument'),
                           (('echo', '::::', 'nosuch'), 'nosuch'),
                           (('echo', ':::+', 'a'), 'cannot be linked'),
                           (('--halt', 'now', ':::', 'a'), '--halt'),
                           (('-j', 'x', ':::', 'a'), '-j'), (('--resume', ':::', 'a'), '--joblog'),
                           (('--memfree', '1x', ':::', 'a'), '--memfree'),
                           (('--load', 'x', ':::', 'a'), '--load'),
                           (('--nice', '50', ':::', 'a'), '--nice'),
                           (('-u', 'x', ':::', 'a'), '-u')):
            with self.subTest(argv=argv):
                self.assert_refused(self.lwt('multi', *argv), 2, said)

    def test_a_dry_run_prints_and_runs_nothing(self):
        self.assertEqual(self.out('--dry-run', 'touch {}', ':::', 'a b', 'c'),
                         "touch 'a b'\ntouch c\n")
        self.assertEqual(os.listdir(self.scratch), ['home'])

    def test_a_line_that_needs_no_shell_means_the_same(self):
        self.write('script', 'echo "$# $0"\n', 0o755)
        self.write('text', 'x\n')
        for line in ('./script a b', 'true', 'sleep 0', 'printf a', 'echo -n x', './text', 'nosuch',
                     'ls nosuch', 'test 1 = 2',
                     'A=1 env', 'cd /', './home', 'kill -l', 'false'):
            with self.subTest(line=line):
                done = self.lwt('multi', stdin=line.encode())
                sh = subprocess.run(['/bin/sh', '-c', line], env=self.env, cwd=self.scratch,
                                    stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE)
                if line != 'A=1 env':
                    self.assertEqual(done.out.encode(), sh.stdout)
                self.assertEqual(done.code, 1 if sh.returncode else 0)
                if sh.returncode:
                    self.assertIn('exit code %d' % sh.returncode, done.err)


class Alternatives(ProgramTestCase):
    """The points on which the author of GNU parallel tests other tools: parallel_alternatives(7).

    Memory, full disks and leftovers in the directory of temporary files: see Shown and Faults.
    """

    def test_MIX_output_of_two_jobs_is_not_mixed(self):
        self.write('mycommand',
                   'for letter in a b c; do head -c 300000 /dev/zero | tr "\\0" $letter; printf " '
                   '"\n'
                   'head -c 300000 /dev/zero | tr "\\0" $letter >&2; printf " " >&2; done; echo; '
                   'echo >&2\n')
        done = self.lwt('multi', '-j', '8', 'sh ./mycommand',
                        stdin=b'\n'.join(b'%d' % number for number in range(8)))
        line = ' '.join(letter * 300000 for letter in 'abc') + ' \n'
        self.assertTrue(done.out == line * 8 and done.err == line * 8, 'mixed or lost')

    def test_STDERRMERGE_the_streams_are_apart_and_an_empty_argument_is_one(self):
        self.write('mycommand',
                   '#!/bin/sh\necho stdout; echo stderr >&2; echo stdout; echo stderr >&2\n', 0o755)
        done = self.lwt('multi', './mycommand', stdin=b'\n')
        self.assertEqual((done.out, done.err), ('stdout\n' * 2, 'stderr\n' * 2))

    def test_SPCCHAR_COMPOSED_and_ONEREP_any_name_in_a_composed_command_as_often_as_wanted(self):
        self.write(ODD_NAME, 'x')
        done = self.lwt('multi', 'echo foo; ls {} {}', stdin=(ODD_NAME + '\n').encode())
        self.assertEqual(done.out, 'foo\n' + (ODD_NAME + '\n') * 2)
        self.assertEqual(self.lwt('multi', 'echo', 'foo;', 'echo', '{}', stdin=b'bar\n').out,
                         'foo\nbar\n')

    def test_INPUTSIZE_an_argument_may_be_longer_than_a_command(self):
        done = self.lwt('multi', 'echo {.}', stdin=b'foo.' + b'x' * 20000000)
        self.assertEqual((done.code, done.out), (0, 'foo\n'), done.err)
        done = self.lwt('multi', 'echo {}', stdin=b'x' * 131000)
        self.assertEqual(len(done.out), 131001)

    def test_NUMWORDS_many_words_a_line_are_lines_like_others(self):
        done = self.lwt('multi', '-j', '6', '--lb',
                        'yes "$(seq 300 | tr "\\n" " ")" | head -n 1000 #', ':::', *'abcdef')
        self.assertEqual((len(done.out), set(map(len, done.out.splitlines()))),
                         (6 * 1000 * 1093, {1092}))

    def test_as_many_run_as_are_asked_for(self):
        popen = self.start('multi', '-j', '150', 'exec sleep 9991 #', ':::', *map(str, range(200)))
        self.assertTrue(
            wait_for(lambda: list(marked(self.mark).values()).count('sleep 9991') == 150))
        popen.terminate()
        popen.communicate(timeout=30)
        self.assertEqual(popen.returncode, 143)


class Shown(ProgramTestCase):
    """How output is shown."""

    def test_order_is_that_of_the_input_and_the_first_is_shown_live(self):
        done = self.lwt('multi', '-k', '-j', '4', 'sleep 0.{}; echo {}', ':::', '3', '2', '1', '0')
        self.assertEqual(done.out.split(), ['3', '2', '1', '0'])
        popen = self.start('multi', '-k', ':::', 'echo first; sleep 5', 'echo second')
        self.assertEqual(popen.stdout.readline(), b'first\n')
        popen.terminate()
        popen.communicate(timeout=30)

    def test_half_lines_are_never_mixed(self):
        half = 'for i in 1 2 3; do printf {}{}; sleep 0.05; printf {}{}; sleep 0.05; echo; done'
        for options in ((), ('-k',), ('--line-buffer',), ('--tag', '--lb')):
            with self.subTest(options=options):
                done = self.lwt('multi', '-j', '4', *options, half, ':::', 'a', 'b', 'c', 'd')
                lines = [line.split('\t')[-1] for line in done.out.splitlines()]
                self.assertEqual(sorted(lines), sorted([letter * 4 for letter in 'abcd'] * 3))

    def test_lines_come_as_they_are_whole_with_line_buffer(self):
        popen = self.start('multi', '--line-buffer', ':::', 'echo now; sleep 60')
        self.assertEqual(popen.stdout.readline(), b'now\n')
        popen.terminate()
        popen.communicate(timeout=30)

    def test_tags(self):
        for options in ((), ('-k',), ('--lb',)):
            with self.subTest(options=options):
                done = self.lwt('multi', '-j', '1', '--tag', *options,
                                'echo x{}; echo y; echo e >&2', ':::', 'a')
                self.assertEqual((done.out, done.err), ('a\txa\na\ty\n', 'a\te\n'))

    def test_K_15_a_flood_without_a_newline_takes_no_memory_and_hides_no_neighbour(self):
        for options in ((), ('-k',), ('--lb',)):
            with self.subTest(options=options):
                popen = self.start('multi', '-j', '2', *options, stdin=subprocess.PIPE)
                popen.stdin.write(b'head -c 150000000 /dev/zero\n')
                popen.stdin.close()
                popen.stdin = None
                size = peak = 0
                for chunk in iter(lambda: os.read(popen.stdout.fileno(), 1 << 20), b''):
                    size += len(chunk)
                    peak = max(peak, self.memory(popen.pid))
                popen.communicate()
                self.assertEqual(size, 150000000)
                self.assertLess(peak, 60000)

    def memory(self, pid):
        """Return the largest resident size so far, in kB."""
        try:
            with open('/proc/%d/status' % pid) as file:
                return next((int(line.split()[1]) for line in file if line.startswith('VmHWM')), 0)
        except OSError:
            return 0

    def test_a_neighbour_s_lines_come_while_another_floods(self):
        popen = self.start('multi', '-j', '2', stdin=subprocess.PIPE)
        popen.stdin.write(b'yes | head -c 50000000; sleep 60\necho neighbour\n')
        popen.stdin.flush()
        self.assertEqual(popen.stdout.readline(), b'neighbour\n')
        popen.terminate()
        popen.communicate(timeout=30)

    def test_memory_is_flat_however_long_the_input(self):
        popen = self.start('multi', '-j', '8', '-u', '1000', '--dry-run', stdin=subprocess.PIPE,
                           stdout=subprocess.DEVNULL)
        line = b': ' + b'x' * 98 + b'\n'
        for _ in range(1000):
            popen.stdin.write(line * 1000)
        peak = self.memory(popen.pid)
        popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 0)
        self.assertLess(peak, 40000)

    def test_a_reader_that_sleeps_loses_nothing_and_causes_no_time_out(self):
        for options in ((), ('-k',), ('--lb',)):
            with self.subTest(options=options):
                popen = self.start('multi', '-j', '4', '-u', '5', *options, stdin=subprocess.PIPE)
                popen.stdin.write(b'seq 300000\n' * 8)
                popen.stdin.close()
                popen.stdin = None
                time.sleep(7)
                self.assertLess(self.memory(popen.pid), 60000)
                out, err = popen.communicate(timeout=60)
                self.assertEqual((popen.returncode, len(out.split()), err), (0, 8 * 300000, b''))

    def test_progress_tells_and_usr1_tells_what_runs(self):
        popen = self.start('multi', '-j', '2', stdin=subprocess.PIPE)
        popen.stdin.write(b'exec sleep 61\necho a\n')
        popen.stdin.flush()
        self.assertEqual(popen.stdout.readline(), b'a\n')
        popen.send_signal(signal.SIGUSR1)
        lines = [popen.stderr.readline().decode() for _ in range(2)]
        self.assertRegex(lines[0], r'^lwt: 1 done, 1 running(, [0-9.]+/s)?\n$')
        self.assertRegex(lines[1], r'^lwt: job 1: running for [0-9.]+ s: exec sleep 61\n')
        popen.terminate()
        popen.communicate(timeout=30)

    def test_progress_is_one_line_on_a_terminal(self):
        ours, theirs = pty.openpty()
        popen = self.start('multi', '-j', '2', '--progress', 'sleep 0.2 #', ':::',
                           *map(str, range(12)), stderr=theirs)
        popen.communicate(timeout=60)
        os.close(theirs)
        said = os.read(ours, 65536).decode()
        os.close(ours)
        shown, _newline, rest = said.partition('\n')
        self.assertRegex(shown, r'\r\[#+-+\]  \d\d%  \d+ of 12 done, 2 running, ')
        self.assertIn('ETA', shown)
        self.assertRegex(shown, r'\rlwt: 12 done in [0-9.]+ s\r$')
        self.assertEqual(rest, '')

    def test_progress_elsewhere_ends_with_a_summary_that_counts_what_was_done_before(self):
        words = ('multi', '--progress', '-j', '1', '--joblog', 'log', '--resume', 'exit {}', ':::')
        done = self.lwt(*words, '0', '1')
        self.assertEqual(done.code, 1)
        self.assertRegex(done.err.splitlines()[-1],
                         r'^lwt: 2 done in [0-9.]+ s, 1 failed: 1 exit code 1$')
        done = self.lwt(*words, '0', '1', '2')
        self.assertEqual(done.code, 1)
        self.assertRegex(done.err.splitlines()[-1], r'^lwt: 1 done in [0-9.]+ s, 2 already done '
                                                    r'\(job log\), 1 failed: 1 exit code 2$')
        done = self.lwt(*words, '0', '1', '2')
        self.assertRegex(done.err, r'^lwt: 0 done in [0-9.]+ s, 3 already done \(job log\)\n$')

    def test_an_interrupt_says_what_it_waits_for_and_a_second_one_kills(self):
        popen = self.start('multi', '-j', '2', '--grace', '60', ':::',
                           *['trap "" TERM; while :; do sleep 9971; done'] * 2, 'true')
        self.assertTrue(wait_for(
            lambda: list(marked(self.mark).values()).count('sleep 9971') == 2))
        popen.send_signal(signal.SIGINT)
        self.assertEqual(popen.stderr.readline(),
                         b'lwt: stopping 2 jobs; ^C again kills at once\n')
        popen.send_signal(signal.SIGINT)
        _out, err = popen.communicate(timeout=30)
        self.assertEqual((popen.returncode, err.splitlines()[-1]),
                         (130, b'lwt: interrupted: 0 done, 2 stopped, 1 not started'))


class Ends(ProgramTestCase):
    """Timeouts, retries, halts, limits and records."""

    def test_K_12_an_end_on_TERM_is_a_time_out_and_K_13_what_it_says_then_is_kept(self):
        done = self.lwt('multi', '-u', '2',
                        stdin=b'trap "echo bye; exit 0" TERM; while :; do sleep 0.05; done\n')
        self.assertEqual((done.code, done.out), (3, 'bye\n'), done)

    def test_a_time_out_in_percent_of_the_median(self):
        done = self.lwt('multi', '-j', '1', '-u', '300%', '--grace', '0.5', 'sleep {}', ':::',
                        '0.7', '0.7', '0.7', '60')
        self.assertEqual(done.code, 3)
        self.assertIn('job 4: timed out after', done.err)

    def test_retries_show_only_the_last_attempt(self):
        done = self.lwt('multi', '--retries', '3', ':::',
                        'echo x >> count; wc -l < count; test $(wc -l < count) -ge 3')
        self.assertEqual((done.code, done.out.strip(), done.err), (0, '3', ''), done)
        done = self.lwt('multi', '--retries', '1', ':::', 'echo x >> again; exit 4')
        self.assertEqual((done.code, self.read('again')), (1, 'x\nx\n'))
        self.assertIn('exit code 4 (2 attempts)', done.err)

    def test_halts(self):
        lines = [str(number) for number in range(20)]
        cases = (('now,fail=1', 'test {} != 3 || exit 1; test {} -le 3 || sleep 60', 1),
                 ('soon,fail=2', 'test {} -lt 2', 1),
                 ('now,success=1', 'test {} = 0 || sleep 60', 0),
                 ('soon,fail=30%', 'test {} -lt 2', 1), ('soon,done=3', 'true', 0))
        for halt, template, code in cases:
            with self.subTest(halt=halt):
                done = self.lwt('multi', '-j', '4', '--grace', '0.5', '--halt', halt, template,
                                ':::', *lines)
                self.assertEqual(done.code, code, done)
                self.assertRegex(done.err,
                                 r'halted: \d+ done( \(\d+ failed\))?, \d+ stopped, '
                                 r'\d+ not started')

    def test_a_percentage_is_of_all_jobs_wherever_they_come_from(self):
        lines = ['1', '0', '1', '1', '0', '0', '0', '0']
        for words, stdin in (((':::',) + tuple(lines), b''), ((), '\n'.join(lines).encode())):
            with self.subTest(words=words):
                done = self.lwt('multi', '-j', '1', '--halt', 'now,fail=30%', 'exit {}', *words,
                                stdin=stdin)
                self.assertIn('halted: 4 done (3 failed), 0 stopped, 4 not started',
                              done.err)
        self.write('list', '\n'.join(lines))
        done = self.lwt('multi', '-j', '1', '--halt', 'soon,done=50%', 'exit {}', '::::', 'list')
        self.assertIn('halted: 4 done (3 failed)', done.err)

    def test_a_halt_at_a_success_is_one(self):
        done = self.lwt('multi', '-j', '1', '--halt', 'now,success=1', 'exit {}', ':::', '1', '0',
                        '1')
        self.assertEqual((done.code, done.err.splitlines()[-1]),
                         (0, 'lwt: halted: 2 done (1 failed), 0 stopped, 1 not started'))

    def test_delay_load_and_memory(self):
        self.lwt('multi', '-j', '4', '--delay', '0.2', '--joblog', 'log', 'true', ':::', '1', '2',
                 '3')
        times = sorted(float(line.split('\t')[2]) for line in self.read('log').splitlines()[1:])
        self.assertGreater(times[2] - times[0], 0.39)
        popen = self.start('multi', '--memfree', '900T', ':::', 'true')
        with self.assertRaises(subprocess.TimeoutExpired):
            popen.wait(1)
        popen.terminate()
        popen.communicate(timeout=30)
        self.assertEqual(popen.returncode, 143)
        done = self.lwt('multi', '--load', '100000', '--memfree', '1k', '--nice', '3', ':::',
                        'nice')
        self.assertEqual(done.out, '%d\n' % (os.nice(0) + 3))

    def test_the_job_log_and_what_is_resumed(self):
        lines = 'echo a\nfalse\necho a\nkill -9 $$\nsleep 9976\n'
        first = self.lwt('multi', '-u', '3', '--grace', '0.2', '-j', '1', '--joblog', 'log',
                         stdin=lines.encode())
        self.assertEqual((first.code, first.out), (3, 'a\na\n'))
        rows = [line.split('\t') for line in self.read('log').splitlines()]
        self.assertEqual(
            rows[0], 'Seq Host Starttime JobRuntime Send Receive Exitval Signal Command'.split())
        self.assertEqual([(row[0], row[1], row[5], row[6], row[7], row[8]) for row in rows[1:]], [
            ('1', ':', '2', '0', '0', 'echo a'), ('2', ':', '0', '1', '0', 'false'),
            ('3', ':', '2', '0', '0', 'echo a'),
            ('4', ':', '0', '0', '9', 'kill -9 $$'), ('5', ':', '0', '-1', '15', 'sleep 9976')])
        edited = 'echo new\n' + lines.replace('sleep 9976', 'true') + 'echo a\n'
        again = self.lwt('multi', '-k', '--joblog', 'log', '--resume', stdin=edited.encode())
        self.assertEqual((again.code, again.out), (0, 'new\na\n'))
        failed = self.lwt('multi', '-k', '--joblog', 'log', '--resume-failed',
                          stdin=edited.encode())
        self.assertEqual((failed.code, failed.out), (1, ''))
        self.assertEqual(failed.err.splitlines()[-1],
                         'lwt: 2 of 2 failed: 1 ended by signal 9, 1 exit code 1')

    def test_a_killed_run_is_resumed_where_it_was(self):
        lines = ''.join('echo %d >> ran; sleep 0.02\n' % number for number in range(60)).encode()
        for _ in range(3):
            popen = self.start('multi', '-j', '2', '--grace', '0.3', '--joblog', 'log', '--resume',
                               stdin=subprocess.PIPE)
            popen.stdin.write(lines)
            popen.stdin.flush()
            time.sleep(0.5)
            popen.kill()
            popen.communicate()
        self.assertEqual(
            self.lwt('multi', '-j', '2', '--joblog', 'log', '--resume', stdin=lines).code, 0)
        ran = self.read('ran').split()
        self.assertEqual(set(ran), set(map(str, range(60))))
        self.assertLessEqual(len(ran), 60 + 3 * 2)      # jobs that ran during a kill run again

    def test_each_occurrence_of_a_command_is_run_once_however_often_it_is_resumed(self):
        self.lwt('multi', '--joblog', 'log', stdin=b'echo x\necho a\n')
        for round_ in range(3):
            done = self.lwt('multi', '--joblog', 'log', '--resume', stdin=b'echo a\necho a\n')
            self.assertEqual(done.out, 'a\n' if round_ == 0 else '')

    def test_a_row_that_was_cut_off_spoils_no_other_and_slots_do_not_matter(self):
        words = ('multi', '-j', '2', '--joblog', 'log', '--resume', 'echo {} {%}', ':::', '1', '2',
                 '3')
        self.assertEqual(len(self.lwt(*words).out.splitlines()), 3)
        self.assertEqual(self.lwt(*words).out, '')
        text = self.read('log')
        self.write('log', text[:-5])
        self.assertEqual(len(self.lwt(*words).out.splitlines()), 1)
        self.assertEqual(self.lwt(*words).out, '')

    def test_results_of_an_earlier_run_stay(self):
        self.lwt('multi', '--joblog', 'log', '--results', 'out', stdin=b'echo a\n')
        self.lwt('multi', '--joblog', 'log', '--results', 'out', '--resume',
                 stdin=b'echo c\necho a\n')
        self.assertEqual((self.read('out', '1', 'stdout'), self.read('out', '1.1', 'stdout')),
                         ('a\n', 'c\n'))

    def test_progress_ends_with_the_run(self):
        for words, code in ((('true', ':::', '1'), 0), (('--dry-run', 'true', ':::', '1'), 0),
                            (('--resume', 'true', ':::', '1'), 0)):
            with self.subTest(words=words):
                self.assertEqual(self.lwt('multi', '--progress', '--joblog', 'log', *words).code,
                                 code)
        popen = self.start('multi', '--progress', '--grace', '0.3', ':::', 'sleep 9990')
        self.assertTrue(wait_for(lambda: 'sleep 9990' in marked(self.mark).values()))
        popen.terminate()
        popen.communicate(timeout=30)
        self.assertEqual(popen.returncode, 143)

    def test_a_log_that_is_none_is_refused(self):
        self.write('log', 'a\tb\n')
        self.assert_refused(self.lwt('multi', '--joblog', 'log', '--resume', ':::', 'true'), 2,
                            'log:1: not a row of a job log')
        self.assertEqual(self.read('log'), 'a\tb\n')

    def test_results_of_each_job(self):
        done = self.lwt('multi', '--results', 'out', ':::', 'echo o; echo e >&2; exit 3')
        self.assertEqual((done.code, done.out), (1, 'o\n'))
        self.assertEqual((self.read('out', '1', 'stdout'), self.read('out', '1', 'stderr')),
                         ('o\n', 'e\n'))
        meta = json.loads(self.read('out', '1', 'meta'))
        self.assertEqual((meta['seq'], meta['exitval'], meta['signal'], meta['status']),
                         (1, 3, 0, 'failed'))

    def test_each_reason_is_named_though_many_failed_before(self):
        done = self.lwt('multi', '-j', '1', '-u', '3', '--grace', '0.2',
                        stdin=b'exit 1\n' * 20 + b'sleep 9975\nexit 2\n')
        self.assertIn('job 21: timed out after 3 s', done.err)
        self.assertIn('job 22: exit code 2', done.err)
        self.assertEqual(done.err.splitlines()[-1],
                         'lwt: 22 of 22 failed: 20 exit code 1, 1 exit code 2, 1 timed out')

    def test_failures_are_summed_up(self):
        done = self.lwt('multi', '-j', '4', 'exit {}', ':::', *(['3'] * 30 + ['0'] * 5))
        self.assertEqual((done.code, len(done.err.splitlines())), (1, 11))
        self.assertEqual(done.err.splitlines()[-1], 'lwt: 30 of 35 failed: 30 exit code 3')


class Faults(ProgramTestCase):
    """Faults of input, output, disk and processes."""

    def test_L_3_lines_that_cannot_be_commands(self):
        lines = b'echo a\n' + b'x' * 10000000 + b'\necho \0\necho \xff\necho b\n'
        popen = self.start('multi', '-k', stdin=subprocess.PIPE)
        out, err = popen.communicate(lines, 60)
        self.assertEqual((popen.returncode, out), (2, b'a\n\xff\nb\n'))
        self.assertIn(b'job 2: command too long (limit 131071 bytes)', err)
        self.assertIn(b'job 3: command contains a NUL byte', err)

    def test_L_2_carriage_returns_are_kept_unless_asked_for(self):
        self.assertEqual(self.lwt('multi', 'printf "%s."', stdin=b'a\r\n').out, 'a\r.')
        self.assertEqual(self.lwt('multi', '--dos', 'printf "%s."', stdin=b'a\r\n').out, 'a.')

    def test_a_full_disk_loses_nothing(self):
        if lab.why_not_mount():
            self.skipTest('mounting: ' + lab.why_not_mount())
        small = self.path('small')
        os.mkdir(small)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=300k', 'tmpfs', small], check=True)
        try:
            for options in ((), ('-k',)):
                with self.subTest(options=options):
                    lines = b'seq 100000\n' * 6
                    popen = self.start('multi', '-j', '3', *options, stdin=subprocess.PIPE,
                                       env=dict(self.env, TMPDIR=small))
                    out, err = popen.communicate(lines, 60)
                    self.assertEqual((popen.returncode, err), (0, b''))
                    wanted = b''.join(b'%d\n' % number for number in range(1, 100001))
                    self.assertTrue(out == wanted * 6, 'lost or mixed')
        finally:
            subprocess.run(['umount', small], check=True)

    def test_a_retry_gets_its_turn_though_all_wait_for_the_floor(self):
        if lab.why_not_mount():
            self.skipTest('mounting: ' + lab.why_not_mount())
        small = self.path('small')
        os.mkdir(small)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=300k', 'tmpfs', small], check=True)
        try:
            lines = 'sleep 0.2; echo x >> {0}; test $(wc -l < {0}) -ge 2\n'.format(
                self.path('count')) + 'seq 200000\n' * 2
            done = self.lwt('multi', '-k', '-j2', '--retries', '2', stdin=lines.encode(),
                            env=dict(self.env, TMPDIR=small))
            self.assertEqual((done.code, len(done.out.split())), (0, 400000), done.err)
        finally:
            subprocess.run(['umount', small], check=True)

    def test_a_locale_without_letters_is_no_trouble(self):
        env = dict(self.env, LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0')
        done = self.lwt('multi', stdin='false é{}\n'.format('x' * 80).encode(), env=env)
        self.assertEqual(done.code, 1)
        self.assertIn('false é', done.err)
        self.assertEqual(self.lwt('multi', '--help', env=env).code, 0)

    def test_memory_is_bounded_behind_a_slow_first_job(self):
        lines = b'sleep 6\n' + b'head -c 30000 /dev/zero\n' * 1500
        popen = self.start('multi', '-k', '-j', '8', stdin=subprocess.PIPE,
                           stdout=subprocess.DEVNULL)
        popen.stdin.write(lines)
        popen.stdin.close()
        popen.stdin = None
        peak = 0
        while popen.poll() is None:
            peak = max(peak, self.memory(popen.pid))
            time.sleep(0.2)
        popen.communicate()
        self.assertLess(peak, 45000)

    memory = Shown.memory

    def test_a_job_log_on_a_full_disk_is_told(self):
        self.assert_refused(self.lwt('multi', '--joblog', '/dev/full', ':::', 'true'), 74,
                            '/dev/full', 'No space left')

    def test_a_reader_that_goes_away_ends_everything(self):
        for options in ((), ('-k',), ('--lb',)):
            with self.subTest(options=options):
                done = subprocess.run(
                    ['sh', '-c', 'yes "echo y; sleep 0.01" | %s -m lwt multi -j 4 %s | head -1'
                     % (self.python, ' '.join(options))], env=self.env, cwd=self.scratch,
                    timeout=60,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.assertEqual((done.stdout, done.stderr), (b'y\n', b''))
                self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    def test_nothing_is_left_in_the_directory_of_temporary_files(self):
        os.mkdir(self.path('tmp'))
        popen = self.start('multi', '--grace', '0.3', stdin=subprocess.PIPE,
                           env=dict(self.env, TMPDIR=self.path('tmp')))
        popen.stdin.write(b'seq 300000; sleep 60\n')
        popen.stdin.flush()
        self.assertTrue(wait_for(lambda: 'sleep 60' in marked(self.mark).values()))
        self.assertEqual(os.listdir(self.path('tmp')), [])
        popen.kill()
        popen.communicate()

    def test_K_16_signals_that_were_ignored_or_blocked_are_not_so_for_the_commands(self):
        def strange():
            for signum in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP):
                signal.signal(signum, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
        done = self.lwt('multi', '-j', '2', '-u', '3',
                        stdin=b'exit 3\nsleep 9977\nyes | head -1; true\n', preexec_fn=strange)
        self.assertEqual(done.code, 3, done)
        self.assertIn('exit code 3', done.err)
        self.assertIn('timed out', done.err)

    def test_FR_34_signals_that_were_ignored_stay_ignored_in_the_jobs(self):
        """FR-34: nohup requires that, and xargs does it too; for programs, sh and nice."""
        ignored = signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1

        def ignore():
            for signum in ignored:
                signal.signal(signum, signal.SIG_IGN)
        job = 'grep SigIgn /proc/self/status'
        for options in ((), ('--nice', '1'), ('-k', '-u', '60')):
            with self.subTest(options=options):
                done = self.lwt('multi', '-j1', *options,
                                stdin=('%s\n%s; :\n' % (job, job)).encode(), preexec_fn=ignore)
                self.assertEqual(done.code, 0, done)
                # Signals that the C library reserves, and those that the caller of the tests
                # ignores.
                real_time = ~((1 << 31) - 1)
                self.assertEqual(
                    [int(line.split()[1], 16) & ~real_time for line in done.out.splitlines()],
                    [sum(1 << signum - 1 for signum in ignored)] * 2)

    def test_K_18_a_stop_of_lwt_itself_is_no_time_out(self):
        popen = self.start('multi', '-u', '10', stdin=subprocess.PIPE)
        popen.stdin.write(b'touch begun; until [ -e go ]; do sleep 0.05; done; echo done\n')
        popen.stdin.close()
        popen.stdin = None
        self.assertTrue(wait_for(lambda: os.path.exists(self.path('begun'))))
        popen.send_signal(signal.SIGSTOP)
        self.write('go', '')
        self.assertTrue(wait_for(lambda: 'until' not in str(marked(self.mark))))
        time.sleep(13)                  # so that lwt still runs well after the timeout
        popen.send_signal(signal.SIGCONT)
        out, err = popen.communicate(timeout=30)
        self.assertEqual((popen.returncode, out), (0, b'done\n'), err)

    def test_G_2_a_terminal_that_goes_away_ends_everything(self):
        ours, theirs = pty.openpty()

        def on_terminal():
            os.setsid()
            import fcntl
            import termios
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        popen = self.start('multi', '--grace', '0.5', ':::', 'trap "" HUP TERM; sleep 9978',
                           preexec_fn=on_terminal,
                           stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.assertTrue(wait_for(lambda: 'sleep 9978' in marked(self.mark).values()))
        os.close(ours)
        popen.wait(30)
        self.assertEqual(popen.returncode, 129)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    def test_G_3_nohup_and_the_background_do_not_hang(self):
        done = subprocess.run(
            ['sh', '-c', 'nohup %s -S -m lwt multi ::: "echo a" 2>/dev/null & wait' % self.python],
            env=self.env, cwd=self.scratch, stdout=subprocess.PIPE, timeout=60)
        self.assertEqual(done.stdout, b'a\n')

    def test_G_5_a_storm_of_signals_is_no_work(self):
        popen = self.start('multi', ':::', 'sleep 2; echo a')
        for _ in range(300):
            for signum in (signal.SIGWINCH, signal.SIGCHLD):
                popen.send_signal(signum)
            time.sleep(0.003)
        out, err = popen.communicate(timeout=30)
        self.assertEqual((popen.returncode, out, err), (0, b'a\n', b''))


class Zoo(ProgramTestCase):
    """Processes that try to escape from a timeout, an interrupt and kill -9 of lwt."""

    BEASTS = {
        'ignores TERM': 'trap "" TERM HUP INT; sleep 9981 & sleep 9982',
        'a session of its own': 'setsid sleep 9981 & setsid sh -c "trap \\"\\" TERM; sleep 9982" & '
                                'sleep 9983',
        'a daemon': '(setsid sh -c "sleep 9981 & sleep 9982 &" &); sleep 9983',
        'stopped': 'sleep 9981 & sleep 0.2; kill -STOP $!; sleep 9982',
        'nohup': 'nohup sleep 9981 >/dev/null 2>&1 & sleep 9982',
        'the pipe is held': 'setsid sleep 9981 & echo x; sleep 9982',
    }
    # With an empty environment it carries no marker: only a living lwt, as its subreaper, can find
    # it.
    UNMARKED = 'setsid env -i sleep 9984 & (setsid env -i sleep 9985 &); sleep 9986'

    def setUp(self):
        super().setUp()
        # A duration used by this test alone, to find processes without a marker.
        self.sleep = 'sleep 998%06d' % random.randrange(1000000)

    def run_beast(self, line, signum, neighbour=False):
        popen = self.start('multi', '-j', '2', '--grace', '0.3', *(() if signum else ('-u', '2.5')),
                           stdin=subprocess.PIPE)
        self.addCleanup(popen.communicate)
        self.addCleanup(popen.kill)
        popen.stdin.write(line.replace('sleep 998', self.sleep).encode()
                          + (b'\nsleep 2\n' if neighbour else b'\n'))
        popen.stdin.close()
        popen.stdin = None
        self.assertTrue(wait_for(
            lambda: sum(words.startswith(self.sleep) for words in marked_or(self).values()) >= 2))
        if signum:
            popen.send_signal(signum)
        _out, err = popen.communicate(timeout=30)
        self.assertNotIn(b'Traceback', err)
        return popen.returncode

    def assert_nothing_left(self):
        self.assertTrue(wait_for(lambda: not marked_or(self)), marked_or(self))

    def test_K_1_and_K_2_and_K_3_and_K_4_and_K_5_the_zoo_after_a_time_out(self):
        for name, line in self.BEASTS.items():
            with self.subTest(name=name):
                self.assertEqual(self.run_beast(line, None), 3)
                self.assert_nothing_left()

    def test_K_6_and_K_7_and_K_8_and_K_9_the_zoo_after_signals(self):
        for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129),
                             (signal.SIGQUIT, 131)):
            for name in ('ignores TERM', 'a session of its own', 'a daemon', 'stopped'):
                with self.subTest(name=name, signum=signum):
                    self.assertEqual(self.run_beast(self.BEASTS[name], signum), code)
                    self.assert_nothing_left()

    def test_K_10_the_zoo_after_kill_9(self):
        for name, line in self.BEASTS.items():
            with self.subTest(name=name):
                self.assertEqual(self.run_beast(line, signal.SIGKILL), -9)
                self.assert_nothing_left()

    def test_an_empty_environment_hides_nothing(self):
        for neighbour in (False, True):
            with self.subTest(neighbour=neighbour):
                self.run_beast(self.UNMARKED, None, neighbour)
                self.assert_nothing_left()

    def test_K_19_numbers_of_processes_that_come_round_hit_no_stranger(self):
        reason = lab.why_not_unshare('--pid --fork --mount-proc',
                                     'echo 100 >/proc/sys/kernel/ns_last_pid')
        if reason:
            self.skipTest('setting the next process number: ' + reason)
        # Each of the short jobs makes the kernel reuse the numbers of the killed leaders as soon as
        # they are free.
        lines = 'trap "" TERM; sleep 9988 & exec sleep 9989\n' * 12
        lines += ('echo $((LWT_SEQ % 20 + 4)) > /proc/sys/kernel/ns_last_pid; (sleep 0.1; sleep '
                  '0.1); echo ok\n' * 150)
        popen = subprocess.Popen(
            ('unshare', '--pid', '--fork', '--mount-proc', self.python, '-S', '-m', 'lwt', 'multi',
             '-j', '16', '-u', '3', '--grace', '0.2'), env=self.env, cwd=self.scratch,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = popen.communicate(lines.encode(), 60)
        self.assertEqual((popen.returncode, out.count(b'ok'), err.count(b'timed out after 3 s')),
                         (3, 150, 10), err)
        self.assertIn(b'12 of 162 failed: 12 timed out', err)

    def test_K_11_and_FR_3_what_holds_the_pipe_of_a_leader_that_is_gone_is_not_waited_for(self):
        done = self.lwt('multi', ':::', 'setsid sleep 9987 & echo a')
        self.assertEqual((done.code, done.out), (0, 'a\n'))
        self.assertIn('job 1: ' + exit_codes.OUTPUT_HELD, done.err)
        for pid in [pid for pid, words in marked(self.mark).items() if words == 'sleep 9987']:
            # A job that succeeded may leave a process behind, as with any shell.
            os.kill(pid, signal.SIGKILL)


def marked_or(case):
    """Return the marked processes of a test, and the sleeps that have hidden their mark, by their
    duration.
    """
    found = marked(case.mark)
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/cmdline' % pid, 'rb') as file:
                words = file.read().replace(b'\0', b' ').decode('utf-8', 'replace').strip()
        except OSError:
            continue
        if words.startswith(case.sleep):
            found[int(pid)] = words
    return found


if __name__ == '__main__':
    unittest.main()
