"""netcat: the dialects of nc, and the command lines of each.  Pure.

    openbsd      of Debian, macOS and the BSDs: -l ADDRESS PORT; -N closes its side after the end
                 of its input
    traditional  Hobbit's: -l -s ADDRESS, at a port of its own choice; -q 0 ends it after the end
                 of its input
    ncat         nmap's, in Fedora: -l ADDRESS PORT
    busybox      -l -p PORT, at any address; it closes its side by itself

Tests show what they have in common.  A listener accepts one connection and ends with it.  It also
ends when the other side only half-closes.  It exits with 0 even if the stream was cut.  It does not
authenticate the client.  So a connection stays open in both directions until all data has arrived,
the data marks its own end, and the byte counts are compared elsewhere.  Debian's netcat sets
SO_REUSEPORT: two listeners can have the same port, but not a port that the kernel chose (port 0).

Another user of a host may connect to a listener, or take its port after it has ended.  So both ends
prove that they know the tokens of this listener before any data moves: the sender sends the first
token in a line, and the listener answers with the second one.  The master makes the tokens and
passes them to both ends on the standard input of ssh, because arguments and environments are
public.  If a stranger connects to a listener, the listener is replaced by one with another port and
other tokens.  After LISTENERS of them the data goes through ssh.
"""

import ipaddress
import re
from typing import NamedTuple

from lwt.workspace.config import bounded

NAMES = ('nc', 'ncat', 'netcat', 'busybox nc')
LISTENERS = 3                   # maximum number of listeners for one stream
PATIENCE = 10                   # maximum seconds for the proof; a third of the stall, if less
LEAST_PATIENCE = 2              # minimum seconds for the proof
FIRST_PORT = 1024               # the kernel chooses no lower port for a listener
_SCOPE = re.compile(r'[A-Za-z0-9_.-]{1,15}', re.ASCII)
_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}', re.ASCII)

# A sh script.  It prints the address that the client connected to, and the name and help text of
# each netcat.
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
    """A netcat program.

    closes: the options that make it close its side, or end, after the end of its input; () if none
    is needed.
    """

    words: tuple
    dialect: str
    closes: tuple = ()

    def listen(self, address):
        """The command line that accepts one connection, at a port that the kernel chooses."""
        how = {'openbsd': ('-n', '-l', address, '0'), 'ncat': ('-n', '-l', address, '0'),
               'traditional': ('-n', '-l', '-s', address), 'busybox': ('-l', '-p', '0')}
        return self.words + how[self.dialect]

    def connect(self, address, port):
        """The command line that connects for both directions and ends after the end of its input.
        """
        return self.words + self.closes + (address, str(port))


class Tokens(NamedTuple):
    """The secrets of one listener, each of 32 characters, as the scripts expect.

    sender: the first line from the sender.  listener: the line with which the listener answers.
    """

    sender: str
    listener: str


def patience(stall):
    """The whole seconds in which both ends of a connection must prove that they know the tokens.

    stall: seconds.
    """
    return max(LEAST_PATIENCE, min(PATIENCE, int(stall / 3)))


def offered_port(words):
    """The port in the words after "listen" from a host, or None if they are not one valid port."""
    return bounded(words[0], FIRST_PORT, 65535) if len(words) == 1 else None


def is_address(text):
    """Whether a text is a numeric address, with or without a scope."""
    number, _percent, scope = text.partition('%')
    try:
        ipaddress.ip_address(number)
    except ValueError:
        return False
    return number == text or bool(_SCOPE.fullmatch(scope))


def is_name(text):
    """Whether a text is a host name that needs no quotes in a command line of sh."""
    return bool(_NAME.fullmatch(text))


def recognised(name, text):
    """The Program with this name and help text, or None if its dialect is unknown."""
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
    """The options that make an OpenBSD netcat close its side: -N if it means that (Apple's does
    not), or the older -q.
    """
    lines = [line.strip() for line in text.splitlines()]
    if any(line.startswith('-N') and 'hutdown' in line for line in lines):
        return ('-N',)
    return ('-q', '0') if any(line.startswith('-q') for line in lines) else ()


def parse(text):
    """(address, Program or None) in the output of PROBE."""
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
