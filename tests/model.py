"""A model of one task on an unreliable world, for a search through everything that can happen.

The master's side is the real one: the table of lwt/tasks/model.py, what a state asks of a host, how
an attempt ended and what follows. The host's side says what sh/control.sh and sh/run.sh promise.
Between them everything goes wrong: lwt is killed between any two steps, an answer is lost, a
request arrives late, or again, after others; the task ends, or dies; the host starts anew and may
forget what it had not synced; the user kills, suspends and resumes at any time.

A request, once sent, may arrive any number of times at any later moment.  Attempts are two at most:
the search ends there.
"""

import collections
from typing import NamedTuple

from lwt.tasks import model

DESC = model.Desc('true', retries=1, retry_on=('lost',))
ATTEMPTS = 2
# What changes something where it arrives; "poll" does not.
PLAIN = ('launch', 'withdraw', 'cancel', 'suspend', 'resume', 'clean')


class There(NamedTuple):
    """An attempt on its host.  fate: '', 'run' or 'cancel'; process: '', 'runs', 'stopped' or
    'gone'; end: the recorded end; runners: launched, and not decided yet; starts: how often the
    command was started.
    """

    is_there: bool = False
    has_results: bool = False
    fate: str = ''
    process: str = ''
    end: str = ''
    runners: int = 0
    starts: int = 0


class World(NamedTuple):
    """Everything.  state, attempt, end, failures, boot: the task's row; home: attempts whose
    results are here; leftovers: those that are to be cleaned; said: how attempts ended, as far as
    the master says; call: the request whose answer is waited for, and the state in which it was
    sent; sent: all that may still arrive; boots: how often the host started.
    """

    state: str = 'new'
    attempt: int = 1
    end: str = ''
    failures: int = 0
    boot: int = 0
    outcome: str = ''
    home: frozenset = frozenset()
    leftovers: frozenset = frozenset()
    said: tuple = ()
    call: tuple = None
    sent: frozenset = frozenset()
    there: tuple = (There(),) * ATTEMPTS
    boots: int = 0
    wishes: int = 0


class Rules(NamedTuple):
    """What may be broken, to see that the search finds it.  table: the automaton; tombstones:
    cleaning keeps the fate; claims: a runner starts only what is undecided; spares: a withdrawal
    ends nothing that runs; knows_boot: launch and cancel look at the boot id; power: the host may
    start anew; wishes: how many of a user's.
    """

    table: dict = model.TRANSITIONS
    tombstones: bool = True
    claims: bool = True
    spares: bool = True
    knows_boot: bool = True
    power: bool = False
    wishes: int = 1


def change(world, attempt, **changes):
    """The world with an attempt on its host changed."""
    there = list(world.there)
    there[attempt - 1] = there[attempt - 1]._replace(**changes)
    return world._replace(there=tuple(there))


# -- the host --------------------------------------------------------------------------------------


def arrive(world, request, rules):
    """(the world after a request arrived, the host's answer).  request: (verb, attempt, boot, with
    what it needs?).
    """
    after, answer = done(world, request, rules)
    is_forgetful = answer == 'cancelled' and rules.knows_boot and request[2] != world.boots
    return after, 'rebooted' if is_forgetful else answer


def done(world, request, rules):
    """The same, for a host that forgets nothing."""
    verb, attempt, boot, is_whole = request
    here = world.there[attempt - 1]
    is_same_boot = boot == world.boots or not rules.knows_boot
    if verb == 'launch':
        if not here.is_there and is_whole:
            world = change(world, attempt, is_there=True)
        here = world.there[attempt - 1]
        if here.is_there and not (here.fate and rules.claims) and not here.end:
            if not is_same_boot:
                return world, 'rebooted'
            if here.runners < 2:
                world = change(world, attempt, runners=here.runners + 1)
    elif verb in ('withdraw', 'cancel'):
        return cancel(world, attempt, verb == 'withdraw' and rules.spares)
    elif verb == 'suspend' and here.is_there:
        if not here.fate:
            return cancel(world, attempt)
        if here.process == 'runs':
            world = change(world, attempt, process='stopped')
    elif verb == 'resume' and here.process == 'stopped':
        world = change(world, attempt, process='runs')
    elif verb == 'clean':
        return clean(world, attempt, rules), 'cleaned'
    return world, report(world, attempt, verb)


