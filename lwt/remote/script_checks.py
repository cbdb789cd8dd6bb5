"""Mistakes in desc files and scripts, found before anything is sent.

The checks read a command only up to the first word that a shell would change.
"""

import os
import re
from typing import NamedTuple

from lwt.errors import UsageError
from lwt.remote import quoting
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
    that of the task.  args: the values that replace {}; None for no value."""

    texts: dict
    folder: str
    args: tuple = (None,)


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
    """Yield warnings about the commands of a desc, as text.  Raises UsageError for a value that is
    not safe in its position, or a file that cannot be read."""
    for text, where in commands.texts.values():
        if commands.args != (None,):
            _check_values(text, where, commands.args)
        words = _plain_words(text)
        if words:
            yield from _check_words(words, where, commands.folder)


def _check_values(text, where, args):
    """Raise UsageError if a value would not be safe in the position of {}."""
    spans = [match.span() for match in re.finditer(r'\{\}', text)]
    found = quoting.check(text, spans, where + ': ')
    for context in {place.context for place in found if place.context in quoting.STRICT}:
        for arg in args:
            problem = quoting.problem('{}', context, arg or '')
            if problem and arg is not None:
                raise UsageError('%s: %s' % (where, problem))


def _plain_words(text):
    """The words of the first command, up to the first one that a shell would change."""
    match = _PLAIN_WORDS.match(text.strip())
    return [match.group(1)] + match.group(2).split() if match else []


def _check_words(words, where, folder):
    name = words[0]
    path = os.path.normpath(os.path.join(folder, name))
    base = os.path.basename(name)
    if base in INTERPRETERS or re.fullmatch(r'python[23]\.\d+', base):
        yield from _check_argument(words, base in SHELLS, where, folder)
    elif os.path.isabs(name) or os.path.isdir(path):
        return
    elif os.path.isfile(path):
        yield from _check_program(name, path, where)
    elif '/' in name:
        yield '%s: %s is not in the folder' % (where, name)
    elif name.endswith(EXTENSIONS):
        yield '%s: %s is not in the folder, so each host needs it in its PATH' % (where, name)


def _check_argument(words, is_shell, where, folder):
    """Yield warnings about a command with an interpreter, such as `sh run.sh`."""
    rest = list(words[1:])
    flag = _SHELL_FLAG if is_shell else _OTHER_FLAG
    while rest and flag.fullmatch(rest[0]):
        del rest[0]
    if not rest or rest[0].startswith('-') or os.path.isabs(rest[0]):
        return
    path = os.path.normpath(os.path.join(folder, rest[0]))
    if not os.path.exists(path):
        yield '%s: %s is not in the folder' % (where, rest[0])
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
