"""Errors of lwt: a message, a hint and an exit code; and how messages quote text.

Every error for a user is an LwtError; cli prints it in one place and exits with its code.  A
failure on one host is a result, not an exception, unless a flow cannot continue.  This module
imports no other module of lwt.
"""

import errno

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_BUG = 70
EXIT_LOCAL = 74
EXIT_BUSY = 75


class LwtError(Exception):
    """An error for the user.

    message: lower case, the thing first: "h7: unreachable (connection refused)".
    hint: what to do, or ''.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message, hint=''):
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LwtError):
    """Wrong use or a bad file: nothing was done."""

    exit_code = EXIT_USAGE


class LocalError(LwtError):
    """This machine's disk, files or state cannot be used."""

    exit_code = EXIT_LOCAL


class BusyError(LwtError):
    """The resource is in use by another lwt process: try again."""

    exit_code = EXIT_BUSY


class HostError(LwtError):
    """A step on a host failed; the verdict has the class and the reason."""

    exit_code = EXIT_UNREACHABLE

    def __init__(self, host, verdict):
        super().__init__('%s: %s' % (host, verdict.reason))
        self.verdict = verdict


class Cancelled(LwtError):
    """Thrown into a flow once, when the run is cancelled.  Clean-up steps that the flow yields
    after that still run.
    """

    def __init__(self):
        super().__init__('cancelled')


class Interrupted(LwtError):
    """The run was ended by a signal: exit code 128 + its number."""

    def __init__(self, signum):
        super().__init__('ended by signal %d' % signum)
        self.exit_code = 128 + signum


def os_error_text(thing, error):
    """The message for an OSError.  thing: a path, or a name for the file or data."""
    if error.errno == errno.ENOSPC:
        return 'disk full: %s (%s)' % (thing, error.strerror)
    if error.errno == errno.EDQUOT:
        return 'disk quota exceeded: %s (%s)' % (thing, error.strerror)
    return '%s: %s' % (thing, error.strerror or error)


def printable(text, limit=60):
    """A value quoted for an error message: control characters escaped, cut to limit characters."""
    shown = ascii(text) if not text.isprintable() else repr(text)
    return shown if len(shown) <= limit else shown[:limit] + '…'


def printable_text(text, limit=160):
    """Text of a host or a command for a message, without quotes: unprintable characters become "?",
    and the text is cut to limit characters.

    text: str, or bytes in UTF-8.
    """
    if isinstance(text, bytes):
        text = text.decode('utf-8', 'replace')
    shown = text[:limit]
    if not shown.isprintable():
        shown = ''.join(char if char.isprintable() else '?' for char in shown)
    return shown if len(text) <= limit else shown + '…'
