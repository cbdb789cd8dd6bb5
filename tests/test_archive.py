"""Tar streams: what lwt sends, and what an untrusted host can do with what it sends."""

import contextlib
import errno
import io
import os
import stat
import tarfile
import tempfile
import unittest
from unittest import mock

from lwt.copy import tarstream
from lwt.copy.tar_reader import Refused
from lwt.errors import UsageError
from lwt.remote import host_limits
from lwt.workspace import files

FILE, DIR, SYM, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def member(name, kind=FILE, content=b'', link='', mode=0o644, **more):
    """Return (TarInfo, content) of a member of a hostile archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


class InDirectory(unittest.TestCase):
    """A temporary directory, and a target some levels below it."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = directory.name
        self.tar = os.path.join(self.root, 'x.tar')
        self.target = os.path.join(self.root, 'a', 'b', 'c', 'target')
        os.makedirs(self.target)

    def write(self, *members):
        with tarfile.open(self.tar, 'w', format=tarfile.PAX_FORMAT) as tar:
            for info, content in members:
                tar.addfile(info, io.BytesIO(content))

    def unpack(self, *members):
        """Unpack an archive of these members into an empty target; return what was refused."""
        self.target = tempfile.mkdtemp(dir=os.path.dirname(self.target))
        self.write(*members)
        self.outside = self.names(self.root, but=self.target)
        return tarstream.unpack(self.tar, self.target, lambda name, is_directory: name)

    @staticmethod
    def names(top, but=None):
        """Return the relative paths of everything below a directory, except what is in the
        directory `but`.
        """
        return sorted(os.path.relpath(os.path.join(root, name), top)
                      for root, dirs, files in os.walk(top)
                      for name in dirs + files
                      if but is None or not (root + '/').startswith(but + '/'))

    def content(self, name):
        with open(os.path.join(self.target, name), 'rb') as file:
            return file.read()

    def assert_nothing_outside(self):
        """Assert that nothing was made outside the target, and that nothing inside it leads out."""
        self.assertEqual(self.names(self.root, but=self.target), self.outside)
        inside = os.path.realpath(self.target)
        for name in self.names(self.target):
            real = os.path.realpath(os.path.join(self.target, name))
            self.assertTrue(real == inside or real.startswith(inside + '/'),
                            '%s leads to %s' % (name, real))


