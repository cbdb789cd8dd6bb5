"""Compare with stored times, which may lie in the future because the clock was wrong.

A time far in the future was stored while the clock was ahead.  Waiting for it could take years.
"""


def is_due(due, now, longest):
    """Has a time come?  longest: the longest delay, in seconds, that is ever asked for.

    A time further away than that was stored while the clock was wrong; it counts as now.
    """
    return due <= now or due > now + longest


def not_later(then, now):
    """A time that something happened at: now, if it seems to lie in the future."""
    return min(then, now)
