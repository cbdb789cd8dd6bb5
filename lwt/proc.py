"""One child: a process in a session of its own, its pipes, its deadlines and its death.

A Command is a value: what to run.  A Result is a value: what came of it.  A Child lives between the
two; it is passive, the loop tells it when its descriptors are ready and when it has ended, and it
calls on_done(result) exactly once.

The rules, and why:

  done    reaped AND its pipes at end-of-file, or `drain` seconds after it was reaped.  End-of-file
          alone would take a
          child that closes stdout and lives for a dead one; waiting for it would hang on a
          grandchild that holds the pipe.
  killed  the cause is recorded before the first signal, and no exit code changes it afterwards.
          TERM and CONT go to the
          group (a stopped process never dies of TERM), KILL after `grace`.
  pinned  a leader that died while its group is being killed is not reaped before the rest is dead:
          the zombie keeps its
          number, and so the group's, from being given to a stranger.
  fed     never blocking: our ends of the pipes are non-blocking, reading can be paused, one read a
          turn keeps it fair.

`subprocess` is used only here.  Nothing here knows of hosts, ssh or flows.
"""

import contextlib
import errno
import math
import os
import resource
import signal
from typing import Callable, NamedTuple, Optional

from lwt import procfs

READ_SIZE = 65536
PROGRESS_EVERY = 1.0        # seconds between two calls of Command.progress
MARKER = procfs.MARKER.encode()
NEW_PIPE = 4096             # bytes that a new pipe takes at once, everywhere
RATE_STEP = 0.25            # seconds that one read or write may take of a limited rate
HELD_LOOK = 0.1             # seconds between two looks whether what is not read is read again
# Seconds between two looks whether what a dead leader has left has ended as well.
LEFT_LOOK = 0.2
# Seconds after KILL: what still lives is in the kernel (state D), and nobody can end it.
UNKILLABLE_AFTER = 5.0
# Seconds over grace that a host has to end a command whose lifeline was closed.
LIFELINE_EXTRA = 2.0
TRANSIENT = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


class Command(NamedTuple):
    """What to run.  Times are seconds; 0 means no limit.

    executable: the file, where it is not argv[0], which is looked for in lwt's own PATH. env: its
    whole environment; None for lwt's own, with these variables (bytes: bytes) beside it. stdin,
    stdin_path: bytes, then a file's content, written to the child; with neither, and no lifeline,
    it gets /dev/null. source: in place of stdin_path, an object with read(size) and close(), like a
    raw file: b'' is its end, None means that it has nothing yet and is to be asked again when the
    child has said something, or when it calls its wake(), which it is given. lifeline: seconds
    between heartbeats on the child's standard input, which then stays open as long as lwt lives.
    hello: how long sink.started may be false.  stall: how long no byte may move.  progress: for a
    child that moves its bytes by itself, as scp does: called with its process number every second;
    a number that is not the last one counts as a byte that moved, and None ends the child (status
    'unwanted').  rate: bytes a second, in each direction. sink: an object with feed(stream, data),
    stream being 'stdout' or 'stderr', and the attribute started; feed may return True: no more is
    wanted.  Without a sink
    the output is kept, up to limit bytes a stream, in the Result. gate: for flow.Pool: a flow.Gate
    that it has to pass. beside: for flow.Pool: whether it is to live beside what follows it: '',
    'slot' (it keeps its slot) or 'background'. tied: for flow.Pool: a Child in the background; when
    that fails, this one is ended as well. is_local: for flow.Pool: it works on this machine, so it
    takes no slot; as many run at a time as there are processors.
    """

    argv: tuple
    executable: bytes = None
    stdin: bytes = b''
    stdin_path: str = ''
    source: object = None
    lifeline: float = 0.0
    cwd: str = None
    env: dict = None
    variables: dict = None
    timeout: float = 0.0
    hello: float = 0.0
    stall: float = 0.0
    progress: Optional[Callable] = None
    rate: float = 0.0
    grace: float = 5.0
    drain: float = 2.0
    limit: int = 1 << 24
    sink: object = None
    gate: object = None
    beside: str = ''
    tied: object = None
    is_local: bool = False
    label: str = ''


