"""lwt exec: run a command on hosts.

main goes through four steps, in this order:

  parse    the command line becomes ExecArguments
  plan     the arguments become an ExecPlan: hosts, session, payload and output
  run      _Execution starts the command on the hosts; remote/call.py does one host
  report   exec_report.ExecReport prints messages and progress, during the run and at the end

Usage errors are found before a process is started.
"""

from __future__ import generator_stop

import collections
import contextlib
import os
import re
import shlex
import stat
import sys
from typing import NamedTuple, Optional

from lwt import flow
from lwt.commands import exit_codes
from lwt.commands.exec_report import NOT_STARTED, ExecReport
from lwt.commands.options import Parser, fitting
from lwt.errors import Cancelled, EXIT_LOCAL, LwtError, UsageError, printable, printable_text
from lwt.output import host_output, writer
from lwt.remote import call
from lwt.remote.exit_status import Verdict
from lwt.remote.scripts import Payload
from lwt.workspace import files
from lwt.workspace.config import count, positive
from lwt.workspace.layout import Workspace

MAX_SCRIPT = 16 << 20       # bytes
RETRY_DELAY = 1.0           # seconds; doubled after each attempt
READY = 64                  # flows that wait for a slot, so that no slot is ever idle

# What --subst replaces: %h, %n, %{column} and %%.
SUBSTITUTED = re.compile(r'%(h|n|%|\{([A-Za-z0-9_][\w.-]*)\})', re.ASCII)

EXAMPLES = '''examples:
  lwt exec -w h1,h2 -- uptime
  lwt exec -a -b -- uname -r                         print equal output once
  lwt exec -g plab -u 30 -- 'cd data && make'        kill the command after 30 s
  lwt exec -a --script check.sh -- --fast            run a local script
  lwt exec -w 'h[1-9]' --subst -- ./work --part %n   %n is the index of the host, from 0
  lwt exec -a --batch 5 --fail-fast -- ./upgrade     five at a time; stop after a failed batch
  lwt exec -a --failed-to bad -- true || lwt exec -w ^bad -- true
  lwt exec -a --json -- df -k . | jq .stdout'''


class RemoteCommand(NamedTuple):
    """The command: text for sh -c, and its arguments.  is_template: replace %h and so on."""

    text: str
    arguments: tuple
    is_template: bool

    def at(self, host, rank):
        """(text, arguments) for one host.  rank: its index in the selection."""
        if not self.is_template:
            return self.text, self.arguments
        return (_filled(self.text, host, rank, shlex.quote),
                tuple(_filled(word, host, rank, str) for word in self.arguments))


class ExecArguments(NamedTuple):
    """The command line of lwt exec, except the options of the table in workspace/config.py.

    hosts, categories, everything, exclude: the selection, as Env.select reads it.  Every other
    field but command has the name of its option.
    """

    command: RemoteCommand
    hosts: list
    categories: list
    everything: bool
    exclude: list
    gather: bool
    diff: bool
    keep_order: bool
    no_label: bool
    json: bool
    outdir: Optional[str]
    errdir: Optional[str]
    progress: bool
    failed_to: Optional[str]
    max_code: bool
    stdin: Optional[str]
    script: Optional[str]
    sudo: bool
    pick: Optional[int]
    batch: Optional[int]
    fail_fast: bool
    retries: int


class ExecPlan(NamedTuple):
    """What a run needs.  hosts: in their order.  fanout: maximum number of parallel hosts."""

    arguments: ExecArguments
    workspace: Optional[Workspace]
    hosts: list
    session: call.Session
    fanout: int
    output: host_output.HostOutput
    payload: Payload


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = _parser(name)
    parsed, words = _parse(parser, argv)
    env = make_env(parser, parsed)
    with contextlib.ExitStack() as stack:
        plan = _plan(env, _arguments(parsed, words), stack)
        with flow.running(plan.fanout, plan.session.settings.grace) as run:
            env.ready(run, plan.workspace, plan.session, plan.hosts)
            execution = _Execution(run, plan, ExecReport(run, plan, env.verbose))
            execution.run()
    return execution.exit_code()


# -- parse -----------------------------------------------------------------------------------------


def _parser(name):
    parser = Parser(name, 'lwt exec -w HOSTS | -g CATEGORY | -a [options] -- COMMAND',
                    'Run a shell command in the home of each host.  Output is printed line by '
                    'line, prefixed with\nthe host name if there are several hosts.  Standard '
                    'input is empty.', EXAMPLES)
    parser.add_selection()
    parser.add_options('timeout', 'idle', 'grace', 'lease', 'output_limit')
    _add_output_options(parser)
    _add_command_options(parser)
    return parser


