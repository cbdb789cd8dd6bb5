"""put and get on one host: each is one login and one flow that ends with a Verdict.

The bytes go as tar streams through the ssh of the call itself, not through scp: scp needs a login
of its own, one script before it and one after it, tells nothing of how far it has come, and takes a
round trip for each small file.  With the stream one script does it all: it compares, takes what is
needed, verifies it, and moves it into place by rename; the bytes are under our own loop, so that
they are counted, limited, and cut when none moves.

    put   sh/put.sh is sent the manifest; it answers what it needs; it is sent that, and what its
          digest is to be
    get   sh/get.sh tells how much there is, and sends it, and then its digest; it is taken into a
          directory beside the place,
          which is locked (one get at a time), and renamed when it is what was announced: a target
          is complete or not there
"""

from __future__ import generator_stop

import fnmatch
import os
import re
import tempfile
from typing import NamedTuple

from lwt.copy import arrival, disk_space, local_work, manifest, tarstream
from lwt.errors import LocalError, LwtError
from lwt.remote import budgets, call, scripts, verdicts
from lwt.workspace import files
from lwt.workspace.config import bounded, whole_seconds
from lwt.workspace.hostlist import printable

MOST_KNOWN = 200            # things whose identities fit well into one command line
UNREADABLE = 'an answer that cannot be read'
MOST_TOLD = 5               # of them that are told


class Terms(NamedTuple):
    """How a copy is to go: timeout in seconds and rate in bytes a second, 0 for no limit."""

    timeout: float = 0.0
    rate: float = 0.0


class GetOptions(NamedTuple):
    """replace: may what is there already be replaced?  links: what becomes of symbolic links:
    'follow', 'keep' or 'skip'.
    """

    replace: bool = False
    links: str = 'follow'


class CopyProgress:
    """How far the copies of a run have come: bytes that are to move, and have moved; files sent,
    and those left alone.

    say(text): tells the user at once what does not wait for the end of a copy.
    """

    def __init__(self):
        self.say = lambda text: None
        self.expected = 0
        self.moved = 0
        self.copied = 0
        self.unchanged = 0


# -- put -------------------------------------------------------------------------------------------


class _Sender:
    """The input of sh/put.sh: the manifest and, when the host has said what it needs, that.  (See
    `source` of proc.Command.)
    """

    def __init__(self, wanted, tally, cksums):
        self._entries = wanted.entries
        self._cksums = cksums           # {path: its cksum}, for a host without sha256
        self.lacking = []               # Entries whose cksum is needed first; then nothing was sent
        self._tally = tally
        self._lines = call.Lines(self._hear)
        self._needs = set()             # names as manifest.written() has them
        self._text = wanted.text
        self._chunks = iter(())
        self.is_told = False
        # How many files, and how many directories get another mode or time.
        self._changed = ()
        self.copied = self.unchanged = self.updated = 0
        self.problem = ''               # why what was sent is not all of it
        self.complaint = bytearray()

    def __call__(self, stream, data):
        """Take what the host says; true: no more is wanted."""
        if stream == 'stdout':
            self._lines.feed(data)
        else:
            self._lines.count(data)
            self.complaint += data[:budgets.LINE - len(self.complaint)]
        self.problem = self.problem or self._lines.problem
        return bool(self._lines.problem)

    def _hear(self, line):
        word, _space, rest = line.partition(b' ')
        if word == b'manifest':
            self._chunks = iter((b'%d\n' % len(self._text) + self._text,))
        elif word == b'need':
            if len(self._needs) < len(self._entries) and len(rest) <= budgets.NAME:
                self._needs.add(os.fsdecode(rest))
        elif word == b'all':
            self._needs = {manifest.written(entry.name) for entry in self._entries}
        elif word == b'set':
            numbers = rest.decode('ascii', 'replace').split()
            self._changed = tuple(bounded(number, 0, len(self._entries)) or 0 for number in numbers)
        elif word == b'go' and rest in (b'sha256', b'cksum') and not self.is_told:
            self.is_told = True
            self._chunks = self._needed(rest.decode())

    def _needed(self, kind):
        """What the host needs, as chunks of bytes."""
        needed = [entry for entry in self._entries if manifest.written(entry.name) in self._needs]
        self.copied = sum(1 for entry in needed if entry.digest or entry.link)
        self.updated = sum(self._changed[:2])
        if kind == 'cksum':
            self.lacking = [entry
                            for entry in needed if entry.digest and entry.path not in self._cksums]
            if sum(entry.size for entry in self.lacking) > local_work.SMALL:
                return
            self.lacking = []
        count = sum(1 for entry in self._entries if entry.digest or entry.link)
        self.unchanged = max(0, count - self.copied - sum(self._changed[:1]))
        self._tally.expected += sum(entry.size for entry in needed)
        try:
            yield ('%d %s\n'
                   % (len(needed), manifest.contents(needed, kind, self._cksums))).encode()
            for chunk in manifest.stream(needed) if needed else ():
                self._tally.moved += len(chunk)
                yield chunk
        except manifest.Changed as changed:
            self.problem = str(changed)

    def read(self, _size):
        """The next chunk; None while the host has not yet said what it needs; b'' at the end."""
        chunk = next(self._chunks, b'')
        return chunk or (b'' if self.is_told else None)

    def close(self):
        """Close the file that is being read."""
        if self.is_told:
            self._chunks.close()


