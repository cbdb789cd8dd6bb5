"""ssh_messages: which messages of ssh prove that nothing ran on a host."""

import unittest

from lwt.remote.ssh_messages import DROPPED, failure_before_login, shell_words, words

LOGGED_IN = 'Authenticated to 10.0.0.1 ([10.0.0.1]:22) using "publickey".\r\n'
AT_ONCE = 'kex_exchange_identification: Connection closed by remote host\r\n'
NO_PROXY = 'Connection closed by 10.0.0.1 port 22\r\n'
PROXY = 'Connection closed by UNKNOWN port 65535\r\n'

# OpenSSH's messages before the login, the class, and the reason (None: see the class).
BEFORE_LOGIN = (
    ('ssh: connect to host h port 22: Connection refused', 'refused', 'connection refused'),
    ('ssh: connect to host h port 22: No route to host', 'refused', 'no route to host'),
    ('ssh: connect to host h port 22: Network is unreachable', 'refused', 'no route to host'),
    ('ssh: connect to host h port 22: Host is down', 'refused', 'no route to host'),
    ('ssh: connect to host h port 22: Connection timed out', 'timeout', 'connection timed out'),
    ('ssh: connect to host h port 22: Operation timed out', 'timeout', 'connection timed out'),
    ('ssh: connect to host fe80::1%eth0 port 22: Invalid argument', 'refused',
     'ssh: connect to host fe80::1%eth0 port 22: Invalid argument'),
    ('ssh: Could not resolve hostname h: Name or service not known', 'dns', 'name not known'),
    ('ssh: Could not resolve hostname h: Temporary failure in name resolution', 'dns',
     'temporary failure in name resolution'),
    ('ssh: Could not resolve hostname h: nodename nor servname provided, or not known', 'dns',
     'name not known'),
    ('ssh: Could not resolve hostname ::1: Address family for hostname not supported', 'dns',
     'name not known'),
    ('Connection timed out during banner exchange', 'timeout', 'connection timed out'),
    ('Connection timed out during banner exchange\r\nConnection to 10.0.0.1 port 22 timed out',
     'timeout', 'connection timed out'),
    ('banner exchange: Connection to 10.0.0.1 port 22: Connection timed out', 'timeout',
     'connection timed out'),
    (AT_ONCE, 'refused', DROPPED),
    (AT_ONCE + NO_PROXY, 'refused', DROPPED),
    ('kex_exchange_identification: read: Connection reset by peer\r\n'
     'Connection reset by 10.0.0.1 port 22', 'refused', DROPPED),
    ('kex_exchange_identification: write: Broken pipe', 'refused', DROPPED),
    ('banner exchange: Connection to 10.0.0.1 port 22: Broken pipe', 'refused', DROPPED),
    ('ssh_exchange_identification: read: Connection reset by peer', 'refused', DROPPED),
    ('ssh_exchange_identification: Connection closed by remote host', 'refused', DROPPED),
    ('kex_exchange_identification: banner line contains invalid characters\r\n'
     'banner exchange: Connection to 10.0.0.1 port 22: invalid format', 'refused',
     'kex_exchange_identification: banner line contains invalid characters'),
    ('kex_exchange_identification: banner line too long', 'refused',
     'kex_exchange_identification: banner line too long'),
    ('kex_exchange_identification: No SSH version received in first 1024 lines from server',
     'refused',
     'kex_exchange_identification: No SSH version received in first 1024 lines from server'),
    ("Bad remote protocol version identification: 'HTTP/1.1 400 Bad Request'", 'refused',
     "Bad remote protocol version identification: 'HTTP/1.1 400 Bad Request'"),
    ('Protocol major versions differ: 2 vs. 1', 'refused',
     'Protocol major versions differ: 2 vs. 1'),
    ('Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. '
     'Their offer: ssh-ed25519', 'refused',
     'Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. '
     'Their offer: ssh-ed25519'),
    ('Unable to negotiate with UNKNOWN port 65535: no matching cipher found. Their offer: x',
     'refused',
     'Unable to negotiate with UNKNOWN port 65535: no matching cipher found. Their offer: x'),
    ('Unable to negotiate with 10.0.0.1 port 22: no matching key exchange method found. '
     'Their offer: diffie-hellman-group1-sha1', 'refused',
     'Unable to negotiate with 10.0.0.1 port 22: no matching key exchange method found. '
     'Their offer: diffie-hellman-group1-sha1'),
    ('Host key verification failed.', 'hostkey', 'host key not known'),
    ('No ED25519 host key is known for h and you have requested strict checking.\r\n'
     'Host key verification failed.', 'hostkey', 'host key not known'),
    ('@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n'
     'Host key for h has changed and you have requested strict checking.\r\n'
     'Host key verification failed.', 'hostkey', 'host key changed'),
    ('@       WARNING: REVOKED HOST KEY DETECTED!               @\r\n'
     'Host key verification failed.', 'hostkey', 'host key revoked'),
    ('u@h: Permission denied (publickey,password).', 'auth',
     'permission denied (publickey,password)'),
    ('Permission denied (publickey,gssapi-keyex,gssapi-with-mic).', 'auth',
     'permission denied (publickey,gssapi-keyex,gssapi-with-mic)'),
    ('Load key "/k": bad permissions\r\nu@h: Permission denied (publickey).', 'auth',
     'permission denied (publickey)'),
    ('Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\r\n'
     'Disconnected from 10.0.0.1 port 22', 'auth',
     'too many authentication failures'),
    ('Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\r\n'
     'Authentication failed.', 'auth', 'authentication failed'),
    ('Received disconnect from 10.0.0.1 port 22:14: No supported authentication methods available',
     'auth', 'no supported authentication methods available'),
    ('c: line 2: Bad configuration option: hostnam\r\n'
     'c: terminating, 1 bad configuration options', 'refused',
     'c: line 2: Bad configuration option: hostnam'),
    ('command-line: line 0: Bad configuration option: xyz', 'refused',
     'command-line: line 0: Bad configuration option: xyz'),
    ("/c line 2: Bad port 'abc'.\r\n/c: terminating, 1 bad configuration options", 'refused',
     "/c line 2: Bad port 'abc'."),
    ('/c line 2: no argument after keyword "hostname"', 'refused',
     '/c line 2: no argument after keyword "hostname"'),
    ('Bad owner or permissions on /home/u/.ssh/config', 'refused',
     'Bad owner or permissions on /home/u/.ssh/config'),
    ("Can't open user config file /c: No such file or directory", 'refused',
     "Can't open user config file /c: No such file or directory"),
    ('hostname contains invalid characters', 'refused', 'hostname contains invalid characters'),
    ("ControlPath too long ('/x' >= 108 bytes)", 'refused',
     "ControlPath too long ('/x' >= 108 bytes)"),
    ('Control socket connect(/s): Connection refused\r\n'
     'ssh: connect to host h port 22: Connection timed out', 'timeout', 'connection timed out'),
    ('mux_client_request_session: session request failed: Session open refused by peer\r\n'
     'ControlSocket /s already exists, disabling multiplexing\r\nHost key verification failed.',
     'hostkey', 'host key not known'),
    ("Warning: Permanently added 'h' (ED25519) to the list of known hosts.\r\n"
     'u@h: Permission denied (publickey).', 'auth', 'permission denied (publickey)'),
    ('Welcome to this site.\r\nWARNING: No trespassing.\r\nu@h: Permission denied (publickey).',
     'auth', 'permission denied (publickey)'),
)

