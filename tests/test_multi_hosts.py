"""lwt multi on hosts: options, files, and what is left when something fails."""

import collections
import os
import random
import signal
import subprocess
import time
import unittest

from lwt.workspace import files
from tests import lab
from tests.lab_cases import LoopbackTestCase
from tests.support import ProgramTestCase, wait_for
from tests.test_lab_hosts import CleanHomesTestCase


def rows(text):
    """Return the rows of a job log as lists, without the header."""
    return [line.split('\t') for line in text.splitlines()[1:]]


class Usage(ProgramTestCase):
    """Mistakes are found before anything is done."""

    def test_each_mistake_is_one_clear_error(self):
        for words, said in (
                (('-S', '0/h1', 'true'), "'0/h1': expected N/HOST"),
                (('-S', 'ssh -p 22 h1', 'true'), 'a command for ssh is not supported'),
                (('-S', 'h1', '--return', 'x', 'true'), 'all jobs would return the same file'),
                (('-S', 'h1', '--return', '../{}', 'true'), '--return ../{}: ".." in a path'),
                (('-S', 'h1', '--return', '', 'true'), "--return '': not the path of a file"),
                (('-S', 'h1', '--tf', '', 'true'), "--transferfile '': not the path of a file"),
                (('-S', 'h1', '--bf', '', 'true'), "--basefile '': not the path of a file"),
                (('-S', 'h1', '--wd', '', 'true'), "--workdir '': not the path of a directory"),
                (('-S', '4/', 'true'), "'4/': expected N/HOST"),
                (('-S', '-1/h1', 'true'), "'-1/h1': expected N/HOST"),
                (('-S', '2/@web', 'true'), 'host groups are not supported'),
                (('-S', 'h[1-9]', 'true'), 'sets of hosts are not supported'),
                (('-S', 'h1;h2', 'true'), "bad host name 'h1;h2'"),
                (('-S', ',', 'true'), 'no hosts selected'),
                (('--slf', 'nothing', 'true'), 'nothing: No such file'),
                (('-x', 'h1', 'true'), '-x needs -w, -g or -a'),
                (('-S', 'h1', '-x', 'h1', 'true'), '-x needs -w, -g or -a'),
                (('-S', 'h1', '--round-robin', 'true'), '--round-robin needs --pipe'),
                (('-S', 'h1', '-j', 'x', 'true'), "-j: 'x': expected a whole number"),
                (('-S', 'h1', '--return', '{=x=}', 'true'), 'Perl expressions'),
                (('--return', '{}', 'true'), '--return needs hosts'),
                (('--cleanup', 'true'), '--cleanup needs hosts'),
                (('-S', 'h1', '--env', 'a-b', 'true'), 'not the name of an environment variable'),
                (('-S', 'h1', '--bf', 'nothing', 'true'), 'nothing: No such file'),
                (('-S', 'h1', '--load', '3', 'true'), '--load does not work on hosts'),
                (('-S', 'h1', '--return', '{2}', 'true'), 'there is only 1 argument'),
                (('-a', '-j1', 'true'), 'no workspace found')):
            with self.subTest(words=words):
                done = self.lwt('multi', *words, ':::', 'x')
                self.assert_refused(done, 2, said)
                self.assertLessEqual(len(done.err.splitlines()), 2, done)

    def test_functions_of_bash_are_refused(self):
        self.env['BASH_FUNC_f%%'] = '() { :; }'
        self.assert_refused(self.lwt('multi', '-S', 'h1', '--env', 'A,f', 'f', ':::', 'x'), 2,
                            '--env f: functions of bash are not supported')

    def test_a_dry_run_needs_no_host(self):
        done = self.lwt('multi', '-S', 'nosuch', '--dry-run', 'echo', '{}', ':::', 'a', 'b')
        self.assertEqual((done.code, done.out), (0, 'echo a\necho b\n'), done)


