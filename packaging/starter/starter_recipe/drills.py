"""Reading back: lists and lines repeated word for word, and look-ups in a list.

A small model writes coherent text about a note only once it can carry names and numbers over from
it, and these documents teach just that. They also bring capitals, colons and bars to life: a token
that pre-training never shows keeps an untrained embedding, and no adapter could write it later.
"""

from starter_recipe.dice import Dice, listed, sentence_case
from starter_recipe.notes import DETAILS, OPENINGS, fill
from starter_recipe.people import DAYS, STREETS, SURNAMES, TOWNS
from starter_recipe.scenes import Scene, clock, draw_scene, full_name

Turns = list[tuple[str, str]]

_LABELS = listed(
    "NAME|ROOM|DAY|PLACE|TEAM|CITY|STREET|PHONE|NUMBER|ENTRY|OWNER|FROM|UNTIL|SEEN BY|NOTE|COLOUR"
    "|BADGE|TASK|HOUSE|FLOOR|REASON|WEEK|SHIFT|GUEST|KEY|FILE|LIST|PLAN|STATUS|SOURCE"
)
_HEADINGS = listed(
    "URGENCY BOARD|DEPT BOARD|ACTION BOARD|WAITING LIST|CALL SHEET|DAY BOOK|NIGHT SHIFT|FRONT DESK"
    "|URGENCY LIST|DEPT LIST|ACTION LIST|MORNING ROUND|KEY BOX|GUEST BOOK|OPEN CASES|LATE SHIFT"
)
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _name(dice: Dice) -> str:
    first, last, _ = full_name(dice)
    return f"{first} {last}"


def _item(dice: Dice) -> str:
    kind = dice.below(8)
    if kind < 2:
        return _name(dice)
    if kind == 2:
        return f"{dice.pick(STREETS)} Street {1 + dice.below(198)}"
    if kind == 3:
        return f"{dice.pick(DAYS)} {clock(dice)}"
    if kind == 4:
        return draw_scene(dice).matter.phrase
    if kind == 5:
        return f"{dice.pick(SURNAMES)}, {dice.pick(TOWNS)}"
    if kind == 6:
        return "".join(dice.sample(_CAPITALS, 3)) + f"-{10 + dice.below(90)}"
    return draw_scene(dice).words["ref"]


def read_back(dice: Dice, scene: Scene) -> Turns:
    """A list or a line, word for word."""
    if dice.chance(0.5):
        text = "; ".join(_item(dice) for _ in range(3 + dice.below(6)))
    else:
        text = fill(dice, scene, dice.pick(OPENINGS)) + " " + fill(dice, scene, dice.pick(DETAILS))
    asked = dice.expand("[Read back|Repeat|Copy|Say again|Type out]: ")
    return [(asked + text, text)]


def form(dice: Dice, scene: Scene) -> Turns:
    """A form or a row of a table, word for word or one entry of it."""
    labels = dice.sample(_LABELS, 2 + dice.below(3))
    entries = [_item(dice) for _ in labels]
    bar = dice.pick((" | ", "; "))
    text = bar.join(f"{label}: {entry}" for label, entry in zip(labels, entries, strict=True))
    if dice.chance(0.3):
        text = bar.join(entries)
    elif dice.chance(0.5):
        wanted = dice.below(len(labels))
        return [(f"{text}\n\nWhat stands at {labels[wanted]}?", f"{entries[wanted]}.")]
    head = dice.pick(_HEADINGS)
    return [(f"Copy this under the heading {head}: {text}", f"{head}\n{text}")]


def look_up(dice: Dice, scene: Scene) -> Turns:
    """One entry of a short table that the question holds."""
    names = [_name(dice) for _ in range(3 + dice.below(4))]
    places = [draw_scene(dice).words[dice.pick(("place", "ref", "m", "team"))] for _ in names]
    wanted = dice.below(len(names))
    table = "; ".join(f"{name}: {place}" for name, place in zip(names, places, strict=True))
    asked = dice.expand("[What is noted|What stands|Which entry is there] for ")
    return [(f"{table}. {asked}{names[wanted]}?", f"{names[wanted]}: {places[wanted]}.")]


def roll_call(dice: Dice, scene: Scene) -> str:
    """Plain text: who was asked, and who came, in the same order."""
    names = ", ".join(_name(dice) for _ in range(3 + dice.below(4)))
    head, tail = dice.pick(
        (
            ("asked for {day}", "came on {day}"),
            ("list of {cn}", "list of {on}"),
            ("morning round", "evening round"),
            ("letters to", "calls to"),
        )
    )
    return sentence_case(
        f"{head.format_map(scene.words)}: {names}. {tail.format_map(scene.words)}: {names}."
    )


def drill(dice: Dice, scene: Scene) -> Turns:
    """Any of the chats of this module."""
    return dice.pick((read_back, form, form, look_up))(dice, scene)
