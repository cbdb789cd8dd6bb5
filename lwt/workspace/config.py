"""Options: one table defines key in lwt.conf, LWT_ variable, flags, default and help of each.

Precedence: default < lwt.conf < environment < --set < flag.  An unknown key is an error, with the
nearest name as a hint.  This module reads the values of options; it does not use them.
"""

import functools
import math
import os
import re
from collections import namedtuple
from typing import Callable, NamedTuple

from lwt.errors import UsageError
from lwt.workspace import files, sbatch_options

MAX_BYTES = 1 << 20     # maximum size of lwt.conf
MAX_NUMBER = 10 ** 12   # maximum of a whole number; 1e99 is a typing error
MAX_SLOTS = 10000       # maximum slots of a host
TRANSPORTS = 'tar', 'scp'
MAX_PROBE = 10 ** 9     # maximum bytes of a probe, which are held in memory
_SSH_OPTION = re.compile(r'[A-Za-z][A-Za-z0-9]*(\s*=\s*|\s+)\S.*', re.ASCII)
_TOLD = re.compile('[0-9]{1,18}')


def seconds(text):
    """A time: 90, 1.5, 90s, 5m, 2h, 1d; 0 means no limit.  Returns seconds."""
    match = re.fullmatch(r'(\d{1,9}(?:\.\d{1,6})?|\.\d{1,6})([smhd]?)', text.strip(), re.ASCII)
    if not match:
        raise ValueError('expected seconds, or a number with s, m, h or d')
    return float(match.group(1)) * {'': 1, 's': 1, 'm': 60, 'h': 3600, 'd': 86400}[match.group(2)]


def positive_seconds(text):
    """A time as for seconds, but more than 0.  Returns seconds."""
    if seconds(text) <= 0:
        raise ValueError('expected more than 0 seconds')
    return seconds(text)


@functools.lru_cache(maxsize=32)
def plain_seconds(number):
    """Seconds as text for sh and sleep, without an exponent."""
    return ('%.3f' % number).rstrip('0').rstrip('.')


def whole_seconds(number):
    """Seconds as text for a shell that counts whole seconds, rounded up."""
    return str(math.ceil(number))


def bounded(text, low, high):
    """The whole number in a text from a host; None if it is not a number within these bounds."""
    return int(text) if _TOLD.fullmatch(text) and low <= int(text) <= high else None


def copy_transport(text):
    """The program for copies to and from a host: tar or scp."""
    if text not in TRANSPORTS:
        raise ValueError('expected tar or scp')
    return text


def count(text):
    """A whole number, 0 or more; 1e6 is accepted."""
    if not re.fullmatch(r'\d{1,12}(e\d{1,2})?', text.strip(), re.ASCII):
        raise ValueError('expected a whole number, 0 or more')
    return bounded_above(int(float(text)) if 'e' in text else int(text), MAX_NUMBER)


def bounded_above(number, most):
    """The number.  Raises ValueError if it is more than `most`."""
    if number > most:
        raise ValueError('too large: at most %d' % most)
    return number


def positive(text):
    """A whole number, 1 or more."""
    if not re.fullmatch(r'\d{1,12}(e\d{1,2})?', text.strip(), re.ASCII) or count(text) < 1:
        raise ValueError('expected a whole number, 1 or more')
    return count(text)


def probe_size(text):
    """Bytes of the file that a probe sends."""
    return bounded_above(positive(text), MAX_PROBE)


def slots(text):
    """The slots of a host; 0: none."""
    return bounded_above(count(text), MAX_SLOTS)


def size(text):
    """An amount: 500M, 2G, or a number of KiB.  Returns KiB."""
    match = re.fullmatch(r'(\d{1,9}(?:\.\d{1,3})?)([KMGT]?)(?:i?B)?', text.strip(),
                         re.ASCII | re.IGNORECASE)
    if not match:
        raise ValueError('expected a number, or one with K, M, G or T')
    return math.ceil(float(match.group(1)) * {'': 1, 'K': 1, 'M': 1 << 10, 'G': 1 << 20,
                                              'T': 1 << 30}[match.group(2).upper()])


