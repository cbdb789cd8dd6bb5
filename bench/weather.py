"""lwt monitor compared with xargs+ssh on lab hosts; and the cost of failed hosts for a pass,
compared with the same pass without failed hosts.
"""

import os
import shutil
import tempfile

from bench.measure import LWT, Peer, compare, has_lab, report, use_of
from tests import lab

MONITORED = 70
VISITED = 40
BLACK_HOLES, REFUSING = 8, 2
CONNECT_TIMEOUT = 4


def measure(rounds, env):
    """Print the tables of `lwt monitor` and of passes with failed hosts."""
    if not has_lab():
        return
    with lab.Lab(MONITORED,
                 max_startups='200') as hosts, tempfile.TemporaryDirectory(dir='/tmp') as runtime:
        env = dict(env, LWT_SSH_CONFIG=hosts.ssh_config, XDG_RUNTIME_DIR=runtime,
                   LWT_CONNECT_TIMEOUT=str(CONNECT_TIMEOUT))
        listing = hosts.path('list')
        with open(listing, 'w') as file:
            file.write('\n'.join(hosts.names) + '\n')
        compare('the load of %d hosts, cold' % MONITORED,
                '%s -q monitor -w "h[1-%d]"' % (LWT, MONITORED), [
                    Peer('xargs',
                         'xargs -P32 -I{} ssh -F %s {} true < %s' % (hosts.ssh_config, listing),
                         1 / 1.3)], rounds, env)
        alive = [min(times) for times in zip(*(_passes(hosts, env) for _ in range(rounds)))]
        for name in hosts.names[:BLACK_HOLES]:
            hosts.black_hole(name)
        for name in hosts.names[BLACK_HOLES:BLACK_HOLES + REFUSING]:
            hosts.refuse(name)
        sick = [min(times) for times in zip(*(_passes(hosts, env) for _ in range(rounds)))]
        for name in hosts.names[:BLACK_HOLES + REFUSING]:
            hosts.heal(name)
    title = 'a pass over %d hosts, %d black holes, %d refusing' % (VISITED, BLACK_HOLES, REFUSING)
    print('passes with all alive: %.3f s, then %.3f s' % tuple(alive))
    report(title, sick[0], 's', '<= 4 s + 1.5 x all alive',
           sick[0] <= CONNECT_TIMEOUT + 1.5 * alive[0])
    report('the next pass', sick[1] / alive[1], 'x all alive', '<= 1.2', sick[1] <= 1.2 * alive[1])


def _passes(hosts, env):
    """Return the seconds of the first two passes of a new workspace, with one task for each working
    host.
    """
    place = tempfile.mkdtemp(prefix='lwt-bench.')
    try:
        use_of('%s -q init %s' % (LWT, place), env)
        with open(os.path.join(place, 'host.list'), 'w') as file:
            file.write(''.join('%s\tlab\t~\n' % name for name in hosts.names[:VISITED]))
        times = []
        for _pass in range(2):
            use_of('%s -C %s task add sample --array 1-%d' % (LWT, place, VISITED), env)
            used = use_of('%s -C %s -q task update; [ $? -le 3 ]' % (LWT, place), env)
            times.append(used.wall if used else float('inf'))
        use_of('%s -C %s -q task run -q' % (LWT, place), env)
        return times
    finally:
        shutil.rmtree(place)
