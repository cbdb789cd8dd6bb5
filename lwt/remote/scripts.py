"""Scripts on hosts: how one is sent, and how its answer is read.  Pure.

A script is a POSIX sh file in lwt/remote/sh/.  It travels, with its arguments, as one encoded word
of the command line:

    exec /bin/sh -c 'eval "$(printf %b "$1")"' lwt '<encoded>'

What a login shell (sh, csh, fish) would read anything into between single quotes (' ! \\ and what
is no visible ASCII) is \\0ooo, and standard input is left to data or to the lifeline.  What does
not fit one argument is refused.

Other users of a host can read command lines, so nothing secret is in them. The first line of
standard input is

    lwt NONCE MARK

Each script frames what it says, on both streams, with this nonce: RS nonce " begin", and RS nonce
" end CODE" or RS nonce " fail REASON". The mark follows from the nonce, and not the other way
round: it may be seen, in the environment of processes and in the names of files.

What stands before the begin is noise of the login shell or ssh's own words. No begin: nothing is
known to have run. A begin and no end: it may have run.
"""

import collections
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
from lwt.remote import budgets
from lwt.selectors_loop import Sink
from lwt.workspace.config import bounded, plain_seconds, whole_seconds

# Linux takes 131072 bytes an argument, and the whole command is one to the login shell.
MAX_ENCODED = 120000
ENVELOPE = 'exec /bin/sh -c \'eval "$(printf %%b "$1")"\' lwt \'%s\''
ENCODED = tuple(chr(byte) if 32 <= byte < 127 and byte not in b"'!\\" else '\\0%03o' % byte
                for byte in range(256))
HEARTBEATS_PER_LEASE = 3

# The end of a line of a script that continues a command on the next one.
CONTINUED = re.compile(r'(?<![^ \n])(&&|\|\||\||then|else|do)\n')

# A function of a script: on one line, or ended by a brace at the beginning of one.
FUNCTION = re.compile(r'(?m)^(\w+)\(\) \{(?: .*\}.*\n|\n(?:(?!\}).*\n)*\}.*\n)')

# Why the guard on a host ended a command: no heartbeat came for the lease, its time was over, its
# lifeline was closed, or no process could be started to guard it.
CAUSES = ('lease', 'timeout', 'closed', 'limit')

# What ssh prints on standard error when a connection breaks, after whatever the command printed.
SSH_LAST_WORDS = (
    rb'client_loop: |Timeout, server |Connection (?:to|reset|closed) |Read from remote host |'
    rb'Write failed: |'
    rb'packet_write_\w+: |ssh_\w+: |ssh: |Bad packet length |Corrupted MAC |'
    rb'Received disconnect from |Disconnected from |'
    rb'Disconnecting |Shared connection to |mux_client|Control master |Killed by signal |'
    rb'Transferred: sent |'
    rb'Bytes per second: sent ')

# The files of lwt/remote/sh/ that each script is made of: the guard, also of a command with input
# or a script, the runner of a task, and the scripts that frame themselves.
GUARD = 'environment', 'lib', 'begin', 'proclib', 'guard'
STAGING_GUARD = 'environment', 'lib', 'begin', 'stage', 'proclib', 'guard'
RUNNER = 'lib', 'tasklib', 'proclib', 'run'
SUDO = 'environment', 'lib', 'sudo'
SHORT_SCRIPTS = {
    'control': ('environment', 'lib', 'frame', 'tasklib', 'samplelib', 'namelib', 'sendlib',
                'control'),
    'doctor': ('environment', 'lib', 'frame', 'once', 'samplelib', 'doctor'),
    'sample': ('environment', 'lib', 'frame', 'once', 'samplelib', 'sample'),
    'probe': ('environment', 'lib', 'frame', 'once', 'samplelib', 'probe'),
    'put': ('environment', 'lib', 'frame', 'once', 'namelib', 'copylib', 'putlib', 'placelib',
            'put'),
    'place': ('environment', 'lib', 'frame', 'once', 'namelib', 'copylib', 'putlib', 'placelib',
              'place'),
    'discard': ('environment', 'lib', 'frame', 'once', 'discard'),
    'chain': ('environment', 'lib', 'frame', 'once', 'namelib', 'copylib', 'putlib', 'netlib',
              'chain'),
    'deploy': ('environment', 'lib', 'frame', 'once', 'deploy'),
    'attach': ('environment', 'lib', 'frame', 'once', 'attach'),
}
LONG_SCRIPTS = {        # they run under the guard
    'fetch': ('environment', 'lib', 'namelib', 'sendlib', 'fetch'),
    'get': ('environment', 'lib', 'namelib', 'copylib', 'get'),
    'reduce': ('environment', 'lib', 'netlib', 'reduce'),
}


