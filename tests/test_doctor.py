"""lwt doctor: what it finds and fixes, on this machine and on hosts; and what tasks do to
themselves, to their hosts and to each other.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import unittest

from lwt.commands import checks
from lwt.remote.exit_status import Verdict
from lwt.tasks import remote_audit
from lwt.workspace.hostlist import Host
from tests import lab
from tests.support import ProgramTestCase, marked, wait_for
from tests.test_lab_hosts import LabTestCase
from tests.test_tasks import TaskTestCase

OWN = 'ab' * 6
KEY = OWN + 'c' * 20 + '.1'
MOUNTS = '''/dev/sda / ext4 rw 0 0
overlay /var/lib/box overlay rw 0 0
srv:/home /home nfs4 rw 0 0
/dev/sdb /home/me/my\\040disk ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
'''


class Pure(unittest.TestCase):
    """Functions that interpret reports."""

    def test_F_15_the_kind_of_a_file_system_is_that_of_the_longest_mount(self):
        for path, kind in (('/srv/x', 'ext4'), ('/home/you', 'nfs4'),
                           ('/home/me/my disk/w', 'ext4'), ('/homework', 'ext4'),
                           ('/tmp', 'tmpfs'), ('/var/lib/box/w', 'overlay'), ('/', 'ext4')):
            self.assertEqual(checks.kind_of(path, MOUNTS), kind, path)
        self.assertEqual(checks.kind_of('/x', ''), '')
        kinds = ('nfs4', 'nfs', 'ext4', 'fuse.sshfs', 'cifs', 'xfs')
        self.assertEqual([kind for kind in kinds if checks.NETWORK.fullmatch(kind)],
                         ['nfs4', 'nfs', 'fuse.sshfs', 'cifs'])

    def test_what_a_host_tells_is_taken_only_where_it_makes_sense(self):
        seen = remote_audit.parse(Host('h'), Verdict('ok', 0), [
            'boot b', 'id i', 'kib 12', 'task %s ended' % KEY, 'task ../../etc ended',
            'task %sx ended' % KEY, 'input a.b',
            'input ../x', 'process 12 ' + KEY, 'process 13 ' + KEY, 'process 14 x', 'nonsense',
            'task', ''])
        self.assertEqual(
            (seen.boot, seen.host_id, seen.kib, seen.tasks, seen.inputs, seen.processes),
            ('b', 'i', 12, {KEY: 'ended'}, ('a.b',), {KEY: 2}))
        self.assertEqual(remote_audit.parse(Host('h'), Verdict('ok', 0), ['kib 9e9', 'kib -1']).kib,
                         0)


class DoctorTestCase(TaskTestCase):
    """A workspace on this machine, and doctor's findings about it."""

    def findings(self, *words, code=0):
        """Return [(status, what, finding)] of everything that is not ok."""
        done = self.lwt('doctor', '--json', *words)
        self.assertEqual(done.code, code, done)
        found = [json.loads(line) for line in done.out.splitlines()]
        return [(told['status'], told['what'], told['finding'])
                for told in found if told['status'] != 'ok'
                and told['what'] not in ('netcat', 'file system')]

    def assert_found(self, findings, *wanted):
        """Assert the number of findings; each wanted one is (status, what, a part of the text)."""
        self.assertEqual([finding[:2] for finding in findings], [each[:2] for each in wanted],
                         findings)
        for finding, each in zip(findings, wanted):
            self.assertIn(each[2], finding[2])


