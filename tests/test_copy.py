"""put and get: the scripts in every shell, what hosts may send, and the checks before a copy."""

import contextlib
import errno
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
import unittest
from unittest import mock

from lwt import ssh
from lwt.copy import child_jobs, get_verify, manifest, tar_get, transfer
from lwt.copy.common import GetOptions, Terms
from lwt.copy.progress import CopiedBytes, CopyProgress
from lwt.errors import Cancelled, LocalError, UsageError
from lwt.flow import running
from lwt.remote import call, host_limits
from lwt.workspace import config, files
from lwt.workspace.files import Lock
from lwt.workspace.hostlist import Host
from tests import lab
from tests.support import MARK, LeakCheckedTestCase
from tests.test_flow import HOST, drive, says, session, unreached
from tests.test_shells import SHELLS, path_without

LOCAL = Host('localhost', 'local')
ODD = ['a b', "it's", '-x', '*', 'new\nline', 'back\\slash', '$(touch x)', '"',
       os.fsdecode(b'\xff\xfe'), '.hidden', '..x', ' ',
       'é', '~', '#']


def write(path, content=b'', mode=0o644):
    """Write a file and make the directories above it; return its path."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
        file.write(content)
    os.chmod(path, mode)
    return path


def tree(path):
    """Return {relative name: content, or None for a directory} of a directory."""
    found = {}
    for root, dirs, names in os.walk(path):
        for name in dirs:
            found[os.path.relpath(os.path.join(root, name), path)] = None
        for name in names:
            with open(os.path.join(root, name), 'rb') as file:
                found[os.path.relpath(os.path.join(root, name), path)] = file.read()
    return found


def environments(scratch):
    """Return (name, shell, PATH) of the simulated hosts: every shell with all tools, and one with
    nothing but busybox.
    """
    for shell in SHELLS:
        yield ' '.join(shell), ' '.join(shell), os.environ['PATH']
    if shutil.which('busybox'):
        tools = os.path.join(scratch, 'busybox')
        os.mkdir(tools)
        for name in subprocess.check_output(['busybox', '--list']).decode().split():
            os.symlink(shutil.which('busybox'), os.path.join(tools, name))
        yield 'only busybox', os.path.join(tools, 'sh'), tools


class CopyTestCase(LeakCheckedTestCase):
    """Copies to and from this machine, as a simulated host with its own home."""

    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory(prefix='lwt-test.')
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.shell, self.search = '/bin/sh', os.environ['PATH']
        self.new_home()

    def new_home(self):
        self.home = tempfile.mkdtemp(dir=self.scratch)
        self.host = LOCAL._replace(home=self.home)

    def path(self, *names):
        return os.path.join(self.scratch, *names)

    def at_home(self, *names):
        return os.path.join(self.home, *names)

    def played(self, flow):
        """Flow: the same, but its commands run as the host's shell would run them."""
        value = None
        while True:
            try:
                command = flow.send(value)
            except StopIteration as stop:
                return stop.value
            if command.is_local or command.argv[0] == 'cp':
                value = yield command
                continue
            line = command.argv[2].replace('exec /bin/sh', 'exec ' + self.shell, 1)
            value = yield command._replace(argv=command.argv[:2] + (line,), env=self.environment())

    def environment(self):
        return {'PATH': self.search, 'HOME': self.home, MARK: self.mark}

    def run_flow(self, flow):
        with running(8, 1.0) as run:
            return run.report(self.played(flow))

    def session(self, **settings):
        return call.Session(config.load(None, {}, ())._replace(**settings),
                            ssh.Transport('', '', login_dir=self.home))

    transport = ''

    def put(self, paths, target, terms=Terms(), links='follow', **settings):
        terms = terms._replace(transport=self.transport)
        self.tally = CopyProgress()
        return self.run_flow(transfer.put(self.session(**settings), self.host,
                                          manifest.survey(paths, links), target, terms,
                                          self.tally))

    def get(self, paths, directory, replace=False, terms=Terms(), links='follow',
            **settings):
        self.tally = CopyProgress()
        return self.run_flow(
            transfer.get(self.session(**settings), self.host, paths, directory,
                         terms._replace(transport=self.transport),
                         GetOptions(replace, links), self.tally))

    def in_each(self, test):
        """Call test() for every simulated host, each with a new home."""
        for name, self.shell, self.search in self.environments():
            with self.subTest(host=name):
                self.new_home()
                test()

    def environments(self):
        """The simulated hosts for in_each."""
        return list(environments(self.scratch))

    def assert_ok(self, verdict, reason=None):
        self.assertTrue(verdict.ok, verdict)
        if reason is not None:
            self.assertEqual(verdict.reason, reason)
        self.assertEqual(self.tally.moved, self.tally.expected)

    def assert_nothing_left(self):
        left = [name for root, dirs, names in os.walk(self.scratch) for name in dirs + names
                if name.startswith(('.lwt-put', '.part-'))]
        self.assertEqual(left, [])


