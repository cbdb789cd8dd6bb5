"""put by scp: for hosts without tar, and for hosts whose column in the host list is copy=scp.

One login serves all steps, and the guarantees are those of a put as a tar stream:

  1. sh/put.sh compares the manifest, and creates a directory beside the target.
  2. scp copies what the host needs into that directory.
  3. sh/place.sh verifies the digest of what has arrived and moves it into place by rename.

For an account that runs no commands, sftp_put makes the copy.
"""

from __future__ import generator_stop

import os

from lwt import scp
from lwt.copy import child_jobs, manifest, sftp_batch, sftp_put, staging
from lwt.copy.common import UNREADABLE, done, refused
from lwt.copy.scp_child import Transfers
from lwt.copy.tar_put import Sender, offer, target_words
from lwt.errors import HostError, printable
from lwt.remote import call, exit_status, login


class ScpSender(Sender):
    """The input of sh/put.sh without the content, which scp copies.

    needed: the Entries that the host needs.  digest: of their content.
    directory: the destination of scp.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.needed = []
        self.digest = ''
        self.directory = ''

    def hear(self, line):
        """Take a line of the host's standard output."""
        if line.startswith(b'into '):
            self.directory = os.fsdecode(line[len(b'into '):])
        else:
            super().hear(line)

    def content(self, needed, digest):
        """Note what scp has to copy; returns no chunks."""
        self.needed, self.digest = needed, digest
        return ()


def put(session, host, wanted, target, terms, tally):
    """Flow: copy the files and directories of a Manifest to a host by scp; returns a Verdict.

    The arguments are those of tar_put.put.  scp follows symbolic links, so it cannot keep a link.
    """
    if any(entry.link for entry in wanted.entries):
        return refused('scp cannot keep symbolic links')
    try:
        with (yield from login.connected(session, host)) as session:
            return (yield from _put(session, host, wanted, target, terms, tally))
    except HostError as error:
        return error.verdict


def _put(session, host, wanted, target, terms, tally):
    words = target_words(session, host, wanted, target)
    verdict, sender = yield from offer(session, host, wanted, words + ['scp'], terms,
                                       lambda cksums: ScpSender(wanted, tally, cksums))
    if sftp_batch.may_be(verdict):
        verdict = yield from sftp_put.put(session, host, wanted, target, terms, tally, verdict)
        return sftp_batch.heard(session, host, verdict)
    if not verdict.ok:
        return verdict
    if sender.needed:
        verdict = yield from _copy(session, host, sender, words, terms, tally)
        if not verdict.ok:
            return verdict
    tally.copied += sender.copied
    tally.unchanged += sender.unchanged
    return done(sender.copied, sender.unchanged, sender.updated, wanted.skipped)


def _copy(session, host, sender, words, terms, tally):
    """Flow: copy what the host needs, and have it moved into place; returns a Verdict.

    If this flow ends early for any reason, the part on the host is removed if the host is
    reachable.
    """
    is_placed = False
    try:
        verdict = yield from _upload(session, host, sender, terms, tally)
        if verdict.ok:
            kind = sender.digest.partition(' ')[0]
            arguments = words + [sender.mark, str(len(sender.needed)), sender.digest,
                                 manifest.names_digest(sender.needed, kind)]
            verdict = yield from _run(session, host, 'place', arguments)
            is_placed = verdict.ok
        return verdict
    finally:
        if not is_placed:
            yield from _run(session, host, 'discard', [host.home, sender.directory, sender.mark])


def _upload(session, host, sender, terms, tally):
    """Flow: copy what the host needs into the part on the host; returns a Verdict."""
    if not sender.directory.startswith('/') or not scp.is_plain(sender.directory):
        return refused(UNREADABLE)
    tree = yield from staging.lay_out(sender.needed)
    try:
        transfers = Transfers(session, host, terms, tally)
        size = sum(entry.size for entry in sender.needed)
        verdict = yield from transfers.upload(staging.tops(tree), sender.directory, size)
    finally:
        yield from child_jobs.remove(tree)
    problem = staging.find_changed(sender.needed) if verdict.ok else ''
    if verdict.ok and transfers.protocol == scp.LEGACY:
        problem = problem or _unusual_name(sender.needed)
    return refused(problem) if problem else verdict


def _unusual_name(entries):
    """Return why the old protocol of scp cannot copy Entries, or ''."""
    names = [entry.name for entry in entries if '\n' in entry.name]
    return '%s: scp -O cannot copy a name with a newline' % printable(names[0]) if names else ''


def _run(session, host, name, arguments):
    """Flow: run a short script; returns a Verdict."""
    answer = yield from call.script(session, host, name, arguments, stall=session.settings.stall)
    return exit_status.with_complaint(answer.verdict, answer.stderr)