# Messages of a proxy or a jump host before ssh finds the connection closed, and the reason.
BEHIND_PROXY = (
    ('/bin/bash: line 1: exec: nosuchprogram: not found', 'refused',
     '/bin/bash: line 1: exec: nosuchprogram: not found'),
    ('zsh:1: command not found: nosuchprogram', 'refused',
     'zsh:1: command not found: nosuchprogram'),
    ('nc: connect to 10.0.0.1 port 22 (tcp) failed: Connection refused', 'refused',
     'nc: connect to 10.0.0.1 port 22 (tcp) failed: Connection refused'),
    ('Ncat: Connection refused.', 'refused', 'Ncat: Connection refused.'),
    ('channel 0: open failed: connect failed: Connection refused\r\nstdio forwarding failed',
     'refused', 'channel 0: open failed: connect failed: Connection refused'),
    ('channel 0: open failed: administratively prohibited: open failed\r\n'
     'stdio forwarding failed', 'refused',
     'channel 0: open failed: administratively prohibited: open failed'),
    ('ssh: Could not resolve hostname gw: Name or service not known', 'dns',
     'ssh: Could not resolve hostname gw: Name or service not known'),
    ('u@gw: Permission denied (publickey).', 'auth', 'u@gw: Permission denied (publickey).'),
    ('', 'refused', DROPPED),
    (AT_ONCE + 'Connection closed by 10.0.0.9 port 22', 'refused', DROPPED),
    ('Welcome to the gateway.\r\nNOTICE: all is logged', 'refused', DROPPED),
)

