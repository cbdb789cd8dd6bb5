"""Node sets: many hosts in one word, in ClusterShell's notation.

    h[1-9,12]  h[01-20/2]  r[1-2]n[1-4]      ranges, with padding, with a step, several per name
    a,b  a!b  a&b  a^b                       union, difference, intersection, symmetric difference;
                                             from left to right, no precedence
    @CATEGORY  @*  web*                      hosts of the caller's host list
    @slurm:PARTITION  @slurm                 nodes of a cluster, if the caller has them
    ^FILE                                    the expressions in a file

With `selected` and `excluded`, items between commas may also have the forms of pdsh:

    a,-b  a,-^FILE  a,/RE/  a,-/RE/          exclude names; keep only, or exclude, names that match
                                             a pattern

A set of names has one order and one folded form, independent of the expression.  Names that differ
only in their numbers are folded along every number, and names are in the order of the folded form.
This module is pure: the caller provides host lists and files.  It does not check whether ssh
accepts a name.
"""

import bisect
import collections
import fnmatch
import functools
import itertools
import math
import operator
import re

from lwt.errors import UsageError, printable

LIMIT = 1000000

# An operator, then an operand: a file, or text; operators within brackets do not count.
_TERM = re.compile(r'([\s,]*)([!&^]?)\s*(\^?)((?:[^,!&^\[]+|\[[^\]]*\]?)*)')
_RANGE = re.compile(r'\s*([0-9]+)\s*(?:-\s*([0-9]+)\s*)?(?:/\s*([0-9]+)\s*)?')
_MOST_DIGITS = 255
_BRACKETS = re.compile(r'\[([^\[\]:]*)\]')
_ADDRESS = re.compile(r'\[[^\[\]]*:[^\[\]]*\]')         # [::1] is a name

# An item of pdsh after a separator: a pattern, which ends at a "/" before a separator or else at a
# comma outside brackets; or "-" and an operand.
_PDSH = re.compile(r'(?:^|(?<=[\s,]))(-?)(?:/(.*?)/(?=[\s,]|$)|/((?:[^,\s\[]+|\[[^\]]*\]?)*)|'
                   r'(?<=-)((?:[^,\s\[]+|\[[^\]]*\]?)*))')
# After "-": a set of hosts, @CATEGORY or ^FILE.
_OPERAND = re.compile(r'[\w.:@%^*?\[\],!&/~+-]*', re.ASCII)
_NUMBER = re.compile(r'([0-9]+)')
_APPLY = {',': set.update, '!': set.difference_update, '&': set.intersection_update,
          '^': set.symmetric_difference_update}


def refuse(name):
    """Default for the parameters members and read: raises UsageError, because there are none."""
    raise UsageError('%s: categories and files are not available' % printable(name))


def expand(text, members=refuse, read=refuse):
    """The names that an expression denotes, each once, in the order of the folded form.

    text: one expression per line.
    members: called with a category, or '*' for all hosts; returns names, or raises UsageError for
    an unknown category.
    read: called with FILE; returns its text.
    Raises UsageError that quotes the invalid part of text.
    """
    return ordered(union(text.splitlines(), members, read))


def ordered(names):
    """Sort distinct names in the order of their folded form: by pattern, then by number (h9, h10,
    h01).
    """
    return [pattern % numbers for pattern, vectors in _folded(names) for vector in vectors
            for numbers in itertools.product(*vector)]


def fold(names):
    """The shortest expression for a set of names, as nodeset -f prints it: 'a,h[1-9,12]'."""
    return ','.join(pattern % tuple(map(_bracketed, vector))
                    for pattern, vectors in _folded(set(names)) for vector in vectors)


def union(expressions, members=refuse, read=refuse):
    """The set of names that any of these expressions denotes; arguments and errors as in expand.
    """
    found = set()
    for expression in expressions:
        found |= _evaluate(expression, members, read)
    return found


def selected(expressions, members=refuse, read=refuse, base=()):
    """The set of names that these expressions select; items of pdsh are allowed.

    base: names that are selected in addition.  As in pdsh, "-NAME" and patterns apply to all names,
    independent of their position.  Patterns without any name apply to all of the caller's hosts.
    """
    terms = _Terms(expressions, members, read)
    chosen = terms.included.union(base)
    if terms.is_empty and not base:
        if terms.excluded and not terms.filters:
            raise UsageError('%s: only hosts to exclude' % printable(','.join(expressions)),
                             'name the hosts to exclude from as well: h[1-9],-h2')
        chosen = set(members('*')) if terms.filters else chosen
    return {name for name in chosen - terms.excluded
            if all(matches(name) == wanted for matches, wanted in terms.filters)}


