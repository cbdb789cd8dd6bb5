"""get as a tar stream: one login and one script that announces, sends and reports digests.

sh/get.sh announces how many files and bytes there are, then sends a tar stream and its digests.
The stream is stored in a directory beside the target, which is locked (one get at a time).  The
unpacked files are renamed if they match the announcement, so a target is complete or absent.
"""

from __future__ import generator_stop

import fnmatch
import os
import re

from lwt.copy import child_jobs, disk_space, get_verify, tarstream
from lwt.copy.common import UNREADABLE, refused
from lwt.copy.get_target import GetTarget
from lwt.copy.progress import CopiedBytes
from lwt.errors import LocalError, LwtError, printable, printable_text
from lwt.remote import call, host_limits, scripts
from lwt.workspace import files
from lwt.workspace.config import bounded

HEADER = 768                # bytes of header and padding for a file in a tar stream, on average
MOST_KNOWN = 200            # names whose identities fit well into one command line


class Receiver(GetTarget):
    """Takes the output of sh/get.sh: the announcement, then the stream, into a file.

    problem: why the host was stopped.
    """

    transport = 'tar'                   # how the content is transferred

    def __init__(self, patterns, directory, options, tally):
        super().__init__(directory, options, tally)
        self._patterns = patterns
        self._lines = call.Lines(self._hear)
        # The unfinished last line of the announcement on standard output.
        self._head = b''
        self._tar = self._complaint = ''
        self._digests = []
        self._room = 0                  # bytes that the stream may still have
        self._file = None
        self.paths = {}                 # announced: path on the host -> name on this machine
        self._watch = None              # a disk_space.Watch
        # What exists already: name -> (its identity, number of files)
        self.have = {}
        # Names that exist and must not be replaced, as far as the host is told.
        self.kept = []
        self._same = set()              # names that are not sent because they are the same already
        # Announced: name -> number of files, and minimum number of bytes.
        self._count, self._size = {}, {}
        self.files = self.bytes = 0
        self.received = 0               # bytes of the stream
        self._bytes = None              # the CopiedBytes of the stream
        self.problem = ''
        self.error = None               # an error of this machine

    def look_around(self):
        """Flow: note what exists on this machine already.

        The same content need not be sent, and what must not be replaced may not.
        """
        names = [name for name in _names(self.directory)
                 if any(_may_be(name, pattern) for pattern in self._patterns)]
        if not self.options.replace:
            self.kept = names[:MOST_KNOWN]
        if self.options.links == 'follow' and names:
            known = names[:MOST_KNOWN]
            size = sum(_least_size(os.path.join(self.directory, name)) for name in known)
            self.have = yield from child_jobs.do(get_verify.identify, [self.directory, known], size)

    def words(self):
        """Return the arguments of sh/get.sh."""
        known = ' '.join(identity for identity, _count in self.have.values())
        return (known, self.options.links, self.transport, str(len(self.kept)),
                ) + tuple(self.kept) + tuple(self._patterns)

    def __call__(self, stream, data):
        """Take bytes; returns true to stop the host."""
        if self.problem or self.error:
            return True
        try:
            if stream == 'stderr':
                self._lines.feed(data)
            else:
                self._take(data)
        except (OSError, LwtError) as error:    # the flow raises it: a sink would end the loop
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
        elif len(self._head) > host_limits.LINE and not self.problem:
            self.problem = UNREADABLE

    def _write(self, data):
        if len(data) > self._room:
            self.problem = 'it sends more than it announced'
            return
        self._room -= len(data)
        self.received += len(data)
        self._bytes.reach(self.received)
        if self._watch.is_short(self.received):
            self.problem = ('disk full: %s (after %d MB of what the host sends)'
                            % (self.directory, self.received >> 20))
            return
        while data:                     # write() may take a part; the next call says why
            data = data[self._file.write(data):]

    def _hear(self, line):
        """Take a line of standard error."""
        word, _space, rest = line.decode('utf-8', 'surrogateescape').partition(' ')
        if word == 'refused':
            self.problem = self.problem or printable_text(rest)
        elif word == 'tar':
            self._tar = rest
        elif word == 'digest':
            if len(self._digests) < host_limits.PATHS:
                self._digests.append(rest[:host_limits.TEXT])
        elif word != 'tick' and line and not self._complaint:
            self._complaint = printable_text(line.decode('utf-8', 'replace'))

    def _announce(self, line):
        """Take a line of the announcement: about one path, or "send" at its end."""
        word, _space, rest = line.partition(' ')
        if word == 'send':
            self._open()
        elif word == 'except':
            self.fail(printable_text(rest))
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
        elif len(self.paths) >= host_limits.PATHS:
            self.problem = 'more than %d things at a time' % host_limits.PATHS
        elif count > host_limits.MEMBERS - self.files:
            self.problem = 'more than %d files at a time' % host_limits.MEMBERS
        elif name in ('', '.', '..'):
            self.problem = '%s: cannot be fetched as a whole' % printable(name)
        elif not any(_may_be(name, pattern) for pattern in self._patterns):
            self.problem = 'it sends what nobody asked for: %s' % printable(name)
        else:
            if name in self._count:
                self.fail('%s: two things of this name' % printable(name))
                name = ''
            else:
                self._count[name], self._size[name] = count, size
            self.paths[path] = name
            self.files += count
            self.bytes += size

    def _fail_existing(self, name):
        self.fail(get_verify.existing_text(self.directory, name))

    def _open(self):
        """Prepare to receive the content, if there is room for it; called at the end of the
        announcement.
        """
        if not self.paths:
            return
        self.problem = self.lock()
        if self.problem:
            return
        room = disk_space.room(self.directory)
        needed = self.needed_room(room)
        if needed > room.free:
            self.problem = 'disk full: %s (%d bytes to copy need %d bytes, %d are free)' % (
                self.directory, self.bytes, needed, room.free)
            return
        self._watch = disk_space.Watch(self.directory)
        self.make_part()
        self.open_content()
        self._room = (self.bytes + (self.files + len(self.paths)) * host_limits.MEMBER_ROOM
                      + host_limits.DIRECTORIES_ROOM)
        self.tally.expected += self.bytes

    def needed_room(self, room):
        """Return the bytes that must be free: the stream and its unpacked files exist side by side.
        """
        return room.needed(self.bytes)

    def open_content(self):
        """Create the file in `part` for the content."""
        self._bytes = CopiedBytes(self.tally, self.bytes,
                                  self.bytes + (self.files + len(self.paths)) * HEADER)
        self._file = open(get_verify.stream_path(self.part), 'xb', buffering=0)

    def delivery(self):
        """Return what arrived as a get_verify.Delivery."""
        digests = dict(zip(self.paths, self._digests))
        announced = [get_verify.Announced(path, name, self._count.get(name, 0),
                                          self._size.get(name, 0), digests.get(path, ''))
                     for path, name in self.paths.items()]
        return get_verify.Delivery(self.directory, self.part, announced, self._tar, self._complaint,
                                   self.options.replace, self.options.links != 'follow')

    def close(self):
        """Close the file with the stream."""
        if self._file is not None:
            self._file.close()

    def accept(self):
        """Flow: unpack, verify and move into place what arrived; returns a Verdict."""
        unchanged = sum(self.have[name][1] for name in self._same)
        if not self.paths:
            return self.verdict(0, unchanged)
        self.close()
        if self._bytes is not None:
            self._bytes.finish()
        if (self.received >= host_limits.ROOM_EVERY
            and disk_space.room(self.directory).free < self.received):
            self.tally.unchanged += unchanged
            return refused('disk full: %s (no space to unpack %d bytes)'
                           % (self.directory, self.received))
        work = max(self.work(), len(self.paths) * tarstream.THING)
        return (yield from self.move_into_place(self.delivery(), work, unchanged))

    def work(self):
        """Return the amount of work, in bytes, to accept what arrived."""
        return tarstream.work(get_verify.stream_path(self.part), child_jobs.SMALL + 1)


