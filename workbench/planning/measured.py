"""What was measured of this machine, kept as a file of numbers in the home.

The file is no secret and needs no passphrase: sizes, seconds, and a hash that says which machine
they were measured on. Another processor, GPU, driver or torch makes them void. Finished runs
correct them: for each model and method, how much longer the steps took than was predicted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workbench.durable import publish_bytes
from workbench.errors import BadInput
from workbench.models.facts import facts_from_config
from workbench.planning.pace import Shape, effort_of
from workbench.planning.probe import Hardware, probe_hardware
from workbench.planning.rates import Rates, Timed, fit, fit_update

FILE_NAME = "machine.json"
_VERSION = 2
_MOST_BYTES = 256 * 1024
_GIB = 1 << 30
# The last few runs say what the machine does today; one alone may have been disturbed.
_KEPT_RUNS = 5
# Beyond this a run was disturbed, or something else was compared.
_LEAST_FACTOR, _MOST_FACTOR = 0.4, 2.5
_SHAPE = ("hidden", "mlp", "layers", "heads", "kv_heads", "vocab", "rank", "tokens", "length")
_COUNTS = (*_SHAPE, "threads")
_TIMES = ("seconds", "processor_seconds", "update_seconds", "update_processor_seconds")
_POINT = {*_COUNTS, *_TIMES, "counted", "tensors", "parameters"}
# Threads wait for each other a little; beyond this, other programs had the processors.
_DISTURBED = 1.6


@dataclass(frozen=True)
class Measurement:
    """The numbers.

    Attributes:
        machine: Which machine they hold for: `fingerprint`.
        moment: When they were measured, in whole Unix seconds.
        figures: Operations and bytes a second by name: `matmul_bf16`, `memory`, `to_device`, …
        threads: Processor threads at most; each point says how many it had.
        points: Small blocks that were trained: their shape, and the seconds that they took.
        learned: Model's object id -> method -> how much longer runs took than the rates say.
    """

    machine: str
    moment: int
    threads: int
    figures: Mapping[str, float]
    points: tuple[Mapping[str, float], ...]
    learned: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)

    def rates(self) -> Rates | None:
        """Return what the device takes for each part of a step; None: nothing sensible."""
        found = self._rates_on(self.threads)
        if found is None or self.threads == 1 or not self._points_on(1):
            return found
        return replace(found, single=self._rates_on(1))

    def _points_on(self, threads: int) -> list[Mapping[str, float]]:
        return [point for point in self.points if point["threads"] == threads]

    def _rates_on(self, threads: int) -> Rates | None:
        points = self._points_on(threads)
        each = fit([_timed(point) for point in points])
        updates = [
            (int(point["tensors"]), int(point["parameters"]), point["update_seconds"])
            for point in points
            if "update_seconds" in point
        ]
        if each is None or not updates:
            return None
        tensor, parameter = fit_update(updates)
        return Rates(each, tensor, parameter, self.moment, threads)

    @property
    def is_disturbed(self) -> bool:
        """Whether other programs had a good part of the processors while this was measured."""
        took = sum(point["seconds"] * point["threads"] for point in self.points)
        worked = sum(point.get("processor_seconds", 0.0) for point in self.points)
        return worked > 0 and took > _DISTURBED * worked

    def factor(self, model: str, method: str) -> float:
        """Return how much longer than the rates say a run on this model takes; 1: not known."""
        seen = self.learned.get(model, {}).get(method, ())
        return statistics.median(seen) if seen else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "version": _VERSION,
            "machine": self.machine,
            "moment": self.moment,
            "threads": self.threads,
            "figures": dict(self.figures),
            "points": [dict(point) for point in self.points],
            "learned": {
                model: {method: list(seen) for method, seen in methods.items()}
                for model, methods in self.learned.items()
            },
        }

    @classmethod
    def from_json(cls, plain: object) -> Measurement:
        """Read what `to_json` gave.

        Raises:
            ValueError: It is something else.
        """
        try:
            if not isinstance(plain, dict) or plain["version"] != _VERSION:
                raise ValueError("no measurement of this version")
            return cls(
                machine=str(plain["machine"]),
                moment=int(plain["moment"]),
                threads=int(plain["threads"]),
                figures={str(k): _number(v) for k, v in plain["figures"].items()},
                points=tuple(_point(each) for each in plain["points"]),
                learned={
                    str(model): {
                        str(method): tuple(_number(each) for each in seen)
                        for method, seen in methods.items()
                    }
                    for model, methods in plain.get("learned", {}).items()
                },
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError("no measurement") from error


def fingerprint(hardware: Hardware) -> str:
    """Return a hash over all that a measurement depends on: processor, memory, GPU, libraries."""
    card = hardware.accelerator
    parts = [
        str(_VERSION),
        hardware.cpu.name,
        str(hardware.cpu.cores),
        str(round(hardware.ram_bytes / _GIB)),
        "" if card is None else f"{card.uuid or card.name} {card.driver}",
        *(_version(name) for name in ("torch", "bitsandbytes", "peft", "transformers")),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def read_measurement(home: Path, hardware: Hardware) -> Measurement | None:
    """Return what was measured of this machine; None: nothing, or of another one."""
    try:
        with (home / FILE_NAME).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        found = Measurement.from_json(json.loads(data)) if len(data) <= _MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    return found if found is not None and found.machine == fingerprint(hardware) else None


def keep_measurement(home: Path, measurement: Measurement) -> None:
    """Write it, in place of what was known before."""
    text = json.dumps(measurement.to_json(), separators=(",", ":"), allow_nan=False)
    publish_bytes(home / FILE_NAME, text.encode("ascii"))


def measurement_of(hardware: Hardware, result: Mapping[str, Any]) -> Measurement:
    """Return what the probe job found as a measurement of this machine, of now.

    Raises:
        BadInput: code `bad_measurement`: the numbers make no sense.
    """
    plain = {
        **{name: result.get(name) for name in ("threads", "figures", "points")},
        "version": _VERSION,
        "machine": fingerprint(hardware),
        "moment": int(time.time()),
    }
    with contextlib.suppress(ValueError):
        found = Measurement.from_json(plain)
        if found.rates() is not None:
            return found
    raise BadInput(
        "What was measured of this machine makes no sense, so it was not kept.",
        hint="Measure again when nothing else is at work: `workbench doctor --measure`.",
        code="bad_measurement",
    )


def with_measurement(hardware: Hardware, home: Path, model: str = "") -> Hardware:
    """Return `hardware` with what was measured of it.

    Args:
        model: Object id of the model that is to be trained: what runs on it taught goes along.
    """
    found = read_measurement(home, hardware)
    rates = None if found is None else found.rates()
    if found is None or rates is None:
        return hardware
    factors = {method: found.factor(model, method) for method in found.learned.get(model, {})}
    return replace(
        hardware,
        rates=rates,
        factors=factors,
        to_device=found.figures.get("to_device", 0.0),
        from_device=found.figures.get("from_device", 0.0),
    )


def learn_from_run(
    home: Path, *, model: str, method: str, moment: int, predicted: float, real: float
) -> None:
    """Note how the seconds of a finished run's steps compare with those that were predicted.

    Args:
        moment: Of the measurement that the prediction stood on; another than today's teaches
            nothing.
        predicted: What the rates alone promised, without corrections.
    """
    found = read_measurement(home, probe_hardware())
    if found is None or found.moment != moment or not (predicted > 0 and real > 0):
        return
    factor = real / predicted
    if not _LEAST_FACTOR <= factor <= _MOST_FACTOR:
        return
    methods = dict(found.learned.get(model, {}))
    methods[method] = (*methods.get(method, ()), round(factor, 4))[-_KEPT_RUNS:]
    keep_measurement(home, replace(found, learned={**found.learned, model: methods}))


def _timed(point: Mapping[str, float]) -> Timed:
    facts = facts_from_config(
        {
            "model_type": "llama",
            "hidden_size": int(point["hidden"]),
            "intermediate_size": int(point["mlp"]),
            "num_hidden_layers": int(point["layers"]),
            "num_attention_heads": int(point["heads"]),
            "num_key_value_heads": int(point["kv_heads"]),
            "vocab_size": int(point["vocab"]),
            "tie_word_embeddings": True,
        }
    )
    shape = Shape("qlora", int(point["rank"]), point["tokens"], point["length"], point["counted"])
    return Timed(effort_of(facts, shape), point["seconds"])


def _point(plain: Mapping[str, Any]) -> dict[str, float]:
    point = {str(name): _number(value) for name, value in plain.items()}
    if not {*_COUNTS, "counted", "seconds"} <= point.keys() <= _POINT:
        raise ValueError("no point")
    try:
        _timed(point)
    except BadInput as error:
        raise ValueError("no point") from error
    return point


def _number(value: object) -> float:
    """Return a positive, finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("no number")
    if not (math.isfinite(value) and 0 < value < 1e18):
        raise ValueError("no positive number")
    return float(value)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
