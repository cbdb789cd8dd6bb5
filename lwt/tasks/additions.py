"""Adds tasks to the queue: their inputs and desc, from a folder of description/ or from the command
line.

The same is done for tasks that are retried with a fresh copy of their input.
"""

import contextlib
import filecmp
import json
import os
import re
import shutil
import stat
from typing import Callable, Iterable, NamedTuple

from lwt.copy import tarstream
from lwt.errors import LocalError, UsageError, printable
from lwt.remote import script_checks
from lwt.tasks import model, placeholders, queue, results
from lwt.tasks.values import Values
from lwt.workspace import files, identity, ownership

MAX_DESC = 1 << 20


class TaskInput(NamedTuple):
    """A file or directory that a task without a folder needs.

    place: its path in the directory of the task.  path: its path on this machine.
    """

    place: str
    path: str


class TaskSource(NamedTuple):
    """Where the desc and the input of tasks came from, stored as JSON so that they can be read
    again.

    overrides: (key, text, origin) as for model.parse_desc.  inputs: TaskInputs.
    has_folder: whether there is a folder in description/.
    """

    overrides: tuple = ()
    inputs: tuple = ()
    has_folder: bool = True

    def as_text(self):
        return json.dumps(self._asdict())

    @classmethod
    def of_text(cls, text):
        """Return the TaskSource in a text; for '', that of a folder without overrides."""
        values = json.loads(text or '{}')
        return cls(tuple(map(tuple, values.get('overrides', ()))),
                   tuple(TaskInput(*pair) for pair in values.get('inputs', ())),
                   values.get('has_folder', True))


class NewTasks(NamedTuple):
    """Tasks to queue: their name, Desc, folder ('' if they have none), the value of each (None for
    none), TaskInputs, and model.Kind.
    """

    name: str
    desc: model.Desc
    folder: str
    args: Iterable = (None,)
    inputs: tuple = ()
    kind: model.Kind = model.Kind()


class DescReader(NamedTuple):
    """Reads descriptions of tasks that will be added.

    default_retries: applies if desc has no retries.
    overrides: (key, text, origin), which replace values of desc.
    args: the values of the tasks, all of them None if they have none.
    split: how they are divided, see placeholders.
    warn(text): gets a message about each probable mistake.
    """

    workspace: object
    default_retries: int
    overrides: tuple = ()
    args: Iterable = (None,)
    warn: Callable = lambda text: None
    split: str = ''

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

    def read_command(self, inputs):
        """Return the Desc of tasks without a folder, whose overrides have the command.

        inputs: checked too.  Raises UsageError.
        """
        desc = model.parse_desc('', 'lwt task add', self.default_retries, self.overrides)
        check_inputs(self.workspace, inputs)
        self._check_commands(desc, model.origins('', '', self.overrides), None,
                             {one.place: one.path for one in inputs})
        return desc

    def _check_commands(self, desc, where, folder, inputs=None):
        texts = {key: (getattr(desc, key), where[key]) for key in ('exec', 'kill') if key in where}
        has_values = next(iter(self.args), None) is not None
        for text, origin in texts.values() if has_values else ():
            placeholders.check(text, origin, self.split, self.args)
        for warning in script_checks.check(script_checks.Commands(texts, folder, inputs=inputs)):
            self.warn(warning)


def _descriptions(workspace):
    try:
        return sorted(entry.name
                      for entry in os.scandir(workspace.path('description')) if entry.is_dir())
    except OSError:
        return []


def name_of_command(command):
    """Return a name for tasks without a folder, made of the first word of their command."""
    word = os.path.basename((command.split() or [''])[0])
    return re.sub('[^A-Za-z0-9_.+-]', '', word).lstrip('.+-')[:100] or 'command'


# -- inputs ----------------------------------------------------------------------------------------


def inputs_of(paths):
    """Return the TaskInputs for the paths of --input.  Raises UsageError.

    A relative path keeps its place in the directory of the task.  An absolute path, or one with
    "..", is put at the top.  As in rsync, what follows /./ in a path is its place.
    """
    found = []
    for path in dict.fromkeys(paths):
        one = TaskInput(_place(path), os.path.abspath(files.user_path(path)))
        for other in found:
            if _overlap(one.place, other.place) or _overlap(other.place, one.place):
                raise UsageError('--input %s: in the place of --input %s (%s)'
                                 % (printable(path, 200), printable(other.path, 200),
                                    printable(other.place, 200)),
                                 'give one of them another place: DIR/./PATH is put at PATH')
        found.append(one)
    return tuple(found)


def _place(path):
    head, mark, tail = path.rpartition('/./')
    kept = tail if mark else path
    parts = [part for part in kept.split('/') if part not in ('', '.')]
    if '..' in parts or not parts or (os.path.isabs(path) and not mark):
        parts = [os.path.basename(os.path.abspath(files.user_path(path)))]
    if not parts[0]:
        raise UsageError('--input %s: not a file or directory of its own' % printable(path))
    return '/'.join(parts)


def _overlap(place, other):
    return (other + '/').startswith(place + '/')


