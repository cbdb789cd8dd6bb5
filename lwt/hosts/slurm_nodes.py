"""The host sets @slurm:PARTITION and @slurm: nodes of the Slurm cluster to which this machine
belongs.

The names are those that Slurm gives to its nodes (NodeName).  If ssh needs another name or address,
that belongs in the configuration of ssh.
"""

from __future__ import generator_stop

import os
import re
import shutil

from lwt.errors import UsageError, printable, printable_text
from lwt.flow import running
from lwt.proc import Command
from lwt.workspace import nodeset

ASK_TIME = 20.0             # seconds for sinfo, which waits for a controller that is silent
GRACE = 1.0
ALLOCATION = 'SLURM_JOB_NODELIST'


def find(category, environ):
    """Return the names of the nodes that @CATEGORY denotes.  Raises UsageError.

    category: 'slurm:PARTITION', or 'slurm' for the nodes of the allocation in which lwt runs.
    """
    word, colon, partition = category.partition(':')
    shown = printable('@' + category)
    if not colon:
        return allocated(environ)
    if not partition:
        raise UsageError('%s: missing partition' % shown,
                         'write @slurm:PARTITION; sinfo -s lists the partitions')
    path = shutil.which('sinfo', path=environ.get('PATH', os.defpath))
    if path is None:
        raise UsageError('%s: sinfo: command not found' % shown,
                         'run lwt on a machine of the cluster, or name the hosts')
    # Partitions may be hidden: -a shows all, and cannot be combined with the name of one.
    argv = (path, '-h', '-a', '-N', '-o', '%R %N')
    with running(1, GRACE) as run:
        result, = run.reports([
            _run(Command(argv, env=dict(environ), timeout=ASK_TIME, grace=GRACE))])
    return names(result, partition, shown)


def _run(command):
    return (yield command)


def names(result, partition, shown):
    """Return the names of the nodes of a partition in the Result of sinfo, which has lines
    PARTITION NODE.  Raises UsageError that begins with `shown`.
    """
    if not result.ok or result.truncated or result.incomplete:
        raise UsageError('%s: sinfo: %s' % (shown, _problem(result)))
    lines = [line.split() for line in result.stdout.decode('utf-8', 'replace').splitlines()]
    found = {words[1] for words in lines if len(words) == 2 and words[0] == partition}
    if not found:
        raise UsageError('%s: no such partition, or it has no nodes' % shown,
                         'sinfo -s lists the partitions')
    return found


def _problem(result):
    """Return why sinfo did not give the names, in its own words if it has any."""
    if result.status == 'timeout':
        return 'no answer within %d s' % ASK_TIME
    if result.ok:
        return 'incomplete output'
    lines = _lines(result.stderr)
    return lines[-1] if lines else '%s %d' % (result.status, result.code)


def _lines(output):
    """Return the lines of bytes that are not empty, without the name of the program."""
    lines = [re.sub(r'^sinfo: (?:error: |fatal: )?', '', line.strip())
             for line in output.decode('utf-8', 'replace').splitlines()]
    return [printable_text(line) for line in lines if line]


def allocated(environ):
    """Return the names of the nodes of the allocation in which lwt runs.  Raises UsageError."""
    text = environ.get(ALLOCATION, '')
    if not text:
        raise UsageError('@slurm: %s is not set' % ALLOCATION,
                         'run lwt in an allocation (salloc, sbatch), or write @slurm:PARTITION')
    return nodeset.union([re.sub(r'(?<=[\[,])(0[0-9]*)-([0-9]+)(?=[\],])', _even, text)])


def _even(found):
    """Return a range of Slurm in the notation of node sets: 01-103 as 01-99,100-103."""
    first, last = found.groups()
    if len(last) <= len(first):
        return found.group()
    return '%s-%s,%d-%s' % (first, '9' * len(first), 10 ** len(first), last)
