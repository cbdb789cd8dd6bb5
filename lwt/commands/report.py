"""lwt report: an HTML page about hosts, queue and failures."""

import os
import time

from lwt import __version__
from lwt.commands.options import Parser
from lwt.errors import UsageError
from lwt.output import report, writer
from lwt.tasks import model
from lwt.tasks.store import Store
from lwt.workspace import files

EXAMPLES = '''examples:
  lwt report -o r.html             to look at in any browser, or to send to somebody
  lwt report > /tmp/r.html'''


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
        env.quiet or writer.say('written: %s' % parsed.output)
    return 0


def facts(workspace, store, now):
    """The ReportData of a workspace."""
    found = store.all()
    spans = [report.Span(task.host, task.started, task.ended if task.state == 'done' else None,
                         task.outcome or task.state,
                         task.label) for task in found if task.host and task.started]
    return report.ReportData(os.path.basename(workspace.root), __version__, now, store.counts(),
                             model.STATES, spans,
                             _hosts(workspace, store), _failures(store, found))


def _failures(store, found):
    """The attempts that did not go well, and the tasks that ended badly without one."""
    names, tried = {task.id: task.name for task in found}, set()
    failures = []
    for number, host, ended, end, code, reason in store.failed_attempts():
        tried.add(number)
        reason = reason or ('exit code %d' % code if end == 'failed' and code is not None else '')
        failures.append(report.FailedAttempt(model.format_id(number), names.get(number, '?'), host,
                                             end, reason, ended))
    return failures + [report.FailedAttempt(model.format_id(task.id), task.name, task.host,
                                            task.outcome, task.reason, task.ended or task.added)
                       for task in found
                       if task.outcome not in ('', 'success') and task.id not in tried]


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
    """(a word, why) for how a host is."""
    if health is not None and health.state != 'well':
        return health.state, health.reason
    return ('ok', '') if is_available else ('not available', '')
