"""The results of a task: symbolic links, new and different files, odd names and modes, on every
kind of host.
"""

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import tracemalloc
import unittest
from unittest import mock

from lwt.copy import tarstream
from lwt.remote import host_limits, scripts
from lwt.tasks import result_files
from lwt.workspace import files
from tests.support import MARK, LeakCheckedTestCase, marked, tree_of, wait_for
from tests.test_copy import environments
from tests.test_tasks import TaskTestCase

KEY = 'ab' * 16 + '.1'
INPUT = 'folder'
DIR, SYM = tarfile.DIRTYPE, tarfile.SYMTYPE


def tree(path):
    """Return the tree_of a directory, with text as the content of files."""
    return {name: content.decode('utf-8', 'surrogateescape') if isinstance(content, bytes)
            else content
            for name, content in tree_of(path).items()}


class FetchTestCase(LeakCheckedTestCase):
    """A task's directory on its host, what sh/fetch.sh sends of it, and what the master makes of
    that.
    """

    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory(prefix='lwt-test.')
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.addCleanup(os.umask, os.umask(0o022))
        self.shell, self.search, self.method = 'sh', os.environ['PATH'], 'find'
        self.number = 0

    def in_each(self, test):
        """Call test() for every kind of host."""
        for name, self.shell, self.search in environments(self.scratch):
            for self.method in ('stat', 'content') if 'busybox' in name else ('find',):
                with self.subTest(host=name, method=self.method):
                    test()

    def make(self, command, prepare=':'):
        """Make the directory of a task: prepare makes its input, command is the task's command."""
        self.number += 1
        self.home = os.path.join(self.scratch, 'home%d' % self.number)
        for part in ('i/%s/work' % INPUT, 't/' + KEY):
            os.makedirs(os.path.join(self.home, '.lwt', part))
        self.in_folder('i/%s/work' % INPUT, 'chmod 755 .; ' + prepare)
        self.in_folder('i/' + INPUT, 'true > staged; sleep 0.02')
        self.in_folder('t/' + KEY, 'cp -RPp ../../i/%s/work work; echo out > run.stdout' % INPUT)
        self.in_folder('t/' + KEY, 'echo cancel %s > cancel' % self.method)
        self.in_folder('t/' + KEY, 'sleep 0.02')
        self.in_folder('t/%s/work' % KEY, command)

    def in_folder(self, folder, command):
        subprocess.run(['bash', '-c', command], cwd=os.path.join(self.home, '.lwt', folder),
                       check=True)

    def fetch(self, d_fetch):
        """Fetch; return (the tree of result/, the Arrived, the other messages)."""
        script = scripts.with_arguments(scripts.script_text(*scripts.LONG_SCRIPTS['fetch']),
                                        (KEY, INPUT, d_fetch))
        env = {'PATH': self.search, 'HOME': self.home, MARK: self.mark}
        done = subprocess.run(['/bin/sh', '-c', 'exec %s -c "$0"' % self.shell,
                               os.fsdecode(script)], cwd=self.home, env=env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60)
        stream = os.path.join(self.scratch, 'stream')
        with open(stream, 'wb') as file:
            file.write(done.stdout)
        told = done.stderr.decode('utf-8', 'replace').splitlines()
        self.assertIn('digest sha256 ' + tarstream.sha256(stream), told)
        self.assertTrue(tarstream.is_complete(stream))
        part = os.path.join(self.scratch, 'part')
        shutil.rmtree(part, ignore_errors=True)
        arrived = result_files.unpack(stream, part, {KEY: d_fetch})[KEY]
        self.assertEqual(sorted(os.listdir(os.path.join(part, KEY))), ['result', 'run.stdout'])
        self.result = os.path.join(part, KEY, 'result')
        return tree(self.result), arrived, [line for line in told if not line.startswith('digest')]

    def assert_fetched(self, d_fetch, expected):
        """Assert that everything arrives without a problem."""
        self.assertEqual(self.fetch(d_fetch), (expected, result_files.Arrived(True), ['tar 0']))


