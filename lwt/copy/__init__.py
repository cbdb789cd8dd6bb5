"""Copies of files to and from hosts: put, get and the chain from host to host.

Holds the tar streams and the reader that checks them, manifests, what happens to files on
arrival, and the jobs that hash, pack and unpack in processes of their own.
May import: hosts and below.
"""
