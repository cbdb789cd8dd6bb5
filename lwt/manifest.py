"""What is to be put: looked at once, hashed once, and sent to any number of hosts as tar streams made on the way.

A manifest names each directory and file by what it is to be called; symbolic links are followed.  What is sent of a file is
what was hashed: one that has changed meanwhile ends the stream early, so that no host takes it.
"""

import hashlib
import os
import stat
import tarfile
import zlib
from typing import NamedTuple

from lwt import files
from lwt.errors import UsageError
from lwt.hosts import printable

CHUNK = 1 << 18
READ_SIZE = 1 << 20
RECORD = 10240                  # tar pads its streams to this
_REVERSED = bytes(int('{:08b}'.format(byte)[::-1], 2) for byte in range(256))


class Entry(NamedTuple):
    """A directory or file.  name: ./TOP/...; version: size and time of change when it was hashed; digest: '' for a directory."""

    name: str
    path: str
    mode: int
    mtime: int
    version: tuple = ()
    digest: str = ''

    @property
    def size(self):
        return self.version[0] if self.version else 0

    @property
    def is_plain(self):
        """Can its name be in a list of lines, and is it printed as it is by what prints digests?"""
        return '\n' not in self.name and '\\' not in self.name


class Manifest(NamedTuple):
    """What is to be put.  single: what the only thing there is is called (its entries then begin with ./it), or ''."""

    entries: tuple
    single: str

    @property
    def text(self):
        """What sh/put.sh is told first, as bytes."""
        return b''.join(_line(entry) for entry in self.entries if entry.is_plain)


def _line(entry):
    name = os.fsencode(entry.name)
    if not entry.digest:
        return b'd %s\n' % name
    return b'%s %s  %s\n' % (b'x' if entry.mode & 0o111 else b'-', entry.digest.encode(), name)


def survey(paths, look_at=os.stat):
    """The Manifest of local files and directories; all of them are read.  Raises UsageError for what cannot be put.

    look_at: os.lstat, where symbolic links are not to be followed.
    """
    found = [os.path.abspath(path) for path in paths]
    names = [os.path.basename(path) for path in found]
    for path, name in zip(paths, names):
        if not name:
            raise UsageError('%s: cannot be copied as a whole' % printable(path))
        if names.count(name) > 1:
            raise UsageError('%s: two things of this name' % printable(name))
    single = names[0] if len(names) == 1 else ''
    tops = ['it'] if single else names
    return Manifest(tuple(entry for path, top in zip(found, tops) for entry in _walk(path, './' + top, look_at)), single)


def _walk(path, name, look_at, above=()):
    """The Entries of a file or directory.  above: the real paths of the directories that led here."""
    info = _look_at(path, look_at)
    if stat.S_ISREG(info.st_mode):
        yield _file_entry(path, name)
        return
    real = os.path.realpath(path)
    if real in above:
        raise UsageError('%s: a link that leads back to a directory above' % printable(path, 200))
    yield Entry(name, path, stat.S_IMODE(info.st_mode) & 0o777 | 0o700, int(info.st_mtime))
    try:
        children = sorted(os.listdir(path))
    except OSError as error:
        raise files.read_error(printable(path, 200), error)
    for child in children:
        yield from _walk(os.path.join(path, child), name + '/' + child, look_at, above + (real,))


def _look_at(path, look_at):
    try:
        info = look_at(path)
    except OSError as error:
        raise files.read_error(printable(path, 200), error)
    if not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
        raise UsageError('%s: neither a file nor a directory' % printable(path, 200))
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(info.st_mode) else 0)):
        raise UsageError('%s: cannot be read' % printable(path, 200))
    return info


def _file_entry(path, name):
    try:
        with open(path, 'rb', buffering=0) as file:
            info = os.fstat(file.fileno())
            digest = sha256(iter(lambda: file.read(READ_SIZE), b''))
    except OSError as error:
        raise files.read_error(printable(path, 200), error)
    return Entry(name, path, stat.S_IMODE(info.st_mode) & 0o777, int(info.st_mtime), _version(info), digest)


def _version(info):
    return info.st_size, info.st_mtime_ns


class Changed(Exception):
    """A file is not what was hashed."""


def stream(entries):
    """A tar stream of Entries, as chunks of bytes.  Raises Changed."""
    pending, total = bytearray(), 0
    for entry in entries:
        pending += _header(entry)
        for chunk in content(entry) if entry.digest else ():
            pending += chunk
            if len(pending) >= CHUNK:
                total += len(pending)
                yield bytes(pending)
                pending.clear()
        pending += bytes(-entry.size % 512)
    pending += bytes(1024 + -(total + len(pending) + 1024) % RECORD)
    yield bytes(pending)


def _header(entry):
    info = tarfile.TarInfo(entry.name)
    info.mode, info.mtime, info.size = entry.mode, entry.mtime, entry.size
    info.type = tarfile.REGTYPE if entry.digest else tarfile.DIRTYPE
    return info.tobuf(tarfile.GNU_FORMAT)


def content(entry, at=0, most=CHUNK):
    """The content of a file from a place on, no more and no less of it than was hashed, as chunks of so many bytes at most.

    Raises Changed.
    """
    left = entry.size - at
    try:
        with open(entry.path, 'rb', buffering=0) as file:
            file.seek(at)
            while left:
                chunk = file.read(min(left, most))
                if not chunk:
                    break
                left -= len(chunk)
                yield chunk
            if left or _version(os.fstat(file.fileno())) != entry.version:
                raise Changed('%s: changed while it was read' % printable(entry.path, 200))
    except OSError as error:
        raise Changed('%s: %s' % (printable(entry.path, 200), error.strerror))


def contents(entries, kind):
    """The digest of all files among Entries, as `contents` of sh/copylib.sh prints it.  kind: sha256 or cksum."""
    is_one = len(entries) == 1 and entries[0].name == './it' and bool(entries[0].digest)
    files = [entry for entry in entries if entry.digest]
    if kind == 'sha256':
        lines = sorted(entry.digest.encode() + b'\n' for entry in files)
        return 'sha256 ' + (files[0].digest if is_one else sha256(lines))
    sums = [(cksum(content(entry)), entry.size) for entry in files]
    return 'cksum %d' % (sums[0][0] if is_one else cksum(sorted(b'%d %d\n' % line for line in sums)))


def identity(entries, name):
    """What `identity` of sh/get.sh prints of a tree called so, the Entries of which are those of a single thing."""
    names = sorted(b'\n'.join(os.fsencode('./' + name + entry.name[len('./it'):]) for entry in entries).split(b'\n'))
    return 'sha256 ' + sha256([contents(entries, 'sha256').encode() + b'\n', b''.join(line + b'\n' for line in names)])


def sha256(chunks):
    """The SHA-256 of chunks of bytes, in hex."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


class Cksum:
    """What cksum(1) prints of bytes: the CRC of zlib, its bits the other way round, with the length behind the data."""

    def __init__(self):
        self._crc = 0xffffffff
        self.length = 0

    def update(self, data):
        """Take bytes."""
        self._crc = zlib.crc32(data.translate(_REVERSED), self._crc)
        self.length += len(data)

    @property
    def value(self):
        """The number."""
        tail = self.length.to_bytes((self.length.bit_length() + 7) // 8, 'little')
        crc = zlib.crc32(tail.translate(_REVERSED), self._crc) ^ 0xffffffff
        return int('{:032b}'.format(crc)[::-1], 2) ^ 0xffffffff


def cksum(chunks):
    """The number that cksum(1) prints of chunks of bytes."""
    digest = Cksum()
    for chunk in chunks:
        digest.update(chunk)
    return digest.value
