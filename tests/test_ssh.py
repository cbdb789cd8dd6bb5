"""ssh: the command line, and the class of each failure."""

import unittest

from lwt import ssh
from lwt.errors import UsageError, printable_text
from lwt.proc import Command, Result
from lwt.remote import exit_status, scripts
from lwt.workspace.hostlist import Host

TRANSPORT = ssh.Transport('/usr/bin/ssh', '/usr/bin/scp', '/usr/bin')
NONCE = 'c0ffee'
BEGIN = b'\036c0ffee begin\n'
COMMAND = Command(('ssh',), timeout=5.0, hello=7.0, stall=9.0)


def end(code):
    return BEGIN + b'\036c0ffee end %d\n' % code


def judged(status, code, stdout=b'', stderr=b'', said=b''):
    """Return the Verdict on a Result whose streams went through a frame."""
    frame = scripts.Framed(NONCE, lambda stream, data: None)
    frame.feed('stdout', stdout)
    frame.feed('stderr', stderr)
    frame.finish()
    return exit_status.judge(Result(COMMAND, status, code, stderr=said), frame)


class CommandLines(unittest.TestCase):
    """How ssh is called."""

    def test_S_1_the_host_stands_behind_two_dashes_and_before_one_word(self):
        for name in ('h', 'user@h', '::1', 'fe80::1%eth0', 'h.example.org'):
            with self.subTest(name=name):
                self.assertEqual(ssh.argv(TRANSPORT, Host(name), 'a b')[-3:], ('--', name, 'a b'))

    def test_S_22_and_S_23_every_option_that_matters_is_explicit(self):
        words = ssh.argv(TRANSPORT, Host('h'), 'x')
        self.assertEqual(words[0], '/usr/bin/ssh')
        for option in ('BatchMode=yes', 'NumberOfPasswordPrompts=0', 'ConnectTimeout=10',
                       'ConnectionAttempts=1',
                       'ForwardAgent=no', 'ForwardX11=no', 'ClearAllForwardings=yes',
                       'PermitLocalCommand=no',
                       'ServerAliveInterval=15', 'EscapeChar=none'):
            with self.subTest(option=option):
                self.assertEqual(words[words.index(option) - 1], '-o')
                self.assertLess(words.index(option), words.index('--'))

    def test_S_21_host_keys_are_judged_as_the_user_says(self):
        self.assertNotIn('StrictHostKeyChecking', ' '.join(ssh.options(TRANSPORT)))

    def test_the_configuration_comes_before_every_option(self):
        self.assertEqual(ssh.options(TRANSPORT._replace(config='/c'))[:2], ('-F', '/c'))
        self.assertNotIn('-F', ssh.options(TRANSPORT))

    def test_part_of_a_second_to_connect_is_a_whole_one(self):
        for seconds, option in ((0.1, 'ConnectTimeout=1'), (10.0, 'ConnectTimeout=10'),
                                (10.5, 'ConnectTimeout=11')):
            with self.subTest(seconds=seconds):
                self.assertIn(option, ssh.options(TRANSPORT._replace(connect_timeout=seconds)))

    def test_a_connection_is_shared_only_where_that_is_asked_for(self):
        for changes, wanted in (
                ({}, {'ControlMaster=no', 'ControlPath=none', 'ServerAliveInterval=15',
                      'ServerAliveCountMax=3'}),
                ({'control_path': '/s'}, {'ControlMaster=no', 'ControlPath=/s'}),
                ({'control_path': '/s', 'persist': 0.5, 'silence': 20.0},
                 {'ControlMaster=auto', 'ControlPath=/s', 'ControlPersist=1',
                  'ServerAliveInterval=5'}),
                ({'silence': 2.0}, {'ServerAliveInterval=1', 'ServerAliveCountMax=1'})):
            with self.subTest(changes=changes):
                options = ssh.options(TRANSPORT._replace(**changes))
                self.assertLessEqual(wanted, set(options))
                self.assertEqual('persist' in changes,
                                 any('ControlPersist' in word for word in options))

    def test_a_master_comes_before_what_the_others_are_told(self):
        words = ssh.master_argv(TRANSPORT._replace(control_path='/s'), Host('h'))
        self.assertEqual(words[-2:], ('--', 'h'))
        for first, second in (('ControlMaster=yes', 'ControlMaster=no'),
                              ('PermitLocalCommand=yes', 'PermitLocalCommand=no')):
            self.assertLess(words.index(first), words.index(second))

    def test_this_machine_needs_sh_and_no_ssh(self):
        self.assertEqual(ssh.argv(ssh.Transport('', ''), Host('localhost', 'local'), 'a b'),
                         ('/bin/sh', '-c', 'a b'))

    def test_C_13_a_missing_ssh_names_where_it_was_looked_for(self):
        with self.assertRaises(UsageError) as caught:
            ssh.argv(ssh.Transport('', '', '/a:/b'), Host('h'), 'x')
        self.assertEqual(caught.exception.message, 'ssh not found in PATH=/a:/b')

    def test_S_27_no_locale_goes_to_the_host(self):
        self.assertEqual(
            ssh.environment({'LANG': 'C', 'LC_ALL': 'C', 'HOME': '/h', 'LANGUAGE': 'x'}),
            {'HOME': '/h', 'LANGUAGE': 'x'})


