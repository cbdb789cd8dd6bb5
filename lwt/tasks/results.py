"""Results of tasks: stored in task.finish/, complete or not at all.

    task.finish/NAME.TIME.ID/    result/ run.stdout run.stderr run.code, and attempt.N/ with the
                                 same for earlier attempts
    task.finish/.attempt.ID.N/   the results of an attempt while the task is tried again

All of it is in one directory, which may be on another file system.  TIME is when the task was
added, so that a pass that finds a task half fetched knows the directory of its results.
"""

import os
import re
import time
from typing import NamedTuple

from lwt.copy import child_jobs, tarstream
from lwt.copy.child_jobs import job
from lwt.errors import LocalError, os_error_text
from lwt.remote import events
from lwt.tasks import model, result_files
from lwt.tasks.model import format_id
from lwt.workspace import files


_EARLIER = re.compile(r'attempt\.([0-9]{1,9})')
OF_A_TASK = 4               # files and directories that are created for each task in any case
STILL_THERE = 'the results are still on %s'
KEPT = '; its directory on %s is kept until lwt task rm or retry'


def directory(workspace, task):
    """Return where the results of a task are, or will be."""
    stamp = time.strftime('%Y%m%d-%H%M%S', time.gmtime(task.added))
    return workspace.path('task.finish', '%s.%s.%s' % (task.name, stamp, format_id(task.id)))


def attempt_directory(workspace, task):
    """Return where the results of an attempt are stored while the task is tried again."""
    return workspace.path('task.finish', '.attempt.%s.%d' % (format_id(task.id), task.attempt))


class Came(NamedTuple):
    """The results of one task that were unpacked and synced, but are not in their final place yet.

    code: the exit code of the task in run.code.
    is_found: see result_files.Arrived.
    problem: the first line about what could not be fetched or was refused.
    count: the number of such lines.
    size: bytes.
    """

    code: object
    is_found: bool
    problem: str
    count: int
    size: int


class Parcel(NamedTuple):
    """The results in one answer of a host.

    problem: why none of them can be used, or ''.  came: {key: Came}.
    """

    problem: str = ''
    came: dict = {}


@job
def unpack_part(argument):
    """Job of Books.unpack; argument: [path of the stream, its digest, directory, wanted].

    Returns [problem, {key: all fields of Came but the first}].
    """
    path, digest, part, wanted = argument
    problem = tarstream.arrival_problem(path, digest)
    if problem:
        return [problem, {}]
    files.remove_tree(part)
    try:
        return ['', _unpack(path, part, wanted)]
    except OSError as error:
        if tarstream.is_ours(error, os.path.dirname(part)):
            raise
        return ['cannot unpack the results (%s)' % error.strerror, {}]


def _unpack(path, part, wanted):
    arrived = result_files.unpack(path, part,
                                  {key: d_fetch for key, (d_fetch, _code) in wanted.items()})
    came = {}
    for key, (_d_fetch, code) in wanted.items():
        with open(files.open_new(os.path.join(part, key, 'run.code'), 0o600), 'w') as file:
            file.write('%s\n' % ('' if code is None else code))
        lines = list(arrived[key].missing)
        lines += ['not fetched: ' + line for line in arrived[key].refused]
        size = files.tree_size(os.path.join(part, key))
        came[key] = [arrived[key].is_found, lines[0] if lines else '', len(lines), size]
    files.sync_tree(part)
    return came


class Books:
    """Records the results that came from one host, those of many tasks at once.

    name: the name of the host, or another word that is unique among the Books in use.
    """

    def __init__(self, workspace, store, name):
        self._workspace = workspace
        self._store = store
        self._part = workspace.path('task.finish', '.part-' + name)

    def clear(self):
        """Flow: remove what a killed process left."""
        yield from child_jobs.remove(self._part)

    def unpack(self, inbox, wanted, host):
        """Flow: check the stream of a requests.Inbox, unpack it beside its final place, and sync
        it.

        Returns a Parcel.  wanted: {key: (d_fetch, exit code)}.
        Raises LocalError for a failure of this machine; a failure of the host is the problem of the
        Parcel.
        """
        if not wanted:
            return Parcel()
        if not inbox.has_stream:
            return Parcel('incomplete transfer of the results')
        try:
            argument = [inbox.path, inbox.digest, self._part, wanted]
            work = tarstream.work(inbox.path, child_jobs.SMALL + 1)
            work = max(work, len(wanted) * OF_A_TASK * tarstream.THING)
            problem, came = yield from child_jobs.do(unpack_part, argument, work)
        except child_jobs.Crashed as error:
            yield from self.clear()
            return Parcel(error.message)
        except OSError as error:
            raise LocalError(os_error_text(error.filename or self._part, error),
                             STILL_THERE % host)
        except LocalError as error:
            raise LocalError(error.message, STILL_THERE % host)
        return Parcel(problem, {key: Came(wanted[key][1], *values) for key, values in came.items()})

    def enter(self, fetched, parcel, complaint, keep_days, told):
        """Move what unpack prepared to its final place, and record it; returns the changed Tasks.

        The caller closes these.  fetched: Tasks.
        complaint(key): returns what could not be read on the host.
        An incomplete result is no success: it stays on its host until the task is removed or
        retried, or until keep_days after a later attempt succeeds.
        told: a list that gets messages.
        Raises LocalError; then nothing is committed.
        """
        # If another process has changed a task meanwhile, its run.code may be wrong.
        fetched = [task for task in fetched
                   if task.key in parcel.came and parcel.came[task.key].code == task.code]
        came = {task.key: parcel.came[task.key] for task in fetched}
        ends = {task.key: _judge(task, complaint(task.key), came[task.key]) for task in fetched}
        try:
            with files.local_errors(self._part):
                self._put_into_place(fetched, ends)
        except LocalError as error:
            raise LocalError(error.message, STILL_THERE % fetched[0].host)
        settled = []
        with self._store.together():
            for task in fetched:
                end, reason, is_whole = ends[task.key]
                after = self._store.settle(task, 'fetched', end, task.code, reason,
                                           'clean' if is_whole else 'keep', keep_days,
                                           came[task.key].size)
                if after is not None:
                    settled.append(after)
                    kept = '' if is_whole else KEPT % task.host
                    tell(task, ended_text(task, after, reason) + kept, told)
        return settled

    def _put_into_place(self, fetched, ends):
        for task in fetched:
            is_last = model.conclude(ends[task.key][0], task,
                                     self._store.past(task, ends[task.key][0]))[0] == 'done'
            target = (directory if is_last else attempt_directory)(self._workspace, task)
            # Otherwise a pass stored the result and ended before it recorded that.
            if not os.path.isdir(os.path.join(target, 'result')):
                os.rename(os.path.join(self._part, task.key), target)
        files.remove_tree(self._part)           # empty, unless another process was faster
        if fetched:
            files.sync_dir(self._workspace.path('task.finish'))

    def close(self, task):
        """After the end of a task: move earlier attempts beside its results, and remove its input
        if no task needs it.
        """
        if task.state == 'done':
            tidy(self._workspace, self._store, task)


