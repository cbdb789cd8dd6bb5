"""A visit: all that is done on one host in one pass, as a flow.

    survey   one call: how the host's tasks are, launches and cancels that were intended, leftovers removed
    fetch    the results of what has ended, a call for each, verified before anything is committed
    place    new tasks, as its slots allow: their inputs in one stream, then one call that launches them

The order within each step is what makes it safe: the intent is committed, then the host is told; a lost answer is asked for
again by the next visit, which does not need to know how far this one came.  A lock for each host keeps visits apart; they are
otherwise independent, so that one slow host is its own problem.
"""

from __future__ import generator_stop

import os
import tarfile
import time
from typing import Callable, NamedTuple

from lwt import archive, call, connection, events, files, remote, results, sample, ssh, task as tasks
from lwt.capacity import accepts, needed_slots, room, watches_cpu
from lwt.config import plain_seconds
from lwt.errors import HostError, LocalError
from lwt.hosts import Host

LAUNCH_GRACE = 30.0     # seconds that a control call may take, over what it is known to wait for
BATCH = 200             # requests in one call: they travel in one argument
CPU_WATCHED = 0.2       # seconds that a host watches its cpu, where there is a limit to it


class Context(NamedTuple):
    """What a visit needs.  tell(text) hears each thing that happens; clock gives seconds since 1970.

    weather: takes what is heard of the host.
    """

    workspace: object
    store: object
    session: call.Session
    tell: Callable
    weather: object
    clock: Callable = time.time


class Target(NamedTuple):
    """A host to visit.  homes: Hosts of its name, one for each home in which there are tasks.  place: the Host that may get
    new tasks, or None."""

    name: str
    homes: tuple
    place: Host = None


class Report(NamedTuple):
    """How a visit went.  busy: another lwt was there.  changes: the number of things that happened.  problem: why it ended
    early, or ''; kind: the class of that."""

    name: str
    busy: bool = False
    changes: int = 0
    problem: str = ''
    kind: str = ''


class Facts(NamedTuple):
    """What a host says of itself: its start, who it is, and a sample.Sample of its load."""

    boot: str
    host_id: str
    load: sample.Sample = sample.Sample()


def visit(context, target):
    """Flow: visit a host; returns a Report."""
    lock = context.workspace.lock('host.' + target.name)
    if not lock.take():
        return Report(target.name, busy=True)
    visitor = _Visitor(context, target)
    try:
        with (yield from connection.connected(context.session, target.homes[0])) as session:
            yield from visitor.serve(session)
    except HostError as error:
        events.note(error.verdict.reason, target.name)
        context.tell(str(error))
        context.weather.note(target.name, None, error.verdict.reason)
        return Report(target.name, changes=visitor.changes, problem=error.verdict.reason, kind=error.verdict.kind)
    finally:
        context.weather.settle()
        lock.release()
    return Report(target.name, changes=visitor.changes)


