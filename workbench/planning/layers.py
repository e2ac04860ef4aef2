"""The decoder layers of transformers 5.23 as operations on a tape.

Sources: the modeling files of llama (whose layout mistral, qwen2 and qwen3 have), gemma2, gemma3
and phi3, transformers' sdpa_attention.py, and `workbench.engine.attention` for a processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from workbench.models.facts import ModelFacts
from workbench.planning.linears import Linears, Treatment
from workbench.planning.moments import EXPLICIT_TOKENS
from workbench.planning.tape import Passes, Tape, Value

_SANDWICH = ("gemma2", "gemma3_text")


@dataclass(frozen=True)
class Shape:
    """What passes through a layer: `rows` of `context` tokens.

    Attributes:
        masked: Whether attention gets a mask.
        record: Tokens of a record where attention goes record by record; 0 where by rows.
    """

    rows: int
    context: int
    masked: bool
    record: int

    @property
    def tokens(self) -> int:
        return self.rows * self.context


@dataclass(frozen=True)
class Layer:
    """A layer's passes, the width of what it puts out, and its copies of trained parameters."""

    passes: Passes
    width: int
    copies: int


@lru_cache(maxsize=512)  # a search asks for the same layer with other numbers of them
def decoder_layer(
    facts: ModelFacts, shape: Shape, how: Treatment, width: int, *, wants: bool
) -> Layer:
    """Play one layer, whose input has elements of `width` bytes.

    Args:
        wants: Whether a gradient goes back to the input; with adapters the first layer's has none.
    """
    tape = Tape()
    block = _Decoder(facts, shape, how, tape)
    first = Value(shape.tokens * facts.hidden, width, wants=wants)
    output = block.write(first)
    return Layer(tape.play(first), output.width, block.linears.copies)


@lru_cache(maxsize=512)
def final_norm(facts: ModelFacts, shape: Shape, how: Treatment, width: int) -> Layer:
    """Play the norm behind all layers."""
    tape = Tape()
    block = _Decoder(facts, shape, how, tape)
    first = Value(shape.tokens * facts.hidden, width, wants=True)
    output = block.norm(first, facts.hidden)
    return Layer(tape.play(first), output.width, 0)


