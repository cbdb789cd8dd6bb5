"""lwt put and lwt get: copy files and directories to hosts and from hosts."""

from __future__ import generator_stop

import os
import re
import shlex
import time

from lwt.commands import exit_codes
from lwt.commands.options import Parser, fitting, read_value
from lwt.copy import chain, manifest, transfer
from lwt.copy.common import GetOptions, Terms
from lwt.copy.progress import CopyProgress
from lwt.errors import Cancelled, EXIT_LOCAL, LwtError, UsageError
from lwt.flow import running
from lwt.output import units, writer
from lwt.output.progress import Progress, ProgressLine
from lwt.remote import exit_status
from lwt.workspace import config, files, ownership

BITS_TO_BYTES = 1000 / 8    # --limit has the unit of scp -l, kilobits per second

_REMOTE = re.compile(r'([\w.@-]+|[\w.-]*@?\[[0-9a-fA-F:]+\]):(.*)', re.ASCII | re.DOTALL)
LINKS = ('follow', 'keep', 'skip')

PUT_EXAMPLES = '''examples:
  lwt put -a input.dat bin data/                into a directory
  lwt put -w h1 config.new etc/config           under a new name, in the host's home
  lwt put -a --per-host local .                 local/HOST/* to each HOST'''

GET_EXAMPLES = '''examples:
  lwt get -a results/summary.txt out            to out/d.HOST/summary.txt
  lwt get -w h1,h2 '/var/log/*.log' logs'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = _put_parser(name) if name == 'put' else _get_parser(name)
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    words = words + (parsed.rest or [])
    limit = read_value('--limit', parsed.limit, config.count) * BITS_TO_BYTES
    _refuse_remote_words(name, parsed, words)
    workspace = env.find_workspace()
    settings = env.settings(workspace)
    if len(words) < 2:
        raise UsageError('lwt %s: expected what to copy, and where to' % name,
                         'see lwt %s --help' % name)
    if parsed.transport == 'scp' and parsed.links == 'keep':
        raise UsageError('--links keep: scp can only follow symbolic links',
                         'use --transport tar')
    chosen = env.select(parsed, workspace, settings)
    session = env.session(settings, chosen)
    tally, terms = CopyProgress(), Terms(settings.timeout, limit, parsed.transport)
    make_flow = (_put_flow if name == 'put' else _get_flow)(parsed, session, chosen, words, terms,
                                                            tally, workspace)
    with running(fitting(settings.fanout, '-f', writer.say), settings.grace) as run:
        env.ready(run, workspace, session, chosen)
        return _Copies(run, len(chosen), tally, env).run(chosen, make_flow)


def _refuse_remote_words(name, parsed, words):
    """Raise UsageError for HOST:PATH, as in scp and rsync, if no option selects hosts."""
    if parsed.hosts or parsed.categories or parsed.everything:
        return
    remote = words[-1:] if name == 'put' else words[:-1]
    found = [_REMOTE.fullmatch(word) for word in remote]
    if not remote or not all(found) or any(map(os.path.lexists, remote)):
        return
    paths = [match.group(2) or '.' for match in found]
    right = words[:-1] + paths if name == 'put' else paths + words[-1:]
    hosts = {match.group(1) for match in found}
    raise UsageError('lwt %s: %s: hosts are selected with -w' % (name, remote[0]),
                     'lwt %s -w %s' % (name, ' '.join(map(shlex.quote, [hosts.pop()] + right)))
                     if len(hosts) == 1 else 'see lwt %s --help' % name)


def _put_parser(name):
    parser = Parser(name, 'lwt put -w HOSTS | -g CATEGORY | -a [options] LOCAL… REMOTE',
                    "Copy files and directories to each host.  REMOTE is a directory or, for a "
                    "single source,\na new name.  Relative paths start in the host's home.  A "
                    "copy appears complete or not at all.",
                    PUT_EXAMPLES).add_selection()
    parser.add_argument('--per-host', action='store_true',
                        help='send LOCAL/HOST/* to each HOST')
    parser.add_argument('--chain', action='store_true',
                        help='pass the data from host to host by netcat, unencrypted (default for '
                             'large files to 3 hosts or more)')
    parser.add_argument('--star', action='store_true',
                        help='send to each host from this machine by ssh')
    return _common(parser)


def _get_parser(name):
    parser = Parser(name, 'lwt get -w HOSTS | -g CATEGORY | -a [options] REMOTE… LOCAL',
                    "Copy files and directories from each host to LOCAL/d.HOST/.  * ? [ ] in "
                    "REMOTE are expanded\non the host.  Relative paths start in the host's home.",
                    GET_EXAMPLES).add_selection()
    parser.add_argument('--force', action='store_true', help='replace existing files')
    return _common(parser)


def _common(parser):
    parser.add_argument('--limit', metavar='KBIT', default='0',
                        help='maximum rate per host in kbit/s')
    parser.add_argument('--transport', choices=config.TRANSPORTS, default='', metavar='HOW',
                        help='how the data travels: tar (a stream through ssh) or scp, for hosts '
                             'without tar and accounts that allow only sftp (default: copy= in the '
                             'host list, else tar)')
    parser.add_argument('--links', choices=LINKS, default='follow', metavar='WHAT',
                        help='symbolic links: follow (default), keep or skip')
    return parser.add_options('timeout', 'stall', 'grace')


def _put_flow(parsed, session, chosen, words, terms, tally, workspace):
    local, target = list(map(files.user_path, words[:-1])), words[-1]
    _check_target(target)
    others = {'--star': parsed.star, '--per-host': parsed.per_host,
              '--transport scp': parsed.transport == 'scp'}
    for option, is_given in others.items():
        if parsed.chain and is_given:
            raise UsageError('--chain and %s exclude each other' % option)
    if not parsed.per_host:
        same = manifest.survey(local, parsed.links)
        if _is_chain(parsed, same, chosen, terms):
            names = [host.name for host in chosen]
            shared = chain.Chain(same, target, terms, tally, names, _rates(workspace, names))
            return lambda host: chain.put(shared, session, host)
        return lambda host: transfer.put(session, host, same, target, terms, tally)
    sources = {host: _per_host(local, host) for host in chosen}
    if not any(sources.values()):
        raise UsageError('%s: nothing in it for any of these hosts' % ' '.join(local),
                         '--per-host copies LOCAL/HOST/* to HOST')
    wanted = {host: manifest.survey(paths, parsed.links)
              for host, paths in sources.items() if paths}
    return lambda host: (transfer.put(session, host, wanted[host], target, terms, tally)
                         if host in wanted
                         else _nothing_for(host, local))


def _is_chain(parsed, wanted, chosen, terms):
    """Whether the copy goes from host to host."""
    if any(host.is_local for host in chosen):
        if parsed.chain:
            raise UsageError('--chain: only to hosts that are other machines')
        return False
    is_large = len(wanted.entries) == 1 and wanted.entries[0].size >= chain.LARGE
    is_by_tar = all(terms.transport_for(host) == 'tar' for host in chosen)
    return parsed.chain or is_large and is_by_tar and not parsed.star and len(chosen) >= 3


def _rates(workspace, names):
    """Return {name: bytes per second} of hosts, from the probes that a workspace has recorded."""
    if workspace is None or not os.path.exists(workspace.database):
        return {}
    from lwt.hosts import health_log  # imported here because it imports SQLite
    return health_log.rates(workspace, names)


def _check_target(target):
    if not target or any(ord(char) < 32 for char in target):
        raise UsageError('bad remote path %r' % target)


def _per_host(directories, host):
    """Return the paths that --per-host copies to a host: the contents of LOCAL/HOST of each
    directory.

    A directory without a part for the host adds nothing.
    """
    found = []
    for directory in directories:
        part = os.path.join(directory, host.name)
        try:
            found += [os.path.join(part, name) for name in sorted(os.listdir(part))]
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UsageError('%s: %s' % (part, error.strerror),
                             '--per-host needs directories LOCAL/HOST')
    return found


def _nothing_for(host, directories):
    """Flow: return the Verdict on a host for which --per-host has no files."""
    missing = ' '.join(os.path.join(name, host.name) for name in directories)
    return exit_status.Verdict('failed', 1, 'nothing for it: no ' + missing, 'no')
    yield                               # makes this a flow, although it yields nothing


def _get_flow(parsed, session, chosen, words, terms, tally, _workspace):
    remote, local = words[:-1], files.user_path(words[-1])
    for path in remote:
        _check_target(path)
    options = GetOptions(parsed.force, parsed.links)
    targets = {host: os.path.join(os.path.abspath(local), 'd.' + host.name.replace('/', '_'))
               for host in chosen}
    for target in targets.values():
        ownership.check_links(target)
    _check_local(local)
    return lambda host: transfer.get(session, host, remote, targets[host], terms, options, tally)


def _check_local(local):
    """Raise UsageError for a local target into which nothing can be copied."""
    nearest = os.path.abspath(local)
    while not os.path.lexists(nearest):
        nearest = os.path.dirname(nearest)
    if not os.path.isdir(nearest):
        raise UsageError('%s: not a directory' % nearest)
    if not os.access(nearest, os.W_OK):
        raise UsageError('%s: cannot be written' % nearest)


class _Copies:
    """A run of copies: its messages about hosts, its progress and its exit code."""

    def __init__(self, run, count, tally, env):
        self._loop = run
        self._count = count
        self._tally = tally
        self._env = env
        self._is_shown = os.isatty(2) and not env.quiet
        self._out = writer.Output(run)
        tally.say = self._out.say
        self._progress = ProgressLine(self._is_shown)
        self._out.share_terminal(self._progress)
        self._began = time.monotonic()
        self._verdicts = {}
        self._error = None              # the first LwtError of a flow
        self._has_hint = False

    def run(self, chosen, make_flow):
        """Copy to or from all hosts; returns the exit code."""
        for host in chosen:
            self._loop.pool.add(
                make_flow(host), lambda report, host=host: self._on_done(host, report))
        self._progress.follow(self._loop.loop, self._text)
        try:
            self._loop.run()
        finally:
            self._progress.end()
            self._out.check()
        return (self._error.exit_code if self._error is not None
                else exit_codes.exit_code(self._verdicts.values()))

    def _on_done(self, host, report):
        if isinstance(report, Cancelled):
            report = exit_status.Verdict('killed', 130, 'interrupted', 'no')
        # This machine is the cause; the other hosts are still served.
        elif isinstance(report, LwtError):
            self._error = self._error or report
            report = exit_status.Verdict('failed', EXIT_LOCAL, report.message, 'maybe')
        self._verdicts[host.name] = report
        if self._env.verbose or not report.ok or report.is_unverified:
            self._out.say('%s: %s' % (host.name, report.reason))
        hint = exit_status.copy_hint(report)
        if hint and not self._has_hint:
            self._has_hint = True
            self._out.say('hint: ' + hint)
        if len(self._verdicts) == self._count:
            self._finish()

    def _finish(self):
        self._progress.end()
        tally, done = self._tally, sum(1 for verdict in self._verdicts.values() if verdict.ok)
        if self._env.verbose or self._is_shown:
            self._out.say('%d of %d host%s: %d file%s copied, %d unchanged, %s in %s' % (
                done, self._count, 's' * (self._count != 1), tally.copied,
                's' * (tally.copied != 1), tally.unchanged, units.size(tally.moved),
                units.duration(time.monotonic() - self._began)))

    def _text(self):
        return progress_text(self._tally, len(self._verdicts), self._count,
                             time.monotonic() - self._began)


def progress_text(tally, done, count, elapsed):
    """Return the progress of copies after `elapsed` seconds, as text."""
    text = '%d of %d host%s' % (done, count, 's' * (count != 1))
    if not tally.expected:              # no host has said what it needs
        return text
    return '%s, %s' % (text, Progress.of_bytes(tally.moved, tally.expected, elapsed).text())