class Verdicts(unittest.TestCase):
    """What became of a command: what failed, and whether it ran."""

    ENDED = (       # case, Result and streams, kind, code, ran
        ('all well', ('exited', 0, end(0)), 'ok', 0, 'yes'),
        ('a code of its own', ('exited', 3, end(3)), 'failed', 3, 'yes'),
        ('R-8: 255 of its own', ('exited', 255, end(255)), 'failed', 255, 'yes'),
        ('cut after the end', ('exited', 255, end(0)), 'ok', 0, 'yes'),
        ('K-12: exit 0 because of the time-out', ('timeout', 0, end(0)), 'timeout', 124, 'yes'),
        ('interrupted', ('cancelled', 0, end(0)), 'killed', 130, 'yes'),
        ('interrupted, with a code', ('cancelled', 143, end(143)), 'killed', 143, 'yes'),
        ('the script refused', ('exited', 1, BEGIN + b'\036c0ffee fail no room\n'), 'failed', 1,
         'no'),
        ('no ssh', ('unspawnable', 2), 'failed', 127, 'no'),
        ('no answer in time', ('hello', 255), 'timeout', 255, 'maybe'),
        ('interrupted before the hello', ('cancelled', 255), 'killed', 130, 'maybe'),
        ('a shell that is none', ('exited', 1, b'This account is currently not available.\n'),
         'refused', 255, 'maybe'),
        ('255 without a word', ('exited', 255), 'lost', 255, 'maybe'),
        ('ssh killed', ('signaled', 9), 'lost', 255, 'maybe'),
        ('known words, but another code', ('exited', 1, b'', b'Connection refused\n'), 'refused',
         255, 'maybe'),
    )
    CUT = (
        ('lost', ('exited', 255, BEGIN), 'lost', 255),
        ('ssh killed', ('signaled', 9, BEGIN), 'lost', 255),
        ('time-out', ('timeout', 255, BEGIN), 'timeout', 124),
        ('stalled', ('stalled', 255, BEGIN), 'timeout', 124),
        ('a code that is none', ('exited', 0, BEGIN + b'\036c0ffee end 999\n'), 'lost', 255),
        ('interrupted', ('cancelled', 255, BEGIN), 'killed', 130),
        ('0 without an end', ('exited', 0, BEGIN), 'lost', 255),
    )
    UNREACHABLE = (  # OpenSSH's message (all of it is in test_ssh_messages), and the class
        ('ssh: connect to host h port 22: Connection refused', 'refused'),
        ('Connection timed out during banner exchange', 'timeout'),
        ('ssh: Could not resolve hostname h: Name or service not known', 'dns'),
        ('Host key verification failed.', 'hostkey'),
        ('u@h: Permission denied (publickey,password).', 'auth'),
        ('kex_exchange_identification: Connection closed by remote host', 'refused'),
    )
    LOST = (    # further messages, or messages after the login
        'Read from remote host hx: Connection reset by peer', 'Connection closed by remote host',
        'client_loop: send disconnect: Connection reset by peer',
        'Connection closed by 10.0.0.1 port 22',
        'Authenticated to h ([10.0.0.1]:22) using "publickey".\r\nHost key verification failed.',
    )

    def test_R_8_each_end_has_its_class_its_code_and_says_whether_it_ran(self):
        for name, arguments, kind, code, ran in self.ENDED:
            with self.subTest(name):
                verdict = judged(*arguments)
                self.assertEqual((verdict.kind, verdict.code, verdict.ran), (kind, code, ran))

    def test_N_2_what_was_cut_off_is_never_said_not_to_have_run(self):
        for name, arguments, kind, code in self.CUT:
            with self.subTest(name):
                verdict = judged(*arguments)
                self.assertEqual((verdict.kind, verdict.code), (kind, code))
                self.assertNotEqual(verdict.ran, 'no')

    def test_N_1_each_way_not_to_be_reached_has_its_class(self):
        for text, kind in self.UNREACHABLE:
            with self.subTest(text=text):
                verdict = judged('exited', 255, b'', text.encode() + b'\r\n')
                self.assertEqual((verdict.kind, verdict.code, verdict.ran), (kind, 255, 'no'))
                begin = {'auth': 'login refused (', 'hostkey': 'host key verification failed ('}
                self.assertTrue(verdict.reason.startswith(begin.get(kind, 'unreachable (')),
                                verdict.reason)

    def test_what_proves_nothing_is_lost(self):
        for text in self.LOST:
            with self.subTest(text=text):
                verdict = judged('exited', 255, b'', text.encode() + b'\r\n')
                self.assertEqual((verdict.kind, verdict.code, verdict.ran), ('lost', 255, 'maybe'))

    def test_a_proof_counts_for_the_first_request_only_and_with_nothing_else(self):
        proof = b'Host key verification failed.\r\n'
        frame = scripts.Framed(NONCE, lambda stream, data: None)
        frame.feed('stderr', proof)
        frame.finish()
        result = Result(COMMAND, 'exited', 255)
        self.assertEqual(exit_status.judge(result, frame).ran, 'no')
        for words in ({'is_first': False}, {'is_shared': True}):
            verdict = exit_status.judge(result, frame, **words)
            self.assertEqual((verdict.kind, verdict.ran), ('lost', 'maybe'))
        frame = scripts.Framed(NONCE, lambda stream, data: None)
        frame.feed('stderr', b'Control socket connect(/run/x): Connection refused\r\n' + proof)
        frame.finish()
        self.assertEqual(exit_status.judge(result, frame, is_shared=True).ran, 'no')
        for arguments in (('exited', 255, b'motd\n', proof), ('signaled', 9, b'', proof),
                          ('exited', 1, b'', proof),
                          ('exited', 255, b'', b'x' * 5000 + b'\n' + proof)):
            with self.subTest(arguments=arguments[:2]):
                self.assertEqual(judged(*arguments).ran, 'maybe')

    def test_N_7_only_a_dropped_login_is_worth_another_try(self):
        dropped = {text for text, _kind in self.UNREACHABLE
                   if exit_status.was_dropped(judged('exited', 255, b'', text.encode()))}
        self.assertEqual(dropped, {text for text, _kind in self.UNREACHABLE
                                   if 'exchange_identification' in text})
        self.assertFalse(exit_status.was_dropped(
            judged('exited', 255, BEGIN, BEGIN + b'Connection reset by peer\n')))
        self.assertFalse(exit_status.was_dropped(judged('exited', 255)))

    def test_R_1_the_first_words_of_the_shell_are_the_reason(self):
        reason = judged('exited', 1, b'\nno shell\x1b[2J for you\nmore\n').reason
        self.assertIn('no shell', reason)
        self.assertNotIn('\x1b', reason)
        self.assertNotIn('more', reason)

    def test_a_lost_connection_is_told_in_sshs_words(self):
        stderr = BEGIN + b'mine\nclient_loop: send disconnect: Broken pipe\r\n'
        self.assertEqual(judged('exited', 255, BEGIN, stderr).reason,
                         'connection lost (client_loop: send disconnect: Broken pipe)')

    def test_a_limit_that_passed_is_named(self):
        for status, stdout, text in (('hello', b'', '7 s'), ('timeout', BEGIN, '5 s'),
                                     ('stalled', BEGIN, '9 s'),
                                     ('timeout', end(0), '5 s'), ('timeout', b'', '5 s'),
                                     ('stalled', b'', '9 s')):
            with self.subTest(status=status, stdout=stdout):
                self.assertIn(text, judged(status, 255, stdout).reason)

    def test_the_first_complaint_of_a_script_is_its_reason(self):
        failed = exit_status.Verdict('failed', 1, 'exit code 1')
        self.assertEqual(exit_status.with_complaint(failed, b'\ntar: no room\nmore\n').reason,
                         'tar: no room')
        self.assertEqual(exit_status.with_complaint(failed, b' \n'), failed)
        endless = failed._replace(is_over_budget=True)
        self.assertEqual(exit_status.with_complaint(endless, b'complaint 0\n'), endless)
        for other in (exit_status.Verdict('ok', 0),
                      exit_status.Verdict('lost', 255, 'connection lost')):
            self.assertEqual(exit_status.with_complaint(other, b'words\n'), other)

    def test_text_for_people_is_harmless_and_short(self):
        self.assertEqual(printable_text('a\x1b\tb\u202e'), 'a??b?')
        self.assertEqual(len(printable_text('x' * 1000)), 161)


if __name__ == '__main__':
    unittest.main()
