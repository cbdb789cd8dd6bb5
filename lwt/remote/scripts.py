"""Scripts on hosts: how they are sent, and how their answers are read.  Pure.

A script is a POSIX sh file in lwt/remote/sh/.  It travels, with its arguments, as one encoded word
of the command line:

    exec /bin/sh -c 'eval "$(printf %b "$1")"' lwt '<encoded>'

The guard travels in another form, which the host decodes faster (see script_parts).

Characters that have a meaning for a login shell (sh, csh, fish) even within single quotes (' ! \\
and everything but visible ASCII) are encoded as \\0ooo.  Standard input stays free for data or for
the lifeline.  A script that does not fit into one argument is refused.

Other users of a host can read command lines, so these contain no secrets.  The first line of
standard input is

    lwt NONCE MARK

Each script frames its output, on both streams, with this nonce: RS nonce " begin", and RS nonce
" end CODE" or RS nonce " fail REASON".  The mark can be computed from the nonce, but not the nonce
from the mark.  So the mark may be visible, in the environment of processes and in file names.

Output before the begin line comes from the login shell or from ssh.  Without a begin line, it is
unknown whether anything ran.  With a begin but no end, the script may have run.
"""

import functools
import hashlib
import math
import os
import pkgutil
import re
from typing import NamedTuple, Optional

from lwt import ssh
from lwt.errors import UsageError, printable_text
from lwt.proc import Command
from lwt.remote import host_limits, script_parts
from lwt.selectors_loop import Sink
from lwt.workspace.config import bounded, plain_seconds, whole_seconds

# Linux accepts 131072 bytes per argument, and the login shell gets the whole command as one.
MAX_ENCODED = 120000
ENVELOPE = 'exec /bin/sh -c \'eval "$(printf %%b "$1")"\' lwt \'%s\''
ENCODED = tuple(chr(byte) if 32 <= byte < 127 and byte not in b"'!\\" else '\\0%03o' % byte
                for byte in range(256))
HEARTBEATS_PER_LEASE = 3

# Why the guard on a host ended a command: it got no heartbeat within the lease, the timeout was
# over, the lifeline was closed, or it could not start a process to watch the command.
CAUSES = ('lease', 'timeout', 'closed', 'limit')

# The messages of ssh on standard error when a connection breaks, after the output of the command.
SSH_LAST_WORDS = (
    rb'client_loop: |Timeout, server |Connection (?:to|reset|closed) |Read from remote host |'
    rb'Write failed: |'
    rb'packet_write_\w+: |ssh_\w+: |ssh: |Bad packet length |Corrupted MAC |'
    rb'Received disconnect from |Disconnected from |'
    rb'Disconnecting |Shared connection to |mux_client|Control master |Killed by signal |'
    rb'Transferred: sent |'
    rb'Bytes per second: sent ')

# The files in lwt/remote/sh/ of which each script consists: the guard, the guard of a command with
# input or a script, the part of both that they load when they need it, the runner of a task, sudo,
# and the scripts that print their own frame.
GUARD = 'environment', 'lib', 'begin', 'guardlib', 'guard'
STAGING_GUARD = 'environment', 'lib', 'begin', 'stage', 'guardlib', 'guard'
LATER = 'lib', 'proclib', 'endlib'
# Functions of a guard that it needs only in some environments, or if it has to make its home.
EARLY = ('set_functions_aside', 'set_aside', 'set_variables_aside', 'expand', 'find_home',
         'enter_home')
RUNNER = 'lib', 'tasklib', 'proclib', 'run'
SUDO = 'environment', 'lib', 'sudo'
_CONTROL = 'environment', 'lib', 'frame', 'tasklib', 'samplelib', 'namelib', 'sendlib', 'control'
_LOAD = 'environment', 'lib', 'frame', 'once', 'samplelib'
_PUT = 'environment', 'lib', 'frame', 'once', 'namelib', 'copylib', 'putlib'
SHORT_SCRIPTS = {
    'control': _CONTROL + ('direct', 'serve'), 'slurm': _CONTROL + ('clusterlib', 'slurm', 'serve'),
    'doctor': _LOAD + ('doctor',), 'sample': _LOAD + ('sample',), 'probe': _LOAD + ('probe',),
    'slurm-sample': _LOAD + ('clusterlib', 'sample', 'cluster'),
    'slurm-probe': _LOAD + ('clusterlib', 'probe', 'cluster'),
    'put': _PUT + ('placelib', 'put'), 'place': _PUT + ('placelib', 'place'),
    'discard': ('environment', 'lib', 'frame', 'once', 'discard'),
    'chain': _PUT + ('netlib', 'chain'),
    'deploy': ('environment', 'lib', 'frame', 'once', 'deploy'),
    'attach': ('environment', 'lib', 'frame', 'once', 'attach'),
    'worker': ('environment', 'lib', 'proclib', 'guardlib', 'endlib', 'worker'),
}
LONG_SCRIPTS = {        # they run under the guard
    'fetch': ('environment', 'lib', 'namelib', 'sendlib', 'fetch'),
    'get': ('environment', 'lib', 'namelib', 'copylib', 'get'),
    'reduce': ('environment', 'lib', 'netlib', 'reduce'),
}


