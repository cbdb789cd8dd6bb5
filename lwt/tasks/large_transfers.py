"""Large inputs and results: each is transferred by a flow of its own while visits continue.

A lock for each host allows one transfer at a time to or from it, among all lwt processes.  A
stream that moves no byte for `stall` seconds is cut.  The partial data is discarded, and the
transfer starts again.  A result is recorded like any other, complete or not at all; an input
appears on its host by a rename.
"""

from __future__ import generator_stop

from lwt.copy import child_jobs
from lwt.errors import HostError
from lwt.remote import call, events, exit_status, login, scripts
from lwt.tasks import requests, results, scp_transfers, visit, visit_answers
from lwt.workspace import files


def carry(context, item):
    """Flow: transfer a requests.LargeTransfer; returns a visit.Report.

    The report is busy if another lwt process holds the host's transfer lock.
    """
    host = item.host
    lock = context.workspace.lock('carry.' + host.name)
    if not lock.take():
        return visit.Report(host.name, busy=True)
    scratch = context.workspace.path('.lwt', 'tmp', 'carry.' + host.name)
    try:
        yield from child_jobs.remove(scratch)
        files.make_dir(scratch)
        with (yield from login.connected(context.session, host)) as session:
            inner = context._replace(session=session)
            if item.kind == 'result':
                yield from _result(inner, item, scratch)
            elif item.by_scp:
                yield from scp_transfers.send_input(inner, item, scratch)
            else:
                yield from _input(inner, item, scratch)
        yield from child_jobs.remove(scratch)
    except HostError as error:
        context.remark(str(error))
        return visit.Report(host.name, problem=error.verdict.reason, kind=error.verdict.kind)
    finally:
        files.discard(scratch)
        lock.release()
    return visit.Report(host.name, changes=1)


def _result(context, item, scratch):
    """Flow: fetch the result of one task, if it is still to be fetched."""
    task = context.store.get(item.of.id)
    if task is None or (task.state, task.key) != ('fetching', item.name):
        return                          # another process was faster
    books = results.Books(context.workspace, context.store, 'carry.' + item.host.name)
    yield from books.clear()
    if item.by_scp:
        inbox = yield from scp_transfers.fetch_result(context, item.host, task, scratch)
    else:
        inbox = yield from _fetch(context, item.host, task, scratch)
    if inbox.is_absent():
        # The next visit gets the same answer and handles it.
        return
    parcel = yield from books.unpack(inbox, {task.key: (task.desc.d_fetch, task.code)},
                                     item.host.name)
    told = (['%s: %s: %s; fetching again' % (task.label, task.host, parcel.problem)]
            if parcel.problem else [])
    for ended in books.enter([task], parcel, inbox.complaint, context.session.settings.keep, told):
        books.close(ended)
        context.ended(ended)
    visit.pass_on(context, told)
    visit.watch_tasks(context, item.host.name)


def _fetch(context, host, task, scratch):
    """Flow: fetch the result of a task as a tar stream; returns a requests.Inbox.

    Raises HostError.
    """
    inbox = requests.Inbox(scratch, has_words=False)
    with inbox:
        verdict = yield from call.command(
            context.session, host, scripts.script_text(*scripts.LONG_SCRIPTS['fetch']),
            (task.key, task.input, task.desc.d_fetch, 'tar'), inbox,
            stall=context.session.settings.stall)
        verdict = inbox.judged(verdict)
    if not verdict.ok:
        raise HostError(host.name, verdict)
    return inbox


def _input(context, item, scratch):
    """Flow: send an input to a host; afterwards tasks that need it can be placed there."""
    settings = context.session.settings
    path = '%s/%s' % (scratch, item.name)       # the name shows what is being sent
    packed = yield from requests.pack_input(context.workspace, path, item.of)
    events.note('sending the input of %s' % item.of.name, item.host.name)
    context.tell('%s: sending its input to %s' % (item.of.name, item.host.name))
    inbox = requests.Inbox(scratch, most_kib=0)
    words = requests.control_words(context.session, item.host.home, packed)
    session = context.session.at(item.host)
    with inbox:
        verdict = yield from call.call(session, lambda frame: scripts.channel(
            session.transport, item.host, 'control', frame,
            session.limits(stall=settings.stall))._replace(
                stdin=scripts.request(frame, words) + b'end\n', stdin_path=packed.path), inbox,
                                       'control')
        verdict = inbox.judged(verdict)
    if not verdict.ok:
        raise HostError(item.host.name, exit_status.with_complaint(verdict, inbox.complaints()))
    problem = visit_answers.parse(inbox.lines())[1]
    if problem:
        raise HostError(item.host.name, exit_status.Verdict('failed', 1, problem))
    context.store.sent([item.name], item.host)
