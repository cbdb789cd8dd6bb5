"""Tables: rows of values as aligned columns of text."""

from lwt.errors import printable_text

MAX_CELL = 1000                 # characters of a cell


def table(columns, rows, paint=None, widths=None):
    """A table as a list of lines with aligned columns.

    A column of numbers, and its title, is aligned right; any other is aligned left.
    columns: titles, or pairs of a title and the format of the numbers, such as '%d'; None: text.
    rows: sequences of values; None is shown as "-".
    paint: a function of (row, line) that returns the line in a colour, or None.
    widths: for a table in several parts, a dict {number of the column: its width so far}, which is
        empty for the first part; a part has columns of these widths or wider ones.
    """
    columns = [(column, None) if isinstance(column, str) else column for column in columns]
    titles = [title for title, _form in columns]
    cells = [[_cell(value, form) for value, (_title, form) in zip(row, columns)] for row in rows]
    aligned, widths = [], {} if widths is None else widths
    for number, (title, form) in enumerate(columns):
        texts = [title] + [line[number] for line in cells]
        width = widths[number] = max(widths.get(number, 0), max(map(len, texts)))
        is_right = form is not None or _are_numbers([row[number] for row in rows])
        aligned.append([text.rjust(width) if is_right else text.ljust(width) for text in texts])
    lines = ['  '.join(parts).rstrip() for parts in zip(*aligned)]
    return lines[:1] + [paint(row, line) if paint else line for row, line in zip(rows, lines[1:])]


def _are_numbers(values):
    """Whether values are numbers, of which some may be missing."""
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, (int, float)) for value in known)


def _cell(value, form):
    """The text of a value in a table."""
    if value is None:
        return '-'
    if form is None:
        form = '%.1f' if isinstance(value, float) else '%s'
    return printable_text(form % (value,), MAX_CELL)
