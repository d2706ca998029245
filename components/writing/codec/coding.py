"""The codec of scored writing: a request -> arrays -> an answer.

Shapes: B rows, L n-grams of a text at most, F features, T tokens at most, G families of features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import golden
from .checks import Signals, reason_to_abstain, signals
from .features import NAMES
from .feedback import MAX_PASSAGES, explained
from .hashing import letters, token_hashes
from .lexicon import Lexicon
from .messages import MAX_CHARACTERS, Answer, Request
from .reading import Reading, read
from .sentences import SENTENCES, checked
from .subwords import Subwords
from .terms import Pool, PromptTerms, character_grams, word_grams
from .text import normalise, passages, tokens

CODEC = "writing"
CODEC_VERSION = 2
"""1 without subwords."""
PADDING = 0
"""Id of padding, among n-grams and among words."""
UNKNOWN = 1
"""Id of a word that training did not hold often enough."""
FIRST = 2
"""Id of the first known word."""
FIRST_GRAM = 1
"""Id of the first known n-gram."""
SIGNAL_CHARACTERS = 2_000
"""So much of a text is looked at for unknown words when it is watched for drift."""
MOST_NAMED = 20
"""So many prompts are listed in a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One text, encoded: the whole response, or the response without one passage."""

    prompt: int
    ids_L: npt.NDArray[np.int64]
    """N-grams of the prompt, first of words, then of characters, then those of the pool; no one twice. Empty where the
    model takes none."""
    values_L: npt.NDArray[np.float32]
    features_F: npt.NDArray[np.float32]
    tokens_T: npt.NDArray[np.int64]
    abstained: str | None
    left_out: tuple[int, int] | None = None
    """The passage that is left out, as places in the request's text."""


