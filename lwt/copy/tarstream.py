"""Tar streams: pack them for a host, and unpack those of an untrusted host.

tar_reader reads what a host sends, and this module extracts it by its own rules: only into a new
directory; no absolute path, no "..", no device, no FIFO; every file is created anew (O_EXCL,
O_NOFOLLOW); hard links only to files that have arrived.  Symbolic links that stay inside are made
last, so that nothing is ever written through one.  Files never hold more bytes than were sent.
The number of directories is limited by the number of blocks that were sent plus
host_limits.DIRECTORIES: each directory is a member, or implied by the name of one.  No member lies
deeper than host_limits.DEPTH.

Files and directories get the modes that they have on the host, within the umask, never setuid,
setgid or sticky.  On this machine their owner can always read files, and read, write and enter
directories, so that he can also remove them.
"""

import contextlib
import errno
import hashlib
import io
import itertools
import os
import re
import shutil
import stat
import tarfile
from typing import NamedTuple

from lwt.copy import tar_reader
from lwt.errors import UsageError, printable
from lwt.remote import host_limits
from lwt.workspace import files

CHUNK = 1 << 20
MAX_DIRTY = 1 << 23         # bytes to write before they are synced to the disk
THING = 1 << 11             # the work of creating one file, directory or link, in bytes
COPY = 16                   # THINGs of work: a hard link on a file system without hard links


class Packed(NamedTuple):
    """A tar file made by pack."""

    path: str
    size: int
    digest: str                 # 'sha256 HEX', as sh/lib.sh prints it


def check_input(directory):
    """Return the names of the plain files at the top of a task's folder.

    Raises UsageError for what cannot be sent to a host.
    """
    top = directory.count('/')
    for root, dirs, names in os.walk(directory, onerror=_raise):
        if root.count('/') - top >= host_limits.DEPTH:
            raise UsageError('%s: more than %d directories deep'
                             % (printable(root, 200), host_limits.DEPTH))
        for name in dirs + names:
            _check_entry(directory, os.path.join(root, name))
    return top_files(directory)


def top_files(directory):
    """Return the names of the plain files at the top of a directory."""
    return {name for name in os.listdir(directory) if os.path.isfile(os.path.join(directory, name))}


def _raise(error):
    raise UsageError('%s: %s' % (printable(error.filename, 200), error.strerror))


def _check_entry(directory, path):
    shown = printable(path, 200)
    try:
        mode = os.lstat(path).st_mode
    except OSError as error:
        _raise(error)
    if stat.S_ISLNK(mode):
        target = os.readlink(path)
        if not stays_inside(os.path.relpath(path, directory), target):
            raise UsageError('%s: the link leads out of the folder (to %s)'
                             % (shown, printable(target)))
    elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UsageError('%s: neither a file nor a directory' % shown)
    elif not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        raise UsageError('%s: cannot be read' % shown)


def stays_inside(name, target):
    """Return whether a link with this relative name and target stays within the directory.

    The directory is the one that name is relative to.  ".." is accepted only at the beginning of a
    target: after a name, which may be a link itself, it may lead anywhere.
    """
    parts = [part for part in target.split('/') if part not in ('', '.')]
    ups = len(parts) - len(list(itertools.dropwhile(lambda part: part == '..', parts)))
    depth = len([part for part in name.split('/') if part not in ('', '.')]) - 1
    return bool(target) and not target.startswith('/') and '..' not in parts[ups:] and ups <= depth


def copy_input(source, target):
    """Copy a task's folder; links stay links, and modes are kept.

    Raises OSError: of all that could not be copied, the first.
    """
    try:
        shutil.copytree(source, target, symlinks=True)
    except shutil.Error as error:
        # It has (source, target, str(OSError)) of each: "[Errno 28] No space left on device: 'x'".
        name, copy, text = error.args[0][0]
        found = re.match(r'\[Errno (\d+)\]', text)
        number = int(found.group(1)) if found else errno.EIO
        raise OSError(number, os.strerror(number), copy if number in OURS else name)


def pack(path, trees, texts, executable):
    """Write a tar file; returns a Packed.

    trees: {name in the archive: directory}.  texts: {name in the archive: str}.
    executable: names whose files get an x bit.
    """
    with open(path, 'wb') as file:
        _write(file, trees, texts, executable)
    return Packed(path, os.path.getsize(path), 'sha256 ' + sha256(path))


def _write(file, trees, texts, executable):
    def fix(info):
        info.uid = info.gid = 0
        info.uname = info.gname = ''
        info.mode = (info.mode | 0o600) & 0o755 | (0o100 if info.name in executable else 0)
        return info

    with tarfile.open(fileobj=file, mode='w', format=tarfile.GNU_FORMAT) as tar:
        for name, directory in trees.items():
            tar.add(directory, name, filter=fix)
        for name, text in texts.items():
            data = os.fsencode(text)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(fix(info), io.BytesIO(data))


