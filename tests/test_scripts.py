"""Scripts on hosts: the envelope and the frames, without any shell."""

import re
import shlex
import unittest
from unittest import mock

from lwt import ssh
from lwt.errors import UsageError
from lwt.remote import host_limits, script_parts, scripts
from lwt.workspace.hostlist import Host

NONCE = 'c0ffee'
BEGIN = b'\036c0ffee begin\n'
LAST_WORDS = (b'client_loop: send disconnect: Broken pipe\r\n',
              b'Timeout, server h not responding.\r\n',
              b'Connection to h closed by remote host.\r\n',
              b'Connection reset by 10.0.0.1 port 22\r\n',
              b'Read from remote host h: Connection reset by peer\r\n',
              b'Corrupted MAC on input.\n',
              b'ssh_dispatch_run_fatal: Connection to 10.0.0.1 port 22: message authentication '
              b'code incorrect\r\n')


def end(code=0):
    return b'\036c0ffee end %d\n' % code


class Taken:
    """A Framed and the payload that it passed on."""

    def __init__(self):
        self.payload = {'stdout': b'', 'stderr': b''}
        self.frame = scripts.Framed(NONCE, self._take)

    def _take(self, stream, data):
        self.payload[stream] += data


def read(stdout=b'', stderr=b'', chunk=1 << 20):
    """Feed both streams in pieces of this size."""
    taken = Taken()
    for stream, data in (('stdout', stdout), ('stderr', stderr)):
        for at in range(0, len(data), chunk):
            taken.frame.feed(stream, data[at:at + chunk])
    taken.frame.finish()
    return taken


def opened(command_line):
    """Return the script in an envelope, decoded as printf %b does."""
    head, tail = '''exec /bin/sh -c 'eval "$(printf %b "$1")"' lwt \'''', "'"
    assert command_line.startswith(head) and command_line.endswith(tail), command_line[:200]
    encoded = command_line[len(head):-1]
    assert re.fullmatch(r"(?:[^'!\\\x00-\x1f\x7f-\uffff]|\\0[0-7]{3})*", encoded), encoded[:200]
    return re.sub(rb'\\0([0-7]{3})', lambda octal: bytes([int(octal.group(1), 8)]),
                  encoded.encode())


