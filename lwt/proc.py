"""One child: a process in a session of its own, its pipes, its deadlines and its end.

A Command describes what to run.  A Child is the running process.  A Result describes how it ended.
A Child is passive: the loop calls it when its descriptors are ready and when its process has ended.
It calls on_done(result) exactly once.  The rules, and why:

  done    A child is done when it is reaped and its pipes are at end-of-file, or `drain` seconds
          after it was reaped.  A child may close stdout and live on, so end-of-file is not enough.
          A grandchild may hold the pipes, so waiting for end-of-file could hang.
  killed  The cause is recorded before the first signal.  No exit code changes it afterwards.  TERM
          and CONT go to the group (a stopped process never dies of TERM), KILL after `grace`.
  pinned  A leader that died while its group is being killed is reaped last: its zombie keeps the
          number of the group from being given to another process.
  fed     lwt's ends of the pipes are non-blocking.  One read per turn is fair to other children.

Only this module uses `subprocess`.  It does not know hosts, ssh or flows.
"""

import contextlib
import os
import signal
from typing import Callable, NamedTuple, Optional

from lwt import procfs
from lwt.pipes import PipeWriter
from lwt.selectors_loop import PipeSource, Timers, chunk_size

PROGRESS_EVERY = 1.0        # seconds between two calls of Command.progress
HELD_LOOK = 0.1             # seconds between two checks whether a paused child is read again
LEFT_LOOK = 0.2             # seconds between two checks whether a dead leader's group has ended
UNKILLABLE_AFTER = 5.0      # seconds after KILL; a process alive then hangs in the kernel (state D)
LIFELINE_EXTRA = 2.0        # seconds over grace for a host to end a command without a lifeline


class Command(NamedTuple):
    """What to run.  Times are seconds; 0 means no limit.

    executable: the file to run, if it is not argv[0] as found in lwt's own PATH.
    stdin, stdin_path, source: bytes, the content of a file, or a PipeSource, written to the child.
        With none of them and no lifeline, the child gets /dev/null.
    lifeline: seconds between heartbeats on standard input, which stays open as long as lwt lives.
    env: the whole environment; None: that of lwt.  variables: {bytes: bytes} to add to it.
    hello: maximum time until sink.started.  stall: maximum time without a byte read or written.
    progress: for a child like scp, which moves bytes by itself: called every second with its
        process id.  Any change of its return value counts as a byte moved; None stops the child.
    rate: maximum bytes per second, in each direction.
    sink: a selectors_loop.Sink.  Without one, the Result keeps up to `limit` bytes of each stream.

    For flow.Pool only: gate: the flow.Gate for logins.  beside: how the child runs while its flow
    continues: '' (not at all), 'slot' (it keeps its slot) or 'background'.  tied: a Child beside
    its flow; if it fails, this one is stopped too.  is_local: work on this machine, without a slot;
    at most one runs per processor.
    """

    argv: tuple
    executable: Optional[bytes] = None
    stdin: bytes = b''
    stdin_path: str = ''
    source: Optional[PipeSource] = None
    lifeline: float = 0.0
    cwd: Optional[str] = None
    env: Optional[dict] = None
    variables: Optional[dict] = None
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
    tied: Optional['Child'] = None
    is_local: bool = False
    label: str = ''