class _Decoder:
    def __init__(self, facts: ModelFacts, shape: Shape, how: Treatment, tape: Tape) -> None:
        self._facts, self._shape, self._how, self._tape = facts, shape, how, tape
        self.linears = Linears(tape, how)
        self._of = {linear.name: linear for linear in facts.linears}

    def write(self, first: Value) -> Value:
        """Write the layer down and return its output."""
        hidden, sandwich = self._facts.hidden, self._facts.family in _SANDWICH
        inner = self._attention(self.norm(first, hidden))
        if sandwich:
            inner = self.norm(inner, hidden)
        middle = self.linears.add(first, inner)
        inner = self._mlp(self.norm(middle, hidden))
        if sandwich:
            inner = self.norm(inner, hidden)
        return self.linears.add(middle, inner)

    def norm(self, value: Value, size: int) -> Value:
        """RMSNorm over `size` elements, in 32 bit.

        Llama's puts its weight on what is cast back, Gemma's on the 32-bit numbers.
        """
        tape, trained = self._tape, self._how.full
        groups = value.count // size
        wide = self.linears.cast(value, 4)
        # The square's slope is twice the input, made in two steps.
        square = tape.add((wide,), wide.count, 4, saves=(wide,), unwinding=2 * wide.size)
        mean = tape.add((square,), groups, 4)
        root = tape.add((mean,), groups, 4, itself=True)
        normed = tape.add((wide, root), wide.count, 4, saves=(wide, root), unwinding=wide.size)
        gemma = self._facts.family in _SANDWICH
        if not gemma:
            normed = self.linears.cast(normed, value.width)
        kept = max(normed.width, 4 if gemma else self._how.kept_width)
        output = tape.add(
            (normed,),
            value.count,
            kept,
            saves=(normed,) if trained else (),
            unwinding=value.count * kept * trained,
            gradient=4 * size * trained,
            touches=True,
        )
        return self.linears.cast(output, value.width) if gemma else output

    def _linear(self, value: Value, name: str) -> Value:
        return self.linears.apply(value, self._of[name])

    def _mlp(self, value: Value) -> Value:
        tape = self._tape
        if "gate_up_proj" in self._of:
            both = self._linear(value, "gate_up_proj")
            gate, up = (
                tape.add((both,), both.count // 2, both.width, whole=both) for _ in range(2)
            )
            active = self._activated(gate)
        else:  # the gate first, with its activation
            active = self._activated(self._linear(value, "gate_proj"))
            up = self._linear(value, "up_proj")
        product = tape.add((active, up), up.count, up.width, saves=(active, up))
        output = self._linear(product, "down_proj")
        tape.until_here(value)
        return output

    def _activated(self, gate: Value) -> Value:
        return self._tape.add((gate,), gate.count, gate.width, saves=(gate,))

    def _attention(self, value: Value) -> Value:
        facts, tokens = self._facts, self._shape.tokens
        queries, keys = facts.heads * facts.head_dim, facts.kv_heads * facts.head_dim
        if "qkv_proj" in self._of:
            joined = self._linear(value, "qkv_proj")
            query, key, values = (
                self._tape.add((joined,), tokens * size, joined.width, whole=joined)
                for size in (queries, keys, keys)
            )
        else:
            query, key, values = (
                self._linear(value, name) for name in ("q_proj", "k_proj", "v_proj")
            )
        if facts.qk_norm:
            query, key = (self.norm(each, facts.head_dim) for each in (query, key))
        query, key = (self._turned(each, value.width) for each in (query, key))
        if facts.family == "gemma2":
            attended = self._eager(query, key, values)
        elif self._shape.record:
            attended = self._by_record(query, key, values)
        else:
            attended = self._fused(query, key, values)
        output = self._linear(attended, "o_proj")
        self._tape.until_here(value, query, key, values)
        return output

    def _turned(self, value: Value, width: int) -> Value:
        """Rotary positions: two products with tables, which keep nothing, and their sum.

        The tables have the type of the stream.
        """
        wide = max(value.width, width)
        turned = self._tape.add((value,), value.count, wide, unwinding=2 * value.count * wide)
        if self._facts.family == "phi3":  # joined with what is not turned
            turned = self._tape.add((turned,), value.count, wide)
        return turned

    def _repeated(self, value: Value) -> Value:
        """Keys or values, for each head once."""
        facts = self._facts
        if facts.kv_heads == facts.heads:
            return value
        count = value.count // facts.kv_heads * facts.heads
        return self._tape.add((value,), count, value.width)

    def _fused(self, query: Value, key: Value, values: Value) -> Value:
        """A card's fused kernels: flash attention, or with a mask the memory-efficient one.

        The latter gets the mask in computing precision; both keep a 32-bit sum for each head, and
        add up the queries' gradient in 32 bit. Flash spreads shared keys and values.
        """
        facts, shape, narrow = self._facts, self._shape, self._how.narrow
        if shape.masked and facts.kv_heads > 1:
            key, values = self._repeated(key), self._repeated(values)
        query, key, values = (self.linears.cast(each, narrow) for each in (query, key, values))
        mask = narrow * shape.tokens * shape.context if shape.masked else 0
        spread = 4 * query.count * (not shape.masked and facts.kv_heads < facts.heads)
        output = self._attended(query, key, values, holds=mask, unwinding=4 * query.count + spread)
        if facts.family == "phi3" and not shape.masked:
            # Flash attention lays its output out as the queries, here joined anew head by head.
            output = self._tape.add((output,), output.count, output.width)
        return output

    def _attended(
        self, query: Value, key: Value, values: Value, *, holds: int, unwinding: int
    ) -> Value:
        sums = 4 * self._facts.heads * self._shape.tokens
        return self._tape.add(
            (query, key, values), query.count, query.width, itself=True,
            saves=(query, key, values), holds=holds + sums, unwinding=unwinding,
        )  # fmt: skip

    def _eager(self, query: Value, key: Value, values: Value) -> Value:
        """Gemma 2 bounds the scores: they are kept as tanh, in 32 bit, and as weights."""
        facts, shape, tape = self._facts, self._shape, self._tape
        narrow = self._how.narrow
        scores = shape.rows * facts.heads * shape.context**2
        query, key, values = (
            self.linears.cast(each, narrow)
            for each in (query, self._repeated(key), self._repeated(values))
        )
        found = tape.add((query, key), scores, narrow, saves=(query, key))
        found = tape.add((found,), scores, narrow)  # the scaling
        found = tape.add((found,), scores, narrow)  # by the bound
        found = tape.add((found,), scores, narrow, itself=True)
        found = tape.add((found,), scores, narrow)  # times the bound
        found = tape.add((found,), scores, narrow, shares=True)  # the mask
        found = tape.add((found,), scores, 4, itself=True, working=4 * scores)
        found = self.linears.cast(found, narrow)
        output = tape.add((found, values), query.count, narrow, saves=(found, values))
        return tape.add((output,), output.count, output.width)  # rearranged

    def _by_record(self, query: Value, key: Value, values: Value) -> Value:
        """A processor's attention: rearranged to records, attended, and rearranged back."""
        facts, shape, tape, narrow = self._facts, self._shape, self._tape, self._how.narrow
        query, key, values = (
            tape.add((each,), each.count, each.width) for each in (query, key, values)
        )
        key, values = self._repeated(key), self._repeated(values)
        if shape.record > EXPLICIT_TOKENS:
            query, key, values = (self.linears.cast(each, narrow) for each in (query, key, values))
            output = self._attended(query, key, values, holds=narrow * shape.record**2, unwinding=0)
        else:
            scores = facts.heads * shape.tokens * shape.record
            query = tape.add((query,), query.count, query.width)  # the scaling
            query, key = (self.linears.cast(each, narrow) for each in (query, key))
            found = tape.add((query, key), scores, narrow, saves=(query, key))
            found = self.linears.cast(found, 4)
            found = tape.add((found,), scores, 4)  # masked
            found = tape.add((found,), scores, 4, itself=True)
            found = self.linears.cast(found, values.width)
            found, values = (self.linears.cast(each, narrow) for each in (found, values))
            output = tape.add((found, values), query.count, narrow, saves=(found, values))
        return tape.add((output,), output.count, output.width)  # back to rows
