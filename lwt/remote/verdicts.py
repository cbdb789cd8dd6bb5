"""Verdicts: what became of a command on a host.  Pure.

ssh's exit code 255 is never guessed at, because a command may exit with it as well.  The frame that
every script prints says whether the command ran; only where there is none do the messages of ssh
decide (see ssh_messages).
"""

from typing import NamedTuple

from lwt.errors import printable, printable_text
from lwt.remote import ssh_messages

# A record's code for a host that could not be reached; its class stands beside it.
UNREACHABLE = 255
TIMED_OUT = 124         # a record's code for a time-out, as timeout(1) has it


class Verdict(NamedTuple):
    """What became of a command on a host.

    kind: 'ok', or the class of the failure: refused, timeout, dns, hostkey, auth, lost, killed,
    failed. code: the command's own exit code, or 124, 255 and so on as design has them. reason: for
    people.  ran: 'no' (certainly not started), 'maybe', 'yes'. is_dropped: sshd dropped the login
    because it was busy; see ssh_messages.LoginFailure. is_cut: lwt ended the command because it
    printed too much. is_over_budget: the host passed a budget, as no script of lwt's does; see
    budgets. is_unverified: a copy was made, but no digest could be compared.
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


def was_dropped(verdict):
    """Did sshd drop the login because it was busy, so that another attempt may succeed?"""
    return verdict.ran == 'no' and verdict.is_dropped


def judge(result, frame, is_first=True, is_shared=False):
    """The Verdict on a Result whose output went through frame (scripts.Framed).

    is_first: was it the first request over its login?  For a later one, ssh's messages prove
    nothing. is_shared: did another ssh keep the connection?  This one then says nothing of its own
    when it breaks.
    """
    if result.status == 'unspawnable':
        return Verdict('failed', 127, 'cannot run %s' % printable(_first_line(result.stderr), 200),
                       'no')
    if frame.code is not None:
        return _reported(result, frame)     # whatever happened to the connection after that
    if frame.failure is not None:
        return Verdict('failed', 1, frame.failure, 'no')
    if frame.started or not is_first:
        return _cut_off(result, frame)
    return _not_started(result, frame, is_shared)


def _ended_here(result, code):
    """The Verdict on what lwt itself ended after its begin, or None; code: what the command told in
    the end.
    """
    if result.status == 'timeout':
        return Verdict('timeout', TIMED_OUT, 'timed out after %g s' % result.command.timeout)
    if result.status == 'stalled':
        return Verdict('timeout', TIMED_OUT, 'stalled: no byte in %g s' % result.command.stall)
    if result.status == 'cancelled':
        return Verdict('killed', code or 130, 'interrupted')
    return None


def _reported(result, frame):
    verdict = _ended_here(result, frame.code)
    if verdict:
        return verdict
    if frame.cause:
        return _ended_there(result, frame.cause)
    if frame.code:
        return Verdict('failed', frame.code, 'exit code %d' % frame.code)
    return Verdict('ok', 0)


ENDED_THERE = {
    'lease': 'the lease ran out: no heartbeat reached the host in time, and it ended the command',
    'closed': 'the lifeline was closed on the way to the host, and it ended the command',
    'limit': 'the host could start no process to guard the command, and ended it'}
def _ended_there(result, cause):
    """The Verdict on a command that its guard on the host ended; cause: of scripts.CAUSES.

    Its exit code is that of the signal, and says nothing about the command.
    """
    if cause == 'timeout':
        return Verdict('timeout', TIMED_OUT, 'timed out after %g s' % result.command.timeout)
    return Verdict('lost', UNREACHABLE, ENDED_THERE[cause])


def _cut_off(result, frame):
    verdict = _ended_here(result, 0)
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
        return _lost(frame.ssh_output) if failure is None else Verdict(
            failure.kind, UNREACHABLE, 'unreachable (%s)' % printable_text(failure.reason), 'no',
            failure.is_dropped)
    return Verdict('refused', UNREACHABLE, 'unreachable (no answer from its shell, exit code %d%s)'
                   % (result.code, quoted), 'maybe')


def _before_login(result, frame, text):
    """The ssh_messages.LoginFailure where it is certain that nothing ran, or None."""
    is_failure = result.status == 'exited' and result.code == UNREACHABLE
    is_whole = not frame.shell_output and not frame.is_output_cut
    return ssh_messages.failure_before_login(text) if is_failure and is_whole else None


def _first_line(data):
    lines = [line for line in data.decode('utf-8', 'replace').splitlines() if line.strip()]
    return lines[0].strip() if lines else ''


def with_complaint(verdict, stderr):
    """The verdict on a script of ours; where it ended badly and gave no reason, the first line of
    its stderr is the reason.
    """
    complaint = printable_text(_first_line(stderr))
    gave_none = verdict.kind == 'failed' and verdict.ran == 'yes' and not verdict.is_over_budget
    return verdict._replace(reason=complaint) if gave_none and complaint else verdict
