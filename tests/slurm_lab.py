"""A lab with a real Slurm on this machine: a controller and node daemons that share its hostname.

All files are in one directory: the configuration, the key and socket of munge, the state of the
daemons. The ports are its own, so that several labs can run at the same time. For root.

    python3 -m tests.lab slurm [NODES]         start; runs until ^C
"""

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from tests import lab

SBIN = '/usr/sbin:/sbin:/usr/local/sbin'
DAEMONS = ('munged', 'slurmctld', 'slurmd')
CLIENTS = ('sbatch', 'squeue', 'scancel', 'scontrol', 'sinfo')

CONFIG = '''\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
CredType=cred/munge
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool/%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
KillWait={kill_wait}
SlurmdTimeout=15
MinJobAge=300
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,requeue_delay=1
{more}
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs={cpus} \
RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=n[1-{nodes}] Default=YES MaxTime=INFINITE State=UP
PartitionName=other Nodes=n[1-{nodes}] AllowAccounts=nobody State=UP
'''


def program(name):
    """Return the path of a program, or None."""
    return shutil.which(name, path=SBIN + ':' + os.environ.get('PATH', ''))


@functools.lru_cache(None)
def why_not():
    """Return why a Slurm cannot be started on this machine, or ''."""
    if os.getuid() != 0:
        return 'needs root'
    missing = [name for name in DAEMONS + CLIENTS if program(name) is None]
    return 'not installed: ' + ' '.join(missing) if missing else ''