def cancel(world, attempt, spares=False):
    """A cancel: decided, or what runs is ended, unless it is to be spared."""
    here = world.there[attempt - 1]
    if not here.fate:
        return change(world, attempt, is_there=True, fate='cancel'), 'cancelled'
    if here.process in ('runs', 'stopped') and not spares:
        world = change(world, attempt, process='gone', end='killed')
    return world, report(world, attempt, 'cancel')


def clean(world, attempt, rules):
    """What is removed; what tells that it ran is kept."""
    if not rules.tombstones:
        return change(world, attempt, is_there=False, has_results=False, fate='', end='',
                      process='')
    here = world.there[attempt - 1]
    return change(world, attempt, has_results=False,
                  fate=here.fate or ('cancel' if here.is_there else ''))


def report(world, attempt, verb):
    """What a host says of an attempt."""
    here = world.there[attempt - 1]
    if not here.is_there:
        return 'absent'
    if here.end:
        return 'exited ' + here.end
    if not here.fate:
        return 'waiting'
    if here.fate == 'cancel':
        return 'cancelled'
    if here.process == 'lost':
        return 'rebooted'
    if here.process == 'gone':
        return 'died'
    return 'suspended' if verb == 'suspend' else 'running'


def of_host(world, rules):
    """What happens on the host by itself: (label, world)."""
    for attempt, here in enumerate(world.there, 1):
        if here.runners:
            after = change(world, attempt, runners=here.runners - 1)
            if here.is_there and (not here.fate or not rules.claims) and not here.end:
                after = change(after, attempt, fate='run', process='runs', has_results=True,
                               starts=min(2, here.starts + 1))
            yield 'a runner of attempt %d decides' % attempt, after
        if here.process == 'runs':
            yield 'attempt %d ends' % attempt, change(world, attempt, process='gone', end='0')
            yield 'attempt %d dies' % attempt, change(world, attempt, process='gone')
    if rules.power and not world.boots:
        for forgets in (False, True):
            after = world._replace(boots=1)
            for attempt, here in enumerate(world.there, 1):
                lost = 'lost' if here.process in ('runs', 'stopped') else here.process
                after = change(after, attempt, runners=0, process=lost)
                if forgets and here.process in ('runs', 'stopped'):
                    after = change(after, attempt, fate='', process='')
            yield 'the host starts anew' + ' and forgets' * forgets, after


# -- the master ------------------------------------------------------------------------------------


def as_task(world):
    """The task's row, as lwt.tasks.model wants it."""
    return model.Task(1, 'ab' * 16, 'name', 'input', None, DESC, world.state, world.outcome,
                      world.attempt, world.end, 'h', '~',
                      '', str(world.boot), '', None, '', world.failures, 0.0, None, None)


def of_master(world, rules):
    """What lwt may do next: (label, world)."""
    if world.call is not None:
        yield 'lwt is killed, or the answer is lost', world._replace(call=None)
        return
    if world.state == 'new':
        again = ((world.attempt, 'again', ''),) * any(request[:2] == ('launch', world.attempt)
                                                      for request in world.sent)
        placed = world._replace(said=world.said + again, state=rules.table['new', 'place'],
                                boot=world.boots, end='')
        yield 'placed', placed
        yield 'placed and launched', send(placed, ('launch', world.attempt, world.boots, True))
    if world.state in model.ASKED:
        yield model.ASKED[world.state], send(
            world, (model.ASKED[world.state], world.attempt, world.boot, False))
    for attempt in world.leftovers:
        yield 'clean', send(world, ('clean', attempt, world.boots, False))
    if world.state == 'fetching' and world.attempt in world.home:
        yield 'settled: it is home', settle(world, 'fetched', world.end)


def send(world, request):
    sent = world.sent | {request} if request[0] in PLAIN else world.sent
    return world._replace(call=(request, world.state), sent=sent)


def of_user(world, rules):
    """What a user may wish."""
    if world.wishes < rules.wishes:
        for wish in ('kill', 'suspend', 'resume'):
            state = rules.table.get((world.state, wish))
            after = world._replace(wishes=world.wishes + 1)
            if state == model.SETTLE:
                yield wish, settle(after, wish, 'killed')
            elif state is not None:
                yield wish, after._replace(state=state)