def excluded(names, expressions, members=refuse, read=refuse):
    """The names that these expressions exclude: those that they denote, and those of `names` that
    their patterns match."""
    terms = _Terms(expressions, members, read)
    if terms.excluded or not all(wanted for _matches, wanted in terms.filters):
        raise UsageError('-x %s: "-" is not needed in -x'
                         % printable(','.join(expressions)), 'remove the "-"')
    patterns = [matches for matches, _wanted in terms.filters]
    return terms.included | {name for name in names if any(matches(name) for matches in patterns)}


class _Terms:
    """The parsed parts of expressions.

    included, excluded: sets of names.  filters: (function that returns whether a name matches,
    whether it must match) pairs.  is_empty: whether there are only items of pdsh.
    """

    def __init__(self, expressions, members, read):
        self.included = set()
        self.excluded = set()
        self.filters = []
        self.is_empty = True
        for line in expressions:
            rest = _PDSH.sub(lambda item: self._take(item, line, members, read), line)
            self.is_empty = self.is_empty and not rest.strip(' \t,')
            self.included |= _evaluate(rest, members, read)

    def _take(self, item, line, members, read):
        minus, closed, unclosed, operand = item.groups()
        pattern = closed or unclosed
        if pattern:
            self.filters.append((_matcher(pattern, line), not minus))
        elif operand:
            if not _OPERAND.fullmatch(operand):
                raise UsageError('%s: bad host name %s'
                                 % (printable(line), printable(item.group())),
                                 'allowed: letters, digits and . _ - : @, but no - or . at the '
                                 'start')
            self.excluded |= _evaluate(operand, members, read)
        else:
            raise UsageError('%s: missing host after %s' % (printable(line), item.group()))
        return ''


def _matcher(pattern, line):
    """A function that returns whether a pattern matches anywhere in a name.  Raises UsageError."""
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise UsageError('%s: bad pattern %s: %s' % (printable(line), printable(pattern), error))
    return lambda name: search(name) is not None


def _evaluate(line, members, read):
    """The set of names that one line denotes."""
    found, place = set(), 0
    while place < len(line):
        term = _TERM.match(line, place)
        gap, sign, caret, operand = term.groups()
        if sign == '^' and not caret and (',' in gap or not place):
            sign, caret = '', sign
        operand = operand.strip()
        if (sign and not place) or (sign + caret and not operand):
            raise UsageError('%s: missing host %s %s'
                             % (printable(line), 'after' if place else 'beside', sign + caret))
        if operand:
            _APPLY[sign or ','](found, _operand(caret + operand, members, read))
            _check_count(len(found), line)
        place = term.end()
    return found


def _operand(text, members, read):
    """The names of h[1-3], @CATEGORY, web* or ^FILE."""
    if text.startswith('^'):
        return union((line.partition('#')[0] for line in read(text[1:]).splitlines()), members,
                     refuse)
    names = _product(text)
    if text.startswith('@'):
        return {name for category in names for name in members(category[1:])}
    if '*' in text or '?' in text:
        everything = members('*')
        return {name for mask in names for name in fnmatch.filter(everything, mask)}
    return names


def _check_count(count, text):
    if count > LIMIT:
        raise UsageError('%s: more than %d hosts' % (printable(text), LIMIT))


def _product(text):
    """The names of r[1-2]n[1-4]: every combination of the numbers in the brackets."""
    pieces = _BRACKETS.split(text)
    for literal in pieces[::2]:
        if ('[' in _ADDRESS.sub('', literal) or ']' in _ADDRESS.sub('', literal)
            or '' in pieces[2:-1:2]):
            raise UsageError('%s: unbalanced or empty brackets'
                             % printable(text))
    axes = [[piece] for piece in pieces]
    size = 1
    for at in range(1, len(pieces), 2):
        spans = [_span(part, text) for part in pieces[at].split(',')]
        size *= sum(len(numbers) for numbers, _width in spans)
        _check_count(size, text)
        axes[at] = ['%0*d' % (width, number) for numbers, width in spans for number in numbers]
        if pieces[at - 1][-1:].isdigit():
            _refuse_carry(set(axes[at]), text)
    return set(map(''.join, itertools.product(*axes)))


