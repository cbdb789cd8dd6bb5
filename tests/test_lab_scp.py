"""Copies by scp on real hosts: without tar, without SFTP, with only SFTP, and with faults."""

import json
import os
import shutil
import signal
import unittest

from tests.support import wait_for
from tests.test_copy import ODD, tree
from tests.test_lab_hosts import CleanHomesTestCase

UNVERIFIED = 'not verified by digest'


class CopiesByScp(CleanHomesTestCase):
    """put and get with --transport scp, copy=scp and on hosts without tar."""

    def setUp(self):
        super().setUp()
        for name in ODD:
            self.write(os.path.join('tree', name), os.fsencode('content of ' + name))
            self.write(os.path.join('tree', 'sub', name), os.fsencode('more of ' + name))
        os.mkdir(self.path('tree', 'empty'))

    def there_and_back(self, host, *options):
        """Put the tree into a directory with an unusual name, twice, and get it; return the
        messages.
        """
        target = "into 'x' *"
        first = self.lwt('-v', 'put', '-w', host, *options, 'tree', target)
        self.assertEqual(first.code, 0, first)
        again = self.lwt('-v', 'put', '-w', host, *options, 'tree/.', target)
        done = self.lwt('-v', 'get', '-w', host, *options, target, 'back.' + host)
        self.assertEqual(done.code, 0, done)
        self.assertEqual(tree(self.path('back.' + host, 'd.' + host, target)),
                         tree(self.path('tree')))
        unchanged = self.lwt('-v', 'get', '-w', host, *options, target, 'back.' + host)
        self.assertIn('%d unchanged' % (2 * len(ODD)), unchanged.err)
        self.assertEqual(self.there(host), [target])
        return first.err, again.err, done.err

    def test_P_1_odd_names_go_there_and_back_by_scp(self):
        first, again, _done = self.there_and_back('h1', '--transport', 'scp')
        self.assertNotIn(UNVERIFIED, first)
        self.assertIn('%d unchanged' % (2 * len(ODD)), again)

    def test_P_1_the_host_list_can_ask_for_scp(self):
        self.make_workspace([('h1', 'lab', '~', 'copy=scp'), ('h2', 'lab', '~')])
        done = self.lwt('-v', 'put', '-w', 'h1,h2', 'tree', 'there')
        self.assertEqual(done.code, 0, done)
        self.assertIn('host=h1 task=- attempt=- place: ok', done.err)
        self.assertNotIn('host=h2 task=- attempt=- place', done.err)
        self.write('host.list', 'h1\tlab\t~\tcopy=ftp\n')
        self.assert_refused(self.lwt('put', '-w', 'h1', 'tree', 'x'), 2, 'expected tar or scp')

    def test_P_2_a_host_without_tar_gets_its_copies_by_scp(self):
        self.lab.no_tar('h1')
        try:
            self.there_and_back('h1')
            done = self.lwt('put', '-w', 'h[1-3]', '--chain', 'tree', 'chained')
            self.assertEqual((done.code, done.err), (0, ''), done)
            for name in self.names:
                self.assertEqual(tree(os.path.join(self.lab.home(name), 'chained')),
                                 tree(self.path('tree')))
            done = self.lwt('put', '-w', 'h1', '--transport', 'tar', 'tree', 'x')
            self.assert_refused(done, 1, 'h1: there is no tar on this host')
        finally:
            self.lab.show_program('h1', 'tar')

    def test_P_3_a_host_without_sftp_is_served_in_the_old_protocol(self):
        self.lab.no_sftp('h2')
        try:
            done = self.lwt('put', '-w', 'h2', '--transport', 'scp', 'tree', 'x y')
            self.assert_refused(done, 1, 'scp -O cannot copy a name with a newline')
            self.assertEqual(self.there('h2'), [])
            os.unlink(self.path('tree', 'new\nline'))
            os.unlink(self.path('tree', 'sub', 'new\nline'))
            done = self.lwt('put', '-w', 'h2', '--transport', 'scp', 'tree', 'x y')
            self.assertEqual(done.code, 0, done)
            self.assertEqual(tree(os.path.join(self.lab.home('h2'), 'x y')),
                             tree(self.path('tree')))
            done = self.lwt('get', '-w', 'h2', '--transport', 'scp', 'x y', 'back')
            self.assertEqual(done.code, 0, done)
            self.assertEqual(tree(self.path('back', 'd.h2', 'x y')), tree(self.path('tree')))
            self.lab.inside('h2', 'touch', 'x y/a\nb')
            done = self.lwt('get', '-w', 'h2', '--transport', 'scp', '--force', 'x y', 'back')
            self.assert_refused(done, 1, 'x y: changed while it was read')
        finally:
            self.lab.reconfigure('h2')

    def test_P_4_an_account_that_allows_only_sftp(self):
        self.lab.only_sftp('h3')
        try:
            done = self.lwt('put', '-w', 'h3', 'tree', 'x')
            self.assert_refused(done, 3, 'hint: use --transport scp')
            first, again, back = self.there_and_back('h3', '--transport', 'scp')
            self.assertIn(UNVERIFIED, first)
            self.assertIn(UNVERIFIED, back)
            # A newline cannot be written in a batch of sftp.
            self.assertIn('a name with a newline', again)
            for name in ODD:
                self.write(os.path.join('tree', name), os.fsencode('new content of ' + name))
            os.unlink(self.path('tree', 'new\nline'))
            os.unlink(self.path('tree', 'sub', 'new\nline'))
            done = self.lwt('put', '-w', 'h3', '--transport', 'scp', 'tree/.', "into 'x' *")
            self.assertEqual(done.code, 0, done)
            self.assertIn(UNVERIFIED, done.err)
            self.assertEqual(
                self.lab.inside('h3', 'cat', "into 'x' */a b"), 'new content of a b')
            self.assertEqual(self.lab.inside('h3', 'find', '.', '-name', '.lwt*'), '')
        finally:
            self.lab.reconfigure('h3')

    def test_P_4_what_cannot_be_copied_to_such_an_account_is_named(self):
        self.lab.only_sftp('h3')
        self.write('file', 'a file')
        try:
            for words, said in ((('tree', 'no/such'), 'no: no such directory'),
                                (('tree', 'new/'), 'new: no such directory'),
                                (('tree', '~other/x'), '~other')):
                with self.subTest(words=words):
                    done = self.lwt('put', '-w', 'h3', '--transport', 'scp', *words)
                    self.assert_refused(done, 1, said)
            done = self.lwt('get', '-w', 'h3', '--transport', 'scp', 'nothing', 'out')
            self.assert_refused(done, 1, 'h3: nothing: No such file or directory')
            done = self.lwt('get', '-w', 'h3', '--transport', 'scp', '*/x', 'out')
            self.assert_refused(done, 1, 'only in the last part of a path')
            self.assertEqual(self.there('h3'), [])
        finally:
            self.lab.reconfigure('h3')

    def test_P_11_an_account_that_allows_only_scp_is_written_in_place(self):
        self.lab.only_scp('h3')
        self.write('plain/sub/file', 'a file')
        self.write('plain/other', 'another')
        try:
            for words, target in (('plain', 'new'), ('plain', 'new'), ('plain/.', 'new')):
                done = self.lwt('put', '-w', 'h3', '--transport', 'scp', words, target)
                self.assertEqual(done.code, 0, done)
                self.assertIn('2 files copied; written in place, not verified', done.err)
            home = self.lab.home('h3')
            expected = tree(self.path('plain'))
            self.assertEqual(tree(os.path.join(home, 'new', 'plain')), expected)
            self.assertEqual({name: value for name, value in tree(os.path.join(home, 'new')).items()
                              if not name.startswith('plain')}, expected)
            done = self.lwt('get', '-w', 'h3', '--transport', 'scp', 'new/plain', 'nothing', 'back')
            self.assert_refused(done, 1, 'h3: nothing: No such file or directory')
            self.assertEqual(tree(self.path('back', 'd.h3', 'plain')), expected)
            done = self.lwt('put', '-w', 'h3', '--transport', 'scp', 'plain', 'un usual')
            self.assert_refused(done, 1, 'scp -O cannot copy this path')
            done = self.lwt('put', '-w', 'h3', '--transport', 'scp', 'plain', 'no/such')
            self.assert_refused(done, 1, 'h3: ')
        finally:
            self.lab.reconfigure('h3')

    def test_P_5_links_cannot_be_kept_by_scp(self):
        done = self.lwt('put', '-w', 'h1', '--transport', 'scp', '--links', 'keep', 'tree', 'x')
        self.assert_refused(done, 2, '--links keep: scp can only follow symbolic links')
        done = self.lwt('put', '-w', 'h1,h2,h3', '--transport', 'scp', '--chain', 'tree', 'x')
        self.assert_refused(done, 2, '--chain and --transport scp exclude each other')


