"""The air gap in words: what each layer does, and what it means that one is missing."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.airgap.lockdown import Layer, Protection

GLYPHS = {"active": "●", "refused": "✗", "unavailable": "○"}


@dataclass(frozen=True)
class LayerWords:
    """A layer's name for people, what it does, and what its absence means."""

    title: str
    does: str
    absent: str


WORDS = {
    "network_namespace": LayerWords(
        "Network of its own",
        "The process sees a network with no card and no address in it.",
        "The machine's network cards are visible; the call filter alone keeps it from using them.",
    ),
    "no_core_dumps": LayerWords(
        "No memory dumps",
        "A crash leaves no copy of memory on the disk, and other programs of yours cannot read it.",
        "A crash could write memory, and records in it, to the disk.",
    ),
    "no_new_privs": LayerWords(
        "No new privileges",
        "No program that it starts can gain more rights than it has.",
        "The call filter cannot be had without it.",
    ),
    "landlock": LayerWords(
        "File limits",
        "Only the named folders can be read or written.",
        "The process can read whatever files you can. Screens leave it out, because you may open "
        "any file of yours here; every training job asks for it.",
    ),
    "seccomp": LayerWords(
        "Call filter",
        "The kernel refuses to open any network connection, whatever the program tries.",
        "A network of its own must hold instead; without both, training refuses to start.",
    ),
    "self_test": LayerWords(
        "Self-test",
        "The process tried to reach a listener on this machine after the lock-down, and failed.",
        "Nobody proved that the ways out are shut.",
    ),
    "audit_hook": LayerWords(
        "Watch in Python",
        "A network call from Python code stops with an error that says so.",
        "Only the kernel's layers refuse; that is enough.",
    ),
}

_DETAILS = {
    "": "",
    "not-asked-for": "not asked for here",
    "left-out": "left out on purpose",
    "inherited": "inherited from the program that started this one",
    "user-namespace": "by a namespace of your own",
    "privileged": "by a privileged call",
    "EPERM": "forbidden by kernel or container (EPERM)",
    "EACCES": "forbidden by kernel or container (EACCES)",
    "ENOSYS": "this kernel does not have it (ENOSYS)",
    "EOPNOTSUPP": "this kernel has it switched off (EOPNOTSUPP)",
    "EINVAL": "the kernel refused it (EINVAL)",
    "diagnostic": "",
    "timeout": "the trial did not answer in time",
}


@dataclass(frozen=True)
class ToldLayer:
    """A layer as it is told: a glyph and a word for its state, and sentences."""

    title: str
    state: str
    glyph: str
    detail: str
    means: str


def tell_layers(protection: Protection) -> list[ToldLayer]:
    """Return every layer in words, in the order in which they were applied."""
    return [_tell(name, layer) for name, layer in protection.layers.items()]


def _tell(name: str, layer: Layer) -> ToldLayer:
    words = WORDS.get(name, LayerWords(name, "", ""))
    means = words.does if layer.state == "active" else words.absent
    detail = detail_words(layer.detail)
    if name == "self_test" and layer.state == "active" and detail == layer.detail:
        detail = f"every way out answered {detail}" if detail else ""
    return ToldLayer(words.title, layer.state, GLYPHS[layer.state], detail, means)


def detail_words(detail: str) -> str:
    """Return a layer's detail code in words."""
    if detail.startswith("abi-"):
        return f"version {detail[4:]}"
    if detail.startswith("way-out:"):
        return "a way out was found: " + detail[8:].replace(":", ", ")
    if detail.startswith("already-shut:"):
        return f"shut before it started ({detail[13:]})"
    if detail.startswith("exit:"):
        return f"the trial ended at once ({detail})"
    return _DETAILS.get(detail, detail)


def badge(protection: Protection | None) -> str:
    """Return the air gap's state in a glyph and words, as the top line shows it."""
    if protection is None:
        return "○ not locked down"
    return "● air gap holds" if protection.holds else "▲ air gap open"


def verdict(protection: Protection | None) -> str:
    """Return a sentence on what the air gap's state means."""
    if protection is None:
        return "This process was not locked down: it was started in an unusual way. Jobs still are."
    if protection.holds:
        return "This program cannot reach a network; it tried, and failed."
    return (
        "This program could reach a network here. Training refuses to start; Doctor says what is "
        "missing."
    )
