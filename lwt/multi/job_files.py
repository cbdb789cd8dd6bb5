"""The files of jobs on hosts: what is sent before a job, and what is fetched after it.

A path is relative to the working directory on both machines, or absolute on both.  With "/./" in
it, the path on the host is only what follows, as for rsync -R: A/./B is B on the host.
"""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from typing import NamedTuple, Optional

from lwt.copy import child_jobs, disk_space, manifest, tarstream
from lwt.copy.tar_reader import Refused
from lwt.errors import LocalError, UsageError, os_error_text, printable, printable_text
from lwt.multi.job import HERE
from lwt.multi.template import PathTemplate
from lwt.remote import host_limits
from lwt.selectors_loop import Sink
from lwt.workspace import files

PART = '.lwt-multi.'            # the beginning of the names of directories for incomplete files
RUN_DIRECTORY = b'...'          # --workdir: a new directory for each job
RUNS = b'.lwt/multi/'           # where these are, in the login directory


class FileOptions(NamedTuple):
    """What happens with the files of jobs.

    transfers, returns: PathTemplates.  base: paths that are sent to each host once.
    is_cleaned: the files are removed from the host afterwards.
    workdir: the working directory on hosts, or None for the login directory.
    workdir_here: the same for jobs on this machine, or None for the current directory.
    is_shared: several jobs may have the same transfer file.
    """

    transfers: tuple = ()
    returns: tuple = ()
    base: tuple = ()
    is_cleaned: bool = False
    workdir: Optional[PathTemplate] = None
    workdir_here: Optional[PathTemplate] = None
    is_shared: bool = False


class JobPath(NamedTuple):
    """A file or directory.  local, remote: its path on this machine and on the host, as bytes."""

    local: bytes
    remote: bytes


class JobFiles(NamedTuple):
    """The files of one job: JobPaths to send and to fetch, and its working directory on the host.

    is_own_directory: no other job uses that directory.
    """

    sent: tuple
    fetched: tuple
    directory: bytes
    is_own_directory: bool = False


def place(path):
    """The JobPath of a path.  Raises UsageError."""
    before, mark, after = path.partition(b'/./')
    remote = after.lstrip(b'/') if mark else path
    is_absolute = remote.startswith(b'/')
    parts = [part for part in remote.split(b'/') if part not in (b'', b'.')]
    if not parts:
        raise UsageError('%s: not the path of a file' % _shown(path))
    if b'..' in parts:
        raise UsageError('%s: ".." in a path on a host' % _shown(path),
                         'use DIRECTORY/./PATH: only PATH is used on the host')
    local = before + b'/' + after if mark else path
    return JobPath(local, b'/' * is_absolute + b'/'.join(parts))


def sent(path):
    """The JobPaths of a path to send: that of a directory "." is what the directory contains.

    Raises UsageError.
    """
    before, mark, after = (path.rstrip(b'/') + b'/').partition(b'./')
    if after or not mark or before and not before.endswith(b'/'):
        return [place(path)]
    try:
        names = sorted(os.listdir(before or b'.'))
    except OSError as error:
        raise files.read_error(_shown(path), error)
    return [place(before + b'./' + name) for name in names]


def check(text, option):
    """Raise UsageError if no job can have this path with placeholders.  option: its name."""
    try:
        sent(os.fsencode(text))
    except UsageError as error:
        raise UsageError('--%s %s' % (option, error.message), error.hint)


def plan(options, job, slot, host, home):
    """The JobFiles of a job.Job.  host: the name of the host.  home: its directory.

    Raises UsageError.
    """
    how = job.arguments, job.number, slot, os.fsencode(host)
    directory = home if options.workdir is None else options.workdir.fill(*how)
    is_own = directory == RUN_DIRECTORY
    if is_own:
        directory = own_directory(job.number)
    transfers = [one for template in options.transfers for path in template.fill_each(*how)
                 for one in sent(path)]
    returns = [place(path) for template in options.returns for path in template.fill_each(*how)]
    return JobFiles(tuple(dict.fromkeys(transfers)), tuple(dict.fromkeys(returns)), directory,
                    is_own)


