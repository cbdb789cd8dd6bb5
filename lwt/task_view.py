"""How tasks look: the table, the counts, the line of progress."""

import time

from lwt import output, task as tasks

COLOURS = {'success': 'green', 'failed': 'red', 'lost': 'red', 'timeout': 'red', 'killed': 'yellow'}


def table(chosen, environ):
    """Tasks as the lines of a table."""
    def paint(row, text):
        return output.coloured(text, COLOURS[row[2]], environ) if row[2] in COLOURS else text

    rows = [(tasks.format_id(task.id), task.name if task.arg is None else '%s %s' % (task.name, task.arg),
             task.outcome or task.state, task.attempt, task.host or '-', task.code,
             output.duration(task.ended - task.started) if task.ended and task.started else '-', task.reason)
            for task in chosen]
    return output.table(('ID', 'NAME', 'STATE', 'TRY', 'HOST', 'CODE', 'TIME', 'REASON'), rows, paint)


def summary(counts):
    """Counts as words: 12 success, 1 failed, 3 running."""
    return ', '.join('%d %s' % (counts[word], word) for word in tasks.OUTCOMES + tasks.STATES if counts.get(word))


def progress_text(counts, done_before, elapsed):
    """One line: how many are done, what the others are at, and when all may be over.

    done_before: how many were done when the run began, `elapsed` seconds ago.
    """
    done, total = sum(counts.get(outcome, 0) for outcome in tasks.OUTCOMES), sum(counts.values())
    parts = ['%d of %d done' % (done, total)]
    parts += ['%d %s' % (counts[state], state) for state in tasks.STATES if counts.get(state)]
    if done > counts.get('success', 0):
        parts.append('%d not well' % (done - counts.get('success', 0)))
    if done_before < done < total:
        parts.append('ETA ' + output.duration(elapsed / (done - done_before) * (total - done)))
    return '  '.join(parts)


class Teller:
    """Tells how a run goes: by a line of progress, or by a line for each thing that happens.  Use as a context manager."""

    def __init__(self, store, say, progress):
        self._store = store
        self._say = say
        self._progress = progress       # an output.Progress, or None

    def __enter__(self):
        self._started = time.monotonic()
        self._done_before = sum(self._store.counts().get(outcome, 0) for outcome in tasks.OUTCOMES)
        return self

    def __exit__(self, *_exc):
        if self._progress is not None:
            self._progress.clear()

    def tell(self, text):
        """Hear of something that happened."""
        if self._progress is None:
            self._say(text)
        else:
            elapsed = time.monotonic() - self._started
            self._progress.show(progress_text(self._store.counts(), self._done_before, elapsed))
