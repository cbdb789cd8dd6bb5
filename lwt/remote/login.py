"""Shared logins: sockets of kept connections, one login for several steps, and the limit of logins
in progress.

    plain     each step has its own login; nothing is shared
    shared    several steps use one connection: `connected` logs in with a child in the background,
              which ends with its flow
    kept      option persist: the first step leaves a connection open for that time, and later
              steps of this run or the next use it; ssh makes the connection, detached from lwt,
              and finds it again

If the connection cannot be used (a stale socket, a master that died before it opened the session,
a host that allows no more sessions), ssh logs in by itself; nothing had run before.  A kept
connection ends if its host is silent for hello_timeout; a step that waits for it then logs in.
"""

from __future__ import generator_stop

import contextlib
import os
import re
import shlex
import stat
import time
from typing import NamedTuple

from lwt import ssh
from lwt.errors import HostError, LocalError
from lwt.flow import Gate
from lwt.proc import Command, Result
from lwt.remote import events, exit_status, host_limits
from lwt.remote.call import logging_in
from lwt.selectors_loop import Sink
from lwt.workspace import files

# The name of a socket has at most 108 bytes.  ssh uses 18 of them while it creates the socket.
MAX_DIRECTORY = 90 - len('/01234567.') - 40
# Timeout in seconds of `ssh -G`: in total, and in addition for each host.  It takes 6 ms per host,
# unless the configuration runs other programs.
ASK_TIME, ASK_TIME_EACH = 10.0, 0.1
REMEMBERED = 3600.0             # seconds for which an answer of `ssh -G` is used
_PLAIN = re.compile(r'/[A-Za-z0-9_./+-]*')


class Sockets(NamedTuple):
    """A directory for sockets; or '', and the problem with it."""

    directory: str
    problem: str = ''


def sockets(environ, uid):
    """The Sockets of a user: a directory in $XDG_RUNTIME_DIR or in /tmp, created with mode 0700 if
    it does not exist.
    """
    runtime = environ.get('XDG_RUNTIME_DIR', '')
    problem = ''
    for path in ([os.path.join(runtime, 'lwt')] if runtime else []) + ['/tmp/lwt-%d' % uid]:
        problem = _why_not(path, uid)
        if not problem:
            return Sockets(path)
    return Sockets('', problem)


def _why_not(path, uid):
    """The reason why a directory cannot hold sockets, or ''.  Creates the directory."""
    if len(path) > MAX_DIRECTORY or not _PLAIN.fullmatch(path):
        return '%s: path too long or with unusual characters for a socket' % path
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        info = os.lstat(path)
    except OSError as error:
        return '%s: %s' % (path, error.strerror)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != uid or info.st_mode & 0o077:
        return '%s: not a private directory of yours' % path
    return ''


class _Greeting(Sink):
    """The output of a master: a line when it is ready, or messages of ssh.  exit_status.judge uses
    it in place of a frame.
    """

    code = failure = None
    cause = ''
    shell_output = last_words = b''
    is_output_cut = False

    def __init__(self):
        self.started = False
        self.ssh_output = bytearray()

    def feed(self, stream, data):
        """Take bytes of a stream."""
        if stream == 'stdout':
            self.started = True
        elif len(self.ssh_output) < host_limits.NOISE:
            self.ssh_output += data


@contextlib.contextmanager
def _held(session, master):
    try:
        yield session
    finally:
        if master is not None:
            master.kill()
            with contextlib.suppress(OSError):
                os.unlink(session.transport.control_path)


