"""The text of a crontab line and of a systemd timer.  Pure.

cron gives a command almost nothing: a bare PATH, no shell set-up, the home as its directory.  So a
line of ours says it all: the interpreter and lwt by their absolute paths, the PATH and the LWT_
variables of when it was installed, the workspace.  It ends with a comment that names the workspace;
by that it is known again, and no other line is touched.
"""

import re
import shlex

from lwt.errors import UsageError, printable

MARK = ' # lwt cron '
_LINE = re.compile(r"""(?:'[^']*'|"[^"]*"|\\.|[^'"\\])*?""" + MARK + '(.*)', re.DOTALL)
# Bytes of a command that cron takes: MAX_COMMAND of Vixie cron and cronie.
MAX_LINE = 998
# What crontab -l says where there is none yet.
NO_CRONTAB = re.compile(r'no crontab for|can\'t open')

SERVICE = '''\
[Unit]
Description=lwt: a pass of {root}

[Service]
Type=oneshot
{environment}ExecStart={command}
# What runs on this machine, and connections that are kept, outlive a pass.
KillMode=process
'''

TIMER = '''\
[Unit]
Description=lwt: passes of {root}

[Timer]
OnBootSec=1min
OnUnitActiveSec={every}min
AccuracySec=10s

[Install]
WantedBy=timers.target
'''


def every(text):
    """Minutes between two passes, as cron can have it: 1 to 59, or whole hours up to a day.
    Returns minutes.
    """
    match = re.fullmatch(r'(\d{1,4})([mh]?)', text.strip(), re.ASCII)
    minutes = int(match.group(1)) * (60 if match.group(2) == 'h' else 1) if match else 0
    if not (1 <= minutes <= 59 or minutes % 60 == 0 and 1 <= minutes // 60 <= 24):
        raise ValueError('expected minutes, 1 to 59, or 1h to 24h')
    return minutes


def schedule(minutes):
    """The five fields of cron."""
    if minutes < 60:
        return '*/%d * * * *' % minutes if minutes > 1 else '* * * * *'
    hour = minutes // 60
    return '0 %s * * *' % ('0' if hour == 24 else '*/%d' % hour if hour > 1 else '*')


def line(minutes, env, variables, words, root):
    """The line of a workspace.  env: the path of env(1); variables: (name, value) pairs; words: the
    command.

    Raises UsageError for what cron cannot take.
    """
    words = [env] + ['%s=%s' % pair for pair in variables] + list(words)
    for word in words + [root]:
        if re.search(r'[\0-\x1f\x7f]', word):
            raise UsageError('%s: cannot be in a line of crontab' % printable(word))
    command = ' '.join(map(_quoted, words)) + MARK + _escaped(root)
    if len(command.encode('utf-8', 'surrogateescape')) > MAX_LINE:
        raise UsageError('the line would be too long for cron (%d characters)' % len(command),
                         'PATH is in it: install with a shorter one, as '
                         'PATH=/usr/local/bin:/usr/bin:/bin lwt cron install')
    return '%s %s' % (schedule(minutes), command)


def _quoted(word):
    """A word for any shell that cron may use, in which cron finds no bare percent sign: to it that
    is a newline.
    """
    return '\\%'.join(shlex.quote(part) if part else '' for part in word.split('%')) or "''"


def _escaped(root):
    return root.replace('%', '\\%')


def ours(text, root):
    """The lines of a crontab that are this workspace's.

    The path of another workspace may end with what looks like this one's mark.  So the mark is the
    first one outside of quotes, and all that follows it is compared.
    """
    return [found for found in text.split('\n')
            if _marked(found) == _escaped(root) and not found.startswith('#')]


def _marked(found):
    """The workspace that the mark of a line names, escaped; None where it has no mark."""
    match = _LINE.match(found)
    return match.group(1) if match else None


def edited(text, root, new=''):
    """A crontab in which this workspace has the line `new`, in the place of the one it had, or
    none; all else as it was.
    """
    mine, kept, is_placed = ours(text, root), [], not new
    lines = text.split('\n')
    for found in lines if lines[-1] else lines[:-1]:
        if found not in mine:
            kept.append(found)
        elif not is_placed:
            kept.append(new)
            is_placed = True
    return ''.join(found + '\n' for found in kept + ([] if is_placed else [new]))


def minutes_of(found):
    """How often a line of ours runs, in minutes, or None where somebody gave it another schedule.
    """
    fields = ' '.join(found.split()[:5])
    return next((minutes for minutes in list(range(1, 60)) + [60 * hour for hour in range(1, 25)]
                 if schedule(minutes) == fields), None)


def units(minutes, variables, words, root):
    """(the service, the timer) for systemd, as text."""
    environment = ''.join('Environment=%s\n' % _unit_word('%s=%s' % pair) for pair in variables)
    command = ' '.join(_unit_word(word).replace('$', '$$') for word in words)
    shown = root.replace('%', '%%')
    return SERVICE.format(root=shown, environment=environment,
                          command=command), TIMER.format(root=shown, every=minutes)


def _unit_word(word):
    """A word as systemd reads it back."""
    return '"%s"' % word.replace('\\', '\\\\').replace('"', '\\"').replace('%', '%%')
