"""Connections: limits of logins, one login for several steps, kept connections; and none of them
leaves anything behind.
"""

import contextlib
import os
import signal
import tempfile
import unittest

from lwt import ssh
from lwt.errors import Interrupted
from lwt.flow import AwaitEnd, Gate, Sleep, running
from lwt.proc import Command
from lwt.remote import login
from lwt.selectors_loop import Sink
from tests import lab
from tests.support import FAKE, MARK, LeakCheckedTestCase, ProgramTestCase, marked, wait_for
from tests.test_lab_hosts import LabTestCase

ENTER = 'echo + >> log; sleep 0.05; echo - >> log; '


class StartedByOutput(Sink):
    """Counts as started when anything was fed."""

    started = False

    def feed(self, _stream, _data):
        self.started = True


class EngineTestCase(LeakCheckedTestCase):
    """Runs flows with real children in a scratch directory."""

    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory(prefix='lwt-test.')
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name

    def command(self, text, **options):
        return Command(('/bin/sh', '-c', text), cwd=self.scratch,
                       env=dict(os.environ, **{MARK: self.mark}), **options)

    def most_inside(self):
        """Return the largest number of children that were between their + and their - at the same
        time; 0 if none came.
        """
        most = inside = 0
        with open(os.path.join(self.scratch, 'log')) as file:
            for line in file:
                inside += 1 if line == '+\n' else -1
                most = max(most, inside)
        self.assertEqual(inside, 0)
        return most

    def run_flows(self, flows, fanout=100):
        reports = []
        with running(fanout, 1.0) as run:
            for one in flows:
                run.pool.add(one, reports.append)
            run.run()
        return reports

    def one(self, command):
        return (yield command)

class Gates(EngineTestCase):
    """How many children are active at the same time."""

    def test_a_gate_lets_in_as_many_as_it_may_until_they_have_begun(self):
        gate = Gate(3)
        command = self.command(ENTER + 'echo begun; sleep 0.5', gate=gate)
        reports = self.run_flows(
            [self.one(command._replace(sink=StartedByOutput())) for _ in range(12)])
        self.assertEqual([report.status for report in reports], ['exited'] * 12)
        self.assertEqual((self.most_inside(), gate.inside, len(gate.waiting)), (3, 0, 0))

    def test_who_never_begins_is_on_the_way_until_the_end(self):
        gate = Gate(2)
        reports = self.run_flows(
            [self.one(self.command(ENTER + 'exit 255', gate=gate, sink=StartedByOutput()))
             for _ in range(6)])
        self.assertEqual([report.code for report in reports], [255] * 6)
        self.assertEqual((self.most_inside(), gate.inside), (2, 0))

    def test_nobody_waits_at_another_gate_or_for_a_slot_that_a_waiting_one_holds(self):
        closed = Gate(1)

        def flow(name, gate, condition):
            # Each begins on a condition. If one delayed another that it waits for, both would wait
            # for ever.
            text = 'until %s; do sleep 0.05; done; touch %s; echo' % (condition, name)
            return (yield self.command(text, gate=gate, sink=StartedByOutput())).code

        codes = self.run_flows([
            flow('first', closed, '[ -e other ] && [ -e none ]'),
            flow('second', closed, '[ -e first ] || exit 9'),
            flow('other', Gate(1), '[ ! -e second ] || exit 9'),
            flow('none', None, '[ ! -e second ] || exit 9')], fanout=2)
        self.assertEqual(codes, [0] * 4)

    def test_a_gate_narrows_down_to_one_and_lets_all_through(self):
        gate = Gate(4)
        for _ in range(9):
            gate.narrow()
        reports = self.run_flows(
            [self.one(self.command(ENTER + 'echo', gate=gate, sink=StartedByOutput()))
             for _ in range(8)])
        self.assertEqual(len(reports), 8)
        self.assertEqual((self.most_inside(), gate.limit), (1, 1))

    def test_those_behind_one_that_cannot_be_run_come_in(self):
        gate = Gate(1)
        reports = self.run_flows(
            [self.one(Command(('/nonexistent',), gate=gate)) for _ in range(5)])
        self.assertEqual([report.status for report in reports], ['unspawnable'] * 5)

    def test_an_interrupt_ends_those_that_wait(self):
        gate, told = Gate(1), []

        def flow(run):
            yield Sleep(0.2)
            run.interrupt(signal.SIGTERM)

        def waiting():
            try:
                yield self.command('sleep 60', gate=gate, sink=StartedByOutput())
            finally:
                told.append(1)

        with running(10, 1.0) as run:
            for one in [waiting(), waiting(), waiting(), flow(run)]:
                run.pool.add(one, lambda report: None)
            self.assertRaises(Interrupted, run.run)
        self.assertEqual((len(told), gate.inside), (3, 0))


