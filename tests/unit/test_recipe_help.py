"""The help page of the recipe says what the declaration says, key for key."""

from __future__ import annotations

from importlib.resources import files

import pytest

from workbench.recipe import FIELDS, Field, parse


def row_of(field: Field) -> str:
    """Return the line of the page's table for one key."""
    default = str(field.default).lower() if isinstance(field.default, bool) else field.default
    return f"| `{field.key}` | {default} | {field.accepts} | {field.help} |"


def page() -> str:
    return files("workbench").joinpath("help/recipe.md").read_text("utf-8")


@pytest.mark.parametrize("key", FIELDS)
def test_the_page_has_the_line_of_every_key(key: str) -> None:
    assert row_of(FIELDS[key]) in page().splitlines()


def test_the_page_has_no_other_keys() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(FIELDS)


def test_the_example_is_a_valid_recipe() -> None:
    example = page().split("```toml\n")[1].split("```")[0]
    assert parse(example).method == "qlora"
