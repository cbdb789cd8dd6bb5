"""Read a tar archive that an untrusted host sent.

Hosts are not trusted, but the tarfile module is made for trusted archives: it reads a header of
400 MB into memory, a negative size moves the file position backwards, and a sparse member of 10 kB
becomes 20 MB.  This reader supports only what `tar -cf` of GNU tar, bsdtar, busybox and pax write
for files, directories and links.  It reads one block at a time, checks each number before it uses
it, and refuses the whole archive if anything is malformed.

The formats: ustar (POSIX.1-1988), the long names of GNU tar (types L and K) and pax headers
(POSIX.1-2001, type x), see tar(5) of libarchive.  Refused: sparse members in every format, parts of
multi-volume archives, directories of incremental archives.  Devices, FIFOs and the like are members
of the kind OTHER, which the caller refuses by name.

Pure except for reading the file.
"""

import os
from typing import BinaryIO, Callable, Iterator, NamedTuple

from lwt.remote import host_limits

BLOCK = 512
CHUNK = 1 << 20                 # bytes of content to read at a time

FILE, DIRECTORY, SYMLINK, HARDLINK, OTHER = 'file', 'directory', 'symlink', 'hardlink', 'other'

_KINDS = {b'0': FILE, b'\0': FILE, b'7': FILE, b'5': DIRECTORY, b'2': SYMLINK, b'1': HARDLINK,
          b'3': OTHER, b'4': OTHER, b'6': OTHER}
_PAX = (b'x', b'X')
_GLOBAL = b'g'
_LONG_NAME, _LONG_LINK = b'L', b'K'


class Refused(Exception):
    """lwt does not accept the archive; the message says why."""


class Budget(NamedTuple):
    """Limits of an archive: the number of members, and the bytes of content of all files."""

    members: int
    content: int


class ArchiveMember(NamedTuple):
    """One entry.  name, link: as in the archive, unchecked.  size: bytes."""

    name: str
    kind: str
    size: int
    mode: int
    mtime: int
    link: str


class _Header(NamedTuple):
    """A block that is a header."""

    block: bytes

    def text(self, start: int, length: int) -> bytes:
        return self.block[start:start + length].split(b'\0', 1)[0]

    def number(self, start: int, length: int, what: str) -> int:
        """Return a number field: octal digits, or base 256 with the top bit set."""
        field = self.block[start:start + length]
        if field[0] == 0x80:
            return int.from_bytes(field[1:], 'big')
        digits = field.split(b'\0', 1)[0].strip(b' ')
        if not digits:
            return 0
        if field[0] & 0x80 or digits.translate(None, b'01234567'):
            raise Refused('%s in a header is no number' % what)
        return int(digits, 8)

    @property
    def kind(self) -> bytes:
        return self.block[156:157]

    @property
    def name(self) -> bytes:
        prefix = self.text(345, 155) if self.block[257:263] == b'ustar\0' else b''
        return (prefix + b'/' if prefix else b'') + self.text(0, 100)

    def check(self) -> None:
        """Raise Refused unless the checksum is right, as the sum of unsigned or of signed bytes."""
        rest = self.block[:148] + b' ' * 8 + self.block[156:]
        unsigned = sum(rest)
        told = self.number(148, 8, 'the checksum')
        if told != unsigned and told != unsigned - 256 * sum(byte > 127 for byte in rest):
            raise Refused('a header has a wrong checksum')


