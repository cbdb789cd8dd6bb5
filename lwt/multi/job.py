"""What a job of lwt multi is, and how it ended."""

import errno
import signal
from typing import Callable, NamedTuple, Optional

# Kinds of failure; lost: the exit status is unknown.
FAILURES = ('failed', 'timeout', 'lost')
HERE = b':'                     # the name of this machine in the job log


class Job(NamedTuple):
    """A command to run.

    text: a function that returns the command line as bytes for a slot number.
    label: printed before each line of output (--tag).
    data: bytes for its standard input; source: a function that returns a PipeSource for what
        follows them, or None.
    arguments: the values of its placeholders, as bytes.
    """

    number: int
    text: Callable
    label: bytes = b''
    data: bytes = b''
    source: Optional[Callable] = None
    arguments: tuple = ()


class JobResult(NamedTuple):
    """How a job ended.

    kind: 'ok', one of FAILURES, 'stopped' (by an interrupt or --halt), 'requeued' (killed because
        memory was short), 'not run' (a host could not be reached) or 'refused' (a host could not
        take its files).
    code, signum: as in the job log; -1 if lwt killed the job.
    started: seconds since 1970.  runtime: seconds.  received: bytes of standard output.
    is_cut: a background process still held the output.
    host: the name of the host in the job log.  sent: bytes of the files that were sent to it.
    """

    job: Job
    command: bytes
    kind: str
    code: int
    signum: int
    reason: str
    started: float
    runtime: float
    received: int
    attempts: int
    is_cut: bool = False
    host: str = ':'
    sent: int = 0


class Ended(NamedTuple):
    """How an attempt on a host ended; the fields are those of JobResult.

    received: bytes of the files that were fetched.
    """

    kind: str
    reason: str = ''
    code: int = 0
    sent: int = 0
    received: int = 0


def job_variables(number, slot, host=HERE):
    """Return the environment variables of a job, as bytes.  host: its name in the job log."""
    seq, place = b'%d' % number, b'%d' % slot
    return {b'LWT_SEQ': seq, b'PARALLEL_SEQ': seq, b'LWT_SLOT': place, b'PARALLEL_JOBSLOT': place,
            b'PARALLEL_SSHHOST': host.rpartition(b'@')[2], b'PARALLEL_SSHLOGIN': host}


def kind_of(result, age):
    """(kind, reason) of a Result.  age: seconds since the start."""
    if result.status == 'exited':
        return ('failed', 'exit code %d' % result.code) if result.code else ('ok', '')
    if result.status == 'signaled':
        return 'failed', 'ended by signal %d' % result.code
    if result.status == 'timeout':
        return 'timeout', 'timed out after %.3g s' % (result.command.timeout or age)
    if result.status == 'unspawnable':
        return 'failed', 'cannot be run (%s)' % result.stderr.decode('utf-8', 'replace')
    if result.status == 'unknown':
        return 'lost', 'exit status unknown'
    return (('requeued', 'made room for others') if result.status == 'memory'
            else ('stopped', 'interrupted'))


def log_codes(result):
    """Return (exit code, signal) for the job log.

    The code is -1 if lwt killed the job or the exit status is unknown, and 126 or 127 if the
    command could not be run.
    """
    if result.status == 'exited':
        return result.code, 0
    if result.status == 'signaled':
        return 0, result.code
    if result.status == 'unspawnable':
        return 127 if result.code == errno.ENOENT else 126, 0
    if result.status == 'unknown':
        return -1, 0
    return -1, signal.SIGTERM
