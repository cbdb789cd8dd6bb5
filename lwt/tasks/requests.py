"""Requests of a visit to sh/control.sh: what is sent to a host, and what its answer contains.

A request is one line for each task or leftover, followed by a tar stream with the inputs that the
host lacks and with the other files of each new task.  The answer is lines, followed by a tar stream
with the results of tasks that have ended.
"""

from __future__ import generator_stop

import collections
import functools
import os
from typing import NamedTuple

from lwt.copy import disk_space, manifest, tarstream
from lwt.copy.child_jobs import do, job
from lwt.errors import LocalError, LwtError, os_error_text, printable_text
from lwt.remote import exit_status, host_limits, scripts
from lwt.tasks import launchers, model
from lwt.workspace import files
from lwt.workspace.config import plain_seconds, whole_seconds
from lwt.workspace.hostlist import Host

BULKY = 4096            # KiB: results and inputs that are larger use a connection of their own
# An input of at most this many bytes, for a single task, is sent to the task's own directory and
# again with another attempt.
MOST_OWN = 1 << 16
# An input of at most this many bytes is sent again for each task, which costs less than a process
# on the host that copies it.
MOST_COPIED = 1 << 12


class Request(NamedTuple):
    """The input of a call: its bytes, and the size and digest of the stream at their end (0 and '-'
    if there is none).
    """

    data: bytes
    size: int = 0
    digest: str = '-'


class LargeTransfer(NamedTuple):
    """A transfer that is too large for a call.

    kind: 'result' (name: a task's key, of: the Task) or 'input' (name: the name of the input, of:
        the queries.Group that needs it).
    by_scp: the host has no tar.
    """

    kind: str
    name: str
    host: object
    of: object
    by_scp: bool = False


class Inputs(NamedTuple):
    """The names of the inputs to send.

    shared: inputs that stay on the host for other tasks.  own: inputs for one task each.
    """

    shared: frozenset = frozenset()
    own: frozenset = frozenset()


def sort_inputs(workspace, groups, needed, here):
    """Return the Inputs to send for tasks of a host.

    groups: Groups that waited, from which the host now gets tasks.
    needed: the inputs of these tasks.
    here: the inputs that are on the host.

    A small input that one task needs does not stay on the host, unless the results are what is new
    in the task's directory, because that comparison needs it.  A tiny input is sent again for each
    task, which costs less than copying it on the host.
    """
    users = collections.Counter()
    for group in groups:
        users[group.input] += group.count

    def is_own(group):
        size = tree_bytes(workspace.path('task', group.input))
        if group.input in here:
            return size <= MOST_COPIED
        return users[group.input] == 1 and group.desc.d_fetch and size <= MOST_OWN

    own = frozenset(group.input for group in groups if group.input in needed and is_own(group))
    return Inputs(frozenset(needed).difference(here, own), own)


def pack(workspace, asked, left, placed, inputs, grace, is_carried, scratch, has_tar=True,
         host=Host('')):
    """Flow: return the Request about tasks on a host.

    asked: Tasks.  left: Leftovers.  placed: those of the tasks that are new on the host.
    inputs: the Inputs to send with them.
    is_carried(task): returns whether its result is already being transferred.
    scratch: a directory for a large stream, created if needed.
    has_tar: see visit_answers.HostReport.
    host: as listed, for its launcher.
    """
    lines = [_line(item.verb, item.key) for item in left]
    for task in asked:
        verb = 'look' if task.state == 'fetching' and is_carried(task) else model.ASKED[task.state]
        lines.append(_line(verb, task.key, task.boot, task.input, task.desc.d_fetch))
    head = os.fsencode(''.join(lines) + 'end\n')
    if not placed:
        return Request(head)
    trees, texts, executable = {}, {}, set()
    for task in placed:
        _add_task(workspace, host, task, grace, texts)
        if task.input in inputs.own:
            _add_input(workspace, 't/%s/work' % task.key, task, trees, executable)
        elif task.input in inputs.shared:
            _add_input(workspace, 'i/%s/work' % task.input, task, trees, executable)
    if not has_tar:
        stream = shell_archive(texts)
        return Request(head + stream, len(stream), manifest.digest_of(stream, 'sha256'))
    packed = yield from _packed(os.path.join(scratch, 'inputs'), trees, texts, executable)
    with files.local_errors(packed.path), open(packed.path, 'rb') as file:
        stream = file.read()
    return Request(head + stream, packed.size, packed.digest)


