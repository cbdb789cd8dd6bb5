"""Command lines made of a template and arguments, with GNU parallel's replacement strings.

    {}      the argument                    {#}    the number of the job
    {.}     without its extension           {##}   the number of jobs
    {..}    without two extensions          {0#}   the number of the job, with leading zeros
    {...}   without three extensions        {%}    the number of its slot
    {/}     without its directory           {0%}   the same, with leading zeros
    {//}    its directory                   {2}    the second argument; {2.} {2/} and so on
    {/.}    without both; {/..} {/...}      {-1}   the last argument; {-1.} {-1/} and so on
    {+/}    its directory, or nothing       {+.}   its extension; {+..} {+...}

A Spelling adds to these: names from a header ({name} {name.}), other strings in place of those
above (-I), and the placeholders of --plus that carry a text ({%.gz}).

Values are quoted, so that any file name is one word for the shell.  Inside other quotes this would
not hold, so a template with a placeholder there is refused (see quoting).  A string that looks like
a placeholder of GNU parallel but is unknown is refused as well.  All other braces stay as they are.
A template without a placeholder gets " {}" at its end.

Pure: bytes in, bytes out.
"""

import re
from typing import Callable, NamedTuple, Optional

from lwt.errors import UsageError
from lwt.multi.changes import DYNAMIC_PATTERN, change_of
from lwt.remote import quoting

NUMBER_LENGTH = 10          # maximum characters of a number of a job or slot
# The name of the host, in commands and paths of jobs on hosts.
HOST = b'{host}'

# The parts of a placeholder: a change of the argument, or a word about the job itself.
_CHANGE = rb'/?\.{1,3}|//|/|\+/|\+\.{1,3}'
_JOB = rb'0*#|##|0*%'

_SAFE = re.compile(rb'[A-Za-z0-9_@%+=:,./-]+')

# What is repeated together with a placeholder (-X): the rest of its word, up to quotes and
# operators of the shell.
_CONTEXT = re.compile(rb'[^\s;&|<>()\'"`\\]+')

# Strings that only look like a placeholder: a Perl expression, or only digits and the marks of
# placeholders.  Not {1..9} of bash, and not a string after "$", which is for the shell: ${1%.}
# ${1#}.
_PERL = re.compile(rb'\{-?[0-9]*=.*?=\}', re.DOTALL)
_SUSPECT = re.compile(rb'(?<!\$)\{(?!-?[0-9]+\.\.)[-+./#%0-9]*[./#%][-+./#%0-9]*\}')

# Further placeholders that GNU parallel has with --plus.
_PLUS = re.compile(rb'(?<!\$)\{-?[0-9]*(?::[^}]+|##?[^#}][^}]*|%%?[^%}][^}]*|'
                   rb'/[#%/]?[^#%/}.][^/}]*/[^}]*|\^\^?[^}]+|,,?[^}]+|'
                   rb'host|hgrp|sshlogin|uniq|choose_k)\}')


class Spelling(NamedTuple):
    """How placeholders are written, and which there are.

    is_plus: those of GNU parallel's --plus too; the ones that lwt does not have are refused.
    names: of the arguments, in their order (--header); each may stand in place of a position.
    strings: {string: the placeholder that it replaces}, for example {b'%': b'{}'} (-I).
    is_repeated: the word around a placeholder is repeated for each argument (-X).
    """

    is_plus: bool = False
    names: tuple = ()
    strings: dict = {}
    is_repeated: bool = False

    def pattern(self):
        """Return the compiled pattern of a placeholder.

        Its groups: position or name; change; word about the job; a string of `strings`.
        """
        names = sorted(filter(None, self.names), key=len, reverse=True)
        positions = b'|'.join([rb'-?[0-9]+'] + [re.escape(name) for name in names])
        changes, jobs = _CHANGE, _JOB
        if self.is_plus:
            changes, jobs = changes + b'|' + DYNAMIC_PATTERN, jobs + b'|slot|seq'
        replaced = set(self.strings.values())
        # Without {}, a position alone is no placeholder either, as in GNU parallel.
        optional = b'' if b'{}' in replaced else b'?'
        form = rb'\{(?:(%s)?(%s)%s|(%s))\}' % (positions, changes, optional, jobs)
        for text in replaced:
            form = b'(?!' + re.escape(text) + b')' + form
        strings = b'|'.join(re.escape(text) for text in
                            sorted(self.strings, key=len, reverse=True)) or b'(?!)'
        return re.compile(b'(?:' + form + b'|(' + strings + b'))')


