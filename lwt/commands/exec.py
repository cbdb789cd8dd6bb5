"""lwt exec: run a command on hosts under the guard, and report how it ended on each."""

from __future__ import generator_stop

import collections
import contextlib
import getpass
import os
import random
import re
import shlex
import shutil
import signal
import stat
import sys
import tempfile
from typing import NamedTuple

from lwt import flow
from lwt.commands import exit_codes
from lwt.commands.options import Parser, fitting
from lwt.errors import Cancelled, EXIT_LOCAL, LwtError, UsageError, printable, printable_text
from lwt.output import host_output, units, writer
from lwt.output.progress import ProgressLine
from lwt.remote import call, script_checks, verdicts
from lwt.remote.scripts import Payload
from lwt.remote.verdicts import Verdict
from lwt.workspace import files
from lwt.workspace.config import count, positive

MAX_SCRIPT = 16 << 20
LINES_SHOWN = 20            # failures that are told one by one; the others are in the summary
RETRY_DELAY = 1.0           # seconds; doubled each time
PROGRESS_EVERY = 0.5        # seconds
READY = 64                  # hosts that wait for a slot beside those that have one
NOT_STARTED = Verdict(exit_codes.SKIPPED, 255, 'not started', 'no')

# What --subst replaces: %h, %n, %{column} and %%.
SUBSTITUTED = re.compile(r'%(h|n|%|\{([A-Za-z0-9_][\w.-]*)\})', re.ASCII)

