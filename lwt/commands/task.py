"""lwt task: the queue of tasks."""

from __future__ import generator_stop

import os
import time

from lwt.commands import cron_log, host_view
from lwt.commands.options import Parser, fitting
from lwt.commands.task_view import Teller, Troubles, as_json, details, summary, table
from lwt.errors import (
    BusyError, EXIT_FAILED, EXIT_UNREACHABLE, HostError, Interrupted, LwtError, UsageError,
    printable_text)
from lwt.flow import running
from lwt.hosts.capacity import accepts
from lwt.hosts.health import NEEDS_A_PERSON  # cron mails what is said of such a host
from lwt.hosts.health_log import HealthLog
from lwt.output import tables, writer
from lwt.output.progress import ProgressLine
from lwt.remote import call, events
from lwt.tasks import model, prospects, queue, results, scheduler
from lwt.tasks.prospects import Prospects
from lwt.tasks.store import Store
from lwt.tasks.visit import Context
from lwt.workspace import files, identity, nodeset
from lwt.workspace.database import BUSY_TIMEOUT, PATIENCE
from lwt.workspace.hostlist import Host

EXAMPLES = '''examples:
  lwt task add sample                        queue description/sample; prints its id
  lwt task add sweep --each parameters.txt   a task for each line: $LWT_ARG, and {} in exec
  lwt task add sweep --array 1-100 --timeout 10m --memory 2G
  lwt task add sample --after 12,13          once these are done, and were successes
  lwt task run --progress                    until all are done
  lwt task update --cron                     one pass, silent unless something is wrong
  lwt task show                              a table; with an id, all about it
  lwt task show --state failed,lost --count
  lwt task why 12                            for each host, why it does not take it
  lwt task log -f 12                         what it printed, and prints
  lwt task kill 12 13'''

USAGE = '''lwt task add NAME… [--each FILE | --array A-B[:STEP],…] [--after ID] [--unless-exists]
                    [--KEY VALUE, for keys of desc]
       lwt task update [--cron]
       lwt task run [--progress]
       lwt task show [ID…] [--state S,…] [--name N,…] [--host H,…] [--finished] [--count] [--json]
       lwt task why ID
       lwt task log ID [-f]
       lwt task kill | suspend | resume | retry ID…
       lwt task wait [ID…]
       lwt task rm ID… [--results]'''

ENOUGH_WAITING = 0.2            # seconds between two looks at the end of a file that grows


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    verb, parser, parsed, words = _parse(name, argv)
    env = make_env(parser, parsed)
    env = env._replace(quiet=env.quiet or parsed.cron)
    workspace = env.require_workspace()
    settings = env.settings(workspace)
    workspace.prepare()
    identity.read(workspace)                  # a copy is refused
    try:
        with Store(workspace.database,
                   patience=BUSY_TIMEOUT if verb == 'run' else PATIENCE) as store:
            return VERBS[verb](_Task(env, workspace, settings, store, parsed), words)
    except BusyError:
        if parsed.cron:                 # the next tick comes anyway
            return 0
        raise


def _parse(name, argv):
    """(verb, its parser, the options, the words after it).  What looks like a verb may be the value
    of an option before it.
    """
    failure = None
    for verb in [word for word in argv if word in VERBS] + ['']:
        parser = _parser(name, verb)
        try:
            parsed, words = parser.parse(argv)
        except UsageError as error:
            failure = failure or error
            continue
        words = words + (parsed.rest or [])
        if verb and words[:1] == [verb]:
            return verb, parser, parsed, words[1:]
    raise failure or UsageError('lwt task: %s' % ('unknown verb ' + words[0] if words else 'what?'),
                                'one of: %s' % ' '.join(VERBS))