def own_directory(number):
    """The directory of the job with this number for --workdir ..., below the login directory."""
    return RUNS + b'%s-%d-%d' % (os.fsencode(os.uname().nodename), os.getpid(), number)


def directory_here(options, job, slot):
    """Make and return the working directory of a job on this machine; None for the current one."""
    if options.workdir_here is None:
        return None
    path = options.workdir_here.fill(job.arguments, job.number, slot, HERE)
    if path == RUN_DIRECTORY:
        path = b'~/' + own_directory(job.number)
    path = os.path.expanduser(path)
    with contextlib.suppress(OSError):  # then the job cannot be started, which is reported
        os.makedirs(path, mode=0o700, exist_ok=True)
    return os.fsdecode(path)


def workdir_here(home):
    """The value of --workdir . : the current directory, relative to HOME if it is below it."""
    here = os.getcwd()
    if home and (here + '/').startswith(home.rstrip('/') + '/'):
        return os.fsencode(os.path.relpath(here, home))
    return os.fsencode(here)


class Shipment:
    """A tar stream of local files and directories.

    size: bytes of the stream.  names: the paths of the files on the host.
    problem: why the stream ended early, or ''.
    """

    def __init__(self, places):
        """Raises UsageError if one of the JobPaths cannot be read."""
        self.names = tuple(one.remote for one in places)
        self.problem = ''
        self._entries = [entry for one in places for entry in _entries(one)]
        self.size = manifest.stream_size(self._entries) if self._entries else 0

    @property
    def content(self):
        """Bytes of all files."""
        return sum(entry.size for entry in self._entries)

    def stream(self):
        """Yield the stream in chunks.  Raises OSError if a file has changed meanwhile."""
        try:
            if self._entries:
                yield from manifest.stream(self._entries)
        except manifest.Changed as changed:
            self.problem = str(changed)
            raise OSError(self.problem)


def _entries(one):
    """Yield a manifest.Entry for everything in a JobPath; symbolic links are sent as links."""
    path = os.fsdecode(one.local)
    name = './' + os.fsdecode(one.remote).lstrip('/')
    waiting = [(path, name)]
    while waiting:
        path, name = waiting.pop()
        try:
            info = os.lstat(path)
            if stat.S_ISDIR(info.st_mode):
                yield manifest.Entry(name, path, info.st_mode & 0o777 | 0o700, int(info.st_mtime))
                waiting += [(os.path.join(path, child), name + '/' + child)
                            for child in sorted(os.listdir(path), reverse=True)]
            elif stat.S_ISLNK(info.st_mode):
                yield manifest.Entry(name, path, 0o777, int(info.st_mtime), link=os.readlink(path))
            elif stat.S_ISREG(info.st_mode):
                # The digest only marks a file: ssh protects the stream.
                yield manifest.Entry(name, path, info.st_mode & 0o777, int(info.st_mtime),
                                     manifest.version(info), '-')
            else:
                raise UsageError('%s: neither a file nor a directory' % printable(path, 200))
            if not os.access(path, os.R_OK) and not stat.S_ISLNK(info.st_mode):
                raise UsageError('%s: cannot be read' % printable(path, 200))
        except OSError as error:
            raise files.read_error(printable_text(path), error)


