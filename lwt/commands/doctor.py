"""lwt doctor: check this machine, the workspace and the hosts, and fix what can be fixed."""

from __future__ import generator_stop

from typing import NamedTuple

from lwt.commands import checks, host_view, task_monitor
from lwt.commands.checks import Finding
from lwt.commands.options import Parser, fitting, refuse_words
from lwt.errors import EXIT_FAILED, EXIT_UNREACHABLE, LwtError, UsageError, printable_text
from lwt.flow import running
from lwt.hosts.health_log import HealthLog
from lwt.output import units, writer
from lwt.tasks import remote_audit, scheduler
from lwt.tasks.store import Store
from lwt.tasks.visit import Context
from lwt.workspace import config, identity, nodeset
from lwt.workspace.hostlist import Host

EXAMPLES = '''examples:
  lwt doctor                  check this machine and all hosts; change nothing
  lwt doctor -w h3            check this machine and h3
  lwt doctor --fix            fix what can be fixed; files of other masters are not touched
  lwt doctor --json | jq -r 'select(.status == "FAIL") | .what\''''

# KiB: with less free space, the output and the exit code of a task may not fit.
NO_ROOM = 1024
COLOURS = {'FAIL': 'red', 'warn': 'yellow', 'fixed': 'green'}


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = Parser(name, 'lwt doctor [-w HOSTS | -g CATEGORY | -a] [--fix] [--json] [options]',
                    'Check the database, the locks, the workspace, this machine and the files of '
                    'lwt on hosts (without\na selection, on all hosts of the workspace).  --fix '
                    'removes what tasks left behind and finds lost\ntasks again; it never removes '
                    'results.  Exit code 0: no problem; 1: problems; 3: a host is\nunreachable.',
                    EXAMPLES).add_selection()
    parser.add_argument('--fix', action='store_true', help='fix what can be fixed')
    parser.add_argument('--json', action='store_true', help='print one JSON object per line')
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    refuse_words(parser, words + (parsed.rest or []))
    return _Doctor(env, parsed).run()


class _Doctor:
    """One run of all checks; each Finding is printed at once."""

    def __init__(self, env, parsed):
        self._env = env
        self._parsed = parsed
        self._workspace = env.require_workspace()
        self._worst = 0

    def run(self):
        """Run all checks; returns the exit code.

        The order matters: later checks use what earlier ones have fixed.
        """
        settings = self._settings()
        try:
            self._workspace.prepare()
        except LwtError as error:
            self._tell(Finding('FAIL', 'workspace', error.message,
                               'check its owner and mode, and the disk'))
            return self._worst
        self._tell_all(checks.state(self._workspace))
        self._tell_all(checks.locks(self._workspace))
        self._tell_all(checks.workspace_files(self._workspace))
        own = self._own_name()
        try:
            with Store(self._workspace.database) as store:
                self._tell_all(checks.lying(self._workspace, store))
                self._tell_hosts(store, settings, own)
        except UsageError:
            raise
        except LwtError as error:
            self._tell(
                Finding('FAIL', 'tasks', 'not checked: ' + error.message, error.hint))
        return self._worst

    def _settings(self):
        try:
            settings = self._env.settings(self._workspace)
        except UsageError as error:
            self._tell(Finding('FAIL', 'lwt.conf', error.message, error.hint))
            return config.load(None, {}, ())
        self._tell(Finding('ok', 'lwt.conf', 'read'))
        return settings

    def _own_name(self):
        """Return the name of this master, or '' if the workspace is a copy."""
        try:
            found = identity.read(self._workspace)
        except LwtError as error:
            self._tell(Finding('FAIL', 'master', error.message, error.hint))
            return ''
        self._tell(Finding('ok', 'master', found.name))
        return found.name

    # -- telling -----------------------------------------------------------------------------------

    def _tell_all(self, findings):
        for finding in findings:
            self._tell(finding)

    def _tell(self, finding):
        if finding.mend is not None and self._parsed.fix:
            finding = _mended(finding)
        self._worst = max(self._worst, _weight(finding))
        if self._parsed.json:
            writer.put_bytes(writer.json_line(
                dict(finding.more, status=finding.status, what=finding.what, finding=finding.text,
                     hint=finding.hint)))
            return
        status = writer.coloured(finding.status.ljust(5), COLOURS[finding.status],
                                 self._env.environ) \
            if finding.status in COLOURS else finding.status.ljust(5)
        writer.put_line('%s  %s  %s' % (status, finding.what.ljust(11),
                                        printable_text(finding.text, 400)))
        if finding.hint:
            writer.put_line('%s  %s  hint: %s' % (' ' * 5, ' ' * 11, finding.hint))

    # -- hosts -------------------------------------------------------------------------------------

    def _tell_hosts(self, store, settings, own):
        chosen = self._hosts(store, settings)
        session = self._env.session(settings, [])
        with running(fitting(settings.fanout, '-f', writer.say), settings.grace) as run:
            self._tell_all(
                run.report(checks.machine(session, any(not host.is_local for host in chosen))))
        if not session.transport.ssh:
            chosen = [host for host in chosen if host.is_local]
        seen = self._look(store, session, chosen, own)
        wrong = [one for one in seen
                 if one.judged is not None and (one.judged.strange or one.judged.leftovers)]
        if wrong and self._parsed.fix and own:
            self._mend_hosts(store, session, wrong)
            again = {one.seen.host: one
                     for one in self._look(store, session, [one.seen.host for one in wrong], own)}
            seen = [again[one.seen.host]._replace(before=one.judged.strange)
                    if one.seen.host in again else one for one in seen]
        sick = store.health()
        for one in seen:
            self._tell_all(_of_host(one, sick.get(one.seen.host.name), bool(own)))

    def _hosts(self, store, settings):
        """Return the homes to check: of the selected hosts, or of all hosts that may have files of
        lwt.
        """
        try:
            candidates = self._workspace.candidates()
        except LwtError:
            candidates = []             # already reported
        parsed = self._parsed
        is_all = not (parsed.hosts or parsed.categories or parsed.everything or parsed.exclude)
        parsed.everything = parsed.everything or not (parsed.hosts or parsed.categories)
        chosen = candidates if is_all else self._env.select(parsed, self._workspace, settings)
        names, homes = {host.name for host in chosen}, {(host.name, host.home) for host in chosen}
        more = [Host(name, category, home) for name, home, category in store.all_hosts()
                if (is_all or name in names) and (name, home) not in homes]
        order = nodeset.ordered({host.name for host in more})
        return chosen + sorted(more, key=lambda host: order.index(host.name))

    def _look(self, store, session, chosen, own):
        """Check homes; returns an _Examined for each."""
        before = remote_audit.known(store)
        with running(fitting(session.settings.fanout, '-f', writer.say),
                     session.settings.grace) as run:
            self._env.ready(run, self._workspace, session, chosen)
            looks = run.reports([remote_audit.look(session, host) for host in chosen])
        looks.sort(key=lambda seen: chosen.index(seen.host))
        at_home = remote_audit.at_home(store, looks)
        found, views = [], remote_audit.other_views(looks)
        for seen in looks:
            judged = None
            if seen.verdict.ok:
                judged = remote_audit.judge(store, own or '-', seen, before, at_home)
                judged = remote_audit.without_files(judged) if seen in views else judged
            found.append(_Examined(seen, judged))
        return found

    def _mend_hosts(self, store, session, wrong):
        """Record what is wrong, and visit the hosts to fix it."""
        with store.together():
            for one in wrong:
                for strange in one.judged.strange:
                    remote_audit.hand_over(store, one.seen, strange)
        trouble = task_monitor.Troubles(writer.say).hear
        context = Context(self._workspace, store, session, lambda text: None,
                          HealthLog(store, session.settings, session.heard),
                          trouble=trouble)
        with running(fitting(session.settings.fanout, '-f', writer.say),
                     session.settings.grace) as run:
            scheduler.one_pass(run, context, [one.seen.host for one in wrong],
                               only={one.seen.host.name for one in wrong})


