"""The chain: one file for many hosts, each fed by another host while it still receives the file
itself.

What is more than one file is a tar stream, which goes as a file does and is unpacked on each host.

Every host is a session of sh/chain.sh, and a ChainMember here.  Hosts join as they become ready, so
a host that never answers is in nobody's way.  One that is known to be slow (its last probe) waits a
while for the faster ones, so that it does not stand before them.  A host that has joined is fed
through netcat by the last one that has no successor.  When a link ends before its time, or is
silent for SILENCE seconds, the one behind it is fed from where it stood, by another host or,
failing that, by the master through ssh.  Data from the master always goes through ssh.  Between
hosts it is not encrypted; it moves when both ends of the link have proved that they know its tokens
(see netcat.py).  Each host verifies what it has before it is in place.

A host may say what it likes.  It is believed once for each order; others connect only to the
address at which ssh reaches it.  It may also hand on other bytes than it got: the host behind it
finds that out by the digest, and so does every host that got these bytes from that one in turn.
Each of them is sent the file once more, by the master alone, as by any other put.

It knows nothing of what is printed.
"""

from __future__ import generator_stop

import hashlib
import time
from typing import Callable, NamedTuple

from lwt import netcat
from lwt.copy import manifest, transfer
from lwt.copy.terms import done, refused
from lwt.remote import budgets, call, rendezvous, scripts, verdicts
from lwt.workspace.config import bounded, whole_seconds

# Seconds without a byte after which a link is given up, if that is well before the stall.
SILENCE = 10
# Bytes of a file that the master sends at a time: each costs the host a process.
CHUNK = 1 << 20
LARGE = 8 << 20             # bytes of a file that are worth a chain
SLOWER = 2                  # times that a host is slower than one for which it waits
PATIENCE = 5.0              # seconds that it waits
MISMATCH = 'checksum mismatch after transfer'      # of sh/chain.sh: the digest is another one
BEAT, MOST_BEATS = b'beat\n', 8     # an order, and how many of them may wait for a host


class Cargo(NamedTuple):
    """What goes along a chain.  chunks(at) are its bytes from there on, and may raise
    manifest.Changed.

    words: how sh/chain.sh is told of it.  files: how many it is.
    """

    size: int
    words: tuple
    files: int
    chunks: Callable


def cargo(wanted):
    """The Cargo that a Manifest is: a file or, where it is anything else, a tar stream, which is
    read once for its digest.
    """
    entries = wanted.entries
    if len(entries) == 1 and entries[0].digest:
        entry = entries[0]
        words = entry.digest, '%o' % entry.mode, manifest.stamp(entry)
        return Cargo(entry.size, words, 1, lambda at: manifest.content(entry, at, CHUNK))
    size, digest = 0, hashlib.sha256()
    for chunk in manifest.stream(entries):
        digest.update(chunk)
        size += len(chunk)
    return Cargo(size, (digest.hexdigest(), 'tar', ''), sum(1 for entry in entries if entry.digest),
                 lambda at: _after(at, manifest.stream(entries)))


def _after(at, chunks):
    """Chunks without their first bytes."""
    for chunk in chunks:
        if at < len(chunk):
            yield chunk[at:]
        at = max(0, at - len(chunk))


class _Link:
    """One order to listen.

    tokens: a netcat.Tokens.  is_offered: has the host said at which port?  feeder: the name of the
    host that was told that port, or ''; start: how much was there before.
    """

    def __init__(self, tokens):
        self.tokens = tokens
        self.is_offered = False
        self.feeder = ''
        self.start = 0


class Chain:
    """The links of one copy: who feeds whom.

    names: the hosts.  rates: {name: bytes a second, as it was last seen}, of as many of them as are
    known.
    """

    def __init__(self, wanted, target, terms, tally, names=(), rates=None, clock=time.monotonic):
        self.cargo = cargo(wanted)
        self.wanted = wanted
        self.target = target
        self.terms = terms
        self.tally = tally
        self.members = []               # those that have joined, in this order
        self._expected = set(names)     # those of which it is not known whether they will join
        self._rates = rates or {}
        self._waiting = {}              # Member that is ready -> since when
        self._clock = clock

    def is_ready(self, member):
        """A host is ready to join."""
        self._expected.discard(member.name)
        self._waiting[member] = self._clock()
        self.admit()

    def admit(self):
        """Let those join that need wait for nobody."""
        for member in sorted(self._waiting, key=self._rate, reverse=True):
            faster = any(self._rates.get(name, 0) > SLOWER * self._rate(member)
                         for name in self._expected)
            if not faster or self._clock() - self._waiting[member] >= PATIENCE:
                del self._waiting[member]
                self.members.append(member)
                self.find_feeder(member)

    def _rate(self, member):
        """The rate of a member; one of which it is not known waits for nobody, and nobody for it.
        """
        return self._rates.get(member.name, float('inf'))

    def find_feeder(self, member):
        """Have a member fed by the last one that has no successor and does not itself depend on it;
        else by the master.
        """
        behind = {member}
        # A feeder stands before those it feeds, unless links were broken: hence again.
        for _ in self.members:
            behind |= {one for one in self.members if one.feeder in behind}
        able = [one for one in self.members
                if one.can_feed and one not in behind and one not in member.tried]
        if able and member.can_feed and member.links < netcat.LISTENERS:
            member.follow(able[-1])
        else:
            member.follow(None)

    def left(self, member):
        """A member is gone, for whatever reason."""
        self._waiting.pop(member, None)
        if member in self.members:
            self.members.remove(member)
        member.unlink()
        self.over(member.name)
        self.look()

    def over(self, name):
        """A host will not join any more, or does not need to."""
        self._expected.discard(name)
        self.admit()

    def suspect(self, names):
        """These hosts fed one that has other bytes: they feed nobody else."""
        for member in self.members:
            member.is_suspect = member.is_suspect or member.name in names

    def look(self):
        """Who has it in place, and has nobody to feed, may go."""
        for member in self.members:
            if member.is_placed and not any(one.feeder is member for one in self.members):
                member.end()


