"""output_limit: the command of a host that prints without end is ended, and the output of all
others is shown.
"""

import json
import os
import unittest

from lwt.output import host_output
from lwt.workspace import config
from lwt.workspace.hostlist import Host
from tests.support import ProgramTestCase, marked, wait_for

LIMIT = 1 << 20
REASON = 'more than 1 MB of output'
COMMAND = '''case %h in
  evil) exec yes ;;
  errors) exec yes >&2 ;;
  line) yes | tr -d "\\n" ;;
  both) yes & exec yes >&2 ;;
  *) echo fine; sleep 1; echo end ;;
esac'''
ENDLESS = ('evil', 'errors', 'line', 'both')


class Endless(ProgramTestCase):
    """Hosts that print without end together with honest ones, in each style."""

    def setUp(self):
        super().setUp()
        self.use_fake_ssh()

    def exec(self, evil, *words):
        """Run it on h1, an endless host and h2; its output must be limited."""
        done = self.lwt('exec', '--grace', '1', '--output-limit', '1M', '-w', 'h1,%s,h2' % evil,
                        '--subst', *words, '--', COMMAND)
        self.assertEqual(done.code, 1, done.err[-1000:])
        self.assertLess(len(done.out) + len(done.err), 8 * LIMIT)
        self.assertTrue(wait_for(lambda: 'yes' not in marked(self.mark).values()))
        return done

    def assert_told(self, done, evil):
        self.assertIn('lwt: %s: %s\n' % (evil, REASON), done.err)
        self.assertNotIn('hosts failed', done.err)     # one failure is not repeated in the summary

    def test_SR_8_gathered(self):
        """SR-8: -b shows the output of the honest hosts, and that of the endless one up to the
        limit.
        """
        for evil in ENDLESS:
            with self.subTest(evil=evil):
                done = self.exec(evil, '-b')
                self.assert_told(done, evil)
                rule = '-' * 15 + '\n'
                self.assertIn(rule + 'h[1-2] (2)\n' + rule + 'fine\nend\n', done.out)
                printed = done.out.partition('%s: %s\n%s' % (evil, REASON, rule))[2]
                self.assertIn(len(printed), (LIMIT, LIMIT + 1, LIMIT + 2))

    def test_SR_8_differences(self):
        """SR-8: --diff compares the honest hosts only."""
        done = self.exec('evil', '--diff')
        self.assert_told(done, 'evil')
        self.assertIn('evil: ' + REASON, done.out)
        self.assertNotIn('+++ evil', done.out)

    def test_SR_8_in_order(self):
        """SR-8: -k shows the other hosts, in order."""
        for evil in ENDLESS:
            with self.subTest(evil=evil):
                done = self.exec(evil, '-k')
                self.assert_told(done, evil)
                honest = [line for line in done.out.splitlines() if line.startswith('h')]
                self.assertEqual(honest, ['h1: fine', 'h1: end', 'h2: fine', 'h2: end'])

    def test_SR_8_json(self):
        """SR-8: --json has class, code and reason, and the output up to the limit."""
        for evil in ENDLESS:
            with self.subTest(evil=evil):
                done = self.exec(evil, '--json')
                found = {entry['host']: entry for entry in map(json.loads, done.out.splitlines())}
                self.assertEqual((found['h1']['stdout'], found['h2']['stdout']),
                                 ('fine\nend\n',) * 2)
                entry = found[evil]
                self.assertEqual((entry['class'], entry['code'], entry['reason']),
                                 ('failed', 1, REASON))
                self.assertEqual(len(entry['stdout']) + len(entry['stderr']), LIMIT)

    def test_SR_8_files(self):
        """SR-8: --outdir and --errdir have bounded files."""
        for evil in ENDLESS:
            with self.subTest(evil=evil):
                self.assert_told(self.exec(evil, '--outdir', 'out', '--errdir', 'err'), evil)
                sizes = [os.path.getsize(self.path(folder, evil)) for folder in ('out', 'err')]
                self.assertEqual(sum(sizes), LIMIT)
                self.assertEqual(self.read('out', 'h2'), 'fine\nend\n')

    def test_SR_8_a_live_line_that_never_ends(self):
        """SR-8: a line is kept until it is complete; beyond the limit the command is ended."""
        done = self.exec('line')
        self.assert_told(done, 'line')
        lines = sorted(sorted(done.out.split('\n')), key=len)
        self.assertEqual(lines[:-1], ['', 'h1: end', 'h2: end', 'h1: fine', 'h2: fine'])
        self.assertEqual(len(lines[-1]), len('line: ') + LIMIT)

    def test_SR_8_whole_lines_pass_and_0_means_no_limit(self):
        """SR-8: output that is shown at once is not counted; 0 means no limit."""
        for words in (('--output-limit', '1M'), ('-b', '--output-limit', '0'), ('-b',)):
            with self.subTest(words=words):
                done = self.lwt('exec', '-w', 'h1,h2', *words, '--', 'seq 400000')
                self.assertEqual((done.code, done.err), (0, ''))
                self.assertIn('400000\n', done.out)

    def test_SR_8_the_option_is_read_from_everywhere(self):
        """SR-8: lwt.conf, LWT_OUTPUT_LIMIT, --set and --output-limit."""
        self.make_workspace([('h1', 'c', '~')], output_limit='4K')
        for words, env, said in (
                ((), {}, '4 kB'), ((), {'LWT_OUTPUT_LIMIT': '8K'}, '8 kB'),
                (('--set', 'output_limit=12'), {}, '12 kB'),
                (('--output-limit', '1.5M'), {'LWT_OUTPUT_LIMIT': '8K'}, '1536 kB')):
            with self.subTest(said=said):
                done = self.lwt('exec', '-a', '-b', *words, '--', 'exec yes',
                                env=dict(self.env, **env))
                self.assertEqual((done.code, done.err),
                                 (1, 'lwt: h1: more than %s of output\n' % said))


class _Style:
    """A style that keeps the output that it gets."""

    says_failures = True

    def __init__(self):
        self.taken = []

    def begin(self, out):
        """Nothing to do."""

    def end(self):
        """Nothing to do."""

    def taker(self, _host):
        return lambda stream, data: self.taken.append((stream, data))

    def kept(self, _host, printed):
        return printed


class Limited(unittest.TestCase):
    """The exact limit."""

    def test_SR_8_exactly_the_limit_is_allowed(self):
        """SR-8: the limit counts both streams together, and is exact to the byte."""
        style = _Style()
        take = host_output.Limited(style, 8).taker(Host('h1'))
        self.assertFalse(take('stdout', b'12345'))
        self.assertFalse(take('stderr', b'678'))
        self.assertTrue(take('stdout', b'9'))
        self.assertTrue(take('stdout', b'0'))
        self.assertEqual(style.taken, [('stdout', b'12345'), ('stderr', b'678')])

    def test_SR_8_a_size_is_told_as_it_was_given(self):
        """SR-8: 1G is 1 GB."""
        for text, said in (('1G', '1 GB'), ('500M', '500 MB'), ('2g', '2 GB'), ('3T', '3 TB'),
                           ('1000', '1000 kB'), ('1024', '1 MB'), ('1.5G', '1536 MB')):
            self.assertEqual(config.size_text(config.size(text)), said)
        self.assertEqual(config.load(None, {}, ()).output_limit, 1 << 20)


if __name__ == '__main__':
    unittest.main()
