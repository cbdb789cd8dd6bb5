"""The queue for commands: find tasks, remove them, and record requests to kill, suspend, resume or
retry them.
"""

import contextlib
import os
import re
from array import array

from lwt.errors import LocalError, UsageError, printable
from lwt.tasks import model, predecessors, results
from lwt.tasks.task_lists import NumberSet, TaskList
from lwt.workspace import database, files

AT_ONCE = 500           # tasks that one transaction changes
MOST_MATCHES = 10       # tasks that a message about an ambiguous id names
LONGEST_ID = 12         # digits
# Names that lwt itself puts into task.finish/ (database.INPUT: into task/); all other files there
# belong to the user.
_ATTEMPT = re.compile(r'\.attempt\.([0-9]{1,18})\.[0-9]{1,9}')
_OWNER = re.compile(r'[A-Za-z0-9_:\[][A-Za-z0-9_@%:\[\].+-]{0,248}')      # a host, carry.HOST


def lock(workspace):
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
    return ((found if lock(workspace).is_free() else [])
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
    sweeping = lock(workspace)
    if not sweeping.take():
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
        sweeping.release()


def _scratch(workspace):
    """Yield (path, Lock of its owner) of scratch directories of visits and large transfers."""
    for folder, prefix in ((workspace.path('task.finish'), '.part-'),
                           (workspace.path('.lwt', 'tmp'), '')):
        for name in _names(folder):
            owner = name[len(prefix):]
            if name.startswith(prefix) and _OWNER.fullmatch(owner):
                yield os.path.join(folder, name), workspace.lock(owner if owner.startswith('carry.')
                                                                 else 'host.' + owner)


def find(store, words):
    """Return the TaskList of the tasks that ids and ranges on the command line mean, each once:
    12  1-15  1-15,20

    Raises UsageError, with the candidates if an id is ambiguous.
    """
    seen, found = NumberSet(), array('q')
    for word in [part for word in words for part in word.split(',')]:
        for number in _range(word, store) if is_range(word) else (_find_id(word, store),):
            if number not in seen:
                seen.add(number)
                found.append(number)
    return TaskList(store, found)


def is_range(word):
    """Return whether a word means a range of ids, such as 1-15."""
    return re.fullmatch('[0-9]{1,12}-[0-9]{1,12}', word) is not None


def _range(word, store):
    first, last = map(int, word.split('-'))
    found = store.numbers_between(first, last)
    if not found:
        raise UsageError('no task in the range %s' % word,
                         'lwt task show lists them' if first <= last
                         else 'give the lower id first')
    return found


def _find_id(word, store):
    matches = model.match_ids(word, _candidates(word, store))
    if not matches:
        raise UsageError('no task %s' % word, 'lwt task show lists them')
    if len(matches) > 1:
        raise UsageError('task id %s is ambiguous' % word, 'it matches '
                         + ' '.join(map(model.format_id, matches[:MOST_MATCHES]))
                         + ' …' * (len(matches) > MOST_MATCHES))
    return matches[0]


def _candidates(word, store):
    """Return the numbers that an id may mean: this number, and the first of those whose ids begin
    with it.
    """
    if not re.fullmatch('[0-9]{1,%d}' % LONGEST_ID, word):
        return []
    found = list(store.numbers_between(int(word), int(word)))
    shortest = len(model.format_id(0))
    if found and (len(word) >= shortest or not word.startswith('0')):
        return found
    # Only ids of the shortest length begin with 0.
    longest = shortest if word.startswith('0') else LONGEST_ID
    for digits in range(max(shortest, len(word)), longest + 1):
        factor = 10 ** (digits - len(word))
        first = max(int(word) * factor, 0 if digits == shortest else 10 ** (digits - 1))
        found += store.numbers_between(first, (int(word) + 1) * factor - 1, MOST_MATCHES + 1)
    return sorted(set(found))


def find_after(store, words):
    """Return what the words of --after mean, as in Task.after: ids of tasks, and names.

    Raises UsageError.
    """
    found = []
    for word in words:
        last = store.last_of_name(word)
        if word.isdigit() and (last is None or model.match_ids(word, _candidates(word, store))):
            found.append(str(_find_id(word, store)))
        elif last is None:
            raise UsageError('--after %s: no task has this id or name' % printable(word),
                             'lwt task show lists them')
        else:
            found.append(predecessors.word_of_name(word, last))
    return ' '.join(dict.fromkeys(found))


def wish(workspace, store, task, verb):
    """Record a user's request: 'kill', 'suspend', 'resume' or 'retry'; returns the changed task.

    The function does not wait: if the host has to act, the next visit asks it.
    Raises UsageError if the state of the task does not allow the request.
    """
    for _task, after, problem in wish_all(workspace, store, [task], verb):
        if problem is not None:
            raise problem
    return after


def wish_all(workspace, store, tasks, verb):
    """Record a user's request for many tasks.

    Yields (task, the changed task or None, the UsageError or None) for each.
    """
    for at in range(0, len(tasks), AT_ONCE):
        done = []
        # The lock comes first: a process that sweeps holds it while it waits for the database.
        with lock(workspace).shared(), store.together():
            for task in tasks[at:at + AT_ONCE]:
                try:
                    done.append((task, _changed(workspace, store, task, verb), None))
                except UsageError as error:
                    done.append((task, None, error))
        results.tidy(workspace, store, *[after for _task, after, _problem in done
                                         if after is not None and after.state == 'done'])
        yield from done


def _changed(workspace, store, task, verb):
    while True:
        changed = _WISHES[verb](workspace, store, task)
        if changed is not None:
            return changed
        task = store.get(task.id)       # another process changed it meanwhile: try again


def _kill(_workspace, store, task):
    if model.step(task.state, 'kill') == model.SETTLE:
        return store.settle(task, 'kill', 'killed', None, 'before it started')
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
                             reason=predecessors.reason(task.after))
    if task.state == 'held':
        store.forgive(task)
    return store.advance(task, 'resume', 'resume requested', reason='', after='')