class WithFakeSsh(ProgramTestCase):
    """Hosts that fail, with a stub for ssh."""

    def setUp(self):
        super().setUp()
        self.use_fake_ssh()

    def test_jobs_go_to_the_hosts_that_answer(self):
        hosts = 'good-1,down-1,dns-1,key-1,auth-1,nologin-1,good-2'
        done = self.lwt('multi', '-S', hosts, '-j2', '-k', '--joblog', 'log', 'echo', '{}',
                        ':::', *map(str, range(20)))
        self.assertEqual(done.out.split(), list(map(str, range(20))), done)
        self.assertEqual(done.code, 0, done)
        self.assertLessEqual({row[1] for row in rows(self.read('log'))}, {'good-1', 'good-2'})

    def test_without_any_host_the_number_of_jobs_that_were_not_run_is_told(self):
        done = self.lwt('multi', '-S', 'dns-1,auth-1', 'echo', ':::', 'a', 'b', 'c')
        self.assert_refused(done, 3, 'no host is left; not run: 3',
                            'dns-1: unreachable (name not known); it gets no more jobs')

    def test_names_that_do_not_exist_are_a_mistake(self):
        done = self.lwt('multi', '-S', 'dns-1', 'echo', ':::', 'a', 'b', 'c')
        self.assert_refused(done, 2, 'lwt: dns-1: unreachable (name not known)\n')
        self.assertEqual(len(done.err.splitlines()), 2, done)

    def test_logins_come_from_a_pipe_and_from_the_file_of_gnu_parallel(self):
        self.write('home/.parallel/sshloginfile', '1/good-1\n')
        os.mkfifo(self.path('fifo'))
        writer = subprocess.Popen(['sh', '-c', 'echo 1/good-2 >fifo'], cwd=self.scratch)
        here = self.scratch             # each job waits for the other one
        done = self.lwt('multi', '-S', '..', '--slf', 'fifo', '-k', '-u', '60', 'echo {host}; '
                        'true >%s/{}; until [ -e %s/a ] && [ -e %s/b ]; do sleep 0.05; done'
                        % (here, here, here), ':::', 'a', 'b')
        writer.wait()
        self.assertEqual(sorted(done.out.split()), ['good-1', 'good-2'], done)

    def test_jobs_on_this_machine_have_a_working_directory_too(self):
        done = self.lwt('multi', '-S', '1/:', '--wd', 'sub/{}', 'pwd #', ':::', 'a')
        self.assertEqual((done.code, done.out), (0, self.path('sub', 'a') + '\n'), done)
        done = self.lwt('multi', '-S', '1/:', '--wd', '/proc/none', 'true', ':::', 'a')
        self.assert_refused(done, 1, 'cannot be run (/proc/none: No such file or directory')
        done = self.lwt('multi', '-S', '1/:', '--wd', '.', 'pwd #', ':::', 'a')
        self.assertEqual(done.out, self.scratch + '\n', done)

    def test_each_of_several_arguments_is_a_file(self):
        for name in 'abc':
            self.write(name, name)
        done = self.lwt('multi', '-S', '1/good-1', '-N2', '--trc', '{}.out',
                        'for i in {}; do cat $i $i >$i.out; done', ':::', *'abc')
        self.assertEqual((done.code, done.err), (0, ''), done)
        self.assertEqual([self.read(name + '.out') for name in 'abc'], ['aa', 'bb', 'cc'])

    def test_a_dot_sends_what_a_directory_contains(self):
        self.write('d/one', '1')
        self.write('d/sub/two', '2')
        done = self.lwt('multi', '-S', '1/good-1', '--bf', 'd/.', '--cleanup', 'cat one sub/two #',
                        ':::', 'x')
        self.assertEqual((done.code, done.out), (0, '12'), done)
        self.assertEqual(os.listdir(self.path('fake', 'good-1')), [])

    def test_jobs_on_this_machine_and_on_hosts_have_the_same_variables(self):
        self.env['EXTRA'] = "it's"
        done = self.lwt('multi', '-S', '1/good-1', '--env', 'EXTRA', '-k',
                        'echo {} $LWT_SEQ $PARALLEL_SEQ $PARALLEL_SSHHOST {host} "$EXTRA"', ':::',
                        'a', 'b')
        self.assertEqual(done.out, "a 1 1 good-1 good-1 it's\nb 2 2 good-1 good-1 it's\n", done)
        done = self.lwt('multi', '-S', '1/:', 'echo {} $LWT_SEQ $HOME {host} $PARALLEL_SSHLOGIN',
                        ':::', 'a')
        self.assertEqual(done.out, 'a 1 %s : :\n' % self.home, done)

    def test_results_that_cannot_be_written_are_an_error(self):
        self.write('file', '')
        done = self.lwt('multi', '-S', '1/good-1', '--results', 'file', 'true', ':::', *'abc')
        self.assert_refused(done, 74, 'file/1: Not a directory')

    def test_blocks_of_standard_input_reach_jobs_on_hosts(self):
        lines = ''.join('%d\n' % number for number in range(50000))
        done = self.lwt('multi', '-S', '2/good-1,2/good-2', '--pipe', '--block', '50k', '-k', 'cat',
                        stdin=lines.encode())
        self.assertEqual((done.code, done.out), (0, lines))

    def test_a_job_that_a_host_cannot_take_fails_and_does_not_end_the_others(self):
        os.makedirs(self.path('fake', 'good-1', 'b'))       # a directory is where a file should be
        for name in 'abcd':
            self.write(name, name)
        done = self.lwt('multi', '-S', '1/good-1', '--tf', '{}', '-k', 'cat {}', ':::', *'abcd')
        self.assertEqual((done.code, done.out), (1, 'acd'), done)
        self.assertIn('job 2: b: cannot be moved into place', done.err)

    def test_a_host_that_can_take_no_job_is_left_out(self):
        for name in 'abcdef':
            self.write(name, name)
            os.makedirs(self.path('fake', 'good-1', name))
        done = self.lwt('multi', '-S', '2/good-1,1/good-2', '--tf', '{}', '-k', 'cat {}', ':::',
                        *'abcdef')
        self.assertEqual((done.code, done.out), (0, 'abcdef'), done)
        done = self.lwt('multi', '-S', 'good-1', '--wd', '/proc/none', 'true', ':::', *'abcdef')
        self.assert_refused(done, 3, 'good-1: ', 'it gets no more jobs',
                            'no host is left; not run: ')

    def test_files_of_combinations_are_sent_once_and_removed_at_the_end(self):
        for name in ('a', 'b'):
            self.write(name, name)
        done = self.lwt('multi', '-S', '2/good-1', '--tf', '{1}', '--cleanup', '-k',
                        'cat {1}; echo {2}; ls -i {1} >>ids', ':::', 'a', 'b', ':::', '1', '2', '3')
        self.assertEqual(done.out.split(), ['a1', 'a2', 'a3', 'b1', 'b2', 'b3'], done)
        self.assertEqual(sorted(os.listdir(self.path('fake', 'good-1'))), ['ids'])
        self.assertEqual(len(set(self.read('fake', 'good-1', 'ids').splitlines())), 2)


