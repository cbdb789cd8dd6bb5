"""What lwt keeps of a host that sends without end, or sends nonsense: tables."""

import os
import tempfile
import time
import tracemalloc
import types
import unittest
from unittest import mock

from lwt.copy import chain, manifest, tar_get, tar_put
from lwt.copy.progress import CopyProgress
from lwt.errors import LocalError
from lwt.hosts import sample
from lwt.reduce import ledger, reducers
from lwt.remote import call, exit_status, host_limits
from lwt.tasks import remote_audit, requests, result_files, visit_answers

BLOCK = b'x' * (1 << 16)
MEMORY = 16 << 20


class Floods(unittest.TestCase):
    """SR-7: every stream, list and dictionary that a host fills has a limit."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix='lwt-test.')
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name

    def feed(self, take, chunks):
        """Feed a function until it returns True because it wants no more; return the bytes that it
        took. It must use little memory.
        """
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        taken = 0
        for data in chunks:
            taken += len(data)
            if take('stdout', data):
                break
        self.assertLess(tracemalloc.get_traced_memory()[1], MEMORY)
        return taken

    def test_SR_7_words_of_a_visit_without_end(self):
        with requests.Inbox(self.scratch, most_kib=1) as inbox:
            taken = self.feed(inbox, (BLOCK for _ in range(1000)))
        self.assertLess(taken, host_limits.VISIT + 2 * len(BLOCK))
        verdict = inbox.judged(exit_status.Verdict('ok', 0))
        self.assertEqual((verdict.kind, verdict.reason),
                         ('failed', 'answer too long (more than 4194304 bytes)'))

    def test_SR_7_lines_of_a_visit_without_end(self):
        with requests.Inbox(self.scratch, most_kib=1) as inbox:
            self.feed(inbox, (b'\n' * (1 << 16) for _ in range(50)))
            self.assertLessEqual(len(inbox.lines()), host_limits.VISIT_LINES)

    def test_SR_7_results_that_are_more_than_was_asked_for_come_by_themselves(self):
        with requests.Inbox(self.scratch, most_kib=8) as inbox:
            inbox('stdout', b'facts boot id\nstream 0a.1 0b.1\n')
            self.assertEqual(inbox.sent(), ('0a.1', '0b.1'))
            self.feed(inbox, (BLOCK for _ in range(1000)))
        self.assertLess(os.path.getsize(inbox.path), 8 * 1024 * host_limits.EMPTY_FILES + 1)
        self.assertEqual((inbox.sent(), inbox.unfit), ((), ('0a.1', '0b.1')))
        self.assertTrue(inbox.judged(exit_status.Verdict('lost', 255)).ok)

    def test_SR_7_results_that_nobody_asked_for_are_a_failure(self):
        with requests.Inbox(self.scratch, most_kib=0) as inbox:
            inbox('stdout', b'facts boot id\nstream 0a.1\n' + BLOCK)
        self.assertEqual(inbox.judged(exit_status.Verdict('ok', 0)).kind, 'failed')

    def test_SR_7_a_large_result_leaves_room_on_the_disk(self):
        there = types.SimpleNamespace(f_bavail=1 << 10, f_frsize=4096, f_blocks=1 << 20)
        with requests.Inbox(self.scratch, has_words=False) as inbox, mock.patch('os.statvfs',
                                                                                return_value=there):
            taken = self.feed(inbox, (BLOCK for _ in range(1000)))
        self.assertLess(taken, host_limits.ROOM_EVERY + 2 * len(BLOCK))
        self.assertIn('no local disk space for more than',
                      inbox.judged(exit_status.Verdict('ok', 0)).reason)

    def test_an_inbox_that_cannot_be_made_fails_for_its_host_after_the_call(self):
        """A sink that raises would end the loop for all hosts."""
        path = os.path.join(self.scratch, 'file')
        open(path, 'w').close()
        inbox = requests.Inbox(os.path.join(path, 'h1'))
        self.assertFalse(inbox('stdout', b'facts boot id\nstream 0a.1\nbytes'))
        with self.assertRaisesRegex(LocalError, 'file/h1'):
            inbox.__exit__()

    def test_an_inbox_whose_room_cannot_be_seen_fails_for_its_host_after_the_call(self):
        inbox = requests.Inbox(self.scratch, has_words=False)
        with mock.patch('os.statvfs', side_effect=OSError(5, 'Input/output error')):
            self.assertFalse(inbox('stdout', b'x' * host_limits.ROOM_EVERY))
        with self.assertRaisesRegex(LocalError, 'Input/output error'):
            inbox.__exit__()

    def test_SR_7_and_SR_24_what_a_host_tells_of_a_copy_has_an_end(self):
        """Each of these lines would be correct if it came once."""
        wanted = types.SimpleNamespace(entries=[manifest.Entry('name', '', 0, 0, ())], text=b'')
        cargo = types.SimpleNamespace(size=1 << 30, content=1 << 30)
        shared = types.SimpleNamespace(cargo=cargo, members=[], tally=CopyProgress())
        sinks = {
            'put': (lambda: tar_put.Sender(wanted, CopyProgress(), {}),
                    (b'need name\n', b'tick\n', b'\n', b'x' * 999)),
            'get': (lambda: tar_get.Receiver(['*'], self.scratch,
                                               types.SimpleNamespace(links='', replace=True),
                                               CopyProgress()),
                    (b'except x\n', b'except ' + b'x' * 999 + b'\n')),
            'chain': (lambda: chain.ChainMember(shared, 'h', {}), (b'tick\n', b'x' * 999))}
        for name, (make, patterns) in sinks.items():
            for stream, pattern in ([('stdout', pattern) for pattern in patterns]
                                    + [('stderr', b'tick\n')]):
                with self.subTest(name=name, stream=stream, pattern=pattern[:10]), \
                        mock.patch.object(host_limits, 'TOLD', 1 << 20):
                    sink, data = make(), pattern * ((1 << 16) // len(pattern))
                    taken = self.feed(lambda _stream, data: sink(stream, data),
                                      (data for _ in range(1000)))
                    self.assertLess(taken, host_limits.TOLD + 2 * len(BLOCK))
                    self.assertIn('too long', sink.problem)

    def test_SR_7_and_SR_24_the_bound_that_was_passed_is_named(self):
        for data, said in ((b'x' * 101, '100 bytes'), (b'\n' * 11, '10 lines'), (b'\n' * 10, '')):
            with self.subTest(data=data), mock.patch.multiple(host_limits, TOLD=100, TOLD_LINES=10):
                found = call.Lines(lambda line: None)
                found.feed(data)
                self.assertEqual(found.problem,
                                 said and 'answer too long (more than %s)' % said)

    def test_SR_7_names_that_a_put_never_sent(self):
        entries = [manifest.Entry('name%d' % number, '', 0, 0, ()) for number in range(3)]
        sender = tar_put.Sender(types.SimpleNamespace(entries=entries, text=b''),
                                  CopyProgress(), {})
        self.feed(sender, (b'need ' + b'%06d' % number * 1000 + b'\n' for number in range(2000)))

    def test_SR_7_what_comes_back_of_a_partition(self):
        for keeps_lines, limit, sent, most in ((True, 0, 1000, 1000), (True, 10, 1000, 1000),
                                               (False, 10 ** 5, 1000, 10 ** 5),
                                               (False, 10, 10 ** 5, 10 ** 5),
                                               (False, 0, 1000, None)):
            with self.subTest(keeps_lines=keeps_lines, limit=limit):
                feed = types.SimpleNamespace(sent=types.SimpleNamespace(bytes=sent))
                steps = reducers.Steps(keeps_lines=keeps_lines)
                self.assertEqual(ledger.most_back(steps, feed, limit), most)
        with open(os.path.join(self.scratch, 'file'), 'w+b') as file:
            results = reducers.Results(file, reducers.ReduceProgress(0, 1))
            results.most = lambda: 10 ** 6
            taken = self.feed(results.feed, (BLOCK for _ in range(1000)))
            self.assertLess(taken, 10 ** 6 + len(BLOCK) + 1)
            self.assertTrue(results.is_over)
            results.forget()
            self.assertFalse(results.is_over)

    def test_SR_7_what_a_reducer_tells_of_itself(self):
        control = ledger.Control('n', lambda data: None)
        lines = (b'code c%d 0\nlines w%d 1\nsum v%d %s\n' % (number, number, number, b'1 ' * 20)
                 for number in range(10 ** 5))
        control.feed('stdout', b'\x1en begin\n')
        self.feed(control.feed, (b''.join(next(lines) for _ in range(100)) for _ in range(1000)))
        self.assertLessEqual(len(control.codes), host_limits.COMMANDS)
        self.assertEqual(control.told, {})

    def test_SR_7_a_reducer_that_tells_no_directory_is_refused(self):
        """The directory that it reports becomes a word of a command line."""
        for told in (b'/tmp/a\0b', b'/' + '\u20ac'.encode() * host_limits.NAME, b'relative', b'',
                     b'/a\x1b[2J'):
            with self.subTest(told=told[:20]):
                control = ledger.Control('n', lambda data: None)
                control.feed('stdout', b'\x1en begin\nready %s\n' % told)
                self.assertEqual((control.directory, bool(control.refused)), ('', True))
        control = ledger.Control('n', lambda data: None)
        control.feed('stdout', b'\x1en begin\nready /tmp/lwt.1 2\n')
        self.assertEqual((control.directory, control.refused), ('/tmp/lwt.1 2', ''))

    def test_SR_7_and_SR_15_a_sample_of_words_that_are_none(self):
        text = ' '.join('k%d=1' % number for number in range(300000))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        found = sample.parse(['sample ' + text[:100] + ' load=100', 'user a b c'] * 1000
                             + ['sample ' + text])
        self.assertLess(tracemalloc.get_traced_memory()[0] - before, 1 << 20)
        self.assertEqual((found.load, len(found.nonsense)), (1.0, host_limits.LOAD_NONSENSE))


class Words(unittest.TestCase):
    """SR-15 and SR-19: what a host reports about itself and about tasks."""

    def test_SR_15_each_word_is_cut(self):
        long = 'A' * (1 << 20)
        facts, problem, states, removed, _sizes = visit_answers.parse([
            'facts %s %s' % (long, long), 'stage ' + long, 'task 0a.1 state ' + long,
            'task 0b.1 clean ' + long])
        texts = [facts.boot, facts.host_id, problem, states[0][1], removed['0b.1']]
        self.assertLessEqual(max(map(len, texts)), host_limits.TEXT + 1)
        self.assertGreater(min(map(len, texts)), 50)

    def test_SR_15_an_answer_that_comes_again_and_again_is_heard_a_few_times(self):
        lines = ['task 0a.1 state nonsense'] * 10000 + ['task 0b.1 state running']
        states = visit_answers.parse(lines)[2]
        self.assertEqual(len(states), host_limits.TASK_ANSWERS + 1)

    def test_SR_15_complaints_about_results_are_read_once_and_cut(self):
        """The host chooses both the keys of a stream and the lines about it."""
        keys = ['%032x.1' % number for number in range(50000)]
        told = b''.join(b'%032x.1/\x1b]0;%s\n' % (number, b'x' * 20)
                        for number in range(50000, 120000))
        own = keys[0].encode() + b'/work/' + b'\x1b]0;' + b'y' * 100000 + b'\n'
        with tempfile.TemporaryDirectory(prefix='lwt-test.') as scratch:
            with requests.Inbox(scratch) as inbox:
                inbox('stdout', b'facts a b\nstream %s\n' % ' '.join(keys).encode())
                inbox('stderr', own + told)
            began = time.process_time()
            reasons = [inbox.complaint(key) for key in keys]
        self.assertLess(time.process_time() - began, 10)        # it took hours
        self.assertEqual(len(reasons[0]), host_limits.TEXT + 1)
        self.assertTrue(reasons[0].startswith('work/?]0;yyy'), reasons[0])
        self.assertEqual(set(reasons[1:]), {''})

    def test_SR_15_what_a_home_says_of_itself_is_cut(self):
        seen = remote_audit.parse('h', None, ['boot ' + 'A' * (1 << 20), 'id ' + 'B' * (1 << 20)])
        self.assertEqual((seen.boot, seen.host_id), ('A' * host_limits.ID, 'B' * host_limits.ID))

    def test_SR_15_no_word_drives_a_terminal(self):
        _facts, problem, states, removed, _sizes = visit_answers.parse([
            'stage \x1b[2J', 'task 0a.1 state \x1b]0;x\x07', 'task 0b.1 clean \x9b'])
        for text in (problem, states[0][1], removed['0b.1']):
            self.assertTrue(text.isprintable(), text)

    def test_SR_19_the_output_of_a_task_is_a_file_or_does_not_come(self):
        for name in ('run.stdout', 'run.stderr'):
            with self.subTest(name=name):
                self.assertEqual(result_files.place(name, False, ''), name)
                self.assertEqual(result_files.place(name, True, ''), '')
                self.assertEqual(result_files.place(name + '/x', False, ''), '')


if __name__ == '__main__':
    unittest.main()
