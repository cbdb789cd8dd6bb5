"""What placeholders do to an argument: {.} removes its extension, {/} its directory, and so on.

The names and the results are those of GNU parallel 20221122.  With --plus, there are also changes
with a text of their own, such as {%.gz}.  In GNU parallel this text is a regular expression; here
it is plain text, so that a dot is a dot.

Pure: bytes in, bytes out.
"""

import os
import re


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
    b'': lambda path: path,
    b'/': _without_directory,
    b'//': _directory,
    b'+/': lambda path: path.rpartition(b'/')[0],
}
for _count in (1, 2, 3):
    _CHANGES[b'.' * _count] = _without_extensions(_count)
    _CHANGES[b'/' + b'.' * _count] = _stem(_count)
    _CHANGES[b'+' + b'.' * _count] = _only_extensions(_count)

# The changes of --plus that carry a text: a pattern without groups, and a function of the argument
# and the text between the braces.  A placeholder that fits two patterns has the first meaning.
_DYNAMIC = (
    (rb':-[^}]+', lambda value, text: value or text[2:]),
    (rb':[0-9]+:[0-9]+', lambda value, text: _part(value, *map(int, text[1:].split(b':')))),
    (rb':[0-9]+', lambda value, text: _part(value, int(text[1:]), len(value))),
    (rb'##?[^#}][^}]*', lambda value, text: _without_start(value, text.lstrip(b'#'))),
    (rb'%%?[^%}][^}]*', lambda value, text: _without_end(value, text.lstrip(b'%'))),
    (rb'/[^#%/}.][^/}]*/[^}]*', lambda value, text: value.replace(*text[1:].split(b'/', 1), 1)),
    (rb'\^\^[^}]+', lambda value, text: value.replace(text[2:], text[2:].upper())),
    (rb'\^[^}]+', lambda value, text: _with_start(value, text[1:], text[1:].upper())),
    (rb',,[^}]+', lambda value, text: value.replace(text[2:], text[2:].lower())),
    (rb',[^}]+', lambda value, text: _with_start(value, text[1:], text[1:].lower())),
)
DYNAMIC_PATTERN = b'|'.join(pattern for pattern, _change in _DYNAMIC)


def change_of(word):
    """Return the function that a placeholder applies to an argument.

    word: the text between its braces, after the position: b'' for {}, b'/.' for {2/.}.
    """
    if word in _CHANGES:
        return _CHANGES[word]
    for pattern, change in _DYNAMIC:
        if re.fullmatch(pattern, word):
            return lambda value: change(value, word)
    raise KeyError(word)


def _part(value, start, length):
    return value[start:start + length]


def _without_start(value, start):
    return value[len(start):] if value.startswith(start) else value


def _without_end(value, end):
    return value[:-len(end)] if value.endswith(end) else value


def _with_start(value, start, new):
    return new + value[len(start):] if value.startswith(start) else value