class Deadlines(NamedTuple):
    """The deadlines of a call, in seconds (0: none); lease and grace are the host's to keep as
    well.
    """

    hello: float = 30.0
    timeout: float = 0.0
    stall: float = 0.0
    lease: float = 60.0
    grace: float = 5.0


class Payload(NamedTuple):
    """What is sent behind a guarded command: a script, and bytes and a file for its standard input.

    secret: None, or sudo's password, empty where it needs none: then the command runs as root.
    scratch: the host's directory for temporary files, or '' for its own choice.
    """

    script: bytes = b''
    input_path: str = ''
    input_bytes: int = 0
    secret: Optional[bytes] = None
    scratch: str = ''
    input: bytes = b''


def source(*names):
    """The text of scripts in lwt/remote/sh/, one after the other."""
    return ''.join(pkgutil.get_data('lwt.remote', 'sh/%s.sh' % name).decode() for name in names)


@functools.lru_cache(maxsize=None)
def script_text(*names):
    """The text of scripts as it is sent: without comments, indentation, empty lines, and functions
    that no other line names.

    Lines that continue a command are joined: encoded, a newline is longer than a blank.
    """
    text = re.sub(r'(?m)^[ ]*#.*\n|[ ]{2,}# .*$', '', source(*names))
    unused = True
    while unused:
        words = collections.Counter(re.findall(r'\w+', text))
        unused = [function for function in FUNCTION.finditer(text) if words[function.group(1)] == 1]
        for function in reversed(unused):
            text = text[:function.start()] + text[function.end():]
    text = re.sub(r'\n[ \n]+', '\n', text).replace('\\\n', '')
    return CONTINUED.sub(r'\1 ', text)


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

    text: one of our scripts, which is run behind it.
    Raises UsageError if a NUL byte is in it, or if it is too long.
    """
    word = encoded(script) + encoded(os.fsencode(text))
    if len(word) > MAX_ENCODED:
        raise UsageError('the command is too long (%d bytes, encoded %d)'
                         % (len(script), len(word)),
                         'put it into a file and use --script FILE')
    return ENVELOPE % word


@functools.lru_cache(maxsize=32)
def _line(text, words, ahead=b''):
    """The same for one of our scripts with words as its arguments, which most hosts of a run get
    alike.

    ahead: what is run before it, bytes.
    """
    return envelope(ahead + with_arguments('', words), text)


def plain(transport, host, name, arguments, frame, limits, stdin_path=''):
    """The Command that runs a short script of ours on a host.

    name: of SHORT_SCRIPTS.  frame: a Framed, which takes the output.  stdin_path: a file for its
    input.
    """
    line = _script_line(name, tuple(arguments))
    return _command(transport, host, line, frame, limits, stdin=opening(frame),
                    stdin_path=stdin_path)


def channel(transport, host, name, sink, limits):
    """The Command that runs, of SHORT_SCRIPTS, one that answers one request after the other on its
    standard input.
    """
    return _command(transport, host, _script_line(name, (plain_seconds(limits.lease),)), sink,
                    limits)


def _script_line(name, arguments):
    return _line(script_text(*SHORT_SCRIPTS[name]), arguments)


def request(frame, arguments):
    """The line, bytes, with which such a script is asked; frame: a Framed, which is to take the
    answer.
    """
    return b' '.join(map(shell_quote, (frame.nonce,) + tuple(arguments))) + b'\n'


def guarded(transport, host, command, arguments, frame, limits, payload=Payload()):
    """The Command that runs a user's command, or a long script of ours, on a host under the guard
    (sh/guard.sh).

    command: for sh -c, in the host's home; arguments are its $1, $2...
    """
    input_bytes = len(payload.input) + payload.input_bytes
    words = (plain_seconds(limits.grace), plain_seconds(limits.lease), host.home,
             str(len(payload.script)),
             str(input_bytes), whole_seconds(limits.stall or limits.lease),
             _backstop(limits.timeout),
             command) + tuple(arguments)
    text, first = script_text(*(STAGING_GUARD if payload.script or input_bytes else GUARD)), b''
    if payload.secret is not None:
        words = (host.home, text, 'yes' if payload.secret else '') + words
        text, first = script_text(*SUDO), _secret_lines(payload.secret, frame)
    # sh/lib.sh falls back to /tmp for a TMPDIR that is not there, but not for a directory that was
    # asked for.
    scratch = (b'export TMPDIR=%s\nexport LWT_TMPDIR="$TMPDIR"\n' % quoted_path(payload.scratch)
               if payload.scratch else b'')
    line = _line(text, words, scratch)
    return _command(
        transport, host, line, frame, limits, lifeline=limits.lease / HEARTBEATS_PER_LEASE,
        stdin=opening(frame) + first + payload.script + payload.input,
        stdin_path=payload.input_path)


def opening(frame):
    """The first line of a script's standard input: what its frame begins with, and its mark."""
    return b'lwt %s %s\n' % (frame.nonce.encode(), frame.mark.encode())


