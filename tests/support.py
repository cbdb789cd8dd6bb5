"""Shared by the tests: the leak-checked test case, a workspace, and lwt as a user runs it."""

import contextlib
import gc
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest
import uuid

from lwt import cli
from lwt.workspace import layout

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FAKE = os.path.join(ROOT, 'tests', 'fake')
# A variable in the environment of everything that a test starts.
MARK = 'LWT_TEST_MARK'
ALL_STEPS = os.environ.get('LWT_TEST_ALL_STEPS') == '1'     # make crash: all steps, not a sample
# Limits against hangs, not measurements: seconds to wait for a condition, and for a run of lwt.
SETTLE = 60.0
PATIENCE = 240.0
# The actions of signals with which Python starts.
ACTIONS = ((signal.SIGINT, signal.default_int_handler), (signal.SIGPIPE, signal.SIG_IGN),
           (signal.SIGXFSZ, signal.SIG_IGN), (signal.SIGTERM, signal.SIG_DFL),
           (signal.SIGUSR1, signal.SIG_DFL))
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD,
           signal.SIGPIPE)


def wait_for(condition, seconds=SETTLE):
    """Wait until condition() is true; return its last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.05)


def catches(pid, signum):
    """Has a process a handler for this signal?"""
    with open('/proc/%d/status' % pid) as file:
        mask = next(int(line.split()[1], 16) for line in file if line.startswith('SigCgt'))
    return mask >> signum - 1 & 1


def marked(mark):
    """Return {pid: command line} of the processes that carry a mark, without this one and zombies.
    """
    found, wanted = {}, ('%s=%s' % (MARK, mark)).encode()
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/environ' % pid, 'rb') as file:
                if wanted not in file.read().split(b'\0') or int(pid) == os.getpid():
                    continue
            with open('/proc/%s/cmdline' % pid, 'rb') as file:
                found[int(pid)] = file.read().replace(b'\0', b' ').decode('utf-8',
                                                                          'replace').strip()
        except OSError:
            continue
    return found


class LeakCheckedTestCase(unittest.TestCase):
    """Checks after each test that no descriptor, child, zombie, signal handler, wake-up fd or
    marked process is left.
    """

    def setUp(self):
        self.mark = uuid.uuid4().hex
        self._fds = open_fds()
        self._handlers = [signal.getsignal(signum) for signum in SIGNALS]

    def tearDown(self):
        left = wait_for(lambda: not marked(self.mark))
        self.assertTrue(left, 'processes left: %s' % marked(self.mark))
        self.assertEqual(open_fds(), self._fds, 'descriptors left open')
        self.assertEqual([signal.getsignal(signum) for signum in SIGNALS], self._handlers,
                         'signal handlers left')
        wakeup = signal.set_wakeup_fd(-1)
        self.assertEqual(wakeup, -1, 'wake-up fd left')
        with self.assertRaises(ChildProcessError, msg='a child or zombie left'):
            os.waitpid(-1, os.WNOHANG)


def tree_of(path):
    """Return {relative name: content, None for a directory, ('link', target)} of a directory."""
    found = {}
    for root, dirs, names in os.walk(path):
        for name in dirs + names:
            full = os.path.join(root, name)
            inner = os.path.relpath(full, path)
            if os.path.islink(full):
                found[inner] = ('link', os.readlink(full))
            elif os.path.isdir(full):
                found[inner] = None
            else:
                with open(full, 'rb') as file:
                    found[inner] = file.read()
    return found


def open_fds():
    """Return the open descriptors of this process, without the one that lists them."""
    listing = os.open('/proc/self/fd', os.O_RDONLY)
    try:
        return sorted(int(fd) for fd in os.listdir(listing) if int(fd) != listing)
    finally:
        os.close(listing)


def be_lwt(argv, env):
    """Be lwt: called by Popen in the new process instead of executing a program. Never returns."""
    code = 1
    try:
        for fd in open_fds():           # one of them tells Popen that it can return
            if fd > 2:
                with contextlib.suppress(OSError):
                    os.close(fd)
        for signum, action in ACTIONS:
            signal.signal(signum, action)
        os.environ.clear()
        os.environ.update(env)
        tempfile.tempdir = None         # what the tests found with their own TMPDIR
        gc.enable()                     # old versions of subprocess disable it
        random.seed()
        sys.stdin = open(0, encoding='utf-8', errors='surrogateescape', closefd=False)
        sys.stdout, sys.stderr = (open(fd, 'w', encoding='utf-8', errors='surrogateescape',
                                       closefd=False) for fd in (1, 2))
        code = cli.main(list(argv), os.environ)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Done:
    """The result of a run of lwt: code, out and err as text."""

    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self):
        return 'code %s\n--- out\n%s\n--- err\n%s' % (self.code, self.out, self.err)


class ProgramTestCase(LeakCheckedTestCase):
    """lwt as a program, in a scratch directory with its own home."""

    python = sys.executable
    program = '-m', 'lwt'       # what start() has Python run
    # Whether lwt() runs it in a fork of the tests. A new Python takes ten times as long to start.
    in_fork = True
    scratch_in = None           # directory of the scratch directory, or None for the default

    def setUp(self):
        super().setUp()
        self._scratch = tempfile.TemporaryDirectory(prefix='lwt-test.', dir=self.scratch_in)
        self.addCleanup(self._scratch.cleanup)
        self.scratch = self._scratch.name
        self.home = self.path('home')
        os.mkdir(self.home)
        self.env = {'PATH': os.environ['PATH'], 'HOME': self.home, 'PYTHONPATH': ROOT,
                    MARK: self.mark}
        if 'LWT_TEST_RUNTIME' in os.environ:
            self.env['XDG_RUNTIME_DIR'] = os.environ['LWT_TEST_RUNTIME']

    def path(self, *names):
        return os.path.join(self.scratch, *names)

    def write(self, name, text, mode=0o644):
        """Write a file in the scratch directory; return its path."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, mode)
        return path

    def read(self, *names):
        with open(self.path(*names)) as file:
            return file.read()

    def start(self, *argv, stdin=subprocess.DEVNULL, **options):
        """Start lwt; return the Popen."""
        options.setdefault('cwd', self.scratch)
        options.setdefault('env', self.env)
        options.setdefault('stdout', subprocess.PIPE)
        options.setdefault('stderr', subprocess.PIPE)
        # -S: lwt needs the standard library only, and *.pth files can slow down each start.
        return subprocess.Popen((self.python, '-S') + self.program + argv, stdin=stdin, **options)

    def _can_fork(self, options):
        """Return whether a fork of the tests behaves as a new lwt with these options of Popen."""
        env = options.get('env', self.env)
        return (self.in_fork and self.python == sys.executable
                and set(options) <= {'env', 'cwd', 'stdout', 'stderr'}
                and not any(name.startswith(('PYTHON', 'LC_', 'LANG', 'TZ', 'LD_'))
                            and (name, value) != ('PYTHONPATH', ROOT)
                            for name, value in env.items())
                and threading.active_count() == 1)

    def start_fork(self, *argv, **options):
        """Start lwt in a fork of the tests; return the Popen. Its environment has no mark."""
        env = options.get('env', self.env)
        return self.start(*argv, preexec_fn=lambda: be_lwt(argv, env), **options)

    def lwt(self, *argv, stdin=b'', timeout=PATIENCE, **options):
        """Run lwt to its end; return a Done."""
        start = self.start_fork if self._can_fork(options) else self.start
        popen = start(*argv, stdin=subprocess.PIPE, **options)
        try:
            out, err = popen.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            popen.kill()
            out, err = popen.communicate()
            self.fail('lwt %s did not end in %g s\n%s\n%s'
                      % (' '.join(map(str, argv)), timeout, out, err))
        return Done(popen.returncode, (out or b'').decode('utf-8', 'replace'),
                    (err or b'').decode('utf-8', 'replace'))

    def assert_refused(self, done, code, *words):
        """Assert that it exited with this code, and that one line has all these words; no
        traceback.
        """
        self.assertEqual(done.code, code, done)
        self.assertNotIn('Traceback', done.err, done)
        for word in words:
            self.assertIn(word, done.err, done)

    def use_fake_ssh(self):
        """Use the stub for ssh, whose hosts have their homes in a directory."""
        self.env['PATH'] = FAKE + ':' + self.env['PATH']
        self.env['FAKE_ROOT'] = self.path('fake')
        os.mkdir(self.path('fake'))

    def change_state(self, *statements):
        """Change state.db without lwt."""
        with contextlib.closing(
                sqlite3.connect(self.path('.lwt', 'state.db'))) as database, database:
            for statement in statements:
                database.execute(statement)

    def make_workspace(self, host_list=None, **options):
        """Make a workspace in the scratch directory; host_list: lines as (name, category, home)."""
        layout.init(self.scratch)
        if host_list is not None:
            self.write('host.list', ''.join('\t'.join(line) + '\n' for line in host_list))
        if options:
            self.write('lwt.conf',
                       '[lwt]\n' + ''.join('%s = %s\n' % item for item in options.items()))

    def describe(self, name, desc, **files):
        """Make a directory of description/; files: name with _ for . = content."""
        self.write('description/%s/desc' % name, desc)
        for file, text in files.items():
            self.write('description/%s/%s' % (name, file.replace('_', '.')), text)

    def results(self):
        """Return the directories in task.finish/, sorted."""
        folder = self.path('task.finish')
        return sorted(os.path.join(folder, name) for name in os.listdir(folder))
