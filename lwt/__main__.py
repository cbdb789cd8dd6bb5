"""`python3 -m lwt`, `python3 FOLDER/lwt`, and what the zipapp starts: the same program as the
installed `lwt`.
"""

import os
import sys

# Its folder was given to Python, which then looks inside it, and not beside it.
if not __package__:
    sys.path[0] = os.path.dirname(os.path.abspath(sys.path[0]))

from lwt.cli import main


def run():
    """Run lwt and exit."""
    sys.exit(main())


if __name__ == '__main__':
    run()
