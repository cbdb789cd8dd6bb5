"""What `make lint` looks at: sources that compile, unused imports, long lines, long functions, and shellcheck on the scripts."""

import ast
import os
import shutil
import subprocess
import sys

from lwt import remote
from tests.support import ROOT

MAX_LINE = 130
MAX_FUNCTION = 50
FOLDERS = ('lwt', 'tests', 'bench')


def sources():
    """The Python files of the project."""
    for folder in FOLDERS:
        for root, _dirs, names in os.walk(os.path.join(ROOT, folder)):
            for name in sorted(names):
                if name.endswith('.py'):
                    yield os.path.join(root, name)


def look_at(path):
    """Yield what is wrong with a Python file, a line each."""
    with open(path, encoding='utf-8') as file:
        text = file.read()
    shown = os.path.relpath(path, ROOT)
    for number, line in enumerate(text.split('\n'), 1):
        if len(line) > MAX_LINE:
            yield '%s:%d: %d characters' % (shown, number, len(line))
        if line != line.rstrip():
            yield '%s:%d: white space at the end' % (shown, number)
    tree = ast.parse(text, path)
    for name, number in unused_imports(tree):
        yield '%s:%d: %s is imported and not used' % (shown, number, name)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and last_line(node) - node.lineno >= MAX_FUNCTION:
            yield '%s:%d: %s is longer than %d lines' % (shown, node.lineno, node.name, MAX_FUNCTION)
    if not ast.get_docstring(tree):
        yield '%s:1: no docstring' % shown


def unused_imports(tree):
    """(name, line) of what a module imports and never names."""
    imported = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and getattr(node, 'module', '') != '__future__':
            for alias in node.names:
                imported[(alias.asname or alias.name).partition('.')[0]] = node.lineno
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__':
            used |= set(ast.literal_eval(node.value))
    return sorted((name, number) for name, number in imported.items() if name not in used)


def last_line(node):
    """The last line of a function's body."""
    return max(getattr(child, 'lineno', node.lineno) for child in ast.walk(node))


def scripts():
    """(name, text) of each script of lwt/sh/ as it runs, and of the other shell files."""
    made = dict(remote.SHORT_SCRIPTS, guard=('lib', 'guard'),
                fetch=('lib', 'namelib', 'sendlib', 'fetch'), get=('lib', 'namelib', 'copylib', 'get'),
                sudo=('lib', 'sudo'), run=('lib', 'tasklib', 'run'), watch=('watch',), reduce=('lib', 'netlib', 'reduce'))
    for name, parts in sorted(made.items()):
        text = ''
        for part in parts:
            with open(os.path.join(ROOT, 'lwt', 'sh', part + '.sh')) as file:
                text += file.read()
        yield name, text
    with open(os.path.join(ROOT, 'tests', 'requirements.sh')) as file:
        yield 'requirements', file.read()


def shellcheck(name, text):
    """What shellcheck says of a script.  Excluded: functions that only other scripts call, and what a sourced file sets."""
    done = subprocess.run(['shellcheck', '-s', 'sh', '-e', 'SC2317,SC2034,SC1091,SC2154', '-f', 'gcc', '-'],
                          input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return ['sh/%s: %s' % (name, line) for line in done.stdout.decode().splitlines()]


def main():
    """Print what is wrong; returns an exit code."""
    wrong = [line for path in sources() for line in look_at(path)]
    if shutil.which('shellcheck'):
        wrong += [line for name, text in scripts() for line in shellcheck(name, text)]
    else:
        print('shellcheck is not installed: the scripts were not looked at')
    for line in wrong:
        print(line)
    print('%d thing%s to mend' % (len(wrong), '' if len(wrong) == 1 else 's') if wrong else 'lint: nothing to mend')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
