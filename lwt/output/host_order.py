"""Output of many hosts: line by line, in order, gathered, as differences, as JSON, or in files.

A style has begin(output), before the loop; taker(host) -> on_payload(stream, data); done(host,
verdict, warning), once for each host; and end(), after the loop.  says_failures: whether lwt says
beside it which hosts failed.  kept(host, printed): how many of the bytes that a host has printed
count against output_limit, because they may fill the disk.
"""

import codecs
import os
import re
from typing import NamedTuple

from lwt.output import job_order, writer
from lwt.workspace import files, nodeset

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
        lines = {name: writer.WholeLines(self._out.stream(name), prefix) for name in STREAMS}
        self._lines[host] = lines
        return lambda stream, data: lines[stream].feed(data)

    def done(self, host, _verdict, _warning):
        for lines in self._lines.pop(host, {}).values():
            lines.finish()

    def kept(self, host, _printed):
        """Whole lines are shown at once; only those that are not whole yet are kept."""
        return sum(lines.unfinished for lines in self._lines.get(host, {}).values())

    def end(self):
        """Nothing is left to show."""


class InHostOrder:
    """The output of each host in turn; that of the first that is not done comes live."""

    says_failures = True

    def __init__(self, chosen, label):
        self._chosen = chosen
        self._label = label

    def begin(self, out):
        self._floor = job_order.InJobOrder(out, live=True, holds_back=False)
        self._speakers = {
            host: self._floor.begin(host.name.encode() + b': ' if self._label else b'')
            for host in self._chosen}

    def taker(self, host):
        return self._speakers[host].feed

    def done(self, host, _verdict, _warning):
        self._floor.done(self._speakers.pop(host))

    def kept(self, _host, printed):
        """All of it: what is shown now holds up the hosts that are shown later."""
        return printed

    def end(self):
        """Nothing is left to show."""


class _Key(NamedTuple):
    """What hosts of one group have in common; said: a digest of what they printed."""

    kind: str
    reason: str
    said: str
    is_cut: bool

    @property
    def is_whole(self):
        """Is the output what the command printed until it ended?"""
        return self.kind in ('ok', 'failed') and not self.is_cut


class _Spooled:
    """Keeps what each host prints until it is done."""

    says_failures = True

    def __init__(self):
        self._spools = {}

    def begin(self, out):
        self._out = out

    def taker(self, host):
        def take(stream, data):
            self._spools.setdefault(host, writer.Spool()).feed(stream, data)
        return take

    def _spool(self, host):
        return self._spools.pop(host, None) or writer.Spool()

    def kept(self, _host, printed):
        """All of it."""
        return printed

    def end(self):
        """Nothing is left to show."""


class Gathered(_Spooled):
    """Equal output and code once, under the names of its hosts, when all are done.

    Hosts that did not get to their end have groups of their own, by their reason.  differences:
    instead of each output, how it differs from that of the largest group.
    """

    def __init__(self, chosen, differences=False):
        super().__init__()
        self._ranks = {host.name: rank for rank, host in enumerate(chosen)}
        self._differences = differences
        self._groups = {}               # _Key -> (names, the output of the first one)
        self._digests = {}              # host -> {stream: the digest of what it has printed so far}

    def taker(self, host):
        take, digests = super().taker(host), self._digests.setdefault(host, _new_digests())

        def digest_and_take(stream, data):
            digests[stream].update(data)
            take(stream, data)
        return digest_and_take

    def done(self, host, verdict, _warning):
        spool = self._spool(host)
        digests = self._digests.pop(host, None) or _new_digests()
        said = ' '.join(digests[stream].hexdigest() for stream in STREAMS)
        key = _Key(verdict.kind, verdict.reason, said, verdict.is_cut)
        self._groups.setdefault(key, ([], spool))[0].append(host.name)

    def end(self):
        groups = sorted(self._groups.items(),
                        key=lambda item: (-len(item[1][0]), min(map(self._ranks.get, item[1][0]))))
        answered = [names_and_spool for key, names_and_spool in groups if key.is_whole]
        for key, (names, spool) in groups:
            if self._differences and key.is_whole:
                difference = _difference(answered[0], (names, spool))
                if not difference and key.kind == 'failed':             # only the code differs
                    _put_group(key, names, writer.Spool())
                writer.put_bytes(difference)
            else:
                _put_group(key, names, spool)


def _new_digests():
    # Here, and difflib below, for they take long and few ask for them.
    import hashlib
    return {stream: hashlib.sha256() for stream in STREAMS}


def _content(spool):
    """What a host printed, in pieces: standard output, then standard error, each ended by a newline
    if it has any.
    """
    for stream in STREAMS:
        piece = b''
        for piece in spool.pieces(stream):
            yield piece
        if piece and not piece.endswith(b'\n'):
            yield b'\n'


