"""The queue of tasks compared with GNU parallel with file transfer, on lab hosts, and the cost of a
long queue.

LWT_PERL=DIR names the directory of the old Perl system (its task-update.pl). Without it, that
system is reported as missing.
"""

import os
import subprocess
import tempfile

from bench.measure import LWT, Peer, compare, has_lab, report, use_of
from tests import lab

HOSTS = 20
SLOTS = 4
FILES = 200                     # tasks with an input each
SHORT = 1000                    # tasks that do nothing
LONG = 10000                    # tasks that wait
SPEED = 60                      # short tasks a second, end to end
ADDED, COUNTED, WAITING = 2.0, 0.3, 1.2
OLD_HOSTS = 9
SYN = ('INPUT', '-p', 'tcp', '--syn', '-m', 'comment', '--comment', 'logins')


def measure(rounds, env):
    """Print the tables of `lwt task`."""
    if not has_lab():
        return
    with lab.Lab(HOSTS) as hosts, tempfile.TemporaryDirectory(prefix='lwt-bench.') as scratch:
        env = dict(env, LWT_SSH_CONFIG=hosts.ssh_config)
        _measure_files(hosts, scratch, min(rounds, 2), env)
        _measure_short(hosts, scratch, rounds, env)
        _measure_waiting(hosts, scratch, rounds, env)
        _measure_logins(hosts, scratch, env)
        _measure_old(hosts, scratch, rounds, env)


def _workspace(hosts, scratch, name, env, count=HOSTS):
    """Make a workspace with the hosts of the lab; return (its path, the environment for it)."""
    path = os.path.join(scratch, name)
    env = dict(env, LWT_WORKSPACE=path)
    subprocess.run(['bash', '-c', '%s -q init %s' % (LWT, path)], env=env, check=True,
                   stdout=subprocess.DEVNULL)
    _write(path, 'host.list',
           ''.join('%s\tlab\t~\tslots=%d\n' % (host, SLOTS) for host in hosts.names[:count]))
    return path, env


def _write(*names_and_text):
    *names, text = names_and_text
    path = os.path.join(*names)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as file:
        file.write(text)
    return path


# -- 200 files out, 200 results back ---------------------------------------------------------------

def _measure_files(hosts, scratch, rounds, env):
    path, env = _workspace(hosts, scratch, 'files', env)
    names = ['in.%d' % number for number in range(1, FILES + 1)]
    for name in names:
        _write(path, 'description', name, 'desc', 'exec : cat input > output\nd_fetch : output\n')
        _write(path, 'description', name, 'input', name * 1000)
        _write(path, 'files', name, name * 1000)
    ours = '{lwt} -q task add {names} > /dev/null && {lwt} -q task run'.format(
        lwt=LWT, names=' '.join(names))
    options = '-o ControlMaster=auto -o ControlPersist=60 -o ControlPath=%s/%%C ' % hosts.path('')
    compare('%d tasks, an input and a result each, %d hosts of %d slots' % (FILES, HOSTS, SLOTS),
            ours, (
        Peer('parallel rsync', _parallel(hosts, path, 'cold', ''), 10),
        Peer('parallel rsync', _parallel(hosts, path, 'kept', options), 4)), rounds, env)
    print('  (parallel first with a login for each step, then with ControlMaster on)')
    print('  every result is there: %s' % ('yes' if _are_right(path, names, rounds) else 'NO'))


def _parallel(hosts, path, name, options):
    """The usual way without lwt: GNU parallel sends a file, runs the job, fetches the result and
    cleans up.
    """
    logins = _write(path, name,
                    ''.join('%d/ssh -F %s %s%s\n' % (SLOTS, hosts.ssh_config, options, host)
                            for host in hosts.names))
    return (
        "cd {0}/files && printf '%s\\n' in.* | parallel --sshloginfile {1} --transferfile {{}} "
        "--return {{}}.out --cleanup "
        "'cat {{}} > {{}}.out' && [ $(ls in.*.out | wc -l) = {2} ] && rm -f in.*.out").format(
                path, logins, FILES)


def _are_right(path, names, rounds):
    finish = os.path.join(path, 'task.finish')
    texts = []
    for name in os.listdir(finish):
        with open(os.path.join(finish, name, 'result', 'output')) as file:
            texts.append(file.read())
    return sorted(texts) == sorted([name * 1000 for name in names] * rounds)


# -- short tasks, and a long queue -----------------------------------------------------------------

def _measure_short(hosts, scratch, rounds, env):
    path, env = _workspace(hosts, scratch, 'short', env)
    _write(path, 'description', 'true', 'desc', 'exec : true\n')
    work = '{lwt} -q task add true --array 1-{count} > /dev/null && {lwt} -q task run'.format(
        lwt=LWT, count=SHORT)
    best = min(_wall(work, env) for _round in range(rounds))
    report('%d times `true` over %d hosts of %d slots, end to end' % (SHORT, HOSTS, SLOTS),
           SHORT / best, 'tasks/s',
           '%d or more' % SPEED, SHORT / best >= SPEED)