class _Examined(NamedTuple):
    """A home that was checked.

    judged: a remote_audit.Judgement, or None if the host did not answer.
    before: what was wrong before --fix.
    """

    seen: remote_audit.Seen
    judged: remote_audit.Judgement = None
    before: tuple = ()


def _weight(finding):
    """Return the exit code for one finding."""
    if finding.status != 'FAIL':
        return 0
    return (EXIT_UNREACHABLE if dict(finding.more).get('class', 'failed') not in ('failed', 'ok')
            else EXIT_FAILED)


def _mended(finding):
    try:
        return finding._replace(status='fixed', text='%s: %s' % (finding.text, finding.mend()),
                                hint='')
    except LwtError as error:
        return finding._replace(text='%s; not fixed: %s' % (finding.text, error.message),
                                hint=error.hint)


def _of_host(one, sick, is_own):
    """Yield the Findings about a home."""
    seen, judged = one.seen, one.judged
    what = 'host ' + seen.host.name
    more = (('host', seen.host.name), ('home', seen.host.home), ('class', seen.verdict.kind))
    if judged is None:
        yield Finding('FAIL', what, seen.verdict.reason, 'lwt hosts --why %s' % seen.host.name,
                      more=more)
        return
    disk = host_view.gigabytes(seen.load.free_disk)
    text = ('%s GB free in %s; %s'
            % ('?' if disk is None else '%.1f' % disk, seen.host.home, _contents(seen, judged)))
    is_full = seen.load.free_disk is not None and seen.load.free_disk < NO_ROOM
    if not seen.has_home:
        text = 'home %s does not exist yet; the first command creates it' % seen.host.home
    yield Finding('FAIL' if is_full else 'ok', what, text,
                  'free disk space on the host' if is_full else '',
                  more=more + (
                      ('free_disk', seen.load.free_disk), ('open', judged.open),
                      ('traces', judged.traces),
                      ('of_others', judged.others)))
    if sick is not None and not sick.takes_tasks:
        yield Finding('warn', what, '%s: %s' % (host_view.STATES[sick.state], sick.reason),
                      'lwt hosts --why %s' % seen.host.name, more=more)
    left = {strange.name for strange in judged.strange}
    for kind, (words, done) in remote_audit.WORDS.items():
        mended = [strange
                  for strange in one.before if strange.kind == kind and strange.name not in left]
        if mended:
            yield Finding('fixed', what, '%s: %s' % (words % _some(mended), done), more=more)
        wrong = [strange for strange in judged.strange if strange.kind == kind]
        if wrong:
            yield Finding('FAIL', what, words % _some(wrong), 'lwt doctor --fix' if is_own else '',
                          more=more)


def _contents(seen, judged):
    parts = ['%d open tasks' % judged.open, '%d traces' % judged.traces]
    parts += ['%d to be removed' % judged.leftovers] * bool(judged.leftovers)
    parts += ['%d of other masters' % judged.others] * bool(judged.others)
    return '%s (%s in .lwt)' % (', '.join(parts), units.size(seen.kib * 1024))


def _some(strange):
    return checks.some(sorted(remote_audit.label(one) for one in strange))
