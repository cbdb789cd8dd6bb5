"""Launchers: how a host starts tasks: as processes (direct) or as jobs of a cluster (slurm).

They differ in the script that serves a visit, sh/slurm.sh in place of sh/direct.sh, and in the
options of sbatch that are sent with a task.  Nothing else knows the launcher of a host.

A task that was placed on a host with the launcher slurm has SLURM in place of a boot id: reboots of
the login node do not concern its jobs.  So it is still known as a job after the host has left the
host list, or has got another launcher.
"""

import math

from lwt.workspace import sbatch_options

SLURM = 'slurm'
# Seconds in which the commands of Slurm may answer nothing during a visit: each has a limit of its
# own in sh/slurm.sh.
SLURM_PATIENCE = 120.0
# A host without a cluster asks for no patience.
NO_PATIENCE = 0.0


def script(hosts, there):
    """The script of scripts.SHORT_SCRIPTS that serves a visit.

    hosts: the Hosts of one name.  there: the Tasks on it.
    """
    is_slurm = any(host.is_slurm for host in hosts) or any(is_job(task) for task in there)
    return 'slurm' if is_slurm else 'control'


def is_job(task):
    """Whether a task was placed as a job of a cluster."""
    return task.boot == SLURM


def boot(host, reported):
    """The boot id of new tasks on a host.  reported: that of the host."""
    return SLURM if host.is_slurm else reported


def patience(script_name):
    """Seconds for which this script may send nothing, in addition to known waits."""
    return SLURM_PATIENCE if script_name == 'slurm' else NO_PATIENCE


def files(host, task):
    """{name: text} of the files that a launcher needs in a task's directory."""
    return {'sbatch': '\t'.join(options(host, task.desc)) + '\n'} if host.is_slurm else {}


def options(host, desc):
    """The options of sbatch for tasks of a desc on a host: those of the host first, because of
    several values sbatch uses the last.
    """
    found = ['--%s=%s' % (key, host.get(key)) for key in ('partition', 'account') if host.get(key)]
    found += sbatch_options.words(host.get('sbatch'))
    if desc.slots > 1:
        found.append('--cpus-per-task=%d' % desc.slots)
    if desc.memory:
        found.append('--mem=%dK' % desc.memory)
    if desc.timeout:
        found.append('--time=%d' % math.ceil(desc.timeout / 60))    # sbatch counts minutes
    return found + list(sbatch_options.words(desc.sbatch))
