"""The command palette: every place, and every key of the screen on top, found by its words."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from textual import work
from textual.binding import BindingType
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.css.query import NoMatches

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
    """Textual's, which closes itself alone and looks for nothing once it is closed."""

    BINDINGS: ClassVar[list[BindingType]] = [HELP_KEY]

    @work(exclusive=True, group=CommandPalette._GATHER_COMMANDS_GROUP)
    async def _gather_commands(self, search_value: str) -> None:
        # Keys typed ahead start a search in a palette that Escape has closed; Textual's would end
        # the app, because its list is gone.
        with contextlib.suppress(NoMatches):
            gather: Any = CommandPalette._gather_commands
            await gather.__wrapped__(self, search_value)


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
