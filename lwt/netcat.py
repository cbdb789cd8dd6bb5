"""netcat: the dialects of nc, and the command lines that each understands.  Pure.

    openbsd      Debian's, macOS's and the BSDs': -l ADDRESS PORT; -N closes its side after the end
                 of its input
    traditional  Hobbit's: -l -s ADDRESS, at a port of its own choice; -q 0 ends it after the end
                 of its input
    ncat         nmap's, which Fedora has: -l ADDRESS PORT
    busybox      -l -p PORT, at any address; it closes its side by itself

They have in common, as tried: a listener takes one connection and ends with it; it ends as well
when the other side only half-closes; a stream that was cut ends with 0; and who connects is not
asked for anything.  So a connection stays open both ways until all is through, what is in it tells
its own end, and counts are compared elsewhere. Debian's sets SO_REUSEPORT: two listeners can have
the same port, but not one that the kernel chose (port 0).

Another user of a host may connect to a listener, or take its port when it has ended.  So both ends
prove that they know the tokens of this one listener before any data moves: the sender sends the
first token in a line, the listener answers with the second one.  The master makes the tokens, and
hands them to both ends on the standard input of ssh: arguments and environments are public.  A
listener that a stranger reached is replaced by one with another port and other tokens.  After
LISTENERS of them the data goes through ssh.
"""

import ipaddress
import re
from typing import NamedTuple

from lwt.workspace.config import bounded

NAMES = ('nc', 'ncat', 'netcat', 'busybox nc')
LISTENERS = 3                   # listeners for one stream, before it goes through ssh
PATIENCE = 10                   # seconds for the proof; less, where a third of the stall is less
LEAST_PATIENCE = 2
FIRST_PORT = 1024               # the kernel chooses no port below for a listener
_SCOPE = re.compile(r'[A-Za-z0-9_.-]{1,15}', re.ASCII)
_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}', re.ASCII)

# Prints the address that the caller reached, and name and help text of each netcat; sh.
PROBE = '''set -- ${SSH_CONNECTION-}
printf 'address %s\\n' "${3:-127.0.0.1}"
for name in nc ncat netcat; do
  command -v "$name" >/dev/null || continue
  printf 'program %s\\n' "$name"
  "$name" -h 2>&1 </dev/null
done
if command -v busybox >/dev/null; then
  printf 'program busybox nc\\n'
  busybox nc --help 2>&1 </dev/null
fi
exit 0'''


class Program(NamedTuple):
    """A netcat.  closes: the options that have it close its side, or end, after the end of its
    input; () where it does anyway.
    """

    words: tuple
    dialect: str
    closes: tuple = ()

    def listen(self, address):
        """The command line that takes one connection, at a port that the kernel chooses."""
        how = {'openbsd': ('-n', '-l', address, '0'), 'ncat': ('-n', '-l', address, '0'),
               'traditional': ('-n', '-l', '-s', address), 'busybox': ('-l', '-p', '0')}
        return self.words + how[self.dialect]

    def connect(self, address, port):
        """The command line that connects, for both directions; it ends after the end of its input.
        """
        return self.words + self.closes + (address, str(port))


class Tokens(NamedTuple):
    """The secrets of one listener, of 32 characters each, as the scripts expect.

    sender: the line with which the sender begins.  listener: the line of the answer.
    """

    sender: str
    listener: str


def patience(stall):
    """Whole seconds for the two ends of a connection to prove that they know the tokens."""
    return max(LEAST_PATIENCE, min(PATIENCE, int(stall / 3)))


def offered_port(words):
    """The port in the words after "listen" of a host, or None where they are anything else."""
    return bounded(words[0], FIRST_PORT, 65535) if len(words) == 1 else None


def is_address(text):
    """Is it a numeric address, with a scope perhaps?"""
    number, _percent, scope = text.partition('%')
    try:
        ipaddress.ip_address(number)
    except ValueError:
        return False
    return number == text or bool(_SCOPE.fullmatch(scope))


def is_name(text):
    """Is it a host name that can stand in a command line of sh as it is?"""
    return bool(_NAME.fullmatch(text))


def recognised(name, text):
    """The Program that says this when it is asked for help, or None."""
    words = tuple(name.split(' '))
    if 'Ncat' in text:
        return Program(words, 'ncat')
    if 'BusyBox' in text:
        return Program(words, 'busybox')
    if '[v1.1' in text:
        return Program(words, 'traditional', ('-q', '0'))
    if 'OpenBSD' in text or 'usage: nc [-' in text:
        return Program(words, 'openbsd', _closing(text))
    return None


def _closing(text):
    """How an OpenBSD netcat is told to close: by -N, where it means that (Apple's does not), or by
    the older -q.
    """
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
            address = rest if is_address(rest) else address
        elif word == 'program' and rest in NAMES:
            name = rest
            found[name] = []
        elif name:
            found[name].append(line)
    programs = [recognised(name, '\n'.join(lines)) for name, lines in found.items()]
    return address, next((program for program in programs if program is not None), None)
