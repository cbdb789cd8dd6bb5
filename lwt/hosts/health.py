"""Health: when a failing host is quarantined, and when it is tried again.  Pure.

  ok        no failures
  doubtful  it failed; it is tried again when its retry is due, and one success makes it ok
  out       quarantined: it failed too often, or in a way that only a person can fix; it gets no
            new task and is tried again with growing delays; enough consecutive successes end the
            quarantine
  held      a person excluded it, and only a person takes it back

Failures count in two ways.  Consecutive failures show a host that is down.  In addition, each
failure adds 1 to a penalty, which decays with time and not with successes.  It shows a host that
answers every other time and so never has many consecutive failures.  Either leads to quarantine.

A host may answer logins and still be unable to run tasks: see is_suspect.  Then logins prove
nothing, so successes count only after the first delay.
"""

from typing import NamedTuple

from lwt.hosts import clocks

STATES = ('ok', 'doubtful', 'out', 'held')
EVENTS = ('good', 'bad', 'grave', 'suspect', 'hold', 'release')
NEEDS_A_PERSON = ('auth', 'hostkey')    # the classes of failure that only a person can fix
TRANSPORT = ('refused', 'timeout', 'dns', 'lost') + NEEDS_A_PERSON
TASKS = 'tasks'         # the kind of a host on which tasks fail that succeed on other hosts
HALF_LIFE = 300.0       # seconds in which a penalty decays to its half
# Number of tasks in a row that fail; how improbable that must be for a host like the others.
FEWEST_TASKS, ODD = 3, 0.02
ODD_REPEATED = 1e-6     # the same, if the same failure occurs on other hosts as well
MOST_PENDING = 5        # failed tasks that wait for another attempt; more than these count
TASKS_WINDOW = 3600.0   # seconds for which the end of a task counts for or against its host
# Seconds between retries of a host with tasks on it, whose results must be fetched.
BUSY_WAIT, BUSY_LONGEST = 5.0, 60.0


class Rules(NamedTuple):
    """The options of quarantine.

    after: consecutive failures that quarantine a host.
    good: consecutive successes that end the quarantine.
    wait, longest: seconds to the first retry, and at most to any retry.
    """

    after: int = 3
    good: int = 2
    wait: float = 15.0
    longest: float = 3600.0

    @property
    def most(self):
        """The longest delay in seconds; delays are varied by a quarter."""
        return 1.25 * max(self.wait, self.longest)


class Health(NamedTuple):
    """The health of a host.

    state: one of STATES.
    failures, goods: consecutive failures and successes.
    penalty: see the module.
    kind, reason: of the last failure; for a held host, the reason that the person gave.
    since: when it entered its state; failed: when it last failed; retry: when it may be tried
    again; in seconds since 1970.
    """

    host: str
    state: str = 'ok'
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
        """Return True if the host may get new tasks."""
        return self.state in ('ok', 'doubtful')

    def is_due(self, now, is_busy, numbers=Rules()):
        """Return True if the host may be tried now.

        is_busy: there is a task on it, or something to be removed from it.
        """
        if self.state == 'held':
            return is_busy
        busy_wait = min(BUSY_LONGEST, BUSY_WAIT * 2.0 ** min(30, self.failures - 1))
        due = min(self.retry, self.failed + busy_wait) if is_busy else self.retry
        return clocks.is_due(due, now, numbers.most)


def rules(settings):
    """The Rules of Settings."""
    return Rules(settings.quarantine_after, settings.quarantine_good, settings.quarantine_wait,
                 settings.quarantine_longest)


def counts(verdict):
    """How a Verdict counts for its host: 'ok', the class of a failure to reach it, or '' (not).

    A command that ended counts as ok, whatever its exit code.  So does a timeout of a command,
    because it had begun.
    """
    if (verdict.kind in TRANSPORT
        and not (verdict.kind == 'timeout' and verdict.code == 124
                 and 'stalled' not in verdict.reason)):
        return verdict.kind
    return '' if verdict.kind == 'killed' or (verdict.ran == 'no' and verdict.code == 127) else 'ok'


