"""Verdicts: how a command on a host ended.  Pure.

ssh exits with 255 when it fails, but so may a command.  The frame that every script prints shows
whether the command ran.  Without a frame, the messages of ssh decide (see ssh_messages).
"""

from typing import NamedTuple

from lwt.errors import printable, printable_text
from lwt.remote import ssh_messages

# The code in records of a host that could not be reached; the record also has the class.
UNREACHABLE = 255
# The code in records of a timeout, as in timeout(1).
TIMED_OUT = 124

# The reasons of failures before the login.  A host that refuses the login or has another host key
# is not unreachable.
BEFORE_LOGIN = {
    'auth': 'login refused (%s)',
    'hostkey': 'host key verification failed (%s)',
}
UNREACHABLE_TEXT = 'unreachable (%s)'

# Hints for failures that do not go away by themselves.  HOST is the name of the host, ADDRESS the
# name without the user.
HINTS = {
    'auth': 'run `ssh HOST`: it must log in without a prompt; your public key must be in '
            '~/.ssh/authorized_keys on the host',
    'hostkey': 'log in once with `ssh HOST` and check the host key; if it has changed for a known '
               'reason, remove the old key first with `ssh-keygen -R ADDRESS`',
}
# The hint for a host whose login shell said that it allows only sftp.
SFTP_ONLY_HINT = 'use --transport scp for an account that allows only sftp'


class Verdict(NamedTuple):
    """How a command on a host ended.

    kind: 'ok', or the class of the failure: refused, timeout, dns, hostkey, auth, lost, killed,
    failed.
    code: the exit code of the command, or 124 for a timeout, 255 for a host that was not reached.
    reason: text for users.
    ran: whether the command ran: 'no' (certainly not started), 'maybe' or 'yes'.
    is_dropped: sshd dropped the login because it was busy; see ssh_messages.LoginFailure.
    is_cut: lwt ended the command because it printed too much.
    is_over_budget: the host sent more than any script of lwt does; see host_limits.
    is_unverified: a copy was made, but no digest could be compared.
    """

    kind: str
    code: int
    reason: str = ''
    ran: str = 'yes'
    is_dropped: bool = False
    is_cut: bool = False
    is_over_budget: bool = False
    is_unverified: bool = False

    @property
    def ok(self):
        return self.kind == 'ok'


def hint(kind, host):
    """The hint for a class of failure of a host, or ''."""
    return HINTS.get(kind, '').replace('HOST', host).replace('ADDRESS', host.rpartition('@')[2])


def copy_hint(verdict):
    """The hint for a copy that failed because the account runs no commands, or ''."""
    runs_nothing = verdict.kind == 'refused' and 'sftp' in verdict.reason
    return SFTP_ONLY_HINT if runs_nothing else ''


def was_dropped(verdict):
    """Return True if sshd dropped the login because it was busy; another attempt may succeed."""
    return verdict.ran == 'no' and verdict.is_dropped


def judge(result, frame, is_first=True, is_shared=False):
    """Return the Verdict on a Result whose output went through frame (scripts.Framed).

    is_first: this was the first request over its login.  For a later one, the messages of ssh prove
    nothing.
    is_shared: another ssh kept the connection.  This ssh then prints nothing when the connection
    breaks.
    """
    if result.status == 'unspawnable':
        return Verdict('failed', 127, 'cannot run %s' % printable(_first_line(result.stderr), 200),
                       'no')
    if frame.code is not None:
        # It does not matter whether the connection broke after that.
        return _reported(result, frame)
    if frame.failure is not None:
        return Verdict('failed', 1, frame.failure, 'no')
    if frame.started or not is_first:
        return _cut_off(result, frame)
    return _not_started(result, frame, is_shared)


def ended_by_lwt(result, code):
    """The Verdict on a command that lwt itself ended after its begin, or None.

    code: the exit code that the host reported, or 0.
    """
    if result.status == 'timeout':
        return Verdict('timeout', TIMED_OUT, 'timed out after %g s' % result.command.timeout)
    if result.status == 'stalled':
        return Verdict('timeout', TIMED_OUT, 'stalled: no data for %g s' % result.command.stall)
    if result.status == 'cancelled':
        return Verdict('killed', code or 130, 'interrupted')
    return None


