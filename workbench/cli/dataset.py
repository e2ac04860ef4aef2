"""`workbench dataset`: import, look at, check and remove sealed datasets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli.access import unlock
from workbench.cli.console import Console, table
from workbench.cli.words import at_least
from workbench.errors import UsageError
from workbench.wording import count, size

if TYPE_CHECKING:
    from workbench.datasets.importing import ImportReport
    from workbench.datasets.records import Record
    from workbench.models.previewing import Rendering, Sample

KINDS = ("auto", "chat", "instruction", "completion", "text", "classification")
_SHOWN_REJECTS = 20
_MASKED = "\u2022"


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parsers."""
    group = commands.add_parser("dataset", parents=[common], help="private data, sealed")
    actions = group.add_subparsers(metavar="ACTION", required=True)

    bring = actions.add_parser("import", parents=[common], help="read, check and seal files")
    bring.add_argument("files", nargs="+", type=Path, metavar="FILE", help="CSV, TSV or JSON lines")
    bring.add_argument("--name", required=True, metavar="D", help="what to call the dataset")
    bring.add_argument(
        "--as",
        dest="kind",
        choices=KINDS,
        default="auto",
        help="what the records are; auto: told from their columns (default)",
    )
    bring.add_argument(
        "--map",
        nargs="+",
        action="extend",
        default=[],
        metavar="field=column",
        help="say which column holds a field, e.g. prompt=question; system= leaves it out",
    )
    bring.add_argument(
        "--no-header",
        dest="header",
        action="store_false",
        help="the first line of CSV files is a record; columns are column_1, column_2 and so on",
    )
    bring.add_argument(
        "--split",
        default="validation=0.05,test=0.05",
        metavar="NAME=SHARE,…",
        help="what training does not see (default: validation=0.05,test=0.05)",
    )
    bring.add_argument(
        "--dedupe",
        choices=("exact", "off"),
        default="exact",
        help="leave out records equal to an earlier one (default), or keep them",
    )
    bring.add_argument(
        "--redact",
        choices=("none", "mask"),
        default="none",
        help="mask puts [EMAIL] and the like for what looks like an identifier",
    )
    bring.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the splits (default: 0)"
    )
    bring.set_defaults(handler=_import)

    listing = actions.add_parser("list", parents=[common], help="the datasets in the vault")
    listing.set_defaults(handler=_list)
    for name, handler, text in (
        ("show", _show, "facts about one dataset"),
        ("verify", _verify, "read and check every sealed chunk"),
        ("remove", _remove, "shred a dataset's key and delete it"),
        ("preview", _preview, "the first records, masked unless --reveal"),
    ):
        action = actions.add_parser(name, parents=[common], help=text)
        action.add_argument("name", metavar="D", help="a dataset of the vault")
        action.set_defaults(handler=handler)
        if handler is _preview:
            action.add_argument("--reveal", action="store_true", help="show the records' text")
            action.add_argument("--masks", action="store_true", help="show what is trained on")
            action.add_argument(
                "--model", metavar="M", help="the model whose template --masks uses"
            )
            action.add_argument(
                "--split", default="train", metavar="S", help="of this split (default: train)"
            )
            action.add_argument(
                "--count",
                type=at_least(1),
                default=5,
                metavar="N",
                help="how many records (default: 5)",
            )


def _pairs(items: list[str], what: str, *, empty: bool = False) -> dict[str, str]:
    pairs = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not (name and equals and (value or empty)):
            raise UsageError(f"`{item}` is not {what}.")
        pairs[name] = value
    return pairs


def parse_splits(text: str) -> dict[str, float]:
    """Return the shares named in `validation=0.05,test=0.05`."""
    shares = {}
    for name, value in _pairs([p for p in text.split(",") if p], "NAME=SHARE").items():
        try:
            shares[name] = float(value)
        except ValueError:
            raise UsageError(f"The share of split {name} is not a number.") from None
    return shares


def import_document(report: ImportReport) -> dict[str, Any]:
    """Return the contract's fields of a finished import."""
    return {
        "dataset": report.dataset,
        "kind": report.kind,
        "columns": dict(report.columns),
        "rows": report.rows,
        "rejected": report.rejected,
        "rejects": [{"file": r.file, "line": r.line, "code": r.code} for r in report.rejects],
        "duplicates": report.duplicates,
        "splits": dict(report.splits),
        "sensitive": dict(report.sensitive),
        "doubtful_headers": list(report.doubtful_headers),
        "seconds": round(report.seconds, 3),
    }


