"""lwt task: the queue of tasks.

This module parses the command line and adds tasks.  The other subcommands are in the modules
task_run, task_show, task_why and task_requests.
"""

from __future__ import generator_stop

from lwt.commands import foreign_words, task_requests, task_run, task_show, task_why
from lwt.commands.options import Parser, fitting
from lwt.errors import BusyError, LwtError, UsageError
from lwt.flow import running
from lwt.hosts.health_log import HealthLog
from lwt.output import writer
from lwt.tasks import model, prospects, queue
from lwt.tasks.store import Store
from lwt.tasks.visit import Context
from lwt.workspace import files, identity
from lwt.workspace.database import BUSY_TIMEOUT, PATIENCE
from lwt.workspace.hostlist import Host

EXAMPLES = '''examples:
  lwt task add sample                        queue description/sample; prints its id
  lwt task add sweep --each parameters.txt   one task per line: $LWT_ARG, and {} in exec
  lwt task add sweep --array 1-100 --timeout 10m --memory 2G
  lwt task add sample --after 12,13          start after these tasks have succeeded
  lwt task run                               run until all tasks are done
  lwt task update --cron                     one pass, for cron: print problems only
  lwt task show                              list tasks
  lwt task show 12                           details of a task, and the end of its output
  lwt task show --state failed,lost --count
  lwt task why 12                            why a task has not started
  lwt task log -f 12                         follow the output of a task
  lwt task kill 12 13'''

