"""docs/faults.md and the tests agree: every case of the table has tests, and every test with a
case's id is in the table.
"""

import ast
import glob
import os
import re
import unittest

from tests.support import ROOT

NAME = re.compile(r'(?:^test_|_and_)([A-Z]+)_(\d+)(?=_)')      # test_C_2_…, test_C_2_and_C_3_…


def documented():
    """Return {id: the modules that the table names} of docs/faults.md."""
    with open(os.path.join(ROOT, 'docs', 'faults.md'), encoding='utf-8') as file:
        lines = [line for line in file if re.match(r'\| [A-Z]+-\d', line)]
    found = {}
    for line in lines:
        cells = [cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]
        found[cells[0]] = set(re.findall(r'`(test_\w+)`', cells[3]))
    return found


def tested():
    """Return {id: the modules with a test that has the id in its name}."""
    found = {}
    for path in glob.glob(os.path.join(ROOT, 'tests', 'test_*.py')):
        with open(path, encoding='utf-8') as file:
            tree = ast.parse(file.read())
        for node in ast.walk(tree):
            for case in NAME.findall(node.name) if isinstance(node, ast.FunctionDef) else ():
                name = os.path.splitext(os.path.basename(path))[0]
                found.setdefault('%s-%s' % case, set()).add(name)
    return found


class Agreement(unittest.TestCase):
    """The table and the tests have the same cases."""

    maxDiff = None

    def test_the_table_and_the_tests_agree(self):
        self.assertEqual(documented(), tested())

    def test_the_cases_that_were_promised_are_there(self):
        promised = (['C-%d' % n for n in range(1, 16)] + ['H-%d' % n for n in range(1, 9)]
                    + ['D-%d' % n for n in range(1, 8)])
        self.assertEqual([case for case in promised + ['D-10'] if case not in documented()], [])


if __name__ == '__main__':
    unittest.main()
