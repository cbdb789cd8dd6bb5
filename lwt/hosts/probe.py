"""lwt probe on one host: one login that sends a file of random bytes, fetches it back and reads
the properties of the host.

A host passes if the file comes back unchanged, each direction within probe_time and at probe_rate
or more.  lwt does not use ping, because many hosts filter it.
"""

from __future__ import generator_stop

import hashlib
import time
from typing import NamedTuple, Optional

from lwt import netcat
from lwt.errors import printable_text
from lwt.hosts import cluster, sample
from lwt.remote import call, exit_status, host_limits, scripts
from lwt.workspace.config import bounded, plain_seconds


class Probed(NamedTuple):
    """The result of a probe of one host.

    hello: seconds from the start of ssh to the first answer.
    put, get: bytes per second.
    clock: seconds by which the clock of the host is ahead of ours, to about a second.
    load: a sample.Sample.
    python: (version, path), or None.
    netcat: (dialect, program), or None.
    slurm: a cluster.Cluster; None for a host without a cluster.
    """

    host: str
    verdict: exit_status.Verdict
    hello: Optional[float] = None
    put: Optional[float] = None
    get: Optional[float] = None
    clock: Optional[int] = None
    boot: str = ''
    load: sample.Sample = sample.Sample()
    python: Optional[tuple] = None
    netcat: Optional[tuple] = None
    slurm: Optional[cluster.Cluster] = None


class Meter:
    """Reads the output of sh/probe.sh and notes when each part arrived.

    size: bytes of the file.
    digest: SHA-256 of the bytes that came back.
    times: {word of the protocol: when it arrived}.
    lines: what the host reports about itself.
    """

    def __init__(self, size, clock=time.monotonic):
        self.size = size
        self._clock = clock
        self._buffer = b''
        self._left = 0
        self._told = 0
        self._hash = hashlib.sha256()
        self.times = {}
        self.lines = []
        self.is_nonsense = False

    @property
    def digest(self):
        return self._hash.hexdigest()

    def __call__(self, stream, data):
        if stream == 'stdout' and not self.is_nonsense:
            self._take(data)
        return self.is_nonsense

    def _take(self, data):
        self._buffer += data
        while self._buffer:
            if self._left:
                part, self._buffer = self._buffer[:self._left], self._buffer[self._left:]
                self._hash.update(part)
                self._left -= len(part)
                continue
            line, newline, rest = self._buffer.partition(b'\n')
            if self._told + len(line) > host_limits.PROBE:
                self.is_nonsense = True
                return
            if not newline:
                return
            self._buffer = rest
            self._told += len(line) + 1
            self._read(line.decode('utf-8', 'replace'))

    def _read(self, line):
        if line in ('ready', 'put', 'got'):
            self.times.setdefault(line, self._clock())
        elif line == 'get %d' % self.size and 'get' not in self.times:
            self.times['get'] = self._clock()
            self._left = self.size
        else:
            self.lines.append(line)


def probe(session, host, path, size, digest, rate=0.0):
    """Flow: probe a host with a file; returns a Probed.

    path, size, digest: the file, its size in bytes and its SHA-256.
    rate: maximum bytes per second in each direction; 0: no limit.
    """
    settings, meter, begun = session.settings, Meter(size), []
    session = session.at(host)
    patience, name = cluster.patience(host), cluster.script(host, 'probe')
    limits = session.limits(timeout=2 * settings.probe_time + settings.hello_timeout + patience,
                            stall=settings.probe_time and settings.probe_time + patience)
    words = [host.home, str(size), plain_seconds(max(1, settings.probe_time)), netcat.PROBE]
    words += cluster.words(host)
    verdict = yield from call.call(
        session, lambda frame: scripts.plain(session.transport, host, name, words, frame, limits,
                                             path)._replace(rate=rate),
        meter, 'probe', lambda result: begun.append(time.monotonic() - result.elapsed))
    if meter.is_nonsense:
        verdict = exit_status.Verdict('failed', 1, host_limits.passed(host_limits.PROBE))
    probed = read(host.name, verdict, meter, begun[-1], time.time())
    probed = probed._replace(load=sample.at(host, probed.load))
    if verdict.ok:
        probed = probed._replace(slurm=cluster.parse(host, meter.lines))
    return judged(probed, size, meter.digest == digest, settings)


def read(name, verdict, meter, begun, now):
    """The Probed of a Meter.

    begun: when ssh was started, on the clock of the Meter.
    now: seconds since 1970.
    """
    told = {}
    for line in meter.lines:
        word, _space, rest = line.partition(' ')
        told.setdefault(word, printable_text(rest))
    times, size = meter.times, meter.size
    clock = bounded(told.get('clock', ''), 0, host_limits.TIME)
    ahead = None if clock is None else round(clock + 0.5 - now)
    return Probed(
        name, verdict, times['ready'] - begun if 'ready' in times else None,
        _rate(size, times, 'ready', 'put'),
        _rate(size, times, 'get', 'got'), 0 if ahead in (-1, 1) else ahead, told.get('boot', ''),
        sample.parse(meter.lines), _pair(told, 'python'), _netcat(meter.lines))


def _rate(size, times, first, last):
    return (size / max(1e-3, times[last] - times[first]) if first in times and last in times
            else None)


def _pair(told, word):
    first, _space, second = told.get(word, '').partition(' ')
    return (first, second) if second else None


def _netcat(lines):
    program = netcat.parse('\n'.join(lines))[1]
    return (program.dialect, ' '.join(program.words)) if program is not None else None


def judged(probed, size, is_same, settings):
    """The Probed with a failed Verdict if the file is damaged or the host is too slow."""
    if not probed.verdict.ok:
        return probed
    if not is_same:
        return _failed(probed, 'checksum mismatch: the file came back changed')
    for way, rate in (('put', probed.put), ('get', probed.get)):
        if rate is None:
            return _failed(probed, 'incomplete: the %s did not finish' % way)
        least = max(settings.probe_rate * 1000,
                    size / settings.probe_time if settings.probe_time else 0)
        if rate < least:
            return _failed(probed, 'too slow: %s %.1f KB/s, minimum %.1f KB/s'
                           % (way, rate / 1000, least / 1000))
    return probed


def _failed(probed, reason):
    return probed._replace(verdict=exit_status.Verdict('failed', 1, reason))


def to_json(probed):
    """A Probed as a dict that json can write."""
    verdict = probed.verdict
    told = dict(probed._asdict(), load=sample.to_json(probed.load), reason=verdict.reason,
                code=verdict.code)
    del told['verdict'], told['slurm']
    return dict(told, **{'class': verdict.kind}, **cluster.to_json(probed.slurm))
