"""A visit: everything done on one host in one pass, in one login and at most two round trips.

    first    removals, launches and cancels that were intended, a look at all its tasks, and the
             results of tasks that have ended
    second   new tasks as its slots allow, the inputs that it lacks, their launches, and the
             removal of results that were fetched

`stay` repeats the second one, and lets the host wait in it until a task ends.

The intent is committed before the host is told.  If an answer is lost, the next visit asks again;
it need not know how far this one came.  Large transfers use a separate connection (see
large_transfers), so they do not delay the visit.  A lock for each host keeps visits apart.  Visits
to different hosts are independent, so a slow host delays only itself.
"""

from __future__ import generator_stop

import time
from typing import Callable, NamedTuple, Optional

from lwt.copy import child_jobs
from lwt.errors import HostError
from lwt.flow import Sleep
from lwt.hosts import sample
from lwt.hosts.capacity import demand, room, watches_cpu
from lwt.hosts.health_log import HealthLog
from lwt.remote import call, events, exit_status
from lwt.remote.channel import Channel
from lwt.tasks import launchers, model, requests, results, visit_answers
from lwt.tasks.placement import Placement, SlotsLeft, slots_of
from lwt.tasks.requests import BULKY
from lwt.tasks.store import Store
from lwt.workspace import files
from lwt.workspace.config import plain_seconds
from lwt.workspace.hostlist import Host
from lwt.workspace.layout import Workspace

CALL_GRACE = 30.0       # seconds that a call may take beyond its known waits
KILL_TIME = 3           # a cancel may take so many times (grace + 2) seconds
# Seconds that a host is asked to wait for the end of a task, and while a request brings new tasks.
# Meanwhile nothing else can be asked of it, such as a kill.
LONGEST_WAIT = 5
FIRST_WAIT = 2
PACE = (0.25, 5.0)      # seconds between two round trips when the host has nothing to wait for
CPU_WATCHED = 0.2       # seconds for which a host measures its cpu load, if that is limited
SAMPLE_AGE = 5.0        # seconds for which a load report is valid
# Where all new tasks end within QUICK seconds, the next request brings up to MOST_ROUNDS times as
# many tasks as there are slots; the host starts them one after the other, as slots become free.
QUICK = FIRST_WAIT / 2
MOST_ROUNDS = 4


class Context(NamedTuple):
    """What a visit needs.

    health_log: gets what is learned about the host.  clock(): seconds since 1970.
    tell(text): reports a step.  remark(text): shows a message even without -v.
    wake(): called when other hosts have something new to do.
    carry(item): transfers a requests.LargeTransfer.  is_carried(name): whether that is in progress.
    trouble(host, reason, is_over_budget): why a visit failed; reason is '' when the host answers.
    ended(task): gets a Task after one of its attempts has ended.
    tick(): called every second while a run waits.
    """

    workspace: Workspace
    store: Store
    session: call.Session
    tell: Callable
    health_log: HealthLog
    clock: Callable = time.time
    wake: Callable = lambda: None
    carry: Callable = lambda item: None
    is_carried: Callable = lambda name: False
    trouble: Callable = lambda host, reason, is_over_budget=False: None
    remark: Callable = lambda text: None
    ended: Callable = lambda task: None
    tick: Callable = lambda: None


class Target(NamedTuple):
    """A host to visit.

    homes: Hosts of its name, one for each home that holds tasks.  place: the Host that may get new
    tasks, or None.  others: all Hosts that may get new tasks.  rivals: the number of hosts that ask
    for the waiting tasks.
    """

    name: str
    homes: tuple
    place: Optional[Host] = None
    others: tuple = ()
    rivals: int = 1


class Report(NamedTuple):
    """How a visit went.

    busy: another lwt process holds the host's lock.  changes: the number of steps reported.
    problem: why it ended early, or ''; kind: the kind of its Verdict.
    """

    name: str
    busy: bool = False
    changes: int = 0
    problem: str = ''
    kind: str = ''


def visit(context, target):
    """Flow: visit a host once; returns a Report."""
    return (yield from _locked(context, target, True, lambda visitor: visitor.once()))