# Messages of ssh after the login, or at an unknown time.
NO_PROOF = (
    '',
    'Read from remote host hx: Connection reset by peer',
    'client_loop: send disconnect: Connection reset by peer',
    'client_loop: send disconnect: Broken pipe',
    'Connection closed by remote host',
    'Connection to h closed by remote host.',
    'Connection closed by 10.0.0.1 port 22',
    'Connection reset by 10.0.0.1 port 22',
    'Connection closed by UNKNOWN port 65535',
    'Connection to 10.0.0.1 port 22 timed out',
    'Timeout, server h not responding.',
    'packet_write_wait: Connection to 10.0.0.1 port 22: Broken pipe',
    'packet_write_poll: Connection to 10.0.0.1 port 22: Host is down',
    'ssh_dispatch_run_fatal: Connection to 10.0.0.1 port 22: message authentication code incorrect',
    'ssh_packet_read: Connection closed',
    'Write failed: Broken pipe',
    'Received disconnect from 10.0.0.1 port 22:11: disconnected by user\r\n'
    'Disconnected from 10.0.0.1 port 22',
    'Bad packet length 1349676916.\r\nssh_dispatch_run_fatal: Connection to h port 22: Connection '
    'corrupted',
    'Corrupted MAC on input.',
    'mux_client_request_session: read from master failed: Broken pipe',
    'mux_client_read_packet: read header failed: Broken pipe',
    'Shared connection to h closed.',
    'Control master terminated unexpectedly',
    'exec request failed on channel 0',
    'shell request failed on channel 0',
    'Connection refused',
    'Permission denied',
    'bash: /x: Permission denied (publickey) denied',
    'Network is unreachable',
    # Messages that are a proof, in the middle of other text.
    'Host key verification failed.\r\nConnection to h closed by remote host.',
    'git@example.org: Permission denied (publickey).\r\nRead from remote host h: Connection reset',
    'ssh: connect to host other port 22: Connection refused\r\n'
    'client_loop: send disconnect: Broken pipe',
)


class Proofs(unittest.TestCase):
    """Which messages prove that nothing ran."""

    def test_the_messages_of_before_the_login_have_a_class_and_a_reason(self):
        for text, kind, reason in BEFORE_LOGIN:
            with self.subTest(text=text):
                failure = failure_before_login(text + '\r\n')
                self.assertEqual((failure.kind, failure.reason), (kind, reason))
                self.assertEqual(failure.is_dropped, reason == DROPPED)

    def test_no_other_message_is_a_proof(self):
        for text in NO_PROOF:
            with self.subTest(text=text):
                self.assertIsNone(failure_before_login(text + '\r\n'))

    def test_after_the_login_no_message_is_a_proof(self):
        for text in [row[0] for row in BEFORE_LOGIN] + list(NO_PROOF):
            with self.subTest(text=text):
                self.assertIsNone(failure_before_login(LOGGED_IN + text))
        self.assertIsNone(failure_before_login('Authenticated to h ([::1]:22).\r\n' + AT_ONCE))
        self.assertIsNone(failure_before_login(
            'Authenticated to h (via proxy) using "publickey".\r\n' + AT_ONCE))

    def test_FR_12_a_proxy_that_fails_is_not_taken_for_a_busy_sshd(self):
        for text, kind, reason in BEHIND_PROXY:
            with self.subTest(text=text):
                failure = failure_before_login(text + '\r\n' + AT_ONCE + PROXY)
                self.assertEqual((failure.kind, failure.reason), (kind, reason))
                self.assertEqual(failure.is_dropped, reason == DROPPED)
        self.assertEqual(failure_before_login(AT_ONCE + 'px: late\r\n' + PROXY).reason, 'px: late')


class Words(unittest.TestCase):
    """What is quoted of ssh's output."""

    def test_statistics_and_the_login_are_not_quoted(self):
        text = LOGGED_IN + 'Connection to h closed by remote host.\r\nTransferred: sent 1, x\r\n'
        self.assertEqual(words(text), 'Connection to h closed by remote host.')
        self.assertEqual(words(LOGGED_IN), '')

    def test_R_1_the_words_of_the_login_shell_come_after_the_login(self):
        text = 'Welcome\r\n' + LOGGED_IN + 'This account is not available.\r\nmore\r\n'
        self.assertEqual(shell_words(text), 'This account is not available.')
        self.assertEqual(shell_words('sh: not found\n'), 'sh: not found')
        self.assertEqual(shell_words('Welcome\r\n' + LOGGED_IN), '')


if __name__ == '__main__':
    unittest.main()
