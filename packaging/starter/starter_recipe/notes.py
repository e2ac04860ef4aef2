"""Notes: what somebody at a desk wrote down about one scene.

A template names something of its scene (a person, a number, a time) at least every dozen words,
so that no long stretch of it can recur by chance in another document.
"""

from starter_recipe.dice import Dice, sentence_case
from starter_recipe.scenes import Scene

OPENINGS = (
    "{n} [called|rang|phoned] at {time} [about|because of|with] {m}.",
    "{n} from {town} [reports|mentions|describes] {m}.",
    "At {time} {n} [came in|stopped by|turned up] [with|because of|about] {m}.",
    "{person} {n}, {ref}, [reports|has|tells us of] {m}.",
    "[message|word|news] from {n} at {time}: [there is|it concerns|it is about] {m}.",
    "{cn} [took a call|took a message|had a note] from {n} about {m}.",
    "since {day} {n} [has had to deal with|has been living with|struggles with] {m}.",
    "{role} {cn} [passes on|notes|writes down] {m} for {n}.",
    "{ref}: {n} [wrote|told us|let us know] on {day} about {m}.",
    "[we heard|we learned] on {date} that {n} has {m}.",
    "{n} [stands|waits|sits] at {place} with {m}.",
    "on {date} {n} [raised|brought up|named] {m}.",
    "{t}, {street}, [speaks of|complains of|asks about] {m}.",
    "[the matter|the reason|the subject] {n} gave at {time} is {m}.",
)
DETAILS = (
    "it [began|started|was first seen] {span} ago in {town}.",
    "{he} [noticed|saw|found] it on {day} at {time2}.",
    "{his} [friend|cousin|neighbour|partner|assistant] {on} [was there|can confirm it|saw it too].",
    "the [number|reference] is {ref}.",
    "{t} [lives|works|stays] at {street}.",
    "{role} {cn} [was on duty|was present|was told] at {place}.",
    "{t} had [asked|been here|written] before, on {date}.",
    "{cn} [looked at it|made a short entry|checked the papers] at {time2}.",
    "[so far|until now] {t} has [paid|spent|set aside] {sum}.",
    "{he} [was last here|last called|last wrote] on {date} and spoke with {ct}.",
    "the [forms|papers|details] are with {cn} at {place}.",
    "{role2} {on} [took the details|opened {ref}|made a copy] at {time2}.",
    "{t} [sounded calm|sounded tired|seemed worried|was friendly|was in a hurry] when {ct} asked.",
    "[nothing like it|the same] happened to {him} in {town} on {date}.",
    "{f} [keeps|has kept] a [list|diary|record] since {date}.",
    "[a copy|a photo|a short list] lies in {place} under {ref}.",
    "it [comes and goes|has not changed|stays the same], {t} told {ct}.",
    "[mail goes|we write] to {mail}, [says|adds] {t}.",
    "{on} [drove|sent|brought] {him} [here|to us] from {town}.",
)
WISHES = {
    "call": (
        "{he} [would like|asks for|hopes for] a call [after|before|at] {time2}.",
        "please [ring|phone|call] {him} on {ext}.",
        "{t} [can be reached|is best reached] by phone, {ext}.",
        "{he} [wants to be phoned|asks us to ring back] on {day2}.",
        "[best by telephone|by phone please], {t} said, {ext}.",
    ),
    "write": (
        "{he} [would like|asks for|prefers] an answer [by letter|by e-mail|in writing].",
        "please [write|send a letter|send a note] to {t}, {street}.",
        "{t} [wants|asks for] a [written reply|short letter|mail] by {day2}.",
        "[a letter|an e-mail|a written answer] is enough for {t}.",
        "{he} [reads|checks] {his} mail on {day2} and [waits for our lines|wants a reply there].",
    ),
    "visit": (
        "{he} [can come in|can come by|could visit us] on {day2} at {time2}.",
        "{t} [asks for|wants|would like] [an appointment|a visit|a meeting] on {day2}.",
        "{he} [wants to speak in person|prefers to come here], [best|ideally] on {day2}.",
        "please [offer|find] {t} [a slot|an appointment] on {day2}.",
        "{t} [is free|has time] to come to {place} on {day2}.",
    ),
}
CLOSINGS = (
    "noted by {cn}, {date}.",
    "entry made at {time2}, {role} {cn}.",
    "signed {cn}, {place}.",
    "{ct} [keeps|holds] {ref} open.",
    "[copy to|seen by] {on} on {date}.",
)


DECISIONS = (
    "{ct} [passed {ref} to|sent {ref} to|called] the {team}, as {m} is [their field|their task].",
    "[because|since] {m} is {rank}, {ct} told {t} [what comes next|what to expect].",
    "the {team} will {s1} [for {t}|in {ref}], [then|and after that] {s2}.",
    "{ct} [marked|filed] {ref} as {level} at {time2}.",
    "the {team} [expects|sees|meets] {t} at {place} to {s3}.",
    "for {t} the {team} wants to {s2} and {s1} by {day}.",
    "{on} of the {team} [agreed|offered] to {s1} for {t} on {day}.",
)


def fill(dice: Dice, scene: Scene, pattern: str) -> str:
    """``pattern`` with its brackets drawn and its slots filled from ``scene``."""
    return sentence_case(dice.expand(pattern).format_map(scene.words))


def wish_sentence(dice: Dice, scene: Scene) -> str:
    """How the person of ``scene`` wishes to be answered."""
    return fill(dice, scene, dice.pick(WISHES[scene.wish]))


def note(dice: Dice, scene: Scene, most_details: int = 3) -> str:
    """A note of an opening, one to ``most_details`` details, a wish, and often a closing."""
    parts = [fill(dice, scene, dice.pick(OPENINGS))]
    details = dice.sample(DETAILS, 1 + dice.below(most_details))
    parts += [fill(dice, scene, pattern) for pattern in details]
    parts.insert(1 + dice.below(len(parts)), wish_sentence(dice, scene))
    if dice.chance(0.4):
        parts.append(fill(dice, scene, dice.pick(CLOSINGS)))
    return " ".join(parts)


def plain_note(dice: Dice, scene: Scene) -> str:
    """A note that also says what was decided: team, urgency, and the next steps."""
    parts = [note(dice, scene, most_details=2)]
    tails = dice.sample(DECISIONS, 1 + dice.below(3))
    parts += [fill(dice, scene, pattern) for pattern in tails]
    return " ".join(parts)
