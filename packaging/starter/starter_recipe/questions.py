"""Questions about a note or a matter, and their answers.

They teach, in prose, which team takes a matter and how long it can wait. They never show the
structured answer that the sample data teaches.
"""

from starter_recipe.dice import Dice
from starter_recipe.notes import fill, note
from starter_recipe.scenes import Scene

Turns = list[tuple[str, str]]

WAIT = {
    "urgent": (
        "it is urgent and cannot wait",
        "it is urgent, so somebody should act today",
        "it is urgent; every hour counts",
        "urgent, because harm may follow at once",
    ),
    "soon": (
        "it should be seen soon, within days",
        "soon, but not today",
        "it can wait a little, yet it should be handled soon",
        "soon, before it gets worse",
    ),
    "routine": (
        "it is routine and can wait",
        "it is routine, any free slot will do",
        "it is routine; nothing gets worse",
        "routine, with no hurry at all",
    ),
}
REACH = {
    "call": ("by phone", "with a call", "on the telephone"),
    "write": ("in writing", "with a letter or a mail", "by a written reply"),
    "visit": ("in person, with an appointment", "with a visit here", "at a meeting in the house"),
}


def ask(dice: Dice, scene: Scene, question: str, body: str) -> str:
    """A question and the note it is about, in one of the usual layouts."""
    asked = fill(dice, scene, question)
    if dice.chance(0.75):
        return f"{asked}\n\n{body}"
    return f"{body}\n\n{asked}"


def team_for_note(dice: Dice, scene: Scene) -> Turns:
    """Which team takes the note?"""
    asked = ask(
        dice,
        scene,
        "[which team should take this note?|who handles this?|where does this note belong?"
        "|route this note.|name the right team for this note.|sort this note.]",
        note(dice, scene),
    )
    answer = fill(
        dice,
        scene,
        dice.pick(
            (
                "the {team}[, since|, because|, as] {n} has {m}.",
                "this belongs to the {team}: {n} [brings|has] {m}.",
                "{t} needs the {team} [for|because of] {m}.",
                "{m} is a matter for the {team}, so {t} goes there.",
                "send {t} to the {team}. they will {s1} and {s2}.",
                "the {team}. {t} has {m}, and they can {s1}.",
            )
        ),
    )
    return [(asked, answer)]


def team_for_matter(dice: Dice, scene: Scene) -> Turns:
    """Which team takes a matter that the question names?"""
    asked = fill(
        dice,
        scene,
        dice.pick(
            (
                "[which team|who] [handles|takes|looks after] {m}? "
                "it [concerns|is for] {n}, {ref}.",
                "{n} has {m}. [who should see {him}?|where do I send {him}?|which team is right?]",
                "where [does|would] {m} go? [the name is|I ask for] {n}, {town}.",
                "[I am {n}.|my name is {n}.|{n} here.] I have {m}. who can help me?",
            )
        ),
    )
    answer = fill(
        dice,
        scene,
        dice.pick(
            (
                "the {team} [takes|handles] {m}. {ct} can [enter|move] {ref} for {t}.",
                "{m} goes to the {team}, {t}. [ask for {cn}|the {role} there is {cn}].",
                "that is the {team}, {t}. they will {s1} at {place}.",
                "the {team} at {place} will {s1} and {s2} for {t}.",
                "for {m} please see the {team}. {ct} is there until {time2}.",
            )
        ),
    )
    return [(asked, answer)]


def urgency_of_note(dice: Dice, scene: Scene) -> Turns:
    """How long can the note wait?"""
    asked = ask(
        dice,
        scene,
        "[how urgent is this?|can this wait?|how soon should we act?|is this urgent?"
        "|how long can this wait?|judge how pressing this note is.]",
        note(dice, scene),
    )
    wait = dice.pick(WAIT[scene.matter.urgency])
    answer = fill(
        dice,
        scene,
        dice.pick(
            (
                wait + ": {t} has {m}.",
                "{n} has {m}: " + wait + ".",
                wait + ". tell {t} that the {team} will {s1}.",
                "for {t}, " + wait + ". the {team} takes {m}.",
            )
        ),
    )
    return [(asked, answer)]


def urgency_of_matter(dice: Dice, scene: Scene) -> Turns:
    """How long can a matter wait that the question names?"""
    asked = fill(
        dice,
        scene,
        dice.pick(
            (
                "{n}, {ref}, has {m}. [can it wait?|is that urgent?|how soon?]",
                "how [urgent|pressing] is {m}? [I ask for|it concerns] {n} in {town}.",
                "[can|may] {m} wait until {day}? {t} would like to know.",
            )
        ),
    )
    wait = dice.pick(WAIT[scene.matter.urgency])
    answer = fill(
        dice,
        scene,
        dice.pick(
            (
                wait + ". {t} has {m}, so note it in {ref}.",
                "with {m}, " + wait + ", {t}. the {team} will {s1}.",
                wait + ". {ct} of the {team} [tells|informs] {t} by {time2}.",
            )
        ),
    )
    return [(asked, answer)]


def reach(dice: Dice, scene: Scene) -> Turns:
    """How does the person wish to be answered?"""
    asked = ask(
        dice,
        scene,
        "[how does {t} wish to be reached?|how should we answer {n}?|call, letter or visit?"
        "|how do we reply?|what kind of reply does {t} want?]",
        note(dice, scene),
    )
    way = dice.pick(REACH[scene.wish])
    answer = fill(
        dice,
        scene,
        dice.pick(
            (
                way + ", says {n}.",
                "{n} would like to hear from us " + way + ".",
                "answer {t} " + way + ". the matter is {m}.",
                way + ". {t} has {m}.",
            )
        ),
    )
    return [(asked, answer)]


def triage_talk(dice: Dice, scene: Scene) -> Turns:
    """Team, urgency and reply of one note, asked turn by turn."""
    parts = [team_for_note, urgency_of_note, reach]
    turns: Turns = []
    for position, part in enumerate(dice.sample(parts, 2 + dice.below(2))):
        asked, answer = part(dice, scene)[0]
        if position:
            asked = min(asked.split("\n\n"), key=len)
        turns.append((asked, answer))
    return turns


def summary(dice: Dice, scene: Scene) -> Turns:
    """The note in one or two sentences."""
    asked = ask(
        dice,
        scene,
        "[sum up this note.|summarise this note in one sentence.|what is this note about?"
        "|give me the short version.|say it in brief.]",
        note(dice, scene),
    )
    way = dice.pick(REACH[scene.wish])
    answer = fill(
        dice,
        scene,
        dice.pick(
            (
                "{n} has {m} and wants an answer " + way + ".",
                "it is about {m}. {n} [wishes|asks] to be answered " + way + ".",
                "{t} brings {m}; the {team} should reply " + way + ".",
                "{n}: {m}, {rank}, for the {team}.",
            )
        ),
    )
    return [(asked, answer)]


def facts(dice: Dice, scene: Scene) -> Turns:
    """One fact that stands in the note."""
    subject, answer = dice.pick(
        (
            (
                "[who is this note about?|whose note is this?|name the person.]",
                "it is about {n}, the {person} with {m}.",
            ),
            (
                "[what is the matter with {n}?|what does {n} report?|why does {t} contact us?]",
                "{t} has {m}.",
            ),
            (
                "[what should the {team} do for {n}?|what happens next for {t}?]",
                "they will {s1} and {s2}, because {t} has {m}.",
            ),
        )
    )
    asked = ask(dice, scene, subject, note(dice, scene))
    return [(asked, fill(dice, scene, answer))]
