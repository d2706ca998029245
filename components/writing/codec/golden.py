"""Synthetic texts for the golden answers of a release: no student wrote a word of them."""

import random
from collections.abc import Sequence

from .messages import Request

_OPENINGS = ("I think that", "In my opinion", "The author says that", "Many people believe that", "It is clear that")
_NOUNS = ("people", "the story", "a computer", "the library", "my family", "the weather", "a person", "the author")
_VERBS = ("can help", "should change", "will make", "often shows", "does not need", "may bring", "talks about")
_OBJECTS = ("a better day", "the reader", "new things", "the problem", "their friends", "more time", "what happens")
_ENDINGS = ("because it is important", "and that is why it matters", "in the end", "so that everyone can learn", "")
_ODD = (
    "",
    "   \n\t ",
    "yes",
    "qwx zzkp vrrt mnb lkjh pqow zxcv qqrt wpld kjhg bnmz xcvq plok wqas",
    "\u041c\u044b \u0447\u0438\u0442\u0430\u0435\u043c \u043a\u043d\u0438\u0433\u0443. " * 12,
    '\U0001f600\U0001f600 \u202etxet \x00 <b>bold</b> &amp; "quoted',
)


def requests(prompts: Sequence[str], count: int, seed: int) -> list[Request]:
    """Return `count` requests; the first are odd ones, the others responses of many lengths, every third explained."""
    source = random.Random(seed)
    found = [Request(prompt=source.choice(prompts), text=text) for text in _ODD]
    while len(found) < count:
        text = _text(source, source.choice((1, 3, 8, 15, 25, 40)))
        found.append(Request(prompt=prompts[len(found) % len(prompts)], text=text, explain=len(found) % 3 == 0))
    return found[:count]


def _text(source: random.Random, sentences: int) -> str:
    return " ".join(_sentence(source) + source.choice(("", "", "\n")) for _ in range(sentences))


def _sentence(source: random.Random) -> str:
    parts = (_OPENINGS, _NOUNS, _VERBS, _OBJECTS, _ENDINGS)
    return " ".join(filter(None, (source.choice(part) for part in parts))) + source.choice((".", ".", ".", "!", "?"))
