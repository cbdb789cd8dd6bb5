"""A visit: everything done on one host in one pass, in one login and at most two round trips.

    first    removals, launches and cancels that were intended, a look at all its tasks, and the
             results of what has ended
    second   new tasks as its slots allow, the inputs that it lacks, their launches, and the
             removal of what came home

`stay` goes on with the second one again and again, and lets the host wait in it until something
ends.

The order within each is what makes it safe: the intent is committed, then the host is told; a lost
answer is asked for again by the next visit, which does not need to know how far this one came.
What is large goes another way, so that nobody waits for it: Context.carry takes it to a flow of its
own (see carry).  A lock for each host keeps visits apart; they are otherwise independent, so that
one slow host is its own problem.
"""

from __future__ import generator_stop

import collections
import math
import time
from typing import Callable, NamedTuple

from lwt.copy import local_work
from lwt.errors import HostError
from lwt.flow import Sleep
from lwt.hosts import sample
from lwt.hosts.capacity import accepts, better_place, needed_slots, refusal, room, watches_cpu
from lwt.remote import budgets, call, events, verdicts
from lwt.remote.channel import Channel
from lwt.tasks import model, requests, results
from lwt.tasks.fairness import picks
from lwt.workspace import files
from lwt.workspace.config import bounded, plain_seconds
from lwt.workspace.hostlist import Host

CALL_GRACE = 30.0       # seconds that a call may take, over what it is known to wait for
KILL_TIME = 3           # a cancel may take so many times the grace, and a few seconds
MOST_AT_ONCE = 500      # new tasks in one call
BULKY = 4096            # KiB: results and inputs that are larger are carried by themselves
# Seconds that a host is asked to wait for the end of a task, and while a request brings new tasks.
# Meanwhile nothing else can be asked of it, such as a kill.
LONGEST_WAIT = 5
FIRST_WAIT = 2
PACE = (0.25, 5.0)      # seconds between two round trips where the host has nothing to wait for
CPU_WATCHED = 0.2       # seconds that a host watches its cpu, where there is a limit to it
SAMPLE_AGE = 5.0        # seconds that what a host told of its load is good for
RESERVED = 15.0         # seconds in which a task takes up the memory and the disk that it asks for
# Where all new tasks end within QUICK seconds, the next request brings up to MOST_ROUNDS times as
# many tasks as there are slots; the host starts them one after the other, as slots become free.
QUICK = FIRST_WAIT / 2
MOST_ROUNDS = 4


class Context(NamedTuple):
    """What a visit needs.  tell(text) hears each thing that happens; clock gives seconds since
    1970.

    health_log: takes what is heard of the host.  wake() is called when there is something new for
    other hosts to do. carry(bulky) gets what is to be carried, unless it says by is_carried(name)
    that it is at it already.  trouble(host, reason, is_over_budget) hears why a visit to a host
    came to nothing, and '' when it answers. remark(text) hears what people are to know even if they
    do not want to hear of each step.
    """

    workspace: object
    store: object
    session: call.Session
    tell: Callable
    health_log: object
    clock: Callable = time.time
    wake: Callable = lambda: None
    carry: Callable = lambda bulky: None
    is_carried: Callable = lambda name: False
    trouble: Callable = lambda host, reason, is_over_budget=False: None
    remark: Callable = lambda text: None


class Target(NamedTuple):
    """A host to visit.  homes: Hosts of its name, one for each home in which there are tasks.
    place: the Host that may get new tasks, or None.  others: all Hosts that may get new tasks.
    rivals: how many hosts are asking for what waits.
    """

    name: str
    homes: tuple
    place: Host = None
    others: tuple = ()
    rivals: int = 1


class Report(NamedTuple):
    """How a visit went.  busy: another lwt was there.  changes: the number of things that happened.
    problem: why it ended early, or ''; kind: the class of that.
    """

    name: str
    busy: bool = False
    changes: int = 0
    problem: str = ''
    kind: str = ''


class HostReport(NamedTuple):
    """What a host says of itself: its start, who it is, and a sample.Sample of its load."""

    boot: str
    host_id: str
    load: sample.Sample = sample.Sample()


def visit(context, target):
    """Flow: visit a host once; returns a Report."""
    return (yield from _locked(context, target, True, lambda visitor: visitor.once()))


