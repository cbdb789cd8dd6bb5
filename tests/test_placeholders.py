"""Placeholders in the template of lwt multi, compared with the output of GNU parallel 20221122."""

import unittest

from lwt.errors import UsageError
from lwt.multi import template
from tests.support import ProgramTestCase

ARGUMENTS = (b'a.b/c.tar.gz', b'1.q.w')

# The output of GNU parallel (with --plus) for each, with these two arguments, in the first of four
# jobs.
FILLED = (
    ('{}', 'a.b/c.tar.gz 1.q.w'), ('{1}', 'a.b/c.tar.gz'), ('{2}', '1.q.w'), ('{-1}', '1.q.w'),
    ('{-2}', 'a.b/c.tar.gz'), ('{01}', 'a.b/c.tar.gz'), ('{1.}', 'a.b/c.tar'), ('{2/.}', '1.q'),
    ('{-1/}', '1.q.w'), ('{-2/}', 'c.tar.gz'), ('{-2//}', 'a.b'), ('{-2/.}', 'c.tar'),
    ('{..}', 'a.b/c 1'), ('{...}', 'a.b/c.tar.gz 1.q.w'), ('{1..}', 'a.b/c'),
    ('{/..}', 'c 1'), ('{/...}', 'c.tar.gz 1.q.w'), ('{-1/..}', '1'),
    ('{+/}', "a.b ''"), ('{1+/}', 'a.b'), ('{+.}', 'gz w'), ('{-1+.}', 'w'),
    ('{+..}', 'tar.gz q.w'), ('{+...}', "'' ''"),
    ('{#}', '1'), ('{##}', '4'), ('{0#}', '1'), ('{00#}', '1'), ('{%}', '1'), ('{0%}', '1'))

# Braces that GNU parallel leaves alone, and that no user takes for placeholders.
LITERAL = (
    "awk '{print}'", "awk '{print $1}'", '${var}', '${var%.gz}', '${#var}', '${1%.}', 'x{a,b}',
    '{,.bak}',
    '{1..3}', '{01..10..2}', 'a{2,3}', '{1-2}', '{ }', '{+}', '{-}', '{host}', '{name}', '{"a": 1}',
    '{:-x}', '{%.gz}', '{/a/b}', '{print;}', '{;}', '{@}', '{*}', '{x}{y}')

# Words that look like placeholders and are none.
WRONG = ('{= s/a/b/ =}', '{2= $_=1 =}', '{=1 s/a/b/ =}', '{3}', '{-3}', '{0}', '{3.}', '{-3/}',
         '{./}',
         '{.1}', '{/1}', '{1#}', '{2%}', '{%%}', '{#.}', '{2##}', '{///}', '{....}', '{+//}',
         '{/+}', '{1/-}')


class Template(unittest.TestCase):
    """Placeholders that are replaced, left alone, and refused."""

    def fill(self, text):
        return template.Template(text.encode(), 2).fill(ARGUMENTS, 1, 1, 4, 3).decode()

    def test_FR_28_placeholders_have_the_meaning_of_gnu_parallel(self):
        """FR-28: by position from the end, extensions, directories, numbers."""
        for text, expected in FILLED:
            with self.subTest(text=text):
                self.assertEqual(self.fill(text), expected)

    def test_FR_28_what_looks_like_a_placeholder_is_never_text(self):
        """FR-28: an error names it."""
        for text in WRONG:
            for around in ('echo %s', 'echo {} %s x', "awk '{print}' %s"):
                with self.subTest(text=text):
                    with self.assertRaises(UsageError) as caught:
                        template.Template((around % text).encode(), 2)
                    self.assertIn(text, caught.exception.message)

    def test_FR_28_other_braces_stay(self):
        """FR-28: the braces that GNU parallel leaves alone."""
        for text in LITERAL:
            with self.subTest(text=text):
                self.assertEqual(self.fill('echo {1} ' + text), 'echo a.b/c.tar.gz ' + text)
                self.assertEqual(self.fill(text), text + ' a.b/c.tar.gz 1.q.w')

    def test_FR_28_with_plus_all_of_its_placeholders_are_known(self):
        """FR-28: placeholders that --plus adds and lwt does not have are errors."""
        plus = template.Spelling(is_plus=True)
        for text in ('{//a/b}', '{host}', '{hgrp}', '{uniq}'):
            with self.subTest(text=text):
                self.assertRaises(UsageError, template.Template, text.encode(), 2, plus)
        for text in ("awk '{print}'", '${var%.gz}', '${#var}', 'x{a,b}', '{..} {+/}', '{1}'):
            with self.subTest(text=text):
                template.Template(text.encode(), 2, plus)

    def test_FR_28_extensions_of_odd_names(self):
        """FR-28: a dot in a directory, or at the start of a name, does not begin an extension."""
        for name, two, extension, directory in (
                (b'a.b.c', 'a', 'c', "''"), (b'.x.y', '.x.y', 'y', "''"),
                (b'd.e/f', 'd.e/f', "''", 'd.e'),
                (b'/a', '/a', "''", "''"), (b'a b.c.d', "'a b'", 'd', "''"),
                (b'x.', 'x.', "''", "''")):
            with self.subTest(name=name):
                filled = template.Template(b'{..}|{+.}|{+/}', 1).fill((name,), 1, 1).decode()
                self.assertEqual(filled.split('|'), [two, extension, directory])


