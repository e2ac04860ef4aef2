"""No text from outside reaches a widget as it is: the one sanitiser comes first.

Read from the source: whatever builds a widget that would read markup, or sets a title, is given a
literal of ours or what `shown` or `cell` made of a value.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench.tui

ROOT = Path(workbench.tui.__file__).parent
# `printable` alone is none: what takes a string reads markup in it. `record_content` masks records.
WRAPPERS = {"shown", "cell", "record_content", "Content", "Plain"}
# Widget or method -> the places of the arguments that it shows.
SHOWING = {
    "Static": (0,), "Label": (0,), "Button": (0,), "Checkbox": (0,), "RadioButton": (0,),
    "Option": (0,), "Tab": (0,), "TabPane": (0,), "Collapsible": (), "Digits": (0,), "Tree": (0,),
    "add": (), "add_leaf": (0,), "add_column": (0,), "set_label": (0,), "Markdown": (0,),
    "replace_option_prompt": (1,), "replace_option_prompt_at_index": (1,), "Text": (0,),
    "Content": (0,), "from_markup": (0,),
}  # fmt: skip
KEYWORDS = {"label", "content", "prompt", "title", "border_title", "border_subtitle", "placeholder",
            "tooltip"}  # fmt: skip
TITLES = {"border_title", "border_subtitle", "label", "tooltip", "sub_title", "placeholder"}
# Markup that is shown on purpose is the documentation's: it comes from the package alone.
EXEMPT = {
    ("modals/page.py", "Markdown"), ("modals/explainers/modal.py", "Markdown"),
    ("widgets/plain.py", "Text"), ("widgets/records.py", "Static"), ("widgets/turns.py", "Static"),
}  # fmt: skip
# Their `label` is a plain attribute of ours, drawn by a widget of ours.
OWN_LABELS = {"widgets/slider.py", "modals/explainers/modal.py"}


def sources() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def is_ours(node: ast.expr) -> bool:
    """Whether an expression can only be a literal of ours or made harmless."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.IfExp):
        return is_ours(node.body) and is_ours(node.orelse)
    if isinstance(node, ast.BinOp):
        return is_ours(node.left) and is_ours(node.right)
    if isinstance(node, ast.Call):
        return _name(node.func) in WRAPPERS
    if isinstance(node, ast.Name | ast.Attribute):
        return _name(node).strip("_").isupper()  # a constant
    return isinstance(node, ast.Subscript) and is_ours(node.value)


def _is_printable(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _name(node.func) == "printable"


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def unsafe(path: Path, tree: ast.AST) -> Iterator[str]:
    where = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _name(node.func)) in SHOWING:
            if (where, name) in EXEMPT:
                continue
            given = [node.args[place] for place in SHOWING[name] if place < len(node.args)]
            given += [word.value for word in node.keywords if word.arg in KEYWORDS]
            for value in given:
                # These two read no markup: harmless characters are enough.
                plain = name in ("Text", "Content") and _is_printable(value)
                if not plain and not is_ours(value):
                    yield f"{where}:{node.lineno}: {name}({ast.unparse(value)})"
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if where in OWN_LABELS:
                    continue
                if (
                    isinstance(target, ast.Attribute)
                    and target.attr in TITLES
                    and not is_ours(node.value)
                ):
                    yield f"{where}:{node.lineno}: .{target.attr} = {ast.unparse(node.value)}"


def test_every_text_goes_through_the_sanitiser() -> None:
    found = sources()
    assert len(found) > 40
    problems = [each for path in found for each in unsafe(path, ast.parse(path.read_text()))]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "line",
    [
        "Static(f'{name}')", "Button(self.name)", "Option(row)", "rows.add_leaf(name)",
        "box.border_title = name", "Label(printable(x) + name)", "Text.from_markup(x)",
        "Button('x', tooltip=name)", "Checkbox(label=name)", "Button(printable(name))",
    ],
)  # fmt: skip
def test_what_is_unsafe_is_found(line: str) -> None:
    assert list(unsafe(Path("x.py"), ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    ["Static('x')", "Button(shown(name))", "Option(cell(x) if y else 'none')", "Label(_TITLE)",
     "Plain(name)", "box.border_title = shown(x)"],
)  # fmt: skip
def test_what_is_safe_passes(line: str) -> None:
    assert not list(unsafe(Path("x.py"), ast.parse(line)))


def test_markup_is_never_switched_on() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "markup":
                value = node.value
                if path.name == "app.py" and isinstance(value, ast.Name):
                    continue
                assert isinstance(value, ast.Constant), path
                assert value.value is False, path
