"""The layers of the code, read from its syntax trees: imports point down, and each dangerous
function is used in one module only.
"""

import ast
import functools
import os
import re
import unittest

import lwt

FOLDER = os.path.dirname(lwt.__file__)
ARCHITECTURE = os.path.join(os.path.dirname(FOLDER), 'docs', 'architecture.md')

# The folders and the modules at the top of the package, from the bottom up.  A module imports only
# from the groups below its own, and from its own folder.
LAYERS = (
    ('errors', '__init__'),
    ('selectors_loop', 'procfs'),
    ('pipes',),
    ('workspace',),
    ('netcat', 'scp', 'ssh'),
    ('proc',),
    ('guard',),
    ('flow',),
    ('remote',),
    ('hosts',),
    ('copy', 'output'),
    ('tasks', 'multi', 'reduce'),
    ('commands',),
    ('api', 'cli'),
    ('__main__',),
)
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}

# Imports within a group of LAYERS that holds several modules or folders.
WITHIN_A_GROUP = {('scp', 'ssh')}

PURE = ('ssh', 'scp', 'netcat', 'remote.scripts', 'remote.exit_status', 'remote.ssh_messages',
        'tasks.model',
        'tasks.admission', 'workspace.hostlist', 'workspace.nodeset', 'commands.crontab',
        'hosts.health',
        'hosts.sample', 'hosts.capacity')


@functools.lru_cache(None)
def trees():
    """Return {module: syntax tree} of the whole package; a module in a folder of it is
    FOLDER.MODULE.
    """
    found = {}
    for directory, _folders, names in os.walk(FOLDER):
        for name in names:
            if name.endswith('.py'):
                path = os.path.join(directory, name)
                with open(path, encoding='utf-8') as file:
                    found[os.path.relpath(path, FOLDER)[:-3].replace(os.sep, '.')] = ast.parse(
                        file.read(), path)
    return dict(sorted(found.items()))


def folder(module):
    """Return the folder of a module, or the module's own name if it is at the top of the package.
    """
    return module.partition('.')[0]


