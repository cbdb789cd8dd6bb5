"""The entry point of `python3 -m lwt`, `python3 FOLDER/lwt` and the zipapp: the same program as the
installed `lwt`.
"""

import os
import sys

# Python was started with the folder lwt: it then imports from inside it, not from its parent.
if not __package__:
    sys.path[0] = os.path.dirname(os.path.abspath(sys.path[0]))

from lwt.cli import main


def run():
    """Run lwt and exit."""
    sys.exit(main())


if __name__ == '__main__':
    run()
