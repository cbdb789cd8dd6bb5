"""What a task waits for (--after): words separated by blanks.

A word is the number of a task, or NAME:LAST for all tasks of a name up to the number LAST.  So a
task that waits for a hundred thousand others needs one word.  Pure.
"""

from lwt.tasks.model import format_id


def word_of_name(name, last):
    """Return the word for all tasks of a name up to the number `last`."""
    return '%s:%d' % (name, last)


def parsed(after):
    """Yield (number of a task, None), or (name, number of its last task), for each word."""
    for word in after.split():
        name, _colon, last = word.rpartition(':')
        yield (name, int(last)) if name else (int(word), None)


def shown(after):
    """Return the words as users know them: a list of ids and names."""
    return [format_id(first) if last is None else first for first, last in parsed(after)]


def reason(after):
    """Return the reason of a task that waits for others, or ''."""
    return 'after ' + ' '.join(shown(after)) if after.strip() else ''


def concern(after, task):
    """Return whether a task is one of those."""
    return any(first == task.id if last is None else first == task.name and task.id <= last
               for first, last in parsed(after))
