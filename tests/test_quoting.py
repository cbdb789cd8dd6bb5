"""Where a value may be put into a shell command, tested with values that would do harm elsewhere.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

from lwt.errors import UsageError
from lwt.remote import quoting
from tests.support import ProgramTestCase

SHELLS = [words for words in (('dash',), ('bash',), ('busybox', 'sh')) if shutil.which(words[0])]

# Values that make a file X if a shell ever interprets them.
EVIL = ('$(touch X)', '`touch X`', "'; touch X; '", '"; touch X; "', "a'$(touch X)'b",
        '\n touch X\n',
        '\nEOF\ntouch X\n', '\\', "\\'; touch X #", '}; touch X; {', ') ; touch X; (',
        'a[$(touch X)]',
        '-n $(touch X)', '" $(touch X) "')

SAFE = (            # commands in which any value is safe
    'echo {}', 'echo x{}y', 'echo "a" {} "b"', "echo 'a'{}'b'", r'echo \\{}', 'x={}; echo "$x"',
    'echo "$(basename -- {})"', 'echo $(echo $(echo {}))', 'echo "$(echo "$(echo {})" {})" {}',
    "cat <<'EOF'\n'x\nEOF\necho {}", 'cat <<EOF\n"\nEOF\necho {}',
    'cat <<-EOF\n\t\'\n\tEOF\necho {}',
    "echo x # it's\necho {}", 'echo x#{}', 'for i in {} {}; do echo "$i"; done', '(echo {})',
    "awk '{print $1}' /dev/null; echo {}", 'case {} in x) ;; esac', 'echo ${x:-{}}',
    'echo ${x:+"y"} {}',
    'echo $((1 + (2))) {}', 'echo ${#x} {}', 'echo `echo x` {}', "echo '\\' {}", 'echo "\\"" {}',
    "sh -c 'echo \"$1\"' sh {}", 'echo $# {}', '{ echo {}; }', 'echo {} 2>&1 | cat',
    'echo {} > /dev/null')

UNSAFE = (          # a command, the error message, and the hint
    ("echo '{}'", "{} within quotes: '{}'", 'write {},'),
    ('echo "{}"', '{} within quotes: "{}"', 'write {},'),
    ('echo "x{}y"', '{} within quotes: "x{}y"', 'write x{}y,'),
    ("echo 'a b {} c'", "within quotes: 'a b {} c'", "write 'a b '{}' c',"),
    ('cp {} "$HOME/{}"', 'within quotes: "$HOME/{}"', 'write "$HOME/"{},'),
    ("echo $'{}'", 'within quotes', 'write {},'), ('echo $"{}"', 'within quotes', 'write {},'),
    (r'echo \{}', r'\{}: a backslash before it', 'write {},'),
    (r'echo "\{}"', 'within quotes', ''), ("echo it's {}", 'within quotes', ''),
    ('echo "`basename {}`"', 'within backquotes', 'use $(…)'),
    ('echo `basename {}`', 'within backquotes', 'use $(…)'),
    ('echo "$(echo \'{}\')"', "within quotes: '{}'", ''),
    ('echo "${x:-{}}"', 'within quotes', 'value={}'),
    ('echo "${x:-"{}"}"', 'within quotes', ''), ("echo ${x:-'{}'}", 'within quotes', ''),
    ('cat <<EOF\n{}\nEOF', 'within a here-document', 'value={}'),
    ("cat <<'EOF'\n{}\nEOF", 'within a here-document', ''),
    ('cat <<A <<B\nA\n{}\nB\n', 'here-document', ''),
    ("echo $'a\\'{}'", 'within quotes', ''),
    ('echo "$(case x in a) echo {};; esac)"', 'within quotes', ''))

STRICT = ('echo x # {}', '# {}', 'echo $(( {} + 1 ))', 'echo "$(( {} * 2 ))"', 'echo ${}',
          'echo $(( ( {} ) ))')


def spans(text):
    """Return the positions of {} in a text."""
    return [match.span() for match in re.finditer(r'\{\}', text)]


class Scanner(unittest.TestCase):
    """The contexts of {}."""

    def test_UR_21_a_value_is_refused_where_quotes_would_not_protect(self):
        """UR-21: {} within quotes and the like is an error that shows the form to use."""
        for text, said, hint in UNSAFE:
            with self.subTest(text=text):
                with self.assertRaises(UsageError) as caught:
                    quoting.check(text, spans(text))
                self.assertIn(said, caught.exception.message)
                self.assertIn(hint, caught.exception.hint)

    def test_UR_21_unquoted_places_are_accepted(self):
        """UR-21: {} at any other position works as before."""
        for text in SAFE:
            with self.subTest(text=text):
                found = quoting.check(text, spans(text))
                self.assertEqual([place.context for place in found],
                                 ['unquoted'] * len(spans(text)))

    def test_UR_21_arithmetic_names_of_variables_and_comments_depend_on_the_value(self):
        """UR-21: quotes are impossible at these positions, but numbers are common, and so is `#
        {}`.
        """
        for text in STRICT:
            with self.subTest(text=text):
                found = quoting.check(text, spans(text))
                self.assertTrue(all(place.context in quoting.STRICT for place in found))

    def test_UR_21_every_place_is_found_once(self):
        """UR-21: no position is lost, whatever surrounds it."""
        for text in SAFE + STRICT + tuple(text for text, _said, _hint in UNSAFE):
            found = quoting.places(text, spans(text))
            self.assertEqual([(place.start, place.end) for place in found], spans(text), text)

    def test_UR_21_no_value_is_run_in_an_accepted_place(self):
        """UR-21: tested in every shell of this machine."""
        for shell in SHELLS:
            for text in SAFE:
                for value in EVIL:
                    with tempfile.TemporaryDirectory(prefix='lwt-test.') as scratch:
                        command = text.replace('{}', shlex.quote(value))
                        subprocess.run(shell + ('-c', command), cwd=scratch,
                                       stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                        self.assertEqual(os.listdir(scratch), [], (shell, text, value))


class Program(ProgramTestCase):
    """lwt multi and lwt task add."""

    def test_UR_21_a_template_with_quotes_around_a_placeholder_is_refused(self):
        """UR-21: nothing is run, and the hint is the unquoted form."""
        value = '$(touch X).txt'
        for template, hint in (
                ("echo '{}'", 'write {},'), ('echo "{}"', 'write {},'),
                ('echo "x{}y"', 'write x{}y,'),
                ("echo '{1}'", 'write {1},'), ('echo "{.}"', 'write {.},'), ("echo '{/} {-1}'", ''),
                ('echo "a {#} {}"', ''), ('echo \\{}', 'write {},'), ('cat <<EOF\n{}\nEOF\n', '')):
            with self.subTest(template=template):
                done = self.lwt('multi', template, ':::', value)
                self.assert_refused(done, 2, '{', 'hint: ' + hint)
                self.assertEqual((done.out, os.path.exists(self.path('X'))), ('', False))
        done = self.lwt('multi', 'echo "job {#} {%}" {}', ':::', value)
        self.assertEqual((done.code, done.out), (0, 'job 1 1 $(touch X).txt\n'), done)

    def test_UR_21_arithmetic_works_with_numbers(self):
        """UR-21: in $((…)), a value that is not a plain word is an error of its job."""
        done = self.lwt('multi', '-k', 'echo $(({} * 2))', ':::', '4', 'a[$(touch X)]', '5')
        self.assertEqual((done.code, done.out), (2, '8\n10\n'), done)
        self.assertIn('job 2: {} after "$" or within $((…)) must be a plain word', done.err)
        self.assertFalse(os.path.exists(self.path('X')))

    def test_UR_21_a_comment_takes_what_is_one_line(self):
        """UR-21: `# {}` drops the argument; a newline in it would end the comment."""
        done = self.lwt('multi', '-k', 'echo x # {}', ':::', '$(touch X)', 'a\ntouch X #')
        self.assertEqual((done.code, done.out), (2, 'x\n'), done)
        self.assertIn('job 2: {} within a comment must be one line', done.err)
        self.assertFalse(os.path.exists(self.path('X')))

    def test_UR_21_a_task_with_quotes_around_its_value_is_not_added(self):
        """UR-21: exec and kill of a desc, with file and line, and an exec of --exec."""
        self.make_workspace()
        self.write('values', '$(touch X)\n')
        for desc, said in (("exec : sh run.sh '{}'\n", 'desc:1: {} within quotes'),
                           ('# x\nexec : true\nkill : pkill "{}"\n', 'desc:3: {} within quotes'),
                           ('exec : echo \\{}\n', 'desc:1: \\{}: a backslash'),
                           ('exec : echo $(({}))\n', 'desc:1: {} after "$"')):
            with self.subTest(desc=desc):
                self.describe('one', desc, run_sh='true\n')
                done = self.lwt('task', 'add', 'one', '--each', 'values')
                self.assert_refused(done, 2, said)
                self.assertEqual(done.out, '')
        self.describe('one', 'exec : echo {}\n')
        done = self.lwt('task', 'add', 'one', '--each', 'values', '--exec', 'echo "{}"')
        self.assert_refused(done, 2, '--exec: {} within quotes', 'hint: write {},')

    def test_UR_21_without_values_braces_are_the_commands_own(self):
        """UR-21: `find … -exec … '{}' ';'` is accepted if {} has no values."""
        self.make_workspace()
        self.describe('one', "exec : find . -exec echo '{}' ';'\n")
        done = self.lwt('task', 'add', 'one')
        self.assertEqual((done.code, done.err), (0, 'lwt: 1 task added\n'), done)


if __name__ == '__main__':
    unittest.main()
