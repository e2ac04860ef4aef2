"""What a device takes for each part of a training step: measured, or guessed from what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from itertools import combinations

# All threads are taken only where they take less than this share of one thread's time. In a run,
# whose shapes change, they wait for each other more than when they are timed, and whatever else is
# at work delays them all: on two cores a starter's run took as long with two threads, timed at
# 0.82, as with one, and 40 % longer beside another program.
THREADS_PAY = 0.75

# One core of a server processor, measured: seconds for each part of `Effort`.
_CORE_CALL, _CORE_WEIGHT, _CORE_BYTE, _CORE_PAIR = 5.4e-3, 5e-10, 6e-10, 6e-9
_CORE_TENSOR, _CORE_PARAMETER = 1.8e-4, 2e-8
# A GPU, from its makers' figures: some 250 kernels a layer at 5 microseconds; unpacking moves 7.5
# bytes a weight and each kept byte is moved about three times, at 0.9 TB/s.
_GPU_CALL, _GPU_WEIGHT, _GPU_BYTE, _GPU_PAIR = 1.25e-3, 8e-12, 3e-12, 4e-12
_GPU_TENSOR, _GPU_PARAMETER = 2e-5, 2e-11


@dataclass(frozen=True)
class Effort:
    """Amounts of each part of a step, or the seconds that one of each takes.

    Attributes:
        calls: Layers that are started.
        weights: Weights that are unpacked.
        flops: Arithmetic operations of matrix products.
        bytes: Bytes kept for the backward pass, the measure of elementwise work.
        pairs: Pairs of tokens that attention compares, for each head.
    """

    calls: float
    weights: float
    flops: float
    bytes: float
    pairs: float


@dataclass(frozen=True)
class Rates:
    """Seconds that a device takes.

    Attributes:
        each: Seconds for one of each part.
        tensor: Seconds of an optimizer step for each trained tensor, `parameter` for each
            parameter.
        moment: When it was measured on the machine, in Unix seconds; 0: it is guessed.
        threads: Processor threads that it holds for; 0: it makes no difference.
        single: The same on one thread; None: it makes no difference.
    """

    each: Effort
    tensor: float
    parameter: float
    moment: int = 0
    threads: int = 0
    single: Rates | None = None

    def slower(self, factor: float) -> Rates:
        """Return the rates of a device on which everything takes `factor` times as long."""
        scaled = Effort(*(factor * value for value in astuple(self.each)))
        return replace(
            self, each=scaled, tensor=factor * self.tensor, parameter=factor * self.parameter
        )

    def with_threads(self, threads: int) -> Rates:
        """Return the rates with another number of threads, by Amdahl's law for each part."""
        if self.single is None or threads >= self.threads:
            return self
        # alone = serial + parallel, all = serial + parallel / most
        most, each = self.threads, []
        for alone, shared in zip(astuple(self.single.each), astuple(self.each), strict=True):
            parallel = max(0.0, (alone - shared) / (1 - 1 / most))
            each.append(alone - parallel + parallel / threads)
        return replace(self, each=Effort(*each), threads=threads, single=None)


@dataclass(frozen=True)
class Timed:
    """What was measured once: amounts, and the seconds that they took."""

    asked: Effort
    seconds: float


def guess_for_processor(flops: float, cores: int) -> Rates:
    """Return rates for a processor that nobody has measured.

    Args:
        flops: Operations a second of wide matrix products on all cores.
    """
    each = Effort(
        calls=_CORE_CALL,
        weights=_CORE_WEIGHT / cores,
        flops=1 / flops,
        bytes=_CORE_BYTE / cores,
        pairs=_CORE_PAIR / cores,
    )
    return Rates(each, _CORE_TENSOR, _CORE_PARAMETER)


def guess_for_gpu(flops: float) -> Rates:
    """Return rates for a GPU that nobody has measured.

    Args:
        flops: Operations a second that training reaches.
    """
    each = Effort(_GPU_CALL, _GPU_WEIGHT, 1 / flops, _GPU_BYTE, _GPU_PAIR)
    return Rates(each, _GPU_TENSOR, _GPU_PARAMETER)


def fit(timed: Sequence[Timed]) -> Effort | None:
    """Return the seconds of each part that meet the measurements best; None: they make no sense.

    Least squares of the relative errors over rates that are not negative. There are five, so every
    choice of those that are zero is tried (Lawson & Hanson, Solving Least Squares Problems, 1974,
    chapter 23, name the conditions; trying all needs none).
    """
    rows = [[amount / each.seconds for amount in astuple(each.asked)] for each in timed]
    parts = len(fields(Effort))
    best: tuple[float, list[float]] | None = None
    for size in range(1, parts + 1):
        for chosen in combinations(range(parts), size):
            solved = _solve([[row[part] for part in chosen] for row in rows])
            if solved is None or min(solved) < 0:
                continue
            whole = [0.0] * parts
            for part, value in zip(chosen, solved, strict=True):
                whole[part] = value
            error = sum(
                (sum(a * b for a, b in zip(row, whole, strict=True)) - 1) ** 2 for row in rows
            )
            if best is None or error < best[0]:
                best = error, whole
    return None if best is None else Effort(*best[1])


def fit_update(timed: Sequence[tuple[int, int, float]]) -> tuple[float, float]:
    """Return the seconds a tensor and a parameter, from (tensors, parameters, seconds)."""
    rows = [[tensors / seconds, parameters / seconds] for tensors, parameters, seconds in timed]
    solved = _solve(rows)
    if solved is not None and min(solved) >= 0:
        return solved[0], solved[1]
    return sum(seconds / tensors for tensors, _, seconds in timed) / len(timed), 0.0


def _solve(rows: Sequence[Sequence[float]]) -> list[float] | None:
    """Return x for which rows @ x comes closest to ones; None where that is not determined."""
    count = len(rows[0]) if rows else 0
    if len(rows) < count or not count:
        return None
    # Columns differ by twelve powers of ten: each is scaled to length 1.
    lengths = [sum(row[part] ** 2 for row in rows) ** 0.5 for part in range(count)]
    if min(lengths) <= 0:
        return None
    scaled = [[value / length for value, length in zip(row, lengths, strict=True)] for row in rows]
    matrix = [
        [sum(row[a] * row[b] for row in scaled) for b in range(count)]
        + [sum(row[a] for row in scaled)]
        for a in range(count)
    ]
    for place in range(count):
        pivot = max(range(place, count), key=lambda row: abs(matrix[row][place]))
        if abs(matrix[pivot][place]) < 1e-9:
            return None
        matrix[place], matrix[pivot] = matrix[pivot], matrix[place]
        for row in range(count):
            if row != place:
                factor = matrix[row][place] / matrix[place][place]
                matrix[row] = [
                    a - factor * b for a, b in zip(matrix[row], matrix[place], strict=True)
                ]
    return [matrix[n][count] / matrix[n][n] / lengths[n] for n in range(count)]
