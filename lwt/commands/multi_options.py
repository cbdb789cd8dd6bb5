"""The options of lwt multi: the parser, the MultiArguments that it returns, the values of options.
"""

import os
import re
from typing import NamedTuple, Optional

from lwt import procfs
from lwt.commands.options import Parser
from lwt.multi import executor, template
from lwt.workspace import config, files

# Factors of the units of sizes.
SIZES = {'': 1, 'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30, 't': 1 << 40}

EXAMPLES = '''examples:
  lwt multi -j 4 < commands.txt
  lwt multi -j 8 -u 60 gzip -9 ::: *.log                 a command for each argument
  lwt multi -k 'convert {} {.}.png' :::: list.txt        arguments from the lines of a file
  lwt multi echo {1} {2} ::: a b ::: 1 2 3               all combinations
  lwt multi echo {1} {2} ::: a b :::+ 1 2                pairs
  lwt multi --joblog log --resume-failed < commands.txt  run what failed or is new
  find . -name '*.c' | lwt multi --halt now,fail=1 cc -c {}

in TEMPLATE:
  {} {.} {..} {...}         the argument; without one, two or three extensions
  {/} {/.} {/..} {/...}     its base name; the same without extensions
  {//} {+/}                 its directory; "." or nothing if it has none
  {+.} {+..} {+...}         its extensions
  {2} {2.} {-1} {-1/}       of the second source, of the last source
  {#} {##} {0#}             number of the job; of all jobs; with leading zeros
  {%} {0%}                  number of its slot; with leading zeros

No quotes around placeholders: each argument is quoted for the shell.  Options come before TEMPLATE,
or after a TEMPLATE that is one quoted word.'''


class MultiArguments(NamedTuple):
    """The command line of lwt multi, except the options of the table in workspace/config.py.

    words: the words of the template.
    sources: the arguments after it, as template.split_sources returns them.
    Every other field has the name of its option.  The values of jobs to nice are texts, as typed.
    """

    words: list
    sources: list
    jobs: str
    timeout: Optional[str]
    retries: str
    halt: str
    delay: str
    load: str
    memfree: str
    nice: str
    null: bool
    dos: bool
    plus: bool
    dry_run: bool
    keep_order: bool
    tag: bool
    line_buffer: bool
    progress: bool
    joblog: Optional[str]
    resume: bool
    resume_failed: bool
    results: Optional[str]


def make_parser(name):
    """Return the parser of the command."""
    parser = Parser(name,
                    'lwt multi [options] [TEMPLATE [::: ARG…]]  < command lines, or arguments for '
                    'TEMPLATE',
                    'Run command lines in parallel on this machine.  Their standard input is '
                    'empty.  The output of each\nis printed when it is done and never mixed.',
                    EXAMPLES)
    _add_limits(parser)
    _add_input_options(parser)
    _add_output_options(parser)
    _add_records(parser)
    return parser


def _add_limits(parser):
    parser.add_argument('-j', '-P', '--jobs', metavar='N', default='100%',
                        help='number of parallel jobs: N; +N or -N: relative to the number of '
                             'cores; N%%: of the cores; 0: as many as possible')
    parser.add_argument('-u', '--timeout', metavar='SEC',
                        help='timeout per job in seconds, or N%% of the median run time of '
                             'successful jobs')
    parser.add_options('grace')
    parser.add_argument('--retries', metavar='N', default='0',
                        help='retry failed jobs up to N times, with back-off')
    parser.add_argument('--halt', metavar='WHEN', default='never',
                        help='now|soon,fail|success|done=N|N%%: stop early and kill running jobs '
                             '(now) or let them finish (soon)')
    parser.add_argument('--delay', metavar='SEC', default='0', help='seconds between two starts')
    parser.add_argument('--load', metavar='N', default='0',
                        help='start no job while the load is N, or N%% of the cores, or more')
    parser.add_argument('--memfree', metavar='SIZE', default='0',
                        help='start no job while less memory is free (k, M, G)')
    parser.add_argument('--nice', metavar='N', default='0', help='run jobs at niceness N')


def _add_input_options(parser):
    parser.add_argument('-0', '--null', action='store_true',
                        help='input is separated by NUL bytes instead of newlines')
    parser.add_argument('--dos', action='store_true',
                        help='remove a carriage return at the end of an input line')
    parser.add_argument('--plus', action='store_true',
                        help="treat GNU parallel's unusual replacement strings as errors instead "
                             "of text")
    parser.add_argument('--dry-run', action='store_true', help='print the commands and run nothing')


def _add_output_options(parser):
    shown = parser.add_argument_group('output')
    shown.add_argument('-k', '--keep-order', action='store_true',
                       help='print output in the order of the input')
    shown.add_argument('--tag', action='store_true',
                       help='prefix each line with the argument (or command) and a tab')
    shown.add_argument('--line-buffer', '--lb', action='store_true',
                       help='print whole lines as they arrive')
    shown.add_argument('--progress', '--bar', '--eta', action='store_true',
                       help='show a progress bar, and a summary at the end (SIGUSR1 lists '
                            'running jobs)')


def _add_records(parser):
    kept = parser.add_argument_group('records')
    kept.add_argument('--joblog', metavar='FILE',
                      help="write a row per job in GNU parallel's format; +FILE appends")
    resumed = kept.add_mutually_exclusive_group()
    resumed.add_argument('--resume', action='store_true', help='skip jobs that are in the job log')
    resumed.add_argument('--resume-failed', action='store_true',
                         help='skip jobs that the job log records as successful')
    kept.add_argument('--results', metavar='DIR', type=files.user_path,
                      help='write DIR/N/stdout, stderr and meta (JSON) for each job')


def parse(parser, argv):
    """Read the command line; returns (parsed, MultiArguments).  Raises UsageError."""
    head, sources = template.split_sources(argv)
    before, literal, after = head, [], []
    if '--' in head:
        at = head.index('--')
        before, literal = head[:at], head[at + 1:]
    leading, rest = parser.leading(before)
    if rest and ' ' in rest[0] and not literal:         # a template in one word: options may follow
        literal, after = rest[:1], rest[1:]
    else:
        literal = rest + literal
    parsed, words = parser.parse(leading + after)
    values = {name: value for name, value in vars(parsed).items() if name in MultiArguments._fields}
    return parsed, MultiArguments(literal + words, sources, **values)


# -- values ----------------------------------------------------------------------------------------


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def jobs(text):
    """Return the number of jobs for the value of -j: N, +N, -N, N% or 0."""
    if text[:1] in ('+', '-'):
        return max(1, _cores() + (1 if text[0] == '+' else -1) * config.count(text[1:]))
    if text.endswith('%'):
        return max(1, int(of_cores(text)))
    return config.count(text) or procfs.most_at_once()


def of_cores(text):
    """Return a number, or a percentage of the number of cores as a number."""
    if not re.fullmatch(r'[0-9]{1,9}(\.[0-9]{1,6})?%?', text):
        raise ValueError('expected a number, or a percentage of the cores')
    return float(text[:-1]) * _cores() / 100 if text.endswith('%') else float(text)


def nice(text):
    """Return the niceness for the value of --nice."""
    if not re.fullmatch(r'-?[0-9]{1,2}', text) or not -20 <= int(text) <= 19:
        raise ValueError('expected a whole number from -20 to 19')
    return int(text)


def size(text):
    """Return a size such as 500M in bytes."""
    found = re.fullmatch(r'([0-9]+(?:\.[0-9]+)?)([kmgt]?)', text.lower())
    if not found:
        raise ValueError('expected a size such as 500M')
    return int(float(found.group(1)) * SIZES[found.group(2)])


def halt(text):
    """Return the executor.Halt of --halt."""
    if text in ('never', '0'):
        return executor.Halt()
    found = re.fullmatch(r'(now|soon),(fail|success|done)=([0-9]+(?:\.[0-9]+)?)(%?)', text)
    if not found or not float(found.group(3)):
        raise ValueError('expected never, or now|soon,fail|success|done=N or N%')
    return executor.Halt(found.group(1), found.group(2), float(found.group(3)),
                         bool(found.group(4)))