def stay(context, target, find_target, is_over, lingers):
    """Flow: visit a host again and again, for the Targets that find_target() gives; returns a
    Report.

    is_over(): is nothing more to be expected, anywhere?  lingers: may the connection be kept until
    then, and the host be asked to wait for an end?  Else it is left as soon as there is nothing to
    do.
    """
    return (yield from _locked(
        context, target, not lingers, lambda visitor: visitor.again(find_target, is_over, lingers)))


def _locked(context, target, holds_slot, serve):
    lock = context.workspace.lock('host.' + target.name)
    if not lock.take():
        return Report(target.name, busy=True)
    channel = Channel(context.session, target.homes[0], 'control', holds_slot)
    visitor = _Visitor(context, target, channel)
    try:
        with channel:
            yield from visitor.begin()
            yield from serve(visitor)
    except HostError as error:
        events.note(error.verdict.reason, target.name)
        if error.verdict.kind != 'killed':      # that was us, and says nothing of the host
            context.trouble(target.name, error.verdict.reason, error.verdict.is_over_budget)
            context.health_log.note(target.name, None, error.verdict.reason)
        return Report(target.name, changes=visitor.changes, problem=error.verdict.reason,
                      kind=error.verdict.kind)
    finally:
        context.health_log.settle()
        lock.release()
    return Report(target.name, changes=visitor.changes)


