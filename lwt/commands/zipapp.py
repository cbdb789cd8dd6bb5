"""The zipapp: lwt as one file for any Python, built reproducibly.

The file does not depend on the machine: names are sorted; times, owners and modes are constants;
and nothing is compressed, because the output of compressors depends on their version.  If lwt runs
from a zipapp, that file is used.
"""

import io
import os
import zipfile

import lwt

NAME = 'lwt.pyz'
FIRST_LINE = b'#!/usr/bin/env python3\n'
EPOCH = (1980, 1, 1, 0, 0, 0)       # the earliest time in a zip file
UNIX = 3

MAIN = b'''\
import sys

if sys.version_info < (3, 6, 1):
    sys.exit('lwt: needs Python 3.6.1 or later; this is Python ' + sys.version.split()[0])

from lwt.__main__ import run

run()
'''


def archive():
    """Return the path of the zip file that lwt runs from, or ''."""
    return getattr(lwt.__loader__, 'archive', '')


def program():
    """Return the absolute path that a Python runs to start this lwt: the zipapp, or the package
    folder.
    """
    return os.path.abspath(archive() or os.path.dirname(lwt.__file__))


def build():
    """Return the zipapp, as bytes."""
    if archive():
        with open(archive(), 'rb') as file:
            return file.read()
    buffer = io.BytesIO(FIRST_LINE)
    buffer.seek(0, os.SEEK_END)
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_STORED) as zipped:
        folder = os.path.dirname(os.path.abspath(lwt.__file__))
        for name, data in [('__main__.py', MAIN)] + sorted(_sources(folder)):
            info = zipfile.ZipInfo(name, EPOCH)
            info.create_system, info.external_attr = UNIX, 0o100644 << 16
            zipped.writestr(info, data)
    return buffer.getvalue()


def _sources(folder):
    """Yield (name in the zipapp, content) of each file of the package."""
    for directory, _folders, names in os.walk(folder):
        for name in names:
            if name.endswith(('.py', '.sh')):
                path = os.path.join(directory, name)
                with open(path, 'rb') as file:
                    yield os.path.join('lwt', os.path.relpath(path, folder)), file.read()