class TarReader:
    """Iterates over the ArchiveMembers of an archive; copy_to() reads the content of the current
    one.

    file: open for reading, at the beginning of the archive.  Several archives may follow each
        other: for many files a host starts tar more than once.
    """

    def __init__(self, file: BinaryIO, budget: Budget):
        self._file = file
        self._budget = budget
        self._members = 0
        self._content = 0
        self._unread = 0                # bytes of the current member's content to read
        self._padding = 0               # bytes after the content up to the next block

    def __iter__(self) -> Iterator[ArchiveMember]:
        while True:
            self._skip_content()
            member = self._next()
            if member is None:
                return
            self._members += 1
            self._content += member.size
            if self._members > self._budget.members:
                raise Refused('more than %d members' % self._budget.members)
            if self._content > self._budget.content:
                raise Refused('more than %d bytes' % self._budget.content)
            self._unread, self._padding = member.size, -member.size % BLOCK
            yield member

    def copy_to(self, write: Callable) -> None:
        """Pass the content of the current member to write(bytes), piece by piece."""
        while self._unread:
            data = self._read(min(CHUNK, self._unread))
            self._unread -= len(data)
            write(data)

    def _skip_content(self):
        while self._unread:
            self._unread -= len(self._read(min(CHUNK, self._unread)))
        self._read(self._padding)
        self._padding = 0

    def _read(self, count):
        """Return exactly `count` bytes."""
        data = self._file.read(count)
        if len(data) != count:
            raise Refused('cut off')
        return data

    def _next(self):
        """Return the next ArchiveMember, or None at the end."""
        overrides = {}
        for _header in range(host_limits.HEADERS + 1):
            block = self._read(BLOCK)
            if not block.strip(b'\0'):
                if overrides:
                    raise Refused('a long name without a member')
                block = self._after_end()
                if block is None:
                    return None
            header = _Header(block)
            header.check()
            kind, size = header.kind, header.number(124, 12, 'a size')
            if kind in _PAX:
                overrides.update(_pax_records(self._extra(size)))
            elif kind == _GLOBAL:
                self._extra(size)
            elif kind in (_LONG_NAME, _LONG_LINK):
                key = 'path' if kind == _LONG_NAME else 'linkpath'
                overrides[key] = self._extra(size).split(b'\0', 1)[0]
            elif kind in _KINDS:
                return _member(header, size, overrides)
            else:
                raise Refused('a member of the unknown type %s' % ascii(kind.decode('latin-1')))
        raise Refused('too many headers before a member')

    def _after_end(self):
        """After the first block of zeros: return the first block of the next archive, or None if
        there is none.
        """
        count = 1
        while True:
            block = self._file.read(BLOCK)
            if not block and count > 1:
                return None
            if len(block) != BLOCK or count == 1 and block.strip(b'\0'):
                raise Refused('cut off')        # an archive ends with two blocks of zeros
            if block.strip(b'\0'):
                return block
            count += 1

    def _extra(self, size):
        """Return the content of a header that describes the next member."""
        if size > host_limits.HEADER:
            raise Refused('a header of %d bytes' % size)
        data = self._read(size)
        self._read(-size % BLOCK)
        return data


def _pax_records(data):
    """Return {key: value} of a pax header, with the keys that lwt uses.

    Each record is "LENGTH KEY=VALUE" and a newline.
    """
    found = {}
    while data:
        length, space, rest = data.partition(b' ')
        if not space or not length.isdigit() or len(length) > 5:
            raise Refused('a pax header that cannot be read')
        end = int(length) - len(length) - 1
        key, equals, value = rest[:end - 1].partition(b'=')
        if end < 1 or len(rest) < end or rest[end - 1:end] != b'\n' or not equals:
            raise Refused('a pax header that cannot be read')
        if key.startswith(b'GNU.sparse'):
            raise Refused('a sparse member')
        if key in (b'path', b'linkpath', b'size', b'mtime'):
            found[key.decode()] = value
        data = rest[end:]
    return found


def _member(header, size, overrides):
    name = overrides.get('path', header.name)
    link = overrides.get('linkpath', header.text(157, 100))
    if b'\0' in name + link:
        raise Refused('a name with a NUL byte')
    if max(len(name), len(link)) > host_limits.NAME:
        raise Refused('a name of more than %d bytes' % host_limits.NAME)
    kind = _KINDS[header.kind]
    # Archives from before 1988 mark directories like this.
    if header.kind == b'\0' and name.endswith(b'/'):
        kind = DIRECTORY
    if 'size' in overrides:
        size = _decimal(overrides['size'], 'a size')
    return ArchiveMember(os.fsdecode(name), kind, size if kind == FILE else 0,
                         header.number(100, 8, 'a mode') & 0o7777, _mtime(header, overrides),
                         os.fsdecode(link))


def _mtime(header, overrides):
    """Return seconds since 1970; 0 for earlier or unreadable times, because no decision depends on
    it.
    """
    if 'mtime' in overrides:
        whole = overrides['mtime'].partition(b'.')[0]
        return min(host_limits.TIME, int(whole)) if whole.isdigit() and len(whole) < 20 else 0
    try:
        return min(host_limits.TIME, header.number(136, 12, 'a time'))
    except Refused:
        return 0


def _decimal(digits, what):
    if not digits.isdigit() or len(digits) > 18:
        raise Refused('%s in a header is no number' % what)
    return int(digits)
