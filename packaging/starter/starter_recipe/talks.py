"""Chats: questions and answers, instructions and short dialogues about a scene.

They teach, in prose, which team takes a matter and how long it can wait. They never show the
structured answer that the sample data teaches.
"""

from collections.abc import Callable

from starter_recipe.dice import Dice
from starter_recipe.errands import errand_chat
from starter_recipe.matters import URGENCIES
from starter_recipe.notes import DECISIONS, DETAILS, OPENINGS, fill, note, wish_sentence
from starter_recipe.scenes import Scene, clock, draw_scene

Turns = list[tuple[str, str]]

WAIT = {
    "urgent": (
        "it is urgent and cannot wait", "it is urgent, so somebody should act today",
        "it is urgent; every hour counts", "urgent, because harm may follow at once",
    ),
    "soon": (
        "it should be seen soon, within days", "soon, but not today",
        "it can wait a little, yet it should be handled soon", "soon, before it gets worse",
    ),
    "routine": (
        "it is routine and can wait", "it is routine, any free slot will do",
        "it is routine; nothing gets worse", "routine, with no hurry at all",
    ),
}
REACH = {
    "call": ("by phone", "with a call", "on the telephone"),
    "write": ("in writing", "with a letter or a mail", "by a written reply"),
    "visit": ("in person, with an appointment", "with a visit here", "at a meeting in the house"),
}


def _ask(dice: Dice, scene: Scene, question: str, body: str) -> str:
    """A question and the note it is about, in one of the usual layouts."""
    asked = fill(dice, scene, question)
    if dice.chance(0.75):
        return f"{asked}\n\n{body}"
    return f"{body}\n\n{asked}"


def team_for_note(dice: Dice, scene: Scene) -> Turns:
    """Which team takes the note?"""
    asked = _ask(
        dice, scene,
        "[which team should take this note?|who handles this?|where does this note belong?"
        "|route this note.|name the right team for this note.|sort this note.]",
        note(dice, scene),
    )
    answer = fill(dice, scene, dice.pick((
        "the {team}[, since|, because|, as] {n} has {m}.",
        "this belongs to the {team}: {n} [brings|has] {m}.",
        "{t} needs the {team} [for|because of] {m}.",
        "{m} is a matter for the {team}, so {t} goes there.",
        "send {t} to the {team}. they will {s1} and {s2}.",
        "the {team}. {t} has {m}, and they can {s1}.",
    )))
    return [(asked, answer)]


def team_for_matter(dice: Dice, scene: Scene) -> Turns:
    """Which team takes a matter that the question names?"""
    asked = fill(dice, scene, dice.pick((
        "[which team|who] [handles|takes|looks after] {m}? it [concerns|is for] {n}, {ref}.",
        "{n} has {m}. [who should see {him}?|where do I send {him}?|which team is right?]",
        "where [does|would] {m} go? [the name is|I ask for] {n}, {town}.",
        "[I am {n}.|my name is {n}.|{n} here.] I have {m}. who can help me?",
    )))
    answer = fill(dice, scene, dice.pick((
        "the {team} [takes|handles] {m}. {ct} can [enter|move] {ref} for {t}.",
        "{m} goes to the {team}, {t}. [ask for {cn}|the {role} there is {cn}].",
        "that is the {team}, {t}. they will {s1} at {place}.",
        "the {team} at {place} will {s1} and {s2} for {t}.",
        "for {m} please see the {team}. {ct} is there until {time2}.",
    )))
    return [(asked, answer)]


def urgency_of_note(dice: Dice, scene: Scene) -> Turns:
    """How long can the note wait?"""
    asked = _ask(
        dice, scene,
        "[how urgent is this?|can this wait?|how soon should we act?|is this urgent?"
        "|how long can this wait?|judge how pressing this note is.]",
        note(dice, scene),
    )
    wait = dice.pick(WAIT[scene.matter.urgency])
    answer = fill(dice, scene, dice.pick((
        wait + ": {t} has {m}.",
        "{n} has {m}: " + wait + ".",
        wait + ". tell {t} that the {team} will {s1}.",
        "for {t}, " + wait + ". the {team} takes {m}.",
    )))
    return [(asked, answer)]


def urgency_of_matter(dice: Dice, scene: Scene) -> Turns:
    """How long can a matter wait that the question names?"""
    asked = fill(dice, scene, dice.pick((
        "{n}, {ref}, has {m}. [can it wait?|is that urgent?|how soon?]",
        "how [urgent|pressing] is {m}? [I ask for|it concerns] {n} in {town}.",
        "[can|may] {m} wait until {day}? {t} would like to know.",
    )))
    wait = dice.pick(WAIT[scene.matter.urgency])
    answer = fill(dice, scene, dice.pick((
        wait + ". {t} has {m}, so note it in {ref}.",
        "with {m}, " + wait + ", {t}. the {team} will {s1}.",
        wait + ". {ct} of the {team} [tells|informs] {t} by {time2}.",
    )))
    return [(asked, answer)]


