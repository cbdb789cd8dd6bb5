"""Results: the target of each member that a host sent, and what is removed."""

import concurrent.futures
import contextlib
import errno
import os
import resource
import tarfile
import tempfile
import threading
import unittest
from types import SimpleNamespace
from unittest import mock

from lwt.copy import tarstream
from lwt.errors import LocalError
from lwt.flow import running
from lwt.tasks import result_files, results
from lwt.workspace import files
from lwt.workspace.layout import Workspace


class Places(unittest.TestCase):
    """The contents of d_fetch go into result/, the standard streams beside it. All other files in
    the task's directory are for links.
    """

    TABLE = (       # d_fetch, name, whether it is a directory, target
        ('', 'run.stdout', False, 'run.stdout'), ('', 'run.stderr', False, 'run.stderr'),
        ('out', 'run.stdout', False, 'run.stdout'),
        ('', 'work', True, 'result'), ('', 'work/x', False, 'result/x'),
        ('', 'work/d/x', False, 'result/d/x'),
        ('', 'cancel', False, ''), ('', 'fate', False, ''), ('', 'run.code', False, ''),
        ('', 'workshop/x', False, ''),
        ('', 'work/run.stdout', False, 'result/run.stdout'),
        ('out', 'work/out', True, 'result'), ('out', 'work/out/x', False, 'result/x'),
        ('out', 'work/other', False, '.beyond/work/other'),
        ('out', 'work/outer/x', False, '.beyond/work/outer/x'),
        ('out', 'work', True, '.beyond/work'),
        ('', './work/x', False, '.beyond/work/x'), ('', './run.stdout', False, ''),
        ('out', 'out/x', False, ''),
        ('d/out', 'work/d/out/x', False, 'result/x'), ('d/out', 'work/d', True, '.beyond/work/d'),
        ('d/log.txt', 'work/d/log.txt', False, 'result/log.txt'),
    )

    def test_each_member_has_its_place(self):
        for d_fetch, name, is_directory, place in self.TABLE:
            with self.subTest(d_fetch=d_fetch, name=name):
                self.assertEqual(result_files.place(name, is_directory, d_fetch), place)


class Removals(unittest.TestCase):
    """files.remove_tree."""

    def test_Y_1_two_that_remove_the_same_tree_do_not_hinder_each_other(self):
        with tempfile.TemporaryDirectory(prefix='lwt-test.') as scratch:
            for number in range(30):
                path = os.path.join(scratch, str(number))
                for name in range(30):
                    os.makedirs(os.path.join(path, str(name), 'deep'))
                start = threading.Barrier(3)

                def remove(path=path, start=start):
                    start.wait()
                    files.remove_tree(path)

                with concurrent.futures.ThreadPoolExecutor(3) as pool:
                    for done in [pool.submit(remove) for _ in range(3)]:
                        done.result()
                self.assertFalse(os.path.exists(path))


KEY = 'ab' * 16 + '.1'