class Here(DoctorTestCase):
    """The state, the locks, the workspace and this machine."""

    def test_where_all_is_well_each_check_says_so_in_a_line(self):
        self.assertEqual(self.findings(), [])
        self.describe('quick', 'exec : true\n')
        self.add('quick')
        self.lwt('task', 'run')
        done = self.lwt('doctor')
        for what in ('lwt.conf', 'state.db     intact', 'locks', 'host list', 'disk', 'master',
                     'files', 'ssh ', 'scp', 'Python',
                     'limits', 'host localhost'):
            self.assertRegex(done.out, '(?m)^ok     ' + what)
        self.assertNotIn('FAIL', done.out)
        self.assertEqual(self.findings('-w', 'localhost', '--fix'), [])

    def test_F_7_a_damaged_state_is_saved_as_far_as_it_can_be_read_and_a_copy_is_kept(self):
        self.describe('many', 'exec : true\n')
        self.add('many', '--array', '1-500')
        path = self.path('.lwt', 'state.db')
        with open(path, 'r+b') as file:
            for page in range(10, os.path.getsize(path) // 4096, 11):
                file.seek(4096 * page)
                file.write(b'\xa5' * 4096)
        self.assertEqual(self.findings(code=1)[0][:2], ('FAIL', 'state.db'))
        self.assert_found(self.findings('--fix')[:1], ('fixed', 'state.db', 'created a new file'))
        self.assertEqual(self.findings(), [])
        self.assertGreater(len(self.shown()), 250)
        kept = [name for name in os.listdir(self.path('.lwt')) if '.damaged-' in name]
        self.assertTrue(kept)
        self.write('.lwt/state.db', b'no database at all')
        self.assertEqual(len(self.findings(code=1)), 2)
        self.findings('--fix')
        self.assertEqual(self.shown(), [])
        self.assertTrue(os.listdir(self.path('task')),
                        'the input of what was lost is kept beside the damaged state')

    def test_a_holder_of_a_lock_that_is_stopped_is_named(self):
        self.describe('slow', 'exec : sleep 30\n')
        self.add('slow')
        popen = self.start('task', 'run')
        self.assertTrue(wait_for(lambda: self.shown()[0]['state'] == 'running'))
        popen.send_signal(signal.SIGSTOP)
        try:
            self.assert_found(self.findings(code=1), (
                'FAIL', 'lock host.localhost', 'held by process %d' % popen.pid))
            self.assertIn('kill -CONT %d' % popen.pid, self.lwt('doctor').out)
        finally:
            popen.send_signal(signal.SIGCONT)
            popen.send_signal(signal.SIGINT)
            popen.communicate(timeout=30)
        self.lwt('task', 'kill', '1')

    def test_what_was_left_half_done_here_is_finished_and_what_is_missing_is_named(self):
        self.describe('far', 'exec : true\ncategory : moon\n')
        self.add('far')
        spare = 'far.%s.%s' % ('ab' * 6, 'cd' * 6)
        os.mkdir(self.path('task', spare))
        os.mkdir(self.path('task', '.part-' + spare))
        os.mkdir(self.path('task.finish', '.attempt.000099.1'))
        os.makedirs(self.path('task.finish', '.part-localhost', 'x'))
        os.mkdir(self.path('.lwt', 'tmp', 'carry.localhost'))
        os.mkdir(self.path('task', 'mine'))
        told = ('warn', 'files', 'not created by lwt: mine')
        self.assert_found(self.findings(code=1), ('FAIL', 'files', 'task/' + spare), told)
        self.assert_found(self.findings('--fix'),
                          ('fixed', 'files', 'finished, moved aside or removed'), told)
        self.assert_found(self.findings(), told)
        self.assertEqual([name[:17] for name in os.listdir(self.path('task.finish'))],
                         ['attempt.000099.1.'])
        for name in os.listdir(self.path('task')):
            if name != 'mine':
                shutil.rmtree(self.path('task', name))
        self.assert_found(self.findings('--fix', code=1),
                          ('FAIL', 'files', 'the input of 000001 is missing'), told)

    def test_lists_and_options_that_are_wrong_are_named_and_the_rest_is_checked(self):
        self.write('lwt.conf', '[lwt]\nfanuot = 3\n')
        self.write('host.list', 'h1 lab ~\n')
        found = self.findings(code=1)
        self.assertEqual([each[:2] for each in found],
                         [('FAIL', 'lwt.conf'), ('FAIL', 'host list')])

    def test_R_12_a_copy_of_a_workspace_is_refused_for_it_would_run_the_same_tasks_again(self):
        self.describe('count', 'exec : echo $LWT_TASK >> ../../../../starts\n')
        self.add('count')
        copy = self.path('copied')
        shutil.copytree(self.scratch, copy, ignore=shutil.ignore_patterns('home', 'copied'))
        self.assert_refused(self.lwt('-C', copy, 'task', 'run'), 74,
                            'a copy of ' + os.path.realpath(self.scratch), 'remove')
        done = self.lwt('-C', copy, 'doctor', '--fix')
        self.assertEqual((done.code, 'FAIL   master       ' + copy in done.out), (1, True), done)
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.read('home', 'starts'), '000001\n')
        os.rename(copy, copy + '2')
        os.unlink(os.path.join(copy + '2', '.lwt', 'master'))
        self.assertEqual(self.lwt('-C', copy + '2', 'task', 'kill', '1').code, 0)

    def test_F_15_a_workspace_on_an_overlay_or_in_memory_is_warned_of(self):
        if lab.why_not_unshare():
            self.skipTest('mounting: ' + lab.why_not_unshare())
        for name in ('lower', 'over'):
            os.mkdir(self.path(name))
        for kind, options in (('tmpfs', ''), ('overlay', 'lowerdir=%s,upperdir=%s,workdir=%s' % (
                self.path('lower'), self.path('over', 'mem', 'upper'),
                self.path('over', 'mem', 'work')))):
            mount = ('mkdir -p over/mem && mount -t tmpfs tmpfs over/mem && mkdir over/mem/upper '
                     'over/mem/work over/mem/seen && ')
            mount += ('mount -t %s %s %s over/mem/seen'
                      % (kind, '-o ' + options if options else '', kind))
            done = subprocess.run(
                ['unshare', '--mount', 'sh', '-c', mount + ' && cd over/mem/seen && '
                 'chmod 755 . && %s -m lwt init . && %s -m lwt doctor'
                 % (sys.executable, sys.executable)], cwd=self.scratch, env=self.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 0, done)
            self.assertRegex(done.stdout.decode(),
                             '(?m)^warn   file system  %s: (may be )?lost when ' % kind)


