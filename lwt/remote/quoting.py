"""Finds the quotes in a shell command, so that a value is inserted only where that is safe.

A value that is inserted into a command line is quoted as one word for sh.  This does not protect it
inside other quotes, a here-document, backquotes or a comment: in  echo "{}"  the value  $(rm x)
with its own quotes gives  echo "'$(rm x)'"  and runs rm.

The scanner follows the grammar of POSIX sh as far as it decides the meaning of a quote: quotes,
backslashes, $(…), $((…)), ${…}, `…`, comments and here-documents.  If it cannot be sure, as with
the unbalanced parentheses of `case` within $(…), it treats a position as quoted, never as unquoted.

Pure: text in, text out.
"""

import re
from typing import NamedTuple

from lwt.errors import UsageError, printable, printable_text

PLAIN = re.compile(r'[A-Za-z0-9_@%+=:,./-]+')       # a word that needs no quotes

# Contexts of a Place.  In UNQUOTED, a quoted word is safe.  In those of STRICT, it depends on the
# value (see problem).  In all others, no value is safe.
UNQUOTED = 'unquoted'
STRICT = ('arithmetic', 'dollar', 'comment')
_IN_QUOTES = ('single', 'double')

_HEREDOC = re.compile(r'<<(-?)[ \t]*((?:\'[^\'\n]*\'|"[^"\n]*"|\\.|[^\s\'"\\;&|<>()])+)')
_WORD_START = ' \t\n;&|()<>'


class Place(NamedTuple):
    """A part of a command that a value replaces: text[start:end], its context, and the bounds of
    the quotes, here-document or comment around it."""

    start: int
    end: int
    context: str
    bounds: tuple


class _Frame:
    """An open construct.  kind: command, substitution, paren, single, ansi ($'…'), double, braces
    (${…}), backquote or arithmetic.  start: its position."""

    def __init__(self, kind, start):
        self.kind = kind
        self.start = start
        self.end = None
        self.depth = 0              # depth of parentheses within arithmetic


class _Scanner:
    """Scans a command once."""

    def __init__(self, text, spans):
        self._text = text
        self._spans = {start: end for start, end in spans}
        self._stack = [_Frame('command', 0)]
        self._heredocs = []         # (delimiter, whether tabs are stripped) of the next bodies
        self._found = []            # (start, end, context, _Frame)

    def places(self):
        """The Places of the spans, in their order."""
        at = 0
        while at < len(self._text):
            at = self._step(at)
        for frame in self._stack:
            frame.end = len(self._text)
        return [Place(start, end, context, (frame.start, frame.end or len(self._text)))
                for start, end, context, frame in self._found]

    @property
    def _top(self):
        return self._stack[-1]

    def _open(self, kind, at, length):
        self._stack.append(_Frame(kind, at))
        return at + length

    def _close(self, at, length=1):
        self._top.end = at + length
        self._stack.pop()
        return at + length

    def _is_in(self, kind):
        return any(frame.kind == kind for frame in self._stack)

    def _note(self, at, context=None, frame=None):
        """Record the span that begins at this position; returns its end."""
        end = self._spans[at]
        self._found.append((at, end, context or self._context(at), frame or self._top))
        return end

    def _context(self, at):
        if self._is_in('backquote'):
            return 'backquote'
        kind = 'single' if self._top.kind in ('ansi', 'unclear') else self._top.kind
        if kind in _IN_QUOTES or kind == 'arithmetic':
            return kind
        if kind == 'braces' and self._is_in_double():
            return 'double'
        return 'dollar' if self._text[at - 1:at] == '$' and at else UNQUOTED

    def _is_in_double(self):
        """Whether the innermost construct around ${…} is a double quote."""
        kinds = [frame.kind for frame in reversed(self._stack) if frame.kind != 'braces']
        return kinds[0] == 'double'

    # Steps: each takes the position of the next character and returns the position after it.

    def _step(self, at):
        if at in self._spans:
            return self._note(at)
        if self._top.kind == 'unclear':
            return at + 1
        step = {'single': self._in_single, 'ansi': self._in_ansi, 'double': self._in_double,
                'backquote': self._in_backquote,
                'arithmetic': self._in_arithmetic}.get(self._top.kind)
        if self._top.kind == 'braces' and self._is_in_double():
            step = self._in_double
        return (step or self._in_command)(at)

    def _in_single(self, at):
        return self._close(at) if self._text[at] == "'" else at + 1

    def _in_ansi(self, at):
        """Step within $'…'.  dash ends it at the first quote; bash ignores a quote after a
        backslash.  After such a quote, everything is treated as quoted."""
        if self._text.startswith("\\'", at):
            self._top.kind = 'unclear'
        return self._in_single(at)

    def _in_double(self, at):
        char = self._text[at]
        if char == '\\':
            return self._escaped(at)
        if char == '}' and self._top.kind == 'braces':
            return self._close(at)
        if char == '"' and self._top.kind == 'double':
            return self._close(at)
        if char == '"':                     # within "${x:-"…"}" shells do not agree
            return at + 1
        return self._expansion(at)

    def _in_backquote(self, at):
        if self._text[at] == '\\':
            return self._escaped(at)
        return self._close(at) if self._text[at] == '`' else at + 1

    def _in_arithmetic(self, at):
        char, frame = self._text[at], self._top
        if self._text.startswith('))', at) and not frame.depth:
            return self._close(at, 2)
        frame.depth = max(0, frame.depth + (char == '(') - (char == ')'))
        return self._expansion(at)

    def _in_command(self, at):
        char = self._text[at]
        if char == '\\':
            return self._escaped(at)
        if char in '\'"':
            is_ansi = at and self._text[at - 1] == '$'
            return self._open('double' if char == '"' else 'ansi' if is_ansi else 'single', at, 1)
        if char == '}' and self._top.kind == 'braces':
            return self._close(at)
        if char == '(':
            return self._open('paren', at, 1)
        if char == ')' and self._top.kind in ('paren', 'substitution'):
            return self._close(at)
        is_word_start = not at or self._text[at - 1] in _WORD_START
        if char == '#' and is_word_start and self._top.kind != 'braces':
            return self._comment(at)
        if char == '\n' and self._heredocs:
            return self._heredoc_bodies(at + 1)
        heredoc = _HEREDOC.match(self._text, at) if char == '<' else None
        if heredoc and not self._text.startswith('<<<', at):
            delimiter = re.sub(r'[\'"\\]', '', heredoc.group(2))
            self._heredocs.append((delimiter, bool(heredoc.group(1))))
            return heredoc.end() if not self._spans_within(at, heredoc.end()) else at + 2
        return self._expansion(at)

    def _expansion(self, at):
        """Step over a character, or open $(…), $((…)), ${…} or `…`, where sh makes expansions."""
        for opener, kind in (('$((', 'arithmetic'), ('$(', 'substitution'), ('`', 'backquote')):
            if self._text.startswith(opener, at):
                return self._open(kind, at, len(opener))
        if self._text.startswith('${', at) and at + 1 not in self._spans:
            return self._open('braces', at, 2)
        return at + 1

    def _escaped(self, at):
        if at + 1 in self._spans:
            is_unquoted = self._context(at) in (UNQUOTED,) + STRICT
            return self._note(at + 1, 'escape' if is_unquoted else None)
        return at + 2

    def _comment(self, at):
        end = self._text.find('\n', at)
        return self._skip('comment', at, len(self._text) if end < 0 else end)

    def _heredoc_bodies(self, at):
        for delimiter, strips_tabs in self._heredocs:
            tabs = '\t*' if strips_tabs else ''
            last = re.compile(r'^%s%s$' % (tabs, re.escape(delimiter)), re.M).search(self._text, at)
            at = self._skip('heredoc', at, last.end() if last else len(self._text))
        self._heredocs = []
        return at

    def _skip(self, kind, start, end):
        """Record all spans up to end with this context; returns end."""
        frame = _Frame(kind, start)
        frame.end = end
        for at in self._spans_within(start, end):
            self._note(at, 'backquote' if self._is_in('backquote') else kind, frame)
        return end

    def _spans_within(self, start, end):
        return sorted(at for at in self._spans if start <= at < end)


