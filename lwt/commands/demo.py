"""lwt demo: a sweep of tasks on this machine, without sshd.

An awk program iterates the logistic map x -> r x (1 - x) for twelve values of r and computes its
Lyapunov exponent; the map is chaotic where the exponent is above 0.  Each value is a task on the
host localhost, which is sent, started, polled, fetched and removed like any other task.
"""

import os
import tempfile
import time

from lwt.commands.options import Parser, fitting
from lwt.commands.task_monitor import Monitor
from lwt.commands.task_view import summary, table
from lwt.errors import EXIT_FAILED, Interrupted, UsageError
from lwt.flow import running
from lwt.hosts.health_log import HealthLog
from lwt.output import writer
from lwt.output.progress import ProgressLine
from lwt.tasks import additions, queue, results, scheduler, values
from lwt.tasks.store import Store
from lwt.tasks.visit import Context
from lwt.workspace import files, layout

PARAMETERS = ('2.80', '3.20', '3.45', '3.50', '3.56', '3.58', '3.63', '3.74', '3.83', '3.90',
              '3.96', '4.00')

HOST_LIST = 'localhost\tlocal\t%s%s\n'

DESC = '''\
exec : sh lyapunov.sh {}
d_fetch : output
timeout : 60
---
The Lyapunov exponent of the logistic map for one value of its parameter.
'''

SCRIPT = '''\
mkdir output
awk -v r="$1" -v steps=200000 'BEGIN {
    x = 0.4
    for (i = -1000; i < steps; i++) {
        x = r * x * (1 - x)
        slope = r * (1 - 2 * x)
        if (slope < 0) slope = -slope
        if (i >= 0) sum += log(slope < 1e-12 ? 1e-12 : slope)
    }
    printf "%s %.4f\\n", r, sum / steps
}' > output/exponent.txt
echo "r = $1 done on $LWT_HOST"
'''

EXAMPLES = '''examples:
  lwt demo
  lwt demo --slurm       on the login node of a Slurm cluster, as jobs'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = Parser(name, 'lwt demo',
                    'Run a sweep of twelve tasks on this machine and clean up afterwards.',
                    EXAMPLES)
    parser.add_argument('--slurm', action='store_true',
                        help='run the tasks as jobs of the Slurm cluster whose login node this is')
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    if words or parsed.rest:
        raise UsageError('lwt demo: takes no arguments')
    # The nodes of a cluster share the home, and no temporary directory.
    where = os.path.expanduser('~') if parsed.slurm else None
    with tempfile.TemporaryDirectory(prefix='lwt-demo.', dir=where) as scratch:
        workspace = _make_workspace(scratch, '\tlauncher=slurm' if parsed.slurm else '')
        with Store(workspace.database) as store:
            return _run(env, workspace, store)


def _make_workspace(scratch, columns):
    """Create a workspace with one description and one host, whose home is in the same directory.

    columns: more of the host's line.
    """
    workspace, _made = layout.init(os.path.join(scratch, 'workspace'))
    home = os.path.join(scratch, 'home')
    files.make_dir(home)
    files.write_atomic(workspace.path('host.list'), HOST_LIST % (home, columns))
    folder = workspace.path('description', 'lyapunov')
    files.make_dir(folder)
    files.write_atomic(os.path.join(folder, 'desc'), DESC)
    files.write_atomic(os.path.join(folder, 'lyapunov.sh'), SCRIPT)
    files.write_atomic(workspace.path('parameters.txt'), '\n'.join(PARAMETERS) + '\n')
    return workspace


def _run(env, workspace, store):
    settings = env.settings(workspace)
    desc, folder = additions.DescReader(workspace, settings.retries).read('lyapunov')
    found = values.of_file(workspace.path('parameters.txt'))
    additions.add(workspace, store, [additions.NewTasks('lyapunov', desc, folder, found)])
    writer.say('%d tasks added; running them on localhost' % len(found))
    listed = workspace.available()
    session = env.session(settings, listed)
    health_log = HealthLog(store, settings, session.heard)
    fanout = fitting(settings.fanout, '-f', writer.say)
    try:
        with Monitor(workspace, store, writer.say, ProgressLine(True, every=1.0)) as monitor:
            context = Context(workspace, store, session, monitor.step, health_log,
                              trouble=monitor.troubles.hear, remark=monitor.remark,
                              ended=monitor.ended, tick=monitor.refresh)
            with running(fanout, settings.grace) as run:
                scheduler.until_done(run, context, listed)
    except Interrupted:
        _kill_all(store, Context(workspace, store, session, lambda text: None, health_log), fanout,
                  settings)
        raise
    for line in table(store.all(), env.environ, time.time()):
        writer.put_line(line)
    writer.put_line()
    for line in _chart(workspace, store.all()):
        writer.put_line(line)
    writer.say(summary(store.counts()))
    return 0 if store.counts() == {'success': len(found)} else EXIT_FAILED


def _kill_all(store, context, fanout, settings):
    """Kill all tasks of the demo."""
    for task in store.all():
        if task.state not in ('done', 'fetching', 'killing'):
            queue.wish(context.workspace, store, task, 'kill')
    with running(fanout, settings.grace) as run:
        scheduler.one_pass(run, context, [], only={'localhost'})


def _chart(workspace, done):
    """Yield the lines of a chart of the results of all tasks."""
    yield 'Lyapunov exponent of the logistic map x -> r x (1 - x); above 0 the map is chaotic'
    yield ''
    for task in done:
        path = os.path.join(results.directory(workspace, task), 'result', 'exponent.txt')
        if os.path.exists(path):
            r, exponent = files.read_text(path, 1000).split()
            value = float(exponent)
            bar = '#' * min(40, int(abs(value) * 40 + 0.5))
            yield ('r = %s  %8s  %s  %s'
                   % (r, exponent, 'chaos' if value > 0 else 'order', bar)).rstrip()
