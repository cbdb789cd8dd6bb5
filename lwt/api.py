"""lwt for Python programs: run commands on hosts, run flows, read the queue, with the code of the
command line.

    from lwt import api

    lwt = api.open('sweep', timeout=30)             # a workspace, and options of the table
    for done in lwt.run('uname -r', 'h[1-9]'):
        print(done.host, done.kind, done.text)

While something runs, signals are lwt's, as they are on the command line; so it is to be called from
the main thread, and INT ends it with Interrupted.  What is wrong with words or files is an
LwtError; what happens on a host is a result.
"""

from __future__ import generator_stop

import os
import sys
from typing import NamedTuple, Optional

from lwt.commands import exit_codes
from lwt.commands.options import Env, fitting
from lwt.errors import Cancelled, HostError, Interrupted, LocalError, LwtError, UsageError
from lwt.flow import Later, Sleep, must, retry, running
from lwt.output import writer
from lwt.proc import Command, Result
from lwt.remote import call
from lwt.remote.verdicts import Verdict
from lwt.workspace import config, hostlist
from lwt.workspace.layout import Workspace

__all__ = ('open', 'Lwt', 'Done', 'command', 'Command', 'Result', 'Sleep', 'Later', 'Verdict',
           'must', 'retry', 'LwtError',
           'UsageError', 'LocalError', 'HostError', 'Interrupted', 'Cancelled')


class Done(NamedTuple):
    """What came of a command on a host.

    kind: 'ok', or the class of the failure.  code, reason, warning: as exec --json has them.
    """

    host: str
    kind: str
    code: int
    reason: str
    stdout: bytes
    stderr: bytes
    warning: str = ''

    @property
    def ok(self):
        return self.kind == 'ok'

    @property
    def text(self):
        """Standard output as text."""
        return self.stdout.decode('utf-8', 'replace')


def open(workspace=None, environ=None, **options):
    """An Lwt.  workspace: a directory; without one, that of LWT_WORKSPACE or the nearest one
    upward, if there is any.

    environ: in place of os.environ.  options: keys of the table of options, with values as one
    would write them. Raises UsageError.
    """
    said = tuple((key, str(value), key) for key, value in options.items())
    env = Env(os.environ if environ is None else environ, workspace, said, quiet=True,
              verbose=False)
    workspace = env.find_workspace()
    return Lwt(env, workspace, env.settings(workspace))


def command(session, host, text, *arguments):
    """Flow: run a command, for sh, in the home of a host; returns a Done.  arguments: its $1, $2...
    """
    limit, warnings = session.settings.output_limit, []
    most = limit * 1024 or sys.maxsize
    kept = call.Collector(most, most)
    verdict = yield from call.command(session, host, text, arguments, kept,
                                      timeout=session.settings.timeout,
                                      on_held=lambda: warnings.append(exit_codes.OUTPUT_HELD),
                                      unwanted=call.too_much(limit))
    return Done(host.name, verdict.kind, verdict.code, verdict.reason, bytes(kept.stdout),
                bytes(kept.stderr),
                ''.join(warnings[:1]))


class Lwt(NamedTuple):
    """The settings in force, and the workspace; None if there is none."""

    env: Env
    workspace: Optional[Workspace]
    settings: config.Settings

    def hosts(self, expression='@*'):
        """The Hosts of a set, in the notation of -w; without one, all that are available."""
        if self.workspace is None:
            return hostlist.select(hostlist.Selection((expression,)), [], list)
        return hostlist.select(hostlist.Selection((expression,)), self.workspace.candidates(),
                               self.workspace.available)

    def run(self, text, expression='@*'):
        """Run a command on each host of a set; returns a Done for each, in the order of the hosts.
        """
        chosen = self.hosts(expression)
        found = self.flows(
            [host for host in chosen], lambda session, host: command(session, host, text))
        order = {host.name: rank for rank, host in enumerate(chosen)}
        return sorted(found, key=lambda done: order[done.host])

    def flows(self, chosen, make):
        """Run the flow make(session, host) for each Host, at most `fanout` children at a time;
        returns their reports.

        The reports come in the order in which the flows ended.  An error that one ended with is
        raised, when all are done.
        """
        session = self.env.session(self.settings, chosen)
        with running(fitting(self.settings.fanout, 'fanout', writer.say),
                     self.settings.grace) as run:
            self.env.ready(run, self.workspace, session, chosen)
            return run.reports([make(session, host) for host in chosen])

    def tasks(self):
        """The Tasks of the queue, in the order of adding (see lwt.tasks.model.Task for what they
        have).
        """
        from lwt.tasks.store import Store  # here, for a Python without sqlite3 does for all else
        with Store(self._require().database) as store:
            return store.all()

    def counts(self):
        """{state, or outcome of those that are done: number of tasks}."""
        from lwt.tasks.store import Store
        with Store(self._require().database) as store:
            return store.counts()

    def _require(self):
        workspace = self.workspace or self.env.require_workspace()
        workspace.prepare()
        return workspace
