"""probe, monitor, stat, quarantine and `task why`: how reports of hosts are used, and all of it on
hosts with faults.
"""

import json
import os
import re
import threading
import unittest

from lwt.hosts import capacity, health, probe
from lwt.hosts.health import Health
from lwt.hosts.sample import Sample
from lwt.remote.exit_status import Verdict
from lwt.tasks.model import Desc
from lwt.workspace import config
from lwt.workspace.hostlist import Host
from tests import lab
from tests.support import wait_for
from tests.test_lab_hosts import COUNTING_RUN, LabTestCase

SETTINGS = config.load(None, {}, ())
HOST = Host('h', 'c')
FREE = Sample(cores=2, load=0.5, memory=8000000, free_memory=4000000, free_disk=9000000, tasks=0)


class Meters(unittest.TestCase):
    """What a probe derives from a host's report."""

    def meter(self, text, size=4, pieces=1):
        times = iter(range(100))
        found = probe.Meter(size, lambda: float(next(times)))
        for start in range(0, len(text), pieces):
            found('stdout', text[start:start + pieces])
        return found

    def test_lines_and_the_file_are_told_apart_in_whatever_pieces_they_come(self):
        text = (b'ready\nput\nget 4\na\nb\ngot\nclock 100\nboot x\npython 3.11.2 /usr/bin/python3\n'
                b'sample cores=2\naddress 10.0.0.1\nprogram nc\nOpenBSD netcat\n')
        for pieces in (1, 3, 7, 1000):
            with self.subTest(pieces=pieces):
                meter = self.meter(text, pieces=pieces)
                self.assertEqual(meter.times, {'ready': 0.0, 'put': 1.0, 'get': 2.0, 'got': 3.0})
                found = probe.read('h', Verdict('ok', 0), meter, -0.5, 90.0)
                self.assertEqual((found.hello, found.put, found.get, found.clock, found.boot,
                                  found.python, found.netcat),
                                 (0.5, 4.0, 4.0, 10, 'x', ('3.11.2', '/usr/bin/python3'),
                                  ('openbsd', 'nc')))
                self.assertEqual(found.load.cores, 2)

    def test_what_a_host_tells_without_an_end_is_not_taken(self):
        self.assertTrue(self.meter(b'x' * 99999, pieces=4096).is_nonsense)
        self.assertTrue(self.meter(b'line\n' * 9999, pieces=4096).is_nonsense)

    def test_a_host_that_sends_less_or_more_or_other_numbers_than_it_should(self):
        for text in (b'', b'ready\nput\nget 9\n', b'ready\nput\nget 4\nab',
                     b'got\nget 4\nabcdgot\n'):
            with self.subTest(text=text):
                found = probe.judged(probe.read('h', Verdict('ok', 0), self.meter(text), 0.0, 0.0),
                                     4, False, SETTINGS)
                self.assertEqual((found.verdict.kind, found.clock), ('failed', None))
        for told in ('clock -5', 'clock 1e9', 'clock x', 'clock ' + '9' * 99, 'python',
                     'program nc', 'program x'):
            found = probe.read('h', Verdict('ok', 0), self.meter(told.encode() + b'\n'), 0.0, 0.0)
            self.assertEqual((found.clock, found.python, found.netcat), (None, None, None))

    def test_what_is_too_slow_does_not_pass(self):
        for put, get, kind in ((20000.0, 20000.0, 'ok'), (9000.0, 20000.0, 'failed'),
                               (20000.0, 9000.0, 'failed')):
            found = probe.judged(probe.Probed('h', Verdict('ok', 0), 0.1, put, get), 1000, True,
                                 SETTINGS)
            self.assertEqual(found.verdict.kind, kind)
        settings = SETTINGS._replace(probe_rate=0, probe_time=10.0)
        self.assertEqual(probe.judged(probe.Probed('h', Verdict('ok', 0), 0.1, 99.0, 101.0), 1000,
                                      True, settings).verdict.kind,
                         'failed')