def size_text(kib):
    """An amount in KiB as text, in the largest unit that divides it: 1 GB for 1G."""
    for unit in ('kB', 'MB', 'GB'):
        if kib % 1024:
            return '%d %s' % (kib, unit)
        kib //= 1024
    return '%d TB' % kib


def hours(text):
    """Hours of the day, FROM-TO, which may include midnight: 23-8 is from 23:00 until 08:59.

    Returns (from, to).
    """
    match = re.fullmatch(r'(\d{1,2})-(\d{1,2})', text.strip(), re.ASCII)
    if not match or max(int(match.group(1)), int(match.group(2))) > 23:
        raise ValueError('expected hours FROM-TO, each 0 to 23')
    return int(match.group(1)), int(match.group(2))


def word(text):
    """Text, unchanged."""
    return text


def path(text):
    """The path of a file; ~ and ~USER at its start are expanded."""
    return files.user_path(text)


def ssh_options(text):
    """Options of ssh_config(5), one a line: KEY=VALUE or KEY VALUE.  Returns a tuple of lines."""
    lines = tuple(line.strip() for line in text.split('\n') if line.strip())
    for line in lines:
        if not _SSH_OPTION.fullmatch(line):
            raise ValueError('expected KEY=VALUE as in ssh_config(5)')
    return lines


def log_format(text):
    """The format of the log: text or json."""
    if text not in ('text', 'json'):
        raise ValueError('expected text or json')
    return text


class Option(NamedTuple):
    """One option.

    read: converts its text to a value; raises ValueError.
    default: as a user would write it.
    metavar: a key of UNITS.
    flags: the flags of commands, which may be none.
    """

    key: str
    read: Callable
    default: str
    metavar: str
    flags: tuple
    help: str


# The units of options by metavar, for lwt.conf.
UNITS = {
    'N': 'number', 'SEC': 'seconds; or a number with s, m, h or d', '%': 'percent of one core',
    'MB': 'MB', 'KB/s': 'KB/s', 'BYTES': 'bytes', 'DAYS': 'days', 'H-H': 'hours, FIRST-LAST',
    'SIZE': 'KiB; or a number with K, M, G or T', 'FILE': 'path', 'FORMAT': 'text or json',
    'KEY=VALUE': 'KEY=VALUE, one per line'}

