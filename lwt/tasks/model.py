"""What a task is: its description, its states, and what each event does to it.  Pure.

The automaton is one table: state and event give the next state.  Intent comes before effect: a
state is committed before its action, so after any crash the next process knows what to do:

  new          waiting for a host
  held         waiting for a user, or for the tasks that it follows
  launching    a host is chosen and the launch is intended; the host may or may not have received
               the task, and may or may not have started it
  withdrawing  it did not start where it was placed; the host is asked to cancel it, so that it
               can go to another host
  running      the host confirmed that it runs
  suspending   suspension was requested; the host has not confirmed
  suspended    the host confirmed
  resuming     resumption was requested; the host has not confirmed
  killing      kill was requested; the host has not confirmed
  fetching     it ended, or died; its results are still on the host
  done         see its outcome

So a user's verb is a change of state and never waits: the next visit acts on the state.  The table
gives the next state; conclude() decides whether another attempt follows an attempt that ended.
"""

import math
import re
import shlex
from typing import NamedTuple, Optional

from lwt.errors import UsageError, printable
from lwt.tasks import placeholders
from lwt.workspace import sbatch_options
from lwt.workspace.config import bounded, count, nearest, plain_seconds, positive, seconds, size

STATES = ('new', 'held', 'launching', 'withdrawing', 'running', 'suspending', 'suspended',
          'resuming', 'killing', 'fetching',
          'done')
KEY = re.compile(r'[0-9a-f]{32}\.[0-9]{1,6}')  # name of a task's directory on a host; see Task.key
OUTCOMES = ('success', 'failed', 'killed', 'lost', 'timeout')
RETRYABLE = ('lost', 'failed', 'timeout')

# What a host may answer.  EVENTS also has lwt's own steps and the requests of users.
# An unreachable host is not an event: nothing is known, so nothing changes.
ANSWERS = ('waiting', 'queued', 'running', 'suspended', 'exited', 'cancelled', 'died', 'rebooted',
           'absent')
WISHES = ('kill', 'suspend', 'resume', 'retry')
EVENTS = ('place', 'unplaced', 'refused', 'stuck', 'fetched') + WISHES + ANSWERS

# The attempt is over and nothing of it is needed any more: conclude() gives the next state.
SETTLE = 'settle'

# What each answer that reports an end does to a task that may be running.
_ENDS = {'exited': 'fetching', 'cancelled': SETTLE, 'died': 'fetching', 'rebooted': 'fetching',
         'absent': SETTLE}

_TABLE = {
    'new': {'place': 'launching', 'kill': SETTLE, 'suspend': 'held'},
    'held': {'resume': 'new', 'kill': SETTLE, 'suspend': 'held'},
    # absent: it never arrived, or was removed.  A launch that is still on its way must find that it
    # was cancelled, so the task is withdrawn first.
    'launching': dict(_ENDS, absent='withdrawing', unplaced='new', refused=SETTLE,
                      waiting='launching', queued='launching', stuck='withdrawing',
                      running='running', kill='killing', suspend='suspending'),
    'withdrawing': dict(_ENDS, waiting='withdrawing', queued='withdrawing', running='running',
                        kill='killing', suspend='suspending'),
    'running': dict(_ENDS, running='running', kill='killing', suspend='suspending'),
    'suspending': dict(_ENDS, waiting='suspending', queued='suspending', running='suspending',
                       suspended='suspended', kill='killing', resume='resuming'),
    # queued, running: someone has continued its job in the batch system; it is suspended again.
    'suspended': dict(_ENDS, suspended='suspended', queued='suspending', running='suspending',
                      kill='killing', resume='resuming'),
    'resuming': dict(_ENDS, waiting='withdrawing', queued='launching', running='running',
                     kill='killing', suspend='suspending'),
    'killing': dict(_ENDS, waiting='killing', queued='killing', running='killing', kill='killing'),
    'fetching': {'fetched': SETTLE, 'absent': SETTLE},
    'done': {'retry': 'new'},
}
TRANSITIONS = {(state, event): end for state, events in _TABLE.items()
               for event, end in events.items()}

# A user's request that comes too late, too early, or twice: refused with a reason, and not a bug.
REFUSED = frozenset((state, wish) for state in STATES for wish in WISHES) - frozenset(TRANSITIONS)

# Pairs that the protocol excludes; if one occurs, lwt has a bug.  (For example, if a running task
# has lost its fate, because its directory was edited, its host reports it as waiting, and event_of
# makes that absent: it is not launched again.)
IMPOSSIBLE = frozenset((state, event) for state in STATES
                       for event in EVENTS) - frozenset(TRANSITIONS) - REFUSED