class Puts(CopyTestCase):
    """sh/put.sh and the master's side of it."""

    def source(self):
        root = self.path('source')
        if not os.path.exists(root):
            for name in ODD:
                write(os.path.join(root, name), name.encode('utf-8', 'surrogateescape'))
                write(os.path.join(root, 'in', name, name), b'deeper')
            write(os.path.join(root, 'run'), b'#!/bin/sh\n', 0o755)
            write(os.path.join(root, 'empty'))
            os.makedirs(os.path.join(root, 'nothing', 'in it'))
            write(os.path.join(root, 'big'), bytes(range(256)) * 3000, 0o600)
        return root

    def test_R_5_a_tree_of_odd_names_goes_there_and_comes_back(self):
        count = len([name for name, content in tree(self.source()).items() if content is not None])

        def there_and_back():
            self.assert_ok(self.put([self.source()], '.'), '%d files copied' % count)
            self.assertEqual(tree(self.at_home('source')), tree(self.source()))
            modes = [os.stat(self.at_home('source', name)).st_mode & 0o777
                     for name in ('run', 'big', 'empty')]
            self.assertEqual(modes, [0o755, 0o600, 0o644])
            back = tempfile.mkdtemp(dir=self.scratch)
            self.assert_ok(self.get(['source'], back), '%d files copied' % count)
            self.assertEqual(tree(os.path.join(back, 'source')), tree(self.source()))
            self.assert_nothing_left()
        self.in_each(there_and_back)

    def test_what_is_the_same_is_not_sent_again(self):
        names = ['a b', 'c', 'd/e', 'run']

        def again():
            root = tempfile.mkdtemp(dir=self.scratch)
            for name in names:
                write(os.path.join(root, 'tree', name), name.encode())
            os.mkdir(os.path.join(root, 'tree', 'empty'))
            self.assert_ok(self.put([os.path.join(root, 'tree')], 'tree'), '4 files copied')
            self.assertEqual(self.tally.moved, sum(map(len, names)))
            self.assert_ok(self.put([os.path.join(root, 'tree')], '.'),
                           '0 files copied, 4 unchanged')
            self.assertEqual(self.tally.moved, 0)
            write(os.path.join(root, 'tree', 'c'), b'C')                # of the same size
            os.chmod(os.path.join(root, 'tree', 'run'), 0o755)
            os.rmdir(self.at_home('tree', 'empty'))
            os.unlink(self.at_home('tree', 'a b'))
            self.assert_ok(self.put([os.path.join(root, 'tree')], '.'),
                           '2 files copied, 1 with another mode or time, 1 unchanged')
            self.assertEqual(tree(self.at_home('tree')), tree(os.path.join(root, 'tree')))
            self.assertTrue(os.access(self.at_home('tree', 'run'), os.X_OK))
        self.in_each(again)

    def test_several_things_go_into_a_directory_and_each_is_compared(self):
        paths = [write(self.path('from', name), name.encode())
                 for name in ('one', '-two', 'the third')]

        def several():
            self.assertEqual(self.put(paths, 'nosuch').reason,
                             self.at_home('nosuch') + ': no such directory')
            os.mkdir(self.at_home('into'))
            self.assert_ok(self.put(paths, 'into'), '3 files copied')
            write(self.at_home('into', '-two'), b'other')
            self.assert_ok(self.put(paths, '~/into'), '1 file copied, 2 unchanged')
            self.assertEqual(tree(self.at_home('into')), tree(self.path('from')))
        self.in_each(several)

    def test_a_directory_is_merged_and_kinds_never_replace_each_other(self):
        write(self.path('t', 'sub', 'new'), b'new')
        write(self.path('t', 'both'), b'new')

        def merged():
            write(self.at_home('t', 'both'), b'old')
            write(self.at_home('t', 'sub', 'old'), b'old')
            self.assert_ok(self.put([self.path('t')], '.'))
            self.assertEqual(tree(self.at_home('t')),
                             {'sub': None, 'both': b'new', 'sub/new': b'new', 'sub/old': b'old'})
            write(self.at_home('u', 'sub'), b'a file')
            write(self.at_home('v', 'both', 'x'), b'in a directory')
            for name in ('u', 'v'):
                shutil.rmtree(self.path(name), ignore_errors=True)
                shutil.copytree(self.path('t'), self.path(name))
                self.assertIn('cannot replace each other', self.put([self.path(name)], '.').reason)
            self.assertEqual(tree(self.at_home('u'))['sub'], b'a file')
            self.assertEqual(tree(self.at_home('v'))['both/x'], b'in a directory')
            self.assert_nothing_left()
        self.in_each(merged)

    def test_directories_as_deep_as_their_paths_allow(self):
        """Checking needs no recursion; a host may still refuse such a path."""
        path = self.path('deep')
        self.addCleanup(files.remove_tree, path)
        for _level in range(6):
            path = os.path.join(path, *['d'] * 200)
            os.makedirs(path)
        self.assertEqual(len(manifest.survey([self.path('deep')]).entries), 1201)

    def test_targets_that_cannot_be(self):
        source = write(self.path('file'), b'x')
        for target, said in (('no/such', self.at_home('no') + ': no such directory'),
                             ('new/', self.at_home('new/') + ': no such directory'),
                             ('/proc/x', '/proc: '), ('..x/..', 'no such directory')):
            with self.subTest(target=target):
                self.assertIn(said, self.put([source], target).reason)
        self.assertEqual(os.listdir(self.home), [])

    def test_a_link_in_the_targets_place_is_replaced_and_not_written_through(self):
        source = write(self.path('file'), b'new')
        outside = write(self.path('outside'), b'untouched')
        os.symlink(outside, self.at_home('file'))
        self.assert_ok(self.put([source], '.'))
        self.assertFalse(os.path.islink(self.at_home('file')))
        self.assertEqual(tree(self.scratch)['outside'], b'untouched')

    def test_a_source_that_changes_after_it_was_looked_at_is_named_and_nothing_appears(self):
        for name, change in (('longer', b'longer than before'), ('shorter', b''),
                             ('same', b'12345')):
            with self.subTest(name):
                source = write(self.path('file'), b'12346')
                wanted = manifest.survey([source])
                write(source, change)
                os.utime(source, (1, 1))
                verdict = self.run_flow(
                    transfer.put(self.session(), self.host, wanted, 'there', Terms(),
                                 CopyProgress()))
                self.assertEqual(verdict.kind, 'failed')
                self.assertIn('file\': changed while it was read', verdict.reason)
                self.assertEqual(os.listdir(self.home), [])

    def test_what_arrives_otherwise_than_it_was_sent_is_refused(self):
        source = write(self.path('file'), b'12345')
        with mock.patch.object(manifest, 'content', lambda entry: [b'54321']):
            verdict = self.put([source], 'there')
        self.assertEqual(verdict.reason, 'checksum mismatch after transfer')
        self.assertEqual(os.listdir(self.home), [])

    def test_what_a_killed_put_left_is_removed_by_the_next_and_one_under_way_is_not(self):
        write(self.path('file'), b'x')
        with open('/proc/sys/kernel/random/boot_id') as file:
            boot = file.read().strip()
        write(self.at_home('.lwt-put.dead', 'owner'), ('999999 1 %s\n' % boot).encode())
        with open('/proc/self/stat') as file:
            start = file.read().rpartition(') ')[2].split()[19]
        write(self.at_home('.lwt-put.alive', 'owner'),
              ('%d %s %s\n' % (os.getpid(), start, boot)).encode())
        write(self.at_home('.lwt-put.elsewhere', 'owner'), b'1 1 another-boot\n')
        self.assert_ok(self.put([self.path('file')], '.'))
        self.assertEqual(sorted(os.listdir(self.home)),
                         ['.lwt-put.alive', '.lwt-put.elsewhere', 'file'])
        os.utime(self.at_home('.lwt-put.elsewhere'), (1, 1))
        self.assert_ok(self.put([self.path('file')], '.'))
        self.assertEqual(sorted(os.listdir(self.home)), ['.lwt-put.alive', 'file'])

    def test_a_disk_that_is_full_while_files_are_compared_is_told(self):
        """Whichever file has no room, nothing is reported as unchanged that has changed."""
        if lab.why_not_mount():
            self.skipTest('mounting: ' + lab.why_not_mount())
        names = ['first', 'second']
        for name in names:
            write(self.path('new', name), b'new')

        def put_with_room(pages):
            for name in names:
                write(self.at_home(name), b'old')
            filler = self.at_home('filler')
            with open(filler, 'wb') as file, contextlib.suppress(OSError):
                file.write(bytes(1 << 18))
            os.truncate(filler, max(0, os.path.getsize(filler) - pages * 4096))
            verdict = self.put([self.path('new', name) for name in names], '.')
            os.unlink(filler)
            for name in names:
                with open(self.at_home(name), 'rb') as file:
                    self.assertTrue(file.read() == b'new' or not verdict.ok, verdict)
            return verdict.ok

        def put():
            subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', self.home],
                           check=True)
            try:
                ends = [put_with_room(pages) for pages in range(20)]
            finally:
                subprocess.run(['umount', self.home], check=True)
            self.assertEqual((ends[0], ends[-1]), (False, True))
        self.in_each(put)

    def test_SR_12_a_fifo_beside_the_target_holds_up_no_put(self):
        """SR-12: any user can make one in a directory that others can write, such as /tmp."""
        def put():
            os.mkdir(self.at_home('.lwt-put.x'))
            os.mkfifo(self.at_home('.lwt-put.x', 'owner'))
            self.assert_ok(self.put([self.path('file')], '.', Terms(timeout=20)))
            self.assertEqual(sorted(os.listdir(self.home)), ['.lwt-put.x', 'file'])
        write(self.path('file'), b'x')
        self.in_each(put)

    def test_N_5_an_input_that_stands_still_is_cut_by_the_host_itself(self):
        def stalled():
            command = next(transfer.put(self.session(stall=1.0), self.host,
                                        manifest.survey([self.path('file')]), 'there',
                                        Terms(), CopyProgress()))
            line = command.argv[2].replace('exec /bin/sh', 'exec ' + self.shell, 1)
            popen = subprocess.Popen(('/bin/sh', '-c', line), stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL, cwd=self.home,
                                     env=self.environment(), start_new_session=True)
            with popen.stdout, popen.stdin:
                popen.stdin.write(command.stdin)
                popen.stdin.flush()
                self.assertIsNotNone(popen.wait(30))
            self.assertEqual(os.listdir(self.home), [])
        write(self.path('file'), b'x')
        self.in_each(stalled)

    def test_a_rate_is_kept(self):
        source = write(self.path('file'), bytes(60000))
        self.assert_ok(self.put([source], '.', Terms(rate=60000.0)))
        self.assertEqual(tree(self.home), {'file': bytes(60000)})

    def test_SR_24_a_host_that_can_verify_nothing_says_what_is_missing(self):
        write(self.at_home('file'), b'12345')
        self.search = path_without(self.scratch, 'sha256sum', 'shasum', 'cksum')
        for verdict in (self.put([self.source()], '.'), self.get(['file'], self.path('there'))):
            self.assertEqual((verdict.kind, verdict.reason),
                             ('failed', 'there is none of sha256sum, shasum and cksum'))
        self.assertEqual(os.listdir(self.home), ['file'])

    def test_a_host_without_sha256_verifies_by_cksum(self):
        self.search = path_without(self.scratch, 'sha256sum', 'shasum')
        for paths in ([self.source()], [write(self.path('single'), b'12345')]):
            self.assert_ok(self.put(paths, '.'))
            with mock.patch.object(manifest, 'cksum', lambda chunks: 1):
                self.assertEqual(self.put(paths, '.').reason, 'checksum mismatch after transfer')
        os.mkdir(self.at_home('more'))
        # The host hashes it in a separate process.
        large = write(self.path('large'), bytes(child_jobs.SMALL + 1))
        self.assert_ok(self.put([large, self.source()], 'more'), None)
        self.assertEqual(tree(self.at_home('more'))['large'], bytes(child_jobs.SMALL + 1))
        self.assertEqual(tree(self.at_home('source')), tree(self.source()))
        self.assert_ok(self.get(['source', 'single'], self.path('back')))
        self.assertEqual(tree(self.path('back', 'source')), tree(self.source()))