class Deadlines(NamedTuple):
    """The deadlines of a call, in seconds (0: none).  The guard on the host also applies lease and
    grace.
    """

    hello: float = 30.0
    timeout: float = 0.0
    stall: float = 0.0
    lease: float = 60.0
    grace: float = 5.0


class Payload(NamedTuple):
    """The data that follows a guarded command: a script, and bytes and a file for its standard
    input.

    input_bytes: size of the file.
    secret: if not None, the command runs as root with sudo, and this is the password, or empty if
    sudo needs none.
    scratch: the directory for temporary files on the host, or '' for the host's default.
    """

    script: bytes = b''
    input_path: str = ''
    input_bytes: int = 0
    secret: Optional[bytes] = None
    scratch: str = ''
    input: bytes = b''


def source(*names):
    """The concatenated text of files in lwt/remote/sh/."""
    return ''.join(pkgutil.get_data('lwt.remote', 'sh/%s.sh' % name).decode() for name in names)


@functools.lru_cache(maxsize=None)
def script_text(*names):
    """The text of scripts as it is sent: without comments, indentation, empty lines and unused
    functions.
    """
    if names in (GUARD, STAGING_GUARD):
        return script_parts.joined(guard_parts(names))
    return script_parts.short(source(*names))


@functools.lru_cache(maxsize=None)
def guard_parts(names):
    """The script_parts.Parts of a guard.  names: GUARD or STAGING_GUARD."""
    return script_parts.split(source(*names), source(*LATER), EARLY)


def shell_quote(value):
    """value, str or bytes, as one word of sh; bytes."""
    return b"'" + os.fsencode(value).replace(b"'", b"'\\''") + b"'"


def quoted_path(path):
    """A path on a host as one word of sh in which ~ and ~USER at its start are expanded; bytes."""
    home, slash, rest = path.partition('/')
    if not re.fullmatch(r'~([A-Za-z_][A-Za-z0-9_.-]*)?', home, re.ASCII):
        return shell_quote(path)
    return home.encode() + slash.encode() + (shell_quote(rest) if rest else b'')


def with_arguments(text, arguments):
    """The script `text` with its positional parameters set; bytes."""
    return b'set -- ' + b' '.join(map(shell_quote, arguments)) + b'\n' + os.fsencode(text)


@functools.lru_cache(maxsize=32)
def encoded(script):
    """A script (bytes) as printf %b reads it, without single quotes.  Raises UsageError for a NUL
    byte.
    """
    if b'\0' in script:
        raise UsageError('a NUL byte cannot be in a command')
    return ''.join(map(ENCODED.__getitem__, script))


def envelope(script, text=''):
    """Return the command line that makes a login shell run a script (bytes) with sh.

    text: a script of lwt, which runs after it.
    Raises UsageError for a NUL byte, or if the command line is too long.
    """
    word = encoded(script) + encoded(os.fsencode(text))
    if len(word) > MAX_ENCODED:
        raise UsageError('the command is too long (%d bytes, encoded %d)'
                         % (len(script), len(word)),
                         'put it into a file and use --script FILE')
    return ENVELOPE % word


@functools.lru_cache(maxsize=32)
def _line(text, words, ahead=b''):
    """The command line for a script of lwt with words as its arguments.

    ahead: commands that run before it, bytes.  Most hosts of a run get the same line, so it is
    cached.
    """
    return envelope(ahead + with_arguments('', words), text)


@functools.lru_cache(maxsize=32)
def _guard_line(names, words, ahead=b''):
    """As _line, for GUARD or STAGING_GUARD."""
    parts = guard_parts(names)
    line = None if ahead else script_parts.command_line(parts, words)
    if line is None:
        commands = encoded(ahead + with_arguments('', words))
        line = script_parts.command_line(parts, (commands,), is_encoded=True)
    if line is None or len(line) > MAX_ENCODED:
        return _line(script_text(*names), words, ahead)
    return line


def plain(transport, host, name, arguments, frame, limits, stdin_path=''):
    """The Command that runs a script of SHORT_SCRIPTS on a host.

    frame: the Framed that reads the output.  stdin_path: a file for its standard input, or ''.
    """
    line = _script_line(name, tuple(arguments))
    return _command(transport, host, line, frame, limits, stdin=opening(frame),
                    stdin_path=stdin_path)