class _Visitor:
    """The steps of one visit, and how much happened in it."""

    def __init__(self, context, target, channel):
        self._context = context
        self._store = context.store
        self._target = target
        self._channel = channel
        self._settings = context.session.settings
        self._scratch = context.workspace.path('.lwt', 'tmp', target.name)
        self._books = results.Books(context.workspace, context.store, target.name)
        self._facts = {}                # Host -> HostReport
        self._sampled = {}              # Host -> when it told of its load
        # Host -> how many times its slots the tasks of one call may be.
        self._rounds = {}
        self._ended = []                # tasks whose attempt is over
        self._went_wrong = False        # did one of the last of them end badly?
        self.changes = 0

    def begin(self):
        """Flow: remove what a visit left that was killed, once it is certain that nobody else is
        here.
        """
        yield from local_work.remove(self._scratch)
        yield from self._books.clear()

    def once(self):
        """Flow: both round trips, in each home."""
        for host in self._target.homes:
            yield from self._exchange(host, [], 0, True)
            placed, inputs = self._place(host)
            if placed or self._leftovers(host) or self._asked(host, ('withdrawing',)):
                yield from self._exchange(host, placed, 0, False, inputs)

    def again(self, find_target, is_over, lingers):
        """Flow: round trips as long as there is something to do here, or to wait for."""
        pace = PACE[0]
        while True:
            target = find_target()
            if target is None or is_over() and not self._has_leftovers(target):
                if is_over() or not lingers:
                    return
                pace = min(PACE[1], 2 * pace)
                yield Sleep(pace)       # on the same connection
                continue
            changes, began, self._target = self.changes, self._context.clock(), target
            for host in target.homes:
                yield from self._look_after(host, lingers and len(target.homes) == 1)
            if not lingers and not self._has_work(target):
                return
            pace = PACE[0] if self.changes != changes else min(PACE[1], 2 * pace)
            waited = self.changes != changes or self._context.clock() - began >= PACE[0]
            if ((not waited or self._went_wrong)
                and not (is_over() and not self._has_leftovers(target))):
                # Where tasks end badly, others first show whether it is the host's fault.
                yield Sleep(pace)

    def _look_after(self, host, may_wait):
        """Flow: a round trip about a home, and one before it if the host has not said yet what it
        has room for.
        """
        is_new = host not in self._facts
        if is_new:
            yield from self._exchange(host, [], 0, True)
        placed, inputs = self._place(host)
        if not is_new or self._tasks(host) or self._leftovers(host):
            longest = FIRST_WAIT if placed else LONGEST_WAIT
            wait = longest if may_wait and not self._is_restless(host) else 0
            began = self._context.clock()
            yield from self._exchange(host, placed, wait, True, inputs)
            if placed:
                self._learn_pace(host, placed, self._context.clock() - began)

    def _learn_pace(self, host, placed, took):
        """The tasks that were placed in a call of some seconds: have they all ended?  Then the next
        call may bring more.
        """
        there = {task.key for task in self._asked(host) if task.state != 'fetching'}
        is_quick = (took < QUICK and not self._went_wrong
                    and not any(task.key in there for task in placed))
        self._rounds[host] = min(MOST_ROUNDS, 2 * self._rounds.get(host, 1)) if is_quick else 1

    def _has_work(self, target):
        return any(self._tasks(host) for host in target.homes) or self._has_leftovers(target)

    def _has_leftovers(self, target):
        return any(self._leftovers(host) for host in target.homes)

    # -- one round trip ----------------------------------------------------------------------------

    def _tasks(self, host):
        return [task for task in self._store.on_host(host.name) if task.home == host.home]

    def _asked(self, host, states=tuple(model.ASKED)):
        return [task for task in self._tasks(host) if task.state in states]

    def _leftovers(self, host):
        return [left for left in self._store.leftovers(host.name) if left.home == host.home]

    def _exchange(self, host, placed, wait, wants_results, inputs=requests.Inputs()):
        """Flow: one call of sh/control.sh about all that there is in a home; then what it answered
        is taken.

        placed: tasks that were placed just now; inputs: the requests.Inputs that go with them.
        wait: seconds that the host may wait for an end.
        """
        asked, left = self._asked(host), self._leftovers(host)
        inbox = requests.Inbox(self._scratch, most_kib=BULKY if wants_results else 0)
        try:
            request = yield from requests.pack(
                self._context.workspace, asked, left, placed, inputs, self._settings.grace,
                lambda task: self._context.is_carried(task.key), self._scratch)
            with inbox:
                verdict = inbox.judged((yield from self._call(
                    host, request, self._kill_time(asked, left), wait, wants_results, inbox)))
            if not verdict.ok:
                self._unplace(placed, verdict)
                raise HostError(host.name, verdicts.with_complaint(verdict, inbox.complaints()))
            yield from self._take(host, asked, left, inputs, inbox)
        finally:
            files.discard(self._scratch)

    def _call(self, host, request, kill_time, wait, wants_results, inbox):
        """Flow: the call itself; returns its Verdict.  kill_time: seconds that what it asks for may
        take to end tasks.
        """
        settings = self._settings
        watches = host == self._target.place and watches_cpu(host, settings)
        watched = plain_seconds(CPU_WATCHED if watches else 0) if self._is_stale(host) else '-'
        words = requests.control_words(self._context.session, host.home, request, wait,
                                       BULKY if wants_results else 0, watched,
                                       self._places(host))
        stall = wait + CALL_GRACE + kill_time + (settings.stall if request.size else 0)
        return (yield from self._channel.ask(words, request.data, inbox, stall))

    def _is_stale(self, host):
        """Is what is known of its load too old?"""
        return not 0 <= self._context.clock() - self._sampled.get(host, -SAMPLE_AGE) < SAMPLE_AGE

    def _places(self, host):
        """How many tasks that are launched may be under way at the same time, or '-' where none is,
        or that is not known.
        """
        there = self._tasks(host)
        if not any(task.state == 'launching' for task in there):
            return '-'
        load = (self._facts[host].load if host in self._facts
                else self._store.samples().get(host.name, (0, None, ''))[1])
        if load is None:
            return '-'
        slots = self._room(host, load).slots
        others = [task for task in there if task.state != 'launching'] + self._twin_tasks(host)
        return str(max(0, slots - _slots_of(others, slots)))

    def _twin_tasks(self, host):
        """The tasks that take slots of this machine under its other names."""
        return self._store.on_hosts(self._context.health_log.twins(host.name))

    def _room(self, host, load):
        return room(host, load, self._settings, time.localtime(self._context.clock()).tm_hour)

    def _kill_time(self, asked, left):
        is_killing = (any(model.ASKED[task.state] == 'cancel' for task in asked)
                      or any(item.verb == 'purge' for item in left))
        return KILL_TIME * (self._settings.grace + 2) if is_killing else 0

    def _is_restless(self, host):
        """Is there something that is to be asked again soon, whether or not anything ends?"""
        return bool(self._asked(host, ('withdrawing', 'killing', 'suspending', 'resuming')))

    def _unplace(self, placed, verdict):
        """The call with new tasks came to nothing: where that is certain, they may go elsewhere."""
        if verdict.ran == 'no':
            with self._store.together():
                for task in placed:
                    self._store.unplace(task, verdict.reason, was_sent=verdict.kind == 'failed')
            self._context.wake()

    # -- answers -----------------------------------------------------------------------------------

    def _take(self, host, asked, left, inputs, inbox):
        """Flow: take all that a host answered, its words and the results, in one transaction: of a
        pass that is killed before its end the host is asked again.
        """
        facts, stage_problem, answers, removed, sizes = parse(inbox.lines())
        by_key = {task.key: task for task in asked}
        ended = _ended(by_key, answers)
        parcel = yield from self._books.unpack(
            inbox, {key: ended[key] for key in inbox.sent() if key in ended}, host.name)
        told = []
        facts = facts._replace(load=sample.at(host, facts.load))
        if facts.load == sample.Sample() and host in self._facts:       # it was not asked
            facts = facts._replace(load=self._facts[host].load)
        else:
            self._note_load(host, facts.load, told)
        self._facts[host] = facts
        self._context.trouble(host.name, '')
        with self._store.together():
            for item in left:
                self._take_removal(host, item, removed.get(item.key, ''), told)
            if stage_problem:
                for name in inputs.shared:
                    self._store.missing(name, host)
                told.append('%s: %s' % (host.name, stage_problem))
            current = {key: self._apply(by_key[key], answer, facts, host, told)
                       for key, answer in answers if key in by_key}
            came = [current[key] for key in inbox.sent() if current.get(key) is not None]
            self._take_results(host, came, parcel, inbox, told)
        self._say(told)
        # A task that failed on another host first says something about that one when it ends here.
        failed_before = {name for task in self._ended for name in task.avoid.split()}
        self._close_ended()
        self._note_bulky(host, current, list(sizes) + list(inbox.unfit))
        if (any(task is None or task.state != by_key[key].state for key, task in current.items())
            or inbox.sent()):
            for name in sorted(failed_before | {host.name}):
                watch_tasks(self._context, name)
        if any(task is not None and task.state == 'new' for task in current.values()):
            self._context.wake()

    def _note_load(self, host, load, told):
        self._sampled[host] = self._context.clock()
        self._context.health_log.note(host.name, load)
        if load.nonsense:
            told.append('%s: nonsense in what it tells of its load: %s'
                        % (host.name, ', '.join(load.nonsense)))

    def _take_removal(self, host, left, answer, told):
        if answer == 'cleaned':
            self._store.cleaned(left, self._settings.keep)
        elif answer:
            told.append('%s: cannot remove what is left: %s' % (host.name, answer))

    def _apply(self, task, answer, facts, host, told):
        """Take a host's answer about a task; returns the task as it is then, None where somebody
        else changed it.
        """
        event, _space, detail = answer.partition(' ')
        # There was no room for it, or not its input, whatever we thought.
        if event in ('unstaged', 'noinput'):
            self._store.missing(task.input, host)
            return self._settle(task, 'refused', detail or 'its input is not there', told)
        if event == 'crowded' and task.state == 'launching':
            return self._settle(task, 'refused', '', told)
        word, event = event, model.event_of(event, task.state)
        if (word, event) == ('waiting', 'absent'):
            return self._settle(task, event, 'somebody was at its directory', told, 'purge')
        if task.state == 'fetching' and event != 'absent':
            return task                 # it is known how it ended
        if (task.state, event) not in model.TRANSITIONS:
            told.append('%s: %s: unexpected answer: %s' % (task.label, task.host, answer))
            return task
        state = model.TRANSITIONS[task.state, event]
        if event == 'absent' and facts.host_id != task.host_id:
            return self._settle(self._as_running(task), event,
                                'the home is not the one where it was placed', told, '')
        if state == model.SETTLE:
            reason = task.reason if task.state == 'withdrawing' else _REASONS.get(event, '')
            return self._settle(task, event, reason, told, '' if event == 'absent' else 'clean')
        if event == 'absent' and state == 'withdrawing':
            return self._advance(task, event, 'not there yet; withdrawn from %s' % task.host, told)
        if state == 'fetching':
            end, code = model.ending(event, detail.partition(' ')[0], task.state)
            words = detail.split(' ')[1:]
            wall, cpu = usage(words)
            # What was killed is not retried.
            failures = task.desc.retries if task.state == 'killing' else task.failures
            return self._advance(task, event, 'ended on %s' % task.host, told, end=end, code=code,
                                 wall=wall, cpu=cpu,
                                 failures=failures,
                                 reason=_REASONS.get(event, '') or left_text(words),
                                 ended=self._context.clock())
        if state != task.state:
            return self._advance(task, event, '%s on %s' % (state, task.host), told,
                                 reason=_REASONS.get(event, ''))
        return task

    def _as_running(self, task):
        """A task that may have run where its directory was: what became of it cannot be known any
        more.
        """
        return (self._store.advance(task, 'running', '') or task if task.state == 'launching'
                else task)

    def _settle(self, task, event, reason, told, leave='clean'):
        end, code = model.ending(event, '', task.state)
        settled = self._store.settle(task, event, end, code, reason, leave)
        if settled is not None:
            results.tell(task, results.ended_text(task, settled, reason), told)
            self._ended.append(settled)
        return settled

    def _advance(self, task, event, text, told, **changes):
        changed = self._store.advance(task, event, text, **changes)
        if changed is not None and text:
            results.tell(task, '%s: %s' % (task.label, text), told)
        return changed

    def _say(self, told):
        self.changes += len(told)
        for text in told:
            self._context.tell(text)

    # -- results -----------------------------------------------------------------------------------

    def _note_bulky(self, host, current, keys):
        for key in keys:
            if current.get(key) is not None and current[key].state == 'fetching':
                self._context.carry(requests.LargeTransfer('result', key, host, current[key]))

    def _take_results(self, host, fetched, parcel, inbox, told):
        """Put the results that came into their places, and note that they are here."""
        fetched = [task for task in fetched if task.state == 'fetching']
        if parcel.problem:
            told.append('%s: %s; to be fetched again' % (host.name, parcel.problem))
        elif fetched:
            self._ended += self._books.enter(fetched, parcel, inbox.complaint, self._settings.keep,
                                             told)
            self._context.wake()

    def _close_ended(self):
        """What follows the end of a task, once that is committed."""
        ended, self._ended = self._ended, []
        self._went_wrong = any(task.outcome not in ('', 'success')
                               or self._target.name in task.avoid.split() for task in ended)
        # Of what is not done before a crash, the next pass makes an end.
        with self._store.together():
            for task in ended:
                self._books.close(task)

    # -- placing -----------------------------------------------------------------------------------

    def _place(self, host):
        """Give the host new tasks, as many as it has room for; returns them, launching, and the
        requests.Inputs for them.
        """
        groups = self._store.waiting() if host == self._target.place and host in self._facts else ()
        if not groups:
            return [], requests.Inputs()
        facts = self._facts[host]
        has = self._room(host, facts.load)
        # No more, or others would stand idle.
        share = sum(group.count for group in groups) // max(1, self._target.rivals)
        more = max(0, min(self._rounds.get(host, 1) * has.slots, share) - has.slots)
        there = self._tasks(host) + self._twin_tasks(host)
        left = _Left(has, facts.load, there, self._context.clock(), more)
        here, loads = self._store.copies(host), requests.Loads(self._context.workspace, BULKY << 10)

        def take(group):
            if (left.is_over or not accepts(host, group.desc) or self._is_avoided(host, group)
                or not left.has(group.desc)):
                return False
            if not self._context.workspace.has_input(group.input):
                self._hold(group, 'its input is gone: task/%s; put it back and resume, or kill it'
                           % group.input)
                return False
            if group.input not in here and not loads.take(group.input):
                if loads.is_bulky(group.input):
                    self._context.carry(requests.LargeTransfer('input', group.input, host, group))
                return False
            left.take(group.desc)
            return True

        chosen = picks(groups, self._store.active(), take)
        if not chosen:
            return [], requests.Inputs()
        with self._store.together():
            placed = self._store.place(host, facts.boot, facts.host_id, chosen)
            inputs = requests.sort_inputs(self._context.workspace, groups,
                                          {task.input for task in placed}, here)
            self._store.sent(inputs.shared, host)
        told = []
        for task in placed:
            results.tell(task, '%s: launching on %s' % (task.label, host.name), told)
        self._say(told)
        return placed, inputs

    def _hold(self, group, reason):
        """Have all that waits of a group wait for somebody."""
        told = []
        with self._store.together():
            for task in self._store.chosen(('new',), names=(group.name,)):
                if task.input == group.input:
                    self._advance(task, 'suspend', 'held: ' + reason, told, reason=reason)
        self._say(told)

    def _is_avoided(self, host, group):
        """Did these tasks end badly there, while there is another host that takes them, now or when
        its tasks have ended?
        """
        hour = time.localtime(self._context.clock()).tm_hour

        def refuse(other):
            known = self._context.health_log.look().get(other.name)
            return refusal(other, known, self._store.samples().get(other.name), 0, group.desc,
                           self._settings, hour)

        return better_place(host, group.avoid.split(), self._target.others, refuse) != ''