def imported(tree, modules):
    """Return the full names that a tree imports, also in functions: 'os', 'os.path', 'lwt.errors'.

    modules: those of the package, to distinguish `from lwt import NAME` from a name that the
    package itself defines.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module if not node.level else '.'.join(filter(None, ('lwt', node.module)))
            yield from dict.fromkeys(_origin(origin, alias.name, modules) for alias in node.names)


def _origin(origin, name, modules):
    """Return the full name of the module that `from origin import name` needs."""
    if (origin + '.' + name)[len('lwt.'):] in modules and origin.split('.')[0] == 'lwt':
        return origin + '.' + name
    return 'lwt.__init__' if origin == 'lwt' else origin


def lwt_imports(module):
    """Return the modules of the package that a module imports."""
    return {name[len('lwt.'):]
            for name in imported(trees()[module], trees()) if name.startswith('lwt.')}


def uses(tree):
    """Return the dotted names that a tree uses ('os.environ', 'signal.signal'), and the bare names
    that it calls ('open()').
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield '%s.%s' % (node.value.id if isinstance(node.value, ast.Name) else '', node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id + '()'
        elif isinstance(node, ast.ImportFrom):
            yield from ('%s.%s' % (node.module, alias.name) for alias in node.names)


@functools.lru_cache(None)
def names_in(module):
    """Return the names that a module uses or imports."""
    tree = trees()[module]
    return frozenset(uses(tree)) | frozenset(imported(tree, trees()))


def users(wanted):
    """Return the modules that use or import one of these names."""
    return {module for module in trees() if names_in(module) & set(wanted)}


WRITERS = ('open', 'fdopen', 'write', 'writev', 'FileIO', 'dup', 'sendfile')


def callers_with(*values, only=WRITERS):
    """Return the modules that call one of these functions, of any object, with one of these values
    as an argument.
    """
    found = set()
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _function_name(node) in only:
                given = [argument for argument in node.args[:1] if is_constant(argument, values)]
                found |= {module} if given else set()
    return found


def _function_name(call):
    return getattr(call.func, 'attr', getattr(call.func, 'id', ''))


def is_constant(node, values):
    """Return whether an expression is one of these values."""
    return ast.dump(node) in [ast.dump(ast.parse(repr(value), mode='eval').body)
                              for value in values]


def command_modules():
    """Return the modules of all commands, from the table of lwt/cli.py."""
    table = next(node.value for node in trees()['cli'].body if isinstance(node, ast.Assign)
                 and [target.id
                      for target in node.targets if isinstance(target, ast.Name)] == ['COMMANDS'])
    return {'commands.' + module for _name, module, _help in ast.literal_eval(table)}


def names_of(node):
    """Return the identifiers in a syntax node."""
    return [value
            for value in (getattr(node, field, None) for field in ('id', 'attr', 'name', 'arg'))
            if isinstance(value, str)]


class Layers(unittest.TestCase):
    """Imports point down only."""

    def test_every_folder_has_its_layer_and_every_layer_its_folders(self):
        self.assertEqual(sorted(LEVELS), sorted({folder(module) for module in trees()}))
        self.assertEqual(len(LEVELS), sum(map(len, LAYERS)))

    def test_a_module_imports_only_from_its_folder_and_the_layers_below_it(self):
        for module in trees():
            mine = folder(module)
            theirs = {folder(name) for name in lwt_imports(module)} - {mine}
            wrong = {name for name in theirs
                     if LEVELS[name] >= LEVELS[mine] and (mine, name) not in WITHIN_A_GROUP}
            with self.subTest(module=module):
                self.assertEqual(wrong, set())

    def test_no_imports_go_in_a_circle(self):
        left = {module: lwt_imports(module) & set(trees()) for module in trees()}
        while True:
            done = {module for module, needed in left.items() if not needed & set(left)}
            if not done:
                break
            left = {module: needed for module, needed in left.items() if module not in done}
        self.assertEqual(left, {})

    def test_commands_never_import_each_other(self):
        commands = command_modules()
        self.assertTrue(commands)
        for module in commands:
            with self.subTest(module=module):
                self.assertEqual(lwt_imports(module) & commands, set())

    def test_errors_imports_nothing_of_lwt(self):
        names = list(imported(trees()['errors'], trees()))
        self.assertEqual([name for name in names if name.split('.')[0] == 'lwt'], [])

    def test_every_command_of_the_command_line_has_its_module(self):
        with_main = {module for module, tree in trees().items() if folder(module) == 'commands'
                     and 'main' in [node.name
                                    for node in tree.body if isinstance(node, ast.FunctionDef)]}
        self.assertEqual(with_main, command_modules())


class Names(unittest.TestCase):
    """One name for one thing."""

    def test_no_two_classes_have_the_same_name(self):
        names = [node.name for tree in trees().values() for node in ast.walk(tree)
                 if isinstance(node, ast.ClassDef) and node.name != '_Job']
        self.assertEqual([name for name in set(names) if names.count(name) > 1], [])


    def test_the_architecture_page_lists_every_module(self):
        with open(ARCHITECTURE, encoding='utf-8') as file:
            table = file.read().partition('| module | what it holds |')[2].partition('\n\n')[0]
        listed = [name for row in table.split('\n')
                  for name in re.findall(r'`([\w.]+)`', row.partition(' | ')[0])]
        modules = {name for name in trees() if not name.endswith('__init__')}
        self.assertEqual((sorted(listed), len(listed)), (sorted(modules), len(set(listed))))

    def test_the_classes_of_the_glossary_exist(self):
        with open(ARCHITECTURE, encoding='utf-8') as file:
            glossary = file.read().partition('## Glossary')[2].partition('\n## ')[0]
        named = set(re.findall(r'`([A-Z]\w+)`', glossary))
        classes = {node.name for tree in trees().values() for node in ast.walk(tree)
                   if isinstance(node, ast.ClassDef)}
        self.assertTrue(named)
        self.assertEqual(named - classes, set())

    def test_words_that_the_glossary_replaced_are_not_in_names(self):
        parts = {part for tree in trees().values() for node in ast.walk(tree)
                 for name in names_of(node)
                 for part in re.sub(r'([a-z])([A-Z])', r'\1_\2', name).lower().split('_')}
        self.assertEqual(
            parts & {'conversation', 'door', 'errand', 'meeting', 'node', 'peer', 'stray',
                     'remnant', 'talk', 'weather'}, set())


class Dangers(unittest.TestCase):
    """Functions that only one module may use."""

    def test_processes_are_started_only_in_proc(self):
        self.assertEqual(
            users(['subprocess', 'os.fork', 'os.system', 'os.popen', 'os.spawnv', 'os.posix_spawn',
                   'os.execv']), {'proc'})

    def test_descriptors_are_watched_and_signals_caught_only_in_selectors_loop(self):
        self.assertEqual(users(
            ['selectors', 'signal.signal', 'signal.set_wakeup_fd', 'select.poll', 'select.epoll',
             'select.select']),
                         {'selectors_loop'})

    # Ways to standard output, standard error or the terminal, and the modules that may use them.
    PRINTING = {
        'print()': set(),
        # The answer of a child of lwt to lwt.
        'sys.stdout': {'copy.child_jobs'},
        'sys.__stdout__': set(),
        'sys.__stderr__': set(),
        'traceback.print_exc': set(),
        'logging.StreamHandler': set(),
        '.print_help': set(),
        'warnings.warn': set(),
        # Makes sure that Python can write any character to these streams.
        'sys.stderr': {'cli'},
        # Prompts for the password of --sudo, with words of lwt only.
        'getpass.getpass': {'commands.exec'},
    }

    def test_SR_10_printing_is_done_only_in_output(self):
        """SR-10: no output bypasses lwt/output/writer.py, which makes words of hosts harmless."""
        for name, modules in self.PRINTING.items():
            with self.subTest(name=name):
                self.assertEqual(users([name]), modules)
        self.assertEqual(callers_with(1, 2), {'output.writer', 'cli'})
        self.assertEqual(callers_with(1, 2, only=('write', 'writev')), {'output.writer'})
        # Checks whether there is a terminal for the prompt for sudo's password.
        self.assertEqual(
            callers_with('/dev/tty', '/dev/stdout', '/dev/stderr', '/dev/fd/1', '/dev/fd/2'),
            {'commands.exec'})

    def test_sqlite_is_only_in_database(self):
        self.assertEqual(users(['sqlite3']), {'workspace.database'})

    def test_sql_is_only_in_the_database_and_the_modules_that_derive_from_it(self):
        self.assertEqual(
            {module for module in trees()
             if any('.execute' in name or name == 'self._rows' for name in names_in(module))},
            {'workspace.database', 'tasks.host_queries', 'tasks.queries', 'tasks.store',
             'hosts.history'})

    def test_pure_modules_have_no_clock_no_network_no_files_and_no_environment(self):
        forbidden = {'time', 'socket', 'subprocess', 'open()', 'os.open', 'os.environ', 'os.getenv',
                     'datetime', 'random',
                     'secrets'}
        for module in PURE:
            with self.subTest(module=module):
                self.assertEqual(forbidden & names_in(module), set())


class Finding(unittest.TestCase):
    """The search finds what it must find."""

    def test_imports_are_found_wherever_and_however_they_are_written(self):
        for text, names in (('import os.path', ['os.path']),
                            ('from lwt import errors as f, __version__',
                             ['lwt.errors', 'lwt.__init__']),
                            ('from lwt.errors import LwtError', ['lwt.errors']),
                            ('from . import errors', ['lwt.errors']),
                            ('from .errors import LwtError', ['lwt.errors']),
                            ('import lwt.errors', ['lwt.errors']),
                            ('def f():\n if x:\n  from lwt import cli', ['lwt.cli'])):
            with self.subTest(text=text):
                self.assertEqual(list(imported(ast.parse(text), trees())), names)

    def test_uses_are_found(self):
        for text, name in (('os.environ["x"]', 'os.environ'), ('print("x")', 'print()'),
                           ('from sys import stdout', 'sys.stdout'),
                           ('signal.signal(1, f)', 'signal.signal'),
                           ('x = lambda: open(f)', 'open()')):
            with self.subTest(text=text):
                self.assertIn(name, set(uses(ast.parse(text))))


if __name__ == '__main__':
    unittest.main()
