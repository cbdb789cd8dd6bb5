"""Work on this machine's disk delays no host: heartbeats continue while a result waits for the
disk.
"""

import json
import os
import shutil
import subprocess
import time
import unittest

from tests import lab
from tests.support import wait_for
from tests.test_lab_hosts import LabTestCase

LEASE = 6
TOOLS = ('losetup', 'mkfs.ext4', 'fsfreeze', 'mount', 'umount')
LONGEST_FREEZE = 90             # seconds; then the disk continues, even if the test fails


class FrozenDisk(LabTestCase):
    """The results are on a file system that accepts nothing for longer than a lease."""

    hosts = 2
    slow = True
    thawer = None

    def mount(self, path):
        """Mount a small file system on a directory; skip the test if that is impossible."""
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if lab.why_not_mount() or missing:
            self.skipTest('mounting: '
                          + (lab.why_not_mount() or 'not installed: ' + ' '.join(missing)))
        image = self.path('disk.img')
        with open(image, 'wb') as file:
            file.truncate(80 << 20)
        subprocess.run(['mkfs.ext4', '-q', image], check=True)
        done = subprocess.run(['mount', '-o', 'loop', image, path], stderr=subprocess.PIPE,
                              check=False)
        if done.returncode:
            self.skipTest('mounting: ' + done.stderr.decode().strip())
        self.addCleanup(subprocess.run, ['umount', path], check=True)
        os.rmdir(os.path.join(path, 'lost+found'))

    def freeze(self, path):
        subprocess.run(['fsfreeze', '-f', path], check=True)
        script = 'sleep "$1"; exec fsfreeze -u "$2"'
        self.thawer = subprocess.Popen(['sh', '-c', script, 'sh', str(LONGEST_FREEZE), path],
                                       stderr=subprocess.DEVNULL,
                                       start_new_session=True)
        self.addCleanup(self.thaw, path)

    def thaw(self, path):
        if self.thawer is not None:
            os.killpg(self.thawer.pid, 9)
            self.thawer.wait()
            self.thawer = None
            # It may have ended.
            subprocess.run(['fsfreeze', '-u', path], stderr=subprocess.DEVNULL, check=False)

    def shells(self, name):
        return {pid for pid, words in self.lab.commands(name).items()
                if words.startswith('/bin/sh -c eval')}

    def talking(self):
        """Return the shells on h2 that exist for more than a short time."""
        before = self.shells('h2')
        time.sleep(2)
        return before & self.shells('h2')

    def test_heartbeats_go_on_while_a_result_waits_for_the_disk(self):
        self.make_lab_workspace(lease=str(LEASE))
        finished = self.path('task.finish')
        os.makedirs(finished, exist_ok=True)
        self.mount(finished)
        self.describe('big',
                      'exec : head -c 8000000 /dev/urandom > big\nd_fetch : big\nhosts : '
                      'h1\nretries : 0\n')
        self.describe('long', 'exec : sleep 40\nhosts : h2\nretries : 0\n')
        self.lwt('task', 'add', 'big')
        self.lwt('task', 'add', 'long')
        self.lab.rate('h1', '20000')
        popen = self.start('task', 'run', stderr=subprocess.PIPE)
        stream = self.path('.lwt', 'tmp', 'carry.h1', 'results')
        self.assertTrue(wait_for(lambda: os.path.exists(stream), 60))
        self.freeze(finished)
        self.lab.heal('h1')
        self.assertTrue(wait_for(lambda: os.path.getsize(stream) > 8000000, 60))
        talking = self.talking()
        self.assertTrue(talking)
        time.sleep(2 * LEASE)
        # The shells of a request come and go.
        self.assertIn(min(talking), self.shells('h2'), 'a host was left alone')
        self.assertIsNone(popen.poll())
        self.thaw(finished)
        _out, err = popen.communicate(timeout=120)
        self.assertEqual(popen.returncode, 0, err)
        shown = [json.loads(line) for line in self.lwt('task', 'show', '--json').out.splitlines()]
        self.assertEqual([(task['outcome'], task['attempt']) for task in shown],
                         [('success', 1)] * 2, err)
        self.assertNotIn(b'connection lost', err)


if __name__ == '__main__':
    unittest.main()
