"""Command lines that need no shell: executed directly, they mean the same and cost one process
less.

A line is plain if it is one program with words that no shell would change, and the program is
neither a word of the shell's own nor built into it.  `true` and `false` are, but alone they are the
same.  Pure but for the look-up of programs in PATH.
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
    """Finds programs as the shell does, and remembers those that it found."""

    def __init__(self, environ):
        """environ: the environment; with functions of bash in it, nothing is plain, for they come
        before programs.
        """
        self._directories = [os.fsencode(directory or '.')
                             for directory in environ.get('PATH', os.defpath).split(os.pathsep)]
        self._has_functions = any(name.startswith('BASH_FUNC_') for name in environ)
        self._found = {}

    def plain(self, line):
        """(the file to execute, the words) of a plain line of bytes; None for one that the shell is
        to run.
        """
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
                return None             # it may come later
            self._found[name] = path
        return self._found[name]


def _is_program(path):
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except OSError:
        return False
