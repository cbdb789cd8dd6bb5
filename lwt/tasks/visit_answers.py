"""Answers: the lines that sh/control.sh prints about a host, its tasks and its leftovers, and the
changes of state that follow from them.
"""

import collections
from typing import NamedTuple

from lwt.errors import printable_text
from lwt.hosts import sample
from lwt.hosts.capacity import accepts
from lwt.remote import host_limits
from lwt.tasks import model, results
from lwt.workspace.config import bounded


# The reasons that are recorded with these events.
_REASONS = {'died': 'exited without reporting a status', 'rebooted': 'the host rebooted',
            'absent': 'its directory on the host is gone',
            'stuck': 'did not start in time'}


class HostReport(NamedTuple):
    """What a host reports about itself.

    boot: changes with each start of the system.
    host_id: the random name of its home.
    load: a sample.Sample.
    has_tar: whether inputs and results can be tar streams; otherwise scp copies them.
    trouble: why its batch system does not answer or accept jobs, or ''.
    """

    boot: str
    host_id: str
    load: sample.Sample = sample.Sample()
    has_tar: bool = True
    trouble: str = ''


def parse(lines):
    """Parse the lines of an answer; lines of an unknown form are skipped.

    Returns (HostReport, why the inputs were refused or '', [(key, answer)] about tasks, {key:
    answer} about removals, {key: KiB} of results that are too large for the answer).
    """
    facts, problem, states, removed, sizes = HostReport('', ''), '', [], {}, {}
    counts = collections.Counter()
    for line in lines:
        words = line.split(' ')
        if words[0] == 'facts' and len(words) in (3, 4):
            facts = facts._replace(boot=words[1][:host_limits.ID],
                                   host_id=words[2][:host_limits.ID],
                                   has_tar=words[3:] != ['no-tar'])
        elif words[0] == 'trouble':
            facts = facts._replace(trouble=printable_text(line[len('trouble '):]))
        elif words[0] == 'stage':
            problem = printable_text(line[len('stage '):])
        elif words[0] == 'task' and len(words) >= 4 and words[2] != 'why':
            answer = printable_text(' '.join(words[3:]), host_limits.TEXT)
            counts[words[1]] += 1
            if words[2] == 'state' and counts[words[1]] <= host_limits.TASK_ANSWERS:
                states.append((words[1], answer))
            elif words[2] == 'size':
                sizes[words[1]] = bounded(answer, 0, 1 << 50) or 0
            else:
                removed[words[1]] = answer
    return facts._replace(load=sample.parse(lines)), problem, states, removed, sizes


def causes(lines):
    """Return {key: the reason of a task's state} from the lines of an answer."""
    found = {}
    for line in lines:
        words = line.split(' ', 3)
        if words[0] == 'task' and words[2:3] == ['why']:
            found[words[1]] = printable_text(words[-1], host_limits.TEXT)
    return found


def ended(by_key, states):
    """Return the tasks that have ended: {key: (d_fetch, exit code)}.

    by_key: {key: Task} of the tasks that the request named.  states: [(key, answer)] about tasks.
    """
    found = {}
    for key, answer in states:
        task = by_key.get(key)
        if task is None:
            continue
        word, _space, detail = answer.partition(' ')
        event = model.event_of(word, task.state)
        if task.state == 'fetching':
            found[key] = task.desc.d_fetch, task.code
        elif model.TRANSITIONS.get((task.state, event)) == 'fetching':
            found[key] = task.desc.d_fetch, model.ending(event, detail.partition(' ')[0],
                                                         task.state)[1]
    return found


def usage(words):
    """Return (wall, cpu) in seconds, from the words that `usage` of sh/control.sh prints.

    A value that the words do not contain is None.
    """
    try:
        wall = float(words[1]) - float(words[0])
        cpu = sum(float(minutes) * 60 + float(rest)
                  for minutes, rest in (word.rstrip('s').split('m') for word in words[2:4]))
    except (ValueError, IndexError):
        return None, None
    return (wall if 0 <= wall < 1e9 else None), (cpu if 0 <= cpu < 1e9 else None)


def left_text(words):
    """Return a message about processes that a task left running, or ''.

    words: those that `usage` of sh/control.sh prints.
    """
    count = bounded(words[4], 1, 10 ** 6) if len(words) > 4 else None
    if count is None:
        return ''
    return ('1 process left running was ended' if count == 1
            else '%d processes left running were ended' % count)


