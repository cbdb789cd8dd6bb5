"""Every command in README and the guides runs as shown, on real hosts."""

import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

from tests import documents, generate
from tests.support import ROOT
from tests.test_cron import FAKE_CRONTAB
from tests.test_lab_hosts import LabTestCase

PATIENCE = 180


def read(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as file:
        return file.read()


def names():
    """Return the documents of the project."""
    found = glob.glob(os.path.join(ROOT, 'docs', '**', '*.md'), recursive=True)
    return ['README.md'] + sorted(os.path.relpath(path, ROOT) for path in found)


class Reading(unittest.TestCase):
    """How a document is parsed."""

    TEXT = '''Text.

    lwt hosts -w b
    $ echo one   # a comment
    one

    $ echo \\
    > two
    lwt exec [-a] -- x

    lwt hosts -w a
    lwt put -w HOSTS [options] LOCAL…

<!-- run: mkdir x
touch y -->
<!-- not run: it takes hours -->

    make test

```
$ true
```
'''

    def test_commands_are_found(self):
        found = list(documents.commands(self.TEXT))
        self.assertEqual([(command.text, command.printed) for command in found], [
            ('lwt hosts -w b', None), ('echo one   # a comment', ('one', '')),
            ('echo \\\n> two',
             ('lwt exec [-a] -- x', '', 'lwt hosts -w a', 'lwt put -w HOSTS [options] LOCAL…')),
            ('mkdir x\ntouch y', None), ('true', None)])
        plain = list(documents.commands(
            '\n    lwt hosts -w a\n    lwt put [options] x\n    file of a host\n'))
        self.assertEqual([(command.text, command.line) for command in plain],
                         [('lwt hosts -w a', 2)])

    def test_what_is_printed_is_compared_without_numbers(self):
        for printed, lines, same in ((('a  12 s', '...', 'z'), ['a 9.5 s', 'b', 'c', 'z'], True),
                                     (('a...c',), ['a b c'], True),
                                     (('a',), ['a', 'b'], False), (('a.c',), ['abc'], False),
                                     (('h1',), ['h2'], True)):
            self.assertEqual(documents.is_as_shown(printed, lines), same, printed)

    def test_every_link_leads_somewhere(self):
        for name in names() + ['CHANGELOG.md']:
            for target in re.findall(r'\]\(([^)#]+)', read(name)):
                if '://' not in target:
                    with self.subTest(name=name, target=target):
                        self.assertTrue(
                            os.path.exists(os.path.join(ROOT, os.path.dirname(name), target)))


class ShellTestCase(LabTestCase):
    """The shell of a user who has nine hosts."""

    slow = True
    hosts = 9

    def setUp(self):
        super().setUp()
        self.env['HOME'] = self.home
        self.env['PATH'] = self.path('bin') + os.pathsep + self.env['PATH']
        self.env['COLUMNS'] = '80'
        self.write('bin/lwt', '#!/bin/sh\nexec "%s" -S -m lwt "$@"\n' % sys.executable, 0o755)
        self.write('bin/crontab', FAKE_CRONTAB, 0o755)
        self.source = self.path('source')
        shutil.copytree(ROOT, self.source,
                        ignore=shutil.ignore_patterns('.git', '__pycache__', 'build'))

    def begin(self):
        """Make a home and in it the directory in which a document begins: a workspace with one
        host, this machine.
        """
        shutil.rmtree(self.home)
        os.mkdir(self.home)
        self.start_at = os.path.join(self.home, 'sweep')
        self.lwt('init', self.start_at)
        for name in ('man', 'completions'):
            os.symlink(os.path.join(self.source, name), os.path.join(self.start_at, name))
        for name in self.names:
            self.lab.inside(name, 'sh', '-c', 'rm -rf ./* .lwt')


class Running(ShellTestCase):
    """Documents as programs."""

    def run_document(self, name):
        """Run a document; return what differs from it."""
        self.begin()
        found = list(documents.commands(read(name)))
        path = self.write('script.sh',
                          'source=%s\nmake() { command make -C "$source" "$@"; }\n' % self.source
                          + documents.script(found))
        done = subprocess.run(['bash', path], cwd=self.start_at, env=self.env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE)
        told = documents.outcomes(done.stdout.decode('utf-8', 'replace'))
        for rank, command in enumerate(found):
            lines, code = told.get(rank, ([], None))
            lines = [line.replace(self.home, '/home/me').replace(sys.executable, '/usr/bin/python3')
                     for line in lines]
            is_right = (code == 0 if command.printed is None
                        else documents.is_as_shown(command.printed, lines))
            if not is_right:
                yield '%s:%d: %s\n  code %s, printed:\n    %s' % (
                    name, command.line, command.text, code, '\n    '.join(lines[:30]))

    def check(self, wanted):
        chosen = [name for name in names() if wanted(name)]
        self.assertTrue(chosen)
        for name in chosen:
            with self.subTest(name=name):
                wrong = list(self.run_document(name))
                self.assertEqual(wrong, [], '\n' + '\n'.join(wrong))

    def test_readme(self):
        self.check(lambda name: name == 'README.md')

    def test_guides_a_to_h(self):
        self.check(lambda name: name.startswith('docs/guide/') and os.path.basename(name) < 'i')

    def test_guides_i_to_z(self):
        self.check(lambda name: name.startswith('docs/guide/') and os.path.basename(name) >= 'i')

    def test_other_documents(self):
        self.check(lambda name: name.startswith('docs/') and not name.startswith('docs/guide/'))

    def test_the_program_of_the_guide_to_python(self):
        self.begin()
        path = self.write('program.py', documents.python(read('docs/guide/python.md')))
        done = subprocess.run([sys.executable, path, '2.0'], cwd=self.scratch, env=self.env,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stdout.decode().splitlines()),
                         (0, ['h1 ok Linux', 'h2 ok Linux', 'h1 changed', 'h2 changed']))


