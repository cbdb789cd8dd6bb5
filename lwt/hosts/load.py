"""lwt monitor on one host: the host summarises its load and answers with less than a kilobyte."""

from __future__ import generator_stop

from typing import NamedTuple, Optional

from lwt.hosts import cluster, sample
from lwt.remote import call, exit_status, host_limits
from lwt.workspace.config import plain_seconds

WATCHED = 0.2               # seconds over which a host measures its cpu usage


class Look(NamedTuple):
    """The load of a host, or the Verdict on the failure; then load is None.

    slurm: the state of its cluster; None for a host without one.
    """

    host: str
    verdict: exit_status.Verdict
    load: Optional[sample.Sample] = None
    slurm: Optional[cluster.Cluster] = None


def look(session, host):
    """Flow: ask a host for its load; returns a Look."""
    stall = session.settings.stall
    answer = yield from call.script(
        session, host, cluster.script(host, 'sample'),
        [host.home, plain_seconds(WATCHED)] + cluster.words(host),
        timeout=stall and stall + cluster.patience(host), most=host_limits.SAMPLE)
    if not answer.verdict.ok:
        return Look(host.name, exit_status.with_complaint(answer.verdict, answer.stderr))
    taken = sample.at(host, sample.parse(answer.lines))
    if taken.cores is None:
        return Look(host.name,
                    exit_status.Verdict('failed', 1, 'invalid load report: %s' % (
                        ', '.join(taken.nonsense) or 'empty')))
    return Look(host.name, answer.verdict, taken, cluster.parse(host, answer.lines))