USAGE = '''lwt task add NAME… [--each FILE | --array A-B[:STEP],…]
           [--after ID] [--unless-exists] [--KEY VALUE, for keys of desc]
       lwt task update [--cron]
       lwt task run [--progress]
       lwt task show [ID…] [--state S,…] [--name N,…] [--host H,…] [--finished] [--count] [--json]
       lwt task why ID
       lwt task log ID [-f]
       lwt task kill | suspend | resume | retry ID…
       lwt task wait [ID…]
       lwt task rm ID… [--results]'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    verb, parser, parsed, words = _parse(name, argv)
    env = make_env(parser, parsed)
    env = env._replace(quiet=env.quiet or parsed.cron)
    workspace = env.require_workspace()
    settings = env.settings(workspace)
    workspace.prepare()
    identity.read(workspace)                  # a copied workspace is refused
    try:
        with Store(workspace.database,
                   patience=BUSY_TIMEOUT if verb == 'run' else PATIENCE) as store:
            return VERBS[verb](TaskCommand(env, workspace, settings, store, parsed), words)
    except BusyError:
        if parsed.cron:                 # cron starts another pass anyway
            return 0
        raise


def _parse(name, argv):
    """Return (subcommand, its parser, the options, the words after it).

    A word that looks like a subcommand may be the value of an option before it, so each is tried.
    """
    failure = None
    for word in [word for word in argv if word in VERBS or word in ALIASES] + ['']:
        verb = ALIASES.get(word, word)
        parser = _parser(name, verb)
        try:
            parsed, words = parser.parse(argv)
        except UsageError as error:
            failure = failure or error
            continue
        words = words + (parsed.rest or [])
        if verb and words[:1] == [word]:
            return verb, parser, parsed, words[1:]
    if failure is None and words:
        failure = UsageError('lwt task: unknown subcommand %s' % words[0],
                             foreign_words.subcommand_hint(words[0])
                             or 'the subcommands are: %s' % ', '.join(VERBS))
    raise failure or UsageError('lwt task: missing subcommand (%s)' % ', '.join(VERBS),
                                'see lwt task --help')


def _parser(name, verb):
    """Return the parser of a subcommand; '' for the parser of --help, which has the options of all.
    """
    parser = Parser(name, USAGE,
                    'A task is a folder in description/ with a desc file that says what to run.  '
                    'lwt sends it to a\nhost with a free slot, runs it there and fetches its '
                    'results to task.finish/.', EXAMPLES)
    for flags, verbs, options in _FLAGS + (_DESC_FLAGS if verb == 'add' else ()):
        # -f means the fanout where no subcommand is given.
        if verb in verbs.split() or not verb:
            text = '%s: %s' % (', '.join(verbs.split()), options['help'])
            parser.add_argument(*[flag for flag in flags if verb or flag != '-f'],
                                **dict(options, help=text))
    parser.set_defaults(cron=False, progress=False)
    keys = ('connect_timeout', 'hello_timeout', 'ssh_config', 'ssh_option', 'grace', 'lease',
            'stall')
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
    (('--progress',), 'run wait',
     dict(action='store_true', help='show progress even if standard error is not a terminal')),
    (('--state', '--outcome'), 'show',
     dict(metavar='S,…', action='append', default=[],
          help='only tasks with these states or outcomes')),
    (('--name',), 'show',
     dict(metavar='N,…', action='append', default=[], help='only tasks with these names')),
    (('--host',), 'show',
     dict(metavar='H,…', action='append', default=[], help='only tasks on these hosts')),
    (('--finished',), 'show',
     dict(action='store_true', help='only finished tasks, with their cpu time')),
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


class TaskCommand:
    """What the subcommands share: the workspace, its tasks, and the way to reach hosts."""

    def __init__(self, env, workspace, settings, store, parsed):
        self.env = env
        self.workspace = workspace
        self.settings = settings
        self.store = store
        self.parsed = parsed

    def running(self):
        """Return a Run with the fanout in force."""
        return running(fitting(self.settings.fanout, '-f', writer.say), self.settings.grace)

    def listed(self):
        """Return the available hosts, and a Session for them and for all hosts that have tasks."""
        listed = self.workspace.available()
        busy = [Host(name, category, home) for name, home, category in self.store.busy_hosts()]
        return listed, self.env.session(self.settings, listed + busy)

    def context(self, session, monitor):
        """Return the Context of visits.  monitor: a task_monitor.Monitor, which shows what happens.
        """
        health_log = HealthLog(self.store, self.settings, session.heard)
        return Context(self.workspace, self.store, session, monitor.step, health_log,
                       trouble=monitor.troubles.hear, remark=monitor.remark, ended=monitor.ended,
                       tick=monitor.refresh)

    def say(self, text):
        """Print a message, unless -q or --cron."""
        if not (self.env.quiet or self.parsed.cron):
            writer.say(text)


# -- adding ----------------------------------------------------------------------------------------


def add(command, words):
    """Queue tasks; prints one id per line."""
    if not words:
        raise UsageError('lwt task add: missing name of a folder in description/')
    parsed = command.parsed
    args = _values(parsed)
    after = [task.id for task in queue.find(command.store, task_show.split_words(parsed.after))]
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
    """Warn about tasks, (name, Desc, folder), that no host of the host list can ever run."""
    try:
        listed, samples = command.workspace.candidates(), command.store.samples()
    except LwtError:                    # tasks can be added without a host list
        return
    for name, desc, _folder in found:
        problem = prospects.complaint(desc, listed, samples, command.settings)
        if problem:
            command.say('%s: %s' % (name, problem))


def _new_orders(store, orders):
    """Return the orders without the tasks whose name and value exist already."""
    known = {order.name: store.known_values(order.name) for order in orders}
    found = []
    for order in orders:
        found.append(
            order._replace(args=tuple(arg for arg in order.args if arg not in known[order.name])))
        known[order.name].update(order.args)
    return [order for order in found if order.args]


def _values(parsed):
    """Return the values of the new tasks; [None] for one task without a value."""
    if parsed.each is not None and parsed.array is not None:
        raise UsageError('lwt task add: --each and --array exclude each other')
    if parsed.each is not None:
        return queue.values_of_file(parsed.each)
    return queue.values_of_array(parsed.array) if parsed.array is not None else [None]


VERBS = {'add': add, 'update': task_run.update, 'run': task_run.run, 'show': task_show.show,
         'why': task_why.why, 'log': task_show.log, 'kill': task_requests.kill,
         'suspend': task_requests.suspend, 'resume': task_requests.resume,
         'retry': task_requests.retry, 'wait': task_run.wait, 'rm': task_requests.remove}
ALIASES = {'ls': 'show', 'cancel': 'kill'}
