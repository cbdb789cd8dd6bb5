"""sh/worker.sh in each shell, without ssh."""

import io
import os
import subprocess
import tarfile
import time
import unittest

from lwt.remote import scripts
from lwt.remote.worker import WorkerRequest
from tests.support import marked, wait_for
from tests.test_shells import ShellTestCase, in_each_shell

ZOO = ('trap "" TERM; setsid sleep 9851 & (sleep 9852 &); sleep 9853 & nohup sleep 9854 & '
       'sleep 9855')


def archive(**files):
    """Return a tar stream; files: name = content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode='w') as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def left(home):
    """Return the files in a home, without what the test case has put there."""
    return sorted(set(os.listdir(home)) - {'bin'})


class WorkersInShells(ShellTestCase):
    """One worker with its requests."""

    popen = None

    def tearDown(self):
        self.end()
        super().tearDown()

    def begin(self, shell, home, lease='60', piece=1048576):
        """Start a worker, and end the one before.

        piece: bytes of a stream after which it notes that the master lives.
        """
        self.end()
        text = scripts.script_text(*scripts.SHORT_SCRIPTS['worker'])
        self.assertIn('piece=1048576', text)
        text = text.replace('piece=1048576', 'piece=%d' % piece)
        words = '0.5', lease, str(float(lease) / 4)
        self.popen = self.start(shell, home, scripts.with_arguments(text, words), subprocess.PIPE)
        self.number = 0
        self.pending = {'stdout': b'', 'stderr': b''}

    def end(self):
        """Close all pipes of the worker and wait for it; return its exit code."""
        if self.popen is None:
            return None
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if not pipe.closed:
                pipe.close()
        return self.popen.wait(60)

    def send(self, data):
        self.popen.stdin.write(data)
        self.popen.stdin.flush()

    def request(self, action, stream=b'', **fields):
        """Send a request; return its Framed, and the dictionary that gets the payload."""
        self.number += 1
        got = {'stdout': b'', 'stderr': b''}
        frame = scripts.Framed(self.nonce + str(self.number), lambda name, data: got.__setitem__(
            name, got[name] + data), self.number > 1)
        request = WorkerRequest(action, **dict({'size': len(stream)}, **fields))
        self.send(request.line(frame) + stream + request.input)
        return frame, got

    def ask(self, action, stream=b'', **fields):
        """Send a request and read its answer; return (code or reason, stdout, stderr)."""
        frame, got = self.request(action, stream, **fields)
        return self.answer(frame, got)

    def answer(self, frame, got):
        until = time.monotonic() + 60
        while not frame.ended and frame.failure is None:
            self.assertLess(time.monotonic(), until, 'the answer does not end')
            for name in ('stdout', 'stderr'):
                frame.feed(name, self.line(name))
        return (frame.code if frame.failure is None else frame.failure, got['stdout'],
                got['stderr'])

    def line(self, name):
        """Return what one read of a stream returns; b'' if the other one has to end first."""
        pipe = getattr(self.popen, name)
        os.set_blocking(pipe.fileno(), False)
        try:
            return os.read(pipe.fileno(), 65536)
        except BlockingIOError:
            time.sleep(0.01)
            return b''

    @in_each_shell
    def test_jobs_run_one_after_another_with_their_own_environment(self, shell, home):
        self.begin(shell, home)
        self.assertTrue(int(self.ask('look')[1]) > 0)
        for number in (b'1', b'2'):
            self.send(b'\n')                        # a heartbeat
            code, out, err = self.ask('run', command=b'echo "$A"; echo e >&2; exit 3',
                                      variables={b'A': b"a 'b'\n" + number})
            self.assertEqual((code, out, err), (3, b"a 'b'\n" + number + b'\n', b'e\n'))
        self.assertEqual(self.ask('run', command=b'pwd', directory=b'sub/x')[1],
                         os.fsencode(home) + b'/sub/x\n')
        self.assertEqual(self.ask('run', command=b'cat; echo', input=b'data\0\n')[1], b'data\0\n\n')
        self.assertEqual(self.ask('run', archive(a=b'1' * 5000), names=(b'a',), input=b'2' * 9000,
                                  command=b'cat a -')[1], b'1' * 5000 + b'2' * 9000)
        self.popen.stdin.close()
        self.assertEqual(self.end(), 0)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    @in_each_shell
    def test_files_arrive_before_the_job_and_go_when_they_are_sent(self, shell, home):
        self.begin(shell, home)
        names = (b"d/it's a", b'b')
        code, out, err = self.ask(
            'run', archive(**{"d/it's a": b'one', 'b': b'two'}), names=names,
            garbage=names + (b'out', b'd/none'), command=b'cat d/* b; echo x >out')
        self.assertEqual((code, out, err), (0, b'onetwo', b''))
        code, out, err = self.ask('send', names=(b'out', b'none', b'd'))
        self.assertEqual((code, err), (0, b'missing 2\n'))
        with tarfile.open(fileobj=io.BytesIO(out)) as tar:
            self.assertEqual(sorted(tar.getnames()), ['d', "d/it's a", 'out'])
        self.assertEqual([name for name in left(home) if not name.startswith('.lwt-multi.')], [])
        for _job in range(2):           # the last one's files go when the worker ends
            self.assertEqual(self.ask('run', archive(b=b'x'), names=(b'b',), garbage=(b'b',),
                                      command=b'ls')[:2], (0, b'b\nbin\n'))
        self.popen.stdin.close()
        self.end()
        self.assertEqual(left(home), [])

    @in_each_shell
    def test_directories_that_are_empty_afterwards_are_removed(self, shell, home):
        for directory, kept in ((b'w/x', []), (b'~', []), (b'w', ['w'])):
            self.begin(shell, home)
            path = b'%s/other/deep/file' % os.fsencode(home)
            garbage = path, b'd/none/file'
            self.ask('run', directory=directory, garbage=garbage,
                     command=b'mkdir -p d/none "$HOME/other/deep"; touch "$HOME/other/deep/file"')
            if kept:
                self.ask('run', directory=directory, command=b'touch mine')
            else:
                self.ask('clean')
            self.popen.stdin.close()
            self.assertEqual(self.end(), 0)
            self.assertEqual(left(home), kept)

    @in_each_shell
    def test_end_of_file_kills_the_job_and_removes_its_files(self, shell, home):
        self.begin(shell, home)
        frame, got = self.request('run', archive(a=b'x'), names=(b'a',), garbage=(b'a',),
                                  command=os.fsencode(ZOO))
        self.assertTrue(wait_for(
            lambda: sum('sleep 985' in words for words in marked(self.mark).values()) >= 5))
        self.popen.stdin.close()
        self.assertEqual(self.answer(frame, got)[0] // 128, 1)
        self.assertEqual(frame.cause, 'closed')
        self.end()
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))
        self.assertEqual(left(home), [])

    @in_each_shell
    def test_a_job_ends_with_its_time_and_the_worker_goes_on(self, shell, home):
        self.begin(shell, home)
        frame, got = self.request('run', command=os.fsencode(ZOO), timeout=0.5)
        self.answer(frame, got)
        self.assertEqual(frame.cause, 'timeout')
        self.assertTrue(wait_for(lambda: not any(
            'sleep 985' in words for words in marked(self.mark).values())))
        self.assertEqual(self.ask('run', command=b'echo on')[:2], (0, b'on\n'))

    @in_each_shell
    def test_silence_for_the_lease_ends_a_job_and_an_idle_worker(self, shell, home):
        self.begin(shell, home, lease='1')
        frame, got = self.request('run', archive(a=b'x'), names=(b'a',), garbage=(b'a',),
                                  command=os.fsencode(ZOO))
        self.answer(frame, got)
        self.assertEqual(frame.cause, 'lease')
        self.assertNotEqual(self.popen.wait(60), None)
        self.assertEqual(left(home), [])
        self.end()
        self.begin(shell, home, lease='1')
        self.ask('run', archive(a=b'x'), names=(b'a',), garbage=(b'a',), command=b'true')
        self.popen.wait(60)
        self.assertEqual(left(home), [])
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    @in_each_shell
    def test_a_heartbeat_at_the_end_of_a_job_takes_nothing_of_the_next_request(self, shell, home):
        self.begin(shell, home)
        for number in range(60):
            frame, got = self.request('run', command=b'echo %d' % number)
            time.sleep(number % 20 / 1000)
            self.send(b'\n')
            self.assertEqual(self.answer(frame, got), (0, b'%d\n' % number, b''))

    @in_each_shell
    def test_a_job_may_take_longer_than_the_lease(self, shell, home):
        self.begin(shell, home, lease='1')
        for _job in range(2):
            frame, got = self.request('run', command=b'sleep 3; echo done')
            until = time.monotonic() + 60
            while not got['stdout'] and time.monotonic() < until:
                self.send(b'\n')
                time.sleep(0.2)
                frame.feed('stdout', self.line('stdout'))
            self.assertEqual(self.answer(frame, got)[:2], (0, b'done\n'))

    @in_each_shell
    def test_a_transfer_may_take_longer_than_the_lease(self, shell, home):
        """The bytes that arrive, and heartbeats while files are sent, are signs of life."""
        self.begin(shell, home, lease='3', piece=1024)
        data = archive(a=os.urandom(1 << 20))
        frame, got = self.request('take', size=len(data), names=(b'a',))
        piece = len(data) // 20 + 1
        for start in range(0, len(data), piece):
            self.send(data[start:start + piece])
            time.sleep(0.25)
        self.assertEqual(self.answer(frame, got), (0, b'', b''))
        frame, got = self.request('send', names=(b'a',))
        for _beat in range(20):         # the pipe is full, and tar waits
            time.sleep(0.25)
            self.send(b'\n')
        self.assertEqual(self.answer(frame, got)[0], 0)
        self.request('send', names=(b'a',))
        self.assertTrue(wait_for(lambda: self.popen.poll() is not None, 30))
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    @in_each_shell
    def test_a_request_that_is_cut_off_runs_nothing(self, shell, home):
        frame = scripts.Framed(self.nonce, lambda name, data: None)
        line = WorkerRequest('run', command=b'touch ran').line(frame)
        for data in (line[:-2], line[:-3], line[:20], line[1:]):
            self.begin(shell, home)
            self.send(data)
            self.popen.stdin.close()
            self.popen.wait(60)
            self.assertEqual(left(home), [])
            self.end()
        self.begin(shell, home)
        frame, got = self.request('run', archive(a=b'x' * 9999)[:3000], names=(b'a',),
                                  command=b'touch ran')
        self.send(b'')
        self.popen.stdin.close()
        self.assertIn('cannot be unpacked', self.answer(frame, got)[0])
        self.popen.wait(60)
        self.assertEqual(left(home), [])


if __name__ == '__main__':
    unittest.main()