class OnThisHost(DoctorTestCase):
    """The files on a host, which is this machine."""

    def keys(self):
        return sorted(os.listdir(self.path('home', '.lwt', 't')))

    def test_what_tasks_left_behind_is_removed_and_what_another_master_made_is_not_touched(self):
        self.describe('quick', 'exec : echo done\n')
        self.add('quick', 'quick')
        self.lwt('task', 'run')
        self.change_state('DELETE FROM leftover')
        other = '12' * 16 + '.1'
        os.makedirs(self.path('home', '.lwt', 't', other, 'work'))
        os.mkdir(self.path('home', '.lwt', 'i', 'quick.%s.%s' % ('12' * 6, '12' * 6)))
        key = self.keys()[1] if self.keys()[0] == other else self.keys()[0]
        os.mkdir(self.path('home', '.lwt', 't', key, 'work'))
        os.mkdir(self.path('home', '.lwt', 'i', 'quick.%s.%s' % (key[:12], '34' * 6)))
        wanted = [('host localhost', 'directories of finished tasks: 0000'),
                  ('host localhost', 'inputs that no task needs: quick.')]
        self.assert_found(self.findings(code=1), *[('FAIL',) + each for each in wanted])
        self.assert_found(self.findings('--fix'), *[('fixed',) + each for each in wanted])
        self.assertEqual(self.findings(), [])
        self.assertEqual(sorted(os.listdir(self.path('home', '.lwt', 't', key))),
                         ['exit.0', 'fate'])
        self.assertEqual(os.listdir(self.path('home', '.lwt', 't', other)), ['work'])
        self.assertEqual(os.listdir(self.path('home', '.lwt', 'i')),
                         ['quick.%s.%s' % ('12' * 6, '12' * 6)])
        self.assertIn('2 of other masters', self.lwt('doctor').out)

    def test_what_runs_and_what_has_ended_there_is_found_again_when_the_state_was_lost(self):
        self.write('host.list', 'localhost\tlocal\t~\tslots=4\n')
        self.describe('slow', 'exec : echo $LWT_ARG > result; sleep $LWT_ARG\n')
        self.add('slow', '--array', '0-1')
        shutil.copy(self.path('.lwt', 'state.db'), self.path('before'))
        self.add('slow', '--array', '2-2')
        self.lwt('task', 'update')
        self.assertTrue(
            wait_for(lambda: any('exit.0' in os.listdir(self.path('home', '.lwt', 't', key))
                                 for key in self.keys())))
        shutil.copy(self.path('before'), self.path('.lwt', 'state.db'))
        found = self.findings(code=1)
        self.assertIn(('FAIL', 'host localhost',
                       'on this host, although waiting for a host: 000001 slow 000002 slow'), found)
        self.assertTrue(any('directories of unknown tasks: ' in text
                            for _status, _what, text in found))
        self.findings('--fix')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual([self.read(where, 'result', 'result') for where in self.results()],
                         ['2\n', '0\n', '1\n'])
        self.assertEqual([task['name'] for task in self.shown()], ['slow', 'slow', 'found'])
        self.assertEqual(self.findings(), [])

    def test_D_11_and_FR_4_what_a_task_leaves_running_is_ended_and_what_escapes_is_told_by_doctor(
            self):
        """FR-4: a daemon is ended before the results are sent; doctor finds one whose task can no
        longer be visited.
        """
        self.describe('daemon', 'exec : setsid sleep 9971 & echo begun\n')
        self.add('daemon')
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.read(self.results()[0], 'run.stdout'), 'begun\n')
        self.assertEqual(self.shown()[0]['reason'], '1 process left running was ended')
        self.assertEqual(self.findings(), [])
        self.describe('daemon',
                      'exec : setsid sleep 9971 & rm -rf ../../$(basename $(dirname '
                      '$PWD))\nretries : 0\n')
        self.lwt('task', 'rm', '1')
        self.add('daemon')
        self.lwt('task', 'run')
        self.assert_found(self.findings(code=1),
                          ('FAIL', 'host localhost',
                           'processes of finished tasks: 000002 daemon'))
        self.assert_found(self.findings('--fix'), ('fixed', 'host localhost', 'ended'))
        self.assertEqual(self.findings(), [])

    def test_an_open_task_that_is_not_there_is_told_and_becomes_lost(self):
        self.describe('slow', 'exec : echo x\nretries : 0\n')
        self.add('slow')
        self.lwt('task', 'update')
        self.change_state("UPDATE task SET state = 'running', outcome = ''")
        shutil.rmtree(self.path('home', '.lwt', 't'))
        self.assert_found(self.findings(code=1),
                          ('FAIL', 'host localhost', 'open tasks without a directory: 000001 slow'))
        self.findings('--fix')
        self.assertEqual([task['outcome'] for task in self.shown()], ['lost'])