def put(session, host, wanted, target, terms, tally):
    """Flow: copy the files and directories of a Manifest to a host; returns a Verdict, whose reason
    tells what was done.

    target: as for cp: a directory to put them into, or a new name for a single one.
    """
    session = session.at(host)
    stall = session.settings.stall
    words = [host.home, target, wanted.single, whole_seconds(stall or session.settings.lease)]
    limits = session.limits(terms.timeout, stall)
    cksums, sender = {}, None

    def make(frame):
        nonlocal sender
        sender = _Sender(wanted, tally, cksums)
        return scripts.plain(session.transport, host, 'put', words, frame,
                             limits)._replace(source=sender, rate=terms.rate)

    while True:
        verdict = yield from call.call(session, make, lambda stream, data: sender(stream, data),
                                       'put')
        if not sender.lacking:
            break
        argument = [[entry.path, entry.version] for entry in sender.lacking]
        numbers, problem = yield from local_work.do(find_cksums, argument,
                                                    sum(entry.size for entry in sender.lacking))
        if problem:
            return refused(problem)
        cksums.update(zip((entry.path for entry in sender.lacking), numbers))
    if sender.problem:
        return refused(sender.problem)
    if not verdict.ok:
        return verdicts.with_complaint(verdict, bytes(sender.complaint))
    if not sender.is_told:
        return refused(UNREADABLE)
    tally.copied += sender.copied
    tally.unchanged += sender.unchanged
    return done(sender.copied, sender.unchanged, sender.updated, wanted.skipped)


@local_work.job
def find_cksums(argument):
    """[the cksums of files, why they cannot be had]; argument: [[path, version]]."""
    try:
        return [[manifest.cksum(manifest.content(manifest.Entry('', path, 0, 0, tuple(version))))
                 for path, version in argument], '']
    except manifest.Changed as changed:
        return [[], str(changed)]


def done(copied, unchanged, updated=0, skipped=0):
    """The Verdict on a copy that went well: so many files; updated: how many of those that are the
    same have another mode or time now; skipped: how many symbolic links were left out.
    """
    text = '%d file%s copied' % (copied, '' if copied == 1 else 's')
    text += ', %d with another mode or time' % updated if updated else ''
    text += ', %d unchanged' % unchanged if unchanged else ''
    text += (', %d symbolic link%s left out' % (skipped, '' if skipped == 1 else 's') if skipped
             else '')
    return verdicts.Verdict('ok', 0, text)


def refused(reason):
    """The Verdict on a copy that cannot be."""
    return verdicts.Verdict('failed', 1, reason)


