"""What moved a score, in sentences: families of features, words, and passages by leaving them out.

Everything is in points of the rubric and against the mean of the prompt's training texts.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .features import FAMILIES, FEATURES
from .hashing import places
from .messages import Feedback, Request

if TYPE_CHECKING:
    from .coding import Codec, Row

MAX_PASSAGES = 40
"""A text with more sentences is cut into so many groups of them."""
MOST_OF_A_KIND = 3
LEAST_SHARE = 0.01
"""Less than this share of the rubric's range is not worth a sentence."""

Outputs = Sequence[Mapping[str, npt.NDArray[Any]]]  # Any: each output has its own dtype


def explained(codec: "Codec", request: Request, rows: "Sequence[Row]", outputs: Outputs) -> tuple[Feedback, ...]:
    """Return what moved the score most, the strongest of each kind first."""
    rubric = codec.prompts[rows[0].prompt].rubric
    least = LEAST_SHARE * (rubric.high - rubric.low)
    reading = codec.read(request.text, rows[0].prompt)
    found = [*_passages(codec, rows, outputs, least)]
    if "effects" in outputs[0]:
        found += _features(codec, rows[0], outputs[0]["effects"], least)
    if "grams" in outputs[0] and len(rows[0].ids_L):
        found += _words(codec, rows[0], reading.words, reading.hashes_T, outputs[0]["grams"], least)
    if reading.repeated_share + reading.copied_share > 0:
        found.append(Feedback(kind="repeated", name="", effect=0.0, sentence=codec.sentence("repeated")))
    return tuple(found)


def _passages(codec: "Codec", rows: "Sequence[Row]", outputs: Outputs, least: float) -> list[Feedback]:
    whole = float(outputs[0]["raw"])
    moved = [
        (whole - float(output["raw"]), row.left_out)
        for row, output in zip(rows[1:], outputs[1:], strict=True)
        if row.left_out is not None
    ]
    strongest = sorted(moved, key=lambda one: -abs(one[0]))[:MOST_OF_A_KIND]
    return [
        Feedback(
            kind="passage",
            name="",
            effect=effect,
            sentence=_filled(codec, "passage_up" if effect > 0 else "passage_down", effect, moved="moved_passage"),
            start=start,
            end=end,
        )
        for effect, (start, end) in strongest
        if abs(effect) >= least
    ]


def _features(codec: "Codec", row: "Row", effects_G: npt.NDArray[Any], least: float) -> list[Feedback]:
    standard = codec.prompts[row.prompt].standardised(row.features_F)
    leading = {feature.family: i for i, feature in reversed(list(enumerate(FEATURES)))}
    found = []
    for g in np.argsort(-np.abs(effects_G), kind="stable")[:MOST_OF_A_KIND].tolist():
        effect, family = float(effects_G[g]), FAMILIES[g]
        if abs(effect) < least:
            break
        side = "above" if standard[leading[family]] > 0 else "below"
        sentence = _filled(codec, f"feature_{family}_{side}", effect)
        found.append(Feedback(kind="feature", name=family, effect=effect, sentence=sentence))
    return found


def _words(
    codec: "Codec",
    row: "Row",
    words: Sequence[str],
    hashes_T: npt.NDArray[np.uint64],
    grams_L: npt.NDArray[Any],
    least: float,
) -> list[Feedback]:
    first_words = [codec.gram_range(row.prompt)[0], codec.pool_range[0]]
    at_TB = [places(hashes_T, codec.prompts[row.prompt].words.hashes_V)]
    if codec.pool is not None:
        at_TB.append(places(hashes_T, codec.pool.words.hashes_V))
    effect_of = dict(zip(row.ids_L.tolist(), grams_L[: len(row.ids_L)].tolist(), strict=True))
    of_language = codec.lexicon.places(hashes_T)
    # The commonest words move a score too, but naming `these` or `use` helps nobody.
    is_common_T = codec.lexicon.are_common(of_language)
    effects: dict[str, float] = {}
    known = zip(words, zip(*(at.tolist() for at in at_TB), strict=True), is_common_T.tolist(), strict=True)
    for word, found_at, is_common in known:
        ids = [first + place for first, place in zip(first_words, found_at, strict=False) if place >= 0]
        if ids and not is_common and any(letter.isalpha() for letter in word):
            effects[word.lower()] = float(sum(effect_of[at] for at in ids))
    found: list[Feedback] = []
    for sign, name in ((1.0, "words_up"), (-1.0, "words_down")):
        best = sorted(effects.items(), key=lambda one: (-sign * one[1], one[0]))[:MOST_OF_A_KIND]
        best = [(word, effect) for word, effect in best if sign * effect > 0]
        total = sum(effect for _, effect in best)
        if abs(total) >= least:
            named = ", ".join(word for word, _ in best)
            sentence = _filled(codec, name, total, words=named)
            found.append(Feedback(kind="words", name=named, effect=total, sentence=sentence))
    return found


def _filled(codec: "Codec", name: str, effect: float, *, moved: str | None = None, words: str = "") -> str:
    points = f"{abs(effect):.1f}" if abs(effect) >= 0.05 else f"{abs(effect):.2f}"
    told = codec.sentence(moved or ("moved_up" if effect > 0 else "moved_down")).format(points=points)
    return codec.sentence(name).format(moved=told, points=points, words=words)
