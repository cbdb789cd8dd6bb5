"""The files of jobs on hosts: where they are on both machines, and their streams."""

import io
import os
import tarfile
import tempfile
import unittest

from lwt.errors import UsageError
from lwt.multi import job_files
from lwt.multi.job import Job
from lwt.multi.template import PathTemplate


class Places(unittest.TestCase):
    """job_files.place and job_files.plan."""

    def test_a_path_is_relative_or_absolute_on_both_machines(self):
        for path, local, remote in (
                (b'a', b'a', b'a'), (b'./a', b'./a', b'a'), (b'a//b/', b'a//b/', b'a/b'),
                (b'/x/a', b'/x/a', b'/x/a'), (b'out/./in/a', b'out/in/a', b'in/a'),
                (b'/x/./a', b'/x/a', b'a'), (b'../x/./a', b'../x/a', b'a'),
                (b'a b\n\xff', b'a b\n\xff', b'a b\n\xff')):
            with self.subTest(path=path):
                self.assertEqual(job_files.place(path), (local, remote))

    def test_a_path_that_leaves_the_directory_on_the_host_is_refused(self):
        for path in (b'../a', b'a/../../b', b'x/./../a', b'', b'.', b'/', b'x/./'):
            with self.subTest(path=path), self.assertRaises(UsageError):
                job_files.place(path)

    def test_placeholders_are_filled_in_without_quotes(self):
        options = job_files.FileOptions(
            (PathTemplate(b'{}', 1),), (PathTemplate(b'{/.}.{host}.{#}', 1),),
            workdir=PathTemplate(b'dir {%}', 1))
        plan = job_files.plan(options, Job(7, None, arguments=(b"d/it's.wav",)), 3, 'h1', b'~')
        self.assertEqual([one.remote for one in plan.sent], [b"d/it's.wav"])
        self.assertEqual([one.local for one in plan.fetched], [b"it's.h1.7"])
        self.assertEqual(plan.directory, b'dir 3')

    def test_without_a_working_directory_it_is_the_home(self):
        plan = job_files.plan(job_files.FileOptions(), Job(1, None), 1, 'h1', b'~/lwt')
        self.assertEqual((plan.directory, plan.is_own_directory), (b'~/lwt', False))

    def test_three_dots_are_a_directory_for_each_job(self):
        options = job_files.FileOptions(workdir=PathTemplate(b'...', 1))
        plans = [job_files.plan(options, Job(number, None), 1, 'h1', b'~') for number in (1, 2)]
        self.assertNotEqual(plans[0].directory, plans[1].directory)
        self.assertTrue(all(plan.is_own_directory for plan in plans))


class Streams(unittest.TestCase):
    """job_files.Shipment and job_files.take_returned."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name

    def path(self, *names):
        return os.path.join(self.scratch, *names)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), 'w') as file:
            file.write(text)

    def test_files_directories_and_links_are_sent_and_the_size_is_known(self):
        self.write('d/' + 'long' * 40, 'x' * 1000)
        self.write('d/sub/b', '')
        os.symlink('b', self.path('d', 'sub', 'link'))
        cargo = job_files.Shipment((job_files.JobPath(os.fsencode(self.path('d')), b'there/d'),))
        data = b''.join(cargo.stream())
        self.assertEqual((len(data), cargo.content), (cargo.size, 1000))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            self.assertEqual(sorted(tar.getnames()), [
                './there/d', './there/d/' + 'long' * 40, './there/d/sub', './there/d/sub/b',
                './there/d/sub/link'])

    def test_a_file_that_changes_after_it_was_found_ends_the_stream(self):
        self.write('a', 'old')
        cargo = job_files.Shipment((job_files.JobPath(os.fsencode(self.path('a')), b'a'),))
        self.write('a', 'new and longer')
        with self.assertRaises(OSError):
            list(cargo.stream())
        self.assertIn('changed while it was read', cargo.problem)

    def test_a_missing_file_is_named(self):
        with self.assertRaisesRegex(UsageError, 'nothing: No such file or directory'):
            job_files.Shipment((job_files.JobPath(b'nothing', b'nothing'),))

    def accept(self, members, wanted):
        """Return what take_returned returns for an archive with these {name: content}."""
        os.mkdir(self.path('part'))
        with tarfile.open(self.path('part', 'stream'), 'w') as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        wanted = [[self.path(local), remote] for local, remote in wanted]
        return job_files.take_returned([self.path('part'), self.path('part', 'stream'), wanted])

    def test_what_was_asked_for_is_moved_into_place(self):
        self.write('out/a', 'old')
        self.write('tree/kept', 'kept')
        self.assertEqual(self.accept({'a': b'new', 'd/x/y': b'deep', 'tmp/abs': b'z'}, [
            ('out/a', 'a'), ('tree', 'd'), ('abs', '/tmp/abs')]), ['', 8])
        for name, content in (('out/a', 'new'), ('tree/kept', 'kept'), ('tree/x/y', 'deep'),
                              ('abs', 'z')):
            with open(self.path(name)) as file:
                self.assertEqual(file.read(), content)

    def test_what_nobody_asked_for_does_not_leave_the_temporary_directory(self):
        problem, _size = self.accept({'a': b'a', '../evil': b'x', 'b': b'b'}, [('a', 'a')])
        self.assertIn('leads out', problem)
        self.assertEqual(os.listdir(self.scratch), ['part'])

    def test_a_file_that_did_not_come_is_named(self):
        self.assertEqual(self.accept({'a': b'a'}, [('a', 'a'), ('b', 'b')]),
                         ['b: not returned', 0])