LINKS = (       # the task's command, d_fetch, the expected result
    ('mkdir run3; echo x > run3/f; ln -s run3 latest', 'latest', {'f': 'x\n'}),
    ('echo x > f; ln -s f latest', 'latest', {'latest': 'x\n'}),
    ('mkdir run3; echo x > run3/f; ln -s run3 a; ln -s ./a b; ln -s "$PWD/b" c', 'c', {'f': 'x\n'}),
    ('mkdir -p run3/out; echo x > run3/out/f; ln -s run3 latest', 'latest/out', {'f': 'x\n'}),
    ('mkdir -p run3/out; echo x > run3/out/f; ln -s run3 latest', 'latest/out/f', {'f': 'x\n'}),
    ('echo x > f; ln -s . latest', 'latest', {'f': 'x\n', 'latest': ('link', '.')}),
    # links within the fetched tree
    ('mkdir -p out/d; echo x > out/a; ln -s a out/b; ln -s ../a out/d/up; ln -s d out/e; ln -s '
     'e/up out/f; ln -s . out/self; '
     'ln -s ../../out/a out/d/round', 'out',
     {'a': 'x\n', 'b': ('link', 'a'), 'd': None, 'd/up': ('link', '../a'), 'e': ('link', 'd'),
      'f': ('link', 'e/up'),
      'self': ('link', '.'), 'd/round': 'x\n'}),
    # links to other parts of the task's directory
    ('mkdir -p out data/in; echo x > data/x; echo y > other; ln -s x data/l; ln -s ../other '
     'data/o; ln -s ../x data/in/up; '
     'ln -s ../data/x out/x; ln -s ../data out/all', 'out',
     {'x': 'x\n', 'all': None, 'all/x': 'x\n', 'all/l': ('link', 'x'), 'all/o': 'y\n',
      'all/in': None,
      'all/in/up': ('link', '../x')}),
    ('mkdir out data; echo x > data/x; ln -s ../data/x out/y; ln -s y out/x; ln -s ../data out/d; '
     'ln -s d/x out/z', 'out',
     {'x': ('link', 'y'), 'y': 'x\n', 'd': None, 'd/x': 'x\n', 'z': ('link', 'd/x')}),
    ('mkdir out data; echo x > data/x; ln -s run4 data/.l; mkdir run4; echo 4 > run4/f; ln -s '
     '../run4 data/l; rm data/.l; '
     'ln -s ../data/l/f out/f; ln -s ../data/l out/g', 'out',
     {'f': '4\n', 'g': None, 'g/f': '4\n'}),
    ('mkdir -p out/deep/er data; echo x > data/x; ln -s ../../../data out/deep/er/d; ln -s d/../y '
     'out/deep/er/y; '
     'echo top > y', 'out', {'deep': None, 'deep/er': None, 'deep/er/d': None, 'deep/er/d/x': 'x\n',
                             'deep/er/y': 'top\n'}),
    # absolute links into the task's own directory
    ('mkdir out data; echo x > data/x; echo f > out/f; ln -s "$PWD/data/x" out/x; ln -s '
     '"$PWD/data" out/d; ln -s "$PWD/out/f" '
     'out/g; ln -s "$PWD/out" out/top', 'out',
     {'f': 'f\n', 'x': 'x\n', 'd': None, 'd/x': 'x\n', 'g': 'f\n', 'top': ('link', '.')}),
    # links to a directory that contains them
    ('mkdir -p out/d; echo x > out/f; echo y > g; ln -s .. out/loop; ln -s ../../out out/d/up',
     'out',
     {'f': 'x\n', 'd': None, 'd/up': ('link', '..'), 'loop': None, 'loop/g': 'y\n',
      'loop/out': None, 'loop/out/f': 'x\n',
      'loop/out/d': None, 'loop/out/d/up': ('link', '../../out'), 'loop/out/loop': ('link', '..')}),
    ('mkdir out a b; ln -s ../b a/to_b; ln -s ../a b/to_a; ln -s ../a out/a; echo x > b/f', 'out',
     {'a': None, 'a/to_b': None, 'a/to_b/f': 'x\n', 'a/to_b/to_a': ('link', '..')}),
    # odd names
    ("mkdir out 'da\nta'; echo x > 'da\nta/-n \\'; ln -s '../da\nta' 'out/l\n'; ln -s "
     "'../da\nta/-n \\' out/-f; "
     "ln -s '../da\nta' \"$(printf 'out/\\377')\"", 'out',
     {'l\n': None, 'l\n/-n \\': 'x\n', '-f': 'x\n', '\udcff': None, '\udcff/-n \\': 'x\n'}),
    # hard links
    ('mkdir out; echo x > out/a; ln out/a out/b; ln out/a outside', 'out',
     {'a': 'x\n', 'b': 'x\n'}),
    ('mkdir out; echo x > a; ln a b; ln -s ../a out/a; ln -s ../b out/b', 'out',
     {'a': 'x\n', 'b': 'x\n'}),
)

