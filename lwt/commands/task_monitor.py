"""What a run of tasks prints: a progress line, a line for each task that ends, and hosts that
cannot be used.
"""

import os
import time
from typing import NamedTuple, Sequence

from lwt.commands.task_view import elapsed, last_lines, printable, shown_path, whole_duration
from lwt.errors import EXIT_UNREACHABLE
from lwt.output import units
from lwt.tasks import model, results
from lwt.tasks.task_lists import NumberSet
from lwt.workspace import nodeset

FAILURES = tuple(outcome for outcome in model.OUTCOMES if outcome != 'success')
LEAST_PAUSE = 0.2       # seconds between two updates of the progress line
LEAST_SHARE = 20        # and at least this many times the duration of the last update
SLOTS_FADE = 0.9        # factor for the estimate of slots in use, at each update
MOST_EXAMINED = 1000    # failed tasks whose standard error is read
MOST_KINDS = 10         # kinds of failures that are listed
MAX_STDERR = 80         # characters of a line of standard error
VERBS = {'killed': 'killed', 'lost': 'lost'}        # else: failed


class Troubles:
    """Hosts that cannot be used: each reason is printed once, and again when it changes."""

    def __init__(self, say):
        self._say = say
        self._known = {}                # name -> the reason, '' if the host answers
        self._over_budget = {}          # name -> the reason, of hosts that sent too much

    def hear(self, name, reason, is_over_budget=False):
        """Record the reason why a host could not be visited, or '' if it answered.

        is_over_budget: it sent more than any valid answer contains.
        """
        if is_over_budget:
            self._over_budget[name] = reason
        elif not reason:
            self._over_budget.pop(name, None)
        if reason != self._known.get(name, ''):
            self._say('%s: %s' % (name, reason or 'reachable again'))
        self._known[name] = reason

    def exit_code(self):
        """Return 3 if a host sent too much and has not answered properly since, else 0."""
        return EXIT_UNREACHABLE if self._over_budget else 0

    def lines(self, told=()):
        """Yield lines about hosts that still cannot be used: one for each reason, and one for each
        host that sent too much.

        told: names of hosts to leave out.
        """
        for name, reason in self._over_budget.items():
            yield '%s: not trusted: %s' % (name, reason)
        by_reason = {}
        for name, reason in self._known.items():
            if reason and name not in told and name not in self._over_budget:
                by_reason.setdefault(reason, []).append(name)
        for reason, names in sorted(by_reason.items()):
            yield ('%d host%s still unavailable: %s: %s'
                   % (len(names), 's' * (len(names) > 1), nodeset.fold(names), reason))


class TaskTally(NamedTuple):
    """Numbers of tasks of a run.

    done: including failed ones.  waiting: for a host.
    ages: seconds since each task on a host was started.
    held: tasks that the run could not finish.
    """

    done: int
    failed: int
    waiting: int
    ages: Sequence = ()
    held: int = 0


class Estimate:
    """The text of the progress line, and the estimated end of the run.

    By Little's law, tasks leave at the rate (tasks on hosts) / (mean time from start to end).  So
    the remaining time is the remaining work, in seconds of tasks, divided by the slots in use.
    """

    def __init__(self, began):
        self._began = began
        self._count = 0
        self._seconds = 0.0             # from start to end, of `_count` tasks
        self._slots = 0.0               # recent number of tasks on hosts at the same time

    def add(self, seconds):
        """Count a task that ended `seconds` after its start."""
        self._count += 1
        self._seconds += max(0.0, seconds)

    def left(self, tally):
        """Return the seconds until all tasks are done, or None if unknown."""
        # Between the end of a task and the start of the next one, a slot is free for a short time.
        self._slots = max(len(tally.ages), SLOTS_FADE * self._slots)
        if not self._count or not tally.ages:
            return None
        mean = self._seconds / self._count
        rests = [max(0.0, mean - age) for age in tally.ages]
        if not tally.waiting:
            return max(rests) or None   # all have run longer than the mean: unknown
        return (tally.waiting * mean + sum(rests)) / self._slots

    def text(self, tally, now):
        """Return the progress line.  now: on the clock of `began`."""
        running = len(tally.ages)
        total = tally.done + running + tally.waiting + tally.held
        parts = ['%d/%d done' % (tally.done, total), '%d running' % running]
        parts += ['%d failed' % tally.failed] * bool(tally.failed)
        parts += ['%d held' % tally.held] * bool(tally.held)
        if tally.done and now > self._began:
            parts.append(rate(tally.done / (now - self._began)))
        left = self.left(tally)
        if left is not None:
            parts.append('ETA ' + whole_duration(max(1.0, left)))
        return ', '.join(parts)


def rate(per_second):
    """Return a rate of tasks as text: 3.2/s, 40/min, 5/h."""
    if per_second >= 1:
        return '%.1f/s' % per_second
    return '%.0f/min' % (60 * per_second) if per_second >= 1 / 60 else '%.1f/h' % (
        3600 * per_second)