def shell_archive(texts):
    """Return a script, as bytes, that creates files in its directory; texts: {name: text}.

    It replaces a tar stream on hosts without tar.
    """
    lines = ['#!/bin/sh']
    for directory in sorted({os.path.dirname(name) for name in texts}):
        lines.append("mkdir -p '%s' || exit" % directory)
    for name, text in texts.items():
        lines.append("printf %%b '%s' >'%s' || exit" % (scripts.encoded(os.fsencode(text)), name))
    return os.fsencode('\n'.join(lines) + '\n')


def _packed(path, trees, texts, executable):
    """Flow: write the tar file with these trees and texts; returns the tarstream.Packed."""
    size = sum(map(tree_bytes, trees.values())) + sum(map(len, texts.values()))
    try:
        return tarstream.Packed(
            *(yield from do(pack_file, [path, trees, texts, sorted(executable)], size)))
    except OSError as error:
        raise LocalError(os_error_text(error.filename or 'an input', error))


@job
def pack_file(argument):
    """The work of _packed; argument: [path, trees, texts, names of executable files]."""
    path, trees, texts, executable = argument
    files.make_dir(os.path.dirname(path))
    return tarstream.pack(path, trees, texts, frozenset(executable))


def control_words(session, home, stream, wait=0, limit=0, watched='-', places='-'):
    """Return the arguments of a request to sh/control.sh, which documents them.

    stream: has the size and digest.
    """
    settings = session.settings
    return [home, session.nonce(), whole_seconds(settings.stall or settings.lease),
            plain_seconds(settings.grace), str(wait),
            str(limit), str(stream.size), stream.digest, watched, places]


def pack_input(workspace, path, group):
    """Flow: write the stream with the input of a queries.Group into a file.

    Returns a tarstream.Packed.
    """
    trees, executable = {}, set()
    _add_input(workspace, 'i/%s/work' % group.input, group, trees, executable)
    return (yield from _packed(path, trees, {}, executable))


def _line(verb, key, boot='', name='', d_fetch=''):
    return '%s %s %s %s /%s\n' % (verb, key, boot or '-', name or '-', d_fetch)


def _add_input(workspace, folder, task, trees, executable):
    trees[folder] = workspace.path('task', task.input)
    for command in (task.desc.exec, task.desc.kill):
        executable.add('%s/%s' % (folder, model.file_word(command)))


def _add_task(workspace, host, task, grace, texts):
    names = _top_files(workspace.path('task', task.input))
    for file, command in (('command', task.desc.exec), ('kill', task.desc.kill)):
        if command:
            texts['t/%s/%s' % (task.key, file)] = model.command_text(command, task.arg, names,
                                                                    task.split)
    texts['t/%s/settings' % task.key] = model.settings_text(task, grace)
    texts['t/%s/run.sh' % task.key] = scripts.script_text(*scripts.RUNNER)
    texts['t/%s/cancel' % task.key] = 'cancel\n'
    for file, text in launchers.files(host, task).items():
        texts['t/%s/%s' % (task.key, file)] = text


@functools.lru_cache(maxsize=64)
def _top_files(path):
    return frozenset(tarstream.top_files(path))       # an input never changes


class Loads:
    """Decides which inputs are sent in one call.  most: bytes that one call may carry."""

    def __init__(self, workspace, most):
        self._workspace = workspace
        self._most = most
        self._room = most
        self._taken = set()

    def take(self, name):
        """Return whether this input may be sent in the call, and count it if so."""
        size = tree_bytes(self._workspace.path('task', name))
        if name not in self._taken:
            if size > self._room:
                return False
            self._room -= size
            self._taken.add(name)
        return True

    def is_bulky(self, name):
        """Whether the input is too large even alone."""
        return tree_bytes(self._workspace.path('task', name)) > self._most


@functools.lru_cache(maxsize=1024)
def tree_bytes(path):
    """Return the bytes of a directory in a stream."""
    return files.tree_size(path, 512)