ODD = ("it's", ' a  b ', '-x', 'new\nline', '$(touch evil)', 'ünï', '{}', 'back\\bslash', '*')


class FilesOnHosts(LoopbackTestCase):
    """Files of jobs go to real sshd and come back."""

    hosts = 2

    def setUp(self):
        super().setUp()
        self.env.update(self.lab.environment())

    def tearDown(self):
        super().tearDown()
        for name in self.lab.names:
            found = set(os.listdir(self.lab.home(name)))
            self.assertLessEqual(found, {'.ssh', '.lwt'}, name)

    def test_odd_names_go_there_and_back_and_nothing_is_left(self):
        for name in ODD:
            self.write(os.path.join('in', name), 'content of ' + name)
        names = '\0'.join('in/' + name for name in ODD).encode()
        done = self.lwt('multi', '-0', '-S', '2/h1,2/h2', '--trc', 'out/./{}.out',
                        '--joblog', 'log', 'mkdir -p in; cp -- {} {}.out; printf x >>{}.out',
                        stdin=names)
        self.assertEqual((done.code, done.err), (0, ''), done)
        for name in ODD:
            self.assertEqual(self.read('out', 'in', name + '.out'), 'content of %sx' % name)
        sizes = sorted((int(row[4]), int(row[5])) for row in rows(
            self.read('log').replace('\0', ' ')))
        expected = sorted(len(os.fsencode('content of ' + name)) for name in ODD)
        self.assertEqual(sizes, [(size, size + 1) for size in expected])

    def test_a_missing_file_is_a_failure_with_its_name(self):
        done = self.lwt('multi', '-S', 'h1', '--return', '{}.out', 'true', ':::', 'a')
        self.assert_refused(done, 1, 'a.out: not returned: no such file on the host')
        done = self.lwt('multi', '-S', 'h1', '--tf', '{}', 'true', ':::', 'nothing')
        self.assert_refused(done, 1, 'nothing: No such file or directory')

    def test_base_files_and_a_directory_for_each_job(self):
        self.write('model/data', 'model ')
        self.write('x', 'x')
        for options in ((), ('--wd', 'a/b'), ('--wd', '...')):
            with self.subTest(options=options):
                done = self.lwt('multi', '-S', '1/h1', '--bf', 'model', '--tf', 'x', '--cleanup',
                                *options, 'cat model/data x; echo {} | cat; basename $PWD',
                                ':::', '1', '2')
                self.assertEqual(done.code, 0, done)
                self.assertEqual(done.out.count('model x'), 2, done)
        self.lwt('exec', '-w', 'h1', '--', 'rmdir .lwt/multi')

    def test_an_interrupt_leaves_no_process_and_no_file(self):
        self.write('a', 'a')
        popen = self.start('multi', '-S', 'h1,h2', '--trc', '{}.out', 'touch {}.out; sleep 9861',
                           ':::', 'a')
        self.assertTrue(wait_for(lambda: any(
            os.path.exists(os.path.join(self.lab.home(name), 'a.out')) for name in
            self.lab.names)))
        popen.send_signal(signal.SIGINT)
        _out, err = popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 130, err)
        self.assertIn(b'interrupted: 0 done, 1 stopped', err)
        self.assertFalse(os.path.exists(self.path('a.out')))

    def test_kill_9_leaves_no_process_and_no_file_and_resume_runs_the_rest(self):
        for name in 'abcdef':
            self.write(name, name)
        words = ('multi', '-S', '1/h1,1/h2', '--joblog', 'log', '--trc', '{}.out',
                 'echo {} >{}.out; [ -e go ] || [ {} = a ] || [ {} = b ] || sleep 9862')
        popen = self.start(*words, ':::', *'abcdef')
        self.assertTrue(wait_for(lambda: sum(
            os.path.exists(os.path.join(self.lab.home(host), name + '.out'))
            for host in self.lab.names for name in 'cdef') == 2))
        popen.kill()
        popen.communicate()
        self.assertTrue(wait_for(lambda: not any(
            set(os.listdir(self.lab.home(host))) - {'.ssh', '.lwt'} for host in self.lab.names)))
        before = {row[8] for row in rows(self.read('log'))}
        self.assertEqual(len(before), 2)
        self.lwt('exec', '-w', 'h1,h2', '--', 'touch go')
        self.write('.lwt-multi.killed/stream', 'half')
        self.write('.lwt-multi.busy/stream', 'half')
        lock = files.Lock(self.path('.lwt-multi.busy'))
        self.assertTrue(lock.take())
        self.addCleanup(lock.release)
        done = self.lwt(*words[:1], '--resume', *words[1:], ':::', *'abcdef')
        self.assertEqual(done.code, 0, done)
        ran = [row[8] for row in rows(self.read('log'))]
        self.assertEqual((len(ran), len(set(ran))), (6, 6))
        self.assertEqual([self.read(name + '.out') for name in 'abcdef'],
                         [name + '\n' for name in 'abcdef'])
        self.assertEqual([name for name in os.listdir(self.scratch) if name.startswith('.lwt')],
                         ['.lwt-multi.busy'])
        lock.release()
        self.lwt('exec', '-w', 'h1,h2', '--', 'rm -f go')


