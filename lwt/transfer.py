"""Copies: put and get on one host, each one login and one flow that ends with a verdict.

The bytes go as tar streams through the ssh of the call itself, not through scp: scp needs a login of its own, one script before
it and one after it, tells nothing of how far it has come, and takes a round trip for each small file.  With the stream one
script does it all: it compares, takes what is needed, verifies it, and moves it into place by rename; the bytes are under our
own loop, so that they are counted, limited, and cut when none moves.

    put   sh/put.sh is sent the manifest; it answers what it needs; it is sent that, and what its digest is to be
    get   sh/get.sh tells how much there is, and sends it, and then its digest; it is taken into a directory beside the place,
          which is locked (one get at a time), and renamed when it is what was announced: a target is complete or not there
"""

from __future__ import generator_stop

import fnmatch
import os
import re
import tarfile
import tempfile
from typing import NamedTuple

from lwt import archive, call, files, manifest, remote, ssh
from lwt.config import bounded, plain_seconds
from lwt.errors import LocalError, UsageError
from lwt.hosts import printable

LINE_LIMIT = 1 << 16        # bytes of a line that a host tells
MOST_KNOWN = 200            # things whose identities fit well into one command line
UNREADABLE = 'an answer that cannot be read'
MOST_PATHS = 100000         # things that may come in one get
MOST_FAILURES = 1000        # things that do not come of which a host may tell
MOST_TOLD = 5               # of them that are told
CHANGED = 'changed while it was read'
ROOM_FOR_A_NAME = 6144      # bytes that tar may need for one name, beside the content
ROOM_FOR_DIRECTORIES = 1 << 26      # bytes for their names; they are not announced


class Terms(NamedTuple):
    """How a copy is to go: timeout in seconds and rate in bytes a second, 0 for no limit."""

    timeout: float = 0.0
    rate: float = 0.0


class GetOptions(NamedTuple):
    """replace: may what is there already be replaced?  links: what becomes of symbolic links: 'follow', 'keep' or 'skip'."""

    replace: bool = False
    links: str = 'follow'


class Tally:
    """How far the copies of a run have come: bytes that are to move, and have moved; files sent, and those left alone."""

    def __init__(self):
        self.expected = 0
        self.moved = 0
        self.copied = 0
        self.unchanged = 0


class Lines:
    """Cuts what a host tells into lines.  take(line) hears each, as bytes."""

    def __init__(self, take):
        self._take = take
        self._partial = b''

    def feed(self, data):
        """Take bytes."""
        *lines, self._partial = (self._partial + data).split(b'\n')
        self._partial = self._partial[:LINE_LIMIT]
        for line in lines:
            self._take(line)


# -- put --------------------------------------------------------------------------------------------------------------------


class _Sender:
    """The input of sh/put.sh: the manifest and, when the host has said what it needs, that.  (See `source` of proc.Command.)"""

    def __init__(self, wanted, tally):
        self._entries = wanted.entries
        self._tally = tally
        self._lines = Lines(self._hear)
        self._needs = set()             # names as manifest.written() has them
        self._text = wanted.text
        self._chunks = iter(())
        self.is_told = False
        self._changed = ()              # how many files, and how many directories get another mode or time
        self.copied = self.unchanged = self.updated = 0
        self.problem = ''               # why what was sent is not all of it
        self.complaint = bytearray()

    def __call__(self, stream, data):
        """Take what the host says."""
        if stream == 'stdout':
            self._lines.feed(data)
        else:
            self.complaint += data[:LINE_LIMIT - len(self.complaint)]

    def _hear(self, line):
        word, _space, rest = line.partition(b' ')
        if word == b'manifest':
            self._chunks = iter((b'%d\n' % len(self._text) + self._text,))
        elif word == b'need':
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
        count = sum(1 for entry in self._entries if entry.digest or entry.link)
        self.unchanged = max(0, count - self.copied - sum(self._changed[:1]))
        self._tally.expected += sum(entry.size for entry in needed)
        try:
            yield ('%d %s\n' % (len(needed), manifest.contents(needed, kind))).encode()
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
    """Flow: copy the files and directories of a Manifest to a host; returns a Verdict, whose reason tells what was done.

    target: as for cp: a directory to put them into, or a new name for a single one.
    """
    session = session.at(host)
    stall = session.settings.stall
    words = [host.home, target, wanted.single, plain_seconds(stall or session.settings.lease)]
    limits = session.limits(terms.timeout, stall)
    sender = None

    def make(frame):
        nonlocal sender
        sender = _Sender(wanted, tally)
        return remote.plain(session.transport, host, 'put', words, frame, limits)._replace(source=sender, rate=terms.rate)

    verdict = yield from call.call(session, make, lambda stream, data: sender(stream, data), 'put')
    if sender.problem:
        return refused(sender.problem)
    if not verdict.ok:
        return ssh.with_complaint(verdict, bytes(sender.complaint))
    if not sender.is_told:
        return refused(UNREADABLE)
    tally.copied += sender.copied
    tally.unchanged += sender.unchanged
    return done(sender.copied, sender.unchanged, sender.updated, wanted.skipped)


