"""Fits the knowledge-tracing codec on logs and encodes them: table work in polars, meaning in the codec."""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from components.errors import NotEnoughDataError
from components.preprocess.config import PreprocessConfig
from flows.knowledge_tracing.codec import PADDING, Codec


class KnowledgeTracingEncoder:
    """The SequenceEncoder of knowledge tracing: arrays `items` (N,), `skills` (N, K), `responses` (N,)."""

    def fit(self, interactions: pl.DataFrame, skill_sets: pl.DataFrame, config: PreprocessConfig) -> Codec:
        """Return a codec that knows the items and skills that training students met often enough."""
        if interactions.height == 0:
            raise NotEnoughDataError("The training students have no answers. Check the split and the ingest report.")
        counts = interactions.group_by("item").len().filter(pl.col("item").is_not_null())
        items = counts.filter(pl.col("len") >= config.min_item_count)["item"].sort().to_list()
        used = interactions.group_by("skill_set").len().join(skill_sets, on="skill_set")
        met = (
            used.explode("skills", empty_as_null=True, keep_nulls=True)
            .drop_nulls("skills")
            .group_by("skills")
            .agg(pl.col("len").sum())
        )
        skills = met.filter(pl.col("len") >= config.min_skill_count)["skills"].sort().to_list()
        if not items and not skills:
            raise NotEnoughDataError(
                f"No item is answered {config.min_item_count} times and no skill met {config.min_skill_count} times in "
                "training. Lower preprocess.min_item_count and preprocess.min_skill_count, or give more data."
            )
        widest = int(used["skills"].list.len().max() or 1)  # type: ignore[arg-type]  # polars types max() broadly
        return Codec(
            items=tuple(items),
            skills=tuple(skills),
            max_skills=max(1, min(widest, config.max_skills)),
            max_len_steps=config.max_len_steps,
        )

    def encode(self, interactions: pl.DataFrame, skill_sets: pl.DataFrame, codec: Codec) -> dict[str, npt.NDArray[Any]]:
        """Return the three arrays, one entry per row. Unique values go through the codec, rows through one gather."""
        names = interactions["item"].drop_nulls().unique(maintain_order=True)
        if len(names) and codec.items:
            table = np.concatenate([codec.item_indices(names.to_list()), [PADDING]])
            codes = interactions["item"].cast(pl.Enum(names)).to_physical().fill_null(len(names)).to_numpy()
            items = table[codes]
        else:
            items = np.zeros(interactions.height, np.int64)
        sets = codec.skill_rows(skill_sets["skills"].to_list())
        skills = sets[interactions["skill_set"].to_numpy()]
        responses = interactions.select(
            pl.coalesce(pl.col("correct").cast(pl.Float32), pl.col("score")).alias("response")
        )["response"]
        return {
            "items": items.astype(np.int32),
            "skills": skills.astype(np.int32),
            "responses": responses.to_numpy().astype(np.float32),
        }
