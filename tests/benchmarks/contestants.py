"""One contestant trains in this process and reports: started by `tests.benchmarks.contest`.

Each contestant gets a fresh process, the same model folder, records, adapter and optimizer, and
is watched the same way: wall and processor time at the end of every optimizer step, the peak of
resident memory (reset once its base is loaded), and at last its adapter, put on a base freshly
loaded by our loader and scored by our function, whoever trained it.

Every base that bitsandbytes quantised is guarded against its repacking on processors with
AVX512-BF16 (see `workbench.engine.nf4`), and its kernels run as written for everyone, without a C++
compiler: both concern the library that all share, not what is compared.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.contest_settings import (
    ALPHA,
    CLIP,
    MIXES,
    MODELS,
    OPTIMIZER,
    RANK,
    SEED,
    TARGETS,
    Mix,
    Record,
    make_records,
)

_HELD_OUT_SEED = 1
_HELD_OUT = {"chat": 128, "documents": 24}  # records


@dataclass
class Told:
    """What the parent asks for, and what is noted on the way."""

    contestant: str
    model: str
    mix: str
    folder: Path
    steps: int
    threads: int
    rate: float
    records: list[Record]
    laps: list[tuple[float, float]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    loaded: int = 0
    peak: int = 0

    @property
    def shape(self) -> Mix:
        """How long records are and how they are batched."""
        return MIXES[self.mix]

    def lap(self) -> None:
        """Note the end of an optimizer step (the first call: the beginning of the first one)."""
        self.laps.append((time.perf_counter(), time.process_time()))

    def is_loaded(self) -> None:
        """Begin the account of memory: what comes is training's own."""
        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self.loaded = int(torch.cuda.memory_allocated())
            return
        ctypes.CDLL(None).malloc_trim(0)
        # proc(5): 5 resets VmHWM to what is resident now.
        Path("/proc/self/clear_refs").write_text("5")
        self.loaded = _status("VmRSS")

    def is_trained(self) -> None:
        """End the account of memory."""
        import torch

        on_card = torch.cuda.is_available()
        self.peak = int(torch.cuda.max_memory_allocated()) if on_card else _status("VmHWM")


def main() -> None:
    """Train as one JSON argument says, and print one JSON line."""
    asked = json.loads(sys.argv[1])
    mix = MIXES[asked["mix"]]
    told = Told(
        contestant=asked["contestant"],
        model=asked["model"],
        mix=asked["mix"],
        folder=Path(asked["folder"]),
        steps=asked["steps"],
        threads=asked["threads"],
        rate=MODELS[asked["model"]].rate,
        records=make_records(mix, asked["steps"] * mix.records_per_step, SEED),
    )
    _settle(told.contestant)
    import torch

    torch.set_num_threads(told.threads)
    imported = _status("VmRSS")
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


