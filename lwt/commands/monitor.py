"""lwt monitor: the current load of hosts."""

import time

from lwt.commands import exit_codes, host_view
from lwt.commands.options import Parser, fitting, read_value, refuse_words
from lwt.flow import running
from lwt.hosts import load
from lwt.output import units, writer
from lwt.workspace import nodeset
from lwt.workspace.config import positive_seconds

EXAMPLES = '''examples:
  lwt monitor                      all available hosts, once
  lwt monitor -g plab --watch      repeat like top; ^C ends it
  lwt monitor -a --json | jq -r 'select(.cpu > 300) | .host'
  lwt monitor -w 'h[1-70]' -t 3    any hosts that ssh knows, without a workspace'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = Parser(name, 'lwt monitor [-w HOSTS | -g CATEGORY | -a] [--watch] [--json] [options]',
                    'Show the load of hosts (default: all available hosts), the busiest first.  '
                    'CPU % and OWN %: cpu\nusage by all and by you (100 is one core).  FREE GB: '
                    'free memory.  DISK GB: free disk space in the\nhome.',
                    EXAMPLES).add_selection()
    parser.add_rounds(5)
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    refuse_words(parser, words + (parsed.rest or []))
    every = read_value('--every', parsed.every, positive_seconds)
    workspace = env.find_workspace()
    settings = env.settings(workspace)
    parsed.everything = parsed.everything or not (parsed.hosts or parsed.categories)
    chosen = env.select(parsed, workspace, settings)
    if parsed.watch:
        # Keep the connections, because a login in each round would be a large part of the load
        # shown.
        settings = settings._replace(persist=max(settings.persist, 2 * every))

    def one_round():
        return _round(env, workspace, env.session(settings, chosen), chosen, parsed)

    return host_view.repeat(one_round, every if parsed.watch else None)


def _round(env, workspace, session, chosen, parsed):
    told, settings, began = [], session.settings, time.monotonic()
    with running(fitting(settings.fanout, '-f', writer.say), settings.grace) as run:
        env.ready(run, workspace, session, chosen, told)
        looks = run.reports([load.look(session, host) for host in chosen])
        told += [(look.host, look.load, look.verdict.reason) for look in looks]
    took = time.monotonic() - began
    if parsed.json:
        for look in looks:
            writer.put_bytes(writer.json_line(host_view.look_json(look)))
    else:
        lines = host_view.monitor_table(looks, env.environ)
        host_view.put_screen(([_headline(looks, took)] if parsed.watch else []) + lines,
                             parsed.watch)
        if not env.quiet and not parsed.watch:
            writer.say(_headline(looks, took))
    return exit_codes.exit_code([look.verdict for look in looks])


def _headline(looks, took):
    """Return a line that sums up all hosts."""
    well = [look.load for look in looks if look.load]
    failed = [look.host for look in looks if not look.load]
    return '%s  %d of %d hosts in %s; %d%% of %d cores in use, %d tasks%s' % (
        time.strftime('%H:%M:%S'), len(well), len(looks), units.duration(took),
        sum(load.cpu or 0 for load in well) / (
            sum(load.cores for load in well) or 1), sum(load.cores for load in well),
        sum(load.tasks or 0 for load in well),
        '; no answer: ' + nodeset.fold(failed) if failed else '')
