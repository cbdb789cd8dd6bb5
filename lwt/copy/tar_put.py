"""put as a tar stream: one login and one script that compares, receives, verifies and renames.

The bytes go through the ssh of the call itself.  So they are counted and limited, and the stream is
cut when it stalls.  Many small files need no more round trips than one large file.

sh/put.sh gets the manifest and answers which of its entries the host needs.  It then gets the
digest of these, and their tar stream.
"""

from __future__ import generator_stop

import os

from lwt.copy import child_jobs, manifest
from lwt.copy.common import UNREADABLE, done, refused
from lwt.remote import call, exit_status, host_limits, scripts
from lwt.selectors_loop import PipeSource
from lwt.workspace.config import bounded, whole_seconds


class Sender(PipeSource):
    """The input of sh/put.sh: the manifest and, after the host's answer, the content that it needs.

    See `source` of proc.Command.
    """

    def __init__(self, wanted, tally, cksums):
        self._entries = wanted.entries
        self._cksums = cksums           # {path: its cksum}, for a host without sha256
        self.lacking = []               # Entries whose cksum is needed first; nothing was sent
        self._tally = tally
        self._lines = call.Lines(self.hear)
        self._needs = set()             # names as written by manifest.written()
        self._text = wanted.text
        self._chunks = iter(())
        self.is_told = False
        # Numbers of files and of directories that get another mode or time.
        self._changed = ()
        self.copied = self.unchanged = self.updated = 0
        self.problem = ''               # why not everything was sent
        self.mark = ''                  # the mark of the call in names of files on the host
        self.complaint = bytearray()

    def __call__(self, stream, data):
        """Take output of the host; returns true to stop it."""
        if stream == 'stdout':
            self._lines.feed(data)
        else:
            self._lines.count(data)
            self.complaint += data[:host_limits.LINE - len(self.complaint)]
        self.problem = self.problem or self._lines.problem
        return bool(self._lines.problem)

    def hear(self, line):
        """Take a line of the host's standard output."""
        word, _space, rest = line.partition(b' ')
        if word == b'manifest':
            self._chunks = iter((b'%d\n' % len(self._text) + self._text,))
        elif word == b'need':
            if len(self._needs) < len(self._entries) and len(rest) <= host_limits.NAME:
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
        """Yield the entries that the host needs, as chunks of bytes."""
        needed = [entry for entry in self._entries if manifest.written(entry.name) in self._needs]
        self.copied = sum(1 for entry in needed if entry.digest or entry.link)
        self.updated = sum(self._changed[:2])
        if kind == 'cksum':
            self.lacking = [entry
                            for entry in needed if entry.digest and entry.path not in self._cksums]
            if sum(entry.size for entry in self.lacking) > child_jobs.SMALL:
                return
            self.lacking = []
        count = sum(1 for entry in self._entries if entry.digest or entry.link)
        self.unchanged = max(0, count - self.copied - sum(self._changed[:1]))
        self._tally.expected += sum(entry.size for entry in needed)
        try:
            digest = manifest.contents(needed, kind, self._cksums)
            # Before the digest is sent: the host may answer before another chunk is wanted.
            content = self.content(needed, digest)
            yield ('%d %s\n' % (len(needed), digest)).encode()
            yield from content
        except manifest.Changed as changed:
            self.problem = str(changed)

    def content(self, needed, _digest):
        """Yield the chunks that follow the digest of the entries that the host needs."""
        if needed:
            yield from manifest.stream(needed, self._count)

    def _count(self, number):
        """Count bytes of files that are being sent."""
        self._tally.moved += number

    def read(self, _size):
        """Return the next chunk; None until the host has said what it needs; b'' at the end."""
        chunk = next(self._chunks, b'')
        return chunk or (b'' if self.is_told else None)

    def close(self):
        """Close the file that is being read."""
        if self.is_told:
            self._chunks.close()


def put(session, host, wanted, target, terms, tally):
    """Flow: copy the files and directories of a Manifest to a host.

    Returns a Verdict, whose reason tells what was done.
    target: as for cp: a directory to put them into, or a new name for a single one.
    """
    words = target_words(session, host, wanted, target) + ['tar']
    verdict, sender = yield from offer(session, host, wanted, words, terms,
                                       lambda cksums: Sender(wanted, tally, cksums))
    if not verdict.ok:
        return verdict
    tally.copied += sender.copied
    tally.unchanged += sender.unchanged
    return done(sender.copied, sender.unchanged, sender.updated, wanted.skipped)


def target_words(session, host, wanted, target):
    """Return the first arguments of the scripts that receive a copy (see sh/putlib.sh)."""
    settings = session.settings
    return [host.home, target, wanted.single, whole_seconds(settings.stall or settings.lease)]


def offer(session, host, wanted, words, terms, make_sender):
    """Flow: offer a Manifest to sh/put.sh; returns (a Verdict, the Sender).

    words: the arguments of the script.  make_sender(cksums): called for each attempt.
    """
    session = session.at(host)
    limits = session.limits(terms.timeout, session.settings.stall)
    cksums, sender = {}, None

    def make(frame):
        nonlocal sender
        sender = make_sender(cksums)
        sender.mark = frame.mark
        return scripts.plain(session.transport, host, 'put', words, frame,
                             limits)._replace(source=sender, rate=terms.rate)

    while True:
        verdict = yield from call.call(session, make, lambda stream, data: sender(stream, data),
                                       'put')
        if not sender.lacking:
            break
        argument = [[entry.path, entry.version] for entry in sender.lacking]
        numbers, problem = yield from child_jobs.do(find_cksums, argument,
                                                    sum(entry.size for entry in sender.lacking))
        if problem:
            return refused(problem), sender
        cksums.update(zip((entry.path for entry in sender.lacking), numbers))
    if sender.problem:
        verdict = refused(sender.problem)
    elif not verdict.ok:
        verdict = exit_status.with_complaint(verdict, bytes(sender.complaint))
    elif not sender.is_told:
        verdict = refused(UNREADABLE)
    return verdict, sender


@child_jobs.job
def find_cksums(argument):
    """Return [the cksums of files, why they cannot be computed]; argument: [[path, version]]."""
    try:
        return [[manifest.cksum(manifest.content(manifest.Entry('', path, 0, 0, tuple(version))))
                 for path, version in argument], '']
    except manifest.Changed as changed:
        return [[], str(changed)]
