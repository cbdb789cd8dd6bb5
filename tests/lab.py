"""A lab of real hosts: each has its own sshd, network, hostname, home and temporary directory, and
named faults.

As root, Lab makes hosts in network namespaces on a bridge, each with private mounts over the home
and /tmp. As any user, LoopbackLab makes one sshd for each host on a loopback port, with a HOME of
its own. Both give an ssh configuration to use with LWT_SSH_CONFIG. Everything that is started is
ended; nothing leaves this machine. The HOME and umask of the user who runs the tests do not affect
the hosts.

As a command:

    python3 -m tests.lab up 20 [DIRECTORY]     start; prints what to export, and the directory
    python3 -m tests.lab fault DIRECTORY HOST NAME [VALUE]
    python3 -m tests.lab heal DIRECTORY HOST
    python3 -m tests.lab down DIRECTORY
    python3 -m tests.lab slurm [NODES]         a Slurm on this machine (see slurm_lab.py) until ^C

Faults: black_hole, refuse, loss PROBABILITY, rate KBIT, kill_sshd, full_disk, new_boot_id,
stop_sshd, only_sftp, only_scp, no_sftp, no_tar.
"""

import atexit
import contextlib
import fcntl
import functools
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time


def _home_of_root():
    try:
        return pwd.getpwuid(0).pw_dir
    except KeyError:
        return '/'


# The HOME of a login of root: that of the password database, whatever HOME the tests have.
ROOT_HOME = _home_of_root()
FULL_DISK_KIB = 64
# The algorithm that OpenSSH 9 prefers costs the client 0.13 s of processor time.
QUICK_KEY_EXCHANGE = 'curve25519-sha256'
SSHD = shutil.which('sshd', path='/usr/sbin:/sbin:/usr/local/sbin:' + os.environ.get('PATH', ''))

SSHD_CONFIG = '''\
Port {port}
ListenAddress {address}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
PidFile {home}.pid
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
AcceptEnv LANG LC_*
PrintMotd no
LogLevel QUIET
KexAlgorithms {key_exchange}
MaxStartups {max_startups}
Subsystem sftp internal-sftp
{more}'''

SSH_CONFIG = '''\
Host {name}
    HostName {address}
    Port {port}
    IdentityFile {directory}/user_key
    IdentitiesOnly yes
    UserKnownHostsFile {directory}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
'''


def labs_directory():
    """Return the directory of all labs. If possible, it is not in /tmp, because a host has its own
    /tmp, which tests fill.
    """
    found = os.environ.get('LWT_TEST_LABS') or '/var/tmp'
    return found if os.access(found, os.W_OK | os.X_OK) else tempfile.gettempdir()


def _new_directory():
    return tempfile.mkdtemp(prefix='lwt-lab.', dir=labs_directory())


