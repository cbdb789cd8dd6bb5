"""What is known about the hosts: health and its history, load, probes and free capacity.

Decides which hosts are quarantined and how many tasks each can take now.  The samples that this
rests on are taken by scripts on the hosts.
May import: remote and below.
"""