class Result(NamedTuple):
    """What came of a Command.

    status: 'exited', 'signaled', 'unspawnable', 'unknown' (the process that embeds lwt collected
    the exit status before lwt did), or why lwt ended it: 'timeout', 'hello', 'stalled',
    'cancelled', 'over', 'unreadable' (its input could not be read; then stderr says why). code: the
    exit code, or the signal's number for 'signaled', or errno for 'unspawnable'; for what lwt
    ended, the code that the child had in the end, which decides nothing. incomplete: the pipes were
    still held by somebody when drain was over, in which what we did not read does not count.
    """

    command: Command
    status: str
    code: int = 0
    stdout: bytes = b''
    stderr: bytes = b''
    elapsed: float = 0.0
    truncated: bool = False
    incomplete: bool = False

    @property
    def ok(self):
        return self.status == 'exited' and self.code == 0


class Child:
    """One running Command.  start() raises OSError when it cannot be spawned; then nothing else
    happens.

    on_done(result) is called once, at the end; on_begun(), if there is one, as soon as
    sink.started.
    """

    def __init__(self, loop, guard, command, on_done, on_begun=None):
        self._loop = loop
        self._guard = guard
        self._command = command
        self._on_done = on_done
        self._on_begun = on_begun
        self.result = None              # at the end
        self._popen = None
        self._streams = {}              # fd -> (name, file), those still open
        self._kept = {'stdout': bytearray(), 'stderr': bytearray()}
        self._truncated = False
        self._incomplete = False
        self._cause = ''                # why lwt is ending it
        # An Exit, once it ended; it stays a zombie until its group is dead.
        self._exit = None
        self._is_reaped = False
        self._killed = False            # KILL was sent to the group: nothing more can be done
        self._timers = set()            # those that have not fired
        self._stall_timer = None
        # When a byte last went in or out: what a stall is measured by.
        self._moved_at = 0.0
        self._over = False              # its sink has all of it
        self._holds = set()             # why it is not read just now
        self._held_since = 0.0
        # Seconds that it was not read, which do not count for its time-out.
        self._held_for = 0.0
        self._stdin = -1
        self._noticed_at = 0.0
        self._marker = ''
        self._pending = memoryview(command.stdin)
        self._source = command.source
        self._unreadable = None         # the OSError of its input
        self._awaiting = False          # the source has nothing before the child answers
        self._chunk = min(READ_SIZE, math.ceil(command.rate * RATE_STEP)) or READ_SIZE

    @property
    def label(self):
        """What it is called in messages."""
        return self._command.label

    @property
    def age(self):
        """Seconds since its start, less those in which our reader held it up."""
        return self._loop.time() - self._started_at - self._held()

    @property
    def sink(self):
        """Where its output goes."""
        return self._command.sink

    @property
    def is_local(self):
        """Is it work on this machine, which takes no slot?"""
        return self._command.is_local

    @property
    def tied(self):
        """The Child that it cannot do without, or None."""
        return self._command.tied

    # -- start -------------------------------------------------------------------------------------

    def start(self):
        """Spawn it and put its pipes, deadlines and end under the loop."""
        command = self._command
        fed = bool(command.stdin or command.stdin_path or command.source or command.lifeline)
        self._guard.start()
        if command.stdin_path:
            self._source = open(command.stdin_path, 'rb', buffering=0)
        self._marker, changes = self._guard.environment(command)
        self._started_at = self._loop.time()
        try:
            self._popen, stdout, stderr, self._stdin = _spawn(command, changes, fed)
        except BaseException:
            self._close_source()
            raise
        self._guard.add(self._popen.pid)
        self._open_stream('stdout', stdout)
        self._open_stream('stderr', stderr)
        if fed:
            os.set_blocking(self._stdin, False)
            if self._source is not None or command.rate or len(self._pending) > NEW_PIPE:
                self._loop.add_writer(self._stdin, self._write)
            else:
                self._write_whole()
        self._arm()
        self._loop.watch(self, self._has_ended, self._ended)

    def _open_stream(self, name, fd):
        os.set_blocking(fd, False)
        self._streams[fd] = name
        self._loop.add_reader(fd, lambda: self._read(fd))

    def _arm(self):
        command = self._command
        if command.timeout:
            self._at_age(command.timeout, lambda: self.stop('timeout'))
        if command.hello:
            self._later(command.hello, self._check_hello)
        if command.stall:
            self.expect(command.stall)
        if command.progress:
            self._later(PROGRESS_EVERY, self._ask_progress, None)

    def _later(self, seconds, callback, *args):
        def fire():
            self._timers.discard(timer)
            callback(*args)

        timer = self._loop.call_later(seconds, fire)
        self._timers.add(timer)
        return timer

    def _at_age(self, age, callback):
        """Call callback() when it is so old; it does not grow older while it is not read."""
        left = age - self.age
        if left > 0:
            self._later(max(left, HELD_LOOK) if self._holds else left, self._at_age, age, callback)
        else:
            callback()

    def _held(self):
        """Seconds that it was not read."""
        return self._held_for + (self._loop.time() - self._held_since if self._holds else 0.0)

    def _check_hello(self):
        if not self._command.sink.started:
            self.stop('hello')

    def _check_stall(self):
        """End it if no byte has moved for so long; before it has begun, and while it is not read,
        the time does not run.
        """
        if self._holds or not self._is_started():
            self._moved_at = self._loop.time()
        left = self._moved_at + self._command.stall - self._loop.time()
        if left > 0:
            self._stall_timer = self._later(left, self._check_stall)
        else:
            self.stop('stalled')

    def _ask_progress(self, last):
        """Ask how far the child has come; last: the answer before."""
        number = self._command.progress(self._popen.pid)
        if number is None:
            self.stop('unwanted')
            return
        if number != last:
            self._moved_at = self._loop.time()
        self._later(PROGRESS_EVERY, self._ask_progress, number)

    def expect(self, stall):
        """From now on, end it when no byte moves for so many seconds; 0: it may be silent."""
        self._command = self._command._replace(stall=stall)
        self._moved_at = self._loop.time()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        self._stall_timer = self._later(stall, self._check_stall) if stall else None

    def hang_up(self):
        """There is no more input for it: it ends by itself, or is ended after its grace."""
        if not self._is_reaped and not self._cause:
            self._cancel_timers()
            self._close_stdin()
            self._later(self._command.grace, self._terminate)

    # -- output ------------------------------------------------------------------------------------

    def _read(self, fd):
        try:
            data = os.read(fd, self._chunk)
        except BlockingIOError:
            return
        except OSError:                 # EIO and the like: nothing more will come
            data = b''
        name = self._streams[fd]
        if not data:
            self._close_stream(fd)
            return
        self._moved_at = self._loop.time()
        if self._command.sink is not None:
            self._feed(self._command.sink, name, data)
            if self._on_begun is not None and self._command.sink.started:
                self._loop.call_soon(self._on_begun)
                self._on_begun = None
        else:
            self._keep(self._kept[name], data)
        self._throttle(fd, len(data), self._resume_reading)
        self._ask_again()

    def _feed(self, sink, name, data):
        if sink.feed(name, data) is True:
            self.stop('unwanted')
        if getattr(sink, 'ended', False) and not self._over:
            # What a command left behind may hold the pipes for as long as it lives.
            self._over = True
            self._cancel_timers()       # it ended in time
            self._later(self._command.drain, self._let_go)
        if getattr(sink, 'full', False):
            sink.room = lambda: self.resume('sink')
            self.pause('sink')

    def _keep(self, kept, data):
        room = self._command.limit - len(kept)
        self._truncated = self._truncated or len(data) > room
        kept += data[:room]

    def _close_stream(self, fd):
        del self._streams[fd]
        self._loop.remove(fd)
        os.close(fd)
        if not self._streams and self._is_reaped:
            self._loop.call_soon(self._finish)

    def pause(self, why='reader'):
        """Read no more for now: whoever takes the output is slower; the kernel's pipes then hold
        the child back.
        """
        if not self._holds:
            self._held_since = self._loop.time()
            for fd in self._streams:
                self._loop.remove(fd)
        self._holds.add(why)

    def resume(self, why='reader'):
        """Read on, if nothing else stands against it."""
        if why in self._holds:
            self._holds.discard(why)
            if not self._holds:
                self._read_on()

    def _read_on(self):
        self._held_for += self._loop.time() - self._held_since
        for fd in self._streams:
            self._resume_reading(fd)

    def _resume_reading(self, fd):
        if fd in self._streams and not self._holds:
            self._loop.remove(fd)       # it may be watched already
            self._loop.add_reader(fd, lambda: self._read(fd))

    def _throttle(self, fd, count, resume):
        """count bytes went through fd: where there is a rate, leave it alone for as long as they
        ought to have taken.
        """
        if self._command.rate and not self._is_reaped:
            self._loop.remove(fd)
            self._loop.call_later(count / self._command.rate, resume, fd)

    # -- input -------------------------------------------------------------------------------------

    def _write_whole(self):
        """Write what certainly fits into the pipe, which is new."""
        try:
            if self._pending:
                os.write(self._stdin, self._pending)
        except OSError:                 # EPIPE, as in _write
            self._close_stdin()
            return
        self._pending = b''
        self._moved_at = self._loop.time()
        self._written()

    def _write(self):
        if not self._pending and self._source is not None:
            try:
                data = self._source.read(READ_SIZE)
            except OSError as error:
                self._unreadable = error
                self._close_stdin()
                self.stop('unreadable')
                return
            if data is None:
                self._awaiting = True
                self._source.wake = self._ask_again
                self._loop.remove(self._stdin)
                return
            self._pending = memoryview(data)
            if not data:
                self._close_source()
        if not self._pending:
            self._written()
            return
        try:
            count = os.write(self._stdin, self._pending[:self._chunk])
        except BlockingIOError:
            return
        # EPIPE: the child did not want it; its exit code says whether that is an error.
        except OSError:
            self._close_stdin()
            return
        self._pending = self._pending[count:]
        self._moved_at = self._loop.time()
        self._throttle(self._stdin, count, self._resume_writing)

    def _ask_again(self):
        if self._awaiting:
            self._awaiting = False
            self._resume_writing()

    def _resume_writing(self, _fd=None):
        if self._stdin != -1:
            self._loop.remove(self._stdin)
            self._loop.add_writer(self._stdin, self._write)

    def _written(self):
        if self._command.lifeline:
            self._loop.remove(self._stdin)
            self._later(self._command.lifeline, self._beat)
        else:
            self._close_stdin()

    def _beat(self):
        if self._stdin == -1:
            return
        try:
            os.write(self._stdin, b'\n')
        except BlockingIOError:         # a full pipe holds heartbeats enough
            pass
        except OSError:
            self._close_stdin()
            return
        self._later(self._command.lifeline, self._beat)

    def _close_stdin(self):
        self._close_source()
        if self._stdin != -1:
            self._loop.remove(self._stdin)
            os.close(self._stdin)
            self._stdin = -1

    def _close_source(self):
        if self._source is not None:
            self._source.close()
            self._source = None

    # -- the end -----------------------------------------------------------------------------------

    def stop(self, cause):
        """End it: by its lifeline where it has one and somebody listens at its end, else by TERM;
        KILL is the last word.
        """
        if self._cause:
            return
        self._cause = cause
        self._cancel_timers()
        if self._is_reaped:
            self._give_up_pipes()
        elif self._command.lifeline and self._is_started():
            self._close_stdin()
            self._later(self._command.grace + LIFELINE_EXTRA, self._terminate)
        elif self._command.hello and not self._is_started():
            # Grace is for what has begun; an ssh that waits for its master takes TERM as "log in".
            self._kill()
        else:
            self._terminate()

    def _let_go(self):
        self._cause = self._cause or 'over'
        self._cancel_timers()
        self._terminate()

    def kill(self):
        """End it now: KILL to the group, without grace."""
        self._cause = self._cause or 'cancelled'
        self._cancel_timers()
        if self._is_reaped:
            self._give_up_pipes()
        else:
            self._kill()

    def _is_started(self):
        return self._command.sink is None or self._command.sink.started

    def _terminate(self):
        for signum in (signal.SIGTERM, signal.SIGCONT):         # what is stopped never dies of TERM
            self._signal_group(signum)
        self._guard.terminate_escaped(self._popen.pid, self._marker)
        self._later(self._command.grace, self._kill)

    def _kill(self):
        self._killed = True
        self._signal_group(signal.SIGKILL)
        self._guard.kill_escaped(self._popen.pid, self._marker, self._on_killed)

    def _on_killed(self):
        """Nothing of it was left to be killed."""
        if self._is_reaped:
            return
        if self._exit is not None:
            self._reap()
        else:
            self._later(UNKILLABLE_AFTER, self._abandon)

    def _signal_group(self, signum):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signum)

    def _has_ended(self):
        """Is the leader dead?"""
        self._noticed_at = self._loop.time()
        self._exit = exit_of(self._popen)
        return self._exit is not None

    def _ended(self):
        if self._is_reaped:
            return
        if (not self._cause or self._killed
            or not self._guard.has_left(self._popen.pid, self._marker, self._noticed_at)):
            self._reap()
        else:
            self._later(LEFT_LOOK, self._look_again)

    def _look_again(self):
        self._noticed_at = self._loop.time()
        self._ended()

    def _reap(self):
        self._is_reaped = True
        reap(self._popen, self._exit)
        self._guard.remove(self._popen.pid)
        self._cancel_timers()
        self._close_stdin()
        if not self._streams:
            self._loop.call_soon(self._finish)
            return
        if self._holds:
            # A pipe's worth at most, and nobody is there any more to be held back.
            self._holds.clear()
            self._read_on()
        elif not self._command.rate:
            for fd in list(self._streams):
                self._read(fd)          # their end is there already, unless others have them too
        if self._streams:
            self._at_age(self.age + self._command.drain, self._give_up_pipes)

    def _give_up_pipes(self):
        self._incomplete = bool(self._streams)
        for fd in list(self._streams):
            self._close_stream(fd)

    def _abandon(self):
        """It does not die of KILL: report it and let go; the guard keeps it on its list."""
        self._loop.unwatch(self)
        self._is_reaped = True
        self._exit = Exit('signaled', signal.SIGKILL)
        self._close_stdin()
        self._give_up_pipes()
        self._loop.call_soon(self._finish)

    def _cancel_timers(self):
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _finish(self):
        on_done, self._on_done = self._on_done, None
        if on_done is None:
            return
        self._cancel_timers()
        if self._cause == 'unreadable':
            self.result = unreadable(self._command, self._unreadable)
            on_done(self.result)
            return
        self.result = Result(
            self._command, self._cause or self._exit.status, self._exit.code,
            bytes(self._kept['stdout']), bytes(self._kept['stderr']),
            self._loop.time() - self._started_at, self._truncated, self._incomplete)
        on_done(self.result)