NEW_LINKS = (   # the same without d_fetch; the input holds `input` and `folder/f`
    ('ln -s input l; ln -s "$PWD/input" m; mkdir d; ln -s ../input d/up; ln -s l n', {
        'l': 'in\n', 'm': 'in\n', 'd': None, 'd/up': 'in\n', 'n': ('link', 'l')}),
    ('ln -s folder l; ln -s folder/f m', {'l': None, 'l/f': 'f\n', 'm': 'f\n'}),
    ('ln -s folder l; echo new > folder/new',
     {'folder': None, 'folder/new': 'new\n', 'l': None, 'l/f': 'f\n', 'l/new': 'new\n'}),
    ('mkdir d; echo x > d/x; ln -s d e; ln -s x d/y; ln -s ../input d/z', {
        'd': None, 'd/x': 'x\n', 'e': ('link', 'd'), 'd/y': ('link', 'x'), 'd/z': 'in\n'}),
    ('ln -s . here; ln -s .. folder/up; ln -s "$PWD" folder/top; echo x > x', {
        'here': ('link', '.'), 'x': 'x\n', 'folder': None, 'folder/up': ('link', '..'),
        'folder/top': ('link', '..')}),
)

# The task's command besides `echo x > out/f`, d_fetch, what arrives, the words of the error
# message.
LOST = (
    ('ln -s nosuch out/l', 'out', {'f': 'x\n'}, 'out/l: dangling link (to nosuch)'),
    ('ln -s f/x out/l', 'out', {'f': 'x\n'}, 'out/l: dangling link (to f/x)'),
    ('ln -s l out/l', 'out', {'f': 'x\n'}, 'out/l: link that leads to itself (to l)'),
    ('ln -s m out/l; ln -s l out/m', 'out', {'f': 'x\n'},
     'out/l: link that leads to itself (to m)'),
    ('ln -s /etc/passwd out/l', 'out', {'f': 'x\n'},
     "out/l: the link leads out of the task's directory (to /etc/passwd)"),
    ('ln -s ../../run.stdout out/l', 'out', {'f': 'x\n'},
     "out/l: the link leads out of the task's directory (to ../../run.stdout)"),
    ('ln -s ../../../../../.. out/l', 'out', {'f': 'x\n'},
     "out/l: the link leads out of the task's directory (to ../../../../../..)"),
    ('mkdir d; ln -s /etc d/e; ln -s ../d out/l', 'out', {'f': 'x\n', 'l': None},
     "d/e: the link leads out of the task's directory (to /etc)"),
    ('ln -s nosuch latest', 'latest', {}, 'latest: dangling link (to nosuch)'),
    ('ln -s /etc latest', 'latest', {},
     "latest: the link leads out of the task's directory (to /etc)"),
    ('ln -s /etc latest', 'latest/ssh', {},
     "latest/ssh: the link leads out of the task's directory"),
    ('ln -s latest latest', 'latest', {}, 'latest: link that leads to itself (to latest)'),
    ('ln -s nosuch new', '', {'out': None, 'out/f': 'x\n'}, 'new: dangling link (to nosuch)'),
    ('ln -s ../cancel new', '', {'out': None, 'out/f': 'x\n'},
     "new: the link leads out of the task's directory (to ../cancel)"),
    ('mkfifo out/p', 'out', {'f': 'x\n'}, 'out/p'),
    ('mkfifo p', '', {'out': None, 'out/f': 'x\n'}, 'p'),
)


