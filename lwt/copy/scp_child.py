"""The scp and sftp children of one copy, with its deadline, its stall and its rate.

scp prints no progress when its output is not a terminal, so its pipes do not show whether it has
stalled.  On Linux, /proc tells how many bytes it has read and written.  On other systems, the size
of what has arrived shows the progress of a download; for an upload only ssh itself notices a silent
host.
"""

from __future__ import generator_stop

import os
import re
import time

from lwt import procfs, scp
from lwt.copy.common import refused
from lwt.copy.progress import CopiedBytes
from lwt.errors import printable_text
from lwt.proc import Command
from lwt.remote import exit_status, host_limits
from lwt.workspace import files

MOST_WORDS = 60000          # bytes of paths in one command line
KBIT = 125                  # bytes
# What scp and sftp print when the connection is lost, and when the host may have no SFTP.
CONNECTION_LOST = 'Connection closed', 'lost connection', 'Connection reset', 'client_loop:'
NO_SFTP = 'subsystem request failed', 'Connection closed'


class ScpProgress:
    """Counts the bytes that a child moves (see proc.Command.progress).

    size: bytes that are expected; None if that is unknown, which counts what arrived at the end.
    arriving: the local directory that a download fills, or ''.
    most: bytes that may arrive in it; too_much: the problem if more arrive.
    problem: why the child was ended, or ''.
    """

    def __init__(self, tally, size, arriving='', most=0, too_much=''):
        self._size = size
        self._bytes = CopiedBytes(tally, size)
        self._arriving = arriving
        self._most = most
        self._too_much = too_much
        self.problem = ''

    def __call__(self, pid):
        number = procfs.transferred(pid)
        if number is not None:
            number //= 2                # each byte is read once and written once
        elif self._arriving:
            number = files.tree_size(self._arriving)
        else:
            return 0
        if self._arriving and number > self._most:
            self.problem = self._too_much
            return None
        if self._size is not None:
            self._bytes.reach(number)
        return number

    def finish(self):
        """Count all that was expected, or has arrived, because the child has ended."""
        if self._size is None:
            self._bytes.reach(files.tree_size(self._arriving))
        else:
            self._bytes.finish()


class Transfers:
    """Runs scp and sftp for one copy over a Session.

    protocol: how scp talks to the host; it becomes scp.LEGACY when the host has no SFTP.
    """

    def __init__(self, session, host, terms, tally, protocol=scp.DEFAULT):
        self._session = session
        self._host = host
        self._terms = terms
        self._tally = tally
        self._ends_at = time.monotonic() + terms.timeout if terms.timeout else 0.0
        self.protocol = protocol

    def upload(self, sources, directory, size, is_name=False):
        """Flow: copy local files and directories into a directory of the host; returns a Verdict.

        sources: absolute paths.  size: bytes in all of them.  is_name: see scp.upload_argv.
        """
        progress = ScpProgress(self._tally, size)
        # Except on Linux, the progress of an upload is unknown.
        stall = self._session.settings.stall if procfs.transferred(os.getpid()) is not None else 0

        def make(part):
            return scp.upload_argv(self._session.transport, self._host, part, directory,
                                   self._limit(), self.protocol, is_name)

        return (yield from self._copy(sources, make, stall, progress))

    def download(self, paths, directory, size, most, too_much, is_pattern=False):
        """Flow: copy files and directories of the host into a local directory; returns a Verdict.

        paths: on the host.  size: expected bytes; None if that is unknown.
        most: maximum number of bytes; too_much: the reason of the Verdict if more arrive.
        """
        progress = ScpProgress(self._tally, size, directory, most, too_much)

        def make(part):
            return scp.download_argv(self._session.transport, self._host, part, directory,
                                     self._limit(), self.protocol, is_pattern)

        return (yield from self._copy(paths, make, self._session.settings.stall, progress))

    def batch(self, lines):
        """Flow: run commands of sftp; returns (Verdict, what they printed, as lines).

        The first command that fails ends the batch, unless its line begins with "-".
        """
        argv = scp.batch_argv(self._session.transport, self._host)
        text = ''.join(line + '\n' for line in lines)
        result = yield self._command(argv, stdin=os.fsencode(text),
                                     stall=self._session.settings.stall)
        output = result.stdout.decode('utf-8', 'replace').splitlines()
        return self._judge(result), [line for line in output if not line.startswith('sftp> ')]

    def _copy(self, paths, make, stall, progress):
        for part in in_parts(paths):
            result = yield self._command(make(part), stall=stall, progress=progress)
            if self._may_lack_sftp(result):
                self.protocol = scp.LEGACY
                result = yield self._command(make(part), stall=stall, progress=progress)
            verdict = refused(progress.problem) if progress.problem else self._judge(result)
            if not verdict.ok:
                return verdict
        progress.finish()
        return exit_status.Verdict('ok', 0)

    def _may_lack_sftp(self, result):
        """Whether this Result may mean that the host has no SFTP.

        Over a shared login ssh does not say so: the connection looks closed.
        """
        stderr = result.stderr.decode('utf-8', 'replace')
        return (self.protocol == scp.DEFAULT and not self._host.is_local
                and result.status == 'exited' and result.code != 0
                and any(sign in stderr for sign in NO_SFTP))

    def _limit(self):
        return int(self._terms.rate / KBIT)

    def _command(self, argv, **more):
        left = max(0.001, self._ends_at - time.monotonic()) if self._ends_at else 0.0
        session = self._session
        return Command(argv, env=session.transport.env, cwd=session.transport.login_dir,
                       timeout=left, grace=session.settings.grace, limit=host_limits.TOLD,
                       label=self._host.name, **more)

    def _judge(self, result):
        """Return the Verdict on a Result of scp or sftp."""
        stderr = result.stderr.decode('utf-8', 'replace')
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        program = os.path.basename(result.command.argv[0])
        words = printable_text(lines[-1]) if lines else ''
        words = re.sub('^(/[^ :]*/)?%s: ' % re.escape(program), '', words)
        if result.ok:
            return exit_status.Verdict('ok', 0)
        # The timeout of the child was what is left of the timeout of the copy.
        command = result.command._replace(timeout=self._terms.timeout)
        ended = exit_status.ended_by_lwt(result._replace(command=command), 0)
        if ended is not None:
            return ended
        if result.status == 'unspawnable':
            return exit_status.Verdict('failed', 127, 'cannot run %s' % words, 'no')
        if any(sign in stderr for sign in CONNECTION_LOST):
            return exit_status.Verdict('lost', exit_status.UNREACHABLE,
                                       'connection lost (%s)' % words,
                                       'maybe')
        return refused(words or '%s: exit code %d' % (program, result.code))


def in_parts(paths):
    """Yield tuples of these paths that each fit into one command line."""
    part, size = [], 0
    for path in paths:
        size += len(os.fsencode(path)) * 2      # at most a backslash before each character
        if part and size > MOST_WORDS:
            yield tuple(part)
            part, size = [], len(os.fsencode(path)) * 2
        part.append(path)
    if part:
        yield tuple(part)
