"""Commands that fill the host with processes: they are ended nevertheless."""

import contextlib
import itertools
import os
import resource
import select
import signal
import shutil
import subprocess
import time
import unittest

from lwt.remote import scripts
from tests import lab
from tests.support import marked, wait_for
from tests.test_shells import CONTROL, ShellTestCase, TaskCase, become, in_each_shell

LIMIT = 60                      # maximum number of processes of the runaway's user
# The same for an ordinary user. Other tests of this user start and end processes meanwhile.
SHARED_LIMIT = 200

# It takes every process that becomes available, ignores TERM, and leaves its group and its session.
# (It uses the system's perl, because only root may be able to read the Python of the tests.)
RUNAWAY = '''
use POSIX;
$SIG{TERM} = $SIG{CHLD} = "IGNORE";
while (1) {
  $child = fork;
  if (!defined $child) { select(undef, undef, undef, 0.05); next }
  if (!$child) { srand; POSIX::setsid() if rand() < 0.3 }
}
'''


def processes_of(uid):
    """Return the number of a user's processes."""
    count = 0
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            count += os.stat('/proc/' + pid).st_uid == uid
    return count


class RunawayTestCase(ShellTestCase):
    """Runs scripts as a user with a low limit of processes, also if root runs the tests.

    _users: the numbers of users for this class, if root runs the tests; a different one each time
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._users = itertools.count(100000 + os.getpid() * 100)

    def setUp(self):
        super().setUp()
        os.chmod(self.scratch, 0o711)

    def become_user(self):
        resource.setrlimit(resource.RLIMIT_NPROC, (self.limit, self.limit))
        become(self.uid)

    def start_limited(self, shell, home, script, is_opened=True):
        """Start a script (bytes) with this limit, with a pipe as its standard input. is_opened: it
        reads its nonce first.
        """
        self.uid = os.getuid() or next(self._users)
        self.limit = processes_of(self.uid) + (SHARED_LIMIT if os.getuid() else LIMIT)
        if not os.getuid():
            for path, _folders, _files in os.walk(home):
                os.chown(path, self.uid, self.uid)
        if is_opened:
            return self.start_opened(shell, home, script, preexec_fn=self.become_user)
        return self.start(shell, home, script, subprocess.PIPE, preexec_fn=self.become_user)

    def is_full(self):
        return processes_of(self.uid) >= self.limit - 2

    def end_all(self):
        """End the processes that a failed test left."""
        for _ in range(100):
            left = marked(self.mark)
            if not left:
                return
            for name in (signal.SIGSTOP, signal.SIGKILL):
                for pid in left:
                    with contextlib.suppress(OSError):
                        os.kill(pid, name)


@unittest.skipUnless(shutil.which('perl'), 'needs perl')
class Runaways(RunawayTestCase):
    """sh/guard.sh at the limit of processes."""

    slow = True

    def guarded_runaway(self, **options):
        return self.guarded("exec perl -e '%s'" % RUNAWAY, **options)

    def end(self, popen):
        """Assert that the runaway and its guard end; return the frame."""
        try:
            out, err = popen.communicate(timeout=120)
            self.assertTrue(wait_for(lambda: not marked(self.mark), 20), len(marked(self.mark)))
        finally:
            self.end_all()
        frame = scripts.Framed(self.nonce, lambda _stream, _data: None)
        frame.feed('stdout', out)
        frame.feed('stderr', err)
        return frame

    @in_each_shell
    def test_SR_9_and_SR_22_all_of_a_runaway_is_killed_when_the_lifeline_ends(self, shell, home):
        """SR-9: the lifeline of a command ends while its host is at its limit of processes."""
        popen = self.start_limited(shell, home, self.guarded_runaway())
        self.assertTrue(wait_for(self.is_full), processes_of(self.uid))
        self.assertEqual(self.end(popen).cause, 'closed')

    @in_each_shell
    def test_SR_9_a_watcher_without_a_timer_still_hears_and_ends(self, shell, home):
        """SR-9: heartbeats come while no process can be started for the next timer."""
        popen = self.start_limited(shell, home, self.guarded_runaway(lease='5'))
        until, full_since = time.monotonic() + 60, 0.0
        while time.monotonic() < until:
            popen.stdin.write(b'\n')
            popen.stdin.flush()
            time.sleep(0.5)
            full_since = full_since or (self.is_full() and time.monotonic())
            if full_since and time.monotonic() > full_since + 7:
                break                   # longer than the lease
        self.assertGreater(len(marked(self.mark)), LIMIT / 2, 'it lives while heartbeats come')
        lines = popen.stdin
        popen.stdin = None              # no more heartbeats, and no end-of-file
        self.assertEqual(self.end(popen).cause, 'lease')
        lines.close()

    @in_each_shell
    def test_SR_9_the_time_of_a_runaway_is_over(self, shell, home):
        """SR-9: the host ends the command by itself when its timeout expires."""
        popen = self.start_limited(shell, home, self.guarded_runaway(timeout='4'))
        lines, popen.stdin = popen.stdin, None
        self.assertEqual(self.end(popen).cause, 'timeout')
        lines.close()


    @in_each_shell
    def test_SR_9_a_command_that_leaves_no_place_for_a_process_still_tells_its_code(self, shell,
                                                                                    home):
        """SR-9: the processes that it leaves use up the limit, and its script must be removed."""
        script = (b"exec perl -e 'for (1 .. 500) { $p = fork; last if !defined $p; sleep 100 if "
                  b"!$p } exit 7'\n")
        popen = self.start_limited(shell, home, self.guarded('script', script=script))
        popen.stdin.write(script)
        popen.stdin.flush()
        told = b''
        try:
            with popen.stdout, popen.stderr:
                while b' end ' not in told and select.select([popen.stdout], [], [], 60)[0]:
                    data = os.read(popen.stdout.fileno(), 4096)
                    if not data:
                        break
                    told += data
                popen.stdin.close()
                popen.wait(60)
        finally:
            self.end_all()
        self.assertTrue(told.endswith(b' end 7\n'), told)
        left = [os.path.join(folder, 'lwt.' + self.frame.mark)
                for folder in (self.scratch, '/tmp', '/var/tmp')]
        self.assertEqual([path for path in left if os.path.exists(path)], [])


@unittest.skipUnless(shutil.which('perl'), 'needs perl')
class RunawayTasks(RunawayTestCase, TaskCase):
    """sh/run.sh at the limit of processes."""

    def launch(self, shell, home, command, timeout):
        """Start a task as the limited user; return the path of its directory."""
        self.ready(shell, home, command, timeout=timeout)
        popen = self.start_limited(shell, home, CONTROL, is_opened=False)
        popen.stdin.write(self.asked(self.errand.size, self.errand.digest) + self.errand.data)
        popen.stdin.close()
        popen.stdin = None
        popen.communicate(timeout=60)
        return os.path.join(home, '.lwt/t', self.key)

    def ends(self, directory):
        return [name for name in os.listdir(directory) if name.startswith('exit.')]

    @in_each_shell
    def test_SR_9_the_time_of_a_task_that_is_a_runaway_is_over(self, shell, home):
        """SR-9: no process can be started for the next step of the clock, or to end the task."""
        try:
            directory = self.launch(shell, home, "exec perl -e '%s'" % RUNAWAY, 4)
            self.assertTrue(wait_for(self.is_full), processes_of(self.uid))
            self.assertTrue(wait_for(lambda: self.ends(directory), 60))
            self.assertTrue(wait_for(lambda: not marked(self.mark), 20), len(marked(self.mark)))
        finally:
            self.end_all()
        self.assertEqual(self.ends(directory), ['exit.timeout'])


def running(words):
    """Return the processes with this command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            with open('/proc/%s/cmdline' % pid, 'rb') as file:
                if file.read().replace(b'\0', b' ').decode('utf-8', 'replace').strip() == words:
                    found.append(int(pid))
    return found


