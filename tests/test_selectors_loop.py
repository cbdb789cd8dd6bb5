"""The loop: timers, readers, children and signals; it restores everything."""

import os
import selectors
import signal
import subprocess
import unittest
from unittest import mock

from lwt.selectors_loop import Loop, SLEPT
from tests.support import LeakCheckedTestCase


class Clock:
    """A clock that a test advances."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class TimersAndReaders(LeakCheckedTestCase):
    """What the loop waits for, and what ends a run."""

    def test_timers_fire_in_the_order_of_their_times_and_not_when_cancelled(self):
        fired = []
        with Loop() as loop:
            loop.call_later(0.03, fired.append, 'third')
            loop.call_later(0.01, fired.append, 'first')
            loop.call_later(0.02, fired.append, 'never').cancel()
            loop.call_later(0.02, fired.append, 'second')
            loop.run()
        self.assertEqual(fired, ['first', 'second', 'third'])

    def test_a_timer_that_another_one_cancels_in_the_same_turn_does_not_fire(self):
        clock, fired = Clock(), []
        with Loop(clock) as loop:
            timers = []
            loop.call_later(0, lambda: timers[0].cancel())
            timers.append(loop.call_later(0, fired.append, 'no'))
            loop.run()
        self.assertEqual(fired, [])

    def test_K_18_a_gap_in_which_lwt_was_stopped_moves_the_deadlines(self):
        clock, seen, gaps = Clock(), [], []
        with Loop(clock) as loop:
            select = loop._selector.select

            def slept(timeout):
                clock.now += max(0, timeout)
                if timeout > 0 and not gaps:
                    gaps.append(60)
                    clock.now += SLEPT + 60
                return select(0)
            loop._selector = mock.Mock(wraps=loop._selector, select=slept)
            loop.call_later(1, lambda: seen.append(loop.time()))
            loop.run()
        self.assertLess(seen[0], 100.0 + 3)

    def test_where_there_is_no_epoll_something_else_stands_in(self):
        ours, theirs = os.pipe()
        heard = []
        with mock.patch.object(selectors, 'DefaultSelector',
                               selectors.SelectSelector), Loop() as loop:
            loop.add_reader(ours, lambda: (heard.append(os.read(ours, 10)), loop.remove(ours)))
            loop.add_writer(theirs, lambda: (os.write(theirs, b'x'), loop.remove(theirs)))
            loop.run()
        os.close(ours)
        os.close(theirs)
        self.assertEqual(heard, [b'x'])

    def test_run_ends_when_nothing_is_pending(self):
        with Loop() as loop:
            loop.run()

    def test_a_regular_file_can_be_read_though_epoll_refuses_it(self):
        got = []
        with open(__file__, 'rb') as file, Loop() as loop:
            def read():
                data = os.read(file.fileno(), 1 << 16)
                got.append(data)
                if not data:
                    loop.remove(file.fileno())
            loop.add_reader(file.fileno(), read)
            loop.run()
        with open(__file__, 'rb') as file:
            self.assertEqual(b''.join(got), file.read())

    def test_an_event_of_a_descriptor_that_was_removed_in_the_same_batch_is_dropped(self):
        pipes = [os.pipe(), os.pipe()]
        calls = []
        with Loop() as loop:
            def first_come(mine, other):
                calls.append(mine)
                loop.remove(mine)
                loop.remove(other)
            (r1, w1), (r2, w2) = pipes
            os.write(w1, b'x')
            os.write(w2, b'x')
            loop.add_reader(r1, lambda: first_come(r1, r2))
            loop.add_reader(r2, lambda: first_come(r2, r1))
            loop.run()
        for fd in (r1, w1, r2, w2):
            os.close(fd)
        self.assertEqual(len(calls), 1)


class SignalsAndChildren(LeakCheckedTestCase):
    """The self-pipe."""

    def test_a_signal_reaches_its_callback_and_the_old_handler_comes_back(self):
        got, before = [], signal.getsignal(signal.SIGTERM)
        with Loop() as loop:
            loop.on_signal(signal.SIGTERM, got.append)
            loop.call_soon(os.kill, os.getpid(), signal.SIGTERM)
            loop.call_later(0.05, lambda: None)
            loop.run()
        self.assertEqual(got, [signal.SIGTERM])
        self.assertIs(signal.getsignal(signal.SIGTERM), before)

    def test_what_was_ignored_stays_ignored(self):
        old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with Loop() as loop:
                loop.on_signal(signal.SIGHUP, self.fail)
                os.kill(os.getpid(), signal.SIGHUP)
                loop.call_later(0.02, lambda: None)
                loop.run()
                self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)
        finally:
            signal.signal(signal.SIGHUP, old)

    def test_a_storm_of_signals_fills_the_pipe_and_loses_no_child(self):
        ended = []
        with Loop() as loop:
            child = subprocess.Popen(['sleep', '0.2'])
            for _ in range(100000):
                os.kill(os.getpid(), signal.SIGCHLD)
            loop.watch(
                child, lambda: child.poll() is not None, lambda: ended.append(child.returncode))
            loop.run()
        self.assertEqual(ended, [0])

    def test_a_child_that_ended_before_it_was_watched_is_noticed(self):
        ended = []
        with Loop() as loop:
            child = subprocess.Popen(['true'])
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            loop.watch(
                child, lambda: child.poll() is not None, lambda: ended.append(child.returncode))
            loop.run()
        self.assertEqual(ended, [0])


if __name__ == '__main__':
    unittest.main()