def _status(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _device() -> str:
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


# --- ours -------------------------------------------------------------------------------------


class _Laps:
    """Takes the engine's events, of which the contest needs the ends of steps."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._tokens = 0

    def write(self, type: str, **values: Any) -> None:
        if type == "step":
            self._told.lap()
            self._told.tokens.append(values["tokens"] - self._tokens)
            self._tokens = values["tokens"]


class _NoRequests:
    def poll(self) -> list[Any]:
        return []


def _ours(told: Told) -> Mapping[str, Any]:
    """Train by the engine's own loop, with the parts that a run's job puts together."""
    from tests.fixtures.tiny import model_part
    from workbench.engine.batches import Example
    from workbench.engine.course import plan_course
    from workbench.engine.determinism import be_deterministic
    from workbench.engine.forward import Passes
    from workbench.engine.loading import load_base
    from workbench.engine.lora import adapter_tensors, attach_adapter
    from workbench.engine.optimizers import WeightUpdater
    from workbench.engine.steering import Steering
    from workbench.engine.training import Progress, Training

    be_deterministic()
    base = load_base(model_part(told.folder), method="qlora", device=_device())
    told.is_loaded()
    examples = [Example.compact(*record) for record in told.records]
    recipe = _recipe(told, len(examples))
    course = plan_course(examples, [], recipe, pad_id=0)
    model = attach_adapter(base.model, recipe)
    updater = WeightUpdater(model, kind=OPTIMIZER, weight_decay=0.0)
    steering: Any = Steering(_NoRequests())
    training = Training(
        passes=Passes(model, base.device, base.compute),
        updater=updater,
        course=course,
        recipe=recipe,
        progress=Progress(told.shape.rows, 0),
        steering=steering,
        reports=_Laps(told),
        save=lambda _best: None,
        sample=lambda: None,
    )
    training.rehearse(lambda _work: told.threads)
    told.lap()
    training.run()
    told.is_trained()
    return adapter_tensors(model)


def _recipe(told: Told, count: int) -> Any:
    """Return the recipe whose steps hold as many records, on average, as those of who pads."""
    from workbench.engine.batches import pack
    from workbench.recipe import Recipe

    mix = told.shape
    lengths = [len(ids) for ids, _ in told.records]
    rows = len(pack(lengths, mix.context, packing=True, seed=SEED))
    each, at_once = _rows_per_step(rows, told.steps, mix.rows)
    return Recipe(
        method="qlora", rank=RANK, alpha=ALPHA, targets=TARGETS, context=mix.context,
        micro_batch=at_once, accumulate=each // at_once, epochs=1.0, learning_rate=told.rate,
        schedule="constant", warmup=0.0, clip=CLIP, optimizer=OPTIMIZER, seed=SEED,
        recompute="none", threads=told.threads,
    )  # fmt: skip


def _rows_per_step(rows: int, steps: int, most: int) -> tuple[int, int]:
    """Return the rows of an optimizer step, and of a micro-batch that divides them."""
    each = max(1, -(-rows // steps))
    return each, max(size for size in range(1, min(most, each) + 1) if each % size == 0)


# --- Hugging Face's Trainer, and what stands on it ----------------------------------------------


def _quantised(told: Told) -> Any:
    """Load the base as everyone's documentation says, and guard it."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from workbench.engine import nf4

    model = AutoModelForCausalLM.from_pretrained(
        str(told.folder),
        dtype=torch.bfloat16,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        ),
        device_map={"": _device()},
        attn_implementation="sdpa",
    )
    nf4.guard(model)
    told.is_loaded()
    return model


def _lora() -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, bias="none",
        target_modules=list(TARGETS), task_type="CAUSAL_LM",
    )  # fmt: skip


def _arguments(told: Told) -> dict[str, Any]:
    """Return what Hugging Face's and TRL's arguments have in common."""
    mix = told.shape
    return {
        "output_dir": str(told.folder.parent / "trainer"),
        "per_device_train_batch_size": mix.padded,
        "gradient_accumulation_steps": mix.records_per_step // mix.padded,
        "num_train_epochs": 1,
        "learning_rate": told.rate,
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "max_grad_norm": CLIP,
        "optim": OPTIMIZER,
        "bf16": True,
        "seed": SEED,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 1000,
        "use_cpu": _device() == "cpu",
        "dataloader_pin_memory": _device() != "cpu",
    }


def _rows_of(records: list[Record]) -> list[dict[str, list[int]]]:
    return [
        {
            "input_ids": ids,
            "labels": [i if c else -100 for i, c in zip(ids, counted, strict=True)],
        }
        for ids, counted in records
    ]