def reach(dice: Dice, scene: Scene) -> Turns:
    """How does the person wish to be answered?"""
    asked = _ask(
        dice, scene,
        "[how does {t} wish to be reached?|how should we answer {n}?|call, letter or visit?"
        "|how do we reply?|what kind of reply does {t} want?]",
        note(dice, scene),
    )
    way = dice.pick(REACH[scene.wish])
    answer = fill(dice, scene, dice.pick((
        way + ", says {n}.", "{n} would like to hear from us " + way + ".",
        "answer {t} " + way + ". the matter is {m}.",
        way + ". {t} has {m}.",
    )))
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
    asked = _ask(
        dice, scene,
        "[sum up this note.|summarise this note in one sentence.|what is this note about?"
        "|give me the short version.|say it in brief.]",
        note(dice, scene),
    )
    way = dice.pick(REACH[scene.wish])
    answer = fill(dice, scene, dice.pick((
        "{n} has {m} and wants an answer " + way + ".",
        "it is about {m}. {n} [wishes|asks] to be answered " + way + ".",
        "{t} brings {m}; the {team} should reply " + way + ".",
        "{n}: {m}, {rank}, for the {team}.",
    )))
    return [(asked, answer)]


def facts(dice: Dice, scene: Scene) -> Turns:
    """One fact that stands in the note."""
    subject, answer = dice.pick((
        ("[who is this note about?|whose note is this?|name the person.]",
         "it is about {n}, the {person} with {m}."),
        ("[what is the matter with {n}?|what does {n} report?|why does {t} contact us?]",
         "{t} has {m}."),
        ("[what should the {team} do for {n}?|what happens next for {t}?]",
         "they will {s1} and {s2}, because {t} has {m}."),
    ))
    asked = _ask(dice, scene, subject, note(dice, scene))
    return [(asked, fill(dice, scene, answer))]


def letter(dice: Dice, scene: Scene) -> Turns:
    """A short message to the person."""
    asked = fill(dice, scene, dice.pick((
        "write a [short|polite|kind] [reminder|message] to {n} about {m}, {day} at {time}, {place}.",
        "[tell|inform] {n} that the {team} will {s1} on {day} at {time}. [sign as|from] {cn}.",
        "[invite|ask] {n} to {place} on {date} at {time} because of {m}. [sign as|from] {cn}.",
    )))
    answer = fill(dice, scene, dice.pick((
        "dear {t}, [we expect you|please come] on {day} at {time}. the {team} will {s1} "
        "because of {m}. [kind regards|yours], {cn}",
        "dear {t}, about {m}: the {team} will {s1} and {s2}. [please bring {ref}|ask for "
        "{place}]. [best wishes|kind regards], {cn}",
        "good [morning|day], {t}. [your visit|the meeting] about {m} is on {day}, {time}. "
        "the {role} is {cn}, {place}.",
    )))
    return [(asked, answer)]


def plan(dice: Dice, scene: Scene) -> Turns:
    """The next steps, as a list."""
    asked = fill(dice, scene, dice.pick((
        "[list|give me|name] three steps for {n}, {ref}, who has {m}.",
        "what [should|will] the {team} do about {m}? [the name is|it is for] {n}, {ref}.",
        "[plan|outline] the work on {ref}: {n} has {m}.",
    )))
    answer = fill(dice, scene, dice.pick((
        "1. {s1} for {t}.\n2. {s2} at {place}.\n3. {s3} and close {ref}.",
        "first {s1} for {t}. then {s2}. last, {s3} and note it in {ref}.",
        "the {team} will {s1} with {t}, then {s2}, and {s3} before {ref} is closed.",
    )))
    return [(asked, answer)]


def compare(dice: Dice, scene: Scene) -> Turns:
    """Which of two matters comes first?"""
    other = draw_scene(dice)
    while other.matter.urgency == scene.matter.urgency:
        other = draw_scene(dice)
    first = min((scene, other), key=lambda each: URGENCIES.index(each.matter.urgency))
    second = other if first is scene else scene
    asked = dice.expand("[which comes first|which is more urgent|whom do we help first]: ").capitalize()
    asked += (
        f"{scene.matter.phrase} ({scene.words['n']}) or {other.matter.phrase} ({other.words['n']})?"
    )
    answer = dice.pick((
        f"{first.words['n']} comes first: {first.matter.phrase} is {first.words['rank']}. "
        f"{second.words['t']} follows, as {second.matter.phrase} is {second.words['rank']}.",
        f"Help {first.words['t']} first. {first.matter.phrase.capitalize()} is "
        f"{first.words['rank']}, {second.matter.phrase} is {second.words['rank']}.",
    ))
    return [(asked, answer)]


