"""Whether a text can be graded at all: signals of it, each against a limit that training texts set.

A signal is a number that is low where something is wrong. A limit is where the lowest few training texts of the prompt
lie, each seen as if it were new.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from .hashing import pair_hashes, places, trigram_keys
from .lexicon import Lexicon, Sieve
from .reading import Reading

RUN_TOKENS = 24
"""A list of keywords in a text shows as a run of so many words without common ones."""
RUN_PAIRS = 32
"""Or, where the keywords are common ones, as a run of so many pairs of words that nobody writes side by side."""
FEW_TRIPLES = 0.9
"""Where more triples of characters are known, so are their letters."""
MOST_COPIED = 0.5
"""A larger share of passages from the prompt's own text is no response."""
OF_THE_TRIPLES = 0.6
"""Below this times the limit of known letter triples, a text is gibberish or in another script."""
OF_ANOTHER_LANGUAGE = 0.8
"""Languages in the same letters share more of their triples than this, letters in no order fewer."""
MOST_FOREIGN = 0.5
"""With fewer characters of the training's alphabet, it is another script."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What the checks look at; each is low where something is wrong."""

    words: float
    """How many words count."""
    known: float
    """Share of the words that training held in several texts."""
    common: float
    """Share of the words that are among the commonest."""
    pairs: float
    """Share of the neighbouring known words, marks aside, that several training texts hold side by side."""
    order: float
    """Least share of such pairs in any run of `RUN_PAIRS`: a list of keywords in a text shows, whatever the words. 1
    for a shorter text, of which `pairs` tells as much."""
    letters: float
    """Share of the characters that are in the alphabet of the training texts; 1 where triples already say so."""
    trigrams: float
    """Share of triples of characters that several training texts hold."""
    window: float
    """Least share of common words in any run of `RUN_TOKENS`."""
    topic: float
    """Mean log ratio of the words' rates in this prompt's texts and in those of others."""
    coverage: float
    """Mean log rate of the words in this prompt's texts."""
    typical: float
    """Root mean square of the standardised features, negative."""
    brevity: float
    """How many words count, negative: low for a text that is far longer than any of the training."""


NAMES = tuple(field.name for field in fields(Signals))


def signals(
    reading: Reading,
    places_T: npt.NDArray[np.int64],
    standard_F: npt.NDArray[np.float32],
    lexicon: Lexicon,
    prompt: int,
    *,
    own: bool = False,
    pairs: Sieve | None = None,
    trigrams: Sieve | None = None,
) -> Signals:
    """Return the signals of a text.

    Args:
        reading: of the text.
        places_T: of its tokens, from `lexicon.places`.
        standard_F: its features in standard deviations from the prompt's mean, not clipped.
        lexicon: of the training texts.
        prompt: index of the prompt.
        own: the text is one of the training texts, and is to be seen as if it were not.
        pairs: pairs that are known without this text; the lexicon's own unless given.
        trigrams: likewise.
    """
    known_T = places_T >= 0
    distinct_known = lexicon.places(reading.distinct_S)
    distinct_known = distinct_known[distinct_known >= 0]
    if own:  # what just enough texts hold would be unknown without this one
        known_T[known_T] = lexicon.totals_V[places_T[known_T]] > lexicon.least
        distinct_known = distinct_known[lexicon.totals_V[distinct_known] > lexicon.least]
    count = max(1, reading.word_count)
    is_common = (lexicon.are_common(places_T) & known_T)[reading.is_word_T]
    known_W = known_T[reading.is_word_T]
    neighbours = pair_hashes(reading.hashes_T[reading.is_word_T])[known_W[:-1] & known_W[1:]]
    are_met = (pairs or lexicon.pairs).has(neighbours)
    triples = _share((trigrams or lexicon.trigrams).has(trigram_keys(reading.letters.points_C)))
    unknown = len(reading.distinct_S) - len(distinct_known)
    topic, coverage = lexicon.topic(prompt, distinct_known, unknown, int(own))
    bounded = np.minimum(np.abs(standard_F), 10.0)
    return Signals(
        words=float(reading.word_count),
        known=int(np.count_nonzero(known_T & reading.is_word_T)) / count,
        common=int(np.count_nonzero(is_common)) / count,
        pairs=_share(are_met),
        order=_least_share(are_met, RUN_PAIRS) if len(are_met) >= RUN_PAIRS else 1.0,
        trigrams=triples,
        letters=1.0 if triples > FEW_TRIPLES else _share(places(reading.letters.points_C, lexicon.alphabet) >= 0),
        window=_least_share(is_common, RUN_TOKENS),
        topic=topic,
        coverage=coverage,
        typical=-(float(bounded @ bounded / max(1, len(bounded))) ** 0.5),
        brevity=-float(reading.word_count),
    )


def reason_to_abstain(reading: Reading, found: Signals, limits: Signals) -> str | None:
    """Return the code of the first reason not to grade a text, or None."""
    if not reading.written:
        return "empty"
    if reading.copied_share > MOST_COPIED:
        return "copied_prompt"
    if not found.words:
        return "too_short"
    if found.trigrams < limits.trigrams * OF_THE_TRIPLES:
        # Letters that training never saw are another script; its own letters in no order are gibberish.
        return "gibberish" if found.letters >= MOST_FOREIGN else "not_the_language"
    if found.words < limits.words:
        return "too_short"
    if found.known < limits.known or found.common < limits.common:
        if found.topic < limits.topic and found.known >= limits.known:
            return "off_prompt"
        return "gibberish" if found.trigrams < limits.trigrams * OF_ANOTHER_LANGUAGE else "not_the_language"
    if found.pairs < limits.pairs:
        return "off_prompt" if found.topic < limits.topic else "gibberish"
    if found.topic < limits.topic or found.coverage < limits.coverage:
        return "off_prompt"
    if (
        found.window < limits.window
        or found.order < limits.order
        or found.typical < limits.typical
        or found.brevity < limits.brevity
    ):
        return "outside_training"
    return None


def _share(flags: npt.NDArray[np.bool_]) -> float:
    return int(np.count_nonzero(flags)) / len(flags) if len(flags) else 1.0


def _least_share(flags: npt.NDArray[np.bool_], size: int) -> float:
    if not len(flags):
        return 0.0
    if len(flags) <= size:
        return int(np.count_nonzero(flags)) / len(flags)
    sums = np.zeros(len(flags) + 1, np.int64)
    flags.cumsum(out=sums[1:])
    return int((sums[size:] - sums[:-size]).min()) / size
