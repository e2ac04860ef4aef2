"""The audit log: what was done, newest first, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from workbench.durable import publish_bytes
from workbench.tui.audit_words import tell_detail, tell_event
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.paged_list import PagedList
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.progress import ProgressLine
from workbench.tui.work import Progress, WorkDone, WorkFailed, WorkProgressed
from workbench.wording import count

if TYPE_CHECKING:
    from workbench.vault.audit_chain import AuditCheck, AuditEntry
    from workbench.vault.audit_pages import AuditPages

_FAULTS = {
    "": "● whole: every seal, link and signature verifies",
    "entry": "▲ BROKEN: the entry after these was changed, taken out, doubled or moved",
    "end": "▲ BROKEN: it does not end where it was vouched to end; entries may have been cut off",
    "key": "▲ BROKEN: another key signed it",
}
_UNREADABLE = "▲ this entry does not open: verify (v) says more"


class AuditScreen(WorkbenchScreen):
    """The sealed log; reading it changes nothing."""

    PLACE = "audit"
    TOUR = "look around, or press Escape to go back."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "verify", "Verify", id="audit.verify",
                tooltip="Check every seal, link and signature of the log"),
        Binding("h", "head", "Head line", id="audit.head",
                tooltip="Show the one line that fixes all entries so far, to note elsewhere"),
        Binding("x", "export", "Export", id="audit.export",
                tooltip="Write the log to a folder, readable and signed"),
        Binding("c", "stop", "Stop checking", id="audit.stop", show=False,
                tooltip="Stop the check that is going on"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[str, str] = {}
        self._entries: dict[int, AuditEntry | None] = {}
        self._pages: AuditPages | None = None
        self._checking = False

    def compose_body(self) -> ComposeResult:
        yield Plain("Opening the log…", id="audit-state")
        yield ProgressLine(id="audit-progress")
        yield Plain("   no.  when (UTC)        what was done", id="audit-heads", classes="muted")
        yield PagedList(id="audit-list")
        with VerticalScroll(id="audit-detail"):
            yield Plain("", id="audit-entry")

    def on_mount(self) -> None:
        """Let the arrow keys move through the log."""
        self.query_one(PagedList).focus()

    @on(events.ScreenResume)
    def _open(self) -> None:
        if self.session.is_open:
            self.begin("open", self._find_entries)

    def _find_entries(self, _: Progress) -> tuple[AuditPages, int, dict[str, str]]:
        from workbench.vault.audit_pages import AuditPages

        vault = self.session.vault
        pages = AuditPages(vault.audit)
        names = {entry.object_id: entry.name for entry in vault.catalogue.entries()}
        return pages, pages.refresh(), names

    def conceal(self) -> None:
        """Hold neither entries nor what opens them any longer."""
        self._pages = None
        self._names = {}
        self._entries.clear()
        self.query_one(PagedList).show_total(0)
        self.query_one("#audit-entry", Plain).show("")

    @on(PagedList.PageWanted)
    def _fetch(self, event: PagedList.PageWanted) -> None:
        pages = self._pages
        if pages is not None:
            self.begin(
                f"page-{event.first}",
                lambda _: (event.first, pages.page(event.first, event.count)),
            )

    @on(WorkDone)
    def _take(self, event: WorkDone) -> None:
        if not self.session.is_open and (event.work == "open" or event.work.startswith("page-")):
            return  # locked meanwhile
        if event.work == "open":
            self._pages, total, self._names = event.result
            self._entries.clear()
            if not self._checking:
                self._say(f"{count(total, 'entry', 'entries')}; not checked yet: v verifies them")
            self.query_one(PagedList).show_total(total)
        elif event.work.startswith("page-"):
            first, entries = event.result
            for place, entry in enumerate(entries):
                self._entries[first + place] = entry
            self.query_one(PagedList).fill(first, [self._row(entry) for entry in entries])
        elif event.work == "verify":
            self._show_check(event.result)
        elif event.work == "head":
            self._show_head(event.result)
        elif event.work == "export":
            self._show_export(*event.result)

    def _row(self, entry: AuditEntry | None) -> str:
        if entry is None:
            return f"       {_UNREADABLE}"
        moment = entry.time[:16].replace("T", " ")
        return f"{entry.number:>6}  {moment}  {tell_event(entry.event, entry.detail, self._names)}"

    @on(PagedList.Highlighted)
    def _show_entry(self, event: PagedList.Highlighted) -> None:
        entry = self._entries.get(event.row)
        told = self.query_one("#audit-entry", Plain)
        if entry is None:
            told.show(_UNREADABLE)
            return
        lines = tell_detail(entry.detail, self._names)
        told.show("\n".join([f"{entry.event}  {entry.time}", *lines, f"hash: {entry.hash}"]))

    # Checking

    def action_verify(self) -> None:
        """Check the whole log."""
        if not self._checking:
            self._checking = True
            self.refresh_bindings()
            self._say("Checking every seal, link and signature…")
            self.begin("verify", self._verify)

    def _verify(self, tell: Progress) -> AuditCheck:
        return self.session.vault.audit.verify(tell)

    def action_stop(self) -> None:
        """Stop the check."""
        self.workers.cancel_group(self, "verify")
        self._end_check("The check was stopped.")

    @on(WorkProgressed)
    def _tell(self, event: WorkProgressed) -> None:
        if self._checking:
            line = self.query_one(ProgressLine)
            line.tell(event.done, event.total, "checked", bytes_=False)

    def _show_check(self, check: AuditCheck) -> None:
        good = count(check.entries, "entry", "entries")
        self._end_check(f"{good}: {_FAULTS[check.fault]}", "good" if check.ok else "bad")

    def _end_check(self, text: str, tone: str = "") -> None:
        self._checking = False
        self.query_one(ProgressLine).clear_line()
        self._say(text, tone)
        self.refresh_bindings()

    def _say(self, text: str, tone: str = "") -> None:
        line = self.query_one("#audit-state", Plain)
        line.show(text)
        for name in ("good", "bad"):
            line.set_class(tone == name, name)

    def take_failure(self, event: WorkFailed) -> bool:
        """Leave the screen as it was before the work."""
        if event.work == "verify":
            self._end_check("The check could not be finished.")
        return False

    # Taking it elsewhere

    def action_head(self) -> None:
        """Show the line to note elsewhere."""
        self.begin("head", lambda _: self.session.vault.audit.head())

    def _show_head(self, head: str) -> None:
        from workbench.tui.modals.line import LineModal

        self.app.push_screen(
            LineModal(
                "The head of the log",
                "Note this line where nobody who can write to this machine can change it. It names "
                "the vault, the number of entries and the newest one's hash: with it, an older "
                "copy of the vault can be told from this one.",
                head,
                may_copy=self.workbench.settings.copy,
            )
        )

    def action_export(self) -> None:
        """Ask for a folder, then write the log there."""
        from workbench.tui.modals.folders import FolderModal, nearest_folder

        def chosen(folder: Path | None) -> None:
            if folder is not None:
                self.begin("export", lambda _: self._write(folder))

        self.app.push_screen(FolderModal(nearest_folder("")), chosen)

    def _write(self, folder: Path) -> tuple[Path, str]:
        audit = self.session.vault.audit
        lines = list(audit.export())
        path = folder / f"audit-{self.session.vault.vault_id[:8]}-{len(lines) - 2}.jsonl"
        publish_bytes(path, ("\n".join(lines) + "\n").encode())
        return path, audit.public_key

    def _show_export(self, path: Path, key: str) -> None:
        from workbench.tui.modals.line import LineModal

        self.app.push_screen(
            LineModal(
                "The log was written",
                f"{path}\nIt is readable by whoever gets the file. Anybody can check it, without "
                "this vault, with `workbench audit verify --file` and the public key below: note "
                "the key elsewhere.",
                key,
                may_copy=self.workbench.settings.copy,
            )
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer Stop while a check goes on."""
        if action == "stop":
            return self._checking
        return super().check_action(action, parameters)