def _add_output_options(parser):
    shown = parser.add_argument_group('output')
    shown.add_argument('-b', '--gather', action='store_true',
                       help='wait for all hosts and print equal output once')
    shown.add_argument('--diff', action='store_true',
                       help='like -b, and print how each output differs from the most common one')
    shown.add_argument('-k', '--keep-order', action='store_true',
                       help='print output in the order of the hosts')
    shown.add_argument('-N', '--no-label', action='store_true',
                       help='do not prefix output lines with the host name')
    shown.add_argument('--json', action='store_true',
                       help='print one JSON object per line and host')
    shown.add_argument('--outdir', metavar='DIR', type=files.user_path,
                       help='also write the standard output of each host to DIR/HOST')
    shown.add_argument('--errdir', metavar='DIR', type=files.user_path,
                       help='also write the standard error of each host to DIR/HOST')
    shown.add_argument('--progress', action='store_true',
                       help='show progress (SIGUSR1 lists running commands)')
    shown.add_argument('--failed-to', metavar='FILE', type=files.user_path,
                       help='write the names of failed hosts to FILE, for -w ^FILE')
    shown.add_argument('-S', '--max-code', action='store_true',
                       help='exit with the largest remote exit code')


def _add_command_options(parser):
    what = parser.add_argument_group('command and hosts')
    what.add_argument('--stdin', metavar='FILE', type=files.user_path,
                      help="standard input of the command on every host; - for lwt's own")
    what.add_argument('--script', metavar='FILE', type=files.user_path,
                      help='run a local script; the words after -- are its arguments')
    what.add_argument('--subst', action='store_true',
                      help='replace %%h with the host, %%n with its index from 0, %%{COLUMN} with '
                           'its column in the host list, %%%% with a percent sign')
    what.add_argument('--sudo', action='store_true',
                      help='run as root with sudo; the password is asked for once')
    what.add_argument('--pick', type=positive, metavar='N',
                      help='run on N random hosts of the selection')
    what.add_argument('--batch', type=positive, metavar='N',
                      help='start the next N hosts when the previous N are done')
    what.add_argument('--fail-fast', action='store_true',
                      help='stop after the first failure; with --batch, after its batch')
    what.add_argument('--retries', type=count, default=0, metavar='N',
                      help='retry up to N times on hosts where nothing ran')


def _parse(parser, argv):
    """Read the command line; returns (parsed, words).  Raises UsageError.

    Words before "--" are not part of the command: most often the shell has expanded a node set.
    Without "--", the first word begins the command, but an option after it may be meant for lwt.
    """
    leading, rest = parser.leading(argv)
    has_dashes = '--' in argv
    if not has_dashes:
        _refuse_ambiguous(leading, rest)
    try:
        parsed, words = parser.parse(argv)
    except UsageError as error:
        if has_dashes or not any(word.startswith('-') for word in rest[1:]):
            raise
        raise UsageError(error.message, _put_dashes(rest))
    if words and has_dashes:
        raise UsageError('lwt exec: unexpected word %s before --' % printable(words[0]),
                         "quote node sets, or the shell may expand them: -w 'h[1-9]'")
    return parsed, words


def _refuse_ambiguous(leading, rest):
    """Raise UsageError for options of the command that lwt would take as its own, with bad results:
    -h, which prints help, and -a beside -w or -g, which would select every host.
    """
    options = {'-h'} | ({'-a'} if {'-w', '-g'} & {word[:2] for word in leading} else set())
    found = [word for word in rest[1:] if word in options]
    if found:
        raise UsageError('lwt exec: %s after the first word of the command' % found[0],
                         _put_dashes(rest))


def _put_dashes(rest):
    return 'put -- before the command: -- ' + printable_text(' '.join(map(shlex.quote, rest)))


def _arguments(parsed, words):
    """Return the ExecArguments of a command line.  Raises UsageError."""
    words = words + (parsed.rest or [])
    if parsed.script is not None:
        command = RemoteCommand(os.path.basename(parsed.script), tuple(words), parsed.subst)
    else:
        command = RemoteCommand(' '.join(words), (), parsed.subst)
        if not command.text.strip():
            raise UsageError('empty command', 'lwt exec -w HOSTS -- COMMAND')
    values = {name: value for name, value in vars(parsed).items() if name in ExecArguments._fields}
    return ExecArguments(command=command, **values)


# -- plan ------------------------------------------------------------------------------------------


