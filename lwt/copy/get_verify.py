"""Verifies what a get brought: unpacks the stream, compares it with the announcement, and moves the
files to their paths.

A target is complete or absent: files are unpacked and verified in a directory beside it, which get
has locked, and then renamed.  This may take long, so a child process does it (see child_jobs).
"""

import contextlib
import os
import stat
from typing import NamedTuple

from lwt.copy import manifest, tarstream
from lwt.copy.child_jobs import job
from lwt.copy.tar_reader import Refused
from lwt.errors import LocalError, UsageError, printable
from lwt.remote import host_limits
from lwt.workspace import files

CHANGED = 'changed while it was read'


class Announced(NamedTuple):
    """One file or directory that the host announced.

    path: on the host.  name: on this machine, '' if it is not wanted.
    files, bytes: minimum number of each.
    digest: of its content, from the host; '' if the host reports none.
    """

    path: str
    name: str
    files: int
    bytes: int
    digest: str


class Delivery(NamedTuple):
    """What a host sent, and what it reported about it.

    directory: the target.  part: a directory in it; the stream is a file in part.
    tar_code, complaint: exit code of tar, '' if unknown, and its first complaint.
    is_unpacked: there was no stream; the files themselves arrived in part/new.
    is_unverified: the host reported no digests, and the caller has compared the sizes.
    """

    directory: str
    part: str
    announced: list
    tar_code: str
    complaint: str
    may_replace: bool
    keeps_links: bool
    is_unpacked: bool = False
    is_unverified: bool = False


def stream_path(part):
    """Return the path of the stream until it is unpacked."""
    return os.path.join(part, 'stream')


def new_path(part):
    """Return the directory of the files until they are moved into place."""
    return os.path.join(part, 'new')


def existing_text(directory, name):
    """Return why an existing file or directory is not replaced."""
    return '%s: is there already, and differs; --force replaces it' % os.path.join(directory, name)


@job
def identify(argument):
    """Return {name: [identity, number of files]} of a directory; argument: [directory, names].

    Names that a get would not have created there are left out.
    """
    directory, names = argument
    found = {}
    for name in names:
        try:
            entries = manifest.survey([os.path.join(directory, name)], 'refuse').entries
        except UsageError:
            continue
        found[name] = [manifest.identity(entries, name),
                       sum(1 for entry in entries if entry.digest)]
    return found


@job
def accept(argument):
    """Unpack, verify and move into place what arrived; argument: the fields of a Delivery.

    Returns [number of files that were moved into place, [lines about failures]].
    """
    fields = Delivery(*argument)
    delivery = fields._replace(announced=[Announced(*one) for one in fields.announced])
    failures = []
    copied = 0
    good = []
    with _blaming(delivery, failures):
        good = _verified(delivery, failures)
    for one in good:
        place = os.path.join(delivery.directory, one.name)
        if not delivery.may_replace and os.path.lexists(place):
            failures.append(existing_text(delivery.directory, one.name))
            continue
        new = os.path.join(new_path(delivery.part), one.name)
        aside = os.path.join(delivery.part, 'old', one.name)
        with _blaming(delivery, failures):
            _swap(new, place, aside)
            copied += one.files
    discard(delivery.directory, delivery.part)
    return [copied, failures[:host_limits.PATH_FAILURES]]


@contextlib.contextmanager
def _blaming(delivery, failures):
    """Turn an OSError that this machine did not cause into a failure of the get."""
    try:
        yield
    except OSError as error:
        if tarstream.is_ours(error, delivery.directory):
            raise
        failures.append('what arrived cannot be taken (%s)' % error.strerror)


def _verified(delivery, failures):
    """Unpack the stream; returns the Announced that arrived complete and equal to those on the
    host.
    """
    os.mkdir(os.path.join(delivery.part, 'old'), 0o700)
    if delivery.is_unpacked:
        problem = _check_unpacked(delivery)
    else:
        os.mkdir(new_path(delivery.part), 0o700)
        problem = _unpack(delivery)
    is_one = len(delivery.announced) == 1
    if problem or not delivery.tar_code:
        if is_one and _says_changed(delivery.complaint):
            problem = '%s: %s' % (printable_path(delivery.announced[0].path), CHANGED)
        failures.append(problem or delivery.complaint or 'tar failed')
        return []
    good = []
    for one in delivery.announced:
        reason = _difference(delivery, one) if one.name else ''
        if delivery.tar_code != '0' and (is_one or one.path.strip('/') in delivery.complaint):
            is_changed = not delivery.complaint or _says_changed(delivery.complaint)
            reason = CHANGED if is_changed else delivery.complaint
        if reason:
            failures.append('%s: %s' % (printable_path(one.path), reason))
        elif one.name:
            good.append(one)
    if delivery.tar_code != '0' and not failures:
        failures.append(delivery.complaint or 'tar failed')
        return []
    return good


