"""cron: the line in the crontab, what it does in cron's minimal environment, real cron, and late
passes.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

from lwt import procfs
from lwt.commands import cron, crontab
from lwt.errors import UsageError
from tests import lab
from tests.support import ProgramTestCase, wait_for

FAKE_CRONTAB = '''\
#!/bin/sh
case $1 in
  -l) [ -f "$HOME/crontab" ] || { echo "no crontab for me" >&2; exit 1; }
      [ ! -f "$HOME/broken" ] || { echo "crontab: disk error" >&2; exit 1; }
      cat "$HOME/crontab" ;;
  -) cat >"$HOME/crontab"; [ ! -f "$HOME/grab" ] || echo "# another" >>"$HOME/crontab" ;;
  *) echo "usage" >&2; exit 64 ;;
esac
'''

# A private cron: a spool, a /run and a /etc/cron.d that no other process sees; $1 is their
# directory, $2 the command to run.
PRIVATE = '''\
mount --make-rprivate / && mkdir -p "$1/spool" "$1/run" "$1/etc" && : >"$1/empty" &&
mount --bind "$1/spool" /var/spool/cron/crontabs && mount --bind "$1/run" /run &&
mount --bind "$1/etc" /etc/cron.d &&
mount --bind "$1/empty" /etc/crontab && chmod 1730 /var/spool/cron/crontabs && shift && exec "$@"
'''


class Text(unittest.TestCase):
    """The generated text."""

    ROOT = "/my dir/50% it's"

    def test_how_often(self):
        for text, minutes, fields in (('1', 1, '* * * * *'), ('5', 5, '*/5 * * * *'),
                                      ('59m', 59, '*/59 * * * *'),
                                      ('60', 60, '0 * * * *'), ('2h', 120, '0 */2 * * *'),
                                      ('24h', 1440, '0 0 * * *')):
            self.assertEqual((crontab.every(text), crontab.schedule(minutes)), (minutes, fields),
                             text)
        for text in ('0', '61', '25h', '-5', '1.5', '', 'x', '5s'):
            with self.assertRaises(ValueError, msg=text):
                crontab.every(text)

    def line(self, minutes=5, variables=(('PATH', '/bin'),), words=('/py', 'a b')):
        return crontab.line(minutes, '/usr/bin/env', variables, words, self.ROOT)

    def test_a_line_is_read_by_cron_and_then_by_sh_as_it_was_meant(self):
        line = crontab.line(5, shutil.which('env'), [('PATH', '/usr/bin:/bin')], [
            sys.executable, '-c', 'import sys; print(sys.argv[1:])', "100% of 'it'", '$HOME', '%',
            '', 'a\\b'], self.ROOT)
        command = as_cron(line)
        self.assertNotIn('\n', command)
        done = subprocess.run(['/bin/sh', '-c', command], stdout=subprocess.PIPE, env={},
                              check=True)
        self.assertEqual(done.stdout.decode(),
                         repr(["100% of 'it'", '$HOME', '%', '', 'a\\b']) + '\n')

    def test_only_lines_of_the_workspace_are_touched(self):
        new, other = self.line(), crontab.line(5, '/env', (), ('x',), '/other')
        before = '# head\n\nMAILTO=me\n*/5 * * * * true\x0c\u2028x\n%s\n# %s\n' % (other, new)
        added = crontab.edited(before, self.ROOT, new)
        self.assertEqual(added, before + new + '\n')
        self.assertEqual(crontab.edited(added, self.ROOT, new), added)
        changed = crontab.edited(new + '\n' + added, self.ROOT, self.line(2))
        self.assertEqual(changed, self.line(2) + '\n' + before)
        self.assertEqual(crontab.edited(changed, self.ROOT), before)
        self.assertEqual(crontab.edited('', self.ROOT), '')
        self.assertEqual(crontab.edited('no newline', self.ROOT, new), 'no newline\n' + new + '\n')
        self.assertEqual(crontab.minutes_of(self.line(2)), 2)
        self.assertEqual(crontab.minutes_of(self.line(2).replace('*/2', '3')), None)

    def test_SR_23_marks_are_compared_whole(self):
        """SR-23: the path of a workspace may end like the mark of another one, or contain it."""
        roots = ['/b', '/a' + crontab.MARK + '/b', '/c/b', "/it's" + crontab.MARK + '/b',
                 '/100%' + crontab.MARK + '/b', '/"' + crontab.MARK + '/b', '/b ',
                 '/b' + crontab.MARK,
                 '/a' + crontab.MARK]
        lines = [crontab.line(5, '/usr/bin/env', [('PATH', '/bin')], ['lwt', '-C', root], root)
                 for root in roots]
        table = ''.join(line + '\n' for line in lines)
        for root, line in zip(roots, lines):
            with self.subTest(root=root):
                self.assertEqual(crontab.ours(table, root), [line])
                left = crontab.edited(table, root).splitlines()
                self.assertEqual(left, [other for other in lines if other != line])

    def test_what_cron_cannot_take_is_refused(self):
        with self.assertRaises(UsageError):
            self.line(words=('a\nb',))
        with self.assertRaises(UsageError) as caught:
            self.line(variables=[('PATH', '/x' * 500)])
        self.assertIn('shorter', caught.exception.hint)

    def test_units_are_what_systemd_reads(self):
        program = shutil.which('systemd-analyze')
        if program is None:
            self.skipTest('systemd-analyze is not installed')
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, 'lwt-1.' + kind) for kind in ('service', 'timer')]
            for path, text in zip(paths, crontab.units(5, [('PATH', '/bin:/50% $X "y" \\z')],
                                                       ['/bin/sh', '-c', 'a $b'], '/w%s')):
                with open(path, 'w') as file:
                    file.write(text)
                os.chmod(path, 0o644)           # systemd warns about files that everybody can write
            done = subprocess.run([program, 'verify', '--man=no'] + paths, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
            complaints = [line for line in done.stdout.decode().splitlines() if 'lwt-1' in line]
            self.assertEqual((done.returncode, complaints), (0, []), done.stdout.decode())


def as_cron(line):
    """Return what cron passes to sh for a line: the command, with escaped percent signs as such and
    others as newlines.
    """
    command = line.split(' ', 5)[5]
    return re.sub(r'(?<!\\)%', '\n', command).replace('\\%', '%')


class Installed(ProgramTestCase):
    """The command, with a crontab program that keeps its file in HOME."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')])
        self.write('bin/crontab', FAKE_CRONTAB, 0o755)
        self.env['PATH'] = self.path('bin') + os.pathsep + '/usr/bin:/bin'
        self.python = sys.executable

    def crontab(self):
        return self.read('home', 'crontab') if os.path.exists(self.path('home', 'crontab')) else ''

    def tick(self, **options):
        """Run the installed line as cron does; return (code, out, err)."""
        lines = [line for line in self.crontab().splitlines() if '# lwt cron' in line]
        self.assertEqual(len(lines), 1)
        bare = dict({'HOME': self.home, 'LOGNAME': 'me', 'SHELL': '/bin/sh',
                     'PATH': '/usr/bin:/bin'}, **options)
        done = subprocess.run(['/bin/sh', '-c', as_cron(lines[0])], cwd=self.home,
                              stdin=subprocess.DEVNULL, env=bare,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_it_is_installed_once_changed_shown_and_removed(self):
        self.write('home/crontab', '# mine\nMAILTO=me\n')
        for words in ((), (), ('--every', '2')):
            done = self.lwt('cron', 'install', *words)
            self.assertEqual(done.code, 0, done)
            self.assertIn('lwt: installed: a pass every ', done.err)
        lines = self.crontab().splitlines()
        self.assertEqual(lines[:2], ['# mine', 'MAILTO=me'])
        self.assertEqual(len(lines), 3)
        done = self.lwt('cron', 'show')
        self.assertEqual((done.code, done.out), (0, lines[2] + '\n'))
        self.assertTrue(lines[2].startswith('*/2 * * * * /usr/bin/env PATH='), lines[2])
        for said in ('lwt: removed: the crontab line of %s\n' % os.path.realpath(self.scratch),
                     'lwt: nothing to remove for %s\n' % os.path.realpath(self.scratch)):
            done = self.lwt('cron', 'remove')
            self.assertEqual((done.code, done.err), (0, said), done)
        self.assertEqual(self.crontab(), '# mine\nMAILTO=me\n')
        self.assert_refused(self.lwt('cron', 'show'), 1, 'nothing is installed')

    def test_two_workspaces_have_a_line_each(self):
        self.lwt('init', 'two words')
        self.assertEqual(self.lwt('cron', 'install').code, 0)
        self.assertEqual(self.lwt('-C', 'two words', 'cron', 'install').code, 0)
        self.assertEqual(len(self.crontab().splitlines()), 2)
        self.lwt('cron', 'remove')
        self.assertIn('two words', self.crontab())

    def test_the_line_does_its_work_in_the_bare_environment_and_is_silent(self):
        self.env['LWT_KEEP'] = '3'
        self.assertEqual(self.lwt('cron', 'install').code, 0)
        self.assertIn(' LWT_KEEP=3 ', self.crontab())
        self.lwt('task', 'add', 'sample')
        for _tick in range(60):
            self.assertEqual(self.tick(), (0, '', ''))
            if self.results():
                break
            time.sleep(0.5)
        self.assertIn('1 success', self.lwt('task', 'show').err)
        log = self.read('.lwt', 'cron.log')
        self.assertIn('pass begins', log)
        self.assertIn('host=localhost task=000001 attempt=1 success on localhost', log)
        self.assertIn('the last pass was', self.lwt('cron', 'show').err)
        os.utime(self.path('.lwt', 'cron.log'), (1000000000, 1000000000))
        self.assertIn('is cron running?', self.lwt('cron', 'show').err)

    def test_a_copied_zipapp_is_what_the_line_runs(self):
        code = ("import sys; from lwt.commands import zipapp; open('lwt.pyz', "
                "'wb').write(zipapp.build())")
        subprocess.run([sys.executable, '-c', code], cwd=self.scratch, env=self.env, check=True)
        env = dict(self.env)
        del env['PYTHONPATH']
        subprocess.run([sys.executable, 'lwt.pyz', 'cron', 'install'], cwd=self.scratch, env=env,
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertIn(self.path('lwt.pyz'), self.crontab())
        self.assertEqual(self.tick(), (0, '', ''))

    def test_what_needs_a_person_is_said(self):
        self.lwt('cron', 'install')
        self.describe('elsewhere', 'exec : true\nhosts : nosuch\n')
        self.lwt('task', 'add', 'elsewhere')
        code, out, err = self.tick()
        self.assertEqual((code, out), (0, ''))
        self.assertIn('000001 elsewhere: no available host matches', err)

    def test_wrong_words_and_a_crontab_that_cannot_be_used(self):
        self.assert_refused(self.lwt('cron'), 2, 'expected one word', 'install remove show')
        self.assert_refused(self.lwt('cron', 'instal'), 2, 'unknown verb instal')
        self.assert_refused(self.lwt('cron', 'install', '--every', '7d'), 2, '--every', "'7d'")
        self.write('home/crontab', '# mine\n')
        self.write('home/broken', '')
        self.assert_refused(self.lwt('cron', 'install'), 74, 'crontab -l: crontab: disk error')
        os.unlink(self.path('home', 'broken'))
        self.write('home/grab', '')
        self.assert_refused(self.lwt('cron', 'install'), 74, 'differs from what was written')
        os.unlink(self.path('bin', 'crontab'))
        self.env['PATH'] = self.path('bin')
        self.write('bin/env', '', 0o755)
        self.assert_refused(self.lwt('cron', 'install'), 2, 'crontab is not installed', '--systemd')

    def test_the_interval_and_a_missing_daemon_are_said(self):
        for every, said in ((None, '5 minutes'), ('1', 'minute'), ('1h', 'hour'),
                            ('6h', '6 hours')):
            with self.subTest(every=every):
                done = self.lwt('cron', 'install', *(['--every', every] if every else []))
                self.assertEqual(done.err.splitlines()[0], 'lwt: installed: a pass every %s; '
                                 'remove with: lwt cron remove' % said)
        self.assertEqual(self.lwt('-q', 'cron', 'install').err, '')
        for names, is_missing in (({1: 'systemd', 7: 'sshd'}, True),
                                  ({1: 'init', 9: 'crond'}, False),
                                  ({1: 'cron'}, False), ({400: 'sh'}, False), ({}, False)):
            with self.subTest(names=names):
                self.assertEqual(cron.is_daemon_missing(names), is_missing)
        self.assertEqual('no cron daemon is running' in done.err,
                         cron.is_daemon_missing(procfs.names()), done)

    def test_the_units_of_systemd_are_written_shown_and_removed(self):
        shown = self.lwt('cron', 'show', '--systemd', '--every', '10')
        self.assertIn('OnUnitActiveSec=10min', shown.out)
        self.write('bin/systemctl', '#!/bin/sh\necho "$*" >>"$HOME/systemctl"\n', 0o755)
        done = self.lwt('cron', 'install', '--systemd', '--every', '10')
        self.assertEqual(done.code, 0, done)
        timer = done.out.splitlines()[1]
        self.assertEqual(self.read('home', 'systemctl'),
                         '--user daemon-reload\n--user enable --now %s\n' % os.path.basename(timer))
        with open(timer) as file:
            self.assertIn(file.read(), shown.out)
        self.assertIn(timer, self.lwt('cron', 'show').out)
        done = self.lwt('cron', 'remove')
        self.assertEqual((done.code, done.err.count('lwt: removed: ')), (0, 2), done)
        self.assertEqual(os.listdir(os.path.dirname(timer)), [])
        self.write('bin/systemctl', '#!/bin/sh\necho no bus >&2\nexit 1\n', 0o755)
        self.assert_refused(self.lwt('cron', 'install', '--systemd'), 1, 'not enabled: no bus',
                            'hint: systemctl --user')


class Overlapping(ProgramTestCase):
    """Passes at the same time, and a late pass."""

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')])

    def holder(self):
        """Start a pass, and stop it during its visit to the host."""
        self.lwt('task', 'add', 'sample', 'sample', 'sample')
        popen = self.start('task', 'update')
        self.assertTrue(wait_for(lambda: os.path.exists(self.path('.lwt', 'lock', 'host.localhost'))
                                 and self.read('.lwt', 'lock',
                                               'host.localhost').strip() == str(popen.pid)))
        popen.send_signal(signal.SIGSTOP)
        self.assertTrue(wait_for(lambda: procfs.processes()[popen.pid].state == b'T'))
        return popen

    def test_Y_3_ticks_while_a_pass_is_under_way_end_at_once_and_say_nothing(self):
        popen = self.holder()
        popen.send_signal(signal.SIGCONT)
        ticks = [self.start('task', 'update', '--cron') for _ in range(8)]
        for tick in ticks:
            out, err = tick.communicate(timeout=60)
            self.assertEqual((tick.returncode, out, err), (0, b'', b''))
        popen.communicate(timeout=60)
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(len(self.results()), 3)

    def test_Y_4_a_pass_that_is_stopped_or_too_long_at_a_host_is_told_of(self):
        popen = self.holder()
        said = 'lwt: localhost: a pass (process %d) has been visiting it for ' % popen.pid
        done = self.lwt('task', 'update', '--cron')
        self.assertEqual(done.code, 0, done)
        self.assertIn(said, done.err)
        self.assertIn(', and is stopped\n', done.err)
        lock = self.path('.lwt', 'lock', 'host.localhost')
        os.utime(lock, (time.time() - 7800, time.time() - 7800))
        self.assertIn(said + '2 h 10 min', self.lwt('task', 'update', '--cron').err)
        popen.send_signal(signal.SIGCONT)
        popen.communicate(timeout=60)
        self.assertEqual(self.lwt('task', 'run').code, 0)


class RealCron(ProgramTestCase):
    """The crontab program and the cron daemon of this system, with a private spool."""

    slow = True

    def setUp(self):
        super().setUp()
        missing = [name for name in ('cron', 'crontab', 'unshare')
                   if shutil.which(name, path='/usr/sbin:/usr/bin:/bin') is None]
        if missing:
            self.skipTest('not installed: ' + ' '.join(missing))
        if lab.why_not_unshare():
            self.skipTest('a cron of its own: ' + lab.why_not_unshare())
        if not os.path.isdir('/var/spool/cron/crontabs'):
            self.skipTest('this cron keeps its tables elsewhere')
        self.make_workspace([('localhost', 'local', self.home)])

    def private(self, *words):
        """Return the argv of a command that sees a private cron."""
        return (['unshare', '--mount', 'sh', '-c', PRIVATE, 'private', self.path('cron')]
                + list(words))

    def run_private(self, *words):
        done = subprocess.run(self.private(*words), cwd=self.scratch, env=self.env,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_cron_itself_makes_the_passes(self):
        before = '# mine\n5 5 5 5 * true\n'
        self.write('before', before)
        self.assertEqual(self.run_private('crontab', 'before'), (0, '', ''))
        lwt = (sys.executable, '-m', 'lwt', 'cron')
        for _again in range(2):
            code, _out, err = self.run_private(*lwt, 'install', '--every', '1')
            self.assertEqual(code, 0, err)
            self.assertIn('lwt: installed: a pass every minute;', err)
        shown = self.run_private(*lwt, 'show')[1]
        self.assertIn('* * * * * ', shown)
        self.assertEqual(self.run_private('crontab', '-l'), (0, before + shown, ''))
        self.lwt('task', 'add', 'sample')
        daemon = subprocess.Popen(self.private('/usr/sbin/cron', '-f'),
                                  env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin'},
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.assertTrue(wait_for(lambda: os.path.exists(self.path('.lwt', 'cron.log')), 300),
                            'no pass in five minutes')
            self.assertTrue(wait_for(lambda: 'pass ends' in self.read('.lwt', 'cron.log')))
        finally:
            daemon.kill()
            daemon.wait()
        self.assertIn('task=000001 attempt=1 launching on localhost', self.read('.lwt', 'cron.log'))
        self.assertEqual(self.lwt('task', 'run').code, 0)
        self.assertEqual(self.run_private(*lwt, 'remove')[0], 0)
        self.assertEqual(self.run_private('crontab', '-l'), (0, before, ''))


if __name__ == '__main__':
    unittest.main()
