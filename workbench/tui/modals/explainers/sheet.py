"""What an explanation is drawn from, and the sheet it is drawn on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from textual.content import Content

from workbench.models.facts import ModelFacts
from workbench.planning.budget import Budget
from workbench.planning.candidates import Candidate, DatasetLength
from workbench.planning.memory import Prediction, predict
from workbench.recipe import Recipe

MUTED = "$foreground-muted"
# Columns of a page in a terminal of 80.
WIDTH = 72


@dataclass(frozen=True)
class About:
    """What the figures of a page are worked out for.

    Attributes:
        facts: The model.
        recipe: The settings, with what the planner left open still `auto`.
        candidate: The run as it would be.
        budget: The device.
        dataset: What there is to train on; None until it was measured.
    """

    facts: ModelFacts
    recipe: Recipe
    candidate: Candidate
    budget: Budget
    dataset: DatasetLength | None = None

    def predicted(self, recomputed: int) -> Prediction:
        """Return the memory of this run with another number of recomputed layers.

        For the number of the candidate it is what the bars show.
        """
        context = self.candidate.context
        return predict(
            self.facts,
            method=self.candidate.method,
            rank=self.candidate.rank,
            context=context,
            micro_batch=self.candidate.micro_batch,
            recomputed_layers=recomputed,
            optimizer=self.recipe.optimizer,
            targets=self.recipe.targets,
            dropout=self.recipe.dropout,
            dora=self.recipe.dora,
            record=self.dataset.usual_record(context) if self.dataset else None,
            device=self.budget.device,
            compute_bytes=self.budget.compute_bytes,
            offload=self.candidate.offload,
        )

    def with_rank(self, rank: int) -> About:
        """Return the same with adapters of another rank."""
        candidate = dataclasses.replace(self.candidate, rank=rank)
        return dataclasses.replace(self, candidate=candidate)


class Sheet:
    """Lines of a page: sentences, which the page wraps, and rows that are drawn."""

    def __init__(self) -> None:
        self._lines: list[Content] = []

    def say(self, text: str, style: str = "") -> Sheet:
        """Add a paragraph."""
        self._lines.append(Content.assemble((text, style)))
        return self

    def row(self, *parts: str | tuple[str, str]) -> Sheet:
        """Add a drawn row of parts, each a text or a text with its style."""
        self._lines.append(Content.assemble(*parts))
        return self

    def gap(self) -> Sheet:
        """Add an empty row."""
        self._lines.append(Content(""))
        return self

    @property
    def content(self) -> Content:
        """The page."""
        return Content("\n").join(self._lines)
