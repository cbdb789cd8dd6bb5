"""lwt hosts: print the hosts that a selection means."""

from lwt import hostset, output
from lwt.arguments import Parser
from lwt.errors import UsageError

EXAMPLES = '''examples:
  lwt hosts                              the available hosts, one a line
  lwt hosts -g plab --count              how many of a category
  lwt hosts -w 'h[1-9]!h[2-3],u@x' -x h9  a set, without some
  lwt hosts -w h3,h1,h2,h1 --fold        h[1-3]
  lwt hosts -w 'r[1-2]n[01-20/2]'        racks, and every other node, with leading zeros
  lwt hosts -w '@dept&^up.txt' --fold    those of a category that a file names
  sort names | lwt hosts -w ^- --fold    names from standard input'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = Parser(name, 'lwt hosts [-w HOSTS | -g CATEGORY | -a] [-x HOSTS] [--expand | --fold | --count]',
                    'Print a set of hosts; without a selection, all that are available.', EXAMPLES).add_selection()
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument('--expand', action='store_true', help='one host a line (the default)')
    shape.add_argument('--fold', action='store_true', help='all in one word, as short as it can be')
    shape.add_argument('--count', action='store_true', help='how many')
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    if words or parsed.rest:
        raise UsageError('lwt hosts: unexpected word %s' % (words + (parsed.rest or []))[0], 'name hosts with -w')
    parsed.everything = parsed.everything or not (parsed.hosts or parsed.categories)
    names = [host.name for host in env.select(parsed, env.find_workspace(), may_be_empty=True)]
    if parsed.count:
        output.put_line(str(len(names)))
    elif parsed.fold:
        output.put_line(hostset.fold(names))
    else:
        output.put_bytes(''.join(name + '\n' for name in names).encode())
    return 0
