"""`workbench chat`: a model or several adapters of one base answer side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.adapters.bases import base_of
from workbench.adapters.short_jobs import Progress, ShortJob, run_job
from workbench.errors import Refused, UsageError
from workbench.runs.training import model_part, weights_paths

if TYPE_CHECKING:
    from workbench.vault.store import Vault

_ROLES = ("system", "user", "assistant")
_MOST_TOKENS = 32_768


def chat(
    vault: Vault,
    *,
    messages: Sequence[Mapping[str, str]],
    model: str | None = None,
    adapters: Sequence[str] = (),
    with_base: bool = False,
    max_tokens: int = 256,
    seed: int = 0,
    temperature: float = 0.0,
    top_p: float = 1.0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return `{"answers": [{adapter, text, tokens, seconds, ended}]}`; None names the base.

    Args:
        messages: The conversation so far, the last turn being the user's.
        model: A base model, when no adapter is named.
        adapters: Names of adapters, all of one base.
        with_base: Let the base answer first.
        temperature: 0 (the default) always picks the likeliest token; `seed` and `top_p` matter
            above that.

    Raises:
        UsageError: nothing or too much is asked for. NotFound: a name is not in this vault.
        Refused: the adapters belong to different bases. JobFailed: the job crashed.
    """
    _check(messages, max_tokens, temperature, top_p)
    entries = [vault.catalogue.get("adapter", name) for name in dict.fromkeys(adapters)]
    if (model is None) == (not entries):
        raise UsageError("Name a model, or one or more adapters.")
    bases = [base_of(vault, entry) for entry in entries]
    if model is not None:
        bases = [vault.catalogue.get("model", model)]
    if len({base.object_id for base in bases}) > 1:
        raise Refused(
            "These adapters belong to different base models.",
            hint="Ask them one at a time.",
            code="base_mismatch",
        )
    base = bases[0]
    parts = [
        {
            "object_id": entry.object_id,
            "name": entry.name,
            "folder": str(vault.adapters_folder / entry.object_id),
        }
        for entry in entries
    ]
    roles = {f"adapter_{n}": entry.object_id for n, entry in enumerate(entries, 1)}
    job = ShortJob(
        kind="generate",
        objects={"model": base.object_id, **roles},
        sealed={
            "model": model_part(vault, base),
            "adapters": parts,
            "with_base": with_base,
            "messages": [dict(message) for message in messages],
            "max_tokens": max_tokens,
            "seed": seed,
            "temperature": temperature,
            "top_p": top_p,
        },
        read=weights_paths(vault, base),
    )
    return {"answers": run_job(vault, job, progress).result["answers"]}


def _check(
    messages: Sequence[Mapping[str, str]], max_tokens: int, temperature: float, top_p: float
) -> None:
    sound = all(set(m) == {"role", "content"} and m["role"] in _ROLES for m in messages)
    if not messages or not sound or messages[-1]["role"] != "user":
        raise UsageError("A conversation has roles and contents, and ends with the user's turn.")
    if not 1 <= max_tokens <= _MOST_TOKENS:
        raise UsageError(f"--max-tokens is a number from 1 to {_MOST_TOKENS}.")
    if not 0 <= temperature <= 10 or not 0 < top_p <= 1:
        raise UsageError("The temperature is from 0 to 10, and top-p above 0 and at most 1.")
