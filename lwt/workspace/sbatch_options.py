"""Options for sbatch that users give, in host.list and in desc.  Pure."""

import shlex

# lwt sets these itself, or they would make sbatch do something else.
RESERVED = ('array', 'chdir', 'comment', 'error', 'export', 'export-file', 'help', 'input',
            'job-name', 'output', 'parsable', 'test-only', 'usage', 'version', 'wait', 'wrap')
RESERVED_LETTERS = 'aDeihJoVW'


def words(text):
    """The options in a text as words, as a shell would split them.  Raises ValueError."""
    found = shlex.split(text)
    takes_value = False
    for word in found:
        if '\t' in word or not word.isprintable():
            raise ValueError('unprintable characters')
        if word.startswith('-'):
            _check(word)
        elif not takes_value:
            raise ValueError('expected options of sbatch, found %s' % word)
        takes_value = word.startswith('-') and '=' not in word
    return tuple(found)


def _check(word):
    name = word.partition('=')[0].lstrip('-')
    is_long = word.startswith('--')
    if not name:
        raise ValueError('expected options of sbatch, found %s' % word)
    if (any(known.startswith(name) for known in RESERVED) if is_long
            else name[0] in RESERVED_LETTERS):
        raise ValueError('%s: this option of sbatch is set by lwt' % word)


def checked(text):
    """The text, if it has the form of options of sbatch.  Raises ValueError."""
    words(text)
    return text


def name(text):
    """The name of a partition or an account.  Raises ValueError."""
    if not text or not text.isprintable() or text.startswith('-') or ' ' in text:
        raise ValueError('expected a name')
    return text


def launcher(text):
    """How a host starts tasks: direct or slurm.  Raises ValueError."""
    if text not in ('direct', 'slurm'):
        raise ValueError('expected direct or slurm')
    return text
