"""The local directory that a get copies into: locked, with a part in it for files that arrive.

Files arrive in the part, a new directory in the target.  From there they are verified and moved
into place by rename, so that each is complete or absent.
"""

from __future__ import generator_stop

import os
import tempfile

from lwt.copy import child_jobs, get_verify
from lwt.copy.common import done, refused
from lwt.remote import host_limits
from lwt.workspace import files

MOST_TOLD = 5               # maximum number of failures in a message


class GetTarget:
    """The target of one get.  Use as a context manager: it releases the lock.

    directory: the target.
    part: the directory in it for files that arrive, '' before make_part().
    failures: lines about what is not copied, and why.
    """

    def __init__(self, directory, options, tally):
        self.directory = directory
        self.options = options
        self.tally = tally
        self.part = ''
        self.failures = []
        self._lock = None

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        try:
            self.close()
            if self.part:               # still there only if discard was interrupted
                get_verify.discard(self.directory, self.part)
        finally:
            if self._lock is not None:
                self._lock.release()

    def close(self):
        """Close open files of the part."""

    def lock(self):
        """Create the target and lock it; returns why that is not possible, or ''.

        The parts of killed gets are removed: the lock shows that no other get is running.
        """
        files.make_dir(self.directory)
        self._lock = files.Lock(self.directory)
        if not self._lock.take():
            return '%s: in use by another get' % self.directory
        for name in os.listdir(self.directory):
            if name.startswith('.part-'):
                get_verify.discard(self.directory, os.path.join(self.directory, name))
        return ''

    def make_part(self):
        """Create the part."""
        self.part = tempfile.mkdtemp(prefix='.part-', dir=self.directory)

    def discard(self):
        """Flow: remove the part with what is not in place; what was moved aside is moved back
        first.
        """
        self.close()
        if self.part:
            get_verify.restore(self.directory, self.part)
            yield from child_jobs.remove(self.part)

    def fail(self, text):
        """Note that something is not copied, and why."""
        if len(self.failures) < host_limits.PATH_FAILURES:
            self.failures.append(text)

    def move_into_place(self, delivery, work, unchanged):
        """Flow: verify a get_verify.Delivery and move it into place; returns a Verdict.

        work: the amount of work in bytes.  unchanged: number of files that are the same already.
        """
        copied = 0
        try:
            copied, failures = yield from child_jobs.do(get_verify.accept, delivery, work)
        except child_jobs.Crashed as error:
            failures = [error.message]
        for text in failures:
            self.fail(text)
        return self.verdict(copied, unchanged)

    def verdict(self, copied, unchanged):
        """Return the Verdict on the get, and count the files.

        copied, unchanged: numbers of files.
        """
        self.tally.unchanged += unchanged
        self.tally.copied += copied
        if self.failures:
            more = len(self.failures) - MOST_TOLD
            return refused('; '.join(self.failures[:MOST_TOLD])
                           + ('; and %d more' % more if more > 0 else ''))
        return done(copied, unchanged)
