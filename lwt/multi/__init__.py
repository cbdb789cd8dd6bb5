"""`lwt multi`: command lines run in parallel on this machine.

Holds the executor, the inputs that jobs are made of, templates ({}, {.}, {#}), the job log, and
the direct start of lines that need no shell.
May import: copy, output and below.
"""
