"""The oldest supported Python, the sizes of modules and functions, and the standard library: read
from the syntax trees.
"""

import ast
import os
import re
import sys
import unittest

from tests.lint import MAX_FUNCTION

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

FLOOR = (3, 6)

# Names that are newer than the oldest Python. A dotted name counts only with its module before it.
TOO_NEW = {'nullcontext', 'shlex.join', 'cached_property', 'removeprefix', 'removesuffix',
           'math.prod', 'asyncio.run',
           'time_ns',
           'monotonic_ns', 'perf_counter_ns', 'importlib.resources', 'dataclasses', 'contextvars',
           'zoneinfo', 'tomllib',
           'graphlib',
           'sys.unraisablehook', 'addModuleCleanup', 'enterContext', 'addClassCleanup',
           'assertNoLogs', 'math.dist',
           'math.isqrt',
           'math.comb', 'pairwise', 'batched', 'signal.strsignal', 'signal.raise_signal',
           'breakpoint', 'fromisoformat',
           'IsolatedAsyncioTestCase'}
TOO_NEW_FUTURE = {'annotations'}
TOO_NEW_KEYWORDS = {'capture_output', 'text'}       # arguments of subprocess
SELF_DOCUMENTING = re.compile(r'''\b[fF][rR]?(["']).*?\{[^{}"'=!<>]+=\s*(?:[!:][^{}]*)?\}''')

# The part of the standard library that lwt may use, for a Python that cannot list its modules.
STANDARD = getattr(sys, 'stdlib_module_names', frozenset('''
    __future__ argparse ast base64 bisect builtins calendar codecs collections configparser
    contextlib copy csv ctypes datetime difflib doctest enum errno faulthandler fcntl filecmp
    fnmatch functools gc getpass glob gzip hashlib heapq hmac html http importlib inspect io
    itertools json locale logging math mmap operator os pathlib pickle pkgutil platform posixpath
    pprint pty pwd py_compile queue random re resource runpy secrets select selectors shlex shutil
    signal site socket socketserver sqlite3 stat statistics string struct subprocess sys sysconfig
    tarfile tempfile termios textwrap threading time timeit tokenize traceback tty types typing
    unicodedata unittest urllib uuid warnings weakref xml zipapp zipfile zlib'''.split()))


def sources(*folders):
    """Return {relative path: text} of the Python files in these folders of the project."""
    found = {}
    for folder in folders:
        for root, _dirs, names in os.walk(os.path.join(FOLDER, folder)):
            for path in (os.path.join(root, name) for name in names if name.endswith('.py')):
                with open(path, encoding='utf-8') as file:
                    found[os.path.relpath(path, FOLDER)] = file.read()
    return found


ALL = sources('lwt', 'tests')
PACKAGE = sources('lwt')


def parse(text):
    """Return the syntax tree of a text, as the oldest Python would parse it if this Python can do
    that. Raises SyntaxError.
    """
    return ast.parse(text, feature_version=FLOOR) if sys.version_info >= (3, 8) else ast.parse(text)