class StateChanges:
    """Applies the answers of one host to its tasks.

    host_id: the random name that the home has now.
    clock(): returns seconds since 1970.
    told: a list that gets a message for each change.
    causes: {key: the reason of a task's state}.
    others: the Hosts that may take tasks.
    ended: the tasks whose attempt ended.
    """

    def __init__(self, store, host, host_id, clock, told, causes, others):
        self._causes = causes
        self._others = others
        self._store = store
        self._host = host
        self._host_id = host_id
        self._clock = clock
        self._told = told
        self.ended = []

    def apply(self, task, answer):
        """Apply a host's answer to a task.

        Returns the changed task, or None if another process changed it meanwhile.
        """
        event, _space, detail = answer.partition(' ')
        # The host had no room for the task, or lacked its input.
        if event in ('unstaged', 'noinput'):
            self._store.missing(task.input, self._host)
            return self._settle(task, 'refused', detail or 'its input is not on the host')
        if event in ('crowded', 'refused') and task.state == 'launching':
            return self._settle(task, 'refused', detail)
        if event == 'rejected' and task.state == 'launching':
            return self._reject(task, detail)
        word, event = event, model.event_of(event, task.state)
        if (word, event) == ('waiting', 'absent'):
            return self._settle(task, event, 'its directory on the host was changed', 'purge')
        if task.state == 'fetching' and event != 'absent':
            return task                 # its end is already recorded
        if (task.state, event) not in model.TRANSITIONS:
            self._told.append('%s: %s: unexpected answer: %s' % (task.label, task.host, answer))
            return task
        if event == 'absent' and self._host_id != task.host_id:
            return self._settle(self._as_running(task), event,
                                'the home directory is not the one where it was started', '')
        if event == 'absent' and task.state == 'launching' and task.reason:
            # It was in the queue of a batch system, so it may have run since.
            task = self._as_running(task)
        return self._follow(task, event, detail)

    def _reject(self, task, reason):
        """The host never takes this task: hold it, unless another host may take it."""
        if any(other.name != task.host and accepts(other, task.desc) for other in self._others):
            return self._settle(task, 'refused', reason)
        settled = self._store.settle(task, 'refused', 'withdrawn', None, '', 'clean')
        if settled is not None and settled.state == 'new':
            settled = self._store.advance(settled, 'suspend', 'held: ' + reason, reason=reason)
        if settled is not None:
            results.tell(task, results.ended_text(task, settled, ''), self._told)
            self.ended.append(settled)
        return settled

    def _follow(self, task, event, detail):
        """Apply a transition of model.TRANSITIONS; returns as apply."""
        state = model.TRANSITIONS[task.state, event]
        if state == model.SETTLE:
            reason = task.reason if task.state == 'withdrawing' else _REASONS.get(event, '')
            return self._settle(task, event, reason, '' if event == 'absent' else 'clean')
        if event == 'absent' and state == 'withdrawing':
            return self._advance(task, event, 'not on %s yet; withdrawn' % task.host)
        if state == 'fetching':
            return self._note_end(task, event, detail)
        reason = _REASONS.get(event, '') or self._causes.get(task.key, '')
        if state != task.state:
            return self._advance(task, event, '%s on %s' % (state, task.host), reason=reason)
        if event == 'queued' and reason != task.reason:
            return self._advance(task, event, '', reason=reason)
        return task

    def _note_end(self, task, event, detail):
        """Record how a task ended; the next step fetches its results.  Returns as apply."""
        code_word, *words = detail.split(' ')
        end, code = model.ending(event, code_word, task.state)
        wall, cpu = usage(words)
        # A task that was killed is not retried.
        failures = task.desc.retries if task.state == 'killing' else task.failures
        return self._advance(task, event, 'ended on %s' % task.host, end=end, code=code,
                             wall=wall, cpu=cpu, failures=failures,
                             reason=(self._causes.get(task.key, '') or _REASONS.get(event, '')
                                     or left_text(words)),
                             ended=self._clock())

    def _as_running(self, task):
        """Mark a launching task as running.

        It may have run in a directory that is gone, so its end cannot be known.
        """
        return (self._store.advance(task, 'running', '') or task if task.state == 'launching'
                else task)

    def _settle(self, task, event, reason, leave='clean'):
        """End the attempt; arguments as for Store.settle."""
        end, code = model.ending(event, '', task.state)
        settled = self._store.settle(task, event, end, code, reason, leave)
        if settled is not None:
            results.tell(task, results.ended_text(task, settled, reason), self._told)
            self.ended.append(settled)
        return settled

    def _advance(self, task, event, text, **changes):
        changed = self._store.advance(task, event, text, **changes)
        if changed is not None and text:
            results.tell(task, '%s: %s' % (task.label, text), self._told)
        return changed
