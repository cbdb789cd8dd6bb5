"""The values of tasks, and the placeholders that they replace in commands."""

import shlex
import unittest

from lwt.errors import UsageError
from lwt.tasks import model, placeholders, values
from lwt.tasks.placeholders import PARAMS

COMMA = placeholders.COLSEP + ','


class Params(unittest.TestCase):
    """The values of --param."""

    ACCEPTED = (
        (['lr=0.1,0.01'], ['lr=0.1', 'lr=0.01']),
        (['a=1-3', 'b=x,y'], ['a=1 b=x', 'a=1 b=y', 'a=2 b=x', 'a=2 b=y', 'a=3 b=x', 'a=3 b=y']),
        (['a=0-20:10'], ['a=0', 'a=10', 'a=20']), (['a=01-10/9'], ['a=01', 'a=10']),
        (['a=1-2,9,x'], ['a=1', 'a=2', 'a=9', 'a=x']), (['a=1,1'], ['a=1']),
        (['a=x y,$(z)'], ["a='x y'", "a='$(z)'"]), (['a=b=c'], ['a=b=c']),
        (['_a1=-5'], ['_a1=-5']), (['a=1-b,0.1-0.5'], ['a=1-b', 'a=0.1-0.5']))
    REFUSED = (
        (['a'], 'expected NAME=VALUES'), (['a='], 'empty value'), (['a=1,,2'], 'empty value'),
        (['=1'], 'not the name of a variable'), (['1a=1'], 'not the name'),
        (['a-b=1'], 'not the name'), (['a=1', 'a=2'], 'given twice'), (['a=5-1'], 'bad range'),
        (['a=1-5:0'], 'bad range'), (['PATH=x'], 'a meaning of its own'),
        (['LWT_TASK=1'], 'a meaning of its own'), (['LD_PRELOAD=1'], 'a meaning of its own'),
        (['a=\udcff'], 'not UTF-8'),
        (['a=1-1000', 'b=1-1001'], 'more than a million combinations'))

    def test_UR_5_every_combination_the_last_varies_fastest(self):
        for texts, expected in self.ACCEPTED:
            with self.subTest(texts=texts):
                self.assertEqual(list(values.of_params(texts)), expected)

    def test_UR_5_what_means_nothing_is_refused(self):
        for texts, said in self.REFUSED:
            with self.subTest(texts=texts):
                with self.assertRaises(UsageError) as caught:
                    values.of_params(texts)
                self.assertIn(said, caught.exception.message)

    def test_UR_5_a_value_has_its_parts_back(self):
        pairs = [('a', "it's"), ('b', 'x y'), ('c', 'd=e'), ('f', '')]
        self.assertEqual(placeholders.named(placeholders.joined(pairs), PARAMS), dict(pairs))


class Filled(unittest.TestCase):
    """What replaces a placeholder."""

    CASES = (
        ('run {} {1}', 'a b', '', ['run', 'a b', 'a b']),
        ("awk '{1}' {}", 'x', '', ['awk', '{1}', 'x']),
        ('run {2} {1} {}', 'a,b c', COMMA, ['run', 'b c', 'a', 'a,b c']),
        ('run {1}x{2}', ',', COMMA, ['run', 'x']),
        ('run --lr={lr} {seed}', "lr=0.1 seed='$(x) y'", PARAMS,
         ['run', '--lr=0.1', '$(x) y']),
        ("awk '{print}' {lr}", 'lr=1', PARAMS, ['awk', '{print}', '1']),
        ("find -exec x '{}'", 'lr=1', PARAMS, ['find', '-exec', 'x', '{}']),
        ('run ${lr} {lr}', 'lr=1', PARAMS, ['run', '${lr}', '1']),
        ('run {a,b} {1..9} {}', 'x', '', ['run', '{a,b}', '{1..9}', 'x']))

    def test_UR_5_each_part_is_one_word(self):
        for command, value, split, words in self.CASES:
            with self.subTest(command=command, value=value):
                placeholders.check(command, 'D', split, [value])
                self.assertEqual(shlex.split(placeholders.filled(command, value, split)), words)

    def test_UR_5_a_parameter_is_a_variable_of_the_command(self):
        self.assertEqual(model.command_text('./x {lr}', "lr=0.1 s='a b'", {'x'}, PARAMS),
                         "export lr=0.1 s='a b'\n./x 0.1\n")
        self.assertEqual(model.command_text('x {}', 'lr=1', {'x'}), './x lr=1\n')

    REFUSED = (
        ('run {2}', '', ['x'], 'unknown placeholder'), ('run {lr}', '', ['x'], '{lr}'),
        ('run {.}', '', ['x'], "'{.}'"), ('run {#}', '', ['x'], "'{#}'"),
        ('run {seed}', PARAMS, ['lr=1'], "'{seed}'"), ('run {}', PARAMS, ['lr=1'], "'{}'"),
        ('run "{lr}"', PARAMS, ['lr=1'], 'within quotes'),
        ('run "{seeds}"', PARAMS, ['seed=1'], "'{seeds}'"),
        ('run "{}"', '', ['x'], 'within quotes'), ("run '{1}'", COMMA, ['x'], 'within quotes'),
        ('run {3}', COMMA, ['a,b,c', 'a,b'], 'a value has only 2 columns'),
        ('run $((1 + {n}))', PARAMS, ['n=1', "n='1 2'"], 'must be a plain word'))

    def test_UR_5_an_unknown_placeholder_is_an_error(self):
        for command, split, given, said in self.REFUSED:
            with self.subTest(command=command):
                with self.assertRaises(UsageError) as caught:
                    placeholders.check(command, 'D', split, given)
                self.assertIn(said, caught.exception.message)

    def test_a_separator_is_a_regular_expression_that_matches_something(self):
        self.assertEqual(placeholders.named('a  b\tc', placeholders.colsep(r'\s+')),
                         {'1': 'a', '2': 'b', '3': 'c'})
        self.assertEqual(placeholders.named('a-b', placeholders.colsep('(-)')),
                         {'1': 'a', '2': 'b'})
        for text in ('', 'x*', '(', '[a'):
            with self.subTest(text=text):
                self.assertRaises(UsageError, placeholders.colsep, text)

    def test_UR_7_a_tag_has_a_column_for_each_part(self):
        for value, split, tag in (('a\tb\n', '', 'a?b?'), ('a,b', COMMA, 'a\tb'),
                                  ("lr=0.1 s='x y'", PARAMS, '0.1\tx y')):
            with self.subTest(value=value):
                self.assertEqual(placeholders.tag(value, split), tag)


if __name__ == '__main__':
    unittest.main()
