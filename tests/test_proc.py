"""Real children: their ends, their pipes, their deaths, and nothing left of them."""

import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from lwt import proc, procfs
from lwt.errors import Cancelled, Interrupted
from lwt.flow import Sleep, running
from lwt.proc import Command
from lwt.selectors_loop import Sink
from tests.support import MARK, ROOT, LeakCheckedTestCase, marked, wait_for


def shell(text, **options):
    """Return a Command for sh -c."""
    return Command(('/bin/sh', '-c', text), **options)


def one(command):
    """Flow: a single command."""
    return (yield command)


class ProcessTestCase(LeakCheckedTestCase):
    """Runs commands and returns their results."""

    def run_all(self, commands, fanout=100, grace=1.0):
        results = [None] * len(commands)
        with running(fanout, grace) as run:
            for number, command in enumerate(commands):
                command = command._replace(env=dict(os.environ, **{MARK: self.mark}))
                run.pool.add(
                    one(command), lambda result, number=number: results.__setitem__(number, result))
            run.run()
        return results

    def run_one(self, command):
        return self.run_all([command])[0]


class Ends(ProcessTestCase):
    """How children end, and what is reported about it."""

    def test_what_was_said_last_is_read_however_long_the_reader_of_ours_is_busy(self):
        command = shell('{ sleep 0.2; echo late; } &', drain=0.5,
                        env=dict(os.environ, **{MARK: self.mark}))
        with running(1, 1.0) as run:
            run.loop.call_later(0.1, run.pool.pause)
            run.loop.call_later(1.5, run.pool.resume)
            result = run.report(one(command))
        self.assertEqual((result.stdout, result.incomplete), (b'late\n', False))

    def test_exit_codes_and_signals_are_told_apart(self):
        results = self.run_all(
            [shell('exit 0'), shell('exit 7'), shell('kill -TERM $$'), shell('kill -KILL $$')])
        self.assertEqual([(r.status, r.code) for r in results],
                         [('exited', 0), ('exited', 7), ('signaled', 15), ('signaled', 9)])

    def test_K_20_what_cannot_be_run_is_a_result(self):
        with tempfile.TemporaryDirectory() as scratch:
            plain = os.path.join(scratch, 'plain')
            open(plain, 'w').close()
            results = self.run_all([Command(('/nonexistent/program',)), Command((plain,))])
        self.assertEqual([r.status for r in results], ['unspawnable', 'unspawnable'])
        self.assertIn(b'No such file', results[0].stderr)
        self.assertIn(b'Permission denied', results[1].stderr)

    def test_a_descriptor_of_the_embedding_program_stays_inheritable_and_no_child_gets_it(self):
        ours, theirs = os.pipe()
        os.set_inheritable(theirs, True)
        result = self.run_one(shell('ls -l /dev/fd/ | grep -c "pipe:"'))
        self.assertTrue(os.get_inheritable(theirs))
        os.close(ours)
        os.close(theirs)
        self.assertEqual(result.stdout, b'2\n')

    def test_the_end_of_a_child_that_the_embedding_program_reaped_is_unknown(self):
        results = []
        with running(5, 1.0) as run:
            for text in ('sleep 0.3; exit 0', 'sleep 0.3; kill -TERM $$'):
                run.pool.add(one(shell(text)), results.append)
            run.loop.call_later(0.1, lambda: [os.waitpid(-1, 0) for _child in range(2)])
            run.loop.call_later(0.2, lambda: run.pool.add(one(shell('exit 3')), results.append))
            run.run()
        self.assertEqual(sorted((result.status, result.code) for result in results),
                         [('exited', 3), ('unknown', 0), ('unknown', 0)])
        self.assertFalse(any(result.ok for result in results))

    def test_the_guard_is_replaced_though_the_embedding_program_reaped_it(self):
        with running(5, 0.5) as run:
            def kill_and_reap():
                os.kill(run._guard._popen.pid, signal.SIGKILL)
                os.waitpid(run._guard._popen.pid, 0)

            run.loop.call_later(0.2, kill_and_reap)
            result = run.report(one(shell('sleep 0.6; exit 3')))
            self.assertIsNone(procfs.exit_of(run._guard._popen))
        self.assertEqual((result.status, result.code), ('exited', 3))

    def test_K_14_a_child_that_closes_its_output_and_lives_is_not_done(self):
        result = self.run_one(shell('exec >&- 2>&-; sleep 0.3; exit 4'))
        self.assertEqual((result.status, result.code), ('exited', 4))
        self.assertGreaterEqual(result.elapsed, 0.3)

    def test_K_11_a_grandchild_that_holds_the_pipe_holds_up_no_result(self):
        result = self.run_one(shell('echo said; sleep 3 & exit 5', drain=0.2))
        self.assertEqual((result.status, result.code, result.stdout), ('exited', 5, b'said\n'))
        self.assertTrue(result.incomplete)
        self.assertLess(result.elapsed, 2.5)

    def test_what_has_told_its_end_in_time_is_no_time_out_though_it_is_held_open(self):
        class Told(Sink):
            def feed(self, _stream, _data):
                self.ended = True

        result = self.run_one(shell('echo; sleep 60', timeout=3.0, drain=4.0, sink=Told()))
        self.assertEqual(result.status, 'over')

    def test_K_17_five_hundred_that_die_at_once_are_all_reaped(self):
        with tempfile.TemporaryDirectory() as scratch:
            fifo = os.path.join(scratch, 'go')
            os.mkfifo(fifo)
            gate = os.open(fifo, os.O_RDWR)
            results = []
            with running(500, 1.0) as run:
                for number in range(500):
                    run.pool.add(one(shell('read x < %s; exit %d' % (fifo, number % 100))),
                                 results.append)
                run.loop.call_later(1.0, os.write, gate, b'\n' * 500)
                run.run()
            os.close(gate)
        self.assertEqual(sorted(r.code for r in results),
                         sorted(number % 100 for number in range(500)))

    def test_K_16_an_inherited_ignored_sigchld_and_a_blocked_mask_change_nothing(self):
        program = (
            'import signal, sys\n'
            'from lwt.flow import running\n'
            'from lwt.proc import Command\n'
            'signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n'
            'signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])\n'
            'def one(c):\n    return (yield c)\n'
            'got = []\n'
            'with running(3, 1) as run:\n'
            '    run.pool.add(one(Command(("sh", "-c", "exit 7"))), got.append)\n'
            '    run.pool.add(one(Command(("sleep", "60"), timeout=0.3)), got.append)\n'
            '    run.run()\n'
            'print(sorted((r.status, r.code) for r in got))\n')
        done = subprocess.run([sys.executable, '-c', program], stdout=subprocess.PIPE,
                              env=dict(os.environ, PYTHONPATH=ROOT),
                              timeout=30)
        self.assertEqual(done.stdout.decode().strip(), "[('exited', 7), ('timeout', 15)]")


