"""Limits on what the tests write: the size of each file, and of all files together."""

import glob
import os
import resource
import shutil
import tempfile
import time

MIB = 1 << 20
FILE_LIMIT = 200 * MIB          # of one file that any test writes
TOTAL_LIMIT = 450 * MIB         # of all files in the scratch directories of a run
INTERVAL = 2.0                  # seconds between two measurements


def limit_files():
    """Limit the size of files to FILE_LIMIT, in this process and in all processes that it starts.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if hard == resource.RLIM_INFINITY or hard > FILE_LIMIT:
        soft = FILE_LIMIT if soft == resource.RLIM_INFINITY else min(soft, FILE_LIMIT)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, FILE_LIMIT))


def make_scratch(environ):
    """Make the two scratch directories of a run, and name them in the environment.

    One is TMPDIR. The other is for the labs, and is elsewhere if possible (see labs_directory of
    tests/lab.py). Returns their paths.
    """
    from tests import lab
    labs = tempfile.mkdtemp(prefix='lwt-labs.', dir=lab.labs_directory())
    environ['LWT_TEST_LABS'] = labs
    environ['TMPDIR'] = tempfile.mkdtemp(prefix='lwt-tests.')
    os.chmod(environ['TMPDIR'], 0o711)  # for the tests that root runs as another user
    # lwt keeps its sockets in this directory, else in /tmp/lwt-UID.
    environ['LWT_TEST_RUNTIME'] = environ['TMPDIR']
    return environ['TMPDIR'], labs


def remove_scratch(folders):
    """Remove the scratch directories of a run.

    The network of a lab that was killed outlives the lab, and is removed too.
    """
    from tests import lab
    for path in glob.glob(os.path.join(folders[1], '*', 'lab.json')):
        lab.Lab.open(os.path.dirname(path)).down()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


class Budget:
    """Checks from time to time how much the scratch directories contain."""

    def __init__(self, folders, limit=TOTAL_LIMIT, interval=INTERVAL):
        self._folders = folders
        self._limit = limit
        self._interval = interval
        self._due = 0.0

    def problem(self):
        """Return the problem, or ''. Cheap if it is too early for another measurement."""
        if time.monotonic() < self._due:
            return ''
        size = sum(map(size_of, self._folders))
        self._due = time.monotonic() + self._interval
        if size <= self._limit:
            return ''
        return 'the tests have written %d MiB, more than %d' % (size // MIB, self._limit // MIB)


def size_of(folder):
    """Return the bytes on disk of all files below a directory, without other file systems."""
    try:
        device = os.lstat(folder).st_dev
    except OSError:
        return 0
    total, folders = 0, [folder]        # no recursion: tests make directories thousands deep
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if found.st_dev == device:
                        total += found.st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
        except OSError:
            pass
    return total
