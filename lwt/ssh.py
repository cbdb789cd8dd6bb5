"""ssh: how its command line is built.  Pure: it knows nothing of the loop and starts nothing.

The options are all explicit, because defaults differ between systems and users' configurations.
Host names come after "--", because a name may begin with "-".
"""

import functools
import math
import os
import zlib
from typing import NamedTuple, Optional

from lwt.errors import UsageError


class Transport(NamedTuple):
    """How hosts are reached.  ssh, scp: absolute paths, or '' where there is none; path: where they
    were looked for.

    env: the environment of ssh and scp.  config: an ssh configuration file, or '' for the user's.
    login_dir: where a command on the local host starts.  connect_timeout: seconds.  silence:
    seconds after which a host that says nothing is taken for gone.  control_path: the socket of a
    connection to use, or ''; persist: seconds for which a connection is made and kept there, where
    there is none yet.  local_env: the environment of commands on the local host, or None for that
    of lwt.  ignored: the patterns of IgnoreUnknown in the configuration files that ssh reads.
    """

    ssh: str
    scp: str
    path: str = ''
    env: Optional[dict] = None
    config: str = ''
    login_dir: str = '/'
    connect_timeout: float = 10.0
    silence: float = 60.0
    control_path: str = ''
    persist: float = 0.0
    local_env: Optional[dict] = None
    ignored: tuple = ()

    def within(self, stall):
        """The Transport that takes a host for gone after `stall` seconds without a word, if that is
        sooner; 0: no limit.
        """
        return self._replace(silence=min(self.silence, stall or self.silence))


def require_program(path, name, searched):
    """Raise UsageError unless the program was found."""
    if not path:
        raise UsageError('%s not found in PATH=%s' % (name, searched),
                         'install the OpenSSH client, or set PATH')


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
    return _options(transport.config, transport.ignored, transport.connect_timeout,
                    transport.silence,
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
    """Which connection is used.  Where the socket leads nowhere, or the host lets no more sessions
    in, ssh logs in by itself.
    """
    if control_path and persist:
        return ('ControlMaster=auto', 'ControlPath=' + control_path,
                'ControlPersist=%d' % math.ceil(persist))
    return 'ControlMaster=no', 'ControlPath=' + (control_path or 'none')


def kept_socket(directory, config, name):
    """The path, as ssh expands it, of the socket of a connection that is kept: found by the name
    that the host is called, and of no use any more (%C) once that name leads elsewhere.
    """
    return '%s.%%C' % os.path.join(directory, kept_prefix(config, name))


def kept_prefix(config, name):
    """What the names of its sockets begin with."""
    return '%08x' % zlib.crc32(os.fsencode('%s\0%s' % (config, name)))


def master_argv(transport, host):
    """The command line that logs in and serves others at transport.control_path; it prints a line
    when it does.
    """
    require_program(transport.ssh, 'ssh', transport.path)
    return (transport.ssh, '-T', '-N', '-o', 'ControlMaster=yes', '-o', 'ControlPersist=no', '-o',
            'PermitLocalCommand=yes',
            '-o', 'LocalCommand=echo') + options(transport) + ('--', host.name)


def query_argv(transport):
    """The command line, except for the host name at its end, that prints a host's configuration.

    It has the options of a login, because `ssh -G` without a command refuses some values of
    ForkAfterAuthentication and SessionType.
    """
    require_program(transport.ssh, 'ssh', transport.path)
    return (transport.ssh, '-T') + _session_options(transport) + ('-G', '--')


def argv(transport, host, remote_command):
    """The command line that has remote_command run on a host: by ssh, or by sh where the host is
    this machine.
    """
    if host.is_local:
        return '/bin/sh', '-c', remote_command
    require_program(transport.ssh, 'ssh', transport.path)
    return (transport.ssh, '-T') + _session_options(transport) + ('--', host.name, remote_command)


def environment(environ):
    """The environment for ssh: without locale variables, which many configurations would send to
    the host.
    """
    return {name: value
            for name, value in environ.items() if name != 'LANG' and not name.startswith('LC_')}
