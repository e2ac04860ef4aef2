"""Everyday errands of a workplace: orders, meetings, lost things, small talk.

They widen the vocabulary beyond the matters of the teams and have no team of their own.
"""

from starter_recipe.dice import Dice, listed, sentence_case
from starter_recipe.scenes import Scene

THINGS = listed(
    "envelopes|folders|staplers|notebooks|pencils|markers|erasers|rulers|calculators|stamps|"
    "labels|boxes|candles|batteries|cables|chargers|speakers|cameras|projectors|blankets|"
    "pillows|towels|gloves|masks|aprons|syringes|bandages|thermometers|crutches|wheelchairs|"
    "stretchers|bottles|cups|plates|forks|spoons|knives|kettles|teapots|trays|baskets|buckets|"
    "brooms|ladders|hammers|screws|nails|paint brushes|carpets|curtains|mirrors|clocks|"
    "cushions|benches|shelves|cabinets|drawers|safes|umbrellas|raincoats|suitcases|backpacks|"
    "helmets|whistles|flags|posters|banners|calendars|atlases|magazines|newspapers|"
    "dictionaries|manuals|tickets|vouchers|medals|ribbons"
)
FOODS = listed(
    "apples|pears|bananas|oranges|grapes|cherries|sandwiches|salads|soups|noodles|dumplings|"
    "pies|biscuits|muffins|pancakes|cheese rolls|olives|tomatoes|carrots|potatoes|mushrooms|"
    "lentils|almonds|walnuts|yoghurts|puddings|lemonades|juices|coffees|teas"
)
COLOURS = listed("red blue green yellow brown grey white purple orange silver golden pink")
QUALITIES = listed(
    "small large narrow wide heavy light cheap sturdy plain bright quiet soft smooth round "
    "square folding wooden metal plastic leather cotton spare clean simple modern"
)
TOPICS = listed(
    "the summer party|the budget|fire safety|the new website|the rota|parking permits|"
    "the canteen|recycling|the training week|the annual report|winter hours|the choir|"
    "the blood drive|the open day|noise in the hall|the football match|the charity run|"
    "visitor passes|the library corner|first aid|the archive move|the painting of the lobby|"
    "data protection|the mentor scheme|the garden project|the survey|water filters|"
    "the language course"
)
WEATHER = listed(
    "rain|snow|fog|a storm|bright sun|hail|thick clouds|a mild breeze|frost|a heat wave|"
    "drizzle|strong wind"
)
PASTIMES = listed(
    "swimming|hiking|painting|chess|cooking|gardening|cycling|knitting|fishing|singing|baking|"
    "sailing|pottery|photography|juggling|skating|archery|dancing|reading novels|bird watching"
)
PARCELS = listed("parcel|letter|crate|package|envelope|bag|bundle|carton")


def _words(dice: Dice, scene: Scene) -> dict[str, str]:
    thing, other = dice.sample(THINGS, 2)
    food, dish = dice.sample(FOODS, 2)
    return {
        **scene.words,
        "thing": thing,
        "other": other,
        "food": food,
        "dish": dish,
        "colour": dice.pick(COLOURS),
        "quality": dice.pick(QUALITIES),
        "topic": dice.pick(TOPICS),
        "weather": dice.pick(WEATHER),
        "hobby": dice.pick(PASTIMES),
        "parcel": dice.pick(PARCELS),
        "count": str(2 + dice.below(97)),
        "count2": str(2 + dice.below(97)),
        "minutes": str(10 + 5 * dice.below(16)),
    }