def check_inputs(workspace, inputs):
    """Raise UsageError for a TaskInput that cannot be copied or sent to a host."""
    for one in inputs:
        shown = '--input ' + printable(one.path, 200)
        try:
            mode = os.stat(one.path).st_mode
        except OSError as error:
            raise UsageError('%s: %s' % (shown, error.strerror))
        if stat.S_ISDIR(mode):
            root = os.path.realpath(one.path)
            if os.path.commonpath([root, os.path.realpath(workspace.path('task'))]) == root:
                raise UsageError('%s: contains the queue of this workspace' % shown,
                                 'name the files that the task needs')
            tarstream.check_input(one.path)
        elif not stat.S_ISREG(mode):
            raise UsageError('%s: neither a file nor a directory' % shown)
        elif not os.access(one.path, os.R_OK):
            raise UsageError('%s: cannot be read' % shown)


def _copy(new, part):
    """Copy the input of NewTasks to a new directory."""
    try:
        if new.folder:
            tarstream.copy_input(new.folder, part)
            return
        os.mkdir(part, 0o755)
        for one in new.inputs:
            target = os.path.join(part, one.place)
            os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
            if os.path.isdir(one.path):
                tarstream.copy_input(one.path, target)
            else:
                shutil.copy2(one.path, target)
    except shutil.Error as error:       # the first of all errors is enough
        name, _to, reason = error.args[0][0]
        raise LocalError('%s: cannot copy (%s)' % (name, reason))
    except OSError as error:
        raise LocalError('%s: cannot copy (%s)' % (error.filename or new.folder,
                                                   error.strerror or error))


@contextlib.contextmanager
def _copied(workspace, orders, master):
    """Copy the inputs of NewTasks; the value of the `with` is their names in task/.

    They are complete and durable.  The lock of task/ is held, so that nobody removes them.
    """
    names = ['%s.%s.%s' % (order.name, master, os.urandom(6).hex()) for order in orders]
    with queue.lock(workspace).shared():
        parts = [workspace.path('task', '.part-' + name) for name in names]
        try:
            for order, part in zip(orders, parts):
                _copy(order, part)
            with files.local_errors(workspace.path('task')):
                for part in parts:      # after all copies: what one sync writes, the next need not
                    files.sync_tree(part)
                for name, part in zip(names, parts):
                    os.rename(part, workspace.path('task', name))
                files.sync_dir(workspace.path('task'))
        except LocalError:
            for part in parts:
                files.discard(part)
            raise
        yield names


def add(workspace, store, orders, after=''):
    """Copy the inputs of NewTasks, and queue the tasks: all or none; returns the range of their
    numbers.

    The copies are complete and durable before the first row exists, so no task ever lacks its
    input.
    after: what they wait for, see predecessors.
    """
    if not orders:
        return range(0)
    own, first = identity.read(workspace).name, None
    with _copied(workspace, orders, own) as inputs, store.together():
        for order, name in zip(orders, inputs):
            numbers = store.add(order.name, name, order.desc, order.args, after, own, first,
                                order.kind)
            first = numbers[0] if first is None else first
    # No other process adds tasks meanwhile, so their numbers follow each other.
    return range(first, numbers[-1] + 1)


# -- tasks that are retried ------------------------------------------------------------------------


def changed(workspace, name, input_name, source):
    """Return what has changed since an input was copied, as text for a message, or ''.

    name, input_name, source: of the batch.
    """
    source, copy = TaskSource.of_text(source), workspace.path('task', input_name)
    if not os.path.isdir(copy):
        return ''
    if source.has_folder:
        folder = workspace.path('description', name)
        if os.path.isdir(folder) and _differs(folder, copy):
            return 'description/%s has changed' % name
        return ''
    found = [one.path for one in source.inputs
             if os.path.exists(one.path) and _differs(one.path, os.path.join(copy, one.place))]
    more = ' and %d more inputs have changed' % (len(found) - 1) if found[1:] else ' has changed'
    return printable(found[0], 200) + more if found else ''


def _differs(path, copy):
    """Return whether a file or directory differs from its copy."""
    try:
        if os.path.islink(copy):
            return not os.path.islink(path) or os.readlink(path) != os.readlink(copy)
        if os.path.isdir(copy):
            return sorted(os.listdir(path)) != sorted(os.listdir(copy)) or any(
                _differs(os.path.join(path, name), os.path.join(copy, name))
                for name in os.listdir(copy))
        old, new = os.stat(copy), os.stat(path)
        if (old.st_size, old.st_mode) != (new.st_size, new.st_mode):
            return True
        # A copy has the time of its original.
        return old.st_mtime_ns != new.st_mtime_ns and not filecmp.cmp(path, copy, shallow=False)
    except OSError:
        return True


def retry_fresh(workspace, store, batch, tasks, default_retries, warn):
    """Queue finished tasks of one batch again, with a new copy of their input and desc.

    batch: (its number, name, source).  tasks: a TaskList.  warn: as in DescReader.
    Returns the TaskList of the changed tasks.  Raises UsageError, and then nothing is done.
    """
    number, name, text = batch
    source, first = TaskSource.of_text(text), tasks[0]
    reader = DescReader(workspace, default_retries, source.overrides,
                        Values(lambda: (task.arg for task in tasks), len(tasks)), warn, first.split)
    desc, folder = (reader.read(name) if source.has_folder
                    else (reader.read_command(source.inputs), ''))
    new = NewTasks(name, desc, folder, inputs=source.inputs)
    with _copied(workspace, [new], identity.read(workspace).name) as names, store.together():
        for task in tasks:
            results.set_aside(workspace, task)
        queued, _gone = tasks.divided(lambda task: store.retry(task) is not None)
        store.renew(number, names[0], desc, queued.numbers)
    results.forget_input(workspace, store, first)
    return queued
