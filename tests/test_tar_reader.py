"""tar_reader: it reads the archives that tars of hosts write, and refuses everything else."""

import contextlib
import io
import os
import random
import shutil
import subprocess
import tarfile
import tempfile
import unittest

from lwt.copy import tarstream
from lwt.copy.tar_reader import BLOCK, Budget, TarReader, Refused
from lwt.remote import host_limits

LARGE = Budget(10 ** 6, 1 << 40)
MUTANTS = int(os.environ.get('LWT_TEST_MUTANTS', 3000))  # changed archives; make fuzz tries 100,000


def read(data, budget=LARGE):
    """Return [(Member, its content)] of an archive."""
    reader, found = TarReader(io.BytesIO(data), budget), []
    for member in reader:
        content = bytearray()
        reader.copy_to(content.extend)
        found.append((member, bytes(content)))
    return found


def packed(*members, format=tarfile.GNU_FORMAT, end=True):
    """Return an archive of (TarInfo, content)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode='w', format=format) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue() if end else stream.getvalue().rstrip(b'\0')


def entry(name, data=b'', **fields):
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def header(**fields):
    """Return one header block; fields override what TarInfo would write, as (offset, bytes)."""
    block = bytearray(tarfile.TarInfo('x').tobuf(tarfile.USTAR_FORMAT))
    for offset, data in fields.values():
        block[offset:offset + len(data)] = data
    block[148:156] = b'%06o\0 ' % sum(block[:148] + b' ' * 8 + block[156:])
    return bytes(block)


class Formats(unittest.TestCase):
    """The accepted formats."""

    MEMBERS = (entry('d', type=tarfile.DIRTYPE, mode=0o755),
               entry('d/f', b'content', mtime=7, mode=0o4751),
               entry('d/empty'), entry('d/é' + 'x' * 300, b'long'),
               entry('l', type=tarfile.SYMTYPE, linkname='d/f'),
               entry('k', type=tarfile.LNKTYPE, linkname='y' * 200),
               entry('p', type=tarfile.FIFOTYPE),
               entry('a' * 90 + '/' + 'b' * 90, b'prefix'), entry('new\nline', b'z' * 1025))

    def test_the_formats_of_tarfile_say_the_same(self):
        for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            with self.subTest(format=format):
                found = read(packed(*self.MEMBERS, format=format))
                self.assertEqual([(member.name.rstrip('/'), data) for member, data in found],
                                 [(info.name, data) for info, data in self.MEMBERS])
                self.assertEqual([member.kind for member, _data in found],
                                 ['directory', 'file', 'file', 'file', 'symlink', 'hardlink',
                                  'other', 'file', 'file'])
                self.assertEqual((found[1][0].mode, found[1][0].mtime), (0o4751, 7))
                self.assertEqual([found[at][0].link for at in (4, 5)], ['d/f', 'y' * 200])

    def test_the_tars_of_this_machine_are_read(self):
        with tempfile.TemporaryDirectory() as scratch:
            os.makedirs(os.path.join(scratch, 'd', 'n' * 200, 'm' * 200))
            long = os.path.join('d', 'n' * 200, 'm' * 200, 'f')
            with open(os.path.join(scratch, long), 'wb') as file:
                file.write(b'data')
            os.symlink('n', os.path.join(scratch, 'd', 'link'))
            with open(os.path.join(os.fsencode(scratch), b'd', b'no\xfftext'), 'wb'):
                pass
            tried = 0
            for argv in (['tar'], ['tar', '--format=ustar'], ['tar', '--format=pax'],
                         ['busybox', 'tar'], ['bsdtar']):
                if shutil.which(argv[0]) is None:
                    continue
                done = subprocess.run(argv[:1] + argv[1:] + ['-cf', '-', 'd'], cwd=scratch,
                                      stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL)
                if done.returncode:     # a format without room for such names
                    continue
                tried += 1
                with self.subTest(argv=argv):
                    found = {member.name.rstrip('/'): (member, data)
                             for member, data in read(done.stdout)}
                    self.assertEqual(found[long][1], b'data')
                    self.assertEqual(found['d/link'][0].link, 'n')
                    self.assertIn('d/no\udcfftext', found)
            self.assertTrue(tried)

    def test_archives_that_follow_one_another_are_read(self):
        data = (packed(entry('a', b'x' * 600)) + bytes(5120) + packed(entry('b'))
                + packed(entry('c')))
        self.assertEqual([member.name for member, _content in read(data)], ['a', 'b', 'c'])

    def test_content_that_is_not_asked_for_is_skipped(self):
        names = [member.name
                 for member in TarReader(
                         io.BytesIO(packed(entry('a', b'x' * 3000), entry('b', b'y'))),
                                      LARGE)]
        self.assertEqual(names, ['a', 'b'])


class Refusals(unittest.TestCase):
    """Archives that are refused before they can do harm."""

    def refused(self, data, word, budget=LARGE):
        with self.assertRaises(Refused) as caught:
            read(data, budget)
        self.assertIn(word, str(caught.exception))

    def test_SR_4_sizes_that_are_negative_or_none(self):
        for size in (b'\xff' * 12, b'\xff' * 11 + b'\0', b'-0000000001\0', b'99999999999\0',
                     b'0x000000010\0',
                     b'\xc0' + bytes(11)):
            with self.subTest(size=size):
                self.refused(header(size=(124, size)) + bytes(1024), 'a size in a header')
        self.refused(header(size=(124, b'\x80' + b'\x7f' * 11)) + bytes(1024), 'more than')
        self.refused(header(type=(156, b'x'), size=(124, b'00000000013\0'))
                     + b'11 size=-1\n'.ljust(512, b'\0')
                     + header() + bytes(1024), 'a size in a header')

    def test_SR_5_headers_that_are_too_long(self):
        huge = b'%011o\0' % (400 << 20)
        for kind in b'LKxXg':
            with self.subTest(kind=chr(kind)):
                self.refused(header(type=(156, bytes([kind])), size=(124, huge)) + bytes(1024),
                             'a header of 419430400 bytes')
        digits = b'9' * 300000
        self.refused(header(type=(156, b'x'), size=(124, b'%011o\0' % len(digits))) + digits,
                     'a header of 300000 bytes')
        self.refused(header(type=(156, b'x'), size=(124, b'00000000020\0')) + b'9' * 16
                     + bytes(496), 'cannot be read')
        self.refused((header(type=(156, b'L'), size=(124, b'00000000001\0'))
                      + b'a'.ljust(512, b'\0')) * 9, 'too many headers')
        self.refused(packed(entry('x' * 20000)), 'a header of 20001 bytes')

    def test_SR_4_names_that_no_file_can_have(self):
        """SR-4: each copy for a link would have such a name too."""
        for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            for fields in (dict(name='x' * (host_limits.NAME + 1)),
                           dict(name='l', type=tarfile.SYMTYPE,
                                linkname='x' * (host_limits.NAME + 1))):
                with self.subTest(format=format, fields=list(fields)):
                    self.refused(packed(entry(**fields), format=format),
                                 'a name of more than 8192 bytes')
        self.assertEqual(len(read(packed(entry('x' * host_limits.NAME)))), 1)

    def test_SR_6_sparse_members_in_every_format(self):
        self.refused(header(type=(156, b'S')) + bytes(1024), 'unknown type')
        for record in (b'22 GNU.sparse.major=1\n', b'29 GNU.sparse.size=999999999\n',
                       b'27 GNU.sparse.map=0,1,9,99\n'):
            with self.subTest(record=record):
                pax = (header(type=(156, b'x'), size=(124, b'%011o\0' % len(record)))
                       + record.ljust(512, b'\0'))
                self.refused(pax + header() + bytes(1024), 'a sparse member')

    def test_a_budget_that_is_exceeded(self):
        data = packed(entry('a', b'x' * 600), entry('b', b'y' * 600))
        self.assertEqual(len(read(data, Budget(2, 1200))), 2)
        self.refused(data, 'more than 1 members', Budget(1, 1200))
        self.refused(data, 'more than 1199 bytes', Budget(2, 1199))

    def test_what_is_cut_or_no_archive(self):
        data = packed(entry('a', b'x' * 600), end=True)
        for length in (1, 100, 511, 512, 700, 1535):
            with self.subTest(length=length):
                self.refused(data[:length], 'cut off')
        self.refused(header() + bytes(512), 'cut off')
        self.refused(header() + bytes(512) + packed(entry('b')), 'cut off')
        self.refused(data + b'x' * 511, 'cut off')
        self.refused(b'nonsense' * 100, 'a header')
        self.refused(b'', 'cut off')

    def test_other_types_and_wrong_checksums(self):
        for kind in b'DMNVAZ\x01\xff':
            with self.subTest(kind=kind):
                self.refused(header(type=(156, bytes([kind]))) + bytes(1024), 'unknown type')
        block = bytearray(header())
        block[0] ^= 1
        self.refused(bytes(block) + bytes(1024), 'wrong checksum')


class Mutants(unittest.TestCase):
    """Archives that were changed at random: any other exception would be a bug."""

    def test_no_mutant_raises_anything_but_a_refusal(self):
        rng = random.Random(20)
        sources = [packed(*Formats.MEMBERS, format=format)
                   for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
        refused = 0
        for number in range(MUTANTS):
            data = mutant(rng, rng.choice(sources))
            try:
                found = read(data, Budget(1000, 1 << 20))
            except Refused:
                refused += 1
            else:
                self.assertLessEqual(sum(len(content) for _member, content in found), 1 << 20,
                                     number)
        self.assertGreater(refused, MUTANTS // 10)
        self.assertLess(refused, MUTANTS)

    def test_nothing_of_a_mutant_is_outside_its_target(self):
        rng, made = random.Random(21), 0
        with tempfile.TemporaryDirectory(prefix='lwt-test.') as root:
            source, path = hostile_archive(root), os.path.join(root, 'tar')
            for number in range(MUTANTS // 10):
                target = os.path.join(root, 'a', 'target')
                os.makedirs(target)
                with open(path, 'wb') as file:
                    file.write(mutant(rng, source))
                with contextlib.suppress(Refused):
                    tarstream.unpack(path, target, lambda name, is_directory: name)
                with self.subTest(number=number):
                    self.assertEqual(
                        (sorted(os.listdir(root)), os.listdir(os.path.dirname(target))),
                        (['a', 'tar'], ['target']))
                    self.assertEqual(
                        [link for link in links_of(target) if not link.startswith(target)], [])
                made += len(os.listdir(target))
                shutil.rmtree(target)
        self.assertGreater(made, MUTANTS // 10)


def hostile_archive(root):
    """Return an archive whose members try to be, or to lead, outside."""
    places = ('f', 'd/f', 'd', '../out', os.path.join(root, 'out'), 'd/../../out', './.././out',
              'link/out')
    links = [entry('link', type=tarfile.SYMTYPE, linkname=place) for place in ('..', root, 'd')]
    members = [entry(name, type=kind, linkname=target) for name in places for target in places[2:]
               for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)]
    return packed(*[entry(name, b'content') for name in places] + links + members,
                  format=tarfile.PAX_FORMAT)


def links_of(folder):
    """Return the targets of the symbolic links in a directory."""
    return [os.path.realpath(os.path.join(top, name)) for top, dirs, names in os.walk(folder)
            for name in dirs + names
            if os.path.islink(os.path.join(top, name))]


def mutant(rng, data):
    """Return a copy of an archive with a few changes; the checksums of its headers are correct."""
    data = bytearray(data)
    for _change in range(rng.randrange(1, 5)):
        if len(data) < BLOCK:
            break
        at = rng.randrange(len(data))
        if rng.random() < 0.7:          # a field of a header
            at += (-(at % BLOCK)
                   + rng.choice((0, 100, 108, 124, 125, 130, 135, 136, 156, 157, 257, 263, 345)))
        kind = rng.random()
        if kind < 0.5:
            data[min(at, len(data) - 1)] = rng.randrange(256)
        elif kind < 0.7:
            data[at:at + 12] = rng.choice(
                (b'\xff' * 12, b'\x80' + b'\x7f' * 11, b'77777777777\0', b'00000000000\0'))
        elif kind < 0.8:
            del data[at:at + rng.choice((1, 512, 1024))]
        elif kind < 0.9:
            data[at:at] = data[:rng.choice((1, 512, 1536))]
        else:
            del data[at:]
    for at in range(0, len(data) - BLOCK + 1, BLOCK):
        block = data[at:at + BLOCK]
        if block[257:262] == b'ustar' and rng.random() < 0.95:
            data[at + 148:at + 156] = b'%06o\0 ' % sum(block[:148] + b' ' * 8 + block[156:])
    return bytes(data)


if __name__ == '__main__':
    unittest.main()
