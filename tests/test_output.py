"""Output for people: lines, tables, times, and nothing that could control a terminal."""

import codecs
import errno
import json
import os
import subprocess
import sys
import unittest
from unittest import mock

from lwt.errors import Interrupted, printable_text
from lwt.output import spool, tables, units, writer
from lwt.output.progress import Progress, ProgressLine
from lwt.output.spool import WholeLines
from tests.support import ROOT


class LineTaking(unittest.TestCase):
    """Bytes in any pieces become whole lines with a label."""

    def lines(self, pieces, label=b'h: '):
        written = []
        lines = WholeLines(mock.Mock(write=written.append, write_from=written.extend), label)
        for piece in pieces:
            lines.feed(piece)
        before = b''.join(written)
        lines.finish()
        return before, b''.join(written)

    def test_whole_lines_are_written_and_the_rest_waits_for_its_newline(self):
        for pieces, before, after in (([], b'', b''), ([b''], b'', b''), ([b'a'], b'', b'h: a\n'),
                                      ([b'a\n'], b'h: a\n', b'h: a\n'),
                                      ([b'a\nb', b'c\n'], b'h: a\nh: bc\n', b'h: a\nh: bc\n'),
                                      ([b'\n\n'], b'h: \nh: \n', b'h: \nh: \n'),
                                      ([b'a\nb'], b'h: a\n', b'h: a\nh: b\n'),
                                      ([b'\xff\0\n'], b'h: \xff\0\n', b'h: \xff\0\n')):
            with self.subTest(pieces=pieces):
                self.assertEqual(self.lines(pieces), (before, after))

    def test_the_pieces_make_no_difference(self):
        data = b'one\n\ntwo\r\nthree'
        self.assertEqual(self.lines([data[at:at + 1] for at in range(len(data))])[1],
                         self.lines([data])[1])

    def test_K_15_a_line_without_an_end_waits_in_a_file(self):
        written = []
        lines = WholeLines(mock.Mock(write=written.append, write_from=written.extend),
                                  b'h: ')
        for _ in range(10):
            lines.feed(b'x' * 100000)
        self.assertEqual(written, [])
        self.assertLess(lines._partial.in_memory, 200000)
        lines.feed(b'\ny')
        self.assertEqual(b''.join(written), b'h: ' + b'x' * 1000000 + b'\n')
        lines.finish()
        self.assertEqual(b''.join(written), b'h: ' + b'x' * 1000000 + b'\nh: y\n')


class Terminals(unittest.TestCase):
    """Output of a host cannot control a terminal."""

    def test_S_13_what_could_drive_it_is_shown_and_the_rest_passes(self):
        for data, shown in ((b'plain \t\n', b'plain \t\n'), (b'\x1b[2J', b'\\x1b[2J'),
                            (b'a\rb', b'a\\x0db'),
                            (b'\x08\x7f\0', b'\\x08\\x7f\\x00'),
                            ('\x9b2J'.encode(), b'\\xc2\\x9b2J'),
                            ('\u202e'.encode(), b'\\xe2\\x80\\xae'),
                            ('\u2066'.encode(), b'\\xe2\\x81\\xa6'),
                            ('\xe9\u20ac\u4e2d\u2014'.encode(), '\xe9\u20ac\u4e2d\u2014'.encode()),
                            (b'\xff', b'\xff')):
            with self.subTest(data=data):
                self.assertEqual(writer.sanitised(data), shown)

    def test_what_comes_in_pieces_or_is_no_text_cannot_either(self):
        decode = codecs.getincrementaldecoder('utf-8')('surrogateescape').decode
        self.assertEqual(b''.join(writer.sanitised(piece, decode)
                                  for piece in (b'\xc2', b'\x9b31m', b'\x9bm', b'\xc3', b'\xa9')),
                         b'\\xc2\\x9b31m\\x9bm' + 'é'.encode())

    def test_a_line_in_a_message_is_harmless_and_short(self):
        self.assertEqual(printable_text(b'a\x1b\xff'), 'a?\ufffd')
        self.assertEqual(printable_text(b'x' * 100, 60), 'x' * 60 + '\u2026')

    def test_colours_are_for_a_terminal_that_wants_them(self):
        for is_tty, environ, expected in ((True, {}, '\033[31mx\033[0m'), (False, {}, 'x'),
                                          (True, {'NO_COLOR': '1'}, 'x'),
                                          (True, {'TERM': 'dumb'}, 'x'),
                                          (True, {'NO_COLOR': ''}, '\033[31mx\033[0m')):
            with self.subTest(is_tty=is_tty, environ=environ), mock.patch(
                    'os.isatty', lambda fd, said=is_tty: said):
                self.assertEqual(writer.coloured('x', 'red', environ), expected)