# What the examples of --help assume: hosts of a category, files on this machine, and files on the
# hosts.
FIXTURES = '''
printf 'h%d\\t%s\\t~\\n' 1 plab 2 plab 3 dept >host.list
echo 'echo hello' >commands.txt; echo a.txt >list.txt; touch a.txt x.log y.log a.c
seq 3 >parameters.txt; echo h1 >up.txt
for name in train.py input.dat config.new local/h1/own local/h2/own local/h3/own bin/program; do
  mkdir -p "$(dirname $name)" && echo x >$name
done
printf 'a 1\\nb 2\\n' >big.txt; cp big.txt words; cp big.txt text
echo h1 >names; echo 'echo checked' >check.sh
echo a.txt,b.txt >list.csv; echo x >model.bin; echo >big.txt
mkdir -p description/sweep; printf 'exec : true\\n' >description/sweep/desc
lwt exec -w 'h[1-9]' -- 'mkdir -p etc data results
  echo all: >data/Makefile; echo x >results/summary.txt
  printf "#!/bin/sh\\n" >work; cp work upgrade; chmod +x work upgrade'
'''


class Help(ShellTestCase):
    """All examples of --help are accepted."""

    def test_no_example_of_help_is_wrong_use(self):
        self.begin()
        self.write('bin/convert', '#!/bin/sh\ncp "$1" "$2"\n', 0o755)
        self.write('bin/systemctl', '#!/bin/sh\n', 0o755)
        self.env['LWT_MAX_DTASK_DAY'] = self.env['LWT_MAX_DTASK_NIGHT'] = '50'
        lines = [line for command in generate.ALL if command.name != 'demo'
                 for line in command.examples.split('\n')]
        # Commands that watch continue until they are stopped.
        found = [documents.Command(('timeout 5 ' if '--watch' in match.group(1) else '')
                                   + match.group(1), None, 0) for match in (
            re.match(r'  (\S.*?)(\s{2,}.*)?$', line) for line in lines)
                 if match and 'lwt ' in match.group(1)]
        self.assertGreater(len(found), 40)
        path = self.write('script.sh', FIXTURES + documents.script(found))
        done = subprocess.run(['timeout', '400', 'bash', path], cwd=self.start_at, env=self.env,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        told = documents.outcomes(done.stdout.decode('utf-8', 'replace'))
        wrong = ['%s: code %s: %s' % (command.text, code, ' / '.join(lines))
                 for command, (lines, code) in (
            (command, told.get(rank, ([], None))) for rank, command in enumerate(found))
                 if code not in (0, 1, 3) and (code != 124 or '--watch' not in command.text)]
        self.assertEqual(wrong, [], '\n'.join(wrong))


if __name__ == '__main__':
    unittest.main()
