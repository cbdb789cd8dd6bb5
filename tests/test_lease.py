"""A lease that expires on a host, as the user sees it."""

import os
import signal
import unittest

from tests.support import ProgramTestCase, marked, wait_for


class Leases(ProgramTestCase):
    """exec on this machine, with its guard."""

    def sleeps(self):
        return [words for words in marked(self.mark).values() if words.startswith('sleep 98')]

    def run_out(self, command):
        """Stop lwt for longer than the lease; return (exit code, standard error)."""
        popen = self.start('exec', '-w', 'localhost', '--lease', '2', '--', command)
        self.assertTrue(wait_for(self.sleeps))
        os.kill(popen.pid, signal.SIGSTOP)
        try:
            self.assertTrue(wait_for(lambda: not self.sleeps()))
        finally:
            os.kill(popen.pid, signal.SIGCONT)
        _out, err = popen.communicate(timeout=60)
        return popen.returncode, err.decode()

    def test_SR_22_a_lease_that_ran_out_is_told_as_such(self):
        """SR-22: if the guard ended a command, its exit code is not reported as that of the
        command.
        """
        self.make_workspace([('localhost', 'local', '~')])
        for command in ('sleep 983', 'trap "" TERM; sleep 984; sleep 985'):
            with self.subTest(command=command):
                code, err = self.run_out(command)
                self.assertEqual(code, 3, err)
                self.assertIn('no heartbeat reached the host within the lease', err)
                self.assertNotIn('exit code', err)


if __name__ == '__main__':
    unittest.main()