def command_line(pid):
    """Return the command line of a process, b'' if it has ended."""
    try:
        with open('/proc/%d/cmdline' % pid, 'rb') as file:
            return file.read()
    except OSError:
        return b''


class HiddenProcesses(ShellTestCase):
    """SR-14: processes whose environment does not identify them."""

    def sleeps(self, number):
        """Return a duration that no other sleep uses; the remaining sleeps are killed at the end.
        """
        word = 'sleep %d%d' % (number, os.getpid())

        def kill():
            for pid in running(word):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        self.addCleanup(kill)
        return word

    @in_each_shell
    def test_SR_14_they_are_found_by_their_descent(self, shell, home):
        """SR-14: their environment was emptied or overwritten, and some are in their own sessions.
        """
        empty, other, deep = self.sleeps(971), self.sleeps(972), self.sleeps(973)
        command = ('env -i %s & setsid env -i %s & setsid sh -c "env -i sh -c \'%s & wait\'" & wait'
                   % (empty, other, deep))
        popen = self.start_opened(shell, home, self.guarded(command))
        for words in (empty, other, deep):
            self.assertTrue(wait_for(lambda words=words: running(words)), words)
        popen.communicate(timeout=30)
        for words in (empty, other, deep):
            self.assertTrue(wait_for(lambda words=words: not running(words)), words)

    @in_each_shell
    def test_SR_14_they_are_found_also_if_the_shell_of_the_guard_was_killed(self, shell, home):
        """SR-14: the environments are empty, and only the watcher is left."""
        child, parent = self.sleeps(975), self.sleeps(976)
        popen = self.start_opened(shell, home, self.guarded('env -i %s & exec env -i %s'
                                                            % (child, parent)))
        for words in (child, parent):
            self.assertTrue(wait_for(lambda words=words: running(words)), words)
        # The watcher starts after the command; it is a fork of the shell.
        text = command_line(popen.pid)
        self.assertTrue(wait_for(
            lambda: text in map(command_line, lab.children(popen.pid))))
        popen.kill()
        popen.communicate(timeout=30)
        for words in (child, parent):
            self.assertTrue(wait_for(lambda words=words: not running(words)), words)

    @in_each_shell
    def test_SR_14_what_has_left_everything_is_out_of_reach(self, shell, home):
        """SR-14: no parent, session or environment identifies them; this is documented."""
        lost = self.sleeps(974)
        popen = self.start_opened(shell, home,
                                  self.guarded(
                                      '(setsid env -i %s >/dev/null 2>&1 &); sleep 1; echo so'
                                      % lost))
        lines, popen.stdin = popen.stdin, None
        out, _err = popen.communicate(timeout=30)
        lines.close()
        self.assertIn(b'so', out)
        self.assertTrue(running(lost))


if __name__ == '__main__':
    unittest.main()
