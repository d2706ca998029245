"""Knowledge tracing of simulated students: interactions a second, and the AUC reached."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gpu.device import clear, peak_gib
from benchmarks.gpu.feeding import Ahead, Marks, Repeated, fit
from benchmarks.gpu.results import Found, guarded
from benchmarks.gpu.sizes import Sizes
from benchmarks.gpu.stand_ins import (
    DeepKnowledgeTracing,
    L,
    SimulateConfig,
    WindowLoader,
    Windows,
    roc_auc,
    simulate_answers,
)


@dataclass(frozen=True, slots=True)
class Students:
    """Simulated answers as arrays of knowledge tracing, and how well the truth itself tells right from wrong."""

    train: Windows
    check: Windows
    items: int
    skills: int
    oracle_auc: float


def simulate(sizes: Sizes) -> Students:
    """Return students who answer `sizes.answers` problems each; of a problem's skills the main one counts."""
    count = sizes.students + sizes.checked
    skills, items = (20, 200) if sizes.students > 1_000 else (5, 20)
    config = SimulateConfig(
        students=count, skills=skills, items=items, answers_min=sizes.answers, answers_max=sizes.answers
    )
    answers = simulate_answers(config)
    order = np.lexsort((answers.time_ms, answers.student))
    lengths = np.bincount(answers.student, minlength=count).astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    item = answers.item[order]
    arrays: dict[str, npt.NDArray[Any]] = {  # 0 is padding, 1 an unknown item or skill
        "items": (item + 2).astype(np.int32),
        "skills": (answers.items.skills_IK[item, :1] + 2).astype(np.int32),
        "responses": answers.correct[order].astype(np.float32),
    }
    scored = {**arrays, "scored": np.ones(len(item), bool)}
    first = int(starts[sizes.students])
    return Students(
        train=Windows(arrays, starts[: sizes.students], lengths[: sizes.students]),
        check=Windows(scored, starts[sizes.students :], lengths[sizes.students :]),
        items=items + 2,
        skills=skills + 2,
        oracle_auc=roc_auc(arrays["responses"][first:], answers.probability[order][first:]),
    )


def make_tracing(sizes: Sizes, students: Students, **network: Any) -> DeepKnowledgeTracing:
    """Return homeroom's own model."""
    values = {"network": "dkt", "width": max(8, sizes.hidden // 2), "hidden": sizes.hidden, **network}
    return DeepKnowledgeTracing(
        items=students.items, skills=students.skills, max_skills=1, network=values, learning_rate=1e-2
    )


def tracing_loader(students: Students, sizes: Sizes, windows: int, count: int | None = None) -> Ahead:
    """Return shuffled batches of so many windows, gathered and sent ahead; `count` of them in an epoch, if given."""
    loader = WindowLoader(students.train, windows * sizes.answers, seed=1)
    return Ahead(loader if count is None else Repeated(loader, count))


def measure_dkt(sizes: Sizes, students: Students) -> Found:
    """Return interactions a second at each batch size, and the AUC that the fastest one reaches."""
    runs = [guarded(partial(run_dkt, sizes, students, windows)) for windows in sizes.windows]
    good = [run for run in runs if "error" not in run]
    if not good:
        return {"runs": runs}
    best = max(good, key=lambda run: run["dkt_interactions_per_s"])
    return {"runs": runs, **best, **guarded(lambda: reach_auc(sizes, students, best["windows"]))}


def run_dkt(sizes: Sizes, students: Students, windows: int) -> Found:
    """Return interactions a second at one batch size."""
    clear()
    L.seed_everything(0, verbose=False)
    marks, loader = Marks(), tracing_loader(students, sizes, windows, sizes.warm + sizes.steps + 1)
    started = time.perf_counter()
    fit(make_tracing(sizes, students), loader, [marks], max_epochs=1, precision="bf16-mixed", gradient_clip_val=1.0)
    took = time.perf_counter() - started
    seconds = marks.seconds(sizes.warm)
    interactions = windows * sizes.answers
    return {
        "windows": windows, "step_ms": statistics.median(seconds) * 1e3,
        "dkt_interactions_per_s": interactions / statistics.median(seconds),
        "mean_interactions_per_s": interactions * len(seconds) / sum(seconds),
        "peak_gib": peak_gib(), "waited_share": loader.waited / took,
    }  # fmt: skip


def reach_auc(sizes: Sizes, students: Students, windows: int) -> Found:
    """Return the AUC on other students at this batch size and at a small one, and that of the truth."""
    small = max(2, sizes.windows[0] // 16)
    large_auc, large_steps = train_dkt(sizes, students, windows, sizes.epochs)
    small_auc, small_steps = train_dkt(sizes, students, small, max(1, sizes.epochs // 8))
    return {
        "auc": large_auc, "auc_steps": large_steps, "auc_epochs": sizes.epochs, "auc_of_the_truth": students.oracle_auc,
        "auc_of_small_batches": small_auc, "small_windows": small, "small_steps": small_steps,
    }  # fmt: skip


def train_dkt(sizes: Sizes, students: Students, windows: int, epochs: int) -> tuple[float, int]:
    """Return the AUC on other students after so many epochs, and the steps that they had."""
    clear()
    L.seed_everything(0, verbose=False)
    checks = WindowLoader(students.check, 64 * sizes.answers)
    fitter = fit(make_tracing(sizes, students), tracing_loader(students, sizes, windows), [], checks=checks,
                 max_epochs=epochs, check_val_every_n_epoch=epochs, limit_val_batches=1.0, precision="bf16-mixed",
                 gradient_clip_val=1.0)  # fmt: skip
    return float(fitter.callback_metrics["valid_auc"]), fitter.global_step
