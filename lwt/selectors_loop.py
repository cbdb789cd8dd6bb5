"""The loop: waits for pipes, timers, children and signals in one place.

The module also holds Timers, which are cancelled together, and the classes that take the output of
a process and give its input.

The loop uses a self-pipe.  Since Python 3.5 (PEP 475), select() restarts after a signal, so SIGCHLD
alone never wakes it.  `signal.set_wakeup_fd` writes a byte into a pipe that the loop reads like any
other.  It does so only for signals that have a Python handler, so SIGCHLD always gets one, even if
it was inherited as ignored: then the kernel would reap the children itself, and every exit code
would be 0.  A byte does not stand for one dead child: signals coalesce and the pipe may fill.  So
each wake-up checks every watched child.

Guarantees:
- There is one loop per process, on the main thread.
- It does not poll: without a timer or an event it does not wake up.
- Callbacks of descriptors only move bytes; every completion goes through call_soon.
- An event is dispatched only if its descriptor is still the one that was registered.
- __exit__ restores every handler, the wake-up fd and the signal mask.

The loop does not know children or flows.  All `selectors` and signal handlers of the package are in
this module.
"""

import heapq
import itertools
import math
import os
import selectors
import signal
import sys
import time
from collections import deque

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

# Seconds.  If a wait returns later than its timeout by this much, lwt was stopped or the machine
# was suspended.  The children were too, so their deadlines are moved by the gap, and none of them
# is killed because of it.
SLEPT = 5.0
LATE = 0.2                  # seconds; after such a delay, events are handled before deadlines
MANY_CANCELLED = 100        # the heap is cleaned if it holds more cancelled timers than this
LONGEST_WAIT = 86400.0      # seconds; epoll accepts at most 2^31 ms
READ_SIZE = 65536           # bytes of one read or write
RATE_STEP = 0.25            # seconds that one read or write may take at a limited rate


def _noop(*_args):
    """A signal handler that does nothing, because the loop reads the byte in the self-pipe."""


class Timer:
    """A call at a certain time; cancel() disarms it.

    A cancelled timer stays in the heap until its time, or until the heap is cleaned, because this
    is cheaper than removing it.
    """

    __slots__ = ('callback', 'args', '_loop')

    def __init__(self, loop, callback, args):
        self._loop = loop
        self.callback = callback
        self.args = args

    def cancel(self):
        if self.callback is not None:
            self.callback = None
            self.args = ()
            self._loop.cancelled += 1

    def fire(self):
        callback, args = self.callback, self.args
        if callback is not None:
            self.callback, self.args = None, ()         # so that a later cancel() does nothing
            callback(*args)


