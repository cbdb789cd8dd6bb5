"""The values of tasks that are added together: --each, --array and --param."""

import itertools
import os
import re
import stat

from lwt.errors import UsageError, printable
from lwt.tasks import placeholders
from lwt.tasks.task_lists import NumberSet
from lwt.workspace import files

MAX_BYTES = 64 << 20
# Bytes: Linux takes 131,072 in one string of the environment, and {} may stand for it in a word.
MAX_VALUE = 120000
MAX_COUNT = 10 ** 6     # values of one --array, or of all --param together
_PART = re.compile(r'\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*(?:[/:]\s*([0-9]{1,9})\s*)?)?',
                   re.ASCII)
_RANGE = re.compile(r'[0-9]{1,9}-[0-9]{1,9}(?:[/:][0-9]{1,9})?', re.ASCII)
# Variables that mean something to a shell, to a program loader or to lwt.
_RESERVED = frozenset('PATH HOME IFS PWD OLDPWD ENV BASH_ENV UID EUID PPID SHELLOPTS BASHOPTS '
                      'OPTIND OPTARG RANDOM SECONDS LINENO CDPATH PS1 PS2 PS4 d_home d_working '
                      '_'.split())
_RESERVED_START = ('LWT_', 'LD_', 'BASH_', 'KSH_')


class Values:
    """The values of many tasks, as text, which are made when they are read.

    make(): returns an iterator over them; called for each reading.  count: how many they are.
    """

    def __init__(self, make, count):
        self._make = make
        self._count = count

    def __len__(self):
        return self._count

    def __iter__(self):
        return self._make()


def of_file(path):
    """Return the Values of --each FILE: its lines without empty ones.

    path: '-' for standard input; a pipe, as from <(…), is read to its end.
    """
    shown = 'standard input' if path == '-' else path
    text, count = _read(path, shown), 0
    for value in _lines(text):
        _check_value(value, shown)
        count += 1
    if not count:
        raise UsageError('%s: no lines' % shown)
    return Values(lambda: _lines(text), count)


def _lines(text):
    """Yield the lines of a text without empty ones."""
    at = 0
    while at < len(text):
        end = text.find('\n', at)
        end = end if end >= 0 else len(text)
        line = text[at:end].rstrip('\r')
        if line.strip():
            yield line
        at = end + 1


def _read(path, shown):
    """Return the text of a file, of standard input ('-') or of a pipe."""
    is_pipe = path != '-' and os.path.exists(path) and stat.S_ISFIFO(os.stat(path).st_mode)
    if path != '-' and not is_pipe:
        return files.read_text(path, MAX_BYTES)
    try:
        with open(0 if path == '-' else path, 'rb', closefd=is_pipe) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise files.read_error(shown, error)
    if len(data) > MAX_BYTES:
        raise UsageError('%s: larger than %d bytes' % (shown, MAX_BYTES))
    return files.decoded(data, shown)


def _check_value(value, shown):
    if '\0' in value:
        raise UsageError('%s: NUL byte in %s' % (shown, printable(value)))
    if len(os.fsencode(value)) > MAX_VALUE:
        raise UsageError('%s: value too long (%d bytes): %s…'
                         % (shown, len(os.fsencode(value)), printable(value[:20])),
                         'at most %d bytes; put larger data into a file of the folder'
                         % MAX_VALUE)


def of_array(text):
    """Return the Values of --array, each once: 5, 1-100, 1,3,7-9, 0-99:10, 001-100.

    A step is written as in Slurm (:) or HyperQueue (/).  Leading zeros are kept, as in host sets.
    """
    if '%' in text:
        raise UsageError('--array %s: the limit %%N of Slurm is not supported' % printable(text),
                         'slots and max_dtask_day limit the tasks of a host; leave out %%%s'
                         % printable(text.partition('%')[2]).strip("'"))
    where = '--array %s' % printable(text)
    parts = [_values_of_part(part, where) for part in text.split(',')]
    if len(parts) == 1:
        return parts[0]
    count = 0
    for count, _value in enumerate(_once(parts), 1):
        if count > MAX_COUNT:
            raise UsageError('%s: more than a million tasks' % where)
    return Values(lambda: _once(parts), count)


def _once(parts):
    """Yield each of the numbers in some Values once, as text."""
    seen = {}                           # length of the text -> its numbers
    for part in parts:
        for value in part:
            numbers = seen.setdefault(len(value), NumberSet())
            if int(value) not in numbers:
                numbers.add(int(value))
                yield value


def _values_of_part(part, where):
    """Return the Values of one part of a list of numbers and ranges.  where: for messages."""
    match = _PART.fullmatch(part)
    if not match:
        raise UsageError('%s: bad part %s' % (where, printable(part)),
                         'expected 5, 1-100, 1,3,7-9 or 0-99:10')
    first, last, step = match.group(1), match.group(2) or match.group(1), int(match.group(3) or 1)
    if int(first) > int(last) or step < 1:
        raise UsageError('%s: bad range %s' % (where, printable(part)),
                         'give the lower number first, and a step of at least 1')
    is_padded = len(first) > 1 and first.startswith('0')
    if not is_padded and len(last) > 1 and last.startswith('0') or len(first) > len(last):
        raise UsageError('%s: bad range %s' % (where, printable(part)),
                         'write leading zeros as in 001-100 or 08-10')
    numbers = range(int(first), int(last) + 1, step)
    if len(numbers) > MAX_COUNT:
        raise UsageError('%s: more than a million tasks' % where)
    width = len(first) if is_padded else 0
    form = '%%0%dd' % width
    return Values(lambda: (form % number for number in numbers), len(numbers))


def of_params(texts):
    """Return the Values of all --param NAME=VALUES: one for each combination, as lr=0.1 seed=1.

    The last parameter varies fastest.  VALUES: words and ranges of numbers, separated by commas.
    """
    columns, count, seen = [], 1, set()
    for text in texts:
        name, equals, rest = text.partition('=')
        where = '--param %s' % printable(name)
        if not equals:
            raise UsageError('--param %s: expected NAME=VALUES' % printable(text),
                             'such as --param lr=0.1,0.01 or --param seed=1-5')
        _check_name(name, where)
        if name in seen:
            raise UsageError('%s: given twice' % where, 'separate several values by commas')
        seen.add(name)
        words = _words_of_param(rest, where)
        columns.append([placeholders.joined([(name, word)]) for word in words])
        count *= len(columns[-1])
        if count > MAX_COUNT:
            raise UsageError('--param: more than a million combinations')
    _check_value(' '.join(max(column, key=len) for column in columns), '--param')
    return Values(lambda: map(' '.join, itertools.product(*columns)), count)


def _check_name(name, where):
    if not re.fullmatch(r'[A-Za-z_][A-Za-z0-9_]*', name, re.ASCII):
        raise UsageError('%s: not the name of a variable' % where,
                         'use letters, digits and _, and no digit at the start')
    if name in _RESERVED or name.startswith(_RESERVED_START):
        raise UsageError('%s: this variable has a meaning of its own' % where,
                         'choose another name')


def _words_of_param(text, where):
    """Return the values of one parameter, each once."""
    if _RANGE.fullmatch(text):
        return _values_of_part(text, where)
    found = {}
    for word in text.split(','):
        if not word:
            raise UsageError('%s: empty value' % where)
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError('%s: not UTF-8: %s' % (where, printable(word)))
        ranged = _RANGE.fullmatch(word)
        found.update(dict.fromkeys(_values_of_part(word, where) if ranged else [word]))
    return list(found)
