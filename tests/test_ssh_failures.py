"""Logins that real ssh refuses: its own message, at once, and certainly nothing ran."""

import json
import unittest

from tests.lab_cases import LoopbackTestCase


class Refused(LoopbackTestCase):
    """One sshd, and configurations with which no login is possible."""

    def refused(self, config, host='h1'):
        """Return what exec prints about a host with these lines before the lab's configuration; it
        must not have run.
        """
        with open(self.lab.ssh_config) as file:
            path = self.write('ssh_config', config + file.read())
        done = self.lwt('exec', '-w', host, '--json', '--', 'echo ran >>%s' % self.path('ran'),
                        env=dict(self.env, LWT_SSH_CONFIG=path))
        self.assertEqual(done.code, 3, done)
        with self.assertRaises(FileNotFoundError):
            self.read('ran')
        return json.loads(done.out)

    def test_FR_10_no_common_algorithm_is_told_in_sshs_words(self):
        for option, word in (('HostKeyAlgorithms ssh-rsa', 'host key type'),
                             ('MACs hmac-md5\n Ciphers aes128-ctr', 'MAC'),
                             ('Ciphers 3des-cbc', 'cipher'),
                             ('KexAlgorithms diffie-hellman-group1-sha1', 'key exchange method')):
            with self.subTest(option=option):
                said = self.refused('Host *\n %s\n' % option)
                self.assertEqual(said['class'], 'refused')
                self.assertRegex(said['reason'],
                                 r'^unreachable \(Unable to negotiate with 127\.0\.0\.1 port \d+: '
                                 'no matching %s found\\. Their offer: ' % word)

    def test_FR_11_a_wrong_line_of_the_configuration_is_named(self):
        for line, reason in (('hostnam x', 'line 2: Bad configuration option: hostnam'),
                             ('Port abc', "line 2: Bad port 'abc'."),
                             ('Ciphers none-such', "line 2: Bad SSH2 cipher spec 'none-such'."),
                             ('HostName', 'line 2: ')):
            with self.subTest(line=line):
                said = self.refused('Host *\n %s\n' % line)
                self.assertEqual(said['class'], 'refused')
                self.assertIn(reason, said['reason'])
                self.assertIn(self.path('ssh_config'), said['reason'])

    def test_FR_12_a_proxy_that_cannot_connect_is_quoted_and_not_tried_again(self):
        proxy = self.write('proxy', 'echo x >>%s\neval "exec $*"\n' % self.path('tries'))
        for command, word in (
                ('nosuchprogram %h %p', 'nosuchprogram'), ('cat /no/such/file', '/no/such/file'),
                ("sh -c \"'echo px: cannot connect >&2'\"", 'px: cannot connect')):
            with self.subTest(command=command):
                said = self.refused('Host h1\n ProxyCommand /bin/sh %s %s\n' % (proxy, command))
                self.assertEqual(said['class'], 'refused')
                self.assertIn(word, said['reason'])
                self.assertEqual(self.read('tries'), 'x\n')
                self.write('tries', '')

    def test_FR_12_a_jump_host_whose_target_is_closed_or_unknown_is_quoted(self):
        for target, word in (('127.0.0.1\n Port 1', 'Connection refused'),
                             ('nosuch.invalid', 'open failed')):
            with self.subTest(target=target):
                said = self.refused('Host behind\n ProxyJump h1\n HostName %s\n' % target, 'behind')
                self.assertEqual(said['class'], 'refused')
                self.assertIn(word, said['reason'])


if __name__ == '__main__':
    unittest.main()
