"""put and get by scp to this machine, where cp replaces scp, in every shell; and the parts of
copies that need no host.
"""

import os
import stat
import unittest

from lwt.copy import manifest, scp_child, scp_put, sftp_batch, staging
from lwt.copy.progress import CopyProgress
from lwt.errors import UsageError
from lwt.flow import running
from tests import test_copy
from tests.test_copy import CopyTestCase, tree, write

LISTING = """\
drwxr-xr-x    ? 0        0            4096 Nov 29 20:29 /x/.
drwxr-xr-x    ? 0        0            4096 Nov 29 20:29 /x/..
-rw-r--r--    ? 0        0              17 Nov 29 20:29 /x/a b
lrwxrwxrwx    ? 0        0               3 Nov 29 20:29 /x/link
-rw-r--r--+   ? someone  users           5 Jan  1  2020 /x/c
drwx------    ? 0        0            4096 Nov 29 20:29 /x/sub
Couldn't canonicalize: No such file or directory
"""


class ByScp:
    """Copies by scp, in the first shell and on a host with nothing but busybox.

    The scripts share most of their code with those of tar streams, which run in every shell.
    """

    transport = 'scp'

    def environments(self):
        """The simulated hosts for in_each."""
        found = super().environments()
        return found[:1] + found[1:][-1:]


class PutsByScp(ByScp, test_copy.Puts):
    """The tests of a put as a tar stream, for a put by scp."""

    # It changes the tar stream.
    test_what_arrives_otherwise_than_it_was_sent_is_refused = None


class GetsByScp(ByScp, test_copy.Gets):
    """The tests of a get as a tar stream, for a get by scp."""

    needed_room = 1000                  # nothing is unpacked
    # It fails where a stream is written.
    test_a_disk_that_is_full_after_all_is_this_machines_fault_and_leaves_nothing = None


class Staging(CopyTestCase):
    """The local tree that scp copies."""

    def test_the_tree_has_the_names_modes_and_times_of_the_manifest(self):
        file = write(self.path('tree', 'sub', 'a b'), b'content', 0o640)
        os.chmod(self.path('tree', 'sub'), 0o750)
        os.utime(self.path('tree', 'sub'), (10 ** 9, 10 ** 9))
        entries = manifest.survey([self.path('tree')]).entries
        with running(1, 1.0) as run:
            staged = run.report(staging.lay_out(entries))
        os.rename(staged, self.path('staged'))
        self.assertEqual(staging.tops(self.path('staged')), [self.path('staged', 'it')])
        info = os.stat(self.path('staged', 'it', 'sub'))
        self.assertEqual((stat.S_IMODE(info.st_mode), info.st_mtime), (0o750, 10 ** 9))
        self.assertEqual(tree(self.path('staged'))['it/sub/a b'], b'content')
        self.assertEqual(staging.find_changed(entries), '')
        write(file, b'another')
        self.assertIn('changed while it was read', staging.find_changed(entries))


    def test_what_scp_copies_is_known_before_the_host_can_answer(self):
        wanted = manifest.survey([write(self.path('file'), b'content')])
        sender = scp_put.ScpSender(wanted, CopyProgress(), {})
        sender('stdout', b'all\ngo sha256\n')
        self.assertTrue(sender.read(1000).startswith(b'1 sha256 '))
        self.assertEqual(sender.needed, list(wanted.entries))


class Listings(unittest.TestCase):
    """The directory listings of sftp."""

    def test_sizes_and_entries_are_counted_and_names_are_not_read(self):
        listing = sftp_batch.parse_listing(LISTING.splitlines())
        self.assertEqual(listing, sftp_batch.Listing((5, 17), 4))

    def test_a_link_on_the_host_may_be_a_file_of_any_size_here(self):
        remote = sftp_batch.Listing((5, 17), 4)
        for sizes, count, expected in (((5, 9, 17), 4, True), ((5, 17), 4, True),
                                       ((5, 16, 99), 4, False), ((5, 9, 17), 3, False)):
            with self.subTest(sizes=sizes, count=count):
                self.assertEqual(remote.allows(sftp_batch.Listing(sizes, count)), expected)

    def test_paths_are_relative_to_the_login_directory(self):
        for home, path, expected in (('~', 'a', './a'), ('~', '/a', '/a'), ('w', 'a', './w/a'),
                                     ('~/w', '~', './.'), ('/h', 'a/b', '/h/a/b'),
                                     ('w', '~/x', './x')):
            with self.subTest(home=home, path=path):
                self.assertEqual(sftp_batch.login_path(home, path), expected)
        self.assertRaises(UsageError, sftp_batch.login_path, '~', '~other/x')


class Children(unittest.TestCase):
    """scp and sftp as children."""

    def test_paths_are_cut_into_parts_that_fit(self):
        paths = ['x' * 20000, 'y', 'z' * 20000, 'w']
        parts = list(scp_child.in_parts(paths))
        self.assertEqual(parts, [tuple(paths[:2]), tuple(paths[2:])])
        self.assertEqual(list(scp_child.in_parts([])), [])

    def test_more_than_may_come_ends_a_download(self):
        tally = CopyProgress()
        progress = scp_child.ScpProgress(tally, 10, '/nowhere', 1 << 50, 'too much')
        self.assertIsNotNone(progress(os.getpid()))
        self.assertEqual((progress.problem, tally.moved <= 10), ('', True))
        progress = scp_child.ScpProgress(tally, 10, '/nowhere', 1, 'too much')
        self.assertIsNone(progress(os.getpid()))
        self.assertEqual(progress.problem, 'too much')


if __name__ == '__main__':
    unittest.main()
