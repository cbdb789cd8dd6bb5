"""Options of GNU parallel in lwt multi: several arguments for a job, columns, headers, blocks of
data; and those that are left out.
"""

import json
import os
import subprocess
import tempfile
import unittest

from lwt.commands import multi_options, parallel_names
from lwt.errors import UsageError
from lwt.multi import blocks, inputs, packing, records, template
from tests import parallel_examples, parallel_on_hosts
from tests.support import ALL_STEPS, ProgramTestCase


def filled(text, arguments, sources=None, **spelling):
    """Return the text of a template with these arguments (all bytes)."""
    return template.Template(text, sources, template.Spelling(**spelling)).fill(arguments, 7, 2)


class Spellings(unittest.TestCase):
    """Other names for placeholders, names from headers, and repeated words."""

    def test_names_stand_for_positions(self):
        names = (b'f1', b'f', b'a b')
        for text, expected in ((b'{f1} {f} {a b}', b'x.y /p/q z'), (b'{f1.} {f/}', b'x q'),
                               (b'{f2} {3}', b'{f2} z'), (b'{-1}', b'z')):
            with self.subTest(text=text):
                self.assertEqual(filled(text, (b'x.y', b'/p/q', b'z'), 3, names=names), expected)

    def test_strings_replace_placeholders(self):
        for strings, text, expected in (
                ({b'%': b'{}'}, b'echo %.x {} {1}', b'echo a.b.x {} {1}'),
                ({b'%': b'{}'}, b'echo', b'echo a.b'),
                ({b',,': b'{.}'}, b'echo ,, {}', b'echo a a.b'),
                ({b'{}': b'{}'}, b'echo {}', b'echo a.b'),
                ({b'@': b'{#}', b'%': b'{%}'}, b'@ % {}', b'7 2 a.b')):
            with self.subTest(text=text):
                self.assertEqual(filled(text, (b'a.b',), 1, strings=strings), expected)

    def test_a_word_is_repeated_up_to_quotes_and_operators(self):
        """The context of a placeholder is repeated, but never half a string or an operator."""
        for text, expected in (
                (b'a{}b c', b'a1b a2b c'), (b'{.}={}', b'1=1 2=2'), (b'c {1} {}', b'c 1 1 2'),
                (b'f {}; g x{}', b'f 1 2; g x1 x2'), (b'"a b"{}c', b'"a b"1c 2c'),
                (b'x>{}', b'x>1 2'), (b'$(f {})', b'$(f 1 2)'), (b'{#}{}', b'71 72')):
            with self.subTest(text=text):
                self.assertEqual(filled(text, (b'1', b'2'), is_repeated=True), expected)
        self.assertEqual(filled(b'a{}b', (b'1', b'2')), b'a1 2b')

    def test_an_argument_that_is_missing_is_nothing(self):
        self.assertEqual(filled(b'[{1}][{2}][{-2}][{3.}]', (b'a',)), b'[a][][][]')

    def test_plus_has_changes_with_a_text_of_their_own(self):
        """These are texts and no regular expressions."""
        for text, value, expected in (
                (b'{%.gz}', b'a.tar.gz', b'a.tar'), (b'{%.gz}', b'axgz', b'axgz'),
                (b'{#a.}', b'a.b', b'b'), (b'{/b/c}', b'abab', b'acab'), (b'{:-x}', b'', b'x'),
                (b'{:2}', b'abc', b'c'), (b'{:1:1}', b'abc', b'b'), (b'{^a}', b'aa', b'Aa'),
                (b'{^^a}', b'aba', b'AbA'), (b'{,A}', b'AA', b'aA'), (b'{,,A}', b'AbA', b'aba'),
                (b'{1%c}', b'abc', b'ab'), (b'{seq}/{slot}/{}', b'a', b'7/2/a'),
                (b'{% b}', b"a' b", b"'a'\"'\"''")):
            with self.subTest(text=text):
                self.assertEqual(filled(text, (value,), 1, is_plus=True), expected)

    def test_quoted_words_are_those_of_the_user(self):
        for words, expected in (((b'a b', b'$x'), b"'a b' '$x'"), ((b'-{}', b''), b"-{} ''"),
                                ((b'a {}; b',), b"'a '{}'; b'"), ((b"it's",), b"'it'\"'\"'s'")):
            with self.subTest(words=words):
                self.assertEqual(template.quoted_words(words, template.Spelling()), expected)

    def test_jobs_without_arguments_have_no_placeholder_for_them(self):
        self.assertEqual(filled(b'wc {#}', (), 0), b'wc 7')
        for text in (b'wc {}', b'wc {1}', b'wc {/.}'):
            with self.subTest(text=text):
                self.assertRaises(UsageError, filled, text, (), 0)