class Result(NamedTuple):
    """How a Command ended.

    status: 'exited', 'signaled', 'unspawnable', 'unknown' (the program that embeds lwt collected
    the exit status before lwt did), or why lwt ended it: 'timeout', 'hello', 'stalled',
    'cancelled', 'over', 'unwanted', 'unreadable' (its input could not be read; stderr says why).
    code: the exit code; the signal number for 'signaled'; errno for 'unspawnable'.  If lwt ended
    the child, code is the exit code or signal number with which it finally ended.
    incomplete: the pipes were still open when drain was over, so output may be missing.
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
    """One running Command.

    on_done(result) is called once, at the end; on_begun(), if given, as soon as sink.started.
    """

    def __init__(self, loop, guard, command, on_done, on_begun=None):
        self._loop = loop
        self._guard = guard
        self.command = command
        self._on_done = on_done
        self._on_begun = on_begun
        self.result = None              # set at the end
        self._popen = None
        self._streams = {}              # fd -> name, of streams that are still open
        self._kept = {'stdout': bytearray(), 'stderr': bytearray()}
        self._truncated = False
        self._incomplete = False
        self._cause = ''                # why lwt is ending it
        # The procfs.Exit after its end; the process stays a zombie until its group is dead.
        self._exit = None
        self._is_reaped = False
        self._killed = False            # whether KILL was sent to the group
        self._timers = Timers(loop)
        self._stall_timer = None
        self._moved_at = 0.0            # when a byte was last read, or the stall began to count
        self._over = False              # whether its sink has all output
        self._holds = set()             # the reasons for which it is paused
        self._held_since = 0.0
        self._held_for = 0.0            # seconds paused, which do not count for its timeout
        self._input = None              # the PipeWriter of its standard input, or None
        self._noticed_at = 0.0
        self._marker = ''
        self._chunk = chunk_size(command.rate)

    @property
    def age(self):
        """Seconds since its start, without those in which it was paused."""
        held = self._held_for + (self._loop.time() - self._held_since if self._holds else 0.0)
        return self._loop.time() - self._started_at - held

    # -- start -------------------------------------------------------------------------------------

    def start(self):
        """Start the process and register its pipes, deadlines and end with the loop.

        Raises OSError if it cannot be started; on_done is then not called.
        """
        command = self.command
        source = command.source
        fed = bool(command.stdin or command.stdin_path or source or command.lifeline)
        self._guard.start()
        if command.stdin_path:
            source = open(command.stdin_path, 'rb', buffering=0)
        self._marker, changes = self._guard.environment(command)
        self._started_at = self._loop.time()
        try:
            self._popen, stdout, stderr, stdin = _spawn(command, changes, fed)
        except BaseException:
            if source is not None:
                source.close()
            raise
        self._guard.add(self._popen.pid)
        self._open_stream('stdout', stdout)
        self._open_stream('stderr', stderr)
        if fed:
            self._input = PipeWriter(self._loop, self._timers, stdin, command.stdin, source,
                                     command.rate, command.lifeline,
                                     lambda: self.stop('unreadable'))
            self._input.start()
        if command.timeout:
            self._at_age(command.timeout, lambda: self.stop('timeout'))
        if command.hello:
            self._timers.call_later(command.hello, self._check_hello)
        if command.stall:
            self.expect(command.stall)
        if command.progress:
            self._timers.call_later(PROGRESS_EVERY, self._ask_progress, None)
        self._loop.watch(self, self._has_ended, self._ended)

    def _open_stream(self, name, fd):
        os.set_blocking(fd, False)
        self._streams[fd] = name
        self._loop.add_reader(fd, lambda: self._read(fd))

    def _at_age(self, age, callback):
        """Call callback() when the child has this age.  It does not age while it is paused."""
        left = age - self.age
        if left > 0:
            self._timers.call_later(max(left, HELD_LOOK) if self._holds else left,
                                    self._at_age, age, callback)
        else:
            callback()

    def _check_hello(self):
        if not self.command.sink.started:
            self.stop('hello')

    def _check_stall(self):
        """Stop it if no byte has moved for `stall` seconds.

        The time before it has begun, and the time in which it is paused, do not count.
        """
        if self._holds or not self._is_started():
            self._moved_at = self._loop.time()
        moved_at = max(self._moved_at, self._input.moved_at if self._input is not None else 0.0)
        left = moved_at + self.command.stall - self._loop.time()
        if left > 0:
            self._stall_timer = self._timers.call_later(left, self._check_stall)
        else:
            self.stop('stalled')

    def _ask_progress(self, last):
        number = self.command.progress(self._popen.pid)
        self._moved_at = self._moved_at if number == last else self._loop.time()
        self._timers.call_later(PROGRESS_EVERY, self._ask_progress, number)
        if number is None:
            self.stop('unwanted')

    def expect(self, stall):
        """From now on, stop it if no byte moves for `stall` seconds; 0: no limit."""
        self.command = self.command._replace(stall=stall)
        self._moved_at = self._loop.time()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        self._stall_timer = self._timers.call_later(stall, self._check_stall) if stall else None

    def hang_up(self):
        """Close its standard input, so that it ends by itself; send TERM after its grace."""
        if not self._is_reaped and not self._cause:
            self._timers.cancel()
            self._close_stdin()
            self._timers.call_later(self.command.grace, self._terminate)

    # -- output ------------------------------------------------------------------------------------

    def _read(self, fd):
        try:
            data = os.read(fd, self._chunk)
        except BlockingIOError:
            return
        except OSError:                 # for example EIO: treated as end-of-file
            data = b''
        name = self._streams[fd]
        if not data:
            self._close_stream(fd)
            return
        self._moved_at = self._loop.time()
        if self.command.sink is not None:
            self._feed(self.command.sink, name, data)
            if self._on_begun is not None and self.command.sink.started:
                self._loop.call_soon(self._on_begun)
                self._on_begun = None
        else:
            self._keep(self._kept[name], data)
        if self.command.rate and not self._is_reaped:
            self._loop.remove(fd)
            self._loop.call_later(len(data) / self.command.rate, self._resume_reading, fd)
        if self._input is not None:
            self._input.ask_again()

    def _feed(self, sink, name, data):
        if sink.feed(name, data) is True:
            self.stop('unwanted')
        if sink.ended and not self._over:
            # Processes that a command left running may hold the pipes as long as they live.
            self._over = True
            self._timers.cancel()       # the command met its deadlines
            self._timers.call_later(self.command.drain, self._let_go)
        if sink.full:
            sink.room = lambda: self.resume('sink')
            self.pause('sink')

    def _keep(self, kept, data):
        room = self.command.limit - len(kept)
        self._truncated = self._truncated or len(data) > room
        kept += data[:room]

    def _close_stream(self, fd):
        del self._streams[fd]
        self._loop.remove(fd)
        os.close(fd)
        if not self._streams and self._is_reaped:
            self._loop.call_soon(self._finish)

    def pause(self, why='reader'):
        """Stop reading, because the reader of the output is slower; full pipes block the child."""
        if not self._holds:
            self._held_since = self._loop.time()
            for fd in self._streams:
                self._loop.remove(fd)
        self._holds.add(why)

    def resume(self, why='reader'):
        """Read again, unless it is paused for another reason."""
        if why in self._holds:
            self._holds.discard(why)
            if not self._holds:
                self._held_for += self._loop.time() - self._held_since
                for fd in self._streams:
                    self._resume_reading(fd)

    def _resume_reading(self, fd):
        if fd in self._streams and not self._holds:
            self._loop.remove(fd)       # it may be watched already
            self._loop.add_reader(fd, lambda: self._read(fd))

    def _close_stdin(self):
        if self._input is not None:
            self._input.close()

    # -- the end -----------------------------------------------------------------------------------

    def stop(self, cause):
        """End it: close its lifeline if it has one and has begun, else send TERM; KILL later.

        cause: the status of its Result.
        """
        if self._cause:
            return
        self._cause = cause
        self._timers.cancel()
        if self._is_reaped:
            self._give_up_pipes()
        elif self.command.lifeline and self._is_started():
            self._close_stdin()
            self._timers.call_later(self.command.grace + LIFELINE_EXTRA, self._terminate)
        elif self.command.hello and not self._is_started():
            # Only a begun command needs grace; an ssh that waits for its master logs in on TERM.
            self._kill()
        else:
            self._terminate()

    def _let_go(self):
        self._cause = self._cause or 'over'
        self._timers.cancel()
        self._terminate()

    def kill(self):
        """End it at once: send KILL to the group, without grace."""
        self._cause = self._cause or 'cancelled'
        self._timers.cancel()
        if self._is_reaped:
            self._give_up_pipes()
        else:
            self._kill()

    def _is_started(self):
        return self.command.sink is None or self.command.sink.started

    def _terminate(self):
        for signum in (signal.SIGTERM, signal.SIGCONT):     # a stopped process never dies of TERM
            self._signal_group(signum)
        self._guard.terminate_escaped(self._popen.pid, self._marker)
        self._timers.call_later(self.command.grace, self._kill)

    def _kill(self):
        self._killed = True
        self._signal_group(signal.SIGKILL)
        self._guard.kill_escaped(self._popen.pid, self._marker, self._on_killed)

    def _on_killed(self):
        """KILL was sent to all its processes."""
        if self._is_reaped:
            return
        if self._exit is not None:
            self._reap()
        else:
            self._timers.call_later(UNKILLABLE_AFTER, self._abandon)

    def _signal_group(self, signum):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signum)

    def _has_ended(self):
        """Whether the leader is dead."""
        self._noticed_at = self._loop.time()
        self._exit = procfs.exit_of(self._popen)
        return self._exit is not None

    def _ended(self):
        if self._is_reaped:
            return
        if (not self._cause or self._killed
            or not self._guard.has_left(self._popen.pid, self._marker, self._noticed_at)):
            self._reap()
        else:
            self._timers.call_later(LEFT_LOOK, self._look_again)

    def _look_again(self):
        self._noticed_at = self._loop.time()
        self._ended()

    def _reap(self):
        self._is_reaped = True
        procfs.reap(self._popen, self._exit)
        self._guard.remove(self._popen.pid)
        self._timers.cancel()
        self._close_stdin()
        if not self._streams:
            self._loop.call_soon(self._finish)
            return
        if self._holds:
            # Only the content of the pipes is left, and there is no child to block any more.
            for why in list(self._holds):
                self.resume(why)
        elif not self.command.rate:
            for fd in list(self._streams):
                self._read(fd)          # usually end-of-file
        if self._streams:
            self._at_age(self.age + self.command.drain, self._give_up_pipes)

    def _give_up_pipes(self):
        self._incomplete = bool(self._streams)
        for fd in list(self._streams):
            self._close_stream(fd)

    def _abandon(self):
        """Report the end of a child that KILL does not end.  It stays on the guard's list."""
        self._loop.unwatch(self)
        self._is_reaped = True
        self._exit = procfs.Exit('signaled', signal.SIGKILL)
        self._close_stdin()
        self._give_up_pipes()
        self._loop.call_soon(self._finish)

    def _finish(self):
        on_done, self._on_done = self._on_done, None
        if on_done is None:
            return
        self._timers.cancel()
        writer, self._input = self._input, None         # breaks a reference cycle
        if self._cause == 'unreadable':
            self.result = unreadable(self.command, writer.error)
        else:
            self.result = Result(
                self.command, self._cause or self._exit.status, self._exit.code,
                bytes(self._kept['stdout']), bytes(self._kept['stderr']),
                self._loop.time() - self._started_at, self._truncated, self._incomplete)
        on_done(self.result)