class TasksThatMisbehave(DoctorTestCase):
    """What tasks do to themselves."""

    def test_D_8_odd_names_many_files_and_paths_that_are_too_long(self):
        self.describe('names', 'exec : mkdir out; cd out; : > "$(printf "a\\377b")"; mkdir d; '
                               ': > "$(printf "d/n\\nl")"\nd_fetch : out\n')
        self.describe('many',
                      'exec : mkdir out; cd out; seq 3000 | xargs touch; seq 3000 > all\nd_fetch : '
                      'out\n')
        self.describe('deep',
                      'exec : mkdir out; cd out; echo top > top; p=%s; for n in $(seq 50); do '
                      'mkdir $p; cd -P $p; done; '
                      'echo low > low\nd_fetch : out\n' % ('d' * 99))
        self.add('names', 'many', 'deep')
        self.assertEqual(self.lwt('task', 'run').code, 1)
        names, many, deep = self.shown()
        self.assertEqual(sorted(os.listdir(os.fsencode(names['result']) + b'/result')),
                         [b'a\xffb', b'd'])
        self.assertEqual(os.listdir(os.path.join(names['result'], 'result', 'd')), ['n\nl'])
        self.assertEqual((many['outcome'], len(os.listdir(os.path.join(many['result'], 'result')))),
                         ('success', 3001))
        self.assertEqual(deep['outcome'], 'failed')
        self.assertRegex(deep['reason'], 'result incomplete: .*File name too long')
        self.assertEqual(self.read(deep['result'], 'result', 'top'), 'top\n')
        kept = [key for key in os.listdir(self.path('home', '.lwt', 't'))
                if os.path.isdir(self.path('home', '.lwt', 't', key, 'work'))]
        self.assertEqual(len(kept), 1, 'what is not here whole stays there')

    def test_D_9_a_task_that_destroys_its_own_directory_is_an_outcome_with_a_reason(self):
        for name, command in (
                ('all', 'echo start >> ~/starts; rm -rf ../../$(basename $(dirname $PWD))'),
            ('work', 'rm -rf ../work; exit 3'),
            ('mode', 'mkdir out; echo x > out/x; chmod 000 out .. .'),
            ('fate', 'rm ../fate; sleep 9981')):
            self.describe(name, 'exec : %s\nretries : 0\n' % command)
            self.add(name)
        self.lwt('task', 'run')
        self.assertEqual([(task['name'], task['outcome']) for task in self.shown()],
                         [('all', 'lost'), ('work', 'failed'), ('mode', 'success'),
                          ('fate', 'lost')])
        self.assertEqual(self.shown()[0]['reason'], 'its directory on the host is gone')
        self.assertEqual(self.read('home', 'starts'), 'start\n')
        self.assert_found(self.findings('--fix'), ('fixed', 'host localhost',
                                                   'processes of finished tasks: 000004 fate'))

    def test_D_9_a_task_that_takes_its_own_permissions_away_ends_for_every_user_as_for_root(self):
        spoil = {'none': 'chmod 000 out/x out .. .', 'read': 'chmod 555 out .. .',
                 'above': 'chmod 000 ../.. ../../..',
                 'output': 'chmod 000 ../run.stdout ../run.stderr'}
        for name, command in spoil.items():
            command = 'exec : echo said; mkdir out; echo x > out/x; %s; exit 3\n' % command
            self.describe(name, command + 'd_fetch : out\n')
            self.describe(name + '.all', command)
            self.add(name, name + '.all')
        self.assertEqual(self.lwt('task', 'run').code, 1)
        for task in self.shown():
            with self.subTest(name=task['name']):
                self.assertEqual((task['outcome'], task['code'], task['reason']), ('failed', 3, ''))
                where = ('result', 'out') if task['name'].endswith('.all') else ('result',)
                self.assertEqual(self.read(task['result'], *where, 'x'), 'x\n')
                self.assertEqual(self.read(task['result'], 'run.stdout'), 'said\n')
        self.assertEqual(self.findings(), [])

    def test_D_9_a_task_without_permissions_is_timed_out_and_killed_like_others(self):
        command = 'mkdir out; echo x > out/x; chmod 000 out .. .; sleep 997%d'
        command = 'exec : ' + command + '\nd_fetch : out\n'
        self.describe('late', command % 1 + 'timeout : 3\n')
        self.describe('killed', command % 2)
        self.add('late', 'killed')
        self.lwt('task', 'update')
        self.assertTrue(wait_for(lambda: 'sleep 9972' in marked(self.mark).values()))
        self.assertEqual(self.lwt('task', 'kill', '2').code, 0)
        self.lwt('task', 'run')
        self.assertEqual([task['outcome'] for task in self.shown()], ['timeout', 'killed'])
        for task in self.shown():
            self.assertEqual(self.read(task['result'], 'result', 'x'), 'x\n')
        self.assertEqual(self.findings(), [])


