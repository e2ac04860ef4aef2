"""What Home tells: what is here, where the newest runs stand, and the one thing to do next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.runs.drafts import Draft
from workbench.runs.index import RunIndex
from workbench.runs.state import RunState
from workbench.wording import count, duration

if TYPE_CHECKING:
    from workbench.vault.store import Vault

STEP_TITLES = {
    "data": "Data", "model": "Model", "fit": "Fit", "train": "Train", "review": "Review",
    "keep": "Keep",
}  # fmt: skip
_BAR = 16


@dataclass(frozen=True)
class Overview:
    """What a home holds.

    Attributes:
        names: Kind ("dataset", "model", "adapter") to the names of that kind, newest first.
        by_id: Object id to name, of every kind.
        runs: The training runs, newest first.
        draft: How far the guided path has come; None where it was not begun.
    """

    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    by_id: dict[str, str] = field(default_factory=dict)
    runs: tuple[RunState, ...] = ()
    draft: Draft | None = None

    def about(self, run: RunState) -> str:
        """Return what a run is in words: `starter on triage`."""
        model = self.by_id.get(run.objects.get("model", ""), "a model")
        data = self.by_id.get(run.objects.get("dataset", ""), "removed data")
        return f"{model} on {data}"


@dataclass(frozen=True)
class NextStep:
    """The one thing to do next.

    Attributes:
        says: What it is, in a sentence.
        about: Why, or what stands ready for it.
        button: What its button says.
        place: Where the button goes.
    """

    says: str
    about: str
    button: str
    place: str


def look(vault: Vault) -> Overview:
    """Read what the vault holds; raises what the catalogue raises."""
    entries = vault.catalogue.entries()
    kinds = ("dataset", "model", "adapter")
    drafts = [Draft.from_json(entry.record) for entry in entries if entry.kind == "draft"]
    return Overview(
        names={
            kind: tuple(entry.name for entry in reversed(entries) if entry.kind == kind)
            for kind in kinds
        },
        by_id={entry.object_id: entry.name for entry in entries if entry.kind in kinds},
        runs=tuple(run for run in RunIndex(vault.home).refresh() if run.kind in ("train", "")),
        draft=drafts[0] if drafts and drafts[0] != Draft() else None,
    )


def next_step(seen: Overview) -> NextStep:
    """Choose the one thing to do next."""
    if seen.draft is not None:
        return _with_draft(seen, seen.draft)
    live = next((run for run in seen.runs if not run.is_over), None)
    if live is not None:
        return NextStep(
            f"Training runs: {seen.about(live)}.", "Watch its loss, pause it or stop it in Runs.",
            "Follow the run", "runs",
        )  # fmt: skip
    if seen.runs and seen.runs[0].is_resumable:
        run = seen.runs[0]
        return NextStep(
            f"A run {_ENDED[run.state]}: {seen.about(run)}.",
            "It can go on from its last checkpoint.", "Look at the run", "runs",
        )  # fmt: skip
    if not seen.names.get("dataset"):
        return NextStep(
            "Begin: bring in your data.",
            "Your file is checked, sealed in the vault and then used to fine-tune a model.",
            "Begin", "wizard",
        )  # fmt: skip
    if not seen.names.get("adapter"):
        return NextStep(
            f"Fine-tune a model on {seen.names['dataset'][0]}.",
            "Six steps, each with a default that works.", "Begin", "wizard",
        )  # fmt: skip
    return NextStep(
        f"Try {seen.names['adapter'][0]}: talk to it beside its base model.",
        "Or fine-tune again (n), with other data or other settings.", "Open Playground",
        "playground",
    )  # fmt: skip


_ENDED = {"paused": "is paused", "failed": "failed", "crashed": "ended before it was done"}


def _with_draft(seen: Overview, draft: Draft) -> NextStep:
    place = list(STEP_TITLES).index(draft.step) + 1 if draft.step in STEP_TITLES else 1
    title = STEP_TITLES.get(draft.step, "Data")
    run = next((run for run in seen.runs if run.run == draft.run), None)
    parts = [seen.by_id.get(draft.model, ""), seen.by_id.get(draft.dataset, "")]
    chosen = " on ".join(part for part in parts if part)
    if run is not None and draft.step == "train":
        if not run.is_over:
            return NextStep(
                f"Training runs: {seen.about(run)}.",
                "Follow it in step 4; closing the terminal does not stop it.",
                "Follow the run", "wizard",
            )  # fmt: skip
        if run.state in ("finished", "stopped"):
            return NextStep(
                "Training has finished: see what it learned.",
                f"{chosen or seen.about(run)}: before and after, side by side.",
                "Go on to Review", "wizard",
            )  # fmt: skip
    about = f"So far: {chosen}." if chosen else "What you chose so far was kept."
    return NextStep(f"Go on with step {place}, {title}.", about, f"Go on with {title}", "wizard")


def run_counts(runs: tuple[RunState, ...]) -> str:
    """Return how many runs stand how: `1 running, 2 finished`."""
    states = [run.state if run.is_over else "at work" for run in runs]
    order = ("at work", "paused", "finished", "stopped", "failed", "crashed", "damaged")
    return ", ".join(f"{states.count(name)} {name}" for name in order if name in states)


def progress_line(run: RunState) -> str:
    """Return how far a run is: a bar, the step, the loss, the time left."""
    if run.state == "queued":
        return "▷ queued: another job has the device" + (
            f"; {count(run.position, 'job')} before it" if run.position else ""
        )
    if not run.step or not run.steps:
        so_far = f" {100 * run.done // run.total} %" if run.total else ""
        return f"▶ {run.state}: {run.phase or 'starting'}{so_far}"
    share = min(run.step / run.steps, 1.0)
    full = round(_BAR * share)
    parts = [
        f"▶ {'█' * full}{'░' * (_BAR - full)} {100 * run.step // run.steps} %",
        f"step {count(run.step)} of {count(run.steps)}",
    ]
    if run.loss is not None:
        parts.append(f"loss {run.loss:.3f}")
    if run.state != "running":
        parts.append(run.state)
    elif run.eta_seconds is not None:
        parts.append(f"{duration(run.eta_seconds)} left")
    return "  ".join(parts)