# -- get -------------------------------------------------------------------------------------------


class _Receiver:
    """Takes the output of sh/get.sh: what is announced, then the stream, into a file.  Used as a
    context manager.

    problem: why nothing more is wanted; then the host is stopped.  failures: what does not come,
    and why, a line each.
    """

    def __init__(self, patterns, directory, options, tally):
        self._patterns = patterns
        self._directory = directory
        self._options = options
        self._tally = tally
        self._lines = call.Lines(self._hear)
        # Of standard output: the announcement, as far as it has no end.
        self._head = b''
        self._tar = self._complaint = ''
        self._digests = []
        self._room = 0                  # bytes that the stream may still have
        self._lock = None
        self._file = None
        self.paths = {}                 # what comes: absolute path there -> name here
        self._watch = None              # of the room on this machine
        # What is here already: name -> (its identity, how many files it is)
        self.have = {}
        # The names of what is here and must not be replaced, as far as the host is told.
        self.kept = []
        self._same = set()              # the names of what does not come, for it is here
        # What comes: name -> how many files, and at least how many bytes it is.
        self._count, self._size = {}, {}
        self.files = self.bytes = 0
        self.received = 0               # bytes of the stream
        self.part = ''
        self.problem = ''
        self.failures = []
        self.error = None               # what this machine could not do

    def __enter__(self):
        return self

    def look_around(self):
        """Flow: note what is here already: it need not come if it is the same, and may not if it
        must not be replaced.
        """
        names = [name for name in _names(self._directory)
                 if any(_may_be(name, pattern) for pattern in self._patterns)]
        if not self._options.replace:
            self.kept = names[:MOST_KNOWN]
        if self._options.links == 'follow' and names:
            known = names[:MOST_KNOWN]
            size = sum(_least_size(os.path.join(self._directory, name)) for name in known)
            self.have = yield from local_work.do(arrival.identify, [self._directory, known], size)

    def __exit__(self, *_exc):
        try:
            self.close()
            if self.part:               # it is gone, unless discard was interrupted
                arrival.discard(self._directory, self.part)
        finally:
            if self._lock is not None:
                self._lock.release()

    def discard(self):
        """Flow: remove what came and is not in its place; what was moved aside for it is back
        before.
        """
        self.close()
        if self.part:
            arrival.restore(self._directory, self.part)
            yield from local_work.remove(self.part)

    def words(self):
        """The arguments of sh/get.sh."""
        return (' '.join(identity for identity, _count in self.have.values()), self._options.links,
                str(len(self.kept)),
                ) + tuple(self.kept) + tuple(self._patterns)

    def __call__(self, stream, data):
        """Take bytes; true: no more is wanted."""
        if self.problem or self.error:
            return True
        try:
            if stream == 'stderr':
                self._lines.feed(data)
            else:
                self._take(data)
        except (OSError, LwtError) as error:    # the flow raises it: here it would end the loop
            self.error = error
        self.problem = self.problem or self._lines.problem
        return bool(self.problem or self.error)

    def _take(self, data):
        """Take bytes of standard output: lines up to "send", then the stream."""
        if self._file is None:
            self._lines.count(data)
            data = self._head + data
            at = 0
            while self._file is None and not self.problem and data.find(b'\n', at) >= 0:
                end = data.find(b'\n', at)
                self._announce(data[at:end].decode('utf-8', 'surrogateescape'))
                at = end + 1
            self._head = data = data[at:]
        if self._file is not None and not self.problem:
            self._write(data)
        elif len(self._head) > budgets.LINE and not self.problem:
            self.problem = UNREADABLE

    def _write(self, data):
        if len(data) > self._room:
            self.problem = 'it sends more than it announced'
            return
        self._room -= len(data)
        self.received += len(data)
        self._tally.moved += len(data)
        if self._watch.is_short(self.received):
            self.problem = ('%s: no room here for more than %d MB'
                            % (self._directory, self.received >> 20))
            return
        while data:                     # it may take less than all, and then say why
            data = data[self._file.write(data):]

    def _hear(self, line):
        """Take a line of standard error."""
        word, _space, rest = line.decode('utf-8', 'surrogateescape').partition(' ')
        if word == 'refused':
            self.problem = self.problem or verdicts.printable_text(rest)
        elif word == 'tar':
            self._tar = rest
        elif word == 'digest':
            if len(self._digests) < budgets.PATHS:
                self._digests.append(rest[:budgets.TEXT])
        elif word != 'tick' and line and not self._complaint:
            self._complaint = verdicts.printable_text(line.decode('utf-8', 'replace'))

    def _announce(self, line):
        """Take a line of the announcement, which tells of one path, or "send": that was all."""
        word, _space, rest = line.partition(' ')
        if word == 'send':
            self._open()
        elif word == 'except':
            self._fail(verdicts.printable_text(rest))
        elif word in ('same', 'differs'):
            name = decoded(rest).rpartition('/')[2]
            if word == 'same' and name in self.have:
                self._same.add(name)
            elif word == 'differs' and name in self.kept:
                self._fail_existing(name)
            else:
                self.problem = UNREADABLE
        else:
            self._announce_path(word, rest)

    def _announce_path(self, word, rest):
        """Take "path FILES BYTES PATH"."""
        count, size, path = (rest.split(' ', 2) + [''] * 2)[:3]
        count, size, path = bounded(count, 0, 1 << 50), bounded(size, 0, 1 << 60), decoded(path)
        name = path.rpartition('/')[2]
        is_path = path.startswith('/') and '\0' not in path and path not in self.paths
        if word != 'path' or None in (count, size) or not is_path:
            self.problem = UNREADABLE
        elif len(self.paths) >= budgets.PATHS:
            self.problem = 'more than %d things at a time' % budgets.PATHS
        elif count > budgets.MEMBERS - self.files:
            self.problem = 'more than %d files at a time' % budgets.MEMBERS
        elif name in ('', '.', '..'):
            self.problem = '%s: cannot be fetched as a whole' % printable(name)
        elif not any(_may_be(name, pattern) for pattern in self._patterns):
            self.problem = 'it sends what nobody asked for: %s' % printable(name)
        else:
            if name in self._count:
                self._fail('%s: two things of this name' % printable(name))
                name = ''
            else:
                self._count[name], self._size[name] = count, size
            self.paths[path] = name
            self.files += count
            self.bytes += size

    def _fail(self, text):
        if len(self.failures) < budgets.PATH_FAILURES:
            self.failures.append(text)

    def _fail_existing(self, name):
        self._fail(arrival.existing_text(self._directory, name))

    def _open(self):
        """All is announced: make the place where it is taken, if there is room for it."""
        if not self.paths:
            return
        files.make_dir(self._directory)
        self._lock = files.Lock(self._directory)
        if not self._lock.take():
            self.problem = '%s: another get is under way there' % self._directory
            return
        _clear(self._directory)
        room = disk_space.room(self._directory)
        needed = room.needed(self.bytes)
        if needed > room.free:          # the stream and what is unpacked from it lie side by side
            self.problem = '%s: no room here for %d bytes: %d bytes are needed, %d are free' % (
                self._directory, self.bytes, needed, room.free)
            return
        self._watch = disk_space.Watch(self._directory)
        self.part = tempfile.mkdtemp(prefix='.part-', dir=self._directory)
        self._file = open(arrival.stream_path(self.part), 'xb', buffering=0)
        self._room = (self.bytes + (self.files + len(self.paths)) * budgets.MEMBER_ROOM
                      + budgets.DIRECTORIES_ROOM)
        self._tally.expected += self.bytes

    def delivery(self):
        """What came, as an arrival.Delivery."""
        digests = dict(zip(self.paths, self._digests))
        announced = [arrival.Announced(path, name, self._count.get(name, 0),
                                       self._size.get(name, 0), digests.get(path, ''))
                     for path, name in self.paths.items()]
        return arrival.Delivery(self._directory, self.part, announced, self._tar, self._complaint,
                                self._options.replace, self._options.links != 'follow')

    def close(self):
        """Close the file with the stream."""
        if self._file is not None:
            self._file.close()

    def accept(self):
        """Flow: unpack, verify and move into place what came; returns a Verdict."""
        unchanged = sum(self.have[name][1] for name in self._same)
        self._tally.unchanged += unchanged
        copied = 0
        if self.paths:
            self.close()
            if (self.received >= budgets.ROOM_EVERY
                and disk_space.room(self._directory).free < self.received):
                return refused('%s: no room here to unpack %d bytes'
                               % (self._directory, self.received))
            work = tarstream.work(arrival.stream_path(self.part), local_work.SMALL + 1)
            work = max(work, len(self.paths) * tarstream.THING)
            try:
                copied, failures = yield from local_work.do(arrival.accept, self.delivery(), work)
            except local_work.Crashed as error:
                failures = [error.message]
            for text in failures:
                self._fail(text)
        self._tally.copied += copied
        if self.failures:
            more = len(self.failures) - MOST_TOLD
            return refused('; '.join(self.failures[:MOST_TOLD])
                           + ('; and %d more' % more if more > 0 else ''))
        return done(copied, unchanged)


