"""Every path on which bytes of a host arrive has a budget, and docs/protocol.md names each budget.
"""

import ast
import os
import re
import unittest

from lwt.remote import call, host_limits
from tests.support import ROOT
from tests.test_layers import trees

# The functions that receive what a host sends, and its limits: names of budgets, or words for a
# limit that depends on the call.
ENTRIES = {
    ('api', 'command'): 'output_limit',
    ('copy.chain', '_take_part'): ('NETCAT_LINES', 'TEXT', 'LINE', 'NAME'),
    ('remote.call', 'call'): 'its callers, each with an entry here',
    ('remote.call', 'command'): 'its callers, each with an entry here',
    ('remote.call', 'log_in'): ('NOISE',),
    ('remote.call', 'script'): ('ANSWER', 'ANSWER_LINES', 'COMPLAINTS'),
    ('tasks.large_transfers', '_input'): ('VISIT', 'VISIT_LINES'),
    ('tasks.large_transfers', '_fetch'): ('EMPTY_FILES', 'ROOM_EVERY', 'ROOM_KEPT'),
    ('tasks.scp_transfers', 'fetch_result'): ('VISIT', 'LINKS'),
    ('commands.deploy', '_script'): ('ANSWER', 'ANSWER_LINES', 'COMPLAINTS'),
    ('commands.exec', '_on_host'): 'output_limit',
    ('commands.exec', 'attempt'): 'output_limit',
    ('commands.task_log', '_log_from_host'): 'the reader, who is waited for: nothing is kept',
    ('tasks.remote_audit', 'look'): ('LEFTOVERS', 'ANSWER_LINES', 'COMPLAINTS'),
    ('remote.netcat_hosts', 'end'): ('ANSWER', 'ANSWER_LINES', 'COMPLAINTS'),
    ('hosts.load', 'look'): ('SAMPLE', 'LOAD_USERS', 'LOAD_NONSENSE', 'MACHINE'),
    ('hosts.probe', 'probe'): ('PROBE',),
    ('reduce.ledger', '__init__'): ('LINE', 'COMMANDS', 'COMMAND_COMPLAINTS'),
    ('reduce.reducers', '_through_ssh'): 'what was sent, or output_limit',
    ('remote.channel', 'ask'): 'its callers, each with an entry here',
    ('remote.channel', 'attempt'): ('NOISE',),
    ('remote.worker', 'ask'): 'what a job prints is kept as for jobs on this machine',
    ('remote.worker', 'attempt'): ('NOISE',),
    ('copy.tar_get', '_announced'): ('LINE', 'PATHS', 'PATH_FAILURES', 'MEMBERS', 'MEMBER_ROOM',
                                    'DIRECTORIES_ROOM',
                                    'ROOM_EVERY', 'ROOM_KEPT'),
    ('copy.tar_put', 'offer'): ('LINE', 'NAME'),
    ('copy.scp_put', '_run'): ('ANSWER', 'ANSWER_LINES', 'COMPLAINTS'),
    ('tasks.visit', '_call'): ('VISIT', 'VISIT_LINES', 'TASK_ANSWERS', 'ID', 'TEXT', 'EMPTY_FILES'),
}
# Functions that take a sink for bytes of a host.
TAKERS = re.compile(
    r'(call\.(call|command|script)|(scripts\.)?Framed|.*_(channel|line)\.ask|(?<!\.)self\.ask)$')


def entries():
    """Return (module, function) of everything that passes a sink to a call on a host."""
    found = set()
    for module, tree in trees().items():
        for function in ast.walk(tree):
            for node in ast.walk(function) if isinstance(function, ast.FunctionDef) else ():
                name = dotted(node.func) if isinstance(node, ast.Call) else ''
                if (TAKERS.match(name)
                    or module == 'remote.call' and name in ('call', 'command', 'script')):
                    found.add((module, function.name))
    return found


def dotted(node):
    """Return a name with dots as it is written, '' for anything else."""
    if isinstance(node, ast.Attribute):
        return dotted(node.value) + '.' + node.attr
    return node.id if isinstance(node, ast.Name) else ''


def values():
    """Return {name: value} of the budgets."""
    return {name: value for name, value in vars(host_limits).items() if name.isupper()}


def written(value):
    """Return a number in the form of the table."""
    return '{:,}'.format(value)


class Completeness(unittest.TestCase):
    """SR-7 and SR-15: no path without a budget."""

    def test_SR_7_each_way_in_is_known(self):
        # These create their own frames.
        own = {('remote.channel', '__init__'), ('remote.channel', '_turn'),
               ('remote.worker', '_turn'), ('remote.worker', '_log_in')}
        self.assertEqual(entries() - own, set(ENTRIES))

    def test_SR_7_each_budget_is_used(self):
        used = set()
        for module, tree in trees().items():
            used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
                     and dotted(node.value) == 'host_limits' and node.attr.isupper()}
        self.assertEqual(used, set(values()))

    maxDiff = None

    def test_SR_7_the_document_has_each_budget_with_its_value(self):
        with open(os.path.join(ROOT, 'docs', 'protocol.md'), encoding='utf-8') as file:
            rows = dict(re.findall(r'^\| `([A-Z_]+)` \| ([0-9,]*) ', file.read(), re.M))
        expected = {name: written(value)
                    for name, value in values().items() if isinstance(value, int)}
        expected['LOAD'] = ''
        self.assertEqual(rows, expected)

    def test_what_is_kept_of_standard_error_is_the_callers_to_say(self):
        for kept, most in ((call.Collector(), host_limits.COMPLAINTS),
                           (call.Collector(1 << 24, 1 << 24), 1 << 24)):
            while not kept('stderr', b'x' * (1 << 16)):
                pass
            self.assertEqual(len(kept.stderr), most)


if __name__ == '__main__':
    unittest.main()
