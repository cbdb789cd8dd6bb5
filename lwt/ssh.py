"""Builds the command lines of ssh.  Pure: the module does not use the loop and starts no process.

All options are explicit, because defaults differ between systems and users' configurations.
Host names come after "--", because a name may begin with "-".
"""

import functools
import math
import os
import re
import zlib
from typing import NamedTuple, Optional

from lwt.errors import UsageError


class Transport(NamedTuple):
    """How hosts are reached.

    ssh, scp: absolute paths, or '' if not found.  path: the PATH that was searched for them.
    env: the environment of ssh and scp.  config: an ssh configuration file, or '' for the user's.
    login_dir: the initial directory of commands on the local host.  connect_timeout: seconds.
    silence: seconds without a message from a host after which its connection counts as broken.
    control_path: the socket of a shared connection, or ''.
    persist: if not 0, ssh makes this connection if there is none, and keeps it for this many
    seconds.
    local_env: the environment of commands on the local host, or None for that of lwt.
    ignored: the patterns of IgnoreUnknown in the configuration files that ssh reads.
    given: further options of ssh_config(5), as KEY=VALUE.
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
    given: tuple = ()

    @property
    def way(self):
        """What decides where a host name leads: the configuration file and the given options."""
        return '\0'.join((self.config,) + self.given)

    def within(self, stall):
        """The Transport with `silence` lowered to `stall` seconds, if that is less; 0: unchanged.
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

# For ssh only: scp passes -s to ssh to select its session type, and ssh refuses -s together with
# SessionType.
SESSION = ('SessionType=default', 'EscapeChar=none')

# Further options that lwt sets itself, each with what to use instead.
OWN = {'connecttimeout': 'use -t SEC', 'serveraliveinterval': '', 'serveralivecountmax': '',
       'controlmaster': 'set persist in lwt.conf', 'controlpath': 'set persist in lwt.conf',
       'controlpersist': 'set persist in lwt.conf', 'localcommand': '',
       'loglevel': 'use -v', 'ignoreunknown': 'set it in the file of --ssh-config'}

# The options above that are newer than OpenSSH 6.3, the first version with IgnoreUnknown.  An older
# ssh skips them, and its configuration cannot contain them either.
NEWER = ('UpdateHostKeys', 'AddKeysToAgent', 'RemoteCommand', 'LogVerbose', 'SessionType',
         'StdinNull', 'ForkAfterAuthentication')


def check_given(given):
    """Raise UsageError for a given option that has no effect, because lwt sets it itself."""
    own = {text.partition('=')[0].lower() for text in SCRIPTED + SESSION}
    for text in given:
        key = re.match('[A-Za-z0-9]*', text).group().lower()
        if key in own or key in OWN:
            raise UsageError('--ssh-option %s: lwt sets this option itself' % text,
                             OWN.get(key, ''))


def options(transport):
    """The options that ssh and scp have in common, as a tuple."""
    return (_options(transport.config, transport.ignored, transport.connect_timeout,
                     transport.silence, transport.given)
            + _words(_sharing(transport.control_path, transport.persist)))


@functools.lru_cache(maxsize=32)        # the hosts of a run have the same
def _options(config, ignored, connect_timeout, silence, given):
    """The options that do not depend on the host, as a tuple.  The parameters are fields of the
    Transport.

    ssh uses the first value that it gets for an option, and reads the command line before the
    configuration files.  This holds for IgnoreUnknown as well, so the user's patterns are
    repeated here: without them, ssh would refuse lines that the user wants ignored.
    """
    unknown = 'IgnoreUnknown=' + ','.join(NEWER + ignored)
    connect = 'ConnectTimeout=%d' % math.ceil(connect_timeout)
    return ((('-F', config) if config else ())
            + _words((unknown, connect) + SCRIPTED + _alive(silence) + given))


def _words(texts):
    """The command line words for these options, as a tuple."""
    return sum((('-o', text) for text in texts), ())


_SESSION_WORDS = _words(SESSION)


def _session_options(transport):
    """The options of ssh for one session, as a tuple."""
    return options(transport) + _SESSION_WORDS


def _alive(silence):
    interval = max(1, math.ceil(silence / 4))
    most = max(1, round(silence / interval) - 1)
    return 'ServerAliveInterval=%d' % interval, 'ServerAliveCountMax=%d' % most


def _sharing(control_path, persist):
    """The options that select a shared connection.  If the socket is stale, or the host allows no
    more sessions, ssh logs in by itself.
    """
    if control_path and persist:
        return ('ControlMaster=auto', 'ControlPath=' + control_path,
                'ControlPersist=%d' % math.ceil(persist))
    return 'ControlMaster=no', 'ControlPath=' + (control_path or 'none')


def kept_socket(directory, way, name):
    """The path of the socket of a kept connection; ssh expands %C in it.

    The name of the socket begins with a hash of the way (see Transport) and the host's name.  %C
    changes when that name leads to another target, so that an old socket is no longer used.
    """
    return '%s.%%C' % os.path.join(directory, kept_prefix(way, name))


def kept_prefix(way, name):
    """The beginning of the names of the sockets for a host name."""
    return '%08x' % zlib.crc32(os.fsencode('%s\0%s' % (way, name)))


def master_argv(transport, host):
    """The command line of a master: an ssh that logs in, prints a line, and shares its connection
    with others at transport.control_path.
    """
    require_program(transport.ssh, 'ssh', transport.path)
    return (transport.ssh, '-T', '-N', '-o', 'ControlMaster=yes', '-o', 'ControlPersist=no', '-o',
            'PermitLocalCommand=yes',
            '-o', 'LocalCommand=echo') + options(transport) + ('--', host.name)


def query_argv(transport):
    """The command line that prints the configuration of a host; the caller appends the host name.

    It has the options of a login, because `ssh -G` without a command refuses some values of
    ForkAfterAuthentication and SessionType.
    """
    require_program(transport.ssh, 'ssh', transport.path)
    return (transport.ssh, '-T') + _session_options(transport) + ('-G', '--')


def parse_query(text):
    """{option: value} in what a command line of query_argv prints; the names are in lower case."""
    told = {}
    for line in text.splitlines():
        option, _space, value = line.partition(' ')
        told.setdefault(option, value)
    return told


def argv(transport, host, remote_command):
    """The command line that runs remote_command on a host: with ssh, or with sh if the host is this
    machine.
    """
    if host.is_local:
        return '/bin/sh', '-c', remote_command
    require_program(transport.ssh, 'ssh', transport.path)
    return (transport.ssh, '-T') + _session_options(transport) + ('--', host.name, remote_command)


def environment(environ):
    """The environment for ssh: without locale variables, which many configurations send to the
    host.
    """
    return {name: value
            for name, value in environ.items() if name != 'LANG' and not name.startswith('LC_')}