def run(*argv, **options):
    """Run a program to its end; raises an error with its output if it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)
    if done.returncode:
        raise RuntimeError('%s: %s' % (' '.join(argv), done.stdout.decode('utf-8', 'replace')))
    return done.stdout.decode()


@functools.lru_cache(None)
def _keys():
    """Return {name of a file: content} of the keys of all labs of this process."""
    found = {}
    with tempfile.TemporaryDirectory(prefix='lwt-test.') as folder:
        for key in ('host_key', 'user_key'):
            run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', os.path.join(folder, key))
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), 'rb') as file:
                found[name] = file.read()
    return found


class RunningLab:
    """The part that all labs share: as a context manager, one runs from up() to down().

    directory: that of its files.
    """

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_exc):
        self.down()


class SshdLab(RunningLab):
    """The parts that both labs with sshd share: keys, configurations, waiting for the listeners,
    and the end.

    key_exchange: the KexAlgorithms of sshd; + keeps the preferences of OpenSSH.
    """

    key_exchange = '+' + QUICK_KEY_EXCHANGE

    def __init__(self, count, directory=None, max_startups='100'):
        self.names = ['h%d' % number for number in range(1, count + 1)]
        self.directory = os.path.abspath(directory) if directory else _new_directory()
        self.max_startups = max_startups
        self.ssh_config = os.path.join(self.directory, 'ssh_config')
        self.listeners = {}             # name -> pid of the listening sshd

    def home(self, name):
        """Return the host's home, as a path of this machine."""
        return self.path(name, 'home')

    def _make_keys(self):
        os.makedirs(self.directory, exist_ok=True)
        for name, content in _keys().items():
            with open(self.path(name), 'wb') as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(content)

    def _configure(self):
        with open(self.path('host_key.pub')) as file:
            host_key = ' '.join(file.read().split()[:2])
        with open(self.ssh_config, 'w') as config, open(self.path('known_hosts'), 'w') as known:
            for name in self.names:
                address, port = self.address(name)
                known.write('%s %s\n'
                            % (address if port == 22 else '[%s]:%d' % (address, port), host_key))
                config.write(SSH_CONFIG.format(name=name, address=address, port=port,
                                               directory=self.directory))
                os.makedirs(self.home(name))
                os.mkdir(self.path(name, 'tmp'))
                os.chmod(self.path(name, 'tmp'), 0o1777)         # whatever the umask
                with open(self.path(name, 'sshd_config'), 'w') as file:
                    file.write(SSHD_CONFIG.format(
                        address=address, port=port, directory=self.directory, home=self.home(name),
                        max_startups=self.max_startups, key_exchange=self.key_exchange,
                        more=self.more_for_sshd(name)))

    def more_for_sshd(self, _name):
        """Return further lines of a host's sshd_config."""
        return ''

    def _await_listeners(self):
        end = time.monotonic() + 30
        for name in self.names:
            while not os.path.exists(self.home(name) + '.pid'):
                if time.monotonic() > end:
                    raise RuntimeError('%s: sshd did not start' % name)
                time.sleep(0.02)
            self.listeners[name] = self._read_pid(name)

    def _read_pid(self, name):
        while True:
            with open(self.home(name) + '.pid') as file:
                text = file.read().strip()
            if text:
                return int(text)
            time.sleep(0.01)

    def reconfigure(self, name, *more, without='nothing'):
        """Give the sshd of a host its first configuration again, with more lines, but without the
        lines that begin with `without`.
        """
        path = self.path(name, 'sshd_config')
        with open(path) as file:
            lines = file.read().partition('# reconfigured\n')[0].splitlines()
        lines = [line.lstrip('#') if line.startswith('#Subsystem') else line for line in lines]
        lines = ['#' + line if line.startswith(without) else line for line in lines]
        with open(path, 'w') as file:
            file.write('\n'.join(lines + ['# reconfigured'] + list(more)) + '\n')
        os.unlink(self.home(name) + '.pid')
        os.kill(self.listeners[name], signal.SIGHUP)
        self._await_listeners()         # it listens before it writes that file

    def environment(self):
        """Return os.environ with the variables that lwt needs to use this lab."""
        return dict(os.environ, LWT_SSH_CONFIG=self.ssh_config)


