"""The text of a crontab line and of a systemd timer.  Pure.

cron starts commands with an almost empty environment, in the home directory.  So the line contains
the absolute paths of the interpreter and of lwt, the PATH and the LWT_ variables of the time when
it was installed, and the workspace.  It ends with a comment that names the workspace.  lwt finds
its line by this comment and changes no other line.
"""

import re
import shlex

from lwt.errors import UsageError, printable

MARK = ' # lwt cron '
_LINE = re.compile(r"""(?:'[^']*'|"[^"]*"|\\.|[^'"\\])*?""" + MARK + '(.*)', re.DOTALL)
# Maximum bytes of a command: MAX_COMMAND of Vixie cron and cronie.
MAX_LINE = 998
# What crontab -l prints if the user has no crontab.
NO_CRONTAB = re.compile(r'no crontab for|can\'t open')

SERVICE = '''\
[Unit]
Description=lwt pass for {root}

[Service]
Type=oneshot
{environment}ExecStart={command}
# Tasks on this machine and shared connections continue after a pass.
KillMode=process
'''

TIMER = '''\
[Unit]
Description=Regular lwt passes for {root}

[Timer]
OnBootSec=1min
OnUnitActiveSec={every}min
AccuracySec=10s

[Install]
WantedBy=timers.target
'''


def every(text):
    """Read an interval that cron supports: 1 to 59 minutes, or whole hours up to a day.

    Returns minutes.  Raises ValueError.
    """
    match = re.fullmatch(r'(\d{1,4})([mh]?)', text.strip(), re.ASCII)
    minutes = int(match.group(1)) * (60 if match.group(2) == 'h' else 1) if match else 0
    if not (1 <= minutes <= 59 or minutes % 60 == 0 and 1 <= minutes // 60 <= 24):
        raise ValueError('expected 1 to 59 minutes, or 1h to 24h')
    return minutes


def schedule(minutes):
    """The five fields of cron."""
    if minutes < 60:
        return '*/%d * * * *' % minutes if minutes > 1 else '* * * * *'
    hour = minutes // 60
    return '0 %s * * *' % ('0' if hour == 24 else '*/%d' % hour if hour > 1 else '*')


def line(minutes, env, variables, words, root):
    """The line of a workspace.

    env: the path of env(1).
    variables: (name, value) pairs.
    words: the command.

    Raises UsageError if cron does not support the line.
    """
    words = [env] + ['%s=%s' % pair for pair in variables] + list(words)
    for word in words + [root]:
        if re.search(r'[\0-\x1f\x7f]', word):
            raise UsageError('%s: control characters are not allowed in a crontab'
                             % printable(word))
    command = ' '.join(map(_quoted, words)) + MARK + _escaped(root)
    if len(command.encode('utf-8', 'surrogateescape')) > MAX_LINE:
        raise UsageError('the crontab line is too long (%d characters, maximum %d)'
                         % (len(command), MAX_LINE),
                         'install with a shorter PATH: PATH=/usr/local/bin:/usr/bin:/bin lwt cron '
                         'install')
    return '%s %s' % (schedule(minutes), command)


def _quoted(word):
    """A word quoted for any shell, with each percent sign escaped, which cron takes as a newline.
    """
    return '\\%'.join(shlex.quote(part) if part else '' for part in word.split('%')) or "''"


def _escaped(root):
    return root.replace('%', '\\%')


def ours(text, root):
    """The lines of a crontab that belong to this workspace.

    The path of another workspace may contain the mark.  So the mark is the first one outside of
    quotes, and everything after it is compared.
    """
    return [found for found in text.split('\n')
            if _marked(found) == _escaped(root) and not found.startswith('#')]


def _marked(found):
    """The escaped workspace after the mark of a line; None without a mark."""
    match = _LINE.match(found)
    return match.group(1) if match else None


def edited(text, root, new=''):
    """A crontab with the line of this workspace replaced by `new`, or removed if new is ''.

    All other lines are unchanged.
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
    """The interval of a line in minutes, or None if a user has changed its schedule."""
    fields = ' '.join(found.split()[:5])
    return next((minutes for minutes in list(range(1, 60)) + [60 * hour for hour in range(1, 25)]
                 if schedule(minutes) == fields), None)


def units(minutes, variables, words, root):
    """The text of the service and of the timer for systemd."""
    environment = ''.join('Environment=%s\n' % _unit_word('%s=%s' % pair) for pair in variables)
    command = ' '.join(_unit_word(word).replace('$', '$$') for word in words)
    shown = root.replace('%', '%%')
    return SERVICE.format(root=shown, environment=environment,
                          command=command), TIMER.format(root=shown, every=minutes)


def _unit_word(word):
    """A word quoted for systemd."""
    return '"%s"' % word.replace('\\', '\\\\').replace('"', '\\"').replace('%', '%%')
