"""Parsers, common options, sessions and host selections of the commands.

Options come from the one table in config.  Words and options may come in any order.  Words
after "--" are never read as options.
"""

import argparse
import functools
import itertools
import os
import re
import sys
from typing import NamedTuple

from lwt import procfs
from lwt.errors import UsageError
from lwt.output import writer
from lwt.output.progress import stopping_text
from lwt.workspace import config


class Env(NamedTuple):
    """What a command gets: the environment variables and the values of global options."""

    environ: dict
    workspace_option: str
    overrides: tuple
    quiet: bool
    verbose: bool

    def find_workspace(self):
        """Return the workspace in force, or None."""
        from lwt.workspace import layout  # imported in methods because not every command needs it
        workspace = layout.find(self.workspace_option, self.environ)
        return workspace and workspace._replace(warn=self.warn)

    def require_workspace(self):
        """Return the workspace in force; raises UsageError if there is none."""
        from lwt.workspace import layout
        return layout.require(self.workspace_option, self.environ)._replace(warn=self.warn)

    def warn(self, text):
        """Print a warning, once, unless -q is given."""
        if not self.quiet:
            _say_once(text)

    def settings(self, workspace):
        """Return the Settings in force in a workspace, or without one (None)."""
        self._check_named_files()
        settings = config.load(workspace.conf if workspace else None, self.environ, self.overrides)
        for text in config.unknown_variables(self.environ):
            self.warn(text)
        if workspace and settings.categories and os.path.lexists(workspace.path('host.list')):
            known = {host.category for host in workspace.candidates()}
            for name in sorted(set(settings.categories) - known):
                self.warn('%s: [category %s]: host.list has no host of this category'
                          % (workspace.conf, name))
        if not settings.fanout:
            settings = settings._replace(fanout=procfs.most_at_once())
        if self.verbose or settings.log:
            from lwt.output import log  # imported here because it is slow and rarely needed
            log.start(self.verbose, settings.log, settings.log_format == 'json')
        return settings

    def _check_named_files(self):
        """Raise UsageError for an ssh configuration that another user can change.

        A file that lwt.conf names is as safe as lwt.conf.
        """
        from lwt.workspace import files, ownership
        named = [self.environ.get('LWT_SSH_CONFIG', '')]
        named += [text for key, text, _origin in self.overrides if key == 'ssh_config']
        named = [files.user_path(text) for text in named if text not in ('', 'none')]
        if named:
            ownership.check_files(*named)

    def session(self, settings, chosen, programs=('ssh',)):
        """Return a Session for these hosts, for one run.

        programs: the names of programs that hosts other than this machine need.
        Raises UsageError if one of these is missing.
        """
        import shutil
        from lwt import ssh
        from lwt.remote import call, login
        from lwt.workspace import ssh_config
        path = self.environ.get('PATH', os.defpath)
        if settings.ssh_config not in ('', 'none') and not os.path.exists(settings.ssh_config):
            raise UsageError('ssh_config: %s: no such file' % settings.ssh_config)
        ssh.check_given(settings.ssh_option)
        found = {name: shutil.which(name, path=path) or '' for name in ('ssh', 'scp')}
        found = {name: os.path.abspath(path) if path else '' for name, path in found.items()}
        if any(not host.is_local for host in chosen):
            for name in programs:
                ssh.require_program(found[name], name, path)
        sockets = login.sockets(self.environ, os.getuid()) if found['ssh'] else login.Sockets('')
        if sockets.problem and self.verbose:
            writer.say('connections are not reused: ' + sockets.problem)
        home = _home(self.environ)
        can_enter = os.path.isdir(home) and os.access(home, os.X_OK)
        local_env = None if self.environ.get('HOME') == home else dict(os.environ, HOME=home)
        transport = ssh.Transport(
            found['ssh'], found['scp'], path, ssh.environment(self.environ), settings.ssh_config,
            home if can_enter else '/', settings.connect_timeout, local_env=local_env,
            ignored=ssh_config.ignored(settings.ssh_config), given=settings.ssh_option)
        return call.Session(settings, transport, sockets=sockets.directory, gates={}, heard=[])

    def ready(self, run, workspace, session, chosen, told=()):
        """Prepare a run on hosts: limit the logins in progress, and at its end print hints and
        record how the hosts answered.

        workspace: the workspace, or None.
        told: a list of what hosts report about themselves, for health_log.record.
        """
        def finish():
            self._say_hints(session.heard)
            if workspace is not None:
                from lwt.hosts import health_log
                health_log.record(workspace, session.settings, session.heard, told, writer.say)

        from lwt.remote import login
        login.learn_gates(run, session, chosen)
        run.on_stopping(_say_stopping)
        run.at_exit(finish)

    def _say_hints(self, heard):
        """Print a hint for each kind of login failure that only the user can fix.

        heard: [(host, Verdict)]; the hint names the first host of a kind.
        """
        from lwt.remote import exit_status
        first = {}
        for name, verdict in heard:
            first.setdefault(verdict.kind, name)
        for kind, name in first.items():
            hint = exit_status.hint(kind, name)
            if hint and not self.quiet:
                writer.say('hint: ' + hint)

    def select(self, parsed, workspace, settings=None, may_be_empty=False):
        """Return the hosts that -w -g -a -x select.

        settings: the Settings of the workspace; None: they are read if needed.
        """
        from lwt.workspace import hostlist
        named = tuple('^-' if text == '-' else text for text in parsed.hosts)
        selection = hostlist.Selection(named, tuple(parsed.categories), parsed.everything,
                                       tuple(parsed.exclude))
        candidates = (workspace.candidates()
                      if workspace and os.path.lexists(workspace.path('host.list'))
                      else [])
        chosen = hostlist.select(selection, candidates, functools.lru_cache()(
            lambda: self._available(workspace or self.require_workspace(), settings)), read_hosts,
            functools.lru_cache()(self.slurm_nodes))
        if not chosen and not may_be_empty:
            raise UsageError('no hosts selected')
        return chosen

    def slurm_nodes(self, category):
        """Return the names of @slurm or @slurm:PARTITION; category: that without the @."""
        from lwt.hosts import slurm_nodes  # here, because it starts a process
        return slurm_nodes.find(category, self.environ)

    def _available(self, workspace, settings):
        """Return the available hosts without those that get no work; a message names the latter."""
        from lwt.hosts import health_log
        from lwt.workspace import nodeset
        listed = workspace.available()
        resting = health_log.resting(workspace, [host.name for host in listed],
                                     settings or self.settings(workspace))
        if resting and not self.quiet:
            writer.say('skipped (excluded or quarantined): %s; see lwt hosts --why HOST'
                       % nodeset.fold(sorted(resting)))
        return [host for host in listed if host.name not in resting]


