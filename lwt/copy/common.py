"""What all ways to copy share: the terms of a copy, and its Verdict."""

from typing import NamedTuple

from lwt.remote import exit_status
from lwt.workspace.config import TRANSPORTS

UNREADABLE = 'an answer that cannot be read'
NO_TAR = 'there is no tar on this host'     # as the scripts on hosts report it


class Terms(NamedTuple):
    """How a copy is made.

    timeout: of the whole copy, in seconds.  rate: in bytes per second.  0 for no limit.
    transport: one of TRANSPORTS, or '' for the transport of the host (the column copy= of the host
        list).
    """

    timeout: float = 0.0
    rate: float = 0.0
    transport: str = ''

    def transport_for(self, host):
        """Return the transport for a host: 'tar' or 'scp'."""
        return self.transport or host.get('copy') or TRANSPORTS[0]


class GetOptions(NamedTuple):
    """Options of a get.

    replace: whether existing files may be replaced.
    links: treatment of symbolic links: 'follow', 'keep' or 'skip'.
    """

    replace: bool = False
    links: str = 'follow'


def done(copied, unchanged, updated=0, skipped=0):
    """Return the Verdict on a successful copy, with the number of files copied and unchanged.

    updated: number of unchanged files that got another mode or time.
    skipped: number of symbolic links left out.
    """
    text = '%d file%s copied' % (copied, '' if copied == 1 else 's')
    text += ', %d with another mode or time' % updated if updated else ''
    text += ', %d unchanged' % unchanged if unchanged else ''
    text += (', %d symbolic link%s left out' % (skipped, '' if skipped == 1 else 's') if skipped
             else '')
    return exit_status.Verdict('ok', 0, text)


def refused(reason):
    """Return the Verdict on a copy that cannot be made."""
    return exit_status.Verdict('failed', 1, reason)
