"""Symbolic links in a fetched directory tree: which stay links, and which become copies of what
they point to.  Pure.

The rules are those of `rsync --copy-unsafe-links` (rsync(1)), relative to what is fetched:

- A relative link whose target lies within what is fetched stays a link.
- Any other link becomes a copy of its target, a file or a whole directory, if the target lies
  inside the task's directory.
  Links within that copy are judged by the place where the copy lies, so a link from one copied
  file to the next stays a link.
- A link to a directory that encloses the link would be copied without end.  It becomes a relative
  link to that directory.
- A link that dangles, loops or leads out of the task's directory cannot be resolved.  It is a
  Problem.

Paths are relative to the root of a Tree, without '.' and '..', their parts separated by '/'; '' is
the root.
"""

from typing import NamedTuple

from lwt.remote import budgets


class Tree:
    """A directory tree with symbolic links, as it was on a host.  A base class; the methods raise
    nothing.
    """

    def kind(self, path):
        """'file', 'dir', 'link', or '' where there is nothing."""
        raise NotImplementedError

    def target(self, path):
        """The text of a link."""
        raise NotImplementedError

    def children(self, path):
        """The names in a directory, sorted."""
        raise NotImplementedError

    def size(self, path):
        """Bytes of a file."""
        raise NotImplementedError

    def inner(self, target):
        """The path in this tree of an absolute target, or None where it lies outside."""
        raise NotImplementedError

    def is_inside(self, path):
        """Is this path part of the task's directory?  (The root of the tree may be above that.)"""
        raise NotImplementedError

    def is_fetched(self, path):
        """Is this file or directory, as a whole, among what is fetched for itself?"""
        raise NotImplementedError


class Unresolved(Exception):
    """Why a link cannot be resolved."""


class TooLarge(Exception):
    """The copies that links ask for are more than the limit."""


class LinkLimits(NamedTuple):
    """How much may become of links.

    steps: to make, links that cannot be resolved included.  bytes: of what is made, each step
    counting for budgets.STEP besides.  looks: parts of paths to look at.
    """

    steps: int
    bytes: int
    looks: int


class Step(NamedTuple):
    """Something to make.  kind: 'link' (to source, a text), 'file' or 'dir' (a copy of source, a
    path in the Tree).

    place: where, relative to what is fetched.
    """

    kind: str
    place: str
    source: str


class Problem(NamedTuple):
    """A link that cannot be resolved: its path in the Tree, and why."""

    path: str
    reason: str


def join(directory, name):
    """The path of a name in a directory."""
    return directory + '/' + name if directory else name


def parent(path):
    """The path of the directory that holds path."""
    return path.rpartition('/')[0]


def is_below(path, directory):
    """Is path this directory, or in it?"""
    return not directory or path == directory or path.startswith(directory + '/')


OUTSIDE = "the link leads out of the task's directory"
DANGLING = 'dangling link'
ENDLESS = 'link that leads to itself'


def resolve(tree, path, look=lambda: None):
    """The real path of a path, all links followed.  Raises Unresolved.

    look(): is called for each part that is looked at.
    """
    at, todo, followed = '', _parts(path), 0
    for _step in range(budgets.PARTS_LOOKED_AT):
        look()
        if not todo:
            if not tree.is_inside(at):
                raise Unresolved(OUTSIDE)
            return at
        name = todo.pop()
        if name == '..':
            if not at:
                raise Unresolved(OUTSIDE)
            at = parent(at)
            continue
        at = join(at, name)
        kind = tree.kind(at)
        if kind == 'link':
            followed += 1
            at, more = _follow(tree, at)
            todo += more
        elif not kind or (kind == 'file' and todo):
            raise Unresolved(DANGLING if tree.is_inside(at) else OUTSIDE)
        if followed > budgets.LINKS_FOLLOWED:
            break
    raise Unresolved(ENDLESS)


def _parts(text):
    """The parts of a path, the first one last."""
    return [part for part in reversed(text.split('/')) if part not in ('', '.')]


def _follow(tree, link):
    """(the directory where the target of a link starts, the parts of the target, the first one
    last).
    """
    text = tree.target(link)
    if not text.startswith('/'):
        return parent(link), _parts(text)
    inner = tree.inner(text)
    if inner is None:
        raise Unresolved(OUTSIDE)
    return '', _parts(inner)


class _Place(NamedTuple):
    """A directory of what comes out: its name in the directory above, the directory in the Tree
    that it shows, and whether it is (in) a copy that stands for a link.
    """

    name: str
    source: str
    is_copy: bool