def _secret_lines(secret, frame):
    """What comes between the opening for sh/sudo.sh and the payload.

    The password, to try it and to use it; the mark, where it ends; the opening for the guard.
    """
    return (secret + b'\n') * 2 * bool(secret) + frame.mark.encode() + b'\n' + opening(frame)


def _backstop(timeout):
    """When the host ends the command by itself: a second after the master, who can say why; whole
    seconds, 0: never.
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

    on_payload(stream, data) gets what stands inside the frames, as it comes.  started: the begin
    was seen.  code: the exit code that the end line told, or None.  failure: what a fail line told,
    or None.  cause: why the guard on the host ended the command (of CAUSES), or '' where it ended
    by itself.

    While the begin was not seen: ssh_output is what came on standard error, of ssh and of the login
    shell; shell_output what came on standard output, of the login shell alone.  Both are cut at
    budgets.NOISE bytes; is_output_cut tells whether they were. last_words: what ssh printed on
    standard error after everything else, when the connection broke.
    """

    def __init__(self, nonce, on_payload):
        self.nonce = nonce
        self._streams = {'stdout': _FrameReader(nonce),
                         'stderr': _FrameReader(nonce, SSH_LAST_WORDS)}
        self._on_payload = on_payload

    def feed(self, stream, data):
        """Take bytes of a stream; true when on_payload says that no more is wanted."""
        payload = self._streams[stream].feed(data)
        return bool(payload) and self._on_payload(stream, payload) is True

    def finish(self):
        """No more will come: hand on what was held back, for it might have been the beginning of a
        frame line.
        """
        for stream, reader in self._streams.items():
            held = reader.finish()
            if held:
                self._on_payload(stream, held)

    @property
    def mark(self):
        """The word that tells the processes and files of this call, which others may see."""
        return hashlib.sha256(self.nonce.encode()).hexdigest()[:32]

    @property
    def started(self):
        return self._streams['stdout'].begun

    @property
    def ended(self):
        """Is the end told on both streams?"""
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
    """One stream: noise, begin, payload, end.

    Bytes are held back only while they may be the beginning of a frame line, or somebody else's
    last words.
    """

    def __init__(self, nonce, last_words=None):
        self._last_words = last_words
        self._mark = b'\036' + nonce.encode() + b' '
        self._buffer = bytearray()
        self._at_line_start = True      # of what is in the buffer
        self.begun = False
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
        """The bytes still held back."""
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
        room = budgets.NOISE - len(self.outside)
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
        if end < 0 and len(self._buffer) > budgets.NOISE:
            end = budgets.NOISE            # no end line of ours is so long
        if end >= 0:
            self._close(self._take(end + 1)[len(self._mark):-1])
            self._note_outside(self._take(len(self._buffer)))
        return payload

    def _held(self):
        """How many of the last bytes may be the beginning of a mark."""
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
            if (not is_line or end - line >= budgets.NOISE
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
