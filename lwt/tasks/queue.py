"""The queue for commands: add tasks, find them, and record requests to kill, suspend or resume
them.
"""

import contextlib
import os
import re
import shutil
from typing import Callable, NamedTuple

from lwt.copy import tarstream
from lwt.errors import LocalError, UsageError, printable
from lwt.remote import script_checks
from lwt.tasks import model, results
from lwt.tasks.store import after_text
from lwt.workspace import database, files, identity, ownership

MAX_DESC = 1 << 20
MAX_VALUES = 64 << 20
# Bytes: Linux takes 131,072 in one string of the environment, and {} may stand for it in a word.
MAX_VALUE = 120000
# Names that lwt itself puts into task.finish/ (database.INPUT: into task/); all other files there
# belong to the user.
_ATTEMPT = re.compile(r'\.attempt\.([0-9]{1,18})\.[0-9]{1,9}')
_OWNER = re.compile(r'[A-Za-z0-9_:\[][A-Za-z0-9_@%:\[\].+-]{0,248}')      # a host, carry.HOST


class DescReader(NamedTuple):
    """Reads descriptions of tasks that will be added.

    default_retries: applies if desc has no retries.
    overrides: (key, text, origin), which replace values of desc.
    args: the values that {} will stand for.
    warn(text): gets a message about each probable mistake.
    """

    workspace: object
    default_retries: int
    overrides: tuple = ()
    args: tuple = (None,)
    warn: Callable = lambda text: None

    def read(self, name):
        """Return the Desc of description/NAME, and the path of that folder.

        The files of the folder are checked too.  Raises UsageError.
        """
        model.check_name(name)
        folder = self.workspace.path('description', name)
        if not os.path.isdir(folder):
            there = ' '.join(_descriptions(self.workspace)) or 'none'
            raise UsageError('description/%s: no such folder' % name, 'existing: ' + there)
        path = os.path.join(folder, 'desc')
        tarstream.check_input(folder)
        ownership.check_tree(folder)
        text = files.read_text(path, MAX_DESC)
        desc = model.parse_desc(text, path, self.default_retries, self.overrides)
        self._check_commands(desc, model.origins(text, path, self.overrides), folder)
        return desc, folder

    def _check_commands(self, desc, where, folder):
        texts = {key: (getattr(desc, key), where[key]) for key in ('exec', 'kill') if key in where}
        for warning in script_checks.check(script_checks.Commands(texts, folder, self.args)):
            self.warn(warning)


def _descriptions(workspace):
    try:
        return sorted(entry.name
                      for entry in os.scandir(workspace.path('description')) if entry.is_dir())
    except OSError:
        return []


class NewTasks(NamedTuple):
    """Tasks to queue: their name, Desc, folder, and the value of each (None for none)."""

    name: str
    desc: model.Desc
    folder: str
    args: tuple = (None,)


def add(workspace, store, orders, after=()):
    """Copy the folders of NewTasks as inputs, and queue the tasks: all or none; returns their
    numbers.

    The copies are complete and durable before the first row exists, so no task ever lacks its
    input.
    after: the numbers of tasks that they wait for.
    """
    own = identity.read(workspace).name
    inputs = ['%s.%s.%s' % (order.name, own, os.urandom(6).hex()) for order in orders]
    with _lock(workspace).shared():
        parts = [workspace.path('task', '.part-' + name) for name in inputs]
        try:
            for order, part in zip(orders, parts):
                _copy(order.folder, part)
            with files.local_errors(workspace.path('task')):
                for part in parts:      # after all copies: what one sync writes, the next need not
                    files.sync_tree(part)
                for name, part in zip(inputs, parts):
                    os.rename(part, workspace.path('task', name))
                files.sync_dir(workspace.path('task'))
        except LocalError:
            for part in parts:
                files.discard(part)
            raise
        with store.together():
            return [number for order, name in zip(orders, inputs)
                    for number in store.add(order.name, name, order.desc, order.args, after, own)]


def _copy(folder, part):
    try:
        tarstream.copy_input(folder, part)
    except shutil.Error as error:       # the first of all errors is enough
        name, _to, reason = error.args[0][0]
        raise LocalError('%s: cannot copy (%s)' % (name, reason))
    except OSError as error:
        raise LocalError('%s: cannot copy (%s)' % (folder, error.strerror or error))


def _lock(workspace):
    """Return the lock of task/.

    A process that creates something there that no task names yet shares the lock; a process that
    sweeps holds it alone.
    """
    return workspace.lock('task')