def names_of(node):
    """Return the names that a node uses; dotted names also without the part before the dot."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
        if isinstance(node.value, ast.Name):
            yield '%s.%s' % (node.value.id, node.attr)
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ''
        for alias in node.names:
            yield alias.name
            yield '%s.%s' % (node.module, alias.name)


def too_new(text):
    """Return what a text uses that the oldest Python does not have."""
    try:
        tree = parse(text)
    except SyntaxError as error:
        return ['syntax: %s' % error.msg]
    return ['f-string with ='] * bool(SELF_DOCUMENTING.search(text)) + [
        found for node in ast.walk(tree)
        for found in sorted(TOO_NEW & set(names_of(node))) + _too_new_syntax(node)]


def _too_new_syntax(node):
    found = []
    if isinstance(node, ast.ImportFrom) and node.module == '__future__':
        found += sorted(TOO_NEW_FUTURE & {alias.name for alias in node.names})
    if type(node).__name__ in ('NamedExpr', 'Match', 'TryStar'):
        found.append(type(node).__name__)
    if isinstance(node, ast.arguments) and getattr(node, 'posonlyargs', ()):
        found.append('positional-only parameters')
    function = getattr(node, 'func', None)
    if (isinstance(node, ast.Call) and isinstance(function, ast.Attribute)
        and getattr(function.value, 'id', '') == 'subprocess'):
        found += sorted(TOO_NEW_KEYWORDS & {keyword.arg for keyword in node.keywords})
    return found


def strangers(text):
    """Return the top-level modules that a text imports and that are neither ours nor in the
    standard library.
    """
    found = set()
    for node in ast.walk(parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition('.')[0])
    return found - STANDARD - {'lwt', 'tests'}


def long_functions(text):
    """Return (name, lines) of the functions of a text that are too long."""
    for node in ast.walk(parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            last = max(getattr(inner, 'end_lineno', None) or getattr(inner, 'lineno', 0)
                       for inner in ast.walk(node))
            lines = last - node.lineno + 1
            if lines > MAX_FUNCTION:
                yield node.name, lines


class Floor(unittest.TestCase):
    """Every file works with the oldest Python and its standard library."""

    any_user = True

    def test_nothing_is_newer_than_the_floor(self):
        self.assertGreater(len(ALL), len(PACKAGE))
        for path, text in ALL.items():
            with self.subTest(path=path):
                self.assertEqual(too_new(text), [])

    def test_only_the_standard_library_is_imported(self):
        for path, text in ALL.items():
            with self.subTest(path=path):
                self.assertEqual(strangers(text), set())


class Sizes(unittest.TestCase):
    """Modules and functions are small enough to be read."""

    def test_no_function_of_the_package_is_too_long(self):
        for path, text in PACKAGE.items():
            with self.subTest(path=path):
                self.assertEqual(list(long_functions(text)), [])


class Finding(unittest.TestCase):
    """The search finds what it must find."""

    def test_what_is_too_new_is_found(self):
        for text in ('subprocess.run(x, capture_output=True)', 'subprocess.Popen(x, text=True)',
                     'from __future__ import annotations',
                     'contextlib.nullcontext()', 'from contextlib import nullcontext',
                     'shlex.join(x)',
                     'from shlex import join',
                     '@functools.cached_property\ndef f(): pass', '"x".removeprefix("y")',
                     'x.removesuffix("y")', '(y := 1)',
                     'def f(a, /): pass', 'math.prod(x)', 'asyncio.run(f())', 'time.time_ns()',
                     'import importlib.resources', 'from importlib import resources',
                     'import dataclasses',
                     'from dataclasses import dataclass', 'match x:\n  case 1: pass',
                     '%s"{x=}"' % 'f',
                     '%s"{x = !r:>9}"' % 'F'):
            with self.subTest(text=text):
                self.assertNotEqual(too_new(text), [])

    def test_what_is_old_enough_is_not_found(self):
        for text in ('", ".join(x)', 'os.path.join(x)', 'f("{x=}")', 'table(text=1)',
                     'from __future__ import generator_stop',
                     'f"{x} {y!r:>{w}}"', '%s"{x == y}"' % 'f', 'def f(a, *, b): pass',
                     'import importlib', 'x = y = 1'):
            with self.subTest(text=text):
                self.assertEqual(too_new(text), [])

    def test_strangers_and_long_functions_are_found(self):
        self.assertEqual(strangers(
            'import os, numpy.x\nfrom yaml import load\nfrom lwt import hosts\nfrom . import x'),
                         {'numpy', 'yaml'})
        self.assertEqual(list(long_functions('def f():\n' + ' x\n' * MAX_FUNCTION)),
                         [('f', MAX_FUNCTION + 1)])
        self.assertEqual(list(long_functions('def f():\n' + ' x\n' * (MAX_FUNCTION - 1))), [])


if __name__ == '__main__':
    unittest.main()
