"""The chain: one file for many hosts, each fed by another host while it still receives the file
itself.

Anything but a single file is sent as a tar stream, which travels like a file and is unpacked on
each host.

Every host runs a session of sh/chain.sh, and has a ChainMember on this machine.  Hosts join as they
become ready, so a host that never answers delays no other host.  A host known to be slow (from its
last probe) waits for the faster ones for a while, so that it is not placed before them.

Each host that joins is fed through netcat by the last member that feeds no other host.  If a link
ends early, or is silent for SILENCE seconds, another host feeds the receiver from the point that
it has reached, or, if there is none, the master does, through ssh.  Data from the master always
goes through ssh.  Between hosts data is not encrypted; it moves only after both ends of the link
have proved that they know its tokens (see netcat.py).  Each host verifies the file before it is
moved into place.

Hosts are not trusted.  The answer of a host to an order counts once, and other hosts connect only
to the address at which ssh reaches it.  A host may also forward other bytes than it received: the
next host detects that by the digest, and so does every host that got these bytes from it in turn.
Each of them gets the file once more, by an ordinary put from the master alone.

This module prints nothing.
"""

from __future__ import generator_stop

import hashlib
import time
from typing import Callable, NamedTuple

from lwt import netcat
from lwt.copy import manifest, transfer
from lwt.copy.common import NO_TAR, done, refused
from lwt.copy.progress import CopiedBytes
from lwt.remote import call, exit_status, host_limits, netcat_hosts, scripts
from lwt.workspace.config import bounded, whole_seconds

# Seconds without a byte after which a link is given up, if that is well before the stall.
SILENCE = 10
# Bytes of a file that the master sends at a time: each block costs the host a process.
CHUNK = 1 << 20
LARGE = 8 << 20             # minimum size in bytes of a file for which a chain is worth it
SLOWER = 2                  # a host waits for hosts that are more than this many times as fast
PATIENCE = 5.0              # seconds for which it waits
MISMATCH = 'checksum mismatch after transfer'      # from sh/chain.sh
BEAT, MOST_BEATS = b'beat\n', 8     # an order, and how many of them may be queued for a host


class Cargo(NamedTuple):
    """What a chain copies.

    size: bytes.  words: how sh/chain.sh gets its description.  files: the number of files.
    content: bytes of these files, without headers and padding.
    chunks(at): yields its bytes from that offset, and may raise manifest.Changed.
    """

    size: int
    words: tuple
    files: int
    content: int
    chunks: Callable


def cargo(wanted):
    """Return the Cargo of a Manifest.

    A single file is sent as it is.  Anything else is a tar stream, which is read once for its
    digest.
    """
    entries = wanted.entries
    if len(entries) == 1 and entries[0].digest:
        entry = entries[0]
        words = entry.digest, '%o' % entry.mode, manifest.stamp(entry)
        return Cargo(entry.size, words, 1, entry.size,
                     lambda at: manifest.content(entry, at, CHUNK))
    size, digest = 0, hashlib.sha256()
    for chunk in manifest.stream(entries):
        digest.update(chunk)
        size += len(chunk)
    return Cargo(size, (digest.hexdigest(), 'tar', ''), sum(1 for entry in entries if entry.digest),
                 sum(entry.size for entry in entries),
                 lambda at: _after(at, manifest.stream(entries)))


def _after(at, chunks):
    """Yield chunks without their first `at` bytes."""
    for chunk in chunks:
        if at < len(chunk):
            yield chunk[at:]
        at = max(0, at - len(chunk))


class _Link:
    """One order to listen.

    tokens: a netcat.Tokens.  is_offered: whether the host has reported its port.
    feeder: the name of the host that was told that port, or ''.
    start: number of bytes that the host had before.
    """

    def __init__(self, tokens):
        self.tokens = tokens
        self.is_offered = False
        self.feeder = ''
        self.start = 0