OPTIONS = (
    Option('fanout', count, '32', 'N', ('-f', '--fanout'),
           'maximum number of parallel processes; 0: as many as possible'),
    Option('connect_timeout', seconds, '10', 'SEC', ('-t', '--connect-timeout'),
           'connection timeout in seconds'),
    Option('hello_timeout', seconds, '20', 'SEC', ('--hello-timeout',),
           'time limit in seconds for the login shell to answer once connected'),
    Option('timeout', seconds, '0', 'SEC', ('-u', '--timeout'),
           'time limit for the whole command in seconds; 0: no limit'),
    Option('idle', seconds, '0', 'SEC', ('--idle',),
           'kill a command after SEC without output; 0: no limit'),
    Option('grace', seconds, '5', 'SEC', ('--grace',), 'seconds between TERM and KILL'),
    Option('lease', positive_seconds, '60', 'SEC', ('--lease',),
           'kill a remote command after SEC without a heartbeat from this machine'),
    Option('output_limit', size, '1G', 'SIZE', ('--output-limit',),
           'maximum output per host and command: 500M, 2G, or KiB; 0: no limit'),
    Option('stall', seconds, '120', 'SEC', ('--stall',),
           'abort a transfer after SEC without progress'),
    Option('logins', positive, '8', 'N', (),
           'maximum number of logins in progress per address or jump host'),
    Option('persist', seconds, '0', 'SEC', (),
           'keep connections open for SEC after a run; 0: close them at its end'),
    Option('retries', count, '1', 'N', ('--retries',),
           'number of further attempts of a task whose desc does not set retries'),
    Option('max_cpu_day', count, '0', '%', (),
           'by day, start no task on a host with more cpu usage (100: one core); 0: no limit'),
    Option('max_cpu_night', count, '0', '%', (),
           'by night, start no task on a host with more cpu usage (100: one core); 0: no limit'),
    Option('max_cpu_me_day', count, '0', '%', (),
           'by day, start no task on a host where your own cpu usage is higher; 0: no limit'),
    Option('max_cpu_me_night', count, '0', '%', (),
           'by night, start no task on a host where your own cpu usage is higher; 0: no limit'),
    Option('max_dtask_day', count, '0', 'N', (),
           'maximum number of tasks per host by day; 0: one per core'),
    Option('max_dtask_night', count, '0', 'N', (),
           'maximum number of tasks per host by night; 0: one per core'),
    Option('night', hours, '23-8', 'H-H', (),
           "first and last hour of the night, on this machine's clock"),
    Option('min_memory', count, '0', 'MB', (),
           'minimum free memory in MB on a host to start a task'),
    Option('min_disk', count, '10', 'MB', (),
           'minimum free disk space in MB in the home of a host to start a task'),
    Option('quarantine_after', positive, '3', 'N', (),
           'consecutive failures after which a host is quarantined'),
    Option('quarantine_good', positive, '2', 'N', (),
           'consecutive successes that end a quarantine'),
    Option('quarantine_wait', positive_seconds, '15', 'SEC', (),
           'seconds until a failed host is tried again; doubled after each failure'),
    Option('quarantine_longest', positive_seconds, '1h', 'SEC', (),
           'maximum delay in seconds until a failed host is tried again'),
    Option('probe_size', probe_size, '1700000', 'BYTES', (),
           'size in bytes of the file that a probe sends and fetches'),
    Option('probe_time', positive_seconds, '40', 'SEC', (),
           'time limit in seconds of a probe for each direction'),
    Option('probe_rate', count, '10', 'KB/s', (),
           'minimum rate in KB/s of a probe in each direction'),
    Option('keep', count, '7', 'DAYS', (),
           'days to keep records of finished tasks, on this machine and on their hosts'),
    Option('log', path, '', 'FILE', ('--log',),
           'append a line for each event to FILE'),
    Option('log_format', log_format, 'text', 'FORMAT', ('--log-format',),
           'log format: text or json'),
    Option('overdue', seconds, '1h', 'SEC', (),
           'warn if another pass has been visiting a host for SEC; 0: never'),
    Option('ssh_config', path, '', 'FILE', ('--ssh-config',),
           "configuration file for ssh, scp and sftp instead of the user's"),
    Option('ssh_option', ssh_options, '', 'KEY=VALUE', ('--ssh-option',),
           'option of ssh_config(5) for ssh, scp and sftp; may be repeated'),
)

# Options whose flag can be repeated.  Their values are lines.  Those of a source with a higher
# precedence come first, because ssh uses the first value that it gets.
REPEATED = ('ssh_option',)

BY_KEY = {option.key: option for option in OPTIONS}

# Options that a line of host.list (key=value) and a section [category NAME] of lwt.conf may set.
HOST_KEYS = (tuple(option.key for option in OPTIONS if option.key.startswith(('max_', 'min_')))
             + ('night',))

# Other keys of a line of host.list, and their readers.  Any further key is a column of the user,
# for %{KEY} of exec.
HOST_READERS = {'slots': slots, 'copy': copy_transport, 'launcher': sbatch_options.launcher,
                'partition': sbatch_options.name, 'account': sbatch_options.name,
                'sbatch': sbatch_options.checked}