class OnHosts(LabTestCase):
    """Hosts with faults."""

    slow = True
    hosts = 4

    def setUp(self):
        super().setUp()
        self.env['LWT_CONNECT_TIMEOUT'] = self.env['LWT_HELLO_TIMEOUT'] = '3'

    def test_each_host_is_told_of_with_its_class_and_what_was_left_there_is_removed(self):
        self.make_lab_workspace(['h1', 'h2', 'h3', 'h4'])
        self.describe('sim',
                      'exec : setsid sleep 8871 & rm -rf ../../$(basename $(dirname $PWD))\nhosts '
                      ': h1\nretries : 0\n')
        self.lwt('task', 'add', 'sim')
        self.lwt('task', 'run')
        self.lab.black_hole('h2')
        self.lab.refuse('h3')
        before = os.listdir(self.lab.home('h4'))
        done = self.lwt('doctor', '--json')
        self.assertEqual(done.code, 3, done)
        told = [json.loads(line) for line in done.out.splitlines()]
        classes = {one['host']: one['class'] for one in told if 'host' in one}
        self.assertEqual(classes, {'h1': 'ok', 'h2': 'timeout', 'h3': 'refused', 'h4': 'ok'})
        self.assertEqual(
            [one['finding'] for one in told if one['status'] == 'FAIL' and one['class'] == 'ok'],
            ['processes of finished tasks: 000001 sim'])
        self.assertEqual(os.listdir(self.lab.home('h4')), before, 'looking changes nothing')
        self.assertEqual(self.lwt('doctor', '--fix', '-w', 'h1').code, 0)
        self.assertTrue(self.gone('h1'), self.lab.commands('h1'))

    def test_F_10_a_host_whose_disk_is_full_is_not_well(self):
        self.make_lab_workspace(['h1', 'h4'])
        self.lab.full_disk('h4')
        try:
            done = self.lwt('doctor')
        finally:
            self.lab.umount_home('h4')
        self.assertEqual(done.code, 1, done)
        self.assertRegex(done.out, r'FAIL +host h4 +0.0 GB free in ~; .*\n +hint: free disk space '
                                   'on the host')

    def test_R_12_two_masters_share_a_home_and_neither_touches_what_the_other_has_there(self):
        self.make_lab_workspace(['h1'])
        self.assertEqual(self.lwt('init', 'other').code, 0)
        self.write('other/host.list', 'h1\tlab\t~\n')
        for where in ('.', 'other'):
            self.write(where + '/description/slow/desc', 'exec : echo %s > r; sleep 1\n' % where)
            self.assertEqual(self.lwt('-C', where, 'task', 'add', 'slow').code, 0)
            self.lwt('-C', where, 'task', 'update')
        done = self.lwt('doctor', '--fix')
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.out, '1 open tasks, .*of other masters')
        for where in ('.', 'other'):
            self.assertEqual(self.lwt('-C', where, 'task', 'run').code, 0)
            folder = self.path(where, 'task.finish')
            self.assertEqual(self.read(folder, os.listdir(folder)[0], 'result', 'r'), where + '\n')

    def test_R_13_an_sshd_that_is_killed_in_the_middle_of_a_launch_starts_it_once(self):
        self.make_lab_workspace(['h1'])
        self.describe('count', 'exec : echo x >> ~/count; sleep 1\n')
        folder = os.path.join(self.lab.home('h1'), '.lwt', 't')
        for number in range(1, 4):
            self.lwt('task', 'add', 'count')
            before = set(os.listdir(folder)) if os.path.isdir(folder) else set()
            popen = self.start('task', 'update', '-q')
            wait_for(lambda: os.path.isdir(folder) and any(
                not name.startswith(('part.', 'bell.', 'pipe.'))
                for name in set(os.listdir(folder)) - before))
            self.lab.kill_sessions('h1')
            popen.communicate(timeout=60)
            self.assertEqual(self.lwt('task', 'run', timeout=120).code, 0)
            with open(os.path.join(self.lab.home('h1'), 'count')) as file:
                self.assertEqual(file.read(), 'x\n' * number)

    def test_D_9_a_task_that_fills_the_disk_of_its_host_comes_home(self):
        self.make_lab_workspace(['h1'], min_disk='0')
        self.lab.mount_home('h1', 'size=2m')
        try:
            command = 'echo first > out; head -c 4000000 /dev/zero > filler; exit 4'
            self.describe('fill', 'exec : %s\nd_fetch : out\n' % command)
            self.lwt('task', 'add', 'fill')
            self.assertEqual(self.lwt('task', 'run').code, 1)
            where = self.results()[0]
            self.assertEqual((self.read(where, 'result', 'out'), self.read(where, 'run.code')),
                             ('first\n', '4\n'))
        finally:
            self.lab.umount_home('h1')

    def test_F_10_a_host_whose_disk_is_full_starts_nothing_and_says_why_and_the_tasks_go_elsewhere(
            self):
        self.make_lab_workspace(['h1', 'h4'], min_disk='0')
        for makes_room_for_names in (False, True):
            self.lab.full_disk('h1')
            try:
                if makes_room_for_names:        # room for its id, but not for a task
                    script = 'rm filler; mkdir -p .lwt/t .lwt/i; echo id >.lwt/host-id'
                    self.lab.inside('h1', 'sh', '-c', script)
                    self.lab.fill_home('h1')
                self.describe('count', 'exec : echo x > r\n', big='x' * 9000)
                self.lwt('task', 'add', 'count', '--array', '1-4')
                done = self.lwt('task', 'run')
                self.assertEqual(done.code, 0, done)
                self.assertIn('no room left', done.err)
                self.assertNotIn('success on h1', done.err)
            finally:
                self.lab.umount_home('h1')
            self.lwt('hosts', '--back', 'h1')

    def test_D_12_a_large_result_on_a_slow_line_delays_nobody_and_a_silent_one_comes_later(self):
        self.make_lab_workspace(['h1', 'h4'], stall='3', quarantine_wait='1')
        self.describe('huge',
                      'exec : head -c 12000000 /dev/urandom > out; cksum < out\nd_fetch : '
                      'out\nhosts : h1\n')
        self.describe('quick', 'exec : true\nhosts : h1 h4\n')
        self.lwt('task', 'add', 'huge')
        self.lwt('task', 'update')
        self.assertTrue(wait_for(lambda: self.lab.commands('h1') == {}))
        self.lab.rate('h1', '2500')
        popen = self.start('task', 'run')
        scratch = self.path('.lwt', 'tmp', 'carry.h1', 'results')
        self.assertTrue(
            wait_for(lambda: os.path.exists(scratch) and os.path.getsize(scratch) > 100000))
        self.lwt('task', 'add', 'quick', '--array', '1-6')
        def quick():
            done = self.lwt('task', 'show', '--json', '--name', 'quick').out.splitlines()
            return all(json.loads(line)['outcome'] == 'success' for line in done)
        self.assertTrue(wait_for(quick))
        self.assertEqual(json.loads(self.lwt('task', 'show', '--json', '1').out)['state'],
                         'fetching')
        self.assertEqual(
            [name for name in os.listdir(self.path('task.finish')) if name.startswith('huge')], [])
        self.lab.black_hole('h1')
        self.assertTrue(wait_for(lambda: not os.path.exists(scratch)))
        self.lab.heal('h1')
        _out, err = popen.communicate(timeout=120)
        self.assertEqual(popen.returncode, 0, err)
        where = json.loads(self.lwt('task', 'show', '--json', '1').out)['result']
        done = subprocess.run(['cksum', os.path.join(where, 'result', 'out')],
                              stdout=subprocess.PIPE)
        self.assertEqual(done.stdout.split()[:2], self.read(where, 'run.stdout').encode().split())


