"""The exit code of a run on several hosts, and the summary of its failures."""

import collections
import re

from lwt.errors import EXIT_FAILED, EXIT_UNREACHABLE, EXIT_USAGE
from lwt.workspace import nodeset

# The kind of a host on which nothing was started, because the run was stopped early.
SKIPPED = 'skipped'
OUTPUT_HELD = 'a background process still holds the output; what it prints from now on is not shown'
REASONS_SHOWN = 8           # reasons in the summary; all other hosts form one group
# Kinds that do not make a host unreachable.
ANSWERED = frozenset({'failed', 'sudo', SKIPPED})


def exit_code(verdicts):
    """Return the exit code of a run.

    0: every host succeeded.  1: a command failed.  2: existing files were not overwritten.
    3: a host was unreachable, a timeout or an unknown end.  The largest one wins.
    """
    kinds = {verdict.kind for verdict in verdicts} - {'ok'}
    if kinds - ANSWERED:
        return EXIT_UNREACHABLE
    if any(verdict.code == EXIT_USAGE and verdict.ran == 'no' for verdict in verdicts):
        return EXIT_USAGE
    return EXIT_FAILED if kinds else 0


def largest_code(verdicts):
    """Return the largest remote code, as for -S of pdsh and clush."""
    return max([verdict.code for verdict in verdicts], default=0)


def summary(verdicts, shown):
    """Yield the lines that summarise a run on several hosts.

    verdicts: {name of a host: Verdict}.
    shown: number of failures that have a message already; a single failure that has one is not
        repeated.
    """
    by_reason = collections.defaultdict(list)
    skipped = []
    for name, verdict in verdicts.items():
        if verdict.kind == SKIPPED:
            skipped.append(name)
        elif not verdict.ok:
            by_reason[_short_reason(verdict)].append(name)
    failed = sum(map(len, by_reason.values()))
    if failed > min(1, shown):
        yield '%d of %d hosts failed: %s' % (failed, len(verdicts), _groups(by_reason))
    if skipped:
        yield '%d of %d hosts not started: %s' % (
            len(skipped), len(verdicts), nodeset.fold(skipped))


def _short_reason(verdict):
    """Return the reason of a failure; for an unreachable host, without the word "unreachable"."""
    found = re.fullmatch(r'unreachable \((.*)\)', verdict.reason)
    return found.group(1) if found else verdict.reason


def _groups(by_reason):
    """Return the failed hosts, folded, with their reasons: `h[1-3] (connection refused), h7
    (killed)`.
    """
    largest = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    groups = ['%s (%s)' % (nodeset.fold(names), reason)
              for reason, names in largest[:REASONS_SHOWN]]
    others = [name for _reason, names in largest[REASONS_SHOWN:] for name in names]
    if others:
        groups.append('%s (other reasons)' % nodeset.fold(others))
    return ', '.join(groups)
