"""Files on this machine: read with a limit, and written so that they appear complete or not at all.

A file is written under a temporary name in its directory, synced and renamed, and the directory is
synced.  So a file is complete even after a power failure.  Modes are 0600 and 0700, whatever the
umask.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time

from lwt.errors import LocalError, UsageError, os_error_text
from lwt.workspace import ownership

BOM = b'\xef\xbb\xbf'           # the byte order mark U+FEFF in UTF-8
UTF_16 = (b'\xff\xfe', b'\xfe\xff')
# Errors whose cause is not the file that is opened.
MACHINE_ERRORS = (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def read_error(path, error):
    """The LwtError for an OSError from opening or reading a file that the user named."""
    kind = LocalError if error.errno in MACHINE_ERRORS else UsageError
    return kind(os_error_text(path, error))


def read_bytes(path, max_bytes):
    """The content of a small regular file.  Never blocks on a FIFO, never reads a device.

    Raises UsageError, or LocalError if the file is not the cause.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise read_error(path, error)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise UsageError('%s: not a regular file' % path)
        if info.st_size > max_bytes:
            raise UsageError('%s: larger than %d bytes' % (path, max_bytes))
        with open(fd, 'rb', closefd=False) as file:
            return file.read(max_bytes)
    except OSError as error:
        raise read_error(path, error)
    finally:
        os.close(fd)


def user_path(path):
    """Expand ~ and ~USER at the start of a path, unless there is a file with that name.

    The shell does not expand them in --option=~/FILE, within quotes and in configuration files.
    """
    return path if os.path.lexists(path) else os.path.expanduser(path)


def without_bom(data):
    """Bytes of a text without the byte order mark that some editors put at the start of UTF-8."""
    return data[len(BOM):] if data.startswith(BOM) else data


def read_text(path, max_bytes):
    """The text of a small regular file in UTF-8; raises UsageError."""
    return decoded(read_bytes(path, max_bytes), path)


def decoded(data, path):
    """The text of a file in UTF-8, without a byte order mark at its start.  Raises UsageError, with
    the line number if the text is not UTF-8."""
    data = without_bom(data)
    if data.startswith(UTF_16):
        raise UsageError('%s: UTF-16, not UTF-8' % path, 'convert it: iconv -f UTF-16 -t UTF-8')
    try:
        return data.decode('utf-8')
    except UnicodeDecodeError as error:
        line = data[:error.start].count(b'\n') + 1
        raise UsageError('%s:%d: not UTF-8' % (path, line))


@contextlib.contextmanager
def local_errors(what):
    """Turn an OSError into a LocalError.  what: a path, or a name for the file or data."""
    try:
        yield
    except OSError as error:
        raise LocalError(os_error_text(what, error))


def make_dir(path):
    """Make a directory of lwt, mode 0700, and its missing parents; it may exist already."""
    ownership.check_links(path)
    umask = os.umask(0o077)             # os.makedirs gives its mode to the last directory only
    try:
        with local_errors(path):
            os.makedirs(path, mode=0o700, exist_ok=True)
    finally:
        os.umask(umask)


def current_umask():
    """The umask of this process."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def open_new(path, mode):
    """A descriptor to write to a new file.  Raises OSError if the path exists, even as a link."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def open_private(path, flags):
    """A descriptor to write to a file that the user chose; a new file gets mode 0600.

    Does not follow unsafe symbolic links of other users (see ownership.check_links).  Raises
    OSError and UsageError.
    """
    ownership.check_links(path)
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)


def write_atomic(path, text):
    """Write a text to a temporary file, sync it and rename it to path.  Raises LocalError."""
    import tempfile                     # here, because it is slow to import and often not needed
    ownership.check_links(os.path.dirname(path) or '.')
    with local_errors(path):
        fd, part = tempfile.mkstemp(prefix='.part-', dir=os.path.dirname(path) or '.')
        with open(fd, 'w', encoding='utf-8') as file:
            file.write(text)
            file.flush()
            os.fsync(fd)
        os.replace(part, path)
        sync_dir(os.path.dirname(path) or '.')


def write_target(path, text):
    """Write a text to a path that the user chose.

    As write_atomic, but a special file (see is_special) is written in place.
    """
    ownership.check_links(path)
    if is_special(path):
        with local_errors(path), open(open_special(path), 'w', encoding='utf-8') as file:
            file.write(text)
    else:
        write_atomic(path, text)