def wrong_team(dice: Dice, scene: Scene) -> Turns:
    """Is this the right team? Often it is not."""
    right = dice.chance(0.4)
    asked_team = scene.matter.team if right else dice.pick(scene.house.teams)
    right = asked_team is scene.matter.team
    name = f"{asked_team.name} team"
    asked = fill(dice, scene, f"[does|should] the {name} [take|see|handle] {{n}} with {{m}}?")
    answer = fill(dice, scene, dice.pick((
        "yes, {m} is for the {team}, so {t} is right there.",
        "yes. the {team} will {s1} for {t}.",
    ) if right else (
        f"no, {{t}} with {{m}} belongs to the {{team}}, not to the {name}.",
        "no. the {team} takes {m}; [send|bring] {t} there.",
    )))
    return [(asked, answer)]


def reschedule(dice: Dice, scene: Scene) -> Turns:
    """A visit moves to another time."""
    words = scene.words
    later = clock(dice)
    asked = fill(dice, scene, f"[move|shift] the visit of {{n}} from {{time}} to {later}, {{place}}.")
    answer = fill(dice, scene, dice.pick((
        f"done: {{t}} now comes at {later}, {{place}}, not at {{time}}.",
        f"{{n}} is moved to {later}. I told {{ct}} of the {{team}} at {{place}}.",
        f"the visit of {{t}} is now at {later}. {{place}} stays the same.",
    )))
    turns = [(asked, answer)]
    if dice.chance(0.5):
        turns.append((
            fill(dice, scene, f"thank you. [what does|what will] the {{team}} do for {words['t']}?"),
            fill(dice, scene, "they will {s1} and {s2}[|, then {s3}], {place}."),
        ))
    return turns


def dialogue(dice: Dice, scene: Scene) -> Turns:
    """A person talks to the desk."""
    wait = dice.pick(WAIT[scene.matter.urgency])
    turns = [
        (
            fill(dice, scene, "[hello|good morning|good day], [this is|I am] {n}. I [have|am calling "
                 "about] {m}."),
            fill(dice, scene, dice.pick((
                "[hello|good day], {t}. I will tell the {team} about {m}. [is {ref} still right|do "
                "you live in {town}]?",
                "thank you, {t}. {m} is for the {team}; {ct} can {s1}.",
            ))),
        ),
        (
            fill(dice, scene, "[how soon will that be?|is it urgent?|must I hurry?|can it wait?]"),
            fill(dice, scene, dice.pick((
                wait + ", {t}. please come to {place} at {time}.",
                wait + ". {ct} will write to you, {t}, by {day}.",
            ))),
        ),
    ]
    if dice.chance(0.4):
        turns.append((
            fill(dice, scene, "[thank you|thanks]. [what will they do?|what happens there?]"),
            fill(dice, scene, "the {team} will {s1}, {t}, and [maybe|often] {s2}."),
        ))
    return turns


def rewrite(dice: Dice, scene: Scene) -> Turns:
    """A hasty line becomes a polite sentence, or a note is continued."""
    if dice.chance(0.5):
        asked = fill(dice, scene, "[make this polite|say this kindly]: {t} must come {day}, {time}, "
                     "{place}, {m}")
        answer = fill(dice, scene, "[would you please come|we kindly ask you to come], {t}, on {day} "
                      "at {time} to {place}? [it is about|we would like to speak about] {m}.")
        return [(asked, answer)]
    asked = _ask(dice, scene, "[continue|go on with|finish] this note.",
                 fill(dice, scene, dice.pick(OPENINGS)))
    rest = [fill(dice, scene, pattern) for pattern in dice.sample(DETAILS, 1 + dice.below(2))]
    rest.append(wish_sentence(dice, scene))
    rest.append(fill(dice, scene, dice.pick(DECISIONS)))
    return [(asked, " ".join(rest))]


KINDS: tuple[Callable[[Dice, Scene], Turns], ...] = (
    team_for_note, team_for_note, team_for_matter, urgency_of_note, urgency_of_note,
    urgency_of_matter, reach, triage_talk, triage_talk, summary, facts, letter, plan, compare,
    wrong_team, reschedule, dialogue, rewrite, errand_chat, errand_chat, errand_chat,
)
SYSTEM_LINES = (
    "You help at the front desk of a {house}.", "You are an assistant in a {house}. Be brief.",
    "You work in a {house} and answer in plain English.",
)


def talk(dice: Dice, scene: Scene) -> list[dict[str, str]]:
    """A chat about ``scene`` as messages, sometimes with a system line."""
    messages: list[dict[str, str]] = []
    if dice.chance(0.06):
        line = dice.pick(SYSTEM_LINES).format(house=scene.house.name)
        messages.append({"role": "system", "content": line})
    for asked, answer in dice.pick(KINDS)(dice, scene):
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": answer})
    return messages


