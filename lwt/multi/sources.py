"""The sources of arguments: words after ":::", and files after "::::" or -a; and how those of
several sources are combined.
"""

import itertools
import os
from typing import NamedTuple, Optional

from lwt.errors import UsageError
from lwt.workspace import files

SEPARATORS = (':::', '::::', ':::+', '::::+')
READ_SIZE = 65536


class Source(NamedTuple):
    """Where arguments come from: words, or the lines of a file.

    words: the arguments themselves.
    path: the path of a file with one argument per line, '-' for standard input, or None.
    linked: its arguments are paired with those of the source before it, instead of combined with
        all.
    fd: the descriptor of the file, if it is open; -1 if not.
    begun: what was already read of it.
    """

    words: tuple = ()
    path: Optional[str] = None
    linked: bool = False
    fd: int = -1
    begun: bytes = b''

    @property
    def name(self):
        """The name of the file in messages."""
        return 'standard input' if self.path == '-' else files.user_path(self.path)

    def opened(self, at_exit):
        """Return it with an open descriptor.  at_exit: gets a function that closes it.

        Raises UsageError or LocalError.
        """
        if self.path is None or self.fd != -1:
            return self
        if self.path == '-':
            return self._replace(fd=0)
        try:
            fd = os.open(self.name, os.O_RDONLY)
        except OSError as error:
            raise files.read_error(self.name, error)
        at_exit(lambda: os.close(fd))
        return self._replace(fd=fd)

    def read(self):
        """Return the next bytes of the open file; b'' at its end."""
        try:
            return os.read(self.fd, READ_SIZE)
        except OSError as error:
            raise files.read_error(self.name, error)

    def without_first(self, separator):
        """Return (its first value, the Source without it).  The file is open.

        Waits until a line of the file has arrived.  Raises UsageError for an empty source.
        """
        if self.path is None:
            if not self.words:
                raise UsageError('a source of arguments has no header')
            return os.fsencode(self.words[0]), self._replace(words=self.words[1:])
        data = self.begun
        while separator not in data:
            more = self.read()
            if not more:
                break
            data += more
        if not data:
            raise UsageError('%s: empty, but it should begin with a header' % self.name)
        line, _separator, rest = data.partition(separator)
        return files.without_bom(line), self._replace(begun=rest)

    def all(self, reading):
        """Return all its values, cleaned by an inputs.Style.  The file is open."""
        if self.path is None:
            return reading.cleaned([os.fsencode(word) for word in self.words])[0]
        pieces = [self.begun] + list(iter(self.read, b''))
        lines = reading.text(b''.join(pieces)).split(reading.separator)
        return reading.cleaned(lines if lines[-1] else lines[:-1])[0]


def split_sources(words):
    """Return (the words before the first ":::", the Sources that follow).  Raises UsageError."""
    at = next((place for place, word in enumerate(words) if word in SEPARATORS), len(words))
    sources = []
    for word, group in _groups(words[at:]):
        if word.startswith('::::'):
            if not group:
                raise UsageError('%s: no file after it' % word)
            sources += [Source(path=path, linked=word.endswith('+') and not place)
                        for place, path in enumerate(group)]
        else:
            sources.append(Source(tuple(group), linked=word.endswith('+')))
    if sources and sources[0].linked:
        raise UsageError('the first source of arguments cannot be linked to one before it',
                         'use ::: or ::::')
    return list(words[:at]), sources


def _groups(words):
    """Yield (separator, the words after it)."""
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


def wrapped(values):
    """Return the values of sources, each repeated to the length of the longest one (--link)."""
    longest = max(map(len, values))
    return [list(itertools.islice(itertools.cycle(value), longest)) for value in values]


def combined(values, linked):
    """Return all combinations of values of several sources, as tuples; the last source varies
    fastest.

    values: an iterable of bytes for each source.
    linked: for each source, whether it is paired with the one before; the shortest of paired
        sources limits the number.
    """
    columns = _columns(values, linked)
    if len(columns) == 1:
        return zip(*columns[0])                 # nothing is stored, because the input may be long
    return (sum(combination, ())
            for combination in itertools.product(*[zip(*column) for column in columns]))


def count(values, linked):
    """Return the number of combinations."""
    total = 1
    for column in _columns(values, linked):
        total *= min(map(len, column))
    return total


def _columns(values, linked):
    """Return the values of the sources in groups; the sources of a group are paired."""
    columns = []
    for value, is_linked in zip(values, linked):
        if is_linked:
            columns[-1].append(value)
        else:
            columns.append([value])
    return columns
