"""The workspace of the user on this machine: its files, options, host list and identity.

Finds the workspace, reads lwt.conf and host.list, parses node sets (`h[1-9]`), and checks who
owns each file before it is trusted.  Nothing here starts a process or speaks to a host.
May import: errors, procfs, selectors_loop.
"""