class Answering:
    """A source that has nothing until it was asked twice."""

    def __init__(self):
        self._parts = [None, b'first\n', b'second', b'']

    def read(self, _size):
        """Return the next part."""
        return self._parts.pop(0)

    def close(self):
        """It has no file."""


class Pipes(ProcessTestCase):
    """Bytes in and out."""

    def test_a_megabyte_goes_through_both_ways(self):
        data = bytes(range(256)) * 4096
        result = self.run_one(shell('cat', stdin=data))
        self.assertEqual(result.stdout, data)

    def test_a_file_is_fed_after_the_bytes(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b'from the file\n' * 50000)
            file.flush()
            result = self.run_one(shell('cat | { read first; echo "$first"; wc -l; }',
                                        stdin=b'first\n', stdin_path=file.name))
        self.assertEqual(result.stdout.split(), [b'first', b'50000'])

    def test_a_source_that_waits_for_the_childs_answer_is_asked_again(self):
        result = self.run_one(
            shell('sleep 0.2; echo ready; read line; echo "got $line"; cat', source=Answering()))
        self.assertEqual((result.status, result.stdout), ('exited', b'ready\ngot first\nsecond'))

    def test_a_rate_holds_back_both_directions_and_loses_nothing(self):
        data = bytes(range(256)) * 400
        result = self.run_one(shell('cat', stdin=data, rate=100000.0))
        self.assertEqual(result.stdout, data)
        self.assertGreater(result.elapsed, 0.7)

    def test_a_rate_does_not_cut_what_a_dead_child_has_left(self):
        result = self.run_one(shell('head -c 60000 /dev/zero', rate=20000.0, drain=0.5))
        self.assertEqual((len(result.stdout), result.incomplete), (60000, False))

    def test_without_input_a_child_reads_nothing_of_ours(self):
        self.assertEqual(self.run_one(shell('wc -c')).stdout.strip(), b'0')

    def test_a_child_that_wants_no_input_is_no_error(self):
        self.assertTrue(self.run_one(shell('exec <&-; sleep 0.1', stdin=b'x' * 300000)).ok)

    def test_output_beyond_the_limit_is_dropped_and_said(self):
        result = self.run_one(shell('head -c 100000 /dev/zero', limit=1000))
        self.assertEqual((len(result.stdout), result.truncated), (1000, True))

    def test_K_15_a_flood_does_not_grow_memory_nor_keep_a_neighbour_waiting(self):
        class Counter(Sink):
            count = 0

            def feed(self, _stream, data):
                self.count += len(data)

        counter = Counter()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        flood, neighbour = self.run_all(
            [shell('head -c 300000000 /dev/zero', sink=counter), shell('echo quick')])
        self.assertEqual(counter.count, 300000000)
        self.assertLess(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, 10240)
        self.assertLess(neighbour.elapsed, flood.elapsed + 1)

    def test_a_paused_child_is_held_back_by_its_pipe_and_loses_nothing(self):
        got = []
        with running(5, 1.0) as run:
            run.pool.add(one(shell('head -c 1000000 /dev/zero')), got.append)
            run.loop.call_soon(run.pool.pause)
            run.loop.call_later(0.3, lambda: (self.assertEqual(got, []), run.pool.resume()))
            run.run()
        self.assertEqual(len(got[0].stdout), 1000000)