class Links(FetchTestCase):
    """FR-1: symbolic links in results."""

    maxDiff = None

    def test_FR_1_links_stay_links_or_become_what_they_lead_to(self):
        """FR-1: links stay links, or become what they lead to."""
        def come():
            for command, d_fetch, expected in LINKS:
                with self.subTest(command=command):
                    self.make(command)
                    self.assert_fetched(d_fetch, expected)
        self.in_each(come)

    def test_FR_1_new_links_to_unchanged_input_become_copies(self):
        """FR-1: links to unchanged input, when everything new is sent."""
        def come():
            for command, expected in NEW_LINKS:
                with self.subTest(command=command):
                    self.make(command, 'echo in > input; mkdir folder; echo f > folder/f')
                    self.assert_fetched('', expected)
        self.in_each(come)

    def test_FR_1_what_cannot_come_is_named_and_the_rest_comes(self):
        """FR-1: files that cannot be sent are named, and the rest arrives."""
        def come():
            for command, d_fetch, expected, said in LOST:
                with self.subTest(command=command, d_fetch=d_fetch):
                    self.make('mkdir out; echo x > out/f; ' + command)
                    came, arrived, told = self.fetch(d_fetch)
                    self.assertEqual((came, told), (expected, ['tar 0']))
                    self.assertIn(said, ' '.join(arrived.missing + arrived.refused))
                    self.assertEqual(len(arrived.missing + arrived.refused),
                                     2 if 'out/m' in command else 1, arrived)
        self.in_each(come)


PREPARE = ('echo one > a.txt; echo two > b.txt; mkdir d; echo x > d/x; echo y > d/y; ln -s a.txt '
           'l; cp a.txt conf; cp b.txt old')

CHANGES = (     # a task's change to that, what arrives: '=' means nothing else
    (':', {}),
    ('mv a.txt b.txt', {'b.txt': 'one\n'}),
    ('cp -p old conf', {'conf': 'two\n'}),
    ('cp -p old conf; cp -p b.txt d/x', {'conf': 'two\n', 'd': None, 'd/x': 'two\n'}),
    ('touch -d 1999-01-01 a.txt', {'a.txt': 'one\n'}),
    ('touch -r a.txt t; echo ONE > a.txt; touch -r t a.txt; rm t', {'a.txt': 'ONE\n'}),
    ('mv a.txt t; mv b.txt a.txt; mv t b.txt', {'a.txt': 'two\n', 'b.txt': 'one\n'}),
    ('chmod 600 a.txt', {'a.txt': 'one\n'}),
    ('rm a.txt; mkdir a.txt; echo x > a.txt/f', {'a.txt': None, 'a.txt/f': 'x\n'}),
    ('rm -r d; echo file > d', {'d': 'file\n'}),
    ('rm -r d; ln -s b.txt d', {'d': 'two\n'}),
    ('rm a.txt; ln -s b.txt a.txt', {'a.txt': 'two\n'}),
    ('rm l; echo file > l', {'l': 'file\n'}),
    ('rm l; ln -s b.txt l', {'l': 'two\n'}),
    ('tar -cf - d | (mkdir new; cd new; tar -xpf -)',
     {'new': None, 'new/d': None, 'new/d/x': 'x\n', 'new/d/y': 'y\n'}),
    ('mkdir -p e/m/p/t/y',
     {'e': None, 'e/m': None, 'e/m/p': None, 'e/m/p/t': None, 'e/m/p/t/y': None}),
    ('mv d moved', {'moved': None, 'moved/x': 'x\n', 'moved/y': 'y\n'}),
    ('touch -d 1980-01-01 new; touch -d 2099-01-01 later', {'new': '', 'later': ''}),
    ("mkdir 'a\nb'; echo x > 'a\nb/c\n'; echo y > 'd/x\n'; echo changed > d/y",
     {'a\nb': None, 'a\nb/c\n': 'x\n', 'd': None, 'd/x\n': 'y\n', 'd/y': 'changed\n'}),
    ("echo x > 'back\\n'; mkdir 't\\\\t'; echo x > 't\\\\t/n\\\\n'",
     {'back\\n': 'x\n', 't\\\\t': None, 't\\\\t/n\\\\n': 'x\n'}),
    ("echo x > 'back\\slash'; echo y > ./-rf; echo z > ' blanks '; echo w > $'\\xff\\xfe'; echo v "
     "> $'\\x01'; echo u > $'tab\\t'",
     {'back\\slash': 'x\n', '-rf': 'y\n', ' blanks ': 'z\n', os.fsdecode(b'\xff\xfe'): 'w\n',
      '\x01': 'v\n', 'tab\t': 'u\n'}),
)


