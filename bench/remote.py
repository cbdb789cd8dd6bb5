"""`lwt multi` on lab hosts, compared with GNU parallel and with xargs and ssh."""

import os
import sys
import tempfile

from bench.measure import LWT, Peer, compare, has_lab, report, use_of
from tests import lab

HOSTS = 20
SLOTS = 4
FILES = 200                     # jobs with a file each
SHORT = 1000                    # jobs that do nothing
LINES = 100000                  # lines of input
RATE = 100                      # short jobs a second
CPU = 2.0                       # milliseconds of the master's own cpu for a job
MEMORY = 60                     # MB

# Runs lwt in this process, and prints its own cpu seconds and its largest resident size in kB.
OWN_USE = ('import resource, sys; from lwt import cli; cli.main(sys.argv[1:]); '
           'used = resource.getrusage(resource.RUSAGE_SELF); '
           'print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=open("{path}", "w"))')


def measure(rounds, env):
    """Print the tables of `lwt multi` on hosts."""
    if not has_lab():
        return
    with lab.Lab(HOSTS) as hosts, tempfile.TemporaryDirectory(prefix='lwt-bench.') as scratch:
        env = dict(env, LWT_SSH_CONFIG=hosts.ssh_config)
        ours = '%s -q multi -w h[1-%d] -j %d' % (LWT, HOSTS, SLOTS)
        kept = '-o ControlMaster=auto -o ControlPersist=60 -o ControlPath=%s/%%C' % hosts.path('')
        _measure_files(hosts, scratch, ours, kept, min(rounds, 2), env)
        _measure_short(hosts, scratch, ours, kept, rounds, env)
        _measure_own_use(scratch, env)


def _logins(hosts, scratch, name, options):
    """Write a file of sshlogins for GNU parallel; return its path."""
    path = os.path.join(scratch, name)
    with open(path, 'w') as file:
        for host in hosts.names:
            file.write('%d/ssh -F %s %s %s\n' % (SLOTS, hosts.ssh_config, options, host))
    return path


def _measure_files(hosts, scratch, ours, kept, rounds, env):
    folder = os.path.join(scratch, 'files')
    os.mkdir(folder)
    for number in range(1, FILES + 1):
        with open(os.path.join(folder, 'in.%d' % number), 'w') as file:
            file.write('%d' % number * 1000)
    def work(tool):
        return ("cd %s && printf '%%s\\n' in.* | %s --trc {}.out 'cat {} > {}.out' "
                '&& [ $(ls in.*.out | wc -l) = %d ] && rm -f in.*.out' % (folder, tool, FILES))

    def parallel(name, options):
        return work('parallel --slf ' + _logins(hosts, scratch, name, options))

    compare('%d jobs, one file in and one out, %d hosts of %d slots' % (FILES, HOSTS, SLOTS),
            work(ours), (Peer('parallel rsync', parallel('cold', ''), 10),
                          Peer('parallel rsync', parallel('kept', kept), 4)), rounds, env)
    print('  (parallel first with a login for each step, then with ControlMaster on)')


def _measure_short(hosts, scratch, ours, kept, rounds, env):
    work = 'seq %d | %s true' % (SHORT, ours)
    logins = _logins(hosts, scratch, 'short', kept)
    ssh = 'ssh -F %s %s' % (hosts.ssh_config, kept)
    names = ' '.join(hosts.names)
    opened = 'for h in %s; do %s -n $h true & done; wait; ' % (names, ssh)
    targets = '%sfor i in $(seq %d); do printf "%%s\\n" %s; done | head -n %d' % (
        opened, SHORT // HOSTS + 1, names, SHORT)
    compare('%d times `true`, %d hosts of %d slots' % (SHORT, HOSTS, SLOTS), work, (
        Peer('parallel rsync', 'seq %d | parallel --slf %s true' % (SHORT, logins), 5),
        Peer('xargs ssh', '{ %s; } | xargs -P%d -I{} %s -n {} true' % (
            targets, HOSTS * SLOTS, ssh), 1)), rounds, env)
    print('  (both over kept connections)')
    used = [use_of(work, env) for _round in range(rounds)]
    best = min(one.wall for one in used if one)
    report('short jobs', SHORT / best, 'jobs/s', '%d or more' % RATE, SHORT / best >= RATE)


def _measure_own_use(scratch, env):
    path = os.path.join(scratch, 'use')
    program = "%s -c '%s' -q multi -w h[1-%d] -j %d --halt now,done=%%d true" % (
        sys.executable, OWN_USE.format(path=path).replace("'", "'\\''"), HOSTS, SLOTS)
    for count in (SHORT, 5 * SHORT):
        if not use_of('seq %d | %s' % (LINES, program % count), env):
            return
        with open(path) as file:
            cpu, memory = map(float, file.read().split())
        each = 1000 * cpu / count
        report('own cpu for each of the first %d jobs' % count, each, 'ms',
               '%.1f or less' % CPU, each <= CPU)
        report('memory', memory / 1024, 'MB', '%d or less' % MEMORY, memory / 1024 <= MEMORY)