class Unpacking(InDirectory):
    """Archives from a host."""

    def test_files_directories_and_links_that_stay_inside_are_made(self):
        self.assertEqual(self.unpack(
            member('./d', DIR), member('d/f', content=b'x'), member('e//g', content=b'y'),
            member('d/up', SYM, link='../e/g'),
            member('dangling', SYM, link='nosuch'), member('h', HARD, link='d/f')), [])
        self.assertEqual(self.names(self.target), ['d', 'd/f', 'd/up', 'dangling', 'e', 'e/g', 'h'])
        self.assertEqual([self.content(name) for name in ('d/f', 'd/up', 'h')], [b'x', b'y', b'x'])
        self.assert_nothing_outside()

    def test_S_6_a_path_that_leads_out_is_refused(self):
        for name in ('../x', '/x', 'a/../../x', 'a/..', '..', '.', './', '//x', 'a/../b'):
            with self.subTest(name=name):
                self.assertEqual(len(self.unpack(member(name, content=b'x'))), 1)
                self.assertEqual(self.names(self.target), [])
                self.assert_nothing_outside()

    def test_S_6_a_link_that_leads_out_is_refused(self):
        for name, link in (('l', '..'), ('l', '/etc/passwd'), ('l', '../x'), ('d/l', '../../x'),
                           ('l', 'a/../../x'),
                           ('l', '/')):
            with self.subTest(name=name, link=link):
                self.assertEqual(len(self.unpack(member(name, SYM, link=link))), 1)
                self.assertEqual(self.names(self.target), [])

    def test_a_link_that_leads_out_only_through_another_link_is_refused(self):
        self.assertNotEqual(self.unpack(member('a/b/up', SYM, link='../..'),
                                        member('out', SYM, link='a/b/up/../..')), [])
        self.assert_nothing_outside()

    def test_S_7_nothing_is_made_through_a_link(self):
        up = member('a/b/up', SYM, link='../..')
        for name, members in (
                ('a file through a link out',
                 (member('l', SYM, link='..'), member('l/x', content=b'x'))),
                ('a file through a link inside', (member('d', DIR), member('l', SYM, link='d'),
                                                  member('l/x', content=b'x'))),
                ('a link through a link', (up, member('a/b/up/out', SYM, link='../..'))),
                ('a link outside', (up, member('a/b/up/out', SYM, link='../..'),
                                    member('a/b/up/out/x', SYM, link='y'))),
                ('a directory outside', (up, member('a/b/up/out', SYM, link='../..'),
                                         member('a/b/up/out/d/x', SYM, link='y')))):
            with self.subTest(name):
                self.assertNotEqual(self.unpack(*members), [])
                self.assert_nothing_outside()

    def test_S_8_a_hard_link_leads_only_to_what_is_in_the_archive(self):
        secret = os.path.join(self.root, 'secret')
        with open(secret, 'w') as file:
            file.write('s')
        for link in (secret, '../../../../secret', 'nosuch', 'h'):
            with self.subTest(link=link):
                self.assertEqual(len(self.unpack(member('h', HARD, link=link))), 1)
                self.assertEqual(self.names(self.target), [])
        self.unpack(member('f', content=b'x'), member('h', HARD, link='f'))
        self.assertEqual((self.content('h'), os.stat(os.path.join(self.target, 'h')).st_nlink),
                         (b'x', 2))

    def test_SR_6_hard_links_take_no_room(self):
        """SR-6: 2,000 hard links to one file are not copied; on file systems without hard links,
        the copies are limited.
        """
        links = [member('h%d' % number, HARD, link='f') for number in range(2000)]
        self.assertEqual(self.unpack(member('f', content=b'x' * 100000), *links), [])
        self.assertEqual(os.stat(os.path.join(self.target, 'f')).st_nlink, 2001)
        no_links = mock.patch('os.link', side_effect=OSError(errno.EPERM, 'none'))
        with no_links, mock.patch.object(host_limits, 'COPIES_OF_HARD_LINKS', 0):
            refused = self.unpack(member('f', content=b'x' * 100000), *links)
        self.assertEqual(len(refused), host_limits.REFUSALS)
        self.assertEqual((self.content('h0'), self.content('f')), (b'x' * 100000,) * 2)
        self.assertIn('may copy', refused[0])

    def test_a_hard_link_to_a_link_to_itself_is_refused(self):
        self.assertEqual(len(self.unpack(member('s', SYM, link='s'), member('h', HARD, link='s'))),
                         1)

    def test_S_10_a_fifo_or_a_device_is_refused(self):
        for kind in (tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE):
            with self.subTest(kind=kind):
                self.assertEqual(len(self.unpack(member('x', kind))), 1)
                self.assertEqual(self.names(self.target), [])

    def test_S_11_a_name_that_is_there_twice_keeps_its_first_content(self):
        for name, second in (('a file', member('f', content=b'2')),
                             ('a link', member('f', SYM, link='g')),
                             ('a hard link', member('f', HARD, link='g')),
                             ('a directory', member('f', DIR)),
                             ('a file below', member('f/x', content=b'2')),
                             ('a link below', member('f/x', SYM, link='g'))):
            with self.subTest(name):
                refused = self.unpack(member('g', content=b'g'), member('f', content=b'1'), second,
                                      member('last', content=b'3'))
                self.assertEqual(len(refused), 1)
                self.assertEqual(self.content('f'), b'1')
                self.assertEqual(self.content('last'), b'3')

    def test_S_12_a_header_that_no_file_can_have_is_refused_or_no_tar_file(self):
        for name, info in (('a NUL in the name', member('x', pax_headers={'path': 'a\0b'})),
                           ('a NUL in a link', member('x', SYM, pax_headers={'linkpath': 'a\0b'})),
                           ('a link to nothing', member('x', SYM, link='')),
                           ('a time that is none', member('x', pax_headers={'mtime': 'nan'})),
                           ('a time beyond all', member('x', pax_headers={'mtime': '1e300'})),
                           ('a name that is too long', member('n' * 300))):
            with self.subTest(name):
                try:
                    self.assertLessEqual(len(self.unpack(info, member('last', content=b'3'))), 1)
                except Refused:
                    continue
                self.assertEqual(self.content('last'), b'3')

    def test_F_12_and_FR_36_modes_are_kept_within_the_umask_and_their_owner_is_not_shut_out(self):
        """FR-36: never setuid, setgid or sticky."""
        old = os.umask(0o027)
        self.addCleanup(os.umask, old)
        self.unpack(
            *[member('f%o' % mode, mode=mode) for mode in (0, 0o644, 0o4755, 0o2777, 0o1700)],
            member('d', DIR, mode=0o777), member('d/e/f', mode=0o666))
        modes = {name: stat.S_IMODE(os.stat(os.path.join(self.target, name)).st_mode)
                 for name in self.names(self.target)}
        self.assertEqual(
            modes, {'f0': 0o400, 'f644': 0o640, 'f4755': 0o750, 'f2777': 0o750, 'f1700': 0o700,
                    'd': 0o750, 'd/e': 0o750, 'd/e/f': 0o640})

    def test_SR_4_what_lies_too_deep_is_refused(self):
        """SR-4: names that nest 300, 600, ... directories are refused; the maximum depth works."""
        deep = ['/'.join('d' * level) for level in range(300, 2100, 300)]
        last = '/'.join('e' * host_limits.DEPTH)
        for kind in (FILE, DIR, SYM, HARD):
            with self.subTest(kind=kind):
                refused = self.unpack(*[member(name, kind, link='x') for name in deep],
                                      member(last), member(last + '/f'))
                self.assertEqual(len(refused), len(deep) + 1)
                self.assertIn('more than 100 directories deep', refused[0])
                self.assertEqual(len(self.names(self.target)), host_limits.DEPTH)

    def test_SR_6_directories_have_a_bound(self):
        """SR-6: at most one directory for each block that was sent, and at most DIRECTORIES; legal
        trees have far fewer.
        """
        def chain(number):
            return '/'.join(['%d' % number] + ['d'] * (host_limits.DEPTH - 1))

        with self.assertRaises(Refused) as caught:
            self.unpack(*[member(chain(number), DIR) for number in range(60)])
        self.assertRegex(str(caught.exception), '^more than 1[0-9]{3} directories$')
        self.assertLess(len(self.names(self.target)),
                        host_limits.DIRECTORIES + os.path.getsize(self.tar) // 512 + 1)
        self.assertEqual(self.unpack(*[member(chain(number), DIR) for number in range(10)]), [])
        many = [member('d%d' % number, DIR) for number in range(host_limits.DIRECTORIES + 500)]
        self.assertEqual(self.unpack(*many), [])

    def test_SR_7_a_stream_that_is_small_may_be_much_work(self):
        """SR-7: the work that a stream causes is counted, so that lwt never does it in the loop."""
        links = [member('l%d' % number, SYM, link='f') for number in range(30)]
        hard_links = [member('h%d' % number, HARD, link='f') for number in range(30)]
        deep = [member('/'.join(['%d' % number] + ['d'] * 90)) for number in range(4)]
        task = [member(name) for name in ('k/run.stdout', 'k/run.stderr', 'k/work/out/f')]
        for name, members, is_much in (
                ('a result', task, False), ('with two links', task + links[:2], False),
                ('links', links, True),
                ('copies', hard_links, True), ('directories', deep, True),
                ('the same name', [member('f')] * 300, True),
                ('many files', [member('f%d' % n) for n in range(300)], True)):
            with self.subTest(name):
                self.write(*members)
                self.assertLess(os.path.getsize(self.tar), 1 << 18)
                work = tarstream.work(self.tar, 1 << 18)
                self.assertEqual(work >= 1 << 18, is_much, work)
                self.assertGreaterEqual(work, os.path.getsize(self.tar))
        with open(self.tar, 'wb') as file:
            file.write(b'no archive' * 100)
        self.assertEqual(tarstream.work(self.tar, 1 << 18), 1000)

    def test_a_link_in_a_directory_with_a_dot_at_the_end_is_made(self):
        for where in ('v1.', 'x/v1.', 'x/...', 'x./y'):
            with self.subTest(where=where):
                self.assertEqual(
                    self.unpack(member(where + '/f'), member(where + '/l', SYM, link='f')), [])
                self.assertEqual(os.readlink(os.path.join(self.target, where, 'l')), 'f')
                self.assert_nothing_outside()

    def test_FR_2_archives_one_after_the_other_are_one(self):
        """FR-2: a host may send several archives; data that is no archive is refused at any
        position.
        """
        whole = b''
        for name in ('a', 'b', 'c'):
            self.write(member(name, content=name.encode() * 3000))
            with open(self.tar, 'rb') as file:
                whole += file.read()
        for data, is_fine in ((whole, True), (whole + b'x' * 1024, False),
                              (whole[:-10240] + b'x' * 1024, False)):
            with open(self.tar, 'wb') as file:
                file.write(data)
            self.target = tempfile.mkdtemp(dir=os.path.dirname(self.target))
            with contextlib.ExitStack() as stack:
                if not is_fine:
                    stack.enter_context(self.assertRaises(Refused))
                self.assertEqual(
                    tarstream.unpack(self.tar, self.target, lambda name, is_directory: name), [])
            if is_fine:
                self.assertEqual(self.names(self.target), ['a', 'b', 'c'])

    def test_place_says_where_a_member_goes_and_may_leave_it_out(self):
        self.write(member('work/x', content=b'1'), member('work/l', SYM, link='x'),
                   member('other', content=b'2'))
        places = {'work/x': 'result/x', 'work/l': 'result/l', 'other': ''}
        self.assertEqual(
            tarstream.unpack(self.tar, self.target, lambda name, is_directory: places[name]), [])
        self.assertEqual(self.names(self.target), ['result', 'result/l', 'result/x'])

    def test_what_is_no_tar_file_is_refused(self):
        for data in (b'no tar file' * 100, b'\x1f\x8b\x08' + b'x' * 2000, b'x'):
            with self.subTest(data=data[:4]):
                with open(self.tar, 'wb') as file:
                    file.write(data)
                self.assertRaises(Refused, tarstream.unpack, self.tar,
                                  self.target, lambda name, is_directory: name)

    def test_S_12_names_of_refused_members_are_harmless(self):
        self.assertTrue(all(line.isprintable() for line in self.unpack(member('../\x1b[2J'),
                                                                       member('\x1b]0;x',
                                                                              tarfile.FIFOTYPE))))


class Completeness(InDirectory):
    """A truncated tar file is distinguished from a complete one."""

    def test_a_whole_one_ends_in_zeros_and_a_cut_one_does_not(self):
        self.write(member('f', content=b'x' * 3000))
        with open(self.tar, 'rb') as file:
            whole = file.read()
        self.assertTrue(tarstream.is_complete(self.tar))
        for size in (0, 512, 1023, 1024, 3000, 3584):
            with self.subTest(size=size):
                with open(self.tar, 'wb') as file:
                    file.write(whole[:size])
                self.assertFalse(tarstream.is_complete(self.tar))


class Packing(InDirectory):
    """Archives for a host."""

    def test_trees_and_texts_are_packed_with_a_size_and_a_digest(self):
        with open(os.path.join(self.target, 'run'), 'w') as file:
            file.write('true\n')
        os.chmod(os.path.join(self.target, 'run'), 0o4640)
        os.symlink('run', os.path.join(self.target, 'l'))
        packed = tarstream.pack(self.tar, {'k/work': self.target}, {'k/kill': '\xe9\udcff'},
                                {'k/work/run'})
        self.assertEqual((packed.path, packed.size), (self.tar, os.path.getsize(self.tar)))
        self.assertEqual(packed.digest, 'sha256 ' + tarstream.sha256(self.tar))
        self.assertTrue(tarstream.is_complete(self.tar))
        with tarfile.open(self.tar) as tar:
            self.assertEqual(sorted(tar.getnames()), ['k/kill', 'k/work', 'k/work/l', 'k/work/run'])
            self.assertEqual(tar.getmember('k/work/run').mode, 0o740)
            self.assertEqual(tar.getmember('k/work/l').linkname, 'run')
            self.assertEqual(tar.extractfile('k/kill').read(), b'\xc3\xa9\xff')
            self.assertEqual({(info.uid, info.gid, info.uname, info.gname) for info in tar},
                             {(0, 0, '', '')})

    def test_the_digest_is_sha_256(self):
        with open(self.tar, 'wb') as file:
            file.write(b'abc')
        self.assertEqual(tarstream.sha256(self.tar),
                         'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')


class Input(InDirectory):
    """Permitted contents of a task's directory."""

    def setUp(self):
        super().setUp()
        os.makedirs(os.path.join(self.target, 'd'))
        with open(os.path.join(self.target, 'd', 'f\nx'),
                  'w'), open(os.path.join(self.target, 'run.sh'), 'w'):
            pass

    def refused(self):
        with self.assertRaises(UsageError) as caught:
            tarstream.check_input(self.target)
        return caught.exception.message

    def test_the_files_at_the_top_are_told(self):
        self.assertEqual(tarstream.check_input(self.target), {'run.sh'})

    def test_D_5_links_inside_may_dangle_and_loop(self):
        for name, link in (('a', 'nosuch'), ('d/b', '../run.sh'), ('loop', 'loop'),
                           ('d/top', '..')):
            os.symlink(link, os.path.join(self.target, name))
        self.assertEqual(tarstream.check_input(self.target), {'run.sh'})

    def test_D_5_and_S_25_a_link_out_of_the_folder_is_refused_by_name(self):
        for name, link in (('a', '..'), ('d/a', '../../x'), ('a', '/etc/passwd'), ('d/a', '/')):
            with self.subTest(name=name, link=link):
                path = os.path.join(self.target, name)
                os.symlink(link, path)
                self.assertIn('the link leads out of the folder', self.refused())
                os.unlink(path)

    def test_D_5_a_fifo_is_refused_by_name(self):
        os.mkfifo(os.path.join(self.target, 'd', 'pipe'))
        self.assertRegex(self.refused(), r'd/pipe.*: neither a file nor a directory')

    def test_D_5_a_folder_that_is_too_deep_is_refused(self):
        self.addCleanup(files.remove_tree, self.target)
        path = self.target
        for _ in range(1500):           # deeper than Python can recurse
            path += '/d'
            os.makedirs(path, exist_ok=True)
        self.assertRegex(self.refused(), 'more than 100 directories deep')

    def test_D_5_what_cannot_be_read_is_refused_by_name(self):
        with mock.patch('os.access', lambda path, mode: not path.endswith('run.sh')):
            self.assertRegex(self.refused(), r'run\.sh.*: cannot be read')

    def test_D_5_a_directory_that_cannot_be_entered_is_refused(self):
        def lstat(path, real=os.lstat):
            if 'd/' in path:
                raise PermissionError(13, 'Permission denied', path)
            return real(path)
        with mock.patch('os.lstat', lstat):
            self.assertRaises(UsageError, tarstream.check_input, self.target)

    def test_an_error_while_it_is_copied_names_the_file(self):
        for number, directory in ((errno.ENOSPC, 'copy'), (errno.EIO, 'copy'),
                                  (errno.EACCES, 'target')):
            with self.subTest(number=number), \
                    mock.patch('shutil.copyfile', side_effect=OSError(number, 'x')), \
                    self.assertRaises(OSError) as caught:
                tarstream.copy_input(self.target, os.path.join(self.root, 'copy%d' % number))
            self.assertEqual(caught.exception.errno, number)
            self.assertIn(directory, caught.exception.filename)

    def test_D_1_a_folder_that_is_not_there_is_refused(self):
        self.target = os.path.join(self.root, 'nosuch')
        self.assertIn('nosuch', self.refused())

    def test_a_copy_keeps_links_and_modes(self):
        os.symlink('nosuch', os.path.join(self.target, 'l'))
        os.chmod(os.path.join(self.target, 'run.sh'), 0o750)
        copy = os.path.join(self.root, 'copy')
        tarstream.copy_input(self.target, copy)
        self.assertEqual(self.names(copy), self.names(self.target))
        self.assertEqual(os.readlink(os.path.join(copy, 'l')), 'nosuch')
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(copy, 'run.sh')).st_mode), 0o750)


if __name__ == '__main__':
    unittest.main()
