"""All output of lwt: the writer, the order of output, tables, the report page and the log.

Every text passes the writer, which makes control characters from hosts harmless and handles a
reader that is slow or gone.
May import: hosts and below.
"""
