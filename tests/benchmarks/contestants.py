"""One contestant trains in this process and reports: started by `tests.benchmarks.contest`.

Each contestant gets a fresh process, the same model folder, records, adapter and optimizer, and
is watched the same way: wall and processor time at the end of every optimizer step, the peak of
resident memory (reset once its base is loaded), and at last its adapter, put on a base freshly
loaded by our loader and scored by our function, whoever trained it.

The kernels of bitsandbytes run as written for everyone, without a C++ compiler: they concern the
library that all share, not what is compared.
"""

from __future__ import annotations

import gc
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks import contest_others as others
from tests.benchmarks import contest_ours as ours
from tests.benchmarks.contest_settings import MIXES, MODELS, SEED, make_records, records_per_step
from tests.benchmarks.contest_watch import Told, device, resident

_HELD_OUT_SEED = 1
_HELD_OUT = {"chat": 64, "documents": 8}  # records

_CONTESTANTS: dict[str, Callable[[Told], Mapping[str, Any]]] = {
    "ours": ours.train,
    "hf": others.hugging_face,
    "trl": others.trl,
    "trl-packed": others.trl_packed,
    "trl-best": lambda told: others.trl_packed(told, gradient_checkpointing=False),
    "unsloth": others.unsloth,
}


def main() -> None:
    """Train as one JSON argument says, and print one JSON line."""
    asked = json.loads(sys.argv[1])
    mix = MIXES[asked["mix"]]
    each = records_per_step(asked["model"], asked["mix"])
    told = Told(
        contestant=asked["contestant"],
        model=asked["model"],
        mix=asked["mix"],
        folder=Path(asked["folder"]),
        steps=asked["steps"],
        threads=asked["threads"],
        rate=MODELS[asked["model"]].rate,
        records=make_records(mix, asked["steps"] * each, SEED),
    )
    _settle(told.contestant)
    import torch

    torch.set_num_threads(told.threads)
    imported = resident("VmRSS")
    adapter = _CONTESTANTS[told.contestant](told)
    result = {
        "contestant": told.contestant,
        "laps": told.laps,
        "tokens": told.tokens,
        "imported_bytes": imported,
        "loaded_bytes": told.loaded,
        "peak_bytes": told.peak,
        "records": len(told.records),
    }
    if asked["score"]:
        gc.collect()
        result["held_out_loss"] = _score(told, adapter)
    print(json.dumps(result))


def _settle(contestant: str) -> None:
    """Import the libraries, in silence; only ours gets the environment that our engine sets."""
    from workbench.engine.libraries import import_libraries
    from workbench.engine.quiet import settle

    if contestant == "ours":
        settle()
    warnings.filterwarnings("ignore")
    if contestant == "unsloth":
        import unsloth  # noqa: F401  it patches what comes after it
    import_libraries()
    import transformers

    transformers.logging.set_verbosity_error()


def _score(told: Told, adapter: Mapping[str, Any]) -> float:
    """Return the loss on records that nobody trained on."""
    from tests.fixtures.tiny import model_part
    from workbench.engine.batches import Example
    from workbench.engine.forward import Passes
    from workbench.engine.loading import load_base
    from workbench.engine.lora import attach_adapter, restore_adapter
    from workbench.engine.scoring import score

    base = load_base(model_part(told.folder), method="qlora", device=device())
    model = attach_adapter(base.model, ours.recipe_of(told))
    restore_adapter(model, adapter)
    records = make_records(told.shape, _HELD_OUT[told.shape.kind], _HELD_OUT_SEED)
    passes = Passes(model, base.device, base.compute)
    found = score(passes, [Example.compact(*record) for record in records], pad_id=0)
    return found.loss


if __name__ == "__main__":
    main()