def _import(options: argparse.Namespace, console: Console) -> None:
    from workbench.datasets.importing import import_files

    report = import_files(
        unlock(options),
        [path.absolute() for path in options.files],
        options.name,
        kind=options.kind,
        mapping=_pairs(options.map, "field=column", empty=True),
        header=options.header,
        splits=parse_splits(options.split),
        dedupe=options.dedupe,
        redact=options.redact,
        seed=options.seed,
        progress=console.progress,
    )
    document = import_document(report)
    lines = [
        f"Sealed {count(report.rows, 'record')} as {report.dataset} ({report.kind}) "
        f"in {report.seconds:.1f} s; {count(report.duplicates, 'duplicate')} left out, "
        f"{count(report.rejected)} rejected.",
        "splits: " + ", ".join(f"{name} {count(rows)}" for name, rows in report.splits.items()),
    ]
    lines += [
        f"{name}: its first line was taken for names of columns but looks like a record. If it is "
        "one, remove the dataset and import with --no-header."
        for name in report.doubtful_headers
    ]
    if report.sensitive:
        found = ", ".join(f"{kind} {count(number)}" for kind, number in report.sensitive.items())
        lines.append(f"looks like identifiers (a hint, not a guarantee): {found}")
    shown = list(report.rejects)[:_SHOWN_REJECTS]
    lines += [f"  rejected {r.file}:{r.line} {r.code}" for r in shown]
    if report.rejected > len(shown):
        lines.append(f"  … and {count(report.rejected - len(shown))} more; --json lists them")
    console.result(document, lines)


def _list(options: argparse.Namespace, console: Console) -> None:
    from workbench.datasets.collection import list_datasets

    found = list_datasets(unlock(options))
    rows = [[d["dataset"], d["kind"], count(d["rows"]), d["created"][:16]] for d in found]
    console.result(
        {"datasets": found},
        table(rows, ("DATASET", "KIND", "ROWS", "CREATED"))
        if rows
        else ["No datasets yet. Bring one in with `workbench dataset import FILE --name NAME`."],
    )


def _show(options: argparse.Namespace, console: Console) -> None:
    from workbench.datasets.collection import show_dataset

    document = show_dataset(unlock(options), options.name)
    console.result(document, [f"{name}: {value}" for name, value in document.items()])


def _verify(options: argparse.Namespace, console: Console) -> None:
    from workbench.datasets.collection import verify_dataset

    # Damage is raised, so a document stands for a sound dataset.
    document = verify_dataset(unlock(options), options.name, console.progress)
    console.result(
        {**document, "bad": []},
        [f"{document['dataset']}: {size(document['bytes'])} read and checked, none bad."],
    )


def _remove(options: argparse.Namespace, console: Console) -> None:
    from workbench.datasets.collection import remove_dataset
    from workbench.runs.listing import check_unneeded

    vault = unlock(options)
    check_unneeded(vault.home, vault.catalogue.get("dataset", options.name).object_id)
    remove_dataset(vault, options.name)
    console.result({"removed": options.name}, [f"Removed {options.name}; its key was shredded."])


def _preview(options: argparse.Namespace, console: Console) -> None:
    from workbench.datasets.collection import preview

    if options.masks and not options.model:
        raise UsageError("--masks needs --model: what is trained on depends on its template.")
    vault = unlock(options)
    records = preview(vault, options.name, options.count, split=options.split)
    rendered: list[Rendering] = []
    if options.masks:
        from workbench.models.previewing import render
        from workbench.models.shelf import model_folder

        entry = vault.catalogue.get("model", options.model)
        rendered = render(model_folder(vault, entry.object_id), [_sample(r) for r in records])
    documents, lines = [], []
    for place, record in enumerate(records):
        document = _record_document(record, reveal=options.reveal)
        lines += [f"--- record {record.number}", *_record_lines(document)]
        if place < len(rendered):
            lines += _add_masks(document, rendered[place], reveal=options.reveal)
        documents.append(document)
    console.result({"dataset": options.name, "records": documents}, lines)


def _sample(record: Record) -> Sample:
    if record.text is not None:
        return record.text
    return [(message.role, message.content) for message in record.messages]


def _add_masks(document: dict[str, Any], found: Rendering, *, reveal: bool) -> list[str]:
    """Note in `document` what is trained on, and return it as lines."""
    document |= {"tokens": found.tokens, "counted": found.counted}
    if found.reason:
        document["left_out"] = found.reason
        return [f"training leaves this record out: {found.reason}"]
    lines = [f"{found.counted} of {found.tokens} tokens are trained on"]
    if reveal:
        document["masks"] = [{"text": text, "counted": on} for text, on in found.pieces]
        lines.append("".join(f"[{text}]" if on else text for text, on in found.pieces))
    return lines


def _hidden(text: str) -> str:
    return "".join(c if c.isspace() else _MASKED for c in text[:160])


def _record_document(record: Record, *, reveal: bool) -> dict[str, Any]:
    def shown(text: str) -> str:
        return text if reveal else _hidden(text)

    if record.text is not None:
        return {"number": record.number, "text": shown(record.text)}
    messages = [{"role": m.role, "content": shown(m.content)} for m in record.messages]
    return {"number": record.number, "messages": messages}


def _record_lines(document: dict[str, Any]) -> list[str]:
    if "text" in document:
        return [document["text"]]
    return [f"{m['role']}: {m['content']}" for m in document["messages"]]