def decoded(text):
    """A name as sh/namelib.sh writes it."""
    return re.sub(r'\\(.?)', lambda match: '\n' if match.group(1) == 'n' else match.group(1), text)


def _names(directory):
    """The names in a local directory, none where there is no such directory; not those of a get."""
    if not os.path.isdir(directory):
        return []
    return sorted(name for name in os.listdir(directory) if not name.startswith('.part-'))


def _least_size(path):
    """Bytes that are read to know a file; more than a small job may read of a directory."""
    return os.path.getsize(path) if os.path.isfile(path) else local_work.SMALL + 1


def _may_be(name, pattern):
    """May a thing of this name be what a pattern means, as far as can be told here?"""
    last = pattern.rstrip('/').rpartition('/')[2]
    if '[' in last or '\\' in last or last in ('', '.', '..', '~'):
        return True
    return fnmatch.fnmatchcase(name, last)


def _clear(directory):
    """Remove what a get left behind that was killed: we have the lock, so nobody is at it."""
    for part in [name for name in os.listdir(directory) if name.startswith('.part-')]:
        arrival.discard(directory, os.path.join(directory, part))


def get(session, host, paths, directory, terms, options, tally):
    """Flow: copy files and directories of a host into a local directory; returns a Verdict, whose
    reason tells what was done.

    paths: * ? [ ] are expanded on the host.  options: GetOptions.  What cannot come is named, and
    everything else is there.
    """
    session = session.at(host)
    # An OSError out of a flow would end the run; this one concerns the directory of one host.
    with files.local_errors(directory), _Receiver(paths, directory, options, tally) as receiver:
        yield from receiver.look_around()
        try:
            verdict = yield from _receive(session, host, terms, receiver)
        except (OSError, LwtError):
            yield from receiver.discard()
            raise
        yield from receiver.discard()
        return verdict


def _receive(session, host, terms, receiver):
    """Flow: have a host send what a _Receiver wants, and accept it; returns a Verdict."""
    limits = session.limits(terms.timeout, session.settings.stall)
    script = scripts.script_text(*scripts.LONG_SCRIPTS['get'])
    verdict = yield from call.call(session, lambda frame: scripts.guarded(
        session.transport, host, script, receiver.words(), frame, limits)._replace(rate=terms.rate),
                                   receiver, 'get')
    error = receiver.error
    if isinstance(error, LwtError):     # whatever its class: it comes too late to be one of usage
        raise LocalError(error.message, error.hint)
    if error is not None:
        raise error
    if receiver.problem:
        return refused(receiver.problem)
    return (yield from receiver.accept()) if verdict.ok else verdict
