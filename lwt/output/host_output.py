"""The output of many hosts: in a certain order, gathered, as differences, as JSON, or in files."""

import codecs
import os
import re
from typing import NamedTuple

from lwt.output import ordering, writer
from lwt.output.ordering import STREAMS
from lwt.output.spool import Spool
from lwt.workspace import files, nodeset

RULE = '-' * 15


class HostOutput:
    """Processes the output of the hosts of one run.  Base class.

    says_failures: whether lwt prints messages about failed hosts; JSON contains them already.
    """

    says_failures = True

    def begin(self, out):
        """Called when the run begins.  out: the writer.Output to print on."""
        self._out = out

    def taker(self, host):
        """Returns the function take(stream, data) for the output of a host; called once per host.

        stream: 'stdout' or 'stderr'.  take returns True if no more output is wanted.
        """
        raise NotImplementedError

    def done(self, host, verdict, warning):
        """Called once for each host, when it is done.  warning: a message, or ''."""

    def kept(self, host, printed):
        """The number of bytes that count against the option output_limit, because they are stored.

        printed: number of bytes that the host has printed.
        """
        return printed

    def end(self):
        """Called at the end of the run: print the rest."""


class Ordered(HostOutput):
    """Prints lines as they arrive, or host after host.

    chosen: the Hosts in their order.  has_label: put the host name before each line.  keep_order:
    print the output host by host.
    """

    def __init__(self, chosen, has_label, keep_order):
        self._chosen = chosen
        self._has_label = has_label
        self._keep_order = keep_order
        self._outputs = {}              # Host -> CommandOutput, for hosts that are not done

    def begin(self, out):
        if self._keep_order:
            self._ordering = ordering.InOrder(out, live=True, holds_back=False)
            for host in self._chosen:
                self._open(host)
        else:
            self._ordering = (ordering.LineByLine if self._has_label else ordering.Direct)(out)

    def _open(self, host):
        label = host.name.encode() + b': ' if self._has_label else b''
        self._outputs[host] = self._ordering.begin(label)

    def taker(self, host):
        if host not in self._outputs:
            self._open(host)
        return self._outputs[host].feed

    def done(self, host, _verdict, _warning):
        if host in self._outputs:
            self._ordering.done(self._outputs.pop(host))

    def kept(self, host, printed):
        # With keep_order, output that is printed now delays the hosts that come later.
        return printed if self._keep_order else self._outputs[host].unfinished


class _Key(NamedTuple):
    """The key of a group of hosts.  digests: the digests of their output."""

    kind: str
    reason: str
    digests: str
    is_cut: bool

    @property
    def is_complete(self):
        """Whether the output is all that the command printed until it ended."""
        return self.kind in ('ok', 'failed') and not self.is_cut


class _Stored(HostOutput):
    """Stores the output of each host until the host is done."""

    def __init__(self):
        self._spools = {}

    def taker(self, host):
        def take(stream, data):
            self._spools.setdefault(host, Spool()).feed(stream, data)
        return take

    def _spool(self, host):
        return self._spools.pop(host, None) or Spool()


class Gathered(_Stored):
    """Prints equal output once, under the names of its hosts, when all hosts are done.

    Hosts with different exit codes or reasons are in different groups.  Groups without output are
    not printed.  differences: print only how each output differs from that of the largest group.
    """

    def __init__(self, chosen, differences=False):
        super().__init__()
        self._ranks = {host.name: rank for rank, host in enumerate(chosen)}
        self._differences = differences
        self._groups = {}               # _Key -> (names, the Spool of the first host)
        self._digests = {}              # Host -> {stream: digest of its output so far}

    def taker(self, host):
        take, digests = super().taker(host), self._digests.setdefault(host, _new_digests())

        def digest_and_take(stream, data):
            digests[stream].update(data)
            take(stream, data)
        return digest_and_take

    def done(self, host, verdict, _warning):
        spool = self._spool(host)
        digests = self._digests.pop(host, None) or _new_digests()
        joined = ' '.join(digests[stream].hexdigest() for stream in STREAMS)
        key = _Key(verdict.kind, verdict.reason, joined, verdict.is_cut)
        self._groups.setdefault(key, ([], spool))[0].append(host.name)

    def end(self):
        groups = sorted(self._groups.items(),
                        key=lambda item: (-len(item[1][0]), min(map(self._ranks.get, item[1][0]))))
        complete = [group for key, group in groups if key.is_complete]
        for key, (names, spool) in groups:
            if self._differences and key.is_complete:
                writer.put_bytes(_difference(complete[0], (names, spool)))
            elif spool.size:
                _print_group(key, names, spool)


