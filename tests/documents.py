"""Documents as programs: the commands that a Markdown file shows, the output that it shows for
them, and what they need.

    a line "$ COMMAND" in a block of code      is run; the lines after it are its output on both
                                               streams
    a line that begins with the name of a      is run, and must exit with 0
      program, before the first "$ " line of
      the block or in a block without one
    a line with [-x], [NAME] or … among its    is a synopsis, and not run
      words, unless it begins with "$ "
    a block of Python                          is a part of one program, which is the whole document
    <!-- run: LINES -->                        is also run, but invisible: it makes what the
                                               reader is assumed to have
    <!-- not run: WHY -->                      before a block: it is not run

Numbers and the width of blanks are ignored when output is compared. "..." stands for any text, and
a line of it for any lines. /home/me is the home, and /home/me/sweep the initial directory.
"""

import re
import textwrap
from typing import NamedTuple

PROGRAMS = tuple(
    'lwt python3 make printf seq ls mkdir export cd find echo cp man . sort cat'.split())
SYNOPSIS = re.compile(r'\[-{1,2}[a-zA-Z]|\[[A-Z]{2,}|\[options\]|…|VERB')
PYTHON = re.compile(r'(import|from|def) ')


class Command(NamedTuple):
    """A command to run. printed: the lines that the document shows as its output, or None if it
    shows none. line: of the document.
    """

    text: str
    printed: tuple
    line: int
    hidden: bool = False


def blocks(text):
    """Yield (line, kind, lines) of each block of code, 'code', and of each comment for the runner,
    'run' and 'not run'.
    """
    lines = text.split('\n')
    at = 0
    while at < len(lines):
        comment = re.match(r'<!-- (run|not run):(.*)', lines[at])
        start = at
        if comment:
            while '-->' not in lines[at]:
                at += 1
            text = '\n'.join(lines[start:at + 1])[len('<!-- ' + comment.group(1)) + 1:]
            yield start + 1, comment.group(1), text.replace('-->', '').strip().split('\n')
        elif lines[at].startswith('```'):
            at += 1
            while not lines[at].startswith('```'):
                at += 1
            yield start + 2, 'code', lines[start + 1:at]
        elif lines[at].startswith('    ') and (at == 0 or not lines[at - 1].strip()):
            while at + 1 < len(lines) and (lines[at + 1].startswith('    ') or (
                    not lines[at + 1].strip() and at + 2 < len(lines)
                    and lines[at + 2].startswith('    '))):
                at += 1
            yield start + 1, 'code', textwrap.dedent('\n'.join(lines[start:at + 1])).split('\n')
        at += 1


def commands(text):
    """Return the Commands of a document, in order."""
    is_left_out = False
    for number, kind, lines in blocks(text):
        if kind == 'not run':
            is_left_out = True
            continue
        if kind == 'run':
            yield Command('\n'.join(lines), None, number, True)
        elif not is_left_out and not PYTHON.match(lines[0]):
            first = next((rank for rank, line in enumerate(lines) if line.startswith('$ ')),
                         len(lines))
            yield from _plain(number, lines[:first])
            yield from _shown(number + first, lines[first:])
        is_left_out = False


def _shown(number, lines):
    """Commands with the output that is shown for them."""
    text, printed, at = None, [], number
    for line in lines + ['$ ']:
        if text is not None and text.endswith('\\') and not printed:
            text += '\n' + line
        elif line.startswith('$ '):
            if text is not None:
                yield Command(text, tuple(printed) if any(printed) else None, at)
            text, printed, at = line[2:], [], number
        elif text is not None:
            printed.append(line)
        number += 1


def _plain(number, lines):
    """Commands without shown output, which must succeed."""
    for line in lines:
        first = re.match(r'[^ ]*', line).group()
        if first in PROGRAMS and not SYNOPSIS.search(line):
            yield Command(line, None, number)
        number += 1


def python(text):
    """Return the program that the Python blocks of a document form."""
    return '\n'.join('\n'.join(lines) for _number, kind, lines in blocks(text)
                     if kind == 'code' and PYTHON.match(lines[0]))


def script(found):
    """Return a script for bash that runs Commands, and reports for each when it begins and how it
    ends.
    """
    parts = []
    for rank, command in enumerate(found):
        parts.append("printf '\\n\\036begin %d\\n'\n%s\nprintf '\\n\\036end %%d\\n' $?\n"
                     % (rank, command.text))
    return ''.join(parts)


def outcomes(output):
    """Return {rank: (lines, code)} from the output of the script."""
    found = {}
    for match in re.finditer(r'\036begin (\d+)\n(.*?)\n\036end (\d+)\n', output, re.S):
        found[int(match.group(1))] = (match.group(2).split('\n'), int(match.group(3)))
    return found


def normal(line):
    """Return a line without the parts that differ from run to run."""
    line = re.sub(r'\d+ min \d+ s|\d+ h \d+ min|\d+(\.\d+)? (s|ms)\b', 'TIME', line)
    return re.sub(r'\s+', ' ', re.sub(r'\d+', '#', line)).strip()


def _pattern(line):
    return '.*'.join(map(re.escape, normal(line).split('...'))) + r'\n'


def is_as_shown(printed, lines):
    """Return whether the output is as the document shows it."""
    pattern = ''.join(r'(?:.*\n)*' if line.strip() == '...' else _pattern(line)
                      for line in printed if line.strip())
    found = [normal(line) for line in lines if line.strip()]
    # Two streams, in any order.
    return (re.fullmatch(pattern, ''.join(line + '\n' for line in found)) is not None
            or sorted(found) == sorted(normal(line) for line in printed if line.strip()))
