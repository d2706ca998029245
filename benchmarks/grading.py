"""How well texts are graded, and how hard the grader is to fool: ASAP-AES, the published folds.

    HOMEROOM_DATA=DATA python -m benchmarks.grading [--grader kernel] [--folds 0 1] [--essays 60]

Agreement: quadratic weighted kappa (QWK) per prompt, mean of folds, with the CPU seconds of preprocessing, fitting and
predicting. Intervals: the share of human scores within them, and their width. Abstention: genuine essays that are
refused, and other prompts' essays, gibberish and other languages that are caught. Robustness: what a trick gains, in
standard deviations of the prompt's human scores, over the same essay without it. Feedback: whether the passage named as
strongest moves the score the stated way when a client leaves it out.
"""

import argparse
import json
import random
import statistics
import string
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from benchmarks.machine import processor_name
from benchmarks.writing_sets import ENDS, FOLDS, TASKS, Essay, data_folder, read_asap_aes, write_scored
from components.app import Application, answer_requests, load_application
from components.config import as_plain
from components.evaluate.predict import CHECKPOINT
from components.train.fit import fit
from components.train.job import Job
from components.writing.codec import Answer, Codec, Request
from components.writing.codec.text import passages
from components.writing.evaluate.predict import predict_split
from components.writing.kernel.choices import weighted_kappa
from components.writing.preprocess.arrays import TextArrays
from components.writing.preprocess.layout import write_dataset

BATCH = 32
KEYWORDS = 40
MOST_GAIN_SD = 0.5
GOALS = {
    "coverage": (0.88, 0.92),
    "genuine essays refused": (0.0, 0.02),
    "other prompts' essays caught": (0.90, 1.0),
    "gibberish and other languages caught": (0.99, 1.0),
    "feedback agrees": (0.90, 1.0),
    "served equals offline": (0.0, 1e-5),
}
OF_GRADER = {
    "kernel": {"QWK": (0.77, 1.0), "CPU seconds": (0.0, 150.0)},
    "neural": {"QWK": (0.76, 1.0)},
}
ROBUST = (0.90, 1.0)
WITHOUT_GOAL = frozenset({"the model's words strewn in"})
"""With the model's own best words at random places: whoever can do that knows the model; shown for what it is."""
# Sentences of our own, of the length of a short essay when repeated; what is tested is the language, not the story.
LANGUAGES = {
    "German": "Gestern haben wir mit meinen Freunden im Park gespielt und sind danach nach Hause gegangen, weil es "
    "angefangen hat zu regnen. Meine Mutter hat uns Kuchen gebacken und wir haben zusammen einen Film gesehen. ",
    "French": "Hier nous sommes allés au marché pour acheter des légumes et du poisson. Nous avons rencontré nos "
    "voisins et nous avons parlé longtemps de leurs vacances avant de rentrer à la maison. ",
    "Spanish": "El verano pasado viajamos a la montaña con mis abuelos. Todos los días caminábamos por el bosque y por "
    "la noche contábamos historias junto al fuego. Aprendí mucho de ellos. ",
    "Italian": "Quando ero piccolo mio nonno mi portava sempre al mare la domenica mattina. Guardavamo le barche e poi "
    "mangiavamo un gelato nella piazza del paese. ",
    "Dutch": "Vorig jaar ging ik met mijn ouders naar het strand en daar leerde ik zwemmen in de zee. Het water was "
    "koud maar iedereen had plezier en wilde niet naar huis. ",
    "Russian": "Вчера мы с друзьями ходили в парк и долго гуляли там. Потом начался дождь, и мы пошли домой. ",  # noqa: RUF001  # it is Russian
    "Chinese": "昨天我和朋友们去公园玩了很久。后来下雨了，我们就回家了。妈妈给我们做了蛋糕。",  # noqa: RUF001  # it is Chinese
    "Arabic": "ذهبت أمس مع أصدقائي إلى الحديقة ولعبنا هناك وقتا طويلا ثم عدنا إلى البيت. ",
}


