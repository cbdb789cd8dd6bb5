"""Words of a hostile host or task, on a real terminal and in every format: none of them can control
anything.
"""

import contextlib
import fcntl
import html
import json
import os
import pty
import re
import shutil
import sqlite3
import struct
import termios
import unittest

from lwt.output import writer
from tests.support import ProgramTestCase
from tests.test_report import Balanced

EVIL = 'a\033[2Jb\033]0;title\007c\x9b31md\u202ee\u200bf\u2066g\ufeffh\xadi<b>&amp;"\'\r'
LONG = 'x' * 100000
FORBIDDEN = re.compile(
    '[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]')
OWN_COLOUR = re.compile('\033\\[(?:31|32|33|2|1|0)m')
MOST_COLUMNS = 2000             # of a line about hosts or tasks
STUB = '''#!/bin/sh
# An ssh of a host that says on both streams what it wants.
case " $* " in *" -G "*) printf 'hostname evil\\nport 22\\n'; exit ;; esac
cat "%s"
cat "%s" >&2
exit %d
'''
TASK = '''exec : cat words; cat words >&2; sh make; exit 3
---
'''


class Terminal(ProgramTestCase):
    """Every command that shows words of hosts, in a pty."""

    def setUp(self):
        super().setUp()
        self.words = self.write('words', EVIL + '\n' + LONG + '\n')
        self.env['TERM'] = 'xterm'

    def on_terminal(self, *words):
        """Return (exit code, text) of lwt with a terminal for all its streams."""
        pid, terminal = pty.fork()
        if not pid:
            os.chdir(self.scratch)
            os.execve(self.python, (self.python, '-S', '-m', 'lwt') + words, self.env)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
        said = b''
        with contextlib.suppress(OSError):      # EIO: no process has it open any more
            while len(said) < 1 << 24:
                data = os.read(terminal, 1 << 16)
                said += data
                if not data:
                    break
        os.close(terminal)
        code = os.WEXITSTATUS(os.waitpid(pid, 0)[1])
        return code, said.replace(b'\r\n', b'\n').decode('utf-8', 'backslashreplace')

    def assert_harmless(self, said, words, most=MOST_COLUMNS):
        """Assert that the terminal got no control characters except colours and the returns of
        progress lines.
        """
        lines = OWN_COLOUR.sub('', said).replace('\033[H\033[J', '').replace('\r\033[K', '\n')
        found = FORBIDDEN.search(re.sub('\r *\r?', '\n', lines))
        self.assertIsNone(found, '%s: %r'
                          % (words, found and lines[max(0, found.start() - 80):found.end() + 20]))
        if most:
            self.assertLess(max(map(len, lines.split('\n'))), most, words)

    def assert_all_harmless(self, commands):
        for words in commands:
            with self.subTest(words=words):
                _code, said = self.on_terminal(*words)
                self.assertNotIn('Traceback', said)
                self.assert_harmless(said, words, most=0 if '--json' in words else MOST_COLUMNS)