class Chain:
    """The links of one copy: which host feeds which.

    names: the hosts.  rates: {name: bytes a second, as last measured}, for hosts whose rate is
        known.
    """

    def __init__(self, wanted, target, terms, tally, names=(), rates=None, clock=time.monotonic):
        self.cargo = cargo(wanted)
        self.wanted = wanted
        self.target = target
        self.terms = terms
        self.tally = tally
        self.members = []               # members that have joined, in this order
        self._expected = set(names)     # hosts that may still join
        self._rates = rates or {}
        self._waiting = {}              # ChainMember that is ready -> since when
        self._clock = clock

    def is_ready(self, member):
        """Note that a host is ready to join."""
        self._expected.discard(member.name)
        self._waiting[member] = self._clock()
        self.admit()

    def admit(self):
        """Add the ready members that need not wait for a faster host."""
        for member in sorted(self._waiting, key=self._rate, reverse=True):
            faster = any(self._rates.get(name, 0) > SLOWER * self._rate(member)
                         for name in self._expected)
            if not faster or self._clock() - self._waiting[member] >= PATIENCE:
                del self._waiting[member]
                self.members.append(member)
                self.find_feeder(member)

    def _rate(self, member):
        """Return the rate of a member.

        A member of unknown rate waits for no other, and no other waits for it.
        """
        return self._rates.get(member.name, float('inf'))

    def find_feeder(self, member):
        """Have a member fed by the last one that feeds no other and does not itself depend on it.

        If there is none, the master feeds it.
        """
        behind = {member}
        # A feeder comes before those it feeds, unless links were broken: hence the repetition.
        for _ in self.members:
            behind |= {one for one in self.members if one.feeder in behind}
        able = [one for one in self.members
                if one.can_feed and one not in behind and one not in member.tried]
        if able and member.can_feed and member.links < netcat.LISTENERS:
            member.follow(able[-1])
        else:
            member.follow(None)

    def left(self, member):
        """Remove a member that has ended, for whatever reason."""
        self._waiting.pop(member, None)
        if member in self.members:
            self.members.remove(member)
        member.unlink()
        self.over(member.name)
        self.look()

    def over(self, name):
        """Note that a host will not join any more, or does not need to."""
        self._expected.discard(name)
        self.admit()

    def suspect(self, names):
        """Mark the feeders of a host that got other bytes: they feed no other host from now on."""
        for member in self.members:
            member.is_suspect = member.is_suspect or member.name in names

    def look(self):
        """End the members whose file is in place and which feed no other host."""
        for member in self.members:
            if member.is_placed and not any(one.feeder is member for one in self.members):
                member.end()