class Deaths(ProcessTestCase):
    """Timeouts and kills: the cause is recorded, and no process survives."""

    ZOO = {
        'plain grandchildren': 'sleep 9901 & sleep 9902 & sleep 9903',
        'TERM ignored': 'trap "" TERM; sleep 9904 & sleep 9905',
        'stopped': 'sleep 9906 & kill -STOP $$',
        'leader gone on TERM, grandchild ignores it': '(trap "" TERM; sleep 9907) & sleep 9908',
        'nohup': 'nohup sleep 9909 >/dev/null 2>&1 & sleep 9910',
        'output closed': 'exec >&- 2>&-; sleep 9911',
    }

    def test_K_1_a_time_out_ends_all_of_each_kind(self):
        results = self.run_all([shell(text, timeout=0.5, grace=0.5) for text in self.ZOO.values()])
        for kind, result in zip(self.ZOO, results):
            with self.subTest(kind=kind):
                self.assertEqual(result.status, 'timeout')
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    def test_K_12_an_exit_0_because_of_a_term_is_a_time_out(self):
        result = self.run_one(shell('trap "exit 0" TERM; sleep 60 & wait', timeout=0.2))
        self.assertEqual((result.status, result.code), ('timeout', 0))
        self.assertFalse(result.ok)

    def test_K_13_what_is_printed_after_term_is_kept(self):
        result = self.run_one(
            shell('trap "echo last words; exit 1" TERM; sleep 60 & wait', timeout=0.2))
        self.assertEqual(result.stdout, b'last words\n')

    def test_a_stream_that_moves_no_byte_is_cut(self):
        results = self.run_all([shell('echo a; sleep 60', stall=0.3),
                                shell('for i in 1 2 3 4 5 6; do echo $i; sleep 0.4; done',
                                      stall=2.0)])
        self.assertEqual([r.status for r in results], ['stalled', 'exited'])

    def test_a_lifeline_is_fed_heartbeats_and_closed_first(self):
        result = self.run_one(shell(
            'n=0; while read -r x; do n=$((n + 1)); done; echo $n beats; exit 3', lifeline=0.1,
            timeout=0.55))
        self.assertEqual((result.status, result.code), ('timeout', 3))
        self.assertIn(result.stdout, [b'%d beats\n' % count for count in range(1, 6)])

    def test_timers_that_fired_are_not_kept_as_long_as_the_child_lives(self):
        with running(1, 1.0) as run:
            run.pool.add(one(shell('sleep 1; exit 0', lifeline=0.01)), lambda _result: None)
            kept = []
            run.loop.call_later(
                0.8, lambda: kept.extend(len(child._timers) for child in run.pool._children))
            run.run()
        self.assertEqual(len(kept), 1)
        self.assertLess(kept[0], 5)

    def test_one_look_at_proc_serves_all_that_are_killed_at_once(self):
        looks, processes, results = [], procfs.processes, []

        def looking():
            looks.append(None)
            return processes()

        with mock.patch.object(procfs, 'processes', looking), running(60, 1.0) as run:
            for _child in range(60):
                command = shell('trap "" TERM; setsid sleep 9914 & exec sleep 9915', grace=0.5)
                run.pool.add(one(command._replace(env=dict(os.environ, **{MARK: self.mark}))),
                             results.append)
            run.loop.call_later(1.5, run.interrupt, signal.SIGTERM)
            with self.assertRaises(Interrupted):
                run.run()
        self.assertEqual([result.status for result in results], ['cancelled'] * 60)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))
        self.assertLess(len(looks), 60)

    def test_cancel_stops_what_runs_and_starts_nothing_more(self):
        reports, late = [], []

        def waits():
            try:
                yield Sleep(60)
            except Cancelled:
                result = yield shell('echo clean-up')
                return result.stdout

        with running(1, 1.0) as run:
            run.pool.add(one(shell('sleep 60')), reports.append)
            run.pool.add(one(shell('echo never')), late.append)
            run.pool.add(waits(), reports.append)
            run.loop.call_later(0.2, run.interrupt, signal.SIGTERM)
            with self.assertRaises(Interrupted) as caught:
                run.run()
        self.assertEqual(caught.exception.exit_code, 143)
        self.assertIsInstance(late[0], Cancelled)
        self.assertEqual(sorted(str(getattr(r, 'status', r)) for r in reports),
                         ["b'clean-up\\n'", 'cancelled'])

    def test_a_second_interrupt_does_not_wait_for_the_grace(self):
        results = []
        with running(2, 60.0) as run:
            run.pool.add(one(shell('trap "" TERM; sleep 9912 & sleep 9913', grace=60.0)),
                         results.append)
            run.loop.call_later(0.3, run.interrupt, signal.SIGINT)
            run.loop.call_later(0.5, run.interrupt, signal.SIGINT)
            with self.assertRaises(Interrupted):
                run.run()
        self.assertEqual(results[0].status, 'cancelled')
        self.assertLess(results[0].elapsed, 20)


