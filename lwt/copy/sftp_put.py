"""put to an account that runs no commands, by scp over SFTP and batches of sftp.

The copy goes into a directory beside the target, its sizes are compared, and it is renamed into
place.  A directory that does not exist yet appears by one rename, as a whole.  One that exists is
merged: each of its files appears by a rename of its own.
"""

from __future__ import generator_stop

import os
import posixpath

from lwt import scp
from lwt.copy import child_jobs, staging
from lwt.copy.common import done, refused
from lwt.copy.scp_child import Transfers
from lwt.copy.sftp_batch import (
    NOT_VERIFIED, UNVERIFIED, Batches, directories_in, local_listing, login_directory, login_path,
    unverified)
from lwt.errors import UsageError, printable


def put(session, host, wanted, target, terms, tally, refusal):
    """Flow: copy the files and directories of a Manifest to such an account; returns a Verdict.

    refusal: the Verdict on the script that the account did not run; it is returned if the account
    allows neither SFTP nor scp.  The other arguments are those of tar_put.put.
    """
    transfers = Transfers(session, host, terms, tally, scp.SFTP)
    verdict, output = yield from transfers.batch(['pwd'])
    if not verdict.ok:
        transfers.protocol = scp.LEGACY
        verdict = yield from _put_in_place(transfers, host, wanted, target, tally)
        return verdict if verdict.ok or verdict.kind == 'failed' else refusal
    batches = Batches(transfers)
    copy = _Put(batches, transfers, host, wanted, session.nonce()[:24])
    try:
        yield from copy.plan(target, login_directory(output))
        verdict = yield from copy.run(tally)
    except Batches.Failed as failed:
        verdict = failed.verdict
    except UsageError as error:
        verdict = refused(error.message)
    return verdict


def _put_in_place(transfers, host, wanted, target, tally):
    """Flow: copy to an account that allows only scp, which can rename nothing; returns a Verdict.

    The files are written where they belong, and nothing of them can be compared.
    """
    try:
        path = login_path(host.home, target)
    except UsageError as error:
        return refused(error.message)
    names = [entry.name for entry in wanted.entries if '\n' in entry.name]
    if names or not scp.is_plain(path):
        return refused('%s: scp -O cannot copy this path' % printable((names + [target])[0]))
    tree = yield from staging.lay_out(wanted.entries)
    try:
        sources = staging.tops(tree)
        if wanted.single == '.':                # the contents of a directory
            sources = staging.tops(sources[0])
        elif wanted.single:
            os.rename(sources[0], os.path.join(tree, wanted.single))
            sources = staging.tops(tree)
        is_name = wanted.single not in ('', '.') and not target.endswith('/')
        size = sum(entry.size for entry in wanted.entries)
        tally.expected += size
        verdict = yield from transfers.upload(sources, path.rstrip('/'), size, is_name)
    finally:
        yield from child_jobs.remove(tree)
    return _report(wanted, tally, 'written in place, ' + NOT_VERIFIED) if verdict.ok else verdict


def _report(wanted, tally, why):
    """Count the files of a Manifest that was copied; returns the Verdict, with why as its note."""
    count = sum(1 for entry in wanted.entries if entry.digest)
    tally.copied += count
    return unverified(done(count, 0, 0, wanted.skipped), why)


class _Put:
    """One put to an account that runs no commands."""

    def __init__(self, batches, transfers, host, wanted, mark):
        self._batches = batches
        self._transfers = transfers
        self._host = host
        self._wanted = wanted
        self._mark = mark
        self._directory = ''            # where the copy appears
        self._name = ''                 # name of the copy in it, '.' for the directory itself
        self._part = ''
        self._moves = []                # commands that move what has arrived into place

    def plan(self, target, login_directory):
        """Flow: find the directory and the name for the copy, as sh/putlib.sh does, and plan the
        renames.
        """
        single = self._wanted.single
        yield from self._batches.make_home(self._host.home)
        path = login_path(self._host.home, target)
        self._directory = yield from self._batches.directory(path)
        self._name = single
        if not self._directory:
            parent, name = posixpath.split(path)
            if not single or target.endswith('/'):
                raise UsageError('%s: no such directory' % posixpath.normpath(
                    posixpath.join(login_directory, path)))
            self._directory = yield from self._batches.directory(parent or '.')
            self._name = name
        if not self._directory:
            raise UsageError('%s: no such directory' % posixpath.normpath(
                posixpath.join(login_directory, parent)))
        self._part = posixpath.join(self._directory, '.lwt-put.' + self._mark)
        yield from self._plan_moves()

    def run(self, tally):
        """Flow: copy, compare and rename; returns a Verdict."""
        part = scp.batch_word(self._part)
        yield from self._batches.run(['mkdir ' + part, 'chmod 700 ' + part])
        is_moved = False
        try:
            verdict = yield from self._copy(tally)
            is_moved = verdict.ok
        finally:
            yield from self._remove_part(is_moved)
        return _report(self._wanted, tally, UNVERIFIED) if is_moved else verdict

    def _copy(self, tally):
        entries = self._wanted.entries
        tree = yield from staging.lay_out(entries)
        try:
            size = sum(entry.size for entry in entries)
            tally.expected += size
            verdict = yield from self._transfers.upload(staging.tops(tree), self._part, size)
            if not verdict.ok:
                return verdict
            problem = staging.find_changed(entries) or (yield from self._difference(tree))
        finally:
            yield from child_jobs.remove(tree)
        if problem:
            return refused(problem)
        yield from self._batches.run(self._moves)
        return verdict

    def _difference(self, tree):
        """Flow: compare the sizes of the copy with the source; returns what differs, or ''."""
        names = directories_in(tree)
        listings = yield from self._batches.listings(
            [posixpath.join(self._part, name) for name in names])
        for name, listing in zip(names, listings):
            if listing != local_listing(os.path.join(tree, name)):
                return '%s: the sizes differ after the transfer' % (
                    posixpath.join(self._directory, name))
        return ''

    def _plan_moves(self):
        """Flow: find what is renamed as a whole, and what is merged into an existing directory."""
        whole = ()                      # directories that are renamed as a whole
        for entry in self._wanted.entries:
            name = posixpath.normpath(entry.name)
            if name.startswith(whole):
                continue
            if '\n' in name:
                raise UsageError('%s: without a shell on the host, a name with a newline can only '
                                 'be copied within a new directory' % printable(name))
            target = posixpath.join(self._directory, self._target_name(name))
            if not entry.digest:
                if (yield from self._batches.directory(target)):
                    continue            # its files are moved one by one
                whole += (name + '/',)
            self._moves.append('rename %s %s' % (
                scp.batch_word(posixpath.join(self._part, name)), scp.batch_word(target)))

    def _target_name(self, name):
        """Return the name in the directory of the copy for a name in the manifest."""
        if not self._wanted.single:
            return name
        return posixpath.normpath(posixpath.join(self._name, name.partition('/')[2]))

    def _remove_part(self, is_moved):
        """Flow: remove the rest of the part; is_moved: whether its files are in place."""
        lines = []
        for entry in reversed(self._wanted.entries):
            name = posixpath.normpath(entry.name)
            path = posixpath.join(self._part, name)
            if entry.digest and not is_moved:
                lines.append('-rm ' + scp.batch_pattern(path))
            elif not entry.digest and '\n' not in name:
                lines.append('-rmdir ' + scp.batch_word(path))
        lines.append('-rmdir ' + scp.batch_word(self._part))
        try:
            yield from self._batches.run(lines)
        except Batches.Failed:
            return                      # the connection is lost: the part stays
