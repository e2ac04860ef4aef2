"""What the Fit step opens on top of itself; each is imported when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError
from workbench.tui.screens.wizard import fit_words, outlook
from workbench.tui.screens.wizard.outlook import Ground, Outlook

if TYPE_CHECKING:
    from textual.app import App

    from workbench.recipe import Recipe


def tell_why(app: App[Any], known: Outlook) -> None:
    """Show everything that the planner said, and what the other ways would cost and gain."""
    from workbench.planning import explaining
    from workbench.tui.modals.questions import MessageModal

    lengths = known.ground.lengths
    reasons = explaining.explain(known.ground.facts, known.plan, lengths.whole if lengths else None)
    text = "\n\n".join((*fit_words.advice(known), *reasons))
    app.push_screen(MessageModal("Why this choice?", text))


def explain(app: App[Any], known: Outlook, term: str) -> None:
    """Explain one term with the figures of this outlook."""
    from workbench.tui.modals.explainers.modal import ExplainerModal
    from workbench.tui.modals.explainers.sheet import About

    lengths = known.ground.lengths
    about = About(
        known.ground.facts,
        known.recipe,
        known.candidate,
        known.plan.budget,
        lengths.whole if lengths else None,
    )
    app.push_screen(ExplainerModal(term, about))


def list_terms(app: App[Any], known: Outlook) -> None:
    """List the terms, and explain the one that is chosen."""
    from workbench.tui.modals.explainers.modal import TermsModal

    def chosen(term: str | None) -> None:
        if term:
            explain(app, known, term)

    app.push_screen(TermsModal(), chosen)


def list_cards(app: App[Any], known: Outlook, look_at: Callable[[int], None]) -> None:
    """Tell what card each method needs; `look_at` gets the one that is chosen."""
    from workbench.tui.modals.cards import CardsModal

    def chosen(card: int | None) -> None:
        if card is not None:
            look_at(card)

    needed = fit_words.needed(known)
    rows = fit_words.card_rows(known, needed)
    app.push_screen(CardsModal(fit_words.least(known, needed), rows, known.card), chosen)


def list_settings(
    app: App[Any],
    ground: Ground,
    settings: Mapping[str, Any],
    use: Callable[[dict[str, Any]], None],
) -> None:
    """Show every setting as a field; `use` gets those that differ from their defaults."""
    from workbench.tui.modals.expert import ExpertModal

    def check(recipe: Recipe) -> UsageError | None:
        try:
            outlook.look(ground, recipe.to_json())
        except UsageError as error:
            return error
        return None

    def chosen(recipe: Recipe | None) -> None:
        if recipe is not None:
            use(outlook.told(recipe))

    app.push_screen(ExpertModal(settings, check), chosen)
