"""What autograd holds over one layer: its operations, played forward and back in bytes.

A layer is written down once, operation by operation (`workbench.planning.layers`); which tensors
each of them saves for the backward pass is that of torch 2.13's tools/autograd/derivatives.yaml.
From that follow what the layer keeps and the most that lives in its passes. The rules:

- a tensor lives as long as a later operation reads it, or a saved reference to it is left;
- going back, an operation first makes the gradients of its inputs, then lets go of what it saved
  and of its output's gradient; a gradient that arrives in a wider type is narrowed afterwards;
- where two gradients of one tensor meet, both and their sum stand for a moment;
- an addition hands the gradient on as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


class Value:
    """A tensor of a pass: `count` elements of `width` bytes, or a view of a `whole` one."""

    __slots__ = ("count", "wants", "whole", "width")

    def __init__(self, count: int, width: int, *, wants: bool, whole: Value | None = None) -> None:
        self.count = count
        self.width = width
        self.wants = wants  # whether a gradient comes back to it
        self.whole: Value = self if whole is None else whole

    @property
    def size(self) -> int:
        return self.count * self.width


@dataclass(frozen=True)
class Operation:
    """One operation, in bytes.

    Attributes:
        saves: Tensors kept for the backward pass, and `holds`: what is kept besides.
        working: Held only while it runs forward, and `unwinding`: only while it runs back, beside
            the gradients of its inputs.
        gradient: What stays afterwards as gradients of parameters.
        settling: Held beside that for a moment, after what was saved is gone.
        shares: Whether it hands its gradient on.
        touches: Whether autograd keeps something, if only a parameter that is there anyway.
    """

    inputs: tuple[Value, ...]
    output: Value
    saves: tuple[Value, ...] = ()
    holds: int = 0
    working: int = 0
    unwinding: int = 0
    gradient: int = 0
    settling: int = 0
    shares: bool = False
    touches: bool = False


@dataclass(frozen=True)
class Passes:
    """What one layer needs, in bytes, its input included where it is kept.

    Attributes:
        kept: From its forward to its backward pass, when it is not recomputed.
        forward: The most in its forward pass, and `bare`: the same when nothing is kept for later.
        backward: The most in its backward pass, the gradient of its output included, and
            `again`: the same when its input waited, and it was first passed through once more.
        gradient: Of its parameters, when all is done.
    """

    kept: int
    forward: int
    bare: int
    backward: int
    again: int
    gradient: int


class Tape:
    """Collects the operations of one layer."""

    def __init__(self) -> None:
        self._operations: list[Operation] = []
        self._named: list[tuple[int, Value]] = []

    def until_here(self, *values: Value) -> None:
        """Let values live up to the last operation: they are variables of a caller."""
        last = len(self._operations) - 1
        self._named += [(last, each.whole) for each in values]

    def add(
        self,
        inputs: Sequence[Value],
        count: int,
        width: int,
        *,
        saves: Sequence[Value] = (),
        itself: bool = False,
        whole: Value | None = None,
        holds: int = 0,
        working: int = 0,
        unwinding: int = 0,
        gradient: int = 0,
        settling: int = 0,
        shares: bool = False,
        touches: bool = False,
    ) -> Value:
        """Write an operation down and return its output.

        Nothing is saved where no gradient comes back: neither to an input nor to a parameter.

        Args:
            itself: Whether the output is saved too.
            touches: Whether a parameter is saved.
        """
        wants = gradient > 0 or any(each.wants for each in inputs)
        output = Value(count, width, wants=wants, whole=None if whole is None else whole.whole)
        saves = (*saves, output) if itself else saves
        if not wants:
            saves, holds = (), 0
        self._operations.append(
            Operation(
                tuple(inputs), output, tuple(saves), holds, working, unwinding, gradient, settling,
                shares, wants and bool(touches or saves or holds),
            )
        )  # fmt: skip
        return output

    def play(self, first: Value) -> Passes:
        """Play the layer, whose input is `first` and whose output its last operation makes."""
        kept = self._saved()
        held = sum(each.holds for each in self._operations)
        forward = self._forward(first, set(kept))
        again, arriving = self._backward(first.whole)
        return Passes(
            kept=sum(each.size for each in kept) + held,
            forward=forward,
            bare=self._forward(first, None),
            backward=self._backward(None)[0],
            again=max(again, self._forward(first, set(kept), early=True) + arriving),
            gradient=sum(each.gradient for each in self._operations),
        )

    def _saved(self) -> Counter[Value]:
        return Counter(each.whole for one in self._operations for each in one.saves)

    def _forward(self, first: Value, kept: set[Value] | None, *, early: bool = False) -> int:
        """Return the most that lives.

        Args:
            kept: What stays, None where nothing does.
            early: Whether to stop when all is made that the backward pass asks for, as torch's
                checkpoints do (`set_checkpoint_early_stop`).
        """
        touching = [number for number, one in enumerate(self._operations) if one.touches]
        stop = touching[-1] if early and touching else len(self._operations)
        last = {
            each.whole: number
            for number, one in enumerate(self._operations)
            for each in (*one.inputs, one.output)
        }
        for number, each in self._named:
            last[each] = max(last.get(each, 0), number)
        last[self._operations[-1].output.whole] = len(self._operations)
        ending: dict[int, list[Value]] = {}
        for each, number in last.items():
            ending.setdefault(number, []).append(each)
        live, most, alive = first.whole.size, 0, {first.whole}
        for number, one in enumerate(self._operations):
            whole = one.output.whole
            if number > stop:
                break
            if whole not in alive:
                alive.add(whole)
                live += whole.size
            most = max(most, live + one.working)
            if kept is not None:
                live += one.holds
                most = max(most, live)
            for each in ending.get(number, ()):
                if kept is None or each not in kept:
                    live -= each.size
        return most

    def _backward(self, waiting: Value | None) -> tuple[int, int]:
        """Return the most that lives, and the gradients there as something saved is first needed.

        Args:
            waiting: An input that is there whoever saved it.
        """
        saved = self._saved()
        live = sum(each.size for each in saved) + sum(each.holds for each in self._operations)
        if waiting is not None:
            live += 0 if waiting in saved else waiting.size
            saved[waiting] += 1
        grown = _Gradients()
        grown.arrive(self._operations[-1].output)
        arriving = None
        most = live + grown.size
        for one in reversed(self._operations):
            if not one.output.wants or not one.output.count:
                continue
            if arriving is None and one.touches:
                arriving = grown.size
            wanting = [each for each in one.inputs if each.wants]
            made = [grown.make(one.output, each, shares=one.shares) for each in wanting]
            most = max(most, live + grown.size + one.unwinding)
            live += one.gradient - one.holds
            for each in one.saves:
                saved[each.whole] -= 1
                live -= 0 if saved[each.whole] else each.whole.size
            grown.forget(one.output)
            most = max(most, live + grown.size + one.settling)
            for each, number in zip(wanting, made, strict=True):
                grown.narrow(each, number)
                most = max(most, live + grown.most)
        return most, arriving or 0


class _Gradients:
    """The gradients under way. Several tensors may have one and the same."""

    def __init__(self) -> None:
        self.size = 0
        self.most = 0
        self._of: dict[Value, int] = {}
        self._sizes: list[int] = []
        self._owners: list[int] = []

    def arrive(self, value: Value) -> None:
        self._of[value] = self._new(value.size)

    def make(self, output: Value, value: Value, *, shares: bool) -> int:
        """Return the number of the gradient that the operation behind `output` makes."""
        known = self._of[output]
        if shares:
            self._owners[known] += 1
            return known
        wide = value.count * max(value.width, output.width if value.count == output.count else 0)
        return self._new(wide)

    def narrow(self, value: Value, number: int) -> None:
        """Give it the type of its tensor, and add it to the one that is there."""
        self.most = self.size
        if self._sizes[number] != value.size:
            narrowed = self._new(value.size)
            self.most = self.size
            self._drop(number)
            number = narrowed
        other = self._of.get(value)
        if other is not None:
            both = self._new(value.size)
            self.most = max(self.most, self.size)
            self._drop(number)
            self._drop(other)
            number = both
        self._of[value] = number

    def forget(self, value: Value) -> None:
        self._drop(self._of.pop(value))

    def _new(self, size: int) -> int:
        self.size += size
        self._sizes.append(size)
        self._owners.append(1)
        return len(self._sizes) - 1

    def _drop(self, number: int) -> None:
        self._owners[number] -= 1
        if not self._owners[number]:
            self.size -= self._sizes[number]