class Lab(SshdLab):
    """Hosts in network namespaces; for root. Use it as a context manager, or call up() and down().
    """

    def __init__(self, count, directory=None, max_startups='100'):
        super().__init__(count, directory, max_startups)
        self.tag = '%x' % (os.getpid() & 0xffff)
        self._net = None

    def up(self):
        """Start all hosts."""
        # If a run is interrupted between two tests, no tearDown follows.
        atexit.register(self.down)
        self._make_keys()
        os.makedirs('/run/sshd', mode=0o755, exist_ok=True)
        with open('/run/lwt-lab.lock', 'w') as lock:
            # Two labs that start at the same time must not choose the same network.
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._net = self._free_net()
            self._make_network()
        with open(self.path('lab.json'), 'w') as file:
            json.dump({'tag': self.tag, 'count': len(self.names), 'net': self._net}, file)
        self._configure()
        for name in self.names:
            self._start_sshd(name)
        self._await_listeners()

    @staticmethod
    def open(directory):
        """Return a lab that is already up."""
        with open(os.path.join(directory, 'lab.json')) as file:
            saved = json.load(file)
        lab = Lab(saved['count'], directory)
        lab.tag, lab._net = saved['tag'], saved['net']
        lab.listeners = {name: lab._read_pid(name)
                         for name in lab.names if os.path.exists(lab.home(name) + '.pid')}
        return lab

    @staticmethod
    def _free_net():
        used = run('ip', '-o', '-4', 'addr', 'show')
        return next(number for number in range(1, 250) if ' 10.213.%d.1/' % number not in used)

    def address(self, name):
        """Return (address, port) of a host."""
        return '10.213.%d.%d' % (self._net, 1 + int(name[1:])), 22

    def namespace(self, name):
        return 'lwt%s-%s' % (self.tag, name)

    @property
    def _bridge(self):
        return 'lwt%s' % self.tag

    def _make_network(self):
        lines = ['link add %s type bridge' % self._bridge,
                 'addr add 10.213.%d.1/24 dev %s' % (self._net, self._bridge),
                 'link set %s up' % self._bridge]
        lines += ['netns add %s' % self.namespace(name) for name in self.names]
        self._batch(lines)
        lines = []
        for name in self.names:
            inside, outside = 'lwt%si%s' % (self.tag, name[1:]), 'lwt%so%s' % (self.tag, name[1:])
            lines += ['link add %s type veth peer name %s' % (outside, inside),
                      'link set %s master %s up' % (outside, self._bridge),
                      'link set %s netns %s name eth0' % (inside, self.namespace(name))]
        self._batch(lines)
        for name in self.names:
            self._batch(['addr add %s/24 dev eth0' % self.address(name)[0], 'link set eth0 up',
                         'link set lo up'],
                        '-n', self.namespace(name))

    @staticmethod
    def _batch(lines, *options):
        subprocess.run(('ip',) + options + ('-batch', '-'), input='\n'.join(lines).encode() + b'\n',
                       check=True)

    def _start_sshd(self, name):
        # The lab itself may be in /tmp, which the host's own /tmp then hides. -c, because the path
        # of "." is hidden too.
        script = (
            'mount --make-rprivate / && mount --bind {home} {root} && mount --bind {tmp} /tmp && '
            '{{ [ -d {lab} ] || {{ mkdir -p {lab} && mount -c --bind . {lab}; }}; }} && '
            'hostname {name} && cd / && '
            'umask 022 && exec {sshd} -f {config}')
        run('ip', 'netns', 'exec', self.namespace(name), 'unshare', '--mount', '--uts', 'sh', '-c',
            script.format(
            tmp=self.path(name, 'tmp'), home=self.home(name), root=ROOT_HOME, name=name, sshd=SSHD,
            lab=self.directory, config=self.path(name, 'sshd_config')), cwd=self.directory)

    def pids(self, name):
        """Return the processes of a host without its listening sshd."""
        namespace = os.stat('/run/netns/' + self.namespace(name)).st_ino
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError):
                is_inside = os.stat('/proc/%s/ns/net' % pid).st_ino == namespace
                if is_inside and int(pid) != self.listeners.get(name):
                    found.append(int(pid))
        return found

    def commands(self, name):
        """Return {pid: command line} of the processes on a host, without those of sshd and zombies.
        """
        found = {}
        for pid in self.pids(name):
            try:
                with open('/proc/%d/cmdline' % pid, 'rb') as file:
                    words = file.read().replace(b'\0', b' ').decode('utf-8', 'replace').strip()
            except OSError:
                continue
            if words and not words.startswith('sshd'):
                found[pid] = words
        return found

    def inside(self, name, *argv):
        """Run a program on a host, in its home, with the HOME of a login; return its output."""
        script = 'cd "$HOME" && exec "$@"'
        return run('nsenter', '-t', str(self.listeners[name]), '--mount', '--uts', '--net',
                   'sh', '-c', script, 'sh', *argv, env=dict(os.environ, HOME=ROOT_HOME))

    def mount_home(self, name, options):
        """Mount a file system in memory over the home of a host."""
        self.inside(name, 'mount', '-t', 'tmpfs', '-o', options, 'tmpfs', ROOT_HOME)

    def umount_home(self, name):
        """Undo mount_home, even if a process that is ending still uses it."""
        self.inside(name, 'umount', '-l', ROOT_HOME)

    # -- faults ------------------------------------------------------------------------------------

    def black_hole(self, name):
        """No packet comes in or goes out; no error is reported."""
        for chain in ('INPUT', 'OUTPUT'):
            self.inside(name, 'iptables', '-w', '-I', chain, '-j', 'DROP')

    def refuse(self, name):
        """New connections are refused; existing ones continue."""
        self.inside(name, 'iptables', '-w', '-I', 'INPUT', '-p', 'tcp', '--syn', '-j', 'REJECT',
                    '--reject-with', 'tcp-reset')

    def loss(self, name, probability='0.05'):
        """Packets are lost in both directions."""
        for chain in ('INPUT', 'OUTPUT'):
            self.inside(name, 'iptables', '-w', '-I', chain, '-m', 'statistic', '--mode', 'random',
                        '--probability',
                        probability, '-j', 'DROP')

    def rate(self, name, kbit='16'):
        """The link is slow."""
        self.inside(name, 'tc', 'qdisc', 'replace', 'dev', 'eth0', 'root', 'tbf', 'rate',
                    kbit + 'kbit', 'burst', '4kb',
                    'latency', '400ms')

    def kill_sessions(self, name):
        """Kill every sshd that serves a connection; the processes that they started live on."""
        for pid in self.pids(name):
            if _command_name(pid).startswith('sshd'):
                _kill(pid)

    def kill_sshd(self, name):
        """Kill every sshd of the host."""
        _kill(self.listeners[name])
        self.kill_sessions(name)

    def power_off(self, name):
        """Kill every process of the host at once."""
        for _round in range(3):
            for pid in run('ip', 'netns', 'pids', self.namespace(name)).split():
                _kill(int(pid))

    def boot(self, name):
        """Start the sshd of a host that was powered off; its files are still there."""
        os.unlink(self.home(name) + '.pid')
        self._start_sshd(name)
        self._await_listeners()

    def stop_sshd(self, name):
        """The listening sshd is stopped: it accepts connections and sends nothing."""
        os.kill(self.listeners[name], signal.SIGSTOP)

    def full_disk(self, name):
        """The home is a full disk of FULL_DISK_KIB."""
        self.mount_home(name, 'size=%dk' % FULL_DISK_KIB)
        self.fill_home(name)

    def fill_home(self, name):
        """Fill a home that full_disk made. It never writes more than fits on that disk."""
        script = 'head -c %d /dev/zero >filler 2>/dev/null; true' % (FULL_DISK_KIB * 1024)
        self.inside(name, 'sh', '-c', script)

    def only_sftp(self, name):
        """Logins run no command: the account allows file transfers only."""
        self.reconfigure(name, 'ForceCommand internal-sftp')

    def only_scp(self, name):
        """Logins run nothing but scp."""
        path = self.path(name, 'only_scp')
        with open(path, 'w') as file:
            file.write('#!/bin/sh\ncase $SSH_ORIGINAL_COMMAND in "scp "*) ;; *) '
                       'echo "only scp is allowed" >&2; exit 1 ;; esac\n'
                       'exec $SSH_ORIGINAL_COMMAND\n')
        os.chmod(path, 0o755)
        self.reconfigure(name, 'ForceCommand ' + path)

    def no_sftp(self, name):
        """sshd offers no SFTP; logins can run commands."""
        self.reconfigure(name, without='Subsystem')

    def no_tar(self, name):
        """The host has no tar."""
        self.hide_program(name, 'tar')

    def hide_program(self, name, program):
        """Hide a program from every shell of a host."""
        self.inside(name, 'mount', '--bind', '/dev/null', shutil.which(program))

    def show_program(self, name, program):
        """Undo hide_program."""
        self.inside(name, 'umount', '-l', shutil.which(program))

    def new_boot_id(self, name):
        """The host was rebooted, as far as its boot id shows."""
        path = self.path(name, 'boot_id')
        with open(path, 'w') as file:
            file.write('00000000-0000-4000-8000-%012x\n' % int(time.time() * 1000))
        self.inside(name, 'mount', '--bind', path, '/proc/sys/kernel/random/boot_id')

    def heal(self, name):
        """Undo all faults that can be undone."""
        self.inside(name, 'iptables', '-w', '-F')
        subprocess.run(['nsenter', '-t', str(self.listeners[name]), '--net', 'tc', 'qdisc', 'del',
                        'dev', 'eth0', 'root'],
                       stderr=subprocess.DEVNULL)
        os.kill(self.listeners[name], signal.SIGCONT)

    # -- the end -----------------------------------------------------------------------------------

    def down(self):
        """End every process of every host, and remove everything that was made."""
        atexit.unregister(self.down)
        for name in self.names:
            self._end_host(name)
        if self._net is not None:
            subprocess.run(['ip', 'link', 'del', self._bridge], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end_host(self, name):
        namespace = self.namespace(name)
        if not os.path.exists('/run/netns/' + namespace):
            return
        for _round in range(50):
            pids = run('ip', 'netns', 'pids', namespace).split()
            if not pids:
                break
            for pid in pids:
                _kill(int(pid))
            time.sleep(0.02)
        run('ip', 'netns', 'del', namespace)


class LoopbackLab(SshdLab):
    """One sshd for each host, on loopback ports; for any user. The homes must be in the host list:
    home(name).
    """

    def __init__(self, count, directory=None, max_startups='100'):
        super().__init__(count, directory, max_startups)
        self._ports = {}
        self._reservations = []

    def up(self):
        """Start all hosts."""
        atexit.register(self.down)                      # as in Lab
        self._make_keys()
        if os.getuid() == 0:
            os.makedirs('/run/sshd', mode=0o755, exist_ok=True)
        for name in self.names:
            self._ports[name], reservation = reserve_port()
            self._reservations.append(reservation)
        self._configure()
        for name in self.names:
            script = 'umask 022 && exec "$@"'
            run('sh', '-c', script, 'sh', SSHD, '-f', self.path(name, 'sshd_config'))
        self._await_listeners()

    def more_for_sshd(self, name):
        """A HOME of its own: logins are those of this user, whose own home must not be used by
        tests.
        """
        return 'SetEnv HOME="%s"\n' % self.home(name)

    def address(self, name):
        """Return (address, port) of a host."""
        return '127.0.0.1', self._ports[name]

    def down(self):
        """End the listeners, their sessions and the processes of these, and remove everything that
        was made.
        """
        atexit.unregister(self.down)
        for name in self.names:
            # up() may have been interrupted before it read that.
            if os.path.exists(self.home(name) + '.pid'):
                pid = self._read_pid(name)
                for each in [pid] + descendants(pid):
                    _kill(each)
        for reservation in self._reservations:
            reservation.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def reserve_port():
    """Return (port of loopback, reservation): nothing listens on it, and no other test takes it
    until the reservation is closed.

    It is outside the range that the system uses for connections: one of these could take it before
    anything listens.
    """
    with open('/proc/sys/net/ipv4/ip_local_port_range') as file:
        lowest = int(file.read().split()[0])
    above = lowest if lowest > 16384 else 32768  # on some systems that range is nearly all ports
    for port in random.sample(range(above - 10000, above), 10000):
        with contextlib.suppress(OSError):
            return port, reserve_this_port(port)
    raise RuntimeError('no port of loopback is free')


def reserve_this_port(port):
    """Return the reservation of a port of loopback (see reserve_port); raises OSError if taken.
    """
    reservation = socket.socket(socket.AF_UNIX)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)     # as sshd does
        try:
            reservation.bind('\0lwt-lab-port-%d' % port)
            probe.bind(('127.0.0.1', port))
        except OSError:
            reservation.close()
            raise
    return reservation