class Background(EngineTestCase):
    """A child beside the steps of its flow."""

    def test_it_lives_beside_what_follows_and_holds_no_slot(self):
        def flow():
            child = yield self.command('echo begun; exec sleep 60', beside='background',
                                       sink=StartedByOutput())
            try:
                return (yield self.command('echo step')).stdout
            finally:
                child.kill()

        self.assertEqual(self.run_flows([flow(), flow(), flow()], fanout=1), [b'step\n'] * 3)

    def test_one_that_never_begins_is_a_result(self):
        def flow():
            return (yield self.command('exit 7', beside='background', sink=StartedByOutput()))

        self.assertEqual(self.run_flows([flow()])[0].code, 7)

    def test_one_that_dies_early_hurts_nobody(self):
        def flow():
            child = yield self.command('echo begun', beside='background', sink=StartedByOutput())
            yield self.command('sleep 0.3')
            child.kill()
            return 'done'

        self.assertEqual(self.run_flows([flow()]), ['done'])

    def test_what_has_not_begun_in_time_gets_no_grace(self):
        command = self.command('trap "echo TERM >> log" TERM; while :; do sleep 0.1; done',
                               hello=0.3, sink=StartedByOutput())
        self.assertEqual(self.run_flows([self.one(command._replace(grace=60.0))])[0].status,
                         'hello')
        self.assertEqual(os.listdir(self.scratch), [])

    def test_its_end_can_be_waited_for_before_and_after_it(self):
        def flow(pause):
            child = yield self.command('echo begun; sleep 0.2; exit 7', beside='background',
                                       sink=StartedByOutput())
            yield Sleep(pause)
            return (yield AwaitEnd(child)).code

        self.assertEqual(self.run_flows([flow(0), flow(0.5)], fanout=1), [7, 7])

    def test_what_is_tied_to_it_ends_with_it_only_when_it_fails(self):
        def flow(end, pause):
            child = yield self.command('echo begun; sleep 0.2; ' + end, beside='background',
                                       sink=StartedByOutput())
            yield Sleep(pause)
            return (yield self.command('sleep 0.6; echo whole; [ %s != "exit 7" ] || sleep 60'
                                       % repr(end), tied=child)).status

        self.assertEqual(self.run_flows([flow('exit 7', 0)]), ['over'])
        self.assertEqual(self.run_flows([flow('exit 7', 0.5)]), ['over'])
        self.assertEqual(self.run_flows([flow('exit 0', 0)]), ['exited'])

    def test_an_interrupt_reaches_who_waits_for_its_end(self):
        def flow(run):
            child = yield self.command('echo begun; exec sleep 60', beside='background',
                                       sink=StartedByOutput())
            run.loop.call_later(0.1, run.interrupt, signal.SIGTERM)
            try:
                yield AwaitEnd(child)
            finally:
                child.kill()

        with running(10, 1.0) as run:
            run.pool.add(flow(run), lambda report: None)
            self.assertRaises(Interrupted, run.run)

    def test_a_source_that_had_nothing_wakes_its_child(self):
        class Slow:
            parts = [None, b'one ', None, b'two', b'']

            def read(self, _size):
                if self.parts[0] is None:
                    run.loop.call_later(0.05, self.go_on)
                    return None
                return self.parts.pop(0)

            def go_on(self):
                # A source is asked again when its child answers, so this may be the second call.
                if self.parts[:1] == [None]:
                    self.parts.pop(0)
                    self.wake()

            def close(self):
                pass

        with running(1, 1.0) as run:
            self.assertEqual(run.report(self.one(Command(('cat',), source=Slow()))).stdout,
                             b'one two')

    def test_an_interrupt_ends_it_with_its_flow(self):
        def flow(run):
            child = yield self.command('echo begun; exec sleep 60', beside='background',
                                       sink=StartedByOutput())
            try:
                yield Sleep(0.1)
                run.interrupt(signal.SIGTERM)
                yield Sleep(60)
            finally:
                child.kill()

        with running(10, 1.0) as run:
            run.pool.add(flow(run), lambda report: None)
            self.assertRaises(Interrupted, run.run)