class JobsOnLabHosts(CleanHomesTestCase):
    """What became of jobs."""

    def logged(self):
        """Return the second words of the commands in the job log."""
        text = self.read('log') if os.path.exists(self.path('log')) else ''
        return [row[8].split()[1] for row in rows(text)]

    def ran(self):
        """Return {word: how often} of the lines that jobs wrote into the file "ran" of a host."""
        found = collections.Counter()
        for name in self.names:
            path = os.path.join(self.lab.home(name), 'ran')
            if os.path.exists(path):
                with open(path) as file:
                    found.update(file.read().split())
        return found


@unittest.skipIf(lab.why_not_root_lab(), lab.why_not_root_lab())
class HostsWithFaults(JobsOnLabHosts):
    """Hosts that vanish, fill up and come back."""

    hosts = 5

    def test_jobs_avoid_hosts_that_refuse_are_black_holes_or_are_full(self):
        self.lab.black_hole('h1')
        self.lab.refuse('h2')
        self.lab.full_disk('h3')
        self.addCleanup(self.lab.umount_home, 'h3')
        self.write('big', 'x' * 200000)
        done = self.lwt('multi', '-t', '3', '-w', 'h[1-5]', '-j2', '--joblog', 'log', '-k',
                        '--tf', 'big', '--cleanup', 'sleep 0.2; echo {}', ':::',
                        *map(str, range(20)))
        self.assertEqual(done.out.split(), list(map(str, range(20))), done)
        self.assertEqual(done.code, 0, done)
        ran = [row[8] for row in rows(self.read('log'))]
        self.assertEqual((len(ran), len(set(ran))), (20, 20))
        self.assertLessEqual({row[1] for row in rows(self.read('log'))}, {'h4', 'h5'})

    def test_a_job_of_unknown_fate_runs_again_only_with_retries(self):
        for retries, runs, code in ((0, 1, 3), (1, 2, 0)):
            with self.subTest(retries=retries):
                popen = self.start('multi', '-S', '1/h1', '--retries', str(retries),
                                   'echo ran >>ran; [ -e again ] || sleep 9863; : {}', ':::', 'x')
                there = os.path.join(self.lab.home('h1'), 'ran')
                self.assertTrue(wait_for(lambda: os.path.exists(there)))
                self.lab.inside('h1', 'touch', 'again')
                time.sleep(0.5)
                self.lab.kill_sessions('h1')
                _out, err = popen.communicate(timeout=120)
                self.assertEqual(popen.returncode, code, err)
                self.assertIn(b'connection lost', err)
                with open(there) as file:
                    self.assertEqual(len(file.readlines()), runs, err)
                self.lab.inside('h1', 'rm', '-f', 'ran', 'again')

    def test_a_host_that_comes_back_gets_jobs_again(self):
        popen = self.start('multi', '-S', '1/h1,1/h2', '--joblog', 'log', '--retries', '3',
                           'sleep 0.3; echo {}', ':::', *map(str, range(30)))
        self.assertTrue(wait_for(lambda: os.path.exists(self.path('log'))
                                 and len(rows(self.read('log'))) > 3))
        self.lab.kill_sessions('h1')
        out, err = popen.communicate(timeout=120)
        self.assertEqual(sorted(map(int, out.split())), list(range(30)), err)
        hosts = [row[1] for row in rows(self.read('log'))]
        self.assertIn('h1', hosts[-12:], err)

    def test_kill_9_at_any_moment_leaves_nothing_running_and_resume_runs_the_rest(self):
        names = ['f%d' % number for number in range(40)]
        for name in names:
            self.write(name, name * 9999)
        words = ('multi', '-w', 'h[1-5]', '-j2', '--lease', '3', '--joblog', 'log', '--resume',
                 '--trc', '{}.out', 'echo {} >>ran; sleep 0.1; cat {} >{}.out', ':::', *names)
        for _round in range(4):
            popen = self.start(*words)
            time.sleep(random.uniform(0.3, 1.3))
            popen.kill()
            popen.communicate()
            logged, before = self.logged(), self.ran()
            for name in self.names:
                # A session that has just begun is no command yet, and may make files.
                self.assertTrue(wait_for(lambda: not self.lab.commands(name) and set(
                    self.there(name)) <= {'.ssh', '.lwt', 'ran'}), self.lab.commands(name))
        done = self.lwt(*words)
        self.assertEqual(done.code, 0, done)
        after = self.ran()
        self.assertEqual([name for name in logged if after[name] != before[name]], [])
        self.assertEqual(sorted(self.logged()), sorted(names))
        self.assertEqual([self.read(name + '.out') for name in names],
                         [name * 9999 for name in names])
        self.assertEqual([name for name in os.listdir(self.scratch) if name.startswith('.')], [])


