"""A local tree of links that shows scp exactly what a put sends.

scp copies whole trees and follows symbolic links.  So the entries of a manifest that a host needs
are laid out as a tree of directories with a symbolic link for each file, under the names that they
get on the host, and scp is given this tree.
"""

from __future__ import generator_stop

import os
import tempfile

from lwt.copy import child_jobs, manifest
from lwt.errors import printable
from lwt.workspace import files

ENTRY_WORK = 1 << 11        # the work of making one entry, in bytes


def lay_out(entries):
    """Flow: make a tree for Entries of a manifest; returns its directory.

    The caller removes it with child_jobs.remove.
    """
    directory = tempfile.mkdtemp(prefix='lwt-put.')
    argument = [directory, [[entry.name, entry.path, entry.mode, entry.mtime, bool(entry.digest)]
                            for entry in entries]]
    yield from child_jobs.do(make_tree, argument, len(entries) * ENTRY_WORK)
    return directory


@child_jobs.job
def make_tree(argument):
    """Job of lay_out; argument: [directory, [[name, path, mode, time of change, whether it is a
    file]]].
    """
    directory, entries = argument
    directories = []
    for name, path, mode, mtime, is_file in entries:
        place = os.path.join(directory, name)
        if is_file:
            os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
            os.symlink(path, place)
        else:
            os.makedirs(place, 0o700, exist_ok=True)
            directories.append((place, mode, mtime))
    # Last, and deepest first: a new file changes the time of its directory.
    for place, mode, mtime in reversed(directories):
        os.chmod(place, mode)
        os.utime(place, (mtime, mtime))


def tops(directory):
    """Return the absolute paths of what the directory of a tree holds."""
    return [os.path.join(directory, name) for name in sorted(os.listdir(directory))]


def find_changed(entries):
    """Return why the content that was sent may not be that of the manifest, or ''."""
    for entry in entries:
        if entry.digest:
            try:
                info = os.stat(entry.path)
            except OSError as error:
                return str(files.read_error(entry.path, error))
            if manifest.version(info) != entry.version:
                return '%s: changed while it was read' % printable(entry.path, 200)
    return ''