class ChainMember:
    """One host of a Chain: the source and the ear of its session.

    addresses: where ssh reaches it (see rendezvous.reached); None: where it says itself.
    """

    def __init__(self, chain, name, addresses=None):
        self._chain = chain
        self.name = name
        self._lines = call.Lines(self._hear)
        self._told = []                 # what netcat.PROBE said
        self._orders = []               # bytes to be written, lines of commands
        self._chunks = None             # while the master feeds it
        self._have = 0
        self._is_over = False
        self._netcat = None
        self._address = ''              # of its own, at which it listens
        self._addresses = addresses
        self._link = None               # the _Link that it was told of, until it says that it ended
        self.links = 0                  # how often it was told to listen
        self.feeder = None              # a ChainMember
        self.tried = set()              # feeders that were no good
        self.fed_by = []                # names of the hosts from which something came
        self.is_suspect = self._is_ready = False
        self.is_placed = self.is_same = False
        self.problem = ''
        self.complaint = bytearray()
        self.wake = lambda: None

    # -- what the chain asks -----------------------------------------------------------------------

    @property
    def can_feed(self):
        """Has it a netcat, a good name, and nobody else to feed?"""
        is_able = self._netcat is not None and not self.is_suspect and not self._is_over
        return is_able and not any(one.feeder is self for one in self._chain.members)

    def follow(self, feeder):
        """Be fed by another member, or by the master (None)."""
        self.feeder = feeder
        if feeder is not None:
            self.links += 1
            self._link = _Link(rendezvous.tokens())
            self._order('listen', *self._link.tokens + self._netcat.listen(self._address))
        else:
            self._chunks = self._chain.cargo.chunks(self._have)
            self.wake()

    def hand_on(self, at, tokens, address, port):
        """Feed a member that listens."""
        self._order('feed', str(at), *tokens + self._netcat.connect(address, port))

    def beat(self):
        """Hear that who is fed by it gets on."""
        if self._orders.count(BEAT) < MOST_BEATS:       # the host that is fed says how often
            self._orders.append(BEAT)
            self.wake()

    def unlink(self):
        """Be fed no more; whoever it feeds notices by itself."""
        self.feeder = None
        self.close()

    def end(self):
        """The session may end."""
        self._is_over = True
        self.wake()

    # -- the source of its session -----------------------------------------------------------------

    def _order(self, *words):
        self._orders.append(' '.join(words).encode() + b'\n')
        self.wake()

    def read(self, _size):
        """The next order or data; None while there is none, b'' at the end."""
        if self._orders:
            return self._orders.pop(0)
        if self._chunks is None:
            return b'' if self._is_over else None
        try:
            data = next(self._chunks, b'')
        except manifest.Changed as changed:
            self.problem = str(changed)
            return b''
        if data:
            self._note(self._have + len(data))
            return b'data %d\n' % len(data) + data
        self.close()
        return b'finish\n'

    def close(self):
        """Close the file that is being read."""
        if self._chunks is not None:
            self._chunks.close()
            self._chunks = None

    # -- what it says ------------------------------------------------------------------------------

    def __call__(self, stream, data):
        """Take what the host says; true: no more is wanted."""
        if stream == 'stdout':
            self._lines.feed(data)
        else:
            self._lines.count(data)
            self.complaint += data[:1024 - len(self.complaint)]
        self.problem = self.problem or self._lines.problem
        return bool(self._lines.problem)

    def _hear(self, line):
        text = line.decode('utf-8', 'replace')
        word, *rest = text.split(' ')
        number = bounded(rest[0], 0, self._chain.cargo.size) if rest else None
        if self._is_ready:
            self._hear_of_data(word, rest[1:], number)
        elif word == 'same':
            self.is_same = True
            self._chain.over(self.name)
        elif word == 'ready':
            self._is_ready = True
            self._find_netcat()
            self._chain.tally.expected += self._chain.cargo.size
            self._chain.is_ready(self)
        elif len(self._told) < budgets.NETCAT_LINES:
            self._told.append(text[:budgets.TEXT])

    def _find_netcat(self):
        """Learn which netcat it has; without an address where it can be reached, it has none."""
        self._address, program = netcat.parse('\n'.join(self._told))
        if self._addresses is None:
            self._addresses = (self._address,)
        self._netcat = program if self._addresses else None

    def _hear_of_data(self, word, rest, number):
        """Hear how the transfer gets on.

        number: the first word, where it is a possible size; only "placed" needs none.
        """
        if word == 'placed':
            self.is_placed = True
            self._chain.look()
        elif number is None:
            pass
        elif word == 'have':
            self._note(number)
        elif word == 'listen' and self._link is not None and not self._link.is_offered:
            self._link.is_offered = True
            self._listens(number, netcat.offered_port(rest))
        elif word in ('got', 'failed') and self._link is not None:
            link, self._link = self._link, None
            if number > link.start and link.feeder and link.feeder not in self.fed_by:
                self.fed_by.append(link.feeder)
            self._note(number)
            self._has(number, is_stranger=rest == ['stranger'])

    def _note(self, have):
        if have > self._have and self.feeder is not None:
            self.feeder.beat()
        self._chain.tally.moved += max(0, have - self._have)
        self._have = max(self._have, have)
        self._chain.admit()

    def _listens(self, have, port):
        if self.feeder in self._chain.members and port is not None:
            address = self._address if self._address in self._addresses else self._addresses[0]
            self._link.feeder, self._link.start = self.feeder.name, have
            self.feeder.hand_on(have, self._link.tokens, address, port)

    def _has(self, have, is_stranger):
        """A link has ended.  is_stranger: by a stranger, so the feeder is not to blame."""
        feeder, self.feeder = self.feeder, None
        if have == self._chain.cargo.size:
            self._order('finish')
            self._chain.look()
            return
        if feeder is not None and not is_stranger:
            self.tried.add(feeder)
            if not feeder.is_placed:    # it may be cut off: whoever fed it is free
                feeder.is_suspect, feeder.feeder = True, None
        self._chain.find_feeder(self)
        self._chain.look()              # last: a feeder that nobody needs may go


