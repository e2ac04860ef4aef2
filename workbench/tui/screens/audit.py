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
from workbench.tui.screens.checking import CheckingScreen
from workbench.tui.widgets.paged_list import PagedList
from workbench.tui.widgets.plain import Plain, Tone
from workbench.tui.widgets.progress import ProgressLine
from workbench.tui.work import Progress, WorkDone, WorkFailed
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


class AuditScreen(CheckingScreen):
    """The sealed log; reading it changes nothing."""

    PLACE = "audit"
    TOUR = "look around, or press Escape to go back."
    PROGRESS = "checked"
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
            self.fetch("open", self._find_entries)

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
        if self._pages is not None:
            first, number = event.first, event.count
            self.fetch(f"page-{first}", lambda _: (first, self._page(first, number)))

    def _page(self, first: int, number: int) -> list[AuditEntry | None] | None:
        pages = self._pages  # None after a lock, until the log was opened again
        return None if pages is None else pages.page(first, number)

    @on(WorkDone)
    def _take(self, event: WorkDone) -> None:
        if event.work == "open":
            self._pages, total, self._names = event.result
            self._entries.clear()
            if not self.is_at_work:
                self._say(f"{count(total, 'entry', 'entries')}; not checked yet: v verifies them")
            self.query_one(PagedList).show_total(total)
        elif event.work.startswith("page-"):
            first, entries = event.result
            if entries is None:
                return
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
        if not self.is_at_work:
            self._say("Checking every seal, link and signature…")
            self.check("verify", self._verify)

    def _verify(self, tell: Progress) -> AuditCheck:
        return self.session.vault.audit.verify(tell)

    def action_stop(self) -> None:
        """Stop the check."""
        super().action_stop()
        self._say("The check was stopped.")

    def _show_check(self, check: AuditCheck) -> None:
        good = count(check.entries, "entry", "entries")
        self.end_work()
        self._say(f"{good}: {_FAULTS[check.fault]}", "good" if check.ok else "bad")

    def _say(self, text: str, tone: Tone = "") -> None:
        self.query_one("#audit-state", Plain).say(text, tone)

    def take_failure(self, event: WorkFailed) -> bool:
        """Leave the screen as it was before the work."""
        if event.work == "verify":
            self._say("The check could not be finished.")
        return super().take_failure(event)

    # Taking it elsewhere

    def action_head(self) -> None:
        """Show the line to note elsewhere."""
        self.fetch("head", lambda _: self.session.vault.audit.head())

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
        from workbench.tui.modals.pickers import FolderModal, nearest_folder

        def chosen(folder: Path | None) -> None:
            if folder is not None:
                self.begin("export", lambda _: self._write(folder))

        self.app.push_screen(FolderModal(nearest_folder("")), chosen)

    def _write(self, folder: Path) -> tuple[Path, str]:
        vault = self.session.vault  # held to the end, whoever locks it meanwhile
        lines = list(vault.audit.export())
        path = folder / f"audit-{vault.vault_id[:8]}-{len(lines) - 2}.jsonl"
        publish_bytes(path, ("\n".join(lines) + "\n").encode())
        return path, vault.audit.public_key

    def _show_export(self, path: Path, key: str) -> None:
        from workbench.tui.modals.line import LineModal

        self.tell(
            LineModal(
                "The log was written",
                f"{path}\nIt is readable by whoever gets the file. Anybody can check it, without "
                "this vault, with `workbench audit verify --file` and the public key below: note "
                "the key elsewhere.",
                key,
                may_copy=self.workbench.settings.copy,
            )
        )
