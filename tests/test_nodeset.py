"""Host sets: the meaning of expressions and the folded form, compared with ClusterShell's nodeset
if it is installed.
"""

import json
import random
import shutil
import subprocess
import time
import unittest

from lwt.errors import UsageError
from lwt.workspace import nodeset

# (expression, folded, expanded): what nodeset 1.9.1 prints with -f and -e.
TABLE = (
    ('h1', 'h1', 'h1'),
    ('a,b,c', 'a,b,c', 'a b c'),
    ('b,a,b', 'a,b', 'a b'),
    ('h[1-3]', 'h[1-3]', 'h1 h2 h3'),
    ('h[01-03]', 'h[01-03]', 'h01 h02 h03'),
    ('h[1-10,001-010]', 'h[1-10,001-010]',
     'h1 h2 h3 h4 h5 h6 h7 h8 h9 h10 h001 h002 h003 h004 h005 h006 h007 h008 h009 h010'),
    ('h[8-11,08-11]', 'h[8-9,08-11]', 'h8 h9 h08 h09 h10 h11'),
    ('h[098-101,98-101]', 'h[98-99,098-101]', 'h98 h99 h098 h099 h100 h101'),
    ('h[0-20/5]', 'h[0,5,10,15,20]', 'h0 h5 h10 h15 h20'),
    ('h[00-20/10]', 'h[00,10,20]', 'h00 h10 h20'),
    ('h[1,3-5,7]', 'h[1,3-5,7]', 'h1 h3 h4 h5 h7'),
    ('h[ 1 - 3 , 5 ]', 'h[1-3,5]', 'h1 h2 h3 h5'),
    ('h[5,1-3,2]', 'h[1-3,5]', 'h1 h2 h3 h5'),
    ('[1-3]', '[1-3]', '1 2 3'),
    ('h[1-2]-ib', 'h[1-2]-ib', 'h1-ib h2-ib'),
    ('h[1-2].example.org', 'h[1-2].example.org', 'h1.example.org h2.example.org'),
    ('r[1-2]n[1-4]', 'r[1-2]n[1-4]', 'r1n1 r1n2 r1n3 r1n4 r2n1 r2n2 r2n3 r2n4'),
    ('r[1-2]n[1-4],r3n1', 'r[1-2]n[1-4],r3n1', 'r1n1 r1n2 r1n3 r1n4 r2n1 r2n2 r2n3 r2n4 r3n1'),
    ('r1n[1-2],r2n[1-4],r10n3', 'r2n[1-4],r1n[1-2],r10n3', 'r2n1 r2n2 r2n3 r2n4 r1n1 r1n2 r10n3'),
    ('a[1-2]b[1-2]c[1-2]', 'a[1-2]b[1-2]c[1-2]',
     'a1b1c1 a1b1c2 a1b2c1 a1b2c2 a2b1c1 a2b1c2 a2b2c1 a2b2c2'),
    ('a[1-2]b[1-2]c[1-2]!a1b1c1', 'a2b[1-2]c[1-2],a1b2c[1-2],a1b1c2',
     'a2b1c1 a2b1c2 a2b2c1 a2b2c2 a1b2c1 a1b2c2 a1b1c2'),
    ('r[1-3]n[1-3]!r2n2', 'r[1,3]n[1-3],r2n[1,3]', 'r1n1 r1n2 r1n3 r3n1 r3n2 r3n3 r2n1 r2n3'),
    ('r[1-3]n[1-3]&r[2-4]n[2-4]', 'r[2-3]n[2-3]', 'r2n2 r2n3 r3n2 r3n3'),
    ('r[1-3]n[1-3]^r[2-4]n[2-4]', 'r[2-3]n[1,4],r1n[1-3],r4n[2-4]',
     'r2n1 r2n4 r3n1 r3n4 r1n1 r1n2 r1n3 r4n2 r4n3 r4n4'),
    ('h1[2-3]', 'h[12-13]', 'h12 h13'),
    ('h0[1-9]', 'h[01-09]', 'h01 h02 h03 h04 h05 h06 h07 h08 h09'),
    ('h1[2,01]', 'h[12,101]', 'h12 h101'),
    ('h[1-2]5', 'h[15,25]', 'h15 h25'),
    ('h[08-11]5', 'h[085,095,105,115]', 'h085 h095 h105 h115'),
    ('h1[2-3]4', 'h[124,134]', 'h124 h134'),
    ('a,b,c!b', 'a,c', 'a c'),
    ('a,b&b,c', 'b,c', 'b c'),
    ('a^b^a', 'b', 'b'),
    ('a!b,b', 'a,b', 'a b'),
    ('h[1-9]!h[2-3]&h[1-5],x', 'h[1,4-5],x', 'h1 h4 h5 x'),
    ('h[1-3] , x ! h2', 'h[1,3],x', 'h1 h3 x'),
    ('u@h[1-2]', 'u@h[1-2]', 'u@h1 u@h2'),
    ('u1@h[1-2],h1', 'h1,u1@h[1-2]', 'h1 u1@h1 u1@h2'),
    ('10.0.0.[1-3],10.0.1.1', '10.0.0.[1-3],10.0.1.1', '10.0.0.1 10.0.0.2 10.0.0.3 10.0.1.1'),
    ('fe80::1,fe80::2', 'fe80::[1-2]', 'fe80::1 fe80::2'),
    ('h%[1-2]', 'h%[1-2]', 'h%1 h%2'),
    ('node10,node9,node1,node', 'node,node[1,9-10]', 'node node1 node9 node10'),
    ('h,h1,h-1,h_1', 'h,h1,h-1,h_1', 'h h1 h-1 h_1'),
    ('x2y3,x02y3,x2y03', 'x2y[3,03],x02y3', 'x2y3 x2y03 x02y3'),
    ('a&b', '', ''),
    ('n[1-3]x,n[2-4]y', 'n[1-3]x,n[2-4]y', 'n1x n2x n3x n2y n3y n4y'),
    ('h007,h7,h07', 'h[7,07,007]', 'h7 h07 h007'),
    ('ab1,Ab1,aB1', 'Ab1,aB1,ab1', 'Ab1 aB1 ab1'),
    ('h[3-3/2]', 'h3', 'h3'),
    ('r1n1x1,r1n2x1,r2n2x1,r2n2x2', 'r1n[1-2]x1,r2n2x[1-2]', 'r1n1x1 r1n2x1 r2n2x1 r2n2x2'),
)

