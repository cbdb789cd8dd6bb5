"""The options of lwt multi: the parser, the MultiArguments that it returns, the values of options.
"""

import argparse
import os
import re
from typing import NamedTuple, Optional

from lwt import procfs
from lwt.commands import multi_hosts, parallel_names
from lwt.commands.options import Parser
from lwt.errors import UsageError
from lwt.multi import executor, job_hosts
from lwt.multi.sources import Source, split_sources
from lwt.workspace import config, files

# Factors of the units of sizes, as in GNU parallel.
SIZES = {'': 1, 'k': 10 ** 3, 'm': 10 ** 6, 'g': 10 ** 9, 't': 10 ** 12,
         'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40}
ESCAPES = {'n': '\n', 't': '\t', 'r': '\r', '0': '\0', 'a': '\a', 'f': '\f', 'v': '\v', '\\': '\\'}

# Options of GNU parallel that give a placeholder another name, and that placeholder.
STRINGS = (('-I', '', '{}'), ('--extensionreplace', '--er', '{.}'),
           ('--basenamereplace', '--bnr', '{/}'), ('--dirnamereplace', '--dnr', '{//}'),
           ('--basenameextensionreplace', '--bner', '{/.}'), ('--seqreplace', '', '{#}'),
           ('--slotreplace', '', '{%}'))

EXAMPLES = '''examples:
  lwt multi -j 4 < commands.txt
  lwt multi -j 8 -u 60 gzip -9 ::: *.log                 a command for each argument
  lwt multi -k 'convert {} {.}.png' :::: list.txt        arguments from the lines of a file
  lwt multi echo {1} {2} ::: a b ::: 1 2 3               all combinations
  lwt multi echo {1} {2} ::: a b :::+ 1 2                pairs
  lwt multi --joblog log --resume-failed < commands.txt  run what failed or is new
  find . -name '*.c' | lwt multi --halt now,fail=1 cc -c {}
  find . -name '*.c' | lwt multi -X wc -l                as many arguments as fit
  lwt multi --colsep , 'mv {1} {2}' :::: list.csv        columns of a file
  lwt multi --pipe --block 10M 'grep x' < big.txt        blocks of lines for standard input
  ls *.wav | lwt multi -w 'h[1-20]' --trc {.}.flac 'flac -8 {} -o {.}.flac'
  lwt multi -S 4/h1,8/h2,: --bf model.bin './score model.bin {}' ::: *.json

in TEMPLATE:
  {} {.} {..} {...}         the argument; without one, two or three extensions
  {/} {/.} {/..} {/...}     its base name; the same without extensions
  {//} {+/}                 its directory; "." or nothing if it has none
  {+.} {+..} {+...}         its extensions
  {2} {2.} {-1} {-1/}       of the second argument, of the last argument
  {NAME} {NAME.}            of the column or source with this name (--header :)
  {#} {##} {0#}             number of the job; of all jobs; with leading zeros
  {%} {0%}                  number of its slot; with leading zeros

No quotes around placeholders: each argument is quoted for the shell.  Options come before TEMPLATE,
or after a TEMPLATE that is one quoted word.'''


class MultiArguments(NamedTuple):
    """The command line of lwt multi, except the options of the table in workspace/config.py.

    words: the words of the template.
    sources: the arguments after it, as sources.split_sources returns them.
    strings: {string: the placeholder that it stands for}.
    fill_line: -X.  fill_words: -m.  Every other field has the name of its option, and its value as
    typed.
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
    delimiter: Optional[str]
    dos: bool
    arg_file: list
    eof: Optional[str]
    no_run_if_empty: bool
    colsep: Optional[str]
    header: Optional[str]
    trim: Optional[str]
    link: bool
    shuf: bool
    max_args: Optional[str]
    max_replace_args: Optional[str]
    max_lines: Optional[str]
    fill_line: bool
    fill_words: bool
    xargs: bool
    max_chars: Optional[str]
    strings: dict
    quote: bool
    plus: bool
    dry_run: bool
    pipe: bool
    pipepart: bool
    block: str
    recstart: Optional[str]
    recend: Optional[str]
    regexp: bool
    remove_rec_sep: bool
    round_robin: bool
    keep_order: bool
    tag: bool
    tagstring: Optional[str]
    line_buffer: bool
    ungroup: bool
    progress: bool
    joblog: Optional[str]
    resume: bool
    resume_failed: bool
    results: Optional[str]
    on_hosts: multi_hosts.HostArguments


def make_parser(name):
    """Return the parser of the command."""
    parser = Parser(name,
                    'lwt multi [options] [TEMPLATE [::: ARG…]]  < command lines, or arguments for '
                    'TEMPLATE',
                    'Run command lines in parallel, on this machine or on hosts.  Their standard '
                    'input is empty.  The\noutput of each is printed when it is done and never '
                    'mixed.',
                    EXAMPLES)
    _add_limits(parser)
    _add_input_options(parser)
    _add_template_options(parser)
    _add_pipe_options(parser)
    _add_output_options(parser)
    _add_records(parser)
    multi_hosts.add_options(parser)
    parallel_names.add_names(parser)
    return parser


def _add_limits(parser):
    parser.add_argument('-j', '-P', '--jobs', '--max-procs', metavar='N', default='100%',
                        help='number of parallel jobs, on hosts for each of them: N; +N or -N: '
                             'relative to the number of cores; N%%: of the cores; 0: as many as '
                             'possible')
    parser.add_argument('-u', '--timeout', metavar='SEC',
                        help='timeout per job in seconds, or N%% of the median run time of '
                             'successful jobs')
    parser.add_options('grace')
    parser.add_argument('--retries', metavar='N', default='0',
                        help='retry failed jobs up to N times, with back-off')
    parser.add_argument('--halt', '--halt-on-error', metavar='WHEN', default='never',
                        help='now|soon,fail|success|done=N|N%%: stop early and kill running jobs '
                             '(now) or let them finish (soon)')
    parser.add_argument('--delay', metavar='SEC', default='0', help='seconds between two starts')
    parser.add_argument('--load', metavar='N', default='0',
                        help='start no job while the load is N, or N%% of the cores, or more')
    parser.add_argument('--memfree', metavar='SIZE', default='0',
                        help='start no job while less memory is free (k, M, G)')
    parser.add_argument('--nice', metavar='N', default='0', help='run jobs at niceness N')


def _add_input_options(parser):
    group = parser.add_argument_group('input')
    group.add_argument('-a', '--arg-file', metavar='FILE', action='append', default=[],
                       help='read arguments from FILE, "-" for standard input; several files are '
                            'several sources')
    group.add_argument('-0', '--null', action='store_true',
                       help='input is separated by NUL bytes instead of newlines')
    group.add_argument('-d', '--delimiter', metavar='CHAR',
                       help='input is separated by CHAR (\\n, \\t, \\0, \\x2c)')
    group.add_argument('--dos', action='store_true',
                       help='remove a carriage return at the end of an input line')
    group.add_argument('-E', '--eof', metavar='STR', help='stop reading a source at the value STR')
    group.add_argument('-r', '--no-run-if-empty', action='store_true',
                       help='ignore blank input lines')
    group.add_argument('--colsep', metavar='REGEXP',
                       help='split lines into columns: {1}, {2}, …; removes space around them')
    group.add_argument('--header', metavar=':',
                       help='the first value of each source, or of each column, is its name: '
                            '{NAME}; with --pipe a number of lines or a regular expression: '
                            'repeat them for each job')
    group.add_argument('--trim', metavar='n|l|r|lr', choices=('n', 'l', 'r', 'lr', 'rl'),
                       help='remove white space at the left or right of arguments')
    group.add_argument('--link', '--xapply', action='store_true',
                       help='pair the sources; values of shorter ones are repeated')
    group.add_argument('--shuf', action='store_true', help='run the jobs in random order')


def _add_template_options(parser):
    group = parser.add_argument_group('commands')
    group.add_argument('-n', '--max-args', metavar='N', help='N arguments for each job')
    group.add_argument('-N', '--max-replace-args', metavar='N',
                       help='the same; repeats the word around {}; 0: a job for each argument, '
                            'without it')
    group.add_argument('-L', '--max-lines', metavar='N',
                       help='N lines for each job, blank ones ignored; with --pipe, records of N '
                            'lines')
    group.add_argument('-X', dest='fill_line', action='store_true',
                       help='as many arguments as fit on a command line, shared among the slots '
                            'at the end; repeats the word around {}')
    group.add_argument('-m', dest='fill_words', action='store_true',
                       help='the same without repeating')
    group.add_argument('--xargs', action='store_true', help='the same as -m without sharing')
    group.add_argument('-s', '--max-chars', metavar='N',
                       help='maximum bytes of a command line with several arguments (default '
                            '131071)')
    for flag, alias, place in STRINGS:
        group.add_argument(*filter(None, (flag, alias)), dest='strings', metavar='STR', default={},
                           action=_StringFor, place=place)
    group.add_argument('--quote', action='store_true',
                       help='quote the words of TEMPLATE, so that the shell changes nothing in '
                            'them')
    group.add_argument('--plus', action='store_true',
                       help='more placeholders: {%%.gz} {#dir/} {/old/new} {:2} {:2:3} {:-default} '
                            '{^a} {^^a} {,A} {,,A}; unknown ones are errors instead of text')
    group.add_argument('--dry-run', '--dryrun', action='store_true',
                       help='print the commands and run nothing')


class _StringFor(argparse.Action):
    """Notes that a string stands for a placeholder."""

    def __init__(self, option_strings, dest, place='', **options):
        super().__init__(option_strings, dest, help='write STR in place of ' + place.replace(
            '%', '%%'), **options)
        self._place = place

    def __call__(self, parser, namespace, values, option_string=None):
        if not values:
            raise UsageError('%s: empty string' % option_string)
        namespace.strings = dict(namespace.strings, **{values: self._place})


def _add_pipe_options(parser):
    group = parser.add_argument_group('standard input of jobs')
    group.add_argument('--pipe', '--spreadstdin', action='store_true',
                       help='cut standard input into blocks of whole records, one for each job')
    group.add_argument('--pipepart', '--pipe-part', action='store_true',
                       help='the same for a file (-a FILE), without reading it')
    group.add_argument('--block', '--block-size', metavar='SIZE', default='1M',
                       help='size of a block (K, M, G; default 1M); with --pipepart -N: N blocks '
                            'for each slot')
    group.add_argument('--recend', metavar='STR', help='text that ends a record (default \\n)')
    group.add_argument('--recstart', metavar='STR', help='text that begins a record')
    group.add_argument('--regexp', action='store_true',
                       help='--recend and --recstart are regular expressions')
    group.add_argument('--remove-rec-sep', '--removerecsep', '--rrs', action='store_true',
                       help='leave out the texts of --recend and --recstart')
    group.add_argument('--round-robin', '--roundrobin', '--round', action='store_true',
                       help='start one job for each slot; they share the blocks')


def _add_output_options(parser):
    shown = parser.add_argument_group('output')
    shown.add_argument('-k', '--keep-order', action='store_true',
                       help='print output in the order of the input')
    shown.add_argument('--tag', action='store_true',
                       help='prefix each line with the argument (or command) and a tab')
    shown.add_argument('--tagstring', metavar='STR',
                       help='prefix each line with STR, in which placeholders are replaced, and a '
                            'tab')
    shown.add_argument('--line-buffer', '--linebuffer', '--lb', action='store_true',
                       help='print whole lines as they arrive')
    shown.add_argument('--ungroup', action='store_true',
                       help='print bytes as they arrive; lines of several jobs may be mixed')
    shown.add_argument('--progress', '--bar', '--eta', action='store_true',
                       help='show a progress bar, and a summary at the end (SIGUSR1 lists '
                            'running jobs)')


def _add_records(parser):
    kept = parser.add_argument_group('records')
    kept.add_argument('--joblog', '--jl', metavar='FILE',
                      help="write a row per job in GNU parallel's format; +FILE appends")
    resumed = kept.add_mutually_exclusive_group()
    resumed.add_argument('--resume', action='store_true', help='skip jobs that are in the job log')
    resumed.add_argument('--resume-failed', action='store_true',
                         help='skip jobs that the job log records as successful')
    kept.add_argument('--results', '--res', metavar='DIR', type=files.user_path,
                      help='write DIR/N/stdout, stderr and meta (JSON) for each job')


def parse(parser, argv):
    """Read the command line; returns (parsed, MultiArguments).  Raises UsageError."""
    head, sources = split_sources(argv)
    before, literal, after = head, [], []
    if '--' in head:
        at = head.index('--')
        before, literal = head[:at], head[at + 1:]
    before = multi_hosts.with_all_hosts(before)
    leading, rest = parser.leading(before)
    if rest and ' ' in rest[0] and not literal:         # a template in one word: options may follow
        literal, after = rest[:1], rest[1:]
    else:
        literal = rest + literal
    parsed, words = parser.parse(leading + after)
    values = {name: value for name, value in vars(parsed).items() if name in MultiArguments._fields}
    sources = [Source(path=path) for path in parsed.arg_file] + sources
    return parsed, MultiArguments(literal + words, sources, on_hosts=multi_hosts.arguments(parsed),
                                  **values)


# -- values ----------------------------------------------------------------------------------------


def jobs(text, cores=0):
    """Return the number of jobs for the value of -j: N, +N, -N, N% or 0.

    cores: the number of processors of a host; 0: of this machine.
    """
    cores = cores or job_hosts.processors()
    if text[:1] in ('+', '-'):
        return max(1, cores + (1 if text[0] == '+' else -1) * config.count(text[1:]))
    if text.endswith('%'):
        return max(1, int(of_cores(text, cores)))
    return config.count(text) or procfs.most_at_once()


def of_cores(text, cores=0):
    """Return a number, or a percentage of the number of cores as a number."""
    if not re.fullmatch(r'[0-9]{1,9}(\.[0-9]{1,6})?%?', text):
        raise ValueError('expected a number, or a percentage of the cores')
    if text.endswith('%'):
        return float(text[:-1]) * (cores or job_hosts.processors()) / 100
    return float(text)


def nice(text):
    """Return the niceness for the value of --nice."""
    if not re.fullmatch(r'-?[0-9]{1,2}', text) or not -20 <= int(text) <= 19:
        raise ValueError('expected a whole number from -20 to 19')
    return int(text)


def size(text):
    """Return a size such as 500M in bytes."""
    found = re.fullmatch(r'([0-9]+(?:\.[0-9]+)?)([kmgtKMGT]?)', text)
    if not found:
        raise ValueError('expected a size such as 500M')
    return int(float(found.group(1)) * SIZES[found.group(2)])


def block_size(text):
    """Return the bytes of a block; a negative number is so many blocks for each slot."""
    if re.fullmatch(r'-[0-9]{1,6}', text) and int(text):
        return int(text)
    if not size(text):
        raise ValueError('expected a size such as 10M')
    return size(text)


def unescaped(text):
    """Return text with C escapes, such as \\n or \\x2c, as bytes."""
    def one(match):
        if match.group(1):
            return bytes([int(match.group(1), 16)])
        return ESCAPES.get(match.group(2).decode(), match.group().decode()).encode()

    return re.sub(rb'\\(?:x([0-9a-fA-F]{2})|(.))', one, os.fsencode(text))


def delimiter(text):
    """Return the byte that separates arguments for the value of -d."""
    found = unescaped(text)
    if len(found) != 1:
        raise ValueError('expected one character')
    return found


def pattern(text):
    """Return a compiled regular expression for bytes."""
    try:
        return re.compile(os.fsencode(text))
    except re.error as error:
        raise ValueError('not a regular expression (%s)' % error)


# The numbers that --halt also takes, as in GNU parallel.
HALT_NUMBERS = {'1': 'soon,fail=1', '2': 'now,fail=1', '-1': 'soon,success=1',
                '-2': 'now,success=1'}


def halt(text):
    """Return the executor.Halt of --halt."""
    if text in ('never', '0'):
        return executor.Halt()
    text = HALT_NUMBERS.get(text, 'soon,fail=' + text if text.endswith('%') and
                            text[:1].isdigit() else text)
    found = re.fullmatch(r'(now|soon),(fail|success|done)=([0-9]+(?:\.[0-9]+)?)(%?)', text)
    if not found or not float(found.group(3)):
        raise ValueError('expected never, or now|soon,fail|success|done=N or N%')
    return executor.Halt(found.group(1), found.group(2), float(found.group(3)),
                         bool(found.group(4)))
