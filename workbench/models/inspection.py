"""Whether a model's folder can be used and is safe to use, found out without running it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import BadInput
from workbench.models.facts import ModelFacts, facts_from_config
from workbench.models.listing import CONFIG, IgnoredFile, Listing, list_folder
from workbench.models.policy import check_architecture, refuse_code, refuse_kernels
from workbench.models.reading import read_object
from workbench.models.trial import Findings, try_codec
from workbench.models.weights import TensorEntry, check_tensors, read_header

_CONFIGS = (CONFIG, "generation_config.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class Inspection:
    """What an accepted folder holds.

    Attributes:
        listing: The files taken and left, links resolved.
        facts: Shapes and counts; `weight_bytes` is the size of all tensors on disk.
        codec: What trying the tokenizer and the chat template showed.
    """

    listing: Listing
    facts: ModelFacts
    codec: Findings

    @property
    def ignored(self) -> tuple[IgnoredFile, ...]:
        """Files left where they are, unopened, with the reason."""
        return self.listing.ignored

    @property
    def bytes(self) -> int:
        """Size of the files that are taken."""
        return sum(path.stat().st_size for path in self.listing.files.values())


def inspect_folder(folder: Path) -> Inspection:
    """Inspect a model's folder as somebody brought it.

    Raises:
        Refused: Unsafe: only pickles, code of its own, links that lead outside, a tensor's name
            with path parts, a template that reaches out of its sandbox, `kernels` installed.
        BadInput: Unusable: unknown family, missing, broken or ill-fitting parts.
    """
    refuse_kernels()
    listing = list_folder(folder)
    facts = check_files(listing.files, listing.weights, listing.weight_map)
    return Inspection(listing, facts, check_codec(listing.folder, facts))


def check_files(
    files: Mapping[str, Path], weights: tuple[str, ...], weight_map: Mapping[str, str]
) -> ModelFacts:
    """Check configuration and headers against each other and return the facts.

    Args:
        files: Names and the regular files behind them.
        weights: Which of the names are safetensors files.
        weight_map: Tensor name to file, as the index has it; empty without an index.

    Raises:
        Refused, BadInput: As `inspect_folder`.
    """
    for name in _CONFIGS:
        if name in files:
            refuse_code(read_object(files[name]), name)
    config = read_object(files[CONFIG])
    facts = facts_from_config(config)
    check_architecture(config, facts.family)
    tensors = _headers(files, weights, weight_map)
    check_tensors(facts, tensors)
    total = sum(entry.bytes for entry in tensors.values())
    return dataclasses.replace(facts, weight_bytes=total)


def check_codec(folder: Path, facts: ModelFacts) -> Findings:
    """Try tokenizer and chat template in a child process.

    Raises:
        Refused, BadInput: As `inspect_folder`.
    """
    findings = try_codec(folder)
    if findings.vocabulary > facts.vocab:
        raise BadInput(
            f"The tokenizer writes {findings.vocabulary} different tokens, the model knows "
            f"{facts.vocab}.",
            hint="Tokenizer and weights must come from the same model.",
            code="tokenizer_does_not_fit",
        )
    return findings


def _headers(
    files: Mapping[str, Path], weights: tuple[str, ...], weight_map: Mapping[str, str]
) -> dict[str, TensorEntry]:
    tensors: dict[str, TensorEntry] = {}
    places: dict[str, str] = {}
    for name in weights:
        for tensor, entry in read_header(files[name]).items():
            if tensor in tensors:
                raise BadInput(
                    f"{tensor} stands in two weight files, {places[tensor]} and {name}.",
                    code="broken_index",
                )
            tensors[tensor] = entry
            places[tensor] = name
    if weight_map and dict(weight_map) != places:
        raise BadInput(
            "The index of the weights and the weight files do not name the same tensors.",
            hint="Copy the whole model again, so that its files belong together.",
            code="broken_index",
        )
    return tensors