class Packing(unittest.TestCase):
    """How many arguments each job gets."""

    def packed(self, options, values, text=b'echo', slots=4):
        place = template.Template(text, None)
        packer = packing.Packer(packing.Packing(**options), place, slots)
        jobs, values = [], list(values)
        while True:
            job = packer.take()
            if job is not None:
                jobs.append(b''.join(job).decode())
            elif values:
                packer.add((values.pop(0),))
            elif packer.is_empty:
                return jobs
            else:
                packer.end()

    def test_arguments_are_counted_filled_and_shared(self):
        letters = [bytes([letter]) for letter in b'ABCDEFGHIJ']
        for options, count, expected in (
                ({'most': 3}, 8, 'ABC DEF GH'), ({'most': 3}, 6, 'ABC DEF'),
                ({'most': 0, 'length': 9}, 4, 'AB CD'),
                ({'most': 0, 'length': 1}, 2, 'A B'),
                ({'most': 3, 'length': 9}, 4, 'AB CD'),
                ({'most': 0, 'length': 1000, 'is_spread': True}, 10, 'ABC DEF GHI J'),
                ({'most': 0, 'length': 13, 'is_spread': True}, 10, 'ABCD EFGH I J'),
                ({'most': 2, 'length': 1000, 'is_spread': True}, 4, 'AB C D'),
                ({'most': 0, 'length': 1000, 'is_spread': True}, 1, 'A'),
                ({'most': 1, 'is_inserted': False}, 2, ' ')):
            with self.subTest(options=options, count=count):
                self.assertEqual(' '.join(self.packed(options, letters[:count])), expected)

    def test_lengths_are_those_of_the_commands(self):
        """No command is longer than the limit, and none could have had another argument."""
        values = [b'%d' % (number * number) for number in range(500)]
        for text, is_repeated in ((b'echo', False), (b'x{}y {.} {1} z', True), (b'a {}{.}', True)):
            place = template.Template(text, None, template.Spelling(is_repeated=is_repeated))
            packer = packing.Packer(packing.Packing(0, 300), place, 1)
            for value in values:
                packer.add((value,))
            packer.end()
            sizes = [len(place.fill(job, 1, 1)) for job in iter(packer.take, None)]
            with self.subTest(text=text):
                self.assertLessEqual(max(sizes), 300)
                self.assertGreater(min(sizes[:-1]), 300 - 50)

    def test_values_are_cleaned_and_split(self):
        import re
        style = inputs.Style(b'\n', dos=True, end=b'stop', skips_empty=True, trim='lr',
                             columns=re.compile(b','))
        self.assertEqual(style.cleaned([b'a\r', b' ', b'b', b'stop', b'c']), ([b'a', b'b'], True))
        self.assertEqual(style.record([b'a , b', b'c']), (b'a', b'b', b'c'))


