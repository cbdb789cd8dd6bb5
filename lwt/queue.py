"""The queue as commands see it: adding tasks, and finding them by what a user typed."""

import os
import shutil
import uuid

from lwt import archive, files, task as tasks
from lwt.config import bounded
from lwt.errors import LocalError, UsageError
from lwt.hosts import printable

MAX_DESC = 1 << 20
MAX_VALUES = 64 << 20


def read_description(place, name, default_retries):
    """The Desc of description/NAME, and the path of that folder, after looking at all that is in it.  Raises UsageError."""
    tasks.check_name(name)
    folder = place.path('description', name)
    if not os.path.isdir(folder):
        raise UsageError('description/%s: no such folder' % name, 'there is: ' + (' '.join(_descriptions(place)) or 'none'))
    path = os.path.join(folder, 'desc')
    desc = tasks.parse_desc(files.read_text(path, MAX_DESC), path, default_retries)
    archive.check_input(folder)
    return desc, folder


def _descriptions(place):
    try:
        return sorted(entry.name for entry in os.scandir(place.path('description')) if entry.is_dir())
    except OSError:
        return []


def add(place, store, name, desc, folder, args):
    """Copy a folder as the input of new tasks, one for each of args, and queue them; returns their numbers.

    The copy is complete and durable before the first row is there, so no task ever lacks its input.
    """
    input_name = '%s.%s' % (name, uuid.uuid4().hex[:12])
    target = place.path('task', input_name)
    part = place.path('task', '.part-' + input_name)
    try:
        archive.copy_input(folder, part)
        files.sync_tree(part)
        os.rename(part, target)
        files.sync_dir(place.path('task'))
    except (OSError, shutil.Error) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise LocalError('%s: cannot be copied (%s)' % (folder, error))
    return store.add(name, input_name, desc, args)


def values_of_file(path):
    """The values of --each FILE: its lines, but empty ones."""
    values = [line.rstrip('\r') for line in files.read_text(path, MAX_VALUES).split('\n')]
    values = [value for value in values if value.strip()]
    for value in values:
        if '\0' in value:
            raise UsageError('%s: a NUL byte in %s' % (path, printable(value)))
    if not values:
        raise UsageError('%s: no lines' % path)
    return values


def values_of_range(text):
    """The values of --array A-B, as text."""
    first, dash, last = text.partition('-')
    low, high = bounded(first, 0, 10 ** 9), bounded(last, 0, 10 ** 9)
    if not dash or low is None or high is None or low > high:
        raise UsageError('--array %s: expected A-B, two numbers' % printable(text))
    if high - low >= 10 ** 6:
        raise UsageError('--array %s: more than a million tasks' % text)
    return [str(number) for number in range(low, high + 1)]


def find(store, words):
    """The tasks that ids on the command line mean, each once.  Raises UsageError with the candidates."""
    numbers = store.numbers()
    found = []
    for word in words:
        matches = tasks.match_ids(word, numbers)
        if not matches:
            raise UsageError('no task %s' % word, 'lwt task show lists them')
        if len(matches) > 1:
            raise UsageError('task id %s is ambiguous' % word,
                             'it may be ' + ' '.join(map(tasks.format_id, matches[:10])) + ' …' * (len(matches) > 10))
        found += matches
    return [store.get(number) for number in dict.fromkeys(found)]


def kill(store, task):
    """Wish a task dead: it is done at once if it cannot have started, else its host is asked.  Returns it as it is then.

    Raises UsageError when it is at its end already.
    """
    while True:
        event_leads_to = tasks.step(task.state, 'kill')
        if event_leads_to == tasks.SETTLE:
            changed = store.settle(task, 'kill', 'killed', None, 'before it started', leave='unstage')
        elif task.state == 'killing':
            return task
        else:
            changed = store.advance(task, 'kill', 'to be killed on %s' % task.host)
        if changed is not None:
            return changed
        task = store.get(task.id)       # a pass changed it meanwhile: look again
