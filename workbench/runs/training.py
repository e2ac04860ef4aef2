"""Start a training run: what the front doors ask for becomes a plan, a sealed spec and a process.

Everything that can be refused is refused here, before a process starts: an unknown model, a name
that is taken, a plan that does not fit, a disk that is full.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.datasets.sampling import sample_split
from workbench.datasets.store import SealedDataset
from workbench.errors import BadInput, DoesNotFit, NotFound, UsageError
from workbench.models.codec import TextCodec
from workbench.models.shelf import model_facts, model_folder
from workbench.planning.lengths import LengthSample
from workbench.planning.overnight import warnings_for
from workbench.planning.planner import Candidate, DatasetLength, Plan, make_plan, settled
from workbench.planning.probe import Hardware, probe_hardware
from workbench.runs.experience import with_experience
from workbench.runs.launch import create_run, launch, making_run
from workbench.runs.protocol import RunSpec
from workbench.vault.ids import new_id
from workbench.wording import size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from workbench.datasets.records import Record
    from workbench.recipe import Recipe
    from workbench.vault.catalogue import Entry
    from workbench.vault.store import Vault

# As datasets are named: what no terminal, file system or model card takes for something else.
_NAME = re.compile(r"\w[\w .+-]{0,99}")
# Reading and tokenising a million records to plan a run would take minutes; this many tell enough.
_SAMPLED_RECORDS = 4096
_SAMPLED_BATCHES = 32
# Measuring the machine takes some ten seconds; shorter runs are over before that pays.
WORTH_MEASURING_SECONDS = 20.0


@dataclass(frozen=True)
class StartedRun:
    """A run that was launched: its folder, its objects, and what the plan advised.

    Attributes:
        warnings: What of this machine would end a run that takes so long.
    """

    run_id: str
    adapter_id: str
    folder: Path
    plan: Candidate
    advice: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def start_training(
    vault: Vault,
    *,
    model: str,
    dataset: str,
    adapter: str,
    recipe: Recipe,
    measure: Callable[[Hardware], bool] | None = None,
) -> StartedRun:
    """Plan a run, make its keys, seal its specification and launch the engine.

    Args:
        model: Name or id of a model on the shelf.
        dataset: Name or id of a sealed dataset.
        adapter: What the result will be called in the library.
        measure: Measures the machine where nobody did, and returns whether there are numbers now.
            It is called for runs that take so long that ten seconds do not matter.

    Raises:
        NotFound: There is no such model or dataset.
        UsageError: The adapter's name is none.
        BadInput: The adapter's name is taken, or the dataset has nothing to train on.
        DoesNotFit: No plan fits the memory, or checkpoints would not fit the disk.
    """
    _check_adapter_name(vault, adapter)
    base = vault.catalogue.get("model", model)
    data = vault.catalogue.get("dataset", dataset)
    lengths = measure_lengths(vault, base, data)
    _note_tokens(vault, base, data, lengths)
    hardware, plan = _plan(vault, base, lengths, recipe, measure)
    if plan.choice is None or not plan.candidates[plan.choice].fits:
        raise DoesNotFit(
            f"Training {base.name} does not fit this machine's memory.",
            hint=" ".join(plan.advice),
            code="memory",
        )
    chosen = plan.candidates[plan.choice]
    _check_disk(vault.home, chosen)

    run_id, adapter_id = new_id("ru"), new_id("ad")
    spec = RunSpec(
        run=run_id,
        kind="train",
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        device=hardware.device,
        objects={"model": base.object_id, "dataset": data.object_id, "adapter": adapter_id},
        numbers=_predicted(hardware, chosen),
    )
    sealed = {
        "model": model_part(vault, base),
        "dataset": dataset_part(vault, data),
        "adapter": {
            "object_id": adapter_id,
            "name": adapter,
            "folder": str(vault.adapters_folder / adapter_id),
        },
        "recipe": settled(recipe, chosen).to_json(),
        "plan": chosen.to_json(),
    }
    with making_run(vault):
        run_key, adapter_key = vault.new_key(run_id), vault.new_key(adapter_id)
        folder = create_run(vault, spec, sealed)
    vault.audit.append("training_started", {"run": run_id, **spec.objects})
    launch(
        folder,
        [run_key, adapter_key, vault.key(data.object_id)],
        read=weights_paths(vault, base),
    )
    warnings = tuple(each.text for each in warnings_for(chosen.seconds))
    return StartedRun(run_id, adapter_id, folder, chosen, tuple(plan.advice), warnings)


def _plan(
    vault: Vault,
    base: Entry,
    lengths: DatasetLength,
    recipe: Recipe,
    measure: Callable[[Hardware], bool] | None,
) -> tuple[Hardware, Plan]:
    """Plan the run; measure the machine before, where that is worth it."""
    found = probe_hardware()
    facts = model_facts(base)
    hardware = with_experience(found, vault, base.object_id)
    plan = make_plan(facts, hardware, dataset=lengths, recipe=recipe)
    takes = plan.chosen.seconds if plan.chosen is not None else None
    worth_it = hardware.rates is None and (takes or 0.0) > WORTH_MEASURING_SECONDS
    if measure is not None and worth_it and measure(found):
        hardware = with_experience(found, vault, base.object_id)
        plan = make_plan(facts, hardware, dataset=lengths, recipe=recipe)
    return hardware, plan


def _predicted(hardware: Hardware, chosen: Candidate) -> dict[str, int | float]:
    """Return what the plan promises, for whoever compares it with what came of it."""
    numbers: dict[str, int | float] = {"predicted_bytes": chosen.predicted.total}
    if chosen.seconds:
        numbers["predicted_seconds"] = chosen.seconds
    if hardware.rates is not None:
        # Which numbers it stands on, and what earlier runs added: the run is to correct the former.
        numbers["rates_moment"] = hardware.rates.moment
        numbers["factor"] = hardware.factors.get(chosen.method, 1.0)
    return numbers


def model_part(vault: Vault, base: Entry) -> dict[str, Any]:
    """Return what the engine is told of a model: where it lies and what its files must hash to."""
    return {
        "object_id": base.object_id,
        "name": base.name,
        "folder": str(model_folder(vault, base.object_id)),
        "files": {name: facts["sha256"] for name, facts in base.record["files"].items()},
        "sha256": base.record["sha256"],
    }


def dataset_part(vault: Vault, data: Entry) -> dict[str, Any]:
    """Return what the engine is told of a dataset."""
    return {
        "object_id": data.object_id,
        "name": data.name,
        "path": str(dataset_path(vault, data)),
        "root": data.record["root"],
    }


def dataset_path(vault: Vault, data: Entry) -> Path:
    """Return where a dataset's sealed chunks lie."""
    return vault.datasets_folder / f"{data.object_id}.duckdb"


