"""lwt runs work on whatever machines you can ssh to.  See docs/architecture.md for the map of this
package.
"""

__version__ = '0.1.0'
