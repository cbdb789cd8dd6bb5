"""ssh: how its command line is built, and what its failure means.  Pure: it knows nothing of the loop and starts nothing.

The options are all explicit, because defaults differ between systems and users' configurations; host names come after "--",
because a name may begin with "-".  ssh's exit code 255 is never guessed at (a command may exit with it as well): the frame
that every script prints says whether the command ran, and only where it did not is ssh's own text asked for the reason.
"""

import math
import os
import re
import zlib
from typing import NamedTuple

from lwt.errors import UsageError
from lwt.hosts import printable

UNREACHABLE = 255       # a record's code for a host that could not be reached; its class stands beside it
TIMED_OUT = 124         # a record's code for a time-out, as timeout(1) has it


class Transport(NamedTuple):
    """How hosts are reached.  ssh, scp: absolute paths, or '' where there is none; path: where they were looked for.

    env: the environment of ssh and scp.  config: an ssh configuration file, or '' for the user's.  login_dir: where a
    command on the local host starts.  connect_timeout: seconds.  silence: seconds after which a host that says nothing is
    taken for gone.  control_path: the socket of a connection to use, or ''; persist: seconds for which a connection is made and
    kept there, where there is none yet.
    """

    ssh: str
    scp: str
    path: str = ''
    env: dict = None
    config: str = ''
    login_dir: str = '/'
    connect_timeout: float = 10.0
    silence: float = 60.0
    control_path: str = ''
    persist: float = 0.0

    def within(self, stall):
        """The Transport that takes a host for gone after `stall` seconds without a word, if that is sooner; 0: no limit."""
        return self._replace(silence=min(self.silence, stall or self.silence))


class Verdict(NamedTuple):
    """What became of a command on a host.

    kind: 'ok', or the class of the failure: refused, timeout, dns, hostkey, auth, lost, killed, failed.
    code: the command's own exit code, or 124, 255 and so on as design has them.
    reason: for people.  ran: 'no' (certainly not started), 'maybe', 'yes'.
    """

    kind: str
    code: int
    reason: str = ''
    ran: str = 'yes'

    @property
    def ok(self):
        return self.kind == 'ok'

    @property
    def is_answer(self):
        """Did the host answer, whatever the command's own end?"""
        return self.kind in ('ok', 'failed')


DROPPED = 'closed before the login'        # sshd had no room (MaxStartups), or something before it

# What ssh prints when nothing ran on the host, as seen from OpenSSH 7 to 9: pattern, class, reason.  The order matters.
SIGNATURES = tuple((re.compile(pattern, re.IGNORECASE), kind, reason) for pattern, kind, reason in (
    (r'REMOTE HOST IDENTIFICATION HAS CHANGED', 'hostkey', 'host key changed'),
    (r'host key verification failed|no \S+ host key is known', 'hostkey', 'host key not known'),
    (r'could not resolve hostname|name or service not known', 'dns', 'name not known'),
    (r'permission denied \(|too many authentication failures|no more authentication methods', 'auth', 'login refused'),
    (r'connection refused', 'refused', 'connection refused'),
    (r'no route to host|network is unreachable|host is down', 'refused', 'no route to host'),
    (r'(connection|operation) timed out', 'timeout', 'connection timed out'),
    (r'kex_exchange_identification|ssh_exchange_identification|connection (closed|reset) by|banner exchange',
     'refused', DROPPED),
    (r'contains invalid characters|bad configuration option|bad owner or permissions', 'refused', 'ssh does not take it'),
))

# What ssh says of a connection that it was to share; it then logs in by itself.
SHARING_WORDS = re.compile(r'^(?:Control ?(?:Socket|Master)|mux_?client).*$', re.IGNORECASE | re.MULTILINE)


def was_dropped(verdict):
    """Did sshd drop the login for want of room, so that it is worth another try?"""
    return verdict.ran == 'no' and DROPPED in verdict.reason


def require_program(path, name, searched):
    """Raise UsageError unless the program was found."""
    if not path:
        raise UsageError('%s not found in PATH=%s' % (name, searched), 'install the OpenSSH client, or set PATH')


def options(transport):
    """The options that ssh and scp have in common, as a tuple.  The first one given wins, so the configuration comes first."""
    chosen = ('-F', transport.config) if transport.config else ()
    for text in ('BatchMode=yes', 'NumberOfPasswordPrompts=0', 'ConnectTimeout=%d' % math.ceil(transport.connect_timeout),
                 'ConnectionAttempts=1', 'ClearAllForwardings=yes', 'ForwardAgent=no', 'ForwardX11=no',
                 'PermitLocalCommand=no', 'UpdateHostKeys=no', 'LogLevel=ERROR') + _alive(transport) + _sharing(transport):
        chosen += ('-o', text)
    return chosen


def _alive(transport):
    interval = max(1, math.ceil(transport.silence / 4))
    return 'ServerAliveInterval=%d' % interval, 'ServerAliveCountMax=%d' % max(1, round(transport.silence / interval) - 1)


def _sharing(transport):
    """Which connection is used.  Where the socket leads nowhere, or the host lets no more sessions in, ssh logs in by itself."""
    if transport.control_path and transport.persist:
        return 'ControlMaster=auto', 'ControlPath=' + transport.control_path, 'ControlPersist=%d' % math.ceil(transport.persist)
    return 'ControlMaster=no', 'ControlPath=' + (transport.control_path or 'none')


