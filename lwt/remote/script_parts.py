"""Command lines that bring a script to a host without starting a process to decode it; and the
text of scripts as it is sent.  Pure.

    exec /bin/sh -c '<first part>' lwt '<part>'... '<argument>'...

Within single quotes, login shells (sh, csh, fish) give a meaning to the characters ' and !, to a
newline, and to a backslash before one of them or before a backslash.  csh leaves an exclamation
mark alone that stands before a blank.  So none of these may be in the words.  In a script, double
quotes replace the single ones.  The first part becomes one line.  In the other parts, which are
only decoded when they are needed, two letters stand for the newlines and the exclamation marks.
"""

import re
from typing import NamedTuple

# What precedes the first part.  lwt_decode TEXT sets $lwt_text.  It exchanges the letters by
# splitting the text into fields and joining them: %(bang)s for "!" and %(line)s for a newline.
# Every shell starts with a blank, a tab and a newline in IFS.
_BEGIN = (
    'set +aefuvxCm;unset lwt_text lwt_early lwt_later;lwt_early=$1 lwt_later=$2;shift 2;'
    'lwt_join() { IFS=$1;shift;lwt_text="$*"; };'
    'lwt_decode() { set -f;IFS=%(bang)s;lwt_join "${lwt_not%% }" $1;'
    'IFS=%(line)s;lwt_join "$lwt_newline" $lwt_text;unset IFS;set +f; };')
# The arguments, if they need an encoding: one word for printf.
_ENCODED_ARGUMENTS = 'eval "$(printf %b "$1")";'
_COMMAND = "exec /bin/sh -c '%s' lwt %s"
_LETTERS = 'JZQXVYKWHBGjqz'

# Characters that may have a meaning for a login shell, and where they have none.
_SPECIAL = re.compile(r"""[^ "-&(-\[\]-~]""")
_HARMLESS = re.compile(r"""!(?=[ =])|\\(?=[^\\!'])""")
_TOKEN = re.compile(r"""\\.|"(?:\\.|[^"\\])*"|'([^']*)'""", re.S)
# The end of a line after which no semicolon may stand; `x)` alone is a pattern of case.
_OPEN = re.compile(r'(?:^|[\s;])(?:then|do|else|in|\{|\()$|(?:&|\||;;)$|^[^()]*[^()\s]\)$')

# Variables with these names change what the shell and the tools of a guard do.
CHANGING = ('CDPATH', 'ENV', 'BASH_ENV', 'TMOUT', 'GLOBIGNORE', 'EXECIGNORE', 'LC_ALL',
            'POSIXLY_CORRECT', '_POSIX2_VERSION', 'GREP_OPTIONS')

# The end of a line of a script whose command continues on the next line.
_CONTINUED = re.compile(r'(?<![^ \n])(&&|\|\||\||then|else|do)\n')

# A function of a script: on one line, or ended by a brace at the beginning of a line.
FUNCTION = re.compile(r'(?m)^(\w+)\(\) \{(?: .*\}.*\n|\n(?:(?!\}).*\n)*\}.*\n)')

_COMMENT = re.compile(r'(?m)^[ ]*#.*\n|[ ]{2,}# .*$')

# Words that are the names of variables.
_NAMES = tuple(map(re.compile, (
    r'\$\{?#?([a-z]\w*)', r'\b([a-z]\w*)=', r'for ([a-z]\w*) in\b',
    r'read (?:-\w+ )*([a-z][\w ]*)')))


class Parts(NamedTuple):
    """A script in parts, without single quotes.

    first: always runs.  early, later: functions that it defines when it needs them.
    """

    first: str
    early: str
    later: str


def short(text, caller=''):
    """The text of a script without comments, indentation, empty lines and unused functions.

    Lines that continue a command are joined, because an encoded newline is longer than a blank.
    caller: a text that runs before it and may use its functions; without those that it defines
    itself.
    """
    text = _COMMENT.sub('', text)
    used = _reachable(text, caller) - set(_functions(caller))
    text = FUNCTION.sub(
        lambda function: function.group() if function.group(1) in used else '', text)
    text = re.sub(r'\n[ \n]+', '\n', text).replace('\\\n', '')
    return _CONTINUED.sub(r'\1 ', text)


