"""What the export's pane does in the background: check, write, and say what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from workbench.errors import BadInput, WorkbenchError
from workbench.tui.hints import told
from workbench.tui.widgets.export_result import Written
from workbench.tui.work import Progress

if TYPE_CHECKING:
    from workbench.exports.preflight import Room
    from workbench.tui.session import Session


@dataclass(frozen=True)
class Asked:
    """What is to be exported, and how.

    Attributes:
        adapter: Object id; `name` is the adapter's name.
        folder: Where to, as typed.
    """

    adapter: str
    name: str
    target: str
    base: str
    folder: str

    @property
    def out(self) -> Path:
        """The folder that is meant; raises BadInput where none can be."""
        try:
            return Path(self.folder).expanduser()
        except RuntimeError:
            raise BadInput(f"There is no user of whom {self.folder} could be the home.") from None


class Checked(NamedTuple):
    """A folder, the room there, or what speaks against it."""

    folder: str
    room: Room | None
    problem: str


def check(session: Session, asked: Asked, *, suggest: bool) -> Checked:
    """Check an export without writing; with `suggest` the folder is thought of here."""
    from workbench.exports.preflight import suggested_target
    from workbench.exports.service import check_export

    vault, folder = session.vault, asked.folder
    try:
        if suggest:
            name = f"{asked.name}-{asked.target}"
            out = suggested_target(vault.home, name, used=session.exports)
            folder = _short(out)
        else:
            out = asked.out
        room = check_export(vault, asked.adapter, target=asked.target, out=out, base=asked.base)
    except WorkbenchError as error:
        return Checked(folder, None, told(error, "export"))
    except OSError as error:  # no such name on this file system: too long, a loop of links
        return Checked(folder, None, f"That folder cannot be used ({error.strerror}).")
    return Checked(folder, room, "")


def _short(path: Path) -> str:
    """Return a path as a person would type it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if home in path.parents else str(path)


def write(session: Session, asked: Asked, tell: Progress) -> Written:
    """Export, then check every file's hash and the signature.

    Raises:
        WorkbenchError: As `export_adapter`.
    """
    from workbench.exports.loading_code import how_to_load
    from workbench.exports.preflight import check_target
    from workbench.exports.proof import in_words
    from workbench.exports.service import export_adapter
    from workbench.exports.signing import verify_folder

    vault = session.vault
    method = vault.catalogue.get("adapter", asked.adapter).record["method"]
    out = check_target(asked.out, vault.home)
    document = export_adapter(
        vault, asked.adapter, target=asked.target, out=out, base=asked.base, progress=tell
    )
    session.exports = out.parent
    return Written(
        folder=str(out),
        files=document["files"],
        wrong=verify_folder(out, vault.audit.public_key),
        fidelity=in_words(document["fidelity"]),
        loading=how_to_load(asked.target, method, out),
    )