@dataclass(frozen=True, kw_only=True)
class Codec:
    """Vocabulary, limits and sentences, and the two directions.

    Args:
        prompts: what is known of each prompt; a row names a prompt by its index here.
        lexicon: what is known of the language.
        grams: rows hold n-grams (for the kernel grader).
        max_tokens: rows hold at most so many tokens (for a neural grader); 0 for none.
        sentences: what differs from `SENTENCES`.
        pool: rows also hold the n-grams of all prompts together, for one model over all of them; None: they do not.
        subwords: tokens are subwords of a pre-trained encoder instead of words; as one more than its own numbers, as 0
            is padding.
    """

    prompts: tuple[PromptTerms, ...]
    lexicon: Lexicon
    grams: bool = True
    max_tokens: int = 0
    sentences: Mapping[str, str] = field(default_factory=dict)
    pool: Pool | None = None
    subwords: Subwords | None = None
    _index: dict[str, int] = field(init=False, repr=False, compare=False)
    _first_word: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {prompt.name: i for i, prompt in enumerate(self.prompts)})
        sizes = [len(p.words.hashes_V) + len(p.characters.hashes_V) for p in self.prompts]
        object.__setattr__(self, "_first_word", tuple((FIRST_GRAM + np.cumsum([0, *sizes])).tolist()))
        checked(self.sentences)

    @property
    def gram_count(self) -> int:
        """Rows of a table of n-grams of all prompts, and of the pool: padding included."""
        return self.pool_range[2]

    @property
    def word_count(self) -> int:
        """Rows of a table of words: padding and unknown included."""
        return FIRST + len(self.lexicon.hashes_V)

    @property
    def traits(self) -> tuple[str, ...]:
        """Names of the traits of any prompt, in the order of a model's output."""
        return tuple(sorted({name for prompt in self.prompts for name in prompt.traits}))

    def gram_range(self, prompt: int) -> tuple[int, int, int]:
        """Return the ids of a prompt's n-grams: first of words, first of characters, first of the next prompt."""
        first = self._first_word[prompt]
        return first, first + len(self.prompts[prompt].words.hashes_V), self._first_word[prompt + 1]

    @property
    def pool_range(self) -> tuple[int, int, int]:
        """The ids of the pool's n-grams: first of words, first of characters, end; all alike where there is none."""
        first = self._first_word[-1]
        if self.pool is None:
            return first, first, first
        first_character = first + len(self.pool.words.hashes_V)
        return first, first_character, first_character + len(self.pool.characters.hashes_V)

    def index_of(self, prompt: str) -> int:
        """Return a prompt's index.

        Raises:
            ValueError: it is not known.
        """
        found = self._index.get(prompt)
        if found is None:
            names = ", ".join(p.name for p in self.prompts[:MOST_NAMED])
            more = f" and {len(self.prompts) - MOST_NAMED} more" if len(self.prompts) > MOST_NAMED else ""
            raise ValueError(f"prompt is not one that this grader learned. It grades: {names}{more}.")
        return found

    def sentence(self, name: str) -> str:
        """Return a sentence, as edited."""
        return self.sentences.get(name, SENTENCES[name])

    def grading_prompts(self) -> list[dict[str, Any]]:
        """Return the prompts with their rubrics and traits, for people who look grades over."""
        return [
            {
                "prompt": prompt.name,
                **asdict(prompt.rubric),
                "traits": {name: asdict(rubric) for name, rubric in prompt.traits.items()},
            }
            for prompt in self.prompts
        ]

    def to_json(self) -> dict[str, Any]:
        """Return vocabulary and settings as plain JSON values; no student's text is among them."""
        return {
            "codec": CODEC,
            "version": CODEC_VERSION if self.subwords is not None else 1,
            "features": list(NAMES),
            "prompts": [prompt.to_json() for prompt in self.prompts],
            "lexicon": self.lexicon.to_json(),
            "grams": self.grams,
            "max_tokens": self.max_tokens,
            "sentences": dict(self.sentences),
            "pool": None if self.pool is None else self.pool.to_json(),
            **({} if self.subwords is None else {"subwords": self.subwords.to_json()}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value.

        Raises:
            ValueError: it is of another codec, or of a later version.
        """
        if value.get("codec") != CODEC or int(value["version"]) > CODEC_VERSION:
            raise ValueError(
                f"Not a vocabulary of this codec: {value.get('codec')!r} version {value.get('version')}; "
                f"expected {CODEC!r} up to version {CODEC_VERSION}. Use the homeroom that wrote it, or a later one."
            )
        if tuple(value["features"]) != NAMES:
            raise ValueError(
                f"The vocabulary was made with {len(value['features'])} features, not the {len(NAMES)} of this codec. "
                "Use the codec that came with it."
            )
        return cls(
            prompts=tuple(PromptTerms.from_json(prompt) for prompt in value["prompts"]),
            lexicon=Lexicon.from_json(value["lexicon"]),
            grams=bool(value["grams"]),
            max_tokens=int(value["max_tokens"]),
            sentences=dict(value["sentences"]),
            pool=None if value["pool"] is None else Pool.from_json(value["pool"]),
            subwords=Subwords.from_json(value["subwords"]) if "subwords" in value else None,
        )

    def encode(self, request: Request) -> list[Row]:
        """Return a row for the text and, where an explanation is asked for, one for each passage left out.

        Raises:
            ValueError: the prompt is not known, or the text is longer than `MAX_CHARACTERS`.
        """
        prompt = self.index_of(request.prompt)
        if len(request.text) > MAX_CHARACTERS:
            raise ValueError(
                f"text has {len(request.text)} characters; at most {MAX_CHARACTERS} are read. Send the response alone."
            )
        rows = [self.row(self.read(request.text, prompt), prompt)]
        if request.explain and rows[0].abstained is None:
            parts = passages(request.text, MAX_PASSAGES)
            for start, end in parts if len(parts) > 1 else ():
                rest = request.text[:start] + " " + request.text[end:]
                rows.append(self.row(self.read(rest, prompt), prompt, (start, end)))
        return rows

    def read(self, text: str, prompt: int) -> Reading:
        """Read a text as a response to a prompt."""
        return read(text, self.prompts[prompt].passages)

    def row(self, reading: Reading, prompt: int, left_out: tuple[int, int] | None = None, *, check: bool = True) -> Row:
        """Encode what was read; only a whole response (`left_out` None) is checked, and that only where `check`."""
        terms = self.prompts[prompt]
        features, standard = terms.features(reading)
        places = self.lexicon.places(reading.hashes_T)
        abstained = None
        if left_out is None and check:
            found = signals(reading, places, standard, self.lexicon, prompt)
            abstained = reason_to_abstain(reading, found, terms.limits)
        ids, values = self._grams(reading, prompt) if self.grams else (_NO_IDS, _NO_VALUES)
        if self.subwords is None:
            tokens = np.where(places >= 0, places + FIRST, UNKNOWN)[: self.max_tokens]
        else:
            tokens = np.array(self.subwords.ids(reading.text, self.max_tokens), np.int64) + 1
        return Row(
            prompt=prompt,
            ids_L=ids,
            values_L=values,
            features_F=features,
            tokens_T=tokens,
            abstained=abstained,
            left_out=left_out,
        )

    def signals_of(self, text: str, prompt: int) -> Signals:
        """Return what the checks see in a text, to explain or to set limits."""
        reading = self.read(text, prompt)
        standard = self.prompts[prompt].features(reading)[1]
        return signals(reading, self.lexicon.places(reading.hashes_T), standard, self.lexicon, prompt)

    def batch(self, rows: Sequence[Row]) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays below, zeros at the right; a model takes those that it names.

        `ids` (B, L) int64, `values` (B, L) float32, `tokens` (B, T) int64, `features` (B, F) float32, `prompt` (B,)
        int64. L and T are at least 1.
        """
        longest = max([1, *(len(row.ids_L) for row in rows)])
        steps = max([1, *(len(row.tokens_T) for row in rows)])
        ids = np.zeros((len(rows), longest), np.int64)
        values = np.zeros((len(rows), longest), np.float32)
        tokens = np.zeros((len(rows), steps), np.int64)
        for b, row in enumerate(rows):
            ids[b, : len(row.ids_L)] = row.ids_L
            values[b, : len(row.values_L)] = row.values_L
            tokens[b, : len(row.tokens_T)] = row.tokens_T
        return {
            "ids": ids,
            "values": values,
            "tokens": tokens,
            "features": np.stack([row.features_F for row in rows]),
            "prompt": np.array([row.prompt for row in rows], np.int64),
        }

    def decode(
        self, request: Request, rows: Sequence[Row], outputs: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> Answer:
        """Return the answer from a model's outputs.

        It must give `raw` (a score on the rubric's scale); it may give `label` (the score to give, where that is not
        the nearest to `raw`), `low` and `high` (the interval), `traits` (in the order of `traits`, NaN where a prompt
        has none), and, for feedback, `effects` (G,) of the families of
        features and `grams` (L,) of the n-grams.
        """
        whole, first = rows[0], outputs[0]
        if whole.abstained is not None:
            return Answer(traits={}, abstained=whole.abstained, reason=self.sentence(whole.abstained))
        terms = self.prompts[whole.prompt]
        raw = float(first["raw"])
        interval = None
        if "low" in first:
            interval = (terms.rubric.clipped(float(first["low"])), terms.rubric.clipped(float(first["high"])))
        scores = np.asarray(first.get("traits", ())).tolist()
        traits = {
            name: terms.traits[name].rounded(float(score))
            for name, score in zip(self.traits, scores, strict=False)
            if name in terms.traits and np.isfinite(score)
        }
        return Answer(
            score=terms.rubric.rounded(float(first["label"]) if "label" in first else raw),
            raw=terms.rubric.clipped(raw),
            interval=interval,
            traits=traits,
            feedback=explained(self, request, rows, outputs) if request.explain else (),
        )

    def signals(self, request: Request, answer: Mapping[str, Any]) -> dict[str, float]:
        """Return, of the request's own prompt, words, share of unknown words, whether there is a score, and the score.

        The score is a share of the rubric's range, before rounding. Each prompt has signals of its own: which prompts
        are set changes every week, and is no drift. Unknown words are looked for at the beginning of the text.
        """
        prompt = self.index_of(request.prompt)
        name = self.prompts[prompt].name
        found = {f"words[{name}]": float(len(request.text.split())), f"withheld[{name}]": float(answer["raw"] is None)}
        hashes = token_hashes(letters(tokens(normalise(request.text[:SIGNAL_CHARACTERS]))))
        if len(hashes):
            found[f"unknown_words[{name}]"] = float(np.mean(self.lexicon.places(hashes) < 0))
        if answer["raw"] is not None:
            found[f"score[{name}]"] = self.prompts[prompt].rubric.scaled(answer["raw"])
        return found

    def golden_requests(self, count: int, seed: int) -> list[Request]:
        """Return synthetic requests: texts made up of common English words, short, long, empty and in no language."""
        return golden.requests([prompt.name for prompt in self.prompts], count, seed)

    def _grams(self, reading: Reading, prompt: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        terms = self.prompts[prompt]
        ranges = [(terms.words, terms.characters, self.gram_range(prompt))]
        if self.pool is not None:
            ranges.append((self.pool.words, self.pool.characters, self.pool_range))
        of_words, of_characters = word_grams(reading), character_grams(reading)
        ids, values = [], []
        for words, characters, (first_word, first_character, _) in ranges:
            for block, grams, first in ((words, of_words, first_word), (characters, of_characters, first_character)):
                at, weights = block.weighted(*grams)
                ids.append(at + first)
                values.append(weights)
        return np.concatenate(ids), np.concatenate(values)


_NO_IDS = np.zeros(0, np.int64)
_NO_VALUES = np.zeros(0, np.float32)
