"""Calls to hosts: how a script is sent, guarded and answered, and how logins are shared.

Holds the scripts in sh/, their framing, one call as a flow, the channel that answers request
after request, and the budgets that bound all that a host may send.
May import: flow, proc, the transports (ssh, scp, netcat), workspace.
"""