class TheGuard(ProcessTestCase):
    """Processes that outlive a kill -9 of lwt."""

    PROGRAM = (
        'import os, sys\n'
        'from lwt.flow import running\n'
        'from lwt.proc import Command\n'
        'def one(c):\n    return (yield c)\n'
        'with running(5, 0.5) as run:\n'
        '    for n in range(3):\n'
        '        run.pool.add(one(Command(("sh", "-c", "trap \\"\\" TERM; sleep 992%d & sleep '
        '993%d" % (n, n)))), print)\n'
        '    run.loop.call_later(0.5, lambda: (print("up"), sys.stdout.flush()))\n'
        '    run.run()\n')

    def start(self):
        popen = subprocess.Popen([sys.executable, '-c', self.PROGRAM], stdout=subprocess.PIPE,
                                 env=dict(os.environ, PYTHONPATH=ROOT, **{MARK: self.mark}))
        self.assertEqual(popen.stdout.readline(), b'up\n')
        return popen

    def guard(self):
        return next(pid for pid, words in marked(self.mark).items() if 'lwt-guard' in words)

    def test_kill_9_of_lwt_leaves_nothing(self):
        popen = self.start()
        self.assertTrue(wait_for(lambda: len(marked(self.mark)) >= 8))
        popen.kill()
        popen.communicate()
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    def test_X_4_a_guard_that_is_killed_is_started_anew(self):
        with running(5, 0.5) as run:
            results = []
            for _ in range(3):
                run.pool.add(one(shell('sleep 0.6', env=dict(os.environ, **{MARK: self.mark}))),
                             results.append)
            run.loop.call_later(0.2, lambda: os.kill(run._guard._popen.pid, signal.SIGKILL))
            run.loop.call_later(0.4, lambda: run.pool.add(one(shell('exit 3')), results.append))
            run.run()
            self.assertIsNone(run._guard._popen.poll())
        self.assertEqual(sorted(r.code for r in results), [0, 0, 0, 3])