class Loop:
    """Wait for pipes, timers, children and signals.  Use as a context manager, on the main thread.

    clock: a function that returns seconds; tests pass their own, so that no timer test sleeps.
    """

    def __init__(self, clock=time.monotonic):
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._watched = {}              # fd -> (callback,)
        self._always_ready = {}         # fd -> callback: regular files, which epoll refuses
        self._timers = []               # heap of (time, serial, Timer)
        self.cancelled = 0              # number of cancelled timers that may still be in the heap
        self._serial = itertools.count()
        self._ready = deque()
        self._children = {}             # key -> (has_ended, callback)
        self._on_signal = {}
        self._old_handlers = {}
        self._late = 0.0
        self._stopped = False

    # -- life cycle --------------------------------------------------------------------------------

    def __enter__(self):
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_r, False)
        os.set_blocking(self._wake_w, False)
        # Children would inherit blocked signals.
        self._old_mask = signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self._old_wakeup_fd = _set_wakeup_fd(self._wake_w)
        self._take_over(signal.SIGCHLD)
        for signum in HANDLED:
            if signal.getsignal(signum) is not signal.SIG_IGN:      # keeps the effect of nohup
                self._take_over(signum)
        self.add_reader(self._wake_r, self._woken)
        return self

    def __exit__(self, *_exc):
        for signum, handler in self._old_handlers.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
        _set_wakeup_fd(self._old_wakeup_fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._old_mask)
        self._selector.close()
        os.close(self._wake_r)
        os.close(self._wake_w)

    def _take_over(self, signum):
        self._old_handlers[signum] = signal.signal(signum, _noop)

    # -- events ------------------------------------------------------------------------------------

    def time(self):
        """Seconds since an arbitrary start, without the time in which lwt was stopped or suspended.
        """
        return self._clock() - self._late

    def add_reader(self, fd, callback):
        """Call callback() whenever fd can be read.  A descriptor is watched in one direction only.
        """
        self._register(fd, selectors.EVENT_READ, callback)

    def add_writer(self, fd, callback):
        """Call callback() whenever fd can be written."""
        self._register(fd, selectors.EVENT_WRITE, callback)

    def _register(self, fd, events, callback):
        try:
            self._selector.register(fd, events)
            self._watched[fd] = (callback,)
        # epoll(7): EPERM for files that are always ready, such as regular files and /dev/null.
        except PermissionError:
            self._always_ready[fd] = callback

    def remove(self, fd):
        """Stop watching fd; nothing happens if it is not watched."""
        if self._watched.pop(fd, None) is not None:
            self._selector.unregister(fd)
        else:
            self._always_ready.pop(fd, None)

    def call_soon(self, callback, *args):
        """Call callback(*args) in the next turn."""
        self._ready.append((callback, args))

    def call_later(self, seconds, callback, *args):
        """Call callback(*args) after a number of seconds; returns the Timer."""
        if self.cancelled > MANY_CANCELLED and 2 * self.cancelled > len(self._timers):
            self._timers = [entry for entry in self._timers if entry[2].callback is not None]
            heapq.heapify(self._timers)
            self.cancelled = 0
        timer = Timer(self, callback, args)
        heapq.heappush(self._timers, (self.time() + seconds, next(self._serial), timer))
        return timer

    def watch(self, key, has_ended, callback):
        """Call callback() once, as soon as has_ended() is true.  The loop calls has_ended() in the
        next turn and after every signal.
        """
        self._children[key] = (has_ended, callback)
        self.call_soon(self._look_at, key)

    def unwatch(self, key):
        """Stop watching this child."""
        self._children.pop(key, None)

    def on_signal(self, signum, callback):
        """Call callback(signum) when the signal arrives; never if it was ignored at the start."""
        if signum not in self._old_handlers and signal.getsignal(signum) is not signal.SIG_IGN:
            self._take_over(signum)
        self._on_signal[signum] = callback

    # -- running -----------------------------------------------------------------------------------

    def run(self):
        """Run until nothing is pending, or until stop() is called."""
        self._stopped = False
        while not self._stopped and self._has_work():
            if self._select(self._timeout()):
                self._select(0)         # handle all events before late deadlines
            self._fire_timers()
            for _ in range(len(self._ready)):
                callback, args = self._ready.popleft()
                callback(*args)

    def stop(self):
        """Return from run() after this turn."""
        self._stopped = True

    def _has_work(self):
        self._drop_cancelled()
        return bool(self._ready or self._timers or self._children or self._always_ready
                    or len(self._watched) > 1)      # 1: the self-pipe

    def _drop_cancelled(self):
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
            self.cancelled -= 1

    def _timeout(self):
        if self._ready or self._always_ready:
            return 0
        if self._timers:
            return min(LONGEST_WAIT, max(0.0, self._timers[0][0] - self.time()))
        return None

    def _select(self, timeout):
        """Wait, and dispatch the events; returns True if the wait returned more than LATE s late.
        """
        before = self._clock()
        events = self._selector.select(timeout)
        elapsed = self._clock() - before
        is_late = timeout is not None and elapsed > timeout + LATE
        if timeout is not None and elapsed > timeout + SLEPT:
            self._late += elapsed
        for fd, entry in [(key.fd, self._watched.get(key.fd)) for key, _mask in events]:
            # Skip a number that an earlier callback of this batch removed or reused.
            if entry is not None and self._watched.get(fd) is entry:
                entry[0]()
        for fd, callback in list(self._always_ready.items()):
            if self._always_ready.get(fd) is callback:
                callback()
        return is_late

    def _fire_timers(self):
        now = self.time()
        while self._timers and self._timers[0][0] <= now:
            _when, _serial, timer = heapq.heappop(self._timers)
            self.call_soon(timer.fire)

    def _woken(self):
        signums = set()
        try:
            while True:
                signums.update(os.read(self._wake_r, 4096))
        except BlockingIOError:
            pass
        for signum in signums:
            if signum in self._on_signal:
                self.call_soon(self._on_signal[signum], signum)
        for key in list(self._children):
            self._look_at(key)

    def _look_at(self, key):
        has_ended, callback = self._children.get(key, (None, None))
        if has_ended is not None and has_ended():
            del self._children[key]
            self.call_soon(callback)


def _set_wakeup_fd(fd):
    """signal.set_wakeup_fd without its warning about a full pipe: any byte in it is enough.  Python
    3.6 cannot turn the warning off.
    """
    if sys.version_info >= (3, 7) and fd != -1:
        return signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    return signal.set_wakeup_fd(fd)


class Timers:
    """Timers of a Loop that can be cancelled together."""

    def __init__(self, loop):
        self._loop = loop
        self._pending = set()           # Timers that have not fired

    def __len__(self):
        return len(self._pending)

    def call_later(self, seconds, callback, *args):
        """Call callback(*args) after a number of seconds; returns the Timer."""
        def fire():
            self._pending.discard(timer)
            callback(*args)

        timer = self._loop.call_later(seconds, fire)
        self._pending.add(timer)
        return timer

    def cancel(self):
        """Cancel all timers that have not fired."""
        for timer in self._pending:
            timer.cancel()
        self._pending.clear()


def chunk_size(rate):
    """Bytes of one read or write.  rate: limit in bytes per second; 0: no limit."""
    return min(READ_SIZE, math.ceil(rate * RATE_STEP)) or READ_SIZE


class Sink:
    """Takes the output of one process; see proc.Command.  Every sink derives from this class.

    started: whether the process has begun to answer; until then its hello timeout runs.
    ended: whether all output has arrived; the process then has `drain` seconds to end.
    full: whether there is no room for more.  The process is not read any further until the sink
    calls room(), a function that proc.Child sets when it finds the sink full.
    """

    started = True
    ended = False
    full = False

    def feed(self, stream, data):
        """Take bytes of a stream, 'stdout' or 'stderr'.

        Returns True if no more output is wanted: the process is then stopped with status
        'unwanted'.  Every other value means that more may come.
        """
        raise NotImplementedError

    def room(self):
        """Called by the sink when it has room again; replaced by proc.Child."""


class PipeSource:
    """Gives bytes to a PipeWriter.  A raw file has the same methods.

    When read() returns None, the PipeWriter sets `wake`.  The source calls wake() when it has bytes
    again.
    """

    def read(self, size):
        """The next bytes; None if there are none for now, b'' at the end.

        size: the preferred number of bytes.  Raises OSError if the source cannot be read.
        """
        raise NotImplementedError

    def close(self):
        """Release all resources: nothing more will be read."""
