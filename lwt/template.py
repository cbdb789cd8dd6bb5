"""Command lines made of a template and arguments, with GNU parallel's replacement strings.

    {}  the argument          {.}  without its extension    {/}  without its directories    {//}  its directory
    {/.}  both removed        {#}  the number of the job    {%}  the number of its slot     {2} {2.} ...  of the second source

What is filled in is quoted so that any file name is one word for the shell.  A template without any of these gets " {}" at
its end.  Pure: bytes in, bytes out.
"""

import itertools
import os
import re
from typing import NamedTuple

from lwt.errors import UsageError

SEPARATORS = (':::', '::::', ':::+', '::::+')

_PLACE = re.compile(rb'\{(?:([1-9][0-9]*)?(\.|//|/\.|/)?|([#%]))\}')
_SAFE = re.compile(rb'[A-Za-z0-9_@%+=:,./-]+')


class Source(NamedTuple):
    """Where arguments come from: the words themselves, or the lines of a file ('-': standard input), by its path.

    linked: its arguments go together with those of the source before it, and are not multiplied with them.
    """

    words: tuple = ()
    path: str = None
    linked: bool = False


class Template:
    """A command with places to be filled in."""

    def __init__(self, text, sources):
        """text: bytes.  sources: how many arguments each job has; a place beyond them is a UsageError."""
        self._text = text if _PLACE.search(text) else text + b' {}'
        for match in _PLACE.finditer(self._text):
            if match.group(1) and int(match.group(1)) > sources:
                raise UsageError('%s: there %s only %d source%s of arguments'
                                 % (match.group().decode(), 'is' if sources == 1 else 'are', sources, 's' * (sources != 1)))
        self.has_slot = b'{%}' in self._text

    def fill(self, arguments, number, slot):
        """The command for these arguments (bytes), as bytes.  number: of the job, from 1.  slot: from 1."""
        def filled(match):
            position, change, special = match.groups()
            if special:
                return str(number if special == b'#' else slot).encode()
            chosen = arguments if position is None else (arguments[int(position) - 1],)
            return b' '.join(quoted(_CHANGES[change](argument)) for argument in chosen)
        return _PLACE.sub(filled, self._text)


def quoted(word):
    """A word (bytes) as the shell reads it back unchanged."""
    return word if _SAFE.fullmatch(word) else b"'" + word.replace(b"'", b"'\"'\"'") + b"'"


def _without_extension(path):
    directory, slash, name = path.rpartition(b'/')
    stem, dot, _extension = name.rpartition(b'.')
    return directory + slash + (stem if dot and stem else name)


def _without_directory(path):
    return path.rpartition(b'/')[2]


def _directory(path):
    directory = os.path.dirname(path.rstrip(b'/'))
    return directory or (b'/' if path.startswith(b'/') else b'.')


_CHANGES = {
    None: lambda path: path,
    b'.': _without_extension,
    b'/': _without_directory,
    b'//': _directory,
    b'/.': lambda path: _without_extension(_without_directory(path)),
}


def split_sources(words):
    """(the words before the first ":::", the Sources that follow).  Raises UsageError."""
    at = next((place for place, word in enumerate(words) if word in SEPARATORS), len(words))
    sources = []
    for word, group in _groups(words[at:]):
        if word.startswith('::::'):
            if not group:
                raise UsageError('%s: no file after it' % word)
            sources += [Source(path=path, linked=word.endswith('+') and not place) for place, path in enumerate(group)]
        else:
            sources.append(Source(tuple(group), linked=word.endswith('+')))
    if sources and sources[0].linked:
        raise UsageError('the first source of arguments cannot be linked to one before it', 'use ::: or ::::')
    return list(words[:at]), sources


def _groups(words):
    """(separator, the words after it) pairs."""
    group = None
    for word in words:
        if word in SEPARATORS:
            if group is not None:
                yield group
            group = word, []
        else:
            group[1].append(word)
    if group is not None:
        yield group


def combined(values, linked):
    """All combinations of the values (iterables of bytes) of several sources, as tuples, the last one varying fastest.

    linked: for each source, whether it goes together with the one before; of linked ones the shortest decides.
    """
    columns = _columns(values, linked)
    if len(columns) == 1:
        return zip(*columns[0])                 # nothing has to be kept: the input may be long
    return (sum(combination, ()) for combination in itertools.product(*[zip(*column) for column in columns]))


def count(values, linked):
    """How many combinations there are."""
    total = 1
    for column in _columns(values, linked):
        total *= min(map(len, column))
    return total


def _columns(values, linked):
    """The values of the sources that are multiplied, each a list of those that go together."""
    columns = []
    for value, is_linked in zip(values, linked):
        if is_linked:
            columns[-1].append(value)
        else:
            columns.append([value])
    return columns
