"""lwt init: create a workspace."""

from lwt.commands.options import Parser
from lwt.errors import UsageError
from lwt.output import writer
from lwt.workspace import layout

EXAMPLES = '''examples:
  lwt init              create a workspace in the current directory
  lwt init ~/sweep      create it in ~/sweep; the directory is created if missing'''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = Parser(name, 'lwt init [DIR]',
                    'Create a workspace: lwt.conf, host.list, description/sample.  Existing files '
                    'are kept.',
                    EXAMPLES)
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    if len(words) > 1 or parsed.rest:
        raise UsageError('lwt init: expected one directory', 'see lwt init --help')
    workspace, made = layout.init(words[0] if words else '.')
    if env.quiet:
        return 0
    for path in made:
        writer.put_line(path)
    writer.say('workspace created: %s' % workspace.root if made
               else 'workspace already complete: %s' % workspace.root)
    writer.say('next: edit host.list, then run: lwt task add sample; lwt task run')
    return 0
