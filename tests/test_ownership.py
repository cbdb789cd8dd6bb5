"""Workspaces and files that another user controls are refused before they are read."""

import grp
import os
import pwd
import subprocess
import unittest

from tests.support import ProgramTestCase

STRANGER = 54321  # a user who does not exist: it owns files, and runs nothing
COMMANDS = (
    ('multi',),
    ('exec', '-w', 'h1', '--', 'true'),
    ('put', '-w', 'h1', '/etc/hostname', 'x'),
    ('get', '-w', 'h1', '/etc/hostname', 'x'),
    ('hosts', '-a'),
    ('reduce', '-w', 'h1'),
    ('probe',),
    ('monitor', '-a'),
    ('stat',),
    ('deploy', '-a'),
    ('report',),
    ('doctor',),
    ('cron', 'show'),
    ('task', 'show'),
    ('task', 'run'),
    ('task', 'add', 'sample'),
)


def needs_root(test):
    return unittest.skipIf(os.geteuid(), 'changes owners, which only root can')(test)


class Attacked(ProgramTestCase):
    """A workspace with a configuration that runs a command and writes a log."""

    def setUp(self):
        super().setUp()
        done = self.lwt('init', 'ws')
        self.assertEqual(done.code, 0, done)
        self.write('ws/ssh', 'Host *\n  ProxyCommand touch %s\n' % self.path('owned'))
        self.write(
            'ws/lwt.conf',
            '[lwt]\nssh_config = %s\nlog = %s\n' % (self.path('ws', 'ssh'), self.path('written')),
        )
        os.makedirs(self.path('ws', 'sub', 'deep'))

    def assert_no_effect(self):
        for name in ('owned', 'written'):
            self.assertFalse(os.path.exists(self.path(name)), name)

    def assert_unsafe(self, path, *words, cwd='ws', argv=('multi',), **env):
        done = self.lwt(*argv, cwd=self.path(cwd), env=dict(self.env, **env))
        self.assert_refused(done, 2, 'lwt: %s: unsafe' % path, *words)
        self.assert_no_effect()
        return done

    def assert_accepted(self, cwd='ws', **env):
        done = self.lwt(
            'multi', '--dry-run', cwd=self.path(cwd), env=dict(self.env, **env), stdin=b'true\n'
        )
        self.assertEqual((done.code, done.err), (0, ''), done)
        os.unlink(self.path('written'))