# Variables that are not options: the workspace, and those that lwt sets for commands.
VARIABLES = frozenset('LWT_' + name for name in (
    'WORKSPACE', 'ID', 'TASK', 'ATTEMPT', 'HOST', 'ARG', 'SEQ', 'SLOT', 'SCRATCH'))

# All options; categories: {name: {key: value}} of the sections [category NAME].
Settings = namedtuple('Settings', [option.key for option in OPTIONS] + ['categories'])


def nearest(given, words, otherwise):
    """The hint for an unknown word: the word that was probably meant, or otherwise."""
    near = near_word(given, words)
    return 'did you mean %s?' % near if near else otherwise


def near_word(given, words):
    """The one of words from which a typing error leads to the given word, or ''.

    A typing error is one letter more, less or other, or two that changed places; in words of six
    letters and more also two of these.  Three letters and more may be the beginning of a word.
    """
    name = given.lstrip('-')
    others = {other.lstrip('-'): other for other in words if len(other.lstrip('-')) > 2}
    errors, near = min(((_typing_errors(name, known), known)
                        for known in others if abs(len(known) - len(name)) <= 2), default=(9, ''))
    if errors <= (1 if len(name) < 6 else 2):
        return others[near] if len(name) > 2 else ''
    longer = [known for known in others if len(name) > 2 and known.startswith(name)]
    return others[longer[0]] if len(longer) == 1 else ''


def _typing_errors(given, known):
    """How many typing errors lead from one word to another (optimal string alignment distance)."""
    before, row = [], list(range(len(known) + 1))
    for at, char in enumerate(given):
        above, before, row = before, row, [at + 1]
        for to, other in enumerate(known):
            row.append(min(before[to] + (char != other), before[to + 1] + 1, row[to] + 1))
            if at and to and (char, given[at - 1]) == (known[to - 1], other):
                row[-1] = min(row[-1], above[to - 1] + 1)
    return row[-1]


def load(conf_path, environ, overrides):
    """Read the options; returns Settings.  Raises UsageError.

    conf_path: an lwt.conf, or None.
    environ: a mapping with LWT_… variables.
    overrides: (key, text, origin) triples; later ones override earlier ones.  origin: the source,
    for error messages.
    """
    values = {option.key: option.read(option.default) for option in OPTIONS}
    items, sections = _from_file(conf_path)
    for key, text, origin in items + _from_environ(environ) + list(overrides):
        value = _read(key, text, origin)
        values[key] = value + values[key] if key in REPEATED else value
        if BY_KEY[key].read is not path or text in ('', 'none'):
            continue
        if (key, text, origin) in items:
            values[key] = os.path.join(os.path.dirname(os.path.abspath(conf_path)), value)
        elif key == 'ssh_config':
            values[key] = os.path.abspath(value)        # ssh has another current directory
    return Settings(categories=_read_categories(sections), **values)


def _read_categories(sections):
    """{category: {key: value}} from (category, key, text, origin) tuples."""
    found = {}
    for category, key, text, origin in sections:
        found.setdefault(category, {})[key] = host_value(key, text, origin)
    return found


def host_value(key, text, origin):
    """The value of an option for one host or category.  Raises UsageError."""
    if key in BY_KEY and key not in HOST_KEYS:
        raise UsageError('%s: allowed in the section [lwt] only' % origin,
                         'allowed for categories and hosts: ' + ' '.join(HOST_KEYS))
    return _read(key, text, origin)


def check_host_column(key, text, origin):
    """A warning about a column key=value of host.list, or ''.  Raises UsageError for bad values."""
    if key in HOST_READERS:
        try:
            HOST_READERS[key](text)
        except ValueError as error:
            raise UsageError('%s: %s=%s: %s' % (origin, key, text, error))
    elif key in HOST_KEYS:
        host_value(key, text, '%s: %s' % (origin, key))
    elif key in BY_KEY:
        return '%s: %s=%s: has no effect in host.list; set it in lwt.conf' % (origin, key, text)
    else:
        near = near_word(key, HOST_KEYS + tuple(HOST_READERS))
        if near:
            return '%s: %s=%s: unknown key; did you mean %s?' % (origin, key, text, near)
    return ''