CHATS = (
    (
        "[order|get|buy] {count} {colour} {thing} [and|plus] {count2} {food} for {n}, {place}.",
        "[done|very well]: {count} {colour} {thing} and {count2} {food} [go|are on the way] to "
        "{t}, {place}.",
        "I have [ordered|asked for] {count} {colour} {thing} for {t}. the {food}, {count2} in all, "
        "come to {place}.",
    ),
    (
        "[plan|set up] a meeting on {topic} with {n} and {cn}, {day} at {time}, {place}.",
        "{topic}: {n} and {cn} meet on {day} at {time}, {place}.",
        "{t} and {ct} talk about {topic} on {day}. they meet at {time}, {place}, for {minutes} "
        "minutes.",
    ),
    (
        "where [are|can I find] the {quality} {thing}? {n} [needs|asks for] {count}.",
        "the {quality} {thing} are at {place}, {t}. take {count} and tell {cn}.",
        "ask {cn} at {place}. {ct} keeps {count} {quality} {thing} for {t}.",
    ),
    (
        "[who|which of them] likes {hobby}? {n} bakes, {cn} often talks about {hobby}.",
        "{ct} likes {hobby}, while {t} bakes.",
        "it is {cn} who likes {hobby}; {n} bakes.",
    ),
    (
        "[thank|write a thank-you line to] {n} for the {count} {food} and the {colour} {thing}.",
        "dear {t}, thank you for the {count} {food}. the {colour} {thing} are just "
        "right for {place}.",
        "thank you, {t}, for {count} {food} and the {colour} {thing}. {ct} was glad too.",
    ),
    (
        "is there {weather} in {town} on {day}? {n} travels at {time}.",
        "I cannot see the weather, {t}. [take|pack] something warm for {town} and leave at {time}.",
        "I do not know, {t}. if there is {weather} in {town}, ask {cn} about a later start.",
    ),
    (
        "[count|add up]: {n} has {count} {thing}, {cn} has none.",
        "there are {count} {thing}, all with {t}.",
        "{t} has {count} {thing} and {ct} has no {thing}.",
    ),
    (
        "[greet|welcome] {n}, our new {role}, who likes {hobby} and starts on {day}.",
        "welcome, {t}! your {role} desk is at {place}. on {day} {ct} will show you round and ask "
        "about {hobby}.",
        "good to have you here, {t}. you start on {day} as {role}; {cn} likes {hobby} as well.",
    ),
    (
        "a {colour} {parcel} for {n} came at {time}. [what now?|where should it go?]",
        "[keep|put] the {colour} {parcel} at {place} and call {t} on {ext}.",
        "please bring the {parcel} to {place}. {t} can fetch it from {ct} after {time}.",
    ),
)
PROSE = (
    "{cn} ordered {count} {colour} {thing} for {place}.",
    "a {quality} {parcel} for {n} [arrived|came] at {time}.",
    "{n} and {cn} met at {time} to talk about {topic}.",
    "because of {weather} in {town}, {t} came {minutes} minutes late.",
    "{t} [likes|enjoys] {hobby} and told {cn} about it on {day}.",
    "{ct} brought {count2} {food} and {count} {dish} for {place}.",
    "the {quality} {thing} at {place} [belong to|are kept for] {t}.",
    "{on} found {count} {colour} {thing} near {place}.",
    "for {topic}, {ct} needs {count} {thing} and {count2} {other} by {day}.",
    "{t} [lent|gave|handed] {ct} a {colour} {parcel} with {count} {other}.",
    "on {day} {on} counted {count} {thing} and {count2} {other}.",
    "{t} cooked {dish} for {on}, who had asked for {food}.",
    "{ct} moved the meeting on {topic} to {time2}, {place}.",
    "with {weather} ahead, {on} left {town} at {time2}.",
)


def errand_chat(dice: Dice, scene: Scene) -> list[tuple[str, str]]:
    """A question or an order, and its answer."""
    words = _words(dice, scene)
    asked, *answers = dice.pick(CHATS)
    return [
        (
            sentence_case(dice.expand(asked).format_map(words)),
            sentence_case(dice.expand(dice.pick(answers)).format_map(words)),
        )
    ]


def errand_prose(dice: Dice, scene: Scene) -> str:
    """Two to four sentences on what happened at the desk."""
    words = _words(dice, scene)
    patterns = dice.sample(PROSE, 2 + dice.below(3))
    return " ".join(sentence_case(dice.expand(each).format_map(words)) for each in patterns)
