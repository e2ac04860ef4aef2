"""Choosing: files to import, or a dataset that is sealed already."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Button, Input, OptionList
from textual.widgets.option_list import Option

from workbench.tui.data_words import KINDS
from workbench.tui.screens.wizard.data_stage import Stage
from workbench.tui.widgets.plain import Plain, shown
from workbench.tui.widgets.text_input import TextInput
from workbench.tui.work import WorkDone
from workbench.wording import count, size

MOST_FILES = 100
_NO_HEADER = "▲ its first line does not look like names of columns"


class ChooseStage(Stage):
    """Lists the files, takes more by path or from the folders, and lists what is sealed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "browse", "Browse", id="data.browse",
                tooltip="Walk through the folders and choose a file"),
        Binding("delete", "remove", "Remove", id="data.remove", show=False,
                tooltip="Take the highlighted file off the list; the file itself stays"),
    ]  # fmt: skip

    def compose(self) -> ComposeResult:
        yield Plain("Files to read: CSV, TSV or JSON lines", classes="title")
        yield OptionList(id="files")
        yield Plain("None yet. Type where one is and press Enter, or press F5.", id="no-files")
        with Horizontal(classes="row"):
            yield TextInput(placeholder="a path, such as ~/notes.csv", id="path")
            yield Button("Add", id="add")
            yield Button("Browse…", id="browse")
        yield Plain("", id="said")
        yield Plain("Or data that is sealed already", classes="title", id="sealed-title")
        yield OptionList(id="sealed")
        yield Plain("", id="no-sealed", classes="muted")
        with Horizontal(classes="buttons"):
            yield Button("Remove", id="remove")
            yield Button("Check the files", id="go", variant="primary")

    def on_mount(self) -> None:
        """Show what the draft holds; the datasets follow."""
        self._sealed: list[dict[str, Any]] = []
        self.query_one("#sealed").display = False
        self.query_one("#no-sealed", Plain).show("Looking…")
        self.say(self.said)
        self._list_files()
        if self.step.draft.files:
            self.focus_default()
        else:
            self.query_one("#path", Input).focus()
        self.fetch("datasets", lambda _: self._datasets())

    def _datasets(self) -> list[dict[str, Any]]:
        from workbench.datasets.collection import list_datasets

        return list_datasets(self.step.session.vault)

    def _list_files(self) -> None:
        files = self.step.draft.files
        listed = self.query_one("#files", OptionList)
        listed.clear_options()
        listed.add_options(
            [Option(shown(f"{Path(name).name}   {Path(name).parent}")) for name in files]
        )
        listed.display = bool(files)
        self.query_one("#no-files").display = not files
        self.query_one("#remove").display = bool(files)
        self.query_one("#go", Button).disabled = not files

    # Files

    @on(Button.Pressed, "#add")
    @on(Input.Submitted, "#path")
    def _add_typed(self) -> None:
        typed = self.query_one("#path", Input).value.strip()
        if typed[:1] in {"'", '"'} and typed[-1:] == typed[:1]:  # as file managers copy it
            typed = typed[1:-1]
        if typed:
            self._add(typed)
        elif self.step.draft.files:
            self.go_on()

    def _add(self, path: str) -> None:
        def look(_: object) -> tuple[str, str]:
            from workbench.datasets.peeking import look_at

            try:
                found = Path(path).expanduser().absolute()
            except RuntimeError:  # there is no such user's home
                found = Path(path)
            seen = look_at(found)
            # What seems to be a record stays out of sight.
            columns = _NO_HEADER if seen.doubtful else _columns(seen.headings)
            return str(found), f"{seen.name}: {size(seen.bytes)}, {columns}."

        self.say("Looking…", kind="muted")
        self.begin("add", look)

    @on(WorkDone)
    def _done(self, event: WorkDone) -> None:
        event.stop()
        if event.work == "datasets":
            self._list_sealed(event.result)
            return
        path, about = event.result
        files = self.step.draft.files
        if path in files:
            self.say("This file is on the list already.")
        elif len(files) >= MOST_FILES:
            self.say(f"That is more than {MOST_FILES} files; import the rest as another dataset.")
        else:
            # Other files, another reading: what was mapped for the old ones may not fit.
            name = self.step.draft.reading.get("name", "") if files else ""
            self.step.change(files=(*files, path), reading={"name": name} if name else {})
            self.say(about, kind="muted")
            self._list_files()
        self.query_one("#path", Input).value = ""
        self.focus_default()

    @on(Button.Pressed, "#browse")
    def action_browse(self) -> None:
        """Choose a file from the folders."""
        from workbench.tui.modals.pickers import FilesModal, nearest_folder

        files, typed = self.step.draft.files, self.query_one("#path", Input).value.strip()
        start = nearest_folder(typed or (str(Path(files[-1]).parent) if files else ""))

        def taken(path: Path | None) -> None:
            if path is not None:
                self._add(str(path))

        self.app.push_screen(FilesModal(start, "Choose a file of records"), taken)

    @on(Button.Pressed, "#remove")
    def action_remove(self) -> None:
        """Take a file off the list: the highlighted one, else the last."""
        files = list(self.step.draft.files)
        listed = self.query_one("#files", OptionList)
        if files:
            del files[-1 if listed.highlighted is None else listed.highlighted]
            self.step.change(files=tuple(files), reading={})
            self._list_files()
            (self.query_one("#go") if files else self.query_one("#path")).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to remove a file only where there is one."""
        if action == "remove":
            return bool(self.step.draft.files) and self.query_one("#files").has_focus
        return super().check_action(action, parameters)

    @on(Button.Pressed, "#go")
    def _check(self) -> None:
        self.step.open_stage("check")

    # Datasets

    def _list_sealed(self, found: list[dict[str, Any]]) -> None:
        self._sealed = list(reversed(found))  # the newest first
        listed = self.query_one("#sealed", OptionList)
        listed.add_options(
            [
                Option(
                    shown(
                        f"{item['dataset']}   {KINDS.get(item['kind'], item['kind'])}, "
                        f"{count(item['rows'], 'record')}   {item['created'][:10]}"
                    )
                )
                for item in self._sealed
            ]
        )
        listed.display = bool(found)
        none = self.query_one("#no-sealed", Plain)
        none.show("The vault holds no dataset yet.")
        none.display = not found

    @on(OptionList.OptionSelected, "#sealed")
    def _use(self, event: OptionList.OptionSelected) -> None:
        chosen = self._sealed[event.option_index]
        self.step.change(dataset=chosen["object_id"], files=(), reading={})
        self.step.open_stage("sealed")


def _columns(headings: tuple[str, ...]) -> str:
    named = ", ".join(headings[:6])
    return f"columns {named}" + (" …" if len(headings) > 6 else "")
