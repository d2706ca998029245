"""A model of students who write and raters who score: quality shows in length, words, topic and spelling.

A response's quality is its writer's ability and some luck. Better responses are longer, stay on the topic, reach for
rarer words of it, join sentences and spell better. Two raters each see the quality with an error of their own and give
a score on the prompt's rubric; the score that counts is their mean, halves rounded up. One trait, `conventions`, goes
with spelling, which depends on quality in part only. Short answers are a few clauses: the better the answer, the more
of them are those of the reference answer, and the fewer are about something else.

Shapes: S students, P prompts, N = S x P responses, by student, then prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.simulate.topics import TOPICS, Topic
from components.simulate.writing_config import SimulateWritingConfig

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RANGES = ((1, 6), (0, 3), (2, 12), (0, 4))
"""Lowest and highest score, of one prompt after the other."""
SHORT_RANGE = (0, 2)
"""Of all questions with short answers."""
TRAIT_RANGE = (1, 4)
IDEAS = 4
"""Clauses of a reference answer."""
_OPENERS = (
    "First,",
    "Also,",
    "However,",
    "For example,",
    "Because of this,",
    "In my opinion,",
    "Moreover,",
    "Finally,",
)
_FILLERS = (
    "I think it is good", "it is like that a lot", "everybody knows this", "I do not know what to say",
    "my friend said so too", "it was fun and nice", "there are many things", "you can see it every day",
    "I had lunch after that", "this is what I think", "we did it at home", "some people like it",
)  # fmt: skip
_JOINS = ("and", "because", "so", "while", "although", "which means that")
_STEEPNESS = 1.4
_MOST_MISSPELT = 0.16
"""Share of the longer words that the weakest spellers get wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPrompt:
    """A prompt and its rubric."""

    name: str
    low: int
    high: int
    topic: Topic
    references: tuple[str, ...] = ()
    """Answers that are known to be right; essays have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingSimulation:
    """What was written and how it was scored."""

    prompts: tuple[SimulatedPrompt, ...]
    texts: tuple[str, ...]
    """N texts."""
    student_N: Ints
    prompt_N: Ints
    raters_N2: Ints
    score_N: Ints
    conventions_N: Ints
    quality_N: Floats
    expected_N: Floats
    """The score, not rounded, of a rater without error or severity."""
    spelling_N: Floats
    ability_S: Floats
    group_S: Ints
    """Group of each student; -1 without groups."""


def simulated_prompts(config: SimulateWritingConfig) -> tuple[SimulatedPrompt, ...]:
    """Return the prompts of a configuration, named after their topics."""
    is_short = config.kind == "short_answers"
    found = []
    for n, topic in enumerate(TOPICS[: config.prompts]):
        low, high = SHORT_RANGE if is_short else RANGES[n % len(RANGES)]
        references = (f"{', '.join(ideas_of(topic))}.".capitalize(),) if is_short else ()
        found.append(SimulatedPrompt(name=topic.name, low=low, high=high, topic=topic, references=references))
    return tuple(found)


def simulate_responses(config: SimulateWritingConfig) -> WritingSimulation:
    """Return the responses of all students. Each part, and each text, draws from its own stream."""
    of_parts, of_texts = np.random.SeedSequence(config.seed).spawn(2)
    for_groups, for_ability, for_quality, for_raters = (
        np.random.Generator(np.random.PCG64(seed)) for seed in of_parts.spawn(4)
    )
    prompts = simulated_prompts(config)
    count = config.students * config.prompts
    student_N, prompt_N = np.divmod(np.arange(count), config.prompts)
    group_S = _groups(config, for_groups)
    shift_S = np.array([g.ability_shift for g in config.groups] or [0.0])[np.maximum(group_S, 0)]
    severity_S = np.array([g.severity for g in config.groups] or [0.0])[np.maximum(group_S, 0)]
    ability_S = for_ability.normal(0.0, config.ability_sd, config.students) + shift_S
    luck_N2 = for_quality.normal(0.0, 1.0, (count, 2))
    quality_N = ability_S[student_N] + config.response_sd * luck_N2[:, 0]
    spelling_N = 0.6 * quality_N + 0.8 * luck_N2[:, 1]
    error_N3 = for_raters.normal(0.0, config.rater_sd, (count, 3))
    low_N = np.array([p.low for p in prompts])[prompt_N]
    high_N = np.array([p.high for p in prompts])[prompt_N]
    seen_N2 = quality_N[:, None] - severity_S[student_N, None] + error_N3[:, :2]
    raters_N2 = _rounded(low_N[:, None] + (high_N - low_N)[:, None] * _share(seen_N2))
    lowest, highest = TRAIT_RANGE
    seeds = of_texts.spawn(count)
    written = write_answer if config.kind == "short_answers" else write
    texts = tuple(
        written(
            prompts[prompt].topic, float(quality), float(spelling), config, np.random.Generator(np.random.PCG64(seed))
        )
        for prompt, quality, spelling, seed in zip(prompt_N, quality_N, spelling_N, seeds, strict=True)
    )
    return WritingSimulation(
        prompts=prompts,
        texts=texts,
        student_N=student_N,
        prompt_N=prompt_N,
        raters_N2=raters_N2,
        score_N=_rounded(raters_N2.mean(axis=1)),
        conventions_N=_rounded(lowest + (highest - lowest) * _share(spelling_N + error_N3[:, 2])),
        quality_N=quality_N,
        expected_N=low_N + (high_N - low_N) * _share(quality_N),
        spelling_N=spelling_N,
        ability_S=ability_S,
        group_S=group_S,
    )


def write(
    topic: Topic, quality: float, spelling: float, config: SimulateWritingConfig, source: np.random.Generator
) -> str:
    """Return a response to the topic's question."""
    share = float(_share(np.array(quality)))
    mean = config.sentences_min + (config.sentences_max - config.sentences_min) * share
    sentences = max(config.sentences_min, round(mean * float(np.exp(source.normal(0.0, 0.25)))))
    misspelt = _MOST_MISSPELT * (1.0 - float(_share(np.array(spelling))))
    written = [_sentence(topic, share, misspelt, source) for _ in range(sentences)]
    breaks = {place for place in range(4, sentences, 5) if share > 0.4}  # only better writers make paragraphs
    parts = [f"{sentence}{chr(10) * 2 if place in breaks else ' '}" for place, sentence in enumerate(written)]
    return "".join(parts).strip()


