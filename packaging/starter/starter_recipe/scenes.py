"""A scene: the people, numbers, times and the matter that one document is about."""

from dataclasses import dataclass

from starter_recipe import bank, clinic, office
from starter_recipe.dice import Dice
from starter_recipe.matters import Matter, Team, matters_of
from starter_recipe.people import DAYS, MEN, MONTHS, SPANS, STREETS, SURNAMES, TOWNS, WOMEN

WISHES = ("call", "write", "visit")


@dataclass(frozen=True)
class House:
    """One of the three kinds of workplace and the words that it uses."""

    name: str
    person: str
    record: str
    roles: tuple[str, ...]
    places: tuple[str, ...]
    teams: tuple[Team, ...]


HOUSES = (
    House(
        "clinic",
        "patient",
        "chart",
        ("nurse", "doctor", "receptionist", "porter", "intern", "midwife", "surgeon", "therapist"),
        ("ward", "room", "bay", "cabin", "counter", "bed"),
        clinic.TEAMS,
    ),
    House(
        "bank",
        "customer",
        "case",
        ("teller", "adviser", "clerk", "branch manager", "analyst", "cashier", "broker", "auditor"),
        ("counter", "booth", "office", "window", "vault", "branch"),
        bank.TEAMS,
    ),
    House(
        "office",
        "colleague",
        "ticket",
        ("assistant", "engineer", "planner", "editor", "accountant", "buyer", "trainer", "guard"),
        ("room", "floor", "gate", "hall", "desk", "block"),
        office.TEAMS,
    ),
)
MATTERS = {team.name: matters_of(team) for house in HOUSES for team in house.teams}
ALL_MATTERS = tuple(matter for matters in MATTERS.values() for matter in matters)


@dataclass(frozen=True)
class Scene:
    """Everything that the sentences of one document may name."""

    house: House
    matter: Matter
    wish: str
    words: dict[str, str]


def clock(dice: Dice) -> str:
    """A time in working hours, such as ``09:35``."""
    return f"{7 + dice.below(12):02d}:{dice.below(60):02d}"


def full_name(dice: Dice) -> tuple[str, str, bool]:
    """First name, surname, and whether the person is a woman."""
    woman = dice.chance(0.5)
    return dice.pick(WOMEN if woman else MEN), dice.pick(SURNAMES), woman


def _person(dice: Dice, prefix: str) -> dict[str, str]:
    first, last, woman = full_name(dice)
    return {
        f"{prefix}n": f"{first} {last}",
        f"{prefix}f": first,
        f"{prefix}mail": f"{first}.{last}@example.org".lower(),
        f"{prefix}t": f"{'Ms' if woman else 'Mr'} {last}",
        f"{prefix}he": "she" if woman else "he",
        f"{prefix}his": "her" if woman else "his",
        f"{prefix}him": "her" if woman else "him",
    }


def house_of(team: Team) -> House:
    """The house to which ``team`` belongs."""
    return next(house for house in HOUSES if team in house.teams)


def draw_scene(dice: Dice, matters: tuple[Matter, ...] = ALL_MATTERS) -> Scene:
    """A scene about one of ``matters``, with fresh people, numbers and times."""
    matter = dice.pick(matters)
    house = house_of(matter.team)
    wish = dice.pick(WISHES)
    steps = dice.sample(matter.team.steps, 3)
    role, role2 = dice.sample(house.roles, 2)
    words = {
        **_person(dice, ""),
        **_person(dice, "c"),
        **_person(dice, "o"),
        "m": matter.phrase,
        "team": f"{matter.team.name} team",
        "person": house.person,
        "record": house.record,
        "ref": f"{house.record} {100 + dice.below(9900)}",
        "role": role,
        "role2": role2,
        "place": f"{dice.pick(house.places)} {1 + dice.below(98)}",
        "day": dice.pick(DAYS),
        "day2": dice.pick(DAYS),
        "date": f"{1 + dice.below(28)} {dice.pick(MONTHS)}",
        "time": clock(dice),
        "time2": clock(dice),
        "span": dice.pick(SPANS),
        "town": dice.pick(TOWNS),
        "street": f"{dice.pick(STREETS)} Street {1 + dice.below(198)}",
        "sum": f"{10 + dice.below(980)} euros",
        "ext": f"extension {100 + dice.below(900)}",
        "s1": steps[0],
        "s2": steps[1],
        "s3": steps[2],
        "level": matter.urgency,
        "rank": "due soon" if matter.urgency == "soon" else matter.urgency,
    }
    return Scene(house, matter, wish, words)