def _parser(name, verb):
    parser = Parser(name, USAGE,
                    'A task is a folder in description/ with a desc file that says what to run.  '
                    'lwt sends it to a\nhost with a free slot, runs it there and fetches its '
                    'results to task.finish/.', EXAMPLES)
    for flags, verbs, options in _FLAGS + (_DESC_FLAGS if verb == 'add' else ()):
        # Without a verb it is for --help only, and -f is the fanout there.
        if verb in verbs.split() or not verb:
            text = '%s: %s' % (', '.join(verbs.split()), options['help'])
            parser.add_argument(*[flag for flag in flags if verb or flag != '-f'],
                                **dict(options, help=text))
    parser.set_defaults(cron=False, progress=False)
    keys = ('connect_timeout', 'hello_timeout', 'grace', 'lease', 'stall')
    return parser.add_options(
        *(('fanout',) * (verb not in ('add', 'log')) + ('retries',) * (not verb) + keys))


_FLAGS = (
    (('--each',), 'add',
     dict(metavar='FILE', type=files.user_path, help='one task per line of FILE')),
    (('--array',), 'add',
     dict(metavar='A-B,…', help='one task per number: 5  1-100  1,3,7-9  0-99:10  001-100')),
    (('--after',), 'add', dict(metavar='ID,…', action='append', default=[],
                               help='start only after these tasks succeeded')),
    (('--unless-exists',), 'add',
     dict(action='store_true', help='skip tasks whose name and value exist already')),
    (('--cron',), 'update',
     dict(action='store_true', help='print only problems that need a person')),
    (('--progress',), 'run wait', dict(action='store_true', help='show a progress line')),
    (('--state', '--outcome'), 'show',
     dict(metavar='S,…', action='append', default=[],
          help='only tasks with these states or outcomes')),
    (('--name',), 'show',
     dict(metavar='N,…', action='append', default=[], help='only tasks with these names')),
    (('--host',), 'show',
     dict(metavar='H,…', action='append', default=[], help='only tasks on these hosts')),
    (('--finished',), 'show',
     dict(action='store_true', help='only finished tasks, with run time and cpu time')),
    (('--count', '--counts'), 'show', dict(action='store_true', help='print counts only')),
    (('--json',), 'show', dict(action='store_true', help='print one JSON object per line')),
    (('-f', '--follow'), 'log',
     dict(action='store_true', dest='follow', help='follow the output while the task runs')),
    (('--results',), 'rm', dict(action='store_true', help='also remove fetched results')),
)
_DESC_FLAGS = tuple(
    (('--' + key.replace('_', '-'),), 'add',
     dict(metavar='VALUE', dest='desc_' + key, help='replace %s of desc' % key))
    for key in model.Desc._fields)


class _Task:
    """What the verbs share."""

    def __init__(self, env, workspace, settings, store, parsed):
        self.env = env
        self.workspace = workspace
        self.settings = settings
        self.store = store
        self.parsed = parsed

    def running(self):
        """A Run under the fanout in force."""
        return running(fitting(self.settings.fanout, '-f', writer.say), self.settings.grace)

    def listed(self):
        """The available hosts, and a Session for them and for all that have tasks."""
        listed = self.workspace.available()
        busy = [Host(name, category, home) for name, home, category in self.store.busy_hosts()]
        return listed, self.env.session(self.settings, listed + busy)

    def context(self, session, tell, trouble, remark=None):
        """The Context of visits."""
        health_log = HealthLog(self.store, self.settings, session.heard)
        return Context(self.workspace, self.store, session, tell, health_log, trouble=trouble,
                       remark=remark or tell)

    def say(self, text):
        """A line, unless -q or --cron."""
        if not (self.env.quiet or self.parsed.cron):
            writer.say(text)


# -- adding ----------------------------------------------------------------------------------------


