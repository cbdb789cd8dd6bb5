"""Output of many jobs: one job at a time writes, the output of the others waits.

A Speaker takes what one command prints and keeps it until its turn.  Grouped, its turn is when the
command is done; in order, when all before it are done, and the first in the line speaks live.  A
speaker whose spool is full (no room on the disk) asks for the floor, and its command is read no
further until it has it: nothing is lost, and nothing grows.
"""

import collections

from lwt.output.writer import Spool, WholeLines

STREAMS = ('stdout', 'stderr')
# Bytes in memory of all commands that are done and wait for their turn; the rest is in files.
KEPT = 8 << 20


class Labelled:
    """Puts a label before each line of what one speaker says, in whatever pieces it comes."""

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
        """An iterator over what ends a last line that has no newline."""
        if not self._at_start:
            yield b'\n'


class Speaker:
    """The output of one command; a sink for proc.Child.

    received: bytes of standard output so far, of this attempt.  full: it takes no more until it has
    called room(). holds_back: may it be full?  Else what does not fit on the disk is dropped, and
    noted as a loss.
    """

    started = True

    def __init__(self, floor, label, holds_back=True):
        self._floor = floor
        self._holds_back = holds_back
        self._lines = {stream: Labelled(label) for stream in STREAMS} if label else {}
        self._out = None                # once it has the floor
        self.finished = False
        self.kept = 0                   # bytes in memory when it was done
        self.room = lambda: None
        self.forget()

    def forget(self):
        """Drop what was kept: the command is tried again.  What was shown cannot be taken back."""
        self._spool = Spool(self._on_full if self._holds_back else None)
        self.received = 0
        self.full = False

    @property
    def in_memory(self):
        """Bytes that wait for the floor in memory."""
        return self._spool.in_memory

    def write_down(self):
        """Let what waits wait in a file."""
        self._spool.write_down()

    def feed(self, stream, data):
        """Take bytes of a stream."""
        self.received += len(data) * (stream == 'stdout')
        if self._out is None:
            self._spool.feed(stream, data)
        else:
            self._show(stream, iter((data,)))

    def _show(self, stream, chunks):
        writer = self._out.stream(stream)
        if self._lines:
            writer.write_from(self._lines[stream].pieces(chunks))
        else:
            for data in chunks:
                writer.write(data)

    def _on_full(self):
        if not self.full:
            self.full = True
            self._floor.wanted(self)

    def speak(self, out):
        """It has the floor: show what was kept, and from now on what comes."""
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
        """Nothing more will come."""
        for stream, lines in self._lines.items():
            self._out.stream(stream).write_from(lines.end())


class Grouped:
    """Each command's output when it is done.

    on_full: called when a speaker has no more room.  backlog: commands that are done and not shown
    yet.
    """

    def __init__(self, out):
        self._out = out
        self.on_full = lambda: None
        self._holder = None
        # Speakers that are done, or have no room, while another has the floor.
        self._waiting = collections.deque()

    def begin(self, label):
        """The Speaker of another command."""
        return Speaker(self, label)

    @property
    def backlog(self):
        return len(self._waiting)

    def wanted(self, speaker):
        """The speaker has no more room."""
        self._waiting.append(speaker)
        self._go_on()
        self.on_full()

    def done(self, speaker):
        """The speaker's command is done."""
        speaker.finished = True
        if speaker is self._holder:
            speaker.end()
            self._holder = None
        elif speaker not in self._waiting:
            self._waiting.append(speaker)
        self._go_on()

    def _go_on(self):
        while self._holder is None and self._waiting:
            speaker = self._waiting.popleft()
            speaker.speak(self._out)
            if speaker.finished:
                speaker.end()
            else:
                self._holder = speaker


class InJobOrder:
    """The output of each command in the order in which they began; the first one's as it comes, if
    live.
    """

    def __init__(self, out, live, holds_back=True):
        self._out = out
        self._live = live
        self._holds_back = holds_back   # see Speaker
        self._line = collections.deque()
        self._speaking = False          # the first one has the floor
        self._kept = 0                  # bytes in memory of those that are done
        self.backlog = 0
        self.on_full = lambda: None

    def begin(self, label):
        """The Speaker of another command."""
        speaker = Speaker(self, label, self._holds_back)
        self._line.append(speaker)
        if self._live:
            self._go_on()
        return speaker

    def wanted(self, _speaker):
        """A speaker has no more room."""
        self._go_on()
        self.on_full()

    def done(self, speaker):
        """The speaker's command is done."""
        speaker.finished = True
        self.backlog += 1
        if self._kept + speaker.in_memory > KEPT:
            speaker.write_down()
        speaker.kept = speaker.in_memory
        self._kept += speaker.kept
        self._go_on()

    def _go_on(self):
        while self._line:
            first = self._line[0]
            if not self._speaking and (self._live or first.finished or first.full):
                self._speaking = True
                first.speak(self._out)
            if not first.finished:
                return
            first.end()
            self._line.popleft()
            self._speaking = False
            self.backlog -= 1
            self._kept = max(0, self._kept - first.kept)


class LineByLine:
    """Whole lines of all commands as they come."""

    backlog = 0

    def __init__(self, out):
        self._out = out
        self.on_full = lambda: None

    def begin(self, label):
        """The sink of another command."""
        return LineSpeaker(self._out, label)

    def done(self, speaker):
        """The command is done."""
        speaker.end()


class LineSpeaker:
    """Shows the lines of one command as soon as they are whole."""

    started = True
    full = False

    def __init__(self, out, label):
        self.received = 0
        self._lines = {stream: WholeLines(out.stream(stream), label) for stream in STREAMS}

    def forget(self):
        """What was shown cannot be taken back."""
        self.received = 0

    def feed(self, stream, data):
        """Take bytes of a stream."""
        self.received += len(data) * (stream == 'stdout')
        self._lines[stream].feed(data)

    def end(self):
        """Nothing more will come."""
        for lines in self._lines.values():
            lines.finish()
