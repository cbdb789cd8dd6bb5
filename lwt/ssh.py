"""ssh: how its command line is built, and what its failure means.  Pure: it knows nothing of the loop and starts nothing.

The options are all explicit, because defaults differ between systems and users' configurations; host names come after "--",
because a name may begin with "-".  ssh's exit code 255 is never guessed at (a command may exit with it as well): the frame
that every script prints says whether the command ran, and only where it did not is ssh's own text asked for the reason.
"""

import functools
import math
import os
import zlib
from typing import NamedTuple, Optional

from lwt import ssh_messages
from lwt.errors import UsageError
from lwt.workspace.hostlist import printable

UNREACHABLE = 255       # a record's code for a host that could not be reached; its class stands beside it
TIMED_OUT = 124         # a record's code for a time-out, as timeout(1) has it


class Transport(NamedTuple):
    """How hosts are reached.  ssh, scp: absolute paths, or '' where there is none; path: where they were looked for.

    env: the environment of ssh and scp.  config: an ssh configuration file, or '' for the user's.  login_dir: where a
    command on the local host starts.  connect_timeout: seconds.  silence: seconds after which a host that says nothing is
    taken for gone.  control_path: the socket of a connection to use, or ''; persist: seconds for which a connection is made and
    kept there, where there is none yet.  local_env: the environment of commands on the local host,
    or None for that of lwt.  ignored: the patterns of IgnoreUnknown in the configuration files that
    ssh reads.
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
    local_env: Optional[dict] = None
    ignored: tuple = ()

    def within(self, stall):
        """The Transport that takes a host for gone after `stall` seconds without a word, if that is sooner; 0: no limit."""
        return self._replace(silence=min(self.silence, stall or self.silence))


class Verdict(NamedTuple):
    """What became of a command on a host.

    kind: 'ok', or the class of the failure: refused, timeout, dns, hostkey, auth, lost, killed, failed.
    code: the command's own exit code, or 124, 255 and so on as design has them.
    reason: for people.  ran: 'no' (certainly not started), 'maybe', 'yes'.
    is_dropped: sshd dropped the login because it was busy; see ssh_messages.Failure.
    is_cut: lwt ended the command because it printed too much.
    is_over_budget: the host passed a budget, as no script of lwt's does; see budgets.
    """

    kind: str
    code: int
    reason: str = ''
    ran: str = 'yes'
    is_dropped: bool = False
    is_cut: bool = False
    is_over_budget: bool = False

    @property
    def ok(self):
        return self.kind == 'ok'


def was_dropped(verdict):
    """Did sshd drop the login because it was busy, so that another attempt may succeed?"""
    return verdict.ran == 'no' and verdict.is_dropped


def require_program(path, name, searched):
    """Raise UsageError unless the program was found."""
    if not path:
        raise UsageError('%s not found in PATH=%s' % (name, searched), 'install the OpenSSH client, or set PATH')


# Options of ssh_config(5) that break a scripted session, change its output or ask questions, each
# with the value that a script needs.  options() adds those that depend on the transport.
SCRIPTED = (
    'BatchMode=yes', 'NumberOfPasswordPrompts=0', 'ConnectionAttempts=1', 'AddKeysToAgent=no',
    'UpdateHostKeys=no', 'ClearAllForwardings=yes', 'ExitOnForwardFailure=no', 'Tunnel=no',
    'ForwardAgent=no', 'ForwardX11=no', 'PermitLocalCommand=no', 'RemoteCommand=none',
    'RequestTTY=no', 'StdinNull=no', 'ForkAfterAuthentication=no', 'VisualHostKey=no',
    'LogLevel=VERBOSE', 'LogVerbose=none')

# For ssh only: scp selects the type of its session with -s, which ssh refuses beside SessionType.
SESSION = ('SessionType=default', 'EscapeChar=none')

# Options above that came after OpenSSH 6.3, the first version with IgnoreUnknown.  An older ssh
# skips them, and cannot have them in its configuration either.
NEWER = ('UpdateHostKeys', 'AddKeysToAgent', 'RemoteCommand', 'LogVerbose', 'SessionType',
         'StdinNull', 'ForkAfterAuthentication')


def options(transport):
    """The options that ssh and scp have in common, as a tuple."""
    return _options(transport.config, transport.ignored, transport.connect_timeout, transport.silence,
                    transport.control_path, transport.persist)


@functools.lru_cache(maxsize=32)        # for most hosts of a run they are the same
def _options(config, ignored, connect_timeout, silence, control_path, persist):
    """The options, as a tuple.  The parameters are fields of the Transport.

    ssh uses the first value that it gets for an option, and reads the command line before the
    configuration files.  This holds for IgnoreUnknown as well, so the user's patterns are
    repeated here: without them, ssh would refuse lines that the user wants ignored.
    """
    chosen = ('-F', config) if config else ()
    unknown = 'IgnoreUnknown=' + ','.join(NEWER + ignored)
    connect = 'ConnectTimeout=%d' % math.ceil(connect_timeout)
    for text in (unknown, connect) + SCRIPTED + _alive(silence) + _sharing(control_path, persist):
        chosen += ('-o', text)
    return chosen


def _session_options(transport):
    """The options of ssh for one session, as a tuple."""
    chosen = options(transport)
    for text in SESSION:
        chosen += ('-o', text)
    return chosen


def _alive(silence):
    interval = max(1, math.ceil(silence / 4))
    most = max(1, round(silence / interval) - 1)
    return 'ServerAliveInterval=%d' % interval, 'ServerAliveCountMax=%d' % most


def _sharing(control_path, persist):
    """Which connection is used.  Where the socket leads nowhere, or the host lets no more sessions in, ssh logs in by itself."""
    if control_path and persist:
        return 'ControlMaster=auto', 'ControlPath=' + control_path, 'ControlPersist=%d' % math.ceil(persist)
    return 'ControlMaster=no', 'ControlPath=' + (control_path or 'none')


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


def query_argv(transport):
    """The command line, except for the host name at its end, that prints a host's configuration.

    It has the options of a login, because `ssh -G` without a command refuses some values of
    ForkAfterAuthentication and SessionType.
    """
    require_program(transport.ssh, 'ssh', transport.path)
    return (transport.ssh, '-T') + _session_options(transport) + ('-G', '--')


def argv(transport, host, remote_command):
    """The command line that has remote_command run on a host: by ssh, or by sh where the host is this machine."""
    if host.is_local:
        return '/bin/sh', '-c', remote_command
    require_program(transport.ssh, 'ssh', transport.path)
    return (transport.ssh, '-T') + _session_options(transport) + ('--', host.name, remote_command)


def environment(environ):
    """The environment for ssh: without locale variables, which many configurations would send to the host."""
    return {name: value for name, value in environ.items() if name != 'LANG' and not name.startswith('LC_')}


def verdict(result, frame, is_first=True, is_shared=False):
    """The Verdict on a Result whose output went through frame (scripts.Framed).

    is_first: was it the first request over its login?  For a later one, ssh's messages prove nothing.
    is_shared: did another ssh keep the connection?  This one then says nothing of its own when it breaks.
    """
    if result.status == 'unspawnable':
        return Verdict('failed', 127, 'cannot run %s' % printable(_first_line(result.stderr), 200), 'no')
    if frame.code is not None:
        return _reported(result, frame)     # whatever happened to the connection after that
    if frame.failure is not None:
        return Verdict('failed', 1, frame.failure, 'no')
    if frame.started or not is_first:
        return _cut_off(result, frame)
    return _not_started(result, frame, is_shared)


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
    if frame.cause:
        return _ended_there(result, frame.cause)
    if frame.code:
        return Verdict('failed', frame.code, 'exit code %d' % frame.code)
    return Verdict('ok', 0)


ENDED_THERE = {
    'lease': 'the lease ran out: no heartbeat reached the host in time, and it ended the command',
    'closed': 'the lifeline was closed on the way to the host, and it ended the command',
    'limit': 'the host could start no process to guard the command, and ended it'}


def _ended_there(result, cause):
    """The Verdict on a command that its guard on the host ended; cause: of scripts.CAUSES.

    Its exit code is that of the signal, and says nothing about the command.
    """
    if cause == 'timeout':
        return Verdict('timeout', TIMED_OUT, 'timed out after %g s' % result.command.timeout)
    return Verdict('lost', UNREACHABLE, ENDED_THERE[cause])


def _cut_off(result, frame):
    verdict = _ended_here(result, 0)
    if verdict:
        return verdict
    return _lost(frame.last_words if frame.started else frame.ssh_output)


def _lost(stderr):
    """The Verdict on a command that may or may not have run."""
    words = printable_text(ssh_messages.words(stderr.decode('utf-8', 'replace')))
    reason = 'connection lost%s' % (' (%s)' % words if words else '')
    return Verdict('lost', UNREACHABLE, reason, 'maybe')


def _not_started(result, frame, is_shared):
    if result.status == 'cancelled':
        return Verdict('killed', 130, 'interrupted', 'maybe')
    text = frame.ssh_output.decode('utf-8', 'replace')
    said = ssh_messages.shell_words(text) or _first_line(frame.shell_output)
    quoted = ': ' + printable_text(said) if said else ''
    if result.status in ('hello', 'timeout', 'stalled'):
        limit = {'hello': result.command.hello, 'timeout': result.command.timeout, 'stalled': result.command.stall}
        return Verdict('timeout', UNREACHABLE, 'unreachable (no answer in %g s%s)' % (limit[result.status], quoted), 'maybe')
    if result.status != 'exited' or result.code == UNREACHABLE:
        is_proof = not is_shared or ssh_messages.has_fallen_back(text)
        failure = _before_login(result, frame, text) if is_proof else None
        return _lost(frame.ssh_output) if failure is None else Verdict(
            failure.kind, UNREACHABLE, 'unreachable (%s)' % printable_text(failure.reason), 'no', failure.is_dropped)
    return Verdict('refused', UNREACHABLE, 'unreachable (no answer from its shell, exit code %d%s)'
                   % (result.code, quoted), 'maybe')


def _before_login(result, frame, text):
    """The ssh_messages.Failure where it is certain that nothing ran, or None."""
    is_failure = result.status == 'exited' and result.code == UNREACHABLE
    is_whole = not frame.shell_output and not frame.is_output_cut
    return ssh_messages.failure_before_login(text) if is_failure and is_whole else None


def _first_line(data):
    lines = [line for line in data.decode('utf-8', 'replace').splitlines() if line.strip()]
    return lines[0].strip() if lines else ''


def printable_text(text, limit=160):
    """text without what could drive a terminal, cut to limit characters."""
    clean = ''.join(char if char.isprintable() else '?' for char in text)
    return clean if len(clean) <= limit else clean[:limit] + '…'


def with_complaint(verdict, stderr):
    """The verdict on a script of ours; where it ended badly and gave no reason, the first line of its stderr is the reason."""
    complaint = printable_text(_first_line(stderr))
    gave_none = verdict.kind == 'failed' and verdict.ran == 'yes' and not verdict.is_over_budget
    return verdict._replace(reason=complaint) if gave_none and complaint else verdict
