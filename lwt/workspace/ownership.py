"""File ownership: a workspace that another user controls is refused before it is read.

A workspace determines which commands run (ssh_config, descriptions) and which files are written
(log).  So a user who owns one of its files, or can write to it, can act as the user of lwt.  The
rules resemble those of safe.directory of git and of StrictModes of sshd:

  owner       the user or root; under sudo, also the user who called sudo
  writers     nobody else.  The group may write if it is the user's private group (the primary
              group, with no other member, as useradd creates it) and there is no access control
              list
  directories above the workspace: nobody else may rename their entries; sticky ones are fine

Symbolic links are followed step by step, because the owners of the links and of all directories on
the way matter too.
"""

import functools
import grp
import os
import pwd
import shlex
import stat

from lwt.errors import UsageError

NAMES = ('lwt.conf', 'host.list', 'host.list.available', '.lwt', 'task', 'task.finish',
         'description', 'tools')
MAX_LINKS = 40                          # as many as the kernel follows (path_resolution(7))
MAX_TOLD = 5                            # paths in a hint


class Checker:
    """Checks paths, and collects their problems."""

    def __init__(self):
        self._uid = os.geteuid()
        self._trusted = {0, self._uid}
        sudo_user = os.environ.get('SUDO_UID', '')
        if self._uid == 0 and sudo_user.isdigit():
            self._trusted.add(int(sudo_user))
        self._problems = {}             # path -> (problem, command that fixes it)

    def check(self, path, is_way=False):
        """Check an absolute path, its symbolic links, and the directories that lead to it.

        is_way: it matters only whether others can rename the entries of the path.  A path that does
        not exist, or that the user cannot read, is no problem.
        """
        steps = _steps(path)
        for at, info in steps[:-1]:
            self._judge(at, info, is_way=True)
        for at, info in steps[-1:]:
            self._judge(at, info, is_way)

    def check_entry(self, path, is_way=False):
        """Check an entry of a directory that is already checked."""
        try:
            info = os.lstat(path)
        except OSError:
            return
        if stat.S_ISLNK(info.st_mode):
            self.check(path, is_way)
        else:
            self._judge(path, info, is_way)

    def _judge(self, path, info, is_way=False):
        if info.st_uid not in self._trusted and not (is_way and _is_unmapped(info.st_uid)):
            self._problems.setdefault(path, (
                'owned by %s, not by %s' % (_user_name(info.st_uid), _user_name(self._uid)),
                'chown -h %s' % _user_name(self._uid)))
        elif self._others_can_write(path, info, is_way):
            is_open = info.st_mode & stat.S_IWOTH
            who = 'everybody' if is_open else 'the group ' + _group_name(info.st_gid)
            remedy = 'chmod +t' if is_way else 'chmod go-w'
            self._problems.setdefault(path, ('writable by ' + who, remedy))

    def _others_can_write(self, path, info, is_way):
        is_sticky_way = is_way and info.st_mode & stat.S_ISVTX
        if stat.S_ISLNK(info.st_mode) or stat.S_ISCHR(info.st_mode) or is_sticky_way:
            return False                # a device such as /dev/null stores nothing
        if info.st_mode & stat.S_IWOTH:
            return True
        if not info.st_mode & stat.S_IWGRP:
            return False
        is_of_root = is_way and info.st_uid == info.st_gid == 0
        is_private = is_of_root or any(_is_private(info.st_gid, uid) for uid in self._trusted)
        return not is_private or _has_access_list(path)

    def refuse(self, what):
        """Raise UsageError if there is a problem.  what: a noun for the refused thing."""
        if not self._problems:
            return
        path, (wrong, remedy) = next(iter(self._problems.items()))
        alike = [other for other, found in self._problems.items() if found[1] == remedy]
        command = ' '.join([remedy] + [shlex.quote(other) for other in alike[:MAX_TOLD]])
        raise UsageError(
            '%s: unsafe %s: %s (mode %04o)' % (path, what, wrong, _mode(path)),
            'others could run commands as you; if you trust its content: %s; '
            'otherwise use a workspace of your own (lwt init, -C DIR)' % command)


