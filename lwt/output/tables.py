"""Tables: rows of values as aligned columns of text."""

from lwt.errors import printable_text

MAX_CELL = 1000                 # characters of a cell


def table(header, rows, paint=None):
    """A table as a list of lines with aligned columns; numbers (int, float) are aligned right.

    paint: a function of (row, line) that returns the line in a colour, or None.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(header)] + cells)
              for column in range(len(header))]
    lines = ['  '.join(title.ljust(width) for title, width in zip(header, widths)).rstrip()]
    for row, line in zip(rows, cells):
        text = '  '.join(cell.rjust(width) if isinstance(value, (int, float)) else cell.ljust(width)
                         for value, cell, width in zip(row, line, widths)).rstrip()
        lines.append(paint(row, text) if paint else text)
    return lines


def _cell(value):
    """The text of a value in a table."""
    if value is None:
        return '-'
    return printable_text('%.1f' % value if isinstance(value, float) else str(value), MAX_CELL)
