"""put and get on one host: a flow that ends with a Verdict, whose reason tells what was done.

A host gets a tar stream, unless the user or the host list asks for scp, or the host has no tar.
"""

from __future__ import generator_stop

from lwt.copy import scp_get, scp_put, tar_get, tar_put
from lwt.copy.common import NO_TAR


def put(session, host, wanted, target, terms, tally):
    """Flow: copy the files and directories of a Manifest to a host; returns a Verdict.

    target: as for cp: a directory to put them into, or a new name for a single one.
    terms: common.Terms.  tally: a CopyProgress.
    """
    return (yield from _by_transport(host, terms, tar_put.put, scp_put.put, session, host, wanted,
                                     target, terms, tally))


def get(session, host, paths, directory, terms, options, tally):
    """Flow: copy files and directories of a host into a local directory; returns a Verdict.

    paths: * ? [ ] are expanded on the host.  options: GetOptions.
    Paths that cannot be copied are reported, and all others are copied.
    """
    return (yield from _by_transport(host, terms, tar_get.get, scp_get.get, session, host, paths,
                                     directory, terms, options, tally))


def _by_transport(host, terms, by_tar, by_scp, *arguments):
    """Flow: run by_tar or by_scp with the arguments; returns a Verdict."""
    if terms.transport_for(host) == 'scp':
        return (yield from by_scp(*arguments))
    verdict = yield from by_tar(*arguments)
    if verdict.reason == NO_TAR and not terms.transport:
        verdict = yield from by_scp(*arguments)
    return verdict
