"""lwt runs commands, copies files and runs a queue of tasks on hosts reached by ssh.

docs/architecture.md is the map of this package.
"""

__version__ = '0.1.0'
