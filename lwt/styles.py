"""How the output of many hosts is shown: a line at a time, in order, gathered, as differences, as JSON, in files.

A style has begin(output), before the loop; taker(host) -> on_payload(stream, data); done(host, verdict), once for each
host; and end(), after the loop.  says_failures: whether lwt says beside it which hosts failed.
"""

import collections
import os
import re
from typing import NamedTuple

from lwt import hostset, output

RULE = '-' * 15
STREAMS = ('stdout', 'stderr')


class Live:
    """Lines as they come; with labels, whole ones, so that those of two hosts are never mixed."""

    says_failures = True

    def __init__(self, label):
        self._label = label
        self._lines = {}

    def begin(self, out):
        self._out = out

    def taker(self, host):
        if not self._label:
            return lambda stream, data: self._out.stream(stream).write(data)
        prefix = host.name.encode() + b': '
        lines = {name: output.WholeLines(self._out.stream(name), prefix) for name in STREAMS}
        self._lines[host] = lines
        return lambda stream, data: lines[stream].feed(data)

    def done(self, host, _verdict):
        for lines in self._lines.pop(host, {}).values():
            lines.finish()

    def end(self):
        """Nothing is left to show."""


class Ordered:
    """The output of each host in turn, as soon as those before it are done."""

    says_failures = True

    def __init__(self, chosen, label):
        self._live = Live(label)
        self._order = collections.deque(chosen)
        self._spools = {}
        self._takers = {}
        self._done = set()

    def begin(self, out):
        self._live.begin(out)

    def taker(self, host):
        def take(stream, data):
            if self._order[0] == host:
                self._taker(host)(stream, data)
            else:
                self._spools.setdefault(host, output.Spool()).feed(stream, data)
        return take

    def _taker(self, host):
        if host not in self._takers:
            self._takers[host] = self._live.taker(host)
        return self._takers[host]

    def done(self, host, verdict):
        self._done.add(host)
        while self._order and self._order[0] in self._done:
            first = self._order.popleft()
            self._live.done(first, verdict)
            self._takers.pop(first, None)
            if self._order:
                self._pour(self._order[0])

    def _pour(self, host):
        spool = self._spools.pop(host, None)
        for stream in STREAMS if spool else ():
            for chunk in spool.chunks(stream):
                self._taker(host)(stream, chunk)

    def end(self):
        """Nothing is left to show."""


class _Key(NamedTuple):
    """What hosts of one group have in common; said: a digest of what they printed."""

    kind: str
    reason: str
    said: str


class _Spooled:
    """Keeps what each host prints until it is done."""

    says_failures = True

    def __init__(self):
        self._spools = {}

    def begin(self, out):
        self._out = out

    def taker(self, host):
        def take(stream, data):
            self._spools.setdefault(host, output.Spool()).feed(stream, data)
        return take

    def _spool(self, host):
        return self._spools.pop(host, None) or output.Spool()

    def end(self):
        """Nothing is left to show."""


class Gathered(_Spooled):
    """Equal output and code once, under the names of its hosts, when all are done.

    Hosts that did not get to their end have groups of their own, by their reason.  differences: instead of each output, how
    it differs from that of the largest group.
    """

    def __init__(self, chosen, differences=False):
        super().__init__()
        self._ranks = {host.name: rank for rank, host in enumerate(chosen)}
        self._differences = differences
        self._groups = {}               # _Key -> (names, the output of the first one)

    def done(self, host, verdict):
        spool = self._spool(host)
        import hashlib                  # here, and difflib below, for they take long and few ask for them
        digests = [hashlib.sha256(spool.content(stream)).hexdigest() for stream in STREAMS]
        key = _Key(verdict.kind, verdict.reason, ' '.join(digests))
        self._groups.setdefault(key, ([], spool))[0].append(host.name)

    def end(self):
        groups = sorted(self._groups.items(), key=lambda item: (-len(item[1][0]), min(map(self._ranks.get, item[1][0]))))
        answered = [names_and_spool for key, names_and_spool in groups if key.kind in ('ok', 'failed')]
        for key, (names, spool) in groups:
            if self._differences and key.kind in ('ok', 'failed'):
                difference = _difference(answered[0], (names, spool))
                if not difference and key.kind == 'failed':             # only the code differs
                    _put_group(key, names, b'')
                output.put_bytes(difference)
            else:
                _put_group(key, names, _content(spool))


def _content(spool):
    stdout, stderr = (spool.content(stream) for stream in STREAMS)
    return stdout + (b'\n' if stdout and stderr and not stdout.endswith(b'\n') else b'') + stderr


def _put_group(key, names, data):
    if not data and key.kind == 'ok':
        return
    count = ' (%d)' % len(names) if len(names) > 1 else ''
    reason = '' if key.kind == 'ok' else ': ' + key.reason
    end = b'\n' if data and not data.endswith(b'\n') else b''
    head = '%s\n%s%s%s\n%s\n' % (RULE, hostset.fold(names), count, reason, RULE)
    output.put_bytes(head.encode() + data + end)


def _difference(largest, other):
    """A unified diff of the outputs of two groups, (names, spool) each; empty for the same one."""
    import difflib
    before, after = (_content(spool).splitlines(keepends=True) for _names, spool in (largest, other))
    names = [hostset.fold(names).encode() for names, _spool in (largest, other)]
    lines = difflib.diff_bytes(difflib.unified_diff, before, after, names[0], names[1], lineterm=b'\n')
    return b''.join(line if line.endswith(b'\n') else line + b'\n\\ No newline at end of file\n' for line in lines)


class Json(_Spooled):
    """One JSON object a line for each host, as it is done."""

    says_failures = False

    def done(self, host, verdict):
        spool = self._spool(host)
        said = {name: spool.content(name).decode('utf-8', 'replace') for name in STREAMS}
        self._out.out.write(output.json_line(dict(
            {'host': host.name, 'class': verdict.kind, 'code': verdict.code, 'reason': verdict.reason}, **said)))


class WithFiles:
    """Another style, and beside it a file for each host: DIRECTORY/HOST, written as it comes.

    directories: {stream: path}.  A file of an earlier run is emptied, whatever becomes of its host.
    """

    def __init__(self, style, directories):
        self._style = style
        self._directories = directories
        self._files = {}                # (stream, host) -> file
        self.says_failures = style.says_failures
        self.begin, self.end = style.begin, style.end

    def taker(self, host):
        show = self._style.taker(host)

        def take(stream, data):
            if stream in self._directories:
                self._write(stream, host, data)
            show(stream, data)
        return take

    def _write(self, stream, host, data):
        """Write to the file of a host; one that cannot be written is given up, and the others are written."""
        path = self._path(stream, host)
        if output.is_lost(path):
            return
        try:
            file = self._file(stream, host)
            while data:                 # it may take less than all, and then say why
                data = data[file.write(data):]
        except OSError as error:
            output.note_loss(path, error)

    def _path(self, stream, host):
        return os.path.join(self._directories[stream], re.sub(r'[^\w.@:%\[\]-]', '_', host.name, re.ASCII))

    def _file(self, stream, host):
        if (stream, host) not in self._files:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            fd = os.open(self._path(stream, host), flags, 0o600)
            self._files[stream, host] = os.fdopen(fd, 'wb', buffering=0)
        return self._files[stream, host]

    def done(self, host, verdict):
        for stream in self._directories:
            self._write(stream, host, b'')      # the file is there, though nothing was printed
            file = self._files.pop((stream, host), None)
            if file is not None:
                file.close()
        self._style.done(host, verdict)
