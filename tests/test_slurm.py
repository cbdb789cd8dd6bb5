"""Tasks as jobs of a real Slurm on this machine."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest
from unittest import mock

from lwt.commands import demo
from lwt.errors import UsageError
from lwt.hosts import cluster, slurm_nodes
from lwt.proc import Command, Result
from lwt.remote import scripts
from lwt.tasks import launchers, model
from lwt.workspace import sbatch_options
from lwt.workspace.config import check_host_column
from lwt.workspace.hostlist import Host
from tests import lab, slurm_lab
from tests.lab_cases import HostsTestCase
from tests.support import wait_for

LOGIN = ('localhost', 'local', '~', 'launcher=slurm')
# Each run of a task leaves a line.
COUNTS = 'echo $LWT_TASK.$LWT_ATTEMPT >>"$d_home/starts"; '
# It runs until go().
WAITS = 'until [ -e "$d_home/go" ]; do sleep 0.1; done'


class Options(unittest.TestCase):
    """What users may give to sbatch."""

    def test_words(self):
        for text, words in (('', ()), ('--gres=gpu:1', ('--gres=gpu:1',)),
                            ('--gres gpu:1 -C "a b"', ('--gres', 'gpu:1', '-C', 'a b')),
                            ('--exclusive --qos=x', ('--exclusive', '--qos=x'))):
            with self.subTest(text):
                self.assertEqual(sbatch_options.words(text), words)

    def test_options_that_are_refused(self):
        for text in ('script.sh', '--gres=gpu:1 script.sh', '--array=1-3', '--arr=1', '-a 1',
                     '-o out', '--output out', '--wrap=ls', '--test-only', '-W', '--', '-',
                     '--comment=x\ty', '"open'):
            with self.subTest(text):
                self.assertRaises(ValueError, sbatch_options.words, text)

    def test_columns_of_host_list(self):
        for key, good, bad in (('launcher', 'slurm', 'pbs'), ('partition', 'gpu', ''),
                               ('account', 'a', '-x'), ('sbatch', '--qos=x', 'x')):
            with self.subTest(key):
                self.assertEqual(check_host_column(key, good, 'L:1'), '')
                with self.assertRaisesRegex(UsageError, 'L:1: %s=' % key):
                    check_host_column(key, bad, 'L:1')

    def test_options_of_a_task(self):
        host = Host('h', 'c', '~', (('launcher', 'slurm'), ('partition', 'p'), ('account', 'a'),
                                    ('sbatch', '--qos=q')))
        desc = model.Desc('x', slots=4, memory=2048, timeout=61.0, sbatch='--gres=gpu:1')
        self.assertEqual(launchers.options(host, desc), [
            '--partition=p', '--account=a', '--qos=q', '--cpus-per-task=4', '--mem=2048K',
            '--time=2', '--gres=gpu:1'])
        self.assertEqual(launchers.options(Host('h'), model.Desc('x')), [])

    def test_desc(self):
        desc = model.parse_desc('exec : x\nsbatch : --gres=gpu:1\n', 'D', 1)
        self.assertEqual(desc.sbatch, '--gres=gpu:1')
        with self.assertRaisesRegex(UsageError, 'D:2: sbatch: --array'):
            model.parse_desc('exec : x\nsbatch : --array=1-2\n', 'D', 1)

    def test_only_login_nodes_get_the_functions_of_slurm(self):
        texts = {name: scripts.script_text(*scripts.SHORT_SCRIPTS[name])
                 for name in ('control', 'slurm')}
        self.assertNotIn('squeue', texts['control'])
        self.assertIn('squeue', texts['slurm'])
        self.assertLess(len(scripts.encoded(texts['slurm'].encode())), scripts.MAX_ENCODED)


class NodesOfSinfo(unittest.TestCase):
    """What sinfo answers, and the node list of an allocation."""

    def test_names(self):
        result = Result(Command(('sinfo',)), 'exited', 0, b'p n1\np n2\nq n3\np n1\nempty \n')
        self.assertEqual(slurm_nodes.names(result, 'p', "'@slurm:p'"), {'n1', 'n2'})

    def test_problems(self):
        for status, code, stderr, wanted in (
                ('exited', 0, b'', 'no such partition, or it has no nodes'),
                ('timeout', 15, b'x\n', 'sinfo: no answer within 20 s'),
                ('exited', 1, b'a\nsinfo: error: b\n\n', 'sinfo: b'),
                ('signaled', 9, b'', 'sinfo: signaled 9')):
            with self.subTest(wanted), self.assertRaises(UsageError) as caught:
                slurm_nodes.names(Result(Command(('sinfo',)), status, code, stderr=stderr), 'p',
                                  'S')
            self.assertEqual(caught.exception.message, 'S: ' + wanted)

    def test_allocation(self):
        for text, wanted in (('n[1-3,7],x5', 'n1 n2 n3 n7 x5'), ('n[08-11]', 'n08 n09 n10 n11'),
                             ('n[09-10,098-101]', 'n09 n10 n098 n099 n100 n101'),
                             # Slurm joins numbers of different widths.
                             ('a,n[01,98-99,2-3]', 'a n01 n2 n3 n98 n99'),
                             ('r1n[1-2],r2n[1-2]', 'r1n1 r1n2 r2n1 r2n2')):
            with self.subTest(text):
                self.assertEqual(slurm_nodes.find('slurm', {'SLURM_JOB_NODELIST': text}),
                                 set(wanted.split()))
        many = slurm_nodes.find('slurm', {'SLURM_JOB_NODELIST': 'n[01-103]'})
        self.assertEqual(many, {'n%02d' % number for number in range(1, 104)})

    def test_nothing_to_ask(self):
        for category, wanted in (('slurm', '@slurm: SLURM_JOB_NODELIST is not set'),
                                 ('slurm:', "'@slurm:': missing partition"),
                                 ('slurm:p', "'@slurm:p': sinfo: command not found")):
            with self.subTest(category), self.assertRaises(UsageError) as caught:
                slurm_nodes.find(category, {'PATH': '/nonexistent'})
            self.assertEqual(caught.exception.message, wanted)

    def test_a_silent_sinfo(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'sinfo')
            with open(path, 'w') as file:
                file.write('#!/bin/sh\nexec sleep 60\n')
            os.chmod(path, 0o755)
            with mock.patch.object(slurm_nodes, 'ASK_TIME', 0.1), \
                    self.assertRaisesRegex(UsageError, "'@slurm:p': sinfo: no answer within"):
                slurm_nodes.find('slurm:p', {'PATH': directory + os.pathsep + os.environ['PATH']})


class Clusters(unittest.TestCase):
    """What a login node reports about its cluster."""

    HOST = Host('h', 'c', '~', (('launcher', 'slurm'), ('partition', 'p')))

    def test_lines(self):
        for line, wanted in (
                ('slurm p 3 1 6 4 9', cluster.Cluster('p', 3, 1, 6, 4, 9)),
                ('slurm! squeue: no\x1b', cluster.Cluster(problem='squeue: no?')),
                ('slurm! ', cluster.Cluster(problem='unknown')),
                ('slurm p 3 1 6 -4 9', cluster.Cluster(problem='invalid value: p 3 1 6 -4 9')),
                ('slurm p 3 1 6 4 1e9', cluster.Cluster(problem='invalid value: p 3 1 6 4 1e9')),
                ('slurm', cluster.Cluster(problem='invalid value: ')),
                ('sample cores=1', cluster.Cluster(problem='not reported'))):
            with self.subTest(line):
                self.assertEqual(cluster.parse(self.HOST, ['sample x', line]), wanted)
        self.assertIsNone(cluster.parse(Host('h'), ['slurm p 3 1 6 4 9']))

    def test_text(self):
        for found, wanted in (
                (cluster.Cluster('p', 3, 1, 6, 4, 9),
                 'Slurm partition p: 3 nodes (1 idle), 4 of 6 cpus free, 9 pending jobs'),
                (cluster.Cluster('p', 1, 0, 6, 0, 1),
                 'Slurm partition p: 1 node (0 idle), 0 of 6 cpus free, 1 pending job'),
                (cluster.Cluster(problem='x'), 'Slurm: x')):
            self.assertEqual(found.text, wanted)

    def test_other_hosts_get_nothing_of_it(self):
        for name in ('sample', 'probe'):
            used = cluster.script(Host('h'), name)
            self.assertNotIn('sinfo', scripts.script_text(*scripts.SHORT_SCRIPTS[used]))
            used = cluster.script(self.HOST, name)
            self.assertIn('sinfo', scripts.script_text(*scripts.SHORT_SCRIPTS[used]))
        self.assertEqual(cluster.words(Host('h')), [])


class SlurmTestCase(HostsTestCase):
    """A Slurm with three nodes; its login node is this machine."""

    nodes = 3
    settings = ()

    @classmethod
    def why_not(cls):
        return slurm_lab.why_not()

    @classmethod
    def make_lab(cls):
        return slurm_lab.SlurmLab(cls.nodes, settings=cls.settings)

    def setUp(self):
        super().setUp()
        self.env.update(self.lab.variables)
        self.make_workspace([LOGIN], grace='2')

    def tearDown(self):
        self.lab.run('scancel', '--user=root')
        wait_for(lambda: not self.lab.jobs())
        super().tearDown()

    def add(self, command, *words):
        done = self.lwt('task', 'add', *words, '--', COUNTS + command)
        self.assertEqual(done.code, 0, done)

    def update(self):
        done = self.lwt('task', 'update')
        self.assertNotIn('Traceback', done.err, done)
        return done

    def shown(self, *words):
        return [json.loads(line)
                for line in self.lwt('task', 'show', '--json', *words).out.splitlines()]

    def ends(self):
        """Return {id: (state or outcome, reason)} of all tasks."""
        return {int(task['id']): (task['outcome'] or task['state'], task['reason'])
                for task in self.shown()}

    def until(self, condition):
        """Update until condition() is true; return its value."""
        def look():
            self.update()
            return condition()
        return wait_for(look)

    def until_state(self, *states):
        """Update until all tasks have one of these states or outcomes."""
        self.assertTrue(self.until(lambda: all(state in states for state, _why
                                               in self.ends().values())), self.ends())

    def starts(self):
        """Return the attempts that have begun, sorted."""
        path = self.path('home', 'starts')
        return sorted(self.read(path).split()) if os.path.exists(path) else []

    def job(self):
        """Return the id of the only job in the queue, in the state in which it is."""
        jobs = wait_for(self.lab.jobs)
        self.assertEqual(len(jobs), 1)
        return jobs[0][0]

    def running(self):
        """Update until the only task runs; return the id of its job."""
        self.until_state('running')
        self.assertTrue(wait_for(self.starts))
        return self.job()

    def go(self):
        """Let the tasks that wait for this end."""
        self.write('home/go', '')

    def fill(self):
        """Occupy all nodes, so that jobs wait."""
        self.lab.run('sbatch', '--exclusive', '--nodes=%d' % self.nodes, '--output=/dev/null',
                     '--wrap=sleep 60', check=True)

    def wrap(self, name, script):
        """Replace a command of Slurm; $real is the real one."""
        self.write('bin/' + name, '#!/bin/sh\nreal=%s\n%s\n' % (shutil.which(name), script), 0o755)
        self.env['PATH'] = self.path('bin') + ':' + os.environ['PATH']


class Jobs(SlurmTestCase):
    """One after the other: launch, results, kill, suspend, resume, and how jobs end."""

    def test_the_sweep_of_the_demo_has_the_same_results(self):
        files = {'lyapunov_sh': demo.SCRIPT.replace('200000', '2000')}
        self.describe('lyapunov', demo.DESC, **files)
        self.write('parameters', '\n'.join(demo.PARAMETERS) + '\n')
        found = []
        for host in (LOGIN, ('localhost', 'local', '~')):
            self.write('host.list', '\t'.join(host) + '\n')
            self.lwt('task', 'add', 'lyapunov', '--each', 'parameters')
            self.assertEqual(self.lwt('task', 'run').code, 0)
            found.append([self.read(path, 'result', 'exponent.txt') for path in self.results()])
            shutil.rmtree(self.path('task.finish'))
            os.mkdir(self.path('task.finish'))
        self.assertEqual(len(found[0]), len(demo.PARAMETERS))
        self.assertEqual(sorted(found[0]), sorted(found[1]))

    def test_tasks_of_a_pass_are_one_array_with_their_options(self):
        self.wrap('sbatch', 'echo "$@" >>%s; exec $real "$@"' % self.path('calls'))
        self.add('echo "$SLURM_CPUS_PER_TASK $LWT_ARG"; exit $LWT_ARG', '--array', '0-3',
                 '--slots', '2', '--memory', '10M', '--timeout', '50', '--sbatch=--nice=3')
        self.assertEqual(self.lwt('task', 'run').code, 1)
        calls = self.read('calls').splitlines()
        self.assertEqual(len(calls), 1)
        for word in ('--array=0-3', '--cpus-per-task=2', '--mem=10240K', '--time=1', '--nice=3'):
            self.assertIn(word, calls[0].split())
        self.assertEqual([(task['outcome'], task['code']) for task in self.shown()],
                         [('success', 0)] + [('failed', code) for code in (1, 2, 3)])
        self.assertEqual(sorted(self.read(path, 'run.stdout') for path in self.results()),
                         ['2 %d\n' % number for number in range(4)])
        self.assertEqual(os.listdir(self.path('home', '.lwt', 't')).count('jobs'), 0)

    def test_kill_while_it_runs_and_while_it_waits(self):
        self.add('trap "echo told; exit 9" TERM; sleep 60 & wait')
        self.running()
        done = self.lwt('task', 'kill', '1')
        self.assertEqual(self.ends()[1][0], 'killed', done)
        self.assertEqual(self.read(self.results()[0], 'run.stdout'), 'told\n')
        self.fill()
        self.add('true')
        self.until(lambda: len(self.lab.jobs()) == 2)
        self.lwt('task', 'kill', '2')
        self.assertEqual(self.ends()[2][0], 'killed')
        self.assertTrue(wait_for(lambda: len(self.lab.jobs()) == 1))
        self.assertEqual(self.starts(), ['000001.1'])

    def test_suspend_and_resume_while_it_runs(self):
        self.add(WAITS)
        self.running()
        self.lwt('task', 'suspend', '1')
        self.until_state('suspended')
        self.assertEqual([state for _id, state in self.lab.jobs()], ['SUSPENDED'])
        self.lwt('task', 'resume', '1')
        self.go()
        self.until_state('success')
        self.assertEqual(self.starts(), ['000001.1'])

    def test_suspend_without_the_rights_of_an_operator(self):
        self.wrap('scontrol', 'case $1 in suspend) echo "Access/permission denied" >&2; exit 1;; '
                              'esac; exec $real "$@"')
        self.add(WAITS)
        self.running()
        self.lwt('task', 'suspend', '1')
        self.until_state('suspended')
        self.assertEqual([state for _id, state in self.lab.jobs()], ['STOPPED'])
        self.lwt('task', 'resume', '1')
        self.go()
        self.until_state('success')

    def test_suspend_and_resume_while_it_waits(self):
        self.fill()
        self.add('true')
        self.until(lambda: len(self.lab.jobs()) == 2)
        why = self.lwt('task', 'why', '1')
        self.update()
        self.assertIn('waiting in Slurm (', self.ends()[1][1], why)
        self.lwt('task', 'suspend', '1')
        self.until_state('suspended')
        self.assertIn('JobHeld', self.lab.run('squeue', '-h', '-o', '%r'))
        self.lwt('task', 'resume', '1')
        self.until_state('launching')
        self.assertNotIn('JobHeld', self.lab.run('squeue', '-h', '-o', '%r'))
        self.lab.run('scancel', '--name=wrap')
        self.until_state('success')
        self.assertEqual(self.starts(), ['000001.1'])

    def test_scancel_behind_the_back_of_lwt(self):
        self.add('sleep 60')
        self.lab.run('scancel', self.running())
        self.until_state('killed')
        self.assertIn('cancelled in Slurm', self.ends()[1][1])
        self.fill()
        self.add('true')
        self.until(lambda: len(self.lab.jobs()) == 2)
        self.lab.run('scancel', '--state=PENDING', '--user=root')
        self.until_state('killed')
        self.assertIn('cancelled in Slurm', self.ends()[2][1])
        self.assertEqual(self.starts(), ['000001.1'])

    def test_the_word_of_slurm_decides_how_a_job_ended(self):
        self.add('sleep 60')
        job = self.running()
        # The controller looks for expired time limits twice a minute; this has its words at once.
        self.wrap('squeue', '$real "$@" | sed "s/CANCELLED/TIMEOUT  /"')
        self.lab.run('scancel', job)
        self.until_state('timeout')
        self.assertIn('Slurm: TIMEOUT', self.ends()[1][1])

    def test_a_task_that_ends_by_a_signal_of_its_own(self):
        self.add('kill -9 $$', '--retries', '0')
        self.until_state('failed')
        self.assertEqual(self.shown()[0]['code'], 137)

    def test_a_job_that_slurm_requeues_is_lost_once_it_has_begun(self):
        self.add('sleep 60', '--retries', '0')
        self.lab.run('scontrol', 'requeue', self.running(), check=True)
        self.until_state('lost')
        self.assertIn('requeued by Slurm', self.ends()[1][1])
        self.assertTrue(wait_for(lambda: not self.lab.jobs()))
        self.assertEqual(self.starts(), ['000001.1'])

    def test_a_runner_that_vanishes(self):
        self.add('kill -9 $PPID $$', '--retries', '0')
        self.until_state('lost')
        self.assertEqual(self.starts(), ['000001.1'])

    def test_a_task_that_removes_its_own_directory(self):
        self.add('rm -rf ../../*.1; sleep 0.2', '--retries', '0')
        self.until_state('lost')
        self.assertEqual(self.starts(), ['000001.1'])

    def test_an_accounting_knows_jobs_that_the_controller_has_forgotten(self):
        self.add('sleep 60')
        job = self.running()
        name = self.lab.run('squeue', '-h', '-o', '%j')
        self.wrap('sacct', 'echo "%s|%s|TIMEOUT"' % (job, name))
        self.wrap('squeue', 'exit 0')
        self.until_state('timeout')

    def test_another_launcher_in_the_host_list_while_it_runs(self):
        self.add(WAITS)
        self.running()
        self.write('host.list', '\t'.join(LOGIN[:3]) + '\n')
        self.update()
        self.go()
        self.until_state('success')
        self.assertEqual(self.starts(), ['000001.1'])


class Submissions(SlurmTestCase):
    """What sbatch answers, or does not answer."""

    settings = ('MaxArraySize=4', 'EnforcePartLimits=ALL')

    def test_the_answer_is_lost(self):
        # The first call submits the job, and its answer does not arrive.
        self.wrap('sbatch', 'if [ ! -e {0} ]; then touch {0}; $real "$@" >/dev/null; '
                            'echo "Socket timed out" >&2; exit 1; fi; exec $real "$@"'.format(
                                self.path('lost')))
        self.fill()
        self.add('true', '--array', '1-2')
        done = self.update()
        self.assertTrue(wait_for(lambda: len(self.lab.jobs()) == 3),
                        (self.lab.jobs(), done, self.shown()))
        self.update()
        self.assertEqual(len(self.lab.jobs()), 3)
        self.lab.run('scancel', '--name=wrap')
        self.until_state('success')
        self.assertEqual(self.starts(), ['000001.1', '000002.1'])

    def test_the_job_is_submitted_twice(self):
        self.wrap('sbatch', 'cat >{0}; $real "$@" <{0} >/dev/null; exec $real "$@" <{0}'.format(
            self.path('script')))
        self.add('sleep 0.3', '--array', '1-3')
        self.until_state('success')
        self.assertTrue(wait_for(lambda: not self.lab.jobs()))
        self.assertEqual(self.starts(), ['000001.1', '000002.1', '000003.1'])

    def test_larger_than_an_array_may_be(self):
        self.add('true', '--array', '1-7')
        self.until_state('success')
        self.assertEqual(len(self.starts()), 7)

    def test_more_jobs_than_the_controller_takes(self):
        known = len(self.lab.run('squeue', '-h', '-r', '-t', 'all', '-o', '%i').splitlines())
        self.addCleanup(self.lab.configure, 'MaxJobCount=1000')
        self.lab.configure('MaxJobCount=%d' % (known + 6))
        self.fill()
        self.add('true', '--array', '1-12')
        self.update()
        self.update()
        self.assertEqual({state for state, _why in self.ends().values()}, {'launching'})
        reasons = [why for _state, why in self.ends().values()]
        self.assertTrue(any('not accepted by Slurm: ' in why for why in reasons), reasons)
        self.lab.configure('MaxJobCount=1000')
        self.lab.run('scancel', '--name=wrap')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(len(self.starts()), 12)

    def test_what_slurm_never_accepts_is_held_with_its_words(self):
        for column, word in (('partition=nosuch', 'nosuch'),
                             ('partition=other', 'account'),
                             ('sbatch=--nodelist=nosuch', 'Invalid node name')):
            with self.subTest(column):
                self.write('host.list', '\t'.join(LOGIN + (column,)) + '\n')
                self.add('true')
                done = self.lwt('task', 'run')
                number = max(self.ends())
                state, reason = self.ends()[number]
                self.assertEqual(state, 'held', done)
                self.assertIn(word, reason)
                self.assertEqual(len(re.findall(r'%06d .*held: Slurm: ' % number, done.err)), 2,
                                 done)    # when it happens, and at the end of the run
                self.lwt('task', 'kill', str(number))
        self.assertEqual(self.starts(), [])

    def test_another_host_gets_what_slurm_never_accepts(self):
        self.write('host.list', '\t'.join(LOGIN + ('partition=nosuch',)) + '\n'
                   + 'here\tlocal\t%s\n' % self.path('other'))
        self.add('true')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.shown()[0]['host'], 'here')


class Controller(SlurmTestCase):
    """The controller is silent, or gone for a while; what sinfo answers with it."""

    settings = ('PartitionName=empty',)

    def setUp(self):
        super().setUp()
        self.addCleanup(lambda: self.lab.send('slurmctld', signal.SIGCONT))

    def test_the_controller_is_silent(self):
        self.wrap('timeout', 'shift 3; exec %s -k 1 1 "$@"' % shutil.which('timeout'))
        self.add(WAITS)
        self.running()
        self.lab.send('slurmctld', signal.SIGSTOP)
        self.add('true')
        done = self.update()
        self.assertIn('localhost: Slurm: ', done.err)
        self.go()
        # Results do not need the controller.
        self.until(lambda: self.ends()[1][0] == 'success')
        self.assertEqual(self.ends()[2][0], 'launching')
        self.assertIn('Slurm', self.lwt('task', 'why', '2').out)
        self.lab.send('slurmctld', signal.SIGCONT)
        self.until_state('success')
        self.assertEqual(self.starts(), ['000001.1', '000002.1'])

    def test_sets_of_nodes(self):
        self.env['SINFO_PARTITION'] = 'other'           # it must not matter
        for words, wanted in ((['@slurm:main'], 'n[1-3]'), (['@slurm:main,x!n2'], 'n[1,3],x'),
                              (['@slurm:main,@slurm:other', '-x', 'n1'], 'n[2-3]')):
            with self.subTest(words):
                done = self.lwt('hosts', '--fold', '-w', *words)
                self.assertEqual((done.code, done.out), (0, wanted + '\n'), done)
        for partition in ('nosuch', 'empty', '-x'):
            with self.subTest(partition):
                done = self.lwt('exec', '-w', '@slurm:' + partition, '--', 'true')
                self.assertEqual(done.code, 2, done)
                self.assertIn("lwt: '@slurm:%s': no such partition, or it has no nodes\n"
                              % partition, done.err)
        self.env['SLURM_CONF'] = self.path('missing')
        done = self.lwt('hosts', '-w', '@slurm:main')
        self.assertEqual(done.code, 2, done)
        self.assertIn("lwt: '@slurm:main': sinfo: ", done.err)
        self.env['SLURM_JOB_NODELIST'] = 'n[1-3]'
        self.assertEqual(self.lwt('hosts', '--fold', '-w', '@slurm!n1').out, 'n[2-3]\n')

    def test_probe_and_monitor_show_the_partition(self):
        self.make_workspace([LOGIN, ('127.0.0.1', 'local', '~')])
        self.fill()
        self.lab.run('sbatch', '--exclusive', '-N', '3', '--wrap', 'true', check=True)
        self.assertTrue(wait_for(lambda: [state for _id, state in self.lab.jobs()]
                                 == ['PENDING', 'RUNNING']), self.lab.jobs())
        text = 'localhost: Slurm partition main: 3 nodes (0 idle), 0 of 6 cpus free, 1 pending job'
        for command in ('probe', 'monitor'):
            with self.subTest(command):
                lines = self.lwt(command).out.splitlines()
                self.assertEqual([line for line in lines if 'Slurm' in line], [text])
                found = {told['host']: told for told in map(
                    json.loads, self.lwt(command, '--json').out.splitlines())}
                self.assertEqual(found['localhost']['slurm'], {
                    'partition': 'main', 'nodes': 3, 'idle_nodes': 0, 'cpus': 6, 'free_cpus': 0,
                    'pending_jobs': 1, 'problem': ''})
                self.assertNotIn('slurm', found['127.0.0.1'])

    def test_probe_and_monitor_say_what_is_wrong_with_slurm(self):
        self.make_workspace([LOGIN + ('partition=nosuch',)])
        self.assertIn('\nlocalhost: Slurm: no such partition: nosuch\n', self.lwt('monitor').out)
        self.make_workspace([LOGIN + ('partition=empty',)])
        self.assertIn('\nlocalhost: Slurm partition empty: 0 nodes (0 idle), 0 of 0 cpus free, '
                      '0 pending jobs\n', self.lwt('monitor').out)
        self.wrap('squeue', 'echo "squeue: error: it is\tbroken" >&2; exit 1')
        self.make_workspace([LOGIN])
        self.assertIn('\nlocalhost: Slurm: squeue: it is?broken\n', self.lwt('probe').out)
        self.wrap('timeout', 'shift 3; exec %s -k 1 0.2 "$@"' % shutil.which('timeout'))
        self.wrap('sinfo', 'exec sleep 60')
        done = self.lwt('probe')
        self.assertEqual(done.code, 0, done)
        self.assertIn('\nlocalhost: Slurm: sinfo: no answer within 10 s\n', done.out)

    def test_the_controller_is_killed_and_restarted(self):
        self.wrap('timeout', 'shift 3; exec %s -k 1 1 "$@"' % shutil.which('timeout'))
        self.fill()
        self.add('true')
        self.until(lambda: len(self.lab.jobs()) == 2)
        self.lab.stop('slurmctld')
        self.update()
        self.assertEqual(self.ends()[1][0], 'launching')
        self.lab.start('slurmctld')
        # It may have forgotten jobs that it had not saved; lwt then submits the task again.
        self.assertTrue(wait_for(lambda: self.lab.run('scancel', '--verbose', '--name=wrap')))
        self.until_state('success')
        self.assertEqual(self.starts(), ['000001.1'])


class LoginLab(lab.LoopbackLab):
    """A login node: sessions find the Slurm.  slurm: the SlurmLab."""

    slurm = None

    def more_for_sshd(self, name):
        return super().more_for_sshd(name).rstrip('\n') + ''.join(
            ' %s="%s"' % item for item in self.slurm.variables.items()) + '\n'


class Login(SlurmTestCase):
    """The login node is reached by ssh."""

    @classmethod
    def why_not(cls):
        return slurm_lab.why_not() or lab.why_not_sshd()

    def test_tasks_over_ssh(self):
        login = LoginLab(1)
        login.slurm = self.lab
        with login:
            self.env['LWT_SSH_CONFIG'] = login.ssh_config
            del self.env['SLURM_CONF']
            self.make_workspace([('h1', 'cluster', login.home('h1'), 'launcher=slurm')])
            self.add('echo $LWT_ARG', '--array', '1-5')
            done = self.lwt('task', 'run')
            self.assertEqual(done.code, 0, done)
            self.assertEqual(len(self.results()), 5)


class Lab(unittest.TestCase):
    """The lab itself."""

    def test_nothing_is_left(self):
        if slurm_lab.why_not():
            self.skipTest(slurm_lab.why_not())
        with slurm_lab.SlurmLab(1) as slurm:
            slurm.run('sbatch', '--output=/dev/null', '--wrap=sleep 600', check=True)
            self.assertTrue(wait_for(lambda: ('1', 'RUNNING') in slurm.jobs()))
        self.assertFalse(os.path.exists(slurm.directory))
        left = subprocess.run(['pgrep', '-f', slurm.directory], stdout=subprocess.PIPE)
        self.assertEqual(left.stdout, b'')
