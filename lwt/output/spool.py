"""Stores waiting output: of one command until its turn, or of one line until it is whole."""

import os

from lwt.errors import LocalError, os_error_text
from lwt.output.writer import CHUNK, note_loss

SPOOL_MEMORY = 1 << 16          # bytes of one command that are kept in memory; more goes to files


class WholeLines:
    """Writes each line of one stream to a Writer as soon as it is whole; an unfinished line waits
    in a Spool.
    """

    def __init__(self, writer, label):
        self._writer = writer
        self._label = label
        self._partial = Spool(self._on_full)

    def _on_full(self):
        """The disk has no room for an unfinished line: write it now, so that nothing is lost."""
        self._partial.pour('', self._writer)

    def feed(self, data):
        """Take bytes of the stream."""
        whole, newline, rest = data.rpartition(b'\n')
        if newline:
            text = (whole.replace(b'\n', b'\n' + self._label) if self._label else whole) + newline
            if self._partial.size:
                self._partial.pour('', self._writer)
            else:
                text = self._label + text
            self._writer.write(text)
        if rest:
            self._partial.feed('', rest if self._partial.size else self._label + rest)

    @property
    def unfinished(self):
        """Number of bytes of an unfinished line."""
        return max(0, self._partial.size - len(self._label))

    def finish(self):
        """Called at the end of the stream.  Writes an unfinished last line; it gets a newline if
        lines have a label.
        """
        if self._partial.size:
            self._partial.pour('', self._writer)
            self._writer.write(b'\n' if self._label else b'')


class Spool:
    """Stores the output of one command: up to SPOOL_MEMORY bytes in memory, more in unlinked files.

    size: number of bytes stored.  in_memory: how many of them are in memory.  on_full: a function
    that is called when the disk is full; the bytes then stay in memory, and no more should be fed
    before some are taken out.  Without on_full, the bytes are dropped, and noted as a loss.
    """

    def __init__(self, on_full=None):
        self._on_full = on_full
        self._is_cut = False            # whether the disk was full and more output is dropped
        # Stream -> [bytes] in memory, which follow the bytes in its file.
        self._chunks = {}
        self._files = {}
        self.size = 0
        self.in_memory = 0

    def feed(self, stream, data):
        """Store bytes of a stream."""
        if self._is_cut:
            return
        self._chunks.setdefault(stream, []).append(data)
        self.size += len(data)
        self.in_memory += len(data)
        if self.in_memory > SPOOL_MEMORY:
            self.write_down()

    def write_down(self):
        """Move the bytes in memory to files."""
        import tempfile                 # here, because it is slow to import and rarely needed
        try:
            for stream, chunks in self._chunks.items():
                if chunks and stream not in self._files:
                    self._files[stream] = tempfile.TemporaryFile(buffering=0)
                while chunks:
                    count = self._files[stream].write(chunks[0])
                    self.in_memory -= count
                    chunks[0] = chunks[0][count:]
                    if not chunks[0]:
                        del chunks[0]
        except OSError as error:
            if self._on_full is None:
                self._drop(error)
            else:
                self._on_full()

    def _drop(self, error):
        self._is_cut = True
        name = 'temporary file for output'
        note_loss(name, LocalError(os_error_text(name, error),
                                   'set TMPDIR to a directory with free space'))
        self._chunks.clear()
        self.in_memory = 0

    def chunks(self, stream):
        """Remove the bytes of a stream; returns an iterator over them."""
        file, chunks = self._files.pop(stream, None), self._chunks.pop(stream, ())
        self.in_memory -= sum(map(len, chunks))
        self.size = 0 if not self._files and not self._chunks else self.size
        return _chain(file, chunks)

    def pour(self, stream, writer):
        """Move the bytes of a stream to a Writer."""
        if stream in self._files:
            writer.write_from(self.chunks(stream))
        elif stream in self._chunks:
            writer.write(b''.join(self.chunks(stream)))

    def pieces(self, stream):
        """An iterator over the bytes of a stream; they stay stored."""
        return _chain(self._files.get(stream), self._chunks.get(stream, ()), stays=True)


def _chain(file, chunks, stays=False):
    """An iterator over the bytes of a file (or None), followed by chunks.

    stays: leave the file open at the end.
    """
    try:
        at = 0
        while file is not None:
            data = os.pread(file.fileno(), CHUNK, at)
            if not data:
                break
            at += len(data)
            yield data
    except OSError as error:            # a broken disk: the rest is lost, the run continues
        note_loss('temporary file for output', error)
    finally:
        if file is not None and not stays:
            file.close()
    yield from chunks
