"""Text files from other systems: DOS line ends and byte order marks; and commands of a desc that
name files.
"""

import unittest

from lwt.remote import script_checks
from tests.support import ProgramTestCase

BOM = b'\xef\xbb\xbf'


class DosLineEnds(ProgramTestCase):
    """Scripts with CRLF."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('h1', 'local', '~')])

    def test_FR_15_a_script_with_dos_line_ends_is_named(self):
        """FR-15: exec --script names the problem, and how to convert the file."""
        for text in (b'#!/bin/sh\r\necho x\r\n', b'echo x\r\necho y\r\n',
                     b'#!/usr/bin/env python3\r\n1\r\n',
                     b'# x\necho\r\necho\r\necho\r\n', BOM + b'#!/bin/sh\r\necho x\r\n'):
            with self.subTest(text=text):
                self.write('check.sh', text)
                done = self.lwt('exec', '-w', 'h1', '--script', 'check.sh')
                self.assert_refused(done, 2, 'check.sh: the script has DOS line ends (CRLF)',
                                    "hint: convert it: sed -i 's/\\r$//' check.sh")
                self.assertEqual(done.out, '')

    def test_FR_15_carriage_returns_in_a_unix_script_are_its_own(self):
        """FR-15: a few of them, or none, are not DOS line ends."""
        for text in (b'#!/bin/sh\necho x\nprintf "a\r\n" >/dev/null\necho y >&2\n', b'echo x',
                     b'echo x\n'):
            self.write('check.sh', text)
            done = self.lwt('exec', '-w', 'h1', '--script', 'check.sh')
            self.assertEqual((done.code, done.out), (0, 'x\n'), done)
        self.assertFalse(script_checks.has_dos_ends(b''))

    def test_FR_15_add_warns_of_such_a_script(self):
        """FR-15: the script that exec or kill names, however it is run."""
        dos, fine = '#!/bin/sh\r\necho x\r\n', '#!/bin/sh\necho x\n'
        for exec_line, text, is_named in (
                ('run.sh', dos, True), ('./run.sh --fast', dos, True), ('sh run.sh', dos, True),
                ('bash -x run.sh {}', dos, True), ('A=1 ./run.sh', dos, True),
                ('run.sh; ls', dos, True),
                ('run.sh', fine, False), ('sh run.sh', fine, False), ('cat run.sh', dos, False),
                ('python3 run.sh', dos, False), ('dos2unix run.sh && sh run.sh', dos, False)):
            with self.subTest(exec_line=exec_line):
                self.describe('one', 'exec : %s\r\n' % exec_line, run_sh=text)
                done = self.lwt('task', 'add', 'one')
                said = 'one/desc:1: %s: the script has DOS line ends (CRLF)' % self.path(
                    'description', 'one', 'run.sh')
                self.assertEqual(done.code, 0, done)
                self.assertEqual(said in done.err, is_named, done)
                self.assertEqual(done.err != 'lwt: 1 task added\n', is_named, done)


class ByteOrderMarks(ProgramTestCase):
    """A byte order mark at the start of each file that lwt reads as text."""

    def setUp(self):
        super().setUp()
        self.make_workspace()

    def test_FR_30_host_sets_from_files_and_standard_input(self):
        """FR-30: -w ^FILE, -w -, -x ^FILE."""
        self.write('hosts', BOM + b'h1\r\nh2\r\n')
        for words, stdin in ((('-w', '^hosts'), b''), (('-w', '-'), BOM + b'h1\nh2\n'),
                             (('-w', 'h[1-3]', '-x', '^more'), b'')):
            self.write('more', BOM + b'h3\n')
            done = self.lwt('hosts', *words, stdin=stdin)
            self.assertEqual((done.code, done.out), (0, 'h1\nh2\n'), done)

    def test_FR_30_files_of_the_workspace(self):
        """FR-30: host.list, host.list.available, lwt.conf, desc, --each."""
        line = b'localhost\tlocal\t~\n'
        self.write('host.list', BOM + line)
        self.write('host.list.available', BOM + line)
        self.write('lwt.conf', BOM + b'[lwt]\nretries = 0\n')
        self.write('description/one/desc', BOM + b'exec : echo {}\n')
        self.write('values', BOM + b'a\nb\n')
        done = self.lwt('task', 'add', 'one', '--each', 'values')
        self.assertEqual((done.code, done.err), (0, 'lwt: 2 tasks added\n'), done)
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.lwt('task', 'log', '1').out, 'a\n')

    def test_FR_30_the_input_of_multi(self):
        """FR-30: command lines and arguments, but not those separated by NUL bytes; and the job
        log.
        """
        self.write('list', BOM + b'a\nb\n')
        for words, stdin, out in (((), BOM + b'echo x\necho y\n', b'x\ny\n'),
                                  (('echo',), BOM + b'a\nb\n', b'a\nb\n'),
                                  (('echo', '::::', 'list'), b'', b'a\nb\n'),
                                  (('echo', '{1}{2}', '::::', 'list', ':::', 'c'), b'',
                                   b'ac\nbc\n'),
                                  (('-0', 'echo'), BOM + b'a', BOM + b'a\n')):
            done = self.lwt('multi', '-k', *words, stdin=stdin)
            self.assertEqual((done.code, done.out.encode()), (0, out), done)
        self.lwt('multi', '--joblog', 'log', 'echo', ':::', 'a', 'b')
        self.write('log', BOM + self.read('log').encode())
        done = self.lwt('multi', '--joblog', 'log', '--resume', 'echo', ':::', 'a', 'b', 'c')
        self.assertEqual((done.code, done.out), (0, 'c\n'), done)

    def test_FR_30_a_script(self):
        """FR-30: the mark is not sent, so that the #! line counts."""
        self.write('script', BOM + b'#!/bin/sh\necho x\n')
        done = self.lwt('exec', '-w', 'localhost', '--script', 'script')
        self.assertEqual((done.code, done.out), (0, 'x\n'), done)

    def test_FR_30_utf_16_is_named(self):
        """FR-30: the format that other editors call Unicode is an error that says so."""
        self.write('hosts', 'h1\n'.encode('utf-16'))
        done = self.lwt('hosts', '-w', '^hosts')
        self.assert_refused(done, 2, 'hosts: UTF-16, not UTF-8', 'iconv -f UTF-16 -t UTF-8')