def sha256(path):
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for chunk in iter(lambda: file.read(CHUNK), b''):
            digest.update(chunk)
    return digest.hexdigest()


def is_complete(path):
    """Return whether a tar file ends with two blocks of zeros, as it must.

    tarfile would accept a truncated file as a shorter one.
    """
    with open(path, 'rb') as file:
        file.seek(0, os.SEEK_END)
        if file.tell() < 1024:
            return False
        file.seek(-1024, os.SEEK_END)
        return not file.read().strip(b'\0')


def arrival_problem(path, digest):
    """Return why a file from a host cannot be what was sent, or ''.  digest: reported by the host.

    For a host without sha256, only the end of the archive is checked.
    """
    if not is_complete(path):
        return 'the results did not arrive whole'
    if digest.startswith('sha256 ') and digest != 'sha256 ' + sha256(path):
        return 'checksum mismatch after transfer'
    return ''


def work(path, enough):
    """Return the work of unpacking a stream, in bytes, or at least `enough`.

    A small stream may ask for many directories and links, so each of them counts THING bytes.  Each
    of N links may lead to a directory that holds other links, and becomes a copy of it: this
    multiplies the contents by at most 3 ** (N / 3) (as N / 3 directories with 3 links each).
    """
    size = os.path.getsize(path)
    if size >= enough:
        return size
    names, count, links = set(), 0, 0
    with open(path, 'rb', CHUNK) as file, contextlib.suppress(tar_reader.Refused):
        for member in tar_reader.TarReader(file, tar_reader.Budget(host_limits.MEMBERS, size)):
            count += COPY if member.kind == tar_reader.HARDLINK else 1
            links += member.kind == tar_reader.SYMLINK
            name = _inside(member.name)
            while name and name not in names and len(names) * THING < enough:
                names.add(name)
                name = name.rpartition('/')[0]
            size = max(size, int(max(count, len(names)) * THING * 3 ** (min(links, 99) / 3)))
            if size >= enough:
                break
    return size


def unpack(path, target, place, links=None):
    """Extract a host's stream into target, a new directory.

    path: a file of one or more tar archives, one after the other.
    place(name, is_directory): returns the relative path for a member, or '' to leave it out; the
        name begins with ./ if the member's own has a part '.' in the middle.
    links: None, or a list that gets (name, target) of each symbolic link; then no links are made.

    Returns lines about what was refused, the first host_limits.REFUSALS.
    Raises tar_reader.Refused for an archive that is not accepted at all, OSError for a failure of
    this machine.
    """
    with open(path, 'rb', CHUNK) as file:
        size = os.fstat(file.fileno()).st_size
        reader = tar_reader.TarReader(file, tar_reader.Budget(host_limits.MEMBERS, size))
        extraction = _Extraction(reader, target, place, links, size)
        for member in reader:
            extraction.take(member)
    extraction.make_links()
    return extraction.refused


class _Refusal(Exception):
    """Why a member is refused."""


class Unstorable(str):
    """A line about a valid member that this machine cannot store."""


OURS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EFBIG})


def is_ours(error, directory):
    """Return whether this machine, not the data of a host, caused an OSError in a directory."""
    return error.errno in OURS or not os.access(directory, os.W_OK | os.X_OK)


