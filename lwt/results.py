"""What came back: how results are put into task.finish/, complete or not at all.

    task.finish/NAME.TIME.ID/    result/ run.stdout run.stderr run.code, and attempt.N/ with the same for earlier attempts
    task.finish/.attempt.ID.N/   where the results of an attempt wait while the task is being tried again

All of it is in one directory, which may be on another file system.  TIME is when the task was added, so that whoever finds a task
half fetched knows where its results are, or would be.
"""

import os
import re
import tarfile
import time

from lwt import events, files, resultfiles, task as tasks
from lwt.errors import LocalError
from lwt.task import format_id


_EARLIER = re.compile(r'attempt\.([0-9]{1,9})')
KEPT = '; its directory stays there until lwt task rm or retry'


def directory(workspace, task):
    """Where the results of a task are, or will be."""
    stamp = time.strftime('%Y%m%d-%H%M%S', time.gmtime(task.added))
    return workspace.path('task.finish', '%s.%s.%s' % (task.name, stamp, format_id(task.id)))


def attempt_directory(workspace, task):
    """Where the results of an attempt wait that is followed by another."""
    return workspace.path('task.finish', '.attempt.%s.%d' % (format_id(task.id), task.attempt))


class Books:
    """Enters the results that came from one host, those of many tasks at once.

    name: of the host, or another word by which two that work at the same time are told apart.
    """

    def __init__(self, workspace, store, name):
        self._workspace = workspace
        self._store = store
        self._part = workspace.path('task.finish', '.part-' + name)

    def clear(self):
        """Remove what was left by somebody who was killed."""
        with files.local_errors(self._part):
            files.remove_tree(self._part)

    def enter(self, fetched, tar_path, complaint, keep_days, told):
        """Unpack, sync, rename; then note that it is here.  Returns the Tasks as they are then; they are to be closed.

        fetched: Tasks whose results are in the tar file.  complaint(key) says what could not be read there.  What is incomplete
        is no success, and stays on its host until the task is removed or retried; if a later attempt is a success, for keep_days.
        told: a list, gets what is to be said.  Raises LocalError; nothing is committed then.
        """
        try:
            with files.local_errors(self._part):
                files.remove_tree(self._part)
                arrived = resultfiles.unpack(tar_path, self._part, {task.key: task.desc.d_fetch for task in fetched})
                ends = {task.key: _judge(task, complaint(task.key), arrived[task.key]) for task in fetched}
                sizes = {task.key: files.tree_size(os.path.join(self._part, task.key)) for task in fetched}
                self._put_into_place(fetched, ends)
        except tarfile.TarError as error:
            told.append('%s: no tar file (%s); to be fetched again' % (fetched[0].host, error))
            return []
        except LocalError as error:
            raise LocalError(error.message, 'the results are still on %s' % fetched[0].host)
        settled = []
        with self._store.together():
            for task in fetched:
                end, reason, is_whole = ends[task.key]
                after = self._store.settle(task, 'fetched', end, task.code, reason, 'clean' if is_whole else 'keep', keep_days,
                                           sizes[task.key])
                if after is not None:
                    settled.append(after)
                    tell(task, ended_text(task, after, reason) + ('' if is_whole else KEPT), told)
        return settled

    def _put_into_place(self, fetched, ends):
        for task in fetched:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(os.path.join(self._part, task.key, 'run.code'), flags, 0o600), 'w') as file:
                file.write('%s\n' % ('' if task.code is None else task.code))
        files.sync_tree(self._part)
        for task in fetched:
            is_last = tasks.conclude(ends[task.key][0], task, self._store.past(task, ends[task.key][0]))[0] == 'done'
            target = (directory if is_last else attempt_directory)(self._workspace, task)
            if not os.path.isdir(os.path.join(target, 'result')):  # else fetched by a pass that ended before it could say so
                os.rename(os.path.join(self._part, task.key), target)
        files.remove_tree(self._part)
        files.sync_dir(self._workspace.path('task.finish'))

    def close(self, task):
        """After the end of a task: put earlier attempts beside its results, and remove its input if nobody needs it."""
        if task.state == 'done':
            tidy(self._workspace, self._store, task)


def _judge(task, complaint, arrived):
    """(how it ended, the reason, is all of it here) of an attempt whose results came.  arrived: its resultfiles.Arrived."""
    lines = list(arrived.missing) + ['not taken: ' + line for line in arrived.refused]
    lines = [complaint] * bool(complaint) + lines
    if task.desc.d_fetch and not arrived.is_found and not lines and task.end == 'success':
        lines = ['d_fetch: %s: not found' % task.desc.d_fetch]
    if not lines:
        return task.end, task.reason, True
    more = ' and %d more' % (len(lines) - 1) if lines[1:] else ''
    end = 'failed' if task.end == 'success' else task.end
    return end, '; '.join(filter(None, (task.reason, 'result incomplete: ' + lines[0] + more))), False


def tell(task, text, told):
    """Have it said what happened to a task, and log it.  text: with the task's label before it."""
    events.note(text.partition(': ')[2], task.host, format_id(task.id), task.attempt)
    told.append(text)


def ended_text(task, after, reason):
    """How the end of an attempt is told.  task, after: as it was, and as it is now."""
    end = after.end
    words = '%s (exit code %d)' % (end, after.code) if end == 'failed' and after.code else end
    more = {'new': ', to be tried again', 'held': ', held: ' + after.reason}.get(after.state, '')
    return '%s: %s%s%s%s' % (task.label, words, ' on ' + task.host if task.host else '', ': ' + reason if reason else '', more)


def tidy(workspace, store, task):
    """After the end of a task: put earlier attempts beside its results, remove its input if nobody needs it, and forget it if
    that was asked for."""
    gather(workspace, task)
    forget_input(workspace, store, task)
    for _task, with_results in store.doomed(task.id):
        forget(workspace, store, task, with_results)


def forget(workspace, store, task, with_results):
    """Forget a task that is done; with_results: and remove what came home of it."""
    gather(workspace, task)
    if with_results:
        files.remove_tree(directory(workspace, task))
    store.remove(task.id)
    forget_input(workspace, store, task)


def gather(workspace, task):
    """Put what waits of a task that is done into its place: earlier attempts beside its results.

    What waits of its last attempt are its results: a retry had set them aside, and did not come further.
    """
    target = directory(workspace, task)
    with files.local_errors(target):
        for number in range(task.attempt, 0, -1):
            waiting = attempt_directory(workspace, task._replace(attempt=number))
            if os.path.isdir(waiting):
                if number < task.attempt or os.path.isdir(target):
                    files.make_dir(target)
                    os.rename(waiting, os.path.join(target, 'attempt.%d' % number))
                else:
                    os.rename(waiting, target)


def forget_input(workspace, store, task):
    """Remove the input of a task, from hosts if no task is open that needs it, and from here if none may be tried again."""
    if not store.input_is_wanted(task.input):
        store.drop_input(task.input)
    if not store.input_is_wanted(task.input, even_failed=True):
        files.discard(workspace.path('task', task.input))


def set_aside(workspace, task):
    """Before a task that is done is tried again: what came of it so far waits, as that of any earlier attempt."""
    source = directory(workspace, task)
    with files.local_errors(source):
        if not os.path.isdir(source):
            return
        for name in os.listdir(source):
            match = _EARLIER.fullmatch(name)
            if match and os.path.isdir(os.path.join(source, name)):
                number = int(match.group(1))
                os.rename(os.path.join(source, name), attempt_directory(workspace, task._replace(attempt=number)))
        os.rename(source, attempt_directory(workspace, task))
        files.sync_dir(workspace.path('task.finish'))
