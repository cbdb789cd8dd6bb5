"""The identity of a workspace: a random name in .lwt/master.  The names of all its files on hosts
begin with it.

So masters that use the same home recognise their own files, even if they have lost their state.
The file also records where it was created.  A workspace in another directory or on another machine
is a copy; two copies that continue the same tasks would run them twice.  A copy that cannot be
detected (at the path of the original, or on a copied machine) counts as the original.
"""

import contextlib
import os
from typing import NamedTuple

from lwt.errors import LocalError
from lwt.workspace import files

DIGITS = 12             # length of the name, enough for the masters of one person


class Master(NamedTuple):
    """name: hex digits.

    machine, inode, path: where it was created; machine is '' on systems without a machine id.
    """

    name: str
    machine: str
    inode: str
    path: str


def read(workspace):
    """The Master of a workspace, which is created if missing.

    Raises LocalError if the workspace is a copy of another.
    """
    path = workspace.path('.lwt', 'master')
    with files.local_errors(path):
        if not os.path.exists(path):
            with files.replacing(path) as fd:
                os.write(fd,
                         os.fsencode(' '.join(_here(workspace, os.urandom(DIGITS // 2).hex()))
                                     + '\n'))
        with open(path, encoding='utf-8', errors='surrogateescape') as file:
            words = file.read().rstrip('\n').split(' ', 3)
    if len(words) != 4 or len(words[0]) != DIGITS or words[0].strip('0123456789abcdef'):
        raise LocalError('%s: damaged' % path,
                         'remove it: lwt then creates another, but does not recognise its files '
                         'on hosts')
    made, here = Master(*words), _here(workspace, words[0])
    is_elsewhere = made.inode != here.inode and made.path != here.path
    if is_elsewhere or (made.machine and here.machine and made.machine != here.machine):
        raise LocalError('%s: a copy of %s; both would run the same tasks'
                         % (workspace.root, made.path),
                         'if the other workspace is no longer used, remove %s' % path)
    return made


def _here(workspace, name):
    machine = ''
    with contextlib.suppress(OSError, UnicodeDecodeError):
        with open('/etc/machine-id', encoding='ascii') as file:
            machine = file.read().strip()
    inode = str(os.stat(workspace.path('.lwt')).st_ino)
    return Master(name, machine, inode, os.path.realpath(workspace.root))
