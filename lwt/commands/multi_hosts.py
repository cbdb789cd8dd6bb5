"""The part of lwt multi that runs jobs on hosts: its options, and the hosts and files they mean."""

import os
import re
import stat
from typing import NamedTuple, Optional

from lwt.commands.options import read_hosts
from lwt.errors import UsageError, printable
from lwt.multi import job_files, job_hosts, logins
from lwt.multi.template import PathTemplate
from lwt.workspace import files
from lwt.workspace.config import bounded

# Options that need a selection of hosts.
FILE_OPTIONS = ('transferfile', 'returned', 'cleanup', 'trc', 'basefile', 'workdir', 'env')
MOST_LOGINS = 1 << 20           # bytes of a file of logins
LOAD_HINT = 'lower -j, or use lwt task, which checks the load of hosts'
ALL_HOSTS = '--all-hosts'       # -a, unless it names a file of arguments


class HostArguments(NamedTuple):
    """The options of lwt multi that concern hosts.  Each field has the name of its option."""

    hosts: list
    categories: list
    everything: bool
    exclude: list
    sshlogin: list
    sshloginfile: list
    transferfile: list
    returned: list
    cleanup: bool
    trc: list
    basefile: list
    workdir: Optional[str]
    env: list

    @property
    def are_named(self):
        """Whether the jobs run on hosts."""
        return bool(self.hosts or self.categories or self.everything or self.sshlogin
                    or self.sshloginfile)


class HostPlan(NamedTuple):
    """What a run on hosts needs.

    logins: SshLogins.  session: the call.Session for all of them.  workspace: or None.
    """

    logins: list
    session: object
    workspace: object
    options: job_hosts.HostOptions

    @property
    def hosts(self):
        """The Hosts of all logins."""
        return [login.host for login in self.logins]

    def job_hosts(self, run, tell):
        """The JobHosts of a run."""
        if self.options.files.returns:
            job_files.remove_stale()
        return job_hosts.JobHosts(run, [
            job_hosts.JobHost(run.loop, self.session, login, self.options)
            for login in self.logins], tell)


def add_options(parser):
    """Add the options to the parser of lwt multi."""
    parser.add_hosts(ALL_HOSTS).add_options('connect_timeout', 'hello_timeout', 'lease').add_ssh()
    logins_group = parser.add_argument_group('hosts as in GNU parallel')
    _repeated(logins_group, '-S', '--sshlogin', dest='sshlogin', metavar='LOGIN,…',
              help='hosts: N/USER@HOST for at most N jobs, : for this machine')
    _repeated(logins_group, '--sshloginfile', '--slf', dest='sshloginfile', metavar='FILE',
              help='read hosts from FILE; .. for ~/.parallel/sshloginfile, - for standard input')
    moved = parser.add_argument_group('files of jobs on hosts')
    _repeated(moved, '--transferfile', '--tf', dest='transferfile', metavar='PATH',
              help='send PATH, which may contain placeholders, before the job')
    _repeated(moved, '--return', dest='returned', metavar='PATH',
              help='fetch PATH after the job; a missing file is a failure of the job')
    moved.add_argument('--cleanup', action='store_true',
                       help='remove the files of the job from the host afterwards')
    _repeated(moved, '--trc', dest='trc', metavar='PATH',
              help='the same as --transferfile {} --return PATH --cleanup')
    moved.add_argument('--transfer', dest='transferfile', action='append_const', const='{}',
                       help='the same as --transferfile {}')
    _repeated(moved, '--basefile', '--bf', dest='basefile', metavar='PATH',
              help='send PATH once to each host, before its first job')
    moved.add_argument('--workdir', '--wd', metavar='DIR',
                       help='run jobs in DIR on the host (default: the login directory); . for the '
                            'current directory, ... for a new directory for each job')
    _repeated(moved, '--env', dest='env', metavar='NAME,…',
              help='give environment variables to the jobs')


def _repeated(group, *flags, **options):
    group.add_argument(*flags, action='append', default=[], **options)


def with_all_hosts(words):
    """Return words with --all-hosts in place of -a where no file follows.

    -a FILE names a file of arguments, as in GNU parallel.  Before another option and at the end, -a
    means all available hosts, as for the other commands.
    """
    following = words[1:] + ['']
    return [ALL_HOSTS if word == '-a' and (not after or after.startswith('-') and after != '-')
            else word for word, after in zip(words, following)]


def arguments(parsed):
    """Return the HostArguments of a command line.  Raises UsageError."""
    found = HostArguments(**{name: getattr(parsed, name) for name in HostArguments._fields})
    if found.exclude and not (found.hosts or found.categories or found.everything):
        raise UsageError('lwt multi: -x needs -w, -g or -a')
    if not found.are_named:
        for name in FILE_OPTIONS:
            if getattr(found, name):
                raise UsageError('lwt multi: --%s needs hosts'
                                 % {'returned': 'return'}.get(name, name),
                                 'name them with -w HOSTS or -S LOGIN,…')
    return found