def check_workspace(root, start=None):
    """Raise UsageError for a workspace that another user could control.

    root: its absolute path.  start: the directory from which the search upward found it.
    """
    checker = Checker()
    checker.check(root)
    at = start or root
    while at not in (root, os.path.dirname(at)):
        checker.check_entry(at)
        at = os.path.dirname(at)
    for name in NAMES:
        # lwt only writes results, so other users may create files beside them.
        checker.check_entry(os.path.join(root, name), is_way=name == 'task.finish')
    own = os.path.join(root, '.lwt')
    for folder in (own, os.path.join(own, 'lock'), os.path.join(own, 'tmp')):
        for name in _entries(folder):
            checker.check_entry(os.path.join(folder, name))
    checker.refuse('workspace')


def check_new_workspace(root):
    """Raise UsageError if a workspace at this absolute path would be refused."""
    at = root
    while not os.path.lexists(at):
        at = os.path.dirname(at)
    if at == root:
        check_workspace(root)
    else:
        checker = Checker()
        checker.check(at, is_way=True)
        checker.refuse('place for a workspace')


def check_files(*paths):
    """Raise UsageError if another user could change one of these files."""
    checker = Checker()
    for path in paths:
        checker.check(os.path.abspath(path))
    checker.refuse('file')


def check_tree(folder):
    """Raise UsageError if another user could change a directory or anything in it."""
    checker = Checker()
    checker.check(os.path.abspath(folder))
    for root, dirs, names in os.walk(folder):
        for name in dirs + names:
            checker.check_entry(os.path.join(os.path.abspath(root), name))
    checker.refuse('file')


def check_links(path):
    """Raise UsageError if a path to write to leads through a symbolic link of another user.

    Only links in directories that others can write to count, sticky or not, because others cannot
    create links elsewhere.  The kernel can enforce a similar rule (protected_symlinks in
    proc_sys_fs(5)), but does not do so on every system.
    """
    trusted = (0, os.geteuid())
    for step, info in _steps(os.path.abspath(path), is_partial=True):
        if not stat.S_ISLNK(info.st_mode) or info.st_uid in trusted:
            continue
        folder = os.lstat(os.path.dirname(step))
        if folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or folder.st_uid not in trusted:
            text = '%s: not written: %s is a symbolic link that belongs to %s, not to %s'
            raise UsageError(text % (
                path, step, _user_name(info.st_uid), _user_name(os.geteuid())),
                'remove the link, or write to a directory of your own')


def _entries(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _steps(path, is_partial=False):
    """(path, its os.lstat) of every directory and symbolic link that leads to an absolute path.

    The last item is the final target.  If a step does not exist or cannot be read, the list is
    empty; with is_partial, it has the steps before.
    """
    at, links, names = '/', 0, path.split('/')[::-1]
    found = [('/', os.lstat('/'))]
    while names:
        name = names.pop()
        if name in ('', '.'):
            continue
        if name == '..':
            at = os.path.dirname(at)
            continue
        step = os.path.join(at, name)
        try:
            info = os.lstat(step)
            target = os.readlink(step) if stat.S_ISLNK(info.st_mode) else None
        except OSError:
            return found if is_partial else []
        found.append((step, info))
        if target is None:
            at = step
            continue
        links += 1
        if links > MAX_LINKS:
            return found if is_partial else []
        at = '/' if target.startswith('/') else at
        names += target.split('/')[::-1]
    return found


@functools.lru_cache(maxsize=None)
def _is_private(gid, uid):
    """Whether a group is private to a user: the user's primary group, without other members."""
    try:
        user, members = pwd.getpwuid(uid), grp.getgrgid(gid).gr_mem
    except KeyError:
        return False
    return (user.pw_gid == gid and not set(members) - {user.pw_name}
            and all(other.pw_uid == uid for other in pwd.getpwall() if other.pw_gid == gid))


def _has_access_list(path):
    """Whether a path has an access control list (acl(5)), whose mask the group bits then are."""
    try:
        return 'system.posix_acl_access' in os.listxattr(path, follow_symlinks=False)
    except (OSError, AttributeError):
        return False


@functools.lru_cache(maxsize=None)
def _is_unmapped(uid):
    """Whether a uid stands for owners outside of this user namespace (user_namespaces(7)).

    In rootless containers, / and /home may have such an owner; no process inside can change them.
    """
    try:
        with open('/proc/self/uid_map', encoding='ascii') as file:
            is_whole = file.read().split() == ['0', '0', '4294967295']
        with open('/proc/sys/kernel/overflowuid', encoding='ascii') as file:
            return not is_whole and uid == int(file.read())
    except (OSError, ValueError):
        return False


def _mode(path):
    try:
        return stat.S_IMODE(os.lstat(path).st_mode)
    except OSError:
        return 0


def _user_name(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid):
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