def decoded(text):
    """Return the name that sh/namelib.sh has written as this text."""
    return re.sub(r'\\(.?)', lambda match: '\n' if match.group(1) == 'n' else match.group(1), text)


def _names(directory):
    """Return the names in a local directory, without parts of a get; none if it does not exist."""
    if not os.path.isdir(directory):
        return []
    return sorted(name for name in os.listdir(directory) if not name.startswith('.part-'))


def _least_size(path):
    """Return the bytes to read to identify a file; for a directory, more than a small job may read.
    """
    return os.path.getsize(path) if os.path.isfile(path) else child_jobs.SMALL + 1


def _may_be(name, pattern):
    """Return whether a pattern may match this name, as far as this machine can tell."""
    last = pattern.rstrip('/').rpartition('/')[2]
    if '[' in last or '\\' in last or last in ('', '.', '..', '~'):
        return True
    return fnmatch.fnmatchcase(name, last)


def get(session, host, paths, directory, terms, options, tally):
    """Flow: copy files and directories of a host into a local directory.

    Returns a Verdict, whose reason tells what was done.
    paths: * ? [ ] are expanded on the host.  options: GetOptions.
    Paths that cannot be copied are reported, and all others are copied.
    """
    return (yield from receive(session, host, terms, Receiver(paths, directory, options, tally)))


def receive(session, host, terms, receiver, fetch=None):
    """Flow: copy what a Receiver requests; returns a Verdict.

    fetch(session, host, terms, receiver): a flow that copies the content if it does not follow the
        announcement; returns a Verdict.
    """
    session = session.at(host)
    # An OSError raised by a flow would end the run; this one concerns the directory of one host.
    with files.local_errors(receiver.directory), receiver:
        yield from receiver.look_around()
        try:
            verdict = yield from _announced(session, host, terms, receiver)
            if verdict.ok and receiver.paths and fetch is not None:
                verdict = yield from fetch(session, host, terms, receiver)
            if verdict.ok:
                verdict = yield from receiver.accept()
        except (OSError, LwtError):
            yield from receiver.discard()
            raise
        yield from receiver.discard()
        return verdict


def _announced(session, host, terms, receiver):
    """Flow: have a host announce what a Receiver requests, and send it if it is a tar stream.

    Returns a Verdict.
    """
    limits = session.limits(terms.timeout, session.settings.stall)
    script = scripts.script_text(*scripts.LONG_SCRIPTS['get'])
    verdict = yield from call.call(session, lambda frame: scripts.guarded(
        session.transport, host, script, receiver.words(), frame, limits)._replace(rate=terms.rate),
                                   receiver, 'get')
    error = receiver.error
    if isinstance(error, LwtError):     # never a usage error, because it comes too late
        raise LocalError(error.message, error.hint)
    if error is not None:
        raise error
    if receiver.problem:
        return refused(receiver.problem)
    is_whole = receiver.part or not receiver.paths
    return verdict if is_whole or not verdict.ok else refused(UNREADABLE)
