"""Doctor: this machine's hardware, libraries and protection, and whether the vault is sound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from workbench.airgap.lockdown import Layer, Protection
from workbench.tui.protection import tell_layers
from workbench.tui.screens.checking import CheckingScreen
from workbench.tui.widgets.plain import Plain, Tone
from workbench.tui.widgets.progress import ProgressLine
from workbench.tui.work import Progress, WorkDone, WorkFailed
from workbench.wording import count, size, speeds

if TYPE_CHECKING:
    from workbench.vault.scrub import VerifyReport

_LISTED = 20
_SWAPS = {
    "encrypted": "● encrypted",
    "memory": "● compressed memory, never on the disk",
    "plain": "▲ not encrypted",
    "unknown": "▲ may not be encrypted",
}


class DoctorScreen(CheckingScreen):
    """Looks at the machine when it opens, and whenever it is asked to."""

    PLACE = "doctor"
    TOUR = "scroll with the arrow keys, or press Escape to go back."
    PROGRESS = "files checked"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "look", "Look again", id="doctor.look",
                tooltip="Look at the machine again, after you changed something"),
        Binding("v", "verify", "Check the vault", id="doctor.verify",
                tooltip="Read everything in the vault and check every seal"),
        Binding("m", "measure", "Speed", id="doctor.measure",
                tooltip="Measure how fast this machine trains: ten seconds, once"),
        Binding("c", "stop", "Stop checking", id="doctor.stop", show=False,
                tooltip="Stop the check of the vault"),
    ]  # fmt: skip

    def __init__(self, *, check_vault: bool = False) -> None:
        """Open; with `check_vault` the check of the vault begins at once."""
        super().__init__()
        self._check_vault = check_vault
        self._measuring = False

    def compose_body(self) -> ComposeResult:
        with VerticalScroll(id="doctor"):
            yield Plain("Looking at this machine…", id="warnings")
            yield Plain("", id="vault-state")
            yield ProgressLine(id="vault-progress")
            yield Plain("", id="speed")
            yield Plain("", id="facts")

    def on_mount(self) -> None:
        """Look."""
        self.query_one("#doctor").focus()
        self.action_look()
        if self._check_vault:
            self.action_verify()
        else:
            self._say("Vault: not checked. v reads it all and checks every seal.")

    def action_look(self) -> None:
        """Look at the machine; about a second."""
        self.query_one("#warnings", Plain).show("Looking at this machine…")
        self.begin("look", self._examine)

    def _examine(self, _: Progress) -> dict[str, Any]:
        from workbench.planning.doctor import examine

        return examine(self.session.home)

    def action_measure(self) -> None:
        """Measure how fast this machine trains."""
        if not self._measuring:
            self._measuring = True
            self._tell_speed("Speed: measuring, about ten seconds…")
            self.begin("measure", self._measure)

    def _measure(self, _: Progress) -> dict[str, Any] | None:
        from workbench.adapters.measuring import measure_machine
        from workbench.planning.doctor import speed_of

        return speed_of(measure_machine(self.session.vault))

    def _tell_speed(self, text: str) -> None:
        self.query_one("#speed", Plain).show(text)

    def action_verify(self) -> None:
        """Check the whole vault."""
        if not self.is_at_work:
            self._say("Vault: reading everything and checking every seal (c stops).")
            self.check("verify", self._verify)

    def _verify(self, tell: Progress) -> VerifyReport:
        return self.session.vault.verify(tell)

    def action_stop(self) -> None:
        """Stop the check of the vault."""
        super().action_stop()
        self._say("Vault: the check was stopped.")

    @on(WorkDone)
    def _show(self, event: WorkDone) -> None:
        if event.work == "verify":
            self.end_work()
            self._say(*_verdict(event.result))
            return
        if event.work == "measure":
            self._measuring = False
            self._tell_speed(f"{speeds(event.result)}.")
            return
        document: dict[str, Any] = event.result
        warnings = [f"▲ {text}" for text in document["warnings"]]
        told = self.query_one("#warnings", Plain)
        told.show("\n".join(warnings) or "● Nothing needs your attention.")
        told.set_class(bool(warnings), "poor")
        told.set_class(not warnings, "good")
        if not self._measuring:
            more = "" if document["speed"] else ", m measures"
            self._tell_speed(f"{speeds(document['speed'])}{more}.")
        self.query_one("#facts", Plain).show("\n".join(tell_machine(document)))

    def take_failure(self, event: WorkFailed) -> bool:
        """Leave the screen usable."""
        if event.work == "verify":
            self._say("Vault: the check could not be finished.", "bad")
        elif event.work == "measure":
            self._measuring = False
            self._tell_speed("Speed: it could not be measured now.")
        else:
            self.query_one("#warnings", Plain).show("This machine could not be looked at.")
        return super().take_failure(event)

    def _say(self, text: str, tone: Tone = "") -> None:
        self.query_one("#vault-state", Plain).say(text, tone)


def _verdict(report: VerifyReport) -> tuple[str, Tone]:
    read = f"{count(report.objects, 'file')}, {size(report.bytes)}"
    left = f" {count(len(report.leftovers), 'shredded file')} may be removed."
    after = left if report.leftovers else ""
    if report.ok:
        return f"Vault: ● whole: {read}, every seal verifies.{after}", "good"
    named = report.bad[:_LISTED]
    more = f"\n  and {len(report.bad) - _LISTED} more" if len(report.bad) > _LISTED else ""
    return (
        f"Vault: ▲ {len(report.bad)} of {read} are damaged or missing. Restore them from a "
        "backup of the home:\n  " + "\n  ".join(named) + more + after,
        "bad",
    )


def tell_machine(document: dict[str, Any]) -> Iterator[str]:
    """Yield what was found, line by line."""
    cpu, limits = document["cpu"], document["limits"]
    yield "Hardware"
    yield f"  Processor   {cpu['name']}, {count(cpu['cores'], 'core')}{_bf16(cpu)}"
    limited = " (limited for this process)" if limits["memory_bytes"] is not None else ""
    yield (
        f"  Memory      {size(document['ram_bytes'])}{limited}, "
        f"{size(document['available_bytes'])} free"
    )
    for card in document["accelerators"]:
        yield f"  GPU         {card['name']}, {size(card['memory_bytes'])}{_bf16(card)}"
        more = list(_about_card(card))
        if more:
            yield f"              {', '.join(more)}"
    if not document["accelerators"]:
        yield "  GPU         none: training runs on the processor"
    yield f"  Disk        {size(document['disk']['free_bytes'])} free at {document['disk']['home']}"
    if not document["swap"]:
        yield "  Swap        none: memory is never written to the disk"
    for swap in document["swap"]:
        yield f"  Swap        {swap['name']}, {size(swap['bytes'])}: {_SWAPS[swap['state']]}"
    yield ""
    yield "Protection of a job, tried just now in a process of its own"
    layers = {name: Layer(**layer) for name, layer in document["protection"].items()}
    for told in tell_layers(Protection(layers)):
        detail = f": {told.detail}" if told.detail else ""
        yield f"  {told.glyph} {told.title:<20}{told.state}{detail}"
        if told.state != "active":
            yield f"    {told.means}"
    yield ""
    yield f"Libraries (Python {document['python']})"
    names = [f"{name} {version}" for name, version in document["libraries"].items()]
    for place in range(0, len(names), 3):
        yield "  " + "".join(f"{name:<25}" for name in names[place : place + 3]).rstrip()


def _about_card(card: dict[str, Any]) -> Iterator[str]:
    if card.get("clock_mhz"):
        yield f"up to {card['clock_mhz']:,} MHz"
    if card.get("power_watts"):
        yield f"{card['power_watts']:.0f} W"
    if card.get("ecc") is not None:
        yield "corrects memory errors" if card["ecc"] else "memory errors are not corrected"
    if card.get("driver"):
        yield f"driver {card['driver']}"


def _bf16(device: dict[str, Any]) -> str:
    return ", bf16" if device.get("bf16") else ", no bf16"
