"""lwt multi: run command lines in parallel on this machine, each with a timeout; no process is left
behind.

main goes through four steps, in this order:

  parse    the command line becomes MultiArguments
  plan     the arguments become a MultiPlan: template, style of the input, options of the executor
  run      _MultiRun runs the jobs; multi/executor.py starts and retries them
  report   multi_report.MultiReport prints messages and progress, during the run and at the end
"""

import contextlib
import os
import re
from typing import NamedTuple, Optional

from lwt import procfs
from lwt.commands.multi_report import MultiReport
from lwt.commands.options import Parser, fitting, read_value
from lwt.errors import EXIT_FAILED, EXIT_UNREACHABLE, EXIT_USAGE, Interrupted, UsageError
from lwt.flow import running
from lwt.multi import executor, inputs, template
from lwt.output import ordering, writer
from lwt.workspace import config, files

SIZES = {'': 1, 'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30, 't': 1 << 40}

EXAMPLES = '''examples:
  lwt multi -j 4 < commands.txt
  lwt multi -j 8 -u 60 gzip -9 ::: *.log                 a command for each argument
  lwt multi -k 'convert {} {.}.png' :::: list.txt        arguments from the lines of a file
  lwt multi echo {1} {2} ::: a b ::: 1 2 3               all combinations
  lwt multi echo {1} {2} ::: a b :::+ 1 2                pairs
  lwt multi --joblog log --resume-failed < commands.txt  run what failed or is new
  find . -name '*.c' | lwt multi --halt now,fail=1 cc -c {}

in TEMPLATE:
  {} {.} {..} {...}         the argument; without one, two or three extensions
  {/} {/.} {/..} {/...}     its base name; the same without extensions
  {//} {+/}                 its directory; "." or nothing if it has none
  {+.} {+..} {+...}         its extensions
  {2} {2.} {-1} {-1/}       of the second source, of the last source
  {#} {##} {0#}             number of the job; of all jobs; with leading zeros
  {%} {0%}                  number of its slot; with leading zeros

No quotes around placeholders: each argument is quoted for the shell.  Options come before TEMPLATE,
or after a TEMPLATE that is one quoted word.'''


class MultiArguments(NamedTuple):
    """The command line of lwt multi, except the options of the table in workspace/config.py.

    words: the words of the template.
    sources: the arguments after it, as template.split_sources returns them.
    Every other field has the name of its option.  The values of jobs to nice are texts, as typed.
    """

    words: list
    sources: list
    jobs: str
    timeout: Optional[str]
    retries: str
    halt: str
    delay: str
    load: str
    memfree: str
    nice: str
    null: bool
    dos: bool
    plus: bool
    dry_run: bool
    keep_order: bool
    tag: bool
    line_buffer: bool
    progress: bool
    joblog: Optional[str]
    resume: bool
    resume_failed: bool
    results: Optional[str]


class MultiPlan(NamedTuple):
    """What a run needs.  template: a template.Template, or None if the input is command lines."""

    arguments: MultiArguments
    options: executor.ExecutorOptions
    template: Optional[template.Template]
    input_style: inputs.Style


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = _parser(name)
    parsed, arguments = _parse(parser, argv)
    env = make_env(parser, parsed)
    plan = _plan(arguments, env.settings(env.find_workspace()))
    with contextlib.ExitStack() as stack:
        records = _records(arguments, stack)
        if not arguments.sources and os.isatty(0) and not env.quiet:
            writer.say('reading %s from the terminal; end with Ctrl-D'
                       % ('arguments' if arguments.words else 'command lines'))
        # One slot more than jobs: see Executor._has_room.
        run = stack.enter_context(running(plan.options.jobs + 1, plan.options.grace,
                                          adopt=not arguments.dry_run))
        source = inputs.Input(run, plan.input_style, plan.template, arguments.sources)
        report = MultiReport(run, plan, source, records, env)
        return _MultiRun(run, plan, source, report, records, env.environ).run()


# -- parse -----------------------------------------------------------------------------------------


def _parser(name):
    parser = Parser(name,
                    'lwt multi [options] [TEMPLATE [::: ARG…]]  < command lines, or arguments for '
                    'TEMPLATE',
                    'Run command lines in parallel on this machine.  Their standard input is '
                    'empty.  The output of each\nis printed when it is done and never mixed.',
                    EXAMPLES)
    _add_limits(parser)
    parser.add_argument('-0', '--null', action='store_true',
                        help='input is separated by NUL bytes instead of newlines')
    parser.add_argument('--dos', action='store_true',
                        help='remove a carriage return at the end of an input line')
    parser.add_argument('--plus', action='store_true',
                        help="treat GNU parallel's unusual replacement strings as errors instead "
                             "of text")
    parser.add_argument('--dry-run', action='store_true', help='print the commands and run nothing')
    _add_output_options(parser)
    return parser


def _add_limits(parser):
    parser.add_argument('-j', '-P', '--jobs', metavar='N', default='100%',
                        help='number of parallel jobs: N; +N or -N: relative to the number of '
                             'cores; N%%: of the cores; 0: as many as possible')
    parser.add_argument('-u', '--timeout', metavar='SEC',
                        help='timeout per job in seconds, or N%% of the median run time of '
                             'successful jobs')
    parser.add_options('grace')
    parser.add_argument('--retries', metavar='N', default='0',
                        help='retry failed jobs up to N times, with back-off')
    parser.add_argument('--halt', metavar='WHEN', default='never',
                        help='now|soon,fail|success|done=N|N%%: stop early and kill running jobs '
                             '(now) or let them finish (soon)')
    parser.add_argument('--delay', metavar='SEC', default='0', help='seconds between two starts')
    parser.add_argument('--load', metavar='N', default='0',
                        help='start no job while the load is N, or N%% of the cores, or more')
    parser.add_argument('--memfree', metavar='SIZE', default='0',
                        help='start no job while less memory is free (k, M, G)')
    parser.add_argument('--nice', metavar='N', default='0', help='run jobs at niceness N')


def _add_output_options(parser):
    shown = parser.add_argument_group('output')
    shown.add_argument('-k', '--keep-order', action='store_true',
                       help='print output in the order of the input')
    shown.add_argument('--tag', action='store_true',
                       help='prefix each line with the argument (or command) and a tab')
    shown.add_argument('--line-buffer', '--lb', action='store_true',
                       help='print whole lines as they arrive')
    shown.add_argument('--progress', '--bar', '--eta', action='store_true',
                       help='show a progress bar, and a summary at the end (SIGUSR1 lists '
                            'running jobs)')
    kept = parser.add_argument_group('records')
    kept.add_argument('--joblog', metavar='FILE',
                      help="write a row per job in GNU parallel's format; +FILE appends")
    resumed = kept.add_mutually_exclusive_group()
    resumed.add_argument('--resume', action='store_true', help='skip jobs that are in the job log')
    resumed.add_argument('--resume-failed', action='store_true',
                         help='skip jobs that the job log records as successful')
    kept.add_argument('--results', metavar='DIR', type=files.user_path,
                      help='write DIR/N/stdout, stderr and meta (JSON) for each job')


def _parse(parser, argv):
    """Read the command line; returns (parsed, MultiArguments).  Raises UsageError."""
    head, sources = template.split_sources(argv)
    before, literal, after = head, [], []
    if '--' in head:
        at = head.index('--')
        before, literal = head[:at], head[at + 1:]
    leading, rest = parser.leading(before)
    if rest and ' ' in rest[0] and not literal:         # a template in one word: options may follow
        literal, after = rest[:1], rest[1:]
    else:
        literal = rest + literal
    parsed, words = parser.parse(leading + after)
    values = {name: value for name, value in vars(parsed).items() if name in MultiArguments._fields}
    return parsed, MultiArguments(literal + words, sources, **values)


# -- plan ------------------------------------------------------------------------------------------


def _plan(arguments, settings):
    """Return the MultiPlan.  Raises UsageError."""
    options = _executor_options(arguments, settings)
    found = None
    if arguments.words:
        text = os.fsencode(' '.join(arguments.words))
        found = template.Template(text, max(1, len(arguments.sources)), arguments.plus)
    needs_total = options.halt.is_percent or found is not None and found.has_total
    separator = b'\0' if arguments.null else b'\n'
    style = inputs.Style(separator, arguments.dos, arguments.tag, options.jobs, needs_total)
    return MultiPlan(arguments, options, found, style)


def _executor_options(arguments, settings):
    """Return the executor.ExecutorOptions.  Raises UsageError."""
    timeout, median_percent = settings.timeout, 0.0
    if arguments.timeout is not None and arguments.timeout.endswith('%'):
        timeout = 0.0
        median_percent = read_value('-u', arguments.timeout[:-1], config.positive)
    elif arguments.timeout is not None:
        timeout = read_value('-u', arguments.timeout, config.seconds)
    return executor.ExecutorOptions(
        jobs=fitting(read_value('-j', arguments.jobs, _jobs), '-j', writer.say),
        timeout=timeout, median_percent=median_percent, grace=settings.grace,
        retries=read_value('--retries', arguments.retries, config.count),
        halt=read_value('--halt', arguments.halt, _halt),
        delay=read_value('--delay', arguments.delay, config.seconds),
        load=read_value('--load', arguments.load, _of_cores),
        memfree=read_value('--memfree', arguments.memfree, _size),
        nice=read_value('--nice', arguments.nice, _nice))


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _jobs(text):
    """Return the number of jobs for the value of -j: N, +N, -N, N% or 0."""
    if text[:1] in ('+', '-'):
        return max(1, _cores() + (1 if text[0] == '+' else -1) * config.count(text[1:]))
    if text.endswith('%'):
        return max(1, int(_of_cores(text)))
    return config.count(text) or procfs.most_at_once()


def _of_cores(text):
    """Return a number, or a percentage of the number of cores as a number."""
    if not re.fullmatch(r'[0-9]{1,9}(\.[0-9]{1,6})?%?', text):
        raise ValueError('expected a number, or a percentage of the cores')
    return float(text[:-1]) * _cores() / 100 if text.endswith('%') else float(text)


def _nice(text):
    if not re.fullmatch(r'-?[0-9]{1,2}', text) or not -20 <= int(text) <= 19:
        raise ValueError('expected a whole number from -20 to 19')
    return int(text)


def _size(text):
    """Return a size such as 500M in bytes."""
    found = re.fullmatch(r'([0-9]+(?:\.[0-9]+)?)([kmgt]?)', text.lower())
    if not found:
        raise ValueError('expected a size such as 500M')
    return int(float(found.group(1)) * SIZES[found.group(2)])


def _halt(text):
    """Return the executor.Halt of --halt."""
    if text in ('never', '0'):
        return executor.Halt()
    found = re.fullmatch(r'(now|soon),(fail|success|done)=([0-9]+(?:\.[0-9]+)?)(%?)', text)
    if not found or not float(found.group(3)):
        raise ValueError('expected never, or now|soon,fail|success|done=N or N%')
    return executor.Halt(found.group(1), found.group(2), float(found.group(3)),
                         bool(found.group(4)))


def _records(arguments, stack):
    """Return the joblog.Records for the job log and the results, or None.  stack: an ExitStack."""
    resumed = arguments.resume or arguments.resume_failed
    if resumed and not arguments.joblog:
        raise UsageError('lwt multi: --resume needs --joblog FILE',
                         'the job log records which jobs are done')
    if not arguments.joblog and not arguments.results:
        return None
    from lwt.multi import joblog  # here because its imports take long
    done, log = None, None
    if arguments.joblog:
        keep = resumed or arguments.joblog.startswith('+')
        path = arguments.joblog[1:] if arguments.joblog.startswith('+') else arguments.joblog
        path = files.user_path(path)
        done = joblog.FinishedJobs(path, arguments.resume_failed) if resumed else None
        log = None if arguments.dry_run else stack.enter_context(joblog.JobLog(path, keep))
    return joblog.Records(done, log, arguments.results)


# -- run -------------------------------------------------------------------------------------------


class _MultiRun:
    """Runs all jobs, or prints them with --dry-run."""

    def __init__(self, run, plan, source, report, records, environ):
        self._run = run
        self._plan = plan
        self._source = source
        self._report = report
        self._records = records
        sink_of = executor.own_output
        if records is not None:
            source.was_done = records.was_done
            sink_of = records.sink_of
        self._executor = executor.Executor(run, plan.options, self._ordering(), environ, source,
                                           self._on_end, sink_of)

    def _ordering(self):
        """Return the Ordering for the options."""
        arguments, out = self._plan.arguments, self._report.out
        if arguments.keep_order:
            return ordering.InOrder(out, live=not self._plan.options.retries)
        return ordering.LineByLine(out) if arguments.line_buffer else ordering.Grouped(out)

    def run(self):
        """Run all jobs; returns the exit code."""
        run, executor = self._run, self._executor
        is_dry = self._plan.arguments.dry_run
        self._source.more = self._print if is_dry else executor.more
        run.pool.on_cancel(self._on_cancel)
        run.pool.on_resume(self._source.more)
        run.loop.call_soon(self._source.more)
        executor.on_over = self._report.all_done
        self._report.begin(executor)
        try:
            run.run()
        except Interrupted:
            self._report.end('interrupted')
            raise
        self._report.out.check()
        self._report.end('halted' if executor.halted else '')
        if self._source.problem is not None:
            raise self._source.problem
        return self._exit_code()

    def _print(self):
        while not self._run.pool.is_paused:
            job = self._source.take()
            if job is None:
                return
            self._report.out.out.write(job.text(1) + b'\n')

    def _on_cancel(self):
        self._executor.close()
        self._report.stopping()

    def _on_end(self, ended):
        if self._records is not None:
            self._records.write(ended)
        self._report.job_done(ended)

    def _exit_code(self):
        counts, executor = self._executor.counts, self._executor
        bad = EXIT_USAGE if self._source.bad else 0
        if executor.halted and self._plan.options.halt.outcome == 'success':
            return bad                  # the condition of --halt was met
        is_unknown = counts['timeout'] or counts['lost']
        return max(EXIT_UNREACHABLE if is_unknown else 0, EXIT_FAILED if counts['failed'] else 0,
                   bad)