class Records(unittest.TestCase):
    """Where blocks of records end."""

    def test_the_last_record_that_ends_in_a_block(self):
        for options, data, expected in (
                ({}, b'ab\ncd\nef', 6), ({}, b'abc', 0), ({'end': b', '}, b'a, b, c,', 6),
                ({'end': b'', 'start': b'>'}, b'>a\n>b\n>c', 6),
                ({'end': b'', 'start': b'>'}, b'>abc', 0),
                ({'end': b'\n', 'start': b'>'}, b'>a\n>b\nc\n', 3),
                ({'end': b',_+', 'is_regexp': True}, b'a,_b,__c', 7)):
            with self.subTest(options=options, data=data):
                marks = records.RecordMarks(**options)
                self.assertEqual(marks.last_end(data, 0, len(data)), expected)

    def test_counted_records(self):
        for options, data, is_last, expected in (
                ({'most': 2}, b'a\nb\nc\n', False, 4), ({'most': 4}, b'a\nb\nc\n', False, 0),
                ({'most': 4}, b'a\nb\nc', True, 5), ({'lines': 2}, b'a\nb\nc\n', False, 4),
                ({'lines': 2}, b'a\nb\nc\n', True, 4), ({'lines': 2}, b'a\n', True, 2),
                ({'most': 1, 'end': b'', 'start': b'/'}, b'/a/b', False, 2)):
            with self.subTest(options=options, data=data):
                marks = records.RecordMarks(**options)
                self.assertEqual(marks.counted_end(data, 0, len(data), is_last), expected)

    def test_marks_are_removed(self):
        for options, data, expected in (
                ({}, b'a\nb\n', b'ab'), ({'end': b'X.'}, b'aX.bXX', b'abXX'),
                ({'end': b'', 'start': b'>'}, b'>a>b', b'ab'),
                ({'end': b',_+', 'is_regexp': True}, b'a,__b', b'ab')):
            with self.subTest(options=options):
                self.assertEqual(records.RecordMarks(**options).without_marks(data), expected)


class Values(unittest.TestCase):
    """The values of options."""

    def test_values_of_gnu_parallel(self):
        for read, text, expected in (
                (multi_options.size, '3m', 3000000), (multi_options.size, '3M', 3 << 20),
                (multi_options.size, '1.5k', 1500), (multi_options.block_size, '-10', -10),
                (multi_options.block_size, '10', 10), (multi_options.delimiter, r'\0', b'\0'),
                (multi_options.delimiter, r'\x2c', b','), (multi_options.delimiter, '_', b'_'),
                (multi_options.unescaped, r'a\n\t\\n\q', b'a\n\t\\n\\q')):
            with self.subTest(text=text):
                self.assertEqual(read(text), expected)
        for read, text in ((multi_options.size, '3x'), (multi_options.block_size, '-0'),
                           (multi_options.block_size, '0'), (multi_options.delimiter, 'ab'),
                           (multi_options.pattern, '(')):
            with self.subTest(text=text):
                self.assertRaises(ValueError, read, text)

    def test_halt_takes_the_numbers_of_gnu_parallel(self):
        for text, same in (('1', 'soon,fail=1'), ('2', 'now,fail=1'), ('-1', 'soon,success=1'),
                           ('-2', 'now,success=1'), ('30%', 'soon,fail=30%'), ('0', 'never')):
            with self.subTest(text=text):
                self.assertEqual(multi_options.halt(text), multi_options.halt(same))

    def test_options_that_are_left_out_are_refused_with_advice(self):
        for names, advice in parallel_names.LEFT_OUT:
            for name in names:
                for argv in ([name, 'x', 'echo', ':::', 'a'], [name]):
                    with self.subTest(argv=argv):
                        with self.assertRaises(UsageError) as caught:
                            multi_options.parse(multi_options.make_parser('multi'), argv)
                        self.assertIn(name + ' of GNU parallel is not', caught.exception.message)
                        self.assertEqual(caught.exception.hint, advice.replace('%%', '%'))

    def test_options_without_effect_are_accepted(self):
        _parsed, arguments = multi_options.parse(
            multi_options.make_parser('multi'),
            list(parallel_names.WITHOUT_EFFECT) + ['echo', ':::', 'a'])
        self.assertEqual(arguments.words, ['echo'])