EXAMPLES = '''examples:
  lwt exec -w h1,h2 -- uptime
  lwt exec -a -b -- uname -r                         equal output is gathered
  lwt exec -g plab -u 30 -- 'cd data && make'        nothing is left of what takes longer than 30 s
  lwt exec -a --script check.sh -- --fast            a local script, with arguments
  lwt exec -w 'h[1-9]' --subst -- ./work --part %n   %n is the rank of the host, from 0
  lwt exec -a --batch 5 --fail-fast -- ./upgrade     five at a time; a bad batch is the last one
  lwt exec -a --failed-to bad -- true || lwt exec -w ^bad -- true
  lwt exec -a --json -- df -k . | jq .stdout'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = _parser(name)
    parsed, words = _parse(parser, argv)
    env = make_env(parser, parsed)
    workspace = env.find_workspace()
    settings = env.settings(workspace)
    work = _work(parsed, words)
    chosen = _picked(env.select(parsed, workspace, settings), parsed.pick)
    _check_columns(work, chosen)
    session = env.session(settings, chosen)
    fanout = fitting(settings.fanout, '-f', writer.say)
    style = _style(parsed, chosen)
    if settings.output_limit:
        style = host_output.Limited(style, settings.output_limit * 1024)
    _check_folder(parsed.failed_to)
    with contextlib.ExitStack() as stack:
        payload = _payload(parsed, stack)
        with flow.running(fanout, settings.grace) as run:
            env.ready(run, workspace, session, chosen)
            course = _Course(run, session, chosen, _Job(work, payload, parsed), style, env.verbose)
            try:
                course.run()
            finally:
                _write_failed(parsed.failed_to, chosen, course.verdicts)
    if course.error_code:
        return course.error_code
    verdicts = course.counting()
    return exit_codes.largest_code(verdicts) if parsed.max_code else exit_codes.exit_code(verdicts)


def _parser(name):
    parser = Parser(name, 'lwt exec -w HOSTS | -g CATEGORY | -a [options] -- COMMAND',
                    'Run a shell command in the home of each host.  Output is printed line by '
                    'line, prefixed with\nthe host name if there are several hosts.  Standard '
                    'input is empty.', EXAMPLES)
    parser.add_selection()
    parser.add_options('timeout', 'idle', 'grace', 'lease', 'output_limit')
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
                       help='show progress (SIGUSR1 lists what is running)')
    shown.add_argument('--failed-to', metavar='FILE', type=files.user_path,
                       help='write the names of failed hosts to FILE, for -w ^FILE')
    shown.add_argument('-S', '--max-code', action='store_true',
                       help='exit with the largest remote exit code')
    what = parser.add_argument_group('what is run, and where')
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
    return parser


def _parse(parser, argv):
    """(parsed, words) of the command line.

    Words before "--" are no part of the command: most often the shell has expanded a host set.
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
                         "quote sets of hosts, or the shell may expand them: -w 'h[1-9]'")
    return parsed, words


def _refuse_ambiguous(leading, rest):
    """Raise UsageError for options of a command that would turn lwt into something else: -h into
    its help and, where hosts are selected already, -a into a command for every host."""
    options = {'-h'} | ({'-a'} if {'-w', '-g'} & {word[:2] for word in leading} else set())
    found = [word for word in rest[1:] if word in options]
    if found:
        raise UsageError('lwt exec: %s after the first word of the command' % found[0],
                         _put_dashes(rest))


def _put_dashes(rest):
    return 'put -- before the command: -- ' + printable_text(' '.join(map(shlex.quote, rest)))


class _Work(NamedTuple):
    """What to run: text for sh -c, and its arguments; is_template: are %h and so on replaced?"""

    text: str
    arguments: tuple
    is_template: bool

    def at(self, host, rank):
        """(text, arguments) for one host."""
        if not self.is_template:
            return self.text, self.arguments
        return (_filled(self.text, host, rank, shlex.quote),
                tuple(_filled(word, host, rank, str) for word in self.arguments))


class _Job(NamedTuple):
    """What is done on each host."""

    work: _Work
    payload: Payload
    parsed: object


def _work(parsed, words):
    said = words + (parsed.rest or [])
    if parsed.script is not None:
        return _Work(os.path.basename(parsed.script), tuple(said), parsed.subst)
    text = ' '.join(said)
    if not text.strip():
        raise UsageError('empty command', 'lwt exec -w HOSTS -- COMMAND')
    return _Work(text, (), parsed.subst)


def _columns(host):
    return dict(host.extra, name=host.name, category=host.category, home=host.home)


def _filled(text, host, rank, quote):
    """text with what stands for the host's own values replaced; a column that no host list knows is
    left as it is."""
    columns = _columns(host)

    def value(match):
        word, column = match.groups()
        if column is not None:
            return quote(columns[column]) if column in columns else match.group()
        return {'%': '%', 'h': quote(host.name), 'n': str(rank)}[word]
    return SUBSTITUTED.sub(value, text)


def _check_columns(work, chosen):
    """Raise UsageError when a column is asked for that some of the hosts have and others have not.
    """
    if not work.is_template:
        return
    texts = (work.text,) + work.arguments
    asked = {match.group(2) for text in texts for match in SUBSTITUTED.finditer(text)} - {None}
    for column in sorted(asked):
        without = [host.name for host in chosen if column not in _columns(host)]
        if 0 < len(without) < len(chosen):
            raise UsageError('%%{%s}: %s has no such column' % (column, without[0]),
                             'add %s=… to its line in host.list' % column)


def _picked(chosen, pick):
    if pick is None or pick >= len(chosen):
        return chosen
    return [chosen[rank] for rank in sorted(random.sample(range(len(chosen)), pick))]


def _payload(parsed, stack):
    """What is sent behind the command; lwt's own standard input is read to its end first, into a
    file that stack removes.
    """
    script = b''
    if parsed.script is not None:
        script = files.without_bom(files.read_bytes(parsed.script, MAX_SCRIPT))
        if not script:
            raise UsageError('%s: empty' % parsed.script)
        script_checks.check_dos_ends(parsed.script, script)
    takers = (['-w'] * ('-' in parsed.hosts or '^-' in parsed.hosts)
              + ['--stdin'] * (parsed.stdin == '-'))
    secret = _secret(takers) if parsed.sudo else None
    if len(takers) > 1:
        raise UsageError('%s: both would read standard input' % ' and '.join(takers))
    if parsed.stdin is None:
        return Payload(script, secret=secret)
    path = parsed.stdin
    if path == '-':
        with files.local_errors('standard input'):
            file = stack.enter_context(tempfile.NamedTemporaryFile(prefix='lwt.'))
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
        path = file.name
    try:
        info = os.stat(path)
    except OSError as error:
        raise UsageError('%s: %s' % (path, error.strerror))
    if not stat.S_ISREG(info.st_mode) or not os.access(path, os.R_OK):
        raise UsageError('%s: cannot be read as a file' % path)
    return Payload(script, path, info.st_size, secret)


def _secret(takers):
    """The password for sudo: asked for on the terminal; without one, the first line of standard
    input; empty: none is needed.
    """
    try:
        os.close(os.open('/dev/tty', os.O_RDWR | os.O_NOCTTY))
    except OSError:
        if takers:
            raise UsageError(
                '--sudo: its password would be read from standard input, and so would %s'
                % takers[0],
                'run lwt on a terminal, or put the data into a file')
        return sys.stdin.buffer.readline().rstrip(b'\r\n')
    try:
        return os.fsencode(
            getpass.getpass('password for sudo on the hosts (empty: none is needed): '))
    except EOFError:
        return b''


def _style(parsed, chosen):
    label = len(chosen) > 1 and not parsed.no_label
    if parsed.json:
        style = host_output.Json()
    elif parsed.gather or parsed.diff:
        style = host_output.Gathered(chosen, parsed.diff)
    else:
        style = host_output.Ordered(chosen, label, parsed.keep_order)
    if (parsed.outdir and parsed.errdir
        and os.path.abspath(parsed.outdir) == os.path.abspath(parsed.errdir)):
        raise UsageError('--outdir and --errdir: the same directory',
                         'each host has one file in each of them')
    directories = {'stdout': parsed.outdir, 'stderr': parsed.errdir}
    wanted = {stream: directory
              for stream, directory in directories.items() if directory is not None}
    for directory in wanted.values():
        files.make_dir(directory)
    return host_output.WithFiles(style, wanted) if wanted else style


def _check_folder(path):
    """Raise UsageError when a file that is to be written in the end cannot be: better now than
    then.
    """
    if path is not None:
        try:
            files.check_replaceable(path)
        except UsageError as error:
            raise UsageError('--failed-to ' + error.message)


def _write_failed(path, chosen, verdicts):
    if path is not None:
        names = [host.name + '\n'
                 for host in chosen if host not in verdicts or not verdicts[host].ok]
        files.write_target(path, ''.join(names))


class _Course:
    """One run on many hosts: which are started when, how each went, and what is said of it on the
    way and in the end.
    """

    def __init__(self, run, session, chosen, job, style, verbose):
        self._run = run
        self._session = session
        self._chosen = chosen
        self._job = job
        self._style = style
        self._verbose = verbose
        self._out = writer.Output(run)
        self._waiting = collections.deque(enumerate(chosen))
        self._started = 0
        self._failed = 0
        self._stopped = False           # by a failure or by a signal: nothing more is started
        self._is_cancelled = False      # by a failure
        self._progress = ProgressLine(job.parsed.progress)
        self._out.share_terminal(self._progress)
        self._timer = None
        self._began = run.loop.time()
        self._error = None              # the first LwtError of a flow: this machine is to blame
        # Hosts where a process that was left behind holds the output.
        self._held = set()
        self.verdicts = {}              # Host -> Verdict

    def run(self):
        """Run it on all hosts.  Raises Interrupted, LocalError."""
        self._style.begin(self._out)
        self._run.pool.on_cancel(self._stop)
        self._run.loop.on_signal(signal.SIGUSR1, lambda _signum: self._tell_running())
        self._start_more()
        if self._job.parsed.progress:
            self._show_progress()
        try:
            self._run.run()
        finally:
            self._progress.end()
            self._style.end()
            self._out.check()
            self._sum_up()

    @property
    def error_code(self):
        """The exit code if this machine is to blame, else 0."""
        return self._error.exit_code if self._error is not None else 0

    def counting(self):
        """The verdicts that the exit code is made of: without what was ended because of another's
        failure.
        """
        return [verdict for verdict in self.verdicts.values()
                if not (self._is_cancelled and verdict.kind == 'killed')]

    # -- hosts -------------------------------------------------------------------------------------

    def _start_more(self):
        """Start the next batch when the one before is done; without, as many as keep the pool busy
        and the memory small.
        """
        under_way = self._started - len(self.verdicts)
        batch = self._job.parsed.batch
        room = ((0 if under_way else batch) if batch
                else self._session.settings.fanout + READY - under_way)
        for _ in range(min(room, len(self._waiting))):
            rank, host = self._waiting.popleft()
            self._started += 1
            self._run.pool.add(
                self._on_host(host, rank), lambda report, host=host: self._done(host, report))

    def _on_host(self, host, rank):
        """Flow: all that is done on one host."""
        text, arguments = self._job.work.at(host, rank)
        take, settings = self._style.taker(host), self._session.settings

        def attempt():
            return (yield from call.command(
                self._session, host, text, arguments, take, timeout=settings.timeout,
                stall=settings.idle,
                payload=self._job.payload, on_held=lambda: self._held.add(host),
                unwanted=call.too_much(settings.output_limit)))
        verdict = yield from flow.retry(attempt, _is_worth_another, self._job.parsed.retries + 1,
                                        RETRY_DELAY)
        is_sudos = (self._job.parsed.sudo and verdict.ran == 'no'
                    and verdict.reason.startswith('sudo: '))
        return verdict._replace(kind='sudo') if is_sudos else verdict

    def _done(self, host, report):
        if isinstance(report, LwtError) and not isinstance(report, Cancelled):
            self._error = self._error or report
            verdict = Verdict('failed', EXIT_LOCAL, report.message, 'maybe')
        else:
            verdict = NOT_STARTED if isinstance(report, LwtError) else report
        if self._is_cancelled and verdict.kind == 'killed':
            verdict = verdict._replace(reason='cancelled because another host failed')
        self.verdicts[host] = verdict
        warning = exit_codes.OUTPUT_HELD if host in self._held else ''
        self._style.done(host, verdict, warning)
        self._tell(host, verdict)
        if warning:
            self._out.say('%s: %s' % (host.name, warning))
        if not verdict.ok:
            self._failed += 1
            if self._job.parsed.fail_fast and not self._stopped:
                self._fail_fast()
        if not self._stopped:
            self._start_more()
        if self._started == len(self.verdicts):
            self._all_done()

    def _all_done(self):
        for _rank, host in self._waiting:
            self.verdicts[host] = NOT_STARTED
            self._style.done(host, NOT_STARTED, '')
        if self._timer is not None:
            self._timer.cancel()

    def _fail_fast(self):
        if self._job.parsed.batch:
            self._stop()                # what runs is of the same batch, and goes on
        else:
            self._is_cancelled = self._stopped = True
            self._run.pool.cancel()

    def _stop(self):
        self._stopped = True

    # -- what is said ------------------------------------------------------------------------------

    def _tell(self, host, verdict):
        if (not self._style.says_failures or verdict.kind == exit_codes.SKIPPED
            or (verdict.ok and not self._verbose)):
            return
        if self._stopped and verdict.kind == 'killed' and len(self._chosen) > 1:
            return                      # the summary names them
        if verdict.ok or self._failed < LINES_SHOWN:
            self._out.say('%s: %s' % (host.name, verdict.reason or 'ok'))
        elif self._failed == LINES_SHOWN:
            self._out.say('more hosts fail; all of them are named at the end')

    def _sum_up(self):
        if self._error is not None and self._error.hint:
            self._out.say('hint: ' + self._error.hint)
        if len(self._chosen) > 1 and self._style.says_failures:
            for line in exit_codes.summary(
                    {host.name: verdict for host, verdict in self.verdicts.items()}):
                writer.say(line)

    def _state(self):
        done, total = len(self.verdicts), len(self._chosen)
        seconds = self._run.loop.time() - self._began
        eta = ', about %s left' % units.duration(seconds / done * (total - done)) if done else ''
        return ('%d of %d done, %d running, %d failed%s'
                % (done, total, self._run.pool.running, self._failed, eta))

    def _show_progress(self):
        self._progress.show(self._state())
        self._timer = self._run.loop.call_later(PROGRESS_EVERY, self._show_progress)

    def _tell_running(self):
        self._out.say(self._state())
        for name, age in self._run.pool.ages:
            self._out.say('%s: for %s' % (name, units.duration(age)))


def _is_worth_another(verdict):
    """Is it certain that nothing ran, and may the host answer next time?  (A login that was refused
    will be again.)
    """
    return verdict.ran == 'no' and verdict.kind in ('refused', 'timeout', 'dns')
