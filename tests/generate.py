"""The manual page and the completions, made from the tables of commands and options: python3 -m
tests.generate [--check]

The generated files are in the repository (man/, completions/), so that nobody needs this to use
them. --check writes nothing and reports the differences.
"""

import argparse
import importlib
import os
import re
import sys
from typing import NamedTuple
from unittest import mock

from lwt import __version__, cli
from lwt.commands import options
from lwt.workspace import config
from tests.support import ROOT

MAN_WIDTH = 70          # columns of unfilled lines in the manual page
FILES = ('FILE', 'DIR', 'LOCAL', 'IN', 'OUT')
KINDS = {'-w': 'hosts', '-x': 'hosts', '-m': 'hosts', '-g': 'categories', '-C': 'directory',
         '--set': 'key',
         '--log-format': 'format'}
# The kinds of the words of a command, apart from verbs; and of the words after a verb.
WORDS = {'init': 'directory', 'put': 'file', 'get': 'file', 'exec': 'program', 'multi': 'program',
         'add': 'description'}
ID_VERBS = ('show', 'why', 'log', 'kill', 'suspend', 'resume', 'retry', 'wait', 'rm')


class Flag(NamedTuple):
    """One option. names: all its spellings; metavar: '' if it takes no value; repeats: whether it
    may be given more than once.
    """

    names: tuple
    metavar: str
    help: str
    group: str
    repeats: bool

    @property
    def kind(self):
        """The kind of its value: hosts, categories, file, ..., or '' if nothing can be completed.
        """
        known = next((KINDS[name] for name in self.names if name in KINDS), '')
        return known or ('file' if self.metavar in FILES else '')


class Command(NamedTuple):
    """One command, as its own parser defines it."""

    name: str
    summary: str
    usage: str
    description: str
    examples: str
    flags: tuple
    verbs: tuple


class _Found(Exception):
    """Carries the parser of a command out of it, before it parses anything."""


def _parser_of(module, name):
    def stop(parser, _argv):
        raise _Found(parser)

    with mock.patch.object(options.Parser, 'parse', stop):
        try:
            module.main(name, [], None)
        except _Found as found:
            return found.args[0]
    raise RuntimeError('%s has no parser' % name)


def _flags(parser):
    formatter = parser._get_formatter()
    for group in parser._action_groups:
        for action in group._group_actions:
            if action.help is not argparse.SUPPRESS and action.option_strings:
                takes_value = action.nargs != 0
                yield Flag(tuple(action.option_strings),
                           (action.metavar or action.dest.upper()) if takes_value else '',
                           formatter._expand_help(action), group.title,
                           type(action).__name__ == '_AppendAction')


def commands():
    """Return every Command, in the order of --help."""
    for name, module_name, summary in cli.COMMANDS:
        module = importlib.import_module('lwt.commands.' + module_name)
        parser = _parser_of(module, name)
        verbs = tuple(getattr(module, 'VERBS', ()))
        fill = parser._get_formatter()._fill_text
        yield Command(name, summary, fill(parser.usage, MAN_WIDTH, ''), parser.description,
                      fill(parser.epilog, MAN_WIDTH, ''),
                      tuple(_flags(parser)), verbs)


ALL = tuple(commands())
KEYS = tuple(option.key for option in config.OPTIONS)


# -- the manual page -------------------------------------------------------------------------------

MAN_HEAD = '''.\\" Made by python3 -m tests.generate; do not edit.
.TH LWT 1 "" "lwt %s" "User Commands"
.SH NAME
lwt \\- run commands, copy files and run a queue of tasks on hosts reached by ssh
.SH SYNOPSIS
.B lwt
[\\fB\\-C\\fR \\fIWORKSPACE\\fR] [\\fB\\-q\\fR | \\fB\\-v\\fR]
[\\fB\\-\\-set\\fR \\fIKEY\\fR=\\fIVALUE\\fR] \\fICOMMAND\\fR ...
.SH DESCRIPTION
lwt is for one person with one master machine and some hosts: without root, agent or shared file
system, and with a network that may fail at any moment. Hosts need a POSIX shell and nothing else.
What times out, is interrupted or loses its master is ended on the host; a task
starts at most once per attempt, and no result is lost.
.PP
Options may come before or after the words of a command; everything after \\fB\\-\\-\\fR is the
user's command.
.SH COMMANDS
'''