def ideas_of(topic: Topic) -> tuple[str, ...]:
    """Return the clauses of the topic's reference answer: always the same ones."""
    nouns, verbs = topic.nouns, topic.verbs
    return tuple(f"the {topic.adjectives[n]} {nouns[2 * n]} {verbs[2 * n]} the {nouns[-1 - n]}" for n in range(IDEAS))


def write_answer(
    topic: Topic, quality: float, spelling: float, config: SimulateWritingConfig, source: np.random.Generator
) -> str:
    """Return a short answer to the topic's question: some of the reference answer's clauses, others beside them."""
    share = float(_share(np.array(quality)))
    misspelt = _MOST_MISSPELT * (1.0 - float(_share(np.array(spelling))))
    said = [idea for idea in ideas_of(topic) if source.random() < 0.05 + 0.9 * share]
    others = [_clause(topic, share, source), _one_of(_FILLERS, source)]
    clauses = said + [clause for clause in others if source.random() < 0.6 - 0.4 * share] or others[:1]
    order = source.permutation(len(clauses))
    words = " and ".join(clauses[n] for n in order).split()
    wrong = source.random(len(words)) < misspelt
    text = " ".join(_misspelt(w, source) if bad and len(w) > 3 else w for w, bad in zip(words, wrong, strict=True))
    return f"{text[0].upper()}{text[1:]}."


def _sentence(topic: Topic, share: float, misspelt: float, source: np.random.Generator) -> str:
    draws = source.random(4)
    clauses = [_clause(topic, share, source) if draws[0] < 0.3 + 0.6 * share else _one_of(_FILLERS, source)]
    if draws[1] < 0.2 + 0.5 * share:
        other = _clause(topic, share, source) if draws[2] < 0.3 + 0.6 * share else _one_of(_FILLERS, source)
        clauses += [_one_of(_JOINS[: 2 + round(4 * share)], source), other]
    if draws[3] < 0.05 + 0.4 * share:
        clauses.insert(0, _one_of(_OPENERS, source))
    words = " ".join(clauses).split()
    if misspelt > 0:
        wrong = source.random(len(words)) < misspelt
        words = [_misspelt(w, source) if bad and len(w) > 3 else w for w, bad in zip(words, wrong, strict=True)]
    text = " ".join(words)
    return f"{text[0].upper()}{text[1:]}."


def _clause(topic: Topic, share: float, source: np.random.Generator) -> str:
    first, second = (_reached(topic.nouns, share, source) for _ in range(2))
    verb, adjective = _reached(topic.verbs, share, source), _reached(topic.adjectives, share, source)
    return f"the {adjective} {first} {verb} the {second}"


def _reached(words: Sequence[str], share: float, source: np.random.Generator) -> str:
    """Return one of the words: of the first few for weak writing, of all for the best."""
    return words[int(source.random() * max(3.0, len(words) * (0.25 + 0.75 * share)))]


def _one_of(words: Sequence[str], source: np.random.Generator) -> str:
    return words[int(source.random() * len(words))]


def _misspelt(word: str, source: np.random.Generator) -> str:
    """Return a word with two letters changed over, one left out, or one twice."""
    at, kind = 1 + int(source.random() * (len(word) - 2)), int(source.random() * 3)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at + 1 :] if kind == 1 else word[: at + 1] + word[at:]


def _share(values: Floats) -> Floats:
    """Return where a quality lies between the lowest and the highest score, in (0, 1)."""
    shares: Floats = 1.0 / (1.0 + np.exp(-_STEEPNESS * values))
    return shares


def _rounded(values: Floats) -> Ints:
    """Return whole numbers, halves up."""
    return np.floor(values + 0.5).astype(np.int64)


def _groups(config: SimulateWritingConfig, source: np.random.Generator) -> Ints:
    """Return each student's group: the shares as exactly as whole students allow, in random order."""
    if not config.groups:
        return np.full(config.students, -1, np.int64)
    edges = np.rint(np.cumsum([group.share for group in config.groups]) * config.students)
    members = np.searchsorted(edges, np.arange(config.students), side="right")
    return source.permutation(np.minimum(members, len(config.groups) - 1))
