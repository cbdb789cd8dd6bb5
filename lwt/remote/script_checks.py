"""Mistakes in desc files and scripts, found before anything is sent.

The checks read a command only up to the first word that a shell would change.
"""

import os
import re
from typing import NamedTuple, Optional

from lwt.errors import UsageError
from lwt.workspace.files import BOM

MAX_LOOKED_AT = 1 << 20         # bytes of a script
SHELLS = ('sh', 'ash', 'bash', 'dash', 'ksh', 'mksh', 'zsh')
INTERPRETERS = SHELLS + ('python', 'python2', 'python3', 'perl', 'ruby', 'Rscript', 'julia', 'node',
                         'php', 'lua', 'tclsh', 'octave')

# Extensions of scripts.  Those that sh does not understand need a #! line.
SH_EXTENSIONS = ('.sh',)
EXTENSIONS = SH_EXTENSIONS + ('.bash', '.csh', '.ksh', '.zsh', '.py', '.pl', '.rb', '.R', '.r',
                              '.jl', '.js', '.php', '.lua', '.tcl', '.awk', '.m')

_PLAIN_WORDS = re.compile(r'(?:[A-Za-z_]\w*=[A-Za-z0-9_./:+-]*\s+)*([A-Za-z0-9_./+:=@%,-]+)'
                          r'((?:\s+[A-Za-z0-9_./+:=@%,-]+)*)(?=\s|$|[;&|])', re.ASCII)
_SHELL_FLAG, _OTHER_FLAG = re.compile(r'-[xeuv]+'), re.compile(r'-[uvwBO]+')


class Commands(NamedTuple):
    """The commands of a desc.  texts: {'exec': (text, its position for messages), ...}.  folder:
    that of the task.  inputs: for a task without a folder, {name in its directory: path}."""

    texts: dict
    folder: str
    inputs: Optional[dict] = None

    def path(self, name):
        """The path of the file that a word of a command names."""
        if self.inputs is None:
            return os.path.normpath(os.path.join(self.folder, name))
        name, rest = os.path.normpath(name), ''
        if any(place.startswith(name + '/') for place in self.inputs):
            return '/'                  # a directory that is made for inputs
        while name and name not in self.inputs:
            name, _slash, last = name.rpartition('/')
            rest = os.path.join(last, rest)
        return os.path.join(self.inputs[name], rest).rstrip('/') if name else ''

    @property
    def absent(self):
        return '%s is not in the folder' if self.inputs is None else '%s is not an --input'


def has_dos_ends(data):
    """Whether a script, bytes, has DOS line ends, in its first line or in most of its lines."""
    first, newline, _rest = data.partition(b'\n')
    if newline and first.endswith(b'\r'):
        return True
    return 2 * data.count(b'\r\n') > data.count(b'\n')


DOS_ENDS = '%s: the script has DOS line ends (CRLF)'


def check_dos_ends(name, data):
    """Raise UsageError if a script, bytes, has DOS line ends."""
    if has_dos_ends(data):
        raise UsageError(DOS_ENDS % name, "convert it: sed -i 's/\\r$//' %s" % name)


def check(commands):
    """Yield warnings about the commands of a desc, as text.  Raises UsageError for a file that
    cannot be read."""
    for text, where in commands.texts.values():
        words = _plain_words(text)
        if words:
            yield from _check_words(words, where, commands)


def _plain_words(text):
    """The words of the first command, up to the first one that a shell would change."""
    match = _PLAIN_WORDS.match(text.strip())
    return [match.group(1)] + match.group(2).split() if match else []


def _check_words(words, where, commands):
    name = words[0]
    path = commands.path(name)
    base = os.path.basename(name)
    if base in INTERPRETERS or re.fullmatch(r'python[23]\.\d+', base):
        yield from _check_argument(words, base in SHELLS, where, commands)
    elif os.path.isabs(name) or os.path.isdir(path):
        return
    elif os.path.isfile(path):
        yield from _check_program(name, path, where)
    elif '/' in name:
        yield '%s: %s' % (where, commands.absent % name)
    elif name.endswith(EXTENSIONS):
        yield ('%s: %s, so each host needs it in its PATH'
               % (where, commands.absent % name))


def _check_argument(words, is_shell, where, commands):
    """Yield warnings about a command with an interpreter, such as `sh run.sh`."""
    rest = list(words[1:])
    flag = _SHELL_FLAG if is_shell else _OTHER_FLAG
    while rest and flag.fullmatch(rest[0]):
        del rest[0]
    if not rest or rest[0].startswith('-') or os.path.isabs(rest[0]):
        return
    path = commands.path(rest[0])
    if not os.path.exists(path):
        yield '%s: %s' % (where, commands.absent % rest[0])
    elif is_shell and os.path.isfile(path):
        data = _head(path)
        yield from _dos_ends(where, path, data)
        if data.startswith(BOM):
            yield '%s: %s begins with a byte order mark' % (where, rest[0])


def _check_program(name, path, where):
    """Yield warnings about a file of the folder that is executed directly."""
    data = _head(path)
    if b'\0' in data:                   # a compiled program
        return
    if data.startswith(BOM):
        yield '%s: %s begins with a byte order mark, so its #! line does not count' % (where, name)
    elif not data.startswith(b'#!') and _needs_interpreter(name):
        yield '%s: %s has no #! line, so sh runs it; name its interpreter' % (where, name)
    else:
        yield from _dos_ends(where, path, data)


def _dos_ends(where, path, data):
    if has_dos_ends(data):
        yield '%s: %s' % (where, DOS_ENDS % path)


def _needs_interpreter(name):
    return name.endswith(EXTENSIONS) and not name.endswith(SH_EXTENSIONS)


def _head(path):
    try:
        with open(path, 'rb') as file:
            return file.read(MAX_LOOKED_AT)
    except OSError as error:
        raise UsageError('%s: %s' % (path, error.strerror))
