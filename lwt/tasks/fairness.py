"""Fairness: which waiting tasks a host with room gets next.  Pure.

Tasks of higher priority come first.  Among tasks of equal priority, the name with the fewest tasks
on hosts comes first, so that one long sweep does not delay all other tasks.  Then the oldest task
comes first.
"""

import heapq


def picks(groups, active, take):
    """Return [(Group, count)] for one host.

    groups: queries.Groups that wait.
    active: {name: number of its tasks on hosts}.
    take(group): is called for one task at a time and returns whether the host may have it; if so,
        the task counts as placed.
    """
    active = dict(active)
    queue = [_place(group, 0, active, number) for number, group in enumerate(groups)]
    heapq.heapify(queue)
    chosen = {}
    while queue:
        _rank, number = heapq.heappop(queue)
        group, taken = groups[number], chosen.get(number, 0)
        if _place(group, taken, active, number)[0] != _rank:       # its name got tasks meanwhile
            heapq.heappush(queue, _place(group, taken, active, number))
        elif take(group):
            chosen[number] = taken + 1
            active[group.name] = active.get(group.name, 0) + 1
            if taken + 1 < group.count:
                heapq.heappush(queue, _place(group, taken + 1, active, number))
    return [(groups[number], count) for number, count in chosen.items()]


def _place(group, taken, active, number):
    return (-group.desc.priority, active.get(group.name, 0), group.first + taken), number
