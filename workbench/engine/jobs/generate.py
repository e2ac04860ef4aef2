"""The generate job: one conversation, answered by the base and by several adapters in turn."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.adapters.results import write_result
from workbench.engine.generation import Decoding, Ends, continue_prompts
from workbench.engine.loading import load_base
from workbench.engine.reporting import Reporter
from workbench.engine.sides import OpenedAdapter, Sides, common_method
from workbench.engine.usage import peak_bytes
from workbench.errors import BadInput
from workbench.models.codec import TextCodec

if TYPE_CHECKING:
    from workbench.engine.session import Session


def run(session: Session) -> None:
    """Answer the conversation and seal the transcript.

    Raises:
        Refused: an adapter belongs to another base.
        BadInput: the conversation fills the model's context (code `prompt_too_long`).
    """
    started = time.monotonic()
    sealed = session.sealed
    session.events.write("loading")
    adapters = [
        OpenedAdapter.open(part, session.key(part["object_id"])) for part in sealed["adapters"]
    ]
    base = load_base(
        sealed["model"],
        method=common_method(adapters),
        device=session.device,
        progress=Reporter(session, "loading"),
    )
    sides = Sides(base)
    for adapter in adapters:
        sides.add(adapter)
    codec = TextCodec.open(Path(sealed["model"]["folder"]))
    turns = [(turn["role"], turn["content"]) for turn in sealed["messages"]]
    prompt = codec.encode_prompt(turns)
    if len(prompt) >= base.facts.context:
        raise BadInput(
            "The conversation fills the model's whole context.",
            hint="Begin a new one, or shorten the question.",
            code="prompt_too_long",
        )
    asked: list[tuple[str | None, AbstractContextManager[Any]]] = []
    if sealed["with_base"] or not adapters:
        asked.append((None, sides.base()))
    asked += [(adapter.name, sides.adapter(adapter.object_id)) for adapter in adapters]
    ends = Ends(codec.eos_ids, codec.pad_id, base.facts.context)
    report = Reporter(session, "answering")
    answers = []
    for number, (name, side) in enumerate(asked):
        report(number, len(asked))
        with side as model:
            answers.append({"adapter": name} | _answer(model, prompt, ends, sealed, codec))
    report(len(asked), len(asked))
    write_result(session.folder, session.key(session.spec.run), {"answers": answers})
    session.events.write(
        "finished",
        tokens=sum(answer["tokens"] for answer in answers),
        peak_bytes=peak_bytes(base.device),
        seconds=round(time.monotonic() - started, 3),
    )


def _answer(
    model: Any, prompt: list[int], ends: Ends, sealed: dict[str, Any], codec: TextCodec
) -> dict[str, Any]:
    decoding = Decoding(
        max_tokens=int(sealed["max_tokens"]),
        temperature=float(sealed.get("temperature", 0.0)),
        top_p=float(sealed.get("top_p", 1.0)),
        seed=int(sealed.get("seed", 0)),
    )
    begun = time.perf_counter()
    (found,) = continue_prompts(model, [prompt], ends, decoding)
    return {
        "text": codec.decode(found.ids),
        "tokens": len(found.ids),
        "seconds": round(time.perf_counter() - begun, 4),
        "ended": found.ended,
    }
