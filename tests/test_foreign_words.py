"""Commands and options of other tools, and what lwt takes for a typing error."""

import re
import unittest

from lwt import cli
from lwt.commands import foreign_words, task
from lwt.tasks import model
from lwt.workspace import config
from tests import generate
from tests.support import ProgramTestCase


class NearWords(unittest.TestCase):
    """Which word is suggested."""

    def test_only_near_misses_are_suggested(self):
        words = ('--json', '--nice', '--lease', '--stall', '--timeout', '--connect-timeout',
                 '--retries', '-N', '-k', '--outdir', '--output-limit')
        for given, near in (('--josn', '--json'), ('--jso', '--json'), ('--timeuot', '--timeout'),
                            ('--timoeut', '--timeout'), ('--conn', '--connect-timeout'),
                            ('--retires', '--retries'), ('-json', '--json'),
                            ('--pipe', ''), ('--delete', ''), ('--state', ''), ('--link', ''),
                            ('-S', ''), ('-n', ''), ('--out', ''), ('', ''), ('--', '')):
            with self.subTest(given=given):
                self.assertEqual(config.near_word(given, words), near)


class Tables(unittest.TestCase):
    """The tables name what lwt has."""

    def test_no_word_of_lwt_is_foreign(self):
        commands = {name for name, _module, _help in cli.COMMANDS}
        self.assertEqual(commands & set(foreign_words.COMMANDS), set())
        verbs = set(task.VERBS) | set(task.ALIASES)
        self.assertEqual(verbs & set(foreign_words.SUBCOMMANDS), set())

    def test_every_hint_leads_to_something(self):
        commands = {name for name, _module, _help in cli.COMMANDS}
        for hint in foreign_words.COMMANDS.values():
            for name in re.findall(r'lwt (\w[\w-]*)', hint):
                self.assertIn(name, commands, hint)
        for verb in foreign_words.SUBCOMMANDS.values():
            self.assertIn(verb.split()[0], task.VERBS)

    def test_every_option_that_a_hint_names_exists(self):
        for command in generate.ALL:
            known = {name for flag in command.flags for name in flag.names}
            if command.name == 'task':
                known |= {'--' + key.replace('_', '-') for key in model.Desc._fields}
            for foreign, hint in foreign_words.options_of(command.name).items():
                with self.subTest(command=command.name, foreign=foreign):
                    own = hint.partition(': ')[2] if "'s " in hint else hint
                    for name in re.findall(r'(?<![\w-])--?[a-zA-Z][\w-]*', own):
                        if name != foreign:
                            self.assertIn(name, known, hint)


class Program(ProgramTestCase):
    """What lwt says."""

    def test_commands_and_options_of_other_tools(self):
        for words, said in (
                ('run', 'lwt task run for the queue'), ('ps', 'hint: lwt task show'),
                ('queue', 'hint: lwt task show'),
                ('exec -w h -F f -- x', "ssh's -F FILE: --ssh-config FILE"),
                ('exec -w h -oPort=1 -- x', '--ssh-option KEY=VALUE'),
                ('exec -w h -l me -- x', 'name the host USER@HOST'),
                ('put -w h -l 5 a b', '--limit KBIT'), ('get -w h -r a b', 'leave -r out'),
                ('put data h1:nc/', 'hint: lwt put -w h1 data nc/'),
                ('put a b me@h1:', 'hint: lwt put -w me@h1 a b .'),
                ('get h1:/x/y h1:z out', 'hint: lwt get -w h1 /x/y z out'),
                ('get h1:x h2:y out', 'hint: see lwt get --help'),
                ('hosts -e', '--expand'), ('task add x -N 2', 'leave it out'),
                ('probe --pipe', 'hint: see lwt probe --help')):
            with self.subTest(words=words):
                done = self.lwt(*words.split())
                self.assert_refused(done, 2, said)
                self.assertNotIn('did you mean', done.err)

    def test_aliases(self):
        self.assertEqual(self.lwt('-V').out, self.lwt('--version').out)
        self.make_workspace([('localhost', 'local', '~')])
        self.describe('t', 'exec : true\n')
        self.lwt('task', 'add', 't')
        self.assertIn('000001', self.lwt('task', 'ls').out)
        self.assertEqual(self.lwt('task', 'cancel', '1').code, 0)
        self.assertIn('killed', self.lwt('task', 'ls', '1').out)

    def test_quiet_init_and_help_of_a_command(self):
        done = self.lwt('-q', 'init', 'ws')
        self.assertEqual((done.code, done.out, done.err), (0, '', ''))
        self.assertIn('workspace already complete', self.lwt('init', 'ws').err)
        self.assertEqual(self.lwt('help', 'exec').out, self.lwt('exec', '--help').out)
        self.assert_refused(self.lwt('help', 'exce'), 2, 'did you mean exec?')


if __name__ == '__main__':
    unittest.main()
