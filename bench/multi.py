"""lwt multi compared with xargs and GNU parallel: rate, order, memory, floods, and cpu use while
idle.
"""

import subprocess
import sys
import time

from bench.measure import LWT, Peer, compare, report, use_of

FLOOD = 300000000               # bytes from one child, without a newline
COUNT_LINES = ('import sys; n = 0\nfor line in sys.stdin: n += 1; assert int(line) == n\nassert n '
               '== 20000')


def measure(rounds, env):
    """Print the tables of `lwt multi`."""
    compare('2,000 x true, 4 at a time, time-outs and own sessions on',
            'yes true | head -n 2000 | %s multi -j 4 -u 60' % LWT, (
                Peer('xargs', 'yes true | head -n 2000 | xargs -P4 -n1 sh -c', 1 / 1.15),
                Peer('parallel', 'yes true | head -n 2000 | parallel -j4 --timeout 60', 5)),
            max(rounds, 3),
            env)
    compare('20,000 x echo N, in order, 8 at a time',
            "seq 20000 | sed 's/^/echo /' | %s multi -k -j 8 | %s -c '%s'"
            % (LWT, sys.executable, COUNT_LINES), (
                Peer('xargs', "seq 20000 | sed 's/^/echo /' | xargs -P8 -I{} sh -c '{}'", 1 / 1.4),
                Peer('parallel', "seq 20000 | sed 's/^/echo /' | parallel -k -j8", 4)),
            min(rounds, 2), env)
    for title, command in (('start-up: echo true | lwt multi', 'echo true | %s multi' % LWT),
                           ('start-up: lwt --version', '%s --version' % LWT)):
        compare(title, command, (Peer('python3', '%s -c pass' % sys.executable, 1 / 2),),
                max(rounds, 10), env)
    _memory(env)
    _floods(env)
    _idleness(env)


def _memory(env):
    used = use_of("seq 100000 | sed 's/^/: /' | exec %s multi -j 8 -u 60" % LWT, env)
    report('100,000 lines of input, 8 at a time: peak memory', used.memory, 'MB', '<= 40',
           used.memory <= 40)


def _floods(env):
    for where, tail in (('a file', '> "$TMPDIR/flood.out"'), ('a pipe', '| cat > /dev/null')):
        command = ('set -o pipefail; TMPDIR=${TMPDIR:-/tmp}; '
                   'echo "head -c %d /dev/zero" | %s multi %s; code=$?; '
                   'rm -f "$TMPDIR/flood.out"; exit $code' % (FLOOD, LWT, tail))
        runs = [used for used in (use_of(command, env) for _round in range(3)) if used is not None]
        rate = FLOOD / 1e6 / min(used.wall for used in runs)
        memory = max(used.memory for used in runs)
        report('300 MB without a newline, to %s: rate' % where, rate, 'MB/s', '>= 250', rate >= 250)
        report('300 MB without a newline, to %s: peak memory' % where, memory, 'MB', '<= 60',
               memory <= 60)


def _idleness(env):
    popen = subprocess.Popen(LWT.split() + ['multi', '-j', '50'], env=env, stdin=subprocess.PIPE)
    popen.stdin.write(b'sleep 5\n' * 50)
    popen.stdin.close()
    time.sleep(1)
    before = _ticks(popen.pid)
    time.sleep(3)
    ticks = _ticks(popen.pid) - before
    popen.wait()
    report('50 sleeping children for 3 s: cpu ticks', ticks, 'ticks', '0', ticks == 0)


def _ticks(pid):
    with open('/proc/%d/stat' % pid) as file:
        fields = file.read().rpartition(') ')[2].split()
    return int(fields[11]) + int(fields[12])
