"""The command line: one module for each command, and what several of them share.

A command parses its arguments, plans, runs and reports; no command imports another.
options.py makes the parsers and the session, exit_codes.py the exit code.
May import: everything but cli and api.
"""
