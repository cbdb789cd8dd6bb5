"""Builds the command lines of scp and sftp.  Pure.

The quoting of scp (tested with OpenSSH 9.2, over SFTP and with -O; older versions behave as with
-O):

  download  The remote path is a pattern.  A backslash makes any character literal, in both
            protocols; but with -O, a backslash and a newline are removed by the remote shell.
  upload    The remote path is literal over SFTP, but a shell reads it with -O.  So no spelling of
            an unusual path is right in both.  An upload that may use -O therefore goes to a path
            of plain characters, and a script moves the files to their target.
  local     A path with a colon before any slash is read as HOST:PATH; an absolute path never is.

The quoting of sftp batches: a word in double quotes is literal, except that a backslash escapes a
double quote and a backslash.  A command is one line, so no path can contain a newline.

If the host is this machine, cp is used instead.
"""

import os
import re

from lwt.errors import UsageError
from lwt.ssh import options, require_program

# The protocol of scp: the default of its version, SFTP, or the old protocol of rcp.
DEFAULT, SFTP, LEGACY = (), ('-s',), ('-O',)

_PLAIN = re.compile(r'[A-Za-z0-9_./+-]+')
_UNUSUAL = re.compile(r'([^A-Za-z0-9_./+-])')
# With a pattern, these characters keep their meaning.
_UNUSUAL_IN_PATTERN = re.compile(r'([^A-Za-z0-9_./+*?\[\]-])')


def is_plain(path):
    """Whether a path is free of characters that a shell or a pattern would interpret."""
    return bool(_PLAIN.fullmatch(path)) and not path.startswith('-')


def upload_argv(transport, host, sources, directory, limit_kbit=0, protocol=DEFAULT,
                is_name=False):
    """The command line that copies local files and directories into a directory of a host.

    sources: absolute local paths.  directory: on the host; a plain path (see is_plain) unless the
    protocol is SFTP.  is_name: it may also be the new name of a single source.  limit_kbit: maximum
    rate in kbit/s, 0 for none.  Raises UsageError for a directory that is not plain.
    """
    if protocol != SFTP and not is_plain(directory):
        raise UsageError('%s: not a plain path' % directory)
    if host.is_local:
        return ('cp', '-RLp', '--') + tuple(sources) + (directory + '/',)
    return _argv(transport, limit_kbit, protocol) + tuple(sources) + (
        '%s:%s%s' % (_address(host), directory, '' if is_name else '/'),)


def download_argv(transport, host, paths, directory, limit_kbit=0, protocol=DEFAULT,
                  is_pattern=False):
    """The command line that copies files and directories of a host into a local directory.

    paths: absolute or relative to the login directory.  They are literal unless is_pattern: then
    the host expands * ? [ ] in them.  directory: an absolute local path.
    """
    if host.is_local:
        return ('cp', '-RLp', '--') + tuple(paths) + (directory + '/',)
    unusual = _UNUSUAL_IN_PATTERN if is_pattern else _UNUSUAL
    remote = tuple('%s:%s' % (_address(host), unusual.sub(r'\\\1', path)) for path in paths)
    return _argv(transport, limit_kbit, protocol) + remote + (directory + '/',)


def batch_argv(transport, host):
    """The command line of an sftp that reads its commands from standard input."""
    program = os.path.join(os.path.dirname(transport.scp), 'sftp')
    require_program(transport.scp and program, 'sftp', transport.path)
    return (program,) + _quiet_options(transport) + ('-b', '-', '--', _address(host))


def batch_word(path):
    """A path as one literal word of a batch command.  Raises UsageError if it has a newline."""
    if '\n' in path:
        raise UsageError('%r: sftp cannot rename a path with a newline' % path)
    return '"%s"' % path.replace('\\', r'\\').replace('"', r'\"')


def batch_pattern(path):
    """A path as one word of a batch command that expands patterns, such as rm; a newline in it is
    matched as any character.
    """
    return ''.join('?' if char == '\n' else _UNUSUAL.sub(r'\\\1', char) for char in path)


def _argv(transport, limit_kbit, protocol):
    require_program(transport.scp, 'scp', transport.path)
    limit = ('-l', '%d' % limit_kbit) if limit_kbit else ()
    return ((transport.scp, '-r', '-p') + protocol + _quiet_options(transport) + limit + ('--',))


def _quiet_options(transport):
    """The options for no progress meter, and only errors on standard error."""
    return ('-q', '-o', 'LogLevel=ERROR') + options(transport)


def _address(host):
    """HOST as scp takes it.  An IPv6 address is in brackets, because of its colons."""
    user, at, name = host.name.rpartition('@')
    return user + at + ('[%s]' % name if ':' in name and not name.startswith('[') else name)