# Answers each line, an expression in JSON, with [names, folded], or with null if nodeset refuses
# it.
NODESET = '''
import json, sys
from ClusterShell.NodeSet import NodeSet
for line in sys.stdin:
    try:
        nodes = NodeSet(json.loads(line))
        answer = [list(nodes), str(nodes)]
    except Exception:
        answer = None
    print(json.dumps(answer))
'''


def nodeset_python():
    """Return the command of the Python that nodeset runs with, [] if nodeset is not installed."""
    path = shutil.which('nodeset')
    if not path:
        return []
    with open(path, 'rb') as file:
        return file.readline().decode().lstrip('#!').split()


def ask_nodeset(expressions):
    """Return nodeset's answers."""
    asked = ''.join(json.dumps(expression) + '\n' for expression in expressions)
    done = subprocess.run(nodeset_python() + ['-c', NODESET], input=asked, stdout=subprocess.PIPE,
                          universal_newlines=True,
                          check=True, timeout=300)
    return list(map(json.loads, done.stdout.splitlines()))


class Fuzz:
    """Random expressions, the same for the same seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pick = self.random.choice

    def number(self, most):
        return '%0*d' % (self.pick((0, 0, 0, 2, 3)), self.random.randrange(most))

    def brackets(self):
        return '[%s]' % ','.join(self.part() for _ in range(self.pick((1, 1, 2, 3))))

    def part(self):
        first, width = self.random.randrange(15), self.pick((0, 0, 0, 2, 3))
        last = first + self.random.randrange(-1, 12)
        if self.random.random() < 0.3:
            return '%0*d' % (width, first)
        return ('%0*d-%0*d%s'
                % (width, first, width, last, self.pick(('', '', '', '/1', '/2', '/3'))))

    def operand(self):
        return self.pick((
            lambda: self.pick(('a', 'x-y', 'h%', 'u@h', 'A.b')),
            lambda: self.pick(('h', 'n', 'a.')) + self.number(14),
            lambda: self.pick(('h', 'n', 'h1', 'h00', 'u1@h', '%', '')) + self.brackets()
            + self.pick(('', '', '-ib', 'x7')),
            lambda: 'r' + self.pick((self.brackets(), self.number(5))) + 'n'
            + self.pick((self.brackets(), self.number(12))),
            lambda: self.pick('ab') + self.brackets() + '-' + self.number(4) + 'x'
            + self.brackets()))()

    def expression(self):
        text = self.operand()
        for _ in range(self.pick((0, 1, 2, 3, 5))):
            text += self.pick(',,,!&^') + self.pick(('', ' ')) + self.operand()
        return text

    def damaged(self):
        text = self.expression()
        at = self.random.randrange(len(text))
        return (text[:at] + self.pick(('', ',', '!', '&', '[', ']', '-', '/', '0', ' ', '^'))
                + text[at + self.pick((0, 1)):])

    def points(self):
        """Return names in a grid with holes, in any order."""
        axes, most, dense = self.pick((2, 2, 3, 4)), self.pick((2, 3, 4)), self.pick(
            (0.2, 0.5, 0.8, 0.95))
        names = ['']
        for letter in 'abcd'[:axes]:
            names = [name + letter + str(number) for name in names for number in range(8, 8 + most)]
        names = [name for name in names if self.random.random() < dense] or ['a8']
        self.random.shuffle(names)
        return ','.join(names)


class Nodeset(unittest.TestCase):
    """Expressions in the syntax of ClusterShell's nodeset have the same meaning as in ClusterShell.
    """

    any_user = True

    maxDiff = None

    def test_each_expression_of_the_table_means_and_folds_as_there(self):
        for text, folded, names in TABLE:
            with self.subTest(text=text):
                self.assertEqual(nodeset.expand(text), names.split())
                self.assertEqual(nodeset.fold(names.split()), folded)

    @unittest.skipUnless(nodeset_python(), 'nodeset (ClusterShell) is not installed')
    def test_random_expressions_mean_and_fold_as_there(self):
        fuzz = Fuzz(20)
        expressions = [fuzz.expression() for _ in range(3000)] + [fuzz.points() for _ in range(500)]
        answers = self.compare(expressions)
        self.assertGreater(sum(answer is not None for answer in answers), 1500)

    @unittest.skipUnless(nodeset_python(), 'nodeset (ClusterShell) is not installed')
    def test_damaged_expressions_are_refused_or_mean_the_same_as_there(self):
        fuzz = Fuzz(21)
        self.compare([fuzz.damaged() for _ in range(3000)], strict=False)

    def compare(self, expressions, strict=True):
        """strict: lwt must accept everything that nodeset accepts. nodeset reads 4-5-6 as -5-6, and
        other expressions in ways that no user means.
        """
        answers = ask_nodeset(expressions)
        self.assertEqual(len(answers), len(expressions))
        for text, answer in zip(expressions, answers):
            with self.subTest(text=text):
                try:
                    names = nodeset.expand(text)
                except UsageError as error:
                    self.assertTrue(answer is None or not strict
                                    or ' a digit before [' in error.message,
                                    (error.message, answer))
                    continue
                self.assertEqual(nodeset.expand(nodeset.fold(names)), names)
                if answer is not None:
                    self.assertEqual([names, nodeset.fold(names)] if strict else names,
                                     answer if strict else answer[0])
        return answers


class Beyond(unittest.TestCase):
    """Expressions that nodeset reads differently, or does not accept."""

    def test_a_comma_may_stand_before_an_operator_and_one_too_many_is_no_matter(self):
        for text, names in (('a,b,!b', 'a'), ('a,b,&b', 'b'), (' a , ,b, ', 'a b'), (',a', 'a'),
                            ('', ''), (' , ', '')):
            with self.subTest(text=text):
                self.assertEqual(nodeset.expand(text), names.split())

    def test_each_line_is_an_expression_of_its_own(self):
        self.assertEqual(nodeset.expand('a,b\nb,c!b\n\nd'), ['a', 'b', 'c', 'd'])

    def test_an_address_in_brackets_is_a_name_and_not_folded(self):
        self.assertEqual(nodeset.expand('[::1],u@[fe80::2],h[1-2]'),
                         ['[::1]', 'h1', 'h2', 'u@[fe80::2]'])
        self.assertEqual(nodeset.fold(['[::1]', '[::2]']), '[::1],[::2]')

    def test_padded_and_plain_numbers_are_folded_as_far_as_they_can_be(self):
        self.assertEqual(nodeset.fold(nodeset.expand('h[00,10-100]')), 'h[00,10-100]')

    def test_digits_before_a_range_that_grows_by_a_digit_are_refused(self):
        for text in ('a1[8-12]', 'a0[9,10]', 'h[1-2],a1[99-100]b'):
            with self.subTest(text=text), self.assertRaises(UsageError) as caught:
                nodeset.expand(text)
            self.assertIn('a digit before [', caught.exception.message)

    def test_digits_after_a_range_with_a_step_and_after_any_width_are_read(self):
        self.assertEqual(nodeset.expand('h[1-3/2]5,h[9-10]0'), ['h15', 'h35', 'h90', 'h100'])


class Lists(unittest.TestCase):
    """Categories, patterns and files: what the caller is asked for."""

    CATEGORIES = {'*': ['a1', 'a2', 'b1'], 'rack1': ['a1', 'a2'], 'rack2': ['b1', 'zz']}
    FILES = {'F': '# all of them\na[1-2] # two\n\nb1,b2!b2\n', 'C': '@rack2\n', 'N': 'a\n^F\n',
             'empty': ''}

    def expand(self, text):
        return nodeset.expand(text, self.CATEGORIES.__getitem__, self.FILES.__getitem__)

    def test_categories_are_asked_for_and_take_part_in_expressions(self):
        for text, names in (('@rack1', 'a1 a2'), ('@rack[1-2]', 'a1 a2 b1 zz'), ('@*', 'a1 a2 b1'),
                            ('@*!@rack1', 'b1'),
                            ('@*&@rack2', 'b1'), ('x,@rack1,!a[2-9]', 'a1 x'),
                            ('u@rack1', 'u@rack1')):
            with self.subTest(text=text):
                self.assertEqual(self.expand(text), names.split())

    def test_a_pattern_stands_for_the_hosts_of_the_list_that_match(self):
        for text, names in (('a*', 'a1 a2'), ('?1', 'a1 b1'), ('*!b*', 'a1 a2'), ('a[1,3]*', 'a1'),
                            ('q*', '')):
            with self.subTest(text=text):
                self.assertEqual(self.expand(text), names.split())

    def test_a_file_holds_an_expression_a_line(self):
        for text, names in (('^F', 'a1 a2 b1'), ('x,^F', 'a1 a2 b1 x'),
                            ('a[1-9]!^F&a[1-4]', 'a3 a4'), ('b1,x^^F', 'a1 a2 x'),
                            ('^C', 'b1 zz'), ('^empty,a', 'a'), ('^F!a1', 'a2 b1')):
            with self.subTest(text=text):
                self.assertEqual(self.expand(text), names.split())

    def test_a_file_cannot_name_another(self):
        self.assertRaisesRegex(UsageError, "'F': categories and files are not available",
                               self.expand, '^N')

    def test_without_lists_and_files_to_ask_for_both_are_refused(self):
        for text in ('@rack1', 'a*', 'a,^F'):
            with self.subTest(text=text):
                self.assertRaises(UsageError, nodeset.expand, text)


class Errors(unittest.TestCase):
    """Errors are named, and no set is made."""

    def test_a_bad_expression_is_refused_and_the_bad_part_named(self):
        for text, part in (('h[1-3', 'h[1-3'), ('ok,h1-3]', 'h1-3]'), ('h[[1-2]]', 'h[[1-2]]'),
                           ('h[1-2][3-4]', 'h[1-2][3-4]'),
                           ('h[]', "bad range ''"), ('h[1,]', "bad range ''"), ('h[2-1]', "'2-1'"),
                           ('h[a-b]', "'a-b'"),
                           ('h[1-3/0]', "'1-3/0'"), ('h[3/2]', "'3/2'"), ('h[1-010]', "'1-010'"),
                           ('h[01-100]', "'01-100'"),
                           ('h[-3-1]', "'-3-1'"), ('h[1-]', "'1-'"), ('h[1-2-3]', "'1-2-3'"),
                           ('h[1 2]', "'1 2'"),
                           ('!a', 'beside !'), (' ,&a', 'beside &'), ('a!', 'after !'),
                           ('a,^', 'after ^'), ('^', 'beside ^'),
                           ('a&^', 'after &^'), ('a&,b', 'after &'), ('a!!b', 'after !'),
                           ('a^', 'after ^'), ('h[\u0661]', '\u0661'),
                           ('h[' + '9' * 5000 + ']', 'bad range')):
            with self.subTest(text=text), self.assertRaises(UsageError) as caught:
                nodeset.expand(text)
            self.assertIn(part, caught.exception.message)
            self.assertLess(len(caught.exception.message), 200)

    def test_what_would_fill_the_memory_is_refused_at_once(self):
        start = time.process_time()
        for text in ('h[0-1000000000]', 'h[1-1000001]', 'r[1-10000]n[1-10000]',
                     'a[1-99]b[1-99]c[1-99]d[1-99]',
                     'h[1,' * 10 + '1' * 200 + ']', 'h[1-' + '9' * 255 + ']'):
            with self.subTest(text=text):
                self.assertRaises(UsageError, nodeset.expand, text)
        self.assertLess(time.process_time() - start, 5.0)

    def test_the_sum_is_limited_as_well(self):
        with self.assertRaisesRegex(UsageError, 'more than 1000000 hosts'):
            nodeset.expand('h[1-600000],n[1-600000]')


class Speed(unittest.TestCase):
    """Limits against cost that grows faster than the set; the time itself is measured elsewhere."""

    any_user = True

    def test_ten_thousand_hosts_of_any_shape_are_read_and_folded(self):
        pick = random.Random(1)
        shapes = {'one line': ['h%d' % number for number in range(10000)],
                  'grid with a hole': nodeset.expand('r[1-100]n[1-101]!r50n[3-60]'),
                  'diagonal': ['r%dn%d' % (number, number) for number in range(10000)],
                  'stripes': ['r%dn%d' % (number, number * 7 % 3) for number in range(10000)],
                  'scattered': ['a%db%dc%d' % tuple(pick.randrange(30) for _ in range(3))
                                for _ in range(10000)],
                  'words': ['%x-%s' % (number, 'x' * (number % 7)) for number in range(10000)]}
        for shape, names in shapes.items():
            with self.subTest(shape=shape):
                start = time.process_time()
                self.assertEqual(set(nodeset.expand(nodeset.fold(names))), set(names))
                self.assertLess(time.process_time() - start, 5.0)


if __name__ == '__main__':
    unittest.main()