def _new_digests():
    # Imported here, like difflib below, because few commands need it.
    import hashlib
    return {stream: hashlib.sha256() for stream in STREAMS}


def _content(spool):
    """The output of a host in pieces: standard output, then standard error, each ended by a newline
    unless it is empty.
    """
    for stream in STREAMS:
        piece = b''
        for piece in spool.pieces(stream):
            yield piece
        if piece and not piece.endswith(b'\n'):
            yield b'\n'


def _print_group(key, names, spool):
    """Print the output of a group; in pieces, because it may be larger than the memory."""
    count = ' (%d)' % len(names) if len(names) > 1 else ''
    reason = '' if key.kind == 'ok' else ': ' + key.reason
    writer.put_line('%s\n%s%s%s\n%s' % (RULE, nodeset.fold(names), count, reason, RULE))
    writer.put_pieces(_content(spool))


def _difference(largest, other):
    """A unified diff of the output of two groups, as bytes; empty if they are equal.

    largest, other: (names, Spool).
    """
    import difflib
    before, after = (_joined(spool).splitlines(keepends=True) for _names, spool in (largest, other))
    names = [nodeset.fold(names).encode() for names, _spool in (largest, other)]
    lines = difflib.diff_bytes(difflib.unified_diff, before, after, names[0], names[1],
                               lineterm=b'\n')
    return b''.join(line if line.endswith(b'\n') else line + b'\n\\ No newline at end of file\n'
                    for line in lines)


def _joined(spool):
    """The output of a host, with a newline between standard output and standard error only."""
    stdout, stderr = (b''.join(spool.pieces(stream)) for stream in STREAMS)
    return stdout + (b'\n' if stdout and stderr and not stdout.endswith(b'\n') else b'') + stderr


class Json(_Stored):
    """Prints one JSON object per line and host, when the host is done."""

    says_failures = False

    def done(self, host, verdict, warning):
        spool = self._spool(host)
        head = {'host': host.name, 'class': verdict.kind, 'code': verdict.code,
                'reason': verdict.reason, 'warning': warning}
        self._out.out.write_from(_json_line(head, spool))


def _json_line(head, spool):
    """A line of JSON in pieces: the members of head, then the output of each stream."""
    import json                         # here, because few commands need it
    yield json.dumps(head)[:-1].encode()
    for stream in STREAMS:
        decoder = codecs.getincrementaldecoder('utf-8')('replace')
        yield b', "%s": "' % stream.encode()
        for piece in spool.pieces(stream):
            yield json.dumps(decoder.decode(piece))[1:-1].encode()
        yield json.dumps(decoder.decode(b'', True))[1:-1].encode() + b'"'
    yield b'}\n'


class _Around(HostOutput):
    """Adds something to another HostOutput."""

    def __init__(self, inner):
        self._inner = inner
        self.says_failures = inner.says_failures

    def begin(self, out):
        self._inner.begin(out)

    def done(self, host, verdict, warning):
        self._inner.done(host, verdict, warning)

    def end(self):
        self._inner.end()


class Limited(_Around):
    """Accepts no more output of a host when `limit` bytes of it are stored.

    Without this, one host that prints without end would fill the disk, and the output of all others
    would be lost.
    """

    def __init__(self, inner, limit):
        super().__init__(inner)
        self._limit = limit

    def taker(self, host):
        show, kept, limit = self._inner.taker(host), self._inner.kept, self._limit
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


class WithFiles(_Around):
    """Also writes the output of each host to a file DIRECTORY/HOST, as it arrives.

    directories: {stream: path}.  The file of an earlier run is emptied, also if the host fails.
    """

    def __init__(self, inner, directories):
        super().__init__(inner)
        self._directories = directories
        self._files = {}                # (stream, Host) -> open file

    def taker(self, host):
        show = self._inner.taker(host)

        def take(stream, data):
            if stream in self._directories:
                self._write(stream, host, data)
            show(stream, data)
        return take

    def _write(self, stream, host, data):
        """Write to the file of a host.  A file that cannot be written is noted as a loss, and the
        run continues without it.
        """
        path = self._path(stream, host)
        if writer.is_lost(path):
            return
        try:
            file = self._file(stream, host)
            while data:                 # after a partial write, the next one raises the error
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
            self._write(stream, host, b'')      # creates the file if nothing was printed
            file = self._files.pop((stream, host), None)
            if file is not None:
                file.close()
        super().done(host, verdict, warning)