def _plan(env, arguments, stack):
    """Return the ExecPlan.  stack: an ExitStack, which removes temporary files.  Raises UsageError.
    """
    workspace = env.find_workspace()
    settings = env.settings(workspace)
    hosts = _picked(env.select(arguments, workspace, settings), arguments.pick)
    _check_columns(arguments.command, hosts)
    session = env.session(settings, hosts)
    fanout = fitting(settings.fanout, '-f', writer.say)
    output = _host_output(arguments, hosts)
    if settings.output_limit:
        output = host_output.Limited(output, settings.output_limit * 1024)
    if arguments.failed_to is not None:
        _check_replaceable(arguments.failed_to)
    return ExecPlan(arguments, workspace, hosts, session, fanout, output,
                    _payload(arguments, stack))


def _picked(hosts, pick):
    if pick is None or pick >= len(hosts):
        return hosts
    import random                       # here, because it is slow to import and rarely needed
    return [hosts[rank] for rank in sorted(random.sample(range(len(hosts)), pick))]


def _columns(host):
    return dict(host.extra, name=host.name, category=host.category, home=host.home)


def _filled(text, host, rank, quote):
    """Return text with the placeholders of --subst replaced; unknown columns are left unchanged."""
    columns = _columns(host)

    def value(match):
        word, column = match.groups()
        if column is not None:
            return quote(columns[column]) if column in columns else match.group()
        return {'%': '%', 'h': quote(host.name), 'n': str(rank)}[word]
    return SUBSTITUTED.sub(value, text)


def _check_columns(command, hosts):
    """Raise UsageError if --subst names a column that some of the hosts have and others do not."""
    if not command.is_template:
        return
    texts = (command.text,) + command.arguments
    named = {match.group(2) for text in texts for match in SUBSTITUTED.finditer(text)} - {None}
    for column in sorted(named):
        without = [host.name for host in hosts if column not in _columns(host)]
        if 0 < len(without) < len(hosts):
            raise UsageError('%%{%s}: %s has no such column' % (column, without[0]),
                             'add %s=VALUE to its line in host.list' % column)


def _host_output(arguments, hosts):
    """Return the HostOutput for the options.  Raises UsageError."""
    if arguments.json:
        output = host_output.Json()
    elif arguments.gather or arguments.diff:
        output = host_output.Gathered(hosts, arguments.diff)
    else:
        has_label = len(hosts) > 1 and not arguments.no_label
        output = host_output.Ordered(hosts, has_label, arguments.keep_order)
    directories = {stream: directory for stream, directory in (
        ('stdout', arguments.outdir), ('stderr', arguments.errdir)) if directory is not None}
    if len(directories) == 2 and len(set(map(os.path.abspath, directories.values()))) == 1:
        raise UsageError('--outdir and --errdir: the same directory',
                         'use two directories, because each contains one file per host')
    for directory in directories.values():
        files.make_dir(directory)
    return host_output.WithFiles(output, directories) if directories else output


def _check_replaceable(path):
    """Raise UsageError if the file of --failed-to cannot be written at the end."""
    try:
        files.check_replaceable(path)
    except UsageError as error:
        raise UsageError('--failed-to ' + error.message)


def _payload(arguments, stack):
    """Return the data to send with the command: script, standard input, and the password for sudo.

    The standard input of lwt itself is first read to its end, into a temporary file.
    """
    script = _script(arguments.script)
    readers = []
    if '-' in arguments.hosts or '^-' in arguments.hosts:
        readers.append('-w')
    if arguments.stdin == '-':
        readers.append('--stdin')
    secret = _secret(readers) if arguments.sudo else None
    if len(readers) > 1:
        raise UsageError('%s: both read standard input' % ' and '.join(readers))
    if arguments.stdin is None:
        return Payload(script, secret=secret)
    path = _standard_input(stack) if arguments.stdin == '-' else arguments.stdin
    try:
        info = os.stat(path)
    except OSError as error:
        raise UsageError('%s: %s' % (path, error.strerror))
    if not stat.S_ISREG(info.st_mode) or not os.access(path, os.R_OK):
        raise UsageError('%s: not a readable regular file' % path)
    return Payload(script, path, info.st_size, secret)


def _script(path):
    """Return the content of the file of --script; b'' without that option."""
    if path is None:
        return b''
    script = files.without_bom(files.read_bytes(path, MAX_SCRIPT))
    if not script:
        raise UsageError('%s: empty' % path)
    from lwt.remote import script_checks        # here, because most commands do not need it
    script_checks.check_dos_ends(path, script)
    return script


def _standard_input(stack):
    """Read standard input to its end; returns the path of a temporary file with its content."""
    import shutil                       # here, because they are slow to import
    import tempfile
    with files.local_errors('standard input'):
        file = stack.enter_context(tempfile.NamedTemporaryFile(prefix='lwt.'))
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
    return file.name