class SlurmLab(lab.RunningLab):
    """One Slurm; use it as a context manager, or call up() and down().

    nodes: how many.  cpus: of each node.  settings: lines for slurm.conf.
    """

    kill_wait = 2       # seconds between TERM and KILL of a job

    def __init__(self, nodes=3, directory=None, cpus=2, settings=()):
        self.nodes = ['n%d' % number for number in range(1, nodes + 1)]
        self.directory = directory or tempfile.mkdtemp(prefix='lwt-slurm.',
                                                       dir=lab.labs_directory())
        self._cpus = cpus
        self._settings = tuple(settings)
        self._running = {}              # name of a daemon, or of the node of a slurmd -> pid
        self._reservations = []
        self._config = ''

    @property
    def variables(self):
        """The environment variables with which the commands of Slurm find this lab."""
        return {'SLURM_CONF': self.path('slurm.conf')}

    def up(self):
        """Start all daemons, and wait until the nodes can take jobs."""
        atexit.register(self.down)
        for name in ('state', 'spool'):
            os.makedirs(self.path(name), exist_ok=True)
        os.chmod(self.directory, 0o755)         # munge refuses a directory that others can write
        with open(self.path('munge.key'), 'wb') as file:
            os.fchmod(file.fileno(), 0o400)
            file.write(os.urandom(1024))
        self._configure()
        self.start('munged')
        self._await(lambda: os.path.exists(self.path('munge.socket')), 'munged')
        self.start('slurmctld')
        for node in self.nodes:
            os.makedirs(self.path('spool', node), exist_ok=True)
            self.start(node)
        self._await(self.is_ready, 'slurmctld')

    def _configure(self):
        port, reservation = lab.reserve_port()
        first, reservations = _reserve_ports(len(self.nodes))
        self._reservations += [reservation] + reservations
        self._config = CONFIG.format(
            host=socket.gethostname().partition('.')[0], port=port, directory=self.directory,
            nodes=len(self.nodes), first=first, last=first + len(self.nodes) - 1, cpus=self._cpus,
            kill_wait=self.kill_wait, more='\n'.join(self._settings))
        self._write_config(self._config)

    def _write_config(self, text):
        with open(self.path('slurm.conf'), 'w') as file:
            file.write(text)

    def configure(self, *settings):
        """Replace the further lines of slurm.conf, and restart the controller."""
        keys = [line.partition('=')[0] + '=' for line in settings]
        kept = [line for line in self._config.splitlines() if not line.startswith(tuple(keys))]
        self._write_config('\n'.join(list(settings) + kept) + '\n')
        self.stop('slurmctld', signal.SIGTERM)          # it saves its state
        self.start('slurmctld')
        self._await(lambda: self.run('sinfo', '-h', '-o', '%D'), 'slurmctld')

    def start(self, name):
        """Start a daemon: munged, slurmctld, or the slurmd of a node."""
        if name == 'munged':
            argv = ['munged', '--force', '--key-file=' + self.path('munge.key'),
                    '--socket=' + self.path('munge.socket'),
                    '--pid-file=' + self.path('munged.pid'),
                    '--log-file=' + self.path('munged.log'),
                    '--seed-file=' + self.path('munge.seed')]
        elif name == 'slurmctld':
            argv = ['slurmctld']
        else:
            argv = ['slurmd', '-N', name]
        pid_file = self.path(name + '.pid')
        if os.path.exists(pid_file):
            os.unlink(pid_file)
        # It continues in the background.
        lab.run(program(argv[0]), *argv[1:], cwd=self.directory,
                env=dict(os.environ, **self.variables))
        self._await(lambda: _content(pid_file).strip(), name)
        self._running[name] = int(_content(pid_file))

    def send(self, name, signum):
        """Send a signal to a daemon."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._running[name], signum)

    def stop(self, name, signum=signal.SIGKILL):
        """End a daemon."""
        self.send(name, signum)
        pid = self._running.pop(name)
        while _lives(pid):
            time.sleep(0.01)

    def is_ready(self):
        """Whether all nodes are idle."""
        return self.run('sinfo', '-h', '-t', 'idle', '-p', 'main', '-o', '%D') == str(
            len(self.nodes))

    def _await(self, condition, name):
        end = time.monotonic() + 60
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError('%s did not start: %s'
                                   % (name, _content(self.path(name + '.log'))[-500:]))
            time.sleep(0.02)

    def run(self, *argv, check=False):
        """Return the output of a command of Slurm; '' if it fails, unless that raises an error."""
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=dict(os.environ, **self.variables))
        text = done.stdout.decode('utf-8', 'replace').strip()
        if check and done.returncode:
            raise RuntimeError('%s: %s' % (' '.join(argv), text))
        return '' if done.returncode else text

    def jobs(self):
        """Return [(id, state)] of the jobs in the queue."""
        lines = self.run('squeue', '-h', '-r', '-o', '%i %T').splitlines()
        return [tuple(line.split()) for line in lines]

    def down(self):
        """End every process, and remove everything that was made."""
        atexit.unregister(self.down)
        for name in reversed(list(self._running)):
            self.stop(name)
        self._end_steps()
        for reservation in self._reservations:
            reservation.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end_steps(self):
        """End the jobs, which are no children of the daemons, and the processes above them."""
        wanted = os.fsencode('SLURM_CONF=' + self.path('slurm.conf'))
        for _round in range(5):
            found = [pid for pid in map(int, filter(str.isdigit, os.listdir('/proc')))
                     if pid != os.getpid() and wanted in _environment(pid)]
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not found:
                return
            time.sleep(0.05)


def _content(path):
    try:
        with open(path, errors='replace') as file:
            return file.read()
    except OSError:
        return ''


def _lives(pid):
    """Whether a process lives and is no zombie."""
    fields = _content('/proc/%d/stat' % pid).rpartition(') ')[2].split()
    return bool(fields) and fields[0] not in 'ZX'


def _environment(pid):
    try:
        with open('/proc/%d/environ' % pid, 'rb') as file:
            return file.read().split(b'\0')
    except OSError:
        return []


def _reserve_ports(count):
    """Return (the first of so many free ports in a row, their reservations)."""
    while True:
        first, reservation = lab.reserve_port()
        found = [reservation]
        try:
            for port in range(first + 1, first + count):
                found.append(lab.reserve_this_port(port))
            return first, found
        except OSError:
            for each in found:
                each.close()


def by_hand(nodes):
    """Run a lab until ^C or a TERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with SlurmLab(nodes) as slurm:
        print('# a Slurm with %d nodes and the partition main; ^C ends it.  In another shell:'
              % nodes)
        print('export SLURM_CONF=%s' % slurm.variables['SLURM_CONF'])
        print("# a line of host.list: localhost<tab>local<tab>~<tab>launcher=slurm", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                signal.pause()
    return 0


if __name__ == '__main__':
    sys.exit(by_hand(int(sys.argv[1]) if sys.argv[1:] else 3))
