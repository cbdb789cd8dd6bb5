"""lwt exec compared with xargs+ssh, pdsh, clush, pssh and GNU parallel on lab hosts; and the cost
of lwt itself, with a stub for ssh.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile

from bench.measure import LWT, Peer, children_cpu, compare, has_lab, report, use_of
from lwt import ssh
from lwt.remote import scripts
from lwt.workspace.hostlist import Host
from tests import lab

HOSTS = 100
FANOUT = 32
CPU_BAR = 1.0                   # ms of lwt's own cpu time for each host
GUARD_BAR = 1.5                 # ms of a host's cpu time for the guard of one command
MEMORY_BAR = 40.0               # MB
SHELLS = ('dash', 'bash', 'busybox sh')
COMMANDS = 200                  # commands of which the cpu time on a host is the median

# An ssh that runs the command on this machine.
STUB = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nexec sh -c "$3"\n'
OWN_CPU = '''
import resource, sys
from lwt import cli
code = cli.main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, file=sys.stderr)
sys.exit(code)
'''


def measure(rounds, env):
    """Print the tables of `lwt exec`."""
    _own_cost(env)
    for shell in SHELLS:
        if shutil.which(shell.split()[0]):
            _guard_cost(shell)
    if not has_lab():
        return
    with lab.Lab(HOSTS,
                 max_startups='200') as hosts, tempfile.TemporaryDirectory(dir='/tmp') as runtime:
        names = ','.join(hosts.names)
        listing = hosts.path('list')
        with open(listing, 'w') as file:
            file.write('\n'.join(hosts.names) + '\n')
        env = dict(env, LWT_SSH_CONFIG=hosts.ssh_config, XDG_RUNTIME_DIR=runtime)
        ours = '%s exec -f %d -w "h[1-%d]"' % (LWT, FANOUT, HOSTS)
        compare('echo on %d hosts, fanout %d, cold; lwt with its guard on each' % (HOSTS, FANOUT),
                ours + ' -- echo x',
                _peers(hosts.ssh_config, names, listing, (1 / 1.2, 1, 1)), rounds, env)
        kept = dict(env, LWT_PERSIST='60')
        use_of(ours + ' -- true', kept)
        compare('the same, connections kept from a run before; peers cold', ours + ' -- echo x',
                _peers(hosts.ssh_config, names, listing, (4, 4, 4, 4, 4)), rounds, kept)
        shared = '-o ControlMaster=auto -o ControlPersist=60 -o ControlPath=%s/%%C' % runtime
        xargs = _peers(hosts.ssh_config, names, listing, (1 / 1.5,), shared)[:1]
        use_of(xargs[0].command, kept)
        compare('the same, connections of both kept', ours + ' -- echo x', xargs, rounds, kept)


def _peers(config, names, listing, bars, more=''):
    options = '-F %s %s' % (config, more)
    commands = (
        ('xargs', 'xargs -P%d -I{} ssh %s {} echo x < %s' % (FANOUT, options, listing)),
        ('pdsh',
         "PDSH_SSH_ARGS='%s -a -x %%h' pdsh -R ssh -f %d -w %s echo x" % (options, FANOUT, names)),
        ('parallel-ssh', "parallel-ssh -x '%s' -p %d -h %s echo x" % (options, FANOUT, listing)),
        ('clush', "clush -o '%s' -f %d -w %s echo x" % (options, FANOUT, names)),
        ('parallel', 'parallel -j%d ssh %s {} echo x :::: %s' % (FANOUT, options, listing)))
    return [Peer(program, command, bar)
            for (program, command), bar in zip(commands, bars + (0,) * len(commands))]


def _own_cost(env):
    with tempfile.TemporaryDirectory() as scratch:
        stub = os.path.join(scratch, 'ssh')
        with open(stub, 'w') as file:
            file.write(STUB)
        os.chmod(stub, 0o755)
        env = dict(env, PATH=scratch + ':' + env['PATH'])
        few, many = _own_cpu(1000, env), _own_cpu(10000, env)
        report('1,000 hosts through a stub for ssh: cpu of lwt itself', few, 'ms a host', '<= 1',
               few <= CPU_BAR)
        report('10,000 hosts: the same', many, 'ms a host', '<= 1.2 x that of 1,000',
               many <= 1.2 * few)
        used = use_of('exec %s exec -f 100 -w "h[1-1000]" -- echo x' % LWT, env)
        report('fanout 100: peak memory', used.memory, 'MB', '<= 40', used.memory <= MEMORY_BAR)


def _guard_cost(shell):
    """Compare the cpu time of a guarded command with that of `sh -c`, as a login shell starts both.
    """
    frame = scripts.Framed('0' * 32, lambda _stream, _data: None)
    command = scripts.guarded(ssh.Transport('ssh', 'scp'), Host('h'), 'true', (), frame,
                              scripts.Deadlines())
    line = command.argv[-1].replace('/bin/sh', shell, 1)
    costs = ([], [])
    for _each in range(COMMANDS):
        for script, stdin, cost in ((line, command.stdin, costs[0]), ('true', b'', costs[1])):
            cost.append(_cpu_of(shell.split() + ['-c', script], stdin))
    guarded, bare = (1000 * statistics.median(cost) for cost in costs)
    report('%s: cpu of a guarded command on its host, over the %.2f ms of %s -c'
           % (shell, bare, shell), guarded - bare, 'ms', '<= %.1f' % GUARD_BAR,
           guarded - bare <= GUARD_BAR)


def _cpu_of(argv, stdin):
    """Run a command with an open standard input until it ends its output; return its cpu time."""
    before = children_cpu()
    env = {'PATH': '/usr/local/bin:/usr/bin:/bin', 'HOME': '/'}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env,
                          stderr=subprocess.DEVNULL, start_new_session=True) as popen:
        popen.stdin.write(stdin)
        popen.stdin.flush()
        popen.stdout.read()
    return children_cpu() - before


def _own_cpu(count, env):
    done = subprocess.run([sys.executable, '-c', OWN_CPU, 'exec', '-w', 'h[1-%d]' % count, '--',
                           'echo x'], env=env, check=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return float(done.stderr.split()[-1]) / count * 1000