def _functions(text):
    """{name: text} of the functions of a script; of one that is defined twice, both texts."""
    found = {}
    for function in FUNCTION.finditer(text):
        found[function.group(1)] = found.get(function.group(1), '') + function.group()
    return found


def _reachable(text, caller):
    """The names of the functions that a script, or its caller, may call."""
    functions = _functions(text)
    found, texts = set(), [FUNCTION.sub('', text), caller]
    while texts:
        new = functions.keys() & set(re.findall(r'\w+', texts.pop())) - found
        found |= new
        texts += [functions[name] for name in new]
    return found


def split(text, later, early_names):
    """The Parts of a script.  early_names: the functions of text that are its early part."""
    text = short(text)
    early = ''.join(function.group() for function in FUNCTION.finditer(text)
                    if function.group(1) in early_names)
    first = FUNCTION.sub(
        lambda function: '' if function.group(1) in early_names else function.group(), text)
    later, own = short(later, text), names(text)
    # The environment may have variables of the later part, but then it is not needed any more.
    later = 'unset %s\n%s' % (' '.join(sorted(names(later) - own)), later)
    # sh/environment.sh finds out by one expansion whether it has to set aside any variable.
    expansion = ''.join('${%s+x}' % name for name in CHANGING + tuple(sorted(own)))
    first = first.replace('${lwt_names-x}', expansion)
    return Parts(*map(without_single_quotes, (first, early, later)))


def joined(parts):
    """The Parts as one script, which defines what the first part decodes."""
    return ("lwt_decode() { lwt_text=$1; }\nlwt_early='%s'\nlwt_later='%s'\n%s"
            % (parts.early, parts.later, parts.first))


def names(text):
    """The names of a script's own variables, as a set: those that begin with a lowercase letter,
    except lwt_...
    """
    words = ' '.join(word for pattern in _NAMES for word in pattern.findall(text)).split()
    return {word for word in words if 'a' <= word[0] <= 'z' and not word.startswith('lwt_')}


def without_single_quotes(text):
    """The script with double quotes in place of single ones, as far as that changes nothing."""
    def replaced(match):
        quoted = match.group(1)
        if quoted is None or re.search(r'\\[$`"\\\n]|\\$', quoted):
            return match.group()
        return '"%s"' % re.sub(r'([$`"])', r'\\\1', quoted)
    return _TOKEN.sub(replaced, text)


def one_line(script):
    """The script with semicolons or blanks in place of newlines."""
    lines = script.rstrip('\n').split('\n')
    ends = [' ' if _OPEN.search(line) or after.startswith(';;')
            else ' ;' if line.endswith('!') else ';'
            for line, after in zip(lines, lines[1:] + [''])]
    return ''.join(map(str.__add__, lines, ends))


def _is_safe(word):
    """Whether no login shell gives a meaning to a word within single quotes."""
    return all(_HARMLESS.match(word, special.start()) for special in _SPECIAL.finditer(word))


def command_line(parts, arguments, is_encoded=False):
    """The command line for Parts; None if it cannot have this form.

    arguments: the words of the script; with is_encoded, one word for printf %b, whose output is
    commands that set the arguments.
    """
    more = parts.early.rstrip('\n'), parts.later.rstrip('\n')
    letters = [letter for letter in _LETTERS if letter not in more[0] + more[1]][:2]
    if len(letters) < 2:
        return None
    begin = _BEGIN % dict(zip(('line', 'bang'), letters))
    first = begin + (_ENCODED_ARGUMENTS if is_encoded else '') + one_line(parts.first)
    words = [part.translate(str.maketrans('\n!', ''.join(letters))) for part in more]
    words += arguments
    if not all(map(_is_safe, [first] + words)):
        return None
    return _COMMAND % (first, ' '.join(map("'%s'".__mod__, words)))
