"""Fairness tables of public education data with demographics: law school bar passage, and OULAD.

    HOMEROOM_DATA=DATA python -m benchmarks.fairness_real [--resamples 200]

- `law`: will a student pass the bar? Protocol of the data's README: logistic regression as scikit-learn's defaults give
  it (unscaled, it stops at 100 iterations), all columns, 70/30 split with seed 42.
- `survey`: the README's warning: label-encoded `studentInfo` without withdrawals, the student's number among the
  columns, `liblinear`; it predicts that all pass.
- `day 30`, `day 90`: will a student pass the module, from what is known on that day? Trained on the presentations of
  2013, tested on those of 2014, students of both left out of the test. Known on day d are: registration, credits,
  earlier attempts, education, module, banked results, what was handed in by d of what was due by d, and scores of what
  was handed in by d - 14, as marking takes time. Those who had withdrawn by d are not asked about. Gender, disability,
  age and deprivation are no inputs: they are what is compared by.
"""

import argparse
import gzip
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.machine import processor_name
from components.evaluate.rows import ScoredRows
from components.fairness.config import FairnessConfig
from components.fairness.groups import Estimate
from components.fairness.summary import Summary
from components.fairness.table import Tables, tables_of

Floats = npt.NDArray[np.float64]
MARKING_DAYS = 14
SHOWN = ("selection_rate", "true_positive_rate", "false_positive_rate", "auc", "calibration", "ece")
SEED = 42


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """Predictions of a test part, a row for each enrolment."""

    rows: ScoredRows
    attributes: dict[str, list[str | None]]
    """Attribute -> each student's value."""
    trained_on: int


def law(root: Path) -> Predicted:
    """Return predictions of bar passage by the README's protocol."""
    table = read(root / "law-school-bar" / "law_school_clean.csv.gz")
    coded = table.drop("pass_bar").with_columns(race=(pl.col("race") == "White").cast(pl.Float64))
    features = coded.cast(pl.Float64).to_numpy()
    label = table["pass_bar"].cast(pl.Float64).to_numpy()
    train, test = split(len(label))
    probability = fitted(features[train], label[train], features[test])
    race = [table["race"][int(at)] for at in test]
    return Predicted(rows=one_each(label[test], probability), attributes={"race": race}, trained_on=len(train))


def survey(root: Path) -> Predicted:
    """Return predictions of passing by the survey's model."""
    info = read(root / "oulad" / "studentInfo.csv.gz").filter(
        (pl.col("final_result") != "Withdrawn") & pl.col("imd_band").is_not_null()
    )
    label = info["final_result"].is_in(["Pass", "Distinction"]).cast(pl.Float64).to_numpy()
    numbers = {"id_student", "num_of_prev_attempts", "studied_credits"}
    columns = [
        info[c].cast(pl.Float64).to_numpy() if c in numbers else np.unique(info[c].to_numpy(), return_inverse=True)[1]
        for c in info.columns
        if c != "final_result"
    ]
    features = np.stack(columns, axis=1).astype(np.float64)
    train, test = split(len(label))
    probability = fitted(features[train], label[train], features[test], solver="liblinear")
    gender = [info["gender"][int(at)] for at in test]
    return Predicted(rows=one_each(label[test], probability), attributes={"gender": gender}, trained_on=len(train))


def at_risk(root: Path, day: int) -> Predicted:
    """Return predictions of passing from what is known on a day of the presentation."""
    known = known_by(root / "oulad", day)
    is_train = known["code_presentation"].str.starts_with("2013").to_numpy()
    met = set(known["id_student"].to_numpy()[is_train])
    is_test = ~is_train & ~known["id_student"].is_in(list(met)).to_numpy()
    label = known["passed"].cast(pl.Float64).to_numpy()
    features = design(known, is_train)
    probability = fitted(features[is_train], label[is_train], features[is_test])
    tested = known.filter(pl.Series(is_test))
    # a student of several presentations has one number, and the attributes of the first
    _, first, student = np.unique(tested["id_student"].to_numpy(), return_index=True, return_inverse=True)
    attributes = {
        name: [tested[name][int(at)] for at in first] for name in ("gender", "disability", "age_band", "imd_band")
    }
    rows = ScoredRows(student=student.astype(np.int64), label=label[is_test], probability=probability)
    return Predicted(rows=rows, attributes=attributes, trained_on=int(is_train.sum()))


def known_by(folder: Path, day: int) -> pl.DataFrame:
    """Return the enrolments that are still open on a day, and what is known of them then; `passed` is the outcome."""
    key = ["code_module", "code_presentation", "id_student"]
    days = pl.col("date_registration", "date_unregistration").cast(pl.Int64)
    registered = read(folder / "studentRegistration.csv.gz").with_columns(days)
    enrolled = (
        read(folder / "studentInfo.csv.gz")
        .join(registered, on=key, how="left")
        .filter(
            (pl.col("date_registration").is_null() | (pl.col("date_registration") <= day))
            & (pl.col("date_unregistration").is_null() | (pl.col("date_unregistration") > day))
        )
        .with_columns(
            passed=pl.col("final_result").is_in(["Pass", "Distinction"]),
            imd_band=pl.col("imd_band").str.replace("^10-20$", "10-20%"),
        )
    )
    due = read(folder / "assessments.csv").with_columns(
        pl.col("date").cast(pl.Int64), pl.col("weight").cast(pl.Float64)
    )
    handed_in = (
        read(folder / "studentAssessment.csv.gz")
        .with_columns(pl.col("date_submitted", "is_banked").cast(pl.Int64), pl.col("score").cast(pl.Float64))
        .filter(pl.col("date_submitted") <= day)
        .join(due, on="id_assessment")
    )
    is_due, is_own = pl.col("date") <= day, pl.col("is_banked") == 0
    is_marked = pl.col("date_submitted") <= day - MARKING_DAYS
    work = handed_in.group_by(key).agg(
        on_time=(is_due & is_own & (pl.col("date_submitted") <= pl.col("date"))).sum(),
        late=(is_due & is_own & (pl.col("date_submitted") > pl.col("date"))).sum(),
        banked=(~is_own).sum(),
        score=pl.col("score").filter(is_own & is_marked).mean(),
    )
    asked = due.filter(is_due).group_by(key[:2]).agg(asked=pl.len())
    return (
        enrolled.join(work, on=key, how="left")
        .join(asked, on=key[:2], how="left")
        .with_columns(pl.col("on_time", "late", "banked", "asked").fill_null(0))
        .sort(key)
    )