class SharedHome(ProgramTestCase):
    """Two hosts with one home, as on NFS; their ssh is a stub."""

    def setUp(self):
        super().setUp()
        self.use_fake_ssh()
        os.mkdir(self.path('fake', 'home'))
        home = self.path('fake', 'home')
        self.make_workspace([('h1', 'one', home), ('h2', 'two', home)])
        self.describe('ends', 'exec : true\ncategory : one\n')
        self.describe('slow', 'exec : sleep 60\ncategory : one\n')

    def doctor(self, *words):
        done = self.lwt('doctor', *words)
        self.assertEqual(done.code, 0, done)
        self.assertNotRegex(done.out, '(?m)^(FAIL|fixed)')

    def test_SR_18_tasks_and_traces_of_the_other_host_are_known(self):
        """SR-18: doctor, with and without --fix, of both hosts or of the one without tasks."""
        self.assertEqual(self.lwt('task', 'add', 'ends').code, 0)
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.lwt('task', 'add', 'slow').code, 0)
        self.assertEqual(self.lwt('task', 'update').code, 0)
        folder = self.path('fake', 'home', '.lwt', 't')
        before = sorted(name for name in os.listdir(folder) if name[0] in '0123456789abcdef')
        self.assertEqual(len(before), 2, before)
        for words in ((), ('-w', 'h2'), ('--fix',), ('--fix', '-w', 'h2')):
            with self.subTest(words=words):
                self.doctor(*words)
                self.assertEqual(sorted(set(os.listdir(folder)) & set(before)), before)
        shown = self.lwt('task', 'show', '--json').out
        states = [json.loads(line)['state'] for line in shown.splitlines()]
        self.assertEqual(states, ['done', 'running'])
        self.lwt('task', 'kill', '2')
        self.lwt('task', 'run')

    def test_SR_18_a_shared_home_is_looked_after_once(self):
        """SR-18: files in a home of two hosts are reported and removed once."""
        self.assertEqual(self.lwt('task', 'add', 'ends').code, 0)
        self.lwt('task', 'run')
        own = self.read('.lwt', 'master').split()[0]
        os.makedirs(self.path('fake', 'home', '.lwt', 'i', 'x.%s.%s' % (own, 'ab' * 6)))
        done = self.lwt('doctor')
        self.assertEqual(done.out.count('inputs that no task needs'), 1, done)
        self.assertEqual(self.lwt('doctor', '--fix').out.count('fixed'), 1)
        self.doctor()


if __name__ == '__main__':
    unittest.main()