class Refusals(unittest.TestCase):
    """Why a host does not get a task."""

    def test_every_reason_is_told(self):
        desc = Desc('x', category='c')
        out, held = Health('h', 'out', reason='refused'), Health('h', 'held', reason='new disk')
        told = (0.0, FREE, '')
        for host, sick, heard, used, settings, said in (
                (Host('h', 'd'), None, told, 0, {}, 'the task requires c'),
                (HOST, out, told, 0, {}, 'quarantined: refused'),
                (HOST, held, told, 0, {}, 'excluded: new disk'),
                (HOST, None, None, 0, {}, 'not asked yet'),
                (HOST, None, (0.0, FREE, 'broken'), 0, {}, 'broken'),
                (HOST, None, (0.0, None, ''), 0, {}, 'no load report yet'),
                (HOST, None, told, 2, {}, '2 of its 2 slots are taken'),
                (HOST, None, told, 0, {'min_memory': 9999}, 'below min_memory'),
                (HOST, Health('h', 'doubtful'), told, 1, {}, '')):
            with self.subTest(said=said):
                found = capacity.refusal(host, sick, heard, used, desc,
                                         SETTINGS._replace(**settings), 12)
                self.assertIn(said, found)
                self.assertEqual(bool(said), bool(found))


class OnHosts(LabTestCase):
    """The commands, on hosts with faults."""

    slow = True
    hosts = 5

    def setUp(self):
        super().setUp()
        self.env['LWT_CONNECT_TIMEOUT'] = self.env['LWT_HELLO_TIMEOUT'] = '5'
        self.env['LWT_PROBE_SIZE'] = '200000'

    def objects(self, *argv, code=0):
        """Return the JSON that a command prints, by host."""
        done = self.lwt(*argv)
        self.assertEqual(done.code, code, done)
        return {found['host']: found
                for found in map(json.loads, done.out.splitlines()) if 'host' in found}

    def available(self):
        return [line.split('\t')[0] for line in self.read('host.list.available').splitlines()
                if not line.startswith('#')]

    def test_H_13_a_probe_writes_those_that_pass_and_says_what_is_wrong_with_the_others(self):
        self.make_lab_workspace()
        before = os.listdir(self.lab.home('h1'))
        self.write('host.list.available', 'half a li')
        self.lab.black_hole('h2')
        self.lab.refuse('h3')
        self.lab.stop_sshd('h4')
        done = self.lwt('probe')
        self.assertEqual((done.code, self.available()), (3, ['h1', 'h5']), done)
        for line in ('h3    unreachable (connection refused)',
                     'h2    unreachable (connection timed out)', 'h4    unreachable'):
            self.assertIn(line, done.out)
        self.assertIn('2 of 5 hosts passed; 2 available', done.err)
        found = self.objects('probe', '-w', 'h1', '--json')['h1']
        self.assertEqual((found['class'], found['clock'], found['load']['cores']),
                         ('ok', 0, os.cpu_count()))
        self.assertGreater(min(found['hello'], found['put'], found['get']), 0)
        why = self.lwt('hosts', '--why', 'h2').out
        self.assertIn('h2: failing since', why)
        self.assertIn('it did not pass the last probe', why)
        stat = self.objects('stat', '--json')
        self.assertEqual((stat['h1']['availability'], stat['h5']['state'], stat['h3']['count']),
                         (100.0, 'ok', 1))
        self.assertEqual(os.listdir(self.lab.home('h1')), before)

    def test_R_3_a_home_that_cannot_be_used_is_named_and_nothing_goes_there(self):
        self.make_lab_workspace(['h1', 'h5'])
        self.describe('quick', 'exec : hostname\n')
        self.lwt('task', 'add', 'quick', '--array', '1-3')
        for fault, said in ((lambda: self.lab.full_disk('h5'), 'no room left'),
                            (lambda: self.lab.mount_home('h5', 'ro'), 'cannot be written')):
            fault()
            try:
                done = self.lwt('probe')
                self.assertEqual((done.code, self.available()), (1, ['h1']), done)
                self.assertIn(said, done.out)
                os.unlink(self.path('host.list.available'))
                done = self.lwt('task', 'update')
                self.assertIn('h5: home ~: ', done.err)
                self.assertIn(said, done.err)
                self.assertEqual(set(self.objects('monitor', '--json')), {'h1', 'h5'})
            finally:
                self.lab.umount_home('h5')
        self.assertEqual(self.lwt('task', 'run').code, 0)

    def test_R_1_a_shell_that_sleeps_an_endless_answer_and_nonsense_are_a_line_each(self):
        self.make_lab_workspace()
        home = self.lab.home
        for name, rc in (('h2', 'sleep 59'), ('h3', 'PATH=$HOME/bin:$PATH'),
                         ('h4', 'PATH=$HOME/bin:$PATH')):
            self.put_inside(os.path.join(home(name), '.bashrc'), rc + '\n')
        self.put_inside(os.path.join(home('h3'), 'bin', 'awk'),
                        '#!/bin/sh\nhead -c 10000000 /dev/zero | tr "\\0" x\n')
        self.put_inside(os.path.join(home('h4'), 'bin', 'awk'),
                        '#!/bin/sh\necho sample cores=-7 load=nan cpu=99999999999999999999\n')
        try:
            done = self.lwt('monitor')
        finally:
            for pid, words in self.lab.commands('h2').items():
                if words == 'sleep 59':
                    os.kill(pid, 9)
            for name in ('h2', 'h3', 'h4'):
                self.lab.inside(name, 'rm', '-rf', '.bashrc', 'bin')
        self.assertEqual(done.code, 3, done)
        lines = {line.split(' ')[0]: line for line in done.out.splitlines()}
        self.assertEqual(len(done.out.splitlines()), 6, done)
        self.assertIn('no answer in 10 s', lines['h2'])
        self.assertIn('answer too long (more than 1024 bytes)', lines['h3'])
        self.assertIn('invalid load report: \'cores=-7\', \'load=nan\'',
                      lines['h4'])
        for name in ('h1', 'h5'):
            self.assertRegex(lines[name], r'^%s +\d+ ' % name)

    def put_inside(self, path, text):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(text)
        os.chmod(path, 0o755)

    def test_every_commands_failures_count_and_a_host_in_quarantine_costs_nothing_until_it_is_due(
            self):
        self.make_lab_workspace(['h1', 'h3'], quarantine_wait='3000')
        self.lab.refuse('h3')
        for words in (('exec', '-a', '--', 'true'), ('put', '-a', 'lwt.conf', '/tmp/x'),
                      ('monitor',)):
            self.assertEqual(self.lwt(*words).code, 3)
        self.assertIn('h3: quarantined', self.lwt('hosts', '--why', 'h3').out)
        done = self.lwt('exec', '-a', '--', 'hostname')
        self.assertEqual((done.code, done.out), (0, 'h1\n'), done)
        self.assertIn('skipped (excluded or quarantined): h3', done.err)
        self.describe('quick', 'exec : hostname\n')
        self.lwt('task', 'add', 'quick')
        self.assertIn('quarantined: unreachable (connection refused)',
                      self.lwt('task', 'why', '1').out)
        self.lab.heal('h3')
        for pass_number, state in ((1, 'h3: quarantined'), (2, 'h3: ok')):
            self.lwt('probe')
            self.assertIn(state, self.lwt('hosts', '--why', 'h3').out, pass_number)
        self.assertEqual(self.available(), ['h1', 'h3'])
        self.lwt('hosts', '--out', 'h1', 'new', 'disk')
        self.assertEqual(self.lwt('hosts').out, 'h3\n')
        self.lwt('hosts', '--back', 'h1')
        self.assertEqual(self.lwt('hosts').out, 'h1\nh3\n')
        self.assert_refused(self.lwt('hosts', '--out', 'h1'), 2, 'requires a reason')
        self.assert_refused(self.lwt('hosts', '--why', 'h9'), 2, 'no such host')

    def test_N_10_a_host_that_flaps_starts_nothing_twice_and_settles_in_quarantine(self):
        self.make_lab_workspace(['h1', 'h3'], quarantine_wait='0.3',
                                quarantine_longest='60')
        self.describe('count', 'exec : sh run.sh\nd_fetch : output\n', run_sh=COUNTING_RUN)
        over = threading.Event()

        def flap():
            while not over.wait(1.0):
                self.lab.refuse('h3')
                over.wait(1.0)
                self.lab.heal('h3')
        thread = threading.Thread(target=flap)
        thread.start()
        try:
            self.lwt('task', 'add', 'count', '--array', '1-20')
            self.assertEqual(self.lwt('task', 'run', '-q').code, 0)
        finally:
            over.set()
            thread.join()
        self.lab.refuse('h3')

        def is_out():
            self.lwt('exec', '-w', 'h3', '--', 'true')
            return 'quarantined' in self.lwt('hosts', '--why', 'h3').out
        self.assertTrue(wait_for(is_out))
        self.assertEqual(len(self.results()), 20)
        for number in range(1, 21):
            starts = 0
            for name in ('h1', 'h3'):
                path = os.path.join(self.lab.home(name), 'starts.%06d' % number)
                if os.path.exists(path):
                    with open(path) as file:
                        starts += len(file.readlines())
                    os.unlink(path)
            self.assertEqual(starts, 1, 'task %d' % number)

    def test_a_host_on_which_different_tasks_fail_gets_no_more_and_obstacles_are_told_once(self):
        self.make_lab_workspace(['h1', 'h2', 'h3', 'h4'])
        self.put_inside(os.path.join(self.lab.home('h3'), 'broken'), '')
        self.lab.black_hole('h2')
        self.describe(
            'sim', 'exec : [ ! -e ~/broken ] || exit 4; sleep 0.2\nretry_on : failed\nslots : 2\n')
        self.lwt('task', 'add', 'sim', '--array', '1-16')
        done = self.lwt('task', 'run')
        self.assertEqual(done.code, 0, done)
        self.assertLess(done.err.count('failed (exit code 4) on h3'), 8)
        self.assertRegex(done.err,
                         'h3: quarantined: [3-6] different tasks in a row failed '
                         'on this host; on other hosts ')
        # If the tasks end before ssh gives up, lwt does not wait for ssh: "no answer in 5 s".
        why = r'unreachable \((connection timed out|no answer in)'
        self.assertEqual(len(re.findall('lwt: h2: ' + why, done.err)), 1, done)
        self.assertRegex(done.err, 'lwt: 1 host still unavailable: h2: ' + why)
        for words in (('hosts', '--why', 'h3'),
                      ('task', 'why', self.lwt('task', 'add', 'sim').out.strip())):
            self.assertRegex(self.lwt(*words).out,
                             'h3.*quarantined(.|\n)*[3-6] different tasks in '
                             'a row failed on this host')
        # An answer alone does not end its quarantine.
        self.lwt('exec', '-w', 'h3', '--', 'true')
        self.assertNotIn('h3', self.lwt('hosts').out)
        self.lab.inside('h3', 'rm', 'broken')
        self.lwt('hosts', '--back', 'h3')
        self.lwt('task', 'rm', '17')
        self.describe('sim', 'exec : sleep 0.2\nhosts : h3\n')
        self.lwt('task', 'add', 'sim')
        self.assertEqual(self.lwt('task', 'run').code, 0)

    def test_a_task_that_fails_on_several_hosts_is_held_and_no_host_is_blamed(self):
        self.make_lab_workspace(['h1', 'h3', 'h4', 'h5'])
        self.describe('bad', 'exec : exit 4\nretry_on : failed\nretries : 9\n')
        self.describe('good', 'exec : true\n')
        self.lwt('task', 'add', 'bad', '--array', '1-4')
        self.lwt('task', 'add', 'good', '--array', '1-8')
        done = self.lwt('task', 'run')
        self.assertNotIn('quarantine', done.err)
        shown = [json.loads(line) for line in self.lwt('task', 'show', '--json').out.splitlines()]
        self.assertEqual([task['outcome'] or task['state'] for task in shown],
                         ['held'] * 4 + ['success'] * 8, done)
        self.assertRegex(shown[0]['reason'], 'failed on 3 hosts: h. h. h.')
        self.assertRegex(self.lwt('task', 'why', '1').out,
                         '000001 bad 1: held: failed on 3 hosts: h. h. h.; to release it: lwt '
                         'task resume 000001')

    def test_H_8_a_host_that_fails_the_probe_while_its_task_runs_still_has_it_fetched(self):
        self.make_lab_workspace(['h1', 'h5'])
        self.describe('slow', 'exec : sleep 3; echo done\nhosts : h1\n')
        self.lwt('task', 'add', 'slow')
        self.lwt('task', 'update')
        self.lwt('hosts', '--out', 'h1', 'it', 'is', 'sold')
        self.assertEqual(self.lwt('probe').code, 0)
        self.assertEqual(self.available(), ['h5'])
        self.assertEqual(self.lwt('task', 'run').code, 0)
        with open(os.path.join(self.results()[0], 'run.stdout')) as file:
            self.assertEqual(file.read(), 'done\n')

    def test_H_9_a_home_that_changes_in_the_list_is_still_where_its_task_is(self):
        self.make_lab_workspace(['h1'])
        self.describe('slow', 'exec : sleep 1; pwd\n')
        self.lwt('task', 'add', 'slow')
        self.lwt('task', 'update')
        self.write('host.list', 'h1\tlab\t/tmp\n')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        with open(os.path.join(self.results()[0], 'run.stdout')) as file:
            self.assertTrue(file.read().startswith(lab.ROOT_HOME + '/.lwt/'))

    def test_H_10_a_list_that_is_replaced_in_the_middle_of_a_run_changes_nothing_in_it(self):
        self.make_lab_workspace(['h1', 'h5'])
        self.describe('slow', 'exec : touch ~/begun; until [ -e ~/go ]; do sleep 0.1; done\n')
        self.lwt('task', 'add', 'slow', '--array', '1-6')
        popen = self.start('task', 'run')
        self.assertTrue(wait_for(lambda: os.path.exists(self.lab.path('h1', 'home', 'begun'))))
        self.write('host.list', 'half a li')
        for name in ('h1', 'h5'):
            self.put_inside(self.lab.path(name, 'home', 'go'), '')
        _out, err = popen.communicate(timeout=60)
        self.assertEqual((popen.returncode, len(self.results())), (0, 6), err)
        for name in ('h1', 'h5'):
            self.lab.inside(name, 'rm', '-f', 'begun', 'go')

    def test_R_6_a_clock_that_is_wrong_is_told(self):
        self.make_lab_workspace(['h1'])
        self.put_inside(os.path.join(self.lab.home('h1'), '.bashrc'), 'PATH=$HOME/bin:$PATH\n')
        self.put_inside(os.path.join(self.lab.home('h1'), 'bin', 'date'),
                        '#!/bin/sh\necho $(($(/bin/date +%s) + 315360000))\n')
        try:
            found = self.objects('probe', '--json')['h1']
        finally:
            self.lab.inside('h1', 'rm', '-rf', '.bashrc', 'bin')
        self.assertEqual((found['class'], round(found['clock'], -2)), ('ok', 315360000))

    def test_S_21_a_changed_host_key_is_a_class_of_its_own_and_no_waiting_cures_it(self):
        self.make_lab_workspace(['h1'])
        with open(self.lab.path('user_key.pub')) as file:
            other = ' '.join(file.read().split()[:2])
        self.write('known', '%s %s\n' % (self.lab.address('h1')[0], other))
        with open(self.lab.ssh_config) as file:
            self.write('config',
                       file.read().replace(self.lab.path('known_hosts'), self.path('known')))
        env = dict(self.env, LWT_SSH_CONFIG=self.path('config'))
        self.assertEqual(self.lwt('exec', '-a', '--', 'true', env=env).code, 3)
        why = self.lwt('hosts', '--why', 'h1').out
        self.assertIn('h1: quarantined', why)
        self.assertIn('hostkey: host key verification failed (host key changed)', why)
        self.assertIn('hint: log in once with `ssh ', why)
        self.assertIn('hostkey', health.NEEDS_A_PERSON)


if __name__ == '__main__':
    unittest.main()
