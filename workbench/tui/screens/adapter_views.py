"""What the library opens: a comparison, the lineage, a note, tags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, DataTable, Input, TextArea, Tree
from textual.widgets.tree import TreeNode

from workbench.text import printable
from workbench.tui.modals.base import WorkbenchModal
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.plain import Plain, cell
from workbench.tui.widgets.text_input import TextInput, TextLines
from workbench.wording import count, size

_BYTES = ("bytes",)


class CompareScreen(WorkbenchScreen):
    """Two adapters in two columns; what differs is marked."""

    PLACE = "adapters"
    HELP_PAGE = "compare"

    def __init__(self, comparison: dict[str, Any]) -> None:
        super().__init__()
        self._told = comparison

    @property
    def heading(self) -> str:
        """What the top line says."""
        return "Adapters › Compare"

    def compose_body(self) -> ComposeResult:
        base = "the same base" if self._told["same_base"] else "different bases"
        data = "the same dataset" if self._told["same_dataset"] else "different datasets"
        yield Plain(f"Trained on {base} and {data}. ≠ marks what differs.", classes="muted line")
        yield DataTable(id="comparison", cursor_type="row")

    def on_mount(self) -> None:
        """Fill the table."""
        table = self.query_one("#comparison", DataTable)
        table.add_column("", key="mark")
        table.add_column("", key="name")
        for place, name in enumerate(self._told["adapters"]):
            table.add_column(cell(name, limit=26), key=str(place))
        for part in ("facts", "recipe", "metrics"):
            for name, pair in self._told[part].items():
                same = pair[0] == pair[1]
                table.add_row(
                    cell("" if same else "≠", "bold"),
                    cell(name.replace("_", " "), limit=28),
                    *(cell(_value(name, value), limit=26) for value in pair),
                )
        table.focus()


class LineageScreen(WorkbenchScreen):
    """Base models, the datasets that were trained on them, and the adapters that came of it."""

    PLACE = "adapters"
    HELP_PAGE = "lineage"

    def __init__(self, adapters: list[dict[str, Any]]) -> None:
        super().__init__()
        self._adapters = adapters

    @property
    def heading(self) -> str:
        """What the top line says."""
        return "Adapters › Lineage"

    def compose_body(self) -> ComposeResult:
        tree: Tree[str] = Tree("made from", id="lineage")
        tree.show_root = False
        tree.guide_depth = 3
        yield tree

    def on_mount(self) -> None:
        """Grow the tree."""
        tree = self.query_one("#lineage", Tree)
        for base, of_base in _grouped(self._adapters, "base"):
            branch = tree.root.add(cell(f"base      {base}"), expand=True)
            for dataset, of_dataset in _grouped(of_base, "dataset"):
                twig = branch.add(cell(f"dataset   {dataset}"), expand=True)
                _grow(twig, of_dataset)
        tree.focus()


def _grouped(
    adapters: Iterable[dict[str, Any]], part: str
) -> list[tuple[str, list[dict[str, Any]]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    names: dict[str, str] = {}
    for adapter in adapters:
        key = adapter[part]["object_id"]
        names[key] = adapter[part]["name"]
        groups.setdefault(key, []).append(adapter)
    return [(names[key], group) for key, group in groups.items()]


def _grow(node: TreeNode[str], adapters: list[dict[str, Any]]) -> None:
    """Put each adapter below the first one here that it was made from, or below `node`."""
    ids = {adapter["object_id"] for adapter in adapters}
    nodes: dict[str, TreeNode[str]] = {}
    for adapter in sorted(adapters, key=lambda told: str(told["created"])):
        parents = [parent for parent in adapter["lineage"] if parent in ids and parent in nodes]
        place = nodes[parents[0]] if parents else node
        label = f"adapter   {adapter['adapter']}  ({adapter['method']}, rank {adapter['rank']})"
        place.allow_expand = True
        nodes[adapter["object_id"]] = place.add(
            cell(label, limit=70), expand=True, allow_expand=False
        )


def _value(name: str, value: object) -> str:
    if value is None:
        return "—"
    if name.endswith(_BYTES) and isinstance(value, int):
        return size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


class NoteModal(WorkbenchModal[str | None]):
    """A note to write; Ctrl+S keeps it, Escape leaves it as it was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="note.cancel", tooltip="Leave it as it was"),
        Binding("ctrl+s", "keep", "Keep", id="note.keep", tooltip="Keep what is written"),
    ]

    def __init__(self, note: str) -> None:
        super().__init__()
        self._note = note

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield Plain("Note", classes="dialog-title")
            yield TextLines(
                printable(self._note, limit=20_000, multiline=True), id="text", soft_wrap=True
            )
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel")
                yield Button("Keep (Ctrl+S)", id="keep", variant="primary")

    @on(Button.Pressed, "#keep")
    def action_keep(self) -> None:
        """Keep what is written."""
        self.dismiss(self.query_one("#text", TextArea).text)

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Leave it as it was."""
        self.dismiss(None)


class TagsModal(WorkbenchModal[list[str] | None]):
    """Tags to change, separated by commas."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="tags.cancel", tooltip="Leave them as they were"),
    ]

    def __init__(self, tags: list[str]) -> None:
        super().__init__()
        self._tags = tags

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Plain("Tags, separated by commas", classes="dialog-title")
            yield TextInput(printable(", ".join(self._tags)), id="tags")
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel")
                yield Button("Keep", id="keep", variant="primary")

    @on(Input.Submitted, "#tags")
    @on(Button.Pressed, "#keep")
    def _keep(self) -> None:
        told = self.query_one("#tags", Input).value.split(",")
        self.dismiss([tag.strip() for tag in told if tag.strip()])

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Leave them as they were."""
        self.dismiss(None)