class Gets(CopyTestCase):
    """sh/get.sh and the master's side of it."""

    def test_patterns_are_expanded_there_and_each_must_find_something(self):
        for name in ('a.log', 'b.log', 'dir/c', 'x y'):
            write(self.at_home(name), name.encode())

        def expanded():
            self.home, self.host = home, LOCAL._replace(home=home)
            back = tempfile.mkdtemp(dir=self.scratch)
            self.assert_ok(self.get(['*.log', 'd?r', '~/x y'], back))
            self.assertEqual(tree(back), {'a.log': b'a.log', 'b.log': b'b.log', 'dir': None,
                                          'dir/c': b'dir/c', 'x y': b'x y'})
            more = os.path.join(back, 'more')
            self.assertEqual(self.get(['*.log', '*.txt'], more).reason,
                             home + '/*.txt: no such file')
            self.assertEqual(sorted(tree(more)), ['a.log', 'b.log'])
        home = self.home
        self.in_each(expanded)

    def test_what_is_no_file_and_no_directory_is_refused(self):
        os.mkdir(self.at_home('d'))
        os.mkfifo(self.at_home('d', 'fifo'))
        write(self.at_home('e', 'f', 'g'))
        os.symlink('nowhere', self.at_home('dangling'))
        write(self.at_home('new\nline'))
        for path, said in (('d', 'd/fifo: neither a file nor a directory'),
                           ('dangling', 'dangling link (to nowhere)'),
                           ('/', '/: cannot be fetched'), ('e/.', 'as a whole'),
                           ('e/f/..', 'as a whole')):
            with self.subTest(path=path):
                verdict = self.get([path], self.path('back'))
                self.assertEqual(verdict.kind, 'failed')
                self.assertIn(said, verdict.reason)
                self.assertFalse(os.path.exists(self.path('back')))

    def test_C_9_a_directory_is_replaced_as_a_whole_and_only_if_asked(self):
        write(self.at_home('d', 'new'), b'new')
        write(self.path('back', 'd', 'old'), b'old')
        self.assertIn('is there already', self.get(['d'], self.path('back')).reason)
        self.assertEqual(tree(self.path('back')), {'d': None, 'd/old': b'old'})
        self.assert_ok(self.get(['d'], self.path('back'), replace=True))
        self.assertEqual(tree(self.path('back')), {'d': None, 'd/new': b'new'})

    def test_what_is_the_same_here_is_not_fetched_again(self):
        def again():
            for name in ('a.log', 'b.log', 'dir/x y', 'dir/new\nline', 'one/file'):
                write(self.at_home(name), name.encode())
            os.makedirs(self.at_home('dir', 'empty'))
            back = tempfile.mkdtemp(dir=self.scratch)
            self.assert_ok(self.get(['*.log', 'dir', 'one'], back), '5 files copied')
            self.assert_ok(self.get(['*.log', 'dir', 'one'], back, replace=True),
                           '0 files copied, 5 unchanged')
            self.assertEqual(self.tally.moved, 0)
            os.mkdir(self.at_home('none'))
            self.assert_ok(self.get(['none'], back), '0 files copied')
            self.assert_ok(self.get(['none'], back, replace=True), '0 files copied')
            os.rmdir(self.at_home('none'))
            os.rmdir(os.path.join(back, 'none'))
            write(self.at_home('b.log'), b'changed')
            # The same contents.
            os.rename(self.at_home('dir', 'x y'), self.at_home('dir', 'z'))
            self.assert_ok(self.get(['*.log', 'dir', 'one'], back, replace=True),
                           '3 files copied, 2 unchanged')
            self.assertEqual(tree(back), tree(self.home))
            self.assert_nothing_left()
        self.in_each(again)

    def test_Y_5_a_second_get_into_the_same_directory_is_refused(self):
        write(self.at_home('x'), b'x')
        os.mkdir(self.path('back'))
        lock = Lock(self.path('back'))
        self.assertTrue(lock.take())
        self.assertIn('in use by another get', self.get(['x'], self.path('back')).reason)
        lock.release()
        self.assert_ok(self.get(['x'], self.path('back')))

    def test_what_a_killed_get_left_is_removed_and_what_it_had_moved_aside_is_back(self):
        write(self.at_home('x'), b'x')
        write(self.path('back', '.part-1', 'old', 'd', 'f'), b'saved')
        write(self.path('back', '.part-1', 'new', 'd', 'f'), b'half')
        self.assert_ok(self.get(['x'], self.path('back')))
        self.assertEqual(tree(self.path('back')), {'d': None, 'd/f': b'saved', 'x': b'x'})

    def test_an_old_copy_is_back_after_any_error_between_the_two_renames(self):
        write(self.at_home('x', 'f'), b'new')
        rename = os.rename
        for error, times, caught in ((OSError(5, 'Input/output error'), 1, LocalError),
                                     (OSError(5, 'Input/output error'), 2, LocalError),
                                     (Cancelled(), 1, Cancelled)):
            with self.subTest(error=error, times=times):
                back = tempfile.mkdtemp(dir=self.scratch)
                write(os.path.join(back, 'x', 'f'), b'old')
                failures = [None] + times * [error]

                def failing(old, new):
                    failure = failures.pop(0) if failures else None
                    if failure is not None:
                        raise failure
                    rename(old, new)
                with mock.patch.object(os, 'rename', failing), self.assertRaises(caught):
                    self.get(['x'], back, replace=True)
                self.assertEqual((failures, tree(back)), ([], {'x': None, 'x/f': b'old'}))

    def test_an_old_copy_that_cannot_be_moved_back_is_kept_and_named(self):
        write(self.at_home('x', 'f'), b'new')
        write(self.path('back', 'x', 'f'), b'old')
        rename = os.rename

        def failing(old, new):
            if os.path.dirname(new) == self.path('back'):
                raise OSError(5, 'Input/output error')
            rename(old, new)
        with mock.patch.object(os, 'rename', failing), self.assertRaisesRegex(
                LocalError, 'cannot be moved back') as caught:
            self.get(['x'], self.path('back'), replace=True)
        with open(os.path.join(caught.exception.hint.replace('it is now ', ''), 'f')) as file:
            self.assertEqual(file.read(), 'old')
        self.assert_ok(self.get(['x'], self.path('back'), replace=True))
        self.assertEqual(tree(self.path('back')), {'x': None, 'x/f': b'new'})

    # Bytes that 1,000 bytes need: those of the stream and those of the unpacked file.
    needed_room = 2000

    def test_no_room_here_is_said_before_anything_comes(self):
        write(self.at_home('x'), b'x' * 1000)
        real = os.statvfs(self.scratch)
        with mock.patch.object(os,
                               'statvfs', lambda path: mock.Mock(f_bavail=0, f_frsize=real.f_frsize,
                                                                 f_blocks=9)):
            verdict = self.get(['x'], self.path('back'))
        self.assertIn('(1000 bytes to copy need %d bytes, 0 are free)'
                      % self.needed_room, verdict.reason)
        self.assertEqual(os.listdir(self.path('back')), [])

    def test_a_disk_that_is_full_after_all_is_this_machines_fault_and_leaves_nothing(self):
        write(self.at_home('x'), b'x' * 1000)
        with mock.patch.object(tar_get.Receiver, '_write',
                               side_effect=OSError(28, 'No space left on device')):
            with self.assertRaises(LocalError) as caught:
                self.get(['x'], self.path('back'))
        self.assertIn('No space left', caught.exception.message)
        self.assertEqual(os.listdir(self.path('back')), [])


