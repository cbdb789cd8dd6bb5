"""put and get on real hosts, with faults: no partial file, nothing left."""

import contextlib
import os
import signal
import unittest

from tests.support import wait_for
from tests.test_lab_hosts import CleanHomesTestCase

SLOW = ('--limit', '800')       # 100 kB a second: 30 s for the files of these tests


class CopiesUnderFaults(CleanHomesTestCase):
    """Interrupts, kills, lost and silent connections, full disks."""

    slow = True

    def setUp(self):
        super().setUp()
        self.write('big', os.urandom(3000000))

    def under_way(self, *words):
        """Start a put of the big file, and wait until the first host receives it."""
        popen = self.start('put', *words)
        self.assertTrue(wait_for(self.has_begun), self.there('h1'))
        return popen

    def has_begun(self):
        """Return whether the first host has some bytes of the big file."""
        for root, _dirs, names in os.walk(self.lab.home('h1')):
            with contextlib.suppress(FileNotFoundError):        # it may be moved meanwhile
                if 'it' in names and os.path.getsize(os.path.join(root, 'it')):
                    return True
        return False

    def assert_nothing_there(self, *names, seconds=15):
        for name in names:
            self.assertTrue(wait_for(lambda: self.there(name) == [], seconds), self.there(name))
            self.assertTrue(self.gone(name), self.lab.commands(name))

    def test_an_interrupted_put_leaves_nothing_on_the_hosts(self):
        for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
            with self.subTest(signum=signum):
                popen = self.under_way('-w', 'h1,h2', '--limit', '800', 'big', 'there')
                popen.send_signal(signum)
                popen.communicate(timeout=30)
                self.assertEqual(popen.returncode, code)
                self.assert_nothing_there('h1', 'h2')

    def test_N_3_a_connection_that_breaks_in_a_put_is_lost_and_nothing_appears(self):
        popen = self.under_way('-w', 'h1', '--limit', '800', 'big', 'there')
        self.lab.kill_sessions('h1')
        _out, err = popen.communicate(timeout=30)
        self.assertEqual(popen.returncode, 3, err)
        self.assertIn(b'lwt: h1: connection lost', err)
        self.assert_nothing_there('h1')

    def test_N_5_a_put_that_stands_still_is_cut_at_both_ends_and_the_others_are_served(self):
        popen = self.under_way('-w', 'h1,h2', '--stall', '5', '-t', '5', '--limit', '8000', 'big',
                               'there')
        self.lab.black_hole('h1')
        _out, err = popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 3, err)
        self.assertIn(b'lwt: h1: stalled: no data for 5 s', err)
        self.assertEqual(self.there('h2'), ['there'])
        self.assert_nothing_there('h1', seconds=20)

    def test_N_5_a_get_that_stands_still_is_cut(self):
        self.assertEqual(self.lwt('put', '-w', 'h1', 'big', 'there').code, 0)
        popen = self.start('get', '-w', 'h1', '--stall', '2', '--grace', '0.5', '--limit', '4000',
                           '--set', 'lease=4', 'there',
                           'out')
        self.assertTrue(wait_for(
            lambda: any('stream' in names for _root, _dirs, names in os.walk(self.path('out')))))
        self.lab.black_hole('h1')
        _out, err = popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 3, err)
        self.assertEqual(os.listdir(self.path('out', 'd.h1')), [])

    def test_a_killed_get_leaves_nothing_that_the_next_does_not_remove(self):
        self.assertEqual(self.lwt('put', '-w', 'h1', 'big', 'there').code, 0)
        popen = self.start('get', '-w', 'h1', *SLOW, 'there', 'out')
        self.assertTrue(wait_for(
            lambda: any('stream' in names for _root, _dirs, names in os.walk(self.path('out')))))
        popen.kill()
        popen.communicate()
        self.assertTrue(self.gone('h1'), self.lab.commands('h1'))
        self.assertEqual(self.lwt('get', '-w', 'h1', 'there', 'out').code, 0)
        self.assertEqual(os.listdir(self.path('out', 'd.h1')), ['there'])

    def test_Y_5_two_puts_to_one_target_do_not_mix(self):
        self.write('other', os.urandom(3000000))
        both = [self.start('put', '-w', 'h1', name, 'there') for name in ('big', 'other')]
        for popen in both:
            _out, err = popen.communicate(timeout=60)
            self.assertEqual(popen.returncode, 0, err)
        with open(os.path.join(self.lab.home('h1'), 'there'), 'rb') as file:
            content = file.read()
        with open(self.path('big'), 'rb') as one, open(self.path('other'), 'rb') as other:
            self.assertIn(content, (one.read(), other.read()))
        self.assertEqual(self.there('h1'), ['there'])

    def test_F_10_a_disk_that_is_full_there_is_named_and_its_files_can_still_be_fetched(self):
        self.lab.full_disk('h3')
        try:
            done = self.lwt('put', '-w', 'h3', 'big', 'there')
            self.assert_refused(done, 1, 'lwt: h3: ', 'o room left')
            done = self.lwt('get', '-w', 'h3', 'filler', 'out')
            self.assertEqual(done.code, 0, done)
        finally:
            self.gone('h3')
            self.lab.umount_home('h3')

    def test_F_10_a_disk_that_fills_up_is_named_and_nothing_appears(self):
        self.lab.mount_home('h3', 'size=1m')
        try:
            done = self.lwt('put', '-w', 'h3', 'big', 'there')
            self.assert_refused(done, 1, 'lwt: h3: not unpacked in ')
            self.assertEqual(self.lab.inside('h3', 'ls', '-A'), '')
        finally:
            self.gone('h3')
            self.lab.umount_home('h3')

    def test_ten_thousand_small_files_go_there_and_back(self):
        for number in range(10000):
            self.write('many/%d/%d' % (number % 100, number), '%d\n' % number)
        done = self.lwt('-v', 'put', '-w', 'h1', 'many', '.', timeout=120)
        self.assertIn('lwt: h1: 10000 files copied\n', done.err)
        done = self.lwt('-v', 'put', '-w', 'h1', 'many', '.', timeout=120)
        self.assertIn('lwt: h1: 0 files copied, 10000 unchanged\n', done.err)
        done = self.lwt('-v', 'get', '-w', 'h1', 'many', 'out', timeout=120)
        self.assertIn('lwt: h1: 10000 files copied\n', done.err)
        self.assertEqual(self.read('out', 'd.h1', 'many', '7', '4207'), '4207\n')

    def test_a_directory_of_one_host_that_cannot_be_made_stops_no_other_get(self):
        self.assertEqual(self.lwt('put', '-w', 'h[1-3]', 'big', 'there').code, 0)
        self.write('out/d.h2', 'a file')
        done = self.lwt('get', '-w', 'h[1-3]', 'there', 'out')
        self.assert_refused(done, 74, 'lwt: h2: ', 'out/d.h2: File exists')
        for name in ('h1', 'h3'):
            self.assertEqual(os.path.getsize(self.path('out', 'd.' + name, 'there')), 3000000)

    def test_each_host_gets_its_own_and_one_without_is_named(self):
        for name in ('h1', 'h2'):
            self.write('local/%s/deep/own' % name, 'for ' + name)
        done = self.lwt('put', '-w', 'h1,h2,h3', '--per-host', 'local', '.')
        self.assert_refused(done, 1, 'lwt: h3: nothing for it: no local/h3')
        done = self.lwt('get', '-w', 'h1,h2', 'de*', 'out')
        self.assertEqual([self.read('out', 'd.' + name, 'deep', 'own') for name in ('h1', 'h2')],
                         ['for h1', 'for h2'])


if __name__ == '__main__':
    unittest.main()
