"""lwt cron: run passes regularly, by cron or by a systemd timer."""

import hashlib
import os
import re
import shutil
import sys
import time

from lwt import procfs
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
# Program names of cron daemons: Debian and cronie, busybox and Red Hat, and others.
DAEMONS = frozenset({'cron', 'crond', 'fcron', 'dcron', 'bcron-sched', 'busybox-crond'})

EXAMPLES = '''examples:
  lwt cron install                 run a pass every 5 minutes
  lwt cron install --every 2       change the interval to 2 minutes
  lwt cron show                    print the line and the time of the last pass
  lwt cron remove                  remove the line, and the systemd timer if there is one
  lwt cron install --systemd       use a systemd timer instead of cron
  lwt cron show --systemd          print the units without installing them'''


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
    parser.add_ssh()
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


def _ssh_words(env):
    """Return the options of a pass that select how hosts are reached, as given for `install`."""
    settings = config.load(None, {}, [said for said in env.overrides if said[0] == 'ssh_config'])
    lines = [text for key, text, _origin in reversed(env.overrides) if key == 'ssh_option']
    lines.append(env.environ.get('LWT_SSH_OPTION', ''))         # may be several lines
    found = ['--ssh-config', settings.ssh_config] if settings.ssh_config else []
    for option in config.ssh_options('\n'.join(lines)):
        found += ['--ssh-option', option]
    return found


class _Cron:
    """What the verbs share: the command of a pass, and the programs crontab and systemctl."""

    def __init__(self, env, workspace, minutes):
        self.workspace = workspace
        self.minutes = minutes
        self.is_quiet = env.quiet
        self.environ = env.environ
        self.path = env.environ.get('PATH', os.defpath)
        self.log = workspace.path('.lwt', 'cron.log')
        self.words = [sys.executable, zipapp.program(), '-C', workspace.root, 'task', 'update',
                      '--cron', '--log', self.log] + _ssh_words(env)

    @property
    def variables(self):
        """(name, value) pairs for a pass: PATH, and the LWT_ options of the environment."""
        names = ['LWT_' + option.key.upper()
                 for option in config.OPTIONS
                 if not option.key.startswith('log') and option.key not in config.REPEATED]
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
        """Return the user's crontab as text.

        Raises LocalError if it cannot be read; then it must not be replaced.
        """
        result = self.run(
            self.program('crontab', 'use --systemd, or run lwt task update --cron yourself'), '-l')
        if result.ok:
            return result.stdout.decode('utf-8', 'surrogateescape')
        if crontab.NO_CRONTAB.search(result.stderr.decode('utf-8', 'replace')):
            return ''
        raise LocalError('crontab -l: %s' % _complaint(result))

    def replace(self, old, new):
        """Write a crontab and verify it."""
        if new == old:
            return
        result = self.run(self.program('crontab'), '-', stdin=writer.encoded(new))
        if not result.ok:
            raise LocalError('crontab: %s' % _complaint(result))
        if self.table() != new:
            raise LocalError(
                'crontab: differs from what was written; another program may have changed it',
                'check with: crontab -l')

    def units(self):
        """[(path, text)] of the service and of the timer."""
        folder = os.path.join(self.environ.get('XDG_CONFIG_HOME')
                              or os.path.expanduser('~/.config'), 'systemd', 'user')
        name = 'lwt-%s' % hashlib.sha256(writer.encoded(self.workspace.root)).hexdigest()[:8]
        texts = crontab.units(self.minutes, self.variables, self.words, self.workspace.root)
        return [(os.path.join(folder, name + kind), text)
                for kind, text in zip(('.service', '.timer'), texts)]

    def systemctl(self, *words):
        """Run systemctl --user; returns the error, or ''."""
        found = shutil.which('systemctl', path=self.path)
        if found is None:
            return 'systemctl is not installed'
        result = self.run(found, '--user', *words)
        return '' if result.ok else _complaint(result)


def _complaint(result):
    said = result.stderr.strip().splitlines()
    return printable_text(said[-1], 200) if said else '%s %d' % (result.status, result.code)


def _path(text):
    """A PATH without directories that are relative, missing or repeated."""
    return os.pathsep.join(dict.fromkeys(name for name in text.split(os.pathsep)
                                         if os.path.isabs(name) and os.path.isdir(name)))


def install(cron, with_systemd):
    """Write the line of the workspace, or its units; returns the exit code."""
    if with_systemd:
        return _install_units(cron)
    old, new = cron.table(), cron.line()
    cron.replace(old, crontab.edited(old, cron.workspace.root, new))
    _say_installed(cron)
    if not cron.is_quiet and is_daemon_missing(procfs.names()):
        writer.say('warning: no cron daemon is running, so no pass will start')
        writer.say('hint: start cron, or use: lwt cron install --systemd')
    return 0


def _say_installed(cron):
    if not cron.is_quiet:
        every = 'minute' if cron.minutes == 1 else '%d minutes' % cron.minutes
        if cron.minutes >= 60:
            every = 'hour' if cron.minutes == 60 else '%d hours' % (cron.minutes // 60)
        writer.say('installed: a pass every %s; remove with: lwt cron remove' % every)


def is_daemon_missing(names):
    """Return True if no cron daemon runs; names: {pid: program name} of the visible processes.

    Without process 1, the processes of other users are hidden (mount option hidepid), so the
    answer is False.
    """
    return 1 in names and not DAEMONS.intersection(names.values())


def _install_units(cron):
    for path, text in cron.units():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.write_atomic(path, text)
        writer.put_line(path)
    timer = os.path.basename(cron.units()[1][0])
    problem = cron.systemctl('daemon-reload') or cron.systemctl('enable', '--now', timer)
    if problem:
        writer.say('the timer was written, but not enabled: %s' % problem)
        writer.say('hint: systemctl --user daemon-reload; systemctl --user enable --now %s' % timer)
        return EXIT_FAILED
    _say_installed(cron)
    return 0


def remove(cron, with_systemd):
    """Remove the line of the workspace, and its units if there are any; returns the exit code."""
    removed = []
    present = [path for path, _text in cron.units() if os.path.lexists(path)]
    if present:
        problem = cron.systemctl('disable', '--now', os.path.basename(cron.units()[1][0]))
        for path in present:
            os.unlink(path)
            removed.append(path)
        problem = problem or cron.systemctl('daemon-reload')
        if problem:
            writer.say('the timer was removed, but systemd was not informed: %s' % problem)
    if not with_systemd and (not present or shutil.which('crontab', path=cron.path)):
        old = cron.table()
        cron.replace(old, crontab.edited(old, cron.workspace.root))
        removed += ['the crontab line of %s' % cron.workspace.root
                    for _line in crontab.ours(old, cron.workspace.root)]
    for what in removed if not cron.is_quiet else ():
        writer.say('removed: ' + what)
    if not removed and not cron.is_quiet:
        writer.say('nothing to remove for %s' % cron.workspace.root)
    return 0


def show(cron, with_systemd):
    """Print the line and the time of the last pass, or the units; returns the exit code."""
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
    """Print the time of the last pass, and ask about cron if it is too long ago."""
    try:
        age = time.time() - os.stat(cron.log).st_mtime
    except OSError:
        writer.say('no pass yet')
        return
    if age < -FUTURE:
        writer.say('the time of the last pass (%s) is in the future; check the clock' % cron.log)
        return
    is_late = minutes is not None and age > LATE * 60 * minutes
    writer.say('the last pass was %s ago%s'
               % (units.duration(max(0.0, age)), '; is cron running?' if is_late else ''))


VERBS = {'install': install, 'remove': remove, 'show': show}