# What a host is asked to do about a task in each state: a verb of sh/control.sh.
ASKED = {'launching': 'launch', 'withdrawing': 'withdraw', 'running': 'poll',
         'suspending': 'suspend', 'suspended': 'suspend',
         'resuming': 'resume', 'killing': 'cancel', 'fetching': 'poll'}

HELD_AFTER_HOSTS = 3        # number of hosts on which a task failed, after which it is held
HELD_AFTER_WITHDRAWN = 5    # number of placements in which it did not start


def step(state, event):
    """Return the next state, or SETTLE.

    Raises UsageError if a user's request does not fit the state, and AssertionError for an event
    that the protocol excludes.
    """
    if (state, event) in REFUSED:
        already = 'only finished tasks can be retried; it is ' if event == 'retry' else 'already '
        raise UsageError(already + _SHOWN.get(state, state))
    assert (state, event) in TRANSITIONS, 'event %s in state %s' % (event, state)
    return TRANSITIONS[state, event]


_SHOWN = {'fetching': 'ended, fetching its results', 'killing': 'being killed',
          'suspending': 'being suspended', 'resuming': 'being resumed',
          'withdrawing': 'being withdrawn from its host'}


def event_of(word, state):
    """Return the event that a host's word means for a task in this state."""
    if word == 'waiting' and state == 'launching':
        return 'stuck'
    if word == 'waiting' and state in ('running', 'suspended', 'fetching'):
        # Its fate is gone because its directory was edited; it must not run a second time.
        return 'absent'
    return word


def ending(event, detail, state):
    """Return (how an attempt ended, its exit code or None).

    The first is an OUTCOME or 'withdrawn'.
    event, detail: the host's answer, e.g. 'exited', '3'.
    state: the state of the task when the answer came.
    """
    if event == 'exited':
        code = bounded(detail, 0, 255)
        unusual = {'timeout': ('timeout', 124), 'killed': ('killed', 143)}
        return (('success' if code == 0 else 'failed', code) if code is not None
                else unusual.get(detail, ('failed', 1)))
    if event == 'kill' or state == 'killing':
        return 'killed', None
    if (event == 'refused'
        or (event == 'cancelled' and state in ('withdrawing', 'suspending', 'resuming'))):
        return 'withdrawn', None
    return 'lost', None


class Past(NamedTuple):
    """What is known of the attempts of a task that are over.

    hosts: those on which an attempt failed, or could not be started for a reason.
    withdrawn: the number of attempts that could not be started for a reason.  An attempt that was
        withdrawn because a pass or a connection ended has no reason.
    """

    hosts: tuple = ()
    withdrawn: int = 0


def conclude(end, task, past):
    """Return (next state, failures so far, reason) after an attempt of a task ended.

    end: how it ended.  past: the Past, with this attempt.  reason: why the task is held, or ''.
    """
    if end == 'withdrawn' and task.state == 'suspending':
        return 'held', task.failures, 'suspended'
    if end == 'withdrawn' and past.withdrawn < HELD_AFTER_WITHDRAWN:
        again = task.failures
    elif end in task.desc.retry_on and task.failures < task.desc.retries:
        again = task.failures + 1
    elif end == 'withdrawn':
        return 'held', task.failures, 'could not be started %d times' % past.withdrawn
    else:
        return 'done', task.failures, ''
    if len(past.hosts) >= HELD_AFTER_HOSTS:
        reason = 'failed on %d hosts: %s' % (len(past.hosts), ' '.join(past.hosts))
        return 'held', again, reason
    return 'new', again, ''


# -- desc ------------------------------------------------------------------------------------------


class Desc(NamedTuple):
    """What a desc file says.

    timeout: seconds, 0 for none.  hosts, category: '' for any.  retry_on: some of RETRYABLE.
    memory, disk: KiB that must be free on its host.  sbatch: options of sbatch.
    """

    exec: str
    kill: str = ''
    d_fetch: str = ''
    timeout: float = 0.0
    retries: int = 1
    retry_on: tuple = ('lost',)
    slots: int = 1
    priority: int = 0
    category: str = ''
    hosts: str = ''
    memory: int = 0
    disk: int = 0
    sbatch: str = ''


def _retry_on(text):
    words = tuple(text.replace(',', ' ').split())
    if not words or not set(words) <= set(RETRYABLE):
        raise ValueError('expected one or more of: lost failed timeout')
    return words


def priority(text):
    """Return a whole number, which may be negative; higher numbers go first."""
    if not re.fullmatch(r'[+-]?\d{1,6}', text, re.ASCII):
        raise ValueError('expected a whole number')
    return int(text)