def add(command, words):
    """Queue tasks; prints an id a line."""
    if not words:
        raise UsageError('lwt task add: expected the name of a folder in description/')
    parsed = command.parsed
    args = _values(parsed)
    after = [task.id for task in queue.find(command.store, _split(parsed.after))]
    overrides = [(key, getattr(parsed, 'desc_' + key), '--' + key.replace('_', '-'))
                 for key in model.Desc._fields
                 if getattr(parsed, 'desc_' + key) is not None]
    reader = queue.DescReader(command.workspace, command.settings.retries, overrides, tuple(args),
                              command.say)
    found = [(name,) + reader.read(name) for name in words]
    _warn_of_hopeless(command, found)
    orders = [queue.NewTasks(name, desc, folder, tuple(args)) for name, desc, folder in found]
    if parsed.unless_exists:
        orders = _new_orders(command.store, orders)
    if orders:
        numbers = queue.add(command.workspace, command.store, orders, after)
        writer.put_line('\n'.join(map(model.format_id, numbers)))
    return 0


def _warn_of_hopeless(command, found):
    """Warn of tasks, (name, Desc, folder), that no host of the list can ever take."""
    try:
        listed, samples = command.workspace.candidates(), command.store.samples()
    except LwtError:                    # a host list is not needed to add tasks
        return
    for name, desc, _folder in found:
        problem = prospects.complaint(desc, listed, samples, command.settings)
        if problem:
            command.say('%s: %s' % (name, problem))


def _new_orders(store, orders):
    """Orders for those tasks only of which there is none of the same name and value yet."""
    known = {order.name: store.known_values(order.name) for order in orders}
    found = []
    for order in orders:
        found.append(
            order._replace(args=tuple(arg for arg in order.args if arg not in known[order.name])))
        known[order.name].update(order.args)
    return [order for order in found if order.args]


def _values(parsed):
    """The values of the tasks that are to be added; None for one without."""
    if parsed.each is not None and parsed.array is not None:
        raise UsageError('--each and --array: one or the other')
    if parsed.each is not None:
        return queue.values_of_file(parsed.each)
    return queue.values_of_array(parsed.array) if parsed.array is not None else [None]


def _split(texts):
    return [word for text in texts for word in text.replace(',', ' ').split()]


# -- passes ----------------------------------------------------------------------------------------


def _clear_up(command):
    """Before passes: forget what is old, and what an lwt that was killed left behind."""
    command.store.forget(command.settings.keep)
    for problem in queue.sweep(command.workspace, command.store):
        command.say('%s; lwt doctor tells more' % problem)


def update(command, words):
    """One pass."""
    _expect_no_words('update', words)
    _clear_up(command)
    listed, session = command.listed()
    events.note('a pass begins')
    with command.running() as run:
        reports = scheduler.one_pass(
            run, command.context(session, command.say, Troubles(command.say).hear), listed)
    events.note('the pass ends: %d hosts, %d changes'
                % (len(reports), sum(report.changes for report in reports)))
    for text in cron_log.overdue(command.workspace,
                                 [report.name for report in reports if report.busy],
                                 command.settings.overdue):
        writer.say(text)
    if reports and all(report.busy for report in reports):
        if command.parsed.cron:
            return 0
        raise BusyError('another pass is under way on every host', 'try again')
    _say_unplaceable(command, listed)
    if command.parsed.cron:
        for report in reports:
            if report.kind in NEEDS_A_PERSON:
                writer.say('%s: %s' % (report.name, report.problem))
        return 0
    return EXIT_UNREACHABLE if any(report.problem for report in reports) else 0


def run(command, words):
    """Passes until all is done."""
    _expect_no_words('run', words)
    _clear_up(command)
    before = command.store.open_numbers()
    code = _work(command, None)
    command.say(summary(command.store.counts()) or 'no tasks')
    return _exit_code(command, before, code)


def wait(command, words):
    """Passes until these tasks, or all, are done or held."""
    chosen = [task.id for task in queue.find(command.store, words)] or command.store.open_numbers()
    code = _work(command, set(chosen) if words else None)
    return _exit_code(command, chosen, code)