class _Left:
    """What a host has left while tasks are given to it: of its FreeSlots, and of its memory and
    disk where it told of them.
    """

    def __init__(self, has, load, there, now, more):
        self._all = 0 if has.reasons else has.slots
        self._slots = self._all - _slots_of(there, self._all)
        # Tasks of one slot that may wait there for a free one.
        self._more = more if all(task.desc.slots == 1 for task in there) else 0
        self._memory = math.inf if load.free_memory is None else load.free_memory
        self._disk = math.inf if load.free_disk is None else load.free_disk
        self._count = 0
        for task in there:
            if task.started and abs(now - task.started) < RESERVED:
                self._reserve(task.desc)

    @property
    def is_over(self):
        """Is there no room for anything?"""
        return self._slots + self._more < 1 or self._count >= MOST_AT_ONCE

    def has(self, desc):
        """Is there room for one more task of this desc?"""
        slots = self._slots + self._more * (desc.slots == 1)
        return (slots >= needed_slots(desc, self._all) and self._all > 0
                and desc.memory <= self._memory
                and desc.disk <= self._disk)

    def take(self, desc):
        """One more is there."""
        self._count += 1
        self._more = self._more if desc.slots == 1 else 0
        self._slots -= needed_slots(desc, self._all)
        self._reserve(desc)

    def _reserve(self, desc):
        self._memory -= desc.memory
        self._disk -= desc.disk