def places(text, spans):
    """The Places of the spans of a command for sh.  spans: (start, end) pairs in order."""
    return _Scanner(text, spans).places()


def check(text, spans, where=''):
    """The Places of these spans.  Raises UsageError for one where no value is safe.

    where: the beginning of error messages.
    """
    found = places(text, spans)
    for place in found:
        if place.context != UNQUOTED and place.context not in STRICT:
            raise UsageError(where + _complaint(text, place), _remedy(text, place, found))
    return found


def problem(name, context, value):
    """Why a value cannot replace the placeholder `name` in a context, as a message, or ''."""
    if context in ('arithmetic', 'dollar') and not PLAIN.fullmatch(value):
        return '%s after "$" or within $((…)) must be a plain word, not %s' % (name,
                                                                               printable(value))
    if context == 'comment' and '\n' in value:
        return '%s within a comment must be one line, not %s' % (name, printable(value))
    return ''


def _complaint(text, place):
    name, around = text[place.start:place.end], printable_text(text[slice(*place.bounds)], 60)
    return {'single': '%s within quotes: %s' % (name, around),
            'double': '%s within quotes: %s' % (name, around),
            'backquote': '%s within backquotes: %s' % (name, around),
            'heredoc': '%s within a here-document' % name,
            'escape': '\\%s: a backslash before it' % name}[place.context]


def _remedy(text, place, found):
    name = text[place.start:place.end]
    if place.context in _IN_QUOTES and text[place.bounds[0]] in '\'"':
        return 'write %s, because each value is quoted anyway' % _unquoted(text, place, found)
    first = 'assign it to a variable first, and use that: value=%s' % name
    return {'single': first, 'double': first, 'heredoc': first,
            'backquote': 'use $(…) instead of `…`',
            'escape': 'write %s, because each value is quoted anyway' % name}[place.context]


def _unquoted(text, place, found):
    """The quoted string around a Place, rewritten with the placeholders outside of the quotes."""
    start, end = place.bounds
    quote = text[start]
    if text[end - 1] == quote and end - start > 1:
        end -= 1
    parts, at = [], start + 1
    for other in found:
        if other.bounds == place.bounds:
            parts += [_requoted(text[at:other.start], quote), text[other.start:other.end]]
            at = other.end
    return printable_text(''.join(parts) + _requoted(text[at:end], quote), 60)


def _requoted(piece, quote):
    return piece if not piece or PLAIN.fullmatch(piece) else quote + piece + quote
