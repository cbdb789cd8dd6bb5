"""The workspace of the user on this machine: its files, options, host list and identity.

Finds the workspace, reads lwt.conf and host.list, parses node sets (`h[1-9]`), and checks who owns
each file before lwt trusts it.  These modules start no process and contact no host.
May import: errors, procfs, selectors_loop.
"""