def _work(command, numbers):
    """Passes until nothing is left to do, of all or of these tasks.

    Returns an exit code: 3 where a host cannot be trusted, 1 where no host can take a task that
    waits, else 0.
    """
    listed, session = command.listed()
    progress = ProgressLine(True) if command.parsed.progress else None
    try:
        with Teller(command.store, command.say, progress) as teller, command.running() as the_run:
            troubles = Troubles(teller.remark)
            context = command.context(session, teller.tell, troubles.hear, teller.remark)
            hopes = Prospects(command.store, context.health_log, command.settings, listed,
                              time.time)
            scheduler.until_done(the_run, context, listed, numbers, hopes)
    except Interrupted:
        command.say(
            'interrupted; tasks that were started go on, and the next run or update looks after '
            'them')
        raise
    stuck, told = _say_stuck(command, hopes, numbers)
    for line in troubles.lines(told):
        command.say(line)
    _say_waiting(command, numbers)
    return troubles.exit_code() or (EXIT_FAILED if stuck else 0)


def _exit_code(command, numbers, code):
    """The exit code of a run over these tasks; code: the one that _work returned."""
    outcomes = command.store.outcomes(numbers)
    if set(outcomes) & {'lost', 'timeout'}:
        return EXIT_UNREACHABLE
    return code or (EXIT_FAILED if set(outcomes) - {'success'} else 0)


def _alike(found):
    """(label, Task) for each input of Tasks, the first ten: the label says how many there are."""
    alike = {}
    for task in found:
        alike.setdefault(task.input, []).append(task)
    for group in list(alike.values())[:10]:
        yield group[0].label + (' and %d more' % (len(group) - 1) if group[1:] else ''), group[0]


def _mismatch(label, desc):
    return '%s: no available host may take it (category %s, hosts %s)' % (
        label, desc.category or 'any', desc.hosts or 'any')


def _say_unplaceable(command, listed):
    """Say which tasks wait for what will not come."""
    for label, task in _alike(scheduler.unplaceable(command.store, listed)):
        writer.say(_mismatch(label, task.desc))
    _say_waiting(command)


def _say_stuck(command, hopes, numbers=None):
    """Say which tasks, of all or of these, no host can ever take, and what to do; returns how many,
    and the names of the hosts of which it is said why."""
    stuck, hints, told = hopes.stuck_tasks(numbers), {}, set()
    for label, task in _alike(stuck):
        refusals = hopes.refusals(task.desc) or []
        if not all(refusal.kind == 'mismatch' for refusal, _names in refusals):
            writer.say('%s: no host can take it: %s' % (label, prospects.reason_text(refusals)))
            told.update(name for _refusal, names in refusals for name in names)
            hints.update(dict.fromkeys(prospects.hints(refusals)))
            continue
        writer.say(_mismatch(label, task.desc))
        others = [host.name for host in command.workspace.candidates() if accepts(host, task.desc)]
        hints['did not pass the last probe: %s; test again with lwt probe' % nodeset.fold(others)
              if others else prospects.HINTS['mismatch']] = None
    for hint in hints:
        writer.say('hint: ' + hint)
    return len(stuck), told


def _say_waiting(command, numbers=None):
    """Say which tasks wait for somebody."""
    waiting = [task
               for task in command.store.chosen(
                       ('killing', 'suspending', 'resuming', 'suspended', 'held'))
               if numbers is None or task.id in numbers]
    for task in waiting[:10]:
        command.say('%s: %s' % (task.label, 'held: ' + task.reason if task.state == 'held' else
                                'suspended on %s; lwt task resume %s'
                                % (task.host, model.format_id(task.id))
                                if task.state == 'suspended'
                                else 'still %s on %s' % (task.state, task.host)))
    if waiting[10:]:
        command.say('%d more wait; lwt task show lists them' % len(waiting[10:]))


# -- looking ---------------------------------------------------------------------------------------


