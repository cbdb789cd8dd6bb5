"""The workspace: a directory with lwt.conf, host.list, descriptions, open and finished tasks.

It is the value of -C, else $LWT_WORKSPACE, else the nearest directory upward that holds lwt.conf.
This module knows the paths in a workspace, but not the format of the files.
"""

import os
from typing import Callable, NamedTuple

from lwt.errors import LocalError, UsageError
from lwt.workspace import config, files, ownership

SAMPLE_DESC = '''\
exec : sh run.sh
d_fetch : output
---
A first task.  exec is the command that runs on the host, in a copy of this folder; d_fetch is the
directory to bring back.  The text below the three dashes is a comment.  Try it:

    lwt task add sample
    lwt task run
'''

SAMPLE_RUN = '''\
mkdir -p output
{ echo "task $LWT_TASK, attempt $LWT_ATTEMPT, on $LWT_HOST"; uname -a; uptime; } > output/hello.txt
echo "hello from $LWT_HOST"
'''

HOST_LIST = '''\
# NAME <tab> CATEGORY <tab> HOME [<tab> key=value ...]
# The category "local" means this machine, without ssh.  Other hosts: any name that ssh accepts.
localhost\tlocal\t~
'''


class Workspace(NamedTuple):
    """The paths of a workspace.  root: an absolute path.  warn(text): prints a warning."""

    root: str
    warn: Callable = lambda text: None

    def path(self, *names):
        return os.path.join(self.root, *names)

    @property
    def conf(self):
        return self.path('lwt.conf')

    @property
    def database(self):
        return self.path('.lwt', 'state.db')

    def lock(self, name):
        """The Lock with this name; "/" in the name is replaced."""
        return files.Lock(self.path('.lwt', 'lock', name.replace('/', '_')))

    def has_input(self, name):
        """Return True if the input with this name exists."""
        return os.path.isdir(self.path('task', name))

    def prepare(self):
        """Create the directories of lwt.  Raises LocalError."""
        for names in (('.lwt',), ('.lwt', 'lock'), ('.lwt', 'tmp'), ('task',), ('task.finish',)):
            files.make_dir(self.path(*names))

    def candidates(self):
        """The hosts of host.list."""
        return _read_hosts(self.path('host.list'), self.warn)

    def available(self):
        """The hosts of host.list.available; without this file, all candidates."""
        path = self.path('host.list.available')
        return _read_hosts(path, lambda text: None) if os.path.lexists(path) else self.candidates()


def _read_hosts(path, warn):
    from lwt.workspace import hostlist  # here, because not every command needs hosts
    text = files.read_text(path, hostlist.MAX_BYTES)
    return hostlist.parse(text, path, config.check_host_column, warn)


def find(option, environ):
    """The workspace to use, or None.  option: the value of -C, or None.

    Raises UsageError if the named directory is not a workspace, or another user could control it.
    """
    named = option or environ.get('LWT_WORKSPACE')
    if named:
        root = os.path.abspath(files.user_path(named))
        if not os.path.isfile(os.path.join(root, 'lwt.conf')):
            raise UsageError('%s: not a workspace (no lwt.conf)' % root,
                             'create one with: lwt init %s' % named)
        ownership.check_workspace(root)
        return Workspace(root)
    root = start = _current_directory()
    while not os.path.isfile(os.path.join(root, 'lwt.conf')):
        if root == os.path.dirname(root):
            return None
        root = os.path.dirname(root)
    ownership.check_workspace(root, start)
    return Workspace(root)


def _current_directory():
    try:
        return os.getcwd()
    except OSError as error:
        raise LocalError('current directory: %s' % error.strerror,
                         'change to a directory that exists')


def require(option, environ):
    """The workspace to use.  Raises UsageError if there is none."""
    workspace = find(option, environ)
    if workspace is None:
        raise UsageError('no workspace found',
                         'create one with: lwt init; or name one with -C or LWT_WORKSPACE')
    return workspace


def init(directory):
    """Create a workspace; existing files are kept.  Returns (workspace, paths of the new files)."""
    workspace = Workspace(os.path.abspath(files.user_path(directory)))
    ownership.check_new_workspace(workspace.root)
    files.make_dir(workspace.root)
    workspace.prepare()
    files.make_dir(workspace.path('description', 'sample'))
    made = []
    for names, text in ((('host.list',), HOST_LIST), (('lwt.conf',), config.template()),
                        (('description', 'sample', 'desc'), SAMPLE_DESC),
                        (('description', 'sample', 'run.sh'), SAMPLE_RUN)):
        path = workspace.path(*names)
        if not os.path.lexists(path):
            files.write_atomic(path, text)
            made.append(path)
    return workspace, made
