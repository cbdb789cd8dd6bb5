"""What lwt multi makes of its options about input: the template, the sources, and how they are
read.
"""

import os
import re
from typing import NamedTuple, Optional, Union

from lwt.commands import multi_options
from lwt.commands.options import read_value
from lwt.errors import UsageError
from lwt.multi import blocks, inputs
from lwt.multi.packing import Packing
from lwt.multi.records import RecordMarks
from lwt.multi.template import HOST, Spelling, Template, quoted_words
from lwt.workspace import config

LONGEST_HEADER = 1 << 16        # bytes in which a header is searched

# Options that give jobs arguments, and so have no meaning with --pipe.
_FOR_ARGUMENTS = ('delimiter', 'null', 'dos', 'eof', 'colsep', 'trim', 'link', 'shuf', 'max_args',
                  'fill_line', 'fill_words', 'xargs', 'max_chars')
# Options that have no meaning without --pipe or --pipepart.
_FOR_BLOCKS = ('recstart', 'recend', 'regexp', 'remove_rec_sep', 'round_robin')


class InputPlan(NamedTuple):
    """Where jobs come from.

    template: None if the input is command lines.
    count, spelling: number of arguments of a job, and how placeholders are written; see Template.
    """

    template: Optional[Template]
    style: Union[inputs.Style, blocks.BlockStyle]
    sources: list
    count: Optional[int] = None
    spelling: Spelling = Spelling()

    @property
    def has_combinations(self):
        """Whether several jobs may have the same argument."""
        return len(self.sources) > 1

    def make_source(self, run):
        """Return the inputs.Input, or the blocks, of a run."""
        style, sources = self.style, self.sources
        if isinstance(style, inputs.Style):
            return inputs.Input(run, style, self.template, sources)
        if style.is_file:
            return blocks.FileBlocks(run, style, self.template, sources[0])
        fd = sources[0].opened(run.at_exit).fd if sources else 0
        return blocks.PipeBlocks(run, style, self.template, fd)


def plan_input(arguments, options, at_exit):
    """Return the InputPlan.  Raises UsageError.

    arguments: a multi_options.MultiArguments.  options: the executor.ExecutorOptions.
    at_exit: gets functions that close files.
    """
    if arguments.pipe or arguments.pipepart:
        return _blocks_plan(arguments, options)
    _refuse(arguments, _FOR_BLOCKS, 'needs --pipe or --pipepart')
    packing, is_repeated = _packing(arguments)
    if not arguments.words and (packing != Packing() or arguments.colsep or arguments.header):
        raise UsageError('lwt multi: several arguments, columns and headers need a TEMPLATE')
    separator = b'\0' if arguments.null else b'\n'
    if arguments.delimiter is not None:
        separator = read_value('-d', arguments.delimiter, multi_options.delimiter)
    columns, names, sources = None, (), arguments.sources
    if arguments.colsep is not None:
        columns = read_value('--colsep', arguments.colsep, multi_options.pattern)
    if arguments.header is not None:
        columns, names, sources = _headers(arguments, columns, separator, at_exit)
    count = max(1, len(sources)) if columns is None else None
    if not packing.most and packing.length:
        count = None
    elif count is not None:
        count *= packing.most if packing.is_inserted else 0
    spelling = Spelling(arguments.plus, names, _strings(arguments), is_repeated)
    template = _template(arguments, count, spelling) if arguments.words else None
    label = _label(arguments, count or None, spelling._replace(is_repeated=False))
    if label is not None and template is None:
        raise UsageError('--tagstring needs a TEMPLATE', 'use --tag to print the commands')
    trim = arguments.trim or ('lr' if arguments.colsep is not None else '')
    return InputPlan(template, inputs.Style(
        separator, arguments.dos, options.jobs, _needs_total(options, template, label),
        arguments.tag, label, columns, {'n': '', 'rl': 'lr'}.get(trim, trim),
        None if arguments.eof is None else os.fsencode(arguments.eof),
        arguments.no_run_if_empty or arguments.max_lines is not None, arguments.shuf,
        arguments.link, packing), sources, count, spelling._replace(is_repeated=False))


