"""Commands and options of other tools, each with what lwt has instead.

Only error messages use these tables.  An option that a command of lwt has itself never gets here.
"""

# Word after `lwt`: the form of lwt.
COMMANDS = {
    'add': 'lwt task add', 'bash': 'lwt exec -w HOSTS -- COMMAND', 'cancel': 'lwt task kill ID',
    'cat': 'lwt task log ID', 'clush': 'lwt exec -w HOSTS -- COMMAND',
    'config': 'edit lwt.conf, or use --set KEY=VALUE', 'copy': 'lwt put or lwt get',
    'cp': 'lwt put or lwt get', 'dashboard': 'lwt report, lwt monitor --watch',
    'download': 'lwt get', 'fetch': 'lwt get', 'info': 'lwt task show ID',
    'job': 'lwt task', 'jobs': 'lwt task show', 'kill': 'lwt task kill ID',
    'list': 'lwt task show, lwt hosts', 'load': 'lwt monitor', 'log': 'lwt task log ID',
    'logs': 'lwt task log ID', 'ls': 'lwt task show, lwt hosts', 'map': 'lwt multi',
    'node': 'lwt hosts', 'nodes': 'lwt hosts', 'nodeset': 'lwt hosts -w HOSTS --expand',
    'parallel': 'lwt multi', 'pdsh': 'lwt exec -w HOSTS -- COMMAND', 'ping': 'lwt probe',
    'ps': 'lwt task show', 'pull': 'lwt get', 'push': 'lwt put', 'qdel': 'lwt task kill ID',
    'qstat': 'lwt task show', 'qsub': 'lwt task add -- COMMAND', 'queue': 'lwt task show',
    'rcopy': 'lwt get', 'resume': 'lwt task resume ID', 'retry': 'lwt task retry ID',
    'rm': 'lwt task rm ID', 'rsync': 'lwt put or lwt get',
    'run': 'lwt task run for the queue, lwt exec -w HOSTS -- COMMAND for hosts',
    'sbatch': 'lwt task add NAME', 'scancel': 'lwt task kill ID', 'scp': 'lwt put or lwt get',
    'shell': 'lwt exec -w HOSTS -- COMMAND', 'show': 'lwt task show', 'sort': 'lwt reduce',
    'squeue': 'lwt task show', 'ssh': 'lwt exec -w HOSTS -- COMMAND',
    'start': 'lwt task run', 'status': 'lwt task show', 'stop': 'lwt task kill ID',
    'submit': 'lwt task add NAME', 'suspend': 'lwt task suspend ID', 'tasks': 'lwt task show',
    'test': 'lwt probe', 'top': 'lwt monitor --watch', 'update': 'lwt task update',
    'upload': 'lwt put', 'version': 'lwt --version', 'wait': 'lwt task wait',
    'why': 'lwt task why ID', 'xargs': 'lwt multi',
}

# Word after `lwt task`: the subcommand of lwt.
SUBCOMMANDS = {
    'abort': 'kill', 'cat': 'log', 'continue': 'resume', 'create': 'add', 'del': 'rm',
    'delete': 'rm', 'forget': 'rm', 'hold': 'suspend', 'info': 'show', 'jobs': 'show',
    'logs': 'log', 'new': 'add', 'output': 'log', 'pause': 'suspend',
    'ps': 'show', 'queue': 'show', 'release': 'resume', 'remove': 'rm', 'rerun': 'retry',
    'restart': 'retry', 'start': 'run', 'stat': 'show', 'stop': 'kill',
    'submit': 'add', 'tail': 'log -f', 'unhold': 'resume',
}