def done(copied, unchanged, updated=0, skipped=0):
    """The Verdict on a copy that went well: so many files; updated: how many of those that are the same have another mode or time
    now; skipped: how many symbolic links were left out."""
    text = '%d file%s copied' % (copied, '' if copied == 1 else 's')
    text += ', %d with another mode or time' % updated if updated else ''
    text += ', %d unchanged' % unchanged if unchanged else ''
    text += ', %d symbolic link%s left out' % (skipped, '' if skipped == 1 else 's') if skipped else ''
    return ssh.Verdict('ok', 0, text)


def refused(reason):
    """The Verdict on a copy that cannot be."""
    return ssh.Verdict('failed', 1, reason)


# -- get --------------------------------------------------------------------------------------------------------------------


class _Receiver:
    """Takes the output of sh/get.sh: what is announced, then the stream, into a file.  Used as a context manager.

    problem: why nothing more is wanted; then the host is stopped.  failures: what does not come, and why, a line each.
    """

    def __init__(self, patterns, directory, options, tally):
        self._patterns = patterns
        self._directory = directory
        self._options = options
        self._tally = tally
        self._lines = Lines(self._hear)
        self._head = b''                # of standard output: the announcement, as far as it has no end
        self._tar = self._complaint = ''
        self._digests = []
        self._room = 0                  # bytes that the stream may still have
        self._lock = None
        self._file = None
        self.paths = {}                 # what comes: absolute path there -> name here
        self.have = {}                  # what is here already: name -> (its identity, how many files it is)
        self.kept = []                  # the names of what is here and must not be replaced, as far as the host is told
        self._same = set()              # the names of what does not come, for it is here
        self._count, self._size = {}, {}    # what comes: name -> how many files, and at least how many bytes it is
        self.files = self.bytes = 0
        self.part = ''
        self.problem = ''
        self.failures = []
        self.error = None               # what this machine could not do

    def __enter__(self):
        if os.path.isdir(self._directory):
            for name in sorted(os.listdir(self._directory)):
                if any(_may_be(name, pattern) for pattern in self._patterns) and not name.startswith('.part-'):
                    self._look_at(name)
        return self

    def _look_at(self, name):
        """Note what is here under a name: it need not come again if it is the same, and may not if it must not be replaced."""
        if not self._options.replace and len(self.kept) < MOST_KNOWN:
            self.kept.append(name)
        if self._options.links != 'follow' or len(self.have) >= MOST_KNOWN:
            return
        try:
            entries = manifest.survey([os.path.join(self._directory, name)], 'refuse').entries
        except UsageError:              # not as a get would have left it
            return
        self.have[name] = manifest.identity(entries, name), sum(1 for entry in entries if entry.digest)

    def __exit__(self, *_exc):
        if self._file is not None:
            self._file.close()
        if self.part:
            files.remove_tree(self.part)
        if self._lock is not None:
            self._lock.release()

    def words(self):
        """The arguments of sh/get.sh."""
        return (' '.join(identity for identity, _count in self.have.values()), self._options.links, str(len(self.kept)),
                ) + tuple(self.kept) + tuple(self._patterns)

    def __call__(self, stream, data):
        """Take bytes; true: no more is wanted."""
        try:
            if stream == 'stderr':
                self._lines.feed(data)
            else:
                self._take(data)
        except OSError as error:        # the flow raises it: here it would end the loop
            self.error = error
        return bool(self.problem or self.error)

    def _take(self, data):
        """Take bytes of standard output: lines up to "send", then the stream."""
        if self._file is None:
            self._head += data
        while self._file is None and not self.problem and b'\n' in self._head:
            line, _newline, self._head = self._head.partition(b'\n')
            data = self._head
            self._announce(line.decode('utf-8', 'surrogateescape'))
        if self._file is not None and not self.problem:
            self._write(data)
        elif len(self._head) > LINE_LIMIT and not self.problem:
            self.problem = UNREADABLE

    def _write(self, data):
        if len(data) > self._room:
            self.problem = 'it sends more than it announced'
            return
        self._room -= len(data)
        self._tally.moved += len(data)
        while data:                     # it may take less than all, and then say why
            data = data[self._file.write(data):]

    def _hear(self, line):
        """Take a line of standard error."""
        word, _space, rest = line.decode('utf-8', 'surrogateescape').partition(' ')
        if word == 'refused':
            self.problem = self.problem or ssh.printable_text(rest)
        elif word == 'tar':
            self._tar = rest
        elif word == 'digest':
            if len(self._digests) < MOST_PATHS:
                self._digests.append(rest)
        elif word != 'tick' and line and not self._complaint:
            self._complaint = ssh.printable_text(line.decode('utf-8', 'replace'))

    def _announce(self, line):
        """Take a line of the announcement, which tells of one path, or "send": that was all."""
        word, _space, rest = line.partition(' ')
        if word == 'send':
            self._open()
        elif word == 'except':
            self._fail(ssh.printable_text(rest))
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
        if word != 'path' or None in (count, size) or not path.startswith('/') or path in self.paths:
            self.problem = UNREADABLE
        elif len(self.paths) >= MOST_PATHS:
            self.problem = 'more than %d things at a time' % MOST_PATHS
        elif name in ('', '.', '..'):
            self.problem = '%s: cannot be fetched as a whole' % printable(name)
        elif not any(_may_be(name, pattern) for pattern in self._patterns):
            self.problem = 'it sends what nobody asked for: %s' % printable(name)
        elif name in self.paths.values():
            self._fail('%s: two things of this name' % printable(name))
            self.paths[path] = ''
            self.bytes += size
        else:
            self.paths[path] = name
            self._count[name], self._size[name] = count, size
            self.files += count
            self.bytes += size

    def _fail(self, text):
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(text)

    def _fail_existing(self, name):
        self._fail('%s: is there already, and differs; --force replaces it' % os.path.join(self._directory, name))

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
        free = os.statvfs(self._directory)
        if self.bytes > free.f_bavail * free.f_frsize:
            self.problem = '%s: no room for %d bytes' % (self._directory, self.bytes)
            return
        self.part = tempfile.mkdtemp(prefix='.part-', dir=self._directory)
        self._file = open(os.path.join(self.part, 'stream'), 'w+b', buffering=0)
        self._room = self.bytes + (self.files + len(self.paths)) * ROOM_FOR_A_NAME + ROOM_FOR_DIRECTORIES
        self._tally.expected += self.bytes

    def accept(self):
        """Unpack, verify and move into place what came; returns a Verdict."""
        unchanged = sum(self.have[name][1] for name in self._same)
        self._tally.unchanged += unchanged
        copied = 0
        try:
            good = self._verified() if self.paths else []
            for name in good:
                place = os.path.join(self._directory, name)
                if not self._options.replace and os.path.lexists(place):
                    self._fail_existing(name)
                    continue
                _swap(os.path.join(self.part, 'new', name), place, os.path.join(self.part, 'old', name))
                copied += self._count[name]
        except OSError as error:
            raise LocalError('%s: %s' % (self._directory, error.strerror or error))
        self._tally.copied += copied
        if self.failures:
            more = len(self.failures) - MOST_TOLD
            return refused('; '.join(self.failures[:MOST_TOLD]) + ('; and %d more' % more if more > 0 else ''))
        return done(copied, unchanged)

    def _verified(self):
        """Unpack the stream; returns the names of what came whole and as it is there.  The others are noted as failures."""
        for name in ('old', 'new'):
            os.mkdir(os.path.join(self.part, name), 0o700)
        problem = self._unpack()
        if problem or not self._tar:
            is_changed = _says_changed(self._complaint) and len(self.paths) == 1
            self._fail('%s: %s' % (printable_path(next(iter(self.paths))), CHANGED) if is_changed else
                       problem or self._complaint or 'tar failed')
            return []
        good, digests = [], dict(zip(self.paths, self._digests))
        for path, name in self.paths.items():
            reason = self._difference(name, digests.get(path, '')) if name else ''
            if self._tar != '0' and (len(self.paths) == 1 or path.strip('/') in self._complaint):
                reason = self._complaint if self._complaint and not _says_changed(self._complaint) else CHANGED
            if reason:
                self._fail('%s: %s' % (printable_path(path), reason))
            elif name:
                good.append(name)
        if self._tar != '0' and not self.failures:
            self._fail(self._complaint or 'tar failed')
            return []
        return good

    def _unpack(self):
        """Unpack the stream; returns what is wrong with it, or ''."""
        roots = {'/'.join(part for part in path.split('/') if part not in ('', '.')): name for path, name in self.paths.items()}
        strangers = []

        def place(name, _is_directory):
            name = name[2:] if name.startswith('./') else name
            for root, top in roots.items():
                if name == root or name.startswith(root + '/'):
                    return top + name[len(root):] if top else ''
            strangers.append(name)
            return ''

        try:
            refused = archive.unpack(self._file.name, os.path.join(self.part, 'new'), place)
        except tarfile.TarError as error:
            return 'what arrived is no tar file (%s)' % error
        if strangers:
            return 'it sent what nobody asked for: %s' % printable(strangers[0])
        return 'not taken: %s' % refused[0] if refused else ''

    def _difference(self, name, digest):
        """Compare what was unpacked under a name with what was announced and sent; returns what is wrong, or ''."""
        path = os.path.join(self.part, 'new', name)
        if not os.path.lexists(path):
            return 'it did not come'
        try:
            entries = manifest.survey([path], 'refuse' if self._options.links == 'follow' else 'keep').entries
        except UsageError as error:     # a symbolic link, where links are followed
            return error.message
        count, size = sum(1 for entry in entries if entry.digest), sum(entry.size for entry in entries)
        if count < self._count[name] or size < self._size[name]:
            return '%s: %d of %d files, %d of %d bytes arrived' % (CHANGED, count, self._count[name], size, self._size[name])
        if os.path.islink(path):
            return ''
        return '' if digest == manifest.contents(entries, digest.partition(' ')[0]) else CHANGED


