"""All checks of scored writing: the dataset's splits against the responses that it was made from."""

from pathlib import Path

import numpy as np
import polars as pl

from components.artifacts import JsonValue
from components.errors import SchemaError
from components.leakage.findings import PAIRS, Check, leakage_finding
from components.leakage.students import check_students
from components.leakage.texts import SharedTexts, shared_texts
from components.preprocess.split import SPLITS
from components.writing.leakage.config import WritingLeakageConfig
from components.writing.schema import RESPONSES

TWICE = "responses_twice"
SHARED = "shared_text_share"
COLUMNS = ("response", "student", "prompt")


def check_responses(source: Path, folder: Path, protocol: str, config: WritingLeakageConfig) -> list[Check]:
    """Return what all checks found.

    Args:
        source: what ingest published.
        folder: the dataset.
        protocol: of the rows.
        config: of the stage.

    Raises:
        SchemaError: the dataset has responses that the source does not have, or splits that nobody knows.
    """
    kept = pl.read_parquet(folder / RESPONSES, columns=[*COLUMNS, "split"])
    texts = pl.read_parquet(source / RESPONSES, columns=["response", "text"]).unique("response", keep="first")
    kept = kept.join(texts, on="response", how="left", maintain_order="left")
    unknown = kept["text"].null_count()
    strange = kept.filter(~pl.col("split").is_in(SPLITS)).height
    if unknown or strange:
        raise SchemaError(
            f"Of the dataset's {kept.height} responses, {unknown} are not in the source's {RESPONSES}; {strange} are "
            f"in none of the splits {', '.join(SPLITS)}. Give what the dataset was made from, or run preprocess again."
        )
    side = kept["split"].replace_strict({name: n for n, name in enumerate(SPLITS)}, return_dtype=pl.Int64).to_numpy()
    student = kept["student"].rank("dense").to_numpy().astype(np.int64)
    names = kept["prompt"].unique(maintain_order=True)
    number = kept["prompt"].replace_strict(names, np.arange(len(names)), return_dtype=pl.Int64).to_numpy()
    found = shared_texts(kept["text"], number, side, len(names), config)
    return [
        check_students([student[side == s] for s in range(len(SPLITS))], config.students),
        _check_ids(kept),
        _check_texts(found, names.to_list(), config),
        _no_time(kept.height),
        _check_protocol(kept.height, protocol),
    ]


def _check_ids(kept: pl.DataFrame) -> Check:
    twice = kept.height - kept["response"].n_unique()
    reason = (
        f"{twice} of {kept.height} responses repeat the id of another and count more than once"
        if twice
        else f"none of {kept.height} responses is there twice"
    )
    finding = leakage_finding(
        TWICE, value=twice, limit=0, n=kept.height, outcome="stop" if twice else "pass", reason=reason
    )
    return Check(name="responses", findings=(finding,), figures={"responses": kept.height, "twice": twice})


def _check_texts(found: SharedTexts, names: list[str], config: WritingLeakageConfig) -> Check:
    by_prompt: dict[str, JsonValue] = {
        name: {
            "responses": dict(zip(SPLITS, found.responses[n].tolist(), strict=True)),
            "same_pairs": _named(found.same_pairs[n].tolist()),
            "near_pairs": _named(found.near_pairs[n].tolist()),
        }
        for n, name in enumerate(names)
    }
    held_out: dict[str, JsonValue] = {
        name: {"responses": int(its[0]), "same": int(its[1]), "near": int(its[2])}
        for name, its in zip(
            SPLITS[1:],
            np.stack([part.sum(axis=0)[1:] for part in (found.responses, found.same, found.near)], axis=1),
            strict=True,
        )
    }
    figures: dict[str, JsonValue] = {
        "pairs": {"same": _named(found.same_pairs.sum(0).tolist()), "near": _named(found.near_pairs.sum(0).tolist())},
        "held_out": held_out,
        "prompts": by_prompt,
        "similarity": config.near_similarity,
        "shingle_words": config.shingle_words,
        "min_near_words": config.min_near_words,
        "complete": found.complete,
    }
    same, near = int(found.same.sum()), int(found.near.sum())
    least = "" if found.complete else "at least "
    reason = (
        f"{least}{found.share:.2%} of {found.held_out} held-out responses have the same ({same}) or nearly the same "
        f"({near}) text as one to the same prompt in an earlier split; the limit is {config.max_shared_share:.2%}"
        if same + near
        else f"none of {found.held_out} held-out responses has the same or nearly the same text as one of an earlier "
        "split"
    )
    over = found.share > config.max_shared_share
    finding = leakage_finding(
        SHARED,
        value=found.share,
        limit=config.max_shared_share,
        n=found.held_out,
        outcome=config.texts if over else "pass" if found.complete else "warn",
        reason=reason,
    )
    return Check(name="texts", findings=(finding,), figures=figures)


def _no_time(responses: int) -> Check:
    finding = leakage_finding(
        "answers_on_the_wrong_side",
        value=None,
        limit=None,
        n=responses,
        outcome="pass",
        reason="responses have no time and are split by student: no order in time is asked of them",
    )
    return Check(name="time", findings=(finding,), figures={"answers": responses, "with_time": 0})


def _check_protocol(responses: int, protocol: str) -> Check:
    finding = leakage_finding(
        "repeated_problem_share",
        value=None,
        limit=None,
        n=responses,
        outcome="pass",
        reason=f"protocol {protocol}: one row for each response, none of which shows another's score",
    )
    return Check(name="protocol", findings=(finding,), figures={"protocol": protocol})


def _named(counts: list[int]) -> dict[str, JsonValue]:
    return {f"{SPLITS[a]} & {SPLITS[b]}": int(count) for (a, b), count in zip(PAIRS, counts, strict=True)}