class Changes(FetchTestCase):
    """FR-2: without d_fetch, files that differ are sent."""

    maxDiff = None

    def test_FR_2_what_is_different_comes_whatever_its_time(self):
        """FR-2: a file that a task changed is sent, whatever its time; an unchanged one is not."""
        def come():
            for command, expected in CHANGES:
                with self.subTest(command=command):
                    self.make(command, PREPARE)
                    came, arrived, told = self.fetch('')
                    if self.method == 'content' and ('\n' in command or '\\' in command):
                        # On such hosts the rest is sent too.
                        came = {name: came[name] for name in came if name in expected}
                    self.assertEqual((came, arrived, told),
                                     (expected, result_files.Arrived(bool(expected)), ['tar 0']))
        self.in_each(come)


class Modes(FetchTestCase):
    """FR-36: files and directories have the modes that the task gave them, within the umask, at
    every level.
    """

    COMMAND = (
        'umask 022; mkdir -p out/a/b; echo x > out/f; echo x > out/a/b/f; chmod 640 out/f; chmod '
        '750 out/a/b; '
        'echo x > out/run; chmod 4755 out/run; echo x > out/ro; chmod 444 out/ro; mkdir '
        'out/shut; echo x > out/shut/f; '
        'mkdir out/t; chmod 3777 out/t; ln -s ../other out/copy; mkdir other; echo x > '
        'other/f; chmod 604 other/f; '
        'chmod 705 other')

    def modes(self):
        return {os.path.relpath(os.path.join(root, name),
                                self.result): os.lstat(os.path.join(root, name)).st_mode & 0o7777
                for root, dirs, names in os.walk(self.result) for name in dirs + names}

    def test_FR_36_modes_are_those_of_the_task_within_the_umask(self):
        """FR-36: as the task made them; never setuid, setgid or sticky; removable by their owner.
        """
        def come():
            for umask in (0o022, 0o077, 0o000, 0o027):
                os.umask(umask)
                for command, d_fetch in ((self.COMMAND, 'out'),
                                         (self.COMMAND + '; rm out/copy; mv out/* .; rmdir out',
                                          '')):
                    with self.subTest(umask='%03o' % umask, d_fetch=d_fetch):
                        self.make(command)
                        self.fetch(d_fetch)
                        wanted = {'f': 0o640, 'a': 0o755, 'a/b': 0o750, 'a/b/f': 0o644,
                                  'run': 0o755, 'ro': 0o444,
                                  'shut': 0o755, 'shut/f': 0o644, 't': 0o777, 'copy': 0o705,
                                  'copy/f': 0o604}
                        found = {name: mode
                                 for name, mode in self.modes().items() if name in wanted}
                        self.assertEqual(found,
                                         {name: mode & ~umask for name, mode in wanted.items()
                                          if d_fetch or not name.startswith('copy')})
                        self.assertEqual(os.stat(self.result).st_mode & 0o7777, 0o755 & ~umask)
                shutil.rmtree(self.result)
        self.in_each(come)

    def test_FR_36_a_directory_that_is_shut_can_be_read_and_removed_here(self):
        """FR-36: whatever its mode on the host, its owner can read and remove it on the master."""
        self.make('mkdir -p out/d; echo x > out/d/f; chmod 000 out/d/f; chmod 555 out/d')
        came, arrived, _told = self.fetch('out')
        if os.getuid() == 0:
            self.assertEqual((came['d/f'], arrived), ('x\n', result_files.Arrived(True)))
            self.assertEqual(self.modes(), {'d': 0o755, 'd/f': 0o400})
        shutil.rmtree(self.result)


def member(name, kind=tarfile.REGTYPE, link='', content=b''):
    """Return (TarInfo, content) of a member of a task's archive as a hostile host may send it."""
    info = tarfile.TarInfo('%s/%s' % (KEY, name))
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, content


def levels(count, length=0, content=b''):
    """Return members: out, D and E each contain so many links to the next directory; F, the last,
    contains a file.
    """
    found = [member('work/F/f', content=content)]
    for directory, target in (('out', 'D'), ('D', 'E'), ('E', 'F')):
        found.append(member('work/' + directory, DIR))
        for number in range(count):
            name = ('l%d' % number).ljust(length, 'x')
            found.append(member('work/%s/%s' % (directory, name), SYM, '../' + target))
    return found


