"""Tar streams: packed for a host, and unpacked from one, which is not trusted.

What a host sends is extracted by rules of our own, for tarfile's filters are missing before 3.12 and were got round after: only
into a new directory; no absolute path, no "..", no device, no FIFO; every file is made anew (O_EXCL, O_NOFOLLOW); symbolic
links, if they stay inside, are made last, so that nothing is ever written through one.  Files are 0600 or, if they can be
executed, 0700; directories 0700.
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


def unpack(path, target, place, depth=0):
    """Extract what a host sent into target, a new directory.

    place(name, is_directory) gives the relative path for a member, or '' to leave it out.  depth: how many of its first
    parts no link may lead out of.  Returns what was refused, a line each.  Raises tarfile.TarError for what is no tar file,
    OSError when this machine cannot take it.
    """
    refused, links = [], []
    with tarfile.open(path, 'r:') as tar:
        for member in tar:
            tar.members.clear()         # or there would be a million of them in memory
            name = _inside(member.name)
            where = name and place(name, member.isdir())
            if name is None:
                refused.append('%s: leads out of the directory' % printable(member.name))
            elif where and member.issym():
                links.append((where, member.linkname))
            elif where:
                linked = _inside(member.linkname) if member.islnk() else ''
                linked = linked and place(linked, False)
                _attempt(refused, member.name, _extract, tar, member, os.path.join(target, where),
                         linked and os.path.join(target, linked))
    for where, link in links:
        _attempt(refused, where, _link, target, where, link, depth)
    return refused


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


def _extract(tar, member, path, linked):
    """Make what a member is; linked: of a hard link, the file that it is a copy of, '' or None where that is not taken."""
    if member.isdir():
        os.makedirs(path, mode=0o700, exist_ok=True)
        return
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    mode = 0o700 if member.mode & 0o100 else 0o600
    with _source(tar, member, linked) as source:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
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
    os.makedirs(parent, mode=0o700, exist_ok=True)
    os.symlink(link, path)
