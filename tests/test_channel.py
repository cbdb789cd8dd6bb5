"""A channel: one script that answers request after request, on this machine and when the network is
cut off.
"""

import contextlib
import os
import signal
import subprocess
import unittest

from lwt import ssh
from lwt.flow import Sleep
from lwt.remote import call, scripts
from lwt.remote.channel import Channel
from lwt.workspace import config
from lwt.workspace.hostlist import Host
from tests.support import MARK, marked, wait_for
from tests.test_connections import EngineTestCase

LOCAL = Host('localhost', 'local', '~')


class Talks(EngineTestCase):
    """Channels to sh/control.sh."""

    def setUp(self):
        super().setUp()
        env = dict(os.environ, HOME=self.scratch, **{MARK: self.mark})
        transport = ssh.Transport('/usr/bin/ssh', '/usr/bin/scp', login_dir=self.scratch)
        self.session = call.Session(config.load(None, {}, ()), transport)
        old = {name: os.environ.get(name) for name in ('HOME', MARK)}
        self.addCleanup(lambda: os.environ.update(
            {name: value for name, value in old.items() if value is not None})
                        or [os.environ.pop(name) for name, value in old.items() if value is None])
        os.environ.update({'HOME': self.scratch, MARK: env[MARK]})

    def ask(self, talk, request=b'', wait=0):
        """Flow: return (kind of the verdict, whether it ran, lines) of one request."""
        words = self.scratch, 'aa' * 16, '5', '1', str(wait), '0', '0', '-', '-', '-'
        said = bytearray()
        verdict = yield from talk.ask(words, request + b'end\n', lambda stream, data: said.extend(
            data if stream == 'stdout' else b''), 10)
        return verdict.kind, verdict.ran, said.decode().splitlines()

    def scripts(self):
        return [pid for pid, words in marked(self.mark).items() if words.startswith('/bin/sh -c')]

    def test_one_script_answers_all_and_holds_a_slot_only_if_it_is_to(self):
        for holds_slot, fanout, most in ((False, 1, 3), (True, 3, 3), (True, 1, 1)):
            with self.subTest(holds_slot=holds_slot, fanout=fanout):
                talking, counts = [], []

                def flow():
                    with Channel(self.session, LOCAL, 'control', holds_slot) as talk:
                        for number in range(3):
                            kind, _ran, lines = yield from self.ask(talk)
                            self.assertEqual((kind, len(lines), lines[0].split()[2]),
                                             ('ok', 1, 'a' * 32))
                            if not number:
                                first = self.scripts()
                                talking.append(1)
                            counts.append(len(talking))
                            yield Sleep(0.5)
                        self.assertTrue(set(first) & set(self.scripts()), 'it is the same script')
                        talking.pop()
                    return 'done'

                self.assertEqual(self.run_flows([flow() for _ in range(3)], fanout), ['done'] * 3)
                self.assertEqual(max(counts), most)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))
        self.assertEqual(os.listdir(os.path.join(self.scratch, '.lwt', 't')), [])

    def test_it_begins_anew_after_a_death_and_is_lost_if_that_comes_in_the_middle(self):
        fate = os.path.join(self.scratch, '.lwt', 't', 'aa.1', 'fate')

        def kill():
            for pid in self.scripts():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        def killer():
            while not os.path.exists(fate):
                yield Sleep(0.1)
            yield Sleep(0.5)
            kill()

        def flow():
            with Channel(self.session, LOCAL, 'control', False) as talk:
                found = [(yield from self.ask(talk))[:2]]
                kill()
                yield Sleep(0.5)
                found.append((yield from self.ask(talk))[:2])
                os.makedirs(os.path.dirname(fate))
                with open(fate, 'w') as file:
                    # A request is in progress, and nothing will report its end.
                    file.write('run 1 1 1 1\n')
                found.append((yield from self.ask(talk, b'poll aa.1 - - /\n', 60))[:2])
                return found

        reports = self.run_flows([flow(), killer()])
        self.assertIn([('ok', 'yes'), ('ok', 'yes'), ('lost', 'maybe')], reports)
        self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))

    def test_N_6_a_script_that_hears_nothing_for_the_lease_is_gone_whatever_it_waits_for(self):
        text = scripts.script_text(*scripts.SHORT_SCRIPTS['control'])
        frame = scripts.Framed('f00d' * 8, lambda _stream, _data: None)
        words = '~', 'aa' * 16, '5', '1', '0', '0'
        # Idle after an answer; in the middle of a line; in the middle of a stream.
        for request in (b'', scripts.request(frame, words + ('0', '-', '-', '-')) + b'end\n',
                        scripts.request(frame, words + ('0', '-', '-', '-')) + b'poll aa',
                        scripts.request(frame, words + ('999', 'sha256 x', '-', '-')) + b'end\nx'):
            with self.subTest(request=request):
                script = os.fsdecode(scripts.with_arguments(text, ('1',)))
                popen = subprocess.Popen(('/bin/sh', '-c', script), stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                         start_new_session=True)
                popen.stdin.write(request)
                popen.stdin.flush()
                # The pipe to it stays open, as when the network is cut off and nothing notices.
                popen.stdout.read()
                popen.wait(30)
                popen.stdin.close()
                popen.stdout.close()
                self.assertTrue(wait_for(lambda: not marked(self.mark)), marked(self.mark))


if __name__ == '__main__':
    unittest.main()
