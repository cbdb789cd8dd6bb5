"""Shared logins: sockets of kept connections, one login for several steps, and the limit of logins
in progress.

    plain     one step, one login; nothing is shared
    shared    several steps use one connection: `connected` logs in, as a child in the background
              that ends with its flow
    kept      option persist: the first step leaves a connection open for that long, and later
              steps of this run or the next use it; ssh makes the connection, detached from lwt,
              and finds it again

If the connection cannot be used (a stale socket, a master that died before it opened the session,
a host that allows no more sessions), ssh logs in by itself; nothing had run yet.  A kept connection
ends if its host is silent for hello_timeout; a step that waits for it then logs in.
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
from lwt.remote import budgets, events, verdicts
from lwt.remote.call import logging_in
from lwt.selectors_loop import Sink
from lwt.workspace import files

# Of the 108 bytes of a socket's name, ssh takes 18 for the time of its making.
MAX_DIRECTORY = 90 - len('/01234567.') - 40
# Seconds, and for each host: ssh -G takes 6 ms, unless its configuration asks others.
ASK_TIME, ASK_TIME_EACH = 10.0, 0.1
REMEMBERED = 3600.0             # seconds that an answer of ssh -G is good for
_PLAIN = re.compile(r'/[A-Za-z0-9_./+-]*')


class Sockets(NamedTuple):
    """A directory for sockets, or '' and why there is none."""

    directory: str
    problem: str = ''


def sockets(environ, uid):
    """The Sockets of a user: a directory, 0700, that is made if need be, in $XDG_RUNTIME_DIR or in
    /tmp.
    """
    runtime = environ.get('XDG_RUNTIME_DIR', '')
    problem = ''
    for path in ([os.path.join(runtime, 'lwt')] if runtime else []) + ['/tmp/lwt-%d' % uid]:
        problem = _why_not(path, uid)
        if not problem:
            return Sockets(path)
    return Sockets('', problem)


def _why_not(path, uid):
    """Why sockets cannot be in a directory, or ''."""
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
    """What a master says: a line when it serves, words of ssh when it does not.  It stands for a
    frame in verdicts.judge.
    """

    code = failure = None
    cause = ''
    shell_output = last_words = b''
    is_output_cut = False

    def __init__(self):
        self.started = False
        self.ssh_output = bytearray()

    def feed(self, stream, data):
        """Take bytes."""
        if stream == 'stdout':
            self.started = True
        elif len(self.ssh_output) < budgets.NOISE:
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
    """Flow: log in for several steps; returns a context manager that gives the Session for them.

    Raises HostError when the host cannot be reached.
    """
    session = session.at(host)
    if host.is_local or session.transport.control_path or not session.sockets:
        return _held(session, None)         # this machine; or kept; or each step by itself
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
            return verdicts.judge(answer, greeting)
        master = answer
        events.note('logged in', host.name)
        return verdicts.Verdict('ok', 0)

    verdict = yield from logging_in(session, log_in)
    if verdict.ok:
        return _held(session._replace(transport=transport, gate=None), master)
    if verdict.kind in ('refused', 'lost') and verdict.ran != 'no':
        return _held(session, None)         # an ssh that cannot share, whatever it says
    raise HostError(host.name, verdict)


# -- gates -----------------------------------------------------------------------------------------

_ASK = """for host do
  printf 'asked %%s\\n' "$host"
  %s "$host"
done 2>/dev/null | sed -n -E '/^(asked|hostname|port|proxyjump) /p'"""


def learn_gates(run, session, hosts):
    """Ask ssh where hosts lie, and fill session.gates, if there may be more than `logins` under way
    at once.

    Hosts to which a connection is kept are left out: they need no login.
    """
    settings, transport = session.settings, session.transport
    names = [host.name for host in hosts if not host.is_local]
    if settings.persist and session.sockets:
        kept = {name.partition('.')[0] for name in os.listdir(session.sockets)}
        names = [name for name in names if ssh.kept_prefix(transport.config, name) not in kept]
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
    return os.path.join(session.sockets, 'ways.' + ssh.kept_prefix(session.transport.config, ''))


def _remembered(session):
    """{name: way} of what ssh told in the last hour, unless its configuration is younger.  (If it
    has changed in a file that is included, more logins may be under way than there should be, for
    an hour; no harm is done.)
    """
    import json                         # here, for it is not needed for few hosts
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
    """Flow: {name: the way to it} as ssh tells it; what it does not tell in time is left out."""
    transport = session.transport
    script = _ASK % ' '.join(map(shlex.quote, ssh.query_argv(transport)))
    result = yield Command(('/bin/sh', '-c', script, 'lwt') + tuple(names), env=transport.env,
                           timeout=ASK_TIME + ASK_TIME_EACH * len(names))
    return parse_ways(result.stdout.decode('utf-8', 'replace'))


def parse_ways(text):
    """{name: way} of what _ASK prints; the way is a jump host, or an address and port."""
    found, name, told = {}, '', {}
    for line in text.splitlines():
        key, _space, value = line.partition(' ')
        if key == 'asked':
            name, told = value, {}
        else:
            told[key] = value
        jump = told.get('proxyjump', 'none').split(',')[0]
        if jump != 'none':
            found[name] = 'by ' + jump
        elif 'hostname' in told:
            found[name] = '%s port %s' % (told['hostname'], told.get('port', '22'))
    return found