def put(chain, session, host):
    """Flow: one host's part in a Chain; returns a Verdict, whose reason tells what was done."""
    session = session.at(host)
    member, verdict = yield from _take_part(chain, session, host)
    if member.problem:
        return refused(member.problem)
    if (member.fed_by and not member.is_placed
        and (verdict.kind, verdict.reason) == ('failed', MISMATCH)):
        chain.suspect(member.fed_by)
        chain.tally.say('%s: %s (fed by %s): copied again, from this machine'
                        % (host.name, MISMATCH, ', '.join(member.fed_by)))
        return (yield from transfer.put(session, host, chain.wanted, chain.target, chain.terms,
                                        chain.tally))
    if not verdict.ok and not member.is_placed:
        return verdicts.with_complaint(verdict, bytes(member.complaint))
    if not member.is_placed and not member.is_same:
        return verdicts.Verdict('lost', verdicts.UNREACHABLE,
                                'it ended before the file was in place', 'maybe')
    copied, unchanged = chain.cargo.files * member.is_placed, chain.cargo.files * member.is_same
    chain.tally.copied += copied
    chain.tally.unchanged += unchanged
    return done(copied, unchanged)


def _take_part(chain, session, host):
    """Flow: a host's session of sh/chain.sh; returns its ChainMember, which is gone from the chain,
    and the Verdict on the call.
    """
    stall = session.settings.stall or session.settings.lease
    session = session._replace(transport=session.transport.within(stall))
    addresses = yield from rendezvous.reached(session, host)
    digest, mode, stamp = chain.cargo.words
    words = (host.home, chain.target, chain.wanted.single, whole_seconds(stall),
             str(chain.cargo.size), digest, mode, stamp,
             str(max(1, min(SILENCE, int(stall / 3)))), netcat.PROBE)
    member = None

    def make(frame):
        nonlocal member
        if member is not None:
            chain.left(member)          # of a login that was dropped
        member = ChainMember(chain, host.name, addresses)
        limits = session.limits(chain.terms.timeout)
        command = scripts.plain(session.transport, host, 'chain', words, frame, limits)
        # The host ends by itself when nothing moves for the stall; this is for one that does not.
        return command._replace(source=member, rate=chain.terms.rate, stall=2 * stall)

    try:
        verdict = yield from call.call(session, make, lambda stream, data: member(stream, data),
                                       'put')
    finally:
        if member is not None:
            chain.left(member)
    return member, verdict