def connected(session, host):
    """Flow: log in once for several steps; returns a context manager that gives their Session.

    If this ssh cannot share connections, each step logs in itself.  Raises HostError if the login
    fails.
    """
    session = session.at(host)
    if host.is_local or session.transport.control_path or not session.sockets:
        return _held(session, None)         # this machine, a kept connection, or plain logins
    path = os.path.join(session.sockets, session.nonce()[:24])
    transport = session.transport._replace(control_path=path)
    master = None

    def log_in():
        nonlocal master
        greeting = _Greeting()
        answer = yield Command(
            ssh.master_argv(transport, host), env=dict(transport.env or {}, SHELL='/bin/sh'),
            hello=session.limits().hello,
            grace=session.settings.grace, sink=greeting, gate=session.gate, beside='background',
            label=host.name)
        if isinstance(answer, Result):
            return exit_status.judge(answer, greeting)
        master = answer
        events.note('logged in', host.name)
        return exit_status.Verdict('ok', 0)

    verdict = yield from logging_in(session, log_in)
    if verdict.ok:
        return _held(session._replace(transport=transport, gate=None), master)
    if verdict.kind in ('refused', 'lost') and verdict.ran != 'no':
        return _held(session, None)         # this ssh cannot share connections: plain logins
    raise HostError(host.name, verdict)


# -- gates -----------------------------------------------------------------------------------------

_ASK = """for host do
  printf 'asked %%s\\n' "$host"
  %s "$host"
done 2>/dev/null | sed -n -E '/^(asked|hostname|port|proxyjump) /p'"""


def learn_gates(run, session, hosts):
    """Fill session.gates: one Gate for all hosts with the same address or jump host, as `ssh -G`
    reports them.

    Does nothing if there cannot be more than `logins` logins in progress.  Hosts with a kept
    connection get no Gate, because they need no login.
    """
    settings, transport = session.settings, session.transport
    names = [host.name for host in hosts if not host.is_local]
    if settings.persist and session.sockets:
        kept = {name.partition('.')[0] for name in os.listdir(session.sockets)}
        names = [name for name in names if ssh.kept_prefix(transport.way, name) not in kept]
    if session.gates is None or min(len(names), settings.fanout) <= settings.logins:
        return
    ways = _remembered(session)
    unknown = [name for name in names if name not in ways]
    if unknown:
        askers = os.cpu_count() or 1
        for found in run.reports(
                [_ask(session, unknown[start::askers]) for start in range(askers)]):
            ways.update(found)
        _remember(session, ways)
    gates = {}
    for name in names:
        session.gates[name] = gates.setdefault(ways.get(name, name), Gate(settings.logins))


def _memory(session):
    return os.path.join(session.sockets, 'ways.' + ssh.kept_prefix(session.transport.way, ''))


def _remembered(session):
    """{name: way} as ssh reported it in the last hour; {} if its configuration is newer.

    Changes in included files are not noticed.  Then more logins than allowed may be in progress for
    up to an hour, which does no harm.
    """
    import json                         # here, because runs on few hosts do not need it
    path = _memory(session)
    try:
        told_at = os.stat(path).st_mtime
        config = (session.transport.config
                  or os.path.join(session.transport.login_dir, '.ssh', 'config'))
        changed_at = os.stat(config).st_mtime if os.path.exists(config) else 0
        if not changed_at < told_at <= time.time() < told_at + REMEMBERED:
            return {}
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def _remember(session, ways):
    import json
    if session.sockets:
        with contextlib.suppress(LocalError):
            files.write_atomic(_memory(session), json.dumps(ways))


def _ask(session, names):
    """Flow: {name: way} as ssh reports it; hosts that it does not report in time are left out."""
    transport = session.transport
    script = _ASK % ' '.join(map(shlex.quote, ssh.query_argv(transport)))
    result = yield Command(('/bin/sh', '-c', script, 'lwt') + tuple(names), env=transport.env,
                           timeout=ASK_TIME + ASK_TIME_EACH * len(names))
    return parse_ways(result.stdout.decode('utf-8', 'replace'))


def parse_ways(text):
    """{name: way} in the output of _ASK.  The way is a jump host, or an address and port."""
    found = {}
    for part in re.split('^asked ', text, flags=re.MULTILINE):
        name, _newline, lines = part.partition('\n')
        told = ssh.parse_query(lines)
        jump = told.get('proxyjump', 'none').split(',')[0]
        if jump != 'none':
            found[name] = 'by ' + jump
        elif 'hostname' in told:
            found[name] = '%s port %s' % (told['hostname'], told.get('port', '22'))
    return found
