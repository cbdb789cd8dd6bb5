"""Which partition a line belongs to: the sorted partitions together equal the output of sort."""

import itertools
import os
import random
import subprocess
import tempfile
import unittest

from lwt.reduce import partition
from lwt.reduce.partition import SortOrder

ORDERS = [SortOrder(column, delimiter, numeric, reverse)
          for column, delimiter in itertools.product((1, 2, 3), (b'', b',', b'\t'))
          for numeric, reverse in itertools.product((False, True), (False, True))]
WORDS = (b'a', b'b', b'ab', b'a!', b'a\x01', b'\x01', b'B', b'10', b'9', b'-3', b'1.5', b'1e5',
         b'-', b'', b'z\xff', b'\0',
         b'a\0b', b'_1', b'1-2', b'  x', b'\t', b'\r', b'inf', b'nan', b'+5', b'.5', b'-.', b'007',
         b'7')


def sort(order, text):
    """Return the output of sort for text."""
    done = subprocess.run(['sort'] + order.sort_words(), input=text,
                          env=dict(os.environ, **order.variables), check=True,
                          stdout=subprocess.PIPE)
    return done.stdout


class Partitions(unittest.TestCase):
    """Sorted one by one, and concatenated."""

    def parts(self, order, text, count, bound_by=None):
        with tempfile.TemporaryFile() as file:
            file.write(text if bound_by is None else bound_by)
            file.flush()
            return partition.splitter(order, [(file.fileno(), 0, file.tell())], count).split(text)

    def assert_whole(self, order, text, count, bound_by=None):
        parts = self.parts(order, text, count, bound_by)
        self.assertEqual(b''.join(sort(order, part) for part in parts), sort(order, text))
        return parts

    def test_they_are_what_sort_makes_of_all_lines_in_every_order(self):
        rng = random.Random(7)
        gaps = (b' ', b',', b'\t', b'  ')
        lines = [b''.join(rng.choice(gaps) + rng.choice(WORDS)
                          for _ in range(rng.randint(0, 4)))[rng.randint(0, 1):]
                 for _ in range(400)]
        text = b''.join(line + b'\n' for line in lines)
        for order in ORDERS:
            with self.subTest(order=order):
                self.assert_whole(order, text, 5)

    def test_whose_a_line_is_can_be_told_by_its_beginning_and_never_wrongly(self):
        lines = [b'%s %s,%s rest of it, of any length' % (word, other, word) for word in WORDS
                 for other in WORDS[::3]]
        text = b'\n'.join(lines) + b'\n'
        for order in ORDERS + [SortOrder(column, collate='de_DE') for column in (1, 2)]:
            with self.subTest(order=order), tempfile.TemporaryFile() as file:
                file.write(text)
                splitter = partition.splitter(order, [(file.fileno(), 0, file.tell())], 3)
                told = [number for line in lines
                        for number in [splitter.whose(line[:-5])] if number is not None
                        and self.assertIn(line, splitter.split(line + b'\n')[number]) is None]
                if not order.delimiter:         # else these lines may have fewer columns than that
                    self.assertGreater(len(told), len(lines) / 3)
                self.assertIsNone(splitter.whose(b''))

    def test_plain_lines_take_the_quick_ways_and_come_to_the_same(self):
        rng = random.Random(8)
        lines = [(b'%d %x %d' % (rng.randint(-50, 50), rng.getrandbits(20), number))
                 for number in range(2000)]
        for delimiter in (b' ', b','):
            text = b'\n'.join(lines).replace(b' ', delimiter) + b'\n'
            for order in ORDERS:
                with self.subTest(order=order, delimiter=delimiter):
                    parts = self.assert_whole(order, text, 4)
                    if order.delimiter == delimiter.strip() and not order.numeric:
                        self.assertGreater(min(map(len, parts)), len(text) / 20)

    def test_bounds_from_other_lines_part_them_as_well(self):
        text = b'm 1\n!x\n\x01\n\n z\nzz\nm\x01\nm!\n'
        for bound_by in (b'm\n', b'm\x01x\n', b' \n', b'\xff\n', b'm!!\n', b'\n', b''):
            for order in (SortOrder(), SortOrder(reverse=True), SortOrder(2),
                          SortOrder(numeric=True)):
                with self.subTest(bound_by=bound_by, order=order):
                    self.assert_whole(order, text, 3, bound_by)

    def test_equal_keys_meet_and_more_partitions_than_keys_leave_some_empty(self):
        parts = self.assert_whole(SortOrder(), b'k 3\nk 1\nk 2\n' * 100, 4)
        self.assertEqual(sorted(map(len, parts)), [0, 0, 0, 1200])
        self.assertEqual(self.parts(SortOrder(), b'', 3), [b'', b'', b''])
        parts = self.assert_whole(SortOrder(numeric=True), b'1\n01\n1.0\n +1\n2\n', 4)
        self.assertEqual([part[:9] for part in parts if b'01' in part], [b'1\n01\n1.0\n'])

    def test_by_the_rules_of_a_language_equal_keys_meet(self):
        order = SortOrder(collate='xx_XX.UTF-8')
        self.assertFalse(order.is_by_bytes)
        parts = self.parts(order, b'a 1\nb 1\na 2\nc 1\nb 2\n', 3)
        self.assertEqual(sum(map(len, parts)), 20)
        for key in (b'a', b'b', b'c'):
            self.assertEqual(len([part for part in parts if key in part]), 1)

    def test_long_lines_are_parted_too(self):
        text = b''.join(b'%d %s\n' % (number % 10, b'x' * 20000) for number in range(200))
        self.assertGreater(min(map(len, self.assert_whole(SortOrder(), text, 2))), len(text) / 4)

    def test_whose_rules_sort_goes_by(self):
        for environ, collate, by_bytes in (
                ({}, '', True), ({'LANG': 'de_DE'}, 'de_DE', False),
                ({'LC_ALL': 'C', 'LANG': 'x'}, 'C', True),
                ({'LC_COLLATE': 'POSIX', 'LANG': 'x'}, 'POSIX', True),
                ({'LANG': 'C.utf8'}, 'C.utf8', True)):
            self.assertEqual(partition.collation(environ), collate)
            self.assertEqual(SortOrder(collate=collate).is_by_bytes, by_bytes)


if __name__ == '__main__':
    unittest.main()