def sweep(workspace, store):
    """Finish what a killed lwt left half done on this machine, and remove what it left behind.

    Data that another lwt process uses is left to it, and to the next sweep.  Returns a list of
    lines about what could not be done.
    """
    problems = []
    _sweep_tasks(workspace, store, problems)
    for path, lock in _scratch(workspace):
        with _noting(problems):
            if lock.take():
                try:
                    files.remove_tree(path)
                finally:
                    lock.release()
    for task, with_results in store.doomed():
        results.forget(workspace, store, task, with_results)
    for name in store.copied_inputs():
        if not store.input_is_wanted(name):
            store.drop_input(name)
    return problems


@contextlib.contextmanager
def _noting(problems):
    """Note a LocalError: a directory that cannot be removed or renamed must not delay tasks."""
    try:
        yield
    except LocalError as error:
        problems.append(error.message)


def half_done(workspace, store):
    """Return the paths of what sweep() would finish or remove."""
    found = (list(_spare_inputs(workspace, store))
             + [path for path, _task in _waiting(workspace, store)])
    return ((found if _lock(workspace).is_free() else [])
            + [path for path, lock in _scratch(workspace) if lock.is_free()])


def _names(folder):
    with files.local_errors(folder):
        return sorted(os.listdir(folder))


def _spare_inputs(workspace, store):
    """Yield the paths of inputs, partial or complete, that no task needs."""
    for name in _names(workspace.path('task')):
        if database.INPUT.fullmatch(name) and not store.input_is_wanted(name, even_failed=True):
            yield workspace.path('task', name)


def _waiting(workspace, store):
    """Yield (path, Task or None) of results of earlier attempts whose task is done or unknown."""
    for name in _names(workspace.path('task.finish')):
        match, path = _ATTEMPT.fullmatch(name), workspace.path('task.finish', name)
        if match and os.path.isdir(path) and not os.path.islink(path):
            task = store.get(int(match.group(1)))
            if task is None or task.state == 'done':
                yield path, task


def _sweep_tasks(workspace, store, problems):
    lock = _lock(workspace)
    if not lock.take():
        return
    try:
        for path in _spare_inputs(workspace, store):
            with _noting(problems):
                files.remove_tree(path)
        for path, task in _waiting(workspace, store):
            with _noting(problems):
                if task is not None:
                    results.gather(workspace, task)
                else:                   # of a lost state.db: results are never removed
                    name = '%s.%s' % (os.path.basename(path)[1:], os.urandom(4).hex())
                    with files.local_errors(path):
                        os.rename(path, workspace.path('task.finish', name))
    finally:
        lock.release()


def _scratch(workspace):
    """Yield (path, Lock of its owner) of scratch directories of visits and large transfers."""
    for folder, prefix in ((workspace.path('task.finish'), '.part-'),
                           (workspace.path('.lwt', 'tmp'), '')):
        for name in _names(folder):
            owner = name[len(prefix):]
            if name.startswith(prefix) and _OWNER.fullmatch(owner):
                yield os.path.join(folder, name), workspace.lock(owner if owner.startswith('carry.')
                                                                 else 'host.' + owner)


def values_of_file(path):
    """Return the values of --each FILE: its lines without empty ones."""
    values = [line.rstrip('\r') for line in files.read_text(path, MAX_VALUES).split('\n')]
    values = [value for value in values if value.strip()]
    for value in values:
        if '\0' in value:
            raise UsageError('%s: NUL byte in %s' % (path, printable(value)))
        if len(os.fsencode(value)) > MAX_VALUE:
            raise UsageError('%s: value too long (%d bytes): %s…'
                             % (path, len(os.fsencode(value)), printable(value[:20])),
                             'at most %d bytes; put larger data into a file of the folder'
                             % MAX_VALUE)
    if not values:
        raise UsageError('%s: no lines' % path)
    return values


MAX_ARRAY = 10 ** 6     # values of one --array
_PART = re.compile(r'\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*(?:[/:]\s*([0-9]{1,9})\s*)?)?',
                   re.ASCII)


