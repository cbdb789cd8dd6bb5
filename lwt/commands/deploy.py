"""lwt deploy: copy lwt and the workspace's tools to the home of hosts, and report which hosts can
run lwt.

Each host needs one login: its home is created if it is missing, lwt.pyz and tools/ are copied as by
put, and then the host reports the digest of its copy, and the first Python that can run it.
"""

from __future__ import generator_stop

import os
import tempfile
from typing import NamedTuple

from lwt.commands import exit_codes, zipapp
from lwt.commands.options import Parser, fitting, refuse_words
from lwt.copy import manifest, transfer
from lwt.copy.common import Terms
from lwt.copy.progress import CopyProgress
from lwt.errors import Cancelled, HostError, printable_text
from lwt.flow import running
from lwt.output import tables, writer
from lwt.remote import call, exit_status, login
from lwt.workspace import files

TOOLS = 'tools'             # a folder of the workspace, whose files go to HOME/tools

EXAMPLES = '''examples:
  lwt deploy -a                    to all available hosts
  lwt deploy -w h1                 then on h1: python3 lwt.pyz init sweep
  lwt deploy -g plab --json | jq -r 'select(.python == null) | .host'
                                   hosts without a suitable Python'''


class Deployed(NamedTuple):
    """The result on one host.

    python, version: of the first Python that runs lwt; or '' and the newest version found.
    """

    host: str
    verdict: exit_status.Verdict
    python: str = ''
    version: str = ''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = Parser(name, 'lwt deploy -w HOSTS | -g CATEGORY | -a [options]',
                    "Copy lwt as one file, lwt.pyz, to the home of each host, and the files of "
                    "the workspace's tools/\nto HOME/tools.  Hosts do not need lwt to be used; "
                    "with it, a host can be a master itself.",
                    EXAMPLES).add_selection()
    parser.add_argument('--json', action='store_true',
                        help='print one JSON object per line and host')
    parser.add_options('timeout', 'stall', 'grace')
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    refuse_words(parser, words + (parsed.rest or []))
    workspace = env.find_workspace()
    settings = env.settings(workspace)
    chosen = env.select(parsed, workspace, settings)
    session = env.session(settings, chosen)
    with tempfile.TemporaryDirectory(prefix='lwt-deploy.') as scratch:
        wanted, digest = _survey(scratch, workspace)
        with running(fitting(settings.fanout, '-f', writer.say), settings.grace) as run:
            env.ready(run, workspace, session, chosen)
            found = run.reports([_to_host(session, host, wanted, digest) for host in chosen])
    _tell(sorted(found, key=lambda deployed: [host.name for host in chosen].index(deployed.host)),
          parsed.json)
    return exit_codes.exit_code([deployed.verdict for deployed in found])


def _survey(scratch, workspace):
    """Return the Manifest of the files to copy, and the digests of lwt.pyz."""
    path = os.path.join(scratch, zipapp.NAME)
    with files.local_errors('building lwt.pyz'):
        data = zipapp.build()
        with open(path, 'wb') as file:
            file.write(data)
        os.chmod(path, 0o755)
        os.utime(path, (0, 0))          # constant, so that the same program is always the same file
    tools = [workspace.path(TOOLS)] if workspace and os.path.isdir(workspace.path(TOOLS)) else []
    return manifest.survey([path] + tools), {'sha256': manifest.sha256([data]),
                                             'cksum': str(manifest.cksum([data]))}


def _to_host(session, host, wanted, digest):
    """Flow: deploy to one host; returns a Deployed."""
    try:
        with (yield from login.connected(session, host)) as session:
            yield from _script(session, host, 'prepare')
            verdict = yield from transfer.put(session, host, wanted, '.',
                                              Terms(session.settings.timeout),
                                              CopyProgress())
            if not verdict.ok:
                raise HostError(host.name, verdict)
            answer = yield from _script(session, host, 'check')
    except HostError as error:
        return Deployed(host.name, error.verdict)
    except Cancelled:
        return Deployed(host.name, exit_status.Verdict('killed', 130, 'interrupted', 'maybe'))
    return _judge(host, verdict, digest, answer.lines)


def _script(session, host, verb):
    """Flow: one call of sh/deploy.sh; returns its Answer.  Raises HostError."""
    answer = yield from call.script(session, host, 'deploy', [verb, host.home],
                                    timeout=session.settings.stall)
    if not answer.verdict.ok:
        raise HostError(host.name, exit_status.with_complaint(answer.verdict, answer.stderr))
    return answer


def _judge(host, verdict, digest, lines):
    """Return the Deployed for the lines that a host reported."""
    told = dict(line.partition(' ')[::2] for line in lines)
    kind, _space, value = told.get('digest', '').partition(' ')
    if digest.get(kind) != value:
        return Deployed(host.name,
                        exit_status.Verdict('failed', 1, 'checksum mismatch after transfer'))
    python, version = ([printable_text(word)
                        for word in told.get('runs', '').split(' ')[:2]] + ['', ''])[:2]
    if not python:
        old = printable_text(told.get('old', '').partition(' ')[2])
        version = 'only %s' % old if old else 'none'
    return Deployed(host.name, verdict, python, version)


def _tell(found, as_json):
    for deployed in found:
        if as_json:
            verdict = deployed.verdict
            writer.put_bytes(writer.json_line({
                'host': deployed.host, 'class': verdict.kind, 'code': verdict.code,
                'reason': verdict.reason,
                'python': deployed.python or None, 'version': deployed.version or None}))
        elif not deployed.verdict.ok:
            writer.say('%s: %s' % (deployed.host, deployed.verdict.reason))
    well = [deployed for deployed in found if deployed.verdict.ok]
    if well and not as_json:
        for line in tables.table(('HOST', 'RUNS', 'PYTHON', 'COPIED'), [
                (deployed.host, 'yes' if deployed.python else 'no',
                 (deployed.version + ' ' + deployed.python).strip(),
                 deployed.verdict.reason) for deployed in well]):
            writer.put_line(line)
    without = sum(1 for deployed in well if not deployed.python)
    if without and not as_json:
        writer.say('%d host%s no Python 3.6.1 or later; only a master needs it' % (
            without, ' has' if without == 1 else 's have'))
