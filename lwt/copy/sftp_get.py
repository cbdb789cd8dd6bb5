"""get from an account that runs no commands, by scp over SFTP and batches of sftp.

Each path is copied into a directory of its own beside the target.  The sizes of what has arrived
are compared with listings of the host, and it is renamed into place as in any other get.
"""

from __future__ import generator_stop

import os
import posixpath

from lwt import scp
from lwt.copy import child_jobs, disk_space, get_verify
from lwt.copy.common import refused
from lwt.copy.get_target import GetTarget
from lwt.copy.scp_child import Transfers
from lwt.copy.sftp_batch import (
    NOT_VERIFIED, UNVERIFIED, Batches, directories_in, local_listing, login_path, parse_listing,
    unverified)
from lwt.errors import LwtError, UsageError
from lwt.workspace import files


def get(session, host, paths, directory, terms, options, tally, refusal):
    """Flow: copy files and directories of such an account into a local directory; returns a
    Verdict.

    refusal: the Verdict on the script that the account did not run; it is returned if the account
    allows neither SFTP nor scp.  The other arguments are those of tar_get.get.
    """
    transfers = Transfers(session, host, terms, tally, scp.SFTP)
    verdict, _output = yield from transfers.batch(['pwd'])
    has_sftp = verdict.ok
    if not has_sftp:
        transfers.protocol = scp.LEGACY
    target = _Target(directory, options, tally, has_sftp)
    with files.local_errors(directory), target:
        try:
            verdict = yield from _get(host, paths, transfers, target)
            if not has_sftp and not verdict.ok and verdict.kind != 'failed':
                verdict = refusal
        except Batches.Failed as failed:
            verdict = failed.verdict
        except (OSError, LwtError):
            yield from target.discard()
            raise
        yield from target.discard()
        return verdict


def _get(host, paths, transfers, target):
    """Flow: copy, compare and rename; returns a Verdict."""
    problem = target.lock()
    if problem:
        return refused(problem)
    target.make_part()
    os.mkdir(get_verify.new_path(target.part), 0o700)
    batches = Batches(transfers)
    for path in paths:
        try:
            verdict = yield from target.bring(login_path(host.home, path), transfers, batches)
        except UsageError as error:
            verdict = refused(error.message)
        if not verdict.ok:
            if verdict.kind != 'failed':
                return verdict
            target.fail('%s: %s' % (path, verdict.reason))
    return (yield from target.accept())


class _Target(GetTarget):
    """Takes the files that scp copies from a host that announces nothing.

    What has arrived replaces the announcement, after its sizes have been compared.
    """

    def __init__(self, directory, options, tally, has_sftp):
        super().__init__(directory, options, tally)
        self._has_sftp = has_sftp
        self._brought = {}              # name in part/new -> its path on the host

    def bring(self, path, transfers, batches):
        """Flow: copy what a path or pattern means into part/new; returns a Verdict."""
        parent = posixpath.dirname(path.rstrip('/'))
        if any(char in parent for char in '*?['):
            return refused('without a shell, * ? [ ] are possible only in the last part of a path')
        arriving = os.path.join(self.part, 'arriving')
        os.mkdir(arriving, 0o700)
        room = disk_space.room(self.directory)
        most = max(0, room.free - room.kept)
        verdict = yield from transfers.download([path], arriving, None, most,
                                                'disk full: ' + self.directory,
                                                is_pattern=True)
        if verdict.ok and self._has_sftp:
            problem = yield from _difference(batches, parent, arriving)
            verdict = refused(problem) if problem else verdict
        if verdict.ok:
            self._take_all(parent, arriving)
        else:
            verdict = verdict._replace(reason=verdict.reason.replace(path + ': ', '', 1))
        yield from child_jobs.remove(arriving)
        return verdict

    def _take_all(self, parent, arriving):
        for name in os.listdir(arriving):
            if name in self._brought:
                self.fail('%s: two things of this name' % get_verify.printable_path(name))
                continue
            self._brought[name] = posixpath.join(parent, name)
            os.rename(os.path.join(arriving, name),
                      os.path.join(get_verify.new_path(self.part), name))

    def accept(self):
        """Flow: move into place what arrived and is not there already; returns a Verdict."""
        unchanged = yield from self._leave_out_unchanged()
        new = get_verify.new_path(self.part)
        announced = [get_verify.Announced(path, name, count_files(os.path.join(new, name)), 0, '')
                     for name, path in self._brought.items()]
        delivery = get_verify.Delivery(self.directory, self.part, announced, '0', '',
                                       self.options.replace, False, is_unpacked=True,
                                       is_unverified=True)
        verdict = yield from self.move_into_place(delivery, child_jobs.SMALL + 1, unchanged)
        if verdict.ok and announced:
            verdict = unverified(verdict, UNVERIFIED if self._has_sftp else NOT_VERIFIED)
        return verdict

    def _leave_out_unchanged(self):
        """Flow: leave out what is the same in the target already; returns how many files that is.
        """
        new = get_verify.new_path(self.part)
        existing = [name for name in self._brought
                    if os.path.lexists(os.path.join(self.directory, name))]
        if not existing:
            return 0
        work = child_jobs.SMALL + 1
        known = yield from child_jobs.do(get_verify.identify, [self.directory, existing], work)
        arrived = yield from child_jobs.do(get_verify.identify, [new, existing], work)
        unchanged = 0
        for name in existing:
            if name in arrived and known.get(name) == arrived[name]:
                yield from child_jobs.remove(os.path.join(new, name))
                del self._brought[name]
                unchanged += arrived[name][1]
        return unchanged


def count_files(path):
    """Return the number of files that a path is or contains."""
    if not os.path.isdir(path):
        return 1
    return sum(len(names) for _root, _dirs, names in os.walk(path))


def _difference(batches, parent, arriving):
    """Flow: compare the sizes of what has arrived with the host; returns what differs, or ''.

    parent: the directory on the host that holds what was requested.
    """
    with os.scandir(arriving) as entries:
        found = sorted((entry.name, entry.is_dir()) for entry in entries)
    for name, is_directory in found:
        path = posixpath.join(parent, name)
        top = os.path.join(arriving, name)
        if not is_directory:
            output = yield from batches.run(['ls -ln ' + scp.batch_word(path)])
            # One line, without . and ..; for a symbolic link it shows the size of the link itself.
            sizes = parse_listing(output).sizes
            if sizes and sizes != (os.path.getsize(top),):
                return '%s: the sizes differ after the transfer' % get_verify.printable_path(path)
            continue
        names = directories_in(top)
        remote = yield from batches.listings([posixpath.normpath(posixpath.join(path, sub))
                                              for sub in names])
        for sub, listing in zip(names, remote):
            if not listing.allows(local_listing(os.path.join(top, sub))):
                return ('%s: the sizes differ after the transfer'
                        % get_verify.printable_path(posixpath.normpath(posixpath.join(path, sub))))
    return ''
