"""Workflows driven by hand: what they yield, and how they use each Result. No process is started.
"""

import contextlib
import os
import subprocess
import tempfile
import unittest
from types import SimpleNamespace

from lwt import flow, ssh
from lwt.errors import Cancelled, HostError, LwtError
from lwt.flow import Sleep
from lwt.hosts import sample
from lwt.proc import Command, Result
from lwt.remote import call, exit_status, host_limits
from lwt.tasks import visit, visit_answers
from lwt.workspace import config
from lwt.workspace.hostlist import Host

HOST = Host('h')
SETTINGS = config.load(None, {}, ())
DROPPED = b'kex_exchange_identification: Connection closed by remote host\r\n'


def session():
    """Return a Session whose nonces are n1, n2..."""
    numbers = iter(range(1, 100))
    return call.Session(SETTINGS, ssh.Transport('/usr/bin/ssh', '/usr/bin/scp'), lambda: 'n%d'
                        % next(numbers))


def drive(generator, answers):
    """Run a flow with these answers, one for each request; return (its report, its requests).

    An answer is a function that takes the request and returns the Result, or an exception to throw,
    or None. Work on this machine runs at once, and does not count as a request.
    """
    requests, waiting = [], list(answers)
    try:
        step = next(generator)
        while True:
            if isinstance(step, Command) and step.is_local:
                step = generator.send(_run(step))
                continue
            requests.append(step)
            answer = waiting.pop(0) if not isinstance(step, Sleep) else None
            answer = answer(step) if callable(answer) else answer
            step = (generator.throw(answer) if isinstance(answer, BaseException)
                    else generator.send(answer))
    except StopIteration as stop:
        assert not waiting, 'answers that nobody asked for: %r' % waiting
        return stop.value, requests


