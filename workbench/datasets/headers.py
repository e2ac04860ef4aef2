"""Whether the first line of a CSV file names its columns, or is a record like the others.

Nothing in a file says which it is, so this only warns: it looks for what names of columns hardly
ever are, and stays silent where one of them is a name that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from workbench.datasets.columns import is_known_heading

# A text of so many characters is rather a sentence than a name.
_SENTENCE = 20
_FEWEST = 3  # records to compare with


def looks_like_record(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Say whether `first` looks like one of `others`, the records that follow it.

    It does where one of its cells is a number among numbers, a sentence as long as those below it,
    or a value that comes again in its column, as labels do.
    """
    alike = [row for row in others if len(row) == len(first)]
    if len(alike) < _FEWEST or any(is_known_heading(cell) for cell in first):
        return False
    return any(
        _belongs(cell.strip(), [row[place].strip() for row in alike])
        for place, cell in enumerate(first)
        if cell.strip()
    )


def _belongs(cell: str, column: list[str]) -> bool:
    if cell in column:
        return True
    if _is_number(cell):
        return all(_is_number(other) for other in column if other)
    usual = median(len(other) for other in column)
    return len(cell) >= _SENTENCE and " " in cell and usual / 2 <= len(cell) <= 2 * usual


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