class _Visitor:
    """The steps of one visit, and how much happened in it."""

    def __init__(self, context, target):
        self._context = context
        self._store = context.store
        self._session = context.session
        self._target = target
        self._scratch = context.workspace.path('.lwt', 'tmp', target.name)
        self.changes = 0

    def serve(self, session):
        """Flow: the whole visit.  session: one for this host.  Raises HostError when the host does not answer."""
        self._session = session
        files.remove_tree(self._scratch)        # what a visit left that was killed
        files.make_dir(self._scratch)
        try:
            for host in self._target.homes:
                facts = yield from self._survey(host)
                yield from self._fetch_all(host)
                staged = []
                if host == self._target.place:
                    staged = yield from self._place(host, facts)
                yield from self._launch(host, staged)
        finally:
            files.remove_tree(self._scratch)

    # -- survey -------------------------------------------------------------------------------------------------------

    def _survey(self, host):
        """Flow: ask about, and for, everything that is to be asked in this home; returns the host's Facts."""
        for task in self._tasks(host):
            if task.state == 'placed':          # by a pass that is dead: we have its lock
                self._unplace(task, 'the pass that placed it was ended')
        asked = {task.key: task for task in self._tasks(host) if task.state in _SURVEY}
        left = self._left(host)
        requests = [(_SURVEY[task.state], task.key, task.boot) for task in asked.values()] + _removals(left)
        watched = CPU_WATCHED if host == self._target.place and watches_cpu(host, self._session.settings) else 0
        facts, answers = yield from self._control(host, [('sample', plain_seconds(watched), '')] + requests)
        self._context.weather.note(host.name, facts.load)
        if facts.load.nonsense:
            self._context.tell('%s: nonsense in what it tells of its load: %s' % (host.name, ', '.join(facts.load.nonsense)))
        self._take_answers(host, asked, left, facts, answers)
        return facts

    def _left(self, host):
        """{key: Leftover} of what is to be removed from this home."""
        return {left.key: left for left in self._store.leftovers(host.name) if left.home == host.home}

    def _take_answers(self, host, asked, left, facts, answers):
        """Take a host's answers about tasks and about what was to be removed."""
        for verb, key, answer in answers:
            if key in asked:
                self._apply(asked[key], verb, answer, facts)
            elif key in left and answer == 'cleaned':
                self._store.cleaned(left[key], self._session.settings.keep)
            elif key in left:
                self._context.tell('%s: cannot remove what is left of a task: %s' % (host.name, answer))

    def _tasks(self, host):
        return [task for task in self._store.on_host(host.name) if task.home == host.home]

    def _control(self, host, requests):
        """Flow: have sh/control.sh see to the requests; returns (Facts, [(verb, key, answer)])."""
        facts, answers = yield from self._control_batch(host, requests[:BATCH])
        for start in range(BATCH, len(requests), BATCH):
            _facts, more = yield from self._control_batch(host, requests[start:start + BATCH])
            answers += more
        return facts, answers

    def _control_batch(self, host, requests):
        """Flow: one call of sh/control.sh."""
        grace = self._session.settings.grace
        words = [host.home, self._session.nonce()]
        for verb, key, boot in requests:
            words += [verb, key, boot, '%d' % max(1, grace)]
        patience = LAUNCH_GRACE + len(requests) * (3 * grace + 6)
        answer = yield from call.script(self._session, host, 'control', words, timeout=patience)
        if not answer.verdict.ok:
            raise HostError(host.name, ssh.with_complaint(answer.verdict, answer.stderr))
        return parse_control(answer.lines)

    def _apply(self, task, verb, answer, facts):
        """Take a host's answer about a task."""
        event, _space, detail = answer.partition(' ')
        if verb == 'launch' and event == 'waiting':
            event = 'stuck'
        if event == 'waiting' and task.state == 'running':
            event = 'absent'            # its fate is gone: somebody was at its directory; it must not run a second time
        if (task.state, event) not in tasks.TRANSITIONS:
            self._context.tell('%s: %s: unexpected answer: %s' % (task.label, task.host, answer))
            return
        state = tasks.TRANSITIONS[task.state, event]
        if state == tasks.SETTLE:
            end, code = tasks.ending(event, detail, task.state)
            reason = _REASONS.get(event, '')
            if event == 'absent' and facts.host_id != task.host_id:
                reason = 'the home is not the one where it was placed'
            self._settle(task, event, end, code, reason, leave='' if event == 'absent' else 'clean')
        elif state == 'fetching':
            end, code = tasks.ending(event, detail, task.state)
            self._advance(task, event, 'ended on %s' % task.host, end=end, code=code, reason=_REASONS.get(event, ''),
                          ended=self._context.clock())
        elif state != task.state:
            self._advance(task, event, '%s on %s' % (state, task.host))

    def _advance(self, task, event, text, **changes):
        changed = self._store.advance(task, event, text, **changes)
        if changed is not None:
            self._count(changed, text)
        return changed

    def _settle(self, task, event, end, code, reason, leave='clean', leave_days=0):
        settled = self._store.settle(task, event, end, code, reason, leave, leave_days)
        if settled is None:
            return
        again = '' if settled.state == 'done' else ', to be tried again'
        self._count(settled, '%s on %s%s%s' % (_ended_text(end, code), task.host, ': ' + reason if reason else '', again))
        if settled.state == 'done':
            results.tidy(self._context.workspace, self._store, settled)

    def _unplace(self, task, reason):
        if self._store.unplace(task, reason) is not None:
            self._count(task, 'not staged on %s: %s' % (task.host, reason))

    def _count(self, task, text):
        self.changes += 1
        events.note(text, task.host, tasks.format_id(task.id), task.attempt)
        self._context.tell('%s: %s' % (task.label, text))

    # -- fetch --------------------------------------------------------------------------------------------------------

    def _fetch_all(self, host):
        """Flow: bring home what has ended.  A result that cannot be had now does not keep the others."""
        for task in self._tasks(host):
            if task.state == 'fetching':
                yield from self._fetch(host, task)

    def _fetch(self, host, task):
        """Flow: one result: received, verified, unpacked, synced, renamed; only then committed, only then removed there."""
        is_last = tasks.conclude(task.end, task.failures, task.desc)[0] == 'done'
        workspace = self._context.workspace
        target = results.directory(workspace, task) if is_last else results.attempt_directory(workspace, task)
        if os.path.isdir(target):       # fetched by a pass that was ended before it could say so
            self._settle(task, 'fetched', task.end, task.code, task.reason)
            return
        spool = os.path.join(self._scratch, 'fetch.' + task.key)
        with _Spool(spool) as receiver:
            verdict = yield from call.command(
                self._session, host, remote.script_text('lib', 'fetch'), (task.key, task.desc.d_fetch), receiver,
                stall=self._session.settings.stall)
        self._take(task, target, spool, verdict, receiver)
        os.unlink(spool)

    def _take(self, task, target, spool, verdict, receiver):
        """Judge what was received of a result, and keep it if it is complete."""
        if not verdict.ok:
            raise HostError(task.host, verdict)
        told = receiver.told()
        if 'absent' in told:
            self._settle(task, 'absent', 'lost', None, 'its directory was gone before its results were fetched', leave='')
            return
        problem = told.get('complaint', 'tar failed') if told.get('tar') != '0' else ''
        if problem == '' and not (archive.is_complete(spool)
                                  and told.get('digest') in (None, 'sha256 ' + archive.sha256(spool))):
            self._context.tell('%s: %s: what arrived is not what was sent; to be fetched again' % (task.label, task.host))
            return
        try:
            refused = results.accept(self._context.workspace, task, target, spool)
        except tarfile.TarError as error:
            self._context.tell('%s: %s: no tar file (%s); to be fetched again' % (task.label, task.host, error))
            return
        except OSError as error:
            raise LocalError('%s: %s' % (target, error.strerror or error), 'the result is still on %s' % task.host)
        if 'missing' in told and task.end == 'success':
            problem = 'd_fetch: %s: not found' % task.desc.d_fetch
        elif refused and not os.listdir(os.path.join(target, 'result')):
            problem = problem or 'nothing of it could be taken'
        self._conclude_fetch(task, problem, refused)

    def _conclude_fetch(self, task, problem, refused):
        """All that can be had is home.  What is incomplete is no success, and stays on the host for a while."""
        end = 'failed' if problem and task.end == 'success' else task.end
        reasons = ['result incomplete: ' + problem] if problem else []
        if refused:
            reasons.append('not taken: ' + refused[0] + (' and %d more' % (len(refused) - 1) if refused[1:] else ''))
        self._settle(task, 'fetched', end, task.code, '; '.join(reasons) or task.reason,
                     leave_days=self._session.settings.keep if reasons else 0)

    # -- place --------------------------------------------------------------------------------------------------------

    def _place(self, host, facts):
        """Flow: give the host new tasks, as many as it has room for; returns them, staged."""
        hour = time.localtime(self._context.clock()).tm_hour
        slots, reasons = room(host, facts.load, self._session.settings, hour)
        if reasons:
            return []
        free = slots - sum(needed_slots(task, slots) for task in self._store.on_host(host.name) if task.state != 'fetching')
        placed = self._store.place(host, facts.boot, facts.host_id, min(free, BATCH), lambda task: needed_slots(task, slots),
                                   lambda task: accepts(host, task.desc))
        if not placed:
            return []
        return (yield from self._stage(host, placed))

    def _launch(self, host, staged):
        """Flow: launch what was staged, the intent first, and remove what this visit has left on the host."""
        now = self._context.clock()
        intended = [self._advance(task, 'staged', 'launching on %s' % host.name, started=now) for task in staged]
        launching = [task for task in intended if task is not None]
        left = self._left(host)
        requests = [('launch', task.key, task.boot) for task in launching] + _removals(left)
        if requests:
            facts, answers = yield from self._control(host, requests)
            self._take_answers(host, {task.key: task for task in launching}, left, facts, answers)

    def _stage(self, host, placed):
        """Flow: send the inputs of placed tasks; returns them.  If that fails they are new again."""
        spool = os.path.join(self._scratch, 'stage')
        try:
            packed = pack_tasks(self._context.workspace, spool, placed, self._session.settings.grace)
            stall = self._session.settings.stall
            answer = yield from call.script(
                self._session, host, 'stage',
                [host.home, str(packed.size), packed.digest, plain_seconds(stall)] + [task.key for task in placed],
                stdin_path=spool, stall=stall)
            if not answer.verdict.ok:
                raise HostError(host.name, ssh.with_complaint(answer.verdict, answer.stderr))
        except (HostError, OSError) as error:
            for task in placed:
                self._unplace(task, str(error))
            if isinstance(error, OSError):
                raise LocalError('%s: %s' % (spool, error.strerror or error))
            raise
        os.unlink(spool)
        return placed


