"""Choosing what the records are, and which column of the file feeds which field."""

from __future__ import annotations

from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.widgets import Select

from workbench.tui.data_words import FIELDS, KINDS
from workbench.tui.screens.wizard.data_work import Looked
from workbench.tui.widgets.plain import Plain, cell

MOST_FIELDS = 4
_NONE = "— leave out —"


class ReadingChanged(Message):
    """Another kind was chosen, or another column for a field."""

    def __init__(self, kind: str, mapping: dict[str, str]) -> None:
        super().__init__()
        self.kind = kind
        self.mapping = mapping


class ColumnChoice(VerticalScroll, can_focus=False):
    """One Select for the kind, and one for each field that it takes."""

    def __init__(self) -> None:
        super().__init__(id="choice")
        self._fields: tuple[tuple[str, bool], ...] = ()
        self._kind = ""
        # What the Selects were last set to: their own messages about that change nothing.
        self._set: dict[str, object] = {}

    def compose(self) -> ComposeResult:
        with Horizontal(classes="row"):
            yield Plain("Records are")
            yield Select(
                [(cell(words), kind) for kind, words in KINDS.items()],
                prompt="choose", allow_blank=True, compact=True, id="kind",
            )  # fmt: skip
        for number in range(MOST_FIELDS):
            with Horizontal(classes="row field", id=f"row-{number}"):
                yield Plain("", id=f"label-{number}")
                yield Select[str]([], prompt="choose a column", compact=True, id=f"field-{number}")

    def on_mount(self) -> None:
        """Wait for the files."""
        for number in range(MOST_FIELDS):
            self.query_one(f"#row-{number}").display = False

    def show(self, reading: dict[str, Any], looked: Looked) -> None:
        """Show what the files would be read as, or what was asked for where that does not fit."""
        seen = looked.peek
        self._kind = seen.kind or (reading["kind"] if reading["kind"] != "auto" else "")
        self._put("kind", self._kind)
        self._fields = looked.fields.get(self._kind, ())
        chosen = seen.columns if seen.kind else reading["mapping"]
        for number in range(MOST_FIELDS):
            row = self.query_one(f"#row-{number}")
            row.display = number < len(self._fields)
            if not row.display:
                continue
            field, optional = self._fields[number]
            self.query_one(f"#label-{number}", Plain).show(FIELDS[field])
            options = [(cell(name), name) for name in seen.headings]
            if optional:
                options.insert(0, (cell(_NONE), ""))
            select = self._select(f"field-{number}")
            with self.prevent(Select.Changed):
                select.set_options(options)
            value = chosen.get(field, "" if optional else None)
            self._put(f"field-{number}", value if value in {v for _, v in options} else "\0")

    def _select(self, name: str) -> Select[str]:
        return self.query_one(f"#{name}", Select)

    def _put(self, name: str, value: object) -> None:
        blank = value == "\0" or (name == "kind" and not value)
        self._set[name] = Select.NULL if blank else value
        with self.prevent(Select.Changed):
            self._select(name).value = Select.NULL if blank else str(value)

    @on(Select.Changed)
    def _changed(self, event: Select.Changed) -> None:
        event.stop()
        name = event.select.id or ""
        if event.value == self._set.get(name):
            return
        self._set[name] = event.value
        if name == "kind":
            if event.value is not Select.NULL:
                self.post_message(ReadingChanged(str(event.value), {}))
            return
        mapping = {
            field: str(value)
            for number, (field, _) in enumerate(self._fields)
            if (value := self._select(f"field-{number}").value) is not Select.NULL
        }
        self.post_message(ReadingChanged(self._kind, mapping))
