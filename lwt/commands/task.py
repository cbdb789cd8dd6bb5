"""lwt task: the queue of tasks.

This module parses the command line.  The subcommands are in the modules task_add, task_run,
task_show, task_log, task_why and task_requests.
"""

from __future__ import generator_stop

from lwt.commands import (foreign_words, task_add, task_log, task_requests, task_run, task_show,
                          task_why)
from lwt.commands.options import Parser, fitting
from lwt.errors import BusyError, UsageError
from lwt.flow import running
from lwt.hosts.health_log import HealthLog
from lwt.output import writer
from lwt.tasks import model
from lwt.tasks.store import Store
from lwt.tasks.visit import Context
from lwt.workspace import files, identity
from lwt.workspace.database import BUSY_TIMEOUT, PATIENCE
from lwt.workspace.hostlist import Host

EXAMPLES = '''examples:
  lwt task add sample                        queue description/sample; prints its id
  lwt task add sweep --each parameters.txt   one task per line: $LWT_ARG, and {} in exec
  lwt task add sweep --array 1-100 --timeout 10m --memory 2G
  lwt task add --input train.py --param lr=0.1,0.01 -- python3 train.py {lr}
  lwt task add --after python3 -- date       start after all tasks of this name have succeeded
  lwt task run                               run until all tasks are done
  lwt task update --cron                     one pass, for cron: print problems only
  lwt task show                              list tasks
  lwt task show 12                           details of a task, and the end of its output
  lwt task show --state failed,lost --count
  lwt task why 12                            why a task has not started
  lwt task show --name sweep --csv           values, outcome and results of a sweep
  lwt task log -f 12                         follow the output of a task
  lwt task log --name sweep --tag            the output of all, each line with the values before it
  lwt task retry --state failed              ids, ranges such as 1-15, and filters select tasks
  lwt task kill 12 13'''

USAGE = '''lwt task add NAME… | add [--name NAME] [--input PATH]… [--fetch PATH] -- COMMAND
           [--each FILE [--colsep RE] | --array A-B[:STEP],… | --param KEY=VALUES…]
           [--after ID|NAME,…] [--max-fails N] [--unless-exists]
           [--KEY VALUE, for keys of desc]
       lwt task update [--cron]
       lwt task run [--progress]
       lwt task show [ID…] [FILTER] [--finished] [--count | --csv | --json]
       lwt task why ID
       lwt task log [ID…] [FILTER] [-f] [--tag]
       lwt task kill | suspend | resume | retry ID… | FILTER | --all
       lwt task wait [ID…] [FILTER]
       lwt task rm ID… | FILTER | --all [--results] [--yes]'''


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
    head = argv[:argv.index('--')] if '--' in argv else argv
    for word in [word for word in head if word in VERBS or word in ALIASES] + ['']:
        verb = ALIASES.get(word, word)
        parser = _parser(name, verb)
        try:
            parsed, words = parser.parse(argv)
        except UsageError as error:
            failure = failure or error
            continue
        if verb != 'add':
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
                    'A task is a command line, or a folder in description/ with a desc file that '
                    'says what to run.  lwt sends it to a host with a free slot, runs it there '
                    'and fetches its results to task.finish/.\n\n'
                    'ID is an id, a range of ids or a list of both: 12, 1-15, 1-15,20.  FILTER is '
                    'one or more of --state, --name and --host.', EXAMPLES)
    actions = {}
    for flags, verbs, options in _FLAGS + (_DESC_FLAGS if verb == 'add' else ()):
        if verb and verb not in verbs.split():
            continue
        label = 'FILTER' if verbs == _SELECTING else ', '.join(verbs.split())
        text = '%s: %s' % (label, options['help'])
        if flags[0] in actions:         # in the help for all subcommands
            actions[flags[0]].help += '; ' + text
            continue
        # -f means the fanout where no subcommand is given.
        actions[flags[0]] = parser.add_argument(
            *[flag for flag in flags if verb or flag != '-f'], **dict(options, help=text))
    parser.set_defaults(cron=False, progress=False, finished=False, all=False)
    keys = ('connect_timeout', 'hello_timeout', 'ssh_config', 'ssh_option', 'grace', 'lease',
            'stall')
    return parser.add_options(
        *(('fanout',) * (verb not in ('add', 'log')) + ('retries',) * (not verb) + keys))