class Ranges(unittest.TestCase):
    """Parts of a file for the standard input of a job."""

    def test_a_range_is_sent_by_the_kernel_or_without_it(self):
        with tempfile.TemporaryFile() as file:
            file.write(b'0123456789')
            file.flush()
            for can_send in (True, False):
                blocks.FileRange._can_send = can_send
                self.addCleanup(setattr, blocks.FileRange, '_can_send', hasattr(os, 'sendfile'))
                ends = os.pipe()
                part = blocks.FileRange(file.fileno(), 'name', 2, 7)
                with self.subTest(can_send=can_send):
                    self.assertEqual([part.send(ends[1]), part.send(ends[1])], [5, 0])
                    self.assertEqual(os.read(ends[0], 100), b'23456')
                    part = blocks.FileRange(file.fileno(), 'name', 8, 20)
                    self.assertEqual(part.send(ends[1]), 2)
                    self.assertRaisesRegex(OSError, 'shorter', part.send, ends[1])
                list(map(os.close, ends))


class Program(ProgramTestCase):
    """lwt multi."""

    def test_wrong_use_is_refused(self):
        self.write('file', 'a\n')
        for argv, said in (
                (('-n', '0', 'echo', ':::', 'a'), '-n 0'), (('-n', 'x', 'echo', ':::', 'a'), '-n'),
                (('-N', '2', ':::', 'a'), 'TEMPLATE'),
                (('-N2', 'echo {3}', ':::', 'a'), '{3}: there are only 2 arguments'),
                (('--colsep', '(', 'echo', ':::', 'a'), '--colsep'),
                (('--header', '2', 'echo', ':::', 'a'), '--header 2'),
                (('--block', '0', '--pipe', 'wc'), '--block'),
                (('--block', '-1', '--pipe', 'wc'), '--block -1'),
                (('--pipe',), '--pipe needs a command'), (('--pipe', 'wc {}'), '{}: jobs have no'),
                (('--pipe', 'wc', ':::', 'a'), 'standard input'),
                (('--pipe', '--colsep', ',', 'wc'), '--colsep'),
                (('--pipe', 'echo {##}'), 'number of jobs'),
                (('--pipe', '--halt', 'now,fail=10%', 'wc'), 'number of jobs'),
                (('--pipe', '--joblog', 'log', '--resume', 'wc'), '--resume'),
                (('--pipe', '--round-robin', '--retries', '1', 'wc'), '--round-robin'),
                (('--pipepart', 'wc'), '-a FILE'),
                (('--pipepart', '-a', 'file', '-N', '2', 'wc'), '-N does not work'),
                (('--pipepart', '-a', '.', 'wc'), 'regular file'),
                (('--pipepart', '-a', 'none', 'wc'), 'none'),
                (('--recend', 'x', 'echo', ':::', 'a'), '--recend needs --pipe'),
                (('--tagstring', '{%}', 'echo', ':::', 'a'), '--tagstring'),
                (('-I', '', 'echo', ':::', 'a'), '-I'), (('--rpl', 'x', 'echo'), '--rpl'),
                (('echo {= s/a/b/ =}', ':::', 'a'), 'Perl')):
            with self.subTest(argv=argv):
                done = self.lwt('multi', *argv)
                self.assert_refused(done, 2, said)
                self.assertEqual(done.out, '')

    def test_a_block_is_held_for_a_job_and_read_again_when_it_is_retried(self):
        """A job that fails once gets the same data again; one that reads nothing harms nobody."""
        job = 'case $LWT_SEQ in 1) exec true;; 2) [ -e x ] || { head -c1; touch x; exit 1; };; ' \
              'esac; wc -lc'
        done = self.lwt('multi', '-k', '--pipe', '--block', '100k', '--retries', '1', job,
                        stdin=b'0123456\n' * 40000)
        self.assertEqual(done.code, 0, done)
        self.assertEqual([list(map(int, line.split())) for line in done.out.splitlines()],
                         [[12500, 100000], [12500, 100000], [2500, 20000]])

    def test_input_is_read_only_as_jobs_need_it(self):
        """Backpressure: with one job that does not end, lwt holds two blocks and reads no more."""
        ends = os.pipe()
        os.set_blocking(ends[1], False)
        popen = self.start('multi', '-j1', '--pipe', '--block', '100000', 'sleep 60',
                           stdin=ends[0])
        os.close(ends[0])
        sent = 0
        while sent < 10 << 20:
            try:
                sent += os.write(ends[1], b'x' * 999 + b'\n')
            except BlockingIOError:
                if not self.waits(popen):
                    break
        os.close(ends[1])
        popen.terminate()
        popen.communicate(timeout=30)
        self.assertLess(sent, 2 << 20)

    def waits(self, popen):
        """Wait a moment; returns whether lwt has not started its job yet."""
        try:
            popen.wait(1)
        except subprocess.TimeoutExpired:
            return not self.children_of(popen.pid)
        return False

    @staticmethod
    def children_of(number):
        with open('/proc/%d/task/%d/children' % (number, number)) as file:
            return len(file.read().split()) > 1         # the guard is one

    def test_records_longer_than_a_block_are_whole(self):
        """Short and long records in turn; each job gets whole ones."""
        lines = [b'%d' % size * size for size in (1, 300, 2, 2000, 3, 9, 700, 1, 40)]
        data = b''.join(line + b'\n' for line in lines)
        for words in ((), ('-N1',), ('-L2',), ('--recend', '', '--recstart', '\\n')):
            with self.subTest(words=words):
                done = self.lwt('multi', '-k', '--pipe', '--block', '16', *(words + ('cat',)),
                                stdin=data)
                self.assertEqual(done.out.encode(), data)

    def test_large_data_arrives_whole_in_both_ways(self):
        path = self.write('data', ''.join('%d\n' % number for number in range(600000)))
        size = os.path.getsize(path)
        for words in (('--pipe', '-a', 'data'), ('--pipepart', '-a', 'data'),
                      ('--pipepart', '-a', 'data', '--block', '-3'),
                      ('--pipe', '-a', 'data', '--round-robin', '--block', '100k')):
            with self.subTest(words=words):
                done = self.lwt('multi', '-j2', *(words + ('wc -lc',)))
                counts = [list(map(int, line.split())) for line in done.out.splitlines()]
                self.assertEqual(list(map(sum, zip(*counts))), [600000, size], done)