def channel(transport, host, name, sink, limits):
    """The Command that runs a script of SHORT_SCRIPTS that reads several requests from its standard
    input and answers each.
    """
    return _command(transport, host, _script_line(name, (plain_seconds(limits.lease),)), sink,
                    limits)


def worker(transport, host, sink, limits):
    """The Command that runs sh/worker.sh.  sink: reads the answers, and gives it its input."""
    quarter = limits.lease / 4          # whole seconds if possible, because some hosts need that
    quarter = math.ceil(quarter) if quarter >= 1 else quarter
    words = tuple(map(plain_seconds, (limits.grace, limits.lease, quarter)))
    return _command(transport, host, _script_line('worker', words), sink, limits, source=sink,
                    lifeline=limits.lease / HEARTBEATS_PER_LEASE)


def _script_line(name, arguments):
    return _line(script_text(*SHORT_SCRIPTS[name]), arguments)


def request(frame, arguments):
    """The line, bytes, of a request to such a script.  frame: the Framed that reads the answer."""
    return b' '.join(map(shell_quote, (frame.nonce,) + tuple(arguments))) + b'\n'


def guarded(transport, host, command, arguments, frame, limits, payload=Payload()):
    """The Command that runs a user's command, or a long script of lwt, on a host under the guard
    (sh/guard.sh).

    command: for sh -c, in the home of the host; arguments are its $1, $2...
    """
    input_bytes = len(payload.input) + payload.input_bytes
    words = (plain_seconds(limits.grace), plain_seconds(limits.lease), host.home,
             str(len(payload.script)),
             str(input_bytes), whole_seconds(limits.stall or limits.lease),
             _backstop(limits.timeout),
             command) + tuple(arguments)
    names, first = STAGING_GUARD if payload.script or input_bytes else GUARD, b''
    # sh/lib.sh replaces a missing TMPDIR by /tmp, but must not replace the directory that the user
    # has set, so LWT_TMPDIR has it too.
    scratch = (b'export TMPDIR=%s\nexport LWT_TMPDIR="$TMPDIR"\n' % quoted_path(payload.scratch)
               if payload.scratch else b'')
    if payload.secret is not None:
        words = (host.home, script_text(*names), 'yes' if payload.secret else '') + words
        first = _secret_lines(payload.secret, frame)
        line = _line(script_text(*SUDO), words, scratch)
    else:
        line = _guard_line(names, words, scratch)
    return _command(
        transport, host, line, frame, limits, lifeline=limits.lease / HEARTBEATS_PER_LEASE,
        stdin=opening(frame) + first + payload.script + payload.input,
        stdin_path=payload.input_path)


def opening(frame):
    """The first line of a script's standard input: the nonce and the mark of its frame."""
    return b'lwt %s %s\n' % (frame.nonce.encode(), frame.mark.encode())


def _secret_lines(secret, frame):
    """The bytes between the opening for sh/sudo.sh and the payload.

    They are the password twice, to test it and to use it; the mark, which ends the password; and
    the opening for the guard.
    """
    return (secret + b'\n') * 2 * bool(secret) + frame.mark.encode() + b'\n' + opening(frame)


def _backstop(timeout):
    """The whole seconds after which the host ends the command by itself; 0: never.

    The host waits at least a second longer than the master, because the master can report why.
    """
    return str(math.ceil(timeout) + 1 if timeout else 0)


def _command(transport, host, line, frame, limits, **more):
    return Command(
        ssh.argv(transport, host, line), cwd=transport.login_dir if host.is_local else None,
        env=transport.local_env if host.is_local else transport.env, hello=limits.hello,
        timeout=limits.timeout, stall=limits.stall, grace=limits.grace, sink=frame, label=host.name,
        **more)