def kept_socket(directory, config, name):
    """The path, as ssh expands it, of the socket of a connection that is kept: found by the name that the host is called,
    and of no use any more (%C) once that name leads elsewhere."""
    return '%s.%%C' % os.path.join(directory, kept_prefix(config, name))


def kept_prefix(config, name):
    """What the names of its sockets begin with."""
    return '%08x' % zlib.crc32(os.fsencode('%s\0%s' % (config, name)))


def master_argv(transport, host):
    """The command line that logs in and serves others at transport.control_path; it prints a line when it does."""
    require_program(transport.ssh, 'ssh', transport.path)
    return (transport.ssh, '-T', '-N', '-o', 'ControlMaster=yes', '-o', 'ControlPersist=no', '-o', 'PermitLocalCommand=yes',
            '-o', 'LocalCommand=echo') + options(transport) + ('--', host.name)


def argv(transport, host, remote_command):
    """The command line that has remote_command run on a host: by ssh, or by sh where the host is this machine."""
    if host.is_local:
        return '/bin/sh', '-c', remote_command
    require_program(transport.ssh, 'ssh', transport.path)
    return (transport.ssh, '-T') + options(transport) + ('-o', 'EscapeChar=none', '--', host.name, remote_command)


def environment(environ):
    """The environment for ssh: without locale variables, which many configurations would send to the host."""
    return {name: value for name, value in environ.items() if name != 'LANG' and not name.startswith('LC_')}


def verdict(result, frame):
    """The Verdict on a Result whose output went through frame (remote.Framed)."""
    if result.status == 'unspawnable':
        return Verdict('failed', 127, 'cannot run %s' % printable(_first_line(result.stderr), 200), 'no')
    if frame.code is not None:          # the script itself reported the end, whatever happened to the connection after that
        return _reported(result, frame)
    if frame.failure is not None:
        return Verdict('failed', 1, frame.failure, 'no')
    if frame.started:
        return _cut_off(result, frame)
    return _not_started(result, frame)


def _ended_here(result, code):
    """The Verdict on what lwt itself ended after its begin, or None; code: what the command told in the end."""
    if result.status == 'timeout':
        return Verdict('timeout', TIMED_OUT, 'timed out after %g s' % result.command.timeout)
    if result.status == 'stalled':
        return Verdict('timeout', TIMED_OUT, 'stalled: no byte in %g s' % result.command.stall)
    if result.status == 'cancelled':
        return Verdict('killed', code or 130, 'interrupted')
    return None


def _reported(result, frame):
    verdict = _ended_here(result, frame.code)
    if verdict:
        return verdict
    if frame.code:
        return Verdict('failed', frame.code, 'exit code %d' % frame.code)
    return Verdict('ok', 0)


def _cut_off(result, frame):
    verdict = _ended_here(result, 0)
    if verdict:
        return verdict
    text = _first_line(frame.last_words)
    return Verdict('lost', UNREACHABLE, 'connection lost%s' % (' (%s)' % printable_text(text) if text else ''), 'maybe')


def _not_started(result, frame):
    if result.status == 'cancelled':
        return Verdict('killed', 130, 'interrupted', 'maybe')
    if result.status in ('hello', 'timeout', 'stalled'):
        limit = {'hello': result.command.hello, 'timeout': result.command.timeout, 'stalled': result.command.stall}
        return Verdict('timeout', UNREACHABLE, 'unreachable (no answer in %g s%s)'
                       % (limit[result.status], _quoted(frame.noise)), 'maybe')
    text = frame.noise.decode('utf-8', 'replace')
    if result.status == 'exited' and result.code == UNREACHABLE:
        known = _signature(text)
        if known:
            return Verdict(known[0], UNREACHABLE, 'unreachable (%s)' % known[1], 'no')
    return Verdict('refused', UNREACHABLE, 'unreachable (no answer from its shell, exit code %d%s)'
                   % (result.code, _quoted(frame.noise)), 'maybe')


def _signature(text):
    """(class, reason) of what ssh prints when nothing ran, or None."""
    text = SHARING_WORDS.sub('', text)
    return next(((kind, reason) for pattern, kind, reason in SIGNATURES if pattern.search(text)), None)


def _first_line(data):
    lines = [line for line in data.decode('utf-8', 'replace').splitlines() if line.strip()]
    return lines[0].strip() if lines else ''


def _quoted(noise):
    text = _first_line(noise)
    return ': ' + printable_text(text) if text else ''


def printable_text(text, limit=160):
    """text without what could drive a terminal, cut to limit characters."""
    clean = ''.join(char if char.isprintable() else '?' for char in text)
    return clean if len(clean) <= limit else clean[:limit] + '…'


def with_complaint(verdict, stderr):
    """The verdict on a script of ours; where it ended badly and gave no reason, the first line of its stderr is the reason."""
    complaint = printable_text(_first_line(stderr))
    return verdict._replace(reason=complaint) if verdict.kind == 'failed' and verdict.ran == 'yes' and complaint else verdict
