"""The first run of a stranger's tokenizer and chat template: in a child with hard limits.

A tokenizer is a regular expression and a table, a chat template is a program; either can be made
to run for ever or to fill the memory in one native call that no budget in this process could
stop. The child has limits on CPU time and address space, opens no file for writing, and tells
its findings as one JSON document. It inherits the lock-down of the process that starts it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.errors import BadInput, WorkbenchError
from workbench.models import confined

CPU_SECONDS = 30
WALL_SECONDS = 120.0
_LONG = "Please read this note and answer in one line. " * 400


@dataclass(frozen=True)
class Findings:
    """What the trial learnt.

    Attributes:
        vocabulary: One more than the largest token id.
        origin: `own` or `chosen`: where the chat template comes from.
        template: Its name, and `sha256` its SHA-256.
        marks_answers: It has generation markers.
        folds_system: It knows no system role.
    """

    vocabulary: int
    origin: str
    template: str
    sha256: str
    marks_answers: bool
    folds_system: bool


def try_codec(folder: Path, *, cpu_seconds: int = CPU_SECONDS) -> Findings:
    """Open the tokenizer and the template of `folder` in a child process and use them.

    Args:
        folder: Where tokenizer.json stands.
        cpu_seconds: The child is killed when it has computed for so long.

    Raises:
        BadInput: They are missing or broken, or took too much time or memory (`codec_stopped`).
        Refused: The template reaches for what the sandbox forbids (`unsafe_template`).
    """
    try:
        done = subprocess.run(
            confined.command("workbench.models.trial", str(folder), str(cpu_seconds)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WALL_SECONDS,
            env=confined.ENVIRONMENT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _stopped() from None
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise _stopped() from None
    confined.raise_told(told)
    return Findings(**told)


def _stopped() -> BadInput:
    return BadInput(
        "The model's tokenizer or chat template was stopped: it takes too much time or memory.",
        hint="Compare the files with the publisher's; they may have been tampered with.",
        code="codec_stopped",
    )


def _findings(folder: Path) -> Findings:
    # Imported under the limits, like everything that parses what the stranger wrote.
    from workbench.models.codec import TextCodec

    codec = TextCodec.open(folder)
    exchange = [("user", _LONG), ("assistant", "One line.\nAnd é ü 你好 \U0001f600 a second.")]
    for turns in (exchange, exchange * 3, [("system", "Be brief."), *exchange]):
        try:
            codec.encode_chat(turns)
        except BadInput as error:
            # A model whose template only suits single exchanges is still of use.
            if error.code not in {"template_not_prefix_stable", "template_refused_record"}:
                raise
    codec.encode_prompt(exchange[:1])
    codec.decode(codec.encode_text(_LONG).ids[:100])
    return Findings(
        vocabulary=codec.vocabulary_size,
        origin=codec.template.origin,
        template=codec.template.name,
        sha256=codec.template.sha256,
        marks_answers=codec.marks_answers,
        folds_system=codec.folds_system,
    )


def main(folder: str, cpu_seconds: str) -> None:
    """Run the trial on `folder` and print its findings; the child's side."""
    confined.limit(int(cpu_seconds))
    told: dict[str, object]
    try:
        told = asdict(_findings(Path(folder)))
    except WorkbenchError as error:
        told = confined.told(error)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
