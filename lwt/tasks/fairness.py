"""Fairness: which waiting tasks a host with room gets next.  Pure.

Higher priority first; among equals the name of which the fewest tasks are on hosts, so that one
long sweep does not keep everybody else waiting; then the oldest.
"""

import heapq


def picks(groups, active, take):
    """[(Group, count)] for one host.

    groups: queries.Groups that wait.  active: {name: how many of its tasks are on hosts}.
    take(group) is asked for one task at a time and says whether the host may have it, in which case
    it is counted as there.
    """
    active = dict(active)
    queue = [_place(group, 0, active, number) for number, group in enumerate(groups)]
    heapq.heapify(queue)
    chosen = {}
    while queue:
        _rank, number = heapq.heappop(queue)
        group, taken = groups[number], chosen.get(number, 0)
        if _place(group, taken, active, number)[0] != _rank:       # its name has got more meanwhile
            heapq.heappush(queue, _place(group, taken, active, number))
        elif take(group):
            chosen[number] = taken + 1
            active[group.name] = active.get(group.name, 0) + 1
            if taken + 1 < group.count:
                heapq.heappush(queue, _place(group, taken + 1, active, number))
    return [(groups[number], count) for number, count in chosen.items()]


def _place(group, taken, active, number):
    return (-group.desc.priority, active.get(group.name, 0), group.first + taken), number