def _reported(result, frame):
    verdict = ended_by_lwt(result, frame.code)
    if verdict:
        return verdict
    if frame.cause:
        return _ended_there(result, frame.cause)
    if frame.code:
        return Verdict('failed', frame.code, 'exit code %d' % frame.code)
    return Verdict('ok', 0)


# The reasons for users, by the cause of scripts.CAUSES for which the guard on the host ended a
# command.
ENDED_THERE = {
    'lease': 'connection lost: no heartbeat reached the host within the lease, so the host killed '
             'the command',
    'closed': 'connection lost: the host killed the command when its standard input was closed',
    'limit': 'process limit reached on the host: no process to watch the command could be started',
}


def _ended_there(result, cause):
    """The Verdict on a command that its guard on the host ended.  cause: of scripts.CAUSES.

    The exit code comes from the signal, so it does not describe the command.
    """
    if cause == 'timeout':
        return Verdict('timeout', TIMED_OUT, 'timed out after %g s' % result.command.timeout)
    return Verdict('lost', UNREACHABLE, ENDED_THERE[cause])


def _cut_off(result, frame):
    verdict = ended_by_lwt(result, 0)
    if verdict:
        return verdict
    return _lost(frame.last_words if frame.started else frame.ssh_output)


def _lost(stderr):
    """The Verdict on a command that may or may not have run."""
    words = printable_text(ssh_messages.words(stderr.decode('utf-8', 'replace')))
    reason = 'connection lost%s' % (' (%s)' % words if words else '')
    return Verdict('lost', UNREACHABLE, reason, 'maybe')


def _not_started(result, frame, is_shared):
    if result.status == 'cancelled':
        return Verdict('killed', 130, 'interrupted', 'maybe')
    text = frame.ssh_output.decode('utf-8', 'replace')
    said = ssh_messages.shell_words(text) or _first_line(frame.shell_output)
    quoted = ': ' + printable_text(said) if said else ''
    if result.status in ('hello', 'timeout', 'stalled'):
        limit = {'hello': result.command.hello, 'timeout': result.command.timeout,
                 'stalled': result.command.stall}
        return Verdict('timeout', UNREACHABLE, 'unreachable (no answer in %g s%s)'
                       % (limit[result.status], quoted), 'maybe')
    if result.status != 'exited' or result.code == UNREACHABLE:
        is_proof = not is_shared or ssh_messages.has_fallen_back(text)
        failure = _before_login(result, frame, text) if is_proof else None
        return _lost(frame.ssh_output) if failure is None else _refused(failure)
    return Verdict('refused', UNREACHABLE, 'no answer from the login shell (exit code %d%s)'
                   % (result.code, quoted), 'maybe')


def _refused(failure):
    """The Verdict on a ssh_messages.LoginFailure."""
    text = BEFORE_LOGIN.get(failure.kind, UNREACHABLE_TEXT)
    return Verdict(failure.kind, UNREACHABLE, text % printable_text(failure.reason), 'no',
                   failure.is_dropped)


def _before_login(result, frame, text):
    """The ssh_messages.LoginFailure if it is certain that nothing ran, else None."""
    is_failure = result.status == 'exited' and result.code == UNREACHABLE
    is_whole = not frame.shell_output and not frame.is_output_cut
    return ssh_messages.failure_before_login(text) if is_failure and is_whole else None


def _first_line(data):
    lines = [line for line in data.decode('utf-8', 'replace').splitlines() if line.strip()]
    return lines[0].strip() if lines else ''


def with_complaint(verdict, stderr):
    """The verdict on a script of lwt.  If the script failed without a reason, the first line of its
    standard error is the reason.
    """
    complaint = printable_text(_first_line(stderr))
    gave_none = verdict.kind == 'failed' and verdict.ran == 'yes' and not verdict.is_over_budget
    return verdict._replace(reason=complaint) if gave_none and complaint else verdict