# Options that select how ssh logs in, for all commands that do.
_SSH = {
    '-F': "ssh's -F FILE: --ssh-config FILE",
    '-o': "ssh's -o KEY=VALUE: --ssh-option KEY=VALUE",
    '-i': "ssh's -i FILE: --ssh-option IdentityFile=FILE",
    '-J': "ssh's -J HOST: --ssh-option ProxyJump=HOST",
    '-P': "scp's -P PORT: --ssh-option Port=PORT",
    '-p': "ssh's -p PORT: --ssh-option Port=PORT",
    '-l': "ssh's -l USER: name the host USER@HOST",
    '--user': 'name the host USER@HOST',
    '--port': '--ssh-option Port=PORT', '--identity': '--ssh-option IdentityFile=FILE',
    '--options': '--ssh-option KEY=VALUE', '--ssh-args': '--ssh-option KEY=VALUE',
}
_HOSTS = {
    '--host': '-w HOSTS', '--hosts': '-w HOSTS', '--nodes': '-w HOSTS', '--nodelist': '-w HOSTS',
    '--hostfile': '-w ^FILE', '--hostsfile': '-w ^FILE', '--nodefile': '-w ^FILE',
    '--machinefile': '-w ^FILE', '--inventory': 'list the hosts in host.list',
    '-H': "pssh's -H HOST: -w HOSTS", '--all': '-a', '--group': '-g CATEGORY',
    '--exclude': '-x HOSTS', '-X': "clush's -X GROUP: -x @CATEGORY",
    '--forks': '-f N', '--par': '-f N', '--parallel': '-f N', '--jobs': '-f N', '-j': '-f N',
    '--password': 'lwt asks for no password; log in with a key',
    '--askpass': 'lwt asks for no password; log in with a key',
}
_COPY = {
    '-r': 'directories are copied with their contents; leave -r out',
    '--recursive': 'directories are copied with their contents; leave it out',
    '--archive': 'modes, times and links are kept as --links says; leave it out',
    '-l': "scp's -l KBIT: --limit KBIT", '--bwlimit': "rsync's --bwlimit: --limit KBIT",
    '--preserve': 'modes and times are kept; leave it out',
    '-p': 'modes and times are kept; for a port, --ssh-option Port=PORT',
    '-z': "rsync's -z: --ssh-option Compression=yes",
    '--compress': '--ssh-option Compression=yes',
    '-L': '--links follow', '--copy-links': '--links follow',
    '--rsh': '--ssh-option KEY=VALUE',
}
_OPTIONS = {
    'exec': dict(
        {**_SSH, **_HOSTS},
        **{'-L': "clush's -L: -k", '-B': "clush's -B: -b", '--dshbak': '-b',
           '-i': "pssh's -i: leave it out, output is printed; for a key: --ssh-option "
                 'IdentityFile=FILE',
           '-p': "pssh's -p N: -f N; for a port: --ssh-option Port=PORT",
           '-P': "pssh's -P: leave it out, output is printed",
           '-c': 'put -- before the command; for files: lwt put', '--copy': 'lwt put',
           '--rcopy': 'lwt get', '-R': 'lwt uses ssh only', '--rcmd': 'lwt uses ssh only',
           '-o': "ssh's -o KEY=VALUE: --ssh-option KEY=VALUE; pssh's -o DIR: --outdir DIR",
           '-e': "pssh's -e DIR: --errdir DIR", '--inline': 'output is printed; leave it out',
           '--become': '--sudo', '--tag': 'lines begin with the host; leave it out',
           '--nolabel': '-N', '--maxrc': '-S', '--group-output': '-b',
           '--command_timeout': '-u SEC', '--input': '--stdin FILE'}),
    'put': {**_SSH, **_HOSTS, **_COPY, '--dest': 'the last word is the target: lwt put a b dir/'},
    'get': {**_SSH, **_HOSTS, **_COPY, '--delete': 'lwt get removes no files of this machine',
            '--dest': 'the last word is the target: lwt get file dir'},
    'hosts': {**_HOSTS, '-e': "nodeset's -e: --expand", '-c': "nodeset's -c: --count",
              '-S': "nodeset's -S: lwt hosts prints a host per line", '-l': 'lwt hosts',
              '--list': 'lwt hosts', '--down': '--why HOST tells what is wrong with a host'},
    'task': {**_SSH, '-N': 'lwt task runs each task on one host; leave it out',
             '--job-name': '--name NAME', '--dependency': '--after ID', '--mem': '--memory SIZE',
             '--time': '--timeout SEC', '--time-limit': '--timeout SEC',
             '--cpus': '--slots N', '--cpus-per-task': '--slots N', '--ntasks': '--array 1-N',
             '--nodelist': '--hosts HOSTS', '--output': 'lwt task log ID', '-o': 'lwt task log ID',
             '--states': '--state S,…', '--partition': '--category CATEGORY',
             '--from-file': '--each FILE', '--wait': 'lwt task run, lwt task wait'},
}
LOGGING_IN = ('probe', 'monitor', 'deploy', 'doctor', 'reduce')


def command_hint(word):
    """Return the hint for a command of another tool, or ''."""
    return COMMANDS.get(word, '')


def subcommand_hint(word):
    """Return the hint for a subcommand of `lwt task` that another tool has, or ''."""
    return 'lwt task ' + SUBCOMMANDS[word] if word in SUBCOMMANDS else ''


def options_of(command):
    """Return {option of another tool: hint} for a command."""
    return _OPTIONS.get(command) or ({**_SSH, **_HOSTS} if command in LOGGING_IN else {})


def option_hint(command, word):
    """Return the hint for an option of another tool, or ''.

    word: as on the command line, with = and a value, or a value right after a single letter.
    """
    known = options_of(command)
    return known.get(word.partition('=')[0]) or (
        known.get(word[:2], '') if not word.startswith('--') else '')
