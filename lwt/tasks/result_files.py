"""Unpack the results of tasks from a host's tar stream.  Depends on files and values only.

A host sends the tree that d_fetch names (without d_fetch, what is new in the task's directory).
It also sends the targets of symbolic links that lead from this tree to elsewhere in the task's
directory.  The tree goes to result/.  The targets are stored in BEYOND until the links are resolved
(see symlinks), and are then removed.
"""

import os
import re
import shutil
import stat
from typing import NamedTuple

from lwt.copy import symlinks, tar_reader, tarstream
from lwt.errors import printable
from lwt.remote import host_limits
from lwt.workspace import files

# The directory of link targets of a task; hidden because it never stays.
BEYOND = '.beyond'
OWN = ('run.stdout', 'run.stderr')


class Arrived(NamedTuple):
    """What arrived for one task.

    is_found: whether anything arrived of what d_fetch names.
    missing: lines about what could not be fetched or stored.
    refused: lines about what the host should not have sent.
    """

    is_found: bool = False
    missing: tuple = ()
    refused: tuple = ()


def place(name, is_directory, d_fetch):
    """Return where a member of a task's archive belongs, or '' for nowhere.

    The contents of d_fetch go into result/.
    name: as tarstream.unpack gives it.  What a host sends beside d_fetch (without d_fetch: under a
        name that begins with ./) goes into BEYOND.
    """
    beside = name.startswith('./')
    name = name[2:] if beside else name
    if name in OWN and not beside:
        return '' if is_directory else name
    root = ('work/' + d_fetch).rstrip('/')
    if not symlinks.is_below(name, 'work'):
        return ''
    if beside or not symlinks.is_below(name, root):
        return BEYOND + '/' + name
    if name != root:
        return 'result' + name[len(root):]
    return 'result' if is_directory else 'result/' + name.rpartition('/')[2]


def unpack(tar_path, part, wanted):
    """Unpack the results of some tasks, each into part/KEY, with result/ and its standard streams.

    part: a directory that does not exist yet.  wanted: {key: d_fetch}.
    Returns {key: Arrived}; if the archive is refused, each has the reason.
    Raises OSError if this machine cannot store the results.
    """
    links = {key: {} for key in wanted}
    for key in wanted:
        os.makedirs(os.path.join(part, key, 'result'), mode=0o700)
    # found: keys for which something of d_fetch arrived.  single: keys for which d_fetch is a file.
    found, single = set(), set()

    def where(name, is_directory):
        mark, path = _split_mark(name)
        key, _slash, rest = path.partition('/')
        inside = place(mark + rest, is_directory, wanted[key]) if key in wanted else ''
        if inside.startswith('result'):
            found.add(key)
            if not is_directory and rest == 'work/' + wanted[key]:
                single.add(key)
        return key + '/' + inside if inside else ''

    told = []
    try:
        refused = tarstream.unpack(tar_path, part, where, told)
    except tar_reader.Refused as refusal:
        return {key: _nothing(os.path.join(part, key), refusal) for key in wanted}
    for name, target in told:
        mark, path = _split_mark(name)
        key, _slash, rest = path.partition('/')
        if key in links:
            links[key].setdefault(mark + rest, target)
    trees = {key: ResultTree(os.path.join(part, key), key, wanted[key], links[key], key in found,
                             key in single)
             for key in wanted}
    return {key: _finish(trees[key], [_without_key(line, key) for line in refused if key in line])
            for key in wanted}


def _nothing(folder, refusal):
    """Remove the files of a task, because nothing of a refused archive is kept; returns its
    Arrived.
    """
    files.remove_tree(folder)
    os.makedirs(os.path.join(folder, 'result'), mode=0o700)
    return Arrived(refused=('the archive (%s)' % refusal,))


def _split_mark(name):
    """Split a name, as tarstream.unpack gives it, into ('./' or '', the rest)."""
    return ('./', name[2:]) if name.startswith('./') else ('', name)