def _judge(task, complaint, came):
    """Return (how it ended, reason, whether all results are present) of an attempt; came: its Came.
    """
    problem, count = came.problem, came.count
    if complaint:
        problem, count = complaint, count + 1
    if task.desc.d_fetch and not came.is_found and not problem and task.end == 'success':
        problem, count = 'd_fetch: %s: not found' % task.desc.d_fetch, 1
    if not problem:
        return task.end, task.reason, True
    more = ' and %d more' % (count - 1) if count > 1 else ''
    end = 'failed' if task.end == 'success' else task.end
    return end, '; '.join(
        filter(None, (task.reason, 'result incomplete: ' + problem + more))), False


class StepMessage(str):
    """A message about a single step of a task, such as its launch; other messages are about
    problems.
    """


def tell(task, text, told):
    """Log a step of a task, and append its message to told, a list.

    text: begins with the label of the task.
    """
    events.note(text[len(task.label) + len(': '):], task.host, format_id(task.id), task.attempt)
    told.append(StepMessage(text))


def ended_text(task, after, reason):
    """Return the message about the end of an attempt.

    task, after: before and after the end was recorded.
    """
    text = '%s: %s' % (task.label, model.end_text(task, after.end, after.code, reason))
    if after.state == 'held':
        return '%s, held: %s' % (text, after.reason)
    return text + ', will be retried' * (after.state == 'new')


def tidy(workspace, store, *tasks):
    """After the end of tasks: move earlier attempts beside their results, remove their inputs if no
    task needs them, and remove the tasks if that was requested.
    """
    for task in tasks:
        gather(workspace, task)
    for task in {task.input: task for task in tasks}.values():
        forget_input(workspace, store, task)
    for task in tasks:
        for _task, with_results in store.doomed(task.id):
            forget(workspace, store, task, with_results)


def forget(workspace, store, task, with_results):
    """Remove a task that is done; with_results: remove its fetched results too."""
    forget_all(workspace, store, [task], with_results)


def forget_all(workspace, store, tasks, with_results):
    """Remove tasks that are done; with_results: remove their fetched results too."""
    for task in tasks:
        gather(workspace, task)
        if with_results:
            files.remove_tree(directory(workspace, task))
    with store.together():
        for task in tasks:
            store.remove(task.id)
    for task in {task.input: task for task in tasks}.values():
        forget_input(workspace, store, task)


def gather(workspace, task):
    """Move the waiting attempts of a task that is done beside its results.

    If results of its last attempt wait, they are its results: a retry had set them aside and was
    interrupted.
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
    """Remove an input from hosts if no open task needs it, and from this machine if no task that
    needs it may be retried.
    """
    if not store.input_is_wanted(task.input):
        store.drop_input(task.input)
    if not store.input_is_wanted(task.input, even_failed=True):
        files.discard(workspace.path('task', task.input))


def set_aside(workspace, task):
    """Before a task that is done is retried: store its results like those of an earlier attempt."""
    source = directory(workspace, task)
    with files.local_errors(source):
        if not os.path.isdir(source):
            return
        for name in os.listdir(source):
            match = _EARLIER.fullmatch(name)
            if match and os.path.isdir(os.path.join(source, name)):
                number = int(match.group(1))
                os.rename(os.path.join(source, name),
                          attempt_directory(workspace, task._replace(attempt=number)))
        os.rename(source, attempt_directory(workspace, task))
        files.sync_dir(workspace.path('task.finish'))
