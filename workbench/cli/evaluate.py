"""`workbench evaluate`: base and adapter on the same held-out records."""

from __future__ import annotations

import argparse
from typing import Any

from workbench.cli.access import unlock
from workbench.cli.console import Console
from workbench.cli.words import at_least
from workbench.wording import count


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parser."""
    parser = commands.add_parser(
        "evaluate", parents=[common], help="base and adapter on the same held-out records"
    )
    parser.add_argument("name", metavar="A", help="an adapter of the library")
    parser.add_argument("--dataset", metavar="D", help="default: the one it was trained on")
    parser.add_argument(
        "--split", default="test", metavar="S", help="the records to use (default: test)"
    )
    parser.add_argument(
        "--show",
        type=at_least(0),
        default=0,
        metavar="N",
        help="show N records' answers (record text)",
    )
    parser.set_defaults(handler=_evaluate)


def _evaluate(options: argparse.Namespace, console: Console) -> None:
    from workbench.adapters.evaluating import evaluate

    document = evaluate(
        unlock(options),
        options.name,
        dataset=options.dataset,
        split=options.split,
        show=options.show,
        progress=console.progress,
    )
    lines = [
        f"{count(document['records'], 'record')}, {count(document['tokens'], 'answer token')}",
        *(
            f"{side:8} loss {document[side]['loss']:.3f}  "
            f"perplexity {document[side]['perplexity']:.2f}"
            for side in ("base", "adapter")
        ),
    ]
    answers = document.get("answers")
    if answers:
        for base, tuned, wanted in zip(
            answers["base"], answers["adapter"], answers["references"], strict=True
        ):
            lines += [
                f"--- record {wanted['number']}",
                f"wanted:  {wanted['text']}",
                f"base:    {base['text']}",
                f"adapter: {tuned['text']}",
            ]
    console.result(document, lines)