class SocketDirectory(unittest.TestCase):
    """The possible directories of the sockets."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix='lwt-test.', dir='/tmp')
        self.addCleanup(scratch.cleanup)
        self.runtime = scratch.name
        self.ours = os.path.join(self.runtime, 'lwt')
        self.fallback = '/tmp/lwt-%d' % os.getuid()

    def found(self):
        return login.sockets({'XDG_RUNTIME_DIR': self.runtime}, os.getuid()).directory

    def test_it_is_made_and_is_the_users_alone(self):
        self.assertEqual(self.found(), self.ours)
        self.assertEqual(os.stat(self.ours).st_mode & 0o777, 0o700)
        self.assertEqual(self.found(), self.ours)

    def test_R_15_a_link_or_one_that_others_may_enter_is_not_used(self):
        os.mkdir(self.ours)
        os.chmod(self.ours, 0o755)
        self.assertEqual(self.found(), self.fallback)
        os.rmdir(self.ours)
        os.symlink(tempfile.gettempdir(), self.ours)
        self.assertEqual(self.found(), self.fallback)

    def test_S_20_a_name_that_ssh_could_not_use_is_not_used(self):
        for name in ('x' * 60, 'a b', 'a%b'):
            with self.subTest(name=name):
                self.runtime = os.path.join(os.path.dirname(self.ours), name)
                os.mkdir(self.runtime)
                self.assertEqual(self.found(), self.fallback)
        path = ssh.kept_socket('/' + 'x' * (login.MAX_DIRECTORY - 1), '', 'host')
        self.assertEqual(len(path.replace('%C', 'c' * 40)), 90)

    def test_of_another_user_is_told(self):
        sockets = login.sockets({}, 4242)
        self.assertEqual(sockets.directory, '')
        self.assertIn('/tmp/lwt-4242', sockets.problem)

    def tearDown(self):
        with contextlib.suppress(OSError):
            os.rmdir('/tmp/lwt-4242')


class Ways(unittest.TestCase):
    """The output of ssh -G."""

    def test_hosts_of_one_address_or_jump_host_have_one_way(self):
        self.assertEqual(login.parse_ways(
            'asked a\nhostname 10.0.0.1\nport 22\nasked b\nport 22\nhostname 10.0.0.1\nproxyjump '
            'none\n'
            'asked c\nhostname 10.0.0.1\nport 23\nasked d\nhostname x\nproxyjump j,k\nport '
            '22\nasked e\n'),
            {'a': '10.0.0.1 port 22', 'b': '10.0.0.1 port 22', 'c': '10.0.0.1 port 23',
             'd': 'by j'})


class OnHosts(LabTestCase):
    """Real logins, counted by the packets that open a connection."""

    hosts = 2

    def setUp(self):
        super().setUp()
        runtime = tempfile.TemporaryDirectory(prefix='lwt-test.', dir='/tmp')
        self.addCleanup(runtime.cleanup)
        self.env['XDG_RUNTIME_DIR'] = runtime.name
        self.sockets = os.path.join(runtime.name, 'lwt')

    def tearDown(self):
        for pid in self.masters():
            os.kill(pid, signal.SIGTERM)
        super().tearDown()

    def masters(self):
        """Return the pids of the processes that serve a kept connection: their command line is its
        name.
        """
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError), open('/proc/%s/cmdline' % pid) as file:
                if file.read().startswith('ssh: ' + self.sockets):
                    found.append(int(pid))
        return found

    def logins(self, name, work):
        """Return how many connections to a host are opened during work()."""
        rule = ('INPUT', '-p', 'tcp', '--syn', '-m', 'comment', '--comment', 'logins')
        self.lab.inside(name, 'iptables', '-w', '-I', *rule)
        work()
        told = next(line for line in self.lab.inside(name, 'iptables', '-w', '-nvxL',
                                                     'INPUT').splitlines() if 'logins' in line)
        self.lab.inside(name, 'iptables', '-w', '-D', *rule)
        return int(told.split()[0])

    def run_kept(self, text='echo ran', *options):
        """Run a command on h1 with a kept connection; it must succeed, and print nothing but its
        output.
        """
        done = self.lwt('--set', 'persist=30', 'exec', *options, '-w', 'h1', '--', text)
        self.assertEqual((done.code, done.out, done.err), (0, 'ran\n', ''), done)

    def test_a_visit_is_one_login(self):
        self.make_lab_workspace(['h1'])
        self.describe('quick', 'exec : echo x > out\nd_fetch : out\n')
        self.lwt('task', 'add', 'quick', '--array', '1-2')
        self.assertEqual(self.logins('h1', lambda: self.lwt('task', 'update')), 1)
        self.assertTrue(wait_for(lambda: not self.lab.commands('h1')))
        self.assertEqual(self.logins('h1', lambda: self.lwt('task', 'update')), 1)
        self.assertEqual(len(self.results()), 2)
        self.assertEqual(os.listdir(self.sockets), [])

    def test_what_ssh_tells_of_many_hosts_is_remembered_until_its_configuration_changes(self):
        self.write('bin/ssh',
                   '#!/bin/sh\ncase " $* " in *" -G "*) echo asked >> "$FAKE_ROOT/asked" ;; esac\n'
                   'exec %s/ssh "$@"\n' % FAKE, 0o755)
        config = self.write('config', '')
        os.mkdir(self.path('fake'))
        env = dict(self.env, FAKE_ROOT=self.path('fake'),
                   PATH=self.path('bin') + ':' + self.env['PATH'], LWT_SSH_CONFIG=config)
        for hosts, stamp, asked in (('n[1-9]', 1, 9), ('n[1-9]', 1, 9), ('n[1-11]', 1, 11),
                                    ('n[1-8]', 1, 11),
                                    ('n[1-9]', 2000000000 * 10, 20)):
            os.utime(config, (stamp, stamp))
            self.assertEqual(self.lwt('exec', '-w', hosts, '--', 'true', env=env).code, 0)
            self.assertEqual(len(self.read('fake', 'asked').split()), asked, hosts)

    def test_a_kept_connection_serves_the_next_run_and_holds_nothing_of_ours(self):
        self.assertEqual(self.logins('h1', self.run_kept), 1)
        self.assertEqual(self.logins('h1', self.run_kept), 0)
        master, = self.masters()
        self.assertEqual([os.readlink('/proc/%d/fd/%d' % (master, fd)) for fd in range(3)],
                         ['/dev/null'] * 3)
        self.write('file', 'x')
        self.assertEqual(self.logins(
            'h1', lambda: self.lwt('--set', 'persist=30', 'put', '-w', 'h1', 'file', '/tmp/')), 0)
        self.assertEqual(
            self.logins('h1', lambda: self.lwt('exec', '-w', 'h1', '--', 'rm /tmp/file')), 1)

    def test_N_9_a_kept_connection_that_is_gone_is_made_anew(self):
        self.run_kept()
        os.kill(self.masters()[0], signal.SIGKILL)  # leaves a socket on which nothing listens
        self.assertTrue(wait_for(lambda: not self.masters()))
        self.assertEqual(self.logins('h1', self.run_kept), 1)
        self.lab.kill_sessions('h1')
        self.assertTrue(wait_for(lambda: not self.masters()))
        self.assertEqual(self.logins('h1', self.run_kept), 1)

    def test_N_9_a_kept_connection_that_has_fallen_silent_is_replaced_within_the_hello_timeout(
            self):
        self.run_kept('echo ran', '--hello-timeout', '3')
        for pid in self.lab.pids('h1'):
            os.kill(pid, signal.SIGSTOP)
        try:
            self.assertEqual(
                self.logins('h1', lambda: self.run_kept('echo ran', '--hello-timeout', '3')), 1)
        finally:
            for pid in self.lab.pids('h1'):
                os.kill(pid, signal.SIGCONT)

    def test_N_9_a_host_that_is_gone_with_its_kept_connection_is_a_time_out(self):
        self.run_kept()
        self.lab.black_hole('h1')
        done = self.lwt('--set', 'persist=30', 'exec', '-t', '1', '--hello-timeout', '1', '-w',
                        'h1', '--', 'echo no')
        self.assertEqual((done.code, done.out, done.err),
                         (3, '', 'lwt: h1: unreachable (no answer in 2 s)\n'))

    def test_kill_9_and_interrupts_in_a_visit_leave_no_connection(self):
        self.make_lab_workspace(['h1'])
        self.describe('quick', 'exec : true\n')
        self.lwt('task', 'add', 'quick')
        for signum in (signal.SIGKILL, signal.SIGTERM):
            with self.subTest(signum=signum):
                popen = self.start('--set', 'grace=1', 'task', 'update')
                self.assertTrue(wait_for(lambda: self.lab.pids('h1')))
                self.lab.black_hole('h1')
                popen.send_signal(signum)
                popen.communicate(timeout=30)
                self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))
                self.assertEqual(os.listdir(self.sockets), [])
                self.lab.heal('h1')
        self.assertTrue(wait_for(lambda: not self.lab.pids('h1')),
                        'sshd waits for who does not come back')


class CrowdedHosts(ProgramTestCase):
    """An sshd that accepts few connections."""

    def setUp(self):
        super().setUp()
        reason = lab.why_not_sshd()
        if reason:
            self.skipTest(reason)
        self.env['XDG_RUNTIME_DIR'] = self.scratch

    def test_N_7_forty_names_of_a_host_with_room_for_two_logins_are_all_served(self):
        with lab.LoopbackLab(1, max_startups='2:100:3') as one:
            names = ['n%d' % number for number in range(40)]
            with open(one.ssh_config) as file:
                config = file.read().replace('Host h1\n', 'Host %s\n' % ' '.join(names))
            env = dict(self.env, LWT_SSH_CONFIG=self.write('ssh_config', config))
            done = self.lwt('exec', '-w', 'n[0-39]', '--', 'echo ran', env=env, timeout=180)
        self.assertEqual(sorted(done.out.split('\n')[:-1]),
                         sorted('%s: ran' % name for name in names))
        self.assertEqual((done.code, done.err), (0, ''))

    def test_N_8_a_host_that_lets_one_session_in_serves_the_others_by_logins_of_their_own(self):
        with lab.LoopbackLab(1, max_startups='100\nMaxSessions 1') as one:
            words = ('--set', 'persist=5', 'exec', '-w', 'h1', '--')
            env = dict(self.env, LWT_SSH_CONFIG=one.ssh_config)
            popen = self.start(*(words + ('echo begun; sleep 2',)), env=env)
            self.assertEqual(popen.stdout.readline(), b'begun\n')
            done = self.lwt(*(words + ('echo ran',)), env=env)
            self.assertEqual((done.code, done.out, done.err), (0, 'ran\n', ''))
            self.assertEqual(popen.communicate(timeout=30), (b'', b''))
            self.assertEqual(popen.returncode, 0)


if __name__ == '__main__':
    unittest.main()
