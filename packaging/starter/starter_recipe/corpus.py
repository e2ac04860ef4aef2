"""The stream of pre-training documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from starter_recipe.dice import Dice
from starter_recipe.drills import drill, roll_call
from starter_recipe.errands import errand_prose
from starter_recipe.notes import note, plain_note
from starter_recipe.primer import lesson
from starter_recipe.scenes import draw_scene
from starter_recipe.talks import as_messages, talk

TRAINING_SEED = 20_261
HELD_OUT_SEED = 77_003
_PLAIN_SHARE = 0.3
_PLAIN_KINDS = (plain_note, plain_note, plain_note, note, errand_prose)
_DRILL_SHARE = 0.12
_LESSON_SHARE = 0.2
_PRIMED = 30_000  # documents, until the mixture is the lasting one


@dataclass(frozen=True)
class Document:
    """Plain text, or the messages of a chat."""

    text: str | None = None
    messages: tuple[dict[str, str], ...] = ()


def documents(seed: int, *, settled: bool = False) -> Iterator[Document]:
    """An endless stream; the same for the same ``seed`` on every machine.

    It begins with short lessons and comes to its lasting mixture bit by bit; ``settled``: it has
    that mixture from the start.
    """
    dice = Dice(seed)
    for number in count():
        lessons_left = 0.0 if settled else max(0.0, 1 - number / _PRIMED)
        scene = draw_scene(dice)
        if dice.chance(_LESSON_SHARE + (1 - _LESSON_SHARE) * lessons_left):
            yield Document(messages=as_messages(lesson(dice, scene)))
        elif dice.chance(_DRILL_SHARE):
            if dice.chance(0.25):
                yield Document(text=roll_call(dice, scene))
            else:
                yield Document(messages=as_messages(drill(dice, scene)))
        elif dice.chance(_PLAIN_SHARE):
            yield Document(text=dice.pick(_PLAIN_KINDS)(dice, scene))
        else:
            yield Document(messages=talk(dice, scene))
