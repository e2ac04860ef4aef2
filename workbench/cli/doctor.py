"""`workbench doctor`: hardware, libraries and protection, as they are now."""

from __future__ import annotations

import argparse
from typing import Any

from workbench.cli.access import home_of, unlock
from workbench.cli.console import Console
from workbench.wording import size, speeds


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parser."""
    parser = commands.add_parser(
        "doctor", parents=[common], help="hardware, libraries, protection, disk"
    )
    parser.add_argument(
        "--measure", action="store_true", help="measure how fast this machine trains, ten seconds"
    )
    parser.set_defaults(handler=_doctor)


def _doctor(options: argparse.Namespace, console: Console) -> None:
    from workbench.planning.doctor import examine

    if options.measure:
        from workbench.adapters.measuring import measure_machine

        measure_machine(unlock(options), console.progress)
    document = examine(home_of(options))
    cpu = document["cpu"]
    lines = [
        f"CPU: {cpu['name']}, {cpu['cores']} cores; memory {size(document['ram_bytes'])}",
        *(
            f"GPU {a['index']}: {a['name']}, {size(a['memory_bytes'])}, "
            f"{size(a['free_bytes'])} free, driver {a['driver']}"
            for a in document["accelerators"]
        ),
        *([] if document["accelerators"] else ["GPU: none; training runs on the CPU"]),
        speeds(document["speed"]),
        "libraries: " + ", ".join(f"{n} {v}" for n, v in document["libraries"].items()),
        "protection of a job, tried just now:",
        *(
            f"  {layer}: {entry['state']}" + (f" ({entry['detail']})" if entry["detail"] else "")
            for layer, entry in document["protection"].items()
        ),
        *(f"warning: {text}" for text in document["warnings"]),
    ]
    console.result(document, lines)
