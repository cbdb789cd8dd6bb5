"""Options of GNU parallel that lwt multi does not have, each with what to use instead; and those
that it accepts without effect.

The names are those of GNU parallel 20221122.  An option of this table is an error that gives the
advice, so that nobody has to guess whether a name was misspelled.
"""

import argparse

from lwt.errors import UsageError

# Accepted without effect, because lwt does so anyway or has nothing to ask for.
WITHOUT_EFFECT = ('--will-cite', '--no-notice', '--gnu', '--group', '--plain')

LEFT_OUT = (
    (('--rpl', '--parens'),
     'use the shell, for example $(echo {} | sed …), or --plus for {%.gz} and {/a/b}'),
    (('--sql', '--sqlmaster', '--sql-master', '--sqlworker', '--sql-worker', '--sqlandworker',
      '--sql-and-worker'),
     'lwt task keeps a queue of tasks in a database; --joblog records jobs in a file'),
    (('--semaphore', '--semaphorename', '--semaphore-name', '--id', '--semaphoretimeout',
      '--semaphore-timeout', '--st', '--fg', '--bg', '--wait'),
     'use flock(1): flock FILE COMMAND'),
    (('--tmux', '--tmuxpane'), 'SIGUSR1 lists the running jobs; --results DIR shows their output'),
    (('--fifo', '--cat'), 'let the job read its standard input, or use /dev/stdin as the file'),
    (('--tee', '--shard', '--bin', '--group-by', '--groupby'),
     'use --pipe with --recstart or --recend, or lwt reduce for work by key'),
    (('--hostgroups', '--hostgroup', '--hgrp'), 'use the categories of host.list: -g CATEGORY'),
    (('--onall', '--nonall'), 'use lwt exec -w HOSTS -- COMMAND'),
    (('--controlmaster', '-M'), 'lwt always shares one login per host'),
    (('--sshdelay', '--ssh-delay', '--ssh', '--rsync-opts'),
     'lwt limits the logins in progress by itself; see lwt multi --help for hosts and files'),
    (('--filter-hosts', '--filter'), 'lwt leaves out hosts that cannot be reached'),
    (('--record-env', '--embed', '--session'), 'export the variables, or put them into a script'),
    (('--interactive', '-p'), 'look at --dry-run first, then run the lines that you want'),
    (('--tty', '--open-tty', '-o'), 'run programs that need the terminal without lwt multi'),
    (('--files', '--output-as-files', '--outputasfiles'),
     'use --results DIR: DIR/N/stdout and DIR/N/stderr'),
    (('--tmpdir', '--tempdir'), 'set the variable TMPDIR'),
    (('--compress', '--compress-program', '--decompress-program'),
     'set TMPDIR to a file system with room for waiting output'),
    (('--csv',), 'use --colsep , for files without quotes'),
    (('--skip-first-line',), 'use tail -n +2 FILE, or --header : to name the columns'),
    (('--retry-failed',), 'use --resume-failed with the same command line'),
    (('--termseq', '--term-seq'), 'use --grace SEC: TERM first, KILL after SEC seconds'),
    (('--profile', '-J'), 'use lwt.conf, or an alias of your shell'),
    (('--shebang', '--hashbang', '--shebang-wrap'), 'write a script that calls lwt multi'),
    (('--limit', '--noswap'), 'use --load N or --memfree SIZE'),
    (('--memsuspend',), 'use --memfree SIZE'),
    (('--process-slot-var',), 'use the variable LWT_SLOT, or {%}'),
    (('--total-jobs', '--total'), 'lwt counts the jobs itself where it can; see --progress'),
    (('--template', '--tmpl'), 'let the job make the file: sed s/NAME/{}/ template > file'),
    (('--color', '--color-failed', '--cf', '--ctag', '--ctagstring'),
     'use --tag; failed jobs have a message of their own'),
    (('--latest-line', '--ll'), 'use --line-buffer'),
    (('--block-timeout', '--bt'), 'use a smaller --block'),
    (('--use-cpus-instead-of-cores', '--use-cores-instead-of-threads',
      '--use-sockets-instead-of-threads'), 'use -j N or -j N%%'),
    (('--number-of-cpus', '--number-of-cores', '--number-of-sockets', '--number-of-threads'),
     'use nproc(1)'),
    (('--max-line-length-allowed', '--show-limits'), 'a command may have 131071 bytes'),
    (('--minversion',), 'use lwt --version'),
    (('--shellquote', '--shell-quote'), 'use --quote, or --dry-run to see the command'),
    (('--argsep', '--arg-sep', '--arg-file-sep', '--argfilesep'),
     'use ::: and ::::, or -a FILE if the command itself needs such a word'),
    (('--replace', '-i'), 'use -I STR'),
)


class _LeftOut(argparse.Action):
    """Refuses an option, with advice."""

    def __init__(self, option_strings, dest, advice='', **options):
        super().__init__(option_strings, dest, nargs='?', help=argparse.SUPPRESS, **options)
        self._advice = advice

    def __call__(self, parser, namespace, values, option_string=None):
        raise UsageError('%s: %s of GNU parallel is not supported' % (parser.prog, option_string),
                         self._advice)


def add_names(parser):
    """Add the options of this module to a parser; none of them is in its help."""
    for names, advice in LEFT_OUT:
        parser.add_argument(*names, dest='left_out', action=_LeftOut, default=argparse.SUPPRESS,
                            advice=advice.replace('%%', '%'))
    parser.add_argument(*WITHOUT_EFFECT, dest='without_effect', action='store_true',
                        default=argparse.SUPPRESS, help=argparse.SUPPRESS)