def _parents():
    """Return {pid: pid of its parent} of all processes."""
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/stat' % pid) as file:
                found[int(pid)] = int(file.read().rpartition(') ')[2].split()[1])
        except OSError:
            continue
    return found


def children(pid):
    """Return the processes whose parent is this one."""
    return [child for child, parent in _parents().items() if parent == pid]


def descendants(pid):
    """Return the processes below a process, parents first."""
    parents, found = _parents(), [pid]
    for above in found:                 # the list grows while it is read
        found += [child for child, parent in parents.items() if parent == above]
    return found[1:]


def _command_name(pid):
    try:
        with open('/proc/%d/comm' % pid) as file:
            return file.read().strip()
    except OSError:
        return ''


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


# Everything that a Lab needs. $1 is a directory to mount on, $2 the name of a network namespace and
# a bridge.
PROBE = '''\
set -e
unshare --net --mount --uts sh -c \
  'mount --make-rprivate / && mount -t tmpfs -o size=64k tmpfs "$0" && hostname "$1"' "$1" "$2"
trap 'ip netns del "$2" 2>/dev/null; ip link del "$2" 2>/dev/null' EXIT
ip netns add "$2"
ip link add "$2" type bridge
ip netns exec "$2" iptables -w -I INPUT -m statistic --mode random --probability 0.5 -j DROP
ip netns exec "$2" tc qdisc replace dev lo root tbf rate 16kbit burst 4kb latency 400ms
'''