class HostileLinks(unittest.TestCase):
    """SR-4 and SR-6: links that contradict the archive, or multiply its content, harm only the
    result of their task.
    """

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix='lwt-test.')
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.part = os.path.join(self.scratch, 'part')

    def unpack(self, *members, d_fetch='out'):
        """Unpack these members; return the Arrived."""
        stream = os.path.join(self.scratch, 'stream')
        with tarfile.open(stream, 'w', format=tarfile.GNU_FORMAT) as tar:
            for info, content in members:
                tar.addfile(info, io.BytesIO(content))
        self.size = os.path.getsize(stream)
        files.remove_tree(self.part)
        return result_files.unpack(stream, self.part, {KEY: d_fetch})[KEY]

    def assert_refused(self, arrived, words):
        """Assert that one line has the reason, and that no link is made."""
        lines = arrived.missing + arrived.refused
        self.assertEqual(len(lines), 1, lines)
        self.assertIn(words, lines[0])
        self.assertEqual(os.listdir(os.path.join(self.part, KEY, 'result')), [])

    def test_SR_4_a_directory_where_the_file_should_be(self):
        """SR-4: work/out is a link to a file, and also a directory that contains one of its names.
        """
        arrived = self.unpack(member('work/out/out/f'), member('./work/real'),
                              member('work/out', SYM, 'real'))
        self.assertIn('Is a directory', ' '.join(arrived.missing))

    def test_SR_6_links_that_multiply_each_other(self):
        """SR-6: three levels of links need many steps for few members, of empty files or dangling
        links.
        """
        for count in (10, 28, 100):
            for last in (member('work/F/g'), member('work/F/g', SYM, 'nowhere')):
                with self.subTest(count=count, kind=last[0].type):
                    tracemalloc.start()
                    self.addCleanup(tracemalloc.stop)
                    arrived = self.unpack(*levels(count), last)
                    self.assertLess(tracemalloc.get_traced_memory()[1], 8 << 20)
                    self.assert_refused(arrived, 'more than a result may hold')
        self.assertEqual(self.unpack(*levels(4)).missing, ())
        self.assertEqual(sum(len(names) for _root, _dirs, names in os.walk(self.part)), 4 ** 3)

    def test_SR_6_links_that_multiply_content(self):
        """SR-6: copies have at most GROWTH times the bytes of the archive, and a few in any case.
        """
        with mock.patch.object(host_limits, 'GROWTH_LEAST', 0):
            self.assertEqual(self.unpack(*levels(2, content=bytes(10 ** 5))).missing, ())
            self.assert_refused(self.unpack(*levels(4, content=bytes(10 ** 6))),
                                'more than a result may hold')

    def test_SR_6_links_that_lead_far(self):
        """SR-6: paths that are too long or too deep do not resolve, and following links has a
        limit.
        """
        for name, count in (('y' * 250, 20), ('y', host_limits.DEPTH + 1)):
            chain = [member('work/c%d/%s' % (number, name), SYM, '../c%d' % (number + 1))
                     for number in range(count)]
            self.assert_refused(self.unpack(*chain, member('work/c%d' % count, DIR),
                                            member('work/out/l', SYM, '../c0')),
                                'more than a result may hold')
        with mock.patch.object(host_limits, 'LOOKS_LEAST', 1000):
            self.assert_refused(
                self.unpack(member('work/D', DIR), member('work/out/a', SYM, '../D'), *[
                    member('work/out/l%d' % number, SYM, '../D/' * 300) for number in range(20)]),
                'more than a result may hold')

    def test_SR_6_links_imply_directories_too(self):
        """SR-6: a link that is only announced makes no directory, but the names are kept."""
        arrived = self.unpack(*[member('work/out/%d/%s' % (number, '/'.join('d' * 90)), SYM, 'x')
                                for number in range(60)])
        self.assert_refused(arrived, 'directories')