_SURVEY = {'launching': 'launch', 'withdrawing': 'cancel', 'running': 'poll', 'killing': 'cancel'}
_REASONS = {'died': 'it died without a word', 'rebooted': 'the host was started anew', 'absent': 'its directory is gone',
            'cancelled': ''}


def _removals(left):
    """The requests that remove Leftovers."""
    return [(leftover.verb, leftover.key, '') for leftover in left.values()]


def _ended_text(end, code):
    return '%s (exit code %d)' % (end, code) if end == 'failed' and code else end


def parse_control(lines):
    """(Facts, [(verb, key, answer)]) from what sh/control.sh printed; lines that are neither are passed over."""
    facts, answers = Facts('', ''), []
    for line in lines:
        words = line.split(' ')
        if words[0] == 'facts' and len(words) == 3:
            facts = Facts(words[1], words[2])
        elif words[0] == 'task' and len(words) >= 4:
            answers.append((words[2], words[1], ' '.join(words[3:])))
    return facts._replace(load=sample.parse(lines)), answers


def pack_tasks(workspace, path, placed, grace):
    """Write the tar stream that sh/stage.sh takes: for each task, its directory as sh/tasklib.sh describes it."""
    trees, texts, executable = {}, {}, set()
    runner = remote.script_text('lib', 'tasklib', 'run')
    for task in placed:
        source = workspace.path('task', task.input)
        names = archive.top_files(source)
        trees[task.key + '/work'] = source
        for file, command in (('command', task.desc.exec), ('kill', task.desc.kill)):
            texts['%s/%s' % (task.key, file)] = tasks.command_text(command, task.arg, names) if command else ''
            executable.add('%s/work/%s' % (task.key, tasks.file_word(command)))
        texts[task.key + '/settings'] = tasks.settings_text(task, grace)
        texts[task.key + '/run.sh'] = runner
        texts[task.key + '/cancel'] = 'cancel\n'
    return archive.pack(path, trees, texts, executable)


