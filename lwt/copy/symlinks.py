"""Symbolic links in a fetched directory tree: which stay links, and which become copies of their
targets.  Pure.

The rules are those of `rsync --copy-unsafe-links` (rsync(1)), relative to the fetched directory:

- A relative link whose target lies within the fetched directory stays a link.
- Any other link becomes a copy of its target, a file or a whole directory, if the target lies
  inside the task's directory.
  Links within that copy are judged by the place of the copy, so a link from one copied file to
  another stays a link.
- A link to a directory that encloses the link would be copied without end.  It becomes a relative
  link to that directory.
- A link that dangles, loops or leads out of the task's directory cannot be resolved.  It is a
  Problem.

Paths are relative to the root of a Tree, without '.' and '..', their parts separated by '/'; '' is
the root.
"""

from typing import NamedTuple

from lwt.remote import host_limits


class Tree:
    """A directory tree with symbolic links, as it was on a host.  A base class; methods raise
    nothing.
    """

    def kind(self, path):
        """Return 'file', 'dir', 'link', or '' if the path does not exist."""
        raise NotImplementedError

    def target(self, path):
        """Return the text of a link."""
        raise NotImplementedError

    def children(self, path):
        """Return the names in a directory, sorted."""
        raise NotImplementedError

    def size(self, path):
        """Return the size of a file in bytes."""
        raise NotImplementedError

    def inner(self, target):
        """Return the path in this tree of an absolute target, or None if it lies outside."""
        raise NotImplementedError

    def is_inside(self, path):
        """Whether this path is part of the task's directory.  (The root of the tree may be above
        that.)
        """
        raise NotImplementedError

    def is_fetched(self, path):
        """Whether this file or directory, as a whole, is fetched for itself and not for a link."""
        raise NotImplementedError


class Unresolved(Exception):
    """Why a link cannot be resolved."""


class TooLarge(Exception):
    """The copies for links exceed the limit."""


class LinkLimits(NamedTuple):
    """Limits for the results of links.

    steps: number of steps, including links that cannot be resolved.
    bytes: size of the copies, plus host_limits.STEP for each step.
    looks: number of path parts to look at.
    """

    steps: int
    bytes: int
    looks: int


class Step(NamedTuple):
    """Something to make.

    kind: 'link' (to source, a text), 'file' or 'dir' (a copy of source, a path in the Tree).
    place: its path, relative to the fetched directory.
    """

    kind: str
    place: str
    source: str


class Problem(NamedTuple):
    """A link that cannot be resolved: its path in the Tree, and why."""

    path: str
    reason: str


def join(directory, name):
    """Return the path of a name in a directory."""
    return directory + '/' + name if directory else name


def parent(path):
    """Return the path of the directory that holds path."""
    return path.rpartition('/')[0]


def is_below(path, directory):
    """Whether path is this directory, or in it."""
    return not directory or path == directory or path.startswith(directory + '/')


OUTSIDE = "the link leads out of the task's directory"
DANGLING = 'dangling link'
ENDLESS = 'link that leads to itself'


def resolve(tree, path, look=lambda: None):
    """Return the real path of a path, with all links followed.  Raises Unresolved.

    look(): is called for each part that is looked at.
    """
    at, todo, followed = '', _parts(path), 0
    for _step in range(host_limits.PARTS_LOOKED_AT):
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
        if followed > host_limits.LINKS_FOLLOWED:
            break
    raise Unresolved(ENDLESS)


def _parts(text):
    """Return the parts of a path, the first one last."""
    return [part for part in reversed(text.split('/')) if part not in ('', '.')]


def _follow(tree, link):
    """Return (the directory where the target of a link starts, the parts of the target, the first
    one last).
    """
    text = tree.target(link)
    if not text.startswith('/'):
        return parent(link), _parts(text)
    inner = tree.inner(text)
    if inner is None:
        raise Unresolved(OUTSIDE)
    return '', _parts(inner)


class _Place(NamedTuple):
    """A directory of the planned result.

    name: its name in its parent directory.
    source: the directory in the Tree that it shows.
    is_copy: whether it is, or is part of, a copy that replaces a link.
    """

    name: str
    source: str
    is_copy: bool


class Planner:
    """Decides what becomes of the links in the fetched directory.

    tree: a Tree.  top: the path of the fetched directory.  limits: the LinkLimits.
    """

    def __init__(self, tree, top, limits):
        self._tree = tree
        self._top = top
        self._steps, self._bytes, self._looks = limits      # what is left of the limits
        # the same for the bytes of place names
        self._names = host_limits.COPIES_NAMES
        self._looked = 0            # parts that were looked at for the current link
        self._real = {}             # link -> (its real path or None, why there is none)
        self._stay = {}             # place -> whether the link there stays a link
        self.steps = []
        self.problems = []

    def plan(self, links):
        """Decide about links: the paths in the Tree of those that are fetched for themselves.

        Afterwards `steps` lists what to make, in this order, and `problems` what cannot be
        resolved.
        Raises TooLarge.
        """
        for link in links:
            places = [_Place('', self._top, False)]
            for name in reversed(_parts(parent(link[len(self._top):].lstrip('/')))):
                places.append(_Place(name, join(places[-1].source, name), False))
            self._decide(places, link.rpartition('/')[2])

    def _decide(self, places, name):
        """Plan one link; places lead to its directory."""
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
        """Call resolve once for each link, because a link may appear in many places."""
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
        if len(places) > host_limits.DEPTH or len(place) >= host_limits.PATH_MAX:
            raise TooLarge()
        self._count(len(place), self._tree.size(source) if kind == 'file' else 0)
        self.steps.append(Step(kind, place, source))

    def _count(self, length, size=0):
        """Count one step against the limits; length: of its place.  Raises TooLarge."""
        self._steps -= 1
        self._bytes -= host_limits.STEP + size
        self._names -= length
        if min(self._steps, self._bytes, self._names) < 0:
            raise TooLarge()

    def _stays(self, places, link, real):
        """Return whether a link may stay: its text leads, in the planned result, to the same as its
        real target.

        An answer is final, because other links may depend on it.  None means that the answer is
        being computed: then the link depends on itself.
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
        """Follow a relative target from a directory of the planned result.

        Returns the places to which it leads, or None if it leads out of the result.
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
            if not places or self._looked > host_limits.PARTS_LOOKED_AT_LATER:
                return None
        return places

    def _enter(self, places, todo, name):
        """Enter a name in the last of some places; returns false if it does not exist there."""
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
    """Return how many levels up a place shows the directory `real`, which encloses the last place.

    None if no place shows it.
    """
    return next((ups for ups, place in enumerate(reversed(places)) if place.source == real), None)


def _path(places, name):
    """Return the path, relative to the fetched directory, of a name in the last of some places."""
    return '/'.join([place.name for place in places[1:]] + [name])