class Life(TaskTestCase):
    """Tasks whose results cannot be fetched completely, and processes that tasks leave running."""

    def kept(self):
        """Return the directories on the host that still contain results."""
        folder = self.path('home', '.lwt', 't')
        return [name
                for name in os.listdir(folder) if os.path.isdir(os.path.join(folder, name, 'work'))]

    def test_FR_1_what_cannot_come_stays_on_the_host_until_rm_or_retry(self):
        """FR-1: state failed, the link named, the directory kept for longer than `keep` days."""
        self.describe('half',
                      'exec : mkdir out; echo x > out/f; [ -e ~/fine ] || ln -s /etc/hosts '
                      'out/l\nd_fetch : out\n')
        self.describe('good',
                      'exec : mkdir run3; echo x > run3/f; ln -s run3 latest\nd_fetch : latest\n')
        self.add('half', 'half', 'good')
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 1, done)
        self.assertIn(
            "failed on localhost (result incomplete: out/l: the link leads out of the task's "
            "directory (to /etc/hosts))", done.err)
        self.assertIn('; its directory on localhost is kept until lwt task rm or retry', done.err)
        self.assertEqual([task['outcome'] for task in self.shown()],
                         ['failed', 'failed', 'success'])
        self.assertEqual([tree(os.path.join(where, 'result')) for where in self.results()],
                         [{'f': 'x\n'}] * 3)
        self.assertEqual(len(self.kept()), 2)
        later = ('--set', 'keep=0')
        for _ in range(2):
            self.lwt(*later, 'task', 'update')
        self.assertEqual((len(self.kept()), len(self.shown())), (2, 2),
                         'the one that is home is forgotten')
        kept = self.shown()[0]['kept']
        self.assertEqual([os.path.basename(one['path']) in self.kept() for one in kept], [True])
        self.assertIn('kept      localhost:~/.lwt/t/', self.lwt('task', 'show', '1').out)
        self.lwt('task', 'rm', '1')
        self.assertEqual(len(self.kept()), 1)
        self.write('home/fine', '')
        self.lwt('task', 'retry', '2')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.kept(), [])

    def test_FR_1_a_later_success_frees_what_an_earlier_attempt_keeps(self):
        """FR-1: after `keep` days."""
        self.describe('twice',
                      'exec : mkdir out; echo x > out/f; [ $LWT_ATTEMPT = 2 ] || ln -s x '
                      'out/l\nd_fetch : out\n'
                      'retries : 1\nretry_on : failed\n')
        self.add('twice')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(len(self.kept()), 1)
        self.lwt('--set', 'keep=0', 'task', 'update')
        self.assertEqual(len(self.kept()), 1, 'due when the success was recorded')
        self.describe('again',
                      'exec : mkdir out; [ $LWT_ATTEMPT = 2 ] || ln -s x out/l\nd_fetch : out\n'
                      'retries : 1\nretry_on : failed\n')
        self.add('again')
        self.assertEqual(self.lwt('--set', 'keep=0', 'task', 'run').code, 0)
        self.assertEqual(len(self.kept()), 1)

    def test_FR_2_what_a_task_changes_at_once_is_seen(self):
        """FR-2: with the clocks of the file system and the shells of this machine."""
        self.describe('fast', 'exec : mv a.txt b.txt\n', a_txt='one\n', b_txt='two\n',
                      c_txt='six\n')
        self.add('fast', '--array', '1-6')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual([tree(os.path.join(where, 'result')) for where in self.results()],
                         [{'b.txt': 'one\n'}] * 6)

    def test_FR_4_processes_that_a_task_leaves_are_ended_and_told(self):
        """FR-4: in any session or group, before the results are fetched."""
        late = 'sh -c "sleep 60; echo late > out/late"'
        commands = {'plain': '(%s) &' % late, 'nohup': 'nohup %s &' % late,
                    'session': 'setsid %s &' % late,
                    'orphan': '(setsid %s &) ; sleep 0.3' % late,
                    'clean': 'env -i PATH="$PATH" %s &' % late,
                    'deaf': 'sh -c "trap : TERM; while :; do echo x >> out/late; sleep 0.05; done" '
                            '& sleep 0.2'}
        for name, command in commands.items():
            self.describe(name, 'exec : mkdir out; echo x > out/f; %s\nd_fetch : out\n' % command)
        self.describe('none',
                      'exec : mkdir out; echo x > out/f; sleep 0.1 & wait\nd_fetch : out\ntimeout '
                      ': 60\n')
        self.add('none', *commands)
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 0, done)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))
        for task in self.shown():
            with self.subTest(name=task['name']):
                self.assertRegex(task['reason'],
                                 '^$' if task['name'] == 'none' else 'left running w(as|ere) ended')
                self.assertEqual(sorted(
                    set(os.listdir(os.path.join(task['result'], 'result'))) - {'late'}), ['f'])
        self.assertEqual(self.kept(), [])


if __name__ == '__main__':
    unittest.main()