def unreadable(command, error):
    """The Result of a Command whose input could not be read; error: an OSError."""
    text = '%s: %s' % (error.filename or command.stdin_path or 'input', error.strerror)
    return Result(command, 'unreadable', error.errno or 0, stderr=os.fsencode(text))


def _spawn(command, changes, fed):
    """Start a child: (Popen, lwt's ends of its stdout, stderr, stdin or -1).  Raises OSError."""
    pipes = []                          # (end to read, end to write)
    try:
        for _stream in range(3 if fed else 2):
            pipes.append(os.pipe())
        theirs = [pipes[0][1], pipes[1][1]] + [pipe[0] for pipe in pipes[2:]]
        popen = start_process(command, changes, theirs)
    except BaseException:
        for pipe in pipes:
            os.close(pipe[0])
            os.close(pipe[1])
        raise
    for fd in theirs:
        os.close(fd)
    return popen, pipes[0][0], pipes[1][0], pipes[2][1] if fed else -1


def start_process(command, changes, ends):
    """Start a process in a session of its own; returns a Popen.

    changes: how its environment differs from lwt's own, in the form of guard.differences().
    ends: descriptors for its standard output, its standard error and, if there is a third, its
    standard input.  It inherits no other descriptor.  Signals that were ignored when lwt began stay
    ignored in it, except for SIGPIPE and SIGXFSZ, which Python itself ignores.
    """
    # Imported here because it is slow to import, and some commands start no process.
    import subprocess
    # Without env, the child inherits the environment as putenv(3) has changed it.  subprocess would
    # encode an env again for each child, which is a quarter of the cost of a child.
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
