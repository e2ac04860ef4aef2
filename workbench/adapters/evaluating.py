"""`workbench evaluate`: base and adapter on the same held-out records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.adapters.bases import base_of
from workbench.adapters.library import add_metrics
from workbench.adapters.short_jobs import Progress, ShortJob, run_job
from workbench.errors import NotFound
from workbench.evaluation.comparison import Side, compare
from workbench.models.shelf import model_facts
from workbench.planning.after_training import Trained, evaluation_need, require
from workbench.planning.budget import budget_of
from workbench.planning.probe import probe_hardware
from workbench.runs.training import dataset_part, model_part, weights_paths
from workbench.vault.catalogue import Entry
from workbench.vault.locking import hold

if TYPE_CHECKING:
    from workbench.vault.store import Vault


def evaluate(
    vault: Vault,
    adapter: str,
    *,
    dataset: str | None = None,
    split: str = "test",
    show: int = 0,
    answers: bool = False,
    max_tokens: int = 64,
    limit: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score base and adapter on one split, note the figures with the adapter, and return them.

    Args:
        dataset: Name or id; by default the one that the adapter was trained on.
        show: Return the answers of so many records (they are record text).
        answers: Return the answers of all of them.
        max_tokens: Cap on each answer.
        limit: Score at most so many records.

    Raises:
        NotFound: adapter, dataset or base are not in this vault.
        Refused: the adapter belongs to another base. BadInput: nothing can be scored.
        DoesNotFit: there is not enough memory.
        JobFailed: the job crashed or was stopped.
    """
    entry = vault.catalogue.get("adapter", adapter)
    base = base_of(vault, entry)
    data = _dataset_of(vault, entry, dataset)
    _check_memory(entry, base, data, max_tokens if answers or show else 0)
    job = ShortJob(
        kind="evaluate",
        objects={"model": base.object_id, "dataset": data.object_id, "adapter": entry.object_id},
        sealed={
            "model": model_part(vault, base),
            "adapter": {
                "object_id": entry.object_id,
                "name": entry.name,
                "folder": str(vault.adapters_folder / entry.object_id),
            },
            "dataset": dataset_part(vault, data),
            "split": split,
            "answers": answers or show > 0,
            "answer_limit": None if answers else show,
            "max_tokens": max_tokens,
            "limit": limit,
        },
        read=weights_paths(vault, base),
    )
    outcome = run_job(vault, job, progress)
    document = note_evaluation(vault, entry, data, split, outcome.result)
    if answers or show > 0:
        document["answers"] = _answers(outcome.result, None if answers else show)
    document |= {
        "skipped": outcome.result["skipped"],
        "dataset": data.name,
        "split": split,
        "peak_bytes": outcome.state.peak_bytes,
    }
    return document


def _check_memory(entry: Entry, base: Entry, data: Entry, answer_tokens: int) -> None:
    """Refuse what would run out of memory; see `workbench.planning.after_training`."""
    hardware = probe_hardware()
    trained = Trained(entry.record["method"], int(entry.record["parameters"]))
    tokens = data.record.get("tokens", {}).get(base.name, 0)
    need = evaluation_need(
        model_facts(base),
        trained,
        budget_of(hardware),
        longest=tokens // max(1, data.record["splits"].get("train", 0)),
        answer_tokens=answer_tokens,
    )
    require(need, hardware, "The evaluation")


def _dataset_of(vault: Vault, adapter: Entry, named: str | None) -> Entry:
    if named is not None:
        return vault.catalogue.get("dataset", named)
    try:
        return vault.catalogue.get("dataset", adapter.record["dataset"]["object_id"])
    except NotFound:
        raise NotFound(
            f"The dataset that {adapter.name} was trained on is no longer in this vault.",
            hint="Name another one with --dataset.",
            code="dataset_removed",
        ) from None


def note_evaluation(
    vault: Vault, adapter: Entry, dataset: Entry, split: str, result: Mapping[str, Any]
) -> dict[str, Any]:
    """Note an evaluation's figures with its adapter and return them; no answers among them."""
    document = _document(result)
    figures: dict[str, Any] = {
        side: {name: value for name, value in document[side].items() if name != "confusion"}
        for side in ("base", "adapter")
    }
    figures |= {"records": document["records"], "tokens": document["tokens"]}
    with hold(vault.locks_folder / "metrics.lock"):
        # As it is now: another evaluation may have ended while this one was at work.
        current = vault.catalogue.get("adapter", adapter.object_id)
        noted = current.record["metrics"].get("evaluations", {})
        add_metrics(vault, current, {"evaluations": {**noted, f"{dataset.name}/{split}": figures}})
    vault.audit.append(
        "adapter_evaluated",
        {"adapter": adapter.object_id, "dataset": dataset.object_id, "split": split},
    )
    return document


def _document(result: Mapping[str, Any]) -> dict[str, Any]:
    wanted = None
    sides = {}
    labelled = result["kind"] == "classification"
    if labelled:
        wanted = [str(reference["text"]) for reference in result["references"]]
    for name in ("base", "adapter"):
        texts = [answer["text"] for answer in result[name]["answers"]] if labelled else None
        sides[name] = Side(result[name]["loss"], texts)
    return compare(
        sides["base"],
        sides["adapter"],
        records=result["records"],
        tokens=result["tokens"],
        wanted=wanted,
    )


def _answers(result: Mapping[str, Any], count: int | None) -> dict[str, Any]:
    return {
        "base": result["base"]["answers"][:count],
        "adapter": result["adapter"]["answers"][:count],
        "references": result["references"][:count],
    }
