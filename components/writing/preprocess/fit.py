"""Fits the codec on training texts: vocabularies, usual features, and the limits of what is graded.

Shapes: N training texts of a prompt, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from components.writing.codec import FEATURES, Codec, Rubric
from components.writing.codec.checks import NAMES, Signals, signals
from components.writing.codec.features import surface_features
from components.writing.codec.hashing import Hashes, counted, pair_hashes, trigram_keys
from components.writing.codec.lexicon import Lexicon, Sieve
from components.writing.codec.reading import Reading, passage_hashes, read
from components.writing.codec.references import Reference
from components.writing.codec.terms import Block, Pool, PromptTerms, character_grams, word_grams
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.counts import Counter, Counts, kept
from components.writing.preprocess.tokenizer import read_tokenizer

LONGER_THAN_ANY = 1.5
"""A text so many times as long as the longest of training is outside of what training saw."""
OFF_PROMPT = 2.5
"""A response to another prompt is the likeliest mistake of all: its check may refuse so many times more than others."""
FAR_OFF = 5.0
"""So many robust standard deviations below the median, a training text itself responds to something else."""
LEAST_ORDER = 0.55
"""A run with a lower share of known pairs than this times the median's is odd, though some of training's are so too."""
ODD_ORDER = 2.0
"""For such runs, so many times more of responses like those of training may be refused than by other checks."""
ENOUGH = 200
MOST_PAIRS = 2_000_000
MOST_FOR_LIMITS = 4_000
"""Of more texts of a prompt, every second or third or so sets the limits: their share is what counts."""
Seen = tuple[Reading, npt.NDArray[np.float32]]
NO_WORDS: Hashes = np.zeros(0, np.uint64)
ANY_TOPIC = -1e9
NO_LIMITS = Signals(*(-np.inf for _ in NAMES))


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTexts:
    """A prompt and the texts of its training responses."""

    name: str
    rubric: Rubric
    traits: dict[str, Rubric] = field(default_factory=dict)
    text: str | None = None
    """The prompt's own text."""
    references: tuple[str, ...] = ()
    responses: Sequence[str] = ()


@dataclass(slots=True)
class _Language:
    """What is counted over the texts of all prompts."""

    pairs: Counter = field(default_factory=Counter)
    trigrams: Counter = field(default_factory=Counter)
    alphabet: Counter = field(default_factory=Counter)
    tokens: list[Counts] = field(default_factory=list)
    words: Counter = field(default_factory=Counter)
    word_grams: Counter = field(default_factory=Counter)
    """For the pool, where there is one; likewise of characters."""
    character_grams: Counter = field(default_factory=Counter)

    def add(self, reading: Reading, tokens: Counter) -> None:
        tokens.add(counted(reading.hashes_T)[0])
        self.words.add(reading.distinct_S)
        self.pairs.add(counted(pair_hashes(reading.hashes_T[reading.is_word_T]))[0])
        self.trigrams.add(counted(trigram_keys(reading.letters.points_C))[0])
        self.alphabet.add(np.unique(reading.letters.points_C))


def fit_codec(prompts: Sequence[PromptTexts], config: WritingPreprocessConfig) -> Codec:
    """Return a codec that knows what the training texts hold; the order of texts changes nothing."""
    language = _Language()
    terms = [_terms(prompt, language, config) for prompt in prompts]
    if config.pool_prompts:
        terms = _with_pooled_features(terms)
    lexicon = _lexicon(language, [len(prompt.responses) for prompt in prompts], config)
    least = lexicon.least + 1  # for a text among those counted: known without it
    pairs = Sieve.of(kept(language.pairs.counts(), least, MOST_PAIRS)[0])
    trigrams = Sieve.of(kept(language.trigrams.counts(), least, MOST_PAIRS)[0])
    looked = []
    for index, (found, seen) in enumerate(terms):
        looked.append(
            [
                signals(
                    reading,
                    lexicon.places(reading.hashes_T),
                    (features - found.mean_F) / found.sd_F,
                    lexicon,
                    index,
                    own=True,
                    pairs=pairs,
                    trigrams=trigrams,
                )
                for reading, features in seen
            ]
        )
    limits = (_pooled_limits if config.pool_prompts else _limits_of_each)(looked, config.refused_share)
    finished = [replace(found, limits=its) for (found, _), its in zip(terms, limits, strict=True)]
    return Codec(
        prompts=tuple(finished),
        lexicon=lexicon,
        grams=config.inputs in {"grams", "both"},
        max_tokens=config.max_tokens if config.inputs != "grams" else 0,
        sentences=dict(config.sentences),
        pool=_pool(language, sum(len(prompt.responses) for prompt in prompts), config) if config.pool_prompts else None,
        subwords=read_tokenizer(config.tokenizer) if config.inputs == "subwords" else None,
    )


