"""The one option of ssh_config(5) that lwt repeats on the command line: IgnoreUnknown.

ssh uses the first value that it gets for an option.  lwt passes IgnoreUnknown for old versions of
ssh, and would thereby disable the user's own value.  lwt reads nothing else from these files.  A
file that cannot be read is skipped, because ssh reports it.
"""

import glob
import os
import pwd
import re

SYSTEM_FILE = '/etc/ssh/ssh_config'
MAX_BYTES = 1 << 20         # maximum bytes read of one file
MAX_DEPTH = 16              # maximum depth of Include, as in OpenSSH (READCONF_MAX_DEPTH)
MAX_FILES = 200             # maximum number of files read

_LINE = re.compile(r'\s*(IgnoreUnknown|Include)(?:\s*=\s*|\s+)(.*)', re.IGNORECASE)
_WORD = re.compile(r'"([^"]*)"|(\S+)')


def ignored(config):
    """The patterns of IgnoreUnknown, as a tuple, in the files that `ssh -F config` reads.

    config: the path of a file, 'none', or '' for the user's and the system's files.
    """
    if config == 'none':
        return ()
    directory = os.path.join(_home(), '.ssh')
    paths = [config] if config else [os.path.join(directory, 'config'), SYSTEM_FILE]
    found, read = [], []
    for path in paths:
        base = os.path.dirname(SYSTEM_FILE) if path == SYSTEM_FILE else directory
        _collect(path, base, found, read, 0)
    return tuple(dict.fromkeys(found))


def _home():
    """The home of the user as ssh knows it: from the password database, not from $HOME."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return '/'


def _collect(path, base, found, read, depth):
    """Add the patterns in a file, and in the files that it includes, to found.

    base: the directory for relative paths.  read: the paths of all files read so far.
    """
    if depth > MAX_DEPTH or len(read) >= MAX_FILES:
        return
    read.append(path)
    for line in _lines(path):
        match = _LINE.match(line)
        words = [quoted or bare for quoted, bare in _WORD.findall(match.group(2))] if match else []
        if words and match.group(1).lower() == 'ignoreunknown':
            found += [pattern for pattern in words[0].split(',') if pattern]
        elif words:
            for included in words:
                pattern = os.path.join(base, os.path.expanduser(included))
                for name in sorted(glob.glob(pattern)):
                    _collect(name, base, found, read, depth + 1)


def _lines(path):
    try:
        if not os.path.isfile(path):
            return []
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read(MAX_BYTES).splitlines()
    except OSError:
        return []
