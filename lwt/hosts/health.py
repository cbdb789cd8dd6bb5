"""Health: when a failing host is quarantined, and when it is asked again.  Pure.

  well      nothing is against it
  doubtful  it failed; it is left alone until its retry is due, and one good answer makes it well
  out       in quarantine: it failed too often, or in a way that no waiting cures; it gets no new
            task, is tried again as its
            retries come due, each later than the one before, and is back after enough good answers
            in a row
  held      a person put it out, and only a person puts it back

Failures count in two ways.  Those in a row show a host that is gone.  Beside them there is a
penalty, one for each failure, that fades with time and not by good answers: it shows a host that
flaps, which answers every other time and so never fails often in a row.  Either throws it out.

A host may be reached well and yet be no place for tasks: see is_suspect.  That it answers proves
nothing then, so good answers count only once its time is over.
"""

from typing import NamedTuple

from lwt.hosts import clocks

STATES = ('well', 'doubtful', 'out', 'held')
EVENTS = ('good', 'bad', 'grave', 'suspect', 'hold', 'release')
NEEDS_A_PERSON = ('auth', 'hostkey')    # the classes of failure that no waiting cures
TRANSPORT = ('refused', 'timeout', 'dns', 'lost') + NEEDS_A_PERSON
TASKS = 'tasks'         # the kind of a host on which tasks end badly that end well elsewhere
HALF_LIFE = 300.0       # seconds in which half of a penalty fades
# Tasks in a row that end badly; how improbable that must be if the host were like the others.
FEWEST_TASKS, ODD = 3, 0.02
ODD_REPEATED = 1e-6     # the same, where the same failure is seen on other hosts as well
MOST_PENDING = 5        # tasks in a row that will be tried elsewhere, before they count
TASKS_WINDOW = 3600.0   # seconds for which the end of a task says something of its host
# Seconds to the retries of a host with tasks on it: there is something to bring home.
BUSY_WAIT, BUSY_LONGEST = 5.0, 60.0


class Rules(NamedTuple):
    """The numbers: failures that throw a host out, good answers that bring it back; seconds to its
    first and longest retry.
    """

    after: int = 3
    good: int = 2
    wait: float = 15.0
    longest: float = 3600.0

    @property
    def most(self):
        """The longest delay, in seconds: the retries of hosts are spread by a quarter."""
        return 1.25 * max(self.wait, self.longest)


class Health(NamedTuple):
    """How a host is.  failures, goods: in a row.  kind, reason: of its last failure, or a person's
    reason.

    since: when it came into its state; failed: when it last failed; retry: when it may be asked
    again; seconds since 1970.
    """

    host: str
    state: str = 'well'
    failures: int = 0
    goods: int = 0
    penalty: float = 0.0
    kind: str = ''
    reason: str = ''
    since: float = 0.0
    failed: float = 0.0
    retry: float = 0.0

    @property
    def takes_tasks(self):
        """May it get new tasks?"""
        return self.state in ('well', 'doubtful')

    def is_due(self, now, is_busy, numbers=Rules()):
        """May it be asked now?  is_busy: there is a task on it, or something to be removed."""
        if self.state == 'held':
            return is_busy
        busy_wait = min(BUSY_LONGEST, BUSY_WAIT * 2.0 ** min(30, self.failures - 1))
        due = min(self.retry, self.failed + busy_wait) if is_busy else self.retry
        return clocks.is_due(due, now, numbers.most)


def rules(settings):
    """The Rules that the options say."""
    return Rules(settings.quarantine_after, settings.quarantine_good, settings.quarantine_wait,
                 settings.quarantine_longest)


def counts(verdict):
    """'ok', the class of a failure of the way to a host, or '' for what says nothing about it.

    A command's own end, whatever its code, is a good answer; so is its time-out, for it had begun.
    """
    if (verdict.kind in TRANSPORT
        and not (verdict.kind == 'timeout' and verdict.code == 124
                 and 'stalled' not in verdict.reason)):
        return verdict.kind
    return '' if verdict.kind == 'killed' or (verdict.ran == 'no' and verdict.code == 127) else 'ok'


def observe(health, kind, reason, now, numbers, die):
    """The Health after an operation that ended with a kind: 'ok' or a class of TRANSPORT.  die:
    from 0 to 1.
    """
    event = 'good' if kind == 'ok' else 'grave' if kind in NEEDS_A_PERSON else 'bad'
    found = STEPS[health.state, event](health, now, numbers, die)
    if event == 'good' or health.state == 'held':
        return found
    if _is_distrusted(health, now, numbers):
        # That it cannot be reached either does not end what the tasks told of it.
        return found._replace(retry=max(health.retry, found.retry))
    return found._replace(kind=kind, reason=reason)


def hold(health, reason, now):
    """The Health of a host that a person puts out."""
    return STEPS[health.state, 'hold'](health._replace(reason=reason), now, Rules(), 0.0)


def release(health, now):
    """The Health of a host that a person puts back: nothing is held against it any more."""
    return STEPS[health.state, 'release'](health, now, Rules(), 0.0)


def suspect(health, reason, now, numbers, die):
    """The Health of a host on which tasks end badly."""
    if health.state != 'held':
        health = health._replace(kind=TASKS, reason=reason)
    return STEPS[health.state, 'suspect'](health, now, numbers, die)


