"""`workbench help`, and what `workbench` alone says."""

from __future__ import annotations

import argparse
from importlib.resources import files
from typing import Any

from workbench.cli.access import home_of
from workbench.cli.console import Console
from workbench.errors import UsageError
from workbench.vault.home import holds_vault


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parser."""
    parser = commands.add_parser("help", parents=[common], help="the documentation")
    parser.add_argument(
        "topic", nargs="?", default="index", metavar="PAGE", help="without one: what there is"
    )
    parser.set_defaults(handler=_help)


def _topics() -> dict[str, str]:
    pages = files("workbench").joinpath("help").iterdir()
    return {
        page.name.removesuffix(".md"): page.read_text("utf-8")
        for page in sorted(pages, key=lambda page: page.name)
        if page.name.endswith(".md")
    }


def _help(options: argparse.Namespace, console: Console) -> None:
    topics = _topics()
    if options.topic not in topics:
        raise UsageError(
            f"There is no help page called {options.topic}.",
            hint="Pages: " + ", ".join(topics),
        )
    text = topics[options.topic]
    console.result({"topic": options.topic, "text": text, "topics": list(topics)}, [text])


def show_start(options: argparse.Namespace, console: Console) -> None:
    """Say what is here and what to do next."""
    home = home_of(options)
    made = holds_vault(home)
    if made:
        following = "Next: `workbench dataset list`, `workbench run list`, or `workbench help`."
    else:
        following = "Next: `workbench demo` to see the whole path, or `workbench init` to begin."
    console.result(
        {"home": str(home), "vault": made, "next": following},
        [f"A vault is at {home}." if made else f"No vault is at {home} yet.", following],
    )