class ForeignOwner(Attacked):
    """Something belongs to another user."""

    @needs_root
    def test_SR_1_a_workspace_of_another_user_is_refused_by_every_command(self):
        """SR-1: another user makes lwt.conf, and the victim runs any command below it."""
        os.chown(self.path('ws', 'lwt.conf'), STRANGER, STRANGER)
        for argv in COMMANDS:
            for cwd, more in (('ws', ()), ('ws/sub/deep', ()), ('home', ('-C', self.path('ws')))):
                with self.subTest(argv=argv, cwd=cwd):
                    done = self.assert_unsafe(
                        self.path('ws', 'lwt.conf'),
                        'owned by %d, not by root (mode 0644)' % STRANGER,
                        'chown -h root ' + self.path('ws', 'lwt.conf'),
                        cwd=cwd,
                        argv=more + argv,
                    )
                    self.assertEqual(done.out, '')
        self.assert_unsafe(self.path('ws', 'lwt.conf'), cwd='home', LWT_WORKSPACE=self.path('ws'))

    @needs_root
    def test_SR_1_every_part_of_a_workspace_counts(self):
        """SR-1: lwt.conf belongs to the user, but another part of the workspace does not."""
        self.write('ws/host.list.available', '')
        self.write('ws/.lwt/state.db', '')
        self.write('ws/.lwt/lock/host.h1', '')
        os.mkdir(self.path('ws', '.lwt', 'tmp', 'h1'))
        for name in (
            'lwt.conf',
            'host.list',
            'host.list.available',
            '.lwt',
            '.lwt/state.db',
            '.lwt/lock',
            '.lwt/lock/host.h1',
            '.lwt/tmp',
            '.lwt/tmp/h1',
            'task',
            'task.finish',
            'description',
            '',
            'sub',
            'sub/deep',
        ):
            path = os.path.join(self.path('ws'), name).rstrip('/')
            with self.subTest(name=name):
                os.chown(path, STRANGER, STRANGER)
                self.assert_unsafe(path, 'owned by', cwd='ws/sub/deep')
                os.chown(path, 0, 0)
        self.assert_accepted('ws/sub/deep')

    @needs_root
    def test_SR_1_a_directory_above_the_workspace_whose_owner_could_rename_it_is_refused(self):
        """SR-1: the workspace belongs to the user, but is in a directory of another user."""
        os.mkdir(self.path('above'))
        os.rename(self.path('ws'), self.path('above', 'ws'))
        os.chown(self.path('above'), STRANGER, STRANGER)
        self.assert_unsafe(self.path('above'), cwd='above/ws')
        os.chmod(self.path('above'), 0o1777)  # sticky: its owner can still rename entries
        self.assert_unsafe(self.path('above'), cwd='above/ws')

    @needs_root
    def test_SR_1_symbolic_links_of_another_user_are_refused_and_so_is_what_they_lead_to(self):
        """SR-1: a part of the workspace is a link that another user made or could replace."""
        os.rename(self.path('ws', 'task'), self.path('elsewhere'))
        os.symlink(self.path('elsewhere'), self.path('ws', 'task'))
        self.assert_accepted()
        os.lchown(self.path('ws', 'task'), STRANGER, STRANGER)
        self.assert_unsafe(self.path('ws', 'task'), 'chown -h root')
        os.lchown(self.path('ws', 'task'), 0, 0)
        os.chown(self.path('elsewhere'), STRANGER, STRANGER)
        self.assert_unsafe(self.path('elsewhere'))
        os.chown(self.path('elsewhere'), 0, 0)
        os.symlink(self.path('ws'), self.path('way'))
        os.lchown(self.path('way'), STRANGER, STRANGER)
        self.assert_unsafe(self.path('way'), cwd='home', argv=('-C', self.path('way'), 'multi'))

    @needs_root
    def test_SR_1_sudo_uses_the_workspace_of_its_caller(self):
        """SR-1: root in the workspace of a user; SUDO_UID names the owner, or another user."""
        for root, dirs, names in os.walk(self.path('ws')):
            for name in dirs + names + ['']:
                os.chown(os.path.join(root, name), STRANGER, STRANGER)
        self.assert_unsafe(self.path('ws'))
        self.assert_unsafe(self.path('ws'), SUDO_UID=str(STRANGER + 1))
        self.assert_unsafe(self.path('ws'), SUDO_UID='x')
        self.assert_accepted(SUDO_UID=str(STRANGER))

    @needs_root
    def test_SR_1_commands_that_use_no_workspace_work_beside_a_foreign_one(self):
        """SR-1: a foreign lwt.conf above does not affect commands that do not read it."""
        os.chown(self.path('ws', 'lwt.conf'), STRANGER, STRANGER)
        for argv in (
            ('--version',),
            ('--help',),
            ('multi', '--help'),
            ('init', 'own'),
            ('init', self.path('other')),
        ):
            with self.subTest(argv=argv):
                self.assertEqual(self.lwt(*argv, cwd=self.path('ws', 'sub')).code, 0)
        self.assert_accepted_own()
        self.assert_no_effect()

    def assert_accepted_own(self):
        done = self.lwt('multi', cwd=self.path('ws', 'sub', 'own'), stdin=b'echo ran\n')
        self.assertEqual((done.code, done.out), (0, 'ran\n'), done)
        done = self.lwt('-C', self.path('other'), 'task', 'show', cwd=self.path('ws'))
        self.assertEqual(done.code, 0, done)

    @needs_root
    def test_SR_1_files_that_are_named_by_variables_and_flags_are_looked_at(self):
        """SR-1: LWT_SSH_CONFIG names a file that another user could write."""
        self.write('config', 'Host *\n  ProxyCommand touch %s\n' % self.path('owned'))
        done = self.lwt('multi', env=dict(self.env, LWT_SSH_CONFIG='/dev/null'), stdin=b'true\n')
        self.assertEqual((done.code, done.err), (0, ''), done)
        os.chown(self.path('config'), STRANGER, STRANGER)
        words = ('exec', '-w', 'h1', '--', 'true')
        self.assert_unsafe(
            self.path('config'), cwd='home', argv=words, LWT_SSH_CONFIG=self.path('config')
        )
        self.assert_unsafe(
            self.path('config'),
            cwd='home',
            argv=('--set', 'ssh_config=' + self.path('config')) + words,
        )

    @needs_root
    def test_SR_1_a_description_of_another_user_is_not_queued(self):
        """SR-1: only description/NAME or a file in it belongs to another user."""
        self.write('ws/description/sample/below/run.sh', 'true\n')
        for name in ('', 'desc', 'below', 'below/run.sh'):
            path = self.path('ws', 'description', 'sample', name).rstrip('/')
            os.chown(path, STRANGER, STRANGER)
            done = self.lwt('task', 'add', 'sample', cwd=self.path('ws'))
            self.assert_refused(done, 2, path, 'owned by')
            os.chown(path, 0, 0)

    @needs_root
    def test_SR_1_a_workspace_is_not_made_where_it_would_be_refused(self):
        """SR-1: init in a directory of another user."""
        os.mkdir(self.path('theirs'))
        os.chown(self.path('theirs'), STRANGER, STRANGER)
        for name in ('theirs', 'theirs/new'):
            self.assert_unsafe(self.path('theirs'), argv=('init', self.path(name)))
        self.assertEqual(os.listdir(self.path('theirs')), [])