def _put_group(key, names, spool):
    """Print what all hosts of a group printed; piece by piece, for it may be more than there is
    memory.
    """
    if not spool.size and key.kind == 'ok':
        return
    count = ' (%d)' % len(names) if len(names) > 1 else ''
    reason = '' if key.kind == 'ok' else ': ' + key.reason
    writer.put_line('%s\n%s%s%s\n%s' % (RULE, nodeset.fold(names), count, reason, RULE))
    writer.put_pieces(_content(spool))


def _difference(largest, other):
    """A unified diff of the outputs of two groups, (names, spool) each; empty for the same one."""
    import difflib
    before, after = (_joined(spool).splitlines(keepends=True) for _names, spool in (largest, other))
    names = [nodeset.fold(names).encode() for names, _spool in (largest, other)]
    lines = difflib.diff_bytes(difflib.unified_diff, before, after, names[0], names[1],
                               lineterm=b'\n')
    return b''.join(line if line.endswith(b'\n') else line + b'\n\\ No newline at end of file\n'
                    for line in lines)


def _joined(spool):
    """What a host printed, with a newline between standard output and standard error, and only
    there.
    """
    stdout, stderr = (b''.join(spool.pieces(stream)) for stream in STREAMS)
    return stdout + (b'\n' if stdout and stderr and not stdout.endswith(b'\n') else b'') + stderr


class Json(_Spooled):
    """One JSON object a line for each host, as it is done."""

    says_failures = False

    def done(self, host, verdict, warning):
        spool = self._spool(host)
        head = {'host': host.name, 'class': verdict.kind, 'code': verdict.code,
                'reason': verdict.reason, 'warning': warning}
        self._out.out.write_from(_json_line(head, spool))


def _json_line(head, spool):
    """A line of JSON in pieces: the members of head, then what a host printed on each stream."""
    import json                         # here, for few ask for it
    yield json.dumps(head)[:-1].encode()
    for stream in STREAMS:
        decoder = codecs.getincrementaldecoder('utf-8')('replace')
        yield b', "%s": "' % stream.encode()
        for piece in spool.pieces(stream):
            yield json.dumps(decoder.decode(piece))[1:-1].encode()
        yield json.dumps(decoder.decode(b'', True))[1:-1].encode() + b'"'
    yield b'}\n'


class Limited:
    """Another style, which takes no more of a host once it keeps `limit` bytes of it.

    What a taker of it returns is True when the host has printed too much.  Without this, one host
    that prints without end would fill the disk, and the output of all others would be lost.
    """

    def __init__(self, style, limit):
        self._style = style
        self._limit = limit
        self.says_failures = style.says_failures
        self.begin, self.end = style.begin, style.end

    def taker(self, host):
        show, kept, limit = self._style.taker(host), self._style.kept, self._limit
        printed, is_over = 0, False

        def take(stream, data):
            nonlocal printed, is_over
            while data and not is_over:
                shown = data[:max(0, limit - kept(host, printed))]
                is_over = not shown
                if shown:
                    show(stream, shown)
                    printed += len(shown)
                    data = data[len(shown):]
            return is_over
        return take

    def done(self, host, verdict, warning):
        self._style.done(host, verdict, warning)


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

    def kept(self, _host, printed):
        """All of it, whatever the other style keeps."""
        return printed

    def taker(self, host):
        show = self._style.taker(host)

        def take(stream, data):
            if stream in self._directories:
                self._write(stream, host, data)
            show(stream, data)
        return take

    def _write(self, stream, host, data):
        """Write to the file of a host; one that cannot be written is given up, and the others are
        written.
        """
        path = self._path(stream, host)
        if writer.is_lost(path):
            return
        try:
            file = self._file(stream, host)
            while data:                 # it may take less than all, and then say why
                data = data[file.write(data):]
        except OSError as error:
            writer.note_loss(path, error)

    def _path(self, stream, host):
        return os.path.join(self._directories[stream],
                            re.sub(r'[^\w.@:%\[\]-]', '_', host.name, re.ASCII))

    def _file(self, stream, host):
        if (stream, host) not in self._files:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            fd = files.open_private(self._path(stream, host), flags)
            self._files[stream, host] = os.fdopen(fd, 'wb', buffering=0)
        return self._files[stream, host]

    def done(self, host, verdict, warning):
        for stream in self._directories:
            self._write(stream, host, b'')      # the file is there, though nothing was printed
            file = self._files.pop((stream, host), None)
            if file is not None:
                file.close()
        self._style.done(host, verdict, warning)
