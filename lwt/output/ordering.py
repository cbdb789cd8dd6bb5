"""The order in which the output of several commands is printed.

Every command has a CommandOutput, which takes the output of its process.  An Ordering decides when
it is printed:

  Direct       bytes as they arrive
  LineByLine   whole lines as they arrive
  Grouped      all output of a command when the command is done
  InOrder      command after command, in the order in which they began

With Grouped and InOrder, one command prints at a time and the output of the others waits, in memory
and in temporary files.  If the disk is full, an output becomes full: lwt stops reading the process
until it is the turn of its output.  So no output is lost, and memory use does not grow.
"""

import collections

from lwt.output.spool import Spool, WholeLines
from lwt.selectors_loop import Sink

STREAMS = ('stdout', 'stderr')
# Maximum bytes in memory of all commands that are done and wait for their turn; the rest is in
# files.
KEPT = 8 << 20


class CommandOutput(Sink):
    """The output of one command.

    received: bytes of standard output so far, of this attempt.  unfinished: bytes of a line that
    waits for its end.
    """

    received = 0
    unfinished = 0

    def forget(self):
        """The command is tried again: drop the output that was not printed yet."""
        self.received = 0

    def end(self):
        """No more output will come; called by the Ordering."""


class Ordering:
    """Decides when the output of commands is printed.  Base class.

    out: a writer.Output.  on_full: a function that is called when an output has become full.
    backlog: number of commands that are done and whose output is not printed yet.
    """

    backlog = 0

    def __init__(self, out):
        self._out = out
        self.on_full = lambda: None

    def begin(self, label=b''):
        """Returns the CommandOutput of another command.  label: goes before each line."""
        raise NotImplementedError

    def done(self, output):
        """The command of a CommandOutput is done: nothing more is fed to it."""
        output.end()


class Direct(Ordering):
    """Prints bytes as they arrive, without labels; lines of several commands may be mixed."""

    def begin(self, label=b''):
        return DirectOutput(self._out)


class DirectOutput(CommandOutput):
    """Prints the output of one command at once."""

    def __init__(self, out):
        self._out = out

    def feed(self, stream, data):
        self.received += len(data) * (stream == 'stdout')
        self._out.stream(stream).write(data)


class LineByLine(Ordering):
    """Prints whole lines of all commands as they arrive."""

    def begin(self, label=b''):
        return LineOutput(self._out, label)


class LineOutput(CommandOutput):
    """Prints each line of one command as soon as it is whole."""

    def __init__(self, out, label):
        self._lines = {stream: WholeLines(out.stream(stream), label) for stream in STREAMS}

    @property
    def unfinished(self):
        return sum(lines.unfinished for lines in self._lines.values())

    def feed(self, stream, data):
        self.received += len(data) * (stream == 'stdout')
        self._lines[stream].feed(data)

    def end(self):
        for lines in self._lines.values():
            lines.finish()


class _Labelled:
    """Puts a label before each line of a stream whose bytes come in any pieces."""

    def __init__(self, label):
        self._label = label
        self._at_start = True

    def pieces(self, chunks):
        """An iterator over the labelled bytes of an iterator of bytes."""
        for data in chunks:
            if data:
                head = self._label if self._at_start else b''
                self._at_start = data.endswith(b'\n')
                yield head + data[:-1].replace(b'\n', b'\n' + self._label) + data[-1:]

    def end(self):
        """An iterator over the newline that is added to an unfinished last line."""
        if not self._at_start:
            yield b'\n'


class TurnOutput(CommandOutput):
    """Keeps the output of one command until its turn; from then on, prints it as it arrives.

    on_full: a function that is called with this output when the disk is full.  If None, output that
    does not fit on the disk is dropped and noted as a loss.
    """

    def __init__(self, label, on_full=None):
        self._on_full = on_full
        self._lines = {stream: _Labelled(label) for stream in STREAMS} if label else {}
        self._out = None                # set when it is its turn
        self.finished = False           # its command is done
        self.kept = 0                   # bytes in memory when the command was done
        self.forget()

    def forget(self):
        self._spool = Spool(self._note_full if self._on_full is not None else None)
        self.received = 0
        self.full = False

    @property
    def in_memory(self):
        """Bytes in memory that wait for their turn."""
        return self._spool.in_memory

    def write_down(self):
        """Move the waiting output from memory to a file."""
        self._spool.write_down()

    def feed(self, stream, data):
        self.received += len(data) * (stream == 'stdout')
        if self._out is None:
            self._spool.feed(stream, data)
        else:
            self._print(stream, iter((data,)))

    def _print(self, stream, chunks):
        writer = self._out.stream(stream)
        if self._lines:
            writer.write_from(self._lines[stream].pieces(chunks))
        else:
            for data in chunks:
                writer.write(data)

    def _note_full(self):
        if not self.full:
            self.full = True
            self._on_full(self)

    def take_turn(self, out):
        """Print the kept output, and from now on print output as it arrives."""
        self._out = out
        for stream in STREAMS:
            if self._lines:
                out.stream(stream).write_from(
                    self._lines[stream].pieces(self._spool.chunks(stream)))
            else:
                self._spool.pour(stream, out.stream(stream))
        self.full = False
        self.room()

    def end(self):
        for stream, lines in self._lines.items():
            self._out.stream(stream).write_from(lines.end())


class Grouped(Ordering):
    """Prints all output of a command when the command is done, in the order in which commands end.

    A full output gets its turn as soon as no other output is printing; its command then prints
    live.
    """

    def __init__(self, out):
        super().__init__(out)
        self._printing = None           # the output of a running command whose turn it is
        # Outputs that are done, or full, while another one is printing.
        self._waiting = collections.deque()

    @property
    def backlog(self):
        return len(self._waiting)

    def begin(self, label=b''):
        return TurnOutput(label, self._give_turn)

    def _give_turn(self, output):
        self._waiting.append(output)
        self._print_next()
        self.on_full()

    def done(self, output):
        output.finished = True
        if output is self._printing:
            output.end()
            self._printing = None
        elif output not in self._waiting:
            self._waiting.append(output)
        self._print_next()

    def _print_next(self):
        while self._printing is None and self._waiting:
            output = self._waiting.popleft()
            output.take_turn(self._out)
            if output.finished:
                output.end()
            else:
                self._printing = output


class InOrder(Ordering):
    """Prints the output of the commands in the order in which they began.

    live: print the output of the first unfinished command as it arrives.  holds_back: stop reading
    a command whose output does not fit on the disk; else drop that output.
    """

    def __init__(self, out, live, holds_back=True):
        super().__init__(out)
        self._live = live
        self._holds_back = holds_back
        self._queue = collections.deque()
        self._printing = False          # whether the first output in the queue is printing
        self._kept = 0                  # bytes in memory of commands that are done
        self.backlog = 0

    def begin(self, label=b''):
        output = TurnOutput(label, self._note_full if self._holds_back else None)
        self._queue.append(output)
        if self._live:
            self._print_next()
        return output

    def _note_full(self, _output):
        self._print_next()
        self.on_full()

    def done(self, output):
        output.finished = True
        self.backlog += 1
        if self._kept + output.in_memory > KEPT:
            output.write_down()
        output.kept = output.in_memory
        self._kept += output.kept
        self._print_next()

    def _print_next(self):
        while self._queue:
            first = self._queue[0]
            if not self._printing and (self._live or first.finished or first.full):
                self._printing = True
                first.take_turn(self._out)
            if not first.finished:
                return
            first.end()
            self._queue.popleft()
            self._printing = False
            self.backlog -= 1
            self._kept = max(0, self._kept - first.kept)