def show(command, words):
    """A table of tasks, or all about some."""
    parsed = command.parsed
    filters = [_split(texts) for texts in (parsed.state, parsed.name, parsed.host)]
    is_filtered = any(filters) or parsed.finished
    if parsed.count and not words and not is_filtered:
        counts = command.store.counts()
        chosen = ()
    else:
        chosen = _filtered(command, *filters) if is_filtered or not words else ()
        if words:
            through = {task.id for task in chosen}
            chosen = [task for task in queue.find(command.store, words)
                      if task.id in through or not is_filtered]
        counts = {}
        for task in chosen:
            counts[task.outcome or task.state] = counts.get(task.outcome or task.state, 0) + 1
    if parsed.count:
        _show_counts(counts, parsed.json)
    elif parsed.json:
        for task in chosen:
            writer.put_bytes(writer.json_line(as_json(command.workspace, command.store, task)))
    elif words:
        for task in chosen:
            for line in details(command.workspace, command.store, task, command.env.environ):
                writer.put_line(line)
    else:
        for line in table(chosen, command.env.environ, parsed.finished):
            writer.put_line(line)
        none = 'no such tasks' if is_filtered else 'no tasks; add one with: lwt task add NAME'
        command.say(summary(counts) or none)
    return 0


def _filtered(command, states, names, hosts):
    """The tasks that the filters of show let through."""
    for state in states:
        if state not in model.STATES + model.OUTCOMES:
            raise UsageError('--state %s: no such state' % state,
                             'one of: ' + ' '.join(model.STATES + model.OUTCOMES))
    if command.parsed.finished:
        states = [state for state in states or ['done'] if state in model.OUTCOMES + ('done',)]
        if not states:
            return []
    return command.store.chosen([state for state in states if state in model.STATES],
                                [state for state in states if state in model.OUTCOMES], names,
                                hosts)


def _show_counts(counts, as_object):
    if as_object:
        writer.put_bytes(writer.json_line(counts))
    else:
        words = [word for word in model.OUTCOMES + model.STATES if counts.get(word)]
        for line in tables.table(('STATE', 'TASKS'), [(word, counts[word]) for word in words]
                                 + [('all', sum(counts.values()))]):
            writer.put_line(line)


def why(command, words):
    """For each host, why it does not take a task that waits."""
    if len(words) != 1:
        raise UsageError('lwt task why: expected one id')
    task = queue.find(command.store, words)[0]
    if task.state != 'new':
        writer.put_line('%s: it does not wait: %s%s%s' % (
            task.label, task.outcome or task.state, ' on ' + task.host if task.host else '',
            ': ' + printable_text(task.reason, 1000)
            if task.reason else ''))
        return 0
    for line in tables.table(('HOST', 'WHY'), host_view.why_rows(
            command.workspace, command.store, command.settings, task, time.time())):
        writer.put_line(line)
    return 0


def log(command, words):
    """What a task printed: from its results or, while it is on a host, from there."""
    if len(words) != 1:
        raise UsageError('lwt task log: expected one id')
    task = queue.find(command.store, words)[0]
    while True:
        if task.state not in ('new', 'held', 'launching', 'withdrawing', 'done'):
            return _log_from_host(command, task)
        if task.state == 'done' or not command.parsed.follow:
            folders = results.directory(command.workspace, task), _last_attempt(command, task)
            return _log_from_here(command, task, next(filter(os.path.isdir, folders), None))
        time.sleep(ENOUGH_WAITING)
        task = command.store.get(task.id) or task._replace(state='done')


def _log_from_here(command, task, folder):
    if folder is None:
        command.say('%s: it has printed nothing (%s)' % (task.label, task.outcome or task.state))
        return 0
    for name, stream in (('run.stdout', 1), ('run.stderr', 2)):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with files.local_errors(path), open(path, 'rb') as file:
                writer.put_pieces(iter(lambda file=file: file.read(1 << 16), b''), stream)
    return 0


