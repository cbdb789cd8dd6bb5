"""lwt put compared with xargs+scp, parallel-scp and clush --copy, on lab hosts."""

import os

from bench.measure import LWT, Peer, compare, has_lab
from tests import lab

HOSTS = 9
SIZE = 1800000          # bytes: the system that lwt replaces was measured with this size


def measure(rounds, env):
    """Print the tables of `lwt put`."""
    if not has_lab():
        return
    with lab.Lab(HOSTS) as hosts:
        names = ','.join(hosts.names)
        listing, source = hosts.path('list'), hosts.path('data')
        with open(listing, 'w') as file:
            file.write('\n'.join(hosts.names) + '\n')
        with open(source, 'wb') as file:
            file.write(os.urandom(SIZE))
        options = '-F %s' % hosts.ssh_config
        clean = 'rm -f %s/h*/home/copy.*' % hosts.directory
        env = dict(env, LWT_SSH_CONFIG=hosts.ssh_config)
        compare('put %.1f MB to %d hosts, cold' % (SIZE / 1e6, HOSTS),
                '%s; %s put -w %s %s copy.lwt' % (clean, LWT, names, source), (
                    Peer('xargs', "%s; xargs -P%d -I{} scp -q %s %s {}:copy.xargs < %s"
                         % (clean, HOSTS, options, source, listing), 1),
                    Peer('parallel-scp', "%s; parallel-scp -x '%s' -p 32 -h %s %s copy.pscp"
                         % (clean, options, listing, source), 1),
                    Peer('clush', "%s; clush -o '%s' -f 32 -w %s --copy %s --dest copy.clush"
                         % (clean, options, names, source), 1)), rounds, env)
        compare('the same file again', '%s put -w %s %s copy.lwt' % (LWT, names, source), (
            Peer('xargs', 'xargs -P%d -I{} scp -q %s %s {}:copy.xargs < %s'
                 % (HOSTS, options, source, listing), 1),), rounds,
                env)
