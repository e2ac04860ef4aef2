"""The moments of a training step whose layers are played on a tape.

`workbench.planning.moments` has closed formulas for adapters of the plain kind. Full fine-tuning
and DoRA change the type of what passes between layers, and with it nearly every term, and dropout
keeps what peft's forward pass makes. Here the layers are played instead
(`workbench.planning.tape`), and put together:

1. The loss: what all layers and the last norm kept, the last hidden states, counted positions and
   their gradient, the logits of a chunk. A trained output layer of V h weights adds, under
   autocast, its copy, 2Vh, its gradient, 4Vh, and a chunk's gradient in 16 and in 32 bit, 6Vh,
   beside that chunk's logits (6 bytes each); then the gradient twice (`workbench.engine.loss`).
2. The last norm's way back; from here on a trained output layer has its gradient.
3. A layer's way back: what the layers below kept, the gradients of those above, and the fullest
   moment of its own, which is that of its second forward pass where it is recomputed.
4. The last layer's forward pass. Autocast keeps its copies of ALL trained parameters until then.
5. The table's gradient, when all others are there: 4Vh, a second time where the table is the
   output layer as well.
6. The update: all gradients and, of the largest tensor, value, moments and gradient once more
   (`WeightUpdater.update` can be undone).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from workbench.models.facts import ModelFacts
from workbench.planning.layers import Layer, Shape, decoder_layer, final_norm
from workbench.planning.linears import Treatment
from workbench.planning.moments import ON_DEVICE, Moment, logit_bytes, mask_bytes
from workbench.planning.resident import moments_of


@dataclass(frozen=True)
class Replay:
    """One step.

    Attributes:
        recomputed: How many of the first layers are recomputed.
        chunk: Tokens that the loss works on at a time.
        largest: Elements of the largest trained tensor.
        offload: Whether the inputs of recomputed layers wait in main memory, but for `ON_DEVICE`.
    """

    facts: ModelFacts
    how: Treatment
    shape: Shape
    recomputed: int
    chunk: int
    largest: int
    optimizer: str
    offload: bool = False

    def fullest(self) -> Moment:
        """Return the moment that needs most."""
        return max(self._moments(), key=lambda moment: moment.total)

    def _moments(self) -> Iterator[Moment]:
        facts, masks, tables = self.facts, self._masks(), self._tables()
        head, tail = self._head(), self._tail
        every = tables + self._kept_below(facts.layers)
        hidden = self._elements * tail.width
        counted = self._elements * self.how.narrow
        after = every + tail.passes.kept + hidden
        logits = logit_bytes(facts, self.shape.tokens, self.chunk)
        yield Moment(after + 2 * counted, logits + self._head_copies(), masks)
        if head:
            yield Moment(after + 2 * counted, self._head_work(), masks)
            yield Moment(every + tail.passes.kept + 2 * counted, 2 * head, masks)
        yield Moment(every + tail.passes.backward, 0, masks, head)
        above = head + tail.passes.gradient
        for number in {0, 1, self.recomputed - 1, self.recomputed, facts.layers - 1}:
            if 0 <= number < facts.layers:
                yield from self._backward(number, above)
        last = facts.layers - 1
        passes = self._layer(last).passes
        again = last < self.recomputed
        yield Moment(
            tables + self._kept_below(last) + (passes.bare if again else passes.forward),
            0,
            masks + self._waiting_copies(),
        )
        gradients = above + sum(self._layer(each).passes.gradient for each in range(facts.layers))
        if head:
            # The table's own, and the gradient of what came out of it.
            table = 4 * facts.vocab * facts.hidden
            yield Moment(tables + self._elements * self._stream, 0, table, gradients)
            gradients += 0 if facts.tied else table
        yield Moment(tables, 0, self._updated(), gradients)

    def _backward(self, number: int, above: int) -> Iterator[Moment]:
        layers, passes = self.facts.layers, self._layer(number).passes
        again = number < self.recomputed
        below = self._tables() + self._kept_below(number)
        gradients = above + (layers - 1 - number) * self._layer(layers - 1).passes.gradient
        most = passes.again if again else passes.backward
        yield Moment(below + most, 0, self._masks(), gradients)

    @property
    def _elements(self) -> int:
        return self.shape.tokens * self.facts.hidden

    @property
    def _stream(self) -> int:
        """Bytes of an element as it comes out of the embedding table."""
        return self.how.kept_width

    @cached_property
    def _first(self) -> Layer:
        return decoder_layer(self.facts, self.shape, self.how, self._stream, wants=self.how.full)

    @cached_property
    def _other(self) -> Layer:
        return decoder_layer(self.facts, self.shape, self.how, self._first.width, wants=True)

    @cached_property
    def _tail(self) -> Layer:
        return final_norm(
            self.facts, self.shape, self.how, self._layer(self.facts.layers - 1).width
        )

    def _layer(self, number: int) -> Layer:
        return self._other if number else self._first

    def _kept_below(self, number: int) -> int:
        """Bytes that the layers before this one keep; a recomputed one its input alone."""
        recomputed = min(number, self.recomputed)
        kept = (number - recomputed) * self._other.passes.kept
        if recomputed and self.offload:
            there = min(recomputed, ON_DEVICE if number >= self.recomputed else 1)
            return kept + there * self._first.width * self._elements
        if recomputed:
            inputs = self._stream + (recomputed - 1) * self._first.width
            return kept + inputs * self._elements
        return kept + (self._first.passes.kept - self._other.passes.kept) * (number > 0)

    def _waiting_copies(self) -> int:
        """Bytes of the copies that recomputed layers leave with autocast."""
        return sum(self._layer(number).copies for number in range(self.recomputed))

    def _masks(self) -> int:
        return mask_bytes(self.facts, self.shape.masked, self.recomputed, self.shape.context,
                          self.shape.tokens)  # fmt: skip

    def _tables(self) -> int:
        """Sines and cosines, of two kinds for Gemma 3, and the numbers of the batch."""
        kinds = 2 if self.facts.family == "gemma3_text" else 1
        return self.shape.tokens * (kinds * 2 * self._stream * self.facts.head_dim + 36)

    def _head(self) -> int:
        """Bytes of a trained output layer's gradient."""
        return 4 * self.facts.vocab * self.facts.hidden if self.how.full else 0

    def _head_copies(self) -> int:
        return self._head() + (self._head() // 2 if self.how.full and self.how.narrow < 4 else 0)

    def _head_work(self) -> int:
        narrow = self.how.narrow
        chunk = self.facts.vocab * min(self.shape.tokens, self.chunk)
        share = narrow * self._head() // 4 + (self._head() if narrow < 4 else 0)
        return self._head_copies() + share + (4 + narrow) * chunk

    def _updated(self) -> int:
        """Bytes that the update of the largest tensor takes besides."""
        return 8 * self.largest + moments_of(self.largest, self.optimizer)