def _last_attempt(command, task):
    return results.attempt_directory(command.workspace, task._replace(attempt=task.attempt - 1))


_LOG = 'cd "./.lwt/t/$1" && cat run.stdout && cat run.stderr >&2'
_FOLLOW = '''cd "./.lwt/t/$1" || exit
tail -c +1 -f run.stdout & out=$!
tail -c +1 -f run.stderr >&2 & err=$!
while [ ! -e "$(echo exit.*)" ] && [ -e run.stdout ]; do sleep 0.2 2>/dev/null || sleep 1; done
sleep 1
kill "$out" "$err"'''


def _log_from_host(command, task):
    host = Host(task.host, task.category, task.home)
    session = command.env.session(command.settings, [host])
    with command.running() as the_run:
        out = writer.Output(the_run)
        verdict = the_run.report(call.command(
            session, host, _FOLLOW if command.parsed.follow else _LOG, (task.key,),
            lambda stream, data: out.stream(stream).write(data) or out.stream(stream).is_lost))
        out.check()
    if not verdict.ok and not writer.losses():
        raise HostError(task.host, verdict)
    return 0


# -- wishes ----------------------------------------------------------------------------------------


def _wish(verb, ing):
    """The function of a verb that records what a user wants of tasks."""
    def function(command, words):
        if not words:
            raise UsageError('lwt task %s: expected ids' % verb)
        code, pending = 0, []
        for task in queue.find(command.store, words):
            try:
                task = queue.wish(command.workspace, command.store, task, verb)
            except UsageError as error:
                writer.say('%s: %s%s' % (task.label, error.message,
                                         ' (%s)' % error.hint if error.hint else ''))
                code = EXIT_FAILED
                continue
            if task.state in ing:
                pending.append(task.id)
            else:
                command.say('%s: %s' % (task.label, task.outcome or task.state))
        _see_to(command, verb, ing, pending)
        return code
    function.__doc__ = ('Tasks to %s; what has to be done on hosts is done now if they can be '
                        'reached.'
                        % verb)
    return function


def _see_to(command, verb, ing, numbers, names=()):
    """Visit the hosts of tasks that are to do something about them now, and others; say which tasks
    still wait for that.
    """
    names = {command.store.get(number).host for number in numbers} | set(names)
    if not names:
        return
    listed, session = command.listed()
    with command.running() as the_run:
        context = command.context(session, command.say, Troubles(command.say).hear)
        reports = scheduler.one_pass(the_run, context, listed, only=names)
    busy = {report.name for report in reports if report.busy}
    for number in numbers:
        task = command.store.get(number)
        if task is not None and task.state in ing:
            command.say('%s: %s pending on %s%s' % (task.label, verb, task.host, (
                ' (already being handled by another lwt process)' if task.host in busy
                else '; a later pass sees to it')))


def remove(command, words):
    """Forget tasks; what runs is killed first."""
    if not words:
        raise UsageError('lwt task rm: expected ids')
    pending, names = [], set()
    for task in queue.find(command.store, words):
        names |= {host for _attempt, host, _home in command.store.kept(task)}
        left = queue.remove(command.workspace, command.store, task, command.parsed.results)
        where = results.directory(command.workspace, task)
        if left is not None:
            pending.append(left.id)
        elif os.path.isdir(where):
            command.say('%s: forgotten; its results stay in %s' % (task.label, where))
    _see_to(command, 'rm', model.STATES, pending, names)
    return 0


def _expect_no_words(verb, words):
    if words:
        raise UsageError('lwt task %s: unexpected word %s' % (verb, words[0]))


VERBS = {'add': add, 'update': update, 'run': run, 'show': show, 'why': why, 'log': log,
         'kill': _wish('kill', ('killing',)),
         'suspend': _wish('suspend', ('suspending',)), 'resume': _wish('resume', ('resuming',)),
         'retry': _wish('retry', ()),
         'wait': wait, 'rm': remove}