MAN_TAIL = '''.SH HOSTS
\\fB\\-w\\fR takes a set in the notation of ClusterShell and pdsh:
\\fBh[1\\-9,12]\\fR, \\fBh[01\\-20/2]\\fR, \\fBr[1\\-2]n[1\\-4]\\fR,
\\fBa,b\\fR (or), \\fBa!b\\fR (but not), \\fBa&b\\fR (both), \\fBa^b\\fR (one of them),
\\fB@CATEGORY\\fR, \\fBweb*\\fR, \\fB^FILE\\fR, \\fB^\\-\\fR (standard input),
\\fB@slurm:PARTITION\\fR and \\fB@slurm\\fR (nodes of a partition of Slurm, or of the allocation
in which lwt runs).
Without \\fB\\-w\\fR, \\fB\\-g\\fR or \\fB\\-a\\fR there is no command on any host.
.SH FILES
.TP
.B lwt.conf
options of the workspace, in a section [lwt]
.TP
.B host.list
NAME, CATEGORY, HOME and key=value columns, separated by a TAB: the candidates
.TP
.B host.list.available
those of them that are in use
.TP
.B description/NAME/desc
what a task runs, and what it brings back
.TP
.B task.finish/NAME.TIME.ID/
what came home of a task
.TP
.B .lwt/
the queue, locks and logs
.SH ENVIRONMENT
Each option has a variable, \\fBLWT_\\fR and its key in capitals.
\\fBLWT_WORKSPACE\\fR names the workspace. \\fBNO_COLOR\\fR
switches colours off.
.SH EXIT STATUS
.TP
.B 0
all well
.TP
.B 1
a command or a task failed
.TP
.B 2
wrong use or a bad file; nothing was done
.TP
.B 3
a host unreachable, a time\\-out, or an end that is not known; wins over 1
.TP
.B 70
a bug in lwt
.TP
.B 74
this machine's disk, files or state cannot be used
.TP
.B 75
busy: another lwt is at it; try again
.TP
.B 128+N
lwt was ended by signal N
.SH SEE ALSO
.BR ssh (1),
.BR ssh_config (5),
.BR crontab (5)
'''


def roff(text):
    """Return text for roff: without escapes of its own, and without a line that begins with a
    request.
    """
    text = text.replace('\\', '\\e').replace('-', '\\-').replace('…', '...').replace('→', '->')
    return re.sub(r"(?m)^(?=[.'])", r'\\&', text)


def manual():
    """Return the manual page."""
    parts = [MAN_HEAD % __version__]
    for command in ALL:
        parts.append('.SS "lwt %s"\n' % command.name)
        parts.append('.nf\n%s\n.fi\n.PP\n%s\n'
                     % (roff(command.usage), roff(re.sub(r'\s+', ' ', command.description))))
        known = {name for flag in _common() for name in flag.names}
        parts += [_man_flag(flag) for flag in command.flags if not known & set(flag.names)]
        if command.examples:
            head, _colon, body = command.examples.partition(':\n')
            parts.append('.PP\n%s:\n.PP\n.nf\n%s\n.fi\n' % (head.capitalize(), roff(body)))
    parts.append('.SH OPTIONS OF EVERY COMMAND\n' + ''.join(map(_man_flag, _common())))
    parts.append('.SH KEYS\nThe keys of \\fBlwt.conf\\fR and of \\fB\\-\\-set\\fR; '
                 'the order of precedence is the default, lwt.conf, the variable, \\-\\-set, the '
                 'flag.\n')
    for option in config.OPTIONS:
        default = ' (default %s)' % option.default if option.default else ''
        parts.append('.TP\n\\fB%s\\fR = \\fI%s\\fR\n%s%s\n'
                     % (roff(option.key), roff(option.metavar), roff(option.help),
                        roff(default)))
    return ''.join(parts) + MAN_TAIL


def _common():
    """The flags that every command has."""
    shared = set.intersection(*({flag.names for flag in command.flags} for command in ALL))
    return [flag for flag in ALL[0].flags if flag.names in shared]


def _man_flag(flag):
    names = ', '.join('\\fB%s\\fR' % roff(name)
                      + (' \\fI%s\\fR' % roff(flag.metavar) if flag.metavar else '')
                      for name in flag.names)
    return '.TP\n%s\n%s\n' % (names, roff(flag.help))


# -- completions -----------------------------------------------------------------------------------

HEAD = '# Completion of lwt for %s.  Made by python3 -m tests.generate; do not edit.\n'

