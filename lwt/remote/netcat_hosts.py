"""Connections between hosts by netcat: the netcat program of a host, and the host's address."""

from __future__ import generator_stop

import os
from typing import NamedTuple

from lwt import netcat, ssh
from lwt.errors import HostError
from lwt.proc import Command
from lwt.remote import call, exit_status

ASK_TIME = 20.0                 # seconds for ssh -G, which may run programs of ssh_config


class End(NamedTuple):
    """One end of a connection: the netcat of a host, and the host's address as its sshd sees it."""

    program: netcat.Program
    address: str

    @property
    def listening(self):
        """The command line of a listener on this host."""
        return self.program.listen(self.address)


def end(session, host):
    """Flow: the End of a host.  Raises HostError if the host has no netcat or cannot be asked."""
    output = call.Collector()
    verdict = yield from call.command(session, host, netcat.PROBE, (), output)
    if not verdict.ok:
        raise HostError(host.name, verdict)
    address, program = netcat.parse(output.stdout.decode('utf-8', 'replace'))
    if program is None:
        raise HostError(host.name,
                        exit_status.Verdict('failed', 1, 'no supported netcat found (%s)'
                                            % ', '.join(netcat.NAMES)))
    return End(program, address)


def tokens():
    """New netcat.Tokens for one listener."""
    return netcat.Tokens(os.urandom(16).hex(), os.urandom(16).hex())


def here(transport):
    """Flow: the netcat of this machine, or None."""
    result = yield Command(('/bin/sh', '-c', netcat.PROBE), env=transport.env, timeout=ASK_TIME)
    return netcat.parse(result.stdout.decode('utf-8', 'replace'))[1]


def address(session, host):
    """Flow: the HostName of a host in the configuration of ssh, so that an alias works."""
    if host.is_local:
        return '127.0.0.1'
    transport = session.transport
    argv = ssh.query_argv(transport) + (host.name,)
    result = yield Command(argv, env=transport.env, timeout=ASK_TIME)
    return ssh.parse_query(result.stdout.decode('utf-8', 'replace')).get('hostname', host.name)


def reached(session, host):
    """Flow: the addresses at which ssh reaches a host, in order of preference.

    Returns a tuple of numeric addresses.  If this machine cannot resolve the name, the tuple has
    only the name; if the name is not valid, it is empty.  Returns None for this machine itself,
    which may report its own address.
    """
    if host.is_local:
        return None
    name = yield from address(session, host)
    if netcat.is_address(name):
        return (name,)
    if not netcat.is_name(name):
        return ()
    # getent(1) resolves names as ssh does.  getaddrinfo(3) in this process would block the loop.
    result = yield Command(('getent', 'ahosts', name), env=session.transport.env, timeout=ASK_TIME)
    lines = result.stdout.decode('ascii', 'replace').splitlines()
    words = (line.split(' ', 1)[0] for line in lines)
    return tuple(dict.fromkeys(word for word in words if netcat.is_address(word))) or (name,)