def answered(world, answer, rules):
    """The world after lwt took the answer to its call."""
    (verb, attempt, _boot, _whole), state = world.call
    world = world._replace(call=None)
    if verb == 'clean':
        return world._replace(leftovers=world.leftovers - {attempt})
    if (world.state, world.attempt) != (state, attempt):
        return world                    # a user changed it meanwhile
    word, _space, detail = answer.partition(' ')
    event = model.event_of(word, state)
    if state == 'fetching' and event != 'absent':
        return (world._replace(home=world.home | {attempt})
                if world.there[attempt - 1].has_results or not gone(world) else world)
    if (state, event) not in rules.table:
        return world
    after = rules.table[state, event]
    end, _code = model.ending(event, detail, state)
    if after == model.SETTLE:
        return settle(world, event, end)
    failures = DESC.retries if state == 'killing' else world.failures
    return (world._replace(state=after, end=end, failures=failures) if after == 'fetching'
            else world._replace(state=after))


def gone(world):
    """Was something here of the current attempt that is not any more?"""
    here = world.there[world.attempt - 1]
    return bool(here.starts) and not here.has_results


def settle(world, event, end):
    """The attempt is over."""
    task = as_task(world)
    state, failures, _reason = model.conclude(end, task, model.Past())
    leftovers = (world.leftovers if event in ('absent', 'kill')
                 else world.leftovers | {world.attempt})
    world = world._replace(said=world.said + ((world.attempt, end, event),), leftovers=leftovers,
                           failures=failures, end='')
    if state == 'done' or world.attempt == ATTEMPTS:
        return world._replace(state='done', outcome=end)
    return world._replace(state=state, attempt=world.attempt + 1)


# -- the search ------------------------------------------------------------------------------------


def successors(world, rules):
    """All that may happen next: (label, world)."""
    yield from of_master(world, rules)
    yield from of_user(world, rules)
    yield from of_host(world, rules)
    for request in world.sent:
        yield 'arrives: %s %d' % request[:2], arrive(world, request, rules)[0]
    if world.call is not None:
        after, answer = arrive(world, world.call[0], rules)
        yield '%s answered: %s' % (world.call[0][0], answer), answered(after, answer, rules)


def violation(world):
    """What is wrong with a world, or ''."""
    for attempt, here in enumerate(world.there, 1):
        if here.starts > 1:
            return 'attempt %d was started twice' % attempt
    for attempt, end, event in world.said:
        here = world.there[attempt - 1]
        if end == 'withdrawn' and here.starts:
            return 'attempt %d is said not to have run, and has' % attempt
        if end == 'success' and here.end != '0':
            return 'attempt %d is said to be a success' % attempt
        if end == 'again':
            return 'attempt %d was placed twice' % attempt
        if end == 'killed' and not world.wishes:
            return 'attempt %d is said to be killed, and nobody wished it' % attempt
        if event != 'absent' and here.process in ('runs', 'stopped'):
            return 'attempt %d is settled, and runs' % attempt
        if end in ('success', 'failed') and attempt not in world.home:
            return 'attempt %d is settled without its results' % attempt
    if world.state == 'fetching' and world.attempt not in world.home and gone(world):
        return 'the results are gone before they were fetched'
    return ''


class Found(NamedTuple):
    """What a search came to.  worlds: how many there are; problem: the first violation, or '';
    trace: how it came to that; stuck: a world from which nothing leads to an end.
    """

    worlds: int
    problem: str
    trace: tuple
    stuck: World


def search(rules=Rules(), start=World()):
    """Go through everything that can happen, the shortest ways first; returns a Found."""
    came, queue, before = {start: None}, collections.deque([start]), collections.defaultdict(list)
    while queue:
        world = queue.popleft()
        for label, after in successors(world, rules):
            before[after].append(world)
            if after not in came:
                came[after] = (world, label)
                if violation(after):
                    return Found(len(came), violation(after), _trace(came, after), None)
                queue.append(after)
    return Found(len(came), '', (), _stuck(came, before))


def _trace(came, world):
    labels = []
    while came[world] is not None:
        world, label = came[world]
        labels.append(label)
    return tuple(reversed(labels))


def _stuck(came, before):
    """A world from which there is no way to where it is done, or waits for its user; or None."""
    good = [world for world in came if world.state in ('done', 'held', 'suspended')]
    reached = set(good)
    while good:
        for world in before[good.pop()]:
            if world not in reached:
                reached.add(world)
                good.append(world)
    return next((world for world in came if world not in reached), None)