def _padded(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
    import torch

    longest = max(len(row["input_ids"]) for row in rows)
    ids = [row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in rows]
    labels = [row["labels"] + [-100] * (longest - len(row["labels"])) for row in rows]
    seen = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
    return {
        "input_ids": torch.tensor(ids),
        "labels": torch.tensor(labels),
        "attention_mask": torch.tensor(seen),
    }


def _watched(trainer: Any, told: Told) -> None:
    """Let a trainer note each optimizer step's end and its tokens that are not padding."""
    from transformers import TrainerCallback

    noted = [0]
    step: Callable[..., Any] = trainer.training_step

    def training_step(model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        seen = inputs.get("attention_mask")
        noted[0] += int(inputs["input_ids"].numel() if seen is None else seen.sum())
        return step(model, inputs, *rest, **more)

    class Laps(TrainerCallback):  # type: ignore[misc]  # the base has no types
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            told.lap()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            told.lap()
            told.tokens.append(noted[0])
            noted[0] = 0

    trainer.training_step = training_step
    trainer.add_callback(Laps())


def _trained(trainer: Any, told: Told) -> Mapping[str, Any]:
    from workbench.engine.lora import adapter_tensors

    _watched(trainer, told)
    trainer.train()
    told.is_trained()
    return {name: t.float() for name, t in adapter_tensors(trainer.model).items()}


def _hugging_face(told: Told) -> Mapping[str, Any]:
    """Train by the common recipe: prepared for k-bit training, padded, all checkpointed."""
    import torch
    from peft import get_peft_model, prepare_model_for_kbit_training
    from transformers import Trainer, TrainingArguments

    model = prepare_model_for_kbit_training(
        _quantised(told),
        use_gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
    )
    torch.manual_seed(SEED)
    model = get_peft_model(model, _lora())
    arguments = TrainingArguments(
        **_arguments(told),
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        label_names=["labels"],
    )
    data: Any = _rows_of(told.records)
    return _trained(
        Trainer(model=model, args=arguments, train_dataset=data, data_collator=_padded), told
    )


def _trl(told: Told, **changes: Any) -> Mapping[str, Any]:
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list(_rows_of(told.records))
    model = _quantised(told)
    torch.manual_seed(SEED)
    arguments = SFTConfig(**{**_arguments(told), "max_length": told.shape.context, **changes})
    return _trained(
        SFTTrainer(model=model, args=arguments, train_dataset=data, peft_config=_lora()), told
    )


def _trl_packed(told: Told, **changes: Any) -> Mapping[str, Any]:
    """Train packed; a row at a time, because TRL attends over all rows of a batch as one."""
    from datasets import Dataset
    from trl import pack_dataset

    mix = told.shape
    rows = len(pack_dataset(Dataset.from_list(_rows_of(told.records)), mix.context, "bfd"))
    each, _ = _rows_per_step(rows, told.steps, 1)
    return _trl(
        told,
        packing=True,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=each,
        **changes,
    )


def _unsloth(told: Told) -> Mapping[str, Any]:
    """Train by Unsloth as its documentation says."""
    import unsloth
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = unsloth.FastLanguageModel.from_pretrained(
        str(told.folder), max_seq_length=told.shape.context, load_in_4bit=True
    )
    told.is_loaded()
    model = unsloth.FastLanguageModel.get_peft_model(
        model, r=RANK, lora_alpha=ALPHA, lora_dropout=0, target_modules=list(TARGETS),
        use_gradient_checkpointing="unsloth", random_state=SEED,
    )  # fmt: skip
    arguments = SFTConfig(**{**_arguments(told), "max_length": told.shape.context, "packing": True})
    data = Dataset.from_list(_rows_of(told.records))
    return _trained(
        SFTTrainer(model=model, processing_class=tokenizer, args=arguments, train_dataset=data),
        told,
    )


_CONTESTANTS: dict[str, Callable[[Told], Mapping[str, Any]]] = {
    "ours": _ours,
    "hf": _hugging_face,
    "trl": _trl,
    "trl-packed": _trl_packed,
    "trl-best": lambda told: _trl_packed(told, gradient_checkpointing=False),
    "unsloth": _unsloth,
}


def _score(told: Told, adapter: Mapping[str, Any]) -> float:
    """Return the loss on records that nobody trained on."""
    from tests.fixtures.tiny import model_part
    from workbench.engine.batches import Example
    from workbench.engine.forward import Passes
    from workbench.engine.loading import load_base
    from workbench.engine.lora import attach_adapter, restore_adapter
    from workbench.engine.scoring import score

    base = load_base(model_part(told.folder), method="qlora", device=_device())
    model = attach_adapter(base.model, _recipe(told, 0))
    restore_adapter(model, adapter)
    records = make_records(told.shape, _HELD_OUT[told.shape.kind], _HELD_OUT_SEED)
    passes = Passes(model, base.device, base.compute)
    found = score(passes, [Example.compact(*record) for record in records], pad_id=0)
    return found.loss


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
