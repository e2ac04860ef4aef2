"""The train job: load, prepare, train from the start or from the last checkpoint, publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.datasets.store import SealedDataset
from workbench.engine.checkpoints import Checkpoint, Checkpoints, DiskFull
from workbench.engine.course import Course, plan_course
from workbench.engine.determinism import be_deterministic, random_states, restore_random
from workbench.engine.forward import Passes, recompute_layers
from workbench.engine.loading import LoadedBase, load_base
from workbench.engine.lora import (
    adapter_config,
    adapter_tensors,
    attach_adapter,
    full_tensors,
    load_full,
    restore_adapter,
)
from workbench.engine.optimizers import WeightUpdater
from workbench.engine.prepare import Prepared, prepare
from workbench.engine.publish import publish, versions
from workbench.engine.reporting import Reporter
from workbench.engine.sampling import Sampler
from workbench.engine.session import Session
from workbench.engine.steering import Interrupted
from workbench.engine.threads import available_threads, choose_threads
from workbench.engine.training import Progress, Training
from workbench.engine.usage import peak_bytes
from workbench.errors import BadInput, DoesNotFit, VaultDamaged
from workbench.models.codec import TextCodec
from workbench.recipe import Recipe

_MOST_GPU_HOST_THREADS = 8  # the host only feeds the device
# What the names of a checkpoint's tensors begin with.
_WEIGHTS, _OPTIMIZER, _RANDOM = "weights/", "optimizer/", "random/"


def run(session: Session) -> None:
    """Train until the course is done, or until the run is paused or stopped.

    Raises:
        VaultDamaged: A file of the model or the dataset is not what the run was started with.
        BadInput: No record can be trained on.
        DoesNotFit: Not even one row at a time fits into memory.
        JobFailed: The gradients stayed not finite.
    """
    checkpoints = Checkpoints(session.job.checkpoints_folder, session.key(session.spec.run))
    job = None
    try:
        # Until the first step all there is can be had again: a pause waits for none of it.
        with session.steering.abandoning():
            job = TrainJob.open(session, checkpoints)
        job.train()
    except Interrupted as interruption:
        stop = interruption.ending == "stop"
        if stop and job is not None and job.progress.step:
            job.finish("stopped")
        else:
            session.events.write("stopped" if stop else "paused", step=_last(checkpoints))
    except DiskFull:
        session.events.write("paused", step=_last(checkpoints), reason="disk_full")
    else:
        job.finish("finished")


def _last(checkpoints: Checkpoints) -> int:
    return max(checkpoints.steps(), default=0)


@dataclass(frozen=True, repr=False)
class TrainJob:
    """A run's parts, ready to train."""

    session: Session
    recipe: Recipe
    base: LoadedBase
    model: Any
    updater: WeightUpdater
    course: Course
    checkpoints: Checkpoints
    progress: Progress
    sampler: Sampler

    @classmethod
    def open(cls, session: Session, checkpoints: Checkpoints) -> TrainJob:
        """Load and prepare everything, and go back to the last checkpoint if there is one."""
        recipe = Recipe.from_json(session.sealed["recipe"])
        be_deterministic()
        session.events.write("loading")
        checkpoint = checkpoints.newest()
        base = load_base(
            session.sealed["model"],
            method=recipe.method,  # type: ignore[arg-type]  # the plan has settled it
            device=session.device,
            progress=Reporter(session, "loading"),
        )
        model = _trainable(base, recipe)
        updater = WeightUpdater(model, kind=recipe.optimizer, weight_decay=recipe.weight_decay)
        trainable = sum(parameter.numel() for parameter in updater.parameters)
        session.events.write(
            "loaded",
            parameters=base.facts.parameters,
            trainable=trainable,
            base_sha256=base.fingerprint,
            predicted_bytes=session.spec.numbers.get("predicted_bytes"),
            bf16=base.compute == torch.bfloat16,
        )
        course, sampler = _measured_course(session, recipe)
        progress = Progress(
            int(recipe.micro_batch), _recomputed(recipe, base), offload=recipe.offload is True
        )
        job = cls(session, recipe, base, model, updater, course, checkpoints, progress, sampler)
        if checkpoint is not None:
            return job._restored(checkpoint)
        recompute_layers(model, progress.recomputed, offload=progress.offload)
        return job

    def _restored(self, checkpoint: Checkpoint) -> TrainJob:
        """Take over a checkpoint.

        Raises:
            VaultDamaged: The base or the dataset is another than the checkpoint's.
        """
        state = checkpoint.state
        if any(state["bound"][name] != value for name, value in self._bound().items()):
            raise VaultDamaged(
                "The base model or the dataset is not the one this run was started with.",
                hint="Start a new run; the old one's adapter cannot be continued on them.",
                code="checkpoint_mismatch",
            )
        stored = checkpoint.tensors
        if self.recipe.method == "full":
            load_full(self.model, stored.under(_WEIGHTS))
        else:
            restore_adapter(self.model, stored.under(_WEIGHTS))
        self.updater.restore(stored.under(_OPTIMIZER), state["updates"])
        restore_random(stored.under(_RANDOM))
        progress = Progress.from_json(state["progress"])
        torch.set_num_threads(progress.threads)
        recompute_layers(self.model, progress.recomputed, offload=progress.offload)
        same = state["versions"] == versions() and state["device"] == self.session.device
        self.session.events.write("resumed", step=progress.step, exact=same)
        return TrainJob(**{**self.__dict__, "progress": progress})

    def train(self) -> None:
        """Run the loop from wherever the run stands."""
        passes = Passes(self.model, self.base.device, self.base.compute)
        training = Training(
            passes=passes,
            updater=self.updater,
            course=self.course,
            recipe=self.recipe,
            progress=self.progress,
            steering=self.session.steering,
            reports=self.session.events,
            save=self._save,
            sample=lambda: self.sampler.take(passes, self.progress.step),
        )
        if not self.progress.threads:
            training.rehearse(self._threads)
        try:
            training.run()
        except (Interrupted, DoesNotFit):
            training.save()
            raise

    def finish(self, ending: str) -> None:
        """Publish the best weights (the last ones without an evaluation) and tell the totals."""
        progress = self.progress
        best = progress.best_step
        # A damaged newest checkpoint may have sent the run back to before its best one was pruned.
        tensors: Mapping[str, Tensor] = self._weights()
        if best not in (-1, progress.step) and best in self.checkpoints.steps():
            tensors = self.checkpoints.read(best).tensors.under(_WEIGHTS)
        metrics = self._metrics()
        full = self.recipe.method == "full"
        publish(
            self.session,
            self.recipe,
            config={"method": "full"} if full else adapter_config(self.model),
            tensors=tensors,
            fingerprint=self.base.fingerprint,
            metrics={**metrics, "stopped": int(ending == "stopped")},
            steps=progress.step,
        )
        self.session.events.write(ending, step=progress.step, **metrics)

    def _metrics(self) -> dict[str, float | int | None]:
        progress = self.progress
        seconds = progress.seconds
        return {
            "loss_first": progress.loss_first,
            "loss_last": progress.loss_last,
            "eval_loss_first": progress.eval_loss_first,
            "eval_loss_last": progress.eval_loss_last,
            "eval_loss_best": progress.best_loss,
            "best_step": progress.best_step,
            "steps": self.course.steps,
            "tokens": progress.tokens,
            "seconds": seconds,
            "tokens_per_second": progress.tokens / seconds if seconds else 0.0,
            "peak_bytes": max(progress.peak_bytes, peak_bytes(self.base.device)),
            "predicted_bytes": self.session.spec.numbers.get("predicted_bytes"),
            "skipped_steps": progress.skipped,
        }

    def _threads(self, work: Any) -> int:
        if self.recipe.threads != "auto":
            return int(self.recipe.threads)
        most = available_threads()
        if self.base.device.type == "cuda":
            return min(most, _MOST_GPU_HOST_THREADS)
        return choose_threads(work, most)

    def _weights(self) -> dict[str, Tensor]:
        if self.recipe.method == "full":
            return full_tensors(self.model)
        return adapter_tensors(self.model)

    def _bound(self) -> dict[str, str]:
        return {"base": self.base.fingerprint, "dataset": self.session.sealed["dataset"]["root"]}

    def _save(self, best: bool) -> None:
        parts = {
            _WEIGHTS: self._weights(),
            _OPTIMIZER: self.updater.tensors(),
            _RANDOM: random_states(),
        }
        progress = self.progress
        size = self.checkpoints.write(
            progress.step,
            {part + name: t for part, found in parts.items() for name, t in found.items()},
            {
                "progress": progress.to_json(),
                "updates": self.updater.updates,
                "bound": self._bound(),
                "versions": versions(),
                "device": self.session.device,
            },
            best=progress.best_step,
        )
        self.session.events.write("checkpointed", step=progress.step, bytes=size, best=best)


