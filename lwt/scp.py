"""scp: how its command line is built.  Pure.

put and get do not go through scp (transfer.py says why); this is what a copy by scp would have to
know.

What is known of its quoting (tried with OpenSSH 9.2, by SFTP and with -O; older versions are like
-O):

  GET   the remote path is a pattern: it globs, and a backslash makes any character literal, in
        both modes.
  PUT   the remote path is literal by SFTP and is read by a shell with -O: no spelling of an odd
        path is right in both.
        So a put always goes to a path of plain characters, and a script moves it where it belongs.
  local a path with a colon before any slash is taken for HOST:PATH; absolute paths never are.

For the host that is this machine, cp does the same.
"""

import re

from lwt.errors import UsageError
from lwt.ssh import options, require_program

_PLAIN = re.compile(r'[A-Za-z0-9_./+-]+')
_ODD = re.compile(r'([^A-Za-z0-9_./+-])')


def is_plain(path):
    """May a put go there?  (No shell and no pattern would read anything into it.)"""
    return bool(_PLAIN.fullmatch(path)) and not path.startswith('-')


def put(transport, host, sources, directory, limit_kbit=0):
    """Copy local files and directories into a directory of a host.

    sources: absolute local paths.  directory: a plain path (is_plain).  limit_kbit: kilobits a
    second, 0 for no limit.
    """
    if not is_plain(directory):
        raise UsageError('%s: not a plain path' % directory)
    if host.is_local:
        return ('cp', '-RLp', '--') + tuple(sources) + (directory + '/',)
    return _argv(transport, limit_kbit) + tuple(sources) + ('%s:%s/' % (_address(host), directory),)


def get(transport, host, paths, directory, limit_kbit=0):
    """Copy files and directories of a host into a local directory.

    paths: absolute or relative to the login directory, taken literally.  directory: an absolute
    local path.
    """
    if host.is_local:
        return ('cp', '-RLp', '--') + tuple(paths) + (directory + '/',)
    remote = tuple('%s:%s' % (_address(host), _ODD.sub(r'\\\1', path)) for path in paths)
    return _argv(transport, limit_kbit) + remote + (directory + '/',)


def _argv(transport, limit_kbit):
    require_program(transport.scp, 'scp', transport.path)
    limit = ('-l', '%d' % limit_kbit) if limit_kbit else ()
    return (transport.scp, '-q', '-r', '-p') + options(transport) + limit + ('--',)


def _address(host):
    """HOST as scp takes it: an IPv6 address in brackets, so that its colons are not the separator.
    """
    user, at, name = host.name.rpartition('@')
    return user + at + ('[%s]' % name if ':' in name and not name.startswith('[') else name)
