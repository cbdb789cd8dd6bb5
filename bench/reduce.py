"""lwt reduce compared with the local sort, a pipeline of split, ssh and sort -m, and bashreduce, on
lab hosts.

BASHREDUCE=PATH names the br to measure. BASHREDUCE_HELPERS=DIR names the directory of its C
helpers, brp and brm, if they are not in PATH. It is measured with awk and with the helpers. Without
br, the table reports it as missing. bashreduce needs Hobbit's netcat (nc.traditional) on this
machine and, under the name nc, on the hosts. It does not always end, because it connects to netcats
that may not listen yet. After BR_TIME such a round counts as failed, and its processes on the hosts
are ended.
"""

import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

from bench.measure import LWT, Peer, compare, has_lab, report, use_of
from lwt.reduce import partition
from tests import lab

LINES = 2000000
WORDS = 50000
TIMES = 11              # so many copies of the input are a gigabyte
MOST_MEMORY = 60        # MB
BLOCK = 1 << 18
BR_TIME = 60            # seconds
COUNT = "cut -d' ' -f1 | uniq -c"


def measure(rounds, env):
    """Print the tables of `lwt reduce`."""
    with tempfile.TemporaryDirectory(prefix='lwt-bench.') as directory:
        source = os.path.join(directory, 'in')
        _write_input(source)
        _measure_parting(source)
        if not has_lab():
            return
        with lab.Lab(2) as hosts:
            _give_old_netcat(hosts)
            _measure_hosts(hosts, source, rounds,
                           dict(env, LWT_SSH_CONFIG=hosts.ssh_config, LC_ALL='C', TMPDIR=directory))


def _write_input(path):
    """Write two million lines, 94 MB: a word, a number and some text."""
    rng = random.Random(1)
    words = ['%x' % rng.getrandbits(36) for _ in range(WORDS)]
    with open(path, 'w') as file:
        for start in range(0, LINES, 10000):
            file.write(''.join('%s %d %s\n' % (rng.choice(words), number, 'x' * 28)
                               for number in range(start, start + 10000)))


def _give_old_netcat(hosts):
    """Make nc Hobbit's netcat on the hosts. bashreduce works with no other; lwt detects the
    dialect.
    """
    old, there = shutil.which('nc.traditional'), shutil.which('nc')
    for name in hosts.names if old and there else ():
        hosts.inside(name, 'mount', '--bind', os.path.realpath(old), os.path.realpath(there))


