"""What an export wrote: where it is, what proves it, how to load it, its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from workbench.tui.widgets.plain import Plain
from workbench.wording import count, size

_SHORT_HASH = 12
_WIDE = 110  # columns in which a whole hash has room beside its file


@dataclass(frozen=True)
class Written:
    """One export, as far as it is shown.

    Attributes:
        folder: Where it is.
        files: `{path, bytes, sha256}` of each.
        wrong: What the check of hashes and signature found, a line each.
        fidelity: How the files answer, in sentences.
        loading: The lines that load it.
    """

    folder: str
    files: Sequence[Mapping[str, Any]]
    wrong: Sequence[str]
    fidelity: Sequence[str]
    loading: str


class ExportResult(VerticalScroll, can_focus=True):
    """Scrolls; the first lines say whether it is as it should be."""

    def compose(self) -> ComposeResult:
        yield Plain("", id="written-head", classes="title")
        yield Plain("", id="written-folder")
        yield Plain("", id="written-signed")
        yield Plain("", id="written-fidelity")
        yield Plain("To load it, in Python:", classes="muted")
        yield Plain("", id="written-loading")
        yield Plain("Files (SHA-256; MANIFEST.json has them in full):", classes="muted")
        yield Plain("", id="written-files")

    def show_written(self, written: Written) -> None:
        """Show an export."""
        total = sum(int(item["bytes"]) for item in written.files)
        self._show("head", f"✓ Exported {count(len(written.files), 'file')}, {size(total)}, to")
        self._show("folder", written.folder)
        signed = self.query_one("#written-signed", Plain)
        signed.set_class(bool(written.wrong), "bad")
        if written.wrong:
            signed.show("▲ The check of its hashes and signature failed:\n" + _lines(written.wrong))
        else:
            signed.show("✓ Every file has the hash that was signed with this vault's key.")
        self._show("fidelity", "\n".join(written.fidelity))
        self._show("loading", _lines(written.loading.splitlines()))
        whole = self.app.size.width >= _WIDE
        wide = max(len(str(item["path"])) for item in written.files)
        self._show(
            "files",
            _lines(
                f"{item['path']:<{wide}}  {size(int(item['bytes'])):>9}  "
                f"{_hash(str(item['sha256']), whole=whole)}"
                for item in written.files
            ),
        )
        self.scroll_home(animate=False)

    def _show(self, part: str, text: str) -> None:
        self.query_one(f"#written-{part}", Plain).show(text)


def _hash(sha256: str, *, whole: bool) -> str:
    return sha256 if whole else f"{sha256[:_SHORT_HASH]}…"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)
