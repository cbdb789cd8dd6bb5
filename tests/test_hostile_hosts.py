"""Every command with hosts that are hostile, each in another way (see hostile_host.py)."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import unittest

from tests import disk, hostile_host, lab
from tests.lab_cases import LoopbackTestCase
from tests.support import catches, wait_for

LONGEST = 100                   # seconds that a command may take
MOST_MEMORY = 100 << 10         # KiB
MOST_DISK = 300 << 20           # bytes
MOST_PRINTED = 200 << 10        # bytes of messages
MOST_OUTPUT = 20 << 20          # bytes of what commands print on standard error
UNSAFE = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e]')
SETTINGS = dict(connect_timeout=3, hello_timeout=3, stall=4, lease=4, grace=1, probe_time=4,
                output_limit='2M', fanout=40,
                retries=0, quarantine_wait=300, quarantine_longest=300)

# lwt with budgets that are reached sooner; the tests of floods have the real ones.
LESS = '''
from lwt.remote import host_limits
host_limits.TOLD, host_limits.TOLD_LINES = 1 << 20, 1 << 18
host_limits.LEFTOVERS, host_limits.VISIT = 1 << 19, 1 << 20
from lwt.__main__ import run
run()
'''


class HostileLab(lab.LoopbackLab):
    """One host for each way to be hostile, and two honest ones, h1 and h2."""

    def __init__(self, _count=0):
        super().__init__(len(hostile_host.WAYS) + 2)
        self.hostile = dict(zip(self.names[2:], hostile_host.WAYS))

    def more_for_sshd(self, name):
        if name not in self.hostile:
            return super().more_for_sshd(name)
        self.become(name, self.hostile[name])
        words = (sys.executable, '-S', hostile_host.__file__, self.way_file(name))
        return (super().more_for_sshd(name) + 'ForceCommand exec %s\n'
                % ' '.join(map(shlex.quote, words)))

    def way_file(self, name):
        """Return the file that names the way in which a host is hostile."""
        return self.path(name, 'way')

    def become(self, name, way):
        """Make a host hostile in another way from now on."""
        path = self.way_file(name)
        with open(path + '.new', 'w') as file:
            file.write(way)
        os.rename(path + '.new', path)


def memory_of(pid):
    """Return the maximum memory of a process so far in KiB, 0 if it has ended."""
    try:
        with open('/proc/%d/status' % pid) as file:
            return int(re.search(r'VmHWM:\s*([0-9]+)', file.read()).group(1))
    except (OSError, AttributeError):
        return 0


class HostileHosts(LoopbackTestCase):
    """SR-7, SR-15: the honest hosts are served, and memory, disk and output have limits."""

    slow = True
    program = '-c', LESS

    @classmethod
    def make_lab(cls):
        return HostileLab()

    def setUp(self):
        super().setUp()
        os.mkdir(self.path('tmp'))
        self.env['TMPDIR'] = self.path('tmp')
        self.env['LWT_SSH_CONFIG'] = self.lab.ssh_config
        self.make_workspace([(name, 'lab', self.lab.home(name)) for name in self.lab.names],
                            **SETTINGS)

    def run_bounded(self, *words, most_printed=MOST_PRINTED, is_filtered=False):
        """Run lwt to its end, as if it had never met these hosts; return (code, standard output,
        standard error).

        is_filtered: only lines of the honest hosts are checked, on both streams.
        """
        if words[0] != 'task':
            shutil.rmtree(self.path('.lwt'), ignore_errors=True)
        with contextlib.ExitStack() as stack:
            out, err = (stack.enter_context(open(self.path(name), 'wb')) for name in ('out', 'err'))
            kept = dict(stdout=out, stderr=err)
            if is_filtered:
                grep = stack.enter_context(
                    subprocess.Popen(['grep', '-a', '^h[12]: '], stdin=subprocess.PIPE, stdout=out))
                kept = dict(stdout=grep.stdin, stderr=grep.stdin)
            popen = self.start(*words, **kept)
            most_memory, most_disk, until = 0, 0, time.monotonic() + LONGEST
            while popen.poll() is None:
                if time.monotonic() > until:
                    popen.kill()
                    popen.wait()
                    self.fail('%s did not end: %s' % (words, self.read('err')[-2000:]))
                time.sleep(0.1)
                most_disk = max(most_disk,
                                disk.size_of(self.scratch) - os.fstat(out.fileno()).st_size)
                most_memory = max(most_memory, memory_of(popen.pid))
        with open(self.path('err'), errors='replace') as file:
            said = file.read()
        self.assertLess(most_memory, MOST_MEMORY)
        self.assertLess(most_disk, MOST_DISK)
        self.assertLess(len(said), most_printed)
        self.assertNotIn('Traceback', said)
        # Not the output of commands.
        own = [line for line in said.split('\n') if not re.match(r'h\d+: ', line)]
        self.assertEqual(UNSAFE.findall(''.join(own)), [])
        with open(self.path('out'), errors='replace') as file:
            return popen.returncode, file.read(), said

    def test_SR_7_and_SR_15_exec(self):
        for options, words in (((), 'h2: hello'), (('-b',), r'h\[1-2\] \(2\)')):
            with self.subTest(options=options):
                code, out, said = self.run_bounded('exec', '-a', *options, '-u', '8', '--',
                                                   'echo hello',
                                                   most_printed=MOST_OUTPUT,
                                                   is_filtered=not options)
                self.assertEqual(code, 3, said)
                self.assertRegex(out, words)

    def test_SR_7_and_SR_15_copies(self):
        self.write('data', 'content\n')
        code, _out, said = self.run_bounded('put', '-a', 'data', 'copy')
        self.assertEqual(code, 3, said)
        for name in ('h1', 'h2'):
            self.assertEqual(self.read(os.path.join(self.lab.home(name), 'copy')), 'content\n')
        code, _out, said = self.run_bounded('get', '-a', 'copy', 'back')
        self.assertEqual(code, 3, said)
        self.assertEqual(sorted(os.listdir(self.path('back'))), ['d.h1', 'd.h2'])

    def test_SR_7_and_SR_15_what_asks_for_facts(self):
        everywhere = ('-w', ','.join(self.lab.names))
        for words in (('probe',), ('monitor',) + everywhere, ('doctor',), ('deploy',) + everywhere):
            with self.subTest(words=words):
                code, out, said = self.run_bounded(*words)
                self.assertIn(code, (0, 1, 3), said)
                self.assertIn('h1', out + said)
                self.assertLess(len(out), MOST_PRINTED)
                self.assertEqual(UNSAFE.findall(out.replace('\n', '')), [])

    def test_SR_7_and_SR_15_reduce(self):
        lines = ['%d\n' % (number * 7919 % 5000) for number in range(5000)]
        self.write('lines', ''.join(lines))
        code, _out, said = self.run_bounded('reduce', '-a', '--timeout', '10', '-i', 'lines', '-o',
                                            'sorted',
                                            most_printed=MOST_OUTPUT)
        self.assertEqual((code, self.read('sorted')), (0, ''.join(sorted(lines))), said)

    def test_SR_7_and_SR_15_tasks(self):
        self.describe('t', 'exec : echo "$LWT_TASK" >result\nd_fetch : result\n')
        self.lwt('task', 'add', 't', '--array', '1-40')
        code, _out, said = self.run_bounded('task', 'run')
        self.assertEqual(code, 3, said)
        self.assertRegex(said, r'lwt: h\d+: not trusted: answer too long')
        done = self.lwt('task', 'show', '--json')
        self.assertGreater(done.out.count('"success"'), 10, said)

    def test_a_signal_is_obeyed(self):
        for words in (('exec', '-a', '--', 'sleep 60'), ('get', '-a', 'copy', 'there'), ('probe',)):
            with self.subTest(words=words):
                popen = self.start(*words, '--output-limit=0' if words[0] == 'exec' else '-v')
                self.assertTrue(wait_for(lambda: catches(popen.pid, signal.SIGTERM)))
                time.sleep(2)
                popen.send_signal(signal.SIGTERM)
                began = time.monotonic()
                popen.communicate(timeout=60)
                self.assertLess(time.monotonic() - began, 20)
                self.assertEqual(popen.returncode, 143)


if __name__ == '__main__':
    unittest.main()
