"""What a put sends: scanned once, hashed once, and sent to any number of hosts as tar streams.

A manifest names each directory, file and, if links are kept, symbolic link by its name on the host.
The content that is sent is the content that was hashed: if a file has changed meanwhile, the stream
ends early, so that no host accepts it.
"""

import errno
import hashlib
import os
import stat
import tarfile
import time
import zlib
from typing import NamedTuple

from lwt.errors import UsageError, printable
from lwt.workspace import files

CHUNK = 1 << 18
READ_SIZE = 1 << 20
RECORD = 10240                  # tar pads its streams to a multiple of this
LINKS_HINT = '--links keep copies symbolic links as links, --links skip leaves them out'
_REVERSED = bytes(int('{:08b}'.format(byte)[::-1], 2) for byte in range(256))


class Entry(NamedTuple):
    """A directory, file or symbolic link.

    name: ./TOP/...
    version: size and time of change when it was hashed.
    digest: '' for all but files.
    link: the target of a symbolic link, '' for all else.
    """

    name: str
    path: str
    mode: int
    mtime: int
    version: tuple = ()
    digest: str = ''
    link: str = ''

    @property
    def size(self):
        return self.version[0] if self.version else 0


class Manifest(NamedTuple):
    """What a put sends.

    single: the name if there is only one file or directory (its entries then begin with ./it), '.'
        for the contents of a directory, or ''.
    skipped: number of symbolic links left out.
    """

    entries: tuple
    single: str
    skipped: int = 0

    @property
    def text(self):
        """The first input of sh/put.sh, as bytes."""
        return b''.join(map(_line, self.entries))


def stamp(entry):
    """Return the time of change of an Entry for touch -t, in UTC; '-' if touch cannot set it."""
    return ('-' if not 0 <= entry.mtime < 1 << 37
            else time.strftime('%Y%m%d%H%M.%S', time.gmtime(entry.mtime)))


def written(name):
    """Return a name as sh/namelib.sh writes it in a line."""
    return name.replace('\\', '\\\\').replace('\n', '\\n')


def _line(entry):
    if entry.digest:
        text = ('f %o %d %s %s %s/'
                % (entry.mode, entry.mtime, stamp(entry), entry.digest, written(entry.name)))
    elif entry.link:
        text = 'l - - - - %s//%s/' % (written(entry.name), written(entry.link))
    else:
        text = 'd %o - - - %s/' % (entry.mode, written(entry.name))
    return os.fsencode(text) + b'\n'


def survey(paths, links='follow'):
    """Read local files and directories; returns their Manifest.

    A path that ends in . or .. means the contents of that directory, as for `cp -r`.
    links: 'follow', 'keep' or 'skip' symbolic links, or 'refuse' them with an error.
    Raises UsageError for what cannot be put.
    """
    found = [os.path.realpath(path) if _is_contents(path) else os.path.abspath(path)
             for path in paths]
    for raw, path in zip(paths, found):
        if _is_contents(raw) and os.path.lexists(path) and not os.path.isdir(path):
            raise UsageError('%s: not a directory' % printable(raw, 200))
    single = ''
    if len(paths) == 1:
        single = '.' if _is_contents(paths[0]) else os.path.basename(found[0])
    else:
        found = [os.path.join(path, name) for raw, path in zip(paths, found)
                 for name in ([''] if not _is_contents(raw) else sorted(_names(path)))]
        found = [path.rstrip('/') or path for path in found]
    names = [os.path.basename(path) for path in found]
    for path, name in zip(found, names):
        if not name and single != '.':
            raise UsageError('%s: cannot be copied as a whole' % printable(path))
        if names.count(name) > 1:
            raise UsageError('%s: two things of this name' % printable(name))
    walk = _Walk(links)
    entries = tuple(entry for path, top in zip(found, ['it'] if single else names)
                    for entry in walk.entries(path, './' + top))
    return Manifest(entries, single, walk.skipped)


