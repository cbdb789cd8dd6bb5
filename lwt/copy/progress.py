"""The progress of copies: bytes expected and moved, files copied and unchanged."""


class CopyProgress:
    """The progress of all copies of a run: bytes expected and moved, files copied and unchanged.

    say(text): prints a message at once, before the copy ends.
    """

    def __init__(self):
        self.say = lambda text: None
        self.expected = 0
        self.moved = 0
        self.copied = 0
        self.unchanged = 0


class CopiedBytes:
    """Counts the bytes of files that one copy has moved, in the CopyProgress of the run.

    A stream also holds headers and padding, and a host may send more than it announced.  Neither
    counts, so no copy moves more bytes than are expected of it.
    size: bytes of the files; None if that is unknown: then what has moved is what is expected.
    stream: bytes of the stream that carries them, as far as known; 0: the files themselves.
    """

    def __init__(self, tally, size, stream=0):
        self._tally = tally
        self._size = size
        self._stream = max(stream, size or 0)
        self._counted = 0

    def reach(self, moved):
        """Count the copy up to `moved` bytes of its stream; fewer than before change nothing."""
        if self._size is None:
            self._tally.expected += max(0, moved - self._counted)
        elif self._stream:
            moved = min(moved, self._stream) * self._size // self._stream
        self._tally.moved += max(0, moved - self._counted)
        self._counted = max(self._counted, moved)

    def finish(self):
        """Count all that is expected."""
        self.reach(self._stream)