def _span(part, text):
    """(range, width) of '1-9', '01-20/2' or '7'; width: digits of padded numbers, else 0."""
    found = _RANGE.fullmatch(part)
    if found and max(map(len, found.groups(''))) > _MOST_DIGITS:
        found = None
    first, to, step = found.groups('') if found else ('', '', '')
    last, step = to or first, int(step or 1)
    padded = any(len(number) > 1 and number.startswith('0') for number in (first, last))
    if (not found or int(first) > int(last) or (padded and len(first) != len(last)) or step < 1
        or (step > 1 and not to)):
        raise UsageError('%s: bad range %s' % (printable(text), printable(part)),
                         'write 1-9, 01-20 or 0-20/2: from the lower number to the higher, equally '
                         'padded')
    _check_count((int(last) - int(first)) // step + 1, text)
    return range(int(first), int(last) + 1, step), len(first) if padded else 0


def _refuse_carry(numbers, text):
    """Raise UsageError for an ambiguous range: a1[9-10] means a19 and a110 in pdsh, but a19-a110,
    92 hosts, in ClusterShell.
    """
    for number in numbers:
        if not number.strip('9') and str(int(number) + 1) in numbers:
            raise UsageError('%s: a digit before [ and %s and %d in it'
                             % (printable(text), number, int(number) + 1),
                             'other tools interpret this differently: write a[19,110] for '
                             'a1[9-10]')


def _folded(names):
    """[(pattern, vectors)] of a set of names, sorted by pattern.

    A pattern has %s for every number.  A vector has a sorted list of numbers for each %s; it stands
    for every combination of them.  The vectors of a pattern are disjoint.
    """
    points = collections.defaultdict(list)
    for name in names:
        text = name.replace('%', '%%')
        parts = [text] if '[' in text else _NUMBER.split(text)
        points['%s'.join(parts[::2])].append(tuple(parts[1::2]))
    return [(pattern, _vectors(points[pattern])) for pattern in sorted(points)]


def _vectors(points):
    """The vectors that cover distinct points, as ClusterShell's nodeset computes them.

    Each round joins vectors that differ along one axis only.  First neighbours are joined.  When no
    neighbours can be joined any more, each vector is joined with all that follow, until no vectors
    can be joined.  The order before each round decides which vectors are joined; so it is the order
    of nodeset, which also compares numbers as text.
    """
    axes = [sorted(set(column), key=_natural) for column in zip(*points)]
    if len(points) == _size(axes):
        return [axes]
    ranks = [{number: frozenset([rank]) for rank, number in enumerate(axis)} for axis in axes]
    vectors = [tuple(map(dict.__getitem__, ranks, point)) for point in sorted(points)]

    def place(vector):
        return -_size(vector), tuple((-len(part), axis[min(part)], axis[max(part)])
                                     for part, axis in zip(vector, axes))

    for join in (_join_neighbours, _join_all):
        joined = join(vectors)
        while len(joined) < len(vectors):
            vectors = sorted(joined, key=place)
            joined = join(vectors)
    return [[[axis[rank] for rank in sorted(part)] for part, axis in zip(vector, axes)]
            for vector in vectors]


def _natural(number):
    return len(number), number


def _size(parts):
    return functools.reduce(operator.mul, map(len, parts), 1)


def _join_neighbours(vectors):
    """Join each vector with those that follow it, as long as they differ along one axis only."""
    joined = []
    for vector in vectors:
        last = joined[-1] if joined else ()
        different = [axis for axis, part in enumerate(last) if part != vector[axis]]
        if len(different) == 1:
            axis, = different
            if isinstance(last[axis], frozenset):
                last[axis] = set(last[axis])            # grows in place
            last[axis] |= vector[axis]
        else:
            joined.append(list(vector))
    return [tuple(map(frozenset, vector)) for vector in joined]


def _join_all(vectors):
    """Join each vector, in order, with all later ones that differ along one axis only.

    They are found by a table of the parts that vectors have in common (see _rests).
    """
    places = collections.defaultdict(list)
    for place, vector in enumerate(vectors):
        for key in _rests(vector):
            places[key].append(place)
    # No two vectors differ along one axis only.
    if len(places) == len(vectors) * len(vectors[0]):
        return vectors
    joined, gone = [], set()
    for place, vector in enumerate(vectors):
        if place not in gone:
            joined.append(_take_in(vector, place, vectors, places, gone))
    return joined


def _take_in(vector, place, vectors, places, gone):
    """Join vector with all possible ones after place, and add their places to gone; returns the
    joined vector.
    """
    while True:
        place = min(_next(places.get(key, ()), place, gone) for key in _rests(vector))
        if place == math.inf:
            return vector
        gone.add(place)
        vector = tuple(map(operator.or_, vector, vectors[place]))


def _next(places, place, gone):
    """The first of these sorted places that is after place and not gone; infinity if there is none.
    """
    later = (places[at] for at in range(bisect.bisect(places, place), len(places)))
    return next((found for found in later if found not in gone), math.inf)


def _rests(vector):
    """For each axis, the key that vectors have in common if they can be joined along this axis."""
    return [(axis, vector[:axis] + vector[axis + 1:]) for axis in range(len(vector))]


def _bracketed(numbers):
    """The text of numbers: '7' or '[1-9,12]'.  A padded number is followed only by numbers of the
    same width: after 08 come 09 and 10, but not 9.
    """
    runs = []
    for number in numbers:
        if runs and _follows(number, *runs[-1]):
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    text = ','.join(first if first == last else '%s-%s' % (first, last) for first, last in runs)
    return text if len(numbers) == 1 else '[%s]' % text


def _follows(number, first, last):
    fits = (len(number) == len(first) if first.startswith('0') and len(first) > 1
            else not number.startswith('0'))
    return fits and int(number) == int(last) + 1