class _Placeholder(NamedTuple):
    """A placeholder.  start, end: where it is in the template.

    position: from 1, or negative from the end; None: all arguments.
    change: what it does to an argument.  job: for one about the job: b'#', b'##', b'%' …
    """

    start: int
    end: int
    position: Optional[int]
    change: Callable
    job: bytes

    def chosen(self, arguments):
        """Return its arguments; none if there is no argument at its position."""
        if self.position is None:
            return arguments
        index = self.position - (self.position > 0)
        return arguments[index:][:1] if -len(arguments) <= index < len(arguments) else ()


class _Repeated(NamedTuple):
    """A word of the template that is repeated for each argument: bytes and _Placeholders."""

    parts: tuple


class _Job(NamedTuple):
    """What the placeholders about a job need: see Template.fill."""

    number: int
    slot: int
    total: int
    slots: int

    def text(self, word):
        """Return the text for a placeholder about the job."""
        if word == b'##':
            return b'%d' % self.total
        is_number = word.endswith((b'#', b'seq'))
        value, largest = (self.number, self.total) if is_number else (self.slot, self.slots)
        return b'%0*d' % (len(str(largest)) if word.startswith(b'0') else 0, value)


class Template:
    """A command with placeholders.

    has_slot, has_total: whether it needs the number of a slot, or of all jobs.
    places: its placeholders.
    """

    def __init__(self, text, sources, spelling=Spelling(), is_command=True):
        """text: bytes.  sources: number of arguments of each job; 0: it has no arguments (--pipe);
        None: the number differs from job to job.
        is_command: False for a text that no shell reads.

        Raises UsageError for a placeholder that cannot be filled in.
        """
        self._pattern = spelling.pattern()
        if is_command and sources != 0 and not self._pattern.search(text):
            text += b' ' + next((string for string, place in spelling.strings.items()
                                 if place == b'{}'), b'{}')
        self._text = text
        self._sources = sources
        self._quoted = quoted if is_command else bytes
        self.places = [self._place(match, spelling) for match in self._pattern.finditer(text)]
        self._check_unknown(spelling.is_plus)
        jobs = [place.job for place in self.places if place.job]
        self.has_slot = any(word.endswith((b'%', b'slot')) for word in jobs)
        self.has_total = any(word.startswith((b'0', b'##')) and word.endswith(b'#')
                             for word in jobs)
        self._strict = self._strict_places() if is_command else {}
        self._items = self._repeated() if spelling.is_repeated else self._split()

    def _place(self, match, spelling):
        found = match
        if match.group(4):
            found = Spelling().pattern().fullmatch(spelling.strings[match.group(4)])
        where, change, job = found.groups()[:3]
        position = None
        if where in spelling.names:
            position = spelling.names.index(where) + 1
        elif where:
            position = int(where)
        if not job:
            self._check_position(match.group().decode('utf-8', 'replace'), position)
        return _Placeholder(match.start(), match.end(), position, change_of(change or b''),
                            job or b'')

    def _check_position(self, name, position):
        if self._sources == 0:
            raise UsageError('%s: jobs have no arguments with --pipe or -N 0' % name)
        is_known = self._sources is not None
        if position == 0 or position and is_known and abs(position) > self._sources:
            is_one = self._sources == 1
            raise UsageError('%s: there %s only %s argument%s' % (
                name, 'is' if is_one else 'are', self._sources or 'numbered', 's' * (not is_one)),
                '{1} is the first argument of a job, {-1} the last one')

    def _check_unknown(self, is_plus):
        for pattern in (_PERL, _SUSPECT) + (_PLUS,) * is_plus:
            for match in pattern.finditer(self._text):
                if not self._pattern.fullmatch(match.group()):
                    name = match.group().decode('utf-8', 'replace')
                    if pattern is _PERL:
                        raise UsageError('%s: Perl expressions are not supported' % name,
                                         'use the shell, for example $(echo {} | sed …), or '
                                         '--plus for {%.gz} and {/a/b}')
                    raise UsageError('%s: unknown placeholder' % name,
                                     'lwt multi --help lists the placeholders')

    def _strict_places(self):
        """Return {_Placeholder: context} of the placeholders that are safe for some values only."""
        places = [place for place in self.places if not place.job]
        spans = [(_characters(self._text, place.start), _characters(self._text, place.end))
                 for place in places]
        found = quoting.check(self._text.decode('utf-8', 'surrogateescape'), spans)
        strict = {(place.start, place.end): place.context for place in found
                  if place.context in quoting.STRICT}
        return {place: strict[span] for span, place in zip(spans, places) if span in strict}

    def _split(self):
        """Return the template as a list of bytes and _Placeholders."""
        items, at = [], 0
        for place in self.places:
            items += [self._text[at:place.start], place]
            at = place.end
        return [item for item in items + [self._text[at:]] if item]

    def _repeated(self):
        """Return the same with the words around placeholders of all arguments as _Repeated."""
        items, word = [], []
        for item in self._split():
            if isinstance(item, _Placeholder):
                word.append(item)
                continue
            at = 0
            for match in _CONTEXT.finditer(item):
                if match.start():
                    items += _word(word) + [item[at:match.start()]]
                    word = []
                word.append(match.group())
                at = match.end()
            if at < len(item):
                items += _word(word) + [item[at:]]
                word = []
        return [item for item in items + _word(word) if item]

    @property
    def has_all(self):
        """Whether a placeholder stands for all arguments."""
        return any(place.position is None and not place.job for place in self.places)

    def fill(self, arguments, number, slot, total=0, slots=1, current=None):
        """Return the command for these arguments (bytes), as bytes.

        number: of the job, from 1.  slot: from 1.  total: the number of jobs, if has_total.
        slots: the number of slots.  current: the arguments of a plain {}, if not all of them.
        """
        job = _Job(number, slot, total, slots)
        current = arguments if current is None else current
        texts = []
        for item in self._items:
            if isinstance(item, _Repeated):
                texts.append(b' '.join(
                    b''.join([self._text_of(part, arguments, (argument,), job)
                              for part in item.parts]) for argument in arguments))
            else:
                texts.append(self._text_of(item, arguments, current, job))
        return b''.join(texts)

    def _text_of(self, part, arguments, current, job):
        """Return the text of bytes or a _Placeholder.  current: the arguments of a plain {}."""
        if isinstance(part, bytes):
            return part
        if part.job:
            return job.text(part.job)
        chosen = current if part.position is None else part.chosen(arguments)
        return b' '.join([self._quoted(part.change(argument)) for argument in chosen])

    def problem(self, arguments):
        """Return why the command cannot be filled with these arguments, or ''."""
        for place, context in self._strict.items():
            for value in place.chosen(arguments):
                problem = quoting.problem(
                    self._text[place.start:place.end].decode('utf-8', 'replace'), context,
                    place.change(value).decode('utf-8', 'replace'))
                if problem:
                    return problem
        return ''

    def length(self, argument=None, index=0):
        """Return at most how many bytes an argument adds to the command; without an argument, the
        length of the rest.  index: how many arguments are before it.
        """
        total = 0
        for item in self._items:
            parts = item.parts if isinstance(item, _Repeated) else (item,)
            for part in parts:
                if isinstance(part, bytes) or part.job:
                    length = len(part) if isinstance(part, bytes) else NUMBER_LENGTH
                    total += length * ((argument is not None) == isinstance(item, _Repeated))
                elif argument is not None and part.position in (None, index + 1):
                    total += len(self._quoted(part.change(argument))) + 1
        return total