def _packing(arguments):
    """Return (the Packing, whether words around placeholders are repeated)."""
    most, is_repeated = 1, False
    for flag, text in (('-n', arguments.max_args), ('-N', arguments.max_replace_args),
                       ('-L', arguments.max_lines)):
        if text is not None:
            most = read_value(flag, text, config.count)
            is_repeated = flag != '-n'
            if not most and flag != '-N':
                raise UsageError('%s 0: a job needs an argument' % flag,
                                 'use -N 0 for jobs without arguments')
            if not most:
                return Packing(is_inserted=False), False
    is_given = (arguments.max_args, arguments.max_replace_args, arguments.max_lines) != (None,) * 3
    fills = arguments.fill_line or arguments.fill_words or arguments.xargs
    if not fills and arguments.max_chars is None:
        return Packing(most), is_repeated
    length = inputs.MAX_LINE
    if arguments.max_chars is not None:
        length = min(length, read_value('-s', arguments.max_chars, multi_options.size))
    is_spread = not arguments.xargs and bool(fills)
    return (Packing(most if is_given else 0, length, is_spread),
            not arguments.fill_words and not arguments.xargs)


def _headers(arguments, columns, separator, at_exit):
    """Return (columns, the names of all arguments, sources without their headers)."""
    if arguments.header not in (':', '1', '.*\\n'):
        raise UsageError('--header %s: expected --header :' % arguments.header,
                         'other headers are for --pipe')
    names, sources = [], []
    for source in arguments.sources or [inputs.Source(path='-')]:
        name, source = source.opened(at_exit).without_first(separator)
        if arguments.dos and name.endswith(b'\r'):
            name = name[:-1]
        names.append(name)
        sources.append(source)
    if columns is None and any(b'\t' in name for name in names):
        columns = re.compile(b'\t')
    if columns is not None:
        names = [(column or b'').strip() for name in names for column in columns.split(name)]
    return columns, tuple(names), sources


def _strings(arguments):
    return {os.fsencode(text): place.encode() for text, place in arguments.strings.items()}


def _template(arguments, count, spelling):
    """Return the Template.  count: number of arguments of a job; see Template."""
    words = [os.fsencode(word) for word in arguments.words]
    text = quoted_words(words, spelling) if arguments.quote else b' '.join(words)
    if arguments.on_hosts.are_named:
        text = text.replace(HOST, b'${PARALLEL_SSHHOST}')
        if arguments.plus:
            text = text.replace(b'{sshlogin}', b'${PARALLEL_SSHLOGIN}')
    return Template(text, count, spelling)


def _label(arguments, count, spelling):
    """Return the Template of --tagstring, or None."""
    if arguments.tagstring is None:
        return None
    label = Template(os.fsencode(arguments.tagstring), count, spelling, is_command=False)
    if label.has_slot:
        raise UsageError('--tagstring: the number of the slot is not known',
                         'use {#} for the number of the job')
    return label


def _needs_total(options, template, label=None):
    """Return whether the number of all jobs is needed before the first one."""
    return options.halt.is_percent or any(found is not None and found.has_total
                                          for found in (template, label))


def _refuse(arguments, names, why):
    """Raise UsageError if one of these options is given."""
    for name in names:
        if getattr(arguments, name) not in (None, False):
            flag = {'fill_line': '-X', 'fill_words': '-m'}.get(
                name, '--' + name.replace('_', '-'))
            raise UsageError('%s %s' % (flag, why), 'see lwt multi --help')


# -- blocks ----------------------------------------------------------------------------------------