@contextlib.contextmanager
def replacing(path, special=None):
    """A descriptor to write the new content of a path.  The end of the `with` syncs the content and
    puts it at path; after an error, path is unchanged.

    Until then the file has no name, if the system supports that, so that nothing is left behind.
    A special file (see is_special) is written in place.  special: the descriptor of such a file, if
    it is already open.
    """
    ownership.check_links(path)
    if special is not None or is_special(path):
        with local_errors(path):
            fd = open_special(path) if special is None else special
            try:
                yield fd
            finally:
                os.close(fd)
        return
    path = os.path.realpath(path)
    with local_errors(path):
        mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o666 & ~current_umask()
        part = os.path.join(os.path.dirname(path), '.part-%s' % os.urandom(8).hex())
        fd, is_named = _nameless(path, part)
        try:
            yield fd
            os.fchmod(fd, mode)
            os.fsync(fd)
            if not is_named:
                _give_name(fd, part)
                is_named = True
            os.rename(part, path)
            is_named = False
            sync_dir(os.path.dirname(path))
        finally:
            os.close(fd)
            if is_named:
                os.unlink(part)


def check_replaceable(path):
    """Raise UsageError for a path that `replacing` cannot write to."""
    ownership.check_links(path)
    directory = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise UsageError('%s: a directory' % path)
    if is_special(path):
        if not os.access(path, os.W_OK):
            raise UsageError('%s: cannot be written' % path)
    elif not os.path.isdir(directory):
        raise UsageError('%s: no such directory: %s' % (path, directory))
    elif not os.access(directory, os.W_OK | os.X_OK):
        raise UsageError('%s: cannot be written' % directory)


def is_special(path):
    """Whether a path must be written in place: a device, a FIFO, or a descriptor of this process.

    A rename would replace /dev/null by a regular file, and the file behind /dev/stdout may have no
    name.
    """
    if _descriptor(path) is not None:
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def open_special(path, wait=True):
    """A new descriptor to write to a special file; None for a FIFO without a reader.

    wait: wait for a reader of a FIFO.  For a path that means a descriptor of this process, the
    result is a duplicate, because some files, such as sockets, cannot be opened again.
    """
    number = _descriptor(path)
    if number is not None:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | (0 if wait else os.O_NONBLOCK))
    except OSError as error:
        if error.errno == errno.ENXIO and not wait:
            return None
        raise
    os.set_blocking(fd, True)
    return fd


def _descriptor(path):
    """N for a path that means descriptor N of this process (/dev/stdout, /dev/fd/N), else None."""
    for _link in range(40):             # as many as the kernel follows (path_resolution(7))
        directory, name = os.path.split(os.path.abspath(path))
        directory = os.path.realpath(directory)
        if directory == '/proc/%d/fd' % os.getpid() and name.isdigit():
            return int(name) if os.path.lexists(path) else None
        path = os.path.join(directory, name)
        if not os.path.islink(path):
            return None
        path = os.path.join(directory, os.readlink(path))
    return None


def _nameless(path, part):
    """(descriptor, whether it has a name) of a new file in the directory of path: without a name
    or, if that is not possible, with the name part.
    """
    if os.path.isdir('/proc/self/fd'):          # _give_name needs it
        with contextlib.suppress(OSError, AttributeError):
            return os.open(os.path.dirname(path), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC,
                           0o600), False
    return os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), True


def _give_name(fd, path):
    """Give a name to a file without one.

    With a descriptor of the directory, os.link follows the link in /proc; else it would link that
    link itself.
    """
    links = os.open('/proc/self/fd', os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.link(str(fd), path, src_dir_fd=links)
    finally:
        os.close(links)


def sync_dir(path, dir_fd=None):
    """Make the names in a directory durable."""
    try:
        _sync(path, os.O_DIRECTORY, dir_fd)
    except OSError as error:
        if error.errno != errno.EINVAL:         # some file systems cannot sync directories
            raise


def _sync(path, flags, dir_fd):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=dir_fd)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def walk(path, ignored=()):
    """Yield (descriptor of its directory, name, os.stat_result) of each entry below a directory.

    A directory comes after its content.  Links are not followed.  Entries that vanish meanwhile are
    skipped.  ignored: exception classes; the content of a directory that raises one is skipped.

    Directories may be nested thousands deep.  Recursion would then fail at Python's limit, a path
    at PATH_MAX of the kernel, and a descriptor for each directory at RLIMIT_NOFILE.  So one
    descriptor moves down by name and up by "..", and is checked after each move up.
    """
    fd, names = _listed(path, None, ignored)
    # For each directory above: (its identity, its remaining names, (name, info) of the one entered)
    above = []
    try:
        while names or above:
            if not names:
                names, entry, fd = _back(fd, above)
                yield (fd,) + entry
                continue
            name = names.pop()
            with contextlib.suppress(FileNotFoundError):
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                below, below_names = None, []
                if stat.S_ISDIR(info.st_mode):
                    below, below_names = _listed(name, fd, ignored)
                if below_names:
                    above.append((_identity(fd), names, (name, info)))
                    os.close(fd)
                    fd, names = below, below_names
                    continue
                if below is not None:
                    os.close(below)
                yield fd, name, info
    finally:
        if fd is not None:
            os.close(fd)


