"""The command palette: every place, and every key of the screen on top, found by its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

from textual.binding import BindingType
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider

from workbench.tui.modals.base import HELP_KEY, ClosesOnce
from workbench.tui.navigation import PLACES

if TYPE_CHECKING:
    from workbench.tui.app import WorkbenchApp


class Command(NamedTuple):
    """One command: `group: verb`, what it does, and how it is run."""

    title: str
    about: str
    run: Callable[[], object]


class Palette(CommandPalette, ClosesOnce[None]):
    """Textual's, which closes itself alone."""

    BINDINGS: ClassVar[list[BindingType]] = [HELP_KEY]


class WorkbenchCommands(Provider):
    """All that can be done from where one is."""

    def commands(self) -> Iterator[Command]:
        """Yield the commands, those of the screen first."""
        app = cast("WorkbenchApp", self.app)
        seen = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if not binding.id or binding.id in seen or not active.enabled:
                continue
            seen.add(binding.id)
            group = "Everywhere" if active.node is app else "Here"
            about = binding.tooltip or binding.description
            yield Command(
                f"{group}: {binding.description} ({app.get_key_display(binding)})",
                about,
                partial(app.run_action, binding.action, active.node),
            )
        if app.can_go:
            for place in PLACES:
                yield Command(f"Go to: {place.title}", place.about, partial(app.go, place.name))

    async def discover(self) -> Hits:
        """List everything while nothing is typed."""
        for command in self.commands():
            yield DiscoveryHit(command.title, command.run, help=command.about)

    async def search(self, query: str) -> Hits:
        """List what fits the query."""
        matcher = self.matcher(query)
        for command in self.commands():
            score = matcher.match(f"{command.title} {command.about}")
            if score > 0:
                yield Hit(score, matcher.highlight(command.title), command.run, help=command.about)
