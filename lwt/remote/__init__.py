"""Calls to hosts: sending scripts, guarding them, reading their answers, and sharing logins.

Holds the scripts in sh/, their framing, one call as a flow, the channel for several requests over
one login, and the budgets that limit what a host may send.
May import: flow, proc, the transports (ssh, scp, netcat), workspace.
"""
