"""One held-out record: what was asked and wanted, what base and adapter answered."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.records import hidden


@dataclass(frozen=True, repr=False)
class Compared:
    """What is shown of one record; all of it is record text but the marks.

    Attributes:
        base_mark: Glyph beside the base's answer; `adapter_mark` likewise.
    """

    prompt: str
    reference: str
    base: str
    adapter: str
    base_mark: str
    adapter_mark: str


class SideBySideView(VerticalScroll):
    """Four labelled texts below each other, masked unless told otherwise; never has the focus."""

    can_focus = False
    _PARTS = (
        ("prompt", "Asked"),
        ("reference", "Wanted"),
        ("base", "Base"),
        ("adapter", "Adapter"),
    )

    def compose(self) -> ComposeResult:
        for name, label in self._PARTS:
            with Horizontal(classes="part"):
                yield Plain(label, classes="label", id=f"label-{name}")
                yield Plain("", classes="text", id=f"text-{name}")

    def clear(self) -> None:
        """Hold no text any longer."""
        for name, _ in self._PARTS:
            self.query_one(f"#text-{name}", Plain).show("")

    def show_record(self, record: Compared, *, revealed: bool) -> None:
        """Show a record from its top."""
        for name, _ in self._PARTS:
            text = str(getattr(record, name))
            self.query_one(f"#text-{name}", Plain).show(text if revealed else hidden(text))
        self.query_one("#label-base", Plain).show(f"Base     {record.base_mark}")
        self.query_one("#label-adapter", Plain).show(f"Adapter  {record.adapter_mark}")
        self.scroll_home(animate=False)