def _terms(prompt: PromptTexts, language: _Language, config: WritingPreprocessConfig) -> tuple[PromptTerms, list[Seen]]:
    """Return a prompt's terms without limits and what was seen of its texts; count them into `language`."""
    passages = passage_hashes(prompt.text or "")
    references = tuple(Reference.of(reference) for reference in prompt.references)
    question = read(prompt.text).distinct_S if prompt.text and references else NO_WORDS
    words, characters, tokens = Counter(), Counter(), Counter()
    seen: list[Seen] = []
    step = -(-len(prompt.responses) // MOST_FOR_LIMITS)
    features = np.zeros((len(prompt.responses), len(FEATURES)), np.float32)
    for n, text in enumerate(prompt.responses):
        reading = read(text, passages)
        features[n] = surface_features(reading, references, question)
        language.add(reading, tokens)
        if n % step == 0:
            seen.append((replace(reading, text="", words=[]), features[n]))
        if config.inputs in {"grams", "both"}:
            of_words, of_characters = word_grams(reading)[0], character_grams(reading)[0]
            words.add(of_words)
            characters.add(of_characters)
            if config.pool_prompts:
                language.word_grams.add(of_words)
                language.character_grams.add(of_characters)
    if config.pool_prompts and not prompt.responses:  # else an answer's own words would be of no language known here
        for known in filter(None, (prompt.text, *prompt.references)):
            for _ in range(config.min_word_count):
                language.add(read(known), tokens)
    language.tokens.append(tokens.counts())
    mean, sd = _mean_sd(features)
    documents = len(prompt.responses)
    terms = PromptTerms(
        name=prompt.name,
        rubric=prompt.rubric,
        traits=prompt.traits,
        words=Block(*kept(words.counts(), config.min_word_gram_count, config.max_grams), documents),
        characters=Block(*kept(characters.counts(), config.min_character_gram_count, config.max_grams), documents),
        mean_F=mean,
        sd_F=sd,
        limits=NO_LIMITS,
        passages=passages,
        references=references,
        question=question,
    )
    return terms, seen


def _pool(language: _Language, documents: int, config: WritingPreprocessConfig) -> Pool:
    return Pool(
        Block(*kept(language.word_grams.counts(), config.min_word_gram_count, config.max_grams), documents),
        Block(*kept(language.character_grams.counts(), config.min_character_gram_count, config.max_grams), documents),
    )


def _with_pooled_features(terms: list[tuple[PromptTerms, list[Seen]]]) -> list[tuple[PromptTerms, list[Seen]]]:
    """Return the terms with usual features over the responses to all prompts: a prompt may have few or none."""
    mean, sd = _mean_sd(np.array([features for _, seen in terms for _, features in seen], np.float32))
    return [(replace(found, mean_F=mean, sd_F=sd), seen) for found, seen in terms]


def _lexicon(language: _Language, documents: Sequence[int], config: WritingPreprocessConfig) -> Lexicon:
    together = Counter()
    for counts in language.tokens:
        together.add_counts(counts)
    known = kept(together.counts(), config.min_word_count, config.max_words)[0]
    counts_PV = np.zeros((len(documents), len(known)), np.int32)
    for p, (hashes, times) in enumerate(language.tokens):
        inside = np.isin(hashes, known, assume_unique=True)
        counts_PV[p, np.searchsorted(known, hashes[inside])] = times[inside]
    words = kept(language.words.counts(), config.min_word_count, config.common_words)[0]
    alphabet, met = language.alphabet.counts()
    least = config.min_word_count
    return Lexicon(
        known,
        counts_PV,
        np.array(documents, np.int64),
        np.isin(known, words),
        Sieve.of(kept(language.pairs.counts(), least, MOST_PAIRS)[0]),
        Sieve.of(kept(language.trigrams.counts(), least, MOST_PAIRS)[0]),
        alphabet[met >= least],
        least,
    )


def _mean_sd(features_NF: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    if not len(features_NF):  # a prompt of a pool may have no texts
        return np.zeros(features_NF.shape[1], np.float32), np.ones(features_NF.shape[1], np.float32)
    exact = features_NF.astype(np.float64)
    sd = exact.std(axis=0)
    return exact.mean(axis=0).astype(np.float32), np.where(sd > 1e-6, sd, 1.0).astype(np.float32)


def _limits_of_each(seen: Sequence[Sequence[Signals]], share: float) -> list[Signals]:
    return [_limits(own, share, is_only=len(seen) == 1) for own in seen]


def _pooled_limits(seen: Sequence[Sequence[Signals]], share: float) -> list[Signals]:
    """Return limits from the texts of all prompts; a prompt without texts has no topic that a text could miss."""
    together = _limits([one for own in seen for one in own], share)
    unseen = replace(together, topic=ANY_TOPIC, coverage=ANY_TOPIC)
    return [together if own else unseen for own in seen]


def _limits(seen: Sequence[Signals], share: float, *, is_only: bool = False) -> Signals:
    """Return, per signal, a value that about `share` of texts like these are below.

    Of fewer than `ENOUGH` texts the least says little: three standard deviations below the mean count where that is
    lower.

    Args:
        seen: of the training texts, each as if it were new.
        share: of texts to be refused by one check.
        is_only: there are no other prompts to compare with.
    """
    table = np.array([[getattr(one, name) for name in NAMES] for one in seen])
    found = {}
    for name, values in zip(NAMES, table.T, strict=True):
        wanted = share * (OFF_PROMPT if name == ("coverage" if is_only else "topic") else 1.0)
        if len(values) >= ENOUGH:
            found[name] = float(np.quantile(values, wanted, method="lower"))
        else:
            found[name] = min(float(values.min()), float(values.mean() - 3.0 * values.std()))
    topics = table[:, NAMES.index("topic")]
    spread = 1.4826 * float(np.median(np.abs(topics - np.median(topics))))
    found["topic"] = max(found["topic"], float(np.median(topics)) - FAR_OFF * spread)
    # One odd text of the training (a list, names in other letters) must not open the door to every list.
    orders = table[:, NAMES.index("order")]
    if len(orders) >= ENOUGH:
        odd = min(LEAST_ORDER * float(np.median(orders)), float(np.quantile(orders, ODD_ORDER * share, method="lower")))
        found["order"] = max(found["order"], odd)
    found["brevity"] = LONGER_THAN_ANY * float(table[:, NAMES.index("brevity")].min())
    found["words"] = max(1.0, found["words"])
    return Signals(**found)