def plan(env, multi, source, options, slots_for):
    """Return the HostPlan of a run on hosts.  Raises UsageError.

    multi: the MultiArguments.  source: the InputPlan.  options: an executor.ExecutorOptions.
    slots_for: a function of (number of processors) that returns the number of slots of a host.
    """
    workspace = env.find_workspace()
    settings = env.settings(workspace)
    found = multi.on_hosts
    for flag, is_given, hint in (
            ('--load', options.load, LOAD_HINT), ('--memfree', options.memfree, LOAD_HINT),
            ('--pipepart', multi.pipepart, 'jobs on hosts can read blocks with --pipe'),
            ('--round-robin', multi.round_robin, 'with --pipe alone, each block gets a job')):
        if is_given:
            raise UsageError('lwt multi: %s does not work on hosts' % flag, hint)
    chosen = _logins(env, found, workspace, settings)
    session = env.session(settings, [login.host for login in chosen])
    host_options = job_hosts.HostOptions(
        _file_options(found, source, session), slots_for, _variables(found.env, env.environ),
        options.nice, options.timeout)
    return HostPlan(chosen, session, workspace, host_options)


def _logins(env, found, workspace, settings):
    chosen = []
    if found.hosts or found.categories or found.everything:
        chosen += [logins.SshLogin(host, bounded(host.get('slots'), 1, 9999)) if not host.is_local
                   else logins.SshLogin(logins.here())
                   for host in env.select(found, workspace, settings)]
    for text in found.sshlogin:
        for word in text.split(','):
            chosen += _from_file(word) if word.strip() == '..' else logins.parse(word)
    for path in found.sshloginfile:
        chosen += _from_file(path)
    return logins.merged(chosen)


def _from_file(path):
    """Return the SshLogins in a file of --slf."""
    shown = files.user_path(logins.DEFAULT_FILE if path.strip() == '..' else path)
    if path == '-':
        return logins.parse_file(read_hosts('-'), 'standard input')
    if os.path.exists(shown) and stat.S_ISFIFO(os.stat(shown).st_mode):     # <(command)
        with open(shown, encoding='utf-8', errors='replace') as file:
            return logins.parse_file(file.read(MOST_LOGINS), shown)
    return logins.parse_file(files.read_text(shown, MOST_LOGINS), shown)


def _file_options(found, source, session):
    """Return the job_files.FileOptions.  Raises UsageError."""
    def templates(texts):
        return tuple(PathTemplate(os.fsencode(text), source.count, source.spelling)
                     for text in texts)

    for text in found.transferfile:
        job_files.check(text, 'transferfile')
    for text in found.returned + found.trc:
        job_files.check(text, 'return')
    transfers = templates(found.transferfile + ['{}'] * bool(found.trc))
    returns = templates(found.returned + found.trc)
    for template, text in zip(returns, found.returned + found.trc):
        if template.is_constant and found.workdir != '...':
            raise UsageError('--return %s: all jobs would return the same file' % printable(text),
                             'use a placeholder, for example {}.out or {#}.out')
    workdir = found.workdir
    if workdir == '':
        raise UsageError("--workdir '': not the path of a directory")
    if workdir == '.':
        workdir = os.fsdecode(job_files.workdir_here(session.transport.login_dir))
    workdir = None if workdir is None else templates([workdir])[0]
    workdir_here = None if found.workdir in (None, '.') else templates([found.workdir])[0]
    base = job_files.check_base(found.basefile)
    has_own = workdir is not None and (not workdir.is_constant or found.workdir == '...')
    if base and has_own:
        # Jobs have directories of their own, so each needs the base files.
        transfers += templates(found.basefile)
        base = ()
    is_shared = bool(transfers) and not has_own and (
        source.has_combinations or any(one.is_constant for one in transfers))
    return job_files.FileOptions(transfers, returns, base, found.cleanup or bool(found.trc),
                                 workdir, workdir_here, is_shared)


def _variables(names, environ):
    """Return {name: value}, as bytes, of --env.  Raises UsageError."""
    found = {}
    for name in [name for text in names for name in text.split(',')]:
        if not re.fullmatch('[A-Za-z_][A-Za-z0-9_]*', name) or name == '_':
            raise UsageError('--env %s: not the name of an environment variable' % printable(name))
        if 'BASH_FUNC_%s%%%%' % name in environ:
            raise UsageError('--env %s: functions of bash are not supported' % name,
                             'put it into a script, and send that with --basefile')
        if name in environ:
            found[os.fsencode(name)] = os.fsencode(environ[name])
    return found
