"""The Python API, on real hosts and on this machine."""

import os
import subprocess
import sys
import unittest

from tests.support import ProgramTestCase
from tests.test_lab_hosts import LabTestCase

ON_HOSTS = '''\
from lwt import api
lwt = api.open(connect_timeout=2)
for done in lwt.run('echo "$0 $(hostname)"; [ $(hostname) != h2 ]', 'h[1-4]'):
    print(done.host, done.kind, done.code, done.ok, done.text.split()[-1:])

def twice(session, host):
    first = yield from api.command(session, host, 'echo "$1" | tee kept; sleep "$2"', 'a b', '0.1')
    yield api.Sleep(0.01)
    second = yield from api.command(session, host, 'cat kept')
    return host.name, first.text == second.text == 'a b\\n'

print(sorted(lwt.flows(lwt.hosts('h1,h2'), twice)))
print([host.name for host in lwt.hosts()], [host.home for host in lwt.hosts('h1')])
'''

QUEUE = '''\
from lwt import api
lwt = api.open('.')
print(lwt.counts(), [(task.id, task.name, task.state, task.outcome) for task in lwt.tasks()])
'''

WRONG = '''\
import os
from lwt import api
for make in (lambda: api.open(fanuot=3), lambda: api.open('nowhere'),
             lambda: api.open(environ={}).tasks(),
             lambda: api.open(environ={}).hosts('h[')):
    try:
        make()
    except api.UsageError as error:
        print(error.message)
'''

# A program that embeds lwt, with a handler that reaps every child as soon as the guard and two
# commands exist.
REAPS_ALL = '''\
import os, signal, sys
from lwt.cli import main

def reap(*_):
    with open('/proc/self/task/%d/children' % os.getpid()) as file:
        if len(file.read().split()) == 3:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for _child in range(2):
                os.waitpid(-1, 0)

signal.signal(signal.SIGALRM, reap)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
sys.exit(main(sys.argv[1:]))
'''

INHERITABLE = '''\
import os
from lwt import api
ends = os.pipe()
os.set_inheritable(ends[0], True)
api.open().run('true', 'localhost')
print(os.get_inheritable(ends[0]), os.get_inheritable(ends[1]))
'''


class Program(ProgramTestCase):
    """On this machine."""

    def run_python(self, code):
        done = subprocess.run([sys.executable, '-c', code], cwd=self.scratch, env=self.env,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        return done.stdout.decode()

    def test_the_queue_is_read(self):
        self.make_workspace([('localhost', 'local', '~')])
        self.assertEqual(self.run_python(QUEUE), '{} []\n')
        self.lwt('task', 'add', 'sample')
        self.lwt('task', 'run')
        self.assertEqual(self.run_python(QUEUE),
                         "{'success': 1} [(1, 'sample', 'done', 'success')]\n")

    def test_what_is_wrong_is_an_error_with_a_message(self):
        lines = self.run_python(WRONG).splitlines()
        self.assertEqual(lines[0], "fanuot: unknown option 'fanuot'")
        self.assertIn('nowhere: not a workspace', lines[1])
        self.assertIn('no workspace found', lines[2])
        self.assertIn('h[', lines[3])

    def test_a_program_hears_the_log_by_its_own_handlers(self):
        self.make_workspace([('localhost', 'local', '~')])
        code = (
            'import logging, sys; logging.basicConfig(level=logging.INFO, stream=sys.stdout, '
            'format="%(host)s %(message)s")\n'
            'from lwt import api; api.open().run("true")')
        self.assertRegex(self.run_python(code), r'^localhost command: ok after \d+\.\d\d s\n$')

    def test_the_descriptors_of_the_program_are_left_alone(self):
        self.make_workspace([('localhost', 'local', '~')])
        self.assertEqual(self.run_python(INHERITABLE), 'True False\n')

    def reaping(self, *argv):
        """Run lwt in a program that reaps its first two children; return (exit code, stdout,
        stderr).
        """
        done = subprocess.run((sys.executable, '-c', REAPS_ALL) + argv, cwd=self.scratch,
                              env=self.env, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_a_job_that_the_program_reaped_is_lost_and_not_a_success(self):
        code, _out, err = self.reaping('multi', '-j2', '--joblog', 'log', ':::', 'sleep 1',
                                       'sleep 1; exit 4', 'exit 5')
        self.assertEqual(code, 3, err)
        self.assertNotIn('Traceback', err)
        self.assertIn('2 exit status unknown', err)
        with open(self.path('log')) as file:
            rows = sorted(line.split('\t')[6:9] for line in file if line[0].isdigit())
        self.assertEqual(rows, [['-1', '0', 'sleep 1\n'], ['-1', '0', 'sleep 1; exit 4\n'],
                                ['5', '0', 'exit 5\n']])

    def test_importing_lwt_itself_costs_nothing(self):
        code = ('import sys; before = set(sys.modules); import lwt; print(sorted(set(sys.modules) '
                '- before))')
        self.assertEqual(self.run_python(code), "['lwt']\n")


class OnHosts(LabTestCase):
    """On hosts of a lab."""

    hosts = 4

    def test_commands_and_flows(self):
        self.make_lab_workspace()
        self.lab.black_hole('h3')
        self.lab.refuse('h4')
        done = subprocess.run([sys.executable, '-c', ON_HOSTS], cwd=self.scratch, env=self.env,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        self.assertEqual(done.stdout.decode().splitlines(), [
            "h1 ok 0 True ['h1']", "h2 failed 1 False ['h2']", 'h3 timeout 255 False []',
            'h4 refused 255 False []',
            "[('h1', True), ('h2', True)]", "['h1', 'h2', 'h3', 'h4'] ['~']"])
        for name in ('h1', 'h2'):
            os.unlink(os.path.join(self.lab.home(name), 'kept'))


if __name__ == '__main__':
    unittest.main()
