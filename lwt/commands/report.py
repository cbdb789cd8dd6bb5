"""lwt report: an HTML page about hosts, queue and failures."""

import collections
import os
import time

from lwt import __version__
from lwt.commands.host_view import STATES
from lwt.commands.options import Parser
from lwt.errors import UsageError
from lwt.output import report, writer
from lwt.tasks import model, results
from lwt.tasks.store import Store
from lwt.tasks.task_lists import NumberSet, TaskList
from lwt.workspace import files

FAILURES = tuple(outcome for outcome in model.OUTCOMES if outcome != 'success')
TAIL = 2000             # bytes at the end of a file that are searched for its last line

EXAMPLES = '''examples:
  lwt report -o r.html             write r.html; open it in any browser
  lwt report > /tmp/r.html         write to standard output'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = Parser(name, 'lwt report [-o FILE.html]',
                    'Write an HTML page about hosts, queue, timeline and failures.  It needs no '
                    'script and no network,\nand can be read on a phone and printed.', EXAMPLES)
    parser.add_argument('-o', '--output', metavar='FILE', type=files.user_path,
                        help='write to FILE (default: standard output)')
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    if words or parsed.rest:
        raise UsageError('lwt report: unexpected word %s' % (words + (parsed.rest or []))[0],
                         'name the file with -o')
    if parsed.output is None and os.isatty(1):
        raise UsageError('lwt report: a page of HTML is not for a terminal',
                         'lwt report -o FILE.html')
    workspace = env.require_workspace()
    env.settings(workspace)
    workspace.prepare()
    with Store(workspace.database) as store:
        page = report.page(facts(workspace, store, time.time()))
    if parsed.output is None:
        writer.put_bytes(page.encode())
    else:
        files.write_target(parsed.output, page)
        if not env.quiet:
            writer.say('written: %s' % parsed.output)
    return 0


def facts(workspace, store, now):
    """Return the ReportData of a workspace."""
    spans = [report.Span(task.host, task.started, task.ended if task.state == 'done' else None,
                         task.outcome or task.state,
                         task.label) for task in store.started()]
    return report.ReportData(os.path.basename(workspace.root), __version__, now, store.counts(),
                             model.STATES, spans,
                             _hosts(workspace, store), _failures(workspace, store))


def _failures(workspace, store):
    """Return the failed attempts, and the tasks that failed without an attempt."""
    attempts = store.failed_attempts()
    tried = NumberSet(row[0] for row in attempts)
    tasks = {task.id: task for task in TaskList(store, tried)}
    failures, examples = [], collections.Counter()
    for number, attempt, host, ended, end, code, reason in attempts:
        task = tasks.get(number)
        reason = reason or ('exit code %d' % code if end == 'failed' and code is not None else '')
        failure = report.FailedAttempt(model.format_id(number), task.name if task else '?', host,
                                       end, reason, ended)
        if task is not None:
            failure = failure._replace(arg=task.arg or '',
                                       has_recovered=task.outcome == 'success')
            kind = failure.outcome, failure.name, failure.reason, failure.has_recovered
            examples[kind] += 1
            # Only these are shown, so the files of the others are not read.
            if examples[kind] <= report.EXAMPLES:
                path = _result_path(workspace, task, attempt)
                failure = failure._replace(path=path, stderr=_last_line(path))
        failures.append(failure)
    return failures + [
        report.FailedAttempt(model.format_id(task.id), task.name, task.host, task.outcome,
                             task.reason, task.ended or task.added, task.arg or '')
        for task in store.chosen(outcomes=FAILURES) if task.id not in tried]


def _result_path(workspace, task, attempt):
    """Return the directory with the results of an attempt, or ''."""
    whole = results.directory(workspace, task)
    paths = [os.path.join(whole, 'attempt.%d' % attempt),
             results.attempt_directory(workspace, task._replace(attempt=attempt))]
    paths += [whole] * (attempt == task.attempt)
    return next((path for path in paths if os.path.isdir(path)), '')


def _last_line(path):
    """Return the last line of the standard error of an attempt, or ''."""
    try:
        with open(os.path.join(path, 'run.stderr'), 'rb') as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL))
            lines = file.read(TAIL).decode('utf-8', 'replace').split('\n')
    except OSError:
        return ''
    return next((line.strip() for line in reversed(lines) if line.strip()), '')


def _hosts(workspace, store):
    available = {host.name for host in workspace.available()}
    health, hours = store.health(), {}
    for name, hour, kind, count in store.endings_by_hour():
        counted = hours.setdefault(name, {})
        well, failed = counted.get(hour, (0, 0))
        counted[hour] = (well + count, failed) if kind == 'ok' else (well, failed + count)
    return [report.HostFacts(host.name, host.category,
                             *_state(health.get(host.name), host.name in available),
                             hours.get(host.name, {})) for host in workspace.candidates()]


def _state(health, is_available):
    """Return (state, reason) of a host."""
    if health is not None and health.state != 'ok':
        return STATES[health.state], health.reason
    return ('ok', '') if is_available else ('not available', '')
