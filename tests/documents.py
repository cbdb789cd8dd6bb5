"""Documents as programs: the commands that a Markdown file shows, what it says they print, and what
it needs for that.

    a line "$ COMMAND" in a block of code      is run; the lines after it are what it prints, on
    both streams
    before the first of these in its block,    is run, and must exit with 0
      or where there is none, a line that
      begins with the name of a program
    a line with [-x], [NAME] or … among its    is a synopsis, and not run
      words, as long as it has no "$ "
    a block of Python                          is a part of one program, which is the whole document
    <!-- run: LINES -->                        is run as well, and not seen: it makes what the
                                               reader is taken to have
    <!-- not run: WHY -->                      before a block: it is not run

What is printed is compared without regard to numbers and the width of blanks; "..." stands for any
text, and a line of it for any lines.  /home/me is the home, /home/me/sweep the directory in which
all begins.
"""

import re
import textwrap
from typing import NamedTuple

PROGRAMS = tuple(
    'lwt python3 make printf seq ls mkdir export cd find echo cp man . sort cat'.split())
SYNOPSIS = re.compile(r'\[-{1,2}[a-zA-Z]|\[[A-Z]{2,}|\[options\]|…|VERB')
PYTHON = re.compile(r'(import|from|def) ')


class Command(NamedTuple):
    """Something to run.  printed: the lines it is said to print, or None where nothing is said.
    line: of the document.
    """

    text: str
    printed: tuple
    line: int
    hidden: bool = False


def blocks(text):
    """(line, kind, lines) of each block of code, 'code', and each comment for the runner, 'run' and
    'not run'.
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
    """The Commands of a document, in order."""
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
    """Commands with what they print."""
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
    """Commands of which nothing is said, but that they work."""
    for line in lines:
        first = re.match(r'[^ ]*', line).group()
        if first in PROGRAMS and not SYNOPSIS.search(line):
            yield Command(line, None, number)
        number += 1


def python(text):
    """The program that the blocks of Python of a document make."""
    return '\n'.join('\n'.join(lines) for _number, kind, lines in blocks(text)
                     if kind == 'code' and PYTHON.match(lines[0]))


def script(found):
    """The text for bash that runs Commands, and tells of each when it begins and how it ends."""
    parts = []
    for rank, command in enumerate(found):
        parts.append("printf '\\n\\036begin %d\\n'\n%s\nprintf '\\n\\036end %%d\\n' $?\n"
                     % (rank, command.text))
    return ''.join(parts)


def outcomes(output):
    """{rank: (lines, code)} of what the script printed."""
    found = {}
    for match in re.finditer(r'\036begin (\d+)\n(.*?)\n\036end (\d+)\n', output, re.S):
        found[int(match.group(1))] = (match.group(2).split('\n'), int(match.group(3)))
    return found


def normal(line):
    """A line without what differs from run to run."""
    line = re.sub(r'\d+ min \d+ s|\d+ h \d+ min|\d+(\.\d+)? (s|ms)\b', 'TIME', line)
    return re.sub(r'\s+', ' ', re.sub(r'\d+', '#', line)).strip()


def _pattern(line):
    return '.*'.join(map(re.escape, normal(line).split('...'))) + r'\n'


def is_as_shown(printed, lines):
    """Is this what was to be printed?"""
    pattern = ''.join(r'(?:.*\n)*' if line.strip() == '...' else _pattern(line)
                      for line in printed if line.strip())
    found = [normal(line) for line in lines if line.strip()]
    # Two streams, in any order.
    return (re.fullmatch(pattern, ''.join(line + '\n' for line in found)) is not None
            or sorted(found) == sorted(normal(line) for line in printed if line.strip()))
