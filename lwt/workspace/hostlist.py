"""The host list, and the selection of hosts for a command.

A host list has one line per host, NAME <tab> CATEGORY <tab> HOME [<tab> key=value ...], and #
comments.  ssh gets only the name; all other connection settings belong in the user's ssh
configuration.  This module is pure: its input is text.
"""

import os
import pwd
import re
from typing import NamedTuple

from lwt.errors import UsageError, printable
from lwt.workspace import nodeset

LOCAL = 'local'                         # the category of this machine: run with sh, without ssh
SLURM = 'slurm'                         # @slurm and @slurm:PARTITION are nodes of a cluster
MAX_BYTES = 16 << 20

# A name cannot look like an option or contain characters of a shell: ssh refuses such names only
# since 9.6, and a ProxyCommand may contain %h.
_PART = r'(?![-.])[A-Za-z0-9_.:%-]+'
_NAME = re.compile('(?=.{1,255}$)(?:%s@)?%s' % (_PART, _PART))

_IN_BRACKETS = re.compile(r'((?:[^@\[\]]*@)?)\[([^\[\]]*:[^\[\]]*)\]')

# h1:22, user@h1:22, [::1]:22.  An IPv6 address without brackets has at least two colons.
_WITH_PORT = re.compile(r'((?:[^@:]+@)?(?:[^:@\[\]]+|\[[^\[\]]+\])):([0-9]+)')
_WORD = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*')


class Host(NamedTuple):
    """One host.

    home: the directory of lwt on the host; ~ and relative paths refer to the login directory.
    extra: (key, value) pairs of the columns after HOME.
    """

    name: str
    category: str = ''
    home: str = '~'
    extra: tuple = ()

    @property
    def is_local(self):
        return self.category == LOCAL

    @property
    def is_slurm(self):
        """Whether tasks are jobs of the cluster whose login node this is."""
        return self.get('launcher') == 'slurm'

    def get(self, key, default=''):
        """The value of an extra column key=value."""
        return dict(self.extra).get(key, default)


class Selection(NamedTuple):
    """The values of -w (hosts), -g (categories), -a (everything) and -x (exclude)."""

    hosts: tuple = ()
    categories: tuple = ()
    everything: bool = False
    exclude: tuple = ()


def _no_check(key, value, where):
    return ''


def parse(text, origin, check=_no_check, warn=lambda text: None):
    """The Hosts of a host list, in its order.  Raises UsageError with the line number.

    origin: the file name for messages.  check(key, value, where): called for each column after
    HOME; returns a warning or '', or raises UsageError.  warn(text): called with each warning.
    """
    found = {}
    for number, line in enumerate(text.lstrip('\ufeff').split('\n'), 1):
        line = line.rstrip('\r')
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        where = '%s:%d' % (origin, number)
        host = _parse_line(line, where)
        if found.get(host.name, host) != host:
            raise UsageError('%s: %s is listed twice, with different columns'
                             % (where, host.name))
        if host.name in found:
            warn('%s: %s is listed twice' % (where, host.name))
        for key, value in host.extra:
            problem = check(key, value, where)
            if problem:
                warn(problem)
        found[host.name] = host
    if not found:
        raise UsageError('no hosts in %s' % origin,
                         'add one line per host: NAME <tab> CATEGORY <tab> HOME')
    return list(found.values())


def _parse_line(line, where):
    fields = [field.strip(' ') for field in line.rstrip('\t ').split('\t')]
    if len(fields) < 3:
        raise UsageError('%s: expected NAME <tab> CATEGORY <tab> HOME, found %d column%s'
                         % (where, len(fields), 's' * (len(fields) > 1)),
                         'separate the columns with a TAB')
    category, home = fields[1:3]
    name = bare(fields[0])
    check_name(name, where)
    if not _WORD.fullmatch(category):
        raise UsageError('%s: bad category %s' % (where, printable(category)))
    check_home(home, where, name)
    return Host(name, category, home, tuple(_parse_extra(field, where) for field in fields[3:]))


def _parse_extra(field, where):
    key, separator, value = field.partition('=')
    if not separator or not _WORD.fullmatch(key):
        raise UsageError('%s: expected key=value after HOME, found %s' % (where, printable(field)))
    return key, value


def bare(name):
    """A name without the brackets around an IPv6 address: [fe80::1%eth0], user@[::1]."""
    found = _IN_BRACKETS.fullmatch(name)
    return found.group(1) + found.group(2) if found else name


def check_name(name, where):
    """Raise UsageError unless ssh and scp accept the name."""
    found = _WITH_PORT.fullmatch(name)
    if found:
        host = bare(found.group(1)).rpartition('@')[2]
        raise UsageError('%s: %s: a host name cannot contain a port' % (where, printable(name)),
                         'set the port in ssh_config: "Host %s" and below it "Port %s"'
                         % (host, found.group(2)))
    if not _NAME.fullmatch(name):
        raise UsageError('%s: bad host name %s' % (where, printable(name)),
                         'allowed: letters, digits and . _ - : @, but no - or . at the start')


def check_home(home, where, name=''):
    """Raise UsageError unless home is a directory that lwt may use: not / and not another user's.

    name: the name of the host.  ~USER is accepted only for the user in this name or, if it has
    none, for the user who runs lwt.
    """
    if not home:
        raise UsageError('%s: HOME is empty' % where, 'use ~ for the login directory')
    user = home.partition('/')[0][1:] if home.startswith('~') else ''
    if home.strip('/') == '' or user and user != (name.rpartition('@')[0] or _own_name()):
        raise UsageError('%s: bad HOME %s' % (where, printable(home)),
                         'use ~ or a directory of your own')
    if '..' in home.split('/') or any(ord(char) < 32 or ord(char) == 127 for char in home):
        raise UsageError('%s: bad HOME %s' % (where, printable(home)))


def _own_name():
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ''


def select(selection, candidates, available, read=nodeset.refuse, nodes=nodeset.refuse):
    """The Hosts that a Selection selects, each once, in the order of nodeset; may be empty.

    candidates: the Hosts of host.list (empty without a workspace).  -w may also have other names
    that ssh knows.
    available: a function that returns the Hosts that passed the last probe, to which -a, -g,
    @CATEGORY and web* refer; it may raise UsageError.
    read: a function that returns the text of FILE in ^FILE.
    nodes: a function that returns the names of @slurm or @slurm:PARTITION; it gets that without
    the @.  A category of the host list that is named slurm comes first.
    Raises UsageError.
    """
    if not (selection.hosts or selection.categories or selection.everything):
        raise UsageError('no hosts selected',
                         'use -w HOSTS, -g CATEGORY, or -a for all available hosts')
    known = {host.name: host for host in candidates}
    own = {host.category for host in candidates}

    def members(category):
        if category.partition(':')[0] == SLURM and category not in own:
            return nodes(category)
        found = {host.name: host for host in available() if category in ('*', host.category)}
        if not found:
            raise UsageError('%s: no host of this category' % printable('@' + category),
                             'categories are the second column of host.list')
        known.update(found)
        return found

    def categories(category):
        return {host.category for host in available()} if category == '*' else [category]

    base = set(members('*')) if selection.everything else set()
    for category in nodeset.union(selection.categories, categories, read):
        base.update(members(category))
    chosen = set(map(bare, nodeset.selected(selection.hosts, members, read, base)))
    excluded = set(map(bare, nodeset.excluded(chosen, selection.exclude, members, read)))
    for name in chosen | excluded:
        check_name(name, '-w' if name in chosen else '-x')
    return [known.get(name) or Host(name) for name in nodeset.ordered(chosen - excluded)]
