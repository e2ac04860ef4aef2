"""The one typed declaration of what a run may be told.

`Recipe` declares every key once: its type, default, range and help. The recipe file, the `--set`
flags, the wizard's fields, the validation and the help are all derived from it. The module is long
because the declaration is: cut in two, a key and its meaning would stand apart.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.errors import UsageError
from workbench.wording import size

Kind = Literal["choice", "integer", "number", "switch", "size", "names"]

_LARGEST_FILE = 1 << 20
_UNITS = {"B": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?(?:([KMGT])i?)?B?", re.IGNORECASE)
# Nothing can be planned with less: whoever asks for it left the unit out.
LEAST_MEMORY = 64 << 20
_NAME = re.compile(r"[A-Za-z0-9_.]{1,64}")
_SPOKEN = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

# What the same thing is called in other tools' configuration files.
_ELSEWHERE = {
    "batch_size": "micro_batch",
    "gradient_accumulation_steps": "accumulate",
    "gradient_checkpointing": "recompute",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "lora_r": "rank",
    "lr": "learning_rate",
    "lr_scheduler_type": "schedule",
    "max_grad_norm": "clip",
    "max_length": "context",
    "max_seq_length": "context",
    "num_epochs": "epochs",
    "num_train_epochs": "epochs",
    "optim": "optimizer",
    "per_device_train_batch_size": "micro_batch",
    "r": "rank",
    "sequence_len": "context",
    "target_modules": "targets",
    "warmup_ratio": "warmup",
}


@dataclass(frozen=True)
class Field:
    """How one key is told: enough to draw an entry field, check a value and explain it.

    Attributes:
        kind: `choice` is one of `words`; `integer`, `number` and `size` (bytes) lie
            `within`, ends included, or are one of `words`; `switch` is true or false; `names` is
            one of `words` or a list of module names.
        words: What may stand instead of a number or a list, for instance `auto`.
        unit: What a number counts; empty for a plain one.
        help: One sentence.
    """

    key: str
    kind: Kind
    default: Any
    help: str
    words: tuple[str | bool, ...] = ()
    within: tuple[float, float] = (0, 0)
    unit: str = ""

    @property
    def accepts(self) -> str:
        """The accepted values in words: `auto, or a whole number of tokens from 16 to 1048576`."""
        either = " or ".join(_shown(word) for word in self.words)
        if self.kind in ("choice", "switch"):
            return either or "true or false"
        counted = f" of {self.unit}" if self.unit else ""
        least, most = self.within
        rest = {
            "integer": f"a whole number{counted} from {least:.0f} to {most:.0f}",
            "number": f"a number{counted} from {least:g} to {most:g}",
            "size": "a size such as 24GiB, at least 64MiB, or 0 for all there is",
            "names": "a list of module names such as q_proj, v_proj",
        }[self.kind]
        return f"{either}, or {rest}" if either else rest


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong with a recipe, and the key it concerns (empty: the whole file)."""

    key: str
    problem: str

    def __str__(self) -> str:
        return f"{_shown(self.key)}: {self.problem}" if self.key else self.problem


class RecipeError(UsageError):
    """A recipe cannot be used; `mistakes` holds every reason at once."""

    default_code = "bad_recipe"

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        count = len(self.mistakes)
        opening = "The recipe has a mistake." if count == 1 else f"The recipe has {count} mistakes."
        super().__init__(
            "\n  ".join([opening, *(str(mistake) for mistake in self.mistakes)]),
            hint="`workbench help recipe` lists every key with its range.",
        )


def _told(kind: Kind, default: Any, help: str, **limits: Any) -> Any:
    """Declare one key of `Recipe`; its name is filled in when `FIELDS` is made."""
    return dataclasses.field(
        default=default, metadata={"told": Field("", kind, default, help, **limits)}
    )


