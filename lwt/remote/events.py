"""Events for the log.  They cost nothing if nobody uses them.

They go to the logger "lwt" of the logging module.  A program that uses lwt may add its own handlers
to this logger.  This module does not import logging, because that takes as long as importing the
rest of lwt.  If logging is not imported, no handler can exist.
"""

import sys


def note(text, host='', task='', attempt=0):
    """Log an event.  host: name of the host, or ''.  task: id of the task, or ''.  attempt: number
    of its attempt, or 0.
    """
    logging = sys.modules.get('logging')
    if logging is not None:
        logging.getLogger('lwt').info('%s', text,
                                      extra={'host': host, 'task': task, 'attempt': attempt})