def _d_fetch(text):
    parts = [part for part in text.split('/') if part not in ('', '.')]
    if text.startswith('/') or '..' in parts or re.search(r'[*?\[]', text):
        raise ValueError('expected a path inside the task directory, without .. and patterns')
    return '/'.join(parts)


def _command(text):
    if not text:
        raise ValueError('empty command')
    return text


_READERS = {'exec': _command, 'kill': _command, 'd_fetch': _d_fetch, 'timeout': seconds,
            'retries': count,
            'retry_on': _retry_on, 'slots': positive, 'priority': priority, 'category': str,
            'hosts': str, 'memory': size,
            'disk': size, 'sbatch': sbatch_options.checked}


def parse_desc(text, origin, default_retries, overrides=()):
    """Return the Desc of a desc file's text.

    overrides: (key, text, origin), which replace values of the file.
    Raises UsageError with the number of the line.
    """
    values, seen = {'retries': default_retries}, set()
    for where, key, value in _desc_lines(text, origin):
        if key in seen:
            raise UsageError('%s: duplicate key %s' % (where, key))
        seen.add(key)
        values[key] = _read_value(key, value, where)
    values.update((key, _read_value(key, value, where)) for key, value, where in overrides)
    if 'exec' not in values:
        raise UsageError('%s: no exec line' % origin, 'exec : the command that the task runs')
    return Desc(**values)


def origins(text, origin, overrides=()):
    """Return {key: origin of its value, for error messages} of a desc file's text and overrides."""
    found = {key: where for where, key, _value in _desc_lines(text, origin)}
    found.update((key, where) for key, _value, where in overrides)
    return found


def _desc_lines(text, origin):
    """Yield (origin, key, value), as text, of each line above the free text.  Raises UsageError."""
    for number, line in enumerate(text.lstrip('\ufeff').splitlines(), 1):
        if line.strip() == '---':
            return
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        where = '%s:%d' % (origin, number)
        key, colon, value = line.partition(':')
        if not colon or '\0' in line:
            raise UsageError('%s: expected key : value' % where,
                             'put free text below a line "---"')
        yield where, key.strip(), value.strip()


def _read_value(key, value, where):
    if key not in _READERS:
        raise UsageError('%s: unknown key %s' % (where, printable(key)),
                         nearest(key, _READERS, 'the keys are: ' + ' '.join(_READERS)))
    try:
        return _READERS[key](value)
    except ValueError as error:
        raise UsageError('%s: %s: %s' % (where, key, error))


# -- names and ids ---------------------------------------------------------------------------------


def check_name(name, hint='expected the name of a folder in description/, not a path'):
    """Raise UsageError unless name can be the name of a task, or of a folder in description/."""
    if not re.fullmatch(r'[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}', name, re.ASCII):
        raise UsageError('bad task name %s' % printable(name), hint)


def format_id(number):
    """Return a task's id as lwt prints and accepts it: short, and in the order of adding."""
    return '%06d' % number


def match_ids(text, numbers):
    """Return the task numbers that an id typed by a user may mean.

    That is the task with this number.  If there is none, or if the text is shorter than an id and
    begins with 0, all tasks whose ids begin with the text count as well.
    Raises UsageError.
    """
    if not re.fullmatch(r'\d{1,12}', text, re.ASCII):
        raise UsageError('bad task id %s' % printable(text),
                         'lwt task show lists the ids')
    exact = [number for number in numbers if number == int(text)]
    if exact and (len(text) >= 6 or not text.startswith('0')):
        return exact
    return (exact
            + [number
               for number in numbers if format_id(number).startswith(text) and number not in exact])


class Kind(NamedTuple):
    """What the tasks of a batch have in common, besides their name, input and desc.

    split: how their values are divided, see placeholders.  source: see additions.TaskSource.
    max_fails: number of failures after which the rest of the addition is held; 0 for no limit.
    """

    split: str = ''
    source: str = ''
    max_fails: int = 0


# -- what a host is given --------------------------------------------------------------------------