def _without_key(line, key):
    return type(line)(line.replace(key + '/', '').replace(BEYOND + '/', ''))


def _finish(tree, refused):
    """Resolve the links of one task; returns its Arrived."""
    missing = [line for line in refused if isinstance(line, tarstream.Unstorable)]
    try:
        if tree.links:
            tree.find_top()
            missing += _resolve_links(tree)
    except symlinks.Unresolved as error:
        missing.append(_problem(tree, tree.named, str(error)))
    except (symlinks.TooLarge, RecursionError):
        first = min(tree.fetched_links or tree.links)
        missing.append('symbolic links lead to more than a result may hold: %s' % _shown(first))
    except OSError as error:            # links that contradict what came with them
        if error.errno in tarstream.OURS:
            raise
        missing.append(_problem(tree, tree.named, error.strerror))
    finally:
        files.remove_tree(os.path.join(tree.folder, BEYOND))
    for name in OWN:
        if os.path.isfile(os.path.join(tree.folder, name)):
            os.chmod(os.path.join(tree.folder, name), 0o600)
    return Arrived(tree.is_found, tuple(missing),
                   tuple(line for line in refused if not isinstance(line, tarstream.Unstorable)))


def _resolve_links(tree):
    """Create the files for the links that were fetched; returns lines about those that failed."""
    planner = symlinks.Planner(tree, tree.top, _limits(tree))
    planner.plan(sorted(tree.fetched_links))
    missing = [_problem(tree, problem.path, problem.reason) for problem in planner.problems]
    links = [step for step in planner.steps if step.kind == 'link']
    # Links come last, so that nothing is written through a link.
    for step in [step for step in planner.steps if step.kind != 'link'] + links:
        try:
            _make(tree, step, os.path.join(tree.folder, 'result', step.place))
        except OSError as error:
            if error.errno in tarstream.OURS:
                raise
            missing.append('%s: %s' % (_shown(step.place), error.strerror))
    return missing


def _limits(tree):
    """Return the symlinks.LinkLimits of a task, in proportion to what arrived for it."""
    count, size = len(tree.links), 0
    for _fd, _name, info in files.walk(tree.folder):
        count += 1
        size += info.st_size if stat.S_ISREG(info.st_mode) else 0
    return symlinks.LinkLimits(
        min(host_limits.COPIES, host_limits.COPIES_LEAST + host_limits.COPIES_EACH * count),
        host_limits.GROWTH_LEAST + host_limits.GROWTH * (size + host_limits.STEP * count),
        host_limits.LOOKS_LEAST + host_limits.LOOKS_EACH * count)