class Tasks(Terminal):
    """A task on this machine that prints and leaves hostile words."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')], grace='1')
        shutil.rmtree(self.path('description', 'sample'))
        name = EVIL.replace('/', '')
        self.describe('evil', TASK, words=EVIL + '\n' + LONG + '\n',
                      make='echo x >"%s"; mkfifo "p%s"\n' % ((name.replace('"', '\\"'),) * 2))
        self.assertEqual(self.lwt('task', 'add', 'evil', '--retries', '0').code, 0)

    def poison(self):
        """Put hostile words into state.db, where an earlier version may have left them."""
        reason = EVIL + LONG
        with contextlib.closing(sqlite3.connect(self.path('.lwt', 'state.db'))) as base:
            base.execute('UPDATE task SET reason = ?', (reason,))
            base.execute('UPDATE attempt SET reason = ?', (reason,))
            base.execute('INSERT INTO event SELECT id, 1.7e9, ? FROM task', (reason,))
            base.execute(
                'INSERT OR REPLACE INTO health VALUES (?, ?, 3, 0, 15, ?, ?, 1.7e9, 1.7e9, 9e9)',
                ('localhost', 'out', 'failed', reason))
            base.commit()

    def test_SR_10_tasks_on_a_terminal(self):
        """SR-10: task run, log, show and why, hosts, probe, monitor, stat and doctor."""
        shows = [('task', 'show'), ('task', 'show', '1'), ('task', 'why', '1'),
                 ('task', 'show', '--json'),
                 ('hosts', '-v'), ('hosts',), ('stat',), ('task', 'wait')]
        self.assert_all_harmless([('-v', 'task', 'run')] + shows)
        code, said = self.on_terminal('task', 'log', '1')
        self.assertEqual(code, 0)
        self.assertIn('a\\x1b[2Jb', said)
        self.assertIn(LONG, said)
        self.assert_harmless(said, 'log', most=0)
        self.poison()
        self.assert_all_harmless(
            shows + [('-v', 'probe'), ('monitor',), ('doctor',), ('-v', 'task', 'update')])

    def test_SR_10_a_character_that_two_pieces_part(self):
        """SR-10: task log reads in pieces; a character that spans two of them is harmless too."""
        self.assertEqual(self.lwt('task', 'run').code, 1)
        folder, = self.results()
        for char in '\x9b\u202e\u200b\ufeff\xad\ufff9':
            for back in range(1, len(char.encode())):
                data = b'y' * ((1 << 16) - back) + char.encode() + b'end\n'
                for stream in ('run.stdout', 'run.stderr'):
                    with open(os.path.join(folder, stream), 'wb') as file:
                        file.write(data)
                self.assert_harmless(self.on_terminal('task', 'log', '1')[1], repr(char), most=0)

    def test_SR_10_the_report_and_json(self):
        """SR-10: HTML escapes markup and shows no control characters; JSON can be parsed."""
        self.assertEqual(self.lwt('task', 'run').code, 1)
        self.poison()
        self.assertEqual(self.lwt('report', '-o', 'r.html').code, 0)
        with open(self.path('r.html'), encoding='utf-8') as file:
            page = file.read()
        self.assertIsNone(FORBIDDEN.search(page))
        self.assertNotIn(LONG[:MOST_COLUMNS], page)
        parsed = Balanced(page)
        self.assertEqual(parsed.open, [])
        self.assertIn(html.escape('<b>&amp;'), page)
        for words in (('task', 'show', '--json'), ('task', 'show', '--json', '1'),
                      ('doctor', '--json'),
                      ('probe', '--json'), ('monitor', '--json'), ('stat', '--json')):
            with self.subTest(words=words):
                done = self.lwt(*words)
                for line in done.out.splitlines():
                    self.assertIsInstance(json.loads(line), dict)
                self.assertIsNone(FORBIDDEN.search(done.out))


class Hosts(Terminal):
    """A host whose ssh or shell prints hostile words instead of an answer."""

    def host(self, code):
        self.write('bin/ssh', STUB % (self.words, self.words, code), 0o755)
        self.env['PATH'] = self.path('bin') + ':' + self.env['PATH']
        self.make_workspace([('evil', 'c', '~')], grace='1', hello_timeout='5', connect_timeout='5')
        self.assertEqual(self.lwt('task', 'add', 'sample').code, 0)

    def test_SR_10_hosts_that_answer_nonsense(self):
        """SR-10: the reason why a host cannot be used quotes it."""
        for code in (255, 1):
            with self.subTest(code=code):
                self.host(code)
                self.write('data', 'x')
                self.assert_all_harmless([
                    ('-v', 'exec', '-a', '--', 'true'), ('exec', '-a', '-b', '--', 'true'),
                    ('put', '-a', 'data', 'x'), ('get', '-a', 'x', 'out'), ('-v', 'probe'),
                    ('monitor', '-a'),
                    ('doctor',), ('-v', 'task', 'update'), ('task', 'why', '1'),
                    ('task', 'show', '1'), ('hosts', '-v'),
                    ('deploy', '-a')])
                self.assertEqual(self.lwt('report', '-o', 'r.html').code, 0)
                self.assertIsNone(FORBIDDEN.search(self.read('r.html')))

    def test_SR_10_what_a_command_prints(self):
        """SR-10: every style of exec, on a terminal."""
        self.use_fake_ssh()
        command = 'cat "%s"; cat "%s" >&2' % (self.words, self.words)
        for words in ((), ('-b',), ('-k',), ('--json',), ('--diff',), ('-N',), ('--progress',)):
            with self.subTest(words=words):
                code, said = self.on_terminal('exec', '-w', 'h1,h2', *words, '--', command)
                self.assertEqual(code, 0)
                self.assert_harmless(said, words, most=0)


class Characters(unittest.TestCase):
    """The test searches for all characters that the program makes harmless."""

    def test_every_character_that_is_looked_for_is_made_visible(self):
        """SR-10: of all of Unicode's first plane."""
        for number in range(0xd800):
            if FORBIDDEN.match(chr(number)):
                self.assertNotEqual(writer.sanitised(chr(number).encode()), chr(number).encode())


if __name__ == '__main__':
    unittest.main()