@functools.lru_cache(None)
def why_not_root_lab():
    """Return why hosts in namespaces cannot be made on this machine, or ''."""
    if os.getuid() != 0:
        return 'needs root'
    programs = ('ip', 'iptables', 'tc', 'unshare', 'nsenter', 'ssh', 'ssh-keygen')
    missing = [name for name in programs if shutil.which(name) is None] + ([] if SSHD else ['sshd'])
    if missing:
        return 'not installed: ' + ' '.join(missing)
    if ROOT_HOME == '/' or not os.path.isdir(ROOT_HOME):
        return 'root has no home of its own: ' + ROOT_HOME
    with tempfile.TemporaryDirectory(prefix='lwt-test.') as folder:
        return _not_allowed('sh', '-c', PROBE, 'sh', folder, 'lwt%x' % os.getpid())


@functools.lru_cache(None)
def why_not_unshare(options='--mount', script='mount --make-rprivate /'):
    """Return why a script under unshare(1) with these options is not allowed on this machine, or
    ''.
    """
    if os.getuid() != 0:
        return 'needs root'
    if shutil.which('unshare') is None:
        return 'not installed: unshare'
    return _not_allowed('unshare', *options.split(), 'sh', '-c', script)


@functools.lru_cache(None)
def why_not_mount():
    """Return why a file system in memory cannot be mounted on this machine, or ''."""
    if os.getuid() != 0:
        return 'needs root'
    with tempfile.TemporaryDirectory(prefix='lwt-test.') as folder:
        script = 'mount -t tmpfs -o size=64k tmpfs "$1" && umount "$1"'
        return _not_allowed('sh', '-c', script, 'sh', folder)


