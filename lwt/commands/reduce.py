"""lwt reduce: sort and reduce lines on hosts, partition by partition."""

from __future__ import generator_stop

import contextlib
import os
import re
import stat
import tempfile
import time

from lwt.commands import exit_codes
from lwt.commands.options import Parser, fitting
from lwt.errors import Cancelled, LocalError, LwtError, UsageError, os_error_text, printable_text
from lwt.flow import Sleep, running
from lwt.output import units, writer
from lwt.output.progress import Progress, ProgressLine
from lwt.output.spool import WholeLines
from lwt.proc import Command
from lwt.reduce import partition, reducers
from lwt.remote import netcat_hosts, scripts
from lwt.workspace import config, files, hostlist
from lwt.workspace.nodeset import refuse

BR_HOSTS = '/etc/br.hosts'      # the host list of bashreduce
READ_SIZE = 1 << 18
# The output of this command shows the order in which a locale sorts lines.
PROBE = "printf 'b\\nA\\na\\nB\\n' | sort | tr -d '\\n'"

EXAMPLES = '''examples:
  lwt reduce -w h1,h2 -i big.txt -o sorted.txt            sort by the first column
  lwt reduce -m "h1 h1 h2" -r "cut -d' ' -f1 | uniq -c" < words
                                                          count words; h1 gets two partitions
  lwt reduce -a --map "tr ' ' '\\n'" -r "uniq -c" -i text  split lines on the hosts first
  lwt reduce -a --input-on-hosts '/var/log/a/*.log' -c 7 -o by-path'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = _parser(name)
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    if words or parsed.rest:
        raise UsageError('lwt reduce: unexpected word %s' % (words + (parsed.rest or []))[0],
                         'commands follow --map and -r')
    order = _order(parsed, env.environ)
    if parsed.output is not None:
        files.check_replaceable(parsed.output)
    workspace = env.find_workspace()
    settings = env.settings(workspace)
    chosen = _hosts(parsed, env, workspace, BR_HOSTS, settings)
    session = env.session(settings, chosen)
    with running(fitting(settings.fanout, '-f', writer.say), settings.grace) as run:
        env.ready(run, workspace, session, chosen)
        rounds = _Rounds(run, env, session, parsed)
        try:
            special = run.report(_opened(parsed.output))
            _write(_results(rounds, parsed, order, chosen, env.environ), parsed.output, special)
        except _Failed as failure:
            return failure.exit_code
    return 0


def _parser(name):
    # -t is the option of bashreduce here; --connect-timeout remains available.
    parser = Parser(name, 'lwt reduce [-w HOSTS | -m "HOST HOST…"] [options] [-i IN] [-o OUT]',
                    'Partition lines by key, sort and reduce each partition on a host, and merge '
                    'the results: the same\nas `sort -kCOL,COL IN | CMD > OUT` if CMD handles '
                    'each key separately.  A key is never split.\nOUT appears complete or not at '
                    'all.', EXAMPLES,
                    conflict_handler='resolve').add_selection()
    for flags, metavar, text in (
            (('-m',), '"HOST…"',
             'hosts, separated by blanks; a host gets one partition for each mention (default: %s)'
             % BR_HOSTS),
            (('-c', '--column'), 'COL', 'key column (default 1)'),
            (('-r', '--reduce'), 'CMD',
             'command that reads the sorted lines on each host (default: none)'),
            (('-i', '--input'), 'IN', 'input file (default: standard input)'),
            (('-o', '--output'), 'OUT', 'output file (default: standard output)'),
            (('-S', '--memory'), 'MEM', 'memory for each sort, as in sort -S'),
            (('-t', '--tmp'), 'DIR',
             'directory for temporary files on all machines (default: $TMPDIR or /tmp)'),
            (('--map',), 'CMD',
             'command that reads its share of the input on each host before lines are partitioned'),
            (('--input-on-hosts',), 'GLOB', 'read these files on the hosts instead of IN'),
            (('--delimiter',), 'X', 'column delimiter (default: blanks)')):
        dest = 'named' if flags == ('-m',) else flags[-1].strip('-').replace('-', '_')
        is_path = metavar in ('IN', 'OUT')
        parser.add_argument(*flags, metavar=metavar, dest=dest, help=text,
                            type=files.user_path if is_path else str)
    parser.add_argument('--numeric', action='store_true', help='sort keys as numbers')
    parser.add_argument('--reverse', action='store_true', help='sort in descending order')
    parser.add_argument('--transport', choices=('ssh', 'nc'), default='ssh',
                        help='transport of lines; nc is not encrypted')
    return parser.add_options('timeout', 'stall', 'grace', 'lease')


def _order(parsed, environ):
    """Return the partition.SortOrder for the options; raises UsageError."""
    try:
        column = config.positive(parsed.column or '1')
    except ValueError as error:
        raise UsageError('-c %s: %s' % (parsed.column, error))
    delimiter = os.fsencode(
        {'\\t': '\t', '\\0': '\0'}.get(parsed.delimiter, parsed.delimiter or ''))
    if parsed.delimiter is not None and (len(delimiter) != 1 or delimiter in b'\n\0'):
        raise UsageError('--delimiter %r: expected one character' % parsed.delimiter,
                         'write \\t for a tab')
    if parsed.memory is not None and not re.fullmatch(r'\d+[%bKMGT]?', parsed.memory):
        raise UsageError('-S %s: expected a size, as 256M or 20%%' % parsed.memory)
    if parsed.input and parsed.input_on_hosts:
        raise UsageError('-i and --input-on-hosts cannot be used together')
    return partition.SortOrder(column, delimiter, parsed.numeric, parsed.reverse,
                               partition.collation(environ))


def _hosts(parsed, env, workspace, br_hosts, settings=None):
    """Return the hosts, one for each partition: the names of -m, or a selection, or the hosts that
    bashreduce would use.
    """
    if parsed.named is not None and (parsed.hosts or parsed.categories or parsed.everything):
        raise UsageError('-m cannot be used with -w, -g or -a')
    if (parsed.named is None
        and (parsed.hosts or parsed.categories or parsed.everything
             or not os.path.exists(br_hosts))):
        return env.select(parsed, workspace, settings)
    where, text = '-m', parsed.named
    if parsed.named is None:
        where, text = br_hosts, files.read_text(br_hosts, hostlist.MAX_BYTES)
    lines = [line.partition('#')[0] for line in text.splitlines()]
    candidates = (workspace.candidates()
                  if workspace and os.path.lexists(workspace.path('host.list')) else [])
    chosen = []
    for word in ' '.join(lines).split():
        selection = hostlist.Selection((word,), exclude=tuple(parsed.exclude))
        chosen += hostlist.select(selection, candidates, lambda: candidates, refuse,
                                  env.slurm_nodes)
    if not chosen:
        raise UsageError('%s: no hosts in it' % where)
    return chosen


def _exports(variables):
    return ''.join('export %s=%s\n' % (name, os.fsdecode(scripts.shell_quote(value)))
                   for name, value in sorted(variables.items()))


def _user_text(command, environ):
    """Return a command of the user, with the locale that it would have on this machine."""
    return _exports({name: value for name, value in environ.items()
                     if name == 'LANG' or name.startswith('LC_')}) + command


def _results(rounds, parsed, order, chosen, environ):
    """Run all rounds; returns the reducers.Results whose contents are the output, in order."""
    pieces = [] if parsed.input_on_hosts else [rounds.input(parsed.input)]
    first = _first_steps(parsed, environ)
    if first is not None:
        found = rounds.do('map', first, _shares(pieces, chosen, first))
        pieces = [results.piece for results in found]
    parts = [reducers.Piece(rounds.temporary().fileno(), complete=False) for _ in chosen]
    splitter = _reading(partition.splitter, order,
                        [(piece.fd, piece.start, piece.end) for piece in pieces], len(chosen))
    jobs = [reducers.PartitionJob('partition %d' % number, _from(number, chosen), part)
            for number, part in enumerate(parts, 1)]
    found = rounds.do('reduce', _last_steps(parsed, order, rounds, environ), jobs,
                      sum(map(len, pieces)),
                      reducers.part(pieces, splitter, parts))
    return found if order.is_by_bytes else [rounds.merged(found, order)]


def _first_steps(parsed, environ):
    """Return the Steps of the round before lines are partitioned, or None."""
    commands = (('map', _user_text(parsed.map, environ)),) if parsed.map else ()
    pattern = parsed.input_on_hosts or ''
    return reducers.Steps(commands, pattern) if commands or pattern else None


def _last_steps(parsed, order, rounds, environ):
    """Return the Steps of the round that sorts and reduces."""
    commands = (('sort', _sort_text(order, parsed.memory or '', rounds)),)
    if parsed.reduce:
        commands += (('reduce', _user_text(parsed.reduce, environ)),)
    return reducers.Steps(commands, keeps_lines=not parsed.reduce)


def _sort_text(order, memory, rounds):
    """Return the sh text that runs sort on the hosts."""
    text = _exports(order.variables)
    if not order.has_plain_rules:
        text += (
            '[ "$(%s)" = %s ] || { '
            'echo "this host sorts lines in another order than locale %s" >&2; exit 3; }\n'
            % (PROBE, rounds.order_here(order.variables), order.collate))
    words = [os.fsdecode(scripts.shell_quote(word)) for word in order.sort_words(memory)]
    return text + 'exec sort -T "$LWT_SCRATCH" ' + ' '.join(words)


def _shares(pieces, chosen, steps):
    """Return the PartitionJobs of the first round: the files of each host, or a share of the input
    for each.
    """
    if steps.pattern:
        return [reducers.PartitionJob('its files', (host,), None) for host in dict.fromkeys(chosen)]
    shares = [share for piece in pieces for share in _reading(reducers.cut, piece, len(chosen))]
    return [reducers.PartitionJob('share %d' % number, _from(number, chosen), share)
            for number, share in enumerate(shares, 1)]


def _reading(function, *arguments):
    """Return function(*arguments), which reads the input; an OSError becomes a LocalError."""
    try:
        return function(*arguments)
    except OSError as error:
        raise reducers.unreadable(error)


def _from(number, chosen):
    """Return the hosts for partition `number`, its own first."""
    return tuple(dict.fromkeys(chosen[number - 1:] + chosen[:number - 1]))


class _Failed(Exception):
    """A round failed, and a message about it was printed."""

    def __init__(self, exit_code):
        super().__init__(exit_code)
        self.exit_code = exit_code


class _Rounds:
    """Rounds of partitions in a run: their temporary files, their progress and their messages."""

    def __init__(self, run, env, session, parsed):
        self._run = run
        self._env = env
        settings = session.settings
        scratch = files.user_path(parsed.tmp or '')
        self._scratch = scratch if scratch and os.path.isdir(scratch) else None
        self._out = writer.Output(run)
        self._is_shown = os.isatty(2) and not env.quiet
        self._progress = ProgressLine(self._is_shown)
        self._out.share_terminal(self._progress)
        self._lines = {}                # name of a host -> WholeLines
        self._left = 0                  # flows of the round that have not ended
        session = session._replace(transport=session.transport.within(settings.stall))
        self._plan = reducers.ReducePlan(session, self._netcat(session) if parsed.transport == 'nc'
                                         else None, parsed.tmp or '',
                                         settings.timeout, self._complain, self._say)

    def _netcat(self, session):
        """Return the netcat of this machine."""
        found = self._run.report(netcat_hosts.here(session.transport))
        if found is None:
            raise UsageError('no netcat found in PATH=%s' % session.transport.path,
                             'use --transport ssh')
        return found

    def temporary(self):
        """Return a file without a name, which stays open until the run ends."""
        with files.local_errors('a temporary file in %s'
                                % (self._scratch or tempfile.gettempdir())):
            file = tempfile.TemporaryFile(dir=self._scratch, buffering=0)
        self._run.at_exit(file.close)
        return file

    def order_here(self, variables):
        """Return the output of PROBE on this machine, which shows the order of lines."""
        result = self._run.report(
            _single(Command(('/bin/sh', '-c', PROBE), env=dict(self._env.environ, **variables))))
        return result.stdout.decode('ascii', 'replace')

    # -- input -------------------------------------------------------------------------------------

    def input(self, path):
        """Return the input as a Piece: a file, or standard input if path is None."""
        name, fd = path or 'standard input', 0
        try:
            if path:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                self._run.at_exit(lambda: os.close(fd))
            info = os.fstat(fd)
        except OSError as error:
            raise UsageError('%s: %s' % (name, error.strerror))
        if stat.S_ISDIR(info.st_mode):
            raise UsageError('%s: a directory' % name)
        # Files of /proc have content, but no size.
        if stat.S_ISREG(info.st_mode) and info.st_size:
            return reducers.Piece(fd, os.lseek(fd, 0, os.SEEK_CUR), info.st_size)
        if os.isatty(fd) and not self._env.quiet:
            writer.say('reading lines from the terminal')
        return self._kept(fd, name)

    def _kept(self, fd, name):
        """Store the data of a pipe in a Piece.

        Samples of all of it are needed, and it may have to be sent twice.
        """
        piece = reducers.Piece(self.temporary().fileno())

        def take():
            with files.local_errors('%s, which is kept in %s'
                                    % (name, self._scratch or tempfile.gettempdir())):
                data = os.read(fd, READ_SIZE)
                piece.append(data)
            if not data:
                self._run.loop.remove(fd)
            return data

        mode = os.fstat(fd).st_mode
        if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode) and not os.isatty(fd):
            while take():               # /dev/null and other files that a loop cannot wait for
                pass
            return piece
        self._run.loop.add_reader(fd, take)
        self._run.pool.on_cancel(lambda: self._run.loop.remove(fd))
        self._run.run()
        self._run.pool.on_cancel(lambda: None)
        return piece

    # -- a round -----------------------------------------------------------------------------------

    def do(self, what, steps, jobs, expected=0, parting=None):
        """Apply the Steps to all jobs, while the flow `parting` fills their Pieces; returns their
        Results, in order.

        what: for the progress.  expected: bytes that will be partitioned.
        Raises _Failed after a message about the failure was printed.
        """
        tally = reducers.ReduceProgress(
            expected or sum(len(job.piece) for job in jobs if job.piece is not None), len(jobs),
            steps.keeps_lines)
        found = [reducers.Results(self.temporary(), tally) for _ in jobs]
        failures, bad = [], set()
        self._left = len(jobs) + (parting is not None)
        for job, results in zip(jobs, found):
            self._run.pool.add(reducers.partition(self._plan, steps, job, results, tally, bad),
                               lambda report, job=job: self._on_done(job, report, failures))
        if parting is not None:
            self._run.pool.add(parting, lambda report: self._on_done(None, report, failures))
        self._follow(what, tally)
        for report in failures:
            if isinstance(report, LwtError):
                raise report
        if failures:
            raise _Failed(exit_codes.exit_code(failures))
        return found

    def _on_done(self, job, report, failures):
        """Process the end of a flow; the first failure stops the others."""
        self._left -= 1
        if not self._left:
            self._progress.end()
        if isinstance(report, LwtError):
            failures += [] if isinstance(report, Cancelled) else [report]
        elif job is not None and not report[1].ok and not failures:
            host, verdict = report
            failures.append(verdict)
            self._say('%s: %s: %s' % (host.name, job.name, verdict.reason))
        if failures and self._left:
            self._run.pool.cancel()

    def _follow(self, what, tally):
        """Run until all flows have ended, and show their progress."""
        began = time.monotonic()
        self._progress.follow(
            self._run.loop, lambda: progress_text(what, tally, time.monotonic() - began))
        try:
            self._run.run()
        finally:
            self._progress.end()
            for lines in self._lines.values():
                lines.finish()
            self._out.check()

    def _say(self, text):
        self._out.say(text)

    def _complain(self, host, data):
        """Print what a command on a host printed on standard error."""
        if host.name not in self._lines:
            self._lines[host.name] = WholeLines(self._out.err,
                                                       writer.encoded(host.name + ': '))
        self._lines[host.name].feed(data)

    # -- output ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _paths(self, found):
        """Yield paths of files that hold the Results.

        Their own files have no names, except with /proc.
        """
        if os.path.isdir('/proc/self/fd'):
            yield ['/proc/%d/fd/%d' % (os.getpid(), results.file.fileno()) for results in found]
            return
        with files.local_errors('results of reduce'), tempfile.TemporaryDirectory(
                dir=self._scratch) as folder:
            paths = [os.path.join(folder, str(number)) for number in range(len(found))]
            for path, results in zip(paths, found):
                with open(path, 'wb') as copy:
                    copy.writelines(results.chunks())
            yield paths

    def merged(self, found, order):
        """Return the Results of all partitions as one, merged by sort, if only sort knows the
        order.
        """
        file = self.temporary()
        merged = reducers.Results(file, reducers.ReduceProgress(0, 0))
        with self._paths(found) as paths:
            argv = ['/usr/bin/env', 'sort', '-m'] + order.sort_words() + paths
            result = self._run.report(_single(
                Command(tuple(argv), env=dict(self._env.environ, **order.variables), sink=merged)))
        if merged.error is not None:
            raise LocalError(os_error_text('results of reduce', merged.error), reducers.NO_SPACE)
        if not result.ok:
            raise LocalError('sort -m: %s' % (
                printable_text(result.stderr) or 'exit code %d' % result.code))
        return merged


def _single(command):
    """Flow: run one Command; returns its Result."""
    return (yield command)


def progress_text(what, tally, elapsed):
    """Return the progress of a round after `elapsed` seconds, as text.

    The remaining time of the results is estimated only if as many bytes come back as are sent.
    """
    steps = 1 + tally.keeps_lines       # the same bytes are sent, and come back
    progress = Progress.of_bytes(tally.sent + tally.returned * tally.keeps_lines,
                                 tally.expected * steps, elapsed)
    text = '%s %d/%d: %s of %s sent, %s back' % (
        what, tally.done, tally.partitions, units.size(tally.sent), units.size(tally.expected),
        units.size(tally.returned))
    return ', '.join([text] + progress.pace())


def _opened(path):
    """Flow: return the descriptor of an output that is not a regular file, or None.

    A FIFO can be opened only while another process reads it.  lwt does not wait for that
    in open(2), because it would not react to signals there.
    """
    special = None
    while path is not None and special is None and files.is_special(path):
        with files.local_errors(path):
            special = files.open_special(path, wait=False)
        yield Sleep(0.1 if special is None else 0.0)
    return special


def _write(found, path, special):
    """Write the Results to a file, which appears by rename, or to standard output."""
    if path is None:
        with files.local_errors('results of reduce'):
            for results in found:
                for chunk in results.chunks():
                    writer.put_bytes(chunk)
        return
    with files.replacing(path, special) as fd:
        for results in found:
            for chunk in results.chunks():
                while chunk:
                    chunk = chunk[os.write(fd, chunk):]