def _secret(readers):
    """Return the password for sudo; b'' if sudo needs none.

    It is read from the terminal, or without a terminal from the first line of standard input.
    readers: the options that read standard input.
    """
    try:
        os.close(os.open('/dev/tty', os.O_RDWR | os.O_NOCTTY))
    except OSError:
        if readers:
            raise UsageError('--sudo and %s: both read standard input' % readers[0],
                             'run lwt on a terminal, or put the data into a file')
        return sys.stdin.buffer.readline().rstrip(b'\r\n')
    import getpass
    try:
        return os.fsencode(getpass.getpass('sudo password for the hosts (empty: none needed): '))
    except EOFError:
        return b''


# -- run -------------------------------------------------------------------------------------------


class _Execution:
    """Starts the command on the hosts, in batches or as slots become free."""

    def __init__(self, run, plan, report):
        self._run = run
        self._plan = plan
        self._arguments = plan.arguments
        self._report = report
        self._waiting = collections.deque(enumerate(plan.hosts))
        self._started = 0
        self._stopped = False           # start no more hosts, after a failure or a signal
        self._is_cancelled = False      # the rest was cancelled because a host failed
        self._error = None              # the first LwtError of a flow, an error of this machine
        self._held = set()              # hosts where a background process holds the output
        self.verdicts = report.verdicts

    def run(self):
        """Run the command on all hosts.  Raises Interrupted, LocalError."""
        self._plan.output.begin(self._report.out)
        self._run.pool.on_cancel(self._on_cancel)
        self._start_more()
        self._report.begin()
        try:
            self._run.run()
        finally:
            self._report.end(self._error)

    def exit_code(self):
        """Return the exit code of lwt.  Hosts that were cancelled because of another do not count.
        """
        if self._error is not None:
            return self._error.exit_code
        verdicts = [verdict for verdict in self.verdicts.values()
                    if not (self._is_cancelled and verdict.kind == 'killed')]
        summarise = (exit_codes.largest_code if self._arguments.max_code
                     else exit_codes.exit_code)
        return summarise(verdicts)

    def _start_more(self):
        """Start the next batch when the previous one is done.  Without batches, keep a few flows
        ready for the next free slots, instead of a flow for each of many hosts.
        """
        running = self._started - len(self.verdicts)
        if self._arguments.batch:
            room = 0 if running else self._arguments.batch
        else:
            room = self._plan.session.settings.fanout + READY - running
        for _ in range(min(room, len(self._waiting))):
            rank, host = self._waiting.popleft()
            self._started += 1
            self._run.pool.add(
                self._on_host(host, rank), lambda report, host=host: self._on_done(host, report))

    def _on_host(self, host, rank):
        """Flow: run the command on one host; returns the Verdict."""
        plan = self._plan
        text, arguments = self._arguments.command.at(host, rank)
        take, settings = plan.output.taker(host), plan.session.settings

        def attempt():
            return (yield from call.command(
                plan.session, host, text, arguments, take, timeout=settings.timeout,
                stall=settings.idle, payload=plan.payload,
                on_held=lambda: self._held.add(host),
                unwanted=call.too_much(settings.output_limit)))
        verdict = yield from flow.retry(attempt, _is_worth_retrying, self._arguments.retries + 1,
                                        RETRY_DELAY)
        is_sudo_failure = (self._arguments.sudo and verdict.ran == 'no'
                           and verdict.reason.startswith('sudo: '))
        return verdict._replace(kind='sudo') if is_sudo_failure else verdict

    def _on_done(self, host, report):
        """Process the end of a flow.  report: a Verdict, or the LwtError that ended the flow."""
        if isinstance(report, Cancelled):
            verdict = NOT_STARTED
        elif isinstance(report, LwtError):
            self._error = self._error or report
            verdict = Verdict('failed', EXIT_LOCAL, report.message, 'maybe')
        elif self._is_cancelled and report.kind == 'killed':
            verdict = report._replace(reason='cancelled because another host failed')
        else:
            verdict = report
        warning = exit_codes.OUTPUT_HELD if host in self._held else ''
        self._report.host_done(host, verdict, warning, is_stopped=self._stopped)
        if self._arguments.fail_fast and not verdict.ok and not self._stopped:
            self._fail_fast()
        if not self._stopped:
            self._start_more()
        if self._started == len(self.verdicts):
            self._report.all_done(host for _rank, host in self._waiting)

    def _fail_fast(self):
        self._stopped = True
        if not self._arguments.batch:   # running hosts are of the same batch and go on
            self._is_cancelled = True
            self._run.pool.cancel()

    def _on_cancel(self):
        self._stopped = True


def _is_worth_retrying(verdict):
    """Whether nothing ran, and the host may answer next time; a refused login will be refused
    again.
    """
    return verdict.ran == 'no' and verdict.kind in ('refused', 'timeout', 'dns')