def _slots_of(there, slots):
    """The slots that tasks take of a host that has so many."""
    return sum(needed_slots(task.desc, slots) for task in there if task.state != 'fetching')


def watch_tasks(context, name):
    """After tasks have ended on a host: say so if that puts it into quarantine."""
    reason = context.health_log.watch_tasks(name)
    if reason:
        context.tell('%s: in quarantine: %s' % (name, reason))


_REASONS = {'died': 'exited without reporting a status', 'rebooted': 'the host was started anew',
            'absent': 'its directory is gone',
            'stuck': 'it did not start in time'}


def parse(lines):
    """(HostReport, why the inputs were not taken, [(key, answer)], {key: what became of its
    removal}, {key: KiB of a result that is too large to be sent along}) of what sh/control.sh
    printed; lines that are none of these are passed over.
    """
    facts, problem, answers, removed, sizes = HostReport('', ''), '', [], {}, {}
    counts = collections.Counter()
    for line in lines:
        words = line.split(' ')
        if words[0] == 'facts' and len(words) == 3:
            facts = HostReport(words[1][:budgets.ID], words[2][:budgets.ID])
        elif words[0] == 'stage':
            problem = verdicts.printable_text(line[len('stage '):])
        elif words[0] == 'task' and len(words) >= 4:
            answer = verdicts.printable_text(' '.join(words[3:]), budgets.TEXT)
            counts[words[1]] += 1
            if words[2] == 'state' and counts[words[1]] <= budgets.TASK_ANSWERS:
                answers.append((words[1], answer))
            elif words[2] == 'size':
                sizes[words[1]] = bounded(answer, 0, 1 << 50) or 0
            else:
                removed[words[1]] = answer
    return facts._replace(load=sample.parse(lines)), problem, answers, removed, sizes


