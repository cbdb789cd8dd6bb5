"""The messages that ssh prints when it fails, and what they prove.  Pure.

ssh exits with 255 for every failure of its own, whether the remote command has run or not.  Only
its messages can tell the two apart, and most do not: it prints "Connection reset by 10.0.0.1 port
22" for a connection that broke during the key exchange and for one that broke while the command
ran.  So lwt concludes "nothing ran" from positive proof only:

- ssh runs with LogLevel=VERBOSE.  It then prints AUTHENTICATED as soon as the login is complete,
  before it sends the command.  After that line nothing proves that the command did not run.
- Over a connection that another ssh keeps open, ssh never prints that line, and it prints nothing
  when the connection breaks.  Its messages then prove nothing, unless it could not use the
  connection.
- Without that line, the message that ended ssh must be one of BEFORE_LOGIN.  ssh prints these only
  while it reads its configuration, connects, exchanges identification strings, negotiates
  algorithms, checks the host key or authenticates.

In all other cases the command may have run.  Sources: ssh.c, readconf.c, sshconnect.c,
sshconnect2.c, kex.c, packet.c and clientloop.c of OpenSSH 7.4 to 10.0, and messages of 9.2 that
were provoked in tests.
"""

import re
from typing import NamedTuple, Optional

# The patterns are compiled only when they are used, because most commands do not fail.

# Printed by ssh at LogLevel=VERBOSE when the login is complete (7.4: without 'using "publickey"').
AUTHENTICATED = r'Authenticated to \S+ \(.*\)(?: using ".*")?\.$'

# Printed while ssh looks for a shared connection.  ssh then logs in by itself.
SHARING = r'(?i)(?:mux_?client|Control ?(?:Socket|Master))'

# Statistics and advice, which do not describe a failure.
CHATTER = (
    r'Transferred: sent |Bytes per second: sent |Warning: Permanently added |\*\* '
    r'|Warning: Identity file |Killed by signal |debug\d: ')

DROPPED = 'login dropped by sshd'


class LoginFailure(NamedTuple):
    """Why nothing ran on a host.

    kind: the class of the failure: refused, timeout, dns, hostkey or auth.
    reason: text for users, often the message of ssh.
    is_dropped: the server, or a gateway before it, closed the connection at once, as sshd does when
    too many logins are in progress (MaxStartups); another attempt may succeed.
    """

    kind: str
    reason: str
    is_dropped: bool = False


# Messages that ssh prints only before the login: pattern of a whole line, class, reason.
# A reason of None means the group of the pattern, or without a group the whole line.
BEFORE_LOGIN = (
    # sshconnect.c: no connection.
    (r'ssh: connect to host .* port \d+: (?:Connection|Operation) timed out', 'timeout',
     'connection timed out'),
    (r'ssh: connect to host .* port \d+: Connection refused', 'refused', 'connection refused'),
    (r'ssh: connect to host .* port \d+: (?:No route to host|Network is unreachable|Host is down)',
     'refused', 'no route to host'),
    (r'ssh: connect to host .* port \d+: .*', 'refused', None),
    (r'\S+: Could not resolve host(?:name)? .*: (Temporary failure in name resolution)', 'dns',
     None),
    (r'\S+: Could not resolve host(?:name)? .*', 'dns', 'name not known'),
    # kex.c, and sshconnect.c before 8.0: no identification string of an SSH server.
    (r'(?:Connection timed out during banner exchange'
     r'|banner exchange: Connection (?:to|with) .*timed out)', 'timeout', 'connection timed out'),
    (r'(?:(?:kex|ssh)_exchange_identification: (?:(?:read|write): )?'
     r'|banner exchange: Connection (?:to|with) .*: )'
     r'(?:Connection closed by remote host|Connection reset by peer|Broken pipe)',
     'refused', DROPPED),
    (r'(?:kex|ssh)_exchange_identification: .*', 'refused', None),
    (r'banner exchange: Connection .*', 'refused', None),
    (r'Bad remote protocol version identification: .*', 'refused', None),
    (r'Protocol major versions differ: .*', 'refused', None),
    # packet.c: no algorithm in common.
    (r'Unable to negotiate with .* port \d+: no matching .*', 'refused', None),
    # sshconnect.c: the host key.
    (r'Host key verification failed\.', 'hostkey', 'host key not known'),
    # sshconnect2.c, sshconnect1.c: authentication.
    (r'(?:.*@\S+: )?(Permission denied \([\w,@.-]*\))\.', 'auth', None),
    (r'(Authentication failed)\.', 'auth', None),
    (r'Received disconnect from .* port \d+:2: (Too many authentication failures).*', 'auth', None),
    (r'Received disconnect from .* port \d+:14: (.*)', 'auth', None),
    # ssh.c, readconf.c: options and files.
    (r'.*:? line \d+: Bad configuration option: .*', 'refused', None),
    (r'.*:? line \d+: (?:Bad|bad|Missing|missing|Unsupported|unsupported|Invalid|invalid|garbage'
     r'|Too many|keyword|no argument after keyword) .*', 'refused', None),
    (r'.*: terminating, \d+ bad configuration options', 'refused', None),
    (r'Bad owner or permissions on .*', 'refused', None),
    (r"Can't open user config(?:uration)? file .*", 'refused', None),
    (r'hostname contains invalid characters', 'refused', None),
    (r'ControlPath too long .*', 'refused', None),
    (r'\w*percent_expand: .*|unknown key %.*', 'refused', None),
)

