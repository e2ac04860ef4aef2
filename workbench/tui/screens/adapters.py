"""The library: find an adapter, see what it is, compare it, write on it, take it further."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import DataTable, Input

from workbench.tui.modals.questions import ConfirmModal, MessageModal
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.facts import Facts
from workbench.tui.widgets.plain import Plain, cell
from workbench.tui.widgets.text_input import TextInput
from workbench.tui.work import WorkDone
from workbench.wording import count, size

Adapter = dict[str, Any]
_EMPTY = (
    "The library is empty.\n\nAn adapter appears here when a training run has finished.\n"
    "Press n to begin one."
)


class AdaptersScreen(WorkbenchScreen):
    """All adapters, with a search; the details of the chosen one."""

    PLACE = "adapters"
    AUTO_FOCUS = "#adapters"
    TOUR = "Every trained adapter is kept here. p lets you talk to it; Esc goes back."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", id="adapters.search", key_display="/",
                tooltip="Find adapters by name, tag, note, base or dataset"),
        Binding("c", "compare", "Compare", id="adapters.compare",
                tooltip="Mark this adapter, then press it on another to compare the two"),
        Binding("p", "talk", "Talk", id="adapters.talk",
                tooltip="Talk to this adapter and its base side by side"),
        Binding("x", "export", "Export", id="adapters.export",
                tooltip="Take this adapter out of the vault"),
        Binding("t", "tags", "Tags", id="adapters.tags", show=False,
                tooltip="Change the words it is found by"),
        Binding("o", "note", "Note", id="adapters.note", show=False,
                tooltip="Write down what it is for"),
        Binding("l", "lineage", "Lineage", id="adapters.lineage", show=False,
                tooltip="Show what every adapter was made from"),
        Binding("v", "verify", "Verify", id="adapters.verify", show=False,
                tooltip="Read its sealed files and check every byte"),
        Binding("delete", "remove", "Remove", id="adapters.remove", show=False,
                tooltip="Destroy its key: it can never be read again"),
        Binding("n", "begin_training", "New", id="adapters.new", show=False,
                tooltip="Begin a new fine-tuning"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._all: list[Adapter] = []
        self._shown: list[Adapter] = []
        self._marked = ""

    def compose_body(self) -> ComposeResult:
        yield TextInput(placeholder="Search: words, or #tag", id="query")
        yield Plain("Reading the library…", id="none", classes="empty")
        table: DataTable[Any] = DataTable(id="adapters", cursor_type="row")
        table.display = False
        yield table
        with VerticalScroll(id="details", can_focus=False), Vertical():
            yield Facts(id="facts")

    def on_mount(self) -> None:
        """Name the columns; the library is read when the screen comes up."""
        table = self.query_one("#adapters", DataTable)
        for title in ("Adapter", "Base", "Dataset", "Method", "Rank", "Held-out loss", "Tags"):
            table.add_column(cell(title), key=title)

    def on_screen_resume(self) -> None:
        """Read the library; again after something above may have changed it."""
        if self.session.is_open:
            self._read()

    def _read(self) -> None:
        from workbench.adapters.library import list_adapters

        self.fetch("list", lambda _: list_adapters(self.session.vault))

    @on(WorkDone)
    def _finished(self, event: WorkDone) -> None:
        if event.work == "list":
            self._all = list(reversed(event.result))
            self._fill()
        elif event.work == "verify":
            bad = "\n".join(event.result)
            title = "Damaged" if bad else "Sound"
            text = bad or "Every sealed byte was read and is as it was written."
            self.app.push_screen(MessageModal(title, text))
        elif event.work in ("change", "remove"):
            self._read()
        elif event.work == "compare":
            from workbench.tui.screens.adapter_views import CompareScreen

            self.app.push_screen(CompareScreen(event.result))

    @on(Input.Changed, "#query")
    def _fill(self) -> None:
        from workbench.adapters.annotating import search

        table = self.query_one("#adapters", DataTable)
        before = self.chosen["adapter"] if self.chosen else ""
        self._shown = search(self._all, self.query_one("#query", Input).value)
        table.clear()
        for adapter in self._shown:
            table.add_row(*_row(adapter, self._marked), key=adapter["object_id"])
        names = [adapter["adapter"] for adapter in self._shown]
        if before in names:
            table.move_cursor(row=names.index(before))
        table.display = bool(self._shown)
        nothing = self.query_one("#none", Plain)
        nothing.display = not self._shown
        nothing.show("Nothing fits this search." if self._all else _EMPTY)
        self._tell()
        if self.focused is None or (self.focused is table and not self._shown):
            (table if self._shown else self.query_one("#query")).focus()
        self.refresh_bindings()

    @on(DataTable.RowHighlighted, "#adapters")
    def _tell(self) -> None:
        facts = self.query_one("#facts", Facts)
        facts.show(_facts(self.chosen) if self.chosen else [])
        self.query_one("#details").display = bool(self.chosen)

    @on(Input.Submitted, "#query")
    def _to_table(self) -> None:
        if self._shown:
            self.query_one("#adapters").focus()

    @property
    def chosen(self) -> Adapter | None:
        """The adapter under the cursor."""
        row = self.query_one("#adapters", DataTable).cursor_row
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what needs an adapter while there is none."""
        needing = {"compare", "talk", "export", "tags", "note", "lineage", "verify", "remove"}
        if action in needing:
            return bool(self._shown)
        return super().check_action(action, parameters)

    def action_search(self) -> None:
        """Go to the search field."""
        self.query_one("#query").focus()

    def action_begin_training(self) -> None:
        """Go to the guided path."""
        self.workbench.go("wizard")

    def action_compare(self) -> None:
        """Mark the first, compare with the second."""
        from workbench.adapters.comparing import compare_adapters

        if self.chosen is None:
            return
        second = self.chosen["object_id"]
        if self._marked in ("", second):
            self._marked = "" if self._marked else second
            said = "Marked. Press the key on another one." if self._marked else "Unmarked."
            self.app.notify(said)
        else:
            first, self._marked = self._marked, ""
            self.fetch("compare", lambda _: compare_adapters(self.session.vault, first, second))
        self._fill()

    def action_talk(self) -> None:
        """Go to the Playground with this adapter."""
        from workbench.tui.screens.playground import PlaygroundScreen

        if self.chosen:
            self.workbench.go("playground", PlaygroundScreen(self.chosen["adapter"]))

    def action_export(self) -> None:
        """Go to Export with this adapter."""
        from workbench.tui.screens.export import ExportScreen

        if self.chosen:
            self.workbench.go("export", ExportScreen(self.chosen["object_id"]))

    def action_tags(self) -> None:
        """Change the tags."""
        from workbench.adapters.annotating import tag_adapter
        from workbench.tui.screens.adapter_views import TagsModal

        if self.chosen is None:
            return
        name, tags = self.chosen["object_id"], list(self.chosen["tags"])

        def answer(told: list[str] | None) -> None:
            if told is not None:
                gone = [tag for tag in tags if tag not in told]
                self.begin(
                    "change",
                    lambda _: tag_adapter(self.session.vault, name, add=told, remove=gone),
                )

        self.app.push_screen(TagsModal(tags), answer)

    def action_note(self) -> None:
        """Change the note."""
        from workbench.adapters.annotating import note_adapter
        from workbench.tui.screens.adapter_views import NoteModal

        if self.chosen is None:
            return
        name = self.chosen["object_id"]

        def answer(told: str | None) -> None:
            if told is not None:
                self.begin("change", lambda _: note_adapter(self.session.vault, name, told))

        self.app.push_screen(NoteModal(self.chosen["notes"]), answer)

    def action_lineage(self) -> None:
        """Show the tree of what was made from what."""
        from workbench.tui.screens.adapter_views import LineageScreen

        self.app.push_screen(LineageScreen(self._all))

    def action_verify(self) -> None:
        """Check its files."""
        from workbench.adapters.library import verify_adapter

        if self.chosen:
            name = self.chosen["object_id"]
            self.fetch("verify", lambda _: verify_adapter(self.session.vault, name))

    def action_remove(self) -> None:
        """Ask for its name, then shred it."""
        from workbench.adapters.library import remove_adapter

        if self.chosen is None:
            return
        name = self.chosen["adapter"]

        def answer(agreed: bool | None) -> None:
            if agreed:
                self.begin("remove", lambda _: remove_adapter(self.session.vault, name))

        text = "Its key is destroyed and its files are deleted. The run that made it stays listed."
        self.app.push_screen(
            ConfirmModal("Remove this adapter?", text, yes="Remove", type_name=name), answer
        )