class OthersCanWrite(Attacked):
    """Everything belongs to the user, but others can write to some of it."""

    def test_SR_1_what_everybody_can_write_is_refused(self):
        """SR-1: a part of the workspace, or a directory on the way to it, has mode 0777 or 0666."""
        for name, mode in (
            ('lwt.conf', 0o666),
            ('host.list', 0o602),
            ('.lwt', 0o777),
            ('task', 0o1777),
            ('description', 0o757),
            ('', 0o777),
            ('', 0o1777),
            ('sub', 0o777),
            ('task.finish', 0o777),
        ):
            path = os.path.join(self.path('ws'), name).rstrip('/')
            old = os.stat(path).st_mode & 0o7777
            with self.subTest(name=name):
                os.chmod(path, mode)
                self.assert_unsafe(
                    path,
                    'writable by everybody (mode %04o)' % mode,
                    'chmod %s %s' % ('+t' if name == 'task.finish' else 'go-w', path),
                    cwd='ws/sub/deep',
                )
                os.chmod(path, old)
        self.assert_accepted('ws/sub/deep')

    def test_SR_1_a_directory_above_is_fine_if_it_is_sticky(self):
        """SR-1: everybody could rename the workspace, unless the directory above is sticky."""
        os.chmod(self.scratch, 0o777)
        self.assert_unsafe(self.scratch, 'chmod +t')
        os.chmod(self.scratch, 0o1777)
        self.assert_accepted()

    @needs_root
    def test_SR_1_a_shared_group_is_refused(self):
        """SR-1: a group with others in it can write; umask 002 where all users have one group."""
        shared = next(group.gr_gid for group in grp.getgrall() if group.gr_gid)
        for path in (self.path('ws'), self.path('ws', 'lwt.conf'), self.path('ws', 'host.list')):
            os.chown(path, 0, shared)
            os.chmod(path, os.stat(path).st_mode | 0o020)
        done = self.assert_unsafe(
            self.path('ws'), 'writable by the group ' + grp.getgrgid(shared).gr_name
        )
        self.assertIn('chmod go-w %s %s' % (self.path('ws'), self.path('ws', 'lwt.conf')), done.err)

    def test_SR_1_a_private_group_may_write(self):
        """SR-1: umask 002 with private groups, the default of most distributions, continues to
        work.
        """
        user = pwd.getpwuid(os.geteuid())
        others = [
            one for one in pwd.getpwall() if one.pw_gid == user.pw_gid and one.pw_uid != user.pw_uid
        ]
        if (
            others
            or set(grp.getgrgid(user.pw_gid).gr_mem) - {user.pw_name}
            or os.getegid() != user.pw_gid
        ):
            self.skipTest('the group of this user is not private')
        for root, dirs, names in os.walk(self.path('ws')):
            for name in dirs + names + ['']:
                path = os.path.join(root, name)
                os.chmod(path, os.stat(path).st_mode | 0o020)
        self.assert_accepted('ws/sub/deep')

    def test_SR_1_an_access_control_list_is_no_private_group(self):
        """SR-1: the group's bits are the mask of a list that lets another user write."""
        path = self.path('ws', 'lwt.conf')
        try:
            subprocess.run(
                ['setfacl', '-m', 'u:%d:rw' % STRANGER, path], check=True, stderr=subprocess.DEVNULL
            )
        except (OSError, subprocess.CalledProcessError):
            self.skipTest('access control lists are not available here')
        self.assert_unsafe(path, 'writable by the group')


if __name__ == '__main__':
    unittest.main()