def _blocks_plan(arguments, options):
    """Return the InputPlan of --pipe and --pipepart."""
    flag = '--pipepart' if arguments.pipepart else '--pipe'
    _refuse(arguments, _FOR_ARGUMENTS, 'has no effect with %s' % flag)
    _refuse(arguments, ('resume', 'resume_failed'), 'does not work with %s' % flag)
    if not arguments.words:
        raise UsageError('%s needs a command' % flag)
    if arguments.pipepart and (len(arguments.sources) != 1 or arguments.sources[0].path is None):
        raise UsageError('--pipepart needs one file', 'name it with -a FILE')
    if arguments.pipe and (len(arguments.sources) > 1 or arguments.sources
                           and arguments.sources[0].path is None):
        raise UsageError('--pipe reads standard input or one file (-a FILE)',
                         'its jobs have no arguments')
    if arguments.round_robin and arguments.retries != '0':
        raise UsageError('--round-robin: jobs that share blocks cannot be retried')
    spelling = Spelling(arguments.plus, strings=_strings(arguments))
    template = _template(arguments, 0, spelling)
    label = _label(arguments, 0, spelling)
    if label is None and arguments.tag:
        label = Template(b'', 0, spelling, is_command=False)
    if _needs_total(options, template, label):
        raise UsageError('%s: the number of jobs is not known before the end of the data' % flag,
                         'do without {##}, {0#} and a percentage in --halt')
    style = blocks.BlockStyle(
        read_value('--block', arguments.block, multi_options.block_size), _marks(arguments, flag),
        _header_of(arguments), arguments.round_robin, label, options.jobs, arguments.pipepart)
    if style.size < 0 and not style.is_file:
        raise UsageError('--block %s: --pipe needs a size' % arguments.block,
                         'a number of blocks for each slot works with --pipepart -a FILE')
    return InputPlan(template, style, arguments.sources, 0, spelling)


def _marks(arguments, flag):
    """Return the RecordMarks."""
    end, start = arguments.recend, arguments.recstart
    if end is None:
        end = '' if start is not None else '\\n'
    if arguments.regexp:
        for name, text in (('--recend', end), ('--recstart', start or '')):
            read_value(name, text, multi_options.pattern)
        end, start = os.fsencode(end), os.fsencode(start or '')
    else:
        end, start = multi_options.unescaped(end), multi_options.unescaped(start or '')
    most = _at_least_one('-N', arguments.max_replace_args, 0)
    lines = _at_least_one('-L', arguments.max_lines, 1)
    marks = RecordMarks(end, start, arguments.regexp, arguments.remove_rec_sep, most, lines)
    if arguments.pipepart:
        for name, is_given in (('-N', most), ('-L', lines > 1), ('--regexp', marks.is_regexp),
                               ('--round-robin', arguments.round_robin),
                               ('--remove-rec-sep', marks.is_removed)):
            if is_given:
                raise UsageError('%s does not work with %s, which does not read the data'
                                 % (name, flag), 'use --pipe < FILE')
    return marks


def _at_least_one(flag, text, default):
    number = default if text is None else read_value(flag, text, config.count)
    if text is not None and not number:
        raise UsageError('%s 0: expected at least 1' % flag)
    return number


def _header_of(arguments):
    """Return a function that finds the header in data, as in blocks.BlockStyle, or None."""
    if arguments.header is None:
        return None
    if arguments.header == ':' or arguments.header.isdigit():
        lines = 1 if arguments.header == ':' else int(arguments.header)
        return lambda data, is_all: _end_of_lines(data, lines, is_all)
    pattern = read_value('--header', arguments.header, multi_options.pattern)

    def matched(data, is_all):
        match = pattern.match(data)
        # A header that reaches to the end of the data so far may be longer.
        is_sure = is_all or len(data) >= LONGEST_HEADER or match and match.end() < len(data)
        return (match.end() if match else 0) if is_sure else None
    return matched


def _end_of_lines(data, lines, is_all):
    """Return the length of the first lines; None if they are not complete."""
    at = 0
    for _line in range(lines):
        at = data.find(b'\n', at) + 1
        if not at:
            return len(data) if is_all else None
    return at
