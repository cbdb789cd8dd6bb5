"""`make lint`: unknown names, unused imports, long lines, functions and modules, shellcheck."""

import ast
import builtins
import collections
import functools
import os
import re
import shutil
import subprocess
import sys

from lwt.remote import scripts
from tests.support import ROOT

MAX_LINE = 100
MAX_FUNCTION = 40       # lines
MAX_MODULE = 500        # lines, in lwt/
SH_FOLDER = os.path.join(ROOT, 'lwt', 'remote', 'sh')
FOLDERS = ('lwt', 'tests', 'bench')
REPLACED = ('at_exit', 'find_marked')    # functions that a later script replaces


def sources():
    """Yield the paths of the project's Python files."""
    for folder in FOLDERS:
        for root, _dirs, names in os.walk(os.path.join(ROOT, folder)):
            for name in sorted(names):
                if name.endswith('.py'):
                    yield os.path.join(root, name)


def bad_lines(shown, text):
    """Yield a message for each line that is too long or ends with white space."""
    for number, line in enumerate(text.split('\n'), 1):
        if len(line) > MAX_LINE:
            yield '%s:%d: %d characters' % (shown, number, len(line))
        if line != line.rstrip():
            yield '%s:%d: white space at the end' % (shown, number)


def look_at(path):
    """Yield a message for each problem of a Python file."""
    with open(path, encoding='utf-8') as file:
        text = file.read()
    shown = os.path.relpath(path, ROOT)
    yield from bad_lines(shown, text)
    lines = text.count('\n')
    if lines > MAX_MODULE and shown.startswith('lwt' + os.sep):
        yield '%s: %d lines, more than %d' % (shown, lines, MAX_MODULE)
    tree = ast.parse(text, path)
    for name, number in unused_imports(tree):
        yield '%s:%d: %s is imported and not used' % (shown, number, name)
    for name, number in unknown_names(tree):
        yield '%s:%d: nothing defines %s' % (shown, number, name)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and last_line(node) - node.lineno >= MAX_FUNCTION:
            yield ('%s:%d: %s is longer than %d lines'
                   % (shown, node.lineno, node.name, MAX_FUNCTION))
    if not ast.get_docstring(tree):
        yield '%s:1: no docstring' % shown


def unused_imports(tree):
    """Return (name, line) of what a module imports and never uses."""
    imported = {}
    for node in ast.walk(tree):
        if (isinstance(node, (ast.Import, ast.ImportFrom))
            and getattr(node, 'module', '') != '__future__'):
            for alias in node.names:
                imported[(alias.asname or alias.name).partition('.')[0]] = node.lineno
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__':
            used |= set(ast.literal_eval(node.value))
    return sorted((name, number) for name, number in imported.items() if name not in used)


def unknown_names(tree):
    """Yield (name, line) of each name that a module uses and does not define.

    Also yield the names that it imports from one of our modules that does not define them.
    """
    known = defined(ast.walk(tree)) | set(dir(builtins)) | {'__file__', '__path__'}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in known:
            yield node.id, node.lineno
        elif (isinstance(node, ast.ImportFrom) and node.module
              and node.module.partition('.')[0] in FOLDERS):
            theirs = names_of_module(node.module)
            for alias in node.names:
                if alias.name not in theirs:
                    yield '%s.%s' % (node.module, alias.name), node.lineno


def defined(nodes):
    """Return the names that these nodes define: variables, functions, classes, arguments, imports.
    """
    found = set()
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition('.')[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found


@functools.lru_cache(None)
def names_of_module(module):
    """Return the names that can be imported from one of our modules: its definitions, and the
    modules in it.
    """
    path = os.path.join(ROOT, *module.split('.'))
    is_folder = os.path.isdir(path)
    source = os.path.join(path, '__init__.py') if is_folder else path + '.py'
    with open(source, encoding='utf-8') as file:
        found = defined(ast.walk(ast.parse(file.read())))
    return found | ({name.partition('.')[0] for name in os.listdir(path)} if is_folder else set())


def last_line(node):
    """Return the last line of a function's body."""
    return max(getattr(child, 'lineno', node.lineno) for child in ast.walk(node))


def sh_files():
    """Yield (name, text) of each script of lwt/remote/sh/ as it runs, and of the other shell files.
    """
    made = dict(scripts.SHORT_SCRIPTS, guard=scripts.GUARD + scripts.LATER[1:],
                staging_guard=scripts.STAGING_GUARD + scripts.LATER[1:],
                sudo=scripts.SUDO,
                run=scripts.RUNNER, watch=('watch',), **scripts.LONG_SCRIPTS)
    for name, parts in sorted(made.items()):
        text = ''
        for part in parts:
            with open(os.path.join(SH_FOLDER, part + '.sh')) as file:
                text += file.read()
        yield name, text
    with open(os.path.join(ROOT, 'tests', 'requirements.sh')) as file:
        yield 'requirements', file.read()


def bad_sh_lines():
    """Yield a message for each line of the files of lwt/remote/sh/ that is too long."""
    for name in sorted(os.listdir(SH_FOLDER)):
        path = os.path.join(SH_FOLDER, name)
        with open(path, encoding='utf-8') as file:
            yield from bad_lines(os.path.relpath(path, ROOT), file.read())


def defined_twice(name, text):
    """Return the functions that a script defines twice: the first definition is lost."""
    names = collections.Counter(re.findall(r'(?m)^(\w+)\(\)', text))
    return ['sh/%s: %s is defined twice' % (name, function)
            for function, times in sorted(names.items())
            if times > 1 and function not in REPLACED]


def shellcheck(name, text):
    """Return shellcheck's messages about a script. Excluded: functions that only other scripts
    call, and variables that a sourced file sets.
    """
    done = subprocess.run(
        ['shellcheck', '-s', 'sh', '-e', 'SC2317,SC2034,SC1091,SC2154', '-f', 'gcc', '-'],
        input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return ['sh/%s: %s' % (name, line) for line in done.stdout.decode().splitlines()]


def main():
    """Print all problems; returns an exit code."""
    wrong = [line for path in sources() for line in look_at(path)]
    wrong += bad_sh_lines()
    wrong += [line for name, text in sh_files() for line in defined_twice(name, text)]
    if shutil.which('shellcheck'):
        wrong += [line for name, text in sh_files() for line in shellcheck(name, text)]
    else:
        print('shellcheck is not installed: the scripts were not looked at')
    for line in wrong:
        print(line)
    print('lint: %d problem%s' % (len(wrong), '' if len(wrong) == 1 else 's') if wrong
          else 'lint: no problems')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