def quoted_words(words, spelling):
    """Return words joined to a command in which the shell changes nothing but placeholders."""
    pattern = spelling.pattern()

    def one(word):
        pieces, at = [], 0
        for match in pattern.finditer(word):
            pieces += [word[at:match.start()], match.group()]
            at = match.end()
        pieces.append(word[at:])
        return b''.join(piece if at % 2 or not piece else quoted(piece)
                        for at, piece in enumerate(pieces)) or b"''"

    return b' '.join(map(one, words))


def _word(parts):
    """Return a list of items for the parts of a word."""
    is_repeated = any(isinstance(part, _Placeholder) and not part.job and part.position is None
                      for part in parts)
    return [_Repeated(tuple(parts))] if is_repeated else parts


class PathTemplate:
    """A path with placeholders, among them {host}.  No shell reads it, so nothing is quoted.

    is_constant: whether all jobs have the same path.
    """

    def __init__(self, text, sources, spelling=Spelling()):
        """text: bytes.  For the rest see Template.  Raises UsageError."""
        parts = text.split(HOST)
        self._parts = [Template(part, sources, spelling, is_command=False) for part in parts]
        if any(part.has_total for part in self._parts):
            raise UsageError('%s: the number of all jobs cannot be in a path'
                             % text.decode('utf-8', 'replace'))
        self.is_constant = len(parts) == 1 and not self._parts[0].places

    def fill(self, arguments, number, slot, host):
        """Return the path, as bytes.  host: the name of the host, bytes."""
        return host.join(part.fill(arguments, number, slot) for part in self._parts)

    def fill_each(self, arguments, number, slot, host):
        """Return the paths for the arguments of a job: with {}, one for each argument."""
        if len(arguments) < 2 or not any(part.has_all for part in self._parts):
            return [self.fill(arguments, number, slot, host)]
        return [host.join(part.fill(arguments, number, slot, current=(argument,))
                          for part in self._parts) for argument in arguments]


def _characters(text, count):
    """Return the number of characters in the first `count` bytes of a text."""
    return len(text[:count].decode('utf-8', 'surrogateescape'))


def quoted(word):
    """Return a word (bytes), quoted so that the shell reads it back unchanged."""
    return word if _SAFE.fullmatch(word) else b"'" + word.replace(b"'", b"'\"'\"'") + b"'"
