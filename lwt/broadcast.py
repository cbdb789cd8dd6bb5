"""One file to many hosts, each fed by one before it while the file still arrives there; the master feeds the first.

Every host is a session of sh/chain.sh, and a Member here.  Hosts join as they become ready, so that slow ones come last, and a
host that never answers is in nobody's way.  A host that is ready is fed through netcat by the last one that has no successor.
When a link ends before its time, or is silent for SILENCE seconds, the one behind it is fed from where it stood, by another
host or, failing that, by the master through ssh.  Data from the master always goes through ssh; between hosts it is not
encrypted, and only taken from who sends the token of the link.  Each host verifies what it has before it is in place.

It knows nothing of what is printed.  Who needs more than one file, or has a limit, uses transfer.
"""

from __future__ import generator_stop

import time

from lwt import call, netcat, remote, ssh
from lwt.config import bounded, plain_seconds
from lwt.transfer import Lines

SILENCE = 10                # seconds without a byte after which a link is given up
CHUNK = 1 << 18
MOST_LINKS = 3              # that a host tries before the master feeds it
LARGE = 8 << 20             # bytes of a file that are worth a chain


def is_for(wanted, hosts):
    """Is this what a chain can copy: a file, to several hosts that are other machines?"""
    return len(wanted.entries) == 1 and bool(wanted.entries[0].digest) and not any(host.is_local for host in hosts)


class Chain:
    """The links of one copy: who feeds whom."""

    def __init__(self, wanted, target, terms, tally):
        self.entry = wanted.entries[0]
        self.words = (target, wanted.single)
        self.terms = terms
        self.tally = tally
        self.members = []               # those that are ready, in the order in which they became so

    def join(self, member):
        """A host is ready: somebody is to feed it."""
        self.members.append(member)
        self.find_feeder(member)

    def find_feeder(self, member):
        """Have a member fed by the last one that has no successor and does not itself depend on it; else by the master."""
        behind = {member}
        for _ in self.members:          # a feeder stands before those it feeds, unless links were broken: hence again
            behind |= {one for one in self.members if one.feeder in behind}
        able = [one for one in self.members if one.can_feed and one not in behind and one not in member.tried]
        if able and member.can_feed and len(member.tried) < MOST_LINKS:
            member.follow(able[-1])
        else:
            member.follow(None)

    def left(self, member):
        """A member is gone, for whatever reason."""
        if member in self.members:
            self.members.remove(member)
        member.unlink()
        self.look()

    def look(self):
        """Who has it in place, and has nobody to feed, may go."""
        for member in self.members:
            if member.is_placed and not any(one.feeder is member for one in self.members):
                member.end()


