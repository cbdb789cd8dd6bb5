"""netcat: the dialects of nc, and the command lines that each understands.  Pure.

    openbsd      Debian's, macOS's and the BSDs': -l ADDRESS PORT; -N closes its side after the end of its input
    traditional  Hobbit's: -l -s ADDRESS, at a port of its own choice; -q 0 ends it after the end of its input
    ncat         nmap's, which Fedora has: -l ADDRESS PORT; --send-only ends it after the end of its input
    busybox      -l -p PORT, at any address; it closes its side by itself

They have in common, as tried: a listener takes one connection and ends with it; it ends as well when the other side only
half-closes; a stream that was cut ends with 0; and who connects is not asked for anything.  So a connection stays open both
ways until all is through, what is in it tells its own end, the first line is a token, and counts are compared elsewhere.
Debian's sets SO_REUSEPORT: two listeners can have the same port, but not one that the kernel chose (port 0).
"""

from typing import NamedTuple

from lwt.config import bounded

NAMES = ('nc', 'ncat', 'netcat', 'busybox nc')

# Prints the address that the caller reached, and name and help text of each netcat; sh.
PROBE = '''set -- ${SSH_CONNECTION-}
printf 'address %s\\n' "${3:-127.0.0.1}"
for name in nc ncat netcat; do
  command -v "$name" >/dev/null || continue
  printf 'program %s\\n' "$name"
  "$name" -h 2>&1 </dev/null
done
command -v busybox >/dev/null && { printf 'program busybox nc\\n'; busybox nc --help 2>&1 </dev/null; }
exit 0'''


class Program(NamedTuple):
    """A netcat.  closes: the options that have it close its side, or end, after the end of its input; () where it does anyway."""

    words: tuple
    dialect: str
    closes: tuple = ()

    def listen(self, address):
        """The command line that takes one connection, at a port that the kernel chooses."""
        how = {'openbsd': ('-n', '-l', address, '0'), 'ncat': ('-n', '-l', address, '0'),
               'traditional': ('-n', '-l', '-s', address), 'busybox': ('-l', '-p', '0')}
        return self.words + how[self.dialect]

    def connect(self, address, port):
        """The command line that connects, for both directions; it ends after the end of its input."""
        closes = () if self.dialect == 'ncat' else self.closes
        return self.words + closes + (address, str(port))

    def send(self, address, port):
        """The command line that connects and only sends."""
        return self.words + self.closes + (address, str(port))


class Offer(NamedTuple):
    """Where a listener waits, and for which token; numbers are those of its script."""

    port: int
    token: str


def offer(words):
    """The Offer of a host that says "listen PORT TOKEN", or None for what is none."""
    port = bounded(words[0], 1, 65535) if len(words) == 2 else None
    return Offer(port, words[1]) if port and words[1].isalnum() else None


def recognised(name, text):
    """The Program that says this when it is asked for help, or None."""
    words = tuple(name.split(' '))
    if 'Ncat' in text:
        return Program(words, 'ncat', ('--send-only',))
    if 'BusyBox' in text:
        return Program(words, 'busybox')
    if '[v1.1' in text:
        return Program(words, 'traditional', ('-q', '0'))
    if 'OpenBSD' in text or 'usage: nc [-' in text:
        return Program(words, 'openbsd', _closing(text))
    return None


def _closing(text):
    """How an OpenBSD netcat is told to close: by -N, where it means that (Apple's does not), or by the older -q."""
    lines = [line.strip() for line in text.splitlines()]
    if any(line.startswith('-N') and 'hutdown' in line for line in lines):
        return ('-N',)
    return ('-q', '0') if any(line.startswith('-q') for line in lines) else ()


def parse(text):
    """(address, Program or None) of what PROBE prints."""
    address, name, found = '127.0.0.1', '', {}
    for line in text.splitlines():
        word, _space, rest = line.partition(' ')
        if word == 'address' and not name:
            address = rest
        elif word == 'program' and rest in NAMES:
            name = rest
            found[name] = []
        elif name:
            found[name].append(line)
    programs = [recognised(name, '\n'.join(lines)) for name, lines in found.items()]
    return address, next((program for program in programs if program is not None), None)
