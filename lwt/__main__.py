"""`python3 -m lwt`, and what the zipapp starts: the same program as the installed `lwt`."""

import sys

from lwt.cli import main


def run():
    """Run lwt and exit."""
    sys.exit(main())


if __name__ == '__main__':
    run()
