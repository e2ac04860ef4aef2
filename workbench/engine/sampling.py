"""Samples while a run trains: the model as it stands answers a few held-out records.

Asked for between two optimizer steps, and without a trace in what comes after: random states,
weights, modes and counters are as they were, so that a sampled run ends with the same bits as one
that was left alone. Whatever goes wrong in here costs the sample, never the run.
"""

from __future__ import annotations

import errno
import gc
import random
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workbench.airgap.leaks import describe
from workbench.datasets.records import Record
from workbench.datasets.store import SealedDataset
from workbench.engine.determinism import untouched_random
from workbench.engine.forward import Passes
from workbench.engine.generation import Continuation, Decoding, Ends, continue_prompts
from workbench.engine.prepare import Prepared
from workbench.engine.pressure import is_out_of_memory
from workbench.engine.reporting import Reporter
from workbench.engine.session import Session
from workbench.errors import WorkbenchError
from workbench.models.codec import TextCodec
from workbench.runs.samples import Answer, Sample, SampleFolder

RECORDS = 2  # answered for each sample
MOST_TOKENS = 128  # of an answer


@dataclass(frozen=True, repr=False)
class _Question:
    """One record as the model is asked it: prompt ids, the turns to show, the answer it has."""

    record: int
    prompt: Sequence[int]
    asked: tuple[tuple[str, str], ...]
    expected: str


@dataclass(frozen=True, repr=False)
class Sampler:
    """Walks through the usable records of a split, `RECORDS` for each sample.

    Neither tokenizer nor records are held: a run that is never asked pays nothing for it.

    Attributes:
        split: `validation`, or `train` where no validation record is usable: the only text there
            is then, and the sample says that it was trained on.
        numbers: Record numbers of its usable records.
        context: Longest prompt and answer in tokens, which is the run's own context.
        seed: Of the order in which the records are asked.
    """

    session: Session
    folder: SampleFolder
    split: str
    numbers: Sequence[int]
    context: int
    seed: int

    @classmethod
    def over(
        cls, session: Session, train: Prepared, validation: Prepared, *, context: int, seed: int
    ) -> Sampler:
        """Return the sampler of a run whose records were prepared."""
        held_out = bool(validation.numbers)
        return cls(
            session=session,
            folder=SampleFolder(session.job.samples_folder, session.key(session.spec.run)),
            split="validation" if held_out else "train",
            numbers=array("q", validation.numbers if held_out else train.numbers),
            context=context,
            seed=seed,
        )

    def take(self, passes: Passes, step: int) -> None:
        """Let the model answer, seal what it said, and tell the figures.

        Raises:
            Interrupted: A pause or stop was asked for; the sample is abandoned.
        """
        failed: dict[str, str] | None = None
        try:
            sample = self._taken(passes, step)
        except Exception as error:  # the run is worth more than any sample
            failed = {"code": _code(error), **describe(error)}
        # Outside the handler, whose exception's frames hold tensors: the next step must find as
        # much room as it would have had.
        if passes.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
        if failed is not None:
            self.session.events.write("not_sampled", step=step, **failed)
            return
        self.session.events.write(
            "sampled",
            number=sample.number,
            step=step,
            records=len(sample.answers),
            held_out=sample.held_out,
            tokens=sum(answer.tokens for answer in sample.answers),
            seconds=sample.seconds,
        )

    def _taken(self, passes: Passes, step: int) -> Sample:
        began = time.perf_counter()
        report = Reporter(self.session, "sampling")
        report(0, RECORDS)
        number = max(self.folder.numbers(), default=0) + 1
        codec = TextCodec.open(Path(self.session.sealed["model"]["folder"]))
        questions = [self._question(record, codec) for record in self._records(number)]
        ends = Ends(codec.eos_ids, codec.pad_id, self.context)
        answers = []
        with untouched_random(), _evaluating(passes.model), passes.arithmetic():
            for done, question in enumerate(questions, 1):
                # One at a time: no more memory than one row of the run takes.
                (found,) = continue_prompts(
                    passes.model,
                    [question.prompt],
                    ends,
                    Decoding(MOST_TOKENS),
                    on_pass=self.session.steering.check,
                )
                answers.append(_answer(question, found, codec))
                report(done, len(questions))
        seconds = round(time.perf_counter() - began, 3)
        sample = Sample(number, step, self.split == "validation", seconds, tuple(answers))
        self.folder.write(sample)
        return sample

    def _records(self, number: int) -> list[Record]:
        """Return the records of sample `number`, in the order of their asking."""
        wanted = self.chosen(number)
        found: dict[int, Record] = {}
        part = self.session.sealed["dataset"]
        key = self.session.key(part["object_id"])
        with SealedDataset.open(Path(part["path"]), key) as dataset:
            for record in dataset.records(self.split):
                self.session.steering.check()
                if record.number in wanted:
                    found[record.number] = record
                if len(found) == len(wanted):
                    break
        return [found[number] for number in wanted]

    def chosen(self, number: int) -> list[int]:
        """Return the record numbers of sample `number` (1, 2, …): the next of a seeded order."""
        order = list(self.numbers)
        random.Random(f"{self.seed}:samples").shuffle(order)  # noqa: S311  no secret
        count = min(RECORDS, len(order))
        return [order[((number - 1) * count + place) % len(order)] for place in range(count)]

    def _question(self, record: Record, codec: TextCodec) -> _Question:
        """Ask for a conversation's last answer, or for the second half of a plain text."""
        if record.text is not None:
            ids = codec.encode_text(record.text).ids
            half = (len(ids) + 1) // 2
            begun, rest = codec.decode(ids[:half]), codec.decode(ids[half:])
            return _Question(record.number, ids[:half], (("", begun),), rest)
        turns = [(message.role, message.content) for message in record.messages]
        places = [place for place, (role, _) in enumerate(turns) if role == "assistant"]
        last = places[-1] if places else len(turns)
        expected = turns[last][1] if places else ""
        asked = turns[:last]
        return _Question(record.number, codec.encode_prompt(asked), tuple(asked), expected)


def _answer(question: _Question, found: Continuation, codec: TextCodec) -> Answer:
    return Answer(
        record=question.record,
        asked=question.asked,
        expected=question.expected,
        text=codec.decode(found.ids),
        tokens=len(found.ids),
        ended=found.ended,
    )


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Switch dropout and recomputation off for the block."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _code(error: Exception) -> str:
    if isinstance(error, WorkbenchError):
        return error.code
    if is_out_of_memory(error):
        return "out_of_memory"
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "disk_full" if full else "failed"