class NamedFiles(ProgramTestCase):
    """Files that the commands of a desc name."""

    def setUp(self):
        super().setUp()
        self.make_workspace()

    def added(self, desc, **files):
        """Return the standard error of `task add`."""
        self.describe('one', desc, **files)
        done = self.lwt('task', 'add', 'one')
        self.assertEqual(done.code, 0, done)
        return done.err

    def test_UR_22_a_file_that_is_not_in_the_folder_is_named(self):
        """UR-22: with the file and the line of the desc."""
        for desc, said in (('# x\nexec : ./rum.sh\n', 'one/desc:2: ./rum.sh is not in the folder'),
                           ('exec : sh rum.sh {}\n', 'desc:1: rum.sh is not in the folder'),
                           ('exec : python3 -u train.py\n',
                            'desc:1: train.py is not in the folder'),
                           ('exec : bin/prog x\n', 'desc:1: bin/prog is not in the folder'),
                           ('exec : rum.sh\n',
                            'desc:1: rum.sh is not in the folder, so each host needs it'),
                           ('exec : A=b nosuch.py\n', 'nosuch.py is not in the folder'),
                           ('exec : true\nkill : ./stop\n', 'desc:2: ./stop is not in the folder')):
            with self.subTest(desc=desc):
                self.assertIn(said, self.added(desc, run_sh='true\n'))
        self.describe('one', 'exec : true\n')
        done = self.lwt('task', 'add', 'one', '--exec', './nosuch')
        self.assertIn('--exec: ./nosuch is not in the folder', done.err)

    def test_UR_22_a_script_without_an_interpreter_is_named(self):
        """UR-22: sh would run a file of Python."""
        self.assertIn('desc:1: train.py has no #! line',
                      self.added('exec : train.py {}\n', train_py='1\n'))
        self.assertIn('run.sh begins with a byte order mark',
                      self.added('exec : run.sh\n', run_sh=BOM + b'#!/bin/sh\n'))

    def test_UR_22_commands_that_may_be_right_are_not_remarked_upon(self):
        """UR-22: programs of the host, existing files, and words that only the shell can interpret.
        """
        for desc in ('exec : run.sh\n', 'exec : sh run.sh\n', 'exec : sh -c "./x"\n',
                     'exec : make\n',
                     'exec : train.py\nkill : pkill x\n', 'exec : /opt/x.py\n', 'exec : ~/x.sh\n',
                     'exec : $d_home/x\n',
                     'exec : python3 -m x.py\n', 'exec : cd sub && ./x\n', 'exec : ./$x\n',
                     'exec : ./{}\n',
                     'exec : sh "$x.sh"\n', 'exec : [ -e x ] || ./y\n', 'exec : ./sub/prog\n',
                     'exec : perl -e 1\n',
                     'exec : for i in 1 2; do ./x; done\n', 'exec : cat a.py | python3 -\n',
                     'exec : prog\n'):
            with self.subTest(desc=desc):
                self.write('description/one/sub/prog', 'x\n')
                err = self.added(desc, run_sh='#!/bin/sh\n', train_py='#!/usr/bin/python3\n',
                                 prog=b'\x7fELF\0')
                self.assertEqual(err, 'lwt: 1 task added\n')


if __name__ == '__main__':
    unittest.main()
