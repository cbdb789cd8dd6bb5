"""The queue of tasks: its model, database, scheduler, visits to hosts, and results.

The states of a task and what may follow each are in model.py; store.py commits each change
before its effect.  docs/protocol.md describes what hosts are asked.
May import: copy, output and below.
"""
