"""lwt hosts: print selected hosts, explain the state of one, exclude one or take it back."""

import time

from lwt.commands.options import Parser, refuse_words
from lwt.errors import UsageError, printable
from lwt.output import writer
from lwt.workspace import nodeset

EXAMPLES = '''examples:
  lwt hosts                              available hosts, one per line
  lwt hosts -g plab --count              number of available hosts of a category
  lwt hosts -w 'h[1-9]!h[2-3],u@x' -x h9  a set without some hosts
  lwt hosts -w h3,h1,h2,h1 --fold        prints h[1-3]
  lwt hosts -w 'r[1-2]n[01-20/2]'        every second host of two racks, with leading zeros
  lwt hosts -w '@dept&^up.txt' --fold    hosts of a category that are named in a file
  sort names | lwt hosts -w ^- --fold    names from standard input
  lwt hosts --why h3                     state of h3, since when and why
  lwt hosts --out h3 new disk            exclude h3 from work until --back
  lwt hosts --back h3                    use h3 again'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = Parser(
        name, 'lwt hosts [-w HOSTS | -g CATEGORY | -a] [-x HOSTS] [--expand | --fold | --count]\n'
        '       lwt hosts --why HOST | --out HOST REASON | --back HOST',
        'Print the selected hosts (default: all available hosts), explain the state '
        'of a host, exclude\na host or take it back.',
        EXAMPLES).add_selection()
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument('--expand', action='store_true', help='print one host per line (default)')
    shape.add_argument('--fold', action='store_true',
                       help='print one node set, as short as possible')
    shape.add_argument('--count', action='store_true', help='print the number of hosts')
    shape.add_argument('--why', metavar='HOST',
                       help='explain the state of HOST and when it is tried again')
    shape.add_argument('--out', metavar='HOST',
                       help='exclude HOST; the following words give the reason')
    shape.add_argument('--back', metavar='HOST', help='take HOST back, also from quarantine')
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    if parsed.why or parsed.out or parsed.back:
        return _one(env, parsed, ' '.join(words + (parsed.rest or [])))
    refuse_words(parser, words + (parsed.rest or []))
    parsed.everything = parsed.everything or not (parsed.hosts or parsed.categories)
    names = [host.name for host in env.select(parsed, env.find_workspace(), may_be_empty=True)]
    if parsed.count:
        writer.put_line(str(len(names)))
    elif parsed.fold:
        writer.put_line(nodeset.fold(names))
    else:
        writer.put_bytes(''.join(name + '\n' for name in names).encode())
    return 0


def _one(env, parsed, reason):
    """Run --why, --out or --back."""
    # Imported here because printing a set does not need these modules.
    from lwt.commands import host_view
    from lwt.hosts import health
    from lwt.tasks.store import Store
    workspace, now = env.require_workspace(), time.time()
    name = parsed.why or parsed.out or parsed.back
    if bool(reason) != bool(parsed.out):
        raise UsageError('--out requires a reason' if parsed.out
                         else 'lwt hosts: unexpected word ' + reason)
    workspace.prepare()
    numbers = health.rules(env.settings(workspace))
    with Store(workspace.database) as store:
        if name not in {host.name for host in workspace.candidates()} | set(store.health()):
            raise UsageError('%s: no such host in host.list' % printable(name),
                             'lwt hosts lists the available hosts')
        if parsed.out:
            store.change_health(name, lambda before: health.hold(before, reason, now))
        elif parsed.back:
            store.change_health(name, lambda before: health.release(before, now))
        lines = _about(workspace, store, name, now, numbers) if parsed.why else \
            host_view.health_lines(store.health()[name], now, numbers)
        for line in lines:
            writer.put_bytes(writer.encoded(line + '\n'))
    return 0


def _about(workspace, store, name, now, numbers):
    """Yield the lines of --why about a host."""
    from lwt.commands import host_view
    from lwt.hosts import health
    yield from host_view.health_lines(store.health().get(name, health.Health(name)), now,
                                      numbers)
    listed, available = ({host.name: host for host in found}
                         for found in (workspace.candidates(), workspace.available()))
    if name in listed:
        yield '  in host.list: category %s, home %s%s' % (
            listed[name].category, listed[name].home,
            '' if name in available else '; it did not pass the last probe')
    else:
        yield '  no longer in host.list'
    if name in store.samples():
        yield '  ' + host_view.sample_line(store.samples()[name], now)
    for _host, when, told in store.probes(name)[-1:]:
        yield '  ' + host_view.probe_line(when, told, now)