def unknown_variables(environ):
    """Yield a warning about each unknown variable LWT_…."""
    known = VARIABLES | {'LWT_' + key.upper() for key in BY_KEY}
    for name in sorted(environ):
        if name.startswith('LWT_') and name not in known and not name.startswith('LWT_TEST_'):
            near = near_word(name, known)
            yield '%s: no such option%s' % (name, '; did you mean %s?' % near if near else '')


def assignment(text):
    """(key, text, origin) of a --set KEY=VALUE.  Raises UsageError."""
    key, separator, value = text.partition('=')
    if not separator:
        raise UsageError('--set %s: expected KEY=VALUE' % text)
    return key.strip(), value.strip(), '--set ' + key.strip()


def _read(key, text, origin):
    option = BY_KEY.get(key)
    if option is None:
        raise UsageError('%s: unknown option %r' % (origin, key),
                         nearest(key, BY_KEY, 'the options are: ' + ' '.join(BY_KEY)))
    try:
        return option.read(text)
    except ValueError as error:
        raise UsageError('%s: %r: %s' % (origin, text, error))


def _from_file(conf):
    """((key, text, origin) of the section [lwt], (category, key, text, origin) of the others)."""
    if conf is None or not os.path.exists(conf):
        return [], []
    import configparser                 # here, because many commands need no workspace
    parser = configparser.ConfigParser(interpolation=None)
    text = files.read_text(conf, MAX_BYTES)
    try:
        parser.read_string(text, conf)
    except configparser.Error as error:
        raise UsageError('%s: %s' % (conf, str(error).replace('\n', ' ')))
    lines = _line_numbers(text)
    items, sections = [], []
    for section in parser.sections() + ['DEFAULT'] * bool(parser.defaults()):
        kind, _space, category = section.partition(' ')
        if section != 'lwt' and not (kind == 'category' and category.strip()):
            raise UsageError('%s: unknown section [%s]' % (_at(conf, lines.get((section, ''))),
                                                           section),
                             'options are in the section [lwt], options of a category of hosts in '
                             '[category NAME]')
        for key, value in parser[section].items():
            where = _at(conf, lines.get((section, key)))
            if section == 'lwt':
                items.append((key, value, '%s: %s' % (where, key)))
            else:
                sections.append((category.strip(), key, value,
                                 '%s: [%s] %s' % (where, section, key)))
    return items, sections


def _at(conf, line):
    return conf if line is None else '%s:%d' % (conf, line)


def _line_numbers(text):
    """{(section, key): line number} of the text of an ini file; the key of a section line is ''."""
    found, section = {}, ''
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r'\[([^]]+)\]', line)
        key = re.match(r'([^#;\s=:][^=:]*?)\s*[=:]', line)
        if header:
            section = header.group(1)
            found.setdefault((section, ''), number)
        elif key:
            found.setdefault((section, key.group(1).lower()), number)
    return found


def _from_environ(environ):
    """(key, text, origin) of the variables of the table."""
    names = [(option.key, 'LWT_' + option.key.upper()) for option in OPTIONS]
    return [(key, environ[name], name) for key, name in names if environ.get(name)]


def template():
    """The text of a new lwt.conf: all options as comments, with unit and default."""
    lines = ['# Options of this workspace.  To change one, remove the # before its key.',
             '# Flags, --set KEY=VALUE and variables LWT_KEY override this file.', '[lwt]']
    for option in OPTIONS:
        text = option.help.replace(' SEC', ' this time').replace(' FILE', ' this file')
        lines += ['', '# %s%s.' % (text[0].upper(), text[1:]),
                  '# Unit: %s.  Default: %s.' % (UNITS[option.metavar], option.default or 'none'),
                  '#%s = %s' % (option.key, option.default)]
    return '\n'.join(lines) + '\n'
