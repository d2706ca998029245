"""Made-up responses whose score hangs on what they say: a fitted codec and tables as ingest writes them, for tests."""

import json
import random
from functools import cache
from pathlib import Path

import polars as pl

from components.writing.codec import Codec, Rubric
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.fit import PromptTexts, fit_codec
from components.writing.preprocess.layout import write_dataset
from components.writing.schema import PROMPTS, RESPONSES

TOPICS = {
    "plants": ("plants", "light", "water", "leaves", "roots", "sugar", "energy", "air", "green", "grow", "soil", "sun"),
    "bridge": (
        "bridge",
        "steel",
        "weight",
        "arch",
        "cable",
        "load",
        "river",
        "tower",
        "stone",
        "engineer",
        "road",
        "beam",
    ),
}
TASK = "Explain in your own words how plants make sugar from water, air and the light of the sun."
_FRAMES = (
    "I think that the {0} and the {1} are what we need to talk about here.",
    "It is clear that {0} can help because of the {1} in it.",
    "In the end the {0} is very important for the {1}, as we all know.",
    "When there is no {0}, then the {1} does not work at all.",
    "People say that {0} comes from {1}, but that is not so.",
)
_FILLERS = (
    "I do not know much about this and I just like to play games with my friends.",
    "This is a thing that we had in school some time ago and I forgot it.",
    "My teacher told us all of this but it was a long day for me.",
)


def response(topic: str, score: int, source: random.Random) -> str:
    """Return a text of about seven sentences, `score` of four or so about the topic; 0 to 4."""
    said = [source.choice(_FRAMES).format(*source.sample(TOPICS[topic], 2)) for _ in range(2 * score)]
    rest = [source.choice(_FILLERS) + f" It was day {source.randint(1, 99)}." for _ in range(4 - score)]
    parts = said + rest + [f"That is my answer about the {TOPICS[topic][0]}."]
    source.shuffle(parts)
    return " ".join(parts)


def table(count: int, seed: int = 0) -> pl.DataFrame:
    """Return `count` responses to each of two prompts; every student answers both."""
    source = random.Random(seed)
    rows = []
    for prompt in sorted(TOPICS):
        for n in range(count):
            score = source.randint(0, 4)
            rows.append((f"{prompt}{n:04}", f"s{n:04}", prompt, response(prompt, score, source), float(score), None))
    columns = ("response", "student", "prompt", "text", "score", "declared_split")
    return pl.DataFrame(rows, dict.fromkeys(columns, pl.String) | {"score": pl.Float64}, orient="row").with_columns(
        rater_1=pl.col("score"),
        trait_content=pl.when(pl.col("prompt") == "plants").then(pl.col("score").clip(1, 3)),
    )


def write(folder: Path, rows: pl.DataFrame) -> None:
    """Write the tables of ingest that preprocessing reads."""
    folder.mkdir()
    rows.write_parquet(folder / RESPONSES)
    prompts = [
        {"prompt": "bridge", "low": 0, "high": 4, "step": 1, "text": None, "reference_answers": [], "traits": {}},
        {
            "prompt": "plants", "low": 0, "high": 4, "step": 1, "text": TASK,
            "reference_answers": ["Plants use light to make sugar from water and air."],
            "traits": {"content": {"low": 1, "high": 3}},
        },
    ]  # fmt: skip
    (folder / PROMPTS).write_text(json.dumps(prompts), encoding="utf-8")


def dataset(root: Path, rows: pl.DataFrame, config: WritingPreprocessConfig) -> Path:
    """Write responses as preprocessing leaves them and return the dataset's folder, below `root`."""
    write(root / "source", rows)
    (root / "dataset").mkdir()
    write_dataset(root / "source", root / "dataset", config)
    return root / "dataset"


@cache
def codec(inputs: str = "both") -> Codec:
    """Return a codec fitted to both prompts; fitting takes a moment, so once."""
    rows = table(150, seed=7)
    texts = [
        PromptTexts(
            name=prompt,
            rubric=Rubric(low=0, high=4),
            text=TASK if prompt == "plants" else None,
            references=("Plants use light to make sugar from water and air.",) if prompt == "plants" else (),
            responses=rows.filter(pl.col("prompt") == prompt)["text"].to_list(),
        )
        for prompt in sorted(TOPICS)
    ]
    return fit_codec(texts, WritingPreprocessConfig(inputs=inputs, max_tokens=50, common_words=20))  # type: ignore[arg-type]  # a literal
