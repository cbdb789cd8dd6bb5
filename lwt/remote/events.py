"""Events for the log.  They cost nothing where nobody listens.

They go to the logger "lwt" of the logging module, to which a program that uses lwt may add handlers
of its own.  It is not imported here: it takes as long as the rest of lwt, and while nobody has
imported it, nobody can listen.
"""

import sys


def note(text, host='', task='', attempt=0):
    """Tell what happened, with the host's name, the task's id and the number of the attempt, as far
    as it has them.
    """
    logging = sys.modules.get('logging')
    if logging is not None:
        logging.getLogger('lwt').info('%s', text,
                                      extra={'host': host, 'task': task, 'attempt': attempt})