@dataclass(frozen=True)
class Recipe:
    """Everything a run may be told. `auto` is settled by the plan before the run starts."""

    method: str = _told(
        "choice",
        "auto",
        "How to train: small adapters on a 4-bit base (qlora), on a 16-bit base (lora), or all "
        "weights (full).",
        words=("auto", "qlora", "lora", "full"),
    )
    rank: int = _told(
        "integer",
        16,
        "Width of the adapters: more can learn more and needs more memory.",
        within=(1, 1024),
    )
    alpha: int = _told(
        "integer",
        16,
        "Strength of the adapters: their output is scaled by alpha / rank.",
        within=(1, 4096),
    )
    dropout: float = _told(
        "number",
        0.0,
        "Share of adapter inputs dropped at random in training; 0 is fastest and needs least "
        "memory.",
        within=(0, 0.9),
    )
    targets: str | tuple[str, ...] = _told(
        "names", "all-linear", "Which modules get an adapter.", words=("all-linear",)
    )
    rslora: bool = _told("switch", False, "Scale adapters by alpha / sqrt(rank) instead.")
    dora: bool = _told("switch", False, "Learn direction and size of each weight apart (DoRA).")
    context: int | str = _told(
        "integer",
        "auto",
        "Longest record that training takes.",
        words=("auto",),
        within=(16, 1 << 20),
        unit="tokens",
    )
    packing: bool = _told(
        "switch", True, "Put several short records into one row, each seeing only itself."
    )
    micro_batch: int | str = _told(
        "integer",
        "auto",
        "Rows that pass through the model together.",
        words=("auto",),
        within=(1, 4096),
        unit="rows",
    )
    accumulate: int | str = _told(
        "integer",
        "auto",
        "Micro-batches summed for one optimizer step.",
        words=("auto",),
        within=(1, 65_536),
        unit="micro-batches",
    )
    epochs: float = _told(
        "number",
        3.0,
        "How often training goes through the records; parts of an epoch are fine.",
        within=(0.01, 1000),
    )
    max_steps: int = _told(
        "integer",
        0,
        "Stop after this many optimizer steps; 0: when the epochs are done.",
        within=(0, 10_000_000),
        unit="steps",
    )
    learning_rate: float = _told(
        "number", 2e-4, "Highest step width of the optimizer.", within=(1e-8, 1)
    )
    schedule: str = _told(
        "choice",
        "cosine",
        "How the learning rate falls after the warm-up.",
        words=("cosine", "linear", "constant"),
    )
    warmup: float = _told(
        "number",
        0.03,
        "Share of the steps in which the learning rate rises from zero.",
        within=(0, 0.5),
    )
    weight_decay: float = _told(
        "number", 0.0, "Pull of the trained weights towards zero.", within=(0, 1)
    )
    clip: float = _told(
        "number", 1.0, "Longest gradient; longer ones are shortened. 0: off.", within=(0, 1e6)
    )
    optimizer: str = _told(
        "choice",
        "paged_adamw_8bit",
        "AdamW with 8-bit moments (paged: they may move to main memory), or with 32-bit ones.",
        words=("paged_adamw_8bit", "adamw_8bit", "adamw"),
    )
    seed: int = _told(
        "integer",
        0,
        "Start of every random number; the same seed gives the same run.",
        within=(0, (1 << 32) - 1),
    )
    evaluate_every: int | str = _told(
        "integer",
        "auto",
        "Steps between evaluations; auto: ten a run; 0: only at the end.",
        words=("auto",),
        within=(0, 10_000_000),
        unit="steps",
    )
    checkpoint_every: int | str = _told(
        "integer",
        "auto",
        "Steps between checkpoints; auto: ten a run; 0: only at the end.",
        words=("auto",),
        within=(0, 10_000_000),
        unit="steps",
    )
    early_stop: int = _told(
        "integer",
        0,
        "Stop after this many evaluations in a row without a better loss; 0: never.",
        within=(0, 1000),
        unit="evaluations",
    )
    recompute: int | str = _told(
        "integer",
        "auto",
        "Layers whose inner values are computed again for the backward pass instead of kept: less "
        "memory, more time.",
        words=("auto", "all", "none"),
        within=(0, 1024),
        unit="layers",
    )
    offload: bool | str = _told(
        "switch",
        "auto",
        "Let what recomputed layers keep, their inputs, wait in main memory instead of on the GPU.",
        words=("auto", True, False),
    )
    memory_limit: int = _told(
        "size", 0, "Most memory that the run may plan with.", within=(0, 1 << 50), unit="bytes"
    )
    threads: int | str = _told(
        "integer",
        "auto",
        "Processor threads for arithmetic.",
        words=("auto",),
        within=(1, 1024),
        unit="threads",
    )
    loss_on: str = _told(
        "choice",
        "assistant",
        "Learn from the assistant's words only, or from all of a record.",
        words=("assistant", "all"),
    )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` undoes it."""
        plain = dataclasses.asdict(self)
        if not isinstance(self.targets, str):
            plain["targets"] = list(self.targets)
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Recipe:
        """Rebuild a recipe; a key that is missing takes its default.

        Raises:
            RecipeError: As `parse` does.
        """
        return parse(plain)

    def interval(self, setting: Literal["evaluate_every", "checkpoint_every"], steps: int) -> int:
        """Return the steps between two evaluations or checkpoints in a run of `steps` steps."""
        told = getattr(self, setting)
        if told == "auto":
            return max(1, math.ceil(steps / 10))
        return int(told) or max(1, steps)


FIELDS: Mapping[str, Field] = {
    each.name: dataclasses.replace(each.metadata["told"], key=each.name)
    for each in dataclasses.fields(Recipe)
}


def load(path: Path | None, sets: Sequence[str] = ()) -> Recipe:
    """Read a recipe file (or none) and the `--set` flags over it.

    Raises:
        RecipeError: The file cannot be read, or as `parse` does.
    """
    if path is None:
        return parse({}, sets)
    try:
        with path.open("rb") as source:
            data = source.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise RecipeError([Mistake("", f"{path} is larger than 1 MiB.")])
        return parse(data.decode("utf-8"), sets)
    except OSError as error:
        raise RecipeError([Mistake("", f"{path} cannot be read ({error.strerror}).")]) from error
    except UnicodeDecodeError as error:
        raise RecipeError([Mistake("", f"{path} is not UTF-8 text.")]) from error


def parse(told: str | Mapping[str, Any], sets: Sequence[str] = ()) -> Recipe:
    """Check TOML text or a mapping, with `key=value` settings over it, and return the recipe.

    Raises:
        RecipeError: With every mistake at once.
    """
    mistakes: list[Mistake] = []
    values: dict[str, Any] = {}
    for key, value in _document(told, mistakes).items():
        _take(key, value, values, mistakes)
    for setting in sets:
        key, equals, text = setting.partition("=")
        if not equals:
            mistakes.append(Mistake(key.strip(), "give it as key=value."))
            continue
        # A setting replaces what the file says, so a mistake there no longer matters.
        key = key.strip()
        mistakes = [mistake for mistake in mistakes if mistake.key != key]
        field = FIELDS.get(key)
        _take(key, _spoken(field, text.strip()) if field else text, values, mistakes)
    if not mistakes:
        recipe = Recipe(**values)
        mistakes = _contradictions(recipe)
        if not mistakes:
            return recipe
    raise RecipeError(mistakes)


def parse_size(text: str) -> int:
    """Return the bytes of `24GiB`, `24G`, `512 MiB`, `1.5TB`; a plain number counts bytes.

    K, M, G and T are powers of 1024 with or without the i: memory is sold in those.

    Raises:
        UsageError: `text` is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{_shown(text)} is no size.", hint="Give it as 24GiB or 800MiB.", code="bad_size"
        )
    return int(float(match[1]) * 1024 ** _UNITS[(match[2] or "B").upper()])


def parse_memory(text: str) -> int:
    """Return the bytes of an amount of memory to plan with, as `parse_size` reads it.

    Raises:
        UsageError: `text` is no size, or so little that its unit must be missing.
    """
    amount = parse_size(text)
    if amount < LEAST_MEMORY:
        raise UsageError(
            f"{_shown(text)} means {size(amount)}: too little to plan with.",
            hint=_meant(text),
            code="bad_size",
        )
    return amount


def _meant(text: str | int) -> str:
    """Return the question that fits a size whose unit was left out or is too small."""
    number = str(text).strip()
    if not number.isdecimal() or int(number) == 0:
        return "Give it as 24GiB or 800MiB."
    unit = "GiB" if int(number) < 1024 else "MiB" if int(number) < 1 << 20 else "KiB"
    return f"Did you mean {number}{unit}?"


def _document(told: str | Mapping[str, Any], mistakes: list[Mistake]) -> Mapping[str, Any]:
    if not isinstance(told, str):
        return told
    try:
        return tomllib.loads(told)
    # ValueError: also numbers of thousands of digits; RecursionError: deeply nested lists.
    except (ValueError, RecursionError) as error:
        mistakes.append(Mistake("", f"The file is not TOML: {error}."))
        return {}


def _take(key: str, value: Any, values: dict[str, Any], mistakes: list[Mistake]) -> None:
    field = FIELDS.get(key)
    if field is None:
        mistakes.append(Mistake(key, _unknown(key)))
        return
    try:
        values[key] = _checked(field, value)
    except ValueError:
        mistakes.append(Mistake(key, f"give {field.accepts}, not {_shown(value)}."))
        return
    if field.kind == "size" and 0 < values[key] < LEAST_MEMORY:
        amount = size(values[key])
        problem = f"{_shown(value)} means {amount}, too little to plan with. {_meant(value)}"
        mistakes.append(Mistake(key, problem))


def _unknown(key: str) -> str:
    plain = key.replace("-", "_").lower()
    meant = _ELSEWHERE.get(plain)
    if meant is None:
        meant = next(iter(difflib.get_close_matches(plain, FIELDS, n=1, cutoff=0.6)), None)
    return f"there is no such key; did you mean {meant}?" if meant else "there is no such key."


def _checked(field: Field, value: Any) -> Any:
    """Return `value` as the recipe holds it; raises ValueError when it is not accepted."""
    words = field.words or ((False, True) if field.kind == "switch" else ())
    # Identity for the truth values, because 0 == False and 1 == True.
    if any(value is word or (isinstance(word, str) and value == word) for word in words):
        return value
    if field.kind == "names":
        return _names(value)
    if field.kind == "size" and isinstance(value, str):
        try:
            value = parse_size(value)
        except UsageError as error:
            raise ValueError from error
    whole = field.kind in ("integer", "size")
    if field.kind in ("choice", "switch") or type(value) not in ((int,) if whole else (int, float)):
        raise ValueError
    least, most = field.within
    if not least <= value <= most:  # also refuses nan
        raise ValueError
    return value if whole else float(value)


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or len(set(map(str, value))) != len(value):
        raise ValueError
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in value):
        raise ValueError
    return tuple(value)


def _spoken(field: Field, text: str) -> Any:
    """Return what the text of a `--set` flag stands for; text that fits nothing stays text."""
    if field.kind == "switch":
        return _SPOKEN.get(text.lower(), text)
    if text in field.words:
        return text
    if field.kind == "names":
        return [name.strip().strip("\"'") for name in text.strip("[]").split(",") if name.strip()]
    for read in (int, float):
        try:
            if field.kind in ("integer", "number"):
                return read(text)
        except ValueError:
            continue
    return text


def _contradictions(recipe: Recipe) -> list[Mistake]:
    found = []
    if recipe.method == "full":
        for key in ("dora", "rslora"):
            if getattr(recipe, key):
                found.append(Mistake(key, "it concerns adapters; method full trains none."))
        if recipe.targets != "all-linear":
            found.append(Mistake("targets", "they concern adapters; method full trains none."))
    if recipe.offload is True and recipe.recompute in ("none", 0):
        found.append(
            Mistake("offload", "it concerns what recomputed layers keep; recompute says none.")
        )
    if recipe.early_stop and recipe.evaluate_every == 0:
        found.append(Mistake("early_stop", "it needs evaluations; evaluate_every is 0."))
    return found


def _shown(value: Any) -> str:
    """Return a value as a person would write it, cut to one short line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else repr(value)
    return (text if len(text) <= 40 else text[:39] + "…") or "(nothing)"
