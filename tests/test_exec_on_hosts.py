"""Commands on a host with a real sshd, for root and for ordinary users: environment, home, output.
"""

import json
import os
import signal
import unittest

from tests import lab
from tests.lab_cases import LoopbackTestCase
from tests.support import marked, wait_for

HELD = 'a background process still holds the output; what it prints from now on is not shown'


class AcceptingLab(lab.LoopbackLab):
    """Hosts that accept every variable that ssh sends."""

    def _configure(self):
        super()._configure()
        for name in self.names:
            with open(self.path(name, 'sshd_config'), 'a') as file:
                file.write('AcceptEnv *\n')


class AcceptingTestCase(LoopbackTestCase):
    """Hosts that accept every variable."""

    @classmethod
    def make_lab(cls):
        return AcceptingLab(cls.hosts)

    def setUp(self):
        super().setUp()
        self.set_variables()

    def set_variables(self, **variables):
        """Start every session on the hosts with these variables. The values must not contain quotes
        or backslashes.
        """
        words = ' '.join('"%s=%s"' % item for item in variables.items())
        mark = '"%s=%s"' % ('LWT_TEST_MARK', self.mark)
        with open(self.lab.ssh_config) as file:
            text = 'SetEnv %s %s\n%s' % (mark, words, file.read())
        self.env['LWT_SSH_CONFIG'] = self.write('ssh_config', text)


class BackgroundOutput(AcceptingTestCase):
    """Background processes of a command may hold its output open."""

    COMMAND = '(sleep 41; echo late) & echo now'

    def end_what_is_left(self):
        for pid in marked(self.mark):
            os.kill(pid, signal.SIGKILL)

    def test_FR_3_a_background_process_that_holds_the_output_is_told(self):
        self.addCleanup(wait_for, lambda: not marked(self.mark))
        for options in ((), ('-k',)):
            with self.subTest(options=options):
                done = self.lwt('exec', '-w', 'h1', *(options + ('--', self.COMMAND)))
                self.assertEqual((done.code, done.out, done.err),
                                 (0, 'now\n', 'lwt: h1: %s\n' % HELD))
        done = self.lwt('exec', '-w', 'h1', '-b', '--', self.COMMAND + '; exit 4')
        self.assertEqual(done.code, 1)
        self.assertIn('lwt: h1: %s\n' % HELD, done.err)
        self.end_what_is_left()

    def test_FR_3_the_object_of_json_has_the_warning(self):
        done = self.lwt('exec', '-w', 'h1', '--json', '--', self.COMMAND)
        told = json.loads(done.out)
        self.assertEqual((done.code, told['class'], told['stdout'], told['warning']),
                         (0, 'ok', 'now\n', HELD))
        self.end_what_is_left()
        told = json.loads(self.lwt('exec', '-w', 'h1', '--json', '--', 'echo now').out)
        self.assertEqual((told['stdout'], told['warning']), ('now\n', ''))

    def test_FR_3_what_holds_no_output_is_not_told(self):
        done = self.lwt('exec', '-w', 'h1', '--', 'sleep 42 >/dev/null 2>&1 & echo now')
        self.assertEqual((done.code, done.out, done.err), (0, 'now\n', ''))
        self.assertIn('sleep 42', marked(self.mark).values())
        self.end_what_is_left()


if __name__ == '__main__':
    unittest.main()