class Envelopes(unittest.TestCase):
    """A script as one encoded word."""

    def test_R_1_every_byte_but_nul_comes_back(self):
        for script in (b'', b'x', bytes(range(1, 256)), b'echo "it\'s $x" `y` !z\n', b'\\0101',
                       b'\xff7', '\xe9'.encode()):
            with self.subTest(script=script):
                self.assertEqual(opened(scripts.envelope(script)), script)

    def test_C_5_a_nul_byte_is_refused(self):
        self.assertRaises(UsageError, scripts.envelope, b'a\0b')

    def test_C_7_what_does_not_fit_one_argument_is_refused(self):
        for script, fits in ((b'a' * scripts.MAX_ENCODED, True),
                             (b'a' * (scripts.MAX_ENCODED + 1), False),
                             (b'!' * (scripts.MAX_ENCODED // 5), True),
                             (b'!' * (scripts.MAX_ENCODED // 4), False)):
            with self.subTest(size=len(script), fits=fits):
                if fits:
                    self.assertEqual(opened(scripts.envelope(script)), script)
                else:
                    with self.assertRaises(UsageError) as caught:
                        scripts.envelope(script)
                    self.assertIn('too long (%d bytes' % len(script), caught.exception.message)

    def test_C_7_the_size_of_a_command_that_does_not_fit_is_that_of_all_its_arguments(self):
        with self.assertRaises(UsageError) as caught:
            scripts.envelope(b"set -- a '%s'\n" % (scripts.MAX_ENCODED * b'b'), 'our own script')
        size = len("set -- a ''\n") + scripts.MAX_ENCODED
        self.assertIn('too long (%d bytes' % size, caught.exception.message)

    def test_arguments_are_words_whatever_is_in_them(self):
        words = ['', 'a b', "it's", '$x', '-n', 'a\nb', '\\', '*']
        first, _newline, rest = scripts.with_arguments('body', words).rpartition(b'\n')
        self.assertEqual(shlex.split(first.decode()), ['set', '--'] + words)
        self.assertEqual(rest, b'body')

    def test_C_6_bytes_that_are_no_text_pass_unchanged(self):
        self.assertEqual(scripts.shell_quote(b'\xff\''), b"'\xff'\\'''")
        self.assertEqual(scripts.shell_quote('\udcff'), b"'\xff'")

    def test_scripts_travel_without_comments_and_indentation(self):
        for name, parts in scripts.SHORT_SCRIPTS.items():
            with self.subTest(name=name):
                lines = scripts.script_text(*parts).splitlines()
                self.assertGreater(len(lines), 10)
                self.assertEqual([line for line in lines if line.startswith((' ', '#'))], [])

    def test_continued_lines_of_scripts_travel_as_one(self):
        lines = ('for word in one two; do', '  if [ "$word" = one ] &&', '    true; then',
                 '    printf "%s\\n" "$word" |', '      cat \\', '      -', '  else',
                 '    echo todo', '    echo "x & then"', '  fi', 'done', '')
        with mock.patch.object(scripts, 'source', return_value='\n'.join(lines)):
            text = scripts.script_text.__wrapped__('name')
        self.assertEqual(text, 'for word in one two; do if [ "$word" = one ] && true; then '
                         'printf "%s\\n" "$word" | cat -\nelse echo todo\necho "x & then"\nfi\n'
                         'done\n')

    def test_scripts_travel_with_the_functions_that_they_name_and_no_others(self):
        every = {name: (scripts.source(*parts), scripts.script_text(*parts))
                 for name, parts in scripts.SHORT_SCRIPTS.items()}
        for parts in scripts.GUARD, scripts.STAGING_GUARD:
            every['guard' if parts == scripts.GUARD else 'staging_guard'] = (
                scripts.source(*parts + scripts.LATER), ''.join(scripts.guard_parts(parts)))
        for name, (source, text) in every.items():
            with self.subTest(name=name):
                made = set(re.findall(r'(?m)^(\w+)\(\) ', source))
                sent = set(re.findall(r'(?m)^(\w+)\(\) ', text))
                self.assertLess(sent, made)
                self.assertEqual({word for word in re.findall(r'\w+', text) if word in made}, sent)
                self.assertEqual([function for function in sent
                                  if len(re.findall(r'\b%s\b' % function, text)) < 2], [])

    def test_every_short_script_leaves_room_for_arguments(self):
        for name, parts in scripts.SHORT_SCRIPTS.items():
            with self.subTest(name=name):
                self.assertLess(len(scripts.envelope(scripts.script_text(*parts).encode())),
                                scripts.MAX_ENCODED // 2)


class ScriptsInParts(unittest.TestCase):
    """remote/script_parts.py: command lines that need no decoding."""

    def test_single_quotes_become_double_ones_where_that_is_the_same(self):
        for text, expected in (("printf '%s\\n' 'a b'", 'printf "%s\\n" "a b"'),
                               ("trap 'kill \"$x\"' TERM", 'trap "kill \\"\\$x\\"" TERM'),
                               ("echo \"it's\" '`x`'", 'echo "it\'s" "\\`x\\`"'),
                               ("sed 's/\\$x/\\\\/'", "sed 's/\\$x/\\\\/'"),
                               ("echo \\' 'a'", "echo \\' \"a\"")):
            with self.subTest(text=text):
                self.assertEqual(script_parts.without_single_quotes(text), expected)

    def test_a_script_of_one_line_has_semicolons_where_they_may_stand(self):
        text = ('f() {\nif true; then\ntrue &\nelse\n(\nfalse\n)\nfi\n}\ncase $1 in\n'
                'a | b)\nf &&\nf\n;;\n*) f ;;\nesac\nwhile f; do\nf\ndone\n')
        self.assertEqual(script_parts.one_line(text),
                         'f() { if true; then true & else ( false;);fi;};case $1 in a | b) f && f '
                         ';; *) f ;; esac;while f; do f;done;')

    def test_names_are_those_of_variables(self):
        text = ('one=1 two="$three ${four%x} ${#five}"\nfor six in a; do read -r seven eight _\n'
                'done\nPATH=x lwt_no=1 command -v nine\n: "${ten-}" $((one + 1))\n')
        self.assertEqual(script_parts.names(text), {
            'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'ten'})

    def test_no_login_shell_gives_a_meaning_to_a_guard(self):
        for parts in scripts.GUARD, scripts.STAGING_GUARD:
            with self.subTest(parts=parts):
                line = script_parts.command_line(scripts.guard_parts(parts), ('a b', '$HOME `x` "'))
                pieces = line.split("'")
                self.assertRegex(line, r"^exec /bin/sh -c '[^']*' lwt( '[^']*')+$")
                self.assertEqual([piece for piece in pieces[2::2] if piece.strip() not in
                                  ('', 'lwt')], [])
                for piece in pieces[1::2]:
                    self.assertRegex(piece, r'\A[ -~]*\Z')
                    self.assertNotRegex(piece, r'![^ =]|\\[\\!]|\\$')

    def test_a_word_that_a_login_shell_interprets_is_refused(self):
        parts = scripts.guard_parts(scripts.GUARD)
        for word in ("it's", 'a!b', 'a\nb', 'a\\\\b', 'a\\', '\xe9', '\x01'):
            with self.subTest(word=word):
                self.assertIsNone(script_parts.command_line(parts, (word,)))


class Commands(unittest.TestCase):
    """The Commands for proc."""

    TRANSPORT = ssh.Transport('/usr/bin/ssh', '/usr/bin/scp', env={'A': 'b'}, login_dir='/home/me')
    LIMITS = scripts.Deadlines(hello=1.0, timeout=2.0, stall=3.0, lease=60.0, grace=5.0)

    def setUp(self):
        self.frame = Taken().frame

    def words(self, command):
        text = opened(command.argv[-1]).decode()
        return shlex.split(text[:text.index('\n')])[2:]

    def guard_words(self, command):
        """Return the arguments of a guard, which stand after its three parts."""
        words = shlex.split(command.argv[-1])
        self.assertEqual((words[:3], words[4]), (['exec', '/bin/sh', '-c'], 'lwt'))
        return words[7:]

    def test_SR_11_a_script_gets_the_nonce_on_its_input_and_nothing_secret_as_an_argument(self):
        command = scripts.plain(self.TRANSPORT, Host('h'), 'put', ('~', 'a b'), self.frame,
                                self.LIMITS, '/tmp/x')
        self.assertEqual(self.words(command), ['~', 'a b'])
        self.assertEqual(command.stdin, scripts.opening(self.frame))
        self.assertIn(NONCE.encode(), command.stdin)
        self.assertNotIn(NONCE, ' '.join(command.argv))
        self.assertEqual((command.hello, command.timeout, command.stall, command.grace),
                         (1.0, 2.0, 3.0, 5.0))
        self.assertEqual((command.stdin_path, command.lifeline, command.label),
                         ('/tmp/x', 0.0, 'h'))
        self.assertIs(command.sink, self.frame)

    def test_a_guarded_command_gets_its_limits_its_sizes_and_its_own_arguments(self):
        payload = scripts.Payload(b'#!/bin/sh\n', '/tmp/in', 77)
        command = scripts.guarded(self.TRANSPORT, Host('h', home='w'), 'echo "$1"', ('x y',),
                                  self.frame, self.LIMITS,
                                  payload)
        self.assertEqual(self.guard_words(command),
                         ['5', '60', 'w', '10', '77', '3', '3', 'echo "$1"', 'x y'])
        self.assertEqual(command.stdin, scripts.opening(self.frame) + b'#!/bin/sh\n')
        self.assertEqual((command.stdin_path, command.lifeline), ('/tmp/in', 20.0))

    def test_odd_arguments_of_a_guard_are_encoded_and_a_long_one_is_refused(self):
        for text in ("echo 'a'", 'echo a!', 'a\nb', 'a\\', '\xe9', 'a\t'):
            with self.subTest(text=text):
                command = scripts.guarded(self.TRANSPORT, Host('h'), text, (), self.frame,
                                          self.LIMITS)
                words, = self.guard_words(command)
                decoded = re.sub(r'\\0([0-7]{3})', lambda octal: chr(int(octal.group(1), 8)), words)
                self.assertEqual(shlex.split(decoded.encode('latin-1').decode())[-1], text)
        with self.assertRaises(UsageError) as caught:
            scripts.guarded(self.TRANSPORT, Host('h'), 'a' * scripts.MAX_ENCODED, (), self.frame,
                            self.LIMITS)
        self.assertIn('too long', caught.exception.message)

    def test_several_heartbeats_fit_one_lease(self):
        command = scripts.guarded(self.TRANSPORT, Host('h'), 'x', (), self.frame, self.LIMITS)
        self.assertLess(2 * command.lifeline, self.LIMITS.lease)

    def test_this_machine_starts_in_the_login_directory_with_the_users_environment(self):
        for host, expected in ((Host('h'), (None, {'A': 'b'})),
                               (Host('localhost', 'local'), ('/home/me', None))):
            with self.subTest(host=host.name):
                command = scripts.plain(self.TRANSPORT, host, 'put', (), self.frame, self.LIMITS)
                self.assertEqual((command.cwd, command.env), expected)


class Frames(unittest.TestCase):
    """The payload inside the frames, in pieces of any size."""

    CASES = (       # name, stdout, payload, started, code, failure, noise
        ('all well', BEGIN + b'a\nb' + end(), b'a\nb', True, 0, None, b''),
        ('no output', BEGIN + end(3), b'', True, 3, None, b''),
        ('noise before', b'Welcome!\n\x1b[2J' + BEGIN + b'x' + end(), b'x', True, 0, None,
         b'Welcome!\n\x1b[2J'),
        ('noise without newline', b'$ ' + BEGIN + b'x' + end(), b'x', True, 0, None, b'$ '),
        ('noise after', BEGIN + b'x' + end() + b'bye\n', b'x', True, 0, None, b'bye\n'),
        ('a second end', BEGIN + b'x' + end(1) + end(), b'x', True, 1, None, end()),
        ('foreign frames', BEGIN + b'\036beef end 0\n\036c0ffe end 0\n' + end(2),
         b'\036beef end 0\n\036c0ffe end 0\n', True,
         2,
         None, b''),
        ('foreign frame before', b'\036beef begin\n' + BEGIN + end(), b'', True, 0, None,
         b'\036beef begin\n'),
        ('separators', BEGIN + b'\036\036\036' + end(), b'\036\036\036', True, 0, None, b''),
        ('code 255', BEGIN + end(255), b'', True, 255, None, b''),
        ('refused', BEGIN + b'x\036c0ffee fail home /x: no such directory\n', b'x', True, None,
         'home /x: no such directory',
         b''),
        ('refused with nothing', BEGIN + b'\036c0ffee fail\n', b'', True, None, None, b''),
        ('cut in the payload', BEGIN + b'abc', b'abc', True, None, None, b''),
        ('cut in a mark', BEGIN + b'abc\036c0f', b'abc\036c0f', True, None, None, b''),
        ('cut in the begin', b'hm\036c0ffee beg', b'', False, None, None, b'hm\036c0ffee beg'),
        ('never begun', b'no such shell\n', b'', False, None, None, b'no such shell\n'),
        ('a code that is none', BEGIN + b'\036c0ffee end -1\n', b'', True, None, None, b''),
        ('nothing', b'', b'', False, None, None, b''),
    )

    def test_the_same_is_read_in_one_piece_and_byte_by_byte(self):
        for name, stdout, payload, started, code, _failure, noise in self.CASES:
            for chunk in (1, 2, 7, 1 << 20):
                with self.subTest(name, chunk=chunk):
                    taken = read(stdout, chunk=chunk)
                    self.assertEqual(taken.payload['stdout'], payload)
                    self.assertEqual((taken.frame.started, taken.frame.code), (started, code))
                    self.assertEqual(taken.frame.shell_output, noise)

    def test_a_fail_line_tells_the_reason_and_no_code(self):
        for name, stdout, _payload, _started, code, failure, _noise in self.CASES:
            with self.subTest(name):
                frame = read(stdout).frame
                self.assertEqual(frame.failure is not None,
                                 bool(failure) or name == 'refused with nothing')
                self.assertEqual(frame.failure if failure else None, failure)
                self.assertFalse(frame.failure is not None and code is not None)

    def test_R_7_and_S_14_a_frame_of_another_call_is_output(self):
        stdout = BEGIN + b'a\n\036dead begin\n\036dead end 0\nb\n' + end(4)
        for chunk in (1, 1 << 20):
            with self.subTest(chunk=chunk):
                taken = read(stdout, chunk=chunk)
                self.assertEqual(taken.frame.code, 4)
                self.assertEqual(taken.payload['stdout'], b'a\n\036dead begin\n\036dead end 0\nb\n')

    def test_output_is_handed_on_at_once_but_for_what_may_be_a_frame(self):
        taken = Taken()
        for data, so_far in ((BEGIN, b''), (b'no newline', b'no newline'),
                             (b'\036c0', b'no newline'),
                             (b'x', b'no newline\036c0x')):
            taken.frame.feed('stdout', data)
            self.assertEqual(taken.payload['stdout'], so_far)

    def test_no_end_is_taken_before_its_newline(self):
        for tail in (b'\036c0ffee end 0', b'\036c0ffee end '):
            with self.subTest(tail=tail):
                frame = read(BEGIN + b'x' + tail).frame
                self.assertEqual((frame.started, frame.code), (True, None))

    def test_the_streams_have_their_own_frames(self):
        taken = read(BEGIN + b'out' + end(), b'motd\n' + BEGIN + b'err' + end())
        self.assertEqual(taken.payload, {'stdout': b'out', 'stderr': b'err'})
        self.assertEqual(taken.frame.last_words, b'motd\n')

    def test_noise_is_kept_up_to_a_limit(self):
        for chunk in (1000, 1 << 20):
            with self.subTest(chunk=chunk):
                taken = read(b'y' * 100000 + BEGIN + b'x' + end(), chunk=chunk)
                self.assertEqual(taken.payload['stdout'], b'x')
                self.assertEqual(len(taken.frame.shell_output), host_limits.NOISE)
                self.assertTrue(taken.frame.is_output_cut)

    def test_an_end_line_that_never_ends_is_not_collected_for_ever(self):
        taken = Taken()
        taken.frame.feed('stdout', BEGIN + b'\036c0ffee end ')
        for _ in range(64):
            taken.frame.feed('stdout', b'1' * 65536)
        held = sum(len(reader._buffer) for reader in taken.frame._streams.values())
        self.assertLess(held, 1 << 20)

    def test_an_end_line_with_a_monstrous_code_is_no_bug(self):
        frame = read(BEGIN + b'\036c0ffee end ' + b'9' * 6000 + b'\n').frame
        self.assertTrue(frame.code is None or frame.code < 1 << 31)


class LastWords(unittest.TestCase):
    """ssh's own messages at the end of a truncated standard error are not the command's."""

    def test_they_are_kept_apart_when_the_connection_breaks(self):
        for words in LAST_WORDS:
            for before in (b'', b'warning\n'):
                with self.subTest(words=words, before=before):
                    taken = Taken()
                    for data in (BEGIN + before, words):
                        taken.frame.feed('stderr', data)
                    taken.frame.finish()
                    self.assertEqual((taken.payload['stderr'], taken.frame.last_words),
                                     (before, words))

    def test_they_are_kept_apart_when_they_come_in_one_piece_with_the_output(self):
        taken = read(stderr=BEGIN + b'warning\n' + LAST_WORDS[0])
        self.assertEqual((taken.payload['stderr'], taken.frame.last_words),
                         (b'warning\n', LAST_WORDS[0]))

    def test_they_are_kept_apart_behind_much_output_in_the_same_piece(self):
        lines = b'warning\n' * 1000
        taken = read(stderr=BEGIN + lines + LAST_WORDS[0])
        self.assertEqual((taken.payload['stderr'], taken.frame.last_words), (lines, LAST_WORDS[0]))

    def test_a_command_that_says_the_same_and_goes_on_is_believed(self):
        for rest in (b'more\n' + end(), end()):
            with self.subTest(rest=rest):
                taken = Taken()
                for data in (BEGIN, LAST_WORDS[0], rest):
                    taken.frame.feed('stderr', data)
                taken.frame.finish()
                self.assertTrue(taken.payload['stderr'].startswith(LAST_WORDS[0]))
                self.assertEqual(taken.frame.last_words, b'')

    def test_the_rest_of_a_line_is_not_taken_for_a_line_of_sshs(self):
        taken = Taken()
        for data in (BEGIN + b'run by ', b'ssh: it works\n'):
            taken.frame.feed('stderr', data)
        taken.frame.finish()
        self.assertEqual((taken.payload['stderr'], taken.frame.last_words),
                         (b'run by ssh: it works\n', b''))


if __name__ == '__main__':
    unittest.main()
