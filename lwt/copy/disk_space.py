"""Free space on this machine's disks for what hosts send, so that no host fills a disk."""

import os
from typing import NamedTuple

from lwt.remote import host_limits


class FreeSpace(NamedTuple):
    """Bytes of a file system: free, and kept, which is how many a stream must leave free."""

    free: int
    kept: int

    @property
    def is_short(self):
        """Whether a stream has used all space that it may use."""
        return self.free < self.kept

    def needed(self, size):
        """Return the bytes that must be free to store a stream of `size` bytes and unpack it beside
        it.

        A small stream may use the last space, because then the user, not lwt, has filled the disk.
        """
        return size + (max(size, self.kept) if size >= host_limits.ROOM_EVERY else size)


def room(directory):
    """Return the FreeSpace of the file system of a directory.  Raises OSError."""
    there = os.statvfs(directory)
    kept = min(host_limits.ROOM_KEPT, there.f_blocks * there.f_frsize // 20)
    return FreeSpace(there.f_bavail * there.f_frsize, kept)


class Watch:
    """Checks the free space of a directory from time to time while a stream is written to it."""

    def __init__(self, directory):
        self._directory = directory
        self._checked = 0               # the size of the stream at the last check

    def is_short(self, size):
        """Return whether a stream of this size must end.  Raises OSError."""
        if size - self._checked < host_limits.ROOM_EVERY:
            return False
        self._checked = size
        return room(self._directory).is_short
