"""The linears of a layer as operations: frozen, adapted by LoRA or DoRA, or trained themselves.

Sources: `Linear4bit.forward` and `MatMul4Bit` in bitsandbytes, `Linear.forward` and
`Linear4bit.forward` in peft's tuners/lora/{layer,bnb}.py, `DoraLinearLayer` in its dora.py, and
`_plain_forward` in `workbench.engine.lora`, which stands for peft's where there is neither dropout
nor DoRA. Notation: N the elements of a matrix, r the rank.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.models.facts import LinearShape
from workbench.planning.tape import Tape, Value


@dataclass(frozen=True)
class Treatment:
    """How linears are kept and trained.

    Attributes:
        method: `qlora`, `lora` or `full`.
        adapted: Names of the linears that have an adapter.
        narrow: Bytes of an element in computing precision: 2 under autocast, 4 without.
    """

    method: str
    adapted: frozenset[str]
    rank: int
    dropout: float
    dora: bool
    device: str
    narrow: int

    @property
    def full(self) -> bool:
        return self.method == "full"

    @property
    def kept_width(self) -> int:
        """Bytes of an element of what is not in 4 bit."""
        return 4 if self.full else self.narrow

    @property
    def converts(self) -> bool:
        """Whether peft casts a layer's input to 32 bit and its output back.

        It does for 16-bit layers, and for 4-bit ones unless autocast is that of a card.
        """
        return self.method == "lora" or self.device == "cpu" or self.narrow == 4


class Linears:
    """Writes linears on a tape."""

    def __init__(self, tape: Tape, how: Treatment) -> None:
        self._tape = tape
        self._how = how
        self.copies = 0  # bytes of trained parameters' copies, which autocast makes once a pass

    def cast(self, value: Value, width: int) -> Value:
        """Change the type; the same one is no operation."""
        if value.width == width:
            return value
        return self._tape.add((value,), value.count, width)

    def apply(self, value: Value, linear: LinearShape) -> Value:
        """Return the output of a linear."""
        if self._how.full:
            return self._trained(value, linear.inputs, linear.outputs, linear.parameters)
        base = self._frozen(value, linear)
        if linear.name not in self._how.adapted:
            return base
        if not self._how.dora and not self._how.dropout:
            # Autocast narrows what goes in; without it the input is in 32 bit already.
            return self.add(base, self._adapter(value, linear))
        return self._by_peft(value, base, linear)

    def add(self, one: Value, other: Value) -> Value:
        """Add two tensors of one shape."""
        return self._tape.add((one, other), one.count, max(one.width, other.width), shares=True)

    def _adapter(self, value: Value, linear: LinearShape) -> Value:
        """Return B A x, times the scaling: A and B are trained linears without a bias."""
        rank = self._how.rank
        low = self._trained(value, linear.inputs, rank, rank * linear.inputs)
        if not self._how.dora and not self._how.dropout:
            low = self._tape.add((low,), low.count, low.width)
        return self._trained(low, rank, linear.outputs, rank * linear.outputs)

    def _trained(self, value: Value, inputs: int, outputs: int, parameters: int) -> Value:
        """A linear whose weight wants a gradient: it keeps its input and its weight's copy.

        Its gradient comes in computing precision and is then cast to 32 bit.
        """
        narrow, count = self._how.narrow, inputs * outputs
        source = self.cast(value, narrow)
        copy = narrow * count if narrow < 4 else 0
        self.copies += copy
        return self._tape.add(
            (source,),
            value.count // inputs * outputs,
            narrow,
            saves=(source,),
            holds=copy,
            unwinding=narrow * count,
            gradient=4 * parameters,
            settling=narrow * count if narrow < 4 else 0,
        )

    def _frozen(self, value: Value, linear: LinearShape) -> Value:
        """A linear that keeps nothing.

        One in 4 bit is unpacked for each pass, with its scales in 32 bit: twice, forward.
        """
        count, narrow = linear.inputs * linear.outputs, self._how.narrow
        packed = self._how.method == "qlora"
        source = self.cast(value, narrow)
        output = self._tape.add(
            (source,),
            value.count // linear.inputs * linear.outputs,
            narrow,
            working=packed * (narrow * count + count // 8),
            unwinding=packed * (narrow * count + count // 16),
            # bitsandbytes keeps the weight past autograd, whose hooks see nothing of it.
            touches=not packed,
        )
        return self.cast(output, value.width) if packed else output

    def _by_peft(self, value: Value, base: Value, linear: LinearShape) -> Value:
        how, width, given = self._how, base.width, value
        if how.method == "qlora":
            base = self._tape.add((base,), base.count, width)  # "defensively clone"
        if how.converts:
            value = self.cast(value, 4)
        if how.dropout:
            value = self._dropped(value)
        if how.dora:
            base = self._dora(value, base, linear)
        else:
            output = self._adapter(value, linear)
            output = self._tape.add((output,), output.count, output.width)  # the scaling
            if how.converts and how.method == "qlora":
                output = self.cast(output, width)
            base = self.add(base, output)
        self._tape.until_here(given, value)
        return self.cast(base, width) if how.converts else base

    def _dropped(self, value: Value) -> Value:
        """Drop elements: a card keeps a byte for each, a processor the factors themselves."""
        mask = value.count * (1 if self._how.device == "cuda" else value.width)
        return self._tape.add((value,), value.count, value.width, holds=mask)

    def _dora(self, value: Value, base: Value, linear: LinearShape) -> Value:
        """The output in proportion of two lengths (arXiv 2402.09353, section 4.3).

        For the length of the sum, peft makes the adapter's product from a unit matrix of 4 in^2
        bytes (under autocast cast: 2 in^2, which stays as long as the product, N), unpacks the
        weight, and adds both in the input's type. Product and weight stay until the end; the
        sizes are 32-bit numbers and make all 32-bit.
        """
        how, tape = self._how, self._tape
        square, count = linear.inputs**2, linear.inputs * linear.outputs
        narrow, wide = how.narrow, value.width
        unpacks = how.method == "qlora" or wide != narrow
        unit = 4 * square + (narrow * square if narrow < 4 else 0)
        waiting = narrow * square + wide * count + unpacks * wide * count
        sum_up = waiting + 2 * wide * count
        making = max(unit + narrow * count, sum_up)
        tape.add((value, base), 0, 4, working=making)
        low = self._adapter(value, linear)
        size = base.count * 4
        if how.dropout:
            source = self.cast(value, narrow)
            # Of the dropped input, by the unpacked weight, which stays for the gradient.
            again = tape.add(
                (source,),
                base.count,
                narrow,
                holds=narrow * count * (unpacks and source.wants),
                working=waiting,
            )
        elif linear.bias:
            again = tape.add((base,), base.count, base.width, working=waiting)
        else:
            again = base
        sizes = 4 * linear.outputs
        parts = [
            tape.add(
                (each,), base.count, 4, saves=(each,), working=waiting,
                unwinding=size, gradient=extra,
            )
            for each, extra in ((again, sizes), (low, 0))
        ]  # fmt: skip
        scaled = tape.add((parts[1],), base.count, 4, working=waiting)
        joined = tape.add((parts[0], scaled), base.count, 4, shares=True, working=waiting)
        tape.until_here(base, low, again)
        return self.add(base, joined)
