"""The job log: a row for each job that has ended, in GNU parallel's columns; and --resume.

A job is identified by its command and by how many times the command has occurred, not by its
number, so that --resume with an edited input runs only new jobs.

Columns, as GNU parallel 20221122 writes them: Seq Host Starttime JobRuntime Send Receive Exitval
Signal Command, separated by tabs.  Host is ":" for this machine.  Send and Receive are bytes.
Exitval is -1 for a job that timed out.  A newline in Command is written as \\0.
"""

import collections
import errno
import hashlib
import json
import os

from lwt.errors import UsageError
from lwt.selectors_loop import Sink
from lwt.workspace.files import local_errors, make_dir, open_private, read_error, without_bom

HEADER = b'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n'


class JobLog:
    """An open job log.  Use as a context manager."""

    def __init__(self, path, append):
        """append: keep the rows in the file; otherwise empty it.  Raises LocalError."""
        flags = os.O_RDWR if append else os.O_WRONLY | os.O_TRUNC
        self._path = path
        with local_errors(path):
            self._fd = open_private(path, flags | os.O_APPEND)
        size = os.fstat(self._fd).st_size
        if size == 0:
            self._write(HEADER)
        # A truncated row stays on a line of its own.
        elif append and os.pread(self._fd, 1, size - 1) != b'\n':
            self._write(b'\n')

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self._fd)

    def write(self, number, ended):
        """Append a row, by one write.

        number: of the job, for the log.  ended: its job.JobResult.
        """
        self._write(b'%d\t%s\t%.3f\t%10.3f\t%d\t%d\t%d\t%d\t%s\n' % (
            number, os.fsencode(ended.host), ended.started, ended.runtime, ended.sent,
            ended.received, ended.code, ended.signum, ended.command.replace(b'\n', b'\0')))

    def _write(self, row):
        with local_errors(self._path):
            if os.write(self._fd, row) < len(row):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FinishedJobs:
    """The jobs in a job log, by command and occurrence.

    Each occurrence of a command has its own number in the log; a job that is run again keeps it.
    """

    def __init__(self, path, only_successes):
        """only_successes: run failed jobs again.

        A missing file counts as an empty one.  Raises UsageError.
        """
        ended = {}                      # (digest, number) -> whether the job succeeded
        for place, line in enumerate(_lines(path), 1):
            fields = line.split(b'\t', 8)
            if fields[0] in (b'Seq', b''):
                continue
            if len(fields) != 9 and fields[0].isdigit():        # cut by a crash or full disk
                continue
            if len(fields) != 9 or not fields[0].isdigit():
                raise UsageError('%s:%d: not a row of a job log' % (path, place),
                                 'give another --joblog, or remove the line')
            key = _digest(fields[8].replace(b'\0', b'\n')), int(fields[0])
            ended[key] = ended.get(key, False) or (fields[6], fields[7]) == (b'0', b'0')
        # Digest -> numbers in the log, of jobs to skip and of jobs to run again.
        self._left = collections.defaultdict(list)
        self._redo = collections.defaultdict(list)
        for (digest, number), is_success in sorted(ended.items(), key=lambda item: item[0][1]):
            (self._left if is_success or not only_successes else self._redo)[digest].append(number)
        self._taken = set(ended)
        self._last = max((number for _digest_, number in ended), default=0)

    def take(self, commands):
        """Return whether the next occurrence of this command is done, and count it if so.

        commands: the forms that the command may have in the log.
        """
        for digest in map(_digest, commands):
            if self._left.get(digest):
                self._left[digest].pop(0)
                return True
        return False

    def number_of(self, command, number):
        """Return the number of a job for the log.

        That is its number in the earlier run, or its own number, or, if another occurrence has
        that, an unused one.
        """
        digest = _digest(command)
        if self._redo.get(digest):
            return self._redo[digest].pop(0)
        if (digest, number) in self._taken:
            self._last = number = max(self._last, number) + 1
        self._taken.add((digest, number))
        return number


def _digest(command):
    return hashlib.sha1(command).digest()


def _lines(path):
    """Yield the lines of a file, without a truncated last line."""
    try:
        with open(path, 'rb') as file:
            for number, line in enumerate(file):
                if line.endswith(b'\n'):
                    yield line[:-1] if number else without_bom(line[:-1])
    except FileNotFoundError:
        return
    except OSError as error:
        raise read_error(path, error)


class Records:
    """What is recorded about jobs: the job log, and a directory of results.

    skipped: number of jobs that are not run because an earlier run has done them.
    """

    def __init__(self, done, log, folder):
        """done: the FinishedJobs of earlier runs, or None.
        log: a JobLog, or None.
        folder: the path of the directory of results, or None.
        """
        self.skipped = 0
        self._done = done
        self._log = log
        self._folder = folder
        self._open = {}                 # number -> the _Tee of a running job

    def was_done(self, _number, commands):
        """Return whether an earlier run has done this command; then it is not run.

        commands: the forms that the command may have in the log.
        """
        was_done = self._done is not None and self._done.take(commands)
        self.skipped += was_done
        return was_done

    def sink_of(self, job, output):
        """Return the Sink for the process of a job.  output: the CommandOutput of the job."""
        if self._folder is None:
            return output
        directory = (self._open.pop(job.number).directory if job.number in self._open
                     else self._directory(job))
        self._open[job.number] = _Tee(directory, output)
        return self._open[job.number]

    def _directory(self, job):
        """Return a directory for the results of a job that no earlier, resumed run has used."""
        path, again = os.path.join(self._folder, str(job.number)), 1
        while self._done is not None and os.path.lexists(path):
            path, again = os.path.join(self._folder, '%d.%d' % (job.number, again)), again + 1
        return path

    def write(self, ended):
        """Record the job.JobResult of a job.

        A job that lwt stopped is not written to the job log, so that --resume runs it again.
        """
        tee = self._open.pop(ended.job.number, None)
        if tee is not None:
            tee.close()
        if ended.kind == 'stopped':
            return
        if self._log is not None:
            number = (ended.job.number if self._done is None
                      else self._done.number_of(ended.command, ended.job.number))
            self._log.write(number, ended)
        if tee is not None:
            meta = {'seq': ended.job.number, 'command': os.fsdecode(ended.command),
                    'status': ended.kind, 'exitval': ended.code,
                    'signal': ended.signum, 'host': ended.host, 'start': ended.started,
                    'runtime': ended.runtime,
                    'attempts': ended.attempts}
            path = os.path.join(tee.directory, 'meta')
            with local_errors(path), _open_new(path, 'w') as file:
                file.write(json.dumps(meta) + '\n')


def _open_new(path, mode, **options):
    """Open a file of results for writing; a new file has mode 0600."""
    return open(path, mode, opener=open_private, **options)


class _Tee(Sink):
    """Passes output to another sink, and writes it to the files stdout and stderr of a directory.
    """

    def __init__(self, directory, sink):
        self.directory = directory
        self._sink = sink
        self._files = {}
        make_dir(directory)
        with local_errors(directory):
            for stream in ('stdout', 'stderr'):
                self._files[stream] = _open_new(
                    os.path.join(directory, stream), 'wb', buffering=0)

    @property
    def full(self):
        return self._sink.full

    @property
    def room(self):
        return self._sink.room

    @room.setter
    def room(self, callback):
        self._sink.room = callback

    def feed(self, stream, data):
        with local_errors(self._files[stream].name):
            self._files[stream].write(data)
        self._sink.feed(stream, data)

    def close(self):
        """Close the files; there is no more output."""
        for file in self._files.values():
            file.close()
