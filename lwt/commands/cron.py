"""lwt cron: run passes regularly, by cron or by a systemd timer."""

import hashlib
import os
import re
import shutil
import sys
import time

from lwt.commands import crontab, zipapp
from lwt.commands.options import Parser
from lwt.errors import EXIT_FAILED, LocalError, UsageError, printable_text
from lwt.flow import running
from lwt.output import units, writer
from lwt.proc import Command
from lwt.workspace import config, files

PATIENCE = 30.0             # seconds for crontab and systemctl
FUTURE = 60.0               # seconds by which a clock may differ from that of a file system
LATE = 2.0                  # intervals without a pass, after which show warns

EXAMPLES = '''examples:
  lwt cron install                 a pass every 5 minutes
  lwt cron install --every 2       the same line, changed
  lwt cron show                    the line, and when the last pass was
  lwt cron remove
  lwt cron install --systemd       a timer of systemd in its place
  lwt cron show --systemd          only print what that would write'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = Parser(name, 'lwt cron install [--every N] [--systemd] | remove | show [--systemd]',
                    'Run `lwt task update --cron` regularly for this workspace.  It prints only '
                    'problems that need a\nperson; the rest is in .lwt/cron.log.  The entry keeps '
                    'the current PATH and LWT_ variables.', EXAMPLES)
    parser.add_argument('--every', metavar='N',
                        help='minutes between two passes, or 1h to 24h (default 5)')
    parser.add_argument('--systemd', action='store_true',
                        help='use a systemd timer of this user instead of cron')
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    words = words + (parsed.rest or [])
    if len(words) != 1 or words[0] not in VERBS:
        raise UsageError('lwt cron: %s'
                         % ('expected one word' if len(words) != 1 else 'unknown verb ' + words[0]),
                         'one of: %s' % ' '.join(VERBS))
    workspace = env.require_workspace()
    env.settings(workspace)
    workspace.prepare()
    try:
        minutes = crontab.every(parsed.every or '5')
    except ValueError as error:
        raise UsageError('--every: %r: %s' % (parsed.every, error))
    return VERBS[words[0]](_Cron(env, workspace, minutes), parsed.systemd)


class _Cron:
    """What the verbs share: what is to run, and the programs that see to it."""

    def __init__(self, env, workspace, minutes):
        self.workspace = workspace
        self.minutes = minutes
        self.environ = env.environ
        self.path = env.environ.get('PATH', os.defpath)
        self.log = workspace.path('.lwt', 'cron.log')
        self.words = [sys.executable, zipapp.program(), '-C', workspace.root, 'task', 'update',
                      '--cron', '--log', self.log]

    @property
    def variables(self):
        """(name, value) pairs that a pass needs: the PATH, and the options that the environment
        sets now.
        """
        names = ['LWT_' + option.key.upper()
                 for option in config.OPTIONS if not option.key.startswith('log')]
        return ([('PATH', _path(self.path))]
                + [(name, self.environ[name]) for name in names if self.environ.get(name)])

    def line(self):
        return crontab.line(self.minutes, self.program('env'), self.variables, self.words,
                            self.workspace.root)

    def program(self, name, hint=''):
        """The absolute path of a program.  Raises UsageError."""
        found = shutil.which(name, path=self.path)
        if found is None:
            raise UsageError('%s is not installed (looked for in %s)' % (name, self.path), hint)
        return os.path.abspath(found)

    def run(self, *argv, stdin=b''):
        """The Result of a program, run to its end."""
        def flow():
            return (yield Command(argv, stdin=stdin, timeout=PATIENCE,
                                  env=dict(self.environ, LC_ALL='C')))
        with running(1, 1.0) as run:
            return run.report(flow())

    def table(self):
        """The user's crontab as text.  Raises LocalError where it cannot be had: what cannot be
        read must not be replaced.
        """
        result = self.run(
            self.program('crontab', 'use --systemd, or call lwt task update --cron yourself'), '-l')
        if result.ok:
            return result.stdout.decode('utf-8', 'surrogateescape')
        if crontab.NO_CRONTAB.search(result.stderr.decode('utf-8', 'replace')):
            return ''
        raise LocalError('crontab -l: %s' % _complaint(result))

    def replace(self, old, new):
        """Write a crontab, and look whether it is there."""
        if new == old:
            return
        result = self.run(self.program('crontab'), '-', stdin=writer.encoded(new))
        if not result.ok:
            raise LocalError('crontab: %s' % _complaint(result))
        if self.table() != new:
            raise LocalError(
                'crontab: it is not what was written; somebody else may have changed it',
                'look with: crontab -l')

    def units(self):
        """[(path, text)] of the service and of the timer."""
        folder = os.path.join(self.environ.get('XDG_CONFIG_HOME')
                              or os.path.expanduser('~/.config'), 'systemd', 'user')
        name = 'lwt-%s' % hashlib.sha256(writer.encoded(self.workspace.root)).hexdigest()[:8]
        texts = crontab.units(self.minutes, self.variables, self.words, self.workspace.root)
        return [(os.path.join(folder, name + kind), text)
                for kind, text in zip(('.service', '.timer'), texts)]

    def systemctl(self, *words):
        """Why systemctl could not do it, or ''."""
        found = shutil.which('systemctl', path=self.path)
        if found is None:
            return 'systemctl is not installed'
        result = self.run(found, '--user', *words)
        return '' if result.ok else _complaint(result)


def _complaint(result):
    said = result.stderr.strip().splitlines()
    return printable_text(said[-1], 200) if said else '%s %d' % (result.status, result.code)


def _path(text):
    """A PATH without what is relative, missing or there twice."""
    return os.pathsep.join(dict.fromkeys(name for name in text.split(os.pathsep)
                                         if os.path.isabs(name) and os.path.isdir(name)))


def install(cron, with_systemd):
    """Write the line, or the units, anew."""
    if with_systemd:
        return _install_units(cron)
    old, new = cron.table(), cron.line()
    cron.replace(old, crontab.edited(old, cron.workspace.root, new))
    writer.put_line(new)
    return 0


def _install_units(cron):
    for path, text in cron.units():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.write_atomic(path, text)
        writer.put_line(path)
    timer = os.path.basename(cron.units()[1][0])
    problem = cron.systemctl('daemon-reload') or cron.systemctl('enable', '--now', timer)
    if problem:
        writer.say('the timer was written, but is not enabled: %s' % problem)
        writer.say('hint: systemctl --user daemon-reload; systemctl --user enable --now %s' % timer)
    return EXIT_FAILED if problem else 0


def remove(cron, with_systemd):
    """Take away the line, and the units if there are any."""
    present = [path for path, _text in cron.units() if os.path.lexists(path)]
    if present:
        problem = cron.systemctl('disable', '--now', os.path.basename(cron.units()[1][0]))
        for path in present:
            os.unlink(path)
        problem = problem or cron.systemctl('daemon-reload')
        if problem:
            writer.say('the timer was removed, but systemd may not know yet: %s' % problem)
    if not with_systemd and (not present or shutil.which('crontab', path=cron.path)):
        old = cron.table()
        cron.replace(old, crontab.edited(old, cron.workspace.root))
    return 0


def show(cron, with_systemd):
    """Print the line and when the last pass was; or the units, as they would be."""
    if with_systemd:
        for path, text in cron.units():
            writer.put_line('# %s\n%s' % (path, text))
        return 0
    lines = crontab.ours(cron.table(), cron.workspace.root)
    for line in lines:
        writer.put_line(line)
    timer = cron.units()[1][0]
    if os.path.exists(timer):
        writer.put_line(timer)
        every = re.search(r'OnUnitActiveSec=(\d+)min', files.read_text(timer, 1 << 16))
        lines.append('')
    if not lines:
        writer.say('nothing is installed for %s' % cron.workspace.root)
        return EXIT_FAILED
    _tell_last(cron,
               crontab.minutes_of(lines[0]) if lines[0] else int(every.group(1)) if every else None)
    return 0


def _tell_last(cron, minutes):
    """Say when the last pass was, and warn when it should have been followed by others."""
    try:
        age = time.time() - os.stat(cron.log).st_mtime
    except OSError:
        writer.say('no pass yet')
        return
    if age < -FUTURE:
        writer.say('the time of the last pass (%s) is in the future: was the clock wrong?'
                   % cron.log)
        return
    is_late = minutes is not None and age > LATE * 60 * minutes
    writer.say('the last pass was %s ago%s'
               % (units.duration(max(0.0, age)), '; is cron running?' if is_late else ''))


VERBS = {'install': install, 'remove': remove, 'show': show}