class Planner:
    """Decides what becomes of the links in what is fetched.

    tree: a Tree.  top: the path of the directory that is fetched.  limits: the LinkLimits.
    """

    def __init__(self, tree, top, limits):
        self._tree = tree
        self._top = top
        self._steps, self._bytes, self._looks = limits      # what is left of them
        self._names = budgets.COPIES_NAMES                  # the same, of bytes of places
        self._looked = 0            # parts that were looked at to decide about one link
        self._real = {}             # link -> its real path, or why there is none
        self._stay = {}             # place -> does the link there stay a link?
        self.steps = []
        self.problems = []

    def plan(self, links):
        """Decide about links, the paths in the Tree of those that are fetched for themselves.

        Afterwards `steps` tells what to make, in this order, and `problems` what cannot be.  Raises
        TooLarge.
        """
        for link in links:
            places = [_Place('', self._top, False)]
            for name in reversed(_parts(parent(link[len(self._top):].lstrip('/')))):
                places.append(_Place(name, join(places[-1].source, name), False))
            self._decide(places, link.rpartition('/')[2])

    def _decide(self, places, name):
        """Plan one link: places lead to the directory where it lies."""
        link = join(places[-1].source, name)
        try:
            real = self._resolve(link)
        except Unresolved as error:
            self._count(0)
            self.problems.append(Problem(link, str(error)))
            return
        self._looked = 0
        if self._stays(places, link, real):
            self._add('link', places, name, self._tree.target(link))
        elif self._tree.kind(real) == 'file':
            self._add('file', places, name, real)
        else:
            ups = _enclosing(places, real)
            if ups is None:
                self._copy_directory(places, name, real)
            else:
                self._add('link', places, name, '/'.join(['..'] * ups) or '.')

    def _copy_directory(self, places, name, real):
        self._add('dir', places, name, real)
        inside = places + [_Place(name, real, True)]
        for child in self._tree.children(real):
            path = join(real, child)
            kind = self._tree.kind(path)
            if kind == 'link':
                self._decide(inside, child)
            elif kind == 'dir':
                self._copy_directory(inside, child, path)
            elif kind == 'file':
                self._add('file', inside, child, path)

    def _resolve(self, link):
        """resolve, once for each link: many places may show it."""
        if link not in self._real:
            try:
                self._real[link] = resolve(self._tree, link, self._look), ''
            except Unresolved as error:
                self._real[link] = None, str(error)
        real, reason = self._real[link]
        if reason:
            raise Unresolved(reason)
        return real

    def _look(self):
        self._looks -= 1
        if self._looks < 0:
            raise TooLarge()

    def _add(self, kind, places, name, source):
        place = _path(places, name)
        if len(places) > budgets.DEPTH or len(place) >= budgets.PATH_MAX:
            raise TooLarge()
        self._count(len(place), self._tree.size(source) if kind == 'file' else 0)
        self.steps.append(Step(kind, place, source))

    def _count(self, length, size=0):
        """Take a step from what is left; length: of its place.  Raises TooLarge."""
        self._steps -= 1
        self._bytes -= budgets.STEP + size
        self._names -= length
        if min(self._steps, self._bytes, self._names) < 0:
            raise TooLarge()

    def _stays(self, places, link, real):
        """Does the text of a link lead to a place in what comes out that shows the same as its real
        target?

        An answer is final, for other links may depend on it.  None means that it is just being
        found: whoever needs it meanwhile is on the way to itself.
        """
        key = _path(places, link.rpartition('/')[2])
        if key not in self._stay:
            self._stay[key] = None
            text = self._tree.target(link)
            end = None if text.startswith('/') else self._walk(places, text)
            self._stay[key] = bool(end and end[-1].source == real
                                   and (end[-1].is_copy or self._tree.is_fetched(real)))
        return self._stay[key]

    def _walk(self, places, text):
        """The places to which a relative target leads from a directory of what comes out; None
        where it leads out of it.
        """
        places, todo = list(places), _parts(text)
        while todo:
            self._look()
            self._looked += 1
            name = todo.pop()
            if name == '..':
                places.pop()
            elif not self._enter(places, todo, name):
                return None
            if not places or self._looked > budgets.PARTS_LOOKED_AT_LATER:
                return None
        return places

    def _enter(self, places, todo, name):
        """Go on to a name in the last of some places; false where there is no such thing."""
        path = join(places[-1].source, name)
        kind = self._tree.kind(path)
        if kind != 'link':
            places.append(_Place(name, path, places[-1].is_copy))
            return bool(kind)
        try:
            real = self._resolve(path)
        except Unresolved:
            return False
        ups, stays = _enclosing(places, real), self._stays(places, path, real)
        if stays:
            todo += _parts(self._tree.target(path))
        elif ups is None or self._tree.kind(real) == 'file':
            places.append(_Place(name, real, True))
        else:
            del places[len(places) - ups:]
        return stays is not None


def _enclosing(places, real):
    """How many directories further up a directory is shown that encloses the last place; None where
    none does.
    """
    return next((ups for ups, place in enumerate(reversed(places)) if place.source == real), None)


def _path(places, name):
    """The path, relative to what is fetched, of a name in the last of some places."""
    return '/'.join([place.name for place in places[1:]] + [name])