# Functions in POSIX sh with which all three shells read a workspace. $1: the value of -C, or ''.
LOOK = '''\
__lwt_root() {
  set -- "${1:-$LWT_WORKSPACE}" "$PWD"
  if [ -n "$1" ]; then printf '%s\\n' "$1"; return; fi
  while [ ! -f "$2/lwt.conf" ] && [ -n "$2" ]; do set -- '' "${2%/*}"; done
  printf '%s\\n' "${2:-/}"
}
__lwt_column() {
  awk -F '\\t' -v n="$2" '!/^#/ && NF > 2 { print $n }' \\
    "$(__lwt_root "$1")/host.list" 2>/dev/null | sort -u
}
__lwt_hosts() { __lwt_column "$1" 1; __lwt_column "$1" 2 | sed 's/^/@/'; }
__lwt_descriptions() { (cd "$(__lwt_root "$1")/description" 2>/dev/null && ls); }
__lwt_ids() {
  lwt -C "$(__lwt_root "$1")" task show 2>/dev/null | awk '$1 ~ /^[0-9]+$/ { print $1 }'
}
'''

BASH = '''\
_lwt() {
  local word='' command='' verb='' root='' kind='' i
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  # bash splits words at @.
  if [ "$prev" = @ ]; then cur=@$cur prev=${COMP_WORDS[COMP_CWORD-2]}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      --) compopt -o default 2>/dev/null; [ "$command" != exec ] || [ $i != $((COMP_CWORD - 1)) ] ||
            COMPREPLY=($(compgen -c -- "$cur")); return ;;
      -C) root=${COMP_WORDS[i+1]} ;;
    esac
    case " $__lwt_valued " in *" $word "*) i=$((i + 1)); continue ;; esac
    case $word in
      -*) ;;
      *) if [ -z "$command" ]; then command=$word; elif [ -z "$verb" ]; then verb=$word; fi ;;
    esac
  done
  kind=$(__lwt_kind "$command" "$prev")
  if [ -z "$kind" ]; then
    case " $__lwt_valued " in *" $prev "*) return ;; esac
    case $cur in
      -*) COMPREPLY=($(compgen -W "$(__lwt_flags "$command")" -- "$cur")); return ;;
    esac
    kind=$(__lwt_words "$command" "$verb")
  fi
  case $kind in
    hosts)
      word=${cur%"${cur##*[,!&^]}"}
      COMPREPLY=($(compgen -P "$word" -W "$(__lwt_hosts "$root")" -- "${cur##*[,!&^]}")) ;;
    categories)
      word=${cur%"${cur##*,}"}
      COMPREPLY=($(compgen -P "$word" -W "$(__lwt_column "$root" 2)" -- "${cur##*,}")) ;;
    ids) COMPREPLY=($(compgen -W "$(__lwt_ids "$root")" -- "$cur")) ;;
    description) COMPREPLY=($(compgen -W "$(__lwt_descriptions "$root")" -- "$cur")) ;;
    key) compopt -o nospace 2>/dev/null; COMPREPLY=($(compgen -S = -W "$__lwt_keys" -- "$cur")) ;;
    format) COMPREPLY=($(compgen -W 'text json' -- "$cur")) ;;
    directory) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$cur")) ;;
    file) compopt -o default 2>/dev/null ;;
    program) COMPREPLY=($(compgen -c -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "$kind" -- "$cur")) ;;
  esac
}
complete -F _lwt lwt lwt.pyz
'''


def _case(subject, rows):
    """Return a case of sh that prints a text for each pattern."""
    lines = ''.join("    %s) echo '%s' ;;\n" % row for row in rows)
    return '  case %s in\n%s  esac\n' % (subject, lines)


def _names(flags):
    return ' '.join(name for flag in flags for name in flag.names)