class Monitor:
    """Shows the progress of a run.  Use as a context manager.

    With a progress line, successful tasks have no line of their own.
    """

    def __init__(self, workspace, store, say, progress=None, numbers=None):
        """say(text): prints a message.
        progress: a progress.ProgressLine or None.
        numbers: the set of tasks to show, or None for all.
        """
        self._workspace = workspace
        self._store = store
        self._say = say
        self._progress = progress
        self._numbers = numbers
        self._shows_success = progress is None or not os.isatty(2)
        self._next_update = 0.0
        self._estimate = Estimate(time.monotonic())
        self._before = None             # the TaskTally at the start of the run
        self._held = set()              # the numbers of the tasks that this run has put on hold
        self.finished = NumberSet()     # the numbers of the tasks that this run has finished
        self.troubles = Troubles(self.remark)

    def __enter__(self):
        if self._progress is not None:
            self._before = self._tally()
        return self

    def __exit__(self, *_exc):
        if self._progress is not None:
            self._progress.end()

    def remark(self, text):
        """Print a message above the progress line."""
        if self._progress is not None:
            self._progress.clear()
        self._say(text)
        if self._progress is not None:
            self._progress.come_back()

    def step(self, _text):
        """Note a step of a task.  The text is in the log, which -v prints."""
        self.refresh()

    def ended(self, task):
        """Print the end of an attempt, except a success while there is a progress line."""
        if self._numbers is not None and task.id not in self._numbers:
            return
        if task.state == 'done':
            self.finished.add(task.id)
            if task.started is not None:
                self._estimate.add(time.time() - task.started)
            if self._shows_success or task.outcome != 'success':
                self.remark(end_line(self._workspace, self._store, task))
        elif task.end in model.RETRYABLE or task.state == 'held':
            self._held.update([task.id] * (task.state == 'held'))
            self.remark(retry_line(self._store, task))
        self.refresh()

    def refresh(self):
        """Update the progress line, unless the last update was too recent."""
        began = time.monotonic()
        if self._progress is None or began < self._next_update:
            return
        tally = self._tally()
        tally = tally._replace(done=max(0, tally.done - self._before.done),
                               failed=max(0, tally.failed - self._before.failed),
                               held=max(len(self._held), tally.held - self._before.held))
        self._progress.show(self._estimate.text(tally, began))
        pause = LEAST_SHARE * (time.monotonic() - began)
        self._next_update = began + max(LEAST_PAUSE, pause)

    def _tally(self):
        """Return the TaskTally of all tasks, or of those to show."""
        now = time.time()
        if self._numbers is None:
            counts = self._store.counts()
            ages = [now - started for started in self._store.started_times()]
        else:
            counts = self._store.counts_of(self._numbers)
            ages = [now - task.started for task in self._store.chosen(states=model.ASKED)
                    if task.id in self._numbers and task.started is not None]
        waiting = counts.get('new', 0)
        failed = sum(counts.get(outcome, 0) for outcome in FAILURES)
        return TaskTally(counts.get('success', 0) + failed, failed, waiting, ages,
                         counts.get('held', 0))


# -- lines about tasks -----------------------------------------------------------------------------


def end_line(workspace, store, task):
    """Return the message about a finished task: how it ended and, unless it succeeded, the place of
    its output.
    """
    text = '%s: %s' % (task.label, model.end_text(task, task.outcome, task.code, task.reason))
    if task.outcome == 'success':
        seconds = elapsed(task, task.ended)
        return text + (', ' + units.duration(seconds) if seconds is not None else '')
    where = results.directory(workspace, task)
    if os.path.isdir(where):
        text += '; output in ' + shown_path(where)
    for attempt, host, _home in store.kept(task):
        if attempt == task.attempt:
            text += results.KEPT % host
    return text


def retry_line(store, task):
    """Return the message about a failed attempt of a task that is queued again or held."""
    attempts = store.attempts(task.id)
    if not attempts:
        return '%s: %s' % (task.label, task.state)
    number, host, _began, _ended, end, code, reason = attempts[-1][:7]
    text = '%s: attempt %d: %s' % (
        task.label, number, model.end_text(task._replace(host=host), end, code, reason))
    return text + (', held: ' + task.reason if task.state == 'held' else ', will be retried')


def failure_lines(workspace, store, numbers):
    """Yield a line for each kind of failure of a run, the most frequent one first.

    numbers: of the tasks of the run.  Failures are of one kind if their reason and the last line of
        their standard error are equal.
    """
    failed, kinds = store.with_outcomes(numbers, FAILURES), {}
    for task in failed[:MOST_EXAMINED]:
        stderr = last_lines(os.path.join(results.directory(workspace, task), 'run.stderr'), 1)
        reason = model.end_reason(task.outcome, task.code, task.reason, task.desc.timeout)
        shown = printable(stderr[0].strip(), MAX_STDERR) if stderr else ''
        kinds.setdefault((VERBS.get(task.outcome, 'failed'), reason, shown), []).append(task.id)
    told = 0
    for (verb, reason, stderr), found in sorted(
            kinds.items(), key=lambda item: -len(item[1]))[:MOST_KINDS]:
        told += len(found)
        parts = ['%d task%s %s' % (len(found), 's' * (len(found) > 1), verb), reason, stderr]
        yield '%s (lwt task show %s)' % (': '.join(filter(None, parts)),
                                         model.format_id(found[0]))
    if len(failed) > told:
        yield ('%d more tasks failed (lwt task show --state %s)'
               % (len(failed) - told, ','.join(FAILURES)))