@functools.lru_cache(None)
def why_not_sshd():
    """Return why nobody can log in to an sshd on loopback on this machine, or ''."""
    missing = [name for name in ('ssh', 'ssh-keygen') if shutil.which(name) is None]
    missing += [] if SSHD else ['sshd']
    if missing:
        return 'not installed: ' + ' '.join(missing)
    try:
        with LoopbackLab(1) as lab:
            done = subprocess.run(
                ['ssh', '-F', lab.ssh_config, '-o', 'BatchMode=yes', 'h1', 'exit 7'],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except (RuntimeError, OSError) as error:
        return 'sshd cannot be started: ' + _first_line(str(error))
    return '' if done.returncode == 7 else 'sshd lets nobody log in: ' + _first_line(done.stderr)


@functools.lru_cache(None)
def why_modes_do_not_hold():
    """Return why the modes of files do not restrict this user, or ''."""
    with tempfile.TemporaryDirectory(prefix='lwt-test.') as folder:
        path = os.path.join(folder, 'file')
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0))
        return 'modes do not hold for root' if os.access(path, os.R_OK) else ''


def _not_allowed(*argv):
    """Return the error message of a program that fails, or '' if it succeeds."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return 'not allowed here: ' + _first_line(done.stdout) if done.returncode else ''


def _first_line(text):
    text = text.decode('utf-8', 'replace') if isinstance(text, bytes) else text
    return text.strip().partition('\n')[0]


def main(argv):
    """Run the command; return an exit code."""
    if argv[:1] == ['up'] and len(argv) in (2, 3) and argv[1].isdigit():
        lab = Lab(int(argv[1]), argv[2] if len(argv) == 3 else None)
        try:
            lab.up()
        except BaseException:
            lab.down()
            raise
        atexit.unregister(lab.down)     # it stays until `down` ends it
        print('# %d hosts, h1 to %s; to end them: python3 -m tests.lab down %s'
              % (len(lab.names), lab.names[-1],
                 lab.directory))
        print('export LWT_SSH_CONFIG=%s' % lab.ssh_config)
    elif argv[:1] == ['down'] and len(argv) == 2:
        Lab.open(argv[1]).down()
    elif argv[:1] == ['fault'] and len(argv) in (4, 5):
        getattr(Lab.open(argv[1]), argv[3])(argv[2], *argv[4:])
    elif argv[:1] == ['heal'] and len(argv) == 3:
        Lab.open(argv[1]).heal(argv[2])
    elif argv[:1] == ['slurm'] and (len(argv) == 1 or len(argv) == 2 and argv[1].isdigit()):
        from tests import slurm_lab     # it imports this module
        return slurm_lab.by_hand(int(argv[1]) if argv[1:] else 3)
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