def tables():
    """Return the tables of completions, as functions of sh: __lwt_flags COMMAND, __lwt_kind COMMAND
    FLAG, __lwt_words COMMAND VERB.
    """
    valued = sorted(
        {name for command in ALL for flag in command.flags if flag.metavar for name in flag.names})
    rows = ([(command.name, _names(command.flags)) for command in ALL]
            + [('*', _names(_common()) + ' --version')])
    kinds = []
    for command in ALL:
        by_kind = {}
        for flag in command.flags:
            if flag.kind:
                by_kind.setdefault(flag.kind, []).extend('"%s %s"' % (command.name, name)
                                                         for name in flag.names)
        kinds += [(' | '.join(patterns), kind) for kind, patterns in sorted(by_kind.items())]
    shared = {}
    for flag in _common():
        if flag.kind:
            shared.setdefault(flag.kind, []).extend('*" %s"' % name for name in flag.names)
    kinds += [(' | '.join(patterns), kind) for kind, patterns in sorted(shared.items())]
    words = [('" "', ' '.join(command.name for command in ALL))]
    for command in ALL:
        if command.verbs:
            words.append(('"%s "' % command.name, ' '.join(command.verbs)))
            words += [('"%s %s"' % (command.name, verb), 'ids' if verb in ID_VERBS else WORDS[verb])
                      for verb in command.verbs if verb in ID_VERBS or verb in WORDS]
        elif command.name in WORDS:
            words.append(('"%s "*' % command.name, WORDS[command.name]))
    return ("__lwt_valued='%s'\n__lwt_keys='%s'\n" % (' '.join(valued), ' '.join(KEYS))
            + '__lwt_flags() {\n%s}\n__lwt_kind() {\n%s}\n__lwt_words() {\n%s}\n' % (
                _case('$1', rows), _case('"$1 $2"', kinds), _case('"$1 $2"', words)))


def bash():
    """Return the completion for bash."""
    return (HEAD % 'bash' + '# shellcheck shell=bash disable=SC2207,SC2012,SC2016\n' + LOOK
            + tables() + BASH)


def _fish_quote(text):
    return "'%s'" % text.replace('\\', '\\\\').replace("'", "\\'")


def _fish_flag(flag, condition):
    words = ['complete -c lwt -n %s' % _fish_quote(condition)] if condition else ['complete -c lwt']
    for name in flag.names:
        words.append('-l ' + name[2:] if name.startswith('--') else '-s ' + name[1:])
    if flag.metavar:
        what = {'hosts': '(__lwt_list (__lwt_hosts))',
                'categories': '(__lwt_list (__lwt_column 2))', 'key': '(__lwt_keys)',
                'format': 'text json', 'directory': '(__fish_complete_directories)'}.get(flag.kind)
        words.append('-r -F' if flag.kind == 'file' else '-x')
        words += ['-a ' + _fish_quote(what)] if what else []
    return ' '.join(words + ['-d ' + _fish_quote(flag.help)])


FISH = '''\
function __lwt_root
    set -l words (commandline -opc)
    if set -l at (contains -i -- -C $words)
        echo $words[(math $at + 1)]
    else if test -n "$LWT_WORKSPACE"
        echo $LWT_WORKSPACE
    else
        set -l folder $PWD
        while not test -f $folder/lwt.conf; and test -n "$folder"
            set folder (string replace -r '/[^/]*$' '' -- $folder)
        end
        echo $folder/
    end
end
function __lwt_column
    awk -F '\\t' -v n=$argv[1] '!/^#/ && NF > 2 { print $n }' \\
        (__lwt_root)/host.list 2>/dev/null | sort -u
end
function __lwt_hosts
    __lwt_column 1
    __lwt_column 2 | sed 's/^/@/'
end
function __lwt_list
    set -l before (string replace -r '[^,!&^]*$' '' -- (commandline -ct))
    printf '%s\\n' $before$argv
end
function __lwt_ids
    lwt -C (__lwt_root) task show 2>/dev/null | awk '$1 ~ /^[0-9]+$/ { print $1 "\\t" $2 " " $3 }'
end
function __lwt_descriptions
    command ls (__lwt_root)/description 2>/dev/null
end
function __lwt_at
    # __lwt_at N [WORD...]: are there N words that are no option, and are the first of them these?
    set -l words
    set -l skip 0
    set -l given (commandline -opc)
    set -e given[1]
    for word in $given
        if test $skip = 1
            set skip 0
        else if contains -- $word $__lwt_valued
            set skip 1
        else if test "$word" = --
            return 1
        else if not string match -q -- '-*' $word
            set -a words $word
        end
    end
    test (count $words) -ge $argv[1]; or return 1
    test $argv[1] = 0; and test (count $words) != 0; and return 1
    set -e argv[1]
    set -l rank 1
    for word in $argv
        test "$words[$rank]" = $word; or return 1
        set rank (math $rank + 1)
    end
end
'''


