"""Run a command as an ordinary user, in a copy of this checkout, for root.

python3 .ci/as_user.py COMMAND ARG…

The user, the home and the copy exist only while the command runs.  The environment of the command
is PATH and HOME.  Exits with the exit code of the command, or with 1 where the user cannot be made,
or where a process of the user was left.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PREFIX = 'lwt-test-'            # followed by the number of this process
HOMES = '/var/tmp' if os.path.isdir('/var/tmp') else tempfile.gettempdir()
USUAL_PATH = ('/usr/local/bin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/sbin', '/sbin')
NOT_COPIED = ('.git', '__pycache__', '*.pyc', 'build', 'dist', '*.egg-info')
OLDEST_PYTHON = 'import sys; sys.exit(sys.version_info < (3, 6, 1))'
# Programs that make a user: of shadow-utils (Debian, Fedora), of Debian, of busybox.
MAKERS = (
    ('useradd', '--no-create-home', '--home-dir', '{home}', '--shell', '/bin/sh', '{name}'),
    ('adduser', '--quiet', '--disabled-password', '--gecos', '', '--no-create-home',
     '--home', '{home}', '--shell', '/bin/sh', '{name}'),
    ('adduser', '-D', '-H', '-h', '{home}', '-s', '/bin/sh', '{name}'))
REMOVERS = ('userdel', 'deluser')


class Failed(Exception):
    """Something that cannot be done; the text says what."""


def on_path(name):
    return shutil.which(name, path=os.pathsep.join((os.environ.get('PATH', ''),) + USUAL_PATH))


def make_user(name, home):
    """Make a user with its own group; returns its entry of the password database."""
    said = []
    for program, *words in MAKERS:
        path = on_path(program)
        if path is None:
            continue
        done = subprocess.run([path] + [word.format(name=name, home=home) for word in words],
        stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode == 0:
            return pwd.getpwnam(name)
        said.append('%s: %s' % (program, done.stdout.decode('utf-8', 'replace').strip()))
    reasons = '; '.join(said) or 'neither useradd nor adduser is installed'
    raise Failed('an ordinary user cannot be made: ' + reasons)


def remove_user(name):
    """Remove a user, whose processes have been ended."""
    for program in filter(None, map(on_path, REMOVERS)):
        done = subprocess.run([program, name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            return
    print('the user %s could not be removed' % name, file=sys.stderr)


def remove_stale_users():
    """Remove the users, and the homes, of earlier runs that were killed."""
    for entry in pwd.getpwall():
        found = re.fullmatch(re.escape(PREFIX) + r'(\d+)', entry.pw_name)
        if found and not os.path.exists('/proc/' + found.group(1)):
            kill_all_of(entry.pw_uid)
            remove_user(entry.pw_name)
            if entry.pw_dir.startswith(HOMES + '/' + PREFIX):
                shutil.rmtree(entry.pw_dir, ignore_errors=True)


def processes_left(uid):
    """The processes of a user that are still there after a while: a `sleep` may outlive its shell.
    """
    for _look in range(150):
        found = processes_of(uid)
        if not found:
            break
        time.sleep(0.1)
    return found


def processes_of(uid):
    """{pid: command line} of the processes of a user, zombies left out."""
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if os.stat('/proc/' + pid).st_uid != uid:
                continue
            with open('/proc/%s/cmdline' % pid, 'rb') as file:
                words = file.read().replace(b'\0', b' ').decode('utf-8', 'replace').strip()
        except OSError:
            continue
        if words:
            found[int(pid)] = words
    return found


def kill_all_of(uid, seconds=10.0):
    """Kill the processes of a user until none is left."""
    until = time.monotonic() + seconds
    while processes_of(uid) and time.monotonic() < until:
        for pid in processes_of(uid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.1)


def copy_checkout(source, target, uid, gid):
    """Copy the checkout without what git and Python keep in it, and give it to the user."""
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
    for root, folders, files in os.walk(target):
        for name in [os.curdir] + folders + files:
            os.lchown(os.path.join(root, name), uid, gid)


def become(entry):
    """A function that makes a child the user, with no privilege of ours."""
    def function():
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    return function


def run_as(entry, argv, cwd, path):
    """Run a command as the user, in a session of its own; returns its exit code."""
    env = {'PATH': path, 'HOME': entry.pw_dir}
    popen = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                             preexec_fn=become(entry), start_new_session=True)
    try:
        return popen.wait()
    except BaseException:
        popen.terminate()               # the tests take down what they made
        try:
            popen.wait(60)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()
        raise


def usable_path(entry):
    """The directories of PATH, and the usual ones, that the user can use.

    A directory whose python3 the user cannot run, such as that of root's pyenv, is left out.
    """
    found = []
    for folder in os.environ.get('PATH', '').split(os.pathsep) + list(USUAL_PATH):
        if folder.startswith('/') and folder not in found and _is_usable(entry, folder):
            found.append(folder)
    path = os.pathsep.join(found)
    if shutil.which('python3', path=path) is None:
        raise Failed('no python3 that another user than root can run, in %s' % path)
    return path


def _is_usable(entry, folder):
    script = 'cd "$1" 2>/dev/null || exit 1; [ ! -e python3 ] || "$1/python3" -c "$2" 2>/dev/null'
    env = {'PATH': os.pathsep.join(USUAL_PATH), 'HOME': entry.pw_dir}
    done = subprocess.run(['/bin/sh', '-c', script, 'sh', folder, OLDEST_PYTHON], cwd='/', env=env,
                          stdin=subprocess.DEVNULL, preexec_fn=become(entry))
    return done.returncode == 0


def run(argv, source):
    """Make the user, run the command, and remove the user again; returns an exit code."""
    remove_stale_users()
    name = PREFIX + str(os.getpid())
    home = os.path.join(HOMES, name)
    entry = make_user(name, home)
    try:
        os.mkdir(home, 0o755)
        os.chown(home, entry.pw_uid, entry.pw_gid)
        checkout = os.path.join(home, 'checkout')
        copy_checkout(source, checkout, entry.pw_uid, entry.pw_gid)
        print('as the user %s: %s' % (name, ' '.join(argv)), flush=True)
        code = run_as(entry, argv, checkout, usable_path(entry))
        left = processes_left(entry.pw_uid)
        for pid, words in sorted(left.items()):
            print('left by the user %s: process %d: %s' % (name, pid, words))
        return 1 if left and code == 0 else code
    finally:
        kill_all_of(entry.pw_uid)
        shutil.rmtree(home, ignore_errors=True)
        remove_user(name)


def main(argv):
    """Run the command; returns an exit code."""
    if not argv:
        print(__doc__, file=sys.stderr)
        return 2
    if os.getuid() != 0:
        print('only root can run a command as another user', file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = run(argv, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code if code >= 0 else 128 - code


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