class Arrival(Sink):
    """Takes the answer to a "send" request: the tar stream of files, into a file in a directory
    of its own in the current directory.

    size: bytes of the stream.  problem: why the host was stopped.
    """

    def __init__(self, places):
        self._places = places
        self._part, self._lock = _new_directory()
        self._path = os.path.join(self._part, 'stream')
        self._file = open(self._path, 'xb', buffering=0)
        self._watch = disk_space.Watch(self._part)
        self._told = b''
        self.size = 0
        self.problem = ''

    def feed(self, stream, data):
        """Take bytes; returns true if no more is wanted."""
        if stream == 'stderr':
            self._told += data[:max(0, host_limits.LINE - len(self._told))]
            return False
        self.size += len(data)
        try:
            if self._watch.is_short(self.size):
                self.problem = 'no room for the files that the host sends'
            while data and not self.problem:
                data = data[self._file.write(data):]
        except OSError as error:
            self.problem = os_error_text(self._path, error)
        return bool(self.problem)

    def accept(self):
        """Flow: move the files into place; returns [why some are missing or '', bytes of files].

        Call it when the host has sent everything.
        """
        self._file.close()
        wanted = [[os.fsdecode(one.local), os.fsdecode(one.remote)] for one in self._places]
        return (yield from child_jobs.do(take_returned, [self._part, self._path, wanted],
                                         tarstream.work(self._path, child_jobs.SMALL + 1)))

    def missing(self):
        """Return that a file does not exist on the host, or ''."""
        numbers = [int(line[8:]) for line in self._told.split(b'\n')
                   if line.startswith(b'missing ') and line[8:].isdigit()]
        for number in numbers:
            if 0 < number <= len(self._places):
                return ('%s: not returned: no such file on the host'
                        % _shown(self._places[number - 1].remote))
        return ''

    @property
    def complaint(self):
        """The first line that tar printed."""
        lines = [line for line in self._told.split(b'\n')
                 if line and not line.startswith((b'missing ', b'tar: Removing leading'))]
        return printable_text(lines[0]) if lines else ''

    def discard(self):
        """Remove what is left of it."""
        self._file.close()
        files.remove_tree(self._part)
        self._lock.release()


def _new_directory():
    """Return (path, files.Lock) of a new directory for incomplete files."""
    while True:
        path = tempfile.mkdtemp(prefix=PART, dir='.')
        lock = files.Lock(path)
        with contextlib.suppress(LocalError):           # some file systems have no locks
            if not lock.take() or not os.path.isdir(path):
                continue                # remove_stale() was faster
        return path, lock


def remove_stale():
    """Remove the directories that runs left in the current directory when they were killed."""
    with contextlib.suppress(LocalError, OSError):
        for name in os.listdir('.'):
            lock = files.Lock(name)
            if (name.startswith(PART) and not os.path.islink(name)
                    and os.lstat(name).st_uid == os.geteuid() and lock.take()):
                files.remove_tree(name)
                lock.release()


@child_jobs.job
def take_returned(argument):
    """Unpack a stream and move the files into place.

    Returns [why some are missing or '', bytes of the files].
    argument: [directory for incomplete files, path of the stream, [[local, remote] of each file]].
    """
    part, path, wanted = argument
    new = os.path.join(part, 'new')
    os.mkdir(new, 0o700)
    names = {remote.lstrip('/'): local for local, remote in wanted}

    def where(name, _is_directory):
        name = name[2:] if name.startswith('./') else name
        parts = name.split('/')
        tops = ('/'.join(parts[:count]) for count in range(1, len(parts) + 1))
        return name if any(top in names for top in tops) else ''

    try:
        refused = tarstream.unpack(path, new, where)
    except Refused as refusal:
        return ['what the host sent is not a valid tar archive (%s)' % refusal, 0]
    if refused:
        return [refused[0], 0]
    size = files.tree_size(new)
    for remote, local in names.items():
        source = os.path.join(new, remote)
        if not os.path.lexists(source):
            return ['%s: not returned' % printable_text(remote), 0]
        try:
            _move(source, local)
        except OSError as error:
            return [os_error_text(printable_text(local), error), 0]
    return ['', size]


def _move(source, target):
    """Move a file or directory to its place.  Existing files are replaced, and directories merged.
    """
    directory = os.path.dirname(target)
    if directory:
        os.makedirs(directory, exist_ok=True)
    if os.path.isdir(source) and not os.path.islink(source):
        os.makedirs(target, exist_ok=True)
        for name in os.listdir(source):
            _move(os.path.join(source, name), os.path.join(target, name))
        return
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = os.path.join(directory, PART + os.path.basename(os.path.dirname(source)))
        shutil.copy2(source, beside, follow_symlinks=False)
        os.replace(beside, target)


def check_base(paths):
    """The JobPaths of base files.  Raises UsageError if one of them cannot be read."""
    for path in paths:
        check(path, 'basefile')
    places = tuple(one for path in paths for one in sent(os.fsencode(path)))
    Shipment(places)
    return places


def _shown(path):
    return printable_text(path) or "''"