@unittest.skipIf(lab.why_not_root_lab(), lab.why_not_root_lab())
class EightOfTwentyHostsFail(JobsOnLabHosts):
    """Two hosts each are black holes, refuse logins, are full and reboot."""

    hosts = 20

    def test_each_job_is_in_the_log_once_and_runs_once(self):
        for number, fault in enumerate(('black_hole', 'refuse', 'full_disk') * 2, 1):
            getattr(self.lab, fault)('h%d' % number)
            if fault == 'full_disk':
                self.addCleanup(self.lab.umount_home, 'h%d' % number)
        names = ['f%d' % number for number in range(100)]
        for name in names:
            self.write(name, name * 9999)
        popen = self.start('multi', '-w', 'h[1-20]', '-j2', '-t', '3', '--lease', '4', '--joblog',
                           'log', '--trc', '{}.out', 'echo {} >>ran; sleep 0.3; cat {} >{}.out',
                           ':::', *names)
        self.assertTrue(wait_for(lambda: len(self.logged()) > 5))
        for name in ('h7', 'h8'):
            self.lab.power_off(name)
        for name in ('h7', 'h8'):
            self.lab.boot(name)
        _out, err = popen.communicate(timeout=120)
        self.assertEqual(sorted(self.logged()), sorted(names), err)
        failed = {row[8].split()[1]: row[1] for row in rows(self.read('log')) if row[6] != '0'}
        self.assertLessEqual(set(failed.values()), {'h7', 'h8'}, err)
        self.assertEqual(popen.returncode, 3 if failed else 0, err)
        ran = self.ran()
        self.assertEqual([name for name in names if ran[name] > 1], [])
        self.assertEqual([name for name in names if ran[name] < 1 and name not in failed], [])
        for name in set(names) - set(failed):
            self.assertEqual(self.read(name + '.out'), name * 9999)
        self.assertFalse([name for name in failed if os.path.exists(self.path(name + '.out'))])


if __name__ == '__main__':
    unittest.main()
