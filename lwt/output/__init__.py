"""All that lwt prints: the one writer, the order of output, tables, the report page and the log.

Every text passes the writer, which removes control characters that a host may have sent and
handles a reader that is slow or gone.
May import: hosts and below.
"""