class _Spool:
    """Takes the payload of sh/fetch.sh: the stream into a file, what is told about it into memory."""

    def __init__(self, path):
        self._path = path
        self._told = bytearray()
        self._error = None

    def __enter__(self):
        try:
            self._file = open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), 'wb')
        except OSError as error:
            raise LocalError('%s: %s' % (self._path, error.strerror))
        return self

    def __exit__(self, *_exc):
        try:
            self._file.close()
        except OSError as error:
            self._error = self._error or error
        if self._error is not None:
            raise LocalError('%s: %s' % (self._path, self._error.strerror), 'the result is still on its host')

    def __call__(self, stream, data):
        if stream == 'stderr':
            self._told += data[:1 << 16]
        elif self._error is None:
            try:
                self._file.write(data)
            except OSError as error:    # the disk is full: take the rest and forget it; the flow is told at the end
                self._error = error

    def told(self):
        """{word: the rest of the line}; what is none of the script's words is tar's 'complaint', the first one."""
        found = {}
        for line in self._told.decode('utf-8', 'replace').splitlines():
            word, _space, rest = line.partition(' ')
            if word in ('absent', 'missing', 'digest') or (word == 'tar' and rest.isdigit()):
                found[word] = rest
            else:
                found.setdefault('complaint', line)
        if not found.get('digest', 'sha256').startswith('sha256 '):
            found.pop('digest')         # the host has no sha256; the end of the archive and tar's code must do
        return found
