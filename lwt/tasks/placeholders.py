"""Placeholders in the commands of tasks, such as {} {2} {lr}, and the values that replace them.

The value of a task is one text.  The `split` of its batch says how the value is divided:

    ''             not at all: {} and {1} are the value
    'colsep RE'    into columns, at each match of RE: {1} {2}; {} is the whole
    'params'       it consists of words NAME=VALUE, quoted for sh: {NAME}, and $NAME as a variable

Each value is quoted as one word for sh.  Quotes around a placeholder would break that, so this is
an error (see remote/quoting).  A string in quotes that is no known placeholder is left as it is,
such as the program of awk; outside of quotes it is an error.

Pure: text in, text out.
"""

import functools
import re
import shlex

from lwt.errors import UsageError, printable
from lwt.remote import quoting
from lwt.workspace.config import nearest

PARAMS = 'params'
COLSEP = 'colsep '
_PLACE = re.compile(r'\{\}|(?<!\$)\{(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]{1,6})\}', re.ASCII)
# Placeholders of `lwt multi` and GNU parallel that tasks do not have: {.} {/} {#} {2.} …
_FOREIGN = re.compile(r'(?<!\$)\{(?!-?[0-9]+\.\.)[-+./#%0-9]*[-+./#%][-+./#%0-9]*\}')


def named(value, split):
    """Return the parts of a value by name: {'lr': '0.1'}, or {'1': 'a', '2': 'b'} for columns.

    A value that is not split, or None, has none.
    """
    if value is None or not split:
        return {}
    if split == PARAMS:
        pairs = [word.partition('=') for word in shlex.split(value)]
        return {name: text for name, _equals, text in pairs}
    columns = _columns(value, split)
    return {str(number): text for number, text in enumerate(columns, 1)}


def _columns(value, split):
    """Return the columns of a value."""
    columns, at = [], 0
    for match in _separator(split).finditer(value):
        columns.append(value[at:match.start()])
        at = match.end()
    return columns + [value[at:]]


@functools.lru_cache(maxsize=16)
def _separator(split):
    return re.compile(split[len(COLSEP):])


def colsep(text):
    """Return the `split` for the regular expression of --colsep.  Raises UsageError."""
    try:
        if re.compile(text).match('') is None:
            return COLSEP + text
    except re.error as error:
        raise UsageError('--colsep %s: bad regular expression (%s)' % (printable(text), error))
    raise UsageError('--colsep %s: matches an empty text' % printable(text))


def joined(pairs):
    """Return the value of a task with parameters: (name, text) pairs as lr=0.1 seed=1."""
    return ' '.join('%s=%s' % (name, shlex.quote(text)) for name, text in pairs)


def tag(value, split):
    """Return a value as the columns of a table, separated by TABs, without control characters."""
    parts = list(named(value, split).values()) or [value or '']
    return '\t'.join(''.join(char if char.isprintable() else '?' for char in part)
                     for part in parts)


def variables(value, split):
    """Return the line of sh that sets the parameters of a task as variables, or ''."""
    return 'export %s\n' % value if value and split == PARAMS else ''


def filled(command, value, split):
    """Return a command with its placeholders replaced by the parts of a value."""
    if value is None:
        return command
    parts = dict(named(value, split))
    if split != PARAMS:
        parts[''] = value
    if not split:
        parts['1'] = value
    found, at = [], 0
    for start, end in _replaced(command, split, tuple(parts)):
        found += [command[at:start], shlex.quote(parts[command[start + 1:end - 1]])]
        at = end
    return ''.join(found) + command[at:]


@functools.lru_cache(maxsize=256)
def _replaced(command, split, names):
    """Return the (start, end) of the placeholders with these names that a value replaces."""
    return tuple((place.start, place.end) for place in _places(command)
                 if command[place.start + 1:place.end - 1] in names
                 and _is_open(place.context) or command[place.start:place.end] == '{}'
                 and '' in names)


def _places(command):
    """Return the quoting.Places of all that looks like a placeholder of tasks."""
    return quoting.places(command, [match.span() for match in _PLACE.finditer(command)])


def _is_open(context):
    return context == quoting.UNQUOTED or context in quoting.STRICT


def check(command, where, split, values):
    """Raise UsageError unless every placeholder of a command can be replaced by each value.

    where: the position of the command, for messages.  values: of the tasks.
    """
    names = _known(split, values)
    unknown = [match.span() for match in _FOREIGN.finditer(command)]
    for place in quoting.places(command, unknown):
        if _is_open(place.context):
            raise _unknown(command[place.start:place.end], where, names, split)
    known = []
    for place in _places(command):
        text = command[place.start:place.end]
        is_near = text != '{}' and not text[1:-1].isdigit() and nearest(text[1:-1], names, '')
        if text[1:-1] in names and (split or text == '{}' or _is_open(place.context)):
            known.append((place.start, place.end))
        elif _is_open(place.context) or is_near:
            raise _unknown(text, where, names, split)
    _check_values(command, where, split, values, quoting.check(command, known, where + ': '))


def _known(split, values):
    """Return the names of the placeholders that every value has."""
    if split == PARAMS:
        return list(named(next(iter(values)), split))
    if not split:
        return ['', '1']
    return [''] + [str(number + 1) for number in range(min(len(_columns(value, split))
                                                           for value in values))]


def _unknown(text, where, names, split):
    known = ' '.join('{%s}' % name for name in names[:20])
    if text[1:-1].isdigit() and split.startswith(COLSEP):
        return UsageError('%s: %s: a value has only %d column%s'
                          % (where, text, len(names) - 1, 's' * (len(names) > 2)),
                          'the placeholders are: ' + known)
    return UsageError('%s: unknown placeholder %s' % (where, printable(text)),
                      'the placeholders are: %s; put quotes around other braces' % known)


def _check_values(command, where, split, values, places):
    """Raise UsageError for a value that is not safe in the position of its placeholder."""
    for place in places:
        if place.context in quoting.STRICT:
            text = command[place.start:place.end]
            for value in values:
                parts = named(value, split)
                problem = quoting.problem(text, place.context, parts.get(text[1:-1], value))
                if problem:
                    raise UsageError('%s: %s' % (where, problem))