# Lines that ssh prints after one of these messages before it exits.
AFTERWORD = (
    r'(?:Connection (?:closed|reset) by|Disconnected from) .* port \d+'
    r'|banner exchange: Connection .*|Connection to .* timed out'
    r'|.*: terminating, \d+ bad configuration options')

NO_ADDRESS = 'UNKNOWN port 65535'       # the address of a connection through a proxy
CHANGED_KEY = 'REMOTE HOST IDENTIFICATION HAS CHANGED'
REVOKED_KEY = 'REVOKED HOST KEY DETECTED'

# The message of a failed ProxyCommand or jump host: "prefix: words".  An upper-case prefix
# ("WARNING: ...") is more likely part of a login banner, and does not match.
PROXY_FAILURE = r'(?![A-Z]+: )\S[^:]{0,60}:(?: |\d).+|stdio forwarding failed'


def failure_before_login(text: str) -> Optional[LoginFailure]:
    """The LoginFailure that stopped ssh before the login, or None if that is not certain.

    text: the whole standard error of an ssh that exited with 255.
    """
    lines = _lines(text)
    if any(re.match(AUTHENTICATED, line) for line in lines):
        return None
    lines = [line for line in lines if not re.match(SHARING, line) and not re.match(CHATTER, line)]
    last = _decisive(lines)
    failure = _known(lines[last]) if lines else None
    if failure is None:
        return None
    if failure.kind == 'hostkey':
        return failure._replace(reason=_key_problem(text))
    others = lines[:last] + lines[last + 1:]
    return _behind_proxy(failure, others) if failure.is_dropped else failure


def has_fallen_back(text: str) -> bool:
    """Whether ssh reported that it cannot use a shared connection, and logged in by itself."""
    return any(re.match(SHARING, line) for line in _lines(text))


def _decisive(lines):
    """The index of the line that tells why ssh ended; lines of AFTERWORD after it are skipped."""
    last = len(lines) - 1
    while last > 0 and re.fullmatch(AFTERWORD, lines[last]):
        if _known(lines[last - 1]) is not None:
            last -= 1
        elif NO_ADDRESS in lines[last] and _known(lines[last - 2]) is not None:
            last -= 2                   # a line of a proxy is in between
        else:
            break
    return last


def words(text: str) -> str:
    """The line of ssh's standard error that describes a failure best, or ''."""
    lines = [line for line in _lines(text)
             if not re.match(AUTHENTICATED, line) and not re.match(CHATTER, line)]
    return lines[0] if lines else ''


def shell_words(text: str) -> str:
    """The first line that the host's shell printed on standard error, without lines of ssh; or ''.
    """
    lines = _lines(text)
    logged_in = [number for number, line in enumerate(lines) if re.match(AUTHENTICATED, line)]
    return words('\n'.join(lines[logged_in[0]:] if logged_in else lines))


def _lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def _known(line):
    for pattern, kind, reason in BEFORE_LOGIN:
        match = re.fullmatch(pattern, line)
        if match:
            return LoginFailure(kind, _own_words(match) if reason is None else reason,
                                reason == DROPPED)
    return None


def _own_words(match):
    """The words of ssh that give the reason: the group of the pattern, or the whole line."""
    if not match.re.groups:
        return match.group()
    return match.group(1)[:1].lower() + match.group(1)[1:]


def _key_problem(text):
    if CHANGED_KEY in text:
        return 'host key changed'
    return 'host key revoked' if REVOKED_KEY in text else 'host key not known'


def _behind_proxy(dropped, others):
    """The LoginFailure of a connection that was closed at once.

    A proxy that cannot connect also closes it, and prints the reason in another line.  Or the sshd
    of a jump host may be busy.
    """
    for line in others:
        failure = _known(line)
        if failure is not None:
            return failure._replace(reason=failure.reason if failure.is_dropped else line)
        if re.fullmatch(PROXY_FAILURE, line) and not re.fullmatch(AFTERWORD, line):
            return LoginFailure('refused', line)
    return dropped
