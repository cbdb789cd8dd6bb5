"""lwt monitor on one host: the host summarises its load and answers with less than a kilobyte."""

from __future__ import generator_stop

from typing import NamedTuple, Optional

from lwt.hosts import sample
from lwt.remote import call, exit_status, host_limits
from lwt.workspace.config import plain_seconds

WATCHED = 0.2               # seconds over which a host measures its cpu usage


class Look(NamedTuple):
    """The load of a host, or the Verdict on the failure; then load is None."""

    host: str
    verdict: exit_status.Verdict
    load: Optional[sample.Sample] = None


def look(session, host):
    """Flow: ask a host for its load; returns a Look."""
    answer = yield from call.script(session, host, 'sample', [host.home, plain_seconds(WATCHED)],
                                    timeout=session.settings.stall, most=host_limits.SAMPLE)
    if not answer.verdict.ok:
        return Look(host.name, exit_status.with_complaint(answer.verdict, answer.stderr))
    taken = sample.at(host, sample.parse(answer.lines))
    if taken.cores is None:
        return Look(host.name,
                    exit_status.Verdict('failed', 1, 'invalid load report: %s' % (
                        ', '.join(taken.nonsense) or 'empty')))
    return Look(host.name, answer.verdict, taken)