def values_of_array(text):
    """Return the values of --array, as text, each once: 5, 1-100, 1,3,7-9, 0-99:10, 001-100.

    A step is written as in Slurm (:) or HyperQueue (/).  Leading zeros are kept, as in host sets.
    """
    if '%' in text:
        raise UsageError('--array %s: the limit %%N of Slurm is not supported' % printable(text),
                         'slots and max_dtask_day limit the tasks of a host; leave out %%%s'
                         % printable(text.partition('%')[2]).strip("'"))
    values = {}
    for part in text.split(','):
        for value in _values_of_part(part, text):
            values[value] = None        # a dictionary, because it keeps the order
        if len(values) > MAX_ARRAY:
            raise UsageError('--array %s: more than a million tasks' % printable(text))
    return list(values)


def _values_of_part(part, text):
    """Return the values of one part of --array."""
    match = _PART.fullmatch(part)
    if not match:
        raise UsageError('--array %s: bad part %s' % (printable(text), printable(part)),
                         'expected 5, 1-100, 1,3,7-9 or 0-99:10')
    first, last, step = match.group(1), match.group(2) or match.group(1), int(match.group(3) or 1)
    if int(first) > int(last) or step < 1:
        raise UsageError('--array %s: bad range %s' % (printable(text), printable(part)),
                         'give the lower number first, and a step of at least 1')
    is_padded = len(first) > 1 and first.startswith('0')
    if not is_padded and len(last) > 1 and last.startswith('0') or len(first) > len(last):
        raise UsageError('--array %s: bad range %s' % (printable(text), printable(part)),
                         'write leading zeros as in 001-100 or 08-10')
    numbers = range(int(first), int(last) + 1, step)
    if len(numbers) > MAX_ARRAY:
        raise UsageError('--array %s: more than a million tasks' % printable(text))
    width = len(first) if is_padded else 0
    return ['%0*d' % (width, number) for number in numbers]


def find(store, words):
    """Return the tasks that ids on the command line mean, each once.

    Raises UsageError, with the candidates if an id is ambiguous.
    """
    numbers = store.numbers()
    found = []
    for word in words:
        matches = model.match_ids(word, numbers)
        if not matches:
            raise UsageError('no task %s' % word, 'lwt task show lists them')
        if len(matches) > 1:
            raise UsageError('task id %s is ambiguous' % word,
                             'it matches ' + ' '.join(map(model.format_id, matches[:10]))
                             + ' …' * (len(matches) > 10))
        found += matches
    return [store.get(number) for number in dict.fromkeys(found)]


def wish(workspace, store, task, verb):
    """Record a user's request: 'kill', 'suspend', 'resume' or 'retry'; returns the changed task.

    The function does not wait: if the host has to act, the next visit asks it.
    Raises UsageError if the state of the task does not allow the request.
    """
    while True:
        changed = _WISHES[verb](workspace, store, task)
        if changed is not None:
            return changed
        task = store.get(task.id)       # another process changed it meanwhile: try again


def _kill(workspace, store, task):
    if model.step(task.state, 'kill') == model.SETTLE:
        settled = store.settle(task, 'kill', 'killed', None, 'before it started')
        if settled is not None:
            results.tidy(workspace, store, settled)
        return settled
    return (task if task.state == 'killing'
            else store.advance(task, 'kill', 'kill requested'))


def _suspend(_workspace, store, task):
    if task.state == 'suspending':
        return task
    if task.state == 'held' and (not task.after or task.reason == 'suspended'):
        raise UsageError('already held')
    return store.advance(task, 'suspend', 'suspend requested', reason='suspended')


def _resume(_workspace, store, task):
    # It waits again for the tasks that it follows.
    if task.state == 'held' and task.after and task.reason == 'suspended':
        return store.advance(task, 'suspend', 'resume requested',
                             reason=after_text(task.after.split()))
    return store.advance(task, 'resume', 'resume requested', reason='', after='')


def _retry(workspace, store, task):
    model.step(task.state, 'retry')
    with _lock(workspace).shared():
        if not workspace.has_input(task.input):
            raise UsageError('task/%s: no such directory' % task.input,
                             'its input was removed; add the task again')
        results.set_aside(workspace, task)
        return store.retry(task)


_WISHES = {'kill': _kill, 'suspend': _suspend, 'resume': _resume, 'retry': _retry}


def remove(workspace, store, task, with_results):
    """Remove a task: now if it is done or has not started, otherwise as soon as it is done.

    with_results: remove its fetched results too.  Returns the task if it is not removed yet, else
        None.
    """
    if task.state not in ('done', 'fetching', 'killing'):
        task = wish(workspace, store, task, 'kill')
    if task.state != 'done':
        store.doom(task, with_results)
        return task
    results.forget(workspace, store, task, with_results)
    return None
