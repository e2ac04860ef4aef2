"""The shelf of base models as the screens show it: facts, and whether each can be trained here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.models.shelf import STARTER, model_facts, show_model
from workbench.planning.advice import Advice
from workbench.planning.cards import card_name
from workbench.planning.choosing import GUESSED_TOKENS, Weighed, recommend, weigh
from workbench.planning.probe import probe_hardware
from workbench.runs.experience import with_experience
from workbench.runs.listing import list_runs
from workbench.tui.widgets.row_table import Cell
from workbench.wording import duration, size

if TYPE_CHECKING:
    from workbench.vault.store import Vault

EMPTY = (
    "There is no base model on the shelf.\n\n"
    "Press a to add the folder of one, or s to put back the small starter model,\n"
    "which is for trying things out."
)
COLUMNS = ("Model", "Family", "Size", "On disk", "QLoRA needs here")
_DEVICES = {"cuda": "on the graphics card", "cpu": "in this machine's memory"}


@dataclass(frozen=True)
class ShelfModel:
    """One model: what the shelf knows of it, and QLoRA on it laid against this machine."""

    document: dict[str, Any]
    weighed: Weighed

    @property
    def object_id(self) -> str:
        """Its id."""
        return str(self.document["object_id"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.document["model"])


@dataclass(frozen=True)
class Shelf:
    """All of them.

    Attributes:
        models: The smallest first.
        last_used: Id of the model that was trained last; empty: none of these.
        recommended: Id of the one to take, and `why`; empty where there is none.
    """

    models: tuple[ShelfModel, ...]
    last_used: str = ""
    recommended: str = ""
    why: Advice | None = None

    @property
    def has_starter(self) -> bool:
        """Whether the model that is shipped with the product is there, or its name is taken."""
        return any(model.name == STARTER for model in self.models)

    def find(self, object_id: str) -> ShelfModel | None:
        """Return a model by its id."""
        return next((m for m in self.models if m.object_id == object_id), None)

    def default(self, chosen: str = "") -> str:
        """Return the id to begin with: what was chosen, what was used last, what is recommended.

        What was used last does not count where it was only for trying things out.
        """
        if self.find(chosen):
            return chosen
        last = self.find(self.last_used)
        if last and not last.weighed.is_toy:
            return self.last_used
        return self.recommended or self.last_used


def read_shelf(vault: Vault, dataset: str = "") -> Shelf:
    """Read the shelf and weigh every model; for a worker.

    Args:
        dataset: Id of the dataset to train on; without it no time is estimated.
    """
    hardware = with_experience(probe_hardware(), vault)
    entries = vault.catalogue.entries()
    data = next((e.record for e in entries if e.object_id == dataset), None)
    models = []
    for entry in entries:
        if entry.kind != "model":
            continue
        tokens = 0
        if data is not None:
            measured = data.get("tokens", {}).get(entry.name)
            tokens = measured or GUESSED_TOKENS * data["splits"].get("train", 0)
        weighed = weigh(entry.name, model_facts(entry), hardware, tokens=tokens)
        models.append(ShelfModel(show_model(vault, entry.object_id), weighed))
    models.sort(key=lambda model: (model.weighed.parameters, model.name))
    found = recommend([model.weighed for model in models])
    return Shelf(
        models=tuple(models),
        last_used=_last_used(vault, {model.object_id for model in models}),
        recommended=models[found[0]].object_id if found else "",
        why=found[1] if found else None,
    )


def _last_used(vault: Vault, known: set[str]) -> str:
    used = (run.objects.get("model", "") for run in list_runs(vault.home) if run.kind == "train")
    return next((model for model in used if model in known), "")


def shelf_row(model: ShelfModel) -> tuple[Cell, ...]:
    """Return the cells of one model, as every table of the shelf shows it."""
    return (
        Cell(model.name, limit=24),
        Cell(model.document["family"]),
        Cell(magnitude(model.weighed.parameters), right=True),
        Cell(size(model.document["bytes"]), right=True),
        need_cell(model.weighed),
    )


def need_cell(weighed: Weighed) -> Cell:
    """Return a cell such as `✓ 610 MiB of 11 GiB`, or `✗ 41 GiB: 48 GB card`."""
    need = f"{size(weighed.needs)} of {size(weighed.of)}"
    if weighed.has_room:
        return Cell(f"✓ {need}", "good")
    if weighed.fits:
        return Cell(f"▲ {need}", "poor")
    if not weighed.crowded:
        card = "no card" if weighed.card is None else f"{card_name(weighed.card)} card"
        need = f"{size(weighed.needs)}: {card}"
    return Cell(f"✗ {need}", "bad")


def need_sentence(weighed: Weighed) -> str:
    """Return the same in words, with how long a run would take where that is known."""
    if not weighed.fits:
        found = "does not fit here"
    else:
        found = "fits here with room to spare" if weighed.has_room else "fits here, only just"
    sentence = (
        f"{weighed.name} {found}: QLoRA needs at least {size(weighed.needs)} of the "
        f"{size(weighed.of)} that are free {_DEVICES[weighed.device]}."
    )
    if not weighed.fits:
        return f"{sentence} {weighed.lacking()}"
    if weighed.seconds is not None:
        minutes = max(60 * round(weighed.seconds / 60), 60)
        sentence += f" Training takes very roughly {_roughly(minutes)}."
    return sentence


def _roughly(seconds: int) -> str:
    return "a minute" if seconds <= 60 else duration(seconds).removesuffix(" 00 s")


def magnitude(parameters: int) -> str:
    """Return a number of parameters as models are named by it: 8 B, 1.5 B, 7.3 M."""
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if parameters >= unit:
            amount = parameters / unit
            return f"{amount:.0f} {name}" if amount >= 100 else f"{amount:.1f} {name}"
    return str(parameters)