def _make(tree, step, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if step.kind == 'link':
        os.symlink(step.source, path)
        return
    source = tree.local(step.source)
    if step.kind == 'dir':
        os.mkdir(path)
        if os.path.isdir(source):
            shutil.copymode(source, path)
    elif tree.is_aside(source) and os.lstat(source).st_nlink == 1:
        os.link(source, path)               # its other name is removed with BEYOND
    else:
        with open(source, 'rb') as file, open(path, 'xb') as copy:
            shutil.copyfileobj(file, copy, tarstream.CHUNK)
        shutil.copystat(source, path)


def _problem(tree, path, reason):
    """Return a line about a link that cannot be resolved."""
    target = ' (to %s)' % _shown(tree.links[path]) if path in tree.links else ''
    return '%s: %s%s' % (_shown(path[len('work/'):]), reason, target)


def _shown(path):
    """Return a path for messages, quoted only if it has unusual characters."""
    return path if re.fullmatch(r'[A-Za-z0-9_./+@%,=:-]{1,200}', path) else printable(path, 200)


class ResultTree(symlinks.Tree):
    """The directory of one task, as far as its host sent it: files and directories in folder, and
    links.

    named: the path that d_fetch names.
    top: the real path of what d_fetch leads to.
    links: {path: target} of all links.
    fetched_links: the paths of the links inside top.
    is_found: whether what d_fetch names arrived.
    """

    def __init__(self, folder, key, d_fetch, links, is_found, is_single):
        self.folder = folder
        self.named = self.top = ('work/' + d_fetch).rstrip('/')
        self.is_found = is_found
        self.links = {_split_mark(name)[1]: target for name, target in links.items()}
        self.fetched_links = ()
        self._own = '/.lwt/t/%s/' % key
        self._is_single = is_single             # whether d_fetch leads to a file
        self._aside = {_split_mark(name)[1] for name in links if _split_mark(name)[0]}
        self._above_aside = set(self._aside)    # and the directories that contain them
        # Directory -> names in it, as far as links and fetched paths tell.
        self._names = {}
        for path in list(self.links) + [self.named]:
            self._note(path)
        for path in self._aside:
            while path and symlinks.parent(path) not in self._above_aside:
                path = symlinks.parent(path)
                self._above_aside.add(path)

    def _note(self, path):
        while path:
            names = self._names.setdefault(symlinks.parent(path), set())
            if path.rpartition('/')[2] in names:
                break
            names.add(path.rpartition('/')[2])
            path = symlinks.parent(path)

    def find_top(self):
        """Follow d_fetch if it is a link or leads through one, and move its target into result/.

        Raises Unresolved.
        """
        if any(symlinks.is_below(self.named, path) for path in self.links):
            self.top = symlinks.resolve(self, self.named)
            self._note(self.top)
            self._move_to_result()
            self.is_found = True
        self.fetched_links = [path for path in self.links
                              if symlinks.is_below(path, self.top) and path != self.top
                              and path not in self._aside]

    def _move_to_result(self):
        """Move what d_fetch leads to from BEYOND to result/."""
        source, result = os.path.join(self.folder, BEYOND, self.top), os.path.join(self.folder,
                                                                                   'result')
        self._is_single = os.path.isfile(source)
        if self._is_single:
            os.rename(source, os.path.join(result, self.named.rpartition('/')[2]))
        elif os.path.isdir(source):
            files.remove_tree(result)
            os.rename(source, result)

    def _places(self, path):
        """Return where a path of the tree may be on this machine."""
        result, aside = os.path.join(self.folder, 'result'), os.path.join(self.folder, BEYOND, path)
        if self._is_single:
            return [os.path.join(result, self.named.rpartition('/')[2]) if path == self.top
                    else aside]
        if not symlinks.is_below(path, self.top):
            return [aside]
        return [os.path.join(result, path[len(self.top) + 1:]) if path != self.top else result,
                aside]

    def local(self, path):
        """Return the path on this machine of a file or directory of the tree."""
        places = self._places(path)
        return next((place for place in places if os.path.lexists(place)), places[-1])

    def is_aside(self, local_path):
        """Whether a path on this machine is in BEYOND, which does not stay."""
        return local_path.startswith(os.path.join(self.folder, BEYOND) + '/')

    def is_inside(self, path):
        return symlinks.is_below(path, 'work')

    def kind(self, path):
        if path in self.links:
            return 'link'
        place = self.local(path)
        return ('dir' if path in self._names or os.path.isdir(place) else 'file'
                if os.path.isfile(place) else '')

    def target(self, path):
        return self.links[path]

    def children(self, path):
        found = set(self._names.get(path, ()))
        for place in self._places(path):
            if os.path.isdir(place):
                found.update(os.listdir(place))
        return sorted(found)

    def size(self, path):
        return os.lstat(self.local(path)).st_size

    def inner(self, target):
        _before, own, rest = (target + '/').partition(self._own)
        return rest if own else None

    def is_fetched(self, path):
        if (not symlinks.is_below(path, self.top)
            or os.path.lexists(os.path.join(self.folder, BEYOND, path))):
            return False
        return path not in self._above_aside
