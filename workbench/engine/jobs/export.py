"""The export job: write the files into a stage, load them afresh, and compare.

The stage is a folder that the front door made beside the target; it describes, signs and
publishes what is written here, or sweeps it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM

from workbench.adapters.results import write_result
from workbench.datasets.store import SealedDataset
from workbench.engine.batches import Example
from workbench.engine.fidelity import Observation, compare, observe
from workbench.engine.folder import (
    merge_plan,
    read_peft_folder,
    write_model_folder,
    write_peft_folder,
)
from workbench.engine.heldout import encode_split
from workbench.engine.loading import load_base
from workbench.engine.lora import load_adapter
from workbench.engine.reporting import Reporter
from workbench.engine.sides import OpenedAdapter, Sides, common_method
from workbench.engine.usage import peak_bytes
from workbench.errors import InternalError, Refused
from workbench.exports.contract import PROBED_RECORDS, PROBES, ExportRequest, Fidelity
from workbench.models.codec import TextCodec

if TYPE_CHECKING:
    from workbench.engine.session import Session

_WRITTEN = "written"


def run(session: Session) -> None:
    """Write the export into the stage and seal its figures.

    Raises:
        Refused: the adapter belongs to another base, or cannot be written so.
        InternalError: the written files do not answer as the adapter did (code `fidelity`).
    """
    started = time.monotonic()
    session.events.write("loading")
    job = _Job.open(session)
    examples, held_out = job.probes()
    reference, export = job.peft(examples) if job.request.target == "peft" else job.merged(examples)
    fidelity = compare(reference, export, held_out=held_out)
    _require(fidelity, job.request)
    figures = {
        "fidelity": fidelity.to_json(),
        "peak_bytes": peak_bytes(torch.device(session.device)),
        "seconds": round(time.monotonic() - started, 3),
    }
    write_result(session.folder, session.key(session.spec.run), figures)
    session.events.write("finished", **figures)


def _require(fidelity: Fidelity, request: ExportRequest) -> None:
    if not fidelity.passes(request.gate):
        raise InternalError(
            "The written files do not answer as the adapter did; they were removed.",
            hint="Nothing else was changed. Please report the model's family and the method.",
            code="fidelity",
        )


@dataclass(repr=False)
class _Job:
    session: Session
    request: ExportRequest
    adapter: OpenedAdapter
    sides: Sides
    codec: TextCodec
    model: Mapping[str, Any]
    stage: Path

    @classmethod
    def open(cls, session: Session) -> _Job:
        sealed = session.sealed
        request = ExportRequest.from_spec(sealed)
        part = sealed["adapter"]
        adapter = OpenedAdapter.open(part, session.key(part["object_id"]))
        if request.target == "peft" and adapter.manifest.method == "full":
            raise Refused(
                "All weights were trained, so there is no adapter to hand out on its own.",
                hint="Export with `--to safetensors`.",
                code="no_adapter",
            )
        base = load_base(
            sealed["model"],
            method=common_method([adapter]),
            device=session.device,
            progress=Reporter(session, "loading"),
        )
        sides = Sides(base)
        sides.add(adapter)
        codec = TextCodec.open(Path(sealed["model"]["folder"]))
        stage = Path(sealed["out"])
        return cls(session, request, adapter, sides, codec, sealed["model"], stage)

    def probes(self) -> tuple[list[Example], bool]:
        """Return held-out records of the adapter's own dataset (True), or built-in texts."""
        part = self.session.sealed.get("dataset")
        if part is None:
            chats = [self.codec.encode_chat([("user", q), ("assistant", a)]) for q, a in PROBES]
            return [Example.compact(chat.ids, chat.counted) for chat in chats], False
        key = self.session.key(part["object_id"])
        with SealedDataset.open(Path(part["path"]), key) as dataset:
            split = encode_split(
                dataset.records(part["split"]),
                self.codec,
                context=self.sides.loaded.facts.context,
                limit=PROBED_RECORDS,
            )
        return split.examples, True

    def peft(self, examples: list[Example]) -> tuple[Observation, Observation]:
        """Write the adapter, load it back beside the sealed one, and observe both."""
        write_peft_folder(self.stage, self.adapter.stored, self.model["name"])
        reference = self._observe_adapter(examples)
        model = load_adapter(self.sides.model, read_peft_folder(self.stage), _WRITTEN)
        return reference, observe(model, examples, progress=self._report("comparing"))

    def merged(self, examples: list[Example]) -> tuple[Observation, Observation]:
        """Merge before any forward pass, then observe; one model is in memory at a time."""
        change, wanted = merge_plan(self.request, self.adapter, self.sides)
        write_model_folder(
            self.stage,
            Path(self.model["folder"]),
            self.model["files"],
            self.codec,
            change,
            wanted,
            on_tensor=self._report("merging"),
        )
        # What comes next needs the memory, so the base's own weights are not kept beside these.
        tuned = self.sides.become(self.adapter.object_id)
        reference = observe(tuned, examples, progress=self._report("observing"))
        device = self.sides.loaded.device
        del change, tuned, self.sides
        gc.collect()
        model = AutoModelForCausalLM.from_pretrained(
            str(self.stage),
            dtype="auto",
            device_map={"": str(device)},
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        ).eval()
        return reference, observe(model, examples, progress=self._report("comparing"))

    def _observe_adapter(self, examples: list[Example]) -> Observation:
        with self.sides.adapter(self.adapter.object_id) as model:
            return observe(model, examples, progress=self._report("observing"))

    def _report(self, phase: str) -> Reporter:
        return Reporter(self.session, phase)