class Task(NamedTuple):
    """A task as it is stored.  Times are seconds since 1970, or None if not reached.

    uuid: 32 random hex digits.  input: the name of its folder under task/.
    arg: its value of --each, --array or --param, or None.  attempt: 1 for the first.
    end: how the attempt ended, while its results are being fetched.
    host, home, boot: where it is, stored because a host may leave the list while its task runs.
    failures: attempts that counted against retries.
    avoid: hosts on which an attempt failed or could not be started, separated by blanks.
    after: what it waits for, separated by blanks: see tasks.predecessors.
    wall, cpu: seconds of the attempt as its host measured them, or None.
    split: how its value is divided, see tasks.placeholders.
    """

    id: int
    uuid: str
    name: str
    input: str
    arg: str
    desc: Desc
    state: str
    outcome: str
    attempt: int
    end: str
    host: str
    home: str
    category: str
    boot: str
    host_id: str
    code: int
    reason: str
    failures: int
    added: float
    started: float
    ended: float
    avoid: str = ''
    after: str = ''
    wall: Optional[float] = None
    cpu: Optional[float] = None
    split: str = ''

    @property
    def key(self):
        """The name of its directory on a host; different for each attempt."""
        return '%s.%d' % (self.uuid, self.attempt)

    @property
    def title(self):
        """Its name and, if it has one, its value: sweep 7."""
        return self.name if self.arg is None else '%s %s' % (self.name, shown_value(self.arg))

    @property
    def label(self):
        """How messages name it: 000012 sweep 7."""
        return '%s %s' % (format_id(self.id), self.title)


MAX_SHOWN_VALUE = 60        # characters of a value in messages and tables; JSON has all of it


def shown_value(value, limit=MAX_SHOWN_VALUE):
    """Return a value of a task as one line for messages and tables."""
    text = value if len(value) <= limit else value[:limit - 1] + '…'
    return ''.join(char if char.isprintable() else '?' for char in text)


# -- how a task ended, in words --------------------------------------------------------------------


def end_reason(end, code, reason, timeout):
    """Return why an attempt did not succeed: 'exit code 1', 'timeout after 30 s' or the given
    reason.

    end: one of OUTCOMES, or 'withdrawn'.  code: its exit code or None.  timeout: its limit in
        seconds.
    """
    known = ''
    if end == 'failed' and code:
        known = 'exit code %d' % code
    elif end == 'timeout':
        known = 'timeout after %s s' % plain_seconds(timeout) if timeout else 'timeout'
    return '; '.join(filter(None, (known, reason)))


def reason_text(task):
    """Return the reason of a task's failure, or why it waits; '' if there is none."""
    if task.outcome or task.state == 'fetching':
        return end_reason(task.outcome or task.end, task.code, task.reason, task.desc.timeout)
    if task.state == 'new' and task.end in RETRYABLE:
        return 'previous attempt: ' + (
            end_reason(task.end, task.code, task.reason, task.desc.timeout) or task.end)
    return task.reason


def end_text(task, end, code, reason):
    """Return how an attempt of a task ended: success on h1, failed on h1 (exit code 1).

    task: as it was during the attempt.  end, code, reason: as in end_reason.
    """
    where = ' on ' + task.host if task.host else ''
    if end == 'timeout':
        return end_reason(end, code, '', task.desc.timeout) + where + _in_brackets(reason)
    word = 'not started' if end == 'withdrawn' else end
    return word + where + _in_brackets(end_reason(end, code, reason, task.desc.timeout))


def _in_brackets(text):
    return ' (%s)' % text if text else ''


def command_text(command, arg, input_files, split=''):
    """Return what sh runs for exec or kill.

    Placeholders stand for the task's value.  If the first word names a file of the folder, it means
    that file, with or without ./, as in the older system.
    """
    text = placeholders.filled(command, arg, split)
    means_file = file_word(text) in input_files and not text.startswith('./')
    # The runner has variables of its own, so only the command gets those of the task.
    return placeholders.variables(arg, split) + ('./' + text if means_file else text) + '\n'


def file_word(command):
    """Return the first word of a command line without its ./, if it may name a file at the top of
    the task's folder; otherwise ''.
    """
    match = re.match(r'(?:\./)?([A-Za-z0-9_.+-]+)(?=\s|$)', command)
    return match.group(1) if match else ''


def clock_steps(timeout):
    """Return the steps, in seconds, in which the runner waits for a timeout.

    There are at most twenty, of whole seconds if the timeout is long enough.
    """
    step = max(1, -(-int(timeout) // 20))
    whole = min(19, int(timeout) // step)
    return [step] * whole + [timeout - step * whole] * (timeout > step * whole)


def settings_text(task, grace):
    """Return the sh file that the runner reads: the limits, and the environment of the task."""
    exports = {'LWT_ID': task.key, 'LWT_TASK': format_id(task.id), 'LWT_ATTEMPT': str(task.attempt),
               'LWT_HOST': task.host}
    if task.arg is not None:
        exports['LWT_ARG'] = task.arg
    lines = ['task_timeout=' + plain_seconds(task.desc.timeout), 'task_grace=%d' % math.ceil(grace),
             "task_clock='%s'" % ' '.join(map(plain_seconds, clock_steps(task.desc.timeout)))]
    lines += ['export %s=%s' % (name, shlex.quote(value)) for name, value in exports.items()]
    return '\n'.join(lines) + '\n'