@dataclass(slots=True)
class Fold:
    """What one fold gave."""

    qwk: dict[str, float] = field(default_factory=dict)
    covered: list[float] = field(default_factory=list)
    width: float = 0.0
    """Mean width of the interval as a share of the rubric's range."""
    cpu_s: float = 0.0
    shares: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graded:
    """A fitted grader, as a service would use it."""

    codec: Codec
    grader: Any
    """The trained module, of whatever kind."""

    def run(self, inputs: dict[str, Any]) -> dict[str, npt.NDArray[Any]]:
        """Return the model's outputs by name."""
        with torch.inference_mode():
            found = self.grader(*(torch.from_numpy(inputs[name]) for name in self.grader.input_names))
        return {name: value.numpy() for name, value in zip(self.grader.output_names, found, strict=True)}

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the answers to requests, some at a time."""
        found: list[Answer] = []
        for start in range(0, len(requests), BATCH):
            found += answer_requests(self.codec, self.run, requests[start : start + BATCH])
        return found


def run_fold(
    application: Application, config: Any, essays: Sequence[Essay], splits: dict[str, str], count: int, seed: int
) -> Fold:
    """Preprocess, fit and predict a fold as the stages do, then try `count` essays of each prompt with each trick."""
    found = Fold()
    with tempfile.TemporaryDirectory() as place:
        source, target, trained = (Path(place) / name for name in ("source", "dataset", "trained"))
        for folder in (source, target, trained):
            folder.mkdir()
        write_scored(essays, splits, source)
        started = time.process_time()
        codec = write_dataset(source, target, config.preprocess).codec
        job = Job(package=application.package, dataset=str(target), folder=str(trained), config=as_plain(config.train))
        fit(job)
        arrays = TextArrays.open(target, "test")
        predicted = predict_split(application, target, trained, "test", rows=len(arrays.score_R), traits=0).score
        assert predicted.low is not None
        assert predicted.high is not None
        found.cpu_s = time.process_time() - started
        table = pl.read_parquet(target / "responses.parquet").filter(pl.col("split") == "test")
        grader = application.part(application.model).load_from_checkpoint(trained / CHECKPOINT).eval()
    score = arrays.score_R.astype(np.float64)
    found.covered = ((score >= predicted.low) & (score <= predicted.high)).astype(float).tolist()
    widths = []
    for p, terms in enumerate(codec.prompts):
        own = np.flatnonzero(arrays.prompt_R == p)
        rounded = np.array([terms.rubric.rounded(value) for value in predicted.raw[own].tolist()])
        found.qwk[terms.name] = weighted_kappa(score[own], rounded)
        size = terms.rubric.high - terms.rubric.low
        widths.append((predicted.high[own] - predicted.low[own]).mean() / size)
    found.width = float(np.mean(widths))
    found.shares["genuine essays refused"] = 1.0 - table["abstained"].null_count() / table.height

    by_response = {essay.response: essay for essay in essays}
    test = [by_response[response] for response in table["response"]]
    train = [essay for essay in essays if splits[essay.response] == "train"]
    offline = dict(zip(table["response"], predicted.raw.tolist(), strict=True))
    graded = Graded(codec, grader)
    source_of_chance = random.Random(seed)
    chosen = [
        essay for prompt in ENDS for essay in source_of_chance.sample([e for e in test if e.prompt == prompt], count)
    ]
    found.shares |= caught(graded, chosen, source_of_chance)
    found.shares |= tricked(graded, chosen, train, source_of_chance)
    found.shares |= explained(graded, chosen, offline)
    return found


def share_refused(graded: Graded, requests: Sequence[Request]) -> float:
    """Return the share of texts that get no score."""
    return statistics.mean(answer.abstained is not None for answer in graded.answers(requests))


def caught(graded: Graded, chosen: Sequence[Essay], source: random.Random) -> dict[str, float]:
    """Return which share of texts that are no response is refused."""
    off = [
        Request(prompt=other, text=essay.text)
        for essay in chosen
        for other in source.sample([p for p in ENDS if p != essay.prompt], 2)
    ]

    def word(letters: str) -> str:
        return "".join(source.choice(letters) for _ in range(source.randint(2, 9)))

    def mixed(text: str) -> str:
        return "".join(source.sample(text, len(text)))

    vocabulary = sorted({w for essay in chosen for w in essay.text.split()})
    kinds: dict[str, Callable[[Essay], str]] = {
        "random letters": lambda e: " ".join(word(string.ascii_lowercase) for _ in e.text.split()),
        "keyboard": lambda e: " ".join(word("asdfghjkl;") for _ in e.text.split()),
        "letters of each word mixed": lambda e: " ".join(mixed(w) for w in e.text.split()),
        "random words": lambda e: " ".join(source.choice(vocabulary) for _ in e.text.split()),
        "backwards": lambda e: e.text[::-1],
        **{name: _repeating(text) for name, text in LANGUAGES.items()},
    }
    shares = {
        name: share_refused(graded, [Request(prompt=e.prompt, text=make(e)) for e in chosen])
        for name, make in kinds.items()
    }
    worst = min(shares, key=lambda name: shares[name])
    sys.stdout.write(f"  least often caught of gibberish and languages: {worst}, {shares[worst]:.3f}\n")
    own_words = [
        Request(prompt=e.prompt, text=" ".join(source.sample(e.text.split(), len(e.text.split())))) for e in chosen
    ]
    return {
        "other prompts' essays caught": share_refused(graded, off),
        "gibberish and other languages caught": statistics.mean(shares.values()),
        "an essay's words in any order caught (no goal)": share_refused(graded, own_words),
    }


def _repeating(text: str) -> Callable[[Essay], str]:
    # Parts of a sentence that follow each other anew, as a passage met again counts once.
    return lambda essay: text * max(1, min(3, len(essay.text) // len(text)))


def tricked(graded: Graded, chosen: Sequence[Essay], train: Sequence[Essay], source: random.Random) -> dict[str, float]:
    """Return in which share of cases each trick gains at most `MOST_GAIN_SD`, or is refused."""
    spread = {p: statistics.pstdev(e.score for e in train if e.prompt == p) for p in ENDS}
    by_prompt = {p: [e for e in train if e.prompt == p] for p in ENDS}
    told = {p: telling_words(own) for p, own in by_prompt.items()}
    known = {p: strongest_words(graded, own) for p, own in by_prompt.items()} if graded.codec.grams else told

    def shuffled(text: str) -> str:
        parts = [text[start:end].strip() for start, end in passages(text, 1_000)]
        source.shuffle(parts)
        return " ".join(parts)

    tricks: dict[str, Callable[[Essay], str]] = {
        "keywords appended": lambda e: f"{e.text} {' '.join(told[e.prompt])}",
        "keywords as a list": lambda e: f"{e.text} {', '.join(told[e.prompt])}.",
        "the model's words appended": lambda e: f"{e.text} {' '.join(known[e.prompt])}",
        "the model's words as a list": lambda e: f"{e.text} {', '.join(known[e.prompt])}.",
        "the model's words strewn in": lambda e: strewn(e.text, known[e.prompt], source),
        "all repeated": lambda e: f"{e.text}\n{e.text}",
        "half repeated twice": lambda e: f"{e.text}\n{e.text[: len(e.text) // 2]}\n{e.text[: len(e.text) // 2]}",
        "prompt copied behind": lambda e: f"{e.text}\n{TASKS[e.prompt]}",
        "prompt alone": lambda e: TASKS[e.prompt],
        "prompt thrice": lambda e: "\n".join([TASKS[e.prompt]] * 3),
        "sentences shuffled": lambda e: shuffled(e.text),
    }
    plain = graded.answers([Request(prompt=e.prompt, text=e.text) for e in chosen])
    found = {}
    for name, make in tricks.items():
        answers = graded.answers([Request(prompt=e.prompt, text=make(e)) for e in chosen])
        held = [
            after.raw is None or (after.raw - before.raw) / spread[essay.prompt] <= MOST_GAIN_SD
            for essay, before, after in zip(chosen, plain, answers, strict=True)
            if before.raw is not None
        ]
        goal = " (no goal)" if name in WITHOUT_GOAL else ""
        found[f"trick fails: {name}{goal}"] = statistics.mean(held)
    return found


def strongest_words(graded: Graded, train: Sequence[Essay]) -> list[str]:
    """Return the words that add most to a score: who knows these knows the model."""
    effects: dict[str, list[float]] = {}
    index = graded.codec.index_of(train[0].prompt)
    first = graded.codec.gram_range(index)[0]
    block = graded.codec.prompts[index].words
    for essay in train[:300]:
        reading = graded.codec.read(essay.text, index)
        at = block.hashes_V.searchsorted(reading.hashes_T)
        for word, hashed, place in zip(reading.words, reading.hashes_T.tolist(), at.tolist(), strict=True):
            if place < len(block.hashes_V) and block.hashes_V[place] == hashed and word.isalpha() and len(word) > 3:
                effect = graded.grader.weight_VM[first + place, 0] * float(block.rarity_V[place])
                effects.setdefault(word.lower(), [float(effect)])
    return sorted(effects, key=lambda word: -effects[word][0])[:KEYWORDS]


def telling_words(train: Sequence[Essay]) -> list[str]:
    """Return the words whose presence goes with high scores most, as whoever has the essays can find them."""
    held = [{w.lower() for w in essay.text.split() if w.isalpha() and len(w) > 3} for essay in train]
    score = np.array([essay.score for essay in train])
    found = {}
    for word in set().union(*held):
        has = np.array([word in own for own in held])
        if 20 <= has.sum() <= len(train) - 20:
            found[word] = float((score[has].mean() - score[~has].mean()) * np.sqrt(has.mean() * (1 - has.mean())))
    return sorted(found, key=lambda word: -found[word])[:KEYWORDS]


def strewn(text: str, words: Sequence[str], source: random.Random) -> str:
    """Return the text with words put between others at random."""
    parts = text.split()
    for word in words:
        parts.insert(source.randint(0, len(parts)), word)
    return " ".join(parts)


def explained(graded: Graded, chosen: Sequence[Essay], offline: dict[str, float]) -> dict[str, float]:
    """Return how often leaving out the passage named as strongest does what was said, and the largest difference."""
    agrees, differences = [], []
    answers = graded.answers([Request(prompt=e.prompt, text=e.text, explain=True) for e in chosen])
    for essay, answer in zip(chosen, answers, strict=True):
        if answer.raw is None:
            continue
        rubric = graded.codec.prompts[graded.codec.index_of(essay.prompt)].rubric
        differences.append(abs(answer.raw - rubric.clipped(offline[essay.response])))
        strongest = next((f for f in answer.feedback if f.kind == "passage"), None)
        if strongest is None or strongest.start is None or strongest.end is None:
            continue
        rest = f"{essay.text[: strongest.start]} {essay.text[strongest.end :]}"
        (row,) = graded.codec.encode(Request(prompt=essay.prompt, text=rest))
        whole = graded.codec.encode(Request(prompt=essay.prompt, text=essay.text))[0]
        without, before = graded.run(graded.codec.batch([row, whole]))["raw"].tolist()
        agrees.append((before - without > 0) == (strongest.effect > 0))
    return {"feedback agrees": statistics.mean(agrees), "served equals offline": max(differences)}


def main() -> int:
    """Measure and print a table; the exit status says whether the goals were reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--grader", default="kernel", help="a configuration of essay_grading, or the path of one")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)), choices=range(FOLDS))
    parser.add_argument("--essays", type=int, default=60, help="of each prompt and fold, for all but the agreement")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    application = load_application("essay_grading")
    config = application.configuration(options.grader)
    essays, folds = read_asap_aes(data_folder())
    runs = []
    for number in options.folds:
        runs.append(run_fold(application, config, essays, folds[number], options.essays, seed=number))
        mean = statistics.mean(runs[-1].qwk.values())
        sys.stdout.write(f"fold {number}: QWK {mean:.4f}, {runs[-1].cpu_s:.1f} CPU s\n")
        sys.stdout.flush()
    figures: dict[str, float] = {
        "QWK": statistics.mean(statistics.mean(run.qwk.values()) for run in runs),
        "CPU seconds": sum(run.cpu_s for run in runs) * FOLDS / len(runs),
        "coverage": statistics.mean(c for run in runs for c in run.covered),
        "width, share of the rubric": statistics.mean(run.width for run in runs),
    }
    for name in runs[0].shares:
        pick = max if name == "served equals offline" else statistics.mean
        figures[name] = float(pick([run.shares[name] for run in runs]))
    per_prompt = {p: statistics.mean(run.qwk[p] for run in runs) for p in ENDS}
    missed = report(options.grader, figures, per_prompt)
    if options.json is not None:
        options.json.write_text(json.dumps({"figures": figures, "qwk": per_prompt}, indent=1), encoding="utf-8")
    return 1 if missed else 0


def report(grader: str, figures: dict[str, float], per_prompt: dict[str, float]) -> int:
    """Print the figures beside their goals and return how many were missed."""
    shown = "  ".join(f"{prompt} {qwk:.3f}" for prompt, qwk in per_prompt.items())
    sys.stdout.write(f"\n{processor_name()}, {grader} grader\nQWK per prompt: {shown}\n")
    missed = 0
    goals = {**GOALS, **OF_GRADER.get(grader, {})}
    for name, value in figures.items():
        low, high = goals.get(name, ROBUST if name.startswith("trick") and "no goal" not in name else (-np.inf, np.inf))
        kept = low <= value <= high
        missed += not kept
        goal = f"goal {low:g} to {high:g}" if np.isfinite(low) else "no goal"
        sys.stdout.write(f"{name:52} {value:10.4g}   {goal}{'' if kept else '   MISSED'}\n")
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
