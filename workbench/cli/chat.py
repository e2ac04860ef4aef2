"""`workbench chat`: talk; base and adapters answer side by side."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from workbench.cli.access import unlock
from workbench.cli.console import Console
from workbench.errors import UsageError


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parser."""
    parser = commands.add_parser("chat", parents=[common], help="talk to a model or to adapters")
    parser.add_argument("--model", metavar="M", help="a base model on the shelf")
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="A",
        help="an adapter of the library; several answer side by side",
    )
    parser.add_argument("--with-base", action="store_true", help="let the base answer too")
    parser.add_argument("--prompt", metavar="TEXT", help="one question; without it, a conversation")
    parser.add_argument(
        "--max-tokens", type=int, default=256, metavar="N", help="longest answer (default: 256)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the answers' chance (default: 0)"
    )
    parser.set_defaults(handler=_chat)


def _chat(options: argparse.Namespace, console: Console) -> None:
    if bool(options.model) == bool(options.adapter):
        raise UsageError(
            "Name either --model or one or more --adapter.",
            hint="`workbench model list` and `workbench adapter list` show them.",
        )
    if options.prompt is None and (console.as_json or not sys.stdin.isatty()):
        raise UsageError(
            "Without a terminal, and with --json, chat needs a question.",
            hint="Ask it with --prompt TEXT.",
        )
    if options.prompt is not None and not options.prompt.strip():
        raise UsageError("The question is empty.", hint="Ask it with --prompt TEXT.")
    from workbench.adapters.chatting import chat

    vault = unlock(options)

    def answer(messages: list[dict[str, str]]) -> dict[str, Any]:
        return chat(
            vault,
            model=options.model,
            adapters=tuple(options.adapter),
            with_base=options.with_base,
            messages=messages,
            max_tokens=options.max_tokens,
            seed=options.seed,
            progress=console.progress,
        )

    if options.prompt is not None:
        document = answer([{"role": "user", "content": options.prompt}])
        console.result(document, _lines(document))
        return
    messages: list[dict[str, str]] = []
    console.say("An empty line ends the conversation.")
    while line := _ask():
        messages.append({"role": "user", "content": line})
        document = answer(messages)
        for shown in _lines(document):
            console.say(shown)
        # The last of several answers is the one that the conversation goes on from.
        messages.append({"role": "assistant", "content": document["answers"][-1]["text"]})


def _ask() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        return ""


def _lines(document: dict[str, Any]) -> list[str]:
    answers = document["answers"]
    if len(answers) == 1:
        return [answers[0]["text"]]
    return [f"[{a['adapter'] or 'base'}] {a['text']}" for a in answers]
