"""Overlapping passes: which process is visiting a host that another pass skipped, and for how long.
"""

from lwt import procfs
from lwt.output import units


def overdue(workspace, names, limit):
    """Yield a line for each of these hosts whose visit by another pass is too long or stopped.

    limit: seconds; 0: no limit.
    """
    processes = procfs.processes() or {}
    for name in names:
        holder = workspace.lock('host.' + name).holder()
        if holder is None:
            continue
        pid, age = holder
        if age < 0 and pid in processes:
            age = procfs.age(processes[pid])        # no pass is older than its process
        is_stopped = pid in processes and processes[pid].state == b'T'
        if is_stopped or limit and age > limit:
            yield '%s: a pass (process %d) has been visiting it for %s%s' % (
                name, pid, units.duration(age), ', and is stopped' if is_stopped else '')
