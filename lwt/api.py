"""lwt for Python programs: run commands on hosts, run flows and read the queue.

It uses the same code as the command line.

    from lwt import api

    lwt = api.open('sweep', timeout=30)             # a workspace, and options as in lwt.conf
    for done in lwt.run('uname -r', 'h[1-9]'):
        print(done.host, done.kind, done.text)

While commands or flows run, lwt handles signals as on the command line.  So call lwt from the main
thread; INT ends the run with Interrupted.  Errors in arguments or files raise an LwtError; failures
on a host are results.
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
from lwt.remote.exit_status import Verdict
from lwt.workspace import config, hostlist
from lwt.workspace.layout import Workspace

__all__ = ('open', 'Lwt', 'Done', 'command', 'Command', 'Result', 'Sleep', 'Later', 'Verdict',
           'must', 'retry', 'LwtError',
           'UsageError', 'LocalError', 'HostError', 'Interrupted', 'Cancelled')


class Done(NamedTuple):
    """The result of a command on a host.

    kind: 'ok', or the class of the failure.  code, reason, warning: as in exec --json.
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
    """Return an Lwt.  Raises UsageError.

    workspace: a directory; by default LWT_WORKSPACE, or the nearest workspace upward, or none.
    environ: a mapping to use instead of os.environ.
    options: options by their key in lwt.conf, with values as in lwt.conf; ssh_option may be a list.
    """
    said = tuple((key, '\n'.join(value) if isinstance(value, (list, tuple)) else str(value), key)
                 for key, value in options.items())
    env = Env(os.environ if environ is None else environ, workspace, said, quiet=True,
              verbose=False)
    workspace = env.find_workspace()
    return Lwt(env, workspace, env.settings(workspace))


def command(session, host, text, *arguments):
    """Flow: run a command of sh in the home of a host; returns a Done.

    session: a call.Session, as Lwt.flows passes it.  host: a Host.  arguments: its $1, $2...
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
    """The effective settings, and the workspace or None."""

    env: Env
    workspace: Optional[Workspace]
    settings: config.Settings

    def hosts(self, expression='@*'):
        """The Hosts of an expression in the notation of -w; by default all available hosts."""
        candidates, available = [], list
        if self.workspace is not None:
            candidates, available = self.workspace.candidates(), self.workspace.available
        return hostlist.select(hostlist.Selection((expression,)), candidates, available,
                               nodes=self.env.slurm_nodes)

    def run(self, text, expression='@*'):
        """Run a command of sh on each host of an expression; returns a Done for each, in the order
        of the hosts.
        """
        chosen = self.hosts(expression)
        found = self.flows(
            [host for host in chosen], lambda session, host: command(session, host, text))
        order = {host.name: rank for rank, host in enumerate(chosen)}
        return sorted(found, key=lambda done: order[done.host])

    def flows(self, chosen, make):
        """Run the flow make(session, host) for each Host, with at most `fanout` children at a time.

        Returns the reports in the order in which the flows ended.  If an LwtError ended a flow,
        raises it after all flows are done.
        """
        session = self.env.session(self.settings, chosen)
        with running(fitting(self.settings.fanout, 'fanout', writer.say),
                     self.settings.grace) as run:
            self.env.ready(run, self.workspace, session, chosen)
            return run.reports([make(session, host) for host in chosen])

    def tasks(self):
        """The Tasks of the queue (lwt.tasks.model.Task), in the order in which they were added."""
        from lwt.tasks.store import Store  # here, because all else works without sqlite3
        with Store(self._require().database) as store:
            return store.all()

    def counts(self):
        """{state: number of tasks}; tasks that are done are counted by their outcome instead."""
        from lwt.tasks.store import Store
        with Store(self._require().database) as store:
            return store.counts()

    def _require(self):
        workspace = self.workspace or self.env.require_workspace()
        workspace.prepare()
        return workspace