_SELECTING = 'show log kill suspend resume retry wait rm'
_FLAGS = (
    (('--name',), 'add',
     dict(metavar='NAME', dest='new_name',
          help='name of the tasks (default: the first word of COMMAND)')),
    (('--input',), 'add',
     dict(metavar='PATH', action='append', default=[],
          help='file or directory that COMMAND needs; copied now, to the same relative path')),
    (('--fetch',), 'add',
     dict(metavar='PATH', dest='desc_d_fetch',
          help='file or directory to bring back (default: all that is new or different)')),
    (('--each',), 'add',
     dict(metavar='FILE', type=files.user_path,
          help='one task per line of FILE (-: standard input): {} is the line')),
    (('--colsep',), 'add',
     dict(metavar='RE', help='divide the lines of --each at this regular expression: {1} {2} …')),
    (('--array',), 'add',
     dict(metavar='A-B,…', help='one task per number: 5  1-100  1,3,7-9  0-99:10  001-100')),
    (('--param',), 'add',
     dict(metavar='KEY=VALUES', action='append', default=[],
          help='one task per combination of all --param: {KEY} and $KEY; VALUES: 0.1,0.01 or 1-5')),
    (('--after',), 'add', dict(metavar='ID|NAME,…', action='append', default=[],
                               help='start only after these tasks succeeded')),
    (('--max-fails',), 'add',
     dict(metavar='N', help='hold the rest of these tasks after N of them failed')),
    (('--unless-exists',), 'add',
     dict(action='store_true', help='skip tasks whose name and value exist already')),
    (('--cron',), 'update',
     dict(action='store_true', help='print only problems that need a person')),
    (('--progress',), 'run wait',
     dict(action='store_true', help='show progress even if standard error is not a terminal')),
    (('--state', '--outcome'), _SELECTING,
     dict(metavar='S,…', action='append', default=[],
          help='only tasks with these states or outcomes')),
    (('--name',), _SELECTING,
     dict(metavar='N,…', action='append', default=[], help='only tasks with these names')),
    (('--host',), _SELECTING,
     dict(metavar='H,…', action='append', default=[], help='only tasks on these hosts')),
    (('--finished',), 'show log',
     dict(action='store_true', help='only finished tasks, with their cpu time')),
    (('--all',), 'kill suspend resume retry rm',
     dict(action='store_true', help='all tasks to which the request applies')),
    (('--count', '--counts'), 'show', dict(action='store_true', help='print counts only')),
    (('--csv',), 'show',
     dict(action='store_true', help='print comma-separated values, with the path of the results')),
    (('--json',), 'show', dict(action='store_true', help='print one JSON object per line')),
    (('-f', '--follow'), 'log',
     dict(action='store_true', dest='follow', help='follow the output while the task runs')),
    (('--tag',), 'log',
     dict(action='store_true', help='print the values of the task and a TAB before each line')),
    (('--fresh',), 'retry',
     dict(action='store_true', help='copy the folder or the inputs again, and read desc again')),
    (('--results',), 'rm', dict(action='store_true', help='also remove fetched results')),
    (('-y', '--yes'), 'rm',
     dict(action='store_true', help='do not ask; scripts need it with ranges, filters and --all')),
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


VERBS = {'add': task_add.add, 'update': task_run.update, 'run': task_run.run,
         'show': task_show.show, 'why': task_why.why,
         'log': task_log.log, 'kill': task_requests.kill,
         'suspend': task_requests.suspend, 'resume': task_requests.resume,
         'retry': task_requests.retry, 'wait': task_run.wait, 'rm': task_requests.remove}
# Names that other queues use.
ALIASES = {'ls': 'show', 'list': 'show', 'status': 'show', 'cancel': 'kill'}