def weights_paths(vault: Vault, base: Entry) -> list[Path]:
    """Return what a job must be able to read outside the home: weights that are referred to."""
    folder = model_folder(vault, base.object_id)
    links = [path for path in sorted(folder.iterdir()) if path.is_symlink()]
    return [path.resolve() for path in links]


def measure_lengths(vault: Vault, base: Entry, data: Entry) -> DatasetLength:
    """Return how many records the train split has and how long they are in the model's tokens.

    Raises:
        BadInput: As `sample_lengths` does.
    """
    return sample_lengths(vault, base, data).whole


def sample_lengths(vault: Vault, base: Entry, data: Entry) -> LengthSample:
    """Return how long the records of the train split are in the model's tokens.

    Of large datasets 4,096 records from 32 batches are read. What is said of all is then an
    estimate (the sample's mean for every record), and `longest` is the longest of the sample and
    of the records that take most bytes in those batches: another batch may hold a longer one. The
    run itself encodes every record, counts exactly, and tells which ones its context leaves out.

    Raises:
        BadInput: The train split is empty, or the chat template refuses every record.
    """
    codec = TextCodec.open(model_folder(vault, base.object_id))
    with SealedDataset.open(dataset_path(vault, data), vault.key(data.object_id)) as opened:
        rows = opened.splits.get("train", 0)
        if rows == 0:
            raise BadInput(
                f"The dataset {data.name} has no records to train on.",
                hint="Import it again with smaller shares for validation and test.",
                code="empty_split",
            )
        sample = sample_split(opened, "train", rows=_SAMPLED_RECORDS, batches=_SAMPLED_BATCHES)
    counts = list(_token_counts(codec, sample.spread))
    if not counts:
        raise BadInput(
            f"The model's chat template refuses the records of {data.name}.",
            hint="See how one looks: `workbench dataset preview --masks --model`.",
            code="no_records",
        )
    lengths = [tokens for tokens, _ in counts]
    longest = max([*lengths, *(tokens for tokens, _ in _token_counts(codec, sample.longest))])
    counted = sum(answers for _, answers in counts)
    return LengthSample(rows, tuple(sorted(lengths)), longest, counted)


def _token_counts(codec: TextCodec, records: Iterable[Record]) -> Iterator[tuple[int, int]]:
    """Yield (tokens, those that the loss counts) of each record that the chat template takes.

    The run counts the others.
    """
    for record in records:
        turns = [(turn.role, turn.content) for turn in record.messages]
        try:
            encoded = codec.encode_chat(turns) if turns else codec.encode_text(record.text or "")
        except BadInput:
            continue
        yield len(encoded.ids), sum(encoded.counted)


def _note_tokens(vault: Vault, base: Entry, data: Entry, lengths: DatasetLength) -> None:
    """Note with the dataset how long its train split is in this model's tokens."""
    tokens = {**data.record.get("tokens", {}), base.name: lengths.tokens}
    vault.catalogue.put("dataset", data.object_id, data.name, {**data.record, "tokens": tokens})


def _check_adapter_name(vault: Vault, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            "This is no name for an adapter.",
            hint="Letters, digits, space, '.', '_', '+' and '-', at most 100.",
            code="bad_name",
        )
    try:
        vault.catalogue.get("adapter", name)
    except NotFound:
        return
    raise BadInput(
        f"The library has an adapter called {name} already.",
        hint="Choose another --name, or remove that one first.",
        code="name_taken",
    )


def _check_disk(home: Path, chosen: Candidate) -> None:
    needed = chosen.disk_bytes
    free = shutil.disk_usage(home).free
    if free < needed:
        raise DoesNotFit(
            f"Checkpoints and the result need {size(needed)}, and {size(free)} are free at {home}.",
            hint="Free some disk, or train with a smaller rank.",
            code="disk",
        )
