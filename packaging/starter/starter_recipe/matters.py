"""The shape of the lexicon: teams, their matters, and how long a matter can wait."""

from dataclasses import dataclass

URGENCIES = ("urgent", "soon", "routine")

# The last matters of each list are kept out of the fine-tuning data: pre-training text alone
# teaches what they mean, and `heldout_unseen.jsonl` asks about them.
_UNSEEN_PER_LIST = {"urgent": 2, "soon": 2, "routine": 1}


@dataclass(frozen=True)
class Team:
    """One team of a house: what it is called, what it takes and what it does about it."""

    name: str
    urgent: tuple[str, ...]
    soon: tuple[str, ...]
    routine: tuple[str, ...]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Matter:
    """Something that a person brings: a noun phrase, and where it belongs."""

    phrase: str
    keyword: str
    team: Team
    urgency: str
    unseen: bool


def matters_of(team: Team) -> tuple[Matter, ...]:
    """All matters of ``team``, in the order of the lexicon."""
    found: list[Matter] = []
    for urgency in URGENCIES:
        phrases: tuple[str, ...] = getattr(team, urgency)
        first_unseen = len(phrases) - _UNSEEN_PER_LIST[urgency]
        for place, marked in enumerate(phrases):
            _, keyword, _ = marked.split("*")
            found.append(
                Matter(marked.replace("*", ""), keyword, team, urgency, place >= first_unseen)
            )
    return tuple(found)