def left_text(words):
    """A remark about processes that a task left running, if what sh/control.sh says in its `usage`
    tells of any.
    """
    count = bounded(words[4], 1, 10 ** 6) if len(words) > 4 else None
    if count is None:
        return ''
    return ('1 process left running was ended' if count == 1
            else '%d processes left running were ended' % count)


def _ended(by_key, answers):
    """{key: (d_fetch, exit code)} of the tasks that have ended, as their answers tell."""
    found = {}
    for key, answer in answers:
        task = by_key.get(key)
        if task is None:
            continue
        word, _space, detail = answer.partition(' ')
        event = model.event_of(word, task.state)
        if task.state == 'fetching':
            found[key] = task.desc.d_fetch, task.code
        elif model.TRANSITIONS.get((task.state, event)) == 'fetching':
            found[key] = task.desc.d_fetch, model.ending(event, detail.partition(' ')[0],
                                                         task.state)[1]
    return found


def usage(words):
    """(wall, cpu) in seconds of what `usage` of sh/control.sh prints; None for what it could not
    tell.
    """
    try:
        wall = float(words[1]) - float(words[0])
        cpu = sum(float(minutes) * 60 + float(rest)
                  for minutes, rest in (word.rstrip('s').split('m') for word in words[2:4]))
    except (ValueError, IndexError):
        return None, None
    return (wall if 0 <= wall < 1e9 else None), (cpu if 0 <= cpu < 1e9 else None)
