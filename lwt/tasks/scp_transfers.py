"""Inputs and results of tasks on a host without tar: scp copies them.

An input is copied to its directory on the host like any other copy.  sh/fetch.sh lays out a result
as a tree of links to its files, which scp follows.  The arrived files are packed into a tar file on
this machine, so they are checked and unpacked like the result of any other host.  Symbolic links
in a result are not copied: sh/fetch.sh lists them.  Symbolic links in an input become copies of
their targets; dangling links are left out.
"""

from __future__ import generator_stop

import os
import tarfile
from typing import NamedTuple

from lwt.copy import child_jobs, manifest, scp_get, scp_put, tarstream
from lwt.copy.common import GetOptions, Terms
from lwt.copy.progress import CopyProgress
from lwt.copy.tar_get import decoded
from lwt.errors import HostError, UsageError, printable_text
from lwt.remote import call, exit_status, host_limits, scripts
from lwt.tasks import model, requests
from lwt.workspace import files


def send_input(context, item, scratch):
    """Flow: copy the input of a requests.LargeTransfer to its host.  Raises HostError.

    scratch: a local directory for this flow alone.
    """
    source = context.workspace.path('task', item.of.input)
    commands = [model.file_word(command)
                for command in (item.of.desc.exec, item.of.desc.kill) if command]
    argument = [source, os.path.join(scratch, item.name), commands]
    try:
        entries = yield from child_jobs.do(lay_out_input, argument,
                                           2 * requests.tree_bytes(source))
    except UsageError as error:         # a loop of symbolic links
        raise HostError(item.host.name, exit_status.Verdict('failed', 1, error.message, 'no'))
    wanted = manifest.Manifest(tuple(map(_entry, entries)), item.name)
    context.tell('%s: sending its input to %s' % (item.of.name, item.host.name))
    verdict = yield from scp_put.put(context.session, item.host, wanted, '.lwt/i', Terms(),
                                     CopyProgress())
    if not verdict.ok:
        raise HostError(item.host.name, verdict)
    context.store.sent([item.name], item.host)


@child_jobs.job
def lay_out_input(argument):
    """Lay out an input as the host will get it; argument: [input, new directory, names of
    commands].

    Returns the Entries of its manifest, as lists.
    """
    source, tree, commands = argument
    work = os.path.join(tree, 'work')
    files.make_dir(tree)
    tarstream.copy_input(source, work)
    for root, _dirs, names in os.walk(work):
        for name in names:
            if not os.path.exists(os.path.join(root, name)):
                os.unlink(os.path.join(root, name))
    for command in commands:
        path = os.path.join(work, command)
        if os.path.isfile(path):
            os.chmod(path, os.stat(path).st_mode | 0o100)
    # This file marks the input as complete; see sh/control.sh.
    with open(os.path.join(tree, 'staged'), 'w'):
        pass
    return [list(entry) for entry in manifest.survey([tree]).entries]


def _entry(fields):
    entry = manifest.Entry(*fields)
    return entry._replace(version=tuple(entry.version))


class ScpInbox(NamedTuple):
    """A result that scp has copied; it has the methods of requests.Inbox that results.Books uses.

    path, digest: of the tar file, '' for none.  told: lines about what could not be copied.
    """

    path: str = ''
    digest: str = ''
    told: tuple = ()

    @property
    def has_stream(self):
        """Whether any result arrived."""
        return bool(self.path)

    def is_absent(self):
        """Whether the host reported that there is nothing."""
        return not self.path

    def complaint(self, key):
        """Return what could not be read of the result of a task, or ''."""
        lines = [line for line in self.told if line]
        return (printable_text(lines[0].replace(key + '/', ''), host_limits.TEXT) if lines
                else '')


def fetch_result(context, host, task, scratch):
    """Flow: fetch the result of a task; returns a ScpInbox.  Raises HostError."""
    session = context.session
    output = call.Collector(host_limits.VISIT, host_limits.VISIT)
    verdict = yield from call.command(
        session, host, scripts.script_text(*scripts.LONG_SCRIPTS['fetch']),
        (task.key, task.input, task.desc.d_fetch, 'scp'), output, stall=session.settings.stall)
    if not verdict.ok:
        raise HostError(host.name, exit_status.with_complaint(verdict, bytes(output.stderr)))
    told = output.stderr.decode('utf-8', 'replace').splitlines()
    if 'absent' in told:
        return ScpInbox()
    into = os.path.join(scratch, 'get')
    verdict = yield from scp_get.get(session, host, ['.lwt/t/%s/fetch' % task.key], into, Terms(),
                                     GetOptions(), CopyProgress())
    if not verdict.ok:
        raise HostError(host.name, verdict)
    links = [line[len('link '):] for line in os.fsdecode(bytes(output.stdout)).splitlines()
             if line.startswith('link ')][:host_limits.LINKS]
    path = os.path.join(scratch, 'results')
    digest = yield from child_jobs.do(pack_result, [os.path.join(into, 'fetch'), links, path],
                                      2 * requests.tree_bytes(into))
    return ScpInbox(path, digest, tuple(told))


@child_jobs.job
def pack_result(argument):
    """Pack an arrived result into a tar file, as sh/fetch.sh would send it; returns its digest.

    argument: [directory with own/ and beside/, lines "NAME//TARGET" of symbolic links, path].
    """
    fetched, links, path = argument
    with tarfile.open(path, 'w', format=tarfile.GNU_FORMAT) as tar:
        for kind, middle in (('own', '/'), ('beside', '/./')):
            for key in sorted(os.listdir(os.path.join(fetched, kind))):
                top = os.path.join(fetched, kind, key)
                for name in sorted(os.listdir(top)):
                    tar.add(os.path.join(top, name), key + middle + name)
        for line in links:
            name, _slashes, target = line.partition('//')
            info = tarfile.TarInfo(decoded(name))
            info.type, info.linkname = tarfile.SYMTYPE, decoded(target)
            tar.addfile(info)
    return 'sha256 ' + tarstream.sha256(path)
