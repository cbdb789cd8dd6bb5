"""Command lines made of a template and arguments, with GNU parallel's replacement strings.

    {}      the argument                    {#}    the number of the job
    {.}     without its extension           {##}   the number of jobs
    {..}    without two extensions          {0#}   the number of the job, with leading zeros
    {...}   without three extensions        {%}    the number of its slot
    {/}     without its directory           {0%}   the same, with leading zeros
    {//}    its directory                   {2}    of the second source; {2.} {2/} and so on
    {/.}    without both; {/..} {/...}      {-1}   of the last source; {-1.} {-1/} and so on
    {+/}    its directory, or nothing       {+.}   its extension; {+..} {+...}

Values are quoted, so that any file name is one word for the shell.  Inside other quotes this would
not hold, so a template with a placeholder there is refused (see quoting).  A string that looks like
a placeholder of GNU parallel but is unknown is refused as well.  All other braces stay as they are.
A template without a placeholder gets " {}" at its end.

Pure: bytes in, bytes out.
"""

import itertools
import os
import re
from typing import NamedTuple, Optional

from lwt.errors import UsageError
from lwt.remote import quoting

SEPARATORS = (':::', '::::', ':::+', '::::+')

# A placeholder: an optional source and a change; or one about the job itself.
_PLACE = re.compile(rb'\{(?:(-?[0-9]+)?(/?\.{1,3}|//|/|\+/|\+\.{1,3})?|(0*#|##|0*%))\}')

_SAFE = re.compile(rb'[A-Za-z0-9_@%+=:,./-]+')

# Strings that only look like a placeholder: a Perl expression, or only digits and the marks of
# placeholders.  Not {1..9} of bash, and not a string after "$", which is for the shell: ${1%.}
# ${1#}.
_PERL = re.compile(rb'\{-?[0-9]*=.*?=\}', re.DOTALL)
_SUSPECT = re.compile(rb'(?<!\$)\{(?!-?[0-9]+\.\.)[-+./#%0-9]*[./#%][-+./#%0-9]*\}')

# Further placeholders that GNU parallel has with --plus.
_PLUS = re.compile(rb'(?<!\$)\{-?[0-9]*(?::[^}]+|##?[^#}][^}]*|%%?[^}%][^}]*|'
                   rb'/[#%/]?[^#%/}.][^/}]*/[^}]*|\^\^?[^}]+|,,?[^}]+|'
                   rb'slot|seq|host|hgrp|sshlogin|uniq|choose_k)\}')


class Source(NamedTuple):
    """Where arguments come from: words, or the lines of a file.

    words: the arguments themselves.
    path: the path of a file with one argument per line, '-' for standard input, or None.
    linked: its arguments are paired with those of the source before it, instead of combined with
        all.
    """

    words: tuple = ()
    path: Optional[str] = None
    linked: bool = False