def _measure_parting(path):
    """Measure partitioning alone, by whole lines, as for the first column."""
    order = partition.SortOrder()
    with open(path, 'rb', buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        began = time.monotonic()
        splitter = partition.splitter(order, [(file.fileno(), 0, size)], 2)
        rest = b''
        for block in iter(lambda: file.read(BLOCK), b''):
            whole, newline, rest_of_it = (rest + block).rpartition(b'\n')
            splitter.split(whole + newline)
            rest = rest_of_it
        rate = size / (time.monotonic() - began) / 1e6
    report('parting %.0f MB' % (size / 1e6), rate, 'MB/s', '100 or more', rate >= 100)


def _measure_hosts(hosts, source, rounds, env):
    directory = os.path.dirname(source)
    out = os.path.join(directory, 'out')
    for title, reducer in (('sort 2 million lines, 94 MB, on 2 hosts', ''),
                           ('count the words of the same', COUNT)):
        ours = ('%s reduce -w h1,h2 -i %s -o %s' % (LWT, source, out)
                + (' -r %s' % shlex.quote(reducer) if reducer else ''))
        pipe = ' | ' + reducer if reducer else ''
        compare(title, ours, (
            Peer('sort', 'sort -k1,1 %s%s > %s.local' % (source, pipe, out)),
            Peer('split', _by_hand(hosts, source, out, pipe)),
            _bashreduce(hosts, 'br with awk', source, out, reducer, 2),
            _bashreduce(hosts, 'br with C', source, out, reducer, 1.5)), rounds, env)
        same = use_of('%s && cmp %s %s.local' % (ours, out, out), env)
        print('  the same as the local pipeline: %s' % ('yes' if same else 'NO'))
    large = os.path.join(directory, 'large')
    with open(large, 'wb') as file, open(source, 'rb') as one:
        for _time in range(TIMES):
            one.seek(0)
            file.write(one.read())
    memory = _memory_of('%s reduce -w h1,h2 -i %s -o %s' % (LWT, large, out), env)
    report('memory of lwt for %.1f GB' % (os.path.getsize(large) / 1e9), memory, 'MB',
           '%d or less' % MOST_MEMORY,
           memory <= MOST_MEMORY)


def _memory_of(command, env):
    """Return the maximum memory in MB of the processes of a command. A small process measures it,
    because a child begins with the memory of its parent.
    """
    asker = 'import resource, subprocess, sys; subprocess.run(sys.argv[1].split(), check=True); ' \
            'print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)'
    done = subprocess.run([sys.executable, '-c', asker, command], env=env, stdout=subprocess.PIPE)
    return float('inf') if done.returncode else int(done.stdout) / 1024


def _by_hand(hosts, source, out, pipe):
    """The command of a user without a tool: half of the lines to each host, a merge, and after it a
    count of the keys.
    """
    ssh = 'ssh -F %s' % hosts.ssh_config
    return (
        'split -n l/2 {src} {src}.part. && {{ {ssh} h1 LC_ALL=C sort -k1,1 < {src}.part.aa > '
        '{out}.1 & '
        '{ssh} h2 LC_ALL=C sort -k1,1 < {src}.part.ab > {out}.2; wait; sort -m -k1,1 {out}.1 '
        '{out}.2{pipe} > {out}.hand; }}'
            ).format(src=source, out=out, ssh=ssh, pipe=pipe)


def _bashreduce(hosts, name, source, out, reducer, bar):
    """Return the Peer for bashreduce. It uses the same host name for ssh and nc, so the hosts are
    named by their addresses.
    """
    program = os.environ.get('BASHREDUCE', 'br')
    helpers = os.path.dirname(shutil.which('brp') or '') or os.environ.get('BASHREDUCE_HELPERS', '')
    needed = ['bash', program, 'nc.traditional', 'pv', 'uuidgen']
    directories = [one for one in os.environ['PATH'].split(':') if one != helpers]
    if name.endswith('C'):
        needed += [os.path.join(helpers, helper) for helper in ('brp', 'brm')]
        directories.append(helpers)
    path = ':'.join([_programs_for_br(hosts)] + directories)
    addresses = ' '.join(hosts.address(one)[0] for one in hosts.names)
    words = 'timeout %d %s -m "%s" -c 1 -i %s -o %s.br' % (BR_TIME, program, addresses, source, out)
    # In a pipe, bashreduce would redirect the last command alone, and its ssh would wait for the
    # others.
    words += ' -r %s' % shlex.quote('{ %s; }' % reducer) if reducer else ''
    return Peer(name, '%s PATH=%s %s 2>/dev/null' % (_sweep(hosts), shlex.quote(path), words), bar,
                ' '.join(needed))


def _programs_for_br(hosts):
    """Make a directory with an ssh that uses the lab's configuration, and with Hobbit's netcat as
    nc.
    """
    directory = hosts.path('bin')
    if not os.path.isdir(directory):
        os.mkdir(directory)
        with open(os.path.join(directory, 'ssh'), 'w') as file:
            file.write(
                '#!/bin/sh\nexec /usr/bin/ssh -F none -i {lab}/user_key -o IdentitiesOnly=yes '
                '-o UserKnownHostsFile={lab}/known_hosts "$@"\n'.format(lab=hosts.directory))
        os.chmod(file.name, 0o755)
        os.symlink(shutil.which('nc.traditional') or 'missing', os.path.join(directory, 'nc'))
    return directory


def _sweep(hosts):
    """Return a command that ends the processes that an earlier br left on the hosts."""
    pids = ' '.join('$(ip netns pids %s)' % hosts.namespace(name) for name in hosts.names)
    return ('for pid in %s; do case $(cat /proc/$pid/comm) in nc|tail) kill -KILL $pid; esac; done '
            '2>/dev/null;' % pids)
