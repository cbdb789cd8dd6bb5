"""Durations and sizes as text for people."""


def duration(seconds):
    """A duration as text: 4.2 s, 3 min 5 s, 2 h 10 min; - for None."""
    if seconds is None:
        return '-'
    if seconds < 60:
        return '%.1f s' % seconds
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return '%d min %d s' % (minutes, rest)
    return '%d h %d min' % divmod(minutes, 60)


def size(number):
    """A number of bytes as text: 512 B, 1.8 MB."""
    for unit in ('B', 'kB', 'MB', 'GB'):
        if number < 1000:
            return '%.1f %s' % (number, unit) if unit != 'B' else '%d B' % number
        number /= 1000
    return '%.1f TB' % number