class Template:
    """A command with placeholders.

    has_slot, has_total: whether it needs the number of a slot, or of all jobs.
    """

    def __init__(self, text, sources, is_plus=False):
        """text: bytes.  sources: number of arguments of each job.
        is_plus: refuse unknown placeholders of GNU parallel's --plus too.

        Raises UsageError for a placeholder that cannot be filled in.
        """
        self._text = text if _PLACE.search(text) else text + b' {}'
        self._sources = sources
        for match in _PLACE.finditer(self._text):
            self._check_source(match)
        self._check_unknown(is_plus)
        jobs = [match.group(3) for match in _PLACE.finditer(self._text) if match.group(3)]
        self.has_slot = any(word.endswith(b'%') for word in jobs)
        self.has_total = any(word != b'#' and word.endswith(b'#') for word in jobs)
        self._strict = self._strict_places()

    def _check_source(self, match):
        if match.group(1) and not 1 <= abs(int(match.group(1))) <= self._sources:
            is_one = self._sources == 1
            raise UsageError('%s: there %s only %d source%s of arguments' % (
                match.group().decode(), 'is' if is_one else 'are', self._sources,
                's' * (not is_one)), '{1} is the first source, {-1} the last one')

    def _check_unknown(self, is_plus):
        for pattern in (_PERL, _SUSPECT) + (_PLUS,) * is_plus:
            for match in pattern.finditer(self._text):
                if not _PLACE.fullmatch(match.group()):
                    name = match.group().decode('utf-8', 'replace')
                    why = 'unknown placeholder'
                    if pattern is _PERL:
                        why = 'Perl expressions are not supported'
                    raise UsageError('%s: %s' % (name, why),
                                     'lwt multi --help lists the placeholders')

    def _strict_places(self):
        """Return {index: context} of the placeholders that are safe for some values only."""
        matches = list(_PLACE.finditer(self._text))
        spans = [(_characters(self._text, match.start()), _characters(self._text, match.end()))
                 for match in matches]
        found = quoting.check(self._text.decode('utf-8', 'surrogateescape'),
                              [span for span, match in zip(spans, matches) if not match.group(3)])
        strict = {(place.start, place.end): place.context for place in found
                  if place.context in quoting.STRICT}
        return {index: strict[span] for index, span in enumerate(spans) if span in strict}

    def fill(self, arguments, number, slot, total=0, slots=1):
        """Return the command for these arguments (bytes), as bytes.

        number: of the job, from 1.  slot: from 1.  total: the number of jobs, if has_total.
        slots: the number of slots.
        """
        def filled(match):
            position, change, special = match.groups()
            if special == b'##':
                return b'%d' % total
            if special:
                value, largest = (number, total) if special.endswith(b'#') else (slot, slots)
                return b'%0*d' % (len(str(largest)) if len(special) > 1 else 0, value)
            return b' '.join(map(quoted, self._values(arguments, position, change)))
        return _PLACE.sub(filled, self._text)

    def problem(self, arguments):
        """Return why the command cannot be filled with these arguments, or ''."""
        for index, match in enumerate(_PLACE.finditer(self._text) if self._strict else ()):
            if index in self._strict:
                for value in self._values(arguments, *match.groups()[:2]):
                    problem = quoting.problem(match.group().decode(), self._strict[index],
                                              value.decode('utf-8', 'replace'))
                    if problem:
                        return problem
        return ''

    @staticmethod
    def _values(arguments, position, change):
        chosen = arguments
        if position is not None:
            index = int(position)
            chosen = (arguments[index - (index > 0)],)
        return [_CHANGES[change](argument) for argument in chosen]


def _characters(text, count):
    """Return the number of characters in the first `count` bytes of a text."""
    return len(text[:count].decode('utf-8', 'surrogateescape'))


def quoted(word):
    """Return a word (bytes), quoted so that the shell reads it back unchanged."""
    return word if _SAFE.fullmatch(word) else b"'" + word.replace(b"'", b"'\"'\"'") + b"'"


def _extensions(path, count):
    """Return (directory with its slash, stem, `count` extensions) of a path.

    If there are fewer extensions, the whole name is the stem.  The dot of a name like .profile does
    not begin an extension.
    """
    directory, slash, name = path.rpartition(b'/')
    parts = name.rsplit(b'.', count)
    stem = parts[0] if len(parts) == count + 1 and parts[0] else name
    return directory + slash, stem, name[len(stem) + 1:]


def _without_extensions(count):
    return lambda path: b''.join(_extensions(path, count)[:2])


def _stem(count):
    return lambda path: _extensions(path, count)[1]


def _only_extensions(count):
    return lambda path: _extensions(path, count)[2]


def _without_directory(path):
    return path.rpartition(b'/')[2]


def _directory(path):
    directory = os.path.dirname(path.rstrip(b'/'))
    return directory or (b'/' if path.startswith(b'/') else b'.')


_CHANGES = {
    None: lambda path: path,
    b'/': _without_directory,
    b'//': _directory,
    b'+/': lambda path: path.rpartition(b'/')[0],
}
for _count in (1, 2, 3):
    _CHANGES[b'.' * _count] = _without_extensions(_count)
    _CHANGES[b'/' + b'.' * _count] = _stem(_count)
    _CHANGES[b'+' + b'.' * _count] = _only_extensions(_count)


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