class Shortage(ProcessTestCase):
    """The limit of processes is reached."""

    def test_L_8_a_spawn_that_fails_for_want_of_descriptors_waits_and_loses_no_command(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        results = []
        with running(60, 1.0) as run:
            resource.setrlimit(resource.RLIMIT_NOFILE,
                               (len(os.listdir('/proc/self/fd')) + 24, hard))
            try:
                for number in range(60):
                    run.pool.add(one(shell('sleep 0.05; exit %d' % number)), results.append)
                run.run()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(sorted(r.code for r in results), list(range(60)))

    def test_L_8_a_fork_that_fails_waits_and_loses_no_command(self):
        fork, failures, results = proc.start_process, [errno.EAGAIN, errno.ENOMEM] * 2, []

        def failing(*args):             # also that of the guard
            if failures:
                raise OSError(failures.pop(), 'no room')
            return fork(*args)
        with mock.patch('lwt.proc.start_process', failing), running(3, 1.0) as run:
            for _ in range(6):
                run.pool.add(one(shell('exit 1')), results.append)
            run.run()
        self.assertEqual([(result.status, result.code) for result in results], [('exited', 1)] * 6)
        self.assertEqual(failures, [])

    def test_L_8_a_guard_that_finds_no_descriptor_leaves_none_open(self):
        with running(3, 1.0) as run:
            before = os.listdir('/proc/self/fd')
            with mock.patch('lwt.proc.os.open',
                            side_effect=OSError(errno.EMFILE, 'Too many open files')):
                self.assertRaises(OSError, run._guard.start)
            self.assertEqual(os.listdir('/proc/self/fd'), before)

    def test_an_idle_wait_for_a_hundred_children_uses_no_cpu_tick(self):
        used = []

        def cpu():
            usage = resource.getrusage(resource.RUSAGE_SELF)
            used.append(usage.ru_utime + usage.ru_stime)

        with running(100, 1.0) as run:
            for _ in range(100):
                run.pool.add(one(Command(('sleep', '3'))), lambda _result: None)
            run.loop.call_later(1.0, cpu)
            run.loop.call_later(2.5, cpu)
            run.run()
        self.assertLess(used[1] - used[0], 0.01)


if __name__ == '__main__':
    unittest.main()