def fish():
    """Return the completion for fish."""
    valued = sorted(
        {name for command in ALL for flag in command.flags if flag.metavar for name in flag.names})
    lines = [HEAD % 'fish' + FISH + 'set -g __lwt_valued %s' % ' '.join(valued),
             'function __lwt_keys\n    printf \'%%s=\\n\' %s\nend' % ' '.join(KEYS),
             'complete -c lwt -f',
             "complete -c lwt -n 'contains -- -- (commandline -opc)' -F -a "
             "'(__fish_complete_command)'"]
    lines += [_fish_flag(flag, '') for flag in _common()]
    known = {name for flag in _common() for name in flag.names}
    for command in ALL:
        at = '__lwt_at 1 ' + command.name
        lines.append('complete -c lwt -n \'__lwt_at 0\' -a %s -d %s'
                     % (command.name, _fish_quote(command.summary)))
        lines += [_fish_flag(flag, at) for flag in command.flags if not known & set(flag.names)]
        if command.verbs:
            lines.append("complete -c lwt -n '%s; and not __lwt_at 2' -a %s"
                         % (at, _fish_quote(' '.join(command.verbs))))
        for verb in command.verbs:
            if verb in ID_VERBS or verb in WORDS:
                what = '(__lwt_ids)' if verb in ID_VERBS else '(__lwt_descriptions)'
                lines.append("complete -c lwt -n '__lwt_at 2 %s %s' -a '%s'"
                             % (command.name, verb, what))
        kind = WORDS.get(command.name)
        if kind:
            what = {'file': '-F', 'directory': "-a '(__fish_complete_directories)'",
                    'program': "-a '(__fish_complete_command)'"}
            lines.append("complete -c lwt -n '%s' %s" % (at, what[kind]))
    return '\n'.join(lines) + '\n'


ZSH = '''\
_lwt() {
  local word='' command='' verb='' root='' kind='' i
  local cur=$words[CURRENT] prev=$words[CURRENT-1]
  for ((i = 2; i < CURRENT; i++)); do
    word=$words[i]
    if [[ $word == -- ]]; then
      [[ $command == exec ]] && { shift i words; ((CURRENT -= i)); _normal } || _files
      return
    fi
    [[ $word == -C ]] && root=$words[i+1]
    if [[ " $__lwt_valued " == *" $word "* ]]; then ((i++)); continue; fi
    [[ $word == -* ]] && continue
    if [[ -z $command ]]; then command=$word; elif [[ -z $verb ]]; then verb=$word; fi
  done
  kind=$(__lwt_kind "$command" "$prev")
  if [[ -z $kind ]]; then
    [[ " $__lwt_valued " == *" $prev "* ]] && { _message value; return }
    if [[ $cur == -* ]]; then compadd -- $(__lwt_flags "$command"); return; fi
    kind=$(__lwt_words "$command" "$verb")
  fi
  case $kind in
    hosts) compset -P '*[,!&^]'; compadd -q -S '' -- $(__lwt_hosts "$root") ;;
    categories) compset -P '*,'; compadd -q -S '' -- $(__lwt_column "$root" 2) ;;
    ids) compadd -- $(__lwt_ids "$root") ;;
    description) compadd -- $(__lwt_descriptions "$root") ;;
    key) compadd -S = -- ${=__lwt_keys} ;;
    format) compadd text json ;;
    directory) _files -/ ;;
    file) _files ;;
    program) _command_names -e ;;
    *) compadd -- ${=kind} ;;
  esac
}
compdef _lwt lwt lwt.pyz
'''


def zsh():
    """Return the completion for zsh."""
    look = LOOK.replace('__lwt_root() {\n', '__lwt_root() {\n  emulate -L sh\n')
    return '#compdef lwt lwt.pyz\n' + HEAD % 'zsh' + look + tables() + ZSH + '_lwt "$@"\n'


MADE = {'man/lwt.1': manual, 'completions/lwt.bash': bash, 'completions/_lwt': zsh,
        'completions/lwt.fish': fish}


def main(argv):
    """Write the generated files, or report the differences; return an exit code."""
    code = 0
    for name, make in MADE.items():
        path = os.path.join(ROOT, *name.split('/'))
        if argv == ['--check']:
            with open(path, encoding='utf-8') as file:
                if file.read() != make():
                    print('%s is not what would be made; run: python3 -m tests.generate' % name)
                    code = 1
        else:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(make())
            print(name)
    return code


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