def packed(members):
    """Return a tar stream; members: {name: bytes, or a TarInfo without content}."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode='w', format=tarfile.GNU_FORMAT) as tar:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return file.getvalue()


def special(name, kind, link=''):
    """Return a member that is neither a file nor a directory."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


class HostileHosts(unittest.TestCase):
    """What a host may send, independent of the request."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.into = os.path.join(directory.name, 'into')

    def get(self, announced, members, patterns=('x',), told=None, stream=None, replace=False):
        """Drive a get; told: the lines after the stream, by default the correct ones for a single
        file.
        """
        stream = packed(members) if stream is None else stream
        content = next((content for content in members.values() if isinstance(content, bytes)), b'')
        told = (b'tar 0\ndigest sha256 %s\n' % manifest.sha256([content]).encode() if told is None
                else told)
        verdict, _requests = drive(
            transfer.get(session(), HOST, patterns, self.into, Terms(),
                         GetOptions(replace),
                         CopyProgress()),
            [says(announced + stream, stderr=told)])
        return verdict, tree(self.into) if os.path.isdir(self.into) else {}

    def test_what_was_asked_for_is_taken(self):
        verdict, came = self.get(b'path 1 3 /r/x\nsend\n', {'r/x': b'abc'})
        self.assertTrue(verdict.ok, verdict)
        self.assertEqual(came, {'x': b'abc'})

    def test_S_6_members_that_lead_out_or_are_no_files_are_refused_and_nothing_appears(self):
        for members in ({'r/x': b'abc', '../evil': b''}, {'r/x': b'abc', '/evil': b''},
                        {'r/x': b'abc', 'r/evil': b''},
                        {'r/x': b'abc', 'r/x/../../e': b''},
                        {'r/x': special('r/x', tarfile.SYMTYPE, '/etc/passwd')},
                        {'r/x': special('r/x', tarfile.SYMTYPE, 'y')},
                        {'r/x': special('r/x', tarfile.FIFOTYPE)},
                        {'r/x': special('r/x', tarfile.CHRTYPE)},
                        {'r/x': special('r/x', tarfile.LNKTYPE, '/etc/passwd')}):
            with self.subTest(members=list(members)):
                verdict, came = self.get(b'path 1 3 /r/x\nsend\n', members)
                self.assertEqual((verdict.kind, came), ('failed', {}))

    def test_S_9_more_or_less_or_other_than_was_announced_is_refused(self):
        right = packed({'r/x': b'abc'})
        digest = b'digest sha256 ' + manifest.sha256([b'abc']).encode() + b'\n'
        for stream, told, reason in (
                (packed({'r/x': b'ab'}), None, '2 of 3 bytes'), (packed({}), None, 'did not come'),
                (b'nonsense' * 999, None, 'tar'),
                (right[:700], None, ''),
                (right, b'tar 2\ntar: x: cannot open\n', 'tar: x: cannot open'),
                (right, b'tar 0\n', 'changed'), (right, b'', 'tar failed'),
                (right, b'tar 0\ndigest sha256 00\n', 'changed'),
                (packed({'r/x': b'x' * (2 << 20)}), None, 'more than it announced'),
                (right, digest, 'tar failed')):
            with self.subTest(told=told, reason=reason):
                with mock.patch.object(host_limits, 'DIRECTORIES_ROOM', 1 << 20):
                    verdict, came = self.get(b'path 1 3 /r/x\nsend\n', {'r/x': b'abc'}, told=told,
                                             stream=stream)
                self.assertEqual((verdict.kind, came), ('failed', {}))
                self.assertIn(reason, verdict.reason)

    def test_S_5_names_that_nobody_asked_for_are_refused(self):
        for announced, patterns in ((b'path 1 3 /r/.bashrc\n', ('x',)),
                                    (b'path 1 3 /r/x.sh\n', ('*.log',)),
                                    (b'path 1 3 /r/x\npath 1 3 /r/y\n', ('x',))):
            with self.subTest(announced=announced):
                verdict, came = self.get(announced + b'send\n', {}, patterns)
                self.assertIn('nobody asked for', verdict.reason)
                self.assertEqual(came, {})

    def test_S_26_an_announcement_that_is_none_is_the_hosts_failure(self):
        for line in (b'nonsense', b'path 1 2', b'path x y /r/x', b'path \xc2\xb2 1 /r/x',
                     b'path -1 1 /r/x', b'path 1 1 x',
                     b'path 1 ' + b'9' * 6000 + b' /r/x', b'path 1 1 /', b'path 1 1 /r/\0x',
                     b'path 1 1 /r/..', b'path 1 1 /r/.', b'', b'x' * 99999,
                     b'path 1 1 /a/x\npath 1 1 /b/x'):
            with self.subTest(line=line[:30]):
                verdict, came = self.get(line + b'\nsend\n', {})
                self.assertEqual((verdict.kind, came), ('failed', {}))

    def test_SR_4_a_stream_with_deep_directories(self):
        """SR-4: it is refused, nothing is left, and the next get works."""
        deep = {'r/x/'
                + '/'.join('d' * level): special('r/x/' + '/'.join('d' * level), tarfile.DIRTYPE)
                for level in range(300, 1900, 300)}
        verdict, came = self.get(b'path 1 3 /r/x\nsend\n', dict(deep, **{'r/x/f': b'abc'}))
        self.assertEqual((verdict.kind, came), ('failed', {}))
        self.assertIn('more than 100 directories deep', verdict.reason)
        self.assertTrue(self.get(b'path 1 3 /r/x\nsend\n', {'r/x': b'abc'})[0].ok)

    def test_SR_7_what_cannot_be_taken_fails_for_its_host(self):
        """SR-7: an error that is not this machine's, or an unexpected one; existing files stay."""
        os.makedirs(os.path.join(self.into, 'x'))
        rename = os.rename

        def fail(old, new):
            if old.endswith('new/x'):
                raise OSError(errno.ENOTDIR, 'why')
            rename(old, new)

        for name, change, words in (('os.rename', fail, 'cannot be taken (why)'),
                                    ('lwt.copy.tarstream.unpack', MemoryError(),
                                     'accept on this machine ended with MemoryError')):
            with self.subTest(name), mock.patch(name, side_effect=change):
                verdict, came = self.get(b'path 1 3 /r/x\nsend\n', {'r/x': b'abc'}, replace=True)
            self.assertEqual((verdict.kind, came), ('failed', {'x': None}))
            self.assertIn(words, verdict.reason)
        with mock.patch('lwt.copy.tarstream.unpack',
                        side_effect=OSError(errno.ENOSPC, 'full')), self.assertRaises(LocalError):
            self.get(b'path 1 3 /r/x\nsend\n', {'r/x': b'abc'}, replace=True)
        self.assertEqual(tree(self.into), {'x': None})

    def test_SR_7_many_announcements_take_a_moment(self):
        """SR-7: each announcement is checked once."""
        count = host_limits.PATHS // 2
        announced = b''.join(b'path 1 1 /r/%d\n' % number for number in range(count))
        began = time.process_time()
        receiver = tar_get.Receiver(['*'], self.into, GetOptions(),
                                      CopyProgress())
        receiver('stdout', announced)
        self.assertEqual((len(receiver.paths), receiver.problem), (host_limits.PATHS // 2, ''))
        self.assertLess(time.process_time() - began, 5)

    def test_an_interrupted_get_leaves_nothing(self):
        def broken(command):
            mark = b'\036' + command.sink.nonce.encode()
            command.sink.feed('stdout', mark + b' begin\npath 1 3 /r/x\nsend\nhalf')
            raise Cancelled()
        with self.assertRaises(Cancelled), contextlib.suppress(StopIteration):
            drive(transfer.get(session(), HOST, ['x'], self.into, Terms(),
                               GetOptions(), CopyProgress()),
                  [broken])
        self.assertEqual(os.listdir(self.into), [])

    def test_a_get_of_no_use_takes_nothing_more(self):
        receiver = self.receiver(['x'])
        receiver('stdout', b'path 1 1 /r/y\n')
        self.assertIn('nobody asked for', receiver.problem)
        for _ in range(1000):
            self.assertTrue(receiver('stdout', b'x' * (1 << 16)))
        self.assertLess(len(receiver._head), 1 << 16)

    def receiver(self, patterns, replace=False):
        return tar_get.Receiver(patterns, self.into, GetOptions(replace),
                                  CopyProgress())

    def announced(self, text, free=1 << 50, blocks=1 << 40):
        """Return the problem of a _Receiver that got this announcement, with so many bytes free."""
        there = mock.Mock(f_bavail=free, f_frsize=1, f_blocks=blocks)
        with self.receiver(['*']) as receiver, mock.patch.object(os, 'statvfs', return_value=there):
            receiver('stdout', text)
            self.assertEqual(receiver.error, None)
            return receiver.problem, receiver._room

    def test_SR_7_the_files_of_a_get_have_a_number_and_its_stream_an_end(self):
        most = host_limits.MEMBERS
        problem, room = self.announced(b'path %d 0 /x\nsend\n' % most)
        self.assertEqual(problem, '')
        self.assertLess(room, 8 << 30)
        for text in (b'path 1000000000000 0 /x\n', b'path %d 0 /x\n' % (most + 1),
                     b'path %d 0 /x\npath 1 0 /y\n' % most,
                     b'path %d 0 /a/x\npath 1 0 /b/x\n' % most):
            with self.subTest(text=text):
                self.assertEqual(self.announced(text + b'send\n')[0],
                                 'more than 1000000 files at a time')

    def test_SR_7_a_get_needs_room_for_the_stream_and_for_what_is_unpacked(self):
        large, kept = 1 << 24, (1 << 30) // 20
        for size, free, needed in ((1000, 2000, 0), (1000, 1999, 2000), (large, large + kept, 0),
                                   (large, large + kept - 1, large + kept),
                                   (4 * large, 8 * large - 1, 8 * large)):
            with self.subTest(size=size, free=free):
                problem, _room = self.announced(b'path 1 %d /x\nsend\n' % size, free, 1 << 30)
                self.assertEqual(problem,
                                 needed and 'disk full: %s (%d bytes to copy need %d bytes, '
                                            '%d are free)' % (
                                                self.into, size, needed, free) or '')

    def test_SR_7_a_get_leaves_room_on_the_disk(self):
        taken = 0
        with self.receiver(['x']) as receiver:
            receiver('stdout', b'path 1000000 0 /x\nsend\n')
            self.assertEqual((receiver.problem, receiver.error), ('', None))
            with mock.patch.object(os, 'statvfs',
                                   return_value=mock.Mock(f_bavail=1 << 10, f_frsize=4096,
                                                          f_blocks=1 << 20)):
                while not receiver('stdout', b'x' * (1 << 16)) and taken < 1 << 30:
                    taken += 1 << 16
        self.assertLess(taken, host_limits.ROOM_EVERY + 1)
        self.assertIn('(after 16 MB of what the host sends)', receiver.problem)
        self.assertEqual(os.listdir(self.into), [])

    def test_SR_7_a_get_of_very_many_things_is_announced_and_unpacked_in_little_time(self):
        count = host_limits.PATHS
        text = b''.join(b'path 0 0 /r/%06d\n' % number for number in range(count))
        receiver = self.receiver(['*'])
        began = time.process_time()
        receiver('stdout', text)
        self.assertEqual((len(receiver.paths), receiver.problem), (count, ''))
        find = get_verify._finder(receiver.delivery().announced)
        self.assertEqual({find('r/%06d/a/b' % number) for number in range(0, count, 10)},
                         {('r/%06d' % number, '%06d' % number) for number in range(0, count, 10)})
        self.assertLess(time.process_time() - began, 4)

    def test_a_member_belongs_to_the_first_thing_that_it_is_in(self):
        announced = [get_verify.Announced(path, name, 0, 0, '') for path, name in (
            ('/r//b/./c', 'c'), ('/r/b', 'b'), ('/r/b/c/d', 'd'), ('/s/x', ''))]
        find = get_verify._finder(announced)
        for name, found in (('r/b/c/d/e', ('r/b/c', 'c')), ('r/b/c', ('r/b/c', 'c')),
                            ('r/b/e', ('r/b', 'b')), ('r/bc', ('', '')),
                            ('r', ('', '')), ('', ('', '')), ('/r/b', ('', '')),
                            ('s/x/y', ('s/x', ''))):
            with self.subTest(name=name):
                self.assertEqual(find(name), found)

    def test_a_directory_of_a_host_that_cannot_be_made_is_an_error_of_its_flow_alone(self):
        """The sink, which the loop calls, raises nothing."""
        open(self.into, 'w').close()
        refused = UsageError('into: a link of somebody else')
        for patch, said in ((contextlib.suppress(), 'into: File exists'),
                            (mock.patch('lwt.workspace.files.make_dir', side_effect=refused),
                             'into: a link'),
                            (mock.patch('lwt.workspace.files.make_dir',
                                        side_effect=OSError(28, 'No space')), 'disk full: .*into')):
            with self.subTest(said=said), patch, self.assertRaisesRegex(LocalError, said):
                self.get(b'path 1 3 /r/x\nsend\n', {'r/x': b'abc'})

    def test_a_directory_of_a_host_that_cannot_be_read_is_an_error_of_its_flow_alone(self):
        os.mkdir(self.into)
        with mock.patch.object(os, 'listdir', side_effect=PermissionError(13, 'Permission denied')):
            self.assertRaisesRegex(LocalError, 'into: Permission denied', self.get, b'', {})

    def test_F_17_a_put_ends_as_its_call_ends(self):
        with tempfile.NamedTemporaryFile() as file:
            wanted = manifest.survey([file.name])
            for answer, kind, reason in ((says(code=1, stderr=b'mv: no\n'), 'failed', 'mv: no'),
                                         (says(b'all\n'), 'failed',
                                          'an answer that cannot be read'),
                                         (unreached(), 'refused',
                                          'unreachable (connection refused)')):
                with self.subTest(reason=reason):
                    verdict, _requests = drive(transfer.put(session(), HOST, wanted, 't',
                                                            Terms(),
                                                            CopyProgress()),
                                               [answer])
                    self.assertEqual((verdict.kind, verdict.reason), (kind, reason))


class Sources(unittest.TestCase):
    """Checks before a put."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = directory.name
        write(os.path.join(self.root, 'd', 'f'), b'abc')
        os.makedirs(os.path.join(self.root, 'd', 'e'))

    def test_links_are_followed_and_entries_named_for_the_host(self):
        os.symlink('f', os.path.join(self.root, 'd', 'l'))
        found = manifest.survey([os.path.join(self.root, 'd')])
        self.assertEqual((found.single, [(entry.name, entry.size) for entry in found.entries]),
                         ('d', [('./it', 0), ('./it/e', 0), ('./it/f', 3), ('./it/l', 3)]))

    def test_C_8_what_cannot_be_sent_is_refused(self):
        os.mkfifo(os.path.join(self.root, 'fifo'))
        os.makedirs(os.path.join(self.root, 'loop'))
        os.symlink('.', os.path.join(self.root, 'loop', 'again'))
        os.symlink('nosuch', os.path.join(self.root, 'l'))
        os.makedirs(os.path.join(self.root, 'e', 'f'))
        for paths in (['nosuch'], ['fifo'], ['loop'], ['d/f', 'e/f'], ['l']):
            with self.subTest(paths=paths):
                self.assertRaises(UsageError, manifest.survey,
                                  [os.path.join(self.root, path) for path in paths])
        self.assertRaises(UsageError, manifest.survey, ['/'])

    @unittest.skipUnless(shutil.which('cksum'), 'no cksum')
    def test_cksum_is_that_of_the_tool(self):
        for data in (b'', b'abc', bytes(range(256)) * 999):
            told = subprocess.run(['cksum'], input=data, stdout=subprocess.PIPE).stdout
            self.assertEqual(told, b'%d %d\n' % (manifest.cksum([data[:7], data[7:]]), len(data)))

    def test_a_stream_is_a_tar_file(self):
        found = manifest.survey([os.path.join(self.root, 'd')])
        counted = []
        data = b''.join(manifest.stream(found.entries, counted.append))
        self.assertEqual((len(data) % manifest.RECORD, sum(counted)), (0, 3))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            self.assertEqual([(member.name, member.size) for member in tar],
                             [('./it', 0), ('./it/e', 0), ('./it/f', 3)])

    def test_only_bytes_of_files_count_and_never_more_than_are_expected(self):
        for size, stream, reached, moved, expected in (
                (85, 10240, (512, 10240), 85, 0), (85, 0, (80, 99), 85, 0),
                (0, 10240, (512,), 0, 0),
                (100, 200, (100, 50), 50, 0), (None, 0, (5, 3, 9), 9, 9), (100, 50, (50,), 50, 0)):
            with self.subTest(size=size, stream=stream, reached=reached):
                tally = CopyProgress()
                counted = CopiedBytes(tally, size, stream)
                for number in reached:
                    counted.reach(number)
                self.assertEqual((tally.moved, tally.expected), (moved, expected))
                counted.finish()
                self.assertEqual(tally.moved, moved if size is None else size)


if __name__ == '__main__':
    unittest.main()
