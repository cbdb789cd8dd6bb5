"""The queue of tasks beside GNU parallel with file transfer, on lab hosts."""

import os
import subprocess
import tempfile

from bench.measure import LWT, Peer, compare
from tests import lab

HOSTS = 20


def measure(rounds, env):
    """Print the tables of `lwt task`."""
    reason = lab.why_not_root_lab()
    if reason:
        print('work on hosts is left out: ' + reason)
        return
    with lab.Lab(HOSTS) as hosts, tempfile.TemporaryDirectory() as scratch:
        env = dict(env, LWT_WORKSPACE=scratch, LWT_SSH_CONFIG=hosts.ssh_config)
        subprocess.run(['bash', '-c', '%s -q init %s' % (LWT, scratch)], env=env, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        _write(scratch, 'host.list', ''.join('%s\tlab\t~\tslots=4\n' % name for name in hosts.names))
        os.makedirs(os.path.join(scratch, 'description', 'copy'))
        _write(scratch, 'description/copy/desc', 'exec : cat input > output\nd_fetch : output\n')
        _write(scratch, 'description/copy/input', 'x' * 10000)
        _write(scratch, 'sshlogins', ''.join('4/ssh -F %s %s\n' % (hosts.ssh_config, name) for name in hosts.names))
        compare('60 tasks, an input and a result of 10 kB each, %d hosts' % HOSTS,
                '%s -q task add copy --array 1-60 && %s -q task run' % (LWT, LWT), (
                    Peer('parallel rsync', 'cd {0} && for i in $(seq 60); do head -c 10000 /dev/zero > in.$i; done && '
                         'ls in.* | parallel --sshloginfile sshlogins --transferfile {{}} --return {{}}.out --cleanup '
                         "'cat {{}} > {{}}.out'".format(scratch)),), min(rounds, 2), env)


def _write(scratch, name, text):
    with open(os.path.join(scratch, name), 'w') as file:
        file.write(text)
