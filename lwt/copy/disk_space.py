"""Free space on this machine's disks for what hosts send, so that no host fills a disk."""

import os
from typing import NamedTuple

from lwt.remote import budgets


class FreeSpace(NamedTuple):
    """Bytes of a file system: free, and how many of them a stream leaves free."""

    free: int
    kept: int

    @property
    def is_short(self):
        """Has a stream taken all that it may?"""
        return self.free < self.kept

    def needed(self, size):
        """Bytes that must be free to take `size` bytes as a stream and to unpack them beside it.

        A small stream may use the last of the room: the disk is as full as its user made it.
        """
        return size + (max(size, self.kept) if size >= budgets.ROOM_EVERY else size)


def room(directory):
    """The FreeSpace of the file system of a directory.  Raises OSError."""
    there = os.statvfs(directory)
    kept = min(budgets.ROOM_KEPT, there.f_blocks * there.f_frsize // 20)
    return FreeSpace(there.f_bavail * there.f_frsize, kept)


class Watch:
    """Looks at the room in a directory now and then while a stream is written to it."""

    def __init__(self, directory):
        self._directory = directory
        self._checked = 0               # the size of the stream at the last look

    def is_short(self, size):
        """Must the stream end, now that it has so many bytes?  Raises OSError."""
        if size - self._checked < budgets.ROOM_EVERY:
            return False
        self._checked = size
        return room(self._directory).is_short