def _unpack(delivery):
    """Unpack the stream; returns what is wrong with it, or ''."""
    find = _finder(delivery.announced)
    strangers = []

    def place(name, _is_directory):
        name = name[2:] if name.startswith('./') else name
        root, top = find(name)
        if root:
            return top + name[len(root):] if top else ''
        if not strangers:
            strangers.append(name)
        return ''

    path = stream_path(delivery.part)
    try:
        refused = tarstream.unpack(path, new_path(delivery.part), place)
    except Refused as refusal:
        return 'what arrived is no sound tar archive (%s)' % refusal
    os.unlink(path)
    if strangers:
        return 'it sent what nobody asked for: %s' % printable(strangers[0])
    return 'not taken: %s' % refused[0] if refused else ''


def _check_unpacked(delivery):
    """Check what scp has copied, and set its modes like those of an unpacked stream.

    Returns what is wrong with it, or ''.
    """
    new = new_path(delivery.part)
    names = {one.name for one in delivery.announced}
    for name in os.listdir(new):
        if name not in names:
            return 'it sent what nobody asked for: %s' % printable(name)
    for root, dirs, found in os.walk(new):
        for name in dirs + found:
            path = os.path.join(root, name)
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                needed = 0o700 if stat.S_ISDIR(mode) else 0o400
                os.chmod(path, mode & 0o777 & ~files.current_umask() | needed)
    return ''


def _finder(announced):
    """Return a function that finds the announced path of a member.

    The function maps the name of a member to (path, name on this machine) of the first Announced
    that contains it, or to ('', '').  A member has few parent directories, and each is looked up in
    a dictionary, because there may be many announced paths and many members.
    """
    tops = {'/'.join(part for part in one.path.split('/') if part not in ('', '.')): one.name
            for one in announced}
    ranks = {root: rank for rank, root in enumerate(tops)}
    depths = sorted({root.count('/') + 1 for root in tops})

    def find(name):
        parts = name.split('/')
        roots = ['/'.join(parts[:depth]) for depth in depths if depth <= len(parts)]
        root = min((root for root in roots if root in ranks), key=ranks.get, default='')
        return root, tops.get(root, '')

    return find


def _difference(delivery, one):
    """Compare what was unpacked with what was announced; returns what is wrong, or ''."""
    path = os.path.join(new_path(delivery.part), one.name)
    if not os.path.lexists(path):
        return 'it did not come'
    try:
        entries = manifest.survey([path], 'keep' if delivery.keeps_links else 'refuse').entries
    except UsageError as error:         # a symbolic link, although links are followed
        return error.message
    count, size = sum(1 for entry in entries if entry.digest), sum(entry.size for entry in entries)
    if count < one.files or size < one.bytes:
        return ('%s: %d of %d files, %d of %d bytes arrived'
                % (CHANGED, count, one.files, size, one.bytes))
    if os.path.islink(path) or delivery.is_unverified:
        return ''
    kind = one.digest.partition(' ')[0]
    # A tar stream contains its own names; scp may have changed them.
    if one.digest == (manifest.identity(entries, one.name, kind) if delivery.is_unpacked
                      else manifest.contents(entries, kind)):
        return ''
    return CHANGED


def _says_changed(complaint):
    """Whether tar reports that a file changed while it was read."""
    return any(words in complaint
               for words in ('changed as we read', 'shrank', 'removed before', 'short read'))


def printable_path(path):
    """Return a path for messages, quoted only if it has unusual characters."""
    return path if path.isprintable() and "'" not in path else printable(path, 200)


def _swap(new, place, aside):
    """Rename `new` to `place`.

    If something exists there and one of the two is a directory, it is moved aside first.  If the
    rename fails, it is moved back.
    """
    is_moved = os.path.lexists(place) and (os.path.isdir(new) or os.path.isdir(place))
    if is_moved:
        os.rename(place, aside)
    try:
        os.rename(new, place)
    except OSError:
        if is_moved:
            with contextlib.suppress(OSError):      # restore tries again, and reports where it is
                os.rename(aside, place)
        raise


def discard(directory, part):
    """Remove the directory `part` of a get, if it exists, after moving back what was moved aside in
    it.
    """
    restore(directory, part)
    files.remove_tree(part)


def restore(directory, part):
    """Move back what a get moved aside in its directory `part`, unless its path is in use again.

    Call it before `part` is removed: a get may end between the two renames of _swap.
    Raises LocalError; then the only copy is still in `part`, which must stay.
    """
    old = os.path.join(part, 'old')
    for name in os.listdir(old) if os.path.isdir(old) else ():
        place, aside = os.path.join(directory, name), os.path.join(old, name)
        if os.path.lexists(place):
            continue
        try:
            os.rename(aside, place)
        except OSError as error:
            raise LocalError('%s: cannot be moved back: %s' % (place, error.strerror or error),
                             'it is now %s' % aside)
