"""The command line: finds the command and turns errors into messages and exit codes.

COMMANDS is the table of all commands.  Only the module of the command that is called is imported;
its main(name, argv, make_env) returns the exit code.
"""

import contextlib
import errno
import fcntl
import gc
import importlib
import io
import os
import sys

from lwt import __version__
from lwt.commands.options import Env, Parser
from lwt.errors import (
    EXIT_BUG, EXIT_LOCAL, Interrupted, LocalError, LwtError, UsageError, os_error_text)
from lwt.output import writer
from lwt.workspace import config

COMMANDS = (                # in the order of --help: name, module, help
    ('init', 'init', 'create a workspace: lwt.conf, host.list, description/sample'),
    ('demo', 'demo', 'run a sweep of tasks on this machine (no sshd needed)'),
    ('multi', 'multi', 'run command lines in parallel on this machine or on hosts'),
    ('exec', 'exec', 'run a command on hosts'),
    ('put', 'copy', 'copy files and directories to hosts'),
    ('get', 'copy', 'fetch files and directories from hosts'),
    ('hosts', 'hosts', 'print, exclude or explain hosts'),
    ('reduce', 'reduce', 'sort and reduce lines on hosts, partitioned by key'),
    ('probe', 'probe', 'test the candidates and write which are available'),
    ('monitor', 'monitor', 'show the load of hosts'),
    ('stat', 'stat', 'show statistics about hosts, users and tasks'),
    ('deploy', 'deploy', 'copy lwt and your tools to hosts'),
    ('report', 'report', 'write an HTML report about hosts, queue and failures'),
    ('doctor', 'doctor', 'check state, workspace, this machine and hosts; fix what can be fixed'),
    ('cron', 'cron', 'run the queue from cron or systemd'),
    ('task', 'task', 'the queue of tasks: add, update, run, show, log, kill'),
)

# Errors of system calls that come from the disk, the files or the limits of this machine.
MACHINE_ERRORS = frozenset({
    errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EISDIR, errno.ELOOP, errno.EMFILE,
    errno.ENAMETOOLONG, errno.ENFILE, errno.ENODEV, errno.ENOENT, errno.ENOMEM, errno.ENOSPC,
    errno.ENOTDIR, errno.ENXIO, errno.EPERM, errno.EROFS, errno.ESTALE})

# The number of new objects after which Python searches for reference cycles.  With its default,
# 700, this search takes a tenth of the cpu time of a run over a thousand hosts.
COLLECT_AFTER = 20000

USAGE = 'lwt [-C WORKSPACE] [-q | -v] [--set KEY=VALUE] COMMAND …'


def main(argv=None, environ=None):
    """Run lwt; returns the exit code.  argv: without the program's name."""
    writer.begin(_open_standard_streams())
    gc.set_threshold(COLLECT_AFTER)
    try:
        code = _run(sys.argv[1:] if argv is None else argv,
                    os.environ if environ is None else environ)
        return EXIT_LOCAL if writer.losses() else code
    except Interrupted as error:
        return error.exit_code
    except LwtError as error:
        _say_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 128 + writer.SIGPIPE
    except OSError as error:
        if error.errno not in MACHINE_ERRORS:
            return _report_bug()
        _say_error(LocalError(os_error_text(error.filename or 'this machine', error)))
        return EXIT_LOCAL
    except Exception:
        return _report_bug()
    finally:
        for loss in writer.losses():
            _say_error(loss)


def _report_bug():
    import traceback
    writer.put_bytes(writer.encoded(traceback.format_exc()), 2)
    writer.say('this is a bug in lwt; please report the lines above')
    return EXIT_BUG


def _say_error(error):
    writer.say(error.message)
    if error.hint:
        writer.say('hint: ' + error.hint)


def _open_standard_streams():
    """Open /dev/null for each of the descriptors 0, 1 and 2 that is closed.

    Otherwise the next file that is opened, such as a database, would get that number.  Returns a
    list of the descriptors that were closed, and those of 1 and 2 that are read-only.
    """
    closed = []
    for fd in (0, 1, 2):
        try:
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY and fd > 0:
                closed.append(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)      # takes the lowest free number
            closed.append(fd)
    if sys.stderr is None or (sys.stderr.encoding or '').lower().replace('-', '') != 'utf8':
        # Python itself writes prompts and warnings to it, which may not be ASCII.
        sys.stderr = open(2, 'w', encoding='utf-8', errors='surrogateescape', closefd=False)
    return closed


def _run(argv, environ):
    """Run the command of argv; returns its exit code."""
    # Only argparse prints to sys.stdout (help and version), and it ignores errors of writing.
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            return _run_command(argv, environ)
        except SystemExit as end:
            writer.put_bytes(writer.encoded(printed.getvalue()))
            return end.code or 0


def _run_command(argv, environ):
    top, before, name, after = _find_command(argv)
    entry = next((entry for entry in COMMANDS if entry[0] == name), None)
    if entry is None:
        from lwt.commands import foreign_words      # here because only errors need it
        raise UsageError('unknown command %s' % name, foreign_words.command_hint(name)
                         or config.nearest(name, [entry[0] for entry in COMMANDS],
                                           'see lwt --help'))
    module = importlib.import_module('lwt.commands.' + entry[1])
    return module.main(name,
                       after, lambda parser, parsed: _env(environ, (top, before), (parser, parsed)))


def _env(environ, *said):
    """The Env of the options before and after the command.

    said: (parser, parsed) pairs; later ones override earlier ones.
    """
    overrides, values = (), {'workspace_option': None, 'quiet': False, 'verbose': False}
    for parser, parsed in said:
        overrides += parser.overrides(parsed)
        values.update((key, getattr(parsed, key)) for key in values if hasattr(parsed, key))
    return Env(environ, overrides=overrides, **values)


def _find_command(argv):
    """(parser, options before the command, name of the command, remaining words).

    Prints help and version.  Raises UsageError.
    """
    parser = _top_parser()
    leading, rest = parser.leading(argv)
    # Prints help or version and exits; raises UsageError for unknown options.
    before, _words = parser.parse(leading)
    if not rest:
        writer.put_bytes(writer.encoded(parser.format_usage()), 2)
        raise UsageError('no command', 'see lwt --help')
    if rest[0] == 'help' and rest[1:]:
        return parser, before, rest[1], ['--help']
    if rest[0] == 'help':
        parser.parse(['--help'])
    return parser, before, rest[0], rest[1:]


def _top_parser():
    width = max(len(name) for name, _module, _help in COMMANDS)
    lines = ['  %s  %s' % (name.ljust(width), text) for name, _module, text in COMMANDS]
    parser = Parser('', USAGE,
                    'Run commands, copy files and run a queue of tasks on hosts reached by ssh.',
                    'commands:\n%s\n\nRun `lwt COMMAND --help` for details.' % '\n'.join(lines))
    parser.add_argument('-V', '--version', action='version', version='lwt ' + __version__)
    return parser.add_options(*[option.key for option in config.OPTIONS
                                if option.flags and not option.key.startswith('log')], shown=False)