SPARE_PROCESSES = 8             # left to others by most_at_once


def max_children():
    """How many children may be alive at once, three pipes each, after raising the limit on open
    files as far as it goes.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 100000 if soft == resource.RLIM_INFINITY else max(1, (soft - 32) // 4)


def unreadable(command, error):
    """The Result of a Command whose input could not be read; error: an OSError."""
    text = '%s: %s' % (error.filename or command.stdin_path or 'input', error.strerror)
    return Result(command, 'unreadable', error.errno or 0, stderr=os.fsencode(text))


def most_at_once():
    """How many children may be alive at once if nobody says how many: as many as descriptors and
    processes allow, if each of them starts one more."""
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    free = procfs.free_processes(os.getuid(), None if limit == resource.RLIM_INFINITY else limit)
    if free is None:
        return max_children()
    return max(1, min(max_children(), (free - SPARE_PROCESSES) // 2))


def unspawnable(command, error):
    """The Result of a Command that could not be spawned."""
    if command.stdin_path and error.filename == command.stdin_path:
        return unreadable(command, error)
    text = '%s: %s' % (os.fsdecode(command.argv[0]), error.strerror)
    return Result(command, 'unspawnable', error.errno or 0, stderr=os.fsencode(text))


def _spawn(command, changes, fed):
    """(Popen, our end of its standard output, of its standard error, of its standard input or -1);
    raises OSError.
    """
    theirs, ours = [], []
    try:
        for _stream in range(2):
            fd, end = os.pipe()
            ours.append(fd)
            theirs.append(end)
        if fed:
            end, fd = os.pipe()
            ours.append(fd)
            theirs.append(end)
        popen = start_process(command, changes, theirs)
    except BaseException:
        for fd in theirs + ours:
            os.close(fd)
        raise
    for fd in theirs:
        os.close(fd)
    return popen, ours[0], ours[1], ours[2] if fed else -1


def start_process(command, changes, ends):
    """Start a process in a session of its own; returns a Popen.

    changes: what its environment has in place of lwt's own, as differences() has it.
    ends: descriptors for its standard output, its standard error and, if there is a third, its
    standard input.  It inherits no other descriptor, and whatever was ignored when lwt was started
    stays ignored in it, except for SIGPIPE and SIGXFSZ, which Python itself ignores.
    """
    # Not at the top: the import takes long, and some commands start no process.
    import subprocess
    # A child that is given no environment inherits what putenv(3) made of lwt's own.  An
    # environment that is passed to it, subprocess would encode anew for each child: a quarter of
    # what a child costs.
    _put((name, value) for name, value, _own in changes)
    try:
        return subprocess.Popen(
            command.argv, executable=command.executable,
            stdin=ends[2] if ends[2:] else subprocess.DEVNULL, stdout=ends[0], stderr=ends[1],
            cwd=command.cwd, start_new_session=True, close_fds=True)
    finally:
        _put((name, own) for name, _value, own in changes)


def _put(variables):
    for name, value in variables:
        if value is None:
            os.unsetenv(name)
        else:
            os.putenv(name, value)


def differences(env):
    """What makes lwt's own environment another: (name, value, value in its own), bytes, None for
    none.
    """
    own = os.environb
    wanted = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    return [(name, wanted.get(name), own.get(name)) for name in own.keys() | wanted.keys()
            if wanted.get(name) != own.get(name)]


class Exit(NamedTuple):
    """How a process ended.  status: 'exited', 'signaled' or 'unknown'; code: the exit code or the
    signal.
    """

    status: str
    code: int


UNKNOWN = Exit('unknown', 0)


def exit_of(popen):
    """The Exit of a child of ours, None as long as it lives.

    The child stays a zombie where the system can tell without reaping it (macOS before Python 3.13
    cannot), so that its number, and that of its group, are not given to another process.

    A library, a signal handler or a thread of the program that embeds lwt may have reaped it with
    waitpid(-1).  The exit status is lost then; Popen.poll() and wait() would report it as 0.
    """
    try:
        if hasattr(os, 'waitid'):
            info = os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if info is None:
                return None
            return Exit('exited' if info.si_code == os.CLD_EXITED else 'signaled', info.si_status)
        pid, status = os.waitpid(popen.pid, os.WNOHANG)
    except ChildProcessError:
        return UNKNOWN
    if not pid:
        return None
    if os.WIFSIGNALED(status):
        return Exit('signaled', os.WTERMSIG(status))
    return Exit('exited', os.WEXITSTATUS(status))


def reap(popen, end):
    """Remove the zombie of a child that ended as exit_of() said."""
    if end is not UNKNOWN:
        try:
            os.waitpid(popen.pid, 0)
        except ChildProcessError:       # not ours any more, or reaped by exit_of()
            pass
    popen.returncode = -end.code if end.status == 'signaled' else end.code      # Popen asks no more
