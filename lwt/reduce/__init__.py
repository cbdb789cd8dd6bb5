"""`lwt reduce`: partitions by key, reducers on the hosts, and the merge of what they return.

A ledger counts the records and bytes of each step, so that a loss is found and told.
May import: copy, output and below.
"""
