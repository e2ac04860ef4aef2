"""Chats about a scene: letters, plans, comparisons and short dialogues, beside the questions."""

from collections.abc import Callable

from starter_recipe.dice import Dice
from starter_recipe.errands import errand_chat
from starter_recipe.matters import URGENCIES
from starter_recipe.notes import DECISIONS, DETAILS, OPENINGS, fill, wish_sentence
from starter_recipe.questions import (
    WAIT,
    Turns,
    ask,
    facts,
    reach,
    summary,
    team_for_matter,
    team_for_note,
    triage_talk,
    urgency_of_matter,
    urgency_of_note,
)
from starter_recipe.scenes import Scene, clock, draw_scene


def letter(dice: Dice, scene: Scene) -> Turns:
    """A short message to the person."""
    asked = fill(
        dice,
        scene,
        dice.pick(
            (
                "write a [short|polite|kind] [reminder|message] to {n} about {m}, "
                "{day} at {time}, {place}.",
                "[tell|inform] {n} that the {team} will {s1} on {day} at {time}. "
                "[sign as|from] {cn}.",
                "[invite|ask] {n} to {place} on {date} at {time} because of {m}. "
                "[sign as|from] {cn}.",
            )
        ),
    )
    answer = fill(
        dice,
        scene,
        dice.pick(
            (
                "dear {t}, [we expect you|please come] on {day} at {time}. the {team} will {s1} "
                "because of {m}. [kind regards|yours], {cn}",
                "dear {t}, about {m}: the {team} will {s1} and {s2}. [please bring {ref}|ask for "
                "{place}]. [best wishes|kind regards], {cn}",
                "good [morning|day], {t}. [your visit|the meeting] about {m} is on {day}, {time}. "
                "the {role} is {cn}, {place}.",
            )
        ),
    )
    return [(asked, answer)]


def plan(dice: Dice, scene: Scene) -> Turns:
    """The next steps, as a list."""
    asked = fill(
        dice,
        scene,
        dice.pick(
            (
                "[list|give me|name] three steps for {n}, {ref}, who has {m}.",
                "what [should|will] the {team} do about {m}? [the name is|it is for] {n}, {ref}.",
                "[plan|outline] the work on {ref}: {n} has {m}.",
            )
        ),
    )
    answer = fill(
        dice,
        scene,
        dice.pick(
            (
                "1. {s1} for {t}.\n2. {s2} at {place}.\n3. {s3} and close {ref}.",
                "first {s1} for {t}. then {s2}. last, {s3} and note it in {ref}.",
                "the {team} will {s1} with {t}, then {s2}, and {s3} before {ref} is closed.",
            )
        ),
    )
    return [(asked, answer)]


def compare(dice: Dice, scene: Scene) -> Turns:
    """Which of two matters comes first?"""
    other = draw_scene(dice)
    while other.matter.urgency == scene.matter.urgency:
        other = draw_scene(dice)
    first = min((scene, other), key=lambda each: URGENCIES.index(each.matter.urgency))
    second = other if first is scene else scene
    asked = dice.expand(
        "[which comes first|which is more urgent|whom do we help first]: "
    ).capitalize()
    asked += (
        f"{scene.matter.phrase} ({scene.words['n']}) or {other.matter.phrase} ({other.words['n']})?"
    )
    answer = dice.pick(
        (
            f"{first.words['n']} comes first: {first.matter.phrase} is {first.words['rank']}. "
            f"{second.words['t']} follows, as {second.matter.phrase} is {second.words['rank']}.",
            f"Help {first.words['t']} first. {first.matter.phrase.capitalize()} is "
            f"{first.words['rank']}, {second.matter.phrase} is {second.words['rank']}.",
        )
    )
    return [(asked, answer)]


def wrong_team(dice: Dice, scene: Scene) -> Turns:
    """Is this the right team? Often it is not."""
    right = dice.chance(0.4)
    asked_team = scene.matter.team if right else dice.pick(scene.house.teams)
    right = asked_team is scene.matter.team
    name = f"{asked_team.name} team"
    asked = fill(dice, scene, f"[does|should] the {name} [take|see|handle] {{n}} with {{m}}?")
    answer = fill(
        dice,
        scene,
        dice.pick(
            (
                "yes, {m} is for the {team}, so {t} is right there.",
                "yes. the {team} will {s1} for {t}.",
            )
            if right
            else (
                f"no, {{t}} with {{m}} belongs to the {{team}}, not to the {name}.",
                "no. the {team} takes {m}; [send|bring] {t} there.",
            )
        ),
    )
    return [(asked, answer)]