def stay(context, target, find_target, is_over, lingers):
    """Flow: visit a host again and again, for the Targets of find_target(); returns a Report.

    is_over(): returns whether nothing is left to do on any host.
    lingers: whether the connection is kept until then and the host may wait for the end of a task;
        otherwise the visit ends as soon as there is nothing to do.
    """
    return (yield from _locked(
        context, target, not lingers, lambda visitor: visitor.again(find_target, is_over, lingers)))


def _locked(context, target, holds_slot, serve):
    lock = context.workspace.lock('host.' + target.name)
    if not lock.take():
        return Report(target.name, busy=True)
    script = launchers.script(target.homes, context.store.on_host(target.name))
    channel = Channel(context.session, target.homes[0], script, holds_slot)
    visitor = _Visitor(context, target, channel, launchers.patience(script))
    try:
        with channel:
            yield from visitor.begin()
            yield from serve(visitor)
    except HostError as error:
        events.note(error.verdict.reason, target.name)
        if error.verdict.kind != 'killed':      # ended by lwt: says nothing about the host
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

    def __init__(self, context, target, channel, patience):
        self._patience = patience
        self._context = context
        self._store = context.store
        self._target = target
        self._channel = channel
        self._settings = context.session.settings
        self._scratch = context.workspace.path('.lwt', 'tmp', target.name)
        self._books = results.Books(context.workspace, context.store, target.name)
        self._facts = {}                # Host -> visit_answers.HostReport
        self._sampled = {}              # Host -> time of its last load report
        # Host -> the tasks of one call may be this many times its slots
        self._rounds = {}
        self._ended = []                # tasks whose attempt is over
        self._went_wrong = False        # whether one of the last of them failed
        self.changes = 0

    def begin(self):
        """Flow: remove what a killed visit left; the lock excludes other visits."""
        yield from child_jobs.remove(self._scratch)
        yield from self._books.clear()

    def once(self):
        """Flow: both round trips, in each home."""
        for host in self._target.homes:
            yield from self._exchange(host, [], 0, True)
            placed, inputs = self._place(host)
            if placed or self._leftovers(host) or self._asked(host, ('withdrawing',)):
                yield from self._exchange(host, placed, 0, False, inputs)

    def again(self, find_target, is_over, lingers):
        """Flow: repeat round trips as long as there is something to do on the host, or to wait for.
        """
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
                # After a failure, wait: other hosts may show whether this host is the cause.
                yield Sleep(pace)

    def _look_after(self, host, may_wait):
        """Flow: do a round trip about a home, and one before it if the host has not reported its
        room yet.
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
        """Let the next call bring more tasks if the placed ones have all ended quickly.

        placed: the tasks of a call.  took: seconds that the call took.
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
        """Flow: make one call of sh/control.sh about everything in a home, and process the answer.

        placed: tasks that were just placed; inputs: the requests.Inputs that go with them.
        wait: seconds that the host may wait for the end of a task.
        wants_results: whether the host may send results.
        """
        asked, left = self._asked(host), self._leftovers(host)
        inbox = requests.Inbox(self._scratch, most_kib=BULKY if wants_results else 0)
        try:
            request = yield from requests.pack(
                self._context.workspace, asked, left, placed, inputs, self._settings.grace,
                lambda task: self._context.is_carried(task.key), self._scratch,
                self._has_tar(host), host)
            with inbox:
                verdict = inbox.judged((yield from self._call(
                    host, request, self._kill_time(asked, left), wait, wants_results, inbox)))
            if not verdict.ok:
                self._unplace(placed, verdict)
                raise HostError(host.name, exit_status.with_complaint(verdict, inbox.complaints()))
            yield from self._take(host, asked, left, inputs, inbox)
        finally:
            files.discard(self._scratch)

    def _call(self, host, request, kill_time, wait, wants_results, inbox):
        """Flow: make the call; returns its Verdict.  kill_time: seconds that ending tasks may take
        in it.
        """
        settings = self._settings
        watches = host == self._target.place and watches_cpu(host, settings)
        watched = plain_seconds(CPU_WATCHED if watches else 0) if self._is_stale(host) else '-'
        words = requests.control_words(self._context.session, host.home, request, wait,
                                       BULKY if wants_results else 0, watched,
                                       self._places(host))
        stall = (wait + CALL_GRACE + self._patience + kill_time
                 + (settings.stall if request.size else 0))
        return (yield from self._channel.ask(words, request.data, inbox, stall))

    def _is_stale(self, host):
        """Whether the last load report of the host is too old."""
        return not 0 <= self._context.clock() - self._sampled.get(host, -SAMPLE_AGE) < SAMPLE_AGE

    def _places(self, host):
        """Return how many launched tasks may be in progress at once, or '-' if none is launching or
        the load of the host is unknown.
        """
        there = self._tasks(host)
        if host.is_slurm or not any(task.state == 'launching' for task in there):
            return '-'
        load = (self._facts[host].load if host in self._facts
                else self._store.samples().get(host.name, (0, None, ''))[1])
        if load is None:
            return '-'
        slots = self._room(host, load).slots
        others = [task for task in there if task.state != 'launching'] + self._twin_tasks(host)
        return str(max(0, slots - slots_of(others, slots)))

    def _twin_tasks(self, host):
        """The tasks that take slots of this machine under its other names."""
        return [task for task in self._store.on_hosts(self._context.health_log.twins(host.name))
                if not (host.is_slurm or launchers.is_job(task))]

    def _room(self, host, load):
        return room(host, load, self._settings, time.localtime(self._context.clock()).tm_hour)

    def _kill_time(self, asked, left):
        is_killing = (any(model.ASKED[task.state] == 'cancel' for task in asked)
                      or any(item.verb == 'purge' for item in left))
        return KILL_TIME * (self._settings.grace + 2) if is_killing else 0

    def _is_restless(self, host):
        """Whether a task must be asked about again soon, even if no task ends."""
        return bool(self._asked(host, ('withdrawing', 'killing', 'suspending', 'resuming')))

    def _unplace(self, placed, verdict):
        """After a failed call: queue the new tasks again, if they certainly did not start."""
        if verdict.ran == 'no':
            with self._store.together():
                for task in placed:
                    self._store.unplace(task, verdict.reason, was_sent=verdict.kind == 'failed')
            self._context.wake()

    # -- answers -----------------------------------------------------------------------------------

    def _take(self, host, asked, left, inputs, inbox):
        """Flow: process a host's answer and the results in it, in one transaction.

        If this process is killed before the transaction ends, the next pass asks the host again.
        """
        lines = inbox.lines()
        facts, stage_problem, states, removed, sizes = visit_answers.parse(lines)
        by_key = {task.key: task for task in asked}
        ended = visit_answers.ended(by_key, states)
        parcel = yield from self._books.unpack(
            inbox, {key: ended[key] for key in inbox.sent() if key in ended}, host.name)
        told = []
        self._note_facts(host, facts, told)
        with self._store.together():
            for item in left:
                self._take_removal(host, item, removed.get(item.key, ''), told)
            if stage_problem:
                for name in inputs.shared:
                    self._store.missing(name, host)
                told.append('%s: %s' % (host.name, stage_problem))
            changes = visit_answers.StateChanges(
                self._store, host, facts.host_id, self._context.clock, told,
                visit_answers.causes(lines), self._target.others)
            current = {key: changes.apply(by_key[key], answer)
                       for key, answer in states if key in by_key}
            self._ended += changes.ended
            came = [current[key] for key in inbox.sent() if current.get(key) is not None]
            self._take_results(host, came, parcel, inbox, told)
        self._say(told)
        # If a task failed on another host first, its end on this host also says something about the
        # other.
        failed_before = {name for task in self._ended for name in task.avoid.split()}
        self._close_ended()
        self._note_bulky(host, current, list(sizes) + list(inbox.unfit))
        if (any(task is None or task.state != by_key[key].state for key, task in current.items())
            or inbox.sent()):
            for name in sorted(failed_before | {host.name}):
                watch_tasks(self._context, name)
        if any(task is not None and task.state == 'new' for task in current.values()):
            self._context.wake()

    def _note_facts(self, host, facts, told):
        """Keep the HostReport of a host."""
        facts = facts._replace(load=sample.at(host, facts.load))
        if facts.load == sample.Sample() and host in self._facts:       # not asked for
            facts = facts._replace(load=self._facts[host].load)
        else:
            self._note_load(host, facts.load, told)
        if facts.trouble and (host not in self._facts
                              or self._facts[host].trouble != facts.trouble):
            told.append('%s: %s' % (host.name, facts.trouble))
        self._facts[host] = facts
        self._context.trouble(host.name, '')

    def _note_load(self, host, load, told):
        self._sampled[host] = self._context.clock()
        self._context.health_log.note(host.name, load)
        if load.nonsense:
            told.append('%s: invalid load report: %s'
                        % (host.name, ', '.join(load.nonsense)))

    def _take_removal(self, host, left, answer, told):
        if answer == 'cleaned':
            self._store.cleaned(left, self._settings.keep)
        elif answer:
            told.append('%s: cannot remove the directory of a finished task: %s'
                        % (host.name, answer))

    def _say(self, told):
        self.changes += len(told)
        pass_on(self._context, told)

    # -- results -----------------------------------------------------------------------------------

    def _note_bulky(self, host, current, keys):
        for key in keys:
            if current.get(key) is not None and current[key].state == 'fetching':
                self._context.carry(requests.LargeTransfer('result', key, host, current[key],
                                                           not self._has_tar(host)))

    def _take_results(self, host, fetched, parcel, inbox, told):
        """Move arrived results to their final places, and record them."""
        fetched = [task for task in fetched if task.state == 'fetching']
        if parcel.problem:
            told.append('%s: %s; fetching again' % (host.name, parcel.problem))
        elif fetched:
            self._ended += self._books.enter(fetched, parcel, inbox.complaint, self._settings.keep,
                                             told)
            self._context.wake()

    def _close_ended(self):
        """Do what follows the end of tasks, after that is committed."""
        ended, self._ended = self._ended, []
        self._went_wrong = any(task.outcome not in ('', 'success')
                               or self._target.name in task.avoid.split() for task in ended)
        # After a crash, the next pass does the rest.
        with self._store.together():
            for task in ended:
                self._books.close(task)
        for task in ended:
            self._context.ended(task)

    # -- placing -----------------------------------------------------------------------------------

    def _place(self, host):
        """Give the host new tasks, as many as it has room for.

        Returns them, in state launching, and the requests.Inputs for them.
        """
        groups = self._store.waiting() if host == self._target.place and host in self._facts else ()
        if not groups:
            return [], requests.Inputs()
        facts = self._facts[host]
        placement = Placement(self._context, self._target, host, self._left(host, groups),
                              facts.has_tar)
        chosen, told = placement.choose(groups)
        placed, inputs = [], requests.Inputs()
        if chosen:
            with self._store.together():
                placed = self._store.place(host, launchers.boot(host, facts.boot), facts.host_id,
                                           chosen)
                if facts.has_tar:       # otherwise scp has copied the inputs
                    inputs = requests.sort_inputs(self._context.workspace, groups,
                                                  {task.input for task in placed}, placement.copies)
                self._store.sent(inputs.shared, host)
        for task in placed:
            results.tell(task, '%s: launching on %s' % (task.label, host.name), told)
        self._say(told)
        return placed, inputs

    def _has_tar(self, host):
        """Whether the host has tar; true until it reports otherwise."""
        return host not in self._facts or self._facts[host].has_tar

    def _left(self, host, groups):
        """Return the SlotsLeft of the host.  groups: all waiting Groups."""
        load = self._facts[host].load
        has = self._room(host, load)
        # A host that gets more than its share leaves others idle.
        share = sum(group.count for group in groups) // max(1, self._target.rivals)
        rounds = 1 if host.is_slurm else self._rounds.get(host, 1)
        more = max(0, min(rounds * has.slots, share) - has.slots)
        there = [task._replace(desc=demand(host, task.desc))
                 for task in self._tasks(host) + self._twin_tasks(host)]
        return SlotsLeft(has, load, there, self._context.clock(), more)


def pass_on(context, told):
    """Pass on messages: those about steps to context.tell, those about problems to context.remark.
    """
    for text in told:
        if isinstance(text, results.StepMessage):
            context.tell(text)
        else:
            context.remark(text)


def watch_tasks(context, name):
    """After tasks have ended on a host: report it if the host gets quarantined."""
    reason = context.health_log.watch_tasks(name)
    if reason:
        context.remark('%s: quarantined: %s' % (name, reason))
