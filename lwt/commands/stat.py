"""lwt stat: statistics about hosts, users and tasks."""

import time

from lwt.commands import host_view, task_view
from lwt.commands.options import Parser
from lwt.errors import UsageError
from lwt.output import tables, writer
from lwt.tasks.store import Store
from lwt.workspace import nodeset

EXAMPLES = '''examples:
  lwt stat                         hosts, users and failures
  lwt stat --tasks                 what tasks took, by name and by host
  lwt stat --json | jq -r 'select(.availability < 90) | .host\''''


def main(name, argv, make_env):
    """Run the command; returns the exit code."""
    parser = Parser(name, 'lwt stat [--tasks] [--json]',
                    'Print statistics of the last `keep` days: how often hosts answered, their '
                    'rates and load, their\nusers, and the most frequent failures.  No host is '
                    'contacted.',
                    EXAMPLES)
    parser.add_argument('--tasks', action='store_true',
                        help='statistics of tasks by name and by host: attempts, outcomes, run '
                             'time, cpu time and bytes of results')
    parser.add_argument('--json', action='store_true', help='print one JSON object per line')
    parsed, words = parser.parse(argv)
    env = make_env(parser, parsed)
    if words or parsed.rest:
        raise UsageError('lwt stat: unexpected word %s' % (words + (parsed.rest or []))[0])
    workspace = env.require_workspace()
    env.settings(workspace)
    workspace.prepare()
    with Store(workspace.database) as store:
        if parsed.tasks:
            return _tasks(store, parsed.json)
        hosts, users, failures = host_rows(workspace, store), user_rows(store), failure_rows(store)
    if parsed.json:
        for kind, keys, rows in (('host', HOST_KEYS, hosts), ('user', USER_KEYS, users),
                                 ('failure', FAILURE_KEYS, failures)):
            for row in rows:
                writer.put_bytes(writer.json_line(dict(zip(keys, row), kind=kind)))
        return 0
    _put(host_table(hosts, env.environ))
    if users:
        _put([''] + tables.table(USER_COLUMNS, users))
    return _put([''] + tables.table(FAILURE_COLUMNS, failures) if failures else [])


def host_table(rows, environ):
    """Return the lines of the table of hosts; rows: from host_rows."""
    bad = {host_view.STATES['out'], host_view.STATES['held']}
    rows = [row[:-2] + tuple(None if rate is None else rate / 1000 for rate in row[-2:])
            for row in rows]
    return tables.table(HOST_COLUMNS, rows, host_view.painter(
        lambda row: row[1] in bad, lambda row: row[1] == host_view.STATES['doubtful'], environ))


def _tasks(store, as_json):
    for number, by in enumerate(('name', 'host')):
        accounts = {account.key: account for account in store.accounts(by)}
        accounts = [accounts[key]
                    for key in (nodeset.ordered(accounts) if by == 'host' else accounts)]
        if as_json:
            for account in accounts:
                told = account._asdict()
                writer.put_bytes(
                    writer.json_line(dict({'kind': 'tasks by ' + by, by: told.pop('key')}, **told)))
        else:
            _put([''] * number + task_view.accounts_table(by.upper(), accounts))
    return 0


def _put(lines):
    for line in lines:
        writer.put_line(line)
    return 0


HOST_KEYS = ('host', 'state', 'availability', 'operations', 'failures', 'cpu', 'mean_cpu', 'tasks',
             'hello', 'put', 'get')
HOST_COLUMNS = (
    ('HOST', None), ('STATE', None), ('UP %', '%.1f'), ('OPS', '%d'), ('FAILED', '%d'),
    ('CPU %', '%d'), ('MEAN CPU %', '%d'), ('TASKS', '%d'), ('HELLO s', '%.2f'),
    ('PUT MB/s', '%.2f'), ('GET MB/s', '%.2f'))
USER_KEYS = ('user', 'hosts', 'cpu', 'memory', 'mean_cpu', 'mean_memory')
USER_COLUMNS = (
    ('USER', None), ('HOSTS', '%d'), ('CPU %', '%d'), ('MEM GB', '%.1f'), ('MEAN CPU %', '%.1f'),
    ('MEAN MEM GB', '%.1f'))
FAILURE_KEYS = ('count', 'host', 'class', 'last', 'reason')
FAILURE_COLUMNS = (
    ('COUNT', '%d'), ('HOST', None), ('CLASS', None), ('LAST', None), ('REASON', None))


def host_rows(workspace, store):
    """Return a row of HOST_KEYS for each candidate and each host with recorded data.

    The rates are means of the probes, in KB/s.
    """
    told, sick, samples = _by_host(store.endings()), store.health(), store.samples()
    means = {host: cpu for host, user, _count, cpu, _memory in store.usage() if user == ''}
    probes = {}
    for host, _when, values in store.probes():
        if values['class'] == 'ok':
            probes.setdefault(host, []).append(values)
    names = dict.fromkeys([host.name for host in workspace.candidates()]
                          + sorted(set(told) | set(sick) | set(samples)))
    rows = []
    for name in names:
        kinds = told.get(name, {})
        total, good = sum(kinds.values()), kinds.get('ok', 0)
        load = samples[name][1] if name in samples else None
        rows.append((name, host_view.STATES[sick[name].state] if name in sick else 'ok',
                     100.0 * good / total if total else None, total, total - good,
                     load and load.cpu, _whole(means.get(name)),
                     load and load.tasks, _mean(probes, name, 'hello'), _rate(probes, name, 'put'),
                     _rate(probes, name, 'get')))
    return rows


def _whole(value):
    return None if value is None else round(value)


def _by_host(endings):
    found = {}
    for host, kind, count in endings:
        found.setdefault(host, {})[kind] = count
    return found


def _mean(probes, name, key):
    values = [one[key] for one in probes.get(name, ()) if one[key] is not None]
    return sum(values) / len(values) if values else None


def _rate(probes, name, key):
    mean = _mean(probes, name, key)
    return None if mean is None else round(mean / 1000)


def user_rows(store):
    """Return a row of USER_KEYS for each user seen on a host, those with the highest cpu usage
    first.

    Cpu and memory are sums over all hosts: of the last sample of each host, and of the means of all
    samples of the hosts on which the user was seen.
    """
    now, means = {}, {}
    for _when, load, _problem in store.samples().values():
        for use in load.users if load else ():
            cpu, memory = now.get(use.user, (0, 0))
            now[use.user] = (cpu + use.cpu, memory + use.memory)
    for host, user, _count, cpu, memory in store.usage():
        if user:
            hosts, all_cpu, all_memory = means.get(user, (0, 0.0, 0.0))
            means[user] = (hosts + 1, all_cpu + cpu, all_memory + memory)
    return sorted(((user, means[user][0], now.get(user, (0, 0))[0],
                    host_view.gigabytes(now.get(user, (0, 0))[1]),
                    means[user][1], host_view.gigabytes(means[user][2])) for user in means),
                  key=lambda row: (-row[2], -row[4], row[0]))


def failure_rows(store):
    """Return a row of FAILURE_KEYS for each host and kind of failure, the most frequent first."""
    sick = store.health()
    rows = []
    for host, kind, count in store.endings():
        if kind != 'ok':
            last = sick.get(host)
            is_last = last is not None and last.kind == kind
            rows.append(
                (count, host, kind, host_view.ago(last.failed, time.time()) if is_last else None,
                 last.reason if is_last else None))
    return sorted(rows, key=lambda row: (-row[0], row[1], row[2]))
