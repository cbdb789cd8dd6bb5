"""lwt task: the queue of tasks."""

from __future__ import generator_stop

import os
import time

from lwt import call, events, output, passes, queue, results, scheduler, task as tasks, weather_view
from lwt.arguments import Parser, fitting
from lwt.errors import BusyError, EXIT_FAILED, EXIT_UNREACHABLE, HostError, Interrupted, UsageError
from lwt.flow import running
from lwt.health import NEEDS_A_PERSON        # cron mails what is said of such a host
from lwt.hosts import Host
from lwt.store import Store
from lwt.task_view import Teller, summary, table
from lwt.visit import Context
from lwt.weather import Weather

EXAMPLES = '''examples:
  lwt task add sample                        queue description/sample; prints its id
  lwt task add sweep --each parameters.txt   a task for each line: $LWT_ARG, and {} in exec
  lwt task add sweep --array 1-100
  lwt task run --progress                    until all are done
  lwt task update --cron                     one pass, silent unless something is wrong
  lwt task show                              a table; with an id, all about it
  lwt task why 12                            for each host, why it does not take it
  lwt task log 12                            what it printed
  lwt task kill 12 13'''

USAGE = '''lwt task add NAME… [--each FILE | --array A-B] [--priority N]
       lwt task update [--cron]
       lwt task run [--progress]
       lwt task show [ID…] [--json]
       lwt task why ID
       lwt task log ID
       lwt task kill ID…'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = _parser(name)
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    words = words + (parsed.rest or [])
    if not words or words[0] not in VERBS:
        raise UsageError('lwt task: %s' % ('unknown verb ' + words[0] if words else 'what?'),
                         'one of: %s' % ' '.join(VERBS))
    place = env.require_workspace()
    settings = env.settings(place)
    place.prepare()
    try:
        with Store(place.database) as store:
            store.forget(settings.keep)
            return VERBS[words[0]](_Task(env, place, settings, store, parsed), words[1:])
    except BusyError:
        if parsed.cron:                 # the next tick comes anyway
            return 0
        raise


def _parser(name):
    parser = Parser(name, USAGE, 'A task is a folder of description/ with a desc file that says what to run.  It is sent to a\n'
                    'host that has room, run there, watched, and its results are brought home to task.finish/.', EXAMPLES)
    parser.add_argument('--each', metavar='FILE', help='add: a task for each line of FILE')
    parser.add_argument('--array', metavar='A-B', help='add: a task for each number')
    parser.add_argument('--priority', metavar='N', help='add: higher goes first')
    parser.add_argument('--cron', action='store_true', help='update: silent unless something needs a person')
    parser.add_argument('--progress', action='store_true', help='run: a line of progress')
    parser.add_argument('--json', action='store_true', help='show: one JSON object a line')
    return parser.add_options('fanout', 'connect_timeout', 'hello_timeout', 'grace', 'lease', 'stall', 'retries')


class _Task:
    """What the verbs share."""

    def __init__(self, env, place, settings, store, parsed):
        self.env = env
        self.place = place
        self.settings = settings
        self.store = store
        self.parsed = parsed

    def running(self):
        """A Run under the fanout in force."""
        return running(fitting(self.settings.fanout, '-f', output.say), self.settings.grace)

    def listed(self):
        """The available hosts, and a Session for them and for all that have tasks."""
        listed = self.place.available()
        busy = [Host(name, category, home) for name, home, category in self.store.busy_hosts()]
        return listed, self.env.session(self.settings, listed + busy)

    def context(self, session, tell):
        """The Context of visits."""
        return Context(self.place, self.store, session, tell, Weather(self.store, self.settings, session.heard))

    def say(self, text):
        """A line, unless -q or --cron."""
        if not (self.env.quiet or self.parsed.cron):
            output.say(text)


def add(command, words):
    """Queue tasks; prints an id a line."""
    if not words:
        raise UsageError('lwt task add: expected the name of a folder in description/')
    parsed = command.parsed
    if parsed.each is not None and parsed.array is not None:
        raise UsageError('--each and --array: one or the other')
    args = [None]
    if parsed.each is not None:
        args = queue.values_of_file(parsed.each)
    elif parsed.array is not None:
        args = queue.values_of_range(parsed.array)
    found = [(name,) + queue.read_description(command.place, name, command.settings.retries) for name in words]
    for name, desc, folder in found:
        if parsed.priority is not None:
            desc = desc._replace(priority=_priority(parsed.priority))
        for number in queue.add(command.place, command.store, name, desc, folder, args):
            output.put_line(tasks.format_id(number))
    return 0


def _priority(text):
    try:
        return tasks.priority(text)
    except ValueError as error:
        raise UsageError('--priority: %r: %s' % (text, error))


def update(command, words):
    """One pass."""
    _expect_no_words('update', words)
    listed, session = command.listed()
    events.note('a pass begins')
    with command.running() as run:
        reports = scheduler.one_pass(run, command.context(session, command.say), listed)
    events.note('the pass ends: %d hosts, %d changes' % (len(reports), sum(report.changes for report in reports)))
    for text in passes.overdue(command.place, [report.name for report in reports if report.busy], command.settings.overdue):
        output.say(text)
    if reports and all(report.busy for report in reports):
        if command.parsed.cron:
            return 0
        raise BusyError('another pass is under way on every host', 'try again')
    _say_unplaceable(command, listed)
    if command.parsed.cron:
        for report in reports:
            if report.kind in NEEDS_A_PERSON:
                output.say('%s: %s' % (report.name, report.problem))
        return 0
    return EXIT_UNREACHABLE if any(report.problem for report in reports) else 0


def run(command, words):
    """Passes until all is done."""
    _expect_no_words('run', words)
    before = [task.id for task in command.store.all() if task.state != 'done']
    listed, session = command.listed()
    progress = output.Progress(True) if command.parsed.progress else None
    try:
        with Teller(command.store, command.say, progress) as teller, command.running() as the_run:
            scheduler.until_done(the_run, command.context(session, teller.tell), listed)
    except Interrupted:
        command.say('interrupted; tasks that were started go on, and the next run or update looks after them')
        raise
    stuck = _say_unplaceable(command, listed)
    outcomes = [command.store.get(number).outcome for number in before]
    command.say(summary(command.store.counts()) or 'no tasks')
    if set(outcomes) & {'lost', 'timeout'}:
        return EXIT_UNREACHABLE
    return EXIT_FAILED if stuck or set(outcomes) - {'success', ''} else 0


def _say_unplaceable(command, listed):
    stuck = scheduler.unplaceable(command.store, listed)
    for task in stuck[:10]:
        output.say('%s: no available host may take it (category %s, hosts %s)'
                    % (task.label, task.desc.category or 'any', task.desc.hosts or 'any'))
    return stuck


def show(command, words):
    """A table of tasks, or all about some."""
    chosen = queue.find(command.store, words) if words else command.store.all()
    if command.parsed.json:
        for task in chosen:
            output.put_bytes(output.json_line(_as_json(command, task)))
    elif words:
        for task in chosen:
            _show_one(command, task)
    else:
        for line in table(chosen, command.env.environ):
            output.put_line(line)
        command.say(summary(command.store.counts()) or 'no tasks; add one with: lwt task add NAME')
    return 0


def _as_json(command, task):
    return {'id': tasks.format_id(task.id), 'name': task.name, 'arg': task.arg, 'state': task.state, 'outcome': task.outcome,
            'attempt': task.attempt, 'host': task.host, 'code': task.code, 'reason': task.reason, 'added': task.added,
            'started': task.started, 'ended': task.ended, 'desc': task.desc._asdict(),
            'result': results.directory(command.place, task) if task.state == 'done' else None}


def _show_one(command, task):
    for line in table([task], command.env.environ):
        output.put_line(line)
    output.put_line('exec : ' + output.printable_line(os.fsencode(task.desc.exec), 400))
    where = results.directory(command.place, task)
    if os.path.isdir(where):
        output.put_line('result : ' + where)
    for when, text in command.store.history(task.id):
        output.put_line('%s  %s' % (time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(when)), output.printable_line(
            os.fsencode(text), 400)))


def why(command, words):
    """For each host, why it does not take a task that waits."""
    if len(words) != 1:
        raise UsageError('lwt task why: expected one id')
    task = queue.find(command.store, words)[0]
    if task.state != 'new':
        output.put_line('%s: it does not wait: %s' % (
            task.label, task.outcome + ' on ' + task.host if task.outcome else '%s on %s' % (task.state, task.host)))
        return 0
    for line in output.table(('HOST', 'WHY'), weather_view.why_rows(
            command.place, command.store, command.settings, task, time.time())):
        output.put_line(line)
    return 0


def log(command, words):
    """What a task printed: from its results or, while it is on a host, from there."""
    if len(words) != 1:
        raise UsageError('lwt task log: expected one id')
    task = queue.find(command.store, words)[0]
    for folder in (results.directory(command.place, task), _last_attempt(command, task)):
        if os.path.isdir(folder):
            for name, put in (('run.stdout', output.put_bytes), ('run.stderr', output.put_error)):
                path = os.path.join(folder, name)
                if os.path.exists(path):
                    with open(path, 'rb') as file:
                        for chunk in iter(lambda file=file: file.read(1 << 16), b''):
                            put(chunk)
            return 0
    if task.state in ('new', 'placed', 'done'):
        command.say('%s: it has printed nothing (%s)' % (task.label, task.outcome or task.state))
        return 0
    return _log_from_host(command, task)


def _last_attempt(command, task):
    return results.attempt_directory(command.place, task._replace(attempt=task.attempt - 1))


def _log_from_host(command, task):
    host = Host(task.host, task.category, task.home)
    session = command.env.session(command.settings, [host])
    with command.running() as the_run:
        out = output.Output(the_run)
        verdict = the_run.report(call.command(
            session, host, 'cd ".lwt/t/$1" && cat run.stdout && cat run.stderr >&2', (task.key,),
            lambda stream, data: out.stream(stream).write(data)))
        out.check()
    if not verdict.ok:
        raise HostError(task.host, verdict)
    return 0


def kill(command, words):
    """Kill tasks; those that may have started are killed on their hosts, now if these can be reached."""
    if not words:
        raise UsageError('lwt task kill: expected ids')
    code, pending = 0, []
    for task in queue.find(command.store, words):
        try:
            task = queue.kill(command.store, task)
        except UsageError as error:
            output.say('%s: %s' % (task.label, error.message))
            code = EXIT_FAILED
            continue
        if task.state == 'done':
            results.tidy(command.place, command.store, task)
            command.say('%s: killed' % task.label)
        else:
            pending.append(task.id)
    if pending:
        _kill_on_hosts(command, pending)
    return code


def _kill_on_hosts(command, numbers):
    listed, session = command.listed()
    names = {command.store.get(number).host for number in numbers}
    with command.running() as the_run:
        scheduler.one_pass(the_run, command.context(session, command.say), listed, only=names)
    for number in numbers:
        task = command.store.get(number)
        if task.state != 'done':
            command.say('%s: kill pending on %s' % (task.label, task.host))


def _expect_no_words(verb, words):
    if words:
        raise UsageError('lwt task %s: unexpected word %s' % (verb, words[0]))


VERBS = {'add': add, 'update': update, 'run': run, 'show': show, 'why': why, 'log': log, 'kill': kill}
