"""lwt multi: run command lines in parallel on this machine, each with a timeout, and leave no
process behind.
"""

import collections
import contextlib
import os
import re
import signal

from lwt import proc
from lwt.commands import exit_codes
from lwt.commands.options import Parser, fitting
from lwt.errors import (
    EXIT_FAILED, EXIT_UNREACHABLE, EXIT_USAGE, Interrupted, UsageError, printable_text)
from lwt.flow import running
from lwt.multi import executor, inputs, template
from lwt.output import ordering, units, writer
from lwt.output.progress import ProgressLine
from lwt.workspace import config, files

PROGRESS_EVERY = 0.5            # seconds
SAID = 10                       # failures that get a line of their own
REASONS = 8                     # why commands failed, in the end
SIZES = {'': 1, 'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30, 't': 1 << 40}

EXAMPLES = '''examples:
  lwt multi -j 4 < commands.txt
  lwt multi -j 8 -u 60 gzip -9 ::: *.log                 a command for each argument
  lwt multi -k 'convert {} {.}.png' :::: list.txt        arguments from the lines of a file
  lwt multi echo {1} {2} ::: a b ::: 1 2 3               all combinations
  lwt multi echo {1} {2} ::: a b :::+ 1 2                pairs
  lwt multi --joblog log --resume-failed < commands.txt  what failed or is new
  find . -name '*.c' | lwt multi --halt now,fail=1 cc -c {}

in TEMPLATE:
  {} {.} {..} {...}         the argument; without one, two or three extensions
  {/} {/.} {/..} {/...}     its last name; the same without extensions
  {//} {+/}                 its directory: "." or nothing where it has none
  {+.} {+..} {+...}         its extensions
  {2} {2.} {-1} {-1/}       of the second source, of the last source
  {#} {##} {0#}             number of the job; of all jobs; with leading zeros
  {%} {0%}                  number of its slot; with leading zeros

No quotes around placeholders: each argument is quoted for the shell.  Options come before TEMPLATE,
or after a TEMPLATE that is one quoted word.'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = _parser(name)
    head, sources = template.split_sources(argv)
    parsed, words = _parse(parser, head)
    env = make_env(parser, parsed)
    settings = env.settings(env.find_workspace())
    plan = _plan(parsed, settings, env)
    place = None
    if words:
        text = os.fsencode(' '.join(words))
        place = template.Template(text, max(1, len(sources)), parsed.plus)
    with contextlib.ExitStack() as stack:
        records = _records(parsed, stack)
        if not sources and os.isatty(0) and not env.quiet:
            writer.say('%s are read from the terminal; end them with Ctrl-D'
                       % ('arguments' if words else 'command lines'))
        # One slot more than jobs: see Executor._has_room.
        run = stack.enter_context(running(plan.jobs + 1, plan.grace, adopt=not parsed.dry_run))
        source = inputs.Input(run, _style(parsed, plan, place), place, sources)
        return _Multi(run, parsed, plan, source, records, env).run()


def _parser(name):
    parser = Parser(name,
                    'lwt multi [options] [TEMPLATE [::: ARG…]]  < command lines, or arguments for '
                    'TEMPLATE',
                    'Run command lines in parallel on this machine.  Their standard input is '
                    'empty.  The output of each\nis printed when it is done and never mixed.',
                    EXAMPLES)
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


def _add_output_options(parser):
    shown = parser.add_argument_group('output')
    shown.add_argument('-k', '--keep-order', action='store_true',
                       help='print output in the order of the input')
    shown.add_argument('--tag', action='store_true',
                       help='prefix each line with the argument (or command) and a tab')
    shown.add_argument('--line-buffer', '--lb', action='store_true',
                       help='print whole lines as they arrive')
    shown.add_argument('--progress', '--bar', '--eta', action='store_true',
                       help='show progress (SIGUSR1 lists what is running)')
    kept = parser.add_argument_group('records')
    kept.add_argument('--joblog', metavar='FILE',
                      help="write a row per job in GNU parallel's format; +FILE appends")
    resumed = kept.add_mutually_exclusive_group()
    resumed.add_argument('--resume', action='store_true', help='skip jobs that are in the job log')
    resumed.add_argument('--resume-failed', action='store_true',
                         help='skip jobs that the job log records as successful')
    kept.add_argument('--results', metavar='DIR', type=files.user_path,
                      help='write DIR/N/stdout, stderr and meta (JSON) for each job')


def _parse(parser, head):
    """(parsed, the words of the template) of what stands before the first source."""
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
    return parsed, literal + words


# -- options ---------------------------------------------------------------------------------------


def _plan(parsed, settings, env):
    def read(flag, text, take):
        try:
            return take(text)
        except ValueError as error:
            raise UsageError('%s: %r: %s' % (flag, text, error))
    percent = parsed.timeout is not None and parsed.timeout.endswith('%')
    timeout = (settings.timeout if parsed.timeout is None else 0.0 if percent
               else read('-u', parsed.timeout, config.seconds))
    jobs = read('-j', parsed.jobs, _jobs)
    return executor.ExecutorOptions(
        jobs=fitting(jobs, '-j', writer.say), timeout=timeout,
        median_percent=read('-u', parsed.timeout[:-1], config.positive) if percent else 0.0,
        grace=settings.grace,
        retries=read('--retries', parsed.retries, config.count),
        halt=read('--halt', parsed.halt, _halt),
        delay=read('--delay', parsed.delay, config.seconds),
        load=read('--load', parsed.load, _of_cores),
        memfree=read('--memfree', parsed.memfree, _size), nice=read('--nice', parsed.nice, _nice))


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _jobs(text):
    """-j: N, N more or less than the cores, N% of them, or 0 for as many as possible."""
    if text[:1] in ('+', '-'):
        return max(1, _cores() + (1 if text[0] == '+' else -1) * config.count(text[1:]))
    if text.endswith('%'):
        return max(1, int(_of_cores(text)))
    return config.count(text) or proc.most_at_once()


def _of_cores(text):
    if not re.fullmatch(r'[0-9]{1,9}(\.[0-9]{1,6})?%?', text):
        raise ValueError('expected a number, or a percentage of the cores')
    return float(text[:-1]) * _cores() / 100 if text.endswith('%') else float(text)


def _nice(text):
    if not re.fullmatch(r'-?[0-9]{1,2}', text) or not -20 <= int(text) <= 19:
        raise ValueError('expected a whole number from -20 to 19')
    return int(text)


def _size(text):
    found = re.fullmatch(r'([0-9]+(?:\.[0-9]+)?)([kmgt]?)', text.lower())
    if not found:
        raise ValueError('expected a size, as 500M')
    return int(float(found.group(1)) * SIZES[found.group(2)])


def _halt(text):
    if text in ('never', '0'):
        return executor.Halt()
    found = re.fullmatch(r'(now|soon),(fail|success|done)=([0-9]+(?:\.[0-9]+)?)(%?)', text)
    if not found or not float(found.group(3)):
        raise ValueError('expected never, or now|soon,fail|success|done=N or N%')
    return executor.Halt(found.group(1), found.group(2), float(found.group(3)),
                         bool(found.group(4)))


def _style(parsed, plan, place):
    needs_total = plan.halt.is_percent or place is not None and place.has_total
    separator = b'\0' if parsed.null else b'\n'
    return inputs.Style(separator, parsed.dos, parsed.tag, plan.jobs, needs_total)


def _records(parsed, stack):
    """What keeps the ends of jobs: a joblog.Records, or None where nothing is to be kept."""
    resumed = parsed.resume or parsed.resume_failed
    if resumed and not parsed.joblog:
        raise UsageError('lwt multi: --resume needs --joblog FILE',
                         'the job log tells what was done')
    if not parsed.joblog and not parsed.results:
        return None
    from lwt.multi import joblog  # here, for its imports take long
    done, log = None, None
    if parsed.joblog:
        keep = resumed or parsed.joblog.startswith('+')
        path = parsed.joblog[1:] if parsed.joblog.startswith('+') else parsed.joblog
        path = files.user_path(path)
        done = joblog.FinishedJobs(path, parsed.resume_failed) if resumed else None
        log = None if parsed.dry_run else stack.enter_context(joblog.JobLog(path, keep))
    return joblog.Records(done, log, parsed.results)


# -- the run ---------------------------------------------------------------------------------------


class _Multi:
    """One run: what is said of it while it goes on, and at its end."""

    def __init__(self, run, parsed, plan, source, records, env):
        self._run = run
        self._parsed = parsed
        self._source = source
        self._records = records
        self._env = env
        self._out = writer.Output(run)
        self._plan = plan
        self._reasons = collections.Counter()
        self._said = 0
        if records is not None:
            source.was_done = records.was_done
        if parsed.line_buffer and not parsed.keep_order:
            stage = ordering.LineByLine(self._out)
        elif parsed.keep_order:
            stage = ordering.InOrder(self._out, not plan.retries)
        else:
            stage = ordering.Grouped(self._out)
        self._executor = executor.Executor(run, plan, stage, env.environ, source, self._on_end,
                                           records.sink_of if records is not None
                                           else lambda _job, output: output)
        self._progress = ProgressLine(parsed.progress)
        self._progress_timer = None
        self._out.share_terminal(self._progress)
        self._out.trust()
        self._began = run.loop.time()

    def run(self):
        """Run all jobs; returns the exit code."""
        run, executor = self._run, self._executor
        if self._parsed.dry_run:
            self._source.more = self._print
        else:
            self._source.more = executor.more
        run.pool.on_cancel(self._on_cancel)
        run.pool.on_resume(self._source.more)
        run.loop.on_signal(signal.SIGUSR1, lambda _signum: self._tell_running())
        run.on_quit(self._tell_running)
        run.loop.call_soon(self._source.more)
        if self._parsed.progress and not self._parsed.dry_run:
            executor.on_over = self._end_progress
            self._progress_timer = run.loop.call_later(PROGRESS_EVERY, self._show_progress)
        try:
            run.run()
        except Interrupted:
            self._sum_up('interrupted')
            raise
        self._out.check()
        self._sum_up('halted' if executor.halted else '')
        if self._source.problem is not None:
            raise self._source.problem
        return self._exit_code()

    def _print(self):
        while not self._run.pool.is_paused:
            job = self._source.take()
            if job is None:
                return
            self._out.out.write(job.text(1) + b'\n')

    def _on_cancel(self):
        self._executor.close()
        self._end_progress()

    def _end_progress(self):
        self._progress.end()
        if self._progress_timer is not None:
            self._progress_timer.cancel()
            self._progress_timer = None

    def _exit_code(self):
        counts, executor = self._executor.counts, self._executor
        bad = EXIT_USAGE if self._source.bad else 0
        if executor.halted and self._plan.halt.outcome == 'success':
            return bad                  # what was wanted has come
        is_unknown = counts['timeout'] or counts['lost']
        return max(EXIT_UNREACHABLE if is_unknown else 0, EXIT_FAILED if counts['failed'] else 0,
                   bad)

    # -- what is said ------------------------------------------------------------------------------

    def _on_end(self, ended):
        if self._records is not None:
            self._records.write(ended)
        if ended.kind in executor.FAILURES:
            reason = 'timed out' if ended.kind == 'timeout' else ended.reason
            self._reasons[reason] += 1
            self._say_failure(ended, reason)
        if ended.is_cut:
            self._out.say('job %d: %s: %s' % (
                ended.job.number, exit_codes.OUTPUT_HELD, printable_text(ended.command, 60)))

    def _say_failure(self, ended, reason):
        is_new = self._reasons[reason] == 1 and len(self._reasons) <= REASONS
        if self._said < SAID or is_new or self._env.verbose:
            attempts = ' (%d attempts)' % ended.attempts if ended.attempts > 1 else ''
            self._out.say('job %d: %s%s: %s' % (ended.job.number, ended.reason, attempts,
                                                printable_text(ended.command, 60)))
        self._said += 1

    def _sum_up(self, why):
        counts, bad = self._executor.counts, self._source.bad
        for number, problem in bad[:SAID]:
            self._out.say('job %d: %s' % (number, problem))
        failed = self._executor.failed + len(bad)
        total = failed + counts['ok']
        if why:
            self._out.say('%s: %s, %d ended before their time, %s not run' % (
                why, self._state(len(bad)), counts['stopped'], self._left()))
        elif failed and total > 1 and not self._env.quiet:
            common = sorted(self._reasons.items(), key=lambda item: (-item[1], item[0]))[:REASONS]
            reasons = ['%d %s' % (count, reason) for reason, count in common]
            more = ['…'] * (len(self._reasons) > REASONS)
            self._out.say('%d of %d failed%s'
                          % (failed, total, ': ' + ', '.join(reasons + more) if reasons else ''))
        self._run.loop.run()            # the words above may wait for a slow reader

    def _left(self):
        """How many were not run, as far as anybody can know."""
        left = self._executor.not_run
        return 'the rest' if left is None else '%d' % (left + self._executor.counts['not run'])

    def _tell_running(self):
        running = list(self._executor.running.values())
        now = self._run.loop.time()
        self._out.say('%s, %d running' % (self._state(), len(running)))
        for job, began in running:
            self._out.say('job %d: running %s: %s' % (job.number, units.duration(now - began),
                                                      printable_text(job.text(1), 60)))

    def _state(self, bad=0):
        counts, failed = self._executor.counts, self._executor.failed + bad
        return '%d done%s' % (counts['ok'] + failed, ' (%d failed)' % failed if failed else '')

    def _show_progress(self):
        running = len(self._executor.running)
        seconds = max(0.001, self._run.loop.time() - self._began)
        done = self._executor.counts['ok'] + self._executor.failed
        self._progress.show('%s, %d running, %.1f/s%s'
                            % (self._state(), running, done / seconds, self._eta(running)))
        self._progress_timer = self._run.loop.call_later(PROGRESS_EVERY, self._show_progress)

    def _eta(self, running):
        median, left = self._executor.median, self._source.left()
        if median is None or left is None:
            return ''
        return ', %d to go, ETA %s' % (left, units.duration((left / self._plan.jobs + 1) * median))