class TasksWithoutTar(CleanHomesTestCase):
    """A queue on a host without tar, together with one on a host with tar."""

    RUN = '''\
#!/bin/sh
mkdir -p res/sub
echo "result of $1" >res/sub/file
ln -s sub/file res/link
cat "in put/data" >"res/a b"
echo "out $1"
[ "$1" != 3 ]
'''

    def run_sweep(self, host):
        """Run four tasks on a host; return {name: content} of the results of each."""
        self.make_workspace([(host, 'lab', '~')], retries=0)
        self.describe('sweep', 'exec : ./run.sh {}\nretries : 0\n', run_sh=self.RUN)
        self.write('description/sweep/in put/data', 'x' * 300000)
        self.write('values', '1\n2\n3\n4\n')
        self.assertEqual(self.lwt('task', 'add', 'sweep', '--each', 'values').code, 0)
        self.assertEqual(self.lwt('task', 'run', timeout=120).code, 1)
        shown = json.loads(self.lwt('task', 'show', '--json').out.replace('}\n{', '},{').join('[]'))
        self.assertEqual([task['outcome'] for task in shown[-4:]],
                         ['success', 'success', 'failed', 'success'])
        found = [tree(path) for path in self.results()]
        for path in self.results():
            shutil.rmtree(path)
        return found

    def test_P_10_tasks_on_a_host_without_tar_end_as_on_any_other(self):
        self.lab.no_tar('h1')
        try:
            without = self.run_sweep('h1')
        finally:
            self.lab.show_program('h1', 'tar')
        self.assertEqual(without, self.run_sweep('h2'))
        self.assertEqual(without[0]['result/res/link'], b'result of 1\n')
        self.assertEqual(without[0]['run.stdout'], b'out 1\n')
        # Inputs stay for tasks that may be added again; partial copies do not.
        self.assertEqual(self.lab.inside('h1', 'find', '.lwt', '-name', '.lwt-put*'), '')