def observe(health, kind, reason, now, numbers, die):
    """The Health after an operation.

    kind: 'ok' or a class of TRANSPORT.
    die: a random number from 0 to 1, which varies the delay.
    """
    event = 'good' if kind == 'ok' else 'grave' if kind in NEEDS_A_PERSON else 'bad'
    found = STEPS[health.state, event](health, now, numbers, die)
    if event == 'good' or health.state == 'held':
        return found
    if _is_distrusted(health, now, numbers):
        # It was quarantined because of tasks; a failed login does not change that.
        return found._replace(retry=max(health.retry, found.retry))
    return found._replace(kind=kind, reason=reason)


def hold(health, reason, now):
    """The Health of a host that a person excludes."""
    return STEPS[health.state, 'hold'](health._replace(reason=reason), now, Rules(), 0.0)


def release(health, now):
    """The Health of a host that a person takes back: all failures are forgotten."""
    return STEPS[health.state, 'release'](health, now, Rules(), 0.0)


def suspect(health, reason, now, numbers, die):
    """The Health of a host on which tasks fail because of the host."""
    if health.state != 'held':
        health = health._replace(kind=TASKS, reason=reason)
    return STEPS[health.state, 'suspect'](health, now, numbers, die)


class TaskEnd(NamedTuple):
    """How an attempt ended on a host.

    end: an outcome or 'withdrawn'.  is_open: whether its task is not done yet.
    added: when the task was queued, in seconds since 1970.
    """

    task: int
    name: str
    end: str
    code: int
    reason: str
    is_open: bool
    added: float


def own_failures(ends):
    """The TaskEnds that the host may have caused.

    Not among them: a timeout of the task, a kill, and a task that was withdrawn because a pass or
    a connection ended.
    """
    return [one for one in ends if one.end in ('failed', 'lost')
            or one.end == 'withdrawn' and one.reason]


def suspicion(ends, own, alike):
    """(in_a_row, good, bad) if tasks failed because of the host, else None.

    ends: the own_failures of the host.
    own: {task: its ends on other hosts}.
    alike: {(name, end, code): number} of attempts on other hosts, since the tasks were added.

    A task that also fails on another host does not count.  Nor does one that waits for another
    attempt, unless there are many.  If other tasks fail in the same way on other hosts, the tasks
    are the more likely cause, so more failures are needed to blame the host.
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
    """Return True if tasks most likely failed because of the host.

    in_a_row: the number of different tasks that failed on it, without a success between them.
    good, bad: the number of attempts of the same names on other hosts that succeeded, and failed.

    Tasks that often fail may fail in a row on any host.  What counts is how improbable that is at
    the rate of failure on the other hosts.
    """
    rate = (bad + 1) / (good + bad + 2)
    return in_a_row >= FEWEST_TASKS and good > 0 and rate ** in_a_row < odd


def faded(health, now):
    """The penalty of a host now."""
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
    return health._replace(state='ok', failures=0, goods=0, since=now, retry=0.0)


def _is_distrusted(health, now, numbers):
    """Return True if it is quarantined because of tasks and its retry is not due."""
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
    ('ok', 'good'): _stay, ('doubtful', 'good'): _clear, ('out', 'good'): _earn,
    ('held', 'good'): _stay,
    ('ok', 'bad'): _fail, ('doubtful', 'bad'): _fail, ('out', 'bad'): _fail,
    ('held', 'bad'): _stay,
    ('ok', 'grave'): _expel, ('doubtful', 'grave'): _expel, ('out', 'grave'): _expel,
    ('held', 'grave'): _stay,
    ('ok', 'suspect'): _distrust, ('doubtful', 'suspect'): _distrust, ('out', 'suspect'): _stay,
    ('held', 'suspect'): _stay,
    ('ok', 'hold'): _hold, ('doubtful', 'hold'): _hold, ('out', 'hold'): _hold,
    ('held', 'hold'): _hold,
    ('ok', 'release'): _forgive, ('doubtful', 'release'): _forgive, ('out', 'release'): _forgive,
    ('held', 'release'): _forgive,
}
