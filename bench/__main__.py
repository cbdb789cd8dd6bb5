"""Print the speed of lwt relative to comparable programs on the same work, best of several rounds.

    python3 -m bench [-n ROUNDS] [AREA…]        all areas if none is named

A program that is not installed is named as missing. Work on hosts needs root (network namespaces)
and is left out without it.
"""

import argparse
import importlib
import os
import signal
import sys

from bench.measure import environment

AREAS = ('multi', 'pipe', 'remote', 'fanout', 'copy', 'queue', 'scale', 'weather', 'reduce',
         'chain')


def main(argv):
    """Print the tables; returns an exit code."""
    parser = argparse.ArgumentParser(prog='python3 -m bench', description=__doc__.split('\n')[0])
    parser.add_argument('-n', dest='rounds', type=int, default=3)
    parser.add_argument('areas', nargs='*', metavar='AREA', help=' '.join(AREAS))
    options = parser.parse_args(argv)
    # Treat TERM as an interrupt, so that the started processes end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for area in options.areas:
        if area not in AREAS:
            parser.error('no such area: %s (%s)' % (area, ' '.join(AREAS)))
    print('Python %s, %d cores, best of %d'
          % (sys.version.split()[0], os.cpu_count() or 1, options.rounds))
    for area in options.areas or AREAS:
        importlib.import_module('bench.' + area).measure(options.rounds, environment())
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
