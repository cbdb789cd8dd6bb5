"""A model of one task on an unreliable world, for a search through all possible histories.

The master's side is the real one: the table of lwt/tasks/model.py, what a state requests of a host,
how an attempt ended and what follows. The host's side models what sh/control.sh and sh/run.sh
promise. Between them everything can fail: lwt is killed between any two steps, an answer is lost, a
request arrives late, or again, after others. The task ends, or dies. The host reboots and may
forget what it had not synced. The user kills, suspends and resumes at any time.

A request, once sent, may arrive any number of times at any later moment. There are at most two
attempts, which bounds the search.
"""

import collections
from typing import NamedTuple

from lwt.tasks import model

DESC = model.Desc('true', retries=1, retry_on=('lost',))
ATTEMPTS = 2
# Requests that change something on the host; "poll" does not.
PLAIN = ('launch', 'withdraw', 'cancel', 'suspend', 'resume', 'clean')


class There(NamedTuple):
    """An attempt on its host. fate: '', 'run' or 'cancel'; process: '', 'runs', 'stopped' or
    'gone'; end: the recorded end; runners: launched, but not yet decided; starts: how often the
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
    """The whole state. state, attempt, end, failures, boot: the task's row; home: attempts whose
    results the master has; leftovers: attempts that must be cleaned; said: how attempts ended, as
    the master reports it; call: the request whose answer is awaited, and the state in which it was
    sent; sent: the requests that may still arrive; boots: how often the host booted.
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
    """Rules that a test may break, to check that the search finds it. table: the automaton;
    tombstones: cleaning keeps the fate; claims: a runner starts only an undecided attempt; spares:
    a withdrawal does not end a running task; knows_boot: launch and cancel check the boot id;
    power: the host may reboot; wishes: maximum number of the user's requests.
    """

    table: dict = model.TRANSITIONS
    tombstones: bool = True
    claims: bool = True
    spares: bool = True
    knows_boot: bool = True
    power: bool = False
    wishes: int = 1


def change(world, attempt, **changes):
    """Return the world with an attempt on its host changed."""
    there = list(world.there)
    there[attempt - 1] = there[attempt - 1]._replace(**changes)
    return world._replace(there=tuple(there))


# -- the host --------------------------------------------------------------------------------------


def arrive(world, request, rules):
    """Return (the world after a request arrived, the host's answer). request: (verb, attempt, boot,
    whether it carries the task's files).
    """
    after, answer = done(world, request, rules)
    is_forgetful = answer == 'cancelled' and rules.knows_boot and request[2] != world.boots
    return after, 'rebooted' if is_forgetful else answer


def done(world, request, rules):
    """As arrive, for a host that forgets nothing."""
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
    """Cancel: decide the fate, or end the running task unless it must be spared."""
    here = world.there[attempt - 1]
    if not here.fate:
        return change(world, attempt, is_there=True, fate='cancel'), 'cancelled'
    if here.process in ('runs', 'stopped') and not spares:
        world = change(world, attempt, process='gone', end='killed')
    return world, report(world, attempt, 'cancel')


def clean(world, attempt, rules):
    """Remove everything except the record that the attempt ran."""
    if not rules.tombstones:
        return change(world, attempt, is_there=False, has_results=False, fate='', end='',
                      process='')
    here = world.there[attempt - 1]
    return change(world, attempt, has_results=False,
                  fate=here.fate or ('cancel' if here.is_there else ''))


def report(world, attempt, verb):
    """Return the host's report about an attempt."""
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
    """Yield the events on the host itself: (label, world)."""
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
    """Return the task's row in the form that lwt.tasks.model expects."""
    return model.Task(1, 'ab' * 16, 'name', 'input', None, DESC, world.state, world.outcome,
                      world.attempt, world.end, 'h', '~',
                      '', str(world.boot), '', None, '', world.failures, 0.0, None, None)


def of_master(world, rules):
    """Yield the possible next steps of lwt: (label, world)."""
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
    """Yield the possible requests of a user."""
    if world.wishes < rules.wishes:
        for wish in ('kill', 'suspend', 'resume'):
            state = rules.table.get((world.state, wish))
            after = world._replace(wishes=world.wishes + 1)
            if state == model.SETTLE:
                yield wish, settle(after, wish, 'killed')
            elif state is not None:
                yield wish, after._replace(state=state)


def answered(world, answer, rules):
    """Return the world after lwt received the answer to its call."""
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
    """Return whether the current attempt was started and the host no longer has its results."""
    here = world.there[world.attempt - 1]
    return bool(here.starts) and not here.has_results


def settle(world, event, end):
    """Return the world after the end of the attempt."""
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
    """Yield everything that may happen next: (label, world)."""
    yield from of_master(world, rules)
    yield from of_user(world, rules)
    yield from of_host(world, rules)
    for request in world.sent:
        yield 'arrives: %s %d' % request[:2], arrive(world, request, rules)[0]
    if world.call is not None:
        after, answer = arrive(world, world.call[0], rules)
        yield '%s answered: %s' % (world.call[0][0], answer), answered(after, answer, rules)


def violation(world):
    """Return which rule a world violates, or ''."""
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
    """The result of a search. worlds: how many there are; problem: the first violation, or '';
    trace: the steps that led to it; stuck: a world from which no path leads to an end.
    """

    worlds: int
    problem: str
    trace: tuple
    stuck: World


def search(rules=Rules(), start=World()):
    """Search all possible histories, the shortest first; return a Found."""
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
    """Return a world from which no path leads to done or to a wait for the user; or None."""
    good = [world for world in came if world.state in ('done', 'held', 'suspended')]
    reached = set(good)
    while good:
        for world in before[good.pop()]:
            if world not in reached:
                reached.add(world)
                good.append(world)
    return next((world for world in came if world not in reached), None)
