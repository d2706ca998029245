"""Surface features of a text: what can be counted without knowing what it says.

Each has a name and belongs to a family; feedback speaks of families, as a reader cannot tell `sqrt_words` from `words`.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .hashing import Hashes
from .reading import Reading
from .references import Reference, likeness, share_of


@dataclass(frozen=True, slots=True)
class Feature:
    """One number of a text."""

    name: str
    family: str
    phrase: str
    """What it measures, in a teacher's words."""


FEATURES = (
    Feature("log_words", "length", "how many words there are, on a logarithmic scale"),
    Feature("log_characters", "length", "how many characters there are, on a logarithmic scale"),
    Feature("sqrt_words", "length", "the square root of the number of words"),
    Feature("words", "length", "how many words there are, in hundreds"),
    Feature("mean_word_letters", "word length", "how long words are on average"),
    Feature("sd_word_letters", "word length", "how much the length of words varies"),
    Feature("share_six_letters", "word length", "which share of the words has six letters or more"),
    Feature("share_eight_letters", "word length", "which share of the words has eight letters or more"),
    Feature("log_distinct", "vocabulary", "how many different words there are, on a logarithmic scale"),
    Feature("distinct_per_root", "vocabulary", "how many different words there are for a text of this length"),
    Feature("log_sentences", "length", "how many sentences there are, on a logarithmic scale"),
    Feature("mean_sentence_words", "sentences", "how long sentences are on average"),
    Feature("sd_sentence_words", "sentences", "how much the length of sentences varies"),
    Feature("commas_per_word", "punctuation", "how many commas there are per word"),
    Feature("log_commas", "punctuation", "how many commas there are, on a logarithmic scale"),
    Feature("quotes_per_word", "punctuation", "how many quotation marks there are per word"),
    Feature("log_marks", "punctuation", "how many question and exclamation marks there are"),
    Feature("log_colons", "punctuation", "how many colons and semicolons there are"),
    Feature("log_names", "names", "how many words begin with @, as the marks of hidden names and numbers do"),
    Feature("log_once", "vocabulary", "how many words are used once only, on a logarithmic scale"),
    Feature("log_seven_letters", "word length", "how many words have seven letters or more"),
    Feature("share_capitals", "sentences", "which share of the sentences begins with a capital letter"),
    Feature("reference_share", "reference", "which share of a reference answer's words occurs"),
    Feature("reference_cosine", "reference", "how alike the words and those of a reference answer are"),
    Feature("reference_precision", "reference", "which share of the words a reference answer has too"),
    Feature("reference_runs", "reference", "how alike the letters and those of a reference answer are"),
    Feature("reference_order", "reference", "how few words must be changed to have a reference answer"),
    Feature("reference_beyond", "reference", "which share of a reference answer's words beyond the question occurs"),
    Feature("question_share", "question", "which share of the words the question has too"),
)
NAMES = tuple(feature.name for feature in FEATURES)
FAMILIES = tuple(dict.fromkeys(feature.family for feature in FEATURES))
CLIP = 4.0
"""Standardised features end here: a model is not asked about what training never saw."""

_AT, _FULL_STOP, _EXCLAMATION, _QUESTION = (np.uint64(ord(mark)) for mark in "@.!?")
_ASCII = 128
_NO_WORDS: Hashes = np.zeros(0, np.uint64)


def surface_features(
    reading: Reading, references: tuple[Reference, ...] = (), question: Hashes = _NO_WORDS
) -> npt.NDArray[np.float32]:
    """Return the features of `FEATURES`, in their order; all are finite for any text.

    Args:
        reading: of the text.
        references: answers that are known to be right.
        question: sorted hashes of the distinct words of the prompt's own text, where there are reference answers.
    """
    is_word = reading.is_word_T
    lengths = reading.letters.lengths_T[is_word]
    count = len(lengths)
    n = max(1, count)
    first = reading.letters.points_C[reading.letters.starts_T]
    marks = np.bincount(first[~is_word].astype(np.int64), minlength=_ASCII).tolist()
    asked = marks[ord("!")] + marks[ord("?")]
    commas = marks[ord(",")]
    by_length = np.bincount(lengths, minlength=9).tolist()
    seven = count - sum(by_length[:7])
    distinct, times = reading.distinct_S, reading.times_S
    sentences, mean_words, sd_words, capitals = _sentences(reading, first, asked + marks[ord(".")])
    mean, sd = _mean_sd(lengths)
    like = likeness(reading, references, question)
    values = (
        math.log1p(count),
        math.log1p(len(reading.letters.points_C)),
        math.sqrt(n),
        count / 100.0,
        mean,
        sd,
        (seven + by_length[6]) / n,
        (seven - by_length[7]) / n,
        math.log1p(len(distinct)),
        len(distinct) / math.sqrt(2.0 * n),
        math.log1p(sentences),
        mean_words / 20.0,
        sd_words / 20.0,
        commas / n,
        math.log1p(commas),
        marks[ord('"')] / n,
        math.log1p(asked),
        math.log1p(marks[ord(";")] + marks[ord(":")]),
        math.log1p(int(np.count_nonzero(first == _AT))),
        math.log1p(int(np.count_nonzero(times == 1))),
        math.log1p(seven),
        capitals,
        like.share,
        like.cosine,
        like.precision,
        like.runs,
        like.order,
        like.beyond_question,
        share_of(distinct, question),
    )
    return np.array(values, np.float32)


def standardised(
    features: npt.NDArray[np.float32], mean: npt.NDArray[np.float32], sd: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return features as distances from a prompt's mean in standard deviations, at most `CLIP` of them."""
    found: npt.NDArray[np.float32] = np.clip((features - mean) / sd, -CLIP, CLIP)
    return found


def _mean_sd(numbers: npt.NDArray[np.int64]) -> tuple[float, float]:
    if not len(numbers):
        return 0.0, 0.0
    mean = int(numbers.sum()) / len(numbers)
    return mean, math.sqrt(max(0.0, int(numbers @ numbers) / len(numbers) - mean * mean))


def _sentences(reading: Reading, first: npt.NDArray[np.uint64], ends: int) -> tuple[int, float, float, float]:
    """Return the number of sentences with a word in them, mean and sd of their words, and the share of capitals."""
    at_word = reading.is_word_T.nonzero()[0]
    if not len(at_word):
        return 0, 0.0, 0.0, 0.0
    if not ends:
        begins = at_word[:1]
        mean, sd = float(len(at_word)), 0.0
    else:
        is_end = (first == _FULL_STOP) | (first == _EXCLAMATION) | (first == _QUESTION)
        of_word = is_end.cumsum()[at_word]
        sizes = np.bincount(of_word)
        sizes = sizes[sizes > 0]
        mean, sd = _mean_sd(sizes)
        begins = at_word[sizes.cumsum() - sizes]
    return len(begins), mean, sd, sum(reading.words[i][0].isupper() for i in begins.tolist()) / len(begins)
