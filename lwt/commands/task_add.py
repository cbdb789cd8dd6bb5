"""lwt task add: queue tasks, from folders of description/ or from a command line."""

from __future__ import generator_stop

from lwt.commands.options import read_value
from lwt.commands.task_select import split_words
from lwt.errors import LwtError, UsageError
from lwt.output import writer
from lwt.tasks import additions, model, placeholders, queue, unrunnable, values
from lwt.workspace.config import positive

IDS_AT_ONCE = 10000     # ids that are printed at once


def add(command, words):
    """Queue tasks; prints one id per line."""
    parsed = command.parsed
    _check_words(parsed, words)
    args, split = _values(parsed)
    max_fails = read_value('--max-fails', parsed.max_fails, positive) if parsed.max_fails else 0
    after = queue.find_after(command.store, split_words(parsed.after))
    overrides = [(key, getattr(parsed, 'desc_' + key), '--' + key.replace('_', '-'))
                 for key in model.Desc._fields
                 if getattr(parsed, 'desc_' + key) is not None]
    orders = [order._replace(kind=order.kind._replace(max_fails=max_fails))
              for order in _orders(command, words, args, split, overrides)]
    _warn_of_hopeless(command, orders)
    if parsed.unless_exists:
        orders = _new_orders(command.store, orders)
    numbers = additions.add(command.workspace, command.store, orders, after)
    for at in range(0, len(numbers), IDS_AT_ONCE):
        writer.put_line('\n'.join(map(model.format_id, numbers[at:at + IDS_AT_ONCE])))
    old = len(args) * max(1, len(words)) - len(numbers)
    command.say('%d task%s added%s' % (len(numbers), 's' * (len(numbers) != 1),
                                       ', %d existed already' % old if old else ''))
    return 0


def _check_words(parsed, words):
    """Raise UsageError unless there are either names of folders or a command."""
    if parsed.rest is None:
        if not words:
            raise UsageError('lwt task add: missing name of a folder in description/',
                             'or give a command after --: lwt task add -- COMMAND')
        for flag, value in (('--name', parsed.new_name), ('--input', parsed.input)):
            if value:
                raise UsageError('lwt task add: %s requires a command after --' % flag,
                                 'a folder in description/ has its own name and files')
        return
    if words:
        raise UsageError('lwt task add: both a name (%s) and a command after --' % words[0],
                         'name a folder in description/, or give -- COMMAND')
    if not ' '.join(parsed.rest).strip():
        raise UsageError('lwt task add: missing command after --')
    if parsed.desc_exec is not None:
        raise UsageError('lwt task add: both --exec and a command after --')


def _values(parsed):
    """Return the values of the new tasks ([None] for one task without a value), and how they are
    divided.
    """
    given = [flag for flag, value in (('--each', parsed.each), ('--array', parsed.array),
                                      ('--param', parsed.param or None)) if value is not None]
    if len(given) > 1:
        raise UsageError('lwt task add: %s exclude each other' % ' and '.join(given))
    if parsed.colsep is not None and given != ['--each']:
        raise UsageError('lwt task add: --colsep requires --each')
    if parsed.each is not None:
        split = placeholders.colsep(parsed.colsep) if parsed.colsep is not None else ''
        return values.of_file(parsed.each), split
    if parsed.param:
        return values.of_params(parsed.param), placeholders.PARAMS
    return values.of_array(parsed.array) if parsed.array is not None else [None], ''


def _orders(command, words, args, split, overrides):
    """Return the additions.NewTasks of the command line; checks everything."""
    def reader(given):
        return additions.DescReader(command.workspace, command.settings.retries, given,
                                    args, command.say, split)

    if command.parsed.rest is None:
        source = additions.TaskSource(tuple(overrides)).as_text()
        return [additions.NewTasks(name, *reader(overrides).read(name), args=args,
                                   kind=model.Kind(split, source)) for name in words]
    text = ' '.join(command.parsed.rest).strip()
    name = command.parsed.new_name or additions.name_of_command(text)
    model.check_name(name, '--name takes letters, digits and _ . + -')
    inputs = additions.inputs_of(command.parsed.input)
    overrides = overrides + [('exec', text, 'command')]
    source = additions.TaskSource(tuple(overrides), inputs, False).as_text()
    desc = reader(overrides).read_command(inputs)
    return [additions.NewTasks(name, desc, '', args, inputs, model.Kind(split, source))]


def _warn_of_hopeless(command, orders):
    """Warn about NewTasks that no host of the host list can ever run."""
    try:
        listed, samples = command.workspace.candidates(), command.store.samples()
    except LwtError:                    # tasks can be added without a host list
        return
    for order in orders:
        problem = unrunnable.complaint(order.desc, listed, samples, command.settings)
        if problem:
            command.say('%s: %s' % (order.name, problem))


def _new_orders(store, orders):
    """Return the orders without the tasks whose name and value exist already."""
    known, found, names = {}, [], [order.name for order in orders]
    for order in orders:
        values_of_name = known.get(order.name) or store.known_values(order.name)
        order = order._replace(args=tuple(arg for arg in order.args if arg not in values_of_name))
        if names.count(order.name) > 1:
            known[order.name] = values_of_name.union(order.args)
        found += [order] * bool(order.args)
    return found