def _is_contents(path):
    """Whether a path means the contents of a directory."""
    return os.path.basename(path.rstrip('/')) in ('.', '..')


def _names(path):
    try:
        return os.listdir(path)
    except OSError as error:
        raise files.read_error(printable(path, 200), error)


class _Walk:
    """Walks through files and directories.  skipped: number of symbolic links left out."""

    def __init__(self, links):
        self._links = links
        self.skipped = 0

    def entries(self, path, name):
        """Yield the Entries of a file or directory of any depth."""
        waiting = [(path, name, ())]
        while waiting:
            path, name, above = waiting.pop()
            children = []
            yield from self._entry(path, name, above, children)
            waiting += reversed(children)

    def _entry(self, path, name, above, children):
        """Yield the Entry of a path, if it has one.

        above: the real paths of the directories that contain it.
        children: a list that gets (path, name, above) of each name in a directory.
        """
        info = self._look_at(path)
        if stat.S_ISLNK(info.st_mode) and self._links == 'skip':
            self.skipped += 1
        elif stat.S_ISLNK(info.st_mode):
            yield Entry(name, path, 0o777, int(info.st_mtime), link=os.readlink(path))
        elif stat.S_ISREG(info.st_mode):
            yield _file_entry(path, name)
        else:
            is_link = os.path.islink(path)
            # Only a link needs realpath, which would look at each part of each path; other paths
            # follow from their parent directory.
            real = (os.path.realpath(path) if is_link or not above
                    else os.path.join(above[-1], os.path.basename(path)))
            if (real in above
                or is_link
                and any((one + '/').startswith(real.rstrip('/') + '/') for one in above)):
                raise UsageError('%s: a link that leads back to a directory above'
                                 % printable(path, 200), LINKS_HINT)
            yield Entry(name, path, stat.S_IMODE(info.st_mode) & 0o777 | 0o700, int(info.st_mtime))
            above += (real,)
            children += [(os.path.join(path, child), name + '/' + child, above)
                         for child in sorted(_names(path))]

    def _look_at(self, path):
        """Return the os.stat_result of a path.  Raises UsageError for what cannot be put."""
        try:
            info = os.lstat(path)
            is_link = stat.S_ISLNK(info.st_mode)
            if is_link and self._links == 'follow':
                info = os.stat(path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP) and os.path.islink(path):
                raise UsageError('%s: %s link (to %s)' % (
                    printable(path, 200), 'dangling' if error.errno == errno.ENOENT else 'looping',
                    printable(os.readlink(path))),
                    LINKS_HINT)
            raise files.read_error(printable(path, 200), error)
        if is_link and self._links in ('keep', 'skip'):
            return info
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
    return Entry(name, path, stat.S_IMODE(info.st_mode) & 0o777, int(info.st_mtime), version(info),
                 digest)


def version(info):
    """Return values that change when a file changes; info: its os.stat_result."""
    return info.st_size, info.st_mtime_ns


class Changed(Exception):
    """A file has changed since it was hashed."""


def stream(entries, count=lambda number: None):
    """Yield a tar stream of Entries, as chunks of bytes.  Raises Changed.

    count: is called with the number of bytes of files, without headers and padding, in each chunk.
    """
    pending, total, held = bytearray(), 0, 0
    for entry in entries:
        pending += _header(entry)
        for chunk in content(entry) if entry.digest else ():
            pending += chunk
            held += len(chunk)
            if len(pending) >= CHUNK:
                total += len(pending)
                count(held)
                yield bytes(pending)
                pending.clear()
                held = 0
        pending += bytes(-entry.size % 512)
    pending += bytes(1024 + -(total + len(pending) + 1024) % RECORD)
    count(held)
    yield bytes(pending)


def stream_size(entries):
    """Return the number of bytes of the tar stream of Entries."""
    total = 1024 + sum(len(_header(entry)) + entry.size + -entry.size % 512 for entry in entries)
    return total + -total % RECORD