def _says_changed(complaint):
    """Does tar say that a file changed while it was read?"""
    return any(words in complaint for words in ('changed as we read', 'shrank', 'removed before', 'short read'))


def decoded(text):
    """A name as sh/namelib.sh writes it."""
    return re.sub(r'\\(.?)', lambda match: '\n' if match.group(1) == 'n' else match.group(1), text)


def printable_path(path):
    """A path for people: quoted only if it is an unusual one."""
    return path if path.isprintable() and "'" not in path else printable(path, 200)


def _may_be(name, pattern):
    """May a thing of this name be what a pattern means, as far as can be told here?"""
    last = pattern.rstrip('/').rpartition('/')[2]
    if '[' in last or '\\' in last or last in ('', '.', '..', '~'):
        return True
    return fnmatch.fnmatchcase(name, last)


def _clear(directory):
    """Remove what a get left behind that was killed: we have the lock, so nobody is at it."""
    for part in [name for name in os.listdir(directory) if name.startswith('.part-')]:
        old = os.path.join(directory, part, 'old')
        for name in os.listdir(old) if os.path.isdir(old) else ():
            if not os.path.lexists(os.path.join(directory, name)):          # killed between the two renames of _swap
                os.rename(os.path.join(old, name), os.path.join(directory, name))
        files.remove_tree(os.path.join(directory, part))


def _swap(new, place, aside):
    """Put `new` in a place by rename; what is there is moved aside, where only a directory is in the way."""
    if os.path.lexists(place) and (os.path.isdir(new) or os.path.isdir(place)):
        os.rename(place, aside)
    os.rename(new, place)


def get(session, host, paths, directory, terms, options, tally):
    """Flow: copy files and directories of a host into a local directory; returns a Verdict, whose reason tells what was done.

    paths: * ? [ ] are expanded on the host.  options: GetOptions.  What cannot come is named, and everything else is there.
    """
    session = session.at(host)
    with _Receiver(paths, directory, options, tally) as receiver:
        limits = session.limits(terms.timeout, session.settings.stall)
        script = remote.script_text('lib', 'namelib', 'copylib', 'get')
        verdict = yield from call.call(session, lambda frame: remote.guarded(
            session.transport, host, script, receiver.words(), frame, limits)._replace(rate=terms.rate), receiver, 'get')
        if receiver.error is None and not receiver.problem and verdict.ok:
            verdict = receiver.accept()
        if receiver.error is not None:
            raise LocalError('%s: %s' % (directory, receiver.error.strerror or receiver.error))
        return refused(receiver.problem) if receiver.problem else verdict