class Blame(unittest.TestCase):
    """SR-7: errors in a host's data count against that host; errors of this machine end the run."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix='lwt-test.')
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        os.mkdir(os.path.join(self.scratch, 'task.finish'))
        self.stream = os.path.join(self.scratch, 'stream')

    def unpack(self, *members):
        """Return what Books.unpack returns for an archive of these (name, type, link)."""
        with tarfile.open(self.stream, 'w') as tar:
            for name, kind, link in members:
                info = tarfile.TarInfo('%s/%s' % (KEY, name))
                info.type, info.linkname = kind, link
                tar.addfile(info)
        inbox = SimpleNamespace(path=self.stream, digest='', has_stream=True)
        with running(1, 1.0) as run:
            books = results.Books(Workspace(self.scratch), None, 'h')
            return run.reports([books.unpack(inbox, {KEY: ('out', 0)}, 'h')])[0]

    def test_SR_7_links_that_contradict_what_came(self):
        parcel = self.unpack(('work/out/out/f', tarfile.REGTYPE, ''),
                             ('./work/real', tarfile.REGTYPE, ''),
                             ('work/out', tarfile.SYMTYPE, 'real'))
        self.assertEqual((parcel.problem, parcel.came[KEY].problem),
                         ('', 'out: Is a directory (to real)'))

    def test_SR_7_errors_of_this_machine_and_others(self):
        for number in sorted(tarstream.OURS) + [errno.EISDIR, errno.ENAMETOOLONG, errno.ENOENT]:
            with self.subTest(error=errno.errorcode[number]), contextlib.ExitStack() as stack:
                stack.enter_context(
                    mock.patch('lwt.workspace.files.sync_tree', side_effect=OSError(number, 'why')))
                if number in tarstream.OURS:
                    stack.enter_context(self.assertRaises(LocalError))
                parcel = self.unpack(('work/out/f', tarfile.REGTYPE, ''))
                self.assertEqual(parcel, ('cannot unpack the results (why)', {}))
        with mock.patch('os.access', return_value=False), self.assertRaises(LocalError), \
                mock.patch('lwt.workspace.files.sync_tree',
                           side_effect=OSError(errno.EACCES, 'why')):
            self.unpack(('work/out/f', tarfile.REGTYPE, ''))

    def test_SR_7_a_job_that_crashes_at_once_or_in_a_child(self):
        with mock.patch('lwt.tasks.result_files.unpack', side_effect=RecursionError('too deep')):
            self.assertIn('RecursionError: too deep',
                          self.unpack(('work/out/f', tarfile.REGTYPE, '')).problem)
        with mock.patch('lwt.copy.tarstream.work', return_value=1 << 30), \
                mock.patch('lwt.copy.child_jobs.PROGRAM', 'raise MemoryError'):
            parcel = self.unpack(('work/out/f', tarfile.REGTYPE, ''))
        self.assertIn('unpack_part on this machine ended with exited 1: MemoryError',
                      parcel.problem)
        self.assertEqual(os.listdir(os.path.join(self.scratch, 'task.finish')), [])


DEPTH = 2100            # nested directories: beyond PATH_MAX and Python's recursion limit


class DeepTrees(unittest.TestCase):
    """SR-4: handling a whole tree needs no recursion, no long path and few descriptors."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix='lwt-test.')
        self.addCleanup(scratch.cleanup)
        self.path = os.path.join(scratch.name, 'deep')
        self.addCleanup(files.remove_tree, self.path)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))

    def make(self, names=()):
        """Make the tree; names: of files of 10 bytes in each of its directories."""
        os.mkdir(self.path)
        fd = os.open(self.path, os.O_RDONLY)
        for _level in range(DEPTH):
            for name in names:
                with open(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=fd), 'wb') as file:
                    file.write(bytes(10))
            os.mkdir('d', dir_fd=fd)
            below = os.open('d', os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        os.symlink('../..', 'up', dir_fd=fd)
        os.close(fd)

    def test_SR_4_deep_directories_are_removed(self):
        for remove in (files.remove_tree, files.discard):
            with self.subTest(remove=remove.__name__):
                self.make()
                remove(self.path)
                self.assertFalse(os.path.lexists(self.path))

    def test_SR_4_deep_directories_are_measured_and_synced(self):
        self.make(['a', 'b'])
        self.assertEqual(files.tree_size(self.path), 20 * DEPTH + len('../..'))
        with mock.patch('os.fsync') as fsync:
            files.sync_tree(self.path)
        self.assertEqual(fsync.call_count, 3 * DEPTH + 1)

    def test_SR_4_nothing_is_done_through_a_link(self):
        os.makedirs(os.path.join(self.path, 'kept'))
        os.mkdir(os.path.join(self.path, 'tree'))
        for target in ('../kept', '..'):
            os.symlink(target, os.path.join(self.path, 'tree', target.strip('./') or 'up'))
        files.remove_tree(os.path.join(self.path, 'tree'))
        self.assertEqual(os.listdir(self.path), ['kept'])

    def test_SR_4_a_tree_that_is_moved_meanwhile_is_left(self):
        """The way up is checked, because it may lead elsewhere by then."""
        os.makedirs(os.path.join(self.path, 'tree', 'a', 'b'))
        os.makedirs(os.path.join(self.path, 'elsewhere'))
        below = os.path.join(self.path, 'tree', 'a')
        with self.assertRaises(OSError):
            for _fd, name, _info in files.walk(os.path.join(self.path, 'tree')):
                self.assertEqual(name, 'b')
                os.rename(below, os.path.join(self.path, 'elsewhere', 'a'))


class Directories(unittest.TestCase):
    """The directories of a task's results."""

    PLACE = Workspace('/w')
    TASK = SimpleNamespace(name='crawl', added=86400.0, id=7, attempt=1)

    def test_whoever_finds_a_task_finds_the_same_directory(self):
        self.assertEqual(results.directory(self.PLACE, self.TASK),
                         '/w/task.finish/crawl.19700102-000000.000007')

    def test_F_13_attempts_never_share_a_directory(self):
        second = SimpleNamespace(**dict(vars(self.TASK), attempt=2))
        self.assertEqual(results.attempt_directory(self.PLACE, self.TASK),
                         '/w/task.finish/.attempt.000007.1')
        self.assertEqual(results.attempt_directory(self.PLACE, second),
                         '/w/task.finish/.attempt.000007.2')


if __name__ == '__main__':
    unittest.main()