def _header(entry):
    info = tarfile.TarInfo(entry.name)
    info.mode, info.mtime = entry.mode, entry.mtime
    info.size, info.linkname = entry.size, entry.link
    info.type = (tarfile.REGTYPE if entry.digest else tarfile.SYMTYPE if entry.link
                 else tarfile.DIRTYPE)
    return info.tobuf(tarfile.GNU_FORMAT)


def content(entry, at=0, most=CHUNK):
    """Yield the content of a file from offset `at`, exactly as much as was hashed.

    most: maximum size of a chunk in bytes.  Raises Changed.
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
            if left or version(os.fstat(file.fileno())) != entry.version:
                raise Changed('%s: changed while it was read' % printable(entry.path, 200))
    except OSError as error:
        raise Changed('%s: %s' % (printable(entry.path, 200), error.strerror))


def contents(entries, kind, known=None):
    """Return the digest of all files among Entries, as `contents` of sh/copylib.sh prints it.

    kind: sha256 or cksum.  known: {path: cksum}, so that these files need not be read.
    """
    known = known or {}
    is_one = len(entries) == 1 and entries[0].name == './it' and bool(entries[0].digest)
    files = [entry for entry in entries if entry.digest]
    if kind == 'sha256':
        lines = sorted(entry.digest.encode() + b'\n' for entry in files)
        return 'sha256 ' + (files[0].digest if is_one else sha256(lines))
    sums = [(known[entry.path] if entry.path in known else cksum(content(entry)), entry.size)
            for entry in files]
    return ('cksum %d'
            % (sums[0][0] if is_one else cksum(sorted(b'%d %d\n' % line for line in sums))))


def identity(entries, name, kind='sha256'):
    """Return what `identity` of sh/get.sh prints for a file or directory of this name.

    entries: the Entries of that single file or directory.
    """
    names = ['./' + name + entry.name[len('./it'):] for entry in entries]
    lines = [contents(entries, kind).encode()] + _sorted_lines(names)
    return digest_of(b''.join(line + b'\n' for line in lines), kind)


def names_digest(entries, kind):
    """Return what `find . | sort | digest` prints in a directory that holds only these Entries."""
    names = {'.'}
    for entry in entries:
        parts = entry.name.split('/')
        names.update('/'.join(parts[:count]) for count in range(2, len(parts) + 1))
    return digest_of(b''.join(line + b'\n' for line in _sorted_lines(names)), kind)


def _sorted_lines(names):
    """Return names as lines, sorted by bytes; a name with a newline makes two lines."""
    return sorted(b'\n'.join(map(os.fsencode, names)).split(b'\n'))


def digest_of(data, kind):
    """Return the digest of bytes as `digest` of sh/lib.sh prints it; kind: sha256 or cksum."""
    return 'sha256 ' + sha256([data]) if kind == 'sha256' else 'cksum %d' % cksum([data])


def sha256(chunks):
    """Return the SHA-256 of chunks of bytes, in hex."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


class Cksum:
    """The checksum of cksum(1): the CRC of zlib with its bits reversed, over the data and its
    length.
    """

    def __init__(self):
        self._crc = 0xffffffff
        self.length = 0

    def update(self, data):
        """Add bytes."""
        self._crc = zlib.crc32(data.translate(_REVERSED), self._crc)
        self.length += len(data)

    @property
    def value(self):
        """The checksum of the bytes so far."""
        tail = self.length.to_bytes((self.length.bit_length() + 7) // 8, 'little')
        crc = zlib.crc32(tail.translate(_REVERSED), self._crc) ^ 0xffffffff
        return int('{:032b}'.format(crc)[::-1], 2) ^ 0xffffffff


def cksum(chunks):
    """Return the number that cksum(1) prints for chunks of bytes."""
    digest = Cksum()
    for chunk in chunks:
        digest.update(chunk)
    return digest.value
