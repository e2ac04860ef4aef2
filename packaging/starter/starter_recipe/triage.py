"""The sample data: notes and their triage lines, with the blemishes that real files have."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from starter_recipe.dice import Dice
from starter_recipe.matters import URGENCIES, Matter
from starter_recipe.notes import note
from starter_recipe.scenes import ALL_MATTERS, HOUSES, Scene, draw_scene

SAMPLE_SEED = 5_150
ORDINARY, IN_CSV, UNSEEN = 720, 60, 120
INSTRUCTION = "Triage this note."
FIELDS: dict[str, tuple[str, ...]] = {
    "URGENCY": URGENCIES,
    "DEPT": tuple(team.name for house in HOUSES for team in house.teams),
    "ACTION": ("act now", "call back", "write back", "book visit"),
}
_ACTION_OF_WISH = {"call": "call back", "write": "write back", "visit": "book visit"}
# Invalid by construction: reserved phone numbers, check digits that cannot be, area 000.
_IDENTIFIERS = (
    "[mail|e-mail]: {mail}.",
    "mobile 555-01{digits2}.",
    "IBAN GB00 TEST {digits4} {digits4} {digits2}.",
    "SSN 000-{digits2}-{digits4}.",
    "card 4000 0000 0000 {digits4}.",
)
COLUMNS = ("instruction", "input", "output")


@dataclass(frozen=True)
class Record:
    """One row: the note as input, the triage line as output."""

    note: str
    answer: str

    def row(self) -> dict[str, str]:
        """The row as a mapping of ``COLUMNS``."""
        return dict(zip(COLUMNS, (INSTRUCTION, self.note, self.answer), strict=True))


def triage_line(scene: Scene) -> str:
    """``URGENCY: … | DEPT: … | ACTION: …``: what is urgent is acted on; else the wish decides."""
    urgency = scene.matter.urgency
    action = "act now" if urgency == "urgent" else _ACTION_OF_WISH[scene.wish]
    return f"URGENCY: {urgency} | DEPT: {scene.matter.team.name} | ACTION: {action}"


def _record(dice: Dice, matters: tuple[Matter, ...]) -> Record:
    scene = draw_scene(dice, matters)
    text = note(dice, scene, most_details=1)
    if dice.chance(0.12):
        digits = {"digits2": f"{dice.below(100):02d}", "digits4": f"{dice.below(10_000):04d}"}
        extra = dice.expand(dice.pick(_IDENTIFIERS)).format_map({**scene.words, **digits})
        text += " " + extra[0].upper() + extra[1:]
    return Record(text, triage_line(scene))


def ordinary_records(dice: Dice, count: int) -> list[Record]:
    """Records on matters that fine-tuning may see; each matter in turn, then shuffled."""
    seen = tuple(matter for matter in ALL_MATTERS if not matter.unseen)
    return dice.sample([_record(dice, (seen[i % len(seen)],)) for i in range(count)], count)


def unseen_records(dice: Dice, count: int) -> list[Record]:
    """Records on matters whose key words fine-tuning never shows."""
    unseen = tuple(matter for matter in ALL_MATTERS if matter.unseen)
    return [_record(dice, (unseen[i % len(unseen)],)) for i in range(count)]


def _json_line(row: dict[str, str | None]) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()


def _csv_line(*cells: str) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue().encode()


def triage_jsonl(dice: Dice, records: list[Record]) -> tuple[bytes, dict[str, list[int]]]:
    """The main file, and the 1-based lines on which each kind of blemish stands."""
    lines = [_json_line({**record.row()}) for record in records]
    half = len(lines) // 2
    first, second, third, fourth, fifth, sixth = records[:6]
    spoiled: list[tuple[str, bytes]] = [
        ("empty_input", _json_line({**first.row(), "input": ""})),
        ("empty_output", _json_line({**second.row(), "output": ""})),
        ("null_output", _json_line({**third.row(), "output": None})),
        ("missing_output", _json_line({"instruction": INSTRUCTION, "input": fourth.note})),
        ("torn", _json_line({**fifth.row()})[:61] + b"\n"),
    ]
    accented = {**sixth.row(), "input": "Message left at the café counter. " + sixth.note}
    spoiled += [
        ("wrong_encoding", json.dumps(accented, ensure_ascii=False).encode("latin-1") + b"\n")
    ]
    spoiled += [("duplicate", lines[dice.below(half)]) for _ in range(18)]
    tagged: list[tuple[str, bytes]] = [("", line) for line in lines]
    for kind, line in spoiled:
        # In the later half, so that the copy of a line always follows the line itself.
        tagged.insert(half + dice.below(len(tagged) - half), (kind, line))
    return b"".join(line for _, line in tagged), _where(tagged, first_line=1)


def triage_csv(
    dice: Dice, records: list[Record], known: Record
) -> tuple[bytes, dict[str, list[int]]]:
    """The small file: a header, good rows, a copy of ``known``, spoiled rows and a torn end."""
    rows = [("", _csv_line(*record.row().values())) for record in records]
    accented = _csv_line(INSTRUCTION, "Señor Díaz waits. " + records[0].note, records[0].answer)
    for kind, line in (
        ("duplicate", _csv_line(*known.row().values())),
        ("duplicate", rows[0][1]),
        ("empty_output", _csv_line(INSTRUCTION, records[1].note, "")),
        ("too_few_columns", _csv_line(INSTRUCTION, records[2].note)),
        ("wrong_encoding", accented.decode().encode("latin-1")),
    ):
        rows.insert(5 + dice.below(len(rows) - 5), (kind, line))
    torn = _csv_line(INSTRUCTION, f'{records[3].note} He said "please', records[3].answer)
    rows.append(("torn", torn[: len(INSTRUCTION) + 48]))
    return _csv_line(*COLUMNS) + b"".join(line for _, line in rows), _where(rows, first_line=2)


def _where(tagged: list[tuple[str, bytes]], first_line: int) -> dict[str, list[int]]:
    lines: dict[str, list[int]] = {}
    for number, (kind, _) in enumerate(tagged, start=first_line):
        if kind:
            lines.setdefault(kind, []).append(number)
    return lines


def write_sample_data(folder: Path) -> dict[str, dict[str, object]]:
    """Write the three files; return per file its row count and the lines of its blemishes."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = Dice(SAMPLE_SEED)
    ordinary = ordinary_records(dice, ORDINARY)
    main, more = ordinary[IN_CSV:], ordinary[:IN_CSV]
    unseen = unseen_records(dice, UNSEEN)
    main_bytes, main_lines = triage_jsonl(dice, main)
    more_bytes, more_lines = triage_csv(dice, more, known=main[7])
    (folder / "triage.jsonl").write_bytes(main_bytes)
    (folder / "triage_more.csv").write_bytes(more_bytes)
    (folder / "heldout_unseen.jsonl").write_bytes(
        b"".join(_json_line({**record.row()}) for record in unseen)
    )
    return {
        "triage.jsonl": {"good_rows": len(main), "blemishes": main_lines},
        "triage_more.csv": {"good_rows": len(more), "blemishes": more_lines},
        "heldout_unseen.jsonl": {"good_rows": len(unseen), "blemishes": {}},
    }
