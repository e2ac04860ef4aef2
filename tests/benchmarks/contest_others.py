"""The usual ways to train QLoRA: Hugging Face's Trainer, and what stands on it.

Each is set up as its documentation says. Every base that bitsandbytes quantised is guarded
against its repacking on processors with AVX512-BF16, which would falsify gradients (see
`workbench.engine.nf4`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.benchmarks.contest_settings import ALPHA, CLIP, OPTIMIZER, RANK, SEED, TARGETS, Record
from tests.benchmarks.contest_watch import Told, device


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
        device_map={"": device()},
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
        "gradient_accumulation_steps": told.records_per_step // mix.padded,
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
        "use_cpu": device() == "cpu",
        "dataloader_pin_memory": device() != "cpu",
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


def hugging_face(told: Told) -> Mapping[str, Any]:
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


def trl(told: Told, **changes: Any) -> Mapping[str, Any]:
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


def trl_packed(told: Told, **changes: Any) -> Mapping[str, Any]:
    """Train packed; a row at a time, because TRL attends over all rows of a batch as one."""
    from datasets import Dataset
    from trl import pack_dataset

    mix = told.shape
    rows = len(pack_dataset(Dataset.from_list(_rows_of(told.records)), mix.context, "bfd"))
    each = max(1, -(-rows // told.steps))
    return trl(
        told,
        packing=True,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=each,
        **changes,
    )


def unsloth(told: Told) -> Mapping[str, Any]:
    """Train by Unsloth as its documentation says."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer
    from unsloth import FastLanguageModel

    model, tokenizer = FastLanguageModel.from_pretrained(
        str(told.folder), max_seq_length=told.shape.context, load_in_4bit=True
    )
    told.is_loaded()
    model = FastLanguageModel.get_peft_model(
        model, r=RANK, lora_alpha=ALPHA, lora_dropout=0, target_modules=list(TARGETS),
        use_gradient_checkpointing="unsloth", random_state=SEED,
    )  # fmt: skip
    arguments = SFTConfig(**{**_arguments(told), "max_length": told.shape.context, "packing": True})
    data = Dataset.from_list(_rows_of(told.records))
    return _trained(
        SFTTrainer(model=model, processing_class=tokenizer, args=arguments, train_dataset=data),
        told,
    )
