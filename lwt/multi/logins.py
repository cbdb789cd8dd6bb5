"""The hosts of `lwt multi -S`, in GNU parallel's notation of sshlogins.  Pure.

    N/USER@HOST     at most N jobs at a time; without N/, -j decides
    :               this machine
    A,B,C           several
    ..              in a file: ~/.parallel/sshloginfile

A line of a file is one or several of these; empty lines and comments after # are skipped.
"""

import re
from typing import NamedTuple, Optional

from lwt.errors import UsageError, printable
from lwt.workspace import hostlist
from lwt.workspace.hostlist import Host

HERE = ':'
DEFAULT_FILE = '~/.parallel/sshloginfile'
MOST_SLOTS = 4096


class SshLogin(NamedTuple):
    """A host and its number of slots; None: -j decides."""

    host: Host
    slots: Optional[int] = None


def parse(text, where='-S'):
    """The SshLogins in a value of -S or a line of a file.  Raises UsageError.

    where: for messages.
    """
    return [_login(word.strip(), where) for word in text.split(',') if word.strip()]


def parse_file(text, origin):
    """The SshLogins in the text of a file.  Raises UsageError."""
    found = []
    for number, line in enumerate(text.split('\n'), 1):
        line = line.strip()
        if line and not line.startswith('#'):
            found += parse(line, '%s:%d' % (origin, number))
    return found


def merged(logins):
    """The SshLogins with each host once.  Slots of a host that is named twice are added.

    Raises UsageError if there is none.
    """
    found = {}
    for login in logins:
        name = login.host.name
        slots = found[name].slots if name in found else 0
        total = None if slots is None or login.slots is None else slots + login.slots
        found[name] = login._replace(slots=total)
    if not found:
        raise UsageError('no hosts selected', 'name them with -w HOSTS or -S LOGIN,…')
    return list(found.values())


def here():
    """The Host that is this machine."""
    return Host(HERE, hostlist.LOCAL)


def _login(word, where):
    slots, slash, name = word.partition('/')
    if not slash:
        slots, name = '', word
    if word.startswith('@') or name.startswith('@'):
        raise UsageError('%s: %s: host groups are not supported' % (where, printable(word)),
                         'name a category of host.list with -g')
    bare = hostlist.bare(name)          # an IPv6 address may be in brackets
    if '[' in bare or '{' in bare:
        raise UsageError('%s: %s: sets of hosts are not supported' % (where, printable(word)),
                         "name them with -w: -w 'h[1-9]'")
    if slash and not (re.fullmatch('[0-9]{1,4}', slots) and 1 <= int(slots) <= MOST_SLOTS
                      and name):
        raise UsageError('%s: %s: expected N/HOST, with N from 1 to %d'
                         % (where, printable(word), MOST_SLOTS))
    if ' ' in name or '/' in name:
        raise UsageError('%s: %s: a command for ssh is not supported' % (where, printable(name)),
                         'put ports, users and other options into ~/.ssh/config')
    count = int(slots) if slots else None
    if name == HERE:
        return SshLogin(here(), count)
    hostlist.check_name(bare, where)
    return SshLogin(Host(bare), count)