class Member:
    """One host of a Chain: the source and the ear of its session."""

    def __init__(self, chain):
        self._chain = chain
        self._lines = Lines(self._hear)
        self._told = []                 # what netcat.PROBE said
        self._orders = []               # bytes to be written, lines of commands
        self._file = None               # open while the master feeds it
        self._at = self._have = 0
        self._is_over = False
        self._netcat = self._address = None
        self.feeder = None              # a Member
        self.tried = set()              # feeders that were no good
        self.is_suspect = False
        self.is_placed = self.is_same = False
        self.problem = ''
        self.complaint = bytearray()
        self.wake = lambda: None

    # -- what the chain asks --------------------------------------------------------------------------------------------

    @property
    def can_feed(self):
        """Has it a netcat, a good name, and nobody else to feed?"""
        return self._netcat is not None and not self.is_suspect and not any(one.feeder is self for one in self._chain.members)

    def follow(self, feeder):
        """Be fed by another member, or by the master (None)."""
        self.feeder = feeder
        if feeder is not None:
            self._order('listen', *self._netcat.listen(self._address))
        else:
            self._at = self._have
            self._file = open(self._chain.entry.path, 'rb', buffering=0)
            self._file.seek(self._at)
            self.wake()

    def hand_on(self, at, token, address, port):
        """Feed a member that listens."""
        self._order('feed', str(at), token, *self._netcat.send(address, port))

    def unlink(self):
        """Be fed no more; whoever it feeds notices by itself."""
        self.feeder = None
        self.close()

    def end(self):
        """The session may end."""
        self._is_over = True
        self.wake()

    # -- the source of its session ----------------------------------------------------------------------------------------

    def _order(self, *words):
        self._orders.append(' '.join(words).encode() + b'\n')
        self.wake()

    def read(self, _size):
        """The next order or data; None while there is none, b'' at the end."""
        if self._orders:
            return self._orders.pop(0)
        if self._file is not None:
            data = self._file.read(min(CHUNK, self._chain.entry.size - self._at))
            if data:
                self._at += len(data)
                self._note(self._at)
                return b'data %d\n' % len(data) + data
            self.close()
            if self._at < self._chain.entry.size:
                self.problem = '%s: changed while it was read' % self._chain.entry.path
                return b''
            return b'finish\n'
        return b'' if self._is_over else None

    def close(self):
        """Close the file that is being read."""
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- what it says -----------------------------------------------------------------------------------------------------

    def __call__(self, stream, data):
        """Take what the host says."""
        if stream == 'stdout':
            self._lines.feed(data)
        else:
            self.complaint += data[:1024 - len(self.complaint)]

    def _hear(self, line):
        word, *rest = line.decode('utf-8', 'replace').split(' ')
        number = bounded(rest[0], 0, self._chain.entry.size) if rest else None
        if word == 'same':
            self.is_same = True
        elif word == 'ready':
            self._address, self._netcat = netcat.parse('\n'.join(self._told))
            self._chain.tally.expected += self._chain.entry.size
            self._chain.join(self)
        elif word == 'listen' and number is not None and len(rest) == 3:
            self._listens(number, netcat.offer(rest[1:]))
        elif word in ('have', 'got') and number is not None:
            self._note(number)
            if word == 'got':
                self._has(number)
        elif word == 'placed':
            self.is_placed = True
            self._chain.look()
        elif not self.feeder and len(self._told) < 1000:
            self._told.append(line.decode('utf-8', 'replace'))

    def _note(self, have):
        self._chain.tally.moved += max(0, have - self._have)
        self._have = max(self._have, have)

    def _listens(self, have, offer):
        if self.feeder in self._chain.members and offer is not None:
            self.feeder.hand_on(have, offer.token, self._address, offer.port)

    def _has(self, have):
        """A link has ended."""
        feeder, self.feeder = self.feeder, None
        self._chain.look()
        if have == self._chain.entry.size:
            self._order('finish')
            return
        if feeder is not None:
            self.tried.add(feeder)
            if not feeder.is_placed:    # it may be cut off: whoever fed it is free
                feeder.is_suspect, feeder.feeder = True, None
        self._chain.find_feeder(self)


def put(chain, session, host):
    """Flow: one host's part in a Chain; returns a Verdict, whose reason tells what was done."""
    session = session.at(host)
    entry = chain.entry
    words = (host.home,) + chain.words + (
        plain_seconds(session.settings.stall or session.settings.lease), str(entry.size), entry.digest, '%o' % entry.mode,
        time.strftime('%Y%m%d%H%M.%S', time.gmtime(entry.mtime)), str(SILENCE), netcat.PROBE)
    member = None

    def make(frame):
        nonlocal member
        if member is not None:
            chain.left(member)          # of a login that was dropped
        member = Member(chain)
        limits = session.limits(chain.terms.timeout)
        return remote.plain(session.transport, host, 'chain', words, frame, limits)._replace(source=member)

    try:
        verdict = yield from call.call(session, make, lambda stream, data: member(stream, data), 'put')
    finally:
        if member is not None:
            chain.left(member)
    if member.problem:
        return ssh.Verdict('failed', 1, member.problem)
    if not verdict.ok and not member.is_placed:
        return ssh.with_complaint(verdict, bytes(member.complaint))
    if not member.is_placed and not member.is_same:
        return ssh.Verdict('lost', ssh.UNREACHABLE, 'it ended before the file was in place', 'maybe')
    chain.tally.copied += member.is_placed
    chain.tally.unchanged += member.is_same
    return ssh.Verdict('ok', 0, '%d file%s copied%s' % (member.is_placed, '' if member.is_placed else 's',
                                                        ', 1 unchanged' if member.is_same else ''))
