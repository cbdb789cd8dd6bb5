"""Compare with stored times, which may lie in the future because the clock was wrong.

A time far in the future was stored while the clock was ahead.  Waiting for it could take years.
"""


def is_due(due, now, longest):
    """Return True if a time has come.  longest: the longest delay that lwt uses, in seconds.

    A time further in the future was stored while the clock was wrong; it counts as now.
    """
    return due <= now or due > now + longest


def not_later(then, now):
    """The time of an event in the past; a time in the future counts as now."""
    return min(then, now)