def reschedule(dice: Dice, scene: Scene) -> Turns:
    """A visit moves to another time."""
    words = scene.words
    later = clock(dice)
    asked = fill(
        dice, scene, f"[move|shift] the visit of {{n}} from {{time}} to {later}, {{place}}."
    )
    answer = fill(
        dice,
        scene,
        dice.pick(
            (
                f"done: {{t}} now comes at {later}, {{place}}, not at {{time}}.",
                f"{{n}} is moved to {later}. I told {{ct}} of the {{team}} at {{place}}.",
                f"the visit of {{t}} is now at {later}. {{place}} stays the same.",
            )
        ),
    )
    turns = [(asked, answer)]
    if dice.chance(0.5):
        turns.append(
            (
                fill(
                    dice,
                    scene,
                    f"thank you. [what does|what will] the {{team}} do for {words['t']}?",
                ),
                fill(dice, scene, "they will {s1} and {s2}[|, then {s3}], {place}."),
            )
        )
    return turns


def dialogue(dice: Dice, scene: Scene) -> Turns:
    """A person talks to the desk."""
    wait = dice.pick(WAIT[scene.matter.urgency])
    turns = [
        (
            fill(
                dice,
                scene,
                "[hello|good morning|good day], [this is|I am] {n}. I [have|am calling about] {m}.",
            ),
            fill(
                dice,
                scene,
                dice.pick(
                    (
                        "[hello|good day], {t}. I will tell the {team} about {m}. "
                        "[is {ref} still right|do you live in {town}]?",
                        "thank you, {t}. {m} is for the {team}; {ct} can {s1}.",
                    )
                ),
            ),
        ),
        (
            fill(dice, scene, "[how soon will that be?|is it urgent?|must I hurry?|can it wait?]"),
            fill(
                dice,
                scene,
                dice.pick(
                    (
                        wait + ", {t}. please come to {place} at {time}.",
                        wait + ". {ct} will write to you, {t}, by {day}.",
                    )
                ),
            ),
        ),
    ]
    if dice.chance(0.4):
        turns.append(
            (
                fill(dice, scene, "[thank you|thanks]. [what will they do?|what happens there?]"),
                fill(dice, scene, "the {team} will {s1}, {t}, and [maybe|often] {s2}."),
            )
        )
    return turns


def rewrite(dice: Dice, scene: Scene) -> Turns:
    """A hasty line becomes a polite sentence, or a note is continued."""
    if dice.chance(0.5):
        asked = fill(
            dice,
            scene,
            "[make this polite|say this kindly]: {t} must come {day}, {time}, {place}, {m}",
        )
        answer = fill(
            dice,
            scene,
            "[would you please come|we kindly ask you to come], {t}, on {day} "
            "at {time} to {place}? [it is about|we would like to speak about] {m}.",
        )
        return [(asked, answer)]
    asked = ask(
        dice,
        scene,
        "[continue|go on with|finish] this note.",
        fill(dice, scene, dice.pick(OPENINGS)),
    )
    rest = [fill(dice, scene, pattern) for pattern in dice.sample(DETAILS, 1 + dice.below(2))]
    rest.append(wish_sentence(dice, scene))
    rest.append(fill(dice, scene, dice.pick(DECISIONS)))
    return [(asked, " ".join(rest))]


KINDS: tuple[Callable[[Dice, Scene], Turns], ...] = (
    team_for_note,
    team_for_note,
    team_for_matter,
    urgency_of_note,
    urgency_of_note,
    urgency_of_matter,
    reach,
    triage_talk,
    triage_talk,
    summary,
    facts,
    letter,
    plan,
    compare,
    wrong_team,
    reschedule,
    dialogue,
    rewrite,
    errand_chat,
    errand_chat,
    errand_chat,
)
SYSTEM_LINES = (
    "You help at the front desk of a {house}.",
    "You are an assistant in a {house}. Be brief.",
    "You work in a {house} and answer in plain English.",
)


def as_messages(turns: Turns, system: str | None = None) -> tuple[dict[str, str], ...]:
    """Pairs of question and answer as the messages of a chat."""
    messages = [] if system is None else [{"role": "system", "content": system}]
    for asked, answer in turns:
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": answer})
    return tuple(messages)


def talk(dice: Dice, scene: Scene) -> tuple[dict[str, str], ...]:
    """A chat about ``scene``, sometimes with a system line."""
    system = None
    if dice.chance(0.06):
        system = dice.pick(SYSTEM_LINES).format(house=scene.house.name)
    return as_messages(dice.pick(KINDS)(dice, scene), system)
