"""lwt probe: test the candidates and write which are available."""

from __future__ import generator_stop

import hashlib
import os
import tempfile
import time

from lwt.commands import exit_codes, host_view
from lwt.commands.options import Parser, fitting, read_value, refuse_words
from lwt.errors import Cancelled
from lwt.flow import running
from lwt.hosts import probe
from lwt.output import writer
from lwt.remote.exit_status import Verdict
from lwt.tasks.store import Store
from lwt.workspace import files, nodeset
from lwt.workspace.config import count, positive_seconds

EXAMPLES = '''examples:
  lwt probe                        all candidates of host.list, at once
  lwt probe -w h3 --set probe_rate=100     one host, with a minimum of 100 KB/s
  lwt probe --limit 2000           at most 2000 kbit/s to and from each host
  lwt probe --watch --every 10m    repeat every 10 minutes; ^C ends it
  lwt probe --json | jq -r 'select(.class != "ok") | [.host, .reason] | @tsv\''''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = Parser(
        name, 'lwt probe [-w HOSTS | -g CATEGORY | -a] [--limit KBIT] [--watch] [--json] [options]',
        'Test hosts (default: all candidates in host.list): log in, send a file, '
        'fetch it back, and read\nwhat the host has.  Hosts that pass are written to '
        'host.list.available.', EXAMPLES)
    parser.add_selection()
    parser.add_argument('--limit', metavar='KBIT', default='0',
                        help='maximum rate per host and direction in kbit/s (default: no limit)')
    parser.add_rounds(60)
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    refuse_words(parser, words + (parsed.rest or []))
    every = read_value('--every', parsed.every, positive_seconds)
    rate = read_value('--limit', parsed.limit, count) * 125.0
    workspace = env.require_workspace()
    settings = env.settings(workspace)
    is_all = not (parsed.hosts or parsed.categories or parsed.everything)
    chosen = workspace.candidates() if is_all else env.select(parsed, workspace, settings)
    workspace.prepare()
    return host_view.repeat(lambda: _Round(env, workspace, settings, chosen, rate).run(parsed),
                            every if parsed.watch else None)


class _Round:
    """One probe of hosts."""

    def __init__(self, env, workspace, settings, chosen, rate):
        self._env = env
        self._workspace = workspace
        self._settings = settings
        self._chosen = chosen
        self._rate = rate

    def run(self, parsed):
        """Probe, write and show; returns the exit code."""
        found = self._probe()
        written = self._write(found)
        if parsed.json:
            for one in found:
                writer.put_bytes(writer.json_line(probe.to_json(one)))
        else:
            host_view.put_screen(host_view.probe_table(found, self._env.environ), parsed.watch)
        if not self._env.quiet:
            for line in written:
                writer.say(line)
        return exit_codes.exit_code([one.verdict for one in found])

    def _probe(self):
        settings, told, size = self._settings, [], self._settings.probe_size
        session = self._env.session(settings, self._chosen)
        with files.local_errors('a file to probe with'), tempfile.NamedTemporaryFile(
                prefix='lwt-probe.') as file:
            data = os.urandom(size)     # random, so that a connection cannot compress it
            file.write(data)
            file.flush()
            digest = hashlib.sha256(data).hexdigest()
            with running(fitting(settings.fanout, '-f', writer.say), settings.grace) as run:
                self._env.ready(run, self._workspace, session, self._chosen, told)
                found = run.reports(
                    [self._flow(session, host, file.name, digest) for host in self._chosen])
                told += [(one.host, one.load if one.verdict.ok else None, one.verdict.reason)
                         for one in found]
        return found

    def _flow(self, session, host, path, digest):
        try:
            return (yield from probe.probe(session, host, path, self._settings.probe_size, digest,
                                           self._rate))
        except Cancelled:
            return probe.Probed(host.name, Verdict('killed', 130, 'interrupted', 'maybe'))

    def _write(self, found):
        """Record the results and write host.list.available; returns the lines to print."""
        candidates = self._workspace.candidates()
        listed = {host.name for host in candidates}
        with Store(self._workspace.database) as store:
            store.add_probes([(one.host, probe.to_json(one)) for one in found])
            sick = {name: health
                    for name, health in store.health().items() if not health.takes_tasks}
            lines = list(host_view.twin_lines(store, listed, found))
        good = {one.host for one in found if one.verdict.ok}
        probed = {host.name for host in self._chosen}
        # If all candidates were probed, the old list is not needed and may be damaged.
        is_all = probed.issuperset(host.name for host in candidates)
        before = set() if is_all else {host.name for host in self._workspace.available()}
        after = [host for host in candidates
                 if (host.name in good if host.name in probed else host.name in before)
                 and host.name not in sick]
        path = self._workspace.path('host.list.available')
        if not after:
            return lines + ['%d of %d hosts passed; %s is unchanged, because it would be empty'
                            % (len(good), len(found), path)]
        files.write_atomic(path, '# %s: hosts that passed the last probe\n'
                           % time.strftime('%Y-%m-%d %H:%M:%S') + ''.join(
                               '\t'.join((host.name, host.category, host.home)
                                         + tuple('%s=%s' % pair for pair in host.extra)) + '\n'
                               for host in after))
        waiting = sorted(good & set(sick))
        return lines + ['%d of %d hosts passed; %d available%s' % (
            len(good), len(found), len(after),
            '; still quarantined: ' + nodeset.fold(waiting) if waiting else '')]
