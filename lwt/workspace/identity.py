"""The identity of a workspace: a random name in .lwt/master, with which everything on hosts begins.

So masters that use the same home each know their own there, even where nothing else is remembered.
Beside the name stands where it was made: a workspace that is now another directory, or on another
machine, is a copy, and two that go on with the same tasks would run them twice.  What cannot be
told (a copy in the place of the original, a copied machine) is taken for the original.
"""

import contextlib
import os
from typing import NamedTuple

from lwt.errors import LocalError
from lwt.workspace import files

DIGITS = 12             # of the name: enough for those of one person


class Master(NamedTuple):
    """name: hex digits.  machine, inode, path: where it was made; machine is '' where the system
    has no name for itself.
    """

    name: str
    machine: str
    inode: str
    path: str


def read(workspace):
    """The Master of a workspace; it is made where there is none.  Raises LocalError when the
    workspace is a copy of another.
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
        raise LocalError('%s: it is damaged' % path,
                         'remove it: then there will be another, and what lies on hosts is not '
                         'known')
    made, here = Master(*words), _here(workspace, words[0])
    is_elsewhere = made.inode != here.inode and made.path != here.path
    if is_elsewhere or (made.machine and here.machine and made.machine != here.machine):
        raise LocalError('%s: a copy of %s; two that go on with the same tasks would run them twice'
                         % (workspace.root, made.path),
                         'if the other is used no more, remove %s' % path)
    return made


def _here(workspace, name):
    machine = ''
    with contextlib.suppress(OSError, UnicodeDecodeError):
        with open('/etc/machine-id', encoding='ascii') as file:
            machine = file.read().strip()
    inode = str(os.stat(workspace.path('.lwt')).st_ino)
    return Master(name, machine, inode, os.path.realpath(workspace.root))