class Framed(Sink):
    """Reads the two framed streams of a script; a sink for proc.Child.

    on_payload(stream, data) gets the bytes inside the frames as they arrive.
    started: whether the begin line has arrived; true from the start if has_begun is.
    code: the exit code in the end line, or None.
    failure: the reason in the fail line, or None.
    cause: why the guard on the host ended the command (of CAUSES), or '' if it ended by itself.

    Before the begin line: ssh_output is the standard error of ssh and of the login shell;
    shell_output is the standard output of the login shell.  Both are cut at host_limits.NOISE
    bytes; is_output_cut says whether they were.
    last_words: the last messages of ssh on standard error when the connection broke.
    """

    def __init__(self, nonce, on_payload, has_begun=False):
        self.nonce = nonce
        self._streams = {'stdout': _FrameReader(nonce, has_begun),
                         'stderr': _FrameReader(nonce, has_begun, SSH_LAST_WORDS)}
        self._on_payload = on_payload

    def feed(self, stream, data):
        """Take bytes of a stream; returns True if on_payload wants no more."""
        payload = self._streams[stream].feed(data)
        return bool(payload) and self._on_payload(stream, payload) is True

    def finish(self):
        """The output is complete: pass on bytes that were held back because they might have been
        the beginning of a frame line.
        """
        for stream, reader in self._streams.items():
            held = reader.finish()
            if held:
                self._on_payload(stream, held)

    @property
    def mark(self):
        """The word that identifies the processes and files of this call; other users may see it."""
        return hashlib.sha256(self.nonce.encode()).hexdigest()[:32]

    @property
    def started(self):
        return self._streams['stdout'].begun

    @property
    def ended(self):
        """Whether the end line has arrived on both streams."""
        return self._streams['stdout'].ended and self._streams['stderr'].ended

    @property
    def code(self):
        return self._streams['stdout'].code

    @property
    def cause(self):
        return self._streams['stdout'].cause

    @property
    def failure(self):
        return self._streams['stdout'].failure

    @property
    def ssh_output(self):
        return bytes(self._streams['stderr'].outside)

    @property
    def shell_output(self):
        return bytes(self._streams['stdout'].outside)

    @property
    def is_output_cut(self):
        return any(reader.is_outside_cut for reader in self._streams.values())

    @property
    def last_words(self):
        return bytes(self._streams['stderr'].outside)


class _FrameReader:
    """Reads one stream: noise, begin line, payload, end line.

    Bytes are held back only while they may be the beginning of a frame line, or the last words of
    ssh.
    """

    def __init__(self, nonce, begun, last_words=None):
        self._last_words = last_words
        self._mark = b'\036' + nonce.encode() + b' '
        self._buffer = bytearray()
        self._at_line_start = True      # whether the buffer begins at the start of a line
        self.begun = begun
        self.ended = False
        self.code = None
        self.cause = ''
        self.failure = None
        self.outside = bytearray()
        self.is_outside_cut = False

    def feed(self, data):
        """Take bytes; returns the payload among them."""
        self._buffer += data
        if not self.begun and not self._find_begin():
            return b''
        if self.ended:
            self._note_outside(self._take(len(self._buffer)))
            return b''
        return self._payload()

    def finish(self):
        """The payload among the bytes still held back."""
        is_payload = self.begun and not self.ended and not self._count_last_words()
        held = self._take(len(self._buffer))
        if is_payload:
            return held
        self._note_outside(held)
        return b''

    def _take(self, count):
        if not count:
            return b''
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _note_outside(self, data):
        if not data:
            return
        room = host_limits.NOISE - len(self.outside)
        self.is_outside_cut = self.is_outside_cut or len(data) > room
        self.outside += data[:room]

    def _find_begin(self):
        line = self._mark + b'begin\n'
        at = self._buffer.find(line)
        if at < 0:
            self._note_outside(self._take(max(0, len(self._buffer) - len(line) + 1)))
            return False
        self._note_outside(self._take(at))
        del self._buffer[:len(line)]
        self.begun = True
        return True

    def _payload(self):
        at = self._buffer.find(self._mark)
        if at < 0:
            return self._pass_on(len(self._buffer) - self._held())
        payload = self._pass_on(at)
        end = self._buffer.find(b'\n')
        if end < 0 and len(self._buffer) > host_limits.NOISE:
            end = host_limits.NOISE            # no end line of lwt is so long
        if end >= 0:
            self._close(self._take(end + 1)[len(self._mark):-1])
            self._note_outside(self._take(len(self._buffer)))
        return payload

    def _held(self):
        """The number of last bytes that may be the beginning of a frame line, or ssh's last words.
        """
        start = self._buffer.rfind(b'\036', max(0, len(self._buffer) - len(self._mark)))
        if start >= 0 and self._mark.startswith(bytes(self._buffer[start:])):
            return len(self._buffer) - start
        return self._count_last_words()

    def _pass_on(self, count):
        payload = self._take(count)
        if payload:
            self._at_line_start = payload.endswith(b'\n')
        return payload

    def _count_last_words(self):
        """The length of the last lines, if they may be ssh's last words."""
        if self._last_words is None:
            return 0
        start = end = len(self._buffer)
        while start > 0:
            line = self._buffer.rfind(b'\n', 0, start - 1) + 1
            is_line = line > 0 or self._at_line_start
            if (not is_line or end - line >= host_limits.NOISE
                or not re.match(self._last_words, self._buffer[line:end])):
                break
            start = line
        return end - start

    def _close(self, line):
        word, _space, rest = line.partition(b' ')
        self.ended = True
        number, _space, cause = rest.decode('ascii', 'replace').partition(' ')
        code = bounded(number, 0, 255) if word == b'end' and cause in CAUSES + ('',) else None
        if code is not None:
            self.code, self.cause = code, cause
        elif word == b'fail':
            self.failure = printable_text(rest) or 'refused'
