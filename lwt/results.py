"""What came back: how a task's results are put into task.finish/, complete or not at all.

    task.finish/NAME.TIME.ID/    result/ run.stdout run.stderr run.code, and attempt.N/ with the same for earlier attempts
    task/attempt.ID.N/           where the results of an attempt wait while the task is being tried again

TIME is when the task was added, so that whoever finds a task half fetched knows where its results are, or would be.
"""

import os
import shutil
import time

from lwt import archive, files
from lwt.task import format_id


def directory(workspace, task):
    """Where the results of a task are, or will be."""
    stamp = time.strftime('%Y%m%d-%H%M%S', time.gmtime(task.added))
    return workspace.path('task.finish', '%s.%s.%s' % (task.name, stamp, format_id(task.id)))


def attempt_directory(workspace, task):
    """Where the results of an attempt wait that is followed by another."""
    return workspace.path('task', 'attempt.%s.%d' % (format_id(task.id), task.attempt))


def accept(workspace, task, target, tar_path):
    """Unpack what a host sent for a task into target, by rename; returns what was refused, a line each.

    Raises tarfile.TarError, OSError; target is then not there.
    """
    part = os.path.join(os.path.dirname(target), '.part-' + os.path.basename(target))
    files.remove_tree(part)
    os.mkdir(part, 0o700)
    os.mkdir(os.path.join(part, 'result'), 0o700)
    refused = archive.unpack(tar_path, part, lambda name, is_directory: place(name, is_directory, task.desc.d_fetch))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(os.path.join(part, 'run.code'), flags, 0o600), 'w') as file:
        file.write('%s\n' % ('' if task.code is None else task.code))
    files.sync_tree(part)
    os.rename(part, target)
    files.sync_dir(os.path.dirname(target))
    return refused


def place(name, is_directory, d_fetch):
    """Where a member of a host's archive belongs, '' for nowhere: the contents of d_fetch go into result/."""
    if name in ('run.stdout', 'run.stderr'):
        return name
    root = ('work/' + d_fetch).rstrip('/')
    if name == root:
        return 'result' if is_directory else 'result/' + name.rpartition('/')[2]
    if name.startswith(root + '/'):
        return 'result/' + name[len(root) + 1:]
    return ''


def tidy(workspace, store, task):
    """After the end of a task: put earlier attempts beside its results, and remove its input if nobody needs it."""
    target = directory(workspace, task)
    for number in range(1, task.attempt + 1):
        waiting = attempt_directory(workspace, task._replace(attempt=number))
        if os.path.isdir(waiting):
            files.make_dir(target)
            os.rename(waiting, os.path.join(target, 'attempt.%d' % number))
    if not store.input_is_open(task.input):
        shutil.rmtree(workspace.path('task', task.input), ignore_errors=True)