def _retry(workspace, store, task):
    model.step(task.state, 'retry')
    if not workspace.has_input(task.input):
        raise UsageError('task/%s: no such directory' % task.input,
                         'its input was removed; lwt task retry --fresh copies it again')
    results.set_aside(workspace, task)
    return store.retry(task)


_WISHES = {'kill': _kill, 'suspend': _suspend, 'resume': _resume, 'retry': _retry}


def remove(workspace, store, tasks, with_results):
    """Remove tasks: now if they are done or have not started, otherwise as soon as they are done.

    with_results: remove their fetched results too.
    Yields (task, whether it is removed already) for each.
    """
    for at in range(0, len(tasks), AT_ONCE):
        yield from _remove_some(workspace, store, list(tasks[at:at + AT_ONCE]), with_results)


def _remove_some(workspace, store, tasks, with_results):
    gone = NumberSet(store.remove_waiting([task.id for task in tasks]))
    removed = [(task, True) for task in tasks if task.id in gone]
    for task in {task.input: task for task, _is_removed in removed}.values():
        results.forget_input(workspace, store, task)
    tasks = [task for task in tasks if task.id not in gone]
    going = [task for task in tasks if task.state not in ('done', 'fetching', 'killing')]
    killed = {task.id: after or store.get(task.id)
              for task, after, _problem in wish_all(workspace, store, going, 'kill')}
    tasks = [killed.get(task.id, task) for task in tasks]
    left = [task for task in tasks if task is not None and task.state != 'done']
    done = [task for task in tasks if task is not None and task.state == 'done']
    with store.together():
        for task in left:
            store.doom(task, with_results)
    results.forget_all(workspace, store, done, with_results)
    return removed + [(task, False) for task in left] + [(task, True) for task in done]