class Tutorial(ProgramTestCase):
    """The examples of GNU parallel's tutorial print what they printed beside GNU parallel."""

    EVERY = 1 if ALL_STEPS else 4

    def test_the_examples(self):
        with open(parallel_examples.RECORD, encoding='utf-8') as file:
            recorded = json.load(file)
        wanted = [example for example in parallel_examples.EXAMPLES if example.text in recorded]
        self.assertEqual(len(wanted), len(recorded))
        os.makedirs(self.path('examples/files'))
        subprocess.run(['bash', '-c', parallel_examples.SETUP], cwd=self.path('examples/files'),
                       check=True)
        for example in wanted[::self.EVERY]:
            with self.subTest(example=example.text):
                with tempfile.TemporaryDirectory(dir=self.path('examples')) as directory:
                    found = parallel_examples.run(example.text, 'lwt', directory,
                                                  'ln -s ../files/* .\n')
                self.assertEqual(parallel_examples.comparable(example, found.lines),
                                 recorded[example.text], found)

    def test_the_document_has_every_example(self):
        with open(parallel_examples.DOCUMENT, encoding='utf-8') as file:
            rows = file.read().split(parallel_examples.BEGIN)[1].split(parallel_examples.END)[0]
        self.assertEqual(rows.count('\n| `'), len(parallel_examples.EXAMPLES))
        found = parallel_examples.written_rows(
            parallel_on_hosts.EXAMPLES, parallel_on_hosts.BEGIN, parallel_on_hosts.END)
        self.assertEqual(len(found), len(parallel_on_hosts.EXAMPLES))
