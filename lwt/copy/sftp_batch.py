"""Batches of sftp: they replace scripts on an account that runs no commands.

Examples are accounts of appliances and backup boxes, and those with ForceCommand internal-sftp.
scp copies over SFTP, and batches of sftp create directories, list sizes and rename.  Nothing can
compute a digest on such a host, so only sizes are compared, and the report says so.
"""

from __future__ import generator_stop

import collections
import os
import posixpath
import re
from typing import NamedTuple

from lwt import scp
from lwt.errors import UsageError

UNVERIFIED = 'not verified by digest: this account runs no commands, so only sizes were compared'
# For an account that allows scp and nothing else.
NOT_VERIFIED = 'not verified: this account allows only scp'
DIRECTORY_LINE = 'Remote working directory: '
BATCH = 500                 # commands in one batch
# A line of `ls -ln`: the mode, the number of links, the owner, the group and the size.
LISTED = re.compile(r'([bcdlpsw-])[-rwxsStTlL]{9}\S? +\S+ +\S+ +\S+ +(\d+) ')


class Listing(NamedTuple):
    """The contents of a directory: the sorted sizes of its files, and the number of its entries."""

    sizes: tuple
    count: int

    def allows(self, copy):
        """Return whether `copy` may be the Listing of a copy of this directory.

        A symbolic link in this directory is a file in the copy, whose size is not known.
        """
        missing = collections.Counter(self.sizes) - collections.Counter(copy.sizes)
        return not missing and self.count == copy.count


def login_directory(printed):
    """Return the directory that `pwd` has printed, or ''."""
    found = [line[len(DIRECTORY_LINE):] for line in printed if line.startswith(DIRECTORY_LINE)]
    return found[-1] if found else ''


def may_be(verdict):
    """Return whether this Verdict on a script may mean that the account runs no commands."""
    return verdict.kind == 'refused'


def heard(session, host, verdict):
    """Record this Verdict about the host, because its refusal to run a script was expected; returns
    it.
    """
    if session.heard is not None and verdict.ok:
        session.heard.append((host.name, verdict))
    return verdict


def login_path(home, path):
    """Return a path for sftp, relative to the login directory or absolute.

    home: the home of the host, to which relative paths are relative.  Raises UsageError for ~USER.
    """
    path = path if path.startswith(('/', '~')) else posixpath.join(home, path)
    if path.startswith('~'):
        first, _slash, path = path.partition('/')
        if first != '~':
            raise UsageError('%s: only a shell on the host knows this home' % first)
        path = path.lstrip('/') or '.'
    return path if path.startswith('/') else './' + path


def unverified(verdict, why):
    """Return the Verdict with a note on what was compared."""
    return verdict._replace(reason='%s; %s' % (verdict.reason, why), is_unverified=True)


class Batches:
    """Runs batches of sftp for one copy; raises Failed when one fails."""

    class Failed(Exception):
        """A batch failed; verdict says why."""

        def __init__(self, verdict):
            super().__init__(verdict.reason)
            self.verdict = verdict

    def __init__(self, transfers):
        self._transfers = transfers

    def run(self, lines):
        """Flow: run any number of commands; returns the lines that they printed."""
        printed = []
        for start in range(0, len(lines), BATCH):
            verdict, output = yield from self._transfers.batch(lines[start:start + BATCH])
            if not verdict.ok:
                raise self.Failed(verdict)
            printed += output
        return printed

    def make_home(self, home):
        """Flow: create the home of the host, with its parent directories, if it does not exist."""
        parts = login_path('~', home).split('/')
        paths = ['/'.join(parts[:count]) for count in range(1, len(parts) + 1)]
        yield from self.run(['-mkdir ' + scp.batch_word(path)
                             for path in paths if path not in ('', '.', './.')])

    def directory(self, path):
        """Flow: return the absolute path of a directory, or '' if the path is not one."""
        verdict, output = yield from self._transfers.batch(['cd ' + scp.batch_word(path), 'pwd'])
        if verdict.ok:
            return login_directory(output)
        if verdict.kind == 'failed':
            return ''
        raise self.Failed(verdict)

    def listings(self, directories):
        """Flow: return the Listing of each directory, in their order."""
        found = []
        for path in directories:
            output = yield from self.run(['ls -lan ' + scp.batch_word(path)])
            found.append(parse_listing(output))
        return found


def parse_listing(lines):
    """Return the Listing of a directory from the output of `ls -lan` of sftp.

    Names are not read: sftp prints unusual ones in its own way.
    """
    sizes, count = [], 0
    for line in lines:
        match = LISTED.match(line)
        if match:
            count += 1
            if match.group(1) == '-':
                sizes.append(int(match.group(2)))
    return Listing(tuple(sorted(sizes)), max(0, count - 2))     # without . and ..


def directories_in(tree):
    """Return the names, relative to a local tree, of the tree itself and of each directory in it.
    """
    return [os.path.relpath(root, tree) for root, _dirs, _names in os.walk(tree)]


def local_listing(directory):
    """Return the Listing of a local directory; symbolic links are followed."""
    with os.scandir(directory) as entries:
        found = list(entries)
    sizes = sorted(entry.stat().st_size for entry in found if entry.is_file())
    return Listing(tuple(sizes), len(found))
