"""A stranger at the port of a netcat, for tests: it connects to a listener first, or takes its port
and records what it is sent.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys

from tests.support import wait_for

# argv: address, port, what it sends, how often. It prints "ready" when it listens, and then
# everything that it receives.
PROGRAM = '''
import socket, sys, threading
address, port, text, times = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), int(sys.argv[4])
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((address, port))
server.listen(5)
sys.stderr.write('ready\\n')
sys.stderr.flush()
def send(link):
    try:
        for _ in range(times):
            link.sendall(text)
    except OSError:
        pass
while True:
    link, _peer = server.accept()
    threading.Thread(target=send, args=(link,), daemon=True).start()
    try:
        for data in iter(lambda: link.recv(65536), b''):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except OSError:
        pass
'''

# A netcat that waits before its first connection: it reports the address, and continues when it
# may. $0: a directory.
WAITING = '''#!/bin/sh
case " $* " in *" -h "* | *" -l "*) exec {real} "$@" ;; esac
if mkdir {directory}/first 2>/dev/null; then
  echo "$@" >{directory}/told.part; mv {directory}/told.part {directory}/told
  while [ ! -e {directory}/go ]; do sleep 0.05; done
fi
exec {real} "$@"
'''

# A netcat that connects as a stranger before each connection.
SPOILING = '''#!/bin/sh
case " $* " in *" -h "* | *" -l "*) exec {real} "$@" ;; esac
echo once >>{directory}/spoiled
echo {wrong} | {real} "$@" >/dev/null 2>&1
exec {real} "$@"
'''

# A netcat that changes one byte of the data, far behind the token. (head would keep back the token,
# so read and echo pass it on.)
CORRUPTING = r'''#!/bin/sh
case " $* " in *" -h "* | *" -l "*) exec {real} "$@" ;; esac
{{
  read -r token; echo "$token"; head -c 100000
  head -c 1 | tr '\000-\377' '\001-\377\000'; cat
}} | {real} "$@"
'''

# A netcat that reports its dialect slowly, so that its host is ready later than others.
SLOW_TO_TELL = '''#!/bin/sh
case " $* " in *" -h "*) sleep {seconds} ;; esac
exec {real} "$@"
'''


def spoil(address, port, text=b'0' * 32 + b'\n'):
    """Connect to a listener, send another token, and return everything that is sent back."""
    with socket.create_connection((address, port), timeout=20) as link:
        try:
            link.sendall(text)
            return b''.join(iter(lambda: link.recv(100), b''))
        except OSError:
            return b''


@contextlib.contextmanager
def squatting(namespace, address, port, path, text='', times=1):
    """Take a port of a host, in its network namespace; received data is written to the file `path`.
    """
    with open(path, 'wb') as file:
        popen = subprocess.Popen(['ip', 'netns', 'exec', namespace, sys.executable, '-c', PROGRAM,
                                  address, str(port), text,
                                  str(times)], stdin=subprocess.DEVNULL, stdout=file,
                                 stderr=subprocess.PIPE)
    try:
        if popen.stderr.readline() != b'ready\n':
            raise AssertionError('the port cannot be taken')
        yield
    finally:
        popen.kill()
        popen.communicate()


def replace_netcat(lab, name, text, **words):
    """Replace a host's netcat by a script, which names the real one as {real}; return the path for
    undo_netcat.
    """
    there = os.path.realpath(shutil.which('nc'))
    script = text.format(real='/tmp/real-nc', directory='/tmp', **words)
    lab.inside(name, 'sh', '-c',
               'cp "$1" /tmp/real-nc && printf %s "$0" >/tmp/nc && chmod 755 /tmp/nc && '
               'mount --bind /tmp/nc "$1"', script, there)
    return there


def undo_netcat(lab, name, there):
    """Restore the netcat of a host, and remove the files of the script."""
    wait_for(lambda: not lab.commands(name))
    lab.inside(name, 'sh', '-c',
               'umount -l "$0"; rm -rf /tmp/nc /tmp/real-nc /tmp/first /tmp/told /tmp/go '
               '/tmp/spoiled', there)