def _trainable(base: LoadedBase, recipe: Recipe) -> Any:
    if recipe.method != "full":
        return attach_adapter(base.model, recipe)
    torch.manual_seed(recipe.seed)
    base.model.requires_grad_(True)
    return base.model


def _recomputed(recipe: Recipe, base: LoadedBase) -> int:
    told = {"all": base.facts.layers, "none": 0, "auto": 0}
    count = told[recipe.recompute] if isinstance(recipe.recompute, str) else recipe.recompute
    return min(count, base.facts.layers)


def _measured_course(session: Session, recipe: Recipe) -> tuple[Course, Sampler]:
    """Encode the train and validation splits, tell what was left out, and lay out the steps."""
    codec = TextCodec.open(Path(session.sealed["model"]["folder"]))
    train, validation = _prepared(session, recipe, codec)
    if not train.examples:
        raise BadInput(
            "No record of the dataset can be trained on.",
            hint="Too long for the context, without an answer, or refused by the chat template: "
            "the run's record counts each.",
            code="no_records",
        )
    course = plan_course(train.examples, validation.examples, recipe, pad_id=codec.pad_id)
    session.events.write(
        "measured",
        records=len(train.examples),
        tokens=train.tokens,
        counted_tokens=train.targets,
        skipped=train.skipped,
        validation_records=len(validation.examples),
        validation_skipped=validation.skipped,
        rows=len(course.rows),
        steps=course.steps,
        micro_batch=int(recipe.micro_batch),
        accumulate=int(recipe.accumulate),
        offload=recipe.offload is True,
        longest=max(len(example) for example in train.examples),
    )
    return course, Sampler.over(
        session, train, validation, context=course.context, seed=recipe.seed
    )


def _prepared(session: Session, recipe: Recipe, codec: TextCodec) -> tuple[Prepared, Prepared]:
    part = session.sealed["dataset"]
    with SealedDataset.open(Path(part["path"]), session.key(part["object_id"])) as dataset:
        if dataset.root != part["root"]:
            raise VaultDamaged(
                "The dataset is not the version that this run was started with.",
                hint="`workbench vault verify` checks it.",
                code="dataset_changed",
            )
        # The test split is never read here: it is what the adapter is judged by.
        train, validation = (
            prepare(
                dataset,
                split,
                codec,
                context=int(recipe.context),
                loss_on=recipe.loss_on,
                progress=Reporter(session, f"preparing_{split}"),
            )
            for split in ("train", "validation")
        )
        return train, validation