class Streams(unittest.TestCase):
    """Standard output and standard error that cannot be written."""

    def setUp(self):
        writer.begin()
        self.addCleanup(writer.begin)

    def failing(self, number):
        """Make every write fail."""
        error = OSError(number, os.strerror(number))
        patches = mock.patch('os.write',
                             side_effect=error), mock.patch('os.isatty', lambda fd: False)
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)

    def test_C_10_a_full_disk_is_noted_once_for_each_stream(self):
        self.failing(errno.ENOSPC)
        writer.put_line('x')
        writer.put_bytes(b'x')
        writer.put_bytes(b'x', 2)
        self.assertEqual([str(error) for error in writer.losses()],
                         ['disk full: standard output (No space left on device)',
                          'disk full: standard error (No space left on device)'])

    def test_C_11_a_closed_pipe_is_the_end(self):
        self.failing(errno.EPIPE)
        with self.assertRaises(Interrupted) as caught:
            writer.put_line('x')
        self.assertEqual(caught.exception.exit_code, 141)
        writer.say('x')
        self.assertEqual(writer.losses(), [])

    def test_C_12_a_closed_standard_output_is_a_loss_and_words_of_ours_need_no_standard_error(self):
        writer.begin([1, 2])
        writer.say('x')
        self.assertEqual(writer.losses(), [])
        writer.put_line('x')
        self.assertEqual([str(error) for error in writer.losses()], ['standard output: closed'])

    def test_results_are_written_whole_however_little_is_taken_at_a_time(self):
        taken = []
        with mock.patch('os.write', lambda fd, data: taken.append((fd, bytes(data[:3])))
                        or min(3, len(data))), \
                mock.patch('os.isatty', lambda fd: False):
            writer.put_line('abc\x1bdef')
        self.assertEqual(b''.join(data for _fd, data in taken), b'abc\x1bdef\n')
        self.assertEqual({fd for fd, _data in taken}, {1})

    def test_a_value_is_one_line_of_json(self):
        line = writer.json_line({'a': 'b\n\xe9\udcff', 'c': None})
        self.assertEqual(line.count(b'\n'), 1)
        self.assertEqual(json.loads(line.decode()), {'a': 'b\n\xe9\udcff', 'c': None})


class Tables(unittest.TestCase):
    """Aligned columns."""

    def test_text_goes_to_the_left_and_numbers_to_the_right(self):
        self.assertEqual(tables.table(('name', 'n', 'x'), [('a', 1, 1.25), ('bcdef', 100, None)]),
                         ['name     n    x', 'a        1  1.2', 'bcdef  100    -'])
        self.assertEqual(tables.table((('s', '%d'), ('t', None)), [(None, 'a'), (12.0, 2)]),
                         [' s  t', ' -  a', '12  2'])

    def test_a_table_without_rows_is_its_header(self):
        self.assertEqual(tables.table(('a', 'bc'), []), ['a  bc'])

    def test_control_characters_do_not_reach_the_terminal(self):
        self.assertEqual(tables.table(('a',), [('x\x1b\n',)]), ['a', 'x??'])

    def test_a_line_may_be_painted_after_it_was_aligned(self):
        self.assertEqual(
            tables.table(('a', 'b'), [('x', 1), ('yy', 2)], lambda row, line: '<%s>' % line),
            ['a   b', '<x   1>', '<yy  2>'])


class Durations(unittest.TestCase):
    """Seconds in the form that people use."""

    def test_each_size_has_its_units(self):
        for seconds, text in ((None, '-'), (0, '0.0 s'), (4.24, '4.2 s'), (59.9, '59.9 s'),
                              (60, '1 min 0 s'),
                              (185, '3 min 5 s'),
                              (3599.9, '59 min 59 s'), (3600, '1 h 0 min'), (7800, '2 h 10 min'),
                              (90000, '25 h 0 min')):
            with self.subTest(seconds=seconds):
                self.assertEqual(units.duration(seconds), text)


class Spools(unittest.TestCase):
    """The output of one command while it waits to be printed."""

    def test_each_stream_is_kept_apart_and_in_order(self):
        kept = spool.Spool()
        for stream, data in (('stdout', b'a'), ('stderr', b'x'), ('stdout', b'b')):
            kept.feed(stream, data)
        self.assertEqual((b''.join(kept.pieces('stdout')), b''.join(kept.pieces('stderr'))),
                         (b'ab', b'x'))
        self.assertEqual(b''.join(kept.chunks('stdout')), b'ab')
        self.assertEqual(b''.join(kept.chunks('stderr')), b'x')

    def test_a_stream_that_said_nothing_or_was_given_away_is_empty(self):
        kept = spool.Spool()
        self.assertEqual((b''.join(kept.pieces('stdout')), list(kept.chunks('stdout'))),
                         (b'', []))
        kept.feed('stdout', b'a')
        list(kept.chunks('stdout'))
        self.assertEqual(b''.join(kept.pieces('stdout')), b'')

    def test_much_output_comes_back_in_pieces(self):
        kept = spool.Spool()
        for _ in range(10):
            kept.feed('stdout', b'x' * spool.SPOOL_MEMORY)
        chunks = list(kept.chunks('stdout'))
        self.assertEqual(sum(map(len, chunks)), 10 * spool.SPOOL_MEMORY)
        self.assertLessEqual(max(map(len, chunks)), writer.CHUNK)


