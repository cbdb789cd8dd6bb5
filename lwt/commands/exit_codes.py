"""The exit code of a run on many hosts, and the lines that summarise its failures."""

import collections

from lwt.errors import EXIT_FAILED, EXIT_UNREACHABLE, EXIT_USAGE
from lwt.workspace import nodeset

# The class of a host where nothing was started, because the run was stopped before.
SKIPPED = 'skipped'
UNREACHABLE = 255           # the code of a host that was never reached, beside its class
OUTPUT_HELD = 'a background process still holds the output; what it prints from now on is not shown'
REASONS_SHOWN = 3           # of a class in the summary
# Classes that do not make a host unreachable.
ANSWERED = frozenset({'failed', 'sudo', SKIPPED})


def exit_code(verdicts):
    """0 all well, 1 a command failed, 3 a host unreachable, a time-out or an unknown end (which
    wins).
    """
    kinds = {verdict.kind for verdict in verdicts} - {'ok'}
    if kinds - ANSWERED:
        return EXIT_UNREACHABLE
    # It would have overwritten.
    if any(verdict.code == EXIT_USAGE and verdict.ran == 'no' for verdict in verdicts):
        return EXIT_USAGE
    return EXIT_FAILED if kinds else 0


def largest_code(verdicts):
    """The largest remote code, as pdsh and clush have it for -S."""
    return max([verdict.code for verdict in verdicts], default=0)


def summary(verdicts):
    """A line for each class of failure, the largest first: how many hosts, which, and why.

    verdicts: {host's name: Verdict}.
    """
    classes = collections.defaultdict(dict)
    for name, verdict in verdicts.items():
        if not verdict.ok:
            cut_off = verdict.kind == 'timeout' and verdict.code == UNREACHABLE
            classes['timeout, not reached' if cut_off else verdict.kind][name] = verdict.reason
    return [_class_line(kind, reasons)
            for kind, reasons in sorted(classes.items(), key=lambda item: -len(item[1]))]


def _class_line(kind, reasons):
    common = [reason for reason, _count in collections.Counter(reasons.values()).most_common()]
    more = '; …' if len(common) > REASONS_SHOWN else ''
    return '%s: %d host%s: %s: %s%s' % (
        kind, len(reasons), 's' * (len(reasons) > 1), nodeset.fold(reasons),
        '; '.join(common[:REASONS_SHOWN]), more)