class ChainMember:
    """One host of a Chain: the source and the sink of its session.

    addresses: where ssh reaches it (see netcat_hosts.reached), or None to use the address that it
        reports.
    """

    def __init__(self, chain, name, addresses=None):
        self._chain = chain
        self.name = name
        self._lines = call.Lines(self._hear)
        self._told = []                 # the output of netcat.PROBE
        self._orders = []               # bytes to write: lines of commands
        self._chunks = None             # while the master feeds it: chunks of the file
        self._have = 0
        self._bytes = CopiedBytes(chain.tally, chain.cargo.content, chain.cargo.size)
        self._is_over = False
        self._netcat = None
        self._address = ''              # its own address, at which it listens
        self._addresses = addresses
        self._link = None               # the _Link that it was told of, until it reports the end
        self.links = 0                  # number of orders to listen
        self.feeder = None              # a ChainMember
        self.tried = set()              # feeders that failed
        self.fed_by = []                # names of the hosts that sent it data
        self.is_suspect = self._is_ready = False
        self.is_placed = self.is_same = False
        self.problem = ''
        self.complaint = bytearray()
        self.wake = lambda: None

    # -- what the chain asks -----------------------------------------------------------------------

    @property
    def can_feed(self):
        """Whether it has netcat, is not suspect, has not ended, and feeds no other host."""
        is_able = self._netcat is not None and not self.is_suspect and not self._is_over
        return is_able and not any(one.feeder is self for one in self._chain.members)

    def follow(self, feeder):
        """Get the data from another member, or from the master (None)."""
        self.feeder = feeder
        if feeder is not None:
            self.links += 1
            self._link = _Link(netcat_hosts.tokens())
            self._order('listen', *self._link.tokens + self._netcat.listen(self._address))
        else:
            self._chunks = self._chain.cargo.chunks(self._have)
            self.wake()

    def hand_on(self, at, tokens, address, port):
        """Feed a member that listens."""
        self._order('feed', str(at), *tokens + self._netcat.connect(address, port))

    def beat(self):
        """Note that the member that this one feeds makes progress."""
        if self._orders.count(BEAT) < MOST_BEATS:       # a host decides how often it reports
            self._orders.append(BEAT)
            self.wake()

    def unlink(self):
        """Stop being fed; members that it feeds notice that by themselves."""
        self.feeder = None
        self.close()

    def end(self):
        """Let the session end."""
        self._is_over = True
        self.wake()

    # -- the source of its session -----------------------------------------------------------------

    def _order(self, *words):
        self._orders.append(' '.join(words).encode() + b'\n')
        self.wake()

    def read(self, _size):
        """Return the next order or data; None if there is none yet, b'' at the end."""
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
        """Take output of the host; returns true to stop it."""
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
            self._chain.tally.expected += self._chain.cargo.content
            self._chain.is_ready(self)
        elif len(self._told) < host_limits.NETCAT_LINES:
            self._told.append(text[:host_limits.TEXT])

    def _find_netcat(self):
        """Determine its netcat.  A host without a reachable address has none."""
        self._address, program = netcat.parse('\n'.join(self._told))
        if self._addresses is None:
            self._addresses = (self._address,)
        self._netcat = program if self._addresses else None

    def _hear_of_data(self, word, rest, number):
        """Process a line about the progress of the transfer.

        number: the first word if it is a possible size; only "placed" needs none.
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
        self._bytes.reach(have)
        self._have = max(self._have, have)
        self._chain.admit()

    def _listens(self, have, port):
        if self.feeder in self._chain.members and port is not None:
            address = self._address if self._address in self._addresses else self._addresses[0]
            self._link.feeder, self._link.start = self.feeder.name, have
            self.feeder.hand_on(have, self._link.tokens, address, port)

    def _has(self, have, is_stranger):
        """Process the end of a link.  is_stranger: a stranger ended it, so the feeder is not at
        fault.
        """
        feeder, self.feeder = self.feeder, None
        if have == self._chain.cargo.size:
            self._order('finish')
            self._chain.look()
            return
        if feeder is not None and not is_stranger:
            self.tried.add(feeder)
            if not feeder.is_placed:    # it may be cut off, so its own feeder becomes free
                feeder.is_suspect, feeder.feeder = True, None
        self._chain.find_feeder(self)
        self._chain.look()              # last: a feeder that is not needed may end


def put(chain, session, host):
    """Flow: do one host's part in a Chain; returns a Verdict, whose reason tells what was done."""
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
    if verdict.reason == NO_TAR:        # scp copies to it from this machine
        return (yield from transfer.put(session, host, chain.wanted, chain.target, chain.terms,
                                        chain.tally))
    if not verdict.ok and not member.is_placed:
        return exit_status.with_complaint(verdict, bytes(member.complaint))
    if not member.is_placed and not member.is_same:
        return exit_status.Verdict('lost', exit_status.UNREACHABLE,
                                   'it ended before the file was in place', 'maybe')
    copied, unchanged = chain.cargo.files * member.is_placed, chain.cargo.files * member.is_same
    chain.tally.copied += copied
    chain.tally.unchanged += unchanged
    return done(copied, unchanged)


def _take_part(chain, session, host):
    """Flow: run a host's session of sh/chain.sh.

    Returns its ChainMember, which has left the chain, and the Verdict on the call.
    """
    stall = session.settings.stall or session.settings.lease
    session = session._replace(transport=session.transport.within(stall))
    addresses = yield from netcat_hosts.reached(session, host)
    digest, mode, stamp = chain.cargo.words
    words = (host.home, chain.target, chain.wanted.single, whole_seconds(stall),
             str(chain.cargo.size), digest, mode, stamp,
             str(max(1, min(SILENCE, int(stall / 3)))), netcat.PROBE)
    member = None

    def make(frame):
        nonlocal member
        if member is not None:
            chain.left(member)          # of an earlier attempt to log in
        member = ChainMember(chain, host.name, addresses)
        limits = session.limits(chain.terms.timeout)
        command = scripts.plain(session.transport, host, 'chain', words, frame, limits)
        # The host itself ends when nothing moves for the stall; this limit is for a host that does
        # not.
        return command._replace(source=member, rate=chain.terms.rate, stall=2 * stall)

    try:
        verdict = yield from call.call(session, make, lambda stream, data: member(stream, data),
                                       'put')
    finally:
        if member is not None:
            chain.left(member)
    return member, verdict
