"""lwt multi: run command lines in parallel on this machine or on hosts, each with a timeout; no
process is left behind.

main goes through four steps, in this order:

  parse    the command line becomes MultiArguments: see multi_options.py
  plan     the arguments become a MultiPlan: template, style of the input, options of the executor
  run      _MultiRun runs the jobs; multi/executor.py starts and retries them
  report   multi_report.MultiReport prints messages and progress, during the run and at the end
"""

import contextlib
import os
from typing import NamedTuple, Optional

from lwt import procfs
from lwt.commands import multi_hosts, multi_options
from lwt.commands.multi_input import InputPlan, plan_input
from lwt.commands.multi_report import MultiReport
from lwt.commands.options import fitting, read_value
from lwt.errors import EXIT_FAILED, EXIT_UNREACHABLE, EXIT_USAGE, Interrupted, UsageError
from lwt.flow import running
from lwt.multi import executor
from lwt.multi.job_hosts import UNKNOWN
from lwt.output import ordering, writer
from lwt.workspace import config, files


NAMES_SHOWN = 10                # names of unknown hosts in a message


class MultiPlan(NamedTuple):
    """What a run needs.  hosts: None to run all jobs on this machine."""

    arguments: multi_options.MultiArguments
    options: executor.ExecutorOptions
    input: InputPlan
    hosts: Optional[multi_hosts.HostPlan] = None


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = multi_options.make_parser(name)
    parsed, arguments = multi_options.parse(parser, argv)
    env = make_env(parser, parsed)
    with contextlib.ExitStack() as stack:
        _say_reading(arguments, env)
        plan = _plan(env, arguments, stack.callback)
        records = _records(arguments, stack)
        # One slot more than jobs: see Executor._has_room.
        fanout = plan.options.jobs + 1 if plan.hosts is None else procfs.max_children()
        run = stack.enter_context(running(fanout, plan.options.grace, adopt=not arguments.dry_run))
        if plan.hosts is not None:
            env.ready(run, plan.hosts.workspace, plan.hosts.session, plan.hosts.hosts)
        source = plan.input.make_source(run)
        report = MultiReport(run, plan, source, records, env)
        return _MultiRun(run, plan, source, report, records, env.environ).run()


def _say_reading(arguments, env):
    """Print what is read, if it comes from the terminal."""
    if not arguments.sources and os.isatty(0) and not env.quiet:
        what = 'arguments' if arguments.words else 'command lines'
        writer.say('reading %s from the terminal; end with Ctrl-D'
                   % ('data' if arguments.pipe else what))


# -- plan ------------------------------------------------------------------------------------------


def _plan(env, arguments, at_exit):
    """Return the MultiPlan.  at_exit: gets functions that close files.  Raises UsageError."""
    options = _executor_options(arguments, env.settings(env.find_workspace()))
    source = plan_input(arguments, options, at_exit)
    if not arguments.on_hosts.are_named:
        return MultiPlan(arguments, options, source)

    def slots_for(cores):
        return read_value('-j', arguments.jobs, lambda text: multi_options.jobs(text, cores))

    hosts = multi_hosts.plan(env, arguments, source, options, slots_for)
    return MultiPlan(arguments, options, source, hosts)


def _executor_options(arguments, settings):
    """Return the executor.ExecutorOptions.  Raises UsageError."""
    timeout, median_percent = settings.timeout, 0.0
    if arguments.timeout is not None and arguments.timeout.endswith('%'):
        timeout = 0.0
        median_percent = read_value('-u', arguments.timeout[:-1], config.positive)
    elif arguments.timeout is not None:
        timeout = read_value('-u', arguments.timeout, config.seconds)
    return executor.ExecutorOptions(
        jobs=fitting(read_value('-j', arguments.jobs, multi_options.jobs), '-j', writer.say),
        timeout=timeout, median_percent=median_percent, grace=settings.grace,
        retries=read_value('--retries', arguments.retries, config.count),
        halt=read_value('--halt', arguments.halt, multi_options.halt),
        delay=read_value('--delay', arguments.delay, config.seconds),
        load=read_value('--load', arguments.load, multi_options.of_cores),
        memfree=read_value('--memfree', arguments.memfree, multi_options.size),
        nice=read_value('--nice', arguments.nice, multi_options.nice))


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
        self._hosts = None
        if plan.hosts is not None and not plan.arguments.dry_run:
            self._hosts = plan.hosts.job_hosts(run, report.out.say)
        self._executor = executor.Executor(run, plan.options, self._ordering(), environ, source,
                                           self._on_end, sink_of, self._hosts)

    def _ordering(self):
        """Return the Ordering for the options."""
        arguments, out = self._plan.arguments, self._report.out
        if arguments.keep_order:
            return ordering.InOrder(out, live=not self._plan.options.retries)
        if arguments.ungroup:
            return ordering.Direct(out)
        return ordering.LineByLine(out) if arguments.line_buffer else ordering.Grouped(out)

    def run(self):
        """Run all jobs; returns the exit code."""
        run, executor = self._run, self._executor
        is_dry = self._plan.arguments.dry_run
        self._source.more = self._print if is_dry else executor.more
        run.pool.on_cancel(self._on_cancel)
        run.pool.on_resume(self._source.more)
        run.loop.call_soon(self._source.more)
        executor.on_over = self._on_over
        executor.on_lost = self._report.job_lost
        self._report.begin(executor)
        if self._hosts is not None:
            self._hosts.on_change = self._on_hosts_changed
            self._hosts.start()
            run.at_exit(self._hosts.log_out)
        try:
            run.run()
        except Interrupted:
            self._report.end('interrupted')
            raise
        self._report.out.check()
        self._report.end('halted' if executor.halted else '')
        if self._source.problem is not None:
            raise self._source.problem
        if self._hosts is not None and self._hosts.unknown:
            raise UsageError('%s: %s' % (', '.join(self._hosts.unknown[:NAMES_SHOWN]), UNKNOWN),
                             'no job was run; correct the names of the hosts')
        return self._exit_code()

    def _on_over(self):
        self._report.all_done()
        if self._hosts is not None:
            self._hosts.close()

    def _on_hosts_changed(self):
        if self._hosts.are_out and not self._executor.closed:
            self._executor.lost_hosts = not self._hosts.unknown
            self._executor.close()
        self._executor.more()

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
        is_unknown = counts['timeout'] or counts['lost'] or executor.lost_hosts
        return max(EXIT_UNREACHABLE if is_unknown else 0, EXIT_FAILED if counts['failed'] else 0,
                   bad)