class Inbox:
    """Takes the answer of a host to a call: a sink for call.call.  Use as a context manager.

    directory: where a stream is stored; created when one arrives.
    most_kib: size limit of the stream, in KiB as hosts count them; None: limited by disk space.
    problem: why no more is accepted.
    unfit: the keys of the tasks whose results were refused because more than most_kib arrived.
    """

    def __init__(self, directory, has_words=True, most_kib=None):
        self.path = os.path.join(directory, 'results')
        self.problem = ''
        self.unfit = ()
        self._most = None if most_kib is None else most_kib * 1024 * host_limits.EMPTY_FILES
        self._size = self._heard = 0
        self._room = disk_space.Watch(directory)
        self._words = bytearray()
        self._told = bytearray()
        self._file = None
        self._error = None
        self._keys = ()
        self._complaints = None
        self._is_full_here = False      # not the fault of the host
        if not has_words:               # the stream of sh/fetch.sh comes without words
            self._begin()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            self._error = self._error or error
        if self._error is not None:
            text = (os_error_text(self.path, self._error) if isinstance(self._error, OSError)
                    else '%s: %s' % (self.path, self._error))
            raise LocalError(text, 'the results are still on their hosts')

    def _begin(self):
        try:
            files.make_dir(os.path.dirname(self.path))
            self._file = open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                                      | os.O_CLOEXEC, 0o600), 'wb')
        # An exception in a sink would end the loop, so __exit__ raises it.
        except (OSError, LwtError) as error:
            self._error = error

    def __call__(self, stream, data):
        if stream == 'stderr':
            self._told += data[:host_limits.VISIT - len(self._told)]
            self._heard += len(data)
            if self._heard > host_limits.VISIT:
                self.problem = host_limits.passed(host_limits.VISIT)
        elif self._file is not None or self._error is not None:
            self._write(data)
        else:
            self._words += data
            self._find_stream()
        return bool(self.problem)

    def _find_stream(self):
        at = self._words.find(b'\nstream ')
        end = self._words.find(b'\n', at + 1)
        if at >= 0 and end >= 0:
            words = self._words[at:end].decode('ascii', 'replace').split()[1:]
            self._keys = tuple(dict.fromkeys(words[:host_limits.VISIT_LINES]))
            rest = bytes(self._words[end + 1:])
            del self._words[at + 1:]
            self._begin()
            self._write(rest)
        elif len(self._words) > host_limits.VISIT:
            self.problem = host_limits.passed(host_limits.VISIT)

    def _write(self, data):
        self._size += len(data)
        if self._error is not None or self.problem:
            return
        try:
            self._check_size()
            if not self.problem:
                self._file.write(data)
        # The disk is full: discard the rest; __exit__ raises the error.
        except OSError as error:
            self._error = error

    def _check_size(self):
        if self._most is not None and self._size > self._most:
            self.problem = 'sent more than was requested'
            self.unfit, self._keys = self._keys, ()
        elif self._room.is_short(self._size):
            self.problem = 'no local disk space for more than %d MB of results' % (self._size >> 20)
            self._is_full_here = True

    def judged(self, verdict):
        """Return the Verdict on the call: a failure if more arrived than allowed.

        A result that is too large may come by a transfer of its own: a file with holes may be
        longer than the space that it takes.  The lines before the stream are complete.
        """
        if self.unfit and self._most:
            return exit_status.Verdict('ok', 0)
        if not self.problem:
            return verdict
        return exit_status.Verdict('failed', 1, self.problem, is_over_budget=not self._is_full_here)

    def lines(self):
        """The lines before the stream."""
        text = self._words.decode('utf-8', 'replace')
        return text.split('\n', host_limits.VISIT_LINES)[:host_limits.VISIT_LINES]

    def sent(self):
        """The keys of the tasks whose results are in the stream."""
        return self._keys

    def complaints(self):
        """Return the text of standard error without the lines about the stream."""
        return b'\n'.join(line for line in bytes(self._told).splitlines()
                          if not line.startswith((b'tar ', b'digest ')))

    def _fact(self, word):
        found = [line.partition(' ')[2]
                 for line in self._told.decode('utf-8', 'replace').splitlines()
                 if line.startswith(word + ' ')]
        return found[-1] if found else ''

    def is_absent(self):
        """Whether the host reported that there is nothing."""
        return b'absent' in bytes(self._told).split(b'\n')

    @property
    def has_stream(self):
        """Whether a stream began."""
        return self._file is not None

    @property
    def digest(self):
        """The digest that the host reports for the stream: 'sha256 HEX', or ''."""
        return self._fact('digest')

    def complaint(self, key):
        """Return what could not be read of a task's results, or ''.  Call it after the transfer."""
        if self._complaints is None:
            self._complaints = self._read_complaints()
        general, by_key = self._complaints
        return printable_text(by_key.get(key, general).replace(key + '/', ''),
                                       host_limits.TEXT)

    def _read_complaints(self):
        """Return (the complaint about tasks that no complaint names, {key: the first complaint that
        names it}).
        """
        lines = [line
                 for line in self.complaints().split(b'\n',
                                                     host_limits.REFUSALS)[:host_limits.REFUSALS]
                 if line]
        lines = [line[:host_limits.LINE].decode('utf-8', 'replace') for line in lines]
        by_key = {}
        for line in lines:
            for key in model.KEY.findall(line):
                by_key.setdefault(key, line)
        is_fine = self._fact('tar') == '0' or any(key in by_key for key in self._keys)
        return '' if is_fine else (lines or ['tar failed'])[0], by_key