class TaskEnd(NamedTuple):
    """How an attempt ended on a host.

    end: an outcome or 'withdrawn'.  is_open: is its task not done yet?  added: when it was queued.
    """

    task: int
    name: str
    end: str
    code: int
    reason: str
    is_open: bool
    added: float


def own_failures(ends):
    """Those TaskEnds that may be the host's fault: not a time-out of the task, not a kill, and not
    what was withdrawn because a pass or a connection ended."""
    return [one for one in ends if one.end in ('failed',
                                               'lost') or one.end == 'withdrawn' and one.reason]


def suspicion(ends, own, alike):
    """(in_a_row, good, bad) if it is the host's fault that tasks ended badly there, else None.

    ends: its own_failures.  own: {task: its ends on other hosts}.  alike: {(name, end, code): how
    often} on other hosts, since the tasks were added.

    A task that ends badly elsewhere as well says nothing about this host.  Neither does one that is
    still to be tried elsewhere, unless there are many.  Where other tasks fail in the same way on
    other hosts, the failure is most likely that of the tasks, and takes more to blame the host.
    """
    ends = [one for one in ends if not own.get(one.task, set()) - {'success', 'killed'}]
    pending = {one.task for one in ends if one.is_open and one.task not in own}
    if len(pending) <= MOST_PENDING:
        ends = [one for one in ends if one.task not in pending]
    tasks = {one.task for one in ends}
    fresh = {one.task for one in ends if not alike.get((one.name, one.end, one.code))}
    good = sum(times for (_name, end, _code), times in alike.items() if end == 'success')
    bad = sum(alike.values()) - good
    if is_suspect(len(fresh), good, bad) or is_suspect(len(tasks), good, bad, ODD_REPEATED):
        return len(tasks), good, bad
    return None


def is_suspect(in_a_row, good, bad, odd=ODD):
    """Is it the host's fault that tasks ended badly there?

    in_a_row: how many different tasks did, the last ones there, without a success between them.
    good, bad: how many of the same names ended well, and badly, on other hosts meanwhile.  Tasks
    that often end badly may do so in a row anywhere: what counts is how odd that would be, by what
    is seen elsewhere.
    """
    rate = (bad + 1) / (good + bad + 2)
    return in_a_row >= FEWEST_TASKS and good > 0 and rate ** in_a_row < odd


def faded(health, now):
    """What is left of its penalty."""
    return health.penalty * 0.5 ** ((now - clocks.not_later(health.failed, now)) / HALF_LIFE)


def _stay(health, _now, _numbers, _die):
    return health


def _fail(health, now, numbers, die):
    penalty, failures = faded(health, now) + 1, health.failures + 1
    is_out = health.state == 'out' or max(failures, penalty) >= numbers.after
    state = 'out' if is_out else 'doubtful'
    pause = min(numbers.longest, numbers.wait * 2.0 ** min(30, max(failures, int(penalty)) - 1))
    return health._replace(state=state, failures=failures, goods=0, penalty=penalty, failed=now,
                           since=health.since if state == health.state else now,
                           retry=now + pause * (0.75 + die / 2))


def _expel(health, now, numbers, die):
    failed = _fail(health, now, numbers, die)
    return failed._replace(state='out', since=health.since if health.state == 'out' else now,
                           retry=now + numbers.longest * (0.75 + die / 2))


def _distrust(health, now, numbers, die):
    penalty = faded(health, now) + numbers.after
    pause = min(numbers.longest, numbers.wait * 2.0 ** min(30, int(penalty)))
    return health._replace(state='out', goods=0, penalty=penalty, failed=now, since=now,
                           retry=now + pause * (0.75 + die / 2))


def _clear(health, now, _numbers, _die):
    return health._replace(state='well', failures=0, goods=0, since=now, retry=0.0)


def _is_distrusted(health, now, numbers):
    """Is it out because tasks end badly there, and its time not over?"""
    return (health.state == 'out' and health.kind == TASKS
            and not clocks.is_due(health.retry, now, numbers.most))


def _earn(health, now, numbers, die):
    if _is_distrusted(health, now, numbers):
        return health
    if health.goods + 1 >= numbers.good:
        return _clear(health, now, numbers, die)
    return health._replace(goods=health.goods + 1, retry=now + numbers.wait * (0.75 + die / 2))


def _hold(health, now, _numbers, _die):
    return health._replace(state='held', kind='', since=now, retry=0.0)


def _forgive(health, now, _numbers, _die):
    return Health(health.host, since=now)


STEPS = {
    ('well', 'good'): _stay, ('doubtful', 'good'): _clear, ('out', 'good'): _earn,
    ('held', 'good'): _stay,
    ('well', 'bad'): _fail, ('doubtful', 'bad'): _fail, ('out', 'bad'): _fail,
    ('held', 'bad'): _stay,
    ('well', 'grave'): _expel, ('doubtful', 'grave'): _expel, ('out', 'grave'): _expel,
    ('held', 'grave'): _stay,
    ('well', 'suspect'): _distrust, ('doubtful', 'suspect'): _distrust, ('out', 'suspect'): _stay,
    ('held', 'suspect'): _stay,
    ('well', 'hold'): _hold, ('doubtful', 'hold'): _hold, ('out', 'hold'): _hold,
    ('held', 'hold'): _hold,
    ('well', 'release'): _forgive, ('doubtful', 'release'): _forgive, ('out', 'release'): _forgive,
    ('held', 'release'): _forgive,
}
