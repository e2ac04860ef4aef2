"""Short lessons that come first: what a matter means, and how to find it in a few words.

A small model reads long notes only once it knows what to look for. These documents are so short
that most of their tokens depend on the matter or the wish, and they teach that before the names,
numbers and times of whole notes get in the way. They never show the structured answer of the
sample data.
"""

from starter_recipe.dice import Dice
from starter_recipe.notes import fill, wish_sentence
from starter_recipe.questions import Turns
from starter_recipe.scenes import Scene

_RANK = {"urgent": "urgent", "soon": "due soon", "routine": "routine"}
_REACH = {"call": "by phone", "write": "in writing", "visit": "with a visit"}
_SHORT_NOTES = (
    "{n} has {m}.",
    "{n} [calls|writes|asks] about {m}.",
    "{t} [reports|mentions] {m}.",
    "{n} waits with {m}.",
)


def _short_note(dice: Dice, scene: Scene) -> str:
    parts = [fill(dice, scene, dice.pick(_SHORT_NOTES)), wish_sentence(dice, scene)]
    return " ".join(dice.sample(parts, 2))


def _matter(dice: Dice, scene: Scene) -> Turns:
    rank = _RANK[scene.matter.urgency]
    question, answer = dice.pick(
        (
            ("which team takes {m}?", "the {team}."),
            ("{m}: which team?", "the {team}."),
            ("who handles {m}?", "the {team} handles {m}."),
            ("how urgent is {m}?", f"{{m}} is {rank}."),
            ("{m}: how soon?", f"{rank}."),
            ("what is {m}?", f"a matter for the {{team}}, {rank}."),
        )
    )
    return [(fill(dice, scene, question), fill(dice, scene, answer))]


def _wish(dice: Dice, scene: Scene) -> Turns:
    asked = dice.pick(("How shall we answer?", "Call, letter or visit?"))
    return [(f"{wish_sentence(dice, scene)} {asked}", f"Answer {_REACH[scene.wish]}.")]


def _reading(dice: Dice, scene: Scene) -> Turns:
    """Questions about one short note, one after another."""
    rank = _RANK[scene.matter.urgency]
    facts = (
        ("[which team?|who handles this?]", "the {team}."),
        ("[how urgent is this?|how soon?]", f"this is {rank}."),
        ("[how shall we answer?|call, letter or visit?]", f"answer {_REACH[scene.wish]}."),
        ("[who is it?|whose note is this?]", "{n}."),
        ("what is the matter?", "{m}."),
        (
            "[sum up.|where, when and how?]",
            f"{{m}}, {rank}, for the {{team}}; answer {_REACH[scene.wish]}.",
        ),
    )
    chosen = dice.sample(facts, 1 + dice.below(3))
    turns = [(fill(dice, scene, asked), fill(dice, scene, told)) for asked, told in chosen]
    first, answer = turns[0]
    return [(f"{_short_note(dice, scene)} {first}", answer), *turns[1:]]


_LESSONS = (_matter, _matter, _wish, _reading, _reading, _reading)


def lesson(dice: Dice, scene: Scene) -> Turns:
    """One short lesson."""
    return dice.pick(_LESSONS)(dice, scene)
