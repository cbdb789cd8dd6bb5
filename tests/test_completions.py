"""The completions in real shells; they and the manual page match the tables."""

import os
import shutil
import subprocess
import unittest

from lwt.cli import COMMANDS
from tests import generate
from tests.support import ROOT, ProgramTestCase

# Print the completions of zsh for a line: $1 the completion, $2 the line, $3 the file for the
# matches, one a line.
ZSH = r'''
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1='%% '; autoload -U compinit && compinit -u -D; source $1"
zpty -w z "zle -C all complete-word _all; _all() { compadd() {
  [[ \$1 == (-O|-A|-D) ]] && { builtin compadd \"\$@\"; return }
  local -a got; builtin compadd -O got \"\$@\"; print -l -- '<'\$^got'>' >>$3
  builtin compadd \"\$@\" }; _main_complete }
  bindkey '^X^X' all; print re''ady"
zpty -r z x '*ready*'
zpty -w -n z "$2"$'\C-X\C-X'
for ((i = 0; i < 100; i++)); do sleep 0.05; [[ -s $3 ]] && break; done
sleep 0.2
zpty -d z
'''

BASH = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lwt 2>/dev/null; printf '
        '"%s\\n" "${COMPREPLY[@]}"')

EVERYTHING = [name for name, _module, _summary in COMMANDS]


class Made(unittest.TestCase):
    """The files in the repository match the tables."""

    any_user = True

    def test_the_manual_page_and_the_completions_are_made_anew_when_the_tables_change(self):
        for name, make in generate.MADE.items():
            with self.subTest(name=name), open(os.path.join(ROOT, *name.split('/')),
                                               encoding='utf-8') as file:
                self.assertEqual(file.read(), make(), 'run: python3 -m tests.generate')

    def test_the_manual_page_has_every_command_option_and_key(self):
        text = generate.manual()
        for command in generate.ALL:
            self.assertIn('.SS "lwt %s"' % command.name, text)
            for flag in command.flags:
                self.assertIn('\\fB%s\\fR' % generate.roff(flag.names[0]), text)
        for key in generate.KEYS:
            self.assertIn('\\fB%s\\fR = ' % generate.roff(key), text)

    def test_the_manual_page_is_sound_and_fits_80_columns(self):
        if shutil.which('mandoc') is None:
            self.skipTest('not installed: mandoc')
        path = os.path.join(ROOT, 'man', 'lwt.1')
        done = subprocess.run(['mandoc', '-T', 'lint', '-W', 'error', path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        self.assertEqual((done.returncode, done.stdout), (0, b''))
        done = subprocess.run(['mandoc', '-T', 'utf8', '-O', 'width=78', path],
                              stdout=subprocess.PIPE, check=True)
        text = subprocess.run(['col', '-b'], input=done.stdout,
                              stdout=subprocess.PIPE).stdout.decode('utf-8', 'replace')
        self.assertEqual([line for line in text.splitlines() if len(line) > 80], [])


class InShells(ProgramTestCase):
    """The tab key in bash, fish and zsh."""

    any_user = True

    # line -> matches; None: other matches are allowed too
    LINES = (
        (('lwt', ''), EVERYTHING),
        (('lwt', 'de'), ['demo', 'deploy']),
        (('lwt', 'exec', '-w', 'h'), ['h1', 'h20']),
        (('lwt', 'exec', '-w', 'h1,h2'), ['h1,h20']),
        (('lwt', 'put', '-a', '-x', '@'), ['@dept', '@plab']),
        (('lwt', 'exec', '-g', 'p'), ['plab']),
        (('lwt', 'exec', '--fail'), ['--fail-fast', '--failed-to']),
        (('lwt', '--set', 'connect'), ['connect_timeout=']),
        (('lwt', 'task', 's'), None),
        (('lwt', 'task', 'show', '0000'), ['000001', '000002']),
        (('lwt', 'task', 'add', 'sa'), ['sample']),
        (('lwt', '-C', 'elsewhere', 'task', 'add', ''), ['other']),
        (('lwt', 'cron', ''), ['install', 'remove', 'show']),
        (('lwt', 'exec', '-w', 'h1', '--log-format', ''), ['json', 'text']),
    )

    def setUp(self):
        super().setUp()
        self.make_workspace([('h1', 'plab', '~'), ('h20', 'dept', '~'), ('gw', 'dept', '~')])
        self.lwt('task', 'add', 'sample', 'sample')
        self.lwt('init', 'elsewhere')
        shutil.rmtree(self.path('elsewhere', 'description', 'sample'))
        self.write('elsewhere/description/other/desc', 'exec : true\n')
        self.write('bin/lwt', '#!/bin/sh\nexec "%s" -S -m lwt "$@"\n' % self.python, 0o755)
        self.env['PATH'] = self.path('bin') + os.pathsep + self.env['PATH']
        self.env['COLUMNS'] = '200'

    def run_shell(self, *argv):
        if shutil.which(argv[0]) is None:
            self.skipTest('not installed: ' + argv[0])
        return subprocess.run(argv, cwd=self.scratch, env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60).stdout.decode().splitlines()

    def check(self, complete):
        for words, wanted in self.LINES:
            with self.subTest(words=words):
                found = sorted(set(complete(words)))
                if wanted is None:
                    self.assertIn('show', found)
                else:
                    self.assertEqual(found, sorted(wanted))

    def test_bash(self):
        path = os.path.join(ROOT, 'completions', 'lwt.bash')
        self.check(lambda words: self.run_shell('bash', '--norc', '-c', BASH, 'bash', path, *words))

    def test_fish(self):
        path = os.path.join(ROOT, 'completions', 'lwt.fish')
        self.check(lambda words: [line.partition('\t')[0] for line in self.run_shell(
            'fish', '--no-config', '-c',
            "source '%s'; complete -C '%s'" % (path, ' '.join(words)))])

    def test_zsh(self):
        path, script = os.path.join(ROOT, 'completions', '_lwt'), self.write('complete.zsh', ZSH)

        def complete(words):
            out = self.path('out')
            if os.path.exists(out):
                os.unlink(out)
            self.run_shell('zsh', '-f', script, path, ' '.join(words), out)
            before, comma, _last = words[-1].rpartition(',')
            # zsh reports the suffix separately.
            equals = '=' if words[-2] == '--set' else ''
            return [before + comma + line[1:-1] + equals for line in self.read('out').splitlines()]
        self.check(complete)

    def test_files_are_completed_where_files_are_meant(self):
        self.assertIn('host.list', self.run_shell('fish', '--no-config', '-c',
                                                  "source '%s'; complete -C 'lwt put -a host.'" % (
                                                      os.path.join(ROOT, 'completions',
                                                                   'lwt.fish'))))
        self.assertIn('uname', self.run_shell('bash', '--norc', '-c', BASH, 'bash',
                                              os.path.join(ROOT, 'completions', 'lwt.bash'),
                                              'lwt', 'exec', '-a', '--', 'unam'))


if __name__ == '__main__':
    unittest.main()