class ScpUnderFaults(CleanHomesTestCase):
    """Interrupts, kills, silence, full disks: no partial file, nothing left."""

    slow = True

    def setUp(self):
        super().setUp()
        self.write('big', os.urandom(3000000))

    def under_way(self, *words):
        """Start a put of the big file by scp, and wait until the first host receives it."""
        popen = self.start('put', '--transport', 'scp', *words)
        home = self.lab.home('h1')

        def has_begun():
            for root, _dirs, names in os.walk(home):
                if 'it' in names and os.path.getsize(os.path.join(root, 'it')):
                    return True
            return False

        self.assertTrue(wait_for(has_begun), self.there('h1'))
        return popen

    def test_P_6_a_scp_that_stalls_is_ended_and_delays_nobody(self):
        popen = self.under_way('-w', 'h1,h2', '--stall', '4', '--limit', '4000', 'big', 'there')
        stopped = self.lab.pids('h1')
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            _out, err = popen.communicate(timeout=90)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        self.assertEqual(popen.returncode, 3, err)
        self.assertIn(b'lwt: h1: stalled: no data for 4 s', err)
        self.assertEqual(self.there('h2'), ['there'])

    def test_P_6_a_host_that_falls_silent_in_a_scp_is_given_up(self):
        popen = self.under_way('-w', 'h1,h2', '--stall', '4', '--limit', '4000', 'big', 'there')
        self.lab.black_hole('h1')
        _out, err = popen.communicate(timeout=90)
        self.assertEqual(popen.returncode, 3, err)
        self.assertIn(b'lwt: h1: ', err)
        self.assertEqual(self.there('h2'), ['there'])

    def test_P_7_an_interrupted_scp_leaves_nothing_on_the_host(self):
        for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(signum=signum):
                popen = self.under_way('-w', 'h1', '--limit', '800', 'big', 'there')
                popen.send_signal(signum)
                popen.communicate(timeout=30)
                self.assertEqual(popen.returncode, code)
                self.assertTrue(wait_for(lambda: self.there('h1') == []), self.there('h1'))

    def test_P_7_a_killed_lwt_leaves_no_process_and_no_target(self):
        popen = self.under_way('-w', 'h1', '--limit', '800', 'big', 'there')
        popen.kill()
        popen.communicate(timeout=30)
        self.assertTrue(self.gone('h1'), self.lab.commands('h1'))
        left = self.there('h1')
        self.assertEqual([name.rpartition('.')[0] for name in left], ['.lwt-put'])
        # The next copy removes it when it is a day old.
        os.utime(os.path.join(self.lab.home('h1'), left[0]), (10 ** 9, 10 ** 9))
        done = self.lwt('put', '-w', 'h1', 'big', 'there')
        self.assertEqual((done.code, self.there('h1')), (0, ['there']), done)

    def test_P_7_a_connection_that_breaks_is_lost_and_nothing_appears(self):
        popen = self.under_way('-w', 'h1', '--limit', '800', 'big', 'there')
        self.lab.kill_sessions('h1')
        _out, err = popen.communicate(timeout=60)
        self.assertNotIn('there', self.there('h1'), err)
        self.assertEqual(popen.returncode, 3, err)
        self.assertIn(b'lwt: h1: connection lost', err)

    def test_P_8_a_disk_that_fills_up_is_named_and_nothing_appears(self):
        self.lab.mount_home('h3', 'size=1m')
        try:
            done = self.lwt('put', '-w', 'h3', '--transport', 'scp', 'big', 'there')
            self.assertEqual(done.code, 1, done)
            self.assertIn('lwt: h3: ', done.err)
            self.assertEqual(self.lab.inside('h3', 'ls', '-A'), '')
        finally:
            self.gone('h3')
            self.lab.umount_home('h3')

    def test_P_9_the_time_and_the_rate_of_a_scp_are_limited(self):
        done = self.lwt('put', '-w', 'h1', '--transport', 'scp', '-u', '3', '--limit', '800', 'big',
                        'there')
        self.assert_refused(done, 3, 'lwt: h1: timed out after 3 s')
        self.assertEqual(self.there('h1'), [])
        self.assertEqual(self.lwt('put', '-w', 'h1', 'big', 'there').code, 0)
        done = self.lwt('get', '-w', 'h1', '--transport', 'scp', '-u', '3', '--limit', '800',
                        'there', 'out')
        self.assert_refused(done, 3, 'lwt: h1: timed out after 3 s')
        self.assertEqual(os.listdir(self.path('out', 'd.h1')), [])


if __name__ == '__main__':
    unittest.main()