def _run(command):
    """Return the Result of a Command that works on this machine."""
    done = subprocess.run(command.argv, input=command.stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    return Result(command, 'exited', done.returncode, done.stdout, done.stderr)


def says(stdout=b'', code=0, stderr=b''):
    """The answer of a script that ran to its end."""
    def answer(command):
        mark = b'\036' + command.sink.nonce.encode()
        for stream, data in (('stdout', stdout), ('stderr', stderr)):
            command.sink.feed(stream, mark + b' begin\n' + data + mark + b' end %d\n' % code)
        return Result(command, 'exited', code)
    return answer


def unreached(text=b'ssh: connect to host h port 22: Connection refused\r\n'):
    """The answer of an ssh that could not connect."""
    def answer(command):
        command.sink.feed('stderr', text)
        return Result(command, 'exited', 255)
    return answer


class Helpers(unittest.TestCase):
    """must and retry."""

    def test_must_returns_what_ended_well(self):
        command = Command(('x',))
        result, requests = drive(flow.must(command),
                                 [lambda asked: Result(asked, 'exited', 0, b'out')])
        self.assertEqual((result.stdout, requests), (b'out', [command]))

    def test_must_raises_for_every_other_end(self):
        for status, code in (('exited', 1), ('signaled', 9), ('timeout', 0), ('cancelled', 0),
                             ('unspawnable', 2)):
            with self.subTest(status=status), self.assertRaises(LwtError) as caught:
                drive(flow.must(Command(('x',), label='h')),
                      [lambda asked: Result(asked, status, code)])
            self.assertEqual(caught.exception.message, 'h: %s %d' % (status, code))

    def test_retry_goes_on_while_it_is_worth_it_and_waits_about_twice_as_long_each_time(self):
        for reports, sleeps in (([True], []), ([False, True], [1.0]),
                                ([False, False, False, False], [1.0, 2.0, 4.0])):
            with self.subTest(reports=reports):
                left = iter(reports)

                def make():
                    yield Command(('x',))
                    return next(left)

                report, requests = drive(flow.retry(make, lambda report: not report, 4, 1.0),
                                         [None] * len(reports))
                self.assertEqual(report, reports[-1])
                waited = [request.seconds for request in requests if isinstance(request, Sleep)]
                self.assertEqual(len(waited), len(sleeps))
                for seconds, about in zip(waited, sleeps):
                    self.assertTrue(0.75 * about <= seconds <= 1.25 * about, waited)

    def test_retry_without_an_attempt_is_a_mistake(self):
        self.assertRaises(ValueError, drive, flow.retry(lambda: iter(()), bool, 0), [])


class Calls(unittest.TestCase):
    """One call on a host."""

    def test_an_answer_has_the_verdict_and_both_streams(self):
        answer, requests = drive(call.script(session(), HOST, 'put', ['~']),
                                 [says(b'1 2 /x\n', 0, b'hm')])
        self.assertEqual((answer.verdict, answer.lines, answer.stderr),
                         (exit_status.Verdict('ok', 0), ['1 2 /x'], b'hm'))
        self.assertEqual(len(requests), 1)

    def test_N_7_a_dropped_login_is_tried_again_after_a_while_with_another_nonce(self):
        answer, requests = drive(call.script(session(), HOST, 'put', ['~']),
                                 [unreached(DROPPED), unreached(DROPPED), says(b'x')])
        self.assertEqual((answer.verdict.kind, answer.stdout), ('ok', b'x'))
        self.assertEqual([type(request) for request in requests],
                         [Command, Sleep, Command, Sleep, Command])
        self.assertEqual([request.sink.nonce for request in requests[::2]], ['n1', 'n2', 'n3'])
        for attempt, sleep in enumerate(requests[1::2]):
            self.assertTrue(0.5 <= sleep.seconds / (call.LOGIN_DELAY * 2 ** attempt) <= 1.5, sleep)

    def test_N_7_a_host_that_always_drops_the_login_is_given_up(self):
        answer, requests = drive(call.script(session(), HOST, 'put', ['~']),
                                 [unreached(DROPPED)] * call.LOGIN_ATTEMPTS)
        self.assertEqual(answer.verdict.kind, 'refused')
        self.assertIsInstance(requests[-1], Command)

    def test_N_1_what_another_try_cannot_help_is_not_tried_again(self):
        for text in (b'u@h: Permission denied (publickey).\n', b'Host key verification failed.\n',
                     b'ssh: connect to host h port 22: Connection refused\n',
                     b''):
            with self.subTest(text=text):
                answer, requests = drive(call.script(session(), HOST, 'put', ['~']),
                                         [unreached(text)])
                self.assertFalse(answer.verdict.ok)
                self.assertEqual(len(requests), 1)

    def test_what_may_have_run_is_never_repeated(self):
        def cut(command):
            command.sink.feed('stdout', b'\036n1 begin\nhalf')
            command.sink.feed('stderr', b'\036n1 begin\n' + DROPPED)
            return Result(command, 'exited', 255)
        answer, requests = drive(call.script(session(), HOST, 'put', ['~']), [cut])
        self.assertEqual((answer.verdict.kind, answer.stdout, len(requests)), ('lost', b'half', 1))

    def test_a_script_that_says_too_much_is_cut_and_does_not_fill_the_memory(self):
        output = call.Collector()
        for _ in range(3):
            output('stdout', b'x' * (host_limits.ANSWER // 2))
        self.assertEqual(len(output.stdout), host_limits.ANSWER)

    def test_a_guarded_command_has_the_deadlines_of_the_settings(self):
        verdict, requests = drive(
            call.command(session(), HOST, 'true', (), lambda stream, data: None, timeout=3.0),
            [says(code=4)])
        self.assertEqual((verdict.kind, verdict.code), ('failed', 4))
        self.assertEqual((requests[0].timeout, requests[0].grace, requests[0].lifeline),
                         (3.0, SETTINGS.grace, SETTINGS.lease / 3))
        self.assertEqual(requests[0].hello, SETTINGS.connect_timeout + SETTINGS.hello_timeout)


class Visits(unittest.TestCase):
    """A visit with nothing to do, and what a host may report."""

    def context(self, is_free=True):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.events = []
        lock = SimpleNamespace(take=lambda: is_free, release=lambda: self.events.append('released'))
        workspace = SimpleNamespace(lock=lambda name: lock,
                                    path=lambda *names: os.path.join(directory.name, *names))
        store = SimpleNamespace(on_host=lambda name: [], leftovers=lambda name: [],
                                together=contextlib.ExitStack,
                                samples=dict)
        weather = SimpleNamespace(settle=lambda: None, note=lambda *words: None)
        return visit.Context(workspace, store, session(), self.events.append, weather,
                             trouble=lambda host, reason, *_more: self.events.append(
                                 '%s: %s' % (host, reason)))

    def test_Y_1_a_host_that_somebody_visits_is_left_alone(self):
        report, requests = drive(
            visit.visit(self.context(is_free=False), visit.Target('h', (HOST,))), [])
        self.assertEqual((report, requests), (visit.Report('h', busy=True), []))

    def test_a_host_that_does_not_answer_ends_its_visit_and_frees_its_lock(self):
        report, _requests = drive(visit.visit(self.context(), visit.Target('h', (HOST,))),
                                  [unreached()])
        self.assertEqual(report.problem, 'unreachable (connection refused)')
        self.assertEqual(self.events, ['h: unreachable (connection refused)', 'released'])

    def test_a_host_where_nothing_is_to_be_done_is_asked_once(self):
        report, requests = drive(visit.visit(self.context(), visit.Target('h', (HOST,))),
                                 [says(b'facts b id\nsample cores=4 disk=1000000\n')])
        self.assertEqual((report, len(requests)), (visit.Report('h'), 1))

    def test_the_lock_is_freed_when_a_visit_is_cancelled(self):
        self.assertRaises(Cancelled, drive, visit.visit(self.context(), visit.Target('h', (HOST,))),
                          [Cancelled()])
        self.assertEqual(self.events, ['released'])

    def test_answers_are_read_and_other_lines_are_passed_over(self):
        lines = ['hello', 'facts b id', 'sample cores=4 disk=1000', 'stage no room left',
                 'task k1 state exited 3',
                 'task k2 state running 77', 'task', 'task k3 state', 'task k4 clean cleaned',
                 'task k5 size 9000', 'facts x']
        self.assertEqual(visit_answers.parse(lines), (
            visit_answers.HostReport('b', 'id', sample.Sample(cores=4, free_disk=1000)),
            'no room left',
            [('k1', 'exited 3'), ('k2', 'running 77')], {'k4': 'cleaned'}, {'k5': 9000}))

    def test_an_unreachable_host_is_an_error_of_its_own(self):
        error = HostError('h', exit_status.Verdict('dns', 255, 'unreachable (name not known)'))
        self.assertEqual((error.message, error.exit_code), ('h: unreachable (name not known)', 3))


if __name__ == '__main__':
    unittest.main()