def design(known: pl.DataFrame, is_train: npt.NDArray[np.bool_]) -> Floats:
    """Return standardised features; what is missing has the training mean, and a column that says so."""
    asked = pl.col("asked").clip(lower_bound=1)
    schooling = ["No Formal quals", "Lower Than A Level", "A Level or Equivalent", "HE Qualification"]
    numbers = known.select(
        pl.col("num_of_prev_attempts", "studied_credits").cast(pl.Float64),
        pl.col("date_registration").cast(pl.Float64),
        "score",
        "banked",
        on_time=pl.col("on_time") / asked,
        late=pl.col("late") / asked,
        unscored=pl.col("score").is_null().cast(pl.Float64),
        education=pl.col("highest_education").replace_strict(
            {name: at for at, name in enumerate(schooling)}, default=len(schooling), return_dtype=pl.Float64
        ),
    )
    modules = known["code_module"].to_dummies()
    values = np.hstack([numbers.cast(pl.Float64).to_numpy(), modules.cast(pl.Float64).to_numpy()])
    mean = np.nanmean(values[is_train], axis=0)
    values = np.where(np.isnan(values), mean, values)
    spread = values[is_train].std(axis=0)
    return np.asarray((values - mean) / np.where(spread > 0, spread, 1.0))


def read(path: Path) -> pl.DataFrame:
    """Return a file's columns as texts, empty ones null."""
    data = path.read_bytes()
    table = pl.read_csv(gzip.decompress(data) if path.suffix == ".gz" else data, infer_schema=False)
    return table.with_columns(pl.all().replace("", None))


def split(rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows of training (70 %) and of the test."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(np.arange(rows), test_size=0.3, random_state=SEED)
    return train, test


def fitted(train: Floats, label: Floats, test: Floats, solver: str = "lbfgs") -> Floats:
    """Return the test rows' probabilities by a logistic regression with scikit-learn's defaults."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the published figures are of that model
        model = LogisticRegression(solver=solver).fit(train, label)
    return np.asarray(model.predict_proba(test)[:, 1], np.float64)


def one_each(label: Floats, probability: Floats) -> ScoredRows:
    """Return rows of as many students."""
    return ScoredRows(student=np.arange(len(label)), label=label, probability=probability)


CASES = {
    "law": (law, ("race",)),
    "survey": (survey, ("gender",)),
    "day 30": (lambda root: at_risk(root, 30), ("gender", "disability", "age_band", "imd_band", "gender & disability")),
    "day 90": (lambda root: at_risk(root, 90), ("gender", "disability", "age_band", "imd_band", "gender & disability")),
}


def tables(found: Predicted, wanted: Sequence[str], resamples: int) -> Tables:
    """Return the tables by group that the fairness stage would make."""
    return tables_of(found.rows, found.attributes, wanted, FairnessConfig(resamples=resamples))


def lines_of(name: str, found: Predicted, its: Tables) -> Iterator[str]:
    """Yield the tables of a case as Markdown."""
    yield f"**{name}**: trained on {found.trained_on} rows; {len(found.rows.label)} of {found.rows.students} students."
    yield f"Useless: {its.useless or 'no'}"
    for attribute, one in its.attributes.items():
        yield ""
        yield f"| {attribute} | students | {' | '.join(n.replace('_', ' ') for n in SHOWN)} |"
        yield f"|---|---:|{'---:|' * len(SHOWN)}"
        for group in one.comparison.groups:
            if group.status == "ok":
                cells = [said(group.estimates[measure]) for measure in SHOWN]
                yield f"| {group.name} | {group.students} | {' | '.join(cells)} |"
        yield ""
        for of, summary in one.comparison.summary.items():
            yield f"- {of}: {said(summary)}"
        told = sorted(one.pairs, key=lambda pair: -(pair.abroca.value or 0.0))[:1]
        for pair in told:
            its_p = "" if pair.abroca.p is None else f", p {pair.abroca.p:.3f}"
            yield f"- largest abroca ({pair.first}, {pair.second}): {said(pair.abroca)}{its_p}"


def said(one: Estimate | Summary | object) -> str:
    """Return a figure with its interval."""
    status, value = getattr(one, "status", ""), getattr(one, "value", None)
    if value is None:
        return str(status).replace("_", " ")
    return f"{value:.3f} ({getattr(one, 'low', 0.0):.3f} to {getattr(one, 'high', 0.0):.3f})"


def main() -> int:
    """Print the tables of all cases."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--resamples", type=int, default=200)
    options = parser.parse_args()
    if "HOMEROOM_DATA" not in os.environ:
        parser.error("HOMEROOM_DATA is not set; name the folder with the education data")
    print(processor_name())
    for name, (predict, wanted) in CASES.items():
        started = time.process_time()
        found = predict(Path(os.environ["HOMEROOM_DATA"]))
        print()
        for line in lines_of(name, found, tables(found, wanted, options.resamples)):
            print(line)
        print(f"\n{time.process_time() - started:.1f} CPU s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