def _measure_waiting(hosts, scratch, rounds, env):
    path, env = _workspace(hosts, scratch, 'long', env)
    _write(path, 'description', 'long', 'desc', 'exec : sleep 1000\n')
    _write(path, 'description', 'wide', 'desc', 'exec : sleep 1000\nslots : %d\n' % SLOTS)
    use_of('{lwt} -q task add wide --array 1-{count} > /dev/null && {lwt} -q task update'.format(
        lwt=LWT, count=HOSTS), env)
    update = LWT + ' -q task update'
    none = min(_wall(update, env) for _round in range(rounds + 1))
    added = _wall('%s -q task add long --array 1-%d > /dev/null' % (LWT, LONG), env)
    report('add %d tasks' % LONG, added, 's', '%.1f or less' % ADDED, added <= ADDED)
    counted = min(_wall(LWT + ' task show --count', env) for _round in range(rounds))
    report('count them', counted, 's', '%.1f or less' % COUNTED, counted <= COUNTED)
    some = min(_wall(update, env) for _round in range(rounds + 1))
    report('a pass over busy hosts with %d that wait, beside one with none (%.2f s)' % (LONG, none),
           some / none, 'x',
           '%.1f or less' % WAITING, some / none <= WAITING)
    use_of('{lwt} -q task kill $(seq {last}) && {update}'.format(lwt=LWT, last=HOSTS,
                                                                 update=update), env)


def _wall(command, env):
    used = use_of(command, env)
    return used.wall if used else float('inf')


def _measure_logins(hosts, scratch, env):
    path, env = _workspace(hosts, scratch, 'logins', env)
    _write(path, 'description', 'true', 'desc', 'exec : true\n')
    use_of('%s -q task add true --array 1-%d > /dev/null' % (LWT, 2 * HOSTS * SLOTS), env)
    for name in hosts.names:
        hosts.inside(name, 'iptables', '-w', '-I', *SYN)
    use_of(LWT + ' -q task update', env)
    most = max(_packets(hosts, name) for name in hosts.names)
    report('logins of a pass that stages, launches, polls and fetches, on the host that saw most',
           most, '', '1', most <= 1)
    use_of(LWT + ' -q task run', env)


def _packets(hosts, name):
    listing = hosts.inside(name, 'iptables', '-w', '-nvxL', 'INPUT')
    hosts.inside(name, 'iptables', '-w', '-D', *SYN)
    return int(next(line for line in listing.splitlines() if 'logins' in line).split()[0])


# -- the old system --------------------------------------------------------------------------------

def _measure_old(hosts, scratch, rounds, env):
    path, env = _workspace(hosts, scratch, 'old', env, OLD_HOSTS)
    _write(path, 'description', 'sample', 'desc', 'exec : sleep 1000\n')
    folder = os.environ.get('LWT_PERL', '')
    old = _old_workspace(hosts, scratch, folder) if folder else ''
    compare('a pass over %d hosts that launches one task' % OLD_HOSTS,
            '{lwt} -q task add sample && {lwt} -q task update'.format(
                lwt=LWT),
            (Peer('perl' if folder else 'task-update.pl',
                  'cd %s && PATH=%s/bin:$PATH && ./task-add.pl sample && '
                  './task-update.pl' % (old, old), 3),), min(rounds, 2), env)
    use_of('{lwt} -q task kill $({lwt} -q task show | grep -o ^0[0-9]*) && {lwt} -q task '
           'update'.format(lwt=LWT), env)


def _old_workspace(hosts, scratch, folder):
    """Deploy a copy of the old system on the same hosts. Its ssh and scp get the configuration of
    the lab.
    """
    old = os.path.join(scratch, 'perl')
    subprocess.run(['cp', '-a', folder, old], check=True)
    names = hosts.names[:OLD_HOSTS]
    for name in ('host.list', 'host.list.available'):
        _write(old, name, ''.join('%s\tlab\t/tmp/lwt.old\n' % host for host in names))
    for name in ('ssh', 'scp'):
        os.chmod(_write(old, 'bin', name, '#!/bin/sh\nexec /usr/bin/%s -F %s "$@"\n'
                        % (name, hosts.ssh_config)), 0o755)
    _write(old, 'description', 'sample', 'desc', 'exec: ./myrun.sh\n')
    os.chmod(_write(old, 'description', 'sample', 'myrun.sh', '#!/bin/sh\nsleep 1000\n'), 0o755)
    for host in names:
        subprocess.run(['bin/ssh', host, 'mkdir -p /tmp/lwt.old'], cwd=old, check=True)
        subprocess.run(['bin/scp', '-q', '-r', 'tools', host + ':/tmp/lwt.old/'], cwd=old,
                       check=True)
    return old
