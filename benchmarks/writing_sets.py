"""ASAP-AES as the benchmarks of grading read it: essays, published folds, rubrics, and our wording of the prompts."""

import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from components.writing.codec import Rubric
from components.writing.preprocess.fit import PromptTexts
from components.writing.schema import PROMPTS, RESPONSES

ENDS = {"1": (2, 12), "2": (1, 6), "3": (0, 3), "4": (0, 3), "5": (0, 4), "6": (0, 4), "7": (0, 30), "8": (0, 60)}
"""Rubric ranges, from the README of the set."""
FOLDS = 5
SPLIT_NAMES = {"train": "train", "dev": "valid", "test": "test"}
# The publisher's wording is not among the data; these say the same tasks in words of our own.
TASKS = {
    "1": "More and more people use computers, but not everyone agrees that this benefits society. Some think "
    "that computers teach coordination, let people learn about faraway places and talk with others. "
    "Others worry that people spend too much time on their computers and less time exercising, enjoying "
    "nature and meeting family and friends. Write a letter to your local newspaper in which you state "
    "your opinion on the effects that computers have on people.",
    "2": "Some people find books, music, films and magazines in libraries offensive and would like them to be "
    "removed from the shelves. Write a persuasive essay to a newspaper that gives your views on "
    "censorship in libraries. Do you believe that certain materials should be removed if they are found "
    "offensive? Support your position with arguments from your own experience, observations and reading.",
    "3": "Read the report of a cyclist who crosses the desert in California after old men told him about a "
    "short cut. Write a response that explains how the features of the setting affect the cyclist. In "
    "your response, include examples from the essay that support your conclusion.",
    "4": "Read the last paragraph of the story of a girl who came from Vietnam and failed a test for her "
    "driving licence, and who will take it again when the geese come back and the hibiscus is budding. "
    "Write a response that explains why the author concludes the story with this paragraph. Include "
    "details and examples from the story.",
    "5": "Describe the mood that the author creates in the memoir of his parents and the home in which he grew "
    "up with food, music and neighbours who were like a family. Support your answer with relevant and "
    "specific information from the memoir.",
    "6": "Based on the excerpt, describe the obstacles that the builders of the Empire State Building faced "
    "when they attempted to allow airships to dock at a mooring mast on its top. Support your answer with "
    "relevant and specific information from the excerpt.",
    "7": "Write about patience. Being patient means that you are understanding and tolerant and that you bear "
    "difficulties without complaining. Write a story about a time when you were patient, or when someone "
    "you know was patient, or write a story in your own way about patience.",
    "8": "We all understand the benefits of laughter. Someone once said that laughter is the shortest distance "
    "between two people. Many other people believe that laughter is an important part of any "
    "relationship. Tell a true story in which laughter was one element or part.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Essay:
    """One essay with its score."""

    response: str
    prompt: str
    text: str
    score: float


def data_folder() -> Path:
    """Return the folder that `HOMEROOM_DATA` names.

    Raises:
        SystemExit: it is not set, or has no `asap-aes`.
    """
    root = Path(os.environ.get("HOMEROOM_DATA", ""))
    if not (root / "asap-aes").is_dir():
        raise SystemExit("Set HOMEROOM_DATA to the folder with the education data; it must hold asap-aes.")
    return root


def read_asap_aes(root: Path) -> tuple[list[Essay], list[dict[str, str]]]:
    """Return the essays sorted by prompt, and per published fold the split of each."""
    essays = []
    with gzip.open(root / "asap-aes" / "training_set_rel3.tsv.gz", "rt", encoding="utf-8", newline="") as stream:
        next(stream)
        for line in stream:
            cells = line.rstrip("\n").split("\t")  # quoting is off in this file
            essays.append(Essay(response=cells[0], prompt=cells[1], text=cells[2], score=float(cells[6])))
    folds = []
    for k in range(FOLDS):
        place = root / "asap-aes" / "nea_folds" / f"fold_{k}"
        folds.append(
            {
                response: split
                for name, split in SPLIT_NAMES.items()
                for response in (place / f"{name}_ids.txt").read_text(encoding="utf-8").split()
            }
        )
    return sorted(essays, key=lambda essay: (essay.prompt, essay.response)), folds


def texts_of(essays: Sequence[Essay]) -> list[PromptTexts]:
    """Return what the codec is fitted on."""
    return [
        PromptTexts(
            name=prompt,
            rubric=Rubric(low=low, high=high),
            text=TASKS[prompt],
            responses=[essay.text for essay in essays if essay.prompt == prompt],
        )
        for prompt, (low, high) in ENDS.items()
    ]


def write_scored(essays: Sequence[Essay], splits: dict[str, str], folder: Path) -> None:
    """Write the tables that preprocessing reads, with a declared split for each essay."""
    pl.DataFrame(
        {
            "response": [essay.response for essay in essays],
            "student": [essay.response for essay in essays],
            "prompt": [essay.prompt for essay in essays],
            "text": [essay.text for essay in essays],
            "score": [essay.score for essay in essays],
            "declared_split": [splits[essay.response] for essay in essays],
        }
    ).write_parquet(folder / RESPONSES)
    entries = [
        {"prompt": name, "low": low, "high": high, "step": 1, "text": TASKS[name]} for name, (low, high) in ENDS.items()
    ]
    (folder / PROMPTS).write_text(json.dumps(entries), encoding="utf-8")
