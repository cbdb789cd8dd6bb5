"""get by scp: for hosts without tar, and for hosts whose column in the host list is copy=scp.

One login serves all steps, and the guarantees are those of a get as a tar stream:

  1. sh/get.sh announces what there is, and its digests.
  2. scp copies it into a directory beside the target.
  3. What has arrived is verified and renamed into place.

For an account that runs no commands, sftp_get makes the copy.
"""

from __future__ import generator_stop

import os

from lwt import scp
from lwt.copy import get_verify, sftp_batch, sftp_get, tarstream
from lwt.copy.common import refused
from lwt.copy.scp_child import Transfers
from lwt.copy.tar_get import Receiver, receive
from lwt.errors import HostError
from lwt.remote import login


TOO_MUCH = 'it sends more than it announced'


class ScpReceiver(Receiver):
    """Takes the announcement of sh/get.sh; scp brings the content into part/new."""

    transport = 'scp'

    def needed_room(self, room):
        """Return the bytes that must be free: the files that arrive are not unpacked."""
        return self.bytes

    def open_content(self):
        """Create the directory for scp."""
        os.mkdir(get_verify.new_path(self.part), 0o700)

    def delivery(self):
        """Return what arrived as a get_verify.Delivery."""
        return super().delivery()._replace(is_unpacked=True)

    def work(self):
        """Return the amount of work, in bytes, to accept what arrived."""
        return self.bytes + self.files * tarstream.THING

    @property
    def most(self):
        """Bytes that may arrive: a file may be longer now than when it was announced."""
        return self._room + self.bytes // 16


def get(session, host, paths, directory, terms, options, tally):
    """Flow: copy files and directories of a host into a local directory by scp; returns a Verdict.

    The arguments are those of tar_get.get.  scp always follows symbolic links.
    """
    if options.links != 'follow':
        return refused('scp can only follow symbolic links')
    try:
        with (yield from login.connected(session, host)) as session:
            make = ScpReceiver(paths, directory, options, tally)
            verdict = yield from receive(session, host, terms, make, _fetch)
            if sftp_batch.may_be(verdict):
                verdict = yield from sftp_get.get(session, host, paths, directory, terms, options,
                                                  tally, verdict)
                verdict = sftp_batch.heard(session, host, verdict)
            return verdict
    except HostError as error:
        return error.verdict


def _fetch(session, host, terms, receiver):
    """Flow: copy what was announced into the part of a ScpReceiver; returns a Verdict."""
    transfers = Transfers(session, host, terms, receiver.tally)
    wanted = [path for path, name in receiver.paths.items() if name]
    unusual = [path for path in wanted if '\n' in path]
    new = get_verify.new_path(receiver.part)
    plain = [path for path in wanted if '\n' not in path]
    verdict = yield from transfers.download(plain, new, receiver.bytes, receiver.most,
                                            TOO_MUCH)
    if verdict.ok and unusual:
        # In the old protocol a shell would remove a backslash with a newline.
        if transfers.protocol == scp.LEGACY:
            return refused('%s: scp -O cannot copy a name with a newline'
                           % get_verify.printable_path(unusual[0]))
        verdict = yield from transfers.download(unusual, new, 0, receiver.most, TOO_MUCH)
    return verdict