class _Extraction:
    """Extracts the members of an archive.  refused: a line for each member that was refused."""

    def __init__(self, reader, target, place, told_links, size):
        self._reader = reader
        self._target = target
        self._place = place
        self._told_links = told_links
        # Remaining limits: bytes of copies for hard links, and number of directories.
        self._copies = host_limits.COPIES_OF_HARD_LINKS + size
        self._most_directories = host_limits.DIRECTORIES + size // tar_reader.BLOCK
        self._directories = self._most_directories
        self._parents = set()           # directories of the links that are passed to the caller
        self._links = []                # (place, target) of the symbolic links to make
        self._umask = files.current_umask()
        self.refused = []

    def take(self, member):
        """Extract a member."""
        name = _inside(member.name)
        is_link = member.kind == tar_reader.SYMLINK
        if name is None:
            self._refuse('%s: leads out of the directory' % printable(member.name))
        elif name.count('/') >= host_limits.DEPTH:
            self._refuse('%s: more than %d directories deep'
                         % (printable(member.name), host_limits.DEPTH))
        elif is_link and self._told_links is not None:
            self._count_parents(name)
            self._note_link(self._told_links, _marked(member.name, name), member.link)
        else:
            is_directory = member.kind == tar_reader.DIRECTORY
            where = self._place(_marked(member.name, name), is_directory)
            if where and is_link:
                self._note_link(self._links, where, member.link)
            elif where:
                self._attempt(member.name, self._extract, member, os.path.join(self._target, where))

    def _count_parents(self, name):
        """Count the directories of a link that is passed to the caller, which stores their names.
        """
        while '/' in name and name.rpartition('/')[0] not in self._parents:
            name = name.rpartition('/')[0]
            self._parents.add(name)
            self._count_directory()

    def _count_directory(self):
        self._directories -= 1
        if self._directories < 0:
            raise tar_reader.Refused('more than %d directories' % self._most_directories)

    @staticmethod
    def _note_link(links, name, target):
        if len(links) >= host_limits.LINKS:
            raise tar_reader.Refused('more than %d symbolic links' % host_limits.LINKS)
        links.append((name, target))

    def make_links(self):
        """Make the symbolic links after everything else, so that nothing is written through one."""
        for where, link in self._links:
            self._attempt(where, self._link, where, link)

    def _attempt(self, name, action, *arguments):
        """Do what a member requires.

        An error of this machine is raised; any other error is caused by the member, and is noted.
        """
        try:
            action(*arguments)
        except _Refusal as refusal:
            self._refuse('%s: %s' % (printable(name), refusal))
        except OSError as error:
            if error.errno in OURS:
                raise
            self._refuse(Unstorable('%s: %s' % (printable(name), error.strerror)))
        except (ValueError, OverflowError, RecursionError):
            self._refuse('%s: no file can be so' % printable(name))

    def _refuse(self, line):
        if len(self.refused) < host_limits.REFUSALS:
            self.refused.append(line)

    def _extract(self, member, path):
        mode = member.mode & 0o777 & ~self._umask
        if member.kind == tar_reader.DIRECTORY:
            self._make_directories(path)
            os.chmod(path, mode | 0o700)
            return
        self._make_directories(os.path.dirname(path))
        if member.kind == tar_reader.HARDLINK:
            self._hard_link(member.link, path)
        elif member.kind == tar_reader.FILE:
            with open(files.open_new(path, mode | 0o400), 'wb') as file:
                self._reader.copy_to(_Writer(file).write)
            os.utime(path, (member.mtime, member.mtime))
        else:
            raise _Refusal('neither a file nor a directory')

    def _make_directories(self, path):
        """Create a directory and its missing parent directories."""
        missing = []
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for one in reversed(missing):
            self._count_directory()
            os.mkdir(one)

    def _hard_link(self, link, path):
        """Make a hard link to a file that has arrived already."""
        name = _inside(link)
        where = name and self._place(_marked(link, name), False)
        source = os.path.join(self._target, where) if where else ''
        if not os.path.isfile(source) or os.path.islink(source):
            raise _Refusal('a hard link to what did not come')
        try:
            os.link(source, path)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            self._copy(source, path)

    def _copy(self, source, path):
        """Copy the file, because the file system has no hard links, or no more of them."""
        info = os.stat(source)
        self._copies -= info.st_size
        if self._copies < 0:
            raise _Refusal('hard links to more than this file system may copy')
        with open(source, 'rb') as file, open(files.open_new(path, info.st_mode & 0o777),
                                              'wb') as copy:
            shutil.copyfileobj(file, _Writer(copy), CHUNK)
        os.utime(path, (info.st_mtime, info.st_mtime))

    def _link(self, where, link):
        """Make a symbolic link if neither it nor the path to it leads out."""
        path = os.path.join(self._target, where)
        parent = os.path.dirname(path)
        if not stays_inside(where, link):
            raise _Refusal('the link leads out of the directory')
        expected = os.path.join(os.path.realpath(self._target),
                                os.path.relpath(parent, self._target))
        if os.path.realpath(parent) != os.path.normpath(expected):
            raise _Refusal('its way leads through a link')
        self._make_directories(parent)
        os.symlink(link, path)


class _Writer:
    """Writes a file, and syncs it as it grows.

    Otherwise gigabytes would wait in memory, and a sync of a small file would wait for them too.
    """

    def __init__(self, file):
        self._file = file
        self._waiting = 0

    def write(self, data):
        """Write bytes."""
        self._file.write(data)
        self._waiting += len(data)
        if self._waiting >= MAX_DIRTY:
            self._file.flush()
            os.fdatasync(self._file.fileno())
            self._waiting = 0


def _marked(raw, name):
    """Return the name of a member, with a mark if its raw name has a part '.' in the middle.

    A host uses this to distinguish two kinds of members.
    """
    return './' + name if '/./' in raw else name


def _inside(name):
    """Return a member's name, normalised; None if it leads out."""
    parts = [part for part in name.split('/') if part not in ('', '.')]
    return None if name.startswith('/') or '..' in parts or not parts else '/'.join(parts)
