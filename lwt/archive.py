"""Tar streams: packed for a host, and unpacked from one, which is not trusted.

What a host sends is extracted by rules of our own, for tarfile's filters are missing before 3.12 and were got round after: only
into a new directory; no absolute path, no "..", no device, no FIFO; every file is made anew (O_EXCL, O_NOFOLLOW); symbolic
links, if they stay inside, are made last, so that nothing is ever written through one.

Files and directories get the modes that they have on the host, within the umask, never setuid, setgid or sticky.  Their owner can
always read files here, and read, write and enter directories, so that he can also remove them.
"""

import errno
import hashlib
import io
import itertools
import os
import shutil
import stat
import tarfile
from typing import NamedTuple

from lwt.errors import UsageError
from lwt.hosts import printable

CHUNK = 1 << 20


class Packed(NamedTuple):
    """A tar file made by pack."""

    path: str
    size: int
    digest: str                 # 'sha256 HEX', as sh/lib.sh prints it


def check_input(directory):
    """The names of the plain files at the top of a task's folder.  Raises UsageError for what cannot be sent to a host."""
    for root, dirs, names in os.walk(directory, onerror=_raise):
        for name in dirs + names:
            _check_entry(directory, os.path.join(root, name))
    return top_files(directory)


def top_files(directory):
    """The names of the plain files at the top of a directory."""
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
            raise UsageError('%s: the link leads out of the folder (to %s)' % (shown, printable(target)))
    elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UsageError('%s: neither a file nor a directory' % shown)
    elif not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        raise UsageError('%s: cannot be read' % shown)


def stays_inside(name, target):
    """Does a link of this relative name, to this target, stay within the directory that name is relative to?

    ".." is taken only at the beginning of a target: after a name, which may be a link itself, it may lead anywhere.
    """
    parts = [part for part in target.split('/') if part not in ('', '.')]
    ups = len(parts) - len(list(itertools.dropwhile(lambda part: part == '..', parts)))
    depth = len([part for part in name.split('/') if part not in ('', '.')]) - 1
    return bool(target) and not target.startswith('/') and '..' not in parts[ups:] and ups <= depth


def copy_input(source, target):
    """Copy a task's folder, links as links, modes kept."""
    shutil.copytree(source, target, symlinks=True)


def pack(path, trees, texts, executable):
    """Write a tar file.

    trees: {name in the archive: directory}.  texts: {name in the archive: str}.  executable: names whose files get an x bit.
    Returns a Packed.
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
    """The SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for chunk in iter(lambda: file.read(CHUNK), b''):
            digest.update(chunk)
    return digest.hexdigest()


def is_complete(path):
    """Does a tar file end as one must, with two blocks of zeros?  (tarfile takes a cut one for a shorter one.)"""
    with open(path, 'rb') as file:
        file.seek(0, os.SEEK_END)
        if file.tell() < 1024:
            return False
        file.seek(-1024, os.SEEK_END)
        return not file.read().strip(b'\0')


def unpack(path, target, place, depth=0, links=None):
    """Extract what a host sent into target, a new directory.

    path: a file of one or more tar archives, one after the other.  place(name, is_directory) gives the relative path for a
    member, or '' to leave it out; the name begins with ./ if the member's own has a part '.' in the middle.  depth: how many of
    its first parts no symbolic link may lead out of.  links: None, or a list that gets (name, target) of each symbolic link;
    none is made then.

    Returns what was refused, a line each.  Raises tarfile.TarError for what is no tar file, OSError when this machine cannot
    take it.
    """
    refused, own_links, umask = [], [], _umask()
    for tar, member in _members(path):
        name = _inside(member.name)
        if name is None:
            refused.append('%s: leads out of the directory' % printable(member.name))
            continue
        if member.issym() and links is not None:
            links.append((_marked(member.name, name), member.linkname))
            continue
        where = place(_marked(member.name, name), member.isdir())
        if where and member.issym():
            own_links.append((where, member.linkname))
        elif where:
            linked = _inside(member.linkname) if member.islnk() else ''
            linked = linked and place(_marked(member.linkname, linked), False)
            _attempt(refused, member.name, _extract, tar, member, os.path.join(target, where),
                     linked and os.path.join(target, linked), umask)
    for where, link in own_links:
        _attempt(refused, where, _link, target, where, link, depth)
    return refused


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _members(path):
    """(the TarFile, the TarInfo) of each member of the archives in a file."""
    with open(path, 'rb') as file:
        at, before = 0, -1
        while at is not None:
            if at <= before:
                raise tarfile.ReadError('no header at byte %d' % at)
            file.seek(at)
            with tarfile.open(fileobj=file, mode='r:') as tar:
                for member in tar:
                    tar.members.clear()         # or there would be a million of them in memory
                    yield tar, member
                at, before = _after_zeros(file, tar.offset), at


def _after_zeros(file, at):
    """The offset of the first block from `at` on that holds more than zeros, None if there is none."""
    file.seek(at)
    for block in iter(lambda: file.read(tarfile.BLOCKSIZE), b''):
        if block.strip(b'\0'):
            return at
        at += len(block)
    return None


def _marked(raw, name):
    """The name of a member, marked if it is written with a part '.' in the middle: so a host can tell two kinds apart."""
    return './' + name if '/./' in raw else name


class _Refusal(Exception):
    """Why a member is not taken."""


class Unstorable(str):
    """A line about a member with which nothing is wrong, but that this machine cannot keep."""


OURS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EFBIG})


def _attempt(refused, name, action, *arguments):
    """Do what a member asks for.  What this machine cannot do is raised; all else is the member's fault: noted, passed over."""
    try:
        action(*arguments)
    except _Refusal as refusal:
        refused.append('%s: %s' % (printable(name), refusal))
    except OSError as error:
        if error.errno in OURS:
            raise
        refused.append(Unstorable('%s: %s' % (printable(name), error.strerror)))
    except (ValueError, OverflowError, RecursionError):
        refused.append('%s: no file can be so' % printable(name))


def _inside(name):
    """A member's name, normalised; None if it leads out."""
    parts = [part for part in name.split('/') if part not in ('', '.')]
    return None if name.startswith('/') or '..' in parts or not parts else '/'.join(parts)


def _extract(tar, member, path, linked, umask):
    """Make what a member is; linked: of a hard link, the file that it is a copy of, '' or None where that is not taken."""
    mode = member.mode & 0o777 & ~umask
    if member.isdir():
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode | 0o700)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with _source(tar, member, linked) as source:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode | 0o400)
        with open(fd, 'wb') as file:
            shutil.copyfileobj(source, file, CHUNK)
    os.utime(path, (member.mtime, member.mtime))


def _source(tar, member, linked):
    """The content of a file, or of the one that a hard link means: that is here already, as a file, or it is not taken."""
    if member.isreg():
        return tar.extractfile(member)
    if linked and os.path.isfile(linked) and not os.path.islink(linked):
        return open(linked, 'rb')
    raise _Refusal('neither a file nor a directory')


def _link(target, where, link, depth):
    """Make a symbolic link, last of all, if neither it nor the way to it leads out."""
    path = os.path.join(target, where)
    parent = os.path.dirname(path)
    if not stays_inside('/'.join(where.split('/')[depth:]), link):
        raise _Refusal('the link leads out of the directory')
    if os.path.realpath(parent) != os.path.join(os.path.realpath(target), os.path.relpath(parent, target)).rstrip('/.'):
        raise _Refusal('its way leads through a link')
    os.makedirs(parent, exist_ok=True)
    os.symlink(link, path)