def _home(environ):
    """Return the directory that ~ means on this machine: HOME, or that of the password database."""
    import pwd                          # here because few commands run anything on this machine
    if environ.get('HOME'):
        return os.path.abspath(environ['HOME'])
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return '/'


def _say_stopping(count):
    writer.say(stopping_text(count, 'host'))


@functools.lru_cache(maxsize=None)
def _say_once(text):
    writer.say(text)


def read_hosts(name):
    """Return the text of ^FILE, or with ^- of standard input."""
    from lwt.workspace import files, hostlist
    if name != '-':
        return files.read_text(files.user_path(name), hostlist.MAX_BYTES)
    with files.local_errors('standard input'):
        return files.without_bom(sys.stdin.buffer.read()).decode('utf-8', 'replace')


def read_value(flag, text, read):
    """Return read(text) for the value of a flag.  Raises UsageError."""
    try:
        return read(text)
    except ValueError as error:
        raise UsageError('%s: %r: %s' % (flag, text, error))


def refuse_words(parser, words):
    """Raise UsageError for words after a command that takes only hosts."""
    if words:
        raise UsageError('%s: unexpected word %s' % (parser.prog, words[0]),
                         "name hosts with -w, and quote sets of them: -w 'h[1-9]'")


def fitting(fanout, flag, say):
    """Return a fanout that the limit on open files allows.

    say(text): gets a message if it is less than requested.
    """
    most = procfs.max_children()
    if fanout > most:
        say('%s %d: capped to %d (the limit on open files)' % (flag, fanout, most))
    return min(fanout, most)