def held_out_loss(adapter: Adapter) -> float | None:
    """Return the best held-out loss that the run saw, that of the weights which were kept."""
    value = adapter["metrics"].get("eval_loss_best")
    return float(value) if isinstance(value, int | float) else None


def _row(adapter: Adapter, marked: str) -> list[Any]:
    loss = held_out_loss(adapter)
    mark = "◆ " if adapter["object_id"] == marked else ""
    return [
        cell(mark + adapter["adapter"], limit=28),
        cell(adapter["base"]["name"], limit=16),
        cell(adapter["dataset"]["name"], limit=16),
        cell(adapter["method"]),
        cell(adapter["rank"]),
        cell("" if loss is None else f"{loss:.3f}"),
        cell(", ".join(adapter["tags"]), limit=30),
    ]


def _facts(adapter: Adapter) -> list[tuple[str, str]]:
    loss = held_out_loss(adapter)
    evaluations = adapter["metrics"].get("evaluations", {})
    told = [
        ("made", f"{adapter['created'][:16].replace('T', ' ')} by run {adapter['run']}"),
        ("base", adapter["base"]["name"]),
        ("dataset", adapter["dataset"]["name"]),
        (
            "trained",
            f"{adapter['method']}, rank {adapter['rank']}, alpha {adapter['alpha']:g}, "
            f"{count(adapter['parameters'], 'parameter')}, {count(adapter['steps'], 'step')}",
        ),
        ("size", size(adapter["bytes"])),
        ("held-out loss", "" if loss is None else f"{loss:.4f}"),
        *(
            (f"on {split}", f"loss {of['base']['loss']:.3f} → {of['adapter']['loss']:.3f}")
            for split, of in evaluations.items()
        ),
        ("tags", ", ".join(adapter["tags"])),
        ("note", adapter["notes"]),
        ("SHA-256", adapter["sha256"]),
    ]
    return [(name, value) for name, value in told if value]
