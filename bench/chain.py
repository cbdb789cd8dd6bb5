"""lwt put to sixteen hosts with links of 100 Mbit/s: from host to host (--chain), compared with a
put to one host and with a put to all hosts from this machine.
"""

import os
import subprocess

from bench.measure import LWT, has_lab, report, use_of
from tests import lab

HOSTS = 16
SIZE = 64000000
BAR = 1.5               # times one host
LINK = ('root', 'tbf', 'rate', '100mbit', 'burst', '64kb', 'latency', '50ms')


def measure(rounds, env):
    """Print how long a chain and a star take, as multiples of the time for one host."""
    if not has_lab():
        return
    with lab.Lab(HOSTS) as hosts:
        _slow_links(hosts)
        source = hosts.path('data')
        with open(source, 'wb') as file:
            file.write(os.urandom(SIZE))
        env = dict(env, LWT_SSH_CONFIG=hosts.ssh_config)
        clean = 'rm -f %s/h*/home/copy' % hosts.directory
        everybody = ','.join(hosts.names)
        one = _best(rounds, '%s; %s put -w h1 %s copy' % (clean, LWT, source), env)
        chain = _best(rounds, '%s; %s put -w %s %s copy' % (clean, LWT, everybody, source), env)
        star = _best(1, '%s; %s put --star -w %s %s copy' % (clean, LWT, everybody, source), env)
        title = ('put %d MB to %d hosts at 100 Mbit/s; one host alone takes %.1f s'
                 % (SIZE / 1e6, HOSTS, one))
        report(title, chain / one, 'x one host', '%.1f or less' % BAR, chain <= BAR * one)
        print('  %-14s %8.3f x one host' % ('lwt --star', star / one))


def _best(rounds, command, env):
    used = [use_of(command, env) for _round in range(rounds)]
    return min(one.wall if one else float('inf') for one in used)


def _slow_links(hosts):
    """Limit both directions of each host's link, and the link of this machine."""
    for name in hosts.names:
        hosts.inside(name, 'tc', 'qdisc', 'replace', 'dev', 'eth0', *LINK)
        subprocess.run(('tc', 'qdisc', 'replace', 'dev', 'lwt%so%s' % (hosts.tag, name[1:])) + LINK,
                       check=True)
    subprocess.run(('tc', 'qdisc', 'replace', 'dev', hosts._bridge) + LINK, check=True)