def _wrapped(text, width, **options):
    import textwrap                     # here because only help needs it
    return textwrap.wrap(text, width, **options)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that fits the terminal.

    Prose is filled.  Indented lines are examples, each with its comment beside it.
    """

    def __init__(self, prog):
        width = config.bounded(os.environ.get('COLUMNS', ''), 20, 1000) or writer.columns()
        # Without a width, argparse would ask shutil again for each option.
        super().__init__(prog, width=width - 2)

    def _fill_text(self, text, width, indent):
        lines = []
        for is_set_in, block in itertools.groupby(
                text.split('\n'), lambda line: line.startswith('  ')):
            lines += _examples(list(block), width) if is_set_in else _prose(list(block), width)
        return '\n'.join(lines)

    def _format_usage(self, usage, actions, groups, prefix):
        text = super()._format_usage(usage, actions, groups, prefix)
        return '\n'.join(line for old in text.split('\n') for line in _wrapped(
            old, self._width, subsequent_indent=' ' * 11, break_on_hyphens=False,
            drop_whitespace=True) or [''])


def _prose(block, width):
    """Return lines of prose, filled; blank lines separate paragraphs."""
    return [line for is_text, part in itertools.groupby(block, lambda line: bool(line.strip()))
            for line in (_wrapped('\n'.join(part), width) if is_text else [''])]


def _examples(block, width):
    """Return example lines in two columns: the example, and the comment after two blanks or more.
    """
    parts = [re.fullmatch(r'(  .*?)(?:\s{2,}(\S.*))?', line).groups() for line in block]
    column = (2
              + max([len(example) for example, comment in parts
                     if comment and len(example) <= width // 2] + [6]))
    lines = []
    for example, comment in parts:
        beside = _wrapped(comment or '', width - column)
        if len(example) + 2 <= column and beside:
            example = example.ljust(column) + beside.pop(0)
        lines += [example] + [' ' * column + line for line in beside]
    return lines


class Parser(argparse.ArgumentParser):
    """argparse with words and options in any order, errors as UsageError, and the options table."""

    def __init__(self, name, usage, description, examples='', **options):
        super().__init__(prog='lwt ' + name if name else 'lwt', usage=usage,
                         description=description, epilog=examples,
                         formatter_class=_Formatter, **options)
        self.add_argument('-C', dest='workspace_option', metavar='WORKSPACE',
                          default=argparse.SUPPRESS,
                          help='workspace directory (default: the nearest one upward that holds '
                               'lwt.conf)')
        self.add_argument('-q', '--quiet', action='store_true', default=argparse.SUPPRESS,
                          help='print errors only')
        self.add_argument('-v', '--verbose', action='store_true', default=argparse.SUPPRESS,
                          help='print more details')
        self.add_argument('--set', dest='assignments', action='append', metavar='KEY=VALUE',
                          default=argparse.SUPPRESS,
                          help='set an option of lwt.conf for this run')
        self._options = []
        self.add_options('log', 'log_format')

    def _get_option_tuples(self, option_string):
        """Disable abbreviations of long options.

        Before Python 3.8, allow_abbrev=False would also reject -j2 as unknown.
        """
        return [] if option_string.startswith('--') else super()._get_option_tuples(option_string)

    def add_options(self, *keys, shown=True):
        """Add options of the table by their flags."""
        for key in keys:
            option = config.BY_KEY[key]
            default = ' (default %s)' % option.default if option.default else ''
            self.add_argument(*option.flags, dest='option_' + key, metavar=option.metavar,
                              action='append' if key in config.REPEATED else 'store',
                              default=argparse.SUPPRESS,
                              help=option.help + default if shown else argparse.SUPPRESS)
            self._options.append(key)
        return self

    def add_selection(self):
        """Add the options that select hosts for a command."""
        self.add_hosts().add_options('fanout', 'connect_timeout', 'hello_timeout')
        return self.add_ssh()

    def add_hosts(self, all_flag='-a'):
        """Add the options that name hosts.  all_flag: the option for all available hosts."""
        group = self.add_argument_group('hosts')
        for flag, dest, metavar, text in (
                ('-w', 'hosts', 'HOSTS',
                 'node set: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^-  '
                 '@slurm:PARTITION'),
                ('-g', 'categories', 'CATEGORY', 'available hosts of a category; may be repeated'),
                ('-x', 'exclude', 'HOSTS', 'exclude these hosts')):
            group.add_argument(flag, dest=dest, metavar=metavar, action='append', default=[],
                               help=text)
        group.add_argument(all_flag, dest='everything', action='store_true',
                           help='all available hosts')
        return self

    def add_ssh(self):
        """Add the options of all commands that log in to hosts."""
        return self.add_options('ssh_config', 'ssh_option')

    def add_rounds(self, every):
        """Add the options of a table that can be repeated.  every: the default in seconds."""
        self.add_argument('--watch', action='store_true',
                          help='repeat; on a terminal, redraw in place')
        self.add_argument('--every', metavar='SEC', default=str(every),
                          help='seconds between rounds of --watch (default %d)' % every)
        self.add_argument('--json', action='store_true',
                          help='print one JSON object per line and host')

    def parse(self, argv):
        """Return (parsed, words): argparse's namespace, and all words that are not options.

        parsed.rest: the words after "--", or None.  Raises UsageError.
        """
        head, tail = _split(argv)
        parsed, words = self.parse_known_args(self._with_numbers(head))
        for word in words:
            if word.startswith('-') and len(word) > 1:
                raise UsageError('%s: unknown option %s' % (self.prog, word), self._nearest(word))
        parsed.rest = tail
        return parsed, words

    def _with_numbers(self, argv):
        """Return argv with values such as -1, or -h2 for -w, joined to their option.

        argparse would take them for other options.
        """
        glued = []
        for word in argv:
            flag = glued[-1] if glued else ''
            action = self._option_string_actions.get(flag)
            is_hosts = (flag in ('-w', '-x') and re.match(r'-[^-]', word)
                        and word not in self._option_string_actions)
            takes_value = action is not None and action.nargs is None
            if takes_value and (is_hosts or re.match(r'-[0-9]', word)):
                glued[-1] += word if len(glued[-1]) == 2 else '=' + word
            else:
                glued.append(word)
        return glued

    def leading(self, argv):
        """Return (the options at the beginning, the rest from the first other word on)."""
        flags = {flag: action.nargs != 0 for flag, action in self._option_string_actions.items()}
        at = 0
        while (at < len(argv) and argv[at].startswith('-') and len(argv[at]) > 1
               and argv[at] != '--'):
            takes_value = flags.get(argv[at].partition('=')[0], False) and '=' not in argv[at]
            at += 2 if takes_value else 1
        return list(argv[:at]), list(argv[at:])

    def overrides(self, parsed):
        """Return the options of the table from --set and flags: (key, text, origin) triples."""
        said = [config.assignment(text) for text in getattr(parsed, 'assignments', ())]
        for key in self._options:
            if hasattr(parsed, 'option_' + key):
                value = getattr(parsed, 'option_' + key)
                text = '\n'.join(value) if key in config.REPEATED else value
                said.append((key, text, config.BY_KEY[key].flags[0]))
        return tuple(said)

    def error(self, message):
        raise UsageError('%s: %s' % (self.prog, message), 'see %s --help' % self.prog)

    def _nearest(self, word):
        from lwt.commands import foreign_words      # here because only errors need it
        shown = [flag for flag, action in self._option_string_actions.items()
                 if action.help is not argparse.SUPPRESS]
        return (foreign_words.option_hint(self.prog.partition(' ')[2], word)
                or config.nearest(word.partition('=')[0], shown, 'see %s --help' % self.prog))


def _split(argv):
    """Return the words before "--", and those after it (None without "--")."""
    if '--' not in argv:
        return list(argv), None
    at = list(argv).index('--')
    return list(argv[:at]), list(argv[at + 1:])
