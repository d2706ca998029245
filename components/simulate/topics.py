"""Topics of simulated writing: a question each, and words that belong to it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What simulated students write about."""

    name: str
    question: str
    nouns: tuple[str, ...]
    """Plain words first, rarer ones later: better writing reaches further."""
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]


def _topic(name: str, question: str, nouns: str, verbs: str, adjectives: str) -> Topic:
    return Topic(
        name=name,
        question=question,
        nouns=tuple(nouns.split()),
        verbs=tuple(verbs.split()),
        adjectives=tuple(adjectives.split()),
    )


TOPICS = (
    _topic(
        "rivers",
        "Explain how a river changes the land on its way from the mountains to the sea.",
        "water river stone sand valley flood bank mud rain lake waterfall delta current sediment meander erosion gorge "
        "tributary estuary floodplain",
        "moves carries washes cuts pushes drops shapes deposits erodes transports undercuts dissolves",
        "fast wide deep cold heavy steep slow fertile gradual abrasive",
    ),
    _topic(
        "computers",
        "Do computers make people's lives better? Give reasons for your opinion.",
        "computer game screen internet friend email homework website program keyboard video information software "
        "network privacy technology communication research algorithm isolation",
        "helps plays shows sends teaches connects distracts replaces improves informs automates encourages",
        "fast fun new easy useful online social lonely digital efficient",
    ),
    _topic(
        "plants",
        "Describe how a green plant makes its food, and what it needs for that.",
        "plant leaf sun light water air root stem sugar flower soil seed oxygen energy glucose carbon chlorophyll "
        "photosynthesis stomata chloroplast",
        "grows makes takes uses drinks needs stores absorbs releases produces converts synthesises",
        "green bright warm thin wet healthy broad chemical soluble cellular",
    ),
    _topic(
        "patience",
        "Tell a story about a time when somebody was patient.",
        "brother mother line bus game doctor friend baby dinner waiting room grandmother minute puzzle silence temper "
        "promise appointment frustration perseverance",
        "waited asked listened smiled sat helped counted whispered hoped sighed endured reassured",
        "long calm late hungry quiet bored little restless gentle remarkable",
    ),
    _topic(
        "museum",
        "Should school classes visit museums? Convince your head teacher.",
        "museum class teacher trip bus picture painting dinosaur ticket guide history room statue culture exhibition "
        "curator artefact curriculum heritage archaeology",
        "shows teaches costs explains takes opens visits inspires displays preserves illustrates enriches",
        "old big famous boring interesting real expensive historical educational unforgettable",
    ),
    _topic(
        "circuits",
        "Why does a bulb go out when another bulb in the same loop is broken?",
        "bulb battery wire light switch loop power gap path metal terminal circuit current voltage connection filament "
        "series resistance conductor electron",
        "lights breaks stops flows goes connects closes opens interrupts completes conducts supplies",
        "broken bright closed open full dark electric parallel continuous conductive",
    ),
)
