"""Finds command lines that can be executed without a shell, which saves one process.

Such a line is the name of a program and words that no shell would change.  The program is neither a
reserved word nor built into a shell; `true` and `false` are built in, but without arguments the
programs do the same.
"""

import os
import re
import stat

_LINE = re.compile(rb' *[A-Za-z0-9_@+:,./-][A-Za-z0-9_@%+:,./-]*(?: +[A-Za-z0-9_@%+=:,./-]+)* *')

# Reserved words and built-in commands of dash, bash, busybox sh, ksh and zsh.
_SHELLS_OWN = frozenset(b'''
    . : alias autoload bg bind break builtin caller case cd chdir command compgen complete
    compopt continue coproc declare dirs disown do done echo elif else enable emulate esac eval
    exec exit export false fc fg fi float for function functions getopts hash help history if in
    integer jobs kill let local logout mapfile newgrp nohup popd print printf pushd pwd read
    readarray readonly repeat return select set shift shopt sleep source suspend test then time
    times trap true type typeset ulimit umask unalias unset until vared wait whence where which
    while
    '''.split()) - {b'sleep', b'nohup', b'which'}


_SAME_ALONE = {name: (b'/bin/' + name, b'/usr/bin/' + name) for name in (b'true', b'false')}


class Programs:
    """Finds programs as the shell does, and remembers them."""

    def __init__(self, environ):
        """environ: the environment.  If it contains functions of bash, every line needs a shell,
        because functions take precedence over programs.
        """
        self._directories = [os.fsencode(directory or '.')
                             for directory in environ.get('PATH', os.defpath).split(os.pathsep)]
        self._has_functions = any(name.startswith('BASH_FUNC_') for name in environ)
        self._found = {}

    def without_shell(self, line):
        """(file to execute, words) for a line of bytes; None if the line needs a shell."""
        if self._has_functions or not _LINE.fullmatch(line):
            return None
        words = tuple(line.split())
        name = words[0]
        if name in _SHELLS_OWN and not (len(words) == 1 and name in _SAME_ALONE):
            return None
        path = name if b'/' in name else self._find(name)
        if path is None or name in _SAME_ALONE and path not in _SAME_ALONE[name]:
            return None
        return path, words

    def _find(self, name):
        if name not in self._found:
            places = (os.path.join(directory, name) for directory in self._directories)
            path = next(filter(_is_program, places), None)
            if path is None:
                return None             # not remembered: it may be installed later
            self._found[name] = path
        return self._found[name]


def _is_program(path):
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except OSError:
        return False