class ProgressText(unittest.TestCase):
    """Progress in words."""

    def test_the_numbers_the_rate_and_the_time_left(self):
        counts = ((4, 'running'), (0, 'failed'))
        for progress, text in (
                (Progress(0, 40, 0.0), '0 of 40 done'),
                (Progress(12, 40, 8.0, counts), '12 of 40 done, 4 running, 1.5/s, ETA 18.7 s'),
                (Progress(12, None, 8.0, counts), '12 done, 4 running, 1.5/s'),
                (Progress(12, 40, 10.0, before=11), '12 of 40 done, 0.1/s, ETA 4 min 40 s'),
                (Progress(40, 40, 1000.0), '40 of 40 done'),
                (Progress(1, 2, 0.1), '1 of 2 done'),
                (Progress.of_bytes(0, 9000000, 1.0), '0 B of 9.0 MB'),
                (Progress.of_bytes(2000000, 9000000, 2.0),
                 '2.0 MB of 9.0 MB, 1.0 MB/s, ETA 7.0 s')):
            with self.subTest(text=text):
                self.assertEqual(progress.text(), text)

    def test_a_bar_has_a_percentage_and_needs_a_total(self):
        self.assertEqual(Progress(1, 4, 1.0).bar(), '[#####---------------]  25%  ')
        self.assertEqual(Progress(4, 4, 1.0).bar(), '[####################] 100%  ')
        self.assertEqual(Progress(5, 4, 1.0).bar(), '[####################] 100%  ')
        self.assertEqual((Progress(1, None, 1.0).bar(), Progress(0, 0, 1.0).bar()), ('', ''))


class ProgressLines(unittest.TestCase):
    """A line from time to time, or one that is overwritten."""

    def shown(self, is_tty, wanted, steps):
        """Return what is written on standard error; steps: (time, text), or None to clear."""
        written, now = [], [0.0]
        with mock.patch('os.isatty', lambda fd: is_tty), mock.patch(
                'os.write', lambda fd, data: written.append(data)):
            progress = ProgressLine(wanted, 10.0, lambda: now[0])
            for step in steps:
                if step is None:
                    progress.clear()
                else:
                    now[0] = step[0]
                    progress.show(step[1])
        return b''.join(written)

    def test_off_a_terminal_there_is_a_line_now_and_then(self):
        steps = ((100, 'a'), (101, 'b'), None, (109.9, 'c'), (110, 'd'), (111, 'e'), (125, 'f'))
        self.assertEqual(self.shown(False, True, steps), b'lwt: a\nlwt: d\nlwt: f\n')

    def test_on_a_terminal_the_line_is_written_over_and_taken_away(self):
        self.assertEqual(self.shown(True, True, ((0, 'long'), (0, 'a'), None, None)),
                         b'\rlong\ra   \r \r')

    def test_nothing_is_shown_where_nobody_wants_it(self):
        for is_tty in (False, True):
            with self.subTest(is_tty=is_tty):
                self.assertEqual(self.shown(is_tty, False, ((0, 'a'), None, (99, 'b'))), b'')

    TEXT = 'a\033[2Jb\033]0;x\007c\x9bd\u202ee\u200bf\u2066g\ufeffh\rz'

    def assert_harmless(self, shown):
        self.assertIn('a\\x1b[2Jb', shown)
        for char in '\033\x9b\u202e\u200b\u2066\ufeff\r\007':
            self.assertNotIn(char, shown)

    def test_SR_10_messages_carry_no_escapes_and_are_cut_with_and_without_a_terminal(self):
        """SR-10: messages and progress lines that quote a host; standard error is a pipe."""
        script = ('from lwt.output import progress, writer\n'
                  'writer.say(%r)\nwriter.say("x" * 100000)\n'
                  'progress.ProgressLine(True).show(%r)\n' % (self.TEXT, self.TEXT))
        done = subprocess.run([sys.executable, '-c', script], cwd=ROOT, stderr=subprocess.PIPE)
        self.assert_harmless(done.stderr.decode())
        self.assertLess(len(done.stderr), 10000)

    def test_SR_10_lines_of_results_carry_no_escapes_but_colours_of_lwt_on_a_terminal(self):
        """SR-10: a line of results that quotes a host, on a terminal."""
        taken = []
        with mock.patch('os.write', lambda fd, data: taken.append(bytes(data)) or len(data)), \
                mock.patch('os.isatty', lambda fd: True):
            writer.put_line(self.TEXT)
            writer.put_line(writer.coloured('ok', 'green', {}))
        self.assert_harmless(taken[0].decode())
        self.assertEqual(taken[1], b'\033[32mok\033[0m\n')


if __name__ == '__main__':
    unittest.main()