class Program(ProgramTestCase):
    """lwt multi."""

    def test_FR_28_the_number_of_jobs_is_known_before_the_first_one(self):
        """FR-28: {##} and {0#}, with sources and with standard input."""
        done = self.lwt('multi', '-k', 'echo {0#}/{##} {-1}', ':::', *'abcdefghij')
        self.assertEqual(done.out.splitlines()[0::9], ['01/10 a', '10/10 j'], done)
        done = self.lwt('multi', '-k', 'echo {0#}/{##} {}', stdin=b'a\nb\n')
        self.assertEqual(done.out, '1/2 a\n2/2 b\n', done)

    def test_FR_28_an_unknown_placeholder_is_wrong_usage(self):
        """FR-28: exit code 2, and nothing is run."""
        for words in (('echo', '{.x.}', '{./}', ':::', 'a'), ('echo {= s/a/b/ =}', ':::', 'a'),
                      ('echo', '{2}', ':::', 'a'), ('--plus', 'echo {uniq}', ':::', 'a')):
            with self.subTest(words=words):
                done = self.lwt('multi', *words)
                self.assert_refused(done, 2, '{')
                self.assertEqual(done.out, '')

    def test_FR_27_zero_jobs_is_as_many_as_possible(self):
        """FR-27: -j0 runs all at the same time: each job ends when the last one has begun."""
        job = 'touch {}; while [ ! -e 40 ]; do sleep 0.05; done'
        for words in (('-j0',), ('-j', '0'), ('-P', '0'), ('--jobs=0',)):
            with self.subTest(words=words):
                done = self.lwt('multi', *words, job, ':::', *map(str, range(1, 41)))
                self.assertEqual((done.code, done.err), (0, ''), done)

    def test_FR_27_limits_of_this_machine_bound_it(self):
        """FR-27: with few descriptors, fewer jobs run at a time, and all of them run."""
        done = self.lwt('multi', '-j0', 'echo', ':::', *map(str, range(100)), preexec_fn=_few_files)
        self.assertEqual((done.code, done.err, len(done.out.split())), (0, '', 100), done)

    def test_FR_27_a_fanout_of_zero_is_as_many_as_possible(self):
        """FR-27: -f 0, and fanout = 0."""
        self.make_workspace([('h%d' % number, 'local', '~') for number in range(1, 41)])
        for words, variables in ((('-f', '0'), {}), ((), {'LWT_FANOUT': '0'}),
                                 (('--set', 'fanout=0'), {})):
            done = self.lwt('exec', '-a', *words, '--', 'echo x', env=dict(self.env, **variables))
            self.assertEqual((done.code, done.err, len(done.out.splitlines())), (0, '', 40), done)

    def test_FR_27_numbers_below_the_cores(self):
        """FR-27: -j -N is the number of cores less N, and at least 1, as in GNU parallel."""
        done = self.lwt('multi', '-j', '-1000', 'echo {%}', ':::', 'a', 'b')
        self.assertEqual((done.code, done.out), (0, '1\n1\n'), done)
        self.assert_refused(self.lwt('multi', '-j', 'x', 'echo', ':::', 'a'), 2, "-j: 'x'")


def _few_files():
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))


if __name__ == '__main__':
    unittest.main()
