"""The answers of a hostile host, in place of the script that it was sent.

sshd runs this as a forced command: python3 hostile_host.py FILE. FILE names the way in which the
host is hostile (see WAYS), which may change at any time. It never writes more than MOST_BYTES, and
ends after LONGEST seconds, whatever lwt does.
"""

import itertools
import os
import re
import sys
import time

MOST_BYTES = 1 << 27
LONGEST = 60.0
RATE = 2e6                      # bytes a second: many of them share one machine in the tests
BLOCK = b'x' * (1 << 16)
ESCAPES = '\x1b]0;title\x07\x1b[2J\u202eevil\u200b'.encode()


class Enough(Exception):
    """It has written or waited enough."""


class Host:
    """One session. kind: 'control' for a channel, else 'script'. keys: the tasks that it was asked
    about.
    """

    def __init__(self):
        self._ends_at = time.monotonic() + LONGEST
        self._left = MOST_BYTES
        line = sys.stdin.buffer.readline()
        found = re.match(rb"lwt ([0-9a-f]+) |'([0-9a-f]+)' ", line) or re.match(b'()()', b'')
        self.kind = 'control' if found.group(2) else 'script'
        self._nonce = found.group(1) or found.group(2)
        self.keys = self._read_keys() if self.kind == 'control' else []

    def _read_keys(self):
        lines = itertools.takewhile(lambda line: line not in (b'', b'end\n'),
                                    iter(sys.stdin.buffer.readline, None))
        return [line.split(b' ')[1] for line in lines if line.count(b' ') > 3]

    def put(self, data, fd=1):
        """Write to standard output or error."""
        if len(data) > self._left or time.monotonic() > self._ends_at:
            raise Enough()
        self._left -= len(data)
        while data:
            data = data[os.write(fd, data):]

    def frame(self, text, fds=(1, 2)):
        """Write a line of the frame."""
        for fd in fds:
            self.put(b'\x1e%s %s\n' % (self._nonce, text), fd)

    def for_ever(self, chunks, fd=1):
        """Write until the limit is reached."""
        for data in chunks:
            self.put(data, fd)
            time.sleep(len(data) / RATE)

    def sleep(self, seconds):
        """Sleep until the session ends."""
        until = min(self._ends_at, time.monotonic() + seconds)
        while time.monotonic() < until and is_served():
            time.sleep(0.1)


def is_served():
    """Return whether the parent is still the sshd of the session, which may have ended before this
    began.
    """
    try:
        with open('/proc/%d/comm' % os.getppid()) as file:
            return file.read().startswith('sshd')
    except OSError:
        return False


def endless_line(host):
    host.frame(b'begin')
    host.for_ever(itertools.repeat(BLOCK))


def endless_lines(host):
    host.frame(b'begin')
    host.for_ever(itertools.repeat(b'\n' * (1 << 16)))


def endless_words(host):
    """Yield lines as each of lwt's readers may expect them, none of them twice."""
    host.frame(b'begin')
    host.for_ever(b''.join(
        b'need f%d\npath 1 1 /f%d\ntask 00.%d state running\nlines in %d\ncode c%d 0\nlisten '
        b'%d\nsample a%d=1\nprocess %d 0.1\n'
        % ((number,) * 8) for number in range(at, at + 200)) for at in itertools.count(0, 200))


def endless_complaints(host):
    host.frame(b'begin')
    host.for_ever((b'complaint %d\n' % number * 2000 for number in itertools.count()), 2)


def endless_noise(host):
    host.for_ever(itertools.repeat(BLOCK))


def endless_last_words(host):
    host.for_ever(itertools.repeat(b'Connection closed by remote host\n' * 1000), 2)


def silent(host):
    host.frame(b'begin')
    host.sleep(LONGEST)


def dead(host):
    host.sleep(LONGEST)


def huge_numbers(host):
    host.frame(b'begin')
    for number in (b'-1', b'9' * 400, b'1e400', b'0x10', b''):
        host.put(
            b'path %s %s /f\ntask 00.1 size %s\nsample cores=%s load=%s disk=%s\nget %s\nclock '
            b'%s\nsum in %s %s\nhave %s\n'
            % ((number,) * 11))
    host.frame(b'end ' + b'9' * 400)


def escapes(host):
    host.put(ESCAPES + b'\n', 2)
    host.frame(b'begin')
    host.put(b'stage ' + ESCAPES * 2000 + b'\nrefused ' + ESCAPES * 2000 + b'\nexcept '
             + ESCAPES * 2000 + b'\n')
    host.put(ESCAPES * 2000, 2)
    host.frame(b'fail ' + ESCAPES * 2000)


def huge_words(host):
    host.frame(b'begin')
    word = b'A' * (1 << 19)
    host.put(b'facts %s %s\nboot %s\nid %s\nmachine %s\npython %s %s\n' % ((word,) * 7))
    for key in host.keys:
        host.put(b'task %s state exited %s\n' % (key, word) + b'task %s state nonsense\n'
                 % key * 1000)
    host.frame(b'end 0')


def endless_archive(host):
    host.frame(b'begin')
    host.put(b'facts boot host\n')
    for key in host.keys:
        host.put(b'task %s state exited 0\n' % key)
    host.put(b'path 1 10 /f\nsend\nstream ' + b' '.join(host.keys) + b'\n')
    host.for_ever(itertools.repeat(b'\0' * (1 << 16)))


def forged(host):
    host.put(b'\x1e%032x begin\n\x1e%032x end 0\n' % (1, 1))
    host.frame(b'begin')
    host.frame(b'begin')
    host.put(b'\x1e%032x end 0\n' % 1)
    host.frame(b'end 256')
    host.frame(b'end 0')


def late(host):
    host.sleep(8)
    host.frame(b'begin')
    host.frame(b'end 0')


WAYS = {way.__name__: way for way in (
    endless_line, endless_lines, endless_words, endless_complaints, endless_noise,
    endless_last_words, silent,
    dead, huge_numbers, escapes, huge_words, endless_archive, forged, late)}


def main(argv):
    """Be hostile in the way that the file names."""
    with open(argv[0]) as file:
        way = WAYS[file.read().strip()]
    try:
        way(Host())
    except (Enough, BrokenPipeError):
        pass
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