def _listed(path, dir_fd, ignored):
    """(descriptor, names) of a directory; (None, []) if reading it raises an ignored error."""
    fd = None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                     dir_fd=dir_fd)
        return fd, os.listdir(fd)
    except OSError as error:
        if fd is not None:
            os.close(fd)
        if isinstance(error, ignored):
            return None, []
        raise


def _back(fd, above):
    """Leave a directory; returns (remaining names in its parent, (name, os.stat_result) of the
    directory, descriptor of the parent).
    """
    up = os.open('..', os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    identity, names, entry = above.pop()
    if _identity(up) != identity:
        os.close(up)
        raise OSError(errno.EBUSY, 'a directory was moved meanwhile')
    os.close(fd)
    return names, entry, up


def _identity(fd):
    info = os.fstat(fd)
    return info.st_dev, info.st_ino


# Errors for which a directory is skipped.
UNSEEN = (FileNotFoundError, NotADirectoryError, PermissionError)


def sync_tree(path):
    """Make a whole directory durable: every file, then the directories, bottom up."""
    for fd, name, info in walk(path, UNSEEN):
        if stat.S_ISDIR(info.st_mode):
            with contextlib.suppress(*UNSEEN):
                sync_dir(name, fd)
        # An empty file has only a name.
        elif stat.S_ISREG(info.st_mode) and info.st_size:
            _sync(name, os.O_NOFOLLOW, fd)
    sync_dir(path)


def tree_size(path, each=0):
    """The total bytes of all files in a directory.  each: bytes that every entry counts in
    addition."""
    return sum(each + (0 if stat.S_ISDIR(info.st_mode) and not each else info.st_size)
               for _fd, _name, info in walk(path, UNSEEN))


def remove_tree(path):
    """Remove a file or a directory tree, if it exists; does not follow links.  Raises LocalError.

    Other processes may remove it at the same time.
    """
    with local_errors(path):
        while os.path.lexists(path):
            # Another process removed it, or a part of it.
            with contextlib.suppress(FileNotFoundError):
                if os.path.isdir(path) and not os.path.islink(path):
                    for fd, name, info in walk(path):
                        with contextlib.suppress(FileNotFoundError):
                            _remove(fd, name, info)
                    os.rmdir(path)
                else:
                    os.unlink(path)


def _remove(fd, name, info):
    if stat.S_ISDIR(info.st_mode):
        os.rmdir(name, dir_fd=fd)
    else:
        os.unlink(name, dir_fd=fd)


def discard(path):
    """Remove a directory as far as possible; ignore errors and leave the rest."""
    with contextlib.suppress(OSError):
        for fd, name, info in walk(path, OSError):
            with contextlib.suppress(OSError):
                _remove(fd, name, info)
        os.rmdir(path)


class Lock:
    """A lock that the kernel releases when its holder dies: flock on a directory, or on a file that
    is never removed.
    """

    def __init__(self, path):
        self._path = path
        self._fd = None

    def take(self):
        """Take the lock without waiting; returns False if another process has it."""
        with local_errors(self._path):
            self._open()
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.path.isdir(self._path):
                    os.ftruncate(self._fd, 0)
                    os.write(self._fd, b'%d\n' % os.getpid())       # for holder() and users
            except OSError as error:
                self.release()
                if isinstance(error, BlockingIOError):
                    return False
                raise
        return True

    @contextlib.contextmanager
    def shared(self):
        """Hold the lock with other shared holders; waits for a process that has taken it."""
        with local_errors(self._path):
            self._open()
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH)
            yield
        finally:
            self.release()

    def _open(self):
        flags = os.O_RDONLY if os.path.isdir(self._path) else os.O_RDWR | os.O_CREAT
        self._fd = os.open(self._path, os.O_CLOEXEC | flags, 0o600)

    def is_free(self):
        """Whether no process has the lock at the moment."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def holder(self):
        """(process id of the last taker, seconds since it took the lock), or None if unknown.

        The seconds are negative if the clock was set back meanwhile.
        """
        try:
            with open(self._path, 'rb') as file:
                return int(file.read(20)), time.time() - os.fstat(file.fileno()).st_mtime
        except (OSError, ValueError):
            return None

    def release(self):
        """Release the lock, if it is held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
